//! A block of lines as its readers see it: without building lines that nobody wants.

use std::ops::Range;
use std::sync::atomic::{AtomicBool, Ordering};

use model::column_lines::{self, ColumnLines, LineField, RowMatch, ShapeMatch};
use model::columns::Lines;

use crate::error::Result;

use super::block::{Column, DAMAGED, Piece, ShapeBlock};
use super::fields::{self, Field, FieldPart, Fields};
use super::kinds::Digits;
use super::matching::LineTest;

/// The lines of a block as shapes and columns.
///
/// Rows of one shape have a *rank* among themselves: 0 for the first such row of the block.
pub struct LineColumns {
    pub(crate) block: ShapeBlock,
    ranks: Vec<u32>,
    is_damaged: AtomicBool,
}

impl LineColumns {
    pub(crate) fn new(block: ShapeBlock) -> Self {
        let mut next = vec![0; block.shapes.len()];
        let rank = |shape: &u32| {
            let next = &mut next[*shape as usize];
            *next += 1;
            *next - 1
        };
        let ranks = block.rows.iter().map(rank).collect();
        Self { block, ranks, is_damaged: AtomicBool::new(false) }
    }

    /// The shape of every row. Rows of shape 0 have no columns: build their lines.
    #[must_use]
    pub fn row_shapes(&self) -> &[u32] {
        &self.block.rows
    }

    /// How many shapes there are, the one at 0 among them.
    #[must_use]
    pub fn shapes(&self) -> usize {
        self.block.shapes.len()
    }

    /// The rank of every row.
    #[must_use]
    pub fn ranks(&self) -> &[u32] {
        &self.ranks
    }

    /// All lines, given the time of every row.
    ///
    /// # Errors
    ///
    /// As [`crate::decode_lines`].
    pub fn lines(&self, timestamps: &[i64]) -> Result<Lines> {
        self.checked(self.block.lines(timestamps))
    }

    /// The lines of the given rows, which ascend; `timestamps` are those of all rows of the block.
    ///
    /// # Errors
    ///
    /// As [`crate::decode_lines`].
    pub fn some_lines(&self, rows: &[u32], timestamps: &[i64]) -> Result<Lines> {
        self.checked(self.block.some_lines(rows, timestamps))
    }

    /// Bytes of every line.
    pub(crate) fn lengths(&self) -> Result<Vec<u32>> {
        self.checked(self.block.lengths())
    }

    /// What was read, unless something of it was damaged.
    fn checked<T>(&self, read: Result<T>) -> Result<T> {
        if self.block.is_damaged() { Err(DAMAGED) } else { read }
    }

    /// Tests every row's line, as far as this is possible without building it.
    #[must_use]
    pub fn test(&self, test: &LineTest) -> Vec<RowMatch> {
        let shapes = test.shapes(&self.block, |_| true);
        let rows = self.block.rows.iter().zip(&self.ranks);
        rows.map(|(shape, rank)| shapes[*shape as usize].get(*rank)).collect()
    }

    /// What the lines of each shape hold as JSON objects.
    ///
    /// Where a shape has fields, every one of its lines is a JSON object, behind which there may be
    /// blanks, that has exactly these scalar members, in this order; arrays are left out, members
    /// of objects within objects have longer paths. No key and no string holds an escape, a quote or a control character, and
    /// numbers are valid ones. Strings and keys may hold bytes that are no UTF-8, and a key may
    /// occur twice: names and their conflicts are the caller's. Where a shape has none, build its
    /// lines.
    #[must_use]
    pub fn json_fields(&self) -> Fields {
        Fields::json(&self.block)
    }

    /// What the lines of each shape hold as `key=value` pairs.
    ///
    /// Where a shape has fields, every one of its lines consists of exactly these pairs, in this
    /// order, with spaces between and around them. A value stands bare, is not empty and holds
    /// neither spaces, quotes nor `=`; or it stands in quotes without escapes, and may be empty.
    /// Otherwise as [`LineColumns::json_fields`].
    #[must_use]
    pub fn logfmt_fields(&self) -> Fields {
        Fields::logfmt(&self.block)
    }

    /// Appends the value of a field in the row of this rank of the field's shape, given the row's
    /// time.
    ///
    /// # Errors
    ///
    /// As [`crate::decode_lines`].
    pub fn value(&self, field: &Field, rank: u32, timestamp: i64, out: &mut Vec<u8>) -> Result<()> {
        for part in &field.parts {
            match part {
                FieldPart::Literal(range) => {
                    let range = range.start as usize..range.end as usize;
                    out.extend_from_slice(&self.block.shape_text[range]);
                }
                FieldPart::Column(column) => {
                    let column = &self.block.columns[*column as usize];
                    self.block.write_value(column, rank, timestamp, out)?;
                }
            }
        }
        Ok(())
    }

    /// The value of a field that is the same in all rows of its shape.
    #[must_use]
    pub fn constant(&self, field: &Field) -> Option<&[u8]> {
        match &field.parts[..] {
            [] => Some(&[]),
            [FieldPart::Literal(range)] => {
                Some(&self.block.shape_text[range.start as usize..range.end as usize])
            }
            _ => None,
        }
    }

    /// The values of a field by rank, when they are canonical decimal numbers without sign or
    /// fraction, below 2³⁴.
    #[must_use]
    pub fn numbers(&self, field: &Field) -> Option<&[i64]> {
        match self.single(field)? {
            Column::Number { list, digits: Digits::Canonical, .. } => {
                self.block.numbers(*list).ok()
            }
            _ => None,
        }
    }

    /// The distinct values of a field and, by rank, which of them each row has, when the field is
    /// kept that way.
    #[must_use]
    pub fn dictionary(&self, field: &Field) -> Option<(Vec<&[u8]>, &[u8])> {
        match self.single(field)? {
            Column::Dictionary { codes, rows, first, distinct } => {
                let codes = self.block.codes(*codes, *rows)?;
                Some(((*first..first + distinct).map(|at| self.block.text(at)).collect(), codes))
            }
            _ => None,
        }
    }

    fn single(&self, field: &Field) -> Option<&Column> {
        match &field.parts[..] {
            [FieldPart::Column(column)] => self.block.columns.get(*column as usize),
            _ => None,
        }
    }

    /// Bytes of the keys of a field, the outermost first.
    pub fn path<'s>(&'s self, field: &'s Field) -> impl Iterator<Item = &'s [u8]> {
        let key = |range: &std::ops::Range<u32>| {
            &self.block.shape_text[range.start as usize..range.end as usize]
        };
        field.path.iter().map(key)
    }

    /// What all lines of a shape have in common: their texts, with `None` where they differ.
    pub fn skeleton(&self, shape: u32) -> impl Iterator<Item = Option<&[u8]>> {
        self.block.pieces_of(shape).iter().map(|piece| match piece {
            Piece::Literal(range) => {
                Some(&self.block.shape_text[range.start as usize..range.end as usize])
            }
            Piece::Column(_) => None,
        })
    }
}

impl LineColumns {
    /// A field as others see it.
    fn line_field(&self, field: &Field) -> LineField {
        let text = |range: &Range<u32>| -> Box<[u8]> {
            self.block.shape_text[range.start as usize..range.end as usize].into()
        };
        let part = |part: &FieldPart| match part {
            FieldPart::Literal(range) => column_lines::FieldPart::Same(text(range)),
            FieldPart::Column(column) => column_lines::FieldPart::Column(*column),
        };
        LineField {
            kind: field.kind,
            keys: field.path.iter().map(text).collect(),
            parts: field.parts.iter().map(part).collect(),
        }
    }

    fn line_fields(&self, fields: Option<Vec<Field>>) -> Option<Vec<LineField>> {
        Some(fields?.iter().map(|field| self.line_field(field)).collect())
    }

    /// Notes damage, and takes back what was written of the damaged text.
    fn note(&self, result: Result<()>, start: usize, out: &mut Vec<u8>) {
        if result.is_err() {
            self.is_damaged.store(true, Ordering::Relaxed);
            out.truncate(start);
        }
    }
}

impl std::fmt::Debug for LineColumns {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        f.debug_struct("LineColumns").field("shapes", &self.shapes()).finish_non_exhaustive()
    }
}

impl ColumnLines for LineColumns {
    fn row_shapes(&self) -> &[u32] {
        &self.block.rows
    }

    fn ranks(&self) -> &[u32] {
        &self.ranks
    }

    fn shapes(&self) -> usize {
        self.block.shapes.len()
    }

    fn line_bytes(&self) -> u64 {
        self.block.raw_bytes as u64
    }

    fn find(&self, text: &[u8], ignores_case: bool, wanted: &[bool]) -> Vec<ShapeMatch> {
        let test =
            if ignores_case { LineTest::contains_any_case(text) } else { LineTest::contains(text) };
        test.shapes(&self.block, |shape| wanted.get(shape).copied().unwrap_or(true))
    }

    fn json_fields(&self, shape: u32) -> Option<Vec<LineField>> {
        self.line_fields(fields::json_of(&self.block, shape))
    }

    fn logfmt_fields(
        &self,
        shape: u32,
        is_wanted: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Option<Vec<LineField>> {
        self.line_fields(fields::logfmt_of(&self.block, shape, is_wanted))
    }

    fn append_value(&self, column: u32, rank: u32, timestamp: i64, out: &mut Vec<u8>) {
        let start = out.len();
        let result = match self.block.columns.get(column as usize) {
            Some(column) => self.block.write_value(column, rank, timestamp, out),
            None => Err(DAMAGED),
        };
        self.note(result, start, out);
    }

    fn dictionary(&self, column: u32) -> Option<(Vec<&[u8]>, &[u8])> {
        match self.block.columns.get(column as usize)? {
            Column::Dictionary { codes, rows, first, distinct } => {
                let codes = self.block.codes(*codes, *rows)?;
                Some(((*first..first + distinct).map(|at| self.block.text(at)).collect(), codes))
            }
            _ => None,
        }
    }

    fn numbers(&self, column: u32) -> Option<&[i64]> {
        match self.block.columns.get(column as usize)? {
            Column::Number { list, digits: Digits::Canonical | Digits::Fixed(_), .. } => {
                self.block.numbers(*list).ok()
            }
            _ => None,
        }
    }

    fn append_line(&self, row: usize, timestamp: i64, out: &mut Vec<u8>) {
        let start = out.len();
        let result = match (self.block.rows.get(row), self.ranks.get(row)) {
            (Some(shape), Some(rank)) => {
                let end = start + self.block.raw_bytes;
                self.block.write_row((*shape, *rank), timestamp, end, out)
            }
            _ => Err(DAMAGED),
        };
        self.note(result, start, out);
    }

    fn is_damaged(&self) -> bool {
        self.is_damaged.load(Ordering::Relaxed) || self.block.is_damaged()
    }
}
