//! The segment: many streams of one tenant and day as one immutable object.
//!
//! Ingesters and the compactor feed rows to a [`SegmentWriter`] and upload what it answers; queriers
//! read the end of an object with [`Footer::decode`], rule blocks out with [`prune()`], and read only
//! the columns they need. `docs/format/segment.md` describes every byte.
//!
//! Invariants: equal rows and settings make equal bytes under an equal name; what was written is
//! read back bit for bit; a decoder given any bytes neither panics nor allocates more than the
//! limits below; a damaged byte is an error, never another answer.
//!
//! This crate does no I/O, reads no clock, and knows neither queries nor where objects live.

#![deny(missing_docs)]

// What a segment is, and its bounds.
mod facts;
pub mod limits;
mod name;
mod settings;

// Writing.
mod sort_key;
mod writer;

// What can be known without reading rows.
mod block;
mod cells;
mod digest;
mod footer;
mod index;
mod stream_table;

// Rows.
mod column;
mod decode;
mod shapes;
mod verify;

// Bytes.
mod encoding;
mod error;

pub use block::{BlockMeta, BlockRun, LineCodec, MetadataColumn};
pub use cells::{Cell, SegmentCells, decode_cells};
pub use decode::{
    decode_columns, decode_first_lines, decode_lengths, decode_line_lengths, decode_lines,
    decode_metadata, decode_timestamps, open_columns,
};
pub use digest::{
    DIGEST_SECONDS, Digest, DigestCell, RowHasher, SegmentDigests, decode_digests, digest_cell,
};
pub use error::{FormatError, Result};
pub use facts::{Coverage, SegmentFacts};
pub use footer::Footer;
pub use index::prune::{BlockSet, PrunePlan, Required, prune};
pub use name::SegmentName;
pub use settings::{EncodeSettings, IndexPolicy};
pub use shapes::{Field, FieldKind, Fields, LineColumns, LineTest, RowMatch};
pub use sort_key::{SortKey, sort_key};
pub use stream_table::StreamTable;
pub use verify::{Report, verify};
pub use writer::{EncodedSegment, Region, Row, SegmentWriter, Spill, SpilledSegment};
