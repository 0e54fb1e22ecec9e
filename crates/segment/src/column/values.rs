//! Lists of texts, stored by what they look like.
//!
//! Identifiers dominate structured metadata: numbers are packed, hexadecimal digits and UUIDs
//! become the bytes they stand for, and everything else is compressed text. A list is stored in a
//! special form only if every text in it comes back exactly.

use model::columns::Texts;

use crate::encoding::cursor::Cursor;
use crate::encoding::frame::{FrameEncoder, decode_blob};
use crate::encoding::packed;
use crate::error::Result;
use crate::limits::METADATA_BYTES_MAX;

const TEXT: u8 = 0;
const INTEGER: u8 = 1;
const HEX_LOWER: u8 = 2;
const HEX_UPPER: u8 = 3;
const UUID: u8 = 4;

/// Digits of the longest hexadecimal texts that are packed.
const HEX_DIGITS_MAX: usize = 128;
/// Where a UUID has its dashes.
const DASHES: [usize; 4] = [8, 13, 18, 23];
const UUID_CHARS: usize = 36;

/// Texts back to back.
#[derive(Debug, Clone, Default)]
pub(crate) struct TextList {
    text: Vec<u8>,
    ends: Vec<u32>,
}

impl TextList {
    pub(crate) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(crate) fn clear(&mut self) {
        self.text.clear();
        self.ends.clear();
    }

    /// Appends a text; the writer keeps a block's texts far below 4 GiB.
    pub(crate) fn push(&mut self, text: &str) {
        self.text.extend_from_slice(text.as_bytes());
        self.ends.push(self.text.len() as u32);
    }

    /// Removes the last text.
    pub(crate) fn pop(&mut self) {
        self.ends.pop();
        self.text.truncate(self.ends.last().map_or(0, |end| *end as usize));
    }

    pub(crate) fn get(&self, index: usize) -> &[u8] {
        let start = index.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        &self.text[start..self.ends[index] as usize]
    }

    fn iter(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|index| self.get(index))
    }
}

/// Appends a list; the reader must know how many texts it holds.
pub(crate) fn encode(list: &TextList, encoder: &mut FrameEncoder, out: &mut Vec<u8>) -> Result<()> {
    let form = form_of(list);
    out.push(form);
    match form {
        INTEGER => {
            let numbers: Vec<i64> = list.iter().filter_map(parse_integer).collect();
            packed::encode(&numbers, out);
        }
        HEX_LOWER | HEX_UPPER => {
            out.push(list.get(0).len() as u8);
            list.iter().for_each(|text| push_nibbles(text.iter(), out));
        }
        UUID => list.iter().for_each(|text| {
            push_nibbles(text.iter().filter(|byte| **byte != b'-'), out);
        }),
        _ => {
            let lengths: Vec<i64> = list.iter().map(|text| text.len() as i64).collect();
            packed::encode(&lengths, out);
            encoder.append_blob(&list.text, out)?;
        }
    }
    Ok(())
}

fn form_of(list: &TextList) -> u8 {
    let Some(sample) = list.iter().next() else { return TEXT };
    let len = sample.len();
    let is_packable_hex = len > 0 && len.is_multiple_of(2) && len <= HEX_DIGITS_MAX;
    // Numbers first: 16 decimal digits are hexadecimal digits too, and smaller as a number.
    if list.iter().all(|text| parse_integer(text).is_some()) {
        INTEGER
    } else if is_packable_hex && list.iter().all(|text| text.len() == len && is_hex(text, b'a')) {
        HEX_LOWER
    } else if is_packable_hex && list.iter().all(|text| text.len() == len && is_hex(text, b'A')) {
        HEX_UPPER
    } else if list.iter().all(is_uuid) {
        UUID
    } else {
        TEXT
    }
}

/// The number whose canonical decimal text this is.
fn parse_integer(text: &[u8]) -> Option<i64> {
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let is_canonical = match digits {
        [b'0'] => digits.len() == text.len(),
        [b'1'..=b'9', rest @ ..] => rest.len() < 19 && rest.iter().all(u8::is_ascii_digit),
        _ => false,
    };
    if !is_canonical {
        return None;
    }
    std::str::from_utf8(text).ok()?.parse().ok()
}

fn is_hex(text: &[u8], ten: u8) -> bool {
    text.iter().all(|byte| byte.is_ascii_digit() || (ten..ten + 6).contains(byte))
}

fn is_uuid(text: &[u8]) -> bool {
    text.len() == UUID_CHARS
        && text.iter().enumerate().all(|(at, byte)| {
            if DASHES.contains(&at) {
                *byte == b'-'
            } else {
                byte.is_ascii_digit() || (b'a'..=b'f').contains(byte)
            }
        })
}

fn nibble(digit: u8) -> u8 {
    match digit {
        b'0'..=b'9' => digit - b'0',
        _ => (digit | 0x20).wrapping_sub(b'a').wrapping_add(10) & 0xf,
    }
}

fn push_nibbles<'a>(mut digits: impl Iterator<Item = &'a u8>, out: &mut Vec<u8>) {
    while let (Some(high), Some(low)) = (digits.next(), digits.next()) {
        out.push(nibble(*high) << 4 | nibble(*low));
    }
}

/// Reads `count` texts; the caller has bounded `count` by the rows of a block.
pub(crate) fn decode(cursor: &mut Cursor<'_>, count: usize) -> Result<Texts> {
    match cursor.u8()? {
        TEXT => decode_text(cursor, count),
        INTEGER => {
            let mut numbers = Vec::new();
            packed::decode(cursor, count, &mut numbers)?;
            Ok(numbers.into_iter().map(|number| number.to_string()).collect())
        }
        HEX_LOWER => decode_hex(cursor, count, b"0123456789abcdef"),
        HEX_UPPER => decode_hex(cursor, count, b"0123456789ABCDEF"),
        UUID => decode_uuids(cursor, count),
        _ => Err(cursor.corrupt()),
    }
}

fn decode_text(cursor: &mut Cursor<'_>, count: usize) -> Result<Texts> {
    let mut lengths = Vec::new();
    packed::decode(cursor, count, &mut lengths)?;
    let text = decode_blob(cursor, METADATA_BYTES_MAX)?;
    let mut end = 0u32;
    let mut ends = Vec::with_capacity(count);
    for length in lengths {
        let length = u32::try_from(length).map_err(|_| cursor.corrupt())?;
        end = end.checked_add(length).ok_or_else(|| cursor.corrupt())?;
        ends.push(end);
    }
    cut(cursor, text, ends)
}

fn decode_hex(cursor: &mut Cursor<'_>, count: usize, digits: &[u8; 16]) -> Result<Texts> {
    let len = usize::from(cursor.u8()?);
    if len == 0 || len > HEX_DIGITS_MAX || !len.is_multiple_of(2) {
        return Err(cursor.corrupt());
    }
    let packed = cursor.take(count * (len / 2))?;
    let text = packed.iter().flat_map(|byte| digits_of(*byte, digits)).collect();
    cut(cursor, text, ends_of_all(count, len))
}

fn decode_uuids(cursor: &mut Cursor<'_>, count: usize) -> Result<Texts> {
    let packed = cursor.take(count * 16)?;
    let mut text = Vec::with_capacity(count * UUID_CHARS);
    for value in packed.chunks_exact(16) {
        let start = text.len();
        for byte in value {
            if DASHES.contains(&(text.len() - start)) {
                text.push(b'-');
            }
            text.extend(digits_of(*byte, b"0123456789abcdef"));
        }
    }
    cut(cursor, text, ends_of_all(count, UUID_CHARS))
}

fn digits_of(byte: u8, digits: &[u8; 16]) -> [u8; 2] {
    [digits[usize::from(byte >> 4)], digits[usize::from(byte & 0xf)]]
}

/// Where texts of one length end.
fn ends_of_all(count: usize, len: usize) -> Vec<u32> {
    (1..=count).map(|index| (index * len) as u32).collect()
}

fn cut(cursor: &Cursor<'_>, text: Vec<u8>, ends: Vec<u32>) -> Result<Texts> {
    let text = String::from_utf8(text).ok();
    text.and_then(|text| Texts::from_parts(text, ends)).ok_or_else(|| cursor.corrupt())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(texts: &[&str]) -> Vec<u8> {
        let mut list = TextList::default();
        for text in texts {
            list.push("to be taken back");
            list.pop();
            list.push(text);
        }
        let mut out = Vec::new();
        encode(&list, &mut FrameEncoder::new(1).unwrap(), &mut out).unwrap();
        let mut cursor = Cursor::new(&out, "test");
        let decoded = decode(&mut cursor, texts.len()).unwrap();
        assert!(cursor.finish().is_ok());
        assert_eq!(decoded.iter().collect::<Vec<_>>(), texts);
        for cut in 0..out.len() {
            assert!(decode(&mut Cursor::new(&out[..cut], "test"), texts.len()).is_err());
        }
        out
    }

    #[test]
    fn forms_are_found() {
        let form = |texts: &[&str]| check(texts)[0];
        assert_eq!(form(&["0", "-1", "9223372036854775807", "-9223372036854775808"]), INTEGER);
        for other in ["-0", "01", "+1", "", "9223372036854775808", "1e3", "-"] {
            assert_eq!(form(&["x-ray", other]), TEXT, "{other}");
            assert!(parse_integer(other.as_bytes()).is_none(), "{other}");
        }
        assert_eq!(form(&["00ff", "a1b2"]), HEX_LOWER);
        assert_eq!(form(&["00FF", "A1B2"]), HEX_UPPER);
        assert_eq!(form(&["00ff", "A1B2"]), TEXT);
        assert_eq!(form(&["00ff", "a1"]), TEXT);
        let uuid = "0f8fad5b-d9cb-469f-a165-70867728950e";
        assert_eq!(form(&[uuid, uuid]), UUID);
        assert_eq!(form(&["0f8fad5b-d9cb-469f-a165-70867728950-"]), TEXT);
        assert_eq!(form(&["", "grün", "\n"]), TEXT);
    }

    #[test]
    fn identifiers_take_half_their_text() {
        let id = "0123456789abcdef0123456789abcdef";
        assert_eq!(check(&[id; 10]).len(), 2 + 160);
    }

    proptest! {
        #[test]
        fn lists_round_trip(texts in prop::collection::vec("[0-9a-fA-F-]{0,4}|.{0,8}|[0-9]{1,20}", 0..40)) {
            check(&texts.iter().map(String::as_str).collect::<Vec<_>>());
        }
    }
}
