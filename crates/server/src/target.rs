//! The modules of the process and what they depend on: one table.
//!
//! `-target` names one or several of them; each brings everything it depends on. A module's
//! `build` makes a service that opens the module's part when it starts and closes it when it stops.

mod compactor;
mod distributor;
mod frontend;
mod index_gateway;
mod ingester;
mod ingester_client;
mod listener;
mod overrides;
mod querier;
mod ring;
mod scheduler;
mod store;

use std::sync::Arc;

use runtime::module::{Modules, Visibility};
use runtime::service::Service;
use runtime::{Error, Failure};

use crate::app::App;
use Visibility::{Internal, Target};

/// One row of the table.
struct Row {
    name: &'static str,
    visibility: Visibility,
    needs: &'static [&'static str],
    /// Started before this one and stopped after it, where they are part of the same process.
    after: &'static [&'static str],
    /// Makes the module's service; `None` for a module that only stands for what it needs.
    build: Option<Build>,
}

type Build = fn(&Arc<App>) -> Result<Service, Failure>;

/// Every module, each after what it needs.
#[rustfmt::skip]
const TABLE: &[Row] = &[
    Row { name: "server",          visibility: Internal, needs: &[], after: &[], build: Some(listener::build) },
    Row { name: "runtime-config",  visibility: Internal, needs: &["server"], after: &[], build: Some(overrides::build) },
    Row { name: "overrides",       visibility: Internal, needs: &["runtime-config"], after: &[], build: None },
    Row { name: "ring",            visibility: Internal, needs: &["server"], after: &[], build: Some(ring::build) },
    Row { name: "store",           visibility: Internal, needs: &["server", "overrides", "ring"], after: &[], build: Some(store::build) },
    Row { name: "ingester-client", visibility: Internal, needs: &["server", "ring"], after: &[], build: Some(ingester_client::build) },
    Row { name: "ingester",        visibility: Target,   needs: &["server", "overrides", "store", "ring"], after: &[], build: Some(ingester::build) },
    Row { name: "distributor",     visibility: Target,   needs: &["server", "overrides", "ingester-client"], after: &["ingester"], build: Some(distributor::build) },
    Row { name: "query-path",      visibility: Internal, needs: &["server", "overrides"], after: &[], build: Some(frontend::build) },
    Row { name: "querier",         visibility: Target,   needs: &["server", "overrides", "store", "ingester-client", "query-path"], after: &["ingester"], build: Some(querier::build) },
    Row { name: "query-frontend",  visibility: Target,   needs: &["query-path", "ingester-client"], after: &[], build: None },
    Row { name: "query-scheduler", visibility: Target,   needs: &["server"], after: &[], build: Some(scheduler::build) },
    Row { name: "index-gateway",   visibility: Target,   needs: &["server", "overrides", "store", "ring"], after: &[], build: Some(index_gateway::build) },
    Row { name: "compactor",       visibility: Target,   needs: &["server", "overrides", "store", "ingester-client"], after: &[], build: Some(compactor::build) },
    Row { name: "read",            visibility: Target,   needs: &["query-frontend", "querier"], after: &[], build: None },
    Row { name: "write",           visibility: Target,   needs: &["distributor", "ingester"], after: &[], build: None },
    Row { name: "backend",         visibility: Target,   needs: &["query-scheduler", "compactor", "index-gateway"], after: &[], build: None },
    Row { name: "all",             visibility: Target,   needs: &["distributor", "ingester", "querier", "query-frontend", "query-scheduler", "compactor"], after: &[], build: None },
];

/// The table as modules, of which any can be chosen.
fn table() -> Result<Modules<Arc<App>>, Error> {
    let mut modules = Modules::new();
    for row in TABLE {
        match row.build {
            Some(build) => {
                modules.register(row.name, row.visibility, move |app| build(app).map(Some))
            }
            None => modules.register_group(row.name, row.visibility),
        }
        modules.depend(row.name, row.needs)?;
    }
    Ok(modules)
}

/// The modules of a process with some targets, in their order of start.
///
/// # Errors
///
/// When a target does not exist or cannot be chosen, or the table is not in order.
pub fn modules(targets: &[&str]) -> Result<Modules<Arc<App>>, Error> {
    let mut modules = table()?;
    let needed = modules.needed_by(targets)?;
    for row in TABLE.iter().filter(|row| needed.contains(&row.name)) {
        for after in row.after.iter().filter(|after| needed.contains(after)) {
            modules.depend(row.name, &[after])?;
        }
    }
    Ok(modules)
}

/// The names that `-target` accepts and lists.
#[must_use]
pub fn names() -> Vec<&'static str> {
    table().map(|modules| modules.targets().collect()).unwrap_or_default()
}

/// Every module that some targets bring.
///
/// # Errors
///
/// When a target does not exist or cannot be chosen.
pub fn needed_by(targets: &[String]) -> Result<Vec<&'static str>, Error> {
    let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
    modules(&targets)?.needed_by(&targets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        assert!(names().contains(&"all"));
        let all = needed_by(&["all".to_owned()]).unwrap();
        assert_eq!(all.last(), Some(&"all"));
        assert!(needed_by(&["server".to_owned()]).is_err());
        assert!(needed_by(&["nothing".to_owned()]).is_err());
    }

    #[test]
    fn a_role_brings_only_what_it_needs() {
        let check = |target: &str, absent: &[&str]| {
            let needed = needed_by(&[target.to_owned()]).unwrap();
            for module in absent {
                assert!(!needed.contains(module), "{target} brings {module}");
            }
        };
        check("distributor", &["ingester", "store", "querier", "compactor"]);
        check("ingester", &["distributor", "querier", "compactor", "ingester-client"]);
        check("querier", &["distributor", "ingester", "compactor"]);
        check("compactor", &["distributor", "ingester", "querier"]);
        check("index-gateway", &["distributor", "ingester", "querier", "compactor"]);
        check("all", &["index-gateway"]);
        check("read", &["distributor", "ingester", "compactor", "index-gateway"]);
        check("write", &["querier", "compactor"]);
        check("backend", &["distributor", "ingester", "querier"]);
    }

    #[test]
    fn in_one_process_what_uses_the_ingester_starts_after_it() {
        let needed = needed_by(&["all".to_owned()]).unwrap();
        let place = |name| needed.iter().position(|known| *known == name).unwrap();
        assert!(place("ingester") < place("distributor"));
        assert!(place("ingester") < place("querier"));
    }
}
