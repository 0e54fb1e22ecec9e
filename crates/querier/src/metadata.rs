//! Answers about streams rather than lines: labels, series, sizes, fields, patterns.

pub mod detected_fields;
pub mod detected_labels;
pub mod labels;
pub mod patterns;
mod patterns_drain;
pub mod series;
pub mod stats;
pub mod volume;

use model::{Matcher, Timestamp};

use crate::admit;
use crate::error::Error;
use crate::limits::Limits;

/// A selector and a time, as most of these requests have them.
#[derive(Debug, Clone)]
pub struct Scope {
    /// A selector, or nothing for all streams where that is allowed.
    pub query: String,
    /// First instant.
    pub start: Timestamp,
    /// Last instant.
    pub end: Timestamp,
}

impl Scope {
    /// The matchers; none when the query is empty.
    pub(crate) fn optional_matchers(&self) -> Result<Vec<Matcher>, Error> {
        if self.query.is_empty() { Ok(Vec::new()) } else { self.matchers() }
    }

    /// The matchers; a query is required.
    pub(crate) fn matchers(&self) -> Result<Vec<Matcher>, Error> {
        Ok(logql::parse_selector(&self.query)?)
    }

    /// The matchers; `{}` stands for all streams.
    pub(crate) fn matchers_or_all(&self) -> Result<Vec<Matcher>, Error> {
        if self.query.trim() == "{}" { Ok(Vec::new()) } else { self.matchers() }
    }

    /// Checks the time against limits.
    pub(crate) fn check(&self, limits: &Limits) -> Result<(), Error> {
        admit::check_length(self.start, self.end, limits)
    }
}
