//! What is refused is refused clearly, counted, and costs nothing else.

use serde_json::json;
use system::client::{Client, Line};
use system::ledger::EPOCH;
use system::process::{Sigyn, Start};

const JSON: (&str, &str) = ("Content-Type", "application/json");
const PATH: &str = "/loki/api/v1/push";

async fn push(client: &Client, headers: &[(&str, &str)], body: Vec<u8>) -> (u16, String) {
    let answer = client.post(PATH, headers, body).await.unwrap();
    (answer.status().as_u16(), answer.text().await.unwrap())
}

fn resident_megabytes(sigyn: &Sigyn) -> u64 {
    let status = std::fs::read_to_string(format!("/proc/{}/status", sigyn.pid())).unwrap();
    let peak = status.lines().find(|line| line.starts_with("VmHWM:")).unwrap();
    peak.split_whitespace().nth(1).unwrap().parse::<u64>().unwrap() / 1024
}

#[tokio::test]
async fn malformed_bodies_get_400() {
    let folder = tempfile::tempdir().unwrap();
    let sigyn = Sigyn::start(folder.path(), Start::default()).await;
    let client = sigyn.client();
    let protobuf = [("Content-Type", "application/x-protobuf")];
    for body in [
        &b"{"[..],
        b"[]",
        b"{\"streams\": 3}",
        b"{\"streams\":[{\"stream\":{\"a\":\"b\"},\"values\":[[1,\"x\"]]}]}",
    ] {
        let (status, text) = push(&client, &[JSON], body.to_vec()).await;
        assert!((400..500).contains(&status), "{status} {text}");
        assert!(!text.is_empty());
    }
    for body in [&b""[..], b"\xff\xff\xff\xff\x0f", b"not snappy at all"] {
        let (status, text) = push(&client, &protobuf, body.to_vec()).await;
        assert!((400..500).contains(&status), "{status} {text}");
    }
    let deep = [b"{\"streams\":".to_vec(), vec![b'['; 1 << 20]].concat();
    let (status, _) = push(&client, &[JSON], deep).await;
    assert_eq!(status, 400);
    let (status, _) = push(&client, &[], b"{}".to_vec()).await;
    assert_eq!(status, 400, "a body without a content type");
    let (status, text) = push(&client, &[JSON, ("Content-Encoding", "br")], b"x".to_vec()).await;
    assert_eq!(status, 400);
    assert!(text.contains("Content-Encoding \"br\" not supported"), "{text}");
}

#[tokio::test]
async fn bombs_and_giants_get_413_and_no_memory() {
    let folder = tempfile::tempdir().unwrap();
    let config = "distributor: {max_recv_msg_size: 1MB, max_decompressed_size: 8MB}\n".to_owned();
    let sigyn = Sigyn::start(folder.path(), Start { config, wrapper: Vec::new() }).await;
    let client = sigyn.client();
    let before = resident_megabytes(&sigyn);
    let (status, text) = push(&client, &[JSON], vec![b' '; 2 << 20]).await;
    assert_eq!(status, 413, "{text}");
    // Half a gigabyte of spaces in half a megabyte of gzip.
    let mut bomb = flate2::write::GzEncoder::new(Vec::new(), flate2::Compression::best());
    let spaces = vec![b' '; 1 << 20];
    for _ in 0..512 {
        std::io::Write::write_all(&mut bomb, &spaces).unwrap();
    }
    let bomb = bomb.finish().unwrap();
    assert!(bomb.len() < 1 << 20);
    let (status, text) = push(&client, &[JSON, ("Content-Encoding", "gzip")], bomb).await;
    assert_eq!(status, 413, "{text}");
    // A snappy block that claims four gigabytes.
    let claim = b"\xff\xff\xff\xff\x0f\x00\x00".to_vec();
    let (status, text) = push(&client, &[("Content-Type", "application/x-protobuf")], claim).await;
    assert!(status == 413 || status == 400, "{status} {text}");
    let grown = resident_megabytes(&sigyn) - before;
    assert!(grown < 64, "refusing took {grown} MB");
}

#[tokio::test]
async fn good_entries_beside_bad_ones_are_kept() {
    let folder = tempfile::tempdir().unwrap();
    let config = "limits_config: {reject_old_samples: false, max_line_size: 20}\n".to_owned();
    let sigyn = Sigyn::start(folder.path(), Start { config, wrapper: Vec::new() }).await;
    let client = sigyn.client();
    let body = json!({"streams": [{"stream": {"app": "mixed"}, "values": [
        [EPOCH.to_string(), "short"],
        [(EPOCH + 1).to_string(), "a line that is longer than twenty bytes"],
        [(EPOCH + 2).to_string(), "fine too"],
    ]}]});
    let (status, text) = push(&client, &[JSON], body.to_string().into_bytes()).await;
    assert_eq!(status, 400);
    assert!(text.contains("max entry size '20' bytes exceeded"), "{text}");
    let lines = client.all_lines("{app=\"mixed\"}", EPOCH, EPOCH + 10, 100).await;
    let texts: Vec<&str> = lines.iter().map(|line| line.text.as_str()).collect();
    assert_eq!(texts, ["short", "fine too"]);
    let metrics = client.get("/metrics", &[]).await.unwrap().text().await.unwrap();
    let counted = metrics.lines().any(|line| {
        line.starts_with("loki_discarded_samples_total{")
            && line.contains("reason=\"line_too_long\"")
            && line.contains("tenant=\"fake\"")
            && line.ends_with(" 1")
    });
    assert!(counted, "the refusal is counted by tenant and reason");
}

#[tokio::test]
async fn tenants_are_required_when_authentication_is_on_and_see_only_their_own() {
    let folder = tempfile::tempdir().unwrap();
    let config = "auth_enabled: true\n".to_owned();
    let sigyn = Sigyn::start(folder.path(), Start { config, wrapper: Vec::new() }).await;
    let anonymous = sigyn.client();
    let line = |text: &str| Line {
        stream: r#"{"app":"x"}"#.to_owned(),
        timestamp: EPOCH,
        text: text.to_owned(),
    };
    let answer = anonymous.push(&[line("who?")]).await.unwrap();
    assert_eq!(answer.status(), 401);
    assert_eq!(answer.text().await.unwrap(), "no org id\n");
    for tenant in ["a", "b"] {
        let answer = anonymous.as_tenant(tenant).push(&[line(tenant)]).await.unwrap();
        assert_eq!(answer.status(), 204);
    }
    for tenant in ["a", "b"] {
        let lines =
            anonymous.as_tenant(tenant).all_lines("{app=\"x\"}", EPOCH, EPOCH + 1, 10).await;
        assert_eq!(lines.len(), 1);
        assert_eq!(lines[0].text, tenant);
    }
}

#[tokio::test]
async fn rates_are_limited_and_overrides_change_them_while_running() {
    let folder = tempfile::tempdir().unwrap();
    let overrides = folder.path().join("overrides.yaml");
    std::fs::write(&overrides, "overrides: {}\n").unwrap();
    let config = format!(
        "limits_config: {{reject_old_samples: false, ingestion_rate_mb: 0.001, \
         ingestion_burst_size_mb: 0.001}}\nruntime_config: {{file: {}, period: 50ms}}\n",
        overrides.display()
    );
    let sigyn = Sigyn::start(folder.path(), Start { config, wrapper: Vec::new() }).await;
    let client = sigyn.client();
    let line =
        Line { stream: r#"{"app":"x"}"#.to_owned(), timestamp: EPOCH, text: "y".repeat(3000) };
    let answer = client.push(std::slice::from_ref(&line)).await.unwrap();
    assert_eq!(answer.status(), 429);
    let text = answer.text().await.unwrap();
    assert!(text.contains("ingestion rate limit exceeded for user fake"), "{text}");
    std::fs::write(
        &overrides,
        "overrides: {fake: {ingestion_rate_mb: 10, ingestion_burst_size_mb: 10}}\n",
    )
    .unwrap();
    system::wait::until("the new limit holds", || async {
        let answer = client.push(std::slice::from_ref(&line)).await.unwrap();
        (answer.status() == 204).then_some(())
    })
    .await;
}
