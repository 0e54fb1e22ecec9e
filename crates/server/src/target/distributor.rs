//! Module `distributor`: pushes.

use std::sync::Arc;

use distributor::{Appender, Config, Dependencies, Distributor, OneDistributor};
use runtime::Failure;
use runtime::service::Service;

use crate::app::App;
use crate::limits::{self, RoleLimits};
use crate::local::LocalAppender;
use crate::remote::appender::TenantAppender;

pub(super) fn build(app: &Arc<App>) -> Result<Service, Failure> {
    let appender: Arc<dyn Appender> = match app.parts.cluster.find() {
        Some(cluster) => {
            let (peers, pool) = (Arc::clone(&cluster.peers), Arc::clone(&cluster.pool));
            Arc::new(TenantAppender::new(peers, pool))
        }
        None => Arc::new(LocalAppender::new(Arc::clone(app))),
    };
    let dependencies = Dependencies {
        limits: Arc::new(RoleLimits::new(Arc::clone(&app.overrides), limits::distributor)),
        appender,
        distributors: Arc::new(OneDistributor),
        clock: Arc::clone(&app.clock),
        registry: &mut app.registry.lock(),
    };
    let distributor = Arc::new(Distributor::new(Config::default(), dependencies));
    let app = Arc::clone(app);
    let service = Service::builder("distributor").starting(move |_| async move {
        app.parts.distributor.fill(distributor);
        Ok(())
    });
    Ok(service.build())
}
