use std::fmt::Debug;

use ::bytes::Bytes;
use api::append::{AppendOutcome, Rejected};
use logql::source::{
    Batch, Cell, Cells, Piece, Required, RequiredLabel, Selection, StreamRun, StreamSummary, Want,
    WantLines, WantMetadata,
};
use model::columns::{Lines, TextColumn};
use model::{
    Direction, ErrorKind, Fingerprint, Labels, MatchOp, Matcher, TenantId, TimeRange, Timestamp,
};
use proptest::prelude::*;

use super::*;

fn labels() -> impl Strategy<Value = Labels> {
    proptest::collection::btree_map("[a-c]{1,2}", "[x-z\u{e9}]{0,3}", 0..4).prop_map(Labels::new)
}

fn range() -> impl Strategy<Value = TimeRange> {
    (any::<i64>(), any::<i64>())
        .prop_map(|(start, end)| TimeRange { start: Timestamp(start), end: Timestamp(end) })
}

fn runs(rows: usize) -> impl Strategy<Value = Vec<StreamRun>> {
    let run = (labels(), 0..=rows, 0..=rows, proptest::option::of(range()));
    let run = run.prop_map(|(labels, from, to, copies)| StreamRun {
        fingerprint: labels.fingerprint(),
        labels,
        rows: from.min(to)..from.max(to),
        copies,
    });
    proptest::collection::vec(run, 0..4)
}

fn batch() -> impl Strategy<Value = Batch> {
    let row = (any::<i64>(), proptest::collection::vec(any::<u8>(), 0..12), 0u32..3);
    let rows = proptest::collection::vec(row, 0..20);
    rows.prop_flat_map(|rows| {
        let runs = runs(rows.len());
        (Just(rows), runs, any::<bool>(), any::<u64>())
    })
    .prop_map(|(rows, runs, with_lengths, compressed_bytes)| {
        let mut batch = Batch { runs, compressed_bytes, ..Batch::default() };
        let mut codes = Vec::new();
        for (at, line, code) in &rows {
            batch.timestamps.push(*at);
            batch.lines.push(line);
            codes.push(*code);
            if with_lengths {
                batch.lengths.push(line.len() as u32);
            }
        }
        let values = ["one", ""].into_iter().collect();
        batch.metadata = vec![TextColumn::from_parts("trace", codes, values).unwrap()];
        batch
    })
}

/// What comes back equals what went out, and neither shorter nor longer bytes are taken for it.
fn check<T: Debug>(value: &T, bytes: &Bytes, decode: impl Fn(&[u8]) -> Decoded<T>) {
    assert_eq!(format!("{:?}", decode(bytes).unwrap()), format!("{value:?}"));
    for end in 0..bytes.len() {
        assert!(decode(&bytes[..end]).is_err(), "{end} of {} bytes", bytes.len());
    }
    let longer: Vec<u8> = bytes.iter().copied().chain([0]).collect();
    assert!(decode(&longer).is_err());
}

proptest! {
    #[test]
    fn batches_travel(batch in batch()) {
        check(&batch, &encode_batch(&batch), decode_batch);
    }

    #[test]
    fn lists_travel(
        numbers in proptest::collection::vec(any::<(u64, i64, i64, bool)>(), 0..5),
        streams in proptest::collection::vec((labels(), any::<u64>()), 0..5),
    ) {
        let piece = |(n, first, last, is_head): &(u64, i64, i64, bool)| Piece {
            id: *n, origin: n / 2, rank: n / 3, rows: n / 4, bytes: n / 5,
            first: Timestamp(*first), last: Timestamp(*last), is_head: *is_head,
        };
        let pieces: Vec<Piece> = numbers.iter().map(piece).collect();
        check(&pieces, &encode_pieces(&pieces)[0], decode_pieces);
        let stream = |(labels, rows): (Labels, u64)| StreamSummary { labels, rows, bytes: rows / 2 };
        let streams: Vec<StreamSummary> = streams.into_iter().map(stream).collect();
        check(&streams, &encode_streams(&streams)[0], decode_streams);
        let flushed: FlushedAs =
            numbers.iter().map(|(n, ..)| (*n, vec![n.to_string(), String::new()])).collect();
        check(&flushed, &encode_flushed_as(&flushed), decode_flushed_as);
        let stored: Vec<(String, u64)> = numbers.iter().map(|(n, ..)| (n.to_string(), *n)).collect();
        check(&stored, &encode_stored(&stored), decode_stored);
    }

    /// Whatever the bytes: no panic, and nothing is accepted that points nowhere.
    #[test]
    fn any_bytes_are_refused_or_sound(
        mut bytes in proptest::collection::vec(any::<u8>(), 0..200),
    ) {
        if let Some(first) = bytes.first_mut() {
            *first = VERSION;
        }
        if let Ok(batch) = decode_batch(&bytes) {
            for run in &batch.runs {
                prop_assert!(batch.timestamps.get(run.rows.clone()).is_some());
            }
        }
        let _ = (decode_cells(&bytes), decode_pieces(&bytes), decode_streams(&bytes));
        let _ = (decode_selection(&bytes), decode_scope(&bytes), decode_want(&bytes));
        let _ = (decode_outcome(&bytes), decode_flushed_as(&bytes), decode_stored(&bytes));
    }
}

#[test]
fn questions_travel() {
    let matchers = vec![
        Matcher::new("app", MatchOp::Equal, "x").unwrap(),
        Matcher::new("pod", MatchOp::NotRegex, "a.*|b").unwrap(),
    ];
    let range = TimeRange::new(Timestamp(-5), Timestamp(i64::MAX));
    let tenant = TenantId::new("a").unwrap();
    let scope = Scope { tenant, matchers: matchers.clone(), range };
    check(&scope, &encode_scope(&scope), decode_scope);
    check(&(matchers.clone(), range), &encode_spot(&matchers, range), decode_spot);
    let selection = Selection {
        direction: Direction::Backward,
        required: vec![Required { any_of: vec![b"err"[..].into()], ignores_case: true }],
        required_labels: vec![RequiredLabel {
            name: "trace".into(),
            values: vec!["1".into(), "2".into()],
            or_texts: vec![b"t"[..].into()],
        }],
        ..Selection::all(&matchers, range)
    };
    check(&selection, &encode_selection(&selection), decode_selection);
    for lines in [WantLines::None, WantLines::Lengths, WantLines::Text] {
        let names = WantMetadata::Names(vec!["trace".to_owned()]);
        for metadata in [WantMetadata::None, WantMetadata::All, names] {
            let want = Want { lines, metadata };
            check(&want, &encode_want(&want), decode_want);
        }
    }
}

#[test]
fn counts_and_outcomes_travel() {
    let labels = Labels::new([("app", "x")]);
    let run =
        StreamRun { fingerprint: Fingerprint(7), labels, rows: 0..3, copies: Some(TimeRange::ALL) };
    let (start, end) = (Timestamp(5), Timestamp(9));
    let cell = Cell { run: 0, level: 3, start, end, lines: 3, bytes: 40 };
    let cells = Some(Cells { runs: vec![run], cells: vec![cell] });
    check(&cells, &encode_cells(cells.as_ref()), decode_cells);
    check(&None, &encode_cells(None), decode_cells);
    let message = "entry too far behind".to_owned();
    let rejected = Rejected {
        reason: "too_far_behind",
        kind: ErrorKind::Invalid,
        message,
        entries: 2,
        bytes: 9,
    };
    let outcome = AppendOutcome { rejected: vec![rejected], duplicates: 4 };
    check(&outcome, &encode_outcome(&outcome), decode_outcome);
}

#[test]
fn cells_of_no_run_are_refused() {
    let (start, end) = (Timestamp(5), Timestamp(9));
    let cell = Cell { run: 0, level: 3, start, end, lines: 3, bytes: 40 };
    let cells = Cells { runs: Vec::new(), cells: vec![cell] };
    assert!(decode_cells(&encode_cells(Some(&cells))).is_err());
}

#[test]
fn columns_that_are_wanted_must_be_there() {
    let labels = Labels::new([("app", "x")]);
    let fingerprint = labels.fingerprint();
    let run = StreamRun { labels, fingerprint, rows: 0..1, copies: None };
    let without =
        Batch { runs: vec![run], timestamps: vec![1], lines: Lines::default(), ..Batch::default() };
    assert!(check_batch(&without, &Want::default()).is_err());
    let none = Want { lines: WantLines::None, metadata: WantMetadata::None };
    assert!(check_batch(&without, &none).is_ok());
}

#[test]
fn a_count_without_its_elements_reserves_nothing() {
    // A version, then a count of 2^60.
    let huge = [&[VERSION][..], &[0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x80, 0x10]].concat();
    assert_eq!(decode_pieces(&huge).unwrap_err().what, "as many elements as announced");
}

#[test]
fn long_lists_go_in_parts() {
    let labels = Labels::new([("app", "x".repeat(1000))]);
    let stream = StreamSummary { labels, rows: 1, bytes: 1 };
    let streams = vec![stream; 3000];
    let parts = encode_streams(&streams);
    assert!(parts.len() > 2 && parts.iter().all(|part| part.len() < PART_BYTES + 2000));
    let back: Vec<StreamSummary> =
        parts.iter().flat_map(|part| decode_streams(part).unwrap()).collect();
    assert_eq!(back, streams);
}
