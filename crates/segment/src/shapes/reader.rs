//! Reading what describes shapes and columns, without the values.

use crate::encoding::cursor::Cursor;
use crate::error::Result;

use super::block::{Column, DAMAGED, Piece, ShapeParts};
use super::frequent::FrequentForm;
use super::kinds::{self, Digits};
use super::numbers::{NumberForm, PackedForm};
use super::times::{FORM_BYTES, TimeForm};
use super::tokens::{SLOT, TIME};
use super::wide::WIDTH_MAX;

/// What [`Reader`] makes.
pub(super) struct Made {
    pub(super) shapes: Vec<ShapeParts>,
    pub(super) pieces: Vec<Piece>,
    pub(super) columns: Vec<Column>,
    pub(super) forms: Vec<NumberForm>,
    /// How many texts there are.
    pub(super) texts: usize,
    /// How many wide values of each width.
    pub(super) wide_counts: [usize; WIDTH_MAX + 1],
}

/// Reads columns one after the other.
pub(super) struct Reader<'b> {
    heads: Cursor<'b>,
    codes_taken: u32,
    /// How many values there can still be: each has a byte of a line at least.
    values_left: usize,
    made: Made,
}

impl<'b> Reader<'b> {
    /// Starts with the descriptions of all columns.
    pub(super) fn new(heads: &'b [u8], plain_rows: u32, raw_bytes: usize) -> Self {
        let made = Made {
            shapes: vec![ShapeParts { rows: plain_rows, pieces: 0..0 }],
            pieces: Vec::new(),
            columns: Vec::new(),
            forms: Vec::new(),
            texts: 0,
            wide_counts: [0; WIDTH_MAX + 1],
        };
        let heads = Cursor::new(heads, "line columns");
        Self { heads, codes_taken: 0, values_left: raw_bytes, made }
    }

    /// Reads all shapes, given their texts and how many rows each has.
    pub(super) fn read_shapes(&mut self, text: &[u8], rows: &[u32]) -> Result<()> {
        let mut cursor = Cursor::new(text, "line columns");
        let mut lengths = Vec::with_capacity(rows.len() - 1);
        for _ in 1..rows.len() {
            lengths.push(cursor.varint_u32()? as usize);
        }
        let mut at = text.len() - cursor.remaining();
        for (len, rows) in lengths.into_iter().zip(&rows[1..]) {
            let first = self.made.pieces.len() as u32;
            self.read_shape(cursor.take(len)?, at, *rows as usize)?;
            let pieces = first..self.made.pieces.len() as u32;
            self.made.shapes.push(ShapeParts { rows: *rows, pieces });
            at += len;
        }
        cursor.finish()
    }

    /// Reads a shape whose text begins at `start` of all texts.
    fn read_shape(&mut self, text: &[u8], start: usize, rows: usize) -> Result<()> {
        let mut at = 0;
        while at < text.len() {
            let rest = &text[at..];
            let len = memchr::memchr2(SLOT, TIME, rest).unwrap_or(rest.len());
            if len > 0 {
                let literal = (start + at) as u32;
                self.made.pieces.push(Piece::Literal(literal..literal + len as u32));
            }
            let Some(mark) = rest.get(len) else { break };
            at += len + 1;
            self.values_left = self.values_left.checked_sub(rows).ok_or(DAMAGED)?;
            let column = if *mark == SLOT {
                self.column(rows)?
            } else {
                let form = rest[len + 1..].first_chunk::<FORM_BYTES>().ok_or(DAMAGED)?;
                at += FORM_BYTES;
                let form = TimeForm::from_bytes(*form).ok_or(DAMAGED)?;
                Column::Time { list: self.numbers(rows)?, form }
            };
            self.made.pieces.push(Piece::Column(self.made.columns.len() as u32));
            self.made.columns.push(column);
        }
        Ok(())
    }

    fn column(&mut self, rows: usize) -> Result<Column> {
        Ok(match self.heads.u8()? {
            kinds::TEXT => {
                let classes = self.heads.u8()?;
                Column::Text { first: self.texts(rows)?, classes }
            }
            kinds::DICTIONARY => {
                let distinct = self.heads.varint_u32()?;
                let first = self.texts(distinct as usize)?;
                let codes = self.codes_taken;
                self.codes_taken = self.codes_taken.checked_add(rows as u32).ok_or(DAMAGED)?;
                Column::Dictionary { codes, rows: rows as u32, first, distinct }
            }
            kind @ (kinds::NUMBER | kinds::WIDE_NUMBER | kinds::FREQUENT_NUMBER) => {
                let digits = Digits::decode(&mut self.heads)?;
                let lengths = if digits == Digits::Any { self.numbers(rows)? } else { 0 };
                match kind {
                    kinds::NUMBER => Column::Number { list: self.numbers(rows)?, digits, lengths },
                    kinds::FREQUENT_NUMBER => {
                        let first = self.codes_taken as usize;
                        self.codes_taken += rows as u32;
                        let form = FrequentForm::decode(&mut self.heads, first..first + rows)?;
                        let list = self.add(NumberForm::Frequent(form));
                        Column::Number { list, digits, lengths }
                    }
                    _ => Column::WideNumber { first: self.wide(8, rows)?, digits, lengths },
                }
            }
            kind @ (kinds::HEX_LOWER | kinds::HEX_UPPER) => {
                let digits = self.heads.u8()?;
                let first = self.wide(usize::from(digits).div_ceil(2), rows)?;
                Column::Hex { first, digits, upper: kind == kinds::HEX_UPPER }
            }
            kinds::UUID => Column::Uuid { first: self.wide(16, rows)? },
            _ => return Err(DAMAGED),
        })
    }

    fn texts(&mut self, count: usize) -> Result<u32> {
        let first = self.made.texts as u32;
        self.made.texts = self.made.texts.checked_add(count).ok_or(DAMAGED)?;
        Ok(first)
    }

    fn numbers(&mut self, count: usize) -> Result<u32> {
        let form = PackedForm::decode(&mut self.heads)?;
        Ok(self.add(NumberForm::Packed(form, count)))
    }

    fn add(&mut self, form: NumberForm) -> u32 {
        self.made.forms.push(form);
        self.made.forms.len() as u32 - 1
    }

    fn wide(&mut self, width: usize, count: usize) -> Result<u32> {
        let known = self.made.wide_counts.get_mut(width).filter(|_| width > 0).ok_or(DAMAGED)?;
        let first = *known as u32;
        *known += count;
        Ok(first)
    }

    /// Checks that everything was used up, codes among it.
    pub(super) fn finish(self, codes: usize) -> Result<Made> {
        self.heads.finish()?;
        if self.codes_taken as usize == codes { Ok(self.made) } else { Err(DAMAGED) }
    }
}
