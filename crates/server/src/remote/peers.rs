//! Which ingesters there are.
//!
//! Everything that asks several ingesters goes through [`Peers`], so that a list that never changes
//! and a ring look the same to it.

use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;

use hash_ring::{Operation, Ring, State};
use model::TenantId;
use runtime::clock::Clock;

/// Ingesters of which some may fail without rows being missed.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Replicas {
    /// Whom to ask; in an order that does not change from query to query.
    pub members: Vec<Member>,
    /// How many of them may fail.
    pub errors_max: usize,
    /// With zones: in how many zones members may fail, whatever their number.
    pub zones_max: Option<usize>,
}

/// One ingester.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Member {
    /// `host:port` of its gRPC.
    pub address: Arc<str>,
    /// Where it stands; empty without zones.
    pub zone: Arc<str>,
    /// Whether it is on its way out: it can be read and takes no entries.
    pub is_leaving: bool,
}

/// Knows the ingesters of the cluster.
pub trait Peers: Send + Sync {
    /// Whom to ask for the recent rows of a tenant.
    ///
    /// # Errors
    ///
    /// What keeps a complete answer from being possible now.
    fn readable(&self, tenant: &TenantId) -> Result<Replicas, rpc::Error>;

    /// Every ingester, for operations on all of them; those, too, that are silent now and have rows
    /// in their logs.
    fn everyone(&self) -> Vec<Arc<str>>;

    /// Another number whenever an ingester has come or gone. Nobody can ask one that has gone what
    /// it stored last.
    fn generation(&self) -> u64 {
        0
    }

    /// Whether ingesters may come and go.
    fn may_change(&self) -> bool {
        false
    }
}

/// Ingesters that the configuration names. Each stream is kept by one of them, so none may fail.
#[derive(Debug, Clone)]
pub struct FixedPeers(Vec<Arc<str>>);

impl FixedPeers {
    /// The ingesters at some addresses.
    #[must_use]
    pub fn new(addresses: &[String]) -> Self {
        let mut addresses: Vec<Arc<str>> =
            addresses.iter().map(|address| address.as_str().into()).collect();
        addresses.sort();
        addresses.dedup();
        Self(addresses)
    }
}

impl Peers for FixedPeers {
    fn readable(&self, _tenant: &TenantId) -> Result<Replicas, rpc::Error> {
        let member = |address: &Arc<str>| Member {
            address: Arc::clone(address),
            zone: "".into(),
            is_leaving: false,
        };
        Ok(Replicas { members: self.0.iter().map(member).collect(), ..Replicas::default() })
    }

    fn everyone(&self) -> Vec<Arc<str>> {
        self.0.clone()
    }
}

/// Ingesters of a ring.
pub struct RingPeers {
    /// The ring as it is known now.
    ring: Box<dyn Fn() -> Ring + Send + Sync>,
    clock: Arc<dyn Clock>,
}

impl RingPeers {
    /// The members of whatever ring `ring` answers when it is asked.
    #[must_use]
    pub fn new(ring: impl Fn() -> Ring + Send + Sync + 'static, clock: Arc<dyn Clock>) -> Self {
        Self { ring: Box::new(ring), clock }
    }
}

impl Peers for RingPeers {
    fn readable(&self, _tenant: &TenantId) -> Result<Replicas, rpc::Error> {
        let set = (self.ring)().everyone(Operation::Read, self.clock.now());
        let set = set.map_err(|error| rpc::Error::new(error.kind(), error.to_string()))?;
        let mut members: Vec<Member> = set
            .instances
            .iter()
            .map(|instance| Member {
                address: Arc::clone(&instance.address),
                zone: Arc::clone(&instance.zone),
                is_leaving: instance.state == State::Leaving,
            })
            .collect();
        members.sort_by(|a, b| a.address.cmp(&b.address));
        // A ring counts zones or instances, never both.
        let zones_max = (set.max_unavailable_zones > 0).then_some(set.max_unavailable_zones);
        Ok(Replicas { members, errors_max: set.max_errors, zones_max })
    }

    fn everyone(&self) -> Vec<Arc<str>> {
        let ring = (self.ring)();
        let members = ring.instances().iter();
        let mut addresses: Vec<Arc<str>> =
            members.map(|instance| Arc::clone(&instance.address)).collect();
        addresses.sort();
        addresses
    }

    fn generation(&self) -> u64 {
        let mut hasher = DefaultHasher::new();
        (self.ring)().instances().iter().for_each(|instance| instance.id.hash(&mut hasher));
        hasher.finish()
    }

    fn may_change(&self) -> bool {
        true
    }
}

impl Replicas {
    /// Whether no row is missed when some members fail.
    #[must_use]
    pub fn tolerates(&self, failed: &[usize]) -> bool {
        match self.zones_max {
            None => failed.len() <= self.errors_max,
            Some(zones_max) => {
                let mut zones: Vec<&str> =
                    failed.iter().filter_map(|at| Some(&*self.members.get(*at)?.zone)).collect();
                zones.sort_unstable();
                zones.dedup();
                zones.len() <= zones_max
            }
        }
    }
}
