//! `| json a="b.c[0]"`: chosen values of the line become labels (language reference 5.3).
//!
//! The reader looks for the paths only and is silent about most faults. Unlike `| json` it
//! overwrites labels of earlier parsers, and what it does not find becomes an empty label.

use model::column_lines::{FieldKind, LineField};

use super::column_plan::PlannedField;
use super::extract::{Extractor, Flow, JSON_ERROR};
use super::hints::ExtractPlan;
use super::json::unescaped;
use super::json_scan::{Fault, Found, Kind, block_end, skip_blanks, unescape, value_at};
use super::labels::Value;
use super::names::{NameId, Names};
use super::row::Row;
use super::scan::{Quote, quote_end};
use crate::syntax::ast::Extract;

/// A step of a path.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Step {
    Field(Box<[u8]>),
    Index(usize),
}

/// The compiled stage.
#[derive(Debug, Clone)]
pub(super) struct JsonPaths {
    labels: Vec<NameId>,
    paths: Vec<Vec<Step>>,
}

impl JsonPaths {
    /// Compiles the extracts of a stage.
    ///
    /// # Errors
    ///
    /// `cannot parse expression […]: syntax error: …`.
    pub(super) fn compile(extracts: &[Extract], names: &mut Names) -> Result<Self, String> {
        let paths = extracts.iter().map(|extract| {
            parse_path(&extract.expression).map_err(|error| {
                format!("cannot parse expression [{}]: {error}", extract.expression)
            })
        });
        Ok(Self {
            paths: paths.collect::<Result<_, _>>()?,
            labels: extracts.iter().map(|extract| names.intern(&extract.label)).collect(),
        })
    }

    /// Runs the stage on a row.
    pub(super) fn run(&self, row: &mut Row<'_, '_>, plan: &ExtractPlan) -> Flow {
        let Some((line, mut extractor)) = Extractor::open(row, plan) else {
            return Flow::Continue;
        };
        match line.first() {
            None => return Flow::Continue,
            Some(b'{' | b'[' | b'"') => {}
            Some(_) => {
                extractor.fail(JSON_ERROR, None);
                return Flow::Continue;
            }
        }
        let mut is_complete = true;
        for (labels, paths) in self.labels.chunks(PATHS_MAX).zip(self.paths.chunks(PATHS_MAX)) {
            let mut search = Search::new(line, paths);
            if let Err(fault) = search.line() {
                extractor.fail(JSON_ERROR, Some(&fault.to_string()));
            }
            is_complete &= set_labels(line, labels, &search.found, &mut extractor);
        }
        if !is_complete {
            self.set_missing(&mut extractor);
        }
        Flow::Continue
    }

    /// What the stage would set in lines with these fields, in its order; `None` when the line must
    /// tell: where a path leads to or through an array, or to an object, whose texts are no fields.
    pub(super) fn planned(&self, fields: &[LineField]) -> Option<Vec<PlannedField>> {
        let mut planned: Vec<PlannedField> = Vec::new();
        for (name, path) in self.labels.iter().zip(&self.paths) {
            let Some(field) = scalar_at(path, fields)? else { continue };
            if planned.iter().any(|known| known.name == *name) {
                return None;
            }
            let is_null = field.kind == FieldKind::Null;
            let parts = if is_null { Vec::new() } else { field.parts.clone() };
            planned.push(PlannedField { name: *name, parts });
        }
        Some(planned)
    }

    /// Runs the stage on a row whose line was taken apart, given what it finds there.
    pub(super) fn run_planned(
        &self,
        row: &mut Row<'_, '_>,
        plan: &ExtractPlan,
        fields: &[PlannedField],
    ) -> Flow {
        let Some(at) = row.view.columns else { return Flow::Continue };
        let Some((_, mut extractor)) = Extractor::open(row, plan) else {
            return Flow::Continue;
        };
        for field in fields {
            let value = extractor.field_value(field, at);
            let name = extractor.suffixed_if_taken(field.name);
            extractor.set_quietly(name, value);
        }
        if fields.len() < self.labels.len() {
            self.set_missing(&mut extractor);
        }
        Flow::Continue
    }

    /// Gives an empty value to every label that no layer holds.
    fn set_missing(&self, extractor: &mut Extractor<'_, '_>) {
        for label in &self.labels {
            if extractor.labels.find(*label).is_none() {
                let value = extractor.labels.make(b"");
                extractor.set_quietly(*label, value);
            }
        }
    }
}

/// The first scalar that a path leads to, if there is one; `None` when the fields do not tell.
fn scalar_at<'f>(path: &[Step], fields: &'f [LineField]) -> Option<Option<&'f LineField>> {
    let is_step = |step: &Step, key: &[u8]| matches!(step, Step::Field(name) if **name == *key);
    for field in fields {
        if !path.iter().zip(&field.keys).all(|(step, key)| is_step(step, key)) {
            continue;
        }
        if field.kind == FieldKind::Container || field.keys.len() > path.len() {
            return None;
        }
        // A scalar on the way leads nowhere, but a later member may have the same key.
        if field.keys.len() == path.len() {
            return Some(Some(field));
        }
    }
    Some(None)
}

/// Sets the labels of what was found; answers whether everything was.
fn set_labels(
    line: &[u8],
    labels: &[NameId],
    found: &[Option<Result<Found, Fault>>; PATHS_MAX],
    extractor: &mut Extractor<'_, '_>,
) -> bool {
    let mut is_complete = true;
    for (label, found) in labels.iter().zip(found) {
        match found {
            None => is_complete = false,
            Some(Err(fault)) => {
                extractor.fail(JSON_ERROR, Some(&fault.to_string()));
                is_complete = false;
            }
            Some(Ok(found)) => {
                let value = label_value(line, *found, extractor);
                let name = extractor.suffixed_if_taken(*label);
                extractor.set_quietly(name, value);
            }
        }
    }
    is_complete
}

fn label_value(line: &[u8], found: Found, extractor: &mut Extractor<'_, '_>) -> Value {
    match found.kind {
        Kind::Null => extractor.labels.make(b""),
        Kind::Object | Kind::Bool | Kind::Number => extractor.slice(line, found.start, found.end),
        Kind::Text { is_escaped: false, .. } => extractor.clean_slice(line, found.start, found.end),
        // Escapes in an array are resolved although it stays an array.
        Kind::Text { .. } | Kind::Array => unescaped(&line[found.start..found.end], extractor),
    }
}

/// How many paths one search looks for.
const PATHS_MAX: usize = 64;

/// A set of paths, by position.
type Paths = u64;

/// A search for several paths in one line.
struct Search<'l, 'p> {
    line: &'l [u8],
    paths: &'p [Vec<Step>],
    /// Paths that were not met yet.
    open: Paths,
    /// By path: what stands there first.
    found: [Option<Result<Found, Fault>>; PATHS_MAX],
}

impl<'l, 'p> Search<'l, 'p> {
    fn new(line: &'l [u8], paths: &'p [Vec<Step>]) -> Self {
        let open = Paths::MAX >> (PATHS_MAX - paths.len().clamp(1, PATHS_MAX));
        Self { line, paths, open, found: [None; PATHS_MAX] }
    }

    /// Searches everything that stands in the line.
    fn line(&mut self) -> Result<(), Fault> {
        let mut at = 0;
        while self.open != 0 {
            let Some(next) = self.structure(at) else { return Ok(()) };
            let end = match self.line[next] {
                b'{' => self.object(next, 0, self.open),
                b'[' => self.array(next, 0, self.open),
                b'"' => {
                    let Some(Quote { end, .. }) = quote_end(self.line, next + 1) else {
                        return Ok(());
                    };
                    let after = skip_blanks(self.line, end + 1);
                    if after.is_some_and(|at| self.line[at] == b':') {
                        return Err(Fault::Json);
                    }
                    Some(end + 1)
                }
                _ => Some(next + 1),
            };
            let Some(end) = end else { return Ok(()) };
            at = end;
        }
        Ok(())
    }

    /// The next byte that means something.
    fn structure(&self, at: usize) -> Option<usize> {
        let is_meaningful = |byte: &u8| matches!(byte, b'"' | b'{' | b'}' | b'[');
        Some(at + self.line.get(at..)?.iter().position(is_meaningful)?)
    }

    /// Those of `wanted` that are still open and have such a step at `depth`.
    fn led(&self, wanted: Paths, depth: usize, is_step: impl Fn(&Step) -> bool) -> Paths {
        each(wanted & self.open)
            .filter(|path| self.paths[*path].get(depth).is_some_and(&is_step))
            .fold(0, |led, path| led | 1 << path)
    }

    /// Searches an object for the paths of `wanted`, whose first `depth` steps led here. Answers
    /// the position after it; `None` when the search is over.
    fn object(&mut self, at: usize, depth: usize, wanted: Paths) -> Option<usize> {
        let mut at = at + 1;
        while self.open != 0 {
            at = self.structure(at)?;
            match self.line[at] {
                b'}' => return Some(at + 1),
                b'{' => at = block_end(self.line, at, b'{', b'}')?,
                b'[' => at = block_end(self.line, at, b'[', b']')?,
                _ => {
                    let Quote { end, is_escaped, .. } = quote_end(self.line, at + 1)?;
                    let colon = skip_blanks(self.line, end + 1)?;
                    if self.line[colon] != b':' {
                        at = end + 1;
                        continue;
                    }
                    let led = self.led_by_key(&self.line[at + 1..end], is_escaped, depth, wanted);
                    let Some(value) = skip_blanks(self.line, colon + 1) else {
                        each(led).for_each(|path| self.report(path, Err(Fault::Json)));
                        return None;
                    };
                    at = self.value(value, depth + 1, led)?;
                }
            }
        }
        None
    }

    fn led_by_key(&self, key: &[u8], is_escaped: bool, depth: usize, wanted: Paths) -> Paths {
        let is = |key: &[u8]| {
            self.led(wanted, depth, |step| matches!(step, Step::Field(name) if **name == *key))
        };
        if !is_escaped {
            return is(key);
        }
        let mut unescaped = Vec::new();
        match unescape(key, &mut unescaped) {
            Ok(()) => is(&unescaped),
            Err(_) => 0,
        }
    }

    /// Takes a value that the paths of `led` lead to after `depth` steps.
    fn value(&mut self, at: usize, depth: usize, led: Paths) -> Option<usize> {
        let ended = each(led).filter(|path| self.paths[*path].len() == depth);
        let ended = ended.fold(0, |ended, path| ended | 1 << path);
        let further = led & !ended;
        if ended != 0 {
            // Two labels with the same path both get the value.
            let found = value_at(self.line, at);
            each(ended).for_each(|path| self.report(path, found));
        }
        match self.line[at] {
            b'{' if further != 0 => self.object(at, depth, further),
            b'{' => block_end(self.line, at, b'{', b'}'),
            b'[' => self.array(at, depth, further),
            b'"' => quote_end(self.line, at + 1).map(|quote| quote.end + 1),
            _ => Some(at),
        }
    }

    /// Searches an array; as [`Search::object`].
    fn array(&mut self, at: usize, depth: usize, wanted: Paths) -> Option<usize> {
        let end = block_end(self.line, at, b'[', b']')?;
        let wanted = self.led(wanted, depth, |step| matches!(step, Step::Index(_)));
        if wanted == 0 {
            return Some(end);
        }
        let mut index = 0;
        let mut next = skip_blanks(self.line, at + 1);
        while let Some(at) = next.filter(|at| *at < end && self.line[*at] != b']') {
            let Ok(found) = value_at(self.line, at) else { break };
            let led = self.led(wanted, depth, |step| *step == Step::Index(index));
            if led != 0 {
                self.value(at, depth + 1, led);
            }
            next = skip_blanks(self.line, found.next)
                .filter(|at| self.line[*at] == b',')
                .and_then(|at| skip_blanks(self.line, at + 1));
            index += 1;
        }
        Some(end)
    }

    fn report(&mut self, path: usize, found: Result<Found, Fault>) {
        if self.open & 1 << path != 0 {
            self.open &= !(1 << path);
            self.found[path] = Some(found);
        }
    }
}

/// The members of a set.
fn each(mut paths: Paths) -> impl Iterator<Item = usize> {
    std::iter::from_fn(move || {
        let next = paths.trailing_zeros() as usize;
        paths &= paths.wrapping_sub(1);
        (next < PATHS_MAX).then_some(next)
    })
}

/// Tokens of the path language.
#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Field(String),
    Text(String),
    Index(usize),
    Open,
    Close,
    Dot,
    End,
}

impl Token {
    /// The token's name in error messages.
    fn name(&self) -> &'static str {
        match self {
            Self::Field(_) => "FIELD",
            Self::Text(_) => "STRING",
            Self::Index(_) => "INDEX",
            Self::Open => "LSB",
            Self::Close => "RSB",
            Self::Dot => "DOT",
            Self::End => "$end",
        }
    }
}

/// Reads `a.b["c d"][0]`.
fn parse_path(text: &str) -> Result<Vec<Step>, String> {
    let mut tokens = Tokens { rest: text };
    let unexpected = |token: &Token, expected: &str| {
        Err(format!("syntax error: unexpected {}{expected}", token.name()))
    };
    let mut steps = Vec::new();
    loop {
        match (tokens.next(), steps.is_empty()) {
            (Token::Field(name), true) => steps.push(Step::Field(name.into_bytes().into())),
            (Token::Open, _) => steps.push(parse_bracket(&mut tokens)?),
            (Token::Dot, false) => match tokens.next() {
                Token::Field(name) => steps.push(Step::Field(name.into_bytes().into())),
                other => return unexpected(&other, ", expecting FIELD"),
            },
            (Token::End, false) => return Ok(steps),
            (other, true) => return unexpected(&other, ", expecting LSB or FIELD"),
            (other, false) => return unexpected(&other, ""),
        }
    }
}

fn parse_bracket(tokens: &mut Tokens<'_>) -> Result<Step, String> {
    let step = match tokens.next() {
        Token::Text(name) => Step::Field(name.into_bytes().into()),
        Token::Index(index) => Step::Index(index),
        other => {
            let name = other.name();
            return Err(format!("syntax error: unexpected {name}, expecting STRING or INDEX"));
        }
    };
    match tokens.next() {
        Token::Close => Ok(step),
        other => Err(format!("syntax error: unexpected {}, expecting RSB", other.name())),
    }
}

struct Tokens<'t> {
    rest: &'t str,
}

impl Tokens<'_> {
    /// The next token. A character that begins none ends the text.
    fn next(&mut self) -> Token {
        self.rest = self.rest.trim_start_matches([' ', '\t', '\n']);
        let Some(first) = self.rest.chars().next() else { return Token::End };
        let (token, length) = match first {
            '[' => (Token::Open, 1),
            ']' => (Token::Close, 1),
            '.' => (Token::Dot, 1),
            '"' => {
                let body = &self.rest[1..];
                let end = body.find('"').unwrap_or(body.len());
                (Token::Text(body[..end].to_owned()), (end + 2).min(self.rest.len()))
            }
            '0'..='9' => {
                let digits = self.rest.bytes().take_while(u8::is_ascii_digit).count();
                match self.rest[..digits].parse() {
                    Ok(index) => (Token::Index(index), digits),
                    Err(_) => (Token::End, self.rest.len()),
                }
            }
            'a'..='z' | 'A'..='Z' | '_' => {
                let is_part = |c: char| c.is_ascii_alphanumeric() || c == '_';
                let end = self.rest.find(|c| !is_part(c)).unwrap_or(self.rest.len());
                (Token::Field(self.rest[..end].to_owned()), end)
            }
            _ => (Token::End, self.rest.len()),
        };
        self.rest = &self.rest[length..];
        token
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn paths_are_read() {
        let field = |name: &str| Step::Field(name.as_bytes().into());
        let check = |text: &str, expected: &[Step]| assert_eq!(parse_path(text).unwrap(), expected);
        check("a", &[field("a")]);
        check("a.b[\"c d\"][0]", &[field("a"), field("b"), field("c d"), Step::Index(0)]);
        check("[\"a.b\"]", &[field("a.b")]);
        check("[1][2]", &[Step::Index(1), Step::Index(2)]);
        check(" a . b ", &[field("a"), field("b")]);
        let fails = |text: &str, expected: &str| {
            assert_eq!(parse_path(text).unwrap_err(), format!("syntax error: {expected}"));
        };
        fails("", "unexpected $end, expecting LSB or FIELD");
        fails(".", "unexpected DOT, expecting LSB or FIELD");
        fails("\"k\"", "unexpected STRING, expecting LSB or FIELD");
        fails("arr[-1]", "unexpected $end, expecting STRING or INDEX");
        fails("$.a", "unexpected $end, expecting LSB or FIELD");
        fails("a.", "unexpected $end, expecting FIELD");
        fails("a b", "unexpected FIELD");
        fails("a[0", "unexpected $end, expecting RSB");
    }

    #[test]
    fn paths_are_found() {
        let check = |line: &str, path: &str, expected: Option<&str>| {
            let paths = vec![parse_path(path).unwrap()];
            let mut search = Search::new(line.as_bytes(), &paths);
            search.line().unwrap();
            let found = search.found[0].map(|found| found.unwrap());
            assert_eq!(
                found.map(|found| &line[found.start..found.end]),
                expected,
                "{path} in {line}"
            );
        };
        let line = r#"{"a":{"b":[1,{"c":"x"},[2,3]],"d":null},"e":"\"a\":1","f":1.5,"a":0}"#;
        check(line, "a.b[0]", Some("1"));
        check(line, "a.b[1].c", Some("x"));
        check(line, "a.b[2][1]", Some("3"));
        check(line, "a.b[3]", None);
        check(line, "a.d", Some("null"));
        check(line, "f", Some("1.5"));
        check(line, "b", None);
        check(line, "a.b.c", None);
        check(line, "a.b", Some(r#"[1,{"c":"x"},[2,3]]"#));
        check(r#"[{"x":1},{"x":2}]"#, "[1].x", Some("2"));
        check(r#"{"a":1}{"b":2}"#, "b", Some("2"));
        check(r#"{"a":1"#, "a", Some("1"));
        check(r#"{"a":{"a":1}}"#, "a.a", Some("1"));
    }

    proptest::proptest! {
        #[test]
        fn any_line_can_be_searched(line in proptest::collection::vec(proptest::prop_oneof![
            proptest::sample::select(br#"{}[]":,\ab0 "#.to_vec()),
            proptest::prelude::any::<u8>()], 0..60)) {
            let paths: Vec<Vec<Step>> =
                ["a", "a.b", "b[0]", "[0].a"].iter().map(|p| parse_path(p).unwrap()).collect();
            let mut search = Search::new(&line, &paths);
            let _ = search.line();
            for found in search.found.into_iter().flatten().flatten() {
                proptest::prop_assert!(found.start <= found.end && found.end <= line.len());
            }
        }
    }
}
