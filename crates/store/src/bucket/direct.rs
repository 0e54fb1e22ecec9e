//! Storage that answers a system call or less: files and memory.
//!
//! Its operations block, so that the threads of the query engine call them without a detour
//! through the asynchronous runtime.

use std::ops::Range;

use bytes::Bytes;
use model::Timestamp;

use crate::bucket::staging::SpillFiles;
use crate::bucket::{Created, ObjectInfo};
use crate::error::Error;

/// Objects within reach of the calling thread.
pub(crate) trait Direct: Send + Sync {
    /// Whether operations never wait, so that no thread is worth its while.
    fn is_quick(&self) -> bool {
        false
    }

    /// Writes an object that does not exist yet; when it returns, the object is as durable as the
    /// storage can make it. Nothing is left behind on failure.
    fn create(&self, name: &str, bytes: &[u8]) -> Result<Created, Error>;

    /// Writes an object, replacing what stood there at once or not at all.
    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), Error>;

    /// Files to build an object in; `None` where objects do not live in files.
    fn spill(&self) -> Result<Option<SpillFiles>, Error> {
        Ok(None)
    }

    /// [`Direct::create`] of what was built in files.
    fn create_spilled(&self, name: &str, spill: &SpillFiles) -> Result<Created, Error> {
        let bytes = spill.read().map_err(|error| Error::io("write object", name, error))?;
        self.create(name, &bytes)
    }

    /// Removes what dead processes were writing.
    fn sweep(&self, _now: Timestamp) -> Result<(), Error> {
        Ok(())
    }

    /// Reads ranges of an object, in the order asked.
    fn read(&self, name: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error>;

    /// Reads a whole object.
    fn get(&self, name: &str) -> Result<Bytes, Error>;

    /// Every object whose name begins with `prefix` and a slash, in any order.
    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, Error>;

    /// Removes an object; no error when it does not exist.
    fn delete(&self, name: &str) -> Result<(), Error>;
}
