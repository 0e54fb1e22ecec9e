//! Queries through a frontend, compared with the engine alone; counters of the cache.

use std::sync::atomic::Ordering;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use logql::request::QueryTime;
use model::answer::Value;
use model::{Direction, Entry, Labels, Timestamp};
use proptest::prelude::*;
use runtime::clock::ManualClock;
use runtime::limits::SameLimits;

use super::*;
use crate::cache::EmbeddedCache;
use crate::testing::{EngineExecutor, SECOND, Streams, ask, generate, query, source_of, tenant};

const INTERVAL: i64 = 50 * SECOND;

struct Rig {
    frontend: Arc<Frontend>,
    executor: Arc<EngineExecutor>,
    metrics: Metrics,
}

fn rig(config: Config, rows: Streams, cached: bool) -> Rig {
    rig_within(Limits::default(), config, rows, cached)
}

/// A rig whose tenants have these limits, but for intervals and times.
fn rig_within(limits: Limits, config: Config, rows: Streams, cached: bool) -> Rig {
    let executor = EngineExecutor::new(rows, INTERVAL);
    let metrics = Metrics::default();
    let limits = Limits {
        split_interval: Duration::from_nanos(INTERVAL as u64),
        query_timeout: Duration::from_secs(10),
        ..limits
    };
    let cache = || Arc::new(EmbeddedCache::new(64 << 20)) as Arc<dyn ResultCache>;
    let dependencies = Dependencies {
        executor: executor.clone(),
        cache: cached.then(cache),
        limits: Arc::new(SameLimits::new(limits)),
        clock: Arc::new(ManualClock::new(Timestamp(500 * SECOND))),
        metrics: metrics.clone(),
    };
    Rig { frontend: Frontend::new(config, dependencies), executor, metrics }
}

impl Rig {
    async fn ask(&self, query: &QueryRequest) -> Result<Timed, TaskError> {
        let request = Request {
            tenants: vec![tenant("a")],
            actor: Vec::new(),
            query: query.clone(),
            no_cache: false,
        };
        self.frontend.query(request).await
    }

    async fn value(&self, query: &QueryRequest) -> Value {
        self.ask(query).await.unwrap_or_else(|error| panic!("{}: {error}", query.text)).answer.value
    }

    /// What the engine answers to the same rows.
    fn expected(&self, query: &QueryRequest) -> Value {
        ask(&source_of(&self.executor.rows.read()), query, INTERVAL).unwrap().value
    }
}

/// A row every second of two streams.
fn rows() -> Streams {
    let stream = |app: &str| {
        let entry = |second| {
            Entry::new(Timestamp(second * SECOND + 1), format!("n={}", second % 7).into_bytes())
        };
        (Labels::new([("app", app)]), (0..200).map(entry).collect())
    };
    vec![stream("a0"), stream("a1")]
}

fn between(text: &str, start: i64, end: i64) -> QueryRequest {
    let (start, end) = (Timestamp(start * SECOND), Timestamp(end * SECOND));
    QueryRequest { time: QueryTime::Range { start, end, step_ns: 10 * SECOND }, ..query(text) }
}

const RATE: &str = r#"sum by (app) (rate({app=~".+"}[20s]))"#;

#[tokio::test]
async fn a_repeated_query_computes_only_the_newest_piece() {
    let rig = rig(Config { splits: false, ..Config::default() }, rows(), true);
    *rig.executor.unflushed_from.lock() = Timestamp(160 * SECOND);
    let first = between(RATE, 0, 190);
    assert_eq!(rig.value(&first).await, rig.expected(&first));
    assert_eq!(rig.executor.queries(), 4);
    assert_eq!((rig.metrics.cache_hits(), rig.metrics.cache_misses()), (0, 3));
    assert_eq!(rig.value(&first).await, rig.expected(&first));
    assert_eq!(rig.executor.queries(), 1, "the piece with unflushed rows");
    assert_eq!(rig.metrics.cache_hits(), 3);
    // A dashboard that moves on: the oldest piece is another one, the newest grows.
    let later = between(RATE, 10, 200);
    assert_eq!(rig.value(&later).await, rig.expected(&later));
    assert_eq!(rig.executor.queries(), 3);
    assert_eq!(rig.metrics.cache_hits(), 5);
}

#[tokio::test]
async fn late_rows_and_deletes_are_seen() {
    let rig = rig(Config { splits: false, ..Config::default() }, rows(), true);
    let asked = between(RATE, 0, 190);
    rig.value(&asked).await;
    assert_eq!(rig.executor.queries(), 4);
    let late = Entry::new(Timestamp(70 * SECOND + 5), b"late".to_vec());
    rig.executor.rows.write()[0].1.push(late);
    rig.executor.rows.write()[0].1.sort_by_key(|entry| entry.timestamp);
    assert_eq!(rig.value(&asked).await, rig.expected(&asked));
    assert_eq!(rig.executor.queries(), 1, "only the piece that reads the late row");
    rig.executor.rows.write()[1].1.truncate(60);
    rig.executor.generation.fetch_add(1, Ordering::Relaxed);
    assert_eq!(rig.value(&asked).await, rig.expected(&asked));
    assert_eq!(rig.executor.queries(), 4, "a delete request is part of every version");
}

#[tokio::test]
async fn clients_can_ask_for_everything_anew() {
    let rig = rig(Config { splits: false, ..Config::default() }, rows(), true);
    let asked = between(RATE, 0, 190);
    rig.value(&asked).await;
    rig.executor.queries();
    let request = Request {
        tenants: vec![tenant("a")],
        actor: Vec::new(),
        query: asked.clone(),
        no_cache: true,
    };
    let answer = rig.frontend.query(request).await.unwrap().answer;
    assert_eq!((answer.value, rig.executor.queries()), (rig.expected(&asked), 1));
}

#[tokio::test]
async fn log_queries_stop_when_the_limit_is_filled() {
    let rig = rig(Config { shards_max: 1, ..Config::default() }, rows(), true);
    let mut asked = between(r#"{app=~".+"}"#, 0, 200);
    asked.limit = 40;
    assert_eq!(rig.value(&asked).await, rig.expected(&asked));
    assert_eq!(rig.executor.queries(), 1);
    assert_eq!(rig.value(&asked).await, rig.expected(&asked));
    assert_eq!(rig.executor.queries(), 0);
    asked.direction = Direction::Forward;
    asked.limit = 130;
    assert_eq!(rig.value(&asked).await, rig.expected(&asked));
    let runs = rig.executor.queries();
    assert!((2..=3).contains(&runs), "{runs}");
    assert!(rig.executor.seen.lock().iter().all(|piece| piece.part.is_some()));
}

#[tokio::test]
async fn large_pieces_are_cut_by_stream() {
    let rig = rig(Config { shard_bytes: 100, ..Config::default() }, rows(), false);
    rig.executor.stored_bytes.store(250, Ordering::Relaxed);
    let executor = &rig.executor;
    let asked = between(RATE, 0, 190);
    assert_eq!(rig.value(&asked).await, rig.expected(&asked));
    assert_eq!(executor.queries(), 4 * 3);
    let filtered = between(r#"{app=~".+"} |= "n=3""#, 0, 190);
    assert_eq!(rig.value(&filtered).await, rig.expected(&filtered));
    assert!(executor.seen.lock().iter().all(|piece| piece.part.unwrap().shard.is_some()));
}

#[tokio::test]
async fn failures_are_tried_again_elsewhere() {
    let rig = rig(Config::default(), rows(), false);
    rig.executor.failures.store(5, Ordering::Relaxed);
    let instant =
        QueryRequest { time: QueryTime::Instant(Timestamp(90 * SECOND)), ..query("1 + 1") };
    assert!(rig.ask(&instant).await.is_ok());
    rig.executor.failures.store(6, Ordering::Relaxed);
    assert_eq!(rig.ask(&instant).await.unwrap_err().message, "gone");
}

#[tokio::test]
async fn limits_hold_for_the_whole() {
    let rows: Streams = (0..600)
        .map(|number| {
            // Each piece has some of the series.
            let at = Timestamp(number % 4 * INTERVAL + 5 * SECOND);
            let labels = Labels::new([("app", format!("a{number}"))]);
            (labels, vec![Entry::new(at, b"line".to_vec())])
        })
        .collect();
    let rig = rig(Config::default(), rows, true);
    let error = rig.ask(&between(r#"rate({app=~".+"}[20s])"#, 0, 190)).await.unwrap_err();
    assert!(error.message.starts_with("maximum number of series (500) reached"), "{error}");
    let both = r#"sum(rate({app=~".+"}[20s]) + rate({app=~".+"}[20s]))"#;
    let error = rig.ask(&between(both, 0, 190)).await.unwrap_err();
    assert!(error.message.starts_with("maximum number of series (500) reached"), "{error}");
    assert!(rig.ask(&between(r#"sum(rate({app=~".+"}[20s]))"#, 0, 190)).await.is_ok());
}

#[tokio::test]
async fn no_pieces_at_once_are_no_queries() {
    let limits = Limits { max_query_parallelism: 0, ..Limits::default() };
    let rig = rig_within(limits.stricter(&Limits::default()), Config::default(), rows(), false);
    let error = rig.ask(&between(r#"rate({app=~".+"}[20s])"#, 0, 190)).await.unwrap_err();
    assert_eq!(error.kind, model::ErrorKind::LimitExceeded);
    assert!(error.message.contains("querying is disabled"), "{error}");
}

/// Never answers; counts what runs.
#[derive(Default)]
struct Stuck(Arc<()>);

impl Executor for Stuck {
    fn run(&self, task: Task) -> BoxFuture<'_, Result<TaskAnswer, TaskError>> {
        let running = Arc::clone(&self.0);
        async move {
            if let Work::Versions { ranges, .. } = &task.work {
                return Ok(TaskAnswer::Versions(vec![Default::default(); ranges.len()]));
            }
            std::future::pending::<()>().await;
            drop(running);
            Err(TaskError::unexpected_answer())
        }
        .boxed()
    }
}

#[tokio::test]
async fn deadlines_and_clients_that_leave_end_every_piece() {
    let executor = Arc::new(Stuck::default());
    let clock = Arc::new(ManualClock::new(Timestamp(0)));
    let limits = Limits { split_interval: Duration::from_secs(50), ..Limits::default() };
    let dependencies = Dependencies {
        executor: executor.clone(),
        cache: None,
        limits: Arc::new(SameLimits::new(limits)),
        clock: clock.clone(),
        metrics: Metrics::default(),
    };
    let frontend = Frontend::new(Config::default(), dependencies);
    let request = Request {
        tenants: vec![tenant("a")],
        actor: Vec::new(),
        query: between(RATE, 0, 190),
        no_cache: false,
    };
    let mut left = Box::pin(frontend.query(request.clone()));
    assert!(left.as_mut().now_or_never().is_none());
    assert_eq!(Arc::strong_count(&executor.0), 1 + 4);
    drop(left);
    assert_eq!(Arc::strong_count(&executor.0), 1);
    let mut late = Box::pin(frontend.query(request));
    assert!(late.as_mut().now_or_never().is_none());
    clock.advance(Duration::from_secs(61));
    assert_eq!(late.await.unwrap_err().stopped, Some(CancelReason::Deadline));
    assert_eq!(Arc::strong_count(&executor.0), 1);
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(12))]

    #[test]
    fn cached_answers_are_the_computed_ones(
        streams in generate::streams(), late in generate::streams(), start in 0i64..9,
        end in 9i64..20, limit in 1u32..30, backward: bool, shards in 0u32..3,
    ) {
        let runtime = tokio::runtime::Builder::new_current_thread().build().unwrap();
        runtime.block_on(async {
            let config = Config { shard_bytes: 1, ..Config::default() };
            let rig = rig(config, streams, true);
            rig.executor.stored_bytes.store(u64::from(shards), Ordering::Relaxed);
            let direction = if backward { Direction::Backward } else { Direction::Forward };
            for text in [
                r#"sum by (app, pod) (rate({app=~".+"}[30s]))"#,
                r#"topk(2, count_over_time({app=~".+"} | drop env [40s])) / 3"#,
                r#"{app=~".+"} | logfmt | n > 1"#,
                r#"{app=~".+"}"#,
            ] {
                let asked = between(text, start * 10, end * 10);
                let asked = QueryRequest { direction, limit, ..asked };
                for _ in 0..2 {
                    assert_eq!(rig.value(&asked).await, rig.expected(&asked), "{text}");
                }
            }
            rig.executor.rows.write().extend(late);
            rig.executor.generation.fetch_add(1, Ordering::Relaxed);
            let asked = between(RATE, start * 10, end * 10);
            assert_eq!(rig.value(&asked).await, rig.expected(&asked));
        });
    }
}

#[tokio::test]
async fn pieces_that_hold_too_much_together_are_refused_or_asked_one_by_one() {
    let metric = between(r#"rate({app=~".+"}[20s])"#, 0, 190);
    let lines = QueryRequest { limit: 300, ..between(r#"{app=~".+"} |= "n""#, 0, 200) };
    let sharded = Config { shard_bytes: 1, shards_max: 4, ..Config::default() };
    for config in [Config::default(), sharded] {
        let rig = rig_within(
            Limits { max_memory_bytes: 20_000, ..Limits::default() },
            config,
            rows(),
            false,
        );
        rig.executor.stored_bytes.store(4, Ordering::Relaxed);
        assert_eq!(rig.value(&lines).await, rig.expected(&lines));
        let rig = rig_within(
            Limits { max_memory_bytes: 600, ..Limits::default() },
            config,
            rows(),
            false,
        );
        rig.executor.stored_bytes.store(4, Ordering::Relaxed);
        let error = rig.ask(&metric).await.unwrap_err();
        assert!(error.message.contains("more than 600 bytes of memory"), "{error}");
        assert_eq!(rig.value(&lines).await, rig.expected(&lines));
    }
}
