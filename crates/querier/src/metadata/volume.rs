//! Bytes by label.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;

use hashbrown::HashMap;
use model::answer::{ResultLabels, Sample, Series, Value, VectorSample};
use model::{MatchOp, Matcher, TenantId, Timestamp};
use store::StreamKey;

use crate::admit;
use crate::error::Error;
use crate::metadata::Scope;
use crate::metrics::Operation;
use crate::querier::{Querier, Rows};
use crate::source::LabelPairs;
use crate::source::tally::{Spans, TallySink, tally};
use crate::source::tenants::{TENANT_LABEL, matchers_for};

/// Which volumes are asked for.
#[derive(Debug, Clone)]
pub struct VolumeRequest {
    /// Selector (`{}` for all streams) and time.
    pub scope: Scope,
    /// Labels by which to add up; empty for those that the selector names.
    pub target_labels: Vec<String>,
    /// What a row stands for.
    pub aggregate_by: AggregateBy,
    /// Most rows.
    pub limit: usize,
    /// Between samples, in nanoseconds; `None` for one sample.
    pub step_ns: Option<i64>,
}

/// How volumes are added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AggregateBy {
    /// One row for every combination of label values.
    #[default]
    Series,
    /// One row for every label name.
    Labels,
}

impl Querier {
    /// Bytes of the matching streams by label, largest first: a vector for one sample, else a
    /// matrix (or a vector, when no row has more than one sample, as in Loki).
    ///
    /// # Errors
    ///
    /// [`Error`] when volumes are switched off, the selector or the time is refused, there are too
    /// many rows, or counts cannot be read.
    pub async fn volume(
        self: &Arc<Self>,
        tenants: &[TenantId],
        request: &VolumeRequest,
    ) -> Result<Value, Error> {
        let tenants = self.readable(tenants)?;
        let limits = self.limits_of(&tenants);
        if !limits.volume_enabled {
            return Err(Error::Disabled("volume is not enabled"));
        }
        let matchers = request.scope.matchers_or_all()?;
        request.scope.check(&limits)?;
        let (start, end) = (request.scope.start, request.scope.end);
        let Some(start) = admit::look_back(start, end, self.clock.now(), &limits) else {
            return Ok(Value::Vector(Vec::new()));
        };
        let range = model::TimeRange::new(start, end);
        let spans = match request.step_ns {
            Some(step) => Spans::steps(range, step),
            None => Spans::one(range),
        };
        let grouping = Grouping::new(request, &matchers);
        let matchers = with_targets(matchers, &request.target_labels)?;
        let request = request.clone();
        let max_rows = limits.volume_max_series;
        self.run_measured(Operation::volume, &tenants, &limits, move |rows, _| {
            let volumes = add_up(rows, &matchers, &spans, &grouping)?;
            if max_rows > 0 && volumes.len() > max_rows {
                return Err(Error::refused(format!(
                    "the query hit the max number of series limit (limit: {max_rows} series)"
                )));
            }
            Ok(answer(volumes, &spans, &request))
        })
        .await
    }
}

/// A stream must have the labels by which volumes are added up.
fn with_targets(mut matchers: Vec<Matcher>, targets: &[String]) -> Result<Vec<Matcher>, Error> {
    for target in targets {
        let present = Matcher::new(target.as_str(), MatchOp::NotEqual, "")
            .map_err(|error| Error::refused(error.to_string()))?;
        matchers.push(present);
    }
    Ok(matchers)
}

/// Which labels make a row.
#[derive(Debug, Clone)]
struct Grouping {
    by: AggregateBy,
    /// `None` for all labels of a stream.
    names: Option<BTreeSet<String>>,
}

impl Grouping {
    fn new(request: &VolumeRequest, matchers: &[Matcher]) -> Self {
        let by = request.aggregate_by;
        if !request.target_labels.is_empty() {
            let names = request.target_labels.iter().cloned().collect();
            return Self { by, names: Some(names) };
        }
        let named: BTreeSet<String> = matchers
            .iter()
            .map(|matcher| matcher.name().to_owned())
            .filter(|name| name != TENANT_LABEL)
            .collect();
        let all = named.is_empty() || by == AggregateBy::Labels;
        Self { by, names: (!all).then_some(named) }
    }

    /// The rows to which a stream belongs.
    fn rows_of(&self, pairs: LabelPairs<'_, '_>) -> Vec<ResultLabels> {
        let kept =
            pairs.filter(|(name, _)| self.names.as_ref().is_none_or(|names| names.contains(*name)));
        match self.by {
            AggregateBy::Labels => {
                kept.map(|(name, _)| vec![(name.to_owned(), String::new())]).collect()
            }
            AggregateBy::Series => {
                vec![kept.map(|(name, value)| (name.to_owned(), value.to_owned())).collect()]
            }
        }
    }
}

/// Bytes by row and span.
type Volumes = HashMap<ResultLabels, BTreeMap<usize, f64>>;

fn add_up(
    rows: &Rows,
    matchers: &[Matcher],
    spans: &Spans,
    grouping: &Grouping,
) -> Result<Volumes, Error> {
    let mut sink = Sink::new(grouping);
    for source in &rows.tenants {
        let own = if rows.are_of_several() {
            matchers_for(matchers, source.tenant())
        } else {
            Some(matchers.to_vec())
        };
        if let Some(own) = own {
            tally(source, &own, spans, &mut sink)?;
        }
    }
    let numbered = sink.numbers.into_iter();
    let rows = &mut sink.rows;
    Ok(numbered.map(|(labels, at)| (labels, std::mem::take(&mut rows[at]))).collect())
}

struct Sink<'a> {
    grouping: &'a Grouping,
    rows: Vec<BTreeMap<usize, f64>>,
    /// Where a row stands in `rows`.
    numbers: HashMap<ResultLabels, usize>,
    /// Per stream: its rows.
    streams: Vec<Vec<usize>>,
    /// Where a stream stands in `streams`.
    known: HashMap<StreamKey, usize>,
}

impl<'a> Sink<'a> {
    fn new(grouping: &'a Grouping) -> Self {
        let (rows, streams) = (Vec::new(), Vec::new());
        Self { grouping, rows, numbers: HashMap::new(), streams, known: HashMap::new() }
    }
}

impl TallySink for Sink<'_> {
    fn stream(&mut self, key: StreamKey, pairs: LabelPairs<'_, '_>) -> usize {
        if let Some(known) = self.known.get(&key) {
            return *known;
        }
        let mut own = Vec::new();
        for labels in self.grouping.rows_of(pairs) {
            let next = self.rows.len();
            let at = *self.numbers.entry(labels).or_insert(next);
            if at == next {
                self.rows.push(BTreeMap::new());
            }
            own.push(at);
        }
        self.streams.push(own);
        self.known.insert(key, self.streams.len() - 1);
        self.streams.len() - 1
    }

    fn count(&mut self, stream: usize, span: usize, _rows: f64, bytes: f64) {
        for row in &self.streams[stream] {
            *self.rows[*row].entry(span).or_default() += bytes;
        }
    }
}

fn answer(volumes: Volumes, spans: &Spans, request: &VolumeRequest) -> Value {
    let mut rows: Vec<(f64, ResultLabels, BTreeMap<usize, f64>)> = volumes
        .into_iter()
        .filter(|(labels, samples)| !labels.is_empty() && !samples.is_empty())
        .map(|(labels, samples)| (samples.values().sum(), labels, samples))
        .collect();
    rows.sort_by(|a, b| b.0.total_cmp(&a.0).then_with(|| a.1.cmp(&b.1)));
    rows.truncate(request.limit);
    let sample = |(span, bytes): (usize, f64)| Sample {
        timestamp: sample_time(spans, span),
        value: bytes.round(),
    };
    let series: Vec<Series> = rows
        .into_iter()
        .map(|(_, labels, samples)| Series {
            labels,
            samples: samples.into_iter().map(sample).collect(),
        })
        .collect();
    if request.step_ns.is_some() && series.iter().any(|one| one.samples.len() > 1) {
        return Value::Matrix(series);
    }
    let flat = series.into_iter().flat_map(|Series { labels, samples }| {
        samples.into_iter().map(move |sample| VectorSample { labels: labels.clone(), sample })
    });
    Value::Vector(flat.collect())
}

/// The time of a span's sample: a millisecond before it ends, and the end itself for the last.
fn sample_time(spans: &Spans, span: usize) -> Timestamp {
    let end = spans.end(span);
    if span + 1 == spans.len() { end } else { Timestamp(end.0 - 1_000_000) }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn rows(request: &VolumeRequest, selector: &str) -> Vec<ResultLabels> {
        let matchers =
            if selector == "{}" { Vec::new() } else { logql::parse_selector(selector).unwrap() };
        let pairs = [("app", "web"), ("env", "prod"), ("pod", "p-1")];
        Grouping::new(request, &matchers).rows_of(&mut pairs.into_iter())
    }

    fn request(targets: &[&str], aggregate_by: AggregateBy) -> VolumeRequest {
        let scope = Scope { query: "{}".into(), start: Timestamp(0), end: Timestamp(1) };
        let target_labels = targets.iter().map(|name| (*name).to_owned()).collect();
        VolumeRequest { scope, target_labels, aggregate_by, limit: 100, step_ns: None }
    }

    fn labels(pairs: &[(&str, &str)]) -> ResultLabels {
        pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
    }

    #[test]
    fn rows_are_named_by_targets_or_by_the_selector() {
        let plain = request(&[], AggregateBy::Series);
        let all = labels(&[("app", "web"), ("env", "prod"), ("pod", "p-1")]);
        assert_eq!(rows(&plain, "{}"), [all]);
        assert_eq!(rows(&plain, "{env=~\".+\"}"), [labels(&[("env", "prod")])]);
        let target = request(&["pod"], AggregateBy::Series);
        assert_eq!(rows(&target, "{env=~\".+\"}"), [labels(&[("pod", "p-1")])]);
    }

    #[test]
    fn rows_by_label_have_no_values() {
        let plain = request(&[], AggregateBy::Labels);
        let names = [("app", ""), ("env", ""), ("pod", "")].map(|pair| labels(&[pair]));
        assert_eq!(rows(&plain, "{env=\"prod\"}"), names);
        let target = request(&["pod", "x"], AggregateBy::Labels);
        assert_eq!(rows(&target, "{env=\"prod\"}"), [labels(&[("pod", "")])]);
    }

    #[test]
    fn rows_are_sorted_by_size_and_cut() {
        let volumes: Volumes = [("a", 1.0), ("b", 3.0), ("c", 3.0)]
            .into_iter()
            .map(|(name, bytes)| (labels(&[("app", name)]), BTreeMap::from([(0, bytes)])))
            .collect();
        let spans = Spans::one(model::TimeRange::new(Timestamp(0), Timestamp(10)));
        let mut request = request(&[], AggregateBy::Series);
        request.limit = 2;
        let Value::Vector(rows) = answer(volumes, &spans, &request) else { panic!("a vector") };
        let names: Vec<&str> = rows.iter().map(|row| row.labels[0].1.as_str()).collect();
        assert_eq!(names, ["b", "c"]);
        assert_eq!(rows[0].sample, Sample { timestamp: Timestamp(10), value: 3.0 });
    }
}
