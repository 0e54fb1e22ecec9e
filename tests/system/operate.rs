//! What `docs/operate/` ships works: metrics exist, configurations are accepted, files parse.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use system::ledger::{Difference, Ledger};
use system::process::{Sigyn, Start, binary};

fn folder() -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("../docs/operate")
}

/// Every file below the folder with this extension.
fn files(extension: &str) -> Vec<PathBuf> {
    let mut found = Vec::new();
    let mut folders = vec![folder()];
    while let Some(folder) = folders.pop() {
        for entry in fs::read_dir(folder).unwrap() {
            let path = entry.unwrap().path();
            if path.is_dir() {
                folders.push(path);
            } else if path.extension().is_some_and(|found| found == extension) {
                found.push(path);
            }
        }
    }
    found
}

fn documents(path: &Path) -> Vec<Value> {
    let text = fs::read_to_string(path).unwrap();
    serde_saphyr::from_multiple(&text).unwrap_or_else(|error| panic!("{}: {error}", path.display()))
}

/// The text of every `key` in a document.
fn texts(value: &Value, key: &str, found: &mut Vec<String>) {
    match value {
        Value::Object(map) => {
            for (name, value) in map {
                match value {
                    Value::String(text) if name == key => found.push(text.clone()),
                    value => texts(value, key, found),
                }
            }
        }
        Value::Array(list) => list.iter().for_each(|value| texts(value, key, found)),
        _ => {}
    }
}

/// The metrics that PromQL names.
fn metrics_of(expressions: &[String]) -> BTreeSet<String> {
    let is_name = |c: char| c.is_ascii_alphanumeric() || c == '_';
    let words = expressions.iter().flat_map(|text| text.split(move |c| !is_name(c)));
    let ours = words.filter(|word| word.starts_with("loki_") || word.starts_with("sigyn_"));
    // Names of routes are label values, not metrics.
    ours.filter(|word| !word.starts_with("loki_api_")).map(str::to_owned).collect()
}

/// Whether a metric of which no value exists yet is registered: a counter of failures is not
/// exported before the first one.
fn is_registered(name: &str, sources: &str) -> bool {
    let suffixes = ["_total", "_bucket", "_sum", "_count", ""];
    let mut registered = suffixes.iter().filter_map(|suffix| name.strip_suffix(suffix));
    registered.any(|name| sources.contains(&format!("\"{name}\",")))
}

/// The text of all files of metrics.
fn sources() -> String {
    let crates = folder().join("../../crates");
    let mut text = String::new();
    for entry in fs::read_dir(crates).unwrap() {
        for file in ["src/metrics.rs", "src/http/metrics.rs"] {
            let path = entry.as_ref().unwrap().path().join(file);
            text += &fs::read_to_string(path).unwrap_or_default();
        }
    }
    text
}

/// The series that a process exports after it was written to and asked.
async fn exported() -> BTreeSet<String> {
    let folder = tempfile::tempdir().unwrap();
    let sigyn = Sigyn::start(folder.path(), Start::default()).await;
    let mut ledger = Ledger::default();
    let lines = ledger.next_lines(10);
    assert_eq!(sigyn.client().push(&lines).await.unwrap().status(), 204);
    ledger.acknowledge(&lines);
    assert_eq!(ledger.compare(&sigyn.client()).await, Difference::default());
    let text = sigyn.client().get("/metrics", &[]).await.unwrap().text().await.unwrap();
    let mut names = BTreeSet::new();
    for line in text.lines() {
        let Some((name, kind)) = line.strip_prefix("# TYPE ").and_then(|l| l.split_once(' '))
        else {
            continue;
        };
        if kind == "histogram" {
            names.extend(["_bucket", "_sum", "_count"].map(|suffix| format!("{name}{suffix}")));
        } else {
            names.insert(name.to_owned());
        }
    }
    names
}

#[tokio::test]
async fn alerts_and_dashboard_name_metrics_that_exist() {
    let exported = exported().await;
    let mut expressions = Vec::new();
    for document in documents(&folder().join("alerts.yaml")) {
        texts(&document, "expr", &mut expressions);
    }
    let alerts = expressions.len();
    let dashboard = fs::read_to_string(folder().join("dashboard.json")).unwrap();
    let dashboard: Value = serde_json::from_str(&dashboard).unwrap();
    texts(&dashboard, "expr", &mut expressions);
    assert!(alerts > 10 && expressions.len() > alerts + 20, "nothing was looked at");
    let named = metrics_of(&expressions);
    let sources = sources();
    let invented: Vec<&String> =
        named.difference(&exported).filter(|name| !is_registered(name, &sources)).collect();
    assert!(invented.is_empty(), "not exported: {invented:?}; exported: {exported:#?}");
}

#[test]
fn every_alert_is_explained() {
    let page = fs::read_to_string(folder().join("alerts.md")).unwrap();
    let mut alerts = Vec::new();
    for document in documents(&folder().join("alerts.yaml")) {
        texts(&document, "alert", &mut alerts);
    }
    for alert in &alerts {
        assert!(page.contains(&format!("\n## {alert}\n")), "{alert} is not explained");
    }
    assert_eq!(page.matches("\n## ").count(), alerts.len(), "an explanation has no alert");
}

#[test]
fn every_yaml_file_parses() {
    let files = files("yaml");
    assert!(files.len() > 4, "{files:?}");
    for file in &files {
        assert!(!documents(file).is_empty(), "{}", file.display());
    }
}

#[test]
fn every_example_configuration_is_accepted() {
    // Configurations are the files that begin with a command line.
    let is_configuration =
        |path: &PathBuf| fs::read_to_string(path).unwrap().contains("#   sigyn -config.file=");
    let configurations: Vec<PathBuf> = files("yaml").into_iter().filter(is_configuration).collect();
    assert!(!configurations.is_empty());
    for path in configurations {
        let output = Command::new(binary())
            .arg(format!("-config.file={}", path.display()))
            .args(["-config.expand-env", "-verify-config"])
            .output()
            .unwrap();
        let said = [output.stdout, output.stderr].concat();
        let said = String::from_utf8_lossy(&said);
        assert!(output.status.success(), "{}: {said}", path.display());
        assert!(said.contains("config is valid"), "{}: {said}", path.display());
        assert!(!said.contains("without effect"), "{}: {said}", path.display());
    }
}
