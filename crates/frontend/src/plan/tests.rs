//! Queries in pieces, compared with the same queries as a whole.

use logql::eval::Control;
use logql::eval::compose::{Known, compose};
use logql::eval::memory::MemorySource;
use logql::eval::{Limits, QueryError};
use logql::request::QueryPart;
use model::answer::{Sample, Series, Value, VectorSample};
use model::{Direction, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::merge::{join_values, merge_logs};
use crate::testing::{SECOND, ask, generate, query, source_of};
use logql::source::Shard;

const METRIC_QUERIES: &[&str] = &[
    r#"count_over_time({app=~".+"}[30s])"#,
    r#"rate({app=~".+"}[37s])"#,
    r#"bytes_rate({app=~".+"} |= "x" [1m] offset 11s)"#,
    r#"sum(count_over_time({app=~".+"}[70s]))"#,
    r#"sum by (app) (rate({app=~".+"}[1m]))"#,
    r#"sum by (pod, detected_level) (bytes_over_time({env="e0"}[45s]))"#,
    r#"sum without (env, app) (rate({app=~".+"} |= "x" [1m]))"#,
    r#"sum by (n) (count_over_time({app=~".+"} | logfmt [50s]))"#,
    r#"count by (app) (rate({app=~".+"} | drop env [50s]))"#,
    r#"avg by (env) (sum without (pod) (count_over_time({app=~".+"}[25s])))"#,
    r#"max by (app) (count_over_time({app=~".+"} | drop env [40s]))"#,
    r#"max by (app) (max_over_time({app=~".+"} | logfmt | unwrap n | __error__="" [40s]))"#,
    r#"min(min_over_time({app=~".+"} | logfmt | unwrap duration(t) | __error__="" [40s]) by (app))"#,
    r#"sum by (app) (max_over_time({app=~".+"} | logfmt | unwrap n | __error__="" [1m]) by (app, env))"#,
    r#"sum by (app) (sum_over_time({app=~".+"} | logfmt | unwrap n | __error__="" [40s]))"#,
    r#"rate({app=~".+"} | logfmt | unwrap n | __error__="" [2m])"#,
    r#"avg_over_time({app=~".+"} | logfmt | unwrap n | __error__="" [40s]) by (env)"#,
    r#"quantile_over_time(0.7, {app=~".+"} | logfmt | unwrap n | __error__="" [35s]) by (app)"#,
    r#"first_over_time({app=~".+"} | logfmt | unwrap n | __error__="" [35s]) by (app)"#,
    r#"absent_over_time({app="a1"}[10s])"#,
    r#"topk(2, sum by (app, env) (count_over_time({app=~".+"}[20s])))"#,
    r#"bottomk by (app) (1, rate({app=~".+"}[20s]))"#,
    r#"topk(1, sum by (app) (max_over_time({app=~".+"} | logfmt | unwrap n | __error__="" [1m])))"#,
    r#"sort_desc(sum by (app, env) (count_over_time({app=~".+"}[2m])))"#,
    r#"stddev(count_over_time({app=~".+"}[20s]))"#,
    r#"label_replace(sum by (app) (rate({app=~".+"}[20s])), "short", "$1", "app", "a(.)")"#,
    r#"label_replace(count_over_time({app=~".+"}[20s]), "env", "same", "env", ".*")"#,
    r#"sum by (app) (count_over_time({app=~".+"}[20s])) / on() group_left sum(count_over_time({app=~".+"}[20s]))"#,
    r#"sum by (app) (rate({app=~".+"}[1m])) > bool 0.05"#,
    r#"sum(rate({app="a0"}[1m])) or sum(rate({app="a1"}[1m])) * 2"#,
    r#"rate({app="a0"}[1m]) and avg_over_time({app="a0"} | logfmt | unwrap n | __error__="" [1m])"#,
    r#"sum(sum by (app) (rate({app=~".+"}[1m])) * sum by (app) (count_over_time({env="e1"}[2m])))"#,
    r#"sum(count_over_time({app=~".+"}[30s])) or vector(0)"#,
    r#"vector(3) + sum(count_over_time({app=~".+"} | label_format app="b" [30s]))"#,
    r#"count_over_time({app=~".+"} | label_format app="b", env="c" | drop pod [30s])"#,
    r#"sum by (app) (bytes_over_time({app=~".+"} | line_format "{{.app}}" [30s]))"#,
];

/// Queries that end with an error on some rows.
const FAILING_QUERIES: &[&str] = &[
    r#"sum(sum_over_time({app=~".+"} | json | unwrap n [1m]))"#,
    r#"sum by (n, __error_details__) (count_over_time({app=~".+"} | json [1m]))"#,
    r#"sum by (n) (rate({app=~".+"} | json [1m])) + 1"#,
];

const LOG_QUERIES: &[&str] = &[
    r#"{app=~".+"}"#,
    r#"{app=~".+"} |= "xx""#,
    r#"{app="a0"} | logfmt | n > 2"#,
    r#"{app=~".+"} | drop app, pod"#,
    r#"{app=~".+"} | label_format app="b" | line_format "{{.n}}""#,
];

/// The answer in pieces; `None` when there is no plan.
fn in_pieces(
    source: &MemorySource,
    query: &QueryRequest,
    splits: Splits,
) -> Option<Result<Value, QueryError>> {
    let expr = logql::parse(&query.text).unwrap();
    let run = |piece: &QueryRequest| ask(source, piece, splits.interval_ns).map(|a| a.value);
    match (plan(&expr, query, splits)?, &expr) {
        (Plan::Metric(plan), Expr::Metric(metric)) => {
            let values: Result<Vec<Value>, _> =
                plan.pieces.iter().map(|piece| run(&piece.query)).collect();
            let values = match values {
                Ok(values) => values,
                Err(error) => return Some(Err(error)),
            };
            let nodes = nodes(metric);
            let instant = query.time.instant();
            let known = plan.leaves.iter().map(|leaf| {
                let own = leaf.pieces.iter().map(|at| values[*at].clone()).collect();
                let value = join_values(own, leaf.join, leaf.divisor, instant);
                Known { part: nodes[leaf.node], value }
            });
            let params = query.params(splits.interval_ns);
            let limits = Limits::default();
            let answer = compose(metric, &params, known.collect(), &Control::new(), &limits);
            Some(answer.map(|answer| answer.value))
        }
        (Plan::Log(plan), _) => {
            let limit = query.limit as usize;
            let streams = |value| match value {
                Value::Streams(streams) => streams,
                other => panic!("{other:?}"),
            };
            let mut parts = Vec::new();
            for piece in &plan.pieces {
                let whole = || streams(run(&piece.query).unwrap());
                let shard = |index| {
                    let shard = Some(Shard { index, of: plan.shards });
                    let query =
                        QueryRequest { part: Some(QueryPart { shard }), ..piece.query.clone() };
                    streams(run(&query).unwrap())
                };
                let shards = (0..plan.shards).map(shard).collect();
                parts.push(merge_logs(shards, query.direction, limit).unwrap_or_else(whole));
            }
            Some(Ok(Value::Streams(merge_logs(parts, query.direction, limit)?)))
        }
        (plan, _) => panic!("{plan:?}"),
    }
}

fn assert_equal(a: &Value, b: &Value, query: &str) {
    // Counts and rates must have the same bits; sums of floating numbers may differ in the last.
    let near = |x: f64, y: f64| {
        x == y || (x.is_nan() && y.is_nan()) || (x - y).abs() <= 1e-12 * x.abs().max(y.abs())
    };
    let exact = !query.contains("unwrap");
    let sample = |a: &Sample, b: &Sample| {
        let same =
            if exact { a.value.to_bits() == b.value.to_bits() } else { near(a.value, b.value) };
        a.timestamp == b.timestamp && same
    };
    let same = match (a, b) {
        (Value::Vector(a), Value::Vector(b)) => {
            let same = |(a, b): (&VectorSample, &VectorSample)| {
                a.labels == b.labels && sample(&a.sample, &b.sample)
            };
            a.len() == b.len() && a.iter().zip(b).all(same)
        }
        (Value::Matrix(a), Value::Matrix(b)) => {
            let same = |(a, b): (&Series, &Series)| {
                a.labels == b.labels
                    && a.samples.len() == b.samples.len()
                    && a.samples.iter().zip(&b.samples).all(|(a, b)| sample(a, b))
            };
            a.len() == b.len() && a.iter().zip(b).all(same)
        }
        (a, b) => a == b,
    };
    assert!(same, "{query}\nwhole {a:#?}\npieces {b:#?}");
}

fn compare(source: &MemorySource, query: &QueryRequest, splits: Splits) {
    let whole = ask(source, query, splits.interval_ns).map(|answer| answer.value);
    match (whole, in_pieces(source, query, splits)) {
        (_, None) => {}
        (Ok(whole), Some(Ok(pieces))) => assert_equal(&whole, &pieces, &query.text),
        (Err(whole), Some(Err(pieces))) => {
            // Of several bad rows another one may be named.
            let kind = |error: &QueryError| std::mem::discriminant(error);
            assert_eq!(kind(&whole), kind(&pieces), "{}", query.text);
        }
        (whole, pieces) => panic!("{}\n{whole:?}\n{pieces:?}", query.text),
    }
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(40))]

    #[test]
    fn metric_queries_in_pieces_are_the_same(
        streams in generate::streams(), start in 0i64..50, end in 50i64..200, step in 1i64..40,
        interval in 0i64..90, shards in 0u32..5, instant: bool,
    ) {
        let source = source_of(&streams);
        let splits = Splits { interval_ns: interval * SECOND, shards };
        for text in METRIC_QUERIES.iter().chain(FAILING_QUERIES) {
            let (start, end) = (Timestamp(start * SECOND), Timestamp(end * SECOND));
            let time = match instant {
                true => QueryTime::Instant(end),
                false => QueryTime::Range { start, end, step_ns: step * SECOND },
            };
            compare(&source, &QueryRequest { time, ..query(text) }, splits);
        }
    }

    #[test]
    fn log_queries_in_pieces_are_the_same(
        streams in generate::streams(), start in 0i64..50, end in 50i64..200, limit in 1u32..60,
        interval in 1i64..90, shards in 0u32..5, backward: bool, categorize: bool,
        thinned in 0i64..20,
    ) {
        let source = source_of(&streams);
        let splits = Splits { interval_ns: interval * SECOND, shards };
        for text in LOG_QUERIES {
            let (start, end) = (Timestamp(start * SECOND), Timestamp(end * SECOND));
            let time = QueryTime::Range { start, end, step_ns: SECOND };
            let direction = if backward { Direction::Backward } else { Direction::Forward };
            let interval_ns = (thinned - 10).max(0) * SECOND;
            let asked =
                QueryRequest { time, direction, limit, categorize, interval_ns, ..query(text) };
            compare(&source, &asked, splits);
        }
    }
}

fn planned(text: &str, splits: Splits) -> MetricPlan {
    match plan(&logql::parse(text).unwrap(), &query(text), splits) {
        Some(Plan::Metric(plan)) => plan,
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn rules_decide_what_pieces_compute() {
    let splits = Splits { interval_ns: 0, shards: 2 };
    let check = |text: &str, node: usize, piece: &str, join: Join| {
        let plan = planned(text, splits);
        let leaf = &plan.leaves[0];
        assert_eq!((leaf.node, leaf.join), (node, join), "{text}");
        assert_eq!(plan.pieces[0].query.text, piece, "{text}");
    };
    check(
        r#"topk(3, sum by (a) (rate({b="c"}[1m])))"#,
        1,
        r#"sum by (a)(count_over_time({b="c"}[1m]))"#,
        Join::Sum,
    );
    check(r#"avg(rate({b="c"}[1m]))"#, 1, r#"count_over_time({b="c"}[1m])"#, Join::Sum);
    check(
        r#"max(max_over_time({b="c"} | unwrap a [1m]))"#,
        0,
        r#"max(max_over_time({b="c"} | unwrap a[1m]))"#,
        Join::Max,
    );
    check(
        r#"max(stddev_over_time({b="c"} | unwrap a [1m]))"#,
        0,
        r#"max(stddev_over_time({b="c"} | unwrap a[1m]))"#,
        Join::Keep,
    );
}

#[test]
fn what_stands_twice_runs_once() {
    let text = r#"sum(rate({b="c"}[1m])) / (1 + sum(rate({b="c"}[1m])))"#;
    let plan = planned(text, Splits { interval_ns: 50 * SECOND, shards: 3 });
    // The interval is raised to hold the range.
    assert_eq!((plan.leaves.len(), plan.pieces.len()), (2, 3 * 3));
    assert_eq!(plan.leaves[0].pieces, plan.leaves[1].pieces);
}

#[test]
fn windows_of_instant_queries_are_the_same_later() {
    let text = r#"sum(rate({b="c"}[100s]))"#;
    let pieces = |at: i64| -> Vec<(String, i64)> {
        let time = QueryTime::Instant(Timestamp(at * SECOND));
        let splits = Splits { interval_ns: 30 * SECOND, shards: 1 };
        let expr = logql::parse(text).unwrap();
        let Some(Plan::Metric(plan)) = plan(&expr, &QueryRequest { time, ..query(text) }, splits)
        else {
            panic!("no plan")
        };
        let piece = |piece: &Piece| (piece.query.text.clone(), piece.query.time.bounds().0.0);
        plan.pieces.iter().map(piece).collect()
    };
    let (now, later) = (pieces(135), pieces(138));
    assert_eq!(now.len(), 4);
    assert_eq!(now[1..3], later[1..3]);
    assert_ne!(now[3], later[3]);
}

#[test]
fn some_queries_run_as_they_are() {
    let none = |text: &str, splits: Splits| {
        assert_eq!(plan(&logql::parse(text).unwrap(), &query(text), splits), None, "{text}");
    };
    let splits = Splits { interval_ns: 50 * SECOND, shards: 3 };
    none("vector(1) + vector(2)", splits);
    let text = r#"{a="b"} |= "c""#;
    let thinned = QueryRequest { interval_ns: SECOND, ..query(text) };
    let uncut = Splits { interval_ns: 0, shards: 3 };
    assert_eq!(plan(&logql::parse(text).unwrap(), &thinned, uncut), None);
}
