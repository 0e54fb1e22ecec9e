//! The roles of one process, plugged into one another.
//!
//! The distributor and the querier each define the little they need of an ingester; here is the
//! ingester of the same process as that.

mod executor;

use std::sync::Arc;
use std::time::Duration;

use api::append::{AppendBatch, AppendOutcome};
use compactor::Flush;
use distributor::{AppendError, Appender};
use futures_util::FutureExt as _;
use futures_util::future::BoxFuture;
use ingester::{HeadSnapshot, Ingester};
use logql::source::{Batch, Cells, Piece, Selection, Source, SourceError, StreamSummary, Want};
use model::{ErrorKind, Matcher, TenantId, TimeRange};
use querier::{NothingRecent, Recent, RecentSource};
use segment::SegmentName;

use crate::app::App;
pub use executor::{LocalExecutor, enter, task_error};

/// How long a client waits for an ingester that starts or stops.
const ABSENT_WAIT: Duration = Duration::from_secs(1);

/// Appends to the ingester of this process.
pub struct LocalAppender {
    app: Arc<App>,
}

impl LocalAppender {
    /// The ingester need not run yet; until then batches are refused as not now.
    #[must_use]
    pub fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

impl Appender for LocalAppender {
    fn append(&self, batch: AppendBatch) -> BoxFuture<'_, Result<AppendOutcome, AppendError>> {
        async move {
            let ingester = self.app.parts.ingester.find().ok_or_else(|| {
                let message = "the ingester is not running".to_owned();
                AppendError::Unavailable { message, retry_after: ABSENT_WAIT }
            })?;
            append(&ingester, batch).await
        }
        .boxed()
    }
}

async fn append(ingester: &Ingester, batch: AppendBatch) -> Result<AppendOutcome, AppendError> {
    ingester.append(batch).await.map_err(|error| {
        let message = error.to_string();
        match error.kind() {
            ErrorKind::Unavailable => AppendError::Unavailable {
                message,
                retry_after: error.retry_after().unwrap_or(ABSENT_WAIT),
            },
            _ => AppendError::Internal(message),
        }
    })
}

/// Flushes the ingester of this process.
pub struct LocalFlush {
    app: Arc<App>,
}

impl LocalFlush {
    /// Where there is no ingester there is nothing to flush.
    #[must_use]
    pub fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

impl Flush for LocalFlush {
    fn flush<'a>(&'a self, tenant: &'a TenantId) -> BoxFuture<'a, Result<(), String>> {
        async move {
            match self.app.parts.ingester.find() {
                Some(ingester) => {
                    ingester.flush(Some(tenant)).await.map_err(|error| error.to_string())
                }
                None => Ok(()),
            }
        }
        .boxed()
    }
}

/// The recent rows of the ingester of this process.
pub struct LocalRecent {
    app: Arc<App>,
}

impl LocalRecent {
    /// Where there is no ingester there are no recent rows.
    #[must_use]
    pub fn new(app: Arc<App>) -> Self {
        Self { app }
    }
}

impl Recent for LocalRecent {
    fn snapshot(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Arc<dyn RecentSource> {
        match self.app.parts.ingester.find() {
            Some(ingester) => Arc::new(LocalHeads(ingester.snapshot(tenant, matchers, range))),
            None => Arc::new(NothingRecent),
        }
    }
}

/// Heads of this process, as queriers know them, here and in other processes.
pub(crate) struct LocalHeads(pub(crate) HeadSnapshot);

impl RecentSource for LocalHeads {
    fn flushed_as(&self, origin: u64) -> Vec<SegmentName> {
        self.0.flushed_as(origin)
    }
}

impl Source for LocalHeads {
    fn pieces(&self, selection: &Selection) -> Result<Vec<Piece>, SourceError> {
        self.0.pieces(selection)
    }

    fn load(&self, piece: &Piece, want: &Want) -> Result<Batch, SourceError> {
        self.0.load(piece, want)
    }

    fn cells(&self, piece: &Piece) -> Result<Option<Cells>, SourceError> {
        self.0.cells(piece)
    }

    fn streams(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<StreamSummary>, SourceError> {
        self.0.streams(matchers, range)
    }

    fn warnings(&self) -> Vec<String> {
        self.0.warnings()
    }
}
