//! Module `store`: stored segments, and a regular look at what other processes stored.

use std::sync::Arc;
use std::time::Duration;

use runtime::Failure;
use runtime::service::Service;
use store::config::{
    AzureConfig, Backend, BackoffConfig, FilesystemConfig, GcsConfig, HedgingConfig, HttpConfig,
    S3Config,
};
use store::{Dependencies, Metrics, Store};

use crate::app::App;
use crate::config::{self, Config, StorageChoice};
use crate::remote::cluster::pool;
use crate::remote::index::{Finding, Gateways, Names};

/// How often the storage is listed for segments of other processes.
const REFRESH_INTERVAL: Duration = Duration::from_secs(60);

/// The store does not run, though its module starts before those that need it.
#[derive(Debug, thiserror::Error)]
#[error("the store is not there")]
pub(super) struct NoStore;

pub(super) fn build(app: &Arc<App>) -> Result<Service, Failure> {
    let config = translate(&app.config)?;
    let metrics = Metrics::register(&mut app.registry.lock());
    let dependencies = Dependencies { clock: Arc::clone(&app.clock), metrics };
    let (starting, rounds) = (Arc::clone(app), Arc::clone(app));
    let service = Service::builder("store")
        .starting(move |_| async move {
            let place = describe(&config.backend);
            let store = match gateways(&starting)? {
                None => Store::open(config, dependencies).await?,
                Some(gateways) => {
                    tracing::info!("index gateways are asked which segments exist");
                    Store::open_with(config, dependencies, Arc::new(gateways)).await?
                }
            };
            tracing::info!(place, tenants = store.tenants().len(), "segments are kept");
            starting.parts.store.fill(store);
            Ok(())
        })
        .every(REFRESH_INTERVAL, Arc::clone(&app.clock), move || refresh(Arc::clone(&rounds)));
    Ok(service.build())
}

/// Whoever lists in the place of this process; `None` where it lists itself, because it stores
/// segments or answers for others.
fn gateways(app: &App) -> Result<Option<Gateways>, Failure> {
    let config = &app.config.index_gateway;
    let lists = ["ingester", "compactor", "index-gateway"];
    if !config.is_used() || lists.iter().any(|module| app.routes().serves(module)) {
        return Ok(None);
    }
    super::index_gateway::check_ring(app)?;
    let rings = app.parts.rings.find();
    let ring = rings.as_ref().and_then(|rings| rings.index_gateways().cloned());
    let finding = match ring {
        Some(ring) => Finding::Ring(ring),
        None => Finding::Named(Names::new(&config.addresses)),
    };
    let (overrides, clock) = (Arc::clone(&app.overrides), Arc::clone(&app.clock));
    Ok(Some(Gateways::new(finding, pool(app)?, overrides, clock)))
}

async fn refresh(app: Arc<App>) -> Result<(), Failure> {
    if let Some(store) = app.parts.store.find()
        && let Err(error) = store.refresh().await
    {
        tracing::warn!(error = %error, "list segments, trying again later");
    }
    Ok(())
}

fn describe(backend: &Backend) -> String {
    match backend {
        Backend::Filesystem(files) => files.directory.display().to_string(),
        Backend::Memory => "memory, until the process ends".to_owned(),
        Backend::S3(s3) => format!("s3 bucket {}", s3.bucketnames),
        Backend::Gcs(gcs) => format!("gcs bucket {}", gcs.bucket_name),
        Backend::Azure(azure) => format!("azure container {}", azure.container_name),
        _ => String::new(),
    }
}

fn translate(config: &Config) -> Result<store::Config, config::Problem> {
    let backend = match config.storage_choice()? {
        StorageChoice::Filesystem(directory) => {
            Backend::Filesystem(FilesystemConfig { directory: directory.into() })
        }
        StorageChoice::Memory => Backend::Memory,
        StorageChoice::S3(s3) => Backend::S3(Box::new(translate_s3(s3))),
        StorageChoice::Gcs(gcs) => Backend::Gcs(Box::new(GcsConfig {
            bucket_name: gcs.bucket,
            service_account: gcs.service_account,
            ..GcsConfig::default()
        })),
        StorageChoice::Azure(azure) => Backend::Azure(Box::new(AzureConfig {
            account_name: azure.account,
            account_key: azure.account_key,
            container_name: azure.container,
            endpoint_suffix: azure.endpoint,
            ..AzureConfig::default()
        })),
    };
    Ok(store::Config {
        backend,
        prefix: config.object_prefix.clone(),
        concurrency: config.storage_requests.concurrency,
        hedging: HedgingConfig {
            at: config.storage_requests.hedge_at,
            up_to: config.storage_requests.hedge_up_to,
            max_per_second: config.storage_requests.hedge_max_per_second,
        },
        footer_cache_bytes: config.footer_cache_size.0,
        working_directory: Some(config.working_directory().into()),
    })
}

fn translate_s3(s3: config::S3) -> S3Config {
    S3Config {
        s3: s3.url,
        s3forcepathstyle: s3.force_path_style,
        bucketnames: s3.bucket,
        endpoint: s3.endpoint,
        region: s3.region,
        access_key_id: s3.access_key_id,
        secret_access_key: s3.secret_access_key,
        session_token: s3.session_token,
        insecure: s3.insecure,
        storage_class: s3.storage_class,
        sse_type: s3.sse_type,
        sse_kms_key_id: s3.sse_kms_key_id,
        http: HttpConfig {
            request_timeout: s3.requests.timeout,
            read_timeout: s3.requests.response_header_timeout,
            idle_conn_timeout: s3.requests.idle_conn_timeout,
            insecure_skip_verify: s3.requests.insecure_skip_verify,
            ca_file: s3.requests.ca_file.into(),
            ..HttpConfig::default()
        },
        backoff: BackoffConfig {
            min_period: s3.requests.min_backoff,
            max_period: s3.requests.max_backoff,
            max_retries: s3.requests.max_retries,
        },
    }
}
