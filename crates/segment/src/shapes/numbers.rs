//! Numbers of a column: distances from the smallest, or between neighbours.

use std::ops::Range;

use crate::encoding::bits::{pack, packed_len, unpack};
use crate::encoding::cursor::{Cursor, put_signed};
use crate::encoding::packed;
use crate::error::Result;

use super::block::DAMAGED;
use super::frequent::FrequentForm;

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

/// A description of numbers that stand elsewhere.
#[derive(Debug, Clone, Copy)]
pub(super) struct PackedForm {
    form: u8,
    width: u8,
    before: i64,
    least: i64,
}

impl PackedForm {
    /// Reads a description.
    pub(super) fn decode(head: &mut Cursor<'_>) -> Result<Self> {
        let form = head.u8()?;
        let (mut before, mut least, mut width) = (0, 0, 0);
        match form {
            WHOLE | WHOLE_STEPS => {
                if form == WHOLE_STEPS {
                    before = head.signed()?;
                }
                least = head.signed()?;
                width = head.u8()?;
                if width > 64 {
                    return Err(head.corrupt());
                }
            }
            GROUPS | GROUP_STEPS => {}
            _ => return Err(head.corrupt()),
        }
        Ok(Self { form, width, before, least })
    }

    /// Passes over so many numbers.
    pub(super) fn pass(self, bits: &mut Cursor<'_>, count: usize) -> Result<()> {
        match self.form {
            WHOLE | WHOLE_STEPS => bits.take(packed_len(count, u32::from(self.width))).map(drop),
            _ => packed::skip(bits, count),
        }
    }

    /// Reads so many numbers.
    pub(super) fn read(self, bits: &[u8], count: usize) -> Result<Vec<i64>> {
        let mut bits = Cursor::new(bits, "numbers");
        let mut out = Vec::with_capacity(count);
        if matches!(self.form, WHOLE | WHOLE_STEPS) {
            let distances = unpack(&mut bits, count, u32::from(self.width))?;
            let number = |distance: u64| self.least.wrapping_add(distance as i64);
            out.extend(distances.into_iter().map(number));
        } else {
            packed::decode(&mut bits, count, &mut out)?;
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

/// How a list of numbers is kept.
#[derive(Debug)]
pub(super) enum NumberForm {
    /// So many, all packed.
    Packed(PackedForm, usize),
    /// Some as codes.
    Frequent(FrequentForm),
}

impl NumberForm {
    /// How the packed ones are.
    pub(super) fn packed(&self) -> PackedForm {
        match self {
            Self::Packed(form, _) => *form,
            Self::Frequent(frequent) => frequent.rest,
        }
    }

    /// How many are packed.
    pub(super) fn packed_count<'c>(&self, codes: impl Fn() -> Option<&'c [u8]>) -> Result<usize> {
        match self {
            Self::Packed(_, count) => Ok(*count),
            Self::Frequent(frequent) => frequent.packed_count(codes().ok_or(DAMAGED)?),
        }
    }

    /// Reads the list, given where the packed numbers stand and how many they are.
    pub(super) fn read<'c>(
        &self,
        (at, count): (Range<usize>, usize),
        all_bits: &[u8],
        codes: impl Fn() -> Option<&'c [u8]>,
    ) -> Result<Vec<i64>> {
        let packed = self.packed().read(all_bits.get(at).ok_or(DAMAGED)?, count)?;
        match self {
            Self::Packed(..) => Ok(packed),
            Self::Frequent(frequent) => frequent.read(codes().ok_or(DAMAGED)?, packed),
        }
    }
}
