//! The querier of this process as the executor of its frontend.

use std::sync::Arc;
use std::time::Duration;

use frontend::{Executor, Gate, Place, Task, TaskAnswer, TaskError, Timed, Version, Work};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use logql::request::QueryRequest;
use model::{ErrorKind, TenantId, TimeRange};
use querier::{Querier, RangeVersion};

use crate::app::App;
use crate::http;

/// Executes tasks in this process, as many at once as there are places, in fair turns.
pub struct LocalExecutor {
    app: Arc<App>,
    gate: Arc<Gate>,
}

impl LocalExecutor {
    /// The querier need not run yet; until then tasks are refused as not now.
    #[must_use]
    pub fn new(app: Arc<App>, gate: Arc<Gate>) -> Self {
        Self { app, gate }
    }

    async fn query(
        &self,
        querier: &Arc<Querier>,
        tenants: &[TenantId],
        actor: &[String],
        query: QueryRequest,
    ) -> Result<TaskAnswer, TaskError> {
        let (_place, waited) = enter(&self.gate, tenants, actor).await?;
        let timed = querier.query_timed(tenants, query).await;
        let timed = timed.map_err(|error| task_error(&error))?;
        Ok(TaskAnswer::Answer(Timed {
            answer: timed.answer,
            waited: waited + timed.waited,
            worked: timed.worked,
        }))
    }
}

impl Executor for LocalExecutor {
    fn run(&self, task: Task) -> BoxFuture<'_, Result<TaskAnswer, TaskError>> {
        async move {
            let querier = self.app.parts.querier.find().ok_or_else(|| {
                TaskError::new(ErrorKind::Unavailable, "the querier is not running")
            })?;
            let Task { tenants, actor, work } = task;
            match work {
                Work::Query(query) => self.query(&querier, &tenants, &actor, query).await,
                Work::Versions { query, ranges } => {
                    let _place = enter(&self.gate, &tenants, &actor).await?;
                    versions(&querier, &tenants, query, ranges).await
                }
                Work::Http(request) => {
                    let app = Arc::clone(&self.app);
                    let answered = http::forward::answer(app, tenants, actor, request);
                    answered.await.map(TaskAnswer::Http)
                }
            }
        }
        .boxed()
    }
}

/// Waits for a place in this process; answers it and the time it took.
///
/// # Errors
///
/// When the tenants have too many waiting already.
pub async fn enter(
    gate: &Arc<Gate>,
    tenants: &[TenantId],
    actor: &[String],
) -> Result<(Place, Duration), TaskError> {
    let entered = match tenants {
        [one] => gate.enter(one.as_str(), actor).await,
        several => {
            let names: Vec<&str> = several.iter().map(TenantId::as_str).collect();
            gate.enter(&names.join("|"), actor).await
        }
    };
    entered.map_err(|_| TaskError::too_many_outstanding())
}

async fn versions(
    querier: &Arc<Querier>,
    tenants: &[TenantId],
    query: QueryRequest,
    ranges: Vec<TimeRange>,
) -> Result<TaskAnswer, TaskError> {
    let versions = querier.versions(tenants, &query, ranges).await;
    let version =
        |version: RangeVersion| Version { hash: version.hash, stored_bytes: version.stored_bytes };
    let versions = versions.map_err(|error| task_error(&error))?;
    Ok(TaskAnswer::Versions(versions.into_iter().map(version).collect()))
}

/// A querier's error as a frontend takes it. It is not tried again: there is no other querier.
#[must_use]
pub fn task_error(error: &querier::Error) -> TaskError {
    let stopped = error.cancelled();
    TaskError { stopped, ..TaskError::new(error.kind(), error.to_string()) }
}
