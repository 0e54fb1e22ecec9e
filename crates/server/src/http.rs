//! The path of a request through the listener.
//!
//! From the outside in: a panic is contained and answered 500; the route is found; the request is
//! counted and logged, also when its client goes away; the tenants are read; the handler answers;
//! the answer is compressed. Nothing below this module knows HTTP.

pub mod call;
pub mod error;
pub mod form;
pub mod forward;
pub mod metrics;
pub mod response;
pub mod routes;
pub mod tenant;

pub mod admin;

pub mod deletes;
pub mod detected;
pub mod downscale;
pub mod format_query;
pub mod metadata;
pub mod push;
pub mod query;
pub mod ring;
pub mod status;
pub mod tail;
#[cfg(test)]
mod tests;

use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use http::{HeaderMap, HeaderValue, Request, StatusCode, header, request};
use http_body_util::Full;
use hyper::body::Incoming;
use model::TenantId;
use runtime::task;

use crate::app::App;
use crate::blocking;
use call::{Call, Outcome};
use error::{CLIENT_CLOSED_REQUEST, HttpError};
use metrics::{End, Running};
use response::Response;
use routes::{Found, Route};
use tenant::{Access, TENANT_HEADER};

/// Answers one request.
///
/// # Cancel safety
///
/// Dropped when the client goes away: the handler's future is dropped, and the request is counted
/// with status 499.
pub async fn serve(app: Arc<App>, request: Request<Incoming>) -> http::Response<Full<Bytes>> {
    let (request, body) = request.into_parts();
    let found = app.routes().find(&request.method, request.uri.path());
    let exchange = Exchange::begin(&app, &request, &found);
    let response = match found {
        Found::Route(route, names) => {
            let accepts_gzip = response::accepts_gzip(&request.headers);
            let answer = answer(Arc::clone(&app), &route, names, request, body);
            let response = task::contain(answer).await.unwrap_or_else(|panic| {
                tracing::error!(route = &*route.name, panic = panic.message, "a request panicked");
                app.http_metrics.panics.inc();
                Err(HttpError::line(StatusCode::INTERNAL_SERVER_ERROR, "internal error"))
            });
            let mut response = response.unwrap_or_else(HttpError::into_response);
            if response.status() == StatusCode::UNAUTHORIZED && !app.config.credentials.0.is_empty()
            {
                let ask = HeaderValue::from_static("Basic realm=\"sigyn\"");
                response.headers_mut().insert(header::WWW_AUTHENTICATE, ask);
            }
            if accepts_gzip && compresses(&app, &route) {
                blocking::inline(response.body().len(), || response::compress(response))
            } else {
                response
            }
        }
        Found::OtherMethod(_) => response::empty(StatusCode::METHOD_NOT_ALLOWED),
        Found::Nothing => {
            HttpError::line(StatusCode::NOT_FOUND, "404 page not found").into_response()
        }
    };
    exchange.end(&response);
    response.map(Full::new)
}

async fn answer(
    app: Arc<App>,
    route: &Route,
    names: Vec<String>,
    request: request::Parts,
    body: Incoming,
) -> Outcome {
    let tenants = app.tenants(route, &request.headers)?;
    let is_here = app.routes().serves("querier");
    let call = Call { app, request, tenants, names, body: Some(body) };
    match route.module == "querier" {
        true if is_here => {
            let asker = query::actor(&call);
            forward::in_turn(route, call, &asker).await
        }
        true => forward::pass_on(call).await,
        false => route.serve(call).await,
    }
}

impl App {
    /// The tenants of a request: named by it, and allowed to whoever sent it.
    fn tenants(&self, route: &Route, headers: &HeaderMap) -> Result<Vec<TenantId>, HttpError> {
        if self.config.credentials.0.is_empty() || route.is_public() {
            return self.authentication.tenants(route.access, headers);
        }
        let credentials = self.credentials.get();
        let credentials =
            credentials.ok_or_else(|| HttpError::unavailable("starting, try again"))?;
        let is_named = headers.contains_key(TENANT_HEADER);
        let own = (!is_named && route.access != Access::Open && self.config.auth_enabled)
            .then(|| credentials.only_tenant(headers))
            .flatten();
        let tenants = match own {
            Some(tenant) => vec![tenant],
            None => self.authentication.tenants(route.access, headers)?,
        };
        credentials.check(headers, &tenants)?;
        Ok(tenants)
    }
}

/// Answers to pushes are empty or short, and never compressed.
fn compresses(app: &App, route: &Route) -> bool {
    app.config.frontend.compress_responses && route.module != "distributor"
}

/// What is known of a request when it begins.
pub(crate) struct Counted {
    /// As metrics show it.
    pub(crate) method: Arc<str>,
    /// As metrics show it.
    pub(crate) route: Arc<str>,
    /// Body bytes as announced.
    pub(crate) received_bytes: u64,
}

/// A request that is counted and logged when it ends, in whatever way.
pub(crate) struct Exchange {
    app: Arc<App>,
    running: Running,
    began: Duration,
    received_bytes: u64,
    /// For the log.
    uri: http::Uri,
    is_over: bool,
}

impl Exchange {
    fn begin(app: &Arc<App>, request: &request::Parts, found: &Found) -> Self {
        let route = match found {
            Found::Route(route, _) | Found::OtherMethod(route) => Arc::clone(&route.name),
            Found::Nothing => app.route_of_nothing(),
        };
        let method = app.method_name(&request.method);
        let received_bytes = call::content_length(request);
        let counted = Counted { method, route, received_bytes };
        Self::begin_counted(app, counted, request.uri.clone())
    }

    /// Begins to count any request.
    pub(crate) fn begin_counted(app: &Arc<App>, counted: Counted, uri: http::Uri) -> Self {
        let Counted { method, route, received_bytes } = counted;
        let running = Running { method, route };
        app.http_metrics.begin(&running);
        let (app, began) = (Arc::clone(app), app.clock.monotonic());
        Self { app, running, began, received_bytes, uri, is_over: false }
    }

    fn end(self, response: &Response) {
        self.end_counted(response.status().as_u16(), response.body().len() as u64);
    }

    /// Counts how a request was answered.
    pub(crate) fn end_counted(mut self, status: u16, sent_bytes: u64) {
        self.finish(status, sent_bytes);
    }

    fn finish(&mut self, status: u16, sent_bytes: u64) {
        self.is_over = true;
        let took = self.app.clock.monotonic().saturating_sub(self.began);
        let end = End {
            status,
            is_websocket: status == 101,
            seconds: took.as_secs_f64(),
            received_bytes: self.received_bytes,
            sent_bytes,
        };
        self.app.http_metrics.end(&self.running, end);
        let (method, uri) = (&*self.running.method, &self.uri);
        match status {
            502 | 503 => tracing::debug!(status, ?took, method, %uri, "request answered"),
            500.. => tracing::warn!(status, ?took, method, %uri, "request failed"),
            _ => tracing::debug!(status, ?took, method, %uri, "request answered"),
        }
    }
}

impl Drop for Exchange {
    fn drop(&mut self) {
        if !self.is_over {
            self.finish(CLIENT_CLOSED_REQUEST, 0);
        }
    }
}
