//! Reading the rows of a segment, stream by stream.

use std::collections::VecDeque;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use logql::source::Batch;
use model::level::LEVEL_NAME;
use model::{Level, Timestamp};
use segment::{BlockMeta, SegmentName, SortKey, sort_key};
use store::{SegmentFooter, Store, StoredSegment};

use crate::error::Error;

/// Stored bytes of the blocks that are fetched together: few requests to remote storage, and
/// little memory.
const FETCH_BYTES: u64 = 1 << 20;

/// A segment that is being read.
pub(crate) struct Input {
    stored: Arc<StoredSegment>,
    pub(crate) footer: Arc<SegmentFooter>,
    /// The streams in the order in which they are wanted, when that is not the segment's own.
    order: Option<Vec<u32>>,
    /// How many streams have been taken.
    taken: usize,
    /// The stream that is next, and its key.
    next: Option<(u32, SortKey)>,
    /// The block that was decoded last.
    decoded: Option<(usize, Arc<Decoded>)>,
    /// Blocks that were fetched and not decoded yet.
    fetched: VecDeque<(usize, Vec<Bytes>)>,
    sort_labels: Vec<String>,
    /// Where the rows of the last stream were found: streams mostly ascend.
    found: Found,
}

/// A run of a block, and the row with which it begins.
#[derive(Clone, Copy, Default)]
struct Found {
    block: usize,
    run: usize,
    row: usize,
}

/// A decoded block.
pub(crate) struct Decoded {
    pub(crate) batch: Batch,
    /// The column of detected levels, and the level that each of its codes stands for.
    levels: Option<(usize, Vec<Option<Level>>)>,
}

impl Input {
    /// A segment whose streams are wanted in the order of these sort labels.
    pub(crate) fn open(
        stored: Arc<StoredSegment>,
        footer: Arc<SegmentFooter>,
        sort_labels: &[String],
    ) -> Self {
        let order = (footer.settings().sort_labels != sort_labels).then(|| {
            let streams = footer.streams();
            let mut order: Vec<u32> = (0..streams.len() as u32).collect();
            order.sort_by_cached_key(|at| sort_key(&streams.labels(*at), sort_labels));
            order
        });
        let sort_labels = sort_labels.to_vec();
        let (decoded, fetched) = (None, VecDeque::new());
        let (taken, next, found) = (0, None, Found::default());
        let mut input =
            Self { stored, footer, order, taken, next, decoded, fetched, sort_labels, found };
        input.advance();
        input
    }

    pub(crate) fn name(&self) -> &SegmentName {
        &self.stored.name
    }

    /// The key of the next stream; `None` at the end.
    pub(crate) fn key(&self) -> Option<&SortKey> {
        self.next.as_ref().map(|(_, key)| key)
    }

    /// The next stream.
    pub(crate) fn ordinal(&self) -> Option<u32> {
        self.next.as_ref().map(|(ordinal, _)| *ordinal)
    }

    /// Goes on to the stream behind the next.
    pub(crate) fn advance(&mut self) {
        let streams = self.footer.streams();
        let ordinal = match &self.order {
            Some(order) => order.get(self.taken).copied(),
            None => (self.taken < streams.len()).then_some(self.taken as u32),
        };
        self.taken += 1;
        self.next = ordinal.map(|at| (at, sort_key(&streams.labels(at), &self.sort_labels)));
    }

    /// Times of a stream's first and last row.
    pub(crate) fn span(&self, ordinal: u32) -> (Timestamp, Timestamp) {
        let streams = self.footer.streams();
        (streams.first(ordinal), streams.last(ordinal))
    }

    /// The rows of a stream in the first block from `block` on that has any.
    pub(crate) fn rows_from(
        &mut self,
        ordinal: u32,
        block: usize,
    ) -> Option<(usize, Range<usize>)> {
        let blocks = self.footer.blocks();
        let ends_before =
            |meta: &BlockMeta| meta.runs.last().is_none_or(|run| run.stream < ordinal);
        let block = block + blocks.get(block..)?.partition_point(ends_before);
        let runs = &blocks.get(block)?.runs;
        let mut found = self.found;
        if found.block != block || runs.get(found.run).is_none_or(|run| run.stream > ordinal) {
            found = Found { block, run: 0, row: 0 };
        }
        while let Some(run) = runs.get(found.run).filter(|run| run.stream < ordinal) {
            found.row += run.rows as usize;
            found.run += 1;
        }
        self.found = found;
        let run = runs.get(found.run).filter(|run| run.stream == ordinal)?;
        Some((block, found.row..found.row + run.rows as usize))
    }

    /// A block, decoded.
    pub(crate) fn decode(&mut self, store: &Store, index: usize) -> Result<Arc<Decoded>, Error> {
        if let Some((at, decoded)) = &self.decoded
            && *at == index
        {
            return Ok(Arc::clone(decoded));
        }
        // The old block goes before the new one comes.
        self.decoded = None;
        while self.fetched.pop_front_if(|(at, _)| *at < index).is_some() {}
        if self.fetched.front().is_none_or(|(at, _)| *at != index) {
            self.fetch(store, index)?;
        }
        let bytes = self.fetched.pop_front().map(|(_, bytes)| bytes).unwrap_or_default();
        let decoded = Decoded::decode(&self.footer.blocks()[index], &bytes);
        let decoded = Arc::new(decoded.map_err(|error| Error::segment(self.name(), error))?);
        self.decoded = Some((index, Arc::clone(&decoded)));
        Ok(decoded)
    }

    /// Fetches a block and some behind it.
    fn fetch(&mut self, store: &Store, index: usize) -> Result<(), Error> {
        self.fetched.clear();
        let mut ranges = Vec::new();
        let mut counts = Vec::new();
        let mut bytes = 0;
        for meta in &self.footer.blocks()[index..] {
            let own = ranges_of(meta);
            let own_bytes: u64 = own.iter().map(|range| range.end - range.start).sum();
            if !counts.is_empty() && bytes + own_bytes > FETCH_BYTES {
                break;
            }
            bytes += own_bytes;
            counts.push(own.len());
            ranges.extend(own);
        }
        let mut parts = store.read_blocking(&self.stored, &ranges)?.into_iter();
        for (at, count) in (index..).zip(counts) {
            self.fetched.push_back((at, parts.by_ref().take(count).collect()));
        }
        Ok(())
    }
}

/// Timestamps, lengths, lines, and all metadata.
fn ranges_of(meta: &BlockMeta) -> Vec<Range<u64>> {
    let metadata = meta.metadata.iter().map(|column| column.range.clone());
    [&meta.timestamps, &meta.lengths, &meta.lines].into_iter().cloned().chain(metadata).collect()
}

impl Decoded {
    fn decode(meta: &BlockMeta, bytes: &[Bytes]) -> segment::Result<Self> {
        let timestamps = segment::decode_timestamps(meta, &bytes[0])?;
        let lengths = segment::decode_lengths(meta, &bytes[1])?;
        let lines = segment::decode_lines(meta, &timestamps, &lengths, &bytes[2])?;
        let columns = meta.metadata.iter().zip(&bytes[3..]);
        let metadata = columns
            .map(|(column, bytes)| segment::decode_metadata(column, bytes))
            .collect::<segment::Result<Vec<_>>>()?;
        let levels = metadata.iter().position(|column| column.name() == LEVEL_NAME).map(|at| {
            let values = metadata[at].values().iter();
            let known = values.map(Level::from_name);
            (at, [None].into_iter().chain(known).collect())
        });
        let batch = Batch { timestamps, lengths, lines, metadata, ..Batch::default() };
        Ok(Self { batch, levels })
    }

    /// The level of a row, and its other pairs into `pairs` (cleared first).
    pub(crate) fn metadata<'a>(
        &'a self,
        row: usize,
        pairs: &mut Vec<(&'a str, &'a str)>,
    ) -> Option<Level> {
        pairs.clear();
        let mut level = None;
        for (at, column) in self.batch.metadata.iter().enumerate() {
            if let Some((levels_at, known)) = &self.levels
                && *levels_at == at
            {
                let code = column.codes().get(row).copied().unwrap_or(0) as usize;
                level = known.get(code).copied().flatten();
                if level.is_some() {
                    continue;
                }
            }
            if let Some(value) = column.get(row) {
                pairs.push((column.name(), value));
            }
        }
        level
    }
}
