//! Real clients push, and what they pushed is found.
//!
//! `./test` installs them and names the places in two environment variables.

use std::path::{Path, PathBuf};
use std::process::Command;

use serde_json::Value;
use system::client::lines_of;
use system::process::{Sigyn, Start};
use system::wait;

/// A path that `./test` names.
#[allow(clippy::disallowed_methods, reason = "the test command says where the clients are")]
pub fn installed(variable: &str) -> PathBuf {
    match std::env::var(variable) {
        Ok(path) => PathBuf::from(path),
        Err(_) => panic!("{variable} is not set: run the tests with ./test"),
    }
}

fn script(name: &str) -> PathBuf {
    Path::new(env!("CARGO_MANIFEST_DIR")).join("clients").join(name)
}

async fn run_and_find(mut command: Command, query: &str) -> Vec<(Value, String)> {
    let folder = tempfile::tempdir().unwrap();
    let sigyn = Sigyn::start(folder.path(), Start::default()).await;
    let client = sigyn.client();
    let output = command.arg(format!("http://127.0.0.1:{}", sigyn.port())).output().unwrap();
    let texts = [&output.stdout, &output.stderr].map(|text| String::from_utf8_lossy(text));
    assert!(output.status.success(), "{texts:?}");
    let lines = wait::until("the client's lines are there", || async {
        let body = client.json("/loki/api/v1/query_range", &[("query", query)]).await;
        let lines = lines_of(&body);
        (!lines.is_empty()).then_some(lines)
    })
    .await;
    lines.into_iter().map(|l| (serde_json::from_str(&l.stream).unwrap(), l.text)).collect()
}

fn python(name: &str) -> Command {
    let mut command = Command::new(installed("SIGYN_TEST_PYTHON"));
    command.arg(script(name));
    command
}

fn node(name: &str) -> Command {
    let mut command = Command::new("node");
    // Scripts lie outside the folder of the installed packages.
    command.arg(script(name)).env("NODE_PATH", installed("SIGYN_TEST_NODE_MODULES"));
    command
}

#[tokio::test]
async fn python_logging_loki() {
    let found =
        run_and_find(python("python_logging_loki.py"), "{application=\"python-test\"}").await;
    assert!(
        found.iter().any(|(stream, line)| {
            line == "hello from python-logging-loki" && stream["severity"] == "warning"
        }),
        "{found:?}"
    );
}

#[tokio::test]
async fn opentelemetry_exporter() {
    let found = run_and_find(python("opentelemetry_logs.py"), "{service_name=\"otel-test\"}").await;
    assert!(
        found.iter().any(|(stream, line)| {
            line == "hello from opentelemetry" && stream["detected_level"] == "error"
        }),
        "{found:?}"
    );
}

#[tokio::test]
async fn winston_loki() {
    let found = run_and_find(node("winston_loki.js"), "{app=\"winston-test\"}").await;
    assert!(found.iter().any(|(_, line)| line.contains("hello from winston-loki")), "{found:?}");
}

#[tokio::test]
async fn pino_loki() {
    let found = run_and_find(node("pino_loki.js"), "{app=\"pino-test\"}").await;
    assert!(found.iter().any(|(_, line)| line.contains("hello from pino-loki")), "{found:?}");
}
