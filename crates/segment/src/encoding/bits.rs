//! Numbers of a fixed bit width, packed from the lowest bit up.

use crate::error::Result;

use super::cursor::Cursor;

/// Bytes that `count` numbers of `width` bits take.
pub(crate) fn packed_len(count: usize, width: u32) -> usize {
    (count * width as usize).div_ceil(8)
}

/// Bits needed for any number below `count`.
pub(crate) fn width_below(count: usize) -> u32 {
    usize::BITS - count.saturating_sub(1).leading_zeros()
}

/// Appends numbers of at most `width` bits, `width` up to 64.
pub(crate) fn pack(values: impl Iterator<Item = u64>, width: u32, out: &mut Vec<u8>) {
    if width == 0 {
        return;
    }
    let mut pending = 0u64;
    let mut bits = 0;
    for value in values {
        pending |= value << bits;
        bits += width;
        if bits >= 64 {
            out.extend_from_slice(&pending.to_le_bytes());
            bits -= 64;
            // The upper bits of the value, which may be none or all: two shifts of less than 64.
            pending = value >> 1 >> (width - bits - 1);
        }
    }
    out.extend_from_slice(&pending.to_le_bytes()[..bits.div_ceil(8) as usize]);
}

/// How many numbers [`unpack_group`] reads at a time.
pub(crate) const GROUP: usize = 128;

/// Reads up to [`GROUP`] numbers of `width` bits, `width` up to 64, into the front of `out`.
pub(crate) fn unpack_group(
    cursor: &mut Cursor<'_>,
    count: usize,
    width: u32,
    out: &mut [u64; GROUP],
) -> Result<()> {
    let packed = cursor.take(packed_len(count, width))?;
    // The padding lets every number be read with one unaligned load.
    let mut padded = [0u8; GROUP * 8 + 16];
    padded[..packed.len()].copy_from_slice(packed);
    let width = width as usize;
    if width <= 56 {
        let mask = (1u64 << width) - 1;
        for (index, value) in out[..count].iter_mut().enumerate() {
            let bit = index * width;
            let mut word = [0; 8];
            word.copy_from_slice(&padded[bit / 8..bit / 8 + 8]);
            *value = u64::from_le_bytes(word) >> (bit % 8) & mask;
        }
    } else {
        let mask = u64::MAX >> (64 - width);
        for (index, value) in out[..count].iter_mut().enumerate() {
            let bit = index * width;
            let mut word = [0; 16];
            word.copy_from_slice(&padded[bit / 8..bit / 8 + 16]);
            *value = (u128::from_le_bytes(word) >> (bit % 8)) as u64 & mask;
        }
    }
    Ok(())
}

/// Reads `count` numbers of `width` bits; the caller has bounded `count`.
pub(crate) fn unpack(cursor: &mut Cursor<'_>, count: usize, width: u32) -> Result<Vec<u64>> {
    if cursor.remaining() < packed_len(count, width) {
        return Err(cursor.corrupt());
    }
    let mut values = Vec::with_capacity(count);
    let mut group = [0; GROUP];
    while values.len() < count {
        // Full groups end on a byte, whatever the width.
        let len = GROUP.min(count - values.len());
        unpack_group(cursor, len, width, &mut group)?;
        values.extend_from_slice(&group[..len]);
    }
    Ok(values)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn widths() {
        assert_eq!([0, 1, 2, 3, 4, 5, 256, 257].map(width_below), [0, 0, 1, 2, 2, 3, 8, 9]);
    }

    proptest! {
        #[test]
        fn numbers_round_trip(width in 0u32..=64, values in prop::collection::vec(any::<u64>(), 0..300)) {
            let mask = if width == 0 { 0 } else { u64::MAX >> (64 - width) };
            let values: Vec<u64> = values.into_iter().map(|value| value & mask).collect();
            let mut out = Vec::new();
            pack(values.iter().copied(), width, &mut out);
            prop_assert_eq!(out.len(), packed_len(values.len(), width));
            let mut cursor = Cursor::new(&out, "test");
            prop_assert_eq!(unpack(&mut cursor, values.len(), width), Ok(values));
            prop_assert!(cursor.finish().is_ok());
        }
    }
}
