//! Rows, column by column, and counts of rows.
//!
//! A batch is: the runs (labels, fingerprint, rows, copies), the times as differences, the lengths
//! if they are filled, the lines as lengths and one text, and the columns of metadata as codes and
//! values. Decoding allocates at most a small constant times the input: the most expensive element
//! is a value of metadata, sixteen bytes and its text for a length of one byte.

use ::bytes::Bytes;
use logql::source::{Batch, Cell, Cells, StreamRun, Want, WantLines};
use model::columns::{Lines, TextColumn};
use model::{Fingerprint, Timestamp};

use super::Decoded;
use super::bytes::{Reader, Writer, damaged};

/// A run takes at least so many bytes: a count of labels, a fingerprint, rows and a flag.
const RUN_BYTES_MIN: usize = 12;
/// A cell takes at least so many bytes.
const CELL_BYTES_MIN: usize = 6;

/// Encodes rows.
#[must_use]
pub fn encode_batch(batch: &Batch) -> Bytes {
    let metadata: usize = batch.metadata.iter().map(|column| column.codes().len() * 2).sum();
    let expected = batch.lines.text().len() + batch.timestamps.len() * 6 + metadata;
    let mut out = Writer::new(expected + batch.runs.len() * 96);
    runs(&mut out, &batch.runs);
    out.number(batch.timestamps.len() as u64);
    let mut before = 0i64;
    for at in &batch.timestamps {
        out.signed(at.wrapping_sub(before));
        before = *at;
    }
    out.number(batch.lengths.len() as u64);
    batch.lengths.iter().for_each(|length| out.number(u64::from(*length)));
    out.number(batch.lines.len() as u64);
    (0..batch.lines.len()).for_each(|row| out.number(batch.lines.row_len(row) as u64));
    out.text(batch.lines.text());
    out.number(batch.metadata.len() as u64);
    for column in &batch.metadata {
        out.text(column.name());
        out.number(column.codes().len() as u64);
        column.codes().iter().for_each(|code| out.number(u64::from(*code)));
        out.number(column.values().len() as u64);
        column.values().iter().for_each(|value| out.text(value));
    }
    out.number(batch.compressed_bytes);
    out.finish()
}

/// Decodes rows. Runs point at rows that exist, and codes at values that exist.
///
/// # Errors
///
/// When the bytes are no batch.
pub fn decode_batch(bytes: &[u8]) -> Decoded<Batch> {
    let mut reader = Reader::new(bytes)?;
    let runs = read_runs(&mut reader)?;
    let mut before = 0i64;
    let timestamps = reader.list(1, |reader| {
        before = before.wrapping_add(reader.signed()?);
        Ok(before)
    })?;
    let lengths = reader.list(1, Reader::small)?;
    let line_lengths = reader.list(1, Reader::small)?;
    let text = reader.bytes()?.to_vec();
    let lines = if line_lengths.is_empty() && text.is_empty() {
        Lines::default()
    } else {
        Lines::from_parts(text, line_lengths).ok_or_else(|| damaged("lines that add up"))?
    };
    let metadata = reader.list(3, |reader| {
        let name = reader.text()?;
        let codes = reader.list(1, Reader::small)?;
        let values = reader.list(1, Reader::text)?.into_iter().collect();
        TextColumn::from_parts(name, codes, values).ok_or_else(|| damaged("codes of values"))
    })?;
    let compressed_bytes = reader.number()?;
    reader.finish()?;
    if runs.iter().any(|run| run.rows.end > timestamps.len()) {
        return Err(damaged("runs of existing rows"));
    }
    Ok(Batch { runs, timestamps, lengths, lines, columns: None, metadata, compressed_bytes })
}

/// Whether a batch has the columns that were wanted for every row of its runs, so that whoever
/// reads it need not ask.
///
/// # Errors
///
/// When a column is too short.
pub fn check_batch(batch: &Batch, want: &Want) -> Decoded<()> {
    let rows = batch.runs.iter().map(|run| run.rows.end).max().unwrap_or(0);
    let enough = match want.lines {
        WantLines::None => true,
        WantLines::Lengths => batch.lengths.len() >= rows,
        WantLines::Columns | WantLines::Text => batch.lines.len() >= rows,
    };
    if enough { Ok(()) } else { Err(damaged("lines of all rows")) }
}

/// Encodes counts, or that there are none.
#[must_use]
pub fn encode_cells(cells: Option<&Cells>) -> Bytes {
    let mut out = Writer::new(cells.map_or(0, |cells| cells.cells.len() * 16));
    out.flag(cells.is_some());
    if let Some(cells) = cells {
        runs(&mut out, &cells.runs);
        out.number(cells.cells.len() as u64);
        for cell in &cells.cells {
            let Cell { run, level, start, end, lines, bytes } = cell;
            out.number(u64::from(*run));
            out.byte(*level);
            out.signed(start.0);
            out.signed(end.0.wrapping_sub(start.0));
            out.number(*lines);
            out.number(*bytes);
        }
    }
    out.finish()
}

/// Decodes counts. Every cell belongs to a run that exists.
///
/// # Errors
///
/// When the bytes are none.
pub fn decode_cells(bytes: &[u8]) -> Decoded<Option<Cells>> {
    let mut reader = Reader::new(bytes)?;
    if !reader.flag()? {
        reader.finish()?;
        return Ok(None);
    }
    let runs = read_runs(&mut reader)?;
    let cells = reader.list(CELL_BYTES_MIN, |reader| {
        let (run, level, start) = (reader.small()?, reader.byte()?, reader.time()?);
        let end = Timestamp(start.0.wrapping_add(reader.signed()?));
        Ok(Cell { run, level, start, end, lines: reader.number()?, bytes: reader.number()? })
    })?;
    reader.finish()?;
    if cells.iter().any(|cell| cell.run as usize >= runs.len()) {
        return Err(damaged("cells of existing runs"));
    }
    Ok(Some(Cells { runs, cells }))
}

fn runs(out: &mut Writer, runs: &[StreamRun]) {
    out.number(runs.len() as u64);
    for run in runs {
        out.labels(&run.labels);
        out.fixed(run.fingerprint.0);
        out.number(run.rows.start as u64);
        out.number(run.rows.len() as u64);
        out.flag(run.copies.is_some());
        if let Some(copies) = run.copies {
            out.range(copies);
        }
    }
}

fn read_runs(reader: &mut Reader<'_>) -> Decoded<Vec<StreamRun>> {
    reader.list(RUN_BYTES_MIN, |reader| {
        let labels = reader.labels()?;
        let fingerprint = Fingerprint(reader.fixed()?);
        let start = reader.small()? as usize;
        let rows = start..start + reader.small()? as usize;
        let copies = if reader.flag()? { Some(reader.range()?) } else { None };
        Ok(StreamRun { labels, fingerprint, rows, copies })
    })
}
