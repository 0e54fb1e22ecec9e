//! A cache in the memory of this process.

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use quick_cache::Weighter;
use quick_cache::sync::Cache;

use super::{CacheError, CacheKey, ResultCache};

/// Bytes that an entry costs beside its value, about.
const ENTRY_BYTES: usize = 160;
/// A guess at the size of values, from which the number of entries follows.
const VALUE_BYTES: u64 = 16 << 10;

/// Values in memory, at most so many bytes of them; what was used lately stays.
pub struct EmbeddedCache {
    cache: Cache<String, Bytes, ByBytes>,
    max_bytes: u64,
}

#[derive(Clone)]
struct ByBytes;

impl Weighter<String, Bytes> for ByBytes {
    fn weight(&self, key: &String, value: &Bytes) -> u64 {
        (key.len() + value.len() + ENTRY_BYTES) as u64
    }
}

impl EmbeddedCache {
    /// A cache that holds up to `max_bytes`.
    #[must_use]
    pub fn new(max_bytes: u64) -> Self {
        let entries = usize::try_from(max_bytes / VALUE_BYTES).unwrap_or(usize::MAX).max(64);
        Self { cache: Cache::with_weighter(entries, max_bytes, ByBytes), max_bytes }
    }

    /// Bytes that are held.
    #[must_use]
    pub fn bytes(&self) -> u64 {
        self.cache.weight()
    }
}

impl ResultCache for EmbeddedCache {
    fn get<'a>(
        &'a self,
        keys: &'a [CacheKey],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, CacheError>> {
        let found = keys.iter().map(|key| self.cache.get(key.name())).collect();
        std::future::ready(Ok(found)).boxed()
    }

    fn put(&self, entries: Vec<(CacheKey, Bytes)>) -> BoxFuture<'_, Result<(), CacheError>> {
        for (key, value) in entries {
            self.cache.insert(key.name().to_owned(), value);
        }
        std::future::ready(Ok(())).boxed()
    }

    fn max_value_bytes(&self) -> usize {
        // One value must not push out everything else.
        usize::try_from(self.max_bytes / 8).unwrap_or(usize::MAX)
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::{query, tenant};

    #[tokio::test]
    async fn memory_is_bounded() {
        let cache = EmbeddedCache::new(1 << 20);
        let key = |number: u64| CacheKey::of(&[tenant("a")], &query("{a=\"b\"}"), 0, number);
        for number in 0..100 {
            cache.put(vec![(key(number), vec![1; 50_000].into())]).await.unwrap();
            assert!(cache.bytes() <= 1 << 20);
        }
        let keys: Vec<CacheKey> = (0..100).map(key).collect();
        let found = cache.get(&keys).await.unwrap();
        assert!(found.iter().flatten().count() > 5);
    }
}
