//! Rows in segments and made-up heads, for this crate's tests.

use std::collections::BTreeMap;
use std::sync::Arc;

use logql::source::{Batch, Piece, Selection, Source, SourceError, StreamRun, StreamSummary, Want};
use model::columns::{Lines, TextColumn, Texts};
use model::matcher::all_match;
use model::{Labels, Level, Matcher, TenantId, TimeRange, Timestamp};
use parking_lot::RwLock;
use runtime::clock::{ManualClock, SystemClock};
use runtime::limits::SameLimits;
use segment::{Coverage, EncodeSettings, EncodedSegment, Row, SegmentFacts, SegmentName};
use segment::{SegmentWriter, sort_key};
use store::Store;

use crate::{Config, Dependencies, Limits, Metrics, Querier, Recent, RecentSource};

/// Midnight of the day on which test rows begin.
pub(crate) const DAY: i64 = 20_000 * model::time::DAY_NS;

/// A row of a test. Rows compare by stream, time, line and metadata.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct TestRow {
    pub(crate) labels: Labels,
    /// After [`DAY`].
    pub(crate) at: i64,
    pub(crate) line: String,
    /// The value of the metadata `trace`, if any.
    pub(crate) trace: Option<String>,
    /// The detected level, kept in segments only.
    pub(crate) level: Option<Level>,
}

pub(crate) fn row(labels: &str, at: i64, line: &str) -> TestRow {
    let labels = Labels::parse(labels).unwrap();
    TestRow { labels, at, line: line.to_owned(), trace: None, level: None }
}

pub(crate) fn tenant() -> TenantId {
    TenantId::new("a").unwrap()
}

pub(crate) fn time(at: i64) -> Timestamp {
    Timestamp(DAY.saturating_add(at))
}

pub(crate) fn times(start: i64, end: i64) -> TimeRange {
    TimeRange::new(time(start), time(end))
}

/// Rows by stream and time, distinct, as a head keeps them.
fn by_stream(rows: &[TestRow]) -> BTreeMap<Labels, Vec<TestRow>> {
    let mut streams: BTreeMap<Labels, Vec<TestRow>> = BTreeMap::new();
    for row in rows {
        let stream = streams.entry(row.labels.clone()).or_default();
        if !stream.contains(row) {
            stream.push(row.clone());
        }
    }
    streams.values_mut().for_each(|rows| rows.sort_by_key(|row| row.at));
    streams
}

/// A segment of the rows, which the ingester's WAL had at `position`. Its blocks are small, so that
/// a few rows make several.
pub(crate) fn segment(tenant: &TenantId, rows: &[TestRow], position: u64) -> EncodedSegment {
    segment_of(
        tenant,
        rows,
        position,
        EncodeSettings { block_rows: 7, ..EncodeSettings::default() },
    )
}

/// A segment whose blocks have at most so many rows.
pub(crate) fn segment_of_blocks(
    tenant: &TenantId,
    rows: &[TestRow],
    position: u64,
    block_rows: u32,
) -> EncodedSegment {
    segment_of(tenant, rows, position, EncodeSettings { block_rows, ..EncodeSettings::default() })
}

/// A segment, encoded as told.
pub(crate) fn segment_of(
    tenant: &TenantId,
    rows: &[TestRow],
    position: u64,
    settings: EncodeSettings,
) -> EncodedSegment {
    let coverage = Coverage {
        ingester: "test".into(),
        first_position: position,
        last_position: position,
        part: 0,
        parts: 1,
    };
    let day = time(0).day();
    let facts = SegmentFacts { tenant: tenant.clone(), day, level: 0, coverage: Some(coverage) };
    let mut streams: Vec<(Labels, Vec<TestRow>)> = by_stream(rows).into_iter().collect();
    streams.sort_by_cached_key(|(labels, _)| sort_key(labels, &settings.sort_labels));
    let mut writer = SegmentWriter::new(facts, settings);
    for (labels, rows) in &streams {
        writer.add_stream(labels);
        for row in rows {
            let pair = row.trace.as_deref().map(|trace| ("trace", trace));
            let metadata: Vec<(&str, &str)> = pair.into_iter().collect();
            let line = row.line.as_bytes();
            let timestamp = time(row.at);
            writer.add_row(Row { timestamp, line, level: row.level, metadata: &metadata });
        }
    }
    writer.finish().unwrap()
}

/// A head of a test.
#[derive(Debug, Clone, Default)]
pub(crate) struct TestHead {
    pub(crate) rows: Vec<TestRow>,
    pub(crate) flushed_as: Vec<SegmentName>,
    pub(crate) holder: u64,
    /// What its snapshots warn of.
    pub(crate) warning: Option<String>,
}

/// Heads by tenant, to be changed while queries run.
#[derive(Debug, Default)]
pub(crate) struct TestHeads(pub(crate) RwLock<BTreeMap<TenantId, Vec<TestHead>>>);

/// Heads, and which of their streams are asked for.
struct TestSnapshot(Vec<TestHead>, Vec<Matcher>);

impl Recent for TestHeads {
    fn snapshot(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
        _range: TimeRange,
    ) -> Arc<dyn RecentSource> {
        let heads = self.0.read().get(tenant).cloned().unwrap_or_default();
        Arc::new(TestSnapshot(heads, matchers.to_vec()))
    }
}

impl RecentSource for TestSnapshot {
    fn flushed_as(&self, origin: u64) -> Vec<SegmentName> {
        self.0[origin as usize].flushed_as.clone()
    }

    fn holder(&self, origin: u64) -> u64 {
        self.0[origin as usize].holder
    }

    fn is_shared(&self) -> bool {
        self.0.iter().any(|head| head.holder != 0)
    }
}

impl Source for TestSnapshot {
    fn pieces(&self, selection: &Selection) -> Result<Vec<Piece>, SourceError> {
        let piece = |(at, head): (usize, &TestHead)| {
            let matching: Vec<&TestRow> = head
                .rows
                .iter()
                .filter(|row| all_match(&selection.matchers, &row.labels))
                .collect();
            Some(Piece {
                id: at as u64,
                origin: at as u64,
                rank: at as u64,
                first: time(matching.iter().map(|row| row.at).min()?),
                last: time(matching.iter().map(|row| row.at).max()?),
                rows: matching.len() as u64,
                bytes: matching.iter().map(|row| row.line.len() as u64).sum(),
                is_head: true,
            })
        };
        Ok(self.0.iter().enumerate().filter_map(piece).collect())
    }

    fn warnings(&self) -> Vec<String> {
        self.0.iter().filter_map(|head| head.warning.clone()).collect()
    }

    fn load(&self, piece: &Piece, _want: &Want) -> Result<Batch, SourceError> {
        let mut batch = Batch::default();
        let (mut codes, mut values) = (Vec::new(), Texts::default());
        let mut lines = Lines::default();
        for (labels, rows) in by_stream(&self.0[piece.id as usize].rows) {
            if !all_match(&self.1, &labels) {
                continue;
            }
            let start = batch.timestamps.len();
            for row in rows {
                batch.timestamps.push(time(row.at).0);
                batch.lengths.push(row.line.len() as u32);
                lines.push(row.line.as_bytes());
                codes.push(row.trace.map_or(0, |trace| {
                    values.push(&trace);
                    values.len() as u32
                }));
            }
            let fingerprint = labels.fingerprint();
            let rows = start..batch.timestamps.len();
            // Heads tell their own copies; these simply suspect all of them.
            let copies = (self.0.len() > 1).then_some(TimeRange::ALL);
            batch.runs.push(StreamRun { labels, fingerprint, rows, copies });
        }
        batch.lines = lines;
        batch.metadata = vec![TextColumn::from_parts("trace", codes, values).unwrap()];
        Ok(batch)
    }

    fn streams(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<StreamSummary>, SourceError> {
        let mut streams = Vec::new();
        for head in &self.0 {
            for (labels, rows) in by_stream(&head.rows) {
                let inside = rows.iter().filter(|row| range.contains(time(row.at))).count();
                if inside > 0 && all_match(matchers, &labels) {
                    let bytes = rows.iter().map(|row| row.line.len() as u64).sum();
                    streams.push(StreamSummary { labels, rows: rows.len() as u64, bytes });
                }
            }
        }
        Ok(streams)
    }
}

/// A store in memory, and heads.
pub(crate) struct Rig {
    pub(crate) store: Arc<Store>,
    pub(crate) heads: Arc<TestHeads>,
    pub(crate) clock: Arc<ManualClock>,
}

impl Rig {
    pub(crate) async fn new() -> Self {
        let dependencies = store::Dependencies {
            clock: Arc::new(SystemClock),
            metrics: store::Metrics::default(),
        };
        let store = Store::open(store::Config::memory(), dependencies).await.unwrap();
        let clock = Arc::new(ManualClock::new(time(model::time::DAY_NS)));
        Self { store, heads: Arc::new(TestHeads::default()), clock }
    }

    pub(crate) async fn upload(&self, rows: &[TestRow], position: u64) -> SegmentName {
        self.store.upload(segment(&tenant(), rows, position)).await.unwrap()
    }

    pub(crate) fn set_heads(&self, heads: Vec<TestHead>) {
        self.heads.0.write().insert(tenant(), heads);
    }

    pub(crate) fn querier(&self, config: Config, limits: Limits) -> Arc<Querier> {
        let dependencies = Dependencies {
            store: Arc::clone(&self.store),
            recent: Arc::clone(&self.heads) as Arc<dyn Recent>,
            limits: Arc::new(SameLimits::new(limits)),
            clock: Arc::clone(&self.clock) as Arc<dyn runtime::clock::Clock>,
            metrics: Metrics::default(),
        };
        Querier::new(config, dependencies)
    }
}
