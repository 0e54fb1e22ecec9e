//! Module `server`: the HTTP listener. It starts first, so that `/ready` can say how the others do.

use std::io;
use std::sync::Arc;

use parking_lot::Mutex;
use runtime::Failure;
use runtime::service::Service;

use crate::app::App;
use crate::listener::Listener;

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("listen on {address}")]
struct BindError {
    address: String,
    source: io::Error,
}

pub(super) fn build(app: &Arc<App>) -> Result<Service, Failure> {
    let bound = Arc::new(Mutex::new(None));
    let (starting, to_run, to_drain) = (Arc::clone(app), Arc::clone(&bound), Arc::clone(app));
    let service = Service::builder("server")
        .starting(move |_| async move {
            *bound.lock() = Some(bind(&starting).await?);
            Ok(())
        })
        .running(move |stop| async move {
            let listener = to_run.lock().take();
            if let Some(listener) = listener {
                tokio::select! {
                    () = listener.run(to_drain.drain.clone()) => {}
                    // Nobody waits any longer for requests that are still under way.
                    () = stop.requested() => {}
                }
            }
            Ok(())
        });
    Ok(service.build())
}

async fn bind(app: &Arc<App>) -> Result<Listener, Failure> {
    let settings = &app.config.server;
    let host = match settings.http_listen_address.as_str() {
        "" => "0.0.0.0",
        host => host,
    };
    let address = format!("{host}:{}", settings.http_listen_port);
    let listener = Listener::bind(Arc::clone(app), &address)
        .await
        .map_err(|source| BindError { address, source })?;
    app.set_address(listener.address()?);
    Ok(listener)
}
