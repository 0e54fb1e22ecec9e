//! A directory in memory whose disk fills up, whose operations fail on demand, and whose power can
//! be cut: what was not synced is then lost in part or whole.

use std::collections::BTreeMap;
use std::io::{self, IoSlice};
use std::sync::Arc;

use parking_lot::Mutex;

use super::directory::{WalDirectory, WalFile, WalRead};

#[derive(Debug, Clone, Default)]
struct Stored {
    bytes: Vec<u8>,
    /// How many bytes survive a loss of power.
    synced: usize,
}

type FileId = u64;

#[derive(Debug, Clone, Default)]
struct Disk {
    files: BTreeMap<FileId, Stored>,
    names: BTreeMap<String, FileId>,
    /// Names as they are after a loss of power.
    synced_names: BTreeMap<String, FileId>,
    next: FileId,
    space: Option<usize>,
    failing_syncs: u32,
    failing_truncates: u32,
}

/// The directory. Clones show the same disk.
#[derive(Debug, Clone, Default)]
pub struct MemoryDirectory(Arc<Mutex<Disk>>);

impl MemoryDirectory {
    /// An empty directory.
    #[must_use]
    pub fn new() -> Self {
        Self::default()
    }

    /// Another disk with the same files.
    #[must_use]
    pub fn fork(&self) -> Self {
        Self(Arc::new(Mutex::new(self.0.lock().clone())))
    }

    /// Leaves room for this many more bytes.
    pub fn set_space(&self, bytes: usize) {
        self.0.lock().space = Some(bytes);
    }

    /// Lets the next syncs of files fail.
    pub fn fail_syncs(&self, count: u32) {
        self.0.lock().failing_syncs = count;
    }

    /// Lets the next truncations fail.
    pub fn fail_truncates(&self, count: u32) {
        self.0.lock().failing_truncates = count;
    }

    /// Loses the names and bytes that were not synced, but for `kept` unsynced bytes of each file.
    pub fn lose_power(&self, kept: usize) {
        let mut disk = self.0.lock();
        disk.names = disk.synced_names.clone();
        for file in disk.files.values_mut() {
            let length = file.bytes.len().min(file.synced + kept);
            file.bytes.truncate(length);
            file.synced = length;
        }
    }

    /// Changes the bytes of a file behind everybody's back.
    ///
    /// # Panics
    ///
    /// When there is no such file.
    pub fn damage(&self, name: &str, change: impl FnOnce(&mut Vec<u8>)) {
        let mut disk = self.0.lock();
        let id = disk.names[name];
        let file = disk.files.get_mut(&id).expect("every name has a file");
        change(&mut file.bytes);
        file.synced = file.bytes.len();
    }

    /// The names of all files.
    #[must_use]
    pub fn names(&self) -> Vec<String> {
        self.0.lock().names.keys().cloned().collect()
    }

    /// How many bytes a file has.
    ///
    /// # Panics
    ///
    /// When there is no such file.
    #[must_use]
    pub fn length(&self, name: &str) -> usize {
        let disk = self.0.lock();
        disk.files[&disk.names[name]].bytes.len()
    }
}

impl Disk {
    fn id(&self, name: &str) -> io::Result<FileId> {
        self.names.get(name).copied().ok_or_else(|| io::ErrorKind::NotFound.into())
    }

    fn file(&mut self, id: FileId) -> &mut Stored {
        self.files.entry(id).or_default()
    }
}

impl WalDirectory for MemoryDirectory {
    fn list(&self) -> io::Result<Vec<String>> {
        Ok(self.names())
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn WalFile>> {
        let mut disk = self.0.lock();
        let id = disk.next;
        disk.next += 1;
        disk.files.insert(id, Stored::default());
        disk.names.insert(name.to_owned(), id);
        Ok(Box::new(MemoryFile { disk: Arc::clone(&self.0), id }))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn WalRead>> {
        let mut disk = self.0.lock();
        let id = disk.id(name)?;
        Ok(Box::new(MemoryRead(disk.file(id).bytes.clone())))
    }

    fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        let mut disk = self.0.lock();
        let id = disk.id(name)?;
        let file = disk.file(id);
        file.bytes.truncate(length as usize);
        file.synced = file.bytes.len();
        Ok(())
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        let mut disk = self.0.lock();
        let id = disk.id(from)?;
        disk.names.remove(from);
        disk.names.insert(to.to_owned(), id);
        Ok(())
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        let mut disk = self.0.lock();
        disk.id(name)?;
        disk.names.remove(name);
        Ok(())
    }

    fn sync(&self) -> io::Result<()> {
        let mut disk = self.0.lock();
        disk.synced_names = disk.names.clone();
        Ok(())
    }
}

struct MemoryFile {
    disk: Arc<Mutex<Disk>>,
    id: FileId,
}

impl WalFile for MemoryFile {
    fn append(&mut self, parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        let mut disk = self.disk.lock();
        for part in parts {
            let room = disk.space.unwrap_or(usize::MAX).min(part.len());
            disk.space = disk.space.map(|space| space - room);
            disk.file(self.id).bytes.extend_from_slice(&part[..room]);
            if room < part.len() {
                return Err(io::ErrorKind::StorageFull.into());
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        let mut disk = self.disk.lock();
        if disk.failing_syncs > 0 {
            disk.failing_syncs -= 1;
            return Err(io::Error::other("input/output error"));
        }
        let file = disk.file(self.id);
        file.synced = file.bytes.len();
        Ok(())
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        let mut disk = self.disk.lock();
        if disk.failing_truncates > 0 {
            disk.failing_truncates -= 1;
            return Err(io::Error::other("input/output error"));
        }
        let file = disk.file(self.id);
        let freed = file.bytes.len() - length as usize;
        file.bytes.truncate(length as usize);
        file.synced = file.synced.min(length as usize);
        disk.space = disk.space.map(|space| space + freed);
        Ok(())
    }
}

struct MemoryRead(Vec<u8>);

impl WalRead for MemoryRead {
    fn length(&self) -> u64 {
        self.0.len() as u64
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        let bytes = self.0.get(offset as usize..offset as usize + buf.len());
        buf.copy_from_slice(bytes.ok_or(io::ErrorKind::UnexpectedEof)?);
        Ok(())
    }
}
