//! Reading the columns of a block.

use model::columns::{Lines, TextColumn};

use crate::block::{BlockMeta, LineCodec, MetadataColumn};
use crate::column::{lengths, lines, metadata, timestamps};
use crate::encoding::checksum::{ChunkKind, open};
use crate::error::{FormatError, Result};
use crate::shapes::ShapeBlock;

/// Decodes the bytes of [`BlockMeta::timestamps`]: nanoseconds per row.
///
/// # Errors
///
/// [`FormatError`] when the bytes are not that chunk, bit for bit.
pub fn decode_timestamps(meta: &BlockMeta, bytes: &[u8]) -> Result<Vec<i64>> {
    let len = meta.timestamps.end - meta.timestamps.start;
    let payload = open(ChunkKind::Timestamps, meta.ordinal, bytes, len)?;
    timestamps::decode(payload, &meta.runs, meta.rows as usize, (meta.first.0, meta.last.0))
}

/// Decodes the bytes of [`BlockMeta::lengths`]: line bytes per row.
///
/// # Errors
///
/// As [`decode_timestamps`].
pub fn decode_lengths(meta: &BlockMeta, bytes: &[u8]) -> Result<Vec<u32>> {
    let len = meta.lengths.end - meta.lengths.start;
    let payload = open(ChunkKind::Lengths, meta.ordinal, bytes, len)?;
    lengths::decode(payload, meta.rows as usize, meta.raw_bytes)
}

/// Decodes the bytes of [`BlockMeta::lines`], given what [`decode_timestamps`] and
/// [`decode_lengths`] answered.
///
/// # Errors
///
/// As [`decode_timestamps`]; also when timestamps or lengths are not those of this block.
pub fn decode_lines(
    meta: &BlockMeta,
    timestamps: &[i64],
    lengths: &[u32],
    bytes: &[u8],
) -> Result<Lines> {
    let len = meta.lines.end - meta.lines.start;
    let payload = open(ChunkKind::Lines, meta.ordinal, bytes, len)?;
    let total: u64 = lengths.iter().map(|length| u64::from(*length)).sum();
    let rows = meta.rows as usize;
    if timestamps.len() != rows || lengths.len() != rows || total != meta.raw_bytes {
        return Err(FormatError::Corrupt("the timestamps or lengths of another block"));
    }
    match meta.codec {
        LineCodec::Zstd => lines::decode(payload, lengths),
        LineCodec::Columns => {
            ShapeBlock::decode(payload, rows, meta.raw_bytes as usize)?.lines(timestamps, lengths)
        }
    }
}

/// Decodes at least the first `rows` lines from the bytes of [`BlockMeta::lines`].
///
/// # Errors
///
/// As [`decode_lines`].
pub fn decode_first_lines(
    meta: &BlockMeta,
    timestamps: &[i64],
    lengths: &[u32],
    bytes: &[u8],
    rows: usize,
) -> Result<Lines> {
    if rows >= meta.rows as usize || meta.codec != LineCodec::Zstd {
        return decode_lines(meta, timestamps, lengths, bytes);
    }
    let len = meta.lines.end - meta.lines.start;
    let payload = open(ChunkKind::Lines, meta.ordinal, bytes, len)?;
    let total: u64 = lengths.iter().map(|length| u64::from(*length)).sum();
    if lengths.len() != meta.rows as usize || total != meta.raw_bytes {
        return Err(FormatError::Corrupt("the lengths of another block"));
    }
    lines::decode_first(payload, lengths, rows)
}

/// Decodes the bytes of [`MetadataColumn::range`].
///
/// # Errors
///
/// As [`decode_timestamps`].
pub fn decode_metadata(column: &MetadataColumn, bytes: &[u8]) -> Result<TextColumn> {
    let len = column.range.end - column.range.start;
    let payload = open(ChunkKind::Metadata(&column.name), column.block, bytes, len)?;
    metadata::decode(payload, &column.name, column.rows as usize)
}
