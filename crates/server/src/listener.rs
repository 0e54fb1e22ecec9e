//! Accepting connections: HTTP/1.1 and HTTP/2 on one port, in clear or over TLS. Requests for gRPC
//! are told by their content type, so that one port serves both; a port for gRPC alone is another
//! listener of the same kind.
//!
//! Stopping is orderly: first no new connections, then every request that was begun is answered,
//! for as long as the caller waits, and idle connections are closed.

mod guard;

use std::convert::Infallible;
use std::io;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http_body_util::{Either, Full};
use hyper::body::Incoming;
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
use crate::grpc::{self, Services};
use crate::http as routes;
use crate::tls::{Accepted, ServerTls};
pub use guard::{Guarded, Patience};

/// An address that is listened on.
pub struct Listener {
    listener: TcpListener,
    app: Arc<App>,
    builder: Builder<Tasks>,
    patience: Patience,
    slots: Arc<Semaphore>,
    tls: Option<ServerTls>,
    speaks: Speaks,
    services: Services,
}

/// What a port is for.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Speaks {
    /// HTTP and gRPC.
    Everything,
    /// gRPC alone.
    Grpc,
}

/// Requests that one connection may have under way: each query of a querier is one stream.
const STREAMS_MAX: u32 = 1000;

/// How long to wait after the operating system refused a connection, for lack of files perhaps.
const REFUSED_WAIT: Duration = Duration::from_millis(100);

impl Listener {
    /// Takes an address. Port 0 takes any free port.
    ///
    /// # Errors
    ///
    /// When the address cannot be taken.
    pub async fn bind(
        app: Arc<App>,
        address: &str,
        speaks: Speaks,
        tls: Option<ServerTls>,
    ) -> io::Result<Self> {
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
        builder
            .http2()
            .timer(TokioTimer::new())
            .keep_alive_interval(idle)
            .adaptive_window(true)
            .max_concurrent_streams(STREAMS_MAX);
        let slots = Arc::new(Semaphore::new(slots));
        let services = Services::new(&app);
        Ok(Self { listener, app, builder, patience, slots, tls, speaks, services })
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
        let open = Open::count(&self.app.http_metrics.connections);
        let (patience, builder) = (self.patience.clone(), self.builder.clone());
        let (tls, watcher) = (self.tls.clone(), graceful.watcher());
        let dispatch = Dispatch {
            app: Arc::clone(&self.app),
            services: self.services.clone(),
            speaks: self.speaks,
        };
        drop(task::spawn("http connection", async move {
            let io = match tls {
                None => Accepted::Plain(stream),
                Some(tls) => match tls.accept(Guarded::new(stream, patience.clone())).await {
                    Ok(accepted) => accepted,
                    Err(error) => {
                        tracing::debug!(error = %error, "TLS handshake");
                        return;
                    }
                },
            };
            let io = TokioIo::new(Guarded::new(io, patience));
            let service = service_fn(move |request| {
                let dispatch = dispatch.clone();
                async move { Ok::<_, Infallible>(dispatch.serve(request).await) }
            });
            let connection = builder.serve_connection_with_upgrades(io, service).into_owned();
            if let Err(error) = watcher.watch(connection).await {
                tracing::debug!(error = %error, "connection ended");
            }
            drop((open, slot));
        }));
    }
}

/// Where the requests of a connection go.
#[derive(Clone)]
struct Dispatch {
    app: Arc<App>,
    services: Services,
    speaks: Speaks,
}

impl Dispatch {
    async fn serve(
        self,
        request: http::Request<Incoming>,
    ) -> http::Response<Either<Full<Bytes>, tonic::body::Body>> {
        if self.speaks == Speaks::Grpc || grpc::is_grpc(request.headers()) {
            grpc::serve(self.app, self.services, request).await.map(Either::Right)
        } else {
            routes::serve(self.app, request).await.map(Either::Left)
        }
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
