//! What operators can watch: operations on object storage, the catalog, the footer cache.
//!
//! The `loki_objstore_bucket_*` families are the ones Loki's dashboards plot.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// What was done with object storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the names are the label values of Loki's dashboards")]
pub enum Operation {
    /// A whole object was read.
    get,
    /// Parts of an object were read.
    get_range,
    /// Objects were listed.
    iter,
    /// An object was written.
    upload,
    /// An object was deleted.
    delete,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabel {
    operation: Operation,
}

/// The metrics of one store. Clones share their values.
#[derive(Debug, Clone)]
pub struct Metrics {
    operations: Family<OperationLabel, Counter>,
    failures: Family<OperationLabel, Counter>,
    seconds: Family<OperationLabel, Histogram>,
    fetched_bytes: Counter,
    uploaded_bytes: Counter,
    pub(crate) catalog_segments: Gauge,
    pub(crate) catalog_bytes: Gauge,
    pub(crate) catalog_ignored: Gauge,
    pub(crate) catalog_refreshes: Counter,
    pub(crate) footer_hits: Counter,
    pub(crate) footer_misses: Counter,
    pub(crate) footer_cache_bytes: Gauge<i64, std::sync::atomic::AtomicI64>,
    pub(crate) cells_cache_bytes: Gauge<i64, std::sync::atomic::AtomicI64>,
    pub(crate) last_refresh_seconds: Gauge<f64, AtomicU64>,
    pub(crate) index_questions: Counter,
    pub(crate) index_fallbacks: Counter,
    pub(crate) hedges: Counter,
    pub(crate) hedges_limited: Counter,
    pub(crate) hedge_wins: Counter,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            operations: Family::default(),
            failures: Family::default(),
            seconds: Family::new_with_constructor(|| {
                Histogram::new([
                    0.001, 0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0,
                ])
            }),
            fetched_bytes: Counter::default(),
            uploaded_bytes: Counter::default(),
            catalog_segments: Gauge::default(),
            catalog_bytes: Gauge::default(),
            catalog_ignored: Gauge::default(),
            catalog_refreshes: Counter::default(),
            footer_hits: Counter::default(),
            footer_misses: Counter::default(),
            footer_cache_bytes: Gauge::default(),
            cells_cache_bytes: Gauge::default(),
            last_refresh_seconds: Gauge::default(),
            index_questions: Counter::default(),
            index_fallbacks: Counter::default(),
            hedges: Counter::default(),
            hedges_limited: Counter::default(),
            hedge_wins: Counter::default(),
        }
    }
}

impl Metrics {
    /// Metrics that `registry` exposes. Register once per process.
    pub fn register(registry: &mut Registry) -> Self {
        let new = Self::default();
        registry.register(
            "loki_objstore_bucket_operations",
            "Operations on object storage",
            new.operations.clone(),
        );
        registry.register(
            "loki_objstore_bucket_operation_failures",
            "Operations on object storage that failed",
            new.failures.clone(),
        );
        registry.register(
            "loki_objstore_bucket_operation_duration_seconds",
            "How long operations on object storage took",
            new.seconds.clone(),
        );
        registry.register(
            "loki_objstore_bucket_operation_fetched_bytes",
            "Bytes read from object storage",
            new.fetched_bytes.clone(),
        );
        registry.register(
            "loki_objstore_bucket_operation_uploaded_bytes",
            "Bytes written to object storage",
            new.uploaded_bytes.clone(),
        );
        new.register_hedging(registry);
        new.register_index(registry);
        new.register_catalog(registry);
        new
    }

    fn register_index(&self, registry: &mut Registry) {
        registry.register(
            "sigyn_store_index_questions",
            "Questions to index gateways that were answered",
            self.index_questions.clone(),
        );
        registry.register(
            "sigyn_store_index_fallbacks",
            "Questions that no index gateway answered, so that object storage was asked itself",
            self.index_fallbacks.clone(),
        );
    }

    fn register_hedging(&self, registry: &mut Registry) {
        registry.register(
            "sigyn_store_hedged_requests",
            "Reads that were sent again because they were slow",
            self.hedges.clone(),
        );
        registry.register(
            "sigyn_store_hedged_requests_rate_limited",
            "Slow reads that were not sent again because too many were",
            self.hedges_limited.clone(),
        );
        registry.register(
            "sigyn_store_hedged_requests_won",
            "Reads that were sent again and answered before the first",
            self.hedge_wins.clone(),
        );
    }

    fn register_catalog(&self, registry: &mut Registry) {
        registry.register(
            "sigyn_catalog_segments",
            "Segments that the catalog knows",
            self.catalog_segments.clone(),
        );
        registry.register(
            "sigyn_catalog_bytes",
            "Their bytes in object storage",
            self.catalog_bytes.clone(),
        );
        registry.register(
            "sigyn_catalog_ignored_objects",
            "Objects beside the segments whose names are not understood, as last listed",
            self.catalog_ignored.clone(),
        );
        registry.register(
            "sigyn_catalog_refreshes",
            "How often object storage was listed",
            self.catalog_refreshes.clone(),
        );
        registry.register(
            "sigyn_catalog_last_refresh_timestamp_seconds",
            "When object storage was last listed with success",
            self.last_refresh_seconds.clone(),
        );
        registry.register(
            "sigyn_footer_cache_hits",
            "Footers found in memory",
            self.footer_hits.clone(),
        );
        registry.register(
            "sigyn_footer_cache_misses",
            "Footers that had to be read",
            self.footer_misses.clone(),
        );
        registry.register(
            "sigyn_footer_cache_bytes",
            "Memory of the cached footers",
            self.footer_cache_bytes.clone(),
        );
        registry.register(
            "sigyn_cells_cache_bytes",
            "Memory of the cached counts of segments",
            self.cells_cache_bytes.clone(),
        );
    }

    /// Counts one operation.
    pub(crate) fn observe<T>(
        &self,
        operation: Operation,
        took: Duration,
        result: &Result<T, crate::Error>,
    ) {
        let label = OperationLabel { operation };
        self.operations.get_or_create(&label).inc();
        self.seconds.get_or_create(&label).observe(took.as_secs_f64());
        // A missing object is an answer, not a failure of the storage.
        if result.as_ref().is_err_and(|error| !matches!(error, crate::Error::NotFound { .. })) {
            self.failures.get_or_create(&label).inc();
        }
    }

    pub(crate) fn fetched(&self, bytes: u64) {
        self.fetched_bytes.inc_by(bytes);
    }

    pub(crate) fn uploaded(&self, bytes: u64) {
        self.uploaded_bytes.inc_by(bytes);
    }
}
