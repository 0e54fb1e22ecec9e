//! Leaving out blocks that provably hold no wanted row.
//!
//! What lines must hold is looked up in the token index of each segment. What labels must be is
//! looked up there too, as structured metadata, and is told by which metadata and levels a block
//! has at all. An index that cannot be read or decoded proves nothing: the segment's blocks are
//! then all read, and the fault is counted and logged.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use logql::source::{RequiredLabel, Selection};
use model::Level;
use model::level::LEVEL_NAME;
use segment::{BlockMeta, BlockSet, FormatError, PrunePlan, Required};
use store::{SegmentFooter, Store};

use crate::metrics::Metrics;
use crate::source::planned::PlannedSegment;

/// Segments below which no further thread is worth starting.
const SEGMENTS_PER_THREAD: usize = 16;
/// Set in [`BlockMeta::levels`] when some row has a level text that is no level.
const OTHER_LEVELS: u16 = 1 << 9;

/// Which blocks of a segment may hold wanted rows.
#[derive(Debug, Default)]
pub(crate) struct Candidates {
    /// Those of the selection; `None` when any may.
    blocks: Option<BlockSet>,
    /// How many blocks of the selection hold none.
    pub(crate) pruned: u64,
    /// Compressed bytes of the index that were read.
    pub(crate) index_bytes: u64,
}

impl Candidates {
    /// Those of so many blocks that may hold wanted rows, ascending.
    pub(crate) fn blocks(&self, count: usize) -> impl Iterator<Item = usize> {
        let all = self.blocks.is_none().then_some(0..count);
        let some = self.blocks.iter().flat_map(BlockSet::iter).map(|block| block as usize);
        all.into_iter().flatten().chain(some)
    }
}

/// Why an index proves nothing, in words for the log.
struct Unusable(String);

impl From<FormatError> for Unusable {
    fn from(error: FormatError) -> Self {
        Self(error.to_string())
    }
}

impl From<store::Error> for Unusable {
    fn from(error: store::Error) -> Self {
        Self(error.chain())
    }
}

/// Asks the indexes of segments; answers in their order. More than one thread works when there are
/// many segments.
pub(crate) fn candidates(
    store: &Store,
    segments: &[PlannedSegment],
    selection: &Selection,
    threads: usize,
    metrics: &Metrics,
) -> Vec<Candidates> {
    if selection.required.is_empty() && selection.required_labels.is_empty() {
        return segments.iter().map(|_| Candidates::default()).collect();
    }
    let lookups: Vec<Lookup> =
        segments.iter().map(|segment| Lookup::new(segment, selection)).collect();
    let threads = threads.min(segments.len() / SEGMENTS_PER_THREAD).max(1);
    let chunk = segments.len().div_ceil(threads).max(1);
    let finish = |segments: &[PlannedSegment], lookups: &[Lookup]| -> Vec<Candidates> {
        let mut all_pages = fetch_all(store, segments, lookups).into_iter();
        let one = |(segment, lookup): (&PlannedSegment, &Lookup)| {
            lookup.finish(segment, store, all_pages.next(), metrics)
        };
        segments.iter().zip(lookups).map(one).collect()
    };
    let finish = &finish;
    let mut parts = segments.chunks(chunk).zip(lookups.chunks(chunk));
    let Some((first, first_lookups)) = parts.next() else { return Vec::new() };
    std::thread::scope(|scope| {
        let others: Vec<_> = parts
            .map(|(segments, lookups)| (segments, scope.spawn(move || finish(segments, lookups))))
            .collect();
        let mut all = finish(first, first_lookups);
        for (segments, other) in others {
            // A thread that panicked proved nothing.
            let nothing = || segments.iter().map(|_| Candidates::default()).collect();
            all.extend(other.join().unwrap_or_else(|_| nothing()));
        }
        all
    })
}

/// Pages of one segment by where they begin, or why there are none.
type Fetched = Result<HashMap<u64, Bytes>, store::Error>;

/// Where each read is a trip over the network, all pages that may be needed are fetched at once;
/// else none, because most are not needed in the end.
fn fetch_all(store: &Store, segments: &[PlannedSegment], lookups: &[Lookup]) -> Vec<Fetched> {
    if !store.is_remote() {
        return Vec::new();
    }
    let wanted: Vec<_> = segments
        .iter()
        .zip(lookups)
        .map(|(segment, lookup)| (&*segment.stored, lookup.ranges()))
        .collect();
    let read = store.read_each_blocking(&wanted).into_iter().zip(&wanted);
    read.map(|(read, (_, ranges))| {
        let starts = ranges.iter().map(|range| range.start);
        read.map(|bytes| starts.zip(bytes).collect())
    })
    .collect()
}

/// The questions to one segment's index.
struct Lookup {
    /// All must hold.
    tests: Vec<Test>,
    /// The blocks of the selection, if there is anything to ask about them.
    among: Option<BlockSet>,
}

/// What a block must have. One of the parts is enough.
struct Test {
    /// The lines hold one of the texts; `None` when no line can help.
    lines: Option<PrunePlan>,
    /// The rows have one of the values.
    label: Option<LabelTest>,
}

/// A condition on a label that the segment's streams do not have.
struct LabelTest {
    name: Box<str>,
    /// Per value: the level bits that it can have, and the question to the index.
    values: Vec<(u16, PrunePlan)>,
}

impl Lookup {
    fn new(segment: &PlannedSegment, selection: &Selection) -> Self {
        let footer = &segment.footer;
        let lines = selection.required.iter().map(|required| Test {
            lines: Some(segment::prune(footer, &[Required::AnyOf(&required.any_of)])),
            label: None,
        });
        let labels = selection.required_labels.iter().filter_map(|required| {
            // Of a stream that has the label, the label decides.
            let is_given = footer.streams().any_has(segment.ordinals(), &required.name);
            (!is_given).then(|| Test::of_label(footer, required))
        });
        let tests: Vec<Test> = lines.chain(labels).collect();
        let among = (!tests.is_empty()).then(|| {
            let mut blocks = BlockSet::empty(footer.blocks().len());
            segment.blocks(selection.range).for_each(|(_, block, ..)| blocks.insert(block.ordinal));
            blocks
        });
        Self { tests, among }
    }

    /// All that may be read, ascending.
    fn ranges(&self) -> Vec<Range<u64>> {
        let plans = self.tests.iter().flat_map(|test| {
            let values = test.label.iter().flat_map(|label| &label.values);
            test.lines.iter().chain(values.map(|(_, plan)| plan))
        });
        let mut ranges: Vec<_> = plans.flat_map(PrunePlan::ranges).collect();
        ranges.sort_unstable_by_key(|range| range.start);
        ranges.dedup();
        ranges
    }

    /// Asks. Pages come from what was fetched, or else are read now.
    fn finish(
        &self,
        segment: &PlannedSegment,
        store: &Store,
        fetched: Option<Fetched>,
        metrics: &Metrics,
    ) -> Candidates {
        let Some(among) = &self.among else { return Candidates::default() };
        let mut index_bytes = 0;
        let decided = fetched.transpose().map_err(Unusable::from).and_then(|fetched| {
            let mut pages = |ranges: &[Range<u64>]| -> Result<Vec<Bytes>, Unusable> {
                let pages = match &fetched {
                    Some(fetched) => {
                        ranges.iter().filter_map(|at| fetched.get(&at.start).cloned()).collect()
                    }
                    None => store.read_blocking(&segment.stored, ranges)?,
                };
                index_bytes += pages.iter().map(|page| page.len() as u64).sum::<u64>();
                Ok(pages)
            };
            let mut left = among.clone();
            for test in &self.tests {
                left = test.blocks_among(&segment.footer, &left, &mut pages)?;
            }
            Ok(left)
        });
        let decided = decided.inspect_err(|Unusable(fault)| {
            metrics.index_faults.inc();
            tracing::warn!(
                segment = %segment.stored.name,
                error = fault,
                "token index not usable: all blocks are read"
            );
        });
        let blocks = decided.ok();
        let pruned = blocks.as_ref().map_or(0, |left| among.count() - left.count());
        Candidates { blocks, pruned: pruned as u64, index_bytes }
    }
}

impl Test {
    fn of_label(footer: &SegmentFooter, required: &RequiredLabel) -> Self {
        let lines = (!required.or_texts.is_empty())
            .then(|| segment::prune(footer, &[Required::AnyOf(&required.or_texts)]));
        let name = &required.name;
        let values = required.values.iter().map(|value| {
            let levels = Level::from_name(value).map_or(OTHER_LEVELS, |level| 1 << level.code());
            (levels, segment::prune(footer, &[Required::Metadata(name, value)]))
        });
        let label = LabelTest { name: name.clone(), values: values.collect() };
        Self { lines, label: Some(label) }
    }

    /// Those of some blocks that may pass.
    fn blocks_among(
        &self,
        footer: &Arc<SegmentFooter>,
        among: &BlockSet,
        pages: &mut impl FnMut(&[Range<u64>]) -> Result<Vec<Bytes>, Unusable>,
    ) -> Result<BlockSet, Unusable> {
        let mut passing = BlockSet::empty(footer.blocks().len());
        if let Some(plan) = &self.lines {
            passing.unite(&plan.blocks_among(footer, among, &mut *pages)?);
        }
        let Some(label) = &self.label else { return Ok(passing) };
        for (levels, plan) in &label.values {
            let mut having = BlockSet::empty(footer.blocks().len());
            for block in
                among.iter().filter(|at| label.may_hold(&footer.blocks()[*at as usize], *levels))
            {
                having.insert(block);
            }
            passing.unite(&plan.blocks_among(footer, &having, &mut *pages)?);
        }
        Ok(passing)
    }
}

impl LabelTest {
    /// Whether a block has the label, and with some of these levels if it is the level.
    fn may_hold(&self, block: &BlockMeta, levels: u16) -> bool {
        block.metadata_named(&self.name).is_some()
            && (*self.name != *LEVEL_NAME || block.levels & levels != 0)
    }
}

#[cfg(test)]
mod tests;
