//! An ingester that leaves hands its entries and tokens to one that waits: nothing is flushed,
//! nothing is lost and nothing is found twice, whoever of the two dies on the way.

use std::path::Path;
use std::sync::Arc;

use system::client::Client;
use system::cluster::{Cluster, Member};
use system::ledger::{Difference, Ledger};
use system::load::{Expect, Load};
use system::wait;

use crate::cluster::await_everything;

/// Lines that are acknowledged between two events.
const PROGRESS: usize = 1000;

/// A distributor, a reader and an ingester; one copy of each entry, segments in a common folder.
async fn started(folder: &Path) -> Cluster {
    let chunks = folder.join("chunks").display().to_string();
    let configure = move |member: &Member, folder: &Path, all: &[Member]| {
        let others: Vec<String> =
            all.iter().map(|other| format!("\"127.0.0.1:{}\"", other.gossip)).collect();
        // The second one waits for somebody to leave, the others take their places at once.
        let join_after = if member.name == "ingester-2" { "30m" } else { "0s" };
        format!(
            "target: {target}\n\
             memberlist: {{join_members: [{others}], bind_addr: [127.0.0.1], bind_port: {gossip}}}\n\
             common: {{path_prefix: {folder}/data, replication_factor: 1, \
             instance_addr: 127.0.0.1, \
             ring: {{kvstore: {{store: memberlist}}, heartbeat_period: 1s, heartbeat_timeout: 30s}}, \
             storage: {{filesystem: {{chunks_directory: {chunks}}}}}}}\n\
             ingester: {{max_transfer_retries: 5, flush_size: 1GB, lifecycler: {{id: {name}, \
             join_after: {join_after}, readiness_check_ring_health: false, min_ready_duration: 0s, \
             tokens_file_path: {folder}/tokens}}}}\n",
            target = member.target,
            folder = folder.display(),
            others = others.join(", "),
            gossip = member.gossip,
            name = member.name,
        )
    };
    let members =
        ["distributor", "read", "ingester"].map(|target| Member::new(target, 1, "")).into();
    Cluster::start_ring(folder, members, Box::new(configure)).await
}

/// How a process sees an ingester in the ring: state and number of tokens.
async fn seen(client: &Client, name: &str) -> Option<(String, usize)> {
    let page = client.get("/ring", &[("tokens", "true")]).await.ok()?.text().await.ok()?;
    let row = page.split("<tr><td>").find(|row| row.starts_with(&format!("{name}<td>")))?;
    let state = row.split("<td>").nth(2)?.to_owned();
    let tokens = row.split("<td>").nth(7)?.parse().ok()?;
    Some((state, tokens))
}

async fn await_state(client: &Client, name: &str, state: &str) -> usize {
    wait::until(&format!("{name} is {state}"), || async {
        seen(client, name).await.filter(|(is, _)| is == state).map(|(_, tokens)| tokens)
    })
    .await
}

/// Segments below a folder.
fn stored(folder: &Path) -> usize {
    let Ok(entries) = std::fs::read_dir(folder) else { return 0 };
    let count = |path: std::path::PathBuf| match path.is_dir() {
        true => stored(&path),
        false => usize::from(path.extension().is_some_and(|name| name == "seg")),
    };
    entries.filter_map(Result::ok).map(|entry| count(entry.path())).sum()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_and_tokens_go_to_one_that_waits() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = started(folder.path()).await;
    let (distributor, reader) = (cluster.client("distributor-1"), cluster.client("read-1"));
    let clients = [distributor.clone()];
    let load = Load::begin(&clients, std::slice::from_ref(&reader), Expect::Everything);
    load.await_progress("by one", PROGRESS).await;

    cluster.add_waiting(Member::new("ingester", 2, ""));
    for client in [&distributor, &reader, &cluster.client("ingester-1")] {
        await_state(client, "ingester-2", "PENDING").await;
    }
    load.await_progress("while another waits", PROGRESS).await;
    cluster.stop("ingester-1").await;
    assert_eq!(await_state(&distributor, "ingester-2", "ACTIVE").await, 128);
    wait::until("the giver is gone", || async {
        seen(&distributor, "ingester-1").await.is_none().then_some(())
    })
    .await;
    load.await_progress("by the successor", PROGRESS).await;

    // A restart keeps the tokens and what was received.
    cluster.kill("ingester-2");
    cluster.spawn_again("ingester-2");
    load.await_progress("after a crash of the successor", PROGRESS).await;

    let (ledger, written, read) = load.end().await;
    let logs = cluster.logs();
    assert!(written.broken.is_empty() && read.broken.is_empty(), "{written:?} {read:?} {logs}");
    assert!(read.done > 10, "{read:?}");
    await_everything(&ledger, &reader, &logs).await;
    assert_eq!(stored(&folder.path().join("chunks")), 0, "something was flushed; {logs}");
    // What looks for segments above finds them.
    let successor = cluster.client("ingester-2");
    assert!(successor.post("/flush", &[], "").await.unwrap().status().is_success());
    assert!(stored(&folder.path().join("chunks")) > 0);
    await_everything(&ledger, &reader, &logs).await;
}

/// Kills one of two while they hand over; everything is found then, and after another attempt.
async fn broken_hand_over(victim: &str) {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = started(folder.path()).await;
    let (distributor, reader) = (cluster.client("distributor-1"), cluster.client("read-1"));
    let mut ledger = Ledger::default();
    for _ in 0..12 {
        let lines = ledger.next_lines(5000);
        let answer = distributor.push(&lines).await.unwrap();
        let status = answer.status();
        assert_eq!(status, 204, "{}", answer.text().await.unwrap());
        ledger.acknowledge(&lines);
    }
    let ledger = Arc::new(ledger);
    cluster.add_waiting(Member::new("ingester", 2, ""));
    let successor = cluster.client("ingester-2");
    for client in [&cluster.client("ingester-1"), &reader] {
        await_state(client, "ingester-2", "PENDING").await;
    }
    cluster.begin_stop("ingester-1");
    wait::until("the hand-over has begun", || async {
        let (state, _) = seen(&successor, "ingester-2").await?;
        (state != "PENDING").then_some(())
    })
    .await;
    cluster.kill(victim);
    if victim == "ingester-1" {
        // What arrived stays, and so does what the giver has; both show it.
        cluster.start_again("ingester-1").await;
        await_everything(&ledger, &reader, &cluster.logs()).await;
        cluster.begin_stop("ingester-1");
    } else {
        cluster.spawn_again("ingester-2");
    }
    cluster.stopped("ingester-1").await;
    await_everything(&ledger, &reader, &cluster.logs()).await;
    // What both had becomes segments, and is still counted once.
    wait::until("the successor flushes", || async {
        let flushed = successor.post("/flush", &[], "").await.ok()?;
        flushed.status().is_success().then_some(())
    })
    .await;
    await_everything(&ledger, &reader, &cluster.logs()).await;
    assert_eq!(ledger.compare(&reader).await, Difference::default());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_giver_that_dies_on_the_way_loses_and_doubles_nothing() {
    broken_hand_over("ingester-1").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_receiver_that_dies_on_the_way_loses_and_doubles_nothing() {
    broken_hand_over("ingester-2").await;
}

/// Bytes that an ingester has written to its log since it started.
async fn logged(client: &Client) -> u64 {
    let metrics = client.get("/metrics", &[]).await.unwrap().text().await.unwrap();
    let name = "loki_ingester_wal_logged_bytes_total ";
    let value = metrics.lines().find_map(|line| line.strip_prefix(name));
    value.unwrap_or_else(|| panic!("no {name}in {metrics}")).trim().parse().unwrap()
}

/// Waits until a process sees whether an ingester is read-only.
async fn await_read_only(client: &Client, name: &str, expected: bool) {
    wait::until(&format!("{name} read-only: {expected}"), || async {
        let page = client.get("/ring", &[]).await.ok()?.text().await.ok()?;
        let row = page.split("<tr><td>").find(|row| row.starts_with(&format!("{name}<td>")))?;
        let since = row.split("<td>").nth(5)?;
        (since.is_empty() != expected).then_some(())
    })
    .await;
}

async fn push(distributor: &Client, ledger: &mut Ledger) {
    let lines = ledger.next_lines(500);
    wait::until("a push is taken", || async {
        let answer = distributor.push(&lines).await.ok()?;
        (answer.status() == 204).then_some(())
    })
    .await;
    ledger.acknowledge(&lines);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_read_only_ingester_gets_no_writes_and_is_read_and_marks_survive() {
    let folder = tempfile::tempdir().unwrap();
    let mut cluster = started(folder.path()).await;
    let (distributor, reader) = (cluster.client("distributor-1"), cluster.client("read-1"));
    let mut ledger = Ledger::default();
    push(&distributor, &mut ledger).await;
    cluster.add(Member::new("ingester", 3, "")).await;
    let (first, third) = (cluster.client("ingester-1"), cluster.client("ingester-3"));
    for client in [&distributor, &reader] {
        await_state(client, "ingester-3", "ACTIVE").await;
    }
    let downscale = "/ingester/prepare_downscale";
    assert_eq!(first.json(downscale, &[]).await["timestamp"], 0);
    assert_eq!(first.post(downscale, &[], "").await.unwrap().status(), 200);
    let since = first.json(downscale, &[]).await["timestamp"].clone();
    assert!(since.as_i64() > Some(0), "{since}");
    await_read_only(&distributor, "ingester-1", true).await;
    let before = logged(&first).await;
    push(&distributor, &mut ledger).await;
    assert_eq!(logged(&first).await, before);
    assert!(logged(&third).await > 0);
    await_everything(&ledger, &reader, &cluster.logs()).await;

    let prepare = "/ingester/prepare_shutdown";
    assert_eq!(first.post(prepare, &[], "").await.unwrap().status(), 204);
    cluster.kill("ingester-1");
    cluster.start_again("ingester-1").await;
    let is_set = || async { first.get(prepare, &[]).await.unwrap().text().await.unwrap() };
    assert_eq!(is_set().await, "set");
    assert_eq!(first.delete(prepare).await.unwrap().status(), 204);
    assert_eq!(is_set().await, "unset");
    assert_eq!(first.json(downscale, &[]).await["timestamp"], since);
    await_read_only(&distributor, "ingester-1", true).await;
    let before = logged(&first).await;
    push(&distributor, &mut ledger).await;
    assert_eq!(logged(&first).await, before);
    await_everything(&ledger, &reader, &cluster.logs()).await;
    assert_eq!(first.delete(downscale).await.unwrap().status(), 200);
    await_read_only(&distributor, "ingester-1", false).await;

    let refused = third.post("/flush/tenant?streams=%7Ba%3D%22b%22%7D", &[], "").await.unwrap();
    assert_eq!(refused.status(), 400);
    let tokens = folder.path().join("ingester-1/tokens");
    assert!(tokens.exists());
    let shutdown = "/ingester/shutdown?terminate=false&delete_ring_tokens=true";
    let ended = first.post(shutdown, &[], "").await.unwrap();
    assert_eq!(ended.status(), 204);
    let again = first.post(shutdown, &[], "").await.unwrap();
    assert_eq!(again.status(), 503);
    assert!(!tokens.exists());
    assert!(stored(&folder.path().join("chunks")) > 0, "it flushed");
    wait::until("it has left the ring", || async {
        seen(&distributor, "ingester-1").await.is_none().then_some(())
    })
    .await;
    push(&distributor, &mut ledger).await;
    await_everything(&ledger, &reader, &cluster.logs()).await;
}
