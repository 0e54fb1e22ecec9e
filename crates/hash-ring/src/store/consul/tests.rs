use std::sync::atomic::{AtomicUsize, Ordering};

use parking_lot::Mutex;
use serde_json::json;

use super::super::fake::{self, Answer, FakeServer, Request};
use super::*;

/// Values by key.
type Records = BTreeMap<String, Vec<u8>>;

/// As much of a Consul agent as a ring needs.
struct FakeConsul {
    records: watch::Sender<(u64, BTreeMap<String, Vec<u8>>)>,
    tokens: Mutex<Vec<String>>,
    /// How many requests are still answered with 500.
    failures: AtomicUsize,
}

impl FakeConsul {
    fn new() -> Arc<Self> {
        let records = watch::Sender::new((1, BTreeMap::new()));
        Arc::new(Self { records, tokens: Mutex::default(), failures: AtomicUsize::new(0) })
    }

    async fn serve(self: &Arc<Self>) -> FakeServer {
        let consul = Arc::clone(self);
        FakeServer::start(Arc::new(move |request| Arc::clone(&consul).answer(request).boxed()))
            .await
    }

    async fn answer(self: Arc<Self>, request: Request) -> Answer {
        let token = request.header.lines().find_map(|line| line.strip_prefix("x-consul-token: "));
        self.tokens.lock().extend(token.map(str::to_owned));
        let fails = |left: usize| left.checked_sub(1);
        if self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fails).is_ok() {
            return Answer::Full(500, String::new(), b"no leader".to_vec());
        }
        let key = request.path.trim_start_matches("/v1/kv/").replace("%2F", "/");
        let change = |change: &dyn Fn(&mut Records)| {
            self.records.send_modify(|(index, records)| {
                *index += 1;
                change(records);
            });
            Answer::Full(200, String::new(), b"true\n".to_vec())
        };
        match request.method.as_str() {
            "PUT" => change(&|records| drop(records.insert(key.clone(), request.body.clone()))),
            "DELETE" => change(&|records| drop(records.remove(&key))),
            _ => self.list(&key, &request.query).await,
        }
    }

    async fn list(&self, start: &str, query: &str) -> Answer {
        let asked = query.split('&').find_map(|pair| pair.strip_prefix("index="));
        let asked: u64 = asked.map_or(0, |index| index.parse().unwrap());
        let mut records = self.records.subscribe();
        let wait = records.wait_for(|(index, _)| asked == 0 || *index != asked);
        // An unchanged list is answered after the wait as well.
        let _ = tokio::time::timeout(Duration::from_secs(1), wait).await;
        let (index, records) = self.records.borrow().clone();
        let listed: Vec<_> = records
            .iter()
            .filter(|(key, _)| key.starts_with(start))
            .map(|(key, value)| json!({ "Key": key, "Value": BASE64.encode(value) }))
            .collect();
        let header = format!("x-consul-index: {index}\r\n");
        match listed.is_empty() {
            true => Answer::Full(404, header, Vec::new()),
            false => Answer::Full(200, header, serde_json::to_vec(&listed).unwrap()),
        }
    }
}

fn stores(server: &FakeServer) -> ConsulStores {
    let config = ConsulConfig {
        host: server.address.clone(),
        acl_token: Some("secret".to_owned()),
        wait: Duration::from_secs(1),
        watch_interval: Duration::from_millis(5),
        ..ConsulConfig::default()
    };
    ConsulStores::new(&config, fake::client(), fake::environment()).unwrap()
}

#[tokio::test]
async fn two_processes_see_each_other() {
    let consul = FakeConsul::new();
    let server = consul.serve().await;
    fake::assert_works(&stores(&server), &stores(&server)).await;
    assert!(consul.tokens.lock().iter().all(|token| token == "secret"));
    assert_eq!(consul.records.borrow().1.len(), 1);
    assert!(consul.records.borrow().1.contains_key("collectors/distributor/a-1"));
}

#[tokio::test]
async fn passing_trouble_is_retried() {
    let consul = FakeConsul::new();
    let server = consul.serve().await;
    consul.failures.store(3, Ordering::Relaxed);
    let stores = stores(&server);
    let ring = stores.ring("ingester");
    ring.publish(&fake::instance("a", 1)).await.unwrap();
    fake::until(&mut ring.subscribe(), |members| members.get("a").is_some()).await;
}

#[tokio::test]
async fn an_index_that_goes_back_and_a_foreign_value_do_no_harm() {
    let consul = FakeConsul::new();
    let server = consul.serve().await;
    let stores = stores(&server);
    let ring = stores.ring("ingester");
    let mut members = ring.subscribe();
    ring.publish(&fake::instance("a", 1)).await.unwrap();
    fake::until(&mut members, |members| members.instances.len() == 1).await;
    let record = record::encode(&fake::instance("b", 1));
    // A restored server begins to count anew.
    consul.records.send_modify(|(index, records)| {
        *index = 1;
        records.insert("collectors/ingester/b".to_owned(), record);
        records.insert("collectors/ingester/c".to_owned(), b"something else".to_vec());
    });
    let seen = fake::until(&mut members, |members| members.instances.len() == 2).await;
    assert!(seen.get("a").is_some() && seen.get("b").is_some());
}

#[test]
fn a_bad_address_is_refused() {
    for host in ["", "http://"] {
        let config = ConsulConfig { host: host.to_owned(), ..ConsulConfig::default() };
        let refused = ConsulStores::new(&config, fake::client(), fake::environment());
        assert!(matches!(refused, Err(Error::Config(_))), "{host}");
    }
}
