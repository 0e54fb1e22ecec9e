//! What a tenant may ask for, as far as it concerns how queries are cut.
//!
//! Defaults are Loki's. Zero turns a limit off unless it says otherwise. Limits on whole queries are checked by whoever
//! executes them.

use std::time::Duration;

/// The limits of one tenant.
#[derive(Debug, Clone)]
pub struct Limits {
    /// Time after which a query ends, its waiting included (`query_timeout`).
    pub query_timeout: Duration,
    /// Length of the pieces into which queries are cut (`split_queries_by_interval`).
    pub split_interval: Duration,
    /// Pieces of one query that run at once (`max_query_parallelism`); 0 refuses every query.
    pub max_query_parallelism: usize,
    /// How far back queries see (`max_query_lookback`).
    pub max_query_lookback: Duration,
    /// Series in a metric query's answer (`max_query_series`).
    pub max_query_series: u32,
    /// Longest `[range]` of a metric query (`max_query_range`).
    pub max_query_range: Duration,
    /// Whether `approx_topk` may be used (`shard_aggregations`).
    pub approx_topk: bool,
    /// Bytes that one query's buffers may hold.
    pub max_memory_bytes: u64,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            query_timeout: Duration::from_secs(60),
            split_interval: Duration::from_secs(3600),
            max_query_parallelism: 32,
            max_query_lookback: Duration::ZERO,
            max_query_series: 500,
            max_query_range: Duration::ZERO,
            approx_topk: false,
            max_memory_bytes: 512 << 20,
        }
    }
}

impl Limits {
    /// The stricter of two limits, field by field.
    #[must_use]
    pub fn stricter(&self, other: &Self) -> Self {
        Self {
            query_timeout: smaller(self.query_timeout, other.query_timeout),
            split_interval: smaller(self.split_interval, other.split_interval),
            max_query_parallelism: self.max_query_parallelism.min(other.max_query_parallelism),
            max_query_lookback: smaller(self.max_query_lookback, other.max_query_lookback),
            max_query_series: smaller(self.max_query_series, other.max_query_series),
            max_query_range: smaller(self.max_query_range, other.max_query_range),
            approx_topk: self.approx_topk && other.approx_topk,
            max_memory_bytes: smaller(self.max_memory_bytes, other.max_memory_bytes),
        }
    }
}

/// The smaller of two limits, where zero means none.
fn smaller<T: Ord + Default>(one: T, other: T) -> T {
    let none = T::default();
    if one == none || (other != none && other < one) { other } else { one }
}
