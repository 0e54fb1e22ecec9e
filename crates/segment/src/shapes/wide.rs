//! Identifiers: values of a fixed number of bytes that mostly look random.
//!
//! Values of equal width share a list of distinct ones over the whole block, because an identifier
//! of a request or a user comes back in lines of many shapes.

use std::ops::Range;
use std::sync::OnceLock;

use hashbrown::HashTable;

use crate::encoding::bits::{pack, packed_len, unpack, width_below};
use crate::encoding::cursor::{Cursor, put_varint};
use crate::error::Result;

/// Widest values, in bytes.
pub(super) const WIDTH_MAX: usize = 64;

/// Values of one width on their way into a block.
#[derive(Default)]
struct List {
    /// The distinct values.
    distinct: Vec<u8>,
    /// Per value: its place among the distinct ones.
    codes: Vec<u32>,
    by_hash: HashTable<u32>,
}

/// Gathers the values of a block, by width.
#[derive(Default)]
pub(super) struct WideBuilder {
    lists: Vec<List>,
}

fn hash_of(value: &[u8]) -> u64 {
    let mut word = [0; 8];
    let len = value.len().min(8);
    word[..len].copy_from_slice(&value[value.len() - len..]);
    let mixed = u64::from_le_bytes(word).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    mixed ^ mixed >> 32
}

impl WideBuilder {
    pub(super) fn clear(&mut self) {
        for list in &mut self.lists {
            list.distinct.clear();
            list.codes.clear();
            list.by_hash.clear();
        }
    }

    /// Appends a value of 1 to [`WIDTH_MAX`] bytes.
    pub(super) fn push(&mut self, value: &[u8]) {
        let width = value.len();
        if self.lists.len() <= width {
            self.lists.resize_with(width + 1, List::default);
        }
        let List { distinct, codes, by_hash } = &mut self.lists[width];
        let hash = hash_of(value);
        let at = |code: u32| code as usize * width..(code as usize + 1) * width;
        let code = match by_hash.find(hash, |code| distinct[at(*code)] == *value) {
            Some(code) => *code,
            None => {
                let code = (distinct.len() / width) as u32;
                distinct.extend_from_slice(value);
                by_hash.insert_unique(hash, code, |code| hash_of(&distinct[at(*code)]));
                code
            }
        };
        codes.push(code);
    }

    /// Appends all lists.
    pub(super) fn encode(&self, out: &mut Vec<u8>) {
        let used = self.lists.iter().enumerate().filter(|(_, list)| !list.codes.is_empty());
        for (width, List { distinct, codes, .. }) in used {
            let count = distinct.len() / width;
            put_varint(out, count as u64);
            out.extend_from_slice(distinct);
            if count == codes.len() {
                continue;
            }
            // A value is the next new one, or one that was there before.
            let mut known = 0;
            let mut old = Vec::with_capacity(codes.len() - count);
            let is_old = codes.iter().map(|code| {
                if *code == known {
                    known += 1;
                    return 0;
                }
                old.push(u64::from(*code));
                1
            });
            pack(is_old, 1, out);
            pack(old.into_iter(), width_below(count), out);
        }
    }
}

/// The values of one width in a chunk.
#[derive(Debug, Default)]
pub(super) struct WideList {
    width: usize,
    count: usize,
    /// How many are distinct.
    known: usize,
    /// Where the distinct ones stand in the chunk.
    distinct: Range<usize>,
    /// Where it stands which values were there before, and which those are; empty when every value
    /// is a new one.
    old: Range<usize>,
    codes: OnceLock<Option<Vec<u32>>>,
}

impl WideList {
    /// Passes over `count` values, at least one, of `width` bytes in a chunk of `all` bytes.
    pub(super) fn pass(
        cursor: &mut Cursor<'_>,
        all: usize,
        width: usize,
        count: usize,
    ) -> Result<Self> {
        let known = cursor.varint_u32()? as usize;
        if known == 0 || known > count {
            return Err(cursor.corrupt());
        }
        let start = all - cursor.remaining();
        cursor.take(known * width)?;
        let end = all - cursor.remaining();
        if known < count {
            cursor.take(packed_len(count, 1))?;
            cursor.take(packed_len(count - known, width_below(known)))?;
        }
        let old = end..all - cursor.remaining();
        Ok(Self { width, count, known, distinct: start..end, old, codes: OnceLock::new() })
    }

    /// Which of the distinct values each is, when they are not all new; `None` when that is damaged.
    pub(super) fn read(&self, chunk: &[u8]) -> Option<&[u32]> {
        self.codes.get_or_init(|| self.read_codes(chunk).ok()).as_deref()
    }

    fn read_codes(&self, chunk: &[u8]) -> Result<Vec<u32>> {
        let mut codes = Vec::new();
        if self.known == self.count {
            return Ok(codes);
        }
        let mut cursor =
            Cursor::new(chunk.get(self.old.clone()).unwrap_or_default(), "line columns");
        let bits = cursor.take(packed_len(self.count, 1))?;
        let old = unpack(&mut cursor, self.count - self.known, width_below(self.known))?;
        let mut old = old.into_iter();
        let mut next = 0;
        codes.reserve(self.count);
        for at in 0..self.count {
            let code = if bits[at / 8] >> (at % 8) & 1 == 1 {
                old.next().ok_or_else(|| cursor.corrupt())? as u32
            } else {
                next += 1;
                next - 1
            };
            codes.push(code);
        }
        if codes.iter().any(|code| *code as usize >= self.known) {
            return Err(cursor.corrupt());
        }
        Ok(codes)
    }

    /// Whether the values were read and turned out to be damaged.
    pub(super) fn is_damaged(&self) -> bool {
        self.codes.get().is_some_and(Option::is_none)
    }

    /// The value at a place; nothing when there is none.
    pub(super) fn get<'c>(&self, chunk: &'c [u8], at: usize) -> &'c [u8] {
        let at = if self.known == self.count {
            at
        } else {
            let code = self.read(chunk).and_then(|codes| codes.get(at));
            code.map_or(usize::MAX >> 8, |code| *code as usize)
        };
        let distinct = chunk.get(self.distinct.clone()).unwrap_or_default();
        distinct.get(at * self.width..(at + 1) * self.width).unwrap_or_default()
    }
}
