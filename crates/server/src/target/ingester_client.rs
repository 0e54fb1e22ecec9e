//! Module `ingester-client`: connections to the ingesters of other processes, where there are any.

use std::sync::Arc;

use runtime::Failure;
use runtime::service::Service;

use crate::app::App;
use crate::config::Problem;
use crate::remote::cluster::Cluster;

pub(super) fn build(app: &Arc<App>) -> Result<Service, Failure> {
    if app.config.ingester.addresses.is_empty() {
        if !app.routes().serves("ingester") {
            let fault = "this process runs no ingester: name the gRPC addresses of those to use, \
                         as host:port";
            let (key, fault) = ("ingester.addresses".to_owned(), fault.to_owned());
            return Err(Problem { key, fault }.into());
        }
    } else {
        app.parts.cluster.fill(Arc::new(Cluster::open(app)?));
    }
    Ok(Service::builder("ingester-client").build())
}
