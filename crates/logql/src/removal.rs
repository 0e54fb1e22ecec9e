//! What a delete request removes: the rows that a log query finds in a span of time.
//!
//! The querier hides such rows while a request is in force, the compactor leaves them out of what
//! it writes. Both ask here, so that they agree on every row.

use std::ops::Range;

use model::{Labels, Matcher, TimeRange, Timestamp, matcher::all_match};

use crate::pipeline::{Hints, Metadata, Pipeline, PipelineError, RowView, Scratch};
use crate::source::Batch;
use crate::syntax::ast::{Expr, Stage};
use crate::syntax::{ParseError, parse};

/// Why a query cannot say what to remove.
#[derive(Debug, Clone, PartialEq, thiserror::Error)]
pub enum RemovalError {
    /// It does not parse.
    #[error(transparent)]
    Parse(#[from] ParseError),
    /// A stage does not compile.
    #[error(transparent)]
    Pipeline(#[from] PipelineError),
    /// It is a metric query.
    #[error("only log queries say what to remove")]
    Metric,
}

/// Rows to be removed.
#[derive(Debug)]
pub struct Removal {
    matchers: Vec<Matcher>,
    range: TimeRange,
    /// `None` when every row of the streams is meant.
    pipeline: Option<Pipeline>,
    /// Whether the first sweep says it all.
    is_swept: bool,
}

/// State for one thread.
#[derive(Debug)]
pub struct RemovalScratch {
    pipeline: Option<Scratch>,
    swept: Vec<u32>,
}

impl Removal {
    /// What a log query finds in a span of time.
    ///
    /// # Errors
    ///
    /// [`RemovalError`] when the text is no log query.
    pub fn parse(query: &str, range: TimeRange) -> Result<Self, RemovalError> {
        let Expr::Log(log) = parse(query)? else { return Err(RemovalError::Metric) };
        let is_swept = log.stages.iter().all(|stage| matches!(stage, Stage::LineFilter(_)));
        let pipeline = if log.stages.is_empty() {
            None
        } else {
            Some(Pipeline::build(&log.stages, None, Hints::log())?)
        };
        Ok(Self { matchers: log.selector, range, pipeline, is_swept })
    }

    /// The instants of the rows.
    #[must_use]
    pub fn range(&self) -> TimeRange {
        self.range
    }

    /// All must match a stream's labels.
    #[must_use]
    pub fn matchers(&self) -> &[Matcher] {
        &self.matchers
    }

    /// Whether rows of a stream may be meant.
    #[must_use]
    pub fn matches(&self, labels: &Labels) -> bool {
        all_match(&self.matchers, labels)
    }

    /// Whether lines and metadata decide which rows of the streams are meant.
    #[must_use]
    pub fn has_stages(&self) -> bool {
        self.pipeline.is_some()
    }

    /// State for one thread.
    #[must_use]
    pub fn scratch(&self) -> RemovalScratch {
        let pipeline = self.pipeline.as_ref().map(Pipeline::scratch);
        RemovalScratch { pipeline, swept: Vec::new() }
    }

    /// Whether one row of a stream is meant.
    pub fn means(&self, labels: &Labels, row: RowView<'_>, scratch: &mut RemovalScratch) -> bool {
        if !self.range.contains(row.timestamp) || !self.matches(labels) {
            return false;
        }
        let (Some(pipeline), Some(own)) = (&self.pipeline, &mut scratch.pipeline) else {
            return true;
        };
        pipeline.admits(row.line, own) && pipeline.process(labels, row, own).is_some()
    }

    /// Pushes those of a stream's consecutive rows that are meant, ascending. The stream must
    /// match, and with stages the batch must hold lines and all metadata.
    pub fn find(
        &self,
        batch: &Batch,
        (labels, rows): (&Labels, Range<usize>),
        scratch: &mut RemovalScratch,
        found: &mut Vec<u32>,
    ) {
        let times = batch.timestamps.get(rows.clone()).unwrap_or_default();
        let start = times.partition_point(|at| *at < self.range.start.0);
        let end = times.partition_point(|at| *at < self.range.end.0).max(start);
        let rows = rows.start + start..rows.start + end;
        let (Some(pipeline), Some(own)) = (&self.pipeline, &mut scratch.pipeline) else {
            found.extend(rows.map(|row| row as u32));
            return;
        };
        if self.is_swept {
            pipeline.sweep(batch, rows, own, found);
            return;
        }
        scratch.swept.clear();
        pipeline.sweep(batch, rows, own, &mut scratch.swept);
        for row in &scratch.swept {
            let at = *row as usize;
            let view = RowView {
                timestamp: Timestamp(batch.timestamps[at]),
                line: batch.lines.row(at),
                columns: None,
                metadata: Metadata::Columns(&batch.metadata, at),
            };
            if pipeline.process(labels, view, own).is_some() {
                found.push(*row);
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use model::columns::{Lines, TextColumn};

    use super::*;

    fn batch() -> Batch {
        let mut lines = Lines::default();
        for line in ["a x", "b", "{\"user\":\"7\"} x", "c x"] {
            lines.push(line.as_bytes());
        }
        let values = ["p", "q"].into_iter().collect();
        let trace = TextColumn::from_parts("trace", vec![0, 1, 0, 2], values);
        Batch {
            timestamps: vec![1, 2, 3, 4],
            lines,
            metadata: vec![trace.unwrap()],
            ..Batch::default()
        }
    }

    fn found(query: &str, start: i64, end: i64) -> Vec<u32> {
        let range = TimeRange::new(Timestamp(start), Timestamp(end));
        let removal = Removal::parse(query, range).unwrap();
        let labels = Labels::new([("app", "web")]);
        let mut found = Vec::new();
        let (batch, mut scratch) = (batch(), removal.scratch());
        if removal.matches(&labels) {
            removal.find(&batch, (&labels, 0..4), &mut scratch, &mut found);
        }
        let one_by_one = (0..4u32).filter(|row| {
            let at = *row as usize;
            let view = RowView {
                timestamp: Timestamp(batch.timestamps[at]),
                line: batch.lines.row(at),
                metadata: Metadata::Columns(&batch.metadata, at),
                columns: None,
            };
            removal.means(&labels, view, &mut scratch)
        });
        assert_eq!(one_by_one.collect::<Vec<_>>(), found, "one by one as together");
        found
    }

    #[test]
    fn rows_are_found_by_stream_time_and_stages() {
        assert_eq!(found("{app=\"web\"}", 0, 9), [0, 1, 2, 3]);
        assert_eq!(found("{app=\"web\"}", 2, 4), [1, 2]);
        assert_eq!(found("{app=\"db\"}", 0, 9), [0u32; 0]);
        assert_eq!(found("{app=\"web\"} |= \"x\"", 2, 9), [2, 3]);
        assert_eq!(found("{app=\"web\"} != \"x\"", 0, 9), [1]);
        assert_eq!(found("{app=\"web\"} | json | user=\"7\"", 0, 9), [2]);
        assert_eq!(found("{app=\"web\"} |= \"x\" | trace=\"q\"", 0, 9), [3]);
        assert_eq!(found("{app=\"web\"}", 9, 2), [0u32; 0]);
    }

    #[test]
    fn only_log_queries_say_what_to_remove() {
        let refused = |query: &str| Removal::parse(query, TimeRange::ALL).is_err();
        assert!(
            refused("rate({app=\"web\"}[1m])")
                && refused("{}")
                && refused("{app=\"web\"} |~ \"(\"")
        );
    }
}
