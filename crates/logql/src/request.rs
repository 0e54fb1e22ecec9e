//! What can be asked: a query's text with everything that was asked beside it.

use std::collections::BTreeMap;

use model::{Direction, Timestamp};

use crate::eval::Params;
use crate::source::Shard;

/// A query, or a piece of one, with its parameters parsed.
#[derive(Debug, Clone, PartialEq)]
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
    /// Set when this is a piece of a query: limits on whole queries were checked and do not count
    /// for it.
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

impl QueryRequest {
    /// What the engine is told, on one thread; `split_ns` is the tenant's
    /// [`split_ns`](Params::split_ns).
    #[must_use]
    pub fn params(&self, split_ns: i64) -> Params {
        let (start, end) = self.time.bounds();
        Params {
            start,
            end,
            step_ns: self.time.step_ns(),
            interval_ns: self.interval_ns,
            split_ns,
            direction: self.direction,
            limit: self.limit,
            categorize: self.categorize,
            threads: 1,
            shard: self.part.and_then(|part| part.shard),
        }
    }
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

    /// Nanoseconds between steps; 0 for an instant.
    #[must_use]
    pub fn step_ns(self) -> i64 {
        match self {
            Self::Instant(_) => 0,
            Self::Range { step_ns, .. } => step_ns,
        }
    }

    /// The only instant; `None` for a range.
    #[must_use]
    pub fn instant(self) -> Option<Timestamp> {
        match self {
            Self::Instant(at) => Some(at),
            Self::Range { .. } => None,
        }
    }

    /// A range that begins and ends at multiples of its step, around this one.
    #[must_use]
    pub fn aligned(self) -> Self {
        let Self::Range { start, end, step_ns } = self else { return self };
        let end = Timestamp(end.0.saturating_add(step_ns.max(1) - 1));
        Self::Range { start: down(start, step_ns), end: down(end, step_ns), step_ns }
    }

    /// A range with both ends rounded down to multiples of its step.
    #[must_use]
    pub fn aligned_down(self) -> Self {
        let Self::Range { start, end, step_ns } = self else { return self };
        Self::Range { start: down(start, step_ns), end: down(end, step_ns), step_ns }
    }
}

fn down(at: Timestamp, step_ns: i64) -> Timestamp {
    let step = step_ns.max(1);
    Timestamp(at.0.div_euclid(step).saturating_mul(step))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_are_aligned_to_their_steps() {
        let range = |start, end| QueryTime::Range {
            start: Timestamp(start),
            end: Timestamp(end),
            step_ns: 10,
        };
        assert_eq!(range(-1, 21).aligned(), range(-10, 30));
        assert_eq!(range(10, 20).aligned(), range(10, 20));
        assert_eq!(range(-1, 29).aligned_down(), range(-10, 20));
        let instant = QueryTime::Instant(Timestamp(7));
        assert_eq!(instant.aligned(), instant);
        assert_eq!(instant.aligned_down(), instant);
    }
}
