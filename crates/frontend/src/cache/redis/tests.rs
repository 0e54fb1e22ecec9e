//! The commands against a small server of our own, and against the real one where it is named.

use std::collections::HashMap;
use std::process::{Child, Command, Stdio};
use std::sync::Arc;

use parking_lot::Mutex;
use runtime::clock::{Clock as _, SystemClock};
use runtime::task;
use tokio::io::{AsyncBufReadExt as _, AsyncReadExt as _, AsyncWriteExt as _, BufReader};
use tokio::net::{TcpListener, TcpStream};

use super::*;
use crate::testing::{query, tenant};

fn key(number: u64) -> CacheKey {
    CacheKey::of(&[tenant("a")], &query("{a=\"b\"}"), 0, number)
}

fn cache(endpoint: String) -> RedisCache {
    let timeout = Duration::from_secs(10);
    let config = RedisConfig { endpoint, timeout, ..RedisConfig::default() };
    RedisCache::new(config, Arc::new(SystemClock)).unwrap()
}

async fn line(stream: &mut BufReader<TcpStream>) -> Option<String> {
    let mut line = String::new();
    let read = stream.read_line(&mut line).await.ok()?;
    (read > 0).then(|| line.trim_end().to_owned())
}

/// One command as an array of bulk strings.
async fn command(stream: &mut BufReader<TcpStream>) -> Option<Vec<Vec<u8>>> {
    let count: usize = line(stream).await?.strip_prefix('*')?.parse().ok()?;
    let mut words = Vec::new();
    for _ in 0..count {
        let length: usize = line(stream).await?.strip_prefix('$')?.parse().ok()?;
        let mut word = vec![0; length + 2];
        stream.read_exact(&mut word).await.ok()?;
        word.truncate(length);
        words.push(word);
    }
    Some(words)
}

/// Serves `MGET` and `SET` as Redis does, and says yes to the rest.
async fn fake() -> String {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let kept: Arc<Mutex<HashMap<Vec<u8>, Vec<u8>>>> = Arc::default();
    drop(task::spawn("fake redis", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let kept = Arc::clone(&kept);
            drop(task::spawn("fake connection", async move {
                let mut stream = BufReader::new(stream);
                while let Some(words) = command(&mut stream).await {
                    let mut answer = Vec::new();
                    match &words[0][..] {
                        b"MGET" => {
                            answer
                                .extend_from_slice(format!("*{}\r\n", words.len() - 1).as_bytes());
                            for name in &words[1..] {
                                match kept.lock().get(name) {
                                    None => answer.extend_from_slice(b"$-1\r\n"),
                                    Some(value) => {
                                        let head = format!("${}\r\n", value.len());
                                        answer.extend_from_slice(head.as_bytes());
                                        answer.extend_from_slice(value);
                                        answer.extend_from_slice(b"\r\n");
                                    }
                                }
                            }
                        }
                        b"SET" => {
                            kept.lock().insert(words[1].clone(), words[2].clone());
                            answer.extend_from_slice(b"+OK\r\n");
                        }
                        _ => answer.extend_from_slice(b"+OK\r\n"),
                    }
                    if stream.get_mut().write_all(&answer).await.is_err() {
                        return;
                    }
                }
            }));
        }
    }));
    address
}

async fn exercise(cache: &RedisCache) {
    let keys: Vec<CacheKey> = (0..50).map(key).collect();
    assert_eq!(cache.get(&keys).await.unwrap(), vec![None; 50]);
    let value = |at: usize| Bytes::from(vec![at as u8; at * 500]);
    let some = keys.iter().cloned().enumerate().filter(|(at, _)| at % 3 != 0);
    cache.put(some.map(|(at, key)| (key, value(at))).collect()).await.unwrap();
    for (at, found) in cache.get(&keys).await.unwrap().into_iter().enumerate() {
        assert_eq!(found, (at % 3 != 0).then(|| value(at)), "{at}");
    }
    assert_eq!(cache.get(&[]).await.unwrap(), []);
}

#[tokio::test]
async fn values_come_back() {
    exercise(&cache(fake().await)).await;
}

#[tokio::test]
async fn a_server_that_is_gone_is_an_error() {
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = gone.local_addr().unwrap().to_string();
    drop(gone);
    assert!(cache(address).get(&[key(1)]).await.is_err());
    let config = RedisConfig { endpoint: "a:b".into(), ..RedisConfig::default() };
    assert!(RedisCache::new(config, Arc::new(SystemClock)).is_err());
}

/// A process that is stopped when the test ends.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The real server, when `SIGYN_TEST_REDIS` names its program.
#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "whoever runs the tests names the program")]
async fn the_real_server_understands_us() {
    let Ok(program) = std::env::var("SIGYN_TEST_REDIS") else { return };
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let mut command = Command::new(program);
    command.args(["--bind", "127.0.0.1", "--save", "", "--port", &address.port().to_string()]);
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    let _server = Server(command.spawn().unwrap());
    let up = async { while TcpStream::connect(address).await.is_err() {} };
    let up = futures_util::future::select(Box::pin(up), SystemClock.sleep(Duration::from_secs(30)));
    assert!(matches!(up.await, futures_util::future::Either::Left(_)));
    exercise(&cache(address.to_string())).await;
}

#[tokio::test]
async fn a_server_that_never_answers_holds_nobody_up_for_longer_than_the_timeout() {
    // Connections are taken by the operating system, and nobody ever answers on them.
    let silent = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let endpoint = silent.local_addr().unwrap().to_string();
    let timeout = Duration::from_millis(100);
    let config = RedisConfig { endpoint, timeout, ..RedisConfig::default() };
    let cache = RedisCache::new(config, Arc::new(SystemClock)).unwrap();
    let begun = SystemClock.monotonic();
    let keys = [key(1)];
    let gets = futures_util::future::join_all((0..40).map(|_| cache.get(&keys))).await;
    assert!(gets.iter().all(Result::is_err));
    let took = SystemClock.monotonic().saturating_sub(begun);
    assert!(took < 10 * timeout, "{took:?}");
}
