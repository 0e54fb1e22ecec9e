//! What the stores behind HTTP share: endpoints, attempts and their retries.

use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use reqwest::{RequestBuilder, Response, StatusCode, Url};
use runtime::backoff::Backoff;

use super::{CHANGE_RETRIES, Environment};
use crate::Error;

/// How long one short request may take.
pub(super) const REQUEST_TIMEOUT: Duration = Duration::from_secs(5);

/// How much of a refusal's body is kept for the error.
const MESSAGE_CHARS_MAX: usize = 200;

/// Why one attempt failed.
#[derive(Debug, thiserror::Error)]
pub(super) enum CallError {
    /// Another attempt, perhaps at another endpoint, may succeed.
    #[error("{0}")]
    Again(String),
    /// The store refuses; the status says why.
    #[error("{status}: {message}")]
    Refused {
        /// The status of the answer.
        status: StatusCode,
        /// The beginning of its body.
        message: String,
    },
}

impl From<reqwest::Error> for CallError {
    fn from(error: reqwest::Error) -> Self {
        // The causes hold what happened; the outermost error only names the address.
        let mut message = error.to_string();
        let mut source = std::error::Error::source(&error);
        while let Some(cause) = source {
            message = format!("{message}: {cause}");
            source = cause.source();
        }
        Self::Again(message)
    }
}

/// The servers of one store. One is used until it fails, then the next.
pub(super) struct Endpoints {
    pub(super) store: &'static str,
    pub(super) client: reqwest::Client,
    pub(super) environment: Environment,
    urls: Vec<Url>,
    current: AtomicUsize,
}

impl Endpoints {
    /// Addresses without a scheme mean `http`.
    pub(super) fn new(
        store: &'static str,
        addresses: &[String],
        client: reqwest::Client,
        environment: Environment,
    ) -> Result<Self, Error> {
        let parse = |address: &String| {
            let text = match address.contains("://") {
                true => address.clone(),
                false => format!("http://{address}"),
            };
            let url = Url::parse(&text).ok().filter(Url::has_host);
            url.ok_or_else(|| Error::Config(format!("{store} address {address:?} is no URL")))
        };
        let urls = addresses.iter().map(parse).collect::<Result<Vec<_>, _>>()?;
        if urls.is_empty() {
            return Err(Error::Config(format!("{store} has no address")));
        }
        Ok(Self { store, client, environment, urls, current: AtomicUsize::new(0) })
    }

    /// The address of `path` segments at the endpoint in use.
    pub(super) fn url<'a>(&self, path: impl IntoIterator<Item = &'a str>) -> Url {
        let mut url = self.urls[self.current.load(Ordering::Relaxed) % self.urls.len()].clone();
        if let Ok(mut segments) = url.path_segments_mut() {
            segments.pop_if_empty().extend(path);
        }
        url
    }

    /// Uses the next endpoint from now on.
    pub(super) fn rotate(&self) {
        self.current.fetch_add(1, Ordering::Relaxed);
    }

    /// Sends one request. A server's trouble is worth another attempt, a refusal is not.
    pub(super) async fn send(&self, request: RequestBuilder) -> Result<Response, CallError> {
        let response = request.send().await?;
        let status = response.status();
        if status.is_success() {
            return Ok(response);
        }
        let body = response.text().await.unwrap_or_default();
        let message: String = body.trim().chars().take(MESSAGE_CHARS_MAX).collect();
        let is_passing = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        match is_passing {
            true => Err(CallError::Again(format!("{status}: {message}"))),
            false => Err(CallError::Refused { status, message }),
        }
    }

    /// Attempts something until it succeeds, is refused, or was tried often enough.
    pub(super) async fn retried<'a, T>(
        &self,
        attempt: impl Fn() -> BoxFuture<'a, Result<T, CallError>>,
    ) -> Result<T, Error> {
        let mut backoff = Backoff::new(CHANGE_RETRIES);
        loop {
            let error = match attempt().await {
                Ok(answer) => return Ok(answer),
                Err(error) => error,
            };
            let wait = match &error {
                CallError::Again(_) => backoff.next_wait(&*self.environment.random),
                CallError::Refused { .. } => None,
            };
            let Some(wait) = wait else {
                return Err(Error::Store { store: self.store, message: error.to_string() });
            };
            self.rotate();
            self.environment.clock.sleep(wait).await;
        }
    }
}
