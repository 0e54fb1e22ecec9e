//! Accepting connections: HTTP/1.1 and cleartext HTTP/2 on one port.
//!
//! Stopping is orderly: first no new connections, then every request that was begun is answered,
//! for as long as the caller waits, and idle connections are closed.

mod guard;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use hyper::rt::Executor;
use hyper::service::service_fn;
use hyper_util::rt::{TokioIo, TokioTimer};
use hyper_util::server::conn::auto::Builder;
use hyper_util::server::graceful::GracefulShutdown;
use prometheus_client::metrics::gauge::Gauge;
use runtime::shutdown::Stop;
use runtime::task;
use tokio::net::{TcpListener, TcpStream};
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::app::App;
use crate::http;
use guard::{Guarded, Patience};

/// An address that is listened on.
pub struct Listener {
    listener: TcpListener,
    app: Arc<App>,
    builder: Builder<Tasks>,
    patience: Patience,
    slots: Arc<Semaphore>,
}

/// How long to wait after the operating system refused a connection, for lack of files perhaps.
const REFUSED_WAIT: Duration = Duration::from_millis(100);

impl Listener {
    /// Takes an address. Port 0 takes any free port.
    ///
    /// # Errors
    ///
    /// When the address cannot be taken.
    pub async fn bind(app: Arc<App>, address: &str) -> io::Result<Self> {
        let listener = TcpListener::bind(address).await?;
        let settings = &app.config.server;
        let slots = match settings.http_listen_conn_limit {
            0 => Semaphore::MAX_PERMITS,
            limit => limit.min(Semaphore::MAX_PERMITS),
        };
        let patience = Patience {
            first_byte: settings.http_server_read_timeout,
            write: settings.http_server_write_timeout,
            clock: Arc::clone(&app.clock),
        };
        let mut builder = Builder::new(Tasks);
        // Between requests and until the end of a request's head.
        let idle = settings.http_server_idle_timeout;
        builder.http1().timer(TokioTimer::new()).header_read_timeout(idle);
        builder.http2().timer(TokioTimer::new()).keep_alive_interval(idle);
        Ok(Self { listener, app, builder, patience, slots: Arc::new(Semaphore::new(slots)) })
    }

    /// The address that was taken.
    ///
    /// # Errors
    ///
    /// When the operating system does not tell.
    pub fn address(&self) -> io::Result<SocketAddr> {
        self.listener.local_addr()
    }

    /// Serves until asked to stop, then until every request under way is answered.
    pub async fn run(self, stop: Stop) {
        let graceful = GracefulShutdown::new();
        loop {
            tokio::select! {
                biased;
                () = stop.requested() => break,
                accepted = self.accept() => {
                    if let Some((stream, slot)) = accepted {
                        self.serve(stream, slot, &graceful);
                    }
                }
            }
        }
        // Closes the socket, so that nobody waits in its queue.
        drop(self.listener);
        graceful.shutdown().await;
    }

    async fn accept(&self) -> Option<(TcpStream, OwnedSemaphorePermit)> {
        let slot = Arc::clone(&self.slots).acquire_owned().await.ok()?;
        match self.listener.accept().await {
            Ok((stream, _)) => Some((stream, slot)),
            Err(error) => {
                tracing::warn!(error = %error, "accept a connection");
                self.app.clock.sleep(REFUSED_WAIT).await;
                None
            }
        }
    }

    fn serve(&self, stream: TcpStream, slot: OwnedSemaphorePermit, graceful: &GracefulShutdown) {
        // Answers are written whole; waiting for more to send would only delay them.
        let _ = stream.set_nodelay(true);
        let app = Arc::clone(&self.app);
        let open = Open::count(&app.http_metrics.connections);
        let service = service_fn(move |request| {
            let app = Arc::clone(&app);
            async move { Ok::<_, Infallible>(http::serve(app, request).await) }
        });
        let io = TokioIo::new(Guarded::new(stream, self.patience.clone()));
        let connection = self.builder.serve_connection_with_upgrades(io, service).into_owned();
        let connection = graceful.watch(connection);
        drop(task::spawn("http connection", async move {
            if let Err(error) = connection.await {
                tracing::debug!(error = %error, "connection ended");
            }
            drop((open, slot));
        }));
    }
}

/// Counts an open connection while it lives.
struct Open(Gauge);

impl Open {
    fn count(gauge: &Gauge) -> Self {
        gauge.inc();
        Self(gauge.clone())
    }
}

impl Drop for Open {
    fn drop(&mut self) {
        self.0.dec();
    }
}

/// Starts the tasks that HTTP/2 streams run on.
#[derive(Debug, Clone, Copy)]
struct Tasks;

impl<F> Executor<F> for Tasks
where
    F: Future + Send + 'static,
    F::Output: Send + 'static,
{
    fn execute(&self, future: F) {
        drop(task::spawn("http stream", future));
    }
}
