//! Why a query has no answer.
//!
//! The texts of the first group are the ones Loki's clients know and match on; what each kind of
//! failure means for the caller is in [`QueryError::kind`].

use std::time::Duration;

use model::ErrorKind;
use model::units::format_prometheus_duration;

use super::control::CancelReason;
use crate::pipeline::PipelineError;
use crate::source::SourceError;

/// Why a query has no answer.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
#[non_exhaustive]
pub enum QueryError {
    /// The query was asked to stop.
    #[error("{}", cancel_text(*.0))]
    Cancelled(CancelReason),
    /// The answer has too many series: reduce them, or raise the limit.
    #[error(
        "maximum number of series ({limit}) reached for a single query; consider reducing query \
         cardinality by adding more specific stream selectors, reducing the time range, or \
         aggregating results with functions like sum(), count() or topk()"
    )]
    SeriesLimit {
        /// The limit that was reached.
        limit: u32,
    },
    /// More entries are asked for than one query may return.
    #[error(
        "max entries limit per query exceeded, limit > max_entries_limit_per_query \
         ({asked} > {limit})"
    )]
    EntriesLimit {
        /// What the query asked for.
        asked: u32,
        /// The limit.
        limit: u32,
    },
    /// A `[range]` is longer than allowed.
    #[error("[interval] value exceeds limit: [{}] > [{}]", prometheus(*.asked_ns), prometheus(*.limit_ns))]
    RangeLimit {
        /// The range, in nanoseconds.
        asked_ns: i64,
        /// The limit, in nanoseconds.
        limit_ns: i64,
    },
    /// The query's buffers would hold too much: narrow the query, or raise the limit.
    #[error(
        "query needs more than {limit_bytes} bytes of memory (the limit for one query); select \
         fewer streams, a shorter time range, or fewer series"
    )]
    MemoryLimit {
        /// The limit, in bytes.
        limit_bytes: u64,
    },
    /// A stage or a conversion failed on some line of a metric query.
    #[error("{}", pipeline_text(.error, .series))]
    Pipeline {
        /// The value of `__error__`.
        error: String,
        /// The labels of the series, printed.
        series: String,
    },
    /// The stages of the query do not work as written.
    #[error("{0}")]
    Stage(#[from] PipelineError),
    /// The expression asks for something that its kind of query cannot give.
    #[error("{0}")]
    Unsupported(String),
    /// The operands of a binary operator do not match one to one.
    #[error("{0}")]
    Matching(&'static str),
    /// The function is not enabled for this tenant.
    #[error("{0} is not enabled for this tenant")]
    Disabled(&'static str),
    /// The source could not give its rows.
    #[error("{}", .0.message)]
    Source(SourceError),
}

impl QueryError {
    /// What the caller does about it.
    ///
    /// [`QueryError::Matching`] and [`QueryError::Disabled`] are the user's mistakes, yet Loki
    /// answers them with status 500 and so must whoever is compatible with it; hence their kind.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Cancelled(_) => ErrorKind::Unavailable,
            Self::Matching(_) | Self::Disabled(_) => ErrorKind::Internal,
            Self::Source(source) => source.kind,
            Self::SeriesLimit { .. }
            | Self::EntriesLimit { .. }
            | Self::RangeLimit { .. }
            | Self::MemoryLimit { .. }
            | Self::Pipeline { .. }
            | Self::Stage(_)
            | Self::Unsupported(_) => ErrorKind::Invalid,
        }
    }
}

impl From<SourceError> for QueryError {
    fn from(source: SourceError) -> Self {
        Self::Source(source)
    }
}

fn cancel_text(reason: CancelReason) -> &'static str {
    match reason {
        CancelReason::Deadline => {
            "request timed out: shorten the time range, or add label matchers so that the query \
             reads less"
        }
        CancelReason::ClientGone => "the request was cancelled by the client",
        CancelReason::Shutdown => "the server is stopping, send the query again",
    }
}

/// Loki's text, with its hints on how to leave such lines out.
fn pipeline_text(error: &str, series: &str) -> String {
    format!(
        "pipeline error: '{error}' for series: '{series}'.\n\
         Use a label filter to intentionally skip this error. (e.g | __error__!=\"{error}\").\n\
         To skip all potential errors you can match empty errors.(e.g __error__=\"\")\n\
         The label filter can also be specified after unwrap. (e.g | unwrap latency | __error__=\"\" )"
    )
}

fn prometheus(ns: i64) -> String {
    format_prometheus_duration(Duration::from_nanos(u64::try_from(ns).unwrap_or(0)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn pipeline_errors_say_how_to_skip_them() {
        let error =
            QueryError::Pipeline { error: "JSONParserErr".into(), series: "{a=\"b\"}".into() };
        let text = error.to_string();
        assert!(text.starts_with("pipeline error: 'JSONParserErr' for series: '{a=\"b\"}'.\nUse"));
        assert!(text.ends_with("(e.g | unwrap latency | __error__=\"\" )"));
        assert_eq!(error.kind(), ErrorKind::Invalid);
    }
}
