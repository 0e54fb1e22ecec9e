//! How the values of [`logql::source`] and [`api::append`] travel.
//!
//! These messages are large or many, so they have a layout of their own instead of one protobuf
//! message per value: columns stand back to back, and a decoder allocates at most a small constant
//! times the bytes it was given, because every count is compared with the bytes that are left
//! before anything is reserved. Integers are LEB128 unless said otherwise; texts and lists are
//! preceded by their length. Every message begins with [`VERSION`]; a decoder refuses others, and
//! refuses bytes that are left over.

mod batch;
mod bytes;
mod outcome;
mod pieces;
mod selection;
#[cfg(test)]
mod tests;

pub use batch::{check_batch, decode_batch, decode_cells, encode_batch, encode_cells};
pub use outcome::{decode_outcome, encode_outcome};
pub use pieces::{
    FlushedAs, decode_flushed_as, decode_piece, decode_pieces, decode_stored, decode_streams,
    encode_flushed_as, encode_piece, encode_pieces, encode_stored, encode_streams,
};
pub use selection::{
    Scope, decode_scope, decode_selection, decode_spot, decode_want, encode_scope,
    encode_selection, encode_spot, encode_want,
};

/// The version that this program writes and reads.
pub const VERSION: u8 = 1;

/// Encoded bytes after which a list goes on in another part.
pub const PART_BYTES: usize = 1 << 20;

/// Bytes that are not what was expected: damaged, or of another program. Do not retry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("message is damaged: {what}")]
pub struct DecodeError {
    /// What was expected.
    pub what: &'static str,
}

/// What a decoder answers.
pub type Decoded<T> = Result<T, DecodeError>;
