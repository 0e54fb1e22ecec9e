//! The store: uploads, the catalog, footers and column reads.

mod elsewhere;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::future::join_all;
use futures_util::stream::{self, StreamExt as _};
use model::{ErrorKind, TenantId, TimeRange};
use runtime::clock::Clock;
use segment::{EncodedSegment, SegmentCells, SegmentName};

use crate::bucket::{Bucket, Created, SpillFiles};
use crate::catalog::{Catalog, CatalogKeeper, Refreshed, StoredSegment};
use crate::cells::CellsCache;
use crate::config::Config;
use crate::deletes::{DeleteKeeper, DeleteRequest, DeleteState, Deletes};
use crate::error::Error;
use crate::footers::{FooterCache, SegmentFooter};
use crate::index::{Elsewhere, Index, PartCache, ToldKeeper};
use crate::metrics::Metrics;

/// Below this name all segments stand.
const SEGMENTS: &str = "seg";

/// Parts of segments that are asked for at once.
const PARTS_AT_ONCE: usize = 32;

/// What a store needs of its surroundings.
pub struct Dependencies {
    /// Measures operations.
    pub clock: Arc<dyn Clock>,
    /// Where to count them.
    pub metrics: Metrics,
}

/// Segments that survive.
pub struct Store {
    bucket: Bucket,
    catalog: CatalogKeeper,
    deletes: DeleteKeeper,
    footers: FooterCache,
    cells: CellsCache,
    parts: PartCache,
    told: ToldKeeper,
    /// Who lists in the place of this process.
    elsewhere: Option<Elsewhere>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

impl Store {
    /// Connects and lists what exists. The caller lists again with [`Store::refresh`], every
    /// minute, to learn of other processes' segments.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when the configuration cannot work; others when storage cannot be
    /// listed: do not start without it, because answers would silently miss segments.
    pub async fn open(config: Config, dependencies: Dependencies) -> Result<Arc<Self>, Error> {
        let store = Self::new(&config, dependencies, None)?;
        store.refresh().await?;
        Ok(Arc::new(store))
    }

    /// Connects without listing: which segments exist is asked of `index`, and of the storage only
    /// while that does not answer. For processes that store nothing; their [`Store::catalog`] is
    /// empty most of the time, and [`Store::picture_blocking`] stands in its place.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when the configuration cannot work; others when neither answers.
    pub async fn open_with(
        config: Config,
        dependencies: Dependencies,
        index: Arc<dyn Index>,
    ) -> Result<Arc<Self>, Error> {
        let store = Self::new(&config, dependencies, Some(Elsewhere::new(index)))?;
        store.refresh().await?;
        Ok(Arc::new(store))
    }

    fn new(
        config: &Config,
        dependencies: Dependencies,
        elsewhere: Option<Elsewhere>,
    ) -> Result<Self, Error> {
        let Dependencies { clock, metrics } = dependencies;
        Ok(Self {
            bucket: Bucket::open(config, Arc::clone(&clock), metrics.clone())?,
            catalog: CatalogKeeper::default(),
            deletes: DeleteKeeper::default(),
            footers: FooterCache::new(config.footer_cache_bytes, metrics.clone()),
            cells: CellsCache::new(metrics.clone()),
            parts: PartCache::new(config.footer_cache_bytes),
            told: ToldKeeper::default(),
            elsewhere,
            clock,
            metrics,
        })
    }

    /// Stores a segment. When it returns, the segment is durable and part of the catalog, and the
    /// segments that it names as its parents are superseded.
    ///
    /// Uploading the same segment again changes nothing and succeeds.
    ///
    /// # Errors
    ///
    /// [`Error::Exists`] when something else stands under the name: a person must look. Others:
    /// try again later; rows must stay in the write-ahead log until then.
    pub async fn upload(&self, encoded: EncodedSegment) -> Result<SegmentName, Error> {
        let EncodedSegment { name, bytes, footer } = encoded;
        let expected = bytes.len() as u64;
        let object = name.to_string();
        match self.bucket.create(&object, bytes).await? {
            Created::Existed { bytes: found } if found != expected => {
                return Err(Error::Exists { name: object, expected, found });
            }
            Created::New | Created::Existed { .. } => {}
        }
        let footer = Arc::new(SegmentFooter::new(footer));
        self.footers.insert(name.clone(), Arc::clone(&footer));
        self.catalog.add(StoredSegment { name: name.clone(), bytes: expected }, footer.parents());
        self.measure_catalog();
        Ok(name)
    }

    /// Files to build a large segment in; `None` when it is to be built in memory. Blocks.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfSpace`] or [`Error::Io`]; try again later.
    pub fn spill(&self) -> Result<Option<SpillFiles>, Error> {
        self.bucket.spill()
    }

    /// [`Store::upload`] of a segment of `expected` bytes that was built in files. Its footer is
    /// read back.
    ///
    /// # Errors
    ///
    /// As [`Store::upload`] and [`Store::footer`].
    pub async fn upload_spilled(
        &self,
        name: &SegmentName,
        expected: u64,
        spill: SpillFiles,
    ) -> Result<(), Error> {
        let object = name.to_string();
        match self.bucket.create_spilled(&object, spill).await? {
            Created::Existed { bytes: found } if found != expected => {
                return Err(Error::Exists { name: object, expected, found });
            }
            Created::New | Created::Existed { .. } => {}
        }
        let stored = StoredSegment { name: name.clone(), bytes: expected };
        let footer = self.footer(&stored).await?;
        self.catalog.add(stored, footer.parents());
        self.measure_catalog();
        Ok(())
    }

    /// Removes what dead processes left behind of objects that they were writing.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; try again later.
    pub async fn sweep_staged(&self) -> Result<(), Error> {
        self.bucket.sweep().await
    }

    /// The segments that exist now, as far as this process knows.
    #[must_use]
    pub fn catalog(&self) -> Arc<Catalog> {
        self.catalog.current()
    }

    /// The segments of a tenant that may hold rows of the range.
    #[must_use]
    pub fn snapshot(&self, tenant: &TenantId, range: TimeRange) -> Vec<Arc<StoredSegment>> {
        self.catalog().select(tenant, range)
    }

    /// The tenants that have segments, sorted.
    #[must_use]
    pub fn tenants(&self) -> Vec<TenantId> {
        self.catalog().tenants()
    }

    /// The footer of a segment, from memory when possible.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`] when the segment was deleted: look at a newer catalog;
    /// [`Error::Footer`] when it is damaged; or what the storage says.
    pub async fn footer(&self, segment: &StoredSegment) -> Result<Arc<SegmentFooter>, Error> {
        let read = |range| async move { one(self.plan_parts(segment, &[range]).await?) };
        self.footers.get(segment, read).await
    }

    /// [`Store::footer`] for threads that may block.
    ///
    /// # Errors
    ///
    /// As [`Store::footer`].
    ///
    /// # Panics
    ///
    /// Remote backends: on a thread of the asynchronous runtime.
    pub fn footer_blocking(&self, segment: &StoredSegment) -> Result<Arc<SegmentFooter>, Error> {
        let read = |range| one(self.plan_parts_blocking(segment, &[range])?);
        self.footers.get_blocking(segment, read)
    }

    /// The footers of many segments, in their order. Remote storage is asked for several at once.
    ///
    /// # Panics
    ///
    /// Remote backends: on a thread of the asynchronous runtime.
    pub fn footers_blocking(
        &self,
        segments: &[Arc<StoredSegment>],
    ) -> Vec<Result<Arc<SegmentFooter>, Error>> {
        if let Some(elsewhere) = &self.elsewhere {
            let footers = stream::iter(segments).map(|segment| self.footer(segment));
            return elsewhere.runtime.block_on(footers.buffered(PARTS_AT_ONCE).collect());
        }
        let Some(runtime) = self.bucket.runtime() else {
            return segments.iter().map(|segment| self.footer_blocking(segment)).collect();
        };
        // The bucket bounds how many requests are under way.
        runtime.block_on(join_all(segments.iter().map(|segment| self.footer(segment))))
    }

    /// The counts of a segment, from memory when possible; `None` when it keeps none.
    ///
    /// # Errors
    ///
    /// [`Error::Cells`] when they are damaged, else as [`Store::read_blocking`]; the rows can be
    /// counted instead.
    ///
    /// # Panics
    ///
    /// Remote backends: on a thread of the asynchronous runtime.
    pub fn cells_blocking(
        &self,
        segment: &StoredSegment,
        footer: &SegmentFooter,
    ) -> Result<Option<Arc<SegmentCells>>, Error> {
        let Some(range) = footer.cells() else { return Ok(None) };
        if let Some(cells) = self.cells.get(&segment.name) {
            return Ok(Some(cells));
        }
        let bytes = self.plan_parts_blocking(segment, &[range])?;
        let damaged =
            |source| Error::Cells { name: segment.name.to_string(), source: Arc::new(source) };
        let cells = Arc::new(segment::decode_cells(footer, &bytes[0]).map_err(damaged)?);
        self.cells.insert(segment.name.clone(), Arc::clone(&cells));
        Ok(Some(cells))
    }

    /// Reads ranges of a segment, in the order asked; ranges close together are read as one.
    ///
    /// # Errors
    ///
    /// As [`Bucket::read`].
    pub async fn read(
        &self,
        segment: &StoredSegment,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>, Error> {
        self.bucket.read(&segment.name.to_string(), ranges).await
    }

    /// [`Store::read`] for threads that may block.
    ///
    /// # Errors
    ///
    /// As [`Bucket::read`].
    ///
    /// # Panics
    ///
    /// Remote backends: on a thread of the asynchronous runtime.
    pub fn read_blocking(
        &self,
        segment: &StoredSegment,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>, Error> {
        self.bucket.read_blocking(&segment.name.to_string(), ranges)
    }

    /// Whether reading is a trip over a network each time.
    #[must_use]
    pub fn is_remote(&self) -> bool {
        self.bucket.runtime().is_some()
    }

    /// [`Store::read_blocking`] for many segments, in their order. Remote storage is asked for
    /// several at once; a segment of which nothing is wanted is not touched.
    ///
    /// # Panics
    ///
    /// Remote backends: on a thread of the asynchronous runtime.
    pub fn read_each_blocking(
        &self,
        wanted: &[(&StoredSegment, Vec<Range<u64>>)],
    ) -> Vec<Result<Vec<Bytes>, Error>> {
        let Some(runtime) = self.bucket.runtime() else {
            let read = |(segment, ranges): &(&StoredSegment, Vec<Range<u64>>)| match &ranges[..] {
                [] => Ok(Vec::new()),
                ranges => self.read_blocking(segment, ranges),
            };
            return wanted.iter().map(read).collect();
        };
        let read = wanted.iter().map(|(segment, ranges)| async move {
            match &ranges[..] {
                [] => Ok(Vec::new()),
                ranges => self.read(segment, ranges).await,
            }
        });
        // The bucket bounds how many requests are under way.
        runtime.block_on(join_all(read))
    }

    /// Lists object storage and takes over what other processes uploaded or deleted. Segments that
    /// this process uploads or deletes meanwhile stay as it left them.
    ///
    /// # Errors
    ///
    /// What the storage says; the catalog stays as it was, try again later.
    pub async fn refresh(&self) -> Result<Refreshed, Error> {
        let Some(elsewhere) = &self.elsewhere else { return self.list().await };
        match elsewhere.index.deletes().await {
            Ok(requests) => {
                self.metrics.index_questions.inc();
                self.deletes.replace(requests);
            }
            Err(_) => {
                self.falls_back();
                self.deletes.read(&self.bucket).await?.publish();
            }
        }
        Ok(Refreshed::default())
    }

    /// Lists object storage and takes over what it holds.
    async fn list(&self) -> Result<Refreshed, Error> {
        let deletes = self.deletes.read(&self.bucket).await?;
        let listing = self.catalog.begin();
        let objects = self.bucket.list(SEGMENTS).await?;
        let unexplained = self.catalog.unexplained(&objects);
        let footers = join_all(unexplained.iter().map(|segment| self.footer(segment))).await;
        for (segment, footer) in unexplained.iter().zip(footers) {
            // One that cannot be read hides nothing; whoever queries it is told why.
            if let Ok(footer) = footer {
                self.catalog.learn(&segment.name, footer.parents());
            }
        }
        let refreshed = self.catalog.finish(listing, objects);
        // Later than the segments: a request that is not in force any more must not be gone
        // before the segments are that still held its rows.
        deletes.publish();
        self.metrics.catalog_refreshes.inc();
        self.metrics.catalog_ignored.set(refreshed.ignored as i64);
        self.metrics.last_refresh_seconds.set(self.clock.now().as_millis() as f64 / 1e3);
        self.measure_catalog();
        Ok(refreshed)
    }

    /// Lists one tenant and day, and adds the flushes of other processes that are new to the
    /// catalog; a fraction of what [`Store::refresh`] costs. Answers how many are new.
    ///
    /// # Errors
    ///
    /// What the storage says; the catalog stays as it was, try again later.
    pub async fn discover(&self, tenant: &TenantId, day: i32) -> Result<u64, Error> {
        let listing = self.catalog.begin();
        let objects = self.bucket.list(&SegmentName::day_prefix(tenant, day)).await?;
        let added = self.catalog.discover(listing, &objects);
        if added > 0 {
            self.measure_catalog();
        }
        Ok(added)
    }

    /// Takes over a segment that another process says it stored, without listing. Nothing is asked
    /// of the storage: if the segment is gone by now, whoever reads it gets [`Error::NotFound`], and
    /// the next refresh forgets it. For segments without parents: what ingesters store.
    pub fn adopt(&self, segment: StoredSegment) {
        self.catalog.adopt(segment);
        self.measure_catalog();
    }

    /// Deletes a segment. It leaves the catalog first, so that new queries do not count on it.
    ///
    /// # Errors
    ///
    /// What the storage says; the object may still exist and the next refresh may bring it back.
    pub async fn delete(&self, name: &SegmentName) -> Result<(), Error> {
        // A listing that begins before the object is gone must not bring it back.
        let _remembered = self.catalog.begin();
        self.catalog.remove(name);
        self.footers.remove(name);
        self.cells.remove(name);
        self.measure_catalog();
        self.bucket.delete(&name.to_string()).await
    }

    /// The delete requests that exist now, as far as this process knows.
    ///
    /// Look at them before the heads and the catalog: what a request that is not in force any
    /// more hid is then gone from both.
    #[must_use]
    pub fn deletes(&self) -> Arc<Deletes> {
        self.deletes.current()
    }

    /// Stores a delete request. When it returns, the request is durable and in force. Answers
    /// [`Created::Existed`] when another one has its id.
    ///
    /// # Errors
    ///
    /// What the storage says; try again later.
    pub async fn create_delete(&self, request: DeleteRequest) -> Result<Created, Error> {
        self.deletes.create(&self.bucket, request).await
    }

    /// Notes how far a delete request has come; one that was removed stays removed.
    ///
    /// # Errors
    ///
    /// What the storage says; try again later.
    pub async fn mark_delete(
        &self,
        request: &DeleteRequest,
        state: DeleteState,
    ) -> Result<(), Error> {
        self.deletes.mark(&self.bucket, request, state).await
    }

    /// Removes a delete request; what it hid and still exists is seen again.
    ///
    /// # Errors
    ///
    /// What the storage says; the request may still exist.
    pub async fn remove_delete(&self, request: &DeleteRequest) -> Result<(), Error> {
        self.deletes.remove(&self.bucket, request).await
    }

    /// Removes what interrupted removals of delete requests left behind, as last listed.
    ///
    /// # Errors
    ///
    /// What the storage says; try again later.
    pub async fn sweep_deletes(&self) -> Result<(), Error> {
        self.deletes.sweep(&self.bucket).await
    }

    /// The objects beside the segments.
    #[must_use]
    pub fn bucket(&self) -> &Bucket {
        &self.bucket
    }

    fn measure_catalog(&self) {
        let total = self.catalog.current().total();
        self.metrics.catalog_segments.set(total.segments as i64);
        self.metrics.catalog_bytes.set(total.bytes as i64);
    }
}

impl std::fmt::Debug for Store {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Store").field("bucket", &self.bucket).finish_non_exhaustive()
    }
}

/// The only part.
fn one(parts: Vec<Bytes>) -> Result<Bytes, Error> {
    parts.into_iter().next().ok_or_else(|| Error::Index {
        message: "a part was asked for and none was answered".to_owned(),
        kind: ErrorKind::Internal,
    })
}

#[cfg(test)]
mod tests;
