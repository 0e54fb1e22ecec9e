//! Tags of a request: what a client says about its query in `X-Query-Tags`.

use std::collections::BTreeMap;

use crate::http::call::Call;

/// The tags of a request by lower-case name, as `Source=grafana,Panel=7` writes them.
///
/// Characters that could confuse a reader of the log become underscores.
pub(super) fn of(call: &Call) -> BTreeMap<String, String> {
    parse(call.header("x-query-tags"))
}

fn parse(header: &str) -> BTreeMap<String, String> {
    let safe = |c: char| {
        if c.is_ascii_alphanumeric() || "-=.@, ".contains(c) { c } else { '_' }
    };
    let header: String = header.chars().map(safe).collect();
    header
        .split(',')
        .filter_map(|tag| {
            let mut parts = tag.split('=').filter(|part| !part.is_empty());
            let (name, value) = (parts.next()?, parts.next()?);
            parts.next().is_none().then(|| (name.trim().to_ascii_lowercase(), value.to_owned()))
        })
        .collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tags_are_names_and_values() {
        let expected = [("panel", "7"), ("source", "logvol_hist")];
        let expected = expected.map(|(name, value)| (name.to_owned(), value.to_owned()));
        assert_eq!(parse("Source=logvol\"hist,Panel=7,broken,a=b=c"), BTreeMap::from(expected));
        assert!(parse("").is_empty());
    }
}
