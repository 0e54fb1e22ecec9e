//! What can go wrong in an ingester.

use std::sync::Arc;
use std::time::Duration;

use model::ErrorKind;

use crate::wal::WalError;

/// Why an ingester did not do what it was asked. Cheap to clone.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Heads are full and flushing does not keep up. Nothing was kept; retry later.
    #[error("ingester memory is full: {used} of {max} bytes wait to be flushed")]
    MemoryFull {
        /// Bytes in heads and on their way there.
        used: u64,
        /// The configured bound.
        max: u64,
        /// When trying again makes sense.
        retry_after: Duration,
    },
    /// The log could not be written. Nothing of this append was kept; retry later.
    #[error("{source}")]
    Wal {
        /// What happened.
        source: WalError,
        /// When trying again makes sense.
        retry_after: Duration,
    },
    /// The ingester is stopping. Nothing was kept; send it elsewhere, or retry later.
    #[error("ingester is stopping")]
    Stopping,
    /// The ingester takes no entries for now. Nothing was kept; send it elsewhere, or retry later.
    #[error("ingester is read-only")]
    ReadOnly,
    /// Heads were not handed over. They stay in memory and in the log, and are flushed instead.
    #[error("hand heads over: {0}")]
    HandOver(String),
    /// The log could not be opened or read; an operator must look.
    #[error("open the write-ahead log: {0}")]
    Open(WalError),
    /// The configuration cannot work; the text names the field.
    #[error("ingester configuration: {0}")]
    Config(String),
    /// Heads could not be stored. They stay in memory and in the log; retry later.
    #[error("flush tenant {tenant}: {reason}")]
    Flush {
        /// Whose head.
        tenant: model::TenantId,
        /// What happened.
        reason: Arc<str>,
    },
    /// The catalog could not be read while the log was replayed; retry later.
    #[error("read the catalog: {0}")]
    Catalog(#[source] Arc<store::Error>),
}

impl Error {
    /// What the caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::MemoryFull { .. }
            | Self::Wal { .. }
            | Self::Stopping
            | Self::ReadOnly
            | Self::HandOver(_)
            | Self::Flush { .. } => ErrorKind::Unavailable,
            Self::Catalog(error) => error.kind(),
            Self::Open(_) => ErrorKind::Internal,
            Self::Config(_) => ErrorKind::Invalid,
        }
    }

    /// When trying again makes sense, for errors that pass.
    #[must_use]
    pub fn retry_after(&self) -> Option<Duration> {
        match self {
            Self::MemoryFull { retry_after, .. } | Self::Wal { retry_after, .. } => {
                Some(*retry_after)
            }
            Self::ReadOnly => Some(Duration::from_secs(1)),
            Self::Stopping => Some(Duration::from_secs(5)),
            _ => None,
        }
    }
}
