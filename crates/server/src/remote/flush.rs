//! Flushing the ingesters of other processes.

use std::sync::Arc;

use compactor::Flush;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use model::TenantId;
use rpc::Pool;
use rpc::ingester::Client;

use super::peers::Peers;

/// Flushes every ingester, all at once.
pub struct RemoteFlush {
    peers: Arc<dyn Peers>,
    pool: Arc<Pool>,
}

impl RemoteFlush {
    /// Flushes some ingesters.
    #[must_use]
    pub fn new(peers: Arc<dyn Peers>, pool: Arc<Pool>) -> Self {
        Self { peers, pool }
    }
}

impl Flush for RemoteFlush {
    fn flush<'a>(&'a self, tenant: &'a TenantId) -> BoxFuture<'a, Result<(), String>> {
        async move {
            let flushes = self.peers.everyone().into_iter().map(|address| async move {
                let client = Client::new(self.pool.peer(&address)?);
                client.flush(Some(tenant)).await
            });
            let failed = join_all(flushes).await.into_iter().filter_map(Result::err);
            let failed: Vec<String> = failed.map(|error| error.to_string()).collect();
            if failed.is_empty() { Ok(()) } else { Err(failed.join("; ")) }
        }
        .boxed()
    }
}
