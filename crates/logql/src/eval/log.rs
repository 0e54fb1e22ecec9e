//! Log queries: the newest or oldest entries that pass a pipeline.
//!
//! Pieces are read in the direction of the query, a few at a time. Once `limit` entries are at
//! hand, the time of the last of them bounds what else can matter: rows and whole pieces beyond it
//! are never looked at. A run's rows are walked in the direction of the query in growing chunks, so
//! that little is searched when much matches.

use std::cmp::{Ordering, Reverse};
use std::ops::Range;
use std::sync::Arc;
use std::sync::atomic::{AtomicI64, Ordering as Atomic};

use hashbrown::HashMap;
use model::answer::{QueryStats, ResultEntry, ResultLabels, ResultStream, Value};
use model::{Direction, TimeRange, Timestamp};
use xxhash_rust::xxh3::xxh3_128;

use super::control::{Account, Meter, Ticker};
use super::copies::{Arrival, RowKey};
use super::error::QueryError;
use super::frame::print;
use super::scan::{Scan, check_columns, count_rows, rows_within, view};
use super::workers::share;
use super::{Limits, Params};
use crate::pipeline::{Hints, Outcome, Pipeline, Scratch};
use crate::source::{Batch, Piece, Source, StreamRun};
use crate::syntax::ast::{LogExpr, Stage};

/// Rows of a run that are searched first; later chunks are larger.
const FIRST_CHUNK_ROWS: usize = 256;
/// Rows of a run that are searched at once at most.
const LAST_CHUNK_ROWS: usize = 1 << 16;
/// Fewer entries than this are never trimmed.
const TRIM_AT_LEAST: usize = 64;
/// Pieces per thread that are read before looking whether more are needed.
const WAVE_PIECES_MAX: usize = 16;

/// Evaluates a log query.
///
/// # Errors
///
/// Any [`QueryError`].
pub fn evaluate(
    expr: &LogExpr,
    params: &Params,
    source: &dyn Source,
    meter: Meter<'_>,
    limits: &Limits,
) -> Result<(Value, QueryStats), QueryError> {
    if limits.max_entries != 0 && params.limit > limits.max_entries {
        return Err(QueryError::EntriesLimit { asked: params.limit, limit: limits.max_entries });
    }
    let pipeline = Pipeline::build(&expr.stages, None, Hints::log())?;
    let range = TimeRange::new(params.start, params.end);
    let scan = Scan::new(source, &pipeline, range, meter);
    let mut stats = QueryStats::default();
    let mut pieces = scan.pieces(&expr.selector, params.direction)?;
    stats.blocks_selected = pieces.len() as u64;
    match params.direction {
        Direction::Backward => pieces.sort_by_key(|piece| (Reverse(piece.last), piece.id)),
        Direction::Forward => pieces.sort_by_key(|piece| (piece.first, piece.id)),
    }
    let query = LogQuery::new(&scan, params, &expr.stages);
    let entries = query.run(&pieces, &mut stats)?;
    stats.entries_returned = entries.len() as u64;
    Ok((Value::Streams(streams(entries)), stats))
}

/// Labels of entries, shared by all entries that have them.
#[derive(Debug)]
struct EntryLabels {
    /// All labels, printed: what breaks ties between entries of one stream and time.
    text: String,
    /// The labels of the result stream.
    stream: ResultLabels,
    structured_metadata: ResultLabels,
    parsed: ResultLabels,
}

/// An entry that may be part of the answer.
#[derive(Debug)]
struct Entry {
    at: i64,
    stream: u64,
    labels: Arc<EntryLabels>,
    arrival: Arrival,
    /// Set when other rows may give an equal entry.
    key: Option<RowKey>,
    line: Vec<u8>,
}

impl Entry {
    /// What the entry holds in memory; labels that it shares are counted again.
    fn bytes(&self) -> usize {
        size_of::<Self>() + self.line.len() + 2 * self.labels.text.len()
    }
}

/// What the threads of a log query share.
struct LogQuery<'a> {
    scan: &'a Scan<'a>,
    direction: Direction,
    limit: usize,
    interval: i64,
    split: i64,
    categorize: bool,
    threads: usize,
    /// Whether every row of the selection is part of the result.
    takes_all: bool,
    /// Whether rows that differ may give equal entries.
    merges_rows: bool,
    /// Entries beyond this time cannot be part of the answer any more.
    bound: AtomicI64,
}

impl<'a> LogQuery<'a> {
    fn new(scan: &'a Scan<'a>, params: &Params, stages: &[Stage]) -> Self {
        let bound = match params.direction {
            Direction::Backward => i64::MIN,
            Direction::Forward => i64::MAX,
        };
        Self {
            scan,
            direction: params.direction,
            limit: params.limit as usize,
            interval: params.interval_ns.max(0),
            split: params.split_ns.max(0),
            categorize: params.categorize,
            threads: params.threads.max(1),
            takes_all: stages.is_empty(),
            merges_rows: stages.iter().any(may_make_equal),
            bound: AtomicI64::new(bound),
        }
    }

    fn run(&self, pieces: &[Piece], stats: &mut QueryStats) -> Result<Vec<Entry>, QueryError> {
        let mut workers: Vec<Worker<'_>> =
            (0..self.threads.min(pieces.len()).max(1)).map(|_| Worker::new(self)).collect();
        let mut account = Account::new(self.scan.meter);
        let mut kept: Vec<Entry> = Vec::new();
        let mut thinned = Thinned::default();
        let mut next = 0;
        let mut wave = if self.takes_all { 1 } else { workers.len() };
        while next < pieces.len() && self.limit > 0 && self.may_matter(&pieces[next]) {
            let end = pieces.len().min(next + wave);
            share(&pieces[next..end], &mut workers, |worker, piece| worker.read(piece))?;
            next = end;
            for worker in &mut workers {
                worker.hand_over(&mut kept, &mut account)?;
            }
            if self.interval > 0 {
                thinned.take_final(self, &mut kept, pieces.get(next));
                if thinned.entries.len() >= self.limit {
                    break;
                }
            } else {
                self.settle(&mut kept);
                self.keep_best(&mut kept, &mut account);
            }
            // With enough at hand, each piece may show that no further one matters.
            wave = if kept.len() >= self.limit {
                workers.len()
            } else {
                (wave * 2).min(WAVE_PIECES_MAX * workers.len())
            };
        }
        workers.iter().for_each(|worker| stats.add(&worker.stats));
        Ok(if self.interval > 0 { thinned.entries } else { kept })
    }

    /// Whether a piece can hold an entry of the answer.
    fn may_matter(&self, piece: &Piece) -> bool {
        self.is_within_bound(self.nearest(piece))
    }

    /// Whether an entry is far enough from the last one kept. Where Loki splits queries, it forgets
    /// the last one.
    fn is_far(&self, last: i64, at: i64) -> bool {
        let part = |at: i64| at.checked_div_euclid(self.split).unwrap_or(0);
        at.abs_diff(last) >= self.interval.unsigned_abs() || part(at) != part(last)
    }

    /// The time of the first row of a piece, in the direction of the query.
    fn nearest(&self, piece: &Piece) -> i64 {
        match self.direction {
            Direction::Backward => piece.last.0,
            Direction::Forward => piece.first.0,
        }
    }

    fn is_within_bound(&self, at: i64) -> bool {
        let bound = self.bound.load(Atomic::Relaxed);
        match self.direction {
            Direction::Backward => at >= bound,
            Direction::Forward => at <= bound,
        }
    }

    fn tighten(&self, at: i64) {
        match self.direction {
            Direction::Backward => self.bound.fetch_max(at, Atomic::Relaxed),
            Direction::Forward => self.bound.fetch_min(at, Atomic::Relaxed),
        };
    }

    /// The time that can still matter.
    fn open_range(&self) -> TimeRange {
        let bound = Timestamp(self.bound.load(Atomic::Relaxed));
        let range = self.scan.range;
        match self.direction {
            Direction::Backward => TimeRange::new(range.start.max(bound), range.end),
            Direction::Forward => {
                TimeRange::new(range.start, range.end.min(Timestamp(bound.0.saturating_add(1))))
            }
        }
    }

    /// The order of entries in the answer: by time, then by stream, by labels, and by arrival.
    fn compare(&self, a: &Entry, b: &Entry) -> Ordering {
        let (time, arrival) = match self.direction {
            Direction::Forward => (a.at.cmp(&b.at), a.arrival.cmp(&b.arrival)),
            Direction::Backward => (b.at.cmp(&a.at), b.arrival.cmp(&a.arrival)),
        };
        time.then_with(|| a.stream.cmp(&b.stream))
            .then_with(|| a.labels.text.cmp(&b.labels.text))
            .then(arrival)
    }

    /// Gives entries with copies the arrival of the earliest copy seen.
    fn settle(&self, entries: &mut [Entry]) {
        for entry in entries {
            if let Some(arrival) = entry.key.and_then(|key| self.scan.arrival(key)) {
                entry.arrival = arrival;
            }
        }
    }

    /// Sorts entries and drops those beyond the limit.
    fn keep_best(&self, entries: &mut Vec<Entry>, account: &mut Account<'_>) {
        entries.sort_unstable_by(|a, b| self.compare(a, b));
        if entries.len() >= self.limit {
            let dropped: usize = entries.drain(self.limit..).map(|entry| entry.bytes()).sum();
            account.release(dropped);
            self.tighten(entries[self.limit - 1].at);
        }
    }
}

/// The entries that are left when those too near to the last one kept are skipped.
#[derive(Debug, Default)]
struct Thinned {
    entries: Vec<Entry>,
    last: Option<i64>,
}

impl Thinned {
    /// Takes the entries that come before everything in the pieces not yet read.
    fn take_final(&mut self, query: &LogQuery<'_>, waiting: &mut Vec<Entry>, next: Option<&Piece>) {
        query.settle(waiting);
        waiting.sort_unstable_by(|a, b| query.compare(a, b));
        let is_final = |entry: &Entry| match (next, query.direction) {
            (None, _) => true,
            (Some(piece), Direction::Backward) => entry.at > query.nearest(piece),
            (Some(piece), Direction::Forward) => entry.at < query.nearest(piece),
        };
        let count = waiting.partition_point(is_final);
        for entry in waiting.drain(..count) {
            let is_far = self.last.is_none_or(|last| query.is_far(last, entry.at));
            if is_far && self.entries.len() < query.limit {
                self.last = Some(entry.at);
                self.entries.push(entry);
            }
        }
    }
}

/// One thread's part of a log query.
struct Worker<'a> {
    query: &'a LogQuery<'a>,
    scratch: Scratch,
    labels: HashMap<Box<[u8]>, Arc<EntryLabels>>,
    key: Vec<u8>,
    entries: Vec<Entry>,
    /// How many entries may be at hand before some are dropped.
    trim_at: usize,
    /// Entries found in the run that is being walked, and the time of the last one.
    found: (usize, i64),
    account: Account<'a>,
    ticker: Ticker<'a>,
    selected: Vec<u32>,
    /// The line of the current row.
    line: Vec<u8>,
    stats: QueryStats,
}

impl<'a> Worker<'a> {
    fn new(query: &'a LogQuery<'a>) -> Self {
        let meter: Meter<'a> = query.scan.meter;
        Self {
            query,
            scratch: query.scan.pipeline.scratch(),
            labels: HashMap::new(),
            key: Vec::new(),
            entries: Vec::new(),
            trim_at: TRIM_AT_LEAST.max(query.limit.saturating_mul(2)),
            found: (0, 0),
            account: Account::new(meter),
            ticker: Ticker::new(meter),
            selected: Vec::new(),
            line: Vec::new(),
            stats: QueryStats::default(),
        }
    }

    fn read(&mut self, piece: &Piece) -> Result<(), QueryError> {
        if !self.query.may_matter(piece) {
            return Ok(());
        }
        let batch = self.query.scan.load(piece, &mut self.stats)?;
        for run in &batch.runs {
            let rows = rows_within(&batch, run, &self.query.open_range());
            self.read_run(piece, &batch, run, rows)?;
        }
        check_columns(&batch)
    }

    /// Walks the rows of a run in the direction of the query, until no more can matter.
    fn read_run(
        &mut self,
        piece: &Piece,
        batch: &Batch,
        run: &StreamRun,
        mut rows: Range<usize>,
    ) -> Result<(), QueryError> {
        let mut chunk_rows = FIRST_CHUNK_ROWS.max(self.query.limit);
        self.found = (0, 0);
        while !rows.is_empty() {
            let size = chunk_rows.min(rows.len());
            let chunk = match self.query.direction {
                Direction::Backward => rows.end - size..rows.end,
                Direction::Forward => rows.start..rows.start + size,
            };
            match self.query.direction {
                Direction::Backward => rows.end = chunk.start,
                Direction::Forward => rows.start = chunk.end,
            }
            chunk_rows = (chunk_rows * 4).min(LAST_CHUNK_ROWS);
            count_rows(&mut self.stats, piece, batch, &chunk);
            self.selected.clear();
            let mut selected = std::mem::take(&mut self.selected);
            self.query.scan.pipeline.sweep(batch, chunk, &mut self.scratch, &mut selected);
            if self.query.direction == Direction::Backward {
                selected.reverse();
            }
            let goes_on = self.read_chunk(piece, batch, run, &selected);
            self.selected = selected;
            if !goes_on? {
                break;
            }
        }
        Ok(())
    }

    /// Takes rows in the direction of the query; answers whether rows after them can matter.
    fn read_chunk(
        &mut self,
        piece: &Piece,
        batch: &Batch,
        run: &StreamRun,
        rows: &[u32],
    ) -> Result<bool, QueryError> {
        let query = self.query;
        for row in rows {
            self.ticker.tick()?;
            let arrival = (piece.rank, *row);
            let row = *row as usize;
            let at = batch.timestamps[row];
            // Rows of one time are told apart by their labels, so all of them must be seen.
            let is_enough =
                query.interval == 0 && self.found.0 >= query.limit && at != self.found.1;
            if is_enough || !query.is_within_bound(at) {
                return Ok(false);
            }
            let view = view(batch, row);
            let pipeline = query.scan.pipeline;
            let Some(outcome) = pipeline.process(&run.labels, view, &mut self.scratch) else {
                continue;
            };
            let labels = entry_labels(&outcome, query.categorize, &mut self.key, &mut self.labels);
            self.line.clear();
            outcome.append_line(&mut self.line);
            let line = &self.line;
            let key = if query.merges_rows {
                Some(entry_key(at, run, &labels.text, line))
            } else {
                query.scan.key(batch, run, row)
            };
            if !query.scan.is_first(key, arrival)? {
                self.stats.duplicates += 1;
                continue;
            }
            self.stats.post_filter_lines += 1;
            let line = line.clone();
            let entry = Entry { at, stream: run.fingerprint.0, labels, arrival, key, line };
            self.account.charge(entry.bytes())?;
            self.entries.push(entry);
            self.found = (self.found.0 + 1, at);
            self.trim();
        }
        Ok(true)
    }

    /// Drops entries that cannot be part of the answer once there are many more than needed.
    fn trim(&mut self) {
        let query = self.query;
        if query.interval > 0 || self.entries.len() < self.trim_at {
            return;
        }
        let last = query.limit - 1;
        self.entries.select_nth_unstable_by(last, |a, b| query.compare(a, b));
        let bound = self.entries[last].at;
        query.tighten(bound);
        // Which of several copies arrived first may not be known yet, and decides between rows of
        // one time.
        let is_beyond = |entry: &mut Entry| entry.at != bound || entry.key.is_none();
        let dropped = self.entries.extract_if(query.limit.., is_beyond);
        self.account.release(dropped.map(|entry| entry.bytes()).sum());
        self.trim_at = self.trim_at.max(2 * self.entries.len());
        if self.labels.len() > self.trim_at {
            self.labels.clear();
        }
    }

    /// Moves the entries to the query's own list.
    fn hand_over(
        &mut self,
        kept: &mut Vec<Entry>,
        account: &mut Account<'_>,
    ) -> Result<(), QueryError> {
        let bytes: usize = self.entries.iter().map(Entry::bytes).sum();
        self.account.release(bytes);
        account.charge(bytes)?;
        kept.append(&mut self.entries);
        Ok(())
    }
}

/// Whether a stage may make the lines and labels of different rows equal. Entries of one stream,
/// time, label set and line are then returned once, as they would be if they had been pushed so.
fn may_make_equal(stage: &Stage) -> bool {
    matches!(
        stage,
        Stage::LineFormat { .. }
            | Stage::LabelFormat { .. }
            | Stage::Unpack
            | Stage::Decolorize
            | Stage::Drop { .. }
            | Stage::Keep { .. }
    )
}

/// Identifies an entry of the result among those of equal rows.
fn entry_key(at: i64, run: &StreamRun, labels: &str, line: &[u8]) -> RowKey {
    let mut bytes = [0u8; 48];
    bytes[..8].copy_from_slice(&run.fingerprint.0.to_le_bytes());
    bytes[8..16].copy_from_slice(&at.to_le_bytes());
    bytes[16..32].copy_from_slice(&xxh3_128(labels.as_bytes()).to_le_bytes());
    bytes[32..].copy_from_slice(&xxh3_128(line).to_le_bytes());
    xxh3_128(&bytes)
}

/// The labels of an entry: built once per thread for each set.
fn entry_labels(
    outcome: &Outcome<'_>,
    categorize: bool,
    key: &mut Vec<u8>,
    known: &mut HashMap<Box<[u8]>, Arc<EntryLabels>>,
) -> Arc<EntryLabels> {
    if categorize {
        let categories = outcome.categories();
        return Arc::new(EntryLabels {
            text: print(&outcome.series_labels()),
            stream: categories.stream,
            structured_metadata: categories.structured_metadata,
            parsed: categories.parsed,
        });
    }
    outcome.series_key(key);
    if let Some(labels) = known.get(key.as_slice()) {
        return Arc::clone(labels);
    }
    let stream = outcome.series_labels();
    let labels = Arc::new(EntryLabels {
        text: print(&stream),
        stream,
        structured_metadata: Vec::new(),
        parsed: Vec::new(),
    });
    known.insert(key.as_slice().into(), Arc::clone(&labels));
    labels
}

/// Entries grouped by their stream's labels, streams in the order of their printed labels.
fn streams(entries: Vec<Entry>) -> Vec<ResultStream> {
    let mut streams: Vec<(String, ResultStream)> = Vec::new();
    let mut by_text: HashMap<String, usize> = HashMap::new();
    // Many entries share their labels; those are printed once.
    let mut by_labels: HashMap<*const EntryLabels, usize> = HashMap::new();
    for entry in &entries {
        by_labels.entry(Arc::as_ptr(&entry.labels)).or_insert_with(|| {
            let text = print(&entry.labels.stream);
            *by_text.entry(text).or_insert_with_key(|text| {
                let labels = entry.labels.stream.clone();
                streams.push((text.clone(), ResultStream { labels, entries: Vec::new() }));
                streams.len() - 1
            })
        });
    }
    for entry in entries {
        let stream = by_labels[&Arc::as_ptr(&entry.labels)];
        streams[stream].1.entries.push(ResultEntry {
            timestamp: Timestamp(entry.at),
            line: entry.line,
            structured_metadata: entry.labels.structured_metadata.clone(),
            parsed: entry.labels.parsed.clone(),
        });
    }
    streams.sort_by(|a, b| a.0.cmp(&b.0));
    streams.into_iter().map(|(_, stream)| stream).collect()
}
