//! Shuffle shards: a few instances for each identifier, so that one tenant's trouble meets few.
//!
//! Every instance gets a score from its name and the identifier; a shard is the instances with the
//! highest scores of each zone. So a shard changes by at most one instance of a zone when one joins
//! or leaves, a larger shard holds the smaller one, and tokens do not matter.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::Timestamp;
use xxhash_rust::xxh64::xxh64;

use super::Ring;
use super::topology::Topology;
use crate::instance::Instance;

/// How many shards of one topology are remembered before all are forgotten.
const SHARDS_MAX: usize = 4096;

/// A shard that can be given to a ring whose heartbeats have moved on.
#[derive(Clone)]
pub(super) struct CachedShard {
    positions: Arc<[usize]>,
    topology: Arc<Topology>,
}

/// What an instance does to the shard whose turn comes to it.
enum Turn {
    /// It takes one of the places.
    Counts,
    /// It comes too, without taking a place.
    Accompanies,
    /// It is passed over.
    Skipped,
}

impl Ring {
    /// The part of the ring that `identifier` uses: `size` instances, rounded up to the same
    /// number in every zone. Size 0 means all.
    ///
    /// Without `lookback` it is for writing: read-only instances are passed over. With
    /// `lookback`, a time span and the time at which it ends, it holds every instance that was in
    /// the shard at any time of that span and is still there: instances that joined or became
    /// read-only within the span do not take places of others.
    #[must_use]
    pub fn shuffle_shard(
        &self,
        identifier: &str,
        size: usize,
        lookback: Option<(Duration, Timestamp)>,
    ) -> Self {
        if lookback.is_some() {
            let positions = self.choose(identifier, size, lookback);
            return self.part(&self.cut(positions));
        }
        let key = (identifier.to_owned(), size);
        let cached = self.topology.shards.lock().get(&key).cloned();
        let shard = cached.unwrap_or_else(|| {
            let shard = self.cut(self.choose(identifier, size, None));
            let mut shards = self.topology.shards.lock();
            if shards.len() >= SHARDS_MAX {
                shards.clear();
            }
            shards.insert(key, shard.clone());
            shard
        });
        self.part(&shard)
    }

    /// The positions of a shard's members, ascending.
    fn choose(
        &self,
        identifier: &str,
        size: usize,
        lookback: Option<(Duration, Timestamp)>,
    ) -> Vec<usize> {
        let since = lookback.map(|(span, end)| end.minus(span));
        let seed = xxh64(identifier.as_bytes(), 0);
        let mut zones: BTreeMap<usize, Vec<(u64, usize)>> = BTreeMap::new();
        for (index, instance) in self.members.iter().enumerate() {
            let zone = if self.config.zone_aware { self.topology.zone_of[index] } else { 0 };
            let score = xxh64(instance.id.as_bytes(), seed);
            zones.entry(zone).or_default().push((score, index));
        }
        let places = match size {
            0 => usize::MAX,
            size => size.div_ceil(zones.len().max(1)),
        };
        let mut chosen = Vec::new();
        for mut ranking in zones.into_values() {
            // Equal scores are decided by name, which is the order of positions.
            ranking.sort_unstable_by(|a, b| b.0.cmp(&a.0).then(a.1.cmp(&b.1)));
            let mut taken = 0;
            for (_, index) in ranking {
                if taken == places {
                    break;
                }
                match turn(&self.members[index], since, size == 0) {
                    Turn::Counts => taken += 1,
                    Turn::Accompanies => {}
                    Turn::Skipped => continue,
                }
                chosen.push(index);
            }
        }
        chosen.sort_unstable();
        chosen
    }

    fn cut(&self, positions: Vec<usize>) -> CachedShard {
        let topology = match positions.len() == self.members.len() {
            true => Arc::clone(&self.topology),
            false => {
                let members = self.members_at(&positions);
                Arc::new(self.topology.of_some(&members, &positions))
            }
        };
        CachedShard { positions: positions.into(), topology }
    }

    fn part(&self, shard: &CachedShard) -> Self {
        let members = self.members_at(&shard.positions);
        Self { config: self.config.clone(), topology: Arc::clone(&shard.topology), members }
    }

    fn members_at(&self, positions: &[usize]) -> Arc<[Arc<Instance>]> {
        positions.iter().map(|&index| Arc::clone(&self.members[index])).collect()
    }
}

fn turn(instance: &Instance, since: Option<Timestamp>, is_whole: bool) -> Turn {
    let is_recent = since.is_some_and(|since| instance.registered >= since);
    if let Some(read_only_since) = instance.read_only_since {
        let was_writable = since.is_some_and(|since| read_only_since >= since);
        return if was_writable { Turn::Accompanies } else { Turn::Skipped };
    }
    match (is_recent, is_whole || !instance.tokens.is_empty()) {
        (true, _) => Turn::Accompanies,
        (false, true) => Turn::Counts,
        (false, false) => Turn::Skipped,
    }
}
