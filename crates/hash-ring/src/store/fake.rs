//! What the tests of stores share: an HTTP server of a few lines, and what every store must do.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use model::Timestamp;
use runtime::clock::SystemClock;
use runtime::random::SystemRandom;
use runtime::task::{self, AbortOnDrop};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{mpsc, watch};

use super::{Environment, Members, RingStores};
use crate::instance::{Instance, State};
use crate::metrics::Metrics;

/// Nothing that is waited for takes so long on a machine that works.
const DEADLINE: Duration = Duration::from_secs(60);

pub(crate) fn environment() -> Environment {
    Environment {
        clock: Arc::new(SystemClock),
        random: Arc::new(SystemRandom),
        metrics: Metrics::default(),
    }
}

pub(super) fn client() -> reqwest::Client {
    let _ = rustls::crypto::ring::default_provider().install_default();
    reqwest::Client::new()
}

pub(crate) fn instance(id: &str, heartbeat: i64) -> Instance {
    Instance {
        id: id.into(),
        address: format!("{id}:9095").into(),
        zone: "a".into(),
        state: State::Active,
        tokens: (0..128).map(|token| token * 7919).collect(),
        heartbeat: Timestamp::from_seconds(heartbeat),
        registered: Timestamp::from_seconds(1),
        read_only_since: None,
    }
}

/// Waits until a watched value is as wanted, and returns it.
pub(crate) async fn until<T: Clone>(
    watched: &mut watch::Receiver<T>,
    is_wanted: impl FnMut(&T) -> bool,
) -> T {
    let found = tokio::time::timeout(DEADLINE, watched.wait_for(is_wanted)).await;
    found.expect("it happens before the deadline").expect("the store lives").clone()
}

fn is_exactly(members: &Members, expected: &[&Instance]) -> bool {
    members.is_loaded
        && members.instances.iter().map(|instance| &**instance).eq(expected.iter().copied())
}

/// What two processes must see of each other, whatever the store.
pub(super) async fn assert_works(here: &dyn RingStores, there: &dyn RingStores) {
    let (ingesters, distributors) = (here.ring("ingester"), here.ring("distributor"));
    let (ingesters_there, distributors_there) = (there.ring("ingester"), there.ring("distributor"));
    let (mut seen, mut seen_there) = (ingesters.subscribe(), ingesters_there.subscribe());
    let (first, second) = (instance("a-1", 10), instance("b/2", 10));
    ingesters.publish(&first).await.unwrap();
    ingesters_there.publish(&second).await.unwrap();
    distributors.publish(&first).await.unwrap();
    for seen in [&mut seen, &mut seen_there] {
        until(seen, |members| is_exactly(members, &[&first, &second])).await;
    }
    until(&mut distributors_there.subscribe(), |members| is_exactly(members, &[&first])).await;

    let leaving =
        Instance { state: State::Leaving, heartbeat: Timestamp::from_seconds(11), ..first };
    ingesters.publish(&leaving).await.unwrap();
    until(&mut seen_there, |members| is_exactly(members, &[&leaving, &second])).await;

    // Somebody else forgets an instance; it lives, and is back with its next heartbeat.
    ingesters.forget("b/2").await.unwrap();
    for seen in [&mut seen, &mut seen_there] {
        until(seen, |members| is_exactly(members, &[&leaving])).await;
    }
    let back = Instance { heartbeat: Timestamp::from_seconds(12), ..second };
    ingesters_there.publish(&back).await.unwrap();
    until(&mut seen, |members| is_exactly(members, &[&leaving, &back])).await;

    ingesters.withdraw("a-1").await.unwrap();
    ingesters_there.withdraw("b/2").await.unwrap();
    for seen in [&mut seen, &mut seen_there] {
        until(seen, |members| is_exactly(members, &[])).await;
    }
    assert_eq!(distributors.subscribe().borrow().instances.len(), 1);
}

/// A request that a fake server got.
pub(super) struct Request {
    pub(super) method: String,
    pub(super) path: String,
    pub(super) query: String,
    pub(super) header: String,
    pub(super) body: Vec<u8>,
}

/// What a fake server answers.
pub(super) enum Answer {
    /// Status, further header lines, body.
    Full(u16, String, Vec<u8>),
    /// A body that goes on until the sender is gone.
    Stream(mpsc::UnboundedReceiver<Vec<u8>>),
}

pub(super) struct FakeServer {
    pub(super) address: String,
    _task: AbortOnDrop<()>,
}

type Handler = dyn Fn(Request) -> BoxFuture<'static, Answer> + Send + Sync;

impl FakeServer {
    pub(super) async fn start(handler: Arc<Handler>) -> Self {
        let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
        let address = listener.local_addr().unwrap().to_string();
        let task = task::spawn("fake server", async move {
            while let Ok((stream, _)) = listener.accept().await {
                let handler = Arc::clone(&handler);
                drop(task::spawn("fake connection", async move {
                    // A client that goes away is no concern of the server.
                    let _ = serve(stream, &*handler).await;
                }));
            }
        });
        Self { address, _task: AbortOnDrop(task) }
    }
}

async fn serve(mut stream: TcpStream, handler: &Handler) -> std::io::Result<()> {
    let mut bytes = Vec::new();
    let end = loop {
        if stream.read_buf(&mut bytes).await? == 0 {
            return Ok(());
        }
        if let Some(end) = bytes.windows(4).position(|window| window == b"\r\n\r\n") {
            break end;
        }
    };
    let header = String::from_utf8_lossy(&bytes[..end]).to_lowercase();
    let original = String::from_utf8_lossy(&bytes[..end]).into_owned();
    let length = header.lines().find_map(|line| line.strip_prefix("content-length: "));
    let length: usize = length.map_or(0, |length| length.parse().unwrap());
    let mut body = bytes.split_off(end + 4);
    while body.len() < length {
        if stream.read_buf(&mut body).await? == 0 {
            return Ok(());
        }
    }
    let mut words = original.split(' ');
    let method = words.next().unwrap().to_owned();
    let target = words.next().unwrap();
    let (path, query) = target.split_once('?').unwrap_or((target, ""));
    let (path, query) = (path.to_owned(), query.to_owned());
    match handler(Request { method, path, query, header, body }).await {
        Answer::Full(status, lines, body) => {
            let head = format!(
                "HTTP/1.1 {status} -\r\nconnection: close\r\ncontent-length: {}\r\n{lines}\r\n",
                body.len()
            );
            stream.write_all(head.as_bytes()).await?;
            stream.write_all(&body).await
        }
        Answer::Stream(mut parts) => {
            stream.write_all(b"HTTP/1.1 200 -\r\nconnection: close\r\n\r\n").await?;
            while let Some(part) = parts.recv().await {
                stream.write_all(&part).await?;
            }
            Ok(())
        }
    }
}
