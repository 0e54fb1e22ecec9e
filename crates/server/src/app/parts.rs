//! The roles of this process, as they come up.

use std::sync::{Arc, OnceLock};

use crate::grpc::Scheduler;
use crate::http::error::HttpError;
use crate::remote::cluster::Cluster;
use crate::ring::Rings;

/// The roles; one whose module is not part of the process, or does not run yet, is absent.
#[derive(Default)]
pub struct Parts {
    /// Stored segments.
    pub store: Slot<store::Store>,
    /// Recent entries.
    pub ingester: Slot<ingester::Ingester>,
    /// The ingesters of other processes; absent where this process uses its own.
    pub cluster: Slot<Cluster>,
    /// Connections to other processes, once somebody needs one.
    pub pool: Slot<rpc::Pool>,
    /// The rings that this process follows; absent where it is alone.
    pub rings: Slot<Rings>,
    /// Queues of queries, for frontends and queriers elsewhere.
    pub scheduler: Slot<Scheduler>,
    /// Queries.
    pub querier: Slot<querier::Querier>,
    /// The places in which queriers' work runs in this process.
    pub gate: Slot<frontend::Gate>,
    /// Queries on their way to queriers.
    pub frontend: Slot<frontend::Frontend>,
    /// Compaction, retention and deletion.
    pub compactor: Slot<compactor::Compactor>,
    /// Pushes.
    pub distributor: Slot<distributor::Distributor>,
}

/// A place for a role.
pub struct Slot<T>(OnceLock<Arc<T>>);

impl<T> Default for Slot<T> {
    fn default() -> Self {
        Self(OnceLock::new())
    }
}

impl<T> Slot<T> {
    /// Puts the role in its place, once.
    pub fn fill(&self, role: Arc<T>) {
        // A module starts once, so nothing is lost.
        let _ = self.0.set(role);
    }

    /// The role, if it is there.
    #[must_use]
    pub fn find(&self) -> Option<Arc<T>> {
        self.0.get().cloned()
    }

    /// The role, for a request.
    ///
    /// # Errors
    ///
    /// 503 while it is not there; the client should try again.
    pub fn get(&self) -> Result<Arc<T>, HttpError> {
        self.find().ok_or_else(|| HttpError::unavailable("starting, try again"))
    }
}
