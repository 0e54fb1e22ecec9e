//! Heartbeats by one's own clock, so that machines whose clocks differ agree on who lives.

use std::collections::HashMap;
use std::sync::Arc;
use std::time::Duration;

use model::Timestamp;

use crate::instance::Instance;

/// Notes when the heartbeat of each instance changes.
#[derive(Debug, Default)]
pub(super) struct Observer {
    seen: HashMap<Arc<str>, Seen>,
}

#[derive(Debug, Clone, Copy)]
struct Seen {
    /// As the instance wrote it.
    heartbeat: Timestamp,
    /// When it was alive by our monotonic clock, which may have been before that clock began.
    alive_at: i128,
    /// When we noticed that; never before we looked.
    noticed: Duration,
}

impl Observer {
    /// The instances with heartbeats on our clock.
    ///
    /// An instance seen for the first time may have been dead for long, so its own time is
    /// believed. After that a heartbeat that changes means that it lives now, whatever its clock
    /// says.
    pub(super) fn observe(
        &mut self,
        instances: &[Arc<Instance>],
        now: Timestamp,
        monotonic: Duration,
    ) -> Vec<Arc<Instance>> {
        let current = i128::try_from(monotonic.as_nanos()).unwrap_or(i128::MAX);
        let previous = std::mem::take(&mut self.seen);
        let mut observed = Vec::with_capacity(instances.len());
        for instance in instances {
            let heartbeat = instance.heartbeat;
            let seen = match previous.get(&instance.id) {
                Some(seen) if seen.heartbeat == heartbeat => *seen,
                Some(_) => Seen { heartbeat, alive_at: current, noticed: monotonic },
                None => {
                    let age = i128::from(now.0) - i128::from(heartbeat.0.min(now.0));
                    Seen { heartbeat, alive_at: current - age, noticed: monotonic }
                }
            };
            self.seen.insert(Arc::clone(&instance.id), seen);
            let ago = i64::try_from(current - seen.alive_at).unwrap_or(i64::MAX);
            let heartbeat = Timestamp(now.0.saturating_sub(ago));
            observed.push(Arc::new(Instance { heartbeat, ..Instance::clone(instance) }));
        }
        observed
    }

    /// Whose heartbeat was last noticed at or before `since`.
    pub(super) fn silent_since(&self, since: Duration) -> Vec<Arc<str>> {
        let silent = self.seen.iter().filter(|(_, seen)| seen.noticed <= since);
        silent.map(|(id, _)| Arc::clone(id)).collect()
    }
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::store::fake;

    const MINUTE: Duration = Duration::from_secs(60);

    #[test]
    fn a_change_counts_whatever_the_other_clock_says() {
        let mut observer = Observer::default();
        let now = Timestamp::from_seconds(10_000);
        let mut look = |heartbeat: i64, now: Timestamp, monotonic: u64| {
            let instance = Arc::new(fake::instance("a", heartbeat));
            let seen = observer.observe(&[instance], now, Duration::from_secs(monotonic));
            (
                seen[0].heartbeat,
                observer.silent_since(Duration::from_secs(monotonic) - MINUTE).len(),
            )
        };
        // Its clock is an hour behind: dead at first sight, alive with its next heartbeat.
        let behind = |seconds: i64| 10_000 - 3600 + seconds;
        assert_eq!(look(behind(0), now, 100), (Timestamp::from_seconds(behind(0)), 0));
        assert_eq!(look(behind(5), now, 105), (now, 0));
        // Our clock is set two hours ahead, and the instance is as old as before.
        let ahead = now.plus(MINUTE * 120);
        assert_eq!(look(behind(5), ahead, 106), (ahead.minus(Duration::from_secs(1)), 0));
        assert_eq!(look(behind(5), ahead, 165), (ahead.minus(MINUTE), 1));
        // One from the future is not younger than now.
        assert_eq!(look(99_999, ahead, 166), (ahead, 0));
    }
}
