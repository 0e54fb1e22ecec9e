//! What a tenant may ask for.
//!
//! Defaults are Loki's. A limit of zero is off. When one request reads several tenants, the
//! strictest of their limits counts.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::Pattern;
use store::Retention;

/// The limits of one tenant.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Time after which a query ends (`query_timeout`).
    pub query_timeout: Duration,
    /// Longest time between start and end (`max_query_length`).
    pub max_query_length: Duration,
    /// How far back queries see (`max_query_lookback`).
    pub max_query_lookback: Duration,
    /// Longest `[range]` of a metric query (`max_query_range`).
    pub max_query_range: Duration,
    /// Series in a metric query's answer (`max_query_series`).
    pub max_query_series: u32,
    /// Entries in a log query's answer (`max_entries_limit_per_query`).
    pub max_entries: u32,
    /// Matchers in one selector (`max_streams_matchers_per_query`).
    pub max_streams_matchers: usize,
    /// Bytes a query may have to read, by estimate (`max_query_bytes_read`).
    pub max_query_bytes_read: u64,
    /// Names that every selector must use (`required_labels`).
    pub required_labels: Vec<String>,
    /// How many matchers every selector must have (`minimum_labels_number`).
    pub minimum_labels: usize,
    /// Queries that are refused (`blocked_queries`).
    pub blocked_queries: Vec<BlockedQuery>,
    /// Whether volumes may be asked for (`volume_enabled`).
    pub volume_enabled: bool,
    /// Rows of a volume (`volume_max_series`).
    pub volume_max_series: usize,
    /// Whether `approx_topk` may be used (`shard_aggregations`).
    pub approx_topk: bool,
    /// While it is not zero, metric queries begin and end at multiples of their step, and the
    /// `interval` of a log query begins anew at multiples of this (`split_queries_by_interval`).
    pub split_interval: Duration,
    /// Bytes that one query's buffers may hold.
    pub max_memory_bytes: u64,
    /// What has expired and is not shown (`retention_period`, `retention_stream`). Each tenant's
    /// own counts for its rows.
    pub retention: Arc<Retention>,
    /// Whether rows that delete requests name are not shown (`deletion_mode`).
    pub hides_deleted: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            query_timeout: Duration::from_secs(60),
            max_query_length: Duration::from_secs(721 * 3600),
            max_query_lookback: Duration::ZERO,
            max_query_range: Duration::ZERO,
            max_query_series: 500,
            max_entries: 5000,
            max_streams_matchers: 1000,
            max_query_bytes_read: 0,
            required_labels: Vec::new(),
            minimum_labels: 0,
            blocked_queries: Vec::new(),
            volume_enabled: true,
            volume_max_series: 1000,
            approx_topk: false,
            split_interval: Duration::from_secs(3600),
            max_memory_bytes: 512 << 20,
            retention: Arc::default(),
            hides_deleted: true,
        }
    }
}

/// Queries that are refused. Every condition given must hold.
#[derive(Debug, Clone, Default)]
pub struct BlockedQuery {
    /// Which texts.
    pub text: BlockedText,
    /// Which kinds; empty for all.
    pub kinds: Vec<QueryKind>,
    /// Tags that the request must carry.
    pub tags: BTreeMap<String, String>,
}

/// Which texts are refused.
#[derive(Debug, Clone, Default)]
pub enum BlockedText {
    /// Every text.
    #[default]
    Any,
    /// One text, compared without white space at its ends.
    Exact(String),
    /// What a regular expression finds.
    Regex(Pattern),
    /// The 32-bit FNV-1a hash of the text.
    Hash(u32),
}

/// Kinds of queries, as `blocked_queries` tells them apart.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum QueryKind {
    /// Answers with samples.
    Metric,
    /// A log query with stages.
    Filter,
    /// A log query that is a bare selector.
    Limited,
}

impl Limits {
    /// The stricter of two limits, field by field.
    #[must_use]
    pub fn stricter(&self, other: &Self) -> Self {
        let mut required_labels = self.required_labels.clone();
        required_labels.extend(other.required_labels.iter().cloned());
        required_labels.sort();
        required_labels.dedup();
        let both = self.blocked_queries.iter().chain(&other.blocked_queries);
        Self {
            query_timeout: smaller(self.query_timeout, other.query_timeout),
            max_query_length: smaller(self.max_query_length, other.max_query_length),
            max_query_lookback: smaller(self.max_query_lookback, other.max_query_lookback),
            max_query_range: smaller(self.max_query_range, other.max_query_range),
            max_query_series: smaller(self.max_query_series, other.max_query_series),
            max_entries: smaller(self.max_entries, other.max_entries),
            max_streams_matchers: smaller(self.max_streams_matchers, other.max_streams_matchers),
            max_query_bytes_read: smaller(self.max_query_bytes_read, other.max_query_bytes_read),
            required_labels,
            minimum_labels: self.minimum_labels.max(other.minimum_labels),
            blocked_queries: both.cloned().collect(),
            volume_enabled: self.volume_enabled && other.volume_enabled,
            volume_max_series: smaller(self.volume_max_series, other.volume_max_series),
            approx_topk: self.approx_topk && other.approx_topk,
            split_interval: smaller(self.split_interval, other.split_interval),
            max_memory_bytes: smaller(self.max_memory_bytes, other.max_memory_bytes),
            retention: Arc::clone(&self.retention),
            hides_deleted: self.hides_deleted,
        }
    }
}

/// The smaller of two limits, where zero means none.
fn smaller<T: Ord + Default>(one: T, other: T) -> T {
    let none = T::default();
    if one == none || (other != none && other < one) { other } else { one }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn zero_is_no_limit_when_limits_meet() {
        assert_eq!(smaller(0, 5), 5);
        assert_eq!(smaller(5, 0), 5);
        assert_eq!(smaller(7, 5), 5);
        let one = Limits { required_labels: vec!["b".into()], ..Limits::default() };
        let other = Limits {
            required_labels: vec!["a".into(), "b".into()],
            max_entries: 10,
            volume_enabled: false,
            ..Limits::default()
        };
        let both = one.stricter(&other);
        assert_eq!(both.required_labels, ["a", "b"]);
        assert_eq!(both.max_entries, 10);
        assert!(!both.volume_enabled);
    }
}
