//! Blocks: the row groups of a segment, as its index describes them.

pub(crate) mod index;

use std::ops::Range;
use std::sync::Arc;

use model::Timestamp;

/// What the index knows of a block without reading it. Ranges are offsets into the object.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockMeta {
    /// Which block of the segment it is, from 0.
    pub ordinal: u32,
    /// How many rows.
    pub rows: u32,
    /// Bytes of all lines, without separators.
    pub raw_bytes: u64,
    /// Time of the earliest row.
    pub first: Timestamp,
    /// Time of the latest row.
    pub last: Timestamp,
    /// Bit `c` is set when some row has the level of code `c`; bit 0: some row has none; bit 9:
    /// some row has a `detected_level` that is no known level.
    pub levels: u16,
    /// Which rows belong to which stream, in row order; streams ascend.
    pub runs: Arc<[BlockRun]>,
    /// Where [`crate::decode_timestamps`] finds its bytes.
    pub timestamps: Range<u64>,
    /// Where [`crate::decode_lengths`] finds its bytes. Empty when the lines tell: then
    /// [`crate::decode_line_lengths`] finds them at [`BlockMeta::lines`].
    pub lengths: Range<u64>,
    /// Where [`crate::decode_lines`] finds its bytes.
    pub lines: Range<u64>,
    /// Structured metadata and the detected level, by ascending name.
    pub metadata: Arc<[MetadataColumn]>,
    /// How the lines are encoded.
    pub codec: LineCodec,
}

/// Consecutive rows of one stream in a block.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BlockRun {
    /// The stream, as an ordinal of the segment's [`crate::StreamTable`].
    pub stream: u32,
    /// How many rows; at least one.
    pub rows: u32,
}

/// One column of structured metadata of a block.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MetadataColumn {
    /// The pair's name.
    pub name: Arc<str>,
    /// Which block of the segment it belongs to.
    pub block: u32,
    /// How many rows the block has.
    pub rows: u32,
    /// Where [`crate::decode_metadata`] finds its bytes.
    pub range: Range<u64>,
}

/// How a block keeps its lines.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[repr(u8)]
#[non_exhaustive]
pub enum LineCodec {
    /// The lines themselves, each followed by a separator, in one zstd frame.
    Zstd = 0,
    /// Shapes and columns; see `docs/format/segment.md`.
    Columns = 1,
}

impl LineCodec {
    /// The codec of a stored code.
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        match code {
            0 => Some(Self::Zstd),
            1 => Some(Self::Columns),
            _ => None,
        }
    }
}

impl BlockMeta {
    /// The runs with their rows as indices into the block.
    pub fn run_rows(&self) -> impl Iterator<Item = (u32, Range<usize>)> {
        let mut start = 0;
        self.runs.iter().map(move |run| {
            let rows = start..start + run.rows as usize;
            start = rows.end;
            (run.stream, rows)
        })
    }

    /// The column of a name, if some row of the block has such a pair.
    #[must_use]
    pub fn metadata_named(&self, name: &str) -> Option<&MetadataColumn> {
        let at = self.metadata.binary_search_by(|column| (*column.name).cmp(name)).ok()?;
        self.metadata.get(at)
    }
}
