//! Label names as small numbers.
//!
//! Every name that a row may meet is interned once, so that the stages compare and index numbers
//! instead of texts. The names that a query itself mentions come first and have the same numbers
//! in every scratch; names found in lines follow and may be forgotten between rows.

use hashbrown::HashMap;

/// The suffix of a label whose name was taken.
const SUFFIX: &str = "_extracted";

/// A label name of one scratch.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, PartialOrd, Ord)]
pub(super) struct NameId(pub(super) u32);

/// `__error__`
pub(super) const ERROR: NameId = NameId(0);
/// `__error_details__`
pub(super) const ERROR_DETAILS: NameId = NameId(1);
/// `__preserve_error__`
pub(super) const PRESERVE_ERROR: NameId = NameId(2);

/// The texts of the three names above, in their order.
const RESERVED: [&str; 3] = ["__error__", "__error_details__", "__preserve_error__"];

impl NameId {
    /// The position of the name in tables by name.
    #[inline]
    pub(super) fn index(self) -> usize {
        self.0 as usize
    }
}

/// Interned label names.
#[derive(Debug, Clone)]
pub(super) struct Names {
    texts: Vec<Box<str>>,
    /// By name: the same name with the suffix, once somebody asked for it.
    suffixed: Vec<Option<NameId>>,
    index: HashMap<Box<str>, NameId>,
}

impl Names {
    /// Only the reserved names.
    pub(super) fn new() -> Self {
        let mut names = Self { texts: Vec::new(), suffixed: Vec::new(), index: HashMap::new() };
        for name in RESERVED {
            names.intern(name);
        }
        names
    }

    /// How many names there are.
    pub(super) fn len(&self) -> usize {
        self.texts.len()
    }

    /// The number of a name.
    pub(super) fn intern(&mut self, text: &str) -> NameId {
        if let Some(id) = self.index.get(text) {
            return *id;
        }
        let id = NameId(self.texts.len() as u32);
        self.texts.push(text.into());
        self.suffixed.push(None);
        self.index.insert(text.into(), id);
        id
    }

    /// The number of a name that is already known.
    pub(super) fn find(&self, text: &str) -> Option<NameId> {
        self.index.get(text).copied()
    }

    /// The text of a name.
    pub(super) fn text(&self, id: NameId) -> &str {
        &self.texts[id.index()]
    }

    /// The name that a value gets when `id` is taken.
    pub(super) fn suffixed(&mut self, id: NameId) -> NameId {
        if let Some(known) = self.suffixed[id.index()] {
            return known;
        }
        let text = format!("{}{SUFFIX}", self.text(id));
        let suffixed = self.intern(&text);
        self.suffixed[id.index()] = Some(suffixed);
        suffixed
    }

    /// Forgets all but the first `kept` names.
    pub(super) fn truncate(&mut self, kept: usize) {
        self.texts.truncate(kept);
        self.suffixed.truncate(kept);
        for suffixed in &mut self.suffixed {
            *suffixed = suffixed.filter(|id| id.index() < kept);
        }
        self.index.retain(|_, id| id.index() < kept);
    }
}

/// A name without the suffix that a conflict would have given it.
pub(super) fn without_suffix(name: &str) -> Option<&str> {
    name.strip_suffix(SUFFIX)
}

/// Appends `key` to `out` as part of a label name: trimmed, every character outside
/// `[A-Za-z0-9_]` as one `_`, and a leading `_` when the whole name would begin with a digit.
///
/// Joins to what `out` already holds with `_`. A blank key appends nothing.
pub(super) fn append_sanitized(key: &[u8], out: &mut String) {
    let key = trim_space(key);
    if key.is_empty() {
        return;
    }
    if !out.is_empty() || key[0].is_ascii_digit() {
        out.push('_');
    }
    for chunk in key.utf8_chunks() {
        for c in chunk.valid().chars() {
            out.push(if c.is_ascii_alphanumeric() { c } else { '_' });
        }
        // Every byte that is no text counts as one character.
        out.extend(chunk.invalid().iter().map(|_| '_'));
    }
}

/// Trims the characters that Unicode calls white space; other bytes stay.
pub(crate) fn trim_space(mut text: &[u8]) -> &[u8] {
    while let Some(&first) = text.first() {
        let len = if first < 0x80 {
            usize::from(is_ascii_space(first))
        } else {
            leading_char(text).filter(|c| c.is_whitespace()).map_or(0, char::len_utf8)
        };
        if len == 0 {
            break;
        }
        text = &text[len..];
    }
    while let Some(&last) = text.last() {
        let len = if last < 0x80 {
            usize::from(is_ascii_space(last))
        } else {
            trailing_char(text).filter(|c| c.is_whitespace()).map_or(0, char::len_utf8)
        };
        if len == 0 {
            break;
        }
        text = &text[..text.len() - len];
    }
    text
}

fn is_ascii_space(byte: u8) -> bool {
    matches!(byte, b'\t'..=b'\r' | b' ')
}

fn leading_char(text: &[u8]) -> Option<char> {
    text.utf8_chunks().next()?.valid().chars().next()
}

fn trailing_char(text: &[u8]) -> Option<char> {
    let from = text.len().saturating_sub(4);
    (from..text.len())
        .find_map(|at| std::str::from_utf8(&text[at..]).ok())
        .and_then(|tail| tail.chars().next_back())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn names_keep_their_numbers() {
        let mut names = Names::new();
        assert_eq!(names.intern("__error__"), ERROR);
        assert_eq!(names.intern("__error_details__"), ERROR_DETAILS);
        assert_eq!(names.intern("__preserve_error__"), PRESERVE_ERROR);
        let a = names.intern("a");
        let kept = names.len();
        let suffixed = names.suffixed(a);
        assert_eq!(names.text(suffixed), "a_extracted");
        assert_eq!(names.suffixed(a), suffixed);
        names.truncate(kept);
        assert_eq!(names.find("a_extracted"), None);
        assert_eq!(names.intern("a"), a);
        assert_eq!(names.suffixed(a), suffixed);
    }

    #[test]
    fn keys_become_names() {
        let check = |parts: &[&str], expected: &str| {
            let mut out = String::new();
            for part in parts {
                append_sanitized(part.as_bytes(), &mut out);
            }
            assert_eq!(out, expected);
        };
        check(&["3a"], "_3a");
        check(&["b", "4c"], "b_4c");
        check(&[" ", "k"], "k");
        check(&["é-x"], "__x");
        check(&[" a b "], "a_b");
        check(&["a:b"], "a_b");
        check(&["\u{a0}x\u{2003}"], "x");
        check(&[""], "");
    }

    #[test]
    fn trimming_leaves_broken_text_alone() {
        assert_eq!(trim_space(b"\xff a \xff"), b"\xff a \xff");
        assert_eq!(trim_space(b" \xe2\x80 "), b"\xe2\x80");
    }
}
