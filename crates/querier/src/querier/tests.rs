use std::collections::BTreeMap;
use std::time::Duration;

use logql::source::Shard;
use model::answer::ResultStream;
use model::{Direction, Labels, Timestamp};

use super::*;
use crate::metadata::Scope;
use crate::metadata::patterns::PatternsRequest;
use crate::metadata::series::SeriesRequest;
use crate::metadata::stats::IndexStats;
use crate::metadata::volume::{AggregateBy, VolumeRequest};
use crate::testing::{Rig, TestHead, TestRow, row, segment, tenant, time};
use logql::request::QueryPart;

const SECOND: i64 = model::time::SECOND_NS;

fn range(text: &str, start: i64, end: i64) -> QueryRequest {
    QueryRequest {
        text: text.into(),
        time: QueryTime::Range { start: time(start), end: time(end), step_ns: 10 * SECOND },
        direction: Direction::Backward,
        limit: 100,
        interval_ns: 0,
        categorize: false,
        tags: BTreeMap::new(),
        part: None,
    }
}

fn instant(text: &str, at: i64) -> QueryRequest {
    QueryRequest { time: QueryTime::Instant(time(at)), ..range(text, 0, 0) }
}

fn scope(query: &str, start: i64, end: i64) -> Scope {
    Scope { query: query.into(), start: time(start), end: time(end) }
}

/// A segment and a head with a row in common, ten seconds between rows.
async fn rig() -> Rig {
    let rig = Rig::new().await;
    let rows: Vec<TestRow> = (0..6)
        .map(|n: i64| {
            let labels = ["{app=\"x\", env=\"p\"}", "{app=\"y\", env=\"p\"}"][n as usize % 2];
            row(labels, n * 10 * SECOND, &format!("line {n}"))
        })
        .collect();
    rig.upload(&rows[..4], 0).await;
    rig.set_heads(vec![TestHead { rows: rows[3..].to_vec(), ..TestHead::default() }]);
    rig
}

fn lines(answer: &Answer) -> Vec<String> {
    let Value::Streams(streams) = &answer.value else { panic!("streams, not {:?}", answer.value) };
    let entries = |stream: &ResultStream| -> Vec<String> {
        let text = |line: &[u8]| String::from_utf8(line.to_vec()).unwrap();
        stream.entries.iter().map(|entry| text(&entry.line)).collect()
    };
    streams.iter().flat_map(entries).collect()
}

fn vector(answer: &Answer) -> Vec<(String, f64)> {
    let Value::Vector(samples) = &answer.value else { panic!("a vector") };
    let labels = |labels: &model::answer::ResultLabels| {
        Labels::new(labels.iter().map(|(n, v)| (n.as_str(), v.as_str()))).to_string()
    };
    samples.iter().map(|one| (labels(&one.labels), one.sample.value)).collect()
}

fn text(result: Result<impl std::fmt::Debug, Error>) -> String {
    result.unwrap_err().to_string()
}

#[tokio::test]
async fn log_queries_join_heads_and_segments() {
    let querier = rig().await.querier(Config::default(), Limits::default());
    let all = querier.query(&[tenant()], range("{app=~\".+\"}", 0, 60 * SECOND)).await.unwrap();
    assert_eq!(lines(&all), ["line 4", "line 2", "line 0", "line 5", "line 3", "line 1"]);
    let one = querier.query(&[tenant()], range("{app=\"y\"}", 10 * SECOND, 50 * SECOND)).await;
    assert_eq!(lines(&one.unwrap()), ["line 3", "line 1"]);
    let mut newest = range("{env=\"p\"}", 0, 60 * SECOND);
    newest.limit = 2;
    let newest = querier.query(&[tenant()], newest).await.unwrap();
    assert_eq!(lines(&newest), ["line 4", "line 5"]);
}

#[tokio::test]
async fn metric_queries_count_copies_once() {
    let querier = rig().await.querier(Config::default(), Limits::default());
    let query = instant("sum by (app) (count_over_time({env=\"p\"}[1m]))", 59 * SECOND);
    let answer = querier.query(&[tenant()], query).await.unwrap();
    assert_eq!(vector(&answer), [("{app=\"x\"}".to_owned(), 3.0), ("{app=\"y\"}".to_owned(), 3.0)]);
    let number = querier.query(&[tenant()], instant("vector(1)+vector(1)", 0)).await.unwrap();
    assert_eq!(vector(&number), [("{}".to_owned(), 2.0)]);
}

#[tokio::test]
async fn shards_of_a_query_make_the_whole() {
    let rig = rig().await;
    let querier = rig.querier(Config::default(), Limits::default());
    let text = r#"sum(count_over_time({env="p"}[5m]))"#;
    let ask = |part| {
        let request = QueryRequest { part, ..instant(text, 100 * SECOND) };
        let querier = Arc::clone(&querier);
        async move { vector(&querier.query(&[tenant()], request).await.unwrap()) }
    };
    let whole = ask(None).await;
    assert_eq!(whole, [("{}".to_owned(), 6.0)]);
    for of in 1..4 {
        let mut sum = 0.0;
        for index in 0..of {
            let shard = Some(Shard { index, of });
            let shard = ask(Some(QueryPart { shard })).await;
            sum += shard.iter().map(|(_, value)| value).sum::<f64>();
        }
        assert_eq!(sum, whole[0].1, "{of} shards");
    }
}

#[tokio::test]
async fn metric_ranges_align_to_their_step() {
    let querier = rig().await.querier(Config::default(), Limits::default());
    let query = range("sum(count_over_time({env=\"p\"}[10s]))", 3 * SECOND, 12 * SECOND);
    let Value::Matrix(series) = querier.query(&[tenant()], query).await.unwrap().value else {
        panic!("a matrix")
    };
    let times: Vec<Timestamp> = series[0].samples.iter().map(|sample| sample.timestamp).collect();
    assert_eq!(times, [0, 10, 20].map(|second| time(second * SECOND)));
}

#[tokio::test]
async fn limits_refuse_before_reading() {
    let rig = rig().await;
    let limits = Limits {
        max_query_length: Duration::from_secs(3600),
        max_entries: 10,
        required_labels: vec!["app".into()],
        max_query_bytes_read: 20,
        ..Limits::default()
    };
    let querier = rig.querier(Config::default(), limits);
    let hours = 7200 * SECOND;
    let few = |text, end| QueryRequest { limit: 5, ..range(text, 0, end) };
    let too_long = querier.query(&[tenant()], few("{app=\"x\"}", hours)).await;
    assert_eq!(
        text(too_long),
        "the query time range exceeds the limit (query length: 2h0m0s, limit: 1h)"
    );
    let missing = querier.query(&[tenant()], few("{env=\"p\"}", SECOND)).await;
    assert!(text(missing).starts_with("stream selector is missing required matchers [app]"));
    let many = querier.query(&[tenant()], range("{app=\"x\"}", 0, SECOND)).await;
    assert!(text(many).starts_with("max entries limit per query exceeded"));
    let bytes = querier.query(&[tenant()], few("{app=~\".+\"}", 60 * SECOND)).await;
    assert!(text(bytes).starts_with("the query would read too many bytes (query: "));
    let log = QueryRequest { limit: 5, ..instant("{app=\"x\"}", 0) };
    let log = querier.query(&[tenant()], log).await;
    assert!(text(log).starts_with("log queries are not supported as an instant query type"));
    let nobody = querier.query(&[], instant("1", 0)).await;
    assert_eq!(text(nobody), "no org id");
}

#[tokio::test]
async fn a_look_back_hides_old_rows() {
    let rig = rig().await;
    // The clock stands at the end of the day.
    let day = 86_400 * SECOND;
    let limits = Limits {
        max_query_lookback: Duration::from_nanos((day - 30 * SECOND) as u64),
        ..Limits::default()
    };
    let querier = rig.querier(Config::default(), limits);
    let all = querier.query(&[tenant()], range("{app=~\".+\"}", 0, 60 * SECOND)).await.unwrap();
    assert_eq!(lines(&all), ["line 4", "line 5", "line 3"]);
    let old = querier.query(&[tenant()], range("{app=~\".+\"}", 0, 20 * SECOND)).await.unwrap();
    assert_eq!(lines(&old).len(), 0);
}

#[tokio::test]
async fn a_deleted_segment_is_forgotten_and_the_query_begins_anew() {
    let rig = rig().await;
    let querier = rig.querier(Config::default(), Limits::default());
    let gone = rig.store.snapshot(&tenant(), TimeRange::ALL)[0].name.clone();
    // Another process deletes it, so that this one's catalog still holds it.
    rig.store.bucket().delete(&gone.to_string()).await.unwrap();
    let answer = querier.query(&[tenant()], range("{app=~\".+\"}", 0, 60 * SECOND)).await;
    assert_eq!(lines(&answer.unwrap()), ["line 4", "line 5", "line 3"]);
}

#[tokio::test]
async fn labels_values_and_series() {
    let querier = rig().await.querier(Config::default(), Limits::default());
    let all = scope("", 0, 60 * SECOND);
    assert_eq!(querier.labels(&[tenant()], &all).await.unwrap(), ["app", "env"]);
    assert_eq!(querier.label_values(&[tenant()], "app", &all).await.unwrap(), ["x", "y"]);
    let one = scope("{app=\"y\"}", 0, 60 * SECOND);
    assert_eq!(querier.label_values(&[tenant()], "app", &one).await.unwrap(), ["y"]);
    let none = querier.label_values(&[tenant()], "pod", &all).await.unwrap();
    assert!(none.is_empty());
    let filter = querier.labels(&[tenant()], &scope("{app=\"y\"} |= \"x\"", 0, 1)).await;
    assert_eq!(text(filter), "only label matchers are supported");

    let series = |selectors: &[&str]| SeriesRequest {
        selectors: selectors.iter().map(|text| (*text).to_owned()).collect(),
        start: time(0),
        end: time(60 * SECOND),
    };
    let found = querier.series(&[tenant()], &series(&["{app=\"x\"}", "{env=\"p\"}"])).await;
    assert_eq!(found.unwrap().len(), 2);
    assert_eq!(querier.series(&[tenant()], &series(&["{}"])).await.unwrap().len(), 2);
    let mixed = querier.series(&[tenant()], &series(&["{}", "{app=\"x\"}"])).await;
    assert_eq!(text(mixed), "0 matchers in group: {}");
}

#[tokio::test]
async fn stats_and_volumes_add_up() {
    let rig = rig().await;
    rig.set_heads(Vec::new());
    let querier = rig.querier(Config::default(), Limits::default());
    let stats = querier.index_stats(&[tenant()], &scope("{env=\"p\"}", 0, 60 * SECOND)).await;
    assert_eq!(stats.unwrap(), IndexStats { streams: 2, chunks: 2, bytes: 24, entries: 4 });
    let part = querier.index_stats(&[tenant()], &scope("{env=\"p\"}", 0, 9 * SECOND)).await;
    assert_eq!(part.unwrap(), IndexStats { streams: 1, chunks: 1, bytes: 6, entries: 1 });

    let request = VolumeRequest {
        scope: scope("{app=~\".+\"}", 0, 60 * SECOND),
        target_labels: Vec::new(),
        aggregate_by: AggregateBy::Series,
        limit: 100,
        step_ns: None,
    };
    let value = querier.volume(&[tenant()], &request).await.unwrap();
    let answer = Answer { value, stats: QueryStats::default(), warnings: Vec::new() };
    assert_eq!(
        vector(&answer),
        [("{app=\"x\"}".to_owned(), 12.0), ("{app=\"y\"}".to_owned(), 12.0)]
    );
    let steps = VolumeRequest { step_ns: Some(20 * SECOND), ..request };
    let Value::Matrix(series) = querier.volume(&[tenant()], &steps).await.unwrap() else {
        panic!("a matrix")
    };
    let samples: Vec<(Timestamp, f64)> =
        series[0].samples.iter().map(|sample| (sample.timestamp, sample.value)).collect();
    let before = |second: i64| Timestamp(time(second * SECOND).0 - 1_000_000);
    assert_eq!(samples, [(before(20), 6.0), (before(40), 6.0)]);
}

/// One replica has stored its rows, one still holds all it got, one lacks the first half of them.
#[tokio::test]
async fn what_replicas_hold_is_counted_once() {
    let rig = Rig::new().await;
    let rows: Vec<TestRow> = (0..40)
        .map(|n: i64| {
            row("{app=\"x\"}", n / 2 * SECOND, &format!("{n:03}{}", "x".repeat(n as usize % 2)))
        })
        .collect();
    let stored = rig.upload(&rows[..10], 0).await;
    let head = |holder: u64, rows: &[TestRow]| TestHead {
        rows: rows.to_vec(),
        holder,
        ..TestHead::default()
    };
    rig.set_heads(vec![
        TestHead { flushed_as: vec![stored], ..head(1, &rows[..10]) },
        head(1, &rows[10..30]),
        head(2, &rows[..15]),
        head(2, &rows[15..30]),
        head(3, &rows[20..]),
    ]);
    let querier = rig.querier(Config { patterns: true, ..Config::default() }, Limits::default());
    let asked = scope("{app=\"x\"}", 0, 60 * SECOND);
    let stats = querier.index_stats(&[tenant()], &asked).await.unwrap();
    let bytes = 40 * 3 + 20;
    assert_eq!(stats, IndexStats { streams: 1, chunks: 2, bytes, entries: 40 });
    let request = VolumeRequest {
        scope: asked.clone(),
        target_labels: Vec::new(),
        aggregate_by: AggregateBy::Series,
        limit: 100,
        step_ns: Some(10 * SECOND),
    };
    let Value::Matrix(series) = querier.volume(&[tenant()], &request).await.unwrap() else {
        panic!("a matrix")
    };
    let samples: Vec<f64> = series[0].samples.iter().map(|sample| sample.value).collect();
    assert_eq!(samples, [70.0, 70.0]);
    let request = PatternsRequest { scope: asked, step_ns: 60 * SECOND };
    let patterns = querier.patterns(&[tenant()], &request).await.unwrap();
    let lines = patterns.iter().flat_map(|pattern| &pattern.samples).map(|(_, count)| count);
    assert_eq!(lines.sum::<u64>(), 40);
}

#[tokio::test]
async fn several_tenants_are_read_together() {
    let rig = rig().await;
    let other = TenantId::new("b").unwrap();
    let rows = [row("{app=\"x\"}", 5 * SECOND, "of b")];
    rig.store.upload(segment(&other, &rows, 0)).await.unwrap();
    let tenants = [other, tenant()];
    let alone = rig.querier(Config::default(), Limits::default());
    let refused = alone.query(&tenants, range("{app=\"x\"}", 0, 60 * SECOND)).await;
    assert_eq!(text(refused), "multiple org IDs present");

    let config = Config { multi_tenant: true, ..Config::default() };
    let querier = rig.querier(config, Limits::default());
    let both = querier.query(&tenants, range("{app=\"x\"}", 0, 30 * SECOND)).await.unwrap();
    assert_eq!(lines(&both), ["line 2", "line 0", "of b"]);
    let one = range("{app=\"x\", __tenant_id__=\"b\"}", 0, 30 * SECOND);
    assert_eq!(lines(&querier.query(&tenants, one).await.unwrap()), ["of b"]);
    let counted = instant("sum by (__tenant_id__) (count_over_time({app=\"x\"}[1m]))", 59 * SECOND);
    let counted = querier.query(&tenants, counted).await.unwrap();
    let by_tenant = |name: &str, count| (format!("{{__tenant_id__=\"{name}\"}}"), count);
    assert_eq!(vector(&counted), [by_tenant("a", 3.0), by_tenant("b", 1.0)]);
    let only = querier.query(&tenants, range("{__tenant_id__=\"b\"}", 0, SECOND)).await;
    assert!(text(only).starts_with("log selector is invalid after matcher update: parse error : "));

    let all = scope("", 0, 60 * SECOND);
    let names = querier.labels(&tenants, &all).await.unwrap();
    assert_eq!(names, ["__tenant_id__", "app", "env"]);
    let values = querier.label_values(&tenants, "__tenant_id__", &all).await.unwrap();
    assert_eq!(values, ["a", "b"]);
}
