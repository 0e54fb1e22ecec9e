//! What the distributor enforces for a tenant.
//!
//! Defaults are Loki's. The server fills these from its configuration and may replace them while
//! the program runs; whoever holds an old value finishes one push with it.

use std::time::Duration;

use model::{Labels, Matcher, Timestamp};

/// The limits of one tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Bytes a second a tenant may push, counted after validation. Higher lets one tenant take more
    /// of the machine.
    pub ingestion_rate_bytes: f64,
    /// Whether the rate holds for the whole cluster or for each distributor.
    pub rate_strategy: RateStrategy,
    /// Bytes a tenant may push at once; must be at least the largest push, or that push can never
    /// be accepted.
    pub ingestion_burst_bytes: f64,
    /// Longest label name, in bytes.
    pub max_label_name_bytes: usize,
    /// Longest label value, in bytes.
    pub max_label_value_bytes: usize,
    /// Most labels of a stream; `service_name` is free.
    pub max_label_names: usize,
    /// How old an entry may be; `None` accepts any age.
    pub max_entry_age: Option<Duration>,
    /// How far in the future an entry may lie.
    pub creation_grace_period: Duration,
    /// Longest line, in bytes; 0 accepts any length.
    pub max_line_bytes: usize,
    /// What happens to longer lines.
    pub long_lines: LongLines,
    /// Whether an entry with the time of its predecessor and another line moves on by a nanosecond.
    pub increment_duplicate_timestamp: bool,
    /// New metadata names, each with the fields it is taken from; the first field found wins.
    pub discover_generic_fields: Vec<(String, Vec<String>)>,
    /// Labels whose value becomes `service_name`, best first; empty switches it off.
    pub discover_service_name: Vec<String>,
    /// Whether entries get a `detected_level`.
    pub discover_log_levels: bool,
    /// Where a level may stand: labels, metadata, and keys of JSON and logfmt lines, best first.
    pub log_level_fields: Vec<String>,
    /// How many levels of objects of a JSON line are searched for a level; 0 searches all.
    pub log_level_json_depth_max: u32,
    /// Whether entries may carry structured metadata.
    pub allow_structured_metadata: bool,
    /// Most bytes of structured metadata of an entry; 0 accepts any.
    pub max_structured_metadata_bytes: usize,
    /// Most pairs of structured metadata of an entry; 0 accepts any.
    pub max_structured_metadata_pairs: usize,
    /// When a stream is split; only where [`crate::Config::shard_streams`] is set.
    pub shard_streams: StreamSharding,
    /// Until when pushes are refused; `None` accepts them.
    pub block_ingestion_until: Option<Timestamp>,
    /// Until when pushes of a policy are refused.
    pub block_ingestion_policy_until: Vec<(String, Timestamp)>,
    /// The HTTP status of a refusal by the two settings above; 200 drops silently.
    pub block_ingestion_status: u16,
    /// Labels every stream must carry.
    pub enforced_labels: Vec<String>,
    /// Labels the streams of a policy must carry; policy `*` stands for all.
    pub policy_enforced_labels: Vec<(String, Vec<String>)>,
    /// Which streams belong to which policy; the first of the highest priority wins.
    pub policies: Vec<PolicySelector>,
    /// The tenant's retention in whole hours, as metrics show it; empty when kept for ever.
    pub retention_hours: String,
}

/// What a tenant's ingestion rate is the rate of.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum RateStrategy {
    /// All distributors together: each takes its share, one over the number of healthy ones.
    #[default]
    Global,
    /// Each distributor.
    Local,
}

/// Splitting of very hot streams.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct StreamSharding {
    /// Whether streams are split at all.
    pub enabled: bool,
    /// Bytes a second that one part should take at most.
    pub desired_rate_bytes: f64,
    /// Whether a split is logged.
    pub logging: bool,
}

impl Default for StreamSharding {
    fn default() -> Self {
        Self { enabled: true, desired_rate_bytes: 1536.0 * 1024.0, logging: false }
    }
}

/// What happens to a line longer than [`Limits::max_line_bytes`].
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum LongLines {
    /// The entry is refused.
    #[default]
    Refuse,
    /// The line is cut, and this text ends it.
    Truncate {
        /// Counts towards the line's length.
        identifier: String,
    },
}

/// Streams that belong to a policy.
#[derive(Debug, Clone, PartialEq)]
pub struct PolicySelector {
    /// The policy's name.
    pub policy: String,
    /// All must match the stream's labels.
    pub matchers: Vec<Matcher>,
    /// Of several selectors that match, the highest priority wins.
    pub priority: i64,
}

/// Loki's list for [`Limits::discover_service_name`].
pub const SERVICE_NAME_LABELS: [&str; 13] = [
    "service",
    "app",
    "application",
    "app_name",
    "name",
    "app_kubernetes_io_name",
    "container",
    "container_name",
    "k8s_container_name",
    "component",
    "workload",
    "job",
    "k8s_job_name",
];

/// Loki's list for [`Limits::log_level_fields`].
pub const LEVEL_FIELDS: [&str; 14] = [
    "level",
    "LEVEL",
    "Level",
    "log.level",
    "severity",
    "SEVERITY",
    "Severity",
    "SeverityText",
    "lvl",
    "LVL",
    "Lvl",
    "severity_text",
    "Severity_Text",
    "SEVERITY_TEXT",
];

impl Default for Limits {
    fn default() -> Self {
        Self {
            ingestion_rate_bytes: 4.0 * 1_048_576.0,
            rate_strategy: RateStrategy::Global,
            ingestion_burst_bytes: 6.0 * 1_048_576.0,
            max_label_name_bytes: 1024,
            max_label_value_bytes: 2048,
            max_label_names: 15,
            max_entry_age: Some(Duration::from_secs(7 * 86_400)),
            creation_grace_period: Duration::from_secs(600),
            max_line_bytes: 256 << 10,
            long_lines: LongLines::Refuse,
            increment_duplicate_timestamp: false,
            discover_generic_fields: Vec::new(),
            discover_service_name: SERVICE_NAME_LABELS.map(str::to_owned).to_vec(),
            discover_log_levels: true,
            log_level_fields: LEVEL_FIELDS.map(str::to_owned).to_vec(),
            log_level_json_depth_max: 2,
            allow_structured_metadata: true,
            max_structured_metadata_bytes: 64 << 10,
            max_structured_metadata_pairs: 128,
            shard_streams: StreamSharding::default(),
            block_ingestion_until: None,
            block_ingestion_policy_until: Vec::new(),
            block_ingestion_status: 260,
            enforced_labels: Vec::new(),
            policy_enforced_labels: Vec::new(),
            policies: Vec::new(),
            retention_hours: String::new(),
        }
    }
}

impl Limits {
    /// The policy of a stream; empty when it has none.
    #[must_use]
    pub fn policy_of(&self, labels: &Labels) -> &str {
        let matching = self.policies.iter().filter(|selector| {
            selector.matchers.iter().all(|matcher| matcher.matches_labels(labels))
        });
        // `max_by_key` answers the last of equals; the first one is wanted.
        let best = matching.rev().max_by_key(|selector| selector.priority);
        best.map_or("", |selector| &selector.policy)
    }
}

#[cfg(test)]
mod tests {
    use model::MatchOp;

    use super::*;

    #[test]
    fn the_highest_priority_policy_wins_and_then_the_first() {
        let selector = |policy: &str, name: &str, priority| PolicySelector {
            policy: policy.to_owned(),
            matchers: vec![Matcher::new(name, MatchOp::Equal, "x").unwrap()],
            priority,
        };
        let policies = vec![selector("p1", "a", 1), selector("p2", "b", 2), selector("p3", "b", 2)];
        let limits = Limits { policies, ..Limits::default() };
        let check = |pairs: &[(&str, &str)], policy: &str| {
            assert_eq!(limits.policy_of(&Labels::new(pairs.iter().copied())), policy);
        };
        check(&[("a", "x"), ("b", "x")], "p2");
        check(&[("a", "x")], "p1");
        check(&[("a", "y")], "");
    }
}
