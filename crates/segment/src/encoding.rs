//! The building blocks of every part of a segment: numbers, packed numbers, frames, checksums.

pub(crate) mod bits;
pub(crate) mod checksum;
pub(crate) mod cursor;
pub(crate) mod frame;
pub(crate) mod packed;
