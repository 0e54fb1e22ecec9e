//! Timestamps: the first of every run, then the steps within the runs.
//!
//! A payload is one byte that says what the steps are, the packed distances between the firsts of
//! neighbouring runs, and the packed steps of all runs one after the other. Steps are differences
//! between neighbours or, where that is a tenth smaller, differences of those.

use crate::block::BlockRun;
use crate::encoding::cursor::{Cursor, put_signed};
use crate::encoding::packed;
use crate::error::{FormatError, Result};

const STEPS: u8 = 0;
const STEPS_OF_STEPS: u8 = 1;

/// Space that encoding reuses from block to block.
#[derive(Default)]
pub(crate) struct Scratch {
    firsts: Vec<i64>,
    steps: Vec<i64>,
    plain: Vec<u8>,
    doubled: Vec<u8>,
}

/// Appends the times of all rows, which ascend within each run.
pub(crate) fn encode(
    timestamps: &[i64],
    runs: &[BlockRun],
    scratch: &mut Scratch,
    out: &mut Vec<u8>,
) {
    let Scratch { firsts, steps, plain, doubled } = scratch;
    for buffer in [&mut *firsts, &mut *steps] {
        buffer.clear();
    }
    let mut start = 0;
    for run in runs {
        let times = &timestamps[start..start + run.rows as usize];
        start += times.len();
        firsts.push(times[0]);
        steps.extend(times.windows(2).map(|pair| pair[1].wrapping_sub(pair[0])));
    }
    plain.clear();
    packed::encode(steps, plain);
    // In place, from the back: each step becomes its distance from the one before.
    for at in (1..steps.len()).rev() {
        steps[at] = steps[at].wrapping_sub(steps[at - 1]);
    }
    doubled.clear();
    packed::encode(steps, doubled);
    let (mode, steps) = if doubled.len() * 10 <= plain.len() * 9 {
        (STEPS_OF_STEPS, doubled)
    } else {
        (STEPS, plain)
    };
    out.push(mode);
    encode_firsts(firsts, out);
    out.extend_from_slice(steps);
}

fn encode_firsts(firsts: &mut [i64], out: &mut Vec<u8>) {
    put_signed(out, firsts.first().copied().unwrap_or(0));
    for at in (1..firsts.len()).rev() {
        firsts[at] = firsts[at].wrapping_sub(firsts[at - 1]);
    }
    packed::encode(firsts.get(1..).unwrap_or_default(), out);
}

/// Reads the times of the rows of `runs`, whose earliest and latest the index knows.
pub(crate) fn decode(
    payload: &[u8],
    runs: &[BlockRun],
    rows: usize,
    bounds: (i64, i64),
) -> Result<Vec<i64>> {
    let mut cursor = Cursor::new(payload, "timestamps");
    let mode = cursor.u8()?;
    let mut firsts = vec![cursor.signed()?];
    packed::decode(&mut cursor, runs.len().saturating_sub(1), &mut firsts)?;
    add_up(&mut firsts);
    let mut steps = Vec::new();
    packed::decode(&mut cursor, rows.saturating_sub(runs.len()), &mut steps)?;
    match mode {
        STEPS => {}
        STEPS_OF_STEPS => add_up(&mut steps),
        _ => return Err(cursor.corrupt()),
    }
    cursor.finish()?;
    assemble(runs, &firsts, &steps, bounds)
}

fn add_up(values: &mut [i64]) {
    let mut sum = 0i64;
    for value in values {
        sum = sum.wrapping_add(*value);
        *value = sum;
    }
}

fn assemble(
    runs: &[BlockRun],
    firsts: &[i64],
    mut steps: &[i64],
    (first, last): (i64, i64),
) -> Result<Vec<i64>> {
    const DAMAGED: FormatError = FormatError::Corrupt("timestamps");
    let mut times = Vec::with_capacity(steps.len() + firsts.len());
    let (mut earliest, mut latest) = (i64::MAX, i64::MIN);
    for (run, &start) in runs.iter().zip(firsts) {
        let own = (run.rows as usize).saturating_sub(1);
        let (own, rest) = steps.split_at_checked(own).ok_or(DAMAGED)?;
        steps = rest;
        times.push(start);
        let mut at = start;
        let mut wrapped = false;
        times.extend(own.iter().map(|step| {
            // A step is an unsigned distance: two far ends of time are further apart than i64.
            let (next, overflow) = at.overflowing_add_unsigned(*step as u64);
            wrapped |= overflow;
            at = next;
            at
        }));
        if wrapped {
            return Err(DAMAGED);
        }
        earliest = earliest.min(start);
        latest = latest.max(at);
    }
    if (earliest, latest) != (first, last) {
        return Err(DAMAGED);
    }
    Ok(times)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(runs: &[&[i64]]) -> usize {
        let times = runs.concat();
        let metas: Vec<BlockRun> = (0..)
            .zip(runs)
            .map(|(stream, run)| BlockRun { stream, rows: run.len() as u32 })
            .collect();
        let mut out = Vec::new();
        encode(&times, &metas, &mut Scratch::default(), &mut out);
        let first = *times.iter().min().unwrap();
        let last = *times.iter().max().unwrap();
        let decoded = decode(&out, &metas, times.len(), (first, last));
        assert_eq!(decoded.as_ref(), Ok(&times));
        assert!(decode(&out, &metas, times.len(), (first, last - 1)).is_err());
        for cut in 0..out.len() {
            assert!(decode(&out[..cut], &metas, times.len(), (first, last)).is_err());
        }
        out.len()
    }

    #[test]
    fn times_round_trip() {
        check(&[&[5]]);
        check(&[&[i64::MIN, i64::MAX], &[-1, -1, 0, 7], &[i64::MAX]]);
        check(&[&[i64::MIN, i64::MIN + 1, i64::MAX - 1, i64::MAX]]);
    }

    #[test]
    fn even_steps_cost_next_to_nothing() {
        let even: Vec<i64> = (0..10_000).map(|n| 1_700_000_000_000_000_000 + n * 15).collect();
        assert!(check(&[&even[..300]]) < 60);
        let growing: Vec<i64> = (0..300).map(|n| n * n * 1_000).collect();
        assert!(check(&[&growing]) < 40);
    }

    #[test]
    fn steps_that_leave_time_are_damage() {
        let runs = [BlockRun { stream: 0, rows: 2 }];
        let mut out = vec![STEPS];
        put_signed(&mut out, i64::MAX);
        packed::encode(&[1], &mut out);
        assert!(decode(&out, &runs, 2, (i64::MIN, i64::MAX)).is_err());
    }
}
