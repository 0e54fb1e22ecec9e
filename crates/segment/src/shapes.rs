//! Lines as shapes and columns.
//!
//! The *shape* of a line is its text without what varies; the varying parts are its *slots*. The
//! slots at one place of one shape make a column, kept by what its values look like: numbers,
//! identifiers, times near the row's own, texts. Lines are put together again byte for byte.

mod block;
mod classes;
mod columns;
mod dictionary;
mod encode;
mod fields;
mod frequent;
mod kinds;
mod lines;
mod masks;
mod matching;
mod numbers;
mod parts;
mod proof;
mod reader;
mod table;
mod times;
mod tokens;
mod wide;
mod words;

pub(crate) use block::ShapeBlock;
pub use columns::LineColumns;
pub(crate) use encode::{BlockLines, ColumnsEncoder};
pub use fields::{Field, Fields};
pub(crate) use masks::{Masks, gather_low_bits};
pub use matching::LineTest;
pub use model::column_lines::{FieldKind, RowMatch};
pub(crate) use proof::Proof;
