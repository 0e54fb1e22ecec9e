//! Promise: requests are answered as a real Loki answered them, by one process and by many, from
//! memory and from storage.

use futures_util::future::join_all;
use system::client::Client;
use system::cluster::{Cluster, Finding, Member, Settings};
use system::process::{Sigyn, Start};
use system::recorded::{self, Bases, Case};

/// Under which the cases were recorded, beside the limits.
const BLOCKS: &str = "auth_enabled: true\nquerier: {multi_tenant_queries_enabled: true}\n";
/// Old entries are taken beside new ones, and heads are not flushed by themselves.
const INGESTER: &str = "chunk_idle_period: 12h, max_chunk_age: 12h";

/// Replicas that store at the same time may each store a row, and sizes count what is stored until it
/// is compacted.
fn is_size(case: &Case) -> bool {
    case.category().contains("index")
}

/// Asks everything from heads, has them flushed, and asks again.
async fn check(bases: &Bases, ingesters: &[Client], profile: &str) {
    let cases = recorded::cases(profile);
    assert!(cases.len() > 20, "the cases were not found");
    assert!(recorded::push(&bases.writing, profile).await > 100);
    let mut differing = Vec::new();
    for place in ["heads", "segments"] {
        if place == "segments" {
            let flushed = ingesters.iter().map(|client| client.post("/flush", &[], ""));
            for answer in join_all(flushed).await {
                assert!(answer.unwrap().status().is_success());
            }
        }
        let has_copies = place == "segments" && ingesters.len() > 1;
        let is_asked = |case: &&Case| !(has_copies && is_size(case));
        let cases: Vec<Case> = cases.iter().filter(is_asked).cloned().collect();
        let found = recorded::run(bases, &cases).await;
        eprintln!(
            "profile {profile} from {place}: {} of {}",
            cases.len() - found.len(),
            cases.len()
        );
        differing.extend(found.into_iter().map(|text| format!("from {place}: {text}")));
    }
    assert!(differing.is_empty(), "{}", differing.join("\n"));
}

async fn one_process(profile: &str) {
    let folder = tempfile::tempdir().unwrap();
    let limits = recorded::limits(profile);
    let config = format!("{BLOCKS}ingester: {{{INGESTER}}}\nlimits_config: {{{limits}}}\n");
    let sigyn = Sigyn::start(folder.path(), Start { config, wrapper: Vec::new() }).await;
    let base = format!("http://127.0.0.1:{}", sigyn.port());
    let bases = Bases { reading: vec![base.clone()], writing: base };
    check(&bases, &[sigyn.client()], profile).await;
    sigyn.stop().await;
}

/// Three replicas, found by gossip; `reading` and `writing` are the targets that are asked.
async fn cluster(profile: &str, members: &[(&'static str, usize)], reading: &str, writing: &str) {
    let folder = tempfile::tempdir().unwrap();
    let members = members.iter().flat_map(|(target, count)| {
        (1..=*count).map(|number| Member::new(target, number, &format!("zone-{number}")))
    });
    let storage = Settings::shared_folder(folder.path());
    let settings = Settings {
        ingester: INGESTER.to_owned(),
        limits: recorded::limits(profile),
        blocks: BLOCKS.to_owned(),
        ..Settings::new(Finding::Gossip, storage)
    };
    let cluster = Cluster::start_ring(folder.path(), members.collect(), settings.configure()).await;
    let bases = |target: &str| -> Vec<String> {
        cluster.names(&[target]).iter().map(|name| cluster.base(name)).collect()
    };
    let bases = Bases { reading: bases(reading), writing: bases(writing).remove(0) };
    check(&bases, &cluster.clients(&["all", "ingester"]), profile).await;
}

/// Every role by itself.
const ROLES: &[(&str, usize)] = &[
    ("distributor", 1),
    ("ingester", 3),
    ("querier", 2),
    ("query-scheduler", 1),
    ("query-frontend", 2),
    ("compactor", 1),
];

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn one_process_answers_as_recorded() {
    one_process("A").await;
    one_process("B").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn three_replicas_answer_as_recorded() {
    cluster("A", &[("all", 3)], "all", "all").await;
    cluster("B", &[("all", 3)], "all", "all").await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_in_processes_of_their_own_answer_as_recorded() {
    cluster("A", ROLES, "query-frontend", "distributor").await;
    cluster("B", ROLES, "query-frontend", "distributor").await;
}
