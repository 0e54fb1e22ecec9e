//! A sealed head becomes segments, one for each UTC day that it has rows of that are to be stored.
//!
//! Equal heads become equal segments: streams and rows are in a fixed order, and nothing depends on
//! the clock or on chance.

use std::collections::BTreeMap;

use model::time::DAY_NS;
use model::{TenantId, Timestamp};
use segment::{
    Coverage, EncodeSettings, EncodedSegment, FormatError, RowHasher, SegmentFacts, SegmentWriter,
};

use crate::head::{RunView, SealedHead};
use crate::replicas::Skip;
use crate::row::slab_bytes;

/// Where the rows of an ingester come from, as segments tell it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Origin(pub(crate) String);

impl Origin {
    /// The log with this incarnation of the ingester with this name.
    pub(crate) fn new(instance: &str, incarnation: u64) -> Self {
        Self(format!("{instance}/{incarnation:016x}"))
    }
}

/// Consecutive rows of one stream that lie in one day.
struct Span<'a> {
    run: &'a RunView,
    start: usize,
    end: usize,
}

/// What a head becomes.
pub(crate) struct Plan<'a> {
    pub(crate) origin: &'a Origin,
    pub(crate) settings: &'a EncodeSettings,
    /// Rows that stand elsewhere; `None` where there are no replicas, and then no digests either.
    pub(crate) skip: Option<&'a Skip>,
}

/// Encodes a head. No segment when all of its rows are left out.
pub(crate) fn encode(
    tenant: &TenantId,
    head: &SealedHead,
    plan: &Plan<'_>,
) -> Result<Vec<EncodedSegment>, FormatError> {
    let Plan { origin, settings, skip } = *plan;
    let mut days = days(head, settings);
    if let Some(skip) = skip.filter(|skip| !skip.is_empty()) {
        days.values_mut().for_each(|spans| leave_out(spans, head, skip));
        days.retain(|_, spans| !spans.is_empty());
    }
    let parts = days.len() as u32;
    let mut segments = Vec::with_capacity(days.len());
    for (part, (day, spans)) in (0..).zip(days) {
        let coverage = Coverage {
            ingester: origin.0.clone(),
            first_position: head.positions.first.0,
            last_position: head.positions.last.0,
            part,
            parts,
        };
        let facts =
            SegmentFacts { tenant: tenant.clone(), day, level: 0, coverage: Some(coverage) };
        let mut writer = SegmentWriter::new(facts, settings.clone());
        if skip.is_some() {
            writer.keep_digests(head.digests().seconds);
        }
        let mut before: Option<&RunView> = None;
        for span in &spans {
            if !before.is_some_and(|before| std::ptr::eq(before, span.run)) {
                writer.add_stream(&span.run.labels);
            }
            before = Some(span.run);
            add(&mut writer, head, span);
        }
        segments.push(writer.finish()?);
    }
    Ok(segments)
}

/// The rows by day, and within a day by stream in the order of segments.
fn days<'a>(head: &'a SealedHead, settings: &EncodeSettings) -> BTreeMap<i32, Vec<Span<'a>>> {
    let mut runs: Vec<&RunView> = head.runs.iter().map(AsRef::as_ref).collect();
    runs.sort_by_cached_key(|run| segment::sort_key(&run.labels, &settings.sort_labels));
    let mut days: BTreeMap<i32, Vec<Span<'a>>> = BTreeMap::new();
    for run in runs {
        let rows = run.rows(&head.slabs);
        let mut start = 0;
        while let Some(first) = rows.get(start) {
            let day = Timestamp(first.timestamp).day();
            let next_day = i64::from(day).saturating_add(1).saturating_mul(DAY_NS);
            let end = if Timestamp(next_day).day() == day {
                // The last representable day.
                rows.len()
            } else {
                rows.partition_point(|row| row.timestamp < next_day)
            };
            days.entry(day).or_default().push(Span { run, start, end });
            start = end;
        }
    }
    days
}

/// Cuts the rows that are left out from spans. A stream may then have several of them.
fn leave_out(spans: &mut Vec<Span<'_>>, head: &SealedHead, skip: &Skip) {
    let mut kept = Vec::with_capacity(spans.len());
    for Span { run, start, end } in spans.drain(..) {
        let stream = RowHasher::new(&run.labels).stream();
        let mut open = None;
        let rows = run.rows(&head.slabs);
        for (index, row) in (start..).zip(rows.range(start, end)) {
            let is_left_out = skip.contains(stream, Timestamp(row.timestamp));
            match (open, is_left_out) {
                (None, false) => open = Some(index),
                (Some(from), true) => {
                    kept.push(Span { run, start: from, end: index });
                    open = None;
                }
                _ => {}
            }
        }
        kept.extend(open.map(|from| Span { run, start: from, end }));
    }
    *spans = kept;
}

fn add(writer: &mut SegmentWriter, head: &SealedHead, span: &Span<'_>) {
    let mut metadata = Vec::new();
    for row in span.run.rows(&head.slabs).range(span.start, span.end) {
        let slab = slab_bytes(&head.slabs, row.slab);
        metadata.clear();
        metadata.extend(row.metadata(slab));
        writer.add_row(segment::Row {
            timestamp: Timestamp(row.timestamp),
            line: row.line(slab),
            level: row.level(),
            metadata: &metadata,
        });
    }
}
