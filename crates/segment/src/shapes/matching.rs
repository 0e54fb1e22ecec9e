//! Line filters, tested on shapes and columns first.

use memchr::memmem;
use model::column_lines::RowMatch;

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
    /// Within the values of these columns and nowhere else.
    Columns(Vec<u32>),
    /// Perhaps across columns and what is between.
    Anywhere,
}

/// A byte of a shape, or a column.
#[derive(Clone, Copy)]
enum Token {
    Byte(u8),
    /// A column and the classes of its values.
    Column(u32, u8),
}

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

    pub(super) fn rows(&self, block: &ShapeBlock) -> Vec<RowMatch> {
        let finder = memmem::Finder::new(&self.needle);
        let mut tokens = Vec::new();
        let mut constant = vec![None; block.shapes.len()];
        let mut ranked: Vec<Vec<RowMatch>> = vec![Vec::new(); block.shapes.len()];
        for shape in 0..block.shapes.len() as u32 {
            let at = shape as usize;
            constant[at] = match self.places(block, shape, &mut tokens, &finder) {
                Places::Nowhere => Some(RowMatch::No),
                Places::Everywhere => Some(RowMatch::Yes),
                Places::Anywhere => Some(RowMatch::Maybe),
                Places::Columns(columns) => {
                    ranked[at] = self.values(block, shape, &columns, &finder);
                    None
                }
            };
        }
        let mut ranks = vec![0usize; block.shapes.len()];
        let row = |shape: &u32| {
            let at = *shape as usize;
            constant[at].unwrap_or_else(|| {
                let rank = ranks[at];
                ranks[at] += 1;
                ranked[at].get(rank).copied().unwrap_or(RowMatch::Maybe)
            })
        };
        block.rows.iter().map(row).collect()
    }

    /// Tests the values of columns, by rank.
    fn values(
        &self,
        block: &ShapeBlock,
        shape: u32,
        columns: &[u32],
        finder: &memmem::Finder<'_>,
    ) -> Vec<RowMatch> {
        let mut text = Vec::new();
        let rows = 0..block.shape_rows(shape);
        let row = |rank: u32| {
            for column in columns {
                text.clear();
                let column = &block.columns[*column as usize];
                // Times depend on the row's own, and are never left to this.
                if block.write_value(column, rank, 0, &mut text).is_err() {
                    return RowMatch::Maybe;
                }
                if self.is_folded {
                    text.make_ascii_lowercase();
                }
                if finder.find(&text).is_some() {
                    return RowMatch::Yes;
                }
            }
            RowMatch::No
        };
        rows.map(row).collect()
    }

    fn places(
        &self,
        block: &ShapeBlock,
        shape: u32,
        tokens: &mut Vec<Token>,
        finder: &memmem::Finder<'_>,
    ) -> Places {
        if shape == PLAIN {
            return Places::Anywhere;
        }
        tokens.clear();
        for piece in block.pieces_of(shape) {
            match piece {
                Piece::Literal(range) => {
                    let text = &block.shape_text[range.start as usize..range.end as usize];
                    if !self.is_folded && finder.find(text).is_some() {
                        return Places::Everywhere;
                    }
                    tokens.extend(text.iter().map(|byte| Token::Byte(*byte)));
                }
                Piece::Column(column) => {
                    let classes = block.classes(&block.columns[*column as usize]);
                    tokens.push(Token::Column(*column, classes));
                }
            }
        }
        if self.may_fold_beyond_ascii(tokens) {
            return Places::Anywhere;
        }
        self.align(block, tokens)
    }

    /// Whether some character of the lines may fold to an ASCII letter of the text.
    fn may_fold_beyond_ascii(&self, tokens: &[Token]) -> bool {
        if !self.is_folded {
            return false;
        }
        let is_beyond = |token: &Token| match token {
            Token::Byte(byte) => *byte >= 0x80,
            Token::Column(_, classes) => classes & OTHER != 0,
        };
        !self.needle.is_ascii()
            || (memchr::memchr3(b's', b'k', b'i', &self.needle).is_some()
                && tokens.iter().any(is_beyond))
    }

    /// Follows the text through the shape from every place where it could begin. A column stands
    /// for one or more bytes of its classes.
    fn align(&self, block: &ShapeBlock, tokens: &[Token]) -> Places {
        let Some((first, rest)) = self.needle.split_first() else { return Places::Everywhere };
        let mut columns = Vec::new();
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
            for at in &states {
                match tokens[*at] {
                    Token::Column(column, _)
                        if *at == start
                            && !matches!(block.columns[column as usize], Column::Time { .. }) =>
                    {
                        columns.push(column);
                    }
                    Token::Byte(_) if states.len() == 1 && at + 1 - start == self.needle.len() => {
                        // As long as the text, but it may go through columns of one byte each.
                        let is_literal =
                            tokens[start..=*at].iter().all(|token| matches!(token, Token::Byte(_)));
                        return if is_literal { Places::Everywhere } else { Places::Anywhere };
                    }
                    _ => return Places::Anywhere,
                }
            }
        }
        if columns.is_empty() { Places::Nowhere } else { Places::Columns(columns) }
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

impl ShapeBlock {
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
