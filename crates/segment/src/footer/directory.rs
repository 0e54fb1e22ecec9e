//! The section directory: what stands between the regions and the footer.

use std::borrow::Cow;
use std::ops::Range;

use xxhash_rust::xxh3::xxh3_64;

use crate::encoding::cursor::{Cursor, put_varint};
use crate::encoding::frame::{FrameEncoder, decode_frame};
use crate::error::{FormatError, Result};
use crate::limits::SECTION_BYTES_MAX;

/// Set for sections without which a segment cannot be read.
const REQUIRED: u16 = 1;
/// The section's bytes are the payload.
const CODEC_NONE: u8 = 0;
/// The section's bytes are one zstd frame of the payload.
const CODEC_ZSTD: u8 = 1;

/// The sections this reader knows of.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
#[repr(u16)]
pub(crate) enum SectionType {
    /// Pages of postings of the token index.
    TokenIndex = 1,
    /// Counts and sums that replicas compare.
    Digest = 2,
    /// Counts that stand for rows.
    Cells = 3,
    /// The streams.
    Streams = 4,
    /// The blocks.
    Blocks = 5,
    /// Where the pages of the token index are.
    IndexDirectory = 6,
}

impl SectionType {
    /// The newest version of the section that this reader understands.
    fn version(self) -> u16 {
        match self {
            Self::TokenIndex | Self::Digest | Self::Cells | Self::Streams | Self::Blocks => 1,
            Self::IndexDirectory => 2,
        }
    }

    fn is_required(self) -> bool {
        matches!(self, Self::Streams | Self::Blocks)
    }

    fn name(self) -> &'static str {
        match self {
            Self::TokenIndex => "token index",
            Self::Digest => "digest",
            Self::Cells => "cells",
            Self::Streams => "stream table",
            Self::Blocks => "block index",
            Self::IndexDirectory => "index directory",
        }
    }

    fn from_code(code: u16) -> Option<Self> {
        use SectionType::{Blocks, Cells, Digest, IndexDirectory, Streams, TokenIndex};
        [TokenIndex, Digest, Cells, Streams, Blocks, IndexDirectory]
            .into_iter()
            .find(|section| *section as u16 == code)
    }
}

/// One section: where it is and how to read it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct Section {
    code: u16,
    flags: u16,
    version: u16,
    codec: u8,
    offset: u64,
    len: u64,
    raw_len: u64,
    sum: u64,
}

impl Section {
    /// Appends a payload to the object, compressed where that helps, and answers its entry.
    pub(crate) fn write(
        section: SectionType,
        payload: &[u8],
        encoder: &mut FrameEncoder,
        object: &mut Vec<u8>,
    ) -> Result<Self> {
        let offset = object.len();
        encoder.append(payload, object)?;
        let len = object.len() - offset;
        if len >= payload.len() {
            object.truncate(offset);
            return Self::write_plain(section, payload, object);
        }
        let mut entry = Self::entry(section, payload.len(), object, offset)?;
        entry.codec = CODEC_ZSTD;
        Ok(entry)
    }

    /// Appends a payload as it is and answers its entry.
    pub(crate) fn write_plain(
        section: SectionType,
        payload: &[u8],
        object: &mut Vec<u8>,
    ) -> Result<Self> {
        let offset = object.len();
        object.extend_from_slice(payload);
        Self::entry(section, payload.len(), object, offset)
    }

    fn entry(section: SectionType, raw_len: usize, object: &[u8], offset: usize) -> Result<Self> {
        if raw_len > SECTION_BYTES_MAX {
            return Err(FormatError::TooLarge(section.name()));
        }
        Ok(Self {
            code: section as u16,
            flags: if section.is_required() { REQUIRED } else { 0 },
            version: section.version(),
            codec: CODEC_NONE,
            offset: offset as u64,
            len: (object.len() - offset) as u64,
            raw_len: raw_len as u64,
            sum: xxh3_64(&object[offset..]),
        })
    }

    /// The same section, behind so many bytes more.
    pub(crate) fn behind(self, bytes: u64) -> Self {
        Self { offset: self.offset + bytes, ..self }
    }

    pub(crate) fn range(&self) -> Range<u64> {
        self.offset..self.offset + self.len
    }

    /// Checks the checksum of a section's bytes.
    pub(crate) fn check(&self, bytes: &[u8]) -> Result<()> {
        if bytes.len() as u64 != self.len || xxh3_64(bytes) != self.sum {
            return Err(FormatError::Checksum(
                SectionType::from_code(self.code).map_or("section", SectionType::name),
            ));
        }
        Ok(())
    }

    /// The payload of a section's bytes.
    pub(crate) fn open<'a>(&self, bytes: &'a [u8]) -> Result<Cow<'a, [u8]>> {
        self.check(bytes)?;
        match self.codec {
            CODEC_NONE if self.raw_len == self.len => Ok(Cow::Borrowed(bytes)),
            CODEC_ZSTD if self.raw_len <= SECTION_BYTES_MAX as u64 => {
                decode_frame(bytes, self.raw_len as usize).map(Cow::Owned)
            }
            CODEC_NONE | CODEC_ZSTD => Err(FormatError::Corrupt("section length")),
            codec => Err(FormatError::Unsupported(format!("section codec {codec}"))),
        }
    }
}

/// All sections, in file order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct Directory {
    sections: Vec<Section>,
}

impl Directory {
    pub(crate) fn new(sections: Vec<Section>) -> Self {
        Self { sections }
    }

    pub(crate) fn sections(&self) -> &[Section] {
        &self.sections
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        put_varint(out, self.sections.len() as u64);
        for section in &self.sections {
            for number in [section.code, section.flags, section.version] {
                out.extend_from_slice(&number.to_le_bytes());
            }
            out.push(section.codec);
            for number in [section.offset, section.len, section.raw_len] {
                put_varint(out, number);
            }
            out.extend_from_slice(&section.sum.to_le_bytes());
        }
    }

    /// Reads the directory and refuses required sections that this reader does not know.
    pub(crate) fn decode(cursor: &mut Cursor<'_>) -> Result<Self> {
        let count = cursor.count(18)?;
        let mut sections = Vec::with_capacity(count);
        for _ in 0..count {
            let section = Section {
                code: cursor.u16()?,
                flags: cursor.u16()?,
                version: cursor.u16()?,
                codec: cursor.u8()?,
                offset: cursor.varint()?,
                len: cursor.varint()?,
                raw_len: cursor.varint()?,
                sum: cursor.u64()?,
            };
            let known = SectionType::from_code(section.code)
                .is_some_and(|known| (1..=known.version()).contains(&section.version));
            if section.flags & REQUIRED != 0 && !known {
                let Section { code, version, .. } = section;
                return Err(FormatError::Unsupported(format!("section {code} version {version}")));
            }
            sections.push(section);
        }
        Ok(Self { sections })
    }

    /// Checks that the sections fill the object up to the footer, and that the last `open` bytes
    /// begin with one of them.
    pub(crate) fn check_layout(&self, footer_at: u64, open_at: u64) -> Result<()> {
        let mut end = self.start();
        let mut has_open = false;
        for section in &self.sections {
            if end != Some(section.offset) {
                return Err(FormatError::Corrupt("sections do not lie side by side"));
            }
            has_open |= section.offset == open_at;
            end = section.offset.checked_add(section.len);
        }
        if end == Some(footer_at) && has_open {
            Ok(())
        } else {
            Err(FormatError::Corrupt("sections do not end where the footer begins"))
        }
    }

    /// Where the first section begins.
    pub(crate) fn start(&self) -> Option<u64> {
        self.sections.first().map(|section| section.offset)
    }

    /// A section, if the segment has it in a version that this reader understands.
    pub(crate) fn find(&self, section: SectionType) -> Option<&Section> {
        self.sections.iter().find(|entry| {
            entry.code == section as u16 && (1..=section.version()).contains(&entry.version)
        })
    }

    /// A section without which the caller cannot go on.
    pub(crate) fn required(&self, section: SectionType) -> Result<&Section> {
        self.find(section).ok_or(FormatError::Corrupt("a section is missing"))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn entry(code: u16, flags: u16, version: u16) -> Section {
        Section { code, flags, version, codec: 0, offset: 32, len: 0, raw_len: 0, sum: 0 }
    }

    fn reread(sections: Vec<Section>) -> Result<Directory> {
        let mut out = Vec::new();
        Directory::new(sections).encode(&mut out);
        Directory::decode(&mut Cursor::new(&out, "test"))
    }

    #[test]
    fn unknown_sections_are_skipped_unless_required() {
        let directory =
            reread(vec![entry(99, 0, 1), entry(3, 0, 7), entry(4, REQUIRED, 1)]).unwrap();
        assert!(directory.find(SectionType::Cells).is_none(), "a version from the future");
        assert!(directory.find(SectionType::Streams).is_some());
        for unknown in [entry(99, REQUIRED, 1), entry(3, REQUIRED, 7), entry(2, REQUIRED, 2)] {
            assert!(matches!(reread(vec![unknown]), Err(FormatError::Unsupported(_))));
        }
    }

    #[test]
    fn payloads_come_back_and_damage_is_noticed() {
        let mut encoder = FrameEncoder::new(1).unwrap();
        for payload in [&b"tiny"[..], &[5; 4000]] {
            let mut object = vec![0; 9];
            let section =
                Section::write(SectionType::Cells, payload, &mut encoder, &mut object).unwrap();
            assert_eq!(section.range(), 9..object.len() as u64);
            assert_eq!(section.open(&object[9..]).unwrap(), payload);
            object[9] ^= 1;
            assert_eq!(section.open(&object[9..]), Err(FormatError::Checksum("cells")));
        }
    }
}
