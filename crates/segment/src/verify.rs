//! Checking a whole segment.

use std::ops::Range;

use model::Timestamp;
use model::columns::{Lines, TextColumn};

use crate::block::BlockMeta;
use crate::cells::decode_cells;
use crate::decode::{decode_lengths, decode_lines, decode_metadata, decode_timestamps};
use crate::digest::{Digest, DigestCell, RowHasher, decode_digests, digest_cell};
use crate::error::{FormatError, Result};
use crate::footer::{Footer, tail};
use crate::index::check::IndexCheck;
use crate::sort_key::sort_key;
use crate::writer::Row;

/// What a whole and undamaged segment holds.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Report {
    /// Streams.
    pub streams: u64,
    /// Blocks.
    pub blocks: u64,
    /// Rows.
    pub rows: u64,
    /// Line bytes.
    pub raw_bytes: u64,
    /// Bytes of the object.
    pub file_bytes: u64,
    /// Cells.
    pub cells: u64,
    /// Cells of digests.
    pub digests: u64,
    /// Postings of the token index.
    pub postings: u64,
    /// Bytes of its pages.
    pub index_bytes: u64,
    /// Bytes of the chunks of timestamps, line lengths, structured metadata and lines.
    pub region_bytes: [u64; 4],
}

/// Reads every byte of a segment and checks every checksum, count and order.
///
/// # Errors
///
/// The first [`FormatError`] found; a person must look at the object.
pub fn verify(bytes: &[u8]) -> Result<Report> {
    let footer = Footer::decode(bytes, bytes.len() as u64)?;
    tail::check_header(bytes)?;
    for section in footer.sections() {
        section.check(part(bytes, section.range())?)?;
    }
    check_streams(&footer)?;
    let mut report = Report {
        streams: footer.streams().len() as u64,
        blocks: footer.blocks().len() as u64,
        rows: footer.rows(),
        raw_bytes: footer.raw_bytes(),
        file_bytes: bytes.len() as u64,
        ..Report::default()
    };
    if let Some(range) = footer.cells() {
        report.cells = decode_cells(&footer, part(bytes, range)?)?.len() as u64;
    }
    let mut index = match footer.token_index() {
        Some((directory, range)) => {
            report.index_bytes = range.end - range.start;
            Some(IndexCheck::read(directory, part(bytes, range)?, footer.blocks().len())?)
        }
        None => None,
    };
    let mut digests = match footer.digests() {
        Some(range) => {
            let digests = decode_digests(&footer, part(bytes, range)?)?;
            report.digests = digests.cells.len() as u64;
            Some(DigestCheck { seconds: digests.seconds, stated: digests.cells, found: Vec::new() })
        }
        None => None,
    };
    report.postings = index.as_ref().map_or(0, IndexCheck::postings);
    let mut counts = vec![Counts::default(); footer.streams().len()];
    for block in footer.blocks() {
        let (lines, columns) = check_block(bytes, block, &mut counts, &mut report)?;
        if let Some(digests) = &mut digests {
            let timestamps = decode_timestamps(block, part(bytes, block.timestamps.clone())?)?;
            digests.add(&footer, block, &timestamps, (&lines, &columns));
        }
        if let Some(index) = &mut index {
            index.check_block(block.ordinal, lines.text(), &columns)?;
        }
    }
    check_counts(&footer, &counts)?;
    if digests.is_some_and(|digests| digests.stated != digests.found) {
        return Err(FormatError::Corrupt("the digests are of other rows"));
    }
    Ok(report)
}

/// The digests as they stand in the segment, and as its rows make them.
struct DigestCheck {
    seconds: u32,
    stated: Vec<DigestCell>,
    found: Vec<DigestCell>,
}

impl DigestCheck {
    fn add(
        &mut self,
        footer: &Footer,
        block: &BlockMeta,
        timestamps: &[i64],
        (lines, columns): (&Lines, &[TextColumn]),
    ) {
        for (stream, rows) in block.run_rows() {
            let hasher = RowHasher::of_pairs(footer.streams().pairs(stream));
            for row in rows {
                let metadata: Vec<(&str, &str)> = columns
                    .iter()
                    .filter_map(|column| Some((column.name(), column.get(row)?)))
                    .collect();
                let timestamp = Timestamp(timestamps[row]);
                let line = lines.row(row);
                let hash = hasher.hash(&Row { timestamp, line, level: None, metadata: &metadata });
                let cell = digest_cell(timestamp, self.seconds);
                match self.found.last_mut() {
                    Some(last) if (last.stream, last.cell) == (stream, cell) => {
                        last.digest.add_row(hash);
                    }
                    _ => {
                        let digest = Digest { count: 1, sum: hash };
                        self.found.push(DigestCell { stream, cell, digest });
                    }
                }
            }
        }
    }
}

fn part(bytes: &[u8], range: Range<u64>) -> Result<&[u8]> {
    let range = usize::try_from(range.start).ok().zip(usize::try_from(range.end).ok());
    range
        .and_then(|(start, end)| bytes.get(start..end))
        .ok_or(FormatError::Corrupt("a range outside the object"))
}

/// Checks that the streams ascend by sort key.
fn check_streams(footer: &Footer) -> Result<()> {
    let names = &footer.settings().sort_labels;
    let mut before = None;
    for ordinal in 0..footer.streams().len() as u32 {
        let key = sort_key(&footer.streams().labels(ordinal), names);
        if before.as_ref().is_some_and(|before| *before >= key) {
            return Err(FormatError::Corrupt("streams out of order"));
        }
        before = Some(key);
    }
    Ok(())
}

/// What the blocks hold of a stream.
#[derive(Clone, Default, PartialEq, Eq)]
struct Counts {
    rows: u64,
    bytes: u64,
    first: Option<i64>,
    last: i64,
}

fn check_block(
    bytes: &[u8],
    block: &BlockMeta,
    counts: &mut [Counts],
    report: &mut Report,
) -> Result<(Lines, Vec<TextColumn>)> {
    let mut size = |index: usize, range: &Range<u64>| -> Result<&[u8]> {
        report.region_bytes[index] += range.end - range.start;
        part(bytes, range.clone())
    };
    let timestamps = decode_timestamps(block, size(0, &block.timestamps)?)?;
    let lengths = decode_lengths(block, size(1, &block.lengths)?)?;
    let mut columns = Vec::with_capacity(block.metadata.len());
    for column in block.metadata.iter() {
        columns.push(decode_metadata(column, size(2, &column.range)?)?);
    }
    let lines = decode_lines(block, &timestamps, &lengths, size(3, &block.lines)?)?;
    for (stream, rows) in block.run_rows() {
        let times = &timestamps[rows.clone()];
        let count = &mut counts[stream as usize];
        if count.first.is_some() && times.first().is_some_and(|first| *first < count.last) {
            return Err(FormatError::Corrupt("the rows of a stream are out of order"));
        }
        count.rows += times.len() as u64;
        count.bytes += rows.map(|row| lines.row_len(row) as u64).sum::<u64>();
        count.first = count.first.or(times.first().copied());
        count.last = times.last().copied().unwrap_or(count.last);
    }
    Ok((lines, columns))
}

/// Checks that the stream table says what the blocks hold.
fn check_counts(footer: &Footer, counts: &[Counts]) -> Result<()> {
    let streams = footer.streams();
    for (ordinal, count) in (0..).zip(counts) {
        let stated = Counts {
            rows: streams.rows(ordinal),
            bytes: streams.bytes(ordinal),
            first: Some(streams.first(ordinal).0),
            last: streams.last(ordinal).0,
        };
        if *count != stated {
            return Err(FormatError::Corrupt("the stream table counts other rows"));
        }
    }
    Ok(())
}
