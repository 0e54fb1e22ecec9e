//! How a query is cut into pieces, and what puts their answers together.
//!
//! Nothing here reads, waits or asks: a plan is made from the query alone. A metric query becomes
//! its own expression with *leaves*: inner expressions whose values are put together from pieces,
//! while everything around them is evaluated over those values by the engine itself
//! ([`logql::eval::compose`]). A log query becomes a list of pieces in the order of its direction.
//!
//! A leaf is cut by *time* (steps of a range query; windows of an instant one) and by *stream*. The
//! rule that joins the pieces of a leaf holds whatever labels they have, because values of equal
//! labels and time are joined, never just listed. Where no such rule is known the leaf is not cut by
//! stream, and where nothing can be cut there is no plan: the query runs as it is.

mod leaf;
mod log;
mod time;

use logql::request::{QueryRequest, QueryTime};
use logql::syntax::ast::{Expr, MetricExpr};
use model::TimeRange;

/// Most pieces of one query; longer queries have longer pieces.
pub const PIECES_MAX: i64 = 1024;

/// Steps nearer than this cannot be told apart in answers, which carry milliseconds.
const STEP_MIN_NS: i64 = 1_000_000;

/// Into what queries are cut.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Splits {
    /// Pieces end at multiples of this, in nanoseconds; 0 does not cut by time.
    pub interval_ns: i64,
    /// Parts of the streams; 0 and 1 do not cut by stream.
    pub shards: u32,
}

/// A query in pieces.
#[derive(Debug, Clone, PartialEq)]
pub enum Plan {
    /// A log query.
    Log(LogPlan),
    /// A metric query.
    Metric(MetricPlan),
}

/// The pieces of a log query, in the order of its direction. Each holds the answer to its time.
#[derive(Debug, Clone, PartialEq)]
pub struct LogPlan {
    /// Pieces by time.
    pub pieces: Vec<Piece>,
    /// Into how many parts of the streams each may be cut; at least 1.
    pub shards: u32,
}

/// The leaves of a metric query.
#[derive(Debug, Clone, PartialEq)]
pub struct MetricPlan {
    /// Every piece, each once.
    pub pieces: Vec<Piece>,
    /// What is put together from them.
    pub leaves: Vec<Leaf>,
}

/// An inner expression in pieces.
#[derive(Debug, Clone, PartialEq)]
pub struct Leaf {
    /// The expression, by its place in [`MetricExpr::visit`]'s order.
    pub node: usize,
    /// How values of equal labels and time are joined.
    pub join: Join,
    /// What the joined values are divided by: the seconds of a rate.
    pub divisor: Option<f64>,
    /// Indices of the pieces, in order of time.
    pub pieces: Vec<usize>,
}

/// How values of equal labels and time are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Join {
    /// There are none in different pieces; those of one piece stay as they are.
    Keep,
    /// They are added.
    Sum,
    /// The smallest; not a number only if all are not.
    Min,
    /// The largest; not a number only if all are not.
    Max,
}

/// A query to run.
#[derive(Debug, Clone, PartialEq)]
pub struct Piece {
    /// The query.
    pub query: QueryRequest,
    /// The time whose rows decide its answer.
    pub reads: TimeRange,
}

impl Plan {
    /// Every piece, each once.
    #[must_use]
    pub fn pieces(&self) -> &[Piece] {
        match self {
            Self::Log(plan) => &plan.pieces,
            Self::Metric(plan) => &plan.pieces,
        }
    }
}

/// Cuts a query; `None` when it is to run as it is.
///
/// A plan may have a single piece, which is what caches want.
#[must_use]
pub fn plan(expr: &Expr, query: &QueryRequest, splits: Splits) -> Option<Plan> {
    match (expr, query.time) {
        (Expr::Log(log), QueryTime::Range { start, end, .. }) => {
            log::plan(log, query, TimeRange::new(start, end), splits).map(Plan::Log)
        }
        (Expr::Log(_), QueryTime::Instant(_)) => None,
        (Expr::Metric(metric), time) => plan_metric(metric, query, time, splits).map(Plan::Metric),
    }
}

/// The nodes of an expression in the order in which [`Leaf::node`] counts them.
#[must_use]
pub fn nodes(expr: &MetricExpr) -> Vec<&MetricExpr> {
    let mut nodes = Vec::new();
    expr.visit(&mut |node| nodes.push(node));
    nodes
}

fn plan_metric(
    expr: &MetricExpr,
    query: &QueryRequest,
    time: QueryTime,
    splits: Splits,
) -> Option<MetricPlan> {
    if let QueryTime::Range { start, end, step_ns } = time
        && (step_ns < STEP_MIN_NS || end < start)
    {
        return None;
    }
    let mut planner = leaf::Planner::new(query, time, splits);
    planner.visit(expr)?;
    planner.finish()
}

#[cfg(test)]
mod tests;
