//! Keys of texts: the one table that the writer and the query share.

use xxhash_rust::xxh3::xxh3_64;

use crate::shapes::{Masks, gather_low_bits};

/// Bits of a gram: three symbols of five bits.
pub(crate) const GRAM_BITS: u32 = 15;
/// Bits of an identifier key while a segment is written; postings keep fewer.
pub(crate) const IDENTIFIER_BITS: u32 = 20;
/// Bits of a value key while a segment is written; postings keep fewer.
pub(crate) const VALUE_BITS: u32 = 32;

/// Shorter metadata values have no key: they are common, and hardly larger than a posting.
pub(crate) const VALUE_BYTES_MIN: usize = 6;

/// Shortest run of letters and digits that can be an identifier: one window of hashes.
const IDENTIFIER_CHARS_MIN: usize = CHARS_HASHED + WINDOW - 1;
/// Characters that are hashed together.
const CHARS_HASHED: usize = 5;
/// Hashes of which the smallest is a key.
const WINDOW: usize = 6;

/// What a byte counts as in grams: 0 separates, 1 to 26 are letters, 27 to 31 are pairs of digits.
/// Bytes of other scripts share the symbols of letters.
fn symbol(byte: u8) -> u8 {
    // Three independent choices instead of a table, so that the compiler can use vectors.
    let letter = (byte | 0x20).wrapping_sub(b'a');
    let digit = byte.wrapping_sub(b'0');
    let of_letter = if letter < 26 { 1 + letter } else { 0 };
    let of_digit = if digit < 10 { 27 + digit / 2 } else { 0 };
    let of_other = if byte >= 0x80 { 1 + byte % 16 } else { 0 };
    of_letter | of_digit | of_other
}

/// Which grams occur, one byte each, and as much again that is never used: every number of 16 bits
/// has a place, so that none has to be checked.
pub(crate) type GramSet = [u8; 1 << 16];

/// Marks every gram of a text, among them some with separators that mean nothing.
pub(crate) fn mark_grams(text: &[u8], seen: &mut GramSet) {
    const PIECE: usize = 256;
    // The symbols of a piece, behind the last two of the piece before.
    let mut symbols = [0; PIECE + 2];
    let mut grams = [0u16; PIECE];
    let (pieces, rest) = text.as_chunks::<PIECE>();
    for piece in pieces {
        for (place, byte) in symbols[2..].iter_mut().zip(piece) {
            *place = symbol(*byte);
        }
        for (index, gram) in grams.iter_mut().enumerate() {
            *gram = gram_at(&symbols, index);
        }
        for gram in &grams {
            seen[usize::from(*gram)] = 1;
        }
        symbols.copy_within(PIECE.., 0);
    }
    for (place, byte) in symbols[2..].iter_mut().zip(rest) {
        *place = symbol(*byte);
    }
    for index in 0..rest.len() {
        seen[usize::from(gram_at(&symbols, index))] = 1;
    }
}

fn gram_at<const N: usize>(symbols: &[u8; N], index: usize) -> u16 {
    let at = |index: usize| u16::from(symbols[index]);
    at(index) << 10 | at(index + 1) << 5 | at(index + 2)
}

/// Whether a gram has no separator in it.
pub(crate) fn is_gram(gram: u32) -> bool {
    gram & 31 != 0 && gram >> 5 & 31 != 0 && gram >> 10 != 0
}

/// The distinct grams of a needle.
pub(crate) fn grams_of(needle: &[u8]) -> Vec<u32> {
    let mut grams: Vec<u32> = needle
        .array_windows()
        .map(|three: &[u8; 3]| u32::from(gram_at(&three.map(symbol), 0)))
        .filter(|gram| is_gram(*gram))
        .collect();
    grams.sort_unstable();
    grams.dedup();
    grams
}

/// Calls `found` with every identifier of a text.
///
/// The text is looked at 64 bytes at a time, as two sets of bits: where letters and digits stand,
/// and where digits.
pub(crate) fn for_each_identifier(text: &[u8], found: impl FnMut(&[u8])) {
    for_each_identifier_of(text, |_, piece| character_sets(piece), found);
}

/// The same for a text that was looked at already.
pub(crate) fn for_each_identifier_among(text: &[u8], masks: &Masks, found: impl FnMut(&[u8])) {
    let sets = |index, piece: &[u8; 64]| {
        let known = if piece.is_ascii() { masks.of_ascii(index) } else { None };
        known.unwrap_or_else(|| character_sets(piece))
    };
    for_each_identifier_of(text, sets, found);
}

fn for_each_identifier_of(
    text: &[u8],
    sets: impl Fn(usize, &[u8; 64]) -> (u64, u64),
    mut found: impl FnMut(&[u8]),
) {
    let mut check = |run: &[u8], has_digit: bool| {
        if has_digit && is_identifier(run) {
            found(run);
        }
    };
    // A run that reaches the end of the piece before: where it began, and whether it has a digit.
    let mut open: Option<(usize, bool)> = None;
    let (pieces, rest) = text.as_chunks();
    let mut padded = [0; 64];
    padded[..rest.len()].copy_from_slice(rest);
    for (index, piece) in pieces.iter().chain([&padded]).enumerate() {
        let at = index * 64;
        let (mut chars, digits) = sets(index, piece);
        if let Some((start, has_digit)) = open {
            let more = chars.trailing_ones();
            let has_digit = has_digit || digits & low_bits(more) != 0;
            if more == 64 {
                open = Some((start, has_digit));
                continue;
            }
            check(&text[start..at + more as usize], has_digit);
            chars &= !low_bits(more);
        }
        let last = chars.leading_ones();
        let last_run = !low_bits(64 - last);
        open = (last > 0).then(|| (at + 64 - last as usize, digits & last_run != 0));
        chars &= !last_run;
        let mut starts = starts_of_long_runs(chars);
        while starts != 0 {
            let start = starts.trailing_zeros();
            let len = (chars >> start).trailing_ones();
            let run = low_bits(len) << start;
            let from = at + start as usize;
            check(&text[from..from + len as usize], digits & run != 0);
            starts &= !run;
        }
    }
}

/// The lowest `count` bits, up to all 64.
fn low_bits(count: u32) -> u64 {
    u64::MAX.checked_shr(64 - count).unwrap_or(0)
}

/// Where ten or more set bits follow each other, marked from the first of them to the tenth last.
fn starts_of_long_runs(chars: u64) -> u64 {
    const { assert!(IDENTIFIER_CHARS_MIN == 10) };
    let two = chars & chars >> 1;
    let four = two & two >> 2;
    let eight = four & four >> 4;
    eight & two >> 8
}

/// Where a piece has letters or digits, and where digits.
fn character_sets(piece: &[u8; 64]) -> (u64, u64) {
    let mut flags = [0u8; 64];
    for (flag, byte) in flags.iter_mut().zip(piece) {
        let is_digit = byte.wrapping_sub(b'0') < 10;
        let is_letter = (byte | 0x20).wrapping_sub(b'a') < 26;
        *flag = u8::from(is_digit | is_letter) | u8::from(is_digit) << 1;
    }
    let [chars, digits] = gather_low_bits(&flags);
    (chars, digits)
}

/// Whether a run of letters and digits is an identifier, however much longer it may be.
///
/// The fraction of a time written to the nanosecond (`097147346Z`) is not one. No run that holds
/// an identifier is anything else, so a needle's run decides for the line's run around it.
pub(crate) fn is_identifier(run: &[u8]) -> bool {
    run.len() >= IDENTIFIER_CHARS_MIN
        && run.iter().any(u8::is_ascii_digit)
        && !matches!(run, [fraction @ .., b'z' | b'Z']
            if fraction.len() == 9 && fraction.iter().all(u8::is_ascii_digit))
}

/// The identifiers among the runs of a needle.
pub(crate) fn identifiers_of(needle: &[u8]) -> impl Iterator<Item = &[u8]> {
    needle.split(|byte| !byte.is_ascii_alphanumeric()).filter(|run| is_identifier(run))
}

/// Hashes that are made at a time.
const PIECE: usize = 64;

/// Room for what is found on the way to the keys of an identifier; making it anew for each takes
/// longer than to fill it.
pub(crate) struct Hashes {
    codes: [u8; PIECE + CHARS_HASHED - 1],
    hashes: [u32; PIECE],
    /// The lesser of two neighbouring hashes.
    pairs: [u32; PIECE],
    /// The least of a window.
    least: [u32; PIECE],
}

impl Default for Hashes {
    fn default() -> Self {
        let empty = [0; PIECE];
        Self { codes: [0; _], hashes: empty, pairs: empty, least: empty }
    }
}

/// Calls `found` with the keys of an identifier, [`IDENTIFIER_BITS`] wide, some more than once.
pub(crate) fn for_each_minimiser(identifier: &[u8], room: &mut Hashes, mut found: impl FnMut(u32)) {
    let mut last = None;
    let mut rest = identifier;
    loop {
        let piece = &rest[..rest.len().min(PIECE + CHARS_HASHED - 1)];
        let least = room.least_of(piece, &mut last);
        least.iter().for_each(|hash| found(identifier_key(*hash)));
        if piece.len() == rest.len() {
            return;
        }
        // The next piece begins with the first window that did not fit.
        rest = &rest[piece.len() - (IDENTIFIER_CHARS_MIN - 1)..];
    }
}

impl Hashes {
    /// The least hash of every window of a piece, without those that are the last once more.
    fn least_of(&mut self, piece: &[u8], last: &mut Option<u32>) -> &[u32] {
        let Self { codes, hashes, pairs, least } = self;
        let hashes = &mut hashes[..piece.len().saturating_sub(CHARS_HASHED - 1)];
        hash_characters(piece, &mut codes[..piece.len()], hashes);
        // The least of six are the least of three pairs.
        let pairs = &mut pairs[..hashes.len().saturating_sub(1)];
        for (pair, [a, b]) in pairs.iter_mut().zip(hashes.array_windows()) {
            *pair = *a.min(b);
        }
        // Equal neighbours are skipped without a branch, which nothing could predict.
        let mut count = 0;
        for [a, _, b, _, c] in pairs.array_windows::<{ WINDOW - 1 }>() {
            let hash = *a.min(b).min(c);
            least[count] = hash;
            count += usize::from(*last != Some(hash));
            *last = Some(hash);
        }
        &least[..count]
    }
}

/// One hash for every [`CHARS_HASHED`] neighbouring letters and digits, case folded.
fn hash_characters(piece: &[u8], codes: &mut [u8], hashes: &mut [u32]) {
    // Six bits per character: digits at 0x10, letters of either case at 0x21. They are found on
    // their own because vectors can do it.
    for (code, byte) in codes.iter_mut().zip(piece) {
        *code = byte & 0x1f | (byte & 0x40) >> 1;
    }
    let (head, tail) = codes.split_at(codes.len().min(CHARS_HASHED - 1));
    let mut chars = head.iter().fold(0, |chars, code| chars << 6 | u64::from(*code));
    for (hash, code) in hashes.iter_mut().zip(tail) {
        chars = (chars << 6 | u64::from(*code)) & ((1 << (6 * CHARS_HASHED)) - 1);
        *hash = (chars.wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32;
    }
}

/// Spreads what is small because it is the least of many.
fn identifier_key(least: u32) -> u32 {
    least.wrapping_mul(0x85eb_ca6b) >> (32 - IDENTIFIER_BITS)
}

/// The distinct identifier keys of a needle.
pub(crate) fn identifier_keys_of(needle: &[u8]) -> Vec<u32> {
    let (mut keys, mut room) = (Vec::new(), Hashes::default());
    for identifier in identifiers_of(needle) {
        for_each_minimiser(identifier, &mut room, |key| keys.push(key));
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}

/// The hash of a metadata name, with which the hashes of its values are mixed.
pub(crate) fn name_hash(name: &str) -> u64 {
    xxh3_64(name.as_bytes())
}

/// The key of a metadata value, given the hashes (XXH3-64) of name and value.
pub(crate) fn value_key(name_hash: u64, value_hash: u64) -> u32 {
    ((value_hash ^ name_hash.rotate_left(32)).wrapping_mul(0x9e37_79b9_7f4a_7c15) >> 32) as u32
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;

    fn identifiers(text: &str) -> Vec<String> {
        let mut all = Vec::new();
        for_each_identifier(text.as_bytes(), |run| {
            all.push(String::from_utf8(run.to_vec()).unwrap());
        });
        all
    }

    #[test]
    fn identifiers_are_long_runs_with_a_digit() {
        let text = "needle-3f9a1c77e2b84d60 authentication 0123456789,blk_7128370237687728475 abc1";
        let expected = ["3f9a1c77e2b84d60", "0123456789", "7128370237687728475"];
        assert_eq!(identifiers(text), expected);
        assert!(identifiers("2024-04-16T15:10:44.097147346Z 12345678z").is_empty());
        assert_eq!(identifiers("44.0971473460Z 4.097147346ZZ"), ["0971473460Z", "097147346ZZ"]);
    }

    #[test]
    fn runs_across_pieces_are_found_whole() {
        for lead in 0..140 {
            for len in [9, 10, 63, 64, 65, 130, 200] {
                let run = format!("{}7{}", "a".repeat(len / 2), "b".repeat(len - len / 2 - 1));
                let text = format!("{}{run}{}", "-".repeat(lead), ".".repeat(lead % 3));
                let expected = if len < 10 { vec![] } else { vec![run] };
                assert_eq!(identifiers(&text), expected, "{len} after {lead}");
            }
        }
    }

    fn all_keys(text: &[u8]) -> (BTreeSet<u32>, BTreeSet<u32>) {
        let mut seen: GramSet = [0; _];
        mark_grams(text, &mut seen);
        let grams =
            (0..seen.len() as u32).filter(|gram| seen[*gram as usize] == 1 && is_gram(*gram));
        let mut identifiers = BTreeSet::new();
        for_each_identifier(text, |run| {
            for_each_minimiser(run, &mut Hashes::default(), |key| {
                assert!(identifiers.insert(key) || key >> 20 == 0)
            });
        });
        (grams.collect(), identifiers)
    }

    fn any_text() -> impl Strategy<Value = Vec<u8>> {
        prop_oneof![
            prop::collection::vec(prop::sample::select(b"aB09zZ_-.\n \xc3\xa9f7".to_vec()), 0..200),
            "([0-9a-f]{8,70}|[a-z ]{1,9}|[0-9]{7,11}Z?|[-:,. ])*".prop_map(String::into_bytes),
            prop::collection::vec(any::<u8>(), 0..200),
        ]
    }

    proptest! {
        #[test]
        fn long_identifiers_have_keys(run in "[0-9][0-9a-zA-Z]{9,200}") {
            prop_assume!(is_identifier(run.as_bytes()));
            prop_assert!(!identifier_keys_of(run.as_bytes()).is_empty());
        }

        #[test]
        fn masks_tell_the_same_identifiers(text in any_text()) {
            let (mut plain, mut among) = (Vec::new(), Vec::new());
            for_each_identifier(&text, |run| plain.push(run.to_vec()));
            let mut masks = Masks::default();
            masks.scan(&text);
            for_each_identifier_among(&text, &masks, |run| among.push(run.to_vec()));
            prop_assert_eq!(plain, among);
        }

        /// What the whole index rests on.
        #[test]
        fn a_text_has_all_keys_of_each_of_its_parts(
            text in any_text(), from: prop::sample::Index, to: prop::sample::Index, upper: bool,
        ) {
            let (from, to) = (from.index(text.len() + 1), to.index(text.len() + 1));
            let mut needle = text[from.min(to)..from.max(to)].to_vec();
            if upper {
                needle.make_ascii_uppercase();
            }
            let (grams, identifiers) = all_keys(&text);
            for gram in grams_of(&needle) {
                prop_assert!(grams.contains(&gram));
            }
            for key in identifier_keys_of(&needle) {
                prop_assert!(identifiers.contains(&key));
            }
        }
    }
}
