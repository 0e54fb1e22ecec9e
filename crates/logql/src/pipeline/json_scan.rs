//! Reading JSON without building it.
//!
//! The rules are those of the lenient reader that Loki uses, not those of the standard: numbers
//! are not checked, commas may trail, what follows the closing brace is ignored, and each fault
//! has the wording of that reader.

use super::scan::{Quote, hex_escape, quote_end};

/// Why a line is not the JSON that was expected. The words reach the user as `__error_details__`.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
pub(super) enum Fault {
    #[error("Value looks like object, but can't find closing '}}' symbol")]
    Object,
    #[error("Value is array, but can't find closing ']' symbol")]
    Array,
    #[error("Value is string, but can't find closing '\"' symbol")]
    Text,
    #[error("Unknown value type")]
    Unknown,
    #[error("Malformed JSON error")]
    Json,
    #[error("Encountered an invalid escape sequence in a string")]
    Escape,
}

/// What a value is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// A string; whether it holds a backslash, and whether it is known to be ASCII.
    Text {
        is_escaped: bool,
        is_ascii: bool,
    },
    Number,
    Bool,
    Null,
    Object,
    Array,
}

/// A value in the line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Found {
    pub(super) kind: Kind,
    /// Where its text begins: after the quote of a string, at the bracket of a container.
    pub(super) start: usize,
    /// Where its text ends: before the quote of a string.
    pub(super) end: usize,
    /// Where the reader goes on.
    pub(super) next: usize,
}

/// The first byte at or after `at` that is no blank.
#[inline]
pub(super) fn skip_blanks(text: &[u8], mut at: usize) -> Option<usize> {
    while let b' ' | b'\t' | b'\n' | b'\r' = *text.get(at)? {
        at += 1;
    }
    Some(at)
}

/// Reads the value at `at`, which is no blank.
#[inline]
pub(super) fn value_at(text: &[u8], at: usize) -> Result<Found, Fault> {
    let found = |kind, start, end, next| Ok(Found { kind, start, end, next });
    match text.get(at).ok_or(Fault::Json)? {
        b'"' => {
            // Not `ok_or`: packing both outcomes into one value costs more than the search.
            let Some(Quote { end, is_escaped, is_ascii }) = quote_end(text, at + 1) else {
                return Err(Fault::Text);
            };
            found(Kind::Text { is_escaped, is_ascii }, at + 1, end, end + 1)
        }
        b'{' => {
            let end = block_end(text, at, b'{', b'}').ok_or(Fault::Object)?;
            found(Kind::Object, at, end, end)
        }
        b'[' => {
            let end = block_end(text, at, b'[', b']').ok_or(Fault::Array)?;
            found(Kind::Array, at, end, end)
        }
        _ => {
            let end = word_end(text, at);
            let kind = word_kind(&text[at..end])?;
            found(kind, at, end, end)
        }
    }
}

#[inline]
fn word_kind(word: &[u8]) -> Result<Kind, Fault> {
    match word {
        [b'0'..=b'9' | b'-', ..] => Ok(Kind::Number),
        b"true" | b"false" => Ok(Kind::Bool),
        b"null" => Ok(Kind::Null),
        _ => Err(Fault::Unknown),
    }
}

#[inline]
fn word_end(text: &[u8], at: usize) -> usize {
    let is_end = |byte: &u8| matches!(byte, b' ' | b'\n' | b'\r' | b'\t' | b',' | b'}' | b']');
    text[at..].iter().position(is_end).map_or(text.len(), |length| at + length)
}

/// The position after the bracket that closes the one at `at`. Brackets in strings do not count.
pub(super) fn block_end(text: &[u8], at: usize, open: u8, close: u8) -> Option<usize> {
    let mut depth = 0usize;
    let mut at = at;
    // Strings and brackets are so dense that a plain loop beats a vector search.
    loop {
        let byte = *text.get(at)?;
        if byte == b'"' {
            at = quote_end(text, at + 1)?.end;
        } else if byte == open {
            depth += 1;
        } else if byte == close {
            depth = depth.checked_sub(1)?;
            if depth == 0 {
                return Some(at + 1);
            }
        }
        at += 1;
    }
}

/// Walks the members of an object and, on request, of the objects in it.
pub(super) struct Members<'l> {
    line: &'l [u8],
    /// Nothing is read beyond; the end of the outermost object that was entered.
    limit: usize,
    at: usize,
    depth: usize,
}

impl<'l> Members<'l> {
    /// Opens the object that the line is.
    pub(super) fn open(line: &'l [u8]) -> Result<Self, Fault> {
        let at = skip_blanks(line, 0).filter(|at| line[*at] == b'{').ok_or(Fault::Object)?;
        let at = skip_blanks(line, at + 1).ok_or(Fault::Json)?;
        Ok(Self { line, limit: line.len(), at, depth: 0 })
    }

    #[inline]
    fn text(&self) -> &'l [u8] {
        &self.line[..self.limit]
    }

    /// The next key as a range of the line, with whether it is escaped; then the reader stands at
    /// its value. `None`: the object ended, and the reader stands behind it.
    #[inline]
    pub(super) fn next_key(&mut self) -> Result<Option<(usize, usize, bool)>, Fault> {
        match self.text().get(self.at) {
            Some(b'"') => {}
            Some(b'}') => {
                self.leave();
                return Ok(None);
            }
            _ => return Err(Fault::Object),
        }
        let start = self.at + 1;
        let Some(Quote { end, is_escaped, .. }) = quote_end(self.text(), start) else {
            return Err(Fault::Json);
        };
        let colon = match skip_blanks(self.text(), end + 1) {
            Some(at) if self.line[at] == b':' => at,
            _ => return Err(Fault::Json),
        };
        self.at = skip_blanks(self.text(), colon + 1).ok_or(Fault::Json)?;
        Ok(Some((start, end, is_escaped)))
    }

    /// Reads the value; the reader stands behind it, or, for an object in an object that was
    /// entered, still at it: [`Members::enter`] or [`Members::skip`] it.
    #[inline]
    pub(super) fn value(&mut self) -> Result<Found, Fault> {
        if self.depth > 0 && self.text().get(self.at) == Some(&b'{') {
            // The outer object is known to close, and so is this one.
            let (start, end, next) = (self.at, self.at, self.at);
            return Ok(Found { kind: Kind::Object, start, end, next });
        }
        let found = value_at(self.text(), self.at)?;
        self.at = found.next;
        Ok(found)
    }

    /// Goes into an object that was just read.
    pub(super) fn enter(&mut self, object: Found) -> Result<(), Fault> {
        if self.depth == 0 {
            self.limit = object.next;
        }
        self.depth += 1;
        self.at = skip_blanks(self.text(), object.start + 1).ok_or(Fault::Json)?;
        Ok(())
    }

    /// Goes past an object that was just read.
    pub(super) fn skip(&mut self, object: Found) -> Result<(), Fault> {
        if self.depth > 0 {
            self.at = block_end(self.text(), object.start, b'{', b'}').ok_or(Fault::Object)?;
        }
        Ok(())
    }

    fn leave(&mut self) {
        self.at += 1;
        if self.depth == 1 {
            self.at = self.limit;
            self.limit = self.line.len();
        }
        self.depth = self.depth.saturating_sub(1);
    }

    /// Goes past the comma after a member; the closing brace is left for the next key.
    #[inline]
    pub(super) fn separator(&mut self) -> Result<(), Fault> {
        let at = skip_blanks(self.text(), self.at).ok_or(Fault::Array)?;
        self.at = match self.line[at] {
            b'}' => at,
            b',' => skip_blanks(self.text(), at + 1).ok_or(Fault::Array)?,
            _ => return Err(Fault::Object),
        };
        Ok(())
    }
}

/// Appends the meaning of a string's text. A bad escape or a lone surrogate is a fault.
pub(super) fn unescape(text: &[u8], out: &mut Vec<u8>) -> Result<(), Fault> {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let plain = match rest.get(1).ok_or(Fault::Escape)? {
            b'"' => b'"',
            b'\\' => b'\\',
            b'/' => b'/',
            b'b' => 8,
            b'f' => 12,
            b'n' => b'\n',
            b'r' => b'\r',
            b't' => b'\t',
            b'u' => {
                let (c, length) = unicode_escape(rest).ok_or(Fault::Escape)?;
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = &rest[length..];
                continue;
            }
            _ => return Err(Fault::Escape),
        };
        out.push(plain);
        rest = &rest[2..];
    }
    out.extend_from_slice(rest);
    Ok(())
}

/// The character of `\u` and four digits, or of a pair of them, and the length of what was read.
fn unicode_escape(text: &[u8]) -> Option<(char, usize)> {
    let first = hex_escape(text)?;
    if !(0xd800..=0xdfff).contains(&first) {
        return Some((char::from_u32(first)?, 6));
    }
    // The second half is taken on trust: neither its backslash nor its upper bound is checked.
    let second = hex_escape(text.get(6..)?).filter(|code| *code >= 0xdc00)?;
    let code = ((first - 0xd800) << 10) + (second - 0xdc00) + 0x1_0000;
    Some((char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn escapes_have_meanings() {
        let check = |text: &str, expected: Option<&str>| {
            let mut out = Vec::new();
            let result = unescape(text.as_bytes(), &mut out).ok();
            assert_eq!(result.map(|()| String::from_utf8(out).unwrap()).as_deref(), expected);
        };
        check("plain", Some("plain"));
        check(r#"a\"b\\c\/d"#, Some("a\"b\\c/d"));
        check(r"\b\f\n\r\t", Some("\u{8}\u{c}\n\r\t"));
        check(r"\u0041\u00df\u6771\ud83d\ude00", Some("Aß東😀"));
        check(r"\ud83d", None);
        check(r"\ud83d!", None);
        check(r"x\q", None);
        check(r"\u12", None);
    }

    #[test]
    fn blocks_end_where_brackets_balance() {
        let check = |text: &str, expected| {
            assert_eq!(block_end(text.as_bytes(), 0, b'{', b'}'), expected, "{text}");
        };
        check("{}", Some(2));
        check(r#"{"a":"}"}"#, Some(9));
        check(r#"{"a":{"b":1}} "#, Some(13));
        check(r#"{"a":{"#, None);
        check(r#"{"a"#, None);
    }

    proptest! {
        #[test]
        fn any_bytes_can_be_read(text in proptest::collection::vec(prop_oneof![
            proptest::sample::select(br#"{}[]":,\ 0tfn"#.to_vec()), any::<u8>()], 0..60)) {
            if let Ok(mut members) = Members::open(&text) {
                for _ in 0..100 {
                    match members.next_key() {
                        Ok(Some(_)) => {
                            let Ok(found) = members.value() else { break };
                            prop_assert!(found.start <= found.end && found.end <= text.len());
                            if found.kind == Kind::Object && members.enter(found).is_err() {
                                break;
                            }
                            if found.kind != Kind::Object && members.separator().is_err() {
                                break;
                            }
                        }
                        Ok(None) => if members.separator().is_err() { break },
                        Err(_) => break,
                    }
                }
            }
            let mut out = Vec::new();
            let _ = unescape(&text, &mut out);
        }
    }
}
