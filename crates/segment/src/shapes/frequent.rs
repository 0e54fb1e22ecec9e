//! Columns of numbers of which some come back again and again: those become codes of one byte, and
//! only the others are packed.

use std::ops::Range;

use crate::encoding::cursor::{Cursor, put_signed, put_varint};
use crate::error::Result;

use super::block::DAMAGED;
use super::numbers::{self, PackedForm};

/// Fewer numbers are not looked at.
const ROWS_MIN: usize = 12;
/// Most numbers that have a code.
const FREQUENT_MAX: usize = 32;
/// Places of the table in which numbers are counted.
const PLACES: usize = 128;

/// Finds the frequent numbers of a column; reused from column to column.
#[derive(Default)]
pub(super) struct Frequent {
    places: Vec<(i64, u32)>,
    /// The numbers that have a code, from code 1 on.
    values: Vec<i64>,
    counts: Vec<u32>,
    codes: Vec<u8>,
}

impl Frequent {
    /// Looks for frequent numbers; `false` when packing all numbers is about as small.
    pub(super) fn find(&mut self, numbers: &[i64]) -> bool {
        let rows = numbers.len();
        if rows < ROWS_MIN {
            return false;
        }
        self.places.clear();
        self.places.resize(PLACES, (0, 0));
        // Of the numbers that share a place, only one that outweighs the others stays.
        for number in numbers {
            let (held, count) = &mut self.places[place_of(*number)];
            // Without a branch, which nothing could predict.
            let counts_up = (*held == *number) | (*count == 0);
            *held = if counts_up { *number } else { *held };
            *count = count.wrapping_add(if counts_up { 1 } else { u32::MAX });
        }
        let least = (rows as u32 / 64).max(3);
        self.values.clear();
        let mut stayed: Vec<(i64, u32)> =
            self.places.iter().filter(|(_, count)| *count >= least).copied().collect();
        stayed.sort_unstable_by_key(|(number, count)| (u32::MAX - count, *number));
        self.values.extend(stayed.iter().take(FREQUENT_MAX).map(|(number, _)| *number));
        !self.values.is_empty() && self.is_smaller(numbers)
    }

    fn is_smaller(&mut self, numbers: &[i64]) -> bool {
        for place in &mut self.places {
            place.1 = 0;
        }
        for (code, number) in (1..).zip(&self.values) {
            // Numbers that stayed have places of their own.
            self.places[place_of(*number)] = (*number, code);
        }
        self.codes.clear();
        self.counts.clear();
        self.counts.resize(self.values.len() + 1, 0);
        for number in numbers {
            let (value, code) = self.places[place_of(*number)];
            let code = if value == *number { code } else { 0 };
            self.counts[code as usize] += 1;
            self.codes.push(code as u8);
        }
        let rows = numbers.len() as u32;
        let rest = numbers.iter().zip(&self.codes).filter(|(_, code)| **code == 0);
        let bits = u64::from(width_of(numbers.iter().copied()));
        let rest_bits = u64::from(width_of(rest.map(|(number, _)| *number)));
        let of_codes: u64 =
            self.counts.iter().map(|count| super::dictionary::entropy_bits(*count, rows)).sum();
        let of_codes = of_codes.max(u64::from(rows) / 2) * 9 / 8;
        let of_values = self.values.len() as u64 * (bits + 8) + 32;
        let with_codes = of_codes + of_values + u64::from(self.counts[0]) * rest_bits;
        with_codes * 16 < u64::from(rows) * bits * 15
    }

    /// Appends what [`Frequent::find`] was given.
    pub(super) fn encode(
        &self,
        numbers: &mut Vec<i64>,
        packed: &mut Vec<u8>,
        (head, codes, bits): (&mut Vec<u8>, &mut Vec<u8>, &mut Vec<u8>),
    ) {
        put_varint(head, self.values.len() as u64);
        self.values.iter().for_each(|value| put_signed(head, *value));
        codes.extend_from_slice(&self.codes);
        let mut of_row = self.codes.iter();
        numbers.retain(|_| of_row.next() == Some(&0));
        numbers::encode(numbers, packed, head, bits);
    }
}

/// A description of such numbers.
#[derive(Debug)]
pub(super) struct FrequentForm {
    values: Vec<i64>,
    /// Where their codes stand among the codes of all columns.
    codes: Range<usize>,
    /// How the others are packed.
    pub(super) rest: PackedForm,
}

impl FrequentForm {
    /// Reads a description of as many numbers as there are codes.
    pub(super) fn decode(head: &mut Cursor<'_>, codes: Range<usize>) -> Result<Self> {
        let count = head.count(1)?;
        let mut values = Vec::with_capacity(count);
        for _ in 0..count {
            values.push(head.signed()?);
        }
        Ok(Self { values, codes, rest: PackedForm::decode(head)? })
    }

    /// How many numbers have no code, given the codes of all columns.
    pub(super) fn packed_count(&self, all_codes: &[u8]) -> Result<usize> {
        let codes = all_codes.get(self.codes.clone()).ok_or(DAMAGED)?;
        Ok(codes.iter().filter(|code| **code == 0).count())
    }

    /// All numbers, given the codes of all columns and the numbers without one.
    pub(super) fn read(&self, all_codes: &[u8], packed: Vec<i64>) -> Result<Vec<i64>> {
        let mut rest = packed.into_iter();
        let codes = all_codes.get(self.codes.clone()).ok_or(DAMAGED)?;
        let mut numbers = Vec::with_capacity(codes.len());
        for code in codes {
            let number = match code.checked_sub(1) {
                None => rest.next(),
                Some(at) => self.values.get(usize::from(at)).copied(),
            };
            numbers.push(number.ok_or(DAMAGED)?);
        }
        Ok(numbers)
    }
}

fn place_of(number: i64) -> usize {
    ((number as u64).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 57) as usize % PLACES
}

/// Bits of the distances from the least number.
fn width_of(numbers: impl Iterator<Item = i64>) -> u32 {
    let (least, most) = numbers
        .fold((i64::MAX, i64::MIN), |(least, most), number| (least.min(number), most.max(number)));
    if least > most {
        return 0;
    }
    u64::BITS - (most.wrapping_sub(least) as u64).leading_zeros()
}
