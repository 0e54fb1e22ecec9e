//! Putting lines together again.

use model::columns::{LINE_SEPARATOR, Lines};

use crate::error::Result;

use super::block::{Column, DAMAGED, Piece, ShapeBlock};
use super::kinds::Digits;
use super::table::PLAIN;

const LOWER: &[u8; 16] = b"0123456789abcdef";
const UPPER: &[u8; 16] = b"0123456789ABCDEF";

impl ShapeBlock<'_> {
    /// All lines, whose lengths must be these.
    pub(crate) fn lines(&self, timestamps: &[i64], lengths: &[u32]) -> Result<Lines> {
        let total: usize = lengths.iter().map(|length| *length as usize + 1).sum();
        let mut text = Vec::with_capacity(total);
        let mut ranks = vec![0u32; self.shapes.len()];
        for ((shape, timestamp), length) in self.rows.iter().zip(timestamps).zip(lengths) {
            let rank = &mut ranks[*shape as usize];
            let end = text.len() + *length as usize;
            self.write_row(*shape, *rank, *timestamp, end, &mut text)?;
            *rank += 1;
            if text.len() != end {
                return Err(DAMAGED);
            }
            text.push(LINE_SEPARATOR);
        }
        Lines::from_parts(text, lengths.iter().copied()).ok_or(DAMAGED)
    }

    /// Appends the line of a row, up to `end` bytes of text.
    fn write_row(
        &self,
        shape: u32,
        rank: u32,
        timestamp: i64,
        end: usize,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        if shape == PLAIN {
            let line = self.plain(rank);
            if out.len() + line.len() != end {
                return Err(DAMAGED);
            }
            out.extend_from_slice(line);
            return Ok(());
        }
        let pieces = self.shapes[shape as usize].pieces.clone();
        for piece in &self.pieces[pieces.start as usize..pieces.end as usize] {
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
            Column::Number { first, digits, lengths } => {
                let value = self.number(first + rank) as u64;
                write_number(value, self.digits(digits, lengths + rank), out);
            }
            Column::WideNumber { first, digits, lengths } => {
                let value = self.wide(8, first + rank).first_chunk().ok_or(DAMAGED)?;
                let value = u64::from_le_bytes(*value);
                write_number(value, self.digits(digits, lengths + rank), out);
            }
            Column::Hex { first, digits, upper } => {
                let alphabet = if upper { UPPER } else { LOWER };
                let digits = usize::from(digits);
                let value = self.wide(digits.div_ceil(2), first + rank);
                write_hex(value, digits, alphabet, out);
            }
            Column::Uuid { first } => {
                let value = self.wide(16, first + rank);
                for (at, bytes) in [(0, 4), (4, 6), (6, 8), (8, 10), (10, 16)] {
                    let part = value.get(at..bytes).ok_or(DAMAGED)?;
                    write_hex(part, part.len() * 2, LOWER, out);
                    if bytes < 16 {
                        out.push(b'-');
                    }
                }
            }
            Column::Time { first, form } => {
                form.write(self.number(first + rank), timestamp, out).ok_or(DAMAGED)?;
            }
        }
        Ok(())
    }

    fn number(&self, at: u32) -> i64 {
        self.numbers.get(at as usize).copied().unwrap_or(0)
    }

    /// With at least how many digits a number is written.
    fn digits(&self, digits: Digits, length: u32) -> usize {
        match digits {
            Digits::Canonical => 1,
            Digits::Fixed(digits) => usize::from(digits),
            Digits::Any => self.number(length).clamp(1, 20) as usize,
        }
    }
}

fn write_number(mut value: u64, digits: usize, out: &mut Vec<u8>) {
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
