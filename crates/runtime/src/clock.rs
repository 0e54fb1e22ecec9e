//! The only clock.
//!
//! Everything that asks for the time, measures a span or waits takes a [`Clock`], so that a test
//! can own time. [`SystemClock`] is the machine's; [`ManualClock`] stands still until it is moved.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::OnceLock;
use std::time::{Duration, Instant, SystemTime, UNIX_EPOCH};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use model::Timestamp;
use parking_lot::Mutex;
use tokio::sync::oneshot;

/// Tells the time and waits.
pub trait Clock: Send + Sync {
    /// The time of day. It may jump, in both directions.
    fn now(&self) -> Timestamp;

    /// Time since an arbitrary moment in the past. It never goes back.
    fn monotonic(&self) -> Duration;

    /// Completes after `duration`. Cancel safe.
    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()>;
}

/// The machine's clock.
#[derive(Debug, Clone, Copy, Default)]
pub struct SystemClock;

/// The moment from which [`SystemClock::monotonic`] counts: its first use in this process.
static ORIGIN: OnceLock<Instant> = OnceLock::new();

#[expect(clippy::disallowed_methods, reason = "the rest of the program gets the time from here")]
impl Clock for SystemClock {
    fn now(&self) -> Timestamp {
        match SystemTime::now().duration_since(UNIX_EPOCH) {
            Ok(since) => Timestamp(0).plus(since),
            Err(before) => Timestamp(0).minus(before.duration()),
        }
    }

    fn monotonic(&self) -> Duration {
        ORIGIN.get_or_init(Instant::now).elapsed()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        tokio::time::sleep(duration).boxed()
    }
}

/// A clock that moves only when told to.
///
/// Sleepers wake inside [`ManualClock::advance`], in the order of their deadlines.
#[derive(Debug)]
pub struct ManualClock {
    state: Mutex<ManualState>,
}

#[derive(Debug)]
struct ManualState {
    now: Timestamp,
    monotonic: Duration,
    sleepers: BinaryHeap<Reverse<Sleeper>>,
    next_sleeper: u64,
}

#[derive(Debug)]
struct Sleeper {
    deadline: Duration,
    number: u64,
    wake: oneshot::Sender<()>,
}

impl PartialEq for Sleeper {
    fn eq(&self, other: &Self) -> bool {
        self.cmp(other).is_eq()
    }
}

impl Eq for Sleeper {}

impl PartialOrd for Sleeper {
    fn partial_cmp(&self, other: &Self) -> Option<std::cmp::Ordering> {
        Some(self.cmp(other))
    }
}

impl Ord for Sleeper {
    fn cmp(&self, other: &Self) -> std::cmp::Ordering {
        (self.deadline, self.number).cmp(&(other.deadline, other.number))
    }
}

impl Default for ManualClock {
    fn default() -> Self {
        Self::new(Timestamp(0))
    }
}

impl ManualClock {
    /// A clock that shows `now` until it is moved.
    #[must_use]
    pub fn new(now: Timestamp) -> Self {
        let state = ManualState {
            now,
            monotonic: Duration::ZERO,
            sleepers: BinaryHeap::new(),
            next_sleeper: 0,
        };
        Self { state: Mutex::new(state) }
    }

    /// Lets time pass, and wakes everyone whose sleep is over.
    pub fn advance(&self, duration: Duration) {
        let mut state = self.state.lock();
        state.now = state.now.plus(duration);
        state.monotonic += duration;
        let reached = state.monotonic;
        while state.sleepers.peek().is_some_and(|Reverse(first)| first.deadline <= reached) {
            if let Some(Reverse(sleeper)) = state.sleepers.pop() {
                // A sleeper that was dropped no longer listens.
                let _ = sleeper.wake.send(());
            }
        }
    }

    /// Changes the time of day without letting time pass, as a clock correction does.
    pub fn set(&self, now: Timestamp) {
        self.state.lock().now = now;
    }

    /// How many sleeps have neither ended nor been dropped.
    #[must_use]
    pub fn sleepers(&self) -> usize {
        let state = self.state.lock();
        state.sleepers.iter().filter(|Reverse(sleeper)| !sleeper.wake.is_closed()).count()
    }
}

impl Clock for ManualClock {
    fn now(&self) -> Timestamp {
        self.state.lock().now
    }

    fn monotonic(&self) -> Duration {
        self.state.lock().monotonic
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        if duration.is_zero() {
            return std::future::ready(()).boxed();
        }
        let mut state = self.state.lock();
        let (wake, woken) = oneshot::channel();
        let sleeper =
            Sleeper { deadline: state.monotonic + duration, number: state.next_sleeper, wake };
        state.next_sleeper += 1;
        state.sleepers.push(Reverse(sleeper));
        drop(state);
        // The clock itself may be gone; then nothing can ever wake the sleeper, and it ends.
        woken.map(|_| ()).boxed()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_system_clock_runs_forward() {
        let clock = SystemClock;
        let first = clock.monotonic();
        assert!(clock.monotonic() >= first);
        assert!(clock.now() > Timestamp::from_seconds(1_700_000_000));
    }

    #[tokio::test]
    async fn sleepers_wake_when_the_clock_reaches_them() {
        let clock = ManualClock::new(Timestamp::from_seconds(100));
        let mut short = clock.sleep(Duration::from_secs(1));
        let mut long = clock.sleep(Duration::from_secs(3));
        assert_eq!(clock.sleepers(), 2);
        assert!((&mut short).now_or_never().is_none());
        clock.advance(Duration::from_secs(2));
        assert!((&mut short).now_or_never().is_some());
        assert!((&mut long).now_or_never().is_none());
        clock.advance(Duration::from_secs(1));
        assert!(long.now_or_never().is_some());
        assert_eq!(clock.now(), Timestamp::from_seconds(103));
        assert_eq!(clock.monotonic(), Duration::from_secs(3));
    }

    #[test]
    fn a_correction_lets_no_time_pass() {
        let clock = ManualClock::default();
        let _sleep = clock.sleep(Duration::from_secs(1));
        clock.set(Timestamp::from_seconds(1_000));
        assert_eq!(clock.sleepers(), 1);
        assert_eq!(clock.monotonic(), Duration::ZERO);
    }
}
