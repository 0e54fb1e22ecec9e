//! The grammar, by recursive descent.
//!
//! The established parser is generated from tables, and clients see its wording: a token that fits
//! nowhere is named, and so are the tokens that would have fitted when they are at most four. Each
//! `expect` below therefore lists exactly what those tables accept at that point, in their order,
//! and `unexpected(&[])` stands where they accept more.
//!
//! Errors of meaning (a missing parameter, a number out of range) do not stop parsing: a syntax
//! error behind them is reported first. They collect in `faults`, the outermost and leftmost first.

use model::Matcher;
use model::label::is_label_name;

use super::ast::{Expr, LogExpr, MetricExpr};
use super::error::{ParseError, SelectorError};
use super::lex;
use super::token::{Kind, Token, Value};

mod filter;
mod log;
mod metric;
mod range;

/// Size from which a query is refused, in bytes.
const TEXT_BYTES_MAX: usize = 131_072;
/// How deep parentheses, calls and operators may nest. Keeps every walk over a tree, by recursion,
/// within a thread's stack.
const DEPTH_MAX: usize = 256;

/// Parses a query and checks it.
///
/// # Errors
///
/// [`ParseError`] in the words to show to the query's author.
pub fn parse(text: &str) -> Result<Expr, ParseError> {
    let (expr, faults) = Parser::new(text)?.query()?;
    match faults.into_iter().next() {
        Some(fault) => Err(fault),
        None => Ok(expr),
    }
}

/// Parses a stream selector alone, such as `{app="web"}`.
///
/// # Errors
///
/// [`SelectorError`] when the text is no query or is more than a selector.
pub fn parse_selector(text: &str) -> Result<Vec<Matcher>, SelectorError> {
    match parse(text)? {
        Expr::Log(LogExpr { selector, stages }) if stages.is_empty() => Ok(selector),
        _ => Err(SelectorError::NotASelector),
    }
}

/// The refusal of a selector that every stream could match.
const NOTHING_REQUIRED: &str = "queries require at least one regexp or equality matcher that does \
    not have an empty-compatible value. For instance, app=~\".*\" does not meet this requirement, \
    but app=~\".+\" will";

struct Parser {
    tokens: Vec<Token>,
    at: usize,
    /// Why the last token is [`Kind::Fault`].
    lexical: Option<ParseError>,
    /// Errors of meaning.
    faults: Vec<ParseError>,
    /// How many rules that may contain themselves are open.
    open: usize,
}

/// A metric expression and the height of its tree.
struct Tree {
    expr: MetricExpr,
    height: usize,
}

/// What a parenthesis or operand of a metric expression may turn out to be.
enum Operand {
    Log(LogExpr),
    Metric(Tree),
}

impl Parser {
    fn new(text: &str) -> Result<Self, ParseError> {
        if text.len() >= TEXT_BYTES_MAX {
            return Err(ParseError::new(format!(
                "input size too long ({} > {TEXT_BYTES_MAX})",
                text.len()
            )));
        }
        let (tokens, lexical) = lex::tokens(text);
        Ok(Self { tokens, at: 0, lexical, faults: Vec::new(), open: 0 })
    }

    fn query(mut self) -> Result<(Expr, Vec<ParseError>), ParseError> {
        let operand = self.expr(0)?;
        if self.peek() != Kind::End {
            return Err(self.unexpected(&[]));
        }
        let expr = match operand {
            Operand::Log(log) => Expr::Log(log),
            Operand::Metric(tree) => Expr::Metric(tree.expr),
        };
        Ok((expr, self.faults))
    }

    fn peek(&self) -> Kind {
        self.tokens[self.at].kind
    }

    fn peek_second(&self) -> Kind {
        self.tokens.get(self.at + 1).map_or(Kind::End, |token| token.kind)
    }

    /// Steps over the current token and answers what it carries.
    fn take(&mut self) -> Value {
        let value = std::mem::replace(&mut self.tokens[self.at].value, Value::None);
        // The last token is the end or a fault, and neither is ever passed.
        self.at = (self.at + 1).min(self.tokens.len() - 1);
        value
    }

    fn take_text(&mut self) -> String {
        match self.take() {
            Value::Text(text) => text,
            _ => String::new(),
        }
    }

    /// Steps over the current token if it is `kind`.
    fn accept(&mut self, kind: Kind) -> bool {
        let found = self.peek() == kind;
        if found {
            self.take();
        }
        found
    }

    /// Steps over the current token, which must be `kind`; `fitting` is all that would fit.
    fn expect_among(&mut self, kind: Kind, fitting: &[Kind]) -> Result<(), ParseError> {
        if self.accept(kind) { Ok(()) } else { Err(self.unexpected(fitting)) }
    }

    fn expect(&mut self, kind: Kind) -> Result<(), ParseError> {
        self.expect_among(kind, &[kind])
    }

    fn string(&mut self) -> Result<String, ParseError> {
        if self.peek() == Kind::String {
            return Ok(self.take_text());
        }
        Err(self.unexpected(&[Kind::String]))
    }

    /// A label's name, where `fitting` would fit.
    fn identifier(&mut self, fitting: &[Kind]) -> Result<String, ParseError> {
        if self.peek() != Kind::Identifier {
            return Err(self.unexpected(fitting));
        }
        // The lexer calls stray characters identifiers too, which shapes its messages.
        let is_name =
            matches!(&self.tokens[self.at].value, Value::Text(name) if is_label_name(name));
        if !is_name {
            self.faults.push(self.unexpected(&[]));
        }
        Ok(self.take_text())
    }

    /// The error about the current token where only `fitting` would fit.
    fn unexpected(&self, fitting: &[Kind]) -> ParseError {
        let token = &self.tokens[self.at];
        if let (Kind::Fault, Some(fault)) = (token.kind, &self.lexical) {
            return fault.clone();
        }
        let mut message = format!("syntax error: unexpected {}", token.kind.name());
        for (index, kind) in fitting.iter().enumerate() {
            message.push_str(if index == 0 { ", expecting " } else { " or " });
            message.push_str(&kind.name());
        }
        ParseError::at(token.line, token.column, message)
    }

    /// Records an error of meaning in what was parsed since `mark`, before those found inside it.
    fn fault(&mut self, mark: usize, message: impl Into<String>) {
        self.faults.truncate(mark);
        self.faults.push(ParseError::new(message));
    }

    /// Runs a rule that may contain itself.
    fn nested<T>(
        &mut self,
        rule: impl FnOnce(&mut Self) -> Result<T, ParseError>,
    ) -> Result<T, ParseError> {
        self.open += 1;
        let result = self.check_depth(self.open).and_then(|()| rule(self));
        self.open -= 1;
        result
    }

    fn check_depth(&self, depth: usize) -> Result<(), ParseError> {
        if depth <= DEPTH_MAX {
            return Ok(());
        }
        let token = &self.tokens[self.at];
        let message = format!("query nested too deeply (more than {DEPTH_MAX} levels)");
        Err(ParseError::at(token.line, token.column, message))
    }
}
