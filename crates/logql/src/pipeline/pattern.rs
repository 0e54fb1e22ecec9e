//! The pattern language `GET <path> <_>` of `|>`, `!>` and `| pattern`.
//!
//! A capture is `<name>` with a label name or `_`; everything else is literal. The line filter and
//! the parser walk the same parts differently (language reference 4.5).

use model::label::is_label_name;

use super::extract::{Extractor, Flow};
use super::hints::ExtractPlan;
use super::literal::Literal;
use super::names::{NameId, Names};
use super::row::Row;

/// A piece of a pattern.
#[derive(Debug, Clone)]
enum Part {
    Literal(Literal),
    /// Takes the text up to the next literal. Unnamed captures have no name.
    Capture(Option<Box<str>>),
}

/// Splits a pattern into parts.
///
/// # Errors
///
/// Two captures without a literal between them.
fn parse(text: &str) -> Result<Vec<Part>, String> {
    let mut parts: Vec<Part> = Vec::new();
    let mut literal = String::new();
    let mut rest = text;
    let mut last_capture = None;
    while let Some(c) = rest.chars().next() {
        let capture = (c == '<').then(|| rest[1..].find('>')).flatten().map(|end| &rest[1..=end]);
        match capture.filter(|name| is_label_name(name)) {
            Some(name) => {
                if !literal.is_empty() {
                    parts.push(Part::Literal(Literal::new(literal.as_bytes())));
                    literal.clear();
                } else if let Some(last) = last_capture {
                    return Err(format!("found consecutive capture '<{last}><{name}>'"));
                }
                parts.push(Part::Capture((name != "_").then(|| name.into())));
                last_capture = Some(name);
                rest = &rest[name.len() + 2..];
            }
            None => {
                literal.push(c);
                rest = &rest[c.len_utf8()..];
            }
        }
    }
    if !literal.is_empty() {
        parts.push(Part::Literal(Literal::new(literal.as_bytes())));
    }
    Ok(parts)
}

/// A pattern that tests lines.
#[derive(Debug, Clone)]
pub(super) struct LinePattern {
    parts: Vec<Part>,
}

impl LinePattern {
    /// Compiles a pattern without named captures.
    ///
    /// # Errors
    ///
    /// Named captures and captures without a literal between them are refused.
    pub(super) fn new(text: &str) -> Result<Self, String> {
        let parts = parse(text).map_err(|error| format!("{error}: invalid expression"))?;
        if parts.iter().any(|part| matches!(part, Part::Capture(Some(_)))) {
            return Err(
                "line filter expressions do not allow named captures: invalid expression".into()
            );
        }
        Ok(Self { parts })
    }

    /// Whether a line has the pattern's shape.
    pub(super) fn matches(&self, line: &[u8]) -> bool {
        if self.parts.is_empty() || line.is_empty() {
            return self.parts.is_empty() && line.is_empty();
        }
        let mut rest = line;
        for (at, part) in self.parts.iter().enumerate() {
            let Part::Literal(literal) = part else { continue };
            match literal.find(rest) {
                // A capture before the literal must not be empty.
                Some(0) if at > 0 => return false,
                Some(found) => rest = &rest[found + literal.as_bytes().len()..],
                None => return false,
            }
        }
        match self.parts.last() {
            Some(Part::Capture(_)) => !rest.is_empty(),
            _ => rest.is_empty(),
        }
    }

    /// The texts that every matching line holds.
    pub(super) fn literals(&self) -> impl Iterator<Item = &[u8]> {
        self.parts.iter().filter_map(|part| match part {
            Part::Literal(literal) => Some(literal.as_bytes()),
            Part::Capture(_) => None,
        })
    }
}

/// The `pattern` stage.
#[derive(Debug, Clone)]
pub(super) struct PatternParser {
    /// A literal the line must begin with; may be empty.
    head: Box<[u8]>,
    captures: Vec<Capture>,
}

#[derive(Debug, Clone)]
struct Capture {
    /// `None`: the text is skipped.
    name: Option<NameId>,
    /// What ends the capture; `None`: it takes the rest of the line.
    end: Option<Literal>,
}

impl PatternParser {
    /// Compiles a pattern.
    ///
    /// # Errors
    ///
    /// A pattern without named captures, with equal names, or with captures that touch.
    pub(super) fn compile(text: &str, names: &mut Names) -> Result<Self, String> {
        let wrapped = |error: String| format!("{error}: invalid expression");
        let parts = parse(text).map_err(wrapped)?;
        let named = parts.iter().filter_map(|part| match part {
            Part::Capture(Some(name)) => Some(&**name),
            _ => None,
        });
        let named: Vec<&str> = named.collect();
        if named.is_empty() {
            return Err(wrapped("at least one capture is required".into()));
        }
        for (at, name) in named.iter().enumerate() {
            if named[..at].contains(name) {
                return Err(wrapped(format!("duplicate capture name ({name})")));
            }
        }
        let mut parser = Self { head: Box::default(), captures: Vec::new() };
        for part in parts {
            match (part, parser.captures.last_mut()) {
                (Part::Capture(name), _) => {
                    let name = name.map(|name| names.intern(&name));
                    parser.captures.push(Capture { name, end: None });
                }
                (Part::Literal(literal), None) => parser.head = literal.as_bytes().into(),
                (Part::Literal(literal), Some(capture)) => capture.end = Some(literal),
            }
        }
        Ok(parser)
    }

    /// Sets the captures of a row's line as labels.
    pub(super) fn run(&self, row: &mut Row<'_, '_>, plan: &ExtractPlan) -> Flow {
        let Some((line, mut extractor)) = Extractor::open(row, plan) else {
            return Flow::Continue;
        };
        if !line.starts_with(&self.head) {
            return Flow::Continue;
        }
        let mut at = self.head.len();
        for capture in &self.captures {
            let found = capture.end.as_ref().map(|end| (end, end.find(&line[at..])));
            let (end, next) = match found {
                Some((literal, Some(len))) => (at + len, Some(at + len + literal.as_bytes().len())),
                _ => (line.len(), None),
            };
            if let Some(name) = capture.name.and_then(|name| extractor.accept(name)) {
                let value = extractor.slice(line, at, end);
                let flow = extractor.set(name, value);
                if flow != Flow::Continue {
                    return flow;
                }
            }
            let Some(next) = next else { break };
            at = next;
        }
        Flow::Continue
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn lines_have_the_shape_or_not() {
        let check = |pattern: &str, line: &str, expected: bool| {
            let pattern = LinePattern::new(pattern).unwrap();
            assert_eq!(pattern.matches(line.as_bytes()), expected, "{pattern:?} on {line:?}");
        };
        check("<_> bar", "foo bar bar", false);
        check("<_> bar", "foo bar", true);
        check("foo <_>", "xx foo yy", true);
        check("", "", true);
        check("", "a", false);
        check("<_>", "a", true);
        check("<_>", "", false);
        check("a<_>c", "abc", true);
        check("a<_>c", "ac", false);
        check("a<_>", "a", false);
        check("abc", "abc", true);
        check("abc", "abcd", false);
        check("<1a>", "<1a>", true);
        check("<_>b", "b", false);
    }

    #[test]
    fn faulty_patterns_are_refused() {
        let check = |pattern: &str, expected: &str| {
            let error = LinePattern::new(pattern).unwrap_err();
            assert_eq!(error, format!("{expected}: invalid expression"));
        };
        check("<_><_>", "found consecutive capture '<_><_>'");
        check("<a> x", "line filter expressions do not allow named captures");
        let parser = |pattern| PatternParser::compile(pattern, &mut Names::new()).unwrap_err();
        assert_eq!(parser("abc"), "at least one capture is required: invalid expression");
        assert_eq!(parser("<_> x"), "at least one capture is required: invalid expression");
        assert_eq!(parser("<a> <a>"), "duplicate capture name (a): invalid expression");
        assert_eq!(parser("<a><b>"), "found consecutive capture '<a><b>': invalid expression");
    }
}
