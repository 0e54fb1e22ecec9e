//! The service in front of an ingester.

use std::sync::Arc;

use api::append::AppendBatch;
use bytes::Bytes;
use futures_util::stream::BoxStream;
use futures_util::{Stream, StreamExt as _};
use model::{ErrorKind, TenantId};
use tonic::{Request, Response, Status, Streaming};

use super::{Giver, IngesterRole, TailNews, snapshot};
use crate::MESSAGE_BYTES_MAX;
use crate::codec;
use crate::error::Error;
use crate::generated::ingester::{
    self as wire, AppendAnswer, AppendRequest, DroppedEntry, FlushAnswer, FlushRequest,
    HeadsAnswer, HeadsAsk, TailAnswer, TailRequest, TransferAnswer, TransferPart,
};

/// The service, ready to be put behind a listener.
pub type IngesterService<R> = wire::ingester_server::IngesterServer<Service<R>>;

/// The path of every method of this service begins so.
pub const PATH: &str = "/sigyn.ingester.v1.Ingester/";

/// Answers for a role.
pub struct Service<R>(Arc<R>);

/// A service in front of a role.
#[must_use]
pub fn service<R: IngesterRole>(role: Arc<R>) -> IngesterService<R> {
    wire::ingester_server::IngesterServer::new(Service(role))
        .max_decoding_message_size(MESSAGE_BYTES_MAX)
        .max_encoding_message_size(MESSAGE_BYTES_MAX)
}

#[tonic::async_trait]
impl<R: IngesterRole> wire::ingester_server::Ingester for Service<R> {
    async fn append(
        &self,
        request: Request<AppendRequest>,
    ) -> Result<Response<AppendAnswer>, Status> {
        let batch = decode_batch(request.into_inner().batch)?;
        let outcome = self.0.append(batch).await?;
        Ok(Response::new(AppendAnswer { outcome: codec::encode_outcome(&outcome) }))
    }

    type HeadsStream = BoxStream<'static, Result<HeadsAnswer, Status>>;

    async fn heads(
        &self,
        request: Request<Streaming<HeadsAsk>>,
    ) -> Result<Response<Self::HeadsStream>, Status> {
        let answers = snapshot::serve(Arc::clone(&self.0), request.into_inner());
        Ok(Response::new(answers))
    }

    type TailStream = BoxStream<'static, Result<TailAnswer, Status>>;

    async fn tail(
        &self,
        request: Request<TailRequest>,
    ) -> Result<Response<Self::TailStream>, Status> {
        let scope = codec::decode_scope(&request.get_ref().scope).map_err(Error::from)?;
        let news = self.0.tail(&scope.tenant, scope.matchers)?;
        Ok(Response::new(news.map(|news| Ok(encode_news(news))).boxed()))
    }

    async fn flush(&self, request: Request<FlushRequest>) -> Result<Response<FlushAnswer>, Status> {
        let name = request.into_inner().tenant;
        let tenant = (!name.is_empty()).then(|| TenantId::new(&name)).transpose();
        let tenant = tenant.map_err(|error| Error::new(ErrorKind::Invalid, error.to_string()))?;
        self.0.flush(tenant).await?;
        Ok(Response::new(FlushAnswer {}))
    }

    async fn transfer(
        &self,
        request: Request<Streaming<TransferPart>>,
    ) -> Result<Response<TransferAnswer>, Status> {
        let mut parts = request.into_inner();
        let broken = || Error::new(ErrorKind::Invalid, "the hand-over ended without a last part");
        let mut part = next(&mut parts).await?.ok_or_else(broken)?;
        let giver = Giver { id: part.from.clone(), tokens: std::mem::take(&mut part.tokens) };
        let taking = self.0.take_over(giver).await?;
        let mut taken = TransferAnswer::default();
        loop {
            if !part.batch.is_empty() {
                let batch = decode_batch(part.batch)?;
                let rows = batch.rows();
                taking.receive(batch).await?;
                taken.batches += 1;
                taken.rows += rows;
            }
            if part.is_last {
                break;
            }
            part = next(&mut parts).await?.ok_or_else(broken)?;
        }
        taking.finish().await?;
        Ok(Response::new(taken))
    }
}

async fn next<T>(
    parts: &mut (impl Stream<Item = Result<T, Status>> + Unpin),
) -> Result<Option<T>, Status> {
    parts.next().await.transpose()
}

fn decode_batch(bytes: Bytes) -> Result<AppendBatch, Error> {
    AppendBatch::decode(bytes).map_err(|error| Error::new(error.kind(), error.to_string()))
}

fn encode_news(news: TailNews) -> TailAnswer {
    let named = news.named.iter().map(|(at, labels)| DroppedEntry {
        timestamp: at.0,
        labels: labels.canonical().to_owned(),
    });
    TailAnswer {
        batch: news.batch.map(|batch| batch.as_bytes().clone()).unwrap_or_default(),
        dropped: news.dropped,
        named: named.collect(),
    }
}
