mod gateway;
mod server;

use std::sync::atomic::Ordering;

use super::super::fake;
use super::*;
use gateway::FakeEtcd;
use server::RealEtcd;

fn stores(config: EtcdConfig) -> EtcdStores {
    EtcdStores::new(&config, fake::client(), fake::environment()).unwrap()
}

fn at(address: &str) -> EtcdConfig {
    EtcdConfig { endpoints: vec![address.to_owned()], ..EtcdConfig::default() }
}

/// Does the same with a fake and, if there is one, with the real server.
async fn with_both(test: impl AsyncFn(&str)) {
    let (_etcd, server) = FakeEtcd::start().await;
    test(&server.address).await;
    if let Some(real) = RealEtcd::start().await {
        test(&real.address).await;
    }
}

#[tokio::test]
async fn two_processes_see_each_other() {
    with_both(async |address| {
        fake::assert_works(&stores(at(address)), &stores(at(address))).await;
    })
    .await;
}

#[tokio::test]
async fn a_leased_record_is_kept_by_heartbeats() {
    with_both(async |address| {
        let lease = Some(Duration::from_secs(30));
        let stores = stores(EtcdConfig { lease, ..at(address) });
        let ring = stores.ring("leased");
        let mut members = ring.subscribe();
        for heartbeat in 1..4 {
            ring.publish(&fake::instance("a", heartbeat)).await.unwrap();
            let heartbeat = model::Timestamp::from_seconds(heartbeat);
            let is_new = |members: &Members| {
                members.get("a").is_some_and(|instance| instance.heartbeat == heartbeat)
            };
            fake::until(&mut members, is_new).await;
        }
        let lease = stores.0.lease.lock().await.clone();
        assert!(lease.is_some());
        // A lease that etcd no longer knows is replaced.
        let revoked = json!({ "ID": lease });
        stores.0.call::<Value>("lease/revoke", &revoked).await.unwrap();
        fake::until(&mut members, |members| members.instances.is_empty()).await;
        ring.publish(&fake::instance("a", 4)).await.unwrap();
        fake::until(&mut members, |members| members.instances.len() == 1).await;
        assert_ne!(*stores.0.lease.lock().await, lease);
    })
    .await;
}

#[tokio::test]
async fn a_cut_watch_begins_anew() {
    let (etcd, server) = FakeEtcd::start().await;
    let stores = stores(at(&server.address));
    let ring = stores.ring("ingester");
    let mut members = ring.subscribe();
    ring.publish(&fake::instance("a", 1)).await.unwrap();
    fake::until(&mut members, |members| members.instances.len() == 1).await;
    etcd.failures.store(2, Ordering::Relaxed);
    etcd.cut_watches();
    ring.publish(&fake::instance("b", 1)).await.unwrap();
    fake::until(&mut members, |members| members.instances.len() == 2).await;
}

#[tokio::test]
async fn a_dead_server_is_left_for_the_next() {
    let (_etcd, server) = FakeEtcd::start().await;
    let endpoints = vec!["127.0.0.1:1".to_owned(), format!("http://{}", server.address)];
    let stores = stores(EtcdConfig { endpoints, ..EtcdConfig::default() });
    let ring = stores.ring("ingester");
    ring.publish(&fake::instance("a", 1)).await.unwrap();
    fake::until(&mut ring.subscribe(), |members| members.instances.len() == 1).await;
}

#[tokio::test]
async fn an_expired_token_is_renewed() {
    let (etcd, server) = FakeEtcd::start().await;
    *etcd.password.lock() = Some("secret".to_owned());
    let credentials = Some(("sigyn".to_owned(), "secret".to_owned()));
    let stores = stores(EtcdConfig { credentials, ..at(&server.address) });
    let ring = stores.ring("ingester");
    ring.publish(&fake::instance("a", 1)).await.unwrap();
    etcd.logins.fetch_add(1, Ordering::Relaxed);
    ring.publish(&fake::instance("b", 1)).await.unwrap();
    fake::until(&mut ring.subscribe(), |members| members.instances.len() == 2).await;
}

#[tokio::test]
async fn a_wrong_password_is_an_error() {
    let (etcd, server) = FakeEtcd::start().await;
    *etcd.password.lock() = Some("secret".to_owned());
    let credentials = Some(("sigyn".to_owned(), "guess".to_owned()));
    let stores = stores(EtcdConfig { credentials, ..at(&server.address) });
    let error = stores.ring("ingester").publish(&fake::instance("a", 1)).await.unwrap_err();
    assert!(matches!(error, Error::Store { store: "etcd", .. }), "{error}");
}

#[test]
fn lines_may_arrive_in_any_pieces() {
    let text = concat!(
        r#"{"result":{"header":{"revision":"3"},"created":true}}"#,
        "\n",
        r#"{"result":{"events":[{"kv":{"key":"YQ==","value":"Yg=="}},{"type":"DELETE","kv":{"key":"Yw=="}}]}}"#,
        "\n"
    );
    for size in 1..text.len() {
        let mut lines = Lines::default();
        let mut events = Vec::new();
        for piece in text.as_bytes().chunks(size) {
            events.extend(lines.events(piece).unwrap());
        }
        let told: Vec<_> =
            events.iter().map(|event| (event.is_delete, event.pair.key.as_str())).collect();
        assert_eq!(told, [(false, "YQ=="), (true, "Yw==")], "{size}");
    }
    for ended in ["{\"error\":{\"code\":1}}\n", "{\"result\":{\"canceled\":true}}\n", "<html>\n"] {
        assert!(Lines::default().events(ended.as_bytes()).is_err());
    }
}
