use std::convert::Infallible;
use std::net::SocketAddr;
use std::time::Duration;

use api::append::BatchBuilder;
use futures_util::{FutureExt as _, StreamExt as _, stream};
use hyper_util::rt::{TokioExecutor, TokioIo};
use hyper_util::server::conn::auto::Builder;
use hyper_util::service::TowerToHyperService;
use logql::eval::memory::MemorySource;
use logql::source::{Batch, Cells, Piece, Selection, SourceError, StreamSummary, Want};
use model::{Entry, ErrorKind};
use parking_lot::Mutex;
use runtime::clock::SystemClock;
use runtime::random::SystemRandom;
use runtime::task;
use tokio::net::TcpListener;

use super::*;
use crate::pool::{Pool, PoolConfig};

/// An ingester that remembers what it was asked.
#[derive(Default)]
struct Role {
    appended: Mutex<Vec<AppendBatch>>,
    taken_over: Taken,
    flushed: Mutex<Vec<Option<TenantId>>>,
}

/// Who handed over how many rows, and whether to the end.
type Taken = Arc<Mutex<Vec<(Giver, u64, bool)>>>;

struct Taking {
    giver: Giver,
    rows: Mutex<u64>,
    taken: Taken,
}

impl TakeOver for Taking {
    fn receive(&self, batch: AppendBatch) -> BoxFuture<'_, Result<(), Error>> {
        *self.rows.lock() += batch.rows();
        std::future::ready(Ok(())).boxed()
    }

    fn finish(self: Box<Self>) -> BoxFuture<'static, Result<(), Error>> {
        self.taken.lock().push((self.giver.clone(), *self.rows.lock(), true));
        std::future::ready(Ok(())).boxed()
    }
}

impl Drop for Taking {
    fn drop(&mut self) {
        self.taken.lock().push((self.giver.clone(), *self.rows.lock(), false));
    }
}

struct Rows(MemorySource);

impl HeadsView for Rows {
    fn flushed_as(&self, origin: u64) -> Vec<String> {
        vec![format!("segment of {origin}")]
    }
}

impl Source for Rows {
    fn pieces(&self, selection: &Selection) -> Result<Vec<Piece>, SourceError> {
        self.0.pieces(selection)
    }

    fn load(&self, piece: &Piece, want: &Want) -> Result<Batch, SourceError> {
        self.0.load(piece, want)
    }

    fn cells(&self, piece: &Piece) -> Result<Option<Cells>, SourceError> {
        self.0.cells(piece)
    }

    fn streams(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<StreamSummary>, SourceError> {
        self.0.streams(matchers, range)
    }
}

fn rows() -> MemorySource {
    let stream = |app: &str| {
        let entry = |at: i64| Entry::new(Timestamp(at), format!("{app} {at}").into_bytes());
        (Labels::new([("app", app)]), (0..2500).map(entry).collect::<Vec<_>>())
    };
    MemorySource::of([stream("x"), stream("y")])
}

impl IngesterRole for Role {
    fn append(&self, batch: AppendBatch) -> BoxFuture<'_, Result<AppendOutcome, Error>> {
        if batch.tenant().as_str() == "full" {
            let full = Error::new(ErrorKind::Unavailable, "memory is full");
            let full = full.retry_after(Some(Duration::from_millis(700)));
            return async move { Err(full) }.boxed();
        }
        self.appended.lock().push(batch);
        async move { Ok(AppendOutcome { duplicates: 3, rejected: Vec::new() }) }.boxed()
    }

    fn heads(
        &self,
        tenant: &TenantId,
        _matchers: &[Matcher],
        _range: TimeRange,
    ) -> Result<Heads, Error> {
        if tenant.as_str() == "absent" {
            return Err(Error::new(ErrorKind::Unavailable, "the ingester is not running"));
        }
        let stored = vec![("seg/one".to_owned(), 7)];
        Ok(Heads { view: Arc::new(Rows(rows())), incarnation: 42, stored })
    }

    fn tail(
        &self,
        tenant: &TenantId,
        _matchers: Vec<Matcher>,
    ) -> Result<BoxStream<'static, TailNews>, Error> {
        let named = vec![(Timestamp(9), Labels::new([("app", "x")]))];
        let news = TailNews { batch: Some(batch(tenant)), dropped: 2, named };
        Ok(stream::iter([news]).boxed())
    }

    fn flush(&self, tenant: Option<TenantId>) -> BoxFuture<'_, Result<(), Error>> {
        self.flushed.lock().push(tenant);
        async move { Ok(()) }.boxed()
    }

    fn take_over(&self, giver: Giver) -> BoxFuture<'_, Result<Box<dyn TakeOver>, Error>> {
        let taking = Taking { giver, rows: Mutex::default(), taken: Arc::clone(&self.taken_over) };
        async move { Ok(Box::new(taking) as Box<dyn TakeOver>) }.boxed()
    }
}

fn batch(tenant: &TenantId) -> AppendBatch {
    let labels = Labels::new([("app", "x")]);
    let mut builder = BatchBuilder::new(tenant);
    builder.begin_stream(&labels);
    builder.push_row(Timestamp(1), b"one", None, &[("k", "v")]).unwrap();
    builder.push_row(Timestamp(2), b"two", None, &[]).unwrap();
    builder.finish()
}

fn tenant(name: &str) -> TenantId {
    TenantId::new(name).unwrap()
}

/// Serves a role on a free port, over real connections, until the task is dropped.
async fn serve(role: Arc<Role>) -> (SocketAddr, task::AbortOnDrop<()>) {
    let listener = TcpListener::bind("127.0.0.1:0").await.unwrap();
    let address = listener.local_addr().unwrap();
    let service = service(role);
    let accept = async move {
        let mut connections = Vec::new();
        while let Ok((stream, _)) = listener.accept().await {
            let service = service.clone();
            connections.push(task::AbortOnDrop(task::spawn("connection", async move {
                let service = TowerToHyperService::new(service);
                let builder = Builder::new(TokioExecutor::new());
                let _ = builder.serve_connection(TokioIo::new(stream), service).await;
                Ok::<_, Infallible>(())
            })));
        }
    };
    (address, task::AbortOnDrop(task::spawn("listener", accept)))
}

fn client(address: SocketAddr) -> Client {
    let config = PoolConfig { call_timeout: Duration::from_secs(30), ..PoolConfig::default() };
    let pool = Pool::new(config, Arc::new(SystemClock), Arc::new(SystemRandom)).unwrap();
    Client::new(pool.peer(&address.to_string()).unwrap())
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn batches_arrive_and_failures_come_back() {
    let role = Arc::new(Role::default());
    let (address, _listener) = serve(Arc::clone(&role)).await;
    let client = client(address);
    let sent = batch(&tenant("a"));
    assert_eq!(client.append(&sent).await.unwrap().duplicates, 3);
    assert_eq!(role.appended.lock()[0].as_bytes(), sent.as_bytes());
    let error = client.append(&batch(&tenant("full"))).await.unwrap_err();
    assert_eq!((error.kind, error.is_answered), (ErrorKind::Unavailable, true));
    assert_eq!(error.retry_after, Some(Duration::from_millis(700)));
    assert!(error.message.ends_with("memory is full"), "{error}");
    // An answered failure says nothing about the process: it is asked again at once.
    assert!(client.append(&sent).await.is_ok());
    client.flush(Some(&tenant("a"))).await.unwrap();
    client.flush(None).await.unwrap();
    assert_eq!(*role.flushed.lock(), [Some(tenant("a")), None]);
    let giver = Giver { id: "ingester-7".to_owned(), tokens: vec![1, u32::MAX] };
    let transfer = client.begin_transfer(giver.clone());
    transfer.send(&sent).await.unwrap();
    transfer.send(&sent).await.unwrap();
    assert_eq!(transfer.finish().await.unwrap(), 4);
    assert_eq!(role.taken_over.lock()[0], (giver.clone(), 4, true));
    role.taken_over.lock().clear();
    // One that is dropped is broken off.
    let transfer = client.begin_transfer(giver.clone());
    transfer.send(&sent).await.unwrap();
    drop(transfer);
    let is_broken_off = async {
        while role.taken_over.lock().is_empty() {
            tokio::task::yield_now().await;
        }
    };
    // It may be broken off before it has begun.
    let _ = tokio::time::timeout(Duration::from_millis(500), is_broken_off).await;
    assert!(role.taken_over.lock().iter().all(|(_, _, is_whole)| !is_whole));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn heads_are_the_same_from_far_away() {
    let (address, _listener) = serve(Arc::new(Role::default())).await;
    let client = client(address);
    let heads = client.heads(&tenant("a"), &[], TimeRange::ALL).await.unwrap();
    assert_eq!((heads.incarnation(), heads.stored()), (42, &[("seg/one".to_owned(), 7)][..]));
    let all = Selection::all(&[], TimeRange::ALL);
    let described = heads.pieces(&all).await.unwrap();
    let near = rows();
    let expected = near.pieces(&all).unwrap();
    assert_eq!(format!("{:?}", described.pieces), format!("{expected:?}"));
    assert_eq!(described.flushed_as, [(0, vec!["segment of 0".to_owned()])]);
    let want = Want::default();
    // All at once: answers find back to their asks.
    let loads = described.pieces.iter().map(|piece| heads.load(piece, &want));
    let loaded = futures_util::future::try_join_all(loads).await.unwrap();
    for (piece, batch) in expected.iter().zip(loaded) {
        assert_eq!(format!("{batch:?}"), format!("{:?}", near.load(piece, &want).unwrap()));
    }
    assert!(heads.cells(&described.pieces[0]).await.unwrap().is_none());
    let streams = heads.streams(&[], TimeRange::ALL).await.unwrap();
    assert_eq!(streams, near.streams(&[], TimeRange::ALL).unwrap());
    let never = Piece { id: 1 << 40, ..described.pieces[0].clone() };
    let error = heads.load(&never, &want).await.unwrap_err();
    assert_eq!((error.kind, error.is_answered), (ErrorKind::Internal, true));
    let absent = client.heads(&tenant("absent"), &[], TimeRange::ALL).await.unwrap_err();
    assert_eq!((absent.kind, absent.is_answered), (ErrorKind::Unavailable, true));
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn tails_tell_of_entries_and_of_dropped_ones() {
    let (address, _listener) = serve(Arc::new(Role::default())).await;
    let mut news = client(address).tail(&tenant("a"), &[]).await.unwrap();
    let first = news.next().await.unwrap().unwrap();
    assert_eq!(first.batch.unwrap().as_bytes(), batch(&tenant("a")).as_bytes());
    assert_eq!((first.dropped, first.named[0].0), (2, Timestamp(9)));
    assert!(news.next().await.is_none());
}

#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn a_process_that_is_gone_is_an_error_and_then_left_alone() {
    let (address, listener) = serve(Arc::new(Role::default())).await;
    let client = client(address);
    let heads = client.heads(&tenant("a"), &[], TimeRange::ALL).await.unwrap();
    drop(listener);
    let all = Selection::all(&[], TimeRange::ALL);
    // The connection is cut as soon as the task is gone; whatever is asked then fails.
    let error = loop {
        if let Err(error) = heads.pieces(&all).await {
            break error;
        }
    };
    assert_eq!((error.kind, error.is_answered), (ErrorKind::Unavailable, false));
    assert!(error.message.starts_with(&address.to_string()), "{error}");
    let error = client.append(&batch(&tenant("a"))).await.unwrap_err();
    assert!(!error.is_answered);
    assert!(!client.peer().may_be_asked() || client.append(&batch(&tenant("a"))).await.is_err());
}
