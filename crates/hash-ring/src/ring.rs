//! All instances of one moment, and who of them owns what.

mod shard;
#[cfg(test)]
mod tests;
mod topology;

use std::collections::BTreeSet;
use std::fmt;
use std::sync::Arc;
use std::time::Duration;

use model::Timestamp;

use crate::Error;
use crate::instance::{Instance, Operation};
use crate::quorum::{ReplicationSet, quorum};
use topology::Topology;

/// How owners are chosen. All processes of a cluster must agree on it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RingConfig {
    /// How many instances hold each row; at least one.
    pub replication_factor: usize,
    /// An instance whose heartbeat is older is UNHEALTHY.
    pub heartbeat_timeout: Duration,
    /// Whether replicas are spread over zones.
    pub zone_aware: bool,
}

impl Default for RingConfig {
    fn default() -> Self {
        Self {
            replication_factor: 3,
            heartbeat_timeout: Duration::from_secs(60),
            zone_aware: false,
        }
    }
}

/// All instances of one moment. Cheap to clone; it never changes.
#[derive(Clone)]
pub struct Ring {
    config: RingConfig,
    topology: Arc<Topology>,
    /// In the order of their names, each name once.
    members: Arc<[Arc<Instance>]>,
}

impl Ring {
    /// Makes a ring of the members that a store shows, in any order.
    ///
    /// Those that have left are left out. Of two records of one name the one with the later
    /// heartbeat counts. A token that two instances claim belongs to the one that stays, and of
    /// two that stay to the one whose name is smaller.
    pub fn new(config: &RingConfig, members: impl IntoIterator<Item = Arc<Instance>>) -> Self {
        let members = in_order(members);
        let mut config = config.clone();
        config.replication_factor = config.replication_factor.max(1);
        Self { config, topology: Arc::new(Topology::new(&members)), members }
    }

    /// The ring of newer members. What was computed before is used again when only heartbeats
    /// have changed.
    #[must_use]
    pub fn refreshed(&self, members: impl IntoIterator<Item = Arc<Instance>>) -> Self {
        let members = in_order(members);
        let is_same = members.len() == self.members.len()
            && members.iter().zip(&*self.members).all(|(new, old)| new.is_same_but_heartbeat(old));
        let topology = match is_same {
            true => Arc::clone(&self.topology),
            false => Arc::new(Topology::new(&members)),
        };
        Self { config: self.config.clone(), topology, members }
    }

    /// The replicas of one key: the owners of the first tokens after it, each instance once, and
    /// spread over zones if so configured.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`] when nobody has a token, [`Error::TooFewHealthy`] when a quorum is out of
    /// reach: retry later.
    pub fn owners(
        &self,
        token: u32,
        operation: Operation,
        now: Timestamp,
    ) -> Result<ReplicationSet, Error> {
        if self.topology.tokens.is_empty() {
            return Err(Error::Empty);
        }
        let chosen = self.walk(token, operation);
        let needed = quorum(self.config.replication_factor.max(chosen.len()));
        let mut instances: Vec<Arc<Instance>> =
            chosen.into_iter().map(|index| Arc::clone(&self.members[index])).collect();
        instances.retain(|instance| self.is_healthy(instance, operation, now));
        match instances.len().checked_sub(needed) {
            Some(max_errors) => {
                Ok(ReplicationSet { instances, max_errors, max_unavailable_zones: 0 })
            }
            None => Err(Error::TooFewHealthy { needed, healthy: instances.len() }),
        }
    }

    /// Which members own a key, healthy or not, in the order of the circle.
    fn walk(&self, token: u32, operation: Operation) -> Vec<usize> {
        let topology = &*self.topology;
        let (cap, target) = self.places(operation);
        let mut chosen: Vec<usize> = Vec::with_capacity(target);
        let mut of_zone = vec![0usize; topology.zones.len()];
        let mut found = 0;
        let start = topology.tokens.partition_point(|&owned| owned <= token);
        let (before, after) = topology.holders.split_at(start);
        for &holder in after.iter().chain(before) {
            if found >= target {
                break;
            }
            let index = holder as usize;
            let instance = &self.members[index];
            let zone = topology.zone_of[index];
            let is_skipped = operation == Operation::Write && instance.is_read_only();
            if is_skipped || of_zone[zone] >= cap || chosen.contains(&index) {
                continue;
            }
            chosen.push(index);
            // Whoever needs company is not counted, so the next one of its zone comes too.
            if !operation.extends(instance.state) {
                of_zone[zone] += 1;
                found += 1;
            }
        }
        chosen
    }

    /// How many replicas of a key a zone holds at most, and how many all zones can hold.
    fn places(&self, operation: Operation) -> (usize, usize) {
        let sizes = match operation {
            Operation::Write => &self.topology.writable_of_zone,
            Operation::Read | Operation::Report => &self.topology.owners_of_zone,
        };
        let factor = self.config.replication_factor;
        let zones = sizes.iter().filter(|size| **size > 0).count();
        let cap = match self.config.zone_aware {
            true => factor.checked_div(zones).unwrap_or(factor).max(1),
            false => factor,
        };
        let available: usize = sizes.iter().map(|size| (*size).min(cap)).sum();
        (cap, factor.min(available))
    }

    /// All instances that may hold an answer, and how many of them a complete answer can miss.
    ///
    /// With zones an unhealthy instance discounts its zone: the others of it are not asked, and
    /// one zone less may fail.
    ///
    /// # Errors
    ///
    /// [`Error::Empty`], [`Error::TooFewHealthy`] or [`Error::TooManyUnhealthyZones`]: an answer
    /// would not be certain to be complete.
    pub fn everyone(&self, operation: Operation, now: Timestamp) -> Result<ReplicationSet, Error> {
        if self.members.is_empty() {
            return Err(Error::Empty);
        }
        let is_asked = |instance: &&Arc<Instance>| self.is_healthy(instance, operation, now);
        let zones = self.topology.owners_of_zone.iter().filter(|size| **size > 0).count();
        if !self.config.zone_aware || zones < 2 {
            let instances: Vec<_> = self.members.iter().filter(is_asked).cloned().collect();
            let factor = self.config.replication_factor;
            // Every acknowledged row is on all but factor/2 of its replicas' places.
            let needed = self.members.len().max(factor) - factor / 2;
            return match instances.len().checked_sub(needed) {
                Some(max_errors) => {
                    Ok(ReplicationSet { instances, max_errors, max_unavailable_zones: 0 })
                }
                None => Err(Error::TooFewHealthy { needed, healthy: instances.len() }),
            };
        }
        let tolerated = self.zones_tolerated(zones);
        let unhealthy: BTreeSet<&str> =
            self.members.iter().filter(|member| !is_asked(member)).map(|m| &*m.zone).collect();
        let Some(max_unavailable_zones) = tolerated.checked_sub(unhealthy.len()) else {
            return Err(Error::TooManyUnhealthyZones { unhealthy: unhealthy.len(), tolerated });
        };
        let instances: Vec<_> =
            self.members.iter().filter(|m| !unhealthy.contains(&*m.zone)).cloned().collect();
        if instances.is_empty() {
            return Err(Error::TooFewHealthy { needed: 1, healthy: 0 });
        }
        Ok(ReplicationSet { instances, max_errors: 0, max_unavailable_zones })
    }

    /// How many whole zones may miss without missing all copies of an acknowledged row.
    ///
    /// A row is on a quorum of instances, of which a zone holds at most its cap; so a quorum never
    /// fits into fewer zones than it needs.
    fn zones_tolerated(&self, zones: usize) -> usize {
        let factor = self.config.replication_factor;
        let cap = (factor / zones).max(1);
        let by_copies = (quorum(factor) - 1) / cap;
        by_copies.min(zones.min(factor) / 2).min(zones - 1)
    }

    /// How many instances can serve `operation` now.
    #[must_use]
    pub fn healthy(&self, operation: Operation, now: Timestamp) -> usize {
        self.healthy_instances(operation, now).count()
    }

    /// The instances that can serve `operation` now, without any promise about quorum.
    pub fn healthy_instances(
        &self,
        operation: Operation,
        now: Timestamp,
    ) -> impl Iterator<Item = &Arc<Instance>> {
        self.members.iter().filter(move |instance| self.is_healthy(instance, operation, now))
    }

    /// Every instance, in the order of names.
    #[must_use]
    pub fn instances(&self) -> &[Arc<Instance>] {
        &self.members
    }

    /// The instance of this name.
    #[must_use]
    pub fn instance(&self, id: &str) -> Option<&Arc<Instance>> {
        let found = self.members.binary_search_by(|instance| (*instance.id).cmp(id));
        found.ok().map(|index| &self.members[index])
    }

    /// How many instances hold each row.
    #[must_use]
    pub fn replication_factor(&self) -> usize {
        self.config.replication_factor
    }

    /// How owners are chosen.
    #[must_use]
    pub fn config(&self) -> &RingConfig {
        &self.config
    }

    /// Whether both rings choose the same owners, heartbeats aside, because one was made from the
    /// other. What was derived from one can then be kept for the other.
    #[must_use]
    pub fn has_topology_of(&self, other: &Self) -> bool {
        Arc::ptr_eq(&self.topology, &other.topology)
    }

    /// Every token with the position of its owner in [`Self::instances`], in ascending order.
    pub fn tokens(&self) -> impl DoubleEndedIterator<Item = (u32, usize)> + ExactSizeIterator + '_ {
        let holders = self.topology.holders.iter().map(|holder| *holder as usize);
        self.topology.tokens.iter().copied().zip(holders)
    }

    fn is_healthy(&self, instance: &Instance, operation: Operation, now: Timestamp) -> bool {
        instance.is_healthy(operation, self.config.heartbeat_timeout, now)
    }
}

impl fmt::Debug for Ring {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.debug_struct("Ring")
            .field("config", &self.config)
            .field("members", &self.members)
            .finish()
    }
}

/// Members by name, each name once.
fn in_order(members: impl IntoIterator<Item = Arc<Instance>>) -> Arc<[Arc<Instance>]> {
    let mut members: Vec<Arc<Instance>> = members.into_iter().collect();
    // The later heartbeat first; the rest only makes the choice the same everywhere.
    members.sort_by(|a, b| {
        let newest = (b.heartbeat, b.registered, a.state, &a.address);
        a.id.cmp(&b.id).then(newest.cmp(&(a.heartbeat, a.registered, b.state, &b.address)))
    });
    members.dedup_by(|next, first| next.id == first.id);
    members.retain(|instance| Operation::Report.accepts(instance.state));
    members.into()
}
