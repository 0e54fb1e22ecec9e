//! What operators can watch of queries.

use std::time::Duration;

use model::answer::QueryStats;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// What was asked for.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the names are label values")]
pub enum Operation {
    /// A log query.
    log,
    /// A metric query.
    metric,
    /// Names of labels, or values of one.
    labels,
    /// Streams.
    series,
    /// How much an index holds.
    stats,
    /// Bytes by label.
    volume,
    /// Labels worth showing.
    detected_labels,
    /// Fields of lines.
    detected_fields,
    /// Shapes of lines.
    patterns,
}

impl Operation {
    /// Its name in log lines.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::log => "log",
            Self::metric => "metric",
            Self::labels => "labels",
            Self::series => "series",
            Self::stats => "stats",
            Self::volume => "volume",
            Self::detected_labels => "detected_labels",
            Self::detected_fields => "detected_fields",
            Self::patterns => "patterns",
        }
    }
}

/// How it ended.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the names are label values")]
enum Outcome {
    success,
    refused,
    cancelled,
    failed,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Labels {
    operation: Operation,
    outcome: Outcome,
}

/// The metrics of a querier. Clones share their values.
#[derive(Debug, Clone)]
pub struct Metrics {
    requests: Family<Labels, Counter>,
    seconds: Family<Labels, Histogram>,
    bytes: Counter,
    lines: Counter,
    blocks_selected: Counter,
    blocks_pruned: Counter,
    blocks_read: Counter,
    index_bytes: Counter,
    pub(crate) index_faults: Counter,
    duplicates: Counter,
    pub(crate) waiting: Gauge,
    pub(crate) running: Gauge,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            requests: Family::default(),
            seconds: Family::new_with_constructor(|| {
                Histogram::new([
                    0.002, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
                    60.0,
                ])
            }),
            bytes: Counter::default(),
            lines: Counter::default(),
            blocks_selected: Counter::default(),
            blocks_pruned: Counter::default(),
            blocks_read: Counter::default(),
            index_bytes: Counter::default(),
            index_faults: Counter::default(),
            duplicates: Counter::default(),
            waiting: Gauge::default(),
            running: Gauge::default(),
        }
    }
}

impl Metrics {
    /// Metrics that `registry` exposes. Register once per process.
    pub fn register(registry: &mut Registry) -> Self {
        let new = Self::default();
        registry.register(
            "sigyn_querier_requests",
            "Requests by what was asked and how they ended",
            new.requests.clone(),
        );
        registry.register(
            "sigyn_querier_request_duration_seconds",
            "How long requests took, waiting included",
            new.seconds.clone(),
        );
        registry.register(
            "sigyn_querier_processed_bytes",
            "Line bytes that queries looked at",
            new.bytes.clone(),
        );
        registry.register(
            "sigyn_querier_processed_lines",
            "Lines that queries looked at",
            new.lines.clone(),
        );
        registry.register(
            "sigyn_querier_blocks_selected",
            "Blocks that selectors and times of queries covered",
            new.blocks_selected.clone(),
        );
        new.register_index(registry);
        registry.register(
            "sigyn_querier_blocks_read",
            "Blocks that queries read",
            new.blocks_read.clone(),
        );
        registry.register(
            "sigyn_querier_duplicates",
            "Entries left out because another copy was returned",
            new.duplicates.clone(),
        );
        registry.register(
            "sigyn_querier_waiting",
            "Requests that wait for their turn",
            new.waiting.clone(),
        );
        registry.register("sigyn_querier_running", "Requests that run", new.running.clone());
        new
    }

    fn register_index(&self, registry: &mut Registry) {
        registry.register(
            "sigyn_querier_blocks_pruned",
            "Blocks that an index proved to hold nothing wanted",
            self.blocks_pruned.clone(),
        );
        registry.register(
            "sigyn_querier_index_bytes",
            "Bytes of indexes that queries read",
            self.index_bytes.clone(),
        );
        registry.register(
            "sigyn_querier_index_faults",
            "Indexes of segments that could not be used; all blocks were read instead",
            self.index_faults.clone(),
        );
    }

    /// Counts a request.
    pub(crate) fn observe<T>(
        &self,
        operation: Operation,
        took: Duration,
        result: &Result<T, crate::Error>,
    ) {
        let outcome = match result {
            Ok(_) => Outcome::success,
            Err(error) if error.cancelled().is_some() => Outcome::cancelled,
            Err(error) => match error.kind() {
                model::ErrorKind::Invalid
                | model::ErrorKind::NotFound
                | model::ErrorKind::LimitExceeded => Outcome::refused,
                _ => Outcome::failed,
            },
        };
        let labels = Labels { operation, outcome };
        self.requests.get_or_create(&labels).inc();
        self.seconds.get_or_create(&labels).observe(took.as_secs_f64());
    }

    /// Counts the work of a query.
    pub(crate) fn worked(&self, stats: &QueryStats) {
        self.bytes.inc_by(stats.head_bytes + stats.decompressed_bytes);
        self.lines.inc_by(stats.head_lines + stats.decompressed_lines);
        self.blocks_selected.inc_by(stats.blocks_selected);
        self.blocks_pruned.inc_by(stats.blocks_pruned);
        self.blocks_read.inc_by(stats.blocks_read);
        self.index_bytes.inc_by(stats.index_bytes);
        self.duplicates.inc_by(stats.duplicates);
    }
}
