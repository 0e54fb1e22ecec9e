//! From memory to object storage: which heads are sealed when, and how they are stored.
//!
//! A sealed head has one task that encodes it on a thread of its own, uploads it and tries again
//! until that succeeded. Only then is the head forgotten and its part of the log given up, so every
//! row can be read at every instant: from the head, from the segment, or for a moment from both.

use std::sync::Arc;
use std::sync::atomic::Ordering;
use std::time::Duration;

use model::TenantId;
use parking_lot::Mutex;
use runtime::backoff::Backoff;
use runtime::random::Random;
use runtime::shutdown::Stop;
use runtime::task;
use segment::{EncodedSegment, SegmentName};
use store::{Store, StoredSegment};
use tokio::sync::Semaphore;

use crate::config::Threads;
use crate::error::Error;
use crate::head::{FlushState, SealedHead};
use crate::heads::{Append, Heads};
use crate::metrics::{FlushReason, FlushedRun};
use crate::replicas::{Replicas, Skip};
use crate::tenant::{ActiveFacts, Tenant};
use crate::wal::flushed::FlushedMark;
use crate::wal::writer::WalWriter;

mod encode;
mod wait;

pub(crate) use encode::Origin;

/// How long an upload or a listing may take before object storage counts as gone, though it has
/// refused nothing.
const STORAGE_PATIENCE: Duration = Duration::from_secs(10);

/// Who is told that a head is in object storage.
pub(crate) enum Retire {
    /// While the log is replayed: whoever continues it.
    Later(Mutex<Vec<FlushedMark>>),
    /// The log.
    Log(Arc<WalWriter<Append>>),
}

/// Stores heads.
pub(crate) struct Flusher {
    pub(crate) heads: Arc<Heads>,
    pub(crate) store: Arc<Store>,
    pub(crate) random: Arc<dyn Random>,
    /// What segments say about where their rows come from.
    pub(crate) origin: Origin,
    /// Who else stores the same rows; `None` with a replication factor of 1.
    pub(crate) replicas: Option<Arc<dyn Replicas>>,
    pub(crate) retire: Retire,
    pub(crate) stop: Stop,
    pub(crate) permits: Semaphore,
}

impl Flusher {
    /// Looks at the heads whenever there may be reason to, until asked to stop.
    pub(crate) async fn run(self: Arc<Self>) {
        loop {
            tokio::select! {
                () = self.stop.requested() => return,
                () = self.heads.flush_wanted.notified() => {
                    self.flush_large();
                    self.hurry_if_tight();
                }
                () = self.heads.clock.sleep(self.heads.config.flush_check_period) => {
                    self.flush_old();
                    self.flush_large();
                    self.heads.forget_idle();
                }
            }
        }
    }

    /// Seals the heads of one tenant, or of all, and waits until they and those sealed before are
    /// stored.
    ///
    /// # Errors
    ///
    /// [`Error::Flush`] as soon as an attempt fails. Attempts go on.
    pub(crate) async fn flush(
        self: &Arc<Self>,
        tenant: Option<&TenantId>,
        reason: FlushReason,
    ) -> Result<(), Error> {
        let tenants = match tenant {
            Some(id) => self.heads.known_tenant(id).into_iter().collect(),
            None => self.heads.all_tenants(),
        };
        for tenant in &tenants {
            self.seal(tenant, reason);
            tenant.sealed().iter().for_each(|head| hurry(head));
        }
        for tenant in &tenants {
            for head in tenant.sealed() {
                hurry(&head);
                wait_stored(tenant, &head).await?;
            }
        }
        Ok(())
    }

    /// Stores one head; gives up only when the retries of the configuration are used up.
    pub(crate) async fn store_head(
        &self,
        tenant: &Arc<Tenant>,
        head: &Arc<SealedHead>,
    ) -> Result<(), Error> {
        let mut backoff = Backoff::new(self.heads.config.flush_backoff);
        loop {
            let error = match self.try_store(tenant, head).await {
                Ok(()) => return Ok(()),
                Err(error) => error,
            };
            self.heads.metrics.flush_failed();
            tracing::warn!(%error, "a head stays in memory and in the log, and is tried again");
            head.state.send_replace(FlushState::Failed(error.to_string().into()));
            let Some(wait) = backoff.next_wait(&*self.random) else { return Err(error) };
            tokio::select! {
                () = self.stop.requested() => return Err(error),
                () = head.retry.notified() => {}
                () = self.heads.clock.sleep(wait) => {}
            }
        }
    }

    /// Seals heads that are old, or got nothing for a while.
    pub(crate) fn flush_old(self: &Arc<Self>) {
        let now = self.heads.clock.monotonic();
        for tenant in self.heads.all_tenants() {
            let Some(facts) = tenant.active_facts(now) else { continue };
            if facts.age >= self.heads.config.max_chunk_age {
                self.seal(&tenant, FlushReason::max_age);
            } else if facts.idle >= self.heads.config.chunk_idle_period {
                self.seal(&tenant, FlushReason::idle);
            }
        }
    }

    /// Seals the largest heads while all together are large, and those that keep an overlong log.
    fn flush_large(self: &Arc<Self>) {
        let config = &self.heads.config;
        if self.heads.memory.active() > config.flush_bytes {
            let mut tenants = self.active();
            tenants.sort_by_key(|(_, facts)| std::cmp::Reverse(facts.memory));
            for (tenant, _) in tenants {
                // Half: so that many small tenants are not looked at again with every append.
                if self.heads.memory.active() <= config.flush_bytes / 2 {
                    break;
                }
                self.seal(&tenant, FlushReason::full);
            }
        }
        if self.heads.wal_bytes.load(Ordering::Relaxed) > config.wal_bytes_max {
            self.flush_oldest();
        }
    }

    /// Seals the heads with records in the oldest file of the log that is still needed.
    fn flush_oldest(self: &Arc<Self>) {
        let Some(oldest) = self.heads.oldest_needed() else { return };
        for (tenant, facts) in self.active() {
            if facts.positions.first.file() <= oldest.file() {
                self.seal(&tenant, FlushReason::wal_size);
            }
        }
    }

    fn active(&self) -> Vec<(Arc<Tenant>, ActiveFacts)> {
        let now = self.heads.clock.monotonic();
        let tenants = self.heads.all_tenants().into_iter();
        tenants.filter_map(|t| t.active_facts(now).map(|facts| (t, facts))).collect()
    }

    /// Seals a tenant's head and starts the task that stores it.
    fn seal(self: &Arc<Self>, tenant: &Arc<Tenant>, reason: FlushReason) {
        if let Some(head) = self.heads.seal(tenant, reason) {
            self.store_later(tenant, head);
        }
    }

    /// Notes that another ingester has a head. It stays readable here.
    pub(crate) fn handed_over(&self, tenant: &Tenant, head: &SealedHead) {
        self.retire(FlushedMark {
            tenant: tenant.id.clone(),
            first: head.positions.first,
            last: head.positions.last,
        });
        self.heads.metrics.flush_done(0);
        head.state.send_replace(FlushState::Stored);
    }

    /// Starts the task that stores a head.
    pub(crate) fn store_later(self: &Arc<Self>, tenant: &Arc<Tenant>, head: Arc<SealedHead>) {
        let (flusher, tenant) = (Arc::clone(self), Arc::clone(tenant));
        task::spawn("flush", async move {
            flusher.wait_for_replicas(&tenant, &head).await;
            if flusher.stop.is_requested() {
                return;
            }
            while flusher.store_head(&tenant, &head).await.is_err() {
                if flusher.stop.is_requested() {
                    // The log keeps the rows for the next start.
                    return;
                }
            }
        });
    }

    /// One attempt.
    async fn try_store(&self, tenant: &Arc<Tenant>, head: &Arc<SealedHead>) -> Result<(), Error> {
        let failed =
            |reason: String| Error::Flush { tenant: tenant.id.clone(), reason: reason.into() };
        let _permit = self.permits.acquire().await.map_err(|_| Error::Stopping)?;
        let skip = self.stored_elsewhere(tenant, head).await;
        let held_by = skip.as_ref().map(|skip| skip.held_by.clone()).unwrap_or_default();
        let rows_skipped = skip.as_ref().map_or(0, |skip| skip.rows);
        let segments = self.encode(tenant, head, skip).await.map_err(failed)?;
        // From now on the head is known under these names: a query that finds all of them in its
        // catalog leaves the head out.
        let own = segments.iter().map(|segment| segment.name.clone());
        let names: Vec<SegmentName> = held_by.into_iter().chain(own).collect();
        head.id.set_flushed_as(names.clone());
        let count = segments.len();
        let own = segments.iter().map(|segment| StoredSegment {
            name: segment.name.clone(),
            bytes: segment.bytes.len() as u64,
        });
        let catalog = self.store.catalog();
        let others = names.iter().filter_map(|name| catalog.get(name));
        let stored: Vec<StoredSegment> =
            others.map(|segment| StoredSegment::clone(&segment)).chain(own).collect();
        for segment in segments {
            self.upload(segment).await.map_err(failed)?;
        }
        let now = self.heads.clock.monotonic();
        // Before the rows leave memory: whoever looks at both misses neither.
        self.heads.lately.stored(stored, now);
        if self.replicas.is_some() {
            let keep = self.heads.config.replica_memory;
            tenant.replicas.lock().flushed(head.digests(), now, keep);
        }
        self.heads.forget(tenant, head);
        self.retire(FlushedMark {
            tenant: tenant.id.clone(),
            first: head.positions.first,
            last: head.positions.last,
        });
        self.heads.metrics.rows_skipped(rows_skipped);
        self.measure(head, count);
        head.state.send_replace(FlushState::Stored);
        Ok(())
    }

    async fn upload(&self, segment: EncodedSegment) -> Result<(), String> {
        let stored = self.ask_storage(self.store.upload(segment)).await;
        stored.map(|_| ()).map_err(|error| {
            self.heads.storage_fails();
            error.chain()
        })
    }

    /// Waits for object storage, and notes that it is gone when it takes long.
    async fn ask_storage<T>(&self, asked: impl Future<Output = T>) -> T {
        tokio::pin!(asked);
        tokio::select! {
            answer = &mut asked => answer,
            () = self.heads.clock.sleep(STORAGE_PATIENCE) => {
                self.heads.storage_fails();
                asked.await
            }
        }
    }

    async fn encode(
        &self,
        tenant: &Arc<Tenant>,
        head: &Arc<SealedHead>,
        skip: Option<Skip>,
    ) -> Result<Vec<EncodedSegment>, String> {
        let begun = self.heads.clock.monotonic();
        let (tenant, head) = (tenant.id.clone(), Arc::clone(head));
        let origin = self.origin.clone();
        let settings = self.heads.config.encode.clone();
        let encoded = self.compute("encode", move || {
            let plan = encode::Plan { origin: &origin, settings: &settings, skip: skip.as_ref() };
            encode::encode(&tenant, &head, &plan)
        });
        let encoded = encoded.await?;
        self.heads.metrics.encoded(self.heads.clock.monotonic().saturating_sub(begun));
        encoded.map_err(|error| error.to_string())
    }

    /// Runs something long on a thread of its own.
    async fn compute<T: Send + 'static>(
        &self,
        name: &'static str,
        work: impl FnOnce() -> T + Send + 'static,
    ) -> Result<T, String> {
        if self.heads.config.threads == Threads::Caller {
            return Ok(work());
        }
        task::spawn_blocking(name, work).await.map_err(|error| error.to_string())
    }

    fn retire(&self, mark: FlushedMark) {
        match &self.retire {
            Retire::Later(marks) => marks.lock().push(mark),
            Retire::Log(wal) => wal.retire(mark),
        }
    }

    fn measure(&self, head: &SealedHead, segments: usize) {
        for run in &head.runs {
            let flushed = FlushedRun {
                entries: run.rows(&head.slabs).len(),
                bytes: run.line_bytes,
                age: head.age,
                span: Duration::from_nanos(run.last.0.abs_diff(run.first.0)),
            };
            self.heads.metrics.run_flushed(head.reason, flushed);
        }
        self.heads.metrics.flush_done(segments);
    }
}

/// Lets a head be stored without waiting for what replicas store.
fn hurry(head: &SealedHead) {
    if !head.is_urgent.swap(true, Ordering::Relaxed) {
        head.retry.notify_one();
    }
}

/// Lets a head that failed be tried at once, and waits until it is stored or failed again.
async fn wait_stored(tenant: &Tenant, head: &SealedHead) -> Result<(), Error> {
    let mut state = head.state.subscribe();
    head.state.send_if_modified(|state| {
        let has_failed = matches!(state, FlushState::Failed(_));
        if has_failed {
            *state = FlushState::Waiting;
            head.retry.notify_one();
        }
        has_failed
    });
    loop {
        match &*state.borrow_and_update() {
            FlushState::Stored => return Ok(()),
            FlushState::Failed(reason) => {
                let tenant = tenant.id.clone();
                return Err(Error::Flush { tenant, reason: Arc::clone(reason) });
            }
            FlushState::Waiting => {}
        }
        if state.changed().await.is_err() {
            // The sender lives in the head, which the caller holds.
            return Ok(());
        }
    }
}
