//! The bytes of a WAL file: a header, then records.
//!
//! Everything is little endian. A record is found again behind damage by its magic number, its own
//! position and its checksum together.

use super::Position;

/// Bytes of a file's header.
pub(crate) const FILE_HEADER_BYTES: usize = 32;
/// Bytes in front of a record's payload.
pub(crate) const RECORD_HEADER_BYTES: usize = 24;
/// Largest payload; the same bound as that of an append batch.
pub(crate) const PAYLOAD_BYTES_MAX: usize = api::append::BATCH_BYTES_MAX;

/// What every file begins with.
const FILE_MAGIC: [u8; 8] = *b"SIGYNWAL";
/// The version that this program writes, and the newest that it reads.
const VERSION: u16 = 1;
/// What every record begins with.
pub(crate) const RECORD_MAGIC: [u8; 4] = [0xd1, b'W', b'R', 0x0a];
/// Bytes of a record's header that the checksum covers.
const CHECKED_BYTES: usize = RECORD_HEADER_BYTES - 4;

/// The record's payload is an append batch.
pub(crate) const KIND_APPEND: u8 = 1;
/// The record's payload says which positions of a tenant are in object storage.
pub(crate) const KIND_FLUSHED: u8 = 2;

/// What a file says about itself.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct FileHeader {
    /// The number in the file's name; 0 for files that are not part of the log.
    pub(crate) number: u32,
    /// A random number that all files of one WAL directory share, so that positions of a directory
    /// that was lost are not taken for positions of the one that replaced it.
    pub(crate) incarnation: u64,
}

/// Why a file's header could not be used.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum BadHeader {
    /// The bytes are damaged; records can still be found.
    Damaged,
    /// A newer program wrote the file; nothing may be done with it.
    Version(u16),
}

impl FileHeader {
    pub(crate) fn encode(self) -> [u8; FILE_HEADER_BYTES] {
        let mut bytes = [0; FILE_HEADER_BYTES];
        bytes[..8].copy_from_slice(&FILE_MAGIC);
        bytes[8..10].copy_from_slice(&VERSION.to_le_bytes());
        bytes[12..16].copy_from_slice(&self.number.to_le_bytes());
        bytes[16..24].copy_from_slice(&self.incarnation.to_le_bytes());
        let crc = crc32c::crc32c(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        bytes
    }

    pub(crate) fn decode(bytes: &[u8]) -> Result<Self, BadHeader> {
        let bytes = bytes.get(..FILE_HEADER_BYTES).ok_or(BadHeader::Damaged)?;
        if bytes[..8] != FILE_MAGIC || u32_at(bytes, 28) != crc32c::crc32c(&bytes[..28]) {
            return Err(BadHeader::Damaged);
        }
        let version = u16::from_le_bytes([bytes[8], bytes[9]]);
        if version > VERSION {
            return Err(BadHeader::Version(version));
        }
        Ok(Self { number: u32_at(bytes, 12), incarnation: u64_at(bytes, 16) })
    }
}

/// What stands in front of a payload.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) struct RecordHeader {
    pub(crate) payload_len: u32,
    pub(crate) position: Position,
    pub(crate) kind: u8,
    pub(crate) crc: u32,
}

impl RecordHeader {
    /// The header of a payload whose own checksum is known already, so that the thread that writes
    /// need not touch the payload's bytes.
    pub(crate) fn new(kind: u8, position: Position, payload_len: u32, payload_crc: u32) -> Self {
        let mut header = Self { payload_len, position, kind, crc: 0 };
        header.crc = crc32c::crc32c_append(payload_crc, &header.encode()[..CHECKED_BYTES]);
        header
    }

    pub(crate) fn encode(self) -> [u8; RECORD_HEADER_BYTES] {
        let mut bytes = [0; RECORD_HEADER_BYTES];
        bytes[..4].copy_from_slice(&RECORD_MAGIC);
        bytes[4..8].copy_from_slice(&self.payload_len.to_le_bytes());
        bytes[8..16].copy_from_slice(&self.position.0.to_le_bytes());
        bytes[16] = self.kind;
        bytes[20..].copy_from_slice(&self.crc.to_le_bytes());
        bytes
    }

    /// Reads a header; `None` when the bytes are none.
    pub(crate) fn decode(bytes: &[u8]) -> Option<Self> {
        let bytes = bytes.get(..RECORD_HEADER_BYTES)?;
        if bytes[..4] != RECORD_MAGIC || bytes[17..20] != [0; 3] {
            return None;
        }
        let payload_len = u32_at(bytes, 4);
        (payload_len as usize <= PAYLOAD_BYTES_MAX).then(|| Self {
            payload_len,
            position: Position(u64_at(bytes, 8)),
            kind: bytes[16],
            crc: u32_at(bytes, 20),
        })
    }

    /// Whether the checksum fits header and payload.
    pub(crate) fn fits(self, payload: &[u8]) -> bool {
        Self::new(self.kind, self.position, self.payload_len, crc32c::crc32c(payload)).crc
            == self.crc
    }
}

fn u32_at(bytes: &[u8], at: usize) -> u32 {
    u32::from_le_bytes([bytes[at], bytes[at + 1], bytes[at + 2], bytes[at + 3]])
}

fn u64_at(bytes: &[u8], at: usize) -> u64 {
    u64::from(u32_at(bytes, at)) | u64::from(u32_at(bytes, at + 4)) << 32
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn headers_round_trip(number: u32, incarnation: u64, at: u64, kind: u8, payload: Vec<u8>) {
            let file = FileHeader { number, incarnation };
            prop_assert_eq!(FileHeader::decode(&file.encode()), Ok(file));
            let crc = crc32c::crc32c(&payload);
            let record = RecordHeader::new(kind, Position(at), payload.len() as u32, crc);
            let read = RecordHeader::decode(&record.encode()).unwrap();
            prop_assert_eq!(read, record);
            prop_assert!(read.fits(&payload));
        }

        #[test]
        fn a_changed_byte_is_seen(at in 0..RECORD_HEADER_BYTES + 20, change in 1u8..) {
            let payload = [7; 20];
            let header = RecordHeader::new(1, Position(99), 20, crc32c::crc32c(&payload));
            let mut bytes = [&header.encode()[..], &payload].concat();
            bytes[at] ^= change;
            let read = RecordHeader::decode(&bytes);
            let fits = read.is_some_and(|r| r.payload_len == 20 && r.fits(&bytes[24..]));
            prop_assert!(!fits);
        }

        #[test]
        fn any_bytes_decode_without_panic(bytes: Vec<u8>) {
            let _ = (FileHeader::decode(&bytes), RecordHeader::decode(&bytes));
        }
    }

    #[test]
    fn the_layout_is_the_documented_one() {
        let file = FileHeader { number: 3, incarnation: 0x0102_0304_0506_0708 }.encode();
        assert_eq!(&file[..8], b"SIGYNWAL");
        assert_eq!(file[8..12], [1, 0, 0, 0]);
        assert_eq!(file[12..24], [3, 0, 0, 0, 8, 7, 6, 5, 4, 3, 2, 1]);
        let record = RecordHeader::new(1, Position::new(3, 32), 5, crc32c::crc32c(b"hello"));
        let bytes = record.encode();
        assert_eq!(bytes[..8], [0xd1, 0x57, 0x52, 0x0a, 5, 0, 0, 0]);
        assert_eq!(bytes[8..20], [32, 0, 0, 0, 3, 0, 0, 0, 1, 0, 0, 0]);
        let whole = [b"hello", &bytes[..20]].concat();
        assert_eq!(record.crc, crc32c::crc32c(&whole));
    }

    #[test]
    fn newer_files_are_told_apart_from_damaged_ones() {
        let mut bytes = FileHeader { number: 1, incarnation: 2 }.encode();
        bytes[8] = 2;
        assert_eq!(FileHeader::decode(&bytes), Err(BadHeader::Damaged));
        let crc = crc32c::crc32c(&bytes[..28]);
        bytes[28..].copy_from_slice(&crc.to_le_bytes());
        assert_eq!(FileHeader::decode(&bytes), Err(BadHeader::Version(2)));
    }
}
