//! When an instance may be sent requests.

use std::time::Duration;

use super::Lifecycler;
use crate::instance::{Operation, State};
use crate::page;

/// Why an instance is not ready yet.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum NotReady {
    /// It is still joining, or already leaving.
    #[error("this instance is {0} in the ring")]
    State(State),
    /// It has no tokens.
    #[error("this instance owns no tokens")]
    NoTokens,
    /// The store does not show it yet.
    #[error("this instance is not in the ring yet")]
    NotShown,
    /// Another instance is not well; checked only until this one was ready once.
    #[error("instance {id} in the ring is {state}")]
    Other {
        /// Which one.
        id: String,
        /// Its state, or UNHEALTHY.
        state: &'static str,
    },
    /// It could serve for a short time only.
    #[error("waiting for {} s after being ready", .0.as_secs_f64())]
    TooEarly(Duration),
}

/// Whether the instance was ready before.
#[derive(Debug, Default)]
pub(super) struct Readiness {
    /// Since when, by the monotonic clock, everything else is in order.
    since: Option<Duration>,
    was_ready: bool,
}

impl Lifecycler {
    /// Whether requests may be sent. Once ready, an instance stays ready until it leaves.
    ///
    /// # Errors
    ///
    /// [`NotReady`] says what is missing: ask again.
    pub fn is_ready(&self) -> Result<(), NotReady> {
        let own = self.instance();
        let mut readiness = self.readiness.lock();
        if own.state.is_going() || (own.state != State::Active && !readiness.was_ready) {
            readiness.since = None;
            return Err(NotReady::State(own.state));
        }
        if readiness.was_ready {
            return Ok(());
        }
        if let Err(missing) = self.check(own.tokens.is_empty()) {
            readiness.since = None;
            return Err(missing);
        }
        let monotonic = self.client.environment().clock.monotonic();
        let since = *readiness.since.get_or_insert(monotonic);
        let rest = self.config.min_ready_duration.saturating_sub(monotonic.saturating_sub(since));
        if !rest.is_zero() {
            return Err(NotReady::TooEarly(rest));
        }
        readiness.was_ready = true;
        Ok(())
    }

    fn check(&self, has_no_tokens: bool) -> Result<(), NotReady> {
        if has_no_tokens {
            return Err(NotReady::NoTokens);
        }
        let (ring, now) = (self.client.ring(), self.now());
        if ring.instance(&self.config.id).is_none() {
            return Err(NotReady::NotShown);
        }
        if !self.config.readiness_check_ring_health {
            return Ok(());
        }
        let timeout = ring.config().heartbeat_timeout;
        let is_well = |state: State| state == State::Active;
        let ill = ring.instances().iter().find(|instance| {
            !is_well(instance.state) || !instance.is_healthy(Operation::Report, timeout, now)
        });
        match ill {
            Some(ill) => Err(NotReady::Other {
                id: ill.id.to_string(),
                state: page::state_of(ill, timeout, now),
            }),
            None => Ok(()),
        }
    }
}
