//! The order of streams inside a segment.
//!
//! Similar streams stand side by side, so that a block of many small streams compresses like one
//! large stream.

use model::Labels;

/// Where a stream stands among the streams of a segment.
///
/// Keys compare by the values of the chosen labels, then by canonical text; two keys made with the
/// same names are equal exactly when the label sets are.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SortKey(Box<[u8]>);

impl SortKey {
    /// The value that counts most: with the default order, which program writes the stream.
    pub(crate) fn first_value(&self) -> &[u8] {
        self.0.split(|byte| *byte == 0).next().unwrap_or_default()
    }

    /// What keys are compared by.
    pub(crate) fn as_bytes(&self) -> &[u8] {
        &self.0
    }
}

/// The sort key of a stream; a name `a|b` takes the value of the first label present.
#[must_use]
pub fn sort_key(labels: &Labels, names: &[String]) -> SortKey {
    let canonical = labels.canonical();
    let mut key = Vec::with_capacity(canonical.len() + 16 * names.len());
    for name in names {
        let value = name.split('|').find_map(|name| labels.get(name)).unwrap_or_default();
        key.extend_from_slice(value.as_bytes());
        key.push(0);
    }
    key.extend_from_slice(canonical.as_bytes());
    SortKey(key.into())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn chosen_labels_come_first() {
        let names = ["ns".to_owned(), "app|job".to_owned()];
        let mut streams: Vec<Labels> = [
            r#"{a="1", app="z", ns="n"}"#,
            r#"{app="b", ns="m"}"#,
            r#"{job="c", ns="n", a="2"}"#,
            r#"{a="0", app="b", ns="m"}"#,
        ]
        .iter()
        .map(|text| Labels::parse(text).unwrap())
        .collect();
        streams.sort_by_cached_key(|labels| sort_key(labels, &names));
        let apps: Vec<_> =
            streams.iter().map(|s| s.get("app").or(s.get("job")).unwrap().to_owned()).collect();
        assert_eq!(apps, ["b", "b", "c", "z"]);
        assert_eq!(streams[0].get("a"), Some("0"));
    }
}
