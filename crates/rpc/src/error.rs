//! Failures of calls: the one place that maps [`ErrorKind`] to gRPC status codes and back.

use std::time::Duration;

use model::ErrorKind;
use tonic::metadata::MetadataValue;
use tonic::{Code, Status};

use crate::codec::DecodeError;

/// Metadata that says which kind of failure a status is. A status without it comes from the
/// transport: nobody answered.
const KIND_METADATA: &str = "sigyn-error-kind";
/// Metadata that says when to try again, in milliseconds.
const RETRY_METADATA: &str = "sigyn-retry-after-ms";

/// Why a call failed.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct Error {
    /// What the caller does about it.
    pub kind: ErrorKind,
    /// What happened.
    pub message: String,
    /// When to try again, if the other side said so.
    pub retry_after: Option<Duration>,
    /// Whether the other process answered; if not, it may be gone, or stuck.
    pub is_answered: bool,
}

impl Error {
    /// A failure that a role answers.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), retry_after: None, is_answered: true }
    }

    /// Nobody answered: try another process, or later.
    #[must_use]
    pub fn unreached(message: impl Into<String>) -> Self {
        let is_answered = false;
        Self { is_answered, ..Self::new(ErrorKind::Unavailable, message) }
    }

    /// The same failure, asking to wait that long.
    #[must_use]
    pub fn retry_after(self, wait: Option<Duration>) -> Self {
        Self { retry_after: wait, ..self }
    }

    /// The same failure, with the place where it happened in front.
    #[must_use]
    pub fn at(self, address: &str) -> Self {
        Self { message: format!("{address}: {}", self.message), ..self }
    }
}

impl From<DecodeError> for Error {
    fn from(error: DecodeError) -> Self {
        Self::new(ErrorKind::Corrupt, error.to_string())
    }
}

impl From<Error> for Status {
    fn from(error: Error) -> Self {
        let code = match error.kind {
            ErrorKind::Invalid => Code::InvalidArgument,
            ErrorKind::NotFound => Code::NotFound,
            ErrorKind::Conflict => Code::Aborted,
            ErrorKind::LimitExceeded => Code::ResourceExhausted,
            ErrorKind::Unavailable => Code::Unavailable,
            ErrorKind::Corrupt => Code::DataLoss,
            ErrorKind::Internal => Code::Internal,
        };
        let mut status = Self::new(code, error.message);
        let metadata = status.metadata_mut();
        metadata.insert(KIND_METADATA, MetadataValue::from(u32::from(error.kind.code())));
        if let Some(wait) = error.retry_after {
            let millis = u32::try_from(wait.as_millis()).unwrap_or(u32::MAX);
            metadata.insert(RETRY_METADATA, MetadataValue::from(millis));
        }
        status
    }
}

impl From<Status> for Error {
    fn from(status: Status) -> Self {
        let number = |name: &str| -> Option<u32> {
            status.metadata().get(name)?.to_str().ok()?.parse().ok()
        };
        let noted = number(KIND_METADATA).and_then(ErrorKind::from_code);
        let kind = noted.unwrap_or_else(|| match status.code() {
            Code::InvalidArgument | Code::Unauthenticated | Code::PermissionDenied => {
                ErrorKind::Invalid
            }
            Code::NotFound => ErrorKind::NotFound,
            Code::Aborted | Code::AlreadyExists | Code::FailedPrecondition => ErrorKind::Conflict,
            Code::ResourceExhausted => ErrorKind::LimitExceeded,
            Code::DataLoss => ErrorKind::Corrupt,
            Code::OutOfRange | Code::Unimplemented => ErrorKind::Internal,
            // A broken connection is told as unknown; one that speaks something else, as internal.
            _ => ErrorKind::Unavailable,
        });
        Self {
            kind,
            message: text(&status),
            retry_after: number(RETRY_METADATA).map(|ms| Duration::from_millis(ms.into())),
            is_answered: noted.is_some() || kind != ErrorKind::Unavailable,
        }
    }
}

/// What happened, with its causes: the transport's own texts say little.
fn text(status: &Status) -> String {
    let mut text = status.message().to_owned();
    let mut cause = std::error::Error::source(status);
    while let Some(error) = cause {
        let more = error.to_string();
        if !text.contains(&more) {
            text = if text.is_empty() { more } else { format!("{text}: {more}") };
        }
        cause = error.source();
    }
    if text.is_empty() { status.code().description().to_owned() } else { text }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn failures_travel() {
        for kind in (1..).map_while(ErrorKind::from_code) {
            let error = Error::new(kind, "why").retry_after(Some(Duration::from_millis(1500)));
            assert_eq!(Error::from(Status::from(error.clone())), error);
        }
    }

    #[test]
    fn what_nobody_answered_is_told_apart() {
        for code in [Code::Unavailable, Code::Unknown, Code::Cancelled, Code::DeadlineExceeded] {
            let error = Error::from(Status::new(code, "cut"));
            assert_eq!((error.kind, error.is_answered), (ErrorKind::Unavailable, false));
        }
        assert!(Error::from(Status::unimplemented("no")).is_answered);
    }
}
