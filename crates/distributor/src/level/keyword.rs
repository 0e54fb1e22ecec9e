//! The first word of a line that says how bad it is.
//!
//! A word counts in any case of ASCII letters when it stands between boundaries. The sweep compares
//! three letters at every place, for many places at once: compilers turn the inner loop into wide
//! comparisons. Only where all three fit is a word looked at.

use model::Level;

/// The words, longer before shorter where one begins with the other.
const WORDS: [(&[u8], Level); 9] = [
    (b"trace", Level::Trace),
    (b"debug", Level::Debug),
    (b"fatal", Level::Fatal),
    (b"critical", Level::Critical),
    (b"error", Level::Error),
    (b"err", Level::Error),
    (b"warning", Level::Warn),
    (b"warn", Level::Warn),
    (b"info", Level::Info),
];

/// Places looked at together.
const CHUNK: usize = 32;

/// Bytes that decide about the places of a chunk: two more than places.
const WINDOW: usize = CHUNK + 2;

/// The level of the first word that counts.
pub(super) fn find(line: &[u8]) -> Option<Level> {
    let mut from = 0;
    while let Some(window) = line.get(from..).and_then(|rest| rest.first_chunk()) {
        if let Some(level) = find_in_chunk(line, from, window) {
            return Some(level);
        }
        from += CHUNK;
    }
    // What is left is looked at together with zeros, which begin no word.
    let rest = &line[from..];
    let mut window = [0; WINDOW];
    window[..rest.len()].copy_from_slice(rest);
    find_in_chunk(line, from, &window)
}

/// The level of the first word that begins in a chunk.
fn find_in_chunk(line: &[u8], from: usize, window: &[u8; WINDOW]) -> Option<Level> {
    let mut marks = [false; CHUNK];
    let mut any = false;
    for i in 0..CHUNK {
        marks[i] = begins_word(window[i], window[i + 1], window[i + 2]);
        any |= marks[i];
    }
    if !any {
        return None;
    }
    let places = marks.iter().enumerate().filter(|(_, mark)| **mark);
    places.map(|(place, _)| from + place).find_map(|start| word_at(line, start))
}

/// Whether three bytes are the first letters of a word. Without branches, so that it can run on
/// many places at once. The bit that is set makes letters lower case; some bytes that are no
/// letters pass for one, and are found out later.
#[inline]
fn begins_word(first: u8, second: u8, third: u8) -> bool {
    let (a, b, c) = (first | 0x20, second | 0x20, third | 0x20);
    let is = |x: u8, y: u8, z: u8| (a == x) & (b == y) & (c == z);
    is(b't', b'r', b'a')
        | is(b'd', b'e', b'b')
        | is(b'f', b'a', b't')
        | is(b'c', b'r', b'i')
        | is(b'e', b'r', b'r')
        | is(b'w', b'a', b'r')
        | is(b'i', b'n', b'f')
}

/// The level of the word that begins at `start`, if it stands between boundaries.
fn word_at(line: &[u8], start: usize) -> Option<Level> {
    if start > 0 && !is_left_boundary(line[start - 1]) {
        return None;
    }
    let rest = &line[start..];
    let (_, level) = WORDS.iter().find(|(word, _)| {
        rest.get(..word.len()).is_some_and(|text| text.eq_ignore_ascii_case(word))
            && rest.get(word.len()).is_none_or(|byte| is_right_boundary(*byte))
    })?;
    Some(*level)
}

fn is_left_boundary(byte: u8) -> bool {
    matches!(byte, b' ' | b'\t' | b'\n' | b'[' | b'(' | b'{' | b'|' | b'"' | b'\'' | b'=')
}

fn is_right_boundary(byte: u8) -> bool {
    is_left_boundary(byte) || matches!(byte, b']' | b')' | b'}' | b':' | b',' | b'!')
}
