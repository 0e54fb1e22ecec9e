//! What can be asked.

use std::collections::BTreeMap;

use logql::source::Shard;
use model::{Direction, Timestamp};

/// A query, with its parameters parsed.
#[derive(Debug, Clone)]
pub struct QueryRequest {
    /// The query's text.
    pub text: String,
    /// Over which time.
    pub time: QueryTime,
    /// Order of a log query's entries.
    pub direction: Direction,
    /// Most entries of a log query.
    pub limit: u32,
    /// Log queries leave out entries nearer than this to the last one kept, in nanoseconds.
    pub interval_ns: i64,
    /// Whether a log query tells categories of labels apart.
    pub categorize: bool,
    /// Tags of the request (`X-Query-Tags`).
    pub tags: BTreeMap<String, String>,
    /// Set when this is a piece of a query: what limits say about whole queries was checked
    /// ([`crate::Querier::versions`]) and does not count for it.
    pub part: Option<QueryPart>,
}

/// Which piece of a query a request is, beside its time and text.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct QueryPart {
    /// The part of the streams; `None` for all.
    pub shard: Option<Shard>,
}

/// Over which time a query is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryTime {
    /// Once.
    Instant(Timestamp),
    /// Over a range.
    Range {
        /// First step; first instant of a log query.
        start: Timestamp,
        /// Last step; first instant after a log query.
        end: Timestamp,
        /// Between steps, in nanoseconds; positive.
        step_ns: i64,
    },
}

impl QueryTime {
    /// First and last instant.
    #[must_use]
    pub fn bounds(self) -> (Timestamp, Timestamp) {
        match self {
            Self::Instant(at) => (at, at),
            Self::Range { start, end, .. } => (start, end),
        }
    }
}
