//! Values of up to eight bytes as one number, the first byte lowest.

const LOWEST: u64 = 0x0101_0101_0101_0101;

/// The `len` bytes from `start` on, at most eight; those behind are zeros.
pub(super) fn word_at(text: &[u8], start: usize, len: usize) -> u64 {
    let rest = text.get(start..).unwrap_or_default();
    let word = match rest.first_chunk() {
        Some(word) => u64::from_le_bytes(*word),
        None => rest.iter().rev().fold(0, |word, byte| word << 8 | u64::from(*byte)),
    };
    word & u64::MAX.checked_shr(64 - 8 * len as u32).unwrap_or(0)
}

/// Whether the first `len` bytes are decimal digits.
pub(super) fn are_digits(word: u64, len: usize) -> bool {
    // Behind them stand zeros that count as digits.
    let padding = u64::MAX.checked_shl(8 * len as u32).unwrap_or(0);
    let digits = (word | padding & (LOWEST * 0x30)) ^ (LOWEST * 0x30);
    (digits.wrapping_add(LOWEST * 0x76) | digits) & (LOWEST * 0x80) == 0
}

/// How many decimal digits the bytes begin with.
pub(super) fn leading_digits(word: u64) -> usize {
    let digits = word ^ (LOWEST * 0x30);
    // A byte that is too large may carry into those behind it, but not into those before.
    let too_large = (digits.wrapping_add(LOWEST * 0x76) | digits) & (LOWEST * 0x80);
    too_large.trailing_zeros() as usize / 8
}

/// The number that so many decimal digits make.
pub(super) fn number_of(word: u64, len: usize) -> u64 {
    // The last digit becomes the uppermost; zeros stand before the first.
    let digits = (word & (LOWEST * 0x0f)).checked_shl(64 - 8 * len as u32).unwrap_or(0);
    let pairs = digits.wrapping_mul(10).wrapping_add(digits >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = pairs.wrapping_mul(100).wrapping_add(pairs >> 16) & 0x0000_ffff_0000_ffff;
    fours.wrapping_mul(10_000).wrapping_add(fours >> 32) & 0xffff_ffff
}

/// The bytes that eight hexadecimal digits of either case make.
pub(super) fn bytes_of_hex(word: u64) -> [u8; 4] {
    // Letters have the bit 0x40, and nine less than their value in the lowest four.
    let nibbles = (word & (LOWEST * 0x0f)) + (word >> 6 & LOWEST) * 9;
    let pairs = (nibbles << 4 | nibbles >> 8) & 0x00ff_00ff_00ff_00ff;
    let fours = (pairs | pairs >> 8) & 0x0000_ffff_0000_ffff;
    ((fours | fours >> 16) as u32).to_le_bytes()
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn words_are_what_the_bytes_are(
            text in prop::collection::vec(prop_oneof![b'/'..=b':', any::<u8>()], 0..20),
            start in 0usize..20,
            len in 0usize..=8,
        ) {
            prop_assume!(start + len <= text.len());
            let bytes = &text[start..start + len];
            let word = word_at(&text, start, len);
            let mut padded = [0; 8];
            padded[..len].copy_from_slice(bytes);
            prop_assert_eq!(word.to_le_bytes(), padded);
            prop_assert_eq!(are_digits(word, len), bytes.iter().all(u8::is_ascii_digit));
        }

        #[test]
        fn leading_digits_are_counted(text in "[0-9]{0,8}[/:a\u{80}-\u{ff}]{8}") {
            let digits = text.bytes().take_while(u8::is_ascii_digit).count();
            prop_assert_eq!(leading_digits(word_at(text.as_bytes(), 0, 8)), digits);
        }

        #[test]
        fn numbers_are_what_their_digits_make(text in "[0-9]{1,8}") {
            let word = word_at(text.as_bytes(), 0, text.len());
            prop_assert_eq!(number_of(word, text.len()), text.parse::<u64>().unwrap());
        }

        #[test]
        fn hexadecimal_digits_are_read_in_either_case(value: u32, upper: bool) {
            let text = if upper { format!("{value:08X}") } else { format!("{value:08x}") };
            prop_assert_eq!(bytes_of_hex(word_at(text.as_bytes(), 0, 8)), value.to_be_bytes());
        }
    }
}
