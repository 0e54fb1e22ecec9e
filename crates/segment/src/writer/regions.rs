//! The chunks of all blocks so far, by column: in memory, or where the writer spills them to.

use std::ops::Range;

use crate::block::index::BlockRecord;
use crate::error::Result;
use crate::footer::tail;

use super::SegmentWriter;
use super::spill::{Region, Spill, failed};

/// Bytes of a region that are worth a write of their own.
const SPILL_BYTES: usize = 256 << 10;

/// What has been encoded and is not spilled yet.
pub(super) struct Regions {
    /// The beginning of the object: header and lines, the bulk of it, are never moved.
    pub(super) object: Vec<u8>,
    /// In block order; the finished object has them by name.
    pub(super) metadata: Vec<u8>,
    pub(super) lengths: Vec<u8>,
    pub(super) timestamps: Vec<u8>,
    spill: Option<Box<dyn Spill>>,
    /// Bytes of each region that were spilled, in the order of [`Region::ALL`].
    spilled: [u64; 4],
}

impl SegmentWriter {
    /// Makes room for an object of about so many bytes, so that it is not moved while it grows.
    pub fn reserve(&mut self, bytes: usize) {
        let object = &mut self.regions.object;
        object.reserve(bytes.saturating_sub(object.len()));
    }

    /// Puts closed blocks somewhere else than into memory. To be called before the first row; the
    /// segment is then closed with [`SegmentWriter::finish_spilled`].
    pub fn spill_to(&mut self, spill: Box<dyn Spill>) {
        self.regions.spill = Some(spill);
    }
}

impl Regions {
    /// The header, behind which lines are appended, and nothing else.
    pub(super) fn begin() -> Self {
        let mut object = Vec::new();
        tail::encode_header(&mut object);
        let (metadata, lengths, timestamps) = (Vec::new(), Vec::new(), Vec::new());
        Self { object, metadata, lengths, timestamps, spill: None, spilled: [0; 4] }
    }

    pub(super) fn spills(&self) -> bool {
        self.spill.is_some()
    }

    /// Bytes of all regions, spilled or not.
    pub(super) fn bytes(&self) -> u64 {
        let Self { object, metadata, lengths, timestamps, spilled, .. } = self;
        let kept = object.len() + metadata.len() + lengths.len() + timestamps.len();
        kept as u64 + spilled.iter().sum::<u64>()
    }

    /// Spills the regions that have grown large, if there is a place for them.
    pub(super) fn spill_what_is_large(&mut self) -> Result<()> {
        self.spill_from(SPILL_BYTES)
    }

    fn spill_from(&mut self, bytes_min: usize) -> Result<()> {
        let Self { object, metadata, lengths, timestamps, spill, spilled } = self;
        let Some(spill) = spill else { return Ok(()) };
        let parts = [object, metadata, lengths, timestamps];
        for ((region, part), spilled) in Region::ALL.into_iter().zip(parts).zip(spilled) {
            if !part.is_empty() && part.len() >= bytes_min {
                spill.append(region, part).map_err(failed)?;
                *spilled += part.len() as u64;
                part.clear();
            }
        }
        Ok(())
    }

    /// Puts all regions in their order, metadata by name. Answers how many bytes of the object are
    /// spilled, and those behind them.
    pub(super) fn join(&mut self, records: &[BlockRecord], names: usize) -> Result<(u64, Vec<u8>)> {
        let chunks = by_name(records, names);
        if self.spills() {
            self.spill_from(0)?;
        }
        let Some(spill) = &mut self.spill else {
            let mut object = std::mem::take(&mut self.object);
            for chunk in chunks {
                object.extend_from_slice(&self.metadata[chunk.start as usize..chunk.end as usize]);
            }
            self.metadata = Vec::new();
            object.append(&mut self.lengths);
            object.append(&mut self.timestamps);
            return Ok((0, object));
        };
        for chunk in chunks {
            spill.move_to_object(Region::Metadata, chunk).map_err(failed)?;
        }
        for region in [Region::Lengths, Region::Timestamps] {
            let whole = 0..self.spilled[region as usize];
            spill.move_to_object(region, whole).map_err(failed)?;
        }
        Ok((self.spilled.iter().sum(), Vec::new()))
    }

    /// Appends the end of the object to what was spilled.
    pub(super) fn spill_end(&mut self, bytes: &[u8]) -> Result<()> {
        self.spill
            .as_mut()
            .map_or(Ok(()), |spill| spill.append(Region::Object, bytes))
            .map_err(failed)
    }
}

/// Where the metadata chunks are, by name and then block; they stand by block and then name.
fn by_name(records: &[BlockRecord], names: usize) -> Vec<Range<u64>> {
    let mut by_name: Vec<Vec<Range<u64>>> = vec![Vec::new(); names];
    let mut at = 0;
    for (name, len) in records.iter().flat_map(|block| &block.metadata) {
        by_name[*name as usize].push(at..at + len);
        at += len;
    }
    by_name.into_iter().flatten().collect()
}
