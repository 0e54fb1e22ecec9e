//! Regular expressions with the meaning that Go's `regexp` gives them.
//!
//! The matching engine is `regex-automata`, linear in the input like RE2. Where the syntaxes differ
//! the text is rewritten before it is parsed: `\d`, `\w`, `\s` and `\b` are ASCII, `\Q…\E` quotes,
//! `\z` is the end, `\pN` classes are kept, a repetition above 1000 is refused, and `{` that opens
//! no repetition is a literal.

use std::fmt;

use regex_automata::meta::Regex;
use regex_automata::util::syntax;

/// Compiled size above which a pattern is refused, in bytes.
const PATTERN_BYTES_MAX: usize = 10 << 20;
/// Highest repetition count that Go accepts.
const REPETITION_MAX: u32 = 1000;

/// A compiled regular expression. Cloning is cheap.
#[derive(Clone)]
pub struct Pattern {
    text: String,
    regex: Regex,
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
        Self::compile(text, &translate(text)?)
    }

    /// Compiles a pattern that must match the whole text, as `^(?s:text)$`.
    ///
    /// # Errors
    ///
    /// As [`Pattern::search`].
    pub fn anchored(text: &str) -> Result<Self, PatternError> {
        let inner = translate(text)?;
        Self::compile(text, &format!("^(?s:{inner})$"))
    }

    fn compile(text: &str, translated: &str) -> Result<Self, PatternError> {
        check_repetitions(text, translated)?;
        let config = Regex::config().nfa_size_limit(Some(PATTERN_BYTES_MAX)).utf8_empty(false);
        let regex = Regex::builder()
            .configure(config)
            .syntax(syntax::Config::new().utf8(false))
            .build(translated)
            .map_err(|error| PatternError(describe(text, &error)))?;
        Ok(Self { text: text.to_owned(), regex })
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

/// Words a syntax error as Go does, as far as the two engines name the same faults.
fn go_message(text: &str, error: &regex_syntax::Error) -> String {
    use regex_syntax::ast::ErrorKind;
    let regex_syntax::Error::Parse(error) = error else {
        return format!("{error}: `{text}`");
    };
    let span = error.span();
    let part = error.pattern().get(span.start.offset..span.end.offset).unwrap_or("");
    match error.kind() {
        ErrorKind::GroupUnclosed => format!("missing closing ): `{text}`"),
        ErrorKind::GroupUnopened => format!("unexpected ): `{text}`"),
        ErrorKind::ClassUnclosed => {
            let from = text.find('[').map_or(text, |at| &text[at..]);
            format!("missing closing ]: `{from}`")
        }
        ErrorKind::RepetitionMissing => {
            let operator = text
                .chars()
                .find(|c| matches!(c, '*' | '+' | '?'))
                .map_or_else(|| part.to_owned(), String::from);
            format!("missing argument to repetition operator: `{operator}`")
        }
        ErrorKind::ClassRangeInvalid => format!("invalid character class range: `{part}`"),
        ErrorKind::EscapeUnexpectedEof => "trailing backslash at end of expression: ``".to_owned(),
        ErrorKind::EscapeUnrecognized => format!("invalid escape sequence: `{part}`"),
        ErrorKind::GroupNameDuplicate { .. } => format!("duplicate capture group name: `{part}`"),
        ErrorKind::UnsupportedLookAround => format!("invalid or unsupported Perl syntax: `{part}`"),
        kind => format!("{kind}: `{text}`"),
    }
}

/// Rewrites Go syntax into the equivalent `regex-syntax` text.
///
/// # Errors
///
/// [`PatternError`] for what Go refuses and the other engine would accept.
pub fn translate(text: &str) -> Result<String, PatternError> {
    Translator { rest: text, out: String::with_capacity(text.len() + 8) }.run()
}

struct Translator<'a> {
    rest: &'a str,
    out: String,
}

/// The names Go knows in `[[:name:]]`.
const CLASS_NAMES: [&str; 14] = [
    "alnum", "alpha", "ascii", "blank", "cntrl", "digit", "graph", "lower", "print", "punct",
    "space", "upper", "word", "xdigit",
];

impl<'a> Translator<'a> {
    fn run(mut self) -> Result<String, PatternError> {
        while let Some(c) = self.rest.chars().next() {
            match c {
                '\\' => self.escape(false)?,
                '[' => self.class()?,
                '*' | '+' | '?' => {
                    self.keep(1);
                    self.not_repeated_again(&c.to_string())?;
                }
                // What opens a group is no repetition of it.
                '(' if self.rest.starts_with("(?") && !self.rest.starts_with("(?x") => self.keep(2),
                '{' => self.repetition()?,
                // Characters that are special only to the other engine's verbose mode.
                '}' => self.replace("}", "\\}"),
                '(' if self.rest.starts_with("(?x") => {
                    return Err(PatternError("invalid or unsupported Perl syntax: `(?x`".into()));
                }
                c => self.keep(c.len_utf8()),
            }
        }
        Ok(self.out)
    }

    fn keep(&mut self, bytes: usize) {
        let (kept, rest) = self.rest.split_at(bytes);
        self.out.push_str(kept);
        self.rest = rest;
    }

    fn replace(&mut self, found: &str, with: &str) {
        self.rest = &self.rest[found.len()..];
        self.out.push_str(with);
    }

    fn escape(&mut self, in_class: bool) -> Result<(), PatternError> {
        let Some(kind) = self.rest[1..].chars().next() else {
            return Err(PatternError("trailing backslash at end of expression: ``".into()));
        };
        match kind {
            'd' if in_class => self.replace("\\d", "0-9"),
            'w' if in_class => self.replace("\\w", "0-9A-Za-z_"),
            's' if in_class => self.replace("\\s", "\\t\\n\\x0C\\r "),
            'D' if in_class => self.replace("\\D", "[^0-9]"),
            'W' if in_class => self.replace("\\W", "[^0-9A-Za-z_]"),
            'S' if in_class => self.replace("\\S", "[^\\t\\n\\x0C\\r ]"),
            'd' => self.replace("\\d", "[0-9]"),
            'w' => self.replace("\\w", "[0-9A-Za-z_]"),
            's' => self.replace("\\s", "[\\t\\n\\x0C\\r ]"),
            'D' => self.replace("\\D", "[^0-9]"),
            'W' => self.replace("\\W", "[^0-9A-Za-z_]"),
            'S' => self.replace("\\S", "[^\\t\\n\\x0C\\r ]"),
            'b' if !in_class => self.replace("\\b", "(?-u:\\b)"),
            'B' if !in_class => self.replace("\\B", "(?-u:\\B)"),
            'Q' if !in_class => self.quoted(),
            '0'..='7' => self.octal(kind)?,
            'x' | 'p' | 'P' => self.keep_with_braces(),
            'a' | 'f' | 't' | 'n' | 'r' | 'v' => self.keep(2),
            'A' | 'z' if !in_class => self.keep(2),
            c if c.is_ascii_punctuation() => self.keep(2),
            c => {
                return Err(PatternError(format!("invalid escape sequence: `\\{c}`")));
            }
        }
        Ok(())
    }

    /// `\x{10FFFF}` and `\p{Greek}`: the braces belong to the escape.
    fn keep_with_braces(&mut self) {
        let braces = self.rest[2..].starts_with('{').then(|| self.rest.find('}')).flatten();
        self.keep(braces.map_or(2, |end| end + 1));
    }

    /// `\Q…\E` (or to the end of the text) stands for its literal content.
    fn quoted(&mut self) {
        let body = &self.rest[2..];
        let (literal, rest) = body.split_once("\\E").unwrap_or((body, ""));
        regex_syntax::escape_into(literal, &mut self.out);
        self.rest = rest;
    }

    /// `\123` is an octal code; a single digit 1–7 alone would be a back reference.
    fn octal(&mut self, first: char) -> Result<(), PatternError> {
        let digits: String =
            self.rest[1..].chars().take(3).take_while(|c| ('0'..='7').contains(c)).collect();
        if first != '0' && digits.len() < 2 {
            return Err(PatternError(format!("invalid escape sequence: `\\{first}`")));
        }
        let code = u32::from_str_radix(&digits, 8).unwrap_or(0);
        self.rest = &self.rest[1 + digits.len()..];
        self.out.push_str(&format!("\\x{{{code:X}}}"));
        Ok(())
    }

    fn class(&mut self) -> Result<(), PatternError> {
        self.keep(1);
        if self.rest.starts_with('^') {
            self.keep(1);
        }
        if self.rest.starts_with(']') {
            self.replace("]", "\\]");
        }
        while let Some(c) = self.rest.chars().next() {
            match c {
                ']' => {
                    self.keep(1);
                    return Ok(());
                }
                '\\' => self.escape(true)?,
                '[' => match self.class_name() {
                    Some(name) => {
                        let class = &self.rest[..name.len() + "[::]".len()];
                        if !CLASS_NAMES.contains(&name.strip_prefix('^').unwrap_or(name)) {
                            let fault = format!("invalid character class range: `{class}`");
                            return Err(PatternError(fault));
                        }
                        self.keep(class.len());
                    }
                    None => self.replace("[", "\\["),
                },
                // Set operators of the other engine are plain characters in Go.
                '&' => self.replace("&", "\\&"),
                '~' => self.replace("~", "\\~"),
                '-' if self.rest.starts_with("--") => self.replace("-", "\\-"),
                c => self.keep(c.len_utf8()),
            }
        }
        Ok(())
    }

    /// What stands between `[:` and the next `:]`, if the text goes on so.
    fn class_name(&self) -> Option<&'a str> {
        self.rest.strip_prefix("[:")?.split_once(":]").map(|(name, _)| name)
    }

    fn repetition(&mut self) -> Result<(), PatternError> {
        let Some((bounds, end)) = repetition_bounds(self.rest) else {
            self.replace("{", "\\{");
            return Ok(());
        };
        if bounds.iter().any(|bound| *bound > REPETITION_MAX) {
            let part = &self.rest[..end];
            return Err(PatternError(format!("invalid repeat count: `{part}`")));
        }
        let operator = self.rest[..end].to_owned();
        self.keep(end);
        self.not_repeated_again(&operator)
    }

    /// Keeps the `?` that makes an operator lazy, and refuses another operator behind it.
    fn not_repeated_again(&mut self, operator: &str) -> Result<(), PatternError> {
        let lazy = if self.rest.starts_with('?') {
            self.keep(1);
            "?"
        } else {
            ""
        };
        let again = match self.rest.chars().next() {
            Some(c @ ('*' | '+' | '?')) => c.to_string(),
            Some('{') => match repetition_bounds(self.rest) {
                Some((_, end)) => self.rest[..end].to_owned(),
                None => return Ok(()),
            },
            _ => return Ok(()),
        };
        let operators = format!("{operator}{lazy}{again}");
        Err(PatternError(format!("invalid nested repetition operator: `{operators}`")))
    }
}

/// The bounds of `{n}`, `{n,}` or `{n,m}` at the start of `text`, and its length.
fn repetition_bounds(text: &str) -> Option<(Vec<u32>, usize)> {
    let end = text.find('}')? + 1;
    let body = &text[1..end - 1];
    let (low, high) = body.split_once(',').map_or((body, None), |(low, high)| (low, Some(high)));
    let number = |digits: &str| {
        (!digits.is_empty() && digits.bytes().all(|b| b.is_ascii_digit()))
            .then(|| digits.parse().unwrap_or(u32::MAX))
    };
    let mut bounds = vec![number(low)?];
    match high {
        Some("") | None => {}
        Some(high) => bounds.push(number(high)?),
    }
    Some((bounds, end))
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
        let error = Pattern::search("a(b").unwrap_err();
        assert_eq!(error.to_string(), "error parsing regexp: missing closing ): `a(b`");
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

    #[test]
    fn bytes_that_are_not_text_can_be_searched() {
        assert!(Pattern::search("b$").unwrap().is_match(b"\xff\xfeb"));
    }
}
