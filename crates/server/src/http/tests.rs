//! The path of a request, over real connections.

use std::io::Read as _;

use http::Method;
use runtime::clock::{Clock, SystemClock};
use runtime::telemetry::{LogHandle, LogLevel};
use tokio::io::{AsyncReadExt as _, AsyncWriteExt as _};
use tokio::net::TcpStream;

mod query;
mod tail;

use super::*;
use crate::config::Config;
use routes::{Routes, row, table};
use tenant::Access;

/// A process that serves on a free port, with some routes for tests.
struct Served {
    app: Arc<App>,
    _directory: tempfile::TempDir,
    life: tokio::task::JoinHandle<Result<(), runtime::Error>>,
}

impl Served {
    async fn start(config: impl FnOnce(&mut Config)) -> Self {
        let mut settings = Config::embedded();
        settings.server.http_listen_port = 0;
        let directory = tempfile::tempdir().unwrap();
        settings.common.path_prefix = directory.path().display().to_string();
        settings.target = vec!["write".to_owned()];
        config(&mut settings);
        let mut rows = table();
        const GET: &[Method] = &[Method::GET];
        rows.push(row(GET, "/test/panic", Access::Open, "server", |_| async { panic!("told to") }));
        rows.push(row(GET, "/test/wait", Access::Open, "server", |call: Call| async move {
            call.app.clock.sleep(Duration::from_millis(200)).await;
            Ok(response::json("x".repeat(2000)))
        }));
        let prefix = settings.server.http_path_prefix.clone();
        let modules = crate::target::needed_by(&settings.target).unwrap();
        let routes = Routes::new(&prefix, rows, &modules);
        let clock: Arc<dyn Clock> = Arc::new(SystemClock);
        let app = App::with_routes(settings, clock, LogHandle::detached(LogLevel::Error), routes);
        let running = Arc::clone(&app);
        let life = task::spawn("test", async move { running.run().await });
        let served = Self { app, _directory: directory, life };
        served.until(|app| app.readiness() == crate::app::Readiness::Ready).await;
        served
    }

    /// Waits for something, for at most ten seconds.
    async fn until(&self, is_so: impl Fn(&App) -> bool) {
        for _ in 0..1000 {
            if is_so(&self.app) {
                return;
            }
            self.app.clock.sleep(Duration::from_millis(10)).await;
        }
        panic!("did not happen in time");
    }

    async fn connect(&self) -> TcpStream {
        TcpStream::connect(self.app.address().unwrap()).await.unwrap()
    }

    /// Sends the head of a request and reads the answer until the connection closes.
    async fn raw(&self, request: &str) -> Vec<u8> {
        let mut stream = self.connect().await;
        stream.write_all(request.as_bytes()).await.unwrap();
        let mut answer = Vec::new();
        stream.read_to_end(&mut answer).await.unwrap();
        answer
    }

    async fn get(&self, path: &str, headers: &str) -> (String, Vec<u8>) {
        let request =
            format!("GET {path} HTTP/1.1\r\nHost: x\r\nConnection: close\r\n{headers}\r\n");
        let answer = self.raw(&request).await;
        let split = answer.windows(4).position(|w| w == b"\r\n\r\n").unwrap();
        let head = String::from_utf8(answer[..split].to_vec()).unwrap();
        (head, answer[split + 4..].to_vec())
    }

    /// Pushes lines of one stream, a nanosecond apart from now on, and answers the first time.
    async fn push(&self, app: &str, lines: &[&str]) -> i64 {
        let start = self.app.clock.now().0;
        let values: Vec<_> = (start..)
            .zip(lines)
            .map(|(at, line)| serde_json::json!([at.to_string(), line]))
            .collect();
        let stream = serde_json::json!({ "stream": { "app": app }, "values": values });
        let body = serde_json::json!({ "streams": [stream] }).to_string();
        let head = "POST /loki/api/v1/push HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\
                    Content-Type: application/json\r\n";
        let length = body.len();
        let answer = self.raw(&format!("{head}Content-Length: {length}\r\n\r\n{body}")).await;
        assert!(answer.starts_with(b"HTTP/1.1 204"), "{}", String::from_utf8_lossy(&answer));
        start
    }

    async fn stop(self) {
        self.app.stop.request();
        self.life.await.unwrap().unwrap();
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_are_answered_by_route() {
    let served = Served::start(|_| {}).await;
    let check = async |path: &str, status: &str, body: &str| {
        let (head, found) = served.get(path, "").await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {head}");
        assert_eq!(String::from_utf8(found).unwrap(), body, "{path}");
    };
    check("/ready", "200", "ready\n").await;
    check("/nothing", "404", "404 page not found\n").await;
    check("/loki/api/v1/push", "405", "").await;
    check("/log_level", "200", "{\"message\":\"Current log level is error\"}").await;
    let services = "distributor => Running\ningester => Running\ningester-client => Running\n\
                    ring => Running\nruntime-config => Running\nserver => Running\nstore => Running\n";
    check("/services", "200", services).await;
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn large_answers_are_compressed_for_those_who_accept_it() {
    let served = Served::start(|_| {}).await;
    let (head, body) = served.get("/test/wait", "Accept-Encoding: gzip\r\n").await;
    assert!(head.contains("content-encoding: gzip"), "{head}");
    let mut text = String::new();
    flate2::read::GzDecoder::new(&body[..]).read_to_string(&mut text).unwrap();
    assert_eq!(text.len(), 2000);
    let (head, body) = served.get("/test/wait", "").await;
    assert!(!head.contains("content-encoding") && body.len() == 2000, "{head}");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_panic_fails_its_request_alone() {
    let served = Served::start(|_| {}).await;
    let (head, body) = served.get("/test/panic", "").await;
    assert!(head.starts_with("HTTP/1.1 500"), "{head}");
    assert_eq!(body, b"internal error\n");
    assert_eq!(served.app.http_metrics.panics.get(), 1);
    assert!(served.get("/ready", "").await.0.starts_with("HTTP/1.1 200"));
    served.stop().await;
}

fn exposed(app: &App) -> String {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &app.registry.lock()).unwrap();
    text
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_client_that_goes_away_is_counted() {
    let served = Served::start(|_| {}).await;
    let mut stream = served.connect().await;
    stream.write_all(b"GET /test/wait HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let running = "loki_inflight_requests{method=\"GET\",route=\"test_wait\"} 1";
    served.until(|app| exposed(app).contains(running)).await;
    drop(stream);
    let gone = "route=\"test_wait\",status_code=\"499\"";
    served.until(|app| exposed(app).contains(gone)).await;
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn http_2_is_spoken_on_the_same_port() {
    let served = Served::start(|_| {}).await;
    // The connection preface and an empty SETTINGS frame; the server answers with its own.
    let mut stream = served.connect().await;
    stream.write_all(b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n\0\0\0\x04\0\0\0\0\0").await.unwrap();
    let mut frame = [0; 9];
    stream.read_exact(&mut frame).await.unwrap();
    assert_eq!(frame[3], 4);
    drop(stream);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn requests_under_way_are_answered_before_the_end() {
    let served = Served::start(|_| {}).await;
    let mut stream = served.connect().await;
    stream.write_all(b"GET /test/wait HTTP/1.1\r\nHost: x\r\n\r\n").await.unwrap();
    let running = "loki_inflight_requests{method=\"GET\",route=\"test_wait\"} 1";
    served.until(|app| exposed(app).contains(running)).await;
    let app = Arc::clone(&served.app);
    served.stop().await;
    assert!(matches!(app.readiness(), crate::app::Readiness::NotReady(_)));
    let mut answer = String::new();
    stream.read_to_string(&mut answer).await.unwrap();
    assert!(answer.starts_with("HTTP/1.1 200") && answer.ends_with("xxx"), "{answer}");
    assert!(TcpStream::connect(app.address().unwrap()).await.is_err());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn pushes_are_bounded() {
    let served = Served::start(|config| {
        config.distributor.max_recv_msg_size.0 = 1000;
        config.distributor.max_inflight_bytes.0 = 500;
        config.auth_enabled = true;
    })
    .await;
    let check = async |headers: &str, body: &str, status: &str, text: &str| {
        let head = "POST /loki/api/v1/push HTTP/1.1\r\nHost: x\r\nConnection: close\r\n";
        let answer = served.raw(&format!("{head}{headers}\r\n{body}")).await;
        let answer = String::from_utf8(answer).unwrap();
        assert!(answer.starts_with(&format!("HTTP/1.1 {status}")), "{headers}: {answer}");
        assert!(answer.ends_with(text), "{headers}: {answer}");
    };
    let json = "X-Scope-OrgID: a\r\nContent-Type: application/json\r\n";
    check("Content-Length: 2\r\n", "{}", "401", "\r\n\r\nno org id\n").await;
    let no_type = "X-Scope-OrgID: a\r\nContent-Length: 2\r\n";
    check(no_type, "{}", "400", "mime: no media type\n").await;
    let large = "message size too large than max (1001 vs 1000)\n";
    check(&format!("{json}Content-Length: 1001\r\n"), "", "413", large).await;
    let full = "too many bytes of pushes are being received, try again\n";
    check(&format!("{json}Content-Length: 600\r\n"), "", "503", full).await;
    let chunked = format!("{json}Transfer-Encoding: chunked\r\n");
    let body = format!("258\r\n{}\r\n0\r\n\r\n", "x".repeat(600));
    check(&chunked, &body, "503", full).await;
    let encoding = format!("{json}Content-Encoding: br\r\nContent-Length: 2\r\n");
    check(&encoding, "{}", "400", "Content-Encoding \"br\" not supported\n").await;
    assert_eq!(served.app.http_metrics.push_bytes.get(), 0);
    let text = exposed(&served.app);
    let large =
        "sigyn_push_unread_bytes_total{tenant=\"a\",reason=\"request_body_too_large\"} 1001";
    assert!(text.contains(large), "{text}");
    let full = "sigyn_push_unread_requests_total{tenant=\"a\",reason=\"no_room\"} 2";
    assert!(text.contains(full), "{text}");
    served.stop().await;
}
