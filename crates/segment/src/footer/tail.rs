//! The last 32 bytes of a segment, and the first.

use xxhash_rust::xxh3::xxh3_64;

use crate::encoding::cursor::Cursor;
use crate::error::{FormatError, Result};
use crate::limits::FOOTER_BYTES_MAX;

/// Bytes of the tail.
pub(crate) const TAIL_BYTES: usize = 32;
/// Bytes of the header.
const HEADER_BYTES: usize = 32;
/// What every segment begins with, and what its tail holds.
pub(crate) const MAGIC: [u8; 4] = *b"LSEG";
/// Readers that do not know this version must not guess.
pub(crate) const MAJOR: u8 = 1;
/// Grows when optional parts are added.
pub(crate) const MINOR: u8 = 2;
/// How many last bytes to ask for when not even the tail was given.
const FIRST_READ: u64 = 64 << 10;

/// What the tail says.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct Tail {
    /// From the section STREAMS to the end of the object.
    pub(crate) open_len: u64,
    pub(crate) footer_len: u32,
    /// The checksum of the footer.
    pub(crate) physical_id: u64,
}

impl Tail {
    /// The tail of a footer that begins the last `open_len` bytes, together with STREAMS and BLOCKS.
    pub(crate) fn new(open_len: u64, footer: &[u8]) -> Self {
        Self { open_len, footer_len: footer.len() as u32, physical_id: xxh3_64(footer) }
    }

    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let start = out.len();
        out.extend_from_slice(&self.open_len.to_le_bytes());
        out.extend_from_slice(&self.footer_len.to_le_bytes());
        // Feature bits: none so far.
        out.extend_from_slice(&0u16.to_le_bytes());
        out.extend_from_slice(&[MAJOR, MINOR]);
        out.extend_from_slice(&self.physical_id.to_le_bytes());
        out.extend_from_slice(&MAGIC);
        let sum = crc32c::crc32c(&out[start..]);
        out.extend_from_slice(&sum.to_le_bytes());
    }

    /// Reads the end of an object of `file_len` bytes.
    pub(crate) fn decode(bytes: &[u8], file_len: u64) -> Result<Self> {
        if bytes.len() as u64 > file_len {
            return Err(FormatError::NotASegment("more bytes than the object has"));
        }
        let Some((_, tail)) = bytes.split_last_chunk::<TAIL_BYTES>() else {
            return Err(if file_len <= TAIL_BYTES as u64 {
                FormatError::NotASegment("too short")
            } else {
                FormatError::NeedMore { bytes: FIRST_READ.min(file_len) }
            });
        };
        let mut cursor = Cursor::new(tail, "tail");
        let open_len = cursor.u64()?;
        let footer_len = cursor.u32()?;
        let features = cursor.u16()?;
        let (major, minor) = (cursor.u8()?, cursor.u8()?);
        let physical_id = cursor.u64()?;
        if cursor.take(MAGIC.len())? != MAGIC {
            return Err(FormatError::NotASegment("another ending"));
        }
        if cursor.u32()? != crc32c::crc32c(&tail[..TAIL_BYTES - 4]) {
            return Err(FormatError::Checksum("tail"));
        }
        if major != MAJOR || features != 0 {
            let wanted = format!("version {major}.{minor}, features {features:#x}");
            return Err(FormatError::Unsupported(wanted));
        }
        let is_sound = open_len <= file_len
            && footer_len as usize <= FOOTER_BYTES_MAX
            && u64::from(footer_len) + TAIL_BYTES as u64 <= open_len;
        if !is_sound {
            return Err(cursor.corrupt());
        }
        Ok(Self { open_len, footer_len, physical_id })
    }

    /// Checks the footer's checksum.
    pub(crate) fn check<'a>(&self, footer: &'a [u8]) -> Result<&'a [u8]> {
        if xxh3_64(footer) == self.physical_id {
            Ok(footer)
        } else {
            Err(FormatError::Checksum("footer"))
        }
    }
}

/// Appends the header, which is for people and programs that look at the beginning of a file.
pub(crate) fn encode_header(out: &mut Vec<u8>) {
    let start = out.len();
    out.extend_from_slice(&MAGIC);
    out.extend_from_slice(&[MAJOR, MINOR]);
    out.extend_from_slice(&[0; 22]);
    let sum = crc32c::crc32c(&out[start..]);
    out.extend_from_slice(&sum.to_le_bytes());
}

/// Checks the header of a segment whose footer has been read.
pub(crate) fn check_header(bytes: &[u8]) -> Result<()> {
    const DAMAGED: FormatError = FormatError::NotASegment("another beginning");
    let header = bytes.first_chunk::<HEADER_BYTES>().ok_or(DAMAGED)?;
    let mut cursor = Cursor::new(header, "header");
    let magic = cursor.take(MAGIC.len())?;
    // Whatever a later minor version added, it does not concern what is read here.
    let (major, _minor) = (cursor.u8()?, cursor.u8()?);
    let reserved = cursor.take(22)?;
    let is_sound = magic == MAGIC
        && major == MAJOR
        && reserved.iter().all(|byte| *byte == 0)
        && cursor.u32()? == crc32c::crc32c(&header[..HEADER_BYTES - 4]);
    if is_sound { Ok(()) } else { Err(DAMAGED) }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn every_bit_of_the_tail_is_checked() {
        let tail = Tail::new(100, b"footer");
        let mut out = Vec::new();
        tail.encode(&mut out);
        assert_eq!(out.len(), TAIL_BYTES);
        assert_eq!(Tail::decode(&out, 100), Ok(tail));
        for bit in 0..8 * TAIL_BYTES {
            out[bit / 8] ^= 1 << (bit % 8);
            assert!(Tail::decode(&out, 100).is_err(), "bit {bit}");
            out[bit / 8] ^= 1 << (bit % 8);
        }
        assert!(Tail::decode(&out, 99).is_err());
    }

    #[test]
    fn a_short_read_says_how_much_is_needed() {
        let need = |len, file| Tail::decode(&vec![0; len], file);
        assert_eq!(need(31, 1 << 20), Err(FormatError::NeedMore { bytes: 64 << 10 }));
        assert_eq!(need(0, 500), Err(FormatError::NeedMore { bytes: 500 }));
        assert!(matches!(need(20, 20), Err(FormatError::NotASegment(_))));
    }
}
