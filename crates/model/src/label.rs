//! Label sets: the identity of a stream.
//!
//! The canonical text `{app="web", env="prod"}` is sorted by name and quoted as Go quotes strings;
//! two streams are the same stream exactly when their canonical texts are equal.

use std::cmp::Ordering;
use std::fmt;
use std::hash::{Hash, Hasher};
use std::sync::Arc;

use crate::fingerprint::Fingerprint;

mod parse;

use parse::Parser;
pub use parse::unquote_prefix;

/// A sorted set of label names and values without empty values. Cloning is cheap.
#[derive(Clone)]
pub struct Labels(Arc<Set>);

/// A set in one text: the canonical one, and behind it what is written differently there.
struct Set {
    text: Box<str>,
    /// Where the canonical text ends.
    canonical: u32,
    pairs: Box<[Pair]>,
}

/// Where the name and the value of a label stand in the text of their set.
#[derive(Clone, Copy)]
struct Pair {
    name: Span,
    value: Span,
}

#[derive(Clone, Copy)]
struct Span {
    start: u32,
    end: u32,
}

impl Span {
    fn len(self) -> usize {
        (self.end - self.start) as usize
    }

    fn of(self, text: &str) -> &str {
        &text[self.start as usize..self.end as usize]
    }
}

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
    ///
    /// # Panics
    ///
    /// When names and values together take gigabytes.
    pub fn new<N, V>(pairs: impl IntoIterator<Item = (N, V)>) -> Self
    where
        N: AsRef<str>,
        V: AsRef<str>,
    {
        let mut pairs: Vec<(N, V)> = pairs.into_iter().collect();
        let is_after = |pair: &[(N, V)]| pair[0].0.as_ref() >= pair[1].0.as_ref();
        if pairs.windows(2).any(is_after) {
            pairs.sort_by(|a, b| a.0.as_ref().cmp(b.0.as_ref()));
            pairs.reverse();
            pairs.dedup_by(|a, b| a.0.as_ref() == b.0.as_ref());
            pairs.reverse();
        }
        Self::of_sorted(&pairs)
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
        let mut pairs = Parser::new(text).labels()?;
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        if let Some(pair) = pairs.windows(2).find(|pair| pair[0].0 == pair[1].0) {
            let message = format!("duplicate label name {:?}", pair[0].0);
            return Err(LabelError { message, offset: text.len() });
        }
        Ok(Self::of_sorted(&pairs))
    }

    /// The set of pairs whose names ascend.
    fn of_sorted<N: AsRef<str>, V: AsRef<str>>(sorted: &[(N, V)]) -> Self {
        let pairs = sorted.iter().map(|(name, value)| (name.as_ref(), value.as_ref()));
        let pairs = pairs.filter(|(_, value)| !value.is_empty());
        let bytes = pairs.clone().map(|(name, value)| name.len() + value.len() + 5).sum::<usize>();
        let mut text = String::with_capacity(bytes.max(2));
        let mut places = Vec::with_capacity(sorted.len());
        text.push('{');
        for (index, (name, value)) in pairs.clone().enumerate() {
            text.push_str(if index > 0 { ", " } else { "" });
            let name = if is_label_name(name) {
                Some(append(&mut text, name))
            } else {
                append_quoted(&mut text, name)
            };
            text.push('=');
            places.push((name, append_quoted(&mut text, value)));
        }
        text.push('}');
        let canonical = offset(text.len());
        let pairs = pairs.zip(places).map(|((name, value), places)| Pair {
            name: places.0.unwrap_or_else(|| append(&mut text, name)),
            value: places.1.unwrap_or_else(|| append(&mut text, value)),
        });
        let pairs = pairs.collect();
        Self(Arc::new(Set { text: text.into(), canonical, pairs }))
    }

    /// The value of `name`, if the set holds it.
    #[must_use]
    pub fn get(&self, name: &str) -> Option<&str> {
        let Set { text, pairs, .. } = &*self.0;
        // Sets are small, and lengths tell nearly all names apart without a look at the text.
        let is_it = |pair: &&Pair| pair.name.len() == name.len() && pair.name.of(text) == name;
        pairs.iter().find(is_it).map(|pair| pair.value.of(text))
    }

    /// Names and values in name order.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        let Set { text, pairs, .. } = &*self.0;
        pairs.iter().map(|pair| (pair.name.of(text), pair.value.of(text)))
    }

    /// How many labels the set holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.0.pairs.len()
    }

    /// Whether the set holds no label.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.0.pairs.is_empty()
    }

    /// The same set with `name` set to `value` (removed when `value` is empty).
    #[must_use]
    pub fn with(&self, name: &str, value: &str) -> Self {
        let mut pairs: Vec<(&str, &str)> = self.iter().filter(|(n, _)| *n != name).collect();
        let place = pairs.partition_point(|(n, _)| *n < name);
        pairs.insert(place, (name, value));
        Self::of_sorted(&pairs)
    }

    /// The 64-bit hash of the set; see [`Fingerprint`].
    #[must_use]
    pub fn fingerprint(&self) -> Fingerprint {
        Fingerprint::of(self.iter())
    }

    /// The canonical text, equal exactly for equal sets.
    #[must_use]
    pub fn canonical(&self) -> &str {
        &self.0.text[..self.0.canonical as usize]
    }
}

/// Appends a text and answers where it stands.
fn append(text: &mut String, part: &str) -> Span {
    let start = offset(text.len());
    text.push_str(part);
    Span { start, end: offset(text.len()) }
}

/// Appends a text in quotes; answers where it stands if it stands there unchanged.
fn append_quoted(text: &mut String, part: &str) -> Option<Span> {
    let start = text.len() + 1;
    quote_into(part, text);
    let end = text.len() - 1;
    // Escapes only ever lengthen a text.
    (end - start == part.len()).then(|| Span { start: offset(start), end: offset(end) })
}

fn offset(bytes: usize) -> u32 {
    u32::try_from(bytes).expect("a label set is smaller than 4 GiB")
}

impl Default for Labels {
    fn default() -> Self {
        Self::of_sorted::<&str, &str>(&[])
    }
}

impl PartialEq for Labels {
    fn eq(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.0, &other.0) || self.canonical() == other.canonical()
    }
}

impl Eq for Labels {}

impl Hash for Labels {
    fn hash<H: Hasher>(&self, state: &mut H) {
        self.canonical().hash(state);
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
        self.iter().cmp(other.iter())
    }
}

impl fmt::Display for Labels {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(self.canonical())
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

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn canonical_text_is_sorted_and_reads_back() {
        let labels = Labels::parse(r#"{ foo="bar", bazz = "bu\"z\n", empty="" }"#).unwrap();
        assert_eq!(labels.canonical(), r#"{bazz="bu\"z\n", foo="bar"}"#);
        assert_eq!(Labels::parse(labels.canonical()).unwrap(), labels);
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
    fn what_is_quoted_differently_reads_as_it_was_given() {
        let pairs = [("a", "x\"y"), ("b\n", "z"), ("k8s.pod", "p"), ("ключ", "\u{7f}é")];
        let labels = Labels::new(pairs);
        assert!(labels.iter().eq(pairs));
        for (name, value) in pairs {
            assert_eq!(labels.get(name), Some(value));
        }
        assert_eq!(labels.get("b"), None);
        assert_eq!(labels.canonical(), r#"{a="x\"y", "b\n"="z", "k8s.pod"="p", "ключ"="\x7fé"}"#);
        assert_eq!(Labels::parse(labels.canonical()).unwrap(), labels);
        assert_eq!(Labels::default().canonical(), "{}");
    }

    #[test]
    fn sets_with_another_value_compare_like_sets_made_anew() {
        let labels = Labels::new([("b", "1"), ("d", "2")]);
        for (name, value) in [("a", "x"), ("b", "x"), ("c", "x"), ("d", ""), ("e", "x"), ("b", "1")]
        {
            let other = labels.with(name, value);
            let anew = Labels::new(labels.iter().chain([(name, value)]));
            assert_eq!(other, anew);
            assert_eq!(other.cmp(&labels), anew.iter().cmp(labels.iter()));
            assert_eq!(other == labels, (name, value) == ("b", "1"));
        }
    }

    #[test]
    fn the_last_of_equal_names_wins() {
        assert_eq!(Labels::new([("a", "1"), ("a", "2")]).get("a"), Some("2"));
        assert_eq!(Labels::new([("a", "1")]).with("a", "").len(), 0);
    }
}
