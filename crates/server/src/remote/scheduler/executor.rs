//! The frontend's side: tasks go to schedulers, answers come back.

use std::collections::HashMap;
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, AtomicUsize, Ordering};

use frontend::wire::{decode_outcome, encode_task};
use frontend::{Executor, Task, TaskAnswer, TaskError};
use futures_util::future::BoxFuture;
use futures_util::{FutureExt as _, StreamExt as _};
use model::{ErrorKind, TenantId};
use parking_lot::Mutex;
use rpc::scheduler::{FromFrontend, ToFrontend, connect_frontend};
use rpc::{Error, Peer, Pool};
use runtime::backoff::Backoff;
use runtime::clock::Clock;
use runtime::random::SystemRandom;
use runtime::task::{self, AbortOnDrop};
use tokio::sync::{mpsc, oneshot};

use super::{RECONNECT, messages};

/// Executes tasks on queriers of other processes, through schedulers.
pub struct RemoteExecutor {
    links: Vec<Arc<Link>>,
    next: AtomicUsize,
    _connections: Vec<AbortOnDrop<()>>,
}

type Outcome = Result<TaskAnswer, TaskError>;

/// The connection to one scheduler.
struct Link {
    address: String,
    ids: AtomicU64,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// Present while connected. At most two messages for each open task wait in it.
    say: Option<mpsc::UnboundedSender<FromFrontend>>,
    open: HashMap<u64, oneshot::Sender<Outcome>>,
}

impl RemoteExecutor {
    /// Connects to schedulers, in the background and for as long as it lives.
    ///
    /// # Errors
    ///
    /// When an address is none.
    pub fn connect(addresses: &[String], pool: &Arc<Pool>) -> Result<Self, Error> {
        let mut links = Vec::new();
        let mut connections = Vec::new();
        for address in addresses {
            let peer = pool.peer(address)?;
            let link = Arc::new(Link {
                address: address.clone(),
                ids: AtomicU64::new(0),
                state: Mutex::default(),
            });
            links.push(Arc::clone(&link));
            let keep = link.keep(peer, Arc::clone(pool.clock()));
            connections.push(AbortOnDrop(task::spawn("scheduler connection", keep)));
        }
        Ok(Self { links, next: AtomicUsize::new(0), _connections: connections })
    }
}

impl Executor for RemoteExecutor {
    fn run(&self, task: Task) -> BoxFuture<'_, Outcome> {
        async move {
            let first = self.next.fetch_add(1, Ordering::Relaxed);
            let links = &self.links;
            let mut turns = (0..links.len()).map(|turn| &links[(first + turn) % links.len()]);
            let submitted = turns.find_map(|link| link.submit(&task));
            let Some((open, answer)) = submitted else {
                let text = "no query scheduler can be reached, try again";
                return Err(TaskError::retryable(ErrorKind::Unavailable, text));
            };
            let outcome = answer.await;
            drop(open);
            outcome.unwrap_or_else(|_| Err(lost()))
        }
        .boxed()
    }
}

/// A task that somebody waits for. Dropping it cancels the task wherever it is.
struct Open {
    link: Arc<Link>,
    id: u64,
}

impl Drop for Open {
    fn drop(&mut self) {
        let mut state = self.link.state.lock();
        if state.open.remove(&self.id).is_some()
            && let Some(say) = &state.say
        {
            // A scheduler that is gone has forgotten the task anyway.
            let _ = say.send(FromFrontend::Cancel { id: self.id });
        }
    }
}

impl Link {
    /// Hands a task in, if the scheduler is connected.
    fn submit(self: &Arc<Self>, task: &Task) -> Option<(Open, oneshot::Receiver<Outcome>)> {
        let names: Vec<&str> = task.tenants.iter().map(TenantId::as_str).collect();
        let (tenant, actor) = (names.join("|"), task.actor.clone());
        let id = self.ids.fetch_add(1, Ordering::Relaxed);
        let message = FromFrontend::Task { id, tenant, actor, task: encode_task(task).into() };
        let (sender, answer) = oneshot::channel();
        let mut state = self.state.lock();
        state.say.as_ref()?.send(message).ok()?;
        state.open.insert(id, sender);
        Some((Open { link: Arc::clone(self), id }, answer))
    }

    /// Keeps the connection, for ever.
    async fn keep(self: Arc<Self>, peer: Arc<Peer>, clock: Arc<dyn Clock>) {
        let mut backoff = Backoff::new(RECONNECT);
        loop {
            let (say, said) = mpsc::unbounded_channel();
            match connect_frontend(&peer, messages(said)).await {
                Ok(mut answers) => {
                    backoff.reset();
                    tracing::info!(address = self.address, "connected to a query scheduler");
                    self.state.lock().say = Some(say);
                    while let Some(Ok(answer)) = answers.next().await {
                        self.answered(answer);
                    }
                    tracing::warn!(address = self.address, "lost a query scheduler");
                    self.lose();
                }
                Err(error) => {
                    tracing::debug!(address = self.address, %error, "reach a query scheduler");
                }
            }
            let wait = backoff.next_wait(&SystemRandom).unwrap_or(RECONNECT.max);
            clock.sleep(wait).await;
        }
    }

    fn answered(&self, answer: ToFrontend) {
        let Some(open) = self.state.lock().open.remove(&answer.id) else { return };
        let outcome = match answer.outcome {
            Ok(bytes) => decode_outcome(&bytes).unwrap_or_else(|error| {
                Err(TaskError::new(ErrorKind::Internal, error.to_string()))
            }),
            Err(error) => Err(TaskError::new(error.kind, error.message)),
        };
        // Whoever asked may have gone in this moment.
        let _ = open.send(outcome);
    }

    /// Fails every open task, to be tried with another scheduler.
    fn lose(&self) {
        let mut state = self.state.lock();
        state.say = None;
        for (_, open) in state.open.drain() {
            let _ = open.send(Err(lost()));
        }
    }
}

fn lost() -> TaskError {
    TaskError::retryable(ErrorKind::Unavailable, "the query scheduler was lost, try again")
}
