//! Where the words of a text stand, and where slots may begin: one bit per byte.

/// Bits over a text, 64 bytes a word.
#[derive(Default)]
pub(super) struct Masks {
    /// Letters, digits and bytes from 0x80 on.
    words: Vec<u64>,
    /// Digits, and the `=` or `:` in front of a value.
    events: Vec<u64>,
}

impl Masks {
    /// Looks at a text anew.
    pub(super) fn scan(&mut self, text: &[u8]) {
        self.words.clear();
        self.events.clear();
        let (pieces, rest) = text.as_chunks();
        let mut padded = [0; 64];
        padded[..rest.len()].copy_from_slice(rest);
        let mut quote_before = false;
        for piece in pieces.iter().chain([&padded]) {
            let (words, digits, openers) = classify(piece);
            self.words.push(words);
            // A colon opens a value only behind a quote, as in JSON.
            let [equals, colons, quotes] = openers;
            let behind = quotes << 1 | u64::from(quote_before);
            quote_before = quotes >> 63 == 1;
            self.events.push(digits | equals | (colons & behind));
        }
    }

    /// The first event at or behind `from` and before `end`.
    pub(super) fn next_event(&self, from: usize, end: usize) -> Option<usize> {
        let mut index = from / 64;
        let mut word = self.events.get(index)? & u64::MAX << (from % 64);
        while word == 0 {
            index += 1;
            if index * 64 >= end {
                return None;
            }
            word = *self.events.get(index)?;
        }
        let at = index * 64 + word.trailing_zeros() as usize;
        (at < end).then_some(at)
    }

    /// Where the run of word bytes that holds `at` begins, but not before `bound`.
    pub(super) fn run_start(&self, at: usize, bound: usize) -> usize {
        let mut index = at / 64;
        let mut gaps = !self.words[index] & !(u64::MAX << (at % 64));
        while gaps == 0 {
            if index * 64 <= bound {
                return bound;
            }
            index -= 1;
            gaps = !self.words[index];
        }
        (index * 64 + 64 - gaps.leading_zeros() as usize).max(bound)
    }

    /// Where the run of word bytes that holds `at` ends, but not behind `bound`.
    pub(super) fn run_end(&self, at: usize, bound: usize) -> usize {
        let mut index = at / 64;
        let mut gaps = !self.words[index] & u64::MAX << (at % 64);
        while gaps == 0 {
            index += 1;
            if index * 64 >= bound {
                return bound;
            }
            gaps = !self.words[index];
        }
        (index * 64 + gaps.trailing_zeros() as usize).min(bound)
    }
}

/// Word bytes, digits, and the three bytes that tell values: `=`, `:`, `"`.
fn classify(piece: &[u8; 64]) -> (u64, u64, [u64; 3]) {
    let mut flags = [0u8; 64];
    for (flag, byte) in flags.iter_mut().zip(piece) {
        let is_digit = byte.wrapping_sub(b'0') < 10;
        let is_letter = (byte | 0x20).wrapping_sub(b'a') < 26;
        *flag = u8::from(is_digit)
            | u8::from(is_digit | is_letter | (*byte >= 0x80)) << 1
            | u8::from(*byte == b'=') << 2
            | u8::from(*byte == b':') << 3
            | u8::from(*byte == b'"') << 4;
    }
    let mut masks = [0u64; 5];
    for (index, eight) in flags.chunks_exact(8).enumerate() {
        let mut word = [0; 8];
        word.copy_from_slice(eight);
        let word = u64::from_le_bytes(word);
        for (bit, mask) in masks.iter_mut().enumerate() {
            *mask |= gather_low_bits(word >> bit) << (8 * index);
        }
    }
    let [digits, words, equals, colons, quotes] = masks;
    (words, digits, [equals, colons, quotes])
}

/// The lowest bit of each of eight bytes, as eight neighbouring bits.
fn gather_low_bits(word: u64) -> u64 {
    (word & 0x0101_0101_0101_0101).wrapping_mul(0x0102_0408_1020_4080) >> 56
}
