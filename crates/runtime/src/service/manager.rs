//! Several services as one.

use std::collections::BTreeMap;
use std::sync::Arc;

use parking_lot::Mutex;
use tokio::sync::{mpsc, watch};

use super::{Service, State, Transition};
use crate::error::{Error, Failure};
use crate::task;

/// Starts, stops and watches a fixed set of services.
///
/// It is *healthy* when all of them run, and *stopped* when all of them have ended.
#[derive(Clone)]
pub struct Manager(Arc<Inner>);

struct Inner {
    services: Vec<Service>,
    health: watch::Sender<Health>,
    is_stopped: watch::Sender<bool>,
    guarded: Mutex<Guarded>,
}

struct Guarded {
    /// As the listeners have reported them; a service may be further already.
    states: Vec<State>,
    listeners: Vec<mpsc::Sender<ManagerEvent>>,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Health {
    Awaited,
    Reached,
    /// A service ended, or began to, before all of them ran.
    Impossible,
}

/// What a manager's listeners hear.
#[derive(Debug, Clone)]
pub enum ManagerEvent {
    /// All services run; said at most once.
    Healthy,
    /// This service failed.
    Failure(Service),
    /// All services have ended; said once, as the last thing.
    Stopped,
}

impl Manager {
    /// Takes services that have not been started.
    ///
    /// # Errors
    ///
    /// [`Error::NoServices`], or [`Error::NotNew`] for the first service that is not new.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn new(services: Vec<Service>) -> Result<Self, Error> {
        if services.is_empty() {
            return Err(Error::NoServices);
        }
        if let Some(service) = services.iter().find(|service| service.state() != State::New) {
            let (service, state) = (Arc::clone(service.name()), service.state());
            return Err(Error::NotNew { service, state });
        }
        let guarded = Guarded { states: vec![State::New; services.len()], listeners: Vec::new() };
        let inner = Arc::new(Inner {
            services,
            health: watch::Sender::new(Health::Awaited),
            is_stopped: watch::Sender::new(false),
            guarded: Mutex::new(guarded),
        });
        for (index, service) in inner.services.iter().enumerate() {
            let inner = Arc::clone(&inner);
            service.add_listener(move |transition| inner.changed(index, &transition));
        }
        Ok(Self(inner))
    }

    /// Starts all services and returns at once.
    ///
    /// # Errors
    ///
    /// [`Error::NotNew`] when one of them was started or stopped elsewhere; the others start.
    pub fn start(&self) -> Result<(), Error> {
        let failures: Vec<Error> =
            self.0.services.iter().filter_map(|service| service.start().err()).collect();
        failures.into_iter().next().map_or(Ok(()), Err)
    }

    /// Asks all services to stop and returns at once.
    pub fn stop(&self) {
        for service in &self.0.services {
            service.stop();
        }
    }

    /// The services, in the order given.
    #[must_use]
    pub fn services(&self) -> &[Service] {
        &self.0.services
    }

    /// Whether all services run now.
    #[must_use]
    pub fn is_healthy(&self) -> bool {
        self.0.services.iter().all(|service| service.state() == State::Running)
    }

    /// Whether all services have ended.
    #[must_use]
    pub fn is_stopped(&self) -> bool {
        *self.0.is_stopped.borrow()
    }

    /// How many services are in which state now.
    #[must_use]
    pub fn counts(&self) -> BTreeMap<State, usize> {
        let mut counts = BTreeMap::new();
        for service in &self.0.services {
            *counts.entry(service.state()).or_insert(0) += 1;
        }
        counts
    }

    /// Waits until all services run. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`Error::NotHealthy`] as soon as that can no longer happen, with the causes.
    pub async fn await_healthy(&self) -> Result<(), Error> {
        let mut health = self.0.health.subscribe();
        match health.wait_for(|health| *health != Health::Awaited).await.map(|health| *health) {
            Ok(Health::Reached) => Ok(()),
            _ => Err(Error::NotHealthy(self.0.causes())),
        }
    }

    /// Waits until all services have ended. Cancel safe.
    pub async fn await_stopped(&self) {
        let mut is_stopped = self.0.is_stopped.subscribe();
        // The sender lives as long as this handle.
        let _ = is_stopped.wait_for(|is_stopped| *is_stopped).await;
    }

    /// Calls back for every event from now on, in order, never twice at a time.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub fn add_listener(&self, mut listener: impl FnMut(ManagerEvent) + Send + 'static) {
        // Room for one failure of each service, healthy and stopped: it is never full.
        let (tx, mut rx) = mpsc::channel(self.0.services.len() + 2);
        self.0.guarded.lock().listeners.push(tx);
        drop(task::spawn("manager listener", async move {
            while let Some(event) = rx.recv().await {
                listener(event);
            }
        }));
    }
}

impl Inner {
    fn changed(&self, index: usize, transition: &Transition) {
        let mut guarded = self.guarded.lock();
        guarded.states[index] = transition.to;
        if transition.to == State::Failed {
            guarded.tell(&ManagerEvent::Failure(self.services[index].clone()));
        }
        if *self.health.borrow() == Health::Awaited {
            if guarded.states.iter().all(|state| *state == State::Running) {
                self.health.send_replace(Health::Reached);
                guarded.tell(&ManagerEvent::Healthy);
            } else if transition.to > State::Running {
                self.health.send_replace(Health::Impossible);
            }
        }
        if guarded.states.iter().all(|state| state.is_final()) {
            self.is_stopped.send_replace(true);
            guarded.tell(&ManagerEvent::Stopped);
            guarded.listeners.clear();
        }
    }

    fn causes(&self) -> String {
        let causes: Vec<String> = self
            .services
            .iter()
            .filter(|service| service.state() > State::Running)
            .map(|service| match service.failure() {
                Some(failure) => format!("{} failed: {failure}", service.name()),
                None => format!("{} is {}", service.name(), service.state()),
            })
            .collect();
        causes.join(", ")
    }
}

impl Guarded {
    fn tell(&self, event: &ManagerEvent) {
        for listener in &self.listeners {
            let _ = listener.try_send(event.clone());
        }
    }
}

/// Brings the failures of many services to one place.
///
/// At most [`FailureWatcher::PENDING_MAX`] failures wait to be heard; later ones are dropped, since
/// whoever watches acts on the first.
#[derive(Debug)]
pub struct FailureWatcher {
    tx: mpsc::Sender<(Arc<str>, Failure)>,
    rx: mpsc::Receiver<(Arc<str>, Failure)>,
}

impl Default for FailureWatcher {
    fn default() -> Self {
        Self::new()
    }
}

impl FailureWatcher {
    /// How many failures wait to be heard.
    pub const PENDING_MAX: usize = 64;

    /// Watches nothing yet.
    #[must_use]
    pub fn new() -> Self {
        let (tx, rx) = mpsc::channel(Self::PENDING_MAX);
        Self { tx, rx }
    }

    /// Watches a service.
    pub fn watch(&self, service: &Service) {
        let (tx, name) = (self.tx.clone(), Arc::clone(service.name()));
        service.add_listener(move |transition| {
            if let Some(failure) = transition.failure {
                let _ = tx.try_send((Arc::clone(&name), failure));
            }
        });
    }

    /// Watches all services of a manager.
    pub fn watch_all(&self, manager: &Manager) {
        for service in manager.services() {
            self.watch(service);
        }
    }

    /// Waits for the next failure; `None` once closed and all were heard. Cancel safe.
    pub async fn next(&mut self) -> Option<(Arc<str>, Failure)> {
        self.rx.recv().await
    }

    /// Hears nothing more.
    pub fn close(&mut self) {
        self.rx.close();
    }
}
