//! Objects by name, wherever they live.
//!
//! Files and memory are reached directly ([`direct`]) and never need a runtime; remote services
//! through a bounded number of requests ([`remote`]). Every operation is measured.

pub(crate) mod connect;
pub(crate) mod direct;
mod files;
mod memory;
mod ranges;
mod remote;
mod requests;
mod staging;

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use runtime::clock::Clock;
use tokio::runtime::Handle;

use crate::bucket::direct::Direct;
use crate::bucket::files::Files;
pub use crate::bucket::files::sync_names_of;
use crate::bucket::memory::MemoryObjects;
pub use crate::bucket::memory::{MemoryBucket, MemoryFault};
use crate::bucket::remote::Remote;
use crate::bucket::requests::Requests;
use crate::bucket::staging::Staging;
use crate::config::{Backend, Config};
use crate::error::Error;
use crate::metrics::{Metrics, Operation};

pub use crate::bucket::staging::SpillFiles;

/// An object as a listing shows it.
#[derive(Debug, Clone, PartialEq, Eq, PartialOrd, Ord)]
pub struct ObjectInfo {
    /// Name, without the configured prefix.
    pub name: String,
    /// Length in bytes.
    pub bytes: u64,
}

/// What became of an object that was to be created.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Created {
    /// It was written.
    New,
    /// An object of that name stood there already and was left alone.
    Existed {
        /// Length of that object.
        bytes: u64,
    },
}

/// Objects by name. Clones share everything.
#[derive(Clone)]
pub struct Bucket {
    backend: Backing,
    prefix: Arc<str>,
    /// Where objects for remote storage are built; `None` for in memory.
    working: Option<Arc<Staging>>,
    clock: Arc<dyn Clock>,
    metrics: Metrics,
}

#[derive(Clone)]
enum Backing {
    Direct(Arc<dyn Direct>),
    Remote(Remote, Handle),
}

impl Bucket {
    /// Connects to what is configured. Remote services are not contacted yet.
    ///
    /// # Errors
    ///
    /// [`Error::Config`] names the field that cannot work; [`Error::Io`] when the directory cannot
    /// be made.
    ///
    /// # Panics
    ///
    /// Remote backends: outside a tokio runtime.
    pub fn open(config: &Config, clock: Arc<dyn Clock>, metrics: Metrics) -> Result<Self, Error> {
        let remote = |connection| {
            let (clock, metrics) = (Arc::clone(&clock), metrics.clone());
            let hedging = config.hedging.clone();
            let requests = Requests::new(config.concurrency, hedging, clock, metrics);
            Backing::Remote(Remote::new(connection, requests), Handle::current())
        };
        let backend = match &config.backend {
            Backend::Filesystem(filesystem) => {
                Backing::Direct(Arc::new(Files::open(&filesystem.directory, clock.now())?))
            }
            Backend::Memory => Backing::Direct(Arc::new(MemoryObjects::default())),
            Backend::Shared(memory) => Backing::Direct(Arc::new(memory.clone())),
            Backend::S3(config) => remote(connect::s3(config)?),
            Backend::Gcs(config) => remote(connect::gcs(config)?),
            Backend::Azure(config) => remote(connect::azure(config)?),
        };
        let prefix = match config.prefix.trim_matches('/') {
            "" => Arc::from(""),
            prefix => Arc::from(format!("{prefix}/")),
        };
        let working = match (&backend, &config.working_directory) {
            (Backing::Remote(..), Some(directory)) => {
                Some(Arc::new(Staging::at(directory.clone())))
            }
            _ => None,
        };
        Ok(Self { backend, prefix, working, clock, metrics })
    }

    /// Writes an object that does not exist yet. When it returns, the object is durable, whether
    /// this call wrote it or found it.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfSpace`], [`Error::Io`] or [`Error::Remote`]; nothing visible was left behind,
    /// try again later.
    pub async fn create(&self, name: &str, bytes: Bytes) -> Result<Created, Error> {
        let length = bytes.len() as u64;
        let full = self.full(name);
        let work = async {
            match &self.backend {
                Backing::Direct(direct) => {
                    on_thread(direct, &full, move |direct, full| direct.create(full, &bytes)).await
                }
                Backing::Remote(remote, _) => remote.create(&full, bytes).await,
            }
        };
        let result = self.measured(Operation::upload, work).await;
        if matches!(result, Ok(Created::New)) {
            self.metrics.uploaded(length);
        }
        result
    }

    /// Files to build a large object in; `None` when it is to be built in memory. Blocks.
    ///
    /// # Errors
    ///
    /// [`Error::OutOfSpace`] or [`Error::Io`]; try again later.
    pub fn spill(&self) -> Result<Option<SpillFiles>, Error> {
        match (&self.backend, &self.working) {
            (Backing::Direct(direct), _) => direct.spill(),
            (Backing::Remote(..), None) => Ok(None),
            (Backing::Remote(..), Some(staging)) => {
                staging.spill().map(Some).map_err(|error| Error::io("build object", "", error))
            }
        }
    }

    /// [`Bucket::create`] of an object that was built in files. For remote storage it is in memory
    /// while it is sent.
    ///
    /// # Errors
    ///
    /// As [`Bucket::create`].
    pub async fn create_spilled(&self, name: &str, spill: SpillFiles) -> Result<Created, Error> {
        let Backing::Direct(direct) = &self.backend else {
            let reading = runtime::task::run_blocking(move || spill.read());
            let stopped = |error: runtime::task::Panicked| std::io::Error::other(error.message);
            let bytes = reading.await.map_err(stopped).and_then(|read| read);
            let bytes = bytes.map_err(|error| Error::io("write object", name, error))?;
            return self.create(name, bytes.into()).await;
        };
        let full = self.full(name);
        let bytes = spill.clone();
        let work =
            on_thread(direct, &full, move |direct, full| direct.create_spilled(full, &spill));
        let result = self.measured(Operation::upload, work).await;
        if matches!(result, Ok(Created::New)) {
            self.metrics.uploaded(bytes.object().len());
        }
        result
    }

    /// Removes what dead processes left behind of objects that they were writing.
    ///
    /// # Errors
    ///
    /// [`Error::Io`]; try again later.
    pub async fn sweep(&self) -> Result<(), Error> {
        let now = self.clock.now();
        match (&self.backend, &self.working) {
            (Backing::Direct(direct), _) => {
                on_thread(direct, "", move |direct, _| direct.sweep(now)).await
            }
            (Backing::Remote(..), Some(staging)) => {
                staging.sweep(now).map_err(|error| Error::io("sweep", "", error))
            }
            (Backing::Remote(..), None) => Ok(()),
        }
    }

    /// Writes an object, replacing what stood there at once or not at all.
    ///
    /// # Errors
    ///
    /// As [`Bucket::create`].
    pub async fn replace(&self, name: &str, bytes: Bytes) -> Result<(), Error> {
        let length = bytes.len() as u64;
        let full = self.full(name);
        let work = async {
            match &self.backend {
                Backing::Direct(direct) => {
                    on_thread(direct, &full, move |direct, full| direct.replace(full, &bytes)).await
                }
                Backing::Remote(remote, _) => remote.replace(&full, bytes).await,
            }
        };
        let result = self.measured(Operation::upload, work).await;
        if result.is_ok() {
            self.metrics.uploaded(length);
        }
        result
    }

    /// Reads ranges of an object, in the order asked. Ranges close together are read as one.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], [`Error::Short`] when a range ends past the object, or what the
    /// storage says.
    pub async fn read(&self, name: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
        let full = self.full(name);
        let work = async {
            match &self.backend {
                Backing::Direct(direct) => {
                    let ranges = ranges.to_vec();
                    on_thread(direct, &full, move |direct, full| direct.read(full, &ranges)).await
                }
                Backing::Remote(remote, _) => remote.read(&full, ranges).await,
            }
        };
        let result = self.measured(Operation::get_range, work).await;
        self.count_fetched(&result);
        result
    }

    /// [`Bucket::read`] for threads that may block.
    ///
    /// # Errors
    ///
    /// As [`Bucket::read`].
    ///
    /// # Panics
    ///
    /// Remote backends: on a thread of the asynchronous runtime.
    pub fn read_blocking(&self, name: &str, ranges: &[Range<u64>]) -> Result<Vec<Bytes>, Error> {
        match &self.backend {
            Backing::Direct(direct) => {
                let begun = self.clock.monotonic();
                let result = direct.read(&self.full(name), ranges);
                let took = self.clock.monotonic().saturating_sub(begun);
                self.metrics.observe(Operation::get_range, took, &result);
                self.count_fetched(&result);
                result
            }
            Backing::Remote(_, runtime) => runtime.block_on(self.read(name, ranges)),
        }
    }

    /// Reads a whole object.
    ///
    /// # Errors
    ///
    /// [`Error::NotFound`], or what the storage says.
    pub async fn get(&self, name: &str) -> Result<Bytes, Error> {
        let full = self.full(name);
        let work = async {
            match &self.backend {
                Backing::Direct(direct) => {
                    on_thread(direct, &full, |direct, full| direct.get(full)).await
                }
                Backing::Remote(remote, _) => remote.get(&full).await,
            }
        };
        let result = self.measured(Operation::get, work).await;
        if let Ok(bytes) = &result {
            self.metrics.fetched(bytes.len() as u64);
        }
        result
    }

    /// Every object whose name begins with `prefix` and a slash, in any order.
    ///
    /// # Errors
    ///
    /// What the storage says; a listing is whole or an error.
    pub async fn list(&self, prefix: &str) -> Result<Vec<ObjectInfo>, Error> {
        let full = self.full(prefix);
        let full = full.trim_end_matches('/');
        let work = async {
            match &self.backend {
                Backing::Direct(direct) => {
                    on_thread(direct, full, |direct, full| direct.list(full)).await
                }
                Backing::Remote(remote, _) => remote.list(full).await,
            }
        };
        let listed = self.measured(Operation::iter, work).await?;
        let own = |object: ObjectInfo| {
            let name = object.name.strip_prefix(&*self.prefix)?.to_owned();
            Some(ObjectInfo { name, bytes: object.bytes })
        };
        Ok(listed.into_iter().filter_map(own).collect())
    }

    /// Removes an object; no error when it does not exist.
    ///
    /// # Errors
    ///
    /// What the storage says; the object may still exist.
    pub async fn delete(&self, name: &str) -> Result<(), Error> {
        let full = self.full(name);
        let work = async {
            match &self.backend {
                Backing::Direct(direct) => {
                    on_thread(direct, &full, |direct, full| direct.delete(full)).await
                }
                Backing::Remote(remote, _) => remote.delete(&full).await,
            }
        };
        self.measured(Operation::delete, work).await
    }

    /// The runtime that requests run on; `None` when operations only block.
    pub(crate) fn runtime(&self) -> Option<&Handle> {
        match &self.backend {
            Backing::Direct(_) => None,
            Backing::Remote(_, runtime) => Some(runtime),
        }
    }

    fn full(&self, name: &str) -> String {
        format!("{}{name}", self.prefix)
    }

    async fn measured<T>(
        &self,
        operation: Operation,
        work: impl Future<Output = Result<T, Error>>,
    ) -> Result<T, Error> {
        let begun = self.clock.monotonic();
        let result = work.await;
        let took = self.clock.monotonic().saturating_sub(begun);
        self.metrics.observe(operation, took, &result);
        result
    }

    fn count_fetched(&self, result: &Result<Vec<Bytes>, Error>) {
        if let Ok(parts) = result {
            self.metrics.fetched(parts.iter().map(|part| part.len() as u64).sum());
        }
    }
}

impl std::fmt::Debug for Bucket {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let kind = match &self.backend {
            Backing::Direct(_) => "direct",
            Backing::Remote(..) => "remote",
        };
        f.debug_struct("Bucket").field("backend", &kind).field("prefix", &self.prefix).finish()
    }
}

/// Runs a blocking operation beside the asynchronous runtime.
async fn on_thread<T: Send + 'static>(
    direct: &Arc<dyn Direct>,
    name: &str,
    operation: impl FnOnce(&dyn Direct, &str) -> Result<T, Error> + Send + 'static,
) -> Result<T, Error> {
    if direct.is_quick() {
        return operation(&**direct, name);
    }
    let direct = Arc::clone(direct);
    let shown = name.to_owned();
    let owned = name.to_owned();
    let done = runtime::task::run_blocking(move || operation(&*direct, &owned)).await;
    let stopped = |error: runtime::task::Panicked| {
        Error::io("work on object", &shown, std::io::Error::other(error.message))
    };
    done.map_err(stopped)?
}
