//! Codes: one small number per row, an index into a list of distinct things.

use crate::encoding::bits::{pack, packed_len, unpack, width_below};
use crate::encoding::cursor::Cursor;
use crate::encoding::frame::{FrameEncoder, decode_blob};
use crate::error::Result;

/// Row `i` has code `i`.
const IDENTITY: u8 = 0;
/// Codes of the fewest bits, packed.
const BITS: u8 = 1;
/// Codes of 1, 2 or 4 bytes as a blob: better where neighbours tend to be equal.
const BYTES: u8 = 2;

/// Appends codes below `distinct`. Nothing is written when there is only one.
pub(crate) fn encode(
    codes: &[u32],
    distinct: usize,
    encoder: &mut FrameEncoder,
    out: &mut Vec<u8>,
) -> Result<()> {
    if distinct <= 1 {
        return Ok(());
    }
    if distinct == codes.len() && (0..).zip(codes).all(|(row, code)| row == *code) {
        out.push(IDENTITY);
        return Ok(());
    }
    let start = out.len();
    out.push(BYTES);
    encoder.append_blob(&as_bytes(codes, distinct), out)?;
    let width = width_below(distinct);
    if out.len() - start > packed_len(codes.len(), width) {
        out.truncate(start);
        out.push(BITS);
        pack(codes.iter().map(|code| u64::from(*code)), width, out);
    }
    Ok(())
}

fn as_bytes(codes: &[u32], distinct: usize) -> Vec<u8> {
    match byte_width(distinct) {
        1 => codes.iter().map(|code| *code as u8).collect(),
        2 => codes.iter().flat_map(|code| (*code as u16).to_le_bytes()).collect(),
        _ => codes.iter().flat_map(|code| code.to_le_bytes()).collect(),
    }
}

fn byte_width(distinct: usize) -> usize {
    match distinct {
        0..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    }
}

/// Reads `count` codes below `distinct`; the caller has bounded both.
pub(crate) fn decode(cursor: &mut Cursor<'_>, count: usize, distinct: usize) -> Result<Vec<u32>> {
    if distinct <= 1 {
        return Ok(vec![0; count]);
    }
    let codes: Vec<u32> = match cursor.u8()? {
        IDENTITY if distinct == count => (0..count as u32).collect(),
        BITS => {
            let wide = unpack(cursor, count, width_below(distinct))?;
            wide.into_iter().map(|code| code as u32).collect()
        }
        BYTES => {
            let width = byte_width(distinct);
            let blob = decode_blob(cursor, count * width)?;
            if blob.len() != count * width {
                return Err(cursor.corrupt());
            }
            blob.chunks_exact(width).map(code_of).collect()
        }
        _ => return Err(cursor.corrupt()),
    };
    if codes.iter().any(|code| *code as usize >= distinct) {
        return Err(cursor.corrupt());
    }
    Ok(codes)
}

fn code_of(bytes: &[u8]) -> u32 {
    let mut word = [0; 4];
    word[..bytes.len()].copy_from_slice(bytes);
    u32::from_le_bytes(word)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(codes: &[u32], distinct: usize) -> usize {
        let mut encoder = FrameEncoder::new(1).unwrap();
        let mut out = Vec::new();
        encode(codes, distinct, &mut encoder, &mut out).unwrap();
        let mut cursor = Cursor::new(&out, "test");
        assert_eq!(decode(&mut cursor, codes.len(), distinct), Ok(codes.to_vec()));
        assert!(cursor.finish().is_ok());
        for cut in 0..out.len() {
            assert!(decode(&mut Cursor::new(&out[..cut], "t"), codes.len(), distinct).is_err());
        }
        out.len()
    }

    #[test]
    fn codes_round_trip() {
        assert_eq!(check(&[0; 1000], 1), 0);
        assert_eq!(check(&(0..1000).collect::<Vec<_>>(), 1000), 1);
        assert!(check(&[2, 1, 0, 2, 2], 3) <= 3);
        let runs: Vec<u32> = (0..6000).map(|row| row / 10).collect();
        assert!(check(&runs, 600) < 3000);
        let mixed: Vec<u32> =
            (0..3000u32).map(|row| row.wrapping_mul(2_654_435_761) >> 22).collect();
        assert!(check(&mixed, 1024) <= 1 + 3000 * 10 / 8);
        check(&[70_000, 0], 70_001);
    }
}
