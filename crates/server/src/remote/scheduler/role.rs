//! The scheduler's side of its connections.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use frontend::scheduler::{Assignment, Event, Refusal, SchedulerCore, Submission, Worker};
use frontend::wire::encode_outcome;
use frontend::{TaskError, scheduler};
use futures_util::StreamExt as _;
use futures_util::future::select_all;
use futures_util::stream::{self, BoxStream};
use model::{ErrorKind, TenantId};
use rpc::scheduler::{FromFrontend, FromWorker, SchedulerRole, ToFrontend, ToWorker};
use runtime::limits::LimitsFor;

/// The queue of this process, as frontends and queriers elsewhere use it.
pub struct SchedulerOfCore {
    core: Arc<SchedulerCore>,
    max_queriers: MaxQueriers,
    queriers: AtomicU64,
}

/// How many queriers may serve a tenant (`max_queriers_per_tenant`); 0 for all.
type MaxQueriers = Arc<dyn LimitsFor<usize>>;

impl SchedulerOfCore {
    /// Serves a queue. `max_queriers` tells how many queriers may serve a tenant; 0 for all.
    #[must_use]
    pub fn new(core: Arc<SchedulerCore>, max_queriers: Arc<dyn LimitsFor<usize>>) -> Self {
        Self { core, max_queriers, queriers: AtomicU64::new(0) }
    }
}

impl SchedulerRole for SchedulerOfCore {
    fn frontend(&self, said: BoxStream<'static, FromFrontend>) -> BoxStream<'static, ToFrontend> {
        let state = (said, self.core.attach(), Arc::clone(&self.max_queriers));
        stream::unfold(state, |(mut said, mut frontend, max_queriers)| async move {
            let answer = next_answer(&mut said, &mut frontend, &max_queriers).await?;
            Some((answer, (said, frontend, max_queriers)))
        })
        .boxed()
    }

    fn worker(&self, said: BoxStream<'static, FromWorker>) -> BoxStream<'static, ToWorker> {
        let number = self.queriers.fetch_add(1, Ordering::Relaxed);
        let worker = self.core.connect(&number.to_string());
        let querier = Querier { said, worker, slots: 0, next_id: 0, running: HashMap::new() };
        stream::unfold(querier, |mut querier| async move {
            let order = querier.next_order().await?;
            Some((order, querier))
        })
        .boxed()
    }
}

/// Takes what a frontend says until there is something to tell it; `None` when it has gone.
async fn next_answer(
    said: &mut BoxStream<'static, FromFrontend>,
    frontend: &mut scheduler::Frontend,
    max_queriers: &MaxQueriers,
) -> Option<ToFrontend> {
    loop {
        tokio::select! {
            message = said.next() => match message? {
                FromFrontend::Task { id, tenant, actor, task } => {
                    let max_queriers = max_queriers_of(&tenant, max_queriers);
                    frontend.submit(Submission { id, tenant, actor, max_queriers, task });
                }
                FromFrontend::Cancel { id } => frontend.cancel(id),
            },
            event = frontend.event() => return Some(told(event)),
        }
    }
}

/// The strictest bound of the tenants of a task, whose names are joined with `|`.
fn max_queriers_of(tenants: &str, limits: &MaxQueriers) -> usize {
    let named = tenants.split('|').filter_map(|name| TenantId::new(name).ok());
    let bounds = named.map(|tenant| *limits.limits_for(&tenant)).filter(|bound| *bound > 0);
    bounds.min().unwrap_or(0)
}

fn told(event: Event) -> ToFrontend {
    match event {
        Event::Answered { id, outcome } => ToFrontend { id, outcome: Ok(outcome) },
        Event::Refused { id, reason } => {
            let error = match reason {
                Refusal::TooManyOutstanding => {
                    rpc::Error::new(ErrorKind::LimitExceeded, "too many outstanding requests")
                }
                Refusal::WorkersLost => rpc::Error::new(
                    ErrorKind::Unavailable,
                    "the query was given up: every querier that began it was lost",
                ),
            };
            ToFrontend { id, outcome: Err(error) }
        }
    }
}

/// A querier's connection. Dropping it gives its tasks to others.
struct Querier {
    said: BoxStream<'static, FromWorker>,
    worker: Worker,
    /// How many tasks it runs at once.
    slots: usize,
    next_id: u64,
    running: HashMap<u64, Assignment>,
}

/// What happens on a querier's connection.
enum Happened {
    Said(FromWorker),
    Assigned(Assignment),
    Stopped(u64),
    Gone,
}

impl Querier {
    /// Takes what the querier says until there is something to tell it; `None` when it has gone.
    async fn next_order(&mut self) -> Option<ToWorker> {
        loop {
            match self.happened().await {
                Happened::Gone => return None,
                Happened::Said(FromWorker::Slots(slots)) => self.slots = slots as usize,
                Happened::Said(FromWorker::Done { id, outcome }) => {
                    // A task that was cancelled meanwhile is not known any more.
                    if let Some(assignment) = self.running.remove(&id) {
                        assignment.answer(outcome.unwrap_or_else(|error| failed(&error)));
                    }
                }
                Happened::Assigned(assignment) => {
                    let (id, task) = (self.next_id, assignment.task());
                    self.next_id += 1;
                    self.running.insert(id, assignment);
                    return Some(ToWorker::Task { id, task });
                }
                Happened::Stopped(id) => {
                    self.running.remove(&id);
                    return Some(ToWorker::Cancel { id });
                }
            }
        }
    }

    async fn happened(&mut self) -> Happened {
        let has_room = self.running.len() < self.slots;
        let is_idle = self.running.is_empty();
        let stops = self.running.iter_mut().map(|(id, assignment)| {
            Box::pin(async move {
                assignment.stopped().await;
                *id
            })
        });
        let stopped = async {
            match is_idle {
                true => std::future::pending().await,
                false => select_all(stops).await.0,
            }
        };
        tokio::select! {
            said = self.said.next() => said.map_or(Happened::Gone, Happened::Said),
            id = stopped => Happened::Stopped(id),
            assignment = self.worker.next(), if has_room => Happened::Assigned(assignment),
        }
    }
}

/// A querier that could not even answer; another one may.
fn failed(error: &rpc::Error) -> Bytes {
    encode_outcome(&Err(TaskError::retryable(error.kind, error.message.clone()))).into()
}

#[cfg(test)]
mod tests {
    use frontend::queue::QueueConfig;
    use futures_util::FutureExt as _;
    use runtime::clock::ManualClock;

    use super::*;

    /// One querier may serve `a`, three may serve `b`, and all may serve the others.
    struct Bounds;

    impl LimitsFor<usize> for Bounds {
        fn limits_for(&self, tenant: &TenantId) -> Arc<usize> {
            Arc::new(match tenant.as_str() {
                "a" => 1,
                "b" => 3,
                _ => 0,
            })
        }
    }

    #[test]
    fn the_strictest_bound_counts() {
        let limits: MaxQueriers = Arc::new(Bounds);
        let bounds = ["a", "b", "c", "a|b", "b|c", ""];
        assert_eq!(bounds.map(|tenants| max_queriers_of(tenants, &limits)), [1, 3, 0, 1, 3, 0]);
    }

    #[tokio::test]
    async fn a_bounded_tenant_is_served_by_so_many_queriers() {
        let clock = Arc::new(ManualClock::default());
        let core = SchedulerCore::new(QueueConfig::default(), clock, frontend::Metrics::default());
        let role = SchedulerOfCore::new(Arc::clone(&core), Arc::new(Bounds));
        let task = |id| {
            let (tenant, actor) = ("a".to_owned(), Vec::new());
            FromFrontend::Task { id, tenant, actor, task: Bytes::new() }
        };
        let open = stream::pending();
        let mut frontend = role.frontend(stream::iter((0..9).map(task)).chain(open).boxed());
        assert!(frontend.next().now_or_never().is_none());
        let slots = || stream::once(async { FromWorker::Slots(9) }).chain(stream::pending());
        let mut queriers: Vec<_> = (0..4).map(|_| role.worker(slots().boxed())).collect();
        let mut serving = 0;
        for querier in &mut queriers {
            serving += usize::from(querier.next().now_or_never().is_some());
        }
        assert_eq!(serving, 1);
    }
}
