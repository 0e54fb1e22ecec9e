//! Objects in memory, for tests.

use std::collections::BTreeMap;
use std::io;
use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use parking_lot::{Mutex, RwLock};

use crate::bucket::direct::Direct;
use crate::bucket::{Created, ObjectInfo};
use crate::error::Error;

/// Objects by name.
#[derive(Debug, Default)]
pub(crate) struct MemoryObjects(RwLock<BTreeMap<String, Bytes>>);

impl Direct for MemoryObjects {
    fn is_quick(&self) -> bool {
        true
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<Created, Error> {
        let mut objects = self.0.write();
        if let Some(existing) = objects.get(name) {
            return Ok(Created::Existed { bytes: existing.len() as u64 });
        }
        objects.insert(name.to_owned(), Bytes::copy_from_slice(bytes));
        Ok(Created::New)
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.0.write().insert(name.to_owned(), Bytes::copy_from_slice(bytes));
        Ok(())
    }

    fn read(&self, name: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
        let object = self.get(name)?;
        let found = object.len() as u64;
        ranges
            .iter()
            .map(|range| {
                if range.is_empty() {
                    return Ok(Bytes::new());
                }
                if range.end > found {
                    let name = name.to_owned();
                    return Err(Error::Short { name, wanted: range.end, found });
                }
                Ok(object.slice(range.start as usize..range.end as usize))
            })
            .collect()
    }

    fn get(&self, name: &str) -> Result<Bytes, Error> {
        let missing = || Error::NotFound { name: name.to_owned() };
        self.0.read().get(name).cloned().ok_or_else(missing)
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, Error> {
        let first = if prefix.is_empty() { String::new() } else { format!("{prefix}/") };
        let objects = self.0.read();
        Ok(objects
            .range(first.clone()..)
            .take_while(|(name, _)| name.starts_with(&first))
            .map(|(name, bytes)| ObjectInfo { name: name.clone(), bytes: bytes.len() as u64 })
            .collect())
    }

    fn delete(&self, name: &str) -> Result<(), Error> {
        self.0.write().remove(name);
        Ok(())
    }
}

/// How a bucket in memory fails.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum MemoryFault {
    /// Not at all.
    #[default]
    None,
    /// No operation works.
    Down,
    /// Writes and deletions are carried out and answered with an error, as when an answer is lost.
    LosesAnswers,
}

/// A bucket in memory that several stores share, and that fails on demand; for tests. Clones show
/// the same objects.
#[derive(Debug, Clone, Default)]
pub struct MemoryBucket {
    objects: Arc<MemoryObjects>,
    fault: Arc<Mutex<MemoryFault>>,
}

impl MemoryBucket {
    /// How the bucket fails from now on.
    pub fn set_fault(&self, fault: MemoryFault) {
        *self.fault.lock() = fault;
    }

    /// Bytes of all objects below a name.
    #[must_use]
    pub fn bytes(&self, prefix: &str) -> u64 {
        let listed = self.objects.list(prefix).unwrap_or_default();
        listed.iter().map(|object| object.bytes).sum()
    }

    fn ask<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        match *self.fault.lock() {
            MemoryFault::Down => Err(Error::io(doing, "bucket", io::Error::other("it is down"))),
            MemoryFault::None | MemoryFault::LosesAnswers => work(),
        }
    }

    fn change<T>(
        &self,
        doing: &'static str,
        work: impl FnOnce() -> Result<T, Error>,
    ) -> Result<T, Error> {
        let done = self.ask(doing, work)?;
        match *self.fault.lock() {
            MemoryFault::LosesAnswers => {
                Err(Error::io(doing, "bucket", io::Error::other("the answer was lost")))
            }
            MemoryFault::None | MemoryFault::Down => Ok(done),
        }
    }
}

impl Direct for MemoryBucket {
    fn is_quick(&self) -> bool {
        true
    }

    fn create(&self, name: &str, bytes: &[u8]) -> Result<Created, Error> {
        self.change("create", || self.objects.create(name, bytes))
    }

    fn replace(&self, name: &str, bytes: &[u8]) -> Result<(), Error> {
        self.change("replace", || self.objects.replace(name, bytes))
    }

    fn read(&self, name: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
        self.ask("read", || self.objects.read(name, ranges))
    }

    fn get(&self, name: &str) -> Result<Bytes, Error> {
        self.ask("get", || self.objects.get(name))
    }

    fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, Error> {
        self.ask("list", || self.objects.list(prefix))
    }

    fn delete(&self, name: &str) -> Result<(), Error> {
        self.change("delete", || self.objects.delete(name))
    }
}
