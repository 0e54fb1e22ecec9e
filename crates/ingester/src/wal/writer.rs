//! The thread that writes: group commit.
//!
//! Everything that is queued when the thread looks is written with one vectored write and made
//! durable with one sync. While it waits for the disk, the next group gathers. The thread itself
//! hands what it wrote to the [`Sink`], in the order of writing, and it alone removes files, so no
//! file can go while a record of it is on its way into a head.

use std::collections::VecDeque;
use std::sync::Arc;
use std::time::Duration;

use parking_lot::{Condvar, Mutex};
use runtime::clock::Clock;
use runtime::task;

use super::files::{Outgoing, SyncOnAppend, WalFiles};
use super::flushed::{FlushedLog, FlushedMark};
use super::{Position, WalError};
use crate::config::{Threads, WalSync};
use crate::metrics::Metrics;

/// A group takes no more records once it has this many bytes.
const GROUP_BYTES: u64 = 16 << 20;
/// A group takes no more records than this.
const GROUP_RECORDS: usize = 4096;

/// What happens to items once their record is written, or not.
pub(crate) trait Sink: Send + 'static {
    /// What goes with a record.
    type Item: Send + 'static;

    /// The record is written, and durable if the configuration says so. Called in WAL order.
    fn committed(&mut self, position: Position, item: Self::Item);

    /// The record is not written.
    fn failed(&mut self, item: Self::Item, error: &WalError);

    /// A group was handed over whole, and the log now has this many bytes.
    fn group_done(&mut self, wal_bytes: u64);

    /// The oldest position whose rows are not yet in object storage.
    fn oldest_needed(&mut self) -> Option<Position>;
}

/// Hands records to the thread.
pub(crate) struct WalWriter<T> {
    shared: Arc<Shared<T>>,
    thread: Mutex<Option<std::thread::JoinHandle<()>>>,
    /// Does the thread's work when there is none.
    inline: Option<Mutex<Box<dyn Rounds>>>,
}

/// What the thread does, round by round.
trait Rounds: Send {
    /// Does everything that is queued, without waiting for more.
    fn round(&mut self);
}

/// What the thread needs to know besides its files and its sink.
pub(crate) struct WriterSettings {
    pub(crate) sync: WalSync,
    pub(crate) clock: Arc<dyn Clock>,
    pub(crate) metrics: Metrics,
    pub(crate) threads: Threads,
}

struct Shared<T> {
    queue: Mutex<Queue<T>>,
    wake: Condvar,
}

struct Queue<T> {
    records: VecDeque<(Outgoing, T)>,
    /// Heads that reached object storage.
    flushed: Vec<FlushedMark>,
    is_stopping: bool,
}

impl<T: Send + 'static> WalWriter<T> {
    /// Starts the thread.
    pub(crate) fn start(
        files: WalFiles,
        flushed: FlushedLog,
        sink: impl Sink<Item = T>,
        settings: WriterSettings,
    ) -> Self {
        let queue = Queue { records: VecDeque::new(), flushed: Vec::new(), is_stopping: false };
        let shared = Arc::new(Shared { queue: Mutex::new(queue), wake: Condvar::new() });
        let last_sync = settings.clock.monotonic();
        let threads = settings.threads;
        let mut worker =
            Worker { shared: Arc::clone(&shared), files, flushed, sink, settings, last_sync };
        if threads == Threads::Caller {
            worker.begin();
            let inline: Box<dyn Rounds> = Box::new(worker);
            return Self { shared, thread: Mutex::new(None), inline: Some(Mutex::new(inline)) };
        }
        let thread = task::spawn_thread("wal-writer", move || worker.run());
        Self { shared, thread: Mutex::new(Some(thread)), inline: None }
    }

    /// Queues a record. The caller bounds how much is queued.
    ///
    /// # Errors
    ///
    /// The item, when the log was stopped.
    pub(crate) fn submit(&self, record: Outgoing, item: T) -> Result<(), T> {
        let mut queue = self.shared.queue.lock();
        if queue.is_stopping {
            return Err(item);
        }
        queue.records.push_back((record, item));
        drop(queue);
        self.wake();
        Ok(())
    }

    /// Remembers that a head is in object storage, and removes the files nobody needs any more.
    pub(crate) fn retire(&self, mark: FlushedMark) {
        self.shared.queue.lock().flushed.push(mark);
        self.wake();
    }

    fn wake(&self) {
        match &self.inline {
            Some(inline) => inline.lock().round(),
            None => {
                self.shared.wake.notify_one();
            }
        }
    }

    /// Writes what is queued and ends the thread. Blocks until then; later calls do nothing.
    pub(crate) fn stop(&self) {
        self.shared.queue.lock().is_stopping = true;
        self.wake();
        let thread = self.thread.lock().take();
        if let Some(thread) = thread {
            // A panic in the thread has ended the process.
            let _ = thread.join();
        }
    }
}

impl<T> Drop for WalWriter<T> {
    fn drop(&mut self) {
        self.shared.queue.lock().is_stopping = true;
        self.shared.wake.notify_one();
    }
}

struct Worker<S: Sink> {
    shared: Arc<Shared<S::Item>>,
    files: WalFiles,
    flushed: FlushedLog,
    sink: S,
    settings: WriterSettings,
    last_sync: Duration,
}

/// What the thread takes from the queue at once.
struct Taken<T> {
    records: Vec<Outgoing>,
    items: Vec<T>,
    flushed: Vec<FlushedMark>,
    is_last: bool,
}

impl<S: Sink> Worker<S> {
    fn run(mut self) {
        self.begin();
        loop {
            self.wait();
            let taken = self.take();
            let is_last = taken.is_last;
            self.handle(taken);
            if is_last {
                return;
            }
        }
    }

    /// Replay may have flushed, or found that all of an old file is stored.
    fn begin(&mut self) {
        self.retire(Vec::new());
        self.publish();
    }

    fn handle(&mut self, taken: Taken<S::Item>) {
        let Taken { records, items, flushed, is_last } = taken;
        if !records.is_empty() {
            self.write(&records, items);
            self.sink.group_done(self.files.bytes());
        }
        self.sync_if_due(is_last);
        if !flushed.is_empty() || is_last {
            self.retire(flushed);
        }
        self.publish();
    }

    /// Waits for something to do.
    fn wait(&self) {
        let mut queue = self.shared.queue.lock();
        while queue.records.is_empty() && queue.flushed.is_empty() && !queue.is_stopping {
            match self.settings.sync {
                WalSync::Interval(interval) => {
                    if self.shared.wake.wait_for(&mut queue, interval).timed_out() {
                        break;
                    }
                }
                WalSync::Always | WalSync::Off => self.shared.wake.wait(&mut queue),
            }
        }
    }

    /// Takes what is queued, at most a group.
    fn take(&self) -> Taken<S::Item> {
        let mut queue = self.shared.queue.lock();
        let (mut records, mut items, mut bytes) = (Vec::new(), Vec::new(), 0);
        while bytes < GROUP_BYTES
            && records.len() < GROUP_RECORDS
            && let Some((record, item)) = queue.records.pop_front()
        {
            bytes += record.record_bytes();
            records.push(record);
            items.push(item);
        }
        let flushed = std::mem::take(&mut queue.flushed);
        let is_last = queue.is_stopping && queue.records.is_empty();
        Taken { records, items, flushed, is_last }
    }

    fn is_idle(&self) -> bool {
        let queue = self.shared.queue.lock();
        queue.records.is_empty() && queue.flushed.is_empty()
    }

    fn write(&mut self, records: &[Outgoing], items: Vec<S::Item>) {
        let begun = self.settings.clock.monotonic();
        let sync = match self.settings.sync {
            WalSync::Always => SyncOnAppend::Yes,
            WalSync::Interval(_) | WalSync::Off => SyncOnAppend::No,
        };
        match self.files.append(records, sync) {
            Ok(positions) => {
                let took = self.settings.clock.monotonic().saturating_sub(begun);
                self.settings.metrics.wal_wrote(records, took);
                for (position, item) in positions.into_iter().zip(items) {
                    self.sink.committed(position, item);
                }
            }
            Err(error) => {
                self.settings.metrics.wal_failed(&error);
                tracing::error!(%error, records = records.len(), "appends were refused");
                for item in items {
                    self.sink.failed(item, &error);
                }
            }
        }
    }

    fn sync_if_due(&mut self, is_last: bool) {
        let now = self.settings.clock.monotonic();
        let is_due = match self.settings.sync {
            WalSync::Always => false,
            WalSync::Off => is_last,
            WalSync::Interval(interval) => {
                is_last || now.saturating_sub(self.last_sync) >= interval
            }
        };
        if is_due {
            self.last_sync = now;
            if let Err(error) = self.files.sync() {
                self.settings.metrics.wal_failed(&error);
                tracing::error!(%error, "acknowledged entries may not survive a loss of power");
            }
        }
    }

    fn retire(&mut self, flushed: Vec<FlushedMark>) {
        for mark in flushed {
            if let Err(error) = self.flushed.add(mark) {
                self.settings.metrics.wal_failed(&error);
                tracing::warn!(%error, "a crash now would replay entries that are stored already");
            }
        }
        let needed = self.sink.oldest_needed();
        match self.files.remove_before(needed) {
            Ok(()) => self.flushed.forget_before(self.files.oldest_number()),
            Err(error) => {
                self.settings.metrics.wal_failed(&error);
                tracing::warn!(%error, "a file of the log stays until the next flush");
            }
        }
    }

    fn publish(&self) {
        self.settings.metrics.wal_size(self.files.count(), self.files.bytes());
    }
}

impl<S: Sink> Rounds for Worker<S> {
    fn round(&mut self) {
        loop {
            let taken = self.take();
            self.handle(taken);
            if self.is_idle() {
                return;
            }
        }
    }
}
