//! Module `query-scheduler`: the queue between frontends and queriers of other processes.

use std::sync::Arc;

use frontend::queue::QueueConfig;
use frontend::scheduler::SchedulerCore;
use runtime::Failure;
use runtime::service::Service;

use crate::app::App;
use crate::grpc::Scheduler;
use crate::limits::RoleLimits;
use crate::remote::scheduler::SchedulerOfCore;

pub(super) fn build(app: &Arc<App>) -> Result<Service, Failure> {
    let config = QueueConfig {
        max_outstanding_per_tenant: app.config.scheduler_max_outstanding,
        ..QueueConfig::default()
    };
    let metrics = app.query_path_metrics();
    let core = SchedulerCore::new(config, Arc::clone(&app.clock), metrics);
    let app = Arc::clone(app);
    let service = Service::builder("query-scheduler").starting(move |_| async move {
        let overrides = Arc::clone(&app.overrides);
        let max_queriers = RoleLimits::new(overrides, |limits| limits.max_queriers_per_tenant);
        let role = Arc::new(SchedulerOfCore::new(core, Arc::new(max_queriers)));
        app.parts.scheduler.fill(Arc::new(Scheduler(role)));
        Ok(())
    });
    Ok(service.build())
}
