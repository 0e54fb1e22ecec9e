//! The querier: takes a request through limits, a turn, a view of the rows, and the engine.

use std::sync::Arc;
use std::time::Duration;

use logql::eval::{Control, Params, QueryError};
use logql::source::{Selection, Source};
use logql::syntax::ast::Expr;
use model::answer::{Answer, QueryStats, Value};
use model::{ErrorKind, TenantId, TimeRange};
use runtime::clock::Clock;
use runtime::limits::LimitsFor;
use store::Store;

use crate::admit;
use crate::config::Config;
use crate::error::Error;
use crate::limits::Limits;
use crate::metrics::{Metrics, Operation};
use crate::pool::{Pool, Ran};
use crate::recent::Recent;
use crate::source::common_times::KnownPairs;
use crate::source::hidden::{CompiledRemovals, Hidden, HiddenEntries};
use crate::source::label_pool::LabelPool;
use crate::source::tenant::{Shared, TenantSource};
use crate::source::tenants::{TENANT_LABEL, TenantsSource};
use logql::request::{QueryRequest, QueryTime};

/// How often a request is begun anew when a segment vanished under it.
const FRESH_STARTS: usize = 2;

/// What a querier needs of its surroundings.
pub struct Dependencies {
    /// Segments.
    pub store: Arc<Store>,
    /// Rows that are not in segments yet.
    pub recent: Arc<dyn Recent>,
    /// What tenants may ask for.
    pub limits: Arc<dyn LimitsFor<Limits>>,
    /// Deadlines, and the look-back limit.
    pub clock: Arc<dyn Clock>,
    /// Where to count.
    pub metrics: Metrics,
}

/// Answers queries of one or several tenants.
pub struct Querier {
    pub(crate) config: Config,
    store: Arc<Store>,
    recent: Arc<dyn Recent>,
    limits: Arc<dyn LimitsFor<Limits>>,
    pub(crate) clock: Arc<dyn Clock>,
    metrics: Metrics,
    pool: Pool,
    labels: Arc<LabelPool>,
    pairs: Arc<KnownPairs>,
    removals: CompiledRemovals,
}

/// An answer, and how long it took.
#[derive(Debug, Clone)]
pub struct Timed {
    /// The answer.
    pub answer: Answer,
    /// Time spent waiting for a turn.
    pub waited: Duration,
    /// Time spent working.
    pub worked: Duration,
}

impl Querier {
    /// A querier without requests.
    #[must_use]
    pub fn new(config: Config, dependencies: Dependencies) -> Arc<Self> {
        let Dependencies { store, recent, limits, clock, metrics } = dependencies;
        let pool = Pool::new(
            config.max_concurrent,
            config.max_waiting,
            Arc::clone(&clock),
            metrics.clone(),
        );
        let (labels, pairs, removals) = (Arc::default(), Arc::default(), Default::default());
        Arc::new(Self {
            config,
            store,
            recent,
            limits,
            clock,
            metrics,
            pool,
            labels,
            pairs,
            removals,
        })
    }

    /// Evaluates a query.
    ///
    /// Dropping the future ends the query.
    ///
    /// # Errors
    ///
    /// [`Error`]; its kind, and [`Error::cancelled`], say what to answer.
    pub async fn query(
        self: &Arc<Self>,
        tenants: &[TenantId],
        request: QueryRequest,
    ) -> Result<Answer, Error> {
        self.query_timed(tenants, request).await.map(|timed| timed.answer)
    }

    /// [`Querier::query`] with the time it took.
    ///
    /// # Errors
    ///
    /// As [`Querier::query`].
    pub async fn query_timed(
        self: &Arc<Self>,
        tenants: &[TenantId],
        request: QueryRequest,
    ) -> Result<Timed, Error> {
        let expr = logql::parse(&request.text)?;
        let operation = match expr {
            Expr::Log(_) => Operation::log,
            Expr::Metric(_) => Operation::metric,
        };
        let tenants = self.readable(tenants)?;
        let begun = self.clock.monotonic();
        let result = self.evaluate(&tenants, &expr, &request).await;
        let took = self.clock.monotonic().saturating_sub(begun);
        self.metrics.observe(operation, took, &result);
        if let Ok(timed) = &result {
            self.metrics.worked(&timed.answer.stats);
            self.log_query(&tenants, operation, &request, timed);
        }
        result
    }

    async fn evaluate(
        self: &Arc<Self>,
        tenants: &[TenantId],
        expr: &Expr,
        request: &QueryRequest,
    ) -> Result<Timed, Error> {
        let limits = self.limits_of(tenants);
        let several = tenants.len() > 1;
        let job = Arc::new(Job::new(expr.clone(), request, &limits, several)?);
        let (start, end) = request.time.bounds();
        let now = self.clock.now();
        let is_seen = request.part.is_some() || admit::reads_nothing(expr);
        let Some(start) = admit::look_back(start, end, now, &limits).or(is_seen.then_some(start))
        else {
            return Ok(Timed {
                answer: nothing(expr, request.time),
                waited: Duration::ZERO,
                worked: Duration::ZERO,
            });
        };
        let start = if request.part.is_some() { request.time.bounds().0 } else { start };
        let params = job.params(start, self.config.threads_per_query);
        let ran = self
            .run(tenants, &limits, move |source, control| job.run(&params, source, control))
            .await?;
        Ok(Timed { answer: ran.output, waited: ran.waited, worked: ran.worked })
    }

    /// The tenants of a request, sorted and distinct.
    pub(crate) fn readable(&self, tenants: &[TenantId]) -> Result<Vec<TenantId>, Error> {
        let mut tenants = tenants.to_vec();
        tenants.sort();
        tenants.dedup();
        match tenants.len() {
            0 => Err(Error::refused("no org id")),
            1 => Ok(tenants),
            _ if self.config.multi_tenant => Ok(tenants),
            _ => Err(Error::refused("multiple org IDs present")),
        }
    }

    /// The limits of a request: the strictest of its tenants'.
    pub(crate) fn limits_of(&self, tenants: &[TenantId]) -> Arc<Limits> {
        let mut all = tenants.iter().map(|tenant| self.limits.limits_for(tenant));
        let first = all.next().unwrap_or_default();
        all.fold(first, |strictest, other| Arc::new(strictest.stricter(&other)))
    }

    /// Runs blocking work over the rows of tenants, in turn and with a deadline. When a segment
    /// turns out to be deleted, the work begins anew with a fresh catalog.
    pub(crate) async fn run<T: Send + 'static>(
        self: &Arc<Self>,
        tenants: &[TenantId],
        limits: &Limits,
        work: impl Fn(&Rows, &Control) -> Result<T, Error> + Send + Sync + 'static,
    ) -> Result<Ran<T>, Error> {
        let work = Arc::new(work);
        let mut starts = 0;
        loop {
            let again = tenants;
            let (work, querier, tenants) = (Arc::clone(&work), Arc::clone(self), tenants.to_vec());
            let ran = self
                .pool
                .run(limits.query_timeout, move |control| work(&querier.rows(&tenants), control))
                .await;
            starts += 1;
            match ran {
                Err(Error::Query(QueryError::Source(error)))
                    if error.kind == ErrorKind::NotFound && starts <= FRESH_STARTS =>
                {
                    let refreshed = self.store.refresh_for(again).await;
                    refreshed.map_err(|error| crate::source::source_error(&error))?;
                }
                other => return other,
            }
        }
    }

    /// [`Querier::run`], measured as an operation.
    pub(crate) async fn run_measured<T: Send + 'static>(
        self: &Arc<Self>,
        operation: Operation,
        tenants: &[TenantId],
        limits: &Limits,
        work: impl Fn(&Rows, &Control) -> Result<T, Error> + Send + Sync + 'static,
    ) -> Result<T, Error> {
        let begun = self.clock.monotonic();
        let result = self.run(tenants, limits, work).await;
        let took = self.clock.monotonic().saturating_sub(begun);
        self.metrics.observe(operation, took, &result);
        result.map(|ran| ran.output)
    }

    fn rows(&self, tenants: &[TenantId]) -> Rows {
        let shared = Shared {
            store: Arc::clone(&self.store),
            recent: Arc::clone(&self.recent),
            unreadable: self.config.unreadable,
            pool: Arc::clone(&self.labels),
            pairs: Arc::clone(&self.pairs),
            threads: self.config.threads_per_query,
            metrics: self.metrics.clone(),
        };
        let source = |tenant: &TenantId| {
            let source = TenantSource::new(tenant.clone(), shared.clone());
            Arc::new(source.hiding(self.hidden(tenant)))
        };
        Rows { tenants: tenants.iter().map(source).collect() }
    }

    fn hidden(&self, tenant: &TenantId) -> Hidden {
        let own = self.limits.limits_for(tenant);
        self.removals.hidden(&self.store, tenant, &own, self.clock.now())
    }

    /// Which new entries of a tenant must not be shown from now on; to be asked for again before
    /// long, because requests come and go.
    pub fn hidden_entries(&self, tenant: &TenantId) -> HiddenEntries {
        HiddenEntries::new(self.hidden(tenant))
    }

    fn log_query(
        &self,
        tenants: &[TenantId],
        operation: Operation,
        request: &QueryRequest,
        timed: &Timed,
    ) {
        let names: Vec<&str> = tenants.iter().map(TenantId::as_str).collect();
        let (start, end) = request.time.bounds();
        let stats = &timed.answer.stats;
        tracing::info!(
            org_id = names.join("|"),
            query = request.text,
            query_type = operation.as_str(),
            range_type = if start == end { "instant" } else { "range" },
            length_ns = end.0.saturating_sub(start.0),
            limit = request.limit,
            duration_ms = (timed.waited + timed.worked).as_millis() as u64,
            queue_time_ms = timed.waited.as_millis() as u64,
            total_bytes = stats.head_bytes + stats.decompressed_bytes,
            total_lines = stats.head_lines + stats.decompressed_lines,
            compressed_bytes = stats.compressed_bytes,
            post_filter_lines = stats.post_filter_lines,
            blocks_selected = stats.blocks_selected,
            blocks_pruned = stats.blocks_pruned,
            blocks_read = stats.blocks_read,
            index_bytes = stats.index_bytes,
            total_entries = stats.entries_returned,
            duplicates = stats.duplicates,
            warnings = timed.answer.warnings.len(),
            "query"
        );
    }
}

/// The rows of the tenants of one request.
pub(crate) struct Rows {
    pub(crate) tenants: Vec<Arc<TenantSource>>,
}

impl Rows {
    /// As one source. Streams of several tenants carry their tenant as a label.
    pub(crate) fn source(&self) -> Arc<dyn Source + Send> {
        match &self.tenants[..] {
            [one] => Arc::clone(one) as Arc<dyn Source + Send>,
            several => Arc::new(TenantsSource::new(several.to_vec())),
        }
    }

    /// Whether streams carry their tenant as a label.
    pub(crate) fn are_of_several(&self) -> bool {
        self.tenants.len() > 1
    }
}

/// A query that limits allow.
pub(crate) struct Job {
    expr: Expr,
    time: QueryTime,
    request: QueryRequest,
    limits: Limits,
}

impl Job {
    /// # Errors
    ///
    /// [`Error::Refused`] and [`Error::Query`] when limits forbid the query.
    pub(crate) fn new(
        expr: Expr,
        request: &QueryRequest,
        limits: &Limits,
        several: bool,
    ) -> Result<Self, Error> {
        if request.part.is_none() {
            admit::check_query(&expr, request, limits)?;
        }
        if several {
            expr.selectors().into_iter().try_for_each(check_without_tenant)?;
        }
        if matches!((&expr, request.time), (Expr::Log(_), QueryTime::Instant(_))) {
            return Err(Error::refused(
                "log queries are not supported as an instant query type, please change your query \
                 to a range query type",
            ));
        }
        let is_split = matches!(expr, Expr::Metric(_)) && !limits.split_interval.is_zero();
        let time = if is_split { request.time.aligned() } else { request.time };
        Ok(Self { expr, time, request: request.clone(), limits: limits.clone() })
    }

    pub(crate) fn params(&self, earliest: model::Timestamp, threads: usize) -> Params {
        let (start, end) = self.time.bounds();
        let step_ns = self.time.step_ns();
        // A look-back limit moves the start of a range, and by whole steps that of a metric query.
        let behind = earliest.0.saturating_sub(start.0).max(0);
        let moved = match (&self.expr, self.time) {
            (_, QueryTime::Instant(_)) => 0,
            (Expr::Log(_), _) => behind,
            (Expr::Metric(_), _) => (behind / step_ns.max(1)).saturating_mul(step_ns.max(1)),
        };
        Params {
            start: model::Timestamp(start.0.saturating_add(moved)),
            end,
            step_ns,
            threads,
            ..self.request.params(nanos(self.limits.split_interval))
        }
    }

    fn run(&self, params: &Params, rows: &Rows, control: &Control) -> Result<Answer, Error> {
        let source = rows.source();
        self.check_bytes(&*source, params)?;
        // A piece may have more series than what is made of it.
        let is_part = self.request.part.is_some();
        let limits = logql::eval::Limits {
            max_query_series: if is_part { 0 } else { self.limits.max_query_series },
            max_entries: self.limits.max_entries,
            max_range_ns: nanos(self.limits.max_query_range),
            max_memory_bytes: self.limits.max_memory_bytes,
            approx_topk: self.limits.approx_topk,
        };
        let mut answer = logql::eval::evaluate(&self.expr, params, &*source, control, &limits)?;
        let planned = rows.tenants.iter().map(|source| source.planned_segments() as u64);
        answer.stats.segments_selected = planned.sum();
        for pruned in rows.tenants.iter().map(|source| source.pruned()) {
            answer.stats.blocks_selected += pruned.blocks;
            answer.stats.blocks_pruned += pruned.blocks;
            answer.stats.index_bytes += pruned.index_bytes;
        }
        Ok(answer)
    }

    /// Refuses a whole query that would read too much.
    pub(crate) fn check_bytes(&self, source: &dyn Source, params: &Params) -> Result<(), Error> {
        if self.limits.max_query_bytes_read == 0 || self.request.part.is_some() {
            return Ok(());
        }
        admit::check_bytes(self.bytes_to_read(source, params)?, &self.limits)
    }

    /// Line bytes of everything the query may have to look at.
    fn bytes_to_read(&self, source: &dyn Source, params: &Params) -> Result<u64, Error> {
        let range = admit::read_range(&self.expr, params.start, params.end);
        let mut bytes = 0u64;
        for selector in self.expr.selectors() {
            let selection = Selection::all(selector, range);
            bytes += source.pieces(&selection)?.iter().map(|piece| piece.bytes).sum::<u64>();
        }
        Ok(bytes)
    }
}

/// A selector must select something without its matchers on the tenant.
fn check_without_tenant(selector: &[model::Matcher]) -> Result<(), Error> {
    let mut rest = selector.iter().filter(|matcher| matcher.name() != TENANT_LABEL);
    if rest.any(|matcher| !matcher.matches_empty()) {
        return Ok(());
    }
    match logql::parse_selector("{}") {
        Err(cause) => {
            Err(Error::refused(format!("log selector is invalid after matcher update: {cause}")))
        }
        Ok(_) => Ok(()),
    }
}

/// The answer to a query about a time that the tenant may not see.
fn nothing(expr: &Expr, time: QueryTime) -> Answer {
    let value = match (expr, time) {
        (Expr::Log(_), _) => Value::Streams(Vec::new()),
        (Expr::Metric(_), QueryTime::Instant(_)) => Value::Vector(Vec::new()),
        (Expr::Metric(_), QueryTime::Range { .. }) => Value::Matrix(Vec::new()),
    };
    Answer { value, stats: QueryStats::default(), warnings: Vec::new() }
}

fn nanos(duration: Duration) -> i64 {
    i64::try_from(duration.as_nanos()).unwrap_or(i64::MAX)
}

/// A range that holds both of its ends.
pub(crate) fn inclusive(start: model::Timestamp, end: model::Timestamp) -> TimeRange {
    TimeRange::new(start, model::Timestamp(end.0.saturating_add(1)))
}

#[cfg(test)]
mod tests;
