//! The compactor's limits, and when entries expire.

use std::sync::Arc;

use compactor::{DeletionMode, Limits};
use model::units::parse_config_duration;
use store::{Retention, RetentionRule};

use crate::config::limits::TenantLimits;

/// Translates a tenant's limits.
#[must_use]
pub fn compactor(limits: &TenantLimits) -> Limits {
    Limits {
        retention: retention(limits),
        retention_bytes: limits.retention_size.0,
        deletion_mode: match limits.deletion_mode.as_str() {
            "disabled" => DeletionMode::Disabled,
            "filter-only" => DeletionMode::FilterOnly,
            _ => DeletionMode::FilterAndDelete,
        },
    }
}

/// When a tenant's entries expire. The configuration was checked; a rule that does not read all
/// the same expires nothing.
#[must_use]
pub fn retention(limits: &TenantLimits) -> Arc<Retention> {
    let rules = limits.retention_stream.0.iter().filter_map(|rule| {
        let matchers = logql::parse_selector(&rule.selector).ok()?;
        let period = parse_config_duration(&rule.period).ok()?;
        Some(RetentionRule { matchers, priority: rule.priority, period })
    });
    Arc::new(Retention::new(limits.retention_period, rules.collect()))
}

#[cfg(test)]
mod tests {
    use std::time::Duration;

    use model::{Labels, Timestamp};

    use super::*;
    use crate::config::limits::StreamRetention;

    #[test]
    fn nothing_expires_by_default() {
        let limits = compactor(&TenantLimits::default());
        assert!(!limits.retention.is_limited());
        assert_eq!(limits.deletion_mode, DeletionMode::FilterAndDelete);
    }

    #[test]
    fn rules_are_translated() {
        let mut limits =
            TenantLimits { retention_period: Duration::from_secs(200), ..TenantLimits::default() };
        limits.retention_stream.0.push(StreamRetention {
            selector: "{app=\"debug\"}".to_owned(),
            priority: 1,
            period: "2m".to_owned(),
        });
        let rules = retention(&limits);
        let now = Timestamp::from_seconds(1000);
        let cutoff = |app: &str| rules.cutoff(&Labels::new([("app", app)]), now);
        assert_eq!(cutoff("debug"), Some(Timestamp::from_seconds(880)));
        assert_eq!(cutoff("web"), Some(Timestamp::from_seconds(800)));
    }
}
