//! Objects as files, written so that a finished upload survives a power failure.
//!
//! An object is written to a file of its own in `.staging`, synced, linked under its name, and the
//! directory synced. Whoever sees the name sees the whole object. A crash leaves at most files in
//! `.staging`, which are swept.

use std::fs::{self, File};
use std::io;
use std::ops::Range;
use std::os::unix::fs::{FileExt as _, MetadataExt as _};
use std::path::{Path, PathBuf};

use bytes::Bytes;
use model::Timestamp;
use parking_lot::Mutex;

use crate::bucket::direct::Direct;
use crate::bucket::ranges::ReadPlan;
use crate::bucket::staging::{SpillFiles, StagedFile, Staging};
use crate::bucket::{Created, ObjectInfo};
use crate::error::Error;

/// Ranges at most this far apart are read in one call: copying so much from the page cache costs
/// about as much as another call.
const READ_GAP_BYTES: u64 = 16 << 10;
/// Directory of files that are being written.
const STAGING: &str = ".staging";
/// Directories remembered as durable; beyond it they are synced again.
const DURABLE_DIRECTORIES_MAX: usize = 16_384;

/// Files below one directory.
#[derive(Debug)]
pub(crate) struct Files {
    root: PathBuf,
    staging: Staging,
    /// Directories whose own entries are known to be on disk.
    durable: Mutex<std::collections::HashSet<PathBuf>>,
}

impl Files {
    /// Opens, and makes, the directory. Files that dead processes were writing are removed.
    pub(crate) fn open(root: &Path, now: Timestamp) -> Result<Self, Error> {
        let shown = root.display().to_string();
        let io = |source| Error::io("open directory", &shown, source);
        fs::create_dir_all(root.join(STAGING)).map_err(io)?;
        let root = root.canonicalize().map_err(io)?;
        sync_directory(&root).map_err(io)?;
        sync_names_of(&root).map_err(io)?;
        let staging = Staging::at(root.join(STAGING));
        staging.sweep(now).map_err(io)?;
        Ok(Self { root, staging, durable: Mutex::new(Default::default()) })
    }

    /// Where an object stands. Names that would leave the root have no place.
    fn path_of(&self, name: &str) -> Result<PathBuf, Error> {
        let plain = |part: &str| !matches!(part, "" | "." | "..") && !part.contains('\0');
        let staged = name.split('/').next() == Some(STAGING);
        if !staged && name.split('/').all(plain) {
            return Ok(self.root.join(name));
        }
        let source = io::Error::from(io::ErrorKind::InvalidInput);
        Err(Error::io("find a place for", name, source))
    }

    /// Writes and syncs the bytes under a name of their own.
    fn stage(&self, bytes: &[u8]) -> io::Result<StagedFile> {
        let staged = self.staging.file()?;
        staged.append(bytes)?;
        staged.sync()?;
        Ok(staged)
    }

    /// Makes the directory of `path`, durable up to the root.
    fn durable_directory(&self, path: &Path) -> io::Result<()> {
        let Some(directory) = path.parent() else { return Ok(()) };
        if self.durable.lock().contains(directory) {
            return Ok(());
        }
        fs::create_dir_all(directory)?;
        // Also when the directory existed: its maker may have died before syncing it.
        for ancestor in directory.ancestors().skip(1) {
            sync_directory(ancestor)?;
            if ancestor == self.root {
                break;
            }
        }
        let mut durable = self.durable.lock();
        if durable.len() >= DURABLE_DIRECTORIES_MAX {
            durable.clear();
        }
        durable.insert(directory.to_owned());
        Ok(())
    }

    fn try_create(&self, path: &Path, bytes: &[u8]) -> io::Result<Created> {
        self.durable_directory(path)?;
        if let Some(created) = existing(path)? {
            return Ok(created);
        }
        self.link(&self.stage(bytes)?, path)
    }

    /// Gives a synced file its name.
    fn link(&self, staged: &StagedFile, path: &Path) -> io::Result<Created> {
        match fs::hard_link(staged.path(), path) {
            Ok(()) => {}
            Err(error) if error.kind() == io::ErrorKind::AlreadyExists => {
                return existing(path)?.ok_or(error);
            }
            // File systems without links. Two writers of one name write the same bytes.
            Err(_) => fs::rename(staged.path(), path)?,
        }
        sync_parent(path)?;
        Ok(Created::New)
    }

    fn try_replace(&self, path: &Path, bytes: &[u8]) -> io::Result<()> {
        self.durable_directory(path)?;
        let staged = self.stage(bytes)?;
        fs::rename(staged.path(), path)?;
        sync_parent(path)
    }

    fn try_create_spilled(&self, path: &Path, spill: &SpillFiles) -> io::Result<Created> {
        self.durable_directory(path)?;
        if let Some(created) = existing(path)? {
            return Ok(created);
        }
        spill.object().sync()?;
        self.link(spill.object(), path)
    }
}

/// What stands under a name, made durable: its writer may have died before syncing it.
fn existing(path: &Path) -> io::Result<Option<Created>> {
    let file = match File::open(path) {
        Ok(file) => file,
        Err(error) if error.kind() == io::ErrorKind::NotFound => return Ok(None),
        Err(error) => return Err(error),
    };
    file.sync_data()?;
    sync_parent(path)?;
    Ok(Some(Created::Existed { bytes: file.metadata()?.len() }))
}

fn sync_parent(path: &Path) -> io::Result<()> {
    path.parent().map_or(Ok(()), sync_directory)
}

fn sync_directory(directory: &Path) -> io::Result<()> {
    File::open(directory)?.sync_all()
}

/// Makes the name of a directory survive a loss of power, and those of the directories that it is
/// in: all of them may be new.
///
/// # Errors
///
/// What the operating system says.
pub fn sync_names_of(directory: &Path) -> io::Result<()> {
    let directory = directory.canonicalize()?;
    let file_system = fs::metadata(&directory)?.dev();
    for ancestor in directory.ancestors().skip(1) {
        let opened = match File::open(ancestor) {
            // What this process may not read it has not made.
            Err(error) if error.kind() == io::ErrorKind::PermissionDenied => break,
            opened => opened?,
        };
        // That was there before this file system was mounted.
        if opened.metadata()?.dev() != file_system {
            break;
        }
        opened.sync_all()?;
    }
    Ok(())
}

fn read_range(file: &File, range: &Range<u64>) -> io::Result<Bytes> {
    let mut buffer = vec![0; (range.end - range.start) as usize];
    file.read_exact_at(&mut buffer, range.start)?;
    Ok(buffer.into())
}

/// Appends every file below `directory`; `name` is the directory's object name.
fn walk(directory: &Path, name: &str, found: &mut Vec<ObjectInfo>) -> io::Result<()> {
    for entry in fs::read_dir(directory)? {
        let entry = entry?;
        let file_name = entry.file_name();
        // Names that are not UTF-8 are nobody's objects.
        let Some(part) = file_name.to_str() else { continue };
        if name.is_empty() && part == STAGING {
            continue;
        }
        let child = if name.is_empty() { part.to_owned() } else { format!("{name}/{part}") };
        // A file may be deleted while the directory is read.
        let Some(metadata) = present(entry.metadata())? else { continue };
        if metadata.is_dir() {
            present(walk(&entry.path(), &child, found))?;
        } else {
            found.push(ObjectInfo { name: child, bytes: metadata.len() });
        }
    }
    Ok(())
}

fn present<T>(result: io::Result<T>) -> io::Result<Option<T>> {
    match result {
        Ok(value) => Ok(Some(value)),
        Err(error) if error.kind() == io::ErrorKind::NotFound => Ok(None),
        Err(error) => Err(error),
    }
}

impl Direct for Files {
    fn create(&self, name: &str, bytes: &[u8]) -> Result<Created, Error> {
        let path = self.path_of(name)?;
        self.try_create(&path, bytes).map_err(|error| Error::io("write object", name, error))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        let path = self.path_of(name)?;
        self.try_replace(&path, bytes).map_err(|error| Error::io("write object", name, error))
    }

    fn spill(&self) -> Result<Option<SpillFiles>, Error> {
        self.staging.spill().map(Some).map_err(|error| Error::io("build object", "", error))
    }

    fn create_spilled(&self, name: &str, spill: &SpillFiles) -> Result<Created, Error> {
        let path = self.path_of(name)?;
        self.try_create_spilled(&path, spill)
            .map_err(|error| Error::io("write object", name, error))
    }

    fn sweep(&self, now: Timestamp) -> Result<(), Error> {
        self.staging.sweep(now).map_err(|error| Error::io("sweep", STAGING, error))
    }

    fn read(&self, name: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
        let io = |source| Error::io("read object", name, source);
        let file = File::open(self.path_of(name)?).map_err(io)?;
        let found = file.metadata().map_err(io)?.len();
        // Checked before a buffer is allocated: ranges come from stored bytes.
        if let Some(range) = ranges.iter().find(|r| !r.is_empty() && r.end > found) {
            return Err(Error::Short { name: name.to_owned(), wanted: range.end, found });
        }
        let plan = ReadPlan::new(ranges, READ_GAP_BYTES);
        let read: io::Result<Vec<Bytes>> =
            plan.reads.iter().map(|range| read_range(&file, range)).collect();
        Ok(plan.cut(ranges, &read.map_err(io)?))
    }

    fn get(&self, name: &str) -> Result<Bytes, Error> {
        let path = self.path_of(name)?;
        fs::read(path).map(Bytes::from).map_err(|error| Error::io("read object", name, error))
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, Error> {
        let directory = if prefix.is_empty() { self.root.clone() } else { self.path_of(prefix)? };
        let mut found = Vec::new();
        present(walk(&directory, prefix, &mut found))
            .map_err(|error| Error::io("list objects below", prefix, error))?;
        Ok(found)
    }

    fn delete(&self, name: &str) -> Result<(), Error> {
        let path = self.path_of(name)?;
        present(fs::remove_file(path))
            .map(|_| ())
            .map_err(|error| Error::io("delete object", name, error))
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn files() -> (tempfile::TempDir, Files) {
        let directory = tempfile::tempdir().unwrap();
        let files = Files::open(&directory.path().join("objects"), Timestamp(0)).unwrap();
        (directory, files)
    }

    #[test]
    fn names_never_leave_the_root() {
        let (_directory, files) = files();
        for name in ["../x", "a/../../x", "", "a//b", "/etc/passwd", ".staging/x", "a\0b"] {
            assert!(files.create(name, b"x").is_err(), "{name}");
            assert!(files.get(name).is_err(), "{name}");
        }
    }

    #[test]
    fn staged_files_go_with_the_write_and_those_of_the_dead_at_the_start() {
        let (directory, files) = files();
        files.create("a/b", b"x").unwrap();
        files.create("a/b", b"x").unwrap();
        files.replace("a/c", b"y").unwrap();
        let staging = directory.path().join("objects").join(STAGING);
        assert_eq!(fs::read_dir(&staging).unwrap().count(), 0);
        fs::write(staging.join("1-1"), b"half").unwrap();
        let reopen = |now| Files::open(&directory.path().join("objects"), now).unwrap();
        reopen(Timestamp(0));
        assert_eq!(fs::read_dir(&staging).unwrap().count(), 1);
        reopen(Timestamp::MAX);
        assert_eq!(fs::read_dir(&staging).unwrap().count(), 0);
    }

    #[test]
    fn what_was_built_in_files_becomes_an_object() {
        let (directory, files) = files();
        for (name, expected) in [("a/b", Created::New), ("a/b", Created::Existed { bytes: 3 })] {
            let mut spill = files.spill().unwrap().unwrap();
            segment::Spill::append(&mut spill, segment::Region::Object, b"xyz").unwrap();
            assert_eq!(files.create_spilled(name, &spill).unwrap(), expected);
            assert_eq!(files.get(name).unwrap(), "xyz");
        }
        let staging = directory.path().join("objects").join(STAGING);
        assert_eq!(fs::read_dir(&staging).unwrap().count(), 0);
    }

    #[test]
    fn a_file_where_a_directory_is_needed_is_an_error_without_traces() {
        let (directory, files) = files();
        files.create("a", b"x").unwrap();
        assert!(files.create("a/b", b"y").is_err());
        let staging = directory.path().join("objects").join(STAGING);
        assert_eq!(fs::read_dir(&staging).unwrap().count(), 0);
    }

    #[test]
    fn ranges_past_the_end_are_refused_before_reading() {
        let (_directory, files) = files();
        files.create("a", b"0123456789").unwrap();
        assert!(matches!(files.read("a", &[0..1, 5..1 << 40]), Err(Error::Short { .. })));
    }
}
