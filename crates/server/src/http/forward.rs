//! Requests that a frontend without a querier passes on, and how a querier answers them.

use std::sync::Arc;

use frontend::{HttpRequest, HttpResponse, TaskError};
use http::{HeaderName, HeaderValue, Method, Request, StatusCode};
use model::{ErrorKind, TenantId};

use super::call::{Call, Outcome};
use super::error::HttpError;
use super::query::{self, refused_task};
use super::response::Response;
use super::routes::{Found, Route};
use crate::app::App;
use crate::local::enter;

/// The headers that a handler may look at.
const PASSED: &[&str] = &["accept", "x-loki-response-encoding-flags", "x-query-tags"];

/// Passes a request on to a querier. Parameters travel in the URL, wherever they came from.
pub async fn pass_on(mut call: Call) -> Outcome {
    let frontend = call.app.parts.frontend.get()?;
    let form = call.form().await?;
    let path = call.request.uri.path().to_owned();
    let headers = PASSED.iter().map(|name| ((*name).to_owned(), call.header(name).to_owned()));
    let request = HttpRequest {
        method: Method::GET.as_str().to_owned(),
        path_and_query: format!("{path}?{}", form.encoded()),
        headers: headers.filter(|(_, value)| !value.is_empty()).collect(),
        ..HttpRequest::default()
    };
    let answered = frontend.http(call.tenants.clone(), query::actor(&call), request).await;
    let HttpResponse { status, headers, body } = answered.map_err(refused_task)?;
    let mut response = Response::new(body);
    *response.status_mut() = StatusCode::from_u16(status).unwrap_or(StatusCode::BAD_GATEWAY);
    for (name, value) in headers {
        if let (Ok(name), Ok(value)) = (HeaderName::try_from(name), HeaderValue::try_from(value)) {
            response.headers_mut().insert(name, value);
        }
    }
    Ok(response)
}

/// Answers a querier's request in this process, in its turn: it takes a place as queries do.
///
/// # Errors
///
/// What the handler answers, and 429 when the tenant has too many waiting already.
pub async fn in_turn(route: &Route, call: Call, asker: &[String]) -> Outcome {
    let gate = call.app.parts.gate.get()?;
    let (_place, _) = enter(&gate, &call.tenants, asker).await.map_err(refused_task)?;
    route.serve(call).await
}

/// Answers a request that was passed on, with the handlers of this process.
///
/// # Errors
///
/// When it is no request that a querier answers.
pub async fn answer(
    app: Arc<App>,
    tenants: Vec<TenantId>,
    asker: Vec<String>,
    request: HttpRequest,
) -> Result<HttpResponse, TaskError> {
    let wrong = |what: &str| TaskError::new(ErrorKind::Invalid, format!("passed on: {what}"));
    let mut builder =
        Request::builder().method(request.method.as_str()).uri(&request.path_and_query);
    for (name, value) in &request.headers {
        builder = builder.header(name, value);
    }
    let (parts, ()) = builder.body(()).map_err(|error| wrong(&error.to_string()))?.into_parts();
    let found = app.routes().find(&parts.method, parts.uri.path());
    let Found::Route(route, names) = found else { return Err(wrong("no such route")) };
    if route.module != "querier" {
        return Err(wrong("not a querier's route"));
    }
    let call = Call { app, request: parts, tenants, names, body: None };
    let response = in_turn(&route, call, &asker).await.unwrap_or_else(HttpError::into_response);
    let header = |(name, value): (&HeaderName, &HeaderValue)| {
        Some((name.as_str().to_owned(), value.to_str().ok()?.to_owned()))
    };
    let headers = response.headers().iter().filter_map(header).collect();
    Ok(HttpResponse { status: response.status().as_u16(), headers, body: response.into_body() })
}
