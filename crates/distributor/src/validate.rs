//! What a tenant may store: checks of streams and of entries.
//!
//! A refusal names the reason that metrics count and the text that the client reads; both are
//! Loki's. Texts are only written when somebody will read them.

use api::push::PushEntry;
use model::{Labels, Timestamp};

use crate::limits::Limits;
use crate::metadata;
use crate::metrics::LINE_TOO_LONG;
use crate::service_name::SERVICE_NAME;

#[cfg(test)]
mod tests;

/// The reason counted beside the particular one when a stream's labels are refused.
pub(crate) const INVALID_LABELS: &str = "invalid_labels";

/// Why a stream is refused, with all its entries.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct StreamRefusal {
    pub(crate) reason: &'static str,
    pub(crate) message: String,
    /// Whether the labels are at fault, which is counted once more.
    pub(crate) is_of_labels: bool,
}

/// Checks the labels of a stream; `canonical` is their text.
pub(crate) fn check_labels(
    labels: &Labels,
    canonical: &str,
    limits: &Limits,
) -> Result<(), StreamRefusal> {
    let refuse = |reason, message| Err(StreamRefusal { reason, message, is_of_labels: true });
    if labels.is_empty() {
        let message = "error at least one label pair is required per stream".to_owned();
        return refuse("missing_labels", message);
    }
    let free = usize::from(labels.get(SERVICE_NAME).is_some());
    let (count, most) = (labels.len() - free, limits.max_label_names);
    if count > most {
        let message =
            format!("entry for stream '{canonical}' has {count} label names; limit {most}");
        return refuse("max_label_names_per_series", message);
    }
    for (name, value) in labels.iter() {
        if name.len() > limits.max_label_name_bytes {
            let message = format!("stream '{canonical}' has label name too long: '{name}'");
            return refuse("label_name_too_long", message);
        }
        if value.len() > limits.max_label_value_bytes {
            let message = format!("stream '{canonical}' has label value too long: '{value}'");
            return refuse("label_value_too_long", message);
        }
    }
    Ok(())
}

/// Checks that a stream carries the labels that the tenant enforces, for all and for its policy.
pub(crate) fn check_enforced(
    labels: &Labels,
    canonical: &str,
    policy: &str,
    tenant: &str,
    limits: &Limits,
) -> Result<(), StreamRefusal> {
    let of_policies = limits.policy_enforced_labels.iter();
    let of_policy = of_policies.filter(|(name, _)| name == "*" || name == policy);
    let enforced = limits.enforced_labels.iter().chain(of_policy.flat_map(|(_, names)| names));
    let mut missing: Vec<&str> = Vec::new();
    for name in enforced {
        if labels.get(name).is_none() && !missing.contains(&name.as_str()) {
            missing.push(name);
        }
    }
    if missing.is_empty() {
        return Ok(());
    }
    let missing = missing.join(",");
    let message = format!(
        "missing required labels {missing} for user {tenant} for stream {canonical} for policy {policy}"
    );
    Err(StreamRefusal { reason: "missing_enforced_labels", message, is_of_labels: false })
}

/// Whether a tenant, or a policy of it, takes nothing in at the moment.
pub(crate) fn check_blocked(
    policy: &str,
    tenant: &str,
    limits: &Limits,
    now: Timestamp,
) -> Result<(), StreamRefusal> {
    let of_policy = || {
        let until = limits.block_ingestion_policy_until.iter();
        until.filter(|(name, _)| name == policy).map(|(_, until)| *until).next()
    };
    let is_in_force = |until: &Timestamp| now < *until;
    let (reason, until) = match limits.block_ingestion_until.filter(is_in_force) {
        Some(until) => ("blocked_ingestion", until),
        None => match of_policy().filter(is_in_force) {
            Some(until) => ("blocked_ingestion_policy", until),
            None => return Ok(()),
        },
    };
    let (until, status) = (in_seconds(until), limits.block_ingestion_status);
    let message =
        format!("ingestion blocked for user {tenant} until '{until}' with status code '{status}'");
    Err(StreamRefusal { reason, message, is_of_labels: false })
}

/// Why an entry is refused.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum EntryRefusal {
    TooOld { timestamp: Timestamp, oldest: Timestamp },
    TooNew { timestamp: Timestamp },
    LineTooLong { bytes: usize, limit: usize },
    MetadataDisallowed,
    MetadataTooLarge { bytes: usize, limit: usize },
    MetadataTooMany { pairs: usize, limit: usize },
    MetadataName { name: String },
}

impl EntryRefusal {
    /// The reason that metrics count.
    pub(crate) fn reason(&self) -> &'static str {
        match self {
            Self::TooOld { .. } => "greater_than_max_sample_age",
            Self::TooNew { .. } => "too_far_in_future",
            Self::LineTooLong { .. } => LINE_TOO_LONG,
            Self::MetadataDisallowed => "disallowed_structured_metadata",
            Self::MetadataTooLarge { .. } => "structured_metadata_too_large",
            Self::MetadataTooMany { .. } => "structured_metadata_too_many",
            Self::MetadataName { .. } => "invalid_structured_metadata",
        }
    }

    /// The text for the client.
    pub(crate) fn message(&self, stream: &str) -> String {
        match self {
            Self::TooOld { timestamp, oldest } => format!(
                "entry for stream '{stream}' has timestamp too old: {}, oldest acceptable timestamp is: {}",
                in_seconds(*timestamp),
                in_seconds(*oldest)
            ),
            Self::TooNew { timestamp } => {
                format!(
                    "entry for stream '{stream}' has timestamp too new: {}",
                    in_seconds(*timestamp)
                )
            }
            Self::LineTooLong { bytes, limit } => format!(
                "max entry size '{limit}' bytes exceeded for stream '{stream}' while adding an entry with length '{bytes}' bytes"
            ),
            Self::MetadataDisallowed => format!(
                "stream '{stream}' includes structured metadata, but this feature is disallowed. Please see `limits_config.allow_structured_metadata` or contact your Loki administrator to enable it"
            ),
            Self::MetadataTooLarge { bytes, limit } => format!(
                "stream '{stream}' has structured metadata too large: '{bytes}' bytes, limit: '{limit}' bytes. Please see `limits_config.max_structured_metadata_size` or contact your Loki administrator to increase it"
            ),
            Self::MetadataTooMany { pairs, limit } => format!(
                "stream '{stream}' has too many structured metadata labels: '{pairs}', limit: '{limit}'. Please see `limits_config.max_structured_metadata_entries_count` or contact your Loki administrator to increase it"
            ),
            Self::MetadataName { name } => {
                format!(
                    "stream '{stream}' has a structured metadata name without letter or digit: '{name}'"
                )
            }
        }
    }
}

/// A time without its fraction of a second.
fn in_seconds(timestamp: Timestamp) -> Timestamp {
    Timestamp(timestamp.0.saturating_sub(timestamp.0.rem_euclid(model::time::SECOND_NS)))
}

/// The checks of entries, prepared for one push.
#[derive(Debug, Clone, Copy)]
pub(crate) struct EntryChecks<'l> {
    limits: &'l Limits,
    oldest: Option<Timestamp>,
    newest: Timestamp,
}

impl<'l> EntryChecks<'l> {
    /// Prepares the checks; a backfill may be of any age.
    pub(crate) fn new(limits: &'l Limits, now: Timestamp, is_backfill: bool) -> Self {
        let oldest = limits.max_entry_age.filter(|_| !is_backfill).map(|age| now.minus(age));
        Self { limits, oldest, newest: now.plus(limits.creation_grace_period) }
    }

    /// Checks an entry.
    pub(crate) fn check(&self, entry: &PushEntry<'_>) -> Result<(), EntryRefusal> {
        let (timestamp, limits) = (entry.timestamp, self.limits);
        if let Some(oldest) = self.oldest.filter(|oldest| timestamp < *oldest) {
            return Err(EntryRefusal::TooOld { timestamp, oldest });
        }
        if timestamp > self.newest {
            return Err(EntryRefusal::TooNew { timestamp });
        }
        let (bytes, limit) = (entry.line.len(), limits.max_line_bytes);
        if limit > 0 && bytes > limit {
            return Err(EntryRefusal::LineTooLong { bytes, limit });
        }
        if entry.metadata.is_empty() && entry.shared.is_none() {
            return Ok(());
        }
        self.check_metadata(entry)
    }

    fn check_metadata(&self, entry: &PushEntry<'_>) -> Result<(), EntryRefusal> {
        let limits = self.limits;
        let metadata::Size { pairs, bytes } = metadata::size(entry);
        if !limits.allow_structured_metadata && pairs > 0 {
            return Err(EntryRefusal::MetadataDisallowed);
        }
        let limit = limits.max_structured_metadata_bytes;
        if limit > 0 && bytes > limit {
            return Err(EntryRefusal::MetadataTooLarge { bytes, limit });
        }
        let limit = limits.max_structured_metadata_pairs;
        if limit > 0 && pairs > limit {
            return Err(EntryRefusal::MetadataTooMany { pairs, limit });
        }
        match metadata::invalid_name(entry) {
            Some(name) => Err(EntryRefusal::MetadataName { name: name.to_owned() }),
            None => Ok(()),
        }
    }
}
