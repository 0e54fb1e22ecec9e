//! Discovery of fields that a tenant wants as structured metadata (`discover_generic_fields`).

use std::borrow::Cow;

use model::Labels;
use serde_json::Value;

use crate::metadata::Pairs;

/// Adds the tenant's fields to an entry's metadata: each from the first of its candidates that is a
/// label, else structured metadata, else a field of a JSON or logfmt line. Names that the entry
/// carries already are left alone.
pub(crate) fn discover<'e>(
    fields: &[(String, Vec<String>)],
    labels: &Labels,
    line: &[u8],
    pairs: &mut Pairs<'e>,
) {
    let mut parsed = None;
    for (name, candidates) in fields {
        let Err(place) = pairs.binary_search_by(|(known, _)| (**known).cmp(name.as_str())) else {
            continue;
        };
        let of_metadata = |candidate: &String| {
            let found = pairs.iter().find(|(known, _)| known == candidate);
            found.map(|(_, value)| value.to_string())
        };
        let value = candidates
            .iter()
            .find_map(|candidate| labels.get(candidate).map(str::to_owned))
            .or_else(|| candidates.iter().find_map(of_metadata))
            .or_else(|| {
                let line = parsed.get_or_insert_with(|| Line::parse(line));
                candidates.iter().find_map(|candidate| line.get(candidate))
            });
        if let Some(value) = value.filter(|value| !value.is_empty()) {
            pairs.insert(place, (Cow::Owned(name.clone()), Cow::Owned(value)));
        }
    }
}

/// A line with fields.
enum Line {
    Json(Value),
    Logfmt(Vec<(String, String)>),
    Other,
}

impl Line {
    fn parse(line: &[u8]) -> Self {
        if line.trim_ascii().starts_with(b"{") {
            return serde_json::from_slice(line).map_or(Self::Other, Self::Json);
        }
        let mut pairs = Vec::new();
        crate::level::logfmt_pairs(line, |key, value| {
            let text = |bytes| String::from_utf8_lossy(bytes).into_owned();
            pairs.push((text(key), text(value)));
        });
        Self::Logfmt(pairs)
    }

    fn get(&self, candidate: &str) -> Option<String> {
        match self {
            Self::Json(value) => match at_path(value, candidate)? {
                Value::String(text) => Some(text.clone()),
                other => Some(other.to_string()),
            },
            Self::Logfmt(pairs) => {
                let found = pairs.iter().find(|(key, _)| key.eq_ignore_ascii_case(candidate));
                found.map(|(_, value)| value.clone())
            }
            Self::Other => None,
        }
    }
}

/// The value at a path such as `a.b`, `a["b c"]` or `a[0]`.
fn at_path<'v>(value: &'v Value, path: &str) -> Option<&'v Value> {
    let mut value = value;
    let mut rest = path;
    while !rest.is_empty() {
        if let Some(bracket) = rest.strip_prefix('[') {
            let (inside, after) = bracket.split_once(']')?;
            value = match inside.strip_prefix('"').and_then(|text| text.strip_suffix('"')) {
                Some(key) => value.get(key)?,
                None => value.get(inside.parse::<usize>().ok()?)?,
            };
            rest = after;
        } else {
            rest = rest.strip_prefix('.').unwrap_or(rest);
            let (key, after) = rest.split_at(rest.find(['.', '[']).unwrap_or(rest.len()));
            value = value.get(key)?;
            rest = after;
        }
    }
    Some(value)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(candidates: &[&str], line: &str, expected: Option<&str>) {
        let candidates = candidates.iter().map(|name| (*name).to_owned()).collect();
        let fields = [("new".to_owned(), candidates)];
        let mut pairs: Pairs<'_> = vec![("m".into(), "meta".into()), ("z".into(), "last".into())];
        let labels = Labels::new([("label", "value")]);
        discover(&fields, &labels, line.as_bytes(), &mut pairs);
        assert!(pairs.is_sorted());
        let found = pairs.iter().find(|(name, _)| name == "new").map(|(_, value)| &**value);
        assert_eq!(found, expected, "{line}");
    }

    #[test]
    fn fields_come_from_labels_metadata_and_lines() {
        check(&["x", "m", "label"], "x=1", Some("value"));
        check(&["x", "m"], "x=1", Some("meta"));
        check(&["Org", "x"], "x=1 org=\"a b\"", Some("a b"));
        check(&["a.b[1]"], r#"{"a":{"b":[1,{"c":2}]}}"#, Some(r#"{"c":2}"#));
        check(&["a[\"b c\"]"], r#"{"a":{"b c":"text"}}"#, Some("text"));
        check(&["x"], "plain", None);
        check(&["x"], "{broken", None);
        check(&["x"], "x=", None);
    }

    #[test]
    fn paths_of_any_text_are_survived() {
        for path in ["", "[", "]", "a[", "a..b", "[\"", "[-1]", ".", "a]"] {
            let _ = at_path(&serde_json::json!({"a": [1]}), path);
        }
    }
}
