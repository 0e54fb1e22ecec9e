//! Lines as shapes and columns.
//!
//! The *shape* of a line is its text without what varies; the varying parts are its *slots*. The
//! slots at one place of one shape make a column, kept by what its values look like: numbers,
//! identifiers, times near the row's own, texts. Lines are put together again byte for byte.

mod block;
mod classes;
mod dictionary;
mod encode;
mod kinds;
mod lines;
mod masks;
mod numbers;
mod table;
mod times;
mod tokens;
mod wide;

pub(crate) use block::ShapeBlock;
pub(crate) use encode::ColumnsEncoder;
