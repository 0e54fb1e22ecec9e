//! The files below the log: the one place where it meets the operating system.
//!
//! [`WalDirectory`] has two implementations: [`DiskDirectory`], and in tests a directory in memory
//! whose disk fills up, whose writes fail, and whose power is cut.

use std::fs::{File, OpenOptions, TryLockError};
use std::io::{self, IoSlice, Write as _};
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};

/// A file that is being written.
pub trait WalFile: Send {
    /// Appends all parts, in order. After an error an unknown prefix of them stands in the file.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn append(&mut self, parts: &mut [IoSlice<'_>]) -> io::Result<()>;

    /// Makes what was appended survive a loss of power. After an error nobody knows what does.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn sync(&mut self) -> io::Result<()>;

    /// Cuts the file back to a length; the next append goes there.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn truncate(&mut self, length: u64) -> io::Result<()>;
}

/// A file that is being read.
pub trait WalRead: Send {
    /// How many bytes the file has.
    fn length(&self) -> u64;

    /// Fills the buffer with the bytes from `offset` on.
    ///
    /// # Errors
    ///
    /// What the operating system says; reading past the end is an error.
    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()>;
}

/// A flat directory of files.
pub trait WalDirectory: Send + Sync {
    /// The names of all files.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn list(&self) -> io::Result<Vec<String>>;

    /// Makes a new, empty file, in place of one of that name.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn create(&self, name: &str) -> io::Result<Box<dyn WalFile>>;

    /// Opens a file for reading.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn open(&self, name: &str) -> io::Result<Box<dyn WalRead>>;

    /// Cuts a file that nobody writes back to a length, durably.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn truncate(&self, name: &str, length: u64) -> io::Result<()>;

    /// Gives a file another name, in place of one of that name.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn rename(&self, from: &str, to: &str) -> io::Result<()>;

    /// Removes a file.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn remove(&self, name: &str) -> io::Result<()>;

    /// Makes creations, renames and removals survive a loss of power.
    ///
    /// # Errors
    ///
    /// What the operating system says.
    fn sync(&self) -> io::Result<()>;
}

/// A directory of the file system, locked for as long as it is open: two logs in one would cut off
/// each other's files.
#[derive(Debug)]
pub struct DiskDirectory {
    path: PathBuf,
    handle: File,
}

impl DiskDirectory {
    /// Opens the directory, and makes it and its parents when they are missing.
    ///
    /// # Errors
    ///
    /// What the operating system says, with the path; [`io::ErrorKind::ResourceBusy`] when somebody
    /// else has it open.
    pub fn open(path: &Path) -> io::Result<Self> {
        let named = |e: io::Error| io::Error::new(e.kind(), format!("{}: {e}", path.display()));
        std::fs::create_dir_all(path).map_err(named)?;
        store::sync_names_of(path).map_err(named)?;
        let handle = File::open(path).map_err(named)?;
        match handle.try_lock() {
            Ok(()) => {}
            Err(TryLockError::WouldBlock) => {
                let text = "another process writes this log";
                return Err(named(io::Error::new(io::ErrorKind::ResourceBusy, text)));
            }
            // Some network file systems cannot lock directories.
            Err(TryLockError::Error(error)) => {
                tracing::warn!(%error, path = %path.display(), "the log cannot be locked");
            }
        }
        Ok(Self { path: path.to_owned(), handle })
    }
}

impl WalDirectory for DiskDirectory {
    fn list(&self) -> io::Result<Vec<String>> {
        let mut names = Vec::new();
        for entry in std::fs::read_dir(&self.path)? {
            let entry = entry?;
            if entry.file_type()?.is_file() {
                // A name that is not UTF-8 is none of ours.
                names.extend(entry.file_name().into_string());
            }
        }
        Ok(names)
    }

    fn create(&self, name: &str) -> io::Result<Box<dyn WalFile>> {
        let path = self.path.join(name);
        // Appending, so that a write always goes to the end of the file as it is.
        let file = OpenOptions::new().append(true).create(true).open(path)?;
        file.set_len(0)?;
        Ok(Box::new(DiskFile(file)))
    }

    fn open(&self, name: &str) -> io::Result<Box<dyn WalRead>> {
        let file = File::open(self.path.join(name))?;
        let length = file.metadata()?.len();
        Ok(Box::new(DiskRead { file, length }))
    }

    fn truncate(&self, name: &str, length: u64) -> io::Result<()> {
        let file = OpenOptions::new().write(true).open(self.path.join(name))?;
        file.set_len(length)?;
        file.sync_all()
    }

    fn rename(&self, from: &str, to: &str) -> io::Result<()> {
        std::fs::rename(self.path.join(from), self.path.join(to))
    }

    fn remove(&self, name: &str) -> io::Result<()> {
        std::fs::remove_file(self.path.join(name))
    }

    fn sync(&self) -> io::Result<()> {
        self.handle.sync_all()
    }
}

struct DiskFile(File);

impl WalFile for DiskFile {
    fn append(&mut self, mut parts: &mut [IoSlice<'_>]) -> io::Result<()> {
        IoSlice::advance_slices(&mut parts, 0);
        while !parts.is_empty() {
            match self.0.write_vectored(parts) {
                Ok(0) => return Err(io::ErrorKind::WriteZero.into()),
                Ok(written) => IoSlice::advance_slices(&mut parts, written),
                Err(error) if error.kind() == io::ErrorKind::Interrupted => {}
                Err(error) => return Err(error),
            }
        }
        Ok(())
    }

    fn sync(&mut self) -> io::Result<()> {
        self.0.sync_data()
    }

    fn truncate(&mut self, length: u64) -> io::Result<()> {
        self.0.set_len(length)
    }
}

struct DiskRead {
    file: File,
    length: u64,
}

impl WalRead for DiskRead {
    fn length(&self) -> u64 {
        self.length
    }

    fn read_at(&self, offset: u64, buf: &mut [u8]) -> io::Result<()> {
        self.file.read_exact_at(buf, offset)
    }
}
