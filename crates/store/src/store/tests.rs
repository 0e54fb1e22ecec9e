use model::{Labels, Timestamp};
use runtime::clock::SystemClock;
use segment::{EncodeSettings, Row, SegmentFacts, SegmentWriter};

use super::*;
use crate::conformance;

mod elsewhere;

fn dependencies() -> Dependencies {
    Dependencies { clock: Arc::new(SystemClock), metrics: Metrics::default() }
}

fn encoded(tenant: &str, line: &str) -> EncodedSegment {
    let facts = SegmentFacts {
        tenant: TenantId::new(tenant).unwrap(),
        day: 20_000,
        level: 0,
        coverage: None,
    };
    let mut writer = SegmentWriter::new(facts, EncodeSettings::default());
    writer.add_stream(&Labels::new([("app", "web")]));
    let line = line.as_bytes();
    writer.add_row(Row {
        timestamp: Timestamp(20_000 * model::time::DAY_NS + 7),
        line,
        level: None,
        metadata: &[],
    });
    writer.finish().unwrap()
}

fn everything(store: &Store, tenant: &str) -> Vec<Arc<StoredSegment>> {
    store.snapshot(&TenantId::new(tenant).unwrap(), TimeRange::ALL)
}

#[tokio::test]
async fn memory_conforms() {
    let store = Store::open(Config::memory(), dependencies()).await.unwrap();
    conformance::check(store.bucket(), "conformance").await.unwrap();
}

#[tokio::test]
async fn files_conform() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config::filesystem(directory.path());
    let store = Store::open(config, dependencies()).await.unwrap();
    conformance::check(store.bucket(), "conformance").await.unwrap();
    let prefixed = Config { prefix: "/a/b/".into(), ..Config::filesystem(directory.path()) };
    let store = Store::open(prefixed, dependencies()).await.unwrap();
    conformance::check(store.bucket(), "conformance").await.unwrap();
    store.bucket().create("x", "y".into()).await.unwrap();
    assert_eq!(std::fs::read(directory.path().join("a/b/x")).unwrap(), b"y");
}

#[tokio::test]
async fn uploads_are_seen_at_once_and_after_a_restart() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config::filesystem(directory.path());
    let store = Store::open(config.clone(), dependencies()).await.unwrap();
    let first = encoded("a", "one");
    let name = store.upload(first.clone()).await.unwrap();
    assert_eq!(store.upload(first).await.unwrap(), name, "again is no error");
    store.upload(encoded("b", "two")).await.unwrap();
    assert_eq!(everything(&store, "a").len(), 1);

    let reopened = Store::open(config, dependencies()).await.unwrap();
    let found = everything(&reopened, "a");
    assert_eq!(found.len(), 1);
    assert_eq!(found[0].name, name);
    let footer = reopened.footer(&found[0]).await.unwrap();
    assert_eq!(footer.rows(), 1);
    let again = reopened.footer_blocking(&found[0]).unwrap();
    assert!(Arc::ptr_eq(&again, &footer), "read once");
    let fingerprint = Labels::new([("app", "web")]).fingerprint();
    assert_eq!(footer.ordinals_of(fingerprint).collect::<Vec<_>>(), [0]);
    assert_eq!(footer.ordinals_of(model::Fingerprint(1)).count(), 0);
    let all = 0..found[0].bytes;
    let whole = reopened.read(&found[0], &[all]).await.unwrap();
    assert!(segment::verify(&whole[0]).is_ok());

    reopened.delete(&name).await.unwrap();
    assert!(everything(&reopened, "a").is_empty());
    assert_eq!(everything(&store, "a").len(), 1, "not known here yet");
    let refreshed = store.refresh().await.unwrap();
    assert_eq!((refreshed.added, refreshed.removed), (0, 1));
    assert!(everything(&store, "a").is_empty());
}

#[tokio::test]
async fn another_object_under_the_name_is_an_error() {
    let store = Store::open(Config::memory(), dependencies()).await.unwrap();
    let segment = encoded("a", "one");
    store.bucket().create(&segment.name.to_string(), "other".into()).await.unwrap();
    let refused = store.upload(segment).await;
    assert!(matches!(refused, Err(Error::Exists { found: 5, .. })));
    assert!(everything(&store, "a").is_empty());
}

#[tokio::test]
async fn damaged_and_foreign_objects_do_no_harm() {
    let store = Store::open(Config::memory(), dependencies()).await.unwrap();
    let segment = encoded("a", "one");
    let damaged = segment.bytes.slice(0..segment.bytes.len() - 1);
    store.bucket().create(&segment.name.to_string(), damaged).await.unwrap();
    store.bucket().create("seg/a/note.txt", "hello".into()).await.unwrap();
    assert_eq!(store.refresh().await.unwrap().ignored, 1);
    let found = everything(&store, "a");
    let error = store.footer(&found[0]).await.unwrap_err();
    assert_eq!(error.kind(), model::ErrorKind::Corrupt);
    assert!(error.chain().starts_with("footer of seg/a/"), "{}", error.chain());
    // The failed reader does not block the next one.
    assert!(store.footer_blocking(&found[0]).is_err());
}

#[tokio::test]
async fn a_footer_length_that_is_too_short_is_made_up_for() {
    let store = Store::open(Config::memory(), dependencies()).await.unwrap();
    let segment = encoded("a", "one");
    let text = segment.name.to_string();
    let (stem, _) = text.trim_end_matches(".seg").rsplit_once('.').unwrap();
    let short = format!("{stem}.1.seg");
    store.bucket().create(&short, segment.bytes.clone()).await.unwrap();
    store.refresh().await.unwrap();
    let found = everything(&store, "a");
    assert_eq!(store.footer(&found[0]).await.unwrap().rows(), 1);
    assert_eq!(store.footer_blocking(&found[0]).unwrap().rows(), 1);
}

/// One segment in the place of others.
fn compacted(lines: &[&str], parents: &[&SegmentName]) -> EncodedSegment {
    let tenant = parents[0].tenant().clone();
    let facts = SegmentFacts { tenant, day: 20_000, level: 1, coverage: None };
    let mut writer = SegmentWriter::new(facts, EncodeSettings::default());
    writer.set_parents(parents.iter().map(|name| name.hash()).collect());
    writer.add_stream(&Labels::new([("app", "web")]));
    for line in lines {
        let timestamp = Timestamp(20_000 * model::time::DAY_NS + 7);
        writer.add_row(Row { timestamp, line: line.as_bytes(), level: None, metadata: &[] });
    }
    writer.finish().unwrap()
}

#[tokio::test]
async fn a_compacted_segment_takes_the_place_of_its_parents_for_everybody() {
    let directory = tempfile::tempdir().unwrap();
    let config = Config::filesystem(directory.path());
    let store = Store::open(config.clone(), dependencies()).await.unwrap();
    let other = Store::open(config.clone(), dependencies()).await.unwrap();
    let one = store.upload(encoded("a", "one")).await.unwrap();
    let two = store.upload(encoded("a", "two")).await.unwrap();
    other.refresh().await.unwrap();
    let child = store.upload(compacted(&["one", "two"], &[&one, &two])).await.unwrap();
    let names = |store: &Store| -> Vec<SegmentName> {
        everything(store, "a").iter().map(|segment| segment.name.clone()).collect()
    };
    assert_eq!(names(&store), std::slice::from_ref(&child));
    assert_eq!(names(&other).len(), 2, "not known there yet");
    assert_eq!(other.refresh().await.unwrap().added, 1);
    let reopened = Store::open(config, dependencies()).await.unwrap();
    for store in [&store, &other, &reopened] {
        assert_eq!(names(store), std::slice::from_ref(&child));
        let catalog = store.catalog();
        assert!(catalog.contains(&one) && catalog.contains(&two), "their rows are there");
        assert_eq!(catalog.superseded(child.tenant()).len(), 2);
        assert_eq!(catalog.totals(child.tenant()).segments, 1);
    }
    // Stored again by a replay: still superseded.
    store.upload(encoded("a", "one")).await.unwrap();
    assert_eq!(names(&store), std::slice::from_ref(&child));
    for name in [&one, &two] {
        store.delete(name).await.unwrap();
    }
    for store in [&store, &other, &reopened] {
        store.refresh().await.unwrap();
        assert_eq!(names(store), std::slice::from_ref(&child));
        assert!(store.catalog().superseded(child.tenant()).is_empty());
    }
}

#[tokio::test]
async fn damaged_compacted_segments_hide_nothing() {
    let store = Store::open(Config::memory(), dependencies()).await.unwrap();
    let one = store.upload(encoded("a", "one")).await.unwrap();
    let child = compacted(&["one"], &[&one]);
    let damaged = child.bytes.slice(0..child.bytes.len() - 1);
    store.bucket().create(&child.name.to_string(), damaged).await.unwrap();
    store.refresh().await.unwrap();
    assert_eq!(everything(&store, "a").len(), 2);
}
