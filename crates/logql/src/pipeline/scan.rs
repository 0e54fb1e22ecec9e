//! Small searches that the line scanners share.
//!
//! Keys and most values are short, so starting a vector search costs more than it saves; eight
//! bytes at a time is the sweet spot that needs no unsafe code.

/// Every byte of a word set to 1.
const ONES: u64 = 0x0101_0101_0101_0101;
/// The highest bit of every byte.
const HIGHS: u64 = 0x8080_8080_8080_8080;

/// Marks the bytes of `word` that are `byte` in their highest bits. Bytes above the first mark
/// may be marked wrongly; the lowest mark is always right.
#[inline]
fn marks(word: u64, byte: u8) -> u64 {
    let x = word ^ (ONES * u64::from(byte));
    x.wrapping_sub(ONES) & !x & HIGHS
}

/// The end of a quoted text.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct Quote {
    /// Position of the closing quote.
    pub(super) end: usize,
    /// Whether the text holds a backslash.
    pub(super) is_escaped: bool,
    /// Whether the text is known to be ASCII.
    pub(super) is_ascii: bool,
}

/// Finds the end of a quoted text whose content begins at `from`.
#[inline]
pub(super) fn quote_end(text: &[u8], from: usize) -> Option<Quote> {
    let mut at = from;
    let mut is_escaped = false;
    let mut seen = 0u64;
    loop {
        match text.get(at..at + 8).and_then(|chunk| <[u8; 8]>::try_from(chunk).ok()) {
            Some(chunk) => {
                let word = u64::from_le_bytes(chunk);
                seen |= word;
                let found = marks(word, b'"') | marks(word, b'\\');
                if found == 0 {
                    at += 8;
                    continue;
                }
                at += found.trailing_zeros() as usize / 8;
            }
            None => {
                let rest = text.get(at..)?;
                // The last bytes of a line are not worth checking twice.
                seen |= HIGHS;
                at += rest.iter().position(|byte| matches!(byte, b'"' | b'\\'))?;
            }
        }
        if text[at] == b'"' {
            return Some(Quote { end: at, is_escaped, is_ascii: seen & HIGHS == 0 });
        }
        is_escaped = true;
        at += 2;
    }
}

/// Whether a value needs the replacement of [`append_clean`].
#[inline]
pub(super) fn is_clean(text: &[u8]) -> bool {
    text.is_ascii()
        || std::str::from_utf8(text).is_ok_and(|text| !text.contains(char::REPLACEMENT_CHARACTER))
}

/// Appends a value with a blank for every byte that is no text and for every U+FFFD.
pub(super) fn append_clean(text: &[u8], out: &mut Vec<u8>) {
    for chunk in text.utf8_chunks() {
        for (at, part) in chunk.valid().split(char::REPLACEMENT_CHARACTER).enumerate() {
            if at > 0 {
                out.push(b' ');
            }
            out.extend_from_slice(part.as_bytes());
        }
        out.extend(chunk.invalid().iter().map(|_| b' '));
    }
}

/// A value as text, with a blank for every byte that is no text.
pub(super) fn to_text(value: &[u8]) -> String {
    if let Ok(text) = std::str::from_utf8(value) {
        return text.to_owned();
    }
    let mut out = String::with_capacity(value.len());
    for chunk in value.utf8_chunks() {
        out.push_str(chunk.valid());
        out.extend(chunk.invalid().iter().map(|_| ' '));
    }
    out
}

/// Reads `\u` and four hexadecimal digits at the start of `text`.
pub(super) fn hex_escape(text: &[u8]) -> Option<u32> {
    let digits = text.get(2..6)?;
    digits.iter().try_fold(0, |code, digit| Some(code << 4 | (*digit as char).to_digit(16)?))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn quotes_end_where_they_should() {
        let check = |text: &str, expected: Option<(usize, bool)>| {
            let quote = quote_end(text.as_bytes(), 0);
            assert_eq!(quote.map(|quote| (quote.end, quote.is_escaped)), expected, "{text}");
        };
        check("abc\"d", Some((3, false)));
        check("a\\\"b\" ", Some((4, true)));
        check("a\\\\\"", Some((3, true)));
        check("\"", Some((0, false)));
        check("abc\\\"", None);
        check("abc\\", None);
        check("", None);
        check("twelve bytes\" and more", Some((12, false)));
    }

    #[test]
    fn values_become_clean() {
        let clean = |text: &[u8]| {
            let mut out = Vec::new();
            append_clean(text, &mut out);
            String::from_utf8(out).unwrap()
        };
        assert_eq!(clean(b"a\xffb"), "a b");
        assert_eq!(clean("a\u{fffd}é".as_bytes()), "a é");
        assert_eq!(clean(b"\xe2\x82"), "  ");
        assert!(is_clean("é".as_bytes()) && !is_clean(b"\xff") && !is_clean("\u{fffd}".as_bytes()));
    }

    proptest! {
        #[test]
        fn quotes_agree_with_a_plain_search(
            text in proptest::collection::vec(prop_oneof![Just(b'"'), Just(b'\\'), any::<u8>()], 0..40),
        ) {
            let mut at = 0;
            let plain = loop {
                match text.get(at) {
                    None => break None,
                    Some(b'"') => break Some(at),
                    Some(b'\\') => at += 2,
                    Some(_) => at += 1,
                }
            };
            let quote = quote_end(&text, 0);
            prop_assert_eq!(quote.map(|quote| quote.end), plain);
            if let Some(quote) = quote {
                let content = &text[..quote.end];
                prop_assert_eq!(quote.is_escaped, content.contains(&b'\\'));
                prop_assert!(!quote.is_ascii || content.is_ascii());
            }
        }
    }
}
