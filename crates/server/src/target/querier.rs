//! Module `querier`: queries over recent entries and segments.

use std::sync::Arc;

use querier::{Config, Dependencies, Metrics, Querier, Recent, Unreadable};
use runtime::Failure;
use runtime::service::Service;
use store::Store;

use super::store::NoStore;
use crate::app::App;
use crate::limits::{self, RoleLimits};
use crate::local::LocalRecent;
use crate::remote::recent::{Partial, RemoteRecent};

pub(super) fn build(app: &Arc<App>) -> Result<Service, Failure> {
    let config = translate(app);
    let metrics = Metrics::register(&mut app.registry.lock());
    let app = Arc::clone(app);
    let service = Service::builder("querier").starting(move |_| async move {
        let query_memory = app.config.querier.query_memory.0;
        let retention_enabled = app.config.compactor.retention_enabled;
        let translate = move |limits: &_| limits::querier(limits, query_memory, retention_enabled);
        let store = app.parts.store.find().ok_or(NoStore)?;
        let dependencies = Dependencies {
            recent: recent(&app, &store),
            store,
            limits: Arc::new(RoleLimits::new(Arc::clone(&app.overrides), translate)),
            clock: Arc::clone(&app.clock),
            metrics,
        };
        app.parts.querier.fill(Querier::new(config, dependencies));
        Ok(())
    });
    Ok(service.build())
}

/// The heads of other processes, or of this one.
fn recent(app: &Arc<App>, store: &Arc<Store>) -> Arc<dyn Recent> {
    let Some(cluster) = app.parts.cluster.find() else {
        return Arc::new(LocalRecent::new(Arc::clone(app)));
    };
    let partial = if app.config.querier.partial_answers { Partial::Warn } else { Partial::Fail };
    let (peers, pool) = (Arc::clone(&cluster.peers), Arc::clone(&cluster.pool));
    Arc::new(RemoteRecent::new(peers, pool, Arc::clone(store), partial))
}

fn translate(app: &App) -> Config {
    let config = &app.config;
    let threads = std::thread::available_parallelism().map_or(1, std::num::NonZero::get);
    Config {
        max_concurrent: config.querier.max_concurrent,
        max_waiting: config.frontend.max_outstanding_per_tenant,
        threads_per_query: threads,
        unreadable: if config.querier.partial_answers {
            Unreadable::Warn
        } else {
            Unreadable::Fail
        },
        multi_tenant: config.querier.multi_tenant_queries_enabled,
        patterns: config.pattern_ingester_enabled,
    }
}
