//! What operators can watch of a frontend.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Why a piece was neither looked for in the cache nor kept there.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the names are label values")]
pub enum Skipped {
    /// Rows of its time are not in segments yet, or about to expire.
    unflushed,
    /// The client asked for no cache.
    asked,
    /// Its rows changed while it ran.
    changed,
    /// Its answer is not complete.
    incomplete,
    /// Its answer is too large.
    large,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Reason {
    reason: Skipped,
}

/// The metrics of a frontend. Clones share their values.
#[derive(Debug, Clone)]
pub struct Metrics {
    /// Queries that were cut into pieces.
    pub(crate) split: Counter,
    /// Pieces that were run.
    pub(crate) pieces: Counter,
    pub(crate) retries: Counter,
    pub(crate) hits: Counter,
    pub(crate) misses: Counter,
    pub(crate) hit_bytes: Counter,
    pub(crate) stored_bytes: Counter,
    pub(crate) cache_failures: Counter,
    skipped: Family<Reason, Counter>,
    pub(crate) queue_length: Gauge,
    pub(crate) queue_seconds: Histogram,
    pub(crate) refused: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        let queue_seconds =
            Histogram::new([0.001, 0.005, 0.01, 0.05, 0.1, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0]);
        Self {
            split: Counter::default(),
            pieces: Counter::default(),
            retries: Counter::default(),
            hits: Counter::default(),
            misses: Counter::default(),
            hit_bytes: Counter::default(),
            stored_bytes: Counter::default(),
            cache_failures: Counter::default(),
            skipped: Family::default(),
            queue_length: Gauge::default(),
            queue_seconds,
            refused: Counter::default(),
        }
    }
}

impl Metrics {
    /// Metrics that `registry` exposes. Register once per process.
    pub fn register(registry: &mut Registry) -> Self {
        let new = Self::default();
        let counters = [
            ("split_queries", "Queries that were cut into pieces", &new.split),
            ("pieces", "Pieces of queries that were run", &new.pieces),
            ("retries", "Pieces that were run again after a failure", &new.retries),
            ("cache_hits", "Pieces answered from the results cache", &new.hits),
            ("cache_misses", "Pieces that the results cache did not have", &new.misses),
            ("cache_hit_bytes", "Bytes of answers taken from the results cache", &new.hit_bytes),
            (
                "cache_stored_bytes",
                "Bytes of answers put into the results cache",
                &new.stored_bytes,
            ),
            ("cache_failures", "Operations on the results cache that failed", &new.cache_failures),
            (
                "queue_refusals",
                "Requests refused because too many of their tenant wait",
                &new.refused,
            ),
        ];
        for (name, help, counter) in counters {
            registry.register(format!("sigyn_frontend_{name}"), help, counter.clone());
        }
        registry.register(
            "sigyn_frontend_cache_skipped",
            "Pieces that the results cache was not used for, by reason",
            new.skipped.clone(),
        );
        registry.register(
            "sigyn_frontend_queue_length",
            "Requests that wait for a worker",
            new.queue_length.clone(),
        );
        registry.register(
            "sigyn_frontend_queue_duration_seconds",
            "Time that requests waited for a worker",
            new.queue_seconds.clone(),
        );
        new
    }

    pub(crate) fn skip(&self, reason: Skipped) {
        self.skipped.get_or_create(&Reason { reason }).inc();
    }

    /// Pieces answered from the cache so far.
    #[must_use]
    pub fn cache_hits(&self) -> u64 {
        self.hits.get()
    }

    /// Pieces that the cache did not have so far.
    #[must_use]
    pub fn cache_misses(&self) -> u64 {
        self.misses.get()
    }
}
