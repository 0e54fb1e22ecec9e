//! Metric queries: a tree of operations over series.

use model::answer::{QueryStats, ResultLabels, Sample, Series, Value, VectorSample};

use super::aggregate::aggregate;
use super::binary::{Operand, combine};
use super::control::Meter;
use super::error::QueryError;
use super::frame::{Frame, FrameSeries, Points, SeriesLabels};
use super::range::{self, Surroundings, reduction};
use super::replace::label_replace;
use super::window::Steps;
use super::{Limits, Params};
use crate::pipeline::Reduction;
use crate::source::Source;
use crate::syntax::ast::{
    Grouping, MetricExpr, RangeAggregation, RangeOp, VectorAggregation, VectorOp,
};

/// Evaluates a metric query.
///
/// # Errors
///
/// Any [`QueryError`].
pub fn evaluate(
    expr: &MetricExpr,
    params: &Params,
    source: &dyn Source,
    meter: Meter<'_>,
    limits: &Limits,
) -> Result<(Value, QueryStats), QueryError> {
    evaluate_over(expr, params, Given { source, known: Vec::new() }, meter, limits)
}

/// What a metric query is evaluated over.
pub struct Given<'a> {
    /// Rows.
    pub source: &'a dyn Source,
    /// Nodes of the expression, told by their addresses, whose values are there already.
    pub known: Vec<(&'a MetricExpr, Frame)>,
}

/// Evaluates a metric query of which some nodes may be known.
///
/// # Errors
///
/// Any [`QueryError`].
pub fn evaluate_over<'a>(
    expr: &'a MetricExpr,
    params: &Params,
    Given { source, known }: Given<'a>,
    meter: Meter<'a>,
    limits: &Limits,
) -> Result<(Value, QueryStats), QueryError> {
    let steps = Steps::new(params)?;
    check(expr, &steps, limits)?;
    let surroundings = Surroundings { source, steps, meter, threads: params.threads };
    let stats = QueryStats::default();
    let limit = limits.max_query_series;
    let mut evaluation = Evaluation {
        surroundings,
        stats,
        repeated: repeated(expr),
        known,
        leaves: Vec::new(),
        max_series: limit,
        split_ns: params.split_ns,
    };
    let value = match evaluation.operand(expr)? {
        Operand::Number(value) if steps.is_instant() => {
            Value::Scalar(Sample { timestamp: steps.time(0), value })
        }
        Operand::Number(value) => matrix(constant(value, &steps), &steps),
        Operand::Frame(frame) if steps.is_instant() => vector(frame, &steps, keeps_order(expr)),
        Operand::Frame(frame) => matrix(frame, &steps),
    };
    let (series, samples) = match &value {
        Value::Vector(samples) => (samples.len(), samples.len()),
        Value::Matrix(series) => (series.len(), series.iter().map(|s| s.samples.len()).sum()),
        _ => (0, 1),
    };
    if limit != 0 && series > limit as usize {
        return Err(QueryError::SeriesLimit { limit });
    }
    evaluation.stats.entries_returned = samples as u64;
    Ok((value, evaluation.stats))
}

/// Refuses what cannot be evaluated before anything is read.
///
/// # Errors
///
/// [`QueryError::Disabled`], [`QueryError::Unsupported`] and [`QueryError::RangeLimit`].
pub fn check(expr: &MetricExpr, steps: &Steps, limits: &Limits) -> Result<(), QueryError> {
    let mut sketches = false;
    expr.visit(&mut |inner| {
        sketches |= matches!(inner, MetricExpr::Vector(v) if v.op == VectorOp::ApproxTopk);
    });
    if sketches && !limits.approx_topk {
        return Err(QueryError::Disabled("approx_topk"));
    }
    if sketches && !steps.is_instant() {
        let text = "count min sketches are only supported on instant queries";
        return Err(QueryError::Unsupported(text.to_owned()));
    }
    let longest = expr.ranges().iter().map(|range| range.range_ns).max().unwrap_or(0);
    if limits.max_range_ns > 0 && longest > limits.max_range_ns {
        return Err(QueryError::RangeLimit { asked_ns: longest, limit_ns: limits.max_range_ns });
    }
    Ok(())
}

struct Evaluation<'a> {
    surroundings: Surroundings<'a>,
    stats: QueryStats,
    /// Range aggregations that the query names more than once.
    repeated: Vec<&'a RangeAggregation>,
    /// Those of them that are evaluated already.
    leaves: Vec<(&'a RangeAggregation, Reduction, Frame)>,
    /// Nodes whose value was there before.
    known: Vec<(&'a MetricExpr, Frame)>,
    max_series: u32,
    split_ns: i64,
}

impl<'a> Evaluation<'a> {
    fn operand(&mut self, expr: &'a MetricExpr) -> Result<Operand, QueryError> {
        if let Some(at) = self.known_at(expr) {
            return Ok(Operand::Frame(std::mem::take(&mut self.known[at].1)));
        }
        Ok(Operand::Frame(match expr {
            MetricExpr::Literal(value) => return Ok(Operand::Number(*value)),
            MetricExpr::Constant(value) => constant(*value, &self.surroundings.steps),
            MetricExpr::Range(aggregation) => {
                let reduction = match aggregation.op {
                    RangeOp::Absent => Reduction::Nothing,
                    _ => reduction(aggregation.grouping.as_ref()),
                };
                self.leaf(aggregation, reduction)?
            }
            MetricExpr::Vector(aggregation) => {
                let inner = match pushed_down(aggregation) {
                    Some((leaf, reduction)) if self.known_at(&aggregation.inner).is_none() => {
                        self.leaf(leaf, reduction)?
                    }
                    _ => self.frame(&aggregation.inner)?,
                };
                aggregate(aggregation, inner, &self.surroundings.steps, self.surroundings.meter)?
            }
            MetricExpr::LabelReplace(replace) => {
                let inner = self.frame(&replace.inner)?;
                label_replace(replace, inner)?
            }
            MetricExpr::Binary(operation) => {
                let right = self.side(&operation.right)?;
                let left = self.side(&operation.left)?;
                return combine(operation, left, right, self.surroundings.steps.count());
            }
        }))
    }

    /// Where a node stands among the known ones. Nodes are told by address: equal expressions may
    /// stand in a query twice, and each takes its own value.
    fn known_at(&self, expr: &MetricExpr) -> Option<usize> {
        self.known.iter().position(|(known, _)| std::ptr::eq(*known, expr))
    }

    /// One side of a binary operator, which may have as many series as a whole query: in Loki it is
    /// one, unless it is an instant query that is split by time.
    fn side(&mut self, expr: &'a MetricExpr) -> Result<Operand, QueryError> {
        let side = self.operand(expr)?;
        let is_part = self.surroundings.steps.is_instant() && is_split(expr, self.split_ns);
        let limit = self.max_series;
        match &side {
            // Both sides of an inner operator were counted already.
            _ if matches!(expr, MetricExpr::Binary(_)) || is_part || limit == 0 => Ok(side),
            Operand::Frame(frame) if frame.series.len() > limit as usize => {
                Err(QueryError::SeriesLimit { limit })
            }
            _ => Ok(side),
        }
    }

    /// An operand as series; a bare number becomes one series without labels.
    fn frame(&mut self, expr: &'a MetricExpr) -> Result<Frame, QueryError> {
        Ok(match self.operand(expr)? {
            Operand::Frame(frame) => frame,
            Operand::Number(value) => constant(value, &self.surroundings.steps),
        })
    }

    fn leaf(
        &mut self,
        aggregation: &'a RangeAggregation,
        reduction: Reduction,
    ) -> Result<Frame, QueryError> {
        let is_same = |known: &&(&RangeAggregation, Reduction, Frame)| {
            known.0 == aggregation && known.1 == reduction
        };
        if let Some((_, _, frame)) = self.leaves.iter().find(is_same) {
            return Ok(frame.clone());
        }
        let frame =
            range::evaluate(aggregation, reduction.clone(), self.surroundings, &mut self.stats)?;
        if self.repeated.contains(&aggregation) {
            self.leaves.push((aggregation, reduction, frame.clone()));
        }
        Ok(frame)
    }
}

/// Whether Loki cuts an instant query into parts of `split_ns`.
fn is_split(expr: &MetricExpr, split_ns: i64) -> bool {
    let mut splits = false;
    expr.visit(&mut |inner| {
        let MetricExpr::Range(leaf) = inner else { return };
        let adds_up = matches!(
            leaf.op,
            RangeOp::Count
                | RangeOp::Rate
                | RangeOp::Bytes
                | RangeOp::BytesRate
                | RangeOp::Sum
                | RangeOp::Min
                | RangeOp::Max
        );
        splits |= adds_up && split_ns > 0 && leaf.range.range_ns > split_ns;
    });
    splits
}

/// The range aggregations that stand in an expression more than once.
fn repeated(expr: &MetricExpr) -> Vec<&RangeAggregation> {
    let mut all = Vec::new();
    expr.visit(&mut |inner| {
        if let MetricExpr::Range(aggregation) = inner {
            all.push(aggregation);
        }
    });
    let seen_before = |(at, leaf): &(usize, &RangeAggregation)| all[..*at].contains(leaf);
    all.iter().copied().enumerate().filter(seen_before).map(|(_, leaf)| leaf).collect()
}

/// The range aggregation right inside a `sum` whose grouping may be applied to rows already: the
/// sum of sums over fewer labels is the same sum.
fn pushed_down(outer: &VectorAggregation) -> Option<(&RangeAggregation, Reduction)> {
    let MetricExpr::Range(leaf) = &*outer.inner else { return None };
    let adds_up = matches!(
        leaf.op,
        RangeOp::Count | RangeOp::Rate | RangeOp::Bytes | RangeOp::BytesRate | RangeOp::Sum
    );
    if outer.op != VectorOp::Sum || !adds_up || leaf.grouping.is_some() {
        return None;
    }
    let everything = Grouping { without: false, labels: Vec::new() };
    Some((leaf, reduction(Some(outer.grouping.as_ref().unwrap_or(&everything)))))
}

/// One series without labels that has the value at every step.
fn constant(value: f64, steps: &Steps) -> Frame {
    let points = Points::constant(value, steps.count());
    Frame { series: vec![FrameSeries { labels: SeriesLabels::default(), points }] }
}

/// Whether the order of an instant query's samples is one that the query asks for.
fn keeps_order(expr: &MetricExpr) -> bool {
    let mut sorts = false;
    expr.visit(&mut |inner| {
        let MetricExpr::Vector(aggregation) = inner else { return };
        sorts |= matches!(aggregation.op, VectorOp::Sort | VectorOp::SortDesc);
    });
    sorts
}

fn vector(mut frame: Frame, steps: &Steps, keeps_order: bool) -> Value {
    if !keeps_order {
        frame.series.sort_by(|a, b| a.labels.cmp(&b.labels));
    }
    let sample = |series: FrameSeries| {
        let (step, value) = series.points.iter().next()?;
        let sample = Sample { timestamp: steps.time(step), value };
        Some(VectorSample { labels: owned(series.labels), sample })
    };
    Value::Vector(frame.series.into_iter().filter_map(sample).collect())
}

/// Series in the order of their labels; series with equal labels become one.
fn matrix(mut frame: Frame, steps: &Steps) -> Value {
    frame.series.retain(|series| !series.points.is_empty());
    frame.series.sort_by(|a, b| a.labels.cmp(&b.labels));
    let mut joined: Vec<FrameSeries> = Vec::with_capacity(frame.series.len());
    for series in frame.series {
        match joined.last_mut() {
            Some(last) if last.labels == series.labels => {
                last.points = last.points.merged_with(&series.points);
            }
            _ => joined.push(series),
        }
    }
    let series = joined.into_iter().map(|series| Series {
        samples: series
            .points
            .iter()
            .map(|(step, value)| Sample { timestamp: steps.time(step), value })
            .collect(),
        labels: owned(series.labels),
    });
    Value::Matrix(series.collect())
}

fn owned(labels: SeriesLabels) -> ResultLabels {
    SeriesLabels::try_unwrap(labels).unwrap_or_else(|shared| (*shared).clone())
}
