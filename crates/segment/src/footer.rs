//! The footer: everything about a segment except its rows.
//!
//! The end of an object is `STREAMS, INDEX DIRECTORY, BLOCKS, footer, tail`, so one read of the last bytes opens it.
//! The tail has a fixed size and tells how long the rest is; the footer lists the sections and the
//! segment's facts.

pub(crate) mod directory;
pub(crate) mod record;
pub(crate) mod tail;

use std::borrow::Cow;
use std::ops::Range;

use model::{TenantId, TimeRange, Timestamp};

use crate::block::{self, BlockMeta};
use crate::encoding::cursor::Cursor;
use crate::error::{FormatError, Result};
use crate::facts::SegmentFacts;
use crate::index::directory::IndexDirectory;
use crate::name::{NameFacts, SegmentName};
use crate::settings::EncodeSettings;
use crate::stream_table::{self, StreamTable};

use directory::{Directory, Section, SectionType};
use record::FactsRecord;
use tail::{TAIL_BYTES, Tail};

/// Bytes of the header at the beginning of an object.
pub(crate) const HEADER_BYTES: u64 = 32;

/// A decoded footer: facts, streams and blocks of one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Footer {
    record: FactsRecord,
    directory: Directory,
    streams: StreamTable,
    blocks: Vec<BlockMeta>,
    index: Option<IndexDirectory>,
    open_len: u64,
    physical_id: u64,
}

impl Footer {
    /// Decodes the footer from the last bytes of an object of `file_len` bytes.
    ///
    /// # Errors
    ///
    /// [`FormatError::NeedMore`] when `tail` is too short: read that many last bytes and try again
    /// (the name's [`crate::SegmentName::footer_len`] avoids that). Any other error: the segment is
    /// damaged or newer than this reader.
    pub fn decode(tail: &[u8], file_len: u64) -> Result<Self> {
        let end = Tail::decode(tail, file_len)?;
        if (tail.len() as u64) < end.open_len {
            return Err(FormatError::NeedMore { bytes: end.open_len });
        }
        let footer_end = tail.len() - TAIL_BYTES;
        let footer_start = footer_end - end.footer_len as usize;
        let bytes = end.check(&tail[footer_start..footer_end])?;
        let mut cursor = Cursor::new(bytes, "footer");
        let directory = Directory::decode(&mut cursor)?;
        let record = FactsRecord::decode(cursor)?;
        let window = Window { bytes: tail, start: file_len - tail.len() as u64 };
        let footer_at = file_len - (tail.len() - footer_start) as u64;
        directory.check_layout(footer_at, file_len - end.open_len)?;
        let streams = window.section(directory.required(SectionType::Streams)?)?;
        let streams = stream_table::codec::decode(&streams)?;
        let blocks = window.section(directory.required(SectionType::Blocks)?)?;
        let (blocks, regions_end) = block::index::decode(&blocks, streams.len(), HEADER_BYTES)?;
        if Some(regions_end) != directory.start() {
            return Err(FormatError::Corrupt("regions do not end where sections begin"));
        }
        let mut footer = Self {
            record,
            directory,
            streams,
            blocks,
            index: None,
            open_len: end.open_len,
            physical_id: end.physical_id,
        };
        footer.check_totals()?;
        footer.index = footer.decode_index(&window)?;
        Ok(footer)
    }

    fn decode_index(&self, window: &Window<'_>) -> Result<Option<IndexDirectory>> {
        let find = |section| self.directory.find(section);
        let sections = find(SectionType::IndexDirectory).zip(find(SectionType::TokenIndex));
        let Some((directory, pages)) = sections else { return Ok(None) };
        let Range { start, end } = pages.range();
        let directory = window.section(directory)?;
        IndexDirectory::decode(&directory, self.blocks.len(), end - start).map(Some)
    }

    /// Checks that the blocks add up to what the facts say.
    fn check_totals(&self) -> Result<()> {
        let record = &self.record;
        let rows: u64 = self.blocks.iter().map(|block| u64::from(block.rows)).sum();
        // At most 2^20 blocks of at most 2^26 bytes.
        let raw_bytes: u64 = self.blocks.iter().map(|block| block.raw_bytes).sum();
        let first = self.blocks.iter().map(|block| block.first).min();
        let last = self.blocks.iter().map(|block| block.last).max();
        let counted = (rows, raw_bytes, first, last, self.streams.len() as u64);
        let stated =
            (record.rows, record.raw_bytes, Some(record.first), Some(record.last), record.streams);
        if counted == stated { Ok(()) } else { Err(FormatError::Corrupt("totals do not add up")) }
    }

    /// What the builder knew.
    #[must_use]
    pub fn facts(&self) -> &SegmentFacts {
        &self.record.facts
    }

    /// Whose rows.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.record.facts.tenant
    }

    /// The name under which this segment belongs; another name means a misplaced object.
    #[must_use]
    pub fn name(&self) -> SegmentName {
        SegmentName::new(NameFacts {
            tenant: self.record.facts.tenant.clone(),
            day: self.record.facts.day,
            class: self.record.class,
            level: self.record.facts.level,
            first: self.record.first,
            last: self.record.last,
            rows: self.record.rows,
            hash: self.record.hash,
            footer_len: self.open_len,
        })
    }

    /// Time of the earliest row.
    #[must_use]
    pub fn first(&self) -> Timestamp {
        self.record.first
    }

    /// Time of the latest row.
    #[must_use]
    pub fn last(&self) -> Timestamp {
        self.record.last
    }

    /// Whether some row may lie in the range.
    #[must_use]
    pub fn overlaps(&self, range: TimeRange) -> bool {
        range.overlaps(self.first(), self.last())
    }

    /// How many rows the segment holds.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.record.rows
    }

    /// Bytes of all lines.
    #[must_use]
    pub fn raw_bytes(&self) -> u64 {
        self.record.raw_bytes
    }

    /// The hashes in the names of the segments whose rows this one took over; ascending.
    #[must_use]
    pub fn parents(&self) -> &[u128] {
        &self.record.parents
    }

    /// How the segment was encoded.
    #[must_use]
    pub fn settings(&self) -> &EncodeSettings {
        &self.record.settings
    }

    /// A hash of the footer's bytes; readers that cache parts of an object may pin it.
    #[must_use]
    pub fn physical_id(&self) -> u64 {
        self.physical_id
    }

    /// The streams.
    #[must_use]
    pub fn streams(&self) -> &StreamTable {
        &self.streams
    }

    /// The blocks, in row order.
    #[must_use]
    pub fn blocks(&self) -> &[BlockMeta] {
        &self.blocks
    }

    /// Where [`crate::decode_cells`] finds its bytes; `None` when the segment keeps no cells.
    #[must_use]
    pub fn cells(&self) -> Option<Range<u64>> {
        self.directory.find(SectionType::Cells).map(Section::range)
    }

    /// The decompressed section of cells, given its stored bytes.
    pub(crate) fn cells_payload<'a>(&self, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>> {
        self.directory.required(SectionType::Cells)?.open(bytes)
    }

    /// Where [`crate::decode_digests`] finds its bytes; `None` when the segment keeps no digests.
    #[must_use]
    pub fn digests(&self) -> Option<Range<u64>> {
        self.directory.find(SectionType::Digest).map(Section::range)
    }

    /// The decompressed section of digests, given its stored bytes.
    pub(crate) fn digests_payload<'a>(&self, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>> {
        self.directory.required(SectionType::Digest)?.open(bytes)
    }

    /// The directory of the token index, and where its pages are.
    pub(crate) fn token_index(&self) -> Option<(&IndexDirectory, Range<u64>)> {
        let pages = self.directory.find(SectionType::TokenIndex).map(Section::range);
        self.index.as_ref().zip(pages)
    }

    /// The sections of the segment, in file order.
    pub(crate) fn sections(&self) -> &[Section] {
        self.directory.sections()
    }

    /// About how much memory the footer takes, for caches.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        let blocks: usize = self
            .blocks
            .iter()
            .map(|block| {
                size_of::<BlockMeta>()
                    + size_of_val(&*block.runs)
                    + size_of_val(&*block.metadata)
                    + 32
            })
            .sum();
        let index = self.index.as_ref().map_or(0, IndexDirectory::memory_bytes);
        size_of::<Self>() + 256 + blocks + self.streams.memory_bytes() + index
    }
}

/// The end of an object, by offsets into the object.
struct Window<'a> {
    bytes: &'a [u8],
    start: u64,
}

impl<'a> Window<'a> {
    fn section(&self, section: &Section) -> Result<Cow<'a, [u8]>> {
        let Range { start, end } = section.range();
        let place = |at: u64| at.checked_sub(self.start).map(|at| at as usize);
        let bytes = place(start).zip(place(end)).and_then(|(from, to)| self.bytes.get(from..to));
        section.open(bytes.ok_or(FormatError::Corrupt("a section outside the object's end"))?)
    }
}
