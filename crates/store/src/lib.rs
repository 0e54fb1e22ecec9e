//! Bytes that survive: object storage, the catalog of segments, what people asked to be deleted,
//! and caches of footers and counts.
//!
//! Place in the path: the ingester uploads segments here before it gives up their WAL; the querier
//! takes a [`Catalog`], reads footers and then columns; the compactor puts larger segments in the
//! place of smaller ones. Which storage it is (files, S3, Google,
//! Azure, memory) is configuration.
//!
//! Invariants: an upload that returned survives a power failure; an object is whole or absent; a
//! catalog never changes once taken; the listing of the storage is the truth, and names that are
//! not understood are left alone and counted. What the crate does not know: what is inside the
//! columns it reads, and what is asked of them.

#![deny(missing_docs)]

mod bucket;
mod catalog;
mod cells;
pub mod config;
pub mod conformance;
mod deletes;
mod error;
mod footers;
mod index;
mod metrics;
mod retention;
mod store;
mod stream_key;

pub use bucket::{
    Bucket, Created, MemoryBucket, MemoryFault, ObjectInfo, SpillFiles, sync_names_of,
};
pub use catalog::{Catalog, Refreshed, StoredSegment, Totals, covered};
pub use config::Config;
pub use deletes::{DeleteRequest, DeleteState, Deletes, decode_delete_request};
pub use error::Error;
pub use footers::SegmentFooter;
pub use index::{Index, SegmentsAsk, SegmentsFound, Told};
pub use metrics::{Metrics, Operation};
pub use retention::{Retention, RetentionRule};
pub use store::{Dependencies, Store};
pub use stream_key::StreamKey;
