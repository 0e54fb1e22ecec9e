//! `|= "a"`, `!~ "b"`, `|> "<_> c"`: keeping lines by their text (language reference 4.3).
//!
//! Identity cases are not special syntax but tests that always hold: `|= ""` keeps every line and
//! `!= ""` drops every line. An alternative that always holds is thrown away (Q2), so `|= "" or
//! "x"` means `|= "x"`.

use model::Pattern;
use regex_automata::meta::Regex;

use super::ip::IpMatcher;
use super::literal::{FoldLiteral, Literal};
use super::pattern::LinePattern;
use super::regex_simplify;
use crate::syntax::ast::{LineFilter, LineFilterArg, LineFilterOp};

/// A test on a text: a line or a label's value.
#[derive(Debug, Clone)]
pub(super) enum TextTest {
    /// Holds for every text.
    Always,
    /// Holds for every text but the empty one.
    NonEmpty,
    /// The text is this one.
    Equal(Box<[u8]>),
    /// The text has the length of this one, which is in lower case, and holds it in any case.
    EqualFold(FoldLiteral),
    /// The text holds this one.
    Contains(Literal),
    /// The text holds this one in any case.
    ContainsFold(FoldLiteral),
    /// One of the tests holds.
    Any(Vec<TextTest>),
    /// A regular expression matches somewhere.
    Regex(Box<RegexTest>),
    /// The text has this shape.
    Shape(LinePattern),
    /// The text holds a matching address.
    Ip(IpMatcher),
}

/// A regular expression that Loki does not rewrite.
#[derive(Debug, Clone)]
pub(super) struct RegexTest {
    pub(super) pattern: Pattern,
    regex: Regex,
}

impl TextTest {
    /// The test of a compiled expression.
    pub(super) fn regex(pattern: Pattern) -> Self {
        let regex = pattern.regex().clone();
        Self::Regex(Box::new(RegexTest { pattern, regex }))
    }

    /// The test that one of `tests` holds. Those that always hold are thrown away unless there is
    /// no other (Q2).
    pub(super) fn any(tests: Vec<Self>) -> Self {
        let mut kept: Vec<Self> = Vec::with_capacity(tests.len());
        for test in tests {
            match test {
                Self::Always => {}
                Self::Any(inner) => kept.extend(inner),
                other => kept.push(other),
            }
        }
        match kept.len() {
            0 => Self::Always,
            1 => kept.remove(0),
            _ => Self::Any(kept),
        }
    }

    /// Whether the test holds for `text`.
    pub(super) fn matches(&self, text: &[u8]) -> bool {
        match self {
            Self::Always => true,
            Self::NonEmpty => !text.is_empty(),
            Self::Equal(wanted) => **wanted == *text,
            Self::EqualFold(wanted) => {
                text.len() == wanted.as_str().len() && wanted.find(text).is_some()
            }
            Self::Contains(literal) => literal.find(text).is_some(),
            Self::ContainsFold(literal) => literal.find(text).is_some(),
            Self::Any(tests) => tests.iter().any(|test| test.matches(text)),
            Self::Regex(test) => test.regex.is_match(text),
            Self::Shape(pattern) => pattern.matches(text),
            Self::Ip(matcher) => matcher.is_in(text),
        }
    }
}

/// A line filter: lines for which the test holds are kept, or dropped when it is negative.
#[derive(Debug, Clone)]
pub(super) struct LineTest {
    pub(super) test: TextTest,
    pub(super) is_negative: bool,
}

impl LineTest {
    /// Compiles a line filter into tests that must all hold.
    ///
    /// # Errors
    ///
    /// The text of a refused expression, pattern or address.
    pub(super) fn compile(filter: &LineFilter) -> Result<Vec<Self>, String> {
        let is_negative = filter.op.is_negative();
        let tests = filter.args.iter().map(|arg| argument(filter.op, arg));
        let tests = tests.collect::<Result<Vec<_>, _>>()?;
        if is_negative {
            return Ok(tests.into_iter().map(|test| Self { test, is_negative }).collect());
        }
        Ok(vec![Self { test: TextTest::any(tests), is_negative }])
    }

    /// Whether a line is kept.
    pub(super) fn keeps(&self, line: &[u8]) -> bool {
        self.test.matches(line) != self.is_negative
    }

    /// Whether every line is kept.
    pub(super) fn keeps_all(&self) -> bool {
        !self.is_negative && matches!(self.test, TextTest::Always)
    }
}

fn argument(op: LineFilterOp, arg: &LineFilterArg) -> Result<TextTest, String> {
    use LineFilterOp as Op;
    Ok(match (op, arg) {
        (Op::Contains | Op::NotContains, LineFilterArg::Ip(pattern)) => {
            TextTest::Ip(IpMatcher::parse(pattern)?)
        }
        (_, LineFilterArg::Ip(_)) => return Err("ip: invalid operation".into()),
        (Op::Contains | Op::NotContains, LineFilterArg::Text(text)) if text.is_empty() => {
            TextTest::Always
        }
        (Op::Contains | Op::NotContains, LineFilterArg::Text(text)) => {
            TextTest::Contains(Literal::new(text.as_bytes()))
        }
        (Op::Regex | Op::NotRegex, LineFilterArg::Text(text)) => regex_simplify::line_test(text)?,
        (Op::Pattern | Op::NotPattern, LineFilterArg::Text(text)) => {
            TextTest::Shape(LinePattern::new(text)?)
        }
    })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn keeps(op: LineFilterOp, args: &[&str], line: &str) -> bool {
        let args = args.iter().map(|arg| match arg.strip_prefix("ip:") {
            Some(pattern) => LineFilterArg::Ip(pattern.into()),
            None => LineFilterArg::Text((*arg).into()),
        });
        let filter = LineFilter { op, args: args.collect() };
        LineTest::compile(&filter).unwrap().iter().all(|test| test.keeps(line.as_bytes()))
    }

    #[test]
    fn filters_keep_and_drop() {
        use LineFilterOp as Op;
        let check = |op, args: &[&str], line, expected| {
            assert_eq!(keeps(op, args, line), expected, "{op:?} {args:?} on {line:?}");
        };
        check(Op::Contains, &["b"], "abc", true);
        check(Op::Contains, &[""], "abc", true);
        check(Op::Contains, &["", "zzz"], "abc", false);
        check(Op::Contains, &["x", "b"], "abc", true);
        check(Op::NotContains, &[""], "abc", false);
        check(Op::NotContains, &["a", "b"], "b", false);
        check(Op::NotContains, &["a", "b"], "c", true);
        check(Op::Regex, &["zzz|"], "abc", false);
        check(Op::Regex, &[".*|zzz"], "abc", false);
        check(Op::Regex, &[""], "abc", true);
        check(Op::Regex, &[".*"], "", true);
        check(Op::Regex, &[".+"], "\n", true);
        check(Op::Regex, &[".+"], "", false);
        check(Op::Regex, &["a.c"], "a\nc", false);
        check(Op::Regex, &["(?s)a.c"], "a\nc", true);
        check(Op::Regex, &["(?i)ABC"], "xaBcx", true);
        check(Op::NotRegex, &["", "x"], "abc", false);
        check(Op::NotRegex, &[".*"], "", false);
        check(Op::NotRegex, &["b.", "z"], "abc", false);
        check(Op::Pattern, &["<_> bar"], "foo bar bar", false);
        check(Op::Pattern, &["foo <_>"], "xx foo yy", true);
        check(Op::Pattern, &[""], "", true);
        check(Op::Pattern, &[""], "a", false);
        check(Op::NotPattern, &[""], "", false);
        check(Op::NotPattern, &["a<_>", "<_>z"], "xyz", false);
        check(Op::Contains, &["ip:192.168.0.1"], "src 192.168.0.1.", false);
        check(Op::Contains, &["ip:192.168.0.1"], "src 192.168.0.1:80", true);
        check(Op::Contains, &["yes", "ip:10.0.0.0/8", "nop"], "nope", true);
        check(Op::NotContains, &["ip:10.0.0.0/8"], "10.1.1.1", false);
        check(Op::NotContains, &["ip:10.0.0.0/8"], "", true);
    }

    #[test]
    fn equal_in_any_case_needs_equal_length() {
        let test = regex_simplify::label_test("(?i)ok").unwrap();
        assert!(test.matches(b"OK") && !test.matches(b"okk"));
        assert!(!test.matches("O\u{212a}".as_bytes()));
    }
}
