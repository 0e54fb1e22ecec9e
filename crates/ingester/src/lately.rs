//! Which segments were stored lately, for queriers whose catalog is older than that.
//!
//! A head is forgotten as soon as it is stored. A querier of another process that has not listed
//! object storage since would see its rows nowhere; so it asks for these names with the heads, and
//! lists again when it lacks one.

use std::collections::VecDeque;
use std::time::Duration;

use model::TenantId;
use parking_lot::Mutex;
use segment::SegmentName;

/// How long a name is kept: many times longer than queriers take to list again.
const KEPT: Duration = Duration::from_secs(15 * 60);
/// Names kept at most; the oldest go first.
const NAMES_MAX: usize = 16 << 10;

/// The names, oldest first.
#[derive(Debug, Default)]
pub(crate) struct Lately(Mutex<VecDeque<(Duration, SegmentName)>>);

impl Lately {
    /// Notes segments that were stored. To be called before their rows leave memory.
    pub(crate) fn stored(&self, names: impl Iterator<Item = SegmentName>, now: Duration) {
        let mut kept = self.0.lock();
        kept.extend(names.map(|name| (now, name)));
        while kept.len() > NAMES_MAX
            || kept.front().is_some_and(|(at, _)| now.saturating_sub(*at) > KEPT)
        {
            kept.pop_front();
        }
    }

    /// The names of a tenant's segments, oldest first.
    pub(crate) fn of(&self, tenant: &TenantId, now: Duration) -> Vec<SegmentName> {
        let kept = self.0.lock();
        let young = |(at, _): &&(Duration, SegmentName)| now.saturating_sub(*at) <= KEPT;
        let names = kept.iter().filter(young).map(|(_, name)| name);
        names.filter(|name| name.tenant() == tenant).cloned().collect()
    }
}
