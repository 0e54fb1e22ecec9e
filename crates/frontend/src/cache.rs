//! Answers that are kept: exactly what would be computed again, or nothing.
//!
//! The key of a piece holds everything its answer depends on: tenants, query, time, the part of
//! the streams, and the version of the rows it reads. What arrives late, is deleted or compacted
//! changes the version, so a kept answer is never wrong; it is only never asked for again. The key
//! is kept beside the answer and compared, because caches are shared and hashes may collide.

mod embedded;
mod key;
mod memcached;
mod redis;

pub use embedded::EmbeddedCache;
pub use key::CacheKey;
pub(crate) use key::{pack, unpack};
pub use memcached::{MemcachedCache, MemcachedConfig};
pub use redis::{RedisCache, RedisConfig};

use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use runtime::clock::Clock;

/// Where answers are kept. A cache may forget anything at any time.
pub trait ResultCache: Send + Sync {
    /// What is kept under some keys, in their order.
    ///
    /// # Errors
    ///
    /// [`CacheError`]: the caller goes on as if nothing were kept.
    fn get<'a>(
        &'a self,
        keys: &'a [CacheKey],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, CacheError>>;

    /// Keeps values for a while.
    ///
    /// # Errors
    ///
    /// [`CacheError`]: some may not be kept.
    fn put(&self, entries: Vec<(CacheKey, Bytes)>) -> BoxFuture<'_, Result<(), CacheError>>;

    /// Bytes of the largest value that is kept.
    fn max_value_bytes(&self) -> usize;
}

/// Why a cache could not be used.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("results cache: {0}")]
pub struct CacheError(String);

impl CacheError {
    pub(crate) fn new(error: impl ToString) -> Self {
        Self(error.to_string())
    }
}

/// Runs an operation on a server, which must answer within so long.
async fn in_time<T>(
    clock: &dyn Clock,
    most: Duration,
    server: &str,
    work: impl Future<Output = Result<T, CacheError>>,
) -> Result<T, CacheError> {
    tokio::select! {
        biased;
        done = work => done,
        () = clock.sleep(most) => Err(CacheError::new(format!("{server} did not answer in time"))),
    }
}

impl From<std::io::Error> for CacheError {
    fn from(error: std::io::Error) -> Self {
        Self::new(error)
    }
}
