//! Module `distributor`: pushes.

use std::sync::Arc;

use distributor::{
    Appender, Config, Dependencies, Distributor, Distributors, OneDistributor, ReplicatedAppender,
    ReplicatedConfig, ReplicatedDependencies,
};
use runtime::Failure;
use runtime::service::Service;

use crate::app::App;
use crate::limits::{self, RoleLimits};
use crate::local::LocalAppender;
use crate::remote::appender::TenantAppender;
use crate::ring::peers::{RingAppend, RingView};

pub(super) fn build(app: &Arc<App>) -> Result<Service, Failure> {
    let app = Arc::clone(app);
    let service = Service::builder("distributor").starting(move |_| async move {
        app.parts.distributor.fill(Arc::new(distributor(&app)));
        if let Some(rings) = app.parts.rings.find() {
            rings.join_as_distributor(&app).await?;
        }
        Ok(())
    });
    Ok(service.build())
}

fn distributor(app: &Arc<App>) -> Distributor {
    let rings = app.parts.rings.find();
    let shard_streams = rings.is_some();
    let distributors: Arc<dyn Distributors> = match rings {
        Some(rings) => Arc::new(RingView(rings, Arc::clone(&app.overrides))),
        None => Arc::new(OneDistributor),
    };
    let dependencies = Dependencies {
        limits: Arc::new(RoleLimits::new(Arc::clone(&app.overrides), limits::distributor)),
        appender: appender(app),
        distributors,
        clock: Arc::clone(&app.clock),
        registry: &mut app.registry.lock(),
    };
    Distributor::new(Config { shard_streams, ..Config::default() }, dependencies)
}

/// To a quorum of the ring, to one of some ingesters that are named, or to that of this process.
fn appender(app: &Arc<App>) -> Arc<dyn Appender> {
    let Some(cluster) = app.parts.cluster.find() else {
        return Arc::new(LocalAppender::new(Arc::clone(app)));
    };
    let pool = Arc::clone(&cluster.pool);
    let Some(rings) = app.parts.rings.find() else {
        return Arc::new(TenantAppender::new(Arc::clone(&cluster.peers), pool));
    };
    let config = ReplicatedConfig {
        remote_timeout: app.config.ingester_client.remote_timeout,
        ..ReplicatedConfig::default()
    };
    let dependencies = ReplicatedDependencies {
        ring: Arc::new(RingView(rings, Arc::clone(&app.overrides))),
        peers: Arc::new(RingAppend::new(Arc::clone(app), pool)),
        clock: Arc::clone(&app.clock),
    };
    Arc::new(ReplicatedAppender::new(config, dependencies))
}
