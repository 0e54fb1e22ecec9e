//! What can go wrong with stored bytes.

use std::io;
use std::sync::Arc;

use model::ErrorKind;

/// Why the store could not do what it was asked. Cheap to clone, so that one failure can be told
/// to everybody who waits for the same footer.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The object does not exist (any more): look at a newer catalog.
    #[error("object {name} does not exist")]
    NotFound {
        /// Name of the object.
        name: String,
    },
    /// Another object stands under the name, and it is not the same: a person must look.
    #[error("object {name} exists with {found} bytes where {expected} were to be written")]
    Exists {
        /// Name of the object.
        name: String,
        /// Bytes to write.
        expected: u64,
        /// Bytes that stand there.
        found: u64,
    },
    /// The disk is full. Nothing was left behind; retry when there is room.
    #[error("no space left to write object {name}")]
    OutOfSpace {
        /// Name of the object.
        name: String,
    },
    /// The file system refused; retry later.
    #[error("{doing} {name}")]
    Io {
        /// What was being done.
        doing: &'static str,
        /// Name of the object.
        name: String,
        /// The system's reason.
        #[source]
        source: Arc<io::Error>,
    },
    /// Remote storage refused, after all retries; retry later.
    #[error("{doing} {name}")]
    Remote {
        /// What was being done.
        doing: &'static str,
        /// Name of the object.
        name: String,
        /// The service's reason.
        #[source]
        source: Arc<object_store::Error>,
    },
    /// An object is shorter than the catalog says: a person must look.
    #[error("object {name} has {found} bytes, and byte {wanted} was to be read")]
    Short {
        /// Name of the object.
        name: String,
        /// End of the range.
        wanted: u64,
        /// Bytes it has.
        found: u64,
    },
    /// A footer does not decode: a person must look.
    #[error("footer of {name}")]
    Footer {
        /// Name of the object.
        name: String,
        /// What is wrong.
        #[source]
        source: Arc<segment::FormatError>,
    },
    /// The counts of a segment do not decode: count its rows; a person must look.
    #[error("counts of {name}")]
    Cells {
        /// Name of the object.
        name: String,
        /// What is wrong.
        #[source]
        source: Arc<segment::FormatError>,
    },
    /// Whoever knows which segments exist cannot be asked: ask the storage itself.
    #[error("{message}")]
    Index {
        /// Why.
        message: String,
        /// What the caller does about it.
        kind: ErrorKind,
    },
    /// The configuration cannot work; the text names the field.
    #[error("object storage configuration: {message}")]
    Config {
        /// What is wrong.
        message: String,
    },
}

impl Error {
    /// What the caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::NotFound { .. } => ErrorKind::NotFound,
            Self::Exists { .. } => ErrorKind::Conflict,
            Self::OutOfSpace { .. } | Self::Io { .. } | Self::Remote { .. } => {
                ErrorKind::Unavailable
            }
            Self::Short { .. } | Self::Footer { .. } | Self::Cells { .. } => ErrorKind::Corrupt,
            Self::Index { kind, .. } => *kind,
            Self::Config { .. } => ErrorKind::Invalid,
        }
    }

    /// The error and its causes in one line, for logs and answers.
    #[must_use]
    pub fn chain(&self) -> String {
        let mut text = self.to_string();
        let mut cause = std::error::Error::source(self);
        while let Some(error) = cause {
            text.push_str(": ");
            text.push_str(&error.to_string());
            cause = error.source();
        }
        text
    }

    pub(crate) fn io(doing: &'static str, name: &str, source: io::Error) -> Self {
        let name = name.to_owned();
        match source.kind() {
            io::ErrorKind::NotFound => Self::NotFound { name },
            io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded => Self::OutOfSpace { name },
            _ => Self::Io { doing, name, source: Arc::new(source) },
        }
    }

    pub(crate) fn remote(doing: &'static str, name: &str, source: object_store::Error) -> Self {
        let name = name.to_owned();
        match source {
            object_store::Error::NotFound { .. } => Self::NotFound { name },
            source => Self::Remote { doing, name, source: Arc::new(source) },
        }
    }
}
