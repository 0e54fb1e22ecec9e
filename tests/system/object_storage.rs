//! Segments in S3, with a real service: what it must do, where credentials come from, and what an
//! outage costs.

use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use bytes::Bytes;
use runtime::clock::SystemClock;
use serde_json::Value;
use store::config::{Backend, BackoffConfig, HttpConfig, S3Config};
use store::{Bucket, Config, Created, Metrics};
use system::client::Client;
use system::ledger::{Difference, EPOCH, Ledger, write_until};
use system::process::{Sigyn, Start};
use system::proxy::{Fault, Proxy};
use system::servers::{S3, S3_BUCKET, S3_KEY, S3_SECRET, Server};
use system::wait;
use tokio::sync::Mutex;

/// A bucket of the service behind `endpoint`.
fn bucket(endpoint: &str) -> Bucket {
    // Another test may have installed it before.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let s3 = S3Config {
        bucketnames: S3_BUCKET.to_owned(),
        endpoint: endpoint.to_owned(),
        access_key_id: S3_KEY.to_owned(),
        secret_access_key: S3_SECRET.to_owned(),
        insecure: true,
        s3forcepathstyle: true,
        http: HttpConfig { read_timeout: Duration::from_millis(500), ..HttpConfig::default() },
        backoff: BackoffConfig {
            max_period: Duration::from_millis(200),
            ..BackoffConfig::default()
        },
        ..S3Config::default()
    };
    let config = Config { backend: Backend::S3(Box::new(s3)), ..Config::default() };
    Bucket::open(&config, Arc::new(SystemClock), Metrics::default()).unwrap()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_service_does_what_every_storage_must() {
    let s3 = S3::start().await;
    let proxy = Proxy::start(&s3.address()).await;
    let bucket = bucket(proxy.address());
    store::conformance::check(&bucket, "checks").await.unwrap();

    // Of many that create one object at once, exactly one does.
    let racers = (0..16).map(|racer: usize| {
        let bucket = bucket.clone();
        async move { bucket.create("race/one", Bytes::from(vec![b'x'; 100 + racer])).await.unwrap() }
    });
    let ended = futures_util::future::join_all(racers).await;
    let winners = ended.iter().filter(|created| **created == Created::New).count();
    assert_eq!(winners, 1, "{ended:?}");
    let kept = bucket.get("race/one").await.unwrap().len() as u64;
    let lost = ended.iter().filter(|created| **created == Created::Existed { bytes: kept });
    assert_eq!(lost.count(), 15, "{ended:?}");

    // A read that stops answering is sent again, on another connection.
    let bucket = self::bucket(proxy.address());
    let before = proxy.connections();
    proxy.set(Fault::Stall);
    let reading = tokio::spawn(async move { bucket.get("race/one").await });
    wait::until("the read was sent again", || async {
        (proxy.connections() >= before + 2).then_some(())
    })
    .await;
    proxy.set(Fault::None);
    assert_eq!(reading.await.unwrap().unwrap().len() as u64, kept);
}

/// A process whose segments lie behind `endpoint`, with small heads and short patience.
fn start(folder: &Path, endpoint: &str, more: &str) -> Start {
    let common = S3::common_block(endpoint, folder);
    let config =
        format!("{common}ingester: {{flush_size: 1MB, flush_check_period: 50ms}}\n{LIMITS}{more}");
    Start { config, wrapper: Vec::new() }
}

const LIMITS: &str = "limits_config: {ingestion_rate_mb: 1000, ingestion_burst_size_mb: 1000, \
                      per_stream_rate_limit: 1GB, per_stream_rate_limit_burst: 1GB, \
                      reject_old_samples: false, max_global_streams_per_user: 0, \
                      query_timeout: 5s}\n";

async fn push_some(client: &Client, ledger: &mut Ledger, pushes: usize) {
    for _ in 0..pushes {
        let lines = ledger.next_lines(50);
        assert_eq!(client.push(&lines).await.unwrap().status(), 204);
        ledger.acknowledge(&lines);
    }
}

/// The value of a metric without labels.
async fn metric(client: &Client, name: &str) -> f64 {
    let text = client.get("/metrics", &[]).await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.and_then(|value| value.parse().ok()).unwrap_or_else(|| panic!("no {name} in {text}"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_bucket_is_all_that_is_needed_to_start_again() {
    let s3 = S3::start().await;
    let mut ledger = Ledger::default();
    for round in 0..2 {
        let folder = tempfile::tempdir().unwrap();
        let sigyn = Sigyn::start(folder.path(), start(folder.path(), &s3.address(), "")).await;
        assert_eq!(ledger.compare(&sigyn.client()).await, Difference::default());
        push_some(&sigyn.client(), &mut ledger, 40).await;
        let flushed = sigyn.client().post("/flush", &[], "").await.unwrap().status();
        assert!(flushed.is_success(), "{flushed}");
        assert_eq!(ledger.compare(&sigyn.client()).await, Difference::default());
        // The folder goes with the process; after a clean stop nothing but the bucket is left.
        if round == 0 { sigyn.stop().await } else { sigyn.kill() }
    }
    let folder = tempfile::tempdir().unwrap();
    let sigyn = Sigyn::start(folder.path(), start(folder.path(), &s3.address(), "")).await;
    assert_eq!(ledger.compare(&sigyn.client()).await, Difference::default());
    assert_eq!(ledger.acknowledged(), 4000);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn credentials_come_from_the_environment_when_none_are_configured() {
    let s3 = S3::start().await;
    let keyless = |folder: &Path| {
        S3::common_block(&s3.address(), folder)
            .replace(&format!("access_key_id: {S3_KEY}, secret_access_key: {S3_SECRET}, "), "")
    };
    let with_secret = |secret: &str| {
        let key = format!("AWS_ACCESS_KEY_ID={S3_KEY}");
        ["env", &key, &format!("AWS_SECRET_ACCESS_KEY={secret}")].map(str::to_owned).to_vec()
    };
    let folder = tempfile::tempdir().unwrap();
    let (config, wrapper) = (keyless(folder.path()), with_secret(S3_SECRET));
    let sigyn = Sigyn::start(folder.path(), Start { config, wrapper }).await;
    let mut ledger = Ledger::default();
    push_some(&sigyn.client(), &mut ledger, 5).await;
    sigyn.stop().await;

    // A wrong secret is said at the start.
    let folder = tempfile::tempdir().unwrap();
    let (config, wrapper) = (keyless(folder.path()), with_secret("wrong"));
    let sigyn = Sigyn::spawn(folder.path(), &Start { config, wrapper });
    wait::until("the refusal is logged", || async {
        sigyn.log().contains("SignatureDoesNotMatch").then_some(())
    })
    .await;
}

/// Asks for everything the ledger wrote; answers the status, and whether something is missing by
/// the answer's own words.
async fn ask(client: &Client) -> (u16, bool, String) {
    let end = (EPOCH + 3_600_000_000_000).to_string();
    let params = [("query", "count_over_time({ledger=\"yes\"}[2h])"), ("time", end.as_str())];
    let answer = client.get("/loki/api/v1/query", &params).await.unwrap();
    let status = answer.status().as_u16();
    let text = answer.text().await.unwrap();
    let body: Value = serde_json::from_str(&text).unwrap_or(Value::Null);
    let has_warnings = body["warnings"].as_array().is_some_and(|list| !list.is_empty());
    (status, has_warnings || status >= 500, text)
}

/// The storage fails in one way while lines are written; answers nothing, panics on a broken
/// promise.
async fn outage(fault: Fault, partial_answers: bool) {
    let s3 = S3::start().await;
    let proxy = Proxy::start(&s3.address()).await;
    let folder = tempfile::tempdir().unwrap();
    let more = format!("querier: {{partial_answers: {partial_answers}}}\n");
    let sigyn = Sigyn::start(folder.path(), start(folder.path(), proxy.address(), &more)).await;
    let client = sigyn.client();
    let ledger = Arc::new(Mutex::new(Ledger::default()));
    push_some(&client, &mut *ledger.lock().await, 40).await;
    let flushed = client.post("/flush", &[], "").await.unwrap().status();
    assert!(flushed.is_success(), "{flushed}");
    let uploaded = metric(&client, "loki_objstore_bucket_operation_uploaded_bytes_total").await;
    assert!(uploaded > 0.0);

    proxy.set(fault);
    let stop = Arc::new(AtomicBool::new(false));
    let writing =
        tokio::spawn(write_until(2, client.clone(), Arc::clone(&ledger), Arc::clone(&stop)));
    let (status, says_what_is_missing, text) = ask(&client).await;
    assert!(says_what_is_missing, "{fault:?}: the storage is gone, and this says nothing: {text}");
    assert_eq!(status == 200, partial_answers && fault != Fault::Stall, "{fault:?}: {text}");
    // Writes go on, and a flush is tried again and again.
    let before = ledger.lock().await.acknowledged();
    wait::until("writes go on during the outage", || async {
        (ledger.lock().await.acknowledged() > before + 10_000).then_some(())
    })
    .await;
    proxy.set(Fault::None);
    wait::until("a flush succeeded after the outage", || async {
        let now = metric(&client, "loki_objstore_bucket_operation_uploaded_bytes_total").await;
        (now > uploaded).then_some(())
    })
    .await;
    stop.store(true, Ordering::Relaxed);
    writing.await.unwrap();
    let difference = ledger.lock().await.compare(&client).await;
    assert_eq!(difference, Difference::default(), "{fault:?}; log:\n{}", sigyn.log());
    sigyn.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_that_answers_500_stops_no_write_and_loses_nothing() {
    outage(Fault::Answer(500), false).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_that_cannot_be_reached_is_named_in_a_partial_answer() {
    outage(Fault::Cut, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn storage_that_never_answers_stops_no_write_and_no_query_waits_for_ever() {
    outage(Fault::Stall, true).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_read_is_sent_again() {
    let s3 = S3::start().await;
    let proxy = Proxy::start(&s3.address()).await;
    let folder = tempfile::tempdir().unwrap();
    let hedging = "storage_config: {hedging: {at: 50ms, up_to: 10, max_per_second: 1000}}\n";
    let sigyn = Sigyn::start(folder.path(), start(folder.path(), proxy.address(), hedging)).await;
    let client = sigyn.client();
    let mut ledger = Ledger::default();
    push_some(&client, &mut ledger, 20).await;
    assert!(client.post("/flush", &[], "").await.unwrap().status().is_success());
    assert_eq!(ledger.compare(&client).await, Difference::default());
    // Every connection that is open now has become slow; a further read opens a new one.
    let than = proxy.connections();
    proxy.set(Fault::DelayOlder { than, time: Duration::from_secs(3) });
    wait::until("a second read answered first", || async {
        assert_eq!(ledger.compare(&client).await, Difference::default());
        let won = metric(&client, "sigyn_store_hedged_requests_won_total").await;
        (won > 0.0).then_some(())
    })
    .await;
}

#[tokio::test]
async fn the_other_servers_start() {
    for server in [Server::etcd().await, Server::memcached().await, Server::redis().await] {
        assert_ne!(server.port(), 0, "{}", server.log());
    }
}
