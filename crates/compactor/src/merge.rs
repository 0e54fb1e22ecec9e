//! The rows of several segments in one.
//!
//! Streams come in the order of their sort keys, rows of a stream by time and then by arrival; equal
//! rows are one row. Of each input one block is decoded at a time, and the output goes to files
//! block by block: memory is that of as many blocks as there are inputs, of one block of the
//! output, and of its index. Where the storage has no files, the output is in memory too.

use std::cmp::Reverse;
use std::ops::Range;
use std::sync::Arc;

use hashbrown::HashSet;
use model::{Labels, Timestamp};
use runtime::shutdown::Stop;
use segment::limits::LEVEL_MAX;
use segment::{
    EncodeSettings, EncodedSegment, Row, SegmentFacts, SegmentName, SegmentWriter, SpilledSegment,
};
use store::{SegmentFooter, SpillFiles, Store, StoredSegment};
use xxhash_rust::xxh3::Xxh3;

use crate::error::Error;
use crate::input::{Decoded, Input};
use crate::left_out::{LeftOut, LeftOutRows, OfStream, Scratches};

/// What came out of a merge.
pub(crate) struct Merged {
    /// The segment; `None` when every row was left out.
    pub(crate) segment: Option<Output>,
    /// Line bytes that were read.
    pub(crate) raw_bytes: u64,
    pub(crate) left_out: LeftOutRows,
}

/// A segment that is not uploaded yet. A few exist at once, so their size matters little.
#[expect(clippy::large_enum_variant, reason = "one for each segment of a merge")]
pub(crate) enum Output {
    InMemory(EncodedSegment),
    InFiles { name: SegmentName, bytes: u64, spill: SpillFiles },
}

impl Output {
    pub(crate) fn name(&self) -> &SegmentName {
        match self {
            Self::InMemory(segment) => &segment.name,
            Self::InFiles { name, .. } => name,
        }
    }

    /// Length of the object.
    pub(crate) fn bytes(&self) -> u64 {
        match self {
            Self::InMemory(segment) => segment.bytes.len() as u64,
            Self::InFiles { bytes, .. } => *bytes,
        }
    }

    pub(crate) async fn upload(self, store: &Store) -> Result<(), Error> {
        match self {
            Self::InMemory(segment) => store.upload(segment).await.map(|_| ())?,
            Self::InFiles { name, bytes, spill } => {
                store.upload_spilled(&name, bytes, spill).await?;
            }
        }
        Ok(())
    }
}

/// Merges segments of one tenant and day. Blocks; where remote storage is read, the thread must be
/// one that may.
///
/// # Errors
///
/// [`Error::Store`], [`Error::Segment`], [`Error::Stopping`]; [`Error::Rows`] when a fault of ours
/// would have lost rows.
pub(crate) fn merge(
    store: &Store,
    inputs: &[Arc<StoredSegment>],
    settings: &EncodeSettings,
    left_out: &LeftOut,
    stop: &Stop,
) -> Result<Merged, Error> {
    let stored_bytes: u64 = inputs.iter().map(|stored| stored.bytes).sum();
    let mut opened = Vec::with_capacity(inputs.len());
    for stored in inputs {
        opened.push((Arc::clone(stored), store.footer_blocking(stored)?));
    }
    // The order of arrival, as queries see it.
    opened.sort_by_cached_key(|(stored, footer)| arrival(stored, footer));
    let rows: u64 = opened.iter().map(|(_, footer)| footer.rows()).sum();
    let raw_bytes = opened.iter().map(|(_, footer)| footer.raw_bytes()).sum();
    let opened = opened.into_iter();
    let inputs: Vec<Input> =
        opened.map(|(stored, footer)| Input::open(stored, footer, &settings.sort_labels)).collect();
    let Some(first) = inputs.first() else {
        return Ok(Merged { segment: None, raw_bytes: 0, left_out: Default::default() });
    };
    let level = inputs.iter().map(|input| input.name().level()).max().unwrap_or(0);
    let facts = SegmentFacts {
        tenant: first.name().tenant().clone(),
        day: first.name().day(),
        level: level.saturating_add(1).min(LEVEL_MAX),
        coverage: None,
    };
    let mut writer = SegmentWriter::new(facts, settings.clone());
    let spill = store.spill()?;
    match &spill {
        Some(spill) => writer.spill_to(Box::new(spill.clone())),
        // About what the inputs take; a little more, because their indexes do not merge as well.
        None => writer.reserve(usize::try_from(stored_bytes + stored_bytes / 16).unwrap_or(0)),
    }
    writer.set_parents(inputs.iter().map(|input| input.name().hash()).collect());
    let mut merge = Merge {
        store,
        inputs,
        writer,
        left_out,
        scratches: left_out.scratches(),
        counts: LeftOutRows::default(),
        stop,
    };
    while merge.next_stream()? {}
    let Merge { writer, counts, .. } = merge;
    let kept = writer.rows();
    let expected = rows - counts.expired - counts.deleted - counts.copies;
    if kept != expected {
        return Err(Error::Rows { expected, found: kept });
    }
    let segment = (kept > 0).then(|| finish(writer, spill)).transpose()?;
    Ok(Merged { segment, raw_bytes, left_out: counts })
}

fn finish(writer: SegmentWriter, spill: Option<SpillFiles>) -> Result<Output, Error> {
    let failed = |error| Error::Segment { name: "to be written".to_owned(), source: error };
    let Some(spill) = spill else {
        return Ok(Output::InMemory(writer.finish().map_err(failed)?));
    };
    let SpilledSegment { name, bytes, .. } = writer.finish_spilled().map_err(failed)?;
    Ok(Output::InFiles { name, bytes, spill })
}

/// When the rows of a segment arrived, relative to others: what was compacted is older, and
/// positions in a write-ahead log ascend.
fn arrival(
    segment: &StoredSegment,
    footer: &SegmentFooter,
) -> (Reverse<u8>, u64, u32, SegmentName) {
    let coverage = footer.facts().coverage.as_ref();
    let (position, part) = coverage.map_or((0, 0), |c| (c.first_position, c.part));
    (Reverse(footer.facts().level), position, part, segment.name.clone())
}

struct Merge<'a> {
    store: &'a Store,
    /// By arrival.
    inputs: Vec<Input>,
    writer: SegmentWriter,
    left_out: &'a LeftOut,
    scratches: Scratches,
    counts: LeftOutRows,
    stop: &'a Stop,
}

/// The rows of a stream in one input, from the next one on.
struct Cursor {
    input: usize,
    ordinal: u32,
    /// The block behind the current one.
    next_block: usize,
    decoded: Arc<Decoded>,
    /// Rows of the current block.
    rows: Range<usize>,
    /// Those of them that are left out, ascending, from the next one on.
    skipped: std::vec::IntoIter<u32>,
    next_skipped: Option<u32>,
}

/// The stream that is being written.
struct Stream<'a> {
    labels: &'a Labels,
    left_out: OfStream,
}

impl Cursor {
    /// Goes on to the next row that is kept.
    fn pass_skipped(&mut self) {
        while self.next_skipped.is_some_and(|row| row as usize == self.rows.start)
            && !self.rows.is_empty()
        {
            self.rows.start += 1;
            self.next_skipped = self.skipped.next();
        }
    }

    /// The time of the next row.
    fn time(&self) -> i64 {
        self.decoded.batch.timestamps[self.rows.start]
    }
}

impl Merge<'_> {
    /// Writes the stream of the least key; `false` when there is none left.
    fn next_stream(&mut self) -> Result<bool, Error> {
        let keys = self.inputs.iter().filter_map(Input::key);
        let Some(key) = keys.min().cloned() else { return Ok(false) };
        let has_key = |input: &Input| input.key() == Some(&key);
        let holders: Vec<(usize, u32)> = self
            .inputs
            .iter()
            .enumerate()
            .filter(|(_, input)| has_key(input))
            .filter_map(|(at, input)| Some((at, input.ordinal()?)))
            .collect();
        if let Some((at, ordinal)) = holders.first() {
            let labels = self.inputs[*at].footer.streams().labels(*ordinal);
            self.write_stream(&labels, &holders)?;
        }
        for (at, _) in holders {
            self.inputs[at].advance();
        }
        Ok(true)
    }

    fn write_stream(&mut self, labels: &Labels, holders: &[(usize, u32)]) -> Result<(), Error> {
        self.writer.add_stream(labels);
        let spans: Vec<(Timestamp, Timestamp)> =
            holders.iter().map(|(at, ordinal)| self.inputs[*at].span(*ordinal)).collect();
        let first = spans.iter().map(|span| span.0).min().unwrap_or_default();
        let last = spans.iter().map(|span| span.1).max().unwrap_or_default();
        let left_out = self.left_out.of_stream(labels, first, last);
        let stream = Stream { labels, left_out };
        let mut copies = Copies::new(spans);
        let mut cursors = Vec::with_capacity(holders.len());
        for (input, ordinal) in holders {
            if let Some(cursor) = self.enter(&stream, *input, *ordinal, 0)? {
                cursors.push(cursor);
            }
        }
        // Of rows of one time, the cursor that stands first comes first.
        while let Some(at) = (0..cursors.len()).min_by_key(|at| cursors[*at].time()) {
            let until = Until::others(&cursors, at);
            if !self.write_run(&stream, &mut cursors[at], until, &mut copies)? {
                cursors.remove(at);
            }
        }
        Ok(())
    }

    /// Goes on to the first block from `block` on that has rows of the stream to be kept.
    fn enter(
        &mut self,
        stream: &Stream<'_>,
        input: usize,
        ordinal: u32,
        mut block: usize,
    ) -> Result<Option<Cursor>, Error> {
        while let Some((at, rows)) = self.inputs[input].rows_from(ordinal, block) {
            if self.stop.is_requested() {
                return Err(Error::Stopping);
            }
            let decoded = self.inputs[input].decode(self.store, at)?;
            let skipped = if stream.left_out.is_nothing() {
                Vec::new()
            } else {
                let run = (stream.labels, rows.clone());
                let (found, counts) =
                    self.left_out.find(&stream.left_out, &decoded.batch, run, &mut self.scratches);
                self.counts += counts;
                found
            };
            block = at + 1;
            if skipped.len() == rows.len() {
                continue;
            }
            let mut skipped = skipped.into_iter();
            let next_skipped = skipped.next();
            let mut cursor =
                Cursor { input, ordinal, next_block: block, decoded, rows, skipped, next_skipped };
            cursor.pass_skipped();
            return Ok(Some(cursor));
        }
        Ok(None)
    }

    /// Writes rows of one cursor as long as they come before those of the others. `false` when the
    /// cursor is at its end.
    fn write_run(
        &mut self,
        stream: &Stream<'_>,
        cursor: &mut Cursor,
        until: Until,
        copies: &mut Copies,
    ) -> Result<bool, Error> {
        loop {
            let decoded = Arc::clone(&cursor.decoded);
            let mut pairs = Vec::new();
            while !cursor.rows.is_empty() {
                let row = cursor.rows.start;
                let at = decoded.batch.timestamps[row];
                if !until.admits(at) {
                    return Ok(true);
                }
                let level = decoded.metadata(row, &mut pairs);
                let line = decoded.batch.lines.row(row);
                let row = Row { timestamp: Timestamp(at), line, level, metadata: &pairs };
                if copies.is_first(&row) {
                    self.writer.add_row(row);
                } else {
                    self.counts.copies += 1;
                }
                cursor.rows.start += 1;
                cursor.pass_skipped();
            }
            match self.enter(stream, cursor.input, cursor.ordinal, cursor.next_block)? {
                Some(next) => *cursor = next,
                None => return Ok(false),
            }
        }
    }
}

/// How far the rows of one cursor come before those of the others.
#[derive(Clone, Copy)]
struct Until {
    time: i64,
    /// Whether rows of that very time do, too.
    admits_equal: bool,
}

impl Until {
    fn others(cursors: &[Cursor], at: usize) -> Self {
        let others = cursors.iter().enumerate().filter(|(other, _)| *other != at);
        let next = others.map(|(other, cursor)| (cursor.time(), other)).min();
        next.map_or(Self { time: i64::MAX, admits_equal: true }, |(time, other)| Self {
            time,
            admits_equal: at < other,
        })
    }

    fn admits(self, at: i64) -> bool {
        at < self.time || (at == self.time && self.admits_equal)
    }
}

/// Tells copies of rows. The rows of one input are distinct, so only rows that lie where the times
/// of two inputs overlap can be copies, and only of rows of the same time.
struct Copies {
    /// First and last time of the overlaps.
    overlap: Option<(i64, i64)>,
    time: i64,
    seen: HashSet<u128>,
}

impl Copies {
    fn new(mut spans: Vec<(Timestamp, Timestamp)>) -> Self {
        spans.sort_unstable();
        let mut overlap: Option<(i64, i64)> = None;
        let mut reach = None;
        for (first, last) in spans {
            if let Some(reach) = reach.filter(|reach| first <= *reach) {
                let end = last.min(reach).0;
                let (from, to) = overlap.unwrap_or((first.0, end));
                overlap = Some((from.min(first.0), to.max(end)));
            }
            reach = reach.max(Some(last));
        }
        Self { overlap, time: i64::MIN, seen: HashSet::new() }
    }

    /// Whether a row is the first of its copies.
    fn is_first(&mut self, row: &Row<'_>) -> bool {
        let at = row.timestamp.0;
        if self.overlap.is_none_or(|(from, to)| at < from || to < at) {
            return true;
        }
        if self.time != at || self.seen.is_empty() {
            self.time = at;
            self.seen.clear();
        }
        self.seen.insert(row_key(row))
    }
}

/// Identifies a row among those of its stream and time. Pairs stand in the order of their names.
fn row_key(row: &Row<'_>) -> u128 {
    let mut hash = Xxh3::new();
    hash.update(&[row.level.map_or(0, model::Level::code)]);
    let texts = row.metadata.iter().flat_map(|(name, value)| [name.as_bytes(), value.as_bytes()]);
    for text in texts {
        hash.update(&(text.len() as u64).to_le_bytes());
        hash.update(text);
    }
    hash.update(row.line);
    hash.digest128()
}

#[cfg(test)]
mod tests;
