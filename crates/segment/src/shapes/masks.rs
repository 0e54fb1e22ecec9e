//! Where the words of a text stand, and where slots may begin: one bit per byte.

use std::ops::Range;

/// What the bytes of 64 are, one bit each.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Piece {
    /// Letters, digits and bytes from 0x80 on.
    words: u64,
    /// Digits, and the `=` or `:` in front of a value.
    events: u64,
}

/// Bits over a text, 64 bytes a word.
#[derive(Default)]
pub(crate) struct Masks {
    pieces: Vec<Piece>,
}

impl Masks {
    /// Looks at a text anew.
    pub(crate) fn scan(&mut self, text: &[u8]) {
        self.pieces.clear();
        let (pieces, rest) = text.as_chunks();
        let mut padded = [0; 64];
        padded[..rest.len()].copy_from_slice(rest);
        self.pieces.reserve(pieces.len() + 1);
        for (index, piece) in pieces.iter().chain([&padded]).enumerate() {
            // What stands before each byte is read from the text again: a copy that is shifted by a
            // byte takes longer.
            let before = (index * 64).checked_sub(1).and_then(|at| text[at..].first_chunk());
            let piece = match before {
                Some(before) => classify(piece, before),
                None => {
                    let mut before = [0; 64];
                    before[1..].copy_from_slice(&piece[..63]);
                    before[0] = index.checked_sub(1).map_or(0, |_| text[index * 64 - 1]);
                    classify(piece, &before)
                }
            };
            self.pieces.push(piece);
        }
    }

    /// Letters and digits, and digits, of a piece of 64 bytes that is all ASCII.
    pub(crate) fn of_ascii(&self, piece: usize) -> Option<(u64, u64)> {
        let piece = self.pieces.get(piece)?;
        // Of the events only digits belong to words.
        Some((piece.words, piece.words & piece.events))
    }

    /// The first event at or behind `from` and before `end`.
    pub(super) fn next_event(&self, from: usize, end: usize) -> Option<usize> {
        let mut index = from / 64;
        let mut word = self.pieces.get(index)?.events & u64::MAX << (from % 64);
        while word == 0 {
            index += 1;
            if index * 64 >= end {
                return None;
            }
            word = self.pieces.get(index)?.events;
        }
        let at = index * 64 + word.trailing_zeros() as usize;
        (at < end).then_some(at)
    }

    /// The run of word bytes around a digit, between bounds, and where the digits end that begin
    /// with it.
    pub(super) fn run_around(&self, digit: usize, bounds: Range<usize>) -> (Range<usize>, usize) {
        let Piece { words, events } = self.pieces[digit / 64];
        let bit = digit % 64;
        let before = (!words << (63 - bit)).leading_zeros() as usize;
        let behind = (!words >> bit).trailing_zeros() as usize;
        if before > bit || behind >= 64 - bit {
            return self.long_run_around(digit, bounds);
        }
        let digits = (!(words & events) >> bit).trailing_zeros() as usize;
        let end = (digit + behind).min(bounds.end);
        ((digit + 1 - before).max(bounds.start)..end, (digit + digits).min(end))
    }

    /// The same for a run that reaches an end of its piece.
    fn long_run_around(&self, digit: usize, bounds: Range<usize>) -> (Range<usize>, usize) {
        let end = self.run_end(digit, bounds.end);
        let digits_end = self.first_gap(digit, end, |piece| piece.words & piece.events);
        (self.run_start(digit, bounds.start)..end, digits_end)
    }

    /// Where the run of word bytes that holds `at` begins, but not before `bound`.
    fn run_start(&self, at: usize, bound: usize) -> usize {
        let mut index = at / 64;
        let mut gaps = !self.pieces[index].words & !(u64::MAX << (at % 64));
        while gaps == 0 {
            if index * 64 <= bound {
                return bound;
            }
            index -= 1;
            gaps = !self.pieces[index].words;
        }
        (index * 64 + 64 - gaps.leading_zeros() as usize).max(bound)
    }

    /// Where the run of word bytes that holds `at` ends, but not behind `bound`.
    pub(super) fn run_end(&self, at: usize, bound: usize) -> usize {
        self.first_gap(at, bound, |piece| piece.words)
    }

    /// The first place from `at` on whose bit is not set, but none behind `bound`.
    fn first_gap(&self, at: usize, bound: usize, set: impl Fn(&Piece) -> u64) -> usize {
        let mut index = at / 64;
        let Some(piece) = self.pieces.get(index) else { return bound };
        let mut gaps = !set(piece) & u64::MAX << (at % 64);
        while gaps == 0 {
            index += 1;
            match self.pieces.get(index) {
                Some(piece) if index * 64 < bound => gaps = !set(piece),
                _ => return bound,
            }
        }
        (index * 64 + gaps.trailing_zeros() as usize).min(bound)
    }
}

/// What the bytes of a piece are, given the bytes before each of them.
fn classify(piece: &[u8; 64], before: &[u8; 64]) -> Piece {
    let mut flags = [0u8; 64];
    for ((flag, byte), before) in flags.iter_mut().zip(piece).zip(before) {
        let is_digit = byte.wrapping_sub(b'0') < 10;
        let is_letter = (byte | 0x20).wrapping_sub(b'a') < 26;
        // A colon opens a value only behind a quote, as in JSON.
        let is_opener = (*byte == b'=') | ((*byte == b':') & (*before == b'"'));
        *flag =
            u8::from(is_digit | is_letter | (*byte >= 0x80)) | u8::from(is_digit | is_opener) << 1;
    }
    let [words, events] = gather_low_bits(&flags);
    Piece { words, events }
}

/// The lowest bit of each of 64 bytes, and the bit above it, as two words.
pub(crate) fn gather_low_bits(flags: &[u8; 64]) -> [u64; 2] {
    const LOWEST: u64 = 0x0101_0101_0101_0101;
    // Each bit reaches the uppermost byte once, and no two of them meet below it.
    let gather = |word: u64| (word & LOWEST).wrapping_mul(0x0102_0408_1020_4080) >> 56;
    let (mut lowest, mut above) = (0, 0);
    for (index, eight) in flags.as_chunks().0.iter().enumerate() {
        let word = u64::from_le_bytes(*eight);
        lowest |= gather(word) << (8 * index);
        above |= gather(word >> 1) << (8 * index);
    }
    [lowest, above]
}

#[cfg(test)]
mod tests {
    use super::*;

    fn scanned(text: &[u8]) -> Masks {
        let mut masks = Masks::default();
        masks.scan(text);
        masks
    }

    #[test]
    fn every_byte_is_what_it_is_at_every_place() {
        for byte in 0..=u8::MAX {
            for at in 0..64 {
                let mut piece = [b' '; 64];
                piece[at] = byte;
                let Piece { words, events } = classify(&piece, &[b'"'; 64]);
                let bit = |is_set: bool| u64::from(is_set) << at;
                assert_eq!(words, bit(byte.is_ascii_alphanumeric() || byte >= 0x80));
                assert_eq!(events, bit(byte.is_ascii_digit() || matches!(byte, b'=' | b':')));
            }
        }
    }

    #[test]
    fn a_colon_opens_a_value_behind_a_quote_even_across_pieces() {
        for lead in 0..140 {
            let text = format!("{}\":x :y", " ".repeat(lead));
            let masks = scanned(text.as_bytes());
            assert_eq!(masks.next_event(0, text.len()), Some(lead + 1));
            assert_eq!(masks.next_event(lead + 2, text.len()), None);
        }
    }

    #[test]
    fn runs_are_found_within_and_across_pieces() {
        for lead in 0..140 {
            for len in [1, 5, 63, 64, 65, 130] {
                let (before, digits) = ("a".repeat(len / 2), "7".repeat(len));
                let text = format!("{}{before}{digits}b.", "-".repeat(lead));
                let (start, digit) = (lead, lead + before.len());
                let (behind, end) = (digit + len, digit + len + 1);
                let masks = scanned(text.as_bytes());
                let all = 0..text.len();
                assert_eq!(masks.run_around(digit, all), (start..end, behind), "{text}");
                assert_eq!(
                    masks.run_around(digit, digit..digit + 1),
                    (digit..digit + 1, digit + 1)
                );
                assert_eq!(masks.run_end(digit, text.len()), end);
            }
        }
    }
}
