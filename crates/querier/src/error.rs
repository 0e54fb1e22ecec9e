//! Why a request has no answer.

use logql::eval::{CancelReason, QueryError};
use logql::source::SourceError;
use logql::syntax::{ParseError, SelectorError};
use model::ErrorKind;

/// Why a request has no answer. The texts are the ones Loki's clients know.
#[derive(Debug, Clone, thiserror::Error)]
#[non_exhaustive]
pub enum Error {
    /// The query does not parse; its author must change it.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A selector was asked for, and the text is none; its author must change it.
    #[error(transparent)]
    Selector(#[from] SelectorError),
    /// The query failed while it ran.
    #[error(transparent)]
    Query(#[from] QueryError),
    /// A limit or a policy refuses the request, or a parameter makes no sense; ask for less.
    #[error("{0}")]
    Refused(String),
    /// The feature is switched off: 404.
    #[error("{0}")]
    Disabled(&'static str),
    /// Too many requests wait already: 429, send it again later.
    #[error("too many outstanding requests")]
    TooManyWaiting,
    /// A fault of ours.
    #[error("{0}")]
    Internal(String),
}

impl Error {
    /// What the caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Parse(_) | Self::Selector(_) | Self::Refused(_) => ErrorKind::Invalid,
            Self::Query(error) => error.kind(),
            Self::Disabled(_) => ErrorKind::NotFound,
            Self::TooManyWaiting => ErrorKind::LimitExceeded,
            Self::Internal(_) => ErrorKind::Internal,
        }
    }

    /// Why the request was stopped from outside: its deadline is a 504, a client that left a 499.
    #[must_use]
    pub fn cancelled(&self) -> Option<CancelReason> {
        match self {
            Self::Query(QueryError::Cancelled(reason)) => Some(*reason),
            _ => None,
        }
    }

    pub(crate) fn refused(text: impl Into<String>) -> Self {
        Self::Refused(text.into())
    }
}

impl From<SourceError> for Error {
    fn from(error: SourceError) -> Self {
        Self::Query(QueryError::Source(error))
    }
}
