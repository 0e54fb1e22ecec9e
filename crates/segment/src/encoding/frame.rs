//! zstd frames with a known size.

use std::cell::RefCell;
use std::ops::Range;

use zstd::bulk::{Compressor, Decompressor};
use zstd::zstd_safe::{self, DCtx, InBuffer, OutBuffer, ResetDirective};

use crate::error::{FormatError, Result};

use super::cursor::{Cursor, put_varint};

/// Byte strings shorter than this are not worth a frame.
const FRAME_BYTES_MIN: usize = 48;

/// The version of the compression library, which decides what bytes a frame has.
pub(crate) fn library_version() -> u32 {
    zstd_safe::version_number()
}

/// A compression context that is used again and again.
pub(crate) struct FrameEncoder {
    compressor: Compressor<'static>,
    /// Where a frame is written whose length is to stand in front of it.
    frame: Vec<u8>,
}

impl FrameEncoder {
    /// A context for one level; levels out of range become the nearest possible.
    pub(crate) fn new(level: i32) -> Result<Self> {
        let range = zstd::compression_level_range();
        let level = level.clamp(*range.start(), *range.end());
        let compressor = Compressor::new(level).map_err(|_| FormatError::Compress("context"))?;
        Ok(Self { compressor, frame: Vec::new() })
    }

    /// Appends one frame that holds `bytes`.
    pub(crate) fn append(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        out.reserve(zstd_safe::compress_bound(bytes.len()));
        let mut tail = std::io::Cursor::new(std::mem::take(out));
        tail.set_position(start as u64);
        let written = self.compressor.compress_to_buffer(bytes, &mut tail);
        *out = tail.into_inner();
        written.map(drop).map_err(|_| FormatError::Compress("frame"))
    }

    /// Appends a byte string: as a frame where that saves a sixteenth, as it is otherwise.
    pub(crate) fn append_blob(&mut self, bytes: &[u8], out: &mut Vec<u8>) -> Result<()> {
        let start = out.len();
        if bytes.len() >= FRAME_BYTES_MIN {
            let mut frame = std::mem::take(&mut self.frame);
            frame.clear();
            let written = self.append(bytes, &mut frame);
            let shrinks = frame.len() + frame.len() / 15 < bytes.len();
            if written.is_ok() && shrinks {
                put_varint(out, (bytes.len() as u64) << 1 | 1);
                put_varint(out, frame.len() as u64);
                out.extend_from_slice(&frame);
            }
            self.frame = frame;
            written?;
            if shrinks {
                return Ok(());
            }
        }
        out.truncate(start);
        put_varint(out, (bytes.len() as u64) << 1);
        out.extend_from_slice(bytes);
        Ok(())
    }
}

/// Decompresses exactly one frame that holds exactly `len` bytes, a bound the caller has checked.
pub(crate) fn decode_frame(frame: &[u8], len: usize) -> Result<Vec<u8>> {
    thread_local! {
        static CONTEXT: RefCell<Option<Decompressor<'static>>> = const { RefCell::new(None) };
    }
    check_frame(frame, len)?;
    let mut text = Vec::with_capacity(len);
    let written = CONTEXT.with_borrow_mut(|context| {
        let context = match context {
            Some(context) => context,
            None => {
                let new = Decompressor::new().map_err(|_| FormatError::Compress("context"))?;
                context.insert(new)
            }
        };
        context
            .decompress_to_buffer(frame, &mut text)
            .map_err(|_| FormatError::Corrupt("a frame does not decompress"))
    })?;
    if written != len {
        return Err(FormatError::Corrupt("a frame is shorter than it says"));
    }
    Ok(text)
}

/// Decompresses the first `wanted` bytes of a frame that holds exactly `len` bytes.
///
/// Costs a tenth more per byte than [`decode_frame`], because what was decompressed is copied.
pub(crate) fn decode_frame_start(frame: &[u8], len: usize, wanted: usize) -> Result<Vec<u8>> {
    thread_local! {
        static CONTEXT: RefCell<Option<DCtx<'static>>> = const { RefCell::new(None) };
    }
    const DAMAGED: FormatError = FormatError::Corrupt("a frame does not decompress");
    check_frame(frame, len)?;
    // Room for no more than is wanted, so that nothing more is decompressed.
    let mut text = vec![0; wanted.min(len)];
    CONTEXT.with_borrow_mut(|context| {
        let context = match context {
            Some(context) => context,
            None => context.insert(DCtx::try_create().ok_or(FormatError::Compress("context"))?),
        };
        context.reset(ResetDirective::SessionOnly).map_err(|_| DAMAGED)?;
        let mut input = InBuffer::around(frame);
        let mut output = OutBuffer::around(&mut text[..]);
        while output.pos() < wanted.min(len) {
            let before = (input.pos(), output.pos());
            context.decompress_stream(&mut output, &mut input).map_err(|_| DAMAGED)?;
            if before == (input.pos(), output.pos()) {
                return Err(DAMAGED);
            }
        }
        Ok(())
    })?;
    Ok(text)
}

/// Checks what a frame says of itself.
fn check_frame(frame: &[u8], len: usize) -> Result<()> {
    let declared = zstd_safe::get_frame_content_size(frame).ok().flatten();
    if declared != Some(len as u64) {
        return Err(FormatError::Corrupt("a frame has another size than the index says"));
    }
    if zstd_safe::find_frame_compressed_size(frame) != Ok(frame.len()) {
        return Err(FormatError::Corrupt("a frame does not end where its chunk does"));
    }
    Ok(())
}

/// Reads what [`FrameEncoder::append_blob`] wrote, of at most `max` bytes.
pub(crate) fn decode_blob(cursor: &mut Cursor<'_>, max: usize) -> Result<Vec<u8>> {
    let rest = cursor.clone();
    let chunk = rest.peek();
    Blob::pass(cursor, chunk.len(), max)?.read(chunk)
}

/// Where a byte string that [`FrameEncoder::append_blob`] wrote stands in a chunk.
#[derive(Debug, Clone)]
pub(crate) struct Blob {
    at: Range<usize>,
    len: usize,
    is_frame: bool,
}

impl Blob {
    /// Passes over a byte string of at most `max` bytes in a chunk of `all` bytes.
    pub(crate) fn pass(cursor: &mut Cursor<'_>, all: usize, max: usize) -> Result<Self> {
        let head = cursor.varint()?;
        let len = usize::try_from(head >> 1).ok().filter(|len| *len <= max);
        let len = len.ok_or_else(|| cursor.corrupt())?;
        let is_frame = head & 1 == 1;
        let stored = if is_frame { cursor.bytes()? } else { cursor.take(len)? };
        let end = all - cursor.remaining();
        Ok(Self { at: end - stored.len()..end, len, is_frame })
    }

    /// How many bytes it has when it is read.
    pub(crate) fn len(&self) -> usize {
        self.len
    }

    /// Reads it from the chunk.
    pub(crate) fn read(&self, chunk: &[u8]) -> Result<Vec<u8>> {
        let stored = chunk.get(self.at.clone()).unwrap_or_default();
        if self.is_frame { decode_frame(stored, self.len) } else { Ok(stored.to_vec()) }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn frames_append_and_come_back() {
        let mut encoder = FrameEncoder::new(1).unwrap();
        let text = b"abcabcabc".repeat(100);
        let mut out = b"x".to_vec();
        encoder.append(&text, &mut out).unwrap();
        assert!(out.len() < 60 && out[0] == b'x');
        assert_eq!(decode_frame(&out[1..], text.len()), Ok(text.clone()));
        assert!(decode_frame(&out[1..], text.len() + 1).is_err());
        assert!(decode_frame(&out, text.len()).is_err());
        out.push(0);
        assert!(decode_frame(&out[1..], text.len()).is_err());
    }

    #[test]
    fn frames_can_be_read_in_part() {
        let mut encoder = FrameEncoder::new(1).unwrap();
        let text: Vec<u8> = (0..900_000u32).flat_map(|n| (n % 7919).to_le_bytes()).collect();
        let mut frame = Vec::new();
        encoder.append(&text, &mut frame).unwrap();
        for wanted in [0, 1, 1000, 131_072, 2_000_000, text.len(), text.len() + 1] {
            let start = decode_frame_start(&frame, text.len(), wanted).unwrap();
            assert!(start == text[..wanted.min(text.len())], "{wanted}");
        }
        assert!(decode_frame_start(&frame, text.len() + 1, 5).is_err());
        assert!(decode_frame_start(&frame[..frame.len() - 1], text.len(), 5).is_err());
    }

    #[test]
    fn blobs_compress_only_where_it_pays() {
        let mut encoder = FrameEncoder::new(1).unwrap();
        for (text, shrinks) in [(&b""[..], false), (b"short", false), (&[7; 500], true)] {
            let mut out = Vec::new();
            encoder.append_blob(text, &mut out).unwrap();
            assert_eq!(out.len() < text.len(), shrinks);
            let mut cursor = Cursor::new(&out, "test");
            assert_eq!(decode_blob(&mut cursor, text.len()), Ok(text.to_vec()));
            assert!(cursor.finish().is_ok());
            if !text.is_empty() {
                assert!(decode_blob(&mut Cursor::new(&out, "test"), text.len() - 1).is_err());
            }
        }
    }
}
