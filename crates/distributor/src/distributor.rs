//! The distributor itself: what it holds and what it needs. What it does stands in `push`.

use std::sync::Arc;

use prometheus_client::registry::Registry;
use runtime::clock::Clock;
use runtime::limits::LimitsFor;

use crate::appender::Appender;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::streams::Tenants;

/// How the distributor works, for all tenants.
#[derive(Debug, Clone, PartialEq)]
pub struct Config {
    /// How many streams of a tenant are remembered parsed and validated. More saves work when a
    /// tenant pushes more streams than this again and again; one costs a few hundred bytes.
    pub known_streams_per_tenant: usize,
    /// Whether very hot streams may be split, as tenants' limits say. Worth it where streams belong
    /// to some of many ingesters; in one process a split stream only is a changed one.
    pub shard_streams: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self { known_streams_per_tenant: 100_000, shard_streams: false }
    }
}

/// Knows how many distributors share a tenant's pushes.
pub trait Distributors: Send + Sync {
    /// How many are healthy now, this one included.
    fn healthy(&self) -> usize;
}

/// This distributor is the only one.
#[derive(Debug, Clone, Copy, Default)]
pub struct OneDistributor;

impl Distributors for OneDistributor {
    fn healthy(&self) -> usize {
        1
    }
}

/// What a distributor works with.
pub struct Dependencies<'a> {
    /// The limits of every tenant.
    pub limits: Arc<dyn LimitsFor<Limits>>,
    /// Where batches go.
    pub appender: Arc<dyn Appender>,
    /// Who else takes pushes, for rates that hold for all together.
    pub distributors: Arc<dyn Distributors>,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// Where the metrics are exposed.
    pub registry: &'a mut Registry,
}

/// What is known of a push beside its streams.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct PushContext {
    /// The protocol it came in.
    pub format: PushFormat,
    /// The policy named by `X-Loki-Ingestion-Policy`.
    pub policy: Option<String>,
    /// The shard named by `X-Loki-Backfill-Shard`, which marks a backfill.
    pub backfill_shard: Option<String>,
}

/// The protocol of a push; metrics are kept apart by it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, Default)]
pub enum PushFormat {
    /// Loki's own, protobuf or JSON.
    #[default]
    Loki,
    /// OTLP. Its decoder has discovered the service name already.
    Otlp,
}

/// Takes pushes in. Pushes may run side by side.
pub struct Distributor {
    pub(crate) limits: Arc<dyn LimitsFor<Limits>>,
    pub(crate) appender: Arc<dyn Appender>,
    pub(crate) distributors: Arc<dyn Distributors>,
    pub(crate) shards_streams: bool,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) tenants: Tenants,
    pub(crate) metrics: Metrics,
}

impl Distributor {
    /// A distributor. Registers its metrics: build one per process and registry.
    #[must_use]
    pub fn new(config: Config, dependencies: Dependencies<'_>) -> Self {
        let Dependencies { limits, appender, distributors, clock, registry } = dependencies;
        let shards_streams = config.shard_streams;
        let (tenants, metrics) = (Tenants::new(config), Metrics::register(registry));
        Self { limits, appender, distributors, shards_streams, clock, tenants, metrics }
    }
}
