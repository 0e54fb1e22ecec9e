//! Footers in memory, so that planning a query reads nothing twice.

use std::ops::{Deref, Range};
use std::sync::{Arc, OnceLock};

use bytes::Bytes;
use model::Fingerprint;
use quick_cache::sync::{Cache, DefaultLifecycle, GuardResult};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use segment::{Footer, FormatError, SegmentName};

use crate::catalog::StoredSegment;
use crate::error::Error;
use crate::metrics::Metrics;
use crate::stream_key::StreamKey;

/// Memory that a footer is expected to take; only sizes the cache's own tables.
const FOOTER_BYTES_TYPICAL: u64 = 64 << 10;

/// A footer with what was derived from it.
#[derive(Debug)]
pub struct SegmentFooter {
    footer: Footer,
    /// By ordinal; made when first asked for.
    keys: OnceLock<Box<[StreamKey]>>,
    /// Ordinals by key; made when first asked for.
    by_key: OnceLock<Box<[u32]>>,
}

impl SegmentFooter {
    /// Keeps a footer.
    #[must_use]
    pub fn new(footer: Footer) -> Self {
        Self { footer, keys: OnceLock::new(), by_key: OnceLock::new() }
    }

    /// The keys of all streams, by ordinal.
    pub fn keys(&self) -> &[StreamKey] {
        self.keys.get_or_init(|| {
            let streams = self.footer.streams();
            self.ordinals().map(|ordinal| StreamKey::of(streams.pairs(ordinal))).collect()
        })
    }

    /// The streams whose labels have this hash, as ordinals; rarely more than one.
    pub fn ordinals_of(&self, fingerprint: Fingerprint) -> impl Iterator<Item = u32> + '_ {
        let keys = self.keys();
        let key = move |ordinal: u32| keys[ordinal as usize];
        let table = self.by_key.get_or_init(|| {
            let mut table: Box<[u32]> = self.ordinals().collect();
            table.sort_unstable_by_key(|ordinal| key(*ordinal));
            table
        });
        let start = table.partition_point(|at| key(*at).fingerprint() < fingerprint);
        let same = move |at: &&u32| key(**at).fingerprint() == fingerprint;
        table[start..].iter().take_while(same).copied()
    }

    fn ordinals(&self) -> std::ops::Range<u32> {
        0..u32::try_from(self.footer.streams().len()).unwrap_or(u32::MAX)
    }
}

impl Deref for SegmentFooter {
    type Target = Footer;

    fn deref(&self) -> &Footer {
        &self.footer
    }
}

#[derive(Debug, Clone)]
struct MemoryBytes;

impl Weighter<SegmentName, Arc<SegmentFooter>> for MemoryBytes {
    fn weight(&self, _name: &SegmentName, footer: &Arc<SegmentFooter>) -> u64 {
        // The tables of keys count from the beginning: a weight must not change.
        let tables = footer.streams().len() * (size_of::<StreamKey>() + size_of::<u32>());
        (footer.memory_bytes() + tables) as u64
    }
}

/// Decoded footers, the most useful ones, within a budget of bytes.
pub(crate) struct FooterCache {
    cache: Cache<SegmentName, Arc<SegmentFooter>, MemoryBytes>,
    metrics: Metrics,
}

impl FooterCache {
    pub(crate) fn new(bytes: u64, metrics: Metrics) -> Self {
        // One shard: the budget of a shard bounds the largest footer that can be kept.
        let options = OptionsBuilder::new()
            .shards(1)
            .weight_capacity(bytes)
            .estimated_items_capacity((bytes / FOOTER_BYTES_TYPICAL).max(16) as usize)
            .build()
            .expect("both capacities are given");
        let hasher = DefaultHashBuilder::default();
        let cache = Cache::with_options(options, MemoryBytes, hasher, DefaultLifecycle::default());
        Self { cache, metrics }
    }

    pub(crate) fn insert(&self, name: SegmentName, footer: Arc<SegmentFooter>) {
        self.cache.insert(name, footer);
        self.measure();
    }

    pub(crate) fn remove(&self, name: &SegmentName) {
        self.cache.remove(name);
        self.measure();
    }

    /// The footer of a segment, from memory or what `read` answers for a part of the object; of
    /// several who ask at once, one reads it.
    pub(crate) async fn get<F>(
        &self,
        segment: &StoredSegment,
        read: impl Fn(Range<u64>) -> F,
    ) -> Result<Arc<SegmentFooter>, Error>
    where
        F: Future<Output = Result<Bytes, Error>>,
    {
        let guard = match self.cache.get_value_or_guard_async(&segment.name).await {
            Ok(footer) => {
                self.metrics.footer_hits.inc();
                return Ok(footer);
            }
            Err(guard) => guard,
        };
        self.metrics.footer_misses.inc();
        let name = segment.name.to_string();
        let mut tail_bytes = segment.name.footer_len().min(segment.bytes);
        loop {
            let range = segment.bytes - tail_bytes..segment.bytes;
            let tail = read(range).await?;
            match next_step(&name, &tail, segment.bytes)? {
                Step::ReadMore(bytes) => tail_bytes = bytes,
                Step::Done(footer) => {
                    // Refused only when the entry was replaced meanwhile, by the same footer.
                    let _ = guard.insert(Arc::clone(&footer));
                    self.measure();
                    return Ok(footer);
                }
            }
        }
    }

    /// [`FooterCache::get`] for threads that may block.
    pub(crate) fn get_blocking(
        &self,
        segment: &StoredSegment,
        read: impl Fn(Range<u64>) -> Result<Bytes, Error>,
    ) -> Result<Arc<SegmentFooter>, Error> {
        let guard = match self.cache.get_value_or_guard(&segment.name, None) {
            GuardResult::Value(footer) => {
                self.metrics.footer_hits.inc();
                return Ok(footer);
            }
            GuardResult::Guard(guard) => Some(guard),
            GuardResult::Timeout => None,
        };
        self.metrics.footer_misses.inc();
        let name = segment.name.to_string();
        let mut tail_bytes = segment.name.footer_len().min(segment.bytes);
        loop {
            let range = segment.bytes - tail_bytes..segment.bytes;
            let tail = read(range)?;
            match next_step(&name, &tail, segment.bytes)? {
                Step::ReadMore(bytes) => tail_bytes = bytes,
                Step::Done(footer) => {
                    if let Some(guard) = guard {
                        let _ = guard.insert(Arc::clone(&footer));
                    }
                    self.measure();
                    return Ok(footer);
                }
            }
        }
    }

    fn measure(&self) {
        self.metrics.footer_cache_bytes.set(self.cache.weight() as i64);
    }
}

enum Step {
    Done(Arc<SegmentFooter>),
    ReadMore(u64),
}

/// Decodes a tail, or says how much longer it must be. Every further step is longer than the one
/// before and no longer than the object, so that the loop ends.
fn next_step(name: &str, tail: &[u8], object_bytes: u64) -> Result<Step, Error> {
    match Footer::decode(tail, object_bytes) {
        Ok(footer) => Ok(Step::Done(Arc::new(SegmentFooter::new(footer)))),
        Err(FormatError::NeedMore { bytes })
            if bytes > tail.len() as u64 && bytes <= object_bytes =>
        {
            Ok(Step::ReadMore(bytes))
        }
        Err(source) => Err(Error::Footer { name: name.to_owned(), source: Arc::new(source) }),
    }
}
