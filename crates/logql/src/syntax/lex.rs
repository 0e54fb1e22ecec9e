//! Turns the scanner's raw tokens into the language's.
//!
//! Numbers grow into durations (`5m`) and sizes (`5KB`), brackets into ranges, and words become
//! keywords in any case, functions only before a parenthesis. Lexing stops at the first fault; the
//! parser reports it when it gets there.

use model::units;

use super::error::ParseError;
use super::scan::{Raw, Scanner};
use super::token::{self, Kind, Token, Value};

/// The tokens of a text. The last one is [`Kind::End`], or [`Kind::Fault`] with the error.
pub(super) fn tokens(text: &str) -> (Vec<Token>, Option<ParseError>) {
    let mut lexer = Lexer { scanner: Scanner::new(text) };
    let mut tokens = Vec::with_capacity(text.len() / 4 + 1);
    loop {
        let (kind, value) = lexer.token();
        let (line, column) = lexer.scanner.position();
        let fault = lexer.scanner.take_fault();
        let kind = if fault.is_some() { Kind::Fault } else { kind };
        tokens.push(Token { kind, value, line, column });
        if matches!(kind, Kind::End | Kind::Fault) {
            return (tokens, fault);
        }
    }
}

struct Lexer<'a> {
    scanner: Scanner<'a>,
}

impl Lexer<'_> {
    fn token(&mut self) -> (Kind, Value) {
        loop {
            return match self.scanner.scan() {
                Raw::End => (Kind::End, Value::None),
                Raw::Symbol('#') => {
                    self.skip_comment();
                    continue;
                }
                Raw::Number => self.number(),
                Raw::Quoted => self.string(),
                Raw::Symbol('[') => self.range(),
                Raw::Symbol('-') => self.minus(),
                Raw::Word | Raw::Char | Raw::Symbol(_) => self.word(),
            };
        }
    }

    fn skip_comment(&mut self) {
        while !matches!(self.scanner.ahead(), None | Some('\n')) {
            self.scanner.consume();
        }
    }

    fn number(&mut self) -> (Kind, Value) {
        let text = self.scanner.token();
        if let Some(nanos) = self.duration(text) {
            return (Kind::Duration, Value::Nanos(nanos));
        }
        if let Some(bytes) = self.bytes(text) {
            return (Kind::Bytes, Value::Bytes(bytes));
        }
        (Kind::Number, Value::Text(text.to_owned()))
    }

    /// A duration that starts with `text` and goes on behind the current token.
    fn duration(&mut self, text: &str) -> Option<i64> {
        let is_unit = |c: char| {
            matches!(c, 'n' | 'u' | 'µ' | 'm' | 's' | 'h' | 'd' | 'w' | 'y' | '.') || c.is_numeric()
        };
        self.extended(text, is_unit, |text| {
            units::parse_prometheus_duration(text).or_else(|_| units::parse_go_duration(text)).ok()
        })
    }

    /// A size that starts with `text` and goes on behind the current token.
    fn bytes(&mut self, text: &str) -> Option<u64> {
        let is_unit = |c: char| {
            matches!(c, 'B' | 'i' | 'k' | 'K' | 'M' | 'G' | 'T' | 'P' | '.') || c.is_numeric()
        };
        self.extended(text, is_unit, |text| units::parse_query_bytes(text).ok())
    }

    /// Takes the characters behind the current token that may continue it, if together they read.
    fn extended<T>(
        &mut self,
        text: &str,
        continues: impl Fn(char) -> bool,
        read: impl Fn(&str) -> Option<T>,
    ) -> Option<T> {
        let rest = self.scanner.rest();
        let len = rest.find(|c| !continues(c)).unwrap_or(rest.len());
        if len == 0 {
            return None;
        }
        let value = read(&format!("{text}{}", &rest[..len]))?;
        for _ in rest[..len].chars() {
            self.scanner.consume();
        }
        Some(value)
    }

    /// `--flag`, a negative duration, or the sign.
    fn minus(&mut self) -> (Kind, Value) {
        let rest = self.scanner.rest();
        let len = rest.find(|c: char| c != '-' && !c.is_alphabetic()).unwrap_or(rest.len());
        if let flag @ ("-strict" | "-keep-empty") = &rest[..len] {
            for _ in flag.chars() {
                self.scanner.consume();
            }
            return (Kind::Flag, Value::Text(format!("-{flag}")));
        }
        match self.duration("-") {
            Some(nanos) => (Kind::Duration, Value::Nanos(nanos)),
            None => (Kind::Sub, Value::None),
        }
    }

    fn range(&mut self) -> (Kind, Value) {
        let rest = self.scanner.rest();
        let closed = rest.find(']');
        for _ in rest[..closed.map_or(rest.len(), |end| end + 1)].chars() {
            self.scanner.consume();
        }
        let read = closed
            .ok_or_else(|| "missing closing ']' in duration".to_owned())
            .and_then(|end| units::parse_prometheus_duration(&rest[..end]).map_err(|e| e.0));
        match read {
            Ok(nanos) => (Kind::Range, Value::Nanos(nanos)),
            Err(message) => {
                // Even an empty range has been walked over by hand, which loses the line.
                self.scanner.consume();
                self.scanner.fail(&message);
                (Kind::Fault, Value::None)
            }
        }
    }

    fn string(&mut self) -> (Kind, Value) {
        match unquote(self.scanner.token()) {
            Some(text) => (Kind::String, Value::Text(text)),
            None => {
                self.scanner.fail("invalid syntax");
                (Kind::Fault, Value::None)
            }
        }
    }

    /// A sign, keyword, function or identifier.
    fn word(&mut self) -> (Kind, Value) {
        let text = self.scanner.token();
        if let Some(kind) = self.double_sign(text) {
            self.scanner.consume();
            return (kind, Value::None);
        }
        let lower = text.to_lowercase();
        let function = || token::function(&lower).filter(|_| opens_call(self.scanner.rest()));
        if let Some(kind) = token::fixed(&lower).or_else(function) {
            return (kind, Value::None);
        }
        let is_foreign = !text.is_ascii() && text.chars().next().is_some_and(char::is_alphabetic);
        let kind = if is_foreign { Kind::ForeignWord } else { Kind::Identifier };
        (kind, Value::Text(text.to_owned()))
    }

    /// The sign of two characters that the current token begins.
    fn double_sign(&self, text: &str) -> Option<Kind> {
        if !matches!(text, "=" | "!" | "|" | ">" | "<") {
            return None;
        }
        token::fixed(&format!("{text}{}", self.scanner.ahead()?))
    }
}

/// Whether `rest` continues a function's name: with `(`, or with `by (` or `without (`.
fn opens_call(rest: &str) -> bool {
    let rest = rest.trim_start();
    let lower: String = rest.chars().take(7).map(|c| c.to_ascii_lowercase()).collect();
    let grouping = ["by", "without"].into_iter().find(|word| lower.starts_with(word));
    match grouping {
        Some(word) => rest[word.len()..].trim_start().starts_with('('),
        None => rest.starts_with('('),
    }
}

/// The content of a quoted string. Bytes that are no UTF-8 become U+FFFD each.
fn unquote(quoted: &str) -> Option<String> {
    let body = quoted.get(1..quoted.len().checked_sub(1)?)?;
    if quoted.starts_with('`') {
        return Some(body.replace('\r', ""));
    }
    if !body.contains('\\') {
        return Some(body.to_owned());
    }
    let mut out = Vec::with_capacity(body.len());
    let mut rest = body;
    while let Some(at) = rest.find('\\') {
        out.extend_from_slice(&rest.as_bytes()[..at]);
        rest = unescape(&rest[at + 1..], &mut out)?;
    }
    out.extend_from_slice(rest.as_bytes());
    Some(replace_invalid(out))
}

/// Appends what the escape at the start of `rest` stands for and answers what follows it.
fn unescape<'a>(rest: &'a str, out: &mut Vec<u8>) -> Option<&'a str> {
    let kind = *rest.as_bytes().first()?;
    let (digits, base) = match kind {
        b'0'..=b'7' => (rest.get(..3)?, 8),
        b'x' => (rest.get(1..3)?, 16),
        b'u' => (rest.get(1..5)?, 16),
        b'U' => (rest.get(1..9)?, 16),
        _ => {
            out.push(match kind {
                b'a' => 7,
                b'b' => 8,
                b'f' => 12,
                b'n' => b'\n',
                b'r' => b'\r',
                b't' => b'\t',
                b'v' => 11,
                b'\\' | b'"' => kind,
                _ => return None,
            });
            return Some(&rest[1..]);
        }
    };
    let code = u32::from_str_radix(digits, base).ok()?;
    if matches!(kind, b'u' | b'U') {
        let c = char::from_u32(code)?;
        out.extend_from_slice(c.encode_utf8(&mut [0; 4]).as_bytes());
    } else {
        out.push(u8::try_from(code).ok()?);
    }
    let prefix = usize::from(base == 16);
    Some(&rest[prefix + digits.len()..])
}

fn replace_invalid(bytes: Vec<u8>) -> String {
    String::from_utf8(bytes).unwrap_or_else(|error| {
        let mut out = String::new();
        for chunk in error.as_bytes().utf8_chunks() {
            out.push_str(chunk.valid());
            out.extend(chunk.invalid().iter().map(|_| char::REPLACEMENT_CHARACTER));
        }
        out
    })
}
