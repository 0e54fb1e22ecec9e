//! The rows of the block that is being filled.

use model::columns::LINE_SEPARATOR;
use model::level::LEVEL_NAME;
use model::{Level, Timestamp};

use crate::block::{BlockRun, LineCodec};
use crate::column::metadata_builder::{ColumnBuilder, MetadataBuilder};
use crate::column::{self, lengths, timestamps};
use crate::encoding::frame::FrameEncoder;
use crate::error::Result;
use crate::shapes::{BlockLines, ColumnsEncoder, Masks, Proof};

use super::Row;

/// Bit of a level set: some row has a `detected_level` that is no known level.
const OTHER_LEVEL: u16 = 1 << 9;

/// Rows, column by column. Its buffers are reused from block to block.
#[derive(Default)]
pub(super) struct BlockBuilder {
    text: Vec<u8>,
    lengths: Vec<u32>,
    timestamps: Vec<i64>,
    levels: Vec<u8>,
    runs: Vec<BlockRun>,
    metadata: MetadataBuilder,
    /// Rows whose metadata names a level that is none: rare, so kept aside.
    other_levels: Vec<(u32, Box<str>)>,
    raw_bytes: u64,
    payload: Vec<u8>,
    times: timestamps::Scratch,
    numbers: lengths::Scratch,
    columns: ColumnsEncoder,
    proof: Proof,
}

impl BlockBuilder {
    /// Makes room for so many line bytes, so that a block's text is not moved while it grows.
    pub(super) fn reserve(&mut self, line_bytes: usize) {
        self.text.reserve(line_bytes);
    }

    pub(super) fn rows(&self) -> usize {
        self.lengths.len()
    }

    pub(super) fn raw_bytes(&self) -> u64 {
        self.raw_bytes
    }

    pub(super) fn metadata_bytes(&self) -> usize {
        self.metadata.text_bytes()
    }

    /// Bytes of every line.
    pub(super) fn lengths(&self) -> &[u32] {
        &self.lengths
    }

    /// The lines with their separators.
    pub(super) fn text(&self) -> &[u8] {
        &self.text
    }

    /// Where the words of the text stand, when encoding the lines has found out.
    pub(super) fn masks(&self) -> Option<&Masks> {
        self.columns.masks()
    }

    /// The columns of metadata, without the level.
    pub(super) fn metadata_columns(&self) -> Vec<&ColumnBuilder> {
        self.metadata.filled()
    }

    pub(super) fn has_other_levels(&self) -> bool {
        !self.other_levels.is_empty()
    }

    /// Counts the next row for a stream; answers the run if it begins one.
    #[inline]
    pub(super) fn begin_row(&mut self, stream: u32) -> Option<u32> {
        match self.runs.last_mut() {
            Some(run) if run.stream == stream => {
                run.rows += 1;
                None
            }
            _ => {
                self.runs.push(BlockRun { stream, rows: 1 });
                Some(self.runs.len() as u32 - 1)
            }
        }
    }

    /// Copies a row; answers its level code.
    #[inline]
    pub(super) fn add_row(&mut self, row: &Row<'_>) -> u8 {
        let mut level = row.level.map_or(0, Level::code);
        if !row.metadata.is_empty() {
            level = self.add_metadata(row, level);
        }
        self.text.extend_from_slice(row.line);
        self.text.push(LINE_SEPARATOR);
        self.lengths.push(row.line.len() as u32);
        self.raw_bytes += row.line.len() as u64;
        let Timestamp(at) = row.timestamp;
        self.timestamps.push(at);
        self.levels.push(level);
        level
    }

    fn add_metadata(&mut self, row: &Row<'_>, level: u8) -> u8 {
        let index = self.lengths.len() as u32;
        self.metadata.add_row(index, row.metadata);
        match row.metadata.iter().rfind(|(name, _)| *name == LEVEL_NAME) {
            None => level,
            Some((_, text)) => match Level::from_name(text) {
                Some(level) => level.code(),
                None => {
                    self.other_levels.push((index, (*text).into()));
                    0
                }
            },
        }
    }

    /// Times of the earliest and latest row.
    pub(super) fn bounds(&self) -> (i64, i64) {
        let mut start = 0;
        let (mut first, mut last) = (i64::MAX, i64::MIN);
        for run in &self.runs {
            let end = start + run.rows as usize;
            // Rows of a run ascend: its ends are its bounds.
            first = first.min(self.timestamps[start]);
            last = last.max(self.timestamps[end - 1]);
            start = end;
        }
        (first, last)
    }

    /// The set of levels for the index, given the codes that were counted.
    pub(super) fn level_set(&self, counted: u16) -> u16 {
        if self.has_other_levels() { counted | OTHER_LEVEL } else { counted }
    }

    pub(super) fn encode_timestamps(&mut self, out: &mut Vec<u8>) {
        timestamps::encode(&self.timestamps, &self.runs, &mut self.times, out);
    }

    pub(super) fn encode_lengths(
        &mut self,
        encoder: &mut FrameEncoder,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        lengths::encode(&self.lengths, &mut self.numbers, encoder, out)
    }

    /// Appends the lines, as the codec wanted or, where that does not gain, plain.
    ///
    /// Columns are kept only after they were read back and made these lines: nobody may ever find out
    /// from a stored segment that an encoder was wrong about some line.
    pub(super) fn encode_lines(
        &mut self,
        wanted: LineCodec,
        encoder: &mut FrameEncoder,
        out: &mut Vec<u8>,
    ) -> Result<LineCodec> {
        let Self { columns, proof, text, lengths, timestamps, .. } = self;
        let (start, lines) = (out.len(), BlockLines { text, lengths, timestamps });
        if wanted == LineCodec::Columns && columns.encode(lines, encoder, out)? {
            let reads_back = proof.holds(lines, &out[start..]);
            debug_assert!(reads_back, "columns do not make these lines");
            if reads_back {
                return Ok(LineCodec::Columns);
            }
            out.truncate(start);
        }
        encoder.append(text, out)?;
        Ok(LineCodec::Zstd)
    }

    /// Hands over the payload of every metadata column, by name.
    pub(super) fn encode_metadata(
        &mut self,
        levels: u16,
        encoder: &mut FrameEncoder,
        take: &mut dyn FnMut(&str, &[u8]),
    ) -> Result<()> {
        let rows = self.rows();
        let mut payload = std::mem::take(&mut self.payload);
        let level_column = self.other_level_column();
        // No level at all needs no column.
        let mut level_is_due = levels != 1;
        for column in self.metadata.filled() {
            if level_is_due && column.name() > LEVEL_NAME {
                level_is_due = false;
                self.encode_levels(level_column.as_ref(), levels, encoder, &mut payload)?;
                take(LEVEL_NAME, &payload);
            }
            payload.clear();
            column.encode(rows, encoder, &mut payload)?;
            take(column.name(), &payload);
        }
        if level_is_due {
            self.encode_levels(level_column.as_ref(), levels, encoder, &mut payload)?;
            take(LEVEL_NAME, &payload);
        }
        self.payload = payload;
        Ok(())
    }

    fn encode_levels(
        &self,
        texts: Option<&ColumnBuilder>,
        levels: u16,
        encoder: &mut FrameEncoder,
        payload: &mut Vec<u8>,
    ) -> Result<()> {
        payload.clear();
        if let Some(column) = texts {
            return column.encode(self.rows(), encoder, payload);
        }
        payload.push(column::metadata::LEVELS);
        column::levels::encode(&self.levels, levels, encoder, payload)
    }

    /// The levels of all rows as texts, if some are no known level.
    fn other_level_column(&self) -> Option<ColumnBuilder> {
        if self.other_levels.is_empty() {
            return None;
        }
        let mut column = ColumnBuilder::new(LEVEL_NAME);
        let mut others = self.other_levels.iter().peekable();
        for (row, level) in (0..).zip(&self.levels) {
            if let Some((_, text)) = others.next_if(|(other, _)| *other == row) {
                column.add(row, text);
            } else if let Some(level) = Level::from_code(*level) {
                column.add(row, level.as_str());
            }
        }
        Some(column)
    }

    pub(super) fn runs(&self) -> &[BlockRun] {
        &self.runs
    }

    /// The runs, which the block index keeps.
    pub(super) fn take_runs(&mut self) -> Vec<BlockRun> {
        std::mem::take(&mut self.runs)
    }

    /// Forgets all rows.
    pub(super) fn clear(&mut self) {
        self.text.clear();
        self.lengths.clear();
        self.timestamps.clear();
        self.levels.clear();
        self.runs.clear();
        self.metadata.clear();
        self.other_levels.clear();
        self.raw_bytes = 0;
    }
}
