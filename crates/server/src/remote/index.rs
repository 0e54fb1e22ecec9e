//! Asking index gateways which segments exist, for a process that does not list object storage.
//!
//! A tenant's questions go to the same gateway, whose caches then hold that tenant's footers; when
//! it does not answer, to the next one. When none answers the store asks object storage itself.

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hash_ring::{Operation, RingClient, token_of};
use model::{ErrorKind, Fingerprint, TenantId};
use parking_lot::Mutex;
use rpc::Pool;
use rpc::index::{self, Client};
use runtime::clock::Clock;
use segment::SegmentName;
use store::{DeleteRequest, DeleteState, Error, Index, SegmentsAsk, SegmentsFound, StoredSegment};

use super::appender::spread;
use crate::config::overrides::Overrides;

/// How many gateways are asked one question before object storage is.
const ATTEMPTS: usize = 3;
/// How long the addresses behind a name are used.
const RESOLVED_FOR: Duration = Duration::from_secs(10);
/// What may stand in front of a name to have all its addresses used.
const NAME_PREFIXES: [&str; 2] = ["dns:///", "dns+"];

/// The index gateways of a cluster.
pub struct Gateways {
    finding: Finding,
    pool: Arc<Pool>,
    overrides: Arc<Overrides>,
    clock: Arc<dyn Clock>,
}

/// How gateways are found.
pub enum Finding {
    /// They are named, by addresses or by names that stand for several.
    Named(Names),
    /// They are in a ring.
    Ring(Arc<RingClient>),
}

/// Addresses, and names that stand for several.
pub struct Names {
    given: Vec<String>,
    /// What the names stood for, and when that was asked.
    resolved: Mutex<Option<(Duration, Vec<Arc<str>>)>>,
}

impl Names {
    /// Addresses as `host:port`; those that begin with `dns:///` or `dns+` stand for every address
    /// that the name has.
    #[must_use]
    pub fn new(given: &[String]) -> Self {
        Self { given: given.to_vec(), resolved: Mutex::default() }
    }

    async fn addresses(&self, clock: &dyn Clock) -> Vec<Arc<str>> {
        let now = clock.monotonic();
        let known = self.resolved.lock().clone();
        if let Some((at, addresses)) = &known
            && now.saturating_sub(*at) < RESOLVED_FOR
        {
            return addresses.clone();
        }
        let mut addresses: Vec<Arc<str>> = Vec::new();
        for given in &self.given {
            let name = NAME_PREFIXES.iter().find_map(|prefix| given.strip_prefix(prefix));
            let Some(name) = name else {
                addresses.push(given.as_str().into());
                continue;
            };
            match tokio::net::lookup_host(name).await {
                Ok(found) => addresses.extend(found.map(|address| address.to_string().into())),
                Err(error) => tracing::warn!(name, %error, "look up index gateways"),
            }
        }
        addresses.sort();
        addresses.dedup();
        if addresses.is_empty()
            && let Some((_, before)) = known
        {
            // A name server that fails for a moment does not make gateways vanish.
            addresses = before;
        }
        *self.resolved.lock() = Some((now, addresses.clone()));
        addresses
    }
}

impl Gateways {
    /// Asks gateways over the connections of a pool.
    #[must_use]
    pub fn new(
        finding: Finding,
        pool: Arc<Pool>,
        overrides: Arc<Overrides>,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { finding, pool, overrides, clock }
    }

    /// Whom to ask about a tenant, best first.
    async fn candidates(&self, tenant: Option<&TenantId>) -> Vec<Arc<str>> {
        let mut found = match &self.finding {
            Finding::Named(names) => {
                let mut addresses = names.addresses(&*self.clock).await;
                let name = tenant.map_or("", TenantId::as_str);
                let first = spread(name, addresses.len()).unwrap_or(0);
                addresses.rotate_left(first);
                addresses
            }
            Finding::Ring(ring) => self.of_ring(ring, tenant),
        };
        // Gateways that did not answer just now come last.
        let rests =
            |address: &Arc<str>| !self.pool.peer(address).is_ok_and(|peer| peer.may_be_asked());
        found.sort_by_key(rests);
        found.truncate(ATTEMPTS);
        found
    }

    fn of_ring(&self, ring: &RingClient, tenant: Option<&TenantId>) -> Vec<Arc<str>> {
        let now = self.clock.now();
        let whole = ring.ring();
        let Some(tenant) = tenant else {
            let all = whole.healthy_instances(Operation::Read, now);
            return all.map(|instance| Arc::clone(&instance.address)).collect();
        };
        let size = self.overrides.limits_for(tenant).index_gateway_shard_size;
        let shard = whole.shuffle_shard(tenant.as_str(), size, None);
        let owner = shard.owners(token_of(tenant, Fingerprint(0)), Operation::Read, now);
        let owner = owner.ok().and_then(|set| set.instances.first().cloned());
        let others = shard.healthy_instances(Operation::Read, now);
        let mut addresses: Vec<Arc<str>> = Vec::new();
        for address in owner.iter().chain(others).map(|instance| &instance.address) {
            if !addresses.contains(address) {
                addresses.push(Arc::clone(address));
            }
        }
        addresses
    }

    /// Asks one gateway after the other until one answers.
    async fn ask<T, F>(
        &self,
        tenant: Option<&TenantId>,
        ask: impl Fn(Client) -> F,
    ) -> Result<T, Error>
    where
        F: Future<Output = Result<T, rpc::Error>>,
    {
        let mut why = "no index gateway is known".to_owned();
        for address in self.candidates(tenant).await {
            let asked = match self.pool.peer(&address) {
                Ok(peer) => ask(Client::new(peer)).await,
                Err(error) => Err(error),
            };
            match asked {
                Ok(answer) => return Ok(answer),
                Err(error) if error.kind == ErrorKind::NotFound => {
                    return Err(Error::Index { message: error.message, kind: error.kind });
                }
                Err(error) => {
                    tracing::debug!(%address, %error, "ask an index gateway");
                    why = error.message;
                }
            }
        }
        Err(Error::Index { message: why, kind: ErrorKind::Unavailable })
    }
}

impl Index for Gateways {
    fn segments<'a>(&'a self, ask: SegmentsAsk<'a>) -> BoxFuture<'a, Result<SegmentsFound, Error>> {
        async move {
            let question = index::SegmentsAsk {
                tenant: ask.tenant.clone(),
                range: ask.range,
                told: ask.told.map(encode_told),
                list: ask.list,
            };
            let question = &question;
            let asked = self
                .ask(Some(ask.tenant), |gateway| async move { gateway.segments(question).await });
            let answer = asked.await?;
            Ok(SegmentsFound { live: decode(answer.live)?, known: decode(answer.known)? })
        }
        .boxed()
    }

    fn deletes(&self) -> BoxFuture<'_, Result<Vec<DeleteRequest>, Error>> {
        async move {
            let asked = self.ask(None, |gateway| async move { gateway.deletes().await });
            let requests = asked.await?.into_iter().map(|delete| DeleteRequest {
                id: delete.id,
                tenant: delete.tenant,
                query: delete.query,
                start: delete.start,
                end: delete.end,
                created: delete.created,
                state: match delete.state {
                    0 => DeleteState::Received,
                    1 => DeleteState::Begun,
                    _ => DeleteState::Processed,
                },
            });
            Ok(requests.collect())
        }
        .boxed()
    }

    fn parts<'a>(
        &'a self,
        segment: &'a StoredSegment,
        ranges: &'a [Range<u64>],
    ) -> BoxFuture<'a, Result<Vec<Bytes>, Error>> {
        async move {
            let question = index::PartsAsk {
                segment: segment.name.to_string(),
                object_bytes: segment.bytes,
                ranges: ranges.to_vec(),
            };
            let question = &question;
            let tenant = segment.name.tenant();
            self.ask(Some(tenant), |gateway| async move { gateway.parts(question).await }).await
        }
        .boxed()
    }
}

fn encode_told(told: &store::Told) -> index::Told {
    let stored = told.stored.iter();
    index::Told {
        asker: told.asker,
        generation: told.generation,
        holders: told.holders.clone(),
        stored: stored.map(|segment| (segment.name.to_string(), segment.bytes)).collect(),
    }
}

fn decode(named: Vec<index::Named>) -> Result<Vec<StoredSegment>, Error> {
    let decode = |(name, bytes): index::Named| match SegmentName::parse(&name) {
        Ok(name) => Ok(StoredSegment { name, bytes }),
        Err(error) => Err(Error::Index { message: error.to_string(), kind: ErrorKind::Corrupt }),
    };
    named.into_iter().map(decode).collect()
}

#[cfg(test)]
mod tests {
    use runtime::clock::ManualClock;

    use super::*;

    #[tokio::test]
    async fn names_stand_for_addresses() {
        let clock = ManualClock::default();
        let given = ["host-2:1", "dns+127.0.0.1:9", "host-1:1"].map(str::to_owned);
        let names = Names::new(&given);
        let addresses = names.addresses(&clock).await;
        assert_eq!(
            addresses.iter().map(|a| &**a).collect::<Vec<_>>(),
            ["127.0.0.1:9", "host-1:1", "host-2:1"]
        );
    }
}
