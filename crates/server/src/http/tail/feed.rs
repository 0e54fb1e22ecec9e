//! Where a tail's entries come from: the ingester of this process, or those of others.

use std::sync::Arc;

use api::append::{AppendBatch, RowRef, metadata_at};
use ingester::{Dropped, TailEntries, TailEntry, TailReceiver};
use model::{Labels, Level, Matcher, TenantId};

use super::remote_feed::RemoteFeed;
use crate::app::App;

/// New entries of one stream, in arrival order.
pub(super) enum News {
    /// Of this process.
    Local(TailEntries),
    /// Of another one.
    Remote(RemoteNews),
}

/// New entries that came from another process.
pub(super) struct RemoteNews {
    pub(super) labels: Labels,
    pub(super) batch: AppendBatch,
    pub(super) rows: Vec<RowRef>,
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

pub(super) fn entry_of(row: RowRef, bytes: &[u8]) -> TailEntry<'_> {
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
            Self::Remote(feed) => feed.take_dropped(),
        }
    }
}
