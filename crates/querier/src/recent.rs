//! The seam to the rows that are not in segments yet.
//!
//! The server plugs in the ingester of this process, or clients of ingesters elsewhere.

use std::sync::Arc;

use logql::source::Source;
use model::{Matcher, TenantId, TimeRange};
use segment::SegmentName;
use store::Told;

/// Whoever holds the recent rows of tenants.
pub trait Recent: Send + Sync {
    /// The rows of matching streams as they are now. What arrives later is not part of it, and
    /// what is flushed later stays readable.
    ///
    /// The querier takes this snapshot before it looks at the catalog, so that a row that moves
    /// from a head to a segment meanwhile is seen at least once.
    fn snapshot(
        &self,
        tenant: &TenantId,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Arc<dyn RecentSource>;
}

/// Recent rows at one moment.
pub trait RecentSource: Source + Send {
    /// The segments that hold, or are about to hold, the rows of an origin; empty while it is not
    /// being flushed. They may hold other rows, too: those that a replica stored for this one. Once
    /// all of them are in the catalog, the querier reads them in the origin's place.
    fn flushed_as(&self, origin: u64) -> Vec<SegmentName>;

    /// Who holds an origin. Heads of one holder tell their own copies; heads of different holders,
    /// which are ingesters that keep the same streams, do not know of each other, so any of their
    /// rows may be copies.
    fn holder(&self, _origin: u64) -> u64 {
        0
    }

    /// What holders told that the catalog must hold before it is used, when it is kept elsewhere.
    fn told(&self) -> Option<&Told> {
        None
    }

    /// Whether there are several holders. Then a row may be held by more than one of them, or by one
    /// while another has stored it already.
    fn is_shared(&self) -> bool {
        false
    }
}

/// No recent rows: for queriers that only read segments, and for tests.
#[derive(Debug, Clone, Copy, Default)]
pub struct NothingRecent;

impl Recent for NothingRecent {
    fn snapshot(
        &self,
        _tenant: &TenantId,
        _matchers: &[Matcher],
        _range: TimeRange,
    ) -> Arc<dyn RecentSource> {
        Arc::new(Self)
    }
}

impl RecentSource for NothingRecent {
    fn flushed_as(&self, _origin: u64) -> Vec<SegmentName> {
        Vec::new()
    }
}

impl Source for NothingRecent {
    fn pieces(
        &self,
        _selection: &logql::source::Selection,
    ) -> Result<Vec<logql::source::Piece>, logql::source::SourceError> {
        Ok(Vec::new())
    }

    fn load(
        &self,
        _piece: &logql::source::Piece,
        _want: &logql::source::Want,
    ) -> Result<logql::source::Batch, logql::source::SourceError> {
        Ok(logql::source::Batch::default())
    }

    fn streams(
        &self,
        _matchers: &[Matcher],
        _range: TimeRange,
    ) -> Result<Vec<logql::source::StreamSummary>, logql::source::SourceError> {
        Ok(Vec::new())
    }
}
