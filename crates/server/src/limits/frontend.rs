//! The frontend's limits.

use frontend::Limits;

use crate::config::limits::TenantLimits;

/// Translates a tenant's limits. `query_memory` is what one query may hold.
#[must_use]
pub fn frontend(limits: &TenantLimits, query_memory: u64) -> Limits {
    Limits {
        query_timeout: limits.query_timeout,
        split_interval: limits.split_queries_by_interval,
        max_query_parallelism: limits.max_query_parallelism,
        max_query_lookback: limits.max_query_lookback,
        max_query_series: u32::try_from(limits.max_query_series).unwrap_or(u32::MAX),
        max_query_range: limits.max_query_range,
        approx_topk: limits.shard_aggregations.iter().any(|name| name == "approx_topk"),
        max_memory_bytes: query_memory,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_have_the_same_defaults() {
        let defaults = Limits::default();
        let found = frontend(&TenantLimits::default(), defaults.max_memory_bytes);
        assert_eq!(format!("{found:?}"), format!("{defaults:?}"));
    }
}
