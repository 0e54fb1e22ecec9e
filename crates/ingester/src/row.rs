//! One entry in a head: 24 bytes that say where its text stands.

use api::append::{MetadataIter, RowRef, metadata_at};
use bytes::Bytes;
use model::Level;
use xxhash_rust::xxh3::{xxh3_64_with_seed, xxh3_128, xxh3_128_with_seed};

use crate::list::AppendList;

/// Longest line that is accepted. Segments take no longer ones.
pub(crate) const LINE_BYTES_MAX: u32 = 64 << 20;

/// Most bytes of structured metadata that an entry may have, for the same reason.
pub(crate) const METADATA_BYTES_MAX: u64 = 32 << 20;

/// Low bits of [`Row::length_and_level`]; the level's code stands above them.
const LENGTH_BITS: u32 = 28;

/// The encoded batches of a head; rows are offsets into them.
pub(crate) type Slabs = AppendList<Bytes>;

/// One entry of a stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Row {
    /// Nanoseconds since the epoch.
    pub(crate) timestamp: i64,
    /// Which of the head's slabs the offsets count from.
    pub(crate) slab: u32,
    line_start: u32,
    length_and_level: u32,
    metadata_start: u32,
}

impl Row {
    /// A row of a slab whose index is not known yet. A line beyond [`LINE_BYTES_MAX`], which must
    /// not be stored, becomes one byte longer than that.
    pub(crate) fn new(row: RowRef) -> Self {
        let length = row.line_len.min(LINE_BYTES_MAX + 1);
        Self {
            timestamp: row.timestamp.0,
            slab: 0,
            line_start: row.line_start,
            length_and_level: length | u32::from(row.level) << LENGTH_BITS,
            metadata_start: row.metadata_start,
        }
    }

    /// The row, once the index of its slab is known.
    pub(crate) fn in_slab(self, slab: u32) -> Self {
        Self { slab, ..self }
    }

    pub(crate) fn line_len(self) -> u32 {
        self.length_and_level & ((1 << LENGTH_BITS) - 1)
    }

    /// Code of the level; 0 for none.
    pub(crate) fn level_code(self) -> u8 {
        (self.length_and_level >> LENGTH_BITS) as u8
    }

    pub(crate) fn level(self) -> Option<Level> {
        Level::from_code(self.level_code())
    }

    pub(crate) fn has_metadata(self) -> bool {
        self.metadata_start != 0
    }

    /// The line, given the slab's bytes.
    pub(crate) fn line(self, slab: &[u8]) -> &[u8] {
        let start = self.line_start as usize;
        slab.get(start..start + self.line_len() as usize).unwrap_or_default()
    }

    /// The structured metadata without the level, given the slab's bytes.
    pub(crate) fn metadata(self, slab: &[u8]) -> MetadataIter<'_> {
        metadata_at(slab, self.metadata_start)
    }

    /// Bytes that count against limits: the line, and names and values of metadata.
    pub(crate) fn counted_bytes(self, slab: &[u8]) -> u64 {
        let line = u64::from(self.line_len());
        if !self.has_metadata() {
            return line;
        }
        let pair = |(name, value): (&str, &str)| (name.len() + value.len()) as u64;
        line + self.metadata(slab).map(pair).sum::<u64>()
    }

    /// Whether segments take a row as large as this.
    pub(crate) fn fits_segments(self, slab: &[u8]) -> bool {
        let line = self.line_len();
        let metadata = || self.counted_bytes(slab) - u64::from(line);
        line <= LINE_BYTES_MAX && (!self.has_metadata() || metadata() <= METADATA_BYTES_MAX)
    }

    /// Whether two rows of equal time are the same entry.
    pub(crate) fn is_same(self, slab: &[u8], other: Self, other_slab: &[u8]) -> bool {
        self.length_and_level == other.length_and_level
            && self.has_metadata() == other.has_metadata()
            && self.line(slab) == other.line(other_slab)
            && is_same_metadata(self.metadata(slab), other.metadata(other_slab))
    }

    /// A hash of what makes the entry itself, its time left out: line, level and metadata. The
    /// order of metadata does not count.
    pub(crate) fn identity(self, slab: &[u8]) -> u128 {
        let line = xxh3_128(self.line(slab)).wrapping_add(u128::from(self.level_code()));
        self.metadata(slab).fold(line, |sum, (name, value)| {
            let seed = xxh3_64_with_seed(name.as_bytes(), 1);
            sum.wrapping_add(xxh3_128_with_seed(value.as_bytes(), seed))
        })
    }
}

/// Whether both hold the same pairs, in whatever order.
fn is_same_metadata(left: MetadataIter<'_>, right: MetadataIter<'_>) -> bool {
    if left.clone().eq(right.clone()) {
        return true;
    }
    let (mut left, mut right): (Vec<_>, Vec<_>) = (left.collect(), right.collect());
    left.sort_unstable();
    right.sort_unstable();
    left == right
}

/// The bytes of a slab.
pub(crate) fn slab_bytes(slabs: &Slabs, slab: u32) -> &[u8] {
    slabs.get(slab as usize).map_or(&[], |bytes| bytes)
}
