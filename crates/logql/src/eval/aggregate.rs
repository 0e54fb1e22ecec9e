//! Vector aggregations: many series into fewer, at each step on its own.

use std::sync::Arc;

use hashbrown::HashMap;
use model::answer::ResultLabels;

use super::control::{Account, Meter};
use super::error::QueryError;
use super::frame::{Frame, FrameSeries, Points, SeriesLabels};
use super::window::Steps;
use crate::syntax::ast::{Grouping, VectorAggregation, VectorOp};

/// Applies a vector aggregation to the series of its operand.
///
/// # Errors
///
/// [`QueryError::MemoryLimit`] and [`QueryError::Cancelled`].
pub fn aggregate(
    aggregation: &VectorAggregation,
    frame: Frame,
    steps: &Steps,
    meter: Meter<'_>,
) -> Result<Frame, QueryError> {
    meter.check()?;
    let op = aggregation.op;
    if matches!(op, VectorOp::Sort | VectorOp::SortDesc) {
        return Ok(if steps.is_instant() { sorted(frame, op) } else { frame });
    }
    let groups = group(&frame, aggregation.grouping.as_ref());
    let mut out = Frame::default();
    match op {
        VectorOp::Topk | VectorOp::ApproxTopk | VectorOp::Bottomk => {
            let k = usize::try_from(aggregation.parameter.unwrap_or(1)).unwrap_or(usize::MAX);
            let better = if op == VectorOp::Bottomk { is_less } else { is_greater };
            for (_, members) in groups {
                let mut account = Account::new(meter);
                let by_step = ByStep::new(&members, steps.count(), &mut account)?;
                out.series.extend(best(&by_step, &members, k, better));
            }
        }
        _ => {
            let mut states = vec![State::default(); steps.count()];
            for (labels, members) in groups {
                meter.check()?;
                out.series.push(FrameSeries { labels, points: reduce(op, &members, &mut states) });
            }
        }
    }
    Ok(out)
}

/// Series by the labels that a grouping leaves them, in order of first appearance.
fn group<'f>(
    frame: &'f Frame,
    grouping: Option<&Grouping>,
) -> Vec<(SeriesLabels, Vec<&'f FrameSeries>)> {
    let mut groups: Vec<(SeriesLabels, Vec<&FrameSeries>)> = Vec::new();
    let mut index: HashMap<SeriesLabels, usize> = HashMap::new();
    for series in &frame.series {
        let labels = match grouping {
            None => ResultLabels::new(),
            Some(grouping) => grouped(&series.labels, grouping),
        };
        let at = *index.entry(Arc::new(labels)).or_insert_with_key(|labels| {
            groups.push((Arc::clone(labels), Vec::new()));
            groups.len() - 1
        });
        groups[at].1.push(series);
    }
    groups
}

/// The labels that a grouping leaves a series; an empty value counts as no label.
fn grouped(labels: &ResultLabels, grouping: &Grouping) -> ResultLabels {
    let is_listed = |name: &str| grouping.labels.iter().any(|listed| listed == name);
    let keeps = |(name, value): &&(String, String)| {
        let is_named = match grouping.without {
            false => is_listed(name),
            true => !is_listed(name) && name != "__name__",
        };
        is_named && !value.is_empty()
    };
    labels.iter().filter(keeps).cloned().collect()
}

/// What a group's samples at one step come to.
#[derive(Debug, Clone, Copy, Default)]
struct State {
    count: f64,
    value: f64,
    /// Squared deviations from the mean, for the spread operations.
    squares: f64,
}

fn reduce(op: VectorOp, members: &[&FrameSeries], states: &mut [State]) -> Points {
    states.fill(State::default());
    for (step, value) in members.iter().flat_map(|member| member.points.iter()) {
        states[step as usize].take(op, value);
    }
    let mut points = Points::default();
    for (step, state) in (0..).zip(&*states) {
        if state.count > 0.0 {
            points.push(step, state.finish(op));
        }
    }
    points
}

impl State {
    fn take(&mut self, op: VectorOp, value: f64) {
        self.count += 1.0;
        if self.count == 1.0 {
            self.value = value;
            return;
        }
        match op {
            VectorOp::Sum => self.value += value,
            VectorOp::Avg => self.value = mean_with(self.value, value, self.count),
            VectorOp::Min if value < self.value || self.value.is_nan() => self.value = value,
            VectorOp::Max if value > self.value || self.value.is_nan() => self.value = value,
            VectorOp::Stddev | VectorOp::Stdvar => {
                let delta = value - self.value;
                self.value += delta / self.count;
                self.squares += delta * (value - self.value);
            }
            _ => {}
        }
    }

    fn finish(&self, op: VectorOp) -> f64 {
        match op {
            VectorOp::Count => self.count,
            VectorOp::Stdvar => self.squares / self.count,
            VectorOp::Stddev => (self.squares / self.count).sqrt(),
            _ => self.value,
        }
    }
}

/// The mean of `count` numbers, the last of which is `value`; an infinite mean stays.
fn mean_with(mean: f64, value: f64, count: f64) -> f64 {
    if mean.is_infinite() && (value.is_finite() || value == mean) {
        return mean;
    }
    mean + (value / count - mean / count)
}

/// The samples of some series, step by step.
struct ByStep {
    /// Where the samples of each step start, and where the last end.
    starts: Vec<u32>,
    /// Index of the series and its value.
    samples: Vec<(u32, f64)>,
}

impl ByStep {
    fn new(
        members: &[&FrameSeries],
        steps: usize,
        account: &mut Account<'_>,
    ) -> Result<Self, QueryError> {
        let total: usize = members.iter().map(|member| member.points.len()).sum();
        account.charge(total * size_of::<(u32, f64)>() + steps * size_of::<u32>())?;
        let mut starts = vec![0u32; steps + 1];
        for (step, _) in members.iter().flat_map(|member| member.points.iter()) {
            starts[step as usize + 1] += 1;
        }
        for step in 0..steps {
            starts[step + 1] += starts[step];
        }
        let mut next = starts.clone();
        let mut samples = vec![(0, 0.0); total];
        for (index, member) in (0u32..).zip(members) {
            for (step, value) in member.points.iter() {
                let place = &mut next[step as usize];
                samples[*place as usize] = (index, value);
                *place += 1;
            }
        }
        Ok(Self { starts, samples })
    }

    fn at(&self, step: usize) -> &[(u32, f64)] {
        &self.samples[self.starts[step] as usize..self.starts[step + 1] as usize]
    }
}

fn is_greater(a: f64, b: f64) -> bool {
    a > b || (b.is_nan() && !a.is_nan())
}

fn is_less(a: f64, b: f64) -> bool {
    a < b || (b.is_nan() && !a.is_nan())
}

/// The series that are among the `k` best at some step, at those steps. Of equal values the series
/// that comes first stays.
fn best(
    by_step: &ByStep,
    members: &[&FrameSeries],
    k: usize,
    better: fn(f64, f64) -> bool,
) -> Vec<FrameSeries> {
    let mut points = vec![Points::default(); members.len()];
    let mut chosen: Vec<(u32, f64)> = Vec::new();
    for step in 0..by_step.starts.len() - 1 {
        chosen.clear();
        chosen.extend_from_slice(by_step.at(step));
        if k < chosen.len() {
            chosen.sort_by(|a, b| better(b.1, a.1).cmp(&better(a.1, b.1)).then(a.0.cmp(&b.0)));
            chosen.truncate(k);
        }
        for (index, value) in &chosen {
            points[*index as usize].push(step as u32, *value);
        }
    }
    let series = members.iter().zip(points).filter(|(_, points)| !points.is_empty());
    series
        .map(|(member, points)| FrameSeries { labels: Arc::clone(&member.labels), points })
        .collect()
}

/// The series of an instant by value; what is not a number comes last either way.
fn sorted(mut frame: Frame, op: VectorOp) -> Frame {
    let value = |series: &FrameSeries| series.points.iter().next().map_or(f64::NAN, |p| p.1);
    frame.series.sort_by(|a, b| {
        let (a, b) = (value(a), value(b));
        let ascending = a.partial_cmp(&b).unwrap_or_else(|| a.is_nan().cmp(&b.is_nan()));
        let both_numbers = !a.is_nan() && !b.is_nan();
        if op == VectorOp::SortDesc && both_numbers { ascending.reverse() } else { ascending }
    });
    frame
}

#[cfg(test)]
mod tests {
    use super::*;

    fn labels(text: &str) -> ResultLabels {
        text.split(',')
            .filter_map(|pair| pair.split_once('='))
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect()
    }

    #[test]
    fn groupings_keep_listed_labels_that_are_not_empty() {
        let by = Grouping { without: false, labels: vec!["b".into(), "a".into()] };
        assert_eq!(grouped(&labels("a=1,b=,c=3"), &by), labels("a=1"));
        assert_eq!(grouped(&labels("a=1,b=2"), &by), labels("a=1,b=2"));
        let without = Grouping { without: true, labels: vec!["a".into()] };
        assert_eq!(grouped(&labels("__name__=n,a=1,b=,c=3"), &without), labels("c=3"));
    }

    #[test]
    fn reductions_of_one_step() {
        let check = |op, values: &[f64], expected: f64| {
            let series: Vec<FrameSeries> = values
                .iter()
                .map(|value| FrameSeries {
                    labels: SeriesLabels::default(),
                    points: Points::constant(*value, 1),
                })
                .collect();
            let members: Vec<&FrameSeries> = series.iter().collect();
            let points = reduce(op, &members, &mut [State::default(); 2]);
            let found = points.iter().next().unwrap().1;
            let same = found == expected || found.is_nan() && expected.is_nan();
            assert!(same && points.len() == 1, "{op:?} {values:?}: {found}");
        };
        let nan = f64::NAN;
        check(VectorOp::Sum, &[1.0, 2.0, 4.0], 7.0);
        check(VectorOp::Avg, &[1.0, 2.0, 6.0], 3.0);
        check(VectorOp::Avg, &[f64::INFINITY, 2.0], f64::INFINITY);
        check(VectorOp::Min, &[nan, 2.0, 1.0], 1.0);
        check(VectorOp::Max, &[3.0, nan, 1.0], 3.0);
        check(VectorOp::Count, &[nan, nan], 2.0);
        check(VectorOp::Stdvar, &[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0], 4.0);
        check(VectorOp::Stddev, &[2.0, 4.0, 4.0, 4.0, 5.0, 5.0, 7.0, 9.0], 2.0);
        check(VectorOp::Stddev, &[f64::INFINITY], 0.0);
    }

    #[test]
    fn the_best_are_chosen_step_by_step() {
        let series = |name: &str, values: &[(u32, f64)]| {
            let mut points = Points::default();
            values.iter().for_each(|(step, value)| points.push(*step, *value));
            FrameSeries { labels: Arc::new(labels(name)), points }
        };
        let all = [
            series("n=a", &[(0, f64::NAN), (1, 5.0)]),
            series("n=b", &[(0, 1.0), (1, 5.0)]),
            series("n=c", &[(1, 9.0)]),
        ];
        let members: Vec<&FrameSeries> = all.iter().collect();
        let control = super::super::control::Control::new();
        let mut account = Account::new(Meter::new(&control, 0));
        let by_step = ByStep::new(&members, 2, &mut account).unwrap();
        let names = |k, better| -> Vec<(String, Vec<u32>)> {
            best(&by_step, &members, k, better)
                .into_iter()
                .map(|s| (s.labels[0].1.clone(), s.points.iter().map(|p| p.0).collect()))
                .collect()
        };
        assert_eq!(names(1, is_greater), [("b".into(), vec![0]), ("c".into(), vec![1])]);
        assert_eq!(names(1, is_less), [("a".into(), vec![1]), ("b".into(), vec![0])]);
        assert_eq!(names(9, is_less).len(), 3);
    }
}
