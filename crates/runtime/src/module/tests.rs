use std::collections::HashMap;
use std::future::Future;

use parking_lot::Mutex;
use proptest::prelude::*;

use super::*;
use crate::error::StopProcess;
use crate::service::Manager;

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Broken(&'static str);

/// What services did, in order.
type Journal = Arc<Mutex<Vec<String>>>;

fn run_async<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

fn journaling(name: &'static str, journal: &Journal) -> Service {
    let (up, down) = (Arc::clone(journal), Arc::clone(journal));
    Service::builder(name)
        .starting(move |_| async move {
            up.lock().push(format!("+{name}"));
            Ok(())
        })
        .stopping(move |_| async move {
            down.lock().push(format!("-{name}"));
            Ok(())
        })
        .build()
}

fn modules(edges: &[(&'static str, &[&'static str])]) -> Modules<Journal> {
    let mut modules = Modules::new();
    for (name, _) in edges {
        let name = *name;
        modules
            .register(name, Visibility::Target, move |journal| Ok(Some(journaling(name, journal))));
    }
    for (name, dependencies) in edges {
        modules.depend(name, dependencies).unwrap();
    }
    modules
}

#[test]
fn names_and_cycles_are_checked() {
    let mut modules = modules(&[("a", &[]), ("b", &["a"]), ("c", &["b"])]);
    let refused = |error: Result<(), Error>| error.unwrap_err().to_string();
    assert_eq!(refused(modules.depend("a", &["x"])), "no such module: x");
    assert_eq!(
        refused(modules.depend("a", &["c"])),
        "module a cannot depend on c, which depends on it"
    );
    assert!(matches!(modules.depend("a", &["a"]), Err(Error::Cycle { .. })));
    modules.register("inside", Visibility::Internal, |_| Ok(None));
    modules.register("hidden", Visibility::HiddenTarget, |_| Ok(None));
    assert_eq!(modules.targets().collect::<Vec<_>>(), ["a", "b", "c"]);
    assert!(matches!(modules.needed_by(&["inside"]), Err(Error::NotTargetable(_))));
    assert!(modules.needed_by(&["hidden"]).is_ok());
    assert_eq!(modules.dependencies("c"), ["a", "b"]);
}

#[test]
fn dependencies_start_first_and_stop_last() {
    let mut modules = modules(&[("disk", &[]), ("store", &["disk"]), ("query", &[])]);
    modules.register_group("all", Visibility::Target);
    modules.depend("all", &["query"]).unwrap();
    // A module without a service passes on what it depends on.
    modules.register("names", Visibility::Internal, |_| Ok(None));
    modules.depend("names", &["store"]).unwrap();
    modules.depend("query", &["names"]).unwrap();
    run_async(async {
        let journal = Journal::default();
        let manager = Manager::new(modules.init(&["all"], &journal).unwrap()).unwrap();
        manager.start().unwrap();
        manager.await_healthy().await.unwrap();
        manager.stop();
        manager.await_stopped().await;
        let expected = ["+disk", "+store", "+query", "-query", "-store", "-disk"];
        assert_eq!(*journal.lock(), expected);
    });
}

#[test]
fn a_failure_to_start_reaches_the_dependants() {
    let mut modules = modules(&[("good", &[]), ("user", &[]), ("bad", &[])]);
    modules.register("bad", Visibility::Internal, |_| {
        let start = |_| async { Err(Broken("no disk").into()) };
        Ok(Some(Service::builder("bad").starting(start).build()))
    });
    modules.depend("user", &["bad", "good"]).unwrap();
    run_async(async {
        let journal = Journal::default();
        let services = modules.init(&["user"], &journal).unwrap();
        let user = services.last().cloned().unwrap();
        let manager = Manager::new(services).unwrap();
        manager.start().unwrap();
        assert!(manager.await_healthy().await.is_err());
        manager.stop();
        manager.await_stopped().await;
        let failure = user.failure().unwrap().to_string();
        assert!(failure.starts_with("needs module bad: "), "{failure}");
        assert!(failure.ends_with("no disk"), "{failure}");
        assert_eq!(*journal.lock(), ["+good", "-good"]);
    });
}

#[test]
fn a_service_may_ask_for_the_end_of_the_process() {
    let mut modules = Modules::new();
    modules.register("once", Visibility::Target, |()| {
        let run = |_| async { Err(StopProcess.into()) };
        Ok(Some(Service::builder("once").running(run).build()))
    });
    modules.register("broken", Visibility::Target, |()| Err(Broken("no config").into()));
    run_async(async {
        let service = modules.init(&["once"], &()).unwrap().remove(0);
        service.start().unwrap();
        assert!(service.await_terminated().await.is_err());
        assert!(service.failure().unwrap().is_stop_process());
        let error = modules.init(&["broken"], &()).unwrap_err();
        assert_eq!(error.to_string(), "init module broken: no config");
    });
}

const NAMES: [&str; 8] = ["a", "b", "c", "d", "e", "f", "g", "h"];

proptest! {
    /// Whatever depends on what, and however early the stop comes: nobody starts before what it
    /// depends on, and nobody stops before what depends on it.
    #[test]
    fn order_follows_every_graph(
        edges in proptest::collection::vec((0usize..8, 0usize..8), 0..16),
        stops_after in 0usize..64,
    ) {
        let mut modules = modules(&NAMES.map(|name| (name, &[] as &[&str])));
        for (from, to) in &edges {
            // Half of random edges close a cycle and are refused.
            let _ = modules.depend(NAMES[*from], &[NAMES[*to]]);
        }
        run_async(async {
            let journal = Journal::default();
            let manager = Manager::new(modules.init(&NAMES, &journal).unwrap()).unwrap();
            manager.start().unwrap();
            for _ in 0..stops_after {
                tokio::task::yield_now().await;
            }
            manager.stop();
            manager.await_stopped().await;
            let journal = journal.lock();
            let at: HashMap<&str, usize> =
                journal.iter().enumerate().map(|(at, act)| (act.as_str(), at)).collect();
            for name in NAMES {
                for dependency in modules.dependencies(name) {
                    let key = |sign: char, name: &str| format!("{sign}{name}");
                    if let Some(up) = at.get(key('+', name).as_str()) {
                        prop_assert!(at[key('+', dependency).as_str()] < *up);
                        let down = at[key('-', name).as_str()];
                        prop_assert!(down < at[key('-', dependency).as_str()]);
                    }
                }
            }
            Ok(())
        })?;
    }
}
