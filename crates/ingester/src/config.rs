//! What can be configured, and the limits of a tenant that are enforced here.
//!
//! Field names follow Loki's `ingester` block where Loki has the key. Nothing here parses a file.

use std::path::PathBuf;
use std::time::Duration;

use runtime::backoff::BackoffPolicy;
use segment::EncodeSettings;

/// Everything an [`crate::Ingester`] needs to know.
#[derive(Debug, Clone)]
pub struct Config {
    /// The name of this ingester among all that write to the same store. Must stay the same over
    /// restarts, or entries that were stored just before a crash are stored again.
    pub instance: String,
    /// Directory of the write-ahead log (`wal.dir`); made when missing. Must not be shared.
    pub wal_dir: PathBuf,
    /// When an append counts as durable.
    pub wal_sync: WalSync,
    /// Which threads do what takes long.
    pub threads: Threads,
    /// Length in bytes from which on a file of the log is closed. Smaller files are removed
    /// sooner; each costs two syncs.
    pub wal_file_bytes: u64,
    /// Bytes of log from which on the heads that hold its oldest records are flushed, so that a
    /// quiet tenant does not keep the log of a busy one for hours. Larger makes fewer small
    /// segments; smaller makes restarts faster.
    pub wal_bytes_max: u64,
    /// Bytes of heads from which on the largest are flushed. Larger makes fewer, better segments.
    pub flush_bytes: u64,
    /// Bytes of heads, those being flushed included, at which appends must wait.
    pub memory_bytes_max: u64,
    /// The same while object storage does not answer. Larger survives longer outages without
    /// refusing appends; everything in it is in the log, too.
    pub outage_bytes_max: u64,
    /// How long an append waits for memory before it is refused with 503.
    pub append_wait: Duration,
    /// Age at which a head is flushed (`max_chunk_age`). Also bounds lateness: entries older than
    /// the newest of their stream by more than half of it are refused.
    pub max_chunk_age: Duration,
    /// A head that got nothing for this long is flushed, and a stream that got nothing for this
    /// long is forgotten (`chunk_idle_period`).
    pub chunk_idle_period: Duration,
    /// How often ages are looked at (`flush_check_period`).
    pub flush_check_period: Duration,
    /// Heads that are encoded and uploaded at once (`concurrent_flushes`). Each keeps a core busy.
    pub concurrent_flushes: usize,
    /// How an upload that failed is tried again. When the policy gives up, the next check begins
    /// anew; the head stays in memory and the log until it is stored.
    pub flush_backoff: BackoffPolicy,
    /// Flush everything when asked to stop (`wal.flush_on_shutdown`). The log keeps the entries
    /// either way; this saves the next start the replay.
    pub flush_on_stop: bool,
    /// How long a replica of rank 1 waits for the one before it to store the same rows; one of rank
    /// 2 waits twice as long.
    pub replica_stagger: Duration,
    /// The longest such wait. Heads that filled faster wait at most twice the time that they took,
    /// which is how long the other replica's next head may take; short memory ends every wait.
    pub replica_wait_max: Duration,
    /// How often a waiting head is compared with what was stored. Each look lists a day of a tenant.
    pub replica_check_period: Duration,
    /// How long the digests of flushed heads are remembered, so that cells that several heads have
    /// rows of can be compared as a whole.
    pub replica_memory: Duration,
    /// How segments are encoded.
    pub encode: EncodeSettings,
    /// Refused entries that an answer names one by one (`max_returned_stream_errors`).
    pub max_returned_stream_errors: usize,
    /// Bytes of entries that may wait for a reader of [`crate::Ingester::subscribe`]; beyond
    /// that, entries are dropped and counted.
    pub tail_buffer_bytes: u64,
}

impl Default for Config {
    fn default() -> Self {
        Self {
            instance: "ingester".to_owned(),
            wal_dir: PathBuf::from("./data/wal"),
            wal_sync: WalSync::Always,
            threads: Threads::Own,
            wal_file_bytes: 64 << 20,
            wal_bytes_max: 1 << 30,
            flush_bytes: 64 << 20,
            memory_bytes_max: 128 << 20,
            outage_bytes_max: 512 << 20,
            append_wait: Duration::from_secs(2),
            max_chunk_age: Duration::from_secs(2 * 3600),
            chunk_idle_period: Duration::from_secs(30 * 60),
            flush_check_period: Duration::from_secs(30),
            concurrent_flushes: 2,
            flush_backoff: BackoffPolicy::default(),
            flush_on_stop: true,
            replica_stagger: Duration::from_secs(30),
            replica_wait_max: Duration::from_secs(15 * 60),
            replica_check_period: Duration::from_secs(10),
            replica_memory: Duration::from_secs(2 * 3600),
            encode: EncodeSettings::to_stay(),
            max_returned_stream_errors: 10,
            tail_buffer_bytes: 16 << 20,
        }
    }
}

impl Config {
    /// What cannot work, in words; empty when all is well.
    #[must_use]
    pub fn problems(&self) -> Vec<String> {
        let mut problems = Vec::new();
        let mut check = |is_good: bool, problem: &str| {
            if !is_good {
                problems.push(problem.to_owned());
            }
        };
        check(!self.instance.is_empty(), "ingester instance name is empty");
        check(self.flush_bytes > 0, "flush_bytes must be above 0");
        check(
            self.memory_bytes_max > self.flush_bytes,
            "memory_bytes_max must be above flush_bytes, or appends stop during every flush",
        );
        check(self.concurrent_flushes > 0, "concurrent_flushes must be above 0");
        check(!self.flush_check_period.is_zero(), "flush_check_period must be above 0");
        check(!self.replica_check_period.is_zero(), "replica_check_period must be above 0");
        problems
    }
}

/// Which threads write the log, encode segments and compare digests.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum Threads {
    /// Threads of their own, so that whoever serves requests never waits.
    #[default]
    Own,
    /// Whoever asks, at once: with a single-threaded runtime, everything happens in an order that
    /// can be repeated. For simulations; the replay of the log then never flushes.
    Caller,
}

/// When an append counts as durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum WalSync {
    /// It is acknowledged after an `fdatasync`, which it shares with all that wait. Survives a
    /// loss of power.
    Always,
    /// It is acknowledged once the operating system has it; synced this often. Survives a crash
    /// of the process; a loss of power may take the last interval.
    Interval(Duration),
    /// Never synced but on stop. Survives a crash of the process.
    Off,
}

/// Limits of one tenant. A limit of 0 is off.
#[derive(Debug, Clone, PartialEq)]
pub struct Limits {
    /// Streams in memory here (`max_streams_per_user`).
    pub max_streams: u64,
    /// Streams in memory in the whole cluster (`max_global_streams_per_user`). This ingester holds
    /// all streams of its tenants, so it is a second bound of the same number.
    pub max_global_streams: u64,
    /// Bytes a second that one stream may take (`per_stream_rate_limit`).
    pub per_stream_rate: u64,
    /// Bytes that one stream may take at once (`per_stream_rate_limit_burst`).
    pub per_stream_burst: u64,
    /// What a stream over its rate loses.
    pub per_stream_scope: RateScope,
    /// Accept entries in any order within half of [`Config::max_chunk_age`]
    /// (`unordered_writes`). Otherwise entries older than the newest of their stream are refused.
    pub unordered_writes: bool,
}

impl Default for Limits {
    fn default() -> Self {
        Self {
            max_streams: 0,
            max_global_streams: 5000,
            per_stream_rate: 3 << 20,
            per_stream_burst: 15 << 20,
            per_stream_scope: RateScope::WholeStream,
            unordered_writes: true,
        }
    }
}

impl Limits {
    /// How many streams the tenant may have, if that is limited.
    pub(crate) fn streams_max(&self) -> Option<u64> {
        [self.max_streams, self.max_global_streams].into_iter().filter(|max| *max > 0).min()
    }
}

/// What a stream over its rate loses.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RateScope {
    /// All entries of the push, which can then be sent again in parts (`shard_streams.enabled`).
    WholeStream,
    /// The entries that do not fit any more.
    EachEntry,
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn the_defaults_work() {
        assert_eq!(Config::default().problems(), Vec::<String>::new());
        let config = Config { memory_bytes_max: 1, concurrent_flushes: 0, ..Config::default() };
        assert_eq!(config.problems().len(), 2);
    }

    #[test]
    fn the_lower_stream_limit_counts() {
        let max = |local, global| {
            Limits { max_streams: local, max_global_streams: global, ..Limits::default() }
                .streams_max()
        };
        assert_eq!([max(0, 0), max(3, 0), max(0, 4), max(5, 4)], [None, Some(3), Some(4), Some(4)]);
    }
}
