//! Entries: what a client pushes and a query returns.

use crate::time::Timestamp;

/// One name and value of structured metadata.
pub type MetadataPair = (Box<str>, Box<str>);

/// One log entry: when, what, and pairs that are not indexed.
///
/// The line is bytes: clients are expected to send UTF-8 and nothing checks it, so that what was
/// pushed can be given back bit for bit.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Entry {
    /// When it happened, in nanoseconds since the Unix epoch.
    pub timestamp: Timestamp,
    /// The text.
    pub line: Box<[u8]>,
    /// Pairs in the order in which they were pushed.
    pub structured_metadata: Vec<MetadataPair>,
}

impl Entry {
    /// An entry without structured metadata.
    pub fn new(timestamp: Timestamp, line: impl Into<Box<[u8]>>) -> Self {
        Self { timestamp, line: line.into(), structured_metadata: Vec::new() }
    }
}
