//! Where a query's rows come from.
//!
//! [`tenant`] joins the heads and segments of one tenant; [`tenants`] joins several tenants.
//! A query's view is fixed when it begins: the heads are looked at first, the catalog after them,
//! and a head whose segments the catalog already holds is left out ([`tenant`]). Where two origins
//! may still hold the same rows, [`origins`] says for which span of time. [`planned`] knows which
//! streams and blocks of a segment a query needs, [`hidden`] takes out what has expired or is being
//! deleted, and [`tally`] counts rows and bytes.

pub(crate) mod common_times;
pub(crate) mod hidden;
pub(crate) mod label_pool;
pub(crate) mod origins;
pub(crate) mod planned;
mod prune;
pub(crate) mod tally;
pub(crate) mod tenant;
pub(crate) mod tenants;
#[cfg(test)]
mod tests;

use logql::source::SourceError;

/// Names and values of a stream's labels, by name.
pub(crate) type LabelPairs<'i, 'p> = &'i mut (dyn Iterator<Item = (&'p str, &'p str)> + 'p);

/// What the engine is told about bytes that could not be read.
pub(crate) fn source_error(error: &store::Error) -> SourceError {
    SourceError { message: error.chain(), kind: error.kind() }
}

/// What the engine is told about columns that do not decode.
pub(crate) fn damaged(name: &segment::SegmentName, error: &segment::FormatError) -> SourceError {
    SourceError { message: format!("decode segment {name}: {error}"), kind: error.kind() }
}
