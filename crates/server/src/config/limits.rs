//! The limits of a tenant: the `limits_config` block and what the overrides file may change.
//!
//! The roles each define the few limits they enforce; this is the one place where all of them
//! stand together, under Loki's names and with Loki's defaults.

use std::collections::BTreeMap;
use std::time::Duration;

use serde::de::Error as _;
use serde::{Deserialize, Deserializer, Serialize};

use super::key::{Key, keys};
use super::setting::{ByteSize, Setting, Structured};

/// Everything a tenant is limited by.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each field is documented in its row of KEYS")]
pub struct TenantLimits {
    pub ingestion_rate_strategy: String,
    pub ingestion_rate_mb: f64,
    pub ingestion_burst_size_mb: f64,
    pub max_label_name_length: usize,
    pub max_label_value_length: usize,
    pub max_label_names_per_series: usize,
    pub reject_old_samples: bool,
    pub reject_old_samples_max_age: Duration,
    pub creation_grace_period: Duration,
    pub max_line_size: ByteSize,
    pub max_line_size_truncate: bool,
    pub max_line_size_truncate_identifier: String,
    pub increment_duplicate_timestamp: bool,
    pub unordered_writes: bool,
    pub discover_generic_fields: Structured<GenericFields>,
    pub discover_service_name: Vec<String>,
    pub discover_log_levels: bool,
    pub log_level_fields: Vec<String>,
    pub log_level_from_json_max_depth: i64,
    pub ingestion_tenant_shard_size: usize,
    pub max_streams_per_user: usize,
    pub max_global_streams_per_user: usize,
    pub per_stream_rate_limit: ByteSize,
    pub per_stream_rate_limit_burst: ByteSize,
    pub max_query_series: usize,
    pub max_query_lookback: Duration,
    pub max_query_length: Duration,
    pub max_query_range: Duration,
    pub max_query_parallelism: usize,
    pub index_gateway_shard_size: usize,
    pub max_queriers_per_tenant: usize,
    pub max_streams_matchers_per_query: usize,
    pub max_concurrent_tail_requests: usize,
    pub max_entries_limit_per_query: u32,
    pub query_timeout: Duration,
    pub split_queries_by_interval: Duration,
    pub max_query_bytes_read: ByteSize,
    pub max_querier_bytes_read: ByteSize,
    pub max_cache_freshness_per_query: Duration,
    pub volume_enabled: bool,
    pub volume_max_series: usize,
    pub ruler_max_rules_per_rule_group: usize,
    pub ruler_max_rule_groups_per_tenant: usize,
    pub deletion_mode: String,
    pub retention_period: Duration,
    pub retention_stream: Structured<Vec<StreamRetention>>,
    pub retention_size: ByteSize,
    pub shard_streams: Structured<ShardStreams>,
    pub blocked_queries: Structured<Vec<BlockedQuery>>,
    pub required_labels: Vec<String>,
    pub minimum_labels_number: usize,
    pub allow_structured_metadata: bool,
    pub max_structured_metadata_size: ByteSize,
    pub max_structured_metadata_entries_count: usize,
    pub otlp_config: Structured<OtlpLimits>,
    pub block_ingestion_until: String,
    pub block_ingestion_status_code: u16,
    pub enforced_labels: Vec<String>,
    pub shard_aggregations: Vec<String>,
    pub metric_aggregation_enabled: bool,
    pub pattern_persistence_enabled: bool,
}

/// `discover_generic_fields`: new metadata names and the fields they are taken from.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct GenericFields {
    /// New name → fields to look at, first found wins.
    pub fields: BTreeMap<String, Vec<String>>,
}

/// One entry of `retention_stream`.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields)]
pub struct StreamRetention {
    /// Which streams.
    pub selector: String,
    /// The highest priority wins where several match.
    #[serde(default)]
    pub priority: i64,
    /// How long they are kept, at least 24h.
    pub period: String,
}

/// `shard_streams`: splitting of very hot streams.
#[derive(Debug, Clone, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct ShardStreams {
    /// Whether hot streams are split.
    pub enabled: bool,
    /// Whether they are also split by time.
    pub time_sharding_enabled: bool,
    /// How recent entries must be to be exempt from splitting by time.
    pub time_sharding_ignore_recent: String,
    /// Whether splits are logged.
    pub logging_enabled: bool,
    /// Bytes per second above which a stream is split.
    #[serde(deserialize_with = "text_or_number")]
    pub desired_rate: String,
}

impl Default for ShardStreams {
    fn default() -> Self {
        Self {
            enabled: true,
            time_sharding_enabled: false,
            time_sharding_ignore_recent: "40m".to_owned(),
            logging_enabled: false,
            desired_rate: "1536KB".to_owned(),
        }
    }
}

/// A size is mostly written with a unit, and then is text; without one it is a number.
fn text_or_number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<String, D::Error> {
    Setting::read(&serde_json::Value::deserialize(deserializer)?).map_err(D::Error::custom)
}

/// One entry of `blocked_queries`.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct BlockedQuery {
    /// The query's text, or a regular expression for it.
    pub pattern: String,
    /// Whether `pattern` is a regular expression.
    pub regex: bool,
    /// A query hash, as an alternative to the pattern.
    pub hash: u32,
    /// Comma-separated kinds: metric, filter, limited.
    pub types: String,
    /// Tags (`Source=grafana`) the request must carry.
    pub query_tags: BTreeMap<String, String>,
}

/// `otlp_config`: what becomes of OTLP attributes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OtlpLimits {
    /// Rules for resource attributes.
    pub resource_attributes: OtlpResourceAttributes,
    /// Rules for scope attributes.
    pub scope_attributes: Vec<OtlpAttributeRule>,
    /// Rules for attributes of log records.
    pub log_attributes: Vec<OtlpAttributeRule>,
    /// Whether the severity text becomes a stream label.
    pub severity_text_as_label: bool,
}

/// Rules for resource attributes.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OtlpResourceAttributes {
    /// Whether the built-in list of index labels is left out.
    pub ignore_defaults: bool,
    /// The rules; the first that matches wins.
    pub attributes_config: Vec<OtlpAttributeRule>,
}

/// One rule: an action for attributes given by list or by regular expression.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
pub struct OtlpAttributeRule {
    /// `index_label`, `structured_metadata` or `drop`.
    pub action: String,
    /// Attribute names.
    pub attributes: Vec<String>,
    /// A regular expression over whole names.
    pub regex: String,
}

impl Default for TenantLimits {
    fn default() -> Self {
        Self {
            ingestion_rate_strategy: "global".to_owned(),
            ingestion_rate_mb: 4.0,
            ingestion_burst_size_mb: 6.0,
            max_label_name_length: 1024,
            max_label_value_length: 2048,
            max_label_names_per_series: 15,
            reject_old_samples: true,
            reject_old_samples_max_age: days(7),
            creation_grace_period: minutes(10),
            max_line_size: ByteSize(256 << 10),
            max_line_size_truncate: false,
            max_line_size_truncate_identifier: String::new(),
            increment_duplicate_timestamp: false,
            unordered_writes: true,
            discover_generic_fields: Structured::default(),
            discover_service_name: words(SERVICE_NAME_LABELS),
            discover_log_levels: true,
            log_level_fields: words(LEVEL_FIELDS),
            log_level_from_json_max_depth: 2,
            ingestion_tenant_shard_size: 0,
            max_streams_per_user: 0,
            max_global_streams_per_user: 5000,
            per_stream_rate_limit: ByteSize(3 << 20),
            per_stream_rate_limit_burst: ByteSize(15 << 20),
            max_query_series: 500,
            max_query_lookback: Duration::ZERO,
            max_query_length: Duration::from_secs(721 * 3600),
            max_query_range: Duration::ZERO,
            max_query_parallelism: 32,
            index_gateway_shard_size: 0,
            max_queriers_per_tenant: 0,
            max_streams_matchers_per_query: 1000,
            max_concurrent_tail_requests: 10,
            max_entries_limit_per_query: 5000,
            query_timeout: minutes(1),
            split_queries_by_interval: minutes(60),
            max_query_bytes_read: ByteSize(0),
            max_querier_bytes_read: ByteSize(150 << 30),
            max_cache_freshness_per_query: minutes(10),
            volume_enabled: true,
            volume_max_series: 1000,
            ruler_max_rules_per_rule_group: 0,
            ruler_max_rule_groups_per_tenant: 0,
            deletion_mode: "filter-and-delete".to_owned(),
            retention_period: Duration::ZERO,
            retention_stream: Structured::default(),
            retention_size: ByteSize(0),
            shard_streams: Structured::default(),
            blocked_queries: Structured::default(),
            required_labels: Vec::new(),
            minimum_labels_number: 0,
            allow_structured_metadata: true,
            max_structured_metadata_size: ByteSize(64 << 10),
            max_structured_metadata_entries_count: 128,
            otlp_config: Structured::default(),
            block_ingestion_until: String::new(),
            block_ingestion_status_code: 260,
            enforced_labels: Vec::new(),
            shard_aggregations: Vec::new(),
            metric_aggregation_enabled: false,
            pattern_persistence_enabled: false,
        }
    }
}

const SERVICE_NAME_LABELS: &str = "service app application app_name name app_kubernetes_io_name \
    container container_name k8s_container_name component workload job k8s_job_name";
const LEVEL_FIELDS: &str = "level LEVEL Level log.level severity SEVERITY Severity SeverityText \
    lvl LVL Lvl severity_text Severity_Text SEVERITY_TEXT";

fn words(text: &str) -> Vec<String> {
    text.split_whitespace().map(str::to_owned).collect()
}

fn minutes(count: u64) -> Duration {
    Duration::from_secs(60 * count)
}

fn days(count: u64) -> Duration {
    minutes(24 * 60 * count)
}

/// The keys of `limits_config` and of a tenant's overrides.
pub static KEYS: &[Key<TenantLimits>] = keys! { TenantLimits;
    "ingestion_rate_strategy", "distributor.ingestion-rate-limit-strategy", ingestion_rate_strategy,
        "Whether a tenant's rate holds per distributor (local) or for the whole cluster (global).";
    "ingestion_rate_mb", "distributor.ingestion-rate-limit-mb", ingestion_rate_mb,
        "Megabytes a tenant may push per second on average. Raise it when pushes are refused with 429 and the machine has room.";
    "ingestion_burst_size_mb", "distributor.ingestion-burst-size-mb", ingestion_burst_size_mb,
        "Megabytes a tenant may push at once; must be at least the largest single push.";
    "max_label_name_length", "validation.max-length-label-name", max_label_name_length,
        "Longest label name, in bytes.";
    "max_label_value_length", "validation.max-length-label-value", max_label_value_length,
        "Longest label value, in bytes.";
    "max_label_names_per_series", "validation.max-label-names-per-series", max_label_names_per_series,
        "Most labels of a stream; a discovered service_name is not counted.";
    "reject_old_samples", "validation.reject-old-samples", reject_old_samples,
        "Whether entries older than reject_old_samples_max_age are refused.";
    "reject_old_samples_max_age", "validation.reject-old-samples.max-age", reject_old_samples_max_age,
        "Age from which entries are refused when reject_old_samples is on.";
    "creation_grace_period", "validation.create-grace-period", creation_grace_period,
        "How far in the future an entry's time may lie; room for clocks that are ahead.";
    "max_line_size", "distributor.max-line-size", max_line_size,
        "Longest line; 0 for no limit.";
    "max_line_size_truncate", "distributor.max-line-size-truncate", max_line_size_truncate,
        "Whether longer lines are cut instead of refused.";
    "max_line_size_truncate_identifier", "distributor.max-line-size-truncate-identifier", max_line_size_truncate_identifier,
        "Text put at the end of a cut line.";
    "increment_duplicate_timestamp", "validation.increment-duplicate-timestamps", increment_duplicate_timestamp,
        "Whether an entry with its predecessor's time and another line is moved one nanosecond later.";
    "unordered_writes", "ingester.unordered-writes", unordered_writes,
        "Whether entries may arrive out of order. When off, an entry older than its stream's newest is refused.";
    "discover_generic_fields", "", discover_generic_fields,
        "Fields copied to structured metadata: a map `fields` of new name to candidate fields.";
    "discover_service_name", "validation.discover-service-name", discover_service_name,
        "Labels from which service_name is taken when a stream has none; empty turns discovery off.";
    "discover_log_levels", "validation.discover-log-levels", discover_log_levels,
        "Whether each entry's level is discovered and kept as structured metadata detected_level.";
    "log_level_fields", "validation.log-level-fields", log_level_fields,
        "Fields in which the level is looked for.";
    "log_level_from_json_max_depth", "validation.log-level-from-json-max-depth", log_level_from_json_max_depth,
        "How deep JSON lines are searched for a level; 0 or less for no limit.";
    "ingestion_tenant_shard_size", "distributor.ingestion-tenant-shard-size", ingestion_tenant_shard_size,
        "As Mimir has it: how many ingesters keep a tenant's streams, rounded up to the same number in each zone and to the replication factor; 0 for all. Queries ask all ingesters, so it may change at any time.";
    "max_streams_per_user", "ingester.max-streams-per-user", max_streams_per_user,
        "Most active streams of a tenant in one ingester; 0 for no limit.";
    "max_global_streams_per_user", "ingester.max-global-streams-per-user", max_global_streams_per_user,
        "Most active streams of a tenant in the cluster; 0 for no limit. More streams cost memory and lookups.";
    "per_stream_rate_limit", "ingester.per-stream-rate-limit", per_stream_rate_limit,
        "Bytes per second one stream may take.";
    "per_stream_rate_limit_burst", "ingester.per-stream-rate-limit-burst", per_stream_rate_limit_burst,
        "Bytes one stream may take at once.";
    "max_query_series", "querier.max-query-series", max_query_series,
        "Most series in a metric query's answer.";
    "max_query_lookback", "querier.max-query-lookback", max_query_lookback,
        "How far back queries see; 0 for no limit.";
    "max_query_length", "store.max-query-length", max_query_length,
        "Longest time range of a query; 0 for no limit.";
    "max_query_range", "querier.max-query-range", max_query_range,
        "Longest range in brackets; 0 for no limit.";
    "max_query_parallelism", "querier.max-query-parallelism", max_query_parallelism,
        "How many pieces of one query run at once; 0 turns querying off.";
    "index_gateway_shard_size", "index-gateway.shard-size", index_gateway_shard_size,
        "How many of the index gateways in the ring are asked about the tenant; 0 for all.";
    "max_queriers_per_tenant", "frontend.max-queriers-per-tenant", max_queriers_per_tenant,
        "How many of the connected queriers serve the tenant, so that its queries can harm no others; 0 for all.";
    "max_streams_matchers_per_query", "querier.max-streams-matcher-per-query", max_streams_matchers_per_query,
        "Most matchers in a query's selectors.";
    "max_concurrent_tail_requests", "querier.max-concurrent-tail-requests", max_concurrent_tail_requests,
        "Most live tails of a tenant at once.";
    "max_entries_limit_per_query", "validation.max-entries-limit", max_entries_limit_per_query,
        "Highest `limit` of a log query; 0 for no limit.";
    "query_timeout", "querier.query-timeout", query_timeout,
        "Time after which a query ends with 504.";
    "split_queries_by_interval", "querier.split-queries-by-interval", split_queries_by_interval,
        "Length of the pieces a query is cut into by time; metric queries then align to their step. 0 turns both off.";
    "max_query_bytes_read", "frontend.max-query-bytes-read", max_query_bytes_read,
        "Most line bytes a query may have to read, by estimate; 0 for no limit.";
    "max_querier_bytes_read", "frontend.max-querier-bytes-read", max_querier_bytes_read,
        "Accepted; pieces of queries are bounded by memory (querier.query_memory), not by what they read.";
    "max_cache_freshness_per_query", "frontend.max-cache-freshness", max_cache_freshness_per_query,
        "Accepted; answers are kept however new they are, because one is used only while its rows are the same.";
    "volume_enabled", "limits.volume-enabled", volume_enabled,
        "Whether the volume endpoints answer.";
    "volume_max_series", "limits.volume-max-series", volume_max_series,
        "Most rows of a volume answer.";
    "ruler_max_rules_per_rule_group", "ruler.max-rules-per-rule-group", ruler_max_rules_per_rule_group,
        "Most rules in a group; 0 for no limit.";
    "ruler_max_rule_groups_per_tenant", "ruler.max-rule-groups-per-tenant", ruler_max_rule_groups_per_tenant,
        "Most rule groups of a tenant; 0 for no limit.";
    "deletion_mode", "compactor.deletion-mode", deletion_mode,
        "What delete requests do: disabled, filter-only or filter-and-delete.";
    "retention_period", "store.retention", retention_period,
        "How long entries are kept when compactor.retention_enabled is on; 0 for ever.";
    "retention_stream", "", retention_stream,
        "Other retention periods for streams by selector; the highest priority wins.";
    "retention_size", "limits.retention-size", retention_size,
        "Sigyn's own: stored bytes of the tenant above which its oldest entries are deleted; 0 for no bound. Needs no compactor.retention_enabled.";
    "shard_streams", "", shard_streams,
        "Automatic splitting of very hot streams.";
    "blocked_queries", "", blocked_queries,
        "Queries that are refused.";
    "required_labels", "", required_labels,
        "Labels that every query's selector must name.";
    "minimum_labels_number", "", minimum_labels_number,
        "How many matchers a selector must hold at least.";
    "allow_structured_metadata", "validation.allow-structured-metadata", allow_structured_metadata,
        "Whether entries may carry structured metadata.";
    "max_structured_metadata_size", "limits.max-structured-metadata-size", max_structured_metadata_size,
        "Most bytes of structured metadata of one entry; 0 for no limit.";
    "max_structured_metadata_entries_count", "limits.max-structured-metadata-entries-count", max_structured_metadata_entries_count,
        "Most pairs of structured metadata of one entry; 0 for no limit.";
    "otlp_config", "", otlp_config,
        "Which OTLP attributes become labels, structured metadata, or nothing.";
    "block_ingestion_until", "limits.block-ingestion-until", block_ingestion_until,
        "RFC 3339 time until which pushes are refused.";
    "block_ingestion_status_code", "limits.block-ingestion-status-code", block_ingestion_status_code,
        "Status of refused pushes while ingestion is blocked; 200 drops them silently.";
    "enforced_labels", "validation.enforced-labels", enforced_labels,
        "Labels that every pushed stream must have.";
    "shard_aggregations", "", shard_aggregations,
        "Aggregations allowed to be approximate over shards; approx_topk needs to stand here.";
    "metric_aggregation_enabled", "limits.aggregation-enabled", metric_aggregation_enabled,
        "Published to clients only; aggregated metric streams are not written.";
    "pattern_persistence_enabled", "limits.pattern-persistence-enabled", pattern_persistence_enabled,
        "Published to clients only; patterns are not persisted as streams.";
};

impl TenantLimits {
    /// What is wrong across keys; `prefix` names the place (a block, or a tenant's overrides).
    #[must_use]
    pub fn validate(&self, prefix: &str) -> Vec<super::Problem> {
        let mut problems = Vec::new();
        let mut wrong = |key: &str, fault: String| {
            problems.push(super::Problem::new(format!("{prefix}.{key}"), fault));
        };
        if !["disabled", "filter-only", "filter-and-delete"].contains(&self.deletion_mode.as_str())
        {
            let mode = &self.deletion_mode;
            wrong(
                "deletion_mode",
                format!("{mode:?} is not one of disabled, filter-only, filter-and-delete"),
            );
        }
        for retention in &self.retention_stream.0 {
            match model::units::parse_config_duration(&retention.period) {
                Ok(period) if period >= days(1) => {}
                Ok(_) => wrong("retention_stream.period", "must be at least 24h".to_owned()),
                Err(error) => wrong("retention_stream.period", error.to_string()),
            }
            if let Err(error) = logql::parse_selector(&retention.selector) {
                wrong("retention_stream.selector", error.to_string());
            }
        }
        // Loki prints an unset time as 0.
        if !["", "0"].contains(&self.block_ingestion_until.as_str())
            && self.block_ingestion_until.parse::<jiff::Timestamp>().is_err()
        {
            wrong("block_ingestion_until", "write it like 2026-11-21T00:00:00Z".to_owned());
        }
        problems
    }
}
