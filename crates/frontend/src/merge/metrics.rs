//! Values of a leaf from the values of its pieces.

use hashbrown::HashMap;
use model::Timestamp;
use model::answer::{ResultLabels, Sample, Series, Value, VectorSample};

use crate::plan::Join;

/// Joins the values of a leaf's pieces, given in order of time, and divides what comes out.
///
/// Series of different pieces come out in the order of their labels. `instant` is the time that an
/// instant query asks about, which its pieces do not know.
#[must_use]
pub fn join_values(
    values: Vec<Value>,
    join: Join,
    divisor: Option<f64>,
    instant: Option<Timestamp>,
) -> Value {
    let divide = |value: f64| divisor.map_or(value, |divisor| value / divisor);
    let single = values.len() == 1;
    let Some(at) = instant else {
        let mut joined = Joined::default();
        for value in values {
            let Value::Matrix(series) = value else { continue };
            series.into_iter().for_each(|one| joined.add(one.labels, one.samples));
        }
        return Value::Matrix(joined.finish(join, divide));
    };
    let samples = values.into_iter().filter_map(|value| match value {
        Value::Vector(samples) => Some(samples),
        _ => None,
    });
    let restamped = |sample: Sample| Sample { timestamp: at, ..sample };
    if single {
        // Nothing is joined, and the order may be one that the query asks for.
        let own = |one: VectorSample| {
            let sample = restamped(one.sample);
            VectorSample { sample: Sample { value: divide(sample.value), ..sample }, ..one }
        };
        return Value::Vector(samples.flatten().map(own).collect());
    }
    let mut joined = Joined::default();
    samples.flatten().for_each(|one| joined.add(one.labels, vec![restamped(one.sample)]));
    let series = joined.finish(join, divide).into_iter();
    let sample = |Series { labels, samples }: Series| {
        let sample = samples.into_iter().next()?;
        Some(VectorSample { labels, sample })
    };
    Value::Vector(series.filter_map(sample).collect())
}

/// Samples by the labels of their series.
#[derive(Default)]
struct Joined {
    by_labels: HashMap<ResultLabels, usize>,
    series: Vec<Vec<Sample>>,
}

impl Joined {
    fn add(&mut self, labels: ResultLabels, samples: Vec<Sample>) {
        let next = self.series.len();
        let at = *self.by_labels.entry(labels).or_insert(next);
        if at == next {
            self.series.push(samples);
        } else {
            self.series[at].extend(samples);
        }
    }

    fn finish(mut self, join: Join, divide: impl Fn(f64) -> f64) -> Vec<Series> {
        let mut all: Vec<Series> = self
            .by_labels
            .into_iter()
            .map(|(labels, at)| {
                let mut samples = std::mem::take(&mut self.series[at]);
                if !samples.is_sorted_by_key(|sample| sample.timestamp) {
                    samples.sort_by_key(|sample| sample.timestamp);
                }
                if join != Join::Keep {
                    samples.dedup_by(|next, kept| {
                        let same = next.timestamp == kept.timestamp;
                        if same {
                            kept.value = joined(join, kept.value, next.value);
                        }
                        same
                    });
                }
                samples.iter_mut().for_each(|sample| sample.value = divide(sample.value));
                Series { labels, samples }
            })
            .collect();
        all.sort_by(|a, b| a.labels.cmp(&b.labels));
        all
    }
}

fn joined(join: Join, kept: f64, next: f64) -> f64 {
    let replaces = match join {
        Join::Keep => false,
        Join::Sum => return kept + next,
        Join::Min => next < kept || kept.is_nan(),
        Join::Max => next > kept || kept.is_nan(),
    };
    if replaces { next } else { kept }
}
