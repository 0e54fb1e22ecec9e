//! The recent rows of the ingesters of a cluster.
//!
//! A snapshot asks all ingesters at once. It is complete when so few failed that every row still has
//! a holder that answered; then it does not wait long for the others either. What an ingester stored
//! lately is taken into the catalog before the snapshot is handed out, because rows that left memory
//! would otherwise be seen nowhere until object storage is listed again.

use std::collections::{BTreeSet, HashMap, HashSet};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::{Either, select};
use futures_util::stream::FuturesUnordered;
use logql::source::SourceError;
use model::{Matcher, TenantId, TimeRange};
use parking_lot::Mutex;
use querier::{Recent, RecentSource};
use rpc::ingester::{Client, RemoteHeads};
use rpc::{Error, Pool};
use runtime::clock::Clock;
use segment::SegmentName;
use store::{Store, StoredSegment};
use tokio::runtime::Handle;

use super::peers::Peers;
use super::source::{Failures, RemoteSource};

/// How long the last ingesters are waited for once the answer is complete without them.
pub(super) const STRAGGLER_WAIT: Duration = Duration::from_millis(100);
/// Names of segments remembered that ingesters told of; beyond it all are forgotten, which costs a
/// query another start.
const ADOPTED_MAX: usize = 64 << 10;

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
    known: Mutex<Known>,
    /// Held while object storage is listed.
    refreshing: tokio::sync::Mutex<()>,
}

/// What was learned of ingesters.
#[derive(Default)]
struct Known {
    /// The run of each ingester for which object storage was listed, by address.
    incarnations: HashMap<Arc<str>, u64>,
    /// Segments that were taken into the catalog because an ingester told of them.
    adopted: HashSet<SegmentName>,
    /// The members of the cluster for which object storage was listed.
    generation: Option<u64>,
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
        let runtime = Handle::current();
        let (known, refreshing) = (Mutex::default(), tokio::sync::Mutex::new(()));
        Self { peers, pool, store, partial, runtime, known, refreshing }
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
        if let Err(error) = self.know_stored(&opened).await {
            failures.incomplete(&format!("list object storage: {error}"))?;
        }
        Ok(RemoteSource::new(opened, failures, self.runtime.clone(), Arc::clone(self.pool.clock())))
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

    /// Makes what ingesters stored lately part of the catalog. Lists object storage when an ingester
    /// has restarted since it was last asked and does not know any more what it stored.
    async fn know_stored(&self, opened: &[(usize, RemoteHeads)]) -> Result<(), String> {
        if !self.knows_all(opened) {
            let _alone = self.refreshing.lock().await;
            // Somebody else may have listed meanwhile.
            if !self.knows_all(opened) {
                let generation = self.peers.generation();
                self.store.refresh().await.map_err(|error| error.to_string())?;
                let runs = opened
                    .iter()
                    .map(|(_, heads)| (Arc::clone(heads.peer().address()), heads.incarnation()));
                let mut known = self.known.lock();
                known.incarnations.extend(runs);
                known.generation = Some(generation);
            }
        }
        let catalog = self.store.catalog();
        for (name, bytes) in opened.iter().flat_map(|(_, heads)| heads.stored()) {
            let name = SegmentName::parse(name).map_err(|error| error.to_string())?;
            if catalog.contains(&name) {
                continue;
            }
            let mut known = self.known.lock();
            if known.adopted.len() > ADOPTED_MAX {
                known.adopted.clear();
            }
            // What was adopted and is not in the catalog any more was missing from a listing since:
            // compacted away, so its rows stand in another segment of that listing.
            if known.adopted.insert(name.clone()) {
                self.store.adopt(StoredSegment { name, bytes: *bytes });
            }
        }
        Ok(())
    }

    fn knows_all(&self, opened: &[(usize, RemoteHeads)]) -> bool {
        let known = self.known.lock();
        let is_known = |heads: &RemoteHeads| {
            known.incarnations.get(&**heads.peer().address()) == Some(&heads.incarnation())
        };
        known.generation == Some(self.peers.generation())
            && opened.iter().all(|(_, heads)| is_known(heads))
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
