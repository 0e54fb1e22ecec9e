//! Promise: the same program split into processes stores and answers as one process does, and says
//! so when it cannot.

use std::collections::BTreeSet;
use std::fs;
use std::path::{Path, PathBuf};

use futures_util::StreamExt as _;
use rcgen::{BasicConstraints, CertificateParams, CertifiedIssuer, IsCa, KeyPair};
use system::client::{Client, Line, encode};
use system::process::{Sigyn, Start, free_port};
use system::wait;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::client::IntoClientRequest as _;

const START: i64 = 1_714_521_600_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;
const TENANTS: [&str; 4] = ["a", "b", "c", "d"];

/// Processes that keep their segments in one folder.
struct Cluster {
    folder: tempfile::TempDir,
}

impl Cluster {
    fn new() -> Self {
        Self { folder: tempfile::tempdir().unwrap() }
    }

    fn folder(&self, name: &str) -> PathBuf {
        self.folder.path().join(name)
    }

    /// The configuration of a process with its own folder for everything but segments.
    fn process(&self, name: &str, target: &str, own: &str) -> Start {
        let (folder, shared) = (self.folder(name), self.folder("segments"));
        let server = if own.contains("server:") {
            ""
        } else {
            "server: {http_listen_address: 127.0.0.1, log_level: info}\n"
        };
        let config = format!(
            "target: {target}\nauth_enabled: true\n{server}common: {{path_prefix: {}, \
             replication_factor: 1, storage: {{filesystem: {{chunks_directory: {}}}}}}}\n{own}",
            folder.join("data").display(),
            shared.display()
        );
        Start { config, wrapper: Vec::new() }
    }

    async fn start(&self, name: &str, target: &str, own: &str) -> Sigyn {
        Sigyn::start(&self.folder(name), self.process(name, target, own)).await
    }
}

/// The configuration of processes that use some ingesters.
fn using(ingesters: &[u16]) -> String {
    let addresses: Vec<String> = ingesters.iter().map(|port| format!("127.0.0.1:{port}")).collect();
    format!("ingester: {{addresses: [{}]}}\n", addresses.join(", "))
}

/// The configuration of an ingester whose gRPC has a port of its own.
fn with_grpc_port(port: u16) -> String {
    format!(
        "server: {{http_listen_address: 127.0.0.1, grpc_listen_address: 127.0.0.1, \
         grpc_listen_port: {port}, log_level: info}}\n"
    )
}

fn lines(tenant: &str, numbers: std::ops::Range<i64>) -> Vec<Line> {
    let line = |number: i64| Line {
        stream: format!(r#"{{"app":"{}","service_name":"x"}}"#, number % 3),
        timestamp: START + number * SECOND_NS,
        text: format!("{tenant} {number}"),
    };
    numbers.map(line).collect()
}

async fn push(client: &Client, numbers: std::ops::Range<i64>) {
    for tenant in TENANTS {
        let answer = client.as_tenant(tenant).push(&lines(tenant, numbers.clone())).await.unwrap();
        let status = answer.status();
        assert_eq!(status, 204, "{}", answer.text().await.unwrap());
    }
}

/// Every line of every tenant is found, once.
async fn check(client: &Client, count: i64) {
    for tenant in TENANTS {
        let client = client.as_tenant(tenant);
        let end = START + 10_000 * SECOND_NS;
        let found = client.all_lines(r#"{app=~".+"}"#, START, end, 1000).await;
        let texts: Vec<String> = found.into_iter().map(|line| line.text).collect();
        let distinct: BTreeSet<String> = texts.iter().cloned().collect();
        assert_eq!(texts.len(), distinct.len(), "lines of {tenant} are found twice");
        let expected = (0..count).map(|number| format!("{tenant} {number}"));
        assert_eq!(distinct, expected.collect::<BTreeSet<_>>());
        let sum = [
            ("query", r#"sum(count_over_time({app=~".+"}[10001s]))"#.to_owned()),
            ("time", end.to_string()),
        ];
        let sum: Vec<(&str, &str)> = sum.iter().map(|(k, v)| (*k, &**v)).collect();
        let answer = client.json("/loki/api/v1/query", &sum).await;
        assert_eq!(answer["data"]["result"][0]["value"][1], count.to_string().as_str());
    }
}

async fn flush(ingester: &Sigyn) {
    let answer = ingester.client().post("/flush", &[], "").await.unwrap();
    assert_eq!(answer.status(), 204, "{}", answer.text().await.unwrap());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn roles_in_processes_are_one_store() {
    let cluster = Cluster::new();
    let grpc = free_port();
    let first = cluster.start("first", "ingester", &with_grpc_port(grpc)).await;
    let second = cluster.start("second", "ingester", "").await;
    let using = using(&[grpc, second.port()]);
    let distributor = cluster.start("distributor", "distributor", &using).await;
    let querier = cluster.start("querier", "querier", &using).await;

    // Rows are in heads; then some are in segments that the querier has not listed.
    push(&distributor.client(), 0..100).await;
    check(&querier.client(), 100).await;
    flush(&first).await;
    flush(&second).await;
    check(&querier.client(), 100).await;
    push(&distributor.client(), 90..200).await;
    check(&querier.client(), 200).await;
    let (start, end) = (START.to_string(), (START + 10_000 * SECOND_NS).to_string());
    let client = querier.client().as_tenant("a");
    let range = [("start", start.as_str()), ("end", end.as_str())];
    let values = client.json("/loki/api/v1/label/app/values", &range).await;
    assert_eq!(values["data"], serde_json::json!(["0", "1", "2"]));

    // A compactor merges what the ingesters stored, while a querier has the old picture.
    let compactor = "compactor: {compaction_interval: 100ms, superseded_delete_delay: 0s}\n";
    let compactor = cluster.start("compactor", "compactor", &format!("{using}{compactor}")).await;
    for round in 0..4 {
        push(&distributor.client(), 200 + round * 10..210 + round * 10).await;
        flush(&first).await;
        flush(&second).await;
        check(&querier.client(), 210 + round * 10).await;
    }
    compactor.stop().await;

    // Each process serves its own routes alone.
    let answer = distributor.client().as_tenant("a").get("/loki/api/v1/labels", &[]).await.unwrap();
    assert_eq!(answer.status(), 404);
    let answer = querier.client().as_tenant("a").push(&lines("a", 0..1)).await.unwrap();
    assert_eq!(answer.status(), 404);

    // A dead ingester is an error, not a shorter answer; its log brings the rows back.
    push(&distributor.client(), 240..260).await;
    first.kill();
    let all = [("query", r#"{app=~".+"}"#)];
    let answer =
        querier.client().as_tenant("a").get("/loki/api/v1/query_range", &all).await.unwrap();
    assert!(answer.status().is_server_error(), "{}", answer.status());
    let text = answer.text().await.unwrap();
    assert!(text.contains("recent entries cannot be read"), "{text}");
    let first = cluster.start("first", "ingester", &with_grpc_port(grpc)).await;
    let is_back = || async {
        let answer = querier.client().as_tenant("a").get("/loki/api/v1/query_range", &all).await;
        answer.unwrap().status().is_success().then_some(())
    };
    wait::until("the querier reaches the ingester again", is_back).await;
    check(&querier.client(), 260).await;

    // An ingester that stops in order has stored its rows; its successor does not know of it.
    first.stop().await;
    let first = cluster.start("first", "ingester", &with_grpc_port(grpc)).await;
    wait::until("the querier reaches the ingester again", is_back).await;
    check(&querier.client(), 260).await;
    for process in [distributor, querier, first, second] {
        process.stop().await;
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_hears_ingesters_elsewhere() {
    let cluster = Cluster::new();
    let ingester = cluster.start("ingester", "ingester", "").await;
    let using = using(&[ingester.port()]);
    let distributor = cluster.start("distributor", "distributor", &using).await;
    // The tail begins long ago.
    let reading = format!("{using}limits_config: {{max_query_length: 0s}}\n");
    let querier = cluster.start("querier", "read", &reading).await;
    push(&distributor.client(), 0..1).await;
    let query = encode(r#"{app=~".+"}"#);
    let url = format!(
        "ws://127.0.0.1:{}/loki/api/v1/tail?query={query}&start={START}&limit=10",
        querier.port()
    );
    let mut request = url.into_client_request().unwrap();
    request.headers_mut().insert("X-Scope-OrgID", "a".parse().unwrap());
    let mut socket = connect_async(request).await.unwrap().0;
    let metrics = ingester.client();
    wait::until("the tail listens", || async {
        let text = metrics.get("/metrics", &[]).await.ok()?.text().await.ok()?;
        text.contains("\nsigyn_tail_subscriptions 1").then_some(())
    })
    .await;
    let mut found = BTreeSet::new();
    push(&distributor.client(), 1..50).await;
    let read = async {
        while found.len() < 50 {
            let message = socket.next().await.expect("the tail goes on").unwrap();
            let Message::Text(text) = message else { continue };
            let frame: serde_json::Value = serde_json::from_str(&text).unwrap();
            let body = serde_json::json!({"data": {"result": frame["streams"]}});
            found.extend(system::client::lines_of(&body).into_iter().map(|line| line.text));
        }
    };
    tokio::time::timeout(wait::DEADLINE, read).await.expect("all lines arrive");
    assert_eq!(found, (0..50).map(|number| format!("a {number}")).collect());
    // Neither the tail nor its client keeps the ingester; the client is told that it ends.
    ingester.stop().await;
    let end = async {
        loop {
            match socket.next().await {
                Some(Ok(Message::Close(Some(frame)))) => return frame,
                Some(Ok(_)) => {}
                other => panic!("no goodbye: {other:?}"),
            }
        }
    };
    let goodbye = tokio::time::timeout(wait::DEADLINE, end).await.expect("the tail ends");
    assert_eq!(goodbye.reason, "the ingester is gone");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn without_ingesters_a_role_says_what_it_lacks() {
    let cluster = Cluster::new();
    for target in ["distributor", "querier", "compactor"] {
        let process = Sigyn::spawn(&cluster.folder(target), &cluster.process(target, target, ""));
        wait::until("the process says why it does not start", || async {
            process.log().contains("ingester.addresses").then_some(())
        })
        .await;
    }
}

/// An authority, and a certificate of it for 127.0.0.1, as files.
fn certificates(folder: &Path) {
    let mut authority = CertificateParams::new(Vec::new()).unwrap();
    authority.is_ca = IsCa::Ca(BasicConstraints::Unconstrained);
    let authority = CertifiedIssuer::self_signed(authority, KeyPair::generate().unwrap()).unwrap();
    let key = KeyPair::generate().unwrap();
    let names = vec!["127.0.0.1".to_owned(), "localhost".to_owned()];
    let certificate = CertificateParams::new(names).unwrap().signed_by(&key, &authority).unwrap();
    fs::create_dir_all(folder).unwrap();
    fs::write(folder.join("ca.pem"), authority.pem()).unwrap();
    fs::write(folder.join("cert.pem"), certificate.pem()).unwrap();
    fs::write(folder.join("key.pem"), key.serialize_pem()).unwrap();
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn processes_trust_only_their_authority() {
    let cluster = Cluster::new();
    let files = cluster.folder("certificates");
    certificates(&files);
    let file = |name: &str| files.join(name).display().to_string();
    let grpc = free_port();
    let server = format!(
        "server: {{http_listen_address: 127.0.0.1, grpc_listen_address: 127.0.0.1, \
         grpc_listen_port: {grpc}, log_level: info, grpc_tls_config: {{cert_file: {}, key_file: {}, \
         client_ca_file: {}, client_auth_type: RequireAndVerifyClientCert}}}}\n",
        file("cert.pem"),
        file("key.pem"),
        file("ca.pem")
    );
    let ingester = cluster.start("ingester", "ingester", &server).await;
    let using = using(&[grpc]);
    let with = |certificate: &str| {
        format!(
            "{using}ingester_client: {{grpc_client_config: {{tls_enabled: true, tls_ca_path: {}\
             {certificate}}}}}\n",
            file("ca.pem")
        )
    };
    let own = format!(", tls_cert_path: {}, tls_key_path: {}", file("cert.pem"), file("key.pem"));
    let trusted = cluster.start("trusted", "distributor,querier", &with(&own)).await;
    push(&trusted.client(), 0..20).await;
    check(&trusted.client(), 20).await;

    for (name, config) in [("nameless", with("")), ("clear", using.clone())] {
        let process = cluster.start(name, "distributor", &config).await;
        let answer = process.client().as_tenant("a").push(&lines("a", 0..1)).await.unwrap();
        assert_eq!(answer.status(), 503, "{name}: {}", answer.text().await.unwrap());
    }
    ingester.stop().await;
}
