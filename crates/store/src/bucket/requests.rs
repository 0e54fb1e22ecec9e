//! How requests to remote storage are sent: a bounded number at once, and reads a second time when
//! the first is slow.

use std::future;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::BoxFuture;
use futures_util::stream::FuturesUnordered;
use parking_lot::Mutex;
use runtime::clock::Clock;
use tokio::sync::{Semaphore, SemaphorePermit};

use crate::config::HedgingConfig;
use crate::metrics::Metrics;

/// The way to one storage. Every request to it passes here.
pub(crate) struct Requests {
    permits: Semaphore,
    hedging: HedgingConfig,
    budget: Mutex<Budget>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

/// Extra requests that may be sent now: it fills with time, up to what one second allows.
#[derive(Debug)]
struct Budget {
    requests: f64,
    filled_at: Duration,
}

impl Requests {
    pub(crate) fn new(
        concurrency: usize,
        hedging: HedgingConfig,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Self {
        let full =
            Budget { requests: f64::from(hedging.max_per_second), filled_at: clock.monotonic() };
        let (permits, budget) = (Semaphore::new(concurrency.max(1)), Mutex::new(full));
        Self { permits, hedging, budget, clock, metrics }
    }

    /// Sends a request when there is room.
    pub(crate) async fn once<T>(&self, request: impl Future<Output = T>) -> T {
        let _permit = self.permit().await;
        request.await
    }

    /// Sends a read when there is room. While it has not answered, further ones are sent after
    /// [`HedgingConfig::at`] each, as far as the budget allows; the first to succeed is the answer
    /// and the others are dropped. An error counts when nothing else is under way.
    pub(crate) async fn hedged<T, E, F: Future<Output = Result<T, E>>>(
        &self,
        read: impl Fn() -> F,
    ) -> Result<T, E> {
        let permit = self.permit().await;
        let mut running = FuturesUnordered::new();
        running.push(attempt(0, permit, read()));
        let mut sent = 1;
        let mut too_slow = self.too_slow(sent);
        loop {
            tokio::select! {
                biased;
                answer = running.next() => match answer {
                    Some((number, Ok(value))) => {
                        if number > 0 {
                            self.metrics.hedge_wins.inc();
                        }
                        return Ok(value);
                    }
                    Some((_, Err(error))) if running.is_empty() => return Err(error),
                    _ => {}
                },
                () = &mut too_slow => {
                    too_slow = match self.another() {
                        Some(permit) => {
                            running.push(attempt(sent, Some(permit), read()));
                            sent += 1;
                            self.too_slow(sent)
                        }
                        None => Box::pin(future::pending()),
                    };
                }
            }
        }
    }

    /// Completes when a read that was sent `sent` times should be sent once more.
    fn too_slow(&self, sent: usize) -> BoxFuture<'static, ()> {
        if self.hedging.at.is_zero() || sent >= self.hedging.up_to {
            return Box::pin(future::pending());
        }
        self.clock.sleep(self.hedging.at)
    }

    /// Leave to send one more request, if the budget and the number of requests allow it.
    fn another(&self) -> Option<SemaphorePermit<'_>> {
        let permit = self.permits.try_acquire().ok();
        let is_allowed = permit.is_some()
            && self.budget.lock().take(self.hedging.max_per_second, self.clock.monotonic());
        if is_allowed {
            self.metrics.hedges.inc();
            return permit;
        }
        self.metrics.hedges_limited.inc();
        None
    }

    async fn permit(&self) -> Option<SemaphorePermit<'_>> {
        // Never closed, so that there is always a permit in the end.
        self.permits.acquire().await.ok()
    }
}

/// A read that was sent as the `number`th, counted from 0, and gives its permit back at its end.
async fn attempt<T>(
    number: usize,
    permit: Option<SemaphorePermit<'_>>,
    read: impl Future<Output = T>,
) -> (usize, T) {
    let result = read.await;
    drop(permit);
    (number, result)
}

impl Budget {
    fn take(&mut self, per_second: u32, now: Duration) -> bool {
        let passed = now.saturating_sub(self.filled_at).as_secs_f64();
        let per_second = f64::from(per_second);
        self.requests = (self.requests + passed * per_second).min(per_second);
        self.filled_at = now;
        let has_room = self.requests >= 1.0;
        if has_room {
            self.requests -= 1.0;
        }
        has_room
    }
}

impl std::fmt::Debug for Requests {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Requests").field("hedging", &self.hedging).finish_non_exhaustive()
    }
}

#[cfg(test)]
mod tests;
