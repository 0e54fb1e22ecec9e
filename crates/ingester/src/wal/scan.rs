//! Reading: the records of a file in order, and the way past damage.
//!
//! A record counts when its magic number, its position and its checksum fit. Where one does not,
//! the scan looks for the next that does and reports the bytes between. Memory is one window and
//! one payload; a payload is allocated only after its length was found to lie inside the file.

use std::io;

use bytes::Bytes;

use super::Position;
use super::directory::WalRead;
use super::record::{
    BadHeader, FILE_HEADER_BYTES, FileHeader, RECORD_HEADER_BYTES, RECORD_MAGIC, RecordHeader,
};

/// Bytes that are read at once.
const WINDOW_BYTES: usize = 1 << 20;

/// What a scan comes across.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) enum Scanned {
    /// A good record.
    Record { position: Position, kind: u8, payload: Bytes },
    /// Bytes that belong to no good record, in front of one.
    Damage { offset: u64, bytes: u64 },
    /// Bytes behind the last good record; the file ends with them.
    Tail { offset: u64, bytes: u64 },
}

/// Walks through one file.
pub(crate) struct Scan {
    file: Box<dyn WalRead>,
    number: u32,
    header: Result<FileHeader, BadHeader>,
    offset: u64,
    window: Window,
    /// A good record found behind damage, to be told next.
    found: Option<(RecordHeader, Bytes)>,
}

impl Scan {
    /// Begins at the first record of the file with this number (0 for a file beside the log).
    pub(crate) fn new(file: Box<dyn WalRead>, number: u32) -> io::Result<Self> {
        let mut window = Window::default();
        let bytes = window.bytes(&*file, 0, FILE_HEADER_BYTES)?;
        let header = FileHeader::decode(bytes);
        let offset = FILE_HEADER_BYTES as u64;
        Ok(Self { file, number, header, offset, window, found: None })
    }

    /// What the file says about itself.
    pub(crate) fn header(&self) -> Result<FileHeader, BadHeader> {
        self.header
    }

    /// Where the next thing begins.
    pub(crate) fn offset(&self) -> u64 {
        self.offset
    }

    /// The file's length in bytes.
    pub(crate) fn length(&self) -> u64 {
        self.file.length()
    }

    /// The next thing in the file; `None` at its end.
    pub(crate) fn next(&mut self) -> io::Result<Option<Scanned>> {
        if let Some((header, payload)) = self.found.take() {
            return Ok(Some(self.accept(header, payload)));
        }
        let start = self.offset;
        if start >= self.file.length() {
            return Ok(None);
        }
        if let Some((header, payload)) = self.record_at(start)? {
            return Ok(Some(self.accept(header, payload)));
        }
        self.found = self.search(start + 1)?;
        let end = match &self.found {
            Some((header, _)) => u64::from(header.position.offset()),
            None => self.file.length(),
        };
        self.offset = end;
        let bytes = end - start;
        Ok(Some(match &self.found {
            Some(_) => Scanned::Damage { offset: start, bytes },
            None => Scanned::Tail { offset: start, bytes },
        }))
    }

    fn accept(&mut self, header: RecordHeader, payload: Bytes) -> Scanned {
        let RecordHeader { position, kind, .. } = header;
        self.offset = u64::from(position.offset()) + (RECORD_HEADER_BYTES + payload.len()) as u64;
        Scanned::Record { position, kind, payload }
    }

    /// The good record that begins at an offset, if one does.
    fn record_at(&mut self, offset: u64) -> io::Result<Option<(RecordHeader, Bytes)>> {
        let bytes = self.window.bytes(&*self.file, offset, RECORD_HEADER_BYTES)?;
        let Some(header) = RecordHeader::decode(bytes) else { return Ok(None) };
        let start = offset + RECORD_HEADER_BYTES as u64;
        let length = u64::from(header.payload_len);
        let is_here = u32::try_from(offset)
            .is_ok_and(|offset| header.position == Position::new(self.number, offset));
        if !is_here || length > self.file.length() - start {
            return Ok(None);
        }
        let mut payload = vec![0; length as usize];
        self.window.copy(&*self.file, start, &mut payload)?;
        Ok(header.fits(&payload).then(|| (header, payload.into())))
    }

    /// The first good record that begins at `offset` or later.
    fn search(&mut self, mut offset: u64) -> io::Result<Option<(RecordHeader, Bytes)>> {
        let length = self.file.length();
        while offset + RECORD_HEADER_BYTES as u64 <= length {
            let bytes = self.window.bytes(&*self.file, offset, RECORD_HEADER_BYTES)?;
            let Some(at) = find(bytes, &RECORD_MAGIC) else {
                // The magic number may begin in the last bytes of what was searched.
                offset += (bytes.len() - (RECORD_MAGIC.len() - 1)) as u64;
                continue;
            };
            offset += at as u64;
            if let Some(record) = self.record_at(offset)? {
                return Ok(Some(record));
            }
            offset += 1;
        }
        Ok(None)
    }
}

fn find(haystack: &[u8], needle: &[u8]) -> Option<usize> {
    memchr::memmem::find(haystack, needle)
}

/// A part of the file in memory.
#[derive(Default)]
struct Window {
    start: u64,
    buf: Vec<u8>,
}

impl Window {
    /// The bytes from `offset` to the window's end: at least `wanted`, or to the end of the file.
    fn bytes(&mut self, file: &dyn WalRead, offset: u64, wanted: usize) -> io::Result<&[u8]> {
        let end = self.start + self.buf.len() as u64;
        let left = file.length().saturating_sub(offset);
        let wanted = left.min(wanted as u64);
        if offset < self.start || offset + wanted > end {
            let size = left.min(WINDOW_BYTES as u64) as usize;
            self.buf.resize(size, 0);
            self.start = offset;
            if let Err(error) = file.read_at(offset, &mut self.buf) {
                self.buf.clear();
                return Err(error);
            }
        }
        Ok(self.buf.get((offset - self.start) as usize..).unwrap_or_default())
    }

    /// Fills `into` from `offset` on, from the window as far as it reaches.
    fn copy(&self, file: &dyn WalRead, offset: u64, into: &mut [u8]) -> io::Result<()> {
        let inside = offset
            .checked_sub(self.start)
            .and_then(|skip| self.buf.get(skip as usize..))
            .unwrap_or_default();
        let count = inside.len().min(into.len());
        into[..count].copy_from_slice(&inside[..count]);
        if count == into.len() {
            return Ok(());
        }
        file.read_at(offset + count as u64, &mut into[count..])
    }
}
