//! What the bytes of values are.

/// Decimal digits.
pub(super) const DIGITS: u8 = 1;
/// `a` to `f`.
pub(super) const HEX_LOWER: u8 = 2;
/// `A` to `F`.
pub(super) const HEX_UPPER: u8 = 4;
/// Other lower-case letters.
pub(super) const LOWER: u8 = 8;
/// Other upper-case letters.
pub(super) const UPPER: u8 = 16;
/// The dash.
pub(super) const DASH: u8 = 32;
/// Printable ASCII that is none of the above, and no quote or backslash.
pub(super) const SIGNS: u8 = 64;
/// Everything else.
pub(super) const OTHER: u8 = 128;

const CLASSES: [u8; 256] = {
    let mut classes = [OTHER; 256];
    let mut byte = 0;
    while byte < 256 {
        classes[byte] = match byte as u8 {
            b'0'..=b'9' => DIGITS,
            b'a'..=b'f' => HEX_LOWER,
            b'A'..=b'F' => HEX_UPPER,
            b'g'..=b'z' => LOWER,
            b'G'..=b'Z' => UPPER,
            b'-' => DASH,
            b'"' | b'\\' => OTHER,
            b'!'..=b'~' => SIGNS,
            _ => OTHER,
        };
        byte += 1;
    }
    classes
};

/// The classes of a byte.
pub(super) fn class_of(byte: u8) -> u8 {
    CLASSES[usize::from(byte)]
}

/// The classes of all bytes of a text.
pub(super) fn classes_of(text: &[u8]) -> u8 {
    text.iter().fold(0, |classes, byte| classes | class_of(*byte))
}
