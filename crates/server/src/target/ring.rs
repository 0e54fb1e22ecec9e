//! Module `ring`: the rings of the cluster, where this process is one of several.

use std::sync::Arc;

use hash_ring::Metrics;
use runtime::Failure;
use runtime::service::Service;

use crate::app::App;
use crate::ring::Rings;

pub(super) fn build(app: &Arc<App>) -> Result<Service, Failure> {
    let metrics = Metrics::register(&mut app.registry.lock());
    let (starting, stopping) = (Arc::clone(app), Arc::clone(app));
    let service = Service::builder("ring")
        .starting(move |_| async move {
            if let Some(rings) = Rings::open(&starting, metrics).await? {
                starting.parts.rings.fill(rings);
            }
            Ok(())
        })
        .stopping(move |_| async move {
            // Usually done already, while others could still reach this process.
            if let Some(rings) = stopping.parts.rings.find() {
                rings.leave().await;
            }
            Ok(())
        });
    Ok(service.build())
}
