//! Numbers of a column: distances from the smallest, or between neighbours.

use crate::encoding::bits::{pack, unpack};
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

/// Reads `count` numbers onto the end of `out`.
pub(super) fn decode(
    head: &mut Cursor<'_>,
    bits: &mut Cursor<'_>,
    count: usize,
    out: &mut Vec<i64>,
) -> Result<()> {
    let form = head.u8()?;
    let start = out.len();
    let mut before = 0;
    match form {
        WHOLE | WHOLE_STEPS => {
            if form == WHOLE_STEPS {
                before = head.signed()?;
            }
            let least = head.signed()?;
            let width = u32::from(head.u8()?);
            if width > 64 {
                return Err(head.corrupt());
            }
            let distances = unpack(bits, count, width)?;
            out.extend(distances.into_iter().map(|distance| least.wrapping_add(distance as i64)));
        }
        GROUPS | GROUP_STEPS => packed::decode(bits, count, out)?,
        _ => return Err(head.corrupt()),
    }
    if matches!(form, WHOLE_STEPS | GROUP_STEPS) {
        for value in &mut out[start..] {
            before = value.wrapping_add(before);
            *value = before;
        }
    }
    Ok(())
}
