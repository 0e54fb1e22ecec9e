//! Promise: compaction, retention and deletion change what is stored and nothing that is seen but
//! what they should, whenever the process is killed.

use std::collections::BTreeSet;
use std::fs;
use std::path::Path;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::{SystemTime, UNIX_EPOCH};

use reqwest::StatusCode;
use serde_json::Value;
use system::chance::Chance;
use system::client::{Client, Line, encode};
use system::ledger::{Difference, Ledger, write_until};
use system::process::{Sigyn, Start};
use system::wait;
use tokio::sync::Mutex;

/// How often the process is killed.
const CRASHES: u32 = 100;
const SECOND_NS: i64 = 1_000_000_000;
const DAY_NS: i64 = 86_400 * SECOND_NS;

/// Everything as fast as it goes: flushes, merges, and the end of what is superseded.
fn busy(retention: bool) -> Start {
    let config = format!(
        "ingester: {{flush_size: 1MB, flush_check_period: 50ms}}\n\
         compactor: {{compaction_interval: 100ms, superseded_delete_delay: 1s, \
         retention_enabled: {retention}, retention_delete_delay: 0s, \
         delete_request_cancel_period: 0s}}\n\
         limits_config: {{ingestion_rate_mb: 1000, ingestion_burst_size_mb: 1000, \
         per_stream_rate_limit: 1GB, per_stream_rate_limit_burst: 1GB, reject_old_samples: false, \
         max_global_streams_per_user: 0, \
         retention_stream: [{{selector: '{{kind=\"old\"}}', priority: 1, period: 24h}}]}}\n"
    );
    Start { config, wrapper: Vec::new() }
}

/// Midnight of the day before yesterday: a day that is over, and expired where a day is kept.
#[allow(clippy::disallowed_methods, reason = "the real program has the real time")]
fn base() -> i64 {
    let now = SystemTime::now().duration_since(UNIX_EPOCH).unwrap().as_nanos() as i64;
    (now / DAY_NS - 2) * DAY_NS
}

/// Lines of which half are deleted, by the number of their request.
struct Requests {
    base: i64,
    next: u64,
    /// Lines that must be found.
    kept: BTreeSet<String>,
    /// Lines that must not be found any more.
    deleted: BTreeSet<String>,
    /// Lines of which nothing is known.
    doubtful: BTreeSet<String>,
}

impl Requests {
    fn new(base: i64) -> Self {
        let (kept, deleted, doubtful) = Default::default();
        Self { base, next: 0, kept, deleted, doubtful }
    }

    /// Pushes lines and has half of them deleted, and some that have expired long ago.
    async fn one(&mut self, client: &Client) -> reqwest::Result<()> {
        let number = self.next;
        self.next += 1;
        let line = |kind: &str, what: &str, at: u64| Line {
            stream: format!(r#"{{"kind":"{kind}","pod":"{}"}}"#, number % 3),
            timestamp: self.base + (number * 100 + at) as i64 * 1_000_000,
            text: format!("{what} {number} line {at}"),
        };
        let drops: Vec<Line> = (0..20).map(|at| line("secret", "drop", at)).collect();
        let keeps: Vec<Line> = (20..40).map(|at| line("secret", "keep", at)).collect();
        let old: Vec<Line> = (40..60).map(|at| line("old", "old", at)).collect();
        let texts = |lines: &[Line]| lines.iter().map(|line| line.text.clone()).collect::<Vec<_>>();
        self.doubtful.extend(texts(&drops).into_iter().chain(texts(&keeps)));
        let answer = client.push(&[drops.clone(), keeps.clone(), old].concat()).await?;
        if answer.status() != StatusCode::NO_CONTENT {
            return Ok(());
        }
        for text in texts(&keeps) {
            self.doubtful.remove(&text);
            self.kept.insert(text);
        }
        let query = format!("{{kind=\"secret\"}} |= \"drop {number} \"");
        let path =
            format!("/loki/api/v1/delete?query={}&start={}", encode(&query), self.base / SECOND_NS);
        let answer = client.post(&path, &[], "").await?;
        if answer.status() == StatusCode::NO_CONTENT {
            for text in texts(&drops) {
                self.doubtful.remove(&text);
                self.deleted.insert(text);
            }
        }
        Ok(())
    }

    async fn check(&self, client: &Client, doing: &str) {
        let found =
            client.all_lines("{kind=\"secret\"}", self.base, self.base + DAY_NS, 5000).await;
        let mut texts: Vec<String> = found.into_iter().map(|line| line.text).collect();
        texts.sort();
        let distinct: BTreeSet<String> = texts.iter().cloned().collect();
        assert_eq!(texts.len(), distinct.len(), "{doing}: lines are doubled");
        let lost: Vec<&String> = self.kept.difference(&distinct).collect();
        assert!(lost.is_empty(), "{doing}: lost {lost:?}");
        let back: Vec<&String> = self.deleted.intersection(&distinct).collect();
        assert!(back.is_empty(), "{doing}: resurrected {back:?}");
        let foreign = |text: &&String| !self.kept.contains(*text) && !self.doubtful.contains(*text);
        let foreign: Vec<&String> = distinct.iter().filter(foreign).collect();
        assert!(foreign.is_empty(), "{doing}: never sent {foreign:?}");
        // Counting does not look at lines where it need not; it must see the same.
        let counted = count(client, "{kind=\"secret\"}", self.base).await;
        assert_eq!(counted, texts.len() as u64, "{doing}: counts differ from lines");
        assert_eq!(count(client, "{kind=\"old\"}", self.base).await, 0, "{doing}: not expired");
    }
}

/// How many lines a selector finds in the day from `base` on.
async fn count(client: &Client, selector: &str, base: i64) -> u64 {
    let query = format!("sum(count_over_time({selector}[24h]))");
    let time = (base - 1 + DAY_NS).to_string();
    let answer = client.json("/loki/api/v1/query", &[("query", &query), ("time", &time)]).await;
    let value = answer["data"]["result"][0]["value"][1].as_str().unwrap_or("0").to_owned();
    value.parse().unwrap()
}

/// The value of a metric without labels.
async fn metric(client: &Client, name: &str) -> f64 {
    let text = client.get("/metrics", &[]).await.unwrap().text().await.unwrap();
    let line = text.lines().find(|line| line.split(' ').next() == Some(name));
    line.and_then(|line| line.split(' ').nth(1)).and_then(|value| value.parse().ok()).unwrap_or(0.0)
}

/// The segments below a folder.
fn segments(folder: &Path) -> usize {
    let Ok(entries) = fs::read_dir(folder) else { return 0 };
    entries
        .filter_map(Result::ok)
        .map(|entry| entry.path())
        .map(|path| {
            if path.is_dir() {
                segments(&path)
            } else {
                usize::from(path.extension().is_some_and(|extension| extension == "seg"))
            }
        })
        .sum()
}

/// Files that belong to nothing: parts of objects, and marks of delete requests that are gone.
fn orphans(chunks: &Path) -> Vec<String> {
    let names = |folder: &Path| -> BTreeSet<String> {
        let entries = fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
        entries.map(|entry| entry.file_name().to_string_lossy().into_owned()).collect()
    };
    let mut found: Vec<String> = names(&chunks.join(".staging")).into_iter().collect();
    for tenant in names(&chunks.join("del")) {
        let own = names(&chunks.join("del").join(tenant));
        let has_request = |name: &&String| {
            let id = name.split('.').next().unwrap_or_default();
            id == "generation" || own.contains(&format!("{id}.del"))
        };
        found.extend(own.iter().filter(|name| !has_request(name)).cloned());
    }
    let known = [".staging", "del", "seg"];
    found.extend(names(chunks).into_iter().filter(|name| !known.contains(&name.as_str())));
    found
}

async fn deletes(client: &Client) -> Vec<Value> {
    let listed = client.json("/loki/api/v1/delete", &[]).await;
    listed.as_array().unwrap().clone()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_crash_at_any_instant_loses_doubles_and_resurrects_nothing() {
    let chance = Chance::from_environment("crashes of compaction");
    let folder = tempfile::tempdir().unwrap();
    let base = base();
    let ledger = Arc::new(Mutex::new(Ledger::starting_at(base)));
    let mut requests = Requests::new(base);
    for crash in 0..CRASHES {
        let sigyn = Sigyn::spawn(folder.path(), &busy(true));
        sigyn.await_ready().await;
        let stop = Arc::new(AtomicBool::new(false));
        let writing =
            tokio::spawn(write_until(2, sigyn.client(), Arc::clone(&ledger), Arc::clone(&stop)));
        if crash % 3 == 0 {
            let client = sigyn.client();
            requests.one(&client).await.unwrap();
        } else if crash % 3 == 1 {
            // Cut off at any instant.
            let client = sigyn.client();
            tokio::select! {
                asked = requests.one(&client) => asked.unwrap(),
                () = chance.pause(60) => {}
            }
        }
        if crash % 5 == 0 {
            let client = sigyn.client();
            let flush = tokio::spawn(async move { client.post("/flush", &[], "").await.is_ok() });
            chance.pause(30).await;
            flush.abort();
        }
        chance.pause(250).await;
        sigyn.kill();
        stop.store(true, Ordering::Relaxed);
        writing.await.unwrap();
        if crash % 25 == 24 {
            let sigyn = Sigyn::start(folder.path(), busy(true)).await;
            let doing = format!("after crash {crash}; log:\n{}", sigyn.log());
            let difference = ledger.lock().await.compare(&sigyn.client()).await;
            assert_eq!(difference, Difference::default(), "{doing}");
            requests.check(&sigyn.client(), &doing).await;
            sigyn.kill();
        }
    }
    assert!(ledger.lock().await.acknowledged() > 1000, "the load did not get going");
    assert!(!requests.deleted.is_empty(), "nothing was deleted");
    settle(folder.path(), &ledger, &requests).await;
}

/// Lets everything come to its end and looks whether it did.
async fn settle(folder: &Path, ledger: &Arc<Mutex<Ledger>>, requests: &Requests) {
    let sigyn = Sigyn::start(folder, busy(true)).await;
    let client = sigyn.client();
    assert_eq!(client.post("/flush", &[], "").await.unwrap().status(), 204);
    let rounds = "loki_compactor_apply_retention_operation_total{status=\"success\"}";
    let before = metric(&client, rounds).await;
    // The round that is under way may have begun before the flush.
    wait::until("two rounds are over", || async {
        (metric(&client, rounds).await >= before + 2.0).then_some(())
    })
    .await;
    wait::until("all delete requests are processed", || async {
        deletes(&client).await.iter().all(|request| request["status"] == "processed").then_some(())
    })
    .await;
    let chunks = folder.join("data/chunks");
    wait::until("no segment is left that another took over", || async {
        let known = metric(&client, "sigyn_catalog_segments").await;
        (segments(&chunks) as f64 == known).then_some(())
    })
    .await;
    let difference = ledger.lock().await.compare(&client).await;
    assert_eq!(difference, Difference::default(), "log:\n{}", sigyn.log());
    requests.check(&client, "in the end").await;
    assert!(metric(&client, "loki_boltdb_shipper_compactor_running").await > 0.0);
    wait::until("nothing is left of what dead processes began", || async {
        orphans(&chunks).is_empty().then_some(())
    })
    .await;
    sigyn.stop().await;
    // Without the rules: what was deleted and had expired does not exist any more.
    let sigyn = Sigyn::start(folder, busy(false)).await;
    assert_eq!(count(&sigyn.client(), "{kind=\"old\"}", requests.base).await, 0);
    requests.check(&sigyn.client(), "without rules").await;
    sigyn.stop().await;
}

#[tokio::test]
async fn deletes_are_seen_at_once_listed_tried_out_and_cancelled() {
    let folder = tempfile::tempdir().unwrap();
    let config = "compactor: {retention_enabled: true}\n".to_owned();
    let sigyn = Sigyn::start(folder.path(), Start { config, wrapper: Vec::new() }).await;
    let client = sigyn.client();
    let base = base();
    let lines: Vec<Line> = (0..10)
        .map(|at| Line {
            stream: r#"{"app":"web"}"#.to_owned(),
            timestamp: base + at * SECOND_NS,
            text: format!("line {at} {}", if at % 2 == 0 { "secret" } else { "plain" }),
        })
        .collect();
    assert_eq!(client.push(&lines[..5]).await.unwrap().status(), 204);
    assert_eq!(client.post("/flush", &[], "").await.unwrap().status(), 204);
    assert_eq!(client.push(&lines[5..]).await.unwrap().status(), 204);

    let query = encode("{app=\"web\"} |= \"secret\"");
    let (start, end) = (base / SECOND_NS + 1, base / SECOND_NS + 8);
    let path = format!("/loki/api/v1/delete?query={query}&start={start}&end={end}");
    let tried = client.post(&format!("{path}&dry_run=true"), &[], "").await.unwrap();
    let tried = tried.text().await.unwrap();
    let tried: Value = serde_json::from_str(&tried).expect(&tried);
    assert_eq!(tried["lines"], 4, "{tried}");
    assert_eq!(count(&client, "{app=\"web\"}", base - 1).await, 10, "nothing was deleted");
    let all = sizes(&client, base).await;
    assert_eq!((all.entries, all.bytes), (10, all.volume));

    let answer = client.post(&path, &[], "").await.unwrap();
    assert_eq!(answer.status(), StatusCode::NO_CONTENT);
    let id = answer.headers()["x-delete-request-id"].to_str().unwrap().to_owned();
    let seen = client.all_lines("{app=\"web\"}", base, base + DAY_NS, 100).await;
    let expected: Vec<&Line> = lines
        .iter()
        .filter(|line| {
            let at = (line.timestamp - base) / SECOND_NS;
            at % 2 == 1 || at == 0
        })
        .collect();
    assert_eq!(
        seen.iter().map(|line| &line.text).collect::<Vec<_>>(),
        expected.iter().map(|line| &line.text).collect::<Vec<_>>()
    );
    assert_eq!(count(&client, "{app=\"web\"}", base - 1).await, 6);
    let left = sizes(&client, base).await;
    assert_eq!((left.entries, left.bytes), (6, left.volume), "sizes are those of what is seen");
    assert!(left.bytes < all.bytes && left.steps == left.volume);

    let listed = deletes(&client).await;
    assert_eq!(listed.len(), 1);
    assert_eq!(
        (&listed[0]["request_id"], &listed[0]["status"]),
        (&id.clone().into(), &"received".into())
    );
    assert_eq!((&listed[0]["start_time"], &listed[0]["end_time"]), (&start.into(), &end.into()));
    let generation = client.json("/loki/api/v1/cache/generation_numbers", &[]).await;
    assert_eq!(generation, "1");

    let cancel = format!("/loki/api/v1/delete?request_id={id}");
    let cancelled = client.delete(&cancel).await.unwrap();
    assert_eq!(cancelled.status(), StatusCode::NO_CONTENT);
    assert_eq!(client.delete(&cancel).await.unwrap().status(), StatusCode::NOT_FOUND);
    assert_eq!(count(&client, "{app=\"web\"}", base - 1).await, 10, "it is seen again");
    sigyn.stop().await;
}

/// What is said of how much there is of an app.
struct Sizes {
    entries: u64,
    bytes: u64,
    volume: u64,
    /// The sum of a volume by steps.
    steps: u64,
}

async fn sizes(client: &Client, base: i64) -> Sizes {
    let (start, end) = (base.to_string(), (base + DAY_NS).to_string());
    let scope = [("query", "{app=\"web\"}"), ("start", start.as_str()), ("end", end.as_str())];
    let stats = client.json("/loki/api/v1/index/stats", &scope).await;
    let volume = client.json("/loki/api/v1/index/volume", &scope).await;
    let end = (base + 60 * SECOND_NS).to_string();
    let scope = [("end", end.as_str()), ("step", "3s"), scope[0], scope[1]];
    let steps = client.json("/loki/api/v1/index/volume_range", &scope).await;
    let number = |value: &Value| value.as_str().unwrap_or("0").parse::<u64>().unwrap();
    let samples = &steps["data"]["result"][0]["values"];
    let samples = samples.as_array().into_iter().flatten();
    Sizes {
        entries: stats["entries"].as_u64().unwrap(),
        bytes: stats["bytes"].as_u64().unwrap(),
        volume: number(&volume["data"]["result"][0]["value"][1]),
        steps: samples.map(|sample| number(&sample[1])).sum(),
    }
}

/// As in Loki: a request names rows by their times, not by when they arrived, and is in force until
/// it is processed.
#[tokio::test]
async fn rows_that_come_late_are_deleted_until_the_request_is_processed() {
    let folder = tempfile::tempdir().unwrap();
    let base = base();
    let line = |number: i64| Line {
        stream: r#"{"app":"web"}"#.to_owned(),
        timestamp: base + number * SECOND_NS,
        text: format!("line {number}"),
    };
    let config = |cancel: &str| Start {
        config: format!(
            "compactor: {{retention_enabled: true, compaction_interval: 100ms, \
             superseded_delete_delay: 1s, delete_request_cancel_period: {cancel}}}\n"
        ),
        wrapper: Vec::new(),
    };
    let query = encode("{app=\"web\"} |= \"line\"");
    let (start, end) = (base / SECOND_NS, base / SECOND_NS + 100);
    let path = format!("/loki/api/v1/delete?query={query}&start={start}&end={end}");
    let seen = async |client: &Client| -> Vec<String> {
        let lines = client.all_lines("{app=\"web\"}", base, base + DAY_NS, 100).await;
        lines.into_iter().map(|line| line.text).collect()
    };

    let sigyn = Sigyn::start(folder.path(), config("24h")).await;
    let client = sigyn.client();
    assert_eq!(client.push(&[line(1), line(500)]).await.unwrap().status(), 204);
    assert_eq!(client.post(&path, &[], "").await.unwrap().status(), 204);
    assert_eq!(seen(&client).await, ["line 500"]);
    // After the request, before it is processed, in heads and in a segment.
    assert_eq!(client.push(&[line(2), line(501)]).await.unwrap().status(), 204);
    assert_eq!(client.post("/flush", &[], "").await.unwrap().status(), 204);
    assert_eq!(client.push(&[line(3)]).await.unwrap().status(), 204);
    assert_eq!(seen(&client).await, ["line 500", "line 501"]);
    sigyn.stop().await;

    let sigyn = Sigyn::start(folder.path(), config("0s")).await;
    let client = sigyn.client();
    wait::until("the request is processed", || async {
        deletes(&client).await.iter().all(|request| request["status"] == "processed").then_some(())
    })
    .await;
    assert_eq!(seen(&client).await, ["line 500", "line 501"]);
    // The request is not in force any more.
    assert_eq!(client.push(&[line(4), line(502)]).await.unwrap().status(), 204);
    assert_eq!(seen(&client).await, ["line 4", "line 500", "line 501", "line 502"]);
    sigyn.stop().await;
}
