//! Putting lines together again.

use model::columns::{LINE_SEPARATOR, Lines};

use crate::error::Result;

use super::block::{Column, DAMAGED, Piece, ShapeBlock, ShapeParts};
use super::kinds::Digits;
use super::table::PLAIN;

pub(super) const LOWER: &[u8; 16] = b"0123456789abcdef";
pub(super) const UPPER: &[u8; 16] = b"0123456789ABCDEF";

impl ShapeBlock {
    /// All lines.
    pub(crate) fn lines(&self, timestamps: &[i64]) -> Result<Lines> {
        let mut lengths = Vec::with_capacity(self.rows.len());
        let mut text = Vec::with_capacity(self.raw_bytes + self.rows.len());
        let mut ranks = vec![0u32; self.shapes.len()];
        let mut left = self.raw_bytes;
        for (shape, timestamp) in self.rows.iter().zip(timestamps) {
            let rank = &mut ranks[*shape as usize];
            let start = text.len();
            self.write_row((*shape, *rank), *timestamp, start + left, &mut text)?;
            *rank += 1;
            let length = text.len() - start;
            left -= length;
            lengths.push(length as u32);
            text.push(LINE_SEPARATOR);
        }
        if left != 0 {
            return Err(DAMAGED);
        }
        Lines::from_parts(text, lengths).ok_or(DAMAGED)
    }

    /// The lines of some rows, which ascend.
    pub(crate) fn some_lines(&self, rows: &[u32], timestamps: &[i64]) -> Result<Lines> {
        let mut lines = Lines::with_capacity(rows.len(), 0);
        let mut ranks = vec![0u32; self.shapes.len()];
        let mut wanted = rows.iter().peekable();
        let mut line = Vec::new();
        let mut left = self.raw_bytes;
        for ((row, shape), timestamp) in (0..).zip(&self.rows).zip(timestamps) {
            let rank = &mut ranks[*shape as usize];
            if wanted.next_if(|wanted| **wanted == row).is_some() {
                line.clear();
                self.write_row((*shape, *rank), *timestamp, left, &mut line)?;
                left -= line.len();
                lines.push(&line);
            }
            *rank += 1;
        }
        Ok(lines)
    }

    /// Bytes of every line.
    pub(crate) fn lengths(&self) -> Result<Vec<u32>> {
        let fixed: Vec<usize> = self.shapes.iter().map(|shape| self.fixed_len(shape)).collect();
        let mut ranks = vec![0u32; self.shapes.len()];
        let mut left = self.raw_bytes;
        let mut lengths = Vec::with_capacity(self.rows.len());
        for shape in &self.rows {
            let rank = &mut ranks[*shape as usize];
            let mut length = fixed[*shape as usize];
            if *shape == PLAIN {
                length = self.plain(*rank).len();
            }
            for piece in self.pieces_of(*shape) {
                if let Piece::Column(column) = piece {
                    length += self.value_len(&self.columns[*column as usize], *rank);
                }
            }
            *rank += 1;
            left = left.checked_sub(length).ok_or(DAMAGED)?;
            lengths.push(length as u32);
        }
        if left == 0 { Ok(lengths) } else { Err(DAMAGED) }
    }

    /// Bytes of what all lines of a shape have in common.
    fn fixed_len(&self, shape: &ShapeParts) -> usize {
        let pieces = shape.pieces.start as usize..shape.pieces.end as usize;
        let len = |piece: &Piece| match piece {
            Piece::Literal(range) => range.len(),
            Piece::Column(_) => 0,
        };
        self.pieces[pieces].iter().map(len).sum()
    }

    /// The parts of a shape.
    pub(super) fn pieces_of(&self, shape: u32) -> &[Piece] {
        let pieces = self.shapes.get(shape as usize).map_or(0..0, |shape| shape.pieces.clone());
        &self.pieces[pieces.start as usize..pieces.end as usize]
    }

    /// Bytes of a value.
    fn value_len(&self, column: &Column, rank: u32) -> usize {
        match *column {
            Column::Text { first, .. } => self.text(first + rank).len(),
            Column::Dictionary { codes, first, .. } => {
                self.text(first + self.code(codes + rank)).len()
            }
            Column::Number { list, digits, lengths } => {
                let value = self.number(list, rank).unwrap_or(0) as u64;
                digits_in(value).max(self.digits(digits, lengths, rank).unwrap_or(0))
            }
            Column::WideNumber { .. } => {
                self.wide_number(column, rank).map_or(0, |(_, digits)| digits)
            }
            Column::Hex { digits, .. } => usize::from(digits),
            Column::Uuid { .. } => 36,
            Column::Time { form, .. } => form.len(),
        }
    }

    /// A number of a column of wide ones, and with how many digits it is written; `None` when it is
    /// damaged or the column is another.
    pub(super) fn wide_number(&self, column: &Column, rank: u32) -> Option<(u64, usize)> {
        let Column::WideNumber { first, digits, lengths } = *column else { return None };
        let value = u64::from_le_bytes(*self.wide(8, first + rank).first_chunk()?);
        let digits = self.digits(digits, lengths, rank).ok()?;
        Some((value, digits.max(digits_in(value))))
    }

    /// Appends the line of a row, given its shape and its rank among the rows of that, up to `end` bytes of text.
    pub(super) fn write_row(
        &self,
        (shape, rank): (u32, u32),
        timestamp: i64,
        end: usize,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        if shape == PLAIN {
            let line = self.plain(rank);
            if out.len() + line.len() > end {
                return Err(DAMAGED);
            }
            out.extend_from_slice(line);
            return Ok(());
        }
        for piece in self.pieces_of(shape) {
            match piece {
                Piece::Literal(range) => {
                    out.extend_from_slice(
                        &self.shape_text[range.start as usize..range.end as usize],
                    );
                }
                Piece::Column(column) => {
                    self.write_value(&self.columns[*column as usize], rank, timestamp, out)?;
                }
            }
            if out.len() > end {
                return Err(DAMAGED);
            }
        }
        Ok(())
    }

    /// Appends the value of a column in the row of a rank.
    pub(super) fn write_value(
        &self,
        column: &Column,
        rank: u32,
        timestamp: i64,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        match *column {
            Column::Text { first, .. } => out.extend_from_slice(self.text(first + rank)),
            Column::Dictionary { codes, first, .. } => {
                out.extend_from_slice(self.text(first + self.code(codes + rank)));
            }
            Column::Number { list, digits, lengths } => {
                let value = self.number(list, rank)? as u64;
                write_number(value, self.digits(digits, lengths, rank)?, out);
            }
            Column::WideNumber { .. } => {
                let (value, digits) = self.wide_number(column, rank).ok_or(DAMAGED)?;
                write_number(value, digits, out);
            }
            Column::Hex { first, digits, upper } => {
                let alphabet = if upper { UPPER } else { LOWER };
                let digits = usize::from(digits);
                let value = self.wide(digits.div_ceil(2), first + rank);
                write_hex(value, digits, alphabet, out);
            }
            Column::Uuid { first } => {
                let value = self.wide(16, first + rank).first_chunk().ok_or(DAMAGED)?;
                out.extend_from_slice(&uuid(value));
            }
            Column::Time { list, form } => {
                form.write(self.number(list, rank)?, timestamp, out).ok_or(DAMAGED)?;
            }
        }
        Ok(())
    }

    fn number(&self, list: u32, rank: u32) -> Result<i64> {
        self.numbers(list)?.get(rank as usize).copied().ok_or(DAMAGED)
    }

    /// With at least how many digits a number is written.
    fn digits(&self, digits: Digits, lengths: u32, rank: u32) -> Result<usize> {
        Ok(match digits {
            Digits::Canonical => 1,
            Digits::Fixed(digits) => usize::from(digits),
            Digits::Any => self.number(lengths, rank)?.clamp(1, 20) as usize,
        })
    }
}

/// How many digits a number has at least.
fn digits_in(value: u64) -> usize {
    value.checked_ilog10().map_or(0, |log| log as usize + 1)
}

pub(super) fn write_number(mut value: u64, digits: usize, out: &mut Vec<u8>) {
    let mut text = [b'0'; 20];
    let mut at = text.len();
    while value != 0 {
        at -= 1;
        text[at] = b'0' + (value % 10) as u8;
        value /= 10;
    }
    out.extend_from_slice(&text[at.min(text.len() - digits)..]);
}

fn write_hex(value: &[u8], digits: usize, alphabet: &[u8; 16], out: &mut Vec<u8>) {
    let start = out.len();
    out.extend(
        value
            .iter()
            .flat_map(|byte| [alphabet[usize::from(byte >> 4)], alphabet[usize::from(byte & 0xf)]]),
    );
    out.truncate(start + digits);
}

/// How a UUID is written.
pub(super) fn uuid(value: &[u8; 16]) -> [u8; 36] {
    let mut text = [b'-'; 36];
    // Two digits for each byte, and a dash behind the fourth, sixth, eighth and tenth.
    const PLACES: [usize; 16] = [0, 2, 4, 6, 9, 11, 14, 16, 19, 21, 24, 26, 28, 30, 32, 34];
    for (byte, place) in value.iter().zip(PLACES) {
        text[place] = LOWER[usize::from(byte >> 4)];
        text[place + 1] = LOWER[usize::from(byte & 0xf)];
    }
    text
}
