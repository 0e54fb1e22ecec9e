use std::collections::BTreeSet;

use model::Level;
use proptest::prelude::*;
use runtime::clock::SystemClock;
use store::{DeleteRequest, DeleteState, Retention};

use super::*;
use crate::left_out;
use crate::testing::{DAY, TestRow, flush, row, rows_of, small_blocks, tenant};

async fn memory() -> Arc<Store> {
    let dependencies =
        store::Dependencies { clock: Arc::new(SystemClock), metrics: store::Metrics::default() };
    Store::open(store::Config::memory(), dependencies).await.unwrap()
}

fn merge_all(store: &Store, left_out: &LeftOut, settings: &EncodeSettings) -> Merged {
    let inputs = store.catalog().all(&tenant());
    merge(store, &inputs, settings, left_out, &Stop::new()).unwrap()
}

fn at(offset: i64) -> Timestamp {
    Timestamp(i64::from(DAY) * model::time::DAY_NS + offset)
}

#[tokio::test]
async fn rows_stand_by_stream_time_and_arrival_and_once() {
    let store = memory().await;
    let late = [row("a", 3, "late"), row("a", 9, "x"), row("b", 1, "only")];
    let early = [row("a", 3, "early"), row("a", 3, "both"), row("a", 5, "x"), row("c", 1, "last")];
    let copies = [row("a", 3, "both"), row("a", 5, "x")];
    // The order of uploads is not that of arrival.
    flush(&store, 2, &late).await;
    flush(&store, 1, &early).await;
    flush(&store, 3, &copies).await;
    let parents: Vec<u128> = {
        let mut hashes: Vec<u128> =
            store.catalog().all(&tenant()).iter().map(|s| s.name.hash()).collect();
        hashes.sort_unstable();
        hashes
    };
    let merged = merge_all(&store, &LeftOut::default(), &small_blocks());
    assert_eq!(merged.left_out, LeftOutRows { copies: 2, ..LeftOutRows::default() });
    let segment = merged.segment.unwrap();
    assert_eq!(segment.name().level(), 1);
    segment.upload(&store).await.unwrap();
    let merged = store.catalog().all(&tenant());
    assert_eq!(store.footer_blocking(&merged[0]).unwrap().parents(), parents);
    let expected = [
        row("a", 3, "early"),
        row("a", 3, "both"),
        row("a", 3, "late"),
        row("a", 5, "x"),
        row("a", 9, "x"),
        row("b", 1, "only"),
        row("c", 1, "last"),
    ];
    assert_eq!(rows_of(&store), expected);
}

#[tokio::test]
async fn equal_inputs_make_an_equal_segment() {
    let names: Vec<SegmentName> = {
        let mut names = Vec::new();
        for order in [[1, 2, 3], [3, 1, 2]] {
            let store = memory().await;
            for position in order {
                flush(&store, position, &[row("a", position as i64, "x"), row("b", 1, "y")]).await;
            }
            let merged = merge_all(&store, &LeftOut::default(), &small_blocks());
            names.push(merged.segment.unwrap().name().clone());
        }
        names
    };
    assert_eq!(names[0], names[1]);
}

#[tokio::test]
async fn what_is_built_in_files_is_what_is_built_in_memory() {
    let directory = tempfile::tempdir().unwrap();
    let dependencies =
        store::Dependencies { clock: Arc::new(SystemClock), metrics: store::Metrics::default() };
    let config = store::Config::filesystem(directory.path());
    let files = Store::open(config, dependencies).await.unwrap();
    let mut names = Vec::new();
    for store in [memory().await, files] {
        for position in 1..4 {
            let rows: Vec<TestRow> =
                (0..200).map(|at| row("a", at * position, &format!("line {at}"))).collect();
            flush(&store, position as u64, &rows).await;
        }
        let segment = merge_all(&store, &LeftOut::default(), &small_blocks()).segment.unwrap();
        names.push((segment.name().clone(), segment.bytes()));
        segment.upload(&store).await.unwrap();
        assert_eq!(store.catalog().all(&tenant()).len(), 1, "the inputs are superseded");
        assert_eq!(rows_of(&store).len(), 598);
    }
    assert_eq!(names[0], names[1]);
    let staged = std::fs::read_dir(directory.path().join(".staging")).unwrap();
    assert_eq!(staged.count(), 0, "nothing is left behind");
}

#[tokio::test]
async fn other_sort_labels_change_the_order_of_streams() {
    let store = memory().await;
    flush(&store, 1, &[row("a", 1, "x"), row("b", 1, "y")]).await;
    flush(&store, 2, &[row("a", 2, "x"), row("b", 2, "y")]).await;
    let settings = EncodeSettings { sort_labels: vec!["other".to_owned()], ..small_blocks() };
    let merged = merge_all(&store, &LeftOut::default(), &settings);
    merged.segment.unwrap().upload(&store).await.unwrap();
    let merged = store.catalog().all(&tenant());
    let footer = store.footer_blocking(&merged[0]).unwrap();
    assert_eq!(footer.rows(), 4);
    assert_eq!(footer.settings().sort_labels, ["other"]);
}

#[tokio::test]
async fn a_stop_ends_a_merge() {
    let store = memory().await;
    flush(&store, 1, &[row("a", 1, "x")]).await;
    let stop = Stop::new();
    stop.request();
    let inputs = store.catalog().all(&tenant());
    let ended = merge(&store, &inputs, &small_blocks(), &LeftOut::default(), &stop);
    assert!(matches!(ended, Err(Error::Stopping)));
}

fn request(query: &str, first: i64, last: i64) -> Arc<DeleteRequest> {
    Arc::new(DeleteRequest {
        id: "00000001".to_owned(),
        tenant: tenant(),
        query: query.to_owned(),
        start: at(first),
        end: at(last),
        created: at(0),
        state: DeleteState::Begun,
    })
}

fn any_row() -> impl Strategy<Value = TestRow> {
    let level = proptest::option::of(proptest::sample::select(vec![Level::Info, Level::Error]));
    let trace = proptest::option::of("[pq]");
    (0..4usize, 0..40i64, "[a-c]{0,3}", level, trace).prop_map(|(app, at, line, level, trace)| {
        TestRow { level, trace, ..row(["a", "b", "b2", "c"][app], at, &line) }
    })
}

fn any_flushes() -> impl Strategy<Value = Vec<Vec<TestRow>>> {
    proptest::collection::vec(proptest::collection::vec(any_row(), 1..60), 1..6)
}

/// What a merge of these rows must leave.
fn expected(flushes: &[Vec<TestRow>], leaves_out: bool) -> BTreeSet<TestRow> {
    let is_left = |row: &&TestRow| {
        let expired = row.app == "b" && row.at < 10;
        let deleted = (row.app.starts_with('b') && row.line.contains('a') && row.at <= 30)
            || (row.app == "c" && (5..=20).contains(&row.at));
        !(leaves_out && (expired || deleted))
    };
    flushes.iter().flatten().filter(is_left).cloned().collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(192))]
    #[test]
    fn a_merge_is_the_union_of_sets(flushes in any_flushes(), leaves_out in any::<bool>()) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let store = memory().await;
            for (position, rows) in (1..).zip(&flushes) {
                flush(&store, position, rows).await;
            }
            let mut left_out = LeftOut::default();
            if leaves_out {
                let matchers = logql::parse_selector("{app=\"b\"}").unwrap();
                let period = std::time::Duration::from_nanos(90);
                let rule = store::RetentionRule { matchers, priority: 1, period };
                let retention = Retention::new(std::time::Duration::ZERO, vec![rule]);
                left_out.expiry = Some((Arc::new(retention), at(100)));
                left_out.removals = left_out::compile(&tenant(), [
                    request("{app=~\"b.*\"} |= \"a\"", 0, 30),
                    request("{app=\"c\"}", 5, 20),
                ]);
            }
            let merged = merge_all(&store, &left_out, &small_blocks());
            let expected = expected(&flushes, leaves_out);
            let Some(segment) = merged.segment else {
                assert!(expected.is_empty());
                return;
            };
            segment.upload(&store).await.unwrap();
            assert_eq!(store.catalog().all(&tenant()).len(), 1);
            let found = rows_of(&store);
            assert_eq!(found.len(), expected.len(), "each row stands once");
            assert!(found.is_sorted_by_key(|row| (row.app.clone(), row.at)));
            assert_eq!(found.into_iter().collect::<BTreeSet<_>>(), expected);
        });
    }
}

#[test]
fn copies_can_only_be_where_inputs_overlap() {
    let overlap = |spans: &[(i64, i64)]| {
        let spans = spans.iter().map(|(first, last)| (Timestamp(*first), Timestamp(*last)));
        Copies::new(spans.collect()).overlap
    };
    assert_eq!(overlap(&[(0, 5)]), None);
    assert_eq!(overlap(&[(6, 9), (0, 5)]), None);
    assert_eq!(overlap(&[(0, 5), (5, 9)]), Some((5, 5)));
    assert_eq!(overlap(&[(0, 9), (2, 3), (7, 8)]), Some((2, 8)));
    assert_eq!(overlap(&[(0, 4), (3, 9), (20, 30), (25, 26)]), Some((3, 26)));
}
