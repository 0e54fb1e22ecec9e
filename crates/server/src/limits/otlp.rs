//! What becomes of a tenant's OTLP attributes.

use api::otlp::{AttributeAction, AttributeRule, AttributeSelect, OtlpConfig};
use model::Pattern;

use crate::config::limits::{OtlpAttributeRule, TenantLimits};

/// Translates a tenant's limits. `index_labels` are the resource attributes that become labels
/// unless the tenant leaves them out.
#[must_use]
pub fn otlp(limits: &TenantLimits, index_labels: &[String]) -> OtlpConfig {
    let rules = &limits.otlp_config.0;
    let defaults = AttributeRule {
        action: AttributeAction::IndexLabel,
        select: AttributeSelect::Names(index_labels.to_vec()),
    };
    let defaults = (!rules.resource_attributes.ignore_defaults).then_some(defaults);
    let own = translate(&rules.resource_attributes.attributes_config);
    // The first rule that matches decides, and the defaults come first, as in Loki.
    OtlpConfig {
        resource_attributes: defaults.into_iter().chain(own).collect(),
        scope_attributes: translate(&rules.scope_attributes),
        log_attributes: translate(&rules.log_attributes),
        severity_text_as_label: rules.severity_text_as_label,
        discover_service_name: limits.discover_service_name.clone(),
    }
}

fn translate(rules: &[OtlpAttributeRule]) -> Vec<AttributeRule> {
    rules.iter().filter_map(rule).collect()
}

/// A rule that does not compile matches nothing.
fn rule(rule: &OtlpAttributeRule) -> Option<AttributeRule> {
    let action = match rule.action.as_str() {
        "index_label" => AttributeAction::IndexLabel,
        "drop" => AttributeAction::Drop,
        _ => AttributeAction::StructuredMetadata,
    };
    let select = if rule.regex.is_empty() {
        AttributeSelect::Names(rule.attributes.clone())
    } else {
        AttributeSelect::Pattern(Pattern::anchored(&rule.regex).ok()?)
    };
    Some(AttributeRule { action, select })
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::Config;

    #[test]
    fn the_defaults_are_those_of_the_format() {
        let config = Config::default();
        let expected = OtlpConfig {
            discover_service_name: config.limits.discover_service_name.clone(),
            ..OtlpConfig::default()
        };
        assert_eq!(otlp(&config.limits, &config.distributor.otlp_index_labels), expected);
    }

    #[test]
    fn own_rules_follow_the_defaults() {
        let mut limits = TenantLimits::default();
        limits.otlp_config.0.resource_attributes.attributes_config.push(OtlpAttributeRule {
            action: "drop".to_owned(),
            attributes: vec!["service.name".to_owned()],
            regex: String::new(),
        });
        let config = otlp(&limits, &["service.name".to_owned()]);
        let actions: Vec<_> = config.resource_attributes.iter().map(|rule| rule.action).collect();
        assert_eq!(actions, [AttributeAction::IndexLabel, AttributeAction::Drop]);
        limits.otlp_config.0.resource_attributes.ignore_defaults = true;
        assert_eq!(otlp(&limits, &[]).resource_attributes.len(), 1);
    }
}
