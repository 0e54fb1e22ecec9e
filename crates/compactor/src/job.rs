//! One merge, from the inputs' names to the output in the catalog.

use std::sync::Arc;
use std::time::Duration;

use model::TenantId;
use runtime::shutdown::Stop;
use runtime::task;
use store::DeleteState;

use crate::compactor::Compactor;
use crate::error::Error;
use crate::left_out::{self, LeftOut};
use crate::limits::DeletionMode;
use crate::merge::{Merged, merge};
use crate::metrics::Reason;
use crate::plan::Inputs;

/// A merge may take this long even if superseded segments are kept for less.
const MERGE_TIME_MIN: Duration = Duration::from_secs(30);

impl Compactor {
    /// Merges segments of one tenant and day and puts the outcome in their place.
    pub(crate) async fn merge_job(&self, inputs: Inputs, stop: &Stop) -> Result<(), Error> {
        let Some(tenant) = inputs.first().map(|input| input.name.tenant().clone()) else {
            return Ok(());
        };
        let begun = self.clock.monotonic();
        let outcome = self.try_merge(&tenant, &inputs, begun, stop).await;
        let took = self.clock.monotonic().saturating_sub(begun);
        match &outcome {
            Err(Error::Stopping) => {}
            // Another compactor was faster; the next listing tells.
            Err(Error::Store(store::Error::NotFound { .. })) => return Ok(()),
            _ => self.metrics.merge_ended(outcome.is_ok(), took),
        }
        outcome
    }

    async fn try_merge(
        &self,
        tenant: &TenantId,
        inputs: &Inputs,
        begun: Duration,
        stop: &Stop,
    ) -> Result<(), Error> {
        let left_out = self.left_out(tenant);
        let merging = {
            let (store, inputs) = (Arc::clone(&self.store), inputs.clone());
            let (settings, left_out) = (self.config.encode.clone(), left_out.clone());
            let stop = stop.clone();
            move || merge(&store, &inputs, &settings, &left_out, &stop)
        };
        // What stays in memory must not be made by the thread below.
        for input in inputs {
            self.store.footer(input).await?;
        }
        // A thread of its own: when it ends, the allocator gives back what the merge took.
        let (done, merged) = tokio::sync::oneshot::channel();
        task::spawn_thread("merge", move || {
            // Nobody waits any more when the process stops.
            let _ = done.send(merging());
        });
        let merged = merged.await.map_err(|_| Error::Stopping)??;
        let took = self.clock.monotonic().saturating_sub(begun);
        // A delete request may be considered done by another compactor that waited this long for
        // merges under way.
        if took > self.config.grace.max(MERGE_TIME_MIN) {
            return Err(Error::Late);
        }
        self.count(tenant, inputs, &merged);
        match merged.segment {
            Some(segment) => {
                let (name, bytes) = (segment.name().clone(), segment.bytes());
                segment.upload(&self.store).await?;
                self.metrics.output_bytes.inc_by(bytes);
                self.note_clean(tenant, &left_out, name.hash());
                let input_bytes: u64 = inputs.iter().map(|input| input.bytes).sum();
                tracing::info!(
                    %tenant,
                    segment = %name,
                    inputs = inputs.len(),
                    input_bytes,
                    bytes,
                    line_bytes = merged.raw_bytes,
                    ?took,
                    "segments merged"
                );
            }
            // Nothing is left, and what was there is hidden from queries.
            None => {
                for input in inputs {
                    self.remove(input).await?;
                    self.metrics.removed(Reason::deleted);
                }
            }
        }
        Ok(())
    }

    fn count(&self, tenant: &TenantId, inputs: &Inputs, merged: &Merged) {
        let metrics = &self.metrics;
        metrics.input_segments.inc_by(inputs.len() as u64);
        metrics.input_bytes.inc_by(inputs.iter().map(|input| input.bytes).sum());
        metrics.line_bytes.inc_by(merged.raw_bytes);
        metrics.copies.inc_by(merged.left_out.copies);
        metrics.expired.inc_by(merged.left_out.expired);
        metrics.lines_deleted(tenant, merged.left_out.deleted);
    }

    /// What merges of a tenant leave out as of now.
    pub(crate) fn left_out(&self, tenant: &TenantId) -> LeftOut {
        if !self.config.retention_enabled {
            return LeftOut::default();
        }
        let limits = self.limits.limits_for(tenant);
        let retention = Arc::clone(&limits.retention);
        let expiry = retention.is_limited().then(|| (retention, self.clock.now()));
        let deletes = self.store.deletes();
        let begun = deletes.of(tenant).iter().filter(|request| {
            limits.deletion_mode == DeletionMode::FilterAndDelete
                && request.state == DeleteState::Begun
        });
        LeftOut { expiry, removals: left_out::compile(tenant, begun.cloned()) }
    }
}
