//! A cache in memcached servers, over their meta commands (memcached 1.6 and later).
//!
//! Keys are spread over the servers by rendezvous hashing, so that a server that comes or goes
//! moves only its own keys. Connections are few, kept while they are healthy, and dropped after the
//! first surprise; every operation has a time limit.

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, join_all};
use parking_lot::Mutex;
use runtime::clock::Clock;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::TcpStream;
use tokio::sync::Semaphore;
use xxhash_rust::xxh3::xxh3_64_with_seed;

use super::{CacheError, CacheKey, ResultCache, in_time};

/// Keys asked for in one go; what is asked fits the buffers of a connection.
const BATCH_KEYS: usize = 100;
/// Bytes of a line of the protocol.
const LINE_MAX: u64 = 2048;

/// Where memcached is and how it is used.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct MemcachedConfig {
    /// `host:port` of every server.
    pub addresses: Vec<String>,
    /// Longest time of one operation.
    pub timeout: Duration,
    /// How long values are kept; zero for as long as there is room.
    pub expiration: Duration,
    /// Connections to each server.
    pub max_connections: usize,
    /// Bytes of the largest value that servers take.
    pub max_item_bytes: usize,
}

impl Default for MemcachedConfig {
    fn default() -> Self {
        Self {
            addresses: Vec::new(),
            timeout: Duration::from_millis(100),
            expiration: Duration::from_secs(24 * 3600),
            max_connections: 16,
            max_item_bytes: 1 << 20,
        }
    }
}

/// Values in memcached.
pub struct MemcachedCache {
    servers: Vec<Server>,
    config: MemcachedConfig,
    clock: Arc<dyn Clock>,
}

struct Server {
    address: String,
    idle: Mutex<Vec<Connection>>,
    places: Semaphore,
}

type Connection = BufReader<TcpStream>;

impl MemcachedCache {
    /// A client; it connects when it is first used.
    #[must_use]
    pub fn new(config: MemcachedConfig, clock: Arc<dyn Clock>) -> Self {
        let server = |address: &String| Server {
            address: address.clone(),
            idle: Mutex::default(),
            places: Semaphore::new(config.max_connections.max(1)),
        };
        Self { servers: config.addresses.iter().map(server).collect(), config, clock }
    }

    /// The keys of each server, by their places in `names`.
    fn spread<'a>(&self, names: impl Iterator<Item = &'a str>) -> Vec<Vec<usize>> {
        let mut spread = vec![Vec::new(); self.servers.len()];
        for (at, name) in names.enumerate() {
            let weight = |server: &Server| {
                let seed = xxh3_64_with_seed(server.address.as_bytes(), 0);
                xxh3_64_with_seed(name.as_bytes(), seed)
            };
            let best = (0..self.servers.len()).max_by_key(|at| weight(&self.servers[*at]));
            if let Some(best) = best {
                spread[best].push(at);
            }
        }
        spread
    }

    /// Runs an operation on a server, within its time.
    async fn in_time<T>(
        &self,
        server: &Server,
        work: impl Future<Output = Result<T, CacheError>>,
    ) -> Result<T, CacheError> {
        in_time(&*self.clock, self.config.timeout, &server.address, work).await
    }

    async fn get_some(
        &self,
        server: &Server,
        keys: &[CacheKey],
        places: &[usize],
    ) -> Result<Vec<Option<Bytes>>, CacheError> {
        let mut request = String::new();
        for at in places {
            request.push_str("mg ");
            request.push_str(keys[*at].name());
            request.push_str(" v\r\n");
        }
        let work = async {
            let _place = server.places.acquire().await.map_err(CacheError::new)?;
            let mut connection = server.connection().await?;
            connection.get_mut().write_all(request.as_bytes()).await?;
            let mut found = Vec::with_capacity(places.len());
            for _ in places {
                found.push(read_value(&mut connection, self.config.max_item_bytes).await?);
            }
            server.give_back(connection);
            Ok(found)
        };
        self.in_time(server, work).await
    }

    async fn put_some(
        &self,
        server: &Server,
        entries: &[(CacheKey, Bytes)],
        places: &[usize],
    ) -> Result<(), CacheError> {
        // A time beyond 30 days would be read as a date.
        let ttl = match self.config.expiration.as_secs() {
            0 => String::new(),
            seconds => format!(" T{}", seconds.min(30 * 24 * 3600)),
        };
        let work = async {
            let _place = server.places.acquire().await.map_err(CacheError::new)?;
            let mut connection = server.connection().await?;
            for at in places {
                let (key, value) = &entries[*at];
                let head = format!("ms {} {}{ttl}\r\n", key.name(), value.len());
                let stream = connection.get_mut();
                stream.write_all(head.as_bytes()).await?;
                stream.write_all(value).await?;
                stream.write_all(b"\r\n").await?;
                let line = read_line(&mut connection).await?;
                if !line.starts_with("HD") {
                    return Err(CacheError::new(line));
                }
            }
            server.give_back(connection);
            Ok(())
        };
        self.in_time(server, work).await
    }
}

impl Server {
    /// A connection that is at the start of an operation. It is gone unless it is given back.
    async fn connection(&self) -> Result<Connection, CacheError> {
        let idle = self.idle.lock().pop();
        if let Some(connection) = idle {
            return Ok(connection);
        }
        let stream = TcpStream::connect(&self.address).await?;
        stream.set_nodelay(true)?;
        Ok(BufReader::with_capacity(64 << 10, stream))
    }

    /// Keeps a connection for the next operation, unless it says more than it was asked.
    fn give_back(&self, connection: Connection) {
        if connection.buffer().is_empty() {
            self.idle.lock().push(connection);
        }
    }
}

/// The answer to a `mg`.
async fn read_value(
    connection: &mut Connection,
    limit: usize,
) -> Result<Option<Bytes>, CacheError> {
    let line = read_line(connection).await?;
    if line.starts_with("EN") {
        return Ok(None);
    }
    let length = line.strip_prefix("VA ").and_then(|rest| rest.split(' ').next()?.parse().ok());
    let length: usize = length.ok_or_else(|| CacheError::new(&line))?;
    if length > limit {
        return Err(CacheError::new(format!("a value of {length} bytes; the most is {limit}")));
    }
    let mut value = vec![0; length + 2];
    connection.read_exact(&mut value).await?;
    if !value.ends_with(b"\r\n") {
        return Err(CacheError::new("a value without end"));
    }
    value.truncate(length);
    Ok(Some(value.into()))
}

/// A line without its end.
async fn read_line(connection: &mut Connection) -> Result<String, CacheError> {
    let mut line = Vec::new();
    (&mut *connection).take(LINE_MAX).read_until(b'\n', &mut line).await?;
    if !line.ends_with(b"\r\n") {
        return Err(CacheError::new("the connection was closed"));
    }
    line.truncate(line.len() - 2);
    String::from_utf8(line).map_err(CacheError::new)
}

impl ResultCache for MemcachedCache {
    fn get<'a>(
        &'a self,
        keys: &'a [CacheKey],
    ) -> BoxFuture<'a, Result<Vec<Option<Bytes>>, CacheError>> {
        async move {
            let spread = self.spread(keys.iter().map(CacheKey::name));
            let mut asks = Vec::new();
            for (server, places) in self.servers.iter().zip(&spread) {
                for places in places.chunks(BATCH_KEYS) {
                    let ask = async move { (places, self.get_some(server, keys, places).await) };
                    asks.push(ask);
                }
            }
            let mut found = vec![None; keys.len()];
            let mut failure = None;
            for (places, values) in join_all(asks).await {
                match values {
                    Ok(values) => {
                        places.iter().zip(values).for_each(|(at, value)| found[*at] = value);
                    }
                    Err(error) => failure = Some(error),
                }
            }
            // What the other servers have is as good as ever.
            match failure {
                Some(error) if found.iter().all(Option::is_none) => Err(error),
                _ => Ok(found),
            }
        }
        .boxed()
    }

    fn put(&self, entries: Vec<(CacheKey, Bytes)>) -> BoxFuture<'_, Result<(), CacheError>> {
        async move {
            let spread = self.spread(entries.iter().map(|(key, _)| key.name()));
            let puts = self.servers.iter().zip(&spread).filter(|(_, places)| !places.is_empty());
            let puts = puts.map(|(server, places)| self.put_some(server, &entries, places));
            join_all(puts).await.into_iter().collect()
        }
        .boxed()
    }

    fn max_value_bytes(&self) -> usize {
        // The server counts its own overhead and the name.
        self.config.max_item_bytes.saturating_sub(512)
    }
}

#[cfg(test)]
mod tests;
