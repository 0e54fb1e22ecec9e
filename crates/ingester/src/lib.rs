//! Recent entries: in memory to be read, in the write-ahead log to survive, flushed as segments.
//!
//! Place in the path: a distributor hands an encoded batch to [`Ingester::append`]; when that
//! returns, the entries are durable and can be read. Queriers take an [`Ingester::snapshot`] and
//! merge it with the segments of the catalog; tails [`Ingester::subscribe`]. Heads that are large or
//! old become segments in the store, and only then are they and their part of the log given up.
//!
//! Invariants: nothing acknowledged is lost by a crash, and a replay repeats nothing that is in the
//! store; a row can be read at every instant from its acknowledgement on; memory is bounded, and
//! beyond the bound appends are refused rather than entries dropped; within a stream an entry is
//! kept once.
//!
//! What the crate does not know: who sends entries and how they look on the wire, who owns which
//! stream in a cluster, and what is asked of the rows.

#![deny(missing_docs)]

mod admission;
pub mod config;
mod error;
mod flush;
mod head;
mod heads;
mod ingester;
mod lately;
mod list;
mod metrics;
mod replay;
mod replicas;
mod row;
mod snapshot;
mod streams;
mod tail;
mod tenant;
mod wal;

pub use config::{Config, Limits, RateScope, Threads, WalSync};
pub use error::Error;
pub use ingester::{Dependencies, HandedOver, Ingester, Successor, Successors};
pub use metrics::{FlushReason, Metrics};
pub use replicas::Replicas;
pub use snapshot::HeadSnapshot;
pub use tail::{Dropped, TailEntries, TailEntry, TailReceiver};
pub use wal::directory::{WalDirectory, WalFile, WalRead};
pub use wal::faulty::MemoryDirectory;
pub use wal::{WalError, WalFileReport, inspect_wal_file};
