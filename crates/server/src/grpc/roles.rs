//! The roles of this process, as other processes use them.

use std::collections::hash_map::RandomState;
use std::hash::BuildHasher as _;
use std::sync::{Arc, OnceLock};
use std::time::Duration;

use api::append::{AppendBatch, AppendOutcome, BatchBuilder};
use futures_util::future::BoxFuture;
use futures_util::stream::{self, BoxStream};
use futures_util::{FutureExt as _, StreamExt as _};
use ingester::{Ingester, TailEntries, TailReceiver};
use model::{ErrorKind, Matcher, TenantId, TimeRange};
use rpc::Error;
use rpc::health::HealthRole;
use rpc::ingester::{Giver, Heads, HeadsView, IngesterRole, TailNews, TakeOver};
use rpc::scheduler::{FromFrontend, FromWorker, SchedulerRole, ToFrontend, ToWorker};

use crate::app::{App, Readiness};
use crate::local::LocalHeads;
use crate::ring::hand_over::Taking;

/// How long a caller waits for an ingester that starts or stops.
const ABSENT_WAIT: Duration = Duration::from_secs(1);

/// The ingester of this process.
pub struct IngesterOf(pub Arc<App>);

impl IngesterOf {
    fn find(&self) -> Result<Arc<Ingester>, Error> {
        let absent = || {
            Error::new(ErrorKind::Unavailable, "the ingester is not running")
                .retry_after(Some(ABSENT_WAIT))
        };
        self.0.parts.ingester.find().ok_or_else(absent)
    }
}

fn told(error: &ingester::Error) -> Error {
    Error::new(error.kind(), error.to_string()).retry_after(error.retry_after())
}

/// Differs between two runs of the program.
fn incarnation() -> u64 {
    static OWN: OnceLock<u64> = OnceLock::new();
    *OWN.get_or_init(|| RandomState::new().hash_one(std::process::id()))
}

impl IngesterRole for IngesterOf {
    fn append(&self, batch: AppendBatch) -> BoxFuture<'_, Result<AppendOutcome, Error>> {
        async move { self.find()?.append(batch).await.map_err(|error| told(&error)) }.boxed()
    }

    fn heads(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Heads, Error> {
        let ingester = self.find()?;
        // The order matters: rows that leave memory between the two are in both.
        let view = Arc::new(LocalHeads(ingester.snapshot(tenant, matchers, range)));
        let stored = ingester.stored_lately(tenant);
        let stored = stored.iter().map(|segment| (segment.name.to_string(), segment.bytes));
        let stored = stored.collect();
        Ok(Heads { view, incarnation: incarnation(), stored })
    }

    fn tail(
        &self,
        tenant: &TenantId,
        matchers: Vec<Matcher>,
    ) -> Result<BoxStream<'static, TailNews>, Error> {
        let receiver = self.find()?.subscribe(tenant, matchers);
        let tenant = tenant.clone();
        let news = stream::unfold(receiver, move |mut receiver| {
            let tenant = tenant.clone();
            async move {
                let entries = receiver.next().await?;
                Some((news(&tenant, &entries, &receiver), receiver))
            }
        });
        // Otherwise the listener would wait for it when the process stops. Until it drains, entries
        // may still arrive.
        let drain = self.0.drain.clone();
        Ok(news.take_until(async move { drain.requested().await }).boxed())
    }

    fn flush(&self, tenant: Option<TenantId>) -> BoxFuture<'_, Result<(), Error>> {
        async move {
            let flushed = self.find()?.flush(tenant.as_ref()).await;
            flushed.map_err(|error| told(&error))
        }
        .boxed()
    }

    fn take_over(&self, giver: Giver) -> BoxFuture<'_, Result<Box<dyn TakeOver>, Error>> {
        async move {
            let ingester = self.find()?;
            let rings = self.0.parts.rings.find();
            let life = rings.as_ref().and_then(|rings| rings.ingester());
            let life = life
                .ok_or_else(|| Error::new(ErrorKind::Unavailable, "this ingester is in no ring"))?;
            let taking = Taking::begin(ingester, life, giver).await?;
            Ok(Box::new(taking) as Box<dyn TakeOver>)
        }
        .boxed()
    }
}

/// Entries as they travel.
fn news(tenant: &TenantId, entries: &TailEntries, receiver: &TailReceiver) -> TailNews {
    let mut builder = BatchBuilder::new(tenant);
    builder.begin_stream(&entries.labels);
    let mut dropped = receiver.take_dropped();
    for entry in entries.iter() {
        if builder.push_row(entry.timestamp, entry.line, entry.level, &entry.metadata).is_err() {
            dropped.entries += 1;
            dropped.named.push((entry.timestamp, entries.labels.clone()));
        }
    }
    let batch = (builder.rows() > 0).then(|| builder.finish());
    TailNews { batch, dropped: dropped.entries, named: dropped.named }
}

impl HeadsView for LocalHeads {
    fn flushed_as(&self, origin: u64) -> Vec<String> {
        self.0.flushed_as(origin).iter().map(ToString::to_string).collect()
    }
}

/// What answers frontends and queriers in the module `query-scheduler`.
pub struct Scheduler(pub Arc<dyn SchedulerRole>);

/// The scheduler of this process. Before it runs, and without it, streams end at once.
pub struct SchedulerOf(pub Arc<App>);

impl SchedulerRole for SchedulerOf {
    fn frontend(&self, said: BoxStream<'static, FromFrontend>) -> BoxStream<'static, ToFrontend> {
        match self.0.parts.scheduler.find() {
            Some(scheduler) => scheduler.0.frontend(said),
            None => stream::empty().boxed(),
        }
    }

    fn worker(&self, said: BoxStream<'static, FromWorker>) -> BoxStream<'static, ToWorker> {
        match self.0.parts.scheduler.find() {
            Some(scheduler) => scheduler.0.worker(said),
            None => stream::empty().boxed(),
        }
    }
}

/// Whether this process wants requests.
pub struct ProcessHealth(pub Arc<App>);

impl HealthRole for ProcessHealth {
    fn is_ready(&self, service: &str) -> Option<bool> {
        let is_ready = self.0.readiness() == Readiness::Ready;
        match service {
            "" => Some(is_ready),
            "sigyn.index.v1.Index" if self.0.routes().serves("index-gateway") => Some(is_ready),
            "sigyn.ingester.v1.Ingester" if self.0.routes().serves("ingester") => Some(is_ready),
            _ => None,
        }
    }
}
