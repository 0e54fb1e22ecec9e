//! Promise: whoever reads from a cluster sees every entry once, in counts too, whichever replica holds
//! it, and whether a querier lists object storage itself or asks an index gateway.

use std::collections::BTreeSet;
use std::path::Path;

use futures_util::StreamExt as _;
use system::client::{Client, Line, encode, lines_of};
use system::cluster::{Cluster, Member};
use system::wait;
use tokio_tungstenite::connect_async;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;

const START: i64 = 1_714_521_600_000_000_000;
const SECOND_NS: i64 = 1_000_000_000;
const END: i64 = START + 10_000 * SECOND_NS;

/// A member's configuration: so many replicas, found by gossip; segments in one folder.
fn configuration(
    member: &Member,
    folder: &Path,
    all: &[Member],
    (replicas, own): (usize, &str),
) -> String {
    let others: Vec<String> =
        all.iter().map(|other| format!("\"127.0.0.1:{}\"", other.gossip)).collect();
    let shared = folder.parent().unwrap().join("segments");
    format!(
        "target: {target}\n{own}\
         memberlist: {{join_members: [{others}], bind_addr: [127.0.0.1], bind_port: {gossip}}}\n\
         common: {{path_prefix: {folder}/data, replication_factor: {replicas}, instance_addr: 127.0.0.1, \
         ring: {{kvstore: {{store: memberlist}}, instance_id: {name}, heartbeat_period: 1s, \
         heartbeat_timeout: 60s}}, storage: {{filesystem: {{chunks_directory: {shared}}}}}}}\n\
         ingester: {{lifecycler: {{id: {name}}}}}\npattern_ingester: {{enabled: true}}\n",
        target = member.target,
        others = others.join(", "),
        gossip = member.gossip,
        folder = folder.display(),
        name = member.name,
        shared = shared.display(),
    )
}

fn lines(numbers: std::ops::Range<i64>) -> Vec<Line> {
    let line = |number: i64| Line {
        stream: format!(r#"{{"app":"{}","service_name":"x"}}"#, number % 3),
        timestamp: START + number / 2 * SECOND_NS,
        text: format!("request {number:06} took {}ms", 10 + number % 7),
    };
    numbers.map(line).collect()
}

async fn push(client: &Client, numbers: std::ops::Range<i64>) {
    wait::until("the lines are accepted", || async {
        let answer = client.push(&lines(numbers.clone())).await.ok()?;
        (answer.status() == 204).then_some(())
    })
    .await;
}

async fn flush(client: &Client) {
    let answer = client.post("/flush", &[], "").await.unwrap();
    assert_eq!(answer.status(), 204, "{}", answer.text().await.unwrap());
}

/// How many members of a ring are active.
async fn active(client: &Client, ring: &str) -> Option<usize> {
    let client = client.with_header("accept", "application/json");
    let page = client.get(ring, &[]).await.ok()?.text().await.ok()?;
    Some(page.matches("\"ACTIVE\"").count())
}

/// Waits until a process sees as many ingesters as there are.
async fn see(clients: &[Client], count: usize) {
    for client in clients {
        wait::until("every ingester is seen in its place", || async {
            (active(client, "/ring").await? == count).then_some(())
        })
        .await;
    }
}

fn number(value: &serde_json::Value) -> f64 {
    value.as_str().unwrap().parse().unwrap()
}

/// Sums of the second part of every sample of every series.
fn total(answer: &serde_json::Value) -> f64 {
    let result = answer["data"]["result"].as_array().unwrap();
    let sum = |row: &serde_json::Value| match row["values"].as_array() {
        Some(samples) => samples.iter().map(|sample| number(&sample[1])).sum(),
        None => number(&row["value"][1]),
    };
    result.iter().map(sum).sum()
}

/// Everything that counts lines counts these.
async fn check_counts(client: &Client, count: i64) {
    let (start, end) = (START.to_string(), END.to_string());
    let query = r#"{app=~".+"}"#;
    let ask = [("query", query), ("start", &*start), ("end", &*end), ("step", "500")];
    let stats = client.json("/loki/api/v1/index/stats", &ask).await;
    assert_eq!((&stats["entries"], &stats["streams"]), (&count.into(), &3.into()), "{stats}");
    // Every entry has a detected level, which counts as its structured metadata.
    let level = "detected_level".len() + "unknown".len();
    let bytes: usize = lines(0..count).iter().map(|line| line.text.len() + level).sum();
    assert_eq!(stats["bytes"], bytes, "{stats}");
    for path in ["/loki/api/v1/index/volume", "/loki/api/v1/index/volume_range"] {
        let volume = client.json(path, &ask).await;
        assert_eq!(total(&volume), bytes as f64, "{path}: {volume}");
    }
    let patterns = client.json("/loki/api/v1/patterns", &ask).await;
    let samples = patterns["data"].as_array().unwrap().iter();
    let samples = samples.flat_map(|pattern| pattern["samples"].as_array().unwrap());
    let found: u64 = samples.map(|sample| sample[1].as_u64().unwrap()).sum();
    assert_eq!(found, count as u64, "{patterns}");
    let series = client.json("/loki/api/v1/series", &ask[1..3]).await;
    assert_eq!(series["data"].as_array().unwrap().len(), 3, "{series}");
    let labels = client.json("/loki/api/v1/detected_labels", &ask[1..3]).await;
    let one =
        |label: &serde_json::Value| label["label"] == "service_name" && label["cardinality"] == 1;
    assert!(labels["detectedLabels"].as_array().unwrap().iter().any(one), "{labels}");
    let fields = client.json("/loki/api/v1/detected_fields", &ask).await;
    assert!(fields["limit"].is_u64(), "{fields}");
}

/// Every line is found, once.
async fn check_lines(client: &Client, count: i64) {
    let found = client.all_lines(r#"{app=~".+"}"#, START, END, 1000).await;
    let mut texts: Vec<String> = found.into_iter().map(|line| line.text).collect();
    texts.sort();
    let expected: Vec<String> = lines(0..count).into_iter().map(|line| line.text).collect();
    assert_eq!(texts, expected);
    let time = END.to_string();
    let sum = [("query", r#"sum(count_over_time({app=~".+"}[10001s]))"#), ("time", &*time)];
    let answer = client.json("/loki/api/v1/query", &sum).await;
    assert_eq!(answer["data"]["result"][0]["value"][1], count.to_string().as_str());
}

/// What a process says of itself, all series of a name together.
async fn metric(client: &Client, name: &str, label: &str) -> f64 {
    let text = client.get("/metrics", &[]).await.unwrap().text().await.unwrap();
    let values = text.lines().filter(|line| line.starts_with(name) && line.contains(label));
    values.filter_map(|line| line.rsplit_once(' ')?.1.parse::<f64>().ok()).sum()
}

fn members(targets: &[(&'static str, usize)]) -> Vec<Member> {
    let of = |(target, count): &(&'static str, usize)| {
        let target = *target;
        (0..*count).map(move |number| Member::new(target, number, ""))
    };
    targets.iter().flat_map(of).collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn entries_of_three_replicas_count_once() {
    let folder = tempfile::tempdir().unwrap();
    let members = members(&[("ingester", 3), ("distributor", 1), ("read", 1)]);
    let configure = |member: &Member, folder: &Path, all: &[Member]| {
        configuration(member, folder, all, (3, ""))
    };
    let mut cluster = Cluster::start(folder.path(), members, Box::new(configure)).await;
    see(&cluster.clients(&["distributor", "read"]), 3).await;
    let (distributor, reader) = (cluster.client("distributor-0"), cluster.client("read-0"));
    push(&distributor, 0..300).await;
    check_counts(&reader, 300).await;

    // One replica lacks some of what the others have.
    cluster.kill("ingester-0");
    push(&distributor, 300..400).await;
    check_counts(&reader, 400).await;
    cluster.start_again("ingester-0").await;
    check_counts(&reader, 400).await;

    // One has stored what the others still hold, and all hold more.
    flush(&cluster.client("ingester-1")).await;
    push(&distributor, 400..450).await;
    check_counts(&reader, 450).await;
    check_lines(&reader, 450).await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn queriers_ask_index_gateways_in_place_of_object_storage() {
    const LISTINGS: &str = "loki_objstore_bucket_operations_total";
    const FALLBACKS: &str = "sigyn_store_index_fallbacks_total";
    let folder = tempfile::tempdir().unwrap();
    let members =
        members(&[("ingester", 3), ("distributor", 1), ("read", 1), ("index-gateway", 2)]);
    let configure = |member: &Member, folder: &Path, all: &[Member]| {
        let asks_gateways = member.target == "querier" || member.target == "index-gateway";
        let own = if asks_gateways { "index_gateway: {mode: ring}\n" } else { "" };
        configuration(member, folder, all, (3, own))
    };
    let mut cluster = Cluster::start(folder.path(), members, Box::new(configure)).await;
    cluster.add(Member::new("querier", 0, "")).await;
    see(&cluster.clients(&["distributor", "read", "querier"]), 3).await;
    let (distributor, querier) = (cluster.client("distributor-0"), cluster.client("querier-0"));
    let lists_itself = cluster.client("read-0");
    wait::until("both gateways are seen in their ring", || async {
        let gateway = cluster.client("index-gateway-0");
        (active(&gateway, "/indexgateway/ring").await? == 2).then_some(())
    })
    .await;

    // What ingesters stored a moment ago is found, though nobody has listed it.
    let ingesters = cluster.clients(&["ingester"]);
    for round in 0..3 {
        push(&distributor, round * 100..(round + 1) * 100).await;
        check_lines(&querier, (round + 1) * 100).await;
        flush(&ingesters[round as usize]).await;
        check_lines(&querier, (round + 1) * 100).await;
        check_lines(&lists_itself, (round + 1) * 100).await;
    }
    assert!(metric(&querier, "sigyn_store_index_questions_total", "").await > 0.0);
    let listed_before = metric(&querier, LISTINGS, "\"iter\"").await;
    // At its start the querier may not have seen the gateways yet.
    let fell_back_before = metric(&querier, FALLBACKS, "").await;
    check_lines(&querier, 300).await;
    assert_eq!(metric(&querier, LISTINGS, "\"iter\"").await, listed_before);
    assert_eq!(metric(&querier, FALLBACKS, "").await, fell_back_before);
    assert!(listed_before <= 1.0, "a querier with gateways listed {listed_before} times");

    // One gateway is enough; without any, object storage is asked itself.
    cluster.kill("index-gateway-0");
    push(&distributor, 300..350).await;
    check_lines(&querier, 350).await;
    flush(&ingesters[0]).await;
    check_lines(&querier, 350).await;
    cluster.kill("index-gateway-1");
    check_lines(&querier, 350).await;
    flush(&ingesters[1]).await;
    push(&distributor, 350..400).await;
    check_lines(&querier, 400).await;
    assert!(metric(&querier, FALLBACKS, "").await > fell_back_before);
}

/// A tail, and what it has told.
struct Tail {
    socket: tokio_tungstenite::WebSocketStream<
        tokio_tungstenite::MaybeTlsStream<tokio::net::TcpStream>,
    >,
    found: Vec<String>,
}

impl Tail {
    async fn open(port: u16) -> Self {
        let query = encode(r#"{app=~".+"}"#);
        let url = format!("ws://127.0.0.1:{port}/loki/api/v1/tail?query={query}&start={START}");
        Self { socket: connect_async(url).await.unwrap().0, found: Vec::new() }
    }

    /// Hears on until `count` lines are known.
    async fn hear(&mut self, count: usize) {
        let hear = async {
            while self.found.len() < count {
                let message = self.socket.next().await.expect("the tail goes on").unwrap();
                let text = match message {
                    Message::Text(text) => text,
                    Message::Close(frame) => panic!("the tail ended: {frame:?}"),
                    _ => continue,
                };
                let frame: serde_json::Value = serde_json::from_str(&text).unwrap();
                let body = serde_json::json!({"data": {"result": frame["streams"]}});
                self.found.extend(lines_of(&body).into_iter().map(|line| line.text));
            }
        };
        tokio::time::timeout(wait::DEADLINE, hear).await.expect("all lines are told");
        let expected: BTreeSet<String> =
            lines(0..count as i64).into_iter().map(|line| line.text).collect();
        let distinct: BTreeSet<String> = self.found.iter().cloned().collect();
        assert_eq!(distinct, expected);
        assert_eq!(self.found.len(), count, "lines are told twice");
    }

    async fn end(mut self) -> CloseFrame {
        let end = async {
            loop {
                match self.socket.next().await {
                    Some(Ok(Message::Close(Some(frame)))) => return frame,
                    Some(Ok(_)) => {}
                    other => panic!("no goodbye: {other:?}"),
                }
            }
        };
        tokio::time::timeout(wait::DEADLINE, end).await.expect("the tail ends")
    }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tails_follow_ingesters_that_come_and_go() {
    let folder = tempfile::tempdir().unwrap();
    let members = members(&[("ingester", 1), ("distributor", 1), ("read", 1)]);
    let port = members[2].http;
    // The tail begins long ago.
    let own = "limits_config: {max_query_length: 0s, reject_old_samples: false}\n";
    let configure = move |member: &Member, folder: &Path, all: &[Member]| {
        configuration(member, folder, all, (1, own))
    };
    let mut cluster = Cluster::start(folder.path(), members, Box::new(configure)).await;
    see(&cluster.clients(&["distributor", "read"]), 1).await;
    let distributor = cluster.client("distributor-0");
    let mut tail = Tail::open(port).await;
    let listens = async |name: &str, cluster: &Cluster| {
        let client = cluster.client(name);
        wait::until("the tail listens", || async {
            (metric(&client, "sigyn_tail_subscriptions ", "").await == 1.0).then_some(())
        })
        .await;
    };
    listens("ingester-0", &cluster).await;
    push(&distributor, 0..30).await;
    tail.hear(30).await;

    cluster.add(Member::new("ingester", 1, "")).await;
    see(&cluster.clients(&["distributor", "read"]), 2).await;
    listens("ingester-1", &cluster).await;
    push(&distributor, 30..60).await;
    tail.hear(60).await;

    cluster.stop("ingester-0").await;
    see(&cluster.clients(&["distributor", "read"]), 1).await;
    push(&distributor, 60..90).await;
    tail.hear(90).await;

    cluster.stop("read-0").await;
    let goodbye = tail.end().await;
    assert_eq!(goodbye.reason, "the server is stopping");
}
