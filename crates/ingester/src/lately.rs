//! Which segments were stored lately, for queriers whose catalog is older than that.
//!
//! A head is forgotten as soon as it is stored. A querier of another process that has not listed
//! object storage since would see its rows nowhere; so it is told of these segments with the heads.

use std::collections::VecDeque;
use std::time::Duration;

use model::TenantId;
use parking_lot::Mutex;
use store::StoredSegment;

/// How long a segment is named: many times longer than queriers take to list again.
const KEPT: Duration = Duration::from_secs(15 * 60);
/// Segments named at most; the oldest go first.
const SEGMENTS_MAX: usize = 16 << 10;

/// The segments, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Lately(Mutex<VecDeque<(Duration, StoredSegment)>>);

impl Lately {
    /// Notes segments that were stored. To be called before their rows leave memory.
    pub(crate) fn stored(&self, segments: impl IntoIterator<Item = StoredSegment>, now: Duration) {
        let mut kept = self.0.lock();
        kept.extend(segments.into_iter().map(|segment| (now, segment)));
        while kept.len() > SEGMENTS_MAX
            || kept.front().is_some_and(|(at, _)| now.saturating_sub(*at) > KEPT)
        {
            kept.pop_front();
        }
    }

    /// A tenant's segments, oldest first.
    pub(crate) fn of(&self, tenant: &TenantId, now: Duration) -> Vec<StoredSegment> {
        let kept = self.0.lock();
        let young = |(at, _): &&(Duration, StoredSegment)| now.saturating_sub(*at) <= KEPT;
        let segments = kept.iter().filter(young).map(|(_, segment)| segment);
        segments.filter(|segment| segment.name.tenant() == tenant).cloned().collect()
    }
}
