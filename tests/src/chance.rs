//! Random instants that follow from a seed.

use std::time::Duration;

use runtime::random::{Random as _, SeededRandom, SystemRandom, uniform};

/// Names the seed of every [`Chance`], so that a failed test can be repeated with the same instants.
const VARIABLE: &str = "SIGYN_TEST_SEED";

/// Chooses the instants of accidents.
pub struct Chance(SeededRandom);

impl Chance {
    /// Begins with the seed of `SIGYN_TEST_SEED`, else with a new one, and prints it. `what` says
    /// whose seed it is.
    #[must_use]
    #[expect(clippy::disallowed_methods, reason = "who repeats a test names its seed")]
    #[expect(clippy::print_stderr, reason = "the output of a failed test")]
    pub fn from_environment(what: &str) -> Self {
        let wanted = std::env::var(VARIABLE).ok().and_then(|text| text.parse().ok());
        let seed = wanted.unwrap_or_else(|| SystemRandom.next_u64());
        eprintln!("{what}: {VARIABLE}={seed}");
        Self(SeededRandom::new(seed))
    }

    /// Waits for less than `millis_max` milliseconds.
    #[expect(clippy::disallowed_methods, reason = "the instant of an accident is not awaited")]
    pub async fn pause(&self, millis_max: u64) {
        let millis = uniform(&self.0, 0..millis_max);
        tokio::time::sleep(Duration::from_millis(millis)).await;
    }
}
