//! Tasks and answers through bytes and back.

use std::time::Duration;

use bytes::Bytes;
use logql::eval::CancelReason;
use logql::request::{QueryPart, QueryRequest, QueryTime};
use logql::source::Shard;
use model::answer::{Answer, QueryStats, Value};
use model::{ErrorKind, TimeRange, Timestamp};
use proptest::prelude::*;

use super::*;
use crate::task::{HttpRequest, HttpResponse, Version, Work};
use crate::testing::{ask, generate, query, source_of, tenant};

#[test]
fn tasks_come_back() {
    let shard = Some(Shard { index: 1, of: 3 });
    let mut piece =
        QueryRequest { part: Some(QueryPart { shard }), ..query("rate({a=\"b\"}[1m])") };
    piece.tags.insert("source".to_owned(), "test".to_owned());
    let instant = QueryRequest { time: QueryTime::Instant(Timestamp(-5)), ..query("vector(1)") };
    let http = HttpRequest {
        method: "GET".to_owned(),
        path_and_query: "/loki/api/v1/labels?x=y".to_owned(),
        headers: vec![("accept".to_owned(), "text/plain".to_owned())],
        body: Bytes::from_static(b"\xff\0"),
    };
    let ranges = vec![TimeRange::new(Timestamp(1), Timestamp(9)), TimeRange::ALL];
    for work in [Work::Query(piece), Work::Versions { query: instant, ranges }, Work::Http(http)] {
        let tenants = vec![tenant("a"), tenant("b")];
        let task = Task { tenants, actor: vec!["team".to_owned(), "user".to_owned()], work };
        assert_eq!(decode_task(&encode_task(&task)), Ok(task));
    }
}

#[test]
fn outcomes_come_back() {
    let http = HttpResponse { status: 204, headers: Vec::new(), body: Bytes::from_static(b"x") };
    let versions = vec![
        Version { hash: Some(0), stored_bytes: 1 },
        Version { hash: None, stored_bytes: u64::MAX },
    ];
    let outcomes = [
        Ok(TaskAnswer::Http(http)),
        Ok(TaskAnswer::Versions(versions)),
        Err(TaskError::stopped(CancelReason::Deadline)),
        Err(TaskError::retryable(ErrorKind::Corrupt, "damaged")),
        Err(TaskError::too_many_outstanding()),
    ];
    for outcome in outcomes {
        assert_eq!(decode_outcome(&encode_outcome(&outcome)), Ok(outcome));
    }
}

#[test]
fn nonsense_is_refused() {
    assert!(decode_task(b"").is_err());
    assert!(decode_outcome(b"").is_err());
    assert!(decode_task(&[0xff; 40]).is_err());
    let shard = Some(Shard { index: 3, of: 3 });
    let piece = QueryRequest { part: Some(QueryPart { shard }), ..query("{a=\"b\"}") };
    let task = Task { tenants: vec![tenant("a")], actor: Vec::new(), work: Work::Query(piece) };
    assert!(decode_task(&encode_task(&task)).is_err());
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(32))]

    #[test]
    fn answers_come_back(streams in generate::streams(), categorize: bool, count: u64) {
        let source = source_of(&streams);
        for text in [
            r#"{app=~".+"} | logfmt"#,
            r#"sum by (app, pod) (rate({app=~".+"}[1m])) / 3"#,
            "1 / 3",
        ] {
            let query = QueryRequest { categorize, ..query(text) };
            let mut answer = ask(&source, &query, 0).unwrap();
            answer.stats.index_bytes = count;
            answer.warnings = vec!["incomplete".to_owned()];
            let (waited, worked) = (Duration::from_nanos(count), Duration::from_millis(3));
            let outcome = Ok(TaskAnswer::Answer(Timed { answer, waited, worked }));
            prop_assert_eq!(decode_outcome(&encode_outcome(&outcome)), Ok(outcome));
        }
    }

    #[test]
    fn any_bytes_are_safe(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        let _ = decode_task(&bytes);
        let _ = decode_outcome(&bytes);
        let _ = decode_answer(&bytes);
    }
}

#[test]
fn values_that_are_no_numbers_come_back() {
    let sample = |value| model::answer::Sample { timestamp: Timestamp(7), value };
    for value in [f64::NAN, f64::INFINITY, -0.0, 5e-324] {
        let answer = Answer {
            value: Value::Scalar(sample(value)),
            stats: QueryStats::default(),
            warnings: Vec::new(),
        };
        let timed = Timed { answer, waited: Duration::ZERO, worked: Duration::ZERO };
        let back = decode_answer(&encode_answer(&timed)).unwrap();
        let Value::Scalar(found) = back.answer.value else { panic!("{back:?}") };
        assert_eq!(found.value.to_bits(), value.to_bits());
    }
}
