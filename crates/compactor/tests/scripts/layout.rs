//! How the rows of a script are laid out in segments.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use compactor::{Compactor, Flush, Limits, Metrics};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use model::time::DAY_NS;
use model::{Entry, Labels, TenantId, Timestamp};
use runtime::clock::{Clock, ManualClock};
use runtime::limits::SameLimits;
use runtime::random::SeededRandom;
use runtime::shutdown::Stop;
use segment::{
    Coverage, EncodeSettings, IndexPolicy, LineCodec, Row, SegmentFacts, SegmentWriter, sort_key,
};
use store::Store;

use crate::script::Streams;

/// Rows that no script asks for: with them blocks are large enough for columns to be worth it.
const FILLERS: usize = 1400;

/// A way to keep rows.
#[derive(Debug, Clone)]
pub struct Layout {
    /// Whether segments are merged.
    pub merged: bool,
    /// Whether merged segments keep lines as columns.
    pub columns: bool,
    /// Whether segments have a token index.
    pub indexed: bool,
    /// Rows of a block, at most.
    pub block_rows: u32,
}

impl Layout {
    pub fn fresh() -> Self {
        Self { merged: false, columns: false, indexed: true, block_rows: 1 << 16 }
    }

    pub fn compacted() -> Self {
        Self { merged: true, columns: true, ..Self::fresh() }
    }

    fn settings(&self, line_codec: LineCodec) -> EncodeSettings {
        let index = if self.indexed { IndexPolicy::Tokens } else { IndexPolicy::Nothing };
        EncodeSettings {
            index,
            line_codec,
            block_rows: self.block_rows,
            ..EncodeSettings::default()
        }
    }

    /// A store with what was loaded.
    pub async fn store(&self, loads: &[Streams], clock: Arc<ManualClock>) -> Arc<Store> {
        let dependencies = store::Dependencies {
            clock: Arc::clone(&clock) as Arc<dyn Clock>,
            metrics: store::Metrics::default(),
        };
        let store = Store::open(store::Config::memory(), dependencies).await.unwrap();
        let mut position = 0;
        let mut days: BTreeMap<i32, usize> = BTreeMap::new();
        for (day, rows) in flushes(loads) {
            position += 1;
            *days.entry(day).or_default() += 1;
            let rows = distinct(rows);
            let facts =
                SegmentFacts { tenant: tenant(), day, level: 0, coverage: coverage(position) };
            let settings = self.settings(LineCodec::Zstd);
            let mut writer = SegmentWriter::new(facts, settings.clone());
            let mut rows: Vec<(Labels, Vec<Entry>)> = rows.into_iter().collect();
            if self.columns {
                rows.push(fillers(day, position));
            }
            rows.sort_by_cached_key(|(labels, _)| sort_key(labels, &settings.sort_labels));
            for (labels, entries) in &rows {
                writer.add_stream(labels);
                entries.iter().for_each(|entry| add(&mut writer, entry));
            }
            store.upload(writer.finish().unwrap()).await.unwrap();
        }
        if self.merged {
            self.merge(&store, &days, clock).await;
        }
        store
    }

    async fn merge(
        &self,
        store: &Arc<Store>,
        flushes: &BTreeMap<i32, usize>,
        clock: Arc<ManualClock>,
    ) {
        let codec = if self.columns { LineCodec::Columns } else { LineCodec::Zstd };
        let config = compactor::Config { encode: self.settings(codec), ..Default::default() };
        let dependencies = compactor::Dependencies {
            store: Arc::clone(store),
            limits: Arc::new(SameLimits::new(Limits::default())),
            flush: Arc::new(NothingToFlush),
            clock,
            random: Arc::new(SeededRandom::new(1)),
            metrics: Metrics::default(),
        };
        Compactor::new(config, dependencies).round(&Stop::new()).await.unwrap();
        for stored in store.catalog().all(&tenant()) {
            let footer = store.footer(&stored).await.unwrap();
            let mut codecs = footer.blocks().iter().map(|block| block.codec);
            // Without fillers segments differ so much in size that not all are worth a merge.
            if self.columns && flushes.get(&stored.name.day()).is_some_and(|count| *count > 1) {
                assert!(stored.name.level() > 0, "of two like segments one is made");
                assert!(codecs.any(|codec| codec == LineCodec::Columns), "no block has columns");
            }
        }
    }
}

struct NothingToFlush;

impl Flush for NothingToFlush {
    fn flush<'a>(&'a self, _tenant: &'a TenantId) -> BoxFuture<'a, Result<(), String>> {
        async { Ok(()) }.boxed()
    }
}

pub fn tenant() -> TenantId {
    TenantId::new("scripts").unwrap()
}

/// A time when the days of all rows are over.
pub fn clock(base: Timestamp) -> Arc<ManualClock> {
    Arc::new(ManualClock::new(Timestamp(base.0 + 30 * DAY_NS)))
}

fn coverage(position: u64) -> Option<Coverage> {
    let (first_position, last_position) = (position, position);
    Some(Coverage { ingester: "i".to_owned(), first_position, last_position, part: 0, parts: 1 })
}

type Rows = BTreeMap<Labels, Vec<Entry>>;

/// What each flush holds, in the order of arrival: every load is flushed twice, so that there is
/// something to merge.
fn flushes(loads: &[Streams]) -> Vec<(i32, Rows)> {
    let mut flushes = Vec::new();
    for load in loads {
        for half in [0, 1] {
            let mut days: BTreeMap<i32, Rows> = BTreeMap::new();
            for (labels, entries) in load {
                let (early, late) = entries.split_at(entries.len() / 2);
                for entry in [early, late][half] {
                    let rows = days.entry(entry.timestamp.day()).or_default();
                    rows.entry(labels.clone()).or_default().push(entry.clone());
                }
            }
            flushes.extend(days);
        }
    }
    flushes
}

/// Rows by time and arrival, each once, as a head keeps them.
fn distinct(mut rows: Rows) -> Rows {
    for entries in rows.values_mut() {
        let mut seen = BTreeSet::new();
        entries.retain(|entry| {
            let pairs = entry.structured_metadata.iter();
            let pairs: Vec<(String, String)> =
                pairs.map(|(name, value)| (name.to_string(), value.to_string())).collect();
            seen.insert((entry.timestamp, entry.line.to_vec(), pairs))
        });
        entries.sort_by_key(|entry| entry.timestamp);
    }
    rows
}

fn fillers(day: i32, position: u64) -> (Labels, Vec<Entry>) {
    let entry = |at: usize| {
        let line = format!(
            "level=info caller=filler.go:{} id={:08x} msg=\"nobody asks for it\" size={}",
            at % 97,
            at * 7919,
            at * 31
        );
        let timestamp = Timestamp(i64::from(day) * DAY_NS + (at as i64) * 1_000 + position as i64);
        Entry { timestamp, line: line.into_bytes().into(), structured_metadata: Default::default() }
    };
    (Labels::new([("zz_filler", "y")]), (0..FILLERS).map(entry).collect())
}

fn add(writer: &mut SegmentWriter, entry: &Entry) {
    let pairs = entry.structured_metadata.iter();
    let metadata: Vec<(&str, &str)> = pairs.map(|(name, value)| (&**name, &**value)).collect();
    let line = &entry.line;
    writer.add_row(Row { timestamp: entry.timestamp, line, level: None, metadata: &metadata });
}
