//! Module `distributor`: pushes.

use std::sync::Arc;

use distributor::{Config, Dependencies, Distributor, OneDistributor};
use runtime::Failure;
use runtime::service::Service;

use crate::app::App;
use crate::limits::{self, RoleLimits};
use crate::local::LocalAppender;

pub(super) fn build(app: &Arc<App>) -> Result<Service, Failure> {
    let dependencies = Dependencies {
        limits: Arc::new(RoleLimits::new(Arc::clone(&app.overrides), limits::distributor)),
        appender: Arc::new(LocalAppender::new(Arc::clone(app))),
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
