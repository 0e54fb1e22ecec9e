//! Knowing which segments exist without listing object storage: what holders of recent rows told,
//! and asking somebody else who lists ([`Index`]).

use std::collections::{HashMap, HashSet};
use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use model::{TenantId, TimeRange};
use parking_lot::Mutex;
use quick_cache::sync::{Cache, DefaultLifecycle};
use quick_cache::{DefaultHashBuilder, OptionsBuilder, Weighter};
use segment::SegmentName;
use tokio::runtime::Handle;

use crate::catalog::StoredSegment;
use crate::deletes::DeleteRequest;
use crate::error::Error;

/// Names of segments remembered that holders told of; beyond it all are forgotten, which costs a
/// query another start.
const HEARD_OF_MAX: usize = 64 << 10;
/// Askers and holders remembered; beyond it all are forgotten, which costs a listing.
const KNOWN_MAX: usize = 4096;
/// How old an own listing may be while nobody else can be asked.
const OWN_LISTING_MAX: Duration = Duration::from_secs(60);
/// Bytes that a cached part is expected to take; only sizes the cache's own tables.
const PART_BYTES_TYPICAL: u64 = 16 << 10;

/// What holders of recent rows told whoever asked them. A picture of segments is not to be used
/// before it holds this: rows that have left memory would be seen nowhere.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// Who asked them; differs between two runs of a program.
    pub asker: u64,
    /// Another number whenever a holder has come or gone, as the asker knows it. Nobody can ask one
    /// that has gone what it stored last.
    pub generation: u64,
    /// Their addresses, each with a number that differs between two runs: one that has started again
    /// has forgotten what it stored.
    pub holders: Vec<(Arc<str>, u64)>,
    /// What they stored lately.
    pub stored: Vec<StoredSegment>,
}

/// Which segments are asked for.
#[derive(Debug, Clone, Copy)]
pub struct SegmentsAsk<'a> {
    /// Whose.
    pub tenant: &'a TenantId,
    /// When their rows lie; none are answered when it is empty.
    pub range: TimeRange,
    /// What the answer must hold.
    pub told: Option<&'a Told>,
    /// Whether object storage must be listed first.
    pub list: bool,
}

/// Which segments there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SegmentsFound {
    /// Those of the range that are not superseded.
    pub live: Vec<StoredSegment>,
    /// Of those that were told: what exists beside them.
    pub known: Vec<StoredSegment>,
}

/// Knows which segments exist, and reads the parts that plan a query.
pub trait Index: Send + Sync {
    /// Which segments may hold rows of a range.
    ///
    /// # Errors
    ///
    /// [`Error::Index`] when nobody can be asked.
    fn segments<'a>(&'a self, ask: SegmentsAsk<'a>) -> BoxFuture<'a, Result<SegmentsFound, Error>>;

    /// The delete requests of all tenants.
    ///
    /// # Errors
    ///
    /// As [`Index::segments`].
    fn deletes(&self) -> BoxFuture<'_, Result<Vec<DeleteRequest>, Error>>;

    /// Parts of a segment, in the order asked.
    ///
    /// # Errors
    ///
    /// As [`Index::segments`], and [`Error::NotFound`] when the segment does not exist.
    fn parts<'a>(
        &'a self,
        segment: &'a StoredSegment,
        ranges: &'a [Range<u64>],
    ) -> BoxFuture<'a, Result<Vec<Bytes>, Error>>;
}

/// Somebody else who lists, and what to do when nobody can be asked.
pub(crate) struct Elsewhere {
    pub(crate) index: Arc<dyn Index>,
    pub(crate) runtime: Handle,
    /// When this process has last listed itself, by the monotonic clock.
    listed: tokio::sync::Mutex<Option<Duration>>,
}

impl Elsewhere {
    pub(crate) fn new(index: Arc<dyn Index>) -> Self {
        Self { index, runtime: Handle::current(), listed: tokio::sync::Mutex::new(None) }
    }

    /// Lists with `list`, unless that was done lately.
    pub(crate) async fn list_now_and_then<F>(
        &self,
        now: Duration,
        list: impl FnOnce() -> F,
    ) -> Result<(), Error>
    where
        F: Future<Output = Result<(), Error>>,
    {
        let mut listed = self.listed.lock().await;
        if listed.is_none_or(|at| now.saturating_sub(at) >= OWN_LISTING_MAX) {
            list().await?;
            *listed = Some(now);
        }
        Ok(())
    }
}

/// Remembers for whom object storage was listed, and what was taken over from whom.
#[derive(Debug, Default)]
pub(crate) struct ToldKeeper {
    known: Mutex<Known>,
    /// Held while object storage is listed for somebody.
    pub(crate) listing: tokio::sync::Mutex<()>,
}

#[derive(Debug, Default)]
struct Known {
    /// The run of each holder for which object storage was listed, by address.
    incarnations: HashMap<Arc<str>, u64>,
    /// The members of the cluster for which it was listed, by who knows them so.
    generations: HashMap<u64, u64>,
    /// Segments that holders told of.
    heard_of: HashSet<SegmentName>,
}

impl ToldKeeper {
    /// Whether object storage was listed since these holders, and no others, were there.
    pub(crate) fn knows(&self, told: &Told) -> bool {
        let known = self.known.lock();
        let knows = |(address, run): &(Arc<str>, u64)| known.incarnations.get(address) == Some(run);
        known.generations.get(&told.asker) == Some(&told.generation)
            && told.holders.iter().all(knows)
    }

    pub(crate) fn listed_for(&self, told: &Told) {
        let mut known = self.known.lock();
        if known.incarnations.len().max(known.generations.len()) > KNOWN_MAX {
            known.incarnations.clear();
            known.generations.clear();
        }
        known.incarnations.extend(told.holders.iter().cloned());
        known.generations.insert(told.asker, told.generation);
    }

    /// Takes over those segments that are told of for the first time; when it returns, nobody else is
    /// still about to. One that was told of before, and is not in the catalog any more, was missing
    /// from a listing since: compacted away, so its rows stand in another segment of that listing.
    pub(crate) fn hear_of(&self, told: &[StoredSegment], adopt: impl Fn(&StoredSegment)) {
        let mut known = self.known.lock();
        for segment in told {
            if known.heard_of.len() > HEARD_OF_MAX {
                known.heard_of.clear();
            }
            if known.heard_of.insert(segment.name.clone()) {
                adopt(segment);
            }
        }
    }
}

#[derive(Debug, Clone)]
struct Length;

type PartKey = (SegmentName, u64, u64);

impl Weighter<PartKey, Bytes> for Length {
    fn weight(&self, _key: &PartKey, part: &Bytes) -> u64 {
        (part.len() + size_of::<PartKey>()) as u64
    }
}

/// Parts of segments as they are stored, the most useful ones, within a budget of bytes.
pub(crate) struct PartCache(Cache<PartKey, Bytes, Length>);

impl PartCache {
    pub(crate) fn new(bytes: u64) -> Self {
        let options = OptionsBuilder::new()
            .shards(1)
            .weight_capacity(bytes)
            .estimated_items_capacity((bytes / PART_BYTES_TYPICAL).max(16) as usize)
            .build()
            .expect("both capacities are given");
        let hasher = DefaultHashBuilder::default();
        Self(Cache::with_options(options, Length, hasher, DefaultLifecycle::default()))
    }

    /// All parts, if all are at hand.
    pub(crate) fn get(&self, name: &SegmentName, ranges: &[Range<u64>]) -> Option<Vec<Bytes>> {
        let part = |range: &Range<u64>| self.0.get(&(name.clone(), range.start, range.end));
        ranges.iter().map(part).collect()
    }

    pub(crate) fn insert(&self, name: &SegmentName, ranges: &[Range<u64>], parts: &[Bytes]) {
        for (range, part) in ranges.iter().zip(parts) {
            // A copy: the part may be a piece of a much larger read.
            let own = Bytes::copy_from_slice(part);
            self.0.insert((name.clone(), range.start, range.end), own);
        }
    }
}

#[cfg(test)]
mod tests {
    use std::sync::atomic::{AtomicBool, Ordering};
    use std::sync::mpsc;

    use super::*;

    #[test]
    fn nobody_goes_on_before_what_another_has_heard_of_is_taken_over() {
        let text = "seg/fake/20241004/0/02aznw7xoj40s6-2aznyvg8qurr4-17u-58f050ef0212f559f56e65c5cc3fb999.tn.seg";
        let segment = StoredSegment { name: SegmentName::parse(text).unwrap(), bytes: 1 };
        let told = std::slice::from_ref(&segment);
        let (keeper, is_adopted) = (ToldKeeper::default(), AtomicBool::new(false));
        let (adopting, other_may_begin) = mpsc::channel();
        let (ended, other_ended) = mpsc::channel();
        std::thread::scope(|scope| {
            scope.spawn(|| {
                let other_ended = other_ended;
                keeper.hear_of(told, |_| {
                    adopting.send(()).unwrap();
                    // Time for the other to go on, if nothing holds it.
                    let _ = other_ended.recv_timeout(Duration::from_millis(50));
                    is_adopted.store(true, Ordering::SeqCst);
                });
            });
            other_may_begin.recv().unwrap();
            keeper.hear_of(told, |_| panic!("it is no news"));
            assert!(is_adopted.load(Ordering::SeqCst));
            let _ = ended.send(());
        });
    }
}
