//! How a segment is encoded.

use crate::block::LineCodec;

/// Choices of the writer. They are part of a segment's name, because readers cache what they
/// read by name: two encodings of the same rows never share one.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct EncodeSettings {
    /// The zstd level of lines; 1 for flushes, more buys a little space with much time.
    pub zstd_level: i32,
    /// Line bytes after which a block is closed. A longer line makes a block of its own.
    pub block_bytes: u32,
    /// Rows after which a block is closed.
    pub block_rows: u32,
    /// Labels whose values order the streams, most important first. `a|b` takes the first of the
    /// two that a stream has.
    pub sort_labels: Vec<String>,
    /// Which keys of the rows are indexed.
    pub index: IndexPolicy,
    /// How lines are kept. A block of which [`LineCodec::Columns`] would not make less is kept as
    /// [`LineCodec::Zstd`] all the same.
    pub line_codec: LineCodec,
}

/// What the token index of a segment covers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
#[non_exhaustive]
#[repr(u8)]
pub enum IndexPolicy {
    /// Nothing: the segment is smaller and sooner written, and text searches read all of it.
    Nothing = 0,
    /// Words and identifiers of lines, and values of structured metadata.
    Tokens = 1,
}

impl IndexPolicy {
    /// The policy of a stored code.
    pub(crate) fn from_code(code: u8) -> Option<Self> {
        [Self::Nothing, Self::Tokens].into_iter().find(|policy| *policy as u8 == code)
    }
}

impl Default for EncodeSettings {
    fn default() -> Self {
        Self {
            zstd_level: 1,
            block_bytes: 1 << 20,
            block_rows: 1 << 16,
            sort_labels: ["app|job|service_name", "namespace", "cluster"]
                .map(str::to_owned)
                .to_vec(),
            index: IndexPolicy::Tokens,
            line_codec: LineCodec::Zstd,
        }
    }
}

impl EncodeSettings {
    /// What flushes and compaction write: lines as columns take a third less room than plain ones
    /// and twice the time to encode. Blocks of up to 4 MiB, because fewer of them repeat fewer
    /// shapes; most end before that, with their program.
    #[must_use]
    pub fn to_stay() -> Self {
        Self { line_codec: LineCodec::Columns, block_bytes: 4 << 20, ..Self::default() }
    }
}
