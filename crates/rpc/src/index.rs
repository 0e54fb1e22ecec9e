//! The index gateway's service and its client: which segments exist, what is to be deleted, and the
//! parts of segments that plan a query.
//!
//! Names of segments are texts here; the roles on both sides know what they mean.

#[cfg(test)]
mod tests;

use std::ops::Range;
use std::sync::Arc;
use std::time::Duration;

use bytes::Bytes;
use futures_util::future::BoxFuture;
use model::{ErrorKind, TenantId, TimeRange, Timestamp};
use tonic::{Request, Response, Status};

use crate::MESSAGE_BYTES_MAX;
use crate::error::Error;
use crate::generated::index::index_client::IndexClient;
use crate::generated::index::{self as wire, index_server};
use crate::pool::{Calls, Peer};

/// How long one question may take; whoever asks can turn to another gateway, or to object storage.
const PATIENCE: Duration = Duration::from_secs(5);
/// Parts of one segment in one question.
const RANGES_MAX: usize = 4096;

/// A segment, by its name, and the length of its object.
pub type Named = (String, u64);

/// What holders of recent rows told whoever asks.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Told {
    /// The asker; another number after each of its starts.
    pub asker: u64,
    /// Another number whenever a holder has come or gone, as the asker knows it.
    pub generation: u64,
    /// Addresses, each with a number that is another after each start.
    pub holders: Vec<(Arc<str>, u64)>,
    /// What they stored lately.
    pub stored: Vec<Named>,
}

/// Which segments are asked for.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct SegmentsAsk {
    /// Whose.
    pub tenant: TenantId,
    /// When their rows lie; none are answered when it is empty.
    pub range: TimeRange,
    /// What the answer must hold.
    pub told: Option<Told>,
    /// Whether object storage must be listed first.
    pub list: bool,
}

/// Which segments there are.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct SegmentsAnswer {
    /// Those that may hold rows of the range and are not superseded.
    pub live: Vec<Named>,
    /// Of those that were told: what exists beside them.
    pub known: Vec<Named>,
}

/// A delete request.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Delete {
    /// Its id.
    pub id: String,
    /// Whose rows.
    pub tenant: TenantId,
    /// What it names.
    pub query: String,
    /// First instant of the rows.
    pub start: Timestamp,
    /// Last instant of the rows.
    pub end: Timestamp,
    /// When it was made.
    pub created: Timestamp,
    /// 0: received; 1: begun; 2: processed.
    pub state: u32,
}

/// Parts of one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PartsAsk {
    /// The segment's name.
    pub segment: String,
    /// Length of its object.
    pub object_bytes: u64,
    /// Which parts.
    pub ranges: Vec<Range<u64>>,
}

/// An index gateway, as other processes use it.
pub trait IndexRole: Send + Sync + 'static {
    /// Which segments there are.
    ///
    /// # Errors
    ///
    /// When object storage cannot be listed though it must be.
    fn segments(&self, ask: SegmentsAsk) -> BoxFuture<'_, Result<SegmentsAnswer, Error>>;

    /// The delete requests of all tenants.
    ///
    /// # Errors
    ///
    /// When they are not known yet.
    fn deletes(&self) -> BoxFuture<'_, Result<Vec<Delete>, Error>>;

    /// Parts of a segment, in the order asked.
    ///
    /// # Errors
    ///
    /// When the segment does not exist or cannot be read.
    fn parts(&self, ask: PartsAsk) -> BoxFuture<'_, Result<Vec<Bytes>, Error>>;
}

/// The service, ready to be put behind a listener.
pub type IndexService<R> = index_server::IndexServer<Service<R>>;

/// The path of every method of this service begins so.
pub const PATH: &str = "/sigyn.index.v1.Index/";

/// Answers for a role.
pub struct Service<R>(Arc<R>);

/// A service in front of a role.
#[must_use]
pub fn service<R: IndexRole>(role: Arc<R>) -> IndexService<R> {
    index_server::IndexServer::new(Service(role))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

#[tonic::async_trait]
impl<R: IndexRole> index_server::Index for Service<R> {
    async fn segments(
        &self,
        request: Request<wire::SegmentsAsk>,
    ) -> Result<Response<wire::SegmentsAnswer>, Status> {
        let wire::SegmentsAsk { tenant, start_ns, end_ns, told, list } = request.into_inner();
        let range = TimeRange::new(Timestamp(start_ns), Timestamp(end_ns));
        let told = told.map(decode_told).transpose()?;
        let ask = SegmentsAsk { tenant: decode_tenant(&tenant)?, range, told, list };
        let SegmentsAnswer { live, known } = self.0.segments(ask).await?;
        let (live, known) = (Some(encode_named(&live)), Some(encode_named(&known)));
        Ok(Response::new(wire::SegmentsAnswer { live, known }))
    }

    async fn deletes(
        &self,
        _request: Request<wire::DeletesAsk>,
    ) -> Result<Response<wire::DeletesAnswer>, Status> {
        let requests = self.0.deletes().await?.into_iter().map(|delete| wire::DeleteRequest {
            id: delete.id,
            tenant: delete.tenant.to_string(),
            query: delete.query,
            start_ns: delete.start.0,
            end_ns: delete.end.0,
            created_ns: delete.created.0,
            state: delete.state,
        });
        Ok(Response::new(wire::DeletesAnswer { requests: requests.collect() }))
    }

    async fn parts(
        &self,
        request: Request<wire::PartsAsk>,
    ) -> Result<Response<wire::PartsAnswer>, Status> {
        let wire::PartsAsk { segment, object_bytes, ranges } = request.into_inner();
        let ranges: Vec<Range<u64>> =
            ranges.into_iter().map(|range| range.start..range.end).collect();
        check_ranges(&ranges, object_bytes)?;
        let parts = self.0.parts(PartsAsk { segment, object_bytes, ranges }).await?;
        Ok(Response::new(wire::PartsAnswer { parts }))
    }
}

/// Ranges must lie in the object and fit into one message.
fn check_ranges(ranges: &[Range<u64>], object_bytes: u64) -> Result<(), Error> {
    let is_sound = |range: &Range<u64>| range.start <= range.end && range.end <= object_bytes;
    let total = ranges.iter().map(|range| range.end.saturating_sub(range.start));
    let total = total.fold(0u64, u64::saturating_add);
    if ranges.len() <= RANGES_MAX
        && ranges.iter().all(is_sound)
        && total < (MESSAGE_BYTES_MAX as u64) - (1 << 20)
    {
        return Ok(());
    }
    Err(Error::new(ErrorKind::Invalid, "parts that cannot be sent"))
}

/// An index gateway in another process. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Client {
    peer: Arc<Peer>,
}

impl Client {
    /// The gateway of a process.
    #[must_use]
    pub fn new(peer: Arc<Peer>) -> Self {
        Self { peer }
    }

    fn calls(&self) -> IndexClient<Calls> {
        let most = self.peer.message_bytes_max();
        IndexClient::new(self.peer.calls())
            .max_decoding_message_size(most)
            .max_encoding_message_size(most)
    }

    fn patience(&self) -> Duration {
        PATIENCE.min(self.peer.call_timeout())
    }

    /// Which segments there are.
    ///
    /// # Errors
    ///
    /// [`Error`]: ask another gateway, or object storage.
    pub async fn segments(&self, ask: &SegmentsAsk) -> Result<SegmentsAnswer, Error> {
        let request = wire::SegmentsAsk {
            tenant: ask.tenant.to_string(),
            start_ns: ask.range.start.0,
            end_ns: ask.range.end.0,
            told: ask.told.as_ref().map(encode_told),
            list: ask.list,
        };
        let mut calls = self.calls();
        let answer = self.peer.ask(self.patience(), calls.segments(request)).await?.into_inner();
        let decode = |segments| decode_named(segments).map_err(|e| e.at(self.peer.address()));
        Ok(SegmentsAnswer { live: decode(answer.live)?, known: decode(answer.known)? })
    }

    /// The delete requests of all tenants.
    ///
    /// # Errors
    ///
    /// As [`Client::segments`].
    pub async fn deletes(&self) -> Result<Vec<Delete>, Error> {
        let mut calls = self.calls();
        let answer = self.peer.ask(self.patience(), calls.deletes(wire::DeletesAsk {})).await?;
        let delete = |request: wire::DeleteRequest| {
            Ok(Delete {
                tenant: decode_tenant(&request.tenant)?,
                id: request.id,
                query: request.query,
                start: Timestamp(request.start_ns),
                end: Timestamp(request.end_ns),
                created: Timestamp(request.created_ns),
                state: request.state,
            })
        };
        answer.into_inner().requests.into_iter().map(delete).collect()
    }

    /// Parts of a segment, in the order asked.
    ///
    /// # Errors
    ///
    /// As [`Client::segments`]; [`ErrorKind::NotFound`] when the segment does not exist.
    pub async fn parts(&self, ask: &PartsAsk) -> Result<Vec<Bytes>, Error> {
        let range = |range: &Range<u64>| wire::Range { start: range.start, end: range.end };
        let request = wire::PartsAsk {
            segment: ask.segment.clone(),
            object_bytes: ask.object_bytes,
            ranges: ask.ranges.iter().map(range).collect(),
        };
        let mut calls = self.calls();
        let answer = self.peer.ask(self.patience(), calls.parts(request)).await?;
        let parts = answer.into_inner().parts;
        let lengths = ask.ranges.iter().map(|range| range.end.saturating_sub(range.start));
        if !parts.iter().map(|part| part.len() as u64).eq(lengths) {
            let error = Error::new(ErrorKind::Corrupt, "other parts than those asked for");
            return Err(error.at(self.peer.address()));
        }
        Ok(parts)
    }
}

fn decode_tenant(name: &str) -> Result<TenantId, Error> {
    TenantId::new(name).map_err(|error| Error::new(ErrorKind::Invalid, error.to_string()))
}

fn encode_told(told: &Told) -> wire::Told {
    let holder = |(address, incarnation): &(Arc<str>, u64)| wire::Holder {
        address: address.to_string(),
        incarnation: *incarnation,
    };
    wire::Told {
        asker: told.asker,
        generation: told.generation,
        holders: told.holders.iter().map(holder).collect(),
        stored: Some(encode_named(&told.stored)),
    }
}

fn decode_told(told: wire::Told) -> Result<Told, Error> {
    let holders = told.holders.into_iter();
    Ok(Told {
        asker: told.asker,
        generation: told.generation,
        holders: holders.map(|holder| (holder.address.into(), holder.incarnation)).collect(),
        stored: decode_named(told.stored)?,
    })
}

fn encode_named(segments: &[Named]) -> wire::Segments {
    let mut names = String::with_capacity(segments.iter().map(|(name, _)| name.len() + 1).sum());
    for (name, _) in segments {
        names.push_str(name);
        names.push('\n');
    }
    wire::Segments { names, bytes: segments.iter().map(|(_, bytes)| *bytes).collect() }
}

fn decode_named(segments: Option<wire::Segments>) -> Result<Vec<Named>, Error> {
    let wire::Segments { names, bytes } = segments.unwrap_or_default();
    if names.bytes().filter(|byte| *byte == b'\n').count() != bytes.len() {
        return Err(Error::new(ErrorKind::Corrupt, "names and lengths of segments differ"));
    }
    Ok(names.lines().map(str::to_owned).zip(bytes).collect())
}
