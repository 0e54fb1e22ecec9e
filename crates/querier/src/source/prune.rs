//! Leaving out blocks that provably hold no wanted row.
//!
//! What lines must hold is looked up in the token index of each segment. What labels must be is
//! looked up there too, as structured metadata, and is told by which metadata and levels a block
//! has at all. An index that cannot be read or decoded proves nothing: the segment's blocks are
//! then all read, and the fault is counted and logged.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use logql::source::{RequiredLabel, Selection};
use model::Level;
use model::level::LEVEL_NAME;
use segment::{BlockMeta, BlockSet, PrunePlan, Required};
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
    /// All must hold.
    tests: Vec<Test>,
    /// Compressed bytes of the index that were read.
    pub(crate) index_bytes: u64,
}

/// What a block must have. One of the parts is enough.
#[derive(Debug)]
struct Test {
    /// Blocks whose lines may hold one of the texts; `None` when no line can help.
    lines: Option<Found>,
    /// Blocks whose rows may have one of the values.
    label: Option<LabelTest>,
}

/// What the index said.
#[derive(Debug)]
enum Found {
    /// Nothing.
    Any,
    /// The blocks that may pass.
    Blocks(BlockSet),
}

/// A condition on a label that the segment's streams do not have.
#[derive(Debug)]
struct LabelTest {
    name: Box<str>,
    /// Per value: the level bits that it can have, and what the index said of it.
    values: Vec<(u16, Found)>,
}

impl Found {
    fn may_hold(&self, block: &BlockMeta) -> bool {
        match self {
            Self::Any => true,
            Self::Blocks(blocks) => blocks.contains(block.ordinal),
        }
    }
}

impl LabelTest {
    fn may_hold(&self, block: &BlockMeta) -> bool {
        if block.metadata_named(&self.name).is_none() {
            return false;
        }
        let is_level = *self.name == *LEVEL_NAME;
        self.values.iter().any(|(levels, found)| {
            (!is_level || block.levels & levels != 0) && found.may_hold(block)
        })
    }
}

impl Candidates {
    /// Whether a block of the segment may hold wanted rows.
    pub(crate) fn may_hold(&self, block: &BlockMeta) -> bool {
        self.tests.iter().all(|test| {
            test.lines.as_ref().is_some_and(|found| found.may_hold(block))
                || test.label.as_ref().is_some_and(|label| label.may_hold(block))
        })
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
        let wanted: Vec<_> = segments
            .iter()
            .zip(lookups)
            .map(|(segment, lookup)| (&*segment.stored, lookup.ranges()))
            .collect();
        let read = store.read_each_blocking(&wanted);
        let parts = segments.iter().zip(lookups).zip(read);
        parts.map(|((segment, lookup), read)| lookup.finish(segment, read, metrics)).collect()
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

/// The questions to one segment's index.
struct Lookup {
    tests: Vec<TestPlan>,
}

/// A [`Test`] before the index was read.
struct TestPlan {
    lines: Option<PrunePlan>,
    label: Option<LabelPlan>,
}

/// A [`LabelTest`] before the index was read.
struct LabelPlan {
    name: Box<str>,
    values: Vec<(u16, PrunePlan)>,
}

impl Lookup {
    fn new(segment: &PlannedSegment, selection: &Selection) -> Self {
        let footer = &segment.footer;
        let lines = selection.required.iter().map(|required| TestPlan {
            lines: Some(segment::prune(footer, &[Required::AnyOf(&required.any_of)])),
            label: None,
        });
        let labels = selection.required_labels.iter().filter_map(|required| {
            // Of a stream that has the label, the label decides.
            let is_given = footer.streams().any_has(segment.ordinals(), &required.name);
            (!is_given).then(|| TestPlan::of_label(footer, required))
        });
        Self { tests: lines.chain(labels).collect() }
    }

    fn plans(&self) -> impl Iterator<Item = &PrunePlan> {
        self.tests.iter().flat_map(|test| {
            let values = test.label.iter().flat_map(|label| &label.values);
            test.lines.iter().chain(values.map(|(_, plan)| plan))
        })
    }

    /// What to read: for each plan its ranges, one plan after the other.
    fn ranges(&self) -> Vec<Range<u64>> {
        self.plans().flat_map(PrunePlan::ranges).collect()
    }

    fn finish(
        &self,
        segment: &PlannedSegment,
        read: Result<Vec<Bytes>, store::Error>,
        metrics: &Metrics,
    ) -> Candidates {
        let fault = match read {
            Ok(bytes) => match self.decide(&segment.footer, &bytes) {
                Ok(tests) => {
                    let index_bytes = bytes.iter().map(|part| part.len() as u64).sum();
                    return Candidates { tests, index_bytes };
                }
                Err(error) => error.to_string(),
            },
            Err(error) => error.chain(),
        };
        metrics.index_faults.inc();
        tracing::warn!(
            segment = %segment.stored.name,
            error = fault,
            "token index not usable: all blocks are read"
        );
        Candidates::default()
    }

    fn decide(&self, footer: &Arc<SegmentFooter>, bytes: &[Bytes]) -> segment::Result<Vec<Test>> {
        let mut left = bytes;
        let mut ask = |plan: &PrunePlan| -> segment::Result<Found> {
            let (own, rest) = left.split_at(plan.ranges().len().min(left.len()));
            left = rest;
            if plan.is_useless() {
                return Ok(Found::Any);
            }
            plan.blocks(footer, own).map(Found::Blocks)
        };
        let mut tests = Vec::with_capacity(self.tests.len());
        for test in &self.tests {
            let lines = test.lines.as_ref().map(&mut ask).transpose()?;
            let label = match &test.label {
                None => None,
                Some(LabelPlan { name, values }) => {
                    let values = values.iter().map(|(levels, plan)| Ok((*levels, ask(plan)?)));
                    let values = values.collect::<segment::Result<_>>()?;
                    Some(LabelTest { name: name.clone(), values })
                }
            };
            tests.push(Test { lines, label });
        }
        Ok(tests)
    }
}

impl TestPlan {
    fn of_label(footer: &SegmentFooter, required: &RequiredLabel) -> Self {
        let lines = (!required.or_texts.is_empty())
            .then(|| segment::prune(footer, &[Required::AnyOf(&required.or_texts)]));
        let name = &required.name;
        let values = required.values.iter().map(|value| {
            let levels = Level::from_name(value).map_or(OTHER_LEVELS, |level| 1 << level.code());
            (levels, segment::prune(footer, &[Required::Metadata(name, value)]))
        });
        let label = LabelPlan { name: name.clone(), values: values.collect() };
        Self { lines, label: Some(label) }
    }
}

#[cfg(test)]
mod tests;
