//! The section CELLS: one column of varints per field.

use crate::encoding::cursor::{Cursor, put_bytes, put_signed, put_varint};
use crate::error::{FormatError, Result};
use crate::footer::Footer;

use super::{BlockCells, PackedCell, SegmentCells, WIDTHS_NS};

/// Appends the section.
pub(crate) fn encode(width: usize, blocks: &[BlockCells], out: &mut Vec<u8>) {
    out.push(width as u8);
    put_varint(out, blocks.len() as u64);
    blocks.iter().for_each(|block| put_varint(out, block.cells.len() as u64));
    let cells = || blocks.iter().flat_map(|block| &block.cells);
    let mut column = Vec::new();
    let mut put_column = |fill: &mut dyn FnMut(&mut Vec<u8>)| {
        column.clear();
        fill(&mut column);
        put_bytes(out, &column);
    };
    put_column(&mut |column| {
        for block in blocks {
            let mut run = 0;
            for cell in &block.cells {
                put_varint(column, u64::from(cell.run - run));
                run = cell.run;
            }
        }
    });
    let mut span = 0;
    put_column(&mut |column| {
        for cell in cells() {
            put_signed(column, i64::from(cell.span) - span);
            span = i64::from(cell.span);
        }
    });
    put_column(&mut |column| column.extend(cells().map(|cell| cell.level)));
    put_column(&mut |column| cells().for_each(|cell| put_varint(column, u64::from(cell.lines))));
    put_column(&mut |column| cells().for_each(|cell| put_varint(column, u64::from(cell.bytes))));
}

/// Decodes the bytes of [`Footer::cells`].
///
/// # Errors
///
/// [`FormatError`] when the bytes are not that section, bit for bit, or count other rows than
/// those of the footer.
pub fn decode_cells(footer: &Footer, bytes: &[u8]) -> Result<SegmentCells> {
    let payload = footer.cells_payload(bytes)?;
    decode(footer, &payload)
}

fn decode(footer: &Footer, payload: &[u8]) -> Result<SegmentCells> {
    let mut cursor = Cursor::new(payload, "cells");
    let width = usize::from(cursor.u8()?);
    let width_ns = *WIDTHS_NS.get(width).ok_or_else(|| cursor.corrupt())?;
    let blocks = footer.blocks();
    if cursor.count(1)? != blocks.len() {
        return Err(cursor.corrupt());
    }
    let mut counts = Vec::with_capacity(blocks.len());
    let mut total = 0;
    for _ in blocks {
        // Every cell takes a byte of each column.
        counts.push(cursor.count(5)?);
        total += counts[counts.len() - 1];
    }
    if total > cursor.remaining() / 5 {
        return Err(cursor.corrupt());
    }
    let mut columns = Columns {
        runs: Cursor::new(cursor.bytes()?, "cells"),
        spans: Cursor::new(cursor.bytes()?, "cells"),
        levels: Cursor::new(cursor.bytes()?, "cells"),
        lines: Cursor::new(cursor.bytes()?, "cells"),
        bytes: Cursor::new(cursor.bytes()?, "cells"),
        span: 0,
    };
    cursor.finish()?;
    let mut cells = Vec::with_capacity(total);
    let mut ends = Vec::with_capacity(blocks.len());
    for (block, count) in blocks.iter().zip(counts) {
        let start = cells.len();
        columns.block(count, &mut cells)?;
        check_block(&cells[start..], block)?;
        ends.push(cells.len() as u32);
    }
    columns.finish()?;
    Ok(SegmentCells { width_ns, cells, ends })
}

struct Columns<'a> {
    runs: Cursor<'a>,
    spans: Cursor<'a>,
    levels: Cursor<'a>,
    lines: Cursor<'a>,
    bytes: Cursor<'a>,
    span: i32,
}

impl Columns<'_> {
    fn block(&mut self, count: usize, out: &mut Vec<PackedCell>) -> Result<()> {
        let mut run = 0u32;
        for _ in 0..count {
            run = run.wrapping_add(self.runs.varint_u32()?);
            self.span = self.span.wrapping_add(self.spans.signed()? as i32);
            out.push(PackedCell {
                run,
                span: self.span,
                level: self.levels.u8()?,
                lines: self.lines.varint_u32()?,
                bytes: self.bytes.varint_u32()?,
            });
        }
        Ok(())
    }

    fn finish(self) -> Result<()> {
        [self.runs, self.spans, self.levels, self.lines, self.bytes]
            .into_iter()
            .try_for_each(Cursor::finish)
    }
}

/// Checks that cells, if there are any, count the rows of every run of a block.
fn check_block(cells: &[PackedCell], block: &crate::BlockMeta) -> Result<()> {
    const DAMAGED: FormatError = FormatError::Corrupt("cells count other rows than the block has");
    if cells.is_empty() {
        return Ok(());
    }
    let mut bytes = 0u64;
    let mut cells = cells.iter().peekable();
    for (index, run) in (0..).zip(&*block.runs) {
        let mut rows = 0u64;
        while let Some(cell) = cells.next_if(|cell| cell.run == index) {
            rows += u64::from(cell.lines);
            bytes += u64::from(cell.bytes);
            if cell.level > 8 || block.levels >> cell.level & 1 == 0 {
                return Err(DAMAGED);
            }
        }
        if rows != u64::from(run.rows) {
            return Err(DAMAGED);
        }
    }
    if cells.next().is_some() || bytes != block.raw_bytes { Err(DAMAGED) } else { Ok(()) }
}
