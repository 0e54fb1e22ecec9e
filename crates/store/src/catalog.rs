//! Which segments exist.
//!
//! A [`Catalog`] is an immutable picture; whoever holds one keeps seeing the same segments. The
//! listing of object storage is the truth, and [`CatalogKeeper`] reconciles it with what this
//! process uploaded or deleted while the listing was under way. Segments whose rows another one
//! took over are *superseded* ([`lineage`]): they still exist, and no query reads them.

mod lineage;

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use model::{TenantId, TimeRange, Timestamp};
use parking_lot::{Mutex, RwLock};
use segment::SegmentName;

use crate::bucket::ObjectInfo;
use lineage::{Day, Lineage};

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
    days: BTreeMap<i32, Day>,
    /// How many days after its first row's a segment's last row lies, at most.
    span_days: i32,
}

impl Catalog {
    /// A picture of some segments: those that are read, and others that exist.
    pub(crate) fn of_some(live: Vec<StoredSegment>, others: Vec<StoredSegment>) -> Self {
        let mut days: BTreeMap<(TenantId, i32), [Vec<Arc<StoredSegment>>; 2]> = BTreeMap::new();
        for (at, segments) in [live, others].into_iter().enumerate() {
            for segment in segments {
                let key = (segment.name.tenant().clone(), segment.name.first().day());
                days.entry(key).or_default()[at].push(Arc::new(segment));
            }
        }
        let mut tenants: HashMap<TenantId, TenantSegments> = HashMap::new();
        for ((tenant, number), lists) in days {
            let [live, superseded] = lists.map(|mut list| {
                list.sort_by(|a, b| a.name.cmp(&b.name));
                list.dedup_by(|a, b| a.name == b.name);
                list.into()
            });
            tenants.entry(tenant).or_default().put_day(number, Day { live, superseded });
        }
        Self { tenants: tenants.into_iter().map(|(tenant, s)| (tenant, Arc::new(s))).collect() }
    }

    /// The segments of a tenant that may hold rows of the range, by name; none is superseded.
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
            .flat_map(|(_, day)| day.live.iter())
            .filter(|segment| segment.name.overlaps(range))
            .cloned()
            .collect()
    }

    /// Whether the rows of a segment are part of this picture: it exists, superseded or not.
    #[must_use]
    pub fn contains(&self, name: &SegmentName) -> bool {
        self.get(name).is_some()
    }

    /// The segment of a name, superseded or not.
    #[must_use]
    pub fn get(&self, name: &SegmentName) -> Option<Arc<StoredSegment>> {
        let day = self.tenants.get(name.tenant())?.days.get(&name.first().day())?;
        let find = |segments: &[Arc<StoredSegment>]| {
            let at = segments.binary_search_by(|segment| segment.name.cmp(name)).ok()?;
            segments.get(at).cloned()
        };
        find(&day.live).or_else(|| find(&day.superseded))
    }

    /// The tenants that have segments, sorted.
    #[must_use]
    pub fn tenants(&self) -> Vec<TenantId> {
        let mut tenants: Vec<TenantId> = self.tenants.keys().cloned().collect();
        tenants.sort();
        tenants
    }

    /// Every segment of a tenant that is not superseded, by day and name.
    #[must_use]
    pub fn all(&self, tenant: &TenantId) -> Vec<Arc<StoredSegment>> {
        self.days(tenant).flat_map(|day| day.live.iter()).cloned().collect()
    }

    /// The segments of a tenant whose rows others took over, by day and name. They wait for being
    /// deleted once nobody reads them any more.
    #[must_use]
    pub fn superseded(&self, tenant: &TenantId) -> Vec<Arc<StoredSegment>> {
        self.days(tenant).flat_map(|day| day.superseded.iter()).cloned().collect()
    }

    fn days(&self, tenant: &TenantId) -> impl Iterator<Item = &Day> {
        self.tenants.get(tenant).into_iter().flat_map(|segments| segments.days.values())
    }

    /// How much a tenant has stored; what is superseded does not count.
    #[must_use]
    pub fn totals(&self, tenant: &TenantId) -> Totals {
        self.tenants.get(tenant).map(|segments| segments.totals()).unwrap_or_default()
    }

    /// How much all tenants have stored; what is superseded does not count.
    #[must_use]
    pub fn total(&self) -> Totals {
        self.tenants.values().fold(Totals::default(), |sum, s| sum.plus(s.totals()))
    }

    /// How many segments exist, superseded or not.
    fn stored_count(&self) -> u64 {
        let days = self.tenants.values().flat_map(|tenant| tenant.days.values());
        days.map(|day| (day.live.len() + day.superseded.len()) as u64).sum()
    }

    fn of(segments: impl IntoIterator<Item = Arc<StoredSegment>>, lineage: &Lineage) -> Self {
        let mut days: BTreeMap<(TenantId, i32), Vec<Arc<StoredSegment>>> = BTreeMap::new();
        for segment in segments {
            let key = (segment.name.tenant().clone(), segment.name.first().day());
            days.entry(key).or_default().push(segment);
        }
        let mut tenants: HashMap<TenantId, TenantSegments> = HashMap::new();
        for ((tenant, day), segments) in days {
            tenants.entry(tenant).or_default().put_day(day, Day::new(segments, lineage));
        }
        let tenants = tenants.into_iter().map(|(tenant, s)| (tenant, Arc::new(s))).collect();
        Self { tenants }
    }

    /// This picture with the day of one segment changed.
    fn with_day(
        &self,
        name: &SegmentName,
        lineage: &Lineage,
        change: impl FnOnce(&mut Vec<Arc<StoredSegment>>),
    ) -> Self {
        let mut new = self.clone();
        let tenant = new.tenants.entry(name.tenant().clone()).or_default();
        let day = name.first().day();
        let mut segments = TenantSegments::clone(tenant);
        let mut of_day = segments.days.get(&day).map(Day::stored).unwrap_or_default();
        change(&mut of_day);
        segments.put_day(day, Day::new(of_day, lineage));
        *tenant = Arc::new(segments);
        if tenant.days.is_empty() {
            new.tenants.remove(name.tenant());
        }
        new
    }
}

impl TenantSegments {
    fn put_day(&mut self, number: i32, day: Day) {
        for segment in day.live.iter().chain(&*day.superseded) {
            let span = segment.name.last().day().saturating_sub(number);
            self.span_days = self.span_days.max(span);
        }
        if day.is_empty() {
            self.days.remove(&number);
        } else {
            self.days.insert(number, day);
        }
    }

    fn totals(&self) -> Totals {
        let segments = self.days.values().flat_map(|day| day.live.iter());
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

/// What this process did since the oldest listing under way began. Listings and what was done are
/// numbered together, in their order.
#[derive(Debug, Default)]
struct Changes {
    next: u64,
    /// Listings under way.
    listings: BTreeSet<u64>,
    uploaded: Vec<(u64, Arc<StoredSegment>)>,
    deleted: Vec<(u64, SegmentName)>,
    /// What is known of who took over whose rows.
    lineage: Lineage,
}

impl Changes {
    fn number(&mut self) -> u64 {
        self.next += 1;
        self.next
    }

    /// Notes a segment that listings under way may not show.
    fn uploaded(&mut self, segment: &Arc<StoredSegment>) {
        if !self.listings.is_empty() {
            let number = self.number();
            self.uploaded.push((number, Arc::clone(segment)));
        }
    }

    /// Notes a segment that listings under way may still show.
    fn deleted(&mut self, name: &SegmentName) {
        if !self.listings.is_empty() {
            self.uploaded.retain(|(_, segment)| segment.name != *name);
            let number = self.number();
            self.deleted.push((number, name.clone()));
        }
    }

    /// Forgets what every listing under way shows. Some listing may always be under way, so this
    /// does not wait for the last of them.
    fn ended(&mut self, listing: u64) {
        self.listings.remove(&listing);
        let oldest = self.listings.first().copied().unwrap_or(u64::MAX);
        self.uploaded.retain(|(number, _)| *number > oldest);
        self.deleted.retain(|(number, _)| *number > oldest);
    }
}

/// A listing under way. Give it back to [`CatalogKeeper::finish`], or drop it.
pub(crate) struct Listing<'a> {
    keeper: &'a CatalogKeeper,
    number: u64,
}

impl Drop for Listing<'_> {
    fn drop(&mut self) {
        self.keeper.changes.lock().ended(self.number);
    }
}

impl CatalogKeeper {
    pub(crate) fn current(&self) -> Arc<Catalog> {
        Arc::clone(&self.current.read())
    }

    /// Adds a segment; those named as its parents are superseded in the same instant.
    pub(crate) fn add(&self, segment: StoredSegment, parents: &[u128]) {
        let segment = Arc::new(segment);
        let mut changes = self.changes.lock();
        changes.lineage.learn(segment.name.hash(), parents);
        changes.deleted.retain(|(_, name)| *name != segment.name);
        changes.uploaded(&segment);
        let new = self.current().with_day(&segment.name, &changes.lineage, |day| {
            day.push(Arc::clone(&segment));
        });
        *self.current.write() = Arc::new(new);
    }

    /// Adds a segment that another process stored, unless it is known.
    pub(crate) fn adopt(&self, segment: StoredSegment) {
        let segment = Arc::new(segment);
        let mut changes = self.changes.lock();
        let current = self.current();
        if current.contains(&segment.name) {
            return;
        }
        // A listing may have begun before the segment was stored.
        changes.uploaded(&segment);
        let new = current.with_day(&segment.name, &changes.lineage, |day| {
            day.push(Arc::clone(&segment));
        });
        *self.current.write() = Arc::new(new);
    }

    pub(crate) fn remove(&self, name: &SegmentName) {
        let mut changes = self.changes.lock();
        changes.deleted(name);
        let new =
            self.current().with_day(name, &changes.lineage, |day| day.retain(|s| s.name != *name));
        *self.current.write() = Arc::new(new);
    }

    /// Remembers whose rows a segment took over, for pictures to come.
    pub(crate) fn learn(&self, name: &SegmentName, parents: &[u128]) {
        self.changes.lock().lineage.learn(name.hash(), parents);
    }

    /// Which of some listed segments may supersede others without that being known: those whose
    /// parents should be learned before the listing is taken over.
    pub(crate) fn unexplained(&self, objects: &[ObjectInfo]) -> Vec<StoredSegment> {
        let names = objects.iter().filter_map(|object| {
            let name = SegmentName::parse(&object.name).ok()?;
            Some(StoredSegment { name, bytes: object.bytes })
        });
        self.changes.lock().lineage.unexplained(names.collect())
    }

    /// To be called before a listing is asked for.
    pub(crate) fn begin(&self) -> Listing<'_> {
        let mut changes = self.changes.lock();
        let number = changes.number();
        changes.listings.insert(number);
        Listing { keeper: self, number }
    }

    /// Takes over the flushes of a listing of some segments only; nothing is removed. A compacted
    /// segment waits for a whole listing, which asks for its parents. Answers how many are new.
    pub(crate) fn discover(&self, listing: Listing<'_>, objects: &[ObjectInfo]) -> u64 {
        let mut changes = self.changes.lock();
        let mut picture = Catalog::clone(&self.current());
        let mut added = 0;
        for object in objects {
            let Ok(name) = SegmentName::parse(&object.name) else { continue };
            let is_deleted = || changes.deleted.iter().any(|(_, deleted)| *deleted == name);
            if name.level() > 0 || picture.contains(&name) || is_deleted() {
                continue;
            }
            let segment = Arc::new(StoredSegment { name, bytes: object.bytes });
            // A whole listing under way may have begun before the segment was stored.
            changes.uploaded(&segment);
            picture = picture.with_day(&segment.name, &changes.lineage, |day| {
                day.push(Arc::clone(&segment));
            });
            added += 1;
        }
        if added > 0 {
            *self.current.write() = Arc::new(picture);
        }
        // The end of the listing takes the same lock.
        drop(changes);
        drop(listing);
        added
    }

    /// Takes over what was listed, corrected by what happened meanwhile.
    pub(crate) fn finish(&self, listing: Listing<'_>, objects: Vec<ObjectInfo>) -> Refreshed {
        let mut changes = self.changes.lock();
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
        let later = changes.uploaded.iter().filter(|(number, _)| *number > listing.number);
        for (_, segment) in later {
            segments.insert(segment.name.clone(), Arc::clone(segment));
        }
        // Also earlier ones that are kept: the object may not be gone yet.
        for (_, name) in &changes.deleted {
            segments.remove(name);
        }
        refreshed.added = segments.keys().filter(|name| !before.contains(name)).count() as u64;
        let kept = segments.len() as u64 - refreshed.added;
        refreshed.removed = before.stored_count() - kept;
        changes.lineage.keep_only(segments.keys().map(SegmentName::hash).collect());
        let new = Catalog::of(segments.into_values(), &changes.lineage);
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
