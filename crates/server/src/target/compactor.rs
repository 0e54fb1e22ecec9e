//! Module `compactor`: compaction, retention and deletion.

use std::sync::Arc;
use std::time::Duration;

use compactor::{Compactor, Config, Dependencies, Flush, Metrics};
use runtime::Failure;
use runtime::random::SystemRandom;
use runtime::service::Service;
use runtime::shutdown::Stop;
use runtime::task;

use super::store::NoStore;
use crate::app::App;
use crate::limits::{self, RoleLimits};
use crate::local::LocalFlush;
use crate::remote::flush::RemoteFlush;

/// Longest time between two looks at what has piled up.
const CHECK_INTERVAL_MAX: Duration = Duration::from_secs(15);
/// How often to look whether the ingester of this process has come up.
const INGESTER_WAIT: Duration = Duration::from_millis(50);

pub(super) fn build(app: &Arc<App>) -> Result<Service, Failure> {
    let config = translate(app);
    let metrics = Metrics::register(&mut app.registry.lock());
    let (starting, running) = (Arc::clone(app), Arc::clone(app));
    let service = Service::builder("compactor")
        .starting(move |_| async move {
            let dependencies = Dependencies {
                store: starting.parts.store.find().ok_or(NoStore)?,
                limits: Arc::new(RoleLimits::new(
                    Arc::clone(&starting.overrides),
                    limits::compactor,
                )),
                flush: flush(&starting),
                clock: Arc::clone(&starting.clock),
                random: Arc::new(SystemRandom),
                metrics,
            };
            starting.parts.compactor.fill(Compactor::new(config, dependencies));
            Ok(())
        })
        .running(move |stop| async move {
            await_ingester(&running, &stop).await;
            if let Some(compactor) = running.parts.compactor.find() {
                // A task of its own: a fault in it must not go unnoticed.
                let work = task::spawn("compactor", compactor.run(stop));
                work.await?;
            }
            Ok(())
        });
    Ok(service.build())
}

/// Flushes the ingesters of other processes, or of this one.
fn flush(app: &Arc<App>) -> Arc<dyn Flush> {
    match app.parts.cluster.find() {
        Some(cluster) => {
            let (peers, pool) = (Arc::clone(&cluster.peers), Arc::clone(&cluster.pool));
            Arc::new(RemoteFlush::new(peers, pool))
        }
        None => Arc::new(LocalFlush::new(Arc::clone(app))),
    }
}

/// Waits until the log of this process is replayed, which looks at segments that may be due to be
/// removed.
async fn await_ingester(app: &App, stop: &Stop) {
    let has_ingester = app.services().iter().any(|service| &**service.name() == "ingester");
    while has_ingester && app.parts.ingester.find().is_none() && !stop.is_requested() {
        tokio::select! {
            () = stop.requested() => {}
            () = app.clock.sleep(INGESTER_WAIT) => {}
        }
    }
}

fn translate(app: &App) -> Config {
    let settings = &app.config.compactor;
    Config {
        compaction_interval: settings.compaction_interval,
        check_interval: settings.compaction_interval.min(CHECK_INTERVAL_MAX),
        target_bytes: settings.target_size.0,
        grace: settings.superseded_delete_delay,
        retention_enabled: settings.retention_enabled,
        retention_delete_delay: settings.retention_delete_delay,
        retention_bytes: settings.retention_size.0,
        cancel_period: settings.delete_request_cancel_period,
        delete_max_interval: settings.delete_max_interval,
        ..Config::default()
    }
}
