use runtime::clock::SystemClock;

use super::*;
use crate::config::Config;
use crate::metrics::Metrics;

fn bucket() -> Bucket {
    Bucket::open(&Config::memory(), Arc::new(SystemClock), Metrics::default()).unwrap()
}

fn request(tenant: &str, id: &str, created: i64) -> DeleteRequest {
    DeleteRequest {
        id: id.to_owned(),
        tenant: TenantId::new(tenant).unwrap(),
        query: "{app=\"web\"} |= `a\nb`".to_owned(),
        start: Timestamp(5),
        end: Timestamp(9),
        created: Timestamp(created),
        state: DeleteState::Received,
    }
}

async fn refresh(keeper: &DeleteKeeper, bucket: &Bucket) -> Arc<Deletes> {
    keeper.read(bucket).await.unwrap().publish();
    keeper.current()
}

#[tokio::test]
async fn requests_are_seen_by_others_and_come_to_their_end() {
    let bucket = bucket();
    let (own, other) = (DeleteKeeper::default(), DeleteKeeper::default());
    let (late, early) = (request("a", "00000001", 20), request("a", "00000002", 10));
    assert_eq!(own.create(&bucket, late.clone()).await.unwrap(), Created::New);
    own.create(&bucket, early.clone()).await.unwrap();
    let again = own.create(&bucket, late.clone()).await.unwrap();
    assert!(matches!(again, Created::Existed { .. }));
    for keeper in [&own, &other] {
        let deletes = refresh(keeper, &bucket).await;
        let found: Vec<DeleteRequest> =
            deletes.of(&late.tenant).iter().map(|r| (**r).clone()).collect();
        assert_eq!(found, [early.clone(), late.clone()], "oldest first");
    }
    own.mark(&bucket, &late, DeleteState::Begun).await.unwrap();
    own.mark(&bucket, &late, DeleteState::Processed).await.unwrap();
    own.mark(&bucket, &late, DeleteState::Begun).await.unwrap();
    let deletes = refresh(&other, &bucket).await;
    let states: Vec<DeleteState> = deletes.of(&late.tenant).iter().map(|r| r.state).collect();
    assert_eq!(states, [DeleteState::Received, DeleteState::Processed]);
    assert!(!deletes.of(&late.tenant)[1].is_in_force());

    own.remove(&bucket, &late).await.unwrap();
    own.mark(&bucket, &late, DeleteState::Begun).await.unwrap();
    for keeper in [&own, &other] {
        assert_eq!(refresh(keeper, &bucket).await.of(&late.tenant).len(), 1);
    }
    assert_eq!(bucket.list(DELETES).await.unwrap().len(), 1, "no mark is left behind");
}

#[tokio::test]
async fn what_is_not_a_request_is_left_alone() {
    let bucket = bucket();
    for (name, text) in [
        ("del/a/00000001.del", "{\"version\":1"),
        (
            "del/a/00000002.del",
            "{\"version\":9,\"query\":\"\",\"start_ns\":0,\"end_ns\":0,\"created_ns\":0}",
        ),
        ("del/a/00000003.done", ""),
        ("del/a/0000000X.del", "{}"),
        ("del/a/generation", "7"),
    ] {
        bucket.create(name, text.to_owned().into()).await.unwrap();
    }
    let keeper = DeleteKeeper::default();
    let deletes = refresh(&keeper, &bucket).await;
    assert_eq!((deletes.unreadable(), deletes.tenants().len()), (2, 0));
    keeper.sweep(&bucket).await.unwrap();
    assert_eq!(
        bucket.list(DELETES).await.unwrap().len(),
        4,
        "only the mark without a request goes"
    );
}
