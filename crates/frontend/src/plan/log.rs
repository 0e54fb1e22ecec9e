//! Log queries: pieces of time, each of which may be cut by stream.

use logql::request::{QueryPart, QueryRequest, QueryTime};
use logql::syntax::ast::LogExpr;
use model::{Direction, TimeRange};

use super::{LogPlan, Piece, Splits, time};

pub(super) fn plan(
    expr: &LogExpr,
    query: &QueryRequest,
    range: TimeRange,
    splits: Splits,
) -> Option<LogPlan> {
    let QueryTime::Range { step_ns, .. } = query.time else { return None };
    // Without multiples to begin anew at, leaving out near entries goes on from piece to piece.
    if range.is_empty() || query.limit == 0 || (query.interval_ns > 0 && splits.interval_ns <= 0) {
        return None;
    }
    let span = range.end.0.saturating_sub(range.start.0);
    let interval = time::interval(splits.interval_ns, span, 0);
    let mut ranges = time::ranges(range, interval);
    if query.direction == Direction::Backward {
        ranges.reverse();
    }
    let piece = |range: TimeRange| {
        let time = QueryTime::Range { start: range.start, end: range.end, step_ns };
        let part = Some(QueryPart::default());
        Piece { query: QueryRequest { time, part, ..query.clone() }, reads: range }
    };
    // Whatever a bare selector finds is part of the answer: a few blocks are enough for it.
    let cuts_streams = !expr.stages.is_empty() && query.interval_ns == 0;
    let shards = if cuts_streams { splits.shards.max(1) } else { 1 };
    Some(LogPlan { pieces: ranges.into_iter().map(piece).collect(), shards })
}
