//! Where queries run: a bounded number at once, each with a deadline.
//!
//! The engine blocks, so a query runs on a thread of the blocking pool. Whoever drops the future
//! that waits for it, or lets its time run out, sets the query's flag; the engine sees it within a
//! millisecond and gives up its place.

use std::sync::Arc;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::time::Duration;

use futures_util::future::{Either, select};
use futures_util::pin_mut;
use logql::eval::{CancelReason, Control, QueryError};
use runtime::clock::Clock;
use runtime::task;
use tokio::sync::{OwnedSemaphorePermit, Semaphore};

use crate::error::Error;
use crate::metrics::Metrics;

/// The places in which queries run.
pub(crate) struct Pool {
    places: Arc<Semaphore>,
    waiting: AtomicUsize,
    max_waiting: usize,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

/// What ran, and how long it waited for its turn and worked.
pub(crate) struct Ran<T> {
    pub(crate) output: T,
    pub(crate) waited: Duration,
    pub(crate) worked: Duration,
}

/// Tells a query that nobody waits for it, unless it is done.
struct CancelOnDrop(Control);

impl Drop for CancelOnDrop {
    fn drop(&mut self) {
        self.0.cancel(CancelReason::ClientGone);
    }
}

/// Counts a request as waiting for as long as it lives.
struct Waiting<'a>(&'a Pool);

impl Drop for Waiting<'_> {
    fn drop(&mut self) {
        self.0.waiting.fetch_sub(1, Ordering::Relaxed);
        self.0.metrics.waiting.dec();
    }
}

impl Pool {
    pub(crate) fn new(
        places: usize,
        max_waiting: usize,
        clock: Arc<dyn Clock>,
        metrics: Metrics,
    ) -> Self {
        let places = Arc::new(Semaphore::new(places.max(1)));
        Self { places, waiting: AtomicUsize::new(0), max_waiting, clock, metrics }
    }

    /// Runs blocking work when its turn comes. Its time counts from now; zero is no limit.
    ///
    /// # Errors
    ///
    /// [`Error::TooManyWaiting`], [`QueryError::Cancelled`] when the time is over, what the work
    /// answers, or [`Error::Internal`] when it panics.
    pub(crate) async fn run<T: Send + 'static>(
        &self,
        timeout: Duration,
        work: impl FnOnce(&Control) -> Result<T, Error> + Send + 'static,
    ) -> Result<Ran<T>, Error> {
        let control = Control::new();
        let _cancel = CancelOnDrop(control.clone());
        let work = self.in_turn(control.clone(), work);
        if timeout.is_zero() {
            return work.await;
        }
        let deadline = self.clock.sleep(timeout);
        pin_mut!(work);
        match select(work, deadline).await {
            Either::Left((result, _)) => result,
            Either::Right(_) => {
                control.cancel(CancelReason::Deadline);
                Err(QueryError::Cancelled(CancelReason::Deadline).into())
            }
        }
    }

    async fn in_turn<T: Send + 'static>(
        &self,
        control: Control,
        work: impl FnOnce(&Control) -> Result<T, Error> + Send + 'static,
    ) -> Result<Ran<T>, Error> {
        let begun = self.clock.monotonic();
        let place = self.place().await?;
        let turn = self.clock.monotonic();
        let running = self.metrics.running.clone();
        running.inc();
        let output = task::run_blocking(move || {
            // Given up when the work ends, not when its future is dropped.
            let _place = place;
            let output = work(&control);
            running.dec();
            output
        });
        let output = output.await.map_err(|panic| {
            self.metrics.running.dec();
            Error::Internal(panic.to_string())
        })??;
        let waited = turn.saturating_sub(begun);
        let worked = self.clock.monotonic().saturating_sub(turn);
        Ok(Ran { output, waited, worked })
    }

    async fn place(&self) -> Result<OwnedSemaphorePermit, Error> {
        if let Ok(place) = Arc::clone(&self.places).try_acquire_owned() {
            return Ok(place);
        }
        if self.waiting.fetch_add(1, Ordering::Relaxed) >= self.max_waiting {
            self.waiting.fetch_sub(1, Ordering::Relaxed);
            return Err(Error::TooManyWaiting);
        }
        self.metrics.waiting.inc();
        let _waiting = Waiting(self);
        let closed = |_| Error::Internal("the query pool is closed".to_owned());
        Arc::clone(&self.places).acquire_owned().await.map_err(closed)
    }
}

#[cfg(test)]
mod tests {
    use futures_util::FutureExt as _;
    use runtime::clock::ManualClock;

    use super::*;

    fn pool(places: usize, max_waiting: usize) -> (Pool, Arc<ManualClock>) {
        let clock = Arc::new(ManualClock::new(model::Timestamp(0)));
        let pool = Pool::new(places, max_waiting, clock.clone(), Metrics::default());
        (pool, clock)
    }

    /// Waits until the query is cancelled; answers why.
    fn until_cancelled(control: &Control) -> Result<(), Error> {
        loop {
            control.check()?;
            std::thread::yield_now();
        }
    }

    #[tokio::test]
    async fn work_answers() {
        let (pool, _) = pool(1, 0);
        let ran = pool.run(Duration::ZERO, |_| Ok(7)).await.unwrap();
        assert_eq!(ran.output, 7);
        let failed = pool.run(Duration::ZERO, |_| Err::<(), _>(Error::refused("no"))).await;
        assert_eq!(failed.err().unwrap().to_string(), "no");
        let panicked = pool.run(Duration::ZERO, |_| -> Result<(), Error> { panic!("boom") }).await;
        assert!(matches!(panicked.err(), Some(Error::Internal(_))));
    }

    #[tokio::test]
    async fn a_deadline_stops_the_work() {
        let (pool, clock) = pool(1, 0);
        let (told, heard) = std::sync::mpsc::channel();
        let work = pool.run(Duration::from_secs(1), move |control| {
            let reason = until_cancelled(control).unwrap_err().cancelled();
            told.send(reason).unwrap();
            Ok(())
        });
        pin_mut!(work);
        assert!(work.as_mut().now_or_never().is_none());
        clock.advance(Duration::from_secs(2));
        let error = work.await.err().unwrap();
        assert_eq!(error.cancelled(), Some(CancelReason::Deadline));
        let reason = task::run_blocking(move || heard.recv().unwrap()).await.unwrap();
        assert_eq!(reason, Some(CancelReason::Deadline));
    }

    #[tokio::test]
    async fn a_dropped_request_stops_the_work_and_frees_the_place() {
        let (pool, _) = pool(1, 1);
        let mut work = Box::pin(pool.run(Duration::ZERO, until_cancelled));
        assert!(work.as_mut().now_or_never().is_none());
        drop(work);
        assert_eq!(pool.run(Duration::ZERO, |_| Ok(1)).await.unwrap().output, 1);
    }

    #[tokio::test]
    async fn too_many_are_refused() {
        let (pool, _) = pool(1, 1);
        let mut running = Box::pin(pool.run(Duration::ZERO, until_cancelled));
        assert!(running.as_mut().now_or_never().is_none());
        let mut waits = Box::pin(pool.run(Duration::ZERO, |_| Ok(())));
        assert!(waits.as_mut().now_or_never().is_none());
        let refused = pool.run(Duration::ZERO, |_| Ok(())).await;
        assert!(matches!(refused, Err(Error::TooManyWaiting)));
        drop(running);
        assert!(waits.await.is_ok());
    }
}
