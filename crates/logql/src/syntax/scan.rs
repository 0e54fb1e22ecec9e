//! Splits text into words, numbers, strings and single characters.
//!
//! The rules are those of Go's `text/scanner` with its default settings: Go identifiers and
//! literals, blanks and both kinds of Go comments skipped. Only `p` differs: it opens an exponent
//! behind `0x` alone, so that sizes such as `1PB` can be written. Positions count characters and are
//! taken as that scanner takes them, one character ahead, because error messages show them.

use super::error::ParseError;

/// What a scanned token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Raw {
    End,
    Word,
    Number,
    /// A quoted string, escapes still in place.
    Quoted,
    /// A character in single quotes.
    Char,
    /// Any other character.
    Symbol(char),
}

pub(super) struct Scanner<'a> {
    text: &'a str,
    /// Offset behind the look-ahead character.
    offset: usize,
    /// The look-ahead character.
    ahead: Option<char>,
    /// Length of the look-ahead character in bytes; 0 at the end.
    ahead_len: usize,
    line: u32,
    /// Column of the look-ahead character; 0 right behind a newline.
    column: u32,
    last_line_len: u32,
    token_start: usize,
    token_line: u32,
    token_column: u32,
    fault: Option<ParseError>,
}

impl<'a> Scanner<'a> {
    pub(super) fn new(text: &'a str) -> Self {
        let mut scanner = Self {
            text,
            offset: 0,
            ahead: None,
            ahead_len: 0,
            line: 1,
            column: 0,
            last_line_len: 0,
            token_start: 0,
            token_line: 0,
            token_column: 0,
            fault: None,
        };
        scanner.advance();
        if scanner.ahead == Some('\u{feff}') {
            scanner.advance();
        }
        scanner
    }

    /// The first thing that is wrong with the text so far.
    pub(super) fn take_fault(&mut self) -> Option<ParseError> {
        self.fault.take()
    }

    /// Line and column of the current token; line 0 once it was extended by [`Scanner::consume`].
    pub(super) fn position(&self) -> (u32, u32) {
        (self.token_line, self.token_column)
    }

    /// The current token's text.
    pub(super) fn token(&self) -> &'a str {
        &self.text[self.token_start..self.rest_start()]
    }

    /// The text behind the current token.
    pub(super) fn rest(&self) -> &'a str {
        &self.text[self.rest_start()..]
    }

    pub(super) fn ahead(&self) -> Option<char> {
        self.ahead
    }

    /// Takes a character by hand.
    pub(super) fn consume(&mut self) -> Option<char> {
        let taken = self.ahead;
        self.token_line = 0;
        if taken.is_some() {
            self.advance();
        }
        taken
    }

    /// Records an error at the current token, unless there is one already.
    pub(super) fn fail(&mut self, message: &str) {
        if self.fault.is_none() {
            let (line, column) = self.position();
            self.fault = Some(ParseError::at(line, column, message));
        }
    }

    /// Finds the next token.
    pub(super) fn scan(&mut self) -> Raw {
        loop {
            while matches!(self.ahead, Some(' ' | '\t' | '\n' | '\r')) {
                self.advance();
            }
            self.begin_token();
            let Some(first) = self.ahead else { return Raw::End };
            match first {
                '/' => {
                    self.advance();
                    match self.ahead {
                        Some('/') => self.line_comment(),
                        Some('*') => self.block_comment(),
                        _ => return Raw::Symbol('/'),
                    }
                }
                first => return self.scan_token(first),
            }
        }
    }

    fn scan_token(&mut self, first: char) -> Raw {
        match first {
            c if is_word_start(c) => {
                self.advance();
                while self.ahead.is_some_and(|c| is_word_start(c) || c.is_numeric()) {
                    self.advance();
                }
                Raw::Word
            }
            '0'..='9' => {
                self.number(false);
                Raw::Number
            }
            '.' => {
                self.advance();
                if !self.ahead.is_some_and(|c| c.is_ascii_digit()) {
                    return Raw::Symbol('.');
                }
                self.number(true);
                Raw::Number
            }
            '"' => {
                self.quoted('"');
                Raw::Quoted
            }
            '\'' => {
                if self.quoted('\'') != 1 {
                    self.fail("invalid char literal");
                }
                Raw::Char
            }
            '`' => {
                self.raw_quoted();
                Raw::Quoted
            }
            c => {
                self.advance();
                Raw::Symbol(c)
            }
        }
    }

    fn rest_start(&self) -> usize {
        self.offset - self.ahead_len
    }

    fn begin_token(&mut self) {
        self.token_start = self.rest_start();
        (self.token_line, self.token_column) = if self.column > 0 {
            (self.line, self.column)
        } else {
            (self.line - 1, self.last_line_len)
        };
    }

    fn advance(&mut self) {
        self.ahead = self.text[self.offset..].chars().next();
        let Some(c) = self.ahead else {
            // The end takes a column of its own, once.
            if self.ahead_len > 0 {
                self.column += 1;
            }
            self.ahead_len = 0;
            return;
        };
        self.ahead_len = c.len_utf8();
        self.offset += self.ahead_len;
        self.column += 1;
        match c {
            '\0' => self.fail("invalid character NUL"),
            '\n' => {
                self.line += 1;
                self.last_line_len = self.column;
                self.column = 0;
            }
            _ => {}
        }
    }

    fn line_comment(&mut self) {
        while !matches!(self.ahead, None | Some('\n')) {
            self.advance();
        }
    }

    fn block_comment(&mut self) {
        self.advance();
        loop {
            match self.ahead {
                None => return self.fail("comment not terminated"),
                Some('*') => {
                    self.advance();
                    if self.ahead == Some('/') {
                        return self.advance();
                    }
                }
                Some(_) => self.advance(),
            }
        }
    }

    /// Scans to the closing quote and answers the number of characters before it.
    fn quoted(&mut self, quote: char) -> usize {
        let mut count = 0;
        self.advance();
        loop {
            match self.ahead {
                None | Some('\n') => {
                    self.fail("literal not terminated");
                    break;
                }
                Some('\\') => self.escape(quote),
                Some(c) if c == quote => break,
                Some(_) => self.advance(),
            }
            count += 1;
        }
        self.advance();
        count
    }

    fn raw_quoted(&mut self) {
        self.advance();
        while self.ahead != Some('`') {
            if self.ahead.is_none() {
                self.fail("literal not terminated");
                return;
            }
            self.advance();
        }
        self.advance();
    }

    fn escape(&mut self, quote: char) {
        self.advance();
        match self.ahead {
            Some('a' | 'b' | 'f' | 'n' | 'r' | 't' | 'v' | '\\') => self.advance(),
            Some(c) if c == quote => self.advance(),
            Some('0'..='7') => self.escape_digits(8, 3),
            Some('x') => self.escape_code(2),
            Some('u') => self.escape_code(4),
            Some('U') => self.escape_code(8),
            _ => self.fail("invalid char escape"),
        }
    }

    fn escape_code(&mut self, digits: u32) {
        self.advance();
        self.escape_digits(16, digits);
    }

    fn escape_digits(&mut self, base: u32, count: u32) {
        for _ in 0..count {
            if !self.ahead.is_some_and(|c| c.is_digit(base)) {
                return self.fail("invalid char escape");
            }
            self.advance();
        }
    }

    /// Scans a Go number. `in_fraction` means that the point has been taken already.
    fn number(&mut self, in_fraction: bool) {
        let mut number =
            NumberScan { base: 10, prefix: None, digit: false, separator: false, invalid: None };
        let mut is_float = in_fraction;
        if !in_fraction {
            self.number_prefix(&mut number);
            self.digits(&mut number);
            if self.ahead == Some('.') {
                self.advance();
                is_float = true;
            }
        }
        if is_float {
            if matches!(number.prefix, Some('o' | 'b')) {
                self.fail(&format!("invalid radix point in {}", number.literal_name()));
            }
            self.digits(&mut number);
        }
        if !number.digit {
            self.fail(&format!("{} has no digits", number.literal_name()));
        }
        self.exponent(&mut number, &mut is_float);
        if let (false, Some(digit)) = (is_float, number.invalid) {
            self.fail(&format!("invalid digit '{digit}' in {}", number.literal_name()));
        }
        if number.separator && has_misplaced_separator(self.token()) {
            self.fail("'_' must separate successive digits");
        }
    }

    fn number_prefix(&mut self, number: &mut NumberScan) {
        if self.ahead != Some('0') {
            return;
        }
        self.advance();
        let (base, prefix) = match self.ahead.map(|c| c.to_ascii_lowercase()) {
            Some('x') => (16, 'x'),
            Some('o') => (8, 'o'),
            Some('b') => (2, 'b'),
            _ => {
                (number.base, number.prefix, number.digit) = (8, Some('0'), true);
                return;
            }
        };
        (number.base, number.prefix) = (base, Some(prefix));
        self.advance();
    }

    fn digits(&mut self, number: &mut NumberScan) {
        while let Some(c) = self.ahead {
            match c {
                '_' => number.separator = true,
                c if number.base == 16 && c.is_ascii_hexdigit() => number.digit = true,
                c if c.is_ascii_digit() => {
                    if number.invalid.is_none() && c.to_digit(number.base).is_none() {
                        number.invalid = Some(c);
                    }
                    number.digit = true;
                }
                _ => break,
            }
            self.advance();
        }
    }

    fn exponent(&mut self, number: &mut NumberScan, is_float: &mut bool) {
        let has_binary_exponent = number.prefix == Some('x');
        let mark = self
            .ahead
            .filter(|c| matches!(c, 'e' | 'E') || (has_binary_exponent && matches!(c, 'p' | 'P')));
        let Some(mark) = mark else {
            if has_binary_exponent && *is_float {
                self.fail("hexadecimal mantissa requires a 'p' exponent");
            }
            return;
        };
        let is_decimal = matches!(number.prefix, None | Some('0'));
        if matches!(mark, 'e' | 'E') && !is_decimal {
            self.fail(&format!("'{mark}' exponent requires decimal mantissa"));
        }
        self.advance();
        *is_float = true;
        if matches!(self.ahead, Some('+' | '-')) {
            self.advance();
        }
        let mut digits =
            NumberScan { base: 10, prefix: None, digit: false, separator: false, invalid: None };
        self.digits(&mut digits);
        number.separator |= digits.separator;
        if !digits.digit {
            self.fail("exponent has no digits");
        }
    }
}

/// What is known of a number while it is scanned.
struct NumberScan {
    base: u32,
    /// `x`, `o`, `b`, or `0` for a leading zero.
    prefix: Option<char>,
    digit: bool,
    separator: bool,
    /// The first digit that is too large for the base.
    invalid: Option<char>,
}

impl NumberScan {
    fn literal_name(&self) -> &'static str {
        match self.prefix {
            Some('x') => "hexadecimal literal",
            Some('o' | '0') => "octal literal",
            // A binary literal without digits is called decimal in the recorded answers.
            _ => "decimal literal",
        }
    }
}

/// Whether some `_` of a number does not stand between two digits.
fn has_misplaced_separator(text: &str) -> bool {
    let is_hex = matches!(text.as_bytes(), [b'0', b'x' | b'X', ..]);
    let body = match text.as_bytes() {
        // A base prefix counts as a digit.
        [b'0', b'x' | b'X' | b'o' | b'O' | b'b' | b'B', rest @ ..] => rest,
        all => all,
    };
    let is_digit = |c: u8| c.is_ascii_digit() || (is_hex && c.is_ascii_hexdigit());
    body.iter().enumerate().any(|(at, c)| {
        let before = match at {
            0 => body.len() < text.len(),
            at => is_digit(body[at - 1]),
        };
        *c == b'_' && !(before && body.get(at + 1).copied().is_some_and(is_digit))
    })
}

fn is_word_start(c: char) -> bool {
    c == '_' || c.is_alphabetic()
}
