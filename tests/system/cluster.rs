//! Many processes on one bucket: what they acknowledged is found whatever happens to one of them,
//! and nothing is found twice.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use system::client::Client;
use system::cluster::{Cluster, Finding, Member, Settings};
use system::ledger::Difference;
use system::load::{Expect, Load};
use system::proxy::{Fault, Proxy};
use system::servers::{S3, Server};
use system::wait;

/// Lines that are acknowledged between two disturbances.
pub(crate) const PROGRESS: usize = 1000;
/// How long a disturbance lasts.
const DISTURBANCE: Duration = Duration::from_secs(5);
/// How long a storage is gone that does not come back soon.
const LONG: Duration = Duration::from_secs(60);

/// Members that find each other in one way, with their segments behind `s3`.
async fn started(folder: &Path, members: Vec<Member>, finding: Finding, s3: &str) -> Cluster {
    let is_ring = finding.has_replicas();
    let settings = Settings::new(finding, S3::storage(s3));
    match is_ring {
        true => Cluster::start_ring(folder, members, settings.configure()).await,
        false => Cluster::start(folder, members, settings.configure()).await,
    }
}

#[allow(clippy::disallowed_methods, reason = "a disturbance lasts some real time")]
async fn disturbance(time: Duration) {
    tokio::time::sleep(time).await;
}

/// Waits until a client finds all of a ledger; other processes' segments are learned of now and
/// then.
pub(crate) async fn await_everything(ledger: &system::ledger::Ledger, client: &Client, logs: &str) {
    // A machine that is busy may take processes for dead for a while.
    wait::until("queries are answered", || async {
        let answer = client.get("/loki/api/v1/labels", &[]).await.ok()?;
        answer.status().is_success().then_some(())
    })
    .await;
    let difference = wait::until("everything is found", || async {
        let difference = ledger.try_compare(client).await.ok()?;
        let is_final = difference.missing.is_empty() || !difference.doubled.is_empty();
        is_final.then_some(difference)
    })
    .await;
    assert_eq!(difference, Difference::default(), "{logs}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_that_share_a_bucket_lose_and_double_nothing() {
    let s3 = S3::start().await;
    let proxy = Proxy::start(&s3.address()).await;
    let folder = tempfile::tempdir().unwrap();
    let members = (1..=3).map(|number| Member::new("all", number, "")).collect();
    let mut cluster = started(folder.path(), members, Finding::Not, proxy.address()).await;
    let clients = cluster.clients(&["all"]);
    // Each asks its own heads and the bucket; it does not know the others' heads.
    let load = Load::begin(&clients, &clients, Expect::AnAnswer);
    load.await_progress("by all", PROGRESS).await;

    cluster.kill("all-1");
    load.await_progress("while one is dead", PROGRESS).await;
    cluster.start_again("all-1").await;

    cluster.pause("all-2");
    load.await_progress("while one hangs", PROGRESS / 4).await;
    cluster.resume("all-2");

    for fault in [Fault::Answer(500), Fault::Stall] {
        proxy.set(fault);
        load.await_progress("while the storage is gone", PROGRESS).await;
        disturbance(DISTURBANCE).await;
        proxy.set(Fault::None);
        load.await_progress("after the storage was gone", PROGRESS).await;
    }

    cluster.add(Member::new("all", 4, "")).await;
    cluster.rolling_restart().await;
    // It takes no pushes from the load; what it leaves behind is in the bucket.
    cluster.remove("all-4").await;
    load.await_progress("after a rolling restart", PROGRESS).await;

    let (ledger, written, read) = load.end().await;
    assert_eq!((&written.broken, &read.broken), (&BTreeMap::new(), &BTreeMap::new()));
    assert!(written.done > 100 && read.done > 20, "{written:?} {read:?}");
    for client in &clients {
        assert!(client.post("/flush", &[], "").await.unwrap().status().is_success());
    }
    // One that has just started knows the whole bucket.
    cluster.stop("all-1").await;
    cluster.start_again("all-1").await;
    await_everything(&ledger, &cluster.client("all-1"), &cluster.logs()).await;
}

/// Two or three of each role, ingesters in a zone each, under load while each is killed, hangs, is
/// restarted, and the storage goes away.
async fn ordeal(finding: Finding) {
    let s3 = S3::start().await;
    let proxy = Proxy::start(&s3.address()).await;
    let folder = tempfile::tempdir().unwrap();
    let has_replicas = finding.has_replicas();
    // With replicas the read path is taken apart, too.
    let reading: &[(&str, usize)] = if has_replicas {
        &[("query-scheduler", 2), ("querier", 2), ("query-frontend", 2)]
    } else {
        &[("read", 2)]
    };
    let roles = [("distributor", 2), ("ingester", 3), ("compactor", 1)];
    let roles = roles.iter().chain(reading).copied();
    let member = |target, number| Member::new(target, number, &format!("zone-{number}"));
    let members = roles
        .flat_map(|(target, count)| (1..=count).map(move |number| member(target, number)))
        .collect();
    let mut cluster = started(folder.path(), members, finding, proxy.address()).await;
    let readers = cluster.clients(&["read", "query-frontend"]);
    let load = Load::begin(&cluster.clients(&["distributor"]), &readers, Expect::Everything);
    load.await_progress("by all", PROGRESS).await;

    let killed = ["distributor-1", "compactor-1", "ingester-1", "ingester-2", "ingester-3"];
    let reading = reading.iter().map(|(target, _)| format!("{target}-1"));
    for name in killed.into_iter().map(str::to_owned).chain(reading) {
        let name = name.as_str();
        cluster.kill(name);
        // Without replicas the entries of one ingester wait until it is back.
        if name.starts_with("ingester") && !has_replicas {
            load.await_answers(5).await;
        } else {
            load.await_progress(&format!("while {name} is dead"), PROGRESS / 4).await;
        }
        cluster.start_again(name).await;
        load.await_progress(&format!("after {name} was dead"), PROGRESS / 4).await;
    }
    for name in ["distributor-2", "ingester-1", "ingester-3"] {
        cluster.pause(name);
        disturbance(DISTURBANCE).await;
        cluster.resume(name);
        load.await_progress(&format!("after {name} hung"), PROGRESS / 4).await;
    }
    for fault in [Fault::Answer(500), Fault::Stall] {
        proxy.set(fault);
        load.await_progress("while the storage is gone", PROGRESS).await;
        disturbance(DISTURBANCE).await;
        proxy.set(Fault::None);
        load.await_progress("after the storage was gone", PROGRESS / 4).await;
    }
    if has_replicas {
        cluster.add(Member::new("ingester", 4, "zone-1")).await;
        load.await_progress("with one ingester more", PROGRESS).await;
        cluster.remove("ingester-1").await;
        load.await_progress("with one ingester less", PROGRESS).await;
    }
    cluster.rolling_restart().await;
    load.await_progress("after a rolling restart", PROGRESS).await;

    let (ledger, written, read) = load.end().await;
    let logs = cluster.logs();
    assert_eq!((&written.broken, &read.broken), (&BTreeMap::new(), &BTreeMap::new()), "{logs}");
    assert!(written.done > 100 && read.done > 20, "{written:?} {read:?}");
    for reader in &readers {
        await_everything(&ledger, reader, &logs).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_of_one_role_each_lose_and_double_nothing() {
    ordeal(Finding::Addresses).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_find_each_other_by_gossip_lose_and_double_nothing() {
    ordeal(Finding::Gossip).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn replicas_that_find_each_other_in_etcd_lose_and_double_nothing() {
    let etcd = Server::etcd().await;
    ordeal(Finding::Etcd(format!("http://{}", etcd.address()))).await;
}

/// Three replicas whose storage fails in one way for a minute, under load.
async fn minute_without_storage(fault: Fault) {
    let s3 = S3::start().await;
    let proxy = Proxy::start(&s3.address()).await;
    let folder = tempfile::tempdir().unwrap();
    let member = |number| Member::new("all", number, &format!("zone-{number}"));
    let members = (1..=3).map(member).collect();
    let cluster = started(folder.path(), members, Finding::Gossip, proxy.address()).await;
    let clients = cluster.clients(&["all"]);
    let load = Load::begin(&clients, &clients, Expect::Everything);
    load.await_progress("before the storage is gone", PROGRESS).await;
    proxy.set(fault);
    disturbance(LONG).await;
    load.await_progress("a minute after the storage was gone", PROGRESS).await;
    proxy.set(Fault::None);
    load.await_progress("after the storage was gone", PROGRESS).await;
    let (ledger, written, read) = load.end().await;
    let logs = cluster.logs();
    assert_eq!((&written.broken, &read.broken), (&BTreeMap::new(), &BTreeMap::new()), "{logs}");
    assert!(written.done > 100, "{fault:?}: {written:?} {read:?}");
    eprintln!("{fault:?}: writers: {written:?}; readers: {read:?}");
    for client in &clients {
        await_everything(&ledger, client, &logs).await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_minute_without_storage_stops_no_write() {
    // Most of the time they wait: side by side they take no longer than one.
    tokio::join!(minute_without_storage(Fault::Answer(500)), minute_without_storage(Fault::Stall));
}
