//! Writing the lines of a block as shapes and columns.

use crate::encoding::cursor::put_varint;
use crate::encoding::frame::FrameEncoder;
use crate::error::Result;

use super::classes::{DASH, DIGITS, HEX_LOWER, HEX_UPPER, classes_of};
use super::dictionary::Dictionary;
use super::frequent::Frequent;
use super::kinds::{self, Digits};
use super::masks::Masks;
use super::numbers;
use super::table::{PLAIN, ShapeTable};
use super::times::{FORM_BYTES, TimeForm};
use super::tokens::{SLOT, Slot, TIME};
use super::wide::{WIDTH_MAX, WideBuilder};
use super::words::{are_digits, bytes_of_hex, number_of, word_at};

/// Blocks below this are compared whole with plain lines.
const SAMPLE_BYTES_MIN: usize = 128 << 10;
/// Of larger ones, this part is.
const SAMPLE_PART: usize = 16;
/// From so many places.
const SAMPLES: usize = 8;
/// Most blocks that follow one another without an attempt, plus one.
const DECLINED_MAX: u32 = 8;
/// Fewer values are not worth a dictionary.
const DICTIONARY_ROWS_MIN: usize = 24;
/// Numbers of more bits count as identifiers.
const NUMBER_BITS_MAX: u32 = 34;
/// Most digits of a number.
const NUMBER_DIGITS_MAX: usize = 19;

/// Turns the lines of a block into a chunk. Its buffers are reused from block to block.
#[derive(Default)]
pub(crate) struct ColumnsEncoder {
    table: ShapeTable,
    parts: Parts,
    /// Where the slots of each row of a shape begin.
    firsts: Vec<u32>,
    /// The values of a column, and the first eight bytes of each.
    values: Vec<Slot>,
    words: Vec<u64>,
    dictionary: Dictionary,
    frequent: Frequent,
    numbers: Vec<i64>,
    lengths: Vec<i64>,
    packed: Vec<u8>,
    /// How many blocks in a row did not gain, up to a limit.
    declined: u32,
    blocks_to_skip: u32,
    /// Whether the lines of the block were looked at.
    was_scanned: bool,
}

/// What a chunk is made of, before compression.
#[derive(Default)]
struct Parts {
    /// The texts of shapes, with constant slots filled in.
    shapes: Vec<u8>,
    /// How long those are.
    shape_lengths: Vec<u8>,
    /// What describes the columns.
    heads: Vec<u8>,
    /// Values that are texts.
    texts: Vec<u8>,
    /// Places in dictionaries.
    codes: Vec<u8>,
    /// Packed numbers.
    bits: Vec<u8>,
    wide: WideBuilder,
}

/// The lines of a block.
#[derive(Debug, Clone, Copy)]
pub(crate) struct BlockLines<'a> {
    /// All of them, each followed by a newline.
    pub(crate) text: &'a [u8],
    /// Bytes of each, without the newline.
    pub(crate) lengths: &'a [u32],
    /// The time of each.
    pub(crate) timestamps: &'a [i64],
}

impl ColumnsEncoder {
    /// Appends the chunk of a block; `false` when that would not be clearly smaller than plain lines.
    pub(crate) fn encode(
        &mut self,
        block: BlockLines<'_>,
        encoder: &mut FrameEncoder,
        out: &mut Vec<u8>,
    ) -> Result<bool> {
        let BlockLines { text, lengths, .. } = block;
        self.was_scanned = self.blocks_to_skip == 0;
        if self.blocks_to_skip > 0 {
            self.blocks_to_skip -= 1;
            return Ok(false);
        }
        let start = out.len();
        if self.table.fill(text, lengths) {
            self.append(block, encoder, out)?;
            let len = out.len() - start;
            if self.is_worth_it(text, lengths, len, encoder)? {
                self.declined = 0;
                return Ok(true);
            }
            out.truncate(start);
        }
        // Lines of one kind follow each other: what failed now will probably fail again.
        self.declined = (self.declined + 1).min(DECLINED_MAX);
        self.blocks_to_skip = self.declined - 1;
        Ok(false)
    }

    /// Where the words of the block stand that was last given to [`ColumnsEncoder::encode`], if that
    /// looked at its lines.
    pub(crate) fn masks(&self) -> Option<&Masks> {
        self.was_scanned.then_some(&self.table.masks)
    }

    /// Whether a chunk of this length is smaller than what plain lines would take, as far as a
    /// sample of them tells.
    fn is_worth_it(
        &mut self,
        text: &[u8],
        lengths: &[u32],
        len: usize,
        encoder: &mut FrameEncoder,
    ) -> Result<bool> {
        // Parts from all over the block, because streams of several kinds may share it.
        let mut sample = Vec::new();
        let part = (text.len() / SAMPLE_PART).max(SAMPLE_BYTES_MIN / 2) / SAMPLES;
        if text.len() > SAMPLE_BYTES_MIN {
            let step = text.len() / SAMPLES;
            (0..SAMPLES).for_each(|n| sample.extend_from_slice(&text[n * step..n * step + part]));
        } else {
            sample.extend_from_slice(text);
        }
        self.packed.clear();
        encoder.append(&sample, &mut self.packed)?;
        let plain = self.packed.len() as u64 * text.len() as u64 / sample.len().max(1) as u64;
        // Plain lines need their lengths too.
        let plain = plain + lengths.len() as u64 / 4;
        Ok(len as u64 * 100 <= plain * 92)
    }

    fn append(
        &mut self,
        block: BlockLines<'_>,
        encoder: &mut FrameEncoder,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        let BlockLines { text, lengths, timestamps } = block;
        self.parts.clear();
        let (ordered, starts) = self.table.by_shape();
        // The first shape stands for the lines that are kept as they are.
        for (shape, start) in starts.iter().enumerate().take(self.table.shapes.len()).skip(1) {
            let start = *start as usize;
            let rows = self.table.shapes[shape].rows as usize;
            self.shape(shape, text, timestamps, &ordered[start..start + rows]);
        }
        let Parts { shapes, shape_lengths, heads, texts, codes, bits, wide } = &mut self.parts;
        put_varint(out, self.table.shapes.len() as u64 - 1);
        shape_lengths.append(shapes);
        encoder.append_blob(shape_lengths, out)?;
        encoder.append_blob(heads, out)?;
        self.packed.clear();
        row_shapes(&self.table, &mut self.packed);
        encoder.append_blob(&self.packed, out)?;
        self.packed.clear();
        plain_rows(&self.table, text, lengths, &mut self.packed);
        encoder.append_blob(&self.packed, out)?;
        encoder.append_blob(texts, out)?;
        encoder.append_blob(codes, out)?;
        put_varint(out, bits.len() as u64);
        out.extend_from_slice(bits);
        wide.encode(out);
        Ok(())
    }

    /// Adds a shape and its columns.
    fn shape(&mut self, shape: usize, text: &[u8], timestamps: &[i64], rows: &[u32]) {
        let known = self.table.shapes[shape];
        let start = self.parts.shapes.len();
        self.firsts.clear();
        self.firsts.extend(rows.iter().map(|row| self.table.firsts[*row as usize]));
        let mut slot = 0;
        let mut at = known.start;
        while at < known.end {
            let rest = &self.table.texts[at..known.end];
            let len = memchr::memchr2(SLOT, TIME, rest).unwrap_or(rest.len());
            self.parts.shapes.extend_from_slice(&rest[..len]);
            let Some(mark) = rest.get(len) else { break };
            at += len + 1;
            self.values.clear();
            let slots = &self.table.slots;
            self.values.extend(self.firsts.iter().map(|first| slots[*first as usize + slot]));
            slot += 1;
            if *mark == SLOT {
                self.column(text);
            } else {
                let mut form = [0; FORM_BYTES];
                form.copy_from_slice(&rest[len + 1..len + 1 + FORM_BYTES]);
                at += FORM_BYTES;
                self.parts.shapes.push(TIME);
                self.parts.shapes.extend_from_slice(&form);
                self.times(form, timestamps, rows);
            }
        }
        let len = self.parts.shapes.len() - start;
        put_varint(&mut self.parts.shape_lengths, len as u64);
    }

    /// Adds the column of a time.
    fn times(&mut self, form: [u8; FORM_BYTES], timestamps: &[i64], rows: &[u32]) {
        let Some(form) = TimeForm::from_bytes(form) else { return };
        let Self { values, numbers, packed, parts, .. } = self;
        numbers.clear();
        numbers.extend(
            values
                .iter()
                .zip(rows)
                .map(|(slot, row)| form.distance(slot.time_value(), timestamps[*row as usize])),
        );
        numbers::encode(numbers, packed, &mut parts.heads, &mut parts.bits);
    }

    /// Adds the column of a slot, or its only value to the text of the shape.
    fn column(&mut self, text: &[u8]) {
        let of = |slot: &Slot| &text[slot.start as usize..(slot.start + slot.len) as usize];
        let Self { values, words, dictionary, parts, .. } = self;
        let Some(first) = values.first().map(of) else { return };
        if values.iter().all(|slot| of(slot) == first) {
            parts.shapes.extend_from_slice(first);
            return;
        }
        parts.shapes.push(SLOT);
        let (classes, shortest, longest) = look_at(values, text, words);
        let is_number = classes == DIGITS && longest <= NUMBER_DIGITS_MAX;
        let number_bits = longest as u32 * 10 / 3;
        if values.len() >= DICTIONARY_ROWS_MIN && number_bits > 3 {
            let value_bits = if is_number { number_bits } else { longest as u32 * 5 };
            let words = words.iter().copied();
            if dictionary.fill(values.iter().map(of).zip(words), value_bits) {
                parts.heads.push(kinds::DICTIONARY);
                put_varint(&mut parts.heads, dictionary.len() as u64);
                for value in dictionary.values() {
                    parts.texts.extend_from_slice(value);
                    parts.texts.push(b'\n');
                }
                parts.codes.extend_from_slice(dictionary.codes());
                return;
            }
        }
        if is_number {
            self.number_column(text, shortest, longest);
            return;
        }
        let hex = classes & !DIGITS;
        let is_hex = (hex == HEX_LOWER || hex == HEX_UPPER)
            && shortest == longest
            && longest >= 4
            && longest.div_ceil(2) <= WIDTH_MAX;
        let mut packed = [0; WIDTH_MAX];
        if is_hex {
            parts.heads.push(if hex == HEX_LOWER { kinds::HEX_LOWER } else { kinds::HEX_UPPER });
            parts.heads.push(longest as u8);
            for slot in values.iter() {
                parts.wide.push(nibbles(text, slot, &mut packed));
            }
        } else if classes & !(DIGITS | HEX_LOWER | DASH) == 0
            && values.iter().map(of).all(kinds::is_uuid)
        {
            parts.heads.push(kinds::UUID);
            values.iter().for_each(|slot| parts.wide.push(&uuid_bytes(text, slot)));
        } else {
            parts.heads.push(kinds::TEXT);
            parts.heads.push(classes);
            for value in values.iter().map(of) {
                parts.texts.extend_from_slice(value);
                parts.texts.push(b'\n');
            }
        }
    }

    /// Adds the column of a slot whose values are decimal numbers of so many digits.
    fn number_column(&mut self, text: &[u8], shortest: usize, longest: usize) {
        let Self { values, words, frequent, numbers, lengths, packed, parts, .. } = self;
        let has_zeros = |(slot, word): (&Slot, &u64)| *word as u8 == b'0' && slot.len > 1;
        let digits = if !values.iter().zip(words.iter()).any(has_zeros) {
            Digits::Canonical
        } else if shortest == longest {
            Digits::Fixed(longest as u8)
        } else {
            Digits::Any
        };
        numbers.clear();
        let parsed = values.iter().zip(words.iter());
        numbers.extend(parsed.map(|(slot, word)| parse(text, slot, *word) as i64));
        let is_wide = numbers.iter().any(|value| *value as u64 >> NUMBER_BITS_MAX != 0);
        let has_frequent = !is_wide && longest > 1 && frequent.find(numbers);
        parts.heads.push(match (is_wide, has_frequent) {
            (true, _) => kinds::WIDE_NUMBER,
            (_, true) => kinds::FREQUENT_NUMBER,
            _ => kinds::NUMBER,
        });
        digits.encode(&mut parts.heads);
        if digits == Digits::Any {
            lengths.clear();
            lengths.extend(values.iter().map(|slot| i64::from(slot.len)));
            numbers::encode(lengths, packed, &mut parts.heads, &mut parts.bits);
        }
        if is_wide {
            numbers.iter().for_each(|value| parts.wide.push(&value.to_le_bytes()));
        } else if has_frequent {
            let Parts { heads, codes, bits, .. } = parts;
            frequent.encode(numbers, packed, (heads, codes, bits));
        } else {
            numbers::encode(numbers, packed, &mut parts.heads, &mut parts.bits);
        }
    }
}

impl Parts {
    fn clear(&mut self) {
        let Self { shapes, shape_lengths, heads, texts, codes, bits, wide } = self;
        [shapes, shape_lengths, heads, texts, codes, bits].into_iter().for_each(Vec::clear);
        wide.clear();
    }
}

/// The classes of all values, and the lengths of the shortest and the longest; `words` become their
/// first eight bytes.
fn look_at(values: &[Slot], text: &[u8], words: &mut Vec<u64>) -> (u8, usize, usize) {
    let mut classes = 0;
    let (mut shortest, mut longest) = (usize::MAX, 0);
    words.clear();
    words.extend(values.iter().map(|slot| {
        let (start, len) = (slot.start as usize, slot.len as usize);
        let word = word_at(text, start, len.min(8));
        classes |= match are_digits(word, len.min(8)) {
            true if len <= 8 => DIGITS,
            _ => classes_of(&text[start..start + len]),
        };
        shortest = shortest.min(len);
        longest = longest.max(len);
        word
    }));
    (classes, shortest, longest)
}

/// The number that the digits of a slot make, of which the first are this word.
fn parse(text: &[u8], slot: &Slot, word: u64) -> u64 {
    let (start, len) = (slot.start as usize, slot.len as usize);
    let first = len.min(8);
    (first..len).step_by(8).fold(number_of(word, first), |value, at| {
        let more = (len - at).min(8);
        let scale = 10u64.pow(more as u32);
        value.wrapping_mul(scale).wrapping_add(number_of(word_at(text, start + at, more), more))
    })
}

/// The bytes that the hexadecimal digits of a slot make.
fn nibbles<'o>(text: &[u8], slot: &Slot, out: &'o mut [u8; WIDTH_MAX]) -> &'o [u8] {
    let (start, len) = (slot.start as usize, slot.len as usize);
    for (at, four) in (0..len).step_by(8).zip(out.as_chunks_mut().0) {
        *four = bytes_of_hex(word_at(text, start + at, (len - at).min(8)));
    }
    &out[..len.div_ceil(2)]
}

/// The bytes of a UUID.
fn uuid_bytes(text: &[u8], slot: &Slot) -> [u8; 16] {
    let word = |at: usize, len: usize| word_at(text, slot.start as usize + at, len);
    let mut bytes = [0; 16];
    let words =
        [word(0, 8), word(9, 4) | word(14, 4) << 32, word(19, 4) | word(24, 4) << 32, word(28, 8)];
    for (four, word) in bytes.as_chunks_mut().0.iter_mut().zip(words) {
        *four = bytes_of_hex(word);
    }
    bytes
}

/// Appends the shape of every row, in as few whole bytes as hold any.
fn row_shapes(table: &ShapeTable, out: &mut Vec<u8>) {
    match kinds::code_bytes(table.shapes.len()) {
        1 => out.extend(table.rows.iter().map(|shape| *shape as u8)),
        2 => table.rows.iter().for_each(|shape| out.extend((*shape as u16).to_le_bytes())),
        _ => table.rows.iter().for_each(|shape| out.extend(shape.to_le_bytes())),
    }
}

/// Appends the rows that are kept as they are: their lengths, then their texts.
fn plain_rows(table: &ShapeTable, text: &[u8], lengths: &[u32], out: &mut Vec<u8>) {
    if table.shapes[PLAIN as usize].rows == 0 {
        return;
    }
    for (shape, length) in table.rows.iter().zip(lengths) {
        if *shape == PLAIN {
            put_varint(out, u64::from(*length));
        }
    }
    let mut start = 0;
    for (shape, length) in table.rows.iter().zip(lengths) {
        let end = start + *length as usize;
        if *shape == PLAIN {
            out.extend_from_slice(&text[start..end]);
        }
        start = end + 1;
    }
}
