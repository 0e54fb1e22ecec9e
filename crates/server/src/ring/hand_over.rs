//! Heads and tokens go to another ingester: at the one that leaves, [`RingSuccessors`] finds one
//! that is PENDING; at that one, [`Taking`] is JOINING until it has everything.

use std::collections::HashSet;
use std::sync::Arc;
use std::time::Duration;

use api::append::AppendBatch;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hash_ring::{Claim, Instance, Lifecycler, Operation, State};
use ingester::{Ingester, Successor, Successors};
use model::ErrorKind;
use parking_lot::Mutex;
use rpc::ingester::{Client, Giver, TakeOver, Transfer};
use rpc::{Error, Pool};
use runtime::backoff::{Backoff, BackoffPolicy};
use runtime::clock::Clock;
use runtime::random::SystemRandom;

/// Waits between looks for a successor; how often is configured.
const WAITS: BackoffPolicy =
    BackoffPolicy { min: Duration::from_millis(100), max: Duration::from_secs(5), retries_max: 0 };

/// Finds PENDING ingesters in the ring, so many times.
pub struct RingSuccessors {
    life: Arc<Lifecycler>,
    pool: Arc<Pool>,
    clock: Arc<dyn Clock>,
    search: tokio::sync::Mutex<Search>,
}

/// How the search goes.
struct Search {
    attempts: u32,
    backoff: Backoff,
    /// Those that failed; asked again when there is nobody else.
    failed: HashSet<Arc<str>>,
}

impl RingSuccessors {
    /// Looks for a successor at most `attempts` times.
    #[must_use]
    pub fn new(
        life: Arc<Lifecycler>,
        pool: Arc<Pool>,
        clock: Arc<dyn Clock>,
        attempts: u32,
    ) -> Self {
        let backoff = Backoff::new(BackoffPolicy { retries_max: attempts, ..WAITS });
        let search = Search { attempts, backoff, failed: HashSet::new() };
        Self { life, pool, clock, search: tokio::sync::Mutex::new(search) }
    }

    /// How long looking for one may take at most.
    #[must_use]
    pub fn patience(attempts: u32) -> Duration {
        WAITS.max.saturating_mul(attempts)
    }

    /// One that waits: PENDING, alive, and in the same zone where zones hold replicas.
    fn pending(&self, failed: &HashSet<Arc<str>>) -> Option<Arc<Instance>> {
        let (ring, own) = (self.life.ring(), self.life.instance());
        let now = self.clock.now();
        let waiting: Vec<&Arc<Instance>> = ring
            .healthy_instances(Operation::Read, now)
            .filter(|other| other.id != own.id && other.state == State::Pending)
            .filter(|other| !other.is_read_only())
            .filter(|other| !ring.config().zone_aware || other.zone == own.zone)
            .collect();
        let fresh = waiting.iter().find(|other| !failed.contains(&other.id));
        fresh.or(waiting.first()).map(|found| Arc::clone(found))
    }

    async fn find(&self) -> Option<Box<dyn Successor>> {
        let mut search = self.search.lock().await;
        while search.attempts > 0 {
            search.attempts -= 1;
            if let Some(found) = self.pending(&search.failed) {
                search.failed.insert(Arc::clone(&found.id));
                match self.pool.peer(&found.address) {
                    Ok(peer) => {
                        let own = self.life.instance();
                        let giver = Giver { id: own.id.to_string(), tokens: own.tokens.to_vec() };
                        tracing::info!(successor = %found.id, "handing over");
                        let transfer = Client::new(peer).begin_transfer(giver);
                        let life = Arc::clone(&self.life);
                        return Some(Box::new(RemoteSuccessor { transfer, life }));
                    }
                    Err(error) => tracing::warn!(%error, "a successor cannot be reached"),
                }
            }
            if search.attempts > 0 {
                let wait = search.backoff.next_wait(&SystemRandom).unwrap_or(WAITS.max);
                self.clock.sleep(wait).await;
            }
        }
        None
    }
}

impl Successors for RingSuccessors {
    fn next(&self) -> BoxFuture<'_, Option<Box<dyn Successor>>> {
        self.find().boxed()
    }
}

/// One hand-over to another process.
struct RemoteSuccessor {
    transfer: Transfer,
    life: Arc<Lifecycler>,
}

impl Successor for RemoteSuccessor {
    fn receive(&self, batch: AppendBatch) -> BoxFuture<'_, Result<(), String>> {
        async move { self.transfer.send(&batch).await.map_err(|error| error.to_string()) }.boxed()
    }

    fn finish(&self) -> BoxFuture<'_, Result<(), String>> {
        async move {
            self.transfer.finish().await.map_err(|error| error.to_string())?;
            // They are the other's now. If the file stays, the ring decides who has them.
            if let Err(error) = self.life.give_up_tokens().await {
                tracing::warn!(%error, "give up tokens");
            }
            Ok(())
        }
        .boxed()
    }
}

/// A hand-over under way, at the ingester that takes over.
pub struct Taking {
    ingester: Arc<Ingester>,
    claim: Claim,
    giver: Giver,
    rows: Mutex<u64>,
}

impl Taking {
    /// Begins to take over.
    ///
    /// # Errors
    ///
    /// When this process is not PENDING.
    pub async fn begin(
        ingester: Arc<Ingester>,
        life: &Arc<Lifecycler>,
        giver: Giver,
    ) -> Result<Self, Error> {
        let claim = life.claim().await.map_err(|error| told(&error))?;
        tracing::info!(giver = giver.id, "taking over");
        Ok(Self { ingester, claim, giver, rows: Mutex::default() })
    }
}

fn told(error: &hash_ring::Error) -> Error {
    Error::new(error.kind(), error.to_string())
}

impl TakeOver for Taking {
    fn receive(&self, batch: AppendBatch) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            if !self.claim.is_open() {
                return Err(Error::new(ErrorKind::Unavailable, "the hand-over was given up"));
            }
            let rows = batch.rows();
            let received = self.ingester.receive(batch).await;
            received.map_err(|error| Error::new(error.kind(), error.to_string()))?;
            *self.rows.lock() += rows;
            Ok(())
        }
        .boxed()
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<(), Error>> {
        async move {
            let Self { claim, giver, rows, .. } = *self;
            claim.finish(giver.tokens).await.map_err(|error| told(&error))?;
            tracing::info!(giver = giver.id, rows = *rows.lock(), "took over");
            Ok(())
        }
        .boxed()
    }
}
