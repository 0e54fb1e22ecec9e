//! One tenant: its streams, the head that takes appends, and the heads that are being flushed.
//!
//! One lock guards all three. Requests hold it to judge a batch, the thread of the log to add rows,
//! queries to clone lists; none of them reads a line, writes a file or waits while holding it.

use std::sync::Arc;
use std::time::Duration;

use api::append::{AppendBatch, Rejected, StreamPart};
use bytes::Bytes;
use model::label::LabelError;
use model::{Labels, Matcher, TenantId, TimeRange};
use parking_lot::{Mutex, RwLock};

use crate::admission::{
    Draft, DraftPart, PartRows, Rules, Verdict, accepted_batch, invalid_labels, judge, last_entry,
    refusals, stream_limit,
};
use crate::head::{Head, Positions, RunView, SealedHead};
use crate::metrics::{FlushReason, Metrics};
use crate::replicas::Known;
use crate::row::{Row, Slabs};
use crate::streams::{LastEntry, Stream, StreamId, Streams, text_hash};
use crate::tail::{News, Tails, TellTo};
use crate::wal::Position;

/// A tenant's state.
#[derive(Debug)]
pub(crate) struct Tenant {
    pub(crate) id: TenantId,
    state: RwLock<State>,
    pub(crate) tails: Tails,
    /// What was flushed, and what replicas stored.
    pub(crate) replicas: Mutex<Known>,
}

#[derive(Debug)]
struct State {
    streams: Streams,
    active: Head,
    /// Oldest first.
    sealed: Vec<Arc<SealedHead>>,
}

/// Accepted rows on their way into a head.
#[derive(Debug)]
pub(crate) struct Prepared {
    pub(crate) rows: Vec<Row>,
    pub(crate) parts: Vec<PreparedPart>,
}

/// The accepted rows of one stream.
#[derive(Debug)]
pub(crate) struct PreparedPart {
    stream: StreamId,
    start: usize,
    end: usize,
    newest: i64,
    last: LastEntry,
}

/// What the door let through of a batch.
#[derive(Debug)]
pub(crate) struct Admitted {
    /// The batch, without what was refused.
    pub(crate) batch: AppendBatch,
    /// Its rows, without duplicates.
    pub(crate) prepared: Prepared,
    pub(crate) rejected: Vec<Rejected>,
    pub(crate) duplicates: u64,
}

/// What one head shows a query.
#[derive(Debug)]
pub(crate) struct HeadShown {
    pub(crate) id: Arc<crate::head::HeadId>,
    pub(crate) slabs: Slabs,
    pub(crate) runs: Vec<Arc<RunView>>,
}

/// What the flusher looks at when it decides which head to seal.
#[derive(Debug, Clone, Copy)]
pub(crate) struct ActiveFacts {
    pub(crate) memory: u64,
    pub(crate) age: Duration,
    pub(crate) idle: Duration,
    pub(crate) positions: Positions,
}

impl Tenant {
    pub(crate) fn new(id: TenantId, origin: u64) -> Self {
        let state =
            State { streams: Streams::default(), active: Head::new(origin), sealed: Vec::new() };
        Self { id, state: RwLock::new(state), tails: Tails::default(), replicas: Mutex::default() }
    }

    /// Judges a batch. What is admitted must be given to [`Tenant::commit`] or
    /// [`Tenant::take_back`] exactly once.
    pub(crate) fn admit(
        &self,
        batch: AppendBatch,
        rules: &Rules<'_>,
        metrics: &Metrics,
    ) -> Admitted {
        let draft = Draft::read(&batch);
        let mut judged = Judged { verdicts: Vec::new(), streams: Vec::new(), rejected: Vec::new() };
        let mut state = self.state.write();
        for (part, stream) in draft.parts.iter().zip(batch.streams()) {
            let rows = PartRows { rows: &draft.rows[part.rows.clone()], slab: stream.bytes() };
            match state.streams_for(self, (part, &stream), rules, metrics) {
                Ok(id) => {
                    let stream =
                        state.streams.get_mut(id).expect("a stream that was just found is there");
                    let judgement = judge_part(&self.id, stream, part, rows, rules);
                    judged.streams.push(judgement.has_accepted.then_some(id));
                    judged.verdicts.push(judgement.verdicts);
                    judged.rejected.extend(judgement.rejected);
                }
                Err(rejected) => {
                    judged.verdicts.push(Some(vec![Verdict::NoStream; rows.rows.len()]));
                    judged.streams.push(None);
                    judged.rejected.push(rejected);
                }
            }
        }
        drop(state);
        judged.finish(batch, draft)
    }

    /// Puts durable rows into the active head. Called in the order of the log.
    pub(crate) fn commit(
        &self,
        bytes: &Bytes,
        position: Position,
        prepared: &Prepared,
        now: Duration,
    ) -> Committed {
        let mut state = self.state.write();
        let State { streams, active, .. } = &mut *state;
        let (memory, runs) = (active.memory(), active.run_count());
        let slab = active.add_slab(bytes, position, now);
        for part in &prepared.parts {
            let Some(stream) = streams.get_mut(part.stream) else { continue };
            let run = match stream.run_in(active.id.origin) {
                Some(run) => run,
                None => {
                    let run = active.add_run(&stream.labels, stream.fingerprint);
                    stream.set_run(active.id.origin, run);
                    run
                }
            };
            active.add_rows(run, slab, &prepared.rows[part.start..part.end]);
            stream.store(part.newest, part.last);
        }
        Committed { memory: active.memory() - memory, runs: active.run_count() - runs }
    }

    /// Forgets admitted rows that could not be made durable.
    pub(crate) fn take_back(&self, prepared: &Prepared) {
        let mut state = self.state.write();
        for part in &prepared.parts {
            if let Some(stream) = state.streams.get_mut(part.stream) {
                stream.take_back();
            }
        }
    }

    /// Makes all rows of a batch ready that was acknowledged before: nothing is refused. As with
    /// [`Tenant::admit`], they must be given to [`Tenant::commit`] or [`Tenant::take_back`].
    pub(crate) fn admit_all(
        &self,
        batch: &AppendBatch,
        now: Duration,
        metrics: &Metrics,
    ) -> Prepared {
        let mut draft = Draft::read(batch);
        let mut parts = Vec::with_capacity(draft.parts.len());
        let mut state = self.state.write();
        for (part, stream) in draft.parts.iter().zip(batch.streams()) {
            let rows = &draft.rows[part.rows.clone()];
            let id = match state.find(part.hash, &stream) {
                Ok(Found::Known(id)) => id,
                Ok(Found::New(labels)) => {
                    metrics.stream_created(&self.id);
                    state.streams.add(labels, now)
                }
                // A label text that does not parse was refused when it came.
                Err(_) => continue,
            };
            let Some(last) = last_entry(rows, stream.bytes()) else { continue };
            if let Some(stream) = state.streams.get_mut(id) {
                stream.admit(part.newest, now);
            }
            let (start, end, newest) = (part.rows.start, part.rows.end, part.newest);
            parts.push(PreparedPart { stream: id, start, end, newest, last });
        }
        drop(state);
        Prepared { rows: std::mem::take(&mut draft.rows), parts }
    }

    /// Puts the rows of a replayed record into the active head. Nothing is refused.
    pub(crate) fn replay(
        &self,
        batch: &AppendBatch,
        position: Position,
        now: Duration,
        metrics: &Metrics,
    ) -> Committed {
        let prepared = self.admit_all(batch, now, metrics);
        self.commit(batch.as_bytes(), position, &prepared, now)
    }

    /// Tells subscriptions of durable rows, before they are committed.
    pub(crate) fn tell(&self, bytes: &Bytes, prepared: &Prepared, to: TellTo<'_>) {
        if !self.tails.is_needed() {
            return;
        }
        for part in &prepared.parts {
            let labels = self.state.read().streams.get(part.stream).map(|s| s.labels.clone());
            let Some(labels) = labels else { continue };
            let rows = &prepared.rows[part.start..part.end];
            self.tails.tell(&News { labels: &labels, slab: bytes, rows, to });
        }
    }

    /// What the heads hold of matching streams in the range, oldest head first.
    pub(crate) fn show(&self, matchers: &[Matcher], range: TimeRange) -> Vec<HeadShown> {
        let state = self.state.read();
        let sealed = state.sealed.clone();
        // Matched under the lock: making a view of every stream would hold it for longer.
        let active = HeadShown {
            id: Arc::clone(&state.active.id),
            slabs: state.active.slabs(),
            runs: state.active.views(matchers, range),
        };
        drop(state);
        let sealed = sealed.iter().map(|head| HeadShown {
            id: Arc::clone(&head.id),
            slabs: head.slabs.clone(),
            runs: head.views(matchers, range),
        });
        sealed.chain([active]).filter(|head| !head.runs.is_empty()).collect()
    }

    /// The rows of the active head that may lie in a range.
    pub(crate) fn active_view(&self, range: TimeRange) -> (Vec<Arc<RunView>>, Slabs) {
        let state = self.state.read();
        (state.active.views(&[], range), state.active.slabs())
    }

    /// Forgets digests of what was flushed longer ago than `keep`.
    pub(crate) fn forget_digests(&self, now: Duration, keep: Duration) {
        self.replicas.lock().forget(now, keep);
    }

    /// Facts about the active head; `None` when it is empty.
    pub(crate) fn active_facts(&self, now: Duration) -> Option<ActiveFacts> {
        let state = self.state.read();
        let head = &state.active;
        Some(ActiveFacts {
            memory: head.memory(),
            age: head.age(now),
            idle: head.idle(now),
            positions: head.positions()?,
        })
    }

    /// Seals the active head and begins a new one. `None` when it is empty.
    pub(crate) fn seal(
        &self,
        next_origin: u64,
        reason: FlushReason,
        now: Duration,
    ) -> Option<Arc<SealedHead>> {
        let mut state = self.state.write();
        if state.active.is_empty() {
            return None;
        }
        let head = std::mem::replace(&mut state.active, Head::new(next_origin));
        let sealed = Arc::new(head.seal(reason, now)?);
        state.sealed.push(Arc::clone(&sealed));
        Some(sealed)
    }

    /// Heads that are sealed and not yet stored, oldest first.
    pub(crate) fn sealed(&self) -> Vec<Arc<SealedHead>> {
        self.state.read().sealed.clone()
    }

    /// Forgets a head that is in object storage.
    pub(crate) fn drop_sealed(&self, origin: u64) {
        self.state.write().sealed.retain(|head| head.id.origin != origin);
    }

    /// The oldest position whose rows are not in object storage.
    pub(crate) fn oldest_needed(&self) -> Option<Position> {
        let state = self.state.read();
        let sealed = state.sealed.iter().map(|head| head.positions.first);
        sealed.chain(state.active.positions().map(|positions| positions.first)).min()
    }

    /// Forgets streams that got nothing since `before`; answers how many.
    pub(crate) fn forget_idle(&self, before: Duration) -> usize {
        let mut state = self.state.write();
        let origin = state.active.id.origin;
        state.streams.forget_idle(origin, before)
    }

    /// How many streams are in memory.
    pub(crate) fn stream_count(&self) -> usize {
        self.state.read().streams.len()
    }

    /// Whether nothing would be lost by forgetting the tenant.
    pub(crate) fn is_empty(&self) -> bool {
        let state = self.state.read();
        state.streams.len() == 0
            && state.active.is_empty()
            && state.sealed.is_empty()
            && !self.tails.is_needed()
            && self.replicas.lock().is_empty()
    }
}

/// What a commit added to a head.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Committed {
    /// Bytes.
    pub(crate) memory: u64,
    /// Streams that had no row in it before.
    pub(crate) runs: usize,
}

/// What a sender's label text stands for.
enum Found {
    Known(StreamId),
    /// No stream yet.
    New(Labels),
}

impl State {
    /// The stream of a part whose label text has the hash `hash`.
    fn find(&self, hash: u64, part: &StreamPart<'_>) -> Result<Found, LabelError> {
        if let Some(labels) = part.labels {
            let known = self.streams.find_labels(hash, labels);
            return Ok(known.map_or_else(|| Found::New(labels.clone()), Found::Known));
        }
        let canonical = part.canonical;
        if let Some(id) = self.streams.find(hash, canonical) {
            return Ok(Found::Known(id));
        }
        let labels = Labels::parse(canonical)?;
        // A sender that writes labels differently must not get a second stream: a segment takes
        // each only once.
        let text = labels.canonical();
        let known = if text == canonical { None } else { self.streams.find(text_hash(text), text) };
        Ok(known.map_or(Found::New(labels), Found::Known))
    }

    /// The stream that a part belongs to; registers it when it is new.
    fn streams_for(
        &mut self,
        tenant: &Tenant,
        (part, stream): (&DraftPart, &StreamPart<'_>),
        rules: &Rules<'_>,
        metrics: &Metrics,
    ) -> Result<StreamId, Rejected> {
        let found = self.find(part.hash, stream);
        let found =
            found.map_err(|error| invalid_labels(stream.canonical, part, &error.to_string()))?;
        let labels = match found {
            Found::Known(id) => return Ok(id),
            Found::New(labels) => labels,
        };
        let count = self.streams.len() as u64;
        if rules.limits.streams_max().is_some_and(|max| count >= max) {
            return Err(stream_limit(&tenant.id, labels.canonical(), part));
        }
        metrics.stream_created(&tenant.id);
        Ok(self.streams.add(labels, rules.now))
    }
}

/// Judges the rows of one stream, and admits those that are accepted.
fn judge_part(
    tenant: &TenantId,
    stream: &mut Stream,
    part: &DraftPart,
    rows: PartRows<'_>,
    rules: &Rules<'_>,
) -> Judgement {
    let Some(verdicts) = judge(stream, part, rows, rules) else {
        stream.admit(part.newest, rules.now);
        return Judgement { verdicts: None, rejected: Vec::new(), has_accepted: true };
    };
    let rejected = refusals(tenant, stream, rows, &verdicts, rules);
    let accepted = rows.rows.iter().zip(&verdicts).filter(|(_, v)| **v == Verdict::Accepted);
    let newest = accepted.map(|(row, _)| row.timestamp).max();
    if let Some(newest) = newest {
        stream.admit(newest, rules.now);
    }
    Judgement { verdicts: Some(verdicts), rejected, has_accepted: newest.is_some() }
}

/// What became of the rows of one stream.
struct Judgement {
    /// `None` when all are accepted.
    verdicts: Option<Vec<Verdict>>,
    rejected: Vec<Rejected>,
    has_accepted: bool,
}

/// The verdicts on a batch, stream by stream.
struct Judged {
    /// Per part: `None` when all of its rows are accepted.
    verdicts: Vec<Option<Vec<Verdict>>>,
    /// Per part: its stream, when at least one of its rows is accepted.
    streams: Vec<Option<StreamId>>,
    rejected: Vec<Rejected>,
}

impl Judged {
    fn finish(self, batch: AppendBatch, draft: Draft) -> Admitted {
        let Self { verdicts, streams, rejected } = self;
        let duplicates = verdicts.iter().flatten().flatten();
        let duplicates = duplicates.filter(|v| **v == Verdict::Duplicate).count() as u64;
        let has_refused = !rejected.is_empty() || duplicates > 0;
        // What is refused must not come back when the log is replayed, so it is not written.
        let (batch, draft) = if has_refused {
            let accepted = accepted_batch(&batch, &draft, &verdicts);
            let draft = Draft::read(&accepted);
            (accepted, draft)
        } else {
            (batch, draft)
        };
        let slab = batch.as_bytes();
        let mut parts = Vec::with_capacity(draft.parts.len());
        for (part, stream) in draft.parts.iter().zip(streams.into_iter().flatten()) {
            let Some(last) = last_entry(&draft.rows[part.rows.clone()], slab) else { continue };
            let (start, end, newest) = (part.rows.start, part.rows.end, part.newest);
            parts.push(PreparedPart { stream, start, end, newest, last });
        }
        Admitted { batch, prepared: Prepared { rows: draft.rows, parts }, rejected, duplicates }
    }
}
