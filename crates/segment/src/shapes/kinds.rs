//! How the values of a column are kept.

use crate::encoding::cursor::Cursor;
use crate::error::Result;

/// Texts, each followed by a line feed.
pub(super) const TEXT: u8 = 0;
/// A list of texts, and one byte per row.
pub(super) const DICTIONARY: u8 = 1;
/// Decimal digits, as packed numbers.
pub(super) const NUMBER: u8 = 2;
/// Decimal digits, as values of eight bytes.
pub(super) const WIDE_NUMBER: u8 = 3;
/// Hexadecimal digits of one length in lower case.
pub(super) const HEX_LOWER: u8 = 4;
/// The same in upper case.
pub(super) const HEX_UPPER: u8 = 5;
/// UUIDs in lower case.
pub(super) const UUID: u8 = 6;

/// Decimal digits, some of the numbers as codes.
pub(super) const FREQUENT_NUMBER: u8 = 7;

/// How many digits a number is written with.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Digits {
    /// As few as possible.
    Canonical,
    /// Always as many, with zeros in front.
    Fixed(u8),
    /// It differs: the lengths are stored.
    Any,
}

impl Digits {
    pub(super) fn encode(self, out: &mut Vec<u8>) {
        out.push(match self {
            Self::Canonical => 0,
            Self::Fixed(digits) => digits,
            Self::Any => u8::MAX,
        });
    }

    pub(super) fn decode(cursor: &mut Cursor<'_>) -> Result<Self> {
        match cursor.u8()? {
            0 => Ok(Self::Canonical),
            digits @ 1..=19 => Ok(Self::Fixed(digits)),
            u8::MAX => Ok(Self::Any),
            _ => Err(cursor.corrupt()),
        }
    }
}

/// Bytes that a number below `count` takes.
pub(super) fn code_bytes(count: usize) -> usize {
    match count {
        0..=0x100 => 1,
        0x101..=0x1_0000 => 2,
        _ => 4,
    }
}

pub(super) fn is_uuid(text: &[u8]) -> bool {
    text.len() == 36
        && text.iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(byte),
        })
}
