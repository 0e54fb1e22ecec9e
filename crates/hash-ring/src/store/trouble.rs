//! Trouble with a store is logged when it begins and when it ends, and counted in between.

use std::fmt::Display;
use std::sync::atomic::{AtomicBool, Ordering};

use crate::metrics::Metrics;

/// Whether the last attempt of a kind failed.
pub(crate) struct Trouble {
    store: &'static str,
    is_failing: AtomicBool,
    has_misread: AtomicBool,
    metrics: Metrics,
}

impl Trouble {
    pub(crate) fn new(store: &'static str, metrics: &Metrics) -> Self {
        let metrics = metrics.clone();
        Self {
            store,
            is_failing: AtomicBool::default(),
            has_misread: AtomicBool::default(),
            metrics,
        }
    }

    /// Notes a failure of `action` on `ring`.
    pub(crate) fn failed(&self, action: &'static str, ring: &str, error: &dyn Display) {
        self.metrics.store_failed(self.store, action);
        if !self.is_failing.swap(true, Ordering::Relaxed) {
            tracing::warn!(store = self.store, action, ring, %error, "ring store failed, retrying");
        }
    }

    /// Notes a record that cannot be read, which is then left out. Logged once in a process: the
    /// record will be met again and again.
    pub(crate) fn misread(&self, ring: &str, error: &dyn Display) {
        self.metrics.store_failed(self.store, "decode");
        if !self.has_misread.swap(true, Ordering::Relaxed) {
            tracing::warn!(store = self.store, ring, %error, "left out an unreadable ring record");
        }
    }

    /// Notes a success.
    pub(crate) fn succeeded(&self, action: &'static str, ring: &str) {
        if self.is_failing.swap(false, Ordering::Relaxed) {
            tracing::info!(store = self.store, action, ring, "ring store works again");
        }
    }
}
