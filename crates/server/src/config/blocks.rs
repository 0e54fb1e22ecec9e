//! The configuration keys outside `limits_config`, block by block.

use super::Config;
use super::cluster::CLUSTER;
use super::key::{Key, keys};

/// Every block's rows, in the order in which `docs/config.md` shows them.
pub static BLOCKS: &[&[Key<Config>]] = &[
    TOP,
    SERVER,
    COMMON,
    CLUSTER,
    STORAGE,
    DISTRIBUTOR,
    INGESTER,
    INGESTER_CLIENT,
    QUERIER,
    FRONTEND,
    QUERY_RANGE,
    OTHERS,
];

static TOP: &[Key<Config>] = keys! { Config;
    "target", "target", target,
        "Which modules run in this process; `all` runs everything.";
    "auth_enabled", "auth.enabled", auth_enabled,
        "Whether requests must carry X-Scope-OrgID. When off, everything belongs to no_auth_tenant.";
    "no_auth_tenant", "auth.no-auth-tenant", no_auth_tenant,
        "The tenant of all requests when auth_enabled is off.";
    "authentication.credentials", "", credentials,
        "Sigyn's own: who may speak for which tenants; see docs/authentication.md. Empty lets everybody in.";
    "authentication.process_token_file", "authentication.process-token-file", process_token_file,
        "Sigyn's own: file whose first line the processes of a cluster show each other; needed with credentials where they are apart.";
    "shutdown_delay", "shutdown-delay", shutdown_delay,
        "How long to keep serving, as not ready, between a stop signal and the actual stop.";
};

static SERVER: &[Key<Config>] = keys! { Config;
    "server.http_listen_address", "server.http-listen-address", server.http_listen_address,
        "Address to listen on; empty for all interfaces.";
    "server.http_listen_port", "server.http-listen-port", server.http_listen_port,
        "HTTP port; 0 picks a free one, which the log names.";
    "server.grpc_listen_address", "server.grpc-listen-address", server.grpc_listen_address,
        "Address for gRPC's own port; empty for all interfaces.";
    "server.grpc_listen_port", "server.grpc-listen-port", server.grpc_listen_port,
        "Port for gRPC alone. 0, the default (Loki's is 9095), opens none: gRPC is always served on the HTTP port, too.";
    "server.http_tls_config.cert_file", "server.http-tls-cert-path", server.http_tls_config.cert_file,
        "Certificate (PEM) of the HTTP port; naming one turns TLS on.";
    "server.http_tls_config.key_file", "server.http-tls-key-path", server.http_tls_config.key_file,
        "Key (PEM) of that certificate.";
    "server.http_tls_config.client_ca_file", "server.http-tls-ca-path", server.http_tls_config.client_ca_file,
        "Certificates (PEM) of the authorities whose clients are let in.";
    "server.http_tls_config.client_auth_type", "server.http-tls-client-auth", server.http_tls_config.client_auth_type,
        "NoClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert.";
    "server.grpc_tls_config.cert_file", "server.grpc-tls-cert-path", server.grpc_tls_config.cert_file,
        "Certificate (PEM) of the port for gRPC alone; naming one turns TLS on.";
    "server.grpc_tls_config.key_file", "server.grpc-tls-key-path", server.grpc_tls_config.key_file,
        "Key (PEM) of that certificate.";
    "server.grpc_tls_config.client_ca_file", "server.grpc-tls-ca-path", server.grpc_tls_config.client_ca_file,
        "Certificates (PEM) of the authorities whose clients are let in.";
    "server.grpc_tls_config.client_auth_type", "server.grpc-tls-client-auth", server.grpc_tls_config.client_auth_type,
        "NoClientCert, VerifyClientCertIfGiven or RequireAndVerifyClientCert.";
    "server.http_path_prefix", "server.path-prefix", server.http_path_prefix,
        "Text put in front of every route.";
    "server.http_server_read_timeout", "server.http-read-timeout", server.http_server_read_timeout,
        "Longest time to read a request's head and body.";
    "server.http_server_write_timeout", "server.http-write-timeout", server.http_server_write_timeout,
        "Longest time to write a response.";
    "server.http_server_idle_timeout", "server.http-idle-timeout", server.http_server_idle_timeout,
        "Time after which an idle connection is closed.";
    "server.http_listen_conn_limit", "server.http-conn-limit", server.http_listen_conn_limit,
        "Most open connections; 0 for no limit.";
    "server.graceful_shutdown_timeout", "server.graceful-shutdown-timeout", server.graceful_shutdown_timeout,
        "How long running requests may take to finish when the process stops.";
    "server.log_level", "log.level", server.log_level,
        "debug, info, warn or error.";
    "server.log_format", "log.format", server.log_format,
        "logfmt or json.";
};

static COMMON: &[Key<Config>] = keys! { Config;
    "common.path_prefix", "common.path-prefix", common.path_prefix,
        "Folder below which data is kept where no other place is named.";
    "common.replication_factor", "common.replication-factor", common.replication_factor,
        "How many ingesters keep each stream.";
    "common.instance_addr", "common.instance-addr", common.instance_addr,
        "Address under which others reach this process.";
    "common.storage.filesystem.chunks_directory", "common.storage.filesystem.chunk-directory", common.storage.filesystem_directory,
        "Folder for segments when they are kept in files.";
    "common.storage.filesystem.rules_directory", "common.storage.filesystem.rules-directory", common.rules_directory,
        "Folder for rules.";
    "common.storage.s3.s3", "common.storage.s3.url", common.storage.s3.url,
        "S3 as one URL: s3://key:secret@region/bucket.";
    "common.storage.s3.endpoint", "common.storage.s3.endpoint", common.storage.s3.endpoint,
        "S3 endpoint; empty for Amazon's own.";
    "common.storage.s3.region", "common.storage.s3.region", common.storage.s3.region,
        "S3 region.";
    "common.storage.s3.bucketnames", "common.storage.s3.buckets", common.storage.s3.bucket,
        "S3 bucket.";
    "common.storage.s3.access_key_id", "common.storage.s3.access-key-id", common.storage.s3.access_key_id,
        "S3 access key; empty for the usual chain of credentials.";
    "common.storage.s3.secret_access_key", "common.storage.s3.secret-access-key", common.storage.s3.secret_access_key,
        "S3 secret key.";
    "common.storage.s3.session_token", "common.storage.s3.session-token", common.storage.s3.session_token,
        "S3 session token.";
    "common.storage.s3.insecure", "common.storage.s3.insecure", common.storage.s3.insecure,
        "Whether the endpoint is spoken to without TLS.";
    "common.storage.s3.s3forcepathstyle", "common.storage.s3.force-path-style", common.storage.s3.force_path_style,
        "Whether the bucket stands in the path instead of the host name.";
    "common.storage.s3.storage_class", "common.storage.s3.storage-class", common.storage.s3.storage_class,
        "S3 storage class of new objects, such as STANDARD_IA; empty for the bucket's default.";
    "common.storage.s3.sse.type", "common.storage.s3.sse.type", common.storage.s3.sse_type,
        "Encryption by the service: SSE-S3 or SSE-KMS; empty for the bucket's default.";
    "common.storage.s3.sse.kms_key_id", "common.storage.s3.sse.kms-key-id", common.storage.s3.sse_kms_key_id,
        "Key of SSE-KMS; empty for the account's default.";
    "common.storage.s3.http_config.timeout", "common.storage.s3.http.timeout", common.storage.s3.requests.timeout,
        "Longest time for one request, uploads included.";
    "common.storage.s3.http_config.idle_conn_timeout", "common.storage.s3.http.idle-conn-timeout", common.storage.s3.requests.idle_conn_timeout,
        "How long an unused connection is kept.";
    "common.storage.s3.http_config.response_header_timeout", "common.storage.s3.http.response-header-timeout", common.storage.s3.requests.response_header_timeout,
        "How long a read may go without receiving anything before it is sent again; 0 for no bound but http_config.timeout.";
    "common.storage.s3.http_config.insecure_skip_verify", "common.storage.s3.http.insecure-skip-verify", common.storage.s3.requests.insecure_skip_verify,
        "Whether any certificate of the service is accepted.";
    "common.storage.s3.http_config.ca_file", "common.storage.s3.http.ca-file", common.storage.s3.requests.ca_file,
        "PEM file of certificate authorities to trust beside the system's.";
    "common.storage.s3.backoff_config.min_period", "common.storage.s3.min-backoff", common.storage.s3.requests.min_backoff,
        "First pause before a failed request is sent again.";
    "common.storage.s3.backoff_config.max_period", "common.storage.s3.max-backoff", common.storage.s3.requests.max_backoff,
        "Longest pause before a failed request is sent again.";
    "common.storage.s3.backoff_config.max_retries", "common.storage.s3.max-retries", common.storage.s3.requests.max_retries,
        "How often a failed request is sent again.";
    "common.storage.gcs.bucket_name", "common.storage.gcs.bucketname", common.storage.gcs.bucket,
        "Google Cloud Storage bucket.";
    "common.storage.gcs.service_account", "common.storage.gcs.service-account", common.storage.gcs.service_account,
        "Google service account key as JSON; empty for the usual chain of credentials.";
    "common.storage.hedging.at", "common.storage.hedge-requests-at", storage_requests.hedge_at,
        "The same as storage_config.hedging.at; the later of the two counts.";
    "common.storage.hedging.up_to", "common.storage.hedge-requests-up-to", storage_requests.hedge_up_to,
        "The same as storage_config.hedging.up_to; the later of the two counts.";
    "common.storage.hedging.max_per_second", "common.storage.hedge-max-per-second", storage_requests.hedge_max_per_second,
        "The same as storage_config.hedging.max_per_second; the later of the two counts.";
    "common.storage.azure.account_name", "common.storage.azure.account-name", common.storage.azure.account,
        "Azure storage account.";
    "common.storage.azure.account_key", "common.storage.azure.account-key", common.storage.azure.account_key,
        "Azure storage account key.";
    "common.storage.azure.container_name", "common.storage.azure.container-name", common.storage.azure.container,
        "Azure container; empty for `loki`.";
    "common.storage.azure.endpoint_suffix", "common.storage.azure.endpoint-suffix", common.storage.azure.endpoint,
        "Azure endpoint, for emulators and sovereign clouds.";
};

static STORAGE: &[Key<Config>] = keys! { Config;
    "schema_config.configs", "", schema_configs,
        "Loki's schema periods. Only the last period's object_store is used: it names the storage.";
    "storage_config.filesystem.directory", "local.chunk-directory", storage.filesystem_directory,
        "Folder for segments when they are kept in files.";
    "storage_config.aws.s3", "s3.url", storage.s3.url,
        "S3 as one URL: s3://key:secret@region/bucket.";
    "storage_config.aws.endpoint", "s3.endpoint", storage.s3.endpoint,
        "S3 endpoint; empty for Amazon's own.";
    "storage_config.aws.region", "s3.region", storage.s3.region,
        "S3 region.";
    "storage_config.aws.bucketnames", "s3.buckets", storage.s3.bucket,
        "S3 bucket.";
    "storage_config.aws.access_key_id", "s3.access-key-id", storage.s3.access_key_id,
        "S3 access key; empty for the usual chain of credentials.";
    "storage_config.aws.secret_access_key", "s3.secret-access-key", storage.s3.secret_access_key,
        "S3 secret key.";
    "storage_config.aws.session_token", "s3.session-token", storage.s3.session_token,
        "S3 session token.";
    "storage_config.aws.insecure", "s3.insecure", storage.s3.insecure,
        "Whether the endpoint is spoken to without TLS.";
    "storage_config.aws.s3forcepathstyle", "s3.force-path-style", storage.s3.force_path_style,
        "Whether the bucket stands in the path instead of the host name.";
    "storage_config.aws.storage_class", "s3.storage-class", storage.s3.storage_class,
        "S3 storage class of new objects, such as STANDARD_IA; empty for the bucket's default.";
    "storage_config.aws.sse.type", "s3.sse.type", storage.s3.sse_type,
        "Encryption by the service: SSE-S3 or SSE-KMS; empty for the bucket's default.";
    "storage_config.aws.sse.kms_key_id", "s3.sse.kms-key-id", storage.s3.sse_kms_key_id,
        "Key of SSE-KMS; empty for the account's default.";
    "storage_config.aws.http_config.timeout", "s3.http.timeout", storage.s3.requests.timeout,
        "Longest time for one request, uploads included.";
    "storage_config.aws.http_config.idle_conn_timeout", "s3.http.idle-conn-timeout", storage.s3.requests.idle_conn_timeout,
        "How long an unused connection is kept.";
    "storage_config.aws.http_config.response_header_timeout", "s3.http.response-header-timeout", storage.s3.requests.response_header_timeout,
        "How long a read may go without receiving anything before it is sent again; 0 for no bound but http_config.timeout.";
    "storage_config.aws.http_config.insecure_skip_verify", "s3.http.insecure-skip-verify", storage.s3.requests.insecure_skip_verify,
        "Whether any certificate of the service is accepted.";
    "storage_config.aws.http_config.ca_file", "s3.http.ca-file", storage.s3.requests.ca_file,
        "PEM file of certificate authorities to trust beside the system's.";
    "storage_config.aws.backoff_config.min_period", "s3.min-backoff", storage.s3.requests.min_backoff,
        "First pause before a failed request is sent again.";
    "storage_config.aws.backoff_config.max_period", "s3.max-backoff", storage.s3.requests.max_backoff,
        "Longest pause before a failed request is sent again.";
    "storage_config.aws.backoff_config.max_retries", "s3.max-retries", storage.s3.requests.max_retries,
        "How often a failed request is sent again.";
    "storage_config.gcs.bucket_name", "gcs.bucketname", storage.gcs.bucket,
        "Google Cloud Storage bucket.";
    "storage_config.gcs.service_account", "gcs.service-account", storage.gcs.service_account,
        "Google service account key as JSON.";
    "storage_config.azure.account_name", "azure.account-name", storage.azure.account,
        "Azure storage account.";
    "storage_config.azure.account_key", "azure.account-key", storage.azure.account_key,
        "Azure storage account key.";
    "storage_config.azure.container_name", "azure.container-name", storage.azure.container,
        "Azure container; empty for `loki`.";
    "storage_config.azure.endpoint_suffix", "azure.endpoint-suffix", storage.azure.endpoint,
        "Azure endpoint, for emulators and sovereign clouds.";
    "storage_config.object_prefix", "store.object-prefix", object_prefix,
        "Text in front of every object's name, so that one bucket can hold several stores.";
    "storage_config.max_parallel_get_chunk", "store.max-parallel-get-chunk", storage_requests.concurrency,
        "Requests to object storage under way at once, reads and writes together. More hides latency and costs sockets and memory.";
    "storage_config.hedging.at", "store.hedge-requests-at", storage_requests.hedge_at,
        "How long a read from object storage may take before it is sent a second time; the first answer counts. 0 never sends it again.";
    "storage_config.hedging.up_to", "store.hedge-requests-up-to", storage_requests.hedge_up_to,
        "How often one read is sent at most, the first time included.";
    "storage_config.hedging.max_per_second", "store.hedge-max-per-second", storage_requests.hedge_max_per_second,
        "How many reads are sent again in a second at most, over all queries.";
    "storage_config.footer_cache_size", "storage.footer-cache-size", footer_cache_size,
        "Sigyn's own: memory for the footers of segments. More saves reads when many segments are queried.";
};

static DISTRIBUTOR: &[Key<Config>] = keys! { Config;
    "distributor.max_recv_msg_size", "distributor.max-recv-msg-size", distributor.max_recv_msg_size,
        "Largest push body as received.";
    "distributor.max_decompressed_size", "distributor.max-decompressed-size", distributor.max_decompressed_size,
        "Largest push body after decompression.";
    "distributor.max_inflight_bytes", "distributor.max-inflight-bytes", distributor.max_inflight_bytes,
        "Push bodies held in memory at once; beyond it pushes are answered 503 with Retry-After. 0 for no limit.";
    "distributor.otlp_config.default_resource_attributes_as_index_labels", "distributor.otlp.default_resource_attributes_as_index_labels", distributor.otlp_index_labels,
        "OTLP resource attributes that become stream labels.";
};

static INGESTER: &[Key<Config>] = keys! { Config;
    "ingester.max_chunk_age", "ingester.max-chunk-age", ingester.max_chunk_age,
        "Age at which recent entries are flushed; half of it is how far behind its stream's newest an entry may arrive.";
    "ingester.chunk_idle_period", "ingester.chunks-idle-period", ingester.chunk_idle_period,
        "Time without a push after which a tenant's recent entries are flushed.";
    "ingester.flush_check_period", "ingester.flush-check-period", ingester.flush_check_period,
        "How often ages are looked at.";
    "ingester.flush_size", "ingester.flush-size", ingester.flush_size,
        "Sigyn's own: line bytes of a tenant in memory that start a flush. More makes fewer, larger segments and costs twice as much memory.";
    "ingester.line_columns", "ingester.line-columns", ingester.line_columns,
        "Sigyn's own: whether flushes store lines as columns where that is smaller, as compaction does. Off saves a quarter of the CPU of writing and stores two thirds more until compaction.";
    "ingester.outage_memory", "ingester.outage-memory", ingester.outage_memory,
        "Sigyn's own: memory for recent entries while object storage does not answer; beyond it pushes are answered 503. Otherwise they wait at twice flush_size.";
    "ingester.wal.enabled", "ingester.wal-enabled", ingester.wal_enabled,
        "Whether the write-ahead log is synced before entries are acknowledged. Off is the same as wal.sync: off, with a warning: the log itself stays, because entries get into memory through it.";
    "ingester.wal.dir", "ingester.wal-dir", ingester.wal_dir,
        "Folder of the write-ahead log.";
    "ingester.wal.sync", "ingester.wal-sync", ingester.wal_sync,
        "Sigyn's own: `always` syncs before acknowledging, a duration such as 100ms syncs that often, `off` leaves it to the system.";
    "ingester.shutdown_marker_path", "ingester.shutdown-marker-path", ingester.shutdown_marker_path,
        "Folder of the marks that /ingester/prepare_shutdown and /ingester/prepare_downscale set; empty for that of the write-ahead log.";
    "ingester.lifecycler.id", "ingester.lifecycler.ID", ingester.id,
        "Name of this ingester; must stay the same across restarts. Defaults to the host name.";
    "ingester.addresses", "ingester.addresses", ingester.addresses,
        "Sigyn's own: host:port of the gRPC of every ingester, for processes that run none themselves. Each tenant's entries go to one of them.";
    "ingester.lifecycler.min_ready_duration", "ingester.min-ready-duration", ingester.min_ready_duration,
        "How long to be up before /ready says so; one process needs none.";
};

static INGESTER_CLIENT: &[Key<Config>] = keys! { Config;
    "ingester_client.remote_timeout", "ingester.client.timeout", ingester_client.remote_timeout,
        "How long one question to another process may take; a flush may take 30 times as long.";
    "ingester_client.grpc_client_config.connect_timeout", "ingester.client.connect-timeout", ingester_client.connect_timeout,
        "How long making a connection to another process may take.";
    "ingester_client.grpc_client_config.max_recv_msg_size", "ingester.client.grpc-max-recv-msg-size", ingester_client.max_recv_msg_size,
        "Largest message from another process, in bytes.";
    "ingester_client.grpc_client_config.tls_enabled", "ingester.client.tls-enabled", ingester_client.tls_enabled,
        "Whether other processes are spoken to over TLS.";
    "ingester_client.grpc_client_config.tls_cert_path", "ingester.client.tls-cert-path", ingester_client.tls_cert_path,
        "The own certificate (PEM), for processes that ask for one.";
    "ingester_client.grpc_client_config.tls_key_path", "ingester.client.tls-key-path", ingester_client.tls_key_path,
        "Key (PEM) of that certificate.";
    "ingester_client.grpc_client_config.tls_ca_path", "ingester.client.tls-ca-path", ingester_client.tls_ca_path,
        "Certificates (PEM) of the authorities to trust; needed with tls_enabled.";
    "ingester_client.grpc_client_config.tls_server_name", "ingester.client.tls-server-name", ingester_client.tls_server_name,
        "Name in the other's certificate when it is not the host of its address.";
};

static QUERIER: &[Key<Config>] = keys! { Config;
    "querier.max_concurrent", "querier.max-concurrent", querier.max_concurrent,
        "Queries that run at once; others wait.";
    "querier.query_memory", "querier.query-memory", querier.query_memory,
        "Sigyn's own: memory one query may use before it is ended with an error.";
    "querier.tail_max_duration", "querier.tail-max-duration", querier.tail_max_duration,
        "Time after which a live tail is closed.";
    "querier.multi_tenant_queries_enabled", "querier.multi-tenant-queries-enabled", querier.multi_tenant_queries_enabled,
        "Whether X-Scope-OrgID may name several tenants, joined with |.";
    "querier.per_request_limits_enabled", "querier.per-request-limits-enabled", querier.per_request_limits_enabled,
        "Whether requests may lower their own limits with X-Loki-Query-Limits.";
    "querier.partial_answers", "querier.partial-answers", querier.partial_answers,
        "Sigyn's own: whether a query that cannot read a segment answers without it and says so in a warning, instead of failing.";
};

static FRONTEND: &[Key<Config>] = keys! { Config;
    "frontend.compress_responses", "querier.compress-http-responses", frontend.compress_responses,
        "Whether answers are compressed for clients that accept it.";
    "frontend.max_outstanding_per_tenant", "querier.max-outstanding-requests-per-tenant", frontend.max_outstanding_per_tenant,
        "Queries of one tenant that may wait; beyond it they are answered 429.";
    "frontend.max_body_size", "frontend.max-body-size", frontend.max_body_size,
        "Largest form body of a query.";
    "frontend.scheduler_address", "frontend.scheduler-address", frontend.scheduler_addresses,
        "gRPC addresses of query schedulers, as host:port; queries are then executed by the queriers that are connected to them.";
    "frontend_worker.scheduler_address", "querier.scheduler-address", worker_scheduler_addresses,
        "gRPC addresses of the query schedulers that this querier works for, as host:port.";
    "query_scheduler.max_outstanding_requests_per_tenant", "query-scheduler.max-outstanding-requests-per-tenant", scheduler_max_outstanding,
        "Queries of one tenant that may wait in a scheduler; beyond it they are answered 429.";
    "frontend.log_queries_longer_than", "frontend.log-queries-longer-than", frontend.log_queries_longer_than,
        "Queries that take longer are logged; 0 logs none.";
};

static QUERY_RANGE: &[Key<Config>] = keys! { Config;
    "query_range.align_queries_with_step", "querier.align-querier-with-step", query_range.align_queries_with_step,
        "Whether metric queries begin and end at multiples of their step, both rounded down.";
    "query_range.cache_results", "querier.cache-results", query_range.cache_results,
        "Whether answers are kept. They are exact: an answer is used only while the rows it was made of are the same.";
    "query_range.max_retries", "querier.max-retries-per-request", query_range.max_retries,
        "How often a piece of a query is tried again on another querier.";
    "query_range.parallelise_shardable_queries", "querier.parallelise-shardable-queries", query_range.parallelise_shardable_queries,
        "Whether large queries are also cut by stream, so that several queriers share them. One process alone does not cut.";
    "query_range.results_cache.cache.default_validity", "frontend.default-validity", query_range.cache.default_validity,
        "How long answers are kept where no expiration is set.";
    "query_range.results_cache.cache.embedded_cache.enabled", "frontend.embedded-cache.enabled", query_range.cache.embedded_enabled,
        "Whether answers are kept in memory. With cache_results, they are if no other cache is named.";
    "query_range.results_cache.cache.embedded_cache.max_size_mb", "frontend.embedded-cache.max-size-mb", query_range.cache.embedded_max_size_mb,
        "Megabytes of answers kept in memory.";
    "query_range.results_cache.cache.memcached.expiration", "frontend.memcached.expiration", query_range.cache.memcached_expiration,
        "How long memcached keeps answers; 0 for default_validity.";
    "query_range.results_cache.cache.memcached_client.host", "frontend.memcached.hostname", query_range.cache.memcached.host,
        "A server of memcached, at port 11211 unless one is given.";
    "query_range.results_cache.cache.memcached_client.addresses", "frontend.memcached.addresses", query_range.cache.memcached.addresses,
        "Servers of memcached as host:port; answers are spread over them.";
    "query_range.results_cache.cache.memcached_client.timeout", "frontend.memcached.timeout", query_range.cache.memcached.timeout,
        "Longest time of one operation on memcached.";
    "query_range.results_cache.cache.memcached_client.max_idle_conns", "frontend.memcached.max-idle-conns", query_range.cache.memcached.max_idle_conns,
        "Connections to each server of memcached.";
    "query_range.results_cache.cache.memcached_client.max_item_size", "frontend.memcached.max-item-size", query_range.cache.memcached.max_item_size,
        "Bytes of the largest answer that is kept in memcached; 0 for its own limit of a megabyte.";
    "query_range.results_cache.cache.redis.endpoint", "frontend.redis.endpoint", query_range.cache.redis.endpoint,
        "The server of Redis as host:port.";
    "query_range.results_cache.cache.redis.timeout", "frontend.redis.timeout", query_range.cache.redis.timeout,
        "Longest time to connect to Redis, and of one operation.";
    "query_range.results_cache.cache.redis.expiration", "frontend.redis.expiration", query_range.cache.redis.expiration,
        "How long Redis keeps answers; 0 for default_validity.";
    "query_range.results_cache.cache.redis.db", "frontend.redis.db", query_range.cache.redis.db,
        "Number of the database in Redis.";
    "query_range.results_cache.cache.redis.username", "frontend.redis.username", query_range.cache.redis.username,
        "User of Redis; empty for the default one.";
    "query_range.results_cache.cache.redis.password", "frontend.redis.password", query_range.cache.redis.password,
        "Password of Redis; empty for none.";
};

static OTHERS: &[Key<Config>] = keys! { Config;
    "runtime_config.file", "runtime-config.file", runtime_config.file,
        "File with per-tenant overrides, read again while running.";
    "runtime_config.period", "runtime-config.reload-period", runtime_config.period,
        "How often the overrides file is read.";
    "compactor.working_directory", "compactor.working-directory", compactor.working_directory,
        "Folder in which segments for remote storage are built; default: compactor below common.path_prefix.";
    "compactor.compaction_interval", "compactor.compaction-interval", compactor.compaction_interval,
        "Time between rounds of compaction, retention and deletion.";
    "compactor.target_size", "compactor.target-size", compactor.target_size,
        "Sigyn's own: stored bytes of a compacted segment, about. More makes fewer segments; a merge takes about four times as much memory.";
    "compactor.superseded_delete_delay", "compactor.superseded-delete-delay", compactor.superseded_delete_delay,
        "Sigyn's own: how long segments are kept whose rows a compacted one took over. Must be longer than queries take, and than the minute in which other processes notice.";
    "compactor.retention_enabled", "compactor.retention-enabled", compactor.retention_enabled,
        "Whether retention and delete requests are carried out.";
    "compactor.retention_delete_delay", "compactor.retention-delete-delay", compactor.retention_delete_delay,
        "How long expired entries, hidden from queries at once, stay in storage.";
    "compactor.retention_size", "compactor.retention-size", compactor.retention_size,
        "Sigyn's own: stored bytes of all tenants above which the oldest entries are deleted; 0 for no bound. Needs no compactor.retention_enabled.";
    "compactor.delete_request_store", "compactor.delete-request-store", compactor.delete_request_store,
        "Accepted; delete requests stand beside the segments.";
    "compactor.delete_request_cancel_period", "compactor.delete-request-cancel-period", compactor.delete_request_cancel_period,
        "How long a delete request can be cancelled; then it is carried out. What it names is hidden at once.";
    "compactor.delete_max_interval", "compactor.delete-max-interval", compactor.delete_max_interval,
        "Longest max_interval that a delete request may ask for, 0 for any. Requests are not cut into such spans.";
    "pattern_ingester.enabled", "pattern-ingester.enabled", pattern_ingester_enabled,
        "Whether /loki/api/v1/patterns answers.";
    "tenant_limits_allow_publish", "limits.tenant-limits-allow-publish", tenant_limits_allow_publish,
        "Limits that /loki/api/v1/drilldown-limits shows.";
};
