//! From start to stop.

use std::sync::Arc;
use std::time::Duration;

use runtime::Error;
use runtime::service::{FailureWatcher, Manager, State};
use runtime::{shutdown, task};

use super::App;
use crate::ring::hand_over::RingSuccessors;
use crate::target;

/// The exit code of a process that was asked to stop twice.
const IMPATIENT_EXIT_CODE: i32 = 1;

/// Whether requests are welcome.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Readiness {
    /// They are.
    Ready,
    /// They are not, and why.
    NotReady(String),
}

impl App {
    /// Runs the process: builds and starts the modules, and stops them when asked.
    ///
    /// # Errors
    ///
    /// What kept a module from starting or running.
    pub async fn run(self: &Arc<Self>) -> Result<(), Error> {
        let targets: Vec<&str> = self.config.target.iter().map(String::as_str).collect();
        let modules = target::modules(&targets)?;
        let manager = Manager::new(modules.init(&targets, self)?)?;
        // Built once; the process has one life.
        let _ = self.manager.set(manager.clone());
        let mut failures = FailureWatcher::new();
        failures.watch_all(&manager);
        let signals = task::AbortOnDrop(task::spawn("signals", Arc::clone(self).hear_signals()));
        manager.start()?;
        let outcome = self.wait(&manager, &mut failures).await;
        self.end(&manager).await;
        drop(signals);
        outcome
    }

    /// Waits for a reason to stop: a signal, a request, or a failure.
    async fn wait(&self, manager: &Manager, failures: &mut FailureWatcher) -> Result<(), Error> {
        let is_up = async {
            if manager.await_healthy().await.is_ok() {
                let _ = self.healthy_since.set(self.clock.monotonic());
                self.say_ready();
            }
            std::future::pending::<()>().await;
        };
        tokio::select! {
            () = is_up => Ok(()),
            () = self.stop.requested() => Ok(()),
            failed = failures.next() => match failed {
                Some((_, failure)) if failure.is_stop_process() => Ok(()),
                Some((service, failure)) => Err(Error::Failed { service, failure }),
                None => Ok(()),
            },
        }
    }

    /// The first signal stops the process in order, the second at once.
    async fn hear_signals(self: Arc<Self>) {
        for is_first in [true, false] {
            match shutdown::signal().await {
                Ok(signal) if is_first => tracing::info!(signal, "asked to stop"),
                Ok(signal) => {
                    tracing::warn!(signal, "asked again, leaving at once: the log has all entries");
                    std::process::exit(IMPATIENT_EXIT_CODE);
                }
                Err(error) => {
                    tracing::error!(error = %error, "listen to signals");
                    return;
                }
            }
            self.stop.request();
        }
    }

    /// Stops in order. Whatever does not stop in time is left: entries are in the log.
    async fn end(&self, manager: &Manager) {
        let patience = self.config.server.graceful_shutdown_timeout;
        self.stop.request();
        self.clock.sleep(self.config.shutdown_delay).await;
        if let Some(rings) = self.parts.rings.find() {
            let own = &self.config.lifecycler;
            let searching = RingSuccessors::patience(own.max_transfer_retries);
            let patience = patience + own.final_sleep + searching;
            if !self.within(patience, rings.leave()).await {
                tracing::warn!(
                    ?patience,
                    "rings were not left in time, going: the log has all entries"
                );
            }
        }
        if !self.routes().serves("distributor")
            && let Some(ingester) = self.parts.ingester.find()
        {
            // Other processes read its rows until they are in object storage, and know from then
            // on what was stored. Where pushes arrive here, they are answered first.
            self.within(patience, ingester.stop()).await;
        }
        self.drain.request();
        if let Some(server) = manager.services().iter().find(|s| &**s.name() == "server") {
            let drained = async { drop(server.await_terminated().await) };
            if !self.within(patience, drained).await {
                tracing::warn!(?patience, "requests were still under way, closing them");
            }
        }
        manager.stop();
        if self.within(patience, manager.await_stopped()).await {
            tracing::info!("stopped");
        } else {
            let late = manager.services().iter().filter(|service| !service.state().is_final());
            let late: Vec<&str> = late.map(|service| &**service.name()).collect();
            tracing::warn!(?patience, modules = late.join(","), "not stopped in time, leaving");
        }
    }

    /// Whether something happens in time.
    async fn within(&self, patience: Duration, event: impl Future<Output = ()>) -> bool {
        tokio::select! {
            () = event => true,
            () = self.clock.sleep(patience) => false,
        }
    }

    /// Whether requests are welcome now.
    #[must_use]
    pub fn readiness(&self) -> Readiness {
        if self.stop.is_requested() {
            return Readiness::NotReady("Application is stopping".to_owned());
        }
        let Some(manager) = self.manager.get().filter(|manager| manager.is_healthy()) else {
            return Readiness::NotReady(self.states());
        };
        let min = self.config.ingester.min_ready_duration;
        let has_ingester = manager.services().iter().any(|s| &**s.name() == "ingester");
        let up = self
            .healthy_since
            .get()
            .map_or(Duration::ZERO, |since| self.clock.monotonic().saturating_sub(*since));
        if has_ingester && up < min {
            let text = format!("Ingester not ready: waiting for {min:?} after being ready");
            return Readiness::NotReady(text);
        }
        match self.parts.rings.find().and_then(|rings| rings.not_ready()) {
            Some(why) => Readiness::NotReady(why),
            None => Readiness::Ready,
        }
    }

    fn states(&self) -> String {
        let counts = self.manager.get().map(Manager::counts).unwrap_or_default();
        let lines = counts
            .iter()
            .filter(|(state, _)| **state != State::Running)
            .map(|(state, count)| format!("{state}: {count}"));
        let lines: Vec<String> = lines.collect();
        format!("Some services are not Running:\n{}", lines.join("\n"))
    }

    /// Tells whoever started the process how to go on.
    fn say_ready(&self) {
        let took = Duration::from_nanos(
            u64::try_from(self.clock.now().0.saturating_sub(self.started.0)).unwrap_or(0),
        );
        let url = format!("http://{}{}", self.address_text(), self.config.server.http_path_prefix);
        tracing::info!(address = url, ?took, "ready");
        if self.routes().has("/loki/api/v1/push") {
            let (loki, otlp) = (format!("{url}/loki/api/v1/push"), format!("{url}/otlp/v1/logs"));
            tracing::info!(loki, otlp, "push entries here");
        }
        if self.routes().has("/loki/api/v1/query_range") {
            tracing::info!(loki_data_source = url, "query them here, or with: sigyn query");
        }
    }
}
