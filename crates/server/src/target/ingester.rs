//! Module `ingester`: recent entries. Starting replays the write-ahead log; stopping flushes.

use std::sync::Arc;
use std::time::Duration;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use hash_ring::Lifecycler;
use ingester::{Config, Dependencies, Ingester, Metrics, Replicas, Successors, WalSync};
use rpc::Pool;
use runtime::Failure;
use runtime::clock::Clock;
use runtime::random::SystemRandom;
use runtime::service::Service;
use segment::EncodeSettings;

use super::store::NoStore;
use crate::app::App;
use crate::config;
use crate::http::downscale::{self, read_only_marker, shutdown_marker};
use crate::limits::{self, RoleLimits};
use crate::remote::cluster::pool;
use crate::ring::hand_over::RingSuccessors;
use crate::ring::peers::StoringOrder;

pub(super) fn build(app: &Arc<App>) -> Result<Service, Failure> {
    let config = translate(app);
    let metrics = Metrics::register(&mut app.registry.lock());
    let (starting, stopping) = (Arc::clone(app), Arc::clone(app));
    let service = Service::builder("ingester")
        .starting(move |_| async move {
            let directory = config.wal_dir.display().to_string();
            if !starting.config.ingester.wal_enabled {
                tracing::warn!(
                    "ingester.wal.enabled is off: the log is not synced, and entries that were \
                     acknowledged are lost when the machine loses power before they are flushed"
                );
            }
            let dependencies = Dependencies {
                clock: Arc::clone(&starting.clock),
                random: Arc::new(SystemRandom),
                limits: Arc::new(RoleLimits::new(
                    Arc::clone(&starting.overrides),
                    limits::ingester,
                )),
                store: starting.parts.store.find().ok_or(NoStore)?,
                replicas: replicas(&starting),
                metrics,
            };
            let ingester = Ingester::open(config, dependencies).await?;
            let recent_bytes = ingester.memory_bytes();
            tracing::info!(
                directory,
                recent_bytes,
                "entries are logged before they are acknowledged"
            );
            starting.parts.ingester.fill(Arc::clone(&ingester));
            if let Some(rings) = starting.parts.rings.find() {
                let successors = successors(&starting)?;
                let leave = move |life| leave(ingester, life, successors);
                rings.join_as_ingester(&starting, leave).await?;
            }
            restore_marks(&starting).await;
            Ok(())
        })
        .stopping(move |_| async move {
            if let Some(ingester) = stopping.parts.ingester.find() {
                ingester.stop().await;
                if ingester.is_prepared() {
                    // The stop it speaks of has come.
                    let _ = tokio::fs::remove_file(shutdown_marker(&stopping.config)).await;
                }
            }
            Ok(())
        });
    Ok(service.build())
}

/// Who else stores what this ingester holds.
fn replicas(app: &App) -> Option<Arc<dyn Replicas>> {
    let rings = app.parts.rings.find().filter(|_| app.config.replication_factor() > 1)?;
    Some(Arc::new(StoringOrder::new(rings, app)))
}

/// Marks that operators set before a restart.
async fn restore_marks(app: &App) {
    let is_there = async |marker| tokio::fs::try_exists(&marker).await.unwrap_or(false);
    if is_there(shutdown_marker(&app.config)).await {
        downscale::prepare(app, true);
    }
    if is_there(read_only_marker(&app.config)).await
        && downscale::set_read_only(app, true).await.is_err()
    {
        tracing::warn!("the ring hears with the next heartbeat that this ingester is read-only");
    }
}

/// The way to ingesters that take over, and how often it is tried.
type Way = (Arc<Pool>, Arc<dyn Clock>, u32);

/// How successors are found; `None` where everything is flushed.
fn successors(app: &App) -> Result<Option<Way>, Failure> {
    let attempts = app.config.lifecycler.max_transfer_retries;
    if attempts == 0 {
        return Ok(None);
    }
    Ok(Some((pool(app)?, Arc::clone(&app.clock), attempts)))
}

/// Hands over, or stores everything; the ring sees to it that others have the time to notice. One
/// that keeps its place for the restart hands nothing over.
fn leave(
    ingester: Arc<Ingester>,
    life: Arc<Lifecycler>,
    way: Option<Way>,
) -> BoxFuture<'static, Result<(), Failure>> {
    async move {
        if !ingester.flushes_on_stop() {
            // The log keeps everything for the next start.
            ingester.set_read_only(true);
            return Ok(());
        }
        let way = way.filter(|_| life.unregisters_on_shutdown());
        let successors =
            way.map(|(pool, clock, attempts)| RingSuccessors::new(life, pool, clock, attempts));
        let successors = successors.as_ref().map(|successors| successors as &dyn Successors);
        Ok(ingester.leave(successors, Duration::ZERO).await?)
    }
    .boxed()
}

fn translate(app: &App) -> Config {
    let settings = &app.config.ingester;
    let flush_bytes = settings.flush_size.0;
    // One set of heads fills while the other is flushed. With replicas, two more wait for what others
    // store.
    let heads: u64 = if app.config.replication_factor() > 1 { 4 } else { 2 };
    Config {
        instance: app.instance_id(),
        wal_dir: app.config.wal_directory().into(),
        wal_sync: wal_sync(settings),
        flush_bytes,
        flush_on_stop: app.config.lifecycler.unregister_on_shutdown,
        memory_bytes_max: heads * flush_bytes,
        outage_bytes_max: settings.outage_memory.0,
        max_chunk_age: settings.max_chunk_age,
        chunk_idle_period: settings.chunk_idle_period,
        flush_check_period: settings.flush_check_period,
        encode: encode_settings(settings),
        ..Config::default()
    }
}

fn encode_settings(settings: &config::Ingester) -> EncodeSettings {
    if settings.line_columns { EncodeSettings::to_stay() } else { EncodeSettings::default() }
}

/// The text was checked when the configuration was read. Without a log entries are still written
/// to one, because that is how they get into memory; they are just never synced.
fn wal_sync(settings: &config::Ingester) -> WalSync {
    match config::wal_sync(&settings.wal_sync) {
        _ if !settings.wal_enabled => WalSync::Off,
        Ok(None) => WalSync::Off,
        Ok(Some(Duration::ZERO)) | Err(_) => WalSync::Always,
        Ok(Some(interval)) => WalSync::Interval(interval),
    }
}
