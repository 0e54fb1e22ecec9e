//! Module `index-gateway`: the catalog and footers for queriers that keep none.
//!
//! The service itself is the store of this process behind gRPC ([`crate::grpc`]); here the process
//! joins the ring in which queriers look for gateways, where they do.

use std::sync::Arc;

use runtime::Failure;
use runtime::service::Service;

use crate::app::App;
use crate::config::Problem;
use crate::config::cluster::RingPlace;

pub(super) fn build(app: &Arc<App>) -> Result<Service, Failure> {
    check_ring(app)?;
    let app = Arc::clone(app);
    let service = Service::builder("index-gateway").starting(move |_| async move {
        match app.parts.rings.find() {
            Some(rings) if app.config.index_gateway.is_in_ring() => {
                rings.join_as_index_gateway(&app).await
            }
            _ => Ok(()),
        }
    });
    Ok(service.build())
}

/// Gateways that are to be found in a ring need one.
pub(super) fn check_ring(app: &App) -> Result<(), Problem> {
    if app.config.index_gateway.is_in_ring() && app.config.ring_place()? == RingPlace::InMemory {
        let fault = "there is no ring: keep one (common.ring.kvstore.store), or use simple";
        let (key, fault) = ("index_gateway.mode".to_owned(), fault.to_owned());
        return Err(Problem { key, fault });
    }
    Ok(())
}
