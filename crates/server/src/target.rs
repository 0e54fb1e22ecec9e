//! The modules of the process and what they depend on: one table.
//!
//! `-target` names one or several of them; each brings everything it depends on. A module's
//! `build` makes a service that opens the module's part when it starts and closes it when it stops.

mod compactor;
mod distributor;
mod ingester;
mod listener;
mod overrides;
mod querier;
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
    /// Makes the module's service; `None` for a module that only stands for what it needs.
    build: Option<Build>,
}

type Build = fn(&Arc<App>) -> Result<Service, Failure>;

/// Every module, each after what it needs.
#[rustfmt::skip]
const TABLE: &[Row] = &[
    Row { name: "server",         visibility: Internal, needs: &[], build: Some(listener::build) },
    Row { name: "runtime-config", visibility: Internal, needs: &["server"], build: Some(overrides::build) },
    Row { name: "overrides",      visibility: Internal, needs: &["runtime-config"], build: None },
    Row { name: "store",          visibility: Internal, needs: &["server", "overrides"], build: Some(store::build) },
    Row { name: "ingester",       visibility: Target,   needs: &["server", "overrides", "store"], build: Some(ingester::build) },
    Row { name: "distributor",    visibility: Target,   needs: &["server", "overrides", "ingester"], build: Some(distributor::build) },
    Row { name: "querier",        visibility: Target,   needs: &["server", "overrides", "store", "ingester"], build: Some(querier::build) },
    Row { name: "query-frontend", visibility: Target,   needs: &["querier"], build: None },
    Row { name: "compactor",      visibility: Target,   needs: &["server", "overrides", "store"], build: Some(compactor::build) },
    Row { name: "all",            visibility: Target,   needs: &["distributor", "ingester", "query-frontend", "compactor"], build: None },
];

/// The table as modules.
///
/// # Errors
///
/// When the table names a module that does not stand before, or closes a cycle.
pub fn modules() -> Result<Modules<Arc<App>>, Error> {
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

/// The names that `-target` accepts and lists.
#[must_use]
pub fn names() -> Vec<&'static str> {
    modules().map(|modules| modules.targets().collect()).unwrap_or_default()
}

/// Every module that some targets bring.
///
/// # Errors
///
/// When a target does not exist or cannot be chosen.
pub fn needed_by(targets: &[String]) -> Result<Vec<&'static str>, Error> {
    let targets: Vec<&str> = targets.iter().map(String::as_str).collect();
    modules()?.needed_by(&targets)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_table_is_in_order() {
        assert!(names().contains(&"all"));
        let all = needed_by(&["all".to_owned()]).unwrap();
        assert_eq!(all.last(), Some(&"all"));
        assert!(needed_by(&["read".to_owned()]).is_err());
        assert!(needed_by(&["server".to_owned()]).is_err());
    }
}
