use std::time::Duration;

use super::super::fake;
use super::*;

async fn node(name: &str, join: &[SocketAddr]) -> GossipStores {
    let config = GossipConfig {
        node: name.to_owned(),
        bind: "127.0.0.1:0".parse().unwrap(),
        join: join.iter().map(SocketAddr::to_string).collect(),
        interval: Duration::from_millis(20),
        ..GossipConfig::default()
    };
    GossipStores::open(config, fake::environment()).await.unwrap()
}

fn names(members: &Members) -> Vec<&str> {
    members.instances.iter().map(|instance| &*instance.id).collect()
}

#[tokio::test(flavor = "multi_thread")]
async fn two_processes_see_each_other() {
    let first = node("a", &[]).await;
    let second = node("b", &[first.address()]).await;
    fake::assert_works(&first, &second).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn many_join_through_one_and_carry_many_tokens() {
    let first = node("n0", &[]).await;
    let mut nodes = vec![first];
    for number in 1..8 {
        nodes.push(node(&format!("n{number}"), &[nodes[0].address()]).await);
    }
    let rings: Vec<_> = nodes.iter().map(|node| node.ring("ingester")).collect();
    for (number, ring) in rings.iter().enumerate() {
        let mut instance = fake::instance(&format!("n{number}"), 1);
        instance.tokens = (0..512).map(|token| token * 8_388_593 + number as u32).collect();
        ring.publish(&instance).await.unwrap();
    }
    for ring in &rings {
        let all = fake::until(&mut ring.subscribe(), |members| members.instances.len() == 8).await;
        assert!(all.instances.iter().all(|instance| instance.tokens.len() == 512));
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn a_dead_process_is_remembered_until_it_is_forgotten() {
    let first = node("a", &[]).await;
    let second = node("b", &[first.address()]).await;
    let third = node("c", &[first.address()]).await;
    let (ring_a, ring_c) = (first.ring("ingester"), third.ring("ingester"));
    second.ring("ingester").publish(&fake::instance("b", 1)).await.unwrap();
    ring_a.publish(&fake::instance("a", 1)).await.unwrap();
    for ring in [&ring_a, &ring_c] {
        fake::until(&mut ring.subscribe(), |members| names(members) == ["a", "b"]).await;
    }
    drop(second);
    // A newcomer hears of the dead one from the others.
    let fourth = node("d", &[third.address()]).await;
    let ring_d = fourth.ring("ingester");
    fake::until(&mut ring_d.subscribe(), |members| names(members) == ["a", "b"]).await;
    ring_c.forget("b").await.unwrap();
    for ring in [&ring_a, &ring_c, &ring_d] {
        fake::until(&mut ring.subscribe(), |members| names(members) == ["a"]).await;
    }
}

#[tokio::test(flavor = "multi_thread")]
async fn what_a_process_said_before_it_restarted_does_not_come_back() {
    let first = node("a", &[]).await;
    let mut seen = first.ring("ingester").subscribe();
    let second = node("b", &[first.address()]).await;
    second.ring("ingester").publish(&fake::instance("b", 1)).await.unwrap();
    fake::until(&mut seen, |members| names(members) == ["b"]).await;
    drop(second);
    let again = node("b", &[first.address()]).await;
    let ring = again.ring("ingester");
    // The new process first hears what the old one said.
    fake::until(&mut ring.subscribe(), |members| names(members) == ["b"]).await;
    let mut moved = fake::instance("b", 2);
    moved.address = "elsewhere:9095".into();
    ring.publish(&moved).await.unwrap();
    fake::until(&mut seen, |members| members.get("b").is_some_and(|b| b.address == moved.address))
        .await;
    ring.withdraw("b").await.unwrap();
    fake::until(&mut seen, |members| members.instances.is_empty()).await;
    again.close().await;
    drop((ring, again));
    let third = node("c", &[first.address()]).await;
    let mut seen = third.ring("ingester").subscribe();
    fake::until(&mut seen, |members| members.is_loaded).await;
    first.ring("ingester").publish(&fake::instance("a", 3)).await.unwrap();
    fake::until(&mut seen, |members| names(members) == ["a"]).await;
}

#[tokio::test(flavor = "multi_thread")]
async fn another_cluster_is_not_heard() {
    let first = node("a", &[]).await;
    let config = GossipConfig {
        node: "stranger".to_owned(),
        bind: "127.0.0.1:0".parse().unwrap(),
        join: vec![first.address().to_string()],
        cluster: "another".to_owned(),
        interval: Duration::from_millis(20),
        ..GossipConfig::default()
    };
    let stranger = GossipStores::open(config, fake::environment()).await.unwrap();
    stranger.ring("ingester").publish(&fake::instance("stranger", 1)).await.unwrap();
    let second = node("b", &[first.address()]).await;
    second.ring("ingester").publish(&fake::instance("b", 1)).await.unwrap();
    let mut seen = first.ring("ingester").subscribe();
    let members = fake::until(&mut seen, |members| members.get("b").is_some()).await;
    assert_eq!(names(&members), ["b"]);
}

#[tokio::test]
async fn a_port_in_use_is_an_error() {
    let first = node("a", &[]).await;
    let config =
        GossipConfig { node: "b".to_owned(), bind: first.address(), ..GossipConfig::default() };
    let error = GossipStores::open(config, fake::environment()).await.err().unwrap();
    assert!(matches!(error, Error::Store { store: "gossip", .. }), "{error}");
}
