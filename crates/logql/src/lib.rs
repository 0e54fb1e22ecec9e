//! LogQL: the language and its engine.
//!
//! Place in the path: `querier` and `ruler` hand a query's text and a [`source::Source`] to this
//! crate and get a [`model::answer::Answer`] back. The engine pulls batches of rows from the
//! source, synchronously, and uses as many threads as it is told to.
//!
//! Invariants: no I/O, no clock, no async; memory follows the answer, not the data; every limit
//! ends a query with an error that says which limit. What the crate does not know: where rows come
//! from, who asks, and how answers are written on the wire.

#![deny(missing_docs)]

pub mod eval;
pub mod pipeline;
mod removal;
pub mod request;
pub mod source;
pub mod syntax;
mod template;

pub use removal::{Removal, RemovalError, RemovalScratch};
pub use syntax::ast::Expr;
pub use syntax::{ParseError, format_query, parse, parse_selector};
