//! Telling readers of new entries as they become durable.
//!
//! A subscription gets the rows of matching streams from the thread of the log, as shared slabs: no
//! line is copied. The thread never waits for a reader; what a slow one has no room for is dropped,
//! counted, and named up to a bound. Without subscriptions an append costs one atomic load.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, AtomicU64, AtomicUsize, Ordering};

use bytes::Bytes;
use model::matcher::all_match;
use model::{Labels, Level, Matcher, Timestamp};
use parking_lot::Mutex;
use tokio::sync::mpsc;

use crate::metrics::Metrics;
use crate::row::Row;

/// Messages that may wait for a reader.
const MESSAGES_MAX: usize = 1024;
/// Dropped entries that are remembered by time and labels.
const DROPPED_NAMED_MAX: usize = 1000;

/// New entries of one stream, in arrival order.
#[derive(Debug, Clone)]
pub struct TailEntries {
    /// The stream's labels.
    pub labels: Labels,
    slab: Bytes,
    rows: Vec<Row>,
}

/// One new entry.
#[derive(Debug, Clone)]
pub struct TailEntry<'a> {
    /// When.
    pub timestamp: Timestamp,
    /// The text.
    pub line: &'a [u8],
    /// The detected level, which counts as structured metadata.
    pub level: Option<Level>,
    /// The other structured metadata.
    pub metadata: Vec<(&'a str, &'a str)>,
}

impl TailEntries {
    /// The entries.
    pub fn iter(&self) -> impl ExactSizeIterator<Item = TailEntry<'_>> {
        self.rows.iter().map(|row| TailEntry {
            timestamp: Timestamp(row.timestamp),
            line: row.line(&self.slab),
            level: row.level(),
            metadata: row.metadata(&self.slab).collect(),
        })
    }

    fn bytes(&self) -> u64 {
        self.rows.iter().map(|row| u64::from(row.line_len()) + size_of::<Row>() as u64).sum()
    }
}

/// What a reader was too slow for.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Dropped {
    /// How many entries.
    pub entries: u64,
    /// Time and labels of the first of them.
    pub named: Vec<(Timestamp, Labels)>,
}

/// Receives new entries. Dropping it ends the subscription.
#[derive(Debug)]
pub struct TailReceiver {
    messages: mpsc::Receiver<TailEntries>,
    shared: Arc<Shared>,
    count: Arc<AtomicUsize>,
    metrics: Metrics,
}

#[derive(Debug, Default)]
struct Shared {
    queued_bytes: AtomicU64,
    is_closed: AtomicBool,
    dropped: Mutex<Dropped>,
}

impl TailReceiver {
    /// The next entries; `None` when the ingester is gone. Cancel safe.
    pub async fn next(&mut self) -> Option<TailEntries> {
        let entries = self.messages.recv().await?;
        self.shared.queued_bytes.fetch_sub(entries.bytes(), Ordering::Relaxed);
        Some(entries)
    }

    /// What was dropped since the last call.
    #[must_use]
    pub fn take_dropped(&self) -> Dropped {
        std::mem::take(&mut *self.shared.dropped.lock())
    }
}

impl Drop for TailReceiver {
    fn drop(&mut self) {
        self.shared.is_closed.store(true, Ordering::Relaxed);
        self.count.fetch_sub(1, Ordering::Relaxed);
        self.metrics.tail_subscriptions.dec();
    }
}

#[derive(Debug)]
struct Subscription {
    matchers: Vec<Matcher>,
    sender: mpsc::Sender<TailEntries>,
    shared: Arc<Shared>,
}

/// The subscriptions of one tenant.
#[derive(Debug, Default)]
pub(crate) struct Tails {
    count: Arc<AtomicUsize>,
    subscriptions: Mutex<Vec<Subscription>>,
}

impl Tails {
    pub(crate) fn subscribe(&self, matchers: Vec<Matcher>, metrics: &Metrics) -> TailReceiver {
        let (sender, messages) = mpsc::channel(MESSAGES_MAX);
        let shared = Arc::new(Shared::default());
        let mut subscriptions = self.subscriptions.lock();
        subscriptions.retain(|one| !one.shared.is_closed.load(Ordering::Relaxed));
        subscriptions.push(Subscription { matchers, sender, shared: Arc::clone(&shared) });
        self.count.fetch_add(1, Ordering::Relaxed);
        metrics.tail_subscriptions.inc();
        TailReceiver { messages, shared, count: Arc::clone(&self.count), metrics: metrics.clone() }
    }

    /// Whether somebody listens.
    pub(crate) fn is_needed(&self) -> bool {
        self.count.load(Ordering::Relaxed) > 0
    }

    /// Tells everybody who listens of a stream's new rows.
    pub(crate) fn tell(&self, news: &News<'_>) {
        for one in &*self.subscriptions.lock() {
            if !one.shared.is_closed.load(Ordering::Relaxed)
                && all_match(&one.matchers, news.labels)
            {
                one.offer(news);
            }
        }
    }
}

/// New rows of a stream.
pub(crate) struct News<'a> {
    pub(crate) labels: &'a Labels,
    pub(crate) slab: &'a Bytes,
    pub(crate) rows: &'a [Row],
    pub(crate) to: TellTo<'a>,
}

/// How readers are told.
#[derive(Debug, Clone, Copy)]
pub(crate) struct TellTo<'a> {
    /// Bytes that may wait for one reader.
    pub(crate) buffer_bytes: u64,
    pub(crate) metrics: &'a Metrics,
}

impl Subscription {
    fn offer(&self, news: &News<'_>) {
        let entries = TailEntries {
            labels: news.labels.clone(),
            slab: news.slab.clone(),
            rows: news.rows.to_vec(),
        };
        let bytes = entries.bytes();
        // Only the thread of the log adds, so the bound holds.
        let queued = self.shared.queued_bytes.load(Ordering::Relaxed);
        if queued > 0 && queued + bytes > news.to.buffer_bytes {
            return self.drop_entries(news);
        }
        self.shared.queued_bytes.fetch_add(bytes, Ordering::Relaxed);
        if self.sender.try_send(entries).is_err() {
            self.shared.queued_bytes.fetch_sub(bytes, Ordering::Relaxed);
            self.drop_entries(news);
        }
    }

    fn drop_entries(&self, news: &News<'_>) {
        news.to.metrics.tail_dropped.inc_by(news.rows.len() as u64);
        let mut dropped = self.shared.dropped.lock();
        dropped.entries += news.rows.len() as u64;
        let room = DROPPED_NAMED_MAX.saturating_sub(dropped.named.len());
        let named = news.rows.iter().take(room);
        dropped.named.extend(named.map(|row| (Timestamp(row.timestamp), news.labels.clone())));
    }
}
