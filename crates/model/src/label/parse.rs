//! Label sets and Go's string literals are read from text.

use std::borrow::Cow;

use super::{LabelError, is_label_name};

/// A name and a value, borrowed where they stand in the text as they are.
type Pair<'a> = (Cow<'a, str>, Cow<'a, str>);

/// A cursor over label text.
pub(super) struct Parser<'a> {
    text: &'a str,
    offset: usize,
}

impl<'a> Parser<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        Self { text, offset: 0 }
    }

    /// All pairs, in the order in which they are written.
    pub(super) fn labels(&mut self) -> Result<Vec<Pair<'a>>, LabelError> {
        self.skip_space();
        self.expect('{')?;
        let mut pairs = Vec::new();
        self.skip_space();
        while !self.eat('}') {
            if !pairs.is_empty() {
                self.expect(',')?;
                self.skip_space();
                if self.eat('}') {
                    break;
                }
            }
            let name = self.name()?;
            self.skip_space();
            self.expect('=')?;
            self.skip_space();
            pairs.push((name, self.quoted()?));
            self.skip_space();
        }
        self.skip_space();
        if self.offset < self.text.len() {
            return Err(self.error("unexpected text after '}'"));
        }
        Ok(pairs)
    }

    fn name(&mut self) -> Result<Cow<'a, str>, LabelError> {
        if self.peek() == Some('"') {
            let name = self.quoted()?;
            return if name.is_empty() { Err(self.error("empty label name")) } else { Ok(name) };
        }
        let rest = &self.text[self.offset..];
        let is_of_name = |byte: u8| byte.is_ascii_alphanumeric() || byte == b'_';
        let end = rest.bytes().position(|byte| !is_of_name(byte)).unwrap_or(rest.len());
        let name = &rest[..end];
        if !is_label_name(name) {
            return Err(self.error("expected a label name"));
        }
        self.offset += end;
        Ok(Cow::Borrowed(name))
    }

    fn quoted(&mut self) -> Result<Cow<'a, str>, LabelError> {
        let rest = &self.text[self.offset..];
        match unquoted(rest) {
            Ok((value, used)) => {
                self.offset += used;
                Ok(value)
            }
            Err(message) => Err(self.error(message)),
        }
    }

    fn peek(&self) -> Option<char> {
        self.text[self.offset..].chars().next()
    }

    fn eat(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        if found {
            self.offset += c.len_utf8();
        }
        found
    }

    fn expect(&mut self, c: char) -> Result<(), LabelError> {
        if self.eat(c) { Ok(()) } else { Err(self.error(&format!("expected '{c}'"))) }
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.offset += 1;
        }
    }

    fn error(&self, message: &str) -> LabelError {
        LabelError { message: message.to_owned(), offset: self.offset }
    }
}

/// Reads one Go string literal at the start of `text`; answers its value and length in bytes.
///
/// Double-quoted and single-quoted literals take Go's escapes, back-quoted ones none. Escapes that
/// denote bytes which are not UTF-8 become U+FFFD.
///
/// # Errors
///
/// A short reason, when the literal is malformed or does not end.
pub fn unquote_prefix(text: &str) -> Result<(String, usize), &'static str> {
    unquoted(text).map(|(value, used)| (value.into_owned(), used))
}

/// As [`unquote_prefix`], without a copy of what stands there as it is.
fn unquoted(text: &str) -> Result<(Cow<'_, str>, usize), &'static str> {
    let quote = match text.as_bytes().first() {
        Some(q @ (b'"' | b'\'' | b'`')) => *q,
        _ => return Err("expected a quoted string"),
    };
    let body = &text.as_bytes()[1..];
    if quote == b'`' {
        let end = memchr::memchr(b'`', body).ok_or("literal not terminated")?;
        return Ok((Cow::Borrowed(&text[1..=end]), end + 2));
    }
    let plain = memchr::memchr3(quote, b'\\', b'\n', body).ok_or("literal not terminated")?;
    if body[plain] == quote {
        return Ok((Cow::Borrowed(&text[1..=plain]), plain + 2));
    }
    let mut out = body[..plain].to_vec();
    let mut i = plain;
    loop {
        match *body.get(i).ok_or("literal not terminated")? {
            b if b == quote => {
                let value = String::from_utf8(out)
                    .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
                return Ok((Cow::Owned(value), i + 2));
            }
            b'\n' => return Err("literal not terminated"),
            b'\\' => i += unescape(&body[i..], quote, &mut out)?,
            b => {
                out.push(b);
                i += 1;
            }
        }
    }
}

/// Decodes the escape at the start of `body` (a backslash) into `out`; answers its length.
fn unescape(body: &[u8], quote: u8, out: &mut Vec<u8>) -> Result<usize, &'static str> {
    let kind = *body.get(1).ok_or("literal not terminated")?;
    let simple = match kind {
        b'a' => 7,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'v' => 11,
        b'\\' => b'\\',
        q if q == quote => q,
        b'x' => {
            out.push(u8::try_from(digits(body, 2, 2, 16)?).map_err(|_| INVALID_ESCAPE)?);
            return Ok(4);
        }
        b'0'..=b'7' => {
            out.push(u8::try_from(digits(body, 1, 3, 8)?).map_err(|_| INVALID_ESCAPE)?);
            return Ok(4);
        }
        b'u' | b'U' => {
            let count = if kind == b'u' { 4 } else { 8 };
            let c = char::from_u32(digits(body, 2, count, 16)?).ok_or(INVALID_ESCAPE)?;
            out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
            return Ok(2 + count);
        }
        _ => return Err(INVALID_ESCAPE),
    };
    out.push(simple);
    Ok(2)
}

const INVALID_ESCAPE: &str = "invalid char escape";

fn digits(body: &[u8], start: usize, count: usize, radix: u32) -> Result<u32, &'static str> {
    let text = body.get(start..start + count).ok_or(INVALID_ESCAPE)?;
    text.iter().try_fold(0u32, |value, b| {
        let digit = char::from(*b).to_digit(radix).ok_or(INVALID_ESCAPE)?;
        value.checked_mul(radix).and_then(|v| v.checked_add(digit)).ok_or(INVALID_ESCAPE)
    })
}
