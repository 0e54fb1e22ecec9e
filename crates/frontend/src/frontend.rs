//! The frontend: takes a query through cutting, the cache, the workers, and puts it together.

mod held;
mod logs;
mod metrics;
mod pieces;

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::pin_mut;
use logql::Expr;
use logql::eval::CancelReason;
use logql::request::QueryRequest;
use model::answer::Answer;
use model::{ErrorKind, TenantId};
use runtime::clock::Clock;
use runtime::limits::LimitsFor;

use crate::cache::ResultCache;
use crate::limits::Limits;
use crate::metrics::{Metrics, Skipped};
use crate::plan::{Plan, Splits, plan};
use crate::task::{Executor, HttpRequest, HttpResponse, Task, TaskAnswer, TaskError, Timed, Work};
use pieces::Pieces;

/// How a frontend cuts and retries.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Config {
    /// Whether queries are cut so that several workers share them. Pointless where one process
    /// answers, because its engine uses every core for one query; a query is cut there only where
    /// pieces of it may be in the cache.
    pub splits: bool,
    /// Most parts of the streams that a piece is cut into; 0 and 1 do not cut by stream
    /// (`parallelise_shardable_queries`).
    pub shards_max: u32,
    /// Stored bytes that one part should have to read, about.
    pub shard_bytes: u64,
    /// How often a piece is tried again after a failure that another worker may not have
    /// (`max_retries`).
    pub max_retries: usize,
    /// Whether metric queries begin and end at multiples of their step, both rounded down
    /// (`align_queries_with_step`).
    pub aligns_with_step: bool,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            splits: true,
            shards_max: 16,
            shard_bytes: 64 << 20,
            max_retries: 5,
            aligns_with_step: false,
        }
    }
}

/// What a frontend needs of its surroundings.
pub struct Dependencies {
    /// Who executes tasks.
    pub executor: Arc<dyn Executor>,
    /// Where answers are kept, if they are.
    pub cache: Option<Arc<dyn ResultCache>>,
    /// What tenants may ask for.
    pub limits: Arc<dyn LimitsFor<Limits>>,
    /// Deadlines, and the look-back limit.
    pub clock: Arc<dyn Clock>,
    /// Where to count.
    pub metrics: Metrics,
}

/// A query as it arrives.
#[derive(Debug, Clone)]
pub struct Request {
    /// Whose rows.
    pub tenants: Vec<TenantId>,
    /// Who of the tenant asks (`X-Loki-Actor-Path`).
    pub actor: Vec<String>,
    /// The query.
    pub query: QueryRequest,
    /// Whether everything is to be computed anew (`Cache-Control: no-cache`).
    pub no_cache: bool,
}

/// Answers queries by the answers of others.
pub struct Frontend {
    config: Config,
    executor: Arc<dyn Executor>,
    cache: Option<Arc<dyn ResultCache>>,
    limits: Arc<dyn LimitsFor<Limits>>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

/// A query that is cut.
struct Job {
    expr: Arc<Expr>,
    /// The query with the time that is answered.
    query: QueryRequest,
    plan: Plan,
}

impl Frontend {
    /// A frontend without queries.
    #[must_use]
    pub fn new(config: Config, dependencies: Dependencies) -> Arc<Self> {
        let Dependencies { executor, cache, limits, clock, metrics } = dependencies;
        Arc::new(Self { config, executor, cache, limits, clock, metrics })
    }

    /// Answers a query.
    ///
    /// Dropping the future cancels the query in every queue and on every worker.
    ///
    /// # Errors
    ///
    /// [`TaskError`]; its kind, and why it was stopped, say what to answer.
    pub async fn query(&self, request: Request) -> Result<Timed, TaskError> {
        let limits = self.limits_of(&request.tenants);
        if limits.max_query_parallelism == 0 {
            return Err(TaskError::new(
                ErrorKind::LimitExceeded,
                "querying is disabled: max_query_parallelism is 0",
            ));
        }
        let timeout = limits.query_timeout;
        let work = self.answer(request, &limits);
        if timeout.is_zero() {
            return work.await;
        }
        pin_mut!(work);
        match select(work, self.clock.sleep(timeout)).await {
            Either::Left((answer, _)) => answer,
            Either::Right(_) => Err(TaskError::stopped(CancelReason::Deadline)),
        }
    }

    /// Has any other request answered by a querier.
    ///
    /// # Errors
    ///
    /// As [`Frontend::query`].
    pub async fn http(
        &self,
        tenants: Vec<TenantId>,
        actor: Vec<String>,
        request: HttpRequest,
    ) -> Result<HttpResponse, TaskError> {
        let task = Task { tenants, actor, work: Work::Http(request) };
        match self.run(task).await? {
            TaskAnswer::Http(response) => Ok(response),
            _ => Err(TaskError::unexpected_answer()),
        }
    }

    async fn answer(&self, mut request: Request, limits: &Limits) -> Result<Timed, TaskError> {
        if self.config.aligns_with_step {
            align_down(&mut request.query);
        }
        match self.cut(&request, limits) {
            Some(job) => self.in_pieces(request, limits, job).await,
            None => self.whole(request).await,
        }
    }

    /// Runs a query as it is.
    async fn whole(&self, request: Request) -> Result<Timed, TaskError> {
        let Request { tenants, actor, query, .. } = request;
        self.run_query(Task { tenants, actor, work: Work::Query(query) }).await
    }

    /// Cuts a query, if that may pay.
    fn cut(&self, request: &Request, limits: &Limits) -> Option<Job> {
        let caches = self.cache.is_some() && !request.no_cache;
        if self.cache.is_some() && request.no_cache {
            self.metrics.skip(Skipped::asked);
        }
        if !(self.config.splits || caches) || limits.split_interval.is_zero() {
            return None;
        }
        let (start, _) = request.query.time.bounds();
        let lookback = limits.max_query_lookback;
        // Whoever executes a query that sees only a part of its time knows what to leave out.
        if !lookback.is_zero() && start < self.clock.now().minus(lookback) {
            return None;
        }
        // A text that does not parse is told about by whoever executes it.
        let expr = logql::parse(&request.query.text).ok()?;
        let mut query = request.query.clone();
        if matches!(expr, Expr::Metric(_)) {
            query.time = query.time.aligned();
        }
        let splits = Splits { interval_ns: nanos(limits.split_interval), shards: 1 };
        let plan = plan(&expr, &query, splits)?;
        Some(Job { expr: Arc::new(expr), query, plan })
    }

    async fn in_pieces(
        &self,
        request: Request,
        limits: &Limits,
        mut job: Job,
    ) -> Result<Timed, TaskError> {
        let begun = self.clock.monotonic();
        let pieces = Pieces::prepare(self, &request, limits, &mut job).await?;
        if job.plan.pieces().len() == 1 && !pieces.is_cached(&job.plan.pieces()[0]) {
            // In one piece it is what it was.
            return self.whole(request).await;
        }
        self.metrics.split.inc();
        let (answer, waited) = match &job.plan {
            Plan::Log(plan) => logs::answer(&pieces, &job.query, plan).await?,
            Plan::Metric(plan) => metrics::answer(&pieces, &job, plan, limits).await?,
        };
        let took = self.clock.monotonic().saturating_sub(begun);
        Ok(Timed { answer, waited, worked: took.saturating_sub(waited) })
    }

    /// Runs a task that answers a query.
    async fn run_query(&self, task: Task) -> Result<Timed, TaskError> {
        self.metrics.pieces.inc();
        match self.run(task).await? {
            TaskAnswer::Answer(timed) => Ok(timed),
            _ => Err(TaskError::unexpected_answer()),
        }
    }

    /// Runs a task, and again where another worker may succeed.
    async fn run(&self, task: Task) -> Result<TaskAnswer, TaskError> {
        for _ in 0..self.config.max_retries {
            match self.executor.run(task.clone()).await {
                Err(error) if error.retryable => self.metrics.retries.inc(),
                other => return other,
            };
        }
        self.executor.run(task).await
    }

    /// The limits of a request: the strictest of its tenants'.
    fn limits_of(&self, tenants: &[TenantId]) -> Arc<Limits> {
        let mut all = tenants.iter().map(|tenant| self.limits.limits_for(tenant));
        let first = all.next().unwrap_or_default();
        all.fold(first, |strictest, other| Arc::new(strictest.stricter(&other)))
    }
}

/// The answer with what its pieces could not see.
fn with_warnings(mut answer: Answer, mut warnings: Vec<String>) -> Answer {
    warnings.append(&mut answer.warnings);
    warnings.sort();
    warnings.dedup();
    answer.warnings = warnings;
    answer
}

/// Rounds both ends of a metric query's range down to multiples of its step.
fn align_down(query: &mut QueryRequest) {
    if matches!(logql::parse(&query.text), Ok(Expr::Metric(_))) {
        query.time = query.time.aligned_down();
    }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

#[cfg(test)]
mod tests;
