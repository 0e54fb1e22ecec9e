//! Ingesters as the ring shows them: whom to ask, whom to write to, who stores first.

use std::sync::Arc;

use api::append::{AppendBatch, AppendOutcome};
use distributor::{Distributors, PeerError, Peers as AppendPeers, RingNow};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hash_ring::{Instance, Operation, Ring};
use ingester::Replicas as StoringReplicas;
use model::TenantId;
use rpc::ingester::Client;
use rpc::{Error, Pool};

use super::Rings;
use crate::app::App;

/// The rings as the distributor knows them.
pub struct RingView(pub Arc<Rings>);

impl RingNow for RingView {
    fn ring(&self) -> Ring {
        self.0.ingesters().ring()
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
    own: String,
    zone: String,
}

impl StoringOrder {
    /// The order as this process's ingester sees it.
    #[must_use]
    pub fn new(rings: Arc<Rings>, app: &App) -> Self {
        Self { rings, own: app.instance_id(), zone: super::zone(&app.config).to_owned() }
    }
}

impl StoringReplicas for StoringOrder {
    fn rank(&self, tenant: &TenantId) -> u32 {
        let ring = self.rings.ingesters().ring();
        // With zones the owners of a stream are in different ones; without, neighbours by name
        // differ in rank, and two of one rank both store, which only costs bytes.
        let mut places: Vec<&str> = if ring.config().zone_aware {
            ring.instances().iter().map(|instance| &*instance.zone).collect()
        } else {
            ring.instances().iter().map(|instance| &*instance.id).collect()
        };
        places.sort_unstable();
        places.dedup();
        let own = if ring.config().zone_aware { &self.zone } else { &self.own };
        let Ok(place) = places.binary_search(&own.as_str()) else { return 0 };
        let turn = hash_ring::token_of(tenant, model::Fingerprint(0)) as usize;
        let ranks = ring.replication_factor().min(places.len()).max(1);
        u32::try_from((place + turn) % ranks).unwrap_or(0)
    }
}
