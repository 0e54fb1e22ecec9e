//! The language: text to tree and back.
//!
//! `scan` and `lex` split the text into the tokens of `token`, `parser` builds the tree of `ast`,
//! `check` refuses what the grammar allows but no engine runs, `print` and `pretty` give the text
//! back. Errors carry the words and positions that existing clients show and match on.
//!
//! Bounds: a query has less than 128 KiB and nests at most 256 deep, so code may walk a tree by
//! recursion. Printing and parsing again gives an equal tree.

pub mod ast;
mod check;
mod error;
mod lex;
mod number;
mod operator;
mod parser;
mod pretty;
mod print;
mod scan;
#[cfg(test)]
mod tests;
mod token;

pub use error::{ParseError, SelectorError};
pub use parser::{parse, parse_selector};
pub use pretty::format_query;
