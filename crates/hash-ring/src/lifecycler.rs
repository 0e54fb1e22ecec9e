//! An instance's life in a ring.
//!
//! ```text
//! PENDING ──► JOINING ──► ACTIVE ──► LEAVING ──► gone
//!    ▲           │
//!    └───────────┘ a hand-over broke
//! ```
//!
//! An instance registers as PENDING and waits for one that leaves to hand over to it ([`Claim`]):
//! then it is JOINING, and ACTIVE with the tokens of the other. When nobody does in time it chooses
//! tokens (JOINING, if it watches for others who chose the same) and becomes ACTIVE. One that kept its tokens, in a file or in its old record, is
//! ACTIVE at once. It sends heartbeats until the end. Asked to stop, it is LEAVING while it hands
//! over what it holds and for [`LifecyclerConfig::final_sleep`] after that, and withdraws.
//!
//! A record that vanishes because somebody forgot a living instance is written again, as a new
//! registration.

mod claim;
mod join;
mod leave;
mod ready;
#[cfg(test)]
mod tests;
mod token_file;

use std::path::PathBuf;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use model::Timestamp;
use parking_lot::Mutex;
use runtime::Failure;
use runtime::service::Service;
use runtime::shutdown::Stop;
use tokio::sync::Notify;

use crate::Error;
use crate::client::RingClient;
use crate::instance::{Instance, State};
use crate::ring::Ring;
use crate::store::Members;
use crate::store::trouble::Trouble;

pub use claim::Claim;
pub use ready::NotReady;

/// How tokens are chosen.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum TokenStrategy {
    /// So many at random, kept in the token file.
    Random {
        /// How many.
        count: usize,
    },
    /// Those that give every instance the same share; see [`crate::token::spread_tokens`].
    Spread {
        /// All zones of the cluster, the own one among them.
        zones: Vec<Arc<str>>,
    },
}

/// How an instance lives.
#[derive(Debug, Clone)]
pub struct LifecyclerConfig {
    /// Its name, unique in the ring.
    pub id: Arc<str>,
    /// Where others reach its gRPC service, as `host:port`.
    pub address: Arc<str>,
    /// Its zone, or empty.
    pub zone: Arc<str>,
    /// How tokens are chosen.
    pub tokens: TokenStrategy,
    /// Where random tokens survive a restart.
    pub token_file: Option<PathBuf>,
    /// How often it says that it is alive.
    pub heartbeat_period: Duration,
    /// How long it is PENDING before it chooses tokens.
    pub join_after: Duration,
    /// How long it watches whether others chose the same tokens; zero trusts in chance.
    pub observe_period: Duration,
    /// How long it stays LEAVING after it has handed over.
    pub final_sleep: Duration,
    /// How long it must have been able to serve before it is ready.
    pub min_ready_duration: Duration,
    /// Whether it is ready only when, once, all others were.
    pub readiness_check_ring_health: bool,
    /// Whether its record goes when it stops. If not, it stays LEAVING and keeps its tokens.
    pub unregister_on_shutdown: bool,
    /// Instances that were silent for so long are forgotten.
    pub forget_after: Option<Duration>,
}

impl Default for LifecyclerConfig {
    fn default() -> Self {
        Self {
            id: "".into(),
            address: "".into(),
            zone: "".into(),
            tokens: TokenStrategy::Random { count: 128 },
            token_file: None,
            heartbeat_period: Duration::from_secs(15),
            join_after: Duration::ZERO,
            observe_period: Duration::ZERO,
            final_sleep: Duration::ZERO,
            min_ready_duration: Duration::from_secs(15),
            readiness_check_ring_health: true,
            unregister_on_shutdown: true,
            forget_after: None,
        }
    }
}

/// What an instance does with what it holds before it goes, such as flushing. Heartbeats go on
/// meanwhile.
pub type HandOver = Box<dyn FnOnce() -> BoxFuture<'static, Result<(), Failure>> + Send>;

/// The part of this process in one ring.
pub struct Lifecycler {
    config: LifecyclerConfig,
    client: Arc<RingClient>,
    own: Mutex<Own>,
    /// One publication at a time, so that an older one never overwrites a newer.
    publishing: tokio::sync::Mutex<()>,
    readiness: Mutex<ready::Readiness>,
    hand_over: Mutex<Option<HandOver>>,
    /// A hand-over has ended.
    claims_changed: Notify,
    is_unregistering: AtomicBool,
    trouble: Trouble,
}

/// What this process says about itself.
struct Own {
    instance: Instance,
    /// Whether the store has shown the record since it was last registered.
    was_shown: bool,
    claims: claim::Claims,
}

impl Lifecycler {
    /// Prepares an instance of the ring that `client` follows. Nothing is published yet.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] without a name or address, [`Error::Spread`] when tokens cannot be spread.
    pub fn new(config: LifecyclerConfig, client: Arc<RingClient>) -> Result<Arc<Self>, Error> {
        if config.id.is_empty() || config.address.is_empty() {
            return Err(Error::Config("an instance needs a name and an address".to_owned()));
        }
        if let TokenStrategy::Spread { zones } = &config.tokens {
            crate::token::spread_tokens(&config.id, &config.zone, zones)?;
        }
        let instance = Instance {
            id: Arc::clone(&config.id),
            address: Arc::clone(&config.address),
            zone: Arc::clone(&config.zone),
            state: State::Pending,
            tokens: [].into(),
            heartbeat: Timestamp(0),
            registered: Timestamp(0),
            read_only_since: None,
        };
        let trouble = Trouble::new("lifecycler", &client.environment().metrics);
        Ok(Arc::new(Self {
            is_unregistering: AtomicBool::new(config.unregister_on_shutdown),
            config,
            client,
            own: Mutex::new(Own { instance, was_shown: false, claims: claim::Claims::default() }),
            publishing: tokio::sync::Mutex::default(),
            readiness: Mutex::default(),
            hand_over: Mutex::default(),
            claims_changed: Notify::new(),
            trouble,
        }))
    }

    /// What is done while the instance is LEAVING. Set it before the service stops.
    pub fn set_hand_over(
        &self,
        hand_over: impl FnOnce() -> BoxFuture<'static, Result<(), Failure>> + Send + 'static,
    ) {
        *self.hand_over.lock() = Some(Box::new(hand_over));
    }

    /// Says whether the record goes when the instance stops, whatever the configuration says.
    pub fn set_unregister_on_shutdown(&self, is_unregistering: bool) {
        self.is_unregistering.store(is_unregistering, Ordering::Relaxed);
    }

    /// Whether the record goes when the instance stops.
    #[must_use]
    pub fn unregisters_on_shutdown(&self) -> bool {
        self.is_unregistering.load(Ordering::Relaxed)
    }

    /// What it was configured to do.
    #[must_use]
    pub fn config(&self) -> &LifecyclerConfig {
        &self.config
    }

    /// The service that lives this life: it starts by registering, joins and sends heartbeats
    /// while it runs, and stops by leaving.
    #[must_use]
    pub fn service(self: &Arc<Self>) -> Service {
        let (start, run, stop) = (Arc::clone(self), Arc::clone(self), Arc::clone(self));
        Service::builder(format!("{} ring lifecycler", self.client.name()))
            .starting(move |stop| async move { Ok(start.register(&stop).await?) })
            .running(move |stop| async move {
                run.join(&stop).await?;
                run.keep(&stop).await;
                Ok(())
            })
            .stopping(move |_| async move { stop.leave().await })
            .build()
    }

    /// The ring of this moment.
    #[must_use]
    pub fn ring(&self) -> Ring {
        self.client.ring()
    }

    /// The view of the ring.
    #[must_use]
    pub fn client(&self) -> &Arc<RingClient> {
        &self.client
    }

    /// What this process says about itself now.
    #[must_use]
    pub fn instance(&self) -> Instance {
        self.own.lock().instance.clone()
    }

    /// Where the instance is in its life.
    #[must_use]
    pub fn state(&self) -> State {
        self.own.lock().instance.state
    }

    /// Says another state.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] for LEFT, which is what withdrawing means; [`Error::Stopped`] when the
    /// instance has left; [`Error::Store`] when the store could not be told: the next heartbeat
    /// tells it.
    pub async fn set_state(&self, state: State) -> Result<(), Error> {
        if state == State::Left {
            return Err(Error::Config("an instance leaves by stopping its service".to_owned()));
        }
        {
            let instance = &mut self.own.lock().instance;
            // The record of an instance that has left must not come back.
            instance.state = if instance.state == State::Left { State::Left } else { state };
        }
        self.publish().await
    }

    /// Stops, or begins again, to take writes. An instance that takes writes again counts as
    /// newly registered, so that shards of the time in between are found.
    ///
    /// # Errors
    ///
    /// [`Error::Stopped`] when the instance has left; [`Error::Store`] when the store could not be
    /// told: the next heartbeat tells it.
    pub async fn set_read_only(&self, is_read_only: bool) -> Result<(), Error> {
        let now = self.now();
        {
            let instance = &mut self.own.lock().instance;
            match (is_read_only, instance.read_only_since) {
                (true, None) => instance.read_only_since = Some(now),
                (false, Some(_)) => {
                    instance.read_only_since = None;
                    instance.registered = now;
                }
                (true, Some(_)) | (false, None) => {}
            }
        }
        self.publish().await
    }

    /// Sends heartbeats until asked to stop.
    async fn keep(&self, stop: &Stop) {
        let mut members = self.client.store().subscribe();
        while !stop.is_requested() {
            tokio::select! {
                () = stop.requested() => return,
                () = self.sleep(self.config.heartbeat_period) => self.beat().await,
                changed = members.changed() => {
                    if changed.is_err() {
                        // The store is gone, and the process with it.
                        return stop.requested().await;
                    }
                    let shown = members.borrow_and_update().clone();
                    if self.has_vanished(&shown) {
                        self.beat().await;
                    }
                }
            }
        }
    }

    /// Waits and sends heartbeats meanwhile; ends early when asked to stop.
    async fn pause(&self, duration: Duration, stop: Option<&Stop>) {
        let clock = &self.client.environment().clock;
        let end = clock.monotonic() + duration;
        let requested = async {
            match stop {
                Some(stop) => stop.requested().await,
                None => std::future::pending().await,
            }
        };
        tokio::pin!(requested);
        loop {
            let rest = end.saturating_sub(clock.monotonic());
            if rest.is_zero() {
                return;
            }
            tokio::select! {
                () = &mut requested => return,
                () = self.sleep(rest.min(self.config.heartbeat_period)) => self.beat().await,
            }
        }
    }

    /// One heartbeat. A store that cannot be told is told with the next one.
    async fn beat(&self) {
        let shown = self.client.store().subscribe().borrow().clone();
        self.has_vanished(&shown);
        match self.publish().await {
            Ok(()) => self.trouble.succeeded("heartbeat", self.client.name()),
            Err(error) => self.trouble.failed("heartbeat", self.client.name(), &error),
        }
        self.count_tokens();
        self.forget_the_silent().await;
    }

    /// Whether the record was there and is not any more; then it is registered anew.
    fn has_vanished(&self, shown: &Members) -> bool {
        if !shown.is_loaded {
            return false;
        }
        let is_shown = shown.get(&self.config.id).is_some();
        let now = self.now();
        let mut own = self.own.lock();
        let has_vanished = own.was_shown && !is_shown;
        own.was_shown = is_shown;
        if has_vanished {
            own.instance.registered = now;
            drop(own);
            let (ring, id) = (self.client.name(), &self.config.id);
            tracing::warn!(%ring, %id, "somebody removed this instance from the ring, adding it again");
        }
        has_vanished
    }

    /// Writes the record with a heartbeat of now, later than every one before.
    async fn publish(&self) -> Result<(), Error> {
        let _one_at_a_time = self.publishing.lock().await;
        let now = self.now();
        let instance = {
            let instance = &mut self.own.lock().instance;
            if instance.state == State::Left {
                return Err(Error::Stopped(self.client.name().to_string()));
            }
            instance.heartbeat = now.max(instance.heartbeat.plus(Duration::from_nanos(1)));
            instance.clone()
        };
        self.client.store().publish(&instance).await?;
        self.client.environment().metrics.heartbeat(self.client.name());
        Ok(())
    }

    async fn forget_the_silent(&self) {
        let Some(after) = self.config.forget_after else { return };
        let ring = self.client.ring();
        let now = self.now();
        // A process that hears nobody, or is not heard itself, is the one that is cut off.
        let is_alive =
            |instance: &Instance| instance.is_alive(ring.config().heartbeat_timeout, now);
        let hears_itself = ring.instance(&self.config.id).is_some_and(|own| is_alive(own));
        let hears_others =
            ring.instances().iter().any(|other| other.id != self.config.id && is_alive(other));
        if !hears_itself || !hears_others {
            return;
        }
        for id in self.client.silent_for(after) {
            if id == self.config.id || ring.instance(&id).is_none_or(|other| is_alive(other)) {
                continue;
            }
            match self.client.forget(&id).await {
                Ok(()) => {
                    self.client.environment().metrics.forgotten(self.client.name());
                    tracing::info!(ring = %self.client.name(), %id, "forgot a silent instance");
                }
                Err(error) => self.trouble.failed("forget", self.client.name(), &error),
            }
        }
    }

    fn count_tokens(&self) {
        let ring = self.client.ring();
        let is_own = |index: usize| ring.instances()[index].id == self.config.id;
        let owned = ring.tokens().filter(|(_, index)| is_own(*index)).count();
        let wanted = self.own.lock().instance.tokens.len();
        self.client.environment().metrics.set_own_tokens(self.client.name(), owned, wanted);
    }

    fn now(&self) -> Timestamp {
        self.client.environment().clock.now()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.client.environment().clock.sleep(duration)
    }
}

impl std::fmt::Debug for Lifecycler {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Lifecycler").field("id", &self.config.id).finish_non_exhaustive()
    }
}
