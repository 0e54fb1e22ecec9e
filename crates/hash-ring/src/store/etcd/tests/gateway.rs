//! As much of etcd's JSON gateway as a ring needs.

use std::sync::atomic::AtomicUsize;

use tokio::sync::mpsc;

use super::super::super::fake::{Answer, FakeServer, Request};
use super::*;

type Watch = (Vec<u8>, Vec<u8>, mpsc::UnboundedSender<Vec<u8>>);

#[derive(Default)]
pub(super) struct FakeEtcd {
    state: Mutex<State>,
    /// How many requests are still answered with 503.
    pub(super) failures: AtomicUsize,
    pub(super) password: Mutex<Option<String>>,
    /// Only the token of the last login is good.
    pub(super) logins: AtomicUsize,
}

#[derive(Default)]
struct State {
    revision: i64,
    /// Value and lease.
    pairs: BTreeMap<Vec<u8>, (Vec<u8>, Option<String>)>,
    events: Vec<(i64, Vec<u8>, Value)>,
    watches: Vec<Watch>,
    leases: usize,
    live_leases: Vec<String>,
}

impl FakeEtcd {
    pub(super) async fn start() -> (Arc<Self>, FakeServer) {
        let etcd = Arc::new(Self::default());
        let shared = Arc::clone(&etcd);
        let handler = move |request| {
            let answer = shared.answer(&request);
            std::future::ready(answer).boxed()
        };
        let server = FakeServer::start(Arc::new(handler)).await;
        (etcd, server)
    }

    pub(super) fn cut_watches(&self) {
        self.state.lock().watches.clear();
    }

    fn answer(&self, request: &Request) -> Answer {
        let refused = |status, text: &str| Answer::Full(status, String::new(), text.into());
        let fails = |left: usize| left.checked_sub(1);
        if self.failures.fetch_update(Ordering::Relaxed, Ordering::Relaxed, fails).is_ok() {
            return refused(503, "etcdserver: no leader");
        }
        let ask: Value = serde_json::from_slice(&request.body).unwrap();
        if let Some(password) = &*self.password.lock() {
            if request.path == "/v3/auth/authenticate" {
                if ask["password"] != password.as_str() {
                    return refused(400, "etcdserver: authentication failed");
                }
                let login = self.logins.fetch_add(1, Ordering::Relaxed) + 1;
                return json_answer(&json!({ "token": format!("token-{login}") }));
            }
            let good = format!("authorization: token-{}", self.logins.load(Ordering::Relaxed));
            if !request.header.contains(&good) {
                return refused(401, "etcdserver: invalid auth token");
            }
        }
        let mut state = self.state.lock();
        match request.path.as_str() {
            "/v3/kv/range" => json_answer(&state.range(&ask)),
            "/v3/kv/put" => {
                let lease = ask["lease"].as_str().map(str::to_owned);
                state.change(decoded(&ask["key"]), Some((decoded(&ask["value"]), lease)));
                json_answer(&json!({}))
            }
            "/v3/kv/deleterange" => {
                state.change(decoded(&ask["key"]), None);
                json_answer(&json!({}))
            }
            "/v3/watch" => Answer::Stream(state.watch(&ask["create_request"])),
            path => json_answer(&state.lease(path, &ask)),
        }
    }
}

impl State {
    fn range(&self, ask: &Value) -> Value {
        let (start, end) = (decoded(&ask["key"]), decoded(&ask["range_end"]));
        let pairs: Vec<Value> = self
            .pairs
            .range(start..end)
            .map(|(key, (value, _))| json!({ "key": BASE64.encode(key), "value": BASE64.encode(value) }))
            .collect();
        json!({ "header": { "revision": self.revision.to_string() }, "kvs": pairs })
    }

    fn change(&mut self, key: Vec<u8>, pair: Option<(Vec<u8>, Option<String>)>) {
        self.revision += 1;
        let mut event = json!({ "kv": { "key": BASE64.encode(&key) } });
        match pair {
            Some(pair) => {
                event["kv"]["value"] = BASE64.encode(&pair.0).into();
                self.pairs.insert(key.clone(), pair);
            }
            None => {
                event["type"] = "DELETE".into();
                self.pairs.remove(&key);
            }
        }
        for (start, end, sender) in &self.watches {
            if *start <= key && key < *end {
                let _ = sender.send(line(std::slice::from_ref(&event)));
            }
        }
        self.events.push((self.revision, key, event));
    }

    fn watch(&mut self, ask: &Value) -> mpsc::UnboundedReceiver<Vec<u8>> {
        let (sender, receiver) = mpsc::unbounded_channel();
        let (start, end) = (decoded(&ask["key"]), decoded(&ask["range_end"]));
        let from: i64 = ask["start_revision"].as_str().unwrap().parse().unwrap();
        let missed: Vec<Value> = self
            .events
            .iter()
            .filter(|(revision, key, _)| *revision >= from && start <= *key && *key < end)
            .map(|(_, _, event)| event.clone())
            .collect();
        let _ = sender.send(b"{\"result\":{\"created\":true}}\n".to_vec());
        let _ = sender.send(line(&missed));
        self.watches.push((start, end, sender));
        receiver
    }

    fn lease(&mut self, path: &str, ask: &Value) -> Value {
        let id = ask["ID"].as_str().unwrap_or_default().to_owned();
        match path {
            "/v3/lease/grant" => {
                self.leases += 1;
                self.live_leases.push(self.leases.to_string());
                json!({ "ID": self.leases.to_string(), "TTL": ask["TTL"] })
            }
            "/v3/lease/keepalive" if self.live_leases.contains(&id) => {
                json!({ "result": { "ID": id, "TTL": "30" } })
            }
            "/v3/lease/keepalive" => json!({ "result": { "ID": id } }),
            "/v3/lease/revoke" => {
                self.live_leases.retain(|live| *live != id);
                let of_lease = |(key, (_, lease)): (&Vec<u8>, &(Vec<u8>, Option<String>))| {
                    (lease.as_ref() == Some(&id)).then(|| key.clone())
                };
                let gone: Vec<_> = self.pairs.iter().filter_map(of_lease).collect();
                gone.into_iter().for_each(|key| self.change(key, None));
                json!({})
            }
            path => panic!("{path} is not faked"),
        }
    }
}

fn json_answer(answer: &Value) -> Answer {
    Answer::Full(200, String::new(), serde_json::to_vec(answer).unwrap())
}

fn line(events: &[Value]) -> Vec<u8> {
    let mut line = serde_json::to_vec(&json!({ "result": { "events": events } })).unwrap();
    line.push(b'\n');
    line
}

fn decoded(text: &Value) -> Vec<u8> {
    BASE64.decode(text.as_str().unwrap()).unwrap()
}
