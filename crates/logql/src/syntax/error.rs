//! Why a query was refused, in the words clients already know.

use std::fmt;

/// A query that does not parse, or that parses and can never run.
///
/// The text is the one existing clients show and match on:
/// `parse error at line 1, col 6: syntax error: unexpected }, expecting STRING`. The caller shows
/// it to whoever wrote the query; nothing else helps.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ParseError {
    /// What is wrong.
    pub message: String,
    /// Line, from 1. 0 together with column 0 means that no position is known; 0 with a column
    /// stands for tokens whose line the established wording does not give.
    pub line: u32,
    /// Column in characters, from 1.
    pub column: u32,
}

impl ParseError {
    /// An error about the query as a whole.
    #[must_use]
    pub fn new(message: impl Into<String>) -> Self {
        Self { message: message.into(), line: 0, column: 0 }
    }

    /// A stage that cannot be built, with the stage's text and the cause.
    #[must_use]
    pub fn stage(stage: &super::ast::Stage, cause: impl fmt::Display) -> Self {
        Self::new(format!("stage '{stage}' : {cause}"))
    }

    pub(super) fn at(line: u32, column: u32, message: impl Into<String>) -> Self {
        Self { message: message.into(), line, column }
    }
}

impl fmt::Display for ParseError {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        match (self.line, self.column) {
            (0, 0) => write!(f, "parse error : {}", self.message),
            (line, column) => {
                write!(f, "parse error at line {line}, col {column}: {}", self.message)
            }
        }
    }
}

impl std::error::Error for ParseError {}

/// Why a text is no stream selector.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum SelectorError {
    /// It does not parse at all.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// It is a query of another kind.
    #[error("only label matchers are supported")]
    NotASelector,
}
