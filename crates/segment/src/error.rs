//! What can go wrong when bytes become a segment or a segment is read.

use model::ErrorKind;

/// The result of reading or writing a segment.
pub type Result<T> = std::result::Result<T, FormatError>;

/// Why a segment could not be written or read.
///
/// [`FormatError::kind`] says what the caller does about it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum FormatError {
    /// The given tail of the object is too short; read at least this many of its last bytes.
    #[error("the last {bytes} bytes of the segment are needed")]
    NeedMore {
        /// How many bytes from the end of the object decoding needs.
        bytes: u64,
    },
    /// The bytes are not a segment at all, or its end is missing.
    #[error("not a segment: {0}")]
    NotASegment(&'static str),
    /// A newer writer made this segment; upgrade the reader.
    #[error("the segment needs a newer reader: {0}")]
    Unsupported(String),
    /// A checksum does not fit its bytes.
    #[error("checksum mismatch in {0}")]
    Checksum(&'static str),
    /// The bytes contradict themselves or the format.
    #[error("damaged segment: {0}")]
    Corrupt(&'static str),
    /// The text is not the name of a segment.
    #[error("not a segment name: {0:?}")]
    Name(String),
    /// The writer was fed streams or rows out of order, or rows before a stream.
    #[error("rows were added out of order: {0}")]
    Order(&'static str),
    /// More was added than one segment can hold; close it earlier.
    #[error("too much for one segment: {0}")]
    TooLarge(&'static str),
    /// The compression library failed.
    #[error("compression failed: {0}")]
    Compress(&'static str),
    /// The place outside memory where a segment was being built failed; try again later.
    #[error("building outside memory failed: {0}")]
    Spill(String),
}

impl FormatError {
    /// What the caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        match self {
            Self::Name(_) => ErrorKind::Invalid,
            Self::TooLarge(_) => ErrorKind::LimitExceeded,
            Self::Spill(_) => ErrorKind::Unavailable,
            Self::Order(_) | Self::Compress(_) | Self::NeedMore { .. } => ErrorKind::Internal,
            Self::NotASegment(_) | Self::Unsupported(_) | Self::Checksum(_) | Self::Corrupt(_) => {
                ErrorKind::Corrupt
            }
        }
    }
}
