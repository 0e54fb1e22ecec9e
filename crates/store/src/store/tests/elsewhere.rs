//! Stores that ask another one which segments exist.

use std::sync::atomic::{AtomicBool, Ordering};

use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use model::ErrorKind;

use super::*;
use crate::index::{SegmentsAsk, SegmentsFound, Told};

/// A store that answers for others, or does not.
struct Gateway {
    store: Arc<Store>,
    is_up: AtomicBool,
}

impl Gateway {
    fn up(&self) -> Result<&Store, Error> {
        let down = Error::Index { message: "down".into(), kind: ErrorKind::Unavailable };
        self.is_up.load(Ordering::Relaxed).then_some(&*self.store).ok_or(down)
    }
}

impl Index for Gateway {
    fn segments<'a>(&'a self, ask: SegmentsAsk<'a>) -> BoxFuture<'a, Result<SegmentsFound, Error>> {
        async move { self.up()?.answer(ask).await }.boxed()
    }

    fn deletes(&self) -> BoxFuture<'_, Result<Vec<DeleteRequest>, Error>> {
        async move { self.up().map(|_| Vec::new()) }.boxed()
    }

    fn parts<'a>(
        &'a self,
        segment: &'a StoredSegment,
        ranges: &'a [Range<u64>],
    ) -> BoxFuture<'a, Result<Vec<Bytes>, Error>> {
        async move { self.up()?.read_kept(segment, ranges).await }.boxed()
    }
}

struct Rig {
    ingester: Arc<Store>,
    gateway: Arc<Gateway>,
    querier: Arc<Store>,
    _directory: tempfile::TempDir,
}

impl Rig {
    async fn new() -> Self {
        let directory = tempfile::tempdir().unwrap();
        let config = Config::filesystem(directory.path());
        let ingester = Store::open(config.clone(), dependencies()).await.unwrap();
        let store = Store::open(config.clone(), dependencies()).await.unwrap();
        let gateway = Arc::new(Gateway { store, is_up: AtomicBool::new(true) });
        let index = Arc::clone(&gateway) as Arc<dyn Index>;
        let querier = Store::open_with(config, dependencies(), index).await.unwrap();
        Self { ingester, gateway, querier, _directory: directory }
    }

    async fn store(&self, line: &str) -> StoredSegment {
        let segment = encoded("a", line);
        let bytes = segment.bytes.len() as u64;
        StoredSegment { name: self.ingester.upload(segment).await.unwrap(), bytes }
    }

    async fn picture(&self, told: Option<&Told>) -> Arc<Catalog> {
        let elsewhere = self.querier.elsewhere.as_ref().unwrap();
        let tenant = TenantId::new("a").unwrap();
        self.querier.picture(elsewhere, &tenant, TimeRange::ALL, told).await.unwrap()
    }

    fn listings(&self) -> u64 {
        self.gateway.store.metrics.catalog_refreshes.get()
    }
}

fn told(run: u64, stored: &[&StoredSegment]) -> Told {
    let stored = stored.iter().map(|segment| (*segment).clone()).collect();
    Told { asker: 1, generation: 1, holders: vec![("host:1".into(), run)], stored }
}

#[tokio::test]
async fn what_holders_told_is_part_of_the_answer() {
    let rig = Rig::new().await;
    let one = rig.store("one").await;
    assert!(!rig.picture(None).await.contains(&one.name), "nobody has listed it");
    assert!(rig.picture(Some(&told(1, &[]))).await.contains(&one.name), "a holder was unknown");
    let (listings, two) = (rig.listings(), rig.store("two").await);
    let picture = rig.picture(Some(&told(1, &[&two]))).await;
    assert!(picture.contains(&two.name));
    assert_eq!(picture.all(one.name.tenant()).len(), 2);
    assert_eq!(rig.listings(), listings, "names are enough");
    // A holder that has started again does not know what it stored.
    let three = rig.store("three").await;
    assert!(!rig.picture(Some(&told(1, &[]))).await.contains(&three.name));
    assert!(rig.picture(Some(&told(2, &[]))).await.contains(&three.name));
    let listings = rig.listings();
    let another = Told { asker: 2, ..told(2, &[]) };
    rig.picture(Some(&another)).await;
    let changed = Told { generation: 2, ..told(2, &[]) };
    rig.picture(Some(&changed)).await;
    rig.picture(Some(&another)).await;
    assert_eq!(rig.listings(), listings + 2, "once for each asker and ring");
    assert_eq!(rig.querier.metrics.catalog_refreshes.get(), 0);
    assert_eq!(rig.querier.metrics.index_fallbacks.get(), 0);
    assert_eq!(rig.querier.footer(&one).await.unwrap().rows(), 1);
}

#[tokio::test]
async fn superseded_segments_exist_until_they_are_gone() {
    let rig = Rig::new().await;
    let (one, two) = (rig.store("one").await, rig.store("two").await);
    let told = told(1, &[&one, &two]);
    rig.picture(Some(&told)).await;
    let child = compacted(&["one", "two"], &[&one.name, &two.name]);
    let child = rig.ingester.upload(child).await.unwrap();
    rig.gateway.store.refresh().await.unwrap();
    let picture = rig.picture(Some(&told)).await;
    let live: Vec<_> = picture.all(child.tenant()).iter().map(|s| s.name.clone()).collect();
    assert_eq!(live, std::slice::from_ref(&child));
    assert!(picture.contains(&one.name) && picture.contains(&two.name), "heads are left out");
    for segment in [&one, &two] {
        rig.ingester.delete(&segment.name).await.unwrap();
    }
    rig.querier.refresh_for(&[child.tenant().clone()]).await.unwrap();
    let picture = rig.picture(Some(&told)).await;
    assert!(!picture.contains(&one.name), "what was taken over does not come back");
    assert_eq!(picture.all(child.tenant()).len(), 1);
}

#[tokio::test]
async fn without_an_answer_object_storage_is_asked() {
    let rig = Rig::new().await;
    let one = rig.store("one").await;
    rig.gateway.is_up.store(false, Ordering::Relaxed);
    assert!(rig.picture(Some(&told(1, &[]))).await.contains(&one.name));
    let two = rig.store("two").await;
    assert!(rig.picture(Some(&told(1, &[&two]))).await.contains(&two.name));
    assert_eq!(rig.querier.footer(&two).await.unwrap().rows(), 1);
    assert!(rig.querier.metrics.index_fallbacks.get() >= 3);
    rig.querier.refresh().await.unwrap();
    rig.gateway.is_up.store(true, Ordering::Relaxed);
    let fell_back = rig.querier.metrics.index_fallbacks.get();
    assert!(rig.picture(Some(&told(1, &[&two]))).await.contains(&one.name));
    assert_eq!(rig.querier.metrics.index_fallbacks.get(), fell_back);
}
