//! Counting cells while rows are added.

use super::{PackedCell, ROWS_PER_CELL, WIDTHS_NS, span_bounds, span_of};

/// Codes a level can have: 0 for none, 1 to 8.
const LEVEL_CODES: usize = 9;
/// Cells of a segment above which they are made wider at once, if they are too many for the rows
/// so far: bounds the memory of segments whose rows are far apart.
const CELLS_EAGER: usize = 1 << 19;

/// The cells of a closed block.
#[derive(Debug, Default)]
pub(crate) struct BlockCells {
    pub(crate) cells: Vec<PackedCell>,
}

/// Counts rows into cells; rows arrive by stream and time.
pub(crate) struct CellBuilder {
    /// Index into [`WIDTHS_NS`].
    width: usize,
    blocks: Vec<BlockCells>,
    total: usize,
    rows: u64,
    block: BlockCells,
    /// Whether the counts of the current block would be wrong.
    block_is_void: bool,
    run: u32,
    span: i32,
    /// Last instant of the current span; rows up to it are counted without another look.
    span_last: i64,
    counts: [(u32, u32); LEVEL_CODES],
    /// Levels that the current span has.
    levels: u16,
    block_levels: u16,
}

impl CellBuilder {
    pub(crate) fn new() -> Self {
        Self {
            width: 0,
            blocks: Vec::new(),
            total: 0,
            rows: 0,
            block: BlockCells::default(),
            block_is_void: false,
            run: 0,
            span: 0,
            span_last: i64::MIN,
            counts: [(0, 0); LEVEL_CODES],
            levels: 0,
            block_levels: 0,
        }
    }

    /// Begins a run of the current block.
    pub(crate) fn begin_run(&mut self, run: u32) {
        self.close_span();
        self.run = run;
        self.span_last = i64::MIN;
    }

    /// Counts a row of the current run.
    #[inline]
    pub(crate) fn add(&mut self, timestamp: i64, level: u8, bytes: u32) {
        if timestamp > self.span_last || self.levels == 0 {
            self.begin_span(timestamp);
        }
        let count = &mut self.counts[usize::from(level)];
        count.0 += 1;
        count.1 += bytes;
        self.levels |= 1 << level;
        self.rows += 1;
    }

    fn begin_span(&mut self, timestamp: i64) {
        self.close_span();
        let width_ns = WIDTHS_NS[self.width];
        self.span = span_of(timestamp, width_ns);
        self.span_last = span_bounds(self.span, width_ns).1.0.saturating_sub(1).max(timestamp);
    }

    fn close_span(&mut self) {
        let mut levels = self.levels;
        while levels != 0 {
            let level = levels.trailing_zeros() as u8;
            levels &= levels - 1;
            let (lines, bytes) = std::mem::take(&mut self.counts[usize::from(level)]);
            let cell = PackedCell { run: self.run, span: self.span, lines, bytes, level };
            self.block.cells.push(cell);
        }
        self.block_levels |= self.levels;
        self.levels = 0;
    }

    /// Marks the current block: its rows have levels that no cell can name.
    pub(crate) fn void_block(&mut self) {
        self.block_is_void = true;
    }

    /// Ends the current block; answers the set of its level codes.
    pub(crate) fn close_block(&mut self) -> u16 {
        self.close_span();
        self.span_last = i64::MIN;
        let mut block = std::mem::take(&mut self.block);
        if self.block_is_void {
            block.cells.clear();
        }
        self.block_is_void = false;
        self.total += block.cells.len();
        self.blocks.push(block);
        while self.total > CELLS_EAGER && self.is_too_fine() {
            self.widen();
        }
        std::mem::take(&mut self.block_levels)
    }

    fn is_too_fine(&self) -> bool {
        self.width + 1 < WIDTHS_NS.len() && self.total as u64 > self.rows / ROWS_PER_CELL
    }

    fn widen(&mut self) {
        let factor = (WIDTHS_NS[self.width + 1] / WIDTHS_NS[self.width]) as i32;
        self.width += 1;
        self.total = 0;
        for block in &mut self.blocks {
            block.widen(factor);
            self.total += block.cells.len();
        }
    }

    /// The cells of all blocks, with the index of their width.
    pub(crate) fn finish(mut self) -> (usize, Vec<BlockCells>) {
        while self.is_too_fine() {
            self.widen();
        }
        (self.width, self.blocks)
    }
}

impl BlockCells {
    /// Makes spans `factor` times as wide and merges what then falls together.
    fn widen(&mut self, factor: i32) {
        // The cells of one run and wider span are neighbours, with at most one per level merged.
        let mut merged: Vec<PackedCell> = Vec::with_capacity(self.cells.len() / 2);
        let mut group = 0;
        for cell in &self.cells {
            let cell = PackedCell { span: cell.span.div_euclid(factor), ..*cell };
            let is_same_group =
                merged.last().is_some_and(|last| (last.run, last.span) == (cell.run, cell.span));
            if !is_same_group {
                merged[group..].sort_unstable_by_key(|cell| cell.level);
                group = merged.len();
            }
            match merged[group..].iter_mut().find(|other| other.level == cell.level) {
                Some(other) => {
                    other.lines += cell.lines;
                    other.bytes += cell.bytes;
                }
                None => merged.push(cell),
            }
        }
        merged[group..].sort_unstable_by_key(|cell| cell.level);
        self.cells = merged;
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn totals(blocks: &[BlockCells]) -> (u64, u64) {
        let cells = blocks.iter().flat_map(|block| &block.cells);
        cells.fold((0, 0), |(lines, bytes), cell| {
            (lines + u64::from(cell.lines), bytes + u64::from(cell.bytes))
        })
    }

    #[test]
    fn cells_get_wider_until_they_are_few() {
        for (step_s, expected) in [(1, 0), (4, 1), (20, 2), (60, 3), (300, 4), (4000, 4)] {
            let mut builder = CellBuilder::new();
            builder.begin_run(0);
            for row in 0..1000i64 {
                builder.add(row * step_s * 1_000_000_000, 4, 10);
            }
            assert_eq!(builder.close_block(), 1 << 4);
            let (width, blocks) = builder.finish();
            assert_eq!(width, expected, "a row every {step_s} s");
            assert_eq!(totals(&blocks), (1000, 10_000));
        }
    }

    #[test]
    fn widening_keeps_levels_and_runs_apart() {
        let mut builder = CellBuilder::new();
        for run in 0..2 {
            builder.begin_run(run);
            for row in 0..12i64 {
                builder.add(1 + row * WIDTHS_NS[0], [6, 0, 4][row as usize % 3], 1);
            }
        }
        assert_eq!(builder.close_block(), 1 << 0 | 1 << 4 | 1 << 6);
        builder.widen();
        let seen: Vec<_> =
            builder.blocks[0].cells.iter().map(|c| (c.run, c.span, c.level, c.lines)).collect();
        let block: Vec<_> = [(0, 0), (0, 1)]
            .iter()
            .flat_map(|&(run, span)| [0, 4, 6].map(|level| (run, span, level, 2)))
            .collect();
        assert_eq!(seen[..6], block);
        assert_eq!(seen.len(), 12);
    }

    #[test]
    fn a_void_block_keeps_none() {
        let mut builder = CellBuilder::new();
        builder.begin_run(0);
        builder.add(i64::MIN, 0, 1);
        builder.void_block();
        builder.close_block();
        builder.begin_run(0);
        builder.add(i64::MAX, 0, 1);
        builder.close_block();
        let (_, blocks) = builder.finish();
        assert_eq!(blocks.iter().map(|block| block.cells.len()).collect::<Vec<_>>(), [0, 1]);
    }
}
