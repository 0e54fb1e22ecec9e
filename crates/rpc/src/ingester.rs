//! The ingester's service and its client.
//!
//! [`IngesterRole`] is what the process with the ingester plugs in; [`Client`] is what others see of
//! it. Both speak in the types of the roles, so that a caller cannot tell whether the ingester is
//! in its own process.

mod client;
mod heads;
mod service;
mod snapshot;
#[cfg(test)]
mod tests;
mod transfer;

use std::sync::Arc;

use api::append::{AppendBatch, AppendOutcome};
use futures_util::future::BoxFuture;
use futures_util::stream::BoxStream;
use logql::source::Source;
use model::{Labels, Matcher, TenantId, TimeRange, Timestamp};

pub use client::Client;
pub use heads::{Described, RemoteHeads};
pub use service::{IngesterService, PATH, service};
pub use transfer::Transfer;

use crate::error::Error;

/// An ingester, as other processes use it.
pub trait IngesterRole: Send + Sync + 'static {
    /// Keeps a batch durably.
    ///
    /// # Errors
    ///
    /// Nothing is promised about the batch; sending it again is safe.
    fn append(&self, batch: AppendBatch) -> BoxFuture<'_, Result<AppendOutcome, Error>>;

    /// What is in memory now. Blocks for a short time.
    ///
    /// # Errors
    ///
    /// When the ingester does not run.
    fn heads(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Heads, Error>;

    /// Entries of streams that match, from now on.
    ///
    /// # Errors
    ///
    /// When the ingester does not run.
    fn tail(
        &self,
        tenant: &TenantId,
        matchers: Vec<Matcher>,
    ) -> Result<BoxStream<'static, TailNews>, Error>;

    /// Stores the heads of one tenant, or of all.
    ///
    /// # Errors
    ///
    /// When an attempt failed; the rows stay where they are.
    fn flush(&self, tenant: Option<TenantId>) -> BoxFuture<'_, Result<(), Error>>;

    /// Begins to take over from an ingester that leaves.
    ///
    /// # Errors
    ///
    /// When this ingester takes over nothing; the other one keeps what it has.
    fn take_over(&self, giver: Giver) -> BoxFuture<'_, Result<Box<dyn TakeOver>, Error>>;
}

/// An ingester that leaves.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Giver {
    /// Its name in the ring.
    pub id: String,
    /// Its tokens.
    pub tokens: Vec<u32>,
}

/// A hand-over under way, at the receiver. Dropping it unfinished gives it up: what was received is
/// kept, and belongs to the giver still.
pub trait TakeOver: Send + Sync {
    /// Keeps rows durably, whatever their age and the tenant's limits.
    ///
    /// # Errors
    ///
    /// When they are not kept: the hand-over fails.
    fn receive(&self, batch: AppendBatch) -> BoxFuture<'_, Result<(), Error>>;

    /// Nothing more comes: takes the tokens, and owns what was received.
    ///
    /// # Errors
    ///
    /// When the hand-over failed; the giver keeps everything.
    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<(), Error>>;
}

/// The heads of one tenant at one moment.
pub struct Heads {
    /// The rows.
    pub view: Arc<dyn HeadsView>,
    /// Differs between two runs of one ingester: whoever sees a new one has to look at object
    /// storage again, because an ingester that starts does not know what it stored before.
    pub incarnation: u64,
    /// The tenant's segments that this ingester stored lately: their names and bytes.
    pub stored: Vec<(String, u64)>,
}

/// Rows of heads that do not change.
pub trait HeadsView: Source + Send {
    /// The names of the segments that hold, or are about to hold, the rows of an origin; empty
    /// while it is not being flushed.
    fn flushed_as(&self, origin: u64) -> Vec<String>;
}

/// What a tail hears.
#[derive(Debug, Clone, Default)]
pub struct TailNews {
    /// New entries.
    pub batch: Option<AppendBatch>,
    /// Entries for which the reader was too slow.
    pub dropped: u64,
    /// Time and labels of the first of them.
    pub named: Vec<(Timestamp, Labels)>,
}
