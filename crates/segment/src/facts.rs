//! What a segment says about itself as a whole.

use model::TenantId;

/// Facts that the builder of a segment knows before its first row.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentFacts {
    /// Whose rows.
    pub tenant: TenantId,
    /// The UTC day under which the segment is kept, counted from the epoch.
    pub day: i32,
    /// How often its rows have been compacted; 0 for a flush.
    pub level: u8,
    /// Which part of an ingester's WAL it replaces; `None` after compaction.
    pub coverage: Option<Coverage>,
}

/// The WAL records whose rows a segment holds.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Coverage {
    /// Which ingester wrote the WAL.
    pub ingester: String,
    /// Position of the first record, inclusive.
    pub first_position: u64,
    /// Position of the last record, inclusive.
    pub last_position: u64,
    /// Which of the segments of one flush this is, from 0.
    pub part: u32,
    /// How many segments the flush made; the range is covered once all of them exist.
    pub parts: u32,
}
