//! Removing segments whose rows others took over.
//!
//! A superseded segment is kept for a grace time, which begins anew when the process starts: until
//! then other processes may not know who took over its rows.

use std::sync::Arc;

use hashbrown::HashMap;
use segment::limits::LEVEL_MAX;
use store::StoredSegment;

use crate::compactor::Compactor;
use crate::error::Error;
use crate::metrics::Reason;

impl Compactor {
    /// Removes what has been superseded for long enough.
    pub(crate) async fn sweep(&self) -> Result<(), Error> {
        let now = self.clock.monotonic();
        let catalog = self.store.catalog();
        let superseded = catalog.tenants().into_iter().flat_map(|t| catalog.superseded(&t));
        let superseded: Vec<Arc<StoredSegment>> = superseded.collect();
        let mut due: Vec<Arc<StoredSegment>> = {
            let mut since = self.superseded_since.lock();
            let known: HashMap<u128, std::time::Duration> = superseded
                .iter()
                .map(|segment| segment.name.hash())
                .map(|hash| (hash, since.get(&hash).copied().unwrap_or(now)))
                .collect();
            let is_due = |segment: &&Arc<StoredSegment>| {
                known.get(&segment.name.hash()).is_some_and(|at| now - *at >= self.config.grace)
            };
            let due = superseded.iter().filter(is_due).cloned().collect();
            *since = known;
            due
        };
        // A segment goes after those whose rows it had taken over, which would otherwise be seen
        // again.
        due.sort_by_key(|segment| segment.name.level());
        let mut left = superseded.len() - due.len();
        for segment in due {
            if segment.name.level() == LEVEL_MAX && self.has_stored_parent(&segment).await? {
                left += 1;
                continue;
            }
            self.store.delete(&segment.name).await?;
            self.metrics.removed(Reason::superseded);
        }
        self.metrics.superseded.set(left as i64);
        self.store.sweep_deletes().await?;
        self.store.sweep_staged().await?;
        Ok(())
    }

    /// Whether a segment is stored whose rows this one took over: above the highest level there is
    /// none that would tell.
    async fn has_stored_parent(&self, segment: &StoredSegment) -> Result<bool, Error> {
        let footer = match self.store.footer(segment).await {
            Ok(footer) => footer,
            // Another compactor removed it.
            Err(store::Error::NotFound { .. }) => return Ok(false),
            Err(error) => return Err(error.into()),
        };
        let (catalog, tenant) = (self.store.catalog(), segment.name.tenant());
        let stored = catalog.all(tenant).into_iter().chain(catalog.superseded(tenant));
        let mut hashes = stored.map(|stored| stored.name.hash());
        Ok(hashes.any(|hash| footer.parents().binary_search(&hash).is_ok()))
    }
}
