//! The writer: rows in, one object out.

mod block_builder;
mod object;
mod regions;
mod spill;

use std::mem;

use bytes::Bytes;
use hashbrown::HashMap;
use model::{Labels, Level, Timestamp};
use xxhash_rust::xxh3::Xxh3;

use crate::block::LineCodec;
use crate::block::index::BlockRecord;
use crate::cells::CellBuilder;
use crate::digest::DigestBuilder;
use crate::encoding::checksum::{ChunkKind, seal};
use crate::encoding::frame::FrameEncoder;
use crate::error::{FormatError, Result};
use crate::facts::SegmentFacts;
use crate::footer::Footer;
use crate::index::builder::IndexBuilder;
use crate::limits::{BLOCK_BYTES_MAX, BLOCK_ROWS_MAX, BLOCKS_MAX, LINE_BYTES_MAX};
use crate::limits::{METADATA_BYTES_CLOSE, METADATA_BYTES_MAX};
use crate::name::SegmentName;
use crate::settings::{EncodeSettings, IndexPolicy};
use crate::sort_key::{SortKey, sort_key};
use crate::stream_table::codec::StreamTableBuilder;

use block_builder::BlockBuilder;
use regions::Regions;

/// Room for more line bytes than these is made when they come.
const RESERVED_BYTES_MAX: u32 = 4 << 20;
/// A block that has this part of its bytes, or so many, ends where the first value of the sort key
/// changes.
const GROUP_PART: u64 = 4;
const GROUP_BYTES: u64 = 512 << 10;

/// Lengths that are added to the hash of the name at once.
const HASHED_TOGETHER: usize = 256;

pub use spill::{Region, Spill, SpilledSegment};

/// One row on its way into a segment.
#[derive(Debug, Clone, Copy)]
pub struct Row<'a> {
    /// When it happened.
    pub timestamp: Timestamp,
    /// The text; at most [`crate::limits::LINE_BYTES_MAX`].
    pub line: &'a [u8],
    /// The detected level.
    pub level: Option<Level>,
    /// Structured metadata; of equal names the last counts. A pair named `detected_level` counts
    /// instead of `level`.
    pub metadata: &'a [(&'a str, &'a str)],
}

/// A finished segment, ready to be uploaded under its name.
#[derive(Debug, Clone)]
pub struct EncodedSegment {
    /// Where it belongs.
    pub name: SegmentName,
    /// The whole object.
    pub bytes: Bytes,
    /// What [`Footer::decode`] reads from it.
    pub footer: Footer,
}

/// Builds one segment, in memory or, with [`SegmentWriter::spill_to`], outside it.
///
/// Add a stream, then its rows by time (rows of equal time in arrival order), then the next stream
/// in [`crate::sort_key()`] order. Mistakes are remembered and answered by
/// [`SegmentWriter::finish`], so that adding a row stays cheap.
pub struct SegmentWriter {
    facts: SegmentFacts,
    settings: EncodeSettings,
    parents: Vec<u128>,
    encoder: Option<FrameEncoder>,
    block: BlockBuilder,
    cells: CellBuilder,
    digests: Option<DigestBuilder>,
    index: Option<IndexBuilder>,
    streams: StreamTableBuilder,
    /// A stream that was begun and has no row yet.
    pending: Option<Labels>,
    /// Whether the first value of the sort key changed since the last row.
    is_apart: bool,
    last_key: Option<SortKey>,
    regions: Regions,
    records: Vec<BlockRecord>,
    /// Metadata names by appearance.
    names: HashMap<Box<str>, u32>,
    /// What a stream or block adds to the name's hash.
    hash: Box<Xxh3>,
    rows: u64,
    raw_bytes: u64,
    /// The first mistake.
    fault: Option<FormatError>,
}

impl SegmentWriter {
    /// An empty segment. Settings out of the format's bounds become the nearest possible.
    #[must_use]
    pub fn new(facts: SegmentFacts, settings: EncodeSettings) -> Self {
        let settings = EncodeSettings {
            block_bytes: settings.block_bytes.clamp(1, BLOCK_BYTES_MAX as u32),
            block_rows: settings.block_rows.clamp(1, BLOCK_ROWS_MAX as u32),
            ..settings
        };
        let encoder = FrameEncoder::new(settings.zstd_level);
        let mut hash = Box::new(Xxh3::new());
        object::hash_facts(&facts, &settings, &mut hash);
        let index = (settings.index == IndexPolicy::Tokens).then(IndexBuilder::new);
        let mut block = BlockBuilder::default();
        block.reserve(settings.block_bytes.min(RESERVED_BYTES_MAX) as usize);
        Self {
            facts,
            settings,
            parents: Vec::new(),
            fault: encoder.as_ref().err().cloned(),
            encoder: encoder.ok(),
            block,
            cells: CellBuilder::new(),
            digests: None,
            index,
            streams: StreamTableBuilder::default(),
            pending: None,
            is_apart: false,
            last_key: None,
            regions: Regions::begin(),
            records: Vec::new(),
            names: HashMap::new(),
            hash,
            rows: 0,
            raw_bytes: 0,
        }
    }

    /// Names the segments whose rows this one takes over, by the hashes in their names.
    pub fn set_parents(&mut self, mut parents: Vec<u128>) {
        parents.sort_unstable();
        parents.dedup();
        self.parents = parents;
    }

    /// Keeps digests in cells of about so many seconds; see [`crate::DIGEST_SECONDS`]. To be called
    /// before the first stream.
    pub fn keep_digests(&mut self, seconds: u32) {
        self.digests = Some(DigestBuilder::new(seconds));
    }

    /// Begins the rows of a stream. A stream without rows leaves no trace.
    pub fn add_stream(&mut self, labels: &Labels) {
        let key = sort_key(labels, &self.settings.sort_labels);
        if self.last_key.as_ref().is_some_and(|last| *last >= key) {
            self.fail(FormatError::Order("streams do not ascend by sort key"));
        }
        let last = self.last_key.as_ref();
        self.is_apart |= last.is_some_and(|last| last.first_value() != key.first_value());
        self.last_key = Some(key);
        self.pending = Some(labels.clone());
    }

    /// Adds the next row of the current stream.
    pub fn add_row(&mut self, row: Row<'_>) {
        if let Err(fault) = self.try_add_row(&row) {
            self.fail(fault);
        }
    }

    /// How many rows were added.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// How many line bytes were added.
    #[must_use]
    pub fn raw_bytes(&self) -> u64 {
        self.raw_bytes
    }

    /// About how many bytes the object would have if it ended now; open blocks count raw.
    #[must_use]
    pub fn encoded_bytes(&self) -> u64 {
        self.regions.bytes() + self.block.raw_bytes()
    }

    /// Closes the segment.
    ///
    /// # Errors
    ///
    /// [`FormatError::Order`] or [`FormatError::TooLarge`] when something was added that does not
    /// fit; nothing can be kept of such a segment. A segment without rows is an order mistake too.
    pub fn finish(mut self) -> Result<EncodedSegment> {
        if self.regions.spills() {
            return Err(FormatError::Order("a segment that was spilled is not in memory"));
        }
        self.close()?;
        let object::Assembled { rest, footer, .. } = object::assemble(self)?;
        Ok(EncodedSegment { name: footer.name(), bytes: rest.into(), footer })
    }

    /// Closes the last block, if nothing went wrong so far.
    fn close(&mut self) -> Result<()> {
        if let Some(fault) = self.fault.take() {
            return Err(fault);
        }
        if self.rows == 0 {
            return Err(FormatError::Order("a segment without rows"));
        }
        self.close_block()
    }

    fn fail(&mut self, fault: FormatError) {
        self.fault.get_or_insert(fault);
    }

    fn try_add_row(&mut self, row: &Row<'_>) -> Result<()> {
        if self.fault.is_some() {
            return Ok(());
        }
        let metadata_bytes = metadata_bytes(row)?;
        let Row { timestamp: Timestamp(at), line, .. } = *row;
        if let Some(labels) = self.pending.take() {
            self.begin_stream(&labels, at)?;
        }
        // Who asks about one program should not have to read the lines of its neighbours.
        let enough = (u64::from(self.settings.block_bytes) / GROUP_PART).min(GROUP_BYTES);
        let is_apart = mem::take(&mut self.is_apart) && self.block.raw_bytes() >= enough;
        let is_full = self.block.rows() > 0
            && (is_apart
                || self.block.raw_bytes() + line.len() as u64
                    > u64::from(self.settings.block_bytes)
                || self.block.rows() >= self.settings.block_rows as usize
                || self.block.metadata_bytes() + metadata_bytes > METADATA_BYTES_CLOSE);
        if is_full {
            self.close_block()?;
        }
        let ordinal = (self.streams.len() as u32).wrapping_sub(1);
        let Some(stream) = self.streams.current() else {
            return Err(FormatError::Order("a row before any stream"));
        };
        if stream.last > at {
            return Err(FormatError::Order("the rows of a stream do not ascend by time"));
        }
        stream.last = at;
        stream.rows += 1;
        stream.bytes += line.len() as u64;
        if let Some(run) = self.block.begin_row(ordinal) {
            self.cells.begin_run(run);
        }
        let level = self.block.add_row(row);
        self.cells.add(at, level, line.len() as u32);
        if let Some(digests) = &mut self.digests {
            digests.add(ordinal, row);
        }
        self.rows += 1;
        self.raw_bytes += line.len() as u64;
        Ok(())
    }

    fn begin_stream(&mut self, labels: &Labels, first: i64) -> Result<()> {
        self.streams.add(labels, first);
        if let Some(digests) = &mut self.digests {
            digests.begin_stream(labels.iter());
        }
        // The sort key ends with the canonical text: it stands for the labels.
        let key = self.last_key.as_ref().map_or(&[][..], SortKey::as_bytes);
        self.hash.update(&(key.len() as u64).to_le_bytes());
        self.hash.update(key);
        if self.streams.is_too_large() {
            return Err(FormatError::TooLarge("streams or their labels"));
        }
        Ok(())
    }

    /// Encodes the rows gathered so far; there is at least one.
    fn close_block(&mut self) -> Result<()> {
        if self.records.len() >= BLOCKS_MAX {
            return Err(FormatError::TooLarge("blocks"));
        }
        let Some(encoder) = &mut self.encoder else { return Ok(()) };
        let Regions { object: lines, metadata, lengths, timestamps, .. } = &mut self.regions;
        let ordinal = self.records.len() as u32;
        let block = &mut self.block;
        let starts = (timestamps.len(), lengths.len(), lines.len(), metadata.len());

        block.encode_timestamps(timestamps);
        seal(ChunkKind::Timestamps, ordinal, timestamps, starts.0);
        let codec = block.encode_lines(self.settings.line_codec, encoder, lines)?;
        seal(ChunkKind::Lines, ordinal, lines, starts.2);
        // Columns tell the lengths themselves.
        if codec == LineCodec::Zstd {
            block.encode_lengths(encoder, lengths)?;
            seal(ChunkKind::Lengths, ordinal, lengths, starts.1);
        }
        if block.has_other_levels() {
            self.cells.void_block();
        }
        let levels = block.level_set(self.cells.close_block());
        let mut columns = Vec::new();
        block.encode_metadata(levels, encoder, &mut |name, payload| {
            let start = metadata.len();
            metadata.extend_from_slice(payload);
            seal(ChunkKind::Metadata(name), ordinal, metadata, start);
            let next = self.names.len() as u32;
            let number = self.names.get(name).copied().unwrap_or_else(|| {
                self.names.insert(name.into(), next);
                next
            });
            columns.push((number, (metadata.len() - start) as u64));
        })?;

        if let Some(index) = &mut self.index {
            let encoded = lines.len() - starts.2 + metadata.len() - starts.3;
            let text = (block.text(), block.masks());
            index.add_block(text, &block.metadata_columns(), encoded);
        }
        // The chunks before compression stand for the rows: equal rows make equal chunks. A chunk
        // of metadata may be compressed already; its library's version is part of the hash.
        for part in
            [&timestamps[starts.0..], &lengths[starts.1..], &metadata[starts.3..], block.text()]
        {
            self.hash.update(&(part.len() as u64).to_le_bytes());
            self.hash.update(part);
        }
        for lengths in block.lengths().chunks(HASHED_TOGETHER) {
            let mut bytes = [[0; 4]; HASHED_TOGETHER];
            bytes.iter_mut().zip(lengths).for_each(|(four, length)| *four = length.to_le_bytes());
            self.hash.update(bytes[..lengths.len()].as_flattened());
        }
        block.runs().iter().for_each(|run| self.hash.update(&run.rows.to_le_bytes()));
        let (first, last) = block.bounds();
        self.records.push(BlockRecord {
            rows: block.rows() as u32,
            raw_bytes: block.raw_bytes(),
            first,
            last,
            levels,
            codec,
            runs: block.take_runs(),
            chunks: [
                (timestamps.len() - starts.0) as u64,
                (lengths.len() - starts.1) as u64,
                (lines.len() - starts.2) as u64,
            ],
            metadata: columns,
        });
        block.clear();
        self.regions.spill_what_is_large()
    }
}

/// Bytes of a row's metadata, when the row fits the format.
fn metadata_bytes(row: &Row<'_>) -> Result<usize> {
    if row.line.len() > LINE_BYTES_MAX {
        return Err(FormatError::TooLarge("a line"));
    }
    let bytes = row.metadata.iter().map(|(name, value)| name.len() + value.len()).sum();
    if bytes > METADATA_BYTES_MAX - METADATA_BYTES_CLOSE {
        return Err(FormatError::TooLarge("the structured metadata of a row"));
    }
    Ok(bytes)
}
