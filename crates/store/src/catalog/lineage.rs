//! Who took over whose rows.
//!
//! A compacted segment names its parents, the segments whose rows it holds, in its footer. So one
//! upload makes it visible and its parents superseded, and no other object has to agree with it.
//! Whoever does not know a segment's parents yet sees rows twice, which queries and compaction
//! sort out (`docs/decisions/0002-set-semantics.md`); nobody sees them less than once.

use std::collections::{BTreeMap, HashMap, HashSet};
use std::sync::Arc;

use model::TenantId;
use segment::limits::LEVEL_MAX;

use super::StoredSegment;

/// The parents of segments, by the hashes in their names.
#[derive(Debug, Default)]
pub(crate) struct Lineage(HashMap<u128, Arc<[u128]>>);

/// The segments of one tenant and day, each list by name.
#[derive(Debug, Clone, Default)]
pub(crate) struct Day {
    /// What queries read.
    pub(crate) live: Arc<[Arc<StoredSegment>]>,
    /// What others took over.
    pub(crate) superseded: Arc<[Arc<StoredSegment>]>,
}

impl Lineage {
    /// Remembers the parents of a segment; ascending, as footers have them.
    pub(crate) fn learn(&mut self, child: u128, parents: &[u128]) {
        if !parents.is_empty() {
            self.0.insert(child, parents.into());
        }
    }

    /// Forgets all but these segments.
    pub(crate) fn keep_only(&mut self, existing: HashSet<u128>) {
        self.0.retain(|child, _| existing.contains(child));
    }

    /// The compacted segments whose parents are not known and may be among the others: of the same
    /// tenant and day with a lower level, or with an equal one and a common end, as two compactors
    /// leave it that took different inputs. Above the highest level there is none, so that parents
    /// of such a segment may have its level.
    pub(crate) fn unexplained(&self, mut segments: Vec<StoredSegment>) -> Vec<StoredSegment> {
        let mut lowest: BTreeMap<(TenantId, i32), u8> = BTreeMap::new();
        let mut ends: HashMap<(TenantId, u8, i64), u32> = HashMap::new();
        let ends_of = |segment: &StoredSegment| {
            let (tenant, level) = (segment.name.tenant().clone(), segment.name.level());
            let (first, last) = (segment.name.first().0, segment.name.last().0);
            [(tenant.clone(), level, first), (tenant, level, last)]
        };
        for segment in &segments {
            let level = segment.name.level();
            let lowest = lowest.entry(day_of(segment)).or_insert(level);
            *lowest = (*lowest).min(level);
            if level > 0 {
                for end in ends_of(segment) {
                    *ends.entry(end).or_default() += 1;
                }
            }
        }
        segments.retain(|segment| {
            let level = segment.name.level();
            let own_ends = if segment.name.first() == segment.name.last() { 2 } else { 1 };
            level > 0
                && !self.0.contains_key(&segment.name.hash())
                && (level == LEVEL_MAX
                    || lowest.get(&day_of(segment)).is_some_and(|lowest| *lowest < level)
                    || ends_of(segment).iter().any(|end| ends[end] > own_ends))
        });
        segments
    }

    /// The segments of a day that others of the same day took over.
    fn superseded(&self, segments: &[Arc<StoredSegment>]) -> HashSet<u128> {
        let mut superseded = HashSet::new();
        let mut children: HashMap<u128, Vec<&StoredSegment>> = HashMap::new();
        for segment in segments {
            for parent in self.parents(segment) {
                superseded.insert(*parent);
                children.entry(*parent).or_default().push(segment);
            }
        }
        for segment in segments {
            let Some(first) = self.parents(segment).first() else { continue };
            let siblings = children.get(first).into_iter().flatten();
            if siblings.into_iter().any(|other| self.dominates(other, segment)) {
                superseded.insert(segment.name.hash());
            }
        }
        superseded
    }

    /// Whether one compacted segment holds every row of another: it was made of all that the other
    /// was made of. What it may lack was expired or deleted on purpose, so of two made of the same
    /// the one with fewer rows counts.
    fn dominates(&self, one: &StoredSegment, other: &StoredSegment) -> bool {
        let (of_one, of_other) = (self.parents(one), self.parents(other));
        let order = |segment: &StoredSegment| (segment.name.rows(), segment.name.hash());
        of_other.iter().all(|parent| of_one.binary_search(parent).is_ok())
            && (of_one.len() > of_other.len() || order(one) < order(other))
    }

    fn parents(&self, segment: &StoredSegment) -> &[u128] {
        self.0.get(&segment.name.hash()).map_or(&[], |parents| parents)
    }
}

impl Day {
    /// Tells the live segments of a day from the superseded ones.
    pub(crate) fn new(mut segments: Vec<Arc<StoredSegment>>, lineage: &Lineage) -> Self {
        segments.sort_by(|a, b| a.name.cmp(&b.name));
        segments.dedup_by(|a, b| a.name == b.name);
        let gone = lineage.superseded(&segments);
        let (superseded, live): (Vec<_>, Vec<_>) =
            segments.into_iter().partition(|segment| gone.contains(&segment.name.hash()));
        Self { live: live.into(), superseded: superseded.into() }
    }

    /// All segments.
    pub(crate) fn stored(&self) -> Vec<Arc<StoredSegment>> {
        self.live.iter().chain(&*self.superseded).cloned().collect()
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.live.is_empty() && self.superseded.is_empty()
    }
}

/// The day by which the catalog files a segment.
fn day_of(segment: &StoredSegment) -> (TenantId, i32) {
    (segment.name.tenant().clone(), segment.name.first().day())
}

#[cfg(test)]
mod tests {
    use segment::SegmentName;

    use super::*;

    fn segment(level: u8, first: i64, last: i64, rows: u64, hash: u128) -> StoredSegment {
        // A name is made of its parts as they are printed.
        let time = |at: i64| {
            let mut value = (at as u64) ^ (1 << 63);
            let mut digits = Vec::new();
            for _ in 0..13 {
                digits.push(char::from_digit((value % 36) as u32, 36).unwrap());
                value /= 36;
            }
            digits.iter().rev().collect::<String>()
        };
        let text = format!(
            "seg/t/19700101/0/{level}{}-{}-{rows}-{hash:032x}.1.seg",
            time(first),
            time(last)
        );
        StoredSegment { name: SegmentName::parse(&text).unwrap(), bytes: 1 }
    }

    fn live(segments: &[&StoredSegment], lineage: &Lineage) -> Vec<u128> {
        let day = Day::new(segments.iter().map(|s| Arc::new((*s).clone())).collect(), lineage);
        assert_eq!(day.stored().len(), segments.len(), "nothing is forgotten");
        let mut hashes: Vec<u128> = day.live.iter().map(|s| s.name.hash()).collect();
        hashes.sort_unstable();
        hashes
    }

    #[test]
    fn a_compacted_segment_hides_what_it_was_made_of() {
        let [a, b, c] = [1, 2, 3].map(|hash| segment(0, hash as i64, 9, 5, hash));
        let merged = segment(1, 1, 9, 9, 10);
        let mut lineage = Lineage::default();
        assert_eq!(live(&[&a, &b, &c, &merged], &lineage), [1, 2, 3, 10], "parents are not known");
        lineage.learn(10, &[1, 2]);
        assert_eq!(live(&[&a, &b, &c, &merged], &lineage), [3, 10]);
        assert_eq!(live(&[&a, &b, &c], &lineage), [1, 2, 3], "the child does not exist");
        // Generations: the middle one is gone already.
        let top = segment(2, 1, 9, 9, 20);
        lineage.learn(20, &[3, 10]);
        assert_eq!(live(&[&a, &c, &merged, &top], &lineage), [20]);
        assert_eq!(live(&[&a, &c, &top], &lineage), [1, 20], "no longer known, harmless");
        lineage.keep_only([20].into());
        assert_eq!(live(&[&a, &merged, &top], &lineage), [1, 20]);
    }

    #[test]
    fn of_two_compactions_the_one_of_more_inputs_counts() {
        let (small, large) = (segment(1, 1, 5, 7, 10), segment(1, 1, 9, 9, 11));
        let (fewer_rows, equal) = (segment(1, 1, 9, 8, 12), segment(1, 1, 9, 8, 13));
        let mut lineage = Lineage::default();
        lineage.learn(10, &[1, 2]);
        lineage.learn(11, &[1, 2, 3]);
        lineage.learn(12, &[1, 2, 3]);
        lineage.learn(13, &[1, 2, 3]);
        assert_eq!(live(&[&small, &large], &lineage), [11]);
        assert_eq!(live(&[&small, &large, &fewer_rows], &lineage), [12]);
        assert_eq!(live(&[&small, &large, &fewer_rows, &equal], &lineage), [12]);
        let aside = segment(1, 1, 9, 1, 14);
        lineage.learn(14, &[3, 4]);
        assert_eq!(live(&[&large, &aside], &lineage), [11, 14], "neither holds the other");
    }

    #[test]
    fn only_what_may_hide_others_is_asked_for_its_parents() {
        let asked = |lineage: &Lineage, segments: &[&StoredSegment]| -> Vec<u128> {
            let segments = segments.iter().map(|s| (*s).clone()).collect();
            lineage.unexplained(segments).iter().map(|s| s.name.hash()).collect()
        };
        let flushed = segment(0, 1, 2, 1, 1);
        let (early, late) = (segment(1, 1, 5, 1, 10), segment(1, 6, 9, 1, 11));
        let twin = segment(1, 1, 7, 1, 12);
        let instant = segment(1, 8, 8, 1, 13);
        let mut lineage = Lineage::default();
        assert_eq!(asked(&lineage, &[&early, &late, &instant]), [0u128; 0]);
        assert_eq!(asked(&lineage, &[&early, &late, &flushed]), [10, 11]);
        assert_eq!(asked(&lineage, &[&early, &late, &twin]), [10, 12]);
        lineage.learn(10, &[1]);
        assert_eq!(asked(&lineage, &[&early, &late, &twin]), [12]);
    }
}
