//! Promises of the engine that hold for any data and any layout of it.

use std::collections::BTreeMap;

use model::answer::{ResultLabels, ResultStream, Series, Value, VectorSample};
use model::{Entry, Labels, TimeRange};
use proptest::prelude::*;

use super::memory::{Layout, MemorySource};
use super::*;
use crate::syntax::parse;

type Streams = Vec<(Labels, Vec<Entry>)>;

const SECOND: i64 = 1_000_000_000;

/// Streams whose rows often share times, lines and metadata.
fn streams() -> impl Strategy<Value = Streams> {
    let level = prop::option::of(prop::sample::select(vec!["info", "error"]));
    let row = (0i64..120, 0u8..6, level, prop::option::of(0u8..3));
    let rows = prop::collection::vec(row, 0..40);
    prop::collection::vec((0u8..3, 0u8..2, rows), 0..5).prop_map(|streams| {
        let stream = |(app, env, rows): (u8, u8, Vec<_>)| {
            let labels = Labels::new([("app", format!("a{app}")), ("env", format!("e{env}"))]);
            (labels, rows.into_iter().map(entry).collect())
        };
        streams.into_iter().map(stream).collect()
    })
}

fn entry((second, number, level, pod): (i64, u8, Option<&str>, Option<u8>)) -> Entry {
    let line = format!("n={number} {}", "x".repeat(number as usize));
    let mut entry = Entry::new(Timestamp(second * SECOND), line.into_bytes());
    let level = level.map(|level| ("detected_level".into(), level.into()));
    let pod = pod.map(|pod| ("pod".into(), format!("p{pod}").into()));
    entry.structured_metadata = level.into_iter().chain(pod).collect();
    entry
}

/// The same rows in several origins: each row in the first, and in some of the others. Every other
/// origin is cut into pieces of another size.
fn with_copies(streams: &Streams, piece_rows: usize, cell_ns: i64, seed: u64) -> MemorySource {
    let mut source = MemorySource::new(Layout { piece_rows, cell_ns });
    source.add_origin(streams.clone(), Some(TimeRange::ALL));
    for origin in 1..3u64 {
        let part = streams.iter().map(|(labels, rows)| {
            let kept = (0u64..).zip(rows).filter(|(index, _)| {
                (index.wrapping_mul(0x9e37_79b9).wrapping_add(seed) >> 3) % 3 != origin
            });
            (labels.clone(), kept.map(|(_, row)| row.clone()).collect::<Vec<_>>())
        });
        source.add_origin(part, Some(TimeRange::ALL));
    }
    source
}

fn in_pieces(streams: &Streams, piece_rows: usize, cell_ns: i64) -> MemorySource {
    let mut source = MemorySource::new(Layout { piece_rows, cell_ns });
    source.add_origin(streams.clone(), None);
    source
}

fn range_params(step: i64, threads: usize) -> Params {
    Params {
        start: Timestamp(10 * SECOND),
        end: Timestamp(130 * SECOND),
        step_ns: step * SECOND,
        interval_ns: 0,
        split_ns: 0,
        direction: Direction::Forward,
        limit: 5000,
        categorize: false,
        threads,
        shard: None,
    }
}

fn ask(query: &str, params: &Params, source: &MemorySource) -> Value {
    let expr = parse(query).unwrap_or_else(|error| panic!("{query}: {error}"));
    let limits = Limits { max_query_series: 0, ..Limits::default() };
    evaluate(&expr, params, source, &Control::new(), &limits)
        .unwrap_or_else(|error| panic!("{query}: {error}"))
        .value
}

fn assert_equal(a: &Value, b: &Value, query: &str) {
    let near = |x: f64, y: f64| {
        x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= 1e-9 * x.abs().max(y.abs())
    };
    let same = match (a, b) {
        (Value::Vector(a), Value::Vector(b)) => {
            let same = |(a, b): (&VectorSample, &VectorSample)| {
                a.labels == b.labels && near(a.sample.value, b.sample.value)
            };
            a.len() == b.len() && a.iter().zip(b).all(same)
        }
        (Value::Matrix(a), Value::Matrix(b)) => {
            let same = |(a, b): (&Series, &Series)| {
                a.labels == b.labels
                    && a.samples.len() == b.samples.len()
                    && a.samples
                        .iter()
                        .zip(&b.samples)
                        .all(|(a, b)| a.timestamp == b.timestamp && near(a.value, b.value))
            };
            a.len() == b.len() && a.iter().zip(b).all(same)
        }
        (a, b) => a == b,
    };
    assert!(same, "{query}\n{a:#?}\n{b:#?}");
}

const METRIC_QUERIES: &[&str] = &[
    r#"count_over_time({app=~".+"}[30s])"#,
    r#"sum by (app) (count_over_time({app=~".+"}[20s]))"#,
    r#"sum by (app, detected_level) (bytes_over_time({env="e0"}[45s]))"#,
    r#"sum by (pod) (rate({app=~".+"} |= "x" [1m]))"#,
    r#"sum(bytes_rate({app=~".+"}[15s] offset 7s))"#,
    r#"absent_over_time({app="a1"}[10s])"#,
    r#"avg by (env) (sum without (pod) (count_over_time({app=~".+"}[25s])))"#,
    r#"topk(2, sum by (app, env) (count_over_time({app=~".+"}[20s])))"#,
    r#"sum by (app) (count_over_time({app=~".+"}[20s])) / on() group_left sum(count_over_time({app=~".+"}[20s]))"#,
    r#"sum by (app) (sum_over_time({app=~".+"} | logfmt | unwrap n [40s]))"#,
    r#"avg_over_time({app=~".+"} | logfmt | unwrap n [40s]) by (env)"#,
    r#"stddev_over_time({app=~".+"} | logfmt | unwrap n [40s]) by (app)"#,
    r#"quantile_over_time(0.7, {app=~".+"} | logfmt | unwrap n [35s]) by (app)"#,
    r#"max_over_time({app=~".+"} | logfmt | unwrap n [1m]) without (pod)"#,
];

const LOG_QUERIES: &[&str] = &[
    r#"{app=~".+"}"#,
    r#"{app=~".+"} |= "xx""#,
    r#"{app="a0"} | logfmt | n > 2"#,
    r#"{app=~".+"} | drop app, pod"#,
];

/// Every entry with its stream, in the order of the result.
fn entries(value: &Value) -> Vec<(&ResultStream, usize)> {
    let Value::Streams(streams) = value else { panic!("expected streams") };
    streams.iter().flat_map(|stream| (0..stream.entries.len()).map(move |i| (stream, i))).collect()
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn layout_does_not_change_metric_answers(
        streams in streams(), rows in 1usize..30, cells in 1i64..40, step in 1i64..40, seed: u64,
    ) {
        let whole = in_pieces(&streams, usize::MAX, 0);
        let pieces = in_pieces(&streams, rows, 0);
        let counted = in_pieces(&streams, rows, cells * SECOND);
        let copied = with_copies(&streams, rows, 0, seed);
        let both = with_copies(&streams, rows, cells * SECOND, seed);
        for query in METRIC_QUERIES {
            for step in [step, 0] {
                let expected = ask(query, &range_params(step, 1), &whole);
                assert_equal(&expected, &ask(query, &range_params(step, 1), &pieces), query);
                assert_equal(&expected, &ask(query, &range_params(step, 3), &counted), query);
                assert_equal(&expected, &ask(query, &range_params(step, 2), &copied), query);
                assert_equal(&expected, &ask(query, &range_params(step, 2), &both), query);
            }
        }
    }

    #[test]
    fn layout_does_not_change_log_answers(
        streams in streams(), rows in 1usize..30, limit in 1u32..50, interval in 0i64..30,
        backward: bool, categorize: bool, seed: u64,
    ) {
        let mut params = range_params(0, 1);
        params.limit = limit;
        params.interval_ns = interval / 10 * SECOND;
        params.categorize = categorize;
        params.direction = if backward { Direction::Backward } else { Direction::Forward };
        let whole = in_pieces(&streams, usize::MAX, 0);
        let pieces = in_pieces(&streams, rows, 0);
        let copied = with_copies(&streams, rows, 0, seed);
        for query in LOG_QUERIES {
            let expected = ask(query, &params, &whole);
            params.threads = 3;
            assert_equal(&expected, &ask(query, &params, &pieces), query);
            assert_equal(&expected, &ask(query, &params, &copied), query);
            params.threads = 1;
        }
    }

    #[test]
    fn forward_is_backward_reversed(streams in streams()) {
        let source = in_pieces(&streams, 10, 0);
        let mut params = range_params(0, 1);
        // Labels of these results tell the stream, within which arrival decides.
        let forward = ask(LOG_QUERIES[0], &params, &source);
        params.direction = Direction::Backward;
        let mut backward = ask(LOG_QUERIES[0], &params, &source);
        if let Value::Streams(streams) = &mut backward {
            streams.iter_mut().for_each(|stream| stream.entries.reverse());
        }
        prop_assert_eq!(forward, backward);
    }

    #[test]
    fn a_limit_keeps_the_first_entries(streams in streams(), limit in 1u32..60, backward: bool) {
        let source = in_pieces(&streams, 7, 0);
        let mut params = range_params(0, 1);
        params.direction = if backward { Direction::Backward } else { Direction::Forward };
        let all = ask(LOG_QUERIES[1], &params, &source);
        params.limit = limit;
        let some = ask(LOG_QUERIES[1], &params, &source);
        let (all, some) = (entries(&all), entries(&some));
        prop_assert_eq!(some.len(), all.len().min(limit as usize));
        let time = |(stream, index): &(&ResultStream, usize)| stream.entries[*index].timestamp;
        let mut times: Vec<Timestamp> = all.iter().map(time).collect();
        times.sort();
        if backward {
            times.reverse();
        }
        times.truncate(limit as usize);
        times.sort();
        let mut kept: Vec<Timestamp> = some.iter().map(time).collect();
        kept.sort();
        prop_assert_eq!(kept, times);
    }
}

/// Every sample by its series and time, every entry by its stream and time; what several answers
/// have in common is added up.
fn parts(values: &[Value]) -> BTreeMap<(String, i64, Vec<u8>), f64> {
    let mut parts = BTreeMap::new();
    let mut add = |labels: &ResultLabels, at: Timestamp, line: &[u8], value: f64| {
        *parts.entry((format!("{labels:?}"), at.0, line.to_vec())).or_insert(0.0) += value;
    };
    for value in values {
        match value {
            Value::Streams(streams) => {
                for stream in streams {
                    for entry in &stream.entries {
                        add(&stream.labels, entry.timestamp, &entry.line, 1.0);
                    }
                }
            }
            Value::Matrix(series) => {
                for one in series {
                    for sample in &one.samples {
                        add(&one.labels, sample.timestamp, b"", sample.value);
                    }
                }
            }
            other => panic!("unexpected {other:?}"),
        }
    }
    parts
}

fn assert_same_parts(whole: &Value, values: &[Value], query: &str) {
    let (whole, parts) = (parts(std::slice::from_ref(whole)), parts(values));
    assert_eq!(whole.keys().collect::<Vec<_>>(), parts.keys().collect::<Vec<_>>(), "{query}");
    for (key, value) in &whole {
        assert!((value - parts[key]).abs() <= 1e-9 * value.abs(), "{query} {key:?}");
    }
}

/// Queries whose answers over disjoint streams add up.
const ADDITIVE_QUERIES: &[&str] = &[
    r#"{app=~".+"}"#,
    r#"{app=~".+"} | logfmt | drop app, pod"#,
    r#"count_over_time({app=~".+"}[30s])"#,
    r#"sum by (pod) (rate({app=~".+"} |= "x" [1m]))"#,
    r#"sum(bytes_over_time({app=~".+"}[45s] offset 7s))"#,
    r#"sum by (app) (sum_over_time({app=~".+"} | logfmt | unwrap n [40s]))"#,
];

proptest! {
    #![proptest_config(ProptestConfig::with_cases(48))]

    #[test]
    fn parts_of_the_time_make_the_whole(streams in streams(), step in 1i64..20, cut in 11i64..129) {
        let source = in_pieces(&streams, 7, 0);
        let whole = range_params(step, 1);
        for query in LOG_QUERIES.iter().chain(METRIC_QUERIES) {
            let is_log = query.starts_with('{');
            // Steps are counted from the start, so a part begins at one.
            let middle = if is_log { cut } else { 10 + (cut - 10) / step * step };
            let first = Params { end: Timestamp(middle * SECOND - i64::from(!is_log)), ..whole.clone() };
            let second = Params { start: Timestamp(middle * SECOND), ..whole.clone() };
            let mut values = vec![ask(query, &second, &source)];
            if first.end >= first.start {
                values.push(ask(query, &first, &source));
            }
            assert_same_parts(&ask(query, &whole, &source), &values, query);
        }
    }

    #[test]
    fn shards_of_the_streams_make_the_whole(
        streams in streams(), step in 1i64..20, shards in 2u64..4,
    ) {
        let params = range_params(step, 2);
        let shard = |number: u64| -> Streams {
            let is_in = |labels: &Labels| labels.fingerprint().0 % shards == number;
            streams.iter().filter(|(labels, _)| is_in(labels)).cloned().collect()
        };
        let sources: Vec<MemorySource> =
            (0..shards).map(|number| in_pieces(&shard(number), 7, 10 * SECOND)).collect();
        let whole = in_pieces(&streams, 7, 0);
        let counted = in_pieces(&streams, 7, 10 * SECOND);
        for query in ADDITIVE_QUERIES {
            let expected = ask(query, &params, &whole);
            let values: Vec<Value> =
                sources.iter().map(|source| ask(query, &params, source)).collect();
            assert_same_parts(&expected, &values, query);
            let shard = |index: u64| {
                let shard = Shard { index: index as u32, of: shards as u32 };
                Params { shard: Some(shard), ..params.clone() }
            };
            let values: Vec<Value> =
                (0..shards).map(|index| ask(query, &shard(index), &counted)).collect();
            assert_same_parts(&expected, &values, query);
        }
    }
}

#[test]
fn an_interval_begins_anew_where_queries_are_split() {
    let source = in_pieces(&many_rows(40), 1000, 0);
    let mut params = range_params(0, 1);
    (params.start, params.end) = (Timestamp(0), Timestamp(40 * SECOND));
    (params.interval_ns, params.split_ns) = (8 * SECOND, 10 * SECOND);
    let times = |params: &Params| -> Vec<i64> {
        let value = ask(r#"{app="a"}"#, params, &source);
        let time = |(stream, i): (&ResultStream, usize)| stream.entries[i].timestamp.0 / SECOND;
        entries(&value).into_iter().map(time).collect()
    };
    assert_eq!(times(&params), [0, 8, 10, 18, 20, 28, 30, 38]);
    params.direction = Direction::Backward;
    assert_eq!(times(&params), [39, 31, 29, 21, 19, 11, 9, 1]);
    params.split_ns = 0;
    assert_eq!(times(&params), [39, 31, 23, 15, 7]);
}

fn many_rows(rows: i64) -> Streams {
    let entries = (0..rows).map(|n| {
        Entry::new(Timestamp(n * SECOND), format!("n={n} user={}", n % 1000).into_bytes())
    });
    vec![(Labels::new([("app", "a")]), entries.collect())]
}

#[test]
fn the_newest_entries_load_the_newest_piece() {
    let source = in_pieces(&many_rows(50_000), 1000, 0);
    let mut params = range_params(0, 1);
    params.end = Timestamp(100_000 * SECOND);
    params.direction = Direction::Backward;
    params.limit = 100;
    let value = ask(r#"{app="a"}"#, &params, &source);
    assert_eq!((entries(&value).len(), source.loads()), (100, 1));
    ask(r#"{app="a"} |= "user=7""#, &params, &source);
    assert_eq!(source.loads(), 2);
    ask(r#"{app="a"} |= "nowhere""#, &params, &source);
    assert_eq!(source.loads(), 52);
}

#[test]
fn whole_cells_load_nothing() {
    let source = in_pieces(&many_rows(10_000), 1000, 10 * SECOND);
    let mut params = range_params(100, 1);
    (params.start, params.end) = (Timestamp(0), Timestamp(9_000 * SECOND - 1));
    // Windows end on a whole second, cells start there: every edge cuts one cell.
    params.step_ns = 1000 * SECOND;
    let cut = ask(r#"sum(count_over_time({app="a"}[1000s]))"#, &params, &source);
    let loads = source.loads();
    assert!(loads > 0);
    // A nanosecond earlier no cell is cut.
    params.start = Timestamp(-1);
    let uncut = ask(r#"sum(count_over_time({app="a"}[1000s]))"#, &params, &source);
    assert_eq!(source.loads(), loads);
    let (Value::Matrix(cut), Value::Matrix(uncut)) = (cut, uncut) else {
        panic!("expected series")
    };
    assert_eq!(cut[0].samples.len(), 9);
    assert_eq!(uncut[0].samples.iter().map(|s| s.value).sum::<f64>(), 9000.0);
}

#[test]
fn cancelled_queries_end() {
    let source = in_pieces(&many_rows(10), 1000, 0);
    let control = Control::new();
    control.cancel(CancelReason::Deadline);
    let expr = parse(r#"count_over_time({app="a"}[1m])"#).unwrap();
    let error =
        evaluate(&expr, &range_params(1, 1), &source, &control, &Limits::default()).unwrap_err();
    assert!(error.to_string().contains("timed out"), "{error}");
}

#[test]
fn limits_end_queries_with_their_name() {
    let source = in_pieces(&many_rows(20_000), 1000, 0);
    let ask = |query: &str, limits: &Limits| {
        let params = Params { end: Timestamp(20_000 * SECOND), ..range_params(100, 1) };
        let control = Control::new();
        let answer = evaluate(&parse(query).unwrap(), &params, &source, &control, limits);
        (answer.map(|answer| answer.value).map_err(|error| error.to_string()), control)
    };
    let small = Limits { max_memory_bytes: 100_000, ..Limits::default() };
    let quantile = r#"quantile_over_time(0.5, {app="a"} | logfmt | unwrap n [1h]) by (app)"#;
    let (answer, control) = ask(quantile, &small);
    assert!(answer.unwrap_err().contains("100000 bytes of memory"));
    assert_eq!(control.used_bytes(), 0, "a query gives back what it held");
    let (answer, control) = ask(quantile, &Limits::default());
    assert_eq!(answer.err(), None);
    assert_eq!(control.used_bytes(), 0);
    assert!(control.peak_bytes() > 100_000);

    let wide = r#"sum by (user) (count_over_time({app="a"} | logfmt [1h]))"#;
    let (answer, _) = ask(wide, &Limits::default());
    assert!(answer.unwrap_err().starts_with("maximum number of series (500) reached"));
    // Each side of an operator counts, whatever is left after it.
    let (answer, _) = ask(&format!("{wide} > 1e9"), &Limits::default());
    assert!(answer.unwrap_err().starts_with("maximum number of series (500) reached"));
    let topk = r#"approx_topk(1, count_over_time({app="a"}[1m]))"#;
    assert!(ask(topk, &Limits::default()).0.unwrap_err().contains("approx_topk is not enabled"));
    let short = Limits { max_range_ns: 60 * SECOND, ..Limits::default() };
    assert_eq!(ask(wide, &short).0.unwrap_err(), "[interval] value exceeds limit: [1h] > [1m]");
    let few = Limits { max_entries: 10, ..Limits::default() };
    assert_eq!(
        ask(r#"{app="a"}"#, &few).0.unwrap_err(),
        "max entries limit per query exceeded, limit > max_entries_limit_per_query (5000 > 10)"
    );
}

#[test]
fn warnings_are_sorted_and_distinct() {
    let mut source = in_pieces(&many_rows(1), 10, 0);
    ["late", "early", "late"].into_iter().for_each(|text| source.warn(text));
    let expr = parse(r#"{app="a"}"#).unwrap();
    let answer =
        evaluate(&expr, &range_params(0, 1), &source, &Control::new(), &Limits::default()).unwrap();
    assert_eq!(answer.warnings, ["early", "late"]);
}
