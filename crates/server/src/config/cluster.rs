//! The keys that make one process a member of a cluster: rings, where they are kept, gossip.

use std::time::Duration;

use super::key::{Key, keys};
use super::{Config, Problem};

/// A place where rings are kept, by its name in the configuration.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RingPlace {
    /// In this process: it is alone.
    InMemory,
    /// Gossiped between the processes.
    Gossip,
    /// In etcd.
    Etcd,
    /// In Consul.
    Consul,
}

/// The `common.ring` block, which holds for every ring.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each field is documented in its row of the key table")]
pub struct RingSettings {
    pub store: String,
    pub prefix: String,
    pub etcd: Etcd,
    pub consul: Consul,
    pub heartbeat_period: Duration,
    pub heartbeat_timeout: Duration,
    pub zone_aware: bool,
    pub replication_factor: usize,
    pub instance_id: String,
    pub instance_addr: String,
    pub instance_port: u16,
    pub zone: String,
    pub tokens_file: String,
    pub num_tokens: usize,
}

/// An etcd cluster.
#[derive(Clone, Default, PartialEq)]
#[allow(missing_docs, reason = "each field is documented in its row of the key table")]
pub struct Etcd {
    pub endpoints: Vec<String>,
    pub username: String,
    pub password: String,
}

/// Passwords stay out of debug output, which may be logged.
impl std::fmt::Debug for Etcd {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let Self { endpoints, username, password: _ } = self;
        f.debug_struct("Etcd").field("endpoints", endpoints).field("username", username).finish()
    }
}

/// A Consul agent.
#[derive(Clone, PartialEq)]
#[allow(missing_docs, reason = "each field is documented in its row of the key table")]
pub struct Consul {
    pub host: String,
    pub acl_token: String,
}

/// Tokens stay out of debug output, which may be logged.
impl std::fmt::Debug for Consul {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Consul").field("host", &self.host).finish_non_exhaustive()
    }
}

/// The `memberlist` block.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each field is documented in its row of the key table")]
pub struct Memberlist {
    pub join_members: Vec<String>,
    pub bind_addr: Vec<String>,
    pub bind_port: u16,
    pub advertise_addr: String,
    pub advertise_port: u16,
    pub cluster_label: String,
    pub node_name: String,
}

/// The parts of `ingester.lifecycler` that speak of the ring. Empty, zero or off means: as
/// `common.ring` has it.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each field is documented in its row of the key table")]
pub struct Lifecycler {
    pub store: String,
    pub replication_factor: usize,
    pub heartbeat_timeout: Duration,
    pub zone_aware: bool,
    pub num_tokens: usize,
    pub heartbeat_period: Duration,
    pub observe_period: Duration,
    pub join_after: Duration,
    pub max_transfer_retries: u32,
    pub final_sleep: Duration,
    pub unregister_on_shutdown: bool,
    pub zone: String,
    pub tokens_file: String,
    pub address: String,
    pub port: u16,
    pub readiness_check_ring_health: bool,
    pub autoforget_unhealthy: bool,
}

/// Gateways to the catalog.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each field is documented in its row of the key table")]
pub struct IndexGateway {
    pub mode: String,
    pub addresses: Vec<String>,
}

impl IndexGateway {
    /// Whether gateways are found in a ring.
    #[must_use]
    pub fn is_in_ring(&self) -> bool {
        self.mode == "ring"
    }

    /// Whether queriers are to ask gateways.
    #[must_use]
    pub fn is_used(&self) -> bool {
        self.is_in_ring() || !self.addresses.is_empty()
    }
}

impl Default for IndexGateway {
    fn default() -> Self {
        Self { mode: "simple".to_owned(), addresses: Vec::new() }
    }
}

impl Default for RingSettings {
    fn default() -> Self {
        Self {
            store: "inmemory".to_owned(),
            prefix: "collectors/".to_owned(),
            etcd: Etcd::default(),
            consul: Consul::default(),
            heartbeat_period: Duration::from_secs(15),
            heartbeat_timeout: Duration::from_secs(60),
            zone_aware: false,
            replication_factor: 0,
            instance_id: String::new(),
            instance_addr: String::new(),
            instance_port: 0,
            zone: String::new(),
            tokens_file: String::new(),
            num_tokens: 128,
        }
    }
}

impl Default for Consul {
    fn default() -> Self {
        Self { host: "localhost:8500".to_owned(), acl_token: String::new() }
    }
}

impl Default for Memberlist {
    fn default() -> Self {
        Self {
            join_members: Vec::new(),
            bind_addr: Vec::new(),
            bind_port: 7946,
            advertise_addr: String::new(),
            advertise_port: 0,
            cluster_label: String::new(),
            node_name: String::new(),
        }
    }
}

impl Default for Lifecycler {
    fn default() -> Self {
        Self {
            store: String::new(),
            replication_factor: 0,
            heartbeat_timeout: Duration::ZERO,
            zone_aware: false,
            num_tokens: 0,
            heartbeat_period: Duration::from_secs(5),
            observe_period: Duration::ZERO,
            join_after: Duration::ZERO,
            max_transfer_retries: 0,
            final_sleep: Duration::ZERO,
            unregister_on_shutdown: true,
            zone: String::new(),
            tokens_file: String::new(),
            address: String::new(),
            port: 0,
            readiness_check_ring_health: true,
            autoforget_unhealthy: false,
        }
    }
}

/// The rows of this module.
pub(super) static CLUSTER: &[Key<Config>] = keys! { Config;
    "common.ring.kvstore.store", "common.storage.ring.store", ring.store,
        "Where rings are kept: inmemory (a process of its own), memberlist (gossip), etcd or consul.";
    "common.ring.kvstore.prefix", "common.storage.ring.prefix", ring.prefix,
        "Text in front of every key in etcd and Consul.";
    "common.ring.kvstore.etcd.endpoints", "common.storage.ring.etcd.endpoints", ring.etcd.endpoints,
        "etcd's addresses, such as http://127.0.0.1:2379.";
    "common.ring.kvstore.etcd.username", "common.storage.ring.etcd.username", ring.etcd.username,
        "etcd user; empty for none.";
    "common.ring.kvstore.etcd.password", "common.storage.ring.etcd.password", ring.etcd.password,
        "etcd password.";
    "common.ring.kvstore.consul.host", "common.storage.ring.consul.hostname", ring.consul.host,
        "Consul's address.";
    "common.ring.kvstore.consul.acl_token", "common.storage.ring.consul.acl-token", ring.consul.acl_token,
        "Consul token; empty for none.";
    "common.ring.heartbeat_period", "common.storage.ring.heartbeat-period", ring.heartbeat_period,
        "How often an instance says that it lives.";
    "common.ring.heartbeat_timeout", "common.storage.ring.heartbeat-timeout", ring.heartbeat_timeout,
        "Silence after which an instance counts as unhealthy.";
    "common.ring.zone_awareness_enabled", "common.storage.ring.zone-awareness-enabled", ring.zone_aware,
        "Whether the replicas of a stream are kept in different zones.";
    "common.ring.replication_factor", "common.storage.ring.replication-factor", ring.replication_factor,
        "Older name of common.replication_factor, which holds where this is 0.";
    "common.ring.instance_id", "common.storage.ring.instance-id", ring.instance_id,
        "Name of this process in rings; must stay the same across restarts. Defaults to the host name.";
    "common.ring.instance_addr", "common.storage.ring.instance-addr", ring.instance_addr,
        "Address under which other processes reach this one; empty for common.instance_addr, or the address that is listened on.";
    "common.ring.instance_port", "common.storage.ring.instance-port", ring.instance_port,
        "gRPC port under which other processes reach this one; 0 for the one that is listened on.";
    "common.ring.instance_availability_zone", "common.storage.ring.instance-availability-zone", ring.zone,
        "Zone of this process.";
    "common.ring.tokens_file_path", "common.storage.ring.tokens-file-path", ring.tokens_file,
        "File in which the tokens of the ingester are kept across restarts; empty for none.";
    "common.ring.num_tokens", "common.storage.ring.num-tokens", ring.num_tokens,
        "Tokens of an ingester.";
    "memberlist.join_members", "memberlist.join", memberlist.join_members,
        "Other processes to gossip with at first, as host:port; one that lives is enough. Naming any keeps rings in gossip.";
    "memberlist.bind_addr", "memberlist.bind-addr", memberlist.bind_addr,
        "Address to gossip on; empty for all interfaces.";
    "memberlist.bind_port", "memberlist.bind-port", memberlist.bind_port,
        "UDP port to gossip on.";
    "memberlist.advertise_addr", "memberlist.advertise-addr", memberlist.advertise_addr,
        "Address under which others gossip with this process; empty for its own.";
    "memberlist.advertise_port", "memberlist.advertise-port", memberlist.advertise_port,
        "Port under which others gossip with this process; 0 for the one it is bound to.";
    "memberlist.cluster_label", "memberlist.cluster-label", memberlist.cluster_label,
        "Name of the cluster; processes of clusters with other names are not listened to.";
    "memberlist.node_name", "memberlist.nodename", memberlist.node_name,
        "Name in the gossip; empty for the name of the instance.";
    "ingester.lifecycler.ring.kvstore.store", "ring.store", lifecycler.store,
        "Where the ring of ingesters is kept; empty for common.ring.kvstore.store.";
    "ingester.lifecycler.ring.replication_factor", "distributor.replication-factor", lifecycler.replication_factor,
        "How many ingesters keep each stream; 0 for common.replication_factor.";
    "ingester.lifecycler.ring.heartbeat_timeout", "ring.heartbeat-timeout", lifecycler.heartbeat_timeout,
        "Silence after which an ingester counts as unhealthy; 0 for common.ring.heartbeat_timeout.";
    "ingester.lifecycler.ring.zone_awareness_enabled", "distributor.zone-awareness-enabled", lifecycler.zone_aware,
        "Whether the replicas of a stream are kept in different zones; also on where common.ring says so.";
    "ingester.lifecycler.num_tokens", "ingester.num-tokens", lifecycler.num_tokens,
        "Tokens of this ingester; 0 for common.ring.num_tokens.";
    "ingester.lifecycler.heartbeat_period", "ingester.heartbeat-period", lifecycler.heartbeat_period,
        "How often this ingester says that it lives.";
    "ingester.lifecycler.observe_period", "ingester.observe-period", lifecycler.observe_period,
        "How long new tokens are watched for conflicts before they are used.";
    "ingester.lifecycler.join_after", "ingester.join-after", lifecycler.join_after,
        "How long to wait, as PENDING, for a leaving ingester to hand its entries over. One that kept its tokens does not wait.";
    "ingester.max_transfer_retries", "ingester.max-transfer-retries", lifecycler.max_transfer_retries,
        "How often a leaving ingester looks for one that is PENDING, in its own zone where zones are used, to hand its entries and tokens over to, before it flushes them; 0 flushes at once.";
    "ingester.lifecycler.final_sleep", "ingester.final-sleep", lifecycler.final_sleep,
        "How long an ingester that leaves stays readable after it has flushed; longer than other processes take to notice new segments.";
    "ingester.lifecycler.unregister_on_shutdown", "ingester.unregister-on-shutdown", lifecycler.unregister_on_shutdown,
        "Whether a stopping ingester flushes everything and leaves the ring. When off it keeps its place for the restart, and its entries in the log.";
    "ingester.lifecycler.availability_zone", "ingester.availability-zone", lifecycler.zone,
        "Zone of this ingester; empty for common.ring.instance_availability_zone.";
    "ingester.lifecycler.tokens_file_path", "ingester.tokens-file-path", lifecycler.tokens_file,
        "File in which tokens are kept across restarts; empty for common.ring.tokens_file_path.";
    "ingester.lifecycler.address", "ingester.lifecycler.addr", lifecycler.address,
        "Address under which other processes reach this ingester; empty for common.ring.instance_addr.";
    "ingester.lifecycler.port", "ingester.lifecycler.port", lifecycler.port,
        "gRPC port under which other processes reach this ingester; 0 for common.ring.instance_port.";
    "ingester.lifecycler.readiness_check_ring_health", "ingester.readiness-check-ring-health", lifecycler.readiness_check_ring_health,
        "Whether this ingester is ready only while every member of the ring is healthy; checked until it is ready for the first time.";
    "index_gateway.mode", "index-gateway.mode", index_gateway.mode,
        "How queriers find index gateways: simple (at the addresses of index_gateway_client) or ring (in the ring that common.ring describes; then a tenant's questions go to gateways of its own).";
    "storage_config.tsdb_shipper.index_gateway_client.server_address", "tsdb.shipper.index-gateway-client.server-address", index_gateway.addresses,
        "gRPC addresses of index gateways, as host:port; dns:///host:port stands for every address of a name. Queriers that run apart from ingesters and compactors then list no object storage.";
    "ingester.autoforget_unhealthy", "ingester.autoforget-unhealthy", lifecycler.autoforget_unhealthy,
        "Whether ingesters that stay silent are taken out of the ring.";
};

impl Config {
    /// Where rings are kept.
    ///
    /// # Errors
    ///
    /// A [`Problem`] when the named place does not exist or lacks its address.
    pub fn ring_place(&self) -> Result<RingPlace, Problem> {
        let (key, name) = match self.lifecycler.store.as_str() {
            "" => ("common.ring.kvstore.store", self.ring.store.as_str()),
            own => ("ingester.lifecycler.ring.kvstore.store", own),
        };
        let gossips = !self.memberlist.join_members.is_empty();
        match name {
            "inmemory" | "" if gossips => Ok(RingPlace::Gossip),
            "inmemory" | "" => Ok(RingPlace::InMemory),
            "memberlist" | "gossip" => Ok(RingPlace::Gossip),
            "consul" => Ok(RingPlace::Consul),
            "etcd" if self.ring.etcd.endpoints.is_empty() => Err(Problem::new(
                "common.ring.kvstore.etcd.endpoints",
                "no address is named; set it to a list such as [http://127.0.0.1:2379]",
            )),
            "etcd" => Ok(RingPlace::Etcd),
            other => {
                let fault = format!("{other:?} is not one of inmemory, memberlist, etcd, consul");
                Err(Problem::new(key, fault))
            }
        }
    }

    /// How many ingesters keep each stream.
    #[must_use]
    pub fn replication_factor(&self) -> usize {
        let named = [self.lifecycler.replication_factor, self.ring.replication_factor];
        let named = named.into_iter().find(|factor| *factor > 0);
        named.unwrap_or(self.common.replication_factor).max(1)
    }
}
