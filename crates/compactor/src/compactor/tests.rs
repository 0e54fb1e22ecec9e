use std::time::Duration;

use model::{MatchOp, Matcher};
use store::{DeleteState, Retention, RetentionRule};

use super::*;
use crate::testing::{DAY, Rig, Silent, TestRow, flush, row, rows_of, tenant};
use crate::{DeleteParams, DeletionMode};

const HOUR: Duration = Duration::from_secs(3600);

fn config() -> Config {
    Config {
        retention_enabled: true,
        cancel_period: HOUR,
        grace: Duration::from_secs(60),
        retention_delete_delay: HOUR,
        ..Config::default()
    }
}

fn time(offset: i64) -> model::Timestamp {
    model::Timestamp(i64::from(DAY) * model::time::DAY_NS + offset)
}

fn deletion(query: &str, first: i64, last: i64) -> DeleteParams {
    let (start, end) = (time(first), time(last));
    DeleteParams { query: query.to_owned(), start, end, max_interval: None }
}

fn sorted(store: &Store) -> Vec<TestRow> {
    let mut rows = rows_of(store);
    rows.sort();
    rows
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn flushes_of_a_past_day_become_one_segment_and_go_after_the_grace_time() {
    let rig = Rig::new(config(), Limits::default()).await;
    for position in 1..=3i64 {
        flush(&rig.store, position as u64, &[row("a", position, "x"), row("a", 9, "y")]).await;
    }
    rig.round().await;
    let expected = [row("a", 1, "x"), row("a", 2, "x"), row("a", 3, "x"), row("a", 9, "y")];
    assert_eq!(rows_of(&rig.store), expected);
    assert_eq!(rig.objects().await, 4, "the inputs are still there");
    rig.clock.advance(Duration::from_secs(59));
    rig.round().await;
    assert_eq!(rig.objects().await, 4);
    rig.clock.advance(Duration::from_secs(2));
    rig.round().await;
    assert_eq!(rig.objects().await, 1);
    assert_eq!(rows_of(&rig.store), expected);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn two_compactors_do_no_harm() {
    let rig = Rig::new(config(), Limits::default()).await;
    let stop = Stop::new();
    let other = Rig::another(&rig.store, &rig.clock, config(), Limits::default());
    for position in 1..=6i64 {
        flush(&rig.store, position as u64, &[row("a", position, "x")]).await;
    }
    let (one, two) = futures_util::join!(rig.compactor.round(&stop), other.round(&stop));
    one.unwrap();
    two.unwrap();
    let expected: Vec<TestRow> = (1..=6).map(|at| row("a", at, "x")).collect();
    assert_eq!(rows_of(&rig.store), expected);
    for _ in 0..2 {
        rig.clock.advance(2 * Duration::from_secs(60));
        rig.round().await;
    }
    assert_eq!((rig.objects().await, rows_of(&rig.store)), (1, expected));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn expired_segments_are_deleted_and_expired_streams_written_out() {
    let day = 24 * HOUR;
    let short = RetentionRule {
        matchers: vec![Matcher::new("app", MatchOp::Equal, "debug").unwrap()],
        priority: 1,
        period: day,
    };
    let retention = Arc::new(Retention::new(10 * day, vec![short]));
    let limits = Limits { retention, ..Limits::default() };
    let rig = Rig::new(config(), limits).await;
    flush(&rig.store, 1, &[row("debug", 1, "x"), row("web", 1, "x")]).await;
    rig.round().await;
    assert_eq!(rows_of(&rig.store).len(), 2, "the delay is not over");
    rig.clock.advance(HOUR);
    rig.round().await;
    assert_eq!(rows_of(&rig.store), [row("web", 1, "x")]);
    rig.clock.advance(8 * day);
    rig.round().await;
    assert_eq!(rows_of(&rig.store), [row("web", 1, "x")]);
    rig.clock.advance(HOUR);
    rig.round().await;
    assert_eq!(rig.objects().await, 0);
}

/// Everything expires after ten days, and what `debug` says after one.
fn short_debug() -> Limits {
    let day = 24 * HOUR;
    let short = RetentionRule {
        matchers: vec![Matcher::new("app", MatchOp::Equal, "debug").unwrap()],
        priority: 1,
        period: day,
    };
    Limits { retention: Arc::new(Retention::new(10 * day, vec![short])), ..Limits::default() }
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_flush_that_is_stored_again_after_a_crash_does_not_bring_expired_rows_back() {
    let rig = Rig::new(config(), short_debug()).await;
    rig.clock.advance(HOUR);
    let again = [row("debug", 1, "x"), row("web", 1, "x")];
    let name = flush(&rig.store, 1, &again).await;
    rig.round().await;
    rig.clock.advance(Duration::from_secs(61));
    rig.round().await;
    assert_eq!(rig.objects().await, 1, "written anew without what has expired");
    flush(&rig.store, 2, &[row("web", 2, "x")]).await;
    rig.round().await;
    let expected = [row("web", 1, "x"), row("web", 2, "x")];
    assert_eq!((rig.objects().await, rows_of(&rig.store)), (3, expected.to_vec()));
    // Its child is superseded already, and goes earlier than it.
    rig.clock.advance(Duration::from_secs(30));
    assert_eq!(flush(&rig.store, 1, &again).await, name);
    rig.round().await;
    rig.clock.advance(Duration::from_secs(31));
    for _ in 0..3 {
        rig.round().await;
        assert_eq!(sorted(&rig.store), expected);
        rig.clock.advance(Duration::from_secs(61));
    }
    assert_eq!((rig.objects().await, sorted(&rig.store)), (1, expected.to_vec()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn what_is_removed_for_good_does_not_come_back_from_what_it_was_made_of() {
    let rig = Rig::new(config(), Limits::default()).await;
    for position in 1..=3i64 {
        flush(&rig.store, position as u64, &[row("a", position, "x")]).await;
    }
    rig.round().await;
    assert_eq!(rig.objects().await, 4, "the inputs are still there");
    let limits = Limits { retention_bytes: 1, ..Limits::default() };
    let other = Rig::another(&rig.store, &rig.clock, Config::default(), limits);
    other.expire(&Stop::new()).await.unwrap();
    assert_eq!((rig.objects().await, rows_of(&rig.store)), (0, Vec::new()));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn the_oldest_segments_go_when_there_are_too_many_bytes() {
    let limits = Limits { retention_bytes: 1, ..Limits::default() };
    let rig = Rig::new(Config { retention_enabled: false, ..config() }, Limits::default()).await;
    for position in 1..=3i64 {
        flush(&rig.store, position as u64, &[row("a", position, "x")]).await;
    }
    let bytes = rig.store.catalog().total().bytes;
    let kept = Config { retention_bytes: bytes - 1, pile_max: 99, ..Config::default() };
    let other = Rig::another(&rig.store, &rig.clock, kept, Limits::default());
    other.expire(&Stop::new()).await.unwrap();
    assert_eq!(sorted(&rig.store), [row("a", 2, "x"), row("a", 3, "x")]);
    let other = Rig::another(&rig.store, &rig.clock, Config::default(), limits);
    other.expire(&Stop::new()).await.unwrap();
    assert_eq!(rig.objects().await, 0);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_request_is_carried_out_after_its_cancel_period() {
    let rig = Rig::new(config(), Limits::default()).await;
    flush(&rig.store, 1, &[row("a", 1, "keep"), row("a", 2, "secret"), row("b", 2, "secret")])
        .await;
    flush(&rig.store, 2, &[row("c", 2, "secret")]).await;
    let asked = deletion("{app=\"a\"} |= \"secret\"", 0, 5);
    let id = rig.compactor.create_delete(&tenant(), asked).await.unwrap();
    rig.round().await;
    assert_eq!(rows_of(&rig.store).len(), 4, "it can still be cancelled");
    rig.clock.advance(HOUR);
    rig.round().await;
    let left = [row("a", 1, "keep"), row("b", 2, "secret"), row("c", 2, "secret")];
    assert_eq!(sorted(&rig.store), left);
    let listed = rig.compactor.list_deletes(&tenant(), None);
    assert_eq!(listed[0].request.state, DeleteState::Begun);
    assert_eq!(listed[0].percent, Some(99), "old segments still hold rows");
    let refused = rig.compactor.cancel_delete(&tenant(), &id, false).await;
    assert!(matches!(refused, Err(Error::Refused(_))));
    for _ in 0..2 {
        rig.clock.advance(Duration::from_secs(61));
        rig.round().await;
    }
    let listed = rig.compactor.list_deletes(&tenant(), None);
    assert_eq!(listed[0].request.state, DeleteState::Processed);
    assert_eq!((sorted(&rig.store), rig.objects().await), (left.to_vec(), 1));
    // What comes later is no longer meant.
    flush(&rig.store, 3, &[row("a", 3, "secret")]).await;
    rig.round().await;
    assert_eq!(sorted(&rig.store).len(), 4);
    let refused = rig.compactor.cancel_delete(&tenant(), &id, true).await;
    assert!(matches!(refused, Err(Error::Refused(_))));
    assert_eq!(rig.compactor.generation(&tenant()).await.unwrap(), 1);
    rig.clock.advance(31 * 24 * HOUR);
    rig.round().await;
    assert!(rig.compactor.list_deletes(&tenant(), None).is_empty(), "old requests are forgotten");
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_delete_request_stays_in_force_until_everybody_has_stored_their_rows() {
    let rig = Rig::new(config(), Limits::default()).await;
    let silent = Arc::new(Silent {
        answers: false.into(),
        store: rig.another_store().await,
        rows: vec![row("a", 3, "secret"), row("a", 4, "keep")],
    });
    let settings = (config(), Limits::default());
    let compactor = Rig::flushing(&rig.store, &rig.clock, settings, Arc::clone(&silent) as _);
    flush(&rig.store, 1, &[row("a", 1, "keep"), row("a", 2, "secret")]).await;
    let asked = deletion("{app=\"a\"} |= \"secret\"", 0, 5);
    compactor.create_delete(&tenant(), asked).await.unwrap();
    rig.clock.advance(HOUR);
    let stop = Stop::new();
    for _ in 0..3 {
        let round = compactor.round(&stop).await;
        assert!(matches!(round, Err(Error::Flush(_))));
        rig.clock.advance(Duration::from_secs(61));
    }
    let state = || compactor.list_deletes(&tenant(), None)[0].request.state;
    assert_eq!(sorted(&rig.store), [row("a", 1, "keep")], "what is stored goes all the same");
    assert_eq!(state(), DeleteState::Begun);
    silent.answers.store(true, std::sync::atomic::Ordering::Relaxed);
    for _ in 0..4 {
        compactor.round(&stop).await.unwrap();
        rig.clock.advance(Duration::from_secs(61));
    }
    assert_eq!(state(), DeleteState::Processed);
    assert_eq!(sorted(&rig.store), [row("a", 1, "keep"), row("a", 4, "keep")]);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn whole_segments_go_when_nothing_is_left_of_them() {
    let rig =
        Rig::new(Config { cancel_period: Duration::ZERO, ..config() }, Limits::default()).await;
    flush(&rig.store, 1, &[row("a", 1, "x"), row("b", 2, "y")]).await;
    rig.compactor.create_delete(&tenant(), deletion("{app=~\".+\"}", 0, 5)).await.unwrap();
    for _ in 0..2 {
        rig.round().await;
        rig.clock.advance(Duration::from_secs(61));
    }
    assert_eq!(rig.objects().await, 0);
    let listed = rig.compactor.list_deletes(&tenant(), None);
    assert_eq!(listed[0].request.state, DeleteState::Processed);
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_cancelled_request_and_a_filter_delete_nothing() {
    for (mode, cancels) in
        [(DeletionMode::FilterAndDelete, true), (DeletionMode::FilterOnly, false)]
    {
        let limits = Limits { deletion_mode: mode, ..Limits::default() };
        let rig = Rig::new(config(), limits).await;
        flush(&rig.store, 1, &[row("a", 1, "x")]).await;
        let id =
            rig.compactor.create_delete(&tenant(), deletion("{app=\"a\"}", 0, 5)).await.unwrap();
        if cancels {
            rig.compactor.cancel_delete(&tenant(), &id, false).await.unwrap();
            let again = rig.compactor.cancel_delete(&tenant(), &id, false).await;
            assert!(matches!(again, Err(Error::UnknownRequest)));
        }
        rig.clock.advance(3 * HOUR);
        rig.round().await;
        assert_eq!(rows_of(&rig.store).len(), 1, "{mode:?}");
    }
}

#[tokio::test]
async fn requests_are_checked() {
    let rig = Rig::new(config(), Limits::default()).await;
    let refusal = |params: DeleteParams| match rig.compactor.check_delete(&tenant(), &params) {
        Err(error) => error.to_string(),
        Ok(()) => String::new(),
    };
    let good = deletion("{app=\"a\"}", 0, 3_600_000_000_000);
    let second = |seconds| Some(Duration::from_secs(seconds));
    assert_eq!(refusal(good.clone()), "");
    assert_eq!(refusal(DeleteParams { max_interval: second(60), ..good.clone() }), "");
    for (params, text) in [
        (DeleteParams { query: "{app".into(), ..good.clone() }, "invalid query expression"),
        (DeleteParams { query: "rate({a=\"b\"}[1m])".into(), ..good.clone() }, "invalid query"),
        (DeleteParams { end: time(i64::MAX / 8), ..good.clone() }, "in the future"),
        (DeleteParams { start: good.end, ..good.clone() }, "start time can't be greater"),
        (DeleteParams { max_interval: second(0), ..good.clone() }, "less than 1s"),
        (DeleteParams { max_interval: second(90_000), ..good.clone() }, "greater than 24h0m0s"),
        (DeleteParams { max_interval: second(7200), ..good.clone() }, "to be deleted (1h0m0s)"),
    ] {
        let found = refusal(params);
        assert!(found.contains(text), "{found}");
    }
    let limits = Limits { deletion_mode: DeletionMode::Disabled, ..Limits::default() };
    let disabled = Rig::another(&rig.store, &rig.clock, config(), limits);
    assert!(matches!(disabled.check_delete(&tenant(), &good), Err(Error::Disabled)));
}
