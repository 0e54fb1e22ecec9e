//! What operators can watch. Names that Loki's dashboards and alerts use are Loki's.

use std::sync::atomic::AtomicU64;
use std::time::Duration;

use model::{TenantId, Timestamp};
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

type Seconds = Gauge<f64, AtomicU64>;

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the names are the label values of Loki's dashboards")]
pub(crate) enum Status {
    success,
    failure,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StatusLabel {
    status: Status,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct UserLabel {
    user: String,
}

/// Why a segment left object storage.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the names are the label's values")]
pub(crate) enum Reason {
    superseded,
    expired,
    size,
    deleted,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: Reason,
}

/// The metrics of a compactor. Clones share their values.
#[derive(Debug, Clone)]
pub struct Metrics {
    running: Gauge,
    rounds: Family<StatusLabel, Counter>,
    round_seconds: Seconds,
    round_succeeded: Seconds,
    retention_rounds: Family<StatusLabel, Counter>,
    retention_seconds: Seconds,
    retention_succeeded: Seconds,
    merges: Family<StatusLabel, Counter>,
    merge_seconds: Histogram,
    pub(crate) input_segments: Counter,
    pub(crate) input_bytes: Counter,
    pub(crate) output_bytes: Counter,
    pub(crate) line_bytes: Counter,
    pub(crate) copies: Counter,
    pub(crate) expired: Counter,
    removed: Family<ReasonLabel, Counter>,
    pub(crate) superseded: Gauge,
    received: Family<UserLabel, Counter>,
    processed: Family<UserLabel, Counter>,
    /// A gauge, because Loki's name has no `_total`.
    deleted_lines: Family<UserLabel, Gauge>,
    pending: Gauge,
    oldest_pending: Seconds,
    loads: Family<StatusLabel, Counter>,
}

impl Default for Metrics {
    fn default() -> Self {
        Self {
            running: Gauge::default(),
            rounds: Family::default(),
            round_seconds: Gauge::default(),
            round_succeeded: Gauge::default(),
            retention_rounds: Family::default(),
            retention_seconds: Gauge::default(),
            retention_succeeded: Gauge::default(),
            merges: Family::default(),
            merge_seconds: Histogram::new([0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 60.0]),
            input_segments: Counter::default(),
            input_bytes: Counter::default(),
            output_bytes: Counter::default(),
            line_bytes: Counter::default(),
            copies: Counter::default(),
            expired: Counter::default(),
            removed: Family::default(),
            superseded: Gauge::default(),
            received: Family::default(),
            processed: Family::default(),
            deleted_lines: Family::default(),
            pending: Gauge::default(),
            oldest_pending: Gauge::default(),
            loads: Family::default(),
        }
    }
}

impl Metrics {
    /// Metrics that `registry` exposes. Register once per process.
    pub fn register(registry: &mut Registry) -> Self {
        let new = Self::default();
        new.register_rounds(registry);
        new.register_merges(registry);
        new.register_deletes(registry);
        new
    }

    fn register_rounds(&self, registry: &mut Registry) {
        registry.register(
            "loki_boltdb_shipper_compactor_running",
            "Whether the compactor runs in this process",
            self.running.clone(),
        );
        registry.register(
            "loki_boltdb_shipper_compact_tables_operation",
            "Rounds of compaction",
            self.rounds.clone(),
        );
        registry.register(
            "loki_boltdb_shipper_compact_tables_operation_duration_seconds",
            "How long the last round of compaction took",
            self.round_seconds.clone(),
        );
        registry.register(
            "loki_boltdb_shipper_compact_tables_operation_last_successful_run_timestamp_seconds",
            "When the last round of compaction succeeded",
            self.round_succeeded.clone(),
        );
        registry.register(
            "loki_compactor_apply_retention_operation",
            "Rounds of retention",
            self.retention_rounds.clone(),
        );
        registry.register(
            "loki_compactor_apply_retention_operation_duration_seconds",
            "How long the last round of retention took",
            self.retention_seconds.clone(),
        );
        registry.register(
            "loki_compactor_apply_retention_last_successful_run_timestamp_seconds",
            "When the last round of retention succeeded",
            self.retention_succeeded.clone(),
        );
        registry.register(
            "sigyn_compactor_removed_segments",
            "Segments that were removed from object storage, by reason",
            self.removed.clone(),
        );
        registry.register(
            "sigyn_compactor_superseded_segments",
            "Segments whose rows others took over and that are not removed yet",
            self.superseded.clone(),
        );
    }

    fn register_merges(&self, registry: &mut Registry) {
        registry.register("sigyn_compactor_merges", "Merges of segments", self.merges.clone());
        registry.register(
            "sigyn_compactor_merge_duration_seconds",
            "How long merges took",
            self.merge_seconds.clone(),
        );
        registry.register(
            "sigyn_compactor_input_segments",
            "Segments that were merged",
            self.input_segments.clone(),
        );
        registry.register(
            "sigyn_compactor_input_bytes",
            "Their bytes in object storage",
            self.input_bytes.clone(),
        );
        registry.register(
            "sigyn_compactor_output_bytes",
            "Bytes of the segments that merges made",
            self.output_bytes.clone(),
        );
        registry.register(
            "sigyn_compactor_line_bytes",
            "Line bytes that were merged",
            self.line_bytes.clone(),
        );
        registry.register(
            "sigyn_compactor_duplicate_lines",
            "Lines that stood in several segments and now stand once",
            self.copies.clone(),
        );
        registry.register(
            "sigyn_compactor_expired_lines",
            "Lines that merges left out because they had expired",
            self.expired.clone(),
        );
    }

    fn register_deletes(&self, registry: &mut Registry) {
        registry.register(
            "loki_compactor_delete_requests_received",
            "Delete requests that were received",
            self.received.clone(),
        );
        registry.register(
            "loki_compactor_delete_requests_processed",
            "Delete requests that were processed",
            self.processed.clone(),
        );
        registry.register(
            "loki_compactor_deleted_lines",
            "Lines that delete requests removed",
            self.deleted_lines.clone(),
        );
        registry.register(
            "loki_compactor_pending_delete_requests_count",
            "Delete requests that are not processed yet",
            self.pending.clone(),
        );
        registry.register(
            "loki_compactor_oldest_pending_delete_request_age_seconds",
            "Age of the oldest of them",
            self.oldest_pending.clone(),
        );
        registry.register(
            "loki_compactor_load_pending_requests_attempts",
            "How often the delete requests were listed",
            self.loads.clone(),
        );
    }

    pub(crate) fn running(&self, is_running: bool) {
        self.running.set(i64::from(is_running));
    }

    pub(crate) fn round_ended(&self, is_success: bool, took: Duration, now: Timestamp) {
        self.rounds.get_or_create(&label(is_success)).inc();
        self.round_seconds.set(took.as_secs_f64());
        if is_success {
            self.round_succeeded.set(now.as_millis() as f64 / 1e3);
        }
    }

    pub(crate) fn retention_ended(&self, is_success: bool, took: Duration, now: Timestamp) {
        self.retention_rounds.get_or_create(&label(is_success)).inc();
        self.retention_seconds.set(took.as_secs_f64());
        if is_success {
            self.retention_succeeded.set(now.as_millis() as f64 / 1e3);
        }
    }

    pub(crate) fn merge_ended(&self, is_success: bool, took: Duration) {
        self.merges.get_or_create(&label(is_success)).inc();
        self.merge_seconds.observe(took.as_secs_f64());
    }

    pub(crate) fn removed(&self, reason: Reason) {
        self.removed.get_or_create(&ReasonLabel { reason }).inc();
    }

    pub(crate) fn listed(&self, is_success: bool) {
        self.loads.get_or_create(&label(is_success)).inc();
    }

    pub(crate) fn delete_received(&self, tenant: &TenantId) {
        self.received.get_or_create(&user(tenant)).inc();
    }

    pub(crate) fn delete_processed(&self, tenant: &TenantId) {
        self.processed.get_or_create(&user(tenant)).inc();
    }

    pub(crate) fn lines_deleted(&self, tenant: &TenantId, lines: u64) {
        if lines > 0 {
            self.deleted_lines.get_or_create(&user(tenant)).inc_by(lines as i64);
        }
    }

    pub(crate) fn pending(&self, count: usize, oldest: Option<Duration>) {
        self.pending.set(count as i64);
        self.oldest_pending.set(oldest.unwrap_or_default().as_secs_f64());
    }
}

fn label(is_success: bool) -> StatusLabel {
    StatusLabel { status: if is_success { Status::success } else { Status::failure } }
}

fn user(tenant: &TenantId) -> UserLabel {
    UserLabel { user: tenant.to_string() }
}
