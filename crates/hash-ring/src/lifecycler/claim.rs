//! Taking over from an instance that leaves: PENDING becomes JOINING while the other hands over,
//! then ACTIVE with its tokens; or PENDING again when the hand-over breaks.

use std::sync::Arc;
use std::time::Duration;

use runtime::shutdown::Stop;

use super::{Lifecycler, Own, TokenStrategy};
use crate::Error;
use crate::instance::State;

/// A hand-over that takes longer is given up: whoever hands over has hung for good.
const CLAIM_MAX: Duration = Duration::from_secs(600);

/// A hand-over under way, at the instance that takes over. Dropping it unfinished makes the
/// instance PENDING again.
#[derive(Debug)]
pub struct Claim {
    lifecycler: Arc<Lifecycler>,
    number: u64,
}

/// The hand-overs of an instance.
#[derive(Debug, Default)]
pub(super) struct Claims {
    /// How many there were.
    count: u64,
    /// The one under way, and since when, by the monotonic clock.
    open: Option<(u64, Duration)>,
}

impl Own {
    fn holds(&self, number: u64) -> bool {
        self.instance.state == State::Joining
            && self.claims.open.is_some_and(|(open, _)| open == number)
    }

    /// Ends a hand-over that did not succeed.
    fn give_up(&mut self, number: u64) {
        if self.holds(number) {
            self.instance.state = State::Pending;
            self.instance.tokens = [].into();
            self.claims.open = None;
        }
    }
}

impl Lifecycler {
    /// Begins to take over from an instance that leaves: this one is JOINING from now on.
    ///
    /// # Errors
    ///
    /// [`Error::NotPending`] when it is not PENDING: hand over to another one.
    pub async fn claim(self: &Arc<Self>) -> Result<Claim, Error> {
        let now = self.client.environment().clock.monotonic();
        let number = {
            let mut own = self.own.lock();
            if own.instance.state != State::Pending {
                return Err(Error::NotPending(own.instance.state));
            }
            own.instance.state = State::Joining;
            own.claims.count += 1;
            own.claims.open = Some((own.claims.count, now));
            own.claims.count
        };
        let claim = Claim { lifecycler: Arc::clone(self), number };
        self.beat().await;
        Ok(claim)
    }

    /// Gives up all tokens, because another instance has them now: none is kept for a restart.
    ///
    /// # Errors
    ///
    /// [`Error::TokenFile`] when the file of tokens stays: a restart would claim them again.
    pub async fn give_up_tokens(&self) -> Result<(), Error> {
        self.own.lock().instance.tokens = [].into();
        self.beat().await;
        self.remove_token_file().await
    }

    /// Removes the file of tokens, so that the next start chooses others.
    ///
    /// # Errors
    ///
    /// [`Error::TokenFile`] when it stays.
    pub async fn remove_token_file(&self) -> Result<(), Error> {
        match self.config.token_file.clone() {
            Some(path) => super::token_file::remove(path).await,
            None => Ok(()),
        }
    }

    /// PENDING: waits for somebody to hand over, for as long as the configuration says. Afterwards
    /// the instance is ACTIVE, or nobody can hand over any more, or it was asked to stop.
    pub(super) async fn wait_for_hand_over(&self, stop: &Stop) {
        let clock = &self.client.environment().clock;
        let end = clock.monotonic() + self.config.join_after;
        while !stop.is_requested() {
            let now = clock.monotonic();
            let rest = {
                let mut own = self.own.lock();
                if let Some((number, since)) = own.claims.open
                    && now.saturating_sub(since) >= CLAIM_MAX
                {
                    own.give_up(number);
                }
                match own.instance.state {
                    State::Pending if now >= end => {
                        own.instance.state = State::Joining;
                        return;
                    }
                    State::Pending => end - now,
                    State::Joining => self.config.heartbeat_period,
                    State::Active | State::Leaving | State::Left => return,
                }
            };
            tokio::select! {
                () = stop.requested() => return,
                () = self.claims_changed.notified() => self.beat().await,
                () = self.sleep(rest.min(self.config.heartbeat_period)) => self.beat().await,
            }
        }
    }
}

impl Claim {
    /// Whether the hand-over still goes on; what comes after it has ended belongs to the giver.
    #[must_use]
    pub fn is_open(&self) -> bool {
        self.lifecycler.own.lock().holds(self.number)
    }

    /// Takes the tokens and becomes ACTIVE. Without any, the instance chooses its own.
    ///
    /// # Errors
    ///
    /// [`Error::NotPending`] when the hand-over was given up meanwhile, [`Error::TokenFile`] when
    /// the tokens could not be kept: the instance is as it was before the claim.
    pub async fn finish(self, tokens: Vec<u32>) -> Result<(), Error> {
        let life = &self.lifecycler;
        let mut tokens = match &life.config.tokens {
            TokenStrategy::Random { .. } if !tokens.is_empty() => tokens,
            _ => life.chosen_tokens()?,
        };
        tokens.sort_unstable();
        tokens.dedup();
        {
            let mut own = life.own.lock();
            if !own.holds(self.number) {
                return Err(Error::NotPending(own.instance.state));
            }
            own.instance.tokens = tokens.into();
        }
        life.save_tokens().await?;
        {
            let mut own = life.own.lock();
            if !own.holds(self.number) {
                return Err(Error::NotPending(own.instance.state));
            }
            own.instance.state = State::Active;
            own.claims.open = None;
        }
        life.beat().await;
        let count = life.instance().tokens.len();
        tracing::info!(ring = %life.client.name(), id = %life.config.id, tokens = count, "took over");
        Ok(())
    }
}

impl Drop for Claim {
    fn drop(&mut self) {
        self.lifecycler.own.lock().give_up(self.number);
        self.lifecycler.claims_changed.notify_one();
    }
}
