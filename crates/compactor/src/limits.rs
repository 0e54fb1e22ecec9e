//! What each tenant asks of the compactor.

use std::sync::Arc;

use store::Retention;

/// The limits of one tenant.
#[derive(Debug, Clone, Default)]
pub struct Limits {
    /// When rows expire (`retention_period`, `retention_stream`).
    pub retention: Arc<Retention>,
    /// Stored bytes above which the oldest segments are deleted (`retention_size`); 0 for no bound.
    pub retention_bytes: u64,
    /// What becomes of delete requests (`deletion_mode`).
    pub deletion_mode: DeletionMode,
}

/// What becomes of delete requests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum DeletionMode {
    /// They are refused, and those that exist have no effect.
    Disabled,
    /// Queries hide what they name.
    FilterOnly,
    /// Queries hide it, and it is deleted.
    #[default]
    FilterAndDelete,
}
