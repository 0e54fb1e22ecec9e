//! How many rows and bytes streams have, over spans of time.
//!
//! Numbers come from stream tables where a stream lies in one span as a whole, from counts of
//! cells elsewhere, and from the rows themselves where neither helps; so they are exact but for
//! rows that stand in two segments, and for cells that an edge cuts, or of which rows are hidden,
//! when there are many. Rows of heads that replicas hold count once ([`heads`]). Bytes count lines and structured metadata. The latter is measured on a sample of
//! blocks, which is all of them when they are few.

mod heads;

use hashbrown::HashMap;
use logql::source::{Batch, Cell, Piece, Selection, SourceError, Want, WantLines, WantMetadata};
use model::{Fingerprint, Matcher, TimeRange, Timestamp};
use store::StreamKey;

use crate::source::LabelPairs;
use crate::source::origins::Origins;
use crate::source::planned::PlannedSegment;
use crate::source::tenant::{Plan, TenantSource};

/// Blocks whose rows are read because the edge of a span cuts their cells; in further ones the
/// cell is shared out by time.
const EXACT_BLOCKS_MAX: usize = 64;
/// Blocks whose rows are read because some of them are hidden; of further ones the part is taken to
/// be hidden that was in these.
const HIDDEN_BLOCKS_MAX: usize = 128;
/// Blocks and pieces of heads whose structured metadata is measured.
const SAMPLES_MAX: usize = 32;

/// Consecutive spans of time.
#[derive(Debug, Clone)]
pub(crate) struct Spans {
    /// Ascending; one more than there are spans.
    edges: Vec<Timestamp>,
}

impl Spans {
    /// One span.
    pub(crate) fn one(range: TimeRange) -> Self {
        Self { edges: vec![range.start, range.end] }
    }

    /// Spans that begin and end at multiples of a step, cut to the range.
    pub(crate) fn steps(range: TimeRange, step_ns: i64) -> Self {
        let step = step_ns.max(1);
        let mut edges = vec![range.start];
        let mut next = (range.start.0.div_euclid(step) + 1).saturating_mul(step);
        while next < range.end.0 {
            edges.push(Timestamp(next));
            next = next.saturating_add(step);
        }
        edges.push(range.end);
        Self { edges }
    }

    /// How many there are.
    pub(crate) fn len(&self) -> usize {
        self.edges.len() - 1
    }

    /// A span's end, which it does not hold.
    pub(crate) fn end(&self, span: usize) -> Timestamp {
        self.edges[span + 1]
    }

    /// All of them together.
    pub(crate) fn range(&self) -> TimeRange {
        TimeRange::new(self.edges[0], self.edges[self.edges.len() - 1])
    }

    /// The span that holds an instant.
    fn holding(&self, at: Timestamp) -> Option<usize> {
        let after = self.edges.partition_point(|edge| *edge <= at);
        (1..self.edges.len()).contains(&after).then(|| after - 1)
    }

    /// Whether one span holds all of `start..end`, or no span any of it.
    fn hold(&self, start: Timestamp, end: Timestamp) -> bool {
        let before = |at: Timestamp| self.edges.partition_point(|edge| *edge <= at);
        before(start) == before(Timestamp(end.0.saturating_sub(1)))
    }

    /// The parts of `start..end` in each span that it meets, as shares of one.
    fn shares(&self, start: Timestamp, end: Timestamp) -> impl Iterator<Item = (usize, f64)> {
        let length = (i128::from(end.0) - i128::from(start.0)).max(1) as f64;
        let first = self.edges.partition_point(|edge| *edge <= start).saturating_sub(1);
        (first..self.len()).take_while(move |at| self.edges[*at] < end).filter_map(move |at| {
            let from = self.edges[at].max(start);
            let to = self.edges[at + 1].min(end);
            (from < to).then(|| (at, (i128::from(to.0) - i128::from(from.0)) as f64 / length))
        })
    }
}

/// Takes the numbers.
pub(crate) trait TallySink {
    /// A stream has rows in one segment or one piece of a head. Answers a number for
    /// [`TallySink::count`].
    fn stream(&mut self, key: StreamKey, pairs: LabelPairs<'_, '_>) -> usize;

    /// Rows of a stream lie in a span.
    fn count(&mut self, stream: usize, span: usize, rows: f64, bytes: f64);
}

/// Counts the matching streams' rows and bytes.
pub(crate) fn tally(
    source: &TenantSource,
    matchers: &[Matcher],
    spans: &Spans,
    sink: &mut dyn TallySink,
) -> Result<(), SourceError> {
    let selection = Selection::all(matchers, spans.range());
    let plan = source.plan(&selection)?;
    let metadata = MetadataBytes::measure(source, &plan, &selection)?;
    let tally = Tally {
        source,
        selection: &selection,
        spans,
        metadata,
        exact_blocks_left: std::cell::Cell::new(EXACT_BLOCKS_MAX),
        hidden_blocks_left: std::cell::Cell::new(HIDDEN_BLOCKS_MAX),
        touched_rows: std::cell::Cell::default(),
    };
    if plan.view.heads.is_shared() {
        tally.shared_heads(&plan, sink)?;
    } else {
        for (piece, _) in &plan.heads {
            tally.head(&plan, piece, sink)?;
        }
    }
    for segment in &plan.segments {
        let counted = tally.segment(segment, sink);
        counted.or_else(|error| source.missed(&error))?;
    }
    Ok(())
}

struct Tally<'a> {
    source: &'a TenantSource,
    selection: &'a Selection,
    spans: &'a Spans,
    metadata: MetadataBytes,
    exact_blocks_left: std::cell::Cell<usize>,
    hidden_blocks_left: std::cell::Cell<usize>,
    /// Of the rows of streams with hidden rows that were read: those that are seen, and all.
    touched_rows: std::cell::Cell<(u64, u64)>,
}

/// A selected stream of a segment.
struct Part {
    /// Its number for the sink.
    number: usize,
    /// Bytes of structured metadata of its rows, on average.
    per_row: f64,
    /// Whether its rows lie in more than one span, or some may be hidden.
    cut: bool,
    /// Whether some of its rows may be hidden.
    touched: bool,
}

impl Tally<'_> {
    fn head(
        &self,
        plan: &Plan,
        piece: &Piece,
        sink: &mut dyn TallySink,
    ) -> Result<(), SourceError> {
        let want = Want { lines: WantLines::Lengths, metadata: WantMetadata::None };
        let batch = self.source.load_head(&plan.view, piece, &want)?;
        for run in &batch.runs {
            let per_row = self.metadata.per_row(run.fingerprint);
            let mut stream = None;
            for row in run.rows.clone() {
                let Some(span) = self.spans.holding(Timestamp(batch.timestamps[row])) else {
                    continue;
                };
                let stream = *stream.get_or_insert_with(|| {
                    let key = StreamKey::of(run.labels.iter());
                    sink.stream(key, &mut run.labels.iter())
                });
                sink.count(stream, span, 1.0, length(&batch, row) + per_row);
            }
        }
        Ok(())
    }

    fn segment(
        &self,
        segment: &PlannedSegment,
        sink: &mut dyn TallySink,
    ) -> Result<(), SourceError> {
        let streams = segment.footer.streams();
        let mut parts: Vec<Part> = Vec::with_capacity(segment.ordinals().len());
        for ordinal in segment.ordinals() {
            let key = segment.footer.keys()[*ordinal as usize];
            let number = sink.stream(key, &mut streams.pairs(*ordinal));
            let per_row = self.metadata.per_row(key.fingerprint());
            let (first, last) = (streams.first(*ordinal), streams.last(*ordinal));
            let hidden = self.source.hidden();
            let touched = hidden.touches_stream(|| streams.labels(*ordinal), first, last);
            let span = self.spans.holding(first).filter(|_| !touched);
            let whole = span.filter(|s| Some(*s) == self.spans.holding(last));
            if let Some(span) = whole {
                let rows = streams.rows(*ordinal) as f64;
                let bytes = streams.bytes(*ordinal) as f64 + rows * per_row;
                sink.count(number, span, rows, bytes);
            }
            parts.push(Part { number, per_row, cut: whole.is_none(), touched });
        }
        if parts.iter().any(|part| part.cut) {
            self.blocks(segment, &parts, sink)?;
        }
        Ok(())
    }

    /// Counts the streams of a segment that do not lie in one span, or have hidden rows.
    fn blocks(
        &self,
        segment: &PlannedSegment,
        parts: &[Part],
        sink: &mut dyn TallySink,
    ) -> Result<(), SourceError> {
        let store = self.source.store();
        for (index, _, first, last) in segment.blocks(self.selection.range) {
            let mut cells = Vec::new();
            let counted = segment.visit_cells(store, index, &mut |stream, cell| {
                if parts[stream].cut {
                    cells.push((stream, *cell));
                }
            })?;
            let is_touched = |(stream, _): &(usize, _)| parts[*stream].touched;
            let touched = segment.selected_rows(index).iter().any(is_touched);
            let is_cut = |(_, cell): &(usize, Cell)| !self.spans.hold(cell.start, cell.end);
            let exact = if touched {
                take_one(&self.hidden_blocks_left)
            } else {
                cells.iter().any(is_cut) && take_one(&self.exact_blocks_left)
            };
            if !counted || exact {
                self.rows((segment, index), (first, last), parts, sink)?;
                continue;
            }
            for (stream, cell) in cells {
                self.cell(segment, (stream, &parts[stream]), &cell, sink);
            }
        }
        Ok(())
    }

    /// Counts the rows of a block that are seen.
    fn rows(
        &self,
        (segment, block): (&PlannedSegment, usize),
        (first, last): (Timestamp, Timestamp),
        parts: &[Part],
        sink: &mut dyn TallySink,
    ) -> Result<(), SourceError> {
        let selected = segment.selected_rows(block);
        let want = Want { lines: WantLines::Lengths, metadata: WantMetadata::None };
        let (id, origin, rank, rows, bytes) = (0, 0, 0, 0, 0);
        let piece = Piece { id, origin, rank, first, last, rows, bytes, is_head: false };
        let origins = Origins::default();
        let batch = self
            .source
            .hidden()
            .load(&piece, &want, |want| segment.load(self.source.store(), block, want, &origins))?;
        let (mut seen, mut all) = self.touched_rows.get();
        let touched = selected.iter().filter(|(stream, _)| parts[*stream].touched);
        all += touched.map(|(_, rows)| rows.len() as u64).sum::<u64>();
        for run in &batch.runs {
            // Hiding rows cuts runs into parts, which lie in the runs that were selected.
            let at = selected.partition_point(|(_, rows)| rows.end <= run.rows.start);
            let Some((stream, _)) = selected.get(at) else { continue };
            let part = &parts[*stream];
            if part.touched {
                seen += run.rows.len() as u64;
            }
            for row in run.rows.clone().filter(|_| part.cut) {
                if let Some(span) = self.spans.holding(Timestamp(batch.timestamps[row])) {
                    sink.count(part.number, span, 1.0, length(&batch, row) + part.per_row);
                }
            }
        }
        self.touched_rows.set((seen, all));
        Ok(())
    }

    /// Shares a cell out to the spans that it meets, by time.
    fn cell(
        &self,
        segment: &PlannedSegment,
        (stream, part): (usize, &Part),
        cell: &Cell,
        sink: &mut dyn TallySink,
    ) {
        // The cells of a stream with few rows are long, and its rows lie in a part of them.
        let ordinal = segment.ordinals()[stream];
        let streams = segment.footer.streams();
        let after_last = Timestamp(streams.last(ordinal).0.saturating_add(1));
        let (start, end) = (cell.start.max(streams.first(ordinal)), cell.end.min(after_last));
        let bytes = cell.bytes as f64 + cell.lines as f64 * part.per_row;
        let seen = match self.touched_rows.get() {
            (seen, all) if part.touched && all > 0 => seen as f64 / all as f64,
            _ => 1.0,
        };
        for (span, share) in self.spans.shares(start, end) {
            let share = share * seen;
            sink.count(part.number, span, cell.lines as f64 * share, bytes * share);
        }
    }
}

/// Takes one of what is left, if there is any.
fn take_one(left: &std::cell::Cell<usize>) -> bool {
    let count = left.get();
    left.set(count.saturating_sub(1));
    count > 0
}

/// Bytes of a row's line.
fn length(batch: &Batch, row: usize) -> f64 {
    let known = batch.lengths.get(row).map(|length| *length as usize);
    known.unwrap_or_else(|| batch.lines.row_len(row)) as f64
}

/// How many bytes of structured metadata the rows of streams have on average.
#[derive(Debug, Default)]
struct MetadataBytes {
    by_stream: HashMap<Fingerprint, Measured>,
    all: Measured,
}

#[derive(Debug, Clone, Copy, Default)]
struct Measured {
    rows: u64,
    bytes: u64,
}

impl Measured {
    fn per_row(self) -> f64 {
        if self.rows == 0 { 0.0 } else { self.bytes as f64 / self.rows as f64 }
    }
}

/// Something whose metadata can be measured.
enum Sample<'a> {
    Head(&'a Piece),
    Block(&'a PlannedSegment, usize),
}

impl MetadataBytes {
    fn measure(
        source: &TenantSource,
        plan: &Plan,
        selection: &Selection,
    ) -> Result<Self, SourceError> {
        let heads = plan.heads.iter().map(|(piece, _)| Sample::Head(piece));
        let blocks = plan
            .segments
            .iter()
            .flat_map(|segment| segment.blocks(selection.range).map(move |(at, ..)| (segment, at)));
        let candidates: Vec<Sample<'_>> =
            heads.chain(blocks.map(|(segment, at)| Sample::Block(segment, at))).collect();
        let mut measured = Self::default();
        let every = candidates.len().div_ceil(SAMPLES_MAX).max(1);
        for sample in candidates.iter().step_by(every) {
            let want = Want { lines: WantLines::None, metadata: WantMetadata::All };
            match sample {
                Sample::Head(piece) => {
                    measured.add(&source.load_head(&plan.view, piece, &want)?);
                }
                Sample::Block(segment, at) => {
                    let loaded = segment.load(source.store(), *at, &want, &Origins::default());
                    match loaded {
                        Ok(batch) => measured.add(&batch),
                        Err(error) => source.missed(&error)?,
                    }
                }
            }
        }
        Ok(measured)
    }

    fn add(&mut self, batch: &Batch) {
        for run in &batch.runs {
            let mut bytes = 0;
            for column in &batch.metadata {
                let name = column.name().len();
                let codes = column.codes().get(run.rows.clone()).unwrap_or_default();
                let values = column.values();
                bytes += codes
                    .iter()
                    .filter_map(|code| code.checked_sub(1))
                    .map(|value| (name + values.len_of(value as usize)) as u64)
                    .sum::<u64>();
            }
            let rows = run.rows.len() as u64;
            let stream = self.by_stream.entry(run.fingerprint).or_default();
            for sum in [stream, &mut self.all] {
                sum.rows += rows;
                sum.bytes += bytes;
            }
        }
    }

    fn per_row(&self, fingerprint: Fingerprint) -> f64 {
        if self.all.bytes == 0 {
            return 0.0;
        }
        self.by_stream.get(&fingerprint).unwrap_or(&self.all).per_row()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn edges(start: i64, end: i64, step: i64) -> Vec<i64> {
        let range = TimeRange::new(Timestamp(start), Timestamp(end));
        Spans::steps(range, step).edges.iter().map(|edge| edge.0).collect()
    }

    #[test]
    fn spans_follow_multiples_of_the_step() {
        assert_eq!(edges(5, 35, 10), [5, 10, 20, 30, 35]);
        assert_eq!(edges(10, 20, 10), [10, 20]);
        assert_eq!(edges(-5, 5, 10), [-5, 0, 5]);
        assert_eq!(edges(3, 4, 100), [3, 4]);
    }

    #[test]
    fn instants_and_pieces_of_time_find_their_spans() {
        let spans = Spans::steps(TimeRange::new(Timestamp(5), Timestamp(35)), 10);
        let holding = |at| spans.holding(Timestamp(at));
        assert_eq!(
            [4, 5, 9, 10, 34, 35].map(holding),
            [None, Some(0), Some(0), Some(1), Some(3), None]
        );
        let shares = |start, end| -> Vec<(usize, f64)> {
            spans.shares(Timestamp(start), Timestamp(end)).collect()
        };
        assert_eq!(shares(10, 20), [(1, 1.0)]);
        assert_eq!(shares(15, 25), [(1, 0.5), (2, 0.5)]);
        assert_eq!(shares(0, 10), [(0, 0.5)]);
        assert_eq!(shares(40, 50), []);
        let hold = |start, end| spans.hold(Timestamp(start), Timestamp(end));
        assert_eq!([(10, 20), (5, 10), (0, 5), (35, 40)].map(|(a, b)| hold(a, b)), [true; 4]);
        assert_eq!([(9, 11), (0, 6), (34, 36), (0, 99)].map(|(a, b)| hold(a, b)), [false; 4]);
    }
}
