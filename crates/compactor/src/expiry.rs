//! Deleting what has expired, and the oldest when there is too much.

use std::sync::Arc;
use std::time::Duration;

use model::time::DAY_NS;
use model::{TenantId, Timestamp};
use runtime::shutdown::Stop;
use store::{Retention, StoredSegment};

use crate::compactor::Compactor;
use crate::error::Error;
use crate::metrics::Reason;

/// What retention makes of a segment.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Verdict {
    Keep,
    /// Every row has expired.
    Delete,
    /// Some streams have expired for the whole of the segment's day.
    Rewrite,
}

impl Compactor {
    /// Deletes segments of which every row has expired, and writes those anew of which whole
    /// streams have; then deletes the oldest segments where there are too many bytes.
    pub(crate) async fn expire(&self, stop: &Stop) -> Result<(), Error> {
        for tenant in self.store.tenants() {
            let limits = self.limits.limits_for(&tenant);
            if self.config.retention_enabled && limits.retention.is_limited() {
                self.expire_tenant(&tenant, &limits.retention, stop).await?;
            }
            if limits.retention_bytes > 0 {
                let segments = self.store.catalog().all(&tenant);
                self.delete_oldest(segments, limits.retention_bytes).await?;
            }
        }
        if self.config.retention_bytes > 0 {
            let catalog = self.store.catalog();
            let all = catalog.tenants().iter().flat_map(|tenant| catalog.all(tenant)).collect();
            self.delete_oldest(all, self.config.retention_bytes).await?;
        }
        Ok(())
    }

    async fn expire_tenant(
        &self,
        tenant: &TenantId,
        retention: &Arc<Retention>,
        stop: &Stop,
    ) -> Result<(), Error> {
        for segment in self.store.catalog().all(tenant) {
            if stop.is_requested() {
                return Ok(());
            }
            match self.judge(&segment, retention).await? {
                Verdict::Keep => {}
                Verdict::Delete => {
                    self.remove(&segment).await?;
                    self.metrics.removed(Reason::expired);
                    tracing::info!(%tenant, segment = %segment.name, "an expired segment is deleted");
                }
                Verdict::Rewrite => self.merge_job(vec![segment], stop).await?,
            }
        }
        Ok(())
    }

    async fn judge(
        &self,
        segment: &StoredSegment,
        retention: &Retention,
    ) -> Result<Verdict, Error> {
        // What has just expired is hidden, and kept a little longer.
        let now = self.clock.now().minus(self.config.retention_delete_delay);
        let (first, last) = (segment.name.first(), segment.name.last());
        if retention.cutoff_of_all(now).is_some_and(|cutoff| last < cutoff) {
            return Ok(Verdict::Delete);
        }
        if retention.cutoff_of_any(now).is_none_or(|cutoff| cutoff <= first) {
            return Ok(Verdict::Keep);
        }
        if retention.cutoff_of_all(now) == retention.cutoff_of_any(now) {
            // One period for all streams: the rest expires before long.
            return Ok(Verdict::Keep);
        }
        let footer = match self.store.footer(segment).await {
            Ok(footer) => footer,
            Err(store::Error::NotFound { .. }) => return Ok(Verdict::Keep),
            Err(error) => return Err(error.into()),
        };
        let day_end = Timestamp((i64::from(segment.name.day()) + 1).saturating_mul(DAY_NS));
        let streams = footer.streams();
        let (mut all, mut any) = (true, false);
        for ordinal in 0..streams.len() as u32 {
            let cutoff = retention.cutoff(&streams.labels(ordinal), now);
            all &= cutoff.is_some_and(|cutoff| streams.last(ordinal) < cutoff);
            // Not before the day's last row could have expired: one segment is written anew once
            // for each period.
            any |= cutoff.is_some_and(|cutoff| day_end <= cutoff);
        }
        Ok(match (all, any) {
            (true, _) => Verdict::Delete,
            (false, true) => Verdict::Rewrite,
            (false, false) => Verdict::Keep,
        })
    }

    /// Deletes segments, the oldest first, until so many bytes are left.
    async fn delete_oldest(
        &self,
        mut segments: Vec<Arc<StoredSegment>>,
        bytes_max: u64,
    ) -> Result<(), Error> {
        let mut bytes: u64 = segments.iter().map(|segment| segment.bytes).sum();
        segments.sort_by_key(|segment| segment.name.last());
        for segment in segments {
            if bytes <= bytes_max {
                break;
            }
            self.remove(&segment).await?;
            self.metrics.removed(Reason::size);
            bytes -= segment.bytes;
            let age = self.clock.now().0.saturating_sub(segment.name.last().0);
            tracing::info!(
                segment = %segment.name,
                age = ?Duration::from_nanos(age.max(0) as u64),
                "the oldest segment is deleted to stay within the configured size"
            );
        }
        Ok(())
    }
}
