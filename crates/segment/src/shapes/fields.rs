//! Fields of JSON and logfmt lines, found once per shape.
//!
//! A shape is read as if it were a line in which columns stand for one or more bytes that are
//! printable and neither quote nor backslash; that holds for every value of every column. Whatever
//! is not certain to be the same in all lines of the shape makes the shape have no fields.

use std::ops::Range;

use model::column_lines::FieldKind;

use super::block::{Column, Piece, ShapeBlock};
use super::classes::{DIGITS, class_of};
use super::kinds::Digits;

/// Objects within objects that are followed.
const DEPTH_MAX: usize = 16;

/// A field of one shape.
#[derive(Debug, Clone)]
pub struct Field {
    /// The shape.
    pub shape: u32,
    /// What its values are.
    pub kind: FieldKind,
    pub(super) path: Vec<Range<u32>>,
    pub(super) parts: Vec<FieldPart>,
}

#[derive(Debug, Clone)]
pub(super) enum FieldPart {
    /// A part of the texts of shapes.
    Literal(Range<u32>),
    Column(u32),
}

/// The fields of all shapes of a block.
#[derive(Debug, Clone)]
pub struct Fields {
    shapes: Vec<Option<Vec<Field>>>,
}

impl Fields {
    /// The fields of a shape; `None` when its lines must be built to know them.
    #[must_use]
    pub fn of(&self, shape: u32) -> Option<&[Field]> {
        self.shapes.get(shape as usize)?.as_deref()
    }

    pub(super) fn json(block: &ShapeBlock) -> Self {
        let scalars = |shape| {
            let mut fields = json_of(block, shape)?;
            fields.retain(|field| field.kind != FieldKind::Container);
            Some(fields)
        };
        Self { shapes: (0..block.shapes.len() as u32).map(scalars).collect() }
    }

    pub(super) fn logfmt(block: &ShapeBlock) -> Self {
        let shapes = 0..block.shapes.len() as u32;
        Self { shapes: shapes.map(|shape| logfmt_of(block, shape, &mut |_| true)).collect() }
    }
}

/// The members of the JSON objects that all lines of a shape are, arrays and empty objects among
/// them.
pub(super) fn json_of(block: &ShapeBlock, shape: u32) -> Option<Vec<Field>> {
    read(block, shape, |reader| {
        reader.object(&mut Vec::new())?;
        reader.spaces();
        reader.is_at_end().then_some(())
    })
}

/// The pairs that all lines of a shape are.
///
/// `is_wanted` is asked for every key, in order; pairs of which it says no are left out.
pub(super) fn logfmt_of(
    block: &ShapeBlock,
    shape: u32,
    is_wanted: &mut dyn FnMut(&[u8]) -> bool,
) -> Option<Vec<Field>> {
    read(block, shape, |reader| reader.pairs(is_wanted))
}

fn read(
    block: &ShapeBlock,
    shape: u32,
    read: impl FnOnce(&mut Reader<'_>) -> Option<()>,
) -> Option<Vec<Field>> {
    if shape == super::table::PLAIN {
        return None;
    }
    let mut reader = Reader::new(block, shape);
    read(&mut reader)?;
    Some(reader.fields)
}

/// A byte of a shape with its place in the texts of shapes, or a column.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Token {
    Byte(u8, u32),
    Column(u32),
}

struct Reader<'b> {
    block: &'b ShapeBlock,
    shape: u32,
    tokens: Vec<Token>,
    at: usize,
    fields: Vec<Field>,
}

impl<'b> Reader<'b> {
    fn new(block: &'b ShapeBlock, shape: u32) -> Self {
        let mut tokens = Vec::new();
        for piece in block.pieces_of(shape) {
            match piece {
                Piece::Literal(range) => {
                    let text = &block.shape_text[range.start as usize..range.end as usize];
                    tokens
                        .extend(text.iter().zip(range.start..).map(|(b, at)| Token::Byte(*b, at)));
                }
                Piece::Column(column) => tokens.push(Token::Column(*column)),
            }
        }
        Self { block, shape, tokens, at: 0, fields: Vec::new() }
    }

    fn peek(&self) -> Option<u8> {
        match self.tokens.get(self.at)? {
            Token::Byte(byte, _) => Some(*byte),
            Token::Column(_) => None,
        }
    }

    fn is_at_end(&self) -> bool {
        self.at == self.tokens.len()
    }

    fn eat(&mut self, wanted: u8) -> Option<()> {
        (self.peek()? == wanted).then(|| self.at += 1)
    }

    fn spaces(&mut self) {
        while matches!(self.peek(), Some(b' ' | b'\t' | b'\n' | b'\r')) {
            self.at += 1;
        }
    }

    /// Reads an object and adds its members below `path`.
    fn object(&mut self, path: &mut Vec<Range<u32>>) -> Option<()> {
        self.eat(b'{')?;
        self.spaces();
        if self.eat(b'}').is_some() {
            if !path.is_empty() {
                self.add(FieldKind::Container, path, Vec::new());
            }
            return Some(());
        }
        loop {
            let key = self.key()?;
            self.spaces();
            self.eat(b':')?;
            self.spaces();
            path.push(key);
            self.value(path)?;
            path.pop();
            self.spaces();
            if self.eat(b'}').is_some() {
                return Some(());
            }
            self.eat(b',')?;
            self.spaces();
        }
    }

    /// Reads a key, which must be the same in all lines.
    fn key(&mut self) -> Option<Range<u32>> {
        let parts = self.string()?;
        match &parts[..] {
            [FieldPart::Literal(range)] => Some(range.clone()),
            _ => None,
        }
    }

    fn value(&mut self, path: &mut Vec<Range<u32>>) -> Option<()> {
        let (kind, parts) = match self.peek() {
            Some(b'{') if path.len() < DEPTH_MAX => return self.object(path),
            Some(b'[') => {
                self.array(path.len())?;
                (FieldKind::Container, Vec::new())
            }
            Some(b'"') => (FieldKind::Text, self.string()?),
            _ => self.bare()?,
        };
        self.add(kind, path, parts);
        Some(())
    }

    fn add(&mut self, kind: FieldKind, path: &[Range<u32>], parts: Vec<FieldPart>) {
        self.fields.push(Field { shape: self.shape, kind, path: path.to_vec(), parts });
    }

    /// Reads an array, of which nothing is kept.
    fn array(&mut self, depth: usize) -> Option<()> {
        if depth >= DEPTH_MAX {
            return None;
        }
        let known = self.fields.len();
        self.eat(b'[')?;
        self.spaces();
        if self.eat(b']').is_some() {
            return Some(());
        }
        loop {
            let mut path = vec![0..0; depth + 1];
            self.value(&mut path)?;
            self.spaces();
            if self.eat(b']').is_some() {
                self.fields.truncate(known);
                return Some(());
            }
            self.eat(b',')?;
            self.spaces();
        }
    }

    /// Reads a string without escapes.
    fn string(&mut self) -> Option<Vec<FieldPart>> {
        self.text().map(|tokens| self.parts(tokens))
    }

    /// Passes over a string without escapes; answers the tokens between the quotes.
    fn text(&mut self) -> Option<Range<usize>> {
        self.eat(b'"')?;
        let start = self.at;
        loop {
            match self.tokens.get(self.at)? {
                Token::Byte(b'"', _) => break,
                Token::Byte(b'\\' | 0..0x20, _) => return None,
                _ => self.at += 1,
            }
        }
        self.at += 1;
        Some(start..self.at - 1)
    }

    /// Some tokens as parts of a field.
    fn parts(&self, tokens: Range<usize>) -> Vec<FieldPart> {
        let mut parts: Vec<FieldPart> = Vec::new();
        for token in &self.tokens[tokens] {
            match (token, parts.last_mut()) {
                (Token::Byte(_, at), Some(FieldPart::Literal(range))) => range.end = at + 1,
                (Token::Byte(_, at), _) => parts.push(FieldPart::Literal(*at..at + 1)),
                (Token::Column(column), _) => parts.push(FieldPart::Column(*column)),
            }
        }
        parts
    }

    /// Reads a number, `true`, `false` or `null`.
    fn bare(&mut self) -> Option<(FieldKind, Vec<FieldPart>)> {
        let start = self.at;
        while let Some(token) = self.tokens.get(self.at) {
            if matches!(token, Token::Byte(b',' | b'}' | b']' | b' ' | b'\t' | b'\n' | b'\r', _)) {
                break;
            }
            self.at += 1;
        }
        let kind = self.bare_kind(&self.tokens[start..self.at])?;
        Some((kind, self.parts(start..self.at)))
    }

    fn bare_kind(&self, tokens: &[Token]) -> Option<FieldKind> {
        if let [Token::Column(column)] = tokens
            && let Some(texts) =
                self.block.texts_of(&self.block.columns[*column as usize], self.shape)
        {
            let mut kinds = texts.map(|at| kind_of_bare(self.block.text(at)));
            let kind = kinds.next()??;
            return kinds.all(|other| other == Some(kind)).then_some(kind);
        }
        let mut literal = Vec::with_capacity(tokens.len());
        for token in tokens {
            match token {
                Token::Byte(byte, _) => literal.push(*byte),
                // Numbers stand for themselves: one digit is as good as many, unless it may be a
                // zero in front of others.
                Token::Column(column) => {
                    literal.extend_from_slice(match self.block.columns[*column as usize] {
                        Column::Number { digits: Digits::Canonical, .. }
                        | Column::WideNumber { digits: Digits::Canonical, .. } => b"0",
                        Column::Number { .. } | Column::WideNumber { .. } => b"00",
                        Column::Dictionary { .. } if self.is_digits(*column) => b"00",
                        _ => return None,
                    });
                }
            }
        }
        kind_of_bare(&literal)
    }

    /// Whether all texts of a column are digits.
    fn is_digits(&self, column: u32) -> bool {
        let texts = self.block.texts_of(&self.block.columns[column as usize], self.shape);
        texts.is_some_and(|mut texts| {
            texts.all(|at| self.block.text(at).iter().all(|byte| class_of(*byte) == DIGITS))
        })
    }

    /// Reads logfmt pairs up to the end.
    fn pairs(&mut self, is_wanted: &mut dyn FnMut(&[u8]) -> bool) -> Option<()> {
        loop {
            while self.peek() == Some(b' ') {
                self.at += 1;
            }
            if self.is_at_end() {
                return Some(());
            }
            let start = self.at;
            while !matches!(self.peek()?, b'=' | b'"' | 0..=b' ') {
                self.at += 1;
            }
            // Only bytes were passed over, so they stand side by side.
            let key = match (self.tokens.get(start)?, self.at - start) {
                (Token::Byte(_, first), len @ 1..) => *first..first + len as u32,
                _ => return None,
            };
            self.eat(b'=')?;
            let parts = if self.peek() == Some(b'"') { self.text()? } else { self.bare_pair()? };
            if is_wanted(&self.block.shape_text[key.start as usize..key.end as usize]) {
                let (kind, parts) = (FieldKind::Text, self.parts(parts));
                self.fields.push(Field { shape: self.shape, kind, path: vec![key], parts });
            }
            if !self.is_at_end() {
                self.eat(b' ')?;
            }
        }
    }

    /// Passes over the value of a pair that has no quotes; answers its tokens.
    fn bare_pair(&mut self) -> Option<Range<usize>> {
        let start = self.at;
        while let Some(token) = self.tokens.get(self.at) {
            match token {
                Token::Byte(b' ', _) => break,
                Token::Byte(b'=' | b'"' | 0..0x20, _) => return None,
                Token::Byte(..) => {}
                Token::Column(column) => {
                    if self.block.holds(&self.block.columns[*column as usize], b'=', self.shape) {
                        return None;
                    }
                }
            }
            self.at += 1;
        }
        (self.at > start).then_some(start..self.at)
    }
}

/// What a bare JSON value is, if it is one. Numbers with an exponent are left to the line.
fn kind_of_bare(text: &[u8]) -> Option<FieldKind> {
    match text {
        b"true" | b"false" => return Some(FieldKind::Bool),
        b"null" => return Some(FieldKind::Null),
        _ => {}
    }
    let digits = text.strip_prefix(b"-").unwrap_or(text);
    let mut halves = digits.splitn(2, |byte| *byte == b'.');
    let whole = halves.next()?;
    let are_digits =
        |text: &[u8]| !text.is_empty() && text.iter().all(|byte| class_of(*byte) == DIGITS);
    let is_number = are_digits(whole)
        && (whole.len() == 1 || whole[0] != b'0')
        && halves.next().is_none_or(are_digits);
    is_number.then_some(FieldKind::Number)
}
