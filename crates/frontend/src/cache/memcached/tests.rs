//! The protocol against a small server of our own, and against the real one where it is named.

use std::collections::HashMap;
use std::os::unix::fs::MetadataExt as _;
use std::process::{Child, Command, Stdio};

use runtime::clock::SystemClock;
use runtime::task;
use tokio::net::TcpListener;

use super::*;
use crate::testing::{query, tenant};

fn key(number: u64) -> CacheKey {
    CacheKey::of(&[tenant("a")], &query("{a=\"b\"}"), 0, number)
}

fn cache(addresses: Vec<String>) -> MemcachedCache {
    let timeout = Duration::from_secs(10);
    let config = MemcachedConfig { addresses, timeout, ..MemcachedConfig::default() };
    MemcachedCache::new(config, Arc::new(SystemClock))
}

/// Serves `mg` and `ms` as memcached does.
async fn fake() -> (String, Arc<Mutex<HashMap<String, Vec<u8>>>>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap().to_string();
    let kept: Arc<Mutex<HashMap<String, Vec<u8>>>> = Arc::default();
    let shared = Arc::clone(&kept);
    drop(task::spawn("fake memcached", async move {
        while let Ok((stream, _)) = listener.accept().await {
            let kept = Arc::clone(&shared);
            drop(task::spawn("fake connection", async move {
                let mut stream = BufReader::new(stream);
                while let Ok(line) = read_line(&mut stream).await {
                    let words: Vec<&str> = line.split(' ').collect();
                    let answer = match words[..] {
                        ["mg", name, "v"] => match kept.lock().get(name) {
                            None => b"EN\r\n".to_vec(),
                            Some(value) => {
                                let mut answer = format!("VA {}\r\n", value.len()).into_bytes();
                                answer.extend_from_slice(value);
                                answer.extend_from_slice(b"\r\n");
                                answer
                            }
                        },
                        ["ms", name, length, ..] => {
                            let mut value = vec![0; length.parse::<usize>().unwrap() + 2];
                            stream.read_exact(&mut value).await.unwrap();
                            value.truncate(value.len() - 2);
                            kept.lock().insert(name.to_owned(), value);
                            b"HD\r\n".to_vec()
                        }
                        _ => b"CLIENT_ERROR bad command line format\r\n".to_vec(),
                    };
                    stream.get_mut().write_all(&answer).await.unwrap();
                }
            }));
        }
    }));
    (address, kept)
}

/// Puts and gets many values of many sizes.
async fn exercise(cache: &MemcachedCache) {
    let keys: Vec<CacheKey> = (0..250).map(key).collect();
    assert_eq!(cache.get(&keys).await.unwrap(), vec![None; 250]);
    let value = |at: usize| Bytes::from(vec![at as u8; at * 50]);
    let some = keys.iter().cloned().enumerate().filter(|(at, _)| at % 3 != 0);
    cache.put(some.map(|(at, key)| (key, value(at))).collect()).await.unwrap();
    let found = cache.get(&keys).await.unwrap();
    for (at, found) in found.into_iter().enumerate() {
        assert_eq!(found, (at % 3 != 0).then(|| value(at)), "{at}");
    }
    let large = Bytes::from(vec![7; cache.max_value_bytes()]);
    cache.put(vec![(key(1000), large.clone())]).await.unwrap();
    assert_eq!(cache.get(&[key(1000)]).await.unwrap(), [Some(large)]);
    assert_eq!(cache.get(&[]).await.unwrap(), []);
}

#[tokio::test]
async fn values_come_back_from_several_servers() {
    let ((one, kept), (two, others)) = (fake().await, fake().await);
    exercise(&cache(vec![one, two])).await;
    assert!(kept.lock().len() > 20 && others.lock().len() > 20);
}

#[tokio::test]
async fn a_server_that_is_gone_takes_only_its_own_along() {
    let (address, _) = fake().await;
    let gone = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let gone_address = gone.local_addr().unwrap().to_string();
    drop(gone);
    let cache = cache(vec![address, gone_address]);
    let keys: Vec<CacheKey> = (0..50).map(key).collect();
    let values = keys.iter().map(|key| (key.clone(), Bytes::from_static(b"value")));
    assert!(cache.put(values.collect()).await.is_err());
    let found = cache.get(&keys).await.unwrap();
    let kept = found.iter().flatten().count();
    assert!((5..45).contains(&kept), "{kept}");
}

#[tokio::test]
async fn servers_that_say_nonsense_or_nothing_are_errors() {
    for answer in ["VA 99999999999\r\n", "VA x\r\n", "ERROR\r\n", "VA 3\r\nabcde", "", "EN"] {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        drop(task::spawn("nonsense", async move {
            while let Ok((mut stream, _)) = listener.accept().await {
                let _ = stream.write_all(answer.as_bytes()).await;
            }
        }));
        assert!(cache(vec![address]).get(&[key(1)]).await.is_err(), "{answer:?}");
    }
    // Accepts, and answers nothing.
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let clock = Arc::new(runtime::clock::ManualClock::new(model::Timestamp(0)));
    let addresses = vec![listener.local_addr().unwrap().to_string()];
    let config = MemcachedConfig { addresses, ..MemcachedConfig::default() };
    let cache = MemcachedCache::new(config, clock.clone());
    let keys = [key(1)];
    let mut asked = cache.get(&keys);
    assert!(asked.as_mut().now_or_never().is_none());
    clock.advance(Duration::from_secs(1));
    assert!(asked.await.unwrap_err().to_string().contains("did not answer in time"));
}

/// A process that is stopped when the test ends.
struct Server(Child);

impl Drop for Server {
    fn drop(&mut self) {
        let _ = self.0.kill();
        let _ = self.0.wait();
    }
}

/// The real server, when `SIGYN_TEST_MEMCACHED` names its program.
#[tokio::test]
#[allow(clippy::disallowed_methods, reason = "whoever runs the tests names the program")]
async fn the_real_server_understands_us() {
    let Ok(program) = std::env::var("SIGYN_TEST_MEMCACHED") else { return };
    let free = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = free.local_addr().unwrap();
    drop(free);
    let mut command = Command::new(program);
    command.args(["-l", "127.0.0.1", "-U", "0", "-p", &address.port().to_string()]);
    // Memcached wants to be told whom to run as when it is started by root.
    if std::fs::metadata("/proc/self").is_ok_and(|own| own.uid() == 0) {
        command.args(["-u", "root"]);
    }
    let command = command.stdout(Stdio::null()).stderr(Stdio::null());
    let _server = Server(command.spawn().unwrap());
    let up = async { while TcpStream::connect(address).await.is_err() {} };
    let up = futures_util::future::select(Box::pin(up), SystemClock.sleep(Duration::from_secs(30)));
    assert!(matches!(up.await, futures_util::future::Either::Left(_)));
    exercise(&cache(vec![address.to_string()])).await;
}
