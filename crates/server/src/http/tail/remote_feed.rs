//! New entries of the ingesters of other processes.
//!
//! Each ingester is heard by a task of its own. The ring is looked at every moment: an ingester that
//! joins is heard from then on, one that leaves tells what it has and ends. An ingester takes no
//! entries while it leaves, so nothing is missed without it. One that joins may take entries before
//! it is heard; with replicas others tell of them.
//!
//! Nothing here waits for the client: what it has no room for is dropped and told as such, so that
//! an ingester that stops need not wait for the slowest client of its tails.

use std::collections::{BTreeMap, BTreeSet, HashSet};
use std::hash::{DefaultHasher, Hash as _, Hasher as _};
use std::sync::Arc;
use std::time::Duration;

use futures_util::StreamExt as _;
use futures_util::future::join_all;
use futures_util::stream::BoxStream;
use ingester::{Dropped, TailEntry};
use model::{Labels, Level, Matcher, TenantId};
use parking_lot::Mutex;
use rpc::ingester::{Client, TailNews};
use runtime::clock::Clock;
use runtime::shutdown::Stop;
use runtime::task::{self, AbortOnDrop};
use tokio::sync::mpsc;
use tokio::sync::mpsc::error::TrySendError;

use super::feed::{RemoteNews, entry_of};
use crate::app::App;
use crate::remote::cluster::Cluster;

/// Messages of other processes that may wait for the client; further ones are dropped.
const MESSAGES_MAX: usize = 1024;
/// Entries remembered to tell copies of other replicas; twice as many at most.
const SEEN_MAX: usize = 64 << 10;
/// How long to wait before an ingester is asked again.
const RECONNECT_WAIT: Duration = Duration::from_secs(1);
/// How often the ring is looked at for ingesters that have joined.
const RING_INTERVAL: Duration = Duration::from_millis(500);
/// How often, at that interval, the ring is looked at for whether an ingester that fell silent is
/// on its way out.
const LEAVING_CHECKS: usize = 10;
/// Dropped entries remembered by time and labels.
const DROPPED_NAMED_MAX: usize = 1000;

type Heard = BoxStream<'static, Result<TailNews, rpc::Error>>;

/// New entries of several processes.
pub(super) struct RemoteFeed {
    messages: mpsc::Receiver<RemoteNews>,
    /// Requested when entries might be missed from now on.
    lost: Stop,
    dropped: Arc<Mutex<Dropped>>,
    /// Hashes of entries seen, in two generations: several processes may tell of one entry.
    seen: [HashSet<u64>; 2],
    _follower: AbortOnDrop<()>,
}

/// What the listeners of one tail share.
struct Listeners {
    cluster: Arc<Cluster>,
    clock: Arc<dyn Clock>,
    tenant: TenantId,
    matchers: Vec<Matcher>,
    tell: mpsc::Sender<RemoteNews>,
    lost: Stop,
    dropped: Arc<Mutex<Dropped>>,
    /// Addresses of those that cannot be heard now.
    failed: Mutex<BTreeSet<Arc<str>>>,
}

impl RemoteFeed {
    /// Subscribes to every ingester.
    pub(super) async fn open(
        app: &Arc<App>,
        cluster: Arc<Cluster>,
        tenant: &TenantId,
        matchers: Vec<Matcher>,
    ) -> Result<Self, String> {
        let replicas = cluster.peers.readable(tenant).map_err(|error| error.to_string())?;
        let (tell, messages) = mpsc::channel(MESSAGES_MAX);
        let (lost, dropped) = (Stop::new(), Arc::new(Mutex::new(Dropped::default())));
        let shared = Arc::new(Listeners {
            cluster,
            clock: Arc::clone(&app.clock),
            tenant: tenant.clone(),
            matchers,
            tell,
            lost: lost.clone(),
            dropped: Arc::clone(&dropped),
            failed: Mutex::default(),
        });
        let takes_entries = replicas.members.into_iter().filter(|member| !member.is_leaving);
        let addresses: Vec<Arc<str>> = takes_entries.map(|member| member.address).collect();
        let opened = join_all(addresses.iter().map(|address| shared.connect(address))).await;
        let mut running = BTreeMap::new();
        for (address, opened) in addresses.into_iter().zip(opened) {
            if let Err(error) = &opened {
                shared.failed.lock().insert(Arc::clone(&address));
                if !shared.is_whole() {
                    return Err(format!("tail: {error}"));
                }
            }
            running.insert(Arc::clone(&address), shared.start(address, opened.ok()));
        }
        let follow = AbortOnDrop(task::spawn("tail follower", shared.follow(running)));
        let seen = [HashSet::new(), HashSet::new()];
        Ok(Self { messages, lost, dropped, seen, _follower: follow })
    }

    /// The next entries; `None` when some might be missed from now on. Cancel safe.
    pub(super) async fn next(&mut self) -> Option<RemoteNews> {
        loop {
            let mut news = tokio::select! {
                biased;
                news = self.messages.recv() => news?,
                () = self.lost.requested() => return None,
            };
            let RemoteNews { labels, batch, rows } = &mut news;
            let bytes = batch.as_bytes().clone();
            rows.retain(|row| is_new(&mut self.seen, labels, &entry_of(*row, &bytes)));
            if !news.rows.is_empty() {
                return Some(news);
            }
        }
    }

    /// What was dropped since the last call.
    pub(super) fn take_dropped(&self) -> Dropped {
        std::mem::take(&mut *self.dropped.lock())
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

impl Listeners {
    async fn connect(&self, address: &str) -> Result<Heard, rpc::Error> {
        let peer = self.cluster.pool.peer(address)?;
        Client::new(peer).tail(&self.tenant, &self.matchers).await
    }

    fn start(self: &Arc<Self>, address: Arc<str>, heard: Option<Heard>) -> AbortOnDrop<()> {
        let listen = Arc::clone(self).listen(address, heard);
        AbortOnDrop(task::spawn("tail listener", listen))
    }

    /// Hears ingesters that join, for as long as the tail lives.
    async fn follow(self: Arc<Self>, mut running: BTreeMap<Arc<str>, AbortOnDrop<()>>) {
        loop {
            self.clock.sleep(RING_INTERVAL).await;
            running.retain(|_, listener| !listener.0.is_finished());
            let Ok(replicas) = self.cluster.peers.readable(&self.tenant) else { continue };
            for member in replicas.members.into_iter().filter(|member| !member.is_leaving) {
                let address = member.address;
                if !running.contains_key(&address) {
                    running.insert(Arc::clone(&address), self.start(address, None));
                }
            }
        }
    }

    /// Takes what an ingester tells, until it has left or entries might be missed.
    async fn listen(self: Arc<Self>, address: Arc<str>, mut heard: Option<Heard>) {
        loop {
            if heard.is_none() {
                heard = self.connect(&address).await.ok();
            }
            if let Some(mut heard) = heard.take() {
                self.failed.lock().remove(&address);
                while let Some(Ok(news)) = heard.next().await {
                    self.take(news);
                }
            }
            self.failed.lock().insert(Arc::clone(&address));
            if !self.stays_whole().await {
                self.lost.request();
                return;
            }
            if !self.takes_entries(&address) {
                self.failed.lock().remove(&address);
                return;
            }
            self.clock.sleep(RECONNECT_WAIT).await;
        }
    }

    /// Whether every entry is told by somebody who can be heard.
    fn is_whole(&self) -> bool {
        let Ok(replicas) = self.cluster.peers.readable(&self.tenant) else { return false };
        let failed = self.failed.lock();
        let missed = replicas.members.iter().enumerate();
        let missed =
            missed.filter(|(_, member)| !member.is_leaving && failed.contains(&member.address));
        replicas.tolerates(&missed.map(|(at, _)| at).collect::<Vec<_>>())
    }

    /// [`Self::is_whole`], now or soon: that an ingester leaves may be known here a little later
    /// than that it has stopped.
    async fn stays_whole(&self) -> bool {
        for _ in 0..LEAVING_CHECKS {
            if self.is_whole() {
                return true;
            }
            if !self.cluster.peers.may_change() {
                return false;
            }
            self.clock.sleep(RING_INTERVAL).await;
        }
        self.is_whole()
    }

    fn takes_entries(&self, address: &str) -> bool {
        let replicas = self.cluster.peers.readable(&self.tenant);
        replicas.is_ok_and(|replicas| {
            replicas.members.iter().any(|m| !m.is_leaving && &*m.address == address)
        })
    }

    /// Takes apart what an ingester told, and tells it to the tail.
    fn take(&self, news: TailNews) {
        if news.dropped > 0 {
            let mut dropped = self.dropped.lock();
            dropped.entries += news.dropped;
            let room = DROPPED_NAMED_MAX.saturating_sub(dropped.named.len());
            dropped.named.extend(news.named.into_iter().take(room));
        }
        let Some(batch) = news.batch else { return };
        for stream in batch.streams() {
            let Ok(labels) = Labels::parse(stream.canonical) else { continue };
            let news = RemoteNews { labels, batch: batch.clone(), rows: stream.rows().collect() };
            if let Err(TrySendError::Full(late)) = self.tell.try_send(news) {
                let mut dropped = self.dropped.lock();
                dropped.entries += late.rows.len() as u64;
                let room = DROPPED_NAMED_MAX.saturating_sub(dropped.named.len());
                let named = late.rows.iter().map(|row| (row.timestamp, late.labels.clone()));
                dropped.named.extend(named.take(room));
            }
        }
    }
}
