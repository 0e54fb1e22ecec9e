//! Appends that come at the last moment, and batches that are not as this program writes them.

use super::*;

#[test]
fn an_append_that_waited_for_memory_is_refused_when_the_ingester_has_become_read_only() {
    let world = World::new();
    let ingester = world.open();
    let full = world.config.memory_bytes_max;
    world.runtime.block_on(async {
        let held = ingester.heads.reserve(full).await.unwrap();
        let append = ingester.append(batch("t", &[entry(1, 10, "late")]));
        tokio::pin!(append);
        assert!(poll_once(&mut append).await.is_none(), "it waits");
        ingester.set_read_only(true);
        let settled = ingester.heads.settled();
        tokio::pin!(settled);
        assert!(poll_once(&mut settled).await.is_none());
        // Whoever leaves goes on here, and stores what is in the heads.
        drop(held);
        settled.await;
        assert!(matches!(append.await, Err(Error::ReadOnly)));
    });
    assert_eq!(in_memory(&ingester, "t"), once(&[]));
}

#[test]
fn a_stream_whose_labels_are_written_in_two_ways_is_one_after_a_crash_too() {
    let world = World::new();
    let ingester = world.open();
    world.append(&ingester, "t", &[entry(1, 10, "a")]);
    let labels = Labels::new([("app", "web"), ("n", "1")]);
    let mut other = BatchBuilder::new(&id("t"));
    other.begin_text(labels.fingerprint(), r#"{n="1",app="web"}"#);
    other.push_row(Timestamp(11), b"b", None, &[]).unwrap();
    world.runtime.block_on(ingester.append(other.finish())).unwrap();
    let expected = once(&[entry(1, 10, "a"), entry(1, 11, "b")]);
    assert_eq!((in_memory(&ingester, "t"), ingester.stream_count(&id("t"))), (expected.clone(), 1));
    let ingester = world.crash(ingester);
    assert_eq!(ingester.stream_count(&id("t")), 1);
    world.flush(&ingester).unwrap();
    assert_eq!(world.stored("t"), expected);
}
