//! The configuration in words: in force, as help, and as the reference page.

use std::fmt::Write as _;

use serde_json::{Map, Value};

use super::flags::ACTIONS;
use super::{Config, key, limits};

/// Keys whose values are never shown.
const SECRETS: &[&str] = &[
    "secret_access_key",
    "session_token",
    "account_key",
    "service_account",
    "aws.s3",
    "s3.s3",
    "redis.password",
];

/// The configuration in force as YAML, secrets masked.
#[must_use]
pub fn effective(config: &Config) -> String {
    yaml(&tree(config))
}

/// The keys whose values differ from Loki's defaults, as YAML.
#[must_use]
pub fn difference(config: &Config) -> String {
    let defaults = tree(&Config::default());
    yaml(&changed(&tree(config), &defaults).unwrap_or(Value::Object(Map::new())))
}

/// A tenant's limits as one JSON object under Loki's key names.
#[must_use]
pub fn limits_value(limits: &limits::TenantLimits) -> Map<String, Value> {
    limits::KEYS.iter().map(|row| (row.path.to_owned(), (row.get)(limits))).collect()
}

/// A tenant's limits as YAML.
#[must_use]
pub fn tenant_limits(limits: &limits::TenantLimits) -> String {
    yaml(&Value::Object(limits_value(limits)))
}

fn yaml(value: &Value) -> String {
    serde_saphyr::to_string(value).unwrap_or_default()
}

fn tree(config: &Config) -> Value {
    let mut root = Map::new();
    for row in key::all() {
        let value = (row.get)(config);
        let is_secret = SECRETS.iter().any(|secret| row.path.ends_with(secret));
        let is_set = value.as_str().is_some_and(|text| !text.is_empty());
        let shown = if is_secret && is_set { Value::String("********".to_owned()) } else { value };
        insert(&mut root, row.path, shown);
    }
    root.insert("limits_config".to_owned(), Value::Object(limits_value(&config.limits)));
    Value::Object(root)
}

fn insert(map: &mut Map<String, Value>, path: &str, value: Value) {
    match path.split_once('.') {
        None => {
            map.insert(path.to_owned(), value);
        }
        Some((block, rest)) => {
            let entry = map.entry(block.to_owned()).or_insert_with(|| Value::Object(Map::new()));
            if let Value::Object(block) = entry {
                insert(block, rest, value);
            }
        }
    }
}

fn changed(value: &Value, default: &Value) -> Option<Value> {
    match (value, default) {
        (Value::Object(map), Value::Object(defaults)) => {
            let differing: Map<String, Value> = map
                .iter()
                .filter_map(|(key, value)| {
                    let default = defaults.get(key).unwrap_or(&Value::Null);
                    changed(value, default).map(|value| (key.clone(), value))
                })
                .collect();
            (!differing.is_empty()).then_some(Value::Object(differing))
        }
        _ => (value != default).then(|| value.clone()),
    }
}

/// What `-help` prints.
#[must_use]
pub fn help() -> String {
    let mut out = String::from(HELP_HEAD);
    for (flag, doc) in ACTIONS {
        let _ = writeln!(out, "  -{flag}\n        {doc}");
    }
    let defaults = Config::embedded();
    for row in key::all().filter(|row| !row.flag.is_empty()) {
        line(&mut out, row.flag, row.shape, row.doc, &(row.get)(&defaults));
    }
    for row in limits::KEYS.iter().filter(|row| !row.flag.is_empty()) {
        line(&mut out, row.flag, row.shape, row.doc, &(row.get)(&defaults.limits));
    }
    out
}

const HELP_HEAD: &str = "\
sigyn stores logs and answers Loki's API.

  sigyn                                   serve everything on 127.0.0.1:3100, data below ./data
  sigyn -config.file=sigyn.yaml           serve as a (Loki) configuration file says
  sigyn -config.file=x.yaml -verify-config

Other commands; each has its own -help:

  sigyn query '{app=\"web\"} |= \"error\"'    ask a running store (see also: instant-query, labels,
                                          series, tail, stats, volume, fmt)
  sigyn check DIRECTORY                   verify every stored segment
  sigyn bench                             measure this machine beside zstd and rg

Flags take one dash or two. A flag wins over the configuration file.

";

fn line(out: &mut String, flag: &str, shape: &str, doc: &str, default: &Value) {
    let default = match default {
        Value::String(text) if text.is_empty() => String::new(),
        Value::String(text) => format!(" (default {text})"),
        Value::Array(items) if items.is_empty() => String::new(),
        other => format!(" (default {other})"),
    };
    let _ = writeln!(out, "  -{flag} {shape}\n        {doc}{default}");
}

/// The reference page `docs/config.md`.
#[must_use]
pub fn reference() -> String {
    let mut out = String::from(REFERENCE_HEAD);
    let defaults = Config::default();
    table_head(&mut out);
    for row in key::all() {
        table_row(&mut out, row.path, row.flag, row.doc, &(row.get)(&defaults));
    }
    out.push_str(
        "\n## limits_config\n\nEvery key may also stand in the overrides file, per tenant.\n\n",
    );
    table_head(&mut out);
    for row in limits::KEYS {
        table_row(&mut out, row.path, row.flag, row.doc, &(row.get)(&defaults.limits));
    }
    out
}

const REFERENCE_HEAD: &str = "\
# Configuration

This page is generated from the key tables; a test compares the two.

Precedence: defaults < configuration file < flags. Keys are Loki's. Keys that Loki knows and that
have no meaning here are accepted and listed in one warning at start; unknown keys are errors.
Without a configuration file Sigyn serves on 127.0.0.1:3100 without tenants and keeps its data below
`./data`; the defaults below are those that hold with a file.

## Blocks

";

fn table_head(out: &mut String) {
    out.push_str("| key | flag | default | meaning |\n|---|---|---|---|\n");
}

fn table_row(out: &mut String, path: &str, flag: &str, doc: &str, default: &Value) {
    let flag = if flag.is_empty() { String::new() } else { format!("`-{flag}`") };
    let default = match default {
        Value::String(text) if text.is_empty() => String::new(),
        Value::String(text) => format!("`{text}`"),
        other => format!("`{other}`"),
    };
    let _ = writeln!(out, "| `{path}` | {flag} | {default} | {} |", doc.replace('|', "\\|"));
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::file;

    #[test]
    fn what_is_printed_reads_back() {
        let mut config = Config::embedded();
        config.limits.max_line_size.0 = 3 << 19;
        let mut again = Config::default();
        let findings = file::read(&effective(&config), &mut again);
        assert_eq!(findings.problems, []);
        assert_eq!(again, config);
    }

    #[test]
    fn only_changes_are_in_the_difference() {
        let config = Config { auth_enabled: false, ..Config::default() };
        assert_eq!(difference(&config).trim(), "auth_enabled: false");
    }

    #[test]
    fn secrets_are_masked() {
        let mut config = Config::default();
        config.storage.s3.secret_access_key = "hunter2".to_owned();
        config.common.storage.s3.url = "s3://key:hunter2@region/bucket".to_owned();
        assert!(!effective(&config).contains("hunter2"));
    }

    #[test]
    fn the_reference_page_is_fresh() {
        crate::generated::assert_fresh("docs/config.md", &reference());
    }

    #[test]
    fn keys_and_flags_are_distinct() {
        let mut flags: Vec<&str> = key::all().map(|row| row.flag).collect();
        flags.extend(limits::KEYS.iter().map(|row| row.flag));
        flags.extend(ACTIONS.iter().map(|(flag, _)| *flag));
        flags.retain(|flag| !flag.is_empty());
        flags.sort_unstable();
        assert_eq!(flags.windows(2).find(|pair| pair[0] == pair[1]), None);
    }
}
