//! How an ingester takes no more entries, and how it leaves.
//!
//! Leaving loses nothing and hides nothing: appends are refused first, then every head is stored, or
//! handed to a successor whose log has it before this one gives it up, and all of it stays readable
//! here until queriers have had time to look at object storage again.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use api::append::AppendBatch;
use futures_util::future::BoxFuture;
use runtime::backoff::Backoff;
use tokio::sync::oneshot;

use super::Ingester;
use crate::error::Error;
use crate::head::SealedHead;
use crate::heads::Append;
use crate::metrics::FlushReason;
use crate::tenant::Tenant;

/// Bytes of batches that are handed over at once; a larger batch goes alone.
const HAND_OVER_BYTES: usize = 1 << 20;
/// How often storing everything is tried before an ingester leaves without.
const FLUSHES_MAX: u32 = 5;

/// The ingester that takes over another one's heads, for one attempt.
pub trait Successor: Send + Sync {
    /// Keeps entries that were acknowledged before, as [`Ingester::receive`] does.
    ///
    /// # Errors
    ///
    /// In words; nothing is promised about anything of this attempt.
    fn receive(&self, batch: AppendBatch) -> BoxFuture<'_, Result<(), String>>;

    /// Nothing more comes. When it succeeds, everything that was received is durable there, can be
    /// read there, and is the successor's to store.
    ///
    /// # Errors
    ///
    /// In words; nothing is promised about anything of this attempt.
    fn finish(&self) -> BoxFuture<'_, Result<(), String>>;
}

/// Finds ingesters that take over.
pub trait Successors: Send + Sync {
    /// One to try next; waits for one as long as that is reasonable. `None` ends the attempts.
    fn next(&self) -> BoxFuture<'_, Option<Box<dyn Successor>>>;
}

/// What was handed over.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct HandedOver {
    /// Heads of tenants.
    pub heads: u64,
    /// Messages to the successor.
    pub batches: u64,
    /// Rows.
    pub rows: u64,
}

impl Ingester {
    /// Refuses appends, or takes them again. Reads, flushes and hand-overs go on either way.
    pub fn set_read_only(&self, is_read_only: bool) {
        self.is_read_only.store(is_read_only, Ordering::SeqCst);
    }

    /// Whether appends are refused.
    #[must_use]
    pub fn is_read_only(&self) -> bool {
        self.is_read_only.load(Ordering::SeqCst)
    }

    /// Says whether the next [`Ingester::stop`] is for good: then it stores everything, whatever
    /// the configuration says.
    pub fn prepare_shutdown(&self, is_for_good: bool) {
        self.is_prepared.store(is_for_good, Ordering::Relaxed);
    }

    /// Whether the next stop is for good.
    #[must_use]
    pub fn is_prepared(&self) -> bool {
        self.is_prepared.load(Ordering::Relaxed)
    }

    /// Says whether the next [`Ingester::stop`] or [`Ingester::leave`] stores everything, instead of
    /// what the configuration says. One that is for good does in any case.
    pub fn set_flush_on_stop(&self, flushes: bool) {
        self.flushes_on_stop.store(flushes, Ordering::Relaxed);
    }

    /// Whether the next stop stores everything. If not, the log keeps it for the next start.
    #[must_use]
    pub fn flushes_on_stop(&self) -> bool {
        self.is_prepared() || self.flushes_on_stop.load(Ordering::Relaxed)
    }

    /// Keeps entries that another ingester acknowledged and hands over. No limit refuses them, and
    /// their order is that of the other's log. Works in an ingester that is read-only, too.
    ///
    /// # Errors
    ///
    /// [`Error::MemoryFull`], [`Error::Wal`], [`Error::Stopping`]: nothing was kept, the other
    /// ingester keeps them.
    pub async fn receive(&self, batch: AppendBatch) -> Result<(), Error> {
        self.takes_rows()?;
        let in_flight = self.heads.reserve(batch.as_bytes().len() as u64).await?;
        self.takes_rows()?;
        let tenant = self.heads.tenant(batch.tenant());
        let now = self.heads.clock.monotonic();
        let prepared = tenant.admit_all(&batch, now, &self.heads.metrics);
        if prepared.rows.is_empty() {
            return Ok(());
        }
        let (done, wait) = oneshot::channel();
        let (bytes, outcome) = (batch.as_bytes().clone(), Default::default());
        let append = Append { tenant, bytes, prepared, outcome, in_flight, done };
        self.log(append, wait).await.map(|_| ())
    }

    /// Becomes read-only and gives the unflushed heads to a successor, in the order of the log.
    /// Once the successor has said that it has all of them they are retired from this log, and stay
    /// readable here until the process ends; queries count once what both show.
    ///
    /// # Errors
    ///
    /// [`Error::HandOver`] when no successor took everything: the heads are flushed instead. Flush,
    /// and leave.
    pub async fn hand_over(&self, successors: &dyn Successors) -> Result<HandedOver, Error> {
        self.set_read_only(true);
        self.heads.settled().await;
        let mut heads: Vec<(Arc<Tenant>, Arc<SealedHead>)> = Vec::new();
        let mut failure = "nobody takes over".to_owned();
        while let Some(successor) = successors.next().await {
            if heads.is_empty() {
                heads = self.seal_all();
            }
            match send_all(&*successor, &heads).await {
                Ok(done) => {
                    for (tenant, head) in &heads {
                        self.flusher.handed_over(tenant, head);
                    }
                    return Ok(done);
                }
                Err(reason) => {
                    tracing::warn!(reason, "a successor did not take over");
                    failure = reason;
                }
            }
        }
        for (tenant, head) in heads {
            self.flusher.store_later(&tenant, head);
        }
        Err(Error::HandOver(failure))
    }

    fn seal_all(&self) -> Vec<(Arc<Tenant>, Arc<SealedHead>)> {
        let mut tenants = self.heads.all_tenants();
        tenants.sort_by(|a, b| a.id.cmp(&b.id));
        let sealed = tenants.into_iter().filter_map(|tenant| {
            let head = self.heads.seal(&tenant, FlushReason::transfer)?;
            Some((tenant, head))
        });
        sealed.collect()
    }

    /// Leaves: refuses appends, hands heads to a successor if there is one, stores everything
    /// else, and stays readable for `final_sleep`, which should be as long as queriers go without
    /// listing object storage. Afterwards withdraw from the ring and call [`Ingester::stop`].
    ///
    /// # Errors
    ///
    /// [`Error::Flush`] when object storage did not take everything after several attempts. The
    /// entries are in the log of this ingester: start it again before its disk is given up.
    pub async fn leave(
        &self,
        successors: Option<&dyn Successors>,
        final_sleep: Duration,
    ) -> Result<(), Error> {
        self.set_read_only(true);
        if let Some(successors) = successors {
            match self.hand_over(successors).await {
                Ok(done) => tracing::info!(?done, "heads were handed over"),
                Err(error) => tracing::warn!(%error, "heads are flushed instead"),
            }
        }
        self.heads.settled().await;
        let mut backoff = Backoff::new(self.heads.config.flush_backoff);
        let mut flushed = self.flusher.flush(None, FlushReason::stop).await;
        for _ in 1..FLUSHES_MAX {
            if flushed.is_ok() {
                break;
            }
            let Some(wait) = backoff.next_wait(&*self.flusher.random) else { break };
            self.heads.clock.sleep(wait).await;
            flushed = self.flusher.flush(None, FlushReason::stop).await;
        }
        self.heads.clock.sleep(final_sleep).await;
        flushed
    }
}

/// Sends all heads.
async fn send_all(
    successor: &dyn Successor,
    heads: &[(Arc<Tenant>, Arc<SealedHead>)],
) -> Result<HandedOver, String> {
    let mut done = HandedOver::default();
    for (tenant, head) in heads {
        send(successor, tenant, head, &mut done).await?;
        done.heads += 1;
    }
    successor.finish().await?;
    Ok(done)
}

/// Sends the batches of a head, several small ones as one.
async fn send(
    successor: &dyn Successor,
    tenant: &Arc<Tenant>,
    head: &SealedHead,
    done: &mut HandedOver,
) -> Result<(), String> {
    let mut waiting: Vec<AppendBatch> = Vec::new();
    let mut bytes = 0;
    // One more round at the end sends what is left.
    for slab in head.slabs.iter().map(Some).chain([None]) {
        let is_due = slab.is_none_or(|slab| bytes + slab.len() > HAND_OVER_BYTES);
        if is_due && let Some(batch) = AppendBatch::join(&waiting) {
            done.batches += 1;
            done.rows += batch.rows();
            successor.receive(batch).await?;
            waiting.clear();
            bytes = 0;
        }
        let Some(slab) = slab else { break };
        let batch = AppendBatch::decode(slab.clone())
            .map_err(|error| format!("a batch of tenant {} is damaged: {error}", tenant.id))?;
        bytes += slab.len();
        waiting.push(batch);
    }
    Ok(())
}
