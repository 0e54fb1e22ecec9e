//! Line filters, tested on shapes and columns first.

use memchr::memmem;
use model::column_lines::{RowMatch, ShapeMatch};

use super::block::{Column, Piece, ShapeBlock};
use super::classes::{DASH, DIGITS, HEX_LOWER, HEX_UPPER, OTHER, class_of, classes_of};
use super::table::PLAIN;

/// A text that lines are searched for.
#[derive(Debug, Clone)]
pub struct LineTest {
    needle: Vec<u8>,
    is_folded: bool,
}

/// Where a text can be in the lines of a shape.
enum Places {
    Nowhere,
    /// In every line, within what they have in common.
    Everywhere,
    /// Where one of these holds, and nowhere else.
    Columns(Vec<Place>),
    /// Perhaps across columns and what is between.
    Anywhere,
}

/// A text can be in a line by what a column's value is.
struct Place {
    column: u32,
    part: Part,
}

/// How the value of a column and the text lie to each other.
#[derive(Clone, Copy)]
enum Part {
    /// The value holds all of the text.
    Whole,
    /// What stands before the value is so much of the text, and the value begins with the rest.
    From(usize),
    /// The value ends with so much of the text, and what stands behind it is the rest.
    To(usize),
}

/// A byte of a shape, or a column.
#[derive(Clone, Copy)]
enum Token {
    Byte(u8),
    /// A column and the classes of its values.
    Column(u32, u8),
}

/// Stands for what no byte of the text can be.
const WALL: Token = Token::Column(u32::MAX, 0);

impl LineTest {
    /// Lines that hold these bytes.
    #[must_use]
    pub fn contains(needle: &[u8]) -> Self {
        Self { needle: needle.to_vec(), is_folded: false }
    }

    /// Lines that hold these bytes, ASCII letters in either case. What Unicode folds beyond ASCII
    /// (`ſ` to `s`, `K` to `k`, `İ` to `i`) makes a row [`RowMatch::Maybe`].
    #[must_use]
    pub fn contains_any_case(needle: &[u8]) -> Self {
        Self { needle: needle.to_ascii_lowercase(), is_folded: true }
    }

    /// What is known of the lines of every shape; [`RowMatch::Maybe`] where `wanted` says no.
    pub(super) fn shapes(
        &self,
        block: &ShapeBlock,
        wanted: impl Fn(usize) -> bool,
    ) -> Vec<ShapeMatch> {
        let finder = memmem::Finder::new(&self.needle);
        let lower;
        let texts = if self.is_folded {
            lower = block.shape_text.to_ascii_lowercase();
            lower.as_slice()
        } else {
            block.shape_text.as_slice()
        };
        // One search over all shapes mostly spares one in each.
        let in_literals = finder.find(texts).map(|_| &finder);
        let mut tokens = Vec::new();
        let shapes = (0..block.shapes.len() as u32).map(|shape| {
            if !wanted(shape as usize) {
                return ShapeMatch::All(RowMatch::Maybe);
            }
            match self.places(block, shape, &mut tokens, (texts, in_literals)) {
                Places::Nowhere => ShapeMatch::All(RowMatch::No),
                Places::Everywhere => ShapeMatch::All(RowMatch::Yes),
                Places::Anywhere => ShapeMatch::All(RowMatch::Maybe),
                Places::Columns(places) => {
                    let mut ranked = vec![RowMatch::No; block.shape_rows(shape) as usize];
                    for Place { column, part } in places {
                        match (&block.columns[column as usize], part) {
                            (column @ Column::WideNumber { .. }, Part::From(at)) => {
                                self.search_wide(block, (column, at), &mut ranked);
                            }
                            place => self.search(block, place, &finder, &mut ranked),
                        }
                    }
                    if ranked.iter().all(|known| *known == RowMatch::No) {
                        return ShapeMatch::All(RowMatch::No);
                    }
                    ShapeMatch::Ranked(ranked)
                }
            }
        });
        shapes.collect()
    }

    /// Marks the rows, by rank, in which the value of a column holds its part of the text.
    fn search(
        &self,
        block: &ShapeBlock,
        (column, part): (&Column, Part),
        finder: &memmem::Finder<'_>,
        found: &mut [RowMatch],
    ) {
        let fits = |text: &[u8]| match part {
            Part::Whole => finder.find(text).is_some(),
            Part::From(at) => text.starts_with(&self.needle[at..]),
            Part::To(end) => text.ends_with(&self.needle[..end]),
        };
        let mut value = Vec::new();
        let mut holds = |text: &[u8]| {
            if !self.is_folded {
                return fits(text);
            }
            value.clear();
            value.extend(text.iter().map(u8::to_ascii_lowercase));
            fits(&value)
        };
        match column {
            Column::Text { first, .. }
                if matches!(part, Part::Whole) && memchr::memchr(b'\n', &self.needle).is_none() =>
            {
                let (text, starts) = block.text_run(*first, found.len());
                let lower;
                let text = if self.is_folded {
                    lower = text.to_ascii_lowercase();
                    lower.as_slice()
                } else {
                    text
                };
                let base = starts.first().map_or(0, |start| *start as usize);
                let mut rank = 0;
                for at in finder.find_iter(text) {
                    let before = |start: &u32| *start as usize <= base + at;
                    rank += starts[rank..].partition_point(before).saturating_sub(1);
                    if let Some(found) = found.get_mut(rank) {
                        *found = RowMatch::Yes;
                    }
                }
            }
            Column::Dictionary { codes, rows, first, distinct } => {
                let hits = (*first..first + distinct).map(|at| holds(block.text(at)));
                let hits: Vec<bool> = hits.collect();
                if !hits.contains(&true) {
                    return;
                }
                let codes = block.codes(*codes, *rows).unwrap_or_default();
                for (found, code) in found.iter_mut().zip(codes) {
                    if hits[usize::from(*code)] {
                        *found = RowMatch::Yes;
                    }
                }
            }
            other => {
                let mut text = Vec::new();
                for (rank, found) in (0..).zip(found) {
                    text.clear();
                    // Times depend on the row's own, and are never left to this.
                    if block.write_value(other, rank, 0, &mut text).is_err() {
                        *found = RowMatch::Maybe;
                    } else if *found == RowMatch::No && holds(&text) {
                        *found = RowMatch::Yes;
                    }
                }
            }
        }
    }

    /// Marks the rows, by rank, in which a wide number begins with the text from `at` on.
    fn search_wide(
        &self,
        block: &ShapeBlock,
        (column, at): (&Column, usize),
        found: &mut [RowMatch],
    ) {
        let Some(wanted) = Leading::of(&self.needle[at..]) else { return };
        for (rank, found) in (0..).zip(found) {
            match block.wide_number(column, rank) {
                Some((value, digits)) if wanted.leads(value, digits) => *found = RowMatch::Yes,
                Some(_) => {}
                None => *found = RowMatch::Maybe,
            }
        }
    }

    /// Where the text can be in the lines of a shape; `texts` are those of all shapes, in lower case
    /// where case does not matter.
    fn places(
        &self,
        block: &ShapeBlock,
        shape: u32,
        tokens: &mut Vec<Token>,
        (texts, in_literals): (&[u8], Option<&memmem::Finder<'_>>),
    ) -> Places {
        if shape == PLAIN {
            return Places::Anywhere;
        }
        let Some(border) = self.needle.len().checked_sub(1) else { return Places::Everywhere };
        let wanted = self.classes();
        let (mut is_beyond, mut has_columns) = (false, false);
        tokens.clear();
        let bytes = |text: &[u8], tokens: &mut Vec<Token>| {
            tokens.extend(text.iter().map(|byte| Token::Byte(*byte)));
        };
        for piece in block.pieces_of(shape) {
            match piece {
                Piece::Literal(range) => {
                    let text = &texts[range.start as usize..range.end as usize];
                    if in_literals.is_some_and(|finder| finder.find(text).is_some()) {
                        return Places::Everywhere;
                    }
                    is_beyond |= !text.is_ascii();
                    // What reaches into a column begins or ends near it.
                    if text.len() > 2 * border {
                        bytes(&text[..border], tokens);
                        tokens.push(WALL);
                        bytes(&text[text.len() - border..], tokens);
                    } else {
                        bytes(text, tokens);
                    }
                }
                Piece::Column(column) => {
                    let classes = block.classes(&block.columns[*column as usize]);
                    is_beyond |= classes & OTHER != 0;
                    has_columns |= classes & wanted != 0;
                    tokens.push(if classes & wanted == 0 {
                        WALL
                    } else {
                        Token::Column(*column, classes)
                    });
                }
            }
        }
        if self.may_fold_beyond_ascii(is_beyond) {
            return Places::Anywhere;
        }
        if has_columns { self.align(block, tokens) } else { Places::Nowhere }
    }

    /// The classes of the text's bytes, in either case where that does not matter.
    fn classes(&self) -> u8 {
        let classes = classes_of(&self.needle);
        if self.is_folded {
            classes | classes_of(&self.needle.to_ascii_uppercase())
        } else {
            classes
        }
    }

    /// Whether some character of the lines may fold to an ASCII letter of the text, given whether
    /// there are any beyond ASCII.
    fn may_fold_beyond_ascii(&self, is_beyond: bool) -> bool {
        let has_foreign = || memchr::memchr3(b's', b'k', b'i', &self.needle).is_some();
        self.is_folded && (!self.needle.is_ascii() || (is_beyond && has_foreign()))
    }

    /// Follows the text through the shape from every place where it could begin. A column stands
    /// for one or more bytes of its classes.
    fn align(&self, block: &ShapeBlock, tokens: &[Token]) -> Places {
        let Some((first, rest)) = self.needle.split_first() else { return Places::Everywhere };
        let mut places = Vec::new();
        let mut states: Vec<usize> = Vec::new();
        let mut next: Vec<usize> = Vec::new();
        for (start, token) in tokens.iter().enumerate() {
            if !self.admits(*token, *first) {
                continue;
            }
            states.clear();
            states.push(start);
            for byte in rest {
                next.clear();
                for at in &states {
                    // A column may go on; and what is behind may begin.
                    let stays = matches!(tokens[*at], Token::Column(..));
                    for to in [*at, at + 1].into_iter().skip(usize::from(!stays)) {
                        let fits = tokens.get(to).is_some_and(|token| self.admits(*token, *byte));
                        if fits && next.last() != Some(&to) {
                            next.push(to);
                        }
                    }
                }
                std::mem::swap(&mut states, &mut next);
                if states.is_empty() {
                    break;
                }
            }
            for end in &states {
                match self.place(&tokens[start..=*end]) {
                    Some(None) => return Places::Everywhere,
                    Some(Some(place)) if !block.is_time(place.column) => places.push(place),
                    _ => return Places::Anywhere,
                }
            }
        }
        if places.is_empty() { Places::Nowhere } else { Places::Columns(places) }
    }

    /// What must hold for the text to stand in these tokens, of which it begins in the first and
    /// ends in the last: `Some(None)` for nothing more; `None` when no single column tells.
    fn place(&self, tokens: &[Token]) -> Option<Option<Place>> {
        let is_column = |token: &Token| matches!(token, Token::Column(..));
        let at = tokens.iter().position(is_column);
        let Some(at) = at else { return Some(None) };
        let Token::Column(column, _) = tokens[at] else { return None };
        // Each byte of the shape stands for one of the text, so the column has the others.
        let part = match (at, tokens.len()) {
            (0, 1) => Part::Whole,
            (at, len) if at + 1 == len => Part::From(at),
            (0, len) if !tokens[1..].iter().any(is_column) => {
                Part::To(self.needle.len() - (len - 1))
            }
            _ => return None,
        };
        Some(Some(Place { column, part }))
    }

    fn admits(&self, token: Token, byte: u8) -> bool {
        match token {
            Token::Byte(own) if self.is_folded => own.to_ascii_lowercase() == byte,
            Token::Byte(own) => own == byte,
            Token::Column(_, classes) => {
                classes & class_of(byte) != 0
                    || (self.is_folded && classes & class_of(byte.to_ascii_uppercase()) != 0)
            }
        }
    }
}

/// Digits that a number is to begin with.
struct Leading {
    value: u64,
    digits: usize,
}

impl Leading {
    /// Those of a text; `None` when no number of 64 bits is written so.
    fn of(text: &[u8]) -> Option<Self> {
        let is_number = !text.is_empty() && text.iter().all(u8::is_ascii_digit);
        let value = std::str::from_utf8(text).ok().filter(|_| is_number)?.parse().ok()?;
        Some(Self { value, digits: text.len() })
    }

    /// Whether the number, written with so many digits, begins with them.
    fn leads(&self, value: u64, digits: usize) -> bool {
        let behind = digits.checked_sub(self.digits);
        // More digits are behind than the number has: it is all zeros in front.
        behind.is_some_and(|behind| {
            let power = u32::try_from(behind).ok().and_then(|behind| 10u64.checked_pow(behind));
            power.map_or(0, |power| value / power) == self.value
        })
    }
}

impl ShapeBlock {
    /// Whether a column depends on the times of rows.
    fn is_time(&self, column: u32) -> bool {
        matches!(self.columns[column as usize], Column::Time { .. })
    }

    /// Classes that hold every byte of a column's values.
    fn classes(&self, column: &Column) -> u8 {
        match column {
            Column::Text { classes, .. } => *classes,
            Column::Dictionary { first, distinct, .. } => (*first..first + distinct)
                .fold(0, |classes, at| classes | classes_of(self.text(at))),
            Column::Number { .. } | Column::WideNumber { .. } => DIGITS,
            Column::Hex { upper: false, .. } => DIGITS | HEX_LOWER,
            Column::Hex { upper: true, .. } => DIGITS | HEX_UPPER,
            Column::Uuid { .. } => DIGITS | HEX_LOWER | DASH,
            Column::Time { form, .. } => {
                let signs = form.signs().into_iter().filter(|sign| *sign != 0);
                DIGITS | signs.fold(class_of(b':'), |classes, sign| classes | class_of(sign))
            }
        }
    }

    /// The places of the texts that make up a column, if it consists of texts.
    pub(super) fn texts_of(&self, column: &Column, shape: u32) -> Option<std::ops::Range<u32>> {
        match column {
            Column::Text { first, .. } => Some(*first..first + self.shape_rows(shape)),
            Column::Dictionary { first, distinct, .. } => Some(*first..first + distinct),
            _ => None,
        }
    }

    /// Whether some value of a column may hold this byte.
    pub(super) fn holds(&self, column: &Column, byte: u8, shape: u32) -> bool {
        if self.classes(column) & class_of(byte) == 0 {
            return false;
        }
        if let Some(mut texts) = self.texts_of(column, shape) {
            return texts.any(|at| memchr::memchr(byte, self.text(at)).is_some());
        }
        match column {
            Column::Time { form, .. } => byte == b':' || form.signs().contains(&byte),
            _ => true,
        }
    }
}
