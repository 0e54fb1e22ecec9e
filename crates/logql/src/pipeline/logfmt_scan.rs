//! Reading `key=value` pairs (language reference 5.4).

use super::scan::{Quote, hex_escape, is_clean, quote_end};

/// What reading on found.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Found {
    /// A pair: see [`Pairs::key`] and [`Pairs::value`].
    Pair,
    /// A pair that does not parse: see [`Pairs::error`].
    Fault,
    /// The end of the line.
    End,
}

/// A pair that does not parse.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("logfmt syntax error at pos {position} : {reason}")]
pub(super) struct PairError {
    /// The byte, counted from 1.
    position: usize,
    reason: &'static str,
}

/// Where bytes that end a key or an unquoted value are marked.
const ENDS: [bool; 256] = {
    let mut ends = [false; 256];
    let mut at = 0;
    while at <= b' ' as usize {
        ends[at] = true;
        at += 1;
    }
    ends[b'=' as usize] = true;
    ends[b'"' as usize] = true;
    ends
};

/// Walks the pairs of a line. What was found stays in the walker: pairs are too short to be handed
/// around.
pub(super) struct Pairs<'l> {
    line: &'l [u8],
    at: usize,
    /// The key's range.
    pub(super) key: (usize, usize),
    /// The value's range, without quotes; empty for none.
    pub(super) value: (usize, usize),
    /// Whether the value holds escapes.
    pub(super) is_escaped: bool,
    error: PairError,
}

impl<'l> Pairs<'l> {
    /// Starts at the beginning of the line.
    pub(super) fn new(line: &'l [u8]) -> Self {
        let error = PairError { position: 0, reason: "" };
        Self { line, at: 0, key: (0, 0), value: (0, 0), is_escaped: false, error }
    }

    /// The error of the last fault.
    pub(super) fn error(&self) -> PairError {
        self.error
    }

    /// Reads the next pair. After a fault the reader stands at the next blank.
    #[inline]
    pub(super) fn next(&mut self) -> Found {
        loop {
            match self.line.get(self.at) {
                None => return Found::End,
                Some(0..=b' ') => self.at += 1,
                Some(_) => break,
            }
        }
        let start = self.at;
        self.at = self.word_end(start);
        self.key = (start, self.at);
        self.value = (0, 0);
        self.is_escaped = false;
        let end = self.line.get(self.at);
        match end {
            Some(b'"') => return self.fail("unexpected '\"'"),
            Some(b'=') if start == self.at => return self.fail("unexpected '='"),
            _ if !is_clean(&self.line[start..self.at]) => return self.fail("invalid key"),
            Some(b'=') => {}
            _ => return Found::Pair,
        }
        self.at += 1;
        match self.line.get(self.at) {
            None | Some(0..=b' ') => Found::Pair,
            Some(b'"') => self.quoted(),
            Some(_) => self.unquoted(),
        }
    }

    #[inline]
    fn word_end(&self, mut at: usize) -> usize {
        while self.line.get(at).is_some_and(|byte| !ENDS[*byte as usize]) {
            at += 1;
        }
        at
    }

    #[inline]
    fn unquoted(&mut self) -> Found {
        let start = self.at;
        self.at = self.word_end(start);
        match self.line.get(self.at) {
            Some(b'=') => self.fail("unexpected '='"),
            Some(b'"') => self.fail("unexpected '\"'"),
            _ => {
                self.value = (start, self.at);
                Found::Pair
            }
        }
    }

    #[inline]
    fn quoted(&mut self) -> Found {
        let start = self.at + 1;
        let Some(Quote { end, is_escaped, .. }) = quote_end(self.line, start) else {
            self.at = self.line.len();
            return self.fail("unterminated quoted value");
        };
        self.at = end + 1;
        if is_escaped && !is_quoted_text(&self.line[start..end]) {
            return self.fail("invalid quoted value");
        }
        self.value = (start, end);
        self.is_escaped = is_escaped;
        Found::Pair
    }

    /// Notes an error at the current byte and goes on at the next blank.
    #[cold]
    fn fail(&mut self, reason: &'static str) -> Found {
        self.error = PairError { position: self.at + 1, reason };
        while self.line.get(self.at).is_some_and(|byte| *byte > b' ') {
            self.at += 1;
        }
        Found::Fault
    }
}

/// Whether every escape of a quoted value is one.
fn is_quoted_text(text: &[u8]) -> bool {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        let length = match rest.get(at + 1) {
            Some(b'"' | b'\\' | b'/' | b'\'' | b'b' | b'f' | b'n' | b'r' | b't') => 2,
            Some(b'u') if hex_escape(&rest[at..]).is_some() => 6,
            _ => return false,
        };
        rest = &rest[at + length..];
    }
    true
}

/// Appends the meaning of a quoted value whose escapes are sound. Lone surrogates become U+FFFD.
pub(super) fn unquote(text: &[u8], out: &mut Vec<u8>) {
    let mut rest = text;
    while let Some(at) = memchr::memchr(b'\\', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at..];
        let plain = match rest.get(1) {
            Some(b'b') => 8,
            Some(b'f') => 12,
            Some(b'n') => b'\n',
            Some(b'r') => b'\r',
            Some(b't') => b'\t',
            Some(b'u') => {
                let (c, length) = unicode(rest);
                out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
                rest = rest.get(length..).unwrap_or_default();
                continue;
            }
            Some(other) => *other,
            None => break,
        };
        out.push(plain);
        rest = &rest[2..];
    }
    out.extend_from_slice(rest);
}

fn unicode(text: &[u8]) -> (char, usize) {
    let first = hex_escape(text).unwrap_or(0xfffd);
    if let Some(c) = char::from_u32(first) {
        return (c, 6);
    }
    let second = text.get(6..).filter(|rest| rest.starts_with(b"\\u")).and_then(hex_escape);
    match second {
        Some(second) if first < 0xdc00 && (0xdc00..0xe000).contains(&second) => {
            let code = ((first - 0xd800) << 10) + (second - 0xdc00) + 0x1_0000;
            (char::from_u32(code).unwrap_or(char::REPLACEMENT_CHARACTER), 12)
        }
        _ => (char::REPLACEMENT_CHARACTER, 6),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    /// The pairs of a line, with errors as texts.
    fn pairs(line: &str) -> Vec<String> {
        let mut pairs = Pairs::new(line.as_bytes());
        let mut out = Vec::new();
        loop {
            match pairs.next() {
                Found::End => return out,
                Found::Fault => out.push(pairs.error().to_string()),
                Found::Pair => {
                    let mut value = Vec::new();
                    unquote(&line.as_bytes()[pairs.value.0..pairs.value.1], &mut value);
                    let value = String::from_utf8(value).unwrap();
                    out.push(format!("{}={value}", &line[pairs.key.0..pairs.key.1]));
                }
            }
        }
    }

    #[test]
    fn pairs_are_read() {
        let check = |line: &str, expected: &[&str]| assert_eq!(pairs(line), expected, "{line}");
        check(
            r#"a=1 b c= d="" e=x=y f="q\"r" g"#,
            &[
                "a=1",
                "b=",
                "c=",
                "d=",
                "logfmt syntax error at pos 18 : unexpected '='",
                "f=q\"r",
                "g=",
            ],
        );
        check(
            r#"a="1"b=2 c="z"#,
            &["a=1", "b=2", "logfmt syntax error at pos 14 : unterminated quoted value"],
        );
        check("=v k=w", &["logfmt syntax error at pos 1 : unexpected '='", "k=w"]);
        check("{\"x\" k=w", &["logfmt syntax error at pos 2 : unexpected '\"'", "k=w"]);
        check("a=x\"y b=1", &["logfmt syntax error at pos 4 : unexpected '\"'", "b=1"]);
        check(r#"a="\q" b=1"#, &["logfmt syntax error at pos 7 : invalid quoted value", "b=1"]);
        check(r#"a="\u0041\ud83d\ude00" b=1"#, &["a=A😀", "b=1"]);
        check("a=\"x\ny\"", &["a=x\ny"]);
        check("\u{fffd}=1 b=2", &["logfmt syntax error at pos 4 : invalid key", "b=2"]);
        check("é=ü", &["é=ü"]);
        check("", &[]);
        check(" \t\0", &[]);
    }

    proptest::proptest! {
        #[test]
        fn any_line_can_be_read(line in proptest::collection::vec(proptest::prop_oneof![
            proptest::sample::select(br#"ab= "\un0d8"#.to_vec()),
            proptest::prelude::any::<u8>()], 0..60)) {
            let mut pairs = Pairs::new(&line);
            let mut count = 0;
            loop {
                let found = pairs.next();
                if found == Found::End {
                    break;
                }
                count += 1;
                proptest::prop_assert!(count <= line.len());
                if found == Found::Pair {
                    let mut out = Vec::new();
                    unquote(&line[pairs.value.0..pairs.value.1], &mut out);
                }
            }
        }
    }
}
