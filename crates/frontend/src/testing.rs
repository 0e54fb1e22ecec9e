//! What tests of this crate run pieces with: the engine over rows in memory.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use logql::eval::memory::{Layout, MemorySource};
use logql::eval::{Control, Limits, QueryError, evaluate};
use logql::request::{QueryRequest, QueryTime};
use model::answer::Answer;
use model::{Entry, Labels, TenantId, TimeRange, Timestamp};
use parking_lot::{Mutex, RwLock};

use crate::task::{Executor, Task, TaskAnswer, TaskError, Timed, Version, Work};

pub(crate) const SECOND: i64 = 1_000_000_000;

pub(crate) type Streams = Vec<(Labels, Vec<Entry>)>;

pub(crate) fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

/// A query over all of the test data, with steps of 10 seconds.
pub(crate) fn query(text: &str) -> QueryRequest {
    let (start, end) = (Timestamp(0), Timestamp(200 * SECOND));
    QueryRequest {
        text: text.to_owned(),
        time: QueryTime::Range { start, end, step_ns: 10 * SECOND },
        direction: model::Direction::Backward,
        limit: 100,
        interval_ns: 0,
        categorize: false,
        tags: Default::default(),
        part: None,
    }
}

/// What the engine answers, as a querier would ask it.
pub(crate) fn ask(
    source: &MemorySource,
    query: &QueryRequest,
    split_ns: i64,
) -> Result<Answer, QueryError> {
    let expr = logql::parse(&query.text).unwrap_or_else(|error| panic!("{}: {error}", query.text));
    let params = query.params(split_ns);
    let max_query_series = if query.part.is_some() { 0 } else { 500 };
    let limits = Limits { max_query_series, ..Limits::default() };
    evaluate(&expr, &params, source, &Control::new(), &limits)
}

/// An executor over rows in memory that counts what it is asked.
pub(crate) struct EngineExecutor {
    pub(crate) rows: RwLock<Streams>,
    pub(crate) split_ns: i64,
    /// Rows from here on count as not flushed.
    pub(crate) unflushed_from: Mutex<Timestamp>,
    /// Stands for delete requests and compactions.
    pub(crate) generation: AtomicUsize,
    pub(crate) queries: AtomicUsize,
    pub(crate) seen: Mutex<Vec<QueryRequest>>,
    /// How many tasks fail before one succeeds.
    pub(crate) failures: AtomicUsize,
    pub(crate) stored_bytes: AtomicU64,
}

impl EngineExecutor {
    pub(crate) fn new(rows: Streams, split_ns: i64) -> Arc<Self> {
        Arc::new(Self {
            rows: RwLock::new(rows),
            split_ns,
            unflushed_from: Mutex::new(Timestamp::MAX),
            generation: AtomicUsize::new(0),
            queries: AtomicUsize::new(0),
            seen: Mutex::default(),
            failures: AtomicUsize::new(0),
            stored_bytes: AtomicU64::new(0),
        })
    }

    pub(crate) fn queries(&self) -> usize {
        self.queries.swap(0, Ordering::Relaxed)
    }

    pub(crate) fn source(&self) -> MemorySource {
        source_of(&self.rows.read())
    }

    fn version(&self, range: TimeRange) -> Version {
        let rows = self.rows.read();
        let inside = |entry: &&Entry| range.contains(entry.timestamp);
        let found: Vec<&Entry> = rows.iter().flat_map(|(_, rows)| rows).filter(inside).collect();
        let unflushed = *self.unflushed_from.lock();
        let is_flushed = found.iter().all(|entry| entry.timestamp < unflushed);
        let generation = self.generation.load(Ordering::Relaxed) as u64;
        let hash = is_flushed.then_some(found.len() as u64 + (generation << 32));
        Version { hash, stored_bytes: self.stored_bytes.load(Ordering::Relaxed) }
    }

    fn answer(&self, task: &Task) -> Result<TaskAnswer, TaskError> {
        match &task.work {
            Work::Query(query) => {
                if self.failures.load(Ordering::Relaxed) > 0 {
                    self.failures.fetch_sub(1, Ordering::Relaxed);
                    return Err(TaskError::retryable(model::ErrorKind::Unavailable, "gone"));
                }
                self.queries.fetch_add(1, Ordering::Relaxed);
                self.seen.lock().push(query.clone());
                let answer = ask(&self.source(), query, self.split_ns)?;
                let (waited, worked) = (Duration::ZERO, Duration::from_millis(1));
                Ok(TaskAnswer::Answer(Timed { answer, waited, worked }))
            }
            Work::Versions { ranges, .. } => {
                Ok(TaskAnswer::Versions(ranges.iter().map(|range| self.version(*range)).collect()))
            }
            Work::Http(_) => Err(TaskError::unexpected_answer()),
        }
    }
}

impl Executor for EngineExecutor {
    fn run(&self, task: Task) -> BoxFuture<'_, Result<TaskAnswer, TaskError>> {
        // Through bytes and back, as between processes.
        let task = crate::wire::decode_task(&crate::wire::encode_task(&task)).unwrap();
        let outcome = crate::wire::encode_outcome(&self.answer(&task));
        async move { crate::wire::decode_outcome(&outcome).unwrap() }.boxed()
    }
}

pub(crate) fn source_of(streams: &Streams) -> MemorySource {
    let mut source = MemorySource::new(Layout { piece_rows: 7, cell_ns: 10 * SECOND });
    source.add_origin(streams.clone(), None);
    source
}

pub(crate) mod generate {
    use proptest::prelude::*;

    use super::*;

    /// Streams whose rows often share times and lines, and whose series often share labels.
    pub(crate) fn streams() -> impl Strategy<Value = Streams> {
        let level = prop::option::of(prop::sample::select(vec!["info", "error"]));
        let row = (1i64..180, 0u8..9, level, prop::option::of(0u8..3), 0i64..3);
        let rows = prop::collection::vec(row, 0..40);
        prop::collection::vec((0u8..3, 0u8..4, rows), 0..8).prop_map(|streams| {
            let stream = |(app, env, rows): (u8, u8, Vec<_>)| {
                let labels = Labels::new([("app", format!("a{app}")), ("env", format!("e{env}"))]);
                (labels, rows.into_iter().map(entry).collect())
            };
            streams.into_iter().map(stream).collect()
        })
    }

    fn entry((second, n, level, pod, late): (i64, u8, Option<&str>, Option<u8>, i64)) -> Entry {
        let line = match n {
            8 => "{broken".to_owned(),
            n => format!("n={n} t={}ms {}", n * 7, "x".repeat(n as usize)),
        };
        let mut entry = Entry::new(Timestamp(second * SECOND + late), line.into_bytes());
        let level = level.map(|level| ("detected_level".into(), level.into()));
        let pod = pod.map(|pod| ("pod".into(), format!("p{pod}").into()));
        entry.structured_metadata = level.into_iter().chain(pod).collect();
        entry
    }
}
