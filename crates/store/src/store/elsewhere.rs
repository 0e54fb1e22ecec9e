//! The store of a process that asks somebody else which segments exist, and the comparison with
//! what holders of recent rows told.

use std::collections::HashSet;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use model::{ErrorKind, TenantId, TimeRange, Timestamp};
use segment::SegmentName;

use super::Store;
use crate::catalog::{Catalog, StoredSegment};
use crate::error::Error;
use crate::index::{Elsewhere, SegmentsAsk, SegmentsFound, Told};

impl Store {
    /// Has object storage listed because a segment of these tenants was not found.
    ///
    /// # Errors
    ///
    /// As [`Store::refresh`].
    pub async fn refresh_for(&self, tenants: &[TenantId]) -> Result<(), Error> {
        let Some(elsewhere) = &self.elsewhere else { return self.list().await.map(drop) };
        let range = TimeRange::new(Timestamp(0), Timestamp(0));
        for tenant in tenants {
            let ask = SegmentsAsk { tenant, range, told: None, list: true };
            if elsewhere.index.segments(ask).await.is_err() {
                self.falls_back();
                return self.list().await.map(drop);
            }
        }
        Ok(())
    }

    /// Makes what holders of recent rows told part of the catalog. Lists object storage when one of
    /// them has started, come or gone since it was last listed for the asker.
    ///
    /// # Errors
    ///
    /// What the storage says; the catalog may lack segments.
    pub async fn learn(&self, told: &Told) -> Result<(), Error> {
        if !self.told.knows(told) {
            let _alone = self.told.listing.lock().await;
            // Somebody else may have listed meanwhile.
            if !self.told.knows(told) {
                self.list().await?;
                self.told.listed_for(told);
            }
        }
        self.told.hear_of(&told.stored, |segment| {
            if !self.catalog().contains(&segment.name) {
                self.adopt(segment.clone());
            }
        });
        Ok(())
    }

    /// Answers somebody else who asks which segments exist.
    ///
    /// # Errors
    ///
    /// What the storage says when it has to be listed.
    pub async fn answer(&self, ask: SegmentsAsk<'_>) -> Result<SegmentsFound, Error> {
        if let Some(told) = ask.told {
            self.learn(told).await?;
        }
        if ask.list {
            self.list().await?;
        }
        let catalog = self.catalog();
        let selected = catalog.select(ask.tenant, ask.range);
        let told = ask.told.iter().flat_map(|told| &told.stored);
        let names: HashSet<&SegmentName> = selected.iter().map(|segment| &segment.name).collect();
        let is_other = |segment: &&StoredSegment| {
            !names.contains(&segment.name) && catalog.contains(&segment.name)
        };
        Ok(SegmentsFound {
            known: told.filter(is_other).cloned().collect(),
            live: selected.iter().map(|segment| StoredSegment::clone(segment)).collect(),
        })
    }

    /// Whether somebody else is asked which segments exist.
    #[must_use]
    pub fn asks_elsewhere(&self) -> bool {
        self.elsewhere.is_some()
    }

    /// The segments of a tenant that exist now, at least those that may hold rows of the range and
    /// those that holders of recent rows told of.
    ///
    /// # Errors
    ///
    /// What the storage says when nobody else can be asked.
    ///
    /// # Panics
    ///
    /// With an [`Index`]: on a thread of the asynchronous runtime.
    pub fn picture_blocking(
        &self,
        tenant: &TenantId,
        range: TimeRange,
        told: Option<&Told>,
    ) -> Result<Arc<Catalog>, Error> {
        let Some(elsewhere) = &self.elsewhere else { return Ok(self.catalog()) };
        elsewhere.runtime.block_on(self.picture(elsewhere, tenant, range, told))
    }

    pub(super) async fn picture(
        &self,
        elsewhere: &Elsewhere,
        tenant: &TenantId,
        range: TimeRange,
        told: Option<&Told>,
    ) -> Result<Arc<Catalog>, Error> {
        let ask = SegmentsAsk { tenant, range, told, list: false };
        match elsewhere.index.segments(ask).await {
            Ok(SegmentsFound { live, known }) => {
                self.metrics.index_questions.inc();
                Ok(Arc::new(Catalog::of_some(live, known)))
            }
            Err(_) => {
                self.falls_back();
                let list = || async { self.list().await.map(drop) };
                elsewhere.list_now_and_then(self.clock.monotonic(), list).await?;
                if let Some(told) = told {
                    self.learn(told).await?;
                }
                Ok(self.catalog())
            }
        }
    }

    /// Parts of a segment that plan a query, of whoever is asked for them.
    pub(super) async fn plan_parts(
        &self,
        segment: &StoredSegment,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>, Error> {
        if let Some(elsewhere) = &self.elsewhere {
            match elsewhere.index.parts(segment, ranges).await {
                Err(error) if error.kind() != ErrorKind::NotFound => self.falls_back(),
                answered => {
                    self.metrics.index_questions.inc();
                    return answered;
                }
            }
        }
        self.read(segment, ranges).await
    }

    pub(super) fn plan_parts_blocking(
        &self,
        segment: &StoredSegment,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>, Error> {
        match &self.elsewhere {
            Some(elsewhere) => elsewhere.runtime.block_on(self.plan_parts(segment, ranges)),
            None => self.read_blocking(segment, ranges),
        }
    }

    /// [`Store::read`] of parts that are asked for again and again, from memory when possible.
    ///
    /// # Errors
    ///
    /// As [`Store::read`].
    pub async fn read_kept(
        &self,
        segment: &StoredSegment,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>, Error> {
        if let Some(parts) = self.parts.get(&segment.name, ranges) {
            return Ok(parts);
        }
        let parts = self.read(segment, ranges).await?;
        self.parts.insert(&segment.name, ranges, &parts);
        Ok(parts)
    }

    pub(super) fn falls_back(&self) {
        self.metrics.index_fallbacks.inc();
    }
}
