//! Delete requests: what people asked to be removed.
//!
//! A request is an object that never changes, beside which empty objects appear as it is carried
//! out (`docs/format/delete-request.md`). While a request is in force, queries hide what it names;
//! the compactor removes it and then marks the request as processed.

use std::collections::{BTreeMap, HashMap};
use std::sync::Arc;

use bytes::Bytes;
use model::{TenantId, TimeRange, Timestamp};
use parking_lot::RwLock;
use serde::{Deserialize, Serialize};
use tokio::sync::{Mutex, MutexGuard};

use crate::bucket::{Bucket, Created, ObjectInfo};
use crate::error::Error;

/// Below this name all requests stand.
const DELETES: &str = "del";
/// The version that is written, and the newest that is read.
const VERSION: u32 = 1;
/// Requests read at once when a listing shows new ones.
const READ_AT_ONCE: usize = 16;

/// A request to remove rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct DeleteRequest {
    /// Eight hexadecimal digits, different for all requests of a tenant.
    pub id: String,
    /// Whose rows.
    pub tenant: TenantId,
    /// A log query; what it finds is removed.
    pub query: String,
    /// First instant of the rows.
    pub start: Timestamp,
    /// Last instant of the rows.
    pub end: Timestamp,
    /// When the request was made.
    pub created: Timestamp,
    /// How far it has come.
    pub state: DeleteState,
}

/// How far a request has come.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
pub enum DeleteState {
    /// Nothing is removed yet; it can be cancelled.
    Received,
    /// Rows are being removed.
    Begun,
    /// Everything is removed, and the request is not in force any more.
    Processed,
}

impl DeleteRequest {
    /// The instants of the rows.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        TimeRange::new(self.start, Timestamp(self.end.0.saturating_add(1)))
    }

    /// Whether rows have to be hidden.
    #[must_use]
    pub fn is_in_force(&self) -> bool {
        self.state != DeleteState::Processed
    }

    fn object(&self, extension: &str) -> String {
        format!("{DELETES}/{}/{}.{extension}", self.tenant, self.id)
    }
}

impl DeleteState {
    /// The extension of the object whose existence tells the state.
    fn extension(self) -> &'static str {
        match self {
            Self::Received => "del",
            Self::Begun => "begun",
            Self::Processed => "done",
        }
    }
}

/// The object of a request.
#[derive(Serialize, Deserialize)]
struct Stored {
    version: u32,
    query: String,
    start_ns: i64,
    end_ns: i64,
    created_ns: i64,
}

/// The requests at one moment.
#[derive(Debug, Clone, Default)]
pub struct Deletes {
    tenants: HashMap<TenantId, Arc<[Arc<DeleteRequest>]>>,
    unreadable: u64,
    /// Marks whose request is gone.
    orphans: Vec<String>,
}

impl Deletes {
    /// The requests of a tenant, oldest first.
    #[must_use]
    pub fn of(&self, tenant: &TenantId) -> &[Arc<DeleteRequest>] {
        self.tenants.get(tenant).map_or(&[], |requests| requests)
    }

    /// The tenants that have requests, sorted.
    #[must_use]
    pub fn tenants(&self) -> Vec<TenantId> {
        let mut tenants: Vec<TenantId> = self.tenants.keys().cloned().collect();
        tenants.sort();
        tenants
    }

    /// Requests that exist and cannot be read.
    #[must_use]
    pub fn unreadable(&self) -> u64 {
        self.unreadable
    }

    fn new(requests: impl IntoIterator<Item = Arc<DeleteRequest>>, unreadable: u64) -> Self {
        let mut tenants: HashMap<TenantId, Vec<Arc<DeleteRequest>>> = HashMap::new();
        for request in requests {
            tenants.entry(request.tenant.clone()).or_default().push(request);
        }
        let sorted = |mut requests: Vec<Arc<DeleteRequest>>| {
            requests.sort_by(|a, b| (a.created, &a.id).cmp(&(b.created, &b.id)));
            requests.into()
        };
        let tenants = tenants.into_iter().map(|(tenant, all)| (tenant, sorted(all))).collect();
        Self { tenants, unreadable, orphans: Vec::new() }
    }

    fn find(&self, tenant: &TenantId, id: &str) -> Option<&Arc<DeleteRequest>> {
        self.of(tenant).iter().find(|request| request.id == id)
    }

    fn with(&self, request: DeleteRequest) -> Self {
        let kept = self.tenants.values().flat_map(|all| all.iter());
        let kept = kept.filter(|r| (&r.tenant, &r.id) != (&request.tenant, &request.id)).cloned();
        let kept: Vec<_> = kept.collect();
        Self::new(kept.into_iter().chain([Arc::new(request)]), self.unreadable)
    }
}

/// Keeps the newest picture of the requests, and changes them.
#[derive(Debug, Default)]
pub(crate) struct DeleteKeeper {
    current: RwLock<Arc<Deletes>>,
    /// Held while requests are listed or changed.
    changing: Mutex<()>,
}

/// A listing that was read and not yet taken over.
pub(crate) struct ReadDeletes<'a> {
    keeper: &'a DeleteKeeper,
    deletes: Deletes,
    _changing: MutexGuard<'a, ()>,
}

impl ReadDeletes<'_> {
    /// Takes the listing over.
    pub(crate) fn publish(self) {
        *self.keeper.current.write() = Arc::new(self.deletes);
    }
}

impl DeleteKeeper {
    pub(crate) fn current(&self) -> Arc<Deletes> {
        Arc::clone(&self.current.read())
    }

    /// Takes over what somebody else knows.
    pub(crate) fn replace(&self, requests: Vec<DeleteRequest>) {
        let deletes = Deletes::new(requests.into_iter().map(Arc::new), 0);
        *self.current.write() = Arc::new(deletes);
    }

    /// Lists and reads all requests. Until the answer is published or dropped none is changed.
    pub(crate) async fn read(&self, bucket: &Bucket) -> Result<ReadDeletes<'_>, Error> {
        let changing = self.changing.lock().await;
        let (listed, orphans) = requests_of(bucket.list(DELETES).await?);
        let known = self.current();
        let mut found = Vec::with_capacity(listed.len());
        let mut new = Vec::new();
        for ((tenant, id), state) in listed {
            match known.find(&tenant, &id) {
                Some(request) if request.state == state => found.push(Arc::clone(request)),
                Some(request) => {
                    found.push(Arc::new(DeleteRequest { state, ..(**request).clone() }))
                }
                None => new.push((tenant, id, state)),
            }
        }
        let mut unreadable = 0;
        for some in new.chunks(READ_AT_ONCE) {
            let reads = some.iter().map(|(tenant, id, state)| read(bucket, tenant, id, *state));
            for read in futures_util::future::join_all(reads).await {
                match read {
                    Ok(Some(request)) => found.push(Arc::new(request)),
                    Ok(None) => unreadable += 1,
                    // Cancelled since it was listed.
                    Err(Error::NotFound { .. }) => {}
                    Err(error) => return Err(error),
                }
            }
        }
        let deletes = Deletes { orphans, ..Deletes::new(found, unreadable) };
        Ok(ReadDeletes { keeper: self, deletes, _changing: changing })
    }

    pub(crate) async fn create(
        &self,
        bucket: &Bucket,
        request: DeleteRequest,
    ) -> Result<Created, Error> {
        let _changing = self.changing.lock().await;
        let stored = Stored {
            version: VERSION,
            query: request.query.clone(),
            start_ns: request.start.0,
            end_ns: request.end.0,
            created_ns: request.created.0,
        };
        let bytes = serde_json::to_vec(&stored)
            .map_err(|error| Error::io("encode", &request.object("del"), error.into()))?;
        let created = bucket.create(&request.object("del"), bytes.into()).await?;
        if created == Created::New {
            let new = self.current().with(request);
            *self.current.write() = Arc::new(new);
        }
        Ok(created)
    }

    pub(crate) async fn mark(
        &self,
        bucket: &Bucket,
        request: &DeleteRequest,
        state: DeleteState,
    ) -> Result<(), Error> {
        let _changing = self.changing.lock().await;
        // One that was cancelled meanwhile must not come back.
        let Some(known) = self.current().find(&request.tenant, &request.id).cloned() else {
            return Ok(());
        };
        if known.state < state {
            bucket.create(&request.object(state.extension()), Bytes::new()).await?;
            let new = self.current().with(DeleteRequest { state, ..(*known).clone() });
            *self.current.write() = Arc::new(new);
        }
        Ok(())
    }

    /// Removes what an interrupted removal left behind.
    pub(crate) async fn sweep(&self, bucket: &Bucket) -> Result<(), Error> {
        let _changing = self.changing.lock().await;
        for name in &self.current().orphans {
            bucket.delete(name).await?;
        }
        Ok(())
    }

    pub(crate) async fn remove(
        &self,
        bucket: &Bucket,
        request: &DeleteRequest,
    ) -> Result<(), Error> {
        let _changing = self.changing.lock().await;
        // The request goes first: its marks alone mean nothing, and are swept when this is cut off.
        for state in [DeleteState::Received, DeleteState::Begun, DeleteState::Processed] {
            bucket.delete(&request.object(state.extension())).await?;
        }
        let current = self.current();
        let kept = current.tenants.values().flat_map(|all| all.iter());
        let kept = kept.filter(|r| (&r.tenant, &r.id) != (&request.tenant, &request.id));
        let new = Deletes::new(kept.cloned(), current.unreadable);
        *self.current.write() = Arc::new(new);
        Ok(())
    }
}

type States = BTreeMap<(TenantId, String), DeleteState>;

/// The requests among listed objects, with how far they have come; and the marks without one.
fn requests_of(objects: Vec<ObjectInfo>) -> (States, Vec<String>) {
    let mut exist = Vec::new();
    let mut marks = Vec::new();
    let mut states = States::new();
    for object in objects {
        let Some((tenant, id, state)) = parse_name(&object.name) else { continue };
        if state == DeleteState::Received {
            exist.push((tenant.clone(), id.clone()));
        } else {
            marks.push((object.name, (tenant.clone(), id.clone())));
        }
        let known = states.entry((tenant, id)).or_insert(state);
        *known = (*known).max(state);
    }
    exist.sort();
    let exists = |request: &(TenantId, String)| exist.binary_search(request).is_ok();
    states.retain(|request, _| exists(request));
    let orphans = marks.into_iter().filter(|(_, request)| !exists(request));
    (states, orphans.map(|(name, _)| name).collect())
}

fn parse_name(name: &str) -> Option<(TenantId, String, DeleteState)> {
    let (tenant, file) = name.strip_prefix(DELETES)?.strip_prefix('/')?.split_once('/')?;
    let (id, extension) = file.split_once('.')?;
    let states = [DeleteState::Received, DeleteState::Begun, DeleteState::Processed];
    let state = states.into_iter().find(|state| state.extension() == extension)?;
    is_request_id(id).then_some((TenantId::new(tenant).ok()?, id.to_owned(), state))
}

/// Whether a text may be the id of a request.
fn is_request_id(text: &str) -> bool {
    text.len() == 8 && text.bytes().all(|b| b.is_ascii_digit() || (b'a'..=b'f').contains(&b))
}

/// Reads a request; `None` when it does not decode.
async fn read(
    bucket: &Bucket,
    tenant: &TenantId,
    id: &str,
    state: DeleteState,
) -> Result<Option<DeleteRequest>, Error> {
    let bytes = bucket.get(&format!("{DELETES}/{tenant}/{id}.del")).await?;
    Ok(decode_delete_request(&bytes).map(|request| DeleteRequest {
        id: id.to_owned(),
        tenant: tenant.clone(),
        state,
        ..request
    }))
}

/// Decodes the object of a request, without what its name tells; `None` when it is damaged or of
/// a newer version.
#[must_use]
pub fn decode_delete_request(bytes: &[u8]) -> Option<DeleteRequest> {
    let stored: Stored = serde_json::from_slice(bytes).ok()?;
    (stored.version <= VERSION).then(|| DeleteRequest {
        id: String::new(),
        tenant: TenantId::anonymous(),
        query: stored.query,
        start: Timestamp(stored.start_ns),
        end: Timestamp(stored.end_ns),
        created: Timestamp(stored.created_ns),
        state: DeleteState::Received,
    })
}

#[cfg(test)]
mod tests;
