//! Shapes of lines, and how often each comes up over time.
//!
//! Lines are read when patterns are asked for. When there are many, some blocks of segments, and
//! some rows of heads, stand for all and their counts are scaled up. A row that several replicas
//! hold counts once. Where lines are kept as shapes and columns, a few lines of each shape tell the
//! pattern of all of them.

use std::collections::BTreeMap;
use std::hash::{DefaultHasher, Hash, Hasher as _};
use std::sync::Arc;

use hashbrown::{HashMap, HashSet};
use logql::eval::Control;
use logql::source::{Batch, Piece, Selection, Want, WantLines, WantMetadata};
use model::column_lines::ColumnLines;
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
/// Levels told apart.
const LEVELS_MAX: usize = 32;
/// Lines of a shape that are looked at in each block.
const SHAPE_LINES: u32 = 8;

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
    // Replicas cut their heads differently, so of heads some rows are taken, the same of all of them.
    let (heads, blocks): (Vec<&Piece>, Vec<&Piece>) = pieces.iter().partition(|p| p.is_head);
    let step = usize::try_from(every).unwrap_or(usize::MAX);
    let sampled: Vec<&Piece> = blocks.iter().copied().step_by(step).collect();
    let scale = rows_of(&blocks) as f64 / rows_of(&sampled).max(1) as f64;
    let mut counts = Counts::new(range, step_ns);
    let metadata = WantMetadata::Names(vec![LEVEL_NAME.to_owned()]);
    let want = Want { lines: WantLines::Columns, metadata };
    for piece in sampled {
        control.check()?;
        let batch = source.load(piece, &want)?;
        counts.add(&batch, Taken { every: 1, weight: scale });
        logql::eval::check_columns(&batch)?;
    }
    for piece in heads {
        control.check()?;
        let batch = source.load(piece, &want)?;
        counts.add(&batch, Taken { every, weight: every as f64 });
        logql::eval::check_columns(&batch)?;
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
    /// By level's place in `found`'s keys.
    miners: Vec<(String, Miner)>,
    found: HashMap<(usize, usize), BTreeMap<i64, f64>>,
    /// Hashes of rows that may have copies.
    seen: HashSet<u64>,
}

impl Counts {
    fn new(range: TimeRange, step_ns: i64) -> Self {
        let unknown = (Level::Unknown.as_str().to_owned(), Miner::default());
        let (found, seen) = (HashMap::new(), HashSet::new());
        Self { range, step_ns, miners: vec![unknown], found, seen }
    }

    fn add(&mut self, batch: &Batch, taken: Taken) {
        let levels = batch.metadata.iter().find(|column| column.name() == LEVEL_NAME);
        let mut samples = batch.columns.as_deref().map(Samples::new);
        let mut line = Vec::new();
        for run in &batch.runs {
            for row in run.rows.clone() {
                let at = Timestamp(batch.timestamps[row]);
                if !self.range.contains(at) {
                    continue;
                }
                let place = hash_of(&(run.fingerprint.0, at.0));
                if taken.every > 1 && !place.is_multiple_of(taken.every) {
                    continue;
                }
                let may_have_copies = run.copies.is_some_and(|copies| copies.contains(at));
                if may_have_copies {
                    let key = match &batch.columns {
                        Some(columns) => {
                            line.clear();
                            columns.append_line(row, at.0, &mut line);
                            hash_of(&(place, &line[..]))
                        }
                        None => hash_of(&(place, batch.lines.row(row))),
                    };
                    if !self.seen.insert(key) {
                        continue;
                    }
                }
                let level = levels.and_then(|levels| levels.get(row));
                let level = self.level(level.unwrap_or(Level::Unknown.as_str()));
                let miner = &mut self.miners[level].1;
                let cluster = match &mut samples {
                    Some(samples) => samples.cluster(row, level, |columns| {
                        line.clear();
                        columns.append_line(row, at.0, &mut line);
                        miner.add(std::str::from_utf8(&line).ok()?)
                    }),
                    None => std::str::from_utf8(batch.lines.row(row))
                        .ok()
                        .and_then(|line| miner.add(line)),
                };
                let Some(cluster) = cluster else { continue };
                let step = at.0.div_euclid(self.step_ns) * self.step_ns;
                let samples = self.found.entry((level, cluster)).or_default();
                *samples.entry(step).or_default() += taken.weight;
            }
        }
    }

    /// The place of a level; those beyond the bound count as unknown, the first.
    fn level(&mut self, name: &str) -> usize {
        if let Some(at) = self.miners.iter().position(|(known, _)| known == name) {
            return at;
        }
        if self.miners.len() >= LEVELS_MAX {
            return 0;
        }
        self.miners.push((name.to_owned(), Miner::default()));
        self.miners.len() - 1
    }

    fn finish(self) -> Vec<PatternSeries> {
        // Two clusters may have come to the same shape.
        let mut merged: BTreeMap<(String, String), BTreeMap<i64, u64>> = BTreeMap::new();
        for ((level, cluster), samples) in self.found {
            let (level, miner) = &self.miners[level];
            let into = merged.entry((miner.pattern(cluster), level.clone())).or_default();
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

/// Clusters of lines that were taken apart: of every shape some lines are looked at, evenly spread,
/// and the rows between them are taken to be like the last one looked at.
struct Samples<'a> {
    columns: &'a dyn ColumnLines,
    row_shapes: &'a [u32],
    ranks: &'a [u32],
    /// How many rows of each shape one line stands for.
    strides: Vec<u32>,
    /// By shape and level: the stride last looked at, and its cluster.
    last: HashMap<(u32, usize), (u32, Option<usize>)>,
}

impl<'a> Samples<'a> {
    fn new(columns: &'a dyn ColumnLines) -> Self {
        let (row_shapes, ranks) = (columns.row_shapes(), columns.ranks());
        let mut strides = vec![0u32; columns.shapes()];
        for (shape, rank) in row_shapes.iter().zip(ranks) {
            let rows = &mut strides[*shape as usize];
            *rows = (*rows).max(rank + 1);
        }
        for (shape, rows) in strides.iter_mut().enumerate() {
            // Rows of shape 0 have nothing in common.
            *rows = if shape == 0 { 1 } else { rows.div_ceil(SHAPE_LINES).max(1) };
        }
        Self { columns, row_shapes, ranks, strides, last: HashMap::new() }
    }

    /// The cluster of a row; `look` finds that of its line.
    fn cluster(
        &mut self,
        row: usize,
        level: usize,
        look: impl FnOnce(&dyn ColumnLines) -> Option<usize>,
    ) -> Option<usize> {
        let (shape, rank) = (self.row_shapes[row], self.ranks[row]);
        let stride = rank / self.strides[shape as usize];
        match self.last.get(&(shape, level)) {
            Some((last, cluster)) if *last == stride && shape != 0 => *cluster,
            _ => {
                let cluster = look(self.columns);
                self.last.insert((shape, level), (stride, cluster));
                cluster
            }
        }
    }
}

#[cfg(test)]
mod tests {
    use segment::{EncodeSettings, LineCodec};

    use super::*;
    use crate::testing::{Rig, TestHead, TestRow, row, segment_of, tenant, time};
    use crate::{Config, Limits};

    const LABELS: &str = r#"{app="x"}"#;

    fn rows() -> Vec<TestRow> {
        let users = ["alice", "bob", "carol", "dave", "eve"];
        let line = |n: usize| match n % 3 {
            0 => format!("user {} logged in after {n}ms", users[n / 3 % users.len()]),
            1 => format!(r#"{{"level":"info","path":"/api/v{}","status":{}}}"#, n % 7, 200 + n % 3),
            _ => format!("12:34:{:02} disk sda{} is nearly full: {n}%", n % 60, n % 4),
        };
        (0..3000).map(|n| row(LABELS, n as i64 * 1_000_000, &line(n))).collect()
    }

    async fn patterns(rig: &Rig) -> Vec<PatternSeries> {
        let querier =
            rig.querier(Config { patterns: true, ..Config::default() }, Limits::default());
        let scope = Scope { query: LABELS.into(), start: time(0), end: time(1 << 40) };
        let request = PatternsRequest { scope, step_ns: 10 * model::time::SECOND_NS };
        querier.patterns(&[tenant()], &request).await.unwrap()
    }

    #[tokio::test]
    async fn lines_taken_apart_have_the_patterns_of_lines() {
        let whole = Rig::new().await;
        whole.set_heads(vec![TestHead { rows: rows(), ..TestHead::default() }]);
        let apart = Rig::new().await;
        let settings =
            EncodeSettings { line_codec: LineCodec::Columns, ..EncodeSettings::default() };
        apart.store.upload(segment_of(&tenant(), &rows(), 0, settings)).await.unwrap();

        let found = patterns(&whole).await;
        assert_eq!(found.len(), 3, "{found:?}");
        assert_eq!(
            found.iter().flat_map(|series| &series.samples).map(|(_, n)| n).sum::<u64>(),
            3000
        );
        assert_eq!(patterns(&apart).await, found);
    }
}
