use api::append::{AppendBatch, BatchBuilder};
use model::Labels;

use super::*;
use crate::streams::Streams;

const MINUTE: i64 = 60_000_000_000;

/// One stream with these entries.
fn batch(entries: &[(i64, &str)]) -> AppendBatch {
    let mut builder = BatchBuilder::new(&TenantId::new("rej").unwrap());
    let labels = Labels::new([("job", "rej")]);
    builder.begin_stream(&labels);
    for (at, line) in entries {
        builder.push_row(Timestamp(*at), line.as_bytes(), None, &[]).unwrap();
    }
    builder.finish()
}

/// A stream that is empty, and judges one batch after the other.
struct Door {
    streams: Streams,
    limits: Limits,
    now: Duration,
}

impl Door {
    fn new(limits: Limits) -> Self {
        let mut streams = Streams::default();
        let labels = Labels::new([("job", "rej")]);
        streams.add(labels, Duration::ZERO);
        Self { streams, limits, now: Duration::ZERO }
    }

    /// The verdicts on a batch, which is then stored as far as it was accepted, and the refusals.
    fn push(&mut self, entries: &[(i64, &str)]) -> (Vec<Verdict>, Vec<Rejected>) {
        let batch = batch(entries);
        let draft = Draft::read(&batch);
        let rules = Rules {
            limits: &self.limits,
            window: Duration::from_secs(3600),
            named_max: 2,
            now: self.now,
        };
        let part = &draft.parts[0];
        let rows = PartRows { rows: &draft.rows, slab: batch.as_bytes() };
        let stream = self.streams.get_mut(0).unwrap();
        let verdicts = judge(stream, part, rows, &rules)
            .unwrap_or_else(|| vec![Verdict::Accepted; rows.rows.len()]);
        let rejected = refusals(batch.tenant(), stream, rows, &verdicts, &rules);
        let accepted: Vec<Row> = (rows.rows.iter().zip(&verdicts))
            .filter(|(_, v)| **v == Verdict::Accepted)
            .map(|(row, _)| *row)
            .collect();
        if let Some(newest) = accepted.iter().map(|row| row.timestamp).max() {
            stream.admit(newest, self.now);
            stream.store(newest, last_entry(&accepted, rows.slab).unwrap());
        }
        (verdicts, rejected)
    }
}

use Verdict::{Accepted, Duplicate, OutOfOrder, OverRate, TooFarBehind};

#[test]
fn late_entries_are_accepted_within_the_window() {
    let mut door = Door::new(Limits::default());
    let hour = 60 * MINUTE;
    assert_eq!(door.push(&[(2 * hour, "new")]).0, [Accepted]);
    assert_eq!(door.push(&[(hour, "old")]).0, [Accepted]);
    let (verdicts, rejected) = door.push(&[(hour - 1, "older"), (2 * hour, "again")]);
    assert_eq!(verdicts, [TooFarBehind { oldest: hour }, Accepted]);
    assert_eq!((rejected[0].reason, rejected[0].kind), ("too_far_behind", ErrorKind::Invalid));
    assert_eq!((rejected[0].entries, rejected[0].bytes), (1, 5));
    // Entries of one batch move the window, too.
    let (verdicts, _) = door.push(&[(5 * hour, "a"), (4 * hour, "b"), (3 * hour, "c")]);
    assert_eq!(verdicts, [Accepted, Accepted, TooFarBehind { oldest: 4 * hour }]);
}

#[test]
fn the_text_of_a_refusal_is_the_known_one() {
    let mut door = Door::new(Limits::default());
    let newest = 1_794_978_060_000_000_000; // 2026-11-18T05:01:00Z
    door.push(&[(newest, "new")]);
    let (_, rejected) = door.push(&[(1_794_823_200_000_000_000, "late")]);
    assert_eq!(
        rejected[0].message,
        "entry with timestamp 2026-11-16 10:00:00 +0000 UTC ignored, reason: 'entry too far behind, \
         entry timestamp is: 2026-11-16T10:00:00Z, oldest acceptable timestamp is: \
         2026-11-18T04:01:00Z',\nuser 'rej', total ignored: 1 out of 1 for stream: {job=\"rej\"}"
    );
    let (_, rejected) =
        door.push(&[(1_000_000_000, "a"), (1_500_000_000, "b"), (3, "c"), (newest, "d")]);
    let lines: Vec<&str> = rejected[0].message.lines().collect();
    assert!(lines[1].starts_with("entry with timestamp 1970-01-01 00:00:01.5 +0000 UTC ignored"));
    assert_eq!(lines[2], "user 'rej', total ignored: 3 out of 4 for stream: {job=\"rej\"}");
}

#[test]
fn in_order_streams_refuse_what_is_older_and_keep_equal_times() {
    let mut door = Door::new(Limits { unordered_writes: false, ..Limits::default() });
    assert_eq!(door.push(&[(5, "a"), (6, "b")]).0, [Accepted, Accepted]);
    assert_eq!(door.push(&[(6, "b")]).0, [Duplicate]);
    assert_eq!(door.push(&[(6, "c")]).0, [Accepted]);
    let (verdicts, rejected) = door.push(&[(5, "a"), (7, "d"), (7, "d"), (6, "e"), (8, "f")]);
    assert_eq!(verdicts, [OutOfOrder, Accepted, Duplicate, OutOfOrder, Accepted]);
    assert_eq!((rejected[0].reason, rejected[0].entries), ("out_of_order", 2));
    assert!(rejected[0].message.contains("reason: 'entry out of order',"));
}

#[test]
fn only_the_last_entry_counts_as_repeated() {
    let mut door = Door::new(Limits::default());
    assert_eq!(
        door.push(&[(1, "a"), (1, "a"), (1, "b"), (1, "a")]).0,
        [Accepted, Duplicate, Accepted, Accepted]
    );
    assert_eq!(door.push(&[(1, "a"), (1, "a"), (2, "a")]).0, [Duplicate, Duplicate, Accepted]);
    assert_eq!(door.push(&[(2, "b"), (2, "a")]).0, [Accepted, Accepted]);
}

#[test]
fn a_stream_over_its_rate_loses_the_push_or_the_rest() {
    let limits = Limits { per_stream_rate: 10, per_stream_burst: 10, ..Limits::default() };
    let mut door = Door::new(limits.clone());
    let (verdicts, rejected) = door.push(&[(1, "12345"), (2, "123456")]);
    assert_eq!(verdicts, [OverRate { bytes: 11 }; 2]);
    assert_eq!(rejected[0].reason, "per_stream_rate_limit");
    assert_eq!(rejected[0].kind, ErrorKind::LimitExceeded);
    assert!(rejected[0].message.contains(
        "reason: 'Per stream rate limit exceeded (limit: 10B/sec) while attempting to ingest for \
         stream '{job=\"rej\"}' totaling 11B, consider splitting a stream via additional labels or \
         contact your Loki administrator to see if the limit can be increased'"
    ));
    // What was refused has cost nothing and did not move the window.
    assert_eq!(door.push(&[(1, "1234567890")]).0, [Accepted]);
    assert_eq!(door.push(&[(2, "1")]).0, [OverRate { bytes: 1 }]);
    door.now = Duration::from_secs(1);
    assert_eq!(door.push(&[(2, "1234567890")]).0, [Accepted]);

    let mut door = Door::new(Limits { per_stream_scope: RateScope::EachEntry, ..limits });
    let (verdicts, rejected) = door.push(&[(1, "12345"), (2, "123456"), (3, "12345")]);
    assert_eq!(verdicts, [Accepted, OverRate { bytes: 6 }, Accepted]);
    assert_eq!((rejected[0].entries, rejected[0].bytes), (1, 6));
    let unlimited = Limits { per_stream_rate: 0, ..Limits::default() };
    assert_eq!(Door::new(unlimited).push(&[(1, &"x".repeat(1 << 20))]).0, [Accepted]);
}

#[test]
fn lines_that_no_segment_takes_are_refused() {
    let mut door = Door::new(Limits { per_stream_rate: 0, ..Limits::default() });
    let longest = "x".repeat(LINE_BYTES_MAX as usize);
    assert_eq!(door.push(&[(1, &longest)]).0, [Accepted]);
    let longer = longest + "x";
    let (verdicts, rejected) = door.push(&[(2, "a"), (3, &longer)]);
    assert_eq!(verdicts, [Accepted, Verdict::TooLong]);
    assert_eq!(rejected[0].reason, "line_too_long");
}

#[test]
fn only_accepted_rows_are_written() {
    let metadata = [("k", "v"), ("l", "w")];
    let mut builder = BatchBuilder::new(&TenantId::anonymous());
    for name in ["a", "b", "c"] {
        let labels = Labels::new([("n", name)]);
        builder.begin_stream(&labels);
        for at in 0..3 {
            let level = model::Level::from_code(at as u8);
            builder.push_row(Timestamp(at), name.as_bytes(), level, &metadata).unwrap();
        }
    }
    let batch = builder.finish();
    let draft = Draft::read(&batch);
    let refused = vec![TooFarBehind { oldest: 0 }; 3];
    let some = vec![Accepted, Duplicate, Accepted];
    let accepted = accepted_batch(&batch, &draft, &[None, Some(refused), Some(some)]);
    let rows: Vec<(String, i64, u8)> = accepted
        .streams()
        .flat_map(|part| {
            part.rows().map(move |row| (part.canonical.to_owned(), row.timestamp.0, row.level))
        })
        .collect();
    let text = |name: &str| format!("{{n=\"{name}\"}}");
    let expected = [(text("a"), 0, 0), (text("a"), 1, 1), (text("a"), 2, 2)];
    let expected = [&expected[..], &[(text("c"), 0, 0), (text("c"), 2, 2)]].concat();
    assert_eq!(rows, expected);
    let bytes = accepted.as_bytes();
    let row = accepted.streams().last().unwrap().rows().last().unwrap();
    let pairs: Vec<_> = api::append::metadata_at(bytes, row.metadata_start).collect();
    assert_eq!(pairs, metadata);
}
