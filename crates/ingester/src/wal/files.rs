//! Writing: the current file, the closed ones, and what happens when the disk does not cooperate.
//!
//! A failed write is cut off again, so that the next one finds a file that ends with a whole
//! record. When that is impossible, or a sync failed, the file is left as it is and a new one is
//! begun: after a failed sync the operating system may report the next one as good although the
//! bytes are gone.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::Arc;

use bytes::Bytes;

use super::directory::{WalDirectory, WalFile};
use super::record::{FILE_HEADER_BYTES, FileHeader, RECORD_HEADER_BYTES, RecordHeader};
use super::{Position, WalError, file_name};

/// A payload on its way into the log, with its checksum.
#[derive(Debug, Clone)]
pub(crate) struct Outgoing {
    pub(crate) kind: u8,
    pub(crate) payload: Bytes,
    pub(crate) payload_crc: u32,
}

impl Outgoing {
    pub(crate) fn new(kind: u8, payload: Bytes) -> Self {
        let payload_crc = crc32c::crc32c(&payload);
        Self { kind, payload, payload_crc }
    }

    /// Bytes that the record takes in a file.
    pub(crate) fn record_bytes(&self) -> u64 {
        (RECORD_HEADER_BYTES + self.payload.len()) as u64
    }
}

/// When an append is told to be durable.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum SyncOnAppend {
    Yes,
    No,
}

/// The files of a log, as their writer sees them.
pub(crate) struct WalFiles {
    directory: Arc<dyn WalDirectory>,
    incarnation: u64,
    /// Length from which on a file is closed.
    file_bytes: u64,
    current: Option<Current>,
    next_number: u32,
    /// Closed files and their lengths.
    closed: BTreeMap<u32, u64>,
}

struct Current {
    file: Box<dyn WalFile>,
    number: u32,
    /// Where the last good record ends.
    length: u64,
    has_unsynced: bool,
}

impl WalFiles {
    /// Continues a log behind its closed files. The first append begins a new file.
    pub(crate) fn new(
        directory: Arc<dyn WalDirectory>,
        incarnation: u64,
        file_bytes: u64,
        closed: BTreeMap<u32, u64>,
    ) -> Self {
        let next_number = closed.last_key_value().map_or(1, |(number, _)| number + 1);
        // Offsets are 32 bits wide and a group may follow after the limit is reached.
        let file_bytes = file_bytes.clamp(1 << 12, 1 << 30);
        Self { directory, incarnation, file_bytes, current: None, next_number, closed }
    }

    /// Appends records and answers where each begins. After an error none of them counts.
    pub(crate) fn append(
        &mut self,
        records: &[Outgoing],
        sync: SyncOnAppend,
    ) -> Result<Vec<Position>, WalError> {
        let bytes: u64 = records.iter().map(Outgoing::record_bytes).sum();
        self.make_room(bytes, sync)?;
        let Some(current) = &mut self.current else { return Ok(Vec::new()) };
        let mut end = current.length;
        let mut positions = Vec::with_capacity(records.len());
        let mut headers = Vec::with_capacity(records.len());
        for record in records {
            let position = Position::new(current.number, end as u32);
            let payload_len = record.payload.len() as u32;
            let header =
                RecordHeader::new(record.kind, position, payload_len, record.payload_crc).encode();
            headers.push(header);
            positions.push(position);
            end += record.record_bytes();
        }
        let mut parts: Vec<IoSlice<'_>> = headers
            .iter()
            .zip(records)
            .flat_map(|(header, record)| [IoSlice::new(header), IoSlice::new(&record.payload)])
            .collect();
        if let Err(error) = current.file.append(&mut parts) {
            let error = WalError::new("write", &file_name(current.number), &error);
            self.take_back();
            return Err(error);
        }
        if sync == SyncOnAppend::Yes
            && let Err(error) = current.file.sync()
        {
            let error = WalError::new("sync", &file_name(current.number), &error);
            self.take_back();
            self.abandon();
            return Err(error);
        }
        current.length = end;
        current.has_unsynced = sync == SyncOnAppend::No;
        Ok(positions)
    }

    /// Makes everything appended so far durable.
    ///
    /// After an error the current file is closed as it is, and what was not durable may be lost
    /// with the next loss of power.
    pub(crate) fn sync(&mut self) -> Result<(), WalError> {
        let Some(current) = self.current.as_mut().filter(|current| current.has_unsynced) else {
            return Ok(());
        };
        if let Err(error) = current.file.sync() {
            let error = WalError::new("sync", &file_name(current.number), &error);
            self.abandon();
            return Err(error);
        }
        current.has_unsynced = false;
        Ok(())
    }

    /// Removes the closed files in front of `needed`: all of them when nothing is needed.
    pub(crate) fn remove_before(&mut self, needed: Option<Position>) -> Result<(), WalError> {
        // The newest file stays, for it carries the number that positions go on from.
        let newest = self.newest_number();
        let until = needed.map_or(newest, |position| position.file().min(newest));
        let mut has_removed = false;
        while let Some(first) = self.closed.first_entry().filter(|first| *first.key() < until) {
            let name = file_name(*first.key());
            match self.directory.remove(&name) {
                Err(error) if error.kind() != io::ErrorKind::NotFound => {
                    return Err(WalError::new("remove", &name, &error));
                }
                _ => first.remove(),
            };
            has_removed = true;
        }
        if has_removed {
            self.directory.sync().map_err(|error| WalError::new("sync", "directory", &error))?;
        }
        Ok(())
    }

    /// How many files there are.
    pub(crate) fn count(&self) -> usize {
        self.closed.len() + usize::from(self.current.is_some())
    }

    /// Their bytes.
    pub(crate) fn bytes(&self) -> u64 {
        let closed: u64 = self.closed.values().sum();
        closed + self.current.as_ref().map_or(0, |current| current.length)
    }

    /// The number of the oldest file.
    pub(crate) fn oldest_number(&self) -> u32 {
        self.closed.first_key_value().map_or(self.newest_number(), |(number, _)| *number)
    }

    fn newest_number(&self) -> u32 {
        let closed = self.closed.last_key_value().map_or(0, |(number, _)| *number);
        self.current.as_ref().map_or(closed, |current| current.number)
    }

    /// Sees to it that there is a current file with room for `bytes`.
    fn make_room(&mut self, bytes: u64, sync: SyncOnAppend) -> Result<(), WalError> {
        if let Some(current) = &self.current
            && (current.length >= self.file_bytes || current.length + bytes > u64::from(u32::MAX))
        {
            if sync == SyncOnAppend::No {
                self.sync()?;
            }
            self.abandon();
        }
        if self.current.is_none() {
            self.current = Some(self.begin_file()?);
        }
        Ok(())
    }

    /// Begins the next file: its header and its name are durable before a record goes in.
    fn begin_file(&mut self) -> Result<Current, WalError> {
        let number = self.next_number;
        let name = file_name(number);
        let failed = |doing, error| WalError::new(doing, &name, &error);
        let header = FileHeader { number, incarnation: self.incarnation }.encode();
        let mut file = self.directory.create(&name).map_err(|e| failed("create", e))?;
        let written = file
            .append(&mut [IoSlice::new(&header)])
            .and_then(|()| file.sync())
            .and_then(|()| self.directory.sync());
        if let Err(error) = written {
            // It holds no record yet. If it cannot be removed either, an empty file stays behind.
            let _ = self.directory.remove(&name);
            return Err(failed("begin", error));
        }
        self.next_number = number.saturating_add(1);
        Ok(Current { file, number, length: FILE_HEADER_BYTES as u64, has_unsynced: false })
    }

    /// Cuts off what was appended since the last good record, or gives the file up.
    fn take_back(&mut self) {
        if let Some(current) = &mut self.current
            && current.file.truncate(current.length).is_err()
        {
            self.abandon();
        }
    }

    /// Closes the current file as it is.
    fn abandon(&mut self) {
        if let Some(current) = self.current.take() {
            self.closed.insert(current.number, current.length);
        }
    }
}
