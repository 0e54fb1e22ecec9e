//! A proxy before a server that breaks the connection on demand.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::watch;

/// What the proxy does with connections. A change holds for connections that are open, too.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Fault {
    /// Everything passes.
    None,
    /// Connections are closed, new ones at once.
    Cut,
    /// Connections are taken and nothing is ever answered.
    Stall,
    /// Each HTTP request is answered with this status by the proxy itself.
    Answer(u16),
    /// Each part of an answer waits this long.
    Delay(Duration),
    /// As [`Fault::Delay`], for connections that were made before this many others.
    DelayOlder {
        /// How many connections had been made; see [`Proxy::connections`].
        than: u64,
        /// How long each part of an answer waits.
        time: Duration,
    },
}

/// A running proxy; it ends when it is dropped.
pub struct Proxy {
    address: String,
    fault: watch::Sender<Fault>,
    connections: Arc<AtomicU64>,
    accepting: tokio::task::JoinHandle<()>,
}

impl Proxy {
    /// Listens on a free port and passes everything on to `upstream` (host and port).
    ///
    /// # Panics
    ///
    /// When no port is free.
    pub async fn start(upstream: &str) -> Self {
        Self::start_at("127.0.0.1", upstream).await
    }

    /// As [`Proxy::start`], listening at this address.
    ///
    /// # Panics
    ///
    /// When no port is free.
    #[expect(
        clippy::disallowed_methods,
        reason = "a test that panics fails; its tasks end with it"
    )]
    pub async fn start_at(address: &str, upstream: &str) -> Self {
        let listener = TcpListener::bind((address, 0)).await.expect("a free port");
        let address = listener.local_addr().expect("a bound port").to_string();
        let (fault, watched) = watch::channel(Fault::None);
        let connections = Arc::new(AtomicU64::new(0));
        let (counter, upstream) = (Arc::clone(&connections), upstream.to_owned());
        let accepting = tokio::spawn(async move {
            while let Ok((client, _)) = listener.accept().await {
                let number = counter.fetch_add(1, Ordering::Relaxed);
                tokio::spawn(serve(client, upstream.clone(), watched.clone(), number));
            }
        });
        Self { address, fault, connections, accepting }
    }

    /// Host and port to connect to.
    #[must_use]
    pub fn address(&self) -> &str {
        &self.address
    }

    /// Breaks or repairs.
    pub fn set(&self, fault: Fault) {
        self.fault.send_replace(fault);
    }

    /// How many connections were made.
    #[must_use]
    pub fn connections(&self) -> u64 {
        self.connections.load(Ordering::Relaxed)
    }
}

impl Drop for Proxy {
    fn drop(&mut self) {
        self.accepting.abort();
        self.fault.send_replace(Fault::Cut);
    }
}

async fn serve(
    client: TcpStream,
    upstream: String,
    mut fault: watch::Receiver<Fault>,
    number: u64,
) {
    let at_start = *fault.borrow_and_update();
    match at_start {
        Fault::Cut => {}
        Fault::Answer(status) => answer_all(client, status, fault).await,
        _ => {
            let Ok(server) = TcpStream::connect(upstream).await else { return };
            let _ = (client.set_nodelay(true), server.set_nodelay(true));
            let (from_client, to_client) = client.into_split();
            let (from_server, to_server) = server.into_split();
            // Whoever ends first ends both, so that a closed side is seen on the other.
            tokio::select! {
                () = copy(from_client, to_server, fault.clone(), Part::Question) => {}
                () = copy(from_server, to_client, fault, Part::Answer(number)) => {}
            }
        }
    }
}

#[derive(Clone, Copy)]
enum Part {
    Question,
    /// Of the connection with this number.
    Answer(u64),
}

async fn copy(
    mut from: tokio::net::tcp::OwnedReadHalf,
    mut to: tokio::net::tcp::OwnedWriteHalf,
    mut fault: watch::Receiver<Fault>,
    part: Part,
) {
    let mut buffer = vec![0; 64 << 10];
    loop {
        let now = *fault.borrow_and_update();
        let length = tokio::select! {
            changed = fault.changed() => if changed.is_err() { return } else { continue },
            length = from.read(&mut buffer), if now != Fault::Stall => length.unwrap_or(0),
            () = std::future::ready(()), if is_broken(now) => return,
        };
        if length == 0 {
            return;
        }
        // What was read before the fault waits with it.
        let now = *fault.borrow_and_update();
        if is_broken(now) {
            return;
        }
        if now == Fault::Stall && fault.wait_for(|fault| *fault != Fault::Stall).await.is_err() {
            return;
        }
        pause(now, part).await;
        if to.write_all(&buffer[..length]).await.is_err() {
            return;
        }
    }
}

fn is_broken(fault: Fault) -> bool {
    matches!(fault, Fault::Cut | Fault::Answer(_))
}

#[allow(clippy::disallowed_methods, reason = "a slow server is slow in real time")]
async fn pause(fault: Fault, part: Part) {
    match (fault, part) {
        (Fault::Delay(time), Part::Answer(_)) => tokio::time::sleep(time).await,
        (Fault::DelayOlder { than, time }, Part::Answer(number)) if number < than => {
            tokio::time::sleep(time).await;
        }
        _ => {}
    }
}

/// Answers every request on a connection with `status` while the fault lasts.
async fn answer_all(mut client: TcpStream, status: u16, mut fault: watch::Receiver<Fault>) {
    let mut seen = Vec::new();
    let mut buffer = vec![0; 64 << 10];
    loop {
        let length = tokio::select! {
            _ = fault.changed() => return,
            length = client.read(&mut buffer) => length.unwrap_or(0),
        };
        if length == 0 {
            return;
        }
        seen.extend_from_slice(&buffer[..length]);
        // A client that waits for permission to send its body is told the status at once.
        while let Some(request) = request_length(&seen) {
            if seen.len() < request {
                break;
            }
            seen.drain(..request);
            let text = format!("HTTP/1.1 {status} Broken on purpose\r\ncontent-length: 0\r\n\r\n");
            if client.write_all(text.as_bytes()).await.is_err() {
                return;
            }
        }
    }
}

/// Bytes of the first request: its head, and its body as announced; `None` while the head is open.
fn request_length(bytes: &[u8]) -> Option<usize> {
    let head = bytes.windows(4).position(|four| four == b"\r\n\r\n")? + 4;
    let text = String::from_utf8_lossy(&bytes[..head]).to_ascii_lowercase();
    let body = text
        .lines()
        .find_map(|line| line.strip_prefix("content-length:"))
        .and_then(|value| value.trim().parse::<usize>().ok());
    Some(head + body.unwrap_or(0))
}
