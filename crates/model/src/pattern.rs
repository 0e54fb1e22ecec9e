//! Regular expressions with the meaning that Go's `regexp` gives them.
//!
//! The matching engine is `regex-automata`, linear in the input like RE2. Where the syntaxes differ
//! the text is rewritten before it is parsed: `\d`, `\w`, `\s` and `\b` are ASCII, `\Q…\E` quotes,
//! `\z` is the end, `\pN` classes are kept, a repetition above 1000 is refused, `{` that opens
//! no repetition is a literal, and groups may share a name.

use std::fmt;

use regex_automata::meta::Regex;
use regex_automata::util::syntax;

mod translate;

pub use translate::translate;
use translate::{Translated, rewrite};

/// Compiled size above which a pattern is refused, in bytes.
const PATTERN_BYTES_MAX: usize = 10 << 20;
/// Highest repetition count that Go accepts.
const REPETITION_MAX: u32 = 1000;

/// A compiled regular expression. Cloning is cheap.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    regex: Regex,
    group_names: Vec<String>,
}

/// Why a regular expression was refused; the text is what follows `error parsing regexp: `.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("error parsing regexp: {0}")]
pub struct PatternError(pub String);

impl Pattern {
    /// Compiles a pattern that may match anywhere; `.` does not match a newline.
    ///
    /// # Errors
    ///
    /// [`PatternError`] when the text is not a pattern Go would accept or compiles too large.
    pub fn search(text: &str) -> Result<Self, PatternError> {
        Self::compile(text, rewrite(text)?)
    }

    /// Compiles a pattern that must match the whole text, as `^(?s:text)$`.
    ///
    /// # Errors
    ///
    /// As [`Pattern::search`].
    pub fn anchored(text: &str) -> Result<Self, PatternError> {
        let inner = rewrite(text)?;
        Self::compile(text, Translated { text: format!("^(?s:{})$", inner.text), ..inner })
    }

    fn compile(text: &str, translated: Translated<'_>) -> Result<Self, PatternError> {
        check_repetitions(text, &translated.text)?;
        let config = Regex::config().nfa_size_limit(Some(PATTERN_BYTES_MAX)).utf8_empty(false);
        let regex = Regex::builder()
            .configure(config)
            .syntax(syntax::Config::new().utf8(false))
            .build(&translated.text)
            .map_err(|error| PatternError(describe(text, &error)))?;
        let group_names = translated.group_names.into_iter().map(str::to_owned).collect();
        Ok(Self { text: text.to_owned(), regex, group_names })
    }

    /// Whether the pattern matches somewhere in `haystack`.
    #[must_use]
    pub fn is_match(&self, haystack: &[u8]) -> bool {
        self.regex.is_match(haystack)
    }

    /// The compiled automaton, for captures and searches with positions.
    #[must_use]
    pub fn regex(&self) -> &Regex {
        &self.regex
    }

    /// The names of groups in the order in which they stand, as often as they stand. The automaton
    /// knows the first group of a name, and none whose name begins with a digit.
    #[must_use]
    pub fn group_names(&self) -> &[String] {
        &self.group_names
    }

    /// The pattern as it was written.
    #[must_use]
    pub fn as_str(&self) -> &str {
        &self.text
    }
}

impl fmt::Debug for Pattern {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Pattern({:?})", self.text)
    }
}

fn describe(text: &str, error: &regex_automata::meta::BuildError) -> String {
    if let Some(limit) = error.size_limit() {
        return format!("expression too large (more than {limit} bytes): `{text}`");
    }
    match error.syntax_error() {
        Some(syntax) => go_message(text, syntax),
        None => format!("{error}: `{text}`"),
    }
}

/// Refuses repetitions inside repetitions that together repeat more often than Go allows.
fn check_repetitions(text: &str, translated: &str) -> Result<(), PatternError> {
    if !translated.contains('{') {
        return Ok(());
    }
    // Text that does not parse is refused, in better words, when it is compiled.
    let parsed = regex_syntax::ParserBuilder::new().utf8(false).build().parse(translated);
    let Ok(hir) = parsed else { return Ok(()) };
    if repetitions(&hir) <= u64::from(REPETITION_MAX) {
        return Ok(());
    }
    let operator = text.rfind('{').and_then(|at| text[at..].split_inclusive('}').next());
    Err(PatternError(format!("invalid repeat count: `{}`", operator.unwrap_or(text))))
}

/// How often the innermost part of an expression is repeated at most by counted repetitions.
fn repetitions(hir: &regex_syntax::hir::Hir) -> u64 {
    use regex_syntax::hir::HirKind;
    match hir.kind() {
        HirKind::Repetition(repetition) => {
            let count = repetition.max.unwrap_or(repetition.min).max(1);
            u64::from(count).saturating_mul(repetitions(&repetition.sub))
        }
        HirKind::Capture(capture) => repetitions(&capture.sub),
        HirKind::Concat(parts) | HirKind::Alternation(parts) => {
            parts.iter().map(repetitions).max().unwrap_or(1)
        }
        HirKind::Empty | HirKind::Literal(_) | HirKind::Class(_) | HirKind::Look(_) => 1,
    }
}

/// Words a syntax error as Go does. Most faults are found, and worded, by [`translate`].
fn go_message(text: &str, error: &regex_syntax::Error) -> String {
    use regex_syntax::ast::ErrorKind as Syntax;
    use regex_syntax::hir::ErrorKind as Meaning;
    match error {
        regex_syntax::Error::Parse(error) => match error.kind() {
            Syntax::GroupUnclosed => format!("missing closing ): `{text}`"),
            Syntax::GroupUnopened => format!("unexpected ): `{text}`"),
            kind => format!("{kind}: `{text}`"),
        },
        regex_syntax::Error::Translate(error) => match error.kind() {
            Meaning::UnicodePropertyNotFound => {
                let (start, end) = (error.span().start.offset, error.span().end.offset);
                let class = error.pattern().get(start..end).unwrap_or(text);
                format!("invalid character class range: `{class}`")
            }
            kind => format!("{kind}: `{text}`"),
        },
        error => format!("{error}: `{text}`"),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn matches(pattern: &str, text: &str) -> bool {
        Pattern::search(pattern).unwrap().is_match(text.as_bytes())
    }

    #[test]
    fn escapes_take_braces() {
        assert!(matches(r"^\p{Han}+$", "日本"));
        assert!(!matches(r"^\P{Han}", "日本"));
        assert!(matches(r"^[\p{Greek}]$", "λ"));
        assert!(matches(r"^\x{1F600}$", "😀"));
        assert!(Pattern::search(r"\p{Nowhere}").is_err());
        assert!(Pattern::search(r"\p{").is_err());
    }

    #[test]
    fn perl_classes_are_ascii() {
        assert!(matches(r"^\d+$", "123"));
        assert!(!matches(r"^\d+$", "١٢٣"));
        assert!(!matches(r"^\w+$", "é"));
        assert!(matches(r"^[\w.-]+$", "a-b.c"));
        assert!(matches(r"^[^\s]+$", "a\u{a0}b"));
    }

    #[test]
    fn go_only_syntax_works() {
        assert!(matches(r"\Qa.b\E+", "a.bb"));
        assert!(!matches(r"\Qa.b\E", "axb"));
        assert!(matches(r"\141", "a"));
        assert!(matches(r"a{,2}", "a{,2}"));
        assert!(matches(r"{x}", "{x}"));
        assert!(matches(r"[[:alpha:]]+", "abc"));
        assert!(matches(r"[a&&b]", "&"));
        assert!(matches(r"(?P<n>x)", "x"));
        assert!(matches(r"(?i:X)(?:y)+?z*?", "xyz"));
        assert!(matches(r"a{2}?b", "aab"));
        assert!(matches(r"a\ b(?)", "a b"));
        assert!(matches(r"\p{^Greek}", "a"));
        assert!(!matches(r"\P{^Greek}", "a"));
        assert!(matches(r"^[+--]$", ","));
        assert!(matches(r"^[]-a]$", "_"));
        assert!(matches(r"^[a\-\x41~~&&[]+$", "a-A~&["));
        assert!(matches("a{01}", "a{01}"));
    }

    #[test]
    fn groups_may_share_a_name_or_begin_it_with_a_digit() {
        let pattern = Pattern::search("(?P<n>a)(?<n>b)(?P<1st>c)").unwrap();
        assert_eq!(pattern.group_names(), ["n", "n", "1st"]);
        assert!(pattern.is_match(b"abc"));
    }

    #[test]
    fn dot_and_dollar_follow_go() {
        assert!(!matches("a.c", "a\nc"));
        assert!(matches("(?s)a.c", "a\nc"));
        assert!(!matches("a$", "a\n"));
        assert!(matches("(?m)a$", "a\nb"));
    }

    #[test]
    fn faults_are_refused() {
        for pattern in [
            "(",
            ")",
            "[a",
            "*",
            "a{1001}",
            r"\",
            r"\8",
            r"\y",
            "(?=a)",
            "a++",
            "a**",
            "a+?*",
            "[[:nope:]]",
            "[[:^^alpha:]]",
            "(x{100}){100}",
        ] {
            assert!(Pattern::search(pattern).is_err(), "{pattern}");
        }
        // A bracket, a colon and a bracket name no class.
        assert!(matches("^[[:]+$", ":["));
        for (pattern, fault) in [
            ("a(b", "missing closing ): `a(b`"),
            ("a)", "unexpected ): `a)`"),
            ("x[a-z", "missing closing ]: `[a-z`"),
            ("[z-a]", "invalid character class range: `z-a`"),
            ("[a--b]", "invalid character class range: `a--`"),
            (r"[a-\d]", r"invalid escape sequence: `\d`"),
            (r"\pX", r"invalid character class range: `\p{X}`"),
            (r"\p{Script=Greek}", r"invalid character class range: `\p{Script=Greek}`"),
            (r"\p{", r"invalid character class range: `\p{`"),
            (r"\x", r"invalid escape sequence: `\x`"),
            (r"\x4", r"invalid escape sequence: `\x4`"),
            (r"\x{}", r"invalid escape sequence: `\x{}`"),
            (r"\x{110000}", r"invalid escape sequence: `\x{110000`"),
            (r"\", "trailing backslash at end of expression: ``"),
            ("**", "missing argument to repetition operator: `*`"),
            ("a|+?", "missing argument to repetition operator: `+?`"),
            ("{1}", "missing argument to repetition operator: `{1}`"),
            ("a**?b", "invalid nested repetition operator: `**?`"),
            ("x{2,1}", "invalid repeat count: `{2,1}`"),
            ("(?z)a", "invalid or unsupported Perl syntax: `(?z`"),
            ("(?u)a", "invalid or unsupported Perl syntax: `(?u`"),
            ("(?-)a", "invalid or unsupported Perl syntax: `(?-)`"),
            ("(?i", "invalid or unsupported Perl syntax: `(?i`"),
            ("(?=a)", "invalid or unsupported Perl syntax: `(?=`"),
            ("(?P=n)", "invalid or unsupported Perl syntax: `(?P`"),
            ("(?<=a)", "invalid named capture: `(?<=a)`"),
            ("(?P<n", "invalid named capture: `(?P<n`"),
            ("(?P<>a)", "invalid named capture: `(?P<>`"),
            ("(?P<é>a)", "invalid named capture: `(?P<é>`"),
        ] {
            assert_eq!(Pattern::search(pattern).unwrap_err().0, fault, "{pattern}");
        }
    }

    #[test]
    fn bytes_that_are_not_text_can_be_searched() {
        assert!(Pattern::search("b$").unwrap().is_match(b"\xff\xfeb"));
    }

    #[test]
    fn short_texts_are_patterns_or_refused() {
        // Every text of four of these is tried: none may panic.
        let parts = ["[", ":", "]", "^", "-", r"\", "{", "}", "(", "?", "Q", "1", ",", "ä"];
        for number in 0..parts.len().pow(4) {
            let part = |place: u32| parts[number / parts.len().pow(place) % parts.len()];
            let text: String = (0..4).map(part).collect();
            let _ = translate(&text);
            let _ = translate(&format!("[{text}"));
        }
    }
}
