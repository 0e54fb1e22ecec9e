//! What can go wrong.

use model::ErrorKind;

/// Why something was not done.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// Object storage; the next round tries again.
    #[error("{}", .0.chain())]
    Store(#[from] store::Error),
    /// A segment does not decode: a person must look. It stays as it is.
    #[error("segment {name}: {source}")]
    Segment {
        /// Which one.
        name: String,
        /// What is wrong.
        source: segment::FormatError,
    },
    /// The rows of a merge do not add up; nothing was written.
    #[error("of {expected} rows {found} came out of a merge")]
    Rows {
        /// Rows of the inputs, without what was left out on purpose.
        expected: u64,
        /// Rows of the output.
        found: u64,
    },
    /// A merge took so long that what it knew may be out of date; nothing was written.
    #[error("a merge took too long, its result is thrown away")]
    Late,
    /// The compactor was asked to stop; nothing was written.
    #[error("the compactor is stopping")]
    Stopping,
    /// Recent rows could not be flushed; the next round tries again.
    #[error("flush recent rows: {0}")]
    Flush(String),
    /// A request is refused; the text is for the client.
    #[error("{0}")]
    Refused(String),
    /// The tenant may not delete.
    #[error("deletion is not available for this tenant")]
    Disabled,
    /// There is no delete request of that id.
    #[error("could not find delete request with given id")]
    UnknownRequest,
}

impl Error {
    /// What the caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Store(error) => error.kind(),
            Self::Segment { source, .. } => source.kind(),
            Self::Rows { .. } => ErrorKind::Internal,
            Self::Late | Self::Stopping | Self::Flush(_) => ErrorKind::Unavailable,
            Self::Refused(_) | Self::Disabled => ErrorKind::Invalid,
            Self::UnknownRequest => ErrorKind::NotFound,
        }
    }

    pub(crate) fn segment(name: &segment::SegmentName, source: segment::FormatError) -> Self {
        Self::Segment { name: name.to_string(), source }
    }
}
