//! What the labels of every row that passes must be, as far as that can be proven.
//!
//! Only label filters for one of some texts say anything, and only until a stage changes lines or
//! labels. A value that `json` or `logfmt` found stands in the line as it is, unless it was
//! written with escapes. So parts of values are looked for that no short escape can stand for, and
//! `\u00`, with which every long escape of an ASCII character begins. What is no text becomes a
//! blank when it is parsed; blanks are therefore not looked for either.

use std::ops::Range;

use super::label_filter::Filter;
use super::line_filter::{LineTest, TextTest};
use super::literal::Literal;
use super::names::{ERROR, ERROR_DETAILS, NameId, Names, without_suffix};
use super::program::{Program, Step};
use super::sweep::Sweep;
use crate::source::{Batch, RequiredLabel, StreamRun};
use model::columns::Lines;

/// How every escape of an ASCII character by its number begins.
const LONG_ESCAPE: &[u8] = b"\\u00";

/// The conditions that steps put on labels.
pub(super) fn labels(steps: &[Step], names: &Names) -> Vec<RequiredLabel> {
    let mut found = Vec::new();
    let mut is_parsed = false;
    for step in steps {
        match step {
            Step::Line(_) => {}
            Step::Filter(filter) => collect(filter, is_parsed, names, &mut found),
            Step::Json | Step::Logfmt(_) => is_parsed = true,
            _ => break,
        }
    }
    found
}

fn collect(filter: &Filter, is_parsed: bool, names: &Names, found: &mut Vec<RequiredLabel>) {
    if let Filter::All(parts) = filter {
        return parts.iter().for_each(|part| collect(part, is_parsed, names, found));
    }
    let Some((name, values)) = one_of(filter) else { return };
    let text = names.text(name);
    // A suffixed name may be that of something else that was renamed.
    if matches!(name, ERROR | ERROR_DETAILS) || without_suffix(text).is_some() {
        return;
    }
    let or_texts = if is_parsed {
        let Some(parts) = values.iter().map(|value| plain_part(value)).collect::<Option<Vec<_>>>()
        else {
            return;
        };
        parts.into_iter().chain([LONG_ESCAPE]).map(Into::into).collect()
    } else {
        Vec::new()
    };
    found.push(RequiredLabel { name: text.into(), values, or_texts });
}

/// The label that a filter looks at and the values that it accepts, if they can be listed.
fn one_of(filter: &Filter) -> Option<(NameId, Vec<Box<str>>)> {
    match filter {
        Filter::Text { name, test, is_negative: false } => {
            let mut values = Vec::new();
            list(test, &mut values)?;
            Some((*name, values))
        }
        Filter::Any(parts) => {
            let mut all: Option<(NameId, Vec<Box<str>>)> = None;
            for part in parts {
                let (name, values) = one_of(part)?;
                match &mut all {
                    None => all = Some((name, values)),
                    Some((own, list)) if *own == name => list.extend(values),
                    Some(_) => return None,
                }
            }
            all
        }
        _ => None,
    }
}

/// Appends the texts that a test accepts; `None` when it may accept others, or the empty one,
/// which is also that of an absent label.
fn list(test: &TextTest, values: &mut Vec<Box<str>>) -> Option<()> {
    match test {
        TextTest::Equal(text) if !text.is_empty() => {
            values.push(std::str::from_utf8(text).ok()?.into());
            Some(())
        }
        TextTest::Any(tests) => tests.iter().try_for_each(|test| list(test, values)),
        _ => None,
    }
}

/// The longest part of a value that stands in the line as it is, but for escapes by number.
fn plain_part(value: &str) -> Option<&[u8]> {
    let has_escape = |byte: &u8| !byte.is_ascii_graphic() || br#""\/'"#.contains(byte);
    let longest = value.as_bytes().split(has_escape).max_by_key(|part| part.len());
    longest.filter(|part| !part.is_empty())
}

/// The leading line filters, and what a line must hold so that parsers can find the labels that
/// filters ask for. Only for rows that do not have those labels otherwise.
#[derive(Debug, Clone)]
pub(super) struct ParsedSweep {
    /// For texts that may hold long escapes.
    any: Sweep,
    /// For texts without: one search for each text is faster than one for two.
    plain: Sweep,
    /// The labels' names.
    names: Vec<Box<str>>,
}

impl ParsedSweep {
    /// `None` when no label must be found in the line.
    pub(super) fn new(program: &Program, names: &Names, leading: &[LineTest]) -> Option<Self> {
        let mut asked = labels(&program.steps, names);
        asked.retain(|label| !label.or_texts.is_empty());
        if asked.is_empty() {
            return None;
        }
        let sweep = |is_wanted: &dyn Fn(&[u8]) -> bool| {
            let tests = asked.iter().map(|label| {
                let texts = label.or_texts.iter().filter(|text| is_wanted(text));
                let texts = texts.map(|text| TextTest::Contains(Literal::new(text)));
                LineTest { test: TextTest::any(texts.collect()), is_negative: false }
            });
            Sweep::new(leading.iter().cloned().chain(tests).collect())
        };
        let (any, plain) = (sweep(&|_| true), sweep(&|text| text != LONG_ESCAPE));
        Some(Self { any, plain, names: asked.into_iter().map(|label| label.name).collect() })
    }

    /// Pushes the rows whose line passes.
    pub(super) fn run(&self, lines: &Lines, rows: Range<usize>, out: &mut Vec<u32>) {
        let text = &lines.text()[lines.start_of(rows.start)..lines.start_of(rows.end)];
        match memchr::memmem::find(text, LONG_ESCAPE) {
            Some(_) => self.any.run(lines, rows, out),
            None => self.plain.run(lines, rows, out),
        }
    }

    /// Whether some rows of a batch have none of the labels from their stream or metadata.
    pub(super) fn is_fit(&self, batch: &Batch, rows: &Range<usize>) -> bool {
        let of_metadata = |name: &str| batch.metadata.iter().any(|column| column.name() == name);
        let of_stream = |name: &str| {
            let own = |run: &&StreamRun| run.rows.start < rows.end && rows.start < run.rows.end;
            batch.runs.iter().filter(own).any(|run| run.labels.get(name).is_some())
        };
        !self.names.iter().any(|name| of_metadata(name) || of_stream(name))
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use crate::pipeline::{Hints, Metadata, Pipeline, RowView};
    use crate::source::{Batch, RequiredLabel, StreamRun};
    use crate::syntax::ast::Expr;
    use model::columns::{Lines, TextColumn, Texts};
    use model::{Labels, Timestamp};

    fn pipeline(stages: &str) -> Pipeline {
        let Expr::Log(query) = crate::parse(&format!("{{a=\"b\"}} {stages}")).unwrap() else {
            panic!("a log query")
        };
        Pipeline::build(&query.stages, None, Hints::log()).unwrap()
    }

    /// Name, values and texts of each condition.
    fn required(stages: &str) -> Vec<(String, Vec<String>, Vec<String>)> {
        let text = |bytes: &[u8]| String::from_utf8(bytes.to_vec()).unwrap();
        let parts = |RequiredLabel { name, values, or_texts }: RequiredLabel| {
            let values = values.iter().map(|value| value.to_string()).collect();
            (name.into(), values, or_texts.iter().map(|part| text(part)).collect())
        };
        pipeline(stages).required_labels().into_iter().map(parts).collect()
    }

    #[test]
    fn conditions_can_be_proven() {
        let check = |stages: &str, expected: &[(&str, &[&str], &[&str])]| {
            let owned = |list: &[&str]| list.iter().map(|text| text.to_string()).collect();
            let expected: Vec<(String, Vec<String>, Vec<String>)> = expected
                .iter()
                .map(|(name, values, texts)| (name.to_string(), owned(values), owned(texts)))
                .collect();
            assert_eq!(required(stages), expected, "{stages}");
        };
        check("| x=\"v\"", &[("x", &["v"], &[])]);
        check("|= \"l\" | x=\"v\" and y=\"w\"", &[("x", &["v"], &[]), ("y", &["w"], &[])]);
        check("| x=\"v\" or x=\"w\"", &[("x", &["v", "w"], &[])]);
        // Such an expression matches parts of values.
        check("| x=~\"v|w\"", &[]);
        check("| x=\"v\" or y=\"w\"", &[]);
        check("| x!=\"v\" | x=\"\" | x=~\"v.*\" | x>5", &[]);
        check("| x_extracted=\"v\" | __error__=\"e\"", &[]);
        check("| json | x=\"v\"", &[("x", &["v"], &["v", "\\u00"])]);
        check("| logfmt | x=\"a/bcd ef\"", &[("x", &["a/bcd ef"], &["bcd", "\\u00"])]);
        check("| json | x=\"/\"", &[]);
        check("| json | x=\"grüße\"", &[("x", &["grüße"], &["gr", "\\u00"])]);
        check("| x=\"v\" | label_format y=x | y=\"v\"", &[("x", &["v"], &[])]);
        check("| line_format \"z\" | json | x=\"v\"", &[]);
        check("| json | drop x | x=\"v\"", &[]);
    }

    /// Rows that have a label from their stream or metadata are left to the filter.
    #[test]
    fn only_labels_from_lines_are_looked_for_there() {
        let swept = |stream: &str, metadata: &[&str]| {
            let pipeline = pipeline("| json | x=\"v\"");
            let mut lines = Lines::default();
            ["{\"x\":\"v\"}", "{\"x\":\"w\"}", "{\"x\":\"\\u0076\"}"]
                .iter()
                .for_each(|line| lines.push(line.as_bytes()));
            let labels = Labels::parse(stream).unwrap();
            let fingerprint = labels.fingerprint();
            let runs = vec![StreamRun { labels, fingerprint, rows: 0..3, copies: None }];
            let none = Texts::default;
            let column = |name: &&str| TextColumn::from_parts(name, vec![0; 3], none()).unwrap();
            let metadata = metadata.iter().map(column).collect();
            let batch = Batch { runs, lines, metadata, ..Batch::default() };
            let mut rows = Vec::new();
            pipeline.sweep(&batch, 0..3, &mut pipeline.scratch(), &mut rows);
            rows
        };
        assert_eq!(swept("{a=\"b\"}", &["y"]), [0, 2]);
        assert_eq!(swept("{a=\"b\", x=\"w\"}", &[]), [0, 1, 2]);
        assert_eq!(swept("{a=\"b\"}", &["x"]), [0, 1, 2]);
    }

    /// A text as a value in JSON or logfmt, some of its characters escaped.
    fn written(value: &str, escapes: &[u8]) -> String {
        let mut out = String::new();
        for (at, c) in value.chars().enumerate() {
            let escape = escapes.get(at).copied().unwrap_or(0);
            match c {
                '"' | '\\' => out.extend(['\\', c]),
                '/' if escape == 1 => out.push_str("\\/"),
                c if escape == 2 => {
                    let mut units = [0; 2];
                    for unit in c.encode_utf16(&mut units) {
                        out.push_str(&format!("\\u{unit:04x}"));
                    }
                }
                '\n' => out.push_str("\\n"),
                c => out.push(c),
            }
        }
        out
    }

    proptest! {
        /// However a value is written, a row that passes fulfils the conditions.
        #[test]
        fn rows_that_pass_fulfil_the_conditions(
            value in "[a-cé/\"\\\\ \u{fffd}東\n]{1,8}",
            asked in proptest::option::of("[a-c/ é]{1,4}"),
            escapes in proptest::collection::vec(0u8..4, 8),
            is_json in any::<bool>(),
        ) {
            let asked = asked.unwrap_or_else(|| value.replace('\u{fffd}', " "));
            let text = written(&value, &escapes);
            let (parser, line) = match is_json {
                true => ("json", format!("{{\"x\":\"{text}\"}}")),
                false => ("logfmt", format!("x=\"{text}\"")),
            };
            let mut quoted = String::new();
            model::label::quote_into(&asked, &mut quoted);
            let pipeline = pipeline(&format!("| {parser} | x={quoted}"));
            let row = RowView {
                timestamp: Timestamp(0),
                line: line.as_bytes(),
                columns: None,
                metadata: Metadata::Pairs(&[]),
            };
            let mut scratch = pipeline.scratch();
            if pipeline.process(&Labels::default(), row, &mut scratch).is_some() {
                for condition in pipeline.required_labels() {
                    let holds = |text: &[u8]| memchr::memmem::find(line.as_bytes(), text).is_some();
                    prop_assert!(
                        condition.or_texts.iter().any(|text| holds(text)),
                        "{} passes {:?}", line, condition
                    );
                }
                let mut lines = Lines::default();
                lines.push(line.as_bytes());
                let batch = Batch { lines, ..Batch::default() };
                let mut rows = Vec::new();
                pipeline.sweep(&batch, 0..1, &mut scratch, &mut rows);
                prop_assert_eq!(rows, [0], "{} is swept away", line);
            }
        }
    }
}
