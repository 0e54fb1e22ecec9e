//! Columns of few distinct values, as codes.

use model::column_lines::{ColumnLines, FieldPart};

use super::column_plan::PlannedField;

/// Most codes of a column of numbers: further apart, they are looked at one by one.
const NUMBERS_MAX: u64 = 4096;

/// Which value of a column each row has, by rank: equal codes stand for equal values.
#[derive(Debug)]
pub(super) enum Codes<'a> {
    /// Places in a dictionary.
    Dictionary(&'a [u8]),
    /// Numbers, of which this is the smallest.
    Numbers(&'a [i64], i64),
}

impl<'a> Codes<'a> {
    /// The codes of a column, and how many there are; `None` when it is not kept that way.
    fn of(lines: &'a dyn ColumnLines, column: u32) -> Option<(Self, usize)> {
        if let Some((values, codes)) = lines.dictionary(column) {
            return Some((Self::Dictionary(codes), values.len()));
        }
        let numbers = lines.numbers(column)?;
        let (least, most) = (numbers.iter().min()?, numbers.iter().max()?);
        let count = most.abs_diff(*least);
        (count < NUMBERS_MAX).then(|| (Self::Numbers(numbers, *least), count as usize + 1))
    }

    /// The code of the row of a rank, below the count.
    #[inline]
    fn get(&self, rank: u32) -> Option<usize> {
        match self {
            Self::Dictionary(codes) => codes.get(rank as usize).map(|code| usize::from(*code)),
            Self::Numbers(values, least) => {
                values.get(rank as usize).map(|value| value.wrapping_sub(*least) as usize)
            }
        }
    }
}

/// Several columns as one number per row.
#[derive(Debug)]
pub(super) struct Combined<'a> {
    columns: Vec<(Codes<'a>, usize)>,
    count: usize,
}

impl<'a> Combined<'a> {
    /// The columns of some fields; `None` when some column has no codes, or when there are more
    /// combinations than `most`.
    pub(super) fn of<'f>(
        lines: &'a dyn ColumnLines,
        fields: impl Iterator<Item = &'f PlannedField>,
        most: usize,
    ) -> Option<Self> {
        let (mut columns, mut count) = (Vec::new(), 1usize);
        for part in fields.flat_map(|field| &field.parts) {
            if let FieldPart::Column(column) = part {
                let (codes, own) = Codes::of(lines, *column)?;
                count = count.checked_mul(own).filter(|count| *count <= most)?;
                columns.push((codes, own));
            }
        }
        Some(Self { columns, count })
    }

    /// How many combinations there can be.
    pub(super) fn count(&self) -> usize {
        self.count
    }

    /// The combination of the row of a rank, below the count.
    #[inline]
    pub(super) fn get(&self, rank: u32) -> Option<usize> {
        let mut combined = 0;
        for (codes, count) in &self.columns {
            combined = combined * count + codes.get(rank).filter(|code| code < count)?;
        }
        Some(combined)
    }
}
