//! The tokens of a template.

/// What a token is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Kind {
    /// The text is an error message.
    Error,
    Bool,
    /// A character that is no token by itself, such as a comma.
    Char,
    CharConstant,
    Assign,
    Declare,
    End,
    Field,
    Identifier,
    LeftDelimiter,
    LeftParen,
    Number,
    Pipe,
    RawText,
    RightDelimiter,
    RightParen,
    Space,
    Quoted,
    Text,
    Variable,
    Dot,
    /// `if`, `end`, `nil`, …
    Keyword,
}

/// A token with its place.
#[derive(Debug, Clone)]
pub(super) struct Token {
    pub(super) kind: Kind,
    pub(super) text: String,
    pub(super) at: usize,
    pub(super) line: usize,
}

const KEYWORDS: [&str; 12] = [
    "block", "break", "continue", "define", "else", "end", "if", "nil", "range", "template",
    "with", ".",
];

const OPEN: &str = "{{";
const CLOSE: &str = "}}";
const COMMENT_OPEN: &str = "/*";
const COMMENT_CLOSE: &str = "*/";
const SPACES: [char; 4] = [' ', '\t', '\r', '\n'];

/// Splits a template into tokens; the last one is [`Kind::End`] or [`Kind::Error`].
pub(super) fn tokens(text: &str) -> Vec<Token> {
    let mut lexer =
        Lexer { text, at: 0, start: 0, line: 1, start_line: 1, depth: 0, tokens: Vec::new() };
    if lexer.run().is_some() {
        lexer.emit(Kind::End);
    }
    lexer.tokens
}

struct Lexer<'t> {
    text: &'t str,
    at: usize,
    start: usize,
    /// The line of `at`.
    line: usize,
    start_line: usize,
    /// Open parentheses.
    depth: usize,
    tokens: Vec<Token>,
}

impl<'t> Lexer<'t> {
    fn rest(&self) -> &'t str {
        &self.text[self.at..]
    }

    fn peek(&self) -> Option<char> {
        self.rest().chars().next()
    }

    fn next(&mut self) -> Option<char> {
        let c = self.peek()?;
        self.advance(c.len_utf8());
        Some(c)
    }

    fn advance(&mut self, bytes: usize) {
        let passed = &self.text[self.at..self.at + bytes];
        self.line += passed.bytes().filter(|byte| *byte == b'\n').count();
        self.at += bytes;
    }

    fn ignore(&mut self) {
        self.start = self.at;
        self.start_line = self.line;
    }

    fn emit(&mut self, kind: Kind) {
        let text = self.text[self.start..self.at].to_owned();
        self.tokens.push(Token { kind, text, at: self.start, line: self.start_line });
        self.ignore();
    }

    /// Ends the tokens with an error.
    fn fail<T>(&mut self, message: impl Into<String>) -> Option<T> {
        let token = Token {
            kind: Kind::Error,
            text: message.into(),
            at: self.start,
            line: self.start_line,
        };
        self.tokens.push(token);
        None
    }

    fn run(&mut self) -> Option<()> {
        loop {
            let Some(found) = self.rest().find(OPEN) else {
                self.advance(self.rest().len());
                if self.at > self.start {
                    self.emit(Kind::Text);
                }
                return Some(());
            };
            self.text_before(found);
            self.action()?;
        }
    }

    /// Emits the text before a delimiter, trimmed when the delimiter says so.
    fn text_before(&mut self, length: usize) {
        let text = &self.rest()[..length];
        let trims = is_left_trim(&self.rest()[length + OPEN.len()..]);
        let kept = if trims { text.trim_end_matches(SPACES).len() } else { length };
        self.advance(kept);
        if self.at > self.start {
            self.emit(Kind::Text);
        }
        self.advance(length - kept);
        self.ignore();
    }

    /// Reads from a left delimiter to the matching right one.
    fn action(&mut self) -> Option<()> {
        let marker = if is_left_trim(&self.rest()[OPEN.len()..]) { 2 } else { 0 };
        if self.rest()[OPEN.len() + marker..].starts_with(COMMENT_OPEN) {
            self.advance(OPEN.len() + marker);
            self.ignore();
            return self.comment();
        }
        self.advance(OPEN.len());
        self.emit(Kind::LeftDelimiter);
        self.advance(marker);
        self.ignore();
        self.depth = 0;
        while !self.inside()? {}
        Some(())
    }

    fn comment(&mut self) -> Option<()> {
        self.advance(COMMENT_OPEN.len());
        let Some(end) = self.rest().find(COMMENT_CLOSE) else {
            return self.fail("unclosed comment");
        };
        self.advance(end + COMMENT_CLOSE.len());
        match self.right_delimiter() {
            Some(trims) => {
                self.close(trims);
                Some(())
            }
            None => self.fail("comment ends before closing delimiter"),
        }
    }

    /// Whether a right delimiter stands here, and whether it trims.
    fn right_delimiter(&self) -> Option<bool> {
        let rest = self.rest();
        if is_right_trim(rest) && rest[2..].starts_with(CLOSE) {
            return Some(true);
        }
        rest.starts_with(CLOSE).then_some(false)
    }

    /// Passes a right delimiter and the blanks it trims.
    fn close(&mut self, trims: bool) {
        if trims {
            self.advance(2);
        }
        self.ignore();
        self.advance(CLOSE.len());
        if self.is_in_action() {
            self.emit(Kind::RightDelimiter);
        }
        if trims {
            let blanks = self.rest().len() - self.rest().trim_start_matches(SPACES).len();
            self.advance(blanks);
        }
        self.ignore();
    }

    /// Whether the last delimiter that was emitted is a left one.
    fn is_in_action(&self) -> bool {
        self.tokens
            .iter()
            .rev()
            .find(|token| matches!(token.kind, Kind::LeftDelimiter | Kind::RightDelimiter))
            .is_some_and(|token| token.kind == Kind::LeftDelimiter)
    }

    /// Reads one token inside an action; answers whether it was the right delimiter.
    fn inside(&mut self) -> Option<bool> {
        if let Some(trims) = self.right_delimiter() {
            if self.depth > 0 {
                return self.fail("unclosed left paren");
            }
            self.close(trims);
            return Some(true);
        }
        let Some(c) = self.next() else { return self.fail("unclosed action") };
        match c {
            ' ' | '\t' | '\r' | '\n' => self.space(),
            '=' => self.emit(Kind::Assign),
            ':' if self.next() == Some('=') => self.emit(Kind::Declare),
            ':' => return self.fail("expected :="),
            '|' => self.emit(Kind::Pipe),
            '"' => return self.quoted('"', "unterminated quoted string", Kind::Quoted),
            '`' => match self.rest().find('`') {
                Some(end) => {
                    self.advance(end + 1);
                    self.emit(Kind::RawText);
                }
                None => return self.fail("unterminated raw quoted string"),
            },
            '$' => return self.word_after(Kind::Variable),
            '\'' => {
                return self.quoted('\'', "unterminated character constant", Kind::CharConstant);
            }
            '.' if !self.peek().is_some_and(|c| c.is_ascii_digit()) => {
                return self.word_after(Kind::Field);
            }
            '.' | '+' | '-' | '0'..='9' => {
                self.at = self.start;
                return self.number();
            }
            '(' => {
                self.depth += 1;
                self.emit(Kind::LeftParen);
            }
            ')' if self.depth == 0 => return self.fail("unexpected right paren"),
            ')' => {
                self.depth -= 1;
                self.emit(Kind::RightParen);
            }
            c if is_word(c) => return self.identifier(),
            '!'..='~' => self.emit(Kind::Char),
            c => {
                let shown = if c.is_control() { String::new() } else { format!(" '{c}'") };
                let code = u32::from(c);
                return self.fail(format!("unrecognized character in action: U+{code:04X}{shown}"));
            }
        }
        Some(false)
    }

    /// Reads the rest of a run of blanks, but leaves the one that belongs to `-}}`.
    fn space(&mut self) {
        loop {
            let before = &self.text[self.at - 1..];
            if is_right_trim(before) && before[2..].starts_with(CLOSE) {
                // The last blank is part of the delimiter.
                self.at -= 1;
                self.line -= usize::from(before.starts_with('\n'));
                if self.at > self.start {
                    self.emit(Kind::Space);
                }
                return;
            }
            match self.peek() {
                Some(c) if SPACES.contains(&c) => self.advance(1),
                _ => break,
            }
        }
        self.emit(Kind::Space);
    }

    fn quoted(&mut self, quote: char, unterminated: &str, kind: Kind) -> Option<bool> {
        loop {
            match self.next() {
                Some('\\') => {
                    if matches!(self.next(), None | Some('\n')) {
                        return self.fail(unterminated);
                    }
                }
                None | Some('\n') => return self.fail(unterminated),
                Some(c) if c == quote => break,
                Some(_) => {}
            }
        }
        self.emit(kind);
        Some(false)
    }

    fn is_terminated(&self) -> bool {
        match self.peek() {
            None => true,
            Some(c) if SPACES.contains(&c) => true,
            Some('.' | ',' | '|' | ':' | ')' | '(') => true,
            Some(_) => self.rest().starts_with(CLOSE),
        }
    }

    fn bad_character(&mut self) -> Option<bool> {
        let c = self.peek().unwrap_or('\0');
        self.fail(format!("bad character U+{:04X} '{c}'", u32::from(c)))
    }

    /// Reads the word after `.` or `$`.
    fn word_after(&mut self, kind: Kind) -> Option<bool> {
        if self.is_terminated() {
            self.emit(if kind == Kind::Variable { kind } else { Kind::Dot });
            return Some(false);
        }
        while self.peek().is_some_and(is_word) {
            self.next();
        }
        if !self.is_terminated() {
            return self.bad_character();
        }
        self.emit(kind);
        Some(false)
    }

    fn identifier(&mut self) -> Option<bool> {
        while self.peek().is_some_and(is_word) {
            self.next();
        }
        if !self.is_terminated() {
            return self.bad_character();
        }
        let word = &self.text[self.start..self.at];
        self.emit(match word {
            "true" | "false" => Kind::Bool,
            word if KEYWORDS.contains(&word) => Kind::Keyword,
            _ => Kind::Identifier,
        });
        Some(false)
    }

    fn number(&mut self) -> Option<bool> {
        let is_number = self.scan_number();
        // The sum of two numbers is written as one: `1+2i`.
        if is_number && matches!(self.peek(), Some('+' | '-')) {
            let is_sum = self.scan_number() && self.text[..self.at].ends_with('i');
            if !is_sum {
                return self.bad_number();
            }
        } else if !is_number {
            return self.bad_number();
        }
        self.emit(Kind::Number);
        Some(false)
    }

    fn bad_number(&mut self) -> Option<bool> {
        let mut message = String::from("bad number syntax: ");
        model::label::quote_into(&self.text[self.start..self.at], &mut message);
        self.fail(message)
    }

    fn scan_number(&mut self) -> bool {
        self.accept("+-");
        let mut digits = "0123456789_";
        if self.accept("0") {
            if self.accept("xX") {
                digits = "0123456789abcdefABCDEF_";
            } else if self.accept("oO") {
                digits = "01234567_";
            } else if self.accept("bB") {
                digits = "01_";
            }
        }
        self.accept_run(digits);
        if self.accept(".") {
            self.accept_run(digits);
        }
        let is_decimal = digits.len() == 11;
        if (is_decimal && self.accept("eE")) || (digits.len() > 20 && self.accept("pP")) {
            self.accept("+-");
            self.accept_run("0123456789_");
        }
        self.accept("i");
        if self.peek().is_some_and(is_word) {
            self.next();
            return false;
        }
        true
    }

    fn accept(&mut self, set: &str) -> bool {
        let is_in = self.peek().is_some_and(|c| set.contains(c));
        if is_in {
            self.next();
        }
        is_in
    }

    fn accept_run(&mut self, set: &str) {
        while self.accept(set) {}
    }
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

/// Whether a left delimiter before `text` trims.
fn is_left_trim(text: &str) -> bool {
    text.starts_with('-') && text[1..].starts_with(SPACES)
}

/// Whether ` -` stands here.
fn is_right_trim(text: &str) -> bool {
    text.starts_with(SPACES) && text[1..].starts_with('-')
}
