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
        self.words.reserve(pieces.len() + 1);
        self.events.reserve(pieces.len() + 1);
        for (index, piece) in pieces.iter().chain([&padded]).enumerate() {
            // What stands before each byte is read from the text again: a copy that is shifted by a
            // byte takes longer.
            let before = (index * 64).checked_sub(1).and_then(|at| text[at..].first_chunk());
            let (words, events) = match before {
                Some(before) => classify(piece, before),
                None => {
                    let mut before = [0; 64];
                    before[1..].copy_from_slice(&piece[..63]);
                    before[0] = index.checked_sub(1).map_or(0, |_| text[index * 64 - 1]);
                    classify(piece, &before)
                }
            };
            self.words.push(words);
            self.events.push(events);
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

/// Word bytes and events of a piece, given the bytes before each of its bytes.
fn classify(piece: &[u8; 64], before: &[u8; 64]) -> (u64, u64) {
    let mut flags = [0u8; 64];
    for ((flag, byte), before) in flags.iter_mut().zip(piece).zip(before) {
        let is_digit = byte.wrapping_sub(b'0') < 10;
        let is_letter = (byte | 0x20).wrapping_sub(b'a') < 26;
        // A colon opens a value only behind a quote, as in JSON.
        let is_opener = (*byte == b'=') | ((*byte == b':') & (*before == b'"'));
        *flag =
            u8::from(is_digit | is_letter | (*byte >= 0x80)) | u8::from(is_digit | is_opener) << 1;
    }
    let (mut words, mut events) = (0, 0);
    for (index, eight) in flags.chunks_exact(8).enumerate() {
        let mut word = [0; 8];
        word.copy_from_slice(eight);
        let word = u64::from_le_bytes(word);
        words |= gather_low_bits(word) << (8 * index);
        events |= gather_low_bits(word >> 1) << (8 * index);
    }
    (words, events)
}

/// The lowest bit of each of eight bytes, as eight neighbouring bits.
fn gather_low_bits(word: u64) -> u64 {
    // Shifts, because vectors have no good multiplication.
    let bits = word & 0x0101_0101_0101_0101;
    let bits = bits | bits >> 7;
    let bits = bits | bits >> 14;
    (bits | bits >> 28) & 0xff
}
