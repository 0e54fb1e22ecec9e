//! Reading the columns of a block.

use bytes::Bytes;
use model::columns::{Lines, TextColumn};

use crate::block::{BlockMeta, LineCodec, MetadataColumn};
use crate::column::{lengths, lines, metadata, timestamps};
use crate::encoding::checksum::{ChunkKind, open};
use crate::error::{FormatError, Result};
use crate::shapes::{LineColumns, ShapeBlock};

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

/// Decodes the bytes of [`BlockMeta::lengths`]: line bytes per row, or nothing at all when that
/// range is empty.
///
/// # Errors
///
/// As [`decode_timestamps`].
pub fn decode_lengths(meta: &BlockMeta, bytes: &[u8]) -> Result<Vec<u32>> {
    let len = meta.lengths.end - meta.lengths.start;
    if len == 0 && bytes.is_empty() {
        return Ok(Vec::new());
    }
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
    decode_first_lines(meta, timestamps, lengths, bytes, meta.rows as usize)
}

/// Decodes at least the first `wanted` lines from the bytes of [`BlockMeta::lines`].
///
/// # Errors
///
/// As [`decode_lines`].
pub fn decode_first_lines(
    meta: &BlockMeta,
    timestamps: &[i64],
    lengths: &[u32],
    bytes: &[u8],
    wanted: usize,
) -> Result<Lines> {
    let len = meta.lines.end - meta.lines.start;
    let payload = open(ChunkKind::Lines, meta.ordinal, bytes, len)?;
    let total: u64 = lengths.iter().map(|length| u64::from(*length)).sum();
    let rows = meta.rows as usize;
    let are_known = lengths.len() == rows && total == meta.raw_bytes;
    let are_left_out = lengths.is_empty() && meta.lengths.is_empty();
    if timestamps.len() != rows || !(are_known || are_left_out) {
        return Err(FormatError::Corrupt("the timestamps or lengths of another block"));
    }
    match meta.codec {
        LineCodec::Zstd if !are_known => Err(FormatError::Corrupt("a block without line lengths")),
        LineCodec::Zstd if wanted < rows => lines::decode_first(payload, lengths, wanted),
        LineCodec::Zstd => lines::decode(payload, lengths),
        LineCodec::Columns => {
            let lines = ShapeBlock::decode(payload, rows, raw_bytes(meta))?.lines(timestamps)?;
            let is_right = are_left_out
                || lengths.iter().enumerate().all(|(row, len)| lines.row_len(row) == *len as usize);
            if is_right { Ok(lines) } else { Err(FormatError::Corrupt("line lengths")) }
        }
    }
}

/// Reads from the bytes of [`BlockMeta::lines`] how many bytes each line has, where
/// [`BlockMeta::lengths`] is empty.
///
/// # Errors
///
/// As [`decode_timestamps`]; also when the block keeps its lengths elsewhere.
pub fn decode_line_lengths(meta: &BlockMeta, bytes: &[u8]) -> Result<Vec<u32>> {
    match decode_columns(meta, bytes)? {
        Some(columns) => columns.lengths(),
        None => Err(FormatError::Corrupt("a block without line lengths")),
    }
}

/// Reads the bytes of [`BlockMeta::lines`] as columns, without building lines; `None` when the
/// block does not keep its lines that way.
///
/// # Errors
///
/// As [`decode_timestamps`].
pub fn decode_columns(meta: &BlockMeta, bytes: &[u8]) -> Result<Option<LineColumns>> {
    open_columns(meta, &Bytes::copy_from_slice(bytes))
}

/// As [`decode_columns`], without a copy: what is not wanted at once is read from `bytes` later.
///
/// # Errors
///
/// As [`decode_timestamps`].
pub fn open_columns(meta: &BlockMeta, bytes: &Bytes) -> Result<Option<LineColumns>> {
    if meta.codec != LineCodec::Columns {
        return Ok(None);
    }
    let len = meta.lines.end - meta.lines.start;
    let payload = open(ChunkKind::Lines, meta.ordinal, bytes, len)?;
    let payload = bytes.slice_ref(payload);
    let block = ShapeBlock::open(payload, meta.rows as usize, raw_bytes(meta))?;
    Ok(Some(LineColumns::new(block)))
}

fn raw_bytes(meta: &BlockMeta) -> usize {
    // The index has checked it against the limit of a block.
    meta.raw_bytes as usize
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
