//! Objects in memory, for tests.

use std::collections::BTreeMap;
use std::ops::Range;

use bytes::Bytes;
use parking_lot::RwLock;

use crate::bucket::direct::Direct;
use crate::bucket::{Created, ObjectInfo};
use crate::error::Error;

/// Objects by name.
#[derive(Debug, Default)]
pub(crate) struct MemoryObjects(RwLock<BTreeMap<String, Bytes>>);

impl Direct for MemoryObjects {
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
