//! From the log back into memory, when an ingester opens.
//!
//! Records are put into heads as they were the first time, those left out whose rows are in object
//! storage: the log's own marks tell, and for what was stored in the moment before a crash the
//! coverage of segments does. When heads grow too large they are flushed on the way.

use std::collections::BTreeSet;
use std::sync::Arc;

use api::append::{AppendBatch, BatchError};
use bytes::Bytes;
use hashbrown::HashMap;
use model::{ErrorKind, TenantId};
use store::Store;

use crate::config::Threads;
use crate::error::Error;
use crate::flush::Flusher;
use crate::metrics::FlushReason;
use crate::wal::flushed::FlushedMark;
use crate::wal::record::KIND_APPEND;
use crate::wal::replay::{Replay, Replayed};
use crate::wal::{Position, WalError, file_name};

/// What a replay did.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub(crate) struct Summary {
    pub(crate) records: u64,
    pub(crate) entries: u64,
    pub(crate) skipped_entries: u64,
    pub(crate) damaged_places: u64,
    pub(crate) torn_bytes: u64,
}

/// Reads a log into the flusher's heads. Blocks; must run where blocking is allowed.
pub(crate) struct Replayer {
    pub(crate) flusher: Arc<Flusher>,
    pub(crate) covered: Covered,
    pub(crate) runtime: tokio::runtime::Handle,
    pub(crate) summary: Summary,
}

impl Replayer {
    /// Reads all of it, and answers the log so that it can be continued.
    pub(crate) fn run(mut self, mut replay: Replay) -> Result<(Replay, Summary), Error> {
        while let Some(replayed) = replay.next().map_err(Error::Open)? {
            match replayed {
                Replayed::Record { position, kind: KIND_APPEND, payload } => {
                    self.record(position, payload)?;
                }
                Replayed::Record { position, kind, payload } => {
                    let bytes = payload.len() as u64;
                    self.damage("unknown_kind", position, bytes);
                    tracing::error!(kind, "a record of the log is of an unknown kind");
                }
                Replayed::Damage { file, offset, bytes } => {
                    self.damage("record", Position::new(file, offset as u32), bytes);
                }
                Replayed::TornTail { file, offset, bytes } => self.torn(file, offset, bytes),
            }
        }
        Ok((replay, self.summary))
    }

    fn record(&mut self, position: Position, payload: Bytes) -> Result<(), Error> {
        let bytes = payload.len() as u64;
        let batch = match AppendBatch::decode(payload) {
            Ok(batch) => batch,
            Err(BatchError::Version(version)) => {
                let reason = format!("append batch version {version} needs a newer program");
                return Err(Error::Open(WalError {
                    doing: "replay",
                    file: file_name(position.file()),
                    reason,
                    is_disk_full: false,
                }));
            }
            Err(error) => {
                tracing::error!(%error, "a record of the log does not decode");
                self.damage("batch", position, bytes);
                return Ok(());
            }
        };
        let metrics = &self.flusher.heads.metrics;
        self.summary.records += 1;
        if self.covered.contains(batch.tenant(), position)? {
            self.summary.skipped_entries += batch.rows();
            metrics.replay_skipped(batch.rows());
            return Ok(());
        }
        self.summary.entries += batch.rows();
        metrics.replayed(batch.rows(), bytes);
        let heads = &self.flusher.heads;
        let tenant = heads.tenant(batch.tenant());
        heads.count(tenant.replay(&batch, position, heads.clock.monotonic(), metrics));
        self.flush_if_large()
    }

    fn flush_if_large(&self) -> Result<(), Error> {
        let heads = &self.flusher.heads;
        let may_wait = heads.config.threads == Threads::Own;
        if heads.memory.active() <= heads.config.flush_bytes || !may_wait {
            return Ok(());
        }
        let now = heads.clock.monotonic();
        let mut tenants = heads.all_tenants();
        tenants.sort_by_key(|t| {
            std::cmp::Reverse(t.active_facts(now).map_or(0, |facts| facts.memory))
        });
        for tenant in tenants {
            if heads.memory.active() <= heads.config.flush_bytes / 2 {
                break;
            }
            if let Some(head) = heads.seal(&tenant, FlushReason::replay) {
                self.runtime.block_on(self.flusher.store_head(&tenant, &head))?;
            }
        }
        Ok(())
    }

    fn damage(&mut self, kind: &'static str, position: Position, bytes: u64) {
        self.summary.damaged_places += 1;
        self.flusher.heads.metrics.wal_damaged(kind, bytes);
        tracing::error!(
            file = file_name(position.file()),
            offset = position.offset(),
            bytes,
            kind,
            "the log is damaged here; entries in these bytes are lost"
        );
    }

    fn torn(&mut self, file: u32, offset: u64, bytes: u64) {
        self.summary.torn_bytes += bytes;
        self.flusher.heads.metrics.wal_damaged("torn_tail", bytes);
        tracing::warn!(
            file = file_name(file),
            offset,
            bytes,
            "the end of the log was torn and is cut off"
        );
    }
}

/// Which positions are in object storage.
pub(crate) struct Covered {
    store: Arc<Store>,
    /// As segments tell their origin.
    origin: String,
    marks: HashMap<TenantId, Vec<(Position, Position)>>,
    /// By tenant, marks and segments together.
    tenants: HashMap<TenantId, Vec<(Position, Position)>>,
}

impl Covered {
    pub(crate) fn new(store: Arc<Store>, origin: String, marks: &[FlushedMark]) -> Self {
        let mut by_tenant: HashMap<TenantId, Vec<_>> = HashMap::new();
        for mark in marks {
            by_tenant.entry(mark.tenant.clone()).or_default().push((mark.first, mark.last));
        }
        Self { store, origin, marks: by_tenant, tenants: HashMap::new() }
    }

    /// Whether the rows of a tenant's record are in object storage.
    fn contains(&mut self, tenant: &TenantId, position: Position) -> Result<bool, Error> {
        if !self.tenants.contains_key(tenant) {
            let mut ranges = self.marks.remove(tenant).unwrap_or_default();
            ranges.extend(self.segments(tenant)?);
            self.tenants.insert(tenant.clone(), ranges);
        }
        let ranges = self.tenants.get(tenant).map_or(&[][..], |ranges| ranges);
        Ok(ranges.iter().any(|(first, last)| *first <= position && position <= *last))
    }

    /// What the segments of a tenant say. One that is gone or damaged says nothing.
    fn segments(&self, tenant: &TenantId) -> Result<Vec<(Position, Position)>, Error> {
        let catalog = self.store.catalog();
        // Rows that were compacted since are stored all the same.
        let stored = catalog.all(tenant).into_iter().chain(catalog.superseded(tenant));
        let flushed: Vec<_> = stored.filter(|s| s.name.level() == 0).collect();
        let mut parts: HashMap<(u64, u64, u32), BTreeSet<u32>> = HashMap::new();
        for footer in self.store.footers_blocking(&flushed) {
            let footer = match footer {
                Ok(footer) => footer,
                Err(error) if error.kind() == ErrorKind::NotFound => continue,
                Err(error) if error.kind() == ErrorKind::Corrupt => {
                    tracing::warn!(error = error.chain(), "a segment's coverage is unknown");
                    continue;
                }
                Err(error) => return Err(Error::Catalog(Arc::new(error))),
            };
            if let Some(coverage) = &footer.facts().coverage
                && coverage.ingester == self.origin
            {
                let flush = (coverage.first_position, coverage.last_position, coverage.parts);
                parts.entry(flush).or_default().insert(coverage.part);
            }
        }
        let whole = parts.into_iter().filter(|((_, _, count), found)| {
            // Every part stands for some of the rows of each record.
            (0..*count).all(|part| found.contains(&part))
        });
        Ok(whole.map(|((first, last, _), _)| (Position(first), Position(last))).collect())
    }
}
