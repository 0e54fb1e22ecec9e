//! Ingesters as the ring shows them: whom to ask, whom to write to, who stores first.

use std::sync::Arc;

use api::append::{AppendBatch, AppendOutcome};
use distributor::{Distributors, PeerError, Peers as AppendPeers, RingNow};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hash_ring::{Instance, Operation, Ring};
use ingester::Replicas as StoringReplicas;
use model::{TenantId, Timestamp};
use rpc::ingester::Client;
use rpc::{Error, Pool};

use super::Rings;
use crate::app::App;
use crate::config::overrides::Overrides;

/// The rings as the distributor knows them.
pub struct RingView(pub Arc<Rings>, pub Arc<Overrides>);

impl RingNow for RingView {
    fn ring(&self) -> Ring {
        self.0.ingesters().ring()
    }

    fn ring_of(&self, tenant: &TenantId) -> Ring {
        shard(&self.ring(), &self.1, tenant)
    }
}

impl Distributors for RingView {
    fn healthy(&self) -> usize {
        self.0.distributors().ring().healthy(Operation::Write, self.0.now())
    }
}

/// Appends to ingesters of the ring; to that of this process without a detour.
pub struct RingAppend {
    app: Arc<App>,
    own: String,
    pool: Arc<Pool>,
}

impl RingAppend {
    /// Appends over the connections of a pool.
    #[must_use]
    pub fn new(app: Arc<App>, pool: Arc<Pool>) -> Self {
        let own = app.instance_id();
        Self { app, own, pool }
    }
}

impl AppendPeers for RingAppend {
    fn append(
        &self,
        instance: &Arc<Instance>,
        batch: AppendBatch,
    ) -> BoxFuture<'static, Result<AppendOutcome, PeerError>> {
        if *instance.id == *self.own
            && let Some(ingester) = self.app.parts.ingester.find()
        {
            let append = async move {
                ingester.append(batch).await.map_err(|error| PeerError {
                    kind: error.kind(),
                    message: error.to_string(),
                    retry_after: error.retry_after(),
                })
            };
            return append.boxed();
        }
        let peer = self.pool.peer(&instance.address);
        let append = async move { Client::new(peer?).append(&batch).await };
        append.map(|answer| answer.map_err(failed)).boxed()
    }
}

fn failed(error: Error) -> PeerError {
    let Error { kind, message, retry_after, .. } = error;
    PeerError { kind, message, retry_after }
}

/// Who of the ingesters that share streams stores them first. Their order differs from tenant to
/// tenant, so that the work does not.
pub struct StoringOrder {
    rings: Arc<Rings>,
    overrides: Arc<Overrides>,
    own: String,
}

impl StoringOrder {
    /// The order as this process's ingester sees it.
    #[must_use]
    pub fn new(rings: Arc<Rings>, app: &App) -> Self {
        Self { rings, overrides: Arc::clone(&app.overrides), own: app.instance_id() }
    }
}

impl StoringReplicas for StoringOrder {
    fn rank(&self, tenant: &TenantId) -> u32 {
        let ring = shard(&self.rings.ingesters().ring(), &self.overrides, tenant);
        rank(&ring, &self.own, tenant, self.rings.now())
    }
}

/// How many of those that share a tenant's streams with `own` store them before it. Only those
/// count that can store now: nobody waits for one that is dead or silent.
fn rank(ring: &Ring, own: &str, tenant: &TenantId, now: Timestamp) -> u32 {
    let Some(own) = ring.instance(own) else { return 0 };
    // With zones the owners of a stream are in different ones; without, neighbours by name differ
    // in rank, and two of one rank both store, which only costs bytes.
    let place = |instance: &Instance| match ring.config().zone_aware {
        true => Arc::clone(&instance.zone),
        false => Arc::clone(&instance.id),
    };
    let mut places: Vec<Arc<str>> =
        ring.healthy_instances(Operation::Read, now).map(|other| place(other)).collect();
    places.sort_unstable();
    places.dedup();
    // One that others take for dead stores what it has.
    let Ok(place) = places.binary_search(&place(own)) else { return 0 };
    let turn = hash_ring::token_of(tenant, model::Fingerprint(0)) as usize;
    let ranks = ring.replication_factor().min(places.len()).max(1);
    u32::try_from((place + turn) % ranks).unwrap_or(0)
}

/// The ingesters that keep a tenant's streams.
fn shard(ring: &Ring, overrides: &Overrides, tenant: &TenantId) -> Ring {
    let size = overrides.limits_for(tenant).ingestion_tenant_shard_size;
    if size == 0 {
        return ring.clone();
    }
    // Fewer could not hold all replicas.
    ring.shuffle_shard(tenant.as_str(), size.max(ring.replication_factor()), None)
}

#[cfg(test)]
mod tests;
