//! Times that a stream has in two segments.
//!
//! Neighbouring segments overlap a little in time, and nearly always without a row in common. Rows
//! of two segments can be copies only when stream and time are equal, so the timestamps alone tell
//! where copies may be. What is found is kept: segments never change.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use hashbrown::HashMap;
use model::{Fingerprint, TimeRange, Timestamp};
use parking_lot::RwLock;
use store::{SegmentFooter, Store, StoredSegment};

/// Pairs of segments that are remembered; beyond it all are forgotten.
const PAIRS_MAX: usize = 2048;
/// Streams of a pair that are remembered; of pairs with more, nothing is known.
const STREAMS_MAX: usize = 256;
/// Rows of a segment that are looked at for one pair.
const ROWS_MAX: u64 = 1 << 22;

/// A segment that may hold copies of another's rows.
#[derive(Debug, Clone)]
pub(crate) struct Member {
    pub(crate) stored: Arc<StoredSegment>,
    pub(crate) footer: Arc<SegmentFooter>,
}

/// Of the streams that have rows of equal times in two segments: the first and the last such time.
pub(crate) type CommonTimes = HashMap<Fingerprint, (Timestamp, Timestamp)>;

/// What is known of pairs of segments; `None` when it is not worth knowing.
#[derive(Debug, Default)]
pub(crate) struct KnownPairs(RwLock<HashMap<(u128, u128), Arc<Known>>>);

type Known = OnceLock<Option<Arc<CommonTimes>>>;

impl KnownPairs {
    /// The common times of two segments. `None` when they cannot be told: copies may be wherever
    /// both have rows of a stream.
    pub(crate) fn of(&self, store: &Store, a: &Member, b: &Member) -> Option<Arc<CommonTimes>> {
        let (a, b) = if a.stored.name.hash() <= b.stored.name.hash() { (a, b) } else { (b, a) };
        let key = (a.stored.name.hash(), b.stored.name.hash());
        let known = self.0.read().get(&key).cloned();
        let known = known.unwrap_or_else(|| {
            let mut pairs = self.0.write();
            if pairs.len() >= PAIRS_MAX {
                pairs.clear();
            }
            Arc::clone(pairs.entry(key).or_default())
        });
        known.get_or_init(|| common(store, a, b).map(Arc::new)).clone()
    }
}

/// Compares the timestamps of two segments where both have rows. A segment that cannot be read
/// tells nothing here; whoever reads its rows reports it.
fn common(store: &Store, a: &Member, b: &Member) -> Option<CommonTimes> {
    let first = a.footer.first().max(b.footer.first());
    let last = a.footer.last().min(b.footer.last());
    let range = TimeRange::new(first, Timestamp(last.0.saturating_add(1)));
    let is_in_both = |fingerprint| {
        let has = |member: &Member| {
            let streams = member.footer.streams();
            let overlaps = |o: u32| range.overlaps(streams.first(o), streams.last(o));
            member.footer.ordinals_of(fingerprint).any(overlaps)
        };
        has(a) && has(b)
    };
    let of_a = times(store, a, range, is_in_both)?;
    let of_b = times(store, b, range, |fingerprint| of_a.contains_key(&fingerprint))?;
    let mut common = CommonTimes::new();
    for (fingerprint, a) in of_a {
        let Some(b) = of_b.get(&fingerprint) else { continue };
        if let Some(span) = common_span(&a, b) {
            common.insert(fingerprint, span);
        }
    }
    (common.len() <= STREAMS_MAX).then_some(common)
}

/// The first and the last number of two ascending lists that is in both.
fn common_span(a: &[i64], b: &[i64]) -> Option<(Timestamp, Timestamp)> {
    let is_in_b = |at: &&i64| b.binary_search(at).is_ok();
    let start = a.partition_point(|at| Some(at) < b.first());
    let end = a.partition_point(|at| Some(at) <= b.last());
    let shared = a.get(start..end)?;
    let first = shared.iter().find(is_in_b)?;
    let last = shared.iter().rev().find(is_in_b)?;
    Some((Timestamp(*first), Timestamp(*last)))
}

/// The times of wanted streams in a range, ascending; `None` when there are too many, or when they
/// cannot be read.
fn times(
    store: &Store,
    member: &Member,
    range: TimeRange,
    is_wanted: impl Fn(Fingerprint) -> bool,
) -> Option<HashMap<Fingerprint, Vec<i64>>> {
    let footer = &member.footer;
    let wanted: Vec<bool> = footer.keys().iter().map(|key| is_wanted(key.fingerprint())).collect();
    let blocks: Vec<_> = footer
        .blocks()
        .iter()
        .filter(|block| range.overlaps(block.first, block.last))
        .filter(|block| block.runs.iter().any(|run| wanted[run.stream as usize]))
        .collect();
    if blocks.iter().map(|block| u64::from(block.rows)).sum::<u64>() > ROWS_MAX {
        return None;
    }
    let ranges: Vec<Range<u64>> = blocks.iter().map(|block| block.timestamps.clone()).collect();
    let read: Vec<Bytes> = store.read_blocking(&member.stored, &ranges).ok()?;
    let mut found: HashMap<Fingerprint, Vec<i64>> = HashMap::new();
    for (block, bytes) in blocks.into_iter().zip(read) {
        let times = segment::decode_timestamps(block, &bytes).ok()?;
        for (stream, rows) in block.run_rows().filter(|(stream, _)| wanted[*stream as usize]) {
            let rows = times.get(rows)?;
            let start = rows.partition_point(|at| *at < range.start.0);
            let end = rows.partition_point(|at| *at < range.end.0);
            if start < end {
                let own = found.entry(footer.keys()[stream as usize].fingerprint()).or_default();
                own.extend_from_slice(&rows[start..end]);
            }
        }
    }
    // Only streams whose hashes are equal by chance are not in order yet.
    found.values_mut().for_each(|times| times.sort());
    Some(found)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn no_common_number_lies_outside(
            mut a in prop::collection::vec(0i64..60, 0..20),
            mut b in prop::collection::vec(0i64..60, 0..20),
        ) {
            a.sort();
            b.sort();
            let common: Vec<i64> = a.iter().filter(|at| b.contains(at)).copied().collect();
            let expected = common.first().zip(common.last());
            let expected = expected.map(|(first, last)| (Timestamp(*first), Timestamp(*last)));
            prop_assert_eq!(common_span(&a, &b), expected);
        }
    }
}
