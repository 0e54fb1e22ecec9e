//! The rows of one tenant: heads and segments as one source.

use std::cmp::Reverse;
use std::collections::BTreeSet;
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use logql::source::{
    Batch, Cells, Piece, Selection, Source, SourceError, StreamRun, StreamSummary, Want,
};
use model::{Labels, Matcher, TenantId, TimeRange, Timestamp};
use parking_lot::{Mutex, RwLock};
use segment::SegmentName;
use store::{Catalog, SegmentFooter, Store, StoredSegment, StreamKey};

use crate::config::Unreadable;
use crate::metrics::Metrics;
use crate::recent::{Recent, RecentSource};
use crate::source::common_times::{KnownPairs, Member};
use crate::source::hidden::Hidden;
use crate::source::label_pool::LabelPool;
use crate::source::origins::{Origin, Origins};
use crate::source::planned::PlannedSegment;
use crate::source::{LabelPairs, prune, source_error};
use crate::versions::VersionHash;

/// Set in the id of a piece that stands in a head.
const HEAD: u64 = 1 << 63;
/// Added to the rank of rows in heads: they arrived after all rows of segments.
const HEAD_RANK: u64 = 1 << 62;
/// Warnings kept for one query; further ones say nothing new.
const WARNINGS_MAX: usize = 16;

/// What the sources of all tenants share.
#[derive(Clone)]
pub(crate) struct Shared {
    pub(crate) store: Arc<Store>,
    pub(crate) recent: Arc<dyn Recent>,
    pub(crate) unreadable: Unreadable,
    pub(crate) pool: Arc<LabelPool>,
    pub(crate) pairs: Arc<KnownPairs>,
    /// Threads that may look at indexes for one query.
    pub(crate) threads: usize,
    pub(crate) metrics: Metrics,
}

/// The rows of one tenant, as they were when a selector was first asked for.
pub(crate) struct TenantSource {
    tenant: TenantId,
    shared: Shared,
    hidden: Hidden,
    views: Mutex<Vec<Arc<View>>>,
    plans: RwLock<Plans>,
    warnings: Mutex<BTreeSet<String>>,
    pruned: Mutex<Pruned>,
}

/// What indexes did for a query.
#[derive(Debug, Clone, Copy, Default)]
pub(crate) struct Pruned {
    /// Blocks of the selection that hold no wanted row.
    pub(crate) blocks: u64,
    /// Compressed bytes of indexes that were read.
    pub(crate) index_bytes: u64,
}

/// Heads and catalog of one moment, for one selector.
pub(crate) struct View {
    matchers: Vec<Matcher>,
    range: TimeRange,
    pub(crate) heads: Arc<dyn RecentSource>,
    pub(crate) catalog: Arc<Catalog>,
}

/// Everything that pieces were handed out for.
#[derive(Default)]
struct Plans {
    segments: Vec<(Arc<PlannedSegment>, Arc<Origins>)>,
    heads: Vec<HeadPiece>,
}

/// A piece of a head.
#[derive(Clone)]
struct HeadPiece {
    view: Arc<View>,
    /// As the head knows it.
    piece: Piece,
    /// Its origin among those of the selection.
    origin: u64,
    origins: Arc<Origins>,
}

/// A piece of a head, as the head knows it, with its origin's number.
pub(crate) type NumberedPiece = (Piece, u64);

/// What a selection reads.
pub(crate) struct Plan {
    pub(crate) view: Arc<View>,
    pub(crate) heads: Vec<NumberedPiece>,
    /// By arrival.
    pub(crate) segments: Vec<PlannedSegment>,
}

impl TenantSource {
    pub(crate) fn new(tenant: TenantId, shared: Shared) -> Self {
        Self {
            tenant,
            shared,
            hidden: Hidden::default(),
            views: Mutex::default(),
            plans: RwLock::default(),
            warnings: Mutex::default(),
            pruned: Mutex::default(),
        }
    }

    /// The same rows without those that must not be seen.
    pub(crate) fn hiding(self, hidden: Hidden) -> Self {
        Self { hidden, ..self }
    }

    pub(crate) fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    pub(crate) fn store(&self) -> &Store {
        &self.shared.store
    }

    /// What indexes did so far.
    pub(crate) fn pruned(&self) -> Pruned {
        *self.pruned.lock()
    }

    /// The view for a selector; the same one whenever it is asked for again.
    pub(crate) fn view(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Arc<View>, SourceError> {
        let mut views = self.views.lock();
        let same = |view: &&Arc<View>| view.matchers == matchers && view.range == range;
        if let Some(view) = views.iter().find(same) {
            return Ok(Arc::clone(view));
        }
        // The order matters: a head that is flushed between the two is in both.
        let heads = self.shared.recent.snapshot(&self.tenant, matchers, range);
        let catalog = self.shared.store.picture_blocking(&self.tenant, range, heads.told());
        let catalog = catalog.map_err(|error| source_error(&error))?;
        let view = Arc::new(View { matchers: matchers.to_vec(), range, heads, catalog });
        views.push(Arc::clone(&view));
        Ok(view)
    }

    /// Decides what a selection reads.
    pub(crate) fn plan(&self, selection: &Selection) -> Result<Plan, SourceError> {
        let view = self.view(&selection.matchers, selection.range)?;
        let heads = view.heads_left(selection)?;
        let mut stored = view.catalog.select(&self.tenant, selection.range);
        let hidden_before = self.hidden.before();
        stored.retain(|segment| segment.name.last() >= hidden_before);
        let footers = self.shared.store.footers_blocking(&stored);
        let mut readable = Vec::with_capacity(stored.len());
        for (segment, footer) in stored.drain(..).zip(footers) {
            match footer {
                Ok(footer) => readable.push((segment, footer)),
                Err(error) => self.missed(&source_error(&error))?,
            }
        }
        readable.sort_by_cached_key(|(segment, footer)| arrival(segment, footer));
        let first_origin = heads.len() as u64;
        let segments = readable
            .into_iter()
            .zip(first_origin..)
            .filter_map(|((stored, footer), origin)| {
                let streams = Arc::clone(&footer);
                let keeps = |at| !self.hidden.hides_stream(streams.streams(), at);
                let mut planned =
                    PlannedSegment::new(stored, footer, origin, selection, &self.shared.pool)?;
                planned.retain_streams(keeps).then_some(planned)
            })
            .collect();
        Ok(Plan { view, heads, segments })
    }

    /// How many segments were planned to be read, counted once for each selector.
    pub(crate) fn planned_segments(&self) -> usize {
        self.plans.read().segments.len()
    }

    /// What must not be seen.
    pub(crate) fn hidden(&self) -> &Hidden {
        &self.hidden
    }

    /// Loads a piece of a head, as the head knows it, without what must not be seen.
    pub(crate) fn load_head(
        &self,
        view: &View,
        piece: &Piece,
        want: &Want,
    ) -> Result<Batch, SourceError> {
        self.hidden.load(piece, want, |want| view.heads.load(piece, want))
    }

    /// Notes what cannot be read, or fails, as configured. What does not exist any more always
    /// fails: the query has to begin anew with a newer catalog.
    pub(crate) fn missed(&self, error: &SourceError) -> Result<(), SourceError> {
        if self.shared.unreadable == Unreadable::Fail || error.kind == model::ErrorKind::NotFound {
            return Err(error.clone());
        }
        let mut warnings = self.warnings.lock();
        if warnings.len() < WARNINGS_MAX {
            warnings.insert(format!("the answer is incomplete: {}", error.message));
        }
        Ok(())
    }

    /// Feeds `hash` with what stands for the rows of some selectors in ranges inside `total`;
    /// answers for each range whether that is all of them, and its stored bytes.
    ///
    /// It is not while rows of the range are in heads, or may have expired, or while some heads
    /// cannot be read.
    pub(crate) fn versions(
        &self,
        selectors: &[Vec<Matcher>],
        total: TimeRange,
        ranges: &[TimeRange],
        versions: &mut [VersionHash],
    ) -> Result<(), SourceError> {
        let deletes = self.shared.store.deletes();
        let hides_deleted = self.hidden.hides_deleted();
        for (range, version) in ranges.iter().zip(&mut *versions) {
            version.hash.update(self.tenant.as_str().as_bytes());
            for request in deletes.of(&self.tenant) {
                let range = request.range().intersect(range);
                if hides_deleted && request.is_in_force() && !range.is_empty() {
                    version.hash.update(request.id.as_bytes());
                }
            }
            version.is_whole &= !self.hidden.may_have_expired(*range);
        }
        for matchers in selectors {
            let view = self.view(matchers, total)?;
            let heads = view.heads_left(&Selection::all(matchers, total))?;
            let knows_heads = view.heads.warnings().is_empty();
            for (at, (range, version)) in ranges.iter().zip(&mut *versions).enumerate() {
                let overlaps = |(piece, _): &NumberedPiece| range.overlaps(piece.first, piece.last);
                version.is_whole &= knows_heads && !heads.iter().any(overlaps);
                version.hash.update(&(at as u64).to_le_bytes());
                for segment in view.catalog.select(&self.tenant, *range) {
                    version.hash.update(segment.name.to_string().as_bytes());
                    version.stored_bytes += segment.bytes;
                }
            }
        }
        Ok(())
    }

    /// Calls `visit` with the labels of every stream that matches and has rows in the range, once
    /// for each stream.
    pub(crate) fn visit_streams(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
        visit: &mut dyn FnMut(LabelPairs<'_, '_>),
    ) -> Result<(), SourceError> {
        let view = self.view(matchers, range)?;
        let mut seen = HashSet::new();
        for stream in view.heads.streams(matchers, range)? {
            if self.hidden.hides_range(&stream.labels, range) {
                continue;
            }
            if seen.insert(StreamKey::of(stream.labels.iter())) {
                visit(&mut stream.labels.iter());
            }
        }
        for footer in self.footers(&view, range)? {
            let streams = footer.streams();
            for ordinal in streams.select_in(matchers, range) {
                if self.hidden.hides_stream(streams, ordinal) {
                    continue;
                }
                if seen.insert(footer.keys()[ordinal as usize]) {
                    visit(&mut streams.pairs(ordinal));
                }
            }
        }
        Ok(())
    }

    fn footers(
        &self,
        view: &View,
        range: TimeRange,
    ) -> Result<Vec<Arc<SegmentFooter>>, SourceError> {
        let stored = view.catalog.select(&self.tenant, range);
        let mut footers = Vec::with_capacity(stored.len());
        for footer in self.shared.store.footers_blocking(&stored) {
            match footer {
                Ok(footer) => footers.push(footer),
                Err(error) => self.missed(&source_error(&error))?,
            }
        }
        Ok(footers)
    }
}

impl View {
    /// The pieces of heads that are not in segments of this view yet, with the number of their
    /// origin among all origins of the selection. Segments that hold a part of such a head are read
    /// beside it, and what is in both is counted once: they may hold other rows, too.
    fn heads_left(&self, selection: &Selection) -> Result<Vec<NumberedPiece>, SourceError> {
        let pieces = self.heads.pieces(selection)?;
        // Per origin: its number, or `None` when it is left out.
        let mut origins: HashMap<u64, Option<u64>> = HashMap::new();
        let mut next = 0;
        let mut left = Vec::with_capacity(pieces.len());
        for piece in pieces {
            let number = *origins.entry(piece.origin).or_insert_with(|| {
                let segments = self.heads.flushed_as(piece.origin);
                let stored = segments.iter().all(|name| self.catalog.contains(name));
                if !segments.is_empty() && stored {
                    return None;
                }
                next += 1;
                Some(next - 1)
            });
            if let Some(number) = number {
                left.push((piece, number));
            }
        }
        Ok(left)
    }
}

impl Plan {
    /// When rows of each origin lie, to tell where copies may be.
    pub(crate) fn origins(&self) -> Origins {
        let mut heads: HashMap<u64, (Timestamp, Timestamp)> = HashMap::new();
        for (piece, number) in &self.heads {
            let (first, last) = heads.entry(*number).or_insert((piece.first, piece.last));
            (*first, *last) = ((*first).min(piece.first), (*last).max(piece.last));
        }
        let holders: HashMap<u64, u64> = self
            .heads
            .iter()
            .map(|(piece, number)| (*number, self.view.heads.holder(piece.origin)))
            .collect();
        let heads = heads.into_iter().map(|(id, (first, last))| {
            let holder = holders.get(&id).copied().unwrap_or(0);
            Origin { id, first, last, segment: None, holder }
        });
        let segments = self.segments.iter().map(|segment| {
            let (first, last) = segment.span();
            let (stored, footer) = (Arc::clone(&segment.stored), Arc::clone(&segment.footer));
            let segment_of = Some(Member { stored, footer });
            Origin { id: segment.origin, first, last, segment: segment_of, holder: 0 }
        });
        Origins::new(heads.chain(segments).collect())
    }
}

/// When the rows of a segment arrived, relative to other segments: what was compacted is older
/// than what was not, and positions in a write-ahead log ascend.
fn arrival(
    segment: &StoredSegment,
    footer: &SegmentFooter,
) -> (Reverse<u8>, u64, u32, SegmentName) {
    let facts = footer.facts();
    let (position, part) = match &facts.coverage {
        Some(coverage) => (coverage.first_position, coverage.part),
        None => (0, 0),
    };
    (Reverse(facts.level), position, part, segment.name.clone())
}

impl Source for TenantSource {
    fn pieces(&self, selection: &Selection) -> Result<Vec<Piece>, SourceError> {
        let plan = self.plan(selection)?;
        let Shared { store, pairs, threads, metrics, .. } = &self.shared;
        let origins = plan.origins().compared(Arc::clone(store), Arc::clone(pairs));
        let origins = Arc::new(origins);
        let candidates = prune::candidates(store, &plan.segments, selection, *threads, metrics);
        let mut pruned = Pruned::default();
        let mut pieces = Vec::new();
        let mut plans = self.plans.write();
        let hidden_before = self.hidden.before();
        for (piece, origin) in plan.heads {
            if piece.last < hidden_before {
                continue;
            }
            let id = HEAD | plans.heads.len() as u64;
            let rank = HEAD_RANK.saturating_add(piece.rank);
            pieces.push(Piece { id, origin, rank, ..piece.clone() });
            let (view, origins) = (Arc::clone(&plan.view), Arc::clone(&origins));
            plans.heads.push(HeadPiece { view, piece, origin, origins });
        }
        for ((order, segment), candidates) in (0u64..).zip(plan.segments).zip(candidates) {
            let index = plans.segments.len() as u64;
            pruned.index_bytes += candidates.index_bytes;
            pruned.blocks += candidates.pruned;
            let left = candidates.blocks(segment.footer.blocks().len());
            for (at, block, first, last) in left.filter_map(|at| segment.block(selection.range, at))
            {
                pieces.push(Piece {
                    id: index << 32 | at as u64,
                    origin: segment.origin,
                    rank: order << 32 | at as u64,
                    first,
                    last,
                    rows: u64::from(block.rows),
                    bytes: block.raw_bytes,
                    is_head: false,
                });
            }
            plans.segments.push((Arc::new(segment), Arc::clone(&origins)));
        }
        drop(plans);
        let mut total = self.pruned.lock();
        total.blocks += pruned.blocks;
        total.index_bytes += pruned.index_bytes;
        Ok(pieces)
    }

    fn load(&self, piece: &Piece, want: &Want) -> Result<Batch, SourceError> {
        self.hidden.load(piece, want, |want| self.load_all(piece, want))
    }

    fn cells(&self, piece: &Piece) -> Result<Option<Cells>, SourceError> {
        let cells = self.all_cells(piece)?;
        // Counts cannot tell which of their rows are hidden.
        Ok(cells.filter(|cells| !self.hidden.touches_runs(piece, &cells.runs)))
    }

    fn streams(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<StreamSummary>, SourceError> {
        let view = self.view(matchers, range)?;
        let mut merged = MergedStreams::default();
        for stream in view.heads.streams(matchers, range)? {
            if self.hidden.hides_range(&stream.labels, range) {
                continue;
            }
            let found = merged.find(StreamKey::of(stream.labels.iter()), || stream.labels.clone());
            found.rows += stream.rows;
            found.bytes += stream.bytes;
        }
        for footer in self.footers(&view, range)? {
            let streams = footer.streams();
            for ordinal in streams.select_in(matchers, range) {
                if self.hidden.hides_stream(streams, ordinal) {
                    continue;
                }
                let key = footer.keys()[ordinal as usize];
                let found =
                    merged.find(key, || self.shared.pool.labels(key, || streams.labels(ordinal)));
                found.rows += streams.rows(ordinal);
                found.bytes += streams.bytes(ordinal);
            }
        }
        Ok(merged.streams)
    }

    fn warnings(&self) -> Vec<String> {
        let mut warnings = self.warnings.lock().clone();
        for view in &*self.views.lock() {
            warnings.extend(view.heads.warnings());
        }
        warnings.into_iter().collect()
    }
}

impl TenantSource {
    /// Loads a piece with rows that must not be seen.
    fn load_all(&self, piece: &Piece, want: &Want) -> Result<Batch, SourceError> {
        if piece.id & HEAD != 0 {
            let Some(head) = self.head(piece) else { return Ok(Batch::default()) };
            let mut batch = head.view.heads.load(&head.piece, want)?;
            let Batch { runs, timestamps, .. } = &mut batch;
            for run in runs {
                let times = timestamps.get(run.rows.clone()).unwrap_or_default();
                if let (Some(first), Some(last)) = (times.first(), times.last()) {
                    head.widen(run, Timestamp(*first), Timestamp(*last));
                }
            }
            return Ok(batch);
        }
        let Some((segment, origins)) = self.segment(piece) else { return Ok(Batch::default()) };
        let loaded = segment.load(&self.shared.store, block_of(piece), want, &origins);
        loaded.or_else(|error| self.missed(&error).map(|()| Batch::default()))
    }

    /// Counts of a piece, with rows that must not be seen.
    fn all_cells(&self, piece: &Piece) -> Result<Option<Cells>, SourceError> {
        if piece.id & HEAD != 0 {
            let Some(head) = self.head(piece) else { return Ok(None) };
            let Some(mut cells) = head.view.heads.cells(&head.piece)? else { return Ok(None) };
            for run in &mut cells.runs {
                head.widen(run, piece.first, piece.last);
            }
            return Ok(Some(cells));
        }
        let Some((segment, origins)) = self.segment(piece) else { return Ok(None) };
        let cells = segment.cells(&self.shared.store, block_of(piece), &origins);
        // Whoever cannot read the counts reads the rows, and notes what of them is missing.
        cells.or_else(|error| self.missed(&error).map(|()| None))
    }

    fn head(&self, piece: &Piece) -> Option<HeadPiece> {
        self.plans.read().heads.get((piece.id & !HEAD) as usize).cloned()
    }

    fn segment(&self, piece: &Piece) -> Option<(Arc<PlannedSegment>, Arc<Origins>)> {
        self.plans.read().segments.get((piece.id >> 32) as usize).cloned()
    }
}

impl HeadPiece {
    /// Adds to a run's copies those in segments and other heads.
    fn widen(&self, run: &mut StreamRun, first: Timestamp, last: Timestamp) {
        let Some(found) = self.origins.copies(self.origin, run.fingerprint, first, last) else {
            return;
        };
        run.copies = Some(match run.copies {
            Some(own) => TimeRange::new(own.start.min(found.start), own.end.max(found.end)),
            None => found,
        });
    }
}

fn block_of(piece: &Piece) -> usize {
    (piece.id & u64::from(u32::MAX)) as usize
}

/// Streams by key.
#[derive(Default)]
struct MergedStreams {
    streams: Vec<StreamSummary>,
    places: HashMap<StreamKey, usize>,
}

impl MergedStreams {
    fn find(&mut self, key: StreamKey, labels: impl FnOnce() -> Labels) -> &mut StreamSummary {
        let place = *self.places.entry(key).or_insert_with(|| {
            self.streams.push(StreamSummary { labels: labels(), rows: 0, bytes: 0 });
            self.streams.len() - 1
        });
        &mut self.streams[place]
    }
}
