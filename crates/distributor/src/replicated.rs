//! One batch to several ingesters, acknowledged by a quorum of each stream's replicas.
//!
//! Every stream belongs to the owners of its token on the ring. Each ingester gets one batch of the
//! streams it owns, all at once; when all own all streams they get the very same bytes. The caller
//! is answered as soon as a quorum of the owners of every stream has stored it, or cannot any more;
//! what is still under way goes on in the background, bounded in time and bytes, because a third
//! replica is worth having even when nobody waits for it.

use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::Duration;

use api::append::{AppendBatch, AppendOutcome, Rejected};
use futures_util::FutureExt as _;
use futures_util::future::{BoxFuture, Either, select};
use futures_util::stream::{FuturesUnordered, StreamExt as _};
use hash_ring::{
    Instance, Operation, Outcome, QuorumTracker, ReplicationSet, Ring, Verdict, token_of,
};
use hashbrown::HashMap;
use model::{ErrorKind, TenantId};
use runtime::clock::Clock;
use runtime::task::{self, JoinHandle};

use crate::appender::{AppendError, Appender};

mod outcome;
#[cfg(test)]
mod tests;

use outcome::Outcomes;

/// How long a client waits before it sends a batch again that too few ingesters took.
const RETRY_AFTER: Duration = Duration::from_secs(1);

/// Shows the ring of ingesters as it is now.
pub trait RingNow: Send + Sync {
    /// The newest ring that is known.
    fn ring(&self) -> Ring;

    /// The part of it that keeps a tenant's streams.
    fn ring_of(&self, _tenant: &TenantId) -> Ring {
        self.ring()
    }
}

/// Reaches ingesters.
pub trait Peers: Send + Sync {
    /// Appends a batch at one ingester. The future goes on when the push it belongs to is answered.
    ///
    /// # Errors
    ///
    /// [`PeerError`]: nothing is promised about the batch.
    fn append(
        &self,
        instance: &Arc<Instance>,
        batch: AppendBatch,
    ) -> BoxFuture<'static, Result<AppendOutcome, PeerError>>;
}

/// Why an ingester did not take a batch.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct PeerError {
    /// [`ErrorKind::Invalid`] and [`ErrorKind::LimitExceeded`] say that the batch is wrong, and
    /// every replica would say so. All others are the ingester's or the way's own trouble.
    pub kind: ErrorKind,
    /// What is the matter.
    pub message: String,
    /// When to try again, if the ingester said so.
    pub retry_after: Option<Duration>,
}

/// How batches are replicated.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ReplicatedConfig {
    /// How long an ingester may take for a batch, whether anybody still waits for it or not.
    pub remote_timeout: Duration,
    /// Bytes of batches that may be under way to ingesters, each copy counted. Beyond it pushes are
    /// refused with 503 before memory is at risk.
    pub in_flight_bytes_max: u64,
}

impl Default for ReplicatedConfig {
    fn default() -> Self {
        Self { remote_timeout: Duration::from_secs(5), in_flight_bytes_max: 512 << 20 }
    }
}

/// What replication works with.
pub struct ReplicatedDependencies {
    /// The ring of ingesters.
    pub ring: Arc<dyn RingNow>,
    /// The way to them.
    pub peers: Arc<dyn Peers>,
    /// Tells who is healthy, and measures timeouts.
    pub clock: Arc<dyn Clock>,
}

/// Appends to a quorum of the owners of each stream.
pub struct ReplicatedAppender {
    config: ReplicatedConfig,
    dependencies: ReplicatedDependencies,
    in_flight: Arc<AtomicU64>,
}

/// Bytes under way to one ingester.
struct InFlight {
    used: Arc<AtomicU64>,
    bytes: u64,
}

impl Drop for InFlight {
    fn drop(&mut self) {
        self.used.fetch_sub(self.bytes, Ordering::Relaxed);
    }
}

/// Who gets which streams of a batch.
struct Routes {
    /// Streams with the same owners.
    groups: Vec<Group>,
    /// Every owner of some stream, with the groups it is an owner of.
    targets: Vec<Target>,
    /// For each stream of the batch its group.
    group_of: Vec<usize>,
}

struct Group {
    set: ReplicationSet,
    rows: u64,
}

struct Target {
    instance: Arc<Instance>,
    /// Groups, and the instance's place among the owners of each.
    groups: Vec<(usize, usize)>,
}

type Answer = Result<AppendOutcome, PeerError>;

impl ReplicatedAppender {
    /// An appender to the ingesters of a ring.
    #[must_use]
    pub fn new(config: ReplicatedConfig, dependencies: ReplicatedDependencies) -> Self {
        Self { config, dependencies, in_flight: Arc::default() }
    }

    /// Bytes of batches under way to ingesters, each copy counted.
    #[must_use]
    pub fn in_flight_bytes(&self) -> u64 {
        self.in_flight.load(Ordering::Relaxed)
    }

    async fn replicate(&self, batch: AppendBatch) -> Result<AppendOutcome, AppendError> {
        let ring = self.dependencies.ring.ring_of(batch.tenant());
        let factor = ring.replication_factor();
        let routes = self.routes(&ring, &batch).map_err(|error| AppendError::Unavailable {
            message: error.to_string(),
            retry_after: RETRY_AFTER,
        })?;
        let mut sends = self.send(&routes, &batch)?;
        let mut trackers: Vec<QuorumTracker> =
            routes.groups.iter().map(|group| QuorumTracker::write(&group.set)).collect();
        let mut outcomes = Outcomes::new(factor);
        while let Some(answered) = sends.next().await {
            // A task that panicked has ended the process.
            let Ok((target, answer)) = answered else { continue };
            let told = match &answer {
                Ok(_) => Outcome::Ok,
                Err(error) if error.is_of_client() => Outcome::ClientError,
                Err(_) => Outcome::ServerError,
            };
            for (group, place) in &routes.targets[target].groups {
                trackers[*group].record(*place, told);
            }
            outcomes.add(answer);
            let verdicts = || trackers.iter().map(QuorumTracker::verdict);
            if verdicts().any(|verdict| verdict == Verdict::FailedByServer) {
                return Err(outcomes.failure(RETRY_AFTER));
            }
            // When one replica refused rows that the others took, the last word is with the others.
            let is_decided = verdicts().all(|verdict| verdict != Verdict::Pending);
            if is_decided && (sends.is_empty() || !outcomes.has_refusals()) {
                break;
            }
        }
        let failed = trackers.iter().zip(&routes.groups);
        let failed = failed.filter(|(tracker, _)| tracker.verdict() != Verdict::Reached);
        let refused_rows: u64 = failed.map(|(_, group)| group.rows).sum();
        Ok(outcomes.finish(refused_rows))
    }

    /// Finds the owners of every stream.
    fn routes(&self, ring: &Ring, batch: &AppendBatch) -> Result<Routes, hash_ring::Error> {
        let now = self.dependencies.clock.now();
        let mut routes = Routes { groups: Vec::new(), targets: Vec::new(), group_of: Vec::new() };
        let mut by_owners: HashMap<Vec<Arc<str>>, usize> = HashMap::new();
        let mut by_id: HashMap<Arc<str>, usize> = HashMap::new();
        for part in batch.streams() {
            let token = token_of(batch.tenant(), part.fingerprint);
            let mut set = ring.owners(token, Operation::Write, now)?;
            set.instances.sort_by(|a, b| a.id.cmp(&b.id));
            let owners: Vec<Arc<str>> = set.instances.iter().map(|i| Arc::clone(&i.id)).collect();
            let group = *by_owners.entry(owners).or_insert_with(|| {
                let group = routes.groups.len();
                for (place, instance) in set.instances.iter().enumerate() {
                    let target = *by_id.entry(Arc::clone(&instance.id)).or_insert_with(|| {
                        let instance = Arc::clone(instance);
                        routes.targets.push(Target { instance, groups: Vec::new() });
                        routes.targets.len() - 1
                    });
                    routes.targets[target].groups.push((group, place));
                }
                routes.groups.push(Group { set, rows: 0 });
                group
            });
            routes.groups[group].rows += u64::from(part.rows);
            routes.group_of.push(group);
        }
        Ok(routes)
    }

    /// Begins to send each owner its streams.
    fn send(
        &self,
        routes: &Routes,
        batch: &AppendBatch,
    ) -> Result<FuturesUnordered<JoinHandle<(usize, Answer)>>, AppendError> {
        let mut batches = Vec::with_capacity(routes.targets.len());
        for target in &routes.targets {
            let owns = |index: usize| {
                target.groups.iter().any(|(group, _)| *group == routes.group_of[index])
            };
            let picked = if target.groups.len() == routes.groups.len() {
                Some(batch.clone())
            } else {
                batch.pick(owns)
            };
            let Some(picked) = picked else {
                return Err(AppendError::Internal("an owner without streams".to_owned()));
            };
            let permit = self.take(picked.as_bytes().len() as u64)?;
            batches.push((picked, permit));
        }
        let sends = FuturesUnordered::new();
        for (index, (target, (batch, permit))) in routes.targets.iter().zip(batches).enumerate() {
            let append = self.dependencies.peers.append(&target.instance, batch);
            let timeout = self.dependencies.clock.sleep(self.config.remote_timeout);
            let id = Arc::clone(&target.instance.id);
            sends.push(task::spawn("replicate", async move {
                let answer = match select(append, timeout).await {
                    Either::Left((answer, _)) => answer,
                    Either::Right(_) => Err(PeerError {
                        kind: ErrorKind::Unavailable,
                        message: format!("ingester {id} does not answer"),
                        retry_after: None,
                    }),
                };
                if let Err(error) = &answer {
                    tracing::debug!(ingester = %id, %error, "a replica was not stored");
                }
                drop(permit);
                (index, answer)
            }));
        }
        Ok(sends)
    }

    /// Takes bytes from the bound on what is under way.
    fn take(&self, bytes: u64) -> Result<InFlight, AppendError> {
        let used = self.in_flight.fetch_add(bytes, Ordering::Relaxed);
        let permit = InFlight { used: Arc::clone(&self.in_flight), bytes };
        // One batch may exceed the bound, however large it is, or it could never be sent.
        if used > 0 && used + bytes > self.config.in_flight_bytes_max {
            return Err(AppendError::Unavailable {
                message: "too many bytes are on their way to ingesters".to_owned(),
                retry_after: RETRY_AFTER,
            });
        }
        Ok(permit)
    }
}

impl PeerError {
    fn is_of_client(&self) -> bool {
        matches!(self.kind, ErrorKind::Invalid | ErrorKind::LimitExceeded)
    }
}

impl Appender for ReplicatedAppender {
    fn append(&self, batch: AppendBatch) -> BoxFuture<'_, Result<AppendOutcome, AppendError>> {
        self.replicate(batch).boxed()
    }
}

/// A refusal of entries that no ingester took.
fn refused(error: &PeerError, entries: u64) -> Rejected {
    Rejected {
        reason: "refused_by_ingesters",
        kind: error.kind,
        message: error.message.clone(),
        entries,
        bytes: 0,
    }
}
