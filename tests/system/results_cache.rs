//! Promise: a repeated query is answered from the results cache as far as its rows are the same, and
//! what is answered is what would be computed.

use serde_json::Value;
use system::client::{Client, Line};
use system::process::{Sigyn, Start};
use system::servers::Server;

/// 2024-05-01T00:00:00Z.
const START: i64 = 1_714_521_600_000_000_000;
const SECOND: i64 = 1_000_000_000;
const HOUR: i64 = 3600 * SECOND;

/// Queries that can be cut by time.
const QUERIES: &[&str] = &[
    r#"sum by (app) (rate({app=~".+"}[5m]))"#,
    r#"topk(1, sum by (app) (count_over_time({app=~".+"} |= "1" [10m]))) / 3"#,
    r#"avg by (app) (sum_over_time({app=~".+"} | logfmt | unwrap n [10m]))"#,
];

/// A line a minute of each of two streams, in some minutes.
fn lines(minutes: std::ops::Range<i64>) -> Vec<Line> {
    let line = |minute: i64| {
        ["one", "two"].map(|app| Line {
            stream: format!("{{\"app\":\"{app}\"}}"),
            timestamp: START + minute * 60 * SECOND + 1,
            text: format!("n={minute}"),
        })
    };
    minutes.flat_map(line).collect()
}

async fn push(client: &Client, minutes: std::ops::Range<i64>) {
    assert_eq!(client.push(&lines(minutes)).await.unwrap().status(), 204);
}

async fn flush(client: &Client) {
    assert!(client.post("/flush", &[], "").await.unwrap().status().is_success());
}

async fn counter(client: &Client, name: &str) -> u64 {
    let text = client.get("/metrics", &[]).await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or("0").parse().unwrap()
}

/// The result over the first six and a half hours.
async fn ask(client: &Client, query: &str) -> Value {
    let (start, end) = (START.to_string(), (START + 6 * HOUR + HOUR / 2).to_string());
    let params = [("query", query), ("start", &start), ("end", &end), ("step", "60")];
    let mut body = client.json("/loki/api/v1/query_range", &params).await;
    body["data"]["result"].take()
}

async fn check(cache: &str) {
    let folder = tempfile::tempdir().unwrap();
    let config = format!(
        "query_range: {{cache_results: true, results_cache: {{cache: {cache}}}}}\n\
         limits_config: {{reject_old_samples: false}}\n\
         compactor: {{compaction_interval: 24h}}\n"
    );
    let sigyn = Sigyn::start(folder.path(), Start { config, wrapper: Vec::new() }).await;
    let client = sigyn.client();
    let anew = client.with_header("Cache-Control", "no-cache");
    push(&client, 0..345).await;
    flush(&client).await;
    push(&client, 380..389).await;
    for query in QUERIES {
        let expected = ask(&anew, query).await;
        assert!(expected.as_array().is_some_and(|series| !series.is_empty()), "{query}");
        assert_eq!(ask(&client, query).await, expected, "{query}");
        let hits = counter(&client, "sigyn_frontend_cache_hits_total").await;
        let pieces = counter(&client, "sigyn_frontend_pieces_total").await;
        assert_eq!(ask(&client, query).await, expected, "{query}");
        let hits = counter(&client, "sigyn_frontend_cache_hits_total").await - hits;
        let pieces = counter(&client, "sigyn_frontend_pieces_total").await - pieces;
        assert_eq!((hits, pieces), (6, 1), "{query}: only the newest hour is computed");
    }
    // What arrives late is seen at once, in memory and in storage.
    push(&client, 389..390).await;
    for _ in 0..2 {
        for query in QUERIES {
            assert_eq!(ask(&client, query).await, ask(&anew, query).await, "{query}");
        }
        flush(&client).await;
    }
    sigyn.stop().await;
}

#[tokio::test]
async fn repeated_queries_compute_only_what_is_new() {
    check("{embedded_cache: {enabled: true, max_size_mb: 10}}").await;
}

#[tokio::test]
async fn memcached_keeps_answers() {
    let server = Server::memcached().await;
    let address = server.address();
    check(&format!("{{memcached_client: {{addresses: '{address}', timeout: 10s}}}}")).await;
}

#[tokio::test]
async fn redis_keeps_answers() {
    let server = Server::redis().await;
    let address = server.address();
    check(&format!("{{redis: {{endpoint: '{address}', timeout: 10s}}}}")).await;
}
