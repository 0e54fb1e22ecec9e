//! A query, as a querier of another process carries it out.

use std::collections::{BTreeMap, BTreeSet};
use std::sync::Arc;
use std::time::Duration;

use hash_ring::{Operation, QuorumTracker, Verdict};
use ingester::{HeadSnapshot, Ingester};
use logql::source::{Selection, Source as _, Want};
use model::{TenantId, TimeRange, Timestamp};
use runtime::clock::Clock as _;
use segment::{decode_lengths, decode_lines, decode_timestamps};
use store::Store;

use crate::cluster::Cluster;
use crate::network::Link;

/// An entry: its stream, time and line.
pub(crate) type Entry = (String, i64, String);

/// A catalog that is older is renewed before a query; ingesters tell what they stored for longer.
const CATALOG_AGE_MAX: Duration = Duration::from_secs(60);

/// Something holds an entry twice.
#[derive(Debug)]
pub(crate) struct Doubled(pub(crate) Entry);

/// A querier.
pub(crate) struct Querier {
    store: Arc<Store>,
    /// How often each ingester had been started when object storage was listed.
    starts: BTreeMap<String, u64>,
    /// When that was, on the monotonic clock.
    listed: Duration,
}

impl Querier {
    pub(crate) fn new(store: Arc<Store>) -> Self {
        Self { store, starts: BTreeMap::new(), listed: Duration::ZERO }
    }

    /// Everything that a query sees now; `None` when it cannot be sure to see everything, because
    /// too few ingesters or no object storage answer. `skips` ingesters that would answer do not.
    pub(crate) async fn read(
        &mut self,
        cluster: &Cluster,
        skips: impl Fn(usize) -> bool,
    ) -> Option<Result<BTreeSet<Entry>, Doubled>> {
        let ring = cluster.ring.0.lock().clone();
        let set = ring.everyone(Operation::Read, hash_ring_now(cluster)).ok()?;
        let mut tracker = QuorumTracker::read(&set);
        let mut answered: Vec<(&Arc<Ingester>, HeadSnapshot)> = Vec::new();
        for (place, instance) in set.instances.iter().enumerate() {
            let node = cluster.nodes.iter().enumerate().find(|(_, n)| *n.id == *instance.id);
            let answer = node.filter(|(index, node)| {
                !skips(*index) && cluster.network.link(&node.id) != Link::Cut
            });
            let answer = answer.and_then(|(_, node)| node.ingester.as_ref());
            let outcome = match answer {
                Some(ingester) => {
                    let heads = ingester.snapshot(&tenant(), &[], everything());
                    answered.push((ingester, heads));
                    hash_ring::Outcome::Ok
                }
                None => hash_ring::Outcome::ServerError,
            };
            tracker.record(place, outcome);
        }
        if tracker.verdict() != Verdict::Reached {
            return None;
        }
        self.know_stored(cluster, &answered).await?;
        self.merge(&answered)
    }

    /// Lists object storage when an ingester stored something that the catalog lacks.
    async fn know_stored(
        &mut self,
        cluster: &Cluster,
        answered: &[(&Arc<Ingester>, HeadSnapshot)],
    ) -> Option<()> {
        let starts: BTreeMap<String, u64> =
            cluster.nodes.iter().map(|node| (node.id.clone(), node.starts)).collect();
        let catalog = self.store.catalog();
        let lately = answered.iter().flat_map(|(ingester, _)| ingester.stored_lately(&tenant()));
        let now = cluster.clock.monotonic();
        // What was stored longer ago is told no more.
        let is_old = now.saturating_sub(self.listed) > CATALOG_AGE_MAX;
        if is_old
            || starts != self.starts
            || lately.into_iter().any(|segment| !catalog.contains(&segment.name))
        {
            self.store.refresh().await.ok()?;
            (self.starts, self.listed) = (starts, now);
        }
        Some(())
    }

    fn merge(
        &self,
        answered: &[(&Arc<Ingester>, HeadSnapshot)],
    ) -> Option<Result<BTreeSet<Entry>, Doubled>> {
        let catalog = self.store.catalog();
        let mut found = match in_store(&self.store)? {
            Ok(found) => found,
            Err(doubled) => return Some(Err(doubled)),
        };
        for (_, heads) in answered {
            let mut by_origin: BTreeMap<u64, BTreeSet<Entry>> = BTreeMap::new();
            for piece in heads.pieces(&Selection::all(&[], everything())).unwrap_or_default() {
                let names = heads.flushed_as(piece.origin);
                if !names.is_empty() && names.iter().all(|name| catalog.contains(name)) {
                    continue;
                }
                let Ok(batch) = heads.load(&piece, &Want::default()) else { continue };
                let of_head = by_origin.entry(piece.origin).or_default();
                for run in &batch.runs {
                    for row in run.rows.clone() {
                        let line = String::from_utf8_lossy(batch.lines.row(row)).into_owned();
                        let entry =
                            (run.labels.canonical().to_owned(), batch.timestamps[row], line);
                        if !of_head.insert(entry.clone()) {
                            return Some(Err(Doubled(entry)));
                        }
                    }
                }
            }
            found.extend(by_origin.into_values().flatten());
        }
        Some(Ok(found))
    }
}

/// The distributor's view of time does not matter to a querier.
fn hash_ring_now(cluster: &Cluster) -> Timestamp {
    cluster.clock.now()
}

/// Everything in object storage; `None` when it cannot be read. No segment may hold an entry twice;
/// two may hold the same.
pub(crate) fn in_store(store: &Store) -> Option<Result<BTreeSet<Entry>, Doubled>> {
    let mut found = BTreeSet::new();
    for segment in store.catalog().all(&tenant()) {
        let rows = segment_rows(store, &segment)?;
        let mut of_segment = BTreeSet::new();
        for entry in rows {
            if !of_segment.insert(entry.clone()) {
                return Some(Err(Doubled(entry)));
            }
        }
        found.extend(of_segment);
    }
    Some(Ok(found))
}

fn segment_rows(store: &Store, segment: &store::StoredSegment) -> Option<Vec<Entry>> {
    let footer = store.footer_blocking(segment).ok()?;
    let mut found = Vec::new();
    for block in footer.blocks() {
        let ranges = [block.timestamps.clone(), block.lengths.clone(), block.lines.clone()];
        let bytes = store.read_blocking(segment, &ranges).ok()?;
        let timestamps = decode_timestamps(block, &bytes[0]).ok()?;
        let lengths = decode_lengths(block, &bytes[1]).ok()?;
        let lines = decode_lines(block, &timestamps, &lengths, &bytes[2]).ok()?;
        for (stream, rows) in block.run_rows() {
            let labels = footer.streams().labels(stream).canonical().to_owned();
            found.extend(rows.map(|row| {
                let line = String::from_utf8_lossy(lines.row(row)).into_owned();
                (labels.clone(), timestamps[row], line)
            }));
        }
    }
    Some(found)
}

pub(crate) fn tenant() -> TenantId {
    TenantId::anonymous()
}

fn everything() -> TimeRange {
    TimeRange::new(Timestamp::MIN, Timestamp::MAX)
}
