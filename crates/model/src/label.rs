//! Label sets: the identity of a stream.
//!
//! The canonical text `{app="web", env="prod"}` is sorted by name and quoted as Go quotes strings;
//! two streams are the same stream exactly when their canonical texts are equal.

use std::cmp::Ordering;
use std::fmt;
use std::sync::Arc;

use crate::fingerprint::Fingerprint;

/// A sorted set of label names and values without empty values. Cloning is cheap.
#[derive(Clone, PartialEq, Eq, Hash, Default)]
pub struct Labels(Arc<[(Box<str>, Box<str>)]>);

/// Why a label text was refused.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message} at byte {offset}")]
pub struct LabelError {
    /// What is wrong.
    pub message: String,
    /// Where in the text, in bytes from its start.
    pub offset: usize,
}

impl Labels {
    /// Builds a label set: sorts by name, drops empty values, and lets the last of equal names win.
    pub fn new<N, V>(pairs: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: Into<Box<str>>,
        V: Into<Box<str>>,
    {
        let mut pairs: Vec<(Box<str>, Box<str>)> =
            pairs.into_iter().map(|(name, value)| (name.into(), value.into())).collect();
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        pairs.reverse();
        pairs.dedup_by(|a, b| a.0 == b.0);
        pairs.reverse();
        pairs.retain(|(_, value)| !value.is_empty());
        Self(pairs.into())
    }

    /// Reads a label set written as `{a="b", c="d"}`, in any order.
    ///
    /// Names are bare (`[A-Za-z_][A-Za-z0-9_]*`) or double-quoted; values are double-quoted with
    /// Go's escapes, back-quoted, or single-quoted. Pairs with an empty value are dropped.
    ///
    /// # Errors
    ///
    /// [`LabelError`] names the first byte that does not fit; duplicate names are refused.
    pub fn parse(text: &str) -> Result<Self, LabelError> {
        let pairs = Parser { text, offset: 0 }.labels()?;
        let mut sorted = pairs;
        sorted.sort_by(|a, b| a.0.cmp(&b.0));
        if let Some(pair) = sorted.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let message = format!("duplicate label name {:?}", pair[0].0);
            return Err(LabelError { message, offset: text.len() });
        }
        sorted.retain(|(_, value)| !value.is_empty());
        Ok(Self(sorted.into_iter().map(|(n, v)| (n.into(), v.into())).collect()))
    }

    /// The value of `name`, if the set holds it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let index = self.0.binary_search_by(|(n, _)| (**n).cmp(name)).ok()?;
        Some(&self.0[index].1)
    }

    /// Names and values in name order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        self.0.iter().map(|(name, value)| (&**name, &**value))
    }

    /// How many labels the set holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.len()
    }

    /// Whether the set holds no label.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.is_empty()
    }

    /// The same set with `name` set to `value` (removed when `value` is empty).
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let kept = self.iter().filter(|(n, _)| *n != name);
        Self::new(kept.chain([(name, value)]))
    }

    /// The 64-bit hash of the set; see [`Fingerprint`].
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.iter())
    }

    /// The canonical text, equal exactly for equal sets.
    #[must_use]
    pub fn canonical(&self) -> String {
        let mut text = String::with_capacity(2 + 40 * self.len());
        text.push('{');
        for (index, (name, value)) in self.iter().enumerate() {
            if index > 0 {
                text.push_str(", ");
            }
            if is_label_name(name) {
                text.push_str(name);
            } else {
                quote_into(name, &mut text);
            }
            text.push('=');
            quote_into(value, &mut text);
        }
        text.push('}');
        text
    }
}

impl PartialOrd for Labels {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp(other))
    }
}

/// Pair by pair, name before value; a proper prefix sorts first.
impl Ord for Labels {
    fn cmp(&self, other: &Self) -> Ordering {
        self.0.cmp(&other.0)
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.canonical())
    }
}

impl fmt::Debug for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Display::fmt(self, f)
    }
}

/// Whether `name` is a label name of the classic form `[A-Za-z_][A-Za-z0-9_]*`.
#[must_use]
pub fn is_label_name(name: &str) -> bool {
    let mut bytes = name.bytes();
    bytes.next().is_some_and(|b| b.is_ascii_alphabetic() || b == b'_')
        && bytes.all(|b| b.is_ascii_alphanumeric() || b == b'_')
}

/// Appends `text` in double quotes, escaped as Go's `strconv.Quote` does.
pub fn quote_into(text: &str, out: &mut String) {
    use fmt::Write as _;
    out.push('"');
    // Nearly all texts are plain up to the end.
    let is_plain = |byte: &u8| matches!(byte, b' '..=b'~') && !matches!(byte, b'"' | b'\\');
    let plain = text.bytes().position(|byte| !is_plain(&byte)).unwrap_or(text.len());
    let (plain, rest) = text.split_at(plain);
    out.push_str(plain);
    for c in rest.chars() {
        match c {
            '"' => out.push_str("\\\""),
            '\\' => out.push_str("\\\\"),
            '\u{7}' => out.push_str("\\a"),
            '\u{8}' => out.push_str("\\b"),
            '\u{c}' => out.push_str("\\f"),
            '\n' => out.push_str("\\n"),
            '\r' => out.push_str("\\r"),
            '\t' => out.push_str("\\t"),
            '\u{b}' => out.push_str("\\v"),
            c if c < ' ' || c == '\u{7f}' => {
                let _ = write!(out, "\\x{:02x}", u32::from(c));
            }
            c if is_unprintable(c) && u32::from(c) <= 0xffff => {
                let _ = write!(out, "\\u{:04x}", u32::from(c));
            }
            c if is_unprintable(c) => {
                let _ = write!(out, "\\U{:08x}", u32::from(c));
            }
            c => out.push(c),
        }
    }
    out.push('"');
}

/// The characters beyond ASCII that Go escapes: controls, spaces other than U+0020, format
/// characters, and the private and unassigned ends of the planes.
fn is_unprintable(c: char) -> bool {
    c.is_control()
        || (c.is_whitespace() && c != ' ')
        || matches!(u32::from(c),
            0xad | 0x600..=0x605 | 0x61c | 0x6dd | 0x70f | 0x180e | 0x200b..=0x200f
            | 0x202a..=0x202e | 0x2060..=0x2064 | 0x2066..=0x206f | 0xfeff | 0xfff9..=0xfffb
            | 0xe000..=0xf8ff | 0xfffe..=0xffff | 0xe0001..=0xe007f | 0xf0000..=0x10_ffff)
}

/// A cursor over label text.
struct Parser<'a> {
    text: &'a str,
    offset: usize,
}

impl Parser<'_> {
    fn labels(&mut self) -> Result<Vec<(String, String)>, LabelError> {
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

    fn name(&mut self) -> Result<String, LabelError> {
        if self.peek() == Some('"') {
            let name = self.quoted()?;
            return if name.is_empty() { Err(self.error("empty label name")) } else { Ok(name) };
        }
        let rest = &self.text[self.offset..];
        let end =
            rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_')).unwrap_or(rest.len());
        let name = &rest[..end];
        if !is_label_name(name) {
            return Err(self.error("expected a label name"));
        }
        self.offset += end;
        Ok(name.to_owned())
    }

    fn quoted(&mut self) -> Result<String, LabelError> {
        let rest = &self.text[self.offset..];
        match unquote_prefix(rest) {
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
    let quote = match text.as_bytes().first() {
        Some(q @ (b'"' | b'\'' | b'`')) => *q,
        _ => return Err("expected a quoted string"),
    };
    let body = &text.as_bytes()[1..];
    if quote == b'`' {
        let end = memchr::memchr(b'`', body).ok_or("literal not terminated")?;
        return Ok((text[1..=end].to_owned(), end + 2));
    }
    let mut out = Vec::new();
    let mut i = 0;
    loop {
        match *body.get(i).ok_or("literal not terminated")? {
            b if b == quote => {
                let value = String::from_utf8(out)
                    .unwrap_or_else(|e| String::from_utf8_lossy(e.as_bytes()).into_owned());
                return Ok((value, i + 2));
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_text_is_sorted_and_reads_back() {
        let labels = Labels::parse(r#"{ foo="bar", bazz = "bu\"z\n", empty="" }"#).unwrap();
        assert_eq!(labels.canonical(), r#"{bazz="bu\"z\n", foo="bar"}"#);
        assert_eq!(Labels::parse(&labels.canonical()).unwrap(), labels);
        assert_eq!(labels.get("foo"), Some("bar"));
        assert_eq!(labels.get("empty"), None);
    }

    #[test]
    fn quoted_names_and_other_quotes_parse() {
        let labels = Labels::parse("{\"k8s.pod\"=`a\\b`, b='x'}").unwrap();
        assert_eq!(labels.canonical(), "{b=\"x\", \"k8s.pod\"=\"a\\\\b\"}");
    }

    #[test]
    fn malformed_texts_are_refused() {
        for text in ["", "{", "{a}", "{a=b}", "{a=\"b\"", "{a=\"b\"} x", "{a=\"\\q\"}", "{1=\"b\"}"]
        {
            assert!(Labels::parse(text).is_err(), "{text}");
        }
        assert!(Labels::parse(r#"{a="1", a="2"}"#).is_err());
    }

    #[test]
    fn the_last_of_equal_names_wins() {
        assert_eq!(Labels::new([("a", "1"), ("a", "2")]).get("a"), Some("2"));
        assert_eq!(Labels::new([("a", "1")]).with("a", "").len(), 0);
    }
}
