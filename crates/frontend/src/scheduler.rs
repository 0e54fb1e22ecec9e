//! What a scheduler does, without its wires: frontends hand in tasks, workers take them, answers
//! go back.
//!
//! Tasks and answers are opaque bytes. Whoever serves a frontend's connection calls
//! [`SchedulerCore::attach`] and forwards what its handle receives; whoever serves a worker's
//! connection calls [`SchedulerCore::connect`] and works through [`Worker::next`]. Dropping a handle
//! is how a connection ends: a frontend's tasks are cancelled wherever they are, and a worker's task
//! goes back to the front of its queue.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};

use bytes::Bytes;
use hashbrown::HashMap;
use parking_lot::Mutex;
use runtime::clock::Clock;
use tokio::sync::{mpsc, watch};

use crate::metrics::Metrics;
use crate::queue::{FairQueue, Full, QueueConfig, Ticket};

/// How often a task is handed out before its frontend is told that workers die of it.
const HANDED_OUT_MAX: u32 = 5;

/// The queue between frontends and workers.
pub struct SchedulerCore {
    queue: FairQueue<Queued>,
    tasks: Mutex<HashMap<TaskKey, State>>,
    frontends: AtomicU64,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

/// A task's name: whose it is, and the name its frontend gave it.
type TaskKey = (u64, u64);

/// A task as a frontend hands it in.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Submission {
    /// The frontend's own name for it; not used for another task while this one is open.
    pub id: u64,
    /// Whose it is: the tenant, or the tenants joined with `|`.
    pub tenant: String,
    /// Who of the tenant asks.
    pub actor: Vec<String>,
    /// How many queriers may serve the tenant (`max_queriers_per_tenant`); 0 for all.
    pub max_queriers: usize,
    /// The task.
    pub task: Bytes,
}

/// What a frontend is told about its tasks.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Event {
    /// The task was worked on; the bytes are what the worker answered.
    Answered {
        /// The task's name.
        id: u64,
        /// The outcome.
        outcome: Bytes,
    },
    /// The task will not be worked on.
    Refused {
        /// The task's name.
        id: u64,
        /// Why.
        reason: Refusal,
    },
}

/// Why a task is not worked on.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Refusal {
    /// The tenant has too many tasks waiting.
    TooManyOutstanding,
    /// Several workers were lost while they worked on it.
    WorkersLost,
}

struct Queued {
    key: TaskKey,
    submission: Submission,
    handed_out: u32,
    since: std::time::Duration,
}

enum State {
    Waiting(Ticket, mpsc::UnboundedSender<Event>),
    /// Setting the flag tells the worker to stop.
    Running(watch::Sender<bool>, mpsc::UnboundedSender<Event>),
}

impl SchedulerCore {
    /// A scheduler without frontends and workers.
    #[must_use]
    pub fn new(config: QueueConfig, clock: Arc<dyn Clock>, metrics: Metrics) -> Arc<Self> {
        let (queue, tasks) = (FairQueue::new(config), Mutex::default());
        Arc::new(Self { queue, tasks, frontends: AtomicU64::new(0), clock, metrics })
    }

    /// A frontend connects. Its events are bounded by the tasks it has open.
    #[must_use]
    pub fn attach(self: &Arc<Self>) -> Frontend {
        let id = self.frontends.fetch_add(1, Ordering::Relaxed);
        let (events, inbox) = mpsc::unbounded_channel();
        Frontend { core: Arc::clone(self), id, events, inbox }
    }

    /// A querier connects one of its workers. Workers of one querier share its name.
    #[must_use]
    pub fn connect(self: &Arc<Self>, querier: &str) -> Worker {
        self.queue.connect(querier);
        Worker { core: Arc::clone(self), querier: Arc::from(querier) }
    }

    /// Tasks that wait.
    #[must_use]
    pub fn waiting(&self) -> usize {
        self.queue.waiting()
    }

    /// Queriers that are connected.
    #[must_use]
    pub fn queriers(&self) -> usize {
        self.queue.takers()
    }

    fn submit(
        &self,
        key: TaskKey,
        submission: Submission,
        events: mpsc::UnboundedSender<Event>,
    ) -> Result<(), Full> {
        let (tenant, actor) = (submission.tenant.clone(), submission.actor.clone());
        let max_queriers = submission.max_queriers;
        let queued = Queued { key, submission, handed_out: 0, since: self.clock.monotonic() };
        // Under the lock, so that a worker that takes it at once finds its state.
        let mut tasks = self.tasks.lock();
        let ticket = self.queue.push(&tenant, &actor, max_queriers, queued)?;
        tasks.insert(key, State::Waiting(ticket, events));
        self.metrics.queue_length.inc();
        Ok(())
    }

    fn cancel(&self, key: TaskKey) {
        match self.tasks.lock().remove(&key) {
            Some(State::Waiting(ticket, _)) if self.queue.cancel(ticket).is_some() => {
                self.metrics.queue_length.dec();
            }
            Some(State::Running(stop, _)) => {
                // The worker may be gone; then nobody needs to be told.
                let _ = stop.send(true);
            }
            Some(State::Waiting(..)) | None => {}
        }
    }

    /// Marks a task as handed out; `None` when it was cancelled meanwhile.
    fn hand_out(&self, key: TaskKey) -> Option<watch::Receiver<bool>> {
        let mut tasks = self.tasks.lock();
        let state = tasks.get_mut(&key)?;
        let (stop, stopped) = watch::channel(false);
        let events = match state {
            State::Waiting(_, events) | State::Running(_, events) => events.clone(),
        };
        *state = State::Running(stop, events);
        Some(stopped)
    }

    fn answer(&self, key: TaskKey, outcome: Bytes) {
        if let Some(State::Waiting(_, events) | State::Running(_, events)) =
            self.tasks.lock().remove(&key)
        {
            // A frontend that left needs no answer.
            let _ = events.send(Event::Answered { id: key.1, outcome });
        }
    }

    /// Takes back a task whose worker was lost.
    fn give_back(&self, queued: Queued) {
        let mut tasks = self.tasks.lock();
        let Some(State::Waiting(_, events) | State::Running(_, events)) = tasks.remove(&queued.key)
        else {
            return;
        };
        if queued.handed_out >= HANDED_OUT_MAX {
            let event = Event::Refused { id: queued.key.1, reason: Refusal::WorkersLost };
            let _ = events.send(event);
            return;
        }
        let Submission { tenant, actor, max_queriers, .. } = queued.submission.clone();
        let key = queued.key;
        let ticket = self.queue.put_back(&tenant, &actor, max_queriers, queued);
        tasks.insert(key, State::Waiting(ticket, events));
        self.metrics.queue_length.inc();
        self.metrics.retries.inc();
    }
}

/// A connected frontend.
pub struct Frontend {
    core: Arc<SchedulerCore>,
    id: u64,
    events: mpsc::UnboundedSender<Event>,
    inbox: mpsc::UnboundedReceiver<Event>,
}

impl Frontend {
    /// Hands in a task. A task that is refused is told about as an event.
    pub fn submit(&self, submission: Submission) {
        let id = submission.id;
        let submitted = self.core.submit((self.id, id), submission, self.events.clone());
        if submitted.is_err() {
            self.core.metrics.refused.inc();
            let reason = Refusal::TooManyOutstanding;
            let _ = self.events.send(Event::Refused { id, reason });
        }
    }

    /// Gives a task up: it is taken out of the queue, or its worker is told to stop.
    pub fn cancel(&self, id: u64) {
        self.core.cancel((self.id, id));
    }

    /// The next thing that happened to a task. Cancel safe.
    pub async fn event(&mut self) -> Event {
        loop {
            // The handle holds a sender, so the channel stays open.
            if let Some(event) = self.inbox.recv().await {
                return event;
            }
        }
    }
}

impl Drop for Frontend {
    fn drop(&mut self) {
        let open: Vec<TaskKey> = {
            let tasks = self.core.tasks.lock();
            tasks.keys().copied().filter(|(frontend, _)| *frontend == self.id).collect()
        };
        open.into_iter().for_each(|key| self.core.cancel(key));
    }
}

/// A connected worker of a querier.
pub struct Worker {
    core: Arc<SchedulerCore>,
    querier: Arc<str>,
}

impl Worker {
    /// Waits for the next task. Cancel safe.
    pub async fn next(&self) -> Assignment {
        loop {
            let mut queued = self.core.queue.take(&self.querier).await;
            self.core.metrics.queue_length.dec();
            queued.handed_out += 1;
            let waited = self.core.clock.monotonic().saturating_sub(queued.since);
            if let Some(stopped) = self.core.hand_out(queued.key) {
                self.core.metrics.queue_seconds.observe(waited.as_secs_f64());
                let core = Arc::clone(&self.core);
                return Assignment { core, queued: Some(queued), stopped };
            }
        }
    }
}

impl Drop for Worker {
    fn drop(&mut self) {
        self.core.queue.disconnect(&self.querier);
    }
}

/// A task that a worker works on. Dropping it without an answer gives the task to another worker.
pub struct Assignment {
    core: Arc<SchedulerCore>,
    queued: Option<Queued>,
    stopped: watch::Receiver<bool>,
}

impl Assignment {
    /// The task.
    #[must_use]
    pub fn task(&self) -> Bytes {
        self.queued.as_ref().map(|queued| queued.submission.task.clone()).unwrap_or_default()
    }

    /// Completes when nobody waits for the answer any more. Cancel safe.
    pub async fn stopped(&mut self) {
        // An error means that the scheduler forgot the task, which is the same.
        let _ = self.stopped.wait_for(|stopped| *stopped).await;
    }

    /// Sends the outcome to the task's frontend.
    pub fn answer(mut self, outcome: Bytes) {
        if let Some(queued) = self.queued.take() {
            self.core.answer(queued.key, outcome);
        }
    }
}

impl Drop for Assignment {
    fn drop(&mut self) {
        if let Some(queued) = self.queued.take() {
            self.core.give_back(queued);
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use model::Timestamp;
    use runtime::clock::ManualClock;

    use super::*;

    fn core(max: usize) -> Arc<SchedulerCore> {
        let clock = Arc::new(ManualClock::new(Timestamp(0)));
        let config = QueueConfig { max_outstanding_per_tenant: max, ..QueueConfig::default() };
        SchedulerCore::new(config, clock, Metrics::default())
    }

    fn task(id: u64, tenant: &str) -> Submission {
        Submission {
            id,
            tenant: tenant.to_owned(),
            actor: Vec::new(),
            max_queriers: 0,
            task: Bytes::from(format!("task {id}")),
        }
    }

    #[tokio::test]
    async fn answers_find_their_frontend() {
        let core = core(10);
        let (mut one, mut two) = (core.attach(), core.attach());
        let worker = core.connect("querier");
        one.submit(task(7, "a"));
        two.submit(task(7, "b"));
        for _ in 0..2 {
            let assignment = worker.next().await;
            let outcome =
                Bytes::from(assignment.queued.as_ref().unwrap().submission.tenant.clone());
            assert_eq!(assignment.task(), "task 7");
            assignment.answer(outcome);
        }
        let answered = |outcome| Event::Answered { id: 7, outcome };
        assert_eq!(one.event().await, answered(Bytes::from_static(b"a")));
        assert_eq!(two.event().await, answered(Bytes::from_static(b"b")));
        assert_eq!((core.waiting(), core.tasks.lock().len()), (0, 0));
    }

    #[tokio::test]
    async fn a_worker_that_dies_gives_its_task_back() {
        let core = core(10);
        let mut frontend = core.attach();
        frontend.submit(task(1, "a"));
        frontend.submit(task(2, "a"));
        let dying = core.connect("dying");
        let assignment = dying.next().await;
        assert_eq!((core.waiting(), core.queriers()), (1, 1));
        drop((assignment, dying));
        assert_eq!((core.waiting(), core.queriers()), (2, 0));
        let worker = core.connect("other");
        let assignment = worker.next().await;
        assert_eq!(assignment.task(), "task 1", "its place is the first");
        assignment.answer(Bytes::new());
        assert_eq!(frontend.event().await, Event::Answered { id: 1, outcome: Bytes::new() });
    }

    #[tokio::test]
    async fn a_task_that_kills_workers_is_refused() {
        let core = core(10);
        let mut frontend = core.attach();
        frontend.submit(task(1, "a"));
        for _ in 0..HANDED_OUT_MAX {
            let worker = core.connect("querier");
            drop(worker.next().await);
        }
        let reason = Refusal::WorkersLost;
        assert_eq!(frontend.event().await, Event::Refused { id: 1, reason });
        assert_eq!(core.waiting(), 0);
    }

    #[tokio::test]
    async fn tasks_are_cancelled_wherever_they_are() {
        let core = core(10);
        let frontend = core.attach();
        let worker = core.connect("querier");
        frontend.submit(task(1, "a"));
        frontend.submit(task(2, "a"));
        let mut running = worker.next().await;
        assert!(running.stopped().now_or_never().is_none());
        frontend.cancel(1);
        frontend.cancel(2);
        running.stopped().await;
        assert_eq!(core.waiting(), 0);
        drop(running);
        assert_eq!(core.waiting(), 0, "a cancelled task does not come back");
    }

    #[tokio::test]
    async fn a_frontend_that_leaves_takes_its_tasks_along() {
        let core = core(10);
        let (leaving, staying) = (core.attach(), core.attach());
        let worker = core.connect("querier");
        leaving.submit(task(1, "a"));
        leaving.submit(task(2, "a"));
        staying.submit(task(1, "b"));
        let mut running = worker.next().await;
        drop(leaving);
        running.stopped().await;
        assert_eq!(core.waiting(), 1);
        running.answer(Bytes::new());
        assert_eq!(worker.next().await.queued.as_ref().unwrap().submission.tenant, "b");
    }

    #[tokio::test]
    async fn too_many_tasks_are_refused() {
        let core = core(1);
        let mut frontend = core.attach();
        frontend.submit(task(1, "a"));
        frontend.submit(task(2, "a"));
        let reason = Refusal::TooManyOutstanding;
        assert_eq!(frontend.event().await, Event::Refused { id: 2, reason });
    }
}
