//! The commands for people, run as a person would run them.

use std::process::{Output, Stdio};

use serde_json::{Value, json};
use system::client::Client;
use system::process::{Sigyn, Start, binary};
use system::wait;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpListener;
use tokio::process::Command;

/// The first time, 2024-05-01T00:00:00Z, and the lines: several of them share each time.
const START: i64 = 1_714_521_600_000_000_000;
const LINES: i64 = 300;
const LINES_PER_TIME: i64 = 7;
const RANGE: [&str; 4] = ["--from", "2024-05-01T00:00:00Z", "--to", "2024-05-01T01:00:00Z"];

async fn start(folder: &tempfile::TempDir) -> Sigyn {
    let config = "auth_enabled: true\nlimits_config: {reject_old_samples: false, \
                  discover_service_name: [], discover_log_levels: false, volume_enabled: true}\n";
    let start = Start { config: config.to_owned(), wrapper: Vec::new() };
    Sigyn::start(folder.path(), start).await
}

async fn push(client: &Client, lines: impl Iterator<Item = (i64, i64)>) {
    let streams: Vec<Value> = lines
        .map(|(at, n)| {
            let env = if n % 3 == 0 { "prod" } else { "dev" };
            let stream = json!({"app": "web", "env": env});
            json!({"stream": stream, "values": [[at.to_string(), format!("line {n}")]]})
        })
        .collect();
    let body = json!({ "streams": streams }).to_string();
    let kind = [("Content-Type", "application/json")];
    let answer = client.post("/loki/api/v1/push", &kind, body).await.unwrap();
    assert_eq!(answer.status(), 204);
}

/// The program with the environment that `logcli` reads.
fn command(address: &str, arguments: &[&str]) -> Command {
    let mut command = Command::new(binary());
    command.args(arguments).env("LOKI_ADDR", address).env("LOKI_ORG_ID", "cli").kill_on_drop(true);
    command
}

async fn run(sigyn: &Sigyn, arguments: &[&str]) -> Output {
    let address = format!("http://127.0.0.1:{}", sigyn.port());
    command(&address, arguments).output().await.unwrap()
}

/// What a command that must succeed prints.
async fn print(sigyn: &Sigyn, arguments: &[&str]) -> String {
    let output = run(sigyn, arguments).await;
    let errors = String::from_utf8_lossy(&output.stderr);
    assert!(output.status.success(), "{arguments:?}: {errors}");
    String::from_utf8(output.stdout).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn every_line_is_printed_once() {
    let folder = tempfile::tempdir().unwrap();
    let sigyn = start(&folder).await;
    let at = |n: i64| START + n / LINES_PER_TIME * 1_000_000_000;
    push(&sigyn.client().as_tenant("cli"), (0..LINES).map(|n| (at(n), n))).await;
    // Pages smaller than the lines of one time must grow.
    for batch in ["3", "10", "100", "5000"] {
        for direction in [&["--forward"][..], &[]] {
            let mut arguments = vec!["query", "--limit", "0", "--batch", batch, "-o", "jsonl"];
            arguments.extend(RANGE.iter().chain(direction));
            arguments.push("{app=\"web\"}");
            let text = print(&sigyn, &arguments).await;
            let lines: Vec<Value> =
                text.lines().map(|line| serde_json::from_str(line).unwrap()).collect();
            let times: Vec<&str> = lines.iter().map(|l| l["timestamp"].as_str().unwrap()).collect();
            let mut numbers: Vec<i64> = lines
                .iter()
                .map(|line| line["line"].as_str().unwrap()[5..].parse().unwrap())
                .collect();
            let in_order = if direction.is_empty() {
                times.is_sorted_by(|a, b| a >= b)
            } else {
                times.is_sorted()
            };
            assert!(in_order, "{arguments:?}: {times:?}");
            numbers.sort_unstable();
            assert!(numbers.iter().copied().eq(0..LINES), "{arguments:?}: {numbers:?}");
        }
    }
    // A limit over several pages.
    let mut arguments = vec!["query", "--limit", "50", "--batch", "8", "-o", "raw", "--forward"];
    arguments.extend(RANGE);
    arguments.push("{app=\"web\"}");
    assert_eq!(print(&sigyn, &arguments).await.lines().count(), 50);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn answers_have_their_forms() {
    let folder = tempfile::tempdir().unwrap();
    let sigyn = start(&folder).await;
    push(&sigyn.client().as_tenant("cli"), [(START, 0), (START + 1, 1)].into_iter()).await;
    let ask = async |first: &[&str]| {
        let mut arguments = first.to_vec();
        arguments.extend(RANGE);
        print(&sigyn, &arguments).await
    };
    let lines = "2024-05-01T00:00:00Z {app=\"web\", env=\"prod\"} line 0\n\
                 2024-05-01T00:00:00.000000001Z {app=\"web\", env=\"dev\"} line 1\n";
    assert_eq!(ask(&["query", "--forward", "{app=\"web\"}"]).await, lines);
    assert_eq!(ask(&["query", "-o", "raw", "{app=\"web\"}"]).await, "line 1\nline 0\n");
    let bare = ask(&["query", "--no-labels", "--limit", "1", "{app=\"web\"}"]).await;
    assert_eq!(bare, "2024-05-01T00:00:00.000000001Z line 1\n");
    assert_eq!(ask(&["labels"]).await, "app\nenv\n");
    assert_eq!(ask(&["labels", "env", "--query", "{app=\"web\"}"]).await, "dev\nprod\n");
    let series = ask(&["series", "{env=\"dev\"}"]).await;
    assert_eq!(series, "{app=\"web\", env=\"dev\"}\n");
    let stats = ask(&["stats", "{app=\"web\"}"]).await;
    assert!(stats.contains("streams: 2\n") && stats.contains("entries: 2\n"), "{stats}");
    let volume = ask(&["volume", "{app=\"web\"}", "--target-labels", "env"]).await;
    let volume: Value = serde_json::from_str(&volume).unwrap();
    assert_eq!(volume.as_array().unwrap().len(), 2, "{volume}");
    let metric = "sum(count_over_time({app=\"web\"}[1h]))";
    let rows = ask(&["query", "--step", "1h", "-o", "jsonl", metric]).await;
    let rows: Value = serde_json::from_str(&rows).unwrap();
    // A window does not hold its first instant.
    let counts = json!([[1_714_521_600, "1"], [1_714_525_200, "1"]]);
    assert_eq!(rows["values"], counts, "{rows}");
    let now = ["instant-query", "--now", "2024-05-01T00:10:00Z", metric];
    let rows: Value = serde_json::from_str(&print(&sigyn, &now).await).unwrap();
    assert_eq!(rows[0]["value"], json!([1_714_522_200, "2"]));
    // The last hour holds nothing.
    assert_eq!(print(&sigyn, &["query", "--since", "1h", "{app=\"web\"}"]).await, "");
    let laid_out = print(&sigyn, &["fmt", "sum(rate({app=\"web\"}|json[5m]))by(pod)"]).await;
    assert!(laid_out.starts_with("sum by (pod)"), "{laid_out}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_end_with_words_and_a_code() {
    let folder = tempfile::tempdir().unwrap();
    let sigyn = start(&folder).await;
    let check = async |arguments: &[&str], code: i32, text: &str| {
        let output = run(&sigyn, arguments).await;
        let errors = String::from_utf8_lossy(&output.stderr);
        assert_eq!(output.status.code(), Some(code), "{arguments:?}: {errors}");
        assert!(errors.contains(text), "{arguments:?}: {errors}");
        assert!(output.stdout.is_empty());
    };
    check(&["query", "{app="], 1, "parse error at line 1, col 6").await;
    check(&["fmt", "{app="], 1, "parse error at line 1, col 6").await;
    check(&["tail", "{app="], 1, "parse error at line 1, col 6").await;
    check(&["query", "--addr", "http://127.0.0.1:1", "{a=\"b\"}"], 1, "ask http://127.0.0.1:1")
        .await;
    check(&["query", "--no-such-flag", "{a=\"b\"}"], 2, "--no-such-flag").await;
    let nothing = ["query", "--from", "2024-05-01T01:00:00Z", "--to", "2024-05-01T00:00:00Z", "{}"];
    check(&nothing, 1, "nothing lies between").await;
    let other = run(&sigyn, &["labels", "--org-id", ""]).await;
    assert!(String::from_utf8_lossy(&other.stderr).contains("no org id"), "{other:?}");
}

/// A terminal shows colours and how it goes; a pipe gets neither.
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_terminal_shows_more() {
    let folder = tempfile::tempdir().unwrap();
    let sigyn = start(&folder).await;
    push(&sigyn.client().as_tenant("cli"), (0..40).map(|n| (START + n, n))).await;
    let line = format!(
        "{} query --limit 0 --batch 10 {} '{{app=\"web\"}}'",
        binary().display(),
        RANGE.join(" ")
    );
    let address = format!("http://127.0.0.1:{}", sigyn.port());
    let mut terminal = Command::new("script");
    terminal
        .args(["-qec", &line, "/dev/null"])
        .env("LOKI_ADDR", &address)
        .env("LOKI_ORG_ID", "cli");
    let output = terminal.stdin(Stdio::null()).output().await.unwrap();
    let text = String::from_utf8_lossy(&output.stdout);
    assert!(text.contains("m{app=\"web\", env=\"dev\"}\u{1b}[0m line 1"), "{text:?}");
    assert!(text.contains("\r\u{1b}[2K10 lines, at 2024-05-01T00:00:00."), "{text:?}");
    let mut arguments = vec!["query", "{app=\"web\"}"];
    arguments.extend(RANGE);
    let piped = run(&sigyn, &arguments).await;
    assert!(!piped.stdout.contains(&0x1b) && !piped.stderr.contains(&0x1b));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_prints_what_arrives() {
    let folder = tempfile::tempdir().unwrap();
    let sigyn = start(&folder).await;
    let address = format!("http://127.0.0.1:{}", sigyn.port());
    let client = sigyn.client().as_tenant("cli");
    let mut tail = command(&address, &["tail", "-o", "raw", "{app=\"web\"} != \"line 1\""])
        .stdout(Stdio::piped())
        .spawn()
        .unwrap();
    wait::until("the tail listens", || async {
        let text = client.get("/metrics", &[]).await.ok()?.text().await.ok()?;
        text.contains("\nsigyn_tail_subscriptions 1").then_some(())
    })
    .await;
    push(&client, (0..3).map(|n| (START + n, n))).await;
    let mut lines = BufReader::new(tail.stdout.take().unwrap()).lines();
    let both = async {
        let first = lines.next_line().await.unwrap();
        (first, lines.next_line().await.unwrap())
    };
    let both = tokio::time::timeout(wait::DEADLINE, both).await.unwrap();
    assert_eq!(both, (Some("line 0".to_owned()), Some("line 2".to_owned())));
}

/// Answers one request with a status and a body; returns what was asked.
async fn answer_one(listener: &TcpListener, status: &str, body: &str) -> String {
    let (mut connection, _) = listener.accept().await.unwrap();
    let mut asked = Vec::new();
    while !asked.ends_with(b"\r\n\r\n") {
        let mut part = [0; 1024];
        let length = connection.read(&mut part).await.unwrap();
        assert!(length > 0, "the request ends early");
        asked.extend_from_slice(&part[..length]);
    }
    let answer = format!(
        "HTTP/1.1 {status}\r\nContent-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    );
    connection.write_all(answer.as_bytes()).await.unwrap();
    String::from_utf8(asked).unwrap().to_ascii_lowercase()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_environment_of_logcli_is_read() {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = format!("http://{}", listener.local_addr().unwrap());
    let token = tempfile::NamedTempFile::new().unwrap();
    std::fs::write(token.path(), "secret\n").unwrap();
    let mut basic = command(&address, &["labels"]);
    basic.envs([("LOKI_USERNAME", "me"), ("LOKI_PASSWORD", "pass")]);
    basic.envs([("LOKI_QUERY_TAGS", "Source=me"), ("LOKI_NO_CACHE", "true")]);
    let answered = answer_one(&listener, "200 OK", r#"{"status":"success","data":["a"]}"#);
    let (asked, output) = tokio::join!(answered, basic.output());
    assert_eq!(output.unwrap().stdout, b"a\n");
    for header in [
        "get /loki/api/v1/labels?",
        "x-scope-orgid: cli\r\n",
        "authorization: basic bwu6cgfzcw==\r\n",
        "x-query-tags: source=me\r\n",
        "cache-control: no-cache\r\n",
    ] {
        assert!(asked.contains(header), "{header} is missing from {asked}");
    }
    let mut bearer = command(&address, &["labels"]);
    bearer.env("LOKI_BEARER_TOKEN_FILE", token.path()).env("LOKI_AUTH_HEADER", "X-Auth");
    bearer.env("LOKI_CLIENT_RETRIES", "2");
    let answered = async {
        answer_one(&listener, "503 Service Unavailable", "busy").await;
        answer_one(&listener, "200 OK", r#"{"status":"success"}"#).await
    };
    let (asked, output) = tokio::join!(answered, bearer.output());
    assert!(asked.contains("x-auth: bearer secret\r\n"), "{asked}");
    assert!(output.unwrap().status.success());
}
