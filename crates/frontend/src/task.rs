//! What a frontend asks of whoever executes, and what comes back.

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use logql::eval::CancelReason;
use logql::request::QueryRequest;
use model::answer::Answer;
use model::{ErrorKind, TenantId, TimeRange};

/// Something to execute.
#[derive(Debug, Clone, PartialEq)]
pub struct Task {
    /// Whose rows; sorted and distinct, never empty.
    pub tenants: Vec<TenantId>,
    /// Who of the tenant asks (`X-Loki-Actor-Path`), from the outermost group inwards.
    pub actor: Vec<String>,
    /// What to do.
    pub work: Work,
}

/// What a task asks for.
#[derive(Debug, Clone, PartialEq)]
pub enum Work {
    /// A query's answer: [`TaskAnswer::Answer`].
    Query(QueryRequest),
    /// Whether a whole query is allowed, and which rows stand in some ranges:
    /// [`TaskAnswer::Versions`].
    Versions {
        /// The whole query.
        query: QueryRequest,
        /// The ranges; half open.
        ranges: Vec<TimeRange>,
    },
    /// Any other request: [`TaskAnswer::Http`].
    Http(HttpRequest),
}

/// A request that a querier's own handlers answer.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HttpRequest {
    /// `GET`, `POST`, …
    pub method: String,
    /// The path, with the query if there is one.
    pub path_and_query: String,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// The response to a [`HttpRequest`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct HttpResponse {
    /// The status code.
    pub status: u16,
    /// Names and values.
    pub headers: Vec<(String, String)>,
    /// The body.
    pub body: Bytes,
}

/// What a task came to.
#[derive(Debug, Clone, PartialEq)]
pub enum TaskAnswer {
    /// To [`Work::Query`].
    Answer(Timed),
    /// To [`Work::Versions`]: one for each range.
    Versions(Vec<Version>),
    /// To [`Work::Http`].
    Http(HttpResponse),
}

/// An answer, and how long it took.
#[derive(Debug, Clone, PartialEq)]
pub struct Timed {
    /// The answer.
    pub answer: Answer,
    /// Time spent waiting for a turn.
    pub waited: Duration,
    /// Time spent working.
    pub worked: Duration,
}

/// The rows of a range at one moment.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct Version {
    /// Identifies the rows of the query's streams in the range; equal only if they are the same.
    /// `None` while some of them are not in segments, or about to expire.
    pub hash: Option<u64>,
    /// Stored bytes of the segments that overlap the range.
    pub stored_bytes: u64,
}

/// Why a task has no answer.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct TaskError {
    /// What the caller does about it.
    pub kind: ErrorKind,
    /// What happened, for the user.
    pub message: String,
    /// Why the task was stopped from outside, if it was.
    pub stopped: Option<CancelReason>,
    /// Whether another worker may succeed.
    pub retryable: bool,
}

impl TaskError {
    /// An error that stays whoever tries.
    #[must_use]
    pub fn new(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { kind, message: message.into(), stopped: None, retryable: false }
    }

    /// An error that another worker may not have.
    #[must_use]
    pub fn retryable(kind: ErrorKind, message: impl Into<String>) -> Self {
        Self { retryable: true, ..Self::new(kind, message) }
    }

    /// The end of a task that was asked to stop.
    #[must_use]
    pub fn stopped(reason: CancelReason) -> Self {
        let message = logql::eval::QueryError::Cancelled(reason).to_string();
        Self { stopped: Some(reason), ..Self::new(ErrorKind::Unavailable, message) }
    }

    /// The refusal of a tenant that has too many requests waiting.
    #[must_use]
    pub fn too_many_outstanding() -> Self {
        Self::new(ErrorKind::LimitExceeded, "too many outstanding requests")
    }

    pub(crate) fn unexpected_answer() -> Self {
        Self::new(ErrorKind::Internal, "the worker answered another question")
    }
}

impl From<logql::eval::QueryError> for TaskError {
    fn from(error: logql::eval::QueryError) -> Self {
        match error {
            logql::eval::QueryError::Cancelled(reason) => Self::stopped(reason),
            other => Self::new(other.kind(), other.to_string()),
        }
    }
}

/// Who executes tasks: the querier of this process, or queriers behind a scheduler.
pub trait Executor: Send + Sync {
    /// Executes a task. Dropping the future cancels it wherever it is.
    fn run(&self, task: Task) -> BoxFuture<'_, Result<TaskAnswer, TaskError>>;
}
