//! Building a segment outside memory.

use std::io;
use std::ops::Range;

use crate::error::{FormatError, Result};
use crate::footer::Footer;
use crate::name::SegmentName;

use super::{SegmentWriter, object};

/// The parts of a segment that grow with its rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Region {
    /// The object itself: first its header and lines, in the end everything.
    Object = 0,
    /// Chunks of structured metadata.
    Metadata = 1,
    /// Chunks of line lengths.
    Lengths = 2,
    /// Chunks of timestamps.
    Timestamps = 3,
}

impl Region {
    /// All of them, by number.
    pub const ALL: [Self; 4] = [Self::Object, Self::Metadata, Self::Lengths, Self::Timestamps];
}

/// A place where a writer puts what it has encoded; four files will do.
pub trait Spill: Send {
    /// Appends bytes to a region.
    ///
    /// # Errors
    ///
    /// What the place says; nothing can be kept of the segment then.
    fn append(&mut self, region: Region, bytes: &[u8]) -> io::Result<()>;

    /// Appends bytes of another region, which were appended to it before, to the object.
    ///
    /// # Errors
    ///
    /// As [`Spill::append`].
    fn move_to_object(&mut self, region: Region, bytes: Range<u64>) -> io::Result<()>;
}

/// A finished segment that stands where its writer spilled it to.
#[derive(Debug, Clone)]
pub struct SpilledSegment {
    /// Where it belongs.
    pub name: SegmentName,
    /// Length of the object.
    pub bytes: u64,
    /// What [`Footer::decode`] reads from it.
    pub footer: Footer,
}

impl SegmentWriter {
    /// Closes a segment that was spilled: [`Region::Object`] is the whole object.
    ///
    /// # Errors
    ///
    /// As [`SegmentWriter::finish`], and [`FormatError::Spill`].
    pub fn finish_spilled(mut self) -> Result<SpilledSegment> {
        if !self.regions.spills() {
            return Err(FormatError::Order("a segment in memory has no other place"));
        }
        self.close()?;
        let object::Assembled { spilled, rest, footer, mut regions } = object::assemble(self)?;
        regions.spill_end(&rest)?;
        Ok(SpilledSegment { name: footer.name(), bytes: spilled + rest.len() as u64, footer })
    }
}

pub(super) fn failed(error: io::Error) -> FormatError {
    FormatError::Spill(error.to_string())
}
