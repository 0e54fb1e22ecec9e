//! Rings in Consul, through its key-value HTTP interface.
//!
//! A follower reads all records of a ring and asks again with the index it was given; Consul
//! answers when something has changed or the wait is over. Answers are asked for at most once a
//! second, so that many heartbeats cost one answer.

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD as BASE64;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use reqwest::{Method, RequestBuilder, Response, StatusCode, Url};
use runtime::backoff::Backoff;
use runtime::task::{self, AbortOnDrop};
use serde::Deserialize;
use tokio::sync::watch;

use super::http::{CallError, Endpoints, REQUEST_TIMEOUT};
use super::trouble::Trouble;
use super::{Environment, FOLLOW_RETRIES, Members, RingStore, RingStores, record};
use crate::Error;
use crate::instance::Instance;

/// How to reach Consul.
#[derive(Clone)]
pub struct ConsulConfig {
    /// `host:port` or a URL of the agent.
    pub host: String,
    /// What all keys begin with, such as `collectors/`.
    pub prefix: String,
    /// The ACL token, if Consul asks for one.
    pub acl_token: Option<String>,
    /// How long Consul holds a question about changes.
    pub wait: Duration,
    /// The least time between two answers about changes.
    pub watch_interval: Duration,
}

impl Default for ConsulConfig {
    fn default() -> Self {
        Self {
            host: "localhost:8500".to_owned(),
            prefix: "collectors/".to_owned(),
            acl_token: None,
            wait: Duration::from_secs(10),
            watch_interval: Duration::from_secs(1),
        }
    }
}

impl std::fmt::Debug for ConsulConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("ConsulConfig")
            .field("host", &self.host)
            .field("prefix", &self.prefix)
            .field("wait", &self.wait)
            .field("watch_interval", &self.watch_interval)
            .finish_non_exhaustive()
    }
}

/// Rings in Consul.
pub struct ConsulStores(Arc<Consul>);

struct Consul {
    endpoints: Endpoints,
    config: ConsulConfig,
    trouble: Trouble,
}

impl ConsulStores {
    /// Nothing is asked of Consul yet.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when the address is not usable.
    pub fn new(
        config: &ConsulConfig,
        http: reqwest::Client,
        environment: Environment,
    ) -> Result<Self, Error> {
        let trouble = Trouble::new("consul", &environment.metrics);
        let hosts = [config.host.clone()];
        let endpoints = Endpoints::new("consul", &hosts, http, environment)?;
        Ok(Self(Arc::new(Consul { endpoints, config: config.clone(), trouble })))
    }
}

impl RingStores for ConsulStores {
    fn ring(&self, name: &str) -> Arc<dyn RingStore> {
        let (sender, members) = watch::channel(Members::default());
        let consul = Arc::clone(&self.0);
        let ring = name.to_owned();
        let follower =
            task::spawn("consul ring", async move { consul.follow(&ring, &sender).await });
        Arc::new(ConsulStore {
            consul: Arc::clone(&self.0),
            ring: name.to_owned(),
            members,
            _follower: AbortOnDrop(follower),
        })
    }
}

struct ConsulStore {
    consul: Arc<Consul>,
    ring: String,
    members: watch::Receiver<Members>,
    _follower: AbortOnDrop<()>,
}

impl RingStore for ConsulStore {
    fn publish(&self, instance: &Instance) -> BoxFuture<'_, Result<(), Error>> {
        let (id, value) = (Arc::clone(&instance.id), record::encode(instance));
        Box::pin(async move {
            let (consul, id, value) = (&*self.consul, &*id, &value);
            consul.endpoints.retried(move || consul.put(&self.ring, id, value).boxed()).await
        })
    }

    fn withdraw(&self, id: &str) -> BoxFuture<'_, Result<(), Error>> {
        self.forget(id)
    }

    fn forget(&self, id: &str) -> BoxFuture<'_, Result<(), Error>> {
        let id = id.to_owned();
        Box::pin(async move {
            let (consul, id) = (&*self.consul, id.as_str());
            consul.endpoints.retried(move || consul.delete(&self.ring, id).boxed()).await
        })
    }

    fn subscribe(&self) -> watch::Receiver<Members> {
        self.members.clone()
    }
}

/// One key as Consul lists it.
#[derive(Debug, Deserialize)]
struct Listed {
    #[serde(rename = "Key")]
    key: String,
    /// In base64; null when the value is empty.
    #[serde(rename = "Value")]
    value: Option<String>,
}

impl Consul {
    /// The segments of an instance's key, or of all keys of a ring with an empty `id`.
    fn key<'a>(&'a self, ring: &'a str, id: &'a str) -> impl Iterator<Item = &'a str> {
        self.config.prefix.split('/').filter(|part| !part.is_empty()).chain([ring, id])
    }

    fn url(&self, ring: &str, id: &str) -> Url {
        self.endpoints.url(["v1", "kv"].into_iter().chain(self.key(ring, id)))
    }

    fn request(&self, method: Method, ring: &str, id: &str) -> RequestBuilder {
        self.authorised(self.endpoints.client.request(method, self.url(ring, id)))
    }

    fn authorised(&self, request: RequestBuilder) -> RequestBuilder {
        match &self.config.acl_token {
            Some(token) => request.header("X-Consul-Token", token),
            None => request,
        }
    }

    async fn put(&self, ring: &str, id: &str, value: &[u8]) -> Result<(), CallError> {
        let request = self.request(Method::PUT, ring, id).timeout(REQUEST_TIMEOUT);
        let answer = self.endpoints.send(request.body(value.to_vec())).await?.text().await?;
        match answer.trim() {
            "true" => Ok(()),
            answer => Err(CallError::Again(format!("put was answered {answer:?}"))),
        }
    }

    async fn delete(&self, ring: &str, id: &str) -> Result<(), CallError> {
        let request = self.request(Method::DELETE, ring, id).timeout(REQUEST_TIMEOUT);
        self.endpoints.send(request).await.map(drop)
    }

    /// Shows the members of a ring for as long as the task lives.
    async fn follow(&self, ring: &str, members: &watch::Sender<Members>) {
        let environment = &self.endpoints.environment;
        let mut backoff = Backoff::new(FOLLOW_RETRIES);
        let mut index = 0;
        loop {
            let wait = match self.list(ring, index).await {
                Ok((records, new)) => {
                    // Consul asks for this: an index that went back, or is 0, means nothing.
                    index = if new < index { 0 } else { new.max(1) };
                    self.trouble.succeeded("follow", ring);
                    backoff.reset();
                    members.send_replace(Members::loaded(&records));
                    self.config.watch_interval
                }
                Err(error) => {
                    self.trouble.failed("follow", ring, &error);
                    index = 0;
                    backoff.next_wait(&*environment.random).unwrap_or(FOLLOW_RETRIES.max)
                }
            };
            environment.clock.sleep(wait).await;
        }
    }

    /// The records of a ring, after a change since `index`, and the index to ask with next.
    async fn list(
        &self,
        ring: &str,
        index: u64,
    ) -> Result<(BTreeMap<Arc<str>, Arc<Instance>>, u64), CallError> {
        let mut url = self.url(ring, "");
        url.set_query(Some("recurse=true"));
        if index > 0 {
            let wait = self.config.wait.as_secs().max(1);
            url.set_query(Some(&format!("recurse=true&index={index}&wait={wait}s")));
        }
        let request = self.authorised(self.endpoints.client.get(url));
        let response = request.timeout(self.config.wait * 2 + REQUEST_TIMEOUT).send().await?;
        let new = index_of(&response);
        if response.status() == StatusCode::NOT_FOUND {
            return Ok((BTreeMap::new(), new));
        }
        if !response.status().is_success() {
            return Err(CallError::Again(format!("listing was answered {}", response.status())));
        }
        let listed: Vec<Listed> = response.json().await?;
        let mut records = BTreeMap::new();
        let start = self.key(ring, "").collect::<Vec<_>>().join("/");
        for Listed { key, value } in listed {
            let bytes = BASE64.decode(value.unwrap_or_default()).unwrap_or_default();
            let Some(id) = key.strip_prefix(&start) else { continue };
            match record::decode(&bytes) {
                Ok(instance) => drop(records.insert(Arc::from(id), Arc::new(instance))),
                Err(error) => self.trouble.misread(ring, &error),
            }
        }
        Ok((records, new))
    }
}

fn index_of(response: &Response) -> u64 {
    let header = response.headers().get("x-consul-index");
    header.and_then(|index| index.to_str().ok()?.parse().ok()).unwrap_or_default()
}
