//! Requests whose answers were recorded from a real Loki, as data in `recorded/`.
//!
//! `lines.jsonl.gz` holds what was pushed, `cases.jsonl.gz` one request and its answer a line. Profile
//! A was recorded without the discovery of service names and levels, profile B with Loki's defaults.

mod compare;

use std::io::Read as _;
use std::path::Path;

use flate2::read::GzDecoder;
use futures_util::StreamExt as _;
use reqwest::Method;
use serde_json::{Map, Value};

use crate::client::{self, encode};

/// Requests under way at once.
const PARALLEL: usize = 8;

/// Cases in which Loki is at fault; `docs/api/differences.md` explains each.
const FAULTS_OF_LOKI: &[&str] = &["metric_params-114", "metric_params-115", "tricky-164"];

/// One request and the answer that was recorded.
#[derive(Debug, Clone)]
pub struct Case(Value);

/// Where requests of one kind go.
#[derive(Debug, Clone)]
pub struct Bases {
    /// Base URLs of those that answer; cases go round them.
    pub reading: Vec<String>,
    /// Base URL of one that takes pushes.
    pub writing: String,
}

/// The limits under which a profile was recorded, as keys of the `limits_config` block, beside
/// those of rates.
#[must_use]
pub fn limits(profile: &str) -> String {
    let own = if profile == "A" {
        "discover_service_name: [], discover_log_levels: false, reject_old_samples: false"
    } else {
        "reject_old_samples: true, reject_old_samples_max_age: 10y"
    };
    let rates = "ingestion_rate_mb: 1000, ingestion_burst_size_mb: 1000, \
                 per_stream_rate_limit: 1GB, per_stream_rate_limit_burst: 1GB";
    format!("{rates}, volume_enabled: true, {own}")
}

/// The cases of a profile that a store which is not Loki must answer equally: all but those that
/// depend on Loki's own miner of patterns and those in which Loki is at fault.
#[must_use]
pub fn cases(profile: &str) -> Vec<Case> {
    let all = documents("cases.jsonl.gz").into_iter().map(Case);
    let is_wanted = |case: &Case| {
        case.profile() == profile
            && case.0["cmp"]["early"].is_null()
            && !FAULTS_OF_LOKI.contains(&case.id())
    };
    all.filter(is_wanted).collect()
}

/// Pushes the lines of a profile; answers how many.
///
/// # Panics
///
/// When they are not all taken.
pub async fn push(base: &str, profile: &str) -> usize {
    let mut count = 0;
    for document in documents("lines.jsonl.gz") {
        if document["profile"] != profile {
            continue;
        }
        let streams = document["streams"].as_array().expect("a list of streams");
        count += streams.iter().filter_map(|stream| stream["values"].as_array()).flatten().count();
        let body = serde_json::json!({ "streams": streams }).to_string();
        let tenant = document["tenant"].as_str().expect("a tenant");
        let (http, url) = (client::http(), format!("{base}/loki/api/v1/push"));
        // A member that has not heard of the others yet says 503; what is pushed twice counts once.
        let (status, text) = crate::wait::until("the lines are taken", || async {
            let request = http.post(&url).header("Content-Type", "application/json");
            let request = request.header("X-Scope-OrgID", tenant).body(body.clone());
            let answer = request.send().await.ok()?;
            let status = answer.status();
            let text = answer.text().await.unwrap_or_default();
            (status != 503).then_some((status, text))
        })
        .await;
        assert_eq!(status, 204, "{tenant}: {text}");
    }
    count
}

/// Asks cases; answers what differs, in words.
pub async fn run(bases: &Bases, cases: &[Case]) -> Vec<String> {
    let http = client::http();
    let asked = cases.iter().enumerate().map(|(number, case)| {
        let reading = &bases.reading[number % bases.reading.len()];
        let base = if case.path().ends_with("/push") { &bases.writing } else { reading };
        let http = &http;
        async move {
            let (status, text) = case.ask(http, base).await;
            let why = compare::differs(case, status, &text)?;
            let (id, params) = (case.id(), &case.0["params"]);
            Some(format!("{id}: {} {params}: {why}", case.path()))
        }
    });
    let differing = futures_util::stream::iter(asked).buffered(PARALLEL);
    differing.filter_map(async |differs| differs).collect().await
}

impl Case {
    /// Its name.
    #[must_use]
    pub fn id(&self) -> &str {
        self.0["id"].as_str().unwrap_or_default()
    }

    /// The kind of question.
    #[must_use]
    pub fn category(&self) -> &str {
        self.0["category"].as_str().unwrap_or_default()
    }

    fn profile(&self) -> &str {
        self.0["profile"].as_str().unwrap_or("A")
    }

    fn path(&self) -> &str {
        self.0["path"].as_str().unwrap_or_default()
    }

    /// Sends the request; answers the status and the body, with status 0 when none came.
    async fn ask(&self, http: &reqwest::Client, base: &str) -> (u16, String) {
        let method = self.0["method"].as_str().unwrap_or("GET");
        let method = Method::from_bytes(method.as_bytes()).expect("a method");
        let params = self.0["params"].as_array().into_iter().flatten();
        let text = |value: &Value| encode(value.as_str().unwrap_or_default());
        let params: Vec<String> =
            params.map(|pair| format!("{}={}", text(&pair[0]), text(&pair[1]))).collect();
        let params = params.join("&");
        let empty = Map::new();
        let headers = self.0["headers"].as_object().unwrap_or(&empty);
        let data = self.0["data"].as_str();
        let is_form =
            method == Method::POST && data.is_none() && !headers.contains_key("Content-Type");
        let mut url = format!("{base}{}", self.path());
        if !is_form && !params.is_empty() {
            url = format!("{url}?{params}");
        }
        let mut request = http.request(method, url);
        for (name, value) in headers {
            request = request.header(name, value.as_str().unwrap_or_default());
        }
        if !headers.contains_key("Cache-Control") {
            request = request.header("Cache-Control", "no-cache");
        }
        if let Some(tenant) = self.0["tenant"].as_str() {
            request = request.header("X-Scope-OrgID", tenant);
        }
        if is_form {
            let kind = "application/x-www-form-urlencoded";
            request = request.header("Content-Type", kind).body(params);
        } else if let Some(data) = data {
            request = if self.0["gzip"].as_bool() == Some(true) {
                request.header("Content-Encoding", "gzip").body(gzip(data))
            } else {
                request.body(data.to_owned())
            };
        }
        match request.send().await {
            Ok(answer) => {
                let status = answer.status().as_u16();
                let body = answer.bytes().await.unwrap_or_default();
                (status, String::from_utf8_lossy(&body).into_owned())
            }
            Err(error) => (0, error.to_string()),
        }
    }
}

fn gzip(data: &str) -> Vec<u8> {
    let mut encoder = flate2::read::GzEncoder::new(data.as_bytes(), flate2::Compression::default());
    let mut packed = Vec::new();
    encoder.read_to_end(&mut packed).expect("memory can be read");
    packed
}

fn documents(file: &str) -> Vec<Value> {
    let path = Path::new(env!("CARGO_MANIFEST_DIR")).join("recorded").join(file);
    let packed = std::fs::read(&path).unwrap_or_else(|error| panic!("{}: {error}", path.display()));
    let mut text = String::new();
    GzDecoder::new(&packed[..]).read_to_string(&mut text).expect("compressed text");
    let parse = |line| serde_json::from_str(line).expect("a JSON document a line");
    text.lines().map(parse).collect()
}
