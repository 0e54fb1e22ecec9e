//! Queries over real connections to ingesters that keep the same rows, of which some fail.

use std::net::SocketAddr;
use std::sync::Arc;

use api::append::{AppendBatch, AppendOutcome};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use logql::eval::memory::MemorySource;
use logql::source::{Batch, Piece, Selection, Source, SourceError, StreamSummary, Want};
use model::{Entry, ErrorKind, Labels, Matcher, TenantId, TimeRange, Timestamp};
use parking_lot::Mutex;
use querier::{Recent, RecentSource};
use rpc::ingester::{Giver, Heads, HeadsView, IngesterRole, TailNews, TakeOver};
use rpc::{Error, Pool, PoolConfig};
use runtime::clock::{ManualClock, SystemClock};
use runtime::random::SystemRandom;
use runtime::task;
use segment::SegmentName;
use store::config::Backend;
use store::{Config, Dependencies, Metrics, Store};
use tokio::net::TcpListener;

use super::peers::{Member, Peers, Replicas, RingPeers};
use super::recent::{Partial, RemoteRecent};

/// A segment that no listing of the test's storage shows.
const STORED: &str = "seg/a/20241004/0/11y2p0ij32e8e8-1y2p0ij32e8e9-9ix-\
                      00000000000000000123456789abcdef.25.seg";

/// An ingester with some rows.
#[derive(Default)]
struct Role {
    rows: Vec<i64>,
    /// What it says it stored lately.
    stored: Vec<(String, u64)>,
    fails: Mutex<bool>,
}

struct View(MemorySource);

impl HeadsView for View {
    fn flushed_as(&self, _origin: u64) -> Vec<String> {
        Vec::new()
    }
}

impl Source for View {
    fn pieces(&self, selection: &Selection) -> Result<Vec<Piece>, SourceError> {
        self.0.pieces(selection)
    }

    fn load(&self, piece: &Piece, want: &Want) -> Result<Batch, SourceError> {
        self.0.load(piece, want)
    }

    fn streams(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<StreamSummary>, SourceError> {
        self.0.streams(matchers, range)
    }
}

impl IngesterRole for Role {
    fn append(&self, _batch: AppendBatch) -> BoxFuture<'_, Result<AppendOutcome, Error>> {
        async { Ok(AppendOutcome::default()) }.boxed()
    }

    fn heads(
        &self,
        _tenant: &TenantId,
        _matchers: &[Matcher],
        _range: TimeRange,
    ) -> Result<Heads, Error> {
        if *self.fails.lock() {
            return Err(Error::new(ErrorKind::Unavailable, "starting"));
        }
        let entry = |at: &i64| Entry::new(Timestamp(*at), format!("{at}").into_bytes());
        let entries = self.rows.iter().map(entry).collect::<Vec<_>>();
        let view = Arc::new(View(MemorySource::of([(Labels::new([("app", "x")]), entries)])));
        Ok(Heads { view, incarnation: 1, stored: self.stored.clone() })
    }

    fn tail(
        &self,
        _tenant: &TenantId,
        _matchers: Vec<Matcher>,
    ) -> Result<BoxStream<'static, TailNews>, Error> {
        Err(Error::new(ErrorKind::Unavailable, "no tails here"))
    }

    fn flush(&self, _tenant: Option<TenantId>) -> BoxFuture<'_, Result<(), Error>> {
        async { Ok(()) }.boxed()
    }

    fn take_over(&self, _giver: Giver) -> BoxFuture<'_, Result<Box<dyn TakeOver>, Error>> {
        async { Err(Error::new(ErrorKind::Unavailable, "takes over nothing")) }.boxed()
    }
}

async fn serve(role: Arc<Role>) -> (SocketAddr, task::AbortOnDrop<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = rpc::ingester::service(role);
    let accept = async move {
        let mut connections = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            let service = TowerToHyperService::new(service.clone());
            connections.push(task::AbortOnDrop(task::spawn("connection", async move {
                let builder = Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
            })));
        }
    };
    (address, task::AbortOnDrop(task::spawn("listener", accept)))
}

struct Known(Replicas);

impl Peers for Known {
    fn readable(&self, _tenant: &TenantId) -> Result<Replicas, Error> {
        Ok(self.0.clone())
    }

    fn everyone(&self) -> Vec<Arc<str>> {
        self.0.members.iter().map(|member| Arc::clone(&member.address)).collect()
    }
}

/// Ingesters, and what asks them.
struct Rig {
    roles: Vec<Arc<Role>>,
    addresses: Vec<SocketAddr>,
    store: Arc<Store>,
    _listeners: Vec<task::AbortOnDrop<()>>,
}

impl Rig {
    async fn new(roles: Vec<Role>) -> Self {
        let roles: Vec<Arc<Role>> = roles.into_iter().map(Arc::new).collect();
        let (mut addresses, mut listeners) = (Vec::new(), Vec::new());
        for role in &roles {
            let (address, listener) = serve(Arc::clone(role)).await;
            addresses.push(address);
            listeners.push(listener);
        }
        let config = Config { backend: Backend::Memory, ..Config::default() };
        let dependencies =
            Dependencies { clock: Arc::new(SystemClock), metrics: Metrics::default() };
        let store = Store::open(config, dependencies).await.unwrap();
        Self { roles, addresses, store, _listeners: listeners }
    }

    /// What a query sees when so many ingesters may fail.
    async fn snapshot(&self, errors_max: usize, partial: Partial) -> Arc<dyn RecentSource> {
        let members = self.addresses.iter().map(|address| Member {
            address: address.to_string().into(),
            zone: "".into(),
            is_leaving: false,
        });
        let replicas = Replicas { members: members.collect(), errors_max, zones_max: None };
        let config = PoolConfig::default();
        let pool = Pool::new(config, Arc::new(SystemClock), Arc::new(SystemRandom)).unwrap();
        let store = Arc::clone(&self.store);
        let recent = RemoteRecent::new(Arc::new(Known(replicas)), pool, store, partial);
        let tenant = TenantId::new("a").unwrap();
        let snapshot = move || recent.snapshot(&tenant, &[], TimeRange::ALL);
        task::run_blocking(snapshot).await.unwrap()
    }
}

/// The distinct times of a snapshot's rows, with how many holders they have; or why not.
async fn read(source: &Arc<dyn RecentSource>) -> Result<(Vec<i64>, usize), SourceError> {
    let source = Arc::clone(source);
    let read = move || {
        let pieces = source.pieces(&Selection::all(&[], TimeRange::ALL))?;
        let mut holders: Vec<u64> =
            pieces.iter().map(|piece| source.holder(piece.origin)).collect();
        let mut times = Vec::new();
        for piece in &pieces {
            times.extend(source.load(piece, &Want::default())?.timestamps);
        }
        times.sort_unstable();
        times.dedup();
        holders.sort_unstable();
        holders.dedup();
        Ok((times, holders.len()))
    };
    task::run_blocking(read).await.unwrap()
}

fn role(rows: &[i64]) -> Role {
    Role { rows: rows.to_vec(), ..Role::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_may_fail_as_far_as_others_hold_their_rows() {
    let rig = Rig::new(vec![role(&[1, 2]), role(&[2, 3]), role(&[1, 3])]).await;
    let whole = rig.snapshot(1, Partial::Fail).await;
    // Which of three answer in time is not known; two of them hold everything.
    let (times, holders) = read(&whole).await.unwrap();
    assert_eq!(times, [1, 2, 3]);
    assert!(holders >= 2);
    assert!(whole.warnings().is_empty());

    *rig.roles[1].fails.lock() = true;
    let without_one = rig.snapshot(1, Partial::Fail).await;
    assert_eq!(read(&without_one).await.unwrap(), (vec![1, 2, 3], 2));
    assert!(without_one.warnings().is_empty());

    *rig.roles[0].fails.lock() = true;
    let error = read(&rig.snapshot(1, Partial::Fail).await).await.unwrap_err();
    assert_eq!(error.kind, ErrorKind::Unavailable);
    assert!(error.message.contains("starting"), "{}", error.message);
    let partial = rig.snapshot(1, Partial::Warn).await;
    assert_eq!(read(&partial).await.unwrap(), (vec![1, 3], 1));
    assert!(partial.warnings()[0].starts_with("the answer is incomplete"), "a warning");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn an_ingester_that_is_gone_while_a_query_runs_is_told_or_tolerated() {
    let mut rig = Rig::new(vec![role(&[1, 2]), role(&[1, 2])]).await;
    let tolerant = rig.snapshot(1, Partial::Fail).await;
    let strict = rig.snapshot(0, Partial::Fail).await;
    drop(rig._listeners.remove(0));
    assert_eq!(read(&tolerant).await.unwrap().0, [1, 2]);
    let error = loop {
        // The connection is cut as soon as the task is gone.
        if let Err(error) = read(&strict).await {
            break error;
        }
    };
    assert_eq!(error.kind, ErrorKind::Unavailable);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_was_stored_lately_is_known_to_the_catalog() {
    let stored = vec![(STORED.to_owned(), 77)];
    let rig = Rig::new(vec![Role { stored, ..role(&[1]) }]).await;
    let name = SegmentName::parse(STORED).unwrap();
    assert!(!rig.store.catalog().contains(&name));
    rig.snapshot(0, Partial::Fail).await;
    let catalog = rig.store.catalog();
    assert_eq!(catalog.get(&name).map(|segment| segment.bytes), Some(77));
}

#[test]
fn zones_fail_as_one() {
    let member =
        |zone: &str| Member { address: "host:1".into(), zone: zone.into(), is_leaving: false };
    let members = vec![member("a"), member("a"), member("b"), member("c")];
    let zoned = Replicas { members: members.clone(), errors_max: 0, zones_max: Some(1) };
    assert!(zoned.tolerates(&[0, 1]) && zoned.tolerates(&[]) && !zoned.tolerates(&[0, 2]));
    let plain = Replicas { members, errors_max: 1, zones_max: None };
    assert!(plain.tolerates(&[3]) && !plain.tolerates(&[0, 1]));
}

#[test]
fn a_ring_says_whom_to_ask() {
    let instance = |number: u32, zone: &str| hash_ring::Instance {
        id: format!("ingester-{number}").into(),
        address: format!("host-{number}:9095").into(),
        zone: zone.into(),
        state: hash_ring::State::Active,
        tokens: vec![number].into(),
        heartbeat: Timestamp(0),
        registered: Timestamp(0),
        read_only_since: None,
    };
    let check = |zone_aware: bool, errors_max: usize, zones_max: Option<usize>| {
        let config = hash_ring::RingConfig {
            replication_factor: 3,
            heartbeat_timeout: std::time::Duration::from_secs(60),
            zone_aware,
        };
        let zones = [(3, "c"), (1, "a"), (2, "b")];
        let members = zones.map(|(number, zone)| Arc::new(instance(number, zone)));
        let ring = hash_ring::Ring::new(&config, members);
        let clock = Arc::new(ManualClock::new(Timestamp(0)));
        let peers = RingPeers::new(move || ring.clone(), Arc::clone(&clock) as _);
        let replicas = peers.readable(&TenantId::new("a").unwrap()).unwrap();
        let addresses: Vec<&str> = replicas.members.iter().map(|member| &*member.address).collect();
        assert_eq!(addresses, ["host-1:9095", "host-2:9095", "host-3:9095"]);
        assert_eq!((replicas.errors_max, replicas.zones_max), (errors_max, zones_max));
        clock.advance(std::time::Duration::from_secs(61));
        assert!(peers.readable(&TenantId::new("a").unwrap()).is_err());
        assert_eq!(peers.everyone().len(), 3, "the silent ones have rows in their logs");
    };
    check(false, 1, None);
    check(true, 0, Some(1));
}
