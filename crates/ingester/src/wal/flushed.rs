//! Which positions of the log are in object storage already.
//!
//! One file beside the log, `flushed`, gets a record per flushed head. Replay skips what it names.
//! The catalog knows the same from the coverage of segments, but only until they are compacted;
//! this file knows it as long as the log holds the records. Losing the file costs duplicates that
//! queries and compaction remove, never rows.

use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::Bytes;
use model::TenantId;

use super::directory::{WalDirectory, WalFile};
use super::files::Outgoing;
use super::record::{FILE_HEADER_BYTES, FileHeader, KIND_FLUSHED, RecordHeader};
use super::scan::{Scan, Scanned};
use super::{Position, WalError};

/// The file's name.
const NAME: &str = "flushed";
/// Where it is written anew before it takes the place of the old one.
const NEW_NAME: &str = "flushed.new";
/// The file is written anew when it holds this many bytes of forgotten marks.
const WASTE_BYTES_MAX: u64 = 1 << 18;

/// Positions of one tenant, both inclusive, whose rows are in object storage.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FlushedMark {
    pub(crate) tenant: TenantId,
    pub(crate) first: Position,
    pub(crate) last: Position,
}

impl FlushedMark {
    fn encode(&self) -> Bytes {
        let name = self.tenant.as_str().as_bytes();
        let mut bytes = Vec::with_capacity(17 + name.len());
        // Tenant names are at most 150 bytes long.
        bytes.push(name.len() as u8);
        bytes.extend_from_slice(name);
        bytes.extend_from_slice(&self.first.0.to_le_bytes());
        bytes.extend_from_slice(&self.last.0.to_le_bytes());
        bytes.into()
    }

    fn decode(bytes: &[u8]) -> Option<Self> {
        let (length, rest) = bytes.split_first()?;
        let (name, rest) = rest.split_at_checked(usize::from(*length))?;
        let tenant = TenantId::new(str::from_utf8(name).ok()?).ok()?;
        let (first, last) = rest.split_at_checked(8)?;
        let position = |bytes: &[u8]| Some(Position(u64::from_le_bytes(bytes.try_into().ok()?)));
        Some(Self { tenant, first: position(first)?, last: position(last)? })
    }
}

/// The file and what it says.
pub(crate) struct FlushedLog {
    directory: Arc<dyn WalDirectory>,
    incarnation: u64,
    file: Option<Box<dyn WalFile>>,
    length: u64,
    /// Bytes of records whose marks are forgotten.
    waste: u64,
    marks: Vec<FlushedMark>,
}

impl FlushedLog {
    /// Reads the file. One that is missing, of another incarnation, or damaged says nothing (more).
    pub(crate) fn load(directory: Arc<dyn WalDirectory>, incarnation: u64) -> io::Result<Self> {
        let mut log =
            Self { directory, incarnation, file: None, length: 0, waste: 0, marks: Vec::new() };
        let file = match log.directory.open(NAME) {
            Ok(file) => file,
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(log),
            Err(error) => return Err(error),
        };
        let mut scan = Scan::new(file, 0)?;
        if scan.header() != Ok(FileHeader { number: 0, incarnation }) {
            return Ok(log);
        }
        while let Some(scanned) = scan.next()? {
            if let Scanned::Record { kind: KIND_FLUSHED, payload, .. } = scanned {
                log.marks.extend(FlushedMark::decode(&payload));
            }
        }
        Ok(log)
    }

    /// Every mark, in the order in which they were made.
    pub(crate) fn marks(&self) -> &[FlushedMark] {
        &self.marks
    }

    /// Adds a mark, durably.
    ///
    /// After an error the mark is kept in memory and goes into the file when it is written anew.
    pub(crate) fn add(&mut self, mark: FlushedMark) -> Result<(), WalError> {
        let record = Outgoing::new(KIND_FLUSHED, mark.encode());
        self.marks.push(mark);
        if self.file.is_none() || self.waste > WASTE_BYTES_MAX {
            return self.rewrite();
        }
        let length = self.length;
        let Some(file) = &mut self.file else { return Ok(()) };
        match write(&mut **file, length, &record) {
            Ok(end) => {
                self.length = end;
                Ok(())
            }
            Err(error) => {
                // Never trust a file after a failed write or sync: the next mark makes a new one.
                self.file = None;
                Err(WalError::new("write", NAME, &error))
            }
        }
    }

    /// Forgets marks that only speak of files before this one.
    pub(crate) fn forget_before(&mut self, file: u32) {
        let before = self.marks.len();
        let mark_bytes =
            |mark: &FlushedMark| Outgoing::new(KIND_FLUSHED, mark.encode()).record_bytes();
        let gone: u64 =
            self.marks.iter().filter(|mark| mark.last.file() < file).map(mark_bytes).sum();
        self.marks.retain(|mark| mark.last.file() >= file);
        if self.marks.len() < before {
            self.waste += gone;
        }
    }

    /// Writes all marks into a new file and puts it in place of the old one.
    pub(crate) fn rewrite(&mut self) -> Result<(), WalError> {
        let failed = |error: io::Error| WalError::new("rewrite", NAME, &error);
        self.file = None;
        let header = FileHeader { number: 0, incarnation: self.incarnation }.encode();
        let mut file = self.directory.create(NEW_NAME).map_err(failed)?;
        file.append(&mut [IoSlice::new(&header)]).map_err(failed)?;
        let mut length = FILE_HEADER_BYTES as u64;
        for mark in &self.marks {
            let record = Outgoing::new(KIND_FLUSHED, mark.encode());
            length = append(&mut *file, length, &record).map_err(failed)?;
        }
        file.sync().map_err(failed)?;
        self.directory.rename(NEW_NAME, NAME).map_err(failed)?;
        self.directory.sync().map_err(failed)?;
        (self.file, self.length, self.waste) = (Some(file), length, 0);
        Ok(())
    }
}

fn write(file: &mut dyn WalFile, at: u64, record: &Outgoing) -> io::Result<u64> {
    let end = append(file, at, record)?;
    file.sync()?;
    Ok(end)
}

/// Appends a record and answers where it ends.
fn append(file: &mut dyn WalFile, at: u64, record: &Outgoing) -> io::Result<u64> {
    let position = Position::new(0, at as u32);
    let payload_len = record.payload.len() as u32;
    let header = RecordHeader::new(record.kind, position, payload_len, record.payload_crc).encode();
    file.append(&mut [IoSlice::new(&header), IoSlice::new(&record.payload)])?;
    Ok(at + record.record_bytes())
}

#[cfg(test)]
mod tests {
    use super::super::faulty::MemoryDirectory;
    use super::*;

    fn mark(tenant: &str, first: u64, last: u64) -> FlushedMark {
        let tenant = TenantId::new(tenant).unwrap();
        FlushedMark { tenant, first: Position(first), last: Position(last) }
    }

    #[test]
    fn marks_come_back_until_they_are_forgotten() {
        let directory = MemoryDirectory::new();
        let shared: Arc<dyn WalDirectory> = Arc::new(directory.clone());
        let mut log = FlushedLog::load(Arc::clone(&shared), 7).unwrap();
        log.add(mark("a", 1 << 32, 2 << 32)).unwrap();
        log.add(mark("b", 5 << 32, 6 << 32)).unwrap();
        directory.lose_power(0);
        let mut log = FlushedLog::load(Arc::clone(&shared), 7).unwrap();
        assert_eq!(log.marks(), [mark("a", 1 << 32, 2 << 32), mark("b", 5 << 32, 6 << 32)]);
        log.forget_before(3);
        log.rewrite().unwrap();
        let log = FlushedLog::load(Arc::clone(&shared), 7).unwrap();
        assert_eq!(log.marks(), [mark("b", 5 << 32, 6 << 32)]);
        assert!(FlushedLog::load(shared, 8).unwrap().marks().is_empty());
    }

    #[test]
    fn a_full_disk_loses_no_mark_that_memory_holds() {
        let directory = MemoryDirectory::new();
        let mut log = FlushedLog::load(Arc::new(directory.clone()), 7).unwrap();
        log.add(mark("a", 1, 2)).unwrap();
        directory.set_space(0);
        assert!(log.add(mark("b", 3, 4)).unwrap_err().is_disk_full);
        directory.set_space(1 << 20);
        log.add(mark("c", 5, 6)).unwrap();
        let log = FlushedLog::load(Arc::new(directory), 7).unwrap();
        assert_eq!(log.marks().len(), 3);
    }

    #[test]
    fn damaged_marks_are_left_out() {
        let whole = mark("team", 1, 2).encode();
        assert_eq!(FlushedMark::decode(&whole), Some(mark("team", 1, 2)));
        for end in 0..whole.len() {
            assert_eq!(FlushedMark::decode(&whole[..end]), None);
        }
    }
}
