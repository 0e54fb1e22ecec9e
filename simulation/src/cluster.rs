//! The nodes: what survives them, how they start, die and leave.

use std::sync::Arc;
use std::time::Duration;

use distributor::{
    Config as DistributorConfig, Dependencies as DistributorDependencies, Distributor,
    OneDistributor, ReplicatedAppender, ReplicatedConfig, ReplicatedDependencies, RingNow,
};
use hash_ring::{Instance, Ring, RingConfig, State, token};
use ingester::{
    Config, Dependencies, Ingester, Limits, MemoryDirectory, Metrics, Replicas, Threads,
};
use model::{TenantId, Timestamp};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use runtime::backoff::BackoffPolicy;
use runtime::clock::{Clock, ManualClock};
use runtime::limits::SameLimits;
use runtime::random::SeededRandom;
use segment::{EncodeSettings, IndexPolicy};
use store::{MemoryBucket, Store};

use crate::clock::NodeClock;
use crate::network::{Network, Wires};

/// When schedules begin, in seconds since the epoch.
const START: i64 = 1_755_900_000;
/// How many tokens an instance has; few, so that streams differ in their owners.
const TOKENS: usize = 8;

/// One ingester, and what outlives its processes.
pub(crate) struct Node {
    pub(crate) id: String,
    pub(crate) clock: NodeClock,
    pub(crate) disk: MemoryDirectory,
    pub(crate) ingester: Option<Arc<Ingester>>,
    pub(crate) instance: Arc<Instance>,
    /// How often it was started.
    pub(crate) starts: u64,
    rank: u32,
}

/// The ring as the distributor knows it.
#[derive(Clone)]
pub(crate) struct KnownRing(pub(crate) Arc<Mutex<Ring>>);

impl RingNow for KnownRing {
    fn ring(&self) -> Ring {
        self.0.lock().clone()
    }
}

struct Rank(u32);

impl Replicas for Rank {
    fn rank(&self, _tenant: &TenantId) -> u32 {
        self.0
    }
}

/// All of it.
pub(crate) struct Cluster {
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) bucket: MemoryBucket,
    pub(crate) network: Arc<Network>,
    pub(crate) nodes: Vec<Node>,
    pub(crate) ring: KnownRing,
    pub(crate) distributor: Arc<Distributor>,
    pub(crate) distributor_clock: NodeClock,
    seed: u64,
}

impl Cluster {
    /// A cluster of so many ingesters with replication factor 3, all of them up.
    pub(crate) async fn new(nodes: usize, seed: u64) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(START)));
        let network = Network::new(&clock, seed ^ 0x6e65_7477);
        let random = SeededRandom::new(seed ^ 0x746f_6b65);
        let mut taken = std::collections::HashSet::new();
        let make = |index: usize| {
            let tokens = token::random_tokens(TOKENS, &taken, &random);
            taken.extend(tokens.iter().copied());
            let id = format!("i{index}");
            let instance = Instance {
                id: id.as_str().into(),
                address: id.as_str().into(),
                zone: "".into(),
                state: State::Active,
                tokens: tokens.into(),
                heartbeat: clock.now(),
                registered: clock.now(),
                read_only_since: None,
            };
            Node {
                id,
                clock: NodeClock::new(&clock),
                disk: MemoryDirectory::new(),
                ingester: None,
                instance: Arc::new(instance),
                starts: 0,
                rank: (index % 3) as u32,
            }
        };
        let nodes: Vec<Node> = (0..nodes).map(make).collect();
        let members = nodes.iter().map(|node| Arc::clone(&node.instance));
        let ring = KnownRing(Arc::new(Mutex::new(Ring::new(&RingConfig::default(), members))));
        let distributor_clock = NodeClock::new(&clock);
        let appender = ReplicatedAppender::new(
            ReplicatedConfig::default(),
            ReplicatedDependencies {
                ring: Arc::new(ring.clone()),
                peers: Arc::new(Wires(Arc::clone(&network))),
                clock: Arc::new(distributor_clock.clone()),
            },
        );
        let dependencies = DistributorDependencies {
            limits: Arc::new(SameLimits::new(distributor_limits())),
            appender: Arc::new(appender),
            distributors: Arc::new(OneDistributor),
            clock: Arc::new(distributor_clock.clone()),
            registry: &mut Registry::default(),
        };
        let distributor = Arc::new(Distributor::new(DistributorConfig::default(), dependencies));
        let bucket = MemoryBucket::default();
        let mut cluster =
            Self { clock, bucket, network, nodes, ring, distributor, distributor_clock, seed };
        for index in 0..cluster.nodes.len() {
            cluster.start(index).await;
        }
        cluster
    }

    /// A store of a process of its own; `None` when object storage does not answer.
    pub(crate) async fn open_store(&self) -> Option<Arc<Store>> {
        let clock = Arc::clone(&self.clock) as Arc<dyn Clock>;
        let dependencies = store::Dependencies { clock, metrics: store::Metrics::default() };
        Store::open(store::Config::shared_memory(&self.bucket), dependencies).await.ok()
    }

    /// Starts the process of a node, if everything that it needs answers.
    pub(crate) async fn start(&mut self, index: usize) {
        let Some(store) = self.open_store().await else { return };
        let node = &mut self.nodes[index];
        if node.ingester.is_some() {
            return;
        }
        node.starts += 1;
        let config = Config {
            instance: node.id.clone(),
            threads: Threads::Caller,
            flush_on_stop: false,
            flush_bytes: 1 << 10,
            memory_bytes_max: 1 << 20,
            wal_file_bytes: 4096,
            flush_backoff: BackoffPolicy {
                min: Duration::from_secs(1),
                max: Duration::from_secs(8),
                ..BackoffPolicy::default()
            },
            encode: EncodeSettings { index: IndexPolicy::Nothing, ..EncodeSettings::default() },
            ..Config::default()
        };
        let limits = Limits { per_stream_rate: 0, ..Limits::default() };
        let seed = self.seed ^ (index as u64) << 32 ^ node.starts;
        let dependencies = Dependencies {
            clock: Arc::new(node.clock.clone()),
            random: Arc::new(SeededRandom::new(seed)),
            limits: Arc::new(SameLimits::new(limits)),
            store,
            replicas: Some(Arc::new(Rank(node.rank))),
            metrics: Metrics::default(),
        };
        let disk = Arc::new(node.disk.clone());
        // A log that cannot be opened now is opened by the next start.
        node.ingester = Ingester::open_in(config, dependencies, disk).await.ok();
        self.network.place(&node.id, node.ingester.clone());
    }

    /// The process and the power of a node go; of unsynced bytes some remain.
    pub(crate) fn crash(&mut self, index: usize, kept: usize) {
        let node = &mut self.nodes[index];
        self.network.place(&node.id, None);
        node.ingester = None;
        // What is left of the old process writes to a disk that nobody reads.
        node.disk = node.disk.fork();
        node.disk.lose_power(kept);
    }

    /// Shows the distributor who is alive now. The dead stay members until they come back.
    pub(crate) fn heartbeat(&mut self) {
        let now = self.clock.now();
        for node in self.nodes.iter_mut().filter(|node| node.ingester.is_some()) {
            let read_only = node.ingester.as_ref().is_some_and(|i| i.is_read_only());
            let read_only_since = read_only.then_some(now);
            let instance = Instance { heartbeat: now, read_only_since, ..(*node.instance).clone() };
            node.instance = Arc::new(instance);
        }
        let members: Vec<_> = self.nodes.iter().map(|node| Arc::clone(&node.instance)).collect();
        let mut ring = self.ring.0.lock();
        *ring = ring.refreshed(members);
    }

    /// Lets time pass, and everybody do what is due.
    pub(crate) async fn pass(&mut self, time: Duration) {
        self.clock.advance(time);
        self.heartbeat();
        settle().await;
    }
}

fn distributor_limits() -> distributor::Limits {
    distributor::Limits {
        max_entry_age: None,
        creation_grace_period: Duration::from_secs(86_400),
        discover_log_levels: false,
        ..distributor::Limits::default()
    }
}

/// Lets everybody do what they can without time passing.
pub(crate) async fn settle() {
    for _ in 0..12 {
        tokio::task::yield_now().await;
    }
}
