//! The columns of a block: what is packed into each chunk.
//!
//! Functions here see payloads: [`crate::decode`] has checked the checksum, and the writer adds it.

pub(crate) mod codes;
pub(crate) mod lengths;
pub(crate) mod levels;
pub(crate) mod lines;
pub(crate) mod metadata;
pub(crate) mod metadata_builder;
pub(crate) mod timestamps;
pub(crate) mod values;
