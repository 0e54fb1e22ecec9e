//! Where a batch goes: the seam to the ingester.

use std::time::Duration;

use api::append::{AppendBatch, AppendOutcome};
use futures_util::future::BoxFuture;

/// Stores batches durably. The local ingester is one, a client of a remote one is another.
pub trait Appender: Send + Sync {
    /// Appends a batch. When this succeeds, every row that the outcome does not count as rejected
    /// survives a crash.
    ///
    /// # Errors
    ///
    /// [`AppendError`]: nothing is promised about the batch. Sending it again is safe, because equal
    /// entries are stored once.
    fn append(&self, batch: AppendBatch) -> BoxFuture<'_, Result<AppendOutcome, AppendError>>;
}

/// Why a batch was not appended.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum AppendError {
    /// Not now: starting, stopping, full, or cut off. The client retries.
    #[error("{message}")]
    Unavailable {
        /// What is the matter.
        message: String,
        /// When to try again.
        retry_after: Duration,
    },
    /// A fault of ours.
    #[error("{0}")]
    Internal(String),
}
