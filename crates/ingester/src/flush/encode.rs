//! A sealed head becomes segments, one for each UTC day that it has rows of.
//!
//! Equal heads become equal segments: streams and rows are in a fixed order, and nothing depends on
//! the clock or on chance.

use std::collections::BTreeMap;

use model::time::DAY_NS;
use model::{TenantId, Timestamp};
use segment::{Coverage, EncodeSettings, EncodedSegment, FormatError, SegmentFacts, SegmentWriter};

use crate::head::{RunView, SealedHead};
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

/// Encodes a head.
pub(crate) fn encode(
    tenant: &TenantId,
    head: &SealedHead,
    origin: &Origin,
    settings: &EncodeSettings,
) -> Result<Vec<EncodedSegment>, FormatError> {
    let days = days(head, settings);
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
        for span in spans {
            add(&mut writer, head, &span);
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

fn add(writer: &mut SegmentWriter, head: &SealedHead, span: &Span<'_>) {
    writer.add_stream(&span.run.labels);
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
