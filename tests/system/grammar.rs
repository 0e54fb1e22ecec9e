//! Grafana's own grammar reads the queries of the scripts as Sigyn does.

use std::collections::BTreeSet;
use std::io::Write as _;
use std::path::Path;
use std::process::{Command, Stdio};

use system::script;

use crate::push::clients::installed;

/// Every query of the scripts, once.
fn queries() -> Vec<String> {
    let scripts = Path::new(env!("CARGO_MANIFEST_DIR")).join("logql");
    let mut queries = BTreeSet::new();
    for entry in std::fs::read_dir(scripts).unwrap() {
        let path = entry.unwrap().path();
        if path.extension().is_some_and(|extension| extension == "test") {
            let text = std::fs::read_to_string(path).unwrap();
            let asked = script::questions(&text).unwrap();
            queries.extend(asked.into_iter().map(|asked| asked.question.query));
        }
    }
    queries.into_iter().collect()
}

/// Which of the queries Grafana's grammar reads without a mistake.
fn read_by_grafana(queries: &[String]) -> Vec<bool> {
    let script = Path::new(env!("CARGO_MANIFEST_DIR")).join("clients/lezer_logql.js");
    let mut node = Command::new("node")
        .arg(script)
        .env("NODE_PATH", installed("SIGYN_TEST_NODE_MODULES"))
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    let asked = serde_json::to_vec(queries).unwrap();
    node.stdin.take().unwrap().write_all(&asked).unwrap();
    let output = node.wait_with_output().unwrap();
    assert!(output.status.success(), "{}", output.status);
    serde_json::from_slice(&output.stdout).unwrap()
}

#[test]
fn grafana_reads_the_queries_of_the_scripts() {
    let queries = queries();
    assert!(queries.len() > 300, "the scripts were not found");
    let table = include_str!("../clients/lezer_differences.tsv");
    let explained: BTreeSet<(&str, &str)> = table
        .lines()
        .filter(|line| !line.starts_with('#'))
        .map(|line| {
            let mut cells = line.split('\t');
            (cells.next().unwrap(), cells.next().unwrap())
        })
        .collect();
    let read = read_by_grafana(&queries);
    assert_eq!(read.len(), queries.len());
    let found: BTreeSet<(&str, &str)> = queries
        .iter()
        .zip(read)
        .filter(|(query, by_grafana)| logql::parse(query).is_ok() != *by_grafana)
        .map(|(query, by_grafana)| (if by_grafana { "grafana" } else { "sigyn" }, query.as_str()))
        .collect();
    let new: Vec<_> = found.difference(&explained).collect();
    assert!(new.is_empty(), "read by one only, and not explained in the table: {new:#?}");
    let gone: Vec<_> = explained.difference(&found).collect();
    assert!(gone.is_empty(), "explained in the table, but there is no difference: {gone:#?}");
}
