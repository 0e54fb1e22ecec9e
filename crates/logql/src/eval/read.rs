//! Reading the samples of a range aggregation, piece by piece.

use std::ops::Range;

use hashbrown::HashMap;
use model::Labels;
use model::answer::QueryStats;
use model::columns::TextColumn;

use super::accumulate::{Accumulator, RowSample, Tie};
use super::cells::{CellReader, Counted, Rest};
use super::control::{Account, Ticker};
use super::error::QueryError;
use super::scan::{Scan, check_columns, count_rows, line_length, rows_within, view};
use super::series::{Gathered, SeriesTable};
use super::window::{SpanCursor, Windows};
use super::workers::share;
use crate::pipeline::{Memo, Recalled, Scratch};
use crate::source::{Batch, Piece, StreamRun, WantLines};
use crate::syntax::ast::{LogRange, Stage};

/// Codes of levels, with 0 for none.
const LEVEL_CODES: usize = 9;

/// What one row counts.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum SampleValue {
    /// One.
    One,
    /// The length of its line.
    LineBytes,
    /// The unwrapped number.
    Unwrapped,
}

/// How the samples of a range aggregation are read.
#[derive(Debug)]
pub struct Plan<'a> {
    /// Source, pipeline and time.
    pub scan: &'a Scan<'a>,
    /// The expression.
    pub range: &'a LogRange,
    /// Where samples go.
    pub windows: &'a Windows,
    /// What each row counts.
    pub value: SampleValue,
    /// Set when cells can answer.
    pub cells: Option<CellReader<'a>>,
    /// How many threads may read.
    pub threads: usize,
}

/// Reads all samples of the pieces; the accounts carry what the result costs in memory.
///
/// # Errors
///
/// Any [`QueryError`].
pub fn read<'a, A: Accumulator>(
    plan: &'a Plan<'a>,
    pieces: &[Piece],
    stats: &mut QueryStats,
) -> Result<(Gathered<A>, Vec<Account<'a>>), QueryError> {
    let threads = plan.threads.clamp(1, pieces.len().max(1));
    let mut readers: Vec<Reader<'_, A>> = (0..threads).map(|_| Reader::new(plan)).collect();
    share(pieces, &mut readers, |reader, piece| reader.read(piece))?;
    readers.iter().for_each(|reader| stats.add(&reader.stats));
    SeriesTable::join(readers.into_iter().map(|reader| reader.table).collect())
}

/// Runs of fewer rows are not worth remembering what became of them.
const MEMO_ROWS_MIN: usize = 16;

/// A row's series, if it has no error that ends the query, and its value.
type Looked = (Option<u32>, f64);

/// One thread's part of a read.
struct Reader<'a, A> {
    plan: &'a Plan<'a>,
    /// Whether a row's labels depend on its stream and metadata only: no stage makes or drops any.
    labels_are_given: bool,
    /// Whether the line that counts is the one that was stored.
    lines_are_given: bool,
    scratch: Scratch,
    table: SeriesTable<'a, A>,
    stats: QueryStats,
    ticker: Ticker<'a>,
    /// Rows that passed the sweep.
    selected: Vec<u32>,
    by_codes: SeriesByCodes,
    by_stream: SeriesByStream,
}

/// Rows of one run to look at.
struct Section {
    run: usize,
    rows: Range<usize>,
}

impl<'a, A: Accumulator> Reader<'a, A> {
    fn new(plan: &'a Plan<'a>) -> Self {
        let LogRange { query, unwrap, .. } = plan.range;
        let filters_only = query.stages.iter().all(|stage| matches!(stage, Stage::LineFilter(_)));
        let labels_are_given = filters_only && unwrap.is_none();
        let pipeline = plan.scan.pipeline;
        Self {
            plan,
            labels_are_given,
            lines_are_given: labels_are_given || pipeline.wants().lines != WantLines::Text,
            scratch: pipeline.scratch(),
            table: SeriesTable::new(Account::new(plan.scan.meter)),
            stats: QueryStats::default(),
            ticker: Ticker::new(plan.scan.meter),
            selected: Vec::new(),
            by_codes: SeriesByCodes::default(),
            by_stream: SeriesByStream::default(),
        }
    }

    fn read(&mut self, piece: &Piece) -> Result<(), QueryError> {
        let split = match &self.plan.cells {
            Some(cells) => cells.split(piece)?,
            None => None,
        };
        let Some(split) = split else { return self.read_rows(piece, None) };
        // The series of the current run by level: cells of one stream stand together.
        let mut known: SeriesByLevel = [None; LEVEL_CODES];
        let mut current: Option<usize> = None;
        for cell in &split.whole {
            self.ticker.tick()?;
            if current != Some(cell.run) {
                if let Some(run) = current {
                    self.by_stream.remember(&split.runs[run].labels, known);
                }
                known = self.by_stream.recall(&split.runs[cell.run].labels);
                current = Some(cell.run);
            }
            let series = match known.get(usize::from(cell.level)).copied().flatten() {
                Some(series) => series,
                None => {
                    let series = self.series_of(cell, &split.runs[cell.run])?;
                    if let Some(place) = known.get_mut(usize::from(cell.level)) {
                        *place = Some(series);
                    }
                    series
                }
            };
            if let Some(series) = series {
                self.table.at(series, cell.span)?.add_counted(cell.lines, cell.bytes);
            }
        }
        if let Some(run) = current {
            self.by_stream.remember(&split.runs[run].labels, known);
        }
        if split.rest.is_empty() { Ok(()) } else { self.read_rows(piece, Some(&split.rest)) }
    }

    /// The series of a cell's rows.
    fn series_of(&mut self, cell: &Counted, run: &StreamRun) -> Result<Option<u32>, QueryError> {
        let row = cell.as_row();
        let pairs = row.pairs();
        let pipeline = self.plan.scan.pipeline;
        match pipeline.process(&run.labels, row.view(&pairs), &mut self.scratch) {
            Some(outcome) => self.table.find(&outcome, cell.start),
            None => Ok(None),
        }
    }

    /// Reads a piece row by row: all of it, or what its cells left.
    fn read_rows(&mut self, piece: &Piece, rest: Option<&Rest>) -> Result<(), QueryError> {
        let batch = self.plan.scan.load(piece, &mut self.stats)?;
        let sections = self.sections(&batch, rest);
        let mut memo = self.plan.scan.pipeline.memo(&batch);
        let mut start = 0;
        while start < sections.len() {
            // Runs that lie back to back are swept together.
            let mut end = start + 1;
            while end < sections.len() && sections[end].rows.start == sections[end - 1].rows.end {
                end += 1;
            }
            let rows = sections[start].rows.start..sections[end - 1].rows.end;
            count_rows(&mut self.stats, piece, &batch, &rows);
            self.selected.clear();
            let mut selected = std::mem::take(&mut self.selected);
            self.plan.scan.pipeline.sweep(&batch, rows, &mut self.scratch, &mut selected);
            let mut left = selected.as_slice();
            for section in &sections[start..end] {
                let own = left.partition_point(|row| (*row as usize) < section.rows.end);
                let rows = (&batch.runs[section.run], &left[..own]);
                self.read_section(piece, &batch, rows, memo.as_mut())?;
                left = &left[own..];
            }
            self.selected = selected;
            start = end;
        }
        check_columns(&batch)
    }

    /// The rows to look at, in order of rows.
    fn sections(&self, batch: &Batch, rest: Option<&Rest>) -> Vec<Section> {
        let mut sections = Vec::new();
        for (index, run) in batch.runs.iter().enumerate() {
            let range = &self.plan.scan.range;
            match rest {
                None => {
                    sections.push(Section { run: index, rows: rows_within(batch, run, range) });
                }
                Some(rest) => sections.extend(rest.spans_of(run).iter().map(|span| Section {
                    run: index,
                    rows: rows_within(batch, run, &span.intersect(range)),
                })),
            }
        }
        sections.retain(|section| !section.rows.is_empty());
        sections.sort_by_key(|section| section.rows.start);
        sections
    }

    fn read_section(
        &mut self,
        piece: &Piece,
        batch: &Batch,
        (run, rows): (&StreamRun, &[u32]),
        memo: Option<&mut Memo<'_>>,
    ) -> Result<(), QueryError> {
        let is_counting = self.plan.value != SampleValue::Unwrapped;
        if self.labels_are_given && is_counting && !self.plan.scan.may_have_copies(batch, run) {
            return self.count_section(batch, run, rows);
        }
        if let Some(memo) = memo
            && rows.len() >= MEMO_ROWS_MIN
            && !self.plan.scan.may_have_copies(batch, run)
            && self.plan.scan.pipeline.begin_run(memo, run)
        {
            return self.recall_section(piece, batch, (run, rows), memo);
        }
        let mut cursor = SpanCursor::new(self.plan.windows);
        for row in rows {
            self.ticker.tick()?;
            let at = batch.timestamps[*row as usize];
            let tie = Tie { stream: run.fingerprint.0, rank: piece.rank, row: *row };
            let row = *row as usize;
            let Some(span) = cursor.index_of(at) else { continue };
            let Some((series, value)) = self.look_up(batch, run, row)? else { continue };
            let key = self.plan.scan.key(batch, run, row);
            if !self.plan.scan.is_first(key, (piece.rank, tie.row))? {
                self.stats.duplicates += 1;
                continue;
            }
            self.stats.post_filter_lines += 1;
            if let Some(series) = series {
                self.table.at(series, span)?.add(&RowSample { at, value, tie });
            }
        }
        Ok(())
    }

    /// Reads rows without copies, of which like ones need not go through the stages.
    fn recall_section(
        &mut self,
        piece: &Piece,
        batch: &Batch,
        (run, rows): (&StreamRun, &[u32]),
        memo: &mut Memo<'_>,
    ) -> Result<(), QueryError> {
        let pipeline = self.plan.scan.pipeline;
        let mut cursor = SpanCursor::new(self.plan.windows);
        for row in rows {
            self.ticker.tick()?;
            let at = batch.timestamps[*row as usize];
            let tie = Tie { stream: run.fingerprint.0, rank: piece.rank, row: *row };
            let row = *row as usize;
            let Some(span) = cursor.index_of(at) else { continue };
            let (series, value) = match pipeline.recall(memo, row, at, &mut self.scratch) {
                Recalled::Dropped => continue,
                Recalled::Series(series, _) if self.plan.value != SampleValue::Unwrapped => {
                    (Some(series), 1.0)
                }
                Recalled::Series(series, value) => (Some(series), value),
                Recalled::Usual(place) => {
                    let (found, has_error) = self.look_up_with_error(batch, run, row)?;
                    if let Some(place) = place {
                        let series = found.and_then(|(series, _)| series);
                        memo.learn(place, series, has_error);
                    }
                    let Some(found) = found else { continue };
                    found
                }
            };
            self.stats.post_filter_lines += 1;
            if let Some(series) = series {
                self.table.at(series, span)?.add(&RowSample { at, value, tie });
            }
        }
        Ok(())
    }

    /// Counts rows that pass as they are, span by span.
    fn count_section(
        &mut self,
        batch: &Batch,
        run: &StreamRun,
        rows: &[u32],
    ) -> Result<(), QueryError> {
        let time = |row: &u32| batch.timestamps[*row as usize];
        self.by_codes.begin_run(batch);
        let mut left = rows;
        while let Some(first) = left.first() {
            self.ticker.tick()?;
            let Some(span) = self.plan.windows.span_of(time(first)) else {
                left = &left[1..];
                continue;
            };
            let count = match left.last() {
                Some(last) if time(last) <= span.end => left.len(),
                _ => left.partition_point(|row| time(row) <= span.end),
            };
            let own = &left[..count];
            left = &left[count..];
            self.stats.post_filter_lines += count as u64;
            if batch.metadata.is_empty() {
                let bytes = own.iter().map(|row| self.given_bytes(batch, *row as usize)).sum();
                if let Some(series) = self.given_series(batch, run, *first as usize)? {
                    self.table.at(series, span.index)?.add_counted(count as u64, bytes);
                }
                continue;
            }
            for row in own {
                self.ticker.tick()?;
                let row = *row as usize;
                if let Some(series) = self.given_series(batch, run, row)? {
                    let bytes = self.given_bytes(batch, row);
                    self.table.at(series, span.index)?.add_counted(1, bytes);
                }
            }
        }
        Ok(())
    }

    /// The series of a row whose labels depend on its stream and metadata only.
    fn given_series(
        &mut self,
        batch: &Batch,
        run: &StreamRun,
        row: usize,
    ) -> Result<Option<u32>, QueryError> {
        if let Some(series) = self.by_codes.get(batch, row) {
            return Ok(Some(series));
        }
        let series = match self.look_up(batch, run, row)? {
            Some((series, _)) => series,
            None => None,
        };
        if let Some(series) = series {
            self.by_codes.set(batch, row, series);
        }
        Ok(series)
    }

    /// Runs the stages; answers the row's series and value, or `None` when it was dropped. A row
    /// with an error that ends the query has no series.
    fn look_up(
        &mut self,
        batch: &Batch,
        run: &StreamRun,
        row: usize,
    ) -> Result<Option<Looked>, QueryError> {
        Ok(self.look_up_with_error(batch, run, row)?.0)
    }

    /// As [`Reader::look_up`]; also whether the row carries an error.
    fn look_up_with_error(
        &mut self,
        batch: &Batch,
        run: &StreamRun,
        row: usize,
    ) -> Result<(Option<Looked>, bool), QueryError> {
        let given = self.given_value(batch, row);
        let pipeline = self.plan.scan.pipeline;
        let Some(outcome) = pipeline.process(&run.labels, view(batch, row), &mut self.scratch)
        else {
            return Ok((None, false));
        };
        let has_error = !outcome.error().is_empty();
        let value = match self.plan.value {
            SampleValue::Unwrapped => outcome.value(),
            SampleValue::LineBytes if !self.lines_are_given => outcome.line().len() as f64,
            _ => given,
        };
        let series = self.table.find(&outcome, batch.timestamps[row])?;
        Ok((Some((series, value)), has_error))
    }

    /// What a row counts as it was stored.
    fn given_value(&self, batch: &Batch, row: usize) -> f64 {
        match self.plan.value {
            SampleValue::LineBytes => line_length(batch, row) as f64,
            _ => 1.0,
        }
    }

    /// The line bytes of a row, if the aggregation wants them.
    fn given_bytes(&self, batch: &Batch, row: usize) -> u64 {
        match self.plan.value {
            SampleValue::LineBytes => line_length(batch, row) as u64,
            _ => 0,
        }
    }
}

/// Series by level code, as far as they were looked up; rows of some have none.
type SeriesByLevel = [Option<Option<u32>>; LEVEL_CODES];

/// The series of streams whose labels are shared between pieces.
#[derive(Debug, Default)]
struct SeriesByStream(HashMap<(usize, usize), (Labels, SeriesByLevel)>);

impl SeriesByStream {
    /// Most streams that are remembered; further ones are looked up again.
    const STREAMS_MAX: usize = 16_384;

    /// Where the labels stand in memory: equal for sets that share it. A set that is remembered
    /// stays alive, so that nothing else can stand there.
    fn place(labels: &Labels) -> Option<(usize, usize)> {
        let (name, _) = labels.iter().next()?;
        (!name.is_empty()).then(|| (name.as_ptr() as usize, labels.len()))
    }

    fn recall(&self, labels: &Labels) -> SeriesByLevel {
        let known = Self::place(labels).and_then(|place| self.0.get(&place));
        known.map_or([None; LEVEL_CODES], |(_, known)| *known)
    }

    fn remember(&mut self, labels: &Labels, known: SeriesByLevel) {
        let Some(place) = Self::place(labels) else { return };
        if let Some((_, own)) = self.0.get_mut(&place) {
            *own = known;
        } else if self.0.len() < Self::STREAMS_MAX {
            self.0.insert(place, (labels.clone(), known));
        }
    }
}

/// The series of a run's rows by the codes of their metadata.
#[derive(Debug, Default)]
struct SeriesByCodes {
    /// Series plus one, by combined code; of the current run.
    known: Vec<u32>,
    /// The row that was set last; all that is used when there are too many combinations.
    last: Option<(usize, u32)>,
}

impl SeriesByCodes {
    /// Most combinations of codes that are kept.
    const CODES_MAX: usize = 1024;

    /// Forgets everything: the rows to come are of another run.
    fn begin_run(&mut self, batch: &Batch) {
        let codes =
            |product: usize, column: &TextColumn| product.saturating_mul(column.values().len() + 1);
        let combinations = batch.metadata.iter().fold(1, codes);
        self.known.clear();
        if combinations <= Self::CODES_MAX {
            self.known.resize(combinations, 0);
        }
        self.last = None;
    }

    fn get(&self, batch: &Batch, row: usize) -> Option<u32> {
        if self.known.is_empty() {
            let (other, series) = self.last?;
            let is_equal =
                |column: &TextColumn| column.codes().get(other) == column.codes().get(row);
            return batch.metadata.iter().all(is_equal).then_some(series);
        }
        self.known[combined_code(batch, row)].checked_sub(1)
    }

    fn set(&mut self, batch: &Batch, row: usize, series: u32) {
        self.last = Some((row, series));
        if !self.known.is_empty() {
            self.known[combined_code(batch, row)] = series + 1;
        }
    }
}

/// One number for the codes of all columns; below the product of their counts.
fn combined_code(batch: &Batch, row: usize) -> usize {
    let digit = |code: usize, column: &TextColumn| {
        let own = column.codes().get(row).copied().unwrap_or(0) as usize;
        code * (column.values().len() + 1) + own
    };
    batch.metadata.iter().fold(0, digit)
}
