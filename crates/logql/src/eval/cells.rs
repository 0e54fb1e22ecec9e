//! Counts from cells: whole spans of rows that need not be read.
//!
//! A source may keep, for each run of a piece, how many rows and bytes lie in small spans of time
//! by level. An aggregation that only counts rows or bytes of whole streams takes these numbers.
//! Cells that a window's edge cuts, and cells in which copies of other rows may lie, are read row
//! by row instead.

use model::level::LEVEL_NAME;
use model::{Level, TimeRange, Timestamp};

use super::error::QueryError;
use super::window::{SpanCursor, Windows};
use crate::pipeline::{Metadata, Reduction, RowView};
use crate::source::{Cell, Cells, Piece, Source, StreamRun};
use crate::syntax::ast::LogRange;

/// Reads cells for an aggregation that they can answer.
#[derive(Debug)]
pub struct CellReader<'a> {
    source: &'a dyn Source,
    windows: &'a Windows,
    /// The labels that series keep.
    names: &'a [String],
    /// Whether the level is one of them.
    tells_levels: bool,
}

/// What the cells of a piece say.
#[derive(Debug)]
pub struct Split {
    /// The streams counted.
    pub runs: Vec<StreamRun>,
    /// Cells that lie wholly in one span.
    pub whole: Vec<Counted>,
    /// What has to be read row by row.
    pub rest: Rest,
}

/// A cell that counts as it is, or several that count for the same.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Counted {
    /// Index into [`Split::runs`].
    pub run: usize,
    /// Code of the level of its rows, 0 for none, or where it makes no difference.
    pub level: u8,
    /// First instant that it covers.
    pub start: i64,
    /// The span that holds it.
    pub span: u32,
    /// How many rows.
    pub lines: u64,
    /// Their line bytes.
    pub bytes: u64,
}

/// Spans of time in which the rows of some streams have to be read.
#[derive(Debug, Default)]
pub struct Rest(Vec<(StreamRun, Vec<TimeRange>)>);

impl Rest {
    /// Whether nothing has to be read.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The spans to read of a stream; disjoint and ascending.
    #[must_use]
    pub fn spans_of(&self, run: &StreamRun) -> &[TimeRange] {
        let is_same = |known: &&(StreamRun, Vec<TimeRange>)| {
            known.0.fingerprint == run.fingerprint && known.0.labels == run.labels
        };
        self.0.iter().find(is_same).map_or(&[], |(_, spans)| spans)
    }
}

/// The rows of a cell, as the pipeline takes one row.
pub struct CellRow {
    level: Option<Level>,
    timestamp: Timestamp,
}

impl CellRow {
    /// The metadata that all rows of the cell are known to have.
    #[must_use]
    pub fn pairs(&self) -> Vec<(&'static str, &'static str)> {
        self.level.iter().map(|level| (LEVEL_NAME, level.as_str())).collect()
    }

    /// The row, with the pairs of [`CellRow::pairs`].
    #[must_use]
    pub fn view<'r>(&self, pairs: &'r [(&'r str, &'r str)]) -> RowView<'r> {
        RowView {
            timestamp: self.timestamp,
            line: &[],
            columns: None,
            metadata: Metadata::Pairs(pairs),
        }
    }
}

impl Counted {
    /// A row that stands for all rows of the cell.
    #[must_use]
    pub fn as_row(&self) -> CellRow {
        CellRow { level: Level::from_code(self.level), timestamp: Timestamp(self.start) }
    }
}

impl<'a> CellReader<'a> {
    /// A reader, if the aggregation counts rows as they are stored and series keep only labels
    /// that cells can tell.
    #[must_use]
    pub fn new(
        source: &'a dyn Source,
        range: &LogRange,
        reduction: &'a Reduction,
        windows: &'a Windows,
    ) -> Option<Self> {
        if !range.query.stages.is_empty() || range.unwrap.is_some() {
            return None;
        }
        let names: &[String] = match reduction {
            Reduction::Nothing => &[],
            Reduction::By(names) => names,
            Reduction::All | Reduction::Without(_) => return None,
        };
        let tells_levels = names.iter().any(|name| name == LEVEL_NAME);
        Some(Self { source, windows, names, tells_levels })
    }

    /// Takes the cells of a piece apart; `None` when the source keeps none for it.
    ///
    /// # Errors
    ///
    /// [`QueryError::Source`].
    pub fn split(&self, piece: &Piece) -> Result<Option<Split>, QueryError> {
        let Some(Cells { runs, cells }) = self.source.cells(piece)? else { return Ok(None) };
        let mut sorted = Vec::new();
        let cells: &[Cell] = if cells.is_sorted_by_key(|cell| cell.run) {
            &cells
        } else {
            sorted.extend_from_slice(&cells);
            sorted.sort_by_key(|cell| cell.run);
            &sorted
        };
        let whole = Vec::with_capacity(cells.len());
        let mut split = Split { runs: Vec::new(), whole, rest: Rest::default() };
        let mut cursor = SpanCursor::new(self.windows);
        let mut wanted = Vec::new();
        for own in cells.chunk_by(|a, b| a.run == b.run) {
            let index = own[0].run as usize;
            let Some(run) = runs.get(index) else { continue };
            if self.is_covered(run) && run.copies.is_none() {
                let before = split.whole.len();
                if self.count_all(index, own, &mut cursor, &mut split.whole) {
                    continue;
                }
                split.whole.truncate(before);
            }
            wanted.clear();
            let is_wanted = |cell: &&Cell| cell.lines > 0 && self.is_wanted(cell);
            wanted.extend(own.iter().filter(is_wanted).copied());
            let cut = self.cut_spans(run, &wanted);
            for cell in wanted.iter().filter(|cell| !meets(cell, &cut)) {
                split.whole.extend(self.count(index, cell));
            }
            if !cut.is_empty() {
                split.rest.0.push((run.clone(), cut));
            }
        }
        split.runs = runs;
        Ok(Some(split))
    }

    /// Counts the cells of a run, unless a window's edge cuts one; then answers `false`.
    fn count_all(
        &self,
        run: usize,
        cells: &[Cell],
        cursor: &mut SpanCursor<'_>,
        counted: &mut Vec<Counted>,
    ) -> bool {
        for cell in cells.iter().filter(|cell| cell.start < cell.end) {
            let (start, last) = (cell.start.0, cell.end.0 - 1);
            let span = cursor.index_of(start);
            if !cursor.holds(last) {
                if !self.windows.is_uncut(start, last) {
                    return false;
                }
                if span.is_none() {
                    continue;
                }
            }
            let (Some(span), 1..) = (span, cell.lines) else { continue };
            let Cell { lines, bytes, .. } = *cell;
            let level = if self.tells_levels { cell.level } else { 0 };
            // Most of a run's cells follow one that counts for the same.
            match counted.last_mut() {
                Some(last) if (last.run, last.level, last.span) == (run, level, span) => {
                    last.lines += lines;
                    last.bytes += bytes;
                }
                _ => counted.push(Counted { run, level, start, span, lines, bytes }),
            }
        }
        true
    }

    /// Whether a window looks at some of the cell's time.
    fn is_wanted(&self, cell: &Cell) -> bool {
        let last = cell.end.0 - 1;
        cell.start < cell.end
            && self.windows.extent().overlaps(cell.start, Timestamp(last))
            && !(self.windows.is_uncut(cell.start.0, last)
                && self.windows.span_of(cell.start.0).is_none())
    }

    fn count(&self, run: usize, cell: &Cell) -> Option<Counted> {
        let span = self.windows.span_of(cell.start.0)?.index;
        let Cell { level, start, lines, bytes, .. } = *cell;
        Some(Counted { run, level, start: start.0, span, lines, bytes })
    }

    /// The spans whose rows have to be read: cells that are cut or may hold copies, and all cells
    /// that share some of their time, because a row cannot be told to belong to one of them.
    fn cut_spans(&self, run: &StreamRun, cells: &[Cell]) -> Vec<TimeRange> {
        let is_covered = self.is_covered(run);
        let mut spans: Vec<TimeRange> = Vec::new();
        for cell in cells {
            let last = Timestamp(cell.end.0 - 1);
            let has_copies = run.copies.is_some_and(|copies| copies.overlaps(cell.start, last));
            if !is_covered || has_copies || !self.windows.is_uncut(cell.start.0, last.0) {
                spans.push(TimeRange::new(cell.start, cell.end));
            }
        }
        loop {
            spans = joined(spans);
            let before = spans.len();
            let grown = |cell: &&Cell| meets(cell, &spans) && !lies_in(cell, &spans);
            let more: Vec<TimeRange> =
                cells.iter().filter(grown).map(|c| TimeRange::new(c.start, c.end)).collect();
            if more.is_empty() {
                debug_assert_eq!(before, spans.len());
                return spans;
            }
            spans.extend(more);
        }
    }

    /// Whether the labels that series keep are those of the stream, or the level.
    ///
    /// A name that the stream lacks may be the name of metadata, which cells do not know; and
    /// metadata that clashes with the stream is renamed to end in `_extracted`.
    fn is_covered(&self, run: &StreamRun) -> bool {
        self.names.iter().all(|name| {
            let is_given = run.labels.get(name).is_some() && !name.ends_with("_extracted");
            is_given || name == LEVEL_NAME
        })
    }
}

fn meets(cell: &Cell, spans: &[TimeRange]) -> bool {
    spans.iter().any(|span| cell.start < span.end && span.start < cell.end)
}

fn lies_in(cell: &Cell, spans: &[TimeRange]) -> bool {
    spans.iter().any(|span| span.start <= cell.start && cell.end <= span.end)
}

/// The same time as disjoint spans that do not touch, ascending.
fn joined(mut spans: Vec<TimeRange>) -> Vec<TimeRange> {
    spans.sort_by_key(|span| span.start);
    let mut out: Vec<TimeRange> = Vec::new();
    for span in spans {
        match out.last_mut() {
            Some(last) if span.start <= last.end => last.end = last.end.max(span.end),
            _ => out.push(span),
        }
    }
    out
}
