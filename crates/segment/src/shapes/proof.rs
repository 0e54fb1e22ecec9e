//! Whether a chunk makes the lines it was made of.
//!
//! What the chunk says is read the way readers do, and compared with the lines where they stand:
//! column by column, so that nothing is looked up for every value, and without putting a line
//! together. Nothing that the encoder knew is believed.

use super::block::{Column, Piece, ShapeBlock};
use super::encode::BlockLines;
use super::kinds::Digits;
use super::lines::{LOWER, UPPER, uuid, write_number};
use super::table::PLAIN;
use super::times::{TimeForm, TimeText};
use super::words::{leading_digits, number_of};

/// Rows that are compared together: their lines stay in the processor's nearest memory.
const ROWS_TOGETHER: usize = 128;
/// Numbers below this can take one more digit.
const SHORT_NUMBER: u64 = 1_000_000_000_000_000_000;

/// Compares chunks with lines. Its buffers are reused from block to block.
#[derive(Default)]
pub(crate) struct Proof {
    /// Where each line begins.
    starts: Vec<u32>,
    /// Rows in the order of their shapes, which the chunk tells.
    ordered: Vec<u32>,
    /// Per shape: where its rows end among those.
    ends: Vec<u32>,
}

impl Proof {
    /// Whether a chunk makes these lines.
    pub(crate) fn holds(&mut self, lines: BlockLines<'_>, chunk: &[u8]) -> bool {
        let raw_bytes = lines.lengths.iter().map(|len| *len as usize).sum();
        let rows = lines.lengths.len();
        if lines.timestamps.len() != rows || lines.text.len() != raw_bytes + rows {
            return false;
        }
        let Ok(block) = ShapeBlock::decode(chunk, rows, raw_bytes) else { return false };
        self.order(&block, lines.lengths);
        let mut rest = &self.ordered[..];
        for (shape, parts) in (0..).zip(&block.shapes) {
            let Some((rows, behind)) = rest.split_at_checked(parts.rows as usize) else {
                return false;
            };
            rest = behind;
            for (rank, rows) in (0..).step_by(ROWS_TOGETHER).zip(rows.chunks(ROWS_TOGETHER)) {
                if !are_made_by(&block, (shape, rank), lines, (rows, &self.starts)) {
                    return false;
                }
            }
        }
        rest.is_empty()
    }

    /// Finds where lines begin, and orders rows by shape.
    fn order(&mut self, block: &ShapeBlock, lengths: &[u32]) {
        let Self { starts, ordered, ends, .. } = self;
        let mut next = 0;
        starts.clear();
        starts.extend(lengths.iter().map(|length| {
            next += length + 1;
            next - length - 1
        }));
        let mut sum = 0;
        ends.clear();
        ends.extend(block.shapes.iter().map(|shape| {
            sum += shape.rows;
            sum - shape.rows
        }));
        ordered.clear();
        ordered.resize(lengths.len(), 0);
        for (row, shape) in (0..).zip(&block.rows) {
            let place = &mut ends[*shape as usize];
            ordered[*place as usize] = row;
            *place += 1;
        }
    }
}

/// Whether a shape and its columns make the lines of some of its rows, of which the first has this
/// rank.
fn are_made_by(
    block: &ShapeBlock,
    (shape, rank): (u32, u32),
    lines: BlockLines<'_>,
    (rows, starts): (&[u32], &[u32]),
) -> bool {
    let mut places = [0; ROWS_TOGETHER];
    let places = &mut places[..rows.len()];
    places.iter_mut().zip(rows).for_each(|(place, row)| *place = starts[*row as usize]);
    let mut compared = Compared { block, text: lines.text, places, rank };
    if shape == PLAIN && !compared.all(|at, rest| same(rest, block.plain(at))) {
        return false;
    }
    let is_made = block.pieces_of(shape).iter().all(|piece| match piece {
        Piece::Literal(range) => {
            compared.literal(&block.shape_text[range.start as usize..range.end as usize])
        }
        Piece::Column(column) => match &block.columns[*column as usize] {
            Column::Time { list, form } => {
                compared.times(*list, *form, rows.iter().map(|row| lines.timestamps[*row as usize]))
            }
            column => compared.column(column),
        }
        .unwrap_or(false),
    });
    // What was passed over belonged to the line if the end is right.
    let ends = rows.iter().map(|row| starts[*row as usize] + lines.lengths[*row as usize]);
    is_made && compared.places.iter().copied().eq(ends)
}

/// Lines of one shape that have been compared up to some place each.
struct Compared<'a> {
    block: &'a ShapeBlock,
    text: &'a [u8],
    places: &'a mut [u32],
    /// The rank of the first.
    rank: u32,
}

impl Compared<'_> {
    /// Asks for every line, by rank, how many bytes are the same of what is left of the text.
    fn all(&mut self, mut same: impl FnMut(u32, &[u8]) -> Option<usize>) -> bool {
        (self.rank..).zip(&mut *self.places).all(|(rank, place)| {
            let len = self.text.get(*place as usize..).and_then(|rest| same(rank, rest));
            *place += len.unwrap_or(0) as u32;
            len.is_some()
        })
    }

    /// The same, given a value for every line.
    fn each<T>(
        &mut self,
        values: impl IntoIterator<Item = T>,
        mut same: impl FnMut(T, &[u8]) -> Option<usize>,
    ) -> bool {
        let mut values = values.into_iter();
        self.all(|_, rest| same(values.next()?, rest))
    }

    fn literal(&mut self, literal: &[u8]) -> bool {
        let Some(short) = Short::new(literal) else {
            return self.all(|_, rest| same(rest, literal));
        };
        self.all(|_, rest| match rest.first_chunk() {
            Some(word) => short.begins(u128::from_le_bytes(*word)).then_some(literal.len()),
            None => same(rest, literal),
        })
    }

    /// Compares the values of a column, but not of a time; `None` when it is damaged.
    fn column(&mut self, column: &Column) -> Option<bool> {
        let (block, rank, count) = (self.block, self.rank, self.places.len());
        let of_rows = rank as usize..rank as usize + count;
        Some(match *column {
            Column::Text { first, .. } => {
                let (bytes, starts) = block.text_run(first + rank, count);
                self.each(starts.array_windows(), |bounds, rest| {
                    same(rest, text_of(bytes, starts, bounds))
                })
            }
            Column::Dictionary { codes, first, distinct, .. } => {
                let (bytes, starts) = block.text_run(first, distinct as usize);
                let codes = block.codes(codes + rank, count as u32)?;
                self.each(codes, |code, rest| {
                    let bounds = starts.get(usize::from(*code)..)?.first_chunk()?;
                    same(rest, text_of(bytes, starts, bounds))
                })
            }
            Column::Number { list, digits, lengths } => {
                let numbers = block.numbers(list).ok()?.get(of_rows)?.iter();
                self.numbers(numbers.map(|number| *number as u64), digits, lengths)?
            }
            Column::WideNumber { first, digits, lengths } => {
                let numbers = (first + rank..).map(|at| block.wide(8, at).first_chunk());
                let numbers = numbers.map_while(|bytes| Some(u64::from_le_bytes(*bytes?)));
                self.numbers(numbers, digits, lengths)?
            }
            Column::Hex { first, digits, upper } => {
                let (digits, alphabet) = (usize::from(digits), if upper { UPPER } else { LOWER });
                let width = digits.div_ceil(2);
                self.all(|rank, rest| {
                    same_hex(rest, block.wide(width, first + rank), digits, alphabet)
                })
            }
            Column::Uuid { first } => self
                .all(|rank, rest| same(rest, &uuid(block.wide(16, first + rank).first_chunk()?))),
            Column::Time { .. } => return None,
        })
    }

    fn numbers(
        &mut self,
        values: impl Iterator<Item = u64>,
        digits: Digits,
        lengths: u32,
    ) -> Option<bool> {
        let least = match digits {
            Digits::Canonical => 1,
            Digits::Fixed(digits) => usize::from(digits),
            Digits::Any => {
                let from = self.rank as usize;
                let lengths = self.block.numbers(lengths).ok()?;
                let lengths = lengths.get(from..from + self.places.len())?;
                return Some(self.each(values.zip(lengths), |(value, least), rest| {
                    same_number(rest, value, (*least).clamp(1, 20) as usize)
                }));
            }
        };
        Some(self.each(values, |value, rest| same_number(rest, value, least)))
    }

    /// Compares times, given those of the rows; `None` when they are damaged.
    fn times(
        &mut self,
        list: u32,
        form: TimeForm,
        timestamps: impl Iterator<Item = i64>,
    ) -> Option<bool> {
        let from = self.rank as usize;
        let distances = self.block.numbers(list).ok()?.get(from..from + self.places.len())?;
        let mut text = TimeText::new(form);
        Some(self.each(distances.iter().zip(timestamps), |(distance, timestamp), rest| {
            same(rest, text.at(*distance, timestamp)?)
        }))
    }
}

/// A text of at most 16 bytes.
struct Short {
    word: u128,
    mask: u128,
}

impl Short {
    fn new(text: &[u8]) -> Option<Self> {
        let mut word = [0; 16];
        word.get_mut(..text.len())?.copy_from_slice(text);
        let mask = u128::MAX.checked_shr(128 - 8 * text.len() as u32).unwrap_or(0);
        Some(Self { word: u128::from_le_bytes(word), mask })
    }

    /// Whether the next 16 bytes begin with the text.
    fn begins(&self, next: u128) -> bool {
        (next ^ self.word) & self.mask == 0
    }
}

/// How long a text is that the rest of the lines begins with.
fn same(rest: &[u8], text: &[u8]) -> Option<usize> {
    rest.starts_with(text).then_some(text.len())
}

/// A text between its bounds and the line feed behind it, among those that begin at `starts`.
fn text_of<'t>(bytes: &'t [u8], starts: &[u32], [start, end]: &[u32; 2]) -> &'t [u8] {
    let first = starts.first().copied().unwrap_or(0);
    bytes.get((start - first) as usize..(end - first - 1) as usize).unwrap_or_default()
}

/// How many digits a number is written with, `least` or more, when the rest of the lines begins
/// with it.
fn same_number(rest: &[u8], value: u64, least: usize) -> Option<usize> {
    if value >= SHORT_NUMBER {
        let mut text = Vec::new();
        write_number(value, least, &mut text);
        return same(rest, &text);
    }
    // Most numbers are as many digits as stand there, and few.
    if let Some(word) = rest.first_chunk() {
        let word = u64::from_le_bytes(*word);
        let len = leading_digits(word);
        let is_padded = len > least && word as u8 == b'0';
        if len >= least && !is_padded && number_of(word, len) == value {
            return Some(len);
        }
    }
    // Before its last digit a number is smaller than itself.
    let (mut read, mut len) = (0, 0);
    while len < least || read < value {
        let digit = rest.get(len)?.wrapping_sub(b'0');
        if digit > 9 {
            return None;
        }
        read = read * 10 + u64::from(digit);
        len += 1;
    }
    let is_padded = len > least && rest[0] == b'0';
    (read == value && !is_padded).then_some(len)
}

/// The same for hexadecimal digits.
fn same_hex(rest: &[u8], value: &[u8], digits: usize, alphabet: &[u8; 16]) -> Option<usize> {
    let text = rest.get(..digits)?;
    let nibbles = value.iter().flat_map(|byte| [byte >> 4, byte & 0xf]);
    let is_same = nibbles.zip(text).all(|(nibble, byte)| alphabet[usize::from(nibble)] == *byte);
    (is_same && value.len() * 2 >= digits).then_some(digits)
}

#[cfg(test)]
mod tests {
    use crate::encoding::frame::FrameEncoder;
    use crate::shapes::ColumnsEncoder;

    use super::*;

    /// Lines with columns of every kind, and their times.
    fn lines() -> (Vec<String>, Vec<i64>) {
        let mixed = |n: u64| n.wrapping_mul(0x9e37_79b9_7f4a_7c15);
        let line = |n: u64| {
            let (low, random) = (n % 7, mixed(n + 1));
            let uuid = format!(
                "{:08x}-{:04x}-4abc-8{:03x}-{:012x}",
                random >> 32,
                random & 0xffff,
                n % 4096,
                random >> 16
            );
            match n % 5 {
                0 => format!("2024-04-16T15:10:{:02}.{:03}Z level=info took={low}ms", n % 60, n),
                1 => format!("user {uuid} id={random:016x} ID={:08X} key={:05}", random >> 32, n),
                2 => format!(
                    "wide {} text=w{}x{} padded {:0w$}",
                    random,
                    n * n,
                    low,
                    n,
                    w = 3 + low as usize
                ),
                3 => format!("15:10:{:02} state=\"s{}\" count={}", n % 60, n % 3, 1000 + n % 11),
                _ if n == 4 => "a\u{0}plain\u{1}line".to_owned(),
                _ => format!("number {} of {}", n % 50 * 31, 1_000_000 + (random >> 50)),
            }
        };
        let times = (0..400).map(|n| 1_713_280_200_000_000_000 + n * 999_999_937).collect();
        ((0..400).map(line).collect(), times)
    }

    fn with_block<T>(lines: &[String], times: &[i64], run: impl FnOnce(BlockLines<'_>) -> T) -> T {
        let text: Vec<u8> =
            lines.iter().flat_map(|line| [line.as_bytes(), b"\n"].concat()).collect();
        let lengths: Vec<u32> = lines.iter().map(|line| line.len() as u32).collect();
        run(BlockLines { text: &text, lengths: &lengths, timestamps: times })
    }

    fn chunk_of(lines: &[String], times: &[i64]) -> Vec<u8> {
        let (mut encoder, mut out) = (FrameEncoder::new(1).unwrap(), Vec::new());
        let made = with_block(lines, times, |block| {
            ColumnsEncoder::default().encode(block, &mut encoder, &mut out)
        });
        assert_eq!(made, Ok(true));
        out
    }

    /// Whether the lines that are put together are these.
    fn makes(chunk: &[u8], lines: BlockLines<'_>) -> bool {
        let raw_bytes = lines.lengths.iter().sum::<u32>() as usize;
        let block = ShapeBlock::decode(chunk, lines.lengths.len(), raw_bytes);
        let made = block.and_then(|block| block.lines(lines.timestamps));
        let expected = lines.text.split(|byte| *byte == b'\n').take(lines.lengths.len());
        made.is_ok_and(|made| made.iter().eq(expected))
    }

    #[test]
    fn a_damaged_chunk_is_refused_unless_its_lines_are_the_same() {
        let (lines, times) = lines();
        let chunk = chunk_of(&lines, &times);
        let mut proof = Proof::default();
        with_block(&lines, &times, |block| {
            assert!(proof.holds(block, &chunk));
            let mut refused = 0;
            for at in 0..chunk.len() {
                for flip in [1, 0x10, 0x80] {
                    let mut damaged = chunk.clone();
                    damaged[at] ^= flip;
                    let holds = proof.holds(block, &damaged);
                    assert_eq!(holds, makes(&damaged, block), "byte {at} ^ {flip}");
                    refused += usize::from(!holds);
                }
            }
            assert!(refused > chunk.len() * 5 / 2, "{refused} of {}", 3 * chunk.len());
            assert!(!proof.holds(block, &chunk[1..]));
        });
    }

    #[test]
    fn other_lines_are_refused() {
        let (lines, times) = lines();
        let chunk = chunk_of(&lines, &times);
        let mut proof = Proof::default();
        for (row, line) in lines.iter().enumerate().step_by(3) {
            for at in 0..line.len() {
                let mut other = lines.clone();
                let byte = line.as_bytes()[at];
                let replaced = if byte == b'0' { "1" } else { "0" };
                other[row].replace_range(at..=at, replaced);
                let holds = with_block(&other, &times, |block| proof.holds(block, &chunk));
                assert!(!holds, "byte {at} of {line}");
            }
        }
        let mut later = times.clone();
        later[0] += 1_000_000_000;
        assert!(!with_block(&lines, &later, |block| proof.holds(block, &chunk)));
        let shorter = with_block(&lines[1..], &times[1..], |block| proof.holds(block, &chunk));
        assert!(!shorter);
    }

    #[test]
    fn a_number_is_the_same_only_as_it_is_written() {
        for value in [0, 1, 9, 10, 99, 12_345_678, 123_456_789, SHORT_NUMBER, u64::MAX] {
            for least in 1..=20 {
                let mut text = Vec::new();
                write_number(value, least, &mut text);
                let len = text.len();
                for behind in ["", "x", "xxxxxxxxxxxx", "0", "777777777777777"] {
                    let rest = [&text[..], behind.as_bytes()].concat();
                    assert_eq!(same_number(&rest, value, least), Some(len), "{value} {behind}");
                    let padded = [b"0", &rest[..]].concat();
                    let is_same = padded.starts_with(&text);
                    assert_eq!(same_number(&padded, value, least).is_some(), is_same, "{value}");
                }
                assert_eq!(same_number(&text[..len - 1], value, least), None);
                text[len - 1] ^= 1;
                assert_eq!(same_number(&text, value, least), None);
            }
        }
    }
}
