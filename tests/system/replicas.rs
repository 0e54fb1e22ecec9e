//! Promise: what three ingesters keep is stored about once.

use std::path::Path;

use system::client::Client;
use system::cluster::{Cluster, Finding, Member, Settings};
use system::ledger::{Difference, Ledger};
use system::wait;

/// Lines of one flush.
const LINES: u64 = 6000;
/// Flushes, each begun by another replica.
const ROUNDS: usize = 4;

/// Bytes of all flushes below a folder. What compaction makes of them says nothing about replicas.
fn bytes(folder: &Path) -> u64 {
    let entries = std::fs::read_dir(folder).into_iter().flatten().filter_map(Result::ok);
    entries
        .map(|entry| {
            let path = entry.path();
            if path.is_dir() {
                return bytes(&path);
            }
            // A segment's name begins with its level.
            let is_flush = entry.file_name().to_string_lossy().starts_with('0');
            entry.metadata().map_or(0, |meta| if is_flush { meta.len() } else { 0 })
        })
        .sum()
}

/// How many batches of entries a process has taken into its log.
async fn batches(client: &Client) -> Option<u64> {
    let text = client.get("/metrics", &[]).await.ok()?.text().await.ok()?;
    let value = |name: &str| {
        let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
        line.and_then(|value| value.parse().ok())
    };
    value("loki_ingester_wal_records_logged_total")
}

/// What the bucket holds after some rounds of pushes and flushes by so many ingesters.
async fn stored(ingesters: usize, finding: Finding) -> u64 {
    let folder = tempfile::tempdir().unwrap();
    let member = |number| Member::new("all", number, &format!("zone-{number}"));
    let settings = Settings {
        // Heads are flushed when the test says so, and stay as they are.
        ingester: "flush_size: 64MB".to_owned(),
        // Nothing is removed.
        compactor: "compaction_interval: 24h".to_owned(),
        ..Settings::new(finding, Settings::shared_folder(folder.path()))
    };
    let members = (1..=ingesters).map(member).collect();
    let cluster = Cluster::start_ring(folder.path(), members, settings.configure()).await;
    let clients = cluster.clients(&["all"]);
    let mut ledger = Ledger::default();
    for round in 0..ROUNDS {
        for push in 0..LINES / 100 {
            let lines = ledger.next_lines(100);
            let client = &clients[push as usize % clients.len()];
            assert_eq!(client.push(&lines).await.unwrap().status(), 204);
            ledger.acknowledge(&lines);
        }
        // Two of three acknowledge; the last copy may still be on its way.
        let pushed = LINES / 100 * (round as u64 + 1);
        for client in &clients {
            wait::until("every replica has every line", || async {
                (batches(client).await? >= pushed).then_some(())
            })
            .await;
        }
        for at in 0..clients.len() {
            let client = &clients[(round + at) % clients.len()];
            assert!(client.post("/flush", &[], "").await.unwrap().status().is_success());
        }
    }
    for client in &clients {
        assert_eq!(ledger.compare(client).await, Difference::default(), "{}", cluster.logs());
    }
    bytes(&folder.path().join("segments"))
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_replicas_store_little_more_than_one_does() {
    let once = stored(1, Finding::Not).await;
    let thrice = stored(3, Finding::Gossip).await;
    let ratio = thrice as f64 / once as f64;
    eprintln!("{thrice} bytes with three replicas, {once} with one: {ratio:.3} times");
    assert!(ratio < 1.15, "{ratio:.3}: {thrice} bytes instead of {once}");
}
