//! The whole: entries come in, the process or the power goes, and every entry is there once.

use std::collections::BTreeMap;

use api::append::BatchBuilder;
use logql::source::{Selection, Source as _, Want};
use model::{Labels, MatchOp, Timestamp};
use proptest::prelude::*;
use runtime::clock::ManualClock;
use runtime::limits::SameLimits;
use runtime::random::SeededRandom;
use segment::{decode_lengths, decode_lines, decode_timestamps};

use super::*;
use crate::config::WalSync;
use crate::wal::faulty::MemoryDirectory;

mod late;

const DAY: i64 = model::time::DAY_NS;
/// An entry: stream, time, line.
type Entry = (u8, i64, String);

/// A disk, a store and a clock that outlive the ingesters that use them.
struct World {
    runtime: tokio::runtime::Runtime,
    disk: MemoryDirectory,
    store: Arc<Store>,
    clock: Arc<ManualClock>,
    config: Config,
    limits: Limits,
}

fn new_runtime() -> tokio::runtime::Runtime {
    tokio::runtime::Builder::new_multi_thread().worker_threads(1).enable_all().build().unwrap()
}

impl World {
    fn new() -> Self {
        Self::with_store(store::Config::memory())
    }

    fn with_store(config: store::Config) -> Self {
        let runtime = new_runtime();
        let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(1_000_000)));
        let dependencies = store::Dependencies {
            clock: Arc::clone(&clock) as _,
            metrics: store::Metrics::default(),
        };
        let store = runtime.block_on(Store::open(config, dependencies)).unwrap();
        let limits = Limits { per_stream_rate: 0, ..Limits::default() };
        // Tests look at ages themselves: the clock stands still between their steps.
        let flush_check_period = Duration::from_secs(1 << 40);
        let config = Config { flush_on_stop: false, flush_check_period, ..Config::default() };
        Self { runtime, disk: MemoryDirectory::new(), store, clock, config, limits }
    }

    fn try_open(&self) -> Result<Arc<Ingester>, Error> {
        let dependencies = Dependencies {
            clock: Arc::clone(&self.clock) as _,
            random: Arc::new(SeededRandom::new(5)),
            limits: Arc::new(SameLimits::new(self.limits.clone())),
            store: Arc::clone(&self.store),
            replicas: None,
            metrics: Metrics::default(),
        };
        let directory = Arc::new(self.disk.clone());
        self.runtime.block_on(Ingester::open_in(self.config.clone(), dependencies, directory))
    }

    fn open(&self) -> Arc<Ingester> {
        self.try_open().unwrap()
    }

    /// Opens again after the process, and with it the power, went away.
    fn crash(&self, ingester: Arc<Ingester>) -> Arc<Ingester> {
        // The log's thread ends once nobody can give it work.
        let wal = Arc::clone(&ingester.wal);
        drop(ingester);
        wal.stop();
        self.disk.lose_power(0);
        self.open()
    }

    fn append(&self, ingester: &Ingester, tenant: &str, entries: &[Entry]) -> AppendOutcome {
        self.runtime.block_on(ingester.append(batch(tenant, entries))).unwrap()
    }

    fn flush(&self, ingester: &Ingester) -> Result<(), Error> {
        self.runtime.block_on(ingester.flush(None))
    }

    /// Every entry of a tenant in the store, with how often it stands there.
    fn stored(&self, tenant: &str) -> BTreeMap<Entry, usize> {
        let mut found = BTreeMap::new();
        for segment in self.store.catalog().all(&id(tenant)) {
            let footer = self.store.footer_blocking(&segment).unwrap();
            for block in footer.blocks() {
                let ranges = [block.timestamps.clone(), block.lengths.clone(), block.lines.clone()];
                let bytes = self.store.read_blocking(&segment, &ranges).unwrap();
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

    /// Every entry of a tenant, in memory and in the store, with how often it stands there.
    fn all(&self, ingester: &Ingester, tenant: &str) -> BTreeMap<Entry, usize> {
        let mut all = self.stored(tenant);
        for (entry, count) in in_memory(ingester, tenant) {
            *all.entry(entry).or_default() += count;
        }
        all
    }
}

fn id(tenant: &str) -> TenantId {
    TenantId::new(tenant).unwrap()
}

fn batch(tenant: &str, entries: &[Entry]) -> AppendBatch {
    let mut builder = BatchBuilder::new(&id(tenant));
    for (stream, at, line) in entries {
        let labels = Labels::new([
            ("app".to_owned(), "web".to_owned()),
            ("n".to_owned(), stream.to_string()),
        ]);
        builder.begin_stream(&labels);
        builder.push_row(Timestamp(*at), line.as_bytes(), None, &[]).unwrap();
    }
    builder.finish()
}

fn everything() -> TimeRange {
    TimeRange::new(Timestamp::MIN, Timestamp::MAX)
}

fn in_memory(ingester: &Ingester, tenant: &str) -> BTreeMap<Entry, usize> {
    let snapshot = ingester.snapshot(&id(tenant), &[], everything());
    let selection = Selection::all(&[], everything());
    let mut found = BTreeMap::new();
    for piece in snapshot.pieces(&selection).unwrap() {
        let batch = snapshot.load(&piece, &Want::default()).unwrap();
        for run in &batch.runs {
            let stream = run.labels.get("n").unwrap().parse().unwrap();
            for row in run.rows.clone() {
                let line = String::from_utf8(batch.lines.row(row).to_vec()).unwrap();
                *found.entry((stream, batch.timestamps[row], line)).or_default() += 1;
            }
        }
    }
    found
}

fn entry(stream: u8, at: i64, line: &str) -> Entry {
    (stream, at, line.to_owned())
}

fn once(entries: &[Entry]) -> BTreeMap<Entry, usize> {
    entries.iter().map(|entry| (entry.clone(), 1)).collect()
}

#[test]
fn entries_are_in_memory_then_in_the_store_and_never_twice() {
    let world = World::new();
    let ingester = world.open();
    let entries = [entry(1, 10, "a"), entry(2, 5, "b"), entry(1, 10, "c")];
    assert_eq!(world.append(&ingester, "t", &entries), AppendOutcome::default());
    assert_eq!(in_memory(&ingester, "t"), once(&entries));
    assert_eq!(in_memory(&ingester, "other"), once(&[]));
    let before = ingester.snapshot(&id("t"), &[], everything());
    assert_eq!(before.flushed_as(before.origins()[0]), []);
    world.flush(&ingester).unwrap();
    assert_eq!(in_memory(&ingester, "t"), once(&[]));
    assert_eq!(world.stored("t"), once(&entries));
    let names = before.flushed_as(before.origins()[0]);
    assert!(names.len() == 1 && world.store.catalog().contains(&names[0]));
    assert_eq!(ingester.memory_bytes(), 0);

    let ingester = world.crash(ingester);
    assert_eq!(in_memory(&ingester, "t"), once(&[]));
    // The same entry again is stored again, and an equal entry in one head only once.
    world.append(
        &ingester,
        "t",
        &[entry(1, 9, "d"), entry(1, 9, "d"), entry(1, 8, "e"), entry(1, 9, "d")],
    );
    assert_eq!(in_memory(&ingester, "t"), once(&[entry(1, 9, "d"), entry(1, 8, "e")]));
}

#[test]
fn a_crash_loses_nothing_that_was_acknowledged() {
    let world = World::new();
    let ingester = world.open();
    let first = [entry(1, 10, "a"), entry(1, 20, "b")];
    world.append(&ingester, "t", &first[..1]);
    world.append(&ingester, "u", &first);
    world.append(&ingester, "t", &first[1..]);
    let ingester = world.crash(ingester);
    assert_eq!(in_memory(&ingester, "t"), once(&first));
    assert_eq!(in_memory(&ingester, "u"), once(&first));
    assert_eq!(ingester.tenants(), [id("t"), id("u")]);
    // What is known of a stream is known again: its last entry is not stored twice.
    assert_eq!(world.append(&ingester, "t", &first[1..]).duplicates, 1);
    let ingester = world.crash(world.crash(ingester));
    assert_eq!(in_memory(&ingester, "t"), once(&first));
}

#[test]
fn a_crash_right_after_the_upload_repeats_nothing() {
    let world = World::new();
    let ingester = world.open();
    let entries = [entry(1, 10, "a"), entry(1, DAY + 10, "b"), entry(1, 3 * DAY, "c")];
    for one in &entries {
        world.append(&ingester, "t", std::slice::from_ref(one));
    }
    // The disk as it was before anything of the flush was written to it.
    let before = world.disk.fork();
    world.flush(&ingester).unwrap();
    assert_eq!(world.stored("t"), once(&entries));
    assert_eq!(world.store.catalog().all(&id("t")).len(), 3);
    drop(ingester);

    let world = World { disk: before.fork(), ..world };
    let ingester = world.open();
    assert_eq!(in_memory(&ingester, "t"), once(&[]));
    // A new log goes on behind the old positions, so what comes is not taken for known.
    world.append(&ingester, "t", &[entry(1, 3 * DAY + 1, "d")]);
    let ingester = world.crash(ingester);
    assert_eq!(in_memory(&ingester, "t"), once(&[entry(1, 3 * DAY + 1, "d")]));
    drop(ingester);

    // One of three segments is missing: the crash came in the middle of the upload.
    let segments = world.store.catalog().all(&id("t"));
    world.runtime.block_on(world.store.delete(&segments[1].name)).unwrap();
    let world = World { disk: before, ..world };
    let ingester = world.open();
    assert_eq!(in_memory(&ingester, "t"), once(&entries));
    world.flush(&ingester).unwrap();
    assert_eq!(world.stored("t"), once(&entries));
}

#[test]
fn a_flushed_head_is_known_after_its_segments_were_compacted() {
    let world = World::new();
    let ingester = world.open();
    world.append(&ingester, "quiet", &[entry(1, 1, "q")]);
    world.append(&ingester, "t", &[entry(1, 10, "a")]);
    world.runtime.block_on(ingester.flush(Some(&id("t")))).unwrap();
    // Its segment goes, as compaction does it, while the other tenant keeps the file of the log.
    for segment in world.store.catalog().all(&id("t")) {
        world.runtime.block_on(world.store.delete(&segment.name)).unwrap();
    }
    let ingester = world.crash(ingester);
    assert_eq!(in_memory(&ingester, "t"), once(&[]));
    assert_eq!(in_memory(&ingester, "quiet"), once(&[entry(1, 1, "q")]));
}

#[test]
fn another_log_is_not_taken_for_the_one_that_was_lost() {
    let world = World::new();
    let ingester = world.open();
    world.append(&ingester, "t", &[entry(1, 10, "a")]);
    world.flush(&ingester).unwrap();
    drop(ingester);
    // The disk is replaced: positions begin anew, and so does the random number of the log.
    let world = World { disk: MemoryDirectory::new(), ..world };
    let open = |seed| {
        let dependencies = Dependencies {
            clock: Arc::clone(&world.clock) as _,
            random: Arc::new(SeededRandom::new(seed)),
            limits: Arc::new(SameLimits::new(world.limits.clone())),
            store: Arc::clone(&world.store),
            replicas: None,
            metrics: Metrics::default(),
        };
        let directory = Arc::new(world.disk.clone());
        let opened = Ingester::open_in(world.config.clone(), dependencies, directory);
        world.runtime.block_on(opened).unwrap()
    };
    let ingester = open(99);
    world.append(&ingester, "t", &[entry(1, 11, "b")]);
    ingester.wal.stop();
    drop(ingester);
    assert_eq!(in_memory(&open(3), "t"), once(&[entry(1, 11, "b")]));
}

#[test]
fn a_full_disk_refuses_appends_and_nothing_else() {
    let world = World::new();
    let ingester = world.open();
    world.append(&ingester, "t", &[entry(1, 10, "a")]);
    world.disk.set_space(20);
    let late = entry(1, 99, "b");
    let append = |one: &Entry| {
        world.runtime.block_on(ingester.append(batch("t", std::slice::from_ref(one))))
    };
    let error = append(&late).unwrap_err();
    assert_eq!(error.to_string(), "wal: write 00000001.wal: no storage space");
    assert_eq!(error.kind(), model::ErrorKind::Unavailable);
    assert!(error.retry_after().is_some());
    assert_eq!(in_memory(&ingester, "t"), once(&[entry(1, 10, "a")]));
    world.disk.set_space(1 << 20);
    // The refused entry did not become the stream's newest.
    append(&entry(1, 11, "c")).unwrap();
    append(&late).unwrap();
    let expected = once(&[entry(1, 10, "a"), entry(1, 11, "c"), late]);
    assert_eq!(in_memory(&ingester, "t"), expected);
    assert_eq!(in_memory(&world.crash(ingester), "t"), expected);
}

#[test]
fn a_store_that_is_down_delays_and_loses_nothing() {
    let folder = tempfile::tempdir().unwrap();
    let objects = folder.path().join("objects");
    let mut world = World::with_store(store::Config::filesystem(&objects));
    world.config.memory_bytes_max = 3000;
    world.config.outage_bytes_max = 7000;
    world.config.flush_bytes = 2000;
    let ingester = world.open();
    let aside = folder.path().join("aside");
    std::fs::rename(&objects, &aside).unwrap();
    std::fs::write(&objects, "in the way").unwrap();
    let line = "x".repeat(500);
    let entries: Vec<Entry> = (0..3).map(|at| entry(1, at, &line)).collect();
    for one in &entries {
        world.append(&ingester, "t", std::slice::from_ref(one));
    }
    assert!(matches!(world.flush(&ingester), Err(Error::Flush { .. })));
    assert_eq!(in_memory(&ingester, "t"), once(&entries));
    // The usual memory is full, and more is taken because the store is down. When that is full,
    // too, the next append waits and is then refused.
    let more: Vec<Entry> = (3..15).map(|at| entry(1, at, &line)).collect();
    for some in more.chunks(6) {
        world.append(&ingester, "t", some);
    }
    let refused = world.runtime.block_on(async {
        let append = ingester.append(batch("t", &[entry(1, 50, "y")]));
        tokio::pin!(append);
        assert!(poll_once(&mut append).await.is_none(), "it waits");
        // The flush that keeps failing in the background sleeps and wakes meanwhile.
        loop {
            world.clock.advance(world.config.append_wait);
            if let Some(outcome) = poll_once(&mut append).await {
                break outcome;
            }
            tokio::task::yield_now().await;
        }
    });
    assert!(matches!(refused, Err(Error::MemoryFull { .. })));
    let all: Vec<Entry> = entries.iter().chain(&more).cloned().collect();
    // With the process ends the flush that keeps failing, before the store is back.
    world.runtime = new_runtime();
    std::fs::remove_file(&objects).unwrap();
    std::fs::rename(&aside, &objects).unwrap();
    let ingester = world.crash(ingester);
    world.flush(&ingester).unwrap();
    assert_eq!(world.stored("t"), once(&all));
    assert_eq!(in_memory(&ingester, "t"), once(&[]));
}

/// What a future answers when it is polled once.
async fn poll_once<F: Future + Unpin>(future: &mut F) -> Option<F::Output> {
    std::future::poll_fn(|context| {
        std::task::Poll::Ready(match std::pin::Pin::new(&mut *future).poll(context) {
            std::task::Poll::Ready(output) => Some(output),
            std::task::Poll::Pending => None,
        })
    })
    .await
}

#[test]
fn limits_refuse_streams_and_tell_which() {
    let mut world = World::new();
    world.limits.max_global_streams = 2;
    let ingester = world.open();
    let outcome =
        world.append(&ingester, "t", &[entry(1, 1, "a"), entry(2, 1, "b"), entry(3, 1, "cc")]);
    assert_eq!(outcome.rejected.len(), 1);
    let rejected = &outcome.rejected[0];
    assert_eq!((rejected.reason, rejected.entries, rejected.bytes), ("stream_limit", 1, 2));
    assert_eq!(rejected.kind, model::ErrorKind::LimitExceeded);
    assert_eq!(
        rejected.message,
        "maximum active stream limit exceeded when trying to create stream {app=\"web\", n=\"3\"}, \
         reduce the number of active streams (reduce labels or reduce label values), or contact your \
         Loki administrator to see if the limit can be increased, user: 't'"
    );
    assert_eq!(ingester.stream_count(&id("t")), 2);
    let kept = once(&[entry(1, 1, "a"), entry(2, 1, "b")]);
    assert_eq!(in_memory(&ingester, "t"), kept);
    // What was refused does not come back from the log.
    let ingester = world.crash(ingester);
    assert_eq!(in_memory(&ingester, "t"), kept);
    // Streams that got nothing for a while make room once they are flushed.
    world.flush(&ingester).unwrap();
    world.clock.advance(world.config.chunk_idle_period * 2);
    // The task that flushed may still hold the tenant.
    while !ingester.tenants().is_empty() {
        ingester.heads.forget_idle();
    }
    assert_eq!(world.append(&ingester, "t", &[entry(3, 1, "cc")]).rejected, []);
}

#[test]
fn heads_are_flushed_when_they_are_old_idle_or_large() {
    let mut world = World::new();
    world.config.flush_bytes = 3000;
    let ingester = world.open();
    let wait_flushed = |tenant: &str| {
        let known = ingester.heads.known_tenant(&id(tenant)).unwrap();
        world.runtime.block_on(async {
            for head in known.sealed() {
                head.state
                    .subscribe()
                    .wait_for(|s| *s == crate::head::FlushState::Stored)
                    .await
                    .unwrap();
            }
        });
        world.stored(tenant).len()
    };
    let look = || world.runtime.block_on(async { ingester.flusher.flush_old() });
    world.append(&ingester, "idle", &[entry(1, 1, "a")]);
    world.append(&ingester, "old", &[entry(1, 1, "a")]);
    world.clock.advance(world.config.chunk_idle_period - Duration::from_secs(1));
    world.append(&ingester, "old", &[entry(1, 2, "b")]);
    look();
    assert_eq!((wait_flushed("idle"), wait_flushed("old")), (0, 0));
    world.clock.advance(Duration::from_secs(1));
    look();
    assert_eq!((wait_flushed("idle"), wait_flushed("old")), (1, 0));
    for at in 3..7 {
        world.clock.advance(world.config.max_chunk_age / 4);
        world.append(&ingester, "old", &[entry(1, at, "c")]);
    }
    look();
    assert_eq!(wait_flushed("old"), 6);
    // The loop itself looks as soon as heads are large.
    world.append(&ingester, "large", &[entry(1, 1, &"x".repeat(4000))]);
    world.runtime.block_on(async {
        while ingester.heads.known_tenant(&id("large")).unwrap().oldest_needed().is_some() {
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(wait_flushed("large"), 1);
}

#[test]
fn a_quiet_tenant_does_not_keep_the_log_for_ever() {
    let mut world = World::new();
    world.config.wal_file_bytes = 4096;
    world.config.wal_bytes_max = 20_000;
    let ingester = world.open();
    world.append(&ingester, "quiet", &[entry(1, 1, "q")]);
    for at in 0..40 {
        world.append(&ingester, "busy", &[entry(1, at, &"x".repeat(1000))]);
        world.runtime.block_on(ingester.flush(Some(&id("busy")))).unwrap();
    }
    world.runtime.block_on(async {
        while ingester.heads.known_tenant(&id("quiet")).unwrap().oldest_needed().is_some() {
            tokio::task::yield_now().await;
        }
    });
    assert_eq!(world.stored("quiet"), once(&[entry(1, 1, "q")]));
    assert_eq!(world.stored("busy").len(), 40);
}

#[test]
fn stop_flushes_and_empties_the_log() {
    let mut world = World::new();
    world.config.flush_on_stop = true;
    world.config.wal_sync = WalSync::Off;
    let ingester = world.open();
    let entries = [entry(1, 10, "a"), entry(2, 5, "b")];
    world.append(&ingester, "t", &entries);
    world.runtime.block_on(ingester.stop());
    world.runtime.block_on(ingester.stop());
    assert_eq!(world.stored("t"), once(&entries));
    let error = world.runtime.block_on(ingester.append(batch("t", &entries))).unwrap_err();
    assert!(matches!(error, Error::Stopping));
    assert_eq!(world.disk.names(), ["00000001.wal", "flushed"]);
    assert_eq!(in_memory(&world.open(), "t"), once(&[]));
}

#[test]
fn replay_flushes_when_memory_is_short() {
    let mut world = World::new();
    let ingester = world.open();
    let entries: Vec<Entry> = (0..50).map(|at| entry(1, at, &"x".repeat(1000))).collect();
    for one in &entries {
        world.append(&ingester, "t", std::slice::from_ref(one));
    }
    world.config.flush_bytes = 10_000;
    let ingester = world.crash(ingester);
    assert!(ingester.memory_bytes() <= 12_000);
    assert_eq!(world.all(&ingester, "t"), once(&entries));
    // A second crash finds what was flushed on the way.
    let ingester = world.crash(ingester);
    assert_eq!(world.all(&ingester, "t"), once(&entries));
}

#[test]
fn tails_get_what_is_new_and_matches() {
    let mut world = World::new();
    world.config.tail_buffer_bytes = 100;
    let ingester = world.open();
    let matcher = Matcher::new("n", MatchOp::Regex, "1|2").unwrap();
    world.append(&ingester, "t", &[entry(1, 1, "before")]);
    let mut tail = ingester.subscribe(&id("t"), vec![matcher]);
    world.append(&ingester, "t", &[entry(1, 2, "a"), entry(3, 3, "b"), entry(2, 4, "c")]);
    world.append(&ingester, "u", &[entry(1, 2, "x")]);
    let mut next = || {
        let entries = world.runtime.block_on(tail.next()).unwrap();
        let lines = entries.iter().map(|e| (e.timestamp.0, e.line.to_vec())).collect::<Vec<_>>();
        (entries.labels.get("n").unwrap().to_owned(), lines)
    };
    assert_eq!(next(), ("1".to_owned(), vec![(2, b"a".to_vec())]));
    assert_eq!(next(), ("2".to_owned(), vec![(4, b"c".to_vec())]));
    // A reader that does not read loses entries, and learns which.
    for at in 5..9 {
        world.append(&ingester, "t", &[entry(1, at, &"x".repeat(40))]);
    }
    assert_eq!(next().1[0].0, 5);
    let dropped = tail.take_dropped();
    assert_eq!(dropped.entries, 3);
    assert_eq!(dropped.named.iter().map(|(at, _)| at.0).collect::<Vec<_>>(), [6, 7, 8]);
    drop(tail);
    assert!(!ingester.heads.known_tenant(&id("t")).unwrap().tails.is_needed());
}

#[test]
fn interval_sync_survives_a_crash_of_the_process() {
    let mut world = World::new();
    world.config.wal_sync = WalSync::Interval(Duration::from_millis(1));
    let ingester = world.open();
    world.append(&ingester, "t", &[entry(1, 1, "a")]);
    ingester.wal.stop();
    let again = world.crash(ingester);
    assert_eq!(in_memory(&again, "t"), once(&[entry(1, 1, "a")]));
}

#[test]
fn a_bad_configuration_is_refused() {
    let mut world = World::new();
    world.config.memory_bytes_max = 1;
    assert!(matches!(world.try_open(), Err(Error::Config(_))));
}

/// An ingester that takes over, as another process.
struct Next {
    ingester: Arc<Ingester>,
    /// Batches that it takes before it fails.
    takes: std::sync::atomic::AtomicU64,
}

impl Successor for Next {
    fn receive(
        &self,
        batch: AppendBatch,
    ) -> futures_util::future::BoxFuture<'_, Result<(), String>> {
        use futures_util::FutureExt as _;
        async move {
            // As it travels.
            let batch = AppendBatch::decode(batch.as_bytes().clone()).unwrap();
            if self
                .takes
                .fetch_update(Ordering::SeqCst, Ordering::SeqCst, |n| n.checked_sub(1))
                .is_err()
            {
                return Err("gone".to_owned());
            }
            self.ingester.receive(batch).await.map_err(|error| error.to_string())
        }
        .boxed()
    }

    fn finish(&self) -> futures_util::future::BoxFuture<'_, Result<(), String>> {
        Box::pin(std::future::ready(Ok(())))
    }
}

/// Two attempts with one process: the second may take more.
struct Twice(parking_lot::Mutex<Vec<Next>>);

impl Successors for Twice {
    fn next(&self) -> futures_util::future::BoxFuture<'_, Option<Box<dyn Successor>>> {
        let next = self.0.lock().pop().map(|next| Box::new(next) as Box<dyn Successor>);
        Box::pin(std::future::ready(next))
    }
}

#[test]
fn a_read_only_ingester_refuses_and_answers() {
    let world = World::new();
    let ingester = world.open();
    world.append(&ingester, "t", &[entry(1, 10, "a")]);
    ingester.set_read_only(true);
    let refused = world.runtime.block_on(ingester.append(batch("t", &[entry(1, 11, "b")])));
    let error = refused.unwrap_err();
    assert_eq!(error.to_string(), "ingester is read-only");
    assert_eq!(error.kind(), model::ErrorKind::Unavailable);
    assert!(error.retry_after().is_some());
    assert_eq!(in_memory(&ingester, "t"), once(&[entry(1, 10, "a")]));
    world.flush(&ingester).unwrap();
    assert_eq!(world.stored("t"), once(&[entry(1, 10, "a")]));
    ingester.set_read_only(false);
    world.append(&ingester, "t", &[entry(1, 11, "b")]);
}

#[test]
fn heads_are_handed_over_and_nothing_is_lost_when_that_fails() {
    for (takes, again) in [(u64::MAX, 0), (3, 1), (1, u64::MAX), (1, 0), (0, 0)] {
        let world = World::new();
        let leaver = world.open();
        // Long enough for several messages; the successor has newer entries of the same stream.
        let hour = 3600 * 1_000_000_000;
        let line = |n: i64| format!("{n} {}", "x".repeat(400_000));
        let old: Vec<Entry> = (0..8).map(|n| entry(1, n, &line(n))).collect();
        let new = entry(1, 5 * hour, "new");
        for one in &old {
            world.append(&leaver, "t", std::slice::from_ref(one));
        }
        world.append(&leaver, "u", &[entry(2, 3, "u")]);
        let world_of_next = World { disk: MemoryDirectory::new(), ..World::new() };
        let next = world_of_next.open();
        world_of_next.append(&next, "t", std::slice::from_ref(&new));
        let attempt = |takes: u64| Next { ingester: Arc::clone(&next), takes: takes.into() };
        let successors = Twice(parking_lot::Mutex::new(vec![attempt(again), attempt(takes)]));
        let is_taken = takes == u64::MAX || again == u64::MAX;

        let handed = world.runtime.block_on(leaver.hand_over(&successors));
        let refused = world.runtime.block_on(leaver.append(batch("t", &[entry(1, 9, "late")])));
        assert!(matches!(refused, Err(Error::ReadOnly)));
        match &handed {
            Ok(done) => assert_eq!((done.heads, done.rows, is_taken), (2, 9, true)),
            Err(error) => assert!(matches!(error, Error::HandOver(_)) && !is_taken),
        }
        // Whoever asks both sees everything at every moment.
        let seen = |leaver: &Ingester, next: &Ingester| {
            let mut seen = world.all(leaver, "t");
            seen.extend(in_memory(next, "t"));
            seen.into_keys().collect::<Vec<_>>()
        };
        let mut expected = old.clone();
        expected.push(new);
        expected.sort();
        assert_eq!(seen(&leaver, &next), expected);
        world.runtime.block_on(leaver.leave(None, Duration::ZERO)).unwrap();
        assert_eq!(seen(&leaver, &next), expected);
        world.runtime.block_on(leaver.stop());
        // Its log holds nothing that is not elsewhere; the successor's log holds what it took.
        let leaver = world.crash(leaver);
        assert_eq!(in_memory(&leaver, "t"), once(&[]));
        let next = world_of_next.crash(next);
        assert_eq!(seen(&leaver, &next), expected);
        if is_taken {
            assert!(world.stored("t").is_empty(), "nothing had to be flushed");
            assert_eq!(in_memory(&next, "u"), once(&[entry(2, 3, "u")]));
        }
    }
}

#[test]
fn a_stop_for_good_stores_everything() {
    let world = World::new();
    let ingester = world.open();
    world.append(&ingester, "t", &[entry(1, 10, "a")]);
    ingester.prepare_shutdown(true);
    world.runtime.block_on(ingester.stop());
    assert_eq!(world.stored("t"), once(&[entry(1, 10, "a")]));
}

/// What happens to an ingester.
#[derive(Debug, Clone)]
enum Step {
    Append(u8, Vec<Entry>),
    Flush,
    Crash,
    FullDisk(usize, Vec<Entry>),
    FailedSync(Vec<Entry>),
}

fn step() -> impl Strategy<Value = Step> {
    let entries = || {
        let day = prop::sample::select(vec![0, DAY]);
        let one = (0u8..4, 0i64..50, day, "[p-q]{0,3}");
        let one = one.prop_map(|(stream, at, day, line)| (stream, at + day, line));
        prop::collection::vec(one, 1..12)
    };
    prop_oneof![
        6 => (0u8..2, entries()).prop_map(|(tenant, entries)| Step::Append(tenant, entries)),
        1 => Just(Step::Flush),
        2 => Just(Step::Crash),
        1 => (0usize..400, entries()).prop_map(|(space, entries)| Step::FullDisk(space, entries)),
        1 => entries().prop_map(Step::FailedSync),
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    /// Whatever happens, what was acknowledged is there, and nothing is there that was not sent.
    /// Equal entries are one entry in a head; over several flushes they may be stored again only
    /// if they were sent again.
    #[test]
    fn every_acknowledged_entry_is_there(steps in prop::collection::vec(step(), 1..14)) {
        let mut world = World::new();
        // Days apart is not too far behind.
        world.config.max_chunk_age = Duration::from_secs(10 * 86_400);
        let mut ingester = world.open();
        let mut sent: [BTreeMap<Entry, usize>; 2] = Default::default();
        let mut acknowledged = sent.clone();
        for step in steps {
            let (tenant, entries) = match step {
                Step::Append(tenant, entries) => (tenant, entries),
                Step::Flush => {
                    world.flush(&ingester).unwrap();
                    continue;
                }
                Step::Crash => {
                    ingester = world.crash(ingester);
                    continue;
                }
                Step::FullDisk(space, entries) => {
                    world.disk.set_space(space);
                    (0, entries)
                }
                Step::FailedSync(entries) => {
                    world.disk.fail_syncs(1);
                    (0, entries)
                }
            };
            let names = ["a", "b"];
            let append = ingester.append(batch(names[tenant as usize], &entries));
            let result = world.runtime.block_on(append);
            world.disk.set_space(usize::MAX);
            world.disk.fail_syncs(0);
            for entry in entries {
                *sent[tenant as usize].entry(entry.clone()).or_default() += 1;
                if result.is_ok() {
                    *acknowledged[tenant as usize].entry(entry).or_default() += 1;
                }
            }
        }
        ingester = world.crash(ingester);
        for (tenant, name) in ["a", "b"].iter().enumerate() {
            let found = world.all(&ingester, name);
            for entry in acknowledged[tenant].keys() {
                prop_assert!(found.contains_key(entry), "{entry:?} is lost");
            }
            for (entry, count) in found {
                prop_assert!(count <= sent[tenant].get(&entry).copied().unwrap_or(0));
            }
        }
    }
}
