//! A cursor over JSON that borrows from the body.
//!
//! Only what is looked at is decoded, everything else is stepped over. The reader checks structure,
//! not the fine print: it accepts a few numbers that JSON does not know. Nothing here allocates
//! except the text of strings with escapes, and nesting is limited.

use std::borrow::Cow;

use memchr::memchr2;

/// Deepest nesting of a value that is stepped over.
const DEPTH_MAX: u32 = 128;

/// Bytes are not JSON, or not of the expected kind.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct JsonError {
    /// Where, in bytes from the start.
    pub(crate) at: usize,
    /// What was expected there.
    pub(crate) expected: &'static str,
}

/// What stands at the cursor.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Kind {
    Object,
    Array,
    String,
    Number,
    Boolean,
    Null,
}

/// What becomes of `\ud800` escapes without a partner.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum LoneSurrogates {
    /// The string is refused.
    Refuse,
    /// They become U+FFFD.
    Replace,
}

/// The inside of a string, escapes and all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RawString<'a> {
    pub(crate) raw: &'a [u8],
    has_escapes: bool,
}

impl<'a> RawString<'a> {
    /// The bytes that the string denotes; `None` when an escape is malformed.
    pub(crate) fn unescape(self, surrogates: LoneSurrogates) -> Option<Cow<'a, [u8]>> {
        if !self.has_escapes {
            return Some(Cow::Borrowed(self.raw));
        }
        let mut out = Vec::with_capacity(self.raw.len());
        let mut rest = self.raw;
        while let Some(at) = memchr::memchr(b'\\', rest) {
            out.extend_from_slice(&rest[..at]);
            let used = unescape_one(&rest[at..], surrogates, &mut out)?;
            rest = &rest[at + used..];
        }
        out.extend_from_slice(rest);
        Some(Cow::Owned(out))
    }

    /// Whether the string denotes exactly this text, in any case of ASCII letters.
    pub(crate) fn is_ignoring_case(self, text: &str) -> bool {
        self.raw.eq_ignore_ascii_case(text.as_bytes())
    }
}

/// Decodes the escape that `text` begins with; answers its length.
fn unescape_one(text: &[u8], surrogates: LoneSurrogates, out: &mut Vec<u8>) -> Option<usize> {
    let byte = match *text.get(1)? {
        byte @ (b'"' | b'\\' | b'/') => byte,
        b'b' => 8,
        b'f' => 12,
        b'n' => b'\n',
        b'r' => b'\r',
        b't' => b'\t',
        b'u' => return unescape_unicode(text, surrogates, out),
        _ => return None,
    };
    out.push(byte);
    Some(2)
}

fn unescape_unicode(text: &[u8], surrogates: LoneSurrogates, out: &mut Vec<u8>) -> Option<usize> {
    let first = hex4(text)?;
    let (c, used) = match first {
        0xd800..=0xdbff => match hex4(text.get(6..)?) {
            Some(second @ 0xdc00..=0xdfff) => {
                let code = 0x10000 + ((first - 0xd800) << 10) + (second - 0xdc00);
                (char::from_u32(code)?, 12)
            }
            _ if surrogates == LoneSurrogates::Refuse => return None,
            _ => ('\u{fffd}', 6),
        },
        0xdc00..=0xdfff if surrogates == LoneSurrogates::Refuse => return None,
        0xdc00..=0xdfff => ('\u{fffd}', 6),
        code => (char::from_u32(code)?, 6),
    };
    out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    Some(used)
}

/// The number of a `\u` escape with its four digits.
fn hex4(text: &[u8]) -> Option<u32> {
    let digits = text.strip_prefix(b"\\u")?.get(..4)?;
    digits.iter().try_fold(0, |value, byte| Some(value << 4 | char::from(*byte).to_digit(16)?))
}

/// Remembers whether a member of an object or array was read.
#[derive(Debug, Default)]
pub(crate) struct Members {
    any: bool,
}

/// The cursor.
#[derive(Debug, Clone)]
pub(crate) struct JsonReader<'a> {
    bytes: &'a [u8],
    at: usize,
}

impl<'a> JsonReader<'a> {
    pub(crate) fn new(bytes: &'a [u8]) -> Self {
        Self { bytes, at: 0 }
    }

    /// How many bytes were read.
    pub(crate) fn at(&self) -> usize {
        self.at
    }

    /// Goes back to where [`JsonReader::at`] was.
    pub(crate) fn seek(&mut self, at: usize) {
        self.at = at.min(self.bytes.len());
    }

    pub(crate) fn error(&self, expected: &'static str) -> JsonError {
        JsonError { at: self.at, expected }
    }

    /// The next byte that is not white space.
    #[inline]
    pub(crate) fn peek(&mut self) -> Option<u8> {
        while let Some(byte) = self.bytes.get(self.at) {
            if !matches!(byte, b' ' | b'\t' | b'\n' | b'\r') {
                return Some(*byte);
            }
            self.at += 1;
        }
        None
    }

    /// What the next value is, by its first byte.
    #[inline]
    pub(crate) fn kind(&mut self) -> Result<Kind, JsonError> {
        Ok(match self.peek() {
            Some(b'{') => Kind::Object,
            Some(b'[') => Kind::Array,
            Some(b'"') => Kind::String,
            Some(b'-' | b'0'..=b'9') => Kind::Number,
            Some(b't' | b'f') => Kind::Boolean,
            Some(b'n') => Kind::Null,
            _ => return Err(self.error("a value")),
        })
    }

    /// Begins an object; its members follow.
    pub(crate) fn object(&mut self) -> Result<Members, JsonError> {
        self.expect(b'{', "an object")?;
        Ok(Members::default())
    }

    /// The next key of an object, leaving the cursor at its value; `None` at the object's end.
    pub(crate) fn key(
        &mut self,
        members: &mut Members,
    ) -> Result<Option<RawString<'a>>, JsonError> {
        if !self.member(members, b'}')? {
            return Ok(None);
        }
        let key = self.string()?;
        self.expect(b':', "a colon")?;
        Ok(Some(key))
    }

    /// Begins an array; its items follow.
    pub(crate) fn array(&mut self) -> Result<Members, JsonError> {
        self.expect(b'[', "an array")?;
        Ok(Members::default())
    }

    /// Whether another item follows, leaving the cursor there.
    pub(crate) fn item(&mut self, members: &mut Members) -> Result<bool, JsonError> {
        self.member(members, b']')
    }

    #[inline]
    fn member(&mut self, members: &mut Members, end: u8) -> Result<bool, JsonError> {
        match self.peek() {
            Some(byte) if byte == end => {
                self.at += 1;
                Ok(false)
            }
            Some(b',') if members.any => {
                self.at += 1;
                if self.peek() == Some(end) { Err(self.error("a member")) } else { Ok(true) }
            }
            Some(_) if !members.any => {
                members.any = true;
                Ok(true)
            }
            _ => Err(self.error("a comma or the end")),
        }
    }

    #[inline]
    fn expect(&mut self, byte: u8, expected: &'static str) -> Result<(), JsonError> {
        if self.peek() == Some(byte) {
            self.at += 1;
            Ok(())
        } else {
            Err(self.error(expected))
        }
    }

    /// A string. Control characters before its first escape are refused.
    #[inline]
    pub(crate) fn string(&mut self) -> Result<RawString<'a>, JsonError> {
        self.expect(b'"', "a string")?;
        let start = self.at;
        let mut has_escapes = false;
        loop {
            let rest = &self.bytes[self.at..];
            let Some(found) = memchr2(b'"', b'\\', rest) else {
                return Err(self.error("the end of the string"));
            };
            if !has_escapes && rest[..found].iter().fold(false, |any, byte| any | (*byte < b' ')) {
                return Err(self.error("no control character"));
            }
            self.at += found + 1;
            if rest[found] == b'"' {
                return Ok(RawString { raw: &self.bytes[start..self.at - 1], has_escapes });
            }
            has_escapes = true;
            // Whatever stands after the backslash is part of the escape, a quote too.
            self.at = (self.at + 1).min(self.bytes.len());
        }
    }

    /// Steps over `null`.
    pub(crate) fn null(&mut self) -> Result<(), JsonError> {
        self.word(b"null")
    }

    /// `true` or `false`.
    pub(crate) fn boolean(&mut self) -> Result<bool, JsonError> {
        if self.peek() == Some(b't') {
            self.word(b"true").map(|()| true)
        } else {
            self.word(b"false").map(|()| false)
        }
    }

    fn word(&mut self, word: &'static [u8]) -> Result<(), JsonError> {
        self.peek();
        if self.bytes[self.at..].starts_with(word) {
            self.at += word.len();
            Ok(())
        } else {
            Err(self.error("true, false or null"))
        }
    }

    /// The text of a number.
    pub(crate) fn number(&mut self) -> Result<&'a str, JsonError> {
        self.peek();
        let rest = &self.bytes[self.at..];
        let is_part = |b: &u8| matches!(b, b'0'..=b'9' | b'-' | b'+' | b'.' | b'e' | b'E');
        let len = rest.iter().take_while(|b| is_part(b)).count();
        let text = str::from_utf8(&rest[..len]).unwrap_or_default();
        if len == 0 || !text.contains(|c: char| c.is_ascii_digit()) {
            return Err(self.error("a number"));
        }
        self.at += len;
        Ok(text)
    }

    /// Steps over a value; answers its bytes.
    pub(crate) fn skip(&mut self) -> Result<&'a [u8], JsonError> {
        self.peek();
        let start = self.at;
        self.skip_nested(DEPTH_MAX)?;
        Ok(&self.bytes[start..self.at])
    }

    fn skip_nested(&mut self, depth: u32) -> Result<(), JsonError> {
        if depth == 0 {
            return Err(self.error("less nesting"));
        }
        match self.kind()? {
            Kind::Object => {
                let mut members = self.object()?;
                while self.key(&mut members)?.is_some() {
                    self.skip_nested(depth - 1)?;
                }
            }
            Kind::Array => {
                let mut members = self.array()?;
                while self.item(&mut members)? {
                    self.skip_nested(depth - 1)?;
                }
            }
            Kind::String => drop(self.string()?),
            Kind::Number => drop(self.number()?),
            Kind::Boolean => drop(self.boolean()?),
            Kind::Null => self.null()?,
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn skipped(text: &str) -> Result<usize, usize> {
        let mut reader = JsonReader::new(text.as_bytes());
        reader.skip().map(<[u8]>::len).map_err(|error| error.at)
    }

    #[test]
    fn values_are_stepped_over() {
        for text in ["{}", "[]", "\"a\\\"b\"", "-1.5e3", "true", "null", "{\"a\":[1,{\"b\":null}]}"]
        {
            assert_eq!(skipped(text), Ok(text.len()), "{text}");
        }
        for text in
            ["", "{", "[1,]", "{\"a\":1,}", "{\"a\"}", "{a:1}", "\"a", "[1 2]", "nul", "-", "[,]"]
        {
            assert!(skipped(text).is_err(), "{text}");
        }
        assert_eq!(skipped(" {} trailing"), Ok(2));
        assert!(skipped(&"[".repeat(200)).is_err());
    }

    fn unescaped(text: &str, surrogates: LoneSurrogates) -> Option<String> {
        let string = JsonReader::new(text.as_bytes()).string().unwrap();
        string.unescape(surrogates).map(|bytes| String::from_utf8(bytes.into_owned()).unwrap())
    }

    #[test]
    fn escapes() {
        let both = |text: &str, expected: Option<&str>| {
            for surrogates in [LoneSurrogates::Refuse, LoneSurrogates::Replace] {
                assert_eq!(unescaped(text, surrogates).as_deref(), expected, "{text}");
            }
        };
        both(r#""plain""#, Some("plain"));
        both(r#""a\"\\\/\b\f\n\r\t\u00e9\ud83d\ude00""#, Some("a\"\\/\u{8}\u{c}\n\r\té😀"));
        both(r#""\x""#, None);
        both(r#""\u12""#, None);
        for text in [r#""\ud800x12345""#, r#""\udc00""#, r#""\ud800\u0041""#] {
            assert_eq!(unescaped(text, LoneSurrogates::Refuse), None, "{text}");
            assert!(unescaped(text, LoneSurrogates::Replace).unwrap().starts_with('\u{fffd}'));
        }
    }

    #[test]
    fn control_characters_are_refused_until_an_escape() {
        assert!(JsonReader::new(b"\"a\nb\"").string().is_err());
        assert!(JsonReader::new(b"\"a\\t\nb\"").string().is_ok());
    }

    proptest! {
        #[test]
        fn strings_come_back(text: String) {
            let json = serde_json::to_string(&text).unwrap();
            prop_assert_eq!(unescaped(&json, LoneSurrogates::Refuse), Some(text));
        }

        #[test]
        fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..60), text in "[\\[\\]{}\",:0-9a-u\\\\ ]{0,40}") {
            let _ = JsonReader::new(&bytes).skip();
            let _ = JsonReader::new(text.as_bytes()).skip();
        }
    }
}
