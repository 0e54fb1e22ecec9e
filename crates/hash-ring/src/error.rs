//! What can go wrong with a ring.

use model::ErrorKind;

use crate::instance::State;

/// What can go wrong with a ring.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// No instance of the ring has a token yet; retry when one has joined.
    #[error("empty ring")]
    Empty,
    /// Too few instances are healthy for a quorum; retry when they are back or were forgotten.
    #[error("at least {needed} live replicas required, could only find {healthy}")]
    TooFewHealthy {
        /// How many replicas must answer.
        needed: usize,
        /// How many are in the right state and send heartbeats.
        healthy: usize,
    },
    /// More zones have an unhealthy instance than may fail; retry as above.
    #[error("too many unhealthy zones: {unhealthy} of at most {tolerated}")]
    TooManyUnhealthyZones {
        /// Zones with an instance that cannot be asked.
        unhealthy: usize,
        /// How many of them a read survives.
        tolerated: usize,
    },
    /// Tokens that spread best cannot be given to this instance; change its settings.
    #[error("tokens of {id} in zone {zone:?} cannot be spread: {reason}")]
    Spread {
        /// Which instance.
        id: String,
        /// Its zone.
        zone: String,
        /// What is missing.
        reason: &'static str,
    },
    /// The store of the ring cannot be used; retry later.
    #[error("ring store {store}: {message}")]
    Store {
        /// Which kind of store.
        store: &'static str,
        /// What it said, or what happened on the way.
        message: String,
    },
    /// The configuration makes no sense; change it.
    #[error("ring configuration: {0}")]
    Config(String),
    /// The file of tokens cannot be read or written; look at the disk.
    #[error("token file {path}: {message}")]
    TokenFile {
        /// Which file.
        path: String,
        /// What is wrong with it.
        message: String,
    },
    /// The instance takes over nothing, because it is not PENDING; hand over to another one.
    #[error("this instance is {0} and takes over nothing")]
    NotPending(State),
    /// The instance was stopped meanwhile; nothing is wrong.
    #[error("this instance has left ring {0}")]
    Stopped(String),
}

impl Error {
    /// What the caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Empty
            | Self::TooFewHealthy { .. }
            | Self::TooManyUnhealthyZones { .. }
            | Self::Store { .. }
            | Self::NotPending(_)
            | Self::Stopped(_) => ErrorKind::Unavailable,
            Self::Spread { .. } | Self::Config(_) => ErrorKind::Invalid,
            Self::TokenFile { .. } => ErrorKind::Internal,
        }
    }
}
