use std::collections::BTreeSet;
use std::time::Duration;

use logql::source::{Selection, Source as _};
use model::{MatchOp, Matcher, TimeRange};
use proptest::prelude::*;
use store::{DeleteRequest, DeleteState, RetentionRule, StreamKey};

use super::*;
use crate::config::Unreadable;
use crate::source::LabelPairs;
use crate::source::tally::{Spans, TallySink, tally};
use crate::source::tenant::TenantSource;
use crate::testing::{Rig, TestHead, TestRow, row, tenant, time};

/// What is hidden, and the same said once more.
const DELETED: [(&str, i64, i64); 3] = [
    ("{app=\"x\"} |= \"a\"", 10, 40),
    ("{app=\"y\"}", 0, 30),
    ("{app=\"y\"} | trace=\"p\"", 0, 60),
];

fn is_hidden(row: &TestRow, expires: bool) -> bool {
    let (x, y) = (row.labels.get("app") == Some("x"), row.labels.get("app") == Some("y"));
    let deleted = (x && row.line.contains('a') && (10..=40).contains(&row.at))
        || (y && (0..=30).contains(&row.at))
        || (y && row.trace.as_deref() == Some("p"));
    let expired = row.at < 5 || (x && row.at < 20);
    deleted || (expires && expired)
}

async fn request(rig: &Rig, number: usize, query: &str, first: i64, last: i64) {
    let request = DeleteRequest {
        id: format!("{number:08x}"),
        tenant: tenant(),
        query: query.to_owned(),
        start: time(first),
        end: time(last),
        created: time(99),
        state: DeleteState::Received,
    };
    rig.store.create_delete(request).await.unwrap();
}

fn limits(expires: bool) -> Limits {
    let matchers = vec![Matcher::new("app", MatchOp::Equal, "x").unwrap()];
    let rule = RetentionRule { matchers, priority: 1, period: Duration::from_nanos(80) };
    let retention = Retention::new(Duration::from_nanos(95), vec![rule]);
    let retention = if expires { Arc::new(retention) } else { Arc::default() };
    Limits { retention, ..Limits::default() }
}

fn source(rig: &Rig, limits: &Limits) -> TenantSource {
    let hidden = CompiledRemovals::default().hidden(&rig.store, &tenant(), limits, time(100));
    crate::source::tests::source(rig, Unreadable::Fail).hiding(hidden)
}

fn everything() -> Selection {
    Selection::all(&[Matcher::new("app", MatchOp::Regex, ".+").unwrap()], TimeRange::ALL)
}

/// The rows that a query sees when it wants no more than their times.
fn seen(source: &TenantSource, rows: &[TestRow]) -> BTreeSet<TestRow> {
    let mut found = BTreeSet::new();
    for piece in source.pieces(&everything()).unwrap() {
        let least = Want { lines: WantLines::None, metadata: WantMetadata::None };
        let short = source.load(&piece, &least).unwrap();
        let batch = source.load(&piece, &Want::default()).unwrap();
        let covered = |batch: &Batch| -> Vec<usize> {
            batch.runs.iter().flat_map(|run| run.rows.clone()).collect()
        };
        assert_eq!(covered(&short), covered(&batch), "what is wanted changes nothing");
        if let Some(cells) = source.cells(&piece).unwrap() {
            let lines: u64 = cells.cells.iter().map(|cell| cell.lines).sum();
            assert_eq!(lines as usize, covered(&batch).len(), "counts hold no hidden row");
        }
        let trace = batch.metadata.iter().find(|column| column.name() == "trace");
        for run in &batch.runs {
            for at in run.rows.clone() {
                found.insert(TestRow {
                    labels: run.labels.clone(),
                    at: batch.timestamps[at] - time(0).0,
                    line: String::from_utf8(batch.lines.row(at).to_vec()).unwrap(),
                    trace: trace.and_then(|column| column.get(at)).map(str::to_owned),
                    level: None,
                });
            }
        }
    }
    assert!(found.iter().all(|row| rows.contains(row)));
    found
}

fn any_row() -> impl Strategy<Value = TestRow> {
    let trace = proptest::option::of("[pq]");
    (0..3usize, 0..60i64, "[a-c]{0,2}", trace).prop_map(|(stream, at, line, trace)| {
        let labels = ["{app=\"x\"}", "{app=\"y\", pod=\"1\"}", "{app=\"z\"}"][stream];
        TestRow { trace, ..row(labels, at, &line) }
    })
}

proptest! {
    #[test]
    fn hidden_rows_are_not_seen_and_all_others_are(
        stored in proptest::collection::vec(any_row(), 1..60),
        recent in proptest::collection::vec(any_row(), 0..30),
        expires in any::<bool>(),
        deletes in any::<bool>(),
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let rig = Rig::new().await;
            rig.upload(&stored, 0).await;
            rig.set_heads(vec![TestHead { rows: recent.clone(), ..TestHead::default() }]);
            if deletes {
                for (number, (query, first, last)) in DELETED.into_iter().enumerate() {
                    request(&rig, number, query, first, last).await;
                }
            }
            let rows = [&stored[..], &recent].concat();
            let expected = rows.iter().filter(|row| {
                let nothing = !deletes && !(expires && (row.at < 5 || is_x(row) && row.at < 20));
                nothing || (deletes && !is_hidden(row, expires))
            });
            let expected: BTreeSet<TestRow> = expected.cloned().collect();
            let source = source(&rig, &limits(expires));
            assert_eq!(seen(&source, &rows), expected);
            counts_are_of(&source, &[&stored, &recent], &expected);
        });
    }
}

/// Sums of what is counted.
#[derive(Default)]
struct Sums {
    rows: f64,
    bytes: f64,
}

impl TallySink for Sums {
    fn stream(&mut self, _key: StreamKey, _pairs: LabelPairs<'_, '_>) -> usize {
        0
    }

    fn count(&mut self, _stream: usize, _span: usize, rows: f64, bytes: f64) {
        self.rows += rows;
        self.bytes += bytes;
    }
}

/// Sizes count what is seen: each row once for each place in which it stands.
fn counts_are_of(source: &TenantSource, origins: &[&[TestRow]], seen: &BTreeSet<TestRow>) {
    let places_of = |row: &TestRow| origins.iter().filter(|rows| rows.contains(row)).count();
    let matchers = everything().matchers;
    let places: usize = seen.iter().map(places_of).sum();
    let lines: usize = seen.iter().map(|one| one.line.len() * places_of(one)).sum();
    let range = TimeRange::new(time(0), time(100));
    for spans in [Spans::one(range), Spans::one(TimeRange::ALL), Spans::steps(range, 7)] {
        let mut sums = Sums::default();
        tally(source, &matchers, &spans, &mut sums).unwrap();
        assert!((sums.rows - places as f64).abs() < 1e-6, "{} of {places} rows", sums.rows);
        assert!(sums.bytes >= lines as f64 - 1e-6, "{} of {lines} bytes", sums.bytes);
    }
}

fn is_x(row: &TestRow) -> bool {
    row.labels.get("app") == Some("x")
}

#[tokio::test]
async fn streams_of_which_nothing_is_left_are_not_listed() {
    let rig = Rig::new().await;
    let rows =
        [row("{app=\"x\"}", 1, "a"), row("{app=\"y\"}", 2, "b"), row("{app=\"z\"}", 50, "c")];
    rig.upload(&rows, 0).await;
    let names = |limits: &Limits| -> Vec<String> {
        let streams = source(&rig, limits).streams(&everything().matchers, TimeRange::ALL).unwrap();
        let mut names: Vec<String> =
            streams.iter().map(|s| s.labels.get("app").unwrap().to_owned()).collect();
        names.sort();
        names
    };
    assert_eq!(names(&limits(false)), ["x", "y", "z"]);
    assert_eq!(names(&limits(true)), ["z"]);
    request(&rig, 1, "{app=\"y\"}", 0, 9).await;
    assert_eq!(names(&limits(false)), ["x", "z"]);
    assert_eq!(names(&Limits { hides_deleted: false, ..limits(false) }), ["x", "y", "z"]);
}
