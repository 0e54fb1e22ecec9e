//! Cells: counts that stand for rows.
//!
//! A cell counts the rows of one run of a block that share a level and a span of time. All spans
//! of a segment have one width and begin one nanosecond after a multiple of it, because a query's
//! windows exclude their first instant and include their last: a window of whole minutes is then
//! a whole number of cells.

mod builder;
mod codec;

use model::Timestamp;

pub(crate) use builder::{BlockCells, CellBuilder};
pub use codec::decode_cells;
pub(crate) use codec::encode;

/// Nanoseconds of the widths a segment can choose; each divides the next.
pub(crate) const WIDTHS_NS: [i64; 5] = [
    10 * model::time::SECOND_NS,
    60 * model::time::SECOND_NS,
    300 * model::time::SECOND_NS,
    900 * model::time::SECOND_NS,
    3600 * model::time::SECOND_NS,
];

/// Rows that there must be for each cell, or else cells get wider.
pub(crate) const ROWS_PER_CELL: u64 = 8;

/// How many rows of one run and level lie in one span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// Index into [`crate::BlockMeta::runs`].
    pub run: u32,
    /// Code of the detected level ([`model::Level`]); 0 when the rows have none.
    pub level: u8,
    /// First instant of the span.
    pub start: Timestamp,
    /// First instant after the span.
    pub end: Timestamp,
    /// How many rows.
    pub lines: u64,
    /// Their line bytes.
    pub bytes: u64,
}

/// A cell as it is kept: spans are numbered from the epoch.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct PackedCell {
    pub(crate) run: u32,
    /// Fits even for the ends of time, because no width is below ten seconds.
    pub(crate) span: i32,
    pub(crate) lines: u32,
    pub(crate) bytes: u32,
    pub(crate) level: u8,
}

/// The cells of every block of a segment.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SegmentCells {
    width_ns: i64,
    cells: Vec<PackedCell>,
    /// Per block: where its cells end.
    ends: Vec<u32>,
}

impl SegmentCells {
    /// Nanoseconds that every cell spans.
    #[must_use]
    pub fn width_ns(&self) -> i64 {
        self.width_ns
    }

    /// How many cells there are in all blocks.
    #[must_use]
    pub fn len(&self) -> usize {
        self.cells.len()
    }

    /// About how much memory the cells take.
    #[must_use]
    pub fn memory_bytes(&self) -> usize {
        size_of::<Self>() + size_of_val(&*self.cells) + size_of_val(&*self.ends)
    }

    /// Whether no block keeps counts.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.cells.is_empty()
    }

    /// The cells of a block: together they count each of its rows exactly once. `None` when the
    /// block keeps no counts, and its rows must be counted.
    #[must_use]
    pub fn block(&self, block: usize) -> Option<impl ExactSizeIterator<Item = Cell> + '_> {
        let end = *self.ends.get(block)? as usize;
        let start = block.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        let cells = self.cells.get(start..end).filter(|cells| !cells.is_empty())?;
        Some(cells.iter().map(|cell| self.unpack(cell)))
    }

    fn unpack(&self, cell: &PackedCell) -> Cell {
        let (start, end) = span_bounds(cell.span, self.width_ns);
        Cell {
            run: cell.run,
            level: cell.level,
            start,
            end,
            lines: u64::from(cell.lines),
            bytes: u64::from(cell.bytes),
        }
    }
}

/// The span that holds an instant.
pub(crate) fn span_of(timestamp: i64, width_ns: i64) -> i32 {
    // The earliest instant of all joins the span after its own, which nothing can tell apart.
    timestamp.saturating_sub(1).div_euclid(width_ns) as i32
}

/// First instant inside a span and first after it, as far as time goes.
pub(crate) fn span_bounds(span: i32, width_ns: i64) -> (Timestamp, Timestamp) {
    let start = i64::from(span).saturating_mul(width_ns);
    let end = (i64::from(span) + 1).saturating_mul(width_ns);
    let start = if start == i64::MIN { start } else { start.saturating_add(1) };
    (Timestamp(start), Timestamp(end.saturating_add(1)))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn spans_leave_out_their_first_multiple_and_take_in_their_last() {
        let width = WIDTHS_NS[0];
        assert_eq!(
            [1, width, width + 1, 0, -width].map(|at| span_of(at, width)),
            [0, 0, 1, -1, -2]
        );
        assert_eq!(span_bounds(0, width), (Timestamp(1), Timestamp(width + 1)));
    }

    proptest! {
        #[test]
        fn an_instant_lies_in_its_span(
            at in prop_oneof![any::<i64>(), Just(i64::MIN), Just(i64::MIN + 1), -3i64..3],
            width in prop::sample::select(WIDTHS_NS.to_vec()),
        ) {
            prop_assume!(at != i64::MAX);
            let (start, end) = span_bounds(span_of(at, width), width);
            prop_assert!(start.0 <= at && at < end.0, "{at} in {start:?}..{end:?}");
        }
    }
}
