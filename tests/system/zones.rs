//! Promise: a zone that is cut from the others loses and doubles nothing; who cannot reach enough
//! replicas says so.

use std::collections::BTreeMap;
use std::time::Duration;

use system::client::Client;
use system::cluster::{Cluster, Finding, Member, Settings};
use system::load::{Expect, Load};
use system::network::Zones;
use system::proxy::Proxy;
use system::servers::S3;
use system::wait;

use crate::cluster::{PROGRESS, await_everything};

/// Longer than any timeout between processes: whatever is asked must be answered.
const PATIENCE: Duration = Duration::from_secs(90);
/// The zone that is cut.
const CUT: usize = 3;

/// Waits until a member sees another ingester as unhealthy, or does not.
async fn await_seen(client: &Client, ingester: &str, is_healthy: bool) {
    let client = client.with_header("Accept", "application/json");
    wait::until(&format!("{ingester} is seen as healthy: {is_healthy}"), || async {
        let ring = client.get("/ring", &[]).await.ok()?.text().await.ok()?;
        let ring: serde_json::Value = serde_json::from_str(&ring).ok()?;
        let rows = ring["shards"].as_array()?;
        let row = rows.iter().find(|row| row["id"] == ingester)?;
        ((row["state"] != "UNHEALTHY") == is_healthy).then_some(())
    })
    .await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_zone_that_is_cut_from_the_others_loses_and_doubles_nothing() {
    let zones = match Zones::new(3) {
        Ok(zones) => zones,
        Err(reason) => {
            eprintln!("no zone is cut: networks cannot be made here ({reason})");
            return;
        }
    };
    let s3 = S3::start().await;
    let proxy = Proxy::start_at(&zones.gateway(), &s3.address()).await;
    let folder = tempfile::tempdir().unwrap();
    let member = |target, zone: usize| {
        let mut member = Member::new(target, zone, &format!("zone-{zone}"));
        (member.address, member.wrapper) = (zones.address(zone), zones.wrapper(zone));
        member
    };
    let roles = ["distributor", "ingester", "query-scheduler", "querier", "query-frontend"];
    let mut members: Vec<Member> = roles
        .into_iter()
        .flat_map(|target| (1..=3).map(move |zone| (target, zone)))
        .map(|(target, zone)| member(target, zone))
        .collect();
    members.push(member("compactor", 1));
    let settings = Settings::new(Finding::Gossip, S3::storage(proxy.address()));
    let cluster = Cluster::start_ring(folder.path(), members, settings.configure()).await;

    let (writing, reading) =
        (cluster.clients(&["distributor"]), cluster.clients(&["query-frontend"]));
    let load = Load::begin_with(&writing, &reading, Expect::Everything, PATIENCE);
    load.await_progress("by all zones", PROGRESS).await;

    zones.set_cut(CUT, true);
    load.await_progress("while a zone is cut", PROGRESS / 2).await;
    // Both sides notice; the smaller one knows that it is not whole.
    await_seen(&writing[0], "ingester-3", false).await;
    await_seen(&writing[CUT - 1], "ingester-1", false).await;
    load.await_progress("while a zone is known to be cut", PROGRESS).await;
    let refused = writing[CUT - 1].push(&load.ledger.lock().await.next_lines(1)).await.unwrap();
    assert!(refused.status().is_server_error(), "one of three is no quorum: {}", refused.status());

    zones.set_cut(CUT, false);
    await_seen(&writing[0], "ingester-3", true).await;
    await_seen(&writing[CUT - 1], "ingester-1", true).await;
    load.await_progress("after the zones were joined", PROGRESS).await;

    let (ledger, written, read) = load.end().await;
    let logs = cluster.logs();
    assert_eq!((&written.broken, &read.broken), (&BTreeMap::new(), &BTreeMap::new()), "{logs}");
    assert_eq!((written.unanswered, read.unanswered), (0, 0), "{written:?} {read:?} {logs}");
    assert!(written.done > 20 && read.done > 5, "{written:?} {read:?}");
    eprintln!("writers: {written:?}; readers: {read:?}");
    for reader in &reading {
        await_everything(&ledger, reader, &logs).await;
    }
}
