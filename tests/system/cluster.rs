//! Many processes on one bucket: what they acknowledged is found whatever happens to one of them,
//! and nothing is found twice.

use std::collections::BTreeMap;
use std::path::Path;
use std::time::Duration;

use system::client::Client;
use system::cluster::{Cluster, Member};
use system::ledger::Difference;
use system::load::{Expect, Load};
use system::proxy::{Fault, Proxy};
use system::servers::{S3, Server};
use system::wait;

/// Lines that are acknowledged between two disturbances.
const PROGRESS: usize = 1000;
/// How long a disturbance lasts.
const DISTURBANCE: Duration = Duration::from_secs(5);

/// How members find each other.
enum Finding {
    /// They do not: each works alone on the common bucket.
    Not,
    /// Every ingester is named; a tenant's entries go to one of them.
    Addresses,
    /// By gossip; three replicas, one in each zone.
    Gossip,
    /// In etcd, at this URL; three replicas, one in each zone.
    Etcd(String),
}

impl Finding {
    /// Keys of the `common` block, and blocks of their own.
    fn ring(&self, member: &Member, all: &[Member]) -> (String, String) {
        let (store, block) = match self {
            Self::Not | Self::Addresses => {
                return ("replication_factor: 1".to_owned(), String::new());
            }
            Self::Gossip => {
                let others: Vec<String> =
                    all.iter().map(|other| format!("\"127.0.0.1:{}\"", other.gossip)).collect();
                let block = format!(
                    "memberlist: {{join_members: [{}], bind_addr: [127.0.0.1], bind_port: {}}}\n",
                    others.join(", "),
                    member.gossip
                );
                ("store: memberlist".to_owned(), block)
            }
            Self::Etcd(url) => {
                (format!("store: etcd, etcd: {{endpoints: [\"{url}\"]}}"), String::new())
            }
        };
        let common = format!(
            "replication_factor: 3, ring: {{kvstore: {{{store}}}, heartbeat_period: 1s, \
             heartbeat_timeout: 30s, zone_awareness_enabled: true, \
             instance_availability_zone: \"{}\"}}",
            member.zone
        );
        (common, block)
    }

    /// Whether pushes and queries go on while one ingester is away.
    fn has_replicas(&self) -> bool {
        matches!(self, Self::Gossip | Self::Etcd(_))
    }
}

/// A member's configuration: small heads, much compaction, no limit that is met by accident.
///
/// Frontends and queriers meet at every scheduler.
fn configuration(
    finding: &Finding,
    member: &Member,
    folder: &Path,
    all: &[Member],
    s3: &str,
) -> String {
    let storage = S3::storage(s3);
    let schedulers = all.iter().filter(|member| member.target == "query-scheduler");
    let schedulers: Vec<String> =
        schedulers.map(|scheduler| format!("\"127.0.0.1:{}\"", scheduler.http)).collect();
    let schedulers = schedulers.join(", ");
    let meeting = match member.target {
        "query-frontend" => format!("frontend: {{scheduler_address: [{schedulers}]}}\n"),
        "querier" => format!("frontend_worker: {{scheduler_address: [{schedulers}]}}\n"),
        _ => String::new(),
    };
    let addresses = match finding {
        Finding::Addresses => {
            let ingesters = all.iter().filter(|member| member.target == "ingester");
            let addresses: Vec<String> =
                ingesters.map(|ingester| format!("\"127.0.0.1:{}\"", ingester.http)).collect();
            format!("addresses: [{}], ", addresses.join(", "))
        }
        _ => String::new(),
    };
    let (ring, blocks) = finding.ring(member, all);
    format!(
        "target: {target}\n{blocks}{meeting}\
         common: {{path_prefix: {folder}/data, {ring}, instance_addr: 127.0.0.1, \
         storage: {storage}}}\n\
         ingester: {{{addresses}lifecycler: {{id: {name}}}, flush_size: 1MB, \
         flush_check_period: 100ms}}\n\
         compactor: {{compaction_interval: 5s, superseded_delete_delay: 2m}}\n\
         limits_config: {{ingestion_rate_mb: 1000, ingestion_burst_size_mb: 1000, \
         per_stream_rate_limit: 1GB, per_stream_rate_limit_burst: 1GB, \
         reject_old_samples: false, max_global_streams_per_user: 0, query_timeout: 10s}}\n",
        target = member.target,
        folder = folder.display(),
        name = member.name,
    )
}

/// Members that find each other in one way, with their segments behind `s3`.
async fn started(folder: &Path, members: Vec<Member>, finding: Finding, s3: &str) -> Cluster {
    let s3 = s3.to_owned();
    let configure = move |member: &Member, folder: &Path, all: &[Member]| {
        configuration(&finding, member, folder, all, &s3)
    };
    Cluster::start(folder, members, Box::new(configure)).await
}

#[allow(clippy::disallowed_methods, reason = "a disturbance lasts some real time")]
async fn disturbance() {
    tokio::time::sleep(DISTURBANCE).await;
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
        let difference = ledger.compare(client).await;
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
        disturbance().await;
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
        disturbance().await;
        cluster.resume(name);
        load.await_progress(&format!("after {name} hung"), PROGRESS / 4).await;
    }
    for fault in [Fault::Answer(500), Fault::Stall] {
        proxy.set(fault);
        load.await_progress("while the storage is gone", PROGRESS).await;
        disturbance().await;
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
