//! Parts of a block that are read when they are first wanted.

use std::ops::Range;

use crate::encoding::cursor::Cursor;
use crate::error::Result;

use super::block::DAMAGED;
use super::numbers::NumberForm;

/// Rows that are kept as they are.
pub(super) struct Plain {
    bytes: Vec<u8>,
    /// Where every row begins, and the end of the last.
    starts: Vec<u32>,
}

impl Plain {
    /// Takes the part that holds so many rows.
    pub(super) fn read(bytes: Vec<u8>, rows: usize) -> Result<Self> {
        let mut cursor = Cursor::new(&bytes, "line columns");
        let mut lengths = Vec::new();
        for _ in 0..rows {
            lengths.push(cursor.varint_u32()?);
        }
        let mut end = (bytes.len() - cursor.remaining()) as u32;
        let mut starts = vec![end];
        for length in lengths {
            end = end.checked_add(length).ok_or(DAMAGED)?;
            starts.push(end);
        }
        if bytes.len() == end as usize { Ok(Self { bytes, starts }) } else { Err(DAMAGED) }
    }

    pub(super) fn get(&self, at: u32) -> &[u8] {
        let at = at as usize;
        match self.starts.get(at..at + 2) {
            Some(&[start, end]) => &self.bytes[start as usize..end as usize],
            _ => &[],
        }
    }
}

/// The texts of all columns.
pub(super) struct Texts {
    bytes: Vec<u8>,
    /// Where every text begins; one more than there are.
    starts: Vec<u32>,
}

impl Texts {
    /// Takes so many texts, each followed by a line feed; `None` when they are not what columns
    /// hold.
    pub(super) fn read(bytes: Vec<u8>, count: usize) -> Option<Self> {
        // Fields rely on it that values are printable and need no escapes.
        let is_odd =
            |byte: &u8| (*byte <= b' ' && *byte != b'\n') | (*byte == b'"') | (*byte == b'\\');
        if bytes.iter().fold(false, |odd, byte| odd | is_odd(byte)) || count > bytes.len() {
            return None;
        }
        let mut starts = Vec::with_capacity(count + 1);
        starts.push(0);
        // Texts are short: looking at eight bytes at once is quicker than a search for each.
        let (eights, rest) = bytes.as_chunks();
        for (at, eight) in (0..).step_by(8).zip(eights) {
            let mut found = line_feeds(u64::from_le_bytes(*eight));
            while found != 0 {
                starts.push(at + found.trailing_zeros() / 8 + 1);
                found &= found - 1;
            }
            // No more than there is room for.
            if starts.len() > count + 1 {
                return None;
            }
        }
        let ends = (1..).skip(bytes.len() - rest.len()).zip(rest);
        starts.extend(ends.filter(|(_, byte)| **byte == b'\n').map(|(end, _)| end));
        let is_whole = starts.last().is_some_and(|end| *end as usize == bytes.len());
        (is_whole && starts.len() == count + 1).then_some(Self { bytes, starts })
    }

    pub(super) fn get(&self, at: u32) -> &[u8] {
        let at = at as usize;
        match self.starts.get(at..at + 2) {
            Some(&[start, end]) => &self.bytes[start as usize..end as usize - 1],
            _ => &[],
        }
    }

    /// So many texts from one on, and where they begin and the last ends.
    pub(super) fn run(&self, first: u32, count: usize) -> (&[u8], &[u32]) {
        let first = first as usize;
        let starts = self.starts.get(first..first + count + 1).unwrap_or_default();
        match (starts.first(), starts.last()) {
            (Some(start), Some(end)) => (&self.bytes[*start as usize..*end as usize], starts),
            _ => (&[], &[]),
        }
    }
}

/// The highest bit of each of eight bytes that is a line feed.
fn line_feeds(word: u64) -> u64 {
    const LOW: u64 = 0x7f7f_7f7f_7f7f_7f7f;
    let other = word ^ 0x0a0a_0a0a_0a0a_0a0a;
    !(((other & LOW) + LOW) | other | LOW)
}

/// Where lists of numbers stand among the bits of all.
pub(super) struct Places(Vec<(Range<u32>, u32)>);

impl Places {
    /// Passes over all lists; `codes` are asked for where they say how long a list is.
    pub(super) fn find<'c>(
        forms: &[NumberForm],
        all_bits: &[u8],
        codes: impl Fn() -> Option<&'c [u8]>,
    ) -> Result<Self> {
        let mut bits = Cursor::new(all_bits, "line columns");
        let mut places = Vec::with_capacity(forms.len());
        for form in forms {
            let start = (all_bits.len() - bits.remaining()) as u32;
            let count = form.packed_count(&codes)?;
            form.packed().pass(&mut bits, count)?;
            places.push((start..(all_bits.len() - bits.remaining()) as u32, count as u32));
        }
        bits.finish()?;
        Ok(Self(places))
    }

    /// Where a list stands, and how many numbers are packed there.
    pub(super) fn of(&self, list: usize) -> Option<(Range<usize>, usize)> {
        let (at, count) = self.0.get(list)?;
        Some((at.start as usize..at.end as usize, *count as usize))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn texts_are_cut_at_line_feeds(texts in prop::collection::vec("[a-z\u{80}-\u{ff}]{0,20}", 0..40)) {
            let bytes: Vec<u8> = texts.iter().flat_map(|text| [text.as_bytes(), b"\n"].concat()).collect();
            let read = Texts::read(bytes.clone(), texts.len()).unwrap();
            for (at, text) in (0..).zip(&texts) {
                prop_assert_eq!(read.get(at), text.as_bytes());
            }
            prop_assert!(Texts::read(bytes.clone(), texts.len() + 1).is_none());
            prop_assert!(texts.is_empty() || Texts::read(bytes, texts.len() - 1).is_none());
        }
    }
}
