//! The write-ahead log: what was acknowledged survives a crash.
//!
//! Place in the path: [`crate::append`] hands an encoded batch to the [`writer`]; its thread writes
//! everything that is queued with one `fdatasync`, puts the rows into the heads, and only then
//! completes the waiting requests. Opening an ingester replays the files in order. A file is
//! removed once every record in it is in object storage.
//!
//! Invariants: the order of records is the order of rows in the heads; a [`Position`] is used
//! once; nothing is appended to a file whose state is unknown, a new file is begun instead.
//! `docs/format/wal.md` describes every byte. What a payload means is not known here.

use std::fmt;
use std::io;

pub mod directory;
pub(crate) mod files;
pub(crate) mod flushed;
mod inspect;
pub(crate) mod record;
pub(crate) mod replay;
pub(crate) mod scan;
pub(crate) mod writer;

pub mod faulty;
#[cfg(test)]
mod tests;

pub use inspect::{WalFileReport, inspect_wal_file};

/// Where a record begins: the file's number in the high 32 bits, the offset in the low ones.
///
/// Positions ascend in the order of writing and are never used again in one WAL directory.
#[derive(Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub(crate) struct Position(pub(crate) u64);

impl Position {
    pub(crate) fn new(file: u32, offset: u32) -> Self {
        Self(u64::from(file) << 32 | u64::from(offset))
    }

    pub(crate) fn file(self) -> u32 {
        (self.0 >> 32) as u32
    }

    pub(crate) fn offset(self) -> u32 {
        self.0 as u32
    }
}

impl fmt::Debug for Position {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "{}:{}", self.file(), self.offset())
    }
}

/// Why something was not written, in words for the client and the log.
///
/// Cheap to clone, because one failure is told to everybody whose record was in the group.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("wal: {doing} {file}: {reason}")]
pub struct WalError {
    /// What was being done.
    pub doing: &'static str,
    /// With which file of the WAL directory.
    pub file: String,
    /// What the operating system said.
    pub reason: String,
    /// Whether the disk is full.
    pub is_disk_full: bool,
}

impl WalError {
    pub(crate) fn new(doing: &'static str, file: &str, source: &io::Error) -> Self {
        let is_disk_full =
            matches!(source.kind(), io::ErrorKind::StorageFull | io::ErrorKind::QuotaExceeded);
        Self { doing, file: file.to_owned(), reason: source.to_string(), is_disk_full }
    }
}

/// The name of a file of the log.
pub(crate) fn file_name(number: u32) -> String {
    format!("{number:08}.wal")
}

/// The number in the name of a file of the log.
pub(crate) fn file_number(name: &str) -> Option<u32> {
    let number: u32 = name.strip_suffix(".wal")?.parse().ok()?;
    (file_name(number) == name).then_some(number)
}
