//! A block of shapes and columns: what its readers ask for.
//!
//! Opening a block reads its shapes and which row has which; texts, codes, numbers and identifiers
//! are read when somebody first wants them, because most questions need few of them.

use std::ops::Range;
use std::sync::OnceLock;

use bytes::Bytes;

use crate::encoding::cursor::Cursor;
use crate::encoding::frame::{Blob, decode_blob};
use crate::error::{FormatError, Result};

use super::kinds::{self, Digits};
use super::numbers::NumberForm;
use super::parts::{Places, Plain, Texts};
use super::reader::Reader;
use super::times::TimeForm;
use super::wide::WideList;

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
    pub(super) rows: u32,
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

/// A block whose columns can be read.
pub(crate) struct ShapeBlock {
    /// Shapes from 1 on; the one at 0 stands for the rows that are kept as they are.
    pub(super) shapes: Vec<ShapeParts>,
    pub(super) pieces: Vec<Piece>,
    pub(super) shape_text: Vec<u8>,
    pub(super) columns: Vec<Column>,
    /// The shape of every row.
    pub(super) rows: Vec<u32>,
    pub(super) raw_bytes: usize,
    /// The whole chunk, for what is not read yet.
    payload: Bytes,
    /// Rows that are kept as they are.
    plain: (Blob, OnceLock<Option<Plain>>),
    /// How many texts there are, and the texts.
    texts: (usize, Blob, OnceLock<Option<Texts>>),
    codes: (Blob, OnceLock<Option<Vec<u8>>>),
    /// Where the packed numbers of all columns stand, and each list among them.
    bits: (Range<usize>, OnceLock<Option<Places>>),
    forms: Vec<NumberForm>,
    /// Lists of numbers; `None` when they are damaged.
    numbers: Box<[OnceLock<Option<Vec<i64>>>]>,
    /// By width.
    wide: Vec<WideList>,
}

impl ShapeBlock {
    /// Opens a chunk of `rows` rows with `raw_bytes` bytes of lines, and reads all of it.
    pub(crate) fn decode(payload: &[u8], rows: usize, raw_bytes: usize) -> Result<Self> {
        let block = Self::open(Bytes::copy_from_slice(payload), rows, raw_bytes)?;
        block.read_all()?;
        Ok(block)
    }

    /// Opens a chunk of `rows` rows with `raw_bytes` bytes of lines. Damage of what is read later
    /// shows then: see [`ShapeBlock::is_damaged`].
    pub(crate) fn open(payload: Bytes, rows: usize, raw_bytes: usize) -> Result<Self> {
        let all = payload.len();
        let mut cursor = Cursor::new(&payload, "line columns");
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
        let plain = Blob::pass(cursor, all, raw_bytes + 5 * rows)?;
        let texts = Blob::pass(cursor, all, 2 * raw_bytes)?;
        let codes = Blob::pass(cursor, all, raw_bytes)?;
        let bits_len = cursor.bytes()?.len();
        let bits_end = all - cursor.remaining();
        let mut reader = Reader::new(&heads, shape_rows[0], raw_bytes);
        reader.read_shapes(&shape_text, &shape_rows)?;
        let made = reader.finish(codes.len())?;
        let mut wide = Vec::with_capacity(made.wide_counts.len());
        for (width, count) in made.wide_counts.iter().enumerate() {
            wide.push(match count {
                0 => WideList::default(),
                count => WideList::pass(cursor, all, width, *count)?,
            });
        }
        cursor.clone().finish()?;
        Ok(Self {
            shapes: made.shapes,
            pieces: made.pieces,
            shape_text,
            columns: made.columns,
            rows: row_shapes,
            raw_bytes,
            plain: (plain, OnceLock::new()),
            texts: (made.texts, texts, OnceLock::new()),
            codes: (codes, OnceLock::new()),
            bits: (bits_end - bits_len..bits_end, OnceLock::new()),
            numbers: made.forms.iter().map(|_| OnceLock::new()).collect(),
            forms: made.forms,
            wide,
            payload,
        })
    }

    /// Reads everything but the numbers themselves, whose places are checked.
    fn read_all(&self) -> Result<()> {
        self.all_plain().ok_or(DAMAGED)?;
        self.all_texts().ok_or(DAMAGED)?;
        self.all_codes().ok_or(DAMAGED)?;
        self.places().ok_or(DAMAGED)?;
        let is_sound = |list: &WideList| list.read(&self.payload).is_some();
        if self.wide.iter().all(is_sound) { Ok(()) } else { Err(DAMAGED) }
    }

    /// Whether something that was read so far turned out to be damaged.
    pub(super) fn is_damaged(&self) -> bool {
        fn is_none<T>(part: &OnceLock<Option<T>>) -> bool {
            part.get().is_some_and(Option::is_none)
        }
        is_none(&self.plain.1)
            || is_none(&self.texts.2)
            || is_none(&self.codes.1)
            || is_none(&self.bits.1)
            || self.wide.iter().any(WideList::is_damaged)
    }

    fn all_plain(&self) -> Option<&Plain> {
        let (blob, read) = &self.plain;
        let rows = self.shapes.first().map_or(0, |shape| shape.rows as usize);
        read.get_or_init(|| Plain::read(blob.read(&self.payload).ok()?, rows).ok()).as_ref()
    }

    fn all_texts(&self) -> Option<&Texts> {
        let (count, blob, read) = &self.texts;
        read.get_or_init(|| Texts::read(blob.read(&self.payload).ok()?, *count)).as_ref()
    }

    fn all_codes(&self) -> Option<&[u8]> {
        let (blob, read) = &self.codes;
        let codes = read.get_or_init(|| {
            let all = blob.read(&self.payload).ok()?;
            let is_sound = |column: &Column| match column {
                Column::Dictionary { codes, rows, distinct, .. } => {
                    let own = all.get(*codes as usize..(codes + rows) as usize);
                    own.is_some_and(|own| {
                        own.iter().max().is_none_or(|most| u32::from(*most) < *distinct)
                    })
                }
                _ => true,
            };
            self.columns.iter().all(is_sound).then_some(all)
        });
        codes.as_deref()
    }

    /// Where the lists of numbers stand.
    fn places(&self) -> Option<&Places> {
        let (bits, read) = &self.bits;
        let codes = || self.all_codes();
        read.get_or_init(|| Places::find(&self.forms, &self.payload[bits.clone()], codes).ok())
            .as_ref()
    }

    /// A text of the list of texts.
    pub(super) fn text(&self, at: u32) -> &[u8] {
        self.all_texts().map_or(&[], |texts| texts.get(at))
    }

    /// So many texts one after the other, each followed by a line feed, and where they begin and the
    /// last ends among all texts.
    pub(super) fn text_run(&self, first: u32, count: usize) -> (&[u8], &[u32]) {
        self.all_texts().map_or((&[], &[]), |texts| texts.run(first, count))
    }

    /// How many rows have a shape.
    pub(super) fn shape_rows(&self, shape: u32) -> u32 {
        self.shapes.get(shape as usize).map_or(0, |shape| shape.rows)
    }

    /// So many codes from a place on.
    pub(super) fn codes(&self, first: u32, count: u32) -> Option<&[u8]> {
        self.all_codes()?.get(first as usize..first as usize + count as usize)
    }

    /// A code of the list of codes.
    pub(super) fn code(&self, at: u32) -> u32 {
        let code = self.all_codes().and_then(|codes| codes.get(at as usize));
        code.map_or(0, |code| u32::from(*code))
    }

    /// A list of numbers, by rank.
    pub(super) fn numbers(&self, list: u32) -> Result<&[i64]> {
        let list = list as usize;
        let read = || {
            let bits = &self.payload[self.bits.0.clone()];
            let place = self.places()?.of(list)?;
            self.forms[list].read(place, bits, || self.all_codes()).ok()
        };
        let numbers = self.numbers.get(list).ok_or(DAMAGED)?;
        numbers.get_or_init(read).as_deref().ok_or(DAMAGED)
    }

    /// A wide value.
    pub(super) fn wide(&self, width: usize, at: u32) -> &[u8] {
        self.wide.get(width).map_or(&[], |list| list.get(&self.payload, at as usize))
    }

    /// A row that is kept as it is.
    pub(super) fn plain(&self, at: u32) -> &[u8] {
        self.all_plain().map_or(&[], |plain| plain.get(at))
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
