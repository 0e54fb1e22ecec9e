//! The distributor's limits.

use std::time::Duration;

use distributor::{Limits, LongLines, RateStrategy, StreamSharding};
use model::Timestamp;

use crate::config::limits::TenantLimits;

/// Megabytes of the rate limits.
const MEGABYTE: f64 = 1_048_576.0;

/// Translates a tenant's limits.
#[must_use]
pub fn distributor(limits: &TenantLimits) -> Limits {
    Limits {
        ingestion_rate_bytes: limits.ingestion_rate_mb * MEGABYTE,
        rate_strategy: match limits.ingestion_rate_strategy.as_str() {
            "local" => RateStrategy::Local,
            _ => RateStrategy::Global,
        },
        ingestion_burst_bytes: limits.ingestion_burst_size_mb * MEGABYTE,
        max_label_name_bytes: limits.max_label_name_length,
        max_label_value_bytes: limits.max_label_value_length,
        max_label_names: limits.max_label_names_per_series,
        max_entry_age: limits.reject_old_samples.then_some(limits.reject_old_samples_max_age),
        creation_grace_period: limits.creation_grace_period,
        max_line_bytes: to_usize(limits.max_line_size.0),
        long_lines: long_lines(limits),
        increment_duplicate_timestamp: limits.increment_duplicate_timestamp,
        discover_generic_fields: limits
            .discover_generic_fields
            .0
            .fields
            .iter()
            .map(|(name, candidates)| (name.clone(), candidates.clone()))
            .collect(),
        discover_service_name: limits.discover_service_name.clone(),
        discover_log_levels: limits.discover_log_levels,
        log_level_fields: limits.log_level_fields.clone(),
        // Zero or less means any depth.
        log_level_json_depth_max: u32::try_from(limits.log_level_from_json_max_depth).unwrap_or(0),
        allow_structured_metadata: limits.allow_structured_metadata,
        max_structured_metadata_bytes: to_usize(limits.max_structured_metadata_size.0),
        max_structured_metadata_pairs: limits.max_structured_metadata_entries_count,
        shard_streams: StreamSharding {
            enabled: limits.shard_streams.0.enabled,
            desired_rate_bytes: desired_rate(limits),
            logging: limits.shard_streams.0.logging_enabled,
        },
        block_ingestion_until: blocked_until(&limits.block_ingestion_until),
        block_ingestion_status: limits.block_ingestion_status_code,
        enforced_labels: limits.enforced_labels.clone(),
        retention_hours: retention_hours(limits.retention_period),
        ..Limits::default()
    }
}

/// The configuration was checked; a text that is no size switches nothing on.
fn desired_rate(limits: &TenantLimits) -> f64 {
    model::units::parse_config_bytes(&limits.shard_streams.0.desired_rate).unwrap_or(0) as f64
}

fn long_lines(limits: &TenantLimits) -> LongLines {
    if limits.max_line_size_truncate {
        LongLines::Truncate { identifier: limits.max_line_size_truncate_identifier.clone() }
    } else {
        LongLines::Refuse
    }
}

/// The configuration was checked, so a text that is no time can only be empty.
fn blocked_until(text: &str) -> Option<Timestamp> {
    let time: jiff::Timestamp = text.parse().ok()?;
    Some(Timestamp(i64::try_from(time.as_nanosecond()).unwrap_or(i64::MAX)))
}

fn retention_hours(period: Duration) -> String {
    if period.is_zero() { String::new() } else { (period.as_secs() / 3600).to_string() }
}

fn to_usize(bytes: u64) -> usize {
    usize::try_from(bytes).unwrap_or(usize::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn both_sides_have_the_same_defaults() {
        assert_eq!(distributor(&TenantLimits::default()), Limits::default());
    }

    #[test]
    fn values_are_translated() {
        let limits = distributor(&TenantLimits {
            reject_old_samples: false,
            log_level_from_json_max_depth: -1,
            block_ingestion_until: "2026-11-21T00:00:00Z".to_owned(),
            retention_period: Duration::from_secs(90_000),
            ..TenantLimits::default()
        });
        assert_eq!(limits.max_entry_age, None);
        assert_eq!(limits.log_level_json_depth_max, 0);
        assert_eq!(limits.block_ingestion_until, Some(Timestamp::from_seconds(1_795_219_200)));
        assert_eq!(limits.retention_hours, "25");
    }
}
