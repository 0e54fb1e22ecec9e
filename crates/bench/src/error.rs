//! What can go wrong while measuring.

use std::io;
use std::path::PathBuf;

/// Why a measurement ended early.
#[derive(Debug, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// A file or folder could not be used; check the path and its permissions.
    #[error("{doing} {path}")]
    File {
        /// What was being done.
        doing: &'static str,
        /// To what.
        path: PathBuf,
        /// What the system said.
        #[source]
        source: io::Error,
    },
    /// The program under test did not start or ended early; its log says why.
    #[error("the server {what}; see {log}")]
    Server {
        /// What it did.
        what: String,
        /// Where its log is.
        log: PathBuf,
    },
    /// The program under test did not answer as it must.
    #[error("{request}: {answer}")]
    Answer {
        /// What was asked.
        request: String,
        /// What came back.
        answer: String,
    },
}

impl Error {
    /// A failure to do something to a path.
    pub(crate) fn file(
        doing: &'static str,
        path: impl Into<PathBuf>,
    ) -> impl FnOnce(io::Error) -> Self {
        let path = path.into();
        move |source| Self::File { doing, path, source }
    }
}
