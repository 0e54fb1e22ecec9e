//! What a query sees of the heads: a [`Source`] that does not change.
//!
//! Taking a snapshot copies no row and no line; it clones lists under the tenant's lock. Rows are
//! sorted and copies removed when a piece is planned, and only for streams that need it. A piece is
//! gathered when it is loaded.

use std::sync::Arc;

use hashbrown::HashMap;
use logql::source::{Batch, Piece, Selection, Source, SourceError, StreamSummary, Want};
use model::{ErrorKind, Fingerprint, Matcher, TimeRange, Timestamp};
use parking_lot::Mutex;
use segment::SegmentName;

use crate::head::RunView;
use crate::tenant::HeadShown;

mod gather;
mod plan;
#[cfg(test)]
mod tests;

use plan::{Planned, plan_head};

/// Heads rank above all segments: what is in memory came last.
const RANK_BASE: u64 = 1 << 63;
/// Ranks that one head may use for its pieces.
const RANKS_OF_HEAD: u64 = 1 << 24;

/// The heads of one tenant at one instant, for the streams that match.
#[derive(Debug, Default)]
pub struct HeadSnapshot {
    /// Oldest first.
    heads: Vec<HeadShown>,
    /// Pieces that were described, by id.
    planned: Mutex<Vec<Arc<Planned>>>,
}

impl HeadSnapshot {
    /// Keeps what some heads showed.
    pub(crate) fn new(heads: Vec<HeadShown>) -> Self {
        Self { heads, planned: Mutex::new(Vec::new()) }
    }

    /// The origins of the pieces, oldest head first.
    #[must_use]
    pub fn origins(&self) -> Vec<u64> {
        self.heads.iter().map(|head| head.id.origin).collect()
    }

    /// The segments that hold, or are about to hold, the rows of an origin as of now; empty while
    /// it is not being flushed.
    ///
    /// If every one of them is in the catalog that a query reads, the query may leave out the
    /// origin's pieces. Otherwise it reads both and counts once what is in both: the segments may
    /// hold other rows, too, for some may be those of a replica that stored the same rows first.
    #[must_use]
    pub fn flushed_as(&self, origin: u64) -> Vec<SegmentName> {
        let head = self.heads.iter().find(|head| head.id.origin == origin);
        head.map(|head| head.id.flushed_as()).unwrap_or_default()
    }

    /// Whether there is nothing in memory.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.heads.is_empty()
    }

    /// For every stream that stands in several heads, where in time its rows may repeat.
    fn overlaps(&self) -> Overlaps {
        let mut overlaps = Overlaps::default();
        if self.heads.len() > 1 {
            for head in &self.heads {
                for run in &head.runs {
                    overlaps.add(run);
                }
            }
        }
        overlaps
    }
}

impl Source for HeadSnapshot {
    fn pieces(&self, selection: &Selection) -> Result<Vec<Piece>, SourceError> {
        let overlaps = self.overlaps();
        let mut pieces = Vec::new();
        for (index, head) in self.heads.iter().enumerate() {
            let is_selected =
                |run: &&Arc<RunView>| run.may_show(&selection.matchers, selection.range);
            let runs: Vec<&Arc<RunView>> = head.runs.iter().filter(is_selected).collect();
            let planned = plan_head(head, &runs, selection.range, &overlaps);
            let rank = RANK_BASE + index as u64 * RANKS_OF_HEAD;
            for (number, planned) in (0..).zip(planned) {
                let mut all = self.planned.lock();
                pieces.push(Piece {
                    id: all.len() as u64,
                    origin: head.id.origin,
                    rank: rank + number,
                    first: Timestamp(planned.first),
                    last: Timestamp(planned.last),
                    rows: planned.rows,
                    bytes: planned.bytes,
                    is_head: true,
                });
                all.push(Arc::new(planned));
            }
        }
        Ok(pieces)
    }

    fn load(&self, piece: &Piece, want: &Want) -> Result<Batch, SourceError> {
        let planned = self.planned.lock().get(piece.id as usize).cloned();
        let planned = planned.ok_or_else(|| SourceError {
            message: "a piece of the heads that was never described".to_owned(),
            kind: ErrorKind::Internal,
        })?;
        Ok(gather::gather(&planned, want))
    }

    fn streams(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<StreamSummary>, SourceError> {
        let mut found: HashMap<&model::Labels, StreamSummary> = HashMap::new();
        for head in &self.heads {
            for run in &head.runs {
                if !run.may_show(matchers, range) {
                    continue;
                }
                let (rows, bytes) = plan::count(head, run, range);
                if rows == 0 {
                    continue;
                }
                let labels = run.labels.clone();
                let summary =
                    found.entry(&run.labels).or_insert(StreamSummary { labels, rows: 0, bytes: 0 });
                summary.rows += rows;
                summary.bytes += bytes;
            }
        }
        let mut streams: Vec<StreamSummary> = found.into_values().collect();
        streams.sort_by(|a, b| a.labels.cmp(&b.labels));
        Ok(streams)
    }
}

/// Where in time the rows of a stream may stand in more than one head.
#[derive(Debug, Default)]
struct Overlaps {
    /// By hash: all times seen, and those seen more than once. Streams whose hashes collide are
    /// taken together, which costs comparisons and loses nothing.
    streams: HashMap<Fingerprint, (TimeRange, Option<TimeRange>)>,
}

impl Overlaps {
    fn add(&mut self, run: &RunView) {
        let range = TimeRange::new(run.first, after(run.last));
        let Some((seen, twice)) = self.streams.get_mut(&run.fingerprint) else {
            self.streams.insert(run.fingerprint, (range, None));
            return;
        };
        let shared = seen.intersect(&range);
        if !shared.is_empty() {
            *twice = Some(twice.map_or(shared, |known| hull(&known, &shared)));
        }
        *seen = hull(seen, &range);
    }

    fn of(&self, run: &RunView) -> Option<TimeRange> {
        let (_, twice) = self.streams.get(&run.fingerprint)?;
        let range = TimeRange::new(run.first, after(run.last));
        twice.map(|twice| twice.intersect(&range)).filter(|shared| !shared.is_empty())
    }
}

fn hull(a: &TimeRange, b: &TimeRange) -> TimeRange {
    TimeRange::new(a.start.min(b.start), a.end.max(b.end))
}

/// The first instant after one.
fn after(at: Timestamp) -> Timestamp {
    Timestamp(at.0.saturating_add(1))
}
