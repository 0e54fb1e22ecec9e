//! Shapes of lines, and how often each comes up over time.
//!
//! Lines are read when patterns are asked for. When there are many, some blocks stand for all and
//! their counts are scaled up.

use std::collections::BTreeMap;
use std::sync::Arc;

use hashbrown::HashMap;
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
    let total: u64 = pieces.iter().map(|piece| piece.rows).sum();
    let every = usize::try_from(total.div_ceil(ROWS_MAX)).unwrap_or(usize::MAX).max(1);
    let sampled: Vec<&Piece> = pieces.iter().step_by(every).collect();
    let looked_at: u64 = sampled.iter().map(|piece| piece.rows).sum();
    let mut counts = Counts { range, step_ns, miners: HashMap::new(), found: HashMap::new() };
    let metadata = WantMetadata::Names(vec![LEVEL_NAME.to_owned()]);
    let want = Want { lines: WantLines::Text, metadata };
    for piece in sampled {
        control.check()?;
        counts.add(&source.load(piece, &want)?);
    }
    let scale = total as f64 / looked_at.max(1) as f64;
    Ok(counts.finish(scale))
}

/// Counts by level, pattern and time.
struct Counts {
    range: TimeRange,
    step_ns: i64,
    miners: HashMap<String, Miner>,
    found: HashMap<(String, usize), BTreeMap<i64, u64>>,
}

impl Counts {
    fn add(&mut self, batch: &Batch) {
        let levels = batch.metadata.iter().find(|column| column.name() == LEVEL_NAME);
        for run in &batch.runs {
            for row in run.rows.clone() {
                let at = Timestamp(batch.timestamps[row]);
                let Ok(line) = std::str::from_utf8(batch.lines.row(row)) else { continue };
                if !self.range.contains(at) {
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
                *samples.entry(step).or_default() += 1;
            }
        }
    }

    fn finish(self, scale: f64) -> Vec<PatternSeries> {
        // Two clusters may have come to the same shape.
        let mut merged: BTreeMap<(String, String), BTreeMap<i64, u64>> = BTreeMap::new();
        for ((level, cluster), samples) in self.found {
            let Some(miner) = self.miners.get(&level) else { continue };
            let into = merged.entry((miner.pattern(cluster), level)).or_default();
            for (at, count) in samples {
                *into.entry(at).or_default() += (count as f64 * scale).round() as u64;
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
