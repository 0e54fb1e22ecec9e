//! Places in which the work of one process runs, given out fairly.
//!
//! While a place is free nobody queues: entering costs one lock. When all are taken, those who wait
//! stand in a [`FairQueue`], and whoever leaves hands its place to the next.

use std::sync::Arc;
use std::time::Duration;

use parking_lot::Mutex;
use runtime::clock::Clock;
use tokio::sync::oneshot;

use crate::metrics::Metrics;
use crate::queue::{FairQueue, Full, QueueConfig, Ticket};

/// The places of a process.
pub struct Gate {
    free: Mutex<usize>,
    waiting: FairQueue<oneshot::Sender<Place>>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

/// A place; dropping it hands it on.
pub struct Place {
    gate: Option<Arc<Gate>>,
}

/// Somebody who waits; leaves the queue when dropped.
struct Waiter<'a> {
    gate: &'a Gate,
    ticket: Ticket,
}

impl Drop for Waiter<'_> {
    fn drop(&mut self) {
        self.gate.waiting.cancel(self.ticket);
        self.gate.metrics.queue_length.dec();
    }
}

impl Gate {
    /// A gate to `places`, at least one.
    #[must_use]
    pub fn new(
        places: usize,
        config: QueueConfig,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Arc<Self> {
        let (free, waiting) = (Mutex::new(places.max(1)), FairQueue::new(config));
        Arc::new(Self { free, waiting, clock, metrics })
    }

    /// Waits for a place; answers it and the time it took. Cancel safe.
    ///
    /// # Errors
    ///
    /// [`Full`] when the tenant has too many waiting already.
    pub async fn enter(
        self: &Arc<Self>,
        tenant: &str,
        actor: &[String],
    ) -> Result<(Place, Duration), Full> {
        let (sender, place) = oneshot::channel();
        let waiter = {
            let mut free = self.free.lock();
            if *free > 0 {
                *free -= 1;
                self.metrics.queue_seconds.observe(0.0);
                return Ok((self.place(), Duration::ZERO));
            }
            // Under the lock: a place that is given up meanwhile finds the waiter.
            let ticket = self.waiting.push(tenant, actor, 0, sender);
            let ticket = ticket.inspect_err(|_| {
                self.metrics.refused.inc();
            })?;
            self.metrics.queue_length.inc();
            Waiter { gate: self, ticket }
        };
        let begun = self.clock.monotonic();
        // The sender is dropped only together with the gate, which this future holds.
        let place = place.await.map_err(|_| Full)?;
        drop(waiter);
        let waited = self.clock.monotonic().saturating_sub(begun);
        self.metrics.queue_seconds.observe(waited.as_secs_f64());
        Ok((place, waited))
    }

    fn place(self: &Arc<Self>) -> Place {
        Place { gate: Some(Arc::clone(self)) }
    }

    /// Hands a place to the next who waits.
    fn hand_on(self: &Arc<Self>) {
        loop {
            let next = {
                let mut free = self.free.lock();
                match self.waiting.try_take("") {
                    Some(next) => next,
                    None => {
                        *free += 1;
                        return;
                    }
                }
            };
            match next.send(self.place()) {
                Ok(()) => return,
                // It left in this moment; its place is for the next.
                Err(mut place) => place.gate = None,
            }
        }
    }
}

impl Drop for Place {
    fn drop(&mut self) {
        if let Some(gate) = self.gate.take() {
            gate.hand_on();
        }
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use model::Timestamp;
    use runtime::clock::ManualClock;

    use super::*;

    fn gate(places: usize, max: usize) -> Arc<Gate> {
        let clock = Arc::new(ManualClock::new(Timestamp(0)));
        let config = QueueConfig { max_outstanding_per_tenant: max, ..QueueConfig::default() };
        Gate::new(places, config, clock, Metrics::default())
    }

    #[tokio::test]
    async fn places_are_handed_on_in_turn() {
        let gate = gate(1, 10);
        let (first, waited) = gate.enter("a", &[]).await.unwrap();
        assert_eq!(waited, Duration::ZERO);
        let mut second = Box::pin(gate.enter("a", &[]));
        let mut third = Box::pin(gate.enter("a", &[]));
        let mut other = Box::pin(gate.enter("b", &[]));
        assert!(second.as_mut().now_or_never().is_none());
        assert!(third.as_mut().now_or_never().is_none());
        assert!(other.as_mut().now_or_never().is_none());
        drop(first);
        let second = second.now_or_never().unwrap().unwrap();
        assert!(third.as_mut().now_or_never().is_none());
        drop(second);
        // The other tenant's turn comes before the second of the same tenant.
        assert!(third.as_mut().now_or_never().is_none());
        drop(other.now_or_never().unwrap().unwrap());
        assert!(third.now_or_never().unwrap().is_ok());
    }

    #[tokio::test]
    async fn who_leaves_leaves_nothing_behind() {
        let gate = gate(1, 1);
        let (place, _) = gate.enter("a", &[]).await.unwrap();
        let mut gone = Box::pin(gate.enter("a", &[]));
        assert!(gone.as_mut().now_or_never().is_none());
        assert_eq!(gate.enter("a", &[]).await.err(), Some(Full));
        drop(gone);
        let mut served = Box::pin(gate.enter("a", &[]));
        assert!(served.as_mut().now_or_never().is_none());
        drop(place);
        // Handed a place, and dropped before it could look.
        drop(served);
        assert!(gate.enter("a", &[]).now_or_never().unwrap().is_ok());
        assert_eq!(*gate.free.lock(), 1);
    }

    #[tokio::test]
    async fn one_tenant_with_200_heavy_queries_hardly_delays_another() {
        let gate = gate(1, 300);
        let (running, _) = gate.enter("heavy", &[]).await.unwrap();
        let mut heavy: Vec<_> = (0..200).map(|_| Box::pin(gate.enter("heavy", &[]))).collect();
        for waiting in &mut heavy {
            assert!(waiting.as_mut().now_or_never().is_none());
        }
        let mut small = Box::pin(gate.enter("small", &[]));
        assert!(small.as_mut().now_or_never().is_none());
        // The piece that runs ends, and at most one other is served first.
        let mut pieces = 1;
        drop(running);
        while small.as_mut().now_or_never().is_none() {
            let next = heavy.iter_mut().position(|waiting| {
                waiting.as_mut().now_or_never().is_some_and(|place| place.is_ok())
            });
            drop(heavy.remove(next.unwrap()));
            pieces += 1;
        }
        assert!(pieces <= 2, "the small query waited for {pieces} pieces");
    }
}
