//! Text from bytes that ought to be UTF-8.
//!
//! Every byte that is not part of a valid character becomes one U+FFFD, as Go programs do it.

use std::borrow::Cow;

/// The bytes as text; borrowed when they are valid.
pub(crate) fn lossy(bytes: &[u8]) -> Cow<'_, str> {
    match str::from_utf8(bytes) {
        Ok(text) => Cow::Borrowed(text),
        Err(_) => Cow::Owned(replaced(bytes)),
    }
}

/// As [`lossy`], keeping bytes that are owned already.
pub(crate) fn lossy_cow(bytes: Cow<'_, [u8]>) -> Cow<'_, str> {
    match bytes {
        Cow::Borrowed(bytes) => lossy(bytes),
        Cow::Owned(bytes) => {
            Cow::Owned(String::from_utf8(bytes).unwrap_or_else(|error| replaced(error.as_bytes())))
        }
    }
}

fn replaced(bytes: &[u8]) -> String {
    let mut text = String::with_capacity(bytes.len() + 16);
    for chunk in bytes.utf8_chunks() {
        text.push_str(chunk.valid());
        text.extend(std::iter::repeat_n('\u{fffd}', chunk.invalid().len()));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bad_byte_becomes_one_mark() {
        let check = |bytes: &[u8], text: &str| {
            assert_eq!(lossy(bytes), text);
            assert_eq!(lossy_cow(Cow::Owned(bytes.to_vec())), text);
        };
        check(b"ok", "ok");
        check("ä".as_bytes(), "ä");
        check(b"a\xffb", "a\u{fffd}b");
        check(b"\xe4\xb8", "\u{fffd}\u{fffd}");
    }
}
