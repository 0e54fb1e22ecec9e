//! Leaving out blocks that provably hold no matching line.

use logql::source::Required;
use segment::BlockMeta;

/// Whether a block may hold a line that satisfies every requirement.
///
/// The only proof known to a segment without an index of its lines is length: a line is no longer
/// than all lines of its block together.
pub(crate) fn may_hold(block: &BlockMeta, required: &[Required]) -> bool {
    required
        .iter()
        .all(|condition| condition.any_of.iter().any(|text| text.len() as u64 <= block.raw_bytes))
}
