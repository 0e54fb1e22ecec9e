//! The ingester: open, append, flush, read, stop.

use std::sync::Arc;
use std::sync::atomic::{AtomicBool, Ordering};
use std::time::Duration;

use api::append::{AppendBatch, AppendOutcome};
use model::{Matcher, TenantId, TimeRange};
use parking_lot::Mutex;
use runtime::clock::Clock;
use runtime::limits::LimitsFor;
use runtime::random::Random;
use runtime::shutdown::Stop;
use runtime::task;
use store::{Store, StoredSegment};
use tokio::sync::{Semaphore, oneshot};

use crate::admission::Rules;
use crate::config::{Config, Limits, Threads};
use crate::error::Error;
use crate::flush::{Flusher, Origin, Retire};
use crate::heads::{Append, Heads, InFlight, IntoHeads};
use crate::metrics::{FlushReason, Metrics};
use crate::replay::{Covered, Replayer, Summary};
use crate::replicas::Replicas;
use crate::snapshot::HeadSnapshot;
use crate::tail::TailReceiver;
use crate::tenant::Admitted;
use crate::wal::WalError;
use crate::wal::directory::{DiskDirectory, WalDirectory};
use crate::wal::files::Outgoing;
use crate::wal::flushed::FlushedLog;
use crate::wal::record::KIND_APPEND;
use crate::wal::replay::Replay;
use crate::wal::writer::{WalWriter, WriterSettings};

/// What an ingester needs of its surroundings.
pub struct Dependencies {
    /// Measures ages and waits.
    pub clock: Arc<dyn Clock>,
    /// Names a new log, and spreads retries.
    pub random: Arc<dyn Random>,
    /// The limits of tenants.
    pub limits: Arc<dyn LimitsFor<Limits>>,
    /// Where heads are flushed to.
    pub store: Arc<Store>,
    /// Who else stores the same rows; `None` with a replication factor of 1.
    pub replicas: Option<Arc<dyn Replicas>>,
    /// Where to count.
    pub metrics: Metrics,
}

/// Recent entries of all tenants: in memory to be read, in the log to survive.
pub struct Ingester {
    heads: Arc<Heads>,
    limits: Arc<dyn LimitsFor<Limits>>,
    wal: Arc<WalWriter<Append>>,
    flusher: Arc<Flusher>,
    stop: Stop,
    is_stopping: AtomicBool,
    is_read_only: AtomicBool,
    /// Whether the next stop is for good.
    is_prepared: AtomicBool,
    flushes_on_stop: AtomicBool,
    flush_loop: Mutex<Option<task::JoinHandle<()>>>,
}

impl Ingester {
    /// Opens the log, replays it, and starts flushing.
    ///
    /// When it returns, every entry that was acknowledged before is in object storage or can be
    /// read here.
    ///
    /// # Errors
    ///
    /// [`Error::Config`], [`Error::Open`] when the log cannot be read or is of a newer program,
    /// [`Error::Catalog`] and [`Error::Flush`] when object storage does not answer: try again.
    ///
    /// # Panics
    ///
    /// Outside a multi-threaded tokio runtime.
    pub async fn open(config: Config, dependencies: Dependencies) -> Result<Arc<Self>, Error> {
        let path = config.wal_dir.clone();
        let directory = task::run_blocking(move || DiskDirectory::open(&path)).await;
        let directory = directory
            .map_err(|panic| std::io::Error::other(panic.to_string()))
            .and_then(|opened| opened)
            .map_err(|error| Error::Open(WalError::new("open", "directory", &error)))?;
        Self::open_in(config, dependencies, Arc::new(directory)).await
    }

    /// Opens a log in a directory of the caller's instead of [`Config::wal_dir`].
    ///
    /// # Errors
    ///
    /// As [`Ingester::open`].
    pub async fn open_in(
        config: Config,
        dependencies: Dependencies,
        directory: Arc<dyn WalDirectory>,
    ) -> Result<Arc<Self>, Error> {
        let problems = config.problems();
        if !problems.is_empty() {
            return Err(Error::Config(problems.join("; ")));
        }
        let Dependencies { clock, random, limits, store, replicas, metrics } = dependencies;
        let heads = Heads::new(config, clock, metrics);
        let opened = open_log(&heads, &random, &store, directory).await?;
        let OpenedLog { replay, flushed, origin } = opened;
        let stop = Stop::new();
        let settings = WriterSettings {
            sync: heads.config.wal_sync,
            clock: Arc::clone(&heads.clock),
            metrics: heads.metrics.clone(),
            threads: heads.config.threads,
        };
        let files = replay.into_files(heads.config.wal_file_bytes);
        let sink = IntoHeads(Arc::clone(&heads));
        let wal = Arc::new(WalWriter::start(files, flushed, sink, settings));
        let flusher = Arc::new(Flusher {
            heads: Arc::clone(&heads),
            store,
            random,
            origin,
            replicas,
            retire: Retire::Log(Arc::clone(&wal)),
            stop: stop.clone(),
            permits: Semaphore::new(heads.config.concurrent_flushes),
        });
        let flush_loop = task::spawn("flush-loop", Arc::clone(&flusher).run());
        let flushes_on_stop = AtomicBool::new(heads.config.flush_on_stop);
        Ok(Arc::new(Self {
            heads,
            limits,
            wal,
            flusher,
            stop,
            is_stopping: AtomicBool::new(false),
            is_read_only: AtomicBool::new(false),
            is_prepared: AtomicBool::new(false),
            flushes_on_stop,
            flush_loop: Mutex::new(Some(flush_loop)),
        }))
    }

    /// Keeps the entries of a batch: when it returns they are durable, as the configuration of
    /// the log says, and can be read.
    ///
    /// Entries that break a rule are left out and told in the outcome; all others are kept, so a
    /// partial append is normal.
    ///
    /// # Errors
    ///
    /// [`Error::MemoryFull`], [`Error::Wal`], [`Error::ReadOnly`], [`Error::Stopping`]: nothing was
    /// kept; answer 503, the client should send it again after [`Error::retry_after`].
    ///
    /// # Cancel safety
    ///
    /// A dropped future may leave the entries stored and unacknowledged.
    pub async fn append(&self, batch: AppendBatch) -> Result<AppendOutcome, Error> {
        let (tenant, entries) = (batch.tenant().clone(), batch.rows());
        let result = self.try_append(batch).await;
        match &result {
            Ok(outcome) if outcome.duplicates > 0 => {
                self.heads.metrics.duplicates(&tenant, outcome.duplicates);
            }
            Ok(_) => {}
            Err(error) => self.heads.metrics.refused(&tenant, entries, error),
        }
        result
    }

    async fn try_append(&self, batch: AppendBatch) -> Result<AppendOutcome, Error> {
        self.takes_appends()?;
        let in_flight = self.heads.reserve(batch.as_bytes().len() as u64).await?;
        // Again: whoever leaves waits for those that have reserved, and then stores everything.
        self.takes_appends()?;
        let (append, wait) = match self.admit(batch, in_flight) {
            Ok(admitted) => admitted,
            // Nothing of the batch is new: there is nothing to wait for.
            Err(outcome) => return Ok(outcome),
        };
        self.log(append, wait).await
    }

    fn takes_appends(&self) -> Result<(), Error> {
        self.takes_rows()?;
        if self.is_read_only() { Err(Error::ReadOnly) } else { Ok(()) }
    }

    fn takes_rows(&self) -> Result<(), Error> {
        if self.is_stopping.load(Ordering::SeqCst) { Err(Error::Stopping) } else { Ok(()) }
    }

    /// Writes an append to the log and waits until it is in a head.
    async fn log(
        &self,
        append: Append,
        wait: oneshot::Receiver<Result<AppendOutcome, WalError>>,
    ) -> Result<AppendOutcome, Error> {
        let record = Outgoing::new(KIND_APPEND, append.bytes.clone());
        if let Err(append) = self.wal.submit(record, append) {
            append.tenant.take_back(&append.prepared);
            return Err(Error::Stopping);
        }
        match wait.await {
            Ok(Ok(outcome)) => Ok(outcome),
            Ok(Err(source)) => Err(Error::Wal { source, retry_after: Duration::from_secs(1) }),
            Err(_) => Err(Error::Stopping),
        }
    }

    /// Judges a batch and makes ready what is accepted. The outcome when that is nothing.
    fn admit(
        &self,
        batch: AppendBatch,
        in_flight: InFlight,
    ) -> Result<(Append, oneshot::Receiver<Result<AppendOutcome, WalError>>), AppendOutcome> {
        let config = &self.heads.config;
        let limits = self.limits.limits_for(batch.tenant());
        let tenant = self.heads.tenant(batch.tenant());
        let rules = Rules {
            limits: &limits,
            window: config.max_chunk_age / 2,
            named_max: config.max_returned_stream_errors,
            now: self.heads.clock.monotonic(),
        };
        let Admitted { batch, prepared, rejected, duplicates } =
            tenant.admit(batch, &rules, &self.heads.metrics);
        let outcome = AppendOutcome { rejected, duplicates };
        if prepared.rows.is_empty() {
            return Err(outcome);
        }
        let (done, wait) = oneshot::channel();
        let bytes = batch.as_bytes().clone();
        Ok((Append { tenant, bytes, prepared, outcome, in_flight, done }, wait))
    }

    /// Stores the heads of one tenant, or of all, in object storage, and waits for it.
    ///
    /// # Errors
    ///
    /// [`Error::Flush`] when an attempt failed. The entries stay here, and attempts go on.
    pub async fn flush(&self, tenant: Option<&TenantId>) -> Result<(), Error> {
        self.flusher.flush(tenant, FlushReason::forced).await
    }

    /// Refuses appends from now on, flushes if configured so, and closes the log.
    ///
    /// Entries that cannot be stored stay in the log for the next start. Later calls do nothing.
    pub async fn stop(&self) {
        if self.is_stopping.swap(true, Ordering::SeqCst) {
            return;
        }
        if self.flushes_on_stop() {
            self.heads.settled().await;
            if let Err(error) = self.flusher.flush(None, FlushReason::stop).await {
                tracing::warn!(%error, "entries stay in the log for the next start");
            }
        }
        self.stop.request();
        let flush_loop = self.flush_loop.lock().take();
        if let Some(flush_loop) = flush_loop {
            // A panic in the loop has ended the process.
            let _ = flush_loop.await;
        }
        let wal = Arc::clone(&self.wal);
        if self.heads.config.threads == Threads::Caller {
            return wal.stop();
        }
        let _ = task::spawn_blocking("wal-stop", move || wal.stop()).await;
    }

    /// What is in memory now of the streams that match, for entries in the range.
    ///
    /// Take it before the catalog: then an entry that is flushed in between is seen twice, and
    /// [`HeadSnapshot::flushed_as`] tells so, but never missed.
    #[must_use]
    pub fn snapshot(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> HeadSnapshot {
        let Some(tenant) = self.heads.known_tenant(tenant) else {
            return HeadSnapshot::default();
        };
        HeadSnapshot::new(tenant.show(matchers, range))
    }

    /// The segments of a tenant that took the place of heads in the last quarter of an hour, since
    /// the start; those of replicas that hold rows of these heads are among them.
    ///
    /// Ask after [`Ingester::snapshot`]: rows that are not in the snapshot any more are then in
    /// one of these, so whoever reads object storage must know all of them.
    #[must_use]
    pub fn stored_lately(&self, tenant: &TenantId) -> Vec<StoredSegment> {
        self.heads.lately.of(tenant, self.heads.clock.monotonic())
    }

    /// Entries of streams that match, from now on.
    #[must_use]
    pub fn subscribe(&self, tenant: &TenantId, matchers: Vec<Matcher>) -> TailReceiver {
        self.heads.tenant(tenant).tails.subscribe(matchers, &self.heads.metrics)
    }

    /// How many streams of a tenant are in memory.
    #[must_use]
    pub fn stream_count(&self, tenant: &TenantId) -> usize {
        self.heads.known_tenant(tenant).map_or(0, |tenant| tenant.stream_count())
    }

    /// Bytes of all heads, those being flushed and those on their way in included.
    #[must_use]
    pub fn memory_bytes(&self) -> u64 {
        self.heads.memory.used()
    }

    /// Tenants with entries or streams in memory, sorted.
    #[must_use]
    pub fn tenants(&self) -> Vec<TenantId> {
        let mut ids: Vec<TenantId> =
            self.heads.all_tenants().iter().map(|tenant| tenant.id.clone()).collect();
        ids.sort();
        ids
    }
}

impl Drop for Ingester {
    fn drop(&mut self) {
        // Without a stop this is a crash as far as the log is concerned; only the tasks end.
        self.stop.request();
    }
}

/// A log that was replayed.
struct OpenedLog {
    replay: Replay,
    flushed: FlushedLog,
    origin: Origin,
}

async fn open_log(
    heads: &Arc<Heads>,
    random: &Arc<dyn Random>,
    store: &Arc<Store>,
    directory: Arc<dyn WalDirectory>,
) -> Result<OpenedLog, Error> {
    let begun = heads.clock.monotonic();
    heads.metrics.replay_began();
    let (random, store) = (Arc::clone(random), Arc::clone(store));
    let (into, runtime) = (Arc::clone(heads), tokio::runtime::Handle::current());
    let threads = heads.config.threads;
    let open = move || {
        let replay =
            Replay::open(Arc::clone(&directory), random.next_u64()).map_err(Error::Open)?;
        let flushed = FlushedLog::load(directory, replay.incarnation())
            .map_err(|error| Error::Open(WalError::new("open", "flushed", &error)))?;
        let origin = Origin::new(&into.config.instance, replay.incarnation());
        let flusher = Flusher {
            heads: into,
            store,
            random,
            origin,
            // What is flushed while the log is replayed is stored whole.
            replicas: None,
            retire: Retire::Later(Mutex::default()),
            stop: Stop::new(),
            permits: Semaphore::new(1),
        };
        replay_log(replay, flushed, Arc::new(flusher), runtime)
    };
    let (opened, summary) = match threads {
        Threads::Caller => open()?,
        Threads::Own => task::run_blocking(open).await.map_err(|panic| {
            let error = std::io::Error::other(panic.to_string());
            Error::Open(WalError::new("replay", "log", &error))
        })??,
    };
    let took = heads.clock.monotonic().saturating_sub(begun);
    heads.metrics.replay_ended(took);
    if summary.records > 0 {
        tracing::info!(?took, ?summary, "the log was replayed");
    }
    Ok(opened)
}

/// Puts a log into heads. Blocks.
fn replay_log(
    replay: Replay,
    mut flushed: FlushedLog,
    flusher: Arc<Flusher>,
    runtime: tokio::runtime::Handle,
) -> Result<(OpenedLog, Summary), Error> {
    let origin = flusher.origin.clone();
    let covered = Covered::new(Arc::clone(&flusher.store), origin.0.clone(), flushed.marks());
    let summary = Summary::default();
    let replayer = Replayer { flusher: Arc::clone(&flusher), covered, runtime, summary };
    let (replay, summary) = replayer.run(replay)?;
    if let Retire::Later(marks) = &flusher.retire {
        for mark in marks.lock().drain(..) {
            if let Err(error) = flushed.add(mark) {
                tracing::warn!(%error, "a crash now would replay entries that are stored already");
            }
        }
    }
    Ok((OpenedLog { replay, flushed, origin }, summary))
}

mod leave;
#[cfg(test)]
mod tests;

pub use leave::{HandedOver, Successor, Successors};
