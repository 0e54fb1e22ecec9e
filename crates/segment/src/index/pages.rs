//! Postings on pages.
//!
//! A posting is a pair of a key and a block; as one number, `key × blocks + block`, the postings of
//! a family form an ascending sequence. A page holds the gaps between some two thousand of them,
//! Rice coded: the quotient by a power of two in unary, the remainder in binary. The first number
//! of every page is in the directory, so a lookup reads one page.

use std::ops::Range;

use crate::encoding::checksum::{CHECKSUM_BYTES, ChunkKind, open, seal};
use crate::error::{FormatError, Result};

/// Postings of a full page.
pub(crate) const PAGE_POSTINGS: usize = 2048;
/// Quotients from this on are written as this many ones and the gap in 64 bits.
const QUOTIENT_MAX: u64 = 32;
/// Largest power of two to divide by.
const SHIFT_MAX: u32 = 56;

/// A page as the directory knows it.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Page {
    /// The first posting.
    pub(crate) first: u64,
    /// Where it begins in the section of pages.
    pub(crate) offset: u64,
    /// Bytes, with checksum.
    pub(crate) len: u32,
    /// Postings.
    pub(crate) count: u16,
}

/// Appends ascending postings to the section of pages, as the page of this number; there is at
/// least one.
pub(crate) fn encode(postings: &[u64], number: u32, out: &mut Vec<u8>) -> Page {
    let start = out.len();
    let first = postings.first().copied().unwrap_or(0);
    let span = postings.last().map_or(0, |last| last - first);
    // The best power of two is near the mean gap.
    let mean = span / postings.len().max(1) as u64;
    let shift = mean.checked_ilog2().unwrap_or(0).min(SHIFT_MAX);
    out.push(shift as u8);
    let mut bits = BitWriter { out, pending: 0, used: 0 };
    for pair in postings.windows(2) {
        let gap = pair[1] - pair[0] - 1;
        let quotient = gap >> shift;
        if quotient < QUOTIENT_MAX {
            bits.put((1 << quotient) - 1, quotient as u32 + 1);
            bits.put(gap & ((1 << shift) - 1), shift);
        } else {
            bits.put((1 << QUOTIENT_MAX) - 1, QUOTIENT_MAX as u32);
            bits.put(gap & 0xffff_ffff, 32);
            bits.put(gap >> 32, 32);
        }
    }
    bits.finish();
    seal(ChunkKind::Page, number, out, start);
    let len = (out.len() - start) as u32;
    Page { first, offset: start as u64, len, count: postings.len() as u16 }
}

/// Calls `found` with every posting of a page that lies in `from..to`.
pub(crate) fn scan(
    page: &Page,
    number: u32,
    bytes: &[u8],
    (from, to): (u64, u64),
    mut found: impl FnMut(u64),
) -> Result<()> {
    const DAMAGED: FormatError = FormatError::Corrupt("token index page");
    let payload = open(ChunkKind::Page, number, bytes, u64::from(page.len))?;
    let (shift, packed) = payload.split_first().ok_or(DAMAGED)?;
    let shift = u32::from(*shift);
    if shift > SHIFT_MAX {
        return Err(DAMAGED);
    }
    let mut bits = BitReader { rest: packed, pending: 0, held: 0 };
    let mut posting = page.first;
    for index in 0..page.count {
        if index > 0 {
            let gap = bits.gap(shift).ok_or(DAMAGED)?;
            posting =
                posting.checked_add(gap).and_then(|next| next.checked_add(1)).ok_or(DAMAGED)?;
        }
        if posting >= to {
            return Ok(());
        }
        if posting >= from {
            found(posting);
        }
    }
    // The last bits fill up a byte.
    if bits.rest.is_empty() && bits.held < 8 { Ok(()) } else { Err(DAMAGED) }
}

/// Bytes that a page has beside its gaps, at least.
pub(crate) const PAGE_BYTES_MIN: usize = 1 + CHECKSUM_BYTES;

struct BitWriter<'a> {
    out: &'a mut Vec<u8>,
    pending: u128,
    used: u32,
}

impl Page {
    /// Where it stands in the section of pages.
    pub(crate) fn range(&self) -> Range<u64> {
        self.offset..self.offset + u64::from(self.len)
    }
}

impl BitWriter<'_> {
    /// Appends the lowest `count` bits, at most 64.
    fn put(&mut self, value: u64, count: u32) {
        self.pending |= u128::from(value) << self.used;
        self.used += count;
        if self.used >= 64 {
            self.out.extend_from_slice(&(self.pending as u64).to_le_bytes());
            self.pending >>= 64;
            self.used -= 64;
        }
    }

    fn finish(self) {
        let bytes = self.pending.to_le_bytes();
        self.out.extend_from_slice(&bytes[..self.used.div_ceil(8) as usize]);
    }
}

struct BitReader<'a> {
    rest: &'a [u8],
    pending: u64,
    /// How many bits of `pending` have been taken from `rest`. Those above them are 0 or what
    /// `rest` begins with, so taking them again changes nothing.
    held: u32,
}

impl BitReader<'_> {
    /// Holds at least 56 bits, or all that are left.
    fn refill(&mut self) {
        if let Some(word) = self.rest.first_chunk() {
            self.pending |= u64::from_le_bytes(*word) << self.held;
            let bytes = (63 - self.held) / 8;
            self.rest = &self.rest[bytes as usize..];
            self.held += 8 * bytes;
            return;
        }
        while self.held <= 56 {
            let [byte, rest @ ..] = self.rest else { return };
            self.pending |= u64::from(*byte) << self.held;
            self.held += 8;
            self.rest = rest;
        }
    }

    fn take(&mut self, count: u32) -> Option<u64> {
        if self.held < count {
            self.refill();
        }
        if count > 56 || self.held < count {
            return None;
        }
        let value = self.pending & ((1 << count) - 1);
        self.pending >>= count;
        self.held -= count;
        Some(value)
    }

    fn gap(&mut self, shift: u32) -> Option<u64> {
        if self.held <= QUOTIENT_MAX as u32 {
            self.refill();
        }
        let quotient = self.pending.trailing_ones().min(QUOTIENT_MAX as u32);
        if u64::from(quotient) < QUOTIENT_MAX {
            self.take(quotient + 1)?;
            return Some(u64::from(quotient) << shift | self.take(shift)?);
        }
        self.take(quotient)?;
        Some(self.take(32)? | self.take(32)? << 32)
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(postings: &[u64]) -> usize {
        let mut out = Vec::new();
        let page = encode(postings, 7, &mut out);
        let read = |range| {
            let mut found = Vec::new();
            scan(&page, 7, &out, range, |posting| found.push(posting)).map(|()| found)
        };
        assert_eq!(read((0, u64::MAX)), Ok(postings.to_vec()));
        let middle = postings[postings.len() / 2];
        assert_eq!(read((middle, middle + 1)), Ok(vec![middle]));
        assert_eq!(read((middle + 1, middle + 1)), Ok(vec![]));
        assert!(scan(&page, 8, &out, (0, u64::MAX), |_| ()).is_err(), "another page's number");
        out.len()
    }

    #[test]
    fn dense_postings_take_a_bit_and_sparse_ones_little_more_than_their_gap() {
        let dense: Vec<u64> = (1000..3000).collect();
        assert!(check(&dense) <= 2000 / 8 + 6);
        let sparse: Vec<u64> = (0..2000u64).map(|n| n * 90 + n * n % 60).collect();
        assert!(check(&sparse) <= 2000 * 8 / 8 + 6);
        check(&[0, 1, 1 << 60]);
        check(&[5]);
    }

    proptest! {
        #[test]
        fn postings_round_trip(set in prop::collection::btree_set(
            prop_oneof![0u64..5000, 0u64..1 << 40, 0u64..u64::MAX - 1], 1..300))
        {
            check(&set.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn any_bytes_are_refused_or_read(payload: Vec<u8>, first: u64, count: u16) {
            let mut out = payload;
            seal(ChunkKind::Page, 0, &mut out, 0);
            let page = Page { first, offset: 0, len: out.len() as u32, count };
            let _ = scan(&page, 0, &out, (0, u64::MAX), |_| ());
        }
    }
}
