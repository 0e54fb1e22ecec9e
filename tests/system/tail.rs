//! Promise: a tail shows every line in order, and says which ones it could not show.

use futures_util::StreamExt as _;
use serde_json::{Value, json};
use system::client::{Client, encode};
use system::process::{Sigyn, Start};
use tokio::net::TcpStream;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

/// Lines of one push.
const PUSH_LINES: i64 = 100;
/// The first time: long before the tests run, and after the history that a tail begins with.
const START: i64 = 1_714_521_600_000_000_000;

/// Pushes lines that hold their number, padded.
async fn push(client: &Client, numbers: std::ops::Range<i64>, padding: usize) {
    let padding = "x".repeat(padding);
    let line = |n: i64| json!([(START + n * 1000).to_string(), format!("{n} {padding}")]);
    let stream =
        json!({"stream": {"app": "busy"}, "values": numbers.map(line).collect::<Vec<_>>()});
    let body = json!({ "streams": [stream] }).to_string();
    let kind = [("Content-Type", "application/json")];
    let answer = client.post("/loki/api/v1/push", &kind, body).await.unwrap();
    assert_eq!(answer.status(), 204);
}

async fn push_all(client: &Client, total: i64, padding: usize) {
    for first in (0..total).step_by(PUSH_LINES as usize) {
        push(client, first..first + PUSH_LINES, padding).await;
    }
}

/// Opens a tail that certainly listens: a first line, numbered -1, has arrived.
async fn open(sigyn: &Sigyn) -> Socket {
    let query = encode("{app=\"busy\"}");
    let url = format!("ws://127.0.0.1:{}/loki/api/v1/tail?query={query}", sigyn.port());
    let mut socket = connect_async(url).await.unwrap().0;
    let client = sigyn.client();
    let arrived = async {
        loop {
            let frame = next_frame(&mut socket).await;
            if numbers(&frame).contains(&-1) {
                return socket;
            }
        }
    };
    let probe = async {
        system::wait::until("the tail listens", || async {
            let text = client.get("/metrics", &[]).await.ok()?.text().await.ok()?;
            text.contains("\nsigyn_tail_subscriptions 1").then_some(())
        })
        .await;
        push(&client, -1..0, 1).await;
    };
    tokio::join!(arrived, probe).0
}

/// The next frame with entries or news of dropped ones.
async fn next_frame(socket: &mut Socket) -> Value {
    let next = async {
        loop {
            let message = socket.next().await.expect("the tail goes on").unwrap();
            if let Message::Text(text) = message {
                return serde_json::from_str(&text).unwrap();
            }
        }
    };
    let limited = tokio::time::timeout(system::wait::DEADLINE, next).await;
    limited.expect("a frame arrives")
}

/// The numbers of a frame's lines, in its order.
fn numbers(frame: &Value) -> Vec<i64> {
    system::client::lines_of(&json!({"data": {"result": frame["streams"]}}))
        .into_iter()
        .map(|line| line.text.split(' ').next().unwrap().parse().unwrap())
        .collect()
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_fast_client_gets_every_line_in_order() {
    let total = 30_000;
    let folder = tempfile::tempdir().unwrap();
    let sigyn = Sigyn::start(folder.path(), Start::default()).await;
    let mut socket = open(&sigyn).await;
    let client = sigyn.client();
    let read = async {
        let mut found = Vec::new();
        while found.last() != Some(&(total - 1)) {
            let frame = next_frame(&mut socket).await;
            assert!(frame["dropped_entries"].is_null(), "{frame}");
            found.extend(numbers(&frame));
        }
        found
    };
    let (found, ()) = tokio::join!(read, push_all(&client, total, 80));
    assert!(found.iter().copied().eq(0..total), "lines are missing, doubled or out of order");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_slow_client_is_told_what_it_missed() {
    // Far more than the buffers of the connection and of the tail hold.
    let (total, padding) = (60_000, 1000);
    let folder = tempfile::tempdir().unwrap();
    let sigyn = Sigyn::start(folder.path(), Start::default()).await;
    let mut socket = open(&sigyn).await;
    let client = sigyn.client();
    // Nothing is read meanwhile.
    push_all(&client, total, padding).await;
    let (mut found, mut dropped) = (Vec::new(), Vec::new());
    while dropped.is_empty() {
        let frame = next_frame(&mut socket).await;
        found.extend(numbers(&frame));
        for entry in frame["dropped_entries"].as_array().into_iter().flatten() {
            assert_eq!(entry["labels"]["app"], "busy", "{entry}");
            let at: i64 = entry["timestamp"].as_str().unwrap().parse().unwrap();
            dropped.push((at - START) / 1000);
        }
    }
    assert!(found.is_sorted_by(|a, b| a < b), "lines are doubled or out of order");
    let shown: std::collections::HashSet<i64> = found.into_iter().collect();
    assert!(dropped.iter().all(|number| !shown.contains(number)), "shown, and told as dropped");
    assert!(dropped.is_sorted_by(|a, b| a < b));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_being_deleted_is_not_shown() {
    let folder = tempfile::tempdir().unwrap();
    let config = "compactor: {retention_enabled: true}\n".to_owned();
    let sigyn = Sigyn::start(folder.path(), Start { config, wrapper: Vec::new() }).await;
    let mut socket = open(&sigyn).await;
    let client = sigyn.client();
    let query = encode("{app=\"busy\"} |~ \"^[0-9]*5 \"");
    let second = START / 1_000_000_000;
    let path = format!("/loki/api/v1/delete?query={query}&start={}&end={}", second - 1, second + 1);
    assert_eq!(client.post(&path, &[], "").await.unwrap().status(), 204);
    push_all(&client, 200, 1).await;
    let mut found = Vec::new();
    while found.last() != Some(&199) {
        found.extend(numbers(&next_frame(&mut socket).await));
    }
    let expected: Vec<i64> = (0..200).filter(|number| number % 10 != 5).collect();
    assert_eq!(found, expected);
}
