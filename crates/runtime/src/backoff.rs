//! Waiting longer after every failure, and giving up in the end.

use std::time::Duration;

use crate::random::{Random, unit};

/// How long to wait between attempts, and how often.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct BackoffPolicy {
    /// The first wait lies between this and twice this.
    pub min: Duration,
    /// No wait is longer.
    pub max: Duration,
    /// How many waits there are before giving up.
    pub retries_max: u32,
}

impl Default for BackoffPolicy {
    fn default() -> Self {
        Self { min: Duration::from_millis(100), max: Duration::from_secs(10), retries_max: 10 }
    }
}

/// The waits of one operation: each doubles the one before, with jitter, up to a bound.
#[derive(Debug, Clone)]
pub struct Backoff {
    policy: BackoffPolicy,
    retries: u32,
}

impl Backoff {
    /// Starts counting.
    #[must_use]
    pub fn new(policy: BackoffPolicy) -> Self {
        Self { policy, retries: 0 }
    }

    /// How long to wait before the next attempt; `None` when it is time to give up.
    ///
    /// The wait is uniform between `min * 2^n` and twice that, so that clients which failed
    /// together do not come back together.
    pub fn next_wait(&mut self, random: &dyn Random) -> Option<Duration> {
        if self.retries >= self.policy.retries_max {
            return None;
        }
        // Beyond 2^20 every sensible policy has reached its maximum.
        let base = self.policy.min.saturating_mul(1 << self.retries.min(20)).min(self.policy.max);
        self.retries += 1;
        Some(base.saturating_add(base.mul_f64(unit(random))).min(self.policy.max))
    }

    /// How many waits were given since the start or the last reset.
    #[must_use]
    pub fn retries(&self) -> u32 {
        self.retries
    }

    /// Forgets the failures, after a success.
    pub fn reset(&mut self) {
        self.retries = 0;
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::random::SeededRandom;

    #[test]
    fn waits_double_within_their_bounds_and_end() {
        let random = SeededRandom::new(3);
        let policy = BackoffPolicy {
            min: Duration::from_millis(100),
            max: Duration::from_secs(1),
            retries_max: 40,
        };
        let mut backoff = Backoff::new(policy);
        for retry in 0..policy.retries_max {
            let base = policy.min.saturating_mul(1 << retry.min(20)).min(policy.max);
            let wait = backoff.next_wait(&random).unwrap();
            assert!(base <= wait && wait <= (base * 2).min(policy.max), "{retry}: {wait:?}");
        }
        assert_eq!(backoff.next_wait(&random), None);
        backoff.reset();
        assert!(backoff.next_wait(&random).unwrap() < Duration::from_millis(200));
    }
}
