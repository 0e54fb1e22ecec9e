//! What a query answers.

use crate::time::Timestamp;

/// Label names and values of a result, in name order. Unlike [`crate::Labels`] it may hold empty
/// values, because parsers and templates can make them.
pub type ResultLabels = Vec<(String, String)>;

/// The value of a query.
#[derive(Debug, Clone, PartialEq)]
pub enum Value {
    /// A log query: streams in label order.
    Streams(Vec<ResultStream>),
    /// A metric query at one instant.
    Vector(Vec<VectorSample>),
    /// A metric query over steps.
    Matrix(Vec<Series>),
    /// A bare number at one instant.
    Scalar(Sample),
}

/// Entries that share one result label set, in the query's direction.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultStream {
    /// Stream labels merged with metadata and parsed labels; only stream labels when categorised.
    pub labels: ResultLabels,
    /// The entries, ordered by the query's direction.
    pub entries: Vec<ResultEntry>,
}

/// One entry of a log query's answer.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct ResultEntry {
    /// When.
    pub timestamp: Timestamp,
    /// The line after the pipeline.
    pub line: Vec<u8>,
    /// Structured metadata, filled only when the query asks for categories.
    pub structured_metadata: ResultLabels,
    /// Parsed labels, filled only when the query asks for categories.
    pub parsed: ResultLabels,
}

/// A number at a time.
#[derive(Debug, Clone, Copy, PartialEq)]
pub struct Sample {
    /// When; answers carry milliseconds.
    pub timestamp: Timestamp,
    /// The number.
    pub value: f64,
}

/// One row of a vector.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorSample {
    /// The series' labels.
    pub labels: ResultLabels,
    /// Its value.
    pub sample: Sample,
}

/// One row of a matrix.
#[derive(Debug, Clone, PartialEq)]
pub struct Series {
    /// The series' labels.
    pub labels: ResultLabels,
    /// Its values, by time.
    pub samples: Vec<Sample>,
}

/// How much work a query did. Counts are exact.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct QueryStats {
    /// Line bytes looked at in heads.
    pub head_bytes: u64,
    /// Lines looked at in heads.
    pub head_lines: u64,
    /// Line bytes decompressed from segments.
    pub decompressed_bytes: u64,
    /// Lines decompressed from segments.
    pub decompressed_lines: u64,
    /// Compressed bytes read from segments.
    pub compressed_bytes: u64,
    /// Structured metadata bytes looked at.
    pub metadata_bytes: u64,
    /// Lines that passed the pipeline's filters.
    pub post_filter_lines: u64,
    /// Entries dropped because another copy of them was returned.
    pub duplicates: u64,
    /// Blocks that the selection covered.
    pub blocks_selected: u64,
    /// Blocks of them that an index proved to hold no wanted row.
    pub blocks_pruned: u64,
    /// Blocks that were read; the rest was skipped by proof.
    pub blocks_read: u64,
    /// Compressed bytes of indexes that were read to find the blocks.
    pub index_bytes: u64,
    /// Segments that the selection covered.
    pub segments_selected: u64,
    /// Entries or samples in the answer.
    pub entries_returned: u64,
}

impl QueryStats {
    /// Adds the work of a part.
    pub fn add(&mut self, part: &Self) {
        self.head_bytes += part.head_bytes;
        self.head_lines += part.head_lines;
        self.decompressed_bytes += part.decompressed_bytes;
        self.decompressed_lines += part.decompressed_lines;
        self.compressed_bytes += part.compressed_bytes;
        self.metadata_bytes += part.metadata_bytes;
        self.post_filter_lines += part.post_filter_lines;
        self.duplicates += part.duplicates;
        self.blocks_selected += part.blocks_selected;
        self.blocks_pruned += part.blocks_pruned;
        self.blocks_read += part.blocks_read;
        self.index_bytes += part.index_bytes;
        self.segments_selected += part.segments_selected;
        self.entries_returned += part.entries_returned;
    }
}

/// A query's value, what it cost, and what it could not see.
#[derive(Debug, Clone, PartialEq)]
pub struct Answer {
    /// The value.
    pub value: Value,
    /// The work done.
    pub stats: QueryStats,
    /// What was left out and why, sorted and distinct; empty when the answer is complete.
    pub warnings: Vec<String>,
}
