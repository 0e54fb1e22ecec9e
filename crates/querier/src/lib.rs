//! One query: heads and segments, merged without duplicates.
//!
//! Place in the path: the HTTP layer parses a request's parameters and calls [`Querier`]; the
//! querier checks the tenant's limits, waits for a turn, fixes a view of the rows and hands it to
//! the engine (`logql`), which pulls batches from it. Metadata requests ([`metadata`]) read stream
//! tables and counts instead.
//!
//! Invariants: heads are looked at before the catalog, so that a row on its way from one to the
//! other is never missed; rows that may stand twice are always told to the engine; an answer is
//! complete, or names what is missing; nothing runs on after its deadline or its client. What the
//! crate does not know: how answers are written, and who serves recent rows.

#![deny(missing_docs)]

mod admit;
mod config;
mod error;
mod limits;
pub mod metadata;
mod metrics;
mod pool;
mod querier;
mod recent;
mod source;
#[cfg(test)]
mod testing;
mod versions;

pub use config::{Config, Unreadable};
pub use error::Error;
pub use limits::{BlockedQuery, BlockedText, Limits, QueryKind};
pub use metrics::{Metrics, Operation};
pub use querier::{Dependencies, Querier, Timed};
pub use recent::{NothingRecent, Recent, RecentSource};
pub use source::hidden::HiddenEntries;
pub use versions::RangeVersion;
