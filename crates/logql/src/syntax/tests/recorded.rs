//! What an existing server answers to queries, word by word.

use super::*;

/// The rows of a table: two columns with `\n`, `\t`, `\0` and `\\` escaped.
fn rows(table: &str) -> impl Iterator<Item = (String, String)> + '_ {
    table.lines().filter(|line| !line.starts_with('#')).map(|line| {
        let (first, second) = line.split_once('\t').unwrap();
        (unescape(first), unescape(second))
    })
}

fn unescape(text: &str) -> String {
    let mut out = String::new();
    let mut chars = text.chars();
    while let Some(c) = chars.next() {
        match c {
            '\\' => out.push(match chars.next() {
                Some('n') => '\n',
                Some('t') => '\t',
                Some('0') => '\0',
                other => other.unwrap(),
            }),
            c => out.push(c),
        }
    }
    out
}

#[test]
fn errors_have_the_established_words() {
    for (query, expected) in rows(include_str!("parse_errors.tsv")) {
        let found = parse(&query).map_or_else(|e| e.to_string(), |expr| format!("{expr:?}"));
        assert_eq!(found.trim(), expected.trim(), "{query}");
    }
}

#[test]
fn queries_are_formatted_as_ever() {
    for (query, expected) in rows(include_str!("format_query.tsv")) {
        let expr = parse(&query).unwrap();
        assert_eq!(format_query(&expr), expected, "{query}");
        assert_eq!(parse(&expected).as_ref(), Ok(&expr), "{query}");
    }
}
