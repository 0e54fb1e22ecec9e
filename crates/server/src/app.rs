//! The process: what all modules and handlers share, and its life from start to stop.
//!
//! [`App`] is built once from a configuration. [`App::run`] starts the modules of the configured
//! targets, waits for a reason to stop, and stops in order: `/ready` says no, no new connections,
//! requests under way are answered, then the modules stop, dependants first.

mod life;
mod parts;

use std::fs;
use std::net::SocketAddr;
use std::sync::atomic::{AtomicBool, Ordering};
use std::sync::{Arc, OnceLock};

use api::otlp::OtlpConfig;
use http::Method;
use model::{TenantId, Timestamp};
use parking_lot::Mutex;
use runtime::clock::Clock;
use runtime::service::{Manager, Service};
use runtime::shutdown::Stop;
use runtime::telemetry::{LogHandle, Registry};

use crate::config::Config;
use crate::config::overrides::Overrides;
use crate::credentials::Credentials;
use crate::http::metrics::HttpMetrics;
use crate::http::push::PushBudget;
use crate::http::routes::{self, Routes};
use crate::http::tail::Tails;
use crate::http::tenant::Authentication;
use crate::limits::{self, RoleLimits};
use crate::process::ProcessCollector;
use crate::version;
pub use life::Readiness;
pub use parts::{Parts, Slot};

/// What modules and handlers share.
pub struct App {
    /// The configuration in force.
    pub config: Config,
    /// The time.
    pub clock: Arc<dyn Clock>,
    /// How much is logged.
    pub log: LogHandle,
    /// All metrics of the process.
    pub registry: Mutex<Registry>,
    /// Metrics of requests.
    pub http_metrics: HttpMetrics,
    /// How tenants are recognised.
    pub authentication: Authentication,
    /// Who may speak for which tenants; set before the first request where that is configured.
    pub credentials: OnceLock<Credentials>,
    /// The limits of tenants.
    pub overrides: Arc<Overrides>,
    /// What becomes of OTLP attributes, by tenant.
    pub otlp_config: RoleLimits<OtlpConfig>,
    /// Memory for push bodies.
    pub push_budget: Arc<PushBudget>,
    /// The open tails.
    pub tails: Tails,
    /// The roles, each present once its module runs.
    pub parts: Parts,
    /// When the process started.
    pub started: Timestamp,
    /// Asks the process to end.
    pub stop: Stop,
    /// Asks the listener to accept nothing more.
    pub drain: Stop,
    address: OnceLock<SocketAddr>,
    routes: Routes,
    manager: OnceLock<Manager>,
    healthy_since: OnceLock<std::time::Duration>,
    query_path_metrics: OnceLock<frontend::Metrics>,
    names: Names,
    /// Whether the ingester was asked to stop, be it alone.
    ingester_shutdown: AtomicBool,
}

/// Label values that requests share.
struct Names {
    methods: Vec<(Method, Arc<str>)>,
    other_method: Arc<str>,
    nothing: Arc<str>,
}

impl App {
    /// A process that has not started yet, made of these modules.
    #[must_use]
    pub fn new(
        config: Config,
        clock: Arc<dyn Clock>,
        log: LogHandle,
        modules: &[&str],
    ) -> Arc<Self> {
        let routes = Routes::new(&config.server.http_path_prefix, routes::table(), modules);
        Self::with_routes(config, clock, log, routes)
    }

    /// A process that has not started yet, with these routes.
    #[must_use]
    pub fn with_routes(
        config: Config,
        clock: Arc<dyn Clock>,
        log: LogHandle,
        routes: Routes,
    ) -> Arc<Self> {
        let mut registry = Registry::default();
        version::register(&mut registry);
        registry.register_collector(Box::new(ProcessCollector { started: clock.now() }));
        let http_metrics =
            HttpMetrics::register(&mut registry, config.server.http_listen_conn_limit);
        let everybody = (!config.auth_enabled).then(|| {
            TenantId::new(&config.no_auth_tenant).unwrap_or_else(|_| TenantId::anonymous())
        });
        let allows_several = config.querier.multi_tenant_queries_enabled;
        let inflight = config.distributor.max_inflight_bytes.0;
        let overrides = Arc::new(Overrides::new(&config));
        let index_labels = config.distributor.otlp_index_labels.clone();
        let otlp = move |limits: &_| limits::otlp(limits, &index_labels);
        Arc::new(Self {
            otlp_config: RoleLimits::new(Arc::clone(&overrides), otlp),
            overrides,
            authentication: Authentication { everybody, allows_several },
            credentials: OnceLock::new(),
            push_budget: PushBudget::new(inflight, http_metrics.push_bytes.clone()),
            tails: Tails::register(&mut registry),
            parts: Parts::default(),
            started: clock.now(),
            stop: Stop::new(),
            drain: Stop::new(),
            address: OnceLock::new(),
            routes,
            manager: OnceLock::new(),
            healthy_since: OnceLock::new(),
            query_path_metrics: OnceLock::new(),
            names: Names::new(),
            ingester_shutdown: AtomicBool::new(false),
            config,
            clock,
            log,
            registry: Mutex::new(registry),
            http_metrics,
        })
    }

    /// Metrics of queries on their way; frontend and scheduler of one process share them.
    #[must_use]
    pub fn query_path_metrics(&self) -> frontend::Metrics {
        let register = || frontend::Metrics::register(&mut self.registry.lock());
        self.query_path_metrics.get_or_init(register).clone()
    }

    /// Notes that the ingester is being stopped by request; false when that was noted before.
    #[must_use]
    pub fn begin_ingester_shutdown(&self) -> bool {
        !self.ingester_shutdown.swap(true, Ordering::Relaxed)
    }

    /// The routes of this process.
    #[must_use]
    pub fn routes(&self) -> &Routes {
        &self.routes
    }

    /// The services of the modules; none before they are built.
    #[must_use]
    pub fn services(&self) -> &[Service] {
        self.manager.get().map_or(&[], |manager| manager.services())
    }

    /// Where the listener listens, once it does.
    #[must_use]
    pub fn address(&self) -> Option<SocketAddr> {
        self.address.get().copied()
    }

    /// Remembers where the listener listens.
    pub fn set_address(&self, address: SocketAddr) {
        // The listener starts once.
        let _ = self.address.set(address);
    }

    /// The address for people: what to type into a browser on this machine.
    #[must_use]
    pub fn address_text(&self) -> String {
        self.address().map_or_else(String::new, |address| {
            if address.ip().is_unspecified() {
                format!("127.0.0.1:{}", address.port())
            } else {
                address.to_string()
            }
        })
    }

    /// The name of this instance: as configured, or the host's.
    #[must_use]
    pub fn instance_id(&self) -> String {
        let named = [&self.config.ingester.id, &self.config.ring.instance_id];
        if let Some(name) = named.into_iter().find(|name| !name.is_empty()) {
            return name.clone();
        }
        let host = fs::read_to_string("/proc/sys/kernel/hostname").unwrap_or_default();
        let host = host.trim();
        if host.is_empty() { "sigyn".to_owned() } else { host.to_owned() }
    }

    /// A method as metrics show it; methods that nobody serves share one name.
    #[must_use]
    pub fn method_name(&self, method: &Method) -> Arc<str> {
        let known = self.names.methods.iter().find(|(known, _)| known == method);
        Arc::clone(known.map_or(&self.names.other_method, |(_, name)| name))
    }

    /// The route's name of requests that no route serves.
    #[must_use]
    pub fn route_of_nothing(&self) -> Arc<str> {
        Arc::clone(&self.names.nothing)
    }
}

impl Names {
    fn new() -> Self {
        let methods = [Method::GET, Method::POST, Method::PUT, Method::DELETE, Method::HEAD];
        let named = methods.into_iter().map(|method| (method.clone(), method.as_str().into()));
        Self { methods: named.collect(), other_method: "other".into(), nothing: "notfound".into() }
    }
}
