mod over_gossip;

use std::collections::HashSet;

use runtime::clock::{Clock as _, ManualClock, SystemClock};
use runtime::random::SeededRandom;
use runtime::service;

use super::*;
use crate::instance::Operation;
use crate::metrics::Metrics;
use crate::page::UNHEALTHY;
use crate::ring::RingConfig;
use crate::store::{Environment, MemoryStores, RingStores as _, fake};

const SECOND: Duration = Duration::from_secs(1);

/// Nothing that is waited for takes so long on a machine that works.
const DEADLINE: Duration = Duration::from_secs(60);

/// One machine: its clock, and a store that it shares with others.
struct Machine {
    clock: Arc<ManualClock>,
    stores: MemoryStores,
    seed: u64,
}

impl Machine {
    fn new(stores: &MemoryStores, seed: u64) -> Self {
        let clock = Arc::new(ManualClock::new(Timestamp::from_seconds(1_700_000_000)));
        Self { clock, stores: stores.clone(), seed }
    }

    fn lifecycler(&self, config: LifecyclerConfig) -> Arc<Lifecycler> {
        let environment = Environment {
            clock: Arc::clone(&self.clock) as _,
            random: Arc::new(SeededRandom::new(self.seed)),
            metrics: Metrics::default(),
        };
        let ring_config = RingConfig { replication_factor: 1, ..RingConfig::default() };
        let store = self.stores.ring("ingester");
        let client = RingClient::start("ingester", &ring_config, store, environment);
        Lifecycler::new(config, client).unwrap()
    }
}

fn config(id: &str) -> LifecyclerConfig {
    LifecyclerConfig {
        id: id.into(),
        address: format!("{id}:9095").into(),
        heartbeat_period: SECOND * 5,
        min_ready_duration: Duration::ZERO,
        ..LifecyclerConfig::default()
    }
}

/// Lets time pass on all machines until something is so.
async fn until(machines: &[&Machine], mut is_so: impl FnMut() -> bool) {
    let wait = async {
        while !is_so() {
            for machine in machines {
                machine.clock.advance(Duration::from_millis(100));
            }
            SystemClock.sleep(Duration::from_millis(1)).await;
        }
    };
    tokio::time::timeout(DEADLINE, wait).await.expect("it happens before the deadline");
}

async fn started(lifecycler: &Arc<Lifecycler>) -> Service {
    let service = lifecycler.service();
    service.start_and_await_running().await.unwrap();
    service
}

fn state_at(lifecycler: &Lifecycler, id: &str) -> Option<&'static str> {
    let rows = lifecycler.client().rows();
    rows.into_iter().find(|row| *row.instance.id == *id).map(|row| row.state)
}

#[tokio::test]
async fn an_instance_joins_beats_hands_over_and_leaves() {
    let machine = Machine::new(&MemoryStores::default(), 1);
    let lifecycler = machine.lifecycler(config("a"));
    let witness = machine.lifecycler(config("b"));
    assert_eq!(lifecycler.is_ready(), Err(NotReady::State(State::Pending)));
    let service = started(&lifecycler).await;
    until(&[&machine], || lifecycler.is_ready().is_ok()).await;
    assert_eq!(lifecycler.instance().tokens.len(), 128);
    assert_eq!(lifecycler.ring().tokens().len(), 128);
    let first = lifecycler.instance().heartbeat;
    until(&[&machine], || lifecycler.instance().heartbeat >= first.plus(SECOND * 5)).await;
    until(&[&machine], || state_at(&witness, "a") == Some("ACTIVE")).await;

    let (allow, allowed) = tokio::sync::oneshot::channel::<()>();
    lifecycler.set_hand_over(|| {
        Box::pin(async move {
            let _ = allowed.await;
            Ok(())
        })
    });
    service.stop();
    let before = lifecycler.instance().heartbeat;
    until(&[&machine], || state_at(&witness, "a") == Some("LEAVING")).await;
    until(&[&machine], || lifecycler.instance().heartbeat >= before.plus(SECOND * 10)).await;
    assert_eq!(service.state(), service::State::Stopping);
    assert!(lifecycler.is_ready().is_err());
    allow.send(()).unwrap();
    until(&[&machine], || state_at(&witness, "a").is_none()).await;
    service.await_terminated().await.unwrap();
    assert!(matches!(lifecycler.set_read_only(true).await, Err(Error::Stopped(_))));
    assert!(matches!(lifecycler.set_state(State::Active).await, Err(Error::Stopped(_))));
    assert!(witness.ring().instances().is_empty());
}

#[tokio::test]
async fn tokens_survive_a_restart() {
    let folder = tempfile::tempdir().unwrap();
    let machine = Machine::new(&MemoryStores::default(), 1);
    let token_file = Some(folder.path().join("tokens.json"));
    let config = LifecyclerConfig { token_file, ..config("a") };
    let lifecycler = machine.lifecycler(config.clone());
    let service = started(&lifecycler).await;
    until(&[&machine], || lifecycler.state() == State::Active).await;
    let tokens = lifecycler.instance().tokens;
    service.stop_and_await_terminated().await.unwrap();

    let machine = Machine::new(&MemoryStores::default(), 2);
    let again = machine.lifecycler(config.clone());
    let service = again.service();
    service.start_and_await_running().await.unwrap();
    assert_eq!((again.state(), again.instance().tokens), (State::Active, tokens.clone()));
    service.stop_and_await_terminated().await.unwrap();

    // More are wanted now: those it has stay.
    let more = LifecyclerConfig { tokens: TokenStrategy::Random { count: 200 }, ..config };
    let again = machine.lifecycler(more);
    let _service = started(&again).await;
    let now: HashSet<u32> = again.instance().tokens.iter().copied().collect();
    assert!(now.len() == 200 && tokens.iter().all(|token| now.contains(token)));
}

#[tokio::test]
async fn one_that_stays_registered_finds_its_record() {
    let machine = Machine::new(&MemoryStores::default(), 1);
    let stays = LifecyclerConfig { unregister_on_shutdown: false, ..config("a") };
    let lifecycler = machine.lifecycler(stays.clone());
    let service = started(&lifecycler).await;
    until(&[&machine], || lifecycler.state() == State::Active).await;
    lifecycler.set_read_only(true).await.unwrap();
    service.stop_and_await_terminated().await.unwrap();
    let before = lifecycler.instance();
    let again = machine.lifecycler(stays);
    until(&[&machine], || state_at(&again, "a") == Some("LEAVING")).await;
    machine.clock.advance(SECOND * 30);
    let _service = started(&again).await;
    let after = again.instance();
    assert_eq!((after.state, &after.tokens), (State::Active, &before.tokens));
    assert_eq!(
        (after.registered, after.read_only_since),
        (before.registered, before.read_only_since)
    );
}

#[tokio::test]
async fn a_living_instance_that_was_forgotten_comes_back_as_new() {
    let stores = MemoryStores::default();
    let machine = Machine::new(&stores, 1);
    let lifecycler = machine.lifecycler(config("a"));
    let _service = started(&lifecycler).await;
    until(&[&machine], || state_at(&lifecycler, "a") == Some("ACTIVE")).await;
    until(&[&machine], || lifecycler.own.lock().was_shown).await;
    let registered = lifecycler.instance().registered;
    lifecycler.client().forget("a").await.unwrap();
    let mut members = stores.ring("ingester").subscribe();
    let is_new = |members: &Members| members.get("a").is_some_and(|a| a.registered > registered);
    until(&[&machine], || is_new(&members.borrow_and_update())).await;
    assert_eq!(lifecycler.instance().tokens.len(), 128);
}

#[tokio::test]
async fn the_silent_are_unhealthy_and_then_forgotten() {
    let stores = MemoryStores::default();
    let machine = Machine::new(&stores, 1);
    let forgets = |id| LifecyclerConfig { forget_after: Some(SECOND * 120), ..config(id) };
    let (a, b) = (machine.lifecycler(forgets("a")), machine.lifecycler(forgets("b")));
    let (_a, _b) = (started(&a).await, started(&b).await);
    let mut silent = fake::instance("silent", 0);
    silent.heartbeat = machine.clock.now();
    stores.ring("ingester").publish(&silent).await.unwrap();
    let published = machine.clock.monotonic();
    until(&[&machine], || state_at(&a, "silent") == Some("ACTIVE")).await;
    until(&[&machine], || state_at(&a, "silent") == Some(UNHEALTHY)).await;
    until(&[&machine], || state_at(&a, "silent").is_none()).await;
    assert!(machine.clock.monotonic() >= published + SECOND * 120);
    assert!(a.ring().instance("b").is_some());
}

#[tokio::test]
async fn one_that_hears_nobody_forgets_nobody() {
    let stores = MemoryStores::default();
    let machine = Machine::new(&stores, 1);
    let a = machine.lifecycler(LifecyclerConfig { forget_after: Some(SECOND * 60), ..config("a") });
    let _service = started(&a).await;
    stores.ring("ingester").publish(&fake::instance("silent", 0)).await.unwrap();
    let end = machine.clock.monotonic() + SECOND * 600;
    until(&[&machine], || machine.clock.monotonic() >= end).await;
    assert_eq!(state_at(&a, "silent"), Some(UNHEALTHY));
}

#[tokio::test]
async fn those_who_chose_the_same_tokens_end_with_their_own() {
    let stores = MemoryStores::default();
    // Equal seeds: all three draw the same tokens at the same time.
    let machine = Machine::new(&stores, 7);
    let observes =
        |id| LifecyclerConfig { observe_period: SECOND * 10, join_after: SECOND * 3, ..config(id) };
    let all = ["a", "b", "c"].map(|id| machine.lifecycler(observes(id)));
    let mut services = Vec::new();
    for lifecycler in &all {
        services.push(started(lifecycler).await);
    }
    until(&[&machine], || all.iter().all(|one| one.state() == State::Active)).await;
    until(&[&machine], || all[0].ring().tokens().len() == 3 * 128).await;
}

#[tokio::test]
async fn tokens_can_be_spread() {
    let machine = Machine::new(&MemoryStores::default(), 1);
    let zones: Vec<Arc<str>> = vec!["x".into(), "y".into()];
    let spread = LifecyclerConfig {
        tokens: TokenStrategy::Spread { zones: zones.clone() },
        zone: "y".into(),
        observe_period: SECOND,
        ..config("ingester-2")
    };
    let lifecycler = machine.lifecycler(spread.clone());
    let _service = started(&lifecycler).await;
    until(&[&machine], || lifecycler.state() == State::Active).await;
    let expected = crate::token::spread_tokens("ingester-2", "y", &zones).unwrap();
    assert_eq!(*lifecycler.instance().tokens, *expected);
    let nameless = LifecyclerConfig { id: "ingester".into(), ..spread };
    let refused = Lifecycler::new(nameless, Arc::clone(lifecycler.client()));
    assert!(matches!(refused, Err(Error::Spread { .. })));
}

#[tokio::test]
async fn readiness_waits_for_the_others_once() {
    let stores = MemoryStores::default();
    let machine = Machine::new(&stores, 1);
    let mut other = fake::instance("other", 0);
    other.state = State::Leaving;
    other.heartbeat = machine.clock.now();
    stores.ring("ingester").publish(&other).await.unwrap();
    let patient = LifecyclerConfig { min_ready_duration: SECOND * 15, ..config("a") };
    let lifecycler = machine.lifecycler(patient);
    let _service = started(&lifecycler).await;
    let waits = |state| Err(NotReady::Other { id: "other".to_owned(), state });
    until(&[&machine], || lifecycler.is_ready() == waits("LEAVING")).await;
    until(&[&machine], || lifecycler.is_ready() == waits(UNHEALTHY)).await;
    lifecycler.client().forget("other").await.unwrap();
    until(&[&machine], || matches!(lifecycler.is_ready(), Err(NotReady::TooEarly(_)))).await;
    let since = machine.clock.monotonic();
    until(&[&machine], || lifecycler.is_ready().is_ok()).await;
    assert!(machine.clock.monotonic() >= since + SECOND * 14);
    stores.ring("ingester").publish(&other).await.unwrap();
    until(&[&machine], || state_at(&lifecycler, "other").is_some()).await;
    assert_eq!(lifecycler.is_ready(), Ok(()));
}

#[tokio::test]
async fn read_only_is_told_and_its_end_is_a_new_registration() {
    let machine = Machine::new(&MemoryStores::default(), 1);
    let (a, witness) = (machine.lifecycler(config("a")), machine.lifecycler(config("b")));
    let _service = started(&a).await;
    let writable = || witness.ring().healthy(Operation::Write, machine.clock.now());
    until(&[&machine], || writable() == 1).await;
    let registered = a.instance().registered;
    a.set_read_only(true).await.unwrap();
    until(&[&machine], || writable() == 0).await;
    assert!(a.instance().is_read_only() && a.instance().registered == registered);
    a.set_read_only(false).await.unwrap();
    until(&[&machine], || writable() == 1).await;
    assert!(a.instance().registered > registered);
}

#[tokio::test]
async fn clocks_that_differ_by_hours_do_no_harm() {
    let stores = MemoryStores::default();
    let (here, there) = (Machine::new(&stores, 1), Machine::new(&stores, 2));
    there.clock.set(here.clock.now().minus(SECOND * 7200));
    let (a, b) = (here.lifecycler(config("a")), there.lifecycler(config("b")));
    let (_a, _b) = (started(&a).await, started(&b).await);
    let both = [&here, &there];
    until(&both, || state_at(&a, "b") == Some("ACTIVE") && state_at(&b, "a") == Some("ACTIVE"))
        .await;
    // A clock is set an hour ahead while everybody lives on.
    here.clock.set(here.clock.now().plus(SECOND * 3600));
    until(&both, || state_at(&a, "b") == Some("ACTIVE") && state_at(&a, "a") == Some("ACTIVE"))
        .await;
}

#[tokio::test]
async fn a_store_that_shows_nothing_cannot_be_joined() {
    let _ = rustls::crypto::ring::default_provider().install_default();
    let machine = Machine::new(&MemoryStores::default(), 1);
    let environment = Environment { clock: Arc::clone(&machine.clock) as _, ..fake::environment() };
    let etcd = crate::store::EtcdConfig {
        endpoints: vec!["127.0.0.1:1".to_owned()],
        ..crate::store::EtcdConfig::default()
    };
    let stores =
        crate::store::EtcdStores::new(&etcd, reqwest::Client::new(), environment.clone()).unwrap();
    let client =
        RingClient::start("ingester", &RingConfig::default(), stores.ring("ingester"), environment);
    let service = Lifecycler::new(config("a"), client).unwrap().service();
    service.start().unwrap();
    until(&[&machine], || service.state() == service::State::Failed).await;
    assert!(service.failure().unwrap().to_string().contains("could not be read"));
}

#[tokio::test]
async fn a_nameless_instance_is_refused() {
    let machine = Machine::new(&MemoryStores::default(), 1);
    let client = Arc::clone(machine.lifecycler(config("a")).client());
    let refused = Lifecycler::new(LifecyclerConfig::default(), client);
    assert!(matches!(refused, Err(Error::Config(_))));
}

#[tokio::test]
async fn an_instance_takes_over_and_waits_again_when_that_breaks() {
    let folder = tempfile::tempdir().unwrap();
    let stores = MemoryStores::default();
    let machine = Machine::new(&stores, 1);
    let leaver_file = folder.path().join("a.json");
    let leaver = machine
        .lifecycler(LifecyclerConfig { token_file: Some(leaver_file.clone()), ..config("a") });
    let leaving = started(&leaver).await;
    until(&[&machine], || leaver.state() == State::Active).await;
    let tokens = leaver.instance().tokens;

    let patient = LifecyclerConfig {
        join_after: SECOND * 1000,
        token_file: Some(folder.path().join("b.json")),
        ..config("b")
    };
    let next = machine.lifecycler(patient.clone());
    assert!(leaver.claim().await.is_err(), "one that is ACTIVE takes over nothing");
    let serving = started(&next).await;
    until(&[&machine], || state_at(&leaver, "b") == Some("PENDING")).await;

    let claim = next.claim().await.unwrap();
    assert!(claim.is_open() && next.state() == State::Joining);
    assert!(matches!(next.claim().await, Err(Error::NotPending(State::Joining))));
    until(&[&machine], || state_at(&leaver, "b") == Some("JOINING")).await;
    let now = machine.clock.now();
    assert_eq!(leaver.ring().everyone(Operation::Read, now).unwrap().instances.len(), 2);
    drop(claim);
    until(&[&machine], || state_at(&leaver, "b") == Some("PENDING")).await;

    // One that hangs is given up.
    let hung = next.claim().await.unwrap();
    until(&[&machine], || next.state() == State::Pending).await;
    assert!(!hung.is_open());
    assert!(hung.finish(vec![1]).await.is_err());
    assert_eq!(next.state(), State::Pending);

    let (done, is_done) = tokio::sync::oneshot::channel::<()>();
    let (from, to, kept) = (Arc::clone(&leaver), Arc::clone(&next), tokens.to_vec());
    leaver.set_hand_over(move || {
        Box::pin(async move {
            let claim = to.claim().await?;
            claim.finish(kept).await?;
            from.give_up_tokens().await?;
            let _ = is_done.await;
            Ok(())
        })
    });
    leaving.stop();
    until(&[&machine], || state_at(&leaver, "b") == Some("ACTIVE")).await;
    until(&[&machine], || leaver.instance().tokens.is_empty()).await;
    assert_eq!(next.instance().tokens, tokens);
    assert!(!leaver_file.exists());
    done.send(()).unwrap();
    until(&[&machine], || leaving.state().is_final()).await;
    until(&[&machine], || next.is_ready().is_ok()).await;
    assert_eq!(next.ring().tokens().len(), tokens.len());
    serving.stop_and_await_terminated().await.unwrap();

    // The tokens outlive a restart.
    let again = Machine::new(&MemoryStores::default(), 2).lifecycler(patient);
    let _serving = started(&again).await;
    assert_eq!((again.state(), again.instance().tokens), (State::Active, tokens));
}
