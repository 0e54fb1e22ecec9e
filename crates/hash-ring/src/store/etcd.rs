//! Rings in etcd, through the JSON gateway that every etcd from 3.4 on serves.
//!
//! A follower reads all records of a ring once and watches them from that revision on; when the
//! watch ends or is silent for too long, it begins anew. A lease is optional: with one, the record
//! of a process that dies vanishes by itself; without, it becomes UNHEALTHY and waits to be
//! forgotten, which is what a ring of ingesters wants.

mod wire;

#[cfg(test)]
pub(super) mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use reqwest::{RequestBuilder, StatusCode};
use runtime::backoff::Backoff;
use runtime::task::{self, AbortOnDrop};
use serde::de::DeserializeOwned;
use serde_json::{Value, json};
use tokio::sync::watch;

use super::http::{CallError, Endpoints, REQUEST_TIMEOUT};
use super::trouble::Trouble;
use super::{Environment, FOLLOW_RETRIES, Members, RingStore, RingStores, record};
use crate::Error;
use crate::instance::Instance;
use wire::{Event, KeyValue, Lines};

/// Somebody's heartbeat arrives far more often; a watch that is silent for longer is dead.
const WATCH_SILENCE_MAX: Duration = Duration::from_secs(60);

/// How to reach etcd.
#[derive(Clone)]
pub struct EtcdConfig {
    /// `host:port` or a URL, of one or more servers of one cluster.
    pub endpoints: Vec<String>,
    /// What all keys begin with, such as `collectors/`.
    pub prefix: String,
    /// User and password, if etcd asks for them.
    pub credentials: Option<(String, String)>,
    /// How long a record survives its process; for ever when `None`.
    pub lease: Option<Duration>,
}

impl Default for EtcdConfig {
    fn default() -> Self {
        Self {
            endpoints: vec!["localhost:2379".to_owned()],
            prefix: "collectors/".to_owned(),
            credentials: None,
            lease: None,
        }
    }
}

impl std::fmt::Debug for EtcdConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("EtcdConfig")
            .field("endpoints", &self.endpoints)
            .field("prefix", &self.prefix)
            .field("user", &self.credentials.as_ref().map(|(user, _)| user))
            .field("lease", &self.lease)
            .finish_non_exhaustive()
    }
}

/// Rings in etcd.
pub struct EtcdStores(Arc<Etcd>);

struct Etcd {
    endpoints: Endpoints,
    prefix: String,
    credentials: Option<(String, String)>,
    /// What etcd gave for the credentials.
    token: Mutex<Option<String>>,
    lease_ttl: Option<Duration>,
    lease: tokio::sync::Mutex<Option<String>>,
    trouble: Trouble,
}

impl EtcdStores {
    /// Nothing is asked of etcd yet.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when there is no usable address.
    pub fn new(
        config: &EtcdConfig,
        http: reqwest::Client,
        environment: Environment,
    ) -> Result<Self, Error> {
        let trouble = Trouble::new("etcd", &environment.metrics);
        let endpoints = Endpoints::new("etcd", &config.endpoints, http, environment)?;
        Ok(Self(Arc::new(Etcd {
            endpoints,
            prefix: config.prefix.clone(),
            credentials: config.credentials.clone(),
            token: Mutex::default(),
            lease_ttl: config.lease,
            lease: tokio::sync::Mutex::default(),
            trouble,
        })))
    }
}

impl RingStores for EtcdStores {
    fn ring(&self, name: &str) -> Arc<dyn RingStore> {
        let (sender, members) = watch::channel(Members::default());
        let etcd = Arc::clone(&self.0);
        let ring = name.to_owned();
        let follower = task::spawn("etcd ring", async move { etcd.follow(&ring, &sender).await });
        Arc::new(EtcdStore {
            etcd: Arc::clone(&self.0),
            ring: name.to_owned(),
            members,
            _follower: AbortOnDrop(follower),
        })
    }
}

struct EtcdStore {
    etcd: Arc<Etcd>,
    ring: String,
    members: watch::Receiver<Members>,
    _follower: AbortOnDrop<()>,
}

impl RingStore for EtcdStore {
    fn publish(&self, instance: &Instance) -> BoxFuture<'_, Result<(), Error>> {
        let key = BASE64.encode(self.etcd.key(&self.ring, &instance.id));
        let value = BASE64.encode(record::encode(instance));
        Box::pin(async move {
            let (etcd, key, value) = (&*self.etcd, &key, &value);
            etcd.endpoints.retried(move || etcd.put(key, value).boxed()).await
        })
    }

    fn withdraw(&self, id: &str) -> BoxFuture<'_, Result<(), Error>> {
        self.forget(id)
    }

    fn forget(&self, id: &str) -> BoxFuture<'_, Result<(), Error>> {
        let ask = json!({ "key": BASE64.encode(self.etcd.key(&self.ring, id)) });
        Box::pin(async move {
            let (etcd, ask) = (&*self.etcd, &ask);
            let delete = move || etcd.call::<Value>("kv/deleterange", ask).boxed();
            etcd.endpoints.retried(delete).await.map(drop)
        })
    }

    fn subscribe(&self) -> watch::Receiver<Members> {
        self.members.clone()
    }
}

impl Etcd {
    fn key(&self, ring: &str, id: &str) -> String {
        format!("{}{ring}/{id}", self.prefix)
    }

    /// The bounds of all keys of a ring, as the gateway wants them.
    fn range(&self, ring: &str) -> (String, String) {
        let start = self.key(ring, "");
        let mut end = start.clone().into_bytes();
        // The last byte is the slash, so there is a byte after it.
        if let Some(last) = end.last_mut() {
            *last += 1;
        }
        (BASE64.encode(start), BASE64.encode(end))
    }

    /// Posts to `/v3/<path>` and reads the answer. Logs in first when that is needed.
    async fn call<T: DeserializeOwned>(&self, path: &str, ask: &Value) -> Result<T, CallError> {
        let request = self.request(path, ask).await?.timeout(REQUEST_TIMEOUT);
        let answer = self.endpoints.send(request).await;
        if let Err(CallError::Refused { status: StatusCode::UNAUTHORIZED, .. }) = &answer
            && self.credentials.is_some()
        {
            // Tokens expire; the next attempt gets a new one.
            *self.token.lock() = None;
            return Err(CallError::Again("the token has expired".to_owned()));
        }
        Ok(answer?.json().await?)
    }

    async fn request(&self, path: &str, ask: &Value) -> Result<RequestBuilder, CallError> {
        let segments = std::iter::once("v3").chain(path.split('/'));
        let request = self.endpoints.client.post(self.endpoints.url(segments)).json(ask);
        let Some((name, password)) = &self.credentials else { return Ok(request) };
        let known = self.token.lock().clone();
        let token = match known {
            Some(token) => token,
            None => {
                let url = self.endpoints.url(["v3", "auth", "authenticate"]);
                let login = json!({ "name": name, "password": password });
                let login = self.endpoints.client.post(url).json(&login).timeout(REQUEST_TIMEOUT);
                let answer: wire::Login = self.endpoints.send(login).await?.json().await?;
                *self.token.lock() = Some(answer.token.clone());
                answer.token
            }
        };
        Ok(request.header("authorization", token))
    }

    async fn put(&self, key: &str, value: &str) -> Result<(), CallError> {
        let mut ask = json!({ "key": key, "value": value });
        if let Some(lease) = self.lease().await? {
            ask["lease"] = Value::String(lease);
        }
        self.call::<Value>("kv/put", &ask).await.map(drop)
    }

    /// The lease of this process, kept alive or granted anew; `None` when none is used.
    async fn lease(&self) -> Result<Option<String>, CallError> {
        let Some(ttl) = self.lease_ttl else { return Ok(None) };
        let mut lease = self.lease.lock().await;
        if let Some(id) = &*lease {
            let kept: wire::Kept = self.call("lease/keepalive", &json!({ "ID": id })).await?;
            if kept.is_alive() {
                return Ok(Some(id.clone()));
            }
        }
        let ask = json!({ "TTL": ttl.as_secs().max(1).to_string() });
        let granted: wire::Granted = self.call("lease/grant", &ask).await?;
        *lease = Some(granted.id.clone());
        Ok(Some(granted.id))
    }

    /// Shows the members of a ring for as long as the task lives.
    async fn follow(&self, ring: &str, members: &watch::Sender<Members>) {
        let environment = &self.endpoints.environment;
        let mut backoff = Backoff::new(FOLLOW_RETRIES);
        loop {
            let error = match self.follow_once(ring, members, &mut backoff).await {
                Ok(()) => "the watch ended".to_owned(),
                Err(error) => error.to_string(),
            };
            self.trouble.failed("follow", ring, &error);
            self.endpoints.rotate();
            let wait = backoff.next_wait(&*environment.random).unwrap_or(FOLLOW_RETRIES.max);
            environment.clock.sleep(wait).await;
        }
    }

    async fn follow_once(
        &self,
        ring: &str,
        members: &watch::Sender<Members>,
        backoff: &mut Backoff,
    ) -> Result<(), CallError> {
        let (key, range_end) = self.range(ring);
        let ask = json!({ "key": key, "range_end": range_end });
        let listed: wire::Range = self.call("kv/range", &ask).await?;
        let mut records = BTreeMap::new();
        for pair in &listed.kvs {
            self.apply(ring, pair, false, &mut records);
        }
        members.send_replace(Members::loaded(&records));
        let revision = listed.header.revision + 1;
        let ask = json!({ "create_request": {
            "key": key, "range_end": range_end, "start_revision": revision.to_string(),
        } });
        let watch = self.request("watch", &ask).await?;
        let mut response = self.endpoints.send(watch).await?;
        self.trouble.succeeded("follow", ring);
        backoff.reset();
        let mut lines = Lines::default();
        loop {
            let silence = self.endpoints.environment.clock.sleep(WATCH_SILENCE_MAX);
            let chunk = tokio::select! {
                chunk = response.chunk() => chunk?,
                () = silence => return Err(CallError::Again("the watch is silent".to_owned())),
            };
            let Some(chunk) = chunk else { return Ok(()) };
            let events = lines.events(&chunk).map_err(CallError::Again)?;
            if events.is_empty() {
                continue;
            }
            for Event { is_delete, pair } in &events {
                self.apply(ring, pair, *is_delete, &mut records);
            }
            members.send_replace(Members::loaded(&records));
        }
    }

    fn apply(
        &self,
        ring: &str,
        pair: &KeyValue,
        is_delete: bool,
        records: &mut BTreeMap<Arc<str>, Arc<Instance>>,
    ) {
        let key = BASE64.decode(&pair.key).unwrap_or_default();
        let start = self.key(ring, "");
        let Some(id) = key.strip_prefix(start.as_bytes()).and_then(|id| str::from_utf8(id).ok())
        else {
            return;
        };
        if is_delete {
            records.remove(id);
            return;
        }
        let value = BASE64.decode(&pair.value).unwrap_or_default();
        match record::decode(&value) {
            Ok(instance) => drop(records.insert(id.into(), Arc::new(instance))),
            Err(error) => self.trouble.misread(ring, &error),
        }
    }
}
