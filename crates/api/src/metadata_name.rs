//! Names of structured metadata and OTLP attributes, made fit to be label names.

use std::borrow::Cow;

/// Makes a name of ASCII letters, digits and single underscores; `None` when it holds neither
/// letter nor digit, which no name may.
///
/// Every run of other characters becomes one underscore, except that a name with two underscores at
/// both ends keeps those. A name that would begin with a digit gets `key_` in front.
#[must_use]
pub fn normalise(name: &str) -> Option<Cow<'_, str>> {
    if is_normal(name) {
        return Some(Cow::Borrowed(name));
    }
    if !name.bytes().any(|b| b.is_ascii_alphanumeric()) {
        return None;
    }
    let reserved = name.len() > 4 && name.starts_with("__") && name.ends_with("__");
    let inner = if reserved { &name[2..name.len() - 2] } else { name };
    let mut out = String::with_capacity(name.len() + 4);
    if reserved {
        out.push_str("__");
    } else if name.starts_with(|c: char| c.is_ascii_digit()) {
        out.push_str("key_");
    }
    let mut in_run = false;
    for c in inner.chars() {
        if c.is_ascii_alphanumeric() {
            out.push(c);
            in_run = false;
        } else if !in_run {
            out.push('_');
            in_run = true;
        }
    }
    if reserved {
        out.push_str("__");
    }
    Some(Cow::Owned(out))
}

/// Whether a name would come back from [`normalise`] as it is; fast, and sometimes wrongly false.
fn is_normal(name: &str) -> bool {
    let mut before = b'0';
    let mut any = false;
    for byte in name.bytes() {
        if byte.is_ascii_alphanumeric() {
            any = true;
        } else if byte != b'_' || before == b'_' {
            return false;
        }
        before = byte;
    }
    any && !name.starts_with(|c: char| c.is_ascii_digit())
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn names_are_made_fit() {
        let check = |name: &str, expected: Option<&str>| {
            assert_eq!(normalise(name).as_deref(), expected, "{name}");
        };
        check("k8s.pod.name", Some("k8s_pod_name"));
        check("http//code", Some("http_code"));
        check("1st", Some("key_1st"));
        check("a__b", Some("a_b"));
        check("_a", Some("_a"));
        check("__a.b__", Some("__a_b__"));
        check("__name__", Some("__name__"));
        check("ключ1", Some("_1"));
        check("", None);
        check("___", None);
        check(".é.", None);
    }

    proptest! {
        #[test]
        fn normal_names_stay(name in "\\PC{0,20}") {
            if let Some(once) = normalise(&name) {
                prop_assert!(model::label::is_label_name(&once));
                prop_assert_eq!(normalise(&once), Some(Cow::Borrowed(&*once)));
            }
        }
    }
}
