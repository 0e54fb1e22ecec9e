//! Numbers of a column: distances from the smallest, or between neighbours.

use std::ops::Range;

use crate::encoding::bits::{pack, packed_len, unpack};
use crate::encoding::cursor::{Cursor, put_signed};
use crate::encoding::packed;
use crate::error::Result;

/// Columns of more numbers are packed in groups.
const ONE_GROUP_MAX: usize = 96;

const WHOLE: u8 = 0;
const WHOLE_STEPS: u8 = 1;
const GROUPS: u8 = 2;
const GROUP_STEPS: u8 = 3;

/// Appends numbers: what describes them to `head`, themselves to `bits`.
pub(super) fn encode(
    values: &mut [i64],
    scratch: &mut Vec<u8>,
    head: &mut Vec<u8>,
    bits: &mut Vec<u8>,
) {
    if values.len() <= ONE_GROUP_MAX {
        let (least, width) = range_of(values.iter().copied());
        let steps = values.array_windows().map(|[a, b]| b.wrapping_sub(*a));
        let (least_step, step_width) = range_of(steps);
        // The first step is taken from the least step, so that it costs no more than others.
        if step_width + 1 < width {
            head.push(WHOLE_STEPS);
            let first = values.first().copied().unwrap_or(0).wrapping_sub(least_step);
            put_signed(head, first);
            into_steps(values, first);
            return one_group(values, least_step, step_width, head, bits);
        }
        head.push(WHOLE);
        return one_group(values, least, width, head, bits);
    }
    let start = bits.len();
    packed::encode(values, bits);
    let plain = bits.len() - start;
    into_steps(values, 0);
    scratch.clear();
    packed::encode(values, scratch);
    if scratch.len() * 16 < plain * 15 {
        bits.truncate(start);
        bits.extend_from_slice(scratch);
        head.push(GROUP_STEPS);
    } else {
        head.push(GROUPS);
    }
}

fn into_steps(values: &mut [i64], mut before: i64) {
    for value in values {
        let step = value.wrapping_sub(before);
        before = *value;
        *value = step;
    }
}

fn one_group(values: &[i64], least: i64, width: u32, head: &mut Vec<u8>, bits: &mut Vec<u8>) {
    put_signed(head, least);
    head.push(width as u8);
    pack(values.iter().map(|value| value.wrapping_sub(least) as u64), width, bits);
}

fn range_of(values: impl Iterator<Item = i64>) -> (i64, u32) {
    let (least, most) = values
        .fold((i64::MAX, i64::MIN), |(least, most), value| (least.min(value), most.max(value)));
    if least > most {
        return (0, 0);
    }
    (least, u64::BITS - (most.wrapping_sub(least) as u64).leading_zeros())
}

/// Numbers whose description was read, and that are read themselves when somebody wants them.
#[derive(Debug)]
pub(super) struct Packed {
    form: u8,
    before: i64,
    least: i64,
    width: u32,
    count: usize,
    /// Where they stand among the bits of all columns.
    at: Range<usize>,
}

impl Packed {
    /// Reads the description of `count` numbers, and passes over the numbers themselves; `bits` is
    /// what is left of `all_bits` bytes.
    pub(super) fn decode(
        head: &mut Cursor<'_>,
        (bits, all_bits): (&mut Cursor<'_>, usize),
        count: usize,
    ) -> Result<Self> {
        let start = all_bits - bits.remaining();
        let form = head.u8()?;
        let (mut before, mut least, mut width) = (0, 0, 0);
        match form {
            WHOLE | WHOLE_STEPS => {
                if form == WHOLE_STEPS {
                    before = head.signed()?;
                }
                least = head.signed()?;
                width = u32::from(head.u8()?);
                if width > 64 {
                    return Err(head.corrupt());
                }
                bits.take(packed_len(count, width))?;
            }
            GROUPS | GROUP_STEPS => packed::skip(bits, count)?,
            _ => return Err(head.corrupt()),
        }
        let at = start..all_bits - bits.remaining();
        Ok(Self { form, before, least, width, count, at })
    }

    /// Reads the numbers from the bits of all columns.
    pub(super) fn read(&self, all_bits: &[u8]) -> Result<Vec<i64>> {
        let mut bits = Cursor::new(all_bits.get(self.at.clone()).unwrap_or_default(), "numbers");
        let mut out = Vec::with_capacity(self.count);
        if matches!(self.form, WHOLE | WHOLE_STEPS) {
            let distances = unpack(&mut bits, self.count, self.width)?;
            let number = |distance: u64| self.least.wrapping_add(distance as i64);
            out.extend(distances.into_iter().map(number));
        } else {
            packed::decode(&mut bits, self.count, &mut out)?;
        }
        if matches!(self.form, WHOLE_STEPS | GROUP_STEPS) {
            let mut before = self.before;
            for value in &mut out {
                before = value.wrapping_add(before);
                *value = before;
            }
        }
        Ok(out)
    }
}
