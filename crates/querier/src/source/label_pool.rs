//! Labels of streams, built once and shared by segments and queries.
//!
//! A stream stands in every segment of its time, and each segment spells its labels out again. The
//! pool keeps them by key, so that a query over many segments builds each label set once.

use hashbrown::HashMap;
use model::Labels;
use parking_lot::RwLock;
use store::StreamKey;

/// Parts of the pool, so that threads rarely wait for each other.
const SHARDS: usize = 16;
/// Streams kept in one shard; beyond it the shard is emptied and fills again.
const SHARD_STREAMS_MAX: usize = 16_384;

/// Labels by key.
#[derive(Debug, Default)]
pub(crate) struct LabelPool {
    shards: [RwLock<HashMap<StreamKey, Labels>>; SHARDS],
}

impl LabelPool {
    /// The labels of a key, built when they are not in the pool.
    pub(crate) fn labels(&self, key: StreamKey, build: impl FnOnce() -> Labels) -> Labels {
        let shard = &self.shards[key.fingerprint().0 as usize % SHARDS];
        if let Some(labels) = shard.read().get(&key) {
            return labels.clone();
        }
        let labels = build();
        let mut shard = shard.write();
        if shard.len() >= SHARD_STREAMS_MAX {
            shard.clear();
        }
        shard.insert(key, labels.clone());
        labels
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn labels_are_built_once_and_the_pool_is_bounded() {
        let pool = LabelPool::default();
        let labels = |n: usize| Labels::new([("n", n.to_string())]);
        let key = |n: usize| StreamKey::of(labels(n).iter());
        assert_eq!(pool.labels(key(1), || labels(1)), labels(1));
        assert_eq!(pool.labels(key(1), || panic!("built again")), labels(1));
        for n in 0..2 * SHARDS * SHARD_STREAMS_MAX / 100 {
            pool.labels(key(n), || labels(n));
        }
        let kept: usize = pool.shards.iter().map(|shard| shard.read().len()).sum();
        assert!(kept <= SHARDS * SHARD_STREAMS_MAX);
    }
}
