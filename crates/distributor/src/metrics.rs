//! What operators can watch: what came in, what was refused and why, what was changed.
//!
//! A push adds up its numbers in a [`Tally`] and publishes them once, so that the cost does not
//! grow with its lines.

use api::push::PushEntry;
use model::TenantId;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::registry::Registry;

use crate::distributor::PushFormat;
use crate::metadata;
use crate::streams::KnownStream;

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReceivedBytes {
    tenant: String,
    retention_hours: String,
    is_internal_stream: &'static str,
    policy: String,
    format: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct ReceivedLines {
    tenant: String,
    is_internal_stream: &'static str,
    policy: String,
    format: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Discarded {
    reason: &'static str,
    tenant: String,
    retention_hours: String,
    policy: String,
    format: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Mutated {
    reason: &'static str,
    tenant: String,
}

/// The distributor's metrics. Clones share their values.
#[derive(Debug, Clone, Default)]
pub(crate) struct Metrics {
    received_bytes: Family<ReceivedBytes, Counter>,
    received_metadata_bytes: Family<ReceivedBytes, Counter>,
    received_lines: Family<ReceivedLines, Counter>,
    discarded_samples: Family<Discarded, Counter>,
    discarded_bytes: Family<Discarded, Counter>,
    mutated_samples: Family<Mutated, Counter>,
    mutated_bytes: Family<Mutated, Counter>,
}

impl Metrics {
    /// Metrics that `registry` exposes. Register once per process.
    pub(crate) fn register(registry: &mut Registry) -> Self {
        let new = Self::default();
        registry.register(
            "loki_distributor_bytes_received",
            "Bytes of lines and structured metadata that clients pushed",
            new.received_bytes.clone(),
        );
        registry.register(
            "loki_distributor_structured_metadata_bytes_received",
            "Bytes of structured metadata that clients pushed",
            new.received_metadata_bytes.clone(),
        );
        registry.register(
            "loki_distributor_lines_received",
            "Lines that clients pushed",
            new.received_lines.clone(),
        );
        registry.register(
            "loki_discarded_samples",
            "Entries that were refused",
            new.discarded_samples.clone(),
        );
        registry.register(
            "loki_discarded_bytes",
            "Bytes of lines and structured metadata that were refused",
            new.discarded_bytes.clone(),
        );
        registry.register(
            "loki_mutated_samples",
            "Entries that were changed before they were stored",
            new.mutated_samples.clone(),
        );
        registry.register(
            "loki_mutated_bytes",
            "Bytes that were cut off entries",
            new.mutated_bytes.clone(),
        );
        new
    }

    /// Publishes the numbers of one push.
    pub(crate) fn publish(&self, tally: Tally, tenant: &TenantId, context: &TallyContext<'_>) {
        let tenant = tenant.as_str();
        let format = format_label(context.format);
        for (key, received) in tally.received {
            let labels = ReceivedBytes {
                tenant: tenant.to_owned(),
                retention_hours: context.retention_hours.to_owned(),
                is_internal_stream: if key.is_internal { "true" } else { "false" },
                policy: key.policy.clone(),
                format,
            };
            let lines = ReceivedLines {
                tenant: tenant.to_owned(),
                is_internal_stream: labels.is_internal_stream,
                policy: key.policy,
                format,
            };
            self.received_lines.get_or_create(&lines).inc_by(received.lines);
            self.received_bytes.get_or_create(&labels).inc_by(received.bytes);
            self.received_metadata_bytes.get_or_create(&labels).inc_by(received.metadata_bytes);
        }
        for (reason, policy, amount) in tally.discarded {
            let labels = Discarded {
                reason,
                tenant: tenant.to_owned(),
                retention_hours: context.retention_hours.to_owned(),
                policy,
                format,
            };
            self.discarded_samples.get_or_create(&labels).inc_by(amount.entries);
            self.discarded_bytes.get_or_create(&labels).inc_by(amount.bytes);
        }
        if tally.truncated.entries > 0 {
            let labels = Mutated { reason: LINE_TOO_LONG, tenant: tenant.to_owned() };
            self.mutated_samples.get_or_create(&labels).inc_by(tally.truncated.entries);
            self.mutated_bytes.get_or_create(&labels).inc_by(tally.truncated.bytes);
        }
    }
}

/// The reason under which cut lines are counted, and refused ones too.
pub(crate) const LINE_TOO_LONG: &str = "line_too_long";

fn format_label(format: PushFormat) -> &'static str {
    match format {
        PushFormat::Loki => "loki",
        PushFormat::Otlp => "otlp",
    }
}

/// What all numbers of a push share.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TallyContext<'a> {
    pub(crate) format: PushFormat,
    pub(crate) retention_hours: &'a str,
}

/// A number of entries and their bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub(crate) struct Amount {
    pub(crate) entries: u64,
    pub(crate) bytes: u64,
}

impl Amount {
    /// Takes away what was counted before.
    pub(crate) fn subtract(&mut self, other: Self) {
        self.entries = self.entries.saturating_sub(other.entries);
        self.bytes = self.bytes.saturating_sub(other.bytes);
    }

    /// Adds up.
    pub(crate) fn add(&mut self, other: Self) {
        self.entries += other.entries;
        self.bytes += other.bytes;
    }

    /// One entry: its line and its metadata without the level.
    pub(crate) fn of(entry: &PushEntry<'_>) -> Self {
        Self { entries: 1, bytes: (entry.line.len() + metadata::size(entry).bytes) as u64 }
    }

    /// All of these entries.
    pub(crate) fn of_all(entries: &[PushEntry<'_>]) -> Self {
        let mut sum = Self::default();
        entries.iter().for_each(|entry| sum.add(Self::of(entry)));
        sum
    }
}

#[derive(Debug, Clone, PartialEq, Eq)]
struct ReceivedKey {
    is_internal: bool,
    policy: String,
}

#[derive(Debug, Clone, Copy, Default)]
struct Received {
    lines: u64,
    /// Of lines and metadata.
    bytes: u64,
    metadata_bytes: u64,
}

/// The numbers of one push. A push has few policies and few reasons, so plain lists do.
#[derive(Debug, Default)]
pub(crate) struct Tally {
    received: Vec<(ReceivedKey, Received)>,
    discarded: Vec<(&'static str, String, Amount)>,
    truncated: Amount,
}

impl Tally {
    /// Counts entries as received; answers their amount.
    pub(crate) fn receive(&mut self, stream: &KnownStream, entries: &[PushEntry<'_>]) -> Amount {
        let received = self.received_of(stream);
        let mut amount = Amount::default();
        for entry in entries {
            let (line, metadata) = (entry.line.len() as u64, metadata::size(entry).bytes as u64);
            amount.add(Amount { entries: 1, bytes: line + metadata });
            received.metadata_bytes += metadata;
        }
        received.lines += amount.entries;
        received.bytes += amount.bytes;
        amount
    }

    fn received_of(&mut self, stream: &KnownStream) -> &mut Received {
        let index = self.received.iter().position(|(key, _)| {
            key.is_internal == stream.is_internal && *key.policy == *stream.policy
        });
        let index = index.unwrap_or_else(|| {
            let (is_internal, policy) = (stream.is_internal, stream.policy.to_string());
            self.received.push((ReceivedKey { is_internal, policy }, Received::default()));
            self.received.len() - 1
        });
        &mut self.received[index].1
    }

    /// Counts entries as refused.
    pub(crate) fn discard(&mut self, reason: &'static str, policy: &str, amount: Amount) {
        let known = self.discarded.iter_mut().find(|(r, p, _)| *r == reason && p == policy);
        match known {
            Some((_, _, sum)) => sum.add(amount),
            None => self.discarded.push((reason, policy.to_owned(), amount)),
        }
    }

    /// Counts a line as cut.
    pub(crate) fn truncate(&mut self, bytes: u64) {
        self.truncated.add(Amount { entries: 1, bytes });
    }
}
