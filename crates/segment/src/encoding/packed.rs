//! Sequences of signed numbers, packed in groups of 128.
//!
//! Each group stores its numbers as distances from its smallest one, in units of the largest of
//! 1, 10³, 10⁶ and 10⁹ that divides them all, or of 2⁸: times that went through floating point are
//! multiples of that. The distances share one width, chosen so that the
//! group is smallest; those that need more bits are exceptions, whose upper bits are packed behind
//! the group together with where they stand. Log times come in bursts with pauses between them,
//! so a group often has two kinds of distance.

use crate::error::Result;

use super::bits::{GROUP, pack, packed_len, unpack, unpack_group};
use super::cursor::{Cursor, put_signed};

/// The units, by code.
const UNITS: [i64; 5] = [1, 1_000, 1_000_000, 1_000_000_000, 1 << 8];
/// How many of them are decimal.
const DECIMAL_UNITS: usize = 4;
/// The code of the unit that is not.
const BINARY_UNIT: usize = 4;
/// Set in the second byte of a group that has exceptions.
const HAS_EXCEPTIONS: u8 = 0x80;
/// Bytes of a bitmap over a group.
const BITMAP_BYTES: usize = GROUP / 8;

/// Appends a sequence; the reader must know how many numbers it holds.
pub(crate) fn encode(values: &[i64], out: &mut Vec<u8>) {
    for group in values.chunks(GROUP) {
        encode_group(group, out);
    }
}

/// Reads `count` numbers onto the end of `out`; the caller has bounded `count`.
pub(crate) fn decode(cursor: &mut Cursor<'_>, count: usize, out: &mut Vec<i64>) -> Result<()> {
    out.reserve(count);
    let mut left = count;
    while left > 0 {
        let len = left.min(GROUP);
        decode_group(cursor, len, out)?;
        left -= len;
    }
    Ok(())
}

/// Passes over `count` numbers.
pub(crate) fn skip(cursor: &mut Cursor<'_>, count: usize) -> Result<()> {
    let mut left = count;
    while left > 0 {
        let len = left.min(GROUP);
        let width = u32::from(cursor.u8()?);
        let flags = cursor.u8()?;
        cursor.signed()?;
        if width > 64 {
            return Err(cursor.corrupt());
        }
        cursor.take(packed_len(len, width))?;
        if flags & HAS_EXCEPTIONS != 0 {
            let exceptions = usize::from(cursor.u8()?);
            let upper_width = u32::from(cursor.u8()?);
            cursor.take(exceptions.min(BITMAP_BYTES))?;
            cursor.take(packed_len(exceptions, upper_width))?;
        }
        left -= len;
    }
    Ok(())
}

fn encode_group(group: &[i64], out: &mut Vec<u8>) {
    let code = unit_code(group);
    let mut distances = [0u64; GROUP];
    let distances = &mut distances[..group.len()];
    let unit = UNITS[code];
    let base = group.iter().copied().min().unwrap_or(0) / unit;
    for (distance, value) in distances.iter_mut().zip(group) {
        let scaled = if code == 0 { *value } else { value / unit };
        *distance = scaled.wrapping_sub(base) as u64;
    }
    let (width, upper_width) = best_widths(distances);
    let mask = if width == 0 { 0 } else { u64::MAX >> (64 - width) };
    out.push(width as u8);
    out.push(code as u8 | if upper_width > 0 { HAS_EXCEPTIONS } else { 0 });
    put_signed(out, base);
    pack(distances.iter().map(|distance| distance & mask), width, out);
    if upper_width > 0 {
        encode_exceptions(distances, width, upper_width, out);
    }
}

/// Appends where the distances wider than `width` stand, and their upper bits.
fn encode_exceptions(distances: &[u64], width: u32, upper_width: u32, out: &mut Vec<u8>) {
    let mut places = [0u8; GROUP];
    let mut upper = [0u64; GROUP];
    let mut count = 0;
    for (index, distance) in distances.iter().enumerate() {
        if distance >> width > 0 {
            places[count] = index as u8;
            upper[count] = distance >> width;
            count += 1;
        }
    }
    out.push(count as u8);
    out.push(upper_width as u8);
    if count <= BITMAP_BYTES {
        out.extend_from_slice(&places[..count]);
    } else {
        let mut bitmap = [0u8; BITMAP_BYTES];
        for place in &places[..count] {
            bitmap[usize::from(place / 8)] |= 1 << (place % 8);
        }
        out.extend_from_slice(&bitmap);
    }
    pack(upper[..count].iter().copied(), upper_width, out);
}

fn unit_code(group: &[i64]) -> usize {
    let mut code = 0;
    // Each unit divides the next: the first that does not divide all ends the search.
    while code + 1 < DECIMAL_UNITS && group.iter().all(|value| value % UNITS[code + 1] == 0) {
        code += 1;
    }
    let is_binary = code == 0 && group.iter().fold(0, |bits, value| bits | value) & 0xff == 0;
    if is_binary { BINARY_UNIT } else { code }
}

/// The width for which a group is smallest, and the width of what exceptions have above it; the
/// latter is 0 when there are none.
fn best_widths(distances: &[u64]) -> (u32, u32) {
    let mut with_bits = [0usize; 65];
    for distance in distances {
        with_bits[64 - distance.leading_zeros() as usize] += 1;
    }
    let widest = with_bits.iter().rposition(|count| *count > 0).unwrap_or(0) as u32;
    let mut best = (packed_len(distances.len(), widest), widest);
    let mut exceptions = 0;
    for width in (0..widest).rev() {
        exceptions += with_bits[width as usize + 1];
        let list = 2 + exceptions.min(BITMAP_BYTES) + packed_len(exceptions, widest - width);
        let total = packed_len(distances.len(), width) + list;
        if total < best.0 {
            best = (total, width);
        }
    }
    (best.1, widest - best.1)
}

fn decode_group(cursor: &mut Cursor<'_>, len: usize, out: &mut Vec<i64>) -> Result<()> {
    let width = u32::from(cursor.u8()?);
    let flags = cursor.u8()?;
    let unit = UNITS.get(usize::from(flags & !HAS_EXCEPTIONS)).copied();
    let (Some(unit), 0..=64) = (unit, width) else { return Err(cursor.corrupt()) };
    let base = cursor.signed()?;
    let mut distances = [0u64; GROUP];
    unpack_group(cursor, len, width, &mut distances)?;
    if flags & HAS_EXCEPTIONS != 0 {
        patch(cursor, width, &mut distances[..len])?;
    }
    let distances = &distances[..len];
    if unit == 1 {
        out.extend(distances.iter().map(|distance| base.wrapping_add(*distance as i64)));
    } else {
        let value = |distance: &u64| base.wrapping_add(*distance as i64).wrapping_mul(unit);
        out.extend(distances.iter().map(value));
    }
    Ok(())
}

/// Adds the upper bits of the exceptions.
fn patch(cursor: &mut Cursor<'_>, width: u32, distances: &mut [u64]) -> Result<()> {
    let count = usize::from(cursor.u8()?);
    let upper_width = u32::from(cursor.u8()?);
    if count > GROUP || width + upper_width > 64 {
        return Err(cursor.corrupt());
    }
    let mut places = [0u8; GROUP];
    if count <= BITMAP_BYTES {
        places[..count].copy_from_slice(cursor.take(count)?);
    } else {
        let bitmap = cursor.take(BITMAP_BYTES)?;
        let set = (0..GROUP as u8).filter(|at| bitmap[usize::from(at / 8)] >> (at % 8) & 1 == 1);
        let mut found = 0;
        for (place, at) in places.iter_mut().zip(set) {
            *place = at;
            found += 1;
        }
        if found != count {
            return Err(cursor.corrupt());
        }
    }
    for (place, upper) in places.iter().zip(unpack(cursor, count, upper_width)?) {
        let distance = distances.get_mut(usize::from(*place)).ok_or_else(|| cursor.corrupt())?;
        // The widths add up to 64 at most; a width of 64 leaves no upper bits.
        *distance |= upper.checked_shl(width).unwrap_or(0);
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn encoded(values: &[i64]) -> Vec<u8> {
        let mut out = Vec::new();
        encode(values, &mut out);
        let mut cursor = Cursor::new(&out, "test");
        let mut decoded = vec![7];
        assert_eq!(decode(&mut cursor, values.len(), &mut decoded), Ok(()));
        assert!(cursor.finish().is_ok());
        assert_eq!(&decoded[1..], values);
        let mut cursor = Cursor::new(&out, "test");
        assert_eq!(skip(&mut cursor, values.len()), Ok(()));
        assert!(cursor.finish().is_ok());
        out
    }

    #[test]
    fn units_and_exceptions_save_space() {
        let seconds: Vec<i64> = (0..128).map(|n| (n % 4) * 1_000_000_000).collect();
        assert_eq!(encoded(&seconds).len(), 3 + 32);
        let mut outlier = vec![1; 128];
        outlier[100] = i64::MAX;
        assert_eq!(encoded(&outlier).len(), 3 + 2 + 1 + 8);
        assert_eq!(encoded(&[5; 128]).len(), 3);
        let floats: Vec<i64> = (0..128).map(|n| n << 8).collect();
        assert_eq!(encoded(&floats).len(), 3 + 128 * 7 / 8);
        assert!(encoded(&[]).is_empty());
    }

    #[test]
    fn two_kinds_of_distance_cost_little_more_than_each() {
        let bursts: Vec<i64> =
            (0..128).map(|n| if n % 5 == 0 { 1 << 33 } else { 7 + n % 100 }).collect();
        let len = encoded(&bursts).len();
        assert!(len < 128 + 16 + 26 * 27 / 8 + 8, "{len}");
    }

    #[test]
    fn extremes_round_trip() {
        encoded(&[i64::MIN, i64::MAX, 0, -1]);
        encoded(&[i64::MIN; 3]);
        encoded(&[i64::MAX / 1_000_000_000 * 1_000_000_000, -1_000_000_000]);
    }

    #[test]
    fn damage_is_an_error_and_never_a_panic() {
        let mut out = Vec::new();
        encode(&[3, 1 << 40, 5], &mut out);
        for cut in 0..out.len() {
            assert!(decode(&mut Cursor::new(&out[..cut], "t"), 3, &mut Vec::new()).is_err());
        }
        for group in [[65, 0, 0], [0, 5, 0], [0, 0x7f, 0]] {
            assert!(decode(&mut Cursor::new(&group, "t"), 1, &mut Vec::new()).is_err());
        }
    }

    proptest! {
        #[test]
        fn sequences_round_trip(
            values in prop::collection::vec(
                prop_oneof![any::<i64>(), -5i64..300, (0i64..9).prop_map(|n| n * 1_000_000)],
                0..400,
            )
        ) {
            encoded(&values);
        }
    }
}
