//! The leading line filters over a whole batch.
//!
//! Lines stand back to back in one text, so one search covers many rows: the search runs from hit
//! to hit and the rows in between are never looked at. The most telling filter drives the search,
//! the others are tested on its rows. A regular expression can drive too, rewritten so that no
//! match crosses a line, as long as no line of the batch holds a newline itself.

use std::ops::Range;

use aho_corasick::{AhoCorasick, MatchKind};
use model::columns::{LINE_SEPARATOR, Lines};
use model::pattern::translate;
use regex_automata::Input;
use regex_automata::meta::Regex;
use regex_syntax::hir::Hir;

use super::hir;
use super::line_filter::{LineTest, TextTest};
use super::literal::{FoldLiteral, Literal, case_pattern};
use crate::source::Required;

/// The leading line filters of a pipeline.
#[derive(Debug, Clone)]
pub(super) struct Sweep {
    /// All filters.
    tests: Vec<LineTest>,
    /// Which of them drives, and how.
    driver: Option<Driver>,
}

#[derive(Debug, Clone)]
struct Driver {
    /// Position in `tests`.
    test: usize,
    search: Search,
    /// Whether a hit proves the test; otherwise the test is run on the line.
    is_proof: bool,
}

#[derive(Debug, Clone)]
enum Search {
    Literal(Literal),
    Fold(Box<FoldLiteral>),
    Many(AhoCorasick),
    /// Only for texts whose newlines are all separators.
    Lines(Box<Regex>),
}

impl Sweep {
    /// Prepares the search for lines that pass every test.
    pub(super) fn new(tests: Vec<LineTest>) -> Self {
        let tests: Vec<LineTest> = tests.into_iter().filter(|test| !test.keeps_all()).collect();
        let drivers = tests.iter().enumerate().filter_map(|(at, test)| Driver::new(at, test));
        // Positive filters first, then those with the cheapest search.
        let driver =
            drivers.min_by_key(|driver| (tests[driver.test].is_negative, driver.search.cost()));
        Self { tests, driver }
    }

    /// All filters that may drop a line.
    pub(super) fn tests(&self) -> &[LineTest] {
        &self.tests
    }

    /// Whether every line passes.
    pub(super) fn is_empty(&self) -> bool {
        self.tests.is_empty()
    }

    /// Whether one line passes.
    pub(super) fn keeps(&self, line: &[u8]) -> bool {
        self.tests.iter().all(|test| test.keeps(line))
    }

    /// Pushes the rows that pass.
    pub(super) fn run(&self, lines: &Lines, rows: Range<usize>, out: &mut Vec<u32>) {
        let rows = rows.start..rows.end.min(lines.len());
        if self.tests.is_empty() {
            out.extend(rows.map(|row| row as u32));
            return;
        }
        match &self.driver {
            Some(driver) if driver.search.is_fit(lines, &rows) => {
                self.run_driver(driver, lines, rows, out);
            }
            _ => out.extend(rows.filter(|row| self.keeps(lines.row(*row))).map(|row| row as u32)),
        }
    }

    fn run_driver(&self, driver: &Driver, lines: &Lines, rows: Range<usize>, out: &mut Vec<u32>) {
        let is_negative = self.tests[driver.test].is_negative;
        let mut hits = Hits::new(driver, lines, rows.clone());
        let mut next = rows.start;
        let passes_others = |row: usize| {
            let others = self.tests.iter().enumerate().filter(|(at, _)| *at != driver.test);
            self.tests.len() == 1 || others.into_iter().all(|(_, test)| test.keeps(lines.row(row)))
        };
        while let Some(row) = hits.next() {
            let proven = driver.is_proof || self.tests[driver.test].test.matches(lines.row(row));
            if !is_negative && proven && passes_others(row) {
                out.push(row as u32);
            }
            if is_negative && proven {
                out.extend((next..row).filter(|row| passes_others(*row)).map(|row| row as u32));
                next = row + 1;
            }
        }
        if is_negative {
            out.extend((next..rows.end).filter(|row| passes_others(*row)).map(|row| row as u32));
        }
    }

    /// Texts that every line that passes holds.
    pub(super) fn required(&self) -> Vec<Required> {
        let mut out = Vec::new();
        for test in self.tests.iter().filter(|test| !test.is_negative) {
            require(&test.test, &mut out);
        }
        out
    }
}

impl Driver {
    fn new(at: usize, test: &LineTest) -> Option<Self> {
        let (search, is_proof) = match &test.test {
            TextTest::Contains(literal) => (Search::Literal(literal.clone()), true),
            TextTest::ContainsFold(literal) => (Search::Fold(Box::new(literal.clone())), true),
            TextTest::Shape(pattern) => {
                let longest = pattern.literals().max_by_key(|literal| literal.len())?;
                (Search::Literal(Literal::new(longest)), false)
            }
            TextTest::Any(tests) => match literals(tests) {
                Some(literals) => (Search::Many(many(&literals)?), true),
                None => (Search::Lines(Box::new(line_regex(&test.test)?)), true),
            },
            TextTest::Regex(_) => (Search::Lines(Box::new(line_regex(&test.test)?)), true),
            _ => return None,
        };
        Some(Self { test: at, search, is_proof })
    }
}

impl Search {
    /// Which search to prefer; lower is better.
    fn cost(&self) -> usize {
        match self {
            // A longer text is rarer.
            Self::Literal(literal) => 64 - literal.as_bytes().len().min(64),
            Self::Fold(literal) => 96 - literal.as_str().len().min(64),
            Self::Many(_) => 200,
            Self::Lines(_) => 300,
        }
    }

    /// Whether the search may run over these rows.
    fn is_fit(&self, lines: &Lines, rows: &Range<usize>) -> bool {
        let Self::Lines(_) = self else { return true };
        let text = &lines.text()[lines.start_of(rows.start)..lines.start_of(rows.end)];
        memchr::memchr_iter(LINE_SEPARATOR, text).count() == rows.len()
    }
}

/// Rows in which a search hits, in order and each once.
struct Hits<'a> {
    search: &'a Search,
    lines: &'a Lines,
    text: &'a [u8],
    /// Where to search on.
    at: usize,
    /// A row at or before the next hit.
    row: usize,
    end_row: usize,
    /// Whether the literal search must know all cases.
    is_slow: bool,
}

impl<'a> Hits<'a> {
    fn new(driver: &'a Driver, lines: &'a Lines, rows: Range<usize>) -> Self {
        let text = &lines.text()[..lines.start_of(rows.end)];
        let at = lines.start_of(rows.start);
        let is_slow = match &driver.search {
            Search::Fold(literal) => literal.needs_regex(&text[at..]),
            _ => false,
        };
        let search = &driver.search;
        Self { search, lines, text, at, row: rows.start, end_row: rows.end, is_slow }
    }

    fn next(&mut self) -> Option<usize> {
        while self.at < self.text.len() {
            let (start, end) = self.find()?;
            let row = self.row_at(start);
            if row >= self.end_row {
                return None;
            }
            let next_start = self.lines.start_of(row + 1);
            if end < next_start {
                (self.row, self.at) = (row + 1, next_start);
                return Some(row);
            }
            // The hit crosses into the next row; another may begin after its first byte.
            (self.row, self.at) = (row, start + 1);
        }
        None
    }

    fn find(&self) -> Option<(usize, usize)> {
        let rest = &self.text[self.at..];
        let found = match self.search {
            Search::Literal(literal) => {
                literal.find(rest).map(|start| (start, start + literal.as_bytes().len()))
            }
            Search::Fold(literal) if self.is_slow => literal.find_slow(rest),
            Search::Fold(literal) => {
                literal.find_fast(rest).map(|start| (start, start + literal.as_str().len()))
            }
            Search::Many(searcher) => searcher.find(rest).map(|hit| (hit.start(), hit.end())),
            Search::Lines(regex) => {
                // With what stands before, so that anchors see it.
                let input = Input::new(self.text).span(self.at..self.text.len());
                return regex.search(&input).map(|hit| (hit.start(), hit.end()));
            }
        };
        found.map(|(start, end)| (self.at + start, self.at + end))
    }

    /// The row of a byte that is not before `self.row`. Dense hits are close by.
    fn row_at(&self, offset: usize) -> usize {
        for row in self.row..self.row + 4 {
            if offset < self.lines.start_of(row + 1) {
                return row;
            }
        }
        self.lines.row_at(offset)
    }
}

/// The substrings of an alternative of plain substrings. With newlines in them a hit could hide a
/// shorter one that ends in the line.
fn literals(tests: &[TextTest]) -> Option<Vec<&[u8]>> {
    let literals = tests.iter().map(|test| match test {
        TextTest::Contains(literal) => {
            Some(literal.as_bytes()).filter(|text| !text.contains(&LINE_SEPARATOR))
        }
        _ => None,
    });
    literals.collect()
}

fn many(literals: &[&[u8]]) -> Option<AhoCorasick> {
    AhoCorasick::builder().match_kind(MatchKind::LeftmostFirst).build(literals).ok()
}

/// A regular expression for what the test looks for, kept within lines.
fn line_regex(test: &TextTest) -> Option<Regex> {
    let hir = hir::within_line(&test_hir(test)?);
    let config = Regex::config().utf8_empty(false);
    regex_automata::meta::Builder::new().configure(config).build_from_hir(&hir).ok()
}

fn test_hir(test: &TextTest) -> Option<Hir> {
    match test {
        TextTest::Contains(literal) => Some(Hir::literal(literal.as_bytes())),
        TextTest::ContainsFold(literal) => hir::parse(&case_pattern(literal.as_str())),
        TextTest::Regex(regex) => hir::parse(&translate(regex.pattern.as_str()).ok()?),
        TextTest::Any(tests) => {
            Some(Hir::alternation(tests.iter().map(test_hir).collect::<Option<_>>()?))
        }
        _ => None,
    }
}

/// What a text that passes a test must hold.
pub(super) fn require(test: &TextTest, out: &mut Vec<Required>) {
    let exactly = |text: &[u8]| Required { any_of: vec![text.into()], ignores_case: false };
    match test {
        TextTest::Contains(literal) => out.push(exactly(literal.as_bytes())),
        TextTest::ContainsFold(literal) => {
            let in_any_case =
                |part: &str| Required { any_of: vec![part.as_bytes().into()], ignores_case: true };
            out.extend(plain_parts(literal.as_str()).map(in_any_case));
        }
        TextTest::Shape(pattern) => {
            out.extend(pattern.literals().filter(|literal| !literal.is_empty()).map(exactly));
        }
        TextTest::Any(tests) => out.extend(require_any(tests)),
        TextTest::Regex(_) => {
            let requirements = test_hir(test).map(|hir| hir::required(&hir)).unwrap_or_default();
            out.extend(
                requirements.into_iter().map(|any_of| Required { any_of, ignores_case: false }),
            );
        }
        _ => {}
    }
}

/// The requirement that one of several tests gives: possible when each gives some.
fn require_any(tests: &[TextTest]) -> Option<Required> {
    let mut any_of = Vec::new();
    let mut ignores_case = false;
    for test in tests {
        let mut own = Vec::new();
        require(test, &mut own);
        let best = own.into_iter().max_by_key(|r| r.any_of.iter().map(|t| t.len()).min())?;
        ignores_case |= best.ignores_case;
        any_of.extend(best.any_of);
    }
    // In any case is weaker than exactly, so mixing the two stays true.
    (!any_of.is_empty()).then_some(Required { any_of, ignores_case })
}

/// The parts of a text in lower case that only ASCII letters can stand for.
fn plain_parts(lower: &str) -> impl Iterator<Item = &str> {
    let is_foreign = |c: char| !c.is_ascii() || matches!(c, 'i' | 'k');
    lower.split(is_foreign).filter(|part| part.len() > 1)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;
    use crate::syntax::ast::{LineFilter, LineFilterArg, LineFilterOp};

    fn sweep(filters: &[(LineFilterOp, &[&str])]) -> Sweep {
        let tests = filters.iter().flat_map(|(op, args)| {
            let args = args.iter().map(|arg| LineFilterArg::Text((*arg).into())).collect();
            LineTest::compile(&LineFilter { op: *op, args }).unwrap()
        });
        Sweep::new(tests.collect())
    }

    fn lines(list: &[&str]) -> Lines {
        let mut lines = Lines::default();
        list.iter().for_each(|line| lines.push(line.as_bytes()));
        lines
    }

    fn check(filters: &[(LineFilterOp, &[&str])], list: &[&str]) {
        let (sweep, lines) = (sweep(filters), lines(list));
        for start in 0..=list.len() {
            for end in start..=list.len() {
                let mut found = Vec::new();
                sweep.run(&lines, start..end, &mut found);
                let kept = (start..end).filter(|row| sweep.keeps(list[*row].as_bytes()));
                let expected: Vec<u32> = kept.map(|row| row as u32).collect();
                assert_eq!(found, expected, "{filters:?} on {start}..{end}");
            }
        }
    }

    #[test]
    fn sweeps_agree_with_row_by_row() {
        use LineFilterOp as Op;
        let plain = ["an error", "", "ERROR warn", "x", "warn error error", "warning", "end error"];
        let multi = ["a\nerror", "err\nor", "error\n", "\nwarn", "x y"];
        let filters: &[&[(Op, &[&str])]] = &[
            &[(Op::Contains, &["error"])],
            &[(Op::Contains, &["error", "warn"])],
            &[(Op::NotContains, &["error"])],
            &[(Op::NotContains, &["error", "x"])],
            &[(Op::Regex, &["(?i)error"])],
            &[(Op::Regex, &["(?i)error|warn"])],
            &[(Op::NotRegex, &["(?i)error"])],
            &[(Op::Regex, &["^e"])],
            &[(Op::Regex, &["r$"])],
            &[(Op::Regex, &["^$"])],
            &[(Op::Regex, &["x*"])],
            &[(Op::Regex, &["a.*o"])],
            &[(Op::Regex, &["n\\s"])],
            &[(Op::Regex, &["[^z]{3}"])],
            &[(Op::Regex, &["\\berror\\b"])],
            &[(Op::NotRegex, &["w[^x]r"])],
            &[(Op::Pattern, &["<_> error"])],
            &[(Op::NotPattern, &["<_>error"])],
            &[(Op::Contains, &["error"]), (Op::NotContains, &["warn"])],
            &[(Op::NotContains, &["end"]), (Op::NotContains, &["warn"])],
            &[(Op::Contains, &["\n"])],
            &[(Op::Regex, &["a\ne|x"])],
            &[(Op::Contains, &[""])],
            &[(Op::NotContains, &[""])],
            &[(Op::Regex, &[".+"])],
        ];
        for filter in filters {
            check(filter, &plain);
            check(filter, &multi);
        }
    }

    #[test]
    fn requirements_can_be_proven() {
        use LineFilterOp as Op;
        let check = |filters: &[(Op, &[&str])], expected: &[(&[&str], bool)]| {
            let required = sweep(filters).required();
            let expected: Vec<Required> = expected
                .iter()
                .map(|(texts, ignores_case)| Required {
                    any_of: texts.iter().map(|text| text.as_bytes().into()).collect(),
                    ignores_case: *ignores_case,
                })
                .collect();
            assert_eq!(required, expected, "{filters:?}");
        };
        check(&[(Op::Contains, &["a"]), (Op::NotContains, &["b"])], &[(&["a"], false)]);
        check(&[(Op::Contains, &["a", "b"])], &[(&["a", "b"], false)]);
        check(&[(Op::Regex, &["(?i)error"])], &[(&["error"], true)]);
        check(&[(Op::Regex, &["(?i)killed"])], &[(&["lled"], true)]);
        check(&[(Op::Regex, &["(?i)declined"])], &[(&["decl"], true), (&["ned"], true)]);
        check(&[(Op::Regex, &["foo.*bar"])], &[(&["foo"], false), (&["bar"], false)]);
        check(&[(Op::Regex, &["x|foo\\d"])], &[]);
        check(&[(Op::Pattern, &["<_>ab<_>cd"])], &[(&["ab"], false), (&["cd"], false)]);
        check(&[(Op::Contains, &[""])], &[]);
        check(&[(Op::Regex, &[".+"])], &[]);
    }

    proptest! {
        #[test]
        fn any_batch_is_swept_as_its_rows(
            list in proptest::collection::vec("[aAbB\n]{0,6}", 0..8),
            pattern in "(\\(\\?i\\))?[ab]{1,2}(\\.\\*|\\[\\^a\\]|\\||\\$|\\+)?[ab]?",
        ) {
            prop_assume!(model::Pattern::search(&pattern).is_ok());
            let list: Vec<&str> = list.iter().map(String::as_str).collect();
            check(&[(LineFilterOp::Regex, &[&pattern])], &list);
        }
    }
}
