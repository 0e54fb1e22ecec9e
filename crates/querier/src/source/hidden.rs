//! What exists and must not be seen: rows that have expired, and rows that delete requests name.
//!
//! Pieces of which nothing may be seen are left out; from the batches of others the rows are taken
//! out by cutting their runs, and their counts are not used. What no rule and no request touches is
//! read as if there were none.

use std::sync::Arc;

use hashbrown::HashMap;
use logql::pipeline::RowView;
use logql::source::{Batch, Piece, StreamRun, Want, WantLines, WantMetadata};
use logql::{Removal, RemovalScratch};
use model::{Labels, TenantId, TimeRange, Timestamp};
use parking_lot::Mutex;
use segment::StreamTable;
use store::{Deletes, Retention, Store};

use crate::limits::Limits;

/// Tenants whose compiled requests are kept.
const TENANTS_MAX: usize = 1024;

/// What of one tenant's rows a query must not see.
#[derive(Debug, Default)]
pub(crate) struct Hidden {
    /// The rules and the time; `None` when nothing expires.
    expiry: Option<(Arc<Retention>, Timestamp)>,
    /// Whether delete requests in force hide rows.
    hides_deleted: bool,
    removals: Arc<[Removal]>,
}

/// Requests of one tenant, compiled, with the picture of which they are.
type Compiled = (Arc<Deletes>, Arc<[Removal]>);

/// Requests of tenants, compiled.
#[derive(Debug, Default)]
pub(crate) struct CompiledRemovals(Mutex<HashMap<TenantId, Compiled>>);

impl CompiledRemovals {
    /// What a tenant's queries must not see from now on. To be called before heads and catalog are
    /// looked at, so that what a request that is done hid is gone from both.
    pub(crate) fn hidden(
        &self,
        store: &Store,
        tenant: &TenantId,
        limits: &Limits,
        now: Timestamp,
    ) -> Hidden {
        let retention = &limits.retention;
        let expiry = retention.is_limited().then(|| (Arc::clone(retention), now));
        let deletes = store.deletes();
        let removals = if limits.hides_deleted && !deletes.of(tenant).is_empty() {
            self.compiled(tenant, deletes)
        } else {
            Arc::default()
        };
        Hidden { expiry, hides_deleted: limits.hides_deleted, removals }
    }

    fn compiled(&self, tenant: &TenantId, deletes: Arc<Deletes>) -> Arc<[Removal]> {
        let mut kept = self.0.lock();
        if let Some((known, removals)) = kept.get(tenant)
            && Arc::ptr_eq(known, &deletes)
        {
            return Arc::clone(removals);
        }
        let in_force = deletes.of(tenant).iter().filter(|request| request.is_in_force());
        // A request that is not understood is told about by the compactor.
        let compiled = in_force.filter_map(|r| Removal::parse(&r.query, r.range()).ok());
        let removals: Arc<[Removal]> = compiled.collect();
        if kept.len() >= TENANTS_MAX {
            kept.clear();
        }
        kept.insert(tenant.clone(), (deletes, Arc::clone(&removals)));
        removals
    }
}

impl Hidden {
    /// Rows before this time are hidden, whatever their stream.
    pub(crate) fn before(&self) -> Timestamp {
        let all = self.expiry.as_ref().and_then(|(rules, now)| rules.cutoff_of_all(*now));
        all.unwrap_or(Timestamp::MIN)
    }

    /// Whether delete requests in force hide rows.
    pub(crate) fn hides_deleted(&self) -> bool {
        self.hides_deleted
    }

    /// Whether some row between two times (inclusive) may be hidden.
    fn touches(&self, first: Timestamp, last: Timestamp) -> bool {
        let any = self.expiry.as_ref().and_then(|(rules, now)| rules.cutoff_of_any(*now));
        any.is_some_and(|cutoff| first < cutoff)
            || self.removals.iter().any(|removal| removal.range().overlaps(first, last))
    }

    /// Whether some row of a range may have expired.
    pub(crate) fn may_have_expired(&self, range: TimeRange) -> bool {
        let any = self.expiry.as_ref().and_then(|(rules, now)| rules.cutoff_of_any(*now));
        any.is_some_and(|cutoff| range.start < cutoff)
    }

    /// Whether every row of a stream between two times (inclusive) is hidden.
    fn hides_all(&self, labels: &Labels, first: Timestamp, last: Timestamp) -> bool {
        let covers = |removal: &Removal| {
            let range = removal.range();
            !removal.has_stages() && range.contains(first) && range.contains(last)
        };
        self.cutoff(labels).is_some_and(|cutoff| last < cutoff)
            || self.removals.iter().any(|removal| covers(removal) && removal.matches(labels))
    }

    /// Whether every row of a segment's stream is hidden.
    pub(crate) fn hides_stream(&self, streams: &StreamTable, ordinal: u32) -> bool {
        let (first, last) = (streams.first(ordinal), streams.last(ordinal));
        self.touches(first, last) && self.hides_all(&streams.labels(ordinal), first, last)
    }

    /// Whether some row of a stream between two times (inclusive) may be hidden.
    pub(crate) fn touches_stream(
        &self,
        labels: impl FnOnce() -> Labels,
        first: Timestamp,
        last: Timestamp,
    ) -> bool {
        if !self.touches(first, last) {
            return false;
        }
        let labels = labels();
        self.cutoff(&labels).is_some_and(|cutoff| first < cutoff)
            || self.removals_of(&labels, first, last).next().is_some()
    }

    /// Whether every row of a stream in a range is hidden, whatever its rows are.
    pub(crate) fn hides_range(&self, labels: &Labels, range: TimeRange) -> bool {
        let last = Timestamp(range.end.0.saturating_sub(1));
        self.touches(range.start, last) && self.hides_all(labels, range.start, last)
    }

    /// Whether some row of a piece's runs may be hidden.
    pub(crate) fn touches_runs(&self, piece: &Piece, runs: &[StreamRun]) -> bool {
        let (first, last) = (piece.first, piece.last);
        self.touches(first, last)
            && runs.iter().any(|run| {
                self.cutoff(&run.labels).is_some_and(|cutoff| first < cutoff)
                    || self.removals_of(&run.labels, first, last).next().is_some()
            })
    }

    /// Loads a piece and takes hidden rows out of it; `load` is asked again when telling them
    /// needs more than is wanted.
    pub(crate) fn load<E>(
        &self,
        piece: &Piece,
        want: &Want,
        load: impl Fn(&Want) -> Result<Batch, E>,
    ) -> Result<Batch, E> {
        let mut batch = load(want)?;
        if let Some(more) = self.wants_more(piece, &batch, want) {
            batch = load(&more)?;
        }
        self.hide(piece, &mut batch);
        Ok(batch)
    }

    /// What has to be loaded beyond what is wanted to tell which rows of a piece are hidden;
    /// `None` when a batch says it already.
    fn wants_more(&self, piece: &Piece, batch: &Batch, want: &Want) -> Option<Want> {
        let full = Want { lines: WantLines::Text, metadata: WantMetadata::All };
        if batch.is_full(want) || !self.touches(piece.first, piece.last) {
            return None;
        }
        let needs_text = |run: &StreamRun| {
            self.removals_of(&run.labels, piece.first, piece.last).any(Removal::has_stages)
        };
        batch.runs.iter().any(needs_text).then_some(full)
    }

    /// Takes hidden rows out of a batch.
    fn hide(&self, piece: &Piece, batch: &mut Batch) {
        if !self.touches(piece.first, piece.last) {
            return;
        }
        let runs = std::mem::take(&mut batch.runs);
        let mut left = Vec::with_capacity(runs.len());
        for run in runs {
            let rows = self.hidden_rows(piece, batch, &run);
            cut(&run, &rows, &mut left);
        }
        batch.runs = left;
    }

    /// The hidden rows of a run, ascending.
    fn hidden_rows(&self, piece: &Piece, batch: &Batch, run: &StreamRun) -> Vec<u32> {
        let mut found = Vec::new();
        if let Some(cutoff) = self.cutoff(&run.labels) {
            let times = batch.timestamps.get(run.rows.clone()).unwrap_or_default();
            let expired = times.partition_point(|at| *at < cutoff.0);
            found.extend((run.rows.start..run.rows.start + expired).map(|row| row as u32));
        }
        for removal in self.removals_of(&run.labels, piece.first, piece.last) {
            let rows = run.rows.clone();
            removal.find(batch, (&run.labels, rows), &mut removal.scratch(), &mut found);
        }
        found.sort_unstable();
        found.dedup();
        found
    }

    fn cutoff(&self, labels: &Labels) -> Option<Timestamp> {
        self.expiry.as_ref().and_then(|(rules, now)| rules.cutoff(labels, *now))
    }

    fn removals_of(
        &self,
        labels: &Labels,
        first: Timestamp,
        last: Timestamp,
    ) -> impl Iterator<Item = &Removal> {
        let meets = move |removal: &&Removal| removal.range().overlaps(first, last);
        self.removals.iter().filter(meets).filter(|removal| removal.matches(labels))
    }
}

/// Tells of new entries of one tenant which must not be shown, as of one moment.
pub struct HiddenEntries {
    hidden: Hidden,
    scratches: Vec<RemovalScratch>,
}

impl HiddenEntries {
    pub(crate) fn new(hidden: Hidden) -> Self {
        let scratches = hidden.removals.iter().map(Removal::scratch).collect();
        Self { hidden, scratches }
    }

    /// Whether a row of a stream has expired or is named by a delete request.
    pub fn hides(&mut self, labels: &Labels, row: RowView<'_>) -> bool {
        self.hidden.cutoff(labels).is_some_and(|cutoff| row.timestamp < cutoff)
            || self
                .hidden
                .removals
                .iter()
                .zip(&mut self.scratches)
                .any(|(removal, scratch)| removal.means(labels, row, scratch))
    }
}

/// Pushes the parts of a run between the rows that are taken out.
fn cut(run: &StreamRun, rows: &[u32], parts: &mut Vec<StreamRun>) {
    let mut start = run.rows.start;
    for end in rows.iter().map(|row| *row as usize).chain([run.rows.end]) {
        if start < end {
            parts.push(StreamRun { rows: start..end, ..run.clone() });
        }
        start = end + 1;
    }
}

#[cfg(test)]
mod tests;
