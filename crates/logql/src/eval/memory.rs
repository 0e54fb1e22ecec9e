//! A source that keeps its rows in memory: for tests, and for running queries over loaded entries.
//!
//! Rows stand in one or several *origins*; an origin's rows are cut into pieces by time, so that a
//! piece mixes streams as stored blocks do. Rows that stand in several origins are copies of each
//! other, and the source says in which span of time there may be some.

use std::collections::BTreeMap;
use std::sync::atomic::{AtomicUsize, Ordering};
use std::sync::{Mutex, PoisonError};

use model::columns::{Lines, TextColumn, Texts};
use model::level::LEVEL_NAME;
use model::matcher::all_match;
use model::{Entry, Labels, Level, Matcher, TimeRange, Timestamp};

use crate::source::{
    Batch, Cell, Cells, Piece, Selection, Source, SourceError, StreamRun, StreamSummary, Want,
    WantLines, WantMetadata,
};

/// Rows in memory.
#[derive(Debug, Default)]
pub struct MemorySource {
    pieces: Vec<Stored>,
    origins: u64,
    layout: Layout,
    /// What the pieces that were described were selected by: a piece's id is an index.
    described: Mutex<Vec<(usize, Vec<Matcher>)>>,
    loads: AtomicUsize,
    warnings: Vec<String>,
}

/// How rows are laid out in pieces.
#[derive(Debug, Clone, Copy)]
pub struct Layout {
    /// Most rows in a piece.
    pub piece_rows: usize,
    /// Width of the cells that are kept, in nanoseconds; 0 keeps none.
    pub cell_ns: i64,
}

impl Default for Layout {
    fn default() -> Self {
        Self { piece_rows: 1000, cell_ns: 0 }
    }
}

/// The rows of one piece, stream by stream.
#[derive(Debug)]
struct Stored {
    origin: u64,
    copies: Option<TimeRange>,
    streams: Vec<(Labels, Vec<Entry>)>,
}

impl Stored {
    fn times(&self) -> impl Iterator<Item = Timestamp> {
        self.streams.iter().flat_map(|(_, rows)| rows).map(|entry| entry.timestamp)
    }

    fn matching(&self, matchers: &[Matcher]) -> impl Iterator<Item = &(Labels, Vec<Entry>)> {
        self.streams.iter().filter(|(labels, _)| all_match(matchers, labels))
    }
}

impl MemorySource {
    /// A source without rows.
    #[must_use]
    pub fn new(layout: Layout) -> Self {
        Self { layout, ..Self::default() }
    }

    /// A source that holds these streams once, in pieces of the usual size.
    #[must_use]
    pub fn of(streams: impl IntoIterator<Item = (Labels, Vec<Entry>)>) -> Self {
        let mut source = Self::default();
        source.add_origin(streams, None);
        source
    }

    /// Adds an origin. Within it equal rows of a stream are kept once, and rows of one time keep
    /// their order. `copies` says where other origins may hold rows of this one.
    pub fn add_origin(
        &mut self,
        streams: impl IntoIterator<Item = (Labels, Vec<Entry>)>,
        copies: Option<TimeRange>,
    ) {
        let mut by_stream: BTreeMap<Labels, Vec<Entry>> = BTreeMap::new();
        for (labels, entries) in streams {
            by_stream.entry(labels).or_default().extend(entries);
        }
        let mut rows: Vec<(&Labels, Entry)> = Vec::new();
        for (labels, entries) in &mut by_stream {
            rows.extend(distinct(std::mem::take(entries)).into_iter().map(|e| (&*labels, e)));
        }
        rows.sort_by_key(|(_, entry)| entry.timestamp);
        let origin = self.origins;
        self.origins += 1;
        let mut rows = rows.into_iter().peekable();
        while rows.peek().is_some() {
            let mut streams: BTreeMap<&Labels, Vec<Entry>> = BTreeMap::new();
            for (labels, entry) in rows.by_ref().take(self.layout.piece_rows.max(1)) {
                streams.entry(labels).or_default().push(entry);
            }
            let streams = streams.into_iter().map(|(labels, rows)| (labels.clone(), rows));
            self.pieces.push(Stored { origin, copies, streams: streams.collect() });
        }
    }

    /// Adds a warning that every answer carries.
    pub fn warn(&mut self, text: impl Into<String>) {
        self.warnings.push(text.into());
    }

    /// How often a piece was loaded.
    #[must_use]
    pub fn loads(&self) -> usize {
        self.loads.load(Ordering::Relaxed)
    }

    fn described(&self, piece: &Piece) -> Result<(&Stored, Vec<Matcher>), SourceError> {
        let described = self.described.lock().unwrap_or_else(PoisonError::into_inner);
        let (index, matchers) = described.get(piece.id as usize).ok_or_else(|| SourceError {
            message: format!("piece {} was never described", piece.id),
            kind: model::ErrorKind::Internal,
        })?;
        Ok((&self.pieces[*index], matchers.clone()))
    }
}

/// The entries without those equal to an earlier one.
fn distinct(entries: Vec<Entry>) -> Vec<Entry> {
    let mut seen = std::collections::HashSet::new();
    entries.into_iter().filter(|entry| seen.insert(entry.clone())).collect()
}

impl Source for MemorySource {
    fn pieces(&self, selection: &Selection) -> Result<Vec<Piece>, SourceError> {
        let mut described = self.described.lock().unwrap_or_else(PoisonError::into_inner);
        let mut pieces = Vec::new();
        for (index, stored) in self.pieces.iter().enumerate() {
            let (Some(first), Some(last)) = (stored.times().min(), stored.times().max()) else {
                continue;
            };
            let rows: usize =
                stored.matching(&selection.matchers).map(|(_, rows)| rows.len()).sum();
            if rows == 0 || !selection.range.overlaps(first, last) {
                continue;
            }
            pieces.push(Piece {
                id: described.len() as u64,
                origin: stored.origin,
                rank: index as u64,
                first,
                last,
                rows: rows as u64,
                bytes: 0,
                is_head: false,
            });
            described.push((index, selection.matchers.clone()));
        }
        Ok(pieces)
    }

    fn load(&self, piece: &Piece, want: &Want) -> Result<Batch, SourceError> {
        self.loads.fetch_add(1, Ordering::Relaxed);
        let (stored, matchers) = self.described(piece)?;
        let mut batch = Batch::default();
        let mut entries: Vec<&Entry> = Vec::new();
        for (labels, rows) in stored.matching(&matchers) {
            batch.runs.push(StreamRun {
                labels: labels.clone(),
                fingerprint: labels.fingerprint(),
                rows: entries.len()..entries.len() + rows.len(),
                copies: stored.copies,
            });
            entries.extend(rows);
        }
        batch.timestamps = entries.iter().map(|entry| entry.timestamp.0).collect();
        match want.lines {
            WantLines::None => {}
            WantLines::Lengths => {
                batch.lengths = entries.iter().map(|entry| entry.line.len() as u32).collect();
            }
            WantLines::Columns | WantLines::Text => {
                batch.lines = Lines::with_capacity(entries.len(), 0);
                entries.iter().for_each(|entry| batch.lines.push(&entry.line));
            }
        }
        batch.metadata = columns(&entries, &want.metadata);
        Ok(batch)
    }

    fn cells(&self, piece: &Piece) -> Result<Option<Cells>, SourceError> {
        if self.layout.cell_ns == 0 {
            return Ok(None);
        }
        let (stored, matchers) = self.described(piece)?;
        let mut cells = Cells { runs: Vec::new(), cells: Vec::new() };
        let mut counts: BTreeMap<(u32, i64, u8), (u64, u64)> = BTreeMap::new();
        let mut start = 0;
        for (run, (labels, rows)) in (0..).zip(stored.matching(&matchers)) {
            cells.runs.push(StreamRun {
                labels: labels.clone(),
                fingerprint: labels.fingerprint(),
                rows: start..start + rows.len(),
                copies: stored.copies,
            });
            start += rows.len();
            for entry in rows {
                let Some(level) = level_code(entry) else { return Ok(None) };
                let at = entry.timestamp.0.div_euclid(self.layout.cell_ns);
                let count = counts.entry((run, at, level)).or_default();
                *count = (count.0 + 1, count.1 + entry.line.len() as u64);
            }
        }
        let width = self.layout.cell_ns;
        let cell = |((run, at, level), (lines, bytes))| Cell {
            run,
            level,
            start: Timestamp(at * width),
            end: Timestamp((at + 1) * width),
            lines,
            bytes,
        };
        cells.cells = counts.into_iter().map(cell).collect();
        Ok(Some(cells))
    }

    fn streams(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<StreamSummary>, SourceError> {
        let mut streams: BTreeMap<&Labels, (u64, u64)> = BTreeMap::new();
        for (labels, rows) in self.pieces.iter().flat_map(|stored| stored.matching(matchers)) {
            for entry in rows.iter().filter(|entry| range.contains(entry.timestamp)) {
                let sum = streams.entry(labels).or_default();
                *sum = (sum.0 + 1, sum.1 + entry.line.len() as u64);
            }
        }
        let summary = |(labels, (rows, bytes)): (&Labels, _)| StreamSummary {
            labels: labels.clone(),
            rows,
            bytes,
        };
        Ok(streams.into_iter().map(summary).collect())
    }

    fn warnings(&self) -> Vec<String> {
        self.warnings.clone()
    }
}

/// The structured metadata of rows as columns, in the order in which names appear.
fn columns(entries: &[&Entry], want: &WantMetadata) -> Vec<TextColumn> {
    let is_wanted = |name: &str| match want {
        WantMetadata::None => false,
        WantMetadata::Names(names) => names.iter().any(|wanted| wanted == name),
        WantMetadata::All => true,
    };
    let mut names: Vec<&str> = Vec::new();
    for (name, _) in entries.iter().flat_map(|entry| &entry.structured_metadata) {
        if is_wanted(name) && !names.contains(&&**name) {
            names.push(name);
        }
    }
    let column = |name: &str| {
        let mut values = Texts::default();
        let code = |entry: &&Entry| {
            let (_, value) =
                entry.structured_metadata.iter().find(|(known, _)| **known == *name)?;
            let known = values.iter().position(|known| *known == **value);
            let at = known.unwrap_or_else(|| {
                values.push(value);
                values.len() - 1
            });
            Some(at as u32 + 1)
        };
        let codes: Vec<u32> = entries.iter().map(code).map(Option::unwrap_or_default).collect();
        TextColumn::from_parts(name, codes, values).unwrap_or_default()
    };
    names.into_iter().map(column).collect()
}

/// The code of an entry's level: 0 when it has none, nothing when no code stands for it.
fn level_code(entry: &Entry) -> Option<u8> {
    let level = entry.structured_metadata.iter().find(|(name, _)| **name == *LEVEL_NAME);
    match level {
        None => Some(0),
        Some((_, text)) => Level::from_name(text).map(Level::code),
    }
}
