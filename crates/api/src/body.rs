//! Request bodies as they arrive: compressed, and possibly a bomb.
//!
//! [`decompress`] never produces more than the limit it is given, and never allocates more than a
//! small multiple of what the input can become: lengths that headers announce are checked before
//! anything is reserved.

use std::io::Read;

use bytes::Bytes;
use model::ErrorKind;

use buffer::Buffer;

mod buffer;
#[cfg(test)]
mod tests;

/// How a body is packed.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum ContentEncoding {
    /// As it is.
    Identity,
    /// One raw snappy block, without framing.
    SnappyBlock,
    /// gzip, any number of members.
    Gzip,
    /// Raw DEFLATE, without a zlib header.
    Deflate,
    /// Zstandard.
    Zstd,
    /// LZ4 frames.
    Lz4,
}

/// Why a body could not be unpacked. Sending it again cannot help.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BodyError {
    /// More bytes than accepted come out: HTTP 413.
    #[error("decompressed message size too large than max ({size} vs {limit})")]
    DecompressedTooLarge {
        /// How many bytes there are, or the first number beyond the limit.
        size: u64,
        /// How many are accepted.
        limit: u64,
    },
    /// More bytes than accepted arrived: HTTP 413.
    #[error("message size too large than max ({size} vs {limit})")]
    TooLarge {
        /// How many bytes there are, or the first number beyond the limit.
        size: u64,
        /// How many are accepted.
        limit: u64,
    },
    /// The bytes are not of the announced encoding: HTTP 400.
    #[error("{0}")]
    Corrupt(String),
    /// The `Content-Encoding` header names something else: HTTP 400.
    #[error("{0}")]
    Unsupported(String),
}

impl BodyError {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    /// Whether the answer is 413 instead of 400.
    #[must_use]
    pub fn is_too_large(&self) -> bool {
        matches!(self, Self::TooLarge { .. } | Self::DecompressedTooLarge { .. })
    }
}

impl ContentEncoding {
    /// Reads the header of a Loki push. `snappy` is a label without effect there: the protobuf
    /// format brings its snappy block anyway, and JSON may carry the label without being packed.
    ///
    /// # Errors
    ///
    /// [`BodyError::Unsupported`] for other encodings.
    pub fn of_push(header: &str) -> Result<Self, BodyError> {
        match header {
            "" | "snappy" => Ok(Self::Identity),
            "gzip" => Ok(Self::Gzip),
            "deflate" => Ok(Self::Deflate),
            other => {
                Err(BodyError::Unsupported(format!("Content-Encoding {other:?} not supported")))
            }
        }
    }

    /// Reads the header of an OTLP push.
    ///
    /// # Errors
    ///
    /// [`BodyError::Unsupported`] for other encodings.
    pub fn of_otlp(header: &str) -> Result<Self, BodyError> {
        match header {
            "" => Ok(Self::Identity),
            "gzip" => Ok(Self::Gzip),
            "zstd" => Ok(Self::Zstd),
            "lz4" => Ok(Self::Lz4),
            other => Err(BodyError::Unsupported(format!(
                "unsupported content encoding {other}: only gzip, lz4 and zstd are supported"
            ))),
        }
    }
}

/// Unpacks a body to at most `limit` bytes.
///
/// # Errors
///
/// [`BodyError::DecompressedTooLarge`] beyond the limit, [`BodyError::Corrupt`] when the bytes are
/// not of the encoding.
pub fn decompress(bytes: Bytes, encoding: ContentEncoding, limit: u64) -> Result<Bytes, BodyError> {
    let input: &[u8] = &bytes;
    match encoding {
        ContentEncoding::Identity if bytes.len() as u64 > limit => {
            Err(BodyError::DecompressedTooLarge { size: bytes.len() as u64, limit })
        }
        ContentEncoding::Identity => Ok(bytes),
        ContentEncoding::SnappyBlock => snappy_block(input, limit),
        ContentEncoding::Gzip => {
            read_limited(flate2::bufread::MultiGzDecoder::new(input), input.len(), limit)
                .map_err(|error| error.within("gzip"))
        }
        ContentEncoding::Deflate => {
            read_limited(flate2::bufread::DeflateDecoder::new(input), input.len(), limit)
                .map_err(|error| error.within("flate"))
        }
        ContentEncoding::Zstd => zstd::stream::read::Decoder::with_buffer(input)
            .map_err(ReadError::Io)
            .and_then(|decoder| read_limited(decoder, input.len(), limit))
            .map_err(|error| error.within("zstd")),
        ContentEncoding::Lz4 => {
            read_limited(lz4_flex::frame::FrameDecoder::new(input), input.len(), limit)
                .map_err(|error| error.within("lz4"))
        }
    }
}

fn snappy_block(input: &[u8], limit: u64) -> Result<Bytes, BodyError> {
    let corrupt = || BodyError::Corrupt("snappy: corrupt input".into());
    // No input announces its length as nothing, which is not a block.
    if input.is_empty() {
        return Err(corrupt());
    }
    let size = snap::raw::decompress_len(input).map_err(|_| corrupt())?;
    if size as u64 > limit {
        return Err(BodyError::DecompressedTooLarge { size: size as u64, limit });
    }
    // An element of two bytes yields at most 64: a larger announcement cannot be true.
    if size > input.len().saturating_mul(64) {
        return Err(corrupt());
    }
    let mut buffer = Buffer::take(size);
    match snap::raw::Decoder::new().decompress(input, buffer.bytes_mut()) {
        Ok(written) if written == size => Ok(buffer.into_bytes()),
        _ => Err(corrupt()),
    }
}

enum ReadError {
    Io(std::io::Error),
    TooLarge(u64),
}

impl ReadError {
    fn within(self, name: &str) -> BodyError {
        match self {
            Self::TooLarge(limit) => {
                BodyError::DecompressedTooLarge { size: limit.saturating_add(1), limit }
            }
            Self::Io(error) if error.kind() == std::io::ErrorKind::UnexpectedEof => {
                BodyError::Corrupt("unexpected EOF".into())
            }
            Self::Io(error) => BodyError::Corrupt(format!("{name}: {error}")),
        }
    }
}

fn read_limited(reader: impl Read, input_len: usize, limit: u64) -> Result<Bytes, ReadError> {
    let expected = (input_len as u64).saturating_mul(6).min(limit);
    let mut out = Vec::with_capacity(usize::try_from(expected).unwrap_or(0));
    reader.take(limit.saturating_add(1)).read_to_end(&mut out).map_err(ReadError::Io)?;
    if out.len() as u64 > limit {
        return Err(ReadError::TooLarge(limit));
    }
    Ok(out.into())
}
