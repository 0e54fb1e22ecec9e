//! What can be configured: which object storage, and how hard it may be used.
//!
//! Field names follow Loki's `common.storage` and `storage_config` blocks, so that whoever reads
//! the configuration file maps them one to one. Nothing here parses a file.

use std::path::PathBuf;
use std::time::Duration;

/// Everything a [`crate::Store`] needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// Where objects live.
    pub backend: Backend,
    /// Put before every object name, without slashes at its ends; empty for none. Lets several
    /// installations share a bucket (`storage_prefix` of Loki).
    pub prefix: String,
    /// Requests to remote storage under way at once. More hides latency, and costs sockets and
    /// memory.
    pub concurrency: usize,
    /// When a slow read from remote storage is sent a second time.
    pub hedging: HedgingConfig,
    /// Memory for decoded footers, in bytes; a hard cap. Larger keeps more segments ready to be
    /// searched without reading their tables again.
    pub footer_cache_bytes: u64,
    /// Directory in which large objects for remote storage are built before they are sent; `None`
    /// to build them in memory. Files are built beside where they will stand.
    pub working_directory: Option<PathBuf>,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            backend: Backend::Filesystem(FilesystemConfig::default()),
            prefix: String::new(),
            concurrency: 64,
            hedging: HedgingConfig::default(),
            footer_cache_bytes: 64 << 20,
            working_directory: None,
        }
    }
}

impl Config {
    /// Objects in this process's memory, for tests.
    #[must_use]
    pub fn memory() -> Self {
        Self { backend: Backend::Memory, ..Self::default() }
    }

    /// Objects in a memory that several stores share, as processes share a bucket; for tests.
    #[must_use]
    pub fn shared_memory(memory: &crate::MemoryBucket) -> Self {
        Self { backend: Backend::Shared(memory.clone()), ..Self::default() }
    }

    /// Objects as files below a directory.
    pub fn filesystem(directory: impl Into<PathBuf>) -> Self {
        let filesystem = FilesystemConfig { directory: directory.into() };
        Self { backend: Backend::Filesystem(filesystem), ..Self::default() }
    }
}

/// `hedging:` of Loki: a read that is slow is sent again, and the first answer counts.
#[derive(Debug, Clone)]
pub struct HedgingConfig {
    /// How long a read may take before it is sent again; zero never sends it again.
    pub at: Duration,
    /// How often one read is sent at most, the first time included.
    pub up_to: usize,
    /// How many further reads may be sent in a second, over all reads. Bounds what hedging costs
    /// when the storage is slow for everybody.
    pub max_per_second: u32,
}

impl Default for HedgingConfig {
    fn default() -> Self {
        Self { at: Duration::ZERO, up_to: 2, max_per_second: 5 }
    }
}

/// Which object storage.
#[derive(Debug, Clone)]
#[non_exhaustive]
pub enum Backend {
    /// Files below a directory; durable when an upload returns.
    Filesystem(FilesystemConfig),
    /// This process's memory: gone when it ends.
    Memory,
    /// Memory that several stores share, and that can be made to fail.
    Shared(crate::MemoryBucket),
    /// Amazon S3 and what speaks its protocol.
    S3(Box<S3Config>),
    /// Google Cloud Storage.
    Gcs(Box<GcsConfig>),
    /// Azure Blob Storage.
    Azure(Box<AzureConfig>),
}

/// `filesystem:` of Loki.
#[derive(Debug, Clone)]
pub struct FilesystemConfig {
    /// Directory of the objects (`chunks_directory`, `directory`); made when missing.
    pub directory: PathBuf,
}

impl Default for FilesystemConfig {
    fn default() -> Self {
        Self { directory: PathBuf::from("./data/objects") }
    }
}

/// `s3:` of Loki's `common.storage`, `aws:` of its `storage_config`.
#[derive(Debug, Clone, Default)]
pub struct S3Config {
    /// Everything in one URL: `s3://key:secret@region/bucket` or
    /// `s3://key:secret@endpoint-host/bucket`. The fields below win over its parts.
    pub s3: String,
    /// `s3forcepathstyle`: put the bucket into the path instead of the host name.
    pub s3forcepathstyle: bool,
    /// Bucket. Loki allows a comma-separated list; only the first is used.
    pub bucketnames: String,
    /// Host, or URL, of the service; empty for Amazon's own.
    pub endpoint: String,
    /// Region that signs requests; `us-east-1` when empty.
    pub region: String,
    /// Key id; empty to take credentials from the process's environment or the instance.
    pub access_key_id: String,
    /// Secret of the key.
    pub secret_access_key: String,
    /// Token of temporary credentials.
    pub session_token: String,
    /// Speak plain HTTP with [`S3Config::endpoint`].
    pub insecure: bool,
    /// Storage class of new objects, such as `STANDARD_IA`; empty for the bucket's default.
    pub storage_class: String,
    /// `sse.type`: empty, `SSE-S3` or `SSE-KMS`.
    pub sse_type: String,
    /// `sse.kms_key_id`.
    pub sse_kms_key_id: String,
    /// Timeouts and certificates.
    pub http: HttpConfig,
    /// How failed requests are sent again.
    pub backoff: BackoffConfig,
}

/// `gcs:` of Loki.
#[derive(Debug, Clone, Default)]
pub struct GcsConfig {
    /// Bucket.
    pub bucket_name: String,
    /// A service account key, as JSON text; empty for the credentials of the process's environment
    /// or the instance.
    pub service_account: String,
    /// Another server than Google's, for tests; empty for Google's.
    pub endpoint: String,
    /// Timeouts and certificates.
    pub http: HttpConfig,
    /// How failed requests are sent again.
    pub backoff: BackoffConfig,
}

/// `azure:` of Loki.
#[derive(Debug, Clone, Default)]
pub struct AzureConfig {
    /// Storage account.
    pub account_name: String,
    /// Key of the account; empty for one of the credentials below, of the process's environment or
    /// of the instance.
    pub account_key: String,
    /// Account, key and endpoint in one text, as the portal shows it.
    pub connection_string: String,
    /// Container.
    pub container_name: String,
    /// Host suffix of other clouds, such as `blob.core.chinacloudapi.cn`; or a whole URL.
    pub endpoint_suffix: String,
    /// Use the identity of the virtual machine.
    pub use_managed_identity: bool,
    /// Which identity, when the machine has several.
    pub user_assigned_id: String,
    /// Use the service principal of the next three fields.
    pub use_service_principal: bool,
    /// Service principal: application.
    pub client_id: String,
    /// Service principal: secret.
    pub client_secret: String,
    /// Service principal: directory.
    pub tenant_id: String,
    /// File of a federated token, for workload identities; empty for none.
    pub federated_token_file: String,
    /// Timeouts and certificates.
    pub http: HttpConfig,
    /// How failed requests are sent again.
    pub backoff: BackoffConfig,
}

/// Timeouts and certificates of the HTTP client.
#[derive(Debug, Clone)]
pub struct HttpConfig {
    /// A whole request, body included. Must allow for uploading a segment.
    pub request_timeout: Duration,
    /// How long a read may go without receiving anything before it is sent again; zero for no
    /// bound but [`HttpConfig::request_timeout`].
    pub read_timeout: Duration,
    /// Connecting.
    pub connect_timeout: Duration,
    /// How long an unused connection is kept.
    pub idle_conn_timeout: Duration,
    /// Do not check the server's certificate.
    pub insecure_skip_verify: bool,
    /// PEM file of a certificate authority to trust beside the system's; empty for none.
    pub ca_file: PathBuf,
}

impl Default for HttpConfig {
    fn default() -> Self {
        Self {
            request_timeout: Duration::from_secs(120),
            read_timeout: Duration::from_secs(10),
            connect_timeout: Duration::from_secs(5),
            idle_conn_timeout: Duration::from_secs(90),
            insecure_skip_verify: false,
            ca_file: PathBuf::new(),
        }
    }
}

/// `backoff_config:` of Loki: how failed requests are sent again.
#[derive(Debug, Clone)]
pub struct BackoffConfig {
    /// First pause.
    pub min_period: Duration,
    /// Longest pause.
    pub max_period: Duration,
    /// How often a request is sent again.
    pub max_retries: usize,
}

impl Default for BackoffConfig {
    fn default() -> Self {
        Self {
            min_period: Duration::from_millis(100),
            max_period: Duration::from_secs(3),
            max_retries: 5,
        }
    }
}
