//! A row as the source gives it, and as stages see it.

use model::Timestamp;
use model::columns::TextColumn;

use super::column_plan::ColumnRow;
use super::labels::RowLabels;
use super::names::NameId;

/// One row as it came from the source.
#[derive(Debug, Clone, Copy)]
pub struct RowView<'a> {
    /// When.
    pub timestamp: Timestamp,
    /// The line; empty when the pipeline does not want lines, or when it was taken apart.
    pub line: &'a [u8],
    /// Where the line is, if it was taken apart.
    pub columns: Option<ColumnRow<'a>>,
    /// Its structured metadata.
    pub metadata: Metadata<'a>,
}

/// The structured metadata of one row.
#[derive(Debug, Clone, Copy)]
pub enum Metadata<'a> {
    /// A row of a batch: its columns, and the row's index.
    Columns(&'a [TextColumn], usize),
    /// Pairs.
    Pairs(&'a [(&'a str, &'a str)]),
}

impl<'a> Metadata<'a> {
    /// The value of a column that has one in this row, or of a pair.
    #[inline]
    pub(super) fn value(&self, at: usize) -> &'a str {
        match self {
            Self::Columns(columns, row) => {
                columns.get(at).and_then(|column| column.get(*row)).unwrap_or("")
            }
            Self::Pairs(pairs) => pairs.get(at).map_or("", |(_, value)| value),
        }
    }
}

/// Buffers for lines that stages wrote.
#[derive(Debug, Default)]
pub(super) struct LineBuffers {
    /// The current line, when a stage wrote one.
    pub(super) current: Vec<u8>,
    /// Where the next one is written.
    pub(super) next: Vec<u8>,
    /// Whether `current` stands for the row's line.
    pub(super) is_rewritten: bool,
}

impl LineBuffers {
    /// Makes what was written to `next` the current line.
    pub(super) fn swap(&mut self) {
        std::mem::swap(&mut self.current, &mut self.next);
        self.is_rewritten = true;
    }
}

/// A row in the middle of the pipeline.
pub(super) struct Row<'c, 'r> {
    pub(super) labels: &'c mut RowLabels,
    pub(super) lines: &'c mut LineBuffers,
    pub(super) view: RowView<'r>,
}

impl Row<'_, '_> {
    /// The current value of a label.
    pub(super) fn get(&self, name: NameId) -> Option<&[u8]> {
        self.labels.get(self.view, name)
    }

    /// The line as the stages so far left it.
    pub(super) fn line(&self) -> &[u8] {
        if self.lines.is_rewritten { &self.lines.current } else { self.view.line }
    }
}
