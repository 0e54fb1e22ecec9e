//! Several ingesters, one bucket: nothing is lost, and little is stored twice.

use std::collections::{BTreeMap, BTreeSet};

use api::append::{AppendBatch, BatchBuilder};
use logql::source::{Selection, Source as _, Want};
use model::Labels;
use proptest::prelude::*;
use runtime::clock::{Clock as _, ManualClock};
use runtime::limits::SameLimits;
use runtime::random::SeededRandom;
use segment::{decode_lengths, decode_lines, decode_timestamps};
use store::MemoryBucket;

use super::*;
use crate::config::{Config, Limits, Threads};
use crate::ingester::{Dependencies, Ingester};
use crate::metrics::Metrics;
use crate::wal::faulty::MemoryDirectory;

const START: i64 = 1_755_900_000;

/// An entry: stream, time, line.
type Entry = (u8, i64, String);

struct Rank(u32);

impl Replicas for Rank {
    fn rank(&self, _tenant: &TenantId) -> u32 {
        self.0
    }
}

struct Cluster {
    bucket: MemoryBucket,
    clock: Arc<ManualClock>,
    config: Config,
    is_replicated: bool,
    disks: Vec<MemoryDirectory>,
    ingesters: Vec<Arc<Ingester>>,
    /// A querier's view of the bucket, renewed only when it must be.
    querier: Arc<Store>,
}

async fn open_store(bucket: &MemoryBucket, clock: &Arc<ManualClock>) -> Arc<Store> {
    let dependencies =
        store::Dependencies { clock: Arc::clone(clock) as _, metrics: store::Metrics::default() };
    Store::open(store::Config::shared_memory(bucket), dependencies).await.unwrap()
}

impl Cluster {
    async fn new(count: usize, is_replicated: bool, flush_bytes: u64) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(START)));
        let config = Config {
            threads: Threads::Caller,
            flush_on_stop: false,
            flush_bytes,
            memory_bytes_max: 8 * flush_bytes,
            ..Config::default()
        };
        let bucket = MemoryBucket::default();
        let querier = open_store(&bucket, &clock).await;
        let (disks, ingesters) = (Vec::new(), Vec::new());
        let mut cluster = Self { bucket, clock, config, is_replicated, disks, ingesters, querier };
        for index in 0..count {
            cluster.disks.push(MemoryDirectory::new());
            let ingester = cluster.open(index).await;
            cluster.ingesters.push(ingester);
        }
        cluster
    }

    async fn open(&self, index: usize) -> Arc<Ingester> {
        let config = Config { instance: format!("i{index}"), ..self.config.clone() };
        let limits = Limits { per_stream_rate: 0, ..Limits::default() };
        let dependencies = Dependencies {
            clock: Arc::clone(&self.clock) as _,
            random: Arc::new(SeededRandom::new(index as u64)),
            limits: Arc::new(SameLimits::new(limits)),
            store: open_store(&self.bucket, &self.clock).await,
            replicas: self.is_replicated.then(|| Arc::new(Rank(index as u32)) as _),
            metrics: Metrics::default(),
        };
        let disk = Arc::new(self.disks[index].clone());
        Ingester::open_in(config, dependencies, disk).await.unwrap()
    }

    /// The process and the power go, and come back.
    async fn crash(&mut self, index: usize) {
        // What is left of the old process writes to a disk that nobody reads.
        self.disks[index] = self.disks[index].fork();
        self.disks[index].lose_power(0);
        self.ingesters[index] = self.open(index).await;
    }

    /// Lets time pass, second by second, and everybody do what is due.
    async fn pass(&self, seconds: u64) {
        for _ in 0..seconds {
            self.clock.advance(Duration::from_secs(1));
            settle().await;
        }
    }

    /// What a query sees, now.
    fn read(&self, runtime: &mut impl FnMut(&Store)) -> BTreeSet<Entry> {
        let snapshots: Vec<_> = self
            .ingesters
            .iter()
            .map(|ingester| ingester.snapshot(&TenantId::anonymous(), &[], everything()))
            .collect();
        let lacks = |name: &SegmentName| !self.querier.catalog().contains(name);
        let tenant = TenantId::anonymous();
        let lately = self.ingesters.iter().flat_map(|ingester| ingester.stored_lately(&tenant));
        if lately.into_iter().any(|segment| lacks(&segment.name)) {
            runtime(&self.querier);
        }
        let catalog = self.querier.catalog();
        let mut found: BTreeSet<Entry> = stored(&self.querier).into_keys().collect();
        for heads in &snapshots {
            for piece in heads.pieces(&Selection::all(&[], everything())).unwrap() {
                let names = heads.flushed_as(piece.origin);
                if !names.is_empty() && names.iter().all(|name| catalog.contains(name)) {
                    continue;
                }
                let batch = heads.load(&piece, &Want::default()).unwrap();
                for run in &batch.runs {
                    let stream = run.labels.get("n").unwrap().parse().unwrap();
                    found.extend(run.rows.clone().map(|row| {
                        let line = String::from_utf8(batch.lines.row(row).to_vec()).unwrap();
                        (stream, batch.timestamps[row], line)
                    }));
                }
            }
        }
        found
    }
}

/// Lets everybody do what they can without time passing.
async fn settle() {
    for _ in 0..40 {
        tokio::task::yield_now().await;
    }
}

fn everything() -> TimeRange {
    TimeRange::new(Timestamp::MIN, Timestamp::MAX)
}

/// Every entry in a store, with how often it stands there.
fn stored(store: &Store) -> BTreeMap<Entry, usize> {
    let mut found = BTreeMap::new();
    for segment in store.catalog().all(&TenantId::anonymous()) {
        let footer = store.footer_blocking(&segment).unwrap();
        for block in footer.blocks() {
            let ranges = [block.timestamps.clone(), block.lengths.clone(), block.lines.clone()];
            let bytes = store.read_blocking(&segment, &ranges).unwrap();
            let timestamps = decode_timestamps(block, &bytes[0]).unwrap();
            let lengths = decode_lengths(block, &bytes[1]).unwrap();
            let lines = decode_lines(block, &timestamps, &lengths, &bytes[2]).unwrap();
            for (stream, rows) in block.run_rows() {
                let stream = footer.streams().value(stream, "n").parse().unwrap();
                for row in rows {
                    let line = String::from_utf8(lines.row(row).to_vec()).unwrap();
                    *found.entry((stream, timestamps[row], line)).or_default() += 1;
                }
            }
        }
    }
    found
}

fn batch(entries: &[Entry]) -> AppendBatch {
    let mut builder = BatchBuilder::new(&TenantId::anonymous());
    for (stream, at, line) in entries {
        let labels = Labels::new([("app", "web"), ("n", stream.to_string().as_str())]);
        builder.begin_stream(&labels);
        builder.push_row(Timestamp(*at), line.as_bytes(), None, &[("k", "v")]).unwrap();
    }
    builder.finish()
}

fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// What happens to the ingesters.
#[derive(Debug, Clone)]
enum Step {
    /// Entries, and the replicas that get them, each beginning at another one.
    Append(Vec<(u8, u8, u8)>, [Option<u8>; 3]),
    Flush(usize),
    Pass(u64),
    Crash(usize),
    Read,
}

fn step() -> impl Strategy<Value = Step> {
    let entries = || prop::collection::vec((0u8..3, 0u8..40, 0u8..6), 1..12);
    let to = prop::array::uniform3(prop::option::weighted(0.8, 0u8..8));
    prop_oneof![
        8 => (entries(), to).prop_map(|(entries, to)| Step::Append(entries, to)),
        2 => (0usize..3).prop_map(Step::Flush),
        3 => (1u64..100).prop_map(Step::Pass),
        1 => (0usize..3).prop_map(Step::Crash),
        2 => Just(Step::Read),
    ]
}

async fn run(steps: Vec<Step>) -> Result<(), TestCaseError> {
    let mut cluster = Cluster::new(3, true, 900).await;
    let mut kept: BTreeSet<Entry> = BTreeSet::new();
    let check = |cluster: &Cluster, kept: &BTreeSet<Entry>| {
        let mut refresh = |store: &Store| {
            // Memory answers at once.
            let refreshed = futures_util::FutureExt::now_or_never(store.refresh());
            refreshed.unwrap().unwrap();
        };
        let found = cluster.read(&mut refresh);
        prop_assert_eq!(&found, kept);
        Ok(())
    };
    for step in steps {
        match step {
            Step::Append(entries, to) => {
                let second = cluster.clock.now().0;
                let entries: Vec<Entry> = entries
                    .into_iter()
                    .map(|(stream, back, line)| {
                        (stream, second - i64::from(back) * 1_500_000_000, "x".repeat(line.into()))
                    })
                    .collect();
                for (index, to) in to.into_iter().enumerate() {
                    let Some(to) = to else { continue };
                    let mut rotated = entries.clone();
                    rotated.rotate_left(usize::from(to) % entries.len());
                    cluster.ingesters[index].append(batch(&rotated)).await.unwrap();
                    kept.extend(rotated);
                }
                settle().await;
            }
            Step::Flush(index) => cluster.ingesters[index].flush(None).await.unwrap(),
            Step::Pass(seconds) => cluster.pass(seconds).await,
            Step::Crash(index) => {
                cluster.crash(index).await;
                // Queriers list again when an ingester has restarted: it does not know any more
                // what it stored.
                cluster.querier.refresh().await.unwrap();
            }
            Step::Read => check(&cluster, &kept)?,
        }
    }
    check(&cluster, &kept)?;
    for index in 0..3 {
        cluster.ingesters[index].flush(None).await.unwrap();
    }
    let store = open_store(&cluster.bucket, &cluster.clock).await;
    let found: BTreeSet<Entry> = stored(&store).into_keys().collect();
    prop_assert_eq!(found, kept);
    Ok(())
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(150))]

    /// However rows reach replicas, and whatever happens to them: a query sees each at every
    /// moment, and in the end all are in the bucket.
    #[test]
    fn nothing_is_lost(steps in prop::collection::vec(step(), 1..40)) {
        block_on(run(steps))?;
    }
}

/// Bytes in the bucket and rows in segments after twenty minutes of a steady load.
async fn steady_load(count: usize, flush_bytes: u64) -> (u64, u64, u64) {
    let cluster = Cluster::new(count, count > 1, flush_bytes).await;
    let mut entries = BTreeSet::new();
    let random = SeededRandom::new(9);
    for second in 0..1200u64 {
        let now = cluster.clock.now().0;
        let rows: Vec<Entry> = (0..24)
            .map(|n: u64| {
                let noise = runtime::random::Random::next_u64(&random);
                let at = now - (noise % 3_000_000_000) as i64;
                (
                    (n % 6) as u8,
                    at,
                    format!("GET /api/v1/item/{} took {}us", noise % 5000, second * n),
                )
            })
            .collect();
        for (index, ingester) in cluster.ingesters.iter().enumerate() {
            let mut rotated = rows.clone();
            rotated.rotate_left(index * 7);
            ingester.append(batch(&rotated)).await.unwrap();
        }
        entries.extend(rows);
        // Heads of different ingesters end at different times.
        if let Some(ingester) = cluster.ingesters.get((second as usize).wrapping_sub(20) / 13)
            && second % 13 == 7
        {
            ingester.flush(None).await.unwrap();
        }
        cluster.pass(1).await;
    }
    // The last heads are stored one after the other, as ingesters are stopped.
    for ingester in &cluster.ingesters {
        ingester.flush(None).await.unwrap();
    }
    let store = open_store(&cluster.bucket, &cluster.clock).await;
    let found = stored(&store);
    assert!(found.keys().eq(entries.iter()), "the same rows");
    let rows = found.values().sum::<usize>() as u64;
    (cluster.bucket.bytes("seg"), rows, entries.len() as u64)
}

#[test]
fn three_replicas_store_little_more_than_one() {
    for flush_bytes in [100_000, 400_000] {
        let (single, rows, entries) = block_on(steady_load(1, flush_bytes));
        assert_eq!(rows, entries);
        let (triple, rows, _) = block_on(steady_load(3, flush_bytes));
        let (bytes, rows) = (triple as f64 / single as f64, rows as f64 / entries as f64);
        println!("{bytes:.3} times the bytes, {rows:.3} times the rows");
        assert!(bytes < 1.15, "{bytes:.3} times the bytes, {rows:.3} times the rows");
    }
}

#[tokio::test]
async fn equal_heads_are_stored_once_and_different_cells_whole() {
    let cluster = Cluster::new(3, true, 1 << 20).await;
    let at = |second: i64| (START + second) * 1_000_000_000;
    let rows: Vec<Entry> =
        (0..4000).map(|n| ((n % 2) as u8, at(n / 4), format!("line {n}"))).collect();
    for (index, ingester) in cluster.ingesters.iter().enumerate() {
        // The last one lacks a row of stream 0.
        let part = if index == 2 { &rows[1..] } else { &rows[..] };
        ingester.append(batch(part)).await.unwrap();
    }
    for ingester in &cluster.ingesters[..2] {
        ingester.flush(None).await.unwrap();
    }
    let count = |store: &Store| stored(store).values().sum::<usize>();
    let store = open_store(&cluster.bucket, &cluster.clock).await;
    assert_eq!(count(&store), 4000);
    let before = cluster.ingesters[2].snapshot(&TenantId::anonymous(), &[], everything());
    cluster.ingesters[2].flush(None).await.unwrap();
    store.refresh().await.unwrap();
    let again = count(&store) - 4000;
    assert!(again > 0 && again <= 600, "one cell of one stream: {again}");
    let names = before.flushed_as(before.origins()[0]);
    assert!(names.len() == 2 && names.iter().all(|name| store.catalog().contains(name)));
    let after = cluster.ingesters[2].snapshot(&TenantId::anonymous(), &[], everything());
    let lately = cluster.ingesters[2].stored_lately(&TenantId::anonymous());
    assert!(names.iter().all(|name| lately.iter().any(|segment| segment.name == *name)));
    assert!(after.is_empty());
    // Nothing comes back from the log of the one that stored nothing.
    let mut cluster = cluster;
    cluster.crash(1).await;
    assert_eq!(cluster.ingesters[1].memory_bytes(), 0);
}
