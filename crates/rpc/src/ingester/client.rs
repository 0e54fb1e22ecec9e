//! An ingester in another process.

use std::sync::Arc;

use api::append::{AppendBatch, AppendOutcome};
use futures_util::StreamExt as _;
use futures_util::stream::BoxStream;
use model::{Labels, Matcher, TenantId, TimeRange, Timestamp};
use tonic::Request;
use tonic::metadata::MetadataValue;

use super::TailNews;
use super::heads::RemoteHeads;
use crate::TENANT_METADATA;
use crate::codec::{self, Scope};
use crate::error::Error;
use crate::generated::ingester::ingester_client::IngesterClient;
use crate::generated::ingester::{AppendRequest, FlushRequest, TailAnswer, TailRequest};
use crate::pool::{Calls, Peer};

/// An ingester in another process. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct Client {
    peer: Arc<Peer>,
}

impl Client {
    /// The ingester of a process.
    #[must_use]
    pub fn new(peer: Arc<Peer>) -> Self {
        Self { peer }
    }

    /// The process.
    #[must_use]
    pub fn peer(&self) -> &Arc<Peer> {
        &self.peer
    }

    pub(super) fn calls(&self) -> IngesterClient<Calls> {
        let most = self.peer.message_bytes_max();
        IngesterClient::new(self.peer.calls())
            .max_decoding_message_size(most)
            .max_encoding_message_size(most)
    }

    /// Keeps a batch durably.
    ///
    /// # Errors
    ///
    /// [`Error`]: nothing is promised about the batch; sending it again is safe.
    ///
    /// # Cancel safety
    ///
    /// A dropped future may leave the entries stored and unacknowledged.
    pub async fn append(&self, batch: &AppendBatch) -> Result<AppendOutcome, Error> {
        let request = AppendRequest { batch: batch.as_bytes().clone() };
        let request = of_tenant(request, batch.tenant());
        let mut calls = self.calls();
        let answer = self.peer.ask(self.peer.call_timeout(), calls.append(request)).await?;
        let outcome = codec::decode_outcome(&answer.get_ref().outcome);
        outcome.map_err(|error| Error::from(error).at(self.peer.address()))
    }

    /// What is in memory now. The snapshot lives until the answer is dropped.
    ///
    /// # Errors
    ///
    /// [`Error`]: the rows of this ingester are not known.
    pub async fn heads(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<RemoteHeads, Error> {
        let scope = Scope { tenant: tenant.clone(), matchers: matchers.to_vec(), range };
        RemoteHeads::open(Arc::clone(&self.peer), self.calls(), &scope).await
    }

    /// Entries of streams that match, from now on. Ends with an error when the connection breaks.
    ///
    /// # Errors
    ///
    /// [`Error`] when the tail cannot begin.
    pub async fn tail(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
    ) -> Result<BoxStream<'static, Result<TailNews, Error>>, Error> {
        let (tenant, matchers) = (tenant.clone(), matchers.to_vec());
        let scope = Scope { tenant, matchers, range: TimeRange::ALL };
        let request = TailRequest { scope: codec::encode_scope(&scope) };
        let request = of_tenant(request, &scope.tenant);
        let mut calls = self.calls();
        let answer = self.peer.ask(self.peer.call_timeout(), calls.tail(request)).await?;
        let peer = Arc::clone(&self.peer);
        let news = answer.into_inner().map(move |answer| {
            let news = answer.map_err(Error::from).and_then(decode_news);
            news.map_err(|error| error.at(peer.address()))
        });
        Ok(news.boxed())
    }

    /// Stores the heads of one tenant, or of all, and waits for it.
    ///
    /// # Errors
    ///
    /// [`Error`] when an attempt failed; the rows stay where they are.
    pub async fn flush(&self, tenant: Option<&TenantId>) -> Result<(), Error> {
        let name = tenant.map(|tenant| tenant.as_str().to_owned()).unwrap_or_default();
        let mut calls = self.calls();
        let request = FlushRequest { tenant: name };
        // A flush uploads everything; it takes as long as the storage does.
        let patience = self.peer.call_timeout().saturating_mul(30);
        self.peer.ask(patience, calls.flush(request)).await?;
        Ok(())
    }
}

/// A request that names its tenant, for whoever looks at the metadata alone.
fn of_tenant<T>(message: T, tenant: &TenantId) -> Request<T> {
    let mut request = Request::new(message);
    if let Ok(value) = MetadataValue::try_from(tenant.as_str()) {
        request.metadata_mut().insert(TENANT_METADATA, value);
    }
    request
}

fn decode_news(answer: TailAnswer) -> Result<TailNews, Error> {
    let TailAnswer { batch, dropped, named } = answer;
    let batch = (!batch.is_empty()).then(|| AppendBatch::decode(batch)).transpose();
    let batch = batch.map_err(|error| Error::new(error.kind(), error.to_string()))?;
    let named = named.into_iter().map(|entry| {
        let labels = Labels::parse(&entry.labels);
        let labels = labels.map_err(|_| codec::DecodeError { what: "labels" })?;
        Ok((Timestamp(entry.timestamp), labels))
    });
    let named = named.collect::<Result<Vec<_>, codec::DecodeError>>()?;
    Ok(TailNews { batch, dropped, named })
}
