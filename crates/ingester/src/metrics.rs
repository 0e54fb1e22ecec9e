//! What operators can watch: streams, heads, flushes and the write-ahead log.
//!
//! `loki_*` families are those that Loki's dashboards plot; a stream's rows in one head count as
//! what Loki calls a chunk. The others begin with `sigyn_`.

use std::time::Duration;

use model::TenantId;
use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::{Histogram, exponential_buckets};
use prometheus_client::registry::{Registry, Unit};

use crate::error::Error;
use crate::wal::WalError;
use crate::wal::files::Outgoing;

/// Why a head was flushed.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the names are the label values of Loki's dashboards")]
pub enum FlushReason {
    /// Heads together were large.
    full,
    /// Nothing was appended for a while.
    idle,
    /// The head was old.
    max_age,
    /// Somebody asked.
    forced,
    /// Its records kept old files of the log.
    wal_size,
    /// The replay of the log needed memory.
    replay,
    /// The process stops.
    stop,
    /// Another ingester was to take it over.
    transfer,
}

/// Why an append was refused as a whole.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash, EncodeLabelValue)]
#[expect(non_camel_case_types, reason = "the names are label values")]
enum RefusedFor {
    memory,
    wal,
    stopping,
    other,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TenantLabel {
    tenant: String,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReasonLabel {
    reason: FlushReason,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RefusedLabel {
    tenant: String,
    reason: RefusedFor,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct OperationLabel {
    operation: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct TypeLabel {
    r#type: &'static str,
}

/// The metrics of one ingester. Clones share their values.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    memory_streams: Family<TenantLabel, Gauge>,
    pub(crate) memory_chunks: Gauge,
    pub(crate) head_bytes: Gauge,
    streams_created: Family<TenantLabel, Counter>,
    streams_removed: Family<TenantLabel, Counter>,
    duplicates: Family<TenantLabel, Counter>,
    refused: Family<RefusedLabel, Counter>,
    refused_entries: Family<RefusedLabel, Counter>,
    flush: FlushMetrics,
    wal: WalMetrics,
    pub(crate) tail_subscriptions: Gauge,
    pub(crate) tail_dropped: Counter,
}

#[derive(Debug, Clone)]
struct FlushMetrics {
    chunks: Family<ReasonLabel, Counter>,
    queue_length: Gauge,
    failures: Counter,
    rows_skipped: Counter,
    entries: Histogram,
    bytes: Histogram,
    age: Histogram,
    bounds: Histogram,
    encode: Histogram,
    segments: Counter,
}

#[derive(Debug, Clone)]
struct WalMetrics {
    records: Counter,
    bytes: Counter,
    write: Histogram,
    failures: Family<OperationLabel, Counter>,
    disk_full: Counter,
    corruptions: Family<TypeLabel, Counter>,
    corrupt_bytes: Family<TypeLabel, Counter>,
    files: Gauge,
    disk_bytes: Gauge,
    replay_seconds: Gauge<f64, std::sync::atomic::AtomicU64>,
    replay_active: Gauge,
    recovered_entries: Counter,
    recovered_bytes: Counter,
    skipped_entries: Counter,
}

/// One stream's rows in a head that was flushed.
#[derive(Debug, Clone, Copy)]
pub(crate) struct FlushedRun {
    pub(crate) entries: usize,
    pub(crate) bytes: u64,
    pub(crate) age: Duration,
    pub(crate) span: Duration,
}

impl Default for FlushMetrics {
    fn default() -> Self {
        let ages = [60.0, 300.0, 600.0, 1800.0, 3600.0, 7200.0, 14400.0, 36000.0, 43200.0, 57600.0];
        Self {
            chunks: Family::default(),
            queue_length: Gauge::default(),
            failures: Counter::default(),
            rows_skipped: Counter::default(),
            entries: Histogram::new(exponential_buckets(200.0, 2.0, 9)),
            bytes: Histogram::new(exponential_buckets(20_000.0, 2.0, 10)),
            age: Histogram::new(ages),
            bounds: Histogram::new((1..=8).map(f64::from)),
            encode: Histogram::new(exponential_buckets(0.01, 2.0, 12)),
            segments: Counter::default(),
        }
    }
}

impl Default for WalMetrics {
    fn default() -> Self {
        Self {
            records: Counter::default(),
            bytes: Counter::default(),
            write: Histogram::new(exponential_buckets(0.0001, 2.0, 16)),
            failures: Family::default(),
            disk_full: Counter::default(),
            corruptions: Family::default(),
            corrupt_bytes: Family::default(),
            files: Gauge::default(),
            disk_bytes: Gauge::default(),
            replay_seconds: Gauge::default(),
            replay_active: Gauge::default(),
            recovered_entries: Counter::default(),
            recovered_bytes: Counter::default(),
            skipped_entries: Counter::default(),
        }
    }
}

impl Metrics {
    /// Metrics that `registry` exposes. Register once per process.
    pub fn register(registry: &mut Registry) -> Self {
        let new = Self::default();
        new.register_heads(registry);
        new.flush.register(registry);
        new.wal.register(registry);
        let mut add = |name: &str, help: &str, metric: &Counter| {
            registry.register(name, help, metric.clone());
        };
        add(
            "sigyn_tail_dropped_entries",
            "Entries that a tail's reader was too slow for",
            &new.tail_dropped,
        );
        registry.register(
            "sigyn_tail_subscriptions",
            "Readers that are told of new entries",
            new.tail_subscriptions.clone(),
        );
        new
    }

    fn register_heads(&self, registry: &mut Registry) {
        let new = self;
        registry.register(
            "loki_ingester_memory_streams",
            "Streams in memory",
            new.memory_streams.clone(),
        );
        registry.register(
            "loki_ingester_memory_chunks",
            "Streams with rows in a head, counted by head",
            new.memory_chunks.clone(),
        );
        registry.register_with_unit(
            "sigyn_ingester_head",
            "Memory of all heads, those being flushed included",
            Unit::Bytes,
            new.head_bytes.clone(),
        );
        registry.register(
            "loki_ingester_streams_created",
            "Streams that were seen for the first time",
            new.streams_created.clone(),
        );
        registry.register(
            "loki_ingester_streams_removed",
            "Streams that were forgotten",
            new.streams_removed.clone(),
        );
        registry.register(
            "sigyn_ingester_duplicate_entries",
            "Entries that were left out because the stream's last entry is the same",
            new.duplicates.clone(),
        );
        registry.register(
            "sigyn_ingester_refused_appends",
            "Appends that were refused as a whole and must be sent again",
            new.refused.clone(),
        );
        registry.register(
            "sigyn_ingester_refused_entries",
            "Entries of these appends",
            new.refused_entries.clone(),
        );
    }

    pub(crate) fn stream_created(&self, tenant: &TenantId) {
        self.streams_created.get_or_create(&label(tenant)).inc();
        self.memory_streams.get_or_create(&label(tenant)).inc();
    }

    pub(crate) fn streams_removed(&self, tenant: &TenantId, count: usize) {
        self.streams_removed.get_or_create(&label(tenant)).inc_by(count as u64);
        self.memory_streams.get_or_create(&label(tenant)).dec_by(count as i64);
    }

    pub(crate) fn duplicates(&self, tenant: &TenantId, count: u64) {
        self.duplicates.get_or_create(&label(tenant)).inc_by(count);
    }

    pub(crate) fn refused(&self, tenant: &TenantId, entries: u64, error: &Error) {
        let reason = match error {
            Error::MemoryFull { .. } => RefusedFor::memory,
            Error::Wal { .. } => RefusedFor::wal,
            Error::Stopping => RefusedFor::stopping,
            _ => RefusedFor::other,
        };
        let label = RefusedLabel { tenant: tenant.to_string(), reason };
        self.refused.get_or_create(&label).inc();
        self.refused_entries.get_or_create(&label).inc_by(entries);
    }

    pub(crate) fn flush_queued(&self) {
        self.flush.queue_length.inc();
    }

    pub(crate) fn flush_failed(&self) {
        self.flush.failures.inc();
    }

    pub(crate) fn rows_skipped(&self, rows: u64) {
        self.flush.rows_skipped.inc_by(rows);
    }

    pub(crate) fn encoded(&self, took: Duration) {
        self.flush.encode.observe(took.as_secs_f64());
    }

    pub(crate) fn flush_done(&self, segments: usize) {
        self.flush.queue_length.dec();
        self.flush.segments.inc_by(segments as u64);
    }

    pub(crate) fn run_flushed(&self, reason: FlushReason, run: FlushedRun) {
        self.flush.chunks.get_or_create(&ReasonLabel { reason }).inc();
        self.flush.entries.observe(run.entries as f64);
        self.flush.bytes.observe(run.bytes as f64);
        self.flush.age.observe(run.age.as_secs_f64());
        self.flush.bounds.observe(run.span.as_secs_f64() / 3600.0);
    }

    pub(crate) fn wal_wrote(&self, records: &[Outgoing], took: Duration) {
        self.wal.records.inc_by(records.len() as u64);
        self.wal.bytes.inc_by(records.iter().map(Outgoing::record_bytes).sum());
        self.wal.write.observe(took.as_secs_f64());
    }

    pub(crate) fn wal_failed(&self, error: &WalError) {
        let label = OperationLabel { operation: error.doing };
        self.wal.failures.get_or_create(&label).inc();
        if error.is_disk_full {
            self.wal.disk_full.inc();
        }
    }

    pub(crate) fn wal_size(&self, files: usize, bytes: u64) {
        self.wal.files.set(files as i64);
        self.wal.disk_bytes.set(bytes as i64);
    }

    pub(crate) fn wal_damaged(&self, kind: &'static str, bytes: u64) {
        let label = TypeLabel { r#type: kind };
        self.wal.corruptions.get_or_create(&label).inc();
        self.wal.corrupt_bytes.get_or_create(&label).inc_by(bytes);
    }

    pub(crate) fn replay_began(&self) {
        self.wal.replay_active.set(1);
    }

    pub(crate) fn replayed(&self, entries: u64, bytes: u64) {
        self.wal.recovered_entries.inc_by(entries);
        self.wal.recovered_bytes.inc_by(bytes);
    }

    pub(crate) fn replay_skipped(&self, entries: u64) {
        self.wal.skipped_entries.inc_by(entries);
    }

    pub(crate) fn replay_ended(&self, took: Duration) {
        self.wal.replay_active.set(0);
        self.wal.replay_seconds.set(took.as_secs_f64());
    }
}

impl FlushMetrics {
    fn register(&self, registry: &mut Registry) {
        registry.register(
            "loki_ingester_chunks_flushed",
            "Streams with rows in a head that was stored, by why it was flushed",
            self.chunks.clone(),
        );
        registry.register(
            "loki_ingester_flush_queue_length",
            "Heads that wait to be stored or are being stored",
            self.queue_length.clone(),
        );
        registry.register(
            "loki_ingester_chunk_entries",
            "Rows of a stream in a head that was stored",
            self.entries.clone(),
        );
        registry.register(
            "loki_ingester_chunk_size_bytes",
            "Line bytes of a stream in a head that was stored",
            self.bytes.clone(),
        );
        registry.register(
            "loki_ingester_chunk_age_seconds",
            "How old a head was when it was stored",
            self.age.clone(),
        );
        registry.register(
            "loki_ingester_chunk_bounds_hours",
            "Time between a stream's first and last row in a head that was stored",
            self.bounds.clone(),
        );
        registry.register(
            "sigyn_ingester_flush_failures",
            "Flushes that failed and are tried again",
            self.failures.clone(),
        );
        registry.register(
            "sigyn_ingester_rows_skipped",
            "Rows that were not stored because another replica had stored them",
            self.rows_skipped.clone(),
        );
        registry.register(
            "sigyn_ingester_encode_duration_seconds",
            "How long a head took to become segments",
            self.encode.clone(),
        );
        registry.register(
            "sigyn_ingester_segments_uploaded",
            "Segments that were stored",
            self.segments.clone(),
        );
    }
}

impl WalMetrics {
    fn register(&self, registry: &mut Registry) {
        let mut add = |name: &str, help: &str, counter: &Counter| {
            registry.register(name, help, counter.clone());
        };
        add("loki_ingester_wal_records_logged", "Records written to the log", &self.records);
        add("loki_ingester_wal_logged_bytes", "Bytes written to the log", &self.bytes);
        add(
            "loki_ingester_wal_disk_full_failures",
            "Writes that failed because the disk was full",
            &self.disk_full,
        );
        add(
            "loki_ingester_wal_recovered_entries",
            "Entries that were in memory again after the log was replayed",
            &self.recovered_entries,
        );
        add(
            "loki_ingester_wal_recovered_bytes",
            "Bytes of replayed records",
            &self.recovered_bytes,
        );
        add(
            "sigyn_wal_replay_skipped_entries",
            "Entries that replay left out because they were stored before",
            &self.skipped_entries,
        );
        registry.register(
            "sigyn_wal_write_duration_seconds",
            "How long a group took to be written and synced",
            self.write.clone(),
        );
        registry.register(
            "sigyn_wal_failures",
            "Operations on the log that failed",
            self.failures.clone(),
        );
        registry.register(
            "loki_ingester_wal_corruptions",
            "Damaged places that replay came across",
            self.corruptions.clone(),
        );
        registry.register(
            "sigyn_wal_corrupt_bytes",
            "Bytes of these places",
            self.corrupt_bytes.clone(),
        );
        self.register_gauges(registry);
    }

    fn register_gauges(&self, registry: &mut Registry) {
        registry.register("sigyn_wal_files", "Files of the log", self.files.clone());
        registry.register("sigyn_wal_disk_bytes", "Bytes of the log", self.disk_bytes.clone());
        registry.register(
            "loki_ingester_wal_replay_duration_seconds",
            "How long the last replay took",
            self.replay_seconds.clone(),
        );
        registry.register(
            "loki_ingester_wal_replay_active",
            "Whether the log is being replayed",
            self.replay_active.clone(),
        );
    }
}

fn label(tenant: &TenantId) -> TenantLabel {
    TenantLabel { tenant: tenant.to_string() }
}
