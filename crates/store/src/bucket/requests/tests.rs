use std::cell::RefCell;
use std::rc::Rc;

use futures_util::FutureExt as _;
use runtime::clock::ManualClock;
use tokio::sync::oneshot;

use super::*;

const AT: Duration = Duration::from_millis(250);

/// Reads that answer when the test says so, in the order in which they were sent.
#[derive(Clone, Default)]
struct Reads(Rc<RefCell<Vec<Pending>>>);

/// Where the answer to one read goes.
type Pending = oneshot::Sender<Result<u32, &'static str>>;

impl Reads {
    fn send(&self) -> impl Future<Output = Result<u32, &'static str>> + use<> {
        let (answer, answered) = oneshot::channel();
        self.0.borrow_mut().push(answer);
        async move { answered.await.unwrap_or(Err("dropped")) }
    }

    fn sent(&self) -> usize {
        self.0.borrow().len()
    }

    /// Answers the oldest read that has no answer.
    fn answer(&self, index: usize, result: Result<u32, &'static str>) {
        self.0.borrow_mut().remove(index).send(result).unwrap();
    }
}

fn requests(hedging: HedgingConfig, concurrency: usize) -> (Requests, Arc<ManualClock>) {
    let clock = Arc::new(ManualClock::default());
    (Requests::new(concurrency, hedging, clock.clone(), Metrics::default()), clock)
}

fn hedging(up_to: usize, max_per_second: u32) -> HedgingConfig {
    HedgingConfig { at: AT, up_to, max_per_second }
}

#[test]
fn a_fast_read_is_sent_once() {
    let (requests, _) = requests(hedging(2, 5), 8);
    let reads = Reads::default();
    let mut answer = Box::pin(requests.hedged(|| reads.send()));
    assert_eq!((&mut answer).now_or_never(), None);
    reads.answer(0, Ok(1));
    assert_eq!(answer.now_or_never(), Some(Ok(1)));
    assert_eq!((requests.metrics.hedges.get(), requests.metrics.hedge_wins.get()), (0, 0));
}

#[test]
fn a_slow_read_is_sent_again_and_the_first_answer_counts() {
    let (requests, clock) = requests(hedging(3, 5), 8);
    let reads = Reads::default();
    let mut answer = Box::pin(requests.hedged(|| reads.send()));
    assert_eq!((&mut answer).now_or_never(), None);
    for sent in 2..=3 {
        clock.advance(AT);
        assert_eq!((&mut answer).now_or_never(), None);
        assert_eq!(reads.sent(), sent);
    }
    clock.advance(AT * 10);
    assert_eq!((&mut answer).now_or_never(), None);
    assert_eq!(reads.sent(), 3, "no more than up_to");
    reads.answer(1, Ok(2));
    assert_eq!(answer.now_or_never(), Some(Ok(2)));
    assert_eq!((requests.metrics.hedges.get(), requests.metrics.hedge_wins.get()), (2, 1));
    assert_eq!(requests.permits.available_permits(), 8, "every permit is given back");
}

#[test]
fn an_error_counts_when_nothing_else_is_under_way() {
    let (requests, clock) = requests(hedging(2, 5), 8);
    let reads = Reads::default();
    let mut answer = Box::pin(requests.hedged(|| reads.send()));
    assert_eq!((&mut answer).now_or_never(), None);
    clock.advance(AT);
    assert_eq!((&mut answer).now_or_never(), None);
    reads.answer(0, Err("broken"));
    assert_eq!((&mut answer).now_or_never(), None, "the second may succeed");
    reads.answer(0, Ok(7));
    assert_eq!(answer.now_or_never(), Some(Ok(7)));

    let mut answer = Box::pin(requests.hedged(|| reads.send()));
    assert_eq!((&mut answer).now_or_never(), None);
    reads.answer(0, Err("broken"));
    assert_eq!(answer.now_or_never(), Some(Err("broken")));
}

#[test]
fn extra_reads_are_bounded_by_a_budget_and_by_the_number_of_requests() {
    let check = |up_to, max_per_second, concurrency, at: Duration, expected| {
        let (requests, clock) = requests(HedgingConfig { at, up_to, max_per_second }, concurrency);
        let reads = Reads::default();
        let mut answers: Vec<_> =
            (0..3).map(|_| Box::pin(requests.hedged(|| reads.send()))).collect();
        for answer in &mut answers {
            assert_eq!(answer.now_or_never(), None);
        }
        clock.advance(AT);
        for answer in &mut answers {
            assert_eq!(answer.now_or_never(), None);
        }
        assert_eq!(reads.sent(), expected);
    };
    check(2, 5, 8, AT, 6);
    check(2, 2, 8, AT, 5);
    check(2, 0, 8, AT, 3);
    check(1, 5, 8, AT, 3);
    check(2, 5, 4, AT, 4);
    check(2, 5, 8, Duration::ZERO, 3);
}

#[test]
fn the_budget_fills_with_time() {
    let mut budget = Budget { requests: 2.0, filled_at: Duration::ZERO };
    assert!(budget.take(2, Duration::ZERO));
    assert!(budget.take(2, Duration::ZERO));
    assert!(!budget.take(2, Duration::from_millis(400)));
    assert!(budget.take(2, Duration::from_millis(500)));
    assert!(!budget.take(2, Duration::from_millis(500)));
    let later = Duration::from_secs(60);
    assert!(budget.take(2, later) && budget.take(2, later) && !budget.take(2, later));
}

#[test]
fn requests_wait_for_room() {
    let (requests, _) = requests(HedgingConfig::default(), 1);
    let reads = Reads::default();
    let mut first = Box::pin(requests.once(reads.send()));
    let mut second = Box::pin(requests.hedged(|| reads.send()));
    assert_eq!((&mut first).now_or_never(), None);
    assert_eq!((&mut second).now_or_never(), None);
    assert_eq!(reads.sent(), 1, "the second is not sent");
    reads.answer(0, Ok(1));
    assert_eq!(first.now_or_never(), Some(Ok(1)));
    assert_eq!((&mut second).now_or_never(), None);
    reads.answer(0, Ok(2));
    assert_eq!(second.now_or_never(), Some(Ok(2)));
}
