//! What replicas stored already need not be stored again.
//!
//! With a replication factor above one every row is in the heads of several ingesters. The one of
//! rank 0 stores its heads at once; the others wait a little, read the digests of what was stored
//! lately for the tenant, and leave out every cell of a stream of which they hold the same rows as
//! another ingester has stored. Rows that are left out count as flushed: their log is retired, and
//! the head is known to queries by the segments of the other that hold them.
//!
//! Why nothing is lost: a cell is left out only when the digest of *all* rows that this ingester
//! sums up for it, those of the head among them, equals the digest of rows that stand in existing
//! segments. Equal digests stand for equal rows (`segment::RowHasher`), so each row of the head
//! stands in a segment, whatever else was forgotten, repeated or counted twice on either side. In
//! any doubt (a digest that cannot be read, a listing that fails, memory that is short, a wait that
//! takes too long) the rows are stored.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use hashbrown::{HashMap, HashSet};
use model::{TenantId, TimeRange, Timestamp};
use segment::{DIGEST_SECONDS, Digest, RowHasher, SegmentDigests, SegmentName, digest_cell};
use store::{SegmentFooter, Store, StoredSegment};

use crate::head::{RunView, SealedHead};
use crate::row::{Row, Slabs, slab_bytes};
use crate::tenant::Tenant;

#[cfg(test)]
mod tests;

/// Rows that a cell should stand for at least, so that digests stay small beside them.
const ROWS_PER_CELL: usize = 16;
/// Segments that are looked at for one head; beyond it the newest count.
const SEGMENTS_MAX: usize = 256;
/// The widest cell, in nanoseconds.
const CELL_NS_MAX: i64 = 300 * 1_000_000_000;

/// Knows who else stores the rows of a tenant.
pub trait Replicas: Send + Sync {
    /// How many of the ingesters that share streams of this tenant with this one store them before
    /// it does. 0 stores at once. It may change at any time; when two have one rank, both store,
    /// which costs bytes and nothing else.
    fn rank(&self, tenant: &TenantId) -> u32;
}

/// A stream's hash and a cell of it.
pub(crate) type CellKey = (u64, i64);

/// The digests of a head, in cells of one width.
#[derive(Debug, Default)]
pub(crate) struct HeadDigests {
    /// One of [`DIGEST_SECONDS`].
    pub(crate) seconds: u32,
    pub(crate) cells: HashMap<CellKey, Digest>,
}

impl HeadDigests {
    /// The digests of a head's rows, in the narrowest cells that are worth it. A head that filled
    /// in `age` gets cells no wider than that: one that is wider would not be whole before later
    /// heads are stored.
    pub(crate) fn of(runs: &[Arc<RunView>], slabs: &Slabs, age: Duration) -> Self {
        let rows: usize = runs.iter().map(|run| run.rows(slabs).len()).sum();
        let mut narrow = Self { seconds: DIGEST_SECONDS[0], cells: HashMap::new() };
        for run in runs {
            narrow.add_run(run, slabs);
        }
        for seconds in DIGEST_SECONDS.into_iter().skip(1) {
            let is_dense = narrow.cells.len().saturating_mul(ROWS_PER_CELL) <= rows;
            if is_dense || Duration::from_secs(seconds.into()) > age.max(Duration::from_secs(60)) {
                break;
            }
            narrow = narrow.widened(seconds);
        }
        narrow
    }

    fn add_run(&mut self, run: &RunView, slabs: &Slabs) {
        let hasher = RowHasher::new(&run.labels);
        let mut metadata = Vec::new();
        for row in run.rows(slabs).iter() {
            let (cell, hash) = hashed(hasher, *row, slabs, self.seconds, &mut metadata);
            self.cells.entry(cell).or_default().add_row(hash);
        }
    }

    /// The same rows in cells of `seconds`, a multiple of the width they have.
    fn widened(&self, seconds: u32) -> Self {
        let factor = i64::from((seconds / self.seconds.max(1)).max(1));
        let mut cells: HashMap<CellKey, Digest> = HashMap::new();
        for ((stream, cell), digest) in &self.cells {
            cells.entry((*stream, cell.div_euclid(factor))).or_default().add(*digest);
        }
        Self { seconds, cells }
    }
}

/// The cell and the hash of a row.
pub(crate) fn hashed<'a>(
    hasher: RowHasher,
    row: Row,
    slabs: &'a Slabs,
    seconds: u32,
    metadata: &mut Vec<(&'a str, &'a str)>,
) -> (CellKey, u64) {
    let slab = slab_bytes(slabs, row.slab);
    metadata.clear();
    metadata.extend(row.metadata(slab));
    let timestamp = Timestamp(row.timestamp);
    let (line, level) = (row.line(slab), row.level());
    let hash = hasher.hash(&segment::Row { timestamp, line, level, metadata });
    ((hasher.stream(), digest_cell(timestamp, seconds)), hash)
}

/// What an ingester knows of a tenant's rows beside its heads.
#[derive(Debug, Default)]
pub(crate) struct Known {
    /// The digests of heads that were flushed, and when; oldest first.
    flushed: VecDeque<(Duration, Arc<HeadDigests>)>,
    /// Digests of segments that were read, `None` for one without. Only of those that were looked
    /// at last.
    read: HashMap<SegmentName, Option<Arc<Published>>>,
}

impl Known {
    /// Keeps the digests of a head that was flushed, and forgets those older than `before`.
    pub(crate) fn flushed(&mut self, digests: Arc<HeadDigests>, now: Duration, keep: Duration) {
        self.flushed.push_back((now, digests));
        self.forget(now, keep);
    }

    /// Forgets what was flushed longer ago than `keep`.
    pub(crate) fn forget(&mut self, now: Duration, keep: Duration) {
        while self.flushed.front().is_some_and(|(at, _)| *at + keep < now) {
            self.flushed.pop_front();
        }
        if self.flushed.is_empty() {
            self.read.clear();
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.flushed.is_empty()
    }
}

/// The digests of one segment, and who stored it.
#[derive(Debug)]
struct Published {
    ingester: String,
    digests: SegmentDigests,
    footer: Arc<SegmentFooter>,
}

/// Which rows of a head are left out, and where they stand instead.
#[derive(Debug, Default)]
pub(crate) struct Skip {
    /// By width of cells in seconds.
    cells: Vec<(u32, HashSet<CellKey>)>,
    /// The segments that hold the rows.
    pub(crate) held_by: Vec<SegmentName>,
    /// How many cells the head has, and how many of them are left out.
    pub(crate) of: usize,
    pub(crate) skipped: usize,
    /// How many rows are left out.
    pub(crate) rows: u64,
}

impl Skip {
    /// Whether a row of a stream is left out.
    pub(crate) fn contains(&self, stream: u64, at: Timestamp) -> bool {
        self.cells
            .iter()
            .any(|(seconds, cells)| cells.contains(&(stream, digest_cell(at, *seconds))))
    }

    /// Whether no row is left out.
    pub(crate) fn is_empty(&self) -> bool {
        self.skipped == 0
    }

    /// Whether no row is left to be stored.
    pub(crate) fn is_whole(&self) -> bool {
        self.skipped == self.of
    }
}

/// Finds out which cells of a head others have stored. Reads digests: blocks.
pub(crate) fn compare(store: &Store, tenant: &Tenant, head: &SealedHead) -> Skip {
    let own = head.digests();
    let published = published(store, tenant, head);
    let mut by_ingester: HashMap<&str, Vec<&(SegmentName, Arc<Published>)>> = HashMap::new();
    for one in &published {
        by_ingester.entry(&one.1.ingester).or_default().push(one);
    }
    let mut by_ingester: Vec<_> = by_ingester.into_iter().collect();
    by_ingester.sort_unstable_by_key(|(ingester, _)| *ingester);
    let mut mine: HashMap<u32, Mine> = HashMap::new();
    let mut skip = Skip { of: own.cells.len(), ..Skip::default() };
    // In the head's own cells, which the wider ones are made of.
    let mut left_out: HashSet<CellKey> = HashSet::new();
    for (_, segments) in by_ingester {
        let widths = segments.iter().map(|(_, one)| one.digests.seconds);
        let seconds = widths.fold(own.seconds, u32::max);
        let mine = mine.entry(seconds).or_insert_with(|| Mine::of(tenant, head, seconds));
        let parts: Vec<HashMap<CellKey, Digest>> =
            segments.iter().map(|(_, one)| one.digests.widened(&one.footer, seconds)).collect();
        let mut cells = HashSet::new();
        for (cell, of_head) in &mine.head {
            let mut total = Digest::default();
            let held: Vec<usize> = (0..parts.len())
                .filter(|part| parts[*part].get(cell).map(|digest| total.add(*digest)).is_some())
                .collect();
            let is_held = total == *of_head || mine.total.get(cell) == Some(&total);
            if is_held {
                cells.insert(*cell);
                skip.held_by.extend(held.into_iter().map(|part| segments[part].0.clone()));
            }
        }
        let factor = i64::from(seconds / own.seconds);
        let is_in = |(stream, cell): &&CellKey| cells.contains(&(*stream, cell.div_euclid(factor)));
        left_out.extend(own.cells.keys().filter(is_in).copied());
        if !cells.is_empty() {
            skip.cells.push((seconds, cells));
        }
    }
    skip.skipped = left_out.len();
    skip.rows = left_out.iter().filter_map(|cell| own.cells.get(cell)).map(|cell| cell.count).sum();
    skip.held_by.sort();
    skip.held_by.dedup();
    skip
}

/// What this ingester ever got of the cells of a head, in cells of one width.
struct Mine {
    /// In the head itself.
    head: HashMap<CellKey, Digest>,
    /// In it and in every other head that is remembered.
    total: HashMap<CellKey, Digest>,
}

impl Mine {
    fn of(tenant: &Tenant, head: &SealedHead, seconds: u32) -> Self {
        let own = head.digests().widened(seconds).cells;
        let mut total = own.clone();
        let mut add = |digests: &HeadDigests| {
            // Wider cells cannot be told apart; without them the sums differ, and rows are stored.
            let factor = i64::from(seconds / digests.seconds.max(1));
            if factor == 0 {
                return;
            }
            for ((stream, cell), digest) in &digests.cells {
                if let Some(sum) = total.get_mut(&(*stream, cell.div_euclid(factor))) {
                    sum.add(*digest);
                }
            }
        };
        for (_, digests) in &tenant.replicas.lock().flushed {
            add(digests);
        }
        for other in tenant.sealed().iter().filter(|other| other.id.origin != head.id.origin) {
            add(&other.digests());
        }
        let (first, last) = head.span();
        let range = around(first, last);
        let (runs, slabs) = tenant.active_view(range);
        let mut metadata = Vec::new();
        for run in &runs {
            let hasher = RowHasher::new(&run.labels);
            for row in run.rows(&slabs).iter() {
                let (cell, hash) = hashed(hasher, *row, &slabs, seconds, &mut metadata);
                if let Some(sum) = total.get_mut(&cell) {
                    sum.add_row(hash);
                }
            }
        }
        Self { head: own, total }
    }
}

/// A span of time, as wide as the cells that its ends lie in.
fn around(first: Timestamp, last: Timestamp) -> TimeRange {
    let end = last.0.saturating_add(CELL_NS_MAX).saturating_add(1);
    TimeRange::new(Timestamp(first.0.saturating_sub(CELL_NS_MAX)), Timestamp(end))
}

/// The digests of stored flushes that may hold rows of a head.
fn published(
    store: &Store,
    tenant: &Tenant,
    head: &SealedHead,
) -> Vec<(SegmentName, Arc<Published>)> {
    let (first, last) = head.span();
    let range = around(first, last);
    let catalog = store.catalog();
    // Rows that were compacted since are stored all the same.
    let stored = catalog.select(&tenant.id, range).into_iter().chain(
        catalog.superseded(&tenant.id).into_iter().filter(|segment| segment.name.overlaps(range)),
    );
    let mut flushes: Vec<_> = stored.filter(|segment| segment.name.level() == 0).collect();
    flushes.sort_by_key(|segment| std::cmp::Reverse(segment.name.last()));
    flushes.truncate(SEGMENTS_MAX);
    let known = std::mem::take(&mut tenant.replicas.lock().read);
    let mut read = HashMap::with_capacity(flushes.len());
    let mut found = Vec::new();
    for segment in flushes {
        let published = match known.get(&segment.name) {
            Some(known) => known.clone(),
            None => match read_published(store, &segment) {
                Ok(published) => published.map(Arc::new),
                Err(error) => {
                    tracing::debug!(error = error.chain(), "a digest is not read, rows are stored");
                    continue;
                }
            },
        };
        if let Some(published) = &published {
            found.push((segment.name.clone(), Arc::clone(published)));
        }
        read.insert(segment.name.clone(), published);
    }
    tenant.replicas.lock().read = read;
    found
}

/// The digests of a segment; `None` when it keeps none or they cannot be understood.
fn read_published(
    store: &Store,
    segment: &StoredSegment,
) -> Result<Option<Published>, store::Error> {
    let footer = store.footer_blocking(segment)?;
    let (Some(range), Some(coverage)) = (footer.digests(), footer.facts().coverage.as_ref()) else {
        return Ok(None);
    };
    let ingester = coverage.ingester.clone();
    let bytes = store.read_blocking(segment, &[range])?;
    let digests = bytes.first().map(|bytes| segment::decode_digests(&footer, bytes));
    match digests {
        Some(Ok(digests)) => Ok(Some(Published { ingester, digests, footer })),
        Some(Err(error)) => {
            tracing::warn!(%error, segment = %segment.name, "a digest is damaged, rows are stored");
            Ok(None)
        }
        None => Ok(None),
    }
}
