//! The seam between the engine and whatever keeps the rows.
//!
//! A source answers a [`Selection`] with [`Piece`]s: descriptions of batches that it could load.
//! The engine decides which pieces to load, in which order and on which threads. A piece is about
//! a megabyte of lines, so a batch is cheap to hold and large enough to search in one sweep.

use std::ops::Range;
use std::sync::Arc;

use model::column_lines::ColumnLines;
use model::columns::{Lines, TextColumn};
use model::{Direction, Fingerprint, Labels, Matcher, TimeRange, Timestamp};

/// Rows of one tenant that can be selected and loaded. Implementations may block on I/O.
pub trait Source: Sync {
    /// Describes every batch that may hold rows of the selection, in any order.
    ///
    /// Rows outside the selection's time range or streams may be part of a batch only if the
    /// batch's runs and timestamps let the engine tell: streams that do not match have no run.
    ///
    /// # Errors
    ///
    /// [`SourceError`] when the catalog cannot be read at all.
    fn pieces(&self, selection: &Selection) -> Result<Vec<Piece>, SourceError>;

    /// Loads a batch with at least the wanted columns.
    ///
    /// # Errors
    ///
    /// [`SourceError`] when the rows cannot be read or are damaged.
    fn load(&self, piece: &Piece, want: &Want) -> Result<Batch, SourceError>;

    /// Counts of the piece's rows by stream, level and time, when the source keeps them.
    ///
    /// The default keeps none, and the engine counts rows.
    ///
    /// # Errors
    ///
    /// [`SourceError`] when they cannot be read or are damaged.
    fn cells(&self, _piece: &Piece) -> Result<Option<Cells>, SourceError> {
        Ok(None)
    }

    /// The streams that match and have rows in the range, each once.
    ///
    /// # Errors
    ///
    /// [`SourceError`] when the catalog cannot be read.
    fn streams(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<StreamSummary>, SourceError>;

    /// What the source could not include, in words for the user; empty when it is whole.
    fn warnings(&self) -> Vec<String> {
        Vec::new()
    }
}

/// What a query selects, and what a source may skip by.
#[derive(Debug, Clone)]
pub struct Selection {
    /// All must match a stream's labels.
    pub matchers: Vec<Matcher>,
    /// Entries must lie inside; half open.
    pub range: TimeRange,
    /// The order in which the answer wants entries; sources may use it to order their work.
    pub direction: Direction,
    /// What every returned line must hold. A source may leave out pieces that provably hold no
    /// such line, and may ignore this entirely.
    pub required: Vec<Required>,
    /// What the labels of every wanted row must be. To be used, or ignored, in the same way.
    pub required_labels: Vec<RequiredLabel>,
    /// The part of the streams that is wanted. To be used, or ignored, in the same way.
    pub shard: Option<Shard>,
}

/// One of several parts of all streams, told apart by their fingerprints: a stream is in exactly
/// one part.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct Shard {
    /// Which part, below `of`.
    pub index: u32,
    /// How many parts there are; at least 1.
    pub of: u32,
}

impl Shard {
    /// Whether a stream belongs to this part.
    #[must_use]
    pub fn holds(self, stream: Fingerprint) -> bool {
        stream.0 % u64::from(self.of.max(1)) == u64::from(self.index)
    }
}

impl Selection {
    /// Every entry of the streams that match in a range, earliest first.
    #[must_use]
    pub fn all(matchers: &[Matcher], range: TimeRange) -> Self {
        Self {
            matchers: matchers.to_vec(),
            range,
            direction: Direction::Forward,
            required: Vec::new(),
            required_labels: Vec::new(),
            shard: None,
        }
    }
}

/// A condition on lines: at least one of the texts stands somewhere in the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Required {
    /// The texts; never empty, and no text is empty.
    pub any_of: Vec<Box<[u8]>>,
    /// Whether ASCII letters match in either case.
    pub ignores_case: bool,
}

/// A condition on rows: a label has one of some values.
///
/// It says nothing about rows of streams that have the label themselves. Of all others it says
/// that their structured metadata has it, or that a parser found it in the line.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RequiredLabel {
    /// The label's name.
    pub name: Box<str>,
    /// The values; never empty, and no value is empty.
    pub values: Vec<Box<str>>,
    /// Of which one stands in the line when a parser found the label there. Empty when no parser
    /// ran before the condition.
    pub or_texts: Vec<Box<[u8]>>,
}

/// A batch that could be loaded.
#[derive(Debug, Clone)]
pub struct Piece {
    /// The source's own handle.
    pub id: u64,
    /// Where the rows stand: pieces with equal origin never hold copies of one row.
    pub origin: u64,
    /// Arrival order between pieces: of two rows with equal stream and time, the one in the piece
    /// of lower rank came first.
    pub rank: u64,
    /// Time of the earliest row.
    pub first: Timestamp,
    /// Time of the latest row.
    pub last: Timestamp,
    /// How many rows a batch holds, at most.
    pub rows: u64,
    /// How many line bytes a batch holds, at most.
    pub bytes: u64,
    /// Whether the rows are in a head (unflushed) or in a segment; for statistics.
    pub is_head: bool,
}

/// Which columns a batch must carry; timestamps and runs are always there.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct Want {
    /// How much of the lines.
    pub lines: WantLines,
    /// Which structured metadata.
    pub metadata: WantMetadata,
}

/// How much of the lines a batch must carry.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum WantLines {
    /// Nothing.
    None,
    /// [`Batch::lengths`].
    Lengths,
    /// [`Batch::lines`], or [`Batch::columns`] where lines are kept that way.
    Columns,
    /// [`Batch::lines`].
    #[default]
    Text,
}

/// Which structured metadata a batch must carry.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub enum WantMetadata {
    /// Nothing.
    None,
    /// The named columns, where they exist.
    Names(Vec<String>),
    /// Every column.
    #[default]
    All,
}

/// Rows, column by column. Rows of one stream are consecutive and ascend by time; rows with equal
/// time are in arrival order.
#[derive(Debug, Clone, Default)]
pub struct Batch {
    /// Which rows belong to which stream. Rows that no run covers are not part of the selection.
    pub runs: Vec<StreamRun>,
    /// Time of every row, in nanoseconds.
    pub timestamps: Vec<i64>,
    /// Length of every line in bytes; filled for [`WantLines::Lengths`] (and may be for `Text`).
    pub lengths: Vec<u32>,
    /// The lines; filled for [`WantLines::Text`], at least up to the last row of the last run.
    pub lines: Lines,
    /// The lines taken apart, in their stead; only for [`WantLines::Columns`].
    pub columns: Option<Arc<dyn ColumnLines>>,
    /// Structured metadata by name; names are distinct.
    pub metadata: Vec<TextColumn>,
    /// Compressed bytes that had to be read; for statistics.
    pub compressed_bytes: u64,
}

impl Batch {
    /// Whether this is all that could be wanted of these rows, given what was.
    #[must_use]
    pub fn is_full(&self, want: &Want) -> bool {
        let has_text = match want.lines {
            WantLines::Text => true,
            WantLines::Columns => self.columns.is_none(),
            WantLines::None | WantLines::Lengths => false,
        };
        has_text && want.metadata == WantMetadata::All
    }
}

/// Consecutive rows of one stream.
#[derive(Debug, Clone)]
pub struct StreamRun {
    /// The stream's labels.
    pub labels: Labels,
    /// Their hash.
    pub fingerprint: Fingerprint,
    /// The rows, as indices into the batch.
    pub rows: Range<usize>,
    /// Rows inside this span may also stand in a batch of another origin; the engine counts equal
    /// rows (stream, time, line and metadata) once. `None`: no copies exist.
    pub copies: Option<TimeRange>,
}

/// Counts of rows that stand for the rows themselves.
#[derive(Debug, Clone)]
pub struct Cells {
    /// The streams counted, as in the batch of the same piece.
    pub runs: Vec<StreamRun>,
    /// The counts, in any order. Together they count every row of the piece exactly once.
    pub cells: Vec<Cell>,
}

/// How many rows of one run and level lie in one span of time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Cell {
    /// Index into [`Cells::runs`].
    pub run: u32,
    /// Code of the detected level ([`model::Level`]); 0 when the rows have none.
    pub level: u8,
    /// First instant of the span.
    pub start: Timestamp,
    /// First instant after the span.
    pub end: Timestamp,
    /// How many rows.
    pub lines: u64,
    /// Their line bytes.
    pub bytes: u64,
}

/// A stream with rows in a range.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct StreamSummary {
    /// The stream's labels.
    pub labels: Labels,
    /// Rows that may lie in the range; exact when the whole stream does.
    pub rows: u64,
    /// Their line bytes.
    pub bytes: u64,
}

/// Why rows could not be read.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{message}")]
pub struct SourceError {
    /// What happened, for the user.
    pub message: String,
    /// What the caller does about it.
    pub kind: model::ErrorKind,
}
