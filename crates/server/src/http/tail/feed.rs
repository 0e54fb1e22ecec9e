//! Where a tail's entries come from: the ingester of this process, or those of others.

use std::collections::{BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use api::append::{AppendBatch, RowRef, metadata_at};
use futures_util::StreamExt as _;
use ingester::{Dropped, TailEntries, TailEntry, TailReceiver};
use model::{Labels, Level, Matcher, TenantId};
use parking_lot::Mutex;
use rpc::ingester::{Client, TailNews};
use runtime::task;
use tokio::sync::mpsc;

use crate::app::App;
use crate::remote::cluster::Cluster;
use crate::remote::peers::Replicas;

/// Messages of other processes that may wait for the client; beyond it their ingesters wait, and
/// drop what they have no room for.
const MESSAGES_MAX: usize = 256;
/// Entries remembered to tell copies of other replicas; twice as many at most.
const SEEN_MAX: usize = 64 << 10;
/// How long to wait before an ingester is asked again.
const RECONNECT_WAIT: Duration = Duration::from_secs(1);
/// Dropped entries remembered by time and labels.
const DROPPED_NAMED_MAX: usize = 1000;

/// New entries of one stream, in arrival order.
pub(super) enum News {
    /// Of this process.
    Local(TailEntries),
    /// Of another one.
    Remote(RemoteNews),
}

/// New entries that came from another process.
pub(super) struct RemoteNews {
    labels: Labels,
    batch: AppendBatch,
    rows: Vec<RowRef>,
}

impl News {
    /// The stream's labels.
    pub(super) fn labels(&self) -> &Labels {
        match self {
            Self::Local(entries) => &entries.labels,
            Self::Remote(news) => &news.labels,
        }
    }

    /// Calls `visit` with every entry.
    pub(super) fn for_each(&self, mut visit: impl FnMut(&TailEntry<'_>)) {
        match self {
            Self::Local(entries) => entries.iter().for_each(|entry| visit(&entry)),
            Self::Remote(news) => {
                let bytes = &news.batch.as_bytes()[..];
                news.rows.iter().for_each(|row| visit(&entry_of(*row, bytes)));
            }
        }
    }
}

fn entry_of(row: RowRef, bytes: &[u8]) -> TailEntry<'_> {
    TailEntry {
        timestamp: row.timestamp,
        line: row.line(bytes),
        level: Level::from_code(row.level),
        metadata: metadata_at(bytes, row.metadata_start).collect(),
    }
}

/// Receives new entries. Dropping it ends the subscription.
#[expect(clippy::large_enum_variant, reason = "one for each tail")]
pub(super) enum Feed {
    /// From this process.
    Local(TailReceiver),
    /// From others.
    Remote(RemoteFeed),
}

impl Feed {
    /// Subscribes; what arrives after this is not missed.
    pub(super) async fn open(
        app: &Arc<App>,
        tenant: &TenantId,
        matchers: Vec<Matcher>,
    ) -> Result<Self, String> {
        if let Some(cluster) = app.parts.cluster.find() {
            return RemoteFeed::open(app, cluster, tenant, matchers).await.map(Self::Remote);
        }
        let ingester = app.parts.ingester.find().ok_or("the ingester is not running")?;
        Ok(Self::Local(ingester.subscribe(tenant, matchers)))
    }

    /// The next entries; `None` when some might be missed from now on. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<News> {
        match self {
            Self::Local(receiver) => receiver.next().await.map(News::Local),
            Self::Remote(feed) => feed.next().await.map(News::Remote),
        }
    }

    /// What was dropped since the last call.
    pub(super) fn take_dropped(&self) -> Dropped {
        match self {
            Self::Local(receiver) => receiver.take_dropped(),
            Self::Remote(feed) => std::mem::take(&mut *feed.dropped.lock()),
        }
    }
}

/// New entries of several processes.
pub(super) struct RemoteFeed {
    /// `None` when entries might be missed from now on.
    messages: mpsc::Receiver<Option<RemoteNews>>,
    dropped: Arc<Mutex<Dropped>>,
    /// Whether several processes may tell of one entry.
    has_replicas: bool,
    /// Hashes of entries seen, in two generations.
    seen: [HashSet<u64>; 2],
    _listeners: Vec<task::AbortOnDrop<()>>,
}

/// What the listeners of one tail share.
struct Shared {
    app: Arc<App>,
    replicas: Replicas,
    tenant: TenantId,
    matchers: Vec<Matcher>,
    dropped: Arc<Mutex<Dropped>>,
    /// Those that cannot be heard now.
    failed: Mutex<BTreeSet<usize>>,
}

type Heard = futures_util::stream::BoxStream<'static, Result<TailNews, rpc::Error>>;

impl RemoteFeed {
    async fn open(
        app: &Arc<App>,
        cluster: Arc<Cluster>,
        tenant: &TenantId,
        matchers: Vec<Matcher>,
    ) -> Result<Self, String> {
        let replicas = cluster.peers.readable(tenant).map_err(|error| error.to_string())?;
        let dropped = Arc::new(Mutex::new(Dropped::default()));
        let count = replicas.members.len();
        let shared = Arc::new(Shared {
            app: Arc::clone(app),
            replicas,
            tenant: tenant.clone(),
            matchers,
            dropped: Arc::clone(&dropped),
            failed: Mutex::default(),
        });
        let opening = (0..count).map(|at| shared.connect(&cluster, at));
        let opened = futures_util::future::join_all(opening).await;
        let (tell, messages) = mpsc::channel(MESSAGES_MAX);
        let mut listeners = Vec::with_capacity(count);
        for (at, opened) in opened.into_iter().enumerate() {
            if let Err(error) = &opened
                && !shared.may_fail(at)
            {
                return Err(format!("tail: {error}"));
            }
            let (shared, cluster, tell) = (Arc::clone(&shared), Arc::clone(&cluster), tell.clone());
            let listen = shared.listen(cluster, at, opened.ok(), tell);
            listeners.push(task::AbortOnDrop(task::spawn("tail listener", listen)));
        }
        let seen = [HashSet::new(), HashSet::new()];
        let has_replicas = count > 1;
        Ok(Self { messages, dropped, has_replicas, seen, _listeners: listeners })
    }

    async fn next(&mut self) -> Option<RemoteNews> {
        loop {
            let mut news = self.messages.recv().await??;
            if self.has_replicas {
                let RemoteNews { labels, batch, rows } = &mut news;
                let bytes = batch.as_bytes().clone();
                rows.retain(|row| is_new(&mut self.seen, labels, &entry_of(*row, &bytes)));
            }
            if !news.rows.is_empty() {
                return Some(news);
            }
        }
    }
}

/// Whether an entry is seen for the first time, as far as is remembered.
fn is_new(seen: &mut [HashSet<u64>; 2], labels: &Labels, entry: &TailEntry<'_>) -> bool {
    let mut hasher = DefaultHasher::new();
    labels.hash(&mut hasher);
    entry.timestamp.hash(&mut hasher);
    entry.line.hash(&mut hasher);
    entry.level.map(Level::code).hash(&mut hasher);
    entry.metadata.hash(&mut hasher);
    let hash = hasher.finish();
    if seen[1].contains(&hash) || !seen[0].insert(hash) {
        return false;
    }
    if seen[0].len() >= SEEN_MAX {
        seen.swap(0, 1);
        seen[0].clear();
    }
    true
}

impl Shared {
    async fn connect(&self, cluster: &Cluster, at: usize) -> Result<Heard, rpc::Error> {
        let peer = cluster.pool.peer(&self.replicas.members[at].address)?;
        Client::new(peer).tail(&self.tenant, &self.matchers).await
    }

    /// Notes that an ingester cannot be heard; answers whether no entry is missed without it.
    fn may_fail(&self, at: usize) -> bool {
        let mut failed = self.failed.lock();
        failed.insert(at);
        self.replicas.tolerates(&failed.iter().copied().collect::<Vec<_>>())
    }

    /// Takes what an ingester tells to the tail, until entries might be missed.
    async fn listen(
        self: Arc<Self>,
        cluster: Arc<Cluster>,
        at: usize,
        mut heard: Option<Heard>,
        tell: mpsc::Sender<Option<RemoteNews>>,
    ) {
        loop {
            if let Some(mut heard) = heard.take() {
                self.failed.lock().remove(&at);
                while let Some(Ok(news)) = heard.next().await {
                    for news in self.take(news) {
                        if tell.send(Some(news)).await.is_err() {
                            return;
                        }
                    }
                }
                if !self.may_fail(at) {
                    // The tail may be over already.
                    let _ = tell.send(None).await;
                    return;
                }
            }
            self.app.clock.sleep(RECONNECT_WAIT).await;
            heard = self.connect(&cluster, at).await.ok();
        }
    }

    /// Takes apart what an ingester told.
    fn take(&self, news: TailNews) -> Vec<RemoteNews> {
        if news.dropped > 0 {
            let mut dropped = self.dropped.lock();
            dropped.entries += news.dropped;
            let room = DROPPED_NAMED_MAX.saturating_sub(dropped.named.len());
            dropped.named.extend(news.named.into_iter().take(room));
        }
        let Some(batch) = news.batch else { return Vec::new() };
        let streams = batch.streams().filter_map(|stream| {
            let labels = Labels::parse(stream.canonical).ok()?;
            Some(RemoteNews { labels, batch: batch.clone(), rows: stream.rows().collect() })
        });
        streams.collect()
    }
}
