//! The path of a gRPC request through a listener: what other processes of the cluster ask.
//!
//! From the outside in, as for HTTP: a panic is contained; the request is counted and logged, also
//! when its caller goes away; whoever calls is recognised, and a tenant in its metadata is checked;
//! the service answers. Bodies are limited by the services, and the number of requests at once by
//! the connection.

mod index;
mod roles;

use std::sync::Arc;

use http::{HeaderMap, Request, StatusCode, header};
use hyper::body::Incoming;
use model::{ErrorKind, TenantId};
use rpc::health::HealthService;
use rpc::index::IndexService;
use rpc::ingester::IngesterService;
use rpc::scheduler::SchedulerService;
use runtime::task;
use tonic::body::Body;
use tonic::codegen::Service;

use crate::app::App;
use crate::http::error;
use crate::http::{Counted, Exchange};
use index::IndexOf;
pub use roles::Scheduler;
use roles::{IngesterOf, ProcessHealth, SchedulerOf};

/// An answer, as a listener sends it.
pub type GrpcResponse = http::Response<Body>;

/// The services of this process. Cloning is cheap.
#[derive(Clone)]
pub struct Services {
    /// Present when the module is.
    ingester: Option<IngesterService<IngesterOf>>,
    /// Present when the module is.
    scheduler: Option<SchedulerService<SchedulerOf>>,
    /// Present when the module is.
    index: Option<IndexService<IndexOf>>,
    health: HealthService<ProcessHealth>,
}

impl Services {
    /// The services of the modules that are part of the process.
    #[must_use]
    pub fn new(app: &Arc<App>) -> Self {
        let ingester = app
            .routes()
            .serves("ingester")
            .then(|| rpc::ingester::service(Arc::new(IngesterOf(Arc::clone(app)))));
        let scheduler = app
            .routes()
            .serves("query-scheduler")
            .then(|| rpc::scheduler::service(Arc::new(SchedulerOf(Arc::clone(app)))));
        let health =
            rpc::health::service(Arc::new(ProcessHealth(Arc::clone(app))), Arc::clone(&app.clock));
        let index = app
            .routes()
            .serves("index-gateway")
            .then(|| rpc::index::service(Arc::new(IndexOf(Arc::clone(app)))));
        Self { ingester, scheduler, index, health }
    }
}

/// Whether a request is for [`serve`].
#[must_use]
pub fn is_grpc(headers: &HeaderMap) -> bool {
    let content_type = headers.get(header::CONTENT_TYPE);
    content_type.is_some_and(|value| value.as_bytes().starts_with(b"application/grpc"))
}

/// Answers one request.
///
/// # Cancel safety
///
/// As [`crate::http::serve`].
pub async fn serve(app: Arc<App>, services: Services, request: Request<Incoming>) -> GrpcResponse {
    let exchange = Exchange::begin_grpc(&app, &request);
    let answer = answer(Arc::clone(&app), services, request.map(Body::new));
    let response = task::contain(answer).await.unwrap_or_else(|panic| {
        tracing::error!(panic = panic.message, "a request panicked");
        app.http_metrics.panics.inc();
        status(rpc::Error::new(ErrorKind::Internal, "internal error"))
    });
    exchange.end_grpc(http_status(response.headers()));
    response
}

async fn answer(app: Arc<App>, mut services: Services, request: Request<Body>) -> GrpcResponse {
    if let Err(error) = admit(&app, request.uri().path(), request.headers()) {
        return error.into_http();
    }
    let path = request.uri().path();
    let answered = if path.starts_with(rpc::health::PATH) {
        services.health.call(request).await
    } else if let Some(ingester) =
        services.ingester.as_mut().filter(|_| path.starts_with(rpc::ingester::PATH))
    {
        ingester.call(request).await
    } else if let Some(scheduler) =
        services.scheduler.as_mut().filter(|_| path.starts_with(rpc::scheduler::PATH))
    {
        scheduler.call(request).await
    } else if let Some(index) =
        services.index.as_mut().filter(|_| path.starts_with(rpc::index::PATH))
    {
        index.call(request).await
    } else {
        let text = format!("{path} is not served by this process");
        return tonic::Status::unimplemented(text).into_http();
    };
    answered.unwrap_or_else(|never| match never {})
}

/// Where requests need credentials, only other processes of the cluster may ask; health is open. A
/// tenant that is named must be one.
fn admit(app: &App, path: &str, headers: &HeaderMap) -> Result<(), tonic::Status> {
    if !app.config.credentials.0.is_empty() && !path.starts_with(rpc::health::PATH) {
        let absent = || rpc::Error::new(ErrorKind::Unavailable, "starting, try again");
        let credentials = app.credentials.get().ok_or_else(absent)?;
        credentials.check(headers, &[]).map_err(|error| {
            let text = error.body.trim_end();
            match error.status {
                StatusCode::FORBIDDEN => tonic::Status::permission_denied(text),
                _ => tonic::Status::unauthenticated(text),
            }
        })?;
    }
    let Some(tenant) = headers.get(rpc::TENANT_METADATA) else { return Ok(()) };
    let name = String::from_utf8_lossy(tenant.as_bytes());
    let invalid = |error: model::tenant::TenantError| {
        rpc::Error::new(ErrorKind::Invalid, error.to_string()).into()
    };
    TenantId::new(&name).map(drop).map_err(invalid)
}

fn status(error: rpc::Error) -> GrpcResponse {
    tonic::Status::from(error).into_http()
}

/// How HTTP would have answered, for metrics. Streams that fail later count as answered.
fn http_status(headers: &HeaderMap) -> u16 {
    let Some(status) = tonic::Status::from_header_map(headers) else { return 200 };
    if status.code() == tonic::Code::Ok {
        return 200;
    }
    if status.code() == tonic::Code::Unimplemented {
        return 404;
    }
    if status.code() == tonic::Code::Unauthenticated {
        return 401;
    }
    error::status(rpc::Error::from(status).kind).as_u16()
}

impl Exchange {
    /// Begins to count a gRPC request.
    fn begin_grpc<B>(app: &Arc<App>, request: &Request<B>) -> Self {
        // Only known methods, so that nobody can make up routes.
        let path = request.uri().path();
        let is_known =
            [rpc::ingester::PATH, rpc::health::PATH, rpc::scheduler::PATH, rpc::index::PATH]
                .iter()
                .any(|service| path.strip_prefix(service).is_some_and(is_method));
        let route = if is_known { path.into() } else { app.route_of_nothing() };
        let counted = Counted { method: "gRPC".into(), route, received_bytes: 0 };
        Self::begin_counted(app, counted, request.uri().clone())
    }

    fn end_grpc(self, status: u16) {
        self.end_counted(status, 0);
    }
}

fn is_method(name: &str) -> bool {
    const METHODS: &[&str] = &[
        "Append", "Heads", "Tail", "Flush", "Transfer", "Check", "Watch", "Frontend", "Worker",
        "Segments", "Deletes", "Parts",
    ];
    METHODS.contains(&name)
}

#[cfg(test)]
mod tests {
    use http::HeaderValue;

    use super::*;

    #[test]
    fn grpc_is_told_by_its_content_type() {
        let check = |value: &'static str, expected: bool| {
            let mut headers = HeaderMap::new();
            headers.insert(header::CONTENT_TYPE, HeaderValue::from_static(value));
            assert_eq!(is_grpc(&headers), expected, "{value}");
        };
        check("application/grpc", true);
        check("application/grpc+proto", true);
        check("application/json", false);
        assert!(!is_grpc(&HeaderMap::new()));
    }

    #[test]
    fn failures_count_as_http_would_answer() {
        let check = |error: rpc::Error, expected| {
            assert_eq!(http_status(status(error).headers()), expected);
        };
        check(rpc::Error::new(ErrorKind::Unavailable, "full"), 503);
        check(rpc::Error::new(ErrorKind::Invalid, "wrong"), 400);
        let unknown: GrpcResponse = tonic::Status::unimplemented("no").into_http();
        assert_eq!(http_status(unknown.headers()), 404);
        assert_eq!(http_status(&HeaderMap::new()), 200);
    }
}
