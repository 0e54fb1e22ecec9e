//! Clocks of nodes: the same time passes for all, but each thinks it another time of day.

use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering};
use std::time::Duration;

use futures_util::future::BoxFuture;
use model::Timestamp;
use runtime::clock::{Clock, ManualClock};

/// A clock that is wrong by an offset, which may change.
#[derive(Debug, Clone)]
pub(crate) struct NodeClock {
    base: Arc<ManualClock>,
    /// Nanoseconds.
    offset: Arc<AtomicI64>,
}

impl NodeClock {
    pub(crate) fn new(base: &Arc<ManualClock>) -> Self {
        Self { base: Arc::clone(base), offset: Arc::default() }
    }

    /// Sets how wrong the clock is.
    pub(crate) fn step(&self, offset_ns: i64) {
        self.offset.store(offset_ns, Ordering::Relaxed);
    }
}

impl Clock for NodeClock {
    fn now(&self) -> Timestamp {
        Timestamp(self.base.now().0 + self.offset.load(Ordering::Relaxed))
    }

    fn monotonic(&self) -> Duration {
        self.base.monotonic()
    }

    fn sleep(&self, duration: Duration) -> BoxFuture<'static, ()> {
        self.base.sleep(duration)
    }
}
