//! Rows of heads that several holders keep, counted once.
//!
//! Replicas hold the same rows, some of them may lack what others have, and what one has stored
//! another may still hold. So rows are compared: those of one stream, time and length of line are as
//! many as the holder has that has most of them, less those that segments have. That is the union of
//! the sets, but where two holders each lack another of several such rows, or a flush cut between
//! them. The lines themselves, which are most of the bytes, are not asked for.

use std::collections::BTreeMap;

use hashbrown::HashMap;
use logql::source::{Batch, SourceError, StreamRun, Want, WantLines, WantMetadata};
use model::{Fingerprint, Labels, Timestamp};
use store::StreamKey;

use super::{Tally, TallySink, length};
use crate::source::planned::PlannedSegment;
use crate::source::tenant::Plan;

/// Rows of heads that are remembered, about; of more, some times stand for all.
const ROWS_MAX: u64 = 2_000_000;
/// Blocks of segments that are compared with heads; of more, some stand for all.
const BLOCKS_MAX: usize = 512;

/// Rows of one stream, time and length.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct Alike {
    at: i64,
    length: u32,
    count: u32,
}

impl Alike {
    fn order(&self) -> (i64, u32) {
        (self.at, self.length)
    }
}

/// The rows of a stream that somebody holds.
#[derive(Debug)]
struct Held {
    labels: Labels,
    /// Ascending and distinct by [`Alike::order`].
    rows: Vec<Alike>,
}

type Streams = HashMap<StreamKey, Held>;

/// Rows and bytes by span.
type BySpan = BTreeMap<usize, (f64, f64)>;

impl Tally<'_> {
    /// Counts the rows of heads of several holders.
    pub(super) fn shared_heads(
        &self,
        plan: &Plan,
        sink: &mut dyn TallySink,
    ) -> Result<(), SourceError> {
        let sampling = Sampling::of(plan.heads.iter().map(|(piece, _)| piece.rows).sum());
        let mut union = Streams::new();
        let mut by_holder: BTreeMap<u64, Vec<_>> = BTreeMap::new();
        for (piece, _) in &plan.heads {
            let holder = plan.view.heads.holder(piece.origin);
            by_holder.entry(holder).or_default().push(piece);
        }
        let want = Want { lines: WantLines::Lengths, metadata: WantMetadata::None };
        for pieces in by_holder.into_values() {
            let mut own = Streams::new();
            for piece in pieces {
                let batch = self.source.load_head(&plan.view, piece, &want)?;
                for run in &batch.runs {
                    self.hold(&batch, run, sampling, &mut own);
                }
            }
            own.into_iter().for_each(|(key, held)| join(&mut union, key, held));
        }
        let totals: HashMap<StreamKey, BySpan> = union
            .iter()
            .map(|(key, held)| (*key, self.by_span(*key, held.rows.iter().copied())))
            .collect();
        let stored = self.stored(&plan.segments, sampling, &mut union)?;
        for (key, total) in totals {
            let Some(held) = union.get(&key) else { continue };
            let mut number = None;
            for (span, (rows, bytes)) in total {
                let known = stored.get(&key).and_then(|spans| spans.get(&span));
                let (less_rows, less_bytes) = known.copied().unwrap_or_default();
                let (rows, bytes) = (rows - less_rows, (bytes - less_bytes).max(0.0));
                if rows > 0.0 {
                    let number =
                        *number.get_or_insert_with(|| sink.stream(key, &mut held.labels.iter()));
                    sink.count(number, span, rows * sampling.weight(), bytes * sampling.weight());
                }
            }
        }
        Ok(())
    }

    /// Adds a run's rows to what their holder has.
    fn hold(&self, batch: &Batch, run: &StreamRun, sampling: Sampling, own: &mut Streams) {
        let key = StreamKey::of(run.labels.iter());
        let rows = run.rows.clone().filter_map(|row| {
            let at = batch.timestamps[row];
            self.spans.holding(Timestamp(at)).filter(|_| sampling.takes(key, at))?;
            Some(Alike { at, length: length(batch, row) as u32, count: 1 })
        });
        let mut rows: Vec<Alike> = rows.collect();
        if rows.is_empty() {
            return;
        }
        let held = own.entry(key).or_insert_with(|| {
            let labels = run.labels.clone();
            Held { labels, rows: Vec::new() }
        });
        rows.append(&mut held.rows);
        rows.sort_unstable_by_key(Alike::order);
        rows.dedup_by(|next, kept| {
            let is_alike = next.order() == kept.order();
            if is_alike {
                kept.count += next.count;
            }
            is_alike
        });
        held.rows = rows;
    }

    /// How many of the rows stand in segments, too. Takes them out of `held`.
    fn stored(
        &self,
        segments: &[PlannedSegment],
        sampling: Sampling,
        held: &mut Streams,
    ) -> Result<HashMap<StreamKey, BySpan>, SourceError> {
        let known = &*held;
        let blocks = segments.iter().flat_map(|segment| {
            let blocks = segment.blocks(self.selection.range);
            blocks.filter_map(move |(index, _, first, last)| {
                let holds = |(stream, _): &(usize, _)| {
                    let key = key_of(segment, *stream);
                    known.get(&key).is_some_and(|held| held.reaches(first, last))
                };
                segment.selected_rows(index).iter().any(holds).then_some((segment, index))
            })
        });
        let blocks: Vec<(&PlannedSegment, usize)> = blocks.collect();
        let every = blocks.len().div_ceil(BLOCKS_MAX).max(1);
        let mut stored: HashMap<StreamKey, BySpan> = HashMap::new();
        for (segment, block) in blocks.into_iter().step_by(every) {
            let found = self.take_stored(segment, block, sampling, held);
            let found = match found {
                Ok(found) => found,
                Err(error) => {
                    self.source.missed(&error)?;
                    continue;
                }
            };
            for (key, taken) in found {
                let spans = stored.entry(key).or_default();
                for (span, (rows, bytes)) in self.by_span(key, taken.into_iter()) {
                    let sum = spans.entry(span).or_default();
                    *sum = (sum.0 + rows * every as f64, sum.1 + bytes * every as f64);
                }
            }
        }
        Ok(stored)
    }

    /// Takes the rows of one block of a segment out of `held`.
    fn take_stored(
        &self,
        segment: &PlannedSegment,
        block: usize,
        sampling: Sampling,
        held: &mut Streams,
    ) -> Result<Vec<(StreamKey, Vec<Alike>)>, SourceError> {
        let want = Want { lines: WantLines::Lengths, metadata: WantMetadata::None };
        let batch = segment.load(self.source.store(), block, &want, &Default::default())?;
        let mut found = Vec::new();
        for run in &batch.runs {
            let key = StreamKey::of(run.labels.iter());
            let Some(held) = held.get_mut(&key) else { continue };
            let mut taken = Vec::new();
            for row in run.rows.clone() {
                let alike = Alike {
                    at: batch.timestamps[row],
                    length: length(&batch, row) as u32,
                    count: 1,
                };
                if sampling.takes(key, alike.at) && held.take(alike) {
                    taken.push(alike);
                }
            }
            found.push((key, taken));
        }
        Ok(found)
    }

    fn by_span(&self, key: StreamKey, rows: impl Iterator<Item = Alike>) -> BySpan {
        let per_row = self.metadata.per_row(key.fingerprint());
        let mut spans = BySpan::new();
        for row in rows {
            let Some(span) = self.spans.holding(Timestamp(row.at)) else { continue };
            let (sum, count) = (spans.entry(span).or_default(), f64::from(row.count));
            *sum = (sum.0 + count, sum.1 + count * (f64::from(row.length) + per_row));
        }
        spans
    }
}

fn key_of(segment: &PlannedSegment, stream: usize) -> StreamKey {
    segment.footer.keys()[segment.ordinals()[stream] as usize]
}

impl Held {
    /// Whether some row lies between two times (inclusive).
    fn reaches(&self, first: Timestamp, last: Timestamp) -> bool {
        let from = self.rows.partition_point(|row| row.at < first.0);
        self.rows.get(from).is_some_and(|row| row.at <= last.0)
    }

    /// Takes one row out; `false` when there is none of it left.
    fn take(&mut self, row: Alike) -> bool {
        let place = self.rows.binary_search_by_key(&row.order(), Alike::order);
        let found = place.ok().and_then(|place| self.rows.get_mut(place));
        let Some(left) = found.filter(|found| found.count > 0) else { return false };
        left.count -= 1;
        true
    }
}

/// Adds what one more holder has: of rows that are alike, as many as whoever has most.
fn join(union: &mut Streams, key: StreamKey, held: Held) {
    let Some(known) = union.get_mut(&key) else {
        union.insert(key, held);
        return;
    };
    known.rows = merged(&known.rows, &held.rows);
}

fn merged(left: &[Alike], right: &[Alike]) -> Vec<Alike> {
    let mut rows = Vec::with_capacity(left.len().max(right.len()));
    let (mut left, mut right) = (left.iter().peekable(), right.iter().peekable());
    while let (Some(a), Some(b)) = (left.peek(), right.peek()) {
        let order = a.order().cmp(&b.order());
        let mut row = if order.is_le() { **a } else { **b };
        if order.is_eq() {
            row.count = a.count.max(b.count);
        }
        if order.is_le() {
            left.next();
        }
        if order.is_ge() {
            right.next();
        }
        rows.push(row);
    }
    rows.extend(left.chain(right));
    rows
}

/// Which rows are looked at: of each stream, all of some times.
#[derive(Debug, Clone, Copy)]
struct Sampling {
    every: u64,
}

impl Sampling {
    fn of(rows: u64) -> Self {
        Self { every: rows.div_ceil(ROWS_MAX).max(1) }
    }

    /// How many rows one stands for.
    fn weight(self) -> f64 {
        self.every as f64
    }

    fn takes(self, key: StreamKey, at: i64) -> bool {
        self.every == 1 || mixed(key.fingerprint(), at).is_multiple_of(self.every)
    }
}

/// Spreads streams and times evenly (the last steps of a common hash).
fn mixed(stream: Fingerprint, at: i64) -> u64 {
    let mut hash = stream.0 ^ (at as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    hash = (hash ^ (hash >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
    hash = (hash ^ (hash >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
    hash ^ (hash >> 31)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(rows: &[(i64, u32, u32)]) -> Vec<Alike> {
        rows.iter()
            .map(|(at, length, count)| Alike { at: *at, length: *length, count: *count })
            .collect()
    }

    #[test]
    fn what_holders_have_is_united() {
        let a = rows(&[(1, 5, 1), (2, 5, 2), (9, 1, 1)]);
        let b = rows(&[(1, 5, 1), (2, 4, 1), (2, 5, 1), (3, 3, 1)]);
        let both = rows(&[(1, 5, 1), (2, 4, 1), (2, 5, 2), (3, 3, 1), (9, 1, 1)]);
        assert_eq!(merged(&a, &b), both);
        assert_eq!(merged(&b, &a), both);
        assert_eq!(merged(&a, &[]), a);
    }

    #[test]
    fn a_row_is_taken_once() {
        let mut held = Held { labels: Labels::new([("a", "b")]), rows: rows(&[(2, 5, 1)]) };
        let row = held.rows[0];
        assert!(
            held.reaches(Timestamp(0), Timestamp(2)) && held.reaches(Timestamp(2), Timestamp(3))
        );
        assert!(!held.reaches(Timestamp(3), Timestamp(9)));
        assert!(!held.take(Alike { length: 4, ..row }));
        assert!(held.take(row));
        assert!(!held.take(row));
    }

    #[test]
    fn a_sample_is_about_as_large_as_it_says() {
        let sampling = Sampling::of(10 * ROWS_MAX);
        assert_eq!(sampling.every, 10);
        let key = StreamKey::of([("a", "b")].into_iter());
        // Times of clients are often whole seconds.
        let taken = (0..10_000).filter(|at| sampling.takes(key, at * 1_000_000_000)).count();
        assert!((800..1200).contains(&taken), "{taken}");
    }
}
