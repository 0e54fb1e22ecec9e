//! What is counted about requests, under the names that Loki's dashboards read.

use std::sync::Arc;

use http::StatusCode;
use model::TenantId;
use prometheus_client::encoding::EncodeLabelSet;
use prometheus_client::metrics::counter::Counter;
use prometheus_client::metrics::family::Family;
use prometheus_client::metrics::gauge::Gauge;
use prometheus_client::metrics::histogram::Histogram;
use prometheus_client::registry::Registry;

/// Upper bounds of the request duration buckets, in seconds.
const SECONDS: [f64; 14] =
    [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 25.0, 50.0, 100.0];

/// Upper bounds of the message size buckets: 1 MB to 250 MB, as in Loki.
const BYTES: [f64; 6] = [1048576.0, 2621440.0, 10485760.0, 26214400.0, 104857600.0, 262144000.0];

/// The labels of a finished request.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Finished {
    /// The HTTP verb.
    pub method: Arc<str>,
    /// The route's name.
    pub route: Arc<str>,
    /// The status code.
    pub status_code: u16,
    /// Whether the request became a websocket.
    pub ws: bool,
}

/// The labels of a request under way.
#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
pub struct Running {
    /// The HTTP verb.
    pub method: Arc<str>,
    /// The route's name.
    pub route: Arc<str>,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Protocol {
    protocol: &'static str,
}

#[derive(Debug, Clone, PartialEq, Eq, Hash, EncodeLabelSet)]
struct Unread {
    tenant: String,
    reason: &'static str,
}

/// The metrics of the listener. Clones share their values.
#[derive(Debug, Clone)]
pub struct HttpMetrics {
    seconds: Family<Finished, Histogram>,
    received: Family<Running, Histogram>,
    sent: Family<Running, Histogram>,
    inflight: Family<Running, Gauge>,
    unread_pushes: Family<Unread, Counter>,
    unread_bytes: Family<Unread, Counter>,
    /// Connections that are open.
    pub connections: Gauge,
    /// Requests that ended in a panic.
    pub panics: Counter,
    /// Bytes of push bodies in memory.
    pub push_bytes: Gauge,
}

impl HttpMetrics {
    /// Metrics that `registry` exposes. Register once per process.
    pub fn register(registry: &mut Registry, connections_max: usize) -> Self {
        let sizes = || Family::new_with_constructor(bytes as fn() -> Histogram);
        let new = Self {
            seconds: Family::new_with_constructor(|| Histogram::new(SECONDS)),
            received: sizes(),
            sent: sizes(),
            inflight: Family::default(),
            unread_pushes: Family::default(),
            unread_bytes: Family::default(),
            connections: Gauge::default(),
            panics: Counter::default(),
            push_bytes: Gauge::default(),
        };
        new.register_requests(registry);
        let connections = Family::<Protocol, Gauge>::default();
        let limit = Family::<Protocol, Gauge>::default();
        let http = Protocol { protocol: "http" };
        limit.get_or_create(&http).set(i64::try_from(connections_max).unwrap_or(i64::MAX));
        registry.register("loki_tcp_connections_limit", "Connections allowed, 0 for any", limit);
        registry.register("loki_tcp_connections", "Connections open", connections.clone());
        registry.register("loki_panic", "Requests that ended in a panic", new.panics.clone());
        registry.register(
            "sigyn_push_inflight_bytes",
            "Bytes of push bodies in memory",
            new.push_bytes.clone(),
        );
        registry.register(
            "sigyn_push_unread_requests",
            "Pushes that were refused before anybody knew what was in them",
            new.unread_pushes.clone(),
        );
        registry.register(
            "sigyn_push_unread_bytes",
            "Body bytes of such pushes, as announced",
            new.unread_bytes.clone(),
        );
        let connections = connections.get_or_create_owned(&http);
        Self { connections, ..new }
    }

    fn register_requests(&self, registry: &mut Registry) {
        registry.register(
            "loki_request_duration_seconds",
            "Time spent serving requests",
            self.seconds.clone(),
        );
        registry.register(
            "loki_request_message_bytes",
            "Sizes of request bodies",
            self.received.clone(),
        );
        registry.register(
            "loki_response_message_bytes",
            "Sizes of response bodies",
            self.sent.clone(),
        );
        registry.register("loki_inflight_requests", "Requests under way", self.inflight.clone());
    }

    /// Counts a push whose body was not read, by what it was answered.
    pub fn push_unread(&self, tenant: &TenantId, status: StatusCode, announced_bytes: u64) {
        let reason = match status {
            StatusCode::PAYLOAD_TOO_LARGE => "request_body_too_large",
            StatusCode::SERVICE_UNAVAILABLE => "no_room",
            StatusCode::REQUEST_TIMEOUT => "too_slow",
            _ => "malformed",
        };
        let labels = Unread { tenant: tenant.to_string(), reason };
        self.unread_pushes.get_or_create(&labels).inc();
        self.unread_bytes.get_or_create(&labels).inc_by(announced_bytes);
    }

    /// Counts a request that begins.
    pub fn begin(&self, running: &Running) {
        self.inflight.get_or_create(running).inc();
    }

    /// Counts a request that ended.
    pub fn end(&self, running: &Running, end: End) {
        let finished = Finished {
            method: Arc::clone(&running.method),
            route: Arc::clone(&running.route),
            status_code: end.status,
            ws: end.is_websocket,
        };
        self.inflight.get_or_create(running).dec();
        self.seconds.get_or_create(&finished).observe(end.seconds);
        self.received.get_or_create(running).observe(end.received_bytes as f64);
        self.sent.get_or_create(running).observe(end.sent_bytes as f64);
    }
}

/// How a request ended.
#[derive(Debug, Clone, Copy)]
pub struct End {
    /// The status code.
    pub status: u16,
    /// Whether the request became a websocket.
    pub is_websocket: bool,
    /// How long it took.
    pub seconds: f64,
    /// Body bytes as announced by the client.
    pub received_bytes: u64,
    /// Body bytes sent.
    pub sent_bytes: u64,
}

fn bytes() -> Histogram {
    Histogram::new(BYTES)
}

/// The name of a route in metrics: lower case, everything but letters and digits an underscore.
#[must_use]
pub fn route_name(path: &str) -> Arc<str> {
    let mut name = String::with_capacity(path.len());
    for c in path.chars() {
        if c.is_ascii_alphanumeric() {
            name.push(c.to_ascii_lowercase());
        } else if !name.ends_with('_') {
            name.push('_');
        }
    }
    name.trim_matches('_').into()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn routes_have_the_names_that_dashboards_know() {
        let check = |path, name: &str| assert_eq!(&*route_name(path), name);
        check("/loki/api/v1/push", "loki_api_v1_push");
        check("/loki/api/v1/label/{name}/values", "loki_api_v1_label_name_values");
        check("/ready", "ready");
    }

    #[test]
    fn requests_are_counted() {
        let mut registry = Registry::default();
        let metrics = HttpMetrics::register(&mut registry, 0);
        let running = Running { method: "GET".into(), route: "ready".into() };
        metrics.begin(&running);
        let end = End {
            status: 200,
            is_websocket: false,
            seconds: 0.02,
            received_bytes: 0,
            sent_bytes: 6,
        };
        metrics.end(&running, end);
        let mut text = String::new();
        prometheus_client::encoding::text::encode(&mut text, &registry).unwrap();
        let expected = "loki_request_duration_seconds_bucket{le=\"0.025\",method=\"GET\",\
                        route=\"ready\",status_code=\"200\",ws=\"false\"} 1";
        assert!(text.contains(expected), "{text}");
        assert!(
            text.contains("loki_inflight_requests{method=\"GET\",route=\"ready\"} 0"),
            "{text}"
        );
        assert!(text.contains("loki_panic_total 0"), "{text}");
    }
}
