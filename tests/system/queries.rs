//! Promise: one query can fail or be given up; the process and other queries do not notice.

use std::time::{Duration, Instant};

use serde_json::{Value, json};
use system::client::{Client, encode};
use system::process::{Sigyn, Start};
use system::wait;
use tokio::io::AsyncWriteExt as _;
use tokio::net::TcpStream;

/// The first time: 2024-05-01T00:00:00Z.
const START: i64 = 1_714_521_600_000_000_000;
/// Lines of one push, and a millisecond between two.
const PUSH_LINES: i64 = 2000;
const GAP: i64 = 1_000_000;
/// CPU time a query may use after nobody waits for it: 100 ms on each of two threads.
const CPU_AFTER_MAX: Duration = Duration::from_millis(200);

async fn push(client: &Client, lines: i64) {
    for first in (0..lines).step_by(PUSH_LINES as usize) {
        let line = |n: i64| {
            let text = format!(
                "{{\"id\":\"u{n}\",\"path\":\"/api/v1/orders/{n}\",\"took\":\"{}ms\",\"text\":\"{}\"}}",
                n % 977,
                "lorem ipsum dolor sit amet ".repeat(4)
            );
            json!([(START + n * GAP).to_string(), text])
        };
        let values: Vec<Value> = (first..first + PUSH_LINES).map(line).collect();
        let body = json!({"streams": [{"stream": {"app": "busy"}, "values": values}]});
        let kind = [("Content-Type", "application/json")];
        let answer = client.post("/loki/api/v1/push", &kind, body.to_string()).await.unwrap();
        assert_eq!(answer.status(), 204);
    }
}

/// A query over all lines as a path.
fn path(query: &str, lines: i64) -> String {
    let (start, end) = (START, START + lines * GAP);
    format!(
        "/loki/api/v1/query_range?query={}&start={start}&end={end}&step=10&limit=5000",
        encode(query)
    )
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_beyond_its_memory_fails_and_others_go_on() {
    let lines = 60_000;
    let folder = tempfile::tempdir().unwrap();
    let config = "querier: {query_memory: 2MB}\n".to_owned();
    let sigyn = Sigyn::start(folder.path(), Start { config, wrapper: Vec::new() }).await;
    let client = sigyn.client();
    push(&client, lines).await;
    let small = path("sum(count_over_time({app=\"busy\"} |= \"u77\" [1m]))", lines);
    let others = async {
        for _ in 0..20 {
            let body = client.json(&small, &[]).await;
            assert_eq!(body["status"], "success", "{body}");
        }
    };
    let large = async {
        for query in [
            "count(sum by (id) (count_over_time({app=\"busy\"} | json [1m])))",
            "{app=\"busy\"} | json",
            "sum(quantile_over_time(0.5, {app=\"busy\"} | json | unwrap duration(took) [1m]) by (id))",
        ] {
            let answer = client.get(&path(query, lines), &[]).await.unwrap();
            let status = answer.status().as_u16();
            let text = answer.text().await.unwrap();
            assert!(text.contains("query needs more than 2097152 bytes of memory"), "{text}");
            assert_eq!(status, 400, "{text}");
        }
    };
    tokio::join!(others, large);
    sigyn.stop().await;
}

/// CPU time the process has used so far, in steps of ten milliseconds.
fn cpu(sigyn: &Sigyn) -> Duration {
    let text = std::fs::read_to_string(format!("/proc/{}/stat", sigyn.pid())).unwrap();
    // The name of the program stands in parentheses and may hold anything.
    let fields: Vec<&str> = text.rsplit(')').next().unwrap().split_whitespace().collect();
    let ticks = |index: usize| fields[index].parse::<u64>().unwrap();
    Duration::from_millis(10 * (ticks(11) + ticks(12)))
}

/// Waits until the process has used no CPU for a while; answers what it used until then.
#[allow(clippy::disallowed_methods, reason = "a test measures a real process")]
async fn cpu_until_idle(sigyn: &Sigyn, before: Duration) -> Duration {
    let (mut last, mut since) = (cpu(sigyn), Instant::now());
    wait::until("the process is idle", || {
        let now = cpu(sigyn);
        if now > last {
            (last, since) = (now, Instant::now());
        }
        std::future::ready((since.elapsed() > Duration::from_millis(300)).then_some(()))
    })
    .await;
    last.saturating_sub(before)
}

/// Queries that keep the process busy for seconds.
const SLOW: [&str; 3] = [
    "sum(count_over_time({app=\"busy\"} | json | label_format \
     a=`{{ regexReplaceAll \"[aeiou]\" .text \"-\" | upper }}` | a=~\".*x.+y.*z\" [1m]))",
    "quantile_over_time(0.9, {app=\"busy\"} | json | line_format `{{ .text | replace \"o\" \"0\" | \
     title }}{{ .path }}` |~ \"(?i)(l.*m){3,}0rd.rs\" | unwrap duration(took) [1m]) by (text)",
    "{app=\"busy\"} | json | line_format `{{ regexReplaceAllLiteral \"[a-z]+\" .text \"-\" }}` \
     |= \"nothing has this\"",
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_that_nobody_waits_for_stops_at_once() {
    let lines = 200_000;
    let folder = tempfile::tempdir().unwrap();
    let sigyn = Sigyn::start(folder.path(), Start::default()).await;
    let client = sigyn.client();
    push(&client, lines).await;
    for place in ["heads", "segments"] {
        for query in SLOW {
            cpu_until_idle(&sigyn, Duration::ZERO).await;
            let before = cpu(&sigyn);
            let mut connection = TcpStream::connect(("127.0.0.1", sigyn.port())).await.unwrap();
            let request = format!("GET {} HTTP/1.1\r\nHost: x\r\n\r\n", path(query, lines));
            connection.write_all(request.as_bytes()).await.unwrap();
            // It is at work for certain, and far from done.
            wait::until("the query runs", || {
                std::future::ready(
                    (cpu(&sigyn) > before + Duration::from_millis(150)).then_some(()),
                )
            })
            .await;
            let given_up = cpu(&sigyn);
            drop(connection);
            let used = cpu_until_idle(&sigyn, given_up).await;
            assert!(used <= CPU_AFTER_MAX, "{query} from {place} used {used:?} for nobody");
        }
        let flushed = client.post("/flush", &[], "").await.unwrap();
        assert!(flushed.status().is_success());
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_query_stops_when_its_time_is_over() {
    let lines = 200_000;
    let folder = tempfile::tempdir().unwrap();
    let config = "limits_config: {query_timeout: 50ms, reject_old_samples: false, \
                  ingestion_rate_mb: 1000, ingestion_burst_size_mb: 1000, \
                  per_stream_rate_limit: 1GB, per_stream_rate_limit_burst: 1GB}\n"
        .to_owned();
    let sigyn = Sigyn::start(folder.path(), Start { config, wrapper: Vec::new() }).await;
    let client = sigyn.client();
    push(&client, lines).await;
    for query in SLOW {
        let answer = client.get(&path(query, lines), &[]).await.unwrap();
        let given_up = cpu(&sigyn);
        assert_eq!(answer.status(), 504, "{query}");
        assert!(answer.text().await.unwrap().contains("request timed out"), "{query}");
        let used = cpu_until_idle(&sigyn, given_up).await;
        assert!(used <= CPU_AFTER_MAX, "{query} used {used:?} after its end");
    }
}
