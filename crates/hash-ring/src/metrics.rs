//! What is counted about rings, under Loki's names where it has one.

use prometheus_client::encoding::{EncodeLabelSet, EncodeLabelValue};
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use runtime::telemetry::Registry;

/// Which ring.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct RingLabel {
    name: String,
}

/// Which ring, and what its instances do.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StateLabel {
    name: String,
    state: StateName,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
struct StateName(&'static str);

impl EncodeLabelValue for StateName {
    fn encode(
        &self,
        encoder: &mut prometheus_client::encoding::LabelValueEncoder<'_>,
    ) -> Result<(), std::fmt::Error> {
        self.0.encode(encoder)
    }
}

/// Which store, and what was asked of it.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct StoreLabel {
    store: StateName,
    action: StateName,
}

/// Metrics of all rings of a process. Clones count the same.
#[derive(Debug, Clone, Default)]
pub struct Metrics {
    members: Family<StateLabel, Gauge>,
    oldest: Family<StateLabel, Gauge>,
    tokens: Family<RingLabel, Gauge>,
    tokens_owned: Family<RingLabel, Gauge>,
    tokens_to_own: Family<RingLabel, Gauge>,
    heartbeats: Family<RingLabel, Counter>,
    forgotten: Family<RingLabel, Counter>,
    store_failures: Family<StoreLabel, Counter>,
}

impl Metrics {
    /// Metrics that `registry` exposes. Register once per process.
    pub fn register(registry: &mut Registry) -> Self {
        let new = Self::default();
        registry.register(
            "loki_ring_members",
            "Instances in the ring by state, UNHEALTHY included",
            new.members.clone(),
        );
        registry.register(
            "loki_ring_oldest_member_timestamp",
            "When the instance in this state whose last heartbeat is oldest sent it, in seconds",
            new.oldest.clone(),
        );
        registry.register("loki_ring_tokens_total", "Tokens in the ring", new.tokens.clone());
        registry.register(
            "loki_member_ring_tokens_owned",
            "Tokens that this process owns",
            new.tokens_owned.clone(),
        );
        registry.register(
            "loki_member_ring_tokens_to_own",
            "Tokens that this process wants to own",
            new.tokens_to_own.clone(),
        );
        registry.register(
            "loki_ring_member_heartbeats",
            "Heartbeats that this process published",
            new.heartbeats.clone(),
        );
        registry.register(
            "sigyn_ring_members_forgotten",
            "Instances that this process forgot because they were silent for too long",
            new.forgotten.clone(),
        );
        registry.register(
            "sigyn_ring_store_failures",
            "Attempts to read or change the ring's store that failed",
            new.store_failures.clone(),
        );
        new
    }

    pub(crate) fn set_members(
        &self,
        ring: &str,
        state: &'static str,
        count: usize,
        oldest_seconds: i64,
    ) {
        let label = StateLabel { name: ring.to_owned(), state: StateName(state) };
        self.members.get_or_create(&label).set(count as i64);
        self.oldest.get_or_create(&label).set(oldest_seconds);
    }

    pub(crate) fn set_tokens(&self, ring: &str, count: usize) {
        self.tokens.get_or_create(&label(ring)).set(count as i64);
    }

    pub(crate) fn set_own_tokens(&self, ring: &str, owned: usize, wanted: usize) {
        self.tokens_owned.get_or_create(&label(ring)).set(owned as i64);
        self.tokens_to_own.get_or_create(&label(ring)).set(wanted as i64);
    }

    pub(crate) fn heartbeat(&self, ring: &str) {
        self.heartbeats.get_or_create(&label(ring)).inc();
    }

    pub(crate) fn forgotten(&self, ring: &str) {
        self.forgotten.get_or_create(&label(ring)).inc();
    }

    pub(crate) fn store_failed(&self, store: &'static str, action: &'static str) {
        let label = StoreLabel { store: StateName(store), action: StateName(action) };
        self.store_failures.get_or_create(&label).inc();
    }
}

fn label(ring: &str) -> RingLabel {
    RingLabel { name: ring.to_owned() }
}
