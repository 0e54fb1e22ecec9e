//! The rounds of the compactor.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::BoxFuture;
use hashbrown::HashMap;
use model::TenantId;
use parking_lot::Mutex;
use runtime::clock::Clock;
use runtime::limits::LimitsFor;
use runtime::random::Random;
use runtime::shutdown::Stop;
use store::Store;

use crate::config::Config;
use crate::deletes::Progress;
use crate::error::Error;
use crate::limits::Limits;
use crate::metrics::Metrics;
use crate::plan::plan;

/// Whoever holds rows that are not in segments yet.
pub trait Flush: Send + Sync {
    /// Puts the recent rows of a tenant into segments; returns once they are stored. The error is
    /// in words for the log.
    fn flush<'a>(&'a self, tenant: &'a TenantId) -> BoxFuture<'a, Result<(), String>>;
}

/// What a compactor needs of its surroundings.
pub struct Dependencies {
    /// Segments and delete requests.
    pub store: Arc<Store>,
    /// What tenants ask for.
    pub limits: Arc<dyn LimitsFor<Limits>>,
    /// Rows that are not in segments yet.
    pub flush: Arc<dyn Flush>,
    /// What has expired, and how long something has been waiting.
    pub clock: Arc<dyn Clock>,
    /// Names delete requests.
    pub random: Arc<dyn Random>,
    /// Where to count.
    pub metrics: Metrics,
}

/// Merges segments, deletes what has expired, and carries out delete requests.
pub struct Compactor {
    pub(crate) config: Config,
    pub(crate) store: Arc<Store>,
    pub(crate) limits: Arc<dyn LimitsFor<Limits>>,
    pub(crate) flush: Arc<dyn Flush>,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) random: Arc<dyn Random>,
    pub(crate) metrics: Metrics,
    /// Since when superseded segments are known to be, by hash, on the monotonic clock.
    pub(crate) superseded_since: Mutex<HashMap<u128, Duration>>,
    /// How far delete requests have come, by tenant and id.
    pub(crate) progress: Mutex<HashMap<(TenantId, String), Progress>>,
}

impl Compactor {
    /// A compactor that has done nothing yet.
    #[must_use]
    pub fn new(config: Config, dependencies: Dependencies) -> Arc<Self> {
        let Dependencies { store, limits, flush, clock, random, metrics } = dependencies;
        Arc::new(Self {
            config,
            store,
            limits,
            flush,
            clock,
            random,
            metrics,
            superseded_since: Mutex::default(),
            progress: Mutex::default(),
        })
    }

    /// Works until asked to stop. What fails is told in the log and tried again in the next round.
    pub async fn run(self: Arc<Self>, stop: Stop) {
        self.metrics.running(true);
        while !stop.is_requested() {
            let _ = self.round(&stop).await;
            let begun = self.clock.monotonic();
            loop {
                let passed = self.clock.monotonic().saturating_sub(begun);
                let left = self.config.compaction_interval.saturating_sub(passed);
                if left.is_zero() || stop.is_requested() {
                    break;
                }
                wait_or_stop(&stop, self.clock.sleep(left.min(self.config.check_interval))).await;
                // What has piled up is merged without waiting for the round.
                if let Err(error) = self.merge_due(&stop).await {
                    tell("merge segments", &error);
                }
            }
        }
        self.metrics.running(false);
    }

    /// One round: looks at what is stored, deletes what has expired, carries out delete requests,
    /// merges what is due, and removes what nobody reads any more.
    ///
    /// # Errors
    ///
    /// The first error of a step. The other steps were tried all the same.
    pub async fn round(&self, stop: &Stop) -> Result<(), Error> {
        let begun = self.clock.monotonic();
        let listed = self.store.refresh().await;
        self.metrics.listed(listed.is_ok());
        if let Err(error) = listed {
            let error = Error::Store(error);
            tell("list segments", &error);
            return Err(error);
        }
        let expired = self.expire(stop).await;
        let retention_took = self.clock.monotonic().saturating_sub(begun);
        self.metrics.retention_ended(expired.is_ok(), retention_took, self.clock.now());
        let steps = [
            ("delete what has expired", expired),
            ("carry out delete requests", self.process_deletes(begun, stop).await),
            ("merge segments", self.merge_due(stop).await),
            ("remove superseded segments", self.sweep().await),
        ];
        let mut outcome = Ok(());
        for (step, result) in steps {
            if let Err(error) = result {
                tell(step, &error);
                outcome = outcome.and(Err(error));
            }
        }
        let took = self.clock.monotonic().saturating_sub(begun);
        self.metrics.round_ended(outcome.is_ok(), took, self.clock.now());
        outcome
    }

    /// Merges what is due, as far as this process knows.
    async fn merge_due(&self, stop: &Stop) -> Result<(), Error> {
        let mut outcome = Ok(());
        for tenant in self.store.tenants() {
            let segments = self.store.catalog().all(&tenant);
            for inputs in plan(&segments, self.clock.now(), &self.config) {
                if stop.is_requested() {
                    return Ok(());
                }
                // One segment that cannot be read must not keep the others from being merged.
                if let Err(error) = self.merge_job(inputs, stop).await {
                    outcome = outcome.and(Err(error));
                }
            }
        }
        outcome
    }
}

/// Waits for an event or a request to stop.
async fn wait_or_stop(stop: &Stop, event: BoxFuture<'static, ()>) {
    let stopped = std::pin::pin!(stop.requested());
    futures_util::future::select(stopped, event).await;
}

/// Tells in the log what failed. That the compactor stops is no failure.
fn tell(step: &'static str, error: &Error) {
    if !matches!(error, Error::Stopping) {
        tracing::warn!(step, %error, "compaction is tried again later");
    }
}

#[cfg(test)]
mod tests;
