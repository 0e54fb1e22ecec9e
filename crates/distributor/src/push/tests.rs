use std::sync::Arc;

use api::append::{AppendOutcome, Rejected, metadata_at};
use api::push::{PushLabels, PushStream};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use model::{ErrorKind, Level};
use parking_lot::Mutex;
use prometheus_client::registry::Registry;
use runtime::clock::ManualClock;
use runtime::limits::SameLimits;

use super::*;
use crate::appender::{AppendError, Appender};
use crate::distributor::{Config, Dependencies, Distributors};

const NOW: Timestamp = Timestamp(1_755_900_000_000_000_000);

/// Keeps what it is given, as text, and answers what it is told to.
#[derive(Default)]
struct Recorder {
    rows: Mutex<Vec<String>>,
    batches: Mutex<u32>,
    answer: Mutex<Option<Result<AppendOutcome, AppendError>>>,
}

impl Appender for Recorder {
    fn append(&self, batch: AppendBatch) -> BoxFuture<'_, Result<AppendOutcome, AppendError>> {
        let batch = AppendBatch::decode(batch.as_bytes().clone()).unwrap();
        let bytes = batch.as_bytes();
        *self.batches.lock() += 1;
        for part in batch.streams() {
            for row in part.rows() {
                let level = Level::from_code(row.level).map_or("-", Level::as_str);
                let metadata = metadata_at(bytes, row.metadata_start);
                let metadata: Vec<String> = metadata.map(|(n, v)| format!("{n}={v}")).collect();
                let line = String::from_utf8_lossy(row.line(bytes));
                let at = row.timestamp.0 - NOW.0;
                let text =
                    format!("{} {at} {level} [{}] {line}", part.canonical, metadata.join(","));
                self.rows.lock().push(text);
            }
        }
        let answer = self.answer.lock().take().unwrap_or_else(|| Ok(AppendOutcome::default()));
        std::future::ready(answer).boxed()
    }
}

struct Count(usize);

impl Distributors for Count {
    fn healthy(&self) -> usize {
        self.0
    }
}

struct Bench {
    distributor: Distributor,
    recorder: Arc<Recorder>,
    clock: Arc<ManualClock>,
    registry: Registry,
}

impl Bench {
    fn new(limits: Limits) -> Self {
        Self::of_many(limits, 1)
    }

    /// One of so many distributors.
    fn of_many(limits: Limits, count: usize) -> Self {
        let recorder = Arc::new(Recorder::default());
        let clock = Arc::new(ManualClock::new(NOW));
        let mut registry = Registry::default();
        let dependencies = Dependencies {
            limits: Arc::new(SameLimits::new(limits)),
            appender: Arc::clone(&recorder) as Arc<dyn Appender>,
            distributors: Arc::new(Count(count)),
            clock: Arc::clone(&clock) as Arc<dyn runtime::clock::Clock>,
            registry: &mut registry,
        };
        let config = Config { shard_streams: count > 1, ..Config::default() };
        let distributor = Distributor::new(config, dependencies);
        Self { distributor, recorder, clock, registry }
    }

    fn push(&self, streams: Vec<PushStream<'_>>) -> Result<(), PushRefused> {
        self.push_with(streams, PushContext::default())
    }

    fn push_with(
        &self,
        streams: Vec<PushStream<'_>>,
        context: PushContext,
    ) -> Result<(), PushRefused> {
        let tenant = TenantId::new("t").unwrap();
        let push = self.distributor.push(&tenant, Push { streams }, context);
        push.now_or_never().expect("nothing waits in this test")
    }

    /// The rows appended since the last call.
    fn rows(&self) -> Vec<String> {
        std::mem::take(&mut *self.recorder.rows.lock())
    }

    /// Whether the metrics hold this line.
    fn shows(&self, line: &str) -> bool {
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &self.registry).unwrap();
        let found = text.lines().any(|known| known == line);
        assert!(found, "{line} is not in\n{text}");
        found
    }
}

fn entry<'a>(at: i64, line: &'a str, metadata: &[(&'a str, &'a str)]) -> PushEntry<'a> {
    PushEntry {
        timestamp: Timestamp(NOW.0 + at),
        line: line.as_bytes().into(),
        metadata: metadata.iter().map(|(n, v)| ((*n).into(), (*v).into())).collect(),
        shared: None,
    }
}

fn stream<'a>(labels: &'a str, entries: Vec<PushEntry<'a>>) -> PushStream<'a> {
    PushStream { labels: PushLabels::Text(labels), entries }
}

fn status_and_text(result: Result<(), PushRefused>) -> (u16, String) {
    let refused = result.unwrap_err();
    (refused.status, refused.message)
}

#[test]
fn entries_are_enriched_and_handed_over() {
    let bench = Bench::new(Limits::default());
    let entries = vec![
        entry(0, "level=warn x", &[]),
        entry(1, "plain", &[("b.c", "2"), ("a", "1"), ("empty", "")]),
        entry(2, "level=info", &[("detected_level", "ERR")]),
        entry(3, "level=info", &[("detected_level", "mine"), ("z", "9")]),
        entry(4, "level=info", &[("severity_number", "17")]),
    ];
    bench
        .push(vec![
            stream(r#"{job="x"}"#, entries),
            stream(r#"{level="Notice"}"#, vec![entry(0, "error", &[])]),
        ])
        .unwrap();
    assert_eq!(
        bench.rows(),
        [
            r#"{job="x", service_name="x"} 0 warn [] level=warn x"#,
            r#"{job="x", service_name="x"} 1 unknown [a=1,b_c=2] plain"#,
            r#"{job="x", service_name="x"} 2 error [] level=info"#,
            r#"{job="x", service_name="x"} 3 - [detected_level=mine,z=9] level=info"#,
            r#"{job="x", service_name="x"} 4 error [severity_number=17] level=info"#,
            r#"{level="Notice", service_name="unknown_service"} 0 - [detected_level=Notice] error"#,
        ]
    );
    assert!(bench.shows("loki_distributor_lines_received_total{tenant=\"t\",is_internal_stream=\"false\",policy=\"\",format=\"loki\"} 6"));
    assert!(bench.shows("loki_distributor_bytes_received_total{tenant=\"t\",retention_hours=\"\",is_internal_stream=\"false\",policy=\"\",format=\"loki\"} 82"));
}

#[test]
fn discovery_can_be_off() {
    let limits =
        Limits { discover_log_levels: false, discover_service_name: vec![], ..Limits::default() };
    let bench = Bench::new(limits);
    let entries = vec![entry(0, "error", &[]), entry(1, "x", &[("detected_level", "info")])];
    bench.push(vec![stream(r#"{a="b"}"#, entries)]).unwrap();
    assert_eq!(bench.rows(), [r#"{a="b"} 0 - [] error"#, r#"{a="b"} 1 info [] x"#]);
}

#[test]
fn good_entries_are_stored_beside_bad_ones() {
    let limits = Limits { max_line_bytes: 5, ..Limits::default() };
    let bench = Bench::new(limits);
    let entries = vec![
        entry(0, "fine", &[]),
        entry(-8 * 86_400_000_000_000, "old", &[]),
        entry(1, "too long", &[]),
        entry(2, "too long", &[]),
    ];
    let bad_labels = format!("{{a=\"{}\"}}", "x".repeat(3000));
    let result = bench.push(vec![
        stream(r#"{a="b"}"#, entries),
        stream(&bad_labels, vec![entry(0, "x", &[])]),
        stream(r#"{c="d"}"#, vec![]),
    ]);
    let (status, text) = status_and_text(result);
    assert_eq!(status, 400);
    let parts: Vec<&str> = text.split("; ").collect();
    assert_eq!(parts.len(), 3);
    assert_eq!(
        parts[0],
        r#"1 errors like: entry for stream '{a="b", service_name="unknown_service"}' has timestamp too old: 2025-08-14T22:00:00Z, oldest acceptable timestamp is: 2025-08-15T22:00:00Z"#
    );
    assert!(parts[1].starts_with("2 errors like: max entry size '5' bytes exceeded for stream"));
    assert!(parts[2].starts_with("1 errors like: stream '{a=\"xxx"));
    assert_eq!(bench.rows(), [r#"{a="b", service_name="unknown_service"} 0 unknown [] fine"#]);
    let discarded = |reason: &str, samples: u32, bytes: u32| {
        let labels = format!(
            "reason=\"{reason}\",tenant=\"t\",retention_hours=\"\",policy=\"\",format=\"loki\""
        );
        bench.shows(&format!("loki_discarded_samples_total{{{labels}}} {samples}"))
            && bench.shows(&format!("loki_discarded_bytes_total{{{labels}}} {bytes}"))
    };
    assert!(discarded("greater_than_max_sample_age", 1, 3));
    assert!(discarded("line_too_long", 2, 16));
    assert!(discarded("label_value_too_long", 1, 1));
    assert!(discarded("invalid_labels", 1, 1));
}

#[test]
fn what_cannot_be_read_is_refused_whole() {
    let bench = Bench::new(Limits::default());
    assert_eq!(
        status_and_text(bench.push(vec![])),
        (422, "error at least one valid stream is required for ingestion".to_owned())
    );
    let streams = vec![
        stream(r#"{a="b"}"#, vec![entry(0, "fine", &[])]),
        stream("{ключ=\"c\"}", vec![entry(0, "x", &[])]),
    ];
    assert_eq!(
        status_and_text(bench.push(streams)),
        (
            400,
            "couldn't parse labels: 1:2: parse error: unexpected character inside braces: 'к'"
                .to_owned()
        )
    );
    assert!(bench.rows().is_empty());
    assert!(bench.shows("loki_discarded_bytes_total{reason=\"invalid_labels\",tenant=\"t\",retention_hours=\"\",policy=\"\",format=\"loki\"} 5"));
    assert_eq!(bench.push(vec![stream(r#"{a="b"}"#, vec![])]), Ok(()));
}

#[test]
fn the_rate_is_limited_for_all_or_nothing() {
    let limits =
        Limits { ingestion_rate_bytes: 10.0, ingestion_burst_bytes: 20.0, ..Limits::default() };
    let bench = Bench::new(limits);
    let push = |line: &str| bench.push(vec![stream(r#"{a="b"}"#, vec![entry(0, line, &[])])]);
    assert_eq!(push("0123456789abcdef"), Ok(()));
    let refused = push("0123456789").unwrap_err();
    assert_eq!(refused.status, 429);
    assert_eq!(
        refused.message,
        "ingestion rate limit exceeded for user t (limit: 10 bytes/sec) while attempting to ingest '1' lines totaling '10' bytes, reduce log volume or contact your Loki administrator to see if the limit can be increased"
    );
    assert_eq!(refused.retry_after, Some(Duration::from_secs(1)));
    assert_eq!(push(&"x".repeat(21)).unwrap_err().retry_after, None);
    bench.clock.advance(Duration::from_secs(1));
    assert_eq!(push("0123456789"), Ok(()));
    assert_eq!(bench.rows().len(), 2);
}

#[test]
fn blocked_tenants_are_told_so() {
    let limits = Limits {
        block_ingestion_until: Some(NOW.plus(Duration::from_secs(60))),
        ..Limits::default()
    };
    let bench = Bench::new(limits);
    let push = || bench.push(vec![stream(r#"{a="b"}"#, vec![entry(0, "x", &[])])]);
    let (status, text) = status_and_text(push());
    assert_eq!(status, 260);
    assert_eq!(
        text,
        "ingestion blocked for user t until '2025-08-22T22:01:00Z' with status code '260'"
    );
    bench.clock.advance(Duration::from_secs(60));
    assert_eq!(push(), Ok(()));
}

#[test]
fn long_lines_can_be_cut() {
    let long_lines = LongLines::Truncate { identifier: "…".into() };
    let bench = Bench::new(Limits { max_line_bytes: 8, long_lines, ..Limits::default() });
    let entries = vec![entry(0, "0123456789", &[]), entry(1, "01234567", &[])];
    bench.push(vec![stream(r#"{a="b"}"#, entries)]).unwrap();
    let lines: Vec<String> =
        bench.rows().iter().map(|row| row.rsplit(' ').next().unwrap().to_owned()).collect();
    assert_eq!(lines, ["01234…", "01234567"]);
    assert!(bench.shows("loki_mutated_bytes_total{reason=\"line_too_long\",tenant=\"t\"} 2"));
}

#[test]
fn equal_times_can_be_told_apart() {
    let bench = Bench::new(Limits { increment_duplicate_timestamp: true, ..Limits::default() });
    let entries = ["a", "b", "c", "c", "d"].map(|line| entry(0, line, &[]));
    bench.push(vec![stream(r#"{a="b"}"#, entries.to_vec())]).unwrap();
    let times: Vec<String> =
        bench.rows().iter().map(|row| row.split(' ').nth(2).unwrap().to_owned()).collect();
    assert_eq!(times, ["0", "1", "2", "0", "1"]);
}

#[test]
fn backfills_may_be_old() {
    let bench = Bench::new(Limits::default());
    let old = || vec![stream(r#"{a="b"}"#, vec![entry(-9 * 86_400_000_000_000, "x", &[])])];
    let shard =
        |shard: &str| PushContext { backfill_shard: Some(shard.into()), ..PushContext::default() };
    bench.push_with(old(), shard("s1")).unwrap();
    assert!(bench.rows()[0].starts_with(r#"{__backfill__="true", __backfill_shard__="s1", a="b""#));
    assert_eq!(bench.push_with(old(), shard(&"x".repeat(129))).unwrap_err().status, 400);
    assert_eq!(bench.push(old()).unwrap_err().status, 400);
}

#[test]
fn the_appender_has_the_last_word() {
    let bench = Bench::new(Limits::default());
    let push = |answer: Result<AppendOutcome, AppendError>| {
        *bench.recorder.answer.lock() = Some(answer);
        bench.push(vec![stream(r#"{a="b"}"#, vec![entry(0, "x", &[])])]).unwrap_err()
    };
    let rejected = Rejected {
        reason: "stream_limit",
        kind: ErrorKind::LimitExceeded,
        message: "maximum active stream limit exceeded".into(),
        entries: 1,
        bytes: 1,
    };
    let refused = push(Ok(AppendOutcome { rejected: vec![rejected], duplicates: 0 }));
    assert_eq!(refused.status, 429);
    assert!(bench.shows("loki_discarded_samples_total{reason=\"stream_limit\",tenant=\"t\",retention_hours=\"\",policy=\"\",format=\"loki\"} 1"));
    let retry_after = Duration::from_secs(3);
    let refused = push(Err(AppendError::Unavailable { message: "full".into(), retry_after }));
    assert_eq!((refused.status, refused.retry_after), (503, Some(retry_after)));
    assert_eq!(push(Err(AppendError::Internal("bug".into()))).status, 500);
}

#[test]
fn a_rate_of_the_cluster_is_shared() {
    let limits =
        Limits { ingestion_rate_bytes: 40.0, ingestion_burst_bytes: 20.0, ..Limits::default() };
    let push = |bench: &Bench, line: &str| {
        bench.push(vec![stream(r#"{a="b"}"#, vec![entry(0, line, &[])])])
    };
    let shared = Bench::of_many(limits.clone(), 4);
    let local = Bench::of_many(Limits { rate_strategy: RateStrategy::Local, ..limits }, 4);
    for bench in [&shared, &local] {
        assert_eq!(push(bench, "0123456789abcdefghij"), Ok(()));
        bench.clock.advance(Duration::from_millis(500));
    }
    let refused = push(&shared, "0123456789").unwrap_err();
    assert!(refused.message.contains("(limit: 10 bytes/sec)"), "{}", refused.message);
    assert_eq!(push(&local, "0123456789"), Ok(()));
}

#[test]
fn a_hot_stream_is_split_and_no_entry_is_lost() {
    let sharding =
        crate::limits::StreamSharding { desired_rate_bytes: 100.0, ..Default::default() };
    let limits = Limits { shard_streams: sharding, ..Limits::default() };
    let pushed = |count: usize| {
        let bench = Bench::of_many(limits.clone(), count);
        for push in 0..60 {
            let lines: Vec<String> = (0..4).map(|n| format!("line {push:02} {n}")).collect();
            let entries = lines.iter().map(|line| entry(push, line, &[])).collect();
            bench.push(vec![stream(r#"{a="b"}"#, entries)]).unwrap();
            bench.clock.advance(Duration::from_millis(200));
        }
        bench.rows()
    };
    let plain = pushed(1);
    assert_eq!(plain.len(), 240);
    assert!(plain.iter().all(|row| !row.contains("__stream_shard__")));
    // 4 lines of 9 bytes five times a second, seen by two distributors: 360 bytes a second.
    let split = pushed(2);
    assert_eq!(split.len(), 240);
    let shard = |row: &str| {
        let (_, rest) = row.split_once("__stream_shard__=\"")?;
        rest.split_once('"').map(|(shard, _)| shard.to_owned())
    };
    let shards: std::collections::BTreeSet<_> = split[200..].iter().map(|row| shard(row)).collect();
    let expected = ["0", "1", "2", "3"].map(|shard| Some(shard.to_owned()));
    assert!(shards.into_iter().eq(expected));
    let line = |row: &String| row.rsplit_once("] ").map(|(_, line)| line.to_owned());
    let (mut before, mut after): (Vec<_>, Vec<_>) =
        (plain.iter().map(line).collect(), split.iter().map(line).collect());
    before.sort();
    after.sort();
    assert_eq!(before, after);
}
