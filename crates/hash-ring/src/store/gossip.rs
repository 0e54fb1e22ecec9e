//! Rings kept by the processes themselves: each tells a few others what it knows, over UDP.
//!
//! A process owns what it says, and only repeats what others said about themselves. It says, for
//! each ring it is in, its record and its heartbeat (apart, so that a heartbeat costs a few
//! bytes), and which instances it was told to forget. A note to forget names the heartbeat up to
//! which it holds; an instance that lives has a later one soon, by its own clock, and is back.
//!
//! A process that restarts is somebody new to the others; what it said before is kept for
//! [`GossipConfig::dead_for`], so of several records of one instance the one of a process that
//! lives counts, and else the last one's. An instance that leaves therefore says LEFT instead of
//! nothing. A process that is silent for half that time is no longer told to newcomers: an
//! instance that is dead for so long is forgotten by itself.

mod address;
mod socket;
mod view;

#[cfg(test)]
mod tests;

use std::collections::BTreeMap;
use std::net::SocketAddr;
use std::sync::Arc;
use std::time::Duration;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD_NO_PAD as BASE64;
use chitchat::{
    ChitchatConfig, ChitchatHandle, ChitchatId, FailureDetectorConfig, ProtocolVersion,
    spawn_chitchat,
};
use futures_util::future::BoxFuture;
use model::Timestamp;
use parking_lot::Mutex;
use runtime::task::{self, AbortOnDrop};
use tokio::sync::{Notify, watch};

use super::{Environment, Members, RingStore, RingStores, record};
use crate::Error;
use crate::instance::{Instance, State};
use socket::Opened;

/// What others said may change without a notice: when it is dropped for being old.
const LOOK_INTERVAL: Duration = Duration::from_secs(1);

/// How long a process waits for others before an empty ring is believed.
const ALONE_AFTER: Duration = Duration::from_secs(5);

/// Rounds of gossip that spread the last words of a process far enough.
const LAST_ROUNDS: u32 = 5;

/// How the processes find and name each other.
#[derive(Debug, Clone)]
pub struct GossipConfig {
    /// This process's name, unique in the cluster.
    pub node: String,
    /// Where to listen, UDP. Port 0 lets the system choose.
    pub bind: SocketAddr,
    /// Where others reach this process, as `host:port` or a host alone; found out when `None`.
    pub advertise: Option<String>,
    /// Some of the others, as `host:port` or a host alone. A name is resolved again every minute
    /// and may mean many; it may begin with `dns+`. One's own address among them does no harm.
    pub join: Vec<String>,
    /// Processes with another label are not listened to.
    pub cluster: String,
    /// How often a process tells others.
    pub interval: Duration,
    /// How long what a silent process said is kept.
    pub dead_for: Duration,
}

impl Default for GossipConfig {
    fn default() -> Self {
        Self {
            node: String::new(),
            bind: SocketAddr::from(([0, 0, 0, 0], address::DEFAULT_PORT)),
            advertise: None,
            join: Vec::new(),
            cluster: "sigyn".to_owned(),
            interval: Duration::from_millis(200),
            dead_for: Duration::from_secs(48 * 3600),
        }
    }
}

/// Rings kept by gossip. Dropping it and all its rings ends this process's part.
pub struct GossipStores(Arc<Running>);

struct Running {
    shared: Arc<Shared>,
    _looker: AbortOnDrop<()>,
}

struct Shared {
    handle: ChitchatHandle,
    environment: Environment,
    address: SocketAddr,
    interval: Duration,
    /// Whether there is somebody to wait for.
    has_others: bool,
    started: Duration,
    rings: Mutex<BTreeMap<String, watch::Sender<Members>>>,
    changed: Arc<Notify>,
    trouble: super::trouble::Trouble,
}

impl GossipStores {
    /// Binds the socket and begins to gossip.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] when an address makes no sense, [`Error::Store`] when the socket cannot
    /// be bound or the advertised name not be resolved.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    pub async fn open(config: GossipConfig, environment: Environment) -> Result<Self, Error> {
        if config.node.is_empty() {
            return Err(Error::Config("gossip needs a name for this process".to_owned()));
        }
        let join = config.join.iter().map(|member| address::of_member(member));
        let seed_nodes = join.collect::<Result<Vec<String>, Error>>()?;
        let socket = Opened::bind(&config, &environment).await?;
        let advertised = config.advertise.as_deref();
        let address = address::advertised(advertised, socket.address(), &seed_nodes).await?;
        // A process that starts again must be newer than it was.
        let generation = u64::try_from(environment.clock.now().as_millis()).unwrap_or_default();
        let has_others = seed_nodes.iter().any(|seed| *seed != address.to_string());
        let chitchat = ChitchatConfig {
            chitchat_id: ChitchatId::new(config.node.as_str(), generation, address),
            cluster_id: config.cluster.clone(),
            gossip_interval: config.interval,
            listen_addr: socket.address(),
            seed_nodes,
            failure_detector_config: FailureDetectorConfig {
                dead_node_grace_period: config.dead_for,
                initial_interval: config.interval * 5,
                ..FailureDetectorConfig::default()
            },
            // Notes outlive the records that they are about.
            marked_for_deletion_grace_period: config.dead_for.saturating_mul(2),
            catchup_callback: None,
            extra_liveness_predicate: None,
            protocol_version: ProtocolVersion::V1,
        };
        let handle = spawn_chitchat(chitchat, Vec::new(), &socket).await.map_err(failed)?;
        let changed = Arc::new(Notify::new());
        let notify = Arc::clone(&changed);
        let listener = handle
            .with_chitchat(|chitchat| {
                let notify = Arc::clone(&notify);
                chitchat.subscribe_event("", move |_| notify.notify_one())
            })
            .await;
        listener.forever();
        tracing::info!(%address, cluster = config.cluster, "gossip has begun");
        let shared = Arc::new(Shared {
            handle,
            started: environment.clock.monotonic(),
            trouble: super::trouble::Trouble::new("gossip", &environment.metrics),
            environment,
            address,
            interval: config.interval,
            has_others,
            rings: Mutex::default(),
            changed,
        });
        let looker = task::spawn("gossip rings", Arc::clone(&shared).look());
        Ok(Self(Arc::new(Running { shared, _looker: AbortOnDrop(looker) })))
    }

    /// Where others reach this process.
    #[must_use]
    pub fn address(&self) -> SocketAddr {
        self.0.shared.address
    }

    /// The addresses of the processes that are heard now, this one included.
    pub async fn live(&self) -> Vec<SocketAddr> {
        let chitchat = self.0.shared.handle.chitchat();
        let chitchat = chitchat.lock().await;
        chitchat.live_nodes().map(|node| node.gossip_advertise_addr).collect()
    }
}

impl RingStores for GossipStores {
    fn ring(&self, name: &str) -> Arc<dyn RingStore> {
        let shared = &self.0.shared;
        let members = shared.rings.lock().entry(name.to_owned()).or_default().subscribe();
        shared.changed.notify_one();
        Arc::new(GossipStore { running: Arc::clone(&self.0), ring: name.to_owned(), members })
    }

    fn close(&self) -> BoxFuture<'_, ()> {
        let shared = &self.0.shared;
        // The wait begins when it is awaited, not when it is asked for.
        Box::pin(async move {
            if shared.has_others {
                shared.environment.clock.sleep(shared.interval * LAST_ROUNDS).await;
            }
        })
    }
}

struct GossipStore {
    running: Arc<Running>,
    ring: String,
    members: watch::Receiver<Members>,
}

impl RingStore for GossipStore {
    fn publish(&self, instance: &Instance) -> BoxFuture<'_, Result<(), Error>> {
        let heartbeat = instance.heartbeat.0.to_string();
        let record = record::encode(&Instance { heartbeat: Timestamp(0), ..instance.clone() });
        let record = BASE64.encode(record);
        let id = Arc::clone(&instance.id);
        Box::pin(async move {
            let shared = &self.running.shared;
            let change = |chitchat: &mut chitchat::Chitchat| {
                let own = chitchat.self_node_state();
                own.set(view::key(view::RECORD, &self.ring, &id), &record);
                own.set(view::key(view::HEARTBEAT, &self.ring, &id), &heartbeat);
            };
            shared.handle.with_chitchat(change).await;
            shared.changed.notify_one();
            Ok(())
        })
    }

    fn withdraw(&self, id: &str) -> BoxFuture<'_, Result<(), Error>> {
        let now = self.running.shared.environment.clock.now();
        let left = Instance {
            id: id.into(),
            address: "".into(),
            zone: "".into(),
            state: State::Left,
            tokens: [].into(),
            heartbeat: now,
            registered: now,
            read_only_since: None,
        };
        Box::pin(async move { self.publish(&left).await })
    }

    fn forget(&self, id: &str) -> BoxFuture<'_, Result<(), Error>> {
        let id = id.to_owned();
        Box::pin(async move {
            // Bound first: the guard of the borrow must not live across the wait below.
            let known = self.members.borrow().get(&id).map(|instance| instance.heartbeat);
            let Some(heartbeat) = known else { return Ok(()) };
            let shared = &self.running.shared;
            let change = |chitchat: &mut chitchat::Chitchat| {
                let key = view::key(view::FORGOTTEN, &self.ring, &id);
                chitchat.self_node_state().set_with_ttl(key, heartbeat.0);
            };
            shared.handle.with_chitchat(change).await;
            shared.changed.notify_one();
            Ok(())
        })
    }

    fn subscribe(&self) -> watch::Receiver<Members> {
        self.members.clone()
    }
}

impl Shared {
    /// Shows the members of all rings for as long as the task lives.
    async fn look(self: Arc<Self>) {
        let chitchat = self.handle.chitchat();
        let mut live = chitchat.lock().await.live_nodes_watcher();
        loop {
            let pause = self.environment.clock.sleep(LOOK_INTERVAL);
            tokio::select! {
                () = self.changed.notified() => {}
                // The sender lives in the state that this task shares.
                _ = live.changed() => drop(live.borrow_and_update()),
                () = pause => {}
            }
            let names: Vec<String> = self.rings.lock().keys().cloned().collect();
            let (mut views, others) = {
                let chitchat = chitchat.lock().await;
                let others = chitchat.node_states().len() > 1;
                (view::of_rings(&chitchat, &names, &self.trouble), others)
            };
            let waited = self.environment.clock.monotonic().saturating_sub(self.started);
            let is_loaded = others || !self.has_others || waited >= ALONE_AFTER;
            for (name, sender) in &*self.rings.lock() {
                // A ring that was added meanwhile has its turn next.
                let Some(instances) = views.remove(name) else { continue };
                sender.send_if_modified(|shown| {
                    let is_new = shown.is_loaded != is_loaded || *shown.instances != *instances;
                    if is_new {
                        *shown = Members { instances: instances.into(), is_loaded };
                    }
                    is_new
                });
            }
        }
    }
}

fn failed(error: impl std::fmt::Display) -> Error {
    Error::Store { store: "gossip", message: error.to_string() }
}
