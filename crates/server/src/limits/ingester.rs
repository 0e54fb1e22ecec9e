//! The ingester's limits.

use ingester::{Limits, RateScope};

use crate::config::limits::TenantLimits;

/// Translates a tenant's limits.
#[must_use]
pub fn ingester(limits: &TenantLimits) -> Limits {
    Limits {
        max_streams: limits.max_streams_per_user as u64,
        max_global_streams: limits.max_global_streams_per_user as u64,
        per_stream_rate: limits.per_stream_rate_limit.0,
        per_stream_burst: limits.per_stream_rate_limit_burst.0,
        per_stream_scope: if limits.shard_streams.0.enabled {
            RateScope::WholeStream
        } else {
            RateScope::EachEntry
        },
        unordered_writes: limits.unordered_writes,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_have_the_same_defaults() {
        assert_eq!(ingester(&TenantLimits::default()), Limits::default());
    }
}
