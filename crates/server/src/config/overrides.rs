//! Per-tenant limits from the overrides file, read again while running.
//!
//! The file is checked as a whole: when it does not read, the limits in force stay and the fault is
//! logged and counted. Keys that a tenant does not name have the values of `limits_config`.

use std::collections::BTreeMap;
use std::sync::Arc;

use arc_swap::ArcSwap;
use model::TenantId;
use serde_json::{Map, Value};

use super::file::{self, Findings};
use super::limits::TenantLimits;
use super::{Config, Problem};

/// Blocks that the file may hold beside `overrides`.
const OTHER_BLOCKS: &[&str] = &["configs", "multi_kv_config"];

/// The limits of all tenants, as one immutable table that is swapped when the file changes.
#[derive(Debug)]
pub struct Overrides {
    table: ArcSwap<Table>,
}

#[derive(Debug)]
struct Table {
    default: Arc<TenantLimits>,
    tenants: BTreeMap<String, Arc<TenantLimits>>,
}

impl Overrides {
    /// The limits of `config` for every tenant.
    #[must_use]
    pub fn new(config: &Config) -> Self {
        let default = Arc::new(config.limits.clone());
        Self { table: ArcSwap::from_pointee(Table { default, tenants: BTreeMap::new() }) }
    }

    /// The limits in force for a tenant.
    #[must_use]
    pub fn limits_for(&self, tenant: &TenantId) -> Arc<TenantLimits> {
        let table = self.table.load();
        Arc::clone(table.tenants.get(tenant.as_str()).unwrap_or(&table.default))
    }

    /// Tenants that have limits of their own.
    #[must_use]
    pub fn tenants(&self) -> Vec<String> {
        self.table.load().tenants.keys().cloned().collect()
    }

    /// Puts the limits of overrides files in force: their texts are merged, key by key, and a later
    /// text wins.
    ///
    /// # Errors
    ///
    /// Every [`Problem`] of the files; nothing has changed then.
    pub fn load<T: AsRef<str>>(&self, texts: &[T]) -> Result<(), Vec<Problem>> {
        let default = Arc::clone(&self.table.load().default);
        let mut merged = Map::new();
        for text in texts {
            merge(&mut merged, read(text.as_ref())?);
        }
        let tenants = tenants(&merged, &default)?;
        self.table.store(Arc::new(Table { default, tenants }));
        Ok(())
    }
}

fn fault(key: &str, fault: &str) -> Vec<Problem> {
    vec![Problem::new(key, fault)]
}

/// The top level of one file.
fn read(text: &str) -> Result<Map<String, Value>, Vec<Problem>> {
    match file::parse_yaml(text).map_err(|error| fault("overrides file", &error))? {
        Value::Null => Ok(Map::new()),
        Value::Object(top) => Ok(top),
        _ => Err(fault("overrides file", "expected the key `overrides`")),
    }
}

/// Adds the keys of `from`; where both have a block, block by block.
fn merge(into: &mut Map<String, Value>, from: Map<String, Value>) {
    for (key, value) in from {
        match (into.get_mut(&key), value) {
            (Some(Value::Object(into)), Value::Object(from)) => merge(into, from),
            (_, value) => {
                into.insert(key, value);
            }
        }
    }
}

fn tenants(
    top: &Map<String, Value>,
    default: &TenantLimits,
) -> Result<BTreeMap<String, Arc<TenantLimits>>, Vec<Problem>> {
    if let Some(name) =
        top.keys().find(|k| *k != "overrides" && !OTHER_BLOCKS.contains(&k.as_str()))
    {
        return Err(fault(name, "no such key; the file holds `overrides`, a map of tenants"));
    }
    let tenants = match top.get("overrides") {
        None | Some(Value::Null) => return Ok(BTreeMap::new()),
        Some(Value::Object(tenants)) => tenants,
        Some(_) => return Err(fault("overrides", "expected a map of tenants")),
    };
    let mut findings = Findings::default();
    let mut table = BTreeMap::new();
    for (tenant, keys) in tenants {
        let prefix = format!("overrides.{tenant}");
        let mut limits = default.clone();
        match keys {
            Value::Object(keys) => {
                for (key, value) in keys {
                    file::limit(&prefix, key, value, &mut limits, &mut findings);
                }
            }
            Value::Null => {}
            _ => findings.problems.extend(fault(&prefix, "expected a block of limits")),
        }
        findings.problems.extend(limits.validate(&prefix));
        table.insert(tenant.clone(), Arc::new(limits));
    }
    if findings.problems.is_empty() { Ok(table) } else { Err(findings.problems) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn tenants_inherit_what_they_do_not_name() {
        let mut config = Config::default();
        config.limits.max_query_series = 7;
        let overrides = Overrides::new(&config);
        overrides.load(&["overrides:\n  team-a: {ingestion_rate_mb: 20}\n"]).unwrap();
        let team = overrides.limits_for(&TenantId::new("team-a").unwrap());
        assert!((team.ingestion_rate_mb - 20.0).abs() < f64::EPSILON);
        assert_eq!(team.max_query_series, 7);
        let other = overrides.limits_for(&TenantId::anonymous());
        assert!((other.ingestion_rate_mb - 4.0).abs() < f64::EPSILON);
    }

    #[test]
    fn later_files_win_key_by_key() {
        let overrides = Overrides::new(&Config::default());
        let first = "overrides: {a: {max_query_series: 1, ingestion_rate_mb: 20}, b: {max_query_series: 2}}";
        let second = "overrides: {a: {max_query_series: 3}}";
        overrides.load(&[first, second]).unwrap();
        let of = |tenant: &str| overrides.limits_for(&TenantId::new(tenant).unwrap());
        assert_eq!((of("a").max_query_series, of("b").max_query_series), (3, 2));
        assert!((of("a").ingestion_rate_mb - 20.0).abs() < f64::EPSILON);
    }

    #[test]
    fn a_bad_file_changes_nothing() {
        let overrides = Overrides::new(&Config::default());
        overrides.load(&["overrides: {a: {max_query_series: 1}}"]).unwrap();
        for text in
            ["overrides: {a: {max_query_serie: 2}}", "overides: {}", "overrides: [", "overrides: 3"]
        {
            assert!(overrides.load(&[text]).is_err(), "{text}");
        }
        let limits = overrides.limits_for(&TenantId::new("a").unwrap());
        assert_eq!(limits.max_query_series, 1);
    }
}
