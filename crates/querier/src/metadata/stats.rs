//! How much is stored of some streams.

use std::sync::Arc;

use hashbrown::HashSet;
use model::TenantId;
use store::StreamKey;

use crate::admit;
use crate::error::Error;
use crate::metadata::Scope;
use crate::metrics::Operation;
use crate::querier::{Querier, inclusive};
use crate::source::LabelPairs;
use crate::source::tally::{Spans, TallySink, tally};
use crate::source::tenants::matchers_for;

/// How much is stored; approximate where the time cuts through streams.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub struct IndexStats {
    /// Streams.
    pub streams: u64,
    /// Pairs of a stream and a segment or head that holds rows of it.
    pub chunks: u64,
    /// Bytes of lines and structured metadata.
    pub bytes: u64,
    /// Entries.
    pub entries: u64,
}

impl Querier {
    /// How much is stored of the matching streams.
    ///
    /// # Errors
    ///
    /// [`Error`] when the selector or the time is refused, or counts cannot be read.
    pub async fn index_stats(
        self: &Arc<Self>,
        tenants: &[TenantId],
        scope: &Scope,
    ) -> Result<IndexStats, Error> {
        let tenants = self.readable(tenants)?;
        let limits = self.limits_of(&tenants);
        let matchers = scope.matchers()?;
        scope.check(&limits)?;
        let now = self.clock.now();
        let Some(start) = admit::look_back(scope.start, scope.end, now, &limits) else {
            return Ok(IndexStats::default());
        };
        let spans = Spans::one(inclusive(start, scope.end));
        self.run_measured(Operation::stats, &tenants, &limits, move |rows, _| {
            let mut total = IndexStats::default();
            for source in &rows.tenants {
                let own = if rows.are_of_several() {
                    matchers_for(&matchers, source.tenant())
                } else {
                    Some(matchers.clone())
                };
                let Some(own) = own else { continue };
                let mut sum = Sum::default();
                tally(source, &own, &spans, &mut sum)?;
                total = total.plus(&sum.stats());
            }
            Ok(total)
        })
        .await
    }
}

impl IndexStats {
    fn plus(self, other: &Self) -> Self {
        Self {
            streams: self.streams + other.streams,
            chunks: self.chunks + other.chunks,
            bytes: self.bytes + other.bytes,
            entries: self.entries + other.entries,
        }
    }
}

/// Adds everything up.
#[derive(Default)]
struct Sum {
    streams: HashSet<StreamKey>,
    /// Of the parts of streams: key, and whether rows of it were counted.
    parts: Vec<(StreamKey, bool)>,
    rows: f64,
    bytes: f64,
}

impl TallySink for Sum {
    fn stream(&mut self, key: StreamKey, _pairs: LabelPairs<'_, '_>) -> usize {
        self.parts.push((key, false));
        self.parts.len() - 1
    }

    fn count(&mut self, stream: usize, _span: usize, rows: f64, bytes: f64) {
        let (key, counted) = &mut self.parts[stream];
        if !*counted {
            *counted = true;
            self.streams.insert(*key);
        }
        self.rows += rows;
        self.bytes += bytes;
    }
}

impl Sum {
    fn stats(&self) -> IndexStats {
        IndexStats {
            streams: self.streams.len() as u64,
            chunks: self.parts.iter().filter(|(_, counted)| *counted).count() as u64,
            bytes: self.bytes.round() as u64,
            entries: self.rows.round() as u64,
        }
    }
}
