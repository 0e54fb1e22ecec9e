//! A head: the rows of one tenant that are not in object storage yet.
//!
//! Rows are grouped by stream and point into slabs, the encoded batches as they were written to the
//! log. The thread of the log appends; queries clone lists. A head that is large or old is sealed:
//! from then on it does not change, a new one takes the appends, and the sealed one serves queries
//! until it is in object storage.
//!
//! Invariant: a head holds exactly the tenant's records of the log from its first position to its
//! last.

use std::sync::atomic::AtomicBool;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use bytes::{Bytes, BytesMut};
use model::matcher::all_match;
use model::{Fingerprint, Labels, Matcher, TimeRange, Timestamp};
use parking_lot::Mutex;
use segment::SegmentName;
use tokio::sync::{Notify, watch};

use crate::list::AppendList;
use crate::metrics::FlushReason;
use crate::replicas::HeadDigests;
use crate::row::{Row, Slabs};
use crate::wal::Position;

pub(crate) mod order;

use order::Order;

/// Batches below this size are copied together, so that a head is not thousands of allocations.
const SMALL_BATCH_BYTES: usize = 16 << 10;
/// Room for small batches that is allocated at once, at least and at most.
const ROOM_BYTES: std::ops::RangeInclusive<usize> = SMALL_BATCH_BYTES..=1 << 20;
/// Memory of a stream's rows beside the rows themselves.
const RUN_BYTES: u64 = 256;

/// What a head is known by, from its first row until it is forgotten.
#[derive(Debug)]
pub(crate) struct HeadId {
    /// Unique in the process; ascends in the order in which heads are begun.
    pub(crate) origin: u64,
    /// The segments that hold, or will in a moment hold, the head's rows.
    flushed_as: Mutex<Vec<SegmentName>>,
}

impl HeadId {
    pub(crate) fn new(origin: u64) -> Arc<Self> {
        Arc::new(Self { origin, flushed_as: Mutex::new(Vec::new()) })
    }

    pub(crate) fn flushed_as(&self) -> Vec<SegmentName> {
        self.flushed_as.lock().clone()
    }

    pub(crate) fn set_flushed_as(&self, names: Vec<SegmentName>) {
        *self.flushed_as.lock() = names;
    }
}

/// Positions of the log, both inclusive.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Positions {
    pub(crate) first: Position,
    pub(crate) last: Position,
}

/// The head that takes appends.
#[derive(Debug)]
pub(crate) struct Head {
    pub(crate) id: Arc<HeadId>,
    slabs: Slabs,
    /// Where small batches are copied to.
    room: BytesMut,
    runs: Vec<Run>,
    memory: u64,
    positions: Option<Positions>,
    /// When the first row came, on the monotonic clock.
    begun: Duration,
    /// When the last batch came.
    touched: Duration,
}

/// The rows of one stream in a head.
#[derive(Debug)]
struct Run {
    labels: Labels,
    fingerprint: Fingerprint,
    rows: AppendList<Row>,
    order: Order,
    /// Earliest and latest time.
    first: i64,
    last: i64,
    /// Time of the row that came last.
    previous: Option<i64>,
    line_bytes: u64,
}

impl Head {
    /// An empty head.
    pub(crate) fn new(origin: u64) -> Self {
        Self {
            id: HeadId::new(origin),
            slabs: Slabs::default(),
            room: BytesMut::new(),
            runs: Vec::new(),
            memory: 0,
            positions: None,
            begun: Duration::ZERO,
            touched: Duration::ZERO,
        }
    }

    pub(crate) fn is_empty(&self) -> bool {
        self.positions.is_none()
    }

    /// Bytes of slabs and rows.
    pub(crate) fn memory(&self) -> u64 {
        self.memory
    }

    pub(crate) fn positions(&self) -> Option<Positions> {
        self.positions
    }

    /// How long ago the first row came.
    pub(crate) fn age(&self, now: Duration) -> Duration {
        now.saturating_sub(self.begun)
    }

    /// How long nothing came.
    pub(crate) fn idle(&self, now: Duration) -> Duration {
        now.saturating_sub(self.touched)
    }

    pub(crate) fn run_count(&self) -> usize {
        self.runs.len()
    }

    /// Takes a batch's bytes and answers the index of their slab. Positions must ascend.
    pub(crate) fn add_slab(&mut self, bytes: &Bytes, position: Position, now: Duration) -> u32 {
        match &mut self.positions {
            Some(positions) => positions.last = position,
            None => {
                self.positions = Some(Positions { first: position, last: position });
                self.begun = now;
            }
        }
        self.touched = now;
        let slab = self.slabs.len() as u32;
        let kept =
            if bytes.len() < SMALL_BATCH_BYTES { self.copy_small(bytes) } else { bytes.clone() };
        self.memory += (kept.len() + size_of::<Bytes>()) as u64;
        self.slabs.push(kept);
        slab
    }

    /// Begins the rows of a stream and answers their index.
    pub(crate) fn add_run(&mut self, labels: &Labels, fingerprint: Fingerprint) -> u32 {
        self.memory += RUN_BYTES;
        self.runs.push(Run {
            labels: labels.clone(),
            fingerprint,
            rows: AppendList::default(),
            order: Order::Ascending,
            first: i64::MAX,
            last: i64::MIN,
            previous: None,
            line_bytes: 0,
        });
        (self.runs.len() - 1) as u32
    }

    /// Appends rows of one slab to a stream.
    pub(crate) fn add_rows(&mut self, run: u32, slab: u32, rows: &[Row]) {
        self.memory += size_of_val(rows) as u64;
        if let Some(run) = self.runs.get_mut(run as usize) {
            run.extend(slab, rows);
        }
    }

    /// The matching streams with rows that may lie in the range.
    pub(crate) fn views(&self, matchers: &[Matcher], range: TimeRange) -> Vec<Arc<RunView>> {
        let is_shown = |run: &&Run| run.overlaps(range) && all_match(matchers, &run.labels);
        self.runs.iter().filter(is_shown).map(|run| Arc::new(run.view())).collect()
    }

    pub(crate) fn slabs(&self) -> Slabs {
        self.slabs.clone()
    }

    /// Makes the head unchangeable. `None` when it is empty.
    pub(crate) fn seal(self, reason: FlushReason, now: Duration) -> Option<SealedHead> {
        let positions = self.positions?;
        Some(SealedHead {
            age: self.age(now),
            id: self.id,
            slabs: self.slabs,
            runs: self.runs.iter().map(|run| Arc::new(run.view())).collect(),
            memory: self.memory,
            positions,
            reason,
            state: watch::Sender::new(FlushState::Waiting),
            retry: Notify::new(),
            is_urgent: AtomicBool::new(false),
            digests: OnceLock::new(),
        })
    }

    fn copy_small(&mut self, bytes: &Bytes) -> Bytes {
        if self.room.capacity() < bytes.len() {
            // The more the head holds, the more it may reserve: never over its own size again.
            let size = (self.memory as usize).clamp(*ROOM_BYTES.start(), *ROOM_BYTES.end());
            self.room = BytesMut::with_capacity(size);
        }
        self.room.extend_from_slice(bytes);
        self.room.split().freeze()
    }
}

impl Run {
    fn extend(&mut self, slab: u32, rows: &[Row]) {
        for row in rows {
            self.order = self.order.after(self.previous, row.timestamp);
            self.previous = Some(row.timestamp);
            self.first = self.first.min(row.timestamp);
            self.last = self.last.max(row.timestamp);
            self.line_bytes += u64::from(row.line_len());
        }
        self.rows.extend(rows.iter().map(|row| row.in_slab(slab)));
    }

    fn overlaps(&self, range: TimeRange) -> bool {
        range.overlaps(Timestamp(self.first), Timestamp(self.last))
    }

    fn view(&self) -> RunView {
        RunView {
            labels: self.labels.clone(),
            fingerprint: self.fingerprint,
            rows: self.rows.clone(),
            order: self.order,
            first: Timestamp(self.first),
            last: Timestamp(self.last),
            line_bytes: self.line_bytes,
            ready: OnceLock::new(),
        }
    }
}

/// The rows of one stream in a head, at one instant.
#[derive(Debug)]
pub(crate) struct RunView {
    pub(crate) labels: Labels,
    pub(crate) fingerprint: Fingerprint,
    rows: AppendList<Row>,
    order: Order,
    /// Time of the earliest row.
    pub(crate) first: Timestamp,
    /// Time of the latest row.
    pub(crate) last: Timestamp,
    /// Line bytes, duplicates included.
    pub(crate) line_bytes: u64,
    ready: OnceLock<AppendList<Row>>,
}

impl RunView {
    /// Whether the stream matches and may have rows in the range.
    pub(crate) fn may_show(&self, matchers: &[Matcher], range: TimeRange) -> bool {
        range.overlaps(self.first, self.last) && all_match(matchers, &self.labels)
    }

    /// The rows by time, equal times in arrival order, every entry once.
    pub(crate) fn rows(&self, slabs: &Slabs) -> &AppendList<Row> {
        self.ready.get_or_init(|| order::ordered(&self.rows, self.order, slabs))
    }
}

/// How far a sealed head has come.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum FlushState {
    /// Not yet stored.
    Waiting,
    /// An attempt failed; another one follows.
    Failed(Arc<str>),
    /// In object storage.
    Stored,
}

/// A head that does not change any more.
#[derive(Debug)]
pub(crate) struct SealedHead {
    pub(crate) id: Arc<HeadId>,
    pub(crate) slabs: Slabs,
    pub(crate) runs: Vec<Arc<RunView>>,
    pub(crate) memory: u64,
    pub(crate) positions: Positions,
    pub(crate) reason: FlushReason,
    /// Time from the first row to the sealing.
    pub(crate) age: Duration,
    pub(crate) state: watch::Sender<FlushState>,
    /// Ends the wait before the next attempt.
    pub(crate) retry: Notify,
    /// Whether it is stored without waiting for what replicas store.
    pub(crate) is_urgent: AtomicBool,
    digests: OnceLock<Arc<HeadDigests>>,
}

impl SealedHead {
    /// The digests of its rows; made when first asked for.
    pub(crate) fn digests(&self) -> Arc<HeadDigests> {
        let make = || Arc::new(HeadDigests::of(&self.runs, &self.slabs, self.age));
        Arc::clone(self.digests.get_or_init(make))
    }

    /// Times of the earliest and the latest row.
    pub(crate) fn span(&self) -> (Timestamp, Timestamp) {
        let first = self.runs.iter().map(|run| run.first).min();
        let last = self.runs.iter().map(|run| run.last).max();
        (first.unwrap_or(Timestamp::MAX), last.unwrap_or(Timestamp::MIN))
    }

    /// The matching streams with rows that may lie in the range.
    pub(crate) fn views(&self, matchers: &[Matcher], range: TimeRange) -> Vec<Arc<RunView>> {
        let is_shown = |run: &&Arc<RunView>| run.may_show(matchers, range);
        self.runs.iter().filter(is_shown).map(Arc::clone).collect()
    }
}
