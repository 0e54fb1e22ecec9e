use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};

use proptest::prelude::*;
use tokio::sync::oneshot;

use super::*;
use crate::clock::ManualClock;
use crate::error::StopProcess;

#[derive(Debug, thiserror::Error)]
#[error("{0}")]
struct Broken(&'static str);

fn broken(what: &'static str) -> Result<(), Failure> {
    Err(Broken(what).into())
}

fn run_async<T>(future: impl Future<Output = T>) -> T {
    tokio::runtime::Builder::new_current_thread().build().unwrap().block_on(future)
}

/// Lets every task run until all of them wait.
async fn settle() {
    for _ in 0..32 {
        tokio::task::yield_now().await;
    }
}

/// Collects what a service's listener hears.
fn listen(service: &Service) -> (Arc<Mutex<Vec<Transition>>>, Listener) {
    let heard = Arc::new(Mutex::new(Vec::new()));
    let sink = Arc::clone(&heard);
    let listener = service.add_listener(move |transition| sink.lock().push(transition));
    (heard, listener)
}

fn path(heard: &Mutex<Vec<Transition>>) -> Vec<State> {
    heard.lock().iter().map(|transition| transition.to).collect()
}

#[test]
fn a_life_without_trouble() {
    run_async(async {
        let service = Service::builder("quiet").build();
        let (heard, listener) = listen(&service);
        service.start_and_await_running().await.unwrap();
        service.stop_and_await_terminated().await.unwrap();
        listener.remove().await;
        assert_eq!(
            path(&heard),
            [State::Starting, State::Running, State::Stopping, State::Terminated]
        );
        assert!(matches!(service.start(), Err(Error::NotNew { .. })));
    });
}

#[test]
fn the_failure_of_the_run_step_wins() {
    run_async(async {
        let service = Service::builder("broken")
            .running(|_| async { broken("run") })
            .stopping(|failure| async move {
                assert_eq!(failure.unwrap().to_string(), "run");
                broken("stop")
            })
            .build();
        service.start().unwrap();
        let error = service.await_terminated().await.unwrap_err();
        assert_eq!(error.to_string(), "service broken failed: run");
        let error = service.await_running().await.unwrap_err();
        assert_eq!(error.to_string(), "service broken is Failed, expected Running: run");
    });
}

#[test]
fn a_stopped_service_that_never_started_calls_nothing() {
    run_async(async {
        let service = Service::builder("new")
            .starting(|_| async { broken("start") })
            .stopping(|_| async { broken("stop") })
            .build();
        service.stop();
        service.stop();
        assert_eq!(service.state(), State::Terminated);
        assert!(service.await_running().await.is_err());
        assert!(service.await_terminated().await.is_ok());
    });
}

#[test]
fn a_timer_runs_until_its_first_error() {
    run_async(async {
        let clock = Arc::new(ManualClock::default());
        let rounds = Arc::new(AtomicUsize::new(0));
        let counter = Arc::clone(&rounds);
        let round = move || {
            let round = counter.fetch_add(1, Ordering::Relaxed);
            async move { if round == 2 { Err(StopProcess.into()) } else { Ok(()) } }
        };
        let service = Service::builder("timer")
            .every(Duration::from_secs(10), Arc::clone(&clock) as Arc<dyn Clock>, round)
            .build();
        service.start_and_await_running().await.unwrap();
        for expected in [0, 1, 2] {
            settle().await;
            assert_eq!(rounds.load(Ordering::Relaxed), expected);
            clock.advance(Duration::from_secs(10));
        }
        assert!(service.await_terminated().await.is_err());
        assert!(service.failure().unwrap().is_stop_process());
    });
}

#[test]
fn a_manager_is_healthy_when_all_run_and_stopped_when_all_ended() {
    run_async(async {
        let (release, released) = oneshot::channel::<()>();
        let slow = Service::builder("slow")
            .starting(|_| async {
                let _ = released.await;
                Ok(())
            })
            .build();
        let manager = Manager::new(vec![Service::builder("fast").build(), slow]).unwrap();
        let heard = Arc::new(Mutex::new(Vec::new()));
        let sink = Arc::clone(&heard);
        manager.add_listener(move |event| sink.lock().push(format!("{event:?}")));
        manager.start().unwrap();
        settle().await;
        assert!(!manager.is_healthy());
        assert_eq!(manager.counts(), BTreeMap::from([(State::Starting, 1), (State::Running, 1)]));
        release.send(()).unwrap();
        manager.await_healthy().await.unwrap();
        assert!(manager.is_healthy());
        manager.stop();
        manager.await_stopped().await;
        settle().await;
        assert_eq!(*heard.lock(), ["Healthy", "Stopped"]);
    });
}

#[test]
fn a_manager_says_early_that_it_will_never_be_healthy() {
    run_async(async {
        let bad = Service::builder("bad").starting(|_| async { broken("no disk") }).build();
        let manager = Manager::new(vec![Service::builder("good").build(), bad]).unwrap();
        let mut failures = FailureWatcher::new();
        failures.watch_all(&manager);
        manager.start().unwrap();
        let error = manager.await_healthy().await.unwrap_err();
        assert_eq!(error.to_string(), "not healthy: bad failed: no disk");
        let (name, failure) = failures.next().await.unwrap();
        assert_eq!((&*name, failure.to_string().as_str()), ("bad", "no disk"));
        failures.close();
        assert!(failures.next().await.is_none());
        manager.stop();
        manager.await_stopped().await;
    });
    assert!(matches!(Manager::new(Vec::new()), Err(Error::NoServices)));
}

/// What may happen to a service from outside.
#[derive(Debug, Clone, Copy)]
enum Act {
    Start,
    Stop,
    /// Lets the step that is being taken end, well or badly.
    End(Step, bool),
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Step {
    Start,
    Run,
    Stop,
}

fn acts() -> impl Strategy<Value = Vec<Act>> {
    let step = prop_oneof![Just(Step::Start), Just(Step::Run), Just(Step::Stop)];
    let act = prop_oneof![
        2 => Just(Act::Start),
        1 => Just(Act::Stop),
        4 => (step, any::<bool>()).prop_map(|(step, is_good)| Act::End(step, is_good)),
    ];
    proptest::collection::vec(act, 0..12)
}

/// The table of the service's life as a model: what each act leads to.
#[derive(Debug, Clone, Copy)]
struct Life {
    state: State,
    is_stop_requested: bool,
    has_failed: bool,
}

impl Life {
    fn act(&mut self, act: Act) {
        match (self.state, act) {
            (State::New, Act::Start) => self.state = State::Starting,
            (State::New, Act::Stop) => self.state = State::Terminated,
            (_, Act::Stop) => {
                self.is_stop_requested = true;
                if self.state == State::Running {
                    // The run step below returns on request.
                    self.state = State::Stopping;
                }
            }
            (State::Starting, Act::End(Step::Start, false)) => self.state = State::Failed,
            (State::Starting, Act::End(Step::Start, true)) => {
                let is_late = self.is_stop_requested;
                self.state = if is_late { State::Stopping } else { State::Running };
            }
            (State::Running, Act::End(Step::Run, is_good)) => {
                self.has_failed = !is_good;
                self.state = State::Stopping;
            }
            (State::Stopping, Act::End(Step::Stop, is_good)) => {
                let is_good = is_good && !self.has_failed;
                self.state = if is_good { State::Terminated } else { State::Failed };
            }
            _ => {}
        }
    }
}

/// A service whose steps end when told to.
struct Puppet {
    service: Service,
    ends: BTreeMap<u8, oneshot::Sender<bool>>,
}

impl Puppet {
    fn new() -> Self {
        let mut ends = BTreeMap::new();
        let mut step = |number: u8| {
            let (tx, rx) = oneshot::channel();
            ends.insert(number, tx);
            async move { if rx.await.unwrap_or(true) { Ok(()) } else { broken("told to") } }
        };
        let (start, run, stop) = (step(0), step(1), step(2));
        let service = Service::builder("puppet")
            .starting(|_| start)
            .running(|request| async move {
                tokio::select! {
                    biased;
                    () = request.requested() => Ok(()),
                    ended = run => ended,
                }
            })
            .stopping(|_| stop)
            .build();
        Self { service, ends }
    }

    fn act(&mut self, act: Act) {
        match act {
            Act::Start => drop(self.service.start()),
            Act::Stop => self.service.stop(),
            Act::End(step, is_good) => {
                let is_its_turn = matches!(
                    (step, self.service.state()),
                    (Step::Start, State::Starting)
                        | (Step::Run, State::Running)
                        | (Step::Stop, State::Stopping)
                );
                if is_its_turn && let Some(end) = self.ends.remove(&(step as u8)) {
                    let _ = end.send(is_good);
                }
            }
        }
    }
}

proptest! {
    #[test]
    fn every_life_follows_the_table(acts in acts()) {
        run_async(async {
            let mut puppet = Puppet::new();
            let (heard, _listener) = listen(&puppet.service);
            let mut life =
                Life { state: State::New, is_stop_requested: false, has_failed: false };
            for act in acts {
                puppet.act(act);
                life.act(act);
                settle().await;
                prop_assert_eq!(puppet.service.state(), life.state, "after {:?}", act);
            }
            let heard = heard.lock();
            prop_assert!(heard.len() <= TRANSITIONS_MAX);
            let mut state = State::New;
            for transition in heard.iter() {
                prop_assert_eq!(transition.from, state);
                prop_assert!(transition.from.may_become(transition.to));
                state = transition.to;
            }
            prop_assert_eq!(state, puppet.service.state());
            prop_assert_eq!(puppet.service.failure().is_some(), state == State::Failed);
            Ok(())
        })?;
    }
}
