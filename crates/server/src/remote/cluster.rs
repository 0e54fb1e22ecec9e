//! The other processes of the cluster, as this one reaches them.

use std::fs;
use std::sync::Arc;

use rpc::{Error, Pool, PoolConfig, Tls};
use runtime::random::SystemRandom;

use super::peers::{FixedPeers, Peers, RingPeers};
use crate::app::App;
use crate::config::{IngesterClient, Problem};
use crate::credentials::secret;

/// Who the other processes are, and the connections to them.
pub struct Cluster {
    /// The ingesters.
    pub peers: Arc<dyn Peers>,
    /// Connections.
    pub pool: Arc<Pool>,
}

impl Cluster {
    /// The processes that the configuration names. Connects when they are first needed.
    ///
    /// # Errors
    ///
    /// A [`Problem`] when an address is none or a file of certificates cannot be used.
    pub fn open(app: &App) -> Result<Self, Problem> {
        let pool = pool(app)?;
        if let Some(rings) = app.parts.rings.find() {
            let ring = move || rings.ingesters().ring();
            let peers = Arc::new(RingPeers::new(ring, Arc::clone(&app.clock)));
            return Ok(Self { peers, pool });
        }
        let peers = Arc::new(FixedPeers::new(&app.config.ingester.addresses));
        // Connecting happens later; what can be wrong with the text and the files shows now.
        for address in peers.everyone() {
            pool.peer(&address).map_err(problem)?;
        }
        Ok(Self { peers, pool })
    }
}

fn problem(error: Error) -> Problem {
    Problem { key: "ingester.addresses".to_owned(), fault: error.to_string() }
}

/// Connections to other processes, as the configuration makes them; one pool for the whole process.
///
/// # Errors
///
/// A [`Problem`] when a file of certificates or the token cannot be used.
pub fn pool(app: &App) -> Result<Arc<Pool>, Problem> {
    if let Some(pool) = app.parts.pool.find() {
        return Ok(pool);
    }
    let mut config = pool_config(&app.config.ingester_client)?;
    let token_file = &app.config.process_token_file;
    if !token_file.is_empty() {
        let token = secret(token_file).map_err(|fault| Problem {
            key: "authentication.process_token_file".to_owned(),
            fault,
        })?;
        config.authorization = Some(format!("Bearer {token}"));
    }
    let pool = Pool::new(config, Arc::clone(&app.clock), Arc::new(SystemRandom));
    let pool = pool.map_err(problem)?;
    app.parts.pool.fill(Arc::clone(&pool));
    // Of two modules that start at once, one has filled the place.
    Ok(app.parts.pool.find().unwrap_or(pool))
}

fn pool_config(settings: &IngesterClient) -> Result<PoolConfig, Problem> {
    let read = |key: &str, file: &str| {
        fs::read(file).map_err(|error| Problem {
            key: format!("ingester_client.grpc_client_config.{key}"),
            fault: format!("read {file}: {error}"),
        })
    };
    let tls = if settings.tls_enabled {
        let identity = if settings.tls_cert_path.is_empty() {
            None
        } else {
            let certificate = read("tls_cert_path", &settings.tls_cert_path)?;
            Some((certificate, read("tls_key_path", &settings.tls_key_path)?))
        };
        let server_name = &settings.tls_server_name;
        Some(Tls {
            authorities: read("tls_ca_path", &settings.tls_ca_path)?,
            identity,
            server_name: (!server_name.is_empty()).then(|| server_name.clone()),
        })
    } else {
        None
    };
    Ok(PoolConfig {
        connect_timeout: settings.connect_timeout,
        call_timeout: settings.remote_timeout,
        message_bytes_max: usize::try_from(settings.max_recv_msg_size).unwrap_or(usize::MAX),
        tls,
        ..PoolConfig::default()
    })
}
