//! Lines: every line followed by a separator, in one zstd frame.

use model::columns::Lines;

use crate::encoding::frame::decode_frame;
use crate::error::{FormatError, Result};

/// Reads the lines of a block, given their lengths.
pub(crate) fn decode(payload: &[u8], lengths: &[u32]) -> Result<Lines> {
    // Lengths were decoded within the limits of a block, so this sum is bounded too.
    let len = lengths.iter().map(|length| *length as usize + 1).sum();
    let text = decode_frame(payload, len)?;
    Lines::from_parts(text, lengths.iter().copied())
        .ok_or(FormatError::Corrupt("lines do not fit their lengths"))
}
