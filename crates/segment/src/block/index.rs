//! The section BLOCKS: what the footer knows of every block.
//!
//! Only lengths are stored. The chunks of a region lie side by side (lines in block order, metadata
//! by name and then block, lengths and timestamps in block order), so their places follow by
//! adding up.

use std::sync::Arc;

use model::Timestamp;

use crate::encoding::cursor::{Cursor, put_bytes, put_signed, put_varint};
use crate::error::{FormatError, Result};
use crate::limits::{BLOCK_BYTES_MAX, BLOCK_ROWS_MAX, BLOCKS_MAX};

use super::{BlockMeta, BlockRun, LineCodec, MetadataColumn};

/// A block as the writer knows it: chunk lengths instead of places.
pub(crate) struct BlockRecord {
    pub(crate) rows: u32,
    pub(crate) raw_bytes: u64,
    pub(crate) first: i64,
    pub(crate) last: i64,
    pub(crate) levels: u16,
    pub(crate) codec: LineCodec,
    pub(crate) runs: Vec<BlockRun>,
    /// Lengths of the chunks of timestamps, line lengths and lines.
    pub(crate) chunks: [u64; 3],
    /// Metadata columns by name: index into the names, and chunk length.
    pub(crate) metadata: Vec<(u32, u64)>,
}

/// Appends the section; `names` are the metadata names in order.
pub(crate) fn encode(names: &[&str], blocks: &[BlockRecord], out: &mut Vec<u8>) {
    put_varint(out, names.len() as u64);
    names.iter().for_each(|name| put_bytes(out, name.as_bytes()));
    put_varint(out, blocks.len() as u64);
    let mut before = 0i64;
    let mut stream = 0;
    for block in blocks {
        put_varint(out, u64::from(block.rows));
        put_varint(out, block.raw_bytes);
        put_signed(out, block.first.wrapping_sub(before));
        put_varint(out, block.last.wrapping_sub(block.first) as u64);
        before = block.first;
        put_varint(out, u64::from(block.levels));
        out.push(block.codec as u8);
        block.chunks.iter().for_each(|len| put_varint(out, *len));
        put_varint(out, block.metadata.len() as u64);
        let mut next_name = 0;
        for (name, len) in &block.metadata {
            put_varint(out, u64::from(name - next_name));
            put_varint(out, *len);
            next_name = name + 1;
        }
        put_varint(out, block.runs.len() as u64);
        for run in &block.runs {
            put_varint(out, u64::from(run.stream - stream));
            put_varint(out, u64::from(run.rows));
            stream = run.stream;
        }
    }
}

/// Reads the section of a segment with `streams` streams whose regions begin at `start`.
///
/// Answers the blocks and where the regions end.
pub(crate) fn decode(bytes: &[u8], streams: usize, start: u64) -> Result<(Vec<BlockMeta>, u64)> {
    let mut cursor = Cursor::new(bytes, "block index");
    let mut names: Vec<Arc<str>> = Vec::new();
    for _ in 0..cursor.count(1)? {
        let name: Arc<str> = cursor.text()?.into();
        if names.last().is_some_and(|before| *before >= name) {
            return Err(cursor.corrupt());
        }
        names.push(name);
    }
    let count = cursor.count(12)?;
    if count > BLOCKS_MAX {
        return Err(cursor.corrupt());
    }
    let mut blocks = Vec::with_capacity(count);
    let mut columns = Vec::with_capacity(count);
    let (mut before, mut stream) = (0i64, 0u32);
    for ordinal in 0..count as u32 {
        let mut block = decode_block(&mut cursor, ordinal, before)?;
        before = block.first.0;
        columns.push(decode_columns(&mut cursor, names.len())?);
        block.runs = decode_runs(&mut cursor, block.rows, streams, &mut stream)?;
        blocks.push(block);
    }
    cursor.finish()?;
    let end = place(&mut blocks, &columns, &names, start)?;
    Ok((blocks, end))
}

/// Reads the numbers of a block; its ranges begin at 0 until [`place`] moves them.
fn decode_block(cursor: &mut Cursor<'_>, ordinal: u32, before: i64) -> Result<BlockMeta> {
    let rows = cursor.varint_u32()?;
    let raw_bytes = cursor.varint()?;
    let first = before.wrapping_add(cursor.signed()?);
    let last = first.checked_add_unsigned(cursor.varint()?).ok_or_else(|| cursor.corrupt())?;
    let levels = u16::try_from(cursor.varint()?).map_err(|_| cursor.corrupt())?;
    let codec = cursor.u8()?;
    let codec = LineCodec::from_code(codec)
        .ok_or_else(|| FormatError::Unsupported(format!("line codec {codec}")))?;
    let is_sound = (1..=BLOCK_ROWS_MAX as u32).contains(&rows)
        && raw_bytes <= BLOCK_BYTES_MAX as u64
        && (1..1 << 10).contains(&levels);
    if !is_sound {
        return Err(cursor.corrupt());
    }
    Ok(BlockMeta {
        ordinal,
        rows,
        raw_bytes,
        first: Timestamp(first),
        last: Timestamp(last),
        levels,
        runs: Arc::default(),
        timestamps: 0..cursor.varint()?,
        lengths: 0..cursor.varint()?,
        lines: 0..cursor.varint()?,
        metadata: Arc::default(),
        codec,
    })
}

/// Reads which metadata columns a block has, as indices into the names and chunk lengths.
fn decode_columns(cursor: &mut Cursor<'_>, names: usize) -> Result<Vec<(usize, u64)>> {
    let count = cursor.count(2)?;
    let mut columns = Vec::with_capacity(count.min(names));
    let mut next_name = 0usize;
    for _ in 0..count {
        let name = next_name.saturating_add(cursor.varint_u32()? as usize);
        if name >= names {
            return Err(cursor.corrupt());
        }
        columns.push((name, cursor.varint()?));
        next_name = name + 1;
    }
    Ok(columns)
}

/// Reads the runs of a block: its rows, by streams that ascend.
fn decode_runs(
    cursor: &mut Cursor<'_>,
    rows: u32,
    streams: usize,
    stream: &mut u32,
) -> Result<Arc<[BlockRun]>> {
    let count = cursor.count(2)?;
    let mut runs = Vec::with_capacity(count);
    let mut left = rows;
    for index in 0..count {
        let step = cursor.varint_u32()?;
        let next = stream.checked_add(step).filter(|next| (*next as usize) < streams);
        let run_rows = cursor.varint_u32()?;
        let rest = left.checked_sub(run_rows);
        let (Some(next), Some(rest)) = (next, rest) else { return Err(cursor.corrupt()) };
        if run_rows == 0 || (index > 0 && step == 0) {
            return Err(cursor.corrupt());
        }
        runs.push(BlockRun { stream: next, rows: run_rows });
        (*stream, left) = (next, rest);
    }
    if left == 0 { Ok(runs.into()) } else { Err(cursor.corrupt()) }
}

/// Moves every range to its place; answers where the last region ends.
fn place(
    blocks: &mut [BlockMeta],
    columns: &[Vec<(usize, u64)>],
    names: &[Arc<str>],
    start: u64,
) -> Result<u64> {
    let mut at = start;
    let mut next = |len: u64| -> Result<std::ops::Range<u64>> {
        let end = at.checked_add(len).ok_or(FormatError::Corrupt("block index"))?;
        let range = at..end;
        at = end;
        Ok(range)
    };
    for block in &mut *blocks {
        block.lines = next(block.lines.end)?;
    }
    let mut by_name: Vec<(usize, usize, u64)> = Vec::new();
    for (block, columns) in columns.iter().enumerate() {
        by_name.extend(columns.iter().map(|(name, len)| (*name, block, *len)));
    }
    by_name.sort_unstable();
    let mut placed: Vec<Vec<MetadataColumn>> = vec![Vec::new(); blocks.len()];
    for (name, block, len) in by_name {
        placed[block].push(MetadataColumn {
            name: names[name].clone(),
            block: block as u32,
            rows: blocks[block].rows,
            range: next(len)?,
        });
    }
    for (block, placed) in blocks.iter_mut().zip(placed) {
        block.metadata = placed.into();
        block.lengths = next(block.lengths.end)?;
    }
    for block in &mut *blocks {
        block.timestamps = next(block.timestamps.end)?;
    }
    Ok(at)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn records() -> Vec<BlockRecord> {
        let record = |first, runs: &[(u32, u32)], metadata: &[(u32, u64)]| BlockRecord {
            rows: runs.iter().map(|(_, rows)| rows).sum(),
            raw_bytes: 100,
            first,
            last: i64::MAX,
            levels: 1,
            codec: LineCodec::Zstd,
            runs: runs.iter().map(|&(stream, rows)| BlockRun { stream, rows }).collect(),
            chunks: [10, 20, 30],
            metadata: metadata.to_vec(),
        };
        vec![
            record(i64::MIN, &[(0, 3), (2, 1)], &[(0, 5), (1, 6)]),
            record(7, &[(2, 1), (3, 9)], &[(1, 7)]),
        ]
    }

    #[test]
    fn places_follow_from_lengths() {
        let mut out = Vec::new();
        encode(&["a", "b"], &records(), &mut out);
        let (blocks, end) = decode(&out, 4, 32).unwrap();
        assert_eq!(end, 32 + 2 * 60 + 5 + 6 + 7);
        let ranges = |block: &BlockMeta| {
            let metadata: Vec<_> =
                block.metadata.iter().map(|c| (c.name.to_string(), c.range.clone())).collect();
            (block.lines.clone(), metadata, block.lengths.clone(), block.timestamps.clone())
        };
        let text = str::to_owned;
        assert_eq!(
            ranges(&blocks[0]),
            (32..62, vec![(text("a"), 92..97), (text("b"), 97..103)], 110..130, 150..160)
        );
        assert_eq!(ranges(&blocks[1]), (62..92, vec![(text("b"), 103..110)], 130..150, 160..170));
        assert_eq!(blocks[0].runs.len(), 2);
        assert_eq!((blocks[1].first.0, blocks[1].last.0), (7, i64::MAX));
        assert!(blocks[0].metadata_named("b").is_some());
        assert!(blocks[1].metadata_named("a").is_none());
    }

    #[test]
    fn damage_is_an_error() {
        let mut out = Vec::new();
        encode(&["a", "b"], &records(), &mut out);
        assert!(decode(&out, 3, 32).is_err(), "a run of a stream that does not exist");
        assert!(decode(&out, 4, u64::MAX - 60).is_err(), "ranges past the end of numbers");
        for cut in 0..out.len() {
            assert!(decode(&out[..cut], 4, 32).is_err());
        }
        for at in 0..out.len() {
            for flip in [1, 0x80] {
                out[at] ^= flip;
                let _ = decode(&out, 4, 32);
                out[at] ^= flip;
            }
        }
    }
}
