//! Queries over real connections.

use super::*;

fn encoded(query: &str) -> String {
    form_urlencoded::byte_serialize(query.as_bytes()).collect()
}

async fn all() -> Served {
    Served::start(|config| config.target = vec!["all".to_owned()]).await
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_pushed_is_answered_before_and_after_a_flush() {
    let served = all().await;
    let at = served.push("web", &["first", "second"]).await;
    let path = format!("/loki/api/v1/query_range?query={}", encoded("{app=\"web\"}"));
    let values = format!("[[\"{}\",\"second\"],[\"{at}\",\"first\"]]", at + 1);
    for _ in 0..2 {
        let (head, body) = served.get(&path, "").await;
        assert!(head.starts_with("HTTP/1.1 200"), "{head}");
        let body = String::from_utf8(body).unwrap();
        assert!(body.contains(&format!("\"values\":{values}")), "{body}");
        assert!(served.get("/flush", "").await.0.starts_with("HTTP/1.1 204"));
    }
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn mistakes_are_told_in_plain_text() {
    let served = all().await;
    let check = async |path: &str, status: &str, text: &str| {
        let (head, body) = served.get(path, "").await;
        assert!(head.starts_with(&format!("HTTP/1.1 {status}")), "{path}: {head}");
        assert!(head.contains("content-type: text/plain; charset=utf-8"), "{path}: {head}");
        let body = String::from_utf8(body).unwrap();
        assert!(body.contains(text) && !body.ends_with('\n'), "{path}: {body}");
    };
    let range = "/loki/api/v1/query_range";
    check(&format!("{range}?query=x"), "400", "parse error at line 1, col 1").await;
    let query = encoded("{a=\"b\"}");
    check(&format!("{range}?query={query}&limit=0"), "400", "limit must be a positive value").await;
    check(&format!("{range}?query={query}&start=x"), "400", "could not parse 'start'").await;
    let instant = format!("/loki/api/v1/query?query={query}");
    check(&instant, "400", "log queries are not supported as an instant query type").await;
    let volume = format!("/loki/api/v1/index/volume?query={query}&limit=-1");
    check(&volume, "400", "limit must be a positive value").await;
    check("/loki/api/v1/labels?end=abc", "400", "could not parse 'end' parameter").await;
    let legacy = format!("/api/prom/query?query={}", encoded("count_over_time({a=\"b\"}[1m])"));
    check(&legacy, "400", "legacy endpoints only support streams result type").await;
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_health_check_of_grafana_is_answered() {
    let served = all().await;
    let path =
        format!("/loki/api/v1/query?query={}&time=4000000000", encoded("vector(1)+vector(1)"));
    let (_, body) = served.get(&path, "").await;
    let body = String::from_utf8(body).unwrap();
    let result =
        "\"resultType\":\"vector\",\"result\":[{\"metric\":{},\"value\":[4000000000,\"2\"]}]";
    assert!(body.contains(result), "{body}");
    let (_, body) = served.get("/loki/api/v1/patterns?query=%7Ba%3D%22b%22%7D", "").await;
    assert!(body.is_empty());
    let (_, body) = served.get("/loki/api/v1/detected_labels", "").await;
    assert_eq!(body, b"{}");
    served.stop().await;
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn questions_about_labels_wait_for_their_turn() {
    let served = Served::start(|config| {
        config.target = vec!["all".to_owned()];
        config.querier.max_concurrent = 1;
        config.frontend.max_outstanding_per_tenant = 1;
    })
    .await;
    served.push("web", &["a line"]).await;
    let gate = served.app.parts.gate.find().unwrap();
    let (place, _) = gate.enter("another tenant", &[]).await.unwrap();
    // One of the two waits for the place, and there is room for no second.
    let stats = format!("/loki/api/v1/index/stats?query={}", encoded("{app=\"web\"}"));
    let labels = Box::pin(served.get("/loki/api/v1/labels", ""));
    let stats = Box::pin(served.get(&stats, ""));
    let (first, other) = futures_util::future::select(labels, stats).await.factor_first();
    assert!(first.0.starts_with("HTTP/1.1 429"), "{}", first.0);
    assert_eq!(first.1, b"too many outstanding requests");
    drop(place);
    let (head, _) = other.await;
    assert!(head.starts_with("HTTP/1.1 200"), "{head}");
    served.stop().await;
}
