use std::collections::{BTreeMap, BTreeSet};

use api::append::BatchBuilder;
use hash_ring::{RingConfig, State};
use model::{Labels, TenantId, Timestamp};
use parking_lot::Mutex;
use runtime::clock::ManualClock;

use super::*;

const NOW: Timestamp = Timestamp(1_755_900_000_000_000_000);

fn ring(count: usize, factor: usize) -> Ring {
    let config = RingConfig { replication_factor: factor, ..RingConfig::default() };
    let members = (0..count).map(|n| {
        // Tokens that interleave, so that owners differ from stream to stream.
        let tokens = (0..64u32)
            .map(|k| (k * count as u32 + n as u32).wrapping_mul(0x9e37_79b9).rotate_left(7));
        let mut tokens: Vec<u32> = tokens.collect();
        tokens.sort_unstable();
        Arc::new(Instance {
            id: format!("ingester-{n}").into(),
            address: format!("10.0.0.{n}:9095").into(),
            zone: "".into(),
            state: State::Active,
            tokens: tokens.into(),
            heartbeat: NOW,
            registered: NOW,
            read_only_since: None,
        })
    });
    Ring::new(&config, members)
}

impl RingNow for Ring {
    fn ring(&self) -> Ring {
        self.clone()
    }
}

/// What an ingester does with a batch.
#[derive(Debug, Clone)]
enum Does {
    Store,
    Refuse(Vec<(&'static str, u64)>),
    Fail(ErrorKind),
    Hang,
}

/// Ingesters that do what they are told, and keep what they store.
#[derive(Default)]
struct Ingesters {
    does: Mutex<BTreeMap<String, Does>>,
    stored: Arc<Mutex<BTreeMap<String, BTreeSet<String>>>>,
    batches: Mutex<Vec<AppendBatch>>,
}

impl Peers for Ingesters {
    fn append(
        &self,
        instance: &Arc<Instance>,
        batch: AppendBatch,
    ) -> BoxFuture<'static, Result<AppendOutcome, PeerError>> {
        self.batches.lock().push(batch.clone());
        let id = instance.id.to_string();
        let does = self.does.lock().get(&id).cloned().unwrap_or(Does::Store);
        let stored = Arc::clone(&self.stored);
        async move {
            let store = || {
                let batch = AppendBatch::decode(batch.as_bytes().clone()).unwrap();
                let streams = batch.streams().map(|part| part.canonical.to_owned());
                stored.lock().entry(id.clone()).or_default().extend(streams);
            };
            match does {
                Does::Store => {
                    store();
                    Ok(AppendOutcome::default())
                }
                Does::Refuse(what) => {
                    store();
                    let rejected = what.into_iter().map(|(reason, entries)| Rejected {
                        reason,
                        kind: ErrorKind::Invalid,
                        message: format!("{id} says {reason}"),
                        entries,
                        bytes: entries,
                    });
                    Ok(AppendOutcome { rejected: rejected.collect(), duplicates: 0 })
                }
                Does::Fail(kind) => {
                    Err(PeerError { kind, message: format!("{id} fails"), retry_after: None })
                }
                Does::Hang => std::future::pending().await,
            }
        }
        .boxed()
    }
}

struct Bench {
    appender: Arc<ReplicatedAppender>,
    ingesters: Arc<Ingesters>,
    clock: Arc<ManualClock>,
}

impl Bench {
    fn new(count: usize, does: &[Does]) -> Self {
        let ingesters = Arc::new(Ingesters::default());
        let names = (0..).map(|n| format!("ingester-{n}"));
        *ingesters.does.lock() = names.zip(does.iter().cloned()).collect();
        let clock = Arc::new(ManualClock::new(NOW));
        let dependencies = ReplicatedDependencies {
            ring: Arc::new(ring(count, 3)),
            peers: Arc::clone(&ingesters) as _,
            clock: Arc::clone(&clock) as _,
        };
        let appender = ReplicatedAppender::new(ReplicatedConfig::default(), dependencies);
        Self { appender: Arc::new(appender), ingesters, clock }
    }
}

fn batch(streams: usize) -> AppendBatch {
    let mut builder = BatchBuilder::new(&TenantId::anonymous());
    for stream in 0..streams {
        let labels = Labels::new([("n", stream.to_string().as_str())]);
        builder.begin_stream(&labels);
        for row in 0..3 {
            builder.push_row(Timestamp(row), b"line", None, &[("k", "v")]).unwrap();
        }
    }
    builder.finish()
}

#[tokio::test]
async fn every_stream_is_stored_by_its_owners_only() {
    let bench = Bench::new(7, &[]);
    let batch = batch(60);
    assert_eq!(bench.appender.append(batch.clone()).await, Ok(AppendOutcome::default()));
    while bench.appender.in_flight_bytes() > 0 {
        tokio::task::yield_now().await;
    }
    let ring = ring(7, 3);
    let mut expected: BTreeMap<String, BTreeSet<String>> = BTreeMap::new();
    for part in batch.streams() {
        let token = token_of(batch.tenant(), part.fingerprint);
        for owner in ring.owners(token, Operation::Write, NOW).unwrap().instances {
            expected.entry(owner.id.to_string()).or_default().insert(part.canonical.to_owned());
        }
    }
    assert!(expected.len() == 7 && expected.values().all(|streams| streams.len() < 60));
    assert_eq!(*bench.ingesters.stored.lock(), expected);
    let rows: u64 = bench.ingesters.batches.lock().iter().map(AppendBatch::rows).sum();
    assert_eq!(rows, 3 * batch.rows());
}

#[tokio::test]
async fn the_same_owners_get_the_same_bytes() {
    let bench = Bench::new(3, &[]);
    let batch = batch(20);
    bench.appender.append(batch.clone()).await.unwrap();
    let sent = bench.ingesters.batches.lock();
    assert!(
        sent.len() == 3 && sent.iter().all(|s| s.as_bytes().as_ptr() == batch.as_bytes().as_ptr())
    );
}

/// What becomes of a batch of 3 rows when three replicas do these things.
async fn outcome(does: [Does; 3]) -> Result<Vec<(&'static str, u64)>, String> {
    let bench = Bench::new(3, &does);
    let appender = Arc::clone(&bench.appender);
    let append = task::spawn("test", async move { appender.append(batch(1)).await });
    let told = loop {
        tokio::task::yield_now().await;
        if append.is_finished() {
            break append.await.unwrap();
        }
        // Only once nobody else can go on may the timeout come.
        for _ in 0..100 {
            tokio::task::yield_now().await;
        }
        bench.clock.advance(Duration::from_secs(5));
    };
    match told {
        Ok(outcome) => Ok(outcome.rejected.iter().map(|r| (r.reason, r.entries)).collect()),
        Err(AppendError::Unavailable { message, .. } | AppendError::Internal(message)) => {
            Err(message)
        }
    }
}

#[tokio::test]
async fn a_quorum_decides() {
    use Does::{Fail, Hang, Refuse, Store};
    let late = || Refuse(vec![("too_far_behind", 2)]);
    let down = || Fail(ErrorKind::Unavailable);
    let wrong = || Fail(ErrorKind::Invalid);
    assert_eq!(outcome([Store, Store, Store]).await, Ok(vec![]));
    assert_eq!(outcome([Store, down(), Store]).await, Ok(vec![]));
    assert_eq!(outcome([Store, Hang, Store]).await, Ok(vec![]));
    let failed = outcome([down(), Store, down()]).await.unwrap_err();
    assert_eq!(failed, "too few ingesters stored the entries: ingester-0 fails");
    assert!(outcome([Hang, Store, Hang]).await.unwrap_err().contains("does not answer"));
    // One replica's refusal is overruled, two are told once, and none counts twice.
    assert_eq!(outcome([Store, late(), Store]).await, Ok(vec![]));
    assert_eq!(outcome([late(), late(), late()]).await, Ok(vec![("too_far_behind", 2)]));
    assert_eq!(outcome([late(), late(), Store]).await, Ok(vec![("too_far_behind", 2)]));
    assert_eq!(outcome([late(), Store, down()]).await, Ok(vec![("too_far_behind", 2)]));
    let other = Refuse(vec![("too_far_behind", 1)]);
    let told = outcome([late(), other, Store]).await.unwrap();
    assert_eq!(told.iter().map(|(_, entries)| entries).sum::<u64>(), 3, "in doubt, all are told");
    // The kinds of errors are counted apart.
    assert_eq!(outcome([wrong(), Store, Store]).await, Ok(vec![]));
    assert_eq!(outcome([wrong(), wrong(), Store]).await, Ok(vec![("refused_by_ingesters", 3)]));
    assert!(outcome([wrong(), down(), Store]).await.is_err());
}

#[tokio::test]
async fn too_few_ingesters_and_too_many_bytes_are_refused_at_once() {
    let bench = Bench::new(1, &[]);
    assert!(matches!(bench.appender.append(batch(1)).await, Err(AppendError::Unavailable { .. })));
    assert!(bench.ingesters.batches.lock().is_empty());

    let mut bench = Bench::new(3, &[Does::Hang, Does::Store, Does::Store]);
    let bytes = batch(1).as_bytes().len() as u64;
    Arc::get_mut(&mut bench.appender).unwrap().config.in_flight_bytes_max = 4 * bytes;
    bench.appender.append(batch(1)).await.unwrap();
    while bench.appender.in_flight_bytes() > bytes {
        tokio::task::yield_now().await;
    }
    bench.appender.append(batch(1)).await.unwrap();
    while bench.appender.in_flight_bytes() > 2 * bytes {
        tokio::task::yield_now().await;
    }
    let refused = bench.appender.append(batch(1)).await;
    assert!(matches!(refused, Err(AppendError::Unavailable { .. })));
    assert_eq!(bench.appender.in_flight_bytes(), 2 * bytes, "what was refused takes no room");
    // What hangs is given up, and makes room.
    bench.clock.advance(Duration::from_secs(5));
    while bench.appender.in_flight_bytes() > 0 {
        tokio::task::yield_now().await;
    }
    bench.appender.append(batch(1)).await.unwrap();
}
