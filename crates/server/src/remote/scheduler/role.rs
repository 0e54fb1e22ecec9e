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
use model::ErrorKind;
use rpc::scheduler::{FromFrontend, FromWorker, SchedulerRole, ToFrontend, ToWorker};

/// The queue of this process, as frontends and queriers elsewhere use it.
pub struct SchedulerOfCore {
    core: Arc<SchedulerCore>,
    queriers: AtomicU64,
}

impl SchedulerOfCore {
    /// Serves a queue.
    #[must_use]
    pub fn new(core: Arc<SchedulerCore>) -> Self {
        Self { core, queriers: AtomicU64::new(0) }
    }
}

impl SchedulerRole for SchedulerOfCore {
    fn frontend(&self, said: BoxStream<'static, FromFrontend>) -> BoxStream<'static, ToFrontend> {
        stream::unfold((said, self.core.attach()), |(mut said, mut frontend)| async move {
            let answer = next_answer(&mut said, &mut frontend).await?;
            Some((answer, (said, frontend)))
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
) -> Option<ToFrontend> {
    loop {
        tokio::select! {
            message = said.next() => match message? {
                FromFrontend::Task { id, tenant, actor, task } => {
                    frontend.submit(Submission { id, tenant, actor, max_queriers: 0, task });
                }
                FromFrontend::Cancel { id } => frontend.cancel(id),
            },
            event = frontend.event() => return Some(told(event)),
        }
    }
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
