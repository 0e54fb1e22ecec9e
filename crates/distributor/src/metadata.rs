//! The structured metadata of an entry as it is stored.

use std::borrow::Cow;

use api::metadata_name::normalise;
use api::push::PushEntry;
use model::level::LEVEL_NAME;

/// Names and values, sorted by name, names distinct, values not empty.
pub(crate) type Pairs<'e> = Vec<(Cow<'e, str>, Cow<'e, str>)>;

/// How much metadata an entry carries, as limits and metrics count it: without its level.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Size {
    pub(crate) pairs: usize,
    pub(crate) bytes: usize,
}

/// Measures an entry's metadata.
pub(crate) fn size(entry: &PushEntry<'_>) -> Size {
    let mut size = Size::default();
    let mut count = |name: &str, value: &str| {
        size.pairs += 1;
        if name != LEVEL_NAME {
            size.bytes += name.len() + value.len();
        }
    };
    entry.metadata.iter().for_each(|(name, value)| count(name, value));
    entry.shared.iter().flat_map(|shared| shared.iter()).for_each(|(n, v)| count(n, v));
    size
}

/// The first name that cannot be normalised, because it holds neither letter nor digit.
pub(crate) fn invalid_name<'e>(entry: &'e PushEntry<'_>) -> Option<&'e str> {
    let own = entry.metadata.iter().map(|(name, _)| &**name);
    let shared = entry.shared.iter().flat_map(|shared| shared.iter()).map(|(name, _)| &**name);
    own.chain(shared).find(|name| !name.bytes().any(|byte| byte.is_ascii_alphanumeric()))
}

/// Normalises names and values. Of pairs with one name the last counts, and when its value is
/// empty there is none.
pub(crate) fn normalised<'e>(entry: &'e PushEntry<'_>) -> Pairs<'e> {
    if entry.metadata.is_empty() && entry.shared.is_none() {
        return Pairs::new();
    }
    let own = entry.metadata.iter().map(|(name, value)| (&**name, &**value));
    let shared = entry.shared.as_deref().unwrap_or_default();
    let mut pairs = Pairs::with_capacity(entry.metadata.len() + shared.len() + 1);
    for (name, value) in own.chain(shared.iter().map(|(n, v)| (&**n, &**v))) {
        if let Some(name) = normalise(name) {
            pairs.push((name, without_marks(value)));
        }
    }
    if !pairs.is_sorted_by(|a, b| a.0 < b.0) {
        pairs.sort_by(|a, b| a.0.cmp(&b.0));
        pairs.dedup_by(|later, kept| {
            let is_same = later.0 == kept.0;
            if is_same {
                std::mem::swap(later, kept);
            }
            is_same
        });
    }
    pairs.retain(|(_, value)| !value.is_empty());
    pairs
}

/// Replaces the marks that stand for bytes which were not UTF-8.
fn without_marks(value: &str) -> Cow<'_, str> {
    if memchr::memchr(0xef, value.as_bytes()).is_some() && value.contains('\u{fffd}') {
        Cow::Owned(value.replace('\u{fffd}', " "))
    } else {
        Cow::Borrowed(value)
    }
}

#[cfg(test)]
mod tests {
    use model::Timestamp;

    use super::*;

    fn entry<'a>(own: &[(&'a str, &'a str)], shared: &[(&str, &str)]) -> PushEntry<'a> {
        PushEntry {
            timestamp: Timestamp(0),
            line: Cow::Borrowed(b""),
            metadata: own.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect(),
            shared: Some(shared.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect()),
        }
    }

    #[test]
    fn names_are_distinct_and_the_last_pair_counts() {
        let check = |own: &[(&str, &str)], shared: &[(&str, &str)], expected: &[(&str, &str)]| {
            let entry = entry(own, shared);
            let pairs = normalised(&entry);
            let pairs: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (&**n, &**v)).collect();
            assert_eq!(pairs, expected);
        };
        check(&[("a", "1"), ("b", "2")], &[], &[("a", "1"), ("b", "2")]);
        check(&[("b", "2"), ("a.b", "1")], &[("a_b", "3")], &[("a_b", "3"), ("b", "2")]);
        check(&[("a", "1"), ("c", "2"), ("a", "")], &[], &[("c", "2")]);
        check(&[("a", "x\u{fffd}y"), ("n", "ï")], &[], &[("a", "x y"), ("n", "ï")]);
    }

    #[test]
    fn sizes_leave_the_level_out() {
        let entry = entry(&[("ab", "c"), ("detected_level", "info")], &[("d", "ef")]);
        assert_eq!(size(&entry), Size { pairs: 3, bytes: 6 });
        assert_eq!(invalid_name(&entry), None);
        assert_eq!(invalid_name(&self::entry(&[("a", "b"), ("._", "c")], &[])), Some("._"));
    }
}
