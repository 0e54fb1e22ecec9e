//! Counts of segments in memory: dashboards ask for the same ones again and again.

use std::sync::Arc;

use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use segment::{SegmentCells, SegmentName};

use crate::metrics::Metrics;

/// Memory that decoded counts may take: about a gigabyte and a half of lines of three hundred
/// streams.
const CACHE_BYTES: u64 = 32 << 20;
/// Memory that the counts of a segment are expected to take; only sizes the cache's own tables.
const CELLS_BYTES_TYPICAL: u64 = 512 << 10;

#[derive(Debug, Clone)]
struct MemoryBytes;

impl Weighter<SegmentName, Arc<SegmentCells>> for MemoryBytes {
    fn weight(&self, _name: &SegmentName, cells: &Arc<SegmentCells>) -> u64 {
        cells.memory_bytes() as u64
    }
}

/// Decoded counts, the most useful ones, within a budget of bytes.
pub(crate) struct CellsCache {
    cache: Cache<SegmentName, Arc<SegmentCells>, MemoryBytes>,
    metrics: Metrics,
}

impl CellsCache {
    pub(crate) fn new(metrics: Metrics) -> Self {
        // One shard: the budget of a shard bounds the largest counts that can be kept.
        let options = OptionsBuilder::new()
            .shards(1)
            .weight_capacity(CACHE_BYTES)
            .estimated_items_capacity((CACHE_BYTES / CELLS_BYTES_TYPICAL) as usize)
            .build()
            .expect("both capacities are given");
        let hasher = DefaultHashBuilder::default();
        let cache = Cache::with_options(options, MemoryBytes, hasher, DefaultLifecycle::default());
        Self { cache, metrics }
    }

    /// The counts of a segment, if they are at hand.
    pub(crate) fn get(&self, name: &SegmentName) -> Option<Arc<SegmentCells>> {
        self.cache.get(name)
    }

    pub(crate) fn insert(&self, name: SegmentName, cells: Arc<SegmentCells>) {
        self.cache.insert(name, cells);
        self.measure();
    }

    pub(crate) fn remove(&self, name: &SegmentName) {
        self.cache.remove(name);
        self.measure();
    }

    fn measure(&self) {
        self.metrics.cells_cache_bytes.set(self.cache.weight() as i64);
    }
}
