//! Modules: named parts of the process that depend on each other.
//!
//! A module may bring a service. Initialising a set of *targets* builds them and everything they
//! depend on, dependencies first. Each service is wrapped: it starts once everything it depends on
//! runs, and it stops once everything that depends on it has stopped. What does not depend on each
//! other starts and stops at the same time.
//!
//! If a service fails to start, whatever depends on it fails too. How a dependant ends when the
//! process stops does not matter to what it depended on.

#[cfg(test)]
mod tests;

use std::collections::{BTreeMap, BTreeSet};
use std::sync::{Arc, OnceLock};

use crate::error::{Error, Failure};
use crate::service::{Service, State};
use crate::shutdown::Stop;

/// Who may choose a module as a target.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Visibility {
    /// Can be chosen, and is listed.
    Target,
    /// Can be chosen, and is not listed.
    HiddenTarget,
    /// Only a dependency of others.
    Internal,
}

type Init<C> = Box<dyn Fn(&C) -> Result<Option<Service>, Failure> + Send + Sync>;

struct Module<C> {
    visibility: Visibility,
    init: Option<Init<C>>,
    dependencies: BTreeSet<&'static str>,
}

/// The modules of a process. `C` is what they are built from and put their parts into.
pub struct Modules<C> {
    modules: BTreeMap<&'static str, Module<C>>,
}

impl<C> Default for Modules<C> {
    fn default() -> Self {
        Self { modules: BTreeMap::new() }
    }
}

impl<C> Modules<C> {
    /// No modules.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Adds a module; `init` builds it when it is needed.
    pub fn register(
        &mut self,
        name: &'static str,
        visibility: Visibility,
        init: impl Fn(&C) -> Result<Option<Service>, Failure> + Send + Sync + 'static,
    ) {
        let init: Option<Init<C>> = Some(Box::new(init));
        self.modules.insert(name, Module { visibility, init, dependencies: BTreeSet::new() });
    }

    /// Adds a module that only stands for its dependencies.
    pub fn register_group(&mut self, name: &'static str, visibility: Visibility) {
        let dependencies = BTreeSet::new();
        self.modules.insert(name, Module { visibility, init: None, dependencies });
    }

    /// Lets a module depend on others.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownModule`], or [`Error::Cycle`] when one of the others depends on the module.
    pub fn depend(
        &mut self,
        name: &'static str,
        dependencies: &[&'static str],
    ) -> Result<(), Error> {
        for dependency in dependencies {
            if !self.modules.contains_key(dependency) {
                return Err(Error::UnknownModule((*dependency).to_owned()));
            }
            if *dependency == name || self.dependencies(dependency).contains(&name) {
                let (module, dependency) = (name.to_owned(), (*dependency).to_owned());
                return Err(Error::Cycle { module, dependency });
            }
        }
        let module =
            self.modules.get_mut(name).ok_or_else(|| Error::UnknownModule(name.to_owned()))?;
        module.dependencies.extend(dependencies);
        Ok(())
    }

    /// The modules that people may choose, by name.
    pub fn targets(&self) -> impl Iterator<Item = &'static str> {
        let visible = |module: &Module<C>| module.visibility == Visibility::Target;
        self.modules.iter().filter(move |(_, module)| visible(module)).map(|(name, _)| *name)
    }

    /// Everything that a module depends on, directly or not, each after its own dependencies.
    #[must_use]
    pub fn dependencies(&self, name: &str) -> Vec<&'static str> {
        let mut ordered = Vec::new();
        self.visit(name, &mut ordered);
        ordered.retain(|visited| *visited != name);
        ordered
    }

    /// Depth first. Cycles were refused, so this ends.
    fn visit(&self, name: &str, ordered: &mut Vec<&'static str>) {
        let Some((name, module)) = self.modules.get_key_value(name) else { return };
        for dependency in &module.dependencies {
            if !ordered.contains(dependency) {
                self.visit(dependency, ordered);
            }
        }
        ordered.push(name);
    }

    /// Everything that some targets need, themselves included, dependencies first.
    ///
    /// # Errors
    ///
    /// [`Error::UnknownModule`] or [`Error::NotTargetable`].
    pub fn needed_by(&self, targets: &[&str]) -> Result<Vec<&'static str>, Error> {
        let mut ordered = Vec::new();
        for target in targets {
            let module = self
                .modules
                .get(target)
                .ok_or_else(|| Error::UnknownModule((*target).to_owned()))?;
            if module.visibility == Visibility::Internal {
                return Err(Error::NotTargetable((*target).to_owned()));
            }
            if !ordered.contains(target) {
                self.visit(target, &mut ordered);
            }
        }
        Ok(ordered)
    }

    /// Builds the targets and everything they need; answers their services, not yet started.
    ///
    /// # Errors
    ///
    /// Those of [`Self::needed_by`], or [`Error::Init`] with the first module that could not be
    /// built.
    pub fn init(&self, targets: &[&str], context: &C) -> Result<Vec<Service>, Error> {
        let needed = self.needed_by(targets)?;
        let all = Arc::new(OnceLock::new());
        let mut services = BTreeMap::new();
        for name in &needed {
            let Some(init) = self.modules.get(name).and_then(|module| module.init.as_ref()) else {
                continue;
            };
            let inner = init(context).map_err(|failure| Error::Init { module: name, failure })?;
            if let Some(inner) = inner {
                let dependants: Vec<&'static str> = needed
                    .iter()
                    .copied()
                    .filter(|other| self.dependencies(other).contains(name))
                    .collect();
                let dependencies = self.dependencies(name);
                let links = Links { dependencies, dependants, all: Arc::clone(&all) };
                services.insert(*name, links.wrap(name, inner));
            }
        }
        let ordered = needed.iter().filter_map(|name| services.get(name).cloned()).collect();
        // Nobody else sets it.
        let _ = all.set(services);
        Ok(ordered)
    }
}

/// What a module's service has to wait for.
#[derive(Clone)]
struct Links {
    dependencies: Vec<&'static str>,
    dependants: Vec<&'static str>,
    /// Filled once every module is built.
    all: Arc<OnceLock<BTreeMap<&'static str, Service>>>,
}

/// A service could not start because another did not.
#[derive(Debug, thiserror::Error)]
#[error("needs module {dependency}")]
struct DependencyFailed {
    dependency: &'static str,
    source: Error,
}

impl Links {
    /// Those of the named modules that have a service.
    fn services(&self, names: &[&'static str]) -> Vec<(&'static str, Service)> {
        let all = self.all.get();
        names.iter().filter_map(|name| Some((*name, all?.get(name)?.clone()))).collect()
    }

    fn wrap(self, name: &'static str, inner: Service) -> Service {
        let (starting, running, stopping) = (inner.clone(), inner.clone(), inner);
        let links = self.clone();
        Service::builder(name)
            .starting(move |stop| async move {
                tokio::select! {
                    // A stop request ends the wait; that is no failure.
                    () = stop.requested() => Ok(()),
                    started = links.start(&starting, &stop) => started,
                }
            })
            .running(move |stop| async move {
                tokio::select! {
                    () = stop.requested() => Ok(()),
                    ended = running.await_terminated() => match running.failure() {
                        Some(failure) => Err(failure),
                        None => ended.map_err(Failure::from),
                    },
                }
            })
            .stopping(move |_| async move { self.stop(name, &stopping).await })
            .build()
    }

    async fn start(&self, inner: &Service, stop: &Stop) -> Result<(), Failure> {
        for (dependency, service) in self.services(&self.dependencies) {
            let running = service.await_running().await;
            running.map_err(|source| DependencyFailed { dependency, source })?;
        }
        if stop.is_requested() {
            return Ok(());
        }
        // The inner service has a stop request of its own: it outlives the wrapper's until
        // everything that depends on it has stopped.
        inner
            .start_and_await_running()
            .await
            .map_err(|error| inner.failure().unwrap_or_else(|| error.into()))
    }

    async fn stop(&self, name: &'static str, inner: &Service) -> Result<(), Failure> {
        if !inner.state().is_final() {
            for (_, service) in self.services(&self.dependants) {
                // How it ended is its own affair.
                let _ = service.await_terminated().await;
            }
        }
        let had_started = inner.state() != State::New;
        let _ = inner.stop_and_await_terminated().await;
        match inner.failure() {
            Some(failure) if !failure.is_stop_process() => {
                tracing::warn!(module = name, error = %failure, "module failed");
                Err(failure)
            }
            Some(failure) => Err(failure),
            None => {
                if had_started {
                    tracing::debug!(module = name, "module stopped");
                }
                Ok(())
            }
        }
    }
}
