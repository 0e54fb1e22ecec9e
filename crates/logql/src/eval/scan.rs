//! How log and metric queries read: one selection, one pipeline, batches in, rows out.

use std::ops::Range;

use model::answer::QueryStats;
use model::columns::TextColumn;
use model::level::LEVEL_NAME;
use model::{Direction, Matcher, TimeRange, Timestamp};

use super::control::Meter;
use super::copies::{Arrival, Copies, RowKey, row_key};
use super::error::QueryError;
use crate::pipeline::{ColumnRow, Metadata, Pipeline, RowView};
use crate::source::{
    Batch, Piece, RequiredLabel, Selection, Source, SourceError, StreamRun, Want, WantLines,
    WantMetadata,
};

/// Everything that the threads of one read share.
#[derive(Debug)]
pub struct Scan<'a> {
    source: &'a dyn Source,
    /// The stages that rows pass.
    pub pipeline: &'a Pipeline,
    want: Want,
    /// What structured metadata must be, if not the stream's labels.
    given: Vec<RequiredLabel>,
    /// The time that rows must lie in.
    pub range: TimeRange,
    copies: Copies<'a>,
    /// Cancellation and memory.
    pub meter: Meter<'a>,
}

impl std::fmt::Debug for dyn Source + '_ {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.write_str("Source")
    }
}

impl<'a> Scan<'a> {
    /// A read of `range` through a pipeline.
    #[must_use]
    pub fn new(
        source: &'a dyn Source,
        pipeline: &'a Pipeline,
        range: TimeRange,
        meter: Meter<'a>,
    ) -> Self {
        let mut want = pipeline.wants();
        if pipeline.reads_columns() {
            want.lines = WantLines::Columns;
        }
        let mut given = pipeline.required_labels();
        // Which levels a piece has is known without reading it.
        given.retain(|label| label.or_texts.is_empty() && *label.name != *LEVEL_NAME);
        Self { source, pipeline, want, given, range, copies: Copies::new(meter), meter }
    }

    /// The pieces that may hold rows of a selector.
    ///
    /// # Errors
    ///
    /// [`QueryError::Source`].
    pub fn pieces(
        &self,
        selector: &[Matcher],
        direction: Direction,
    ) -> Result<Vec<Piece>, QueryError> {
        if self.range.is_empty() {
            return Ok(Vec::new());
        }
        let mut pieces = self.source.pieces(&Selection {
            matchers: selector.to_vec(),
            range: self.range,
            direction,
            required: self.pipeline.required(),
            required_labels: self.pipeline.required_labels(),
            shard: None,
        })?;
        pieces.retain(|piece| self.range.overlaps(piece.first, piece.last));
        Ok(pieces)
    }

    /// Loads a piece with all that the pipeline needs, and with all that tells copies apart where
    /// there may be some.
    ///
    /// # Errors
    ///
    /// [`QueryError::Source`].
    pub fn load(&self, piece: &Piece, stats: &mut QueryStats) -> Result<Batch, QueryError> {
        self.meter.check()?;
        if !self.given.is_empty() && !piece.is_head && !self.has_given(piece, stats)? {
            return Ok(Batch::default());
        }
        let full = Want { lines: WantLines::Text, metadata: WantMetadata::All };
        let mut batch = self.source.load(piece, &self.want)?;
        stats.compressed_bytes += batch.compressed_bytes;
        if !batch.is_full(&self.want)
            && batch.runs.iter().any(|run| self.may_have_copies(&batch, run))
        {
            batch = self.source.load(piece, &full)?;
            stats.compressed_bytes += batch.compressed_bytes;
        }
        stats.blocks_read += 1;
        Ok(batch)
    }

    /// Whether some row of a piece may have what structured metadata must be: a small part of the
    /// piece, which saves the rest where an index was wrong.
    fn has_given(&self, piece: &Piece, stats: &mut QueryStats) -> Result<bool, QueryError> {
        let names = self.given.iter().map(|label| label.name.to_string()).collect();
        let want = Want { lines: WantLines::None, metadata: WantMetadata::Names(names) };
        let batch = self.source.load(piece, &want)?;
        stats.compressed_bytes += batch.compressed_bytes;
        let holds = |label: &RequiredLabel| {
            let named = |column: &&TextColumn| column.name() == &*label.name;
            let column = batch.metadata.iter().find(named);
            column.is_some_and(|c| label.values.iter().any(|value| c.values().contains(value)))
                || batch.runs.iter().any(|run| run.labels.get(&label.name).is_some())
        };
        let holds = self.given.iter().all(holds);
        stats.blocks_read += u64::from(!holds);
        Ok(holds)
    }

    /// Whether rows of a run may stand in other origins too.
    #[must_use]
    pub fn may_have_copies(&self, batch: &Batch, run: &StreamRun) -> bool {
        let times = &batch.timestamps[run.rows.clone()];
        let (Some(first), Some(last)) = (times.first(), times.last()) else { return false };
        run.copies.is_some_and(|span| {
            span.intersect(&self.range).overlaps(Timestamp(*first), Timestamp(*last))
        })
    }

    /// The key of a row if copies of it may exist.
    #[must_use]
    pub fn key(&self, batch: &Batch, run: &StreamRun, row: usize) -> Option<RowKey> {
        let span = run.copies?;
        span.contains(Timestamp(batch.timestamps[row])).then(|| row_key(batch, run, row))
    }

    /// Whether a row is the first of its copies; rows without a key have none.
    ///
    /// # Errors
    ///
    /// [`QueryError::MemoryLimit`].
    pub fn is_first(&self, key: Option<RowKey>, arrival: Arrival) -> Result<bool, QueryError> {
        key.map_or(Ok(true), |key| self.copies.is_first(key, arrival))
    }

    /// When the earliest copy of a row arrived.
    #[must_use]
    pub fn arrival(&self, key: RowKey) -> Option<Arrival> {
        self.copies.arrival(key)
    }
}

/// The rows of a run whose time lies in a span.
#[must_use]
pub fn rows_within(batch: &Batch, run: &StreamRun, span: &TimeRange) -> Range<usize> {
    let times = &batch.timestamps[run.rows.clone()];
    let start = times.partition_point(|at| *at < span.start.0);
    let end = times.partition_point(|at| *at < span.end.0).max(start);
    run.rows.start + start..run.rows.start + end
}

/// A row as the pipeline takes it.
#[must_use]
pub fn view(batch: &Batch, row: usize) -> RowView<'_> {
    RowView {
        timestamp: Timestamp(batch.timestamps[row]),
        line: if row < batch.lines.len() { batch.lines.row(row) } else { &[] },
        columns: batch.columns.as_ref().and_then(|lines| ColumnRow::new(lines, row)),
        metadata: Metadata::Columns(&batch.metadata, row),
    }
}

/// The length of a row's line; 0 when the batch carries neither lines nor lengths.
#[must_use]
pub fn line_length(batch: &Batch, row: usize) -> usize {
    match batch.lengths.get(row) {
        Some(length) => *length as usize,
        None if row < batch.lines.len() => batch.lines.row_len(row),
        None => 0,
    }
}

/// Counts rows that were looked at.
pub fn count_rows(stats: &mut QueryStats, piece: &Piece, batch: &Batch, rows: &Range<usize>) {
    let lines = rows.len() as u64;
    let bytes = if let Some(columns) = &batch.columns {
        // How long each line is would cost as much as most questions.
        let all = columns.row_shapes().len().max(1) as u64;
        u64::try_from(u128::from(columns.line_bytes()) * u128::from(lines) / u128::from(all))
            .unwrap_or(u64::MAX)
    } else if rows.end <= batch.lines.len() {
        (batch.lines.start_of(rows.end) - batch.lines.start_of(rows.start)) as u64 - lines
    } else {
        batch.lengths.get(rows.clone()).map_or(0, |all| all.iter().map(|n| u64::from(*n)).sum())
    };
    if piece.is_head {
        stats.head_lines += lines;
        stats.head_bytes += bytes;
    } else {
        stats.decompressed_lines += lines;
        stats.decompressed_bytes += bytes;
    }
    for column in &batch.metadata {
        let codes = column.codes().get(rows.clone()).unwrap_or(&[]);
        let values = column.values();
        let value = |code: &u32| code.checked_sub(1).map_or(0, |at| values.len_of(at as usize));
        stats.metadata_bytes += codes.iter().map(value).sum::<usize>() as u64;
    }
}

/// Checks, after a batch was read, that nothing of its columns was damaged.
///
/// # Errors
///
/// [`QueryError::Source`].
pub fn check_columns(batch: &Batch) -> Result<(), QueryError> {
    match &batch.columns {
        Some(columns) if columns.is_damaged() => Err(QueryError::Source(SourceError {
            message: "stored lines are damaged".into(),
            kind: model::ErrorKind::Corrupt,
        })),
        _ => Ok(()),
    }
}
