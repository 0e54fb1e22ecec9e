//! Label text as clients push it, and the words in which it is refused.
//!
//! The grammar is that of a Prometheus metric selector with `=` only. Reading is
//! [`model::Labels::parse`]; this module adds the empty text, which stands for no labels, and words
//! refusals as Prometheus' parser does, because clients and tests match on them.

use model::Labels;
use model::label::{quote_into, unquote_prefix};

use crate::push::PushError;

/// Longest label text of one stream.
pub const LABEL_TEXT_BYTES_MAX: usize = 16 << 20;

/// Reads the label text of a pushed stream.
///
/// # Errors
///
/// [`PushError::Labels`] when the text does not parse, [`PushError::TooLarge`] when it is longer
/// than [`LABEL_TEXT_BYTES_MAX`]. Either fails the whole request.
pub fn parse(text: &str) -> Result<Labels, PushError> {
    if text.len() > LABEL_TEXT_BYTES_MAX {
        return Err(too_large(text.len()));
    }
    if text.trim_matches([' ', '\t', '\n', '\r']).is_empty() {
        return Ok(Labels::default());
    }
    Labels::parse(text).map_err(|error| {
        PushError::Labels(
            refusal(text)
                .unwrap_or_else(|| format!("1:{}: parse error: {error}", error.offset + 1)),
        )
    })
}

/// Checks that every name has the classic form, and builds the set.
///
/// # Errors
///
/// As [`parse`]: the refusal quotes positions in the text `{name="value", …}` sorted by name.
pub(crate) fn from_pairs(mut pairs: Vec<(String, String)>) -> Result<Labels, PushError> {
    let bytes: usize = pairs.iter().map(|(name, value)| name.len() + value.len() + 6).sum();
    if bytes > LABEL_TEXT_BYTES_MAX {
        return Err(too_large(bytes));
    }
    if pairs.iter().all(|(name, _)| model::label::is_label_name(name)) {
        return Ok(Labels::new(pairs));
    }
    pairs.sort();
    let mut text = String::from("{");
    for (index, (name, value)) in pairs.iter().enumerate() {
        text.push_str(if index > 0 { ", " } else { "" });
        text.push_str(name);
        text.push('=');
        quote_into(value, &mut text);
    }
    text.push('}');
    // A name such as `a", b` prints as text that parses; it is refused all the same.
    let reason = refusal(&text);
    Err(PushError::Labels(reason.unwrap_or_else(|| "1:2: parse error: invalid label name".into())))
}

fn too_large(bytes: usize) -> PushError {
    PushError::TooLarge(format!(
        "request body too large: stream labels size {bytes} bytes exceeds limit of {LABEL_TEXT_BYTES_MAX} bytes"
    ))
}

/// Words the first mistake of a label text; `None` when there is none that these words cover.
fn refusal(text: &str) -> Option<String> {
    let mut lexer = Lexer { text, offset: 0 };
    lexer.skip_space();
    if !lexer.eat('{') {
        let found = lexer.describe();
        return Some(lexer.error(&format!("unexpected {found}")));
    }
    let mut names: Vec<String> = Vec::new();
    loop {
        match lexer.pair(&mut names) {
            Err(message) => return Some(message),
            Ok(true) => {}
            Ok(false) => break,
        }
    }
    lexer.skip_space();
    if lexer.peek().is_some() {
        let found = lexer.describe();
        return Some(lexer.error(&format!("unexpected {found}")));
    }
    names.sort();
    let twice = names.windows(2).find(|pair| pair[0] == pair[1])?;
    Some(format!("duplicate label name {:?}", twice[0]))
}

/// A cursor that describes what it finds.
struct Lexer<'a> {
    text: &'a str,
    offset: usize,
}

impl Lexer<'_> {
    /// Reads one pair and what follows it; answers whether another may come.
    fn pair(&mut self, names: &mut Vec<String>) -> Result<bool, String> {
        self.skip_space();
        if self.eat('}') {
            return Ok(false);
        }
        names.push(self.name()?);
        self.skip_space();
        if !self.eat('=') {
            return Err(self.unexpected("\"=\""));
        }
        self.skip_space();
        if !matches!(self.peek(), Some('"' | '\'' | '`')) {
            return Err(self.unexpected("string"));
        }
        self.quoted()?;
        self.skip_space();
        if self.eat(',') {
            return Ok(true);
        }
        if self.eat('}') { Ok(false) } else { Err(self.unexpected("\",\" or \"}\"")) }
    }

    fn name(&mut self) -> Result<String, String> {
        if self.peek() == Some('"') {
            return self.quoted();
        }
        let name = self.identifier().to_owned();
        if name.is_empty() {
            return Err(self.unexpected("identifier or \"}\""));
        }
        self.offset += name.len();
        Ok(name)
    }

    fn quoted(&mut self) -> Result<String, String> {
        match unquote_prefix(&self.text[self.offset..]) {
            Ok((value, used)) => {
                self.offset += used;
                Ok(value)
            }
            Err(_) => Err(self.error("unterminated quoted string")),
        }
    }

    fn identifier(&self) -> &str {
        let rest = &self.text[self.offset..];
        if rest.starts_with(|c: char| c.is_ascii_digit()) {
            return "";
        }
        let end = rest.find(|c: char| !(c.is_ascii_alphanumeric() || c == '_'));
        &rest[..end.unwrap_or(rest.len())]
    }

    fn unexpected(&self, expected: &str) -> String {
        match self.peek() {
            Some(c) if !"{}=,\"'`!".contains(c) && self.identifier().is_empty() => {
                self.error(&format!("unexpected character inside braces: '{c}'"))
            }
            _ => {
                let found = self.describe();
                self.error(&format!("unexpected {found} in label set, expected {expected}"))
            }
        }
    }

    fn describe(&self) -> String {
        let name = self.identifier();
        match self.peek() {
            None => "end of input".to_owned(),
            Some(_) if !name.is_empty() => format!("identifier \"{name}\""),
            Some(c @ ('"' | '\'' | '`')) => {
                let rest = &self.text[self.offset..];
                let used = unquote_prefix(rest).map_or(c.len_utf8(), |(_, used)| used);
                let mut quoted = String::new();
                quote_into(&rest[..used], &mut quoted);
                format!("string {quoted}")
            }
            Some(c) => format!("\"{c}\""),
        }
    }

    fn error(&self, message: &str) -> String {
        format!("1:{}: parse error: {message}", self.offset + 1)
    }

    fn peek(&self) -> Option<char> {
        self.text[self.offset..].chars().next()
    }

    fn eat(&mut self, c: char) -> bool {
        let found = self.peek() == Some(c);
        if found {
            self.offset += c.len_utf8();
        }
        found
    }

    fn skip_space(&mut self) {
        while matches!(self.peek(), Some(' ' | '\t' | '\n' | '\r')) {
            self.offset += 1;
        }
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn check(text: &str, expected: Result<&str, &str>) {
        let actual = parse(text).map_err(|error| error.to_string());
        let actual = actual.as_ref().map(Labels::canonical).map_err(Clone::clone);
        let expected = expected.map_err(|e| format!("couldn't parse labels: {e}"));
        assert_eq!(actual, expected, "{text}");
    }

    #[test]
    fn texts_parse_or_are_refused_in_words() {
        check("", Ok("{}"));
        check(r#"{b="2",a="1",c=""}"#, Ok(r#"{a="1", b="2"}"#));
        check(r#"{"k8s.pod"="x"}"#, Ok(r#"{"k8s.pod"="x"}"#));
        check("{ключ=\"c\"}", Err("1:2: parse error: unexpected character inside braces: 'к'"));
        check("{a.b=\"c\"}", Err("1:3: parse error: unexpected character inside braces: '.'"));
        check(
            "{=\"c\"}",
            Err("1:2: parse error: unexpected \"=\" in label set, expected identifier or \"}\""),
        );
        check(
            "{a b=\"c\"}",
            Err("1:4: parse error: unexpected identifier \"b\" in label set, expected \"=\""),
        );
        check("{a=\"c", Err("1:4: parse error: unterminated quoted string"));
        check("{a=\"1\", a=\"2\"}", Err("duplicate label name \"a\""));
        check("x", Err("1:1: parse error: unexpected identifier \"x\""));
    }

    #[test]
    fn pairs_have_classic_names() {
        let pairs =
            |name: &str| from_pairs(vec![(name.into(), "v".into()), ("z".into(), "w".into())]);
        assert_eq!(pairs("a").unwrap().canonical(), r#"{a="v", z="w"}"#);
        for name in ["", "a.b", "a\", b", "1", "ключ", "a b"] {
            assert!(matches!(pairs(name), Err(PushError::Labels(_))), "{name}");
        }
    }

    proptest! {
        #[test]
        fn whatever_does_not_parse_has_a_reason(text in "[{}a1=\", \\\\.]{0,20}") {
            let _ = parse(&text);
            if parse(&text).is_ok() && !text.trim().is_empty() {
                prop_assert_eq!(refusal(&text), None);
            }
        }
    }
}
