//! Connections to other processes, one for each address.
//!
//! A connection is made when it is first needed and again when it broke. A process that cannot be
//! reached is left alone for a while, longer after each failure, so that callers with a choice turn
//! to another one at once instead of waiting for a timeout each time.

use std::sync::Arc;
use std::time::Duration;

use futures_util::future::{Either, select};
use model::ErrorKind;
use parking_lot::Mutex;
use runtime::backoff::{Backoff, BackoffPolicy};
use runtime::clock::Clock;
use runtime::random::Random;
use tonic::codegen::InterceptedService;
use tonic::metadata::{Ascii, MetadataValue};
use tonic::service::Interceptor;
use tonic::transport::{Certificate, Channel, ClientTlsConfig, Endpoint, Identity};
use tonic::{Request, Status};

use crate::MESSAGE_BYTES_MAX;
use crate::error::Error;

/// How connections are made and kept.
#[derive(Clone)]
pub struct PoolConfig {
    /// How long making a connection may take.
    pub connect_timeout: Duration,
    /// How often a silent connection is asked whether it still works.
    pub keepalive_interval: Duration,
    /// How long that answer may take.
    pub keepalive_timeout: Duration,
    /// How long one question may take.
    pub call_timeout: Duration,
    /// How long an unreachable process is left alone: from this after the first failure to `max`.
    pub backoff: BackoffPolicy,
    /// Largest message, in bytes.
    pub message_bytes_max: usize,
    /// How to encrypt; `None` for plain text.
    pub tls: Option<Tls>,
    /// What to send as `authorization`.
    pub authorization: Option<String>,
}

impl Default for PoolConfig {
    fn default() -> Self {
        Self {
            connect_timeout: Duration::from_secs(5),
            keepalive_interval: Duration::from_secs(20),
            keepalive_timeout: Duration::from_secs(10),
            call_timeout: Duration::from_secs(10),
            backoff: BackoffPolicy {
                min: Duration::from_millis(50),
                max: Duration::from_secs(2),
                retries_max: u32::MAX,
            },
            message_bytes_max: MESSAGE_BYTES_MAX,
            tls: None,
            authorization: None,
        }
    }
}

/// How to encrypt and whom to trust. All as PEM.
#[derive(Clone, Default)]
pub struct Tls {
    /// Certificates of authorities.
    pub authorities: Vec<u8>,
    /// The own certificate and its key, for servers that ask for one.
    pub identity: Option<(Vec<u8>, Vec<u8>)>,
    /// The name in the server's certificate when it is not the address's host.
    pub server_name: Option<String>,
}

/// Connections by address.
pub struct Pool {
    shared: Arc<Shared>,
    /// Few: one for each process of the cluster.
    peers: Mutex<Vec<Arc<Peer>>>,
}

struct Shared {
    config: PoolConfig,
    authorization: Option<MetadataValue<Ascii>>,
    clock: Arc<dyn Clock>,
    random: Arc<dyn Random>,
}

impl Pool {
    /// A pool without connections.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] when the authorization cannot be sent.
    pub fn new(
        config: PoolConfig,
        clock: Arc<dyn Clock>,
        random: Arc<dyn Random>,
    ) -> Result<Arc<Self>, Error> {
        let authorization = config.authorization.as_ref().map(|text| text.parse()).transpose();
        let authorization = authorization
            .map_err(|_| Error::new(ErrorKind::Invalid, "the authorization is not a header"))?;
        let shared = Arc::new(Shared { config, authorization, clock, random });
        Ok(Arc::new(Self { shared, peers: Mutex::default() }))
    }

    /// The process at an address, `host:port`. Connects when it is first asked something.
    ///
    /// # Errors
    ///
    /// [`ErrorKind::Invalid`] when it is no address, or the encryption's files are not usable.
    pub fn peer(&self, address: &str) -> Result<Arc<Peer>, Error> {
        let mut peers = self.peers.lock();
        if let Some(peer) = peers.iter().find(|peer| &*peer.address == address) {
            return Ok(Arc::clone(peer));
        }
        let peer = Arc::new(Peer::new(address, Arc::clone(&self.shared))?);
        peers.push(Arc::clone(&peer));
        Ok(peer)
    }

    /// Forgets the processes at all other addresses; calls under way go on.
    pub fn retain(&self, addresses: &[&str]) {
        self.peers.lock().retain(|peer| addresses.contains(&&*peer.address));
    }

    /// What measures waits.
    #[must_use]
    pub fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.clock
    }
}

/// Another process.
pub struct Peer {
    address: Arc<str>,
    channel: Channel,
    shared: Arc<Shared>,
    rest: Mutex<Rest>,
}

/// How long a process that cannot be reached is left alone.
struct Rest {
    backoff: Backoff,
    until: Option<Duration>,
    why: String,
}

/// A channel that says who calls.
pub(crate) type Calls = InterceptedService<Channel, Introduce>;

/// Adds the authorization to calls.
#[derive(Clone)]
pub(crate) struct Introduce(Option<MetadataValue<Ascii>>);

impl Interceptor for Introduce {
    fn call(&mut self, mut request: Request<()>) -> Result<Request<()>, Status> {
        if let Some(authorization) = &self.0 {
            request.metadata_mut().insert("authorization", authorization.clone());
        }
        Ok(request)
    }
}

impl Peer {
    fn new(address: &str, shared: Arc<Shared>) -> Result<Self, Error> {
        let config = &shared.config;
        let invalid = |error: tonic::transport::Error| {
            let cause = std::error::Error::source(&error).map(ToString::to_string);
            let text =
                format!("{error}{}", cause.map(|cause| format!(": {cause}")).unwrap_or_default());
            Error::new(ErrorKind::Invalid, text).at(address)
        };
        let scheme = if config.tls.is_some() { "https" } else { "http" };
        let mut endpoint = Endpoint::from_shared(format!("{scheme}://{address}"))
            .and_then(|endpoint| endpoint.user_agent("sigyn"))
            .map_err(invalid)?
            .connect_timeout(config.connect_timeout)
            .http2_keep_alive_interval(config.keepalive_interval)
            .keep_alive_timeout(config.keepalive_timeout)
            .keep_alive_while_idle(true)
            .http2_adaptive_window(true)
            .tcp_nodelay(true);
        if let Some(tls) = &config.tls {
            let mut client =
                ClientTlsConfig::new().ca_certificate(Certificate::from_pem(&tls.authorities));
            if let Some((certificate, key)) = &tls.identity {
                client = client.identity(Identity::from_pem(certificate, key));
            }
            if let Some(name) = &tls.server_name {
                client = client.domain_name(name);
            }
            endpoint = endpoint.tls_config(client).map_err(invalid)?;
        }
        let backoff = Backoff::new(config.backoff);
        Ok(Self {
            address: address.into(),
            channel: endpoint.connect_lazy(),
            shared,
            rest: Mutex::new(Rest { backoff, until: None, why: String::new() }),
        })
    }

    /// Where it is.
    #[must_use]
    pub fn address(&self) -> &Arc<str> {
        &self.address
    }

    /// Whether it was reached when it was last asked, or its rest is over.
    #[must_use]
    pub fn may_be_asked(&self) -> bool {
        self.resting().is_none()
    }

    /// How long one question may take.
    #[must_use]
    pub fn call_timeout(&self) -> Duration {
        self.shared.config.call_timeout
    }

    /// What measures waits.
    pub(crate) fn clock(&self) -> &Arc<dyn Clock> {
        &self.shared.clock
    }

    pub(crate) fn calls(&self) -> Calls {
        InterceptedService::new(self.channel.clone(), Introduce(self.shared.authorization.clone()))
    }

    /// Bytes of the largest message that is sent to the process or taken from it.
    #[must_use]
    pub fn message_bytes_max(&self) -> usize {
        self.shared.config.message_bytes_max
    }

    fn resting(&self) -> Option<Error> {
        let rest = self.rest.lock();
        let left = rest.until?.checked_sub(self.shared.clock.monotonic())?;
        let error = Error::unreached(format!("not asked, because before: {}", rest.why));
        (!left.is_zero()).then(|| error.retry_after(Some(left)))
    }

    /// Makes a call, for as long as it may take; notes whether the process was reached.
    ///
    /// # Errors
    ///
    /// What the call answers, or [`Error::unreached`] when it took too long or the process rests.
    pub(crate) async fn ask<T>(
        &self,
        patience: Duration,
        call: impl Future<Output = Result<T, Status>>,
    ) -> Result<T, Error> {
        if let Some(error) = self.resting() {
            return Err(error.at(&self.address));
        }
        let late = self.shared.clock.sleep(patience);
        futures_util::pin_mut!(call);
        let outcome = match select(call, late).await {
            Either::Left((outcome, _)) => outcome.map_err(Error::from),
            Either::Right(_) => Err(Error::unreached(format!("no answer within {patience:?}"))),
        };
        self.note(outcome.as_ref().err());
        outcome.map_err(|error| error.at(&self.address))
    }

    /// Remembers whether the process could be reached.
    pub(crate) fn note(&self, error: Option<&Error>) {
        let mut rest = self.rest.lock();
        match error.filter(|error| !error.is_answered) {
            None => {
                rest.backoff.reset();
                rest.until = None;
            }
            Some(error) => {
                let now = self.shared.clock.monotonic();
                // Callers that failed together are one failure.
                if rest.until.is_none_or(|until| until <= now) {
                    let wait = rest.backoff.next_wait(&*self.shared.random).unwrap_or_default();
                    rest.until = Some(now + wait);
                }
                rest.why.clone_from(&error.message);
            }
        }
    }
}

impl std::fmt::Debug for Peer {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_tuple("Peer").field(&self.address).finish()
    }
}
