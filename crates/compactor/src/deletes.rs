//! Carrying out delete requests.
//!
//! A request is done when no segment holds a row that it names. That is found out by looking, not
//! by bookkeeping: whatever a crash or another compactor leaves behind is looked at again.

use std::sync::Arc;
use std::time::Duration;

use hashbrown::HashSet;
use logql::Removal;
use model::TenantId;
use runtime::shutdown::Stop;
use runtime::task;
use segment::EncodeSettings;
use store::{DeleteRequest, DeleteState, Store, StoredSegment};

use crate::compactor::Compactor;
use crate::error::Error;
use crate::input::Input;
use crate::left_out::{self, LeftOut};
use crate::limits::DeletionMode;

/// How far a request has come, as far as this process knows.
#[derive(Debug, Default)]
pub(crate) struct Progress {
    /// Since when, on the monotonic clock, rows are left out of merges and everything that was pushed
    /// before is in segments.
    begun: Duration,
    /// Whether everything that was pushed before is in segments.
    is_flushed: bool,
    /// Segments without rows that the request names, by hash.
    clean: HashSet<u128>,
    /// Segments that were clean in the last round, and all.
    pub(crate) segments: (usize, usize),
}

impl Compactor {
    /// Carries out the requests that can no longer be cancelled. `round` is when segments were
    /// last listed.
    pub(crate) async fn process_deletes(&self, round: Duration, stop: &Stop) -> Result<(), Error> {
        let deletes = self.store.deletes();
        let now = self.clock.now();
        let all = || deletes.tenants().into_iter().flat_map(|t| deletes.of(&t).to_vec());
        let pending: Vec<_> = all().filter(|request| request.is_in_force()).collect();
        let age = |created: model::Timestamp| {
            Duration::from_nanos(now.0.saturating_sub(created.0).max(0) as u64)
        };
        self.metrics.pending(pending.len(), pending.iter().map(|r| age(r.created)).max());
        if !self.config.retention_enabled {
            return Ok(());
        }
        let mut outcome = Ok(());
        for request in all() {
            if stop.is_requested() {
                return Ok(());
            }
            if !request.is_in_force() {
                if age(request.created) > self.config.processed_kept {
                    self.store.remove_delete(&request).await?;
                }
                continue;
            }
            let limits = self.limits.limits_for(&request.tenant);
            let is_due = age(request.created) >= self.config.cancel_period;
            if is_due && limits.deletion_mode == DeletionMode::FilterAndDelete {
                outcome = outcome.and(self.process(&request, round, stop).await);
            }
        }
        outcome
    }

    async fn process(
        &self,
        request: &Arc<DeleteRequest>,
        round: Duration,
        stop: &Stop,
    ) -> Result<(), Error> {
        if request.state == DeleteState::Received {
            self.store.mark_delete(request, DeleteState::Begun).await?;
        }
        let compiled = left_out::compile(&request.tenant, [Arc::clone(request)]);
        if compiled.is_empty() {
            return Ok(());
        }
        let only = LeftOut { expiry: None, removals: compiled };
        // Who cannot be reached may come back with rows in its log: until then the request stays in
        // force, and what is stored goes all the same.
        let flushed = self.flush_recent(request).await;
        let catalog = self.store.catalog();
        let range = request.range();
        let mut is_done = true;
        let live = catalog.select(&request.tenant, range);
        for segment in &live {
            if self.is_clean(request, &only, segment, stop).await? {
                continue;
            }
            is_done = false;
            self.merge_job(vec![Arc::clone(segment)], stop).await?;
        }
        // What was superseded with rows of the request still has to go.
        for segment in catalog.superseded(&request.tenant) {
            if segment.name.overlaps(range) {
                is_done &= self.is_clean(request, &only, &segment, stop).await?;
            }
        }
        let now_live = self.store.catalog().select(&request.tenant, range);
        let begun = self.with_progress(request, |progress| {
            let clean = now_live.iter().filter(|s| progress.clean.contains(&s.name.hash()));
            progress.segments = (clean.count(), now_live.len());
            progress.begun
        });
        // Long enough that a merge which began without knowing of the request is listed.
        flushed?;
        if is_done && round.saturating_sub(begun) >= self.config.grace {
            self.store.mark_delete(request, DeleteState::Processed).await?;
            self.metrics.delete_processed(&request.tenant);
            self.progress.lock().remove(&key_of(request));
            tracing::info!(tenant = %request.tenant, id = request.id, "a delete request is processed");
        }
        Ok(())
    }

    /// Puts what was pushed before into segments, once for each request.
    async fn flush_recent(&self, request: &DeleteRequest) -> Result<(), Error> {
        if !self.with_progress(request, |progress| progress.is_flushed) {
            self.flush.flush(&request.tenant).await.map_err(Error::Flush)?;
            // What others have just stored is not listed yet: the time begins anew.
            let begun = self.clock.monotonic();
            self.with_progress(request, |progress| {
                (progress.is_flushed, progress.begun) = (true, begun);
            });
        }
        Ok(())
    }

    /// Whether a segment holds no row that a request names.
    async fn is_clean(
        &self,
        request: &DeleteRequest,
        only: &LeftOut,
        segment: &Arc<StoredSegment>,
        stop: &Stop,
    ) -> Result<bool, Error> {
        let hash = segment.name.hash();
        if self.with_progress(request, |progress| progress.clean.contains(&hash)) {
            return Ok(true);
        }
        let (store, segment) = (Arc::clone(&self.store), Arc::clone(segment));
        let (only, encode, stop) = (only.clone(), self.config.encode.clone(), stop.clone());
        let scanned =
            task::spawn_blocking("scan", move || holds(&store, segment, &only, &encode, &stop));
        let holds = match scanned.await.map_err(|_| Error::Stopping)? {
            // Gone since it was listed.
            Err(Error::Store(store::Error::NotFound { .. })) => return Ok(false),
            scanned => scanned?,
        };
        if !holds {
            self.with_progress(request, |progress| progress.clean.insert(hash));
        }
        Ok(!holds)
    }

    /// Notes that a segment was written without what these requests name.
    pub(crate) fn note_clean(&self, tenant: &TenantId, left_out: &LeftOut, hash: u128) {
        for (request, _) in &*left_out.removals {
            debug_assert_eq!(&request.tenant, tenant, "merges are of one tenant");
            self.with_progress(request, |progress| progress.clean.insert(hash));
        }
    }

    fn with_progress<T>(&self, request: &DeleteRequest, act: impl FnOnce(&mut Progress) -> T) -> T {
        let now = self.clock.monotonic();
        let mut progress = self.progress.lock();
        let fresh = || Progress { begun: now, ..Progress::default() };
        act(progress.entry(key_of(request)).or_insert_with(fresh))
    }
}

pub(crate) fn key_of(request: &DeleteRequest) -> (TenantId, String) {
    (request.tenant.clone(), request.id.clone())
}

/// Whether a segment holds a row that is to be left out. Blocks.
fn holds(
    store: &Store,
    segment: Arc<StoredSegment>,
    left_out: &LeftOut,
    settings: &EncodeSettings,
    stop: &Stop,
) -> Result<bool, Error> {
    let footer = store.footer_blocking(&segment)?;
    let mut scratches = left_out.scratches();
    let mut input = Input::open(segment, Arc::clone(&footer), &settings.sort_labels);
    let may_hold =
        |removal: &Removal| footer.streams().select_in(removal.matchers(), removal.range());
    let mut ordinals: Vec<u32> =
        left_out.removals.iter().flat_map(|(_, removal)| may_hold(removal)).collect();
    ordinals.sort_unstable();
    ordinals.dedup();
    for ordinal in ordinals {
        let labels = footer.streams().labels(ordinal);
        let (first, last) = input.span(ordinal);
        let stream = left_out.of_stream(&labels, first, last);
        let mut block = 0;
        while let Some((at, rows)) = input.rows_from(ordinal, block) {
            if stop.is_requested() {
                return Err(Error::Stopping);
            }
            block = at + 1;
            let meta = &footer.blocks()[at];
            let overlaps = |removal: &Removal| removal.range().overlaps(meta.first, meta.last);
            if !left_out.removals.iter().any(|(_, removal)| overlaps(removal)) {
                continue;
            }
            let decoded = input.decode(store, at)?;
            let (found, _) =
                left_out.find(&stream, &decoded.batch, (&labels, rows), &mut scratches);
            if !found.is_empty() {
                return Ok(true);
            }
        }
    }
    Ok(false)
}
