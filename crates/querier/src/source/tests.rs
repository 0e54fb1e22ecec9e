use std::collections::BTreeMap;
use std::sync::Arc;

use logql::source::{Batch, Selection, Source, Want};
use model::level::LEVEL_NAME;
use model::matcher::all_match;
use model::{MatchOp, Matcher, TimeRange};
use proptest::prelude::*;

use crate::config::Unreadable;
use crate::source::tenant::{Shared, TenantSource};
use crate::testing::{DAY, Rig, TestHead, TestRow, row, tenant, times};

pub(crate) fn source(rig: &Rig, unreadable: Unreadable) -> TenantSource {
    let recent = Arc::clone(&rig.heads) as Arc<dyn crate::Recent>;
    let shared = Shared {
        store: Arc::clone(&rig.store),
        recent,
        unreadable,
        pool: Arc::default(),
        pairs: Arc::default(),
        threads: 2,
        metrics: crate::Metrics::default(),
    };
    TenantSource::new(tenant(), shared)
}

pub(super) fn matcher(name: &str, op: MatchOp, value: &str) -> Matcher {
    Matcher::new(name, op, value).unwrap()
}

/// Rows of a batch that its runs cover and the range holds, each with whether it may have copies.
fn rows_of(batch: &Batch, range: TimeRange) -> Vec<(TestRow, bool)> {
    let mut found = Vec::new();
    for run in &batch.runs {
        assert_eq!(run.labels.fingerprint(), run.fingerprint);
        let times = &batch.timestamps[run.rows.clone()];
        assert!(times.is_sorted(), "rows of a run ascend by time");
        for at in run.rows.clone() {
            let time = model::Timestamp(batch.timestamps[at]);
            if !range.contains(time) {
                continue;
            }
            let trace = batch.metadata.iter().find(|column| column.name() == "trace");
            let level = batch.metadata.iter().find(|column| column.name() == LEVEL_NAME);
            let row = TestRow {
                labels: run.labels.clone(),
                at: time.0 - DAY,
                line: String::from_utf8(batch.lines.row(at).to_vec()).unwrap(),
                trace: trace.and_then(|column| column.get(at)).map(str::to_owned),
                level: level.and_then(|column| model::Level::from_name(column.get(at)?)),
            };
            found.push((row, run.copies.is_some_and(|copies| copies.contains(time))));
        }
    }
    found
}

pub(super) fn read(source: &dyn Source, selection: &Selection) -> Vec<(TestRow, bool)> {
    let mut found = Vec::new();
    for piece in source.pieces(selection).unwrap() {
        let batch = source.load(&piece, &Want::default()).unwrap();
        let rows = rows_of(&batch, selection.range);
        for (row, _) in &rows {
            let at = model::Timestamp(DAY + row.at);
            assert!(piece.first <= at && at <= piece.last, "a piece tells when its rows are");
        }
        found.extend(rows);
    }
    found
}

/// Rows as a query sees them: copies counted once. Fails when a copy was not announced.
fn distinct(found: Vec<(TestRow, bool)>) -> Vec<TestRow> {
    let mut counts: BTreeMap<TestRow, (usize, bool)> = BTreeMap::new();
    for (row, may_repeat) in found {
        let (count, announced) = counts.entry(row).or_insert((0, true));
        *count += 1;
        *announced &= may_repeat;
    }
    for (row, (count, announced)) in &counts {
        assert!(*count == 1 || *announced, "{row:?} stands {count} times, unannounced");
    }
    counts.into_keys().collect()
}

fn any_row() -> impl Strategy<Value = TestRow> {
    let trace = proptest::option::of("[ab]");
    (0..5usize, 0..60i64, "[a-c]{0,2}", trace).prop_map(|(stream, at, line, trace)| {
        let labels =
            ["{app=\"x\"}", "{app=\"y\"}", "{app=\"y\", pod=\"1\"}", "{pod=\"2\"}", "{app=\"z\"}"];
        TestRow { trace, ..row(labels[stream], at, &line) }
    })
}

fn any_matchers() -> impl Strategy<Value = Vec<Matcher>> {
    let one = prop_oneof![
        Just(matcher("app", MatchOp::Equal, "y")),
        Just(matcher("app", MatchOp::NotEqual, "y")),
        Just(matcher("app", MatchOp::Regex, "x|y")),
        Just(matcher("pod", MatchOp::Equal, "")),
        Just(matcher("pod", MatchOp::NotRegex, "2.*")),
        Just(matcher("nothing", MatchOp::Equal, "")),
    ];
    proptest::collection::vec(one, 0..3)
}

pub(super) fn block_on<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 64, ..ProptestConfig::default() })]

    /// However rows are spread, and repeated, over segments and heads, a query sees each once.
    #[test]
    fn segments_and_heads_together_are_the_rows(
        segments in proptest::collection::vec(proptest::collection::vec(any_row(), 1..40), 0..4),
        heads in proptest::collection::vec(proptest::collection::vec(any_row(), 0..20), 0..3),
        matchers in any_matchers(),
        start in 0i64..60,
        length in 0i64..60,
    ) {
        let rig = block_on(Rig::new());
        for (position, rows) in (0..).zip(&segments) {
            block_on(rig.upload(rows, position));
        }
        let head = |rows: &Vec<TestRow>| TestHead { rows: rows.clone(), ..TestHead::default() };
        rig.set_heads(heads.iter().map(head).collect());
        let range = times(start, start + length);
        let mut expected: Vec<TestRow> = segments
            .iter()
            .chain(&heads)
            .flatten()
            .filter(|row| all_match(&matchers, &row.labels))
            .filter(|row| range.contains(model::Timestamp(DAY + row.at)))
            .cloned()
            .collect();
        expected.sort();
        expected.dedup();
        let found = read(&source(&rig, Unreadable::Fail), &Selection::all(&matchers, range));
        prop_assert_eq!(distinct(found), expected);
    }
}

#[tokio::test]
async fn a_flushed_head_is_read_as_its_segments() {
    let rig = Rig::new().await;
    let rows = [row("{app=\"x\"}", 1, "one"), row("{app=\"x\"}", 2, "two")];
    let first = rig.upload(&rows[..1], 0).await;
    let later = crate::testing::segment(&tenant(), &rows[1..], 0);
    let flushed_as = vec![first, later.name.clone()];
    rig.set_heads(vec![TestHead { rows: rows.to_vec(), flushed_as, ..TestHead::default() }]);
    let all = Selection::all(&[], times(0, 10));

    // Half of the flush is uploaded: the head is read, too, and every row counts once.
    let pieces = source(&rig, Unreadable::Fail).pieces(&all).unwrap();
    assert!(pieces.iter().any(|piece| piece.is_head));
    assert_eq!(distinct(read(&source(&rig, Unreadable::Fail), &all)), rows);
    rig.store.upload(later).await.unwrap();
    let pieces = source(&rig, Unreadable::Fail).pieces(&all).unwrap();
    assert_eq!(pieces.iter().map(|piece| piece.is_head).collect::<Vec<_>>(), [false, false]);
}

#[tokio::test]
async fn a_view_does_not_change_under_a_query() {
    let rig = Rig::new().await;
    rig.upload(&[row("{app=\"x\"}", 1, "one")], 0).await;
    let source = source(&rig, Unreadable::Fail);
    let all = Selection::all(&[], times(0, 10));
    assert_eq!(read(&source, &all).len(), 1);
    rig.upload(&[row("{app=\"x\"}", 2, "two")], 1).await;
    rig.set_heads(vec![TestHead {
        rows: vec![row("{app=\"x\"}", 3, "three")],
        ..TestHead::default()
    }]);
    assert_eq!(read(&source, &all).len(), 1);
}

#[tokio::test]
async fn rows_that_arrived_later_rank_higher() {
    let rig = Rig::new().await;
    let line = |text: &str| [row("{app=\"x\"}", 5, text)];
    rig.upload(&line("second"), 20).await;
    rig.upload(&line("first"), 3).await;
    rig.set_heads(vec![TestHead { rows: line("third").to_vec(), ..TestHead::default() }]);
    let source = source(&rig, Unreadable::Fail);
    let all = Selection::all(&[], times(0, 10));
    let mut pieces = source.pieces(&all).unwrap();
    pieces.sort_by_key(|piece| piece.rank);
    let lines: Vec<String> = pieces
        .iter()
        .flat_map(|piece| rows_of(&source.load(piece, &Want::default()).unwrap(), all.range))
        .map(|(row, _)| row.line)
        .collect();
    assert_eq!(lines, ["first", "second", "third"]);
}

#[tokio::test]
async fn what_cannot_be_read_fails_or_is_named() {
    let rig = Rig::new().await;
    rig.upload(&[row("{app=\"x\"}", 1, "one")], 0).await;
    let damaged = crate::testing::segment(&tenant(), &[row("{app=\"x\"}", 2, "two")], 1);
    let mut bytes = damaged.bytes.to_vec();
    let last = bytes.len() - 1;
    bytes[last] ^= 1;
    rig.store.bucket().create(&damaged.name.to_string(), bytes.into()).await.unwrap();
    rig.store.refresh().await.unwrap();

    let all = Selection::all(&[], times(0, 10));
    let error = source(&rig, Unreadable::Fail).pieces(&all).unwrap_err();
    assert_eq!(error.kind, model::ErrorKind::Corrupt);
    assert!(error.message.contains(&damaged.name.to_string()), "{}", error.message);
    let partial = source(&rig, Unreadable::Warn);
    assert_eq!(read(&partial, &all).len(), 1);
    let warnings = partial.warnings();
    assert_eq!(warnings.len(), 1);
    assert!(warnings[0].starts_with("the answer is incomplete: footer of seg/a/"), "{warnings:?}");
}

#[tokio::test]
async fn streams_come_once() {
    let rig = Rig::new().await;
    let rows = [row("{app=\"x\"}", 1, "one"), row("{app=\"y\"}", 2, "two")];
    rig.upload(&rows, 0).await;
    rig.upload(&rows[..1], 1).await;
    rig.set_heads(vec![TestHead { rows: rows.to_vec(), ..TestHead::default() }]);
    let source = source(&rig, Unreadable::Fail);
    let mut streams = source.streams(&[], times(0, 10)).unwrap();
    streams.sort_by(|a, b| a.labels.cmp(&b.labels));
    let shown: Vec<(String, u64)> =
        streams.iter().map(|stream| (stream.labels.to_string(), stream.rows)).collect();
    assert_eq!(shown, [("{app=\"x\"}".to_owned(), 3), ("{app=\"y\"}".to_owned(), 2)]);
    assert_eq!(source.streams(&[], times(2, 10)).unwrap().len(), 1);
}

#[tokio::test]
async fn cells_count_what_rows_count() {
    let rig = Rig::new().await;
    let second = model::time::SECOND_NS;
    let rows: Vec<TestRow> = (0..100)
        .map(|n| row(["{app=\"x\"}", "{app=\"y\"}"][n % 2], n as i64 * 7 * second, "12345"))
        .collect();
    rig.upload(&rows, 0).await;
    let source = source(&rig, Unreadable::Fail);
    let only = Selection::all(&[matcher("app", MatchOp::Equal, "y")], times(0, 1000 * second));
    let (mut lines, mut bytes, mut counted) = (0, 0, 0);
    for piece in source.pieces(&only).unwrap() {
        let Some(cells) = source.cells(&piece).unwrap() else { continue };
        counted += source.load(&piece, &Want::default()).unwrap().runs[0].rows.len() as u64;
        for cell in &*cells.cells {
            assert_eq!(cells.runs[cell.run as usize].labels.get("app"), Some("y"));
            lines += cell.lines;
            bytes += cell.bytes;
        }
    }
    assert_eq!((lines, bytes), (counted, counted * 5));
}
