//! The engine: from an expression and a source to an answer.
//!
//! Log queries ([`log`]) order the pieces of the source by time and stop as soon as the limit is
//! certain. Metric queries ([`metric`]) are a tree: range aggregations at the leaves read rows or
//! cells once and put samples into the spans between window edges; everything above them works on
//! whole series. Both read rows through [`scan`], which runs the pipeline and drops copies, on the
//! threads of [`workers`].
//!
//! Invariants: an answer does not depend on how rows are cut into pieces, on the order of pieces,
//! or on the number of threads (sums may differ in the last bit). Every loop over rows looks at
//! the [`Control`], and every buffer that grows with the data is charged to its memory budget.

pub mod compose;
pub mod control;
pub mod error;

mod log;
mod metric;

mod copies;
mod scan;
mod shard;
mod workers;

mod accumulate;
mod cells;
mod range;
mod read;
mod series;
mod timeline;
mod window;

mod aggregate;
mod binary;
mod frame;
mod replace;

pub mod memory;

use model::answer::Answer;
use model::{Direction, Timestamp};

use crate::source::{Shard, Source};
use crate::syntax::ast::Expr;

use control::Meter;
pub use control::{CancelReason, Control};
pub use error::QueryError;
pub use frame::print as print_labels;
pub use scan::check_columns;
use shard::ShardSource;

/// What to evaluate the expression for.
#[derive(Debug, Clone)]
pub struct Params {
    /// First step of a metric query; first instant of a log query.
    pub start: Timestamp,
    /// Last step may lie here (inclusive) for a metric query; first instant after a log query.
    pub end: Timestamp,
    /// Nanoseconds between steps; 0 asks for one evaluation at `start`. Unused by log queries.
    pub step_ns: i64,
    /// Log queries leave out entries nearer than this to the last one kept; 0 keeps all.
    pub interval_ns: i64,
    /// At multiples of this, `interval_ns` begins anew; 0 for never.
    pub split_ns: i64,
    /// The order of a log query's entries.
    pub direction: Direction,
    /// How many entries a log query returns at most.
    pub limit: u32,
    /// Whether a log query tells labels of the stream, of metadata and of parsers apart.
    pub categorize: bool,
    /// How many threads may work on the query; 0 and 1 both mean the caller's own.
    pub threads: usize,
    /// Which part of the streams to look at; `None` for all.
    pub shard: Option<Shard>,
}

/// The most that one query may ask for or use. Zero turns a limit off.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Series in a metric query's answer (`max_query_series`).
    pub max_query_series: u32,
    /// Entries in a log query's answer (`max_entries_limit_per_query`).
    pub max_entries: u32,
    /// Longest `[range]` of a metric query, in nanoseconds (`max_query_range`).
    pub max_range_ns: i64,
    /// Bytes that the query's own buffers may hold at once.
    pub max_memory_bytes: u64,
    /// Whether `approx_topk` is allowed (`shard_aggregations`).
    pub approx_topk: bool,
}

/// Loki's defaults, and half a gigabyte of memory.
impl Default for Limits {
    fn default() -> Self {
        Self {
            max_query_series: 500,
            max_entries: 5000,
            max_range_ns: 0,
            max_memory_bytes: 512 << 20,
            approx_topk: false,
        }
    }
}

/// Evaluates a query over the rows of a source.
///
/// # Errors
///
/// [`QueryError`]; its kind says what the caller does about it.
pub fn evaluate(
    expr: &Expr,
    params: &Params,
    source: &dyn Source,
    control: &Control,
    limits: &Limits,
) -> Result<Answer, QueryError> {
    let meter = Meter::new(control, limits.max_memory_bytes);
    meter.check()?;
    let sharded = params.shard.map(|shard| ShardSource::new(source, shard));
    let source = sharded.as_ref().map_or(source, |sharded| sharded as &dyn Source);
    let (value, stats) = match expr {
        Expr::Log(log) => log::evaluate(log, params, source, meter, limits)?,
        Expr::Metric(metric) => metric::evaluate(metric, params, source, meter, limits)?,
    };
    let mut warnings = source.warnings();
    warnings.sort();
    warnings.dedup();
    Ok(Answer { value, stats, warnings })
}

#[cfg(test)]
mod tests;
