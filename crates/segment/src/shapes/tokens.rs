//! Cutting a line into the text of its shape and the slots between.
//!
//! What varies from line to line has digits, or is a value behind `=` or `"name":`. Slots begin and
//! end where runs of letters and digits do, or beside digits within one.

use std::ops::Range;

use super::masks::Masks;
use super::times::{self, FORM_BYTES};

/// Stands for a slot in the text of a shape.
pub(super) const SLOT: u8 = 0;
/// Stands for a time in the text of a shape; the bytes of its form follow.
pub(super) const TIME: u8 = 1;
/// Longer values are not taken for one slot.
const VALUE_BYTES_MAX: usize = 96;
/// A line has no more slots; the rest of it belongs to the shape.
const SLOTS_MAX: usize = 200;
const UUID_BYTES: usize = 36;
/// Bytes that end a value without quotes.
const ENDS_VALUE: [bool; 256] = {
    let mut ends = [false; 256];
    let mut byte = 0;
    while byte < 256 {
        ends[byte] = byte <= b' ' as usize
            || matches!(byte as u8, b',' | b';' | b')' | b']' | b'}' | b'"' | b'\'' | b'&' | b'\\');
        byte += 1;
    }
    ends
};

/// A slot of a line.
#[derive(Debug, Clone, Copy)]
pub(super) struct Slot {
    /// Where its text begins; for a time, the upper half of its value.
    pub(super) start: u32,
    /// How long its text is; for a time, the lower half of its value.
    pub(super) len: u32,
}

impl Slot {
    fn time(value: i64) -> Self {
        Self { start: (value as u64 >> 32) as u32, len: value as u32 }
    }

    /// The value of a time.
    pub(super) fn time_value(self) -> i64 {
        (u64::from(self.start) << 32 | u64::from(self.len)) as i64
    }
}

/// The text of a shape while it is made.
pub(super) struct ShapeText {
    /// Room for the longest.
    bytes: Box<[u8]>,
    len: usize,
}

impl ShapeText {
    /// Bytes that are copied at once, however few are wanted.
    const COPIED: usize = 16;

    /// Room for the shapes of lines of so many bytes.
    pub(super) fn with_room(line_bytes: usize) -> Self {
        let marks = SLOTS_MAX * (1 + FORM_BYTES);
        Self { bytes: vec![0; line_bytes + marks + Self::COPIED].into(), len: 0 }
    }

    pub(super) fn get(&self) -> &[u8] {
        &self.bytes[..self.len]
    }

    fn clear(&mut self) {
        self.len = 0;
    }

    /// Appends what stands between two places of a text.
    fn push_between(&mut self, text: &[u8], from: usize, to: usize) {
        let len = to - from;
        let chunk = text.get(from..).and_then(|rest| rest.first_chunk::<{ Self::COPIED }>());
        match (chunk, self.bytes[self.len..].first_chunk_mut()) {
            // Most are short, and copying a fixed number of bytes is quicker.
            (Some(chunk), Some(place)) if len <= Self::COPIED => *place = *chunk,
            _ => self.bytes[self.len..self.len + len].copy_from_slice(&text[from..to]),
        }
        self.len += len;
    }

    fn push(&mut self, bytes: &[u8]) {
        self.bytes[self.len..self.len + bytes.len()].copy_from_slice(bytes);
        self.len += bytes.len();
    }
}

/// Writes the shape of the line `text[start..end]` to `shape`, and its slots to `slots`.
pub(super) fn cut(
    text: &[u8],
    masks: &Masks,
    (start, end): (usize, usize),
    shape: &mut ShapeText,
    slots: &mut Vec<Slot>,
) {
    shape.clear();
    let slots_max = slots.len() + SLOTS_MAX;
    let mut literal = start;
    let mut at = start;
    while let Some(event) = masks.next_event(at, end) {
        if slots.len() >= slots_max {
            break;
        }
        let found = if text[event].is_ascii_digit() {
            let (run, digits_end) = masks.run_around(event, at..end);
            let is_first = run.start == event;
            let time = if is_first { time_at(text, (start, end), event) } else { None };
            if let Some((form, value)) = time {
                shape.push_between(text, literal, event);
                shape.push(&[TIME]);
                shape.push(&form.to_bytes());
                slots.push(Slot::time(value));
                literal = event + form.len();
                at = literal;
                continue;
            }
            digits_slot(&text[..end], run, event..digits_end)
        } else {
            value_slot(text, masks, event, end)
        };
        at = found.1;
        if found.0 < found.1 {
            shape.push_between(text, literal, found.0);
            shape.push(&[SLOT]);
            slots.push(Slot { start: found.0 as u32, len: (found.1 - found.0) as u32 });
            literal = found.1;
            // The rest of a word has no slot of its own.
            at = found.1;
        } else {
            at = at.max(event + 1);
        }
    }
    shape.push_between(text, literal, end);
}

/// The time that begins with a digit of a line.
fn time_at(
    text: &[u8],
    (start, end): (usize, usize),
    event: usize,
) -> Option<(times::TimeForm, i64)> {
    if event + 8 > end {
        return None;
    }
    let looks_right = match (text[event + 2], text[event + 4]) {
        (b':', _) => event == start || text[event - 1] != b':',
        (_, b'-' | b'/' | b'.') => true,
        _ => false,
    };
    if !looks_right {
        return None;
    }
    times::parse(&text[event..end.min(event + 32)])
}

/// The slot in a run of letters and digits with its first digits, in a text that ends with the line;
/// an empty one ends where the search goes on.
fn digits_slot(text: &[u8], run: Range<usize>, digits: Range<usize>) -> (usize, usize) {
    let (from, to) = (run.start, run.end);
    if run.len() == 8 && is_uuid(&text[from..]) {
        return (from, from + UUID_BYTES);
    }
    if digits == run {
        return (from, to);
    }
    let chars = &text[run];
    if let [b'0', b'x' | b'X', rest @ ..] = chars {
        return if rest.is_empty() { (from, to) } else { (from + 2, to) };
    }
    // Identifiers may hold any hexadecimal digits.
    if chars.iter().all(u8::is_ascii_hexdigit) {
        return (from, to);
    }
    if text[digits.end..to].iter().any(u8::is_ascii_digit) {
        (from, to)
    } else {
        (digits.start, digits.end)
    }
}

fn is_uuid(text: &[u8]) -> bool {
    text.len() >= UUID_BYTES
        && text[..UUID_BYTES].iter().enumerate().all(|(at, byte)| match at {
            8 | 13 | 18 | 23 => *byte == b'-',
            _ => byte.is_ascii_digit() || (b'a'..=b'f').contains(byte),
        })
        && !text.get(UUID_BYTES).is_some_and(u8::is_ascii_alphanumeric)
}

/// The slot of the value behind the `=` or `:` at `opener`; an empty one ends where the search
/// goes on.
fn value_slot(text: &[u8], masks: &Masks, opener: usize, end: usize) -> (usize, usize) {
    let mut from = opener + 1;
    if text[opener] == b':' && text.get(from) == Some(&b' ') {
        from += 1;
    }
    let none = (from, from);
    let Some(first) = text[..end].get(from) else { return none };
    let limit = end.min(from + VALUE_BYTES_MAX);
    if *first == b'"' {
        let from = from + 1;
        let none = (from, from);
        return match text[..limit].get(from) {
            // What begins with a digit is looked at more closely.
            None | Some(b'0'..=b'9' | b'-') => none,
            Some(_) => match value_end(text, masks, (from, limit), |byte| {
                matches!(byte, 0..=b' ' | b'"' | b'\\')
            }) {
                to if to < limit && text[to] == b'"' => (from, to),
                _ => none,
            },
        };
    }
    if !matches!(first, b'a'..=b'z' | b'A'..=b'Z' | b'/' | b'_' | b'.' | b'*' | 0x80..) {
        return none;
    }
    (from, value_end(text, masks, (from, limit), |byte| ENDS_VALUE[usize::from(byte)]))
}

/// Where the first byte stands that ends a value, which is none of a word; or the limit.
fn value_end(
    text: &[u8],
    masks: &Masks,
    (from, limit): (usize, usize),
    ends: impl Fn(u8) -> bool,
) -> usize {
    let mut to = from;
    while to < limit {
        to = masks.run_end(to, limit);
        if text[..limit].get(to).is_none_or(|byte| ends(*byte)) {
            break;
        }
        to += 1;
    }
    to
}
