//! The beginning of a life: registering, choosing tokens, becoming ACTIVE.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use runtime::Failure;
use runtime::shutdown::Stop;

use super::{Lifecycler, TokenStrategy, token_file};
use crate::Error;
use crate::instance::{Instance, State};
use crate::token::{random_tokens, spread_tokens};

/// A store that shows nothing for so long cannot be joined.
const LOAD_MAX: Duration = Duration::from_secs(60);

/// So many times an instance that finds its tokens taken chooses others; then it takes part with
/// those that are its own.
const OBSERVE_ROUNDS_MAX: u32 = 10;

impl Lifecycler {
    /// Finds out who this instance was before, and writes its record.
    pub(super) async fn register(&self, stop: &Stop) -> Result<(), Error> {
        tokio::select! {
            () = self.client.loaded() => {}
            () = stop.requested() => return Err(Error::Stopped(self.client.name().to_string())),
            () = self.sleep(LOAD_MAX) => {
                let message = format!("ring {} could not be read", self.client.name());
                return Err(Error::Store { store: "lifecycler", message });
            }
        }
        let found = self.client.store().subscribe().borrow().get(&self.config.id).cloned();
        let kept = self.kept_tokens(found.as_deref()).await;
        let now = self.now();
        {
            let instance = &mut self.own.lock().instance;
            instance.registered = found.as_ref().map_or(now, |found| found.registered);
            instance.read_only_since = found.as_ref().and_then(|found| found.read_only_since);
            if let Some(found) = &found {
                // By the clock of the process that wrote it, which was this machine's.
                instance.heartbeat = found.heartbeat.min(now);
            }
            if let Some(tokens) = kept {
                instance.tokens = tokens;
                instance.state = State::Active;
            }
        }
        self.publish().await?;
        let Instance { state, tokens, .. } = self.instance();
        let (ring, id, tokens) = (self.client.name(), &self.config.id, tokens.len());
        tracing::info!(%ring, %id, %state, tokens, "registered in the ring");
        Ok(())
    }

    /// The tokens of the life before, brought to the wanted number; `None` when there are none, or
    /// it ended before it was certain that they were its own.
    async fn kept_tokens(&self, found: Option<&Instance>) -> Option<Arc<[u32]>> {
        let TokenStrategy::Random { count } = self.config.tokens else {
            return None;
        };
        let was_joining = found.is_some_and(|found| found.state == State::Joining);
        let mut tokens = match found {
            Some(found) if !was_joining && !found.tokens.is_empty() => found.tokens.to_vec(),
            _ if was_joining => return None,
            _ => self.read_tokens().await?,
        };
        // Whoever took them over meanwhile keeps them.
        let ring = self.client.ring();
        let lost = |index: usize| {
            let other = &ring.instances()[index];
            other.id != self.config.id && !other.state.is_going()
        };
        let lost: HashSet<u32> =
            ring.tokens().filter(|(_, index)| lost(*index)).map(|(token, _)| token).collect();
        tokens.retain(|token| !lost.contains(token));
        if tokens.is_empty() {
            return None;
        }
        tokens.truncate(count);
        let missing = count - tokens.len();
        tokens.extend(self.new_tokens(missing, &tokens));
        tokens.sort_unstable();
        Some(tokens.into())
    }

    async fn read_tokens(&self) -> Option<Vec<u32>> {
        let path = self.config.token_file.clone()?;
        match token_file::read(path).await {
            Ok(tokens) => tokens,
            Err(error) => {
                // Tokens only say where rows go next; new ones serve as well.
                tracing::warn!(%error, "choosing new tokens");
                None
            }
        }
    }

    /// Random tokens that nobody has.
    fn new_tokens(&self, count: usize, own: &[u32]) -> Vec<u32> {
        let ring = self.client.ring();
        let taken: HashSet<u32> =
            ring.tokens().map(|(token, _)| token).chain(own.iter().copied()).collect();
        random_tokens(count, &taken, &*self.client.environment().random)
    }

    /// From PENDING to ACTIVE; returns early when asked to stop.
    pub(super) async fn join(&self, stop: &Stop) -> Result<(), Failure> {
        if self.state() == State::Active {
            self.save_tokens().await?;
            return Ok(());
        }
        self.wait_for_hand_over(stop).await;
        if stop.is_requested() || self.state() == State::Active {
            return Ok(());
        }
        let tokens = self.chosen_tokens()?;
        self.own.lock().instance.tokens = tokens.into();
        if !self.config.observe_period.is_zero() {
            self.observe(stop).await;
            if stop.is_requested() {
                return Ok(());
            }
        }
        self.save_tokens().await?;
        self.own.lock().instance.state = State::Active;
        self.beat().await;
        tracing::info!(ring = %self.client.name(), id = %self.config.id, "joined the ring");
        Ok(())
    }

    /// Tokens for an instance without any.
    pub(super) fn chosen_tokens(&self) -> Result<Vec<u32>, Error> {
        match &self.config.tokens {
            TokenStrategy::Random { count } => Ok(self.new_tokens(*count, &[])),
            TokenStrategy::Spread { zones } => {
                spread_tokens(&self.config.id, &self.config.zone, zones)
            }
        }
    }

    /// JOINING: shows the tokens and replaces those that others own.
    async fn observe(&self, stop: &Stop) {
        self.own.lock().instance.state = State::Joining;
        self.beat().await;
        for _ in 0..OBSERVE_ROUNDS_MAX {
            self.pause(self.config.observe_period, Some(stop)).await;
            let ring = self.client.ring();
            let is_own = |index: usize| ring.instances()[index].id == self.config.id;
            let mut tokens: Vec<u32> =
                ring.tokens().filter(|(_, index)| is_own(*index)).map(|(token, _)| token).collect();
            let wanted = self.instance().tokens.len();
            let is_certain = tokens.len() == wanted;
            let is_spread = matches!(self.config.tokens, TokenStrategy::Spread { .. });
            let is_shown = ring.instance(&self.config.id).is_some_and(|i| i.tokens.len() == wanted);
            if stop.is_requested() || is_certain || (is_spread && is_shown) {
                return;
            }
            if !is_shown {
                // The store has not shown the record yet; look again.
                continue;
            }
            tokens.extend(self.new_tokens(wanted - tokens.len(), &tokens));
            tokens.sort_unstable();
            self.own.lock().instance.tokens = tokens.into();
            self.beat().await;
        }
        tracing::warn!(ring = %self.client.name(), "others still claim tokens of this instance");
    }

    pub(super) async fn save_tokens(&self) -> Result<(), Error> {
        let is_random = matches!(self.config.tokens, TokenStrategy::Random { .. });
        match &self.config.token_file {
            Some(path) if is_random => {
                token_file::write(path.clone(), self.instance().tokens.to_vec()).await
            }
            _ => Ok(()),
        }
    }
}
