//! The connection of the asking commands: where, as whom, and how an answer is read.

use std::path::{Path, PathBuf};
use std::time::Duration;

use clap::Args;
use http::{StatusCode, header};
use reqwest::{ClientBuilder, RequestBuilder, Upgraded};
use runtime::clock::{Clock, SystemClock};
use serde_json::Value;
use tokio_tungstenite::WebSocketStream;
use tokio_tungstenite::tungstenite::handshake::client::generate_key;
use tokio_tungstenite::tungstenite::handshake::derive_accept_key;
use tokio_tungstenite::tungstenite::protocol::Role;

use super::Failure;

/// Where to ask and as whom.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Server")]
pub struct Server {
    /// Address of the store
    #[arg(long, env = "LOKI_ADDR", default_value = "http://localhost:3100")]
    pub addr: String,
    /// Tenant, sent as X-Scope-OrgID
    #[arg(long, env = "LOKI_ORG_ID")]
    pub org_id: Option<String>,
    /// User of basic authentication
    #[arg(long, env = "LOKI_USERNAME")]
    pub username: Option<String>,
    /// Password of basic authentication
    #[arg(long, env = "LOKI_PASSWORD", hide_env_values = true)]
    pub password: Option<String>,
    /// Bearer token
    #[arg(long, env = "LOKI_BEARER_TOKEN", hide_env_values = true)]
    pub bearer_token: Option<String>,
    /// File that holds the bearer token
    #[arg(long, env = "LOKI_BEARER_TOKEN_FILE")]
    pub bearer_token_file: Option<PathBuf>,
    /// Certificate of the authority that signed the server's
    #[arg(long, env = "LOKI_CA_CERT_PATH")]
    pub ca_cert: Option<PathBuf>,
    /// Accept any certificate of the server
    #[arg(long, env = "LOKI_TLS_SKIP_VERIFY")]
    pub tls_skip_verify: bool,
    /// Certificate of this client
    #[arg(long, env = "LOKI_CLIENT_CERT_PATH", requires = "key")]
    pub cert: Option<PathBuf>,
    /// Key of the client's certificate
    #[arg(long, env = "LOKI_CLIENT_KEY_PATH", requires = "cert")]
    pub key: Option<PathBuf>,
    /// Header that carries the credentials
    #[arg(long, env = "LOKI_AUTH_HEADER", default_value = "Authorization")]
    pub auth_header: String,
    /// Proxy to the server
    #[arg(long, env = "LOKI_HTTP_PROXY_URL")]
    pub proxy_url: Option<String>,
    /// Tags sent as X-Query-Tags, such as source=me
    #[arg(long, env = "LOKI_QUERY_TAGS")]
    pub query_tags: Option<String>,
    /// Ask the server not to answer from a cache
    #[arg(long, env = "LOKI_NO_CACHE")]
    pub nocache: bool,
    /// How often to ask again when the server is not there or too busy
    #[arg(long, env = "LOKI_CLIENT_RETRIES", default_value_t = 0)]
    pub retries: u32,
    /// Seconds before asking again for the first time; each further wait is twice as long
    #[arg(long, env = "LOKI_CLIENT_MIN_BACKOFF", default_value_t = 0)]
    pub min_backoff: u64,
    /// Most seconds before asking again
    #[arg(long, env = "LOKI_CLIENT_MAX_BACKOFF", default_value_t = 0)]
    pub max_backoff: u64,
}

/// A websocket to the store.
pub type Socket = WebSocketStream<Upgraded>;

/// Speaks to the store.
#[derive(Debug, Clone)]
pub struct Client {
    http: reqwest::Client,
    server: Server,
    token: Option<String>,
}

impl Client {
    /// Prepares to ask.
    ///
    /// # Errors
    ///
    /// [`Failure`] when a file that a flag names cannot be read.
    pub fn new(server: &Server) -> Result<Self, Failure> {
        Self::build(server, reqwest::Client::builder().timeout(Duration::from_secs(600)))
    }

    /// Prepares to open websockets, for which HTTP/2 is of no use.
    ///
    /// # Errors
    ///
    /// As [`Client::new`].
    pub fn for_websockets(server: &Server) -> Result<Self, Failure> {
        let builder = reqwest::Client::builder().connect_timeout(Duration::from_secs(30));
        Self::build(server, builder.http1_only())
    }

    fn build(server: &Server, mut builder: ClientBuilder) -> Result<Self, Failure> {
        let addr = &server.addr;
        if !addr.starts_with("http://") && !addr.starts_with("https://") {
            let text = format!("--addr {addr}: write it like http://localhost:3100");
            return Err(Failure::Told(text));
        }
        if let Some(path) = &server.ca_cert {
            let text = read(path)?;
            let certificate = reqwest::Certificate::from_pem(&text)
                .map_err(|error| Failure::new(&format!("read {}", path.display()), error))?;
            builder = builder.add_root_certificate(certificate);
        }
        if let (Some(cert), Some(key)) = (&server.cert, &server.key) {
            let mut text = read(cert)?;
            text.push(b'\n');
            text.extend(read(key)?);
            let identity = reqwest::Identity::from_pem(&text)
                .map_err(|error| Failure::new(&format!("read {}", cert.display()), error))?;
            builder = builder.identity(identity);
        }
        if let Some(url) = &server.proxy_url {
            let proxy = reqwest::Proxy::all(url)
                .map_err(|error| Failure::new(&format!("use the proxy {url}"), error))?;
            builder = builder.proxy(proxy);
        }
        if server.tls_skip_verify {
            builder = builder.danger_accept_invalid_certs(true);
        }
        let token = match (&server.bearer_token, &server.bearer_token_file) {
            (Some(token), _) => Some(token.clone()),
            (None, Some(path)) => {
                let text = read(path)?;
                Some(String::from_utf8_lossy(&text).trim().to_owned())
            }
            (None, None) => None,
        };
        let http = builder.build().map_err(|error| Failure::new("prepare a connection", error))?;
        Ok(Self { http, server: server.clone(), token })
    }

    /// Asks and reads the answer's JSON.
    ///
    /// # Errors
    ///
    /// [`Failure`] with the server's own words when the answer is not a success.
    pub async fn json(&self, path: &str, params: &[(&str, String)]) -> Result<Value, Failure> {
        let text = self.text(path, params).await?;
        serde_json::from_str(&text).map_err(|error| Failure::new("read the answer", error))
    }

    async fn text(&self, path: &str, params: &[(&str, String)]) -> Result<String, Failure> {
        let mut wait = Duration::from_secs(self.server.min_backoff);
        for _ in 0..self.server.retries {
            match self.ask(path, params).await {
                Err((failure, true)) => tracing::debug!(%failure, "asking again"),
                other => return other.map_err(|(failure, _)| failure),
            }
            SystemClock.sleep(wait).await;
            wait = (wait * 2).min(Duration::from_secs(self.server.max_backoff.max(1)));
        }
        self.ask(path, params).await.map_err(|(failure, _)| failure)
    }

    /// Asks once. With a failure comes whether asking again may help.
    async fn ask(&self, path: &str, params: &[(&str, String)]) -> Result<String, (Failure, bool)> {
        let answer = self.get(path, params).send().await.map_err(|error| {
            (Failure::new(&format!("ask {}", self.server.addr), root_cause(&error)), true)
        })?;
        let status = answer.status();
        let text = answer.text().await;
        let text = text.map_err(|error| (Failure::new("read the answer", error), true))?;
        if status.is_success() {
            return Ok(text);
        }
        let is_busy = status.is_server_error() || status == StatusCode::TOO_MANY_REQUESTS;
        Err((Failure::Told(format!("the server answered {status}: {}", text.trim())), is_busy))
    }

    fn get(&self, path: &str, params: &[(&str, String)]) -> RequestBuilder {
        let url = format!("{}{path}?{}", self.server.addr.trim_end_matches('/'), encode(params));
        let request = self.http.get(url);
        self.headers()
            .into_iter()
            .fold(request, |request, (name, value)| request.header(name, value))
    }

    /// Headers of every request: tenant, credentials, tags.
    fn headers(&self) -> Vec<(&str, String)> {
        use base64::Engine as _;
        let mut headers = Vec::new();
        if let Some(tenant) = &self.server.org_id {
            headers.push(("X-Scope-OrgID", tenant.clone()));
        }
        if let Some(user) = &self.server.username {
            let password = self.server.password.as_deref().unwrap_or("");
            let pair = format!("{user}:{password}");
            let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
            headers.push((&*self.server.auth_header, format!("Basic {encoded}")));
        } else if let Some(token) = &self.token {
            headers.push((&*self.server.auth_header, format!("Bearer {token}")));
        }
        if let Some(tags) = &self.server.query_tags {
            headers.push(("X-Query-Tags", tags.clone()));
        }
        if self.server.nocache {
            headers.push(("Cache-Control", "no-cache".to_owned()));
        }
        headers
    }

    /// Opens a websocket on a path with parameters.
    ///
    /// # Errors
    ///
    /// [`Failure`] with the server's own words when it refuses.
    pub async fn websocket(
        &self,
        path: &str,
        params: &[(&str, String)],
    ) -> Result<Socket, Failure> {
        let failed = |error: reqwest::Error| Failure::new(&self.connecting(), root_cause(&error));
        let key = generate_key();
        let request = self
            .get(path, params)
            .header(header::CONNECTION, "Upgrade")
            .header(header::UPGRADE, "websocket")
            .header(header::SEC_WEBSOCKET_VERSION, "13")
            .header(header::SEC_WEBSOCKET_KEY, &key);
        let answer = request.send().await.map_err(failed)?;
        let status = answer.status();
        if status != StatusCode::SWITCHING_PROTOCOLS {
            let text = answer.text().await.unwrap_or_default();
            return Err(Failure::Told(format!("the server answered {status}: {}", text.trim())));
        }
        let accepted = answer.headers().get(header::SEC_WEBSOCKET_ACCEPT);
        if accepted.is_none_or(|accepted| {
            accepted.as_bytes() != derive_accept_key(key.as_bytes()).as_bytes()
        }) {
            return Err(Failure::new(&self.connecting(), "it agreed to another websocket"));
        }
        let upgraded = answer.upgrade().await.map_err(failed)?;
        Ok(WebSocketStream::from_raw_socket(upgraded, Role::Client, None).await)
    }

    fn connecting(&self) -> String {
        format!("connect to {}", self.server.addr)
    }
}

fn read(path: &Path) -> Result<Vec<u8>, Failure> {
    std::fs::read(path).map_err(|error| Failure::new(&format!("read {}", path.display()), error))
}

/// The innermost cause says what a person can act on ("connection refused").
fn root_cause(error: &dyn std::error::Error) -> String {
    let mut cause = error;
    while let Some(source) = cause.source() {
        cause = source;
    }
    cause.to_string()
}

fn encode(params: &[(&str, String)]) -> String {
    let mut encoded = form_urlencoded::Serializer::new(String::new());
    for (name, value) in params {
        encoded.append_pair(name, value);
    }
    encoded.finish()
}
