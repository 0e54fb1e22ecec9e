//! Digests: what replicas compare instead of rows.
//!
//! Replicas of a stream hold the same rows in other orders and flush them at other times. A digest
//! is the count and the sum of the hashes of the rows of one stream in one cell of time: it does
//! not depend on order, and the digests of parts add up to the digest of the whole. Two equal
//! digests stand for equal rows, but for a chance of about one in 2⁶⁴. An ingester that finds all
//! it ever got of a cell in the segments of another one need not store the cell again.

use hashbrown::HashMap;
use model::level::LEVEL_NAME;
use model::{Labels, Timestamp};
use xxhash_rust::xxh3::{xxh3_64, xxh3_64_with_seed};

use crate::encoding::cursor::{Cursor, put_signed, put_varint};
use crate::error::Result;
use crate::footer::Footer;
use crate::writer::Row;

/// Seconds that a cell may span, ascending; each is a multiple of the one before, so that narrow
/// cells add up to wide ones.
pub const DIGEST_SECONDS: [u32; 5] = [1, 5, 20, 60, 300];

const SECOND_NS: i64 = 1_000_000_000;

/// How many rows, and the sum of their hashes.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq, Hash)]
pub struct Digest {
    /// Rows; a row that is there twice counts twice.
    pub count: u64,
    /// Sum of [`RowHasher::hash`], modulo 2⁶⁴.
    pub sum: u64,
}

impl Digest {
    /// Adds the rows of another digest.
    pub fn add(&mut self, other: Self) {
        self.count = self.count.wrapping_add(other.count);
        self.sum = self.sum.wrapping_add(other.sum);
    }

    /// Adds a row by its hash.
    pub fn add_row(&mut self, hash: u64) {
        self.add(Self { count: 1, sum: hash });
    }
}

/// Hashes rows of one stream. Rows of different streams have different hashes even when they are
/// equal otherwise.
#[derive(Debug, Clone, Copy)]
pub struct RowHasher {
    stream: u64,
}

impl RowHasher {
    /// For the rows of the stream with these labels.
    #[must_use]
    pub fn new(labels: &Labels) -> Self {
        Self::of_pairs(labels.iter())
    }

    /// For the rows of the stream with these labels, which are in name order.
    pub(crate) fn of_pairs<'a>(pairs: impl Iterator<Item = (&'a str, &'a str)>) -> Self {
        let mut text = Vec::with_capacity(256);
        for part in pairs.flat_map(|(name, value)| [name, value]) {
            text.extend_from_slice(&(part.len() as u64).to_le_bytes());
            text.extend_from_slice(part.as_bytes());
        }
        Self { stream: xxh3_64(&text) }
    }

    /// The stream's own hash, by which its cells may be found.
    #[must_use]
    pub fn stream(&self) -> u64 {
        self.stream
    }

    /// The hash of a row: of its time, line, level and metadata, whose order does not count. Of
    /// equal names the last counts, as in segments.
    #[must_use]
    pub fn hash(&self, row: &Row<'_>) -> u64 {
        let mut parts = [0; 32];
        let metadata = metadata_sum(row);
        let numbers = [self.stream, row.timestamp.0 as u64, xxh3_64(row.line), metadata];
        for (part, number) in parts.chunks_exact_mut(8).zip(numbers) {
            part.copy_from_slice(&number.to_le_bytes());
        }
        xxh3_64(&parts)
    }
}

fn metadata_sum(row: &Row<'_>) -> u64 {
    let pair =
        |name: &str, value: &str| xxh3_64_with_seed(value.as_bytes(), xxh3_64(name.as_bytes()));
    let mut sum = 0u64;
    let mut has_level = false;
    for (index, (name, value)) in row.metadata.iter().enumerate() {
        has_level |= *name == LEVEL_NAME;
        let is_replaced = row.metadata[index + 1..].iter().any(|(later, _)| later == name);
        if !is_replaced {
            sum = sum.wrapping_add(pair(name, value));
        }
    }
    match row.level {
        Some(level) if !has_level => sum.wrapping_add(pair(LEVEL_NAME, level.as_str())),
        _ => sum,
    }
}

/// The cell that an instant lies in, when cells span so many seconds.
#[must_use]
pub fn digest_cell(at: Timestamp, seconds: u32) -> i64 {
    at.0.div_euclid(SECOND_NS).div_euclid(i64::from(seconds.max(1)))
}

/// The digest of one cell of one stream of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DigestCell {
    /// The stream, by its place in the stream table.
    pub stream: u32,
    /// See [`digest_cell`].
    pub cell: i64,
    /// Its rows.
    pub digest: Digest,
}

/// The digests of a segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentDigests {
    /// Seconds that a cell spans, one of [`DIGEST_SECONDS`].
    pub seconds: u32,
    /// By stream and cell; together they count every row once.
    pub cells: Vec<DigestCell>,
}

impl SegmentDigests {
    /// The digests by [`RowHasher::stream`] and cell, in cells of `seconds`, which must be a
    /// multiple of the segment's own width.
    #[must_use]
    pub fn widened(&self, footer: &Footer, seconds: u32) -> HashMap<(u64, i64), Digest> {
        let factor = i64::from((seconds / self.seconds).max(1));
        let mut found: HashMap<(u64, i64), Digest> = HashMap::new();
        let mut current = None;
        for cell in &self.cells {
            let stream = match current {
                Some((ordinal, stream)) if ordinal == cell.stream => stream,
                _ => RowHasher::of_pairs(footer.streams().pairs(cell.stream)).stream(),
            };
            current = Some((cell.stream, stream));
            found.entry((stream, cell.cell.div_euclid(factor))).or_default().add(cell.digest);
        }
        found
    }
}

/// Sums up rows in the order in which segments hold them.
#[derive(Debug)]
pub(crate) struct DigestBuilder {
    seconds: u32,
    hasher: RowHasher,
    cells: Vec<DigestCell>,
}

impl DigestBuilder {
    /// Cells of about so many seconds.
    pub(crate) fn new(seconds: u32) -> Self {
        let seconds = DIGEST_SECONDS.into_iter().rev().find(|width| *width <= seconds);
        Self { seconds: seconds.unwrap_or(1), hasher: RowHasher { stream: 0 }, cells: Vec::new() }
    }

    pub(crate) fn seconds(&self) -> u32 {
        self.seconds
    }

    pub(crate) fn begin_stream<'a>(&mut self, pairs: impl Iterator<Item = (&'a str, &'a str)>) {
        self.hasher = RowHasher::of_pairs(pairs);
    }

    pub(crate) fn add(&mut self, stream: u32, row: &Row<'_>) {
        let cell = digest_cell(row.timestamp, self.seconds);
        let hash = self.hasher.hash(row);
        match self.cells.last_mut() {
            Some(last) if (last.stream, last.cell) == (stream, cell) => last.digest.add_row(hash),
            _ => {
                let digest = Digest { count: 1, sum: hash };
                self.cells.push(DigestCell { stream, cell, digest });
            }
        }
    }

    pub(crate) fn finish(self) -> SegmentDigests {
        SegmentDigests { seconds: self.seconds, cells: self.cells }
    }
}

/// Appends the section.
pub(crate) fn encode(digests: &SegmentDigests, out: &mut Vec<u8>) {
    put_varint(out, u64::from(digests.seconds));
    put_varint(out, digests.cells.len() as u64);
    let mut before = DigestCell { stream: 0, cell: 0, digest: Digest::default() };
    for cell in &digests.cells {
        put_varint(out, u64::from(cell.stream - before.stream));
        put_signed(out, cell.cell.wrapping_sub(before.cell));
        put_varint(out, cell.digest.count);
        before = *cell;
    }
    digests.cells.iter().for_each(|cell| out.extend_from_slice(&cell.digest.sum.to_le_bytes()));
}

/// Decodes the bytes of [`Footer::digests`].
///
/// # Errors
///
/// [`crate::FormatError`] when the bytes are not that section, bit for bit, or count other rows
/// than those of the footer.
pub fn decode_digests(footer: &Footer, bytes: &[u8]) -> Result<SegmentDigests> {
    let payload = footer.digests_payload(bytes)?;
    let mut cursor = Cursor::new(&payload, "digest");
    let seconds = cursor.varint_u32()?;
    if !DIGEST_SECONDS.contains(&seconds) {
        return Err(cursor.corrupt());
    }
    // Three numbers and a sum.
    let count = cursor.count(11)?;
    let mut cells: Vec<DigestCell> = Vec::with_capacity(count);
    let mut rows = 0u64;
    for _ in 0..count {
        let (stream, cell) = cells.last().map_or((0, 0), |last| (last.stream, last.cell));
        let next = DigestCell {
            stream: stream.checked_add(cursor.varint_u32()?).ok_or_else(|| cursor.corrupt())?,
            cell: cell.wrapping_add(cursor.signed()?),
            digest: Digest { count: cursor.varint()?, sum: 0 },
        };
        let ascends =
            cells.last().is_none_or(|last| (last.stream, last.cell) < (next.stream, next.cell));
        if !ascends || next.digest.count == 0 || next.stream as usize >= footer.streams().len() {
            return Err(cursor.corrupt());
        }
        rows = rows.checked_add(next.digest.count).ok_or_else(|| cursor.corrupt())?;
        cells.push(next);
    }
    for cell in &mut cells {
        cell.digest.sum = cursor.u64()?;
    }
    if rows != footer.rows() {
        return Err(cursor.corrupt());
    }
    cursor.finish()?;
    Ok(SegmentDigests { seconds, cells })
}

#[cfg(test)]
mod tests {
    use model::Level;

    use super::*;

    fn row<'a>(line: &'a [u8], metadata: &'a [(&'a str, &'a str)]) -> Row<'a> {
        Row { timestamp: Timestamp(5), line, level: None, metadata }
    }

    #[test]
    fn hashes_tell_rows_apart_and_nothing_else() {
        let hasher = RowHasher::new(&Labels::new([("a", "b")]));
        let base = hasher.hash(&row(b"x", &[("k", "v"), ("l", "w")]));
        assert_eq!(base, hasher.hash(&row(b"x", &[("l", "w"), ("k", "v")])));
        assert_eq!(base, hasher.hash(&row(b"x", &[("k", "old"), ("l", "w"), ("k", "v")])));
        let other = RowHasher::new(&Labels::new([("a", "c")]));
        let different = [
            other.hash(&row(b"x", &[("k", "v"), ("l", "w")])),
            hasher.hash(&row(b"y", &[("k", "v"), ("l", "w")])),
            hasher.hash(&row(b"x", &[("k", "w"), ("l", "v")])),
            hasher.hash(&row(b"x", &[("k", "v")])),
            hasher.hash(&Row { timestamp: Timestamp(6), ..row(b"x", &[("k", "v"), ("l", "w")]) }),
            hasher.hash(&Row { level: Some(Level::Info), ..row(b"x", &[("k", "v"), ("l", "w")]) }),
        ];
        assert!(different.iter().all(|hash| *hash != base));
        let named = hasher.hash(&row(b"x", &[(LEVEL_NAME, "info")]));
        assert_eq!(named, hasher.hash(&Row { level: Some(Level::Info), ..row(b"x", &[]) }));
        let both = Row { level: Some(Level::Error), ..row(b"x", &[(LEVEL_NAME, "info")]) };
        assert_eq!(named, hasher.hash(&both), "a pair of that name counts instead of the level");
    }

    #[test]
    fn widths_divide_one_another() {
        assert!(DIGEST_SECONDS.windows(2).all(|pair| pair[1] % pair[0] == 0));
        assert_eq!(DigestBuilder::new(299).seconds(), 60);
        assert_eq!(DigestBuilder::new(0).seconds(), 1);
        assert_eq!(digest_cell(Timestamp(-1), 300), -1);
    }
}
