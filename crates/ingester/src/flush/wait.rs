//! Waiting for what replicas store, so that it need not be stored again.

use std::sync::Arc;
use std::sync::atomic::Ordering;

use super::{Flusher, hurry};
use crate::head::SealedHead;
use crate::metrics::FlushReason;
use crate::replicas::{self, Skip};
use crate::tenant::Tenant;

/// Days of rows for which a head looks at what others stored; one with more is stored whole.
const DAYS_MAX: i32 = 8;

impl Flusher {
    /// Waits until replicas of a lower rank have stored what the head holds, or for as long as is
    /// reasonable. Ends at once when the head is urgent, memory is short or the flusher stops.
    pub(super) async fn wait_for_replicas(&self, tenant: &Arc<Tenant>, head: &Arc<SealedHead>) {
        let Some(replicas) = &self.replicas else { return };
        let config = &self.heads.config;
        let begun = self.heads.clock.monotonic();
        let mut wait = config.replica_stagger * replicas.rank(&tenant.id);
        loop {
            let rank = replicas.rank(&tenant.id);
            if rank == 0 || self.is_urgent(head) || self.stop.is_requested() {
                return;
            }
            tokio::select! {
                () = self.stop.requested() => return,
                // Somebody is in a hurry; why shows in the next round.
                () = head.retry.notified() => continue,
                () = self.heads.clock.sleep(wait) => {}
            }
            let least = config.replica_stagger * rank;
            let most = least.max(config.replica_wait_max.min(head.age * 2));
            let waited = self.heads.clock.monotonic().saturating_sub(begun);
            if waited >= most {
                return;
            }
            if self.stored_elsewhere(tenant, head).await.is_some_and(|skip| skip.is_whole()) {
                return;
            }
            wait = config.replica_check_period.min(most - waited);
        }
    }

    fn is_urgent(&self, head: &SealedHead) -> bool {
        let is_forced =
            matches!(head.reason, FlushReason::forced | FlushReason::stop | FlushReason::transfer);
        is_forced || head.is_urgent.load(Ordering::Relaxed) || self.heads.is_tight()
    }

    /// Lets the oldest heads be stored without further waiting while memory is short.
    pub(super) fn hurry_if_tight(&self) {
        if self.replicas.is_some() && self.heads.is_tight() {
            for tenant in self.heads.all_tenants() {
                tenant.sealed().iter().for_each(|head| hurry(head));
            }
        }
    }

    /// Which rows of a head stand in segments of others; `None` without replicas. Nothing is left
    /// out in doubt.
    pub(super) async fn stored_elsewhere(
        &self,
        tenant: &Arc<Tenant>,
        head: &Arc<SealedHead>,
    ) -> Option<Skip> {
        self.replicas.as_ref()?;
        let (first, last) = head.span();
        let (first, last) = (first.day(), last.day());
        if last.saturating_sub(first) >= DAYS_MAX {
            return Some(Skip::default());
        }
        for day in first..=last {
            let listed = self.ask_storage(self.store.discover(&tenant.id, day)).await;
            if let Err(error) = listed {
                self.heads.storage_fails();
                tracing::debug!(error = error.chain(), "what others stored is not known");
                return Some(Skip::default());
            }
        }
        let (store, of, sealed) = (Arc::clone(&self.store), Arc::clone(tenant), Arc::clone(head));
        let compared = self.compute("compare", move || replicas::compare(&store, &of, &sealed));
        let skip = compared.await.unwrap_or_default();
        Some(skip)
    }
}
