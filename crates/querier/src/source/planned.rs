//! A segment as one selection sees it: the streams, blocks and columns it needs.

use std::ops::Range;
use std::sync::{Arc, OnceLock};

use logql::source::{Batch, Cell, Cells, Selection, SourceError, StreamRun, Want};
use logql::source::{WantLines, WantMetadata};
use model::column_lines::ColumnLines;
use model::columns::Lines;
use model::{Fingerprint, Labels, TimeRange, Timestamp};
use segment::{BlockMeta, LineCodec, MetadataColumn, SegmentCells};
use store::{SegmentFooter, Store, StoredSegment};

use crate::source::label_pool::LabelPool;
use crate::source::origins::Origins;
use crate::source::{damaged, source_error};

/// A segment and the streams that a selection takes from it.
pub(crate) struct PlannedSegment {
    pub(crate) stored: Arc<StoredSegment>,
    pub(crate) footer: Arc<SegmentFooter>,
    /// Number of the origin.
    pub(crate) origin: u64,
    /// The selected streams, ascending; never empty.
    ordinals: Box<[u32]>,
    pool: Arc<LabelPool>,
    /// Counts of the whole segment, read when first needed.
    cells: OnceLock<Result<Option<Arc<SegmentCells>>, SourceError>>,
}

/// The selected rows of one run of a block.
struct SelectedRun {
    /// Index among the block's runs.
    run: usize,
    /// Index among the selected streams.
    stream: usize,
    rows: Range<usize>,
}

/// Runs, and cells by index of the run.
type SelectedCells = (Vec<SelectedRun>, Vec<Cell>);

impl PlannedSegment {
    /// Selects streams; `None` when the segment has none with rows in the range.
    pub(crate) fn new(
        stored: Arc<StoredSegment>,
        footer: Arc<SegmentFooter>,
        origin: u64,
        selection: &Selection,
        pool: &Arc<LabelPool>,
    ) -> Option<Self> {
        let mut ordinals = footer.streams().select_in(&selection.matchers, selection.range);
        if let Some(shard) = selection.shard {
            ordinals.retain(|ordinal| shard.holds(footer.keys()[*ordinal as usize].fingerprint()));
        }
        if ordinals.is_empty() {
            return None;
        }
        let (ordinals, pool) = (ordinals.into_boxed_slice(), Arc::clone(pool));
        Some(Self { stored, footer, origin, ordinals, pool, cells: OnceLock::new() })
    }

    /// Keeps some of the selected streams; `false` when none is left.
    pub(crate) fn retain_streams(&mut self, mut keeps: impl FnMut(u32) -> bool) -> bool {
        if !self.ordinals.iter().all(|ordinal| keeps(*ordinal)) {
            self.ordinals = self.ordinals.iter().copied().filter(|at| keeps(*at)).collect();
        }
        !self.ordinals.is_empty()
    }

    /// The selected streams as ordinals of the segment, ascending.
    pub(crate) fn ordinals(&self) -> &[u32] {
        &self.ordinals
    }

    /// Earliest and latest time of the selected streams.
    pub(crate) fn span(&self) -> (Timestamp, Timestamp) {
        let streams = self.footer.streams();
        if self.ordinals.len() == streams.len() {
            return (self.footer.first(), self.footer.last());
        }
        let first = self.ordinals.iter().map(|ordinal| streams.first(*ordinal)).min();
        let last = self.ordinals.iter().map(|ordinal| streams.last(*ordinal)).max();
        (first.unwrap_or(self.footer.first()), last.unwrap_or(self.footer.last()))
    }

    /// The blocks that hold selected streams, with the earliest and latest time of their rows.
    pub(crate) fn blocks(
        &self,
        range: TimeRange,
    ) -> impl Iterator<Item = (usize, &BlockMeta, Timestamp, Timestamp)> + '_ {
        (0..self.footer.blocks().len()).filter_map(move |index| self.block(range, index))
    }

    /// A block, if it holds selected streams in the range; as [`PlannedSegment::blocks`].
    pub(crate) fn block(
        &self,
        range: TimeRange,
        index: usize,
    ) -> Option<(usize, &BlockMeta, Timestamp, Timestamp)> {
        let block = self.footer.blocks().get(index)?;
        if !range.overlaps(block.first, block.last) {
            return None;
        }
        let (first, last) = self.span_in(block)?;
        // A stream's own times may lie outside those of the block's other rows.
        range.overlaps(first, last).then_some((index, block, first, last))
    }

    /// Bounds of the times of the selected rows in a block; `None` when it has none.
    fn span_in(&self, block: &BlockMeta) -> Option<(Timestamp, Timestamp)> {
        let selected = &self.ordinals[self.streams_of(block)];
        if selected.len() == block.runs.len() {
            return (!selected.is_empty()).then_some((block.first, block.last));
        }
        let streams = self.footer.streams();
        let mut span: Option<(Timestamp, Timestamp)> = None;
        for ordinal in selected {
            if block.runs.binary_search_by_key(ordinal, |run| run.stream).is_err() {
                continue;
            }
            let (first, last) = (streams.first(*ordinal), streams.last(*ordinal));
            let (earliest, latest) = span.unwrap_or((first, last));
            span = Some((earliest.min(first), latest.max(last)));
        }
        let (first, last) = span?;
        Some((first.max(block.first), last.min(block.last))).filter(|(first, last)| first <= last)
    }

    /// Indices of the selected streams between the block's first and last.
    fn streams_of(&self, block: &BlockMeta) -> Range<usize> {
        let (Some(first), Some(last)) = (block.runs.first(), block.runs.last()) else {
            return 0..0;
        };
        let start = self.ordinals.partition_point(|ordinal| *ordinal < first.stream);
        let end = self.ordinals.partition_point(|ordinal| *ordinal <= last.stream);
        start..end
    }

    fn selected_runs(&self, block: &BlockMeta) -> Vec<SelectedRun> {
        let mut streams = self.streams_of(block).peekable();
        let mut selected = Vec::new();
        for (run, (ordinal, rows)) in block.run_rows().enumerate() {
            while streams.next_if(|at| self.ordinals[*at] < ordinal).is_some() {}
            if let Some(stream) = streams.next_if(|at| self.ordinals[*at] == ordinal) {
                selected.push(SelectedRun { run, stream, rows });
            }
        }
        selected
    }

    /// The rows of a block that are selected, by run, with the index of the stream among the
    /// selected ones.
    pub(crate) fn selected_rows(&self, block: usize) -> Vec<(usize, Range<usize>)> {
        let runs = self.footer.blocks().get(block).map(|block| self.selected_runs(block));
        runs.into_iter().flatten().map(|run| (run.stream, run.rows)).collect()
    }

    /// Labels and hash of a selected stream.
    fn labels(&self, stream: usize) -> (Labels, Fingerprint) {
        let ordinal = self.ordinals[stream];
        let key = self.footer.keys()[ordinal as usize];
        let labels = self.pool.labels(key, || self.footer.streams().labels(ordinal));
        (labels, key.fingerprint())
    }

    /// Reads and decodes the wanted columns of a block, in one read.
    pub(crate) fn load(
        &self,
        store: &Store,
        block: usize,
        want: &Want,
        origins: &Origins,
    ) -> Result<Batch, SourceError> {
        let Some(block) = self.footer.blocks().get(block) else { return Ok(Batch::default()) };
        let selected = self.selected_runs(block);
        // Lines behind the last selected run are nobody's concern.
        let rows = selected.last().map_or(0, |run| run.rows.end);
        let columns = Columns { rows, ..Columns::of(block, want) };
        let ranges = columns.ranges();
        let bytes =
            store.read_blocking(&self.stored, &ranges).map_err(|error| source_error(&error))?;
        let mut batch = columns.decode(&bytes).map_err(|error| self.damaged(&error))?;
        batch.compressed_bytes = ranges.iter().map(|range| range.end - range.start).sum();
        batch.runs = selected
            .into_iter()
            .map(|selected| {
                let times = &batch.timestamps[selected.rows.clone()];
                let first = times.first().copied().unwrap_or_default();
                let last = times.last().copied().unwrap_or_default();
                self.run(&selected, (Timestamp(first), Timestamp(last)), origins)
            })
            .collect();
        Ok(batch)
    }

    fn run(
        &self,
        selected: &SelectedRun,
        (first, last): (Timestamp, Timestamp),
        origins: &Origins,
    ) -> StreamRun {
        let (labels, fingerprint) = self.labels(selected.stream);
        let copies = origins.copies(self.origin, fingerprint, first, last);
        StreamRun { labels, fingerprint, rows: selected.rows.clone(), copies }
    }

    /// The counts of a block's selected rows, when the segment keeps them.
    pub(crate) fn cells(
        &self,
        store: &Store,
        block: usize,
        origins: &Origins,
    ) -> Result<Option<Cells>, SourceError> {
        let Some((selected, cells)) = self.selected_cells(store, block)? else { return Ok(None) };
        let block = &self.footer.blocks()[block];
        let streams = self.footer.streams();
        let runs = selected
            .iter()
            .map(|run| {
                let ordinal = self.ordinals[run.stream];
                let first = streams.first(ordinal).max(block.first);
                let last = streams.last(ordinal).min(block.last);
                self.run(run, (first, last), origins)
            })
            .collect();
        Ok(Some(Cells { runs, cells }))
    }

    /// Calls `visit` for each count of a block's selected rows with the index of the stream among
    /// the selected ones. Answers `false`, without a call, when the segment keeps no counts.
    pub(crate) fn visit_cells(
        &self,
        store: &Store,
        block: usize,
        visit: &mut dyn FnMut(usize, &Cell),
    ) -> Result<bool, SourceError> {
        let Some((selected, cells)) = self.selected_cells(store, block)? else { return Ok(false) };
        for cell in &cells {
            visit(selected[cell.run as usize].stream, cell);
        }
        Ok(true)
    }

    /// The counts of a block's selected rows, by index among the selected runs.
    fn selected_cells(
        &self,
        store: &Store,
        block: usize,
    ) -> Result<Option<SelectedCells>, SourceError> {
        let Some(of_segment) = self.segment_cells(store)? else { return Ok(None) };
        let (Some(of_block), Some(block)) =
            (of_segment.block(block), self.footer.blocks().get(block))
        else {
            return Ok(None);
        };
        let selected = self.selected_runs(block);
        let mut cells = Vec::with_capacity(of_block.len());
        if selected.len() == block.runs.len() {
            cells.extend(of_block.map(|cell| own_cell(&cell, cell.run)));
            return Ok(Some((selected, cells)));
        }
        // From the block's runs to the selected ones.
        let mut place = vec![None; block.runs.len()];
        for (at, run) in (0u32..).zip(&selected) {
            place[run.run] = Some(at);
        }
        let place = |cell: &segment::Cell| place.get(cell.run as usize).copied().flatten();
        cells.extend(of_block.filter_map(|cell| Some(own_cell(&cell, place(&cell)?))));
        Ok(Some((selected, cells)))
    }

    fn segment_cells(&self, store: &Store) -> Result<Option<Arc<SegmentCells>>, SourceError> {
        let read = || store.cells_blocking(&self.stored, &self.footer);
        self.cells.get_or_init(|| read().map_err(|error| source_error(&error))).clone()
    }

    fn damaged(&self, error: &segment::FormatError) -> SourceError {
        damaged(&self.stored.name, error)
    }
}

/// A cell of a segment as the engine takes it, counted for a run of the selection.
fn own_cell(cell: &segment::Cell, run: u32) -> Cell {
    let segment::Cell { level, start, end, lines, bytes, .. } = *cell;
    Cell { run, level, start, end, lines, bytes }
}

/// The columns of a block that a batch needs.
struct Columns<'a> {
    block: &'a BlockMeta,
    lines: WantLines,
    metadata: Vec<&'a MetadataColumn>,
    /// How many of the first lines are needed.
    rows: usize,
}

impl<'a> Columns<'a> {
    fn of(block: &'a BlockMeta, want: &Want) -> Self {
        let metadata = match &want.metadata {
            WantMetadata::None => Vec::new(),
            WantMetadata::All => block.metadata.iter().collect(),
            WantMetadata::Names(names) => {
                names.iter().filter_map(|name| block.metadata_named(name)).collect()
            }
        };
        Self { block, lines: want.lines, metadata, rows: block.rows as usize }
    }

    /// Timestamps, lengths, lines, metadata; those not wanted are empty.
    fn ranges(&self) -> Vec<Range<u64>> {
        let block = self.block;
        let (lengths, lines) = match self.lines {
            WantLines::None => (0..0, 0..0),
            // Blocks that keep no lengths have them with their lines.
            WantLines::Lengths if block.lengths.is_empty() => (0..0, block.lines.clone()),
            WantLines::Lengths => (block.lengths.clone(), 0..0),
            WantLines::Columns if block.codec == LineCodec::Columns => (0..0, block.lines.clone()),
            WantLines::Columns | WantLines::Text => (block.lengths.clone(), block.lines.clone()),
        };
        let metadata = self.metadata.iter().map(|column| column.range.clone());
        [block.timestamps.clone(), lengths, lines].into_iter().chain(metadata).collect()
    }

    /// Decodes what was read for [`Columns::ranges`].
    fn decode(&self, bytes: &[bytes::Bytes]) -> segment::Result<Batch> {
        let block = self.block;
        let timestamps = segment::decode_timestamps(block, &bytes[0])?;
        let metadata = self
            .metadata
            .iter()
            .zip(&bytes[3..])
            .map(|(column, bytes)| segment::decode_metadata(column, bytes))
            .collect::<segment::Result<_>>()?;
        if self.lines == WantLines::Columns
            && let Some(columns) = segment::open_columns(block, &bytes[2])?
        {
            let columns: Option<Arc<dyn ColumnLines>> = Some(Arc::new(columns));
            return Ok(Batch { timestamps, columns, metadata, ..Batch::default() });
        }
        let mut lengths = match self.lines {
            WantLines::None => Vec::new(),
            WantLines::Lengths if block.lengths.is_empty() => {
                segment::decode_line_lengths(block, &bytes[2])?
            }
            WantLines::Lengths | WantLines::Columns | WantLines::Text => {
                segment::decode_lengths(block, &bytes[1])?
            }
        };
        let lines = match self.lines {
            WantLines::Columns | WantLines::Text => {
                segment::decode_first_lines(block, &timestamps, &lengths, &bytes[2], self.rows)?
            }
            WantLines::None | WantLines::Lengths => Lines::default(),
        };
        if lengths.is_empty() {
            lengths.extend((0..lines.len()).map(|row| lines.row_len(row) as u32));
        }
        Ok(Batch { timestamps, lengths, lines, metadata, ..Batch::default() })
    }
}
