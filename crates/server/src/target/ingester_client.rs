//! Module `ingester-client`: connections to the ingesters of other processes, where there are any.

use std::sync::Arc;

use runtime::Failure;
use runtime::service::Service;

use crate::app::App;
use crate::config::Problem;
use crate::config::cluster::RingPlace;
use crate::remote::cluster::Cluster;

pub(super) fn build(app: &Arc<App>) -> Result<Service, Failure> {
    let has_ring = app.config.ring_place()? != RingPlace::InMemory;
    let is_alone = app.config.ingester.addresses.is_empty() && !has_ring;
    let uses = ["distributor", "querier", "compactor"].iter().any(|m| app.routes().serves(m));
    if is_alone && uses && !app.routes().serves("ingester") {
        let fault = "this process runs no ingester: keep a ring (common.ring.kvstore.store), or name \
                     the gRPC addresses of the ingesters to use, as host:port";
        let (key, fault) = ("ingester.addresses".to_owned(), fault.to_owned());
        return Err(Problem { key, fault }.into());
    }
    let app = Arc::clone(app);
    let service = Service::builder("ingester-client").starting(move |_| async move {
        if !is_alone {
            app.parts.cluster.fill(Arc::new(Cluster::open(&app)?));
        }
        Ok(())
    });
    Ok(service.build())
}
