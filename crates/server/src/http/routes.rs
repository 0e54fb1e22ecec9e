//! Which path is served by whom: one table.
//!
//! A path part in braces stands for any one part. A route exists only while its module is part of
//! the process, so that a process of one role does not answer for the others.

use std::collections::HashMap;
use std::future::Future;
use std::sync::Arc;

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use http::Method;
use percent_encoding::percent_decode_str;

use super::call::{Call, Outcome};
use super::metrics::route_name;
use super::tenant::Access::{self, Open, Tenant, Tenants};
use super::{
    admin, deletes, detected, downscale, format_query, metadata, push, query, ring, status, tail,
};

/// Methods of one row.
pub(crate) type Methods = &'static [Method];

const GET: Methods = &[Method::GET];
const POST: Methods = &[Method::POST];
const BOTH: Methods = &[Method::GET, Method::POST];
const DELETES: Methods = &[Method::POST, Method::PUT, Method::GET, Method::DELETE];
const MARK: Methods = &[Method::GET, Method::POST, Method::DELETE];

/// Every route.
#[must_use]
#[rustfmt::skip]
pub fn table() -> Vec<Route> {
    vec![
        // Entries come in.
        row(POST, "/loki/api/v1/push", Tenant, "distributor", push::push),
        row(POST, "/api/prom/push", Tenant, "distributor", push::push_legacy),
        row(POST, "/otlp/v1/logs", Tenant, "distributor", push::push_otlp),

        // Queries are answered.
        row(BOTH, "/loki/api/v1/query", Tenants, "query-frontend", query::instant),
        row(BOTH, "/loki/api/v1/query_range", Tenants, "query-frontend", query::range),
        row(BOTH, "/api/prom/query", Tenants, "query-frontend", query::legacy),
        row(BOTH, "/loki/api/v1/format_query", Open, "query-frontend", format_query::format_query),
        row(BOTH, "/loki/api/v1/tail", Tenant, "query-frontend", tail::tail),
        row(BOTH, "/api/prom/tail", Tenant, "query-frontend", tail::tail_legacy),

        // What there is to query.
        row(BOTH, "/loki/api/v1/labels", Tenants, "querier", metadata::labels),
        row(BOTH, "/loki/api/v1/label", Tenants, "querier", metadata::labels),
        row(BOTH, "/api/prom/label", Tenants, "querier", metadata::labels),
        row(BOTH, "/loki/api/v1/label/{name}/values", Tenants, "querier", metadata::label_values),
        row(BOTH, "/api/prom/label/{name}/values", Tenants, "querier", metadata::label_values),
        row(BOTH, "/loki/api/v1/series", Tenants, "querier", metadata::series),
        row(BOTH, "/api/prom/series", Tenants, "querier", metadata::series),
        row(BOTH, "/loki/api/v1/index/stats", Tenants, "querier", metadata::index_stats),
        row(BOTH, "/loki/api/v1/index/volume", Tenants, "querier", metadata::volume),
        row(BOTH, "/loki/api/v1/index/volume_range", Tenants, "querier", metadata::volume_range),
        row(BOTH, "/loki/api/v1/patterns", Tenants, "querier", detected::patterns),
        row(BOTH, "/loki/api/v1/detected_labels", Tenants, "querier", detected::detected_labels),
        row(BOTH, "/loki/api/v1/detected_fields", Tenants, "querier", detected::detected_fields),
        row(BOTH, "/loki/api/v1/detected_field/{name}/values", Tenants, "querier", detected::detected_field_values),
        row(GET, "/loki/api/v1/drilldown-limits", Tenant, "query-frontend", status::drilldown_limits),
        row(GET, "/config/tenant/v1/limits", Tenant, "server", status::tenant_limits),

        // Entries are deleted.
        row(DELETES, "/loki/api/v1/delete", Tenant, "compactor", deletes::deletes),
        row(GET, "/loki/api/v1/cache/generation_numbers", Tenant, "compactor", deletes::generation_numbers),
        row(POST, "/loki/api/v1/cache/generation_numbers/increase", Tenant, "compactor", deletes::increase_generation_numbers),

        // How the process does.
        row(GET, "/ready", Open, "server", status::ready),
        row(GET, "/metrics", Open, "server", status::metrics),
        row(GET, "/config", Open, "server", status::config),
        row(GET, "/services", Open, "server", status::services),
        row(GET, "/loki/api/v1/status/buildinfo", Open, "server", status::build_info),
        row(BOTH, "/log_level", Open, "server", status::log_level),
        row(BOTH, "/analytics", Open, "server", status::analytics),
        row(BOTH, "/ring", Open, "server", ring::ingesters),
        row(BOTH, "/distributor/ring", Open, "distributor", ring::distributors),
        row(BOTH, "/scheduler/ring", Open, "query-frontend", ring::alone),
        row(BOTH, "/indexgateway/ring", Open, "index-gateway", ring::index_gateways),
        row(BOTH, "/compactor/ring", Open, "compactor", ring::alone),
        row(BOTH, "/memberlist", Open, "server", status::memberlist),

        // Operators act.
        row(BOTH, "/flush", Open, "ingester", admin::flush),
        row(POST, "/flush/tenant", Tenant, "ingester", admin::flush_tenant),
        row(MARK, "/ingester/prepare_shutdown", Open, "ingester", downscale::prepare_shutdown),
        row(MARK, "/ingester/prepare_downscale", Open, "ingester", downscale::prepare_downscale),
        row(BOTH, "/ingester/shutdown", Open, "ingester", downscale::shutdown),
    ]
}

/// The table as a page of the documentation.
#[must_use]
pub fn reference() -> String {
    let mut page = String::from(
        "# Routes\n\nGenerated from `server::http::routes::table`. A route exists while its module is \
         part of the process.\n\n| methods | path | tenant | module |\n|---|---|---|---|\n",
    );
    for route in table() {
        let methods: Vec<&str> = route.methods.iter().map(Method::as_str).collect();
        let tenant = match route.access {
            Open => "–",
            Tenant => "one",
            Tenants => "one or several",
        };
        let (path, module) = (route.path, route.module);
        page.push_str(&format!("| {} | `{path}` | {tenant} | {module} |\n", methods.join(" ")));
    }
    page
}

type Handler = Box<dyn Fn(Call) -> BoxFuture<'static, Outcome> + Send + Sync>;

/// One row of the table.
pub struct Route {
    methods: Methods,
    path: &'static str,
    /// Whose requests the route serves.
    pub access: Access,
    /// The module that must be part of the process.
    pub module: &'static str,
    /// The name in metrics.
    pub name: Arc<str>,
    handler: Handler,
}

/// A row of the table.
pub(crate) fn row<F>(
    methods: Methods,
    path: &'static str,
    access: Access,
    module: &'static str,
    handler: impl Fn(Call) -> F + Send + Sync + 'static,
) -> Route
where
    F: Future<Output = Outcome> + Send + 'static,
{
    let handler: Handler = Box::new(move |call| handler(call).boxed());
    Route { methods, path, access, module, name: route_name(path), handler }
}

impl Route {
    /// Serves one request.
    pub async fn serve(&self, call: Call) -> Outcome {
        (self.handler)(call).await
    }

    /// Whether anybody may ask, even where requests need credentials: what balancers, monitors and
    /// data sources look at.
    #[must_use]
    pub fn is_public(&self) -> bool {
        matches!(self.path, "/ready" | "/metrics" | "/loki/api/v1/status/buildinfo")
    }

    /// What stands in the `{name}` places if the path parts fit.
    fn fits(&self, parts: &[&str]) -> Option<Vec<String>> {
        let mut names = Vec::new();
        let mut rest = parts.iter();
        for expected in self.path.split('/') {
            let part = rest.next()?;
            if expected.starts_with('{') && !part.is_empty() {
                names.push((*part).to_owned());
            } else if expected != *part {
                return None;
            }
        }
        rest.next().is_none().then_some(names)
    }
}

/// What a path and method lead to.
pub enum Found {
    /// A route, and what stands in its `{name}` places.
    Route(Arc<Route>, Vec<String>),
    /// The path exists, for other methods.
    OtherMethod(Arc<Route>),
    /// Nothing.
    Nothing,
}

/// The routes of this process, ready to be looked up.
pub struct Routes {
    prefix: String,
    /// The modules of the process.
    modules: Vec<String>,
    exact: HashMap<&'static str, Arc<Route>>,
    named: Vec<Arc<Route>>,
}

impl Routes {
    /// The rows whose modules are part of the process, behind a path prefix.
    #[must_use]
    pub fn new(prefix: &str, table: Vec<Route>, modules: &[&str]) -> Self {
        let trimmed = prefix.trim_matches('/');
        let prefix = if trimmed.is_empty() { String::new() } else { format!("/{trimmed}") };
        let modules: Vec<String> = modules.iter().map(|module| (*module).to_owned()).collect();
        let mut routes = Self { prefix, modules, exact: HashMap::new(), named: Vec::new() };
        for route in table {
            // A querier answers queries itself, whether or not a frontend stands before it.
            let is_here = routes.serves(route.module)
                || route.module == "query-frontend" && routes.serves("querier")
                // And a frontend passes on what only a querier can answer.
                || route.module == "querier" && routes.serves("query-frontend");
            if !is_here {
                continue;
            }
            let route = Arc::new(route);
            if route.path.contains('{') {
                routes.named.push(route);
            } else {
                routes.exact.insert(route.path, route);
            }
        }
        routes
    }

    /// Whether a module is part of the process.
    #[must_use]
    pub fn serves(&self, module: &str) -> bool {
        self.modules.iter().any(|known| known == module)
    }

    /// Whether a path exists.
    #[must_use]
    pub fn has(&self, path: &str) -> bool {
        self.exact.contains_key(path)
    }

    /// Looks a request up. Paths are compared after decoding.
    #[must_use]
    pub fn find(&self, method: &Method, path: &str) -> Found {
        let Some(path) = path.strip_prefix(self.prefix.as_str()) else { return Found::Nothing };
        let Ok(path) = percent_decode_str(path).decode_utf8() else { return Found::Nothing };
        let found = match self.exact.get(&*path) {
            Some(route) => Some((route, Vec::new())),
            None => {
                let parts: Vec<&str> = path.split('/').collect();
                self.named.iter().find_map(|route| Some((route, route.fits(&parts)?)))
            }
        };
        match found {
            Some((route, names)) if route.methods.contains(method) => {
                Found::Route(Arc::clone(route), names)
            }
            Some((route, _)) => Found::OtherMethod(Arc::clone(route)),
            None => Found::Nothing,
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn check(prefix: &str, method: &Method, path: &str, expected: &str) {
        let modules = ["server", "distributor", "query-frontend"];
        let routes = Routes::new(prefix, table(), &modules);
        let found = match routes.find(method, path) {
            Found::Route(route, names) => format!("{} {}", route.name, names.join(",")),
            Found::OtherMethod(route) => format!("405 {}", route.name),
            Found::Nothing => "404".to_owned(),
        };
        assert_eq!(found.trim(), expected, "{path}");
    }

    #[test]
    fn paths_lead_to_routes() {
        check("", &Method::POST, "/loki/api/v1/push", "loki_api_v1_push");
        check("", &Method::GET, "/loki/api/v1/push", "405 loki_api_v1_push");
        check("", &Method::GET, "/loki/api/v1/push/", "404");
        check("", &Method::GET, "/", "404");
        let values = "loki_api_v1_label_name_values";
        check("", &Method::GET, "/loki/api/v1/label/app/values", &format!("{values} app"));
        check("", &Method::GET, "/loki/api/v1/label/a%2Eb/values", &format!("{values} a.b"));
        check("", &Method::GET, "/loki/api/v1/label/a%2Fb/values", "404");
        check("", &Method::GET, "/loki/api/v1/label//values", "404");
        check("/logs/", &Method::GET, "/logs/ready", "ready");
        check("/logs", &Method::GET, "/ready", "404");
    }

    #[test]
    fn routes_of_absent_modules_do_not_exist() {
        check("", &Method::POST, "/flush", "404");
    }

    #[test]
    fn the_page_of_routes_is_fresh() {
        crate::generated::assert_fresh("docs/api/routes.md", &reference());
    }

    #[test]
    fn no_path_stands_twice() {
        let mut paths: Vec<&str> = table().iter().map(|route| route.path).collect();
        paths.sort_unstable();
        let count = paths.len();
        paths.dedup();
        assert_eq!(paths.len(), count);
    }
}
