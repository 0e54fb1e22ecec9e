//! Tails over real websockets.

use futures_util::StreamExt as _;
use tokio_tungstenite::tungstenite::Message;
use tokio_tungstenite::tungstenite::protocol::CloseFrame;
use tokio_tungstenite::tungstenite::protocol::frame::coding::CloseCode;
use tokio_tungstenite::{MaybeTlsStream, WebSocketStream, connect_async};

use super::*;

type Socket = WebSocketStream<MaybeTlsStream<TcpStream>>;

async fn all(config: impl FnOnce(&mut Config)) -> Served {
    Served::start(|settings| {
        settings.target = vec!["all".to_owned()];
        config(settings);
    })
    .await
}

async fn open(served: &Served, path: &str) -> Socket {
    let url = format!("ws://{}{path}", served.app.address().unwrap());
    connect_async(url).await.unwrap().0
}

/// The next frame that says something.
async fn next(socket: &mut Socket) -> Message {
    loop {
        match socket.next().await.unwrap().unwrap() {
            Message::Ping(_) => {}
            message => return message,
        }
    }
}

async fn closed(socket: &mut Socket) -> (CloseCode, String) {
    match next(socket).await {
        Message::Close(Some(CloseFrame { code, reason })) => (code, reason.to_string()),
        other => panic!("{other:?}"),
    }
}

const TAIL: &str = "/loki/api/v1/tail?query=%7Bapp%3D%22web%22%7D";

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn history_comes_first_and_then_what_is_pushed() {
    let served = all(|_| {}).await;
    let at = served.push("web", &["one", "two"]).await;
    let mut socket = open(&served, &format!("{TAIL}%7C~%22o%22")).await;
    let frame = next(&mut socket).await.into_text().unwrap();
    let values = format!("\"values\":[[\"{at}\",\"one\"],[\"{}\",\"two\"]]", at + 1);
    assert!(frame.contains(&values), "{frame}");
    served.push("other", &["not this stream: o"]).await;
    let at = served.push("web", &["three", "four"]).await;
    let frame = next(&mut socket).await.into_text().unwrap();
    assert!(frame.contains(&format!("\"values\":[[\"{}\",\"four\"]]", at + 1)), "{frame}");
    assert!(!frame.contains("dropped_entries"), "{frame}");
    drop(socket);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_older_shape_has_labels_as_text() {
    let served = all(|_| {}).await;
    served.push("web", &["one"]).await;
    let mut socket = open(&served, "/api/prom/tail?query=%7Bapp%3D%22web%22%7D&regexp=o").await;
    let frame = next(&mut socket).await.into_text().unwrap();
    assert!(frame.starts_with("{\"streams\":[{\"labels\":\"{app=\\\"web\\\""), "{frame}");
    assert!(frame.ends_with("\"dropped_entries\":null}"), "{frame}");
    drop(socket);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_ends_after_its_time() {
    let served = all(|config| config.querier.tail_max_duration = Duration::from_millis(50)).await;
    let mut socket = open(&served, TAIL).await;
    let reason = "reached tail max duration limit".to_owned();
    assert_eq!(closed(&mut socket).await, (CloseCode::Error, reason));
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_tail_too_many_is_closed() {
    let served = all(|config| config.limits.max_concurrent_tail_requests = 1).await;
    let mut first = open(&served, TAIL).await;
    served.until(|app| exposed(app).contains("loki_querier_tail_active 1")).await;
    let (code, reason) = closed(&mut open(&served, TAIL).await).await;
    assert_eq!(code, CloseCode::Error);
    assert!(reason.contains("max concurrent tail requests limit exceeded"), "{reason}");
    let metric = "/loki/api/v1/tail?query=rate(%7Bapp%3D%22web%22%7D%5B1m%5D)";
    assert_eq!(closed(&mut open(&served, metric).await).await.0, CloseCode::Error);
    served.app.stop.request();
    assert_eq!(closed(&mut first).await.0, CloseCode::Away);
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_are_answered_before_the_upgrade() {
    let served = all(|_| {}).await;
    let check = async |query: &str, text: &str| {
        let (head, body) = served.get(&format!("/loki/api/v1/tail?{query}"), "").await;
        assert!(head.starts_with("HTTP/1.1 400"), "{head}");
        assert!(String::from_utf8(body).unwrap().contains(text), "{query}");
    };
    check("query=x", "parse error at line 1, col 1").await;
    check("query=%7Ba%3D%22b%22%7D&delay_for=6", "delay_for can't be greater than 5").await;
    check("query=%7Ba%3D%22b%22%7D", "'upgrade' token not found").await;
    served.stop().await;
}
