//! Appending to ingesters of other processes.

use std::sync::Arc;
use std::time::Duration;

use api::append::{AppendBatch, AppendOutcome};
use distributor::{AppendError, Appender};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use model::ErrorKind;
use rpc::ingester::Client;
use rpc::{Error, Pool};

use super::peers::Peers;

/// How long a client waits when the ingester did not say.
const RETRY_WAIT: Duration = Duration::from_secs(1);

/// Appends to the ingester at one address.
pub struct RemoteAppender {
    client: Client,
}

impl RemoteAppender {
    /// The ingester of a process.
    #[must_use]
    pub fn new(client: Client) -> Self {
        Self { client }
    }
}

impl Appender for RemoteAppender {
    fn append(&self, batch: AppendBatch) -> BoxFuture<'_, Result<AppendOutcome, AppendError>> {
        async move { self.client.append(&batch).await.map_err(refused) }.boxed()
    }
}

/// Appends without a ring: all streams of a tenant go to one of the ingesters, always the same.
pub struct TenantAppender {
    peers: Arc<dyn Peers>,
    pool: Arc<Pool>,
}

impl TenantAppender {
    /// Appends to some ingesters.
    #[must_use]
    pub fn new(peers: Arc<dyn Peers>, pool: Arc<Pool>) -> Self {
        Self { peers, pool }
    }
}

impl Appender for TenantAppender {
    fn append(&self, batch: AppendBatch) -> BoxFuture<'_, Result<AppendOutcome, AppendError>> {
        async move {
            let addresses = self.peers.everyone();
            let at = spread(batch.tenant().as_str(), addresses.len());
            let address = at
                .and_then(|at| addresses.get(at))
                .ok_or_else(|| refused(Error::unreached("there is no ingester")))?;
            let peer = self.pool.peer(address).map_err(refused)?;
            RemoteAppender::new(Client::new(peer)).append(batch).await
        }
        .boxed()
    }
}

/// One of `count` places for a name; FNV-1a, so that every process finds the same.
pub(super) fn spread(name: &str, count: usize) -> Option<usize> {
    let hash = name.bytes().fold(0xcbf2_9ce4_8422_2325_u64, |hash, byte| {
        (hash ^ u64::from(byte)).wrapping_mul(0x0100_0000_01b3)
    });
    (hash >> 32).checked_rem(count as u64).map(|place| place as usize)
}

/// What the distributor is told of a failed call.
pub(crate) fn refused(error: Error) -> AppendError {
    match error.kind {
        ErrorKind::Unavailable | ErrorKind::LimitExceeded => AppendError::Unavailable {
            message: error.message,
            retry_after: error.retry_after.unwrap_or(RETRY_WAIT),
        },
        _ => AppendError::Internal(error.message),
    }
}
