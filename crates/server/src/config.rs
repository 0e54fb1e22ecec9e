//! Configuration: defaults, a YAML file, environment variables inside it, and flags.
//!
//! Precedence is defaults < file < flags. Keys are Loki's where Loki has the key, so that a Loki
//! configuration file starts Sigyn: keys that Loki knows and that have no meaning here are listed
//! in one warning, and keys that Loki does not know are errors that name the nearest key.
//! Only this module and [`crate::cli`] know YAML, flags and environment variables.

pub mod blocks;
pub mod cluster;
pub mod file;
pub mod flags;
pub mod key;
pub mod limits;
pub mod load;
pub mod overrides;
pub mod print;
pub mod setting;

use std::time::Duration;

use serde::{Deserialize, Serialize};

use crate::credentials::Credential;
use cluster::{IndexGateway, Lifecycler, Memberlist, RingSettings};
use limits::TenantLimits;
use setting::{ByteSize, Structured};

/// The whole configuration. Each field is documented in its row of [`blocks`] or [`limits::KEYS`].
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each field is documented in its row of the key tables")]
pub struct Config {
    pub target: Vec<String>,
    pub auth_enabled: bool,
    pub no_auth_tenant: String,
    pub credentials: Structured<Vec<Credential>>,
    pub process_token_file: String,
    pub shutdown_delay: Duration,
    pub server: Server,
    pub common: Common,
    pub ring: RingSettings,
    pub memberlist: Memberlist,
    pub lifecycler: Lifecycler,
    pub index_gateway: IndexGateway,
    pub worker_scheduler_addresses: Vec<String>,
    pub scheduler_max_outstanding: usize,
    pub schema_configs: Structured<Vec<SchemaPeriod>>,
    pub storage: ObjectStorage,
    pub object_prefix: String,
    pub footer_cache_size: ByteSize,
    pub storage_requests: StorageRequests,
    pub distributor: Distributor,
    pub ingester: Ingester,
    pub ingester_client: IngesterClient,
    pub querier: Querier,
    pub frontend: Frontend,
    pub query_range: QueryRange,
    pub runtime_config: RuntimeConfig,
    pub compactor: Compactor,
    pub pattern_ingester_enabled: bool,
    pub tenant_limits_allow_publish: Vec<String>,
    pub limits: TenantLimits,
}

/// The `server` block.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each field is documented in its row of the key tables")]
pub struct Server {
    pub http_listen_address: String,
    pub http_listen_port: u16,
    pub grpc_listen_address: String,
    pub grpc_listen_port: u16,
    pub http_tls_config: ServerTlsConfig,
    pub grpc_tls_config: ServerTlsConfig,
    pub http_path_prefix: String,
    pub http_server_read_timeout: Duration,
    pub http_server_write_timeout: Duration,
    pub http_server_idle_timeout: Duration,
    pub http_listen_conn_limit: usize,
    pub graceful_shutdown_timeout: Duration,
    pub log_level: String,
    pub log_format: String,
}

/// The certificates of a listener; encrypts when one is named.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
#[allow(missing_docs, reason = "each field is documented in its row of the key tables")]
pub struct ServerTlsConfig {
    pub cert_file: String,
    pub key_file: String,
    pub client_ca_file: String,
    pub client_auth_type: String,
}

/// The `ingester_client` block: how this process speaks to others.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each field is documented in its row of the key tables")]
pub struct IngesterClient {
    pub remote_timeout: Duration,
    pub connect_timeout: Duration,
    pub max_recv_msg_size: u64,
    pub tls_enabled: bool,
    pub tls_cert_path: String,
    pub tls_key_path: String,
    pub tls_ca_path: String,
    pub tls_server_name: String,
}

/// The `common` block.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each field is documented in its row of the key tables")]
pub struct Common {
    pub path_prefix: String,
    pub replication_factor: usize,
    pub instance_addr: String,
    pub rules_directory: String,
    pub storage: ObjectStorage,
}

/// Places in which segments can be kept; the one in use is named by [`Config::storage_choice`].
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(missing_docs, reason = "each field is documented in its row of the key tables")]
pub struct ObjectStorage {
    pub filesystem_directory: String,
    pub s3: S3,
    pub gcs: Gcs,
    pub azure: Azure,
}

/// How hard object storage is used, whichever it is.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each field is documented in its row of the key tables")]
pub struct StorageRequests {
    pub concurrency: usize,
    pub hedge_at: Duration,
    pub hedge_up_to: usize,
    pub hedge_max_per_second: u32,
}

impl Default for StorageRequests {
    fn default() -> Self {
        Self { concurrency: 64, hedge_at: Duration::ZERO, hedge_up_to: 2, hedge_max_per_second: 5 }
    }
}

/// How requests to S3 are sent, and sent again.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each field is documented in its row of the key tables")]
pub struct S3Requests {
    pub timeout: Duration,
    pub idle_conn_timeout: Duration,
    pub response_header_timeout: Duration,
    pub insecure_skip_verify: bool,
    pub ca_file: String,
    pub min_backoff: Duration,
    pub max_backoff: Duration,
    pub max_retries: usize,
}

impl Default for S3Requests {
    fn default() -> Self {
        Self {
            timeout: Duration::from_secs(120),
            idle_conn_timeout: Duration::from_secs(90),
            response_header_timeout: Duration::from_secs(10),
            insecure_skip_verify: false,
            ca_file: String::new(),
            min_backoff: Duration::from_millis(100),
            max_backoff: Duration::from_secs(3),
            max_retries: 5,
        }
    }
}

/// An S3 bucket.
#[derive(Clone, Default, PartialEq)]
#[allow(missing_docs, reason = "each field is documented in its row of the key tables")]
pub struct S3 {
    pub url: String,
    pub endpoint: String,
    pub region: String,
    pub bucket: String,
    pub access_key_id: String,
    pub secret_access_key: String,
    pub session_token: String,
    pub insecure: bool,
    pub force_path_style: bool,
    pub storage_class: String,
    pub sse_type: String,
    pub sse_kms_key_id: String,
    pub requests: S3Requests,
}

/// Keys stay out of debug output, which may be logged.
impl std::fmt::Debug for S3 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("S3")
            .field("endpoint", &self.endpoint)
            .field("region", &self.region)
            .field("bucket", &self.bucket)
            .finish_non_exhaustive()
    }
}

/// A Google Cloud Storage bucket.
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(missing_docs, reason = "each field is documented in its row of the key tables")]
pub struct Gcs {
    pub bucket: String,
    pub service_account: String,
}

/// An Azure container.
#[derive(Debug, Clone, Default, PartialEq)]
#[allow(missing_docs, reason = "each field is documented in its row of the key tables")]
pub struct Azure {
    pub account: String,
    pub account_key: String,
    pub container: String,
    pub endpoint: String,
}

/// One entry of `schema_config.configs`. Only `object_store` has a meaning here.
#[derive(Debug, Clone, Default, PartialEq, Serialize, Deserialize)]
#[serde(deny_unknown_fields, default)]
#[allow(missing_docs, reason = "Loki's own fields, read so that they are accepted")]
pub struct SchemaPeriod {
    pub from: String,
    pub store: String,
    pub object_store: String,
    pub schema: String,
    pub index: serde_json::Value,
    pub chunks: serde_json::Value,
    pub row_shards: u32,
}

/// The `distributor` block.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each field is documented in its row of the key tables")]
pub struct Distributor {
    pub max_recv_msg_size: ByteSize,
    pub max_decompressed_size: ByteSize,
    pub max_inflight_bytes: ByteSize,
    pub otlp_index_labels: Vec<String>,
}

/// The `ingester` block.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each field is documented in its row of the key tables")]
pub struct Ingester {
    pub max_chunk_age: Duration,
    pub chunk_idle_period: Duration,
    pub flush_check_period: Duration,
    pub flush_size: ByteSize,
    pub line_columns: bool,
    pub outage_memory: ByteSize,
    pub wal_enabled: bool,
    pub wal_dir: String,
    pub wal_sync: String,
    pub shutdown_marker_path: String,
    pub id: String,
    pub addresses: Vec<String>,
    pub min_ready_duration: Duration,
}

/// The `querier` block.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each field is documented in its row of the key tables")]
pub struct Querier {
    pub max_concurrent: usize,
    pub query_memory: ByteSize,
    pub tail_max_duration: Duration,
    pub multi_tenant_queries_enabled: bool,
    pub per_request_limits_enabled: bool,
    pub partial_answers: bool,
}

/// The `frontend` block.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each field is documented in its row of the key tables")]
pub struct Frontend {
    pub compress_responses: bool,
    pub max_outstanding_per_tenant: usize,
    pub max_body_size: ByteSize,
    pub log_queries_longer_than: Duration,
    pub scheduler_addresses: Vec<String>,
}

/// The `query_range` block.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each field is documented in its row of the key tables")]
pub struct QueryRange {
    pub align_queries_with_step: bool,
    pub cache_results: bool,
    pub max_retries: usize,
    pub parallelise_shardable_queries: bool,
    pub cache: ResultsCache,
}

/// The `query_range.results_cache.cache` block.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each field is documented in its row of the key tables")]
pub struct ResultsCache {
    pub default_validity: Duration,
    pub embedded_enabled: bool,
    pub embedded_max_size_mb: u64,
    pub memcached_expiration: Duration,
    pub memcached: Memcached,
    pub redis: Redis,
}

/// Servers of memcached.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each field is documented in its row of the key tables")]
pub struct Memcached {
    pub host: String,
    pub addresses: Vec<String>,
    pub timeout: Duration,
    pub max_idle_conns: usize,
    pub max_item_size: usize,
}

/// A server of Redis.
#[derive(Clone, PartialEq)]
#[allow(missing_docs, reason = "each field is documented in its row of the key tables")]
pub struct Redis {
    pub endpoint: String,
    pub username: String,
    pub password: String,
    pub db: i64,
    pub timeout: Duration,
    pub expiration: Duration,
}

/// Passwords stay out of debug output, which may be logged.
impl std::fmt::Debug for Redis {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("Redis").field("endpoint", &self.endpoint).finish_non_exhaustive()
    }
}

/// The `runtime_config` block.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each field is documented in its row of the key tables")]
pub struct RuntimeConfig {
    pub file: Vec<String>,
    pub period: Duration,
}

/// The `compactor` block.
#[derive(Debug, Clone, PartialEq)]
#[allow(missing_docs, reason = "each field is documented in its row of the key tables")]
pub struct Compactor {
    pub working_directory: String,
    pub compaction_interval: Duration,
    pub target_size: ByteSize,
    pub superseded_delete_delay: Duration,
    pub retention_enabled: bool,
    pub retention_delete_delay: Duration,
    pub retention_size: ByteSize,
    pub delete_request_store: String,
    pub delete_request_cancel_period: Duration,
    pub delete_max_interval: Duration,
}

/// Where segments are kept.
#[expect(clippy::large_enum_variant, reason = "there is one of it")]
#[derive(Debug, Clone, PartialEq)]
pub enum StorageChoice {
    /// In files below a folder.
    Filesystem(String),
    /// In memory, for trials and tests.
    Memory,
    /// In an S3 bucket.
    S3(S3),
    /// In a Google Cloud Storage bucket.
    Gcs(Gcs),
    /// In an Azure container.
    Azure(Azure),
}

/// A fault of a configuration: where it is and what to do.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{key}: {fault}")]
pub struct Problem {
    /// The YAML path or the flag.
    pub key: String,
    /// What is wrong and how to write it.
    pub fault: String,
}

impl Problem {
    fn new(key: impl Into<String>, fault: impl Into<String>) -> Self {
        Self { key: key.into(), fault: fault.into() }
    }
}

impl Default for Config {
    /// Loki's defaults.
    fn default() -> Self {
        Self {
            target: vec!["all".to_owned()],
            auth_enabled: true,
            no_auth_tenant: "fake".to_owned(),
            credentials: Structured::default(),
            process_token_file: String::new(),
            shutdown_delay: Duration::ZERO,
            server: Server::default(),
            common: Common::default(),
            ring: RingSettings::default(),
            memberlist: Memberlist::default(),
            lifecycler: Lifecycler::default(),
            index_gateway: IndexGateway::default(),
            worker_scheduler_addresses: Vec::new(),
            scheduler_max_outstanding: 32_000,
            schema_configs: Structured::default(),
            storage: ObjectStorage::default(),
            object_prefix: String::new(),
            footer_cache_size: ByteSize(32 << 20),
            storage_requests: StorageRequests::default(),
            distributor: Distributor::default(),
            ingester: Ingester::default(),
            ingester_client: IngesterClient::default(),
            querier: Querier::default(),
            frontend: Frontend::default(),
            query_range: QueryRange::default(),
            runtime_config: RuntimeConfig { file: Vec::new(), period: Duration::from_secs(10) },
            compactor: Compactor::default(),
            pattern_ingester_enabled: false,
            tenant_limits_allow_publish: PUBLISHED_LIMITS
                .split_whitespace()
                .map(str::to_owned)
                .collect(),
            limits: TenantLimits::default(),
        }
    }
}

const PUBLISHED_LIMITS: &str = "discover_log_levels discover_service_name log_level_fields \
    max_entries_limit_per_query max_line_size_truncate max_query_bytes_read max_query_length \
    max_query_lookback max_query_range max_query_series metric_aggregation_enabled otlp_config \
    pattern_persistence_enabled query_timeout retention_period retention_stream volume_enabled \
    volume_max_series";

const OTLP_INDEX_LABELS: &str = "service.name service.namespace service.instance.id \
    deployment.environment deployment.environment.name cloud.region cloud.availability_zone \
    k8s.cluster.name k8s.namespace.name k8s.pod.name k8s.container.name container.name \
    k8s.replicaset.name k8s.deployment.name k8s.statefulset.name k8s.daemonset.name \
    k8s.cronjob.name k8s.job.name";

/// Loki's default container. It is filled in late, so that an empty one still means "not set".
const AZURE_CONTAINER: &str = "loki";

impl Default for Server {
    fn default() -> Self {
        Self {
            http_listen_address: String::new(),
            http_listen_port: 3100,
            grpc_listen_address: String::new(),
            grpc_listen_port: 0,
            http_tls_config: ServerTlsConfig::default(),
            grpc_tls_config: ServerTlsConfig::default(),
            http_path_prefix: String::new(),
            http_server_read_timeout: Duration::from_secs(30),
            http_server_write_timeout: Duration::from_secs(30),
            http_server_idle_timeout: Duration::from_secs(120),
            http_listen_conn_limit: 0,
            graceful_shutdown_timeout: Duration::from_secs(30),
            log_level: "info".to_owned(),
            log_format: "logfmt".to_owned(),
        }
    }
}

impl Default for Common {
    fn default() -> Self {
        Self {
            path_prefix: String::new(),
            replication_factor: 3,
            instance_addr: String::new(),
            rules_directory: String::new(),
            storage: ObjectStorage::default(),
        }
    }
}

impl Default for Distributor {
    fn default() -> Self {
        Self {
            max_recv_msg_size: ByteSize(100 << 20),
            max_decompressed_size: ByteSize(5000 << 20),
            max_inflight_bytes: ByteSize(256 << 20),
            otlp_index_labels: OTLP_INDEX_LABELS.split_whitespace().map(str::to_owned).collect(),
        }
    }
}

impl Default for Ingester {
    fn default() -> Self {
        Self {
            max_chunk_age: Duration::from_secs(2 * 3600),
            chunk_idle_period: Duration::from_secs(30 * 60),
            flush_check_period: Duration::from_secs(30),
            flush_size: ByteSize(32 << 20),
            line_columns: true,
            outage_memory: ByteSize(512 << 20),
            wal_enabled: true,
            wal_dir: String::new(),
            wal_sync: "always".to_owned(),
            shutdown_marker_path: String::new(),
            id: String::new(),
            addresses: Vec::new(),
            min_ready_duration: Duration::ZERO,
        }
    }
}

impl Default for IngesterClient {
    fn default() -> Self {
        Self {
            remote_timeout: Duration::from_secs(5),
            connect_timeout: Duration::from_secs(5),
            max_recv_msg_size: 100 << 20,
            tls_enabled: false,
            tls_cert_path: String::new(),
            tls_key_path: String::new(),
            tls_ca_path: String::new(),
            tls_server_name: String::new(),
        }
    }
}

impl Default for Querier {
    fn default() -> Self {
        Self {
            max_concurrent: 4,
            query_memory: ByteSize(256 << 20),
            tail_max_duration: Duration::from_secs(3600),
            multi_tenant_queries_enabled: false,
            per_request_limits_enabled: false,
            partial_answers: false,
        }
    }
}

impl Default for Compactor {
    fn default() -> Self {
        Self {
            working_directory: String::new(),
            compaction_interval: Duration::from_secs(600),
            target_size: ByteSize(48 << 20),
            superseded_delete_delay: Duration::from_secs(300),
            retention_enabled: false,
            retention_delete_delay: Duration::from_secs(2 * 3600),
            retention_size: ByteSize(0),
            delete_request_store: String::new(),
            delete_request_cancel_period: Duration::from_secs(24 * 3600),
            delete_max_interval: Duration::from_secs(24 * 3600),
        }
    }
}

impl Default for Frontend {
    fn default() -> Self {
        Self {
            compress_responses: true,
            max_outstanding_per_tenant: 2048,
            max_body_size: ByteSize(10 << 20),
            log_queries_longer_than: Duration::ZERO,
            scheduler_addresses: Vec::new(),
        }
    }
}

impl Default for QueryRange {
    fn default() -> Self {
        Self {
            align_queries_with_step: false,
            cache_results: false,
            max_retries: 5,
            parallelise_shardable_queries: true,
            cache: ResultsCache::default(),
        }
    }
}

impl Default for ResultsCache {
    fn default() -> Self {
        Self {
            default_validity: Duration::from_secs(3600),
            embedded_enabled: false,
            embedded_max_size_mb: 100,
            memcached_expiration: Duration::ZERO,
            memcached: Memcached {
                host: String::new(),
                addresses: Vec::new(),
                timeout: Duration::from_millis(100),
                max_idle_conns: 16,
                max_item_size: 0,
            },
            redis: Redis {
                endpoint: String::new(),
                username: String::new(),
                password: String::new(),
                db: 0,
                timeout: Duration::from_millis(500),
                expiration: Duration::ZERO,
            },
        }
    }
}

impl Config {
    /// What runs without a configuration file: everything in one process on the loopback address,
    /// data below `./data`, no tenant header needed.
    #[must_use]
    pub fn embedded() -> Self {
        let mut config = Self { auth_enabled: false, ..Self::default() };
        config.server.http_listen_address = "127.0.0.1".to_owned();
        config.common.path_prefix = "./data".to_owned();
        config.common.replication_factor = 1;
        config
    }

    /// Where segments go: what the last schema period names, else the one place that is configured,
    /// else files below `common.path_prefix`.
    ///
    /// # Errors
    ///
    /// A [`Problem`] when the named kind of storage is unknown or lacks its bucket.
    pub fn storage_choice(&self) -> Result<StorageChoice, Problem> {
        let named = self.schema_configs.0.last().map_or("", |period| period.object_store.as_str());
        let (own, common) = (&self.storage, &self.common.storage);
        let bucket = |bucket: &str, key: &str| {
            if bucket.is_empty() {
                Err(Problem::new(
                    key,
                    "no bucket is named; set it to the bucket that keeps segments",
                ))
            } else {
                Ok(())
            }
        };
        let (s3, azure) = (s3_of(own, common), azure_of(own, common));
        let kind = match named {
            "" if !(s3.bucket.is_empty() && s3.url.is_empty()) => "s3",
            "" if !common.storage_bucket_gcs(own).is_empty() => "gcs",
            "" if !azure.account.is_empty() => "azure",
            "" => "filesystem",
            other => other,
        };
        match kind {
            "filesystem" => Ok(StorageChoice::Filesystem(self.filesystem_directory())),
            "inmemory" => Ok(StorageChoice::Memory),
            "s3" | "aws" => {
                let s3 = resolve_s3_url(s3)?;
                bucket(&s3.bucket, "common.storage.s3.bucketnames")?;
                Ok(StorageChoice::S3(s3))
            }
            "gcs" => {
                let gcs = if own.gcs.bucket.is_empty() { &common.gcs } else { &own.gcs };
                bucket(&gcs.bucket, "common.storage.gcs.bucket_name")?;
                Ok(StorageChoice::Gcs(gcs.clone()))
            }
            "azure" => resolve_azure(azure.clone()).map(StorageChoice::Azure),
            other => Err(Problem::new(
                "schema_config.configs.object_store",
                format!("{other:?} is not one of filesystem, s3, gcs, azure, inmemory"),
            )),
        }
    }

    /// The folder of the write-ahead log.
    #[must_use]
    pub fn wal_directory(&self) -> String {
        if self.ingester.wal_dir.is_empty() {
            self.below_prefix("wal")
        } else {
            self.ingester.wal_dir.clone()
        }
    }

    fn filesystem_directory(&self) -> String {
        let named = [&self.storage.filesystem_directory, &self.common.storage.filesystem_directory];
        named
            .into_iter()
            .find(|directory| !directory.is_empty())
            .cloned()
            .unwrap_or_else(|| self.below_prefix("chunks"))
    }

    /// Where the compactor builds segments for remote storage.
    #[must_use]
    pub fn working_directory(&self) -> String {
        match &*self.compactor.working_directory {
            "" => self.below_prefix("compactor"),
            named => named.to_owned(),
        }
    }

    fn below_prefix(&self, name: &str) -> String {
        let prefix = self.common.path_prefix.trim_end_matches('/');
        if prefix.is_empty() { name.to_owned() } else { format!("{prefix}/{name}") }
    }

    /// Everything that is wrong across keys; reading has already checked each key alone.
    #[must_use]
    pub fn validate(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let mut one_of = |key: &str, value: &str, allowed: &[&str]| {
            if !allowed.contains(&value) {
                let allowed = allowed.join(", ");
                problems.push(Problem::new(key, format!("{value:?} is not one of {allowed}")));
            }
        };
        one_of("server.log_level", &self.server.log_level, &["debug", "info", "warn", "error"]);
        one_of("server.log_format", &self.server.log_format, &["logfmt", "json"]);
        one_of("index_gateway.mode", &self.index_gateway.mode, &["simple", "ring"]);
        problems.extend(self.storage_choice().err());
        problems.extend(self.ring_place().err());
        problems.extend(
            model::TenantId::new(&self.no_auth_tenant)
                .err()
                .map(|error| Problem::new("no_auth_tenant", error.to_string())),
        );
        if self.querier.max_concurrent == 0 {
            problems.push(Problem::new("querier.max_concurrent", "must be at least 1"));
        }
        if self.ingester.flush_size.0 < 1 << 20 {
            problems.push(Problem::new("ingester.flush_size", "must be at least 1MB"));
        }
        if let Err(fault) = wal_sync(&self.ingester.wal_sync) {
            problems.push(Problem::new("ingester.wal.sync", fault));
        }
        problems.extend(self.validate_connections());
        problems.extend(self.limits.validate("limits_config"));
        problems
    }
}

impl Config {
    /// What is wrong with certificates.
    fn validate_connections(&self) -> Vec<Problem> {
        let mut problems = Vec::new();
        let blocks = [
            ("server.http_tls_config", &self.server.http_tls_config),
            ("server.grpc_tls_config", &self.server.grpc_tls_config),
        ];
        for (block, tls) in blocks {
            let mut wrong = |key: &str, fault: &str| {
                problems.push(Problem::new(format!("{block}.{key}"), fault));
            };
            let auth = crate::tls::ClientAuth::parse(&tls.client_auth_type);
            if let Err(fault) = &auth {
                wrong("client_auth_type", fault);
            }
            if tls.cert_file.is_empty() != tls.key_file.is_empty() {
                wrong("key_file", "a certificate and its key go together: name both files");
            }
            let asks = auth.is_ok_and(|auth| auth != crate::tls::ClientAuth::None);
            if asks && (tls.client_ca_file.is_empty() || tls.cert_file.is_empty()) {
                wrong("client_ca_file", "asking for client certificates needs it and cert_file");
            }
        }
        let client = &self.ingester_client;
        let block = "ingester_client.grpc_client_config";
        if client.tls_enabled && client.tls_ca_path.is_empty() {
            let fault = "encryption needs the certificate of the authority to trust";
            problems.push(Problem::new(format!("{block}.tls_ca_path"), fault));
        }
        if client.tls_cert_path.is_empty() != client.tls_key_path.is_empty() {
            let fault = "a certificate and its key go together: name both files";
            problems.push(Problem::new(format!("{block}.tls_key_path"), fault));
        }
        problems
    }
}

/// How often the write-ahead log is synced: `None` for never, zero for before each answer.
///
/// # Errors
///
/// What to write instead.
pub fn wal_sync(text: &str) -> Result<Option<Duration>, String> {
    match text {
        "always" => Ok(Some(Duration::ZERO)),
        "off" => Ok(None),
        other => model::units::parse_config_duration(other)
            .map(Some)
            .map_err(|_| format!("{other:?} is not always, off or a duration such as 100ms")),
    }
}

impl ObjectStorage {
    fn storage_bucket_gcs<'a>(&'a self, own: &'a Self) -> &'a str {
        if own.gcs.bucket.is_empty() { &self.gcs.bucket } else { &own.gcs.bucket }
    }
}

fn s3_of<'a>(own: &'a ObjectStorage, common: &'a ObjectStorage) -> &'a S3 {
    if own.s3.bucket.is_empty() && own.s3.url.is_empty() { &common.s3 } else { &own.s3 }
}

fn azure_of<'a>(own: &'a ObjectStorage, common: &'a ObjectStorage) -> &'a Azure {
    if own.azure.account.is_empty() { &common.azure } else { &own.azure }
}

fn resolve_azure(mut azure: Azure) -> Result<Azure, Problem> {
    if azure.account.is_empty() {
        let fault = "no account is named; set it to the account that keeps segments";
        return Err(Problem::new("common.storage.azure.account_name", fault));
    }
    if azure.container.is_empty() {
        azure.container = AZURE_CONTAINER.to_owned();
    }
    Ok(azure)
}

/// Takes apart `s3://key:secret@region-or-host/bucket` where the URL form is used.
fn resolve_s3_url(s3: &S3) -> Result<S3, Problem> {
    let mut resolved = s3.clone();
    if s3.url.is_empty() {
        return Ok(resolved);
    }
    let wrong =
        || Problem::new("storage_config.aws.s3", "write it like s3://key:secret@region/bucket");
    let rest = s3.url.strip_prefix("s3://").ok_or_else(wrong)?;
    let (credentials, place) = rest.rsplit_once('@').unwrap_or(("", rest));
    if let Some((key, secret)) = credentials.split_once(':') {
        resolved.access_key_id = key.to_owned();
        resolved.secret_access_key = secret.to_owned();
    }
    let (host, bucket) = place.split_once('/').unwrap_or((place, ""));
    if host.contains('.') || host.contains(':') {
        resolved.endpoint = host.to_owned();
    } else if !host.is_empty() {
        resolved.region = host.to_owned();
    }
    if !bucket.is_empty() {
        resolved.bucket = bucket.trim_end_matches('/').to_owned();
    }
    Ok(resolved)
}
