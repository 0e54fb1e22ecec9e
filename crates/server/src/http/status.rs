//! How the process does, for people, load balancers and dashboards.

use std::fmt::Write as _;

use http::{HeaderValue, Method, StatusCode, header};
use runtime::telemetry::LogLevel;
use serde_json::json;

use super::call::{Call, Outcome};
use super::error::HttpError;
use super::response::{self, Response};
use crate::app::Readiness;
use crate::config::cluster::RingPlace;
use crate::config::{Config, print};
use crate::{exposition, version};

/// `GET /ready`: whether requests are welcome.
pub async fn ready(call: Call) -> Outcome {
    match call.app.readiness() {
        Readiness::Ready => Ok(response::text(StatusCode::OK, "ready\n")),
        Readiness::NotReady(why) => Err(HttpError::line(StatusCode::SERVICE_UNAVAILABLE, why)),
    }
}

/// `GET /metrics`: the metrics of this process, as OpenMetrics when the scraper asks for it.
pub async fn metrics(call: Call) -> Outcome {
    let mut text = String::new();
    prometheus_client::encoding::text::encode(&mut text, &call.app.registry.lock())
        .map_err(|error| internal(&error))?;
    if call.header("accept").contains("application/openmetrics-text") {
        let content_type = "application/openmetrics-text; version=1.0.0; charset=utf-8";
        return Ok(response::with_type(StatusCode::OK, content_type, text));
    }
    let content_type = "text/plain; version=0.0.4; charset=utf-8";
    Ok(response::with_type(StatusCode::OK, content_type, exposition::classic(&text)))
}

/// `GET /config`: the configuration in force; `mode=diff` shows what differs from the defaults,
/// `mode=defaults` the defaults.
pub async fn config(call: Call) -> Outcome {
    let text = match call.query().get("mode") {
        "diff" => print::difference(&call.app.config),
        "defaults" => print::effective(&Config::default()),
        _ => print::effective(&call.app.config),
    };
    Ok(response::text(StatusCode::OK, text))
}

/// `GET /services`: the modules and how each does.
pub async fn services(call: Call) -> Outcome {
    let mut lines: Vec<String> = call
        .app
        .services()
        .iter()
        .map(|service| format!("{} => {}\n", service.name(), service.state()))
        .collect();
    lines.sort();
    Ok(response::text(StatusCode::OK, lines.concat()))
}

/// `GET /loki/api/v1/status/buildinfo`
pub async fn build_info(_call: Call) -> Outcome {
    Ok(object(
        StatusCode::OK,
        &json!({
            "version": version::api_version(),
            "revision": version::revision(),
            "branch": "main",
            "buildUser": "",
            "buildDate": "",
            "goVersion": "",
        }),
    ))
}

/// `GET` and `POST /log_level`
pub async fn log_level(mut call: Call) -> Outcome {
    if call.request.method != Method::POST {
        let level = call.app.log.level().as_str();
        let message = format!("Current log level is {level}");
        return Ok(object(StatusCode::OK, &json!({ "message": message })));
    }
    let form = call.form().await?;
    let name = form.get("log_level");
    let Some(level) = LogLevel::from_name(name) else {
        let message = format!("unrecognized log level {name:?}");
        let body = json!({ "status": "failed", "message": message });
        return Ok(object(StatusCode::BAD_REQUEST, &body));
    };
    call.app.log.set_level(level);
    tracing::info!(log_level = level.as_str(), "log level changed");
    let message = format!("Log level set to {}", level.as_str());
    Ok(object(StatusCode::OK, &json!({ "status": "success", "message": message })))
}

/// `GET /loki/api/v1/drilldown-limits`: what Logs Drilldown adapts itself to.
pub async fn drilldown_limits(call: Call) -> Outcome {
    let config = &call.app.config;
    let mut limits = print::limits_value(&call.app.overrides.limits_for(call.tenant()?));
    limits.retain(|name, _| config.tenant_limits_allow_publish.contains(name));
    Ok(object(
        StatusCode::OK,
        &json!({
            "limits": limits,
            "pattern_ingester_enabled": config.pattern_ingester_enabled,
            "version": version::LOKI_VERSION,
        }),
    ))
}

/// `GET /config/tenant/v1/limits`: a tenant's limits.
pub async fn tenant_limits(call: Call) -> Outcome {
    let text = print::tenant_limits(&call.app.overrides.limits_for(call.tenant()?));
    Ok(response::with_type(StatusCode::OK, "application/yaml", text))
}

/// `GET /analytics`: nothing is collected.
pub async fn analytics(_call: Call) -> Outcome {
    Ok(object(StatusCode::OK, &json!({ "target": "all", "edition": "oss", "reporting": false })))
}

/// `GET /memberlist`: everybody who gossips, as far as the rings show them.
pub async fn memberlist(call: Call) -> Outcome {
    let gossips = matches!(call.app.config.ring_place(), Ok(RingPlace::Gossip));
    let Some(rings) = call.app.parts.rings.find().filter(|_| gossips) else {
        return Ok(response::text(StatusCode::OK, "This instance doesn't use memberlist.\n"));
    };
    let mut text = String::new();
    for row in rings.ingesters().rows().iter().chain(&rings.distributors().rows()) {
        let (instance, state) = (&row.instance, row.state);
        // Writing to a string does not fail.
        let _ = writeln!(text, "{} {} {state}", instance.id, instance.address);
    }
    Ok(response::text(StatusCode::OK, text))
}

pub(super) fn object(status: StatusCode, value: &serde_json::Value) -> Response {
    let mut response = response::text(status, value.to_string());
    let json = HeaderValue::from_static("application/json");
    response.headers_mut().insert(header::CONTENT_TYPE, json);
    response
}

fn internal(error: &dyn std::error::Error) -> HttpError {
    HttpError::line(StatusCode::INTERNAL_SERVER_ERROR, error.to_string())
}

pub(super) fn escape(text: &str) -> String {
    text.replace('&', "&amp;").replace('<', "&lt;").replace('>', "&gt;")
}
