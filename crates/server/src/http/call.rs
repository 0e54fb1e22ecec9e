//! One request on its way to its handler.

use std::sync::Arc;

use bytes::{Bytes, BytesMut};
use http::{StatusCode, header, request};
use http_body_util::BodyExt as _;
use hyper::body::Incoming;
use model::TenantId;
use runtime::task;

use super::error::HttpError;
use super::form::Form;
use super::response::Response;
use crate::app::App;

/// What a handler answers.
pub type Outcome = Result<Response, HttpError>;

/// A request whose route and tenants are known.
pub struct Call {
    /// The process that serves it.
    pub app: Arc<App>,
    /// Method, URL and headers.
    pub request: request::Parts,
    /// Whose request it is: at least one tenant, unless the route is open.
    pub tenants: Vec<TenantId>,
    /// What stands in the route's `{name}` places, in order, decoded.
    pub names: Vec<String>,
    /// The body, until somebody takes it.
    pub body: Option<Incoming>,
}

impl Call {
    /// The tenant of a route that has one.
    ///
    /// # Errors
    ///
    /// 401 on a route without tenant; the route table is wrong then.
    pub fn tenant(&self) -> Result<&TenantId, HttpError> {
        let missing = || HttpError::line(StatusCode::UNAUTHORIZED, "no org id");
        self.tenants.first().ok_or_else(missing)
    }

    /// A header's text; empty when it is missing or not text.
    #[must_use]
    pub fn header(&self, name: &str) -> &str {
        self.request.headers.get(name).and_then(|value| value.to_str().ok()).unwrap_or("")
    }

    /// The parameters: a form body, if there is one, then the URL's query.
    ///
    /// # Errors
    ///
    /// 413 when the form is larger than `frontend.max_body_size`, 400 when it does not arrive.
    pub async fn form(&mut self) -> Result<Form, HttpError> {
        let is_form = self
            .header("content-type")
            .split(';')
            .next()
            .is_some_and(|media| media.trim() == "application/x-www-form-urlencoded");
        let body = match self.body.take() {
            Some(body) if is_form => {
                let limit = self.app.config.frontend.max_body_size.0;
                read(&self.app, body, usize::try_from(limit).unwrap_or(usize::MAX)).await?
            }
            _ => Bytes::new(),
        };
        Ok(Form::new(&body, self.request.uri.query().unwrap_or("")))
    }

    /// The parameters in the URL alone.
    #[must_use]
    pub fn query(&self) -> Form {
        Form::new(&[], self.request.uri.query().unwrap_or(""))
    }

    /// Body bytes as announced; 0 when the client does not say.
    #[must_use]
    pub fn content_length(&self) -> u64 {
        content_length(&self.request)
    }
}

/// Body bytes as announced; 0 when the client does not say.
pub(super) fn content_length(request: &request::Parts) -> u64 {
    let value = request.headers.get(header::CONTENT_LENGTH);
    value.and_then(|value| value.to_str().ok()?.parse().ok()).unwrap_or(0)
}

/// The next bytes of a body; `None` after the last.
///
/// # Errors
///
/// 408 when the client stops sending, 400 when the connection breaks.
pub(super) async fn next_part(
    app: &App,
    incoming: &mut Incoming,
) -> Result<Option<Bytes>, HttpError> {
    loop {
        let frame = tokio::select! {
            biased;
            frame = incoming.frame() => frame,
            () = app.clock.sleep(app.config.server.http_server_read_timeout) => {
                let text = "the request body did not arrive in time";
                return Err(HttpError::line(StatusCode::REQUEST_TIMEOUT, text));
            }
        };
        let Some(frame) = frame else { return Ok(None) };
        let frame =
            frame.map_err(|error| HttpError::line(StatusCode::BAD_REQUEST, error.to_string()))?;
        // Trailers are of no interest.
        if let Ok(part) = frame.into_data() {
            return Ok(Some(part));
        }
    }
}

/// Throws away, beside the answer, what a client still sends of a body that was refused: up to
/// `limit` bytes, and for as long as one read may take. A client that is cut off while it sends
/// sees a broken connection instead of the answer that says why.
pub(super) fn drain(app: Arc<App>, mut incoming: Incoming, limit: u64) {
    drop(task::spawn("refused body", async move {
        let reading = async {
            let mut left = limit;
            while let Ok(Some(part)) = next_part(&app, &mut incoming).await {
                match left.checked_sub(part.len() as u64) {
                    Some(rest) => left = rest,
                    None => return,
                }
            }
        };
        tokio::select! {
            () = reading => {}
            () = app.clock.sleep(app.config.server.http_server_read_timeout) => {}
        }
    }));
}

/// Reads a small body whole.
async fn read(app: &App, mut body: Incoming, limit: usize) -> Result<Bytes, HttpError> {
    let mut bytes = BytesMut::new();
    while let Some(part) = next_part(app, &mut body).await? {
        if bytes.len() + part.len() > limit {
            let text = format!("http: request body too large: limit {limit} bytes");
            return Err(HttpError::text(StatusCode::PAYLOAD_TOO_LARGE, text));
        }
        bytes.extend_from_slice(&part);
    }
    Ok(bytes.freeze())
}
