//! Reading a block of shapes and columns: everything but the lines themselves.

use std::ops::Range;
use std::sync::OnceLock;

use crate::encoding::cursor::Cursor;
use crate::encoding::frame::decode_blob;
use crate::error::{FormatError, Result};

use super::frequent::FrequentNumbers;
use super::kinds::{self, Digits};
use super::numbers::Packed;
use super::times::{FORM_BYTES, TimeForm};
use super::tokens::{SLOT, TIME};
use super::wide::{WIDTH_MAX, WideList};

/// What is wrong with a damaged chunk.
pub(super) const DAMAGED: FormatError = FormatError::Corrupt("line columns");
/// Most bytes of a column's description for each byte of its values.
const HEAD_BYTES_MAX: usize = 10;
/// Bytes that any part may have, however small the block.
const SMALL_BYTES: usize = 1024;

/// The parts of a line of some shape, in order.
#[derive(Debug, Clone)]
pub(super) enum Piece {
    /// The same in every row: a part of [`ShapeBlock::shape_text`].
    Literal(Range<u32>),
    /// A place in [`ShapeBlock::columns`].
    Column(u32),
}

/// A shape as it was read back.
#[derive(Debug, Clone)]
pub(super) struct ShapeParts {
    rows: u32,
    pub(super) pieces: Range<u32>,
}

/// The values at one place of one shape, by rank among the rows of that shape.
#[derive(Debug, Clone)]
pub(super) enum Column {
    /// From this place of the texts on.
    Text { first: u32, classes: u8 },
    /// So many codes from this place on, for the texts from that place on.
    Dictionary { codes: u32, rows: u32, first: u32, distinct: u32 },
    /// A list of numbers, and with [`Digits::Any`] that of their lengths.
    Number { list: u32, digits: Digits, lengths: u32 },
    /// The same among the wide values of eight bytes.
    WideNumber { first: u32, digits: Digits, lengths: u32 },
    /// Wide values from this place on: so many digits.
    Hex { first: u32, digits: u8, upper: bool },
    /// Wide values of 16 bytes from this place on.
    Uuid { first: u32 },
    /// Distances from the row's own time.
    Time { list: u32, form: TimeForm },
}

/// The numbers of a column, read when they are first wanted; `None` when they are damaged.
#[derive(Debug)]
struct Numbers {
    from: NumbersFrom,
    read: OnceLock<Option<Vec<i64>>>,
}

#[derive(Debug)]
enum NumbersFrom {
    Packed(Packed),
    Frequent(FrequentNumbers),
}

/// A block whose columns can be read.
pub(crate) struct ShapeBlock {
    /// Shapes from 1 on; the one at 0 stands for the rows that are kept as they are.
    pub(super) shapes: Vec<ShapeParts>,
    pub(super) pieces: Vec<Piece>,
    pub(super) shape_text: Vec<u8>,
    pub(super) columns: Vec<Column>,
    /// The shape of every row.
    pub(super) rows: Vec<u32>,
    /// The rows that are kept as they are, and where each of them begins.
    pub(super) plain: Vec<u8>,
    pub(super) plain_starts: Vec<u32>,
    texts: Vec<u8>,
    /// Where every text begins; one more than there are.
    text_starts: Vec<u32>,
    codes: Vec<u8>,
    /// Packed numbers of all columns.
    bits: Vec<u8>,
    numbers: Vec<Numbers>,
    /// By width.
    wide: Vec<WideList>,
    pub(super) raw_bytes: usize,
}

impl ShapeBlock {
    /// Reads a chunk of `rows` rows with `raw_bytes` bytes of lines.
    pub(crate) fn decode(payload: &[u8], rows: usize, raw_bytes: usize) -> Result<Self> {
        let mut cursor = Cursor::new(payload, "line columns");
        let cursor = &mut cursor;
        let count = cursor.varint_u32()? as usize;
        if count > rows {
            return Err(DAMAGED);
        }
        let shape_text = decode_blob(cursor, raw_bytes + 8 * rows)?;
        let heads = decode_blob(cursor, HEAD_BYTES_MAX * raw_bytes + SMALL_BYTES)?;
        let code_bytes = kinds::code_bytes(count + 1);
        let row_codes = decode_blob(cursor, rows * code_bytes)?;
        let row_shapes = row_shapes(&row_codes, code_bytes, rows)?;
        let mut shape_rows = vec![0u32; count + 1];
        for shape in &row_shapes {
            *shape_rows.get_mut(*shape as usize).ok_or(DAMAGED)? += 1;
        }
        let plain = decode_blob(cursor, raw_bytes + 5 * rows)?;
        let plain_starts = plain_starts(&plain, shape_rows[0] as usize)?;
        let texts = decode_blob(cursor, 2 * raw_bytes)?;
        let codes = decode_blob(cursor, raw_bytes)?;
        let bits = cursor.bytes()?;
        let mut reader = Reader {
            heads: Cursor::new(&heads, "line columns"),
            bits: Cursor::new(bits, "line columns"),
            all_bits: bits.len(),
            codes: Cursor::new(&codes, "line columns"),
            codes_taken: 0,
            values_left: raw_bytes,
            texts: 0,
            wide_counts: [0; WIDTH_MAX + 1],
            shapes: vec![ShapeParts { rows: shape_rows[0], pieces: 0..0 }],
            pieces: Vec::new(),
            columns: Vec::new(),
            numbers: Vec::new(),
        };
        reader.read_shapes(&shape_text, &shape_rows)?;
        let Reader { shapes, pieces, columns, numbers, .. } = &mut reader;
        let (shapes, pieces) = (std::mem::take(shapes), std::mem::take(pieces));
        let (columns, numbers) = (std::mem::take(columns), std::mem::take(numbers));
        let text_starts = starts_of(&texts);
        let wide = reader.finish(text_starts.len() - 1, cursor)?;
        // Fields rely on it that values are printable and need no escapes.
        let is_odd =
            |byte: &u8| (*byte <= b' ' && *byte != b'\n') | (*byte == b'"') | (*byte == b'\\');
        if text_starts.last().is_none_or(|end| *end as usize != texts.len())
            || texts.iter().filter(|byte| is_odd(byte)).count() > 0
        {
            return Err(DAMAGED);
        }
        Ok(Self {
            shapes,
            pieces,
            shape_text,
            columns,
            rows: row_shapes,
            plain,
            plain_starts,
            texts,
            text_starts,
            codes,
            bits: bits.to_vec(),
            numbers,
            wide,
            raw_bytes,
        })
    }

    /// A text of the list of texts.
    pub(super) fn text(&self, at: u32) -> &[u8] {
        let at = at as usize;
        match self.text_starts.get(at..at + 2) {
            Some(&[start, end]) => &self.texts[start as usize..end as usize - 1],
            _ => &[],
        }
    }

    /// So many texts one after the other, each followed by a line feed, and where they begin and the
    /// last ends among all texts.
    pub(super) fn text_run(&self, first: u32, count: usize) -> (&[u8], &[u32]) {
        let first = first as usize;
        let starts = self.text_starts.get(first..first + count + 1).unwrap_or_default();
        match (starts.first(), starts.last()) {
            (Some(start), Some(end)) => (&self.texts[*start as usize..*end as usize], starts),
            _ => (&[], &[]),
        }
    }

    /// How many rows have a shape.
    pub(super) fn shape_rows(&self, shape: u32) -> u32 {
        self.shapes.get(shape as usize).map_or(0, |shape| shape.rows)
    }

    /// So many codes from a place on.
    pub(super) fn codes(&self, first: u32, count: u32) -> Option<&[u8]> {
        self.codes.get(first as usize..first as usize + count as usize)
    }

    /// A code of the list of codes.
    pub(super) fn code(&self, at: u32) -> u32 {
        self.codes.get(at as usize).map_or(0, |code| u32::from(*code))
    }

    /// A list of numbers, by rank.
    pub(super) fn numbers(&self, list: u32) -> Result<&[i64]> {
        let numbers = self.numbers.get(list as usize).ok_or(DAMAGED)?;
        let read = || match &numbers.from {
            NumbersFrom::Packed(from) => from.read(&self.bits).ok(),
            NumbersFrom::Frequent(from) => from.read(&self.codes, &self.bits).ok(),
        };
        numbers.read.get_or_init(read).as_deref().ok_or(DAMAGED)
    }

    /// A wide value.
    pub(super) fn wide(&self, width: usize, at: u32) -> &[u8] {
        self.wide.get(width).map_or(&[], |list| list.get(at as usize))
    }

    /// A row that is kept as it is.
    pub(super) fn plain(&self, at: u32) -> &[u8] {
        let at = at as usize;
        match self.plain_starts.get(at..at + 2) {
            Some(&[start, end]) => &self.plain[start as usize..end as usize],
            _ => &[],
        }
    }
}

/// Reads columns one after the other.
struct Reader<'b> {
    heads: Cursor<'b>,
    bits: Cursor<'b>,
    all_bits: usize,
    codes: Cursor<'b>,
    codes_taken: u32,
    /// How many values there can still be: each has a byte of a line at least.
    values_left: usize,
    /// How many texts have been given to columns.
    texts: usize,
    /// How many wide values of each width.
    wide_counts: [usize; WIDTH_MAX + 1],
    shapes: Vec<ShapeParts>,
    pieces: Vec<Piece>,
    columns: Vec<Column>,
    numbers: Vec<Numbers>,
}

impl Reader<'_> {
    fn read_shapes(&mut self, text: &[u8], rows: &[u32]) -> Result<()> {
        let mut cursor = Cursor::new(text, "line columns");
        let mut lengths = Vec::with_capacity(rows.len() - 1);
        for _ in 1..rows.len() {
            lengths.push(cursor.varint_u32()? as usize);
        }
        let mut at = text.len() - cursor.remaining();
        for (len, rows) in lengths.into_iter().zip(&rows[1..]) {
            let first = self.pieces.len() as u32;
            self.read_shape(cursor.take(len)?, at, *rows as usize)?;
            let pieces = first..self.pieces.len() as u32;
            self.shapes.push(ShapeParts { rows: *rows, pieces });
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
                self.pieces.push(Piece::Literal(literal..literal + len as u32));
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
            self.pieces.push(Piece::Column(self.columns.len() as u32));
            self.columns.push(column);
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
                self.codes_taken += rows as u32;
                if self.codes.take(rows)?.iter().any(|code| u32::from(*code) >= distinct) {
                    return Err(DAMAGED);
                }
                Column::Dictionary { codes, rows: rows as u32, first, distinct }
            }
            kind @ (kinds::NUMBER | kinds::WIDE_NUMBER | kinds::FREQUENT_NUMBER) => {
                let digits = Digits::decode(&mut self.heads)?;
                let lengths = if digits == Digits::Any { self.numbers(rows)? } else { 0 };
                match kind {
                    kinds::NUMBER => Column::Number { list: self.numbers(rows)?, digits, lengths },
                    kinds::FREQUENT_NUMBER => {
                        let codes = (self.codes.take(rows)?, self.codes_taken as usize);
                        self.codes_taken += rows as u32;
                        let bits = (&mut self.bits, self.all_bits);
                        let from = FrequentNumbers::decode(&mut self.heads, codes, bits)?;
                        let list = self.add(NumbersFrom::Frequent(from));
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
        let first = self.texts as u32;
        self.texts = self.texts.checked_add(count).ok_or(DAMAGED)?;
        Ok(first)
    }

    fn numbers(&mut self, count: usize) -> Result<u32> {
        let from = Packed::decode(&mut self.heads, (&mut self.bits, self.all_bits), count)?;
        Ok(self.add(NumbersFrom::Packed(from)))
    }

    fn add(&mut self, from: NumbersFrom) -> u32 {
        self.numbers.push(Numbers { from, read: OnceLock::new() });
        self.numbers.len() as u32 - 1
    }

    fn wide(&mut self, width: usize, count: usize) -> Result<u32> {
        let known = self.wide_counts.get_mut(width).filter(|_| width > 0).ok_or(DAMAGED)?;
        let first = *known as u32;
        *known += count;
        Ok(first)
    }

    /// Checks that everything was used up, and reads the wide values.
    fn finish(self, texts: usize, cursor: &mut Cursor<'_>) -> Result<Vec<WideList>> {
        self.heads.finish()?;
        self.bits.finish()?;
        self.codes.finish()?;
        if self.texts != texts {
            return Err(DAMAGED);
        }
        let mut wide = Vec::with_capacity(self.wide_counts.len());
        for (width, count) in self.wide_counts.iter().enumerate() {
            wide.push(match count {
                0 => WideList::default(),
                count => WideList::decode(cursor, width, *count)?,
            });
        }
        cursor.clone().finish()?;
        Ok(wide)
    }
}

fn row_shapes(codes: &[u8], width: usize, rows: usize) -> Result<Vec<u32>> {
    if codes.len() != rows * width {
        return Err(DAMAGED);
    }
    Ok(match width {
        1 => codes.iter().map(|code| u32::from(*code)).collect(),
        2 => codes.as_chunks().0.iter().map(|code| u32::from(u16::from_le_bytes(*code))).collect(),
        _ => codes.as_chunks().0.iter().map(|code| u32::from_le_bytes(*code)).collect(),
    })
}

/// Where the plain rows begin in their part, and the end of the last.
fn plain_starts(part: &[u8], rows: usize) -> Result<Vec<u32>> {
    let mut cursor = Cursor::new(part, "line columns");
    let mut lengths = Vec::new();
    for _ in 0..rows {
        lengths.push(cursor.varint_u32()?);
    }
    let mut end = (part.len() - cursor.remaining()) as u32;
    let mut starts = vec![end];
    for length in lengths {
        end = end.checked_add(length).ok_or(DAMAGED)?;
        starts.push(end);
    }
    if part.len() == end as usize { Ok(starts) } else { Err(DAMAGED) }
}

/// Where texts begin of which each ends with a line feed, and the end of the last.
fn starts_of(texts: &[u8]) -> Vec<u32> {
    let mut starts = vec![0];
    starts.extend(memchr::memchr_iter(b'\n', texts).map(|at| at as u32 + 1));
    starts
}
