//! Lines: every line followed by a separator, in one zstd frame.

use model::columns::Lines;

use crate::encoding::frame::{decode_frame, decode_frame_start};
use crate::error::{FormatError, Result};

/// Reads the lines of a block, given their lengths.
pub(crate) fn decode(payload: &[u8], lengths: &[u32]) -> Result<Lines> {
    // Lengths were decoded within the limits of a block, so this sum is bounded too.
    let len = lengths.iter().map(|length| *length as usize + 1).sum();
    let text = decode_frame(payload, len)?;
    Lines::from_parts(text, lengths.iter().copied())
        .ok_or(FormatError::Corrupt("lines do not fit their lengths"))
}

/// Reads the first `rows` lines of a block, given the lengths of all.
pub(crate) fn decode_first(payload: &[u8], lengths: &[u32], rows: usize) -> Result<Lines> {
    let bytes = |lengths: &[u32]| lengths.iter().map(|length| *length as usize + 1).sum();
    let (first, _) = lengths.split_at(rows.min(lengths.len()));
    let (wanted, len): (usize, usize) = (bytes(first), bytes(lengths));
    // Reading a part costs more per byte.
    if wanted / 4 * 5 > len {
        return decode(payload, lengths);
    }
    let text = decode_frame_start(payload, len, wanted)?;
    Lines::from_parts(text, first.iter().copied())
        .ok_or(FormatError::Corrupt("lines do not fit their lengths"))
}
