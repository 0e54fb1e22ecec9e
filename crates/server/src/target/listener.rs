//! Module `server`: the listeners. It starts first, so that `/ready` can say how the others do.
//!
//! One port serves HTTP and gRPC; a second one serves gRPC alone where it is configured.

use std::io;
use std::sync::Arc;

use futures_util::future::join_all;
use parking_lot::Mutex;
use runtime::Failure;
use runtime::service::Service;

use crate::app::App;
use crate::credentials::{Credential, Credentials};
use crate::listener::{Listener, Speaks};
use crate::tls::ServerTls;

/// The address cannot be listened on.
#[derive(Debug, thiserror::Error)]
#[error("listen on {address}")]
struct BindError {
    address: String,
    source: io::Error,
}

pub(super) fn build(app: &Arc<App>) -> Result<Service, Failure> {
    let bound = Arc::new(Mutex::new(Vec::new()));
    let (starting, to_run, to_drain) = (Arc::clone(app), Arc::clone(&bound), Arc::clone(app));
    let service = Service::builder("server")
        .starting(move |_| async move {
            let listeners = bind_all(&starting).await?;
            *bound.lock() = listeners;
            Ok(())
        })
        .running(move |stop| async move {
            let listeners = std::mem::take(&mut *to_run.lock());
            let run = listeners.into_iter().map(|listener| listener.run(to_drain.drain.clone()));
            tokio::select! {
                _ = join_all(run) => {}
                // Nobody waits any longer for requests that are still under way.
                () = stop.requested() => {}
            }
            Ok(())
        });
    Ok(service.build())
}

async fn bind_all(app: &Arc<App>) -> Result<Vec<Listener>, Failure> {
    let settings = &app.config.server;
    if !app.config.credentials.0.is_empty() {
        // Before anybody can connect; the module starts once.
        let _ = app.credentials.set(Credentials::load(&app.process_credentials())?);
    }
    let tls = ServerTls::load(&settings.http_tls_config, "server.http_tls_config")?;
    let (host, port) = (&settings.http_listen_address, settings.http_listen_port);
    let http = bind(app, host, port, Speaks::Everything, tls).await?;
    app.set_address(http.address()?);
    let mut listeners = vec![http];
    if settings.grpc_listen_port != 0 {
        let tls = ServerTls::load(&settings.grpc_tls_config, "server.grpc_tls_config")?;
        let (host, port) = (&settings.grpc_listen_address, settings.grpc_listen_port);
        listeners.push(bind(app, host, port, Speaks::Grpc, tls).await?);
    }
    Ok(listeners)
}

impl App {
    /// The configured credentials, and the one of the other processes of the cluster.
    fn process_credentials(&self) -> Vec<Credential> {
        let mut credentials = self.config.credentials.0.clone();
        let token_file = self.config.process_token_file.clone();
        if !token_file.is_empty() {
            let tenants = vec!["*".to_owned()];
            credentials.push(Credential { token_file, tenants, ..Credential::default() });
        }
        credentials
    }
}

async fn bind(
    app: &Arc<App>,
    host: &str,
    port: u16,
    speaks: Speaks,
    tls: Option<ServerTls>,
) -> Result<Listener, Failure> {
    let host = if host.is_empty() { "0.0.0.0" } else { host };
    let address = format!("{host}:{port}");
    let listener = Listener::bind(Arc::clone(app), &address, speaks, tls);
    Ok(listener.await.map_err(|source| BindError { address, source })?)
}
