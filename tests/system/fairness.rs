//! Promise: how long a tenant waits does not depend on how much others ask.

use futures_util::future::join_all;
use system::client::{Client, Line};
use system::cluster::{Cluster, Finding, Member, Settings};
use system::wait;

/// 2024-05-01T00:00:00Z.
const START: i64 = 1_714_521_600_000_000_000;
/// Queries of the tenant that asks much.
const HEAVY: usize = 200;

async fn gauge(client: &Client, name: &str) -> usize {
    let text = client.get("/metrics", &[]).await.unwrap().text().await.unwrap();
    let line = text.lines().find_map(|line| line.strip_prefix(name)?.strip_prefix(' '));
    line.unwrap_or("0").parse().unwrap()
}

/// Counts what matches within some minutes: one piece.
async fn ask(client: Client, query: String) {
    let params = [("query", query.as_str()), ("time", "1714522201")];
    let answer = client.json("/loki/api/v1/query", &params).await;
    assert_eq!(answer["data"]["result"][0]["value"][1], "500", "{query}");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_small_query_waits_for_less_than_two_pieces_of_another_tenant() {
    let folder = tempfile::tempdir().unwrap();
    let roles = ["distributor", "ingester", "query-scheduler", "querier", "query-frontend"];
    let members = roles.map(|target| Member::new(target, 1, "")).to_vec();
    let settings = Settings {
        // One piece at a time, so that pieces have an order.
        blocks: "auth_enabled: true\nquerier: {max_concurrent: 1}\n".to_owned(),
        limits: "reject_old_samples: false".to_owned(),
        ..Settings::new(Finding::Addresses, Settings::shared_folder(folder.path()))
    };
    let cluster = Cluster::start(folder.path(), members, settings.configure()).await;
    let (pushes, asks) = (cluster.client("distributor-1"), cluster.client("query-frontend-1"));
    let lines: Vec<Line> = (0..500)
        .map(|number| Line {
            stream: r#"{"app":"web"}"#.to_owned(),
            timestamp: START + number * 1_000_000_000,
            text: format!("n={number} some words to look at"),
        })
        .collect();
    for tenant in ["heavy", "small"] {
        assert_eq!(pushes.as_tenant(tenant).push(&lines).await.unwrap().status(), 204);
    }
    // The way is open: a place has been taken and given back.
    ask(asks.as_tenant("small"), "sum(count_over_time({app=\"web\"}[11m]))".to_owned()).await;

    // Nothing moves until everybody stands in the queue.
    cluster.pause("querier-1");
    let heavy = (0..HEAVY).map(|number| {
        let query = format!(
            "sum(count_over_time({{app=\"web\"}} |~ \"(?i)N=.*WORDS\" [11m])) + {number} - {number}"
        );
        tokio::spawn(ask(asks.as_tenant("heavy"), query))
    });
    let heavy: Vec<_> = heavy.collect();
    let queue = cluster.client("query-scheduler-1");
    let await_waiting = async |count: usize| {
        wait::until(&format!("{count} pieces wait"), || async {
            (gauge(&queue, "sigyn_frontend_queue_length").await >= count).then_some(())
        })
        .await;
    };
    // The querier that hangs may have taken one.
    await_waiting(HEAVY - 1).await;
    let before = gauge(&queue, "sigyn_frontend_queue_length").await;
    let query = "sum(count_over_time({app=\"web\"} |= \"words\" [11m]))";
    let small = tokio::spawn(ask(asks.as_tenant("small"), query.to_owned()));
    await_waiting(before + 1).await;
    cluster.resume("querier-1");
    small.await.unwrap();
    for answered in join_all(heavy).await {
        answered.unwrap();
    }

    // The querier tells each piece when it is done, in their order.
    let log = std::fs::read_to_string(folder.path().join("querier-1/log")).unwrap();
    let done: Vec<&str> = log.lines().filter(|line| line.contains("post_filter_lines")).collect();
    let is_small = |line: &&str| line.contains("words") && line.contains("org_id=small");
    let at = done.iter().position(is_small).expect("the small query was told");
    let ahead = done[..at].iter().filter(|line| line.contains("org_id=heavy")).count();
    let behind = done[at..].iter().filter(|line| line.contains("org_id=heavy")).count();
    eprintln!("{ahead} pieces of {HEAVY} queries ran before the small query, {behind} after it");
    assert!(ahead <= 2, "{ahead} pieces ran first:\n{}", done[..at].join("\n"));
    assert!(behind >= HEAVY - 2, "only {behind} of {HEAVY} stood behind it");
}
