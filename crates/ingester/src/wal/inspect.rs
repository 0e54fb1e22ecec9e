//! Looking at a file of the log without an ingester.

use std::io;

use super::directory::WalRead;
use super::record::FILE_HEADER_BYTES;
use super::scan::{Scan, Scanned};

/// What stands in a file of the log.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct WalFileReport {
    /// Whether the file's header is whole and of a version that this program reads.
    pub has_header: bool,
    /// Good records.
    pub records: u64,
    /// Their bytes.
    pub record_bytes: u64,
    /// Bytes behind the header that are no good record.
    pub damaged_bytes: u64,
}

/// Reads the bytes of the file with this number; 0 for the file of flushed positions.
///
/// Never fails: whatever the bytes are, they are counted one way or the other.
#[must_use]
pub fn inspect_wal_file(number: u32, bytes: &[u8]) -> WalFileReport {
    let mut report = WalFileReport::default();
    let file = Box::new(InMemory(bytes.to_vec()));
    // Reading memory does not fail.
    let Ok(mut scan) = Scan::new(file, number) else { return report };
    report.has_header = scan.header().is_ok();
    let mut end = FILE_HEADER_BYTES as u64;
    while let Ok(Some(scanned)) = scan.next() {
        match scanned {
            Scanned::Record { .. } => {
                report.records += 1;
                report.record_bytes += scan.offset() - end;
            }
            Scanned::Damage { bytes, .. } | Scanned::Tail { bytes, .. } => {
                report.damaged_bytes += bytes;
            }
        }
        end = scan.offset();
    }
    report
}

struct InMemory(Vec<u8>);

impl WalRead for InMemory {
    fn length(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let bytes =
            usize::try_from(offset).ok().and_then(|start| self.0.get(start..)?.get(..buf.len()));
        buf.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::super::Position;
    use super::super::record::{FileHeader, KIND_APPEND, RecordHeader};
    use super::*;

    #[test]
    fn every_byte_is_counted() {
        let mut bytes = FileHeader { number: 3, incarnation: 1 }.encode().to_vec();
        for payload in [&b"one"[..], b"two", b"three"] {
            let position = Position::new(3, bytes.len() as u32);
            let crc = crc32c::crc32c(payload);
            let header = RecordHeader::new(KIND_APPEND, position, payload.len() as u32, crc);
            bytes.extend_from_slice(&header.encode());
            bytes.extend_from_slice(payload);
        }
        bytes.extend_from_slice(b"torn");
        let report = WalFileReport {
            has_header: true,
            records: 3,
            record_bytes: 3 * 24 + 11,
            damaged_bytes: 4,
        };
        assert_eq!(inspect_wal_file(3, &bytes), report);
        bytes[40] ^= 1;
        let report =
            WalFileReport { records: 2, record_bytes: 2 * 24 + 8, damaged_bytes: 4 + 27, ..report };
        assert_eq!(inspect_wal_file(3, &bytes), report);
        assert_eq!(inspect_wal_file(4, &bytes).records, 0);
    }
}
