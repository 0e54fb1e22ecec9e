//! `label_replace`: one label rewritten by a regular expression on another.

use std::sync::Arc;

use model::Pattern;
use model::answer::ResultLabels;
use regex_automata::util::captures::Captures;

use super::error::QueryError;
use super::frame::{Frame, label};
use crate::syntax::ast::LabelReplace;

/// Applies `label_replace` to every series whose source label matches.
///
/// # Errors
///
/// [`QueryError::Unsupported`] when the expression does not compile; the parser refuses those.
pub fn label_replace(replace: &LabelReplace, mut frame: Frame) -> Result<Frame, QueryError> {
    let pattern = Pattern::search(&format!("^(?:{})$", replace.regex))
        .map_err(|error| QueryError::Unsupported(error.to_string()))?;
    let mut captures = pattern.regex().create_captures();
    for series in &mut frame.series {
        let value = label(&series.labels, &replace.source).unwrap_or("");
        pattern.regex().captures(value, &mut captures);
        if captures.is_match() {
            let expanded = expand(&replace.replacement, value, &captures);
            series.labels = Arc::new(with(&series.labels, &replace.target, expanded));
        }
    }
    Ok(frame)
}

/// The labels with `name` set, or removed when `value` is empty. Other empty labels go too.
fn with(labels: &ResultLabels, name: &str, value: String) -> ResultLabels {
    let keeps = |pair: &&(String, String)| pair.0 != name && !pair.1.is_empty();
    let mut result: ResultLabels = labels.iter().filter(keeps).cloned().collect();
    if !value.is_empty() {
        let at = result.partition_point(|(known, _)| known.as_str() < name);
        result.insert(at, (name.to_owned(), value));
    }
    result
}

/// Go's `Regexp.Expand`: `$1`, `$name` and `${name}` stand for groups, unknown ones for nothing,
/// `$$` for a dollar sign; any other dollar sign for itself.
fn expand(template: &str, text: &str, captures: &Captures) -> String {
    let mut out = String::new();
    let mut rest = template;
    while let Some(at) = rest.find('$') {
        out.push_str(&rest[..at]);
        let after = &rest[at + 1..];
        if let Some(tail) = after.strip_prefix('$') {
            out.push('$');
            rest = tail;
        } else if let Some((name, tail)) = group_name(after) {
            let span = match name.parse::<usize>() {
                Ok(index) => captures.get_group(index),
                Err(_) => captures.get_group_by_name(name),
            };
            out.push_str(span.map_or("", |span| &text[span.range()]));
            rest = tail;
        } else {
            out.push('$');
            rest = after;
        }
    }
    out.push_str(rest);
    out
}

/// The group name at the start of what follows a dollar sign, and what comes after it.
fn group_name(text: &str) -> Option<(&str, &str)> {
    let is_word = |c: char| c == '_' || c.is_alphanumeric();
    let (braced, body) = match text.strip_prefix('{') {
        Some(body) => (true, body),
        None => (false, text),
    };
    let end = body.find(|c| !is_word(c)).unwrap_or(body.len());
    let (name, tail) = body.split_at(end);
    if name.is_empty() {
        return None;
    }
    if braced { tail.strip_prefix('}').map(|tail| (name, tail)) } else { Some((name, tail)) }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::frame::{FrameSeries, Points, print};
    use crate::syntax::ast::MetricExpr;

    #[test]
    fn labels_are_rewritten() {
        let check = |target: &str, replacement: &str, source: &str, regex: &str, expected: &str| {
            let labels = [("app", "web-1"), ("dst", "old"), ("empty", "")]
                .map(|(n, v)| (n.into(), v.into()));
            let series =
                FrameSeries { labels: Arc::new(labels.to_vec()), points: Points::constant(1.0, 1) };
            let replace = LabelReplace {
                inner: Box::new(MetricExpr::Literal(0.0)),
                target: target.into(),
                replacement: replacement.into(),
                source: source.into(),
                regex: regex.into(),
            };
            let frame = label_replace(&replace, Frame { series: vec![series] }).unwrap();
            assert_eq!(print(&frame.series[0].labels), expected);
        };
        check("n", "$1", "app", "web-(.+)", r#"{app="web-1", dst="old", n="1"}"#);
        check("dst", "${1}x$$", "app", "web-(.+)", r#"{app="web-1", dst="1x$"}"#);
        check("dst", "$1x", "app", "web-(.+)", r#"{app="web-1"}"#);
        check("dst", "$name-$", "app", "web-(?P<name>.+)", r#"{app="web-1", dst="1-$"}"#);
        check("dst", "$1", "missing", "(.*)", r#"{app="web-1"}"#);
        check("dst", "$1", "missing", "(.+)", r#"{app="web-1", dst="old", empty=""}"#);
        check("dst", "x", "app", "web", r#"{app="web-1", dst="old", empty=""}"#);
    }
}
