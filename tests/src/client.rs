//! A small client of Loki's API, as a user's program would be written.

use std::time::Duration;

use reqwest::{Response, StatusCode};
use serde_json::{Value, json};

/// Speaks to one server.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    base: String,
    tenant: Option<String>,
    headers: Vec<(&'static str, &'static str)>,
}

/// One line to push or one line found: stream labels as JSON, time in nanoseconds, text.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Line {
    /// The stream's labels, as a JSON object.
    pub stream: String,
    /// Nanoseconds since the epoch.
    pub timestamp: i64,
    /// The text.
    pub text: String,
}

/// What all requests of the tests go through.
///
/// # Panics
///
/// When the TLS library cannot be set up.
#[must_use]
pub fn http() -> reqwest::Client {
    // Another test may have installed it before; either way one is there.
    let _ = rustls::crypto::ring::default_provider().install_default();
    let client = reqwest::Client::builder().timeout(Duration::from_secs(120));
    client.build().expect("a client can be built")
}

impl Client {
    /// A client without a tenant header.
    ///
    /// # Panics
    ///
    /// When the TLS library cannot be set up.
    #[must_use]
    pub fn new(base: &str) -> Self {
        Self { http: http(), base: base.to_owned(), tenant: None, headers: Vec::new() }
    }

    /// The same client, giving a request up after `limit`.
    ///
    /// # Panics
    ///
    /// When the TLS library cannot be set up.
    #[must_use]
    pub fn with_timeout(&self, limit: Duration) -> Self {
        let http = reqwest::Client::builder().timeout(limit).build();
        Self { http: http.expect("a client can be built"), ..self.clone() }
    }

    /// The same client speaking for a tenant.
    #[must_use]
    pub fn as_tenant(&self, tenant: &str) -> Self {
        Self { tenant: Some(tenant.to_owned()), ..self.clone() }
    }

    /// The same client sending one more header.
    #[must_use]
    pub fn with_header(&self, name: &'static str, value: &'static str) -> Self {
        let mut client = self.clone();
        client.headers.push((name, value));
        client
    }

    /// Whether `/ready` answers 200; made for [`crate::wait::until`].
    pub async fn is_ready(&self) -> Option<()> {
        let response = self.http.get(format!("{}/ready", self.base)).send().await.ok()?;
        (response.status() == StatusCode::OK).then_some(())
    }

    /// Sends a GET with parameters.
    ///
    /// # Errors
    ///
    /// When no answer arrives.
    pub async fn get(&self, path: &str, params: &[(&str, &str)]) -> reqwest::Result<Response> {
        let query = params
            .iter()
            .map(|(name, value)| format!("{}={}", encode(name), encode(value)))
            .collect::<Vec<_>>()
            .join("&");
        let mark = if query.is_empty() { "" } else { "?" };
        self.with_tenant(self.http.get(format!("{}{path}{mark}{query}", self.base))).send().await
    }

    /// Sends a POST with a body.
    ///
    /// # Errors
    ///
    /// When no answer arrives.
    pub async fn post(
        &self,
        path: &str,
        headers: &[(&str, &str)],
        body: impl Into<reqwest::Body>,
    ) -> reqwest::Result<Response> {
        let mut request = self.http.post(format!("{}{path}", self.base)).body(body);
        for (name, value) in headers {
            request = request.header(*name, *value);
        }
        self.with_tenant(request).send().await
    }

    /// Sends a DELETE.
    ///
    /// # Errors
    ///
    /// When no answer arrives.
    pub async fn delete(&self, path: &str) -> reqwest::Result<Response> {
        self.with_tenant(self.http.delete(format!("{}{path}", self.base))).send().await
    }

    fn with_tenant(&self, mut request: reqwest::RequestBuilder) -> reqwest::RequestBuilder {
        for (name, value) in &self.headers {
            request = request.header(*name, *value);
        }
        match &self.tenant {
            Some(tenant) => request.header("X-Scope-OrgID", tenant),
            None => request,
        }
    }

    /// Pushes lines as JSON, one stream object per line.
    ///
    /// # Errors
    ///
    /// When no answer arrives.
    ///
    /// # Panics
    ///
    /// When a stream is not JSON.
    pub async fn push(&self, lines: &[Line]) -> reqwest::Result<Response> {
        let streams: Vec<Value> = lines
            .iter()
            .map(|line| {
                let stream: Value = serde_json::from_str(&line.stream).expect("labels are JSON");
                json!({"stream": stream, "values": [[line.timestamp.to_string(), line.text]]})
            })
            .collect();
        let body = json!({ "streams": streams }).to_string();
        self.post("/loki/api/v1/push", &[("Content-Type", "application/json")], body).await
    }

    /// Sends a GET that must succeed, and reads its JSON.
    ///
    /// # Panics
    ///
    /// When the answer is not 200 with JSON.
    pub async fn json(&self, path: &str, params: &[(&str, &str)]) -> Value {
        self.try_json(path, params).await.expect("an answer")
    }

    /// Sends a GET, and reads its JSON.
    ///
    /// # Errors
    ///
    /// What came instead of an answer of 200 with JSON.
    pub async fn try_json(&self, path: &str, params: &[(&str, &str)]) -> Result<Value, String> {
        let response = self.get(path, params).await.map_err(|error| error.to_string())?;
        let status = response.status();
        let text = response.text().await.map_err(|error| error.to_string())?;
        if status != StatusCode::OK {
            return Err(format!("{status} {path} {params:?}: {text}"));
        }
        serde_json::from_str(&text).map_err(|error| error.to_string())
    }

    /// Every line a log query selects in `start..end`, by paging with a limit, as users do.
    ///
    /// Pages overlap by the last timestamp, so that lines with equal times are not lost between
    /// them; a page must therefore be larger than the number of lines with one time.
    ///
    /// # Panics
    ///
    /// When a page does not arrive or more lines share a time than a page holds.
    pub async fn all_lines(&self, query: &str, start: i64, end: i64, page: usize) -> Vec<Line> {
        self.try_all_lines(query, start, end, page).await.expect("every page")
    }

    /// The same for a server that may be too busy for an answer.
    ///
    /// # Errors
    ///
    /// What came instead of a page.
    ///
    /// # Panics
    ///
    /// When more lines share a time than a page holds.
    pub async fn try_all_lines(
        &self,
        query: &str,
        start: i64,
        end: i64,
        page: usize,
    ) -> Result<Vec<Line>, String> {
        let mut found: Vec<Line> = Vec::new();
        let mut from = start;
        loop {
            let params = [
                ("query", query.to_owned()),
                ("start", from.to_string()),
                ("end", end.to_string()),
                ("limit", page.to_string()),
                ("direction", "forward".to_owned()),
            ];
            let params: Vec<(&str, &str)> = params.iter().map(|(k, v)| (*k, v.as_str())).collect();
            let body = self.try_json("/loki/api/v1/query_range", &params).await?;
            let lines = lines_of(&body);
            let Some(last) = lines.iter().map(|line| line.timestamp).max() else {
                return Ok(found);
            };
            let is_full = lines.len() >= page;
            assert!(!is_full || last > from, "more than {page} lines at {last}");
            // Lines at the last time of a full page are read again with the next page.
            found.extend(lines.into_iter().filter(|line| !is_full || line.timestamp < last));
            if !is_full {
                return Ok(found);
            }
            from = last;
        }
    }
}

/// The lines of a `streams` answer.
///
/// # Panics
///
/// When the answer has another shape.
#[must_use]
pub fn lines_of(body: &Value) -> Vec<Line> {
    let streams = body["data"]["result"].as_array().expect("a list of streams");
    let mut lines = Vec::new();
    for stream in streams {
        let labels = stream["stream"].to_string();
        for value in stream["values"].as_array().expect("a list of values") {
            lines.push(Line {
                stream: labels.clone(),
                timestamp: value[0].as_str().and_then(|t| t.parse().ok()).expect("a time"),
                text: value[1].as_str().expect("a line").to_owned(),
            });
        }
    }
    lines
}

/// Percent-encodes everything but letters, digits and `-_.`.
#[must_use]
pub fn encode(text: &str) -> String {
    text.bytes()
        .map(|byte| match byte {
            b'a'..=b'z' | b'A'..=b'Z' | b'0'..=b'9' | b'-' | b'_' | b'.' => {
                char::from(byte).to_string()
            }
            _ => format!("%{byte:02X}"),
        })
        .collect()
}
