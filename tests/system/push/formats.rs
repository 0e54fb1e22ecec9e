//! Every body format ends as the same entries.

use std::io::Write as _;

use serde_json::{Value, json};
use system::client::{Client, lines_of};
use system::ledger::EPOCH;
use system::process::{Sigyn, Start};

const JSON: (&str, &str) = ("Content-Type", "application/json");

async fn texts(client: &Client, query: &str) -> Vec<String> {
    let (start, end) = (EPOCH.to_string(), (EPOCH + 1_000_000_000).to_string());
    let params = [("query", query), ("start", &start), ("end", &end), ("direction", "forward")];
    let body = client.json("/loki/api/v1/query_range", &params).await;
    let mut lines = lines_of(&body);
    lines.sort_by_key(|line| line.timestamp);
    lines.into_iter().map(|line| line.text).collect()
}

fn body(app: &str) -> String {
    json!({"streams": [{"stream": {"app": app}, "values": [
        [EPOCH.to_string(), "first"],
        [(EPOCH + 1).to_string(), "second", {"trace_id": "4bf9"}],
    ]}]})
    .to_string()
}

#[tokio::test]
async fn json_plain_gzip_and_deflate() {
    let folder = tempfile::tempdir().unwrap();
    let sigyn = Sigyn::start(folder.path(), Start::default()).await;
    let client = sigyn.client();
    let path = "/loki/api/v1/push";
    let level = flate2::Compression::default();
    let answer = client.post(path, &[JSON], body("plain")).await.unwrap();
    assert_eq!((answer.status().as_u16(), answer.text().await.unwrap().as_str()), (204, ""));

    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), level);
    gzip.write_all(body("gzip").as_bytes()).unwrap();
    let headers = [JSON, ("Content-Encoding", "gzip")];
    assert_eq!(client.post(path, &headers, gzip.finish().unwrap()).await.unwrap().status(), 204);

    let mut deflate = flate2::write::DeflateEncoder::new(Vec::new(), level);
    deflate.write_all(body("deflate").as_bytes()).unwrap();
    let headers = [JSON, ("Content-Encoding", "deflate")];
    assert_eq!(client.post(path, &headers, deflate.finish().unwrap()).await.unwrap().status(), 204);

    for app in ["plain", "gzip", "deflate"] {
        assert_eq!(texts(&client, &format!("{{app=\"{app}\"}}")).await, ["first", "second"]);
    }
    assert_eq!(texts(&client, "{app=\"plain\"} |= \"sec\"").await, ["second"]);
}

#[tokio::test]
async fn legacy_json() {
    let folder = tempfile::tempdir().unwrap();
    let sigyn = Sigyn::start(folder.path(), Start::default()).await;
    let client = sigyn.client();
    let body = json!({"streams": [{"labels": "{app=\"legacy\"}", "entries": [
        {"ts": "2026-11-19T00:00:00.000000001Z", "line": "hello"}]}]});
    let answer = client.post("/api/prom/push", &[JSON], body.to_string()).await.unwrap();
    assert_eq!(answer.status(), 204);
    assert_eq!(texts(&client, "{app=\"legacy\"}").await, ["hello"]);
}

/// One stream with one entry as a snappy-compressed protobuf body, byte by byte.
fn protobuf(labels: &str, nanos: u8, line: &str) -> Vec<u8> {
    let field = |number: u8, bytes: &[u8]| {
        let length = u8::try_from(bytes.len()).unwrap();
        assert!(length < 128, "the test's fields have one-byte lengths");
        [&[number << 3 | 2, length][..], bytes].concat()
    };
    let mut seconds = Vec::new();
    let mut rest = EPOCH / 1_000_000_000;
    while rest >= 0x80 {
        seconds.push(u8::try_from(rest & 0x7f).unwrap() | 0x80);
        rest >>= 7;
    }
    seconds.push(u8::try_from(rest).unwrap());
    let timestamp = [&[8], seconds.as_slice(), &[16, nanos]].concat();
    let entry = [field(1, &timestamp), field(2, line.as_bytes())].concat();
    let stream = [field(1, labels.as_bytes()), field(2, &entry)].concat();
    snap::raw::Encoder::new().compress_vec(&field(1, &stream)).unwrap()
}

#[tokio::test]
async fn protobuf_with_and_without_gzip_around_it() {
    let folder = tempfile::tempdir().unwrap();
    let sigyn = Sigyn::start(folder.path(), Start::default()).await;
    let client = sigyn.client();
    let kind = ("Content-Type", "application/x-protobuf");
    let plain = protobuf("{app=\"pb\"}", 1, "snappy");
    let mut gzip = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::fast());
    gzip.write_all(&protobuf("{app=\"pb\"}", 2, "gzip around")).unwrap();
    let answer = client.post("/loki/api/v1/push", &[kind], plain).await.unwrap();
    assert_eq!(answer.status(), 204);
    let headers = [kind, ("Content-Encoding", "gzip")];
    let answer = client.post("/loki/api/v1/push", &headers, gzip.finish().unwrap()).await.unwrap();
    assert_eq!(answer.status(), 204);
    assert_eq!(texts(&client, "{app=\"pb\"}").await, ["snappy", "gzip around"]);
}

#[tokio::test]
async fn otlp_json_maps_attributes() {
    let folder = tempfile::tempdir().unwrap();
    let sigyn = Sigyn::start(folder.path(), Start::default()).await;
    let client = sigyn.client();
    let body = json!({"resourceLogs": [{
        "resource": {"attributes": [
            {"key": "service.name", "value": {"stringValue": "shop"}},
            {"key": "host.name", "value": {"stringValue": "h1"}}]},
        "scopeLogs": [{"scope": {"name": "lib"}, "logRecords": [{
            "timeUnixNano": EPOCH.to_string(), "severityNumber": 17, "severityText": "ERROR",
            "traceId": "5b8efff798038103d269b633813fc60c",
            "body": {"stringValue": "it broke"}}]}]}]});
    let answer = client.post("/otlp/v1/logs", &[JSON], body.to_string()).await.unwrap();
    assert_eq!(answer.status(), 204);
    let (start, end) = (EPOCH.to_string(), (EPOCH + 1).to_string());
    let params = [("query", "{service_name=\"shop\"}"), ("start", &start), ("end", &end)];
    let body = client.json("/loki/api/v1/query_range", &params).await;
    let stream: &Value = &body["data"]["result"][0]["stream"];
    let expected = [
        ("service_name", "shop"),
        ("host_name", "h1"),
        ("scope_name", "lib"),
        ("severity_text", "ERROR"),
        ("detected_level", "error"),
        ("trace_id", "5b8efff798038103d269b633813fc60c"),
    ];
    for (name, value) in expected {
        assert_eq!(stream[name], value, "{name} of {stream}");
    }
}
