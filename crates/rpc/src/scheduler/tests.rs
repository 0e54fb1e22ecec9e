use std::time::Duration;

use super::*;

#[test]
fn what_is_said_is_understood() {
    let task = Bytes::from_static(b"task");
    let actor = vec!["team".to_owned(), "user".to_owned()];
    let tenant = "a".to_owned();
    for said in [
        FromFrontend::Task { id: 1, tenant, actor, task: task.clone() },
        FromFrontend::Cancel { id: 2 },
    ] {
        assert_eq!(read_from_frontend(write_from_frontend(said.clone())), Some(said));
    }
    let refused = Error::new(ErrorKind::LimitExceeded, "too many outstanding requests")
        .retry_after(Some(Duration::from_millis(250)));
    for outcome in [Ok(task.clone()), Err(refused.clone())] {
        let answer = ToFrontend { id: 3, outcome: outcome.clone() };
        assert_eq!(read_to_frontend(write_to_frontend(answer.clone())), Ok(answer));
        let done = FromWorker::Done { id: 4, outcome };
        assert_eq!(read_from_worker(write_from_worker(done.clone())), Some(done));
    }
    let slots = FromWorker::Slots(8);
    assert_eq!(read_from_worker(write_from_worker(slots.clone())), Some(slots));
    for said in [ToWorker::Task { id: 5, task }, ToWorker::Cancel { id: 6 }] {
        assert_eq!(read_to_worker(write_to_worker(said.clone())), Ok(said));
    }
}

#[test]
fn what_says_nothing_is_refused() {
    assert_eq!(read_from_frontend(wire::FromFrontend { id: 1, say: None }), None);
    assert!(read_to_worker(wire::ToWorker { id: 1, say: None }).is_err());
}
