//! Cutting a line into the text of its shape and the slots between.
//!
//! What varies from line to line has digits, or is a value behind `=` or `"name":`. Slots begin and
//! end where runs of letters and digits do, or beside digits within one.

use super::classes::{DIGITS, HEX_LOWER, HEX_UPPER, classes_of};
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

/// Writes the shape of the line `text[start..end]` to `shape`, and its slots to `slots`.
pub(super) fn cut(
    text: &[u8],
    masks: &Masks,
    (start, end): (usize, usize),
    shape: &mut Vec<u8>,
    slots: &mut Vec<Slot>,
) {
    let slots_max = slots.len() + SLOTS_MAX;
    let mut literal = start;
    let mut at = start;
    while let Some(event) = masks.next_event(at, end) {
        if slots.len() >= slots_max {
            break;
        }
        let found = if text[event].is_ascii_digit() {
            let from = masks.run_start(event, at);
            if let Some((form, value)) = time_at(text, (start, end), (from, event)) {
                shape.extend_from_slice(&text[literal..event]);
                shape.push(TIME);
                shape.extend_from_slice(&form.to_bytes());
                const { assert!(FORM_BYTES == 4) };
                slots.push(Slot::time(value));
                literal = event + form.len();
                at = literal;
                continue;
            }
            digits_slot(text, masks, end, (from, event))
        } else {
            value_slot(text, event, end)
        };
        at = found.1;
        if found.0 < found.1 {
            shape.extend_from_slice(&text[literal..found.0]);
            shape.push(SLOT);
            slots.push(Slot { start: found.0 as u32, len: (found.1 - found.0) as u32 });
            literal = found.1;
            // The rest of a word has no slot of its own.
            at = found.1;
        } else {
            at = at.max(event + 1);
        }
    }
    shape.extend_from_slice(&text[literal..end]);
}

fn time_at(
    text: &[u8],
    (start, end): (usize, usize),
    (from, event): (usize, usize),
) -> Option<(times::TimeForm, i64)> {
    if from != event || event + 8 > end {
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
    let (form, value) = times::parse(&text[event..end.min(event + 32)])?;
    Some((form, value))
}

/// The slot in the run of letters and digits that begins at `from` and has its first digit at
/// `digit`; an empty one ends where the search goes on.
fn digits_slot(
    text: &[u8],
    masks: &Masks,
    end: usize,
    (from, digit): (usize, usize),
) -> (usize, usize) {
    let to = masks.run_end(digit, end);
    let run = &text[from..to];
    if run.len() == 8 && is_uuid(&text[from..end]) {
        return (from, from + UUID_BYTES);
    }
    if let [b'0', b'x' | b'X', rest @ ..] = run {
        return if rest.is_empty() { (from, to) } else { (from + 2, to) };
    }
    let digits = text[digit..to].iter().take_while(|byte| byte.is_ascii_digit()).count();
    // Identifiers may hold any hexadecimal digits.
    if digits == run.len() || classes_of(run) & !(DIGITS | HEX_LOWER | HEX_UPPER) == 0 {
        return (from, to);
    }
    let behind = digit + digits;
    if text[behind..to].iter().any(u8::is_ascii_digit) { (from, to) } else { (digit, behind) }
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
fn value_slot(text: &[u8], opener: usize, end: usize) -> (usize, usize) {
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
        let Some(rest) = text.get(from..limit) else { return none };
        let len = rest.iter().position(|byte| matches!(byte, 0..=b' ' | b'"' | b'\\'));
        return match (rest.first(), len) {
            // What begins with a digit is looked at more closely.
            (Some(b'0'..=b'9' | b'-'), _) => none,
            (_, Some(len)) if rest[len] == b'"' => (from, from + len),
            _ => none,
        };
    }
    if !matches!(first, b'a'..=b'z' | b'A'..=b'Z' | b'/' | b'_' | b'.' | b'*' | 0x80..) {
        return none;
    }
    let rest = &text[from..limit];
    let ends = |byte: &u8| ENDS_VALUE[usize::from(*byte)];
    let len = rest.iter().position(ends).unwrap_or(rest.len());
    (from, from + len)
}
