//! A ring as this process sees it: always the newest, and read without waiting.

mod observer;

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use arc_swap::ArcSwap;
use parking_lot::Mutex;
use runtime::task::{self, AbortOnDrop};
use tokio::sync::watch;

use crate::instance::State;
use crate::page::{self, UNHEALTHY};
use crate::ring::{Ring, RingConfig};
use crate::store::{Environment, Members, RingStore};
use observer::Observer;

/// Every state that a metric or a page shows.
const SHOWN_STATES: [&str; 5] = ["ACTIVE", "LEAVING", "PENDING", "JOINING", UNHEALTHY];

/// Follows one ring of a store. Dropping the last handle ends it.
pub struct RingClient {
    shared: Arc<Shared>,
    store: Arc<dyn RingStore>,
    _follower: AbortOnDrop<()>,
}

struct Shared {
    name: Arc<str>,
    environment: Environment,
    ring: ArcSwap<Ring>,
    changes: watch::Sender<Ring>,
    observer: Mutex<Observer>,
    is_loaded: AtomicBool,
}

impl RingClient {
    /// Begins to follow the ring `name` of `store`. It is empty until the store has been read.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[must_use]
    pub fn start(
        name: &str,
        config: &RingConfig,
        store: Arc<dyn RingStore>,
        environment: Environment,
    ) -> Arc<Self> {
        let ring = Ring::new(config, []);
        let shared = Arc::new(Shared {
            name: name.into(),
            environment,
            ring: ArcSwap::from_pointee(ring.clone()),
            changes: watch::Sender::new(ring),
            observer: Mutex::default(),
            is_loaded: AtomicBool::default(),
        });
        let members = store.subscribe();
        shared.look(&members.borrow());
        let follower = task::spawn("ring", Arc::clone(&shared).follow(members));
        Arc::new(Self { shared, store, _follower: AbortOnDrop(follower) })
    }

    /// The ring of this moment. Heartbeats in it are on this process's clock: when it last noticed
    /// that the instance had sent one.
    #[must_use]
    pub fn ring(&self) -> Ring {
        Ring::clone(&self.shared.ring.load())
    }

    /// Shows the ring after every change, and every few seconds without one.
    #[must_use]
    pub fn changes(&self) -> watch::Receiver<Ring> {
        self.shared.changes.subscribe()
    }

    /// Whether the store was read at all; until then the ring is empty.
    #[must_use]
    pub fn is_loaded(&self) -> bool {
        self.shared.is_loaded.load(Ordering::Acquire)
    }

    /// Waits until the store was read. Cancel safe.
    pub async fn loaded(&self) {
        // The sender lives in the state that this client shares.
        let _ = self.changes().wait_for(|_| self.is_loaded()).await;
    }

    /// The name of the ring.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.shared.name
    }

    /// The rows of the ring page.
    #[must_use]
    pub fn rows(&self) -> Vec<page::Row> {
        page::rows(&self.ring(), self.shared.environment.clock.now())
    }

    /// Removes an instance that is gone, for everybody.
    ///
    /// # Errors
    ///
    /// Those of [`RingStore::forget`].
    pub async fn forget(&self, id: &str) -> Result<(), crate::Error> {
        self.store.forget(id).await
    }

    /// The instances that this process has watched without noticing a heartbeat for that long.
    /// No other process's clock decides it.
    pub(crate) fn silent_for(&self, duration: Duration) -> Vec<Arc<str>> {
        let now = self.environment().clock.monotonic();
        self.shared.observer.lock().silent_since(now.saturating_sub(duration))
    }

    pub(crate) fn environment(&self) -> &Environment {
        &self.shared.environment
    }

    pub(crate) fn store(&self) -> &Arc<dyn RingStore> {
        &self.store
    }
}

impl Shared {
    async fn follow(self: Arc<Self>, mut members: watch::Receiver<Members>) {
        // Often enough that a heartbeat which turned old, or a clock that was set, shows soon.
        let timeout = self.ring.load().config().heartbeat_timeout;
        let pause = (timeout / 20).clamp(Duration::from_millis(50), Duration::from_secs(5));
        loop {
            tokio::select! {
                changed = members.changed() => if changed.is_err() {
                    return;
                },
                () = self.environment.clock.sleep(pause) => {}
            }
            let seen = members.borrow_and_update().clone();
            self.look(&seen);
        }
    }

    fn look(&self, members: &Members) {
        let clock = &self.environment.clock;
        let (now, monotonic) = (clock.now(), clock.monotonic());
        let instances = self.observer.lock().observe(&members.instances, now, monotonic);
        let ring = self.ring.load().refreshed(instances);
        self.count(&ring);
        self.ring.store(Arc::new(ring.clone()));
        self.is_loaded.store(members.is_loaded, Ordering::Release);
        self.changes.send_replace(ring);
    }

    fn count(&self, ring: &Ring) {
        let (now, metrics) = (self.environment.clock.now(), &self.environment.metrics);
        let timeout = ring.config().heartbeat_timeout;
        for state in SHOWN_STATES {
            let heartbeats = ring
                .instances()
                .iter()
                .filter(|instance| page::state_of(instance, timeout, now) == state)
                .map(|instance| instance.heartbeat);
            let (count, oldest) =
                heartbeats.fold((0, None), |(count, oldest), next: model::Timestamp| {
                    (count + 1, Some(oldest.map_or(next, |oldest| next.min(oldest))))
                });
            let seconds = oldest.map_or(0, |oldest| oldest.as_millis() / 1000);
            metrics.set_members(&self.name, state, count, seconds);
        }
        metrics.set_tokens(&self.name, ring.tokens().len());
    }
}

impl std::fmt::Debug for RingClient {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let states: Vec<(Arc<str>, State)> =
            self.ring().instances().iter().map(|i| (Arc::clone(&i.id), i.state)).collect();
        f.debug_struct("RingClient").field("name", self.name()).field("members", &states).finish()
    }
}
