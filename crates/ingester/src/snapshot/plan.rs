//! Cutting the rows of a head into pieces of about a megabyte.
//!
//! A query for the newest lines should not have to load every piece, so pieces are slices of time
//! as long as that leaves streams in one stretch each; within a slice, streams follow each other.

use std::ops::Range;
use std::sync::Arc;

use model::{TimeRange, Timestamp};

use super::Overlaps;
use crate::head::RunView;
use crate::list::AppendList;
use crate::row::{Row, Slabs};
use crate::tenant::HeadShown;

/// Line bytes after which a piece is closed.
const PIECE_BYTES: u64 = 1 << 20;
/// Rows after which a piece is closed.
const PIECE_ROWS: u64 = 1 << 16;
/// A slice of time holds at least this many rows of a stream, on average.
const ROWS_OF_SLICE: usize = 64;
/// Rows that are looked at to find where slices begin.
const SAMPLES: usize = 4096;

/// A piece: which rows of which streams.
#[derive(Debug)]
pub(super) struct Planned {
    pub(super) slabs: Slabs,
    pub(super) parts: Vec<PlannedPart>,
    pub(super) rows: u64,
    pub(super) bytes: u64,
    pub(super) first: i64,
    pub(super) last: i64,
}

/// Consecutive rows of one stream.
#[derive(Debug)]
pub(super) struct PlannedPart {
    pub(super) run: Arc<RunView>,
    pub(super) rows: Range<usize>,
    pub(super) copies: Option<TimeRange>,
}

/// Rows and line bytes of a stream in a range.
pub(super) fn count(head: &HeadShown, run: &RunView, range: TimeRange) -> (u64, u64) {
    let rows = run.rows(&head.slabs);
    let within = within(rows, range);
    let bytes = rows.range(within.start, within.end).map(|row| u64::from(row.line_len())).sum();
    (within.len() as u64, bytes)
}

/// Cuts the rows of some streams that lie in a range.
pub(super) fn plan_head(
    head: &HeadShown,
    runs: &[&Arc<RunView>],
    range: TimeRange,
    overlaps: &Overlaps,
) -> Vec<Planned> {
    let selected: Vec<(&Arc<RunView>, Range<usize>)> = runs
        .iter()
        .map(|run| (*run, within(run.rows(&head.slabs), range)))
        .filter(|(_, rows)| !rows.is_empty())
        .collect();
    let cuts = cuts(head, &selected);
    let mut pieces = Vec::new();
    let mut starts: Vec<usize> = selected.iter().map(|(_, rows)| rows.start).collect();
    for slice in 0..=cuts.len() {
        let mut open = Open { head, pieces: &mut pieces, current: None };
        for ((run, rows), start) in selected.iter().zip(&mut starts) {
            let list = run.rows(&head.slabs);
            let end = match cuts.get(slice) {
                Some(cut) => list.partition_point(|row| row.timestamp < *cut).min(rows.end),
                None => rows.end,
            };
            if *start < end {
                open.add(run, list, *start..end, overlaps.of(run));
                *start = end;
            }
        }
        open.close();
    }
    pieces
}

/// The rows that lie in a range.
fn within(rows: &AppendList<Row>, range: TimeRange) -> Range<usize> {
    let start = rows.partition_point(|row| Timestamp(row.timestamp) < range.start);
    let end = rows.partition_point(|row| Timestamp(row.timestamp) < range.end);
    start..end.max(start)
}

/// The times at which slices after the first begin.
fn cuts(head: &HeadShown, selected: &[(&Arc<RunView>, Range<usize>)]) -> Vec<i64> {
    let rows: usize = selected.iter().map(|(_, rows)| rows.len()).sum();
    let mut bytes = 0;
    let mut sample = Vec::with_capacity(SAMPLES + selected.len());
    let step = (rows / SAMPLES).max(1);
    let mut until_next = 0;
    for (run, range) in selected {
        for row in run.rows(&head.slabs).range(range.start, range.end) {
            bytes += u64::from(row.line_len());
            if until_next == 0 {
                sample.push(row.timestamp);
                until_next = step;
            }
            until_next -= 1;
        }
    }
    let by_size = bytes.div_ceil(PIECE_BYTES).max((rows as u64).div_ceil(PIECE_ROWS));
    let slices = (by_size as usize).min(rows / (ROWS_OF_SLICE * selected.len().max(1)));
    sample.sort_unstable();
    let mut cuts: Vec<i64> =
        (1..slices).map(|slice| sample[slice * sample.len() / slices]).collect();
    cuts.dedup();
    cuts
}

/// The piece that is being filled.
struct Open<'a> {
    head: &'a HeadShown,
    pieces: &'a mut Vec<Planned>,
    current: Option<Planned>,
}

impl Open<'_> {
    fn add(
        &mut self,
        run: &Arc<RunView>,
        list: &AppendList<Row>,
        rows: Range<usize>,
        copies: Option<TimeRange>,
    ) {
        let mut start = rows.start;
        for (index, row) in (rows.start..).zip(list.range(rows.start, rows.end)) {
            let current = self.current.get_or_insert_with(|| Planned::new(&self.head.slabs));
            current.rows += 1;
            current.bytes += u64::from(row.line_len());
            current.first = current.first.min(row.timestamp);
            current.last = current.last.max(row.timestamp);
            if current.bytes >= PIECE_BYTES || current.rows >= PIECE_ROWS {
                let rows = start..index + 1;
                current.parts.push(PlannedPart { run: Arc::clone(run), rows, copies });
                start = index + 1;
                self.close();
            }
        }
        if let Some(current) = self.current.as_mut().filter(|_| start < rows.end) {
            let rows = start..rows.end;
            current.parts.push(PlannedPart { run: Arc::clone(run), rows, copies });
        }
    }

    fn close(&mut self) {
        self.pieces.extend(self.current.take());
    }
}

impl Planned {
    fn new(slabs: &Slabs) -> Self {
        let slabs = slabs.clone();
        Self { slabs, parts: Vec::new(), rows: 0, bytes: 0, first: i64::MAX, last: i64::MIN }
    }
}
