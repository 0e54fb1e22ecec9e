//! The catalog of this process, as queriers of other processes use it.

use std::sync::Arc;

use bytes::Bytes;
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use model::ErrorKind;
use rpc::Error;
use rpc::index::{Delete, IndexRole, Named, PartsAsk, SegmentsAnswer, SegmentsAsk, Told};
use segment::SegmentName;
use store::{DeleteState, Store, StoredSegment};

use crate::app::App;

/// The catalog of this process.
pub struct IndexOf(pub Arc<App>);

impl IndexOf {
    fn store(&self) -> Result<Arc<Store>, Error> {
        let absent = || Error::new(ErrorKind::Unavailable, "the store is not running");
        self.0.parts.store.find().ok_or_else(absent)
    }
}

impl IndexRole for IndexOf {
    fn segments(&self, ask: SegmentsAsk) -> BoxFuture<'_, Result<SegmentsAnswer, Error>> {
        async move {
            let store = self.store()?;
            let told = ask.told.map(decode_told).transpose()?;
            let (range, list) = (ask.range, ask.list);
            let ask = store::SegmentsAsk { tenant: &ask.tenant, range, told: told.as_ref(), list };
            let found = store.answer(ask).await.map_err(failed)?;
            Ok(SegmentsAnswer {
                known: found.known.iter().map(named).collect(),
                live: found.live.iter().map(named).collect(),
            })
        }
        .boxed()
    }

    fn deletes(&self) -> BoxFuture<'_, Result<Vec<Delete>, Error>> {
        async move {
            let deletes = self.store()?.deletes();
            let tenants = deletes.tenants();
            let requests = tenants.iter().flat_map(|tenant| deletes.of(tenant));
            let delete = |request: &Arc<store::DeleteRequest>| Delete {
                id: request.id.clone(),
                tenant: request.tenant.clone(),
                query: request.query.clone(),
                start: request.start,
                end: request.end,
                created: request.created,
                state: match request.state {
                    DeleteState::Received => 0,
                    DeleteState::Begun => 1,
                    DeleteState::Processed => 2,
                },
            };
            Ok(requests.map(delete).collect())
        }
        .boxed()
    }

    fn parts(&self, ask: PartsAsk) -> BoxFuture<'_, Result<Vec<Bytes>, Error>> {
        async move {
            let segment = stored((ask.segment, ask.object_bytes))?;
            self.store()?.read_kept(&segment, &ask.ranges).await.map_err(failed)
        }
        .boxed()
    }
}

fn failed(error: store::Error) -> Error {
    Error::new(error.kind(), error.chain())
}

fn named(segment: &StoredSegment) -> Named {
    (segment.name.to_string(), segment.bytes)
}

fn stored((name, bytes): Named) -> Result<StoredSegment, Error> {
    let name = SegmentName::parse(&name);
    let name = name.map_err(|error| Error::new(ErrorKind::Invalid, error.to_string()))?;
    Ok(StoredSegment { name, bytes })
}

fn decode_told(told: Told) -> Result<store::Told, Error> {
    let Told { asker, generation, holders, stored: names } = told;
    let stored = names.into_iter().map(stored).collect::<Result<_, _>>()?;
    Ok(store::Told { asker, generation, holders, stored })
}
