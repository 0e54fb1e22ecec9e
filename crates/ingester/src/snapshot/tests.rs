//! A snapshot shows what a sorted set of the same entries would.

use std::collections::{BTreeMap, BTreeSet};
use std::time::Duration;

use api::append::{AppendBatch, BatchBuilder};
use logql::source::{WantLines, WantMetadata};
use model::matcher::all_match;
use model::{Labels, Level, MatchOp, TenantId};
use proptest::prelude::*;

use super::*;
use crate::metrics::{FlushReason, Metrics};
use crate::tenant::Tenant;
use crate::wal::Position;

/// Stream, time, line, level, metadata.
type Entry = (u8, i64, String, u8, BTreeMap<String, String>);

fn labels(stream: u8) -> Labels {
    Labels::new([
        ("app".to_owned(), format!("app-{}", stream % 3)),
        ("n".to_owned(), stream.to_string()),
    ])
}

fn batch(entries: &[Entry]) -> AppendBatch {
    let mut builder = BatchBuilder::new(&TenantId::anonymous());
    for (stream, at, line, level, metadata) in entries {
        let labels = labels(*stream);
        let pairs: Vec<_> = metadata.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
        builder.begin_stream(&labels);
        let level = Level::from_code(*level);
        builder.push_row(Timestamp(*at), line.as_bytes(), level, &pairs).unwrap();
    }
    builder.finish()
}

/// A tenant that gets groups of entries and seals its head where told.
fn tenant(groups: &[(Vec<Entry>, bool)]) -> Tenant {
    let tenant = Tenant::new(TenantId::anonymous(), 1);
    let metrics = Metrics::default();
    for (index, (entries, seals)) in (1..).zip(groups) {
        tenant.replay(&batch(entries), Position(index), Duration::ZERO, &metrics);
        if *seals {
            tenant.seal(index + 1, FlushReason::full, Duration::ZERO);
        }
    }
    tenant
}

/// Everything that a snapshot shows of a selection.
fn read(snapshot: &HeadSnapshot, selection: &Selection) -> Vec<(Piece, Batch)> {
    let want = Want { lines: WantLines::Text, metadata: WantMetadata::All };
    let mut pieces = snapshot.pieces(selection).unwrap();
    pieces.sort_by_key(|piece| piece.rank);
    pieces.into_iter().map(|p| (p.clone(), snapshot.load(&p, &want).unwrap())).collect()
}

/// The rows of a loaded piece, stream by stream.
fn rows(batch: &Batch) -> Vec<(Labels, Option<TimeRange>, Entry)> {
    let mut rows = Vec::new();
    for run in &batch.runs {
        for row in run.rows.clone() {
            let mut metadata: BTreeMap<String, String> = BTreeMap::new();
            for column in &batch.metadata {
                metadata.extend(column.get(row).map(|v| (column.name().to_owned(), v.to_owned())));
            }
            let level = metadata.remove("detected_level");
            let level = level.and_then(|level| Level::from_name(&level)).map_or(0, Level::code);
            let stream = run.labels.get("n").unwrap().parse().unwrap();
            let line = String::from_utf8(batch.lines.row(row).to_vec()).unwrap();
            let entry = (stream, batch.timestamps[row], line, level, metadata);
            rows.push((run.labels.clone(), run.copies, entry));
        }
    }
    rows
}

fn entry() -> impl Strategy<Value = Entry> {
    let metadata = prop::collection::btree_map("[a-c]", "[x-z]", 0..3);
    (0u8..5, -5i64..20, "[p-r]{0,2}", 0u8..9, metadata)
}

fn groups() -> impl Strategy<Value = Vec<(Vec<Entry>, bool)>> {
    prop::collection::vec((prop::collection::vec(entry(), 1..30), prop::bool::weighted(0.3)), 1..8)
}

proptest! {
    #[test]
    fn a_snapshot_equals_a_set(
        groups in groups(),
        start in -6i64..20,
        length in 0i64..30,
        app in prop::option::of(0u8..4),
    ) {
        let range = TimeRange::new(Timestamp(start), Timestamp(start + length));
        let matchers: Vec<Matcher> = app
            .map(|app| Matcher::new("app", MatchOp::Equal, format!("app-{app}")).unwrap())
            .into_iter()
            .collect();
        let tenant = tenant(&groups);
        let snapshot = HeadSnapshot::new(tenant.show(&matchers, range));
        let is_selected = |entry: &&Entry| {
            range.contains(Timestamp(entry.1)) && all_match(&matchers, &labels(entry.0))
        };
        let all = groups.iter().flat_map(|(entries, _)| entries);
        let expected: BTreeSet<Entry> = all.filter(is_selected).cloned().collect();

        let mut found: BTreeMap<Entry, (u64, bool)> = BTreeMap::new();
        for (piece, batch) in read(&snapshot, &Selection::all(&matchers, range)) {
            let rows = rows(&batch);
            prop_assert_eq!(piece.rows, rows.len() as u64);
            let times = || rows.iter().map(|(_, _, entry)| Timestamp(entry.1));
            prop_assert_eq!(Some(piece.first), times().min());
            prop_assert_eq!(Some(piece.last), times().max());
            let bytes: usize = rows.iter().map(|(_, _, entry)| entry.2.len()).sum();
            prop_assert_eq!(piece.bytes, bytes as u64);
            for (labels, copies, entry) in rows {
                prop_assert_eq!(&labels, &super::tests::labels(entry.0));
                let is_copied = copies.is_some_and(|range| range.contains(Timestamp(entry.1)));
                if let Some((origin, was_copied)) = found.insert(entry, (piece.origin, is_copied)) {
                    // A row comes twice only from two heads, and only where that is said.
                    prop_assert!(origin != piece.origin && is_copied && was_copied);
                }
            }
        }
        prop_assert_eq!(found.into_keys().collect::<BTreeSet<_>>(), expected.clone());

        let streams = snapshot.streams(&matchers, range).unwrap();
        let named: BTreeSet<u8> =
            streams.iter().map(|s| s.labels.get("n").unwrap().parse().unwrap()).collect();
        prop_assert_eq!(named, expected.iter().map(|entry| entry.0).collect::<BTreeSet<_>>());
    }

    #[test]
    fn rows_of_a_stream_ascend_and_equal_times_keep_their_order(groups in groups()) {
        let everything = TimeRange::new(Timestamp::MIN, Timestamp::MAX);
        let tenant = tenant(&groups);
        let snapshot = HeadSnapshot::new(tenant.show(&[], everything));
        let mut seen: BTreeMap<(u8, u64), Vec<(i64, String)>> = BTreeMap::new();
        for (piece, batch) in read(&snapshot, &Selection::all(&[], everything)) {
            for (_, _, entry) in rows(&batch) {
                seen.entry((entry.0, piece.origin)).or_default().push((entry.1, entry.2));
            }
        }
        for found in seen.values() {
            prop_assert!(found.is_sorted_by_key(|(at, _)| *at));
        }
        // The first head holds all entries up to the first seal: compare with a stable sort.
        let sealed = groups.iter().position(|(_, seals)| *seals).map_or(groups.len(), |at| at + 1);
        for stream in 0..5 {
            let entries = groups[..sealed].iter().flat_map(|(entries, _)| entries);
            let mut expected: Vec<Entry> = Vec::new();
            for entry in entries.filter(|entry| entry.0 == stream) {
                if !expected.contains(entry) {
                    expected.push(entry.clone());
                }
            }
            expected.sort_by_key(|entry| entry.1);
            let expected: Vec<(i64, String)> =
                expected.into_iter().map(|entry| (entry.1, entry.2)).collect();
            prop_assert_eq!(seen.remove(&(stream, 1)).unwrap_or_default(), expected);
        }
    }
}

#[test]
fn large_heads_are_cut_by_time() {
    let line = "x".repeat(200);
    let entries: Vec<Entry> =
        (0..40_000).map(|at| ((at % 4) as u8, at, line.clone(), 0, BTreeMap::new())).collect();
    let groups: Vec<(Vec<Entry>, bool)> =
        entries.chunks(1000).map(|chunk| (chunk.to_vec(), false)).collect();
    let tenant = tenant(&groups);
    let everything = TimeRange::new(Timestamp::MIN, Timestamp::MAX);
    let snapshot = HeadSnapshot::new(tenant.show(&[], everything));
    let mut pieces = snapshot.pieces(&Selection::all(&[], everything)).unwrap();
    pieces.sort_by_key(|piece| piece.rank);
    assert!((8..20).contains(&pieces.len()), "{}", pieces.len());
    assert_eq!(pieces.iter().map(|piece| piece.rows).sum::<u64>(), 40_000);
    assert!(pieces.iter().all(|piece| piece.bytes <= 1 << 20));
    // The newest rows of all streams stand in the last piece or two.
    let late = pieces.iter().filter(|piece| piece.last >= Timestamp(39_900)).count();
    assert!(late <= 2, "{late}");
    let want = Want { lines: WantLines::Lengths, metadata: WantMetadata::None };
    let batch = snapshot.load(&pieces[0], &want).unwrap();
    assert!(batch.lengths.iter().all(|length| *length == 200) && batch.lines.is_empty());
    assert!(snapshot.load(&Piece { id: 1 << 40, ..pieces[0].clone() }, &want).is_err());
}

#[test]
fn a_snapshot_stands_still_while_rows_come() {
    let tenant = tenant(&[(vec![(0, 1, "a".to_owned(), 0, BTreeMap::new())], false)]);
    let everything = TimeRange::new(Timestamp::MIN, Timestamp::MAX);
    let before = HeadSnapshot::new(tenant.show(&[], everything));
    let more = batch(&[(0, 0, "b".to_owned(), 0, BTreeMap::new())]);
    tenant.replay(&more, Position(9), Duration::ZERO, &Metrics::default());
    let after = HeadSnapshot::new(tenant.show(&[], everything));
    let count = |snapshot| read(snapshot, &Selection::all(&[], everything))[0].0.rows;
    assert_eq!((count(&before), count(&after)), (1, 2));
    assert_eq!(before.origins(), after.origins());
}
