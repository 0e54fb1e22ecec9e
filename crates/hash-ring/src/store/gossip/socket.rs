//! The UDP socket: bound before gossip begins, so that its port is known, and never given up.

use std::net::SocketAddr;
use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use chitchat::transport::{RecvOutcome, SendOutcome, Socket, Transport, UdpSocket};
use chitchat::{ChitchatEnvelope, ChitchatMessage};
use futures_util::future::BoxFuture;
use parking_lot::Mutex;
use runtime::clock::Clock;

use super::super::Environment;
use super::super::trouble::Trouble;
use super::{GossipConfig, failed};
use crate::Error;

/// A socket that fails to receive is tried again after this.
const RECEIVE_AGAIN_AFTER: Duration = Duration::from_millis(200);

/// A bound socket, handed over once.
pub(super) struct Opened {
    socket: Mutex<Option<Box<dyn Socket>>>,
    address: SocketAddr,
}

impl Opened {
    pub(super) async fn bind(
        config: &GossipConfig,
        environment: &Environment,
    ) -> Result<Self, Error> {
        let inner =
            UdpSocket::open(config.bind).await.map_err(|error| failed(format!("{error:#}")))?;
        let address = inner.local_addr().map_err(failed)?;
        let socket: Box<dyn Socket> = Box::new(PatientSocket {
            inner,
            cluster: config.cluster.clone(),
            has_met_strangers: AtomicBool::default(),
            clock: Arc::clone(&environment.clock),
            sending: Trouble::new("gossip", &environment.metrics),
            receiving: Trouble::new("gossip", &environment.metrics),
        });
        Ok(Self { socket: Mutex::new(Some(socket)), address })
    }

    /// Where it listens.
    pub(super) fn address(&self) -> SocketAddr {
        self.address
    }
}

impl Transport for Opened {
    fn open<'life0, 'async_trait>(
        &'life0 self,
        _: SocketAddr,
    ) -> BoxFuture<'async_trait, anyhow::Result<Box<dyn Socket>>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        let socket = self.socket.lock().take();
        let socket = socket.ok_or_else(|| anyhow::Error::msg("the socket is in use"));
        Box::pin(std::future::ready(socket))
    }
}

/// A cut network or a full buffer must not end the gossip: what is lost is said again.
struct PatientSocket {
    inner: UdpSocket,
    cluster: String,
    has_met_strangers: AtomicBool,
    clock: Arc<dyn Clock>,
    sending: Trouble,
    receiving: Trouble,
}

impl PatientSocket {
    /// Says once that processes of another cluster gossip with this one.
    fn look_at(&self, received: &RecvOutcome) {
        let is_strange = match &received.envelope.message {
            ChitchatMessage::Syn { cluster_id, .. } => *cluster_id != self.cluster,
            ChitchatMessage::BadCluster => true,
            ChitchatMessage::SynAck { .. } | ChitchatMessage::Ack { .. } => false,
        };
        if is_strange && !self.has_met_strangers.swap(true, Ordering::Relaxed) {
            let (from, cluster) = (received.from_addr, &self.cluster);
            tracing::warn!(%from, cluster, "a process of another cluster gossips with this one");
        }
    }
}

impl Socket for PatientSocket {
    fn local_addr(&self) -> anyhow::Result<SocketAddr> {
        self.inner.local_addr()
    }

    fn send<'life0, 'async_trait>(
        &'life0 mut self,
        to: SocketAddr,
        envelope: ChitchatEnvelope,
    ) -> BoxFuture<'async_trait, anyhow::Result<SendOutcome>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            match self.inner.send(to, envelope).await {
                Ok(sent) => {
                    self.sending.succeeded("send", "");
                    Ok(sent)
                }
                Err(error) => {
                    self.sending.failed("send", "", &format!("{error:#}"));
                    Ok(SendOutcome { num_bytes_sent: 0 })
                }
            }
        })
    }

    fn recv<'life0, 'async_trait>(
        &'life0 mut self,
    ) -> BoxFuture<'async_trait, anyhow::Result<RecvOutcome>>
    where
        'life0: 'async_trait,
        Self: 'async_trait,
    {
        Box::pin(async move {
            loop {
                match self.inner.recv().await {
                    Ok(received) => {
                        self.receiving.succeeded("receive", "");
                        self.look_at(&received);
                        return Ok(received);
                    }
                    Err(error) => {
                        self.receiving.failed("receive", "", &format!("{error:#}"));
                        self.clock.sleep(RECEIVE_AGAIN_AFTER).await;
                    }
                }
            }
        })
    }
}
