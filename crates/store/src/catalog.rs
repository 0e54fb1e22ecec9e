//! Which segments exist.
//!
//! A [`Catalog`] is an immutable picture; whoever holds one keeps seeing the same segments. The
//! listing of object storage is the truth, and [`CatalogKeeper`] reconciles it with what this
//! process uploaded or deleted while the listing was under way.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use model::{TenantId, TimeRange, Timestamp};
use parking_lot::{Mutex, RwLock};
use segment::SegmentName;

use crate::bucket::ObjectInfo;

/// A segment that exists.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct StoredSegment {
    /// Its name; prints as the object's name.
    pub name: SegmentName,
    /// Length of the object in bytes.
    pub bytes: u64,
}

/// How much is stored.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Totals {
    /// Segments.
    pub segments: u64,
    /// Their bytes in object storage.
    pub bytes: u64,
    /// Their rows.
    pub rows: u64,
}

/// The segments that existed at one moment.
#[derive(Debug, Clone, Default)]
pub struct Catalog {
    tenants: HashMap<TenantId, Arc<TenantSegments>>,
}

/// The segments of a tenant by the day of their first row.
#[derive(Debug, Clone, Default)]
struct TenantSegments {
    /// Each day's segments are sorted by name.
    days: BTreeMap<i32, Arc<[Arc<StoredSegment>]>>,
    /// How many days after its first row's a segment's last row lies, at most.
    span_days: i32,
}

impl Catalog {
    /// The segments of a tenant that may hold rows of the range, by name.
    #[must_use]
    pub fn select(&self, tenant: &TenantId, range: TimeRange) -> Vec<Arc<StoredSegment>> {
        let Some(segments) = self.tenants.get(tenant) else { return Vec::new() };
        if range.is_empty() {
            return Vec::new();
        }
        let first_day = range.start.day().saturating_sub(segments.span_days);
        segments
            .days
            .range(first_day..=range.end.day())
            .flat_map(|(_, day)| day.iter())
            .filter(|segment| segment.name.overlaps(range))
            .cloned()
            .collect()
    }

    /// Whether a segment is part of this picture.
    #[must_use]
    pub fn contains(&self, name: &SegmentName) -> bool {
        self.get(name).is_some()
    }

    /// The segment of a name.
    #[must_use]
    pub fn get(&self, name: &SegmentName) -> Option<Arc<StoredSegment>> {
        let day = self.tenants.get(name.tenant())?.days.get(&name.first().day())?;
        let at = day.binary_search_by(|segment| segment.name.cmp(name)).ok()?;
        day.get(at).cloned()
    }

    /// The tenants that have segments, sorted.
    #[must_use]
    pub fn tenants(&self) -> Vec<TenantId> {
        let mut tenants: Vec<TenantId> = self.tenants.keys().cloned().collect();
        tenants.sort();
        tenants
    }

    /// Every segment of a tenant, by day and name.
    #[must_use]
    pub fn all(&self, tenant: &TenantId) -> Vec<Arc<StoredSegment>> {
        let segments = self.tenants.get(tenant);
        segments.into_iter().flat_map(|s| s.days.values()).flat_map(|d| d.iter()).cloned().collect()
    }

    /// How much a tenant has stored.
    #[must_use]
    pub fn totals(&self, tenant: &TenantId) -> Totals {
        self.tenants.get(tenant).map(|segments| segments.totals()).unwrap_or_default()
    }

    /// How much all tenants have stored.
    #[must_use]
    pub fn total(&self) -> Totals {
        self.tenants.values().fold(Totals::default(), |sum, s| sum.plus(s.totals()))
    }

    fn of(segments: impl IntoIterator<Item = Arc<StoredSegment>>) -> Self {
        let mut days: BTreeMap<(TenantId, i32), Vec<Arc<StoredSegment>>> = BTreeMap::new();
        for segment in segments {
            let key = (segment.name.tenant().clone(), segment.name.first().day());
            days.entry(key).or_default().push(segment);
        }
        let mut tenants: HashMap<TenantId, TenantSegments> = HashMap::new();
        for ((tenant, day), segments) in days {
            tenants.entry(tenant).or_default().put_day(day, segments);
        }
        let tenants = tenants.into_iter().map(|(tenant, s)| (tenant, Arc::new(s))).collect();
        Self { tenants }
    }

    /// This picture with the day of one segment changed.
    fn with_day(
        &self,
        name: &SegmentName,
        change: impl FnOnce(&mut Vec<Arc<StoredSegment>>),
    ) -> Self {
        let mut new = self.clone();
        let tenant = new.tenants.entry(name.tenant().clone()).or_default();
        let day = name.first().day();
        let mut segments = TenantSegments::clone(tenant);
        let mut of_day = segments.days.get(&day).map(|day| day.to_vec()).unwrap_or_default();
        change(&mut of_day);
        segments.put_day(day, of_day);
        *tenant = Arc::new(segments);
        if tenant.days.is_empty() {
            new.tenants.remove(name.tenant());
        }
        new
    }
}

impl TenantSegments {
    fn put_day(&mut self, day: i32, mut segments: Vec<Arc<StoredSegment>>) {
        segments.sort_by(|a, b| a.name.cmp(&b.name));
        segments.dedup_by(|a, b| a.name == b.name);
        for segment in &segments {
            let span = segment.name.last().day().saturating_sub(day);
            self.span_days = self.span_days.max(span);
        }
        if segments.is_empty() {
            self.days.remove(&day);
        } else {
            self.days.insert(day, segments.into());
        }
    }

    fn totals(&self) -> Totals {
        let segments = self.days.values().flat_map(|day| day.iter());
        segments.fold(Totals::default(), |sum, segment| {
            let rows = segment.name.rows();
            sum.plus(Totals { segments: 1, bytes: segment.bytes, rows })
        })
    }
}

impl Totals {
    fn plus(self, other: Self) -> Self {
        Self {
            segments: self.segments + other.segments,
            bytes: self.bytes + other.bytes,
            rows: self.rows + other.rows,
        }
    }
}

/// What a listing meant for the catalog.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Refreshed {
    /// Segments that were not known before.
    pub added: u64,
    /// Segments that were known and do not exist any more.
    pub removed: u64,
    /// Objects whose names are not understood.
    pub ignored: u64,
}

/// Keeps the newest picture.
#[derive(Debug, Default)]
pub(crate) struct CatalogKeeper {
    current: RwLock<Arc<Catalog>>,
    /// Serialises the makers of new pictures.
    changes: Mutex<Changes>,
}

/// What this process did since the oldest listing under way began.
#[derive(Debug, Default)]
struct Changes {
    /// Listings under way.
    listings: u32,
    uploaded: Vec<Arc<StoredSegment>>,
    deleted: Vec<SegmentName>,
}

/// A listing under way. Give it back to [`CatalogKeeper::finish`], or drop it.
pub(crate) struct Listing<'a> {
    keeper: &'a CatalogKeeper,
}

impl Drop for Listing<'_> {
    fn drop(&mut self) {
        let mut changes = self.keeper.changes.lock();
        changes.listings -= 1;
        if changes.listings == 0 {
            changes.uploaded.clear();
            changes.deleted.clear();
        }
    }
}

impl CatalogKeeper {
    pub(crate) fn current(&self) -> Arc<Catalog> {
        Arc::clone(&self.current.read())
    }

    pub(crate) fn add(&self, segment: StoredSegment) {
        let segment = Arc::new(segment);
        let mut changes = self.changes.lock();
        if changes.listings > 0 {
            changes.deleted.retain(|name| *name != segment.name);
            changes.uploaded.push(Arc::clone(&segment));
        }
        let new = self.current().with_day(&segment.name, |day| day.push(Arc::clone(&segment)));
        *self.current.write() = Arc::new(new);
    }

    pub(crate) fn remove(&self, name: &SegmentName) {
        let mut changes = self.changes.lock();
        if changes.listings > 0 {
            changes.uploaded.retain(|segment| segment.name != *name);
            changes.deleted.push(name.clone());
        }
        let new = self.current().with_day(name, |day| day.retain(|s| s.name != *name));
        *self.current.write() = Arc::new(new);
    }

    /// To be called before a listing is asked for.
    pub(crate) fn begin(&self) -> Listing<'_> {
        self.changes.lock().listings += 1;
        Listing { keeper: self }
    }

    /// Takes over what was listed, corrected by what happened meanwhile.
    pub(crate) fn finish(&self, listing: Listing<'_>, objects: Vec<ObjectInfo>) -> Refreshed {
        let changes = self.changes.lock();
        let before = self.current();
        let mut refreshed = Refreshed::default();
        let mut segments: HashMap<SegmentName, Arc<StoredSegment>> = HashMap::new();
        for object in objects {
            match SegmentName::parse(&object.name) {
                Ok(name) => {
                    let segment = before.get(&name).filter(|known| known.bytes == object.bytes);
                    let segment = segment.unwrap_or_else(|| {
                        Arc::new(StoredSegment { name: name.clone(), bytes: object.bytes })
                    });
                    segments.insert(name, segment);
                }
                Err(_) => refreshed.ignored += 1,
            }
        }
        for segment in &changes.uploaded {
            segments.insert(segment.name.clone(), Arc::clone(segment));
        }
        for name in &changes.deleted {
            segments.remove(name);
        }
        refreshed.added = segments.keys().filter(|name| !before.contains(name)).count() as u64;
        let kept = segments.len() as u64 - refreshed.added;
        refreshed.removed = before.total().segments - kept;
        let new = Catalog::of(segments.into_values());
        *self.current.write() = Arc::new(new);
        // The end of the listing takes the same lock.
        drop(changes);
        drop(listing);
        refreshed
    }
}

/// The span of time that some segments cover, if there are any.
#[must_use]
pub fn covered(segments: &[Arc<StoredSegment>]) -> Option<(Timestamp, Timestamp)> {
    let first = segments.iter().map(|segment| segment.name.first()).min()?;
    let last = segments.iter().map(|segment| segment.name.last()).max()?;
    Some((first, last))
}

#[cfg(test)]
mod tests;
