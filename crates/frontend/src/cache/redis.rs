//! A cache in a Redis server.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use redis::aio::{ConnectionManager, ConnectionManagerConfig};
use runtime::clock::Clock;
use tokio::sync::OnceCell;

use super::{CacheError, CacheKey, ResultCache, in_time};

/// Bytes of the largest value that is kept; Redis itself takes far larger ones.
const VALUE_MAX: usize = 16 << 20;

/// Where Redis is and how it is used.
#[derive(Clone, PartialEq, Eq)]
pub struct RedisConfig {
    /// `host:port`.
    pub endpoint: String,
    /// User; empty for the default one.
    pub username: String,
    /// Password; empty for none.
    pub password: String,
    /// Number of the database.
    pub db: i64,
    /// Longest time to connect, and of one operation.
    pub timeout: Duration,
    /// How long values are kept; zero for as long as there is room.
    pub expiration: Duration,
}

impl Default for RedisConfig {
    fn default() -> Self {
        Self {
            endpoint: String::new(),
            username: String::new(),
            password: String::new(),
            db: 0,
            timeout: Duration::from_millis(500),
            expiration: Duration::from_secs(24 * 3600),
        }
    }
}

/// The password stays out of debug output, which may be logged.
impl std::fmt::Debug for RedisConfig {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("RedisConfig").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// Values in Redis.
pub struct RedisCache {
    client: redis::Client,
    config: RedisConfig,
    clock: Arc<dyn Clock>,
    /// One connection that many operations share, and that comes back by itself.
    connection: OnceCell<ConnectionManager>,
}

impl RedisCache {
    /// A client; it connects when it is first used.
    ///
    /// # Errors
    ///
    /// [`CacheError`] when the endpoint is no address.
    pub fn new(config: RedisConfig, clock: Arc<dyn Clock>) -> Result<Self, CacheError> {
        use redis::{ConnectionAddr, ConnectionInfo, IntoConnectionInfo as _, RedisConnectionInfo};
        let (host, port) = config.endpoint.rsplit_once(':').unwrap_or((&config.endpoint, "6379"));
        let port = port.parse().map_err(|_| CacheError::new("the endpoint has no port"))?;
        let address = ConnectionAddr::Tcp(host.to_owned(), port);
        let info: ConnectionInfo = address.into_connection_info().map_err(CacheError::new)?;
        let mut redis = RedisConnectionInfo::default().set_db(config.db);
        if !config.username.is_empty() {
            redis = redis.set_username(&config.username);
        }
        if !config.password.is_empty() {
            redis = redis.set_password(&config.password);
        }
        let client =
            redis::Client::open(info.set_redis_settings(redis)).map_err(CacheError::new)?;
        Ok(Self { client, config, clock, connection: OnceCell::new() })
    }

    async fn connection(&self) -> Result<ConnectionManager, CacheError> {
        let connect = || async {
            let config = ConnectionManagerConfig::new()
                .set_connection_timeout(Some(self.config.timeout))
                .set_response_timeout(Some(self.config.timeout))
                .set_number_of_retries(1);
            ConnectionManager::new_with_config(self.client.clone(), config)
                .await
                .map_err(CacheError::new)
        };
        self.connection.get_or_try_init(connect).await.cloned()
    }
}

impl RedisCache {
    /// Runs an operation within its time, in which it may have to connect. Those that wait for the
    /// same connection wait together, not one after the other.
    async fn in_time<T>(
        &self,
        work: impl Future<Output = Result<T, CacheError>>,
    ) -> Result<T, CacheError> {
        in_time(&*self.clock, self.config.timeout, &self.config.endpoint, work).await
    }
}

impl ResultCache for RedisCache {
    fn get<'a>(
        &'a self,
        keys: &'a [CacheKey],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, CacheError>> {
        self.in_time(async move {
            if keys.is_empty() {
                return Ok(Vec::new());
            }
            let mut connection = self.connection().await?;
            let mut command = redis::cmd("MGET");
            keys.iter().for_each(|key| {
                command.arg(key.name());
            });
            let found: Vec<Option<Vec<u8>>> =
                command.query_async(&mut connection).await.map_err(CacheError::new)?;
            Ok(found.into_iter().map(|value| value.map(Bytes::from)).collect())
        })
        .boxed()
    }

    fn put(&self, entries: Vec<(CacheKey, Bytes)>) -> BoxFuture<'_, Result<(), CacheError>> {
        self.in_time(async move {
            let mut connection = self.connection().await?;
            let mut pipeline = redis::pipe();
            for (key, value) in &entries {
                let command = pipeline.cmd("SET").arg(key.name()).arg(&value[..]);
                if !self.config.expiration.is_zero() {
                    command.arg("EX").arg(self.config.expiration.as_secs().max(1));
                }
                command.ignore();
            }
            pipeline.exec_async(&mut connection).await.map_err(CacheError::new)
        })
        .boxed()
    }

    fn max_value_bytes(&self) -> usize {
        VALUE_MAX
    }
}

#[cfg(test)]
mod tests;
