//! Where a ring is kept, so that all processes see the same instances.
//!
//! A store holds one record for each instance of each ring. An instance writes only its own
//! record, so there is nothing to compare and swap, and a store that merely spreads records
//! (gossip) will do. Whoever reads them decides disputes, the same way everywhere.
//!
//! Several rings share one store: [`RingStores::ring`] gives the part of one.

pub mod consul;
pub mod etcd;
#[cfg(test)]
pub(crate) mod fake;
pub mod gossip;
mod http;
pub mod memory;
mod record;
pub(crate) mod trouble;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use runtime::backoff::BackoffPolicy;
use runtime::clock::Clock;
use runtime::random::Random;
use tokio::sync::watch;

use crate::Error;
use crate::instance::Instance;
use crate::metrics::Metrics;

pub use consul::{ConsulConfig, ConsulStores};
pub use etcd::{EtcdConfig, EtcdStores};
pub use gossip::{GossipConfig, GossipStores};
pub use memory::MemoryStores;

/// How often a store is asked before a change of a record fails.
const CHANGE_RETRIES: BackoffPolicy =
    BackoffPolicy { min: Duration::from_millis(100), max: Duration::from_secs(1), retries_max: 3 };

/// The waits between attempts to follow a store that cannot be reached; they go on for ever, the
/// last one repeated.
const FOLLOW_RETRIES: BackoffPolicy =
    BackoffPolicy { min: Duration::from_millis(200), max: Duration::from_secs(10), retries_max: 8 };

/// The instances of one ring as its store shows them at one moment.
#[derive(Debug, Clone, Default)]
pub struct Members {
    /// In the order of names. Records of instances that have left are not among them.
    pub instances: Arc<[Arc<Instance>]>,
    /// Whether the store was read at all; an empty ring means nothing before.
    pub is_loaded: bool,
}

impl Members {
    /// The instance of this name.
    #[must_use]
    pub fn get(&self, id: &str) -> Option<&Arc<Instance>> {
        self.instances.iter().find(|instance| *instance.id == *id)
    }

    fn loaded(records: &BTreeMap<Arc<str>, Arc<Instance>>) -> Self {
        Self { instances: records.values().cloned().collect(), is_loaded: true }
    }
}

/// The records of one ring.
pub trait RingStore: Send + Sync {
    /// Writes the record of this process's own instance. Retries a few times.
    ///
    /// # Errors
    ///
    /// [`Error::Store`]: the record may or may not have been written; publish again.
    fn publish(&self, instance: &Instance) -> BoxFuture<'_, Result<(), Error>>;

    /// Removes the record of this process's own instance, for good. Retries a few times.
    ///
    /// # Errors
    ///
    /// [`Error::Store`]: the record may still be there, and becomes UNHEALTHY.
    fn withdraw(&self, id: &str) -> BoxFuture<'_, Result<(), Error>>;

    /// Removes the record of an instance that is gone. One that lives comes back with its next
    /// heartbeat.
    ///
    /// # Errors
    ///
    /// [`Error::Store`]: the record may still be there; forget again.
    fn forget(&self, id: &str) -> BoxFuture<'_, Result<(), Error>>;

    /// What the store shows, now and after every change.
    fn subscribe(&self) -> watch::Receiver<Members>;
}

/// A store of several rings.
pub trait RingStores: Send + Sync {
    /// The records of the ring of this name. Ask once for each ring and share the answer.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    fn ring(&self, name: &str) -> Arc<dyn RingStore>;

    /// Lets the others hear the last changes before the process ends; bounded.
    fn close(&self) -> BoxFuture<'_, ()> {
        Box::pin(std::future::ready(()))
    }
}

/// What every store works with.
#[derive(Clone)]
pub struct Environment {
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Chance, for jitter and tokens.
    pub random: Arc<dyn Random>,
    /// What is counted.
    pub metrics: Metrics,
}

/// Which store keeps the rings.
#[derive(Debug, Clone)]
pub enum StoreConfig {
    /// This process alone.
    Memory,
    /// The processes themselves, over UDP.
    Gossip(GossipConfig),
    /// An etcd cluster.
    Etcd(EtcdConfig),
    /// A Consul agent.
    Consul(ConsulConfig),
}

/// Opens a store. Nothing but the gossip socket is needed for it to succeed: stores that cannot
/// be reached yet are tried again in the background.
///
/// # Errors
///
/// [`Error::Config`] when the configuration makes no sense, [`Error::Store`] when the gossip
/// socket cannot be bound.
///
/// # Panics
///
/// Outside a tokio runtime.
pub async fn open(
    config: StoreConfig,
    http: reqwest::Client,
    environment: Environment,
) -> Result<Arc<dyn RingStores>, Error> {
    Ok(match config {
        StoreConfig::Memory => Arc::new(MemoryStores::default()),
        StoreConfig::Gossip(config) => Arc::new(GossipStores::open(config, environment).await?),
        StoreConfig::Etcd(config) => Arc::new(EtcdStores::new(&config, http, environment)?),
        StoreConfig::Consul(config) => Arc::new(ConsulStores::new(&config, http, environment)?),
    })
}
