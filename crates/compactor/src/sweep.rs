//! Removing segments whose rows others took over.
//!
//! A superseded segment is kept for a grace time, which begins anew when the process starts: until
//! then other processes may not know who took over its rows.

use std::sync::Arc;

use hashbrown::HashMap;
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
        // again with what it had left out. They may have come later than it was superseded: a
        // flush whose log was not retired is stored again under its old name.
        due.sort_by_key(|segment| segment.name.level());
        let mut left = superseded.len() - due.len();
        let mut stored = self.stored();
        for segment in due {
            if self.parents(&segment).await?.iter().any(|parent| stored.contains_key(parent)) {
                left += 1;
                continue;
            }
            self.store.delete(&segment.name).await?;
            stored.remove(&segment.name.hash());
            self.metrics.removed(Reason::superseded);
        }
        self.metrics.superseded.set(left as i64);
        self.store.sweep_deletes().await?;
        self.store.sweep_staged().await?;
        Ok(())
    }

    /// Removes a segment whose rows are to be gone, and before it everything stored whose rows it
    /// had taken over: without it, they would be seen again.
    pub(crate) async fn remove(&self, segment: &StoredSegment) -> Result<(), Error> {
        let stored = self.stored();
        let mut found: Vec<Arc<StoredSegment>> = Vec::new();
        let mut parents = self.parents(segment).await?;
        while let Some(parent) = parents.pop() {
            let Some(parent) = stored.get(&parent) else { continue };
            if !found.contains(parent) {
                found.push(Arc::clone(parent));
                parents.extend(self.parents(parent).await?);
            }
        }
        found.sort_by_key(|segment| segment.name.level());
        for parent in found {
            self.store.delete(&parent.name).await?;
            self.metrics.removed(Reason::superseded);
        }
        self.store.delete(&segment.name).await?;
        Ok(())
    }

    /// Every segment that exists, superseded or not, by hash.
    fn stored(&self) -> HashMap<u128, Arc<StoredSegment>> {
        let catalog = self.store.catalog();
        let of = |tenant| catalog.all(tenant).into_iter().chain(catalog.superseded(tenant));
        let tenants = catalog.tenants();
        tenants.iter().flat_map(of).map(|segment| (segment.name.hash(), segment)).collect()
    }

    /// The segments whose rows this one took over, by hash.
    async fn parents(&self, segment: &StoredSegment) -> Result<Vec<u128>, Error> {
        if segment.name.level() == 0 {
            return Ok(Vec::new());
        }
        match self.store.footer(segment).await {
            Ok(footer) => Ok(footer.parents().to_vec()),
            // Another compactor removed it.
            Err(store::Error::NotFound { .. }) => Ok(Vec::new()),
            Err(error) => Err(error.into()),
        }
    }
}
