//! What a person sees of a ring, as data.

use std::sync::Arc;
use std::time::Duration;

use model::Timestamp;

use crate::instance::{Instance, Operation};
use crate::ring::Ring;

/// The state shown for an instance whose heartbeat is too old, whatever it says itself.
pub const UNHEALTHY: &str = "UNHEALTHY";

/// One instance on the ring page.
#[derive(Debug, Clone, PartialEq)]
pub struct Row {
    /// The instance itself.
    pub instance: Arc<Instance>,
    /// Its state, or [`UNHEALTHY`].
    pub state: &'static str,
    /// How long ago its last heartbeat was; zero when it lies in the future.
    pub heartbeat_age: Duration,
    /// How many tokens it owns after disputes were decided.
    pub tokens: usize,
    /// Which part of all keys it owns first, from 0 to 100; of its zone's tokens alone when
    /// replicas are spread over zones.
    pub ownership_percent: f64,
}

/// A row for every instance, in the order of names.
#[must_use]
pub fn rows(ring: &Ring, now: Timestamp) -> Vec<Row> {
    let owned = ownership(ring);
    let timeout = ring.config().heartbeat_timeout;
    let mut counts = vec![0usize; ring.instances().len()];
    for (_, index) in ring.tokens() {
        counts[index] += 1;
    }
    let row = |(index, instance): (usize, &Arc<Instance>)| Row {
        instance: Arc::clone(instance),
        state: state_of(instance, timeout, now),
        heartbeat_age: age(instance.heartbeat, now),
        tokens: counts[index],
        ownership_percent: owned[index] * 100.0,
    };
    ring.instances().iter().enumerate().map(row).collect()
}

/// The state as others see it: [`UNHEALTHY`] when the heartbeat is too old.
#[must_use]
pub fn state_of(instance: &Instance, timeout: Duration, now: Timestamp) -> &'static str {
    match instance.is_healthy(Operation::Report, timeout, now) {
        true => instance.state.as_str(),
        false => UNHEALTHY,
    }
}

fn age(heartbeat: Timestamp, now: Timestamp) -> Duration {
    Duration::from_nanos(u64::try_from(now.0.saturating_sub(heartbeat.0)).unwrap_or(0))
}

/// For each instance the part of the circle, from 0 to 1, that ends at its tokens.
fn ownership(ring: &Ring) -> Vec<f64> {
    let mut owned = vec![0u64; ring.instances().len()];
    let mut zones: Vec<&str> = vec![""];
    if ring.config().zone_aware {
        zones = ring.instances().iter().map(|instance| &*instance.zone).collect();
        zones.sort_unstable();
        zones.dedup();
    }
    for zone in zones {
        let is_of_zone =
            |index: usize| !ring.config().zone_aware || *ring.instances()[index].zone == *zone;
        let of_zone = || ring.tokens().filter(|(_, index)| is_of_zone(*index));
        let Some((last, last_index)) = of_zone().next_back() else { continue };
        let mut previous = last;
        let mut total = 0;
        for (token, index) in of_zone() {
            let range = u64::from(token.wrapping_sub(previous));
            owned[index] += range;
            total += range;
            previous = token;
        }
        // A single token owns the whole circle, which a difference of tokens cannot say.
        owned[last_index] += (1 << 32) - total;
    }
    owned.into_iter().map(|range| range as f64 / (1u64 << 32) as f64).collect()
}
