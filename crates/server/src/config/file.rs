//! The YAML file: variables expanded, every key looked up, unknown keys named.

use serde_json::Value;

use super::key::Key;
use super::limits::{self, TenantLimits};
use super::{Config, Problem, key};

/// Keys that Loki knows and that have no meaning here, one path per line; `x.*` is a whole block.
static LOKI_KEYS: &str = include_str!("loki_keys.txt");
/// The block of tenant limits.
const LIMITS: &str = "limits_config";
/// A limit that is none: the older name of [`OVERRIDES_FILE`], which wins where both are given.
const OLD_OVERRIDES_FILE: &str = "per_tenant_override_config";
/// The file of per-tenant limits.
const OVERRIDES_FILE: &str = "runtime_config.file";

/// What reading a file brought to light beside the values.
#[derive(Debug, Default, PartialEq)]
pub struct Findings {
    /// Faults; the configuration must not be used.
    pub problems: Vec<Problem>,
    /// Keys of Loki's that were accepted without effect.
    pub ignored: Vec<String>,
}

/// Reads a file's text into `config`. Values already there stay where the file is silent.
pub fn read(text: &str, config: &mut Config) -> Findings {
    let mut findings = Findings::default();
    match parse_yaml(text) {
        Ok(Value::Null) => {}
        Ok(Value::Object(top)) => {
            for (name, value) in top {
                block(&name, &value, config, &mut findings);
            }
        }
        Ok(other) => {
            let fault = format!("expected keys with values, found {other}");
            findings.problems.push(Problem::new("configuration file", fault));
        }
        Err(fault) => findings.problems.push(Problem::new("configuration file", fault)),
    }
    findings
}

/// Reads YAML into a JSON value.
///
/// # Errors
///
/// The parser's message, with line and column.
pub fn parse_yaml(text: &str) -> Result<Value, String> {
    if text.trim().is_empty() {
        return Ok(Value::Null);
    }
    serde_saphyr::from_str(text).map_err(|error| error.to_string())
}

fn block(name: &str, value: &Value, config: &mut Config, findings: &mut Findings) {
    if name == LIMITS {
        let Value::Object(map) = value else {
            if !value.is_null() {
                findings.problems.push(Problem::new(LIMITS, "expected a block of keys"));
            }
            return;
        };
        for (key, value) in map {
            if key == OLD_OVERRIDES_FILE && config.runtime_config.file.is_empty() {
                walk(OVERRIDES_FILE, value, config, findings);
            } else {
                limit(LIMITS, key, value, &mut config.limits, findings);
            }
        }
        return;
    }
    walk(name, value, config, findings);
}

/// Sets one limit; `prefix` names the place for messages.
pub fn limit(
    prefix: &str,
    key: &str,
    value: &Value,
    limits: &mut TenantLimits,
    findings: &mut Findings,
) {
    let path = format!("{prefix}.{key}");
    if let Some(row) = limits::KEYS.iter().find(|row| row.path == key) {
        set(row, &path, value, limits, findings);
    } else if is_known_to_loki(&format!("{LIMITS}.{key}")) {
        findings.ignored.push(path);
    } else {
        findings.problems.push(unknown(&path, limits::KEYS.iter().map(|row| row.path), key));
    }
}

/// Descends into a block until a key of ours, a key of Loki's, or neither is found.
fn walk(path: &str, value: &Value, config: &mut Config, findings: &mut Findings) {
    if let Some(row) = key::all().find(|row| row.path == path) {
        set(row, path, value, config, findings);
        return;
    }
    let below = format!("{path}.");
    let has_keys = key::all().any(|row| row.path.starts_with(&below))
        || loki_keys().any(|known| known.starts_with(&below) && known != format!("{below}*"));
    match value {
        Value::Object(map) if has_keys => {
            for (name, value) in map {
                walk(&format!("{below}{name}"), value, config, findings);
            }
        }
        Value::Null if has_keys => {}
        _ if is_known_to_loki(path) => findings.ignored.push(path.to_owned()),
        _ => findings.problems.push(unknown(path, key::all().map(|row| row.path), path)),
    }
}

fn set<C>(row: &Key<C>, path: &str, value: &Value, target: &mut C, findings: &mut Findings) {
    if let Err(fault) = (row.set)(target, value) {
        let fault = format!("{fault} (expected a {})", row.shape);
        findings.problems.push(Problem::new(path, fault));
    }
}

fn loki_keys() -> impl Iterator<Item = &'static str> {
    LOKI_KEYS.lines().map(str::trim).filter(|line| !line.is_empty() && !line.starts_with('#'))
}

fn is_known_to_loki(path: &str) -> bool {
    loki_keys().any(|known| match known.strip_suffix(".*") {
        Some(block) => {
            path == block || path.strip_prefix(block).is_some_and(|rest| rest.starts_with('.'))
        }
        None => known == path,
    })
}

fn unknown(path: &str, known: impl Iterator<Item = &'static str>, key: &str) -> Problem {
    let near = known
        .chain(loki_keys().filter(|known| !known.ends_with('*')))
        .map(|candidate| (distance(candidate, key), candidate))
        .filter(|(distance, _)| *distance <= 3)
        .min();
    let fault = match near {
        Some((_, candidate)) => format!("no such key; did you mean {candidate}?"),
        None => "no such key; `sigyn -help` lists them all".to_owned(),
    };
    Problem::new(path, fault)
}

/// Levenshtein's edit distance, for suggestions.
pub(super) fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, x) in a.chars().enumerate() {
        let mut diagonal = row[0];
        row[0] = i + 1;
        for (j, y) in b.iter().enumerate() {
            let substituted = diagonal + usize::from(x != *y);
            diagonal = row[j + 1];
            row[j + 1] = substituted.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Replaces `${NAME}` and `${NAME:-default}` by what `lookup` finds; an unset name without a
/// default becomes nothing. `$${` stands for a literal `${`.
///
/// # Errors
///
/// A [`Problem`] when a `${` is not closed.
pub fn expand(text: &str, lookup: &dyn Fn(&str) -> Option<String>) -> Result<String, Problem> {
    let mut out = String::with_capacity(text.len());
    let mut rest = text;
    while let Some(at) = rest.find("${") {
        if let Some(before) = rest[..at].strip_suffix('$') {
            out.push_str(before);
            out.push_str("${");
            rest = &rest[at + 2..];
            continue;
        }
        out.push_str(&rest[..at]);
        let body = &rest[at + 2..];
        let end = body.find('}').ok_or_else(|| {
            let line = 1 + text[..text.len() - body.len()].matches('\n').count();
            Problem::new("-config.expand-env", format!("`${{` on line {line} has no closing brace"))
        })?;
        let (name, default) = match body[..end].split_once(":-") {
            Some((name, default)) => (name, default),
            None => (body[..end].split_once(':').map_or(&body[..end], |(name, _)| name), ""),
        };
        let found = lookup(name).filter(|value| !value.is_empty());
        out.push_str(found.as_deref().unwrap_or(default));
        rest = &body[end + 1..];
    }
    out.push_str(rest);
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::config::StorageChoice;

    fn load(text: &str) -> (Config, Findings) {
        let mut config = Config::default();
        let findings = read(text, &mut config);
        (config, findings)
    }

    #[test]
    fn keys_are_set_and_the_rest_is_kept() {
        let (config, findings) = load(
            "auth_enabled: false\nserver: {http_listen_port: 3200, log_level: error}\n\
             limits_config:\n  ingestion_rate_mb: 20\n  reject_old_samples_max_age: 10y\n",
        );
        assert_eq!(findings, Findings::default());
        assert!(!config.auth_enabled);
        assert_eq!(config.server.http_listen_port, 3200);
        assert!((config.limits.ingestion_rate_mb - 20.0).abs() < f64::EPSILON);
        assert!(config.limits.reject_old_samples);
    }

    #[test]
    fn unknown_keys_are_errors_that_name_the_nearest() {
        let (_, findings) =
            load("server: {http_listen_prot: 3100}\nlimits_config: {max_lin_size: 1}");
        let texts: Vec<String> = findings.problems.iter().map(ToString::to_string).collect();
        assert_eq!(
            texts,
            [
                "server.http_listen_prot: no such key; did you mean server.http_listen_port?",
                "limits_config.max_lin_size: no such key; did you mean max_line_size?",
            ]
        );
    }

    #[test]
    fn values_of_the_wrong_shape_name_their_key() {
        let (_, findings) = load("server: {http_listen_port: many}");
        assert_eq!(
            findings.problems[0].to_string(),
            "server.http_listen_port: \"many\" is not a number between 0 and 65535 \
             (expected a number)"
        );
    }

    #[test]
    fn keys_of_loki_without_meaning_are_listed() {
        let (_, findings) =
            load("bloom_build: {enabled: true}\nanalytics: {reporting_enabled: false}");
        assert_eq!(findings.problems, []);
        assert_eq!(findings.ignored, ["bloom_build", "analytics"]);
    }

    #[test]
    fn no_key_is_both_honoured_and_ignored() {
        let mut known: Vec<String> = loki_keys().map(str::to_owned).collect();
        known.extend(key::all().map(|row| row.path.to_owned()));
        known.extend(limits::KEYS.iter().map(|row| format!("{LIMITS}.{}", row.path)));
        known.sort_unstable();
        assert_eq!(known.windows(2).find(|pair| pair[0] == pair[1]), None);
    }

    #[test]
    fn configurations_written_for_loki_read_without_problems() {
        let check = |text: &str, ignored: &[&str]| {
            let (config, findings) = load(&expand(text, &|_| None).unwrap());
            assert_eq!(findings.problems, []);
            assert_eq!(findings.ignored, ignored);
            assert_eq!(config.validate(), []);
            config.storage_choice().unwrap()
        };
        let local = check(
            include_str!("../../../../examples/local.yaml"),
            &[
                "server.grpc_server_max_concurrent_streams",
                "pattern_ingester.metric_aggregation",
                "ruler",
                "frontend.encoding",
                "analytics",
            ],
        );
        assert_eq!(local, StorageChoice::Filesystem("./data/chunks".to_owned()));
        let s3 = check(
            include_str!("../../../../examples/s3.yaml"),
            &[
                "storage_config.tsdb_shipper.active_index_directory",
                "storage_config.tsdb_shipper.cache_location",
                "ingester.chunk_encoding",
                "querier.query_ingesters_within",
                "limits_config.tsdb_max_query_parallelism",
                "ruler",
            ],
        );
        assert!(matches!(s3, StorageChoice::S3(s3) if s3.bucket == "logs"), "a bucket");
    }

    #[test]
    fn typos_are_problems_at_every_depth() {
        for (text, path) in [
            ("sever: {}", "sever"),
            ("common: {path_prefx: /x}", "common.path_prefx"),
            ("common: {ring: {kvstore: {stoer: consul}}}", "common.ring.kvstore.stoer"),
            ("storage_config: {aws: {bucketname: b}}", "storage_config.aws.bucketname"),
            ("schema_config: {configs: [{form: 2020-01-01}]}", "schema_config.configs"),
            ("ingester: {wal: {directory: /x}}", "ingester.wal.directory"),
            ("frontend: {encodng: json}", "frontend.encodng"),
            ("pattern_ingester: {enable: true}", "pattern_ingester.enable"),
            ("limits_config: {retention_perod: 1d}", "limits_config.retention_perod"),
            ("limits_config: {shard_streams: {enable: true}}", "limits_config.shard_streams"),
        ] {
            let (_, findings) = load(text);
            let keys: Vec<&str> = findings.problems.iter().map(|p| p.key.as_str()).collect();
            assert_eq!(keys, [path], "{text}");
        }
    }

    #[test]
    fn older_ways_to_write_a_key_still_hold() {
        let (config, findings) = load(
            "limits_config: {per_tenant_override_config: /a.yaml, block_ingestion_until: 0, \
             shard_streams: {desired_rate: 3145728}}\n\
             common: {storage: {s3: {s3: 's3://key:secret@eu-west-1/logs'}}}",
        );
        assert_eq!((findings.problems, config.validate()), (vec![], vec![]));
        assert_eq!(config.runtime_config.file, ["/a.yaml"]);
        let choice = config.storage_choice().unwrap();
        assert!(matches!(choice, StorageChoice::S3(s3) if s3.bucket == "logs"));
        let (config, _) = load(
            "runtime_config: {file: /b.yaml}\n\
             limits_config: {per_tenant_override_config: /a.yaml}",
        );
        assert_eq!(config.runtime_config.file, ["/b.yaml"]);
    }

    #[test]
    fn variables_expand_with_defaults() {
        let lookup = |name: &str| (name == "PORT").then(|| "3200".to_owned());
        assert_eq!(
            expand("a: ${PORT} b: ${HOST:-local} c: ${NONE}. $${x}", &lookup).unwrap(),
            "a: 3200 b: local c: . ${x}"
        );
        assert!(expand("a: ${PORT", &lookup).is_err());
    }
}
