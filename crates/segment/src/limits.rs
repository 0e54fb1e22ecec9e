//! The bounds of the format.
//!
//! The writer refuses what exceeds them and the decoders check them before they allocate, so
//! damaged bytes cannot ask for more memory than an honest segment could.

/// Longest line, in bytes.
pub const LINE_BYTES_MAX: usize = 64 << 20;
/// Most line bytes of a block, separators not counted: one longest line.
pub const BLOCK_BYTES_MAX: usize = LINE_BYTES_MAX;
/// Most rows of a block.
pub const BLOCK_ROWS_MAX: usize = 1 << 20;
/// Most text of one metadata column of a block, in bytes, each distinct value counted once.
pub const METADATA_BYTES_MAX: usize = 64 << 20;
/// Metadata text after which a block is closed; above this a block only holds one row.
pub(crate) const METADATA_BYTES_CLOSE: usize = 8 << 20;
/// Most bytes of a section before compression.
pub const SECTION_BYTES_MAX: usize = 256 << 20;
/// Most bytes of all distinct label names and values of a segment.
pub const SYMBOL_BYTES_MAX: usize = 256 << 20;
/// Most bytes of a footer, without the sections it lists.
pub const FOOTER_BYTES_MAX: usize = 1 << 20;
/// Most streams of a segment.
pub const STREAMS_MAX: usize = 1 << 24;
/// Most blocks of a segment.
pub const BLOCKS_MAX: usize = 1 << 20;
/// Highest compaction level: a name carries it in one digit. What is merged further keeps it.
pub const LEVEL_MAX: u8 = 35;
