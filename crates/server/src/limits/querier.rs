//! The querier's limits.

use std::sync::Arc;

use model::Pattern;
use querier::{BlockedQuery, BlockedText, Limits, QueryKind};

use super::retention;
use crate::config::limits::{self, TenantLimits};

/// Translates a tenant's limits. `query_memory` is what one query may hold; `retention_enabled`
/// says whether anything expires or is deleted.
#[must_use]
pub fn querier(limits: &TenantLimits, query_memory: u64, retention_enabled: bool) -> Limits {
    Limits {
        query_timeout: limits.query_timeout,
        max_query_length: limits.max_query_length,
        max_query_lookback: limits.max_query_lookback,
        max_query_range: limits.max_query_range,
        max_query_series: u32::try_from(limits.max_query_series).unwrap_or(u32::MAX),
        max_entries: limits.max_entries_limit_per_query,
        max_streams_matchers: limits.max_streams_matchers_per_query,
        max_query_bytes_read: limits.max_query_bytes_read.0,
        required_labels: limits.required_labels.clone(),
        minimum_labels: limits.minimum_labels_number,
        blocked_queries: limits.blocked_queries.0.iter().map(blocked).collect(),
        volume_enabled: limits.volume_enabled,
        volume_max_series: limits.volume_max_series,
        approx_topk: limits.shard_aggregations.iter().any(|name| name == "approx_topk"),
        split_interval: limits.split_queries_by_interval,
        max_memory_bytes: query_memory,
        retention: if retention_enabled { retention(limits) } else { Arc::default() },
        hides_deleted: retention_enabled && limits.deletion_mode != "disabled",
    }
}

fn blocked(query: &limits::BlockedQuery) -> BlockedQuery {
    let text = match query.pattern.trim() {
        _ if query.hash != 0 => BlockedText::Hash(query.hash),
        "" | ".*" => BlockedText::Any,
        // A pattern that does not compile is compared as it stands.
        pattern if query.regex => match Pattern::search(pattern) {
            Ok(regex) => BlockedText::Regex(regex),
            Err(_) => BlockedText::Exact(pattern.to_owned()),
        },
        pattern => BlockedText::Exact(pattern.to_owned()),
    };
    let kinds = query.types.split(',').filter_map(|kind| match kind.trim() {
        "metric" => Some(QueryKind::Metric),
        "filter" => Some(QueryKind::Filter),
        "limited" => Some(QueryKind::Limited),
        _ => None,
    });
    let tags = query.query_tags.iter();
    BlockedQuery {
        text,
        kinds: kinds.collect(),
        tags: tags.map(|(name, value)| (name.to_ascii_lowercase(), value.clone())).collect(),
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_have_the_same_defaults() {
        let defaults = Limits::default();
        let found = querier(&TenantLimits::default(), defaults.max_memory_bytes, true);
        assert_eq!(format!("{found:?}"), format!("{defaults:?}"));
    }

    #[test]
    fn blocked_queries_are_translated() {
        let mut limits = TenantLimits::default();
        limits.blocked_queries.0.push(limits::BlockedQuery {
            pattern: ".*secret.*".to_owned(),
            regex: true,
            types: "metric, filter".to_owned(),
            ..limits::BlockedQuery::default()
        });
        let blocked = querier(&limits, 0, false).blocked_queries.remove(0);
        assert!(matches!(blocked.text, BlockedText::Regex(_)));
        assert_eq!(blocked.kinds, [QueryKind::Metric, QueryKind::Filter]);
    }
}
