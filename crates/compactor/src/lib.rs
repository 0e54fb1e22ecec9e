//! Larger segments in the place of smaller ones, and the end of what has expired or was asked to
//! be deleted.
//!
//! Place in the path: behind everything. Ingesters upload many small segments; the compactor reads
//! them back, merges their rows and uploads fewer and larger ones. On the way it leaves out copies,
//! rows that have expired, and rows that delete requests name.
//!
//! Invariants: a row leaves object storage only when a durable segment holds it, or when it has
//! expired or a delete request in force names it; one upload takes over from all inputs at once, so
//! a crash at any instant leaves either; any number of compactors may work on the same store; of a
//! segment that is being built only the index is in memory. `docs/decisions/0006-compaction.md`
//! argues why. What the crate does not know: HTTP, and how queries hide what it has yet to remove.

#![deny(missing_docs)]

// What it is asked to do.
mod config;
mod error;
mod limits;
mod metrics;

// What becomes of segments.
mod input;
mod left_out;
mod merge;
mod plan;

// The rounds.
mod compactor;
mod deletes;
mod expiry;
mod job;
mod requests;
mod sweep;
#[cfg(test)]
mod testing;

pub use compactor::{Compactor, Dependencies, Flush};
pub use config::Config;
pub use error::Error;
pub use limits::{DeletionMode, Limits};
pub use metrics::Metrics;
pub use requests::{DeleteParams, ListedDelete};
