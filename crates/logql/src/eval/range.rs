//! Range aggregations: the leaves of a metric query, where rows become series.
//!
//! Rows are read once, whatever the windows: each sample goes into the span of time it lies in, and
//! windows are put together from spans. Counts of whole rows come from the source's cells where
//! cells can answer, see [`super::cells`].

use std::sync::Arc;

use model::Direction;
use model::answer::QueryStats;

use super::accumulate::{
    Accumulator, Ends, Extremes, Mean, Numbers, RowSample, Samples, Spread, Sum, Tally,
};
use super::cells::CellReader;
use super::control::{Account, Meter};
use super::error::QueryError;
use super::frame::{Frame, FrameSeries, Points, SeriesLabels};
use super::read::{Plan, SampleValue, read};
use super::scan::Scan;
use super::series::Gathered;
use super::timeline::{gather, slide};
use super::window::{Steps, Windows};
use crate::pipeline::{Hints, Pipeline, Reduction};
use crate::source::{Source, WantLines};
use crate::syntax::ast::{Grouping, RangeAggregation, RangeOp};
use model::{MatchOp, Matcher};

/// What a range aggregation is evaluated with.
#[derive(Debug, Clone, Copy)]
pub struct Surroundings<'a> {
    /// Where the rows are.
    pub source: &'a dyn Source,
    /// When to evaluate.
    pub steps: Steps,
    /// Cancellation and memory.
    pub meter: Meter<'a>,
    /// How many threads may read.
    pub threads: usize,
}

/// The labels that a grouping leaves, as the pipeline wants them.
#[must_use]
pub fn reduction(grouping: Option<&Grouping>) -> Reduction {
    match grouping {
        None => Reduction::All,
        Some(grouping) if grouping.without => Reduction::Without(grouping.labels.clone()),
        Some(grouping) if grouping.labels.is_empty() => Reduction::Nothing,
        Some(grouping) => Reduction::By(grouping.labels.clone()),
    }
}

/// Evaluates a range aggregation whose series carry the labels that `reduction` leaves.
///
/// # Errors
///
/// Any [`QueryError`].
pub fn evaluate(
    aggregation: &RangeAggregation,
    reduction: Reduction,
    surroundings: Surroundings<'_>,
    stats: &mut QueryStats,
) -> Result<Frame, QueryError> {
    let range = &aggregation.range;
    let windows = Windows::new(&surroundings.steps, range.range_ns, range.offset_ns);
    let value = match aggregation.op {
        _ if range.unwrap.is_some() => SampleValue::Unwrapped,
        RangeOp::Bytes | RangeOp::BytesRate => SampleValue::LineBytes,
        _ => SampleValue::One,
    };
    let lines = if value == SampleValue::LineBytes { WantLines::Lengths } else { WantLines::None };
    let hints = Hints::metric(reduction.clone(), lines);
    let pipeline = Pipeline::build(&range.query.stages, range.unwrap.as_ref(), hints)?;
    let scan = Scan::new(surroundings.source, &pipeline, windows.extent(), surroundings.meter);
    let pieces = scan.pieces(&range.query.selector, Direction::Forward)?;
    stats.blocks_selected += pieces.len() as u64;
    let cells = CellReader::new(surroundings.source, range, &reduction, &windows);
    let plan =
        Plan { scan: &scan, range, windows: &windows, value, cells, threads: surroundings.threads };
    let leaf = Leaf { aggregation, windows: &windows, meter: surroundings.meter };
    let seconds = windows.range_seconds();
    match (aggregation.op, value) {
        (RangeOp::Absent, _) => leaf.absent(&read::<Tally>(&plan, &pieces, stats)?.0),
        (RangeOp::Count, _) => {
            leaf.slid(&read(&plan, &pieces, stats)?.0, |tally: &Tally| tally.rows as f64)
        }
        (RangeOp::Rate, SampleValue::One) => {
            leaf.slid(&read(&plan, &pieces, stats)?.0, |tally: &Tally| tally.rows as f64 / seconds)
        }
        (RangeOp::Bytes, _) => {
            leaf.slid(&read(&plan, &pieces, stats)?.0, |tally: &Tally| tally.sum as f64)
        }
        (RangeOp::BytesRate, _) => {
            leaf.slid(&read(&plan, &pieces, stats)?.0, |tally: &Tally| tally.sum as f64 / seconds)
        }
        (RangeOp::Rate, _) => {
            leaf.slid(&read(&plan, &pieces, stats)?.0, |sum: &Sum| sum.sum / seconds)
        }
        (RangeOp::Sum, _) => leaf.slid(&read(&plan, &pieces, stats)?.0, |sum: &Sum| sum.sum),
        (RangeOp::Avg, _) => leaf.slid(&read(&plan, &pieces, stats)?.0, |mean: &Mean| mean.mean),
        (RangeOp::Min, _) => leaf.slid(&read(&plan, &pieces, stats)?.0, |both: &Extremes| both.min),
        (RangeOp::Max, _) => leaf.slid(&read(&plan, &pieces, stats)?.0, |both: &Extremes| both.max),
        (RangeOp::Stdvar, _) => {
            leaf.slid(&read(&plan, &pieces, stats)?.0, |spread: &Spread| spread.variance())
        }
        (RangeOp::Stddev, _) => {
            leaf.slid(&read(&plan, &pieces, stats)?.0, |spread: &Spread| spread.variance().sqrt())
        }
        (RangeOp::First, _) => leaf.slid(&read(&plan, &pieces, stats)?.0, Ends::first),
        (RangeOp::Last, _) => leaf.slid(&read(&plan, &pieces, stats)?.0, Ends::last),
        (RangeOp::Quantile, _) => {
            let quantile = aggregation.parameter.unwrap_or(f64::NAN);
            leaf.gathered(&read(&plan, &pieces, stats)?.0, |_, numbers: &mut Numbers| {
                quantile_of(quantile, &mut numbers.0)
            })
        }
        (RangeOp::RateCounter, _) => {
            leaf.gathered(&read(&plan, &pieces, stats)?.0, |window, samples: &mut Samples| {
                samples.sort();
                counter_rate(&samples.0, windows.bounds(window), seconds)
            })
        }
    }
}

/// What turns gathered spans into a frame.
struct Leaf<'a> {
    aggregation: &'a RangeAggregation,
    windows: &'a Windows,
    meter: Meter<'a>,
}

impl Leaf<'_> {
    fn slid<A: Accumulator>(
        &self,
        series: &Gathered<A>,
        value: impl Fn(&A) -> f64,
    ) -> Result<Frame, QueryError> {
        self.frame(series, |entries, points| {
            slide(entries, self.windows, |window, merged| {
                points.push(window as u32, value(merged))
            });
        })
    }

    fn gathered<A: Accumulator>(
        &self,
        series: &Gathered<A>,
        value: impl Fn(usize, &mut A) -> f64,
    ) -> Result<Frame, QueryError> {
        self.frame(series, |entries, points| {
            gather(entries, self.windows, |window, merged| {
                points.push(window as u32, value(window, merged));
            });
        })
    }

    fn frame<A: Accumulator>(
        &self,
        series: &Gathered<A>,
        fill: impl Fn(&[(u32, A)], &mut Points),
    ) -> Result<Frame, QueryError> {
        let mut account = Account::new(self.meter);
        let mut frame = Frame::default();
        for (labels, entries) in series {
            self.meter.check()?;
            let mut points = Points::default();
            fill(entries, &mut points);
            account.charge(points.len() * size_of::<(u32, f64)>())?;
            if !points.is_empty() {
                frame.series.push(FrameSeries { labels: Arc::clone(labels), points });
            }
        }
        Ok(frame)
    }

    /// One sample of 1 at every step whose window is empty.
    fn absent(&self, series: &Gathered<Tally>) -> Result<Frame, QueryError> {
        let present = self.slid(series, |_| 1.0)?;
        let mut filled = vec![false; self.windows.count()];
        for (step, _) in present.series.iter().flat_map(|series| series.points.iter()) {
            filled[step as usize] = true;
        }
        let points = Points::constant(1.0, filled.len()).filter(|step| !filled[step as usize]);
        let labels = absent_labels(&self.aggregation.range.query.selector);
        let series = if points.is_empty() { vec![] } else { vec![FrameSeries { labels, points }] };
        Ok(Frame { series })
    }
}

/// The labels of an absent series: those that exactly one matcher names, with `=`.
fn absent_labels(selector: &[Matcher]) -> SeriesLabels {
    let is_alone =
        |name: &str| selector.iter().filter(|matcher| matcher.name() == name).count() == 1;
    let mut labels: Vec<(String, String)> = selector
        .iter()
        .filter(|matcher| matcher.op() == MatchOp::Equal && !matcher.value().is_empty())
        .filter(|matcher| is_alone(matcher.name()))
        .map(|matcher| (matcher.name().to_owned(), matcher.value().to_owned()))
        .collect();
    labels.sort();
    Arc::new(labels)
}

/// The quantile of some numbers, linear between neighbours; what is not a number is lowest.
fn quantile_of(quantile: f64, numbers: &mut [f64]) -> f64 {
    if numbers.is_empty() || quantile.is_nan() {
        return f64::NAN;
    }
    if quantile < 0.0 {
        return f64::NEG_INFINITY;
    }
    if quantile > 1.0 {
        return f64::INFINITY;
    }
    let ascending =
        |a: &f64, b: &f64| a.partial_cmp(b).unwrap_or_else(|| b.is_nan().cmp(&a.is_nan()));
    let rank = quantile * (numbers.len() - 1) as f64;
    let below = rank.floor() as usize;
    let weight = rank - rank.floor();
    let (_, low, above) = numbers.select_nth_unstable_by(below, ascending);
    let high = above.iter().copied().min_by(ascending).unwrap_or(*low);
    *low * (1.0 - weight) + high * weight
}

/// The increase per second of a counter over a window, extrapolated to the window's edges.
///
/// `samples` are in order of time; `bounds` are the window's start and end in nanoseconds.
fn counter_rate(samples: &[RowSample], bounds: (i64, i64), range_seconds: f64) -> f64 {
    let ([first, .., last], count) = (samples, samples.len()) else { return 0.0 };
    let mut resets = 0.0;
    let mut previous = 0.0;
    for sample in samples {
        if sample.value < previous {
            resets += previous;
        }
        previous = sample.value;
    }
    let increase = last.value - first.value + resets;
    let seconds = |from: i64, to: i64| to.saturating_sub(from) as f64 / 1e9;
    let mut to_start = seconds(bounds.0, first.at);
    let mut to_end = seconds(last.at, bounds.1);
    let sampled = seconds(first.at, last.at);
    let between = sampled / (count - 1) as f64;
    let threshold = between * 1.1;
    if to_start >= threshold {
        to_start = between / 2.0;
    }
    if increase > 0.0 && first.value >= 0.0 {
        // A counter was not below zero: do not extrapolate to before its zero.
        to_start = to_start.min(sampled * first.value / increase);
    }
    if to_end >= threshold {
        to_end = between / 2.0;
    }
    increase * ((sampled + to_start + to_end) / sampled) / range_seconds
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::eval::accumulate::Tie;

    #[test]
    fn quantiles_are_linear() {
        let check = |quantile, numbers: &[f64], expected: f64| {
            assert_eq!(quantile_of(quantile, &mut numbers.to_vec()), expected, "{quantile}");
        };
        check(0.5, &[4.0, 1.0, 3.0, 2.0], 2.5);
        check(0.0, &[4.0, 1.0], 1.0);
        check(1.0, &[4.0, 1.0], 4.0);
        check(0.99, &[7.0], 7.0);
        check(1.5, &[1.0], f64::INFINITY);
        check(-0.5, &[1.0], f64::NEG_INFINITY);
        check(1.0, &[f64::NAN, 3.0], 3.0);
        assert!(quantile_of(0.0, &mut [f64::NAN, 3.0]).is_nan());
    }

    #[test]
    fn counters_are_extrapolated() {
        let check = |samples: &[(i64, f64)], expected: f64| {
            let samples: Vec<RowSample> = samples
                .iter()
                .map(|(second, value)| RowSample {
                    at: second * 1_000_000_000,
                    value: *value,
                    tie: Tie::default(),
                })
                .collect();
            let found = counter_rate(&samples, (0, 60_000_000_000), 60.0);
            assert!((found - expected).abs() < 1e-12, "{samples:?}: {found}");
        };
        check(&[(10, 5.0), (20, 15.0)], 20.0 / 60.0);
        check(&[(10, 5.0), (20, 2.0)], 5.0 / 60.0);
        check(&[(10, 5.0)], 0.0);
        check(&[], 0.0);
    }

    #[test]
    fn absent_series_keep_what_the_selector_fixes() {
        let matcher = |name: &str, op, value: &str| Matcher::new(name, op, value).unwrap();
        let selector = [
            matcher("b", MatchOp::Equal, "1"),
            matcher("a", MatchOp::Equal, "2"),
            matcher("c", MatchOp::Equal, "3"),
            matcher("c", MatchOp::NotEqual, "4"),
            matcher("d", MatchOp::Regex, "p.*"),
        ];
        let pairs = |list: &[(&str, &str)]| -> Vec<(String, String)> {
            list.iter().map(|(n, v)| ((*n).to_owned(), (*v).to_owned())).collect()
        };
        assert_eq!(*absent_labels(&selector), pairs(&[("a", "2"), ("b", "1")]));
    }
}
