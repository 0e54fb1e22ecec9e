//! Metric queries: leaves from pieces, and what is around them.

use std::sync::Arc;
use std::time::Duration;

use logql::Expr;
use logql::eval::Control;
use logql::eval::compose::{Known, check, compose};
use logql::request::QueryTime;
use model::ErrorKind;
use model::answer::{Answer, QueryStats, Value};
use runtime::task;

use super::pieces::Pieces;
use super::{Job, nanos, with_warnings};
use crate::limits::Limits;
use crate::merge::join_values;
use crate::plan::{Leaf, MetricPlan, nodes};
use crate::task::TaskError;

pub(super) async fn answer(
    pieces: &Pieces<'_>,
    job: &Job,
    plan: &MetricPlan,
    limits: &Limits,
) -> Result<(Answer, Duration), TaskError> {
    let params = job.query.params(nanos(limits.split_interval));
    let limits = logql::eval::Limits {
        max_query_series: limits.max_query_series,
        max_entries: 0,
        max_range_ns: nanos(limits.max_query_range),
        max_memory_bytes: limits.max_memory_bytes,
        approx_topk: limits.approx_topk,
    };
    if let Expr::Metric(metric) = &*job.expr {
        check(metric, &params, &limits)?;
    }
    let mut stats = QueryStats::default();
    let mut warnings = Vec::new();
    let mut waited = Duration::ZERO;
    let mut values = Vec::with_capacity(plan.pieces.len());
    for ran in pieces.answers(&plan.pieces).await? {
        let own = ran.timed.answer;
        if !ran.was_cached {
            stats.add(&own.stats);
            waited = waited.max(ran.timed.waited);
        }
        warnings.extend(own.warnings);
        values.push(own.value);
    }
    let (expr, leaves, time) = (Arc::clone(&job.expr), plan.leaves.clone(), job.query.time);
    let composed = task::run_blocking(move || {
        let Expr::Metric(metric) = &*expr else { return Err(TaskError::unexpected_answer()) };
        let nodes = nodes(metric);
        let values = leaf_values(&leaves, values, time);
        let known = leaves.iter().zip(values).filter_map(|(leaf, value)| {
            Some(Known { part: nodes.get(leaf.node).copied()?, value })
        });
        Ok(compose(metric, &params, known.collect(), &Control::new(), &limits)?)
    });
    let composed = composed
        .await
        .map_err(|panic| TaskError::new(ErrorKind::Internal, panic.to_string()))??;
    stats.entries_returned = composed.stats.entries_returned;
    Ok((with_warnings(Answer { stats, ..composed }, warnings), waited))
}

/// The value of each leaf.
fn leaf_values(leaves: &[Leaf], mut values: Vec<Value>, time: QueryTime) -> Vec<Value> {
    let instant = time.instant();
    let mut uses = vec![0usize; values.len()];
    leaves.iter().flat_map(|leaf| &leaf.pieces).for_each(|at| uses[*at] += 1);
    let nothing = || Value::Vector(Vec::new());
    let mut leaf_value = |leaf: &Leaf| {
        let own = leaf.pieces.iter().map(|at| {
            uses[*at] -= 1;
            // The last who needs a value takes it.
            match uses[*at] {
                0 => std::mem::replace(&mut values[*at], nothing()),
                _ => values[*at].clone(),
            }
        });
        join_values(own.collect(), leaf.join, leaf.divisor, instant)
    };
    leaves.iter().map(&mut leaf_value).collect()
}
