//! What a failed request is answered: the one place that derives HTTP codes.
//!
//! Bodies are plain text. Those of the push path and of middleware end with a newline and those of
//! the query path do not; clients compare both. Texts are written by whoever knows the cause.

use std::time::Duration;

use http::{HeaderValue, StatusCode, header};
use model::ErrorKind;

use super::response::{self, Response};

/// A request that is answered with an error.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct HttpError {
    /// The status code.
    pub status: StatusCode,
    /// The body.
    pub body: String,
    /// How long the client should wait before it tries again.
    pub retry_after: Option<Duration>,
}

/// The status of a client that went away before its answer, as nginx and Loki count it.
pub const CLIENT_CLOSED_REQUEST: u16 = 499;

impl HttpError {
    /// An error of the query path: the text alone.
    pub fn text(status: StatusCode, text: impl Into<String>) -> Self {
        Self { status, body: text.into(), retry_after: None }
    }

    /// An error of the push path or of middleware: the text and a newline.
    pub fn line(status: StatusCode, text: impl Into<String>) -> Self {
        let mut body = text.into();
        body.push('\n');
        Self { status, body, retry_after: None }
    }

    /// A wrong request of the query path.
    pub fn bad_request(text: impl Into<String>) -> Self {
        Self::text(StatusCode::BAD_REQUEST, text)
    }

    /// An error of the query path, by what the caller does about it.
    pub fn of_kind(kind: ErrorKind, text: impl Into<String>) -> Self {
        Self::text(status(kind), text)
    }

    /// A part of the process is not there yet, or not any more.
    pub fn unavailable(text: impl Into<String>) -> Self {
        let retry_after = Some(Duration::from_secs(1));
        Self { retry_after, ..Self::line(StatusCode::SERVICE_UNAVAILABLE, text) }
    }

    /// The same error, asking the client to wait that long.
    #[must_use]
    pub fn retry_after(mut self, wait: Option<Duration>) -> Self {
        self.retry_after = wait;
        self
    }

    /// The answer.
    #[must_use]
    pub fn into_response(self) -> Response {
        let mut answer = response::text(self.status, self.body);
        let headers = answer.headers_mut();
        headers.insert(header::X_CONTENT_TYPE_OPTIONS, HeaderValue::from_static("nosniff"));
        if let Some(wait) = self.retry_after {
            let seconds = wait.as_secs() + u64::from(wait.subsec_nanos() > 0);
            headers.insert(header::RETRY_AFTER, HeaderValue::from(seconds.max(1)));
        }
        answer
    }
}

/// The status code of a kind of failure.
#[must_use]
pub fn status(kind: ErrorKind) -> StatusCode {
    match kind {
        ErrorKind::Invalid => StatusCode::BAD_REQUEST,
        ErrorKind::NotFound => StatusCode::NOT_FOUND,
        ErrorKind::Conflict => StatusCode::CONFLICT,
        ErrorKind::LimitExceeded => StatusCode::TOO_MANY_REQUESTS,
        ErrorKind::Unavailable => StatusCode::SERVICE_UNAVAILABLE,
        ErrorKind::Corrupt | ErrorKind::Internal => StatusCode::INTERNAL_SERVER_ERROR,
    }
}

/// A status code from its number; 500 for a number that is none.
#[must_use]
pub fn code(number: u16) -> StatusCode {
    StatusCode::from_u16(number).unwrap_or(StatusCode::INTERNAL_SERVER_ERROR)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn errors_are_plain_text() {
        let error =
            HttpError::unavailable("starting").retry_after(Some(Duration::from_millis(1500)));
        let answer = error.into_response();
        assert_eq!(answer.status(), 503);
        assert_eq!(answer.headers()["content-type"], "text/plain; charset=utf-8");
        assert_eq!(answer.headers()["x-content-type-options"], "nosniff");
        assert_eq!(answer.headers()["retry-after"], "2");
        assert_eq!(HttpError::line(StatusCode::BAD_REQUEST, "x").body, "x\n");
        assert_eq!(HttpError::bad_request("x").body, "x");
    }
}
