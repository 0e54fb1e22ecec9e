//! Searching for one substring, exactly or in any case.
//!
//! "Any case" compares the lower case of every character with the lower-cased literal, one
//! character at a time. That is not the folding of regular expressions: `ſ` is no `s`, but the
//! Kelvin sign is a `k` and `İ` an `i`. As in Loki, the first character is found by its first byte,
//! so there only cases that share it count: `Σ` does not begin a match of `σ`.

use std::fmt;

use aho_corasick::packed;
use memchr::memmem::Finder;
use regex_automata::meta::Regex;

use super::letter_case;

/// The lower case of a text, character by character.
pub(super) fn lowercase(text: &str) -> String {
    text.chars().map(letter_case::lower).collect()
}

/// A substring to find.
#[derive(Clone)]
pub(super) struct Literal(Box<Finder<'static>>);

impl Literal {
    /// Prepares the search; `text` may be empty.
    pub(super) fn new(text: &[u8]) -> Self {
        Self(Box::new(Finder::new(text).into_owned()))
    }

    /// The substring.
    pub(super) fn as_bytes(&self) -> &[u8] {
        self.0.needle()
    }

    /// Position of the first occurrence.
    pub(super) fn find(&self, text: &[u8]) -> Option<usize> {
        self.0.find(text)
    }
}

impl fmt::Debug for Literal {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Literal({:?})", String::from_utf8_lossy(self.as_bytes()))
    }
}

/// How many of the literal's bytes the vector search looks for at once.
const WINDOW: usize = 3;

/// A substring to find in any case.
#[derive(Clone)]
pub(super) struct FoldLiteral {
    lower: Box<str>,
    /// Finds the window's cases; `None` when the literal is too short or not ASCII.
    packed: Option<packed::Searcher>,
    /// Where in the literal the window stands.
    offset: usize,
    /// Says what matches, at any length and alphabet.
    regex: Regex,
    /// Whether the Kelvin sign or `İ` may stand for a letter of the literal.
    has_foreign_cases: bool,
}

impl FoldLiteral {
    /// Prepares the search for a text that is in lower case.
    pub(super) fn new(lower: &str) -> Self {
        let offset = best_window(lower.as_bytes());
        let packed = lower.is_ascii().then(|| packed_window(lower.as_bytes(), offset)).flatten();
        Self {
            lower: lower.into(),
            packed,
            offset,
            regex: compiled(&case_pattern(lower)),
            has_foreign_cases: lower.chars().skip(1).any(|c| matches!(c, 'i' | 'k')),
        }
    }

    /// The text in lower case.
    pub(super) fn as_str(&self) -> &str {
        &self.lower
    }

    /// Whether `text` may hold cases that only the slow search knows.
    pub(super) fn needs_regex(&self, text: &[u8]) -> bool {
        self.packed.is_none()
            || (self.has_foreign_cases
                && (memchr::memmem::find(text, "\u{212a}".as_bytes()).is_some()
                    || memchr::memmem::find(text, "İ".as_bytes()).is_some()))
    }

    /// Position of the first occurrence.
    pub(super) fn find(&self, text: &[u8]) -> Option<usize> {
        if self.needs_regex(text) {
            self.find_slow(text).map(|(start, _)| start)
        } else {
            self.find_fast(text)
        }
    }

    /// Where the first occurrence begins and ends, knowing all cases.
    pub(super) fn find_slow(&self, text: &[u8]) -> Option<(usize, usize)> {
        self.regex.find(text).map(|found| (found.start(), found.end()))
    }

    /// As [`FoldLiteral::find`] for texts without foreign cases.
    pub(super) fn find_fast(&self, text: &[u8]) -> Option<usize> {
        let packed = self.packed.as_ref()?;
        let needle = self.lower.as_bytes();
        let last = text.len().checked_sub(needle.len())?;
        let mut from = self.offset;
        while from < text.len() {
            let found =
                packed.find_in(text, aho_corasick::Span { start: from, end: text.len() })?;
            let start = found.start() - self.offset;
            if start > last {
                return None;
            }
            if text[start..start + needle.len()].eq_ignore_ascii_case(needle) {
                return Some(start);
            }
            from = found.start() + 1;
        }
        None
    }
}

impl fmt::Debug for FoldLiteral {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "FoldLiteral({:?})", self.lower)
    }
}

/// How common a byte is in log lines, as a rough rank from 0 (rare) to 9.
fn commonness(byte: u8) -> u32 {
    match byte {
        b'e' | b't' | b'o' | b'a' | b'n' | b'r' | b'i' | b's' | b' ' | b'0' | b'1' => 9,
        b'c' | b'd' | b'l' | b'm' | b'p' | b'u' | b'2'..=b'9' | b'-' | b':' | b'.' => 7,
        b'f' | b'g' | b'h' | b'b' | b'v' | b'w' | b'y' | b'k' | b'"' | b'/' | b',' | b'=' => 5,
        b'x' | b'_' | b'[' | b']' | b'(' | b')' => 3,
        _ => 1,
    }
}

/// Where the rarest window of the literal begins.
fn best_window(lower: &[u8]) -> usize {
    let rank = |at: usize| lower[at..at + WINDOW].iter().map(|b| commonness(*b)).sum::<u32>();
    (0..(lower.len() + 1).saturating_sub(WINDOW)).min_by_key(|at| rank(*at)).unwrap_or(0)
}

/// A vector search for every case of the window.
fn packed_window(lower: &[u8], offset: usize) -> Option<packed::Searcher> {
    let window = lower.get(offset..(offset + WINDOW).min(lower.len()))?;
    if window.len() < 2 {
        return None;
    }
    let mut cases = vec![Vec::new()];
    for byte in window {
        let other = byte.to_ascii_uppercase();
        let with = |byte: u8| move |case: &Vec<u8>| [case.as_slice(), &[byte]].concat();
        let mut next: Vec<Vec<u8>> = cases.iter().map(with(*byte)).collect();
        if other != *byte {
            next.extend(cases.iter().map(with(other)));
        }
        cases = next;
    }
    packed::Config::new().builder().extend(cases).build()
}

/// A regular expression for the literal in any case.
pub(super) fn case_pattern(lower: &str) -> String {
    let mut pattern = String::with_capacity(lower.len() * 4);
    for (at, c) in lower.chars().enumerate() {
        pattern.push('[');
        for case in letter_case::cases(c) {
            if at > 0 || begins_alike(case, c) {
                pattern.push_str(&format!("\\x{{{:x}}}", u32::from(case)));
            }
        }
        pattern.push(']');
    }
    pattern
}

/// Whether two characters begin with the same byte, or are the same ASCII letter.
fn begins_alike(a: char, b: char) -> bool {
    let first = |c: char| c.encode_utf8(&mut [0; 4]).as_bytes()[0];
    a.eq_ignore_ascii_case(&b) || first(a) == first(b)
}

fn compiled(pattern: &str) -> Regex {
    let syntax = regex_automata::util::syntax::Config::new().utf8(false);
    let config = Regex::config().utf8_empty(false);
    // Classes of listed characters always compile; two anchors stand in for the impossible.
    let built = Regex::builder().configure(config.clone()).syntax(syntax).build(pattern);
    match built {
        Ok(regex) => regex,
        Err(_) => Regex::builder()
            .configure(config)
            .build("\\z\\A")
            .expect("a pattern of two anchors compiles"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn cases_are_found() {
        let check = |lower: &str, text: &str, expected: Option<usize>| {
            let literal = FoldLiteral::new(lower);
            assert_eq!(literal.find(text.as_bytes()), expected, "{lower} in {text}");
            if literal.packed.is_some() && !literal.needs_regex(text.as_bytes()) {
                let slow = literal.find_slow(text.as_bytes()).map(|(start, _)| start);
                assert_eq!(slow, expected, "{lower} in {text}");
            }
        };
        check("error", "an ErRoR", Some(3));
        check("error", "eerror", Some(1));
        check("error", "erro", None);
        check("error", "", None);
        check("a", "xA", Some(1));
        check("ok", "O\u{212a}", Some(0));
        check("id", "İD", None);
        check("xi", "Xİ", Some(0));
        check("k", "\u{212a}", None);
        check("s", "ſ", None);
        check("é", "É", Some(0));
        check("σασ", "ΣΑΣ σας", None);
        check("nσ", "NΣ", Some(0));
        check("straße", "STRAẞE", Some(0));
        check("5xx", "status 5XX", Some(7));
        check("errors in", "ERRORS\u{a0}in errors IN", Some(11));
    }

    proptest::proptest! {
        #[test]
        fn fast_and_slow_search_agree(lower in "[a-c0]{1,6}", text in "[a-cA-C0 ]{0,60}") {
            let literal = FoldLiteral::new(&lower);
            let plain = text.to_ascii_lowercase().find(&lower);
            proptest::prop_assert_eq!(literal.find(text.as_bytes()), plain);
            let slow = literal.find_slow(text.as_bytes()).map(|(start, _)| start);
            proptest::prop_assert_eq!(slow, plain);
        }
    }
}
