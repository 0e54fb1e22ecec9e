//! Opening a log: every record of every file, oldest first.
//!
//! Files are read one after the other, so memory stays at one record and one window. What the crash
//! tore off the end of the newest file is cut away; damage elsewhere is stepped over and told.

use std::collections::{BTreeMap, VecDeque};
use std::io;
use std::sync::Arc;

use bytes::Bytes;

use super::directory::WalDirectory;
use super::files::WalFiles;
use super::record::{BadHeader, FILE_HEADER_BYTES};
use super::scan::{Scan, Scanned};
use super::{Position, WalError, file_name, file_number};

/// What a replay comes across.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Replayed {
    /// A record.
    Record { position: Position, kind: u8, payload: Bytes },
    /// Bytes that are no record. Records in front of and behind them are told as usual.
    Damage { file: u32, offset: u64, bytes: u64 },
    /// The end of the newest file, now cut off: what a crash leaves of an append that was never
    /// acknowledged.
    TornTail { file: u32, offset: u64, bytes: u64 },
}

/// A log that is being read.
pub(crate) struct Replay {
    directory: Arc<dyn WalDirectory>,
    incarnation: u64,
    left: VecDeque<u32>,
    lengths: BTreeMap<u32, u64>,
    current: Option<(u32, Scan)>,
    has_damaged_header: bool,
}

impl Replay {
    /// Looks at what there is. `fresh` becomes the incarnation if no file names one.
    ///
    /// # Errors
    ///
    /// When files cannot be listed or opened, or a newer program wrote them.
    pub(crate) fn open(directory: Arc<dyn WalDirectory>, fresh: u64) -> Result<Self, WalError> {
        let names = directory.list().map_err(|error| WalError::new("list", "directory", &error))?;
        let mut numbers: Vec<u32> = names.iter().filter_map(|name| file_number(name)).collect();
        numbers.sort_unstable();
        let mut replay = Self {
            directory,
            incarnation: fresh,
            left: numbers.iter().copied().collect(),
            lengths: BTreeMap::new(),
            current: None,
            has_damaged_header: false,
        };
        for number in numbers {
            let scan = replay.scan(number)?;
            replay.lengths.insert(number, scan.length());
            match scan.header() {
                Ok(header) => replay.incarnation = header.incarnation,
                Err(BadHeader::Damaged) => {}
                Err(BadHeader::Version(version)) => {
                    let newer = format!("version {version} needs a newer program");
                    let error = io::Error::new(io::ErrorKind::Unsupported, newer);
                    return Err(WalError::new("open", &file_name(number), &error));
                }
            }
        }
        Ok(replay)
    }

    /// The random number of this directory; part of what segments say about their coverage.
    pub(crate) fn incarnation(&self) -> u64 {
        self.incarnation
    }

    /// The next thing in the log; `None` at its end.
    ///
    /// # Errors
    ///
    /// When a file cannot be read.
    pub(crate) fn next(&mut self) -> Result<Option<Replayed>, WalError> {
        loop {
            let Some((number, scan)) = &mut self.current else {
                let Some(number) = self.left.pop_front() else { return Ok(None) };
                let scan = self.scan(number)?;
                // A file shorter than its header was being made when the power went.
                self.has_damaged_header =
                    scan.header().is_err() && scan.length() >= FILE_HEADER_BYTES as u64;
                self.current = Some((number, scan));
                continue;
            };
            let file = *number;
            if std::mem::take(&mut self.has_damaged_header) {
                let bytes = FILE_HEADER_BYTES as u64;
                return Ok(Some(Replayed::Damage { file, offset: 0, bytes }));
            }
            let scanned = scan.next();
            match scanned.map_err(|error| WalError::new("read", &file_name(file), &error))? {
                Some(Scanned::Record { position, kind, payload }) => {
                    return Ok(Some(Replayed::Record { position, kind, payload }));
                }
                Some(Scanned::Damage { offset, bytes }) => {
                    return Ok(Some(Replayed::Damage { file, offset, bytes }));
                }
                Some(Scanned::Tail { offset, bytes }) if self.left.is_empty() => {
                    self.cut(file, offset)?;
                    return Ok(Some(Replayed::TornTail { file, offset, bytes }));
                }
                Some(Scanned::Tail { offset, bytes }) => {
                    return Ok(Some(Replayed::Damage { file, offset, bytes }));
                }
                None => self.current = None,
            }
        }
    }

    /// The log, ready to be continued behind what was read.
    pub(crate) fn into_files(self, file_bytes: u64) -> WalFiles {
        WalFiles::new(self.directory, self.incarnation, file_bytes, self.lengths)
    }

    fn scan(&self, number: u32) -> Result<Scan, WalError> {
        let name = file_name(number);
        self.directory
            .open(&name)
            .and_then(|file| Scan::new(file, number))
            .map_err(|error| WalError::new("open", &name, &error))
    }

    fn cut(&mut self, number: u32, length: u64) -> Result<(), WalError> {
        let name = file_name(number);
        self.directory
            .truncate(&name, length)
            .map_err(|error| WalError::new("truncate", &name, &error))?;
        self.lengths.insert(number, length);
        Ok(())
    }
}
