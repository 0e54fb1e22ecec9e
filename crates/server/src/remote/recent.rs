//! The recent rows of the ingesters of a cluster.
//!
//! A snapshot asks all ingesters at once. It is complete when so few failed that every row still has
//! a holder that answered; then it does not wait long for the others either. What an ingester stored
//! lately is taken into the catalog before the snapshot is handed out, because rows that left memory
//! would otherwise be seen nowhere until object storage is listed again.

use std::collections::BTreeSet;
use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;
use logql::source::SourceError;
use model::{Matcher, TenantId, TimeRange};
use querier::{Recent, RecentSource};
use rpc::ingester::{Client, RemoteHeads};
use rpc::{Error, Pool};
use runtime::clock::Clock;
use segment::SegmentName;
use store::{Store, StoredSegment, Told};
use tokio::runtime::Handle;

use super::peers::Peers;
use super::source::{Failures, RemoteSource};

/// How long the last ingesters are waited for once the answer is complete without them.
pub(super) const STRAGGLER_WAIT: Duration = Duration::from_millis(100);

/// What to do when rows may be missing because too few ingesters answered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Partial {
    /// Fail the query; it can be tried again.
    Fail,
    /// Answer without them, and say so in a warning.
    Warn,
}

/// The recent rows of all ingesters.
pub struct RemoteRecent {
    peers: Arc<dyn Peers>,
    pool: Arc<Pool>,
    store: Arc<Store>,
    partial: Partial,
    runtime: Handle,
    /// Differs between two runs of the program.
    asker: u64,
}

impl RemoteRecent {
    /// Asks some ingesters.
    ///
    /// # Panics
    ///
    /// Outside a tokio runtime.
    #[must_use]
    pub fn new(
        peers: Arc<dyn Peers>,
        pool: Arc<Pool>,
        store: Arc<Store>,
        partial: Partial,
    ) -> Self {
        let (runtime, asker) = (Handle::current(), RandomState::new().hash_one(0));
        Self { peers, pool, store, partial, runtime, asker }
    }

    async fn open(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<RemoteSource, SourceError> {
        let replicas = self.peers.readable(tenant).map_err(told)?;
        let failures = Failures::new(replicas, self.partial);
        let opened = self.open_all(&failures, tenant, matchers, range).await?;
        let told = self.told(self.peers.generation(), &opened);
        let told = match self.know_stored(told).await {
            Ok(told) => told,
            Err(error) => {
                failures.incomplete(&format!("list object storage: {error}"))?;
                None
            }
        };
        let (runtime, clock) = (self.runtime.clone(), Arc::clone(self.pool.clock()));
        Ok(RemoteSource::new(opened, told, failures, runtime, clock))
    }

    /// Opens a snapshot of every ingester that answers.
    async fn open_all(
        &self,
        failures: &Failures,
        tenant: &TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<(usize, RemoteHeads)>, SourceError> {
        let replicas = failures.replicas();
        let open = |at: usize| async move {
            let peer = self.pool.peer(&replicas.members[at].address)?;
            Client::new(peer).heads(tenant, matchers, range).await
        };
        let mut opened = Vec::new();
        let take = |at, heads| opened.push((at, heads));
        let all = 0..replicas.members.len();
        gather(all, open, failures, &**self.pool.clock(), take).await?;
        opened.sort_by_key(|(at, _)| *at);
        Ok(opened)
    }

    /// What the ingesters told of what they stored lately.
    fn told(&self, generation: u64, opened: &[(usize, RemoteHeads)]) -> Result<Told, String> {
        let holders = opened
            .iter()
            .map(|(_, heads)| (Arc::clone(heads.peer().address()), heads.incarnation()));
        let stored = opened.iter().flat_map(|(_, heads)| heads.stored()).map(|(name, bytes)| {
            let name = SegmentName::parse(name).map_err(|error| error.to_string())?;
            Ok(StoredSegment { name, bytes: *bytes })
        });
        let stored = stored.collect::<Result<_, String>>()?;
        Ok(Told { asker: self.asker, generation, holders: holders.collect(), stored })
    }

    /// Makes what ingesters stored lately part of the catalog, or has it told to whoever keeps it.
    async fn know_stored(&self, told: Result<Told, String>) -> Result<Option<Told>, String> {
        let told = told?;
        if self.store.asks_elsewhere() {
            return Ok(Some(told));
        }
        self.store.learn(&told).await.map_err(|error| error.chain())?;
        Ok(None)
    }
}

/// Asks some ingesters the same and takes their answers as they come: until all are there, or until
/// they are complete and the others have had their chance.
pub(super) async fn gather<T, F>(
    asked: impl IntoIterator<Item = usize>,
    ask: impl Fn(usize) -> F,
    failures: &Failures,
    clock: &dyn Clock,
    mut take: impl FnMut(usize, T),
) -> Result<(), SourceError>
where
    F: Future<Output = Result<T, Error>>,
{
    let mut outstanding: BTreeSet<usize> = asked.into_iter().collect();
    let ask = |at: usize| {
        let answer = ask(at);
        async move { (at, answer.await) }
    };
    let mut answers: FuturesUnordered<_> = outstanding.iter().map(|at| ask(*at)).collect();
    let mut late = None;
    while !outstanding.is_empty() {
        let answer = match late.as_mut() {
            None => answers.next().await,
            Some(late) => match select(answers.next(), late).await {
                Either::Left((answer, _)) => answer,
                Either::Right(_) => break,
            },
        };
        let Some((at, answer)) = answer else { break };
        outstanding.remove(&at);
        match answer {
            Ok(answer) => take(at, answer),
            Err(error) => failures.failed(at, &error)?,
        }
        if late.is_none() && failures.tolerates_also(&outstanding) {
            late = Some(clock.sleep(STRAGGLER_WAIT));
        }
    }
    for at in outstanding {
        failures.failed(at, &Error::unreached("slower than the others"))?;
    }
    Ok(())
}

/// What the engine is told of a failed call.
pub(super) fn told(error: Error) -> SourceError {
    SourceError { message: error.message, kind: error.kind }
}

impl Recent for RemoteRecent {
    fn snapshot(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Arc<dyn RecentSource> {
        match self.runtime.block_on(self.open(tenant, matchers, range)) {
            Ok(source) => Arc::new(source),
            Err(error) => Arc::new(Unavailable(error)),
        }
    }
}

/// Recent rows that cannot be read: every question fails.
struct Unavailable(SourceError);

impl RecentSource for Unavailable {
    fn flushed_as(&self, _origin: u64) -> Vec<SegmentName> {
        Vec::new()
    }
}

impl logql::source::Source for Unavailable {
    fn pieces(
        &self,
        _selection: &logql::source::Selection,
    ) -> Result<Vec<logql::source::Piece>, SourceError> {
        Err(self.0.clone())
    }

    fn load(
        &self,
        _piece: &logql::source::Piece,
        _want: &logql::source::Want,
    ) -> Result<logql::source::Batch, SourceError> {
        Err(self.0.clone())
    }

    fn streams(
        &self,
        _matchers: &[Matcher],
        _range: TimeRange,
    ) -> Result<Vec<logql::source::StreamSummary>, SourceError> {
        Err(self.0.clone())
    }
}
