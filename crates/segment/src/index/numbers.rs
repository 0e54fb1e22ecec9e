//! Keys of long numbers: minimisers of eight digits.
//!
//! Five characters tell identifiers apart where most are hexadecimal. Of decimal digits there are
//! only 100,000 such fives, and a program that writes a number of 19 digits in every line has most
//! of them in every block.

use super::keys::IDENTIFIER_BITS;

/// Bits of a number key while a segment is written; postings keep fewer.
pub(crate) const NUMBER_BITS: u32 = IDENTIFIER_BITS;

/// Fewest digits that follow each other and have a key: one window of hashes.
const NUMBER_DIGITS_MIN: usize = DIGITS_HASHED + WINDOW - 1;
/// Digits that are hashed together.
const DIGITS_HASHED: usize = 8;
/// Hashes of which the smallest is a key.
const WINDOW: usize = 9;

/// Calls `found` with every longest run of digits in a text that is long enough to have keys.
pub(crate) fn for_each_number(text: &[u8], mut found: impl FnMut(&[u8])) {
    let mut start = 0;
    // From the last digit to the first: mostly one of the last is none, and the others are skipped.
    while let Some(shortest) = text.get(start..start + NUMBER_DIGITS_MIN) {
        if let Some(other) = shortest.iter().rposition(|byte| !byte.is_ascii_digit()) {
            start += other + 1;
            continue;
        }
        let rest = &text[start + NUMBER_DIGITS_MIN..];
        let more = rest.iter().take_while(|byte| byte.is_ascii_digit()).count();
        let end = start + NUMBER_DIGITS_MIN + more;
        found(&text[start..end]);
        start = end;
    }
}

/// Calls `found` with the keys of a run of digits, [`NUMBER_BITS`] wide, some more than once.
pub(crate) fn for_each_number_key(number: &[u8], mut found: impl FnMut(u32)) {
    let mut hashes = [u32::MAX; WINDOW];
    let mut last = None;
    for (index, digits) in number.array_windows::<DIGITS_HASHED>().enumerate() {
        hashes[index % WINDOW] = hash(digits);
        if index + 1 < WINDOW {
            continue;
        }
        let least = hashes.iter().fold(u32::MAX, |least, hash| least.min(*hash));
        if last != Some(least) {
            last = Some(least);
            // Spread: the least of many is small.
            found(least.wrapping_mul(0x85eb_ca6b) >> (32 - NUMBER_BITS));
        }
    }
}

/// The hash of eight digits: the bits 32 to 63 of a product with their text as a number.
fn hash(digits: &[u8; DIGITS_HASHED]) -> u32 {
    // The text's upper half bytes are all alike.
    let product = u64::from_be_bytes(*digits).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    (product >> 32) as u32
}

/// The distinct number keys of a needle.
pub(crate) fn number_keys_of(needle: &[u8]) -> Vec<u32> {
    let mut keys = Vec::new();
    for_each_number(needle, |number| for_each_number_key(number, |key| keys.push(key)));
    keys.sort_unstable();
    keys.dedup();
    keys
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeSet;

    use proptest::prelude::*;

    use super::*;
    use crate::index::keys::for_each_identifier;

    fn numbers(text: &str) -> Vec<String> {
        let mut all = Vec::new();
        for_each_number(text.as_bytes(), |number| {
            all.push(String::from_utf8(number.to_vec()).unwrap());
        });
        all
    }

    #[test]
    fn numbers_are_long_runs_of_digits() {
        let text =
            "blk_7128370237687728475 123456789012345 0x1234567890123456,99999999999999999999";
        let expected = ["7128370237687728475", "1234567890123456", "99999999999999999999"];
        assert_eq!(numbers(text), expected);
        assert!(numbers("").is_empty());
    }

    proptest! {
        #[test]
        fn long_numbers_have_keys(number in "[0-9]{16,60}") {
            prop_assert!(!number_keys_of(number.as_bytes()).is_empty());
        }

        /// The writer looks into identifiers only, the query at the whole needle.
        #[test]
        fn a_text_has_all_keys_of_each_of_its_parts(
            text in "([0-9]{12,40}|[0-9a-f]{1,30}|[a-zZ_. \u{e9}]{1,3})*",
            from: prop::sample::Index, to: prop::sample::Index,
        ) {
            let text = text.as_bytes();
            let (from, to) = (from.index(text.len() + 1), to.index(text.len() + 1));
            let mut keys = BTreeSet::new();
            for_each_identifier(text, |run| {
                for_each_number(run, |number| for_each_number_key(number, |key| {
                    keys.insert(key);
                }));
            });
            for key in number_keys_of(&text[from.min(to)..from.max(to)]) {
                prop_assert!(keys.contains(&key));
            }
        }
    }
}
