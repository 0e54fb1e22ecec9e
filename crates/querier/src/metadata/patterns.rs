//! Shapes of lines, and how often each comes up over time.
//!
//! Lines are read when patterns are asked for. When there are many, some blocks of segments, and
//! some rows of heads, stand for all and their counts are scaled up. A row that several replicas
//! hold counts once.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use logql::eval::Control;
use logql::source::{Batch, Piece, Selection, Want, WantLines, WantMetadata};
use model::level::LEVEL_NAME;
use model::{Level, Matcher, TenantId, TimeRange, Timestamp};

use crate::admit;
use crate::error::Error;
use crate::metadata::Scope;
use crate::metadata::patterns_drain::Miner;
use crate::metrics::Operation;
use crate::querier::{Querier, Rows, inclusive};

/// Rows that are looked at; beyond it some pieces stand for all.
const ROWS_MAX: u64 = 500_000;
/// Patterns that come up less often are left out.
const COUNT_MIN: u64 = 30;
/// Most patterns in an answer.
const PATTERNS_MAX: usize = 300;
/// Shortest time between samples, in nanoseconds.
const STEP_MIN_NS: i64 = 10 * model::time::SECOND_NS;

/// Which patterns are asked for.
#[derive(Debug, Clone)]
pub struct PatternsRequest {
    /// Selector and time.
    pub scope: Scope,
    /// Between samples, in nanoseconds.
    pub step_ns: i64,
}

/// A shape of lines and how often it came up.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct PatternSeries {
    /// The text, with `<_>` where lines differ.
    pub pattern: String,
    /// The level of its lines.
    pub level: String,
    /// Counts by time.
    pub samples: Vec<(Timestamp, u64)>,
}

impl Querier {
    /// The patterns of the matching streams' lines, most frequent first.
    ///
    /// # Errors
    ///
    /// [`Error::Disabled`] when patterns are switched off; other [`Error`]s when the selector or
    /// the time is refused, or rows cannot be read.
    pub async fn patterns(
        self: &Arc<Self>,
        tenants: &[TenantId],
        request: &PatternsRequest,
    ) -> Result<Vec<PatternSeries>, Error> {
        if !self.config.patterns {
            return Err(Error::Disabled("patterns are not enabled"));
        }
        let tenants = self.readable(tenants)?;
        let limits = self.limits_of(&tenants);
        let matchers = request.scope.matchers()?;
        request.scope.check(&limits)?;
        let now = self.clock.now();
        let scope = &request.scope;
        let Some(start) = admit::look_back(scope.start, scope.end, now, &limits) else {
            return Ok(Vec::new());
        };
        let range = inclusive(start, scope.end);
        let step_ns = request.step_ns.max(STEP_MIN_NS);
        self.run_measured(Operation::patterns, &tenants, &limits, move |rows, control| {
            mine(rows, &matchers, range, step_ns, control)
        })
        .await
    }
}

fn mine(
    rows: &Rows,
    matchers: &[Matcher],
    range: TimeRange,
    step_ns: i64,
    control: &Control,
) -> Result<Vec<PatternSeries>, Error> {
    let source = rows.source();
    let pieces = source.pieces(&Selection::all(matchers, range))?;
    let rows_of = |pieces: &[&Piece]| pieces.iter().map(|piece| piece.rows).sum::<u64>();
    let every = rows_of(&pieces.iter().collect::<Vec<_>>()).div_ceil(ROWS_MAX).max(1);
    // Replicas cut their heads differently, so of heads some rows are taken, the same ones of all
    // replicas.
    let (heads, blocks): (Vec<&Piece>, Vec<&Piece>) = pieces.iter().partition(|p| p.is_head);
    let step = usize::try_from(every).unwrap_or(usize::MAX);
    let sampled: Vec<&Piece> = blocks.iter().copied().step_by(step).collect();
    let scale = rows_of(&blocks) as f64 / rows_of(&sampled).max(1) as f64;
    let mut counts = Counts::new(range, step_ns);
    let metadata = WantMetadata::Names(vec![LEVEL_NAME.to_owned()]);
    let want = Want { lines: WantLines::Text, metadata };
    for piece in sampled {
        control.check()?;
        counts.add(&source.load(piece, &want)?, Taken { every: 1, weight: scale });
    }
    for piece in heads {
        control.check()?;
        counts.add(&source.load(piece, &want)?, Taken { every, weight: every as f64 });
    }
    Ok(counts.finish())
}

/// Which rows of a batch are looked at.
#[derive(Debug, Clone, Copy)]
struct Taken {
    /// One of so many, told by stream and time.
    every: u64,
    /// How many rows one stands for.
    weight: f64,
}

/// Counts by level, pattern and time.
struct Counts {
    range: TimeRange,
    step_ns: i64,
    miners: HashMap<String, Miner>,
    found: HashMap<(String, usize), BTreeMap<i64, f64>>,
    /// Hashes of rows that may have copies.
    seen: HashSet<u64>,
}

impl Counts {
    fn new(range: TimeRange, step_ns: i64) -> Self {
        let (miners, found, seen) = (HashMap::new(), HashMap::new(), HashSet::new());
        Self { range, step_ns, miners, found, seen }
    }

    fn add(&mut self, batch: &Batch, taken: Taken) {
        let levels = batch.metadata.iter().find(|column| column.name() == LEVEL_NAME);
        for run in &batch.runs {
            for row in run.rows.clone() {
                let at = Timestamp(batch.timestamps[row]);
                let Ok(line) = std::str::from_utf8(batch.lines.row(row)) else { continue };
                if !self.range.contains(at) {
                    continue;
                }
                let place = hash_of(&(run.fingerprint.0, at.0));
                if taken.every > 1 && place % taken.every != 0 {
                    continue;
                }
                let may_have_copies = run.copies.is_some_and(|copies| copies.contains(at));
                if may_have_copies && !self.seen.insert(hash_of(&(place, line))) {
                    continue;
                }
                let level = levels.and_then(|levels| levels.get(row));
                let level = level.unwrap_or(Level::Unknown.as_str());
                if !self.miners.contains_key(level) {
                    self.miners.insert(level.to_owned(), Miner::default());
                }
                let Some(miner) = self.miners.get_mut(level) else { continue };
                let Some(cluster) = miner.add(line) else { continue };
                let step = at.0.div_euclid(self.step_ns) * self.step_ns;
                let samples = self.found.entry((level.to_owned(), cluster)).or_default();
                *samples.entry(step).or_default() += taken.weight;
            }
        }
    }

    fn finish(self) -> Vec<PatternSeries> {
        // Two clusters may have come to the same shape.
        let mut merged: BTreeMap<(String, String), BTreeMap<i64, u64>> = BTreeMap::new();
        for ((level, cluster), samples) in self.found {
            let Some(miner) = self.miners.get(&level) else { continue };
            let into = merged.entry((miner.pattern(cluster), level)).or_default();
            for (at, count) in samples {
                *into.entry(at).or_default() += count.round() as u64;
            }
        }
        let mut series: Vec<(u64, PatternSeries)> = merged
            .into_iter()
            .map(|((pattern, level), samples)| {
                let total = samples.values().sum();
                let samples = samples.into_iter().map(|(at, n)| (Timestamp(at), n)).collect();
                (total, PatternSeries { pattern, level, samples })
            })
            .filter(|(total, _)| *total >= COUNT_MIN)
            .collect();
        series.sort_by(|a, b| b.0.cmp(&a.0).then_with(|| a.1.pattern.cmp(&b.1.pattern)));
        series.truncate(PATTERNS_MAX);
        series.into_iter().map(|(_, series)| series).collect()
    }
}

fn hash_of(value: &impl Hash) -> u64 {
    let mut hasher = DefaultHasher::new();
    value.hash(&mut hasher);
    hasher.finish()
}
