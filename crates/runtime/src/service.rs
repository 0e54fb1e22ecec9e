//! Services: parts of the process with a life.
//!
//! ```text
//! New ──► Starting ──► Running ──► Stopping ──► Terminated
//!  │         │                        │
//!  │         ├──────────► Stopping    └───────► Failed
//!  │         └──────────► Failed
//!  └────────────────────────────────────────► Terminated
//! ```
//!
//! A service has three steps: start, run and stop. The start step fails alone: neither of the
//! others is called. Once it succeeded, the stop step is called whatever happens. A stop request
//! made while starting is no failure. States never go back, and the last two are final.
//!
//! Listeners hear every transition after they were added, in order, each on a task of its own.

mod manager;
#[cfg(test)]
mod tests;

use std::fmt;
use std::future::Future;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

pub use manager::{FailureWatcher, Manager, ManagerEvent};

use crate::clock::Clock;
use crate::error::{Error, Failure};
use crate::shutdown::Stop;
use crate::task::{self, JoinHandle};

/// Where a service is in its life.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub enum State {
    /// Not started.
    New,
    /// The start step is being taken.
    Starting,
    /// Started, and does its work.
    Running,
    /// The stop step is being taken.
    Stopping,
    /// Ended as asked. Final.
    Terminated,
    /// Ended because of a failure. Final.
    Failed,
}

impl State {
    /// Whether nothing follows.
    #[must_use]
    pub fn is_final(self) -> bool {
        matches!(self, Self::Terminated | Self::Failed)
    }

    /// Whether a service may go from this state to `next`.
    #[must_use]
    pub fn may_become(self, next: Self) -> bool {
        matches!(
            (self, next),
            (Self::New, Self::Starting | Self::Terminated)
                | (Self::Starting, Self::Running | Self::Stopping | Self::Failed)
                | (Self::Running, Self::Stopping)
                | (Self::Stopping, Self::Terminated | Self::Failed)
        )
    }
}

impl fmt::Display for State {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        fmt::Debug::fmt(self, f)
    }
}

/// A service went from one state to another.
#[derive(Debug, Clone)]
pub struct Transition {
    /// The state it left.
    pub from: State,
    /// The state it is in.
    pub to: State,
    /// Why, when `to` is [`State::Failed`].
    pub failure: Option<Failure>,
}

/// At most this many transitions happen in a life: starting, running, stopping, and an end.
const TRANSITIONS_MAX: usize = 4;

type Step = Box<dyn FnOnce(Stop) -> BoxFuture<'static, Result<(), Failure>> + Send>;
type StopStep = Box<dyn FnOnce(Option<Failure>) -> BoxFuture<'static, Result<(), Failure>> + Send>;

/// Describes a service step by step.
pub struct ServiceBuilder {
    name: Arc<str>,
    steps: Steps,
}

struct Steps {
    start: Step,
    run: Step,
    stop: StopStep,
}

impl ServiceBuilder {
    /// The work before the service is ready. It should end early when the stop request comes.
    #[must_use]
    pub fn starting<F>(mut self, step: impl FnOnce(Stop) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.steps.start = Box::new(move |stop| step(stop).boxed());
        self
    }

    /// The work itself. The service stops when it returns; it should return when the stop request
    /// comes. Without one the service waits for the request.
    #[must_use]
    pub fn running<F>(mut self, step: impl FnOnce(Stop) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.steps.run = Box::new(move |stop| step(stop).boxed());
        self
    }

    /// Work at intervals. The first error ends the service; a stop request is heard between two
    /// rounds.
    #[must_use]
    pub fn every<F>(
        self,
        interval: Duration,
        clock: Arc<dyn Clock>,
        mut round: impl FnMut() -> F + Send + 'static,
    ) -> Self
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.running(move |stop| async move {
            loop {
                tokio::select! {
                    () = stop.requested() => return Ok(()),
                    () = clock.sleep(interval) => round().await?,
                }
            }
        })
    }

    /// The work after the service was asked to stop, or after its work ended with that failure.
    #[must_use]
    pub fn stopping<F>(mut self, step: impl FnOnce(Option<Failure>) -> F + Send + 'static) -> Self
    where
        F: Future<Output = Result<(), Failure>> + Send + 'static,
    {
        self.steps.stop = Box::new(move |failure| step(failure).boxed());
        self
    }

    /// A service that has not been started.
    #[must_use]
    pub fn build(self) -> Service {
        let guarded = Guarded { steps: Some(self.steps), listeners: Vec::new(), next_listener: 0 };
        Service(Arc::new(Inner {
            name: self.name,
            state: watch::Sender::new(State::New),
            failure: OnceLock::new(),
            stop: Stop::new(),
            guarded: Mutex::new(guarded),
        }))
    }
}

/// A handle on a service. Clones are handles on the same service.
#[derive(Clone)]
pub struct Service(Arc<Inner>);

struct Inner {
    name: Arc<str>,
    state: watch::Sender<State>,
    failure: OnceLock<Failure>,
    stop: Stop,
    guarded: Mutex<Guarded>,
}

/// Every transition is made under this lock, so that all listeners hear the same order.
struct Guarded {
    steps: Option<Steps>,
    listeners: Vec<(u64, mpsc::Sender<Transition>)>,
    next_listener: u64,
}

impl Service {
    /// Describes a service that does nothing until it is asked to stop.
    pub fn builder(name: impl Into<Arc<str>>) -> ServiceBuilder {
        let steps = Steps {
            start: Box::new(|_| std::future::ready(Ok(())).boxed()),
            run: Box::new(|stop| {
                async move {
                    stop.requested().await;
                    Ok(())
                }
                .boxed()
            }),
            stop: Box::new(|_| std::future::ready(Ok(())).boxed()),
        };
        ServiceBuilder { name: name.into(), steps }
    }

    /// The name given when it was built.
    #[must_use]
    pub fn name(&self) -> &Arc<str> {
        &self.0.name
    }

    /// Where it is in its life.
    #[must_use]
    pub fn state(&self) -> State {
        *self.0.state.borrow()
    }

    /// Why it failed, if it did.
    #[must_use]
    pub fn failure(&self) -> Option<Failure> {
        self.0.failure.get().cloned()
    }

    /// Starts the service and returns at once.
    ///
    /// # Errors
    ///
    /// [`Error::NotNew`] when it was started or stopped before.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn start(&self) -> Result<(), Error> {
        let mut guarded = self.0.guarded.lock();
        match guarded.steps.take() {
            Some(steps) if self.state() == State::New => {
                self.0.change(&mut guarded, State::Starting, None);
                drop(guarded);
                drop(task::spawn("service", Arc::clone(&self.0).live(steps)));
                Ok(())
            }
            _ => Err(Error::NotNew { service: Arc::clone(self.name()), state: self.state() }),
        }
    }

    /// Asks the service to stop and returns at once. Asking again changes nothing.
    pub fn stop(&self) {
        let mut guarded = self.0.guarded.lock();
        if self.state() == State::New {
            guarded.steps = None;
            self.0.change(&mut guarded, State::Terminated, None);
        }
        drop(guarded);
        self.0.stop.request();
    }

    /// Waits until the service runs. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`Error::NotRunning`] when it ended, or is ending, instead.
    pub async fn await_running(&self) -> Result<(), Error> {
        let mut states = self.0.state.subscribe();
        let state = match states.wait_for(|s| !matches!(s, State::New | State::Starting)).await {
            Ok(state) => *state,
            // The sender lives as long as this handle.
            Err(_) => self.state(),
        };
        if state == State::Running {
            return Ok(());
        }
        let (service, failure) = (Arc::clone(self.name()), self.failure());
        Err(Error::NotRunning { service, state, failure })
    }

    /// Waits until the service has ended. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`Error::Failed`] when it failed.
    pub async fn await_terminated(&self) -> Result<(), Error> {
        let mut states = self.0.state.subscribe();
        // The sender lives as long as this handle.
        let _ = states.wait_for(|state| state.is_final()).await;
        match self.failure() {
            Some(failure) => Err(Error::Failed { service: Arc::clone(self.name()), failure }),
            None => Ok(()),
        }
    }

    /// Starts the service and waits until it runs.
    ///
    /// # Errors
    ///
    /// Those of [`Self::start`] and [`Self::await_running`].
    pub async fn start_and_await_running(&self) -> Result<(), Error> {
        self.start()?;
        self.await_running().await
    }

    /// Asks the service to stop and waits until it has.
    ///
    /// # Errors
    ///
    /// Those of [`Self::await_terminated`].
    pub async fn stop_and_await_terminated(&self) -> Result<(), Error> {
        self.stop();
        self.await_terminated().await
    }

    /// Calls back for every transition from now on, in order, never twice at a time.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn add_listener(&self, mut listener: impl FnMut(Transition) + Send + 'static) -> Listener {
        let (tx, mut rx) = mpsc::channel(TRANSITIONS_MAX);
        let mut guarded = self.0.guarded.lock();
        let number = guarded.next_listener;
        guarded.next_listener += 1;
        if !self.state().is_final() {
            guarded.listeners.push((number, tx));
        }
        drop(guarded);
        let task = task::spawn("service listener", async move {
            while let Some(transition) = rx.recv().await {
                listener(transition);
            }
        });
        Listener { service: self.clone(), number, task }
    }
}

impl fmt::Debug for Service {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "Service({} {})", self.name(), self.state())
    }
}

/// Someone who listens. Dropping this changes nothing: the listener stays.
pub struct Listener {
    service: Service,
    number: u64,
    task: JoinHandle<()>,
}

impl Listener {
    /// Stops listening, and waits until the last callback has returned.
    pub async fn remove(self) {
        self.service.0.guarded.lock().listeners.retain(|(number, _)| *number != self.number);
        // The task ends when its channel closes; it fails only if the runtime shuts down.
        let _ = self.task.await;
    }
}

impl Inner {
    /// Takes the steps one after the other.
    async fn live(self: Arc<Self>, steps: Steps) {
        if let Err(failure) = (steps.start)(self.stop.clone()).await {
            self.stop.request();
            self.enter(State::Failed, Some(failure));
            return;
        }
        let mut failure = None;
        if !self.stop.is_requested() {
            self.enter(State::Running, None);
            failure = (steps.run)(self.stop.clone()).await.err();
        }
        self.enter(State::Stopping, None);
        // Whatever the run step left behind hears that it is over before the stop step begins.
        self.stop.request();
        let stop_failure = (steps.stop)(failure.clone()).await.err();
        match failure.or(stop_failure) {
            Some(failure) => self.enter(State::Failed, Some(failure)),
            None => self.enter(State::Terminated, None),
        }
    }

    fn enter(&self, to: State, failure: Option<Failure>) {
        self.change(&mut self.guarded.lock(), to, failure);
    }

    fn change(&self, guarded: &mut Guarded, to: State, failure: Option<Failure>) {
        let from = *self.state.borrow();
        assert!(from.may_become(to), "service {}: {from} is never followed by {to}", self.name);
        if let Some(failure) = &failure {
            // Set before the state, so that whoever sees Failed sees why.
            let _ = self.failure.set(failure.clone());
        }
        self.state.send_replace(to);
        let transition = Transition { from, to, failure };
        for (_, listener) in &guarded.listeners {
            // The queue holds a whole life, so it is never full.
            let _ = listener.try_send(transition.clone());
        }
        if to.is_final() {
            guarded.listeners.clear();
        }
    }
}
