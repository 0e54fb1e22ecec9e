//! Objects behind a network: S3, Google Cloud Storage, Azure Blob Storage.
//!
//! `object_store` signs, sends and retries; this module decides what an answer means.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use futures_util::{TryStreamExt as _, future};
use object_store::path::Path;
use object_store::{ObjectStore, ObjectStoreExt as _, PutMode, PutOptions, PutPayload};

use crate::bucket::ranges::ReadPlan;
use crate::bucket::requests::Requests;
use crate::bucket::{Created, ObjectInfo};
use crate::error::Error;

/// Ranges at most this far apart are fetched in one request: at the latency of object storage the
/// bytes between cost less than another request.
const READ_GAP_BYTES: u64 = 256 << 10;

/// A connection to a service.
#[derive(Debug)]
pub(crate) struct Connection {
    /// For reading: a request that stops answering is given up soon and sent again.
    pub(crate) reads: Arc<dyn ObjectStore>,
    /// For writing: an upload may take long before the service says anything.
    pub(crate) writes: Arc<dyn ObjectStore>,
    /// Attributes of every new object, such as its storage class.
    pub(crate) attributes: object_store::Attributes,
}

/// Objects behind a network.
#[derive(Debug, Clone)]
pub(crate) struct Remote {
    connection: Arc<Connection>,
    requests: Arc<Requests>,
}

impl Remote {
    pub(crate) fn new(connection: Connection, requests: Requests) -> Self {
        Self { connection: Arc::new(connection), requests: Arc::new(requests) }
    }

    /// Writes an object that does not exist yet.
    ///
    /// Services differ in what they know of conditional writes, and a connection may break after
    /// the object was stored. So any failure is followed by a look at what stands there, and only
    /// if nothing does by a plain write: names hold a hash of the content, thus a plain write over
    /// an object that appears meanwhile writes the same bytes.
    pub(crate) async fn create(&self, name: &str, bytes: Bytes) -> Result<Created, Error> {
        let path = parse(name)?;
        let Err(refusal) = self.send(&path, bytes.clone(), PutMode::Create).await else {
            return Ok(Created::New);
        };
        match self.requests.hedged(|| self.connection.reads.head(&path)).await {
            Ok(existing) => return Ok(Created::Existed { bytes: existing.size }),
            Err(object_store::Error::NotFound { .. }) => {}
            Err(_) => return Err(Error::remote("write object", name, refusal)),
        }
        self.replace(name, bytes).await.map(|()| Created::New)
    }

    pub(crate) async fn replace(&self, name: &str, bytes: Bytes) -> Result<(), Error> {
        let path = parse(name)?;
        let sent = self.send(&path, bytes, PutMode::Overwrite).await;
        sent.map_err(|error| Error::remote("write object", name, error))
    }

    async fn send(&self, path: &Path, bytes: Bytes, mode: PutMode) -> object_store::Result<()> {
        let attributes = self.connection.attributes.clone();
        let options = PutOptions { mode, attributes, ..PutOptions::default() };
        let sent = self.connection.writes.put_opts(path, PutPayload::from(bytes), options);
        self.requests.once(sent).await.map(|_| ())
    }

    pub(crate) async fn read(
        &self,
        name: &str,
        ranges: &[Range<u64>],
    ) -> Result<Vec<Bytes>, Error> {
        let path = parse(name)?;
        let plan = ReadPlan::new(ranges, READ_GAP_BYTES);
        let (connection, path) = (&self.connection, &path);
        let requests = plan.reads.iter().map(|range| {
            self.requests.hedged(move || connection.reads.get_range(path, range.clone()))
        });
        let read = future::try_join_all(requests)
            .await
            .map_err(|error| Error::remote("read object", name, error))?;
        // A service may answer a range past the end with what there is.
        for (range, bytes) in plan.reads.iter().zip(&read) {
            let found = range.start + bytes.len() as u64;
            if found != range.end {
                return Err(Error::Short { name: name.to_owned(), wanted: range.end, found });
            }
        }
        Ok(plan.cut(ranges, &read))
    }

    pub(crate) async fn get(&self, name: &str) -> Result<Bytes, Error> {
        let path = parse(name)?;
        let whole = || async { self.connection.reads.get(&path).await?.bytes().await };
        let read = self.requests.hedged(whole).await;
        read.map_err(|error| Error::remote("read object", name, error))
    }

    pub(crate) async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, Error> {
        let path = parse(prefix)?;
        let prefix_path = (!prefix.is_empty()).then_some(&path);
        let listing = self
            .connection
            .reads
            .list(prefix_path)
            .map_ok(|meta| ObjectInfo { name: meta.location.to_string(), bytes: meta.size })
            .try_collect();
        self.requests
            .once(listing)
            .await
            .map_err(|error| Error::remote("list objects below", prefix, error))
    }

    pub(crate) async fn delete(&self, name: &str) -> Result<(), Error> {
        let path = parse(name)?;
        match self.requests.once(self.connection.writes.delete(&path)).await {
            Ok(()) | Err(object_store::Error::NotFound { .. }) => Ok(()),
            Err(error) => Err(Error::remote("delete object", name, error)),
        }
    }
}

fn parse(name: &str) -> Result<Path, Error> {
    Path::parse(name).map_err(|error| Error::remote("find a place for", name, error.into()))
}
