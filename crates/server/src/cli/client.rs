//! The connection of the asking commands: where, as whom, and how an answer is read.

use std::path::PathBuf;
use std::time::Duration;

use clap::Args;
use serde_json::Value;

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
    /// Tags sent as X-Query-Tags, such as source=me
    #[arg(long, env = "LOKI_QUERY_TAGS")]
    pub query_tags: Option<String>,
}

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
        let mut builder = reqwest::Client::builder().timeout(Duration::from_secs(600));
        if let Some(path) = &server.ca_cert {
            let text = std::fs::read(path)
                .map_err(|error| Failure::new(&format!("read {}", path.display()), error))?;
            let certificate = reqwest::Certificate::from_pem(&text)
                .map_err(|error| Failure::new(&format!("read {}", path.display()), error))?;
            builder = builder.add_root_certificate(certificate);
        }
        if server.tls_skip_verify {
            builder = builder.danger_accept_invalid_certs(true);
        }
        let token = match (&server.bearer_token, &server.bearer_token_file) {
            (Some(token), _) => Some(token.clone()),
            (None, Some(path)) => {
                let text = std::fs::read_to_string(path)
                    .map_err(|error| Failure::new(&format!("read {}", path.display()), error))?;
                Some(text.trim().to_owned())
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
        let url = format!("{}{path}?{}", self.server.addr.trim_end_matches('/'), encode(params));
        let mut request = self.http.get(url);
        for (name, value) in self.headers() {
            request = request.header(name, value);
        }
        let answer = request.send().await.map_err(|error| {
            Failure::new(&format!("ask {}", self.server.addr), root_cause(&error))
        })?;
        let status = answer.status();
        let text = answer.text().await.map_err(|error| Failure::new("read the answer", error))?;
        if status.is_success() {
            Ok(text)
        } else {
            Err(Failure(format!("the server answered {status}: {}", text.trim())))
        }
    }

    /// Headers of every request: tenant, credentials, tags.
    pub fn headers(&self) -> Vec<(&'static str, String)> {
        use base64::Engine as _;
        let mut headers = Vec::new();
        if let Some(tenant) = &self.server.org_id {
            headers.push(("X-Scope-OrgID", tenant.clone()));
        }
        if let Some(user) = &self.server.username {
            let password = self.server.password.as_deref().unwrap_or("");
            let pair = format!("{user}:{password}");
            let encoded = base64::engine::general_purpose::STANDARD.encode(pair);
            headers.push(("Authorization", format!("Basic {encoded}")));
        } else if let Some(token) = &self.token {
            headers.push(("Authorization", format!("Bearer {token}")));
        }
        if let Some(tags) = &self.server.query_tags {
            headers.push(("X-Query-Tags", tags.clone()));
        }
        headers
    }

    /// The websocket address of a path with parameters.
    pub fn websocket(&self, path: &str, params: &[(&str, String)]) -> String {
        let address = self.server.addr.trim_end_matches('/').replacen("http", "ws", 1);
        format!("{address}{path}?{}", encode(params))
    }
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
