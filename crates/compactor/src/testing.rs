//! What the tests of this crate share.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use model::time::DAY_NS;
use model::{Labels, Level, TenantId, Timestamp};
use runtime::clock::{Clock, ManualClock};
use runtime::limits::LimitsFor;
use runtime::random::SeededRandom;
use segment::{Coverage, EncodeSettings, Row, SegmentFacts, SegmentName, SegmentWriter};
use store::{MemoryBucket, Store};

use crate::{Compactor, Config, Dependencies, Flush, Limits, Metrics};

/// The day under which test rows lie.
pub(crate) const DAY: i32 = 20_000;

/// A row with its stream; times count from the beginning of [`DAY`].
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub(crate) struct TestRow {
    pub(crate) app: String,
    pub(crate) at: i64,
    pub(crate) line: String,
    pub(crate) level: Option<Level>,
    pub(crate) trace: Option<String>,
}

pub(crate) fn row(app: &str, at: i64, line: &str) -> TestRow {
    TestRow { app: app.to_owned(), at, line: line.to_owned(), level: None, trace: None }
}

pub(crate) fn tenant() -> TenantId {
    TenantId::new("t").unwrap()
}

/// The name of a segment that need not exist.
pub(crate) fn segment_name(
    tenant: &str,
    level: u8,
    first: i64,
    last: i64,
    hash: u128,
) -> SegmentName {
    let base36 = |mut value: u64| {
        let mut digits = Vec::new();
        for _ in 0..13 {
            digits.push(char::from_digit((value % 36) as u32, 36).unwrap());
            value /= 36;
        }
        digits.iter().rev().collect::<String>()
    };
    let (year, month, date) = model::time::civil_date(Timestamp(first).day());
    let time = |at: i64| base36((at as u64) ^ (1 << 63));
    let (first, last) = (time(first), time(last));
    let text = format!(
        "seg/{tenant}/{year:04}{month:02}{date:02}/0/{level}{first}-{last}-1-{hash:032x}.1.seg"
    );
    SegmentName::parse(&text).unwrap()
}

/// Settings with small blocks, so that few rows make several.
pub(crate) fn small_blocks() -> EncodeSettings {
    EncodeSettings { block_bytes: 200, ..EncodeSettings::default() }
}

/// Stores rows as a flush would.
pub(crate) async fn flush(store: &Store, position: u64, rows: &[TestRow]) -> SegmentName {
    let mut rows = rows.to_vec();
    rows.sort_by(|a, b| (&a.app, a.at).cmp(&(&b.app, b.at)));
    let coverage = Coverage {
        ingester: "i".to_owned(),
        first_position: position,
        last_position: position,
        part: 0,
        parts: 1,
    };
    let facts = SegmentFacts { tenant: tenant(), day: DAY, level: 0, coverage: Some(coverage) };
    let mut writer = SegmentWriter::new(facts, small_blocks());
    let mut app = None;
    let mut seen = Vec::new();
    for row in &rows {
        if app != Some(&row.app) {
            app = Some(&row.app);
            writer.add_stream(&Labels::new([("app", row.app.as_str())]));
        }
        // The rows of one segment are distinct.
        if seen.contains(&row) {
            continue;
        }
        seen.push(row);
        let trace = row.trace.as_deref().map(|trace| ("trace", trace));
        writer.add_row(Row {
            timestamp: Timestamp(i64::from(DAY) * DAY_NS + row.at),
            line: row.line.as_bytes(),
            level: row.level,
            metadata: trace.as_slice(),
        });
    }
    store.upload(writer.finish().unwrap()).await.unwrap()
}

/// The rows of the live segments, in their order.
pub(crate) fn rows_of(store: &Store) -> Vec<TestRow> {
    let mut found = Vec::new();
    for stored in store.catalog().all(&tenant()) {
        let footer = store.footer_blocking(&stored).unwrap();
        let mut input = crate::input::Input::open(
            Arc::clone(&stored),
            Arc::clone(&footer),
            &footer.settings().sort_labels,
        );
        let whole = store.read_blocking(&stored, std::slice::from_ref(&(0..stored.bytes))).unwrap();
        segment::verify(&whole[0]).unwrap();
        while let Some(ordinal) = input.ordinal() {
            let mut block = 0;
            while let Some((at, rows)) = input.rows_from(ordinal, block) {
                block = at + 1;
                let decoded = input.decode(store, at).unwrap();
                for row in rows {
                    let mut pairs = Vec::new();
                    let level = decoded.metadata(row, &mut pairs);
                    found.push(TestRow {
                        app: footer.streams().value(ordinal, "app").to_owned(),
                        at: decoded.batch.timestamps[row] - i64::from(DAY) * DAY_NS,
                        line: String::from_utf8(decoded.batch.lines.row(row).to_vec()).unwrap(),
                        level,
                        trace: pairs.first().map(|(_, value)| (*value).to_owned()),
                    });
                }
            }
            input.advance();
        }
    }
    found
}

/// A store in memory with a compactor whose time stands still.
pub(crate) struct Rig {
    pub(crate) store: Arc<Store>,
    pub(crate) clock: Arc<ManualClock>,
    pub(crate) compactor: Arc<Compactor>,
    bucket: MemoryBucket,
}

struct NothingToFlush;

impl Flush for NothingToFlush {
    fn flush<'a>(&'a self, _tenant: &'a TenantId) -> BoxFuture<'a, Result<(), String>> {
        async { Ok(()) }.boxed()
    }
}

/// Another process that holds rows and does not answer at first.
pub(crate) struct Silent {
    pub(crate) answers: AtomicBool,
    pub(crate) store: Arc<Store>,
    pub(crate) rows: Vec<TestRow>,
}

impl Flush for Silent {
    fn flush<'a>(&'a self, _tenant: &'a TenantId) -> BoxFuture<'a, Result<(), String>> {
        async {
            if !self.answers.load(Ordering::Relaxed) {
                return Err("no answer".to_owned());
            }
            flush(&self.store, 9, &self.rows).await;
            Ok(())
        }
        .boxed()
    }
}

struct SameForAll(Arc<Limits>);

impl LimitsFor<Limits> for SameForAll {
    fn limits_for(&self, _tenant: &TenantId) -> Arc<Limits> {
        Arc::clone(&self.0)
    }
}

async fn open_store(bucket: &MemoryBucket, clock: &Arc<ManualClock>) -> Arc<Store> {
    let dependencies = store::Dependencies {
        clock: Arc::clone(clock) as Arc<dyn Clock>,
        metrics: store::Metrics::default(),
    };
    Store::open(store::Config::shared_memory(bucket), dependencies).await.unwrap()
}

impl Rig {
    pub(crate) async fn new(config: Config, limits: Limits) -> Self {
        // Two days after the rows: their day is over.
        let now = Timestamp(i64::from(DAY + 2) * DAY_NS);
        let clock = Arc::new(ManualClock::new(now));
        let bucket = MemoryBucket::default();
        let store = open_store(&bucket, &clock).await;
        let compactor = Self::another(&store, &clock, config, limits);
        Self { store, clock, compactor, bucket }
    }

    /// The store of another process.
    pub(crate) async fn another_store(&self) -> Arc<Store> {
        open_store(&self.bucket, &self.clock).await
    }

    /// One more compactor over the same store.
    pub(crate) fn another(
        store: &Arc<Store>,
        clock: &Arc<ManualClock>,
        config: Config,
        limits: Limits,
    ) -> Arc<Compactor> {
        Self::flushing(store, clock, (config, limits), Arc::new(NothingToFlush))
    }

    /// One more compactor, with a holder of recent rows.
    pub(crate) fn flushing(
        store: &Arc<Store>,
        clock: &Arc<ManualClock>,
        (config, limits): (Config, Limits),
        flush: Arc<dyn Flush>,
    ) -> Arc<Compactor> {
        let config = Config { encode: small_blocks(), ..config };
        Compactor::new(
            config,
            Dependencies {
                store: Arc::clone(store),
                limits: Arc::new(SameForAll(Arc::new(limits))),
                flush,
                clock: Arc::clone(clock) as Arc<dyn Clock>,
                random: Arc::new(SeededRandom::new(1)),
                metrics: Metrics::default(),
            },
        )
    }

    pub(crate) async fn round(&self) {
        self.compactor.round(&runtime::shutdown::Stop::new()).await.unwrap();
    }

    /// How many objects are stored below `seg`.
    pub(crate) async fn objects(&self) -> usize {
        self.store.bucket().list("seg").await.unwrap().len()
    }
}
