//! The rings that this process looks at and lives in.
//!
//! Module `ring` opens the place where rings are kept and follows the rings of ingesters and
//! distributors. A role that lives in a ring joins it when it can serve, and leaves before the
//! listeners close, so that what it holds can be read until the end.

pub mod hand_over;
pub mod peers;

use std::net::{IpAddr, Ipv4Addr, SocketAddr};
use std::path::PathBuf;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use futures_util::future::BoxFuture;
use futures_util::future::join_all;
use hash_ring::store::{ConsulConfig, EtcdConfig, GossipConfig, open};
use hash_ring::{
    Environment, Lifecycler, LifecyclerConfig, Metrics, RingClient, RingConfig, RingStores,
    StoreConfig, TokenStrategy,
};
use parking_lot::Mutex;
use runtime::Failure;
use runtime::random::SystemRandom;
use runtime::service::Service;

use crate::app::App;
use crate::config::Config;
use crate::config::cluster::RingPlace;

/// Distributors and index gateways that stay silent are forgotten after so many times the timeout.
const FORGET_TIMEOUTS: u32 = 2;
/// Tokens of an index gateway.
const GATEWAY_TOKENS: usize = 128;

/// The rings of this process.
pub struct Rings {
    stores: Arc<dyn RingStores>,
    environment: Environment,
    ingesters: Arc<RingClient>,
    distributors: Arc<RingClient>,
    /// Followed where gateways are found in it.
    index_gateways: Option<Arc<RingClient>>,
    lives: Mutex<Vec<Life>>,
    /// This process in the ring of ingesters.
    ingester: OnceLock<Arc<Lifecycler>>,
}

/// This process in one ring.
struct Life {
    lifecycler: Arc<Lifecycler>,
    service: Service,
}

impl Rings {
    /// Opens the place where rings are kept and begins to follow them. `None` where rings are kept
    /// in this process alone, which then has nobody to share with.
    ///
    /// # Errors
    ///
    /// When the configuration makes no sense or the gossip port is taken.
    pub async fn open(app: &App, metrics: Metrics) -> Result<Option<Arc<Self>>, Failure> {
        let Some(config) = store_config(app)? else { return Ok(None) };
        let clock = Arc::clone(&app.clock);
        let environment = Environment { clock, random: Arc::new(SystemRandom), metrics };
        let stores = open(config, reqwest::Client::new(), environment.clone()).await?;
        let follow = |name: &str, config: &RingConfig| {
            RingClient::start(name, config, stores.ring(name), environment.clone())
        };
        let ingesters = follow("ingester", &ingester_ring(&app.config));
        let others = RingConfig {
            replication_factor: 1,
            heartbeat_timeout: app.config.ring.heartbeat_timeout,
            zone_aware: false,
        };
        let distributors = follow("distributor", &others);
        let in_ring = app.config.index_gateway.is_in_ring();
        let index_gateways = in_ring.then(|| follow("index-gateway", &others));
        let lives = Mutex::default();
        let ingester = OnceLock::new();
        Ok(Some(Arc::new(Self {
            stores,
            environment,
            ingesters,
            distributors,
            index_gateways,
            lives,
            ingester,
        })))
    }

    /// The ring of ingesters.
    #[must_use]
    pub fn ingesters(&self) -> &Arc<RingClient> {
        &self.ingesters
    }

    /// The ring of distributors.
    #[must_use]
    pub fn distributors(&self) -> &Arc<RingClient> {
        &self.distributors
    }

    /// The ring of index gateways, where they are found in one.
    #[must_use]
    pub fn index_gateways(&self) -> Option<&Arc<RingClient>> {
        self.index_gateways.as_ref()
    }

    /// Tells the time that heartbeats are compared with.
    #[must_use]
    pub fn now(&self) -> model::Timestamp {
        self.environment.clock.now()
    }

    /// This process in the ring of ingesters; `None` before it joined, and where it is none.
    #[must_use]
    pub fn ingester(&self) -> Option<&Arc<Lifecycler>> {
        self.ingester.get()
    }

    /// Joins the ring of ingesters. `hand_over` is what the ingester does before it goes.
    ///
    /// # Errors
    ///
    /// When the instance has no usable name or address, or could not register.
    pub async fn join_as_ingester<H>(&self, app: &App, hand_over: H) -> Result<(), Failure>
    where
        H: FnOnce(Arc<Lifecycler>) -> BoxFuture<'static, Result<(), Failure>> + Send + 'static,
    {
        let (common, own) = (&app.config.ring, &app.config.lifecycler);
        let file = if own.tokens_file.is_empty() { &common.tokens_file } else { &own.tokens_file };
        let count = if own.num_tokens == 0 { common.num_tokens } else { own.num_tokens };
        let ring = ingester_ring(&app.config);
        let config = LifecyclerConfig {
            id: app.instance_id().into(),
            address: address(app).into(),
            zone: zone(&app.config).into(),
            tokens: TokenStrategy::Random { count },
            token_file: (!file.is_empty()).then(|| PathBuf::from(file)),
            heartbeat_period: own.heartbeat_period,
            join_after: own.join_after,
            observe_period: own.observe_period,
            final_sleep: own.final_sleep,
            min_ready_duration: app.config.ingester.min_ready_duration,
            readiness_check_ring_health: own.readiness_check_ring_health,
            unregister_on_shutdown: own.unregister_on_shutdown,
            forget_after: own.autoforget_unhealthy.then_some(ring.heartbeat_timeout),
        };
        let lifecycler = Lifecycler::new(config, Arc::clone(&self.ingesters))?;
        let own = Arc::clone(&lifecycler);
        lifecycler.set_hand_over(move || hand_over(own));
        // Before it is PENDING for others, who may hand over at once.
        let _ = self.ingester.set(Arc::clone(&lifecycler));
        self.join(lifecycler).await
    }

    /// Joins the ring of distributors.
    ///
    /// # Errors
    ///
    /// As [`Self::join_as_ingester`].
    pub async fn join_as_distributor(&self, app: &App) -> Result<(), Failure> {
        self.join_without_hand_over(app, &self.distributors, 1).await
    }

    /// Joins the ring of index gateways, if there is one.
    ///
    /// # Errors
    ///
    /// As [`Self::join_as_ingester`].
    pub async fn join_as_index_gateway(&self, app: &App) -> Result<(), Failure> {
        match &self.index_gateways {
            Some(ring) => self.join_without_hand_over(app, ring, GATEWAY_TOKENS).await,
            None => Ok(()),
        }
    }

    async fn join_without_hand_over(
        &self,
        app: &App,
        ring: &Arc<RingClient>,
        tokens: usize,
    ) -> Result<(), Failure> {
        let common = &app.config.ring;
        let config = LifecyclerConfig {
            id: app.instance_id().into(),
            address: address(app).into(),
            tokens: TokenStrategy::Random { count: tokens },
            heartbeat_period: common.heartbeat_period,
            min_ready_duration: Duration::ZERO,
            readiness_check_ring_health: false,
            forget_after: Some(common.heartbeat_timeout * FORGET_TIMEOUTS),
            ..LifecyclerConfig::default()
        };
        self.join(Lifecycler::new(config, Arc::clone(ring))?).await
    }

    async fn join(&self, lifecycler: Arc<Lifecycler>) -> Result<(), Failure> {
        let service = lifecycler.service();
        service.start_and_await_running().await?;
        self.lives.lock().push(Life { lifecycler, service });
        Ok(())
    }

    /// Why this process is not ready as a member of its rings; `None` when it is.
    #[must_use]
    pub fn not_ready(&self) -> Option<String> {
        let lives = self.lives.lock();
        let why = lives.iter().find_map(|life| life.lifecycler.is_ready().err());
        why.map(|why| format!("Not ready: {why}"))
    }

    /// Leaves the ring of ingesters alone, as [`Self::leave`] does.
    pub async fn leave_as_ingester(&self) {
        let service = {
            let lives = self.lives.lock();
            let own = lives
                .iter()
                .find(|life| self.ingester().is_some_and(|own| Arc::ptr_eq(own, &life.lifecycler)));
            own.map(|life| life.service.clone())
        };
        if let Some(service) = service
            && let Err(error) = service.stop_and_await_terminated().await
        {
            tracing::warn!(error = %error, "leave the ring of ingesters");
        }
    }

    /// Leaves every ring: each role first hands over what it holds. Others can reach this process
    /// meanwhile.
    pub async fn leave(&self) {
        let lives = std::mem::take(&mut *self.lives.lock());
        let leave = lives.iter().map(|life| async move {
            if let Err(error) = life.service.stop_and_await_terminated().await {
                tracing::warn!(error = %error, "leave a ring");
            }
        });
        join_all(leave).await;
        self.stores.close().await;
    }
}

/// How the owners of streams are chosen.
fn ingester_ring(config: &Config) -> RingConfig {
    let own = &config.lifecycler;
    let heartbeat_timeout = if own.heartbeat_timeout.is_zero() {
        config.ring.heartbeat_timeout
    } else {
        own.heartbeat_timeout
    };
    RingConfig {
        replication_factor: config.replication_factor(),
        heartbeat_timeout,
        zone_aware: own.zone_aware || config.ring.zone_aware,
    }
}

/// The zone of this process.
pub(crate) fn zone(config: &Config) -> &str {
    let own = &config.lifecycler.zone;
    if own.is_empty() { &config.ring.zone } else { own }
}

fn store_config(app: &App) -> Result<Option<StoreConfig>, Failure> {
    let config = &app.config;
    let prefix = config.ring.prefix.clone();
    Ok(Some(match config.ring_place()? {
        RingPlace::InMemory => return Ok(None),
        RingPlace::Gossip => StoreConfig::Gossip(gossip(app)?),
        RingPlace::Etcd => {
            let etcd = &config.ring.etcd;
            let credentials =
                (!etcd.username.is_empty()).then(|| (etcd.username.clone(), etcd.password.clone()));
            let endpoints = etcd.endpoints.clone();
            StoreConfig::Etcd(EtcdConfig { endpoints, prefix, credentials, lease: None })
        }
        RingPlace::Consul => {
            let consul = &config.ring.consul;
            let acl_token = (!consul.acl_token.is_empty()).then(|| consul.acl_token.clone());
            let host = consul.host.clone();
            StoreConfig::Consul(ConsulConfig { host, prefix, acl_token, ..Default::default() })
        }
    }))
}

fn gossip(app: &App) -> Result<GossipConfig, Failure> {
    let settings = &app.config.memberlist;
    let host = settings.bind_addr.first().map_or("0.0.0.0", String::as_str);
    let host: IpAddr = host.parse().map_err(|_| crate::config::Problem {
        key: "memberlist.bind_addr".to_owned(),
        fault: format!("{host:?} is not an IP address"),
    })?;
    let defaults = GossipConfig::default();
    let or = |text: &str, default: String| {
        if text.is_empty() { default } else { text.to_owned() }
    };
    let advertise = match (settings.advertise_addr.as_str(), settings.advertise_port) {
        ("", 0) => None,
        ("", port) => Some(format!("{}:{port}", reachable(host))),
        (host, 0) => Some(host.to_owned()),
        (host, port) => Some(format!("{host}:{port}")),
    };
    Ok(GossipConfig {
        node: or(&settings.node_name, app.instance_id()),
        bind: SocketAddr::new(host, settings.bind_port),
        advertise,
        join: settings.join_members.clone(),
        cluster: or(&settings.cluster_label, defaults.cluster.clone()),
        ..defaults
    })
}

/// An address that others can use: nobody reaches "all interfaces".
fn reachable(host: IpAddr) -> IpAddr {
    if host.is_unspecified() { IpAddr::V4(Ipv4Addr::LOCALHOST) } else { host }
}

/// Where other processes reach the gRPC services of this one.
#[must_use]
pub fn address(app: &App) -> String {
    let config = &app.config;
    let named =
        [&config.lifecycler.address, &config.ring.instance_addr, &config.common.instance_addr];
    let listening = app.address();
    let host = named.into_iter().find(|address| !address.is_empty()).cloned();
    let host = host.unwrap_or_else(|| match listening.map(|address| address.ip()) {
        Some(ip) if !ip.is_unspecified() => ip.to_string(),
        _ => own_address().to_string(),
    });
    let ports = [config.lifecycler.port, config.ring.instance_port, config.server.grpc_listen_port];
    let port = ports.into_iter().find(|port| *port != 0);
    let port = port.or_else(|| listening.map(|address| address.port())).unwrap_or_default();
    if host.contains(':') { format!("[{host}]:{port}") } else { format!("{host}:{port}") }
}

/// The address of the interface that leads out of this machine. Nothing is sent to find it.
fn own_address() -> IpAddr {
    let probe = std::net::UdpSocket::bind((Ipv4Addr::UNSPECIFIED, 0)).and_then(|socket| {
        // An address that is reserved for documentation; connecting only picks a route.
        socket.connect((Ipv4Addr::new(192, 0, 2, 1), 9))?;
        socket.local_addr()
    });
    probe.map_or(IpAddr::V4(Ipv4Addr::LOCALHOST), |address| reachable(address.ip()))
}
