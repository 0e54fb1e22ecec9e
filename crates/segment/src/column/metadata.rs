//! Columns of structured metadata: which rows have the pair, and with which value.

use model::columns::TextColumn;

use crate::encoding::cursor::{Cursor, put_varint};
use crate::encoding::frame::{FrameEncoder, decode_blob};
use crate::encoding::packed;
use crate::error::Result;

use super::values::{self, TextList};
use super::{codes, levels};

/// First byte of a payload: a column of texts.
pub(crate) const TEXTS: u8 = 0;
/// First byte of a payload: detected levels.
pub(crate) const LEVELS: u8 = 1;

const ALL_ROWS: u8 = 0;
const BITMAP: u8 = 1;
const ROW_LIST: u8 = 2;

/// Appends a column: `rows` are those that have a value, ascending; `codes` index `values`.
pub(crate) fn encode(
    (rows, block_rows): (&[u32], usize),
    codes: &[u32],
    values: &TextList,
    encoder: &mut FrameEncoder,
    out: &mut Vec<u8>,
) -> Result<()> {
    out.push(TEXTS);
    encode_presence(rows, block_rows, encoder, out)?;
    put_varint(out, values.len() as u64);
    codes::encode(codes, values.len(), encoder, out)?;
    values::encode(values, encoder, out)
}

fn encode_presence(
    rows: &[u32],
    block_rows: usize,
    encoder: &mut FrameEncoder,
    out: &mut Vec<u8>,
) -> Result<()> {
    if rows.len() == block_rows {
        out.push(ALL_ROWS);
        return Ok(());
    }
    // A gap of a list takes about a byte and a row of a bitmap a bit.
    if rows.len() < block_rows / 8 {
        out.push(ROW_LIST);
        put_varint(out, rows.len() as u64);
        let mut next = 0;
        let gaps: Vec<i64> = rows
            .iter()
            .map(|row| {
                let gap = i64::from(row - next);
                next = row + 1;
                gap
            })
            .collect();
        packed::encode(&gaps, out);
        return Ok(());
    }
    let mut bitmap = vec![0u8; block_rows.div_ceil(8)];
    for row in rows {
        bitmap[*row as usize / 8] |= 1 << (row % 8);
    }
    out.push(BITMAP);
    encoder.append_blob(&bitmap, out)
}

/// Reads a column of a block of `block_rows` rows.
pub(crate) fn decode(payload: &[u8], name: &str, block_rows: usize) -> Result<TextColumn> {
    let mut cursor = Cursor::new(payload, "structured metadata");
    let column = match cursor.u8()? {
        TEXTS => decode_texts(&mut cursor, name, block_rows)?,
        LEVELS => levels::decode(&mut cursor, block_rows)?,
        _ => return Err(cursor.corrupt()),
    };
    cursor.finish()?;
    Ok(column)
}

fn decode_texts(cursor: &mut Cursor<'_>, name: &str, block_rows: usize) -> Result<TextColumn> {
    let rows = decode_presence(cursor, block_rows)?;
    let present = rows.as_ref().map_or(block_rows, Vec::len);
    let distinct = cursor.varint_u32()? as usize;
    if distinct == 0 || distinct > present {
        return Err(cursor.corrupt());
    }
    let mut codes = codes::decode(cursor, present, distinct)?;
    let values = values::decode(cursor, distinct)?;
    for code in &mut codes {
        *code += 1;
    }
    if let Some(rows) = rows {
        let mut spread = vec![0; block_rows];
        for (row, code) in rows.iter().zip(codes) {
            spread[*row as usize] = code;
        }
        codes = spread;
    }
    TextColumn::from_parts(name, codes, values).ok_or_else(|| cursor.corrupt())
}

/// The rows that have a value, ascending and below `block_rows`; `None` when all have.
fn decode_presence(cursor: &mut Cursor<'_>, block_rows: usize) -> Result<Option<Vec<u32>>> {
    match cursor.u8()? {
        ALL_ROWS => Ok(None),
        BITMAP => {
            let len = block_rows.div_ceil(8);
            let bitmap = decode_blob(cursor, len)?;
            if bitmap.len() != len {
                return Err(cursor.corrupt());
            }
            let is_set = |row: &u32| bitmap[*row as usize / 8] >> (row % 8) & 1 == 1;
            Ok(Some((0..block_rows as u32).filter(is_set).collect()))
        }
        ROW_LIST => {
            let count = cursor.varint_u32()? as usize;
            if count > block_rows {
                return Err(cursor.corrupt());
            }
            let mut gaps = Vec::new();
            packed::decode(cursor, count, &mut gaps)?;
            let mut next = 0u64;
            let mut rows = Vec::with_capacity(count);
            for gap in gaps {
                let row = u64::try_from(gap).ok().and_then(|gap| next.checked_add(gap));
                let row = row.filter(|row| *row < block_rows as u64);
                let row = row.ok_or_else(|| cursor.corrupt())?;
                rows.push(row as u32);
                next = row + 1;
            }
            Ok(Some(rows))
        }
        _ => Err(cursor.corrupt()),
    }
}
