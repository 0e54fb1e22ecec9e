//! Fairness, bounds and cancellation.

use futures_util::FutureExt as _;

use super::*;

fn queue(max: usize) -> FairQueue<String> {
    FairQueue::new(QueueConfig { max_outstanding_per_tenant: max, max_actor_levels: 2 })
}

fn path(actor: &str) -> Vec<String> {
    actor.split('|').filter(|part| !part.is_empty()).map(str::to_owned).collect()
}

/// Pushes `tenant actor count` and takes everything.
fn order(pushes: &[(&str, &str, usize)]) -> Vec<String> {
    let queue = queue(100);
    for (tenant, actor, count) in pushes {
        for number in 0..*count {
            queue.push(tenant, &path(actor), 0, format!("{tenant}{actor}{number}")).unwrap();
        }
    }
    let taken: Vec<String> = std::iter::from_fn(|| queue.try_take("w")).collect();
    assert_eq!(queue.waiting(), 0);
    taken
}

#[test]
fn tenants_take_turns() {
    assert_eq!(
        order(&[("a", "", 4), ("b", "", 1), ("c", "", 2)]),
        ["a0", "b0", "c0", "a1", "c1", "a2", "a3"]
    );
}

#[test]
fn actors_of_a_tenant_take_turns() {
    assert_eq!(
        order(&[("a", "x", 3), ("a", "y", 1), ("b", "", 2)]),
        ["ax0", "b0", "ay0", "b1", "ax1", "ax2"]
    );
    // The tenant's own queue has turns like an actor's.
    assert_eq!(order(&[("a", "", 2), ("a", "x", 2)]), ["a0", "ax0", "a1", "ax1"]);
    // Groups take turns, then users within them.
    assert_eq!(
        order(&[("a", "g|x", 2), ("a", "g|y", 1), ("a", "h", 2)]),
        ["ag|x0", "ah0", "ag|y0", "ah1", "ag|x1"]
    );
}

#[test]
fn what_waits_is_bounded_per_tenant() {
    let queue = queue(2);
    let push = |tenant| queue.push(tenant, &[], 0, String::new());
    assert!(push("a").is_ok() && push("a").is_ok());
    assert_eq!(push("a"), Err(Full));
    assert!(push("b").is_ok());
    queue.put_back("a", &[], 0, "again".to_owned());
    assert_eq!(queue.waiting_of("a"), 3);
    assert_eq!(queue.try_take("w").as_deref(), Some("again"));
}

#[test]
fn what_is_cancelled_is_gone() {
    let queue = queue(2);
    let first = queue.push("a", &path("x"), 0, "first".to_owned()).unwrap();
    let second = queue.push("a", &path("x"), 0, "second".to_owned()).unwrap();
    assert_eq!(queue.cancel(first).as_deref(), Some("first"));
    assert_eq!(queue.cancel(first), None);
    assert_eq!(queue.waiting(), 1);
    assert!(queue.push("a", &path("x"), 0, "third".to_owned()).is_ok());
    assert_eq!(queue.try_take("w").as_deref(), Some("second"));
    assert_eq!(queue.cancel(second), None);
    assert_eq!(queue.try_take("w").as_deref(), Some("third"));
    assert_eq!(queue.try_take("w"), None);
}

#[test]
fn bounded_tenants_are_served_by_some_takers_only() {
    let queue = queue(1000);
    let takers: Vec<String> = (0..10).map(|number| format!("querier-{number}")).collect();
    takers.iter().for_each(|taker| queue.connect(taker));
    let serving = |tenant: &str| -> Vec<&String> {
        let serves = |taker: &&String| {
            queue.push(tenant, &[], 3, String::new()).unwrap();
            queue.try_take(taker).is_some()
        };
        let serving = takers.iter().filter(serves).collect();
        while queue.try_take(&takers[0]).is_some() {}
        takers.iter().for_each(|taker| while queue.try_take(taker).is_some() {});
        serving
    };
    let (a, b) = (serving("a"), serving("b"));
    assert_eq!((a.len(), b.len()), (3, 3));
    assert_ne!(a, b);
    // When one of them goes, another takes its place and the rest stay.
    let gone = a[0];
    queue.disconnect(gone);
    let after = serving("a");
    assert_eq!(after.iter().filter(|taker| **taker != gone).count(), 3);
    assert!(a[1..].iter().all(|taker| after.contains(taker)));
}

#[tokio::test]
async fn takers_wait_for_items() {
    let queue = queue(10);
    let mut waiting = Box::pin(queue.take("w"));
    assert!(waiting.as_mut().now_or_never().is_none());
    queue.push("a", &[], 0, "item".to_owned()).unwrap();
    assert_eq!(waiting.await, "item");
    // A taker that gives up takes nothing with it.
    let mut gone = Box::pin(queue.take("w"));
    assert!(gone.as_mut().now_or_never().is_none());
    queue.push("a", &[], 0, "next".to_owned()).unwrap();
    drop(gone);
    assert_eq!(queue.take("w").await, "next");
}

/// The promise about neighbours: whoever asks little waits for at most what is being worked on and
/// one turn of each other tenant.
#[test]
fn a_neighbour_with_200_heavy_queries_delays_by_less_than_two_pieces() {
    let queue = FairQueue::new(QueueConfig::default());
    for heavy in 0..200 {
        for piece in 0..10 {
            queue.push("heavy", &[], 0, format!("heavy {heavy}.{piece}")).unwrap();
        }
    }
    // One worker, busy with a piece when the small query comes.
    assert!(queue.try_take("w").is_some_and(|piece| piece.starts_with("heavy")));
    assert!(queue.try_take("w").is_some_and(|piece| piece.starts_with("heavy")));
    queue.push("small", &[], 0, "small".to_owned()).unwrap();
    let mut pieces_before = 1;
    while queue.try_take("w").is_none_or(|piece| piece != "small") {
        pieces_before += 1;
    }
    assert!(pieces_before <= 2, "the small query waited for {pieces_before} pieces");
}
