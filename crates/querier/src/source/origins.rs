//! Which rows may exist twice.
//!
//! Rows of one origin (a head or a segment) are distinct. Two origins can hold the same row: a
//! client sent it again, replicas flushed it, a compaction is under way. That is possible only for
//! a stream that both hold, and only where the stream's times in both overlap; of two segments,
//! only where [`common_times`](super::common_times) are equal. Copies between two heads of one holder
//! are told by the heads themselves, which know the times of each stream; heads of different holders,
//! the ingesters of a cluster, may hold copies wherever they overlap.

use std::sync::{Arc, OnceLock};

use hashbrown::HashMap;
use model::{Fingerprint, TimeRange, Timestamp};
use store::Store;

use crate::source::common_times::{CommonTimes, KnownPairs, Member};

/// Where rows stand, and when.
#[derive(Debug, Clone)]
pub(crate) struct Origin {
    /// Its number among the origins of a selection.
    pub(crate) id: u64,
    /// Time of the earliest selected row.
    pub(crate) first: Timestamp,
    /// Time of the latest selected row.
    pub(crate) last: Timestamp,
    /// The segment, whose streams are known one by one; a head may hold any.
    pub(crate) segment: Option<Member>,
    /// Who holds it, if it is a head.
    pub(crate) holder: u64,
}

/// The origins of a selection.
#[derive(Debug, Default)]
pub(crate) struct Origins {
    /// By time of the earliest row.
    sorted: Vec<Origin>,
    /// Per origin: the latest time of it and of all before it.
    reach: Vec<Timestamp>,
    /// Who holds those of them that are heads.
    heads: HashMap<u64, u64>,
    /// Those that are segments.
    segments: HashMap<u64, OwnSegment>,
    /// Where to look for common times.
    pairs: Option<(Arc<Store>, Arc<KnownPairs>)>,
}

/// A segment among the origins.
#[derive(Debug)]
struct OwnSegment {
    origin: Origin,
    /// The other origins of its time that may hold copies of its rows, once asked for.
    neighbours: OnceLock<Box<[Neighbour]>>,
}

/// Another origin of a segment's time.
#[derive(Debug)]
struct Neighbour {
    origin: Origin,
    /// Of a segment: the times that both have, if they were compared.
    common: Option<Arc<CommonTimes>>,
}

/// Segments of one time that are compared; beyond it copies are suspected wherever streams meet.
const COMPARED_MAX: usize = 16;

impl Origins {
    pub(crate) fn new(mut origins: Vec<Origin>) -> Self {
        origins.sort_by_key(|origin| (origin.first, origin.id));
        let mut latest = Timestamp::MIN;
        let reach = origins
            .iter()
            .map(|origin| {
                latest = latest.max(origin.last);
                latest
            })
            .collect();
        let heads = origins.iter().filter(|origin| origin.segment.is_none());
        let heads = heads.map(|origin| (origin.id, origin.holder)).collect();
        let segments = origins.iter().filter(|origin| origin.segment.is_some()).map(|origin| {
            (origin.id, OwnSegment { origin: origin.clone(), neighbours: OnceLock::new() })
        });
        let segments = segments.collect();
        Self { sorted: origins, reach, heads, segments, pairs: None }
    }

    /// The same origins, of which segments are compared by the times of their rows.
    pub(crate) fn compared(self, store: Arc<Store>, pairs: Arc<KnownPairs>) -> Self {
        Self { pairs: Some((store, pairs)), ..self }
    }

    /// The span in which rows of a stream that stand in origin `own` between `first` and `last`
    /// (inclusive) may also stand in another origin.
    pub(crate) fn copies(
        &self,
        own: u64,
        fingerprint: Fingerprint,
        first: Timestamp,
        last: Timestamp,
    ) -> Option<TimeRange> {
        let mut span: Option<(Timestamp, Timestamp)> = None;
        let mut extend = |from: Timestamp, to: Timestamp| {
            let (from, to) = (from.max(first), to.min(last));
            if from <= to {
                let (start, end) = span.get_or_insert((from, to));
                (*start, *end) = ((*start).min(from), (*end).max(to));
            }
        };
        if let Some(own) = self.segments.get(&own) {
            for other in own.neighbours.get_or_init(|| self.neighbours(&own.origin)) {
                let Neighbour { origin, common } = other;
                match (&origin.segment, common) {
                    (_, Some(common)) => {
                        let span = common.get(&fingerprint);
                        span.into_iter().for_each(|span| extend(span.0, span.1));
                    }
                    (Some(member), None) => {
                        let streams = member.footer.streams();
                        for ordinal in member.footer.ordinals_of(fingerprint) {
                            extend(streams.first(ordinal), streams.last(ordinal));
                        }
                    }
                    (None, None) => extend(origin.first, origin.last),
                }
            }
        } else {
            for other in self.overlapping(first, last).filter(|other| other.id != own) {
                let Some(member) = &other.segment else {
                    if self.heads.get(&own) != Some(&other.holder) {
                        extend(other.first, other.last);
                    }
                    continue;
                };
                let streams = member.footer.streams();
                for ordinal in member.footer.ordinals_of(fingerprint) {
                    extend(streams.first(ordinal), streams.last(ordinal));
                }
            }
        }
        span.map(|(start, end)| TimeRange::new(start, Timestamp(end.0.saturating_add(1))))
    }

    /// The other origins of a segment's time that may hold copies of its rows.
    fn neighbours(&self, own: &Origin) -> Box<[Neighbour]> {
        let others: Vec<&Origin> =
            self.overlapping(own.first, own.last).filter(|other| other.id != own.id).collect();
        let compared = self.pairs.as_ref().filter(|_| others.len() <= COMPARED_MAX);
        let common = |other: &Origin| {
            let (store, pairs) = compared?;
            pairs.of(store, own.segment.as_ref()?, other.segment.as_ref()?)
        };
        others
            .into_iter()
            .map(|other| Neighbour { origin: other.clone(), common: common(other) })
            .filter(|other| other.common.as_ref().is_none_or(|common| !common.is_empty()))
            .collect()
    }

    /// The origins with rows between two times (inclusive).
    fn overlapping(&self, first: Timestamp, last: Timestamp) -> impl Iterator<Item = &Origin> {
        let end = self.sorted.partition_point(|origin| origin.first <= last);
        let candidates = self.sorted[..end].iter().zip(&self.reach[..end]).rev();
        candidates
            .take_while(move |(_, reach)| **reach >= first)
            .map(|(origin, _)| origin)
            .filter(move |origin| origin.last >= first)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn head(id: u64, first: i64, last: i64) -> Origin {
        Origin { id, first: Timestamp(first), last: Timestamp(last), segment: None, holder: 0 }
    }

    fn span(origins: &Origins, own: u64, first: i64, last: i64) -> Option<(i64, i64)> {
        let copies = origins.copies(own, Fingerprint(1), Timestamp(first), Timestamp(last));
        copies.map(|range| (range.start.0, range.end.0))
    }

    /// The number of a segment that asks.
    const OWN: u64 = 99;

    #[test]
    fn copies_exist_where_a_head_reaches() {
        let origins = Origins::new(vec![head(1, 0, 10), head(2, 10, 20), head(3, 30, 40)]);
        assert_eq!(span(&origins, OWN, 0, 10), Some((0, 11)));
        assert_eq!(span(&origins, OWN, 21, 29), None);
        assert_eq!(span(&origins, OWN, 15, 40), Some((15, 41)));
        assert_eq!(span(&origins, OWN, 18, 25), Some((18, 21)));
        assert_eq!(span(&origins, 1, 0, 10), None, "heads know their own copies");
    }

    #[test]
    fn heads_of_different_holders_may_hold_copies() {
        let held = |id, first, last, holder| Origin { holder, ..head(id, first, last) };
        let heads = vec![held(1, 0, 10, 0), held(2, 5, 20, 0), held(3, 8, 30, 1)];
        let origins = Origins::new(heads);
        assert_eq!(span(&origins, 1, 0, 10), Some((8, 11)), "not where only its own holder is");
        assert_eq!(span(&origins, 3, 8, 30), Some((8, 21)));
        assert_eq!(span(&origins, 2, 5, 7), None);
    }

    proptest! {
        #[test]
        fn no_overlap_is_missed(
            spans in proptest::collection::vec((0i64..100, 0i64..40), 1..12),
            first in 0i64..120,
            length in 0i64..50,
        ) {
            let heads = spans.iter().zip(0u64..);
            let origins =
                Origins::new(heads.map(|((at, len), id)| head(id, *at, at + len)).collect());
            let last = first + length;
            let found = span(&origins, OWN, first, last);
            for at in first..=last {
                let held = spans.iter().any(|(start, len)| (*start..=start + len).contains(&at));
                let inside = found.is_some_and(|(start, end)| (start..end).contains(&at));
                prop_assert!(!held || inside, "time {at} is held twice");
            }
            if let Some((start, end)) = found {
                prop_assert!(first <= start && end <= last + 1);
            }
        }
    }
}
