//! The heads of all tenants, and the memory that they share.
//!
//! Requests, the thread of the log, queries and the flusher meet here. Memory is counted in three
//! states: on its way into a head, in a head that takes appends, in a head that is being flushed.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, Ordering};
use std::time::Duration;

use api::append::AppendOutcome;
use bytes::Bytes;
use hashbrown::HashMap;
use model::TenantId;
use parking_lot::RwLock;
use runtime::clock::Clock;
use tokio::sync::{Notify, oneshot};

use crate::config::Config;
use crate::error::Error;
use crate::head::SealedHead;
use crate::lately::Lately;
use crate::metrics::{FlushReason, Metrics};
use crate::tail::TellTo;
use crate::tenant::{Committed, Prepared, Tenant};
use crate::wal::writer::Sink;
use crate::wal::{Position, WalError};

/// All heads of an ingester.
pub(crate) struct Heads {
    tenants: RwLock<HashMap<TenantId, Arc<Tenant>>>,
    next_origin: AtomicU64,
    pub(crate) memory: Memory,
    pub(crate) lately: Lately,
    /// Bytes of the log.
    pub(crate) wal_bytes: AtomicU64,
    /// Wakes the flusher before its next look.
    pub(crate) flush_wanted: Notify,
    pub(crate) config: Config,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
}

/// Bytes by state.
#[derive(Debug, Default)]
pub(crate) struct Memory {
    /// Admitted, not yet in a head.
    in_flight: AtomicU64,
    /// In heads that take appends.
    active: AtomicU64,
    /// In heads that are being flushed.
    sealed: AtomicU64,
    /// Whether object storage has stopped taking heads, and what that left behind is still there.
    outage: AtomicBool,
    /// Tells that some became free.
    freed: Notify,
}

impl Memory {
    pub(crate) fn active(&self) -> u64 {
        self.active.load(Ordering::Relaxed)
    }

    /// All bytes.
    pub(crate) fn used(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed) + self.active() + self.sealed.load(Ordering::Relaxed)
    }
}

/// Bytes that an append holds until they are in a head.
#[derive(Debug)]
pub(crate) struct InFlight {
    heads: Arc<Heads>,
    bytes: u64,
}

impl std::fmt::Debug for Heads {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Heads").field("memory", &self.memory).finish_non_exhaustive()
    }
}

impl Drop for InFlight {
    fn drop(&mut self) {
        let before = self.heads.memory.in_flight.fetch_sub(self.bytes, Ordering::Relaxed);
        if before == self.bytes {
            self.heads.memory.freed.notify_waiters();
        }
    }
}

impl Heads {
    pub(crate) fn new(config: Config, clock: Arc<dyn Clock>, metrics: Metrics) -> Arc<Self> {
        Arc::new(Self {
            tenants: RwLock::new(HashMap::new()),
            next_origin: AtomicU64::new(1),
            memory: Memory::default(),
            lately: Lately::default(),
            wal_bytes: AtomicU64::new(0),
            flush_wanted: Notify::new(),
            config,
            clock,
            metrics,
        })
    }

    fn next_origin(&self) -> u64 {
        self.next_origin.fetch_add(1, Ordering::Relaxed)
    }

    /// The tenant, if it ever had an entry here.
    pub(crate) fn known_tenant(&self, id: &TenantId) -> Option<Arc<Tenant>> {
        self.tenants.read().get(id).cloned()
    }

    /// The tenant, made when it is new.
    pub(crate) fn tenant(&self, id: &TenantId) -> Arc<Tenant> {
        if let Some(tenant) = self.known_tenant(id) {
            return tenant;
        }
        let mut tenants = self.tenants.write();
        let make = || Arc::new(Tenant::new(id.clone(), self.next_origin()));
        Arc::clone(tenants.entry(id.clone()).or_insert_with(make))
    }

    /// Every tenant, in any order.
    pub(crate) fn all_tenants(&self) -> Vec<Arc<Tenant>> {
        self.tenants.read().values().map(Arc::clone).collect()
    }

    /// Whether memory is so short that heads must not wait for anything.
    pub(crate) fn is_tight(&self) -> bool {
        self.memory.used() >= self.config.memory_bytes_max / 4 * 3
    }

    /// Waits until there is memory for an append, and takes it.
    pub(crate) async fn reserve(self: &Arc<Self>, bytes: u64) -> Result<InFlight, Error> {
        if self.memory.used() >= self.memory_bytes_max() {
            self.flush_wanted.notify_one();
            let deadline = self.clock.sleep(self.config.append_wait);
            let freed = async {
                loop {
                    let freed = self.memory.freed.notified();
                    if self.memory.used() < self.memory_bytes_max() {
                        return;
                    }
                    freed.await;
                }
            };
            tokio::select! {
                () = freed => {}
                () = deadline => {
                    let (used, max) = (self.memory.used(), self.memory_bytes_max());
                    let retry_after = self.config.append_wait.max(Duration::from_secs(1));
                    return Err(Error::MemoryFull { used, max, retry_after });
                }
            }
        }
        // The bound is looked at before, not after: one batch may exceed it, however large it is.
        // Ordered against the marks that refuse appends: either the append sees the mark after this,
        // or whoever set the mark sees the append.
        self.memory.in_flight.fetch_add(bytes, Ordering::SeqCst);
        Ok(InFlight { heads: Arc::clone(self), bytes })
    }

    /// Waits until no append is under way.
    pub(crate) async fn settled(&self) {
        loop {
            let freed = self.memory.freed.notified();
            if self.memory.in_flight.load(Ordering::SeqCst) == 0 {
                return;
            }
            freed.await;
        }
    }

    /// Bytes at which appends wait. The usual bound lets nobody push faster than heads are
    /// encoded; in an outage waiting would not help, and there is more room.
    fn memory_bytes_max(&self) -> u64 {
        let usual = self.config.memory_bytes_max;
        if self.memory.outage.load(Ordering::Relaxed) {
            usual.max(self.config.outage_bytes_max)
        } else {
            usual
        }
    }

    /// Notes that object storage does not take a head: it said so, or says nothing.
    pub(crate) fn storage_fails(&self) {
        if !self.memory.outage.swap(true, Ordering::Relaxed) {
            self.memory.freed.notify_waiters();
        }
    }

    /// Counts what a commit added.
    pub(crate) fn count(&self, committed: Committed) {
        let active = self.memory.active.fetch_add(committed.memory, Ordering::Relaxed);
        self.metrics.head_bytes.inc_by(committed.memory as i64);
        self.metrics.memory_chunks.inc_by(committed.runs as i64);
        if active + committed.memory > self.config.flush_bytes || self.is_tight() {
            self.flush_wanted.notify_one();
        }
    }

    /// Seals a tenant's active head.
    pub(crate) fn seal(&self, tenant: &Tenant, reason: FlushReason) -> Option<Arc<SealedHead>> {
        let sealed = tenant.seal(self.next_origin(), reason, self.clock.monotonic())?;
        // First add, then take away: the sum must never look smaller than it is.
        self.memory.sealed.fetch_add(sealed.memory, Ordering::Relaxed);
        self.memory.active.fetch_sub(sealed.memory, Ordering::Relaxed);
        self.metrics.flush_queued();
        Some(sealed)
    }

    /// Forgets a head that is in object storage.
    pub(crate) fn forget(&self, tenant: &Tenant, head: &SealedHead) {
        tenant.drop_sealed(head.id.origin);
        self.memory.sealed.fetch_sub(head.memory, Ordering::Relaxed);
        self.metrics.head_bytes.dec_by(head.memory as i64);
        self.metrics.memory_chunks.dec_by(head.runs.len() as i64);
        // Not before its backlog is gone: appends would be refused while that is being stored.
        if self.memory.used() < self.config.memory_bytes_max {
            self.memory.outage.store(false, Ordering::Relaxed);
        }
        self.memory.freed.notify_waiters();
    }

    /// Forgets streams, and then tenants, that got nothing for a while.
    pub(crate) fn forget_idle(&self) {
        let now = self.clock.monotonic();
        let Some(before) = now.checked_sub(self.config.chunk_idle_period) else { return };
        for tenant in self.all_tenants() {
            tenant.forget_digests(now, self.config.replica_memory);
            let forgotten = tenant.forget_idle(before);
            if forgotten > 0 {
                self.metrics.streams_removed(&tenant.id, forgotten);
            }
        }
        // A tenant that somebody holds may be about to get rows.
        let mut tenants = self.tenants.write();
        tenants.retain(|_, tenant| Arc::strong_count(tenant) > 1 || !tenant.is_empty());
    }

    /// The oldest position whose rows are not in object storage.
    pub(crate) fn oldest_needed(&self) -> Option<Position> {
        self.all_tenants().iter().filter_map(|tenant| tenant.oldest_needed()).min()
    }
}

/// An append on its way through the log.
#[derive(Debug)]
pub(crate) struct Append {
    pub(crate) tenant: Arc<Tenant>,
    pub(crate) bytes: Bytes,
    pub(crate) prepared: Prepared,
    pub(crate) outcome: AppendOutcome,
    pub(crate) in_flight: InFlight,
    pub(crate) done: oneshot::Sender<Result<AppendOutcome, WalError>>,
}

/// Puts what the log wrote into heads, and completes the requests.
pub(crate) struct IntoHeads(pub(crate) Arc<Heads>);

impl Sink for IntoHeads {
    type Item = Append;

    fn committed(&mut self, position: Position, append: Append) {
        let heads = &self.0;
        let Append { tenant, bytes, prepared, outcome, in_flight, done } = append;
        let to = TellTo { buffer_bytes: heads.config.tail_buffer_bytes, metrics: &heads.metrics };
        tenant.tell(&bytes, &prepared, to);
        heads.count(tenant.commit(&bytes, position, &prepared, heads.clock.monotonic()));
        drop(in_flight);
        // A request that was given up no longer listens; its entries are stored all the same.
        let _ = done.send(Ok(outcome));
    }

    fn failed(&mut self, append: Append, error: &WalError) {
        append.tenant.take_back(&append.prepared);
        drop(append.in_flight);
        self.0.memory.freed.notify_waiters();
        let _ = append.done.send(Err(error.clone()));
    }

    fn group_done(&mut self, wal_bytes: u64) {
        self.0.wal_bytes.store(wal_bytes, Ordering::Relaxed);
        if wal_bytes > self.0.config.wal_bytes_max {
            self.0.flush_wanted.notify_one();
        }
    }

    fn oldest_needed(&mut self) -> Option<Position> {
        self.0.oldest_needed()
    }
}
