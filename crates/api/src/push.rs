//! What a client sent: streams of entries, borrowed from the request's body where possible.
//!
//! The decoders of all formats end here ([`crate::push_protobuf`], [`crate::push_json`],
//! [`crate::otlp`]), and the distributor takes it from here. Nothing is validated yet: labels may
//! be malformed text, lines may be any bytes.

use std::borrow::Cow;
use std::sync::Arc;

use model::{ErrorKind, Labels, Timestamp};

/// One push request.
#[derive(Debug, Clone, Default, PartialEq)]
pub struct Push<'a> {
    /// The streams in the order in which they were sent; one stream may appear several times.
    pub streams: Vec<PushStream<'a>>,
}

/// Entries that share labels.
#[derive(Debug, Clone, PartialEq)]
pub struct PushStream<'a> {
    /// The labels as sent.
    pub labels: PushLabels<'a>,
    /// The entries in the order in which they were sent; may be empty.
    pub entries: Vec<PushEntry<'a>>,
}

/// Labels as a client sends them.
#[derive(Debug, Clone, PartialEq)]
pub enum PushLabels<'a> {
    /// The text `{a="b"}`, unchecked.
    Text(&'a str),
    /// Names and values; names follow the classic form.
    Pairs(Labels),
}

/// One entry.
#[derive(Debug, Clone, PartialEq)]
pub struct PushEntry<'a> {
    /// When.
    pub timestamp: Timestamp,
    /// The line; any bytes.
    pub line: Cow<'a, [u8]>,
    /// Structured metadata in the order in which it was sent; names are not normalised.
    pub metadata: Vec<(Cow<'a, str>, Cow<'a, str>)>,
    /// Structured metadata that follows, shared with other entries; only OTLP has it.
    pub shared: Option<SharedMetadata>,
}

/// Structured metadata that many entries carry.
pub type SharedMetadata = Arc<[(Box<str>, Box<str>)]>;

/// Why a push could not be decoded. Nothing of it was stored; sending it again cannot help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum PushError {
    /// The body is not a message of its format.
    #[error("{0}")]
    Malformed(String),
    /// A label set cannot be a stream's identity.
    #[error("couldn't parse labels: {0}")]
    Labels(String),
    /// A part of the request is larger than any that is accepted: HTTP 413.
    #[error("{0}")]
    TooLarge(String),
    /// The request carries no stream or no record: HTTP 422.
    #[error("error at least one valid stream is required for ingestion")]
    Empty,
}

impl PushError {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}
