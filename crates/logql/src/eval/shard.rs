//! One part of the streams of a source.

use crate::source::{
    Batch, Cells, Piece, Selection, Shard, Source, SourceError, StreamRun, StreamSummary, Want,
};
use model::{Matcher, TimeRange};

/// A source that shows the streams of one shard only.
pub struct ShardSource<'a> {
    inner: &'a dyn Source,
    shard: Shard,
}

impl<'a> ShardSource<'a> {
    /// The part of `inner` that `shard` names.
    #[must_use]
    pub fn new(inner: &'a dyn Source, shard: Shard) -> Self {
        Self { inner, shard }
    }

    fn holds(&self, run: &StreamRun) -> bool {
        self.shard.holds(run.fingerprint)
    }
}

impl Source for ShardSource<'_> {
    fn pieces(&self, selection: &Selection) -> Result<Vec<Piece>, SourceError> {
        self.inner.pieces(&Selection { shard: Some(self.shard), ..selection.clone() })
    }

    fn load(&self, piece: &Piece, want: &Want) -> Result<Batch, SourceError> {
        let mut batch = self.inner.load(piece, want)?;
        batch.runs.retain(|run| self.holds(run));
        Ok(batch)
    }

    fn cells(&self, piece: &Piece) -> Result<Option<Cells>, SourceError> {
        let Some(all) = self.inner.cells(piece)? else { return Ok(None) };
        // Where each run stands among those that are kept.
        let mut places = Vec::with_capacity(all.runs.len());
        let mut runs = Vec::new();
        for run in all.runs {
            places.push(self.holds(&run).then_some(runs.len() as u32));
            if self.holds(&run) {
                runs.push(run);
            }
        }
        let place = |run: u32| places.get(run as usize).copied().flatten();
        let mut cells = all.cells;
        cells.retain_mut(|cell| match place(cell.run) {
            Some(at) => {
                cell.run = at;
                true
            }
            None => false,
        });
        Ok(Some(Cells { runs, cells }))
    }

    fn streams(
        &self,
        matchers: &[Matcher],
        range: TimeRange,
    ) -> Result<Vec<StreamSummary>, SourceError> {
        let mut streams = self.inner.streams(matchers, range)?;
        streams.retain(|stream| self.shard.holds(stream.labels.fingerprint()));
        Ok(streams)
    }

    fn warnings(&self) -> Vec<String> {
        self.inner.warnings()
    }
}
