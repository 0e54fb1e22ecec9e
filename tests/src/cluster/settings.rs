//! Configurations of the members of a cluster.

use std::path::Path;

use super::{Configure, Member};

/// How members find each other.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Finding {
    /// They do not: each works alone on the common bucket.
    Not,
    /// Every ingester is named; a tenant's entries go to one of them.
    Addresses,
    /// By gossip; three replicas, one in each zone.
    Gossip,
    /// In etcd, at this URL; three replicas, one in each zone.
    Etcd(String),
}

/// What the members of a cluster have in common: small heads, much compaction, no limit that is met
/// by accident.
#[derive(Debug, Clone)]
pub struct Settings {
    /// How they find each other.
    pub finding: Finding,
    /// What stands behind `storage:`.
    pub storage: String,
    /// Keys of the `ingester` block.
    pub ingester: String,
    /// Keys of the `compactor` block.
    pub compactor: String,
    /// Keys of the `limits_config` block.
    pub limits: String,
    /// Blocks of their own, and `auth_enabled`.
    pub blocks: String,
}

impl Finding {
    /// Whether pushes and queries go on while one ingester is away.
    #[must_use]
    pub fn has_replicas(&self) -> bool {
        matches!(self, Self::Gossip | Self::Etcd(_))
    }

    /// Keys of the `common` block, and blocks of their own.
    fn ring(&self, member: &Member, all: &[Member]) -> (String, String) {
        let (store, block) = match self {
            Self::Not | Self::Addresses => {
                return ("replication_factor: 1".to_owned(), String::new());
            }
            Self::Gossip => {
                let others: Vec<String> = all
                    .iter()
                    .map(|other| format!("\"{}:{}\"", other.address, other.gossip))
                    .collect();
                let block = format!(
                    "memberlist: {{join_members: [{}], bind_addr: [{}], bind_port: {}}}\n",
                    others.join(", "),
                    member.address,
                    member.gossip
                );
                ("store: memberlist".to_owned(), block)
            }
            Self::Etcd(url) => {
                (format!("store: etcd, etcd: {{endpoints: [\"{url}\"]}}"), String::new())
            }
        };
        let common = format!(
            "replication_factor: 3, ring: {{kvstore: {{{store}}}, heartbeat_period: 1s, \
             heartbeat_timeout: 30s, zone_awareness_enabled: true, \
             instance_availability_zone: \"{}\"}}",
            member.zone
        );
        (common, block)
    }
}

impl Settings {
    /// Members that find each other in one way, with their segments in one storage.
    #[must_use]
    pub fn new(finding: Finding, storage: String) -> Self {
        let ingester = "flush_size: 1MB, flush_check_period: 100ms".to_owned();
        let limits = "ingestion_rate_mb: 1000, ingestion_burst_size_mb: 1000, \
                      per_stream_rate_limit: 1GB, per_stream_rate_limit_burst: 1GB, \
                      reject_old_samples: false, max_global_streams_per_user: 0, \
                      query_timeout: 10s";
        Self {
            finding,
            storage,
            ingester,
            compactor: "compaction_interval: 5s, superseded_delete_delay: 2m".to_owned(),
            limits: limits.to_owned(),
            blocks: String::new(),
        }
    }

    /// Segments below a folder that all members share.
    #[must_use]
    pub fn shared_folder(folder: &Path) -> String {
        format!("{{filesystem: {{chunks_directory: \"{}\"}}}}", folder.join("segments").display())
    }

    /// What [`super::Cluster::start`] asks for.
    #[must_use]
    pub fn configure(self) -> Configure {
        Box::new(move |member, folder, all| self.of(member, folder, all))
    }

    /// The configuration of a member. Frontends and queriers meet at every scheduler.
    fn of(&self, member: &Member, folder: &Path, all: &[Member]) -> String {
        let quoted = |target: &str| {
            let others = all.iter().filter(|other| other.target == target);
            let addresses: Vec<String> =
                others.map(|other| format!("\"{}:{}\"", other.address, other.http)).collect();
            addresses.join(", ")
        };
        let schedulers = quoted("query-scheduler");
        let meeting = match member.target {
            "query-frontend" => format!("frontend: {{scheduler_address: [{schedulers}]}}\n"),
            "querier" => format!("frontend_worker: {{scheduler_address: [{schedulers}]}}\n"),
            _ => String::new(),
        };
        let addresses = match self.finding {
            Finding::Addresses => format!("addresses: [{}], ", quoted("ingester")),
            _ => String::new(),
        };
        let (ring, blocks) = self.finding.ring(member, all);
        format!(
            "target: {target}\n{blocks}{meeting}{own}\
             server: {{http_listen_address: {address}, log_level: info}}\n\
             common: {{path_prefix: {folder}/data, {ring}, instance_addr: {address}, \
             storage: {storage}}}\n\
             ingester: {{{addresses}lifecycler: {{id: {name}}}, {ingester}}}\n\
             compactor: {{{compactor}}}\n\
             limits_config: {{{limits}}}\n",
            target = member.target,
            own = self.blocks,
            address = member.address,
            folder = folder.display(),
            storage = self.storage,
            name = member.name,
            ingester = self.ingester,
            compactor = self.compactor,
            limits = self.limits,
        )
    }
}
