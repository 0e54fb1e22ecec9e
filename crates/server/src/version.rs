//! Which build this is.

use prometheus_client::metrics::info::Info;
use prometheus_client::registry::Registry;

/// Sigyn's own version.
pub const VERSION: &str = env!("CARGO_PKG_VERSION");

/// The version of Loki whose API this build speaks.
pub const LOKI_VERSION: &str = "3.8.0";

/// The commit, when the build was told.
#[must_use]
pub fn revision() -> &'static str {
    option_env!("SIGYN_REVISION").unwrap_or("unknown")
}

/// Clients compare it with Loki's versions; what follows `+` does not count in comparisons.
#[must_use]
pub fn api_version() -> String {
    format!("{LOKI_VERSION}+sigyn.{VERSION}")
}

/// What `-version` prints.
#[must_use]
pub fn text() -> String {
    format!("sigyn, version {VERSION} (API of Loki {LOKI_VERSION}, revision {})", revision())
}

/// Shows the build as `loki_build_info`, which dashboards list installations by.
pub fn register(registry: &mut Registry) {
    let labels = vec![
        ("version", api_version()),
        ("revision", revision().to_owned()),
        ("branch", "main".to_owned()),
        ("goversion", "rust".to_owned()),
    ];
    registry.register("loki_build", "Which build this is", Info::new(labels));
}
