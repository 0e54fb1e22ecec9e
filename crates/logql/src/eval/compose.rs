//! The outer part of a metric query over answers that are already at hand.
//!
//! A frontend that has cut a query into pieces puts the pieces of each inner expression together
//! and leaves everything around them to the engine, so that an operator means the same wherever it
//! is applied.

use std::sync::Arc;

use model::answer::{Answer, QueryStats, Value};
use model::{Matcher, TimeRange, Timestamp};

use super::control::{Control, Meter};
use super::error::QueryError;
use super::frame::{Frame, FrameSeries, Points};
use super::window::Steps;
use super::{Limits, Params, metric};
use crate::source::{Batch, Piece, Selection, Source, SourceError, StreamSummary, Want};
use crate::syntax::ast::MetricExpr;

/// An inner expression and its value.
#[derive(Debug)]
pub struct Known<'a> {
    /// A node of the expression that is composed; told by its address.
    pub part: &'a MetricExpr,
    /// Its answer at the same steps, or at the same instant.
    pub value: Value,
}

/// Evaluates a metric query whose range aggregations all lie inside known parts.
///
/// The answer's statistics count what it returns, and nothing else.
///
/// # Errors
///
/// [`QueryError`] as [`super::evaluate`]; [`QueryError::Source`] when a part is missing.
pub fn compose(
    expr: &MetricExpr,
    params: &Params,
    known: Vec<Known<'_>>,
    control: &Control,
    limits: &Limits,
) -> Result<Answer, QueryError> {
    let meter = Meter::new(control, limits.max_memory_bytes);
    let steps = Steps::new(params)?;
    let known = known.into_iter().map(|known| (known.part, frame(known.value, &steps)));
    let given = metric::Given { source: &NoRows, known: known.collect() };
    let (value, QueryStats { entries_returned, .. }) =
        metric::evaluate_over(expr, params, given, meter, limits)?;
    let stats = QueryStats { entries_returned, ..QueryStats::default() };
    Ok(Answer { value, stats, warnings: Vec::new() })
}

/// Refuses a metric query that its limits forbid, before any part of it is read.
///
/// # Errors
///
/// [`QueryError`], as [`super::evaluate`] would answer.
pub fn check(expr: &MetricExpr, params: &Params, limits: &Limits) -> Result<(), QueryError> {
    metric::check(expr, &Steps::new(params)?, limits)
}

/// A value as series over the steps.
fn frame(value: Value, steps: &Steps) -> Frame {
    let series = match value {
        Value::Vector(samples) => samples
            .into_iter()
            .map(|sample| {
                let mut points = Points::with_capacity(1);
                points.push(0, sample.sample.value);
                FrameSeries { labels: Arc::new(sample.labels), points }
            })
            .collect(),
        Value::Matrix(series) => series
            .into_iter()
            .map(|series| {
                let mut points = Points::with_capacity(series.samples.len());
                for sample in &series.samples {
                    if let Some(step) = steps.step_of(sample.timestamp) {
                        points.push(step, sample.value);
                    }
                }
                FrameSeries { labels: Arc::new(series.labels), points }
            })
            .collect(),
        Value::Streams(_) | Value::Scalar(_) => Vec::new(),
    };
    Frame { series }
}

/// What a composition reads: it is a fault when it reads anything.
struct NoRows;

impl NoRows {
    fn missing<T>() -> Result<T, SourceError> {
        let message = "a part of the query was not evaluated".to_owned();
        Err(SourceError { message, kind: model::ErrorKind::Internal })
    }
}

impl Source for NoRows {
    fn pieces(&self, _selection: &Selection) -> Result<Vec<Piece>, SourceError> {
        Self::missing()
    }

    fn load(&self, _piece: &Piece, _want: &Want) -> Result<Batch, SourceError> {
        Self::missing()
    }

    fn streams(
        &self,
        _matchers: &[Matcher],
        _range: TimeRange,
    ) -> Result<Vec<StreamSummary>, SourceError> {
        Self::missing()
    }
}

impl Steps {
    /// The step whose printed time this is; `None` for any other time. Steps must be at least a
    /// millisecond apart.
    fn step_of(&self, at: Timestamp) -> Option<u32> {
        let mut low = 0u32;
        let mut high = u32::try_from(self.count()).unwrap_or(u32::MAX);
        while low < high {
            let middle = low + (high - low) / 2;
            match self.time(middle).cmp(&at) {
                std::cmp::Ordering::Equal => return Some(middle),
                std::cmp::Ordering::Less => low = middle + 1,
                std::cmp::Ordering::Greater => high = middle,
            }
        }
        None
    }
}
