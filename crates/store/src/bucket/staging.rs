//! Files that are being written and have no name yet.
//!
//! Each is locked by the process that writes it for as long as that lives, so that whoever finds a
//! file without a lock knows that its writer is dead.

use std::fs::{self, File, TryLockError};
use std::io::{self, Write as _};
use std::ops::Range;
use std::os::unix::fs::FileExt as _;
use std::path::{Path, PathBuf};
use std::sync::Arc;
use std::sync::atomic::{AtomicU64, Ordering};
use std::time::{Duration, UNIX_EPOCH};

use model::Timestamp;
use segment::{Region, Spill};

/// Age after which a file without a lock has no writer: one is made and locked within it. (If one
/// is not, it cannot be given its name any more, and is written again.)
const UNLOCKED_AGE_MAX: Duration = Duration::from_secs(5);
/// Age after which a file has no writer where the file system cannot lock.
const AGE_MAX: Duration = Duration::from_secs(86_400);
/// Bytes that are copied at a time.
const COPY_BYTES: u64 = 256 << 10;
/// Names that are tried before one that nobody took is not found.
const NAMES_MAX: usize = 1000;

/// The directory of such files.
#[derive(Debug)]
pub(crate) struct Staging {
    directory: PathBuf,
    next: AtomicU64,
}

/// A file of it, removed when dropped (unless it was renamed away).
#[derive(Debug)]
pub(crate) struct StagedFile {
    path: PathBuf,
    file: File,
}

/// An object that is being built in files: one becomes the object, and others hold what belongs
/// further back in it. They go when the last clone is dropped.
#[derive(Debug, Clone)]
pub struct SpillFiles(Arc<[StagedFile; 4]>);

impl Staging {
    /// A directory that is made when first needed.
    pub(crate) fn at(directory: PathBuf) -> Self {
        Self { directory, next: AtomicU64::new(0) }
    }

    /// Removes the files of dead processes.
    pub(crate) fn sweep(&self, now: Timestamp) -> io::Result<()> {
        let now = Duration::from_nanos(now.0.try_into().unwrap_or(0));
        let entries = match fs::read_dir(&self.directory) {
            Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(()),
            entries => entries?,
        };
        for entry in entries {
            let path = entry?.path();
            match remove_if_dead(&path, now) {
                // Its writer was faster.
                Err(error) if error.kind() == io::ErrorKind::NotFound => {}
                other => other?,
            }
        }
        Ok(())
    }

    /// An empty file.
    pub(crate) fn file(&self) -> io::Result<StagedFile> {
        for _ in 0..NAMES_MAX {
            let number = self.next.fetch_add(1, Ordering::Relaxed);
            let path = self.directory.join(format!("{}-{number}", std::process::id()));
            match File::options().read(true).append(true).create_new(true).open(&path) {
                Ok(file) => {
                    // Where that is not possible, age has to tell.
                    let _ = file.try_lock();
                    return Ok(StagedFile { path, file });
                }
                // A process of the same number may write here too, in another container.
                Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {}
                Err(error) if error.kind() == io::ErrorKind::NotFound => {
                    fs::create_dir_all(&self.directory)?;
                }
                Err(error) => return Err(error),
            }
        }
        Err(io::ErrorKind::AlreadyExists.into())
    }

    /// Files to build an object in.
    pub(crate) fn spill(&self) -> io::Result<SpillFiles> {
        Ok(SpillFiles(Arc::new([self.file()?, self.file()?, self.file()?, self.file()?])))
    }
}

fn remove_if_dead(path: &Path, now: Duration) -> io::Result<()> {
    let file = File::open(path)?;
    let modified = file.metadata()?.modified()?.duration_since(UNIX_EPOCH).unwrap_or_default();
    let age = now.saturating_sub(modified);
    let is_dead = match file.try_lock() {
        Ok(()) => age >= UNLOCKED_AGE_MAX,
        Err(TryLockError::WouldBlock) => false,
        Err(TryLockError::Error(_)) => age >= AGE_MAX,
    };
    if is_dead { fs::remove_file(path) } else { Ok(()) }
}

impl StagedFile {
    pub(crate) fn path(&self) -> &Path {
        &self.path
    }

    pub(crate) fn append(&self, bytes: &[u8]) -> io::Result<()> {
        (&self.file).write_all(bytes)
    }

    /// Bytes written so far; 0 when that cannot be told.
    pub(crate) fn len(&self) -> u64 {
        self.file.metadata().map_or(0, |metadata| metadata.len())
    }

    /// Makes what was written survive a power failure.
    pub(crate) fn sync(&self) -> io::Result<()> {
        self.file.sync_data()
    }
}

impl Drop for StagedFile {
    fn drop(&mut self) {
        // Nobody can be told here; what stays is swept later.
        let _ = fs::remove_file(&self.path);
    }
}

impl SpillFiles {
    /// The file that becomes the object.
    pub(crate) fn object(&self) -> &StagedFile {
        &self.0[Region::Object as usize]
    }

    /// All of the object.
    pub(crate) fn read(&self) -> io::Result<Vec<u8>> {
        fs::read(self.object().path())
    }
}

impl Spill for SpillFiles {
    fn append(&mut self, region: Region, bytes: &[u8]) -> io::Result<()> {
        self.0[region as usize].append(bytes)
    }

    fn move_to_object(&mut self, region: Region, bytes: Range<u64>) -> io::Result<()> {
        let mut buffer = vec![0; (bytes.end - bytes.start).min(COPY_BYTES) as usize];
        let mut at = bytes.start;
        while at < bytes.end {
            let part = &mut buffer[..(bytes.end - at).min(COPY_BYTES) as usize];
            self.0[region as usize].file.read_exact_at(part, at)?;
            self.object().append(part)?;
            at += part.len() as u64;
        }
        Ok(())
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn files_of_the_dead_are_swept_and_others_stay() {
        let directory = tempfile::tempdir().unwrap();
        let staging = Staging::at(directory.path().join("staging"));
        staging.sweep(Timestamp::MAX).unwrap();
        let count = || fs::read_dir(&staging.directory).unwrap().count();
        let own = staging.file().unwrap();
        fs::write(staging.directory.join("1-1"), b"half").unwrap();
        own.append(b"x").unwrap();
        staging.sweep(Timestamp(0)).unwrap();
        assert_eq!(count(), 2, "it may just have been made");
        staging.sweep(Timestamp::MAX).unwrap();
        assert_eq!(count(), 1, "a file that is being written stays, however old");
        drop(own);
        assert_eq!(count(), 0);
    }

    #[test]
    fn names_that_are_taken_are_passed() {
        let directory = tempfile::tempdir().unwrap();
        let staging = Staging::at(directory.path().to_owned());
        fs::write(directory.path().join(format!("{}-0", std::process::id())), b"other").unwrap();
        let own = staging.file().unwrap();
        assert_eq!(fs::read(own.path()).unwrap(), b"");
    }

    #[test]
    fn parts_are_moved_behind_the_object() {
        let directory = tempfile::tempdir().unwrap();
        let staging = Staging::at(directory.path().to_owned());
        let mut spill = staging.spill().unwrap();
        let large = vec![7; COPY_BYTES as usize + 10];
        spill.append(Region::Metadata, b"0123456789").unwrap();
        spill.append(Region::Object, b"a").unwrap();
        spill.append(Region::Metadata, &large).unwrap();
        spill.move_to_object(Region::Metadata, 2..4).unwrap();
        spill.move_to_object(Region::Metadata, 10..10 + large.len() as u64).unwrap();
        spill.append(Region::Object, b"z").unwrap();
        assert_eq!(spill.read().unwrap(), [b"a23", &large[..], b"z"].concat());
        drop(spill);
        assert_eq!(fs::read_dir(directory.path()).unwrap().count(), 0);
    }
}
