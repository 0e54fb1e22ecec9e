//! Lines that were taken apart: what can be asked of them without putting them together again.

use std::fmt::Debug;

/// Lines of a batch as shapes and columns.
///
/// Rows of one *shape* have the same text but for the values of the shape's *columns*, and a *rank*
/// among themselves: 0 for the first such row of the batch. Rows of shape 0 have no columns; ask
/// for their lines.
///
/// What is damaged reads as if it were empty, and [`ColumnLines::is_damaged`] says so from then on:
/// whoever read values or lines asks it before the result is trusted.
pub trait ColumnLines: Debug + Send + Sync {
    /// The shape of every row, below [`ColumnLines::shapes`].
    fn row_shapes(&self) -> &[u32];

    /// The rank of every row.
    fn ranks(&self) -> &[u32];

    /// How many shapes there are, the one at 0 among them.
    fn shapes(&self) -> usize;

    /// Bytes of all lines.
    fn line_bytes(&self) -> u64;

    /// Which lines hold a text, shape by shape, as far as that is known without the lines. Shapes that
    /// are not `wanted` are not looked at: [`RowMatch::Maybe`]. With `ignores_case`, ASCII letters
    /// count in either case, and a row whose line may hold a character beyond ASCII with a case in
    /// ASCII is [`RowMatch::Maybe`].
    fn find(&self, text: &[u8], ignores_case: bool, wanted: &[bool]) -> Vec<ShapeMatch>;

    /// The scalar members of the JSON objects that all lines of a shape are, in order, and the arrays
    /// and empty objects among them.
    ///
    /// Where there are fields, every line of the shape begins with an object that has exactly these
    /// members, and nothing but blanks follows it. What arrays hold is not looked at. No key and no
    /// value holds an escape, a quote or a control character; numbers are valid. Keys and strings
    /// may hold bytes that are no UTF-8, and a key may occur twice.
    fn json_fields(&self, shape: u32) -> Option<Vec<LineField>>;

    /// The `key=value` pairs that all lines of a shape are, in order.
    ///
    /// Where there are fields, every line of the shape consists of exactly these pairs, with blanks
    /// between and around them. A value stands bare, is not empty and holds neither blanks, quotes
    /// nor `=`; or it stands in quotes without escapes, and may be empty. Keys are not empty, and
    /// keys and values may hold bytes that are no UTF-8.
    ///
    /// `is_wanted` is asked for every key, in order; fields of which it says no are left out.
    fn logfmt_fields(
        &self,
        shape: u32,
        is_wanted: &mut dyn FnMut(&[u8]) -> bool,
    ) -> Option<Vec<LineField>>;

    /// Appends the value of a column in the row of a rank, given the row's time.
    fn append_value(&self, column: u32, rank: u32, timestamp: i64, out: &mut Vec<u8>);

    /// The distinct values of a column and, by rank, which of them each row has, when the column is
    /// kept that way.
    fn dictionary(&self, column: u32) -> Option<(Vec<&[u8]>, &[u8])>;

    /// The values of a column by rank, when they are numbers of which equal ones stand for equal
    /// texts.
    fn numbers(&self, column: u32) -> Option<&[i64]>;

    /// Appends the line of a row, given its time.
    fn append_line(&self, row: usize, timestamp: i64, out: &mut Vec<u8>);

    /// Whether something that was read so far was damaged.
    fn is_damaged(&self) -> bool;
}

/// What is known of a text in a line.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum RowMatch {
    /// The line does not hold it.
    No,
    /// The line holds it.
    Yes,
    /// Only the line can tell.
    Maybe,
}

/// What is known of a text in the lines of a shape.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum ShapeMatch {
    /// The same in all of them.
    All(RowMatch),
    /// By rank.
    Ranked(Vec<RowMatch>),
}

impl ShapeMatch {
    /// What is known of the row of a rank.
    #[must_use]
    #[inline]
    pub fn get(&self, rank: u32) -> RowMatch {
        match self {
            Self::All(known) => *known,
            Self::Ranked(known) => known.get(rank as usize).copied().unwrap_or(RowMatch::Maybe),
        }
    }
}

/// What the values of a field are.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum FieldKind {
    /// A JSON string, or the value of a logfmt pair.
    Text,
    /// A JSON number.
    Number,
    /// `true` or `false`.
    Bool,
    /// `null`.
    Null,
    /// A JSON array, or an object without members; such a field has no parts.
    Container,
}

/// A field that all lines of a shape have.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineField {
    /// What its values are.
    pub kind: FieldKind,
    /// Its keys, the outermost first.
    pub keys: Vec<Box<[u8]>>,
    /// What its values consist of; nothing for an empty value.
    pub parts: Vec<FieldPart>,
}

/// A part of a field's values.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum FieldPart {
    /// The same in every line.
    Same(Box<[u8]>),
    /// The value of a column.
    Column(u32),
}
