//! The snapshots of several ingesters as one source.
//!
//! Ids, origins and ranks are numbered anew, so that those of different ingesters differ. Copies of
//! one row in two ingesters are told by their holders ([`querier::RecentSource::holder`]).

use std::collections::{BTreeMap, BTreeSet, HashMap};
use std::sync::Arc;

use logql::source::{Batch, Cells, Piece, Selection, Source, SourceError, StreamSummary, Want};
use model::{ErrorKind, Labels, Matcher, TimeRange};
use parking_lot::Mutex;
use querier::RecentSource;
use rpc::Error;
use rpc::ingester::RemoteHeads;
use runtime::clock::Clock;
use segment::SegmentName;
use store::Told;
use tokio::runtime::Handle;

use super::peers::Replicas;
use super::recent::{Partial, gather};

/// Where the ranks of heads begin, and how many of them each ingester has.
const RANK_BASE: u64 = 1 << 63;
const RANK_BITS: u32 = 44;

/// Which ingesters failed in one query, and what that means for its answer.
pub(super) struct Failures {
    replicas: Replicas,
    partial: Partial,
    state: Mutex<State>,
}

#[derive(Default)]
struct State {
    /// By number: why.
    failed: BTreeMap<usize, String>,
    warnings: BTreeSet<String>,
}

impl Failures {
    pub(super) fn new(replicas: Replicas, partial: Partial) -> Self {
        Self { replicas, partial, state: Mutex::default() }
    }

    pub(super) fn replicas(&self) -> &Replicas {
        &self.replicas
    }

    /// Whether an ingester is left out of this query.
    fn has_failed(&self, at: usize) -> bool {
        self.state.lock().failed.contains_key(&at)
    }

    /// Whether no row would be missed if these failed, too.
    pub(super) fn tolerates_also(&self, others: &BTreeSet<usize>) -> bool {
        let state = self.state.lock();
        let all: BTreeSet<usize> = state.failed.keys().chain(others).copied().collect();
        self.replicas.tolerates(&all.into_iter().collect::<Vec<_>>())
    }

    /// Leaves an ingester out of this query.
    ///
    /// # Errors
    ///
    /// When rows may be missing without it, and answers must be whole.
    pub(super) fn failed(&self, at: usize, error: &Error) -> Result<(), SourceError> {
        let why = {
            let mut state = self.state.lock();
            state.failed.entry(at).or_insert_with(|| self.describe(at, error));
            let failed: Vec<usize> = state.failed.keys().copied().collect();
            if self.replicas.tolerates(&failed) {
                return Ok(());
            }
            let why: Vec<&str> = state.failed.values().map(String::as_str).collect();
            why.join("; ")
        };
        self.incomplete(&format!("recent entries cannot be read: {why}"))
    }

    /// Notes that rows may be missing.
    ///
    /// # Errors
    ///
    /// When answers must be whole.
    pub(super) fn incomplete(&self, what: &str) -> Result<(), SourceError> {
        match self.partial {
            Partial::Fail => {
                Err(SourceError { message: what.to_owned(), kind: ErrorKind::Unavailable })
            }
            Partial::Warn => {
                let warning = format!("the answer is incomplete: {what}");
                self.state.lock().warnings.insert(warning);
                Ok(())
            }
        }
    }

    fn describe(&self, at: usize, error: &Error) -> String {
        let address = self.replicas.members.get(at).map_or("", |member| &*member.address);
        if error.message.starts_with(address) {
            format!("ingester {}", error.message)
        } else {
            format!("ingester {address}: {}", error.message)
        }
    }
}

/// The snapshots of several ingesters.
pub(super) struct RemoteSource {
    /// By number, those that answered.
    members: Vec<(usize, RemoteHeads)>,
    /// What they stored lately, where somebody else keeps the catalog.
    told: Option<Told>,
    failures: Failures,
    runtime: Handle,
    clock: Arc<dyn Clock>,
    numbers: Mutex<Numbers>,
}

/// What the numbers that were given out stand for.
#[derive(Default)]
struct Numbers {
    /// By id: which member's piece.
    pieces: Vec<(usize, Piece)>,
    /// By origin: which member's.
    origins: Vec<(usize, u64)>,
    known: HashMap<(usize, u64), u64>,
    /// By origin: which segments take it over.
    flushed_as: HashMap<u64, Vec<SegmentName>>,
}

impl Numbers {
    fn origin(&mut self, member: usize, origin: u64) -> u64 {
        *self.known.entry((member, origin)).or_insert_with(|| {
            self.origins.push((member, origin));
            self.origins.len() as u64 - 1
        })
    }
}

impl RemoteSource {
    pub(super) fn new(
        members: Vec<(usize, RemoteHeads)>,
        told: Option<Told>,
        failures: Failures,
        runtime: Handle,
        clock: Arc<dyn Clock>,
    ) -> Self {
        Self { members, told, failures, runtime, clock, numbers: Mutex::default() }
    }

    /// Asks every ingester that has not failed.
    fn ask_all<'a, T, F>(
        &'a self,
        ask: impl Fn(&'a RemoteHeads) -> F,
        mut take: impl FnMut(usize, T) -> Result<(), Error>,
    ) -> Result<(), SourceError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let places: HashMap<usize, &RemoteHeads> =
            self.members.iter().map(|(at, heads)| (*at, heads)).collect();
        let asked = places.keys().copied().filter(|at| !self.failures.has_failed(*at));
        let asked: Vec<usize> = asked.collect();
        let mut answers = Vec::with_capacity(asked.len());
        self.runtime.block_on(gather(
            asked,
            |at| ask(places[&at]),
            &self.failures,
            &*self.clock,
            |at, answer| answers.push((at, answer)),
        ))?;
        // In the order of the ingesters, so that equal queries number equally.
        answers.sort_by_key(|(at, _)| *at);
        for (at, answer) in answers {
            if let Err(error) = take(at, answer) {
                self.failures.failed(at, &error)?;
            }
        }
        Ok(())
    }

    /// Asks the ingester of a piece; `None` when it has failed and may be left out.
    fn ask_one<'a, T, F>(
        &'a self,
        piece: &Piece,
        ask: impl FnOnce(&'a RemoteHeads, Piece) -> F,
    ) -> Result<Option<T>, SourceError>
    where
        F: Future<Output = Result<T, Error>>,
    {
        let found = self.numbers.lock().pieces.get(piece.id as usize).cloned();
        let place = found.and_then(|(at, piece)| {
            let member = self.members.iter().find(|(number, _)| *number == at)?;
            Some((at, &member.1, piece))
        });
        let Some((at, heads, piece)) = place else {
            let message = "a piece of the heads that was never described".to_owned();
            return Err(SourceError { message, kind: ErrorKind::Internal });
        };
        if self.failures.has_failed(at) {
            return Ok(None);
        }
        match self.runtime.block_on(ask(heads, piece)) {
            Ok(answer) => Ok(Some(answer)),
            Err(error) => self.failures.failed(at, &error).map(|()| None),
        }
    }
}

impl RecentSource for RemoteSource {
    fn flushed_as(&self, origin: u64) -> Vec<SegmentName> {
        self.numbers.lock().flushed_as.get(&origin).cloned().unwrap_or_default()
    }

    fn holder(&self, origin: u64) -> u64 {
        let numbers = self.numbers.lock();
        numbers.origins.get(origin as usize).map_or(0, |(member, _)| *member as u64)
    }

    fn told(&self) -> Option<&Told> {
        self.told.as_ref()
    }

    fn is_shared(&self) -> bool {
        self.failures.replicas().members.len() > 1
    }
}

impl Source for RemoteSource {
    fn pieces(&self, selection: &Selection) -> Result<Vec<Piece>, SourceError> {
        let mut pieces = Vec::new();
        self.ask_all(
            |heads| heads.pieces(selection),
            |at, described| {
                let mut flushed = Vec::with_capacity(described.flushed_as.len());
                for (origin, names) in &described.flushed_as {
                    let names = names.iter().map(|name| SegmentName::parse(name));
                    let names = names.collect::<Result<Vec<_>, _>>();
                    let invalid = |error: segment::FormatError| {
                        Error::new(ErrorKind::Corrupt, error.to_string())
                    };
                    flushed.push((*origin, names.map_err(invalid)?));
                }
                let mut numbers = self.numbers.lock();
                for (origin, names) in flushed {
                    let origin = numbers.origin(at, origin);
                    numbers.flushed_as.insert(origin, names);
                }
                for piece in described.pieces {
                    let origin = numbers.origin(at, piece.origin);
                    let id = numbers.pieces.len() as u64;
                    let own = piece.rank & ((1 << RANK_BITS) - 1);
                    let rank = RANK_BASE | (at as u64) << RANK_BITS | own;
                    pieces.push(Piece { id, origin, rank, ..piece.clone() });
                    numbers.pieces.push((at, piece));
                }
                Ok(())
            },
        )?;
        Ok(pieces)
    }

    fn load(&self, piece: &Piece, want: &Want) -> Result<Batch, SourceError> {
        let loaded =
            self.ask_one(piece, |heads, piece| async move { heads.load(&piece, want).await })?;
        Ok(loaded.unwrap_or_default())
    }

    fn cells(&self, piece: &Piece) -> Result<Option<Cells>, SourceError> {
        let cells = self.ask_one(piece, |heads, piece| async move { heads.cells(&piece).await })?;
        Ok(cells.flatten())
    }

    /// A stream that several ingesters keep is counted as the one counts that has most of it.
    fn streams(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<StreamSummary>, SourceError> {
        let mut merged: BTreeMap<Labels, (u64, u64)> = BTreeMap::new();
        self.ask_all(
            |heads| heads.streams(matchers, range),
            |_, streams| {
                for StreamSummary { labels, rows, bytes } in streams {
                    let most = merged.entry(labels).or_default();
                    *most = (most.0.max(rows), most.1.max(bytes));
                }
                Ok(())
            },
        )?;
        let summary = |(labels, (rows, bytes))| StreamSummary { labels, rows, bytes };
        Ok(merged.into_iter().map(summary).collect())
    }

    fn warnings(&self) -> Vec<String> {
        self.failures.state.lock().warnings.iter().cloned().collect()
    }
}
