//! Line lengths: one packed sequence, or compressed varints where that is smaller by an eighth.
//!
//! Lines that a program writes over and over have lengths that repeat in patterns, which only a
//! compressor sees.

use crate::encoding::cursor::{Cursor, put_varint};
use crate::encoding::frame::{FrameEncoder, decode_blob};
use crate::encoding::packed;
use crate::error::Result;
use crate::limits::LINE_BYTES_MAX;

const PACKED: u8 = 0;
const VARINTS: u8 = 1;
/// Bytes of the longest varint of a length.
const VARINT_BYTES_MAX: usize = 4;

/// Space that encoding reuses from block to block.
#[derive(Default)]
pub(crate) struct Scratch {
    numbers: Vec<i64>,
    varints: Vec<u8>,
    packed: Vec<u8>,
}

/// Appends the lengths of all rows.
pub(crate) fn encode(
    lengths: &[u32],
    scratch: &mut Scratch,
    encoder: &mut FrameEncoder,
    out: &mut Vec<u8>,
) -> Result<()> {
    let Scratch { numbers, varints, packed } = scratch;
    numbers.clear();
    numbers.extend(lengths.iter().map(|length| i64::from(*length)));
    packed.clear();
    packed::encode(numbers, packed);
    varints.clear();
    lengths.iter().for_each(|length| put_varint(varints, u64::from(*length)));
    let start = out.len();
    out.push(VARINTS);
    encoder.append_blob(varints, out)?;
    if (out.len() - start) * 8 > packed.len() * 7 {
        out.truncate(start);
        out.push(PACKED);
        out.extend_from_slice(packed);
    }
    Ok(())
}

/// Reads `rows` lengths that add up to `raw_bytes`.
pub(crate) fn decode(payload: &[u8], rows: usize, raw_bytes: u64) -> Result<Vec<u32>> {
    let mut cursor = Cursor::new(payload, "line lengths");
    let mut lengths = Vec::with_capacity(rows);
    match cursor.u8()? {
        PACKED => {
            let mut numbers = Vec::new();
            packed::decode(&mut cursor, rows, &mut numbers)?;
            for number in numbers {
                lengths.push(u32::try_from(number).map_err(|_| cursor.corrupt())?);
            }
        }
        VARINTS => {
            let varints = decode_blob(&mut cursor, rows * VARINT_BYTES_MAX)?;
            let mut varints = Cursor::new(&varints, "line lengths");
            for _ in 0..rows {
                lengths.push(varints.varint_u32()?);
            }
            varints.finish()?;
        }
        _ => return Err(cursor.corrupt()),
    }
    let total: u64 = lengths.iter().map(|length| u64::from(*length)).sum();
    let longest = lengths.iter().max().copied().unwrap_or(0);
    if total != raw_bytes || longest as usize > LINE_BYTES_MAX {
        return Err(cursor.corrupt());
    }
    cursor.finish()?;
    Ok(lengths)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(lengths: &[u32], form: u8) -> usize {
        let mut encoder = FrameEncoder::new(1).unwrap();
        let mut out = Vec::new();
        encode(lengths, &mut Scratch::default(), &mut encoder, &mut out).unwrap();
        assert_eq!(out[0], form);
        let total = lengths.iter().map(|length| u64::from(*length)).sum();
        assert_eq!(decode(&out, lengths.len(), total).as_deref(), Ok(lengths));
        assert!(decode(&out, lengths.len(), total + 1).is_err());
        for cut in 0..out.len() {
            assert!(decode(&out[..cut], lengths.len(), total).is_err());
        }
        out.len()
    }

    #[test]
    fn lengths_round_trip() {
        check(&[0], PACKED);
        check(&[LINE_BYTES_MAX as u32], PACKED);
        check(&[100; 5000], VARINTS);
        let pattern: Vec<u32> =
            (0..5000u32).map(|row| [31, 400, 77, 3, 120][row as usize % 5]).collect();
        assert!(check(&pattern, VARINTS) < 60);
        let noise =
            |row: u64| (row ^ 0x5bd1).wrapping_mul(0x9e37_79b9_7f4a_7c15).wrapping_pow(3) >> 57;
        let noise: Vec<u32> = (0..5000).map(|row| noise(row) as u32).collect();
        check(&noise, PACKED);
    }
}
