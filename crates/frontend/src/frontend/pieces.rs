//! Pieces of one query: looked for in the cache, run, and kept.

use futures_util::{StreamExt as _, TryStreamExt as _};
use hashbrown::HashMap;
use logql::request::{QueryPart, QueryRequest};
use logql::source::Shard;
use model::TimeRange;

use super::held::Held;
use super::{Frontend, Job, Request, nanos};
use crate::cache::{CacheKey, pack, unpack};
use crate::limits::Limits;
use crate::metrics::Skipped;
use crate::plan::{Piece, Splits, plan};
use crate::task::{Task, TaskAnswer, TaskError, Timed, Version, Work};
use crate::wire::{decode_answer, encode_answer};

/// What the pieces of one query have in common.
pub(super) struct Pieces<'a> {
    frontend: &'a Frontend,
    request: &'a Request,
    split_ns: i64,
    parallelism: usize,
    max_memory_bytes: u64,
    /// The rows of every range that a piece reads, as they were before any piece ran.
    versions: HashMap<TimeRange, Version>,
}

/// The answer of a piece, and whether it is new.
pub(super) struct Ran {
    pub(super) timed: Timed,
    pub(super) was_cached: bool,
}

impl<'a> Pieces<'a> {
    /// Has the whole query checked, learns which rows there are, and decides into how many parts
    /// of the streams it is cut.
    pub(super) async fn prepare(
        frontend: &'a Frontend,
        request: &'a Request,
        limits: &Limits,
        job: &mut Job,
    ) -> Result<Self, TaskError> {
        let mut pieces = Self {
            frontend,
            request,
            split_ns: nanos(limits.split_interval),
            parallelism: limits.max_query_parallelism,
            max_memory_bytes: limits.max_memory_bytes,
            versions: HashMap::new(),
        };
        let ranges = distinct(job.plan.pieces().iter());
        pieces.versions = pieces.versions_of(ranges).await?;
        let config = &frontend.config;
        if config.splits && config.shards_max > 1 {
            let largest = pieces.versions.values().map(|version| version.stored_bytes).max();
            let wanted = largest.unwrap_or(0).div_ceil(config.shard_bytes.max(1));
            let shards = u32::try_from(wanted).unwrap_or(u32::MAX).min(config.shards_max);
            let splits = Splits { interval_ns: pieces.split_ns, shards };
            if shards > 1
                && let Some(plan) = plan(&job.expr, &job.query, splits)
            {
                job.plan = plan;
            }
        }
        Ok(pieces)
    }

    pub(super) fn parallelism(&self) -> usize {
        self.parallelism
    }

    /// Counts answers that are gathered at the same time.
    pub(super) fn held(&self) -> Held {
        Held::new(self.max_memory_bytes)
    }

    /// Whether a piece's answer may be in the cache, or be kept there.
    pub(super) fn is_cached(&self, piece: &Piece) -> bool {
        self.key(piece).is_some()
    }

    /// Answers of pieces, in their order: kept ones, and new ones for the rest. `held` counts them.
    pub(super) async fn answers(
        &self,
        pieces: &[Piece],
        held: &Held,
    ) -> Result<Vec<Ran>, TaskError> {
        let keys: Vec<Option<CacheKey>> = pieces.iter().map(|piece| self.key(piece)).collect();
        let mut found = self.look_up(&keys).await;
        found.iter().flatten().try_for_each(|ran| held.add(&ran.timed.answer.value))?;
        let missing: Vec<usize> = (0..pieces.len()).filter(|at| found[*at].is_none()).collect();
        let runs = missing.into_iter().map(|at| {
            let query = pieces[at].query.clone();
            async move {
                let timed = self.run(query).await?;
                held.add(&timed.answer.value)?;
                Ok::<_, TaskError>((at, timed))
            }
        });
        let runs = futures_util::stream::iter(runs).buffer_unordered(self.parallelism);
        let new: Vec<(usize, Timed)> = runs.try_collect().await?;
        self.keep(pieces, &keys, &new).await;
        for (at, timed) in new {
            found[at] = Some(Ran { timed, was_cached: false });
        }
        Ok(found.into_iter().flatten().collect())
    }

    /// The answer of a piece over some of the streams, computed anew. `held` counts it.
    pub(super) async fn run_shard(
        &self,
        piece: &Piece,
        shard: Shard,
        held: &Held,
    ) -> Result<Timed, TaskError> {
        let part = Some(QueryPart { shard: Some(shard) });
        let timed = self.run(QueryRequest { part, ..piece.query.clone() }).await?;
        held.add(&timed.answer.value)?;
        Ok(timed)
    }

    /// The answer of a query, computed anew.
    pub(super) async fn run(&self, query: QueryRequest) -> Result<Timed, TaskError> {
        self.frontend.run_query(self.task(Work::Query(query))).await
    }

    fn task(&self, work: Work) -> Task {
        let Request { tenants, actor, .. } = self.request;
        Task { tenants: tenants.clone(), actor: actor.clone(), work }
    }

    async fn versions_of(
        &self,
        ranges: Vec<TimeRange>,
    ) -> Result<HashMap<TimeRange, Version>, TaskError> {
        let query = self.request.query.clone();
        let task = self.task(Work::Versions { query, ranges: ranges.clone() });
        match self.frontend.run(task).await? {
            TaskAnswer::Versions(versions) if versions.len() == ranges.len() => {
                Ok(ranges.into_iter().zip(versions).collect())
            }
            _ => Err(TaskError::unexpected_answer()),
        }
    }

    /// The key of a piece; `None` when nothing is kept, or its rows are about to change.
    fn key(&self, piece: &Piece) -> Option<CacheKey> {
        if self.frontend.cache.is_none() || self.request.no_cache {
            return None;
        }
        let version = self.versions.get(&piece.reads)?.hash?;
        Some(CacheKey::of(&self.request.tenants, &piece.query, self.split_ns, version))
    }

    async fn look_up(&self, keys: &[Option<CacheKey>]) -> Vec<Option<Ran>> {
        let mut found: Vec<Option<Ran>> = Vec::new();
        found.resize_with(keys.len(), || None);
        let Some(cache) = self.frontend.cache.as_ref().filter(|_| !self.request.no_cache) else {
            return found;
        };
        let metrics = &self.frontend.metrics;
        let asked: Vec<CacheKey> = keys.iter().flatten().cloned().collect();
        (asked.len()..keys.len()).for_each(|_| metrics.skip(Skipped::unflushed));
        if asked.is_empty() {
            return found;
        }
        let values = cache.get(&asked).await.unwrap_or_else(|error| {
            metrics.cache_failures.inc();
            tracing::debug!(%error, "the results cache did not answer");
            vec![None; asked.len()]
        });
        let places = (0..keys.len()).filter(|at| keys[*at].is_some());
        for ((at, key), value) in places.zip(&asked).zip(values) {
            let value = value.and_then(|value| unpack(key, &value));
            let answer = value.and_then(|value| {
                metrics.hit_bytes.inc_by(value.len() as u64);
                decode_answer(&value).ok()
            });
            match answer {
                Some(timed) => {
                    metrics.hits.inc();
                    found[at] = Some(Ran { timed, was_cached: true });
                }
                None => {
                    metrics.misses.inc();
                }
            }
        }
        found
    }

    /// Keeps new answers whose rows are still the same as before they were computed.
    async fn keep(&self, pieces: &[Piece], keys: &[Option<CacheKey>], new: &[(usize, Timed)]) {
        let Some(cache) = &self.frontend.cache else { return };
        let metrics = &self.frontend.metrics;
        let mut kept = Vec::new();
        let mut places = Vec::new();
        for (at, timed) in new {
            let Some(key) = &keys[*at] else { continue };
            if !timed.answer.warnings.is_empty() {
                metrics.skip(Skipped::incomplete);
                continue;
            }
            let value = pack(key, &encode_answer(timed));
            if value.len() > cache.max_value_bytes() {
                metrics.skip(Skipped::large);
                continue;
            }
            places.push(*at);
            kept.push((key.clone(), value));
        }
        if kept.is_empty() {
            return;
        }
        let ranges = distinct(places.iter().map(|at| &pieces[*at]));
        // Without an answer nothing is known, and nothing is kept.
        let now = self.versions_of(ranges).await.unwrap_or_default();
        let is_same = |at: usize| {
            let range = &pieces[at].reads;
            now.get(range).is_some_and(|version| {
                version.hash == self.versions.get(range).and_then(|before| before.hash)
            })
        };
        let mut places = places.into_iter();
        kept.retain(|_| {
            let same = places.next().is_some_and(is_same);
            if !same {
                metrics.skip(Skipped::changed);
            }
            same
        });
        metrics.stored_bytes.inc_by(kept.iter().map(|(_, value)| value.len() as u64).sum());
        if let Err(error) = cache.put(kept).await {
            metrics.cache_failures.inc();
            tracing::debug!(%error, "the results cache did not take an answer");
        }
    }
}

/// What some pieces read, each range once.
fn distinct<'p>(pieces: impl Iterator<Item = &'p Piece>) -> Vec<TimeRange> {
    let mut ranges: Vec<TimeRange> = pieces.map(|piece| piece.reads).collect();
    ranges.sort_by_key(|range| (range.start, range.end));
    ranges.dedup();
    ranges
}
