//! Log queries: pieces in the direction of the query, until the limit is filled.

use std::time::Duration;

use futures_util::future::try_join_all;
use logql::request::QueryRequest;
use logql::source::Shard;
use model::answer::{Answer, QueryStats, ResultStream, Value};

use super::pieces::{Pieces, Ran};
use super::with_warnings;
use crate::merge::merge_logs;
use crate::plan::{LogPlan, Piece};
use crate::task::{TaskError, Timed};

/// What pieces gave so far.
#[derive(Default)]
struct Gathered {
    parts: Vec<Vec<ResultStream>>,
    stats: QueryStats,
    warnings: Vec<String>,
    waited: Duration,
}

impl Gathered {
    fn count(&mut self, timed: &mut Timed, was_cached: bool) {
        if !was_cached {
            self.stats.add(&timed.answer.stats);
            self.waited = self.waited.max(timed.waited);
        }
        self.warnings.append(&mut timed.answer.warnings);
    }
}

pub(super) async fn answer(
    pieces: &Pieces<'_>,
    query: &QueryRequest,
    plan: &LogPlan,
) -> Result<(Answer, Duration), TaskError> {
    let limit = query.limit as usize;
    let mut gathered = Gathered::default();
    // How many entries the pieces before each have.
    let mut before = Vec::new();
    let mut entries = 0;
    let mut next = 0;
    let mut wave = 1;
    while next < plan.pieces.len() && entries < limit {
        let end = plan.pieces.len().min(next + wave);
        for streams in wave_of(pieces, plan, &plan.pieces[next..end], query, &mut gathered).await? {
            before.push(entries);
            entries += count(&streams);
            gathered.parts.push(streams);
        }
        (next, wave) = (end, (wave * 2).min(pieces.parallelism()));
    }
    // Pieces beyond the limit are not part of the answer.
    let needed = before.iter().take_while(|before| **before < limit).count();
    gathered.parts.truncate(needed);
    let merged = match merge_logs(gathered.parts.clone(), query.direction, limit) {
        Some(merged) => merged,
        None => {
            // Which of the last piece's entries are the first is known to whoever reads them.
            let last = needed.saturating_sub(1);
            let rest = u32::try_from(limit - before[last]).unwrap_or(u32::MAX);
            let piece = &plan.pieces[last].query;
            let mut timed = pieces.run(QueryRequest { limit: rest, ..piece.clone() }).await?;
            gathered.count(&mut timed, false);
            gathered.parts[last] = streams_of(timed)?;
            let merged = merge_logs(gathered.parts, query.direction, limit);
            merged.ok_or_else(TaskError::unexpected_answer)?
        }
    };
    let stats = QueryStats { entries_returned: count(&merged) as u64, ..gathered.stats };
    let answer = Answer { value: Value::Streams(merged), stats, warnings: Vec::new() };
    Ok((with_warnings(answer, gathered.warnings), gathered.waited))
}

/// The entries of some pieces, in their order.
async fn wave_of(
    pieces: &Pieces<'_>,
    plan: &LogPlan,
    wave: &[Piece],
    query: &QueryRequest,
    gathered: &mut Gathered,
) -> Result<Vec<Vec<ResultStream>>, TaskError> {
    let by_shard = |piece: &Piece| plan.shards > 1 && !pieces.is_cached(piece);
    let mut all = Vec::with_capacity(wave.len());
    if wave.iter().any(by_shard) {
        for piece in wave {
            all.push(shards_of(pieces, piece, plan.shards, query, gathered).await?);
        }
        return Ok(all);
    }
    for Ran { mut timed, was_cached } in pieces.answers(wave).await? {
        gathered.count(&mut timed, was_cached);
        all.push(streams_of(timed)?);
    }
    Ok(all)
}

/// The entries of a piece, put together from parts of the streams where that is certain.
async fn shards_of(
    pieces: &Pieces<'_>,
    piece: &Piece,
    of: u32,
    query: &QueryRequest,
    gathered: &mut Gathered,
) -> Result<Vec<ResultStream>, TaskError> {
    let shards = (0..of).map(|index| pieces.run_shard(piece, Shard { index, of }));
    let mut parts = Vec::new();
    for mut timed in try_join_all(shards).await? {
        gathered.count(&mut timed, false);
        parts.push(streams_of(timed)?);
    }
    if let Some(merged) = merge_logs(parts, query.direction, query.limit as usize) {
        return Ok(merged);
    }
    let mut timed = pieces.run(piece.query.clone()).await?;
    gathered.count(&mut timed, false);
    streams_of(timed)
}

fn streams_of(timed: Timed) -> Result<Vec<ResultStream>, TaskError> {
    match timed.answer.value {
        Value::Streams(streams) => Ok(streams),
        _ => Err(TaskError::unexpected_answer()),
    }
}

fn count(streams: &[ResultStream]) -> usize {
    streams.iter().map(|stream| stream.entries.len()).sum()
}
