//! Rates with bursts.
//!
//! [`TokenBucket`] counts as Go's `rate.Limiter.AllowN` does: it starts full, refills
//! continuously, and a request either gets all of what it asks for or nothing and costs nothing.

use std::time::Duration;

use parking_lot::Mutex;

/// A budget that refills at a rate, up to a burst. Units are the caller's, usually bytes.
#[derive(Debug)]
pub struct TokenBucket {
    state: Mutex<State>,
}

#[derive(Debug)]
struct State {
    rate: f64,
    burst: f64,
    tokens: f64,
    /// When `tokens` was right, on the caller's monotonic clock.
    as_of: Option<Duration>,
}

impl TokenBucket {
    /// A full bucket that refills `rate` a second. An infinite rate allows everything.
    #[must_use]
    pub fn new(rate: f64, burst: f64) -> Self {
        Self { state: Mutex::new(State { rate, burst, tokens: burst, as_of: None }) }
    }

    /// Takes `amount` if that much is there. `now` comes from [`crate::clock::Clock::monotonic`].
    pub fn allow(&self, now: Duration, amount: f64) -> bool {
        let mut state = self.state.lock();
        if state.rate.is_infinite() {
            return true;
        }
        let tokens = state.tokens_at(now);
        if amount > state.burst || amount > tokens {
            return false;
        }
        state.tokens = tokens - amount;
        state.move_to(now);
        true
    }

    /// Changes rate and burst; what was saved until now is kept, up to the new burst.
    pub fn set_limits(&self, now: Duration, rate: f64, burst: f64) {
        let mut state = self.state.lock();
        if state.rate == rate && state.burst == burst {
            return;
        }
        let tokens = state.tokens_at(now);
        state.tokens = if tokens.is_finite() { tokens.min(burst) } else { burst };
        state.move_to(now);
        state.rate = rate;
        state.burst = burst;
    }

    /// How much a request could take now.
    pub fn available(&self, now: Duration) -> f64 {
        self.state.lock().tokens_at(now)
    }

    /// The refill a second.
    pub fn rate(&self) -> f64 {
        self.state.lock().rate
    }

    /// The most that can be saved.
    pub fn burst(&self) -> f64 {
        self.state.lock().burst
    }
}

impl State {
    fn tokens_at(&self, now: Duration) -> f64 {
        let elapsed = self.as_of.map_or(Duration::ZERO, |as_of| now.saturating_sub(as_of));
        let refill = if elapsed.is_zero() { 0.0 } else { elapsed.as_secs_f64() * self.rate };
        (self.tokens + refill).min(self.burst)
    }

    fn move_to(&mut self, now: Duration) {
        // Two threads may read the clock in one order and get here in the other.
        self.as_of = Some(self.as_of.map_or(now, |as_of| as_of.max(now)));
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    const START: Duration = Duration::from_secs(1000);

    #[test]
    fn a_full_bucket_gives_its_burst_then_its_rate() {
        let bucket = TokenBucket::new(10.0, 30.0);
        assert!(!bucket.allow(START, 31.0));
        assert!(bucket.allow(START, 30.0));
        assert!(!bucket.allow(START, 1.0));
        assert!(bucket.allow(START + Duration::from_millis(100), 1.0));
        assert!(!bucket.allow(START + Duration::from_millis(100), 0.1));
        assert!(bucket.allow(START + Duration::from_secs(60), 30.0));
    }

    #[test]
    fn limits_change_while_running() {
        let bucket = TokenBucket::new(10.0, 10.0);
        assert!(bucket.allow(START, 10.0));
        bucket.set_limits(START, 100.0, 200.0);
        assert!(bucket.allow(START + Duration::from_secs(1), 100.0));
        bucket.set_limits(START + Duration::from_secs(9), 1.0, 5.0);
        assert!(!bucket.allow(START + Duration::from_secs(9), 6.0));
        assert!(bucket.allow(START + Duration::from_secs(9), 5.0));
        bucket.set_limits(START + Duration::from_secs(9), f64::INFINITY, 0.0);
        assert!(bucket.allow(START + Duration::from_secs(9), 1e18));
        bucket.set_limits(START + Duration::from_secs(9), 1.0, 5.0);
        assert!(!bucket.allow(START + Duration::from_secs(9), 6.0));
    }

    proptest! {
        /// Whatever is asked for and when: no more is given than the burst plus what refilled.
        #[test]
        fn never_gives_more_than_its_limits(
            asks in proptest::collection::vec((0u64..5_000, 0u32..500), 1..100),
        ) {
            let (rate, burst) = (100.0, 250.0);
            let bucket = TokenBucket::new(rate, burst);
            let (mut elapsed, mut given) = (Duration::ZERO, 0.0);
            for (wait_millis, amount) in asks {
                elapsed += Duration::from_millis(wait_millis);
                if bucket.allow(START + elapsed, f64::from(amount)) {
                    given += f64::from(amount);
                }
                prop_assert!(given <= burst + elapsed.as_secs_f64() * rate + 1e-6);
            }
        }
    }
}
