//! Leaves of a metric query: which inner expression is cut, how, and what joins it again.

use hashbrown::HashMap;
use logql::request::{QueryPart, QueryRequest, QueryTime};
use logql::source::Shard;
use logql::syntax::ast::{
    LogRange, MetricExpr, RangeAggregation, RangeOp, VectorAggregation, VectorOp,
};
use model::{TimeRange, Timestamp};

use super::{Join, Leaf, MetricPlan, Piece, Splits, time};

/// Walks an expression and collects leaves.
pub(super) struct Planner<'q> {
    query: &'q QueryRequest,
    time: QueryTime,
    splits: Splits,
    /// The place of the node that is visited next.
    next: usize,
    pieces: Vec<Piece>,
    /// Pieces by text, time and shard, so that what a query says twice runs once.
    known: HashMap<(String, i64, i64, Option<Shard>), usize>,
    leaves: Vec<Leaf>,
}

/// What joins partial values of a range aggregation.
struct Rule {
    /// What pieces compute in its place.
    op: RangeOp,
    join: Join,
    divisor: Option<f64>,
}

impl<'q> Planner<'q> {
    pub(super) fn new(query: &'q QueryRequest, time: QueryTime, splits: Splits) -> Self {
        let (pieces, known, leaves) = Default::default();
        Self { query, time, splits, next: 0, pieces, known, leaves }
    }

    pub(super) fn finish(self) -> Option<MetricPlan> {
        (!self.leaves.is_empty()).then_some(MetricPlan { pieces: self.pieces, leaves: self.leaves })
    }

    /// Finds the leaves of an expression; `None` when one cannot be written as a query.
    pub(super) fn visit(&mut self, expr: &MetricExpr) -> Option<()> {
        let chain = chain(expr);
        match chain.last() {
            Some(MetricExpr::Range(range)) => {
                let first = self.next;
                self.next += chain.len();
                self.leaf(first, &chain, range)
            }
            Some(MetricExpr::Binary(operation)) => {
                self.next += chain.len();
                self.visit(&operation.left)?;
                self.visit(&operation.right)
            }
            // Numbers are read from nowhere.
            _ => {
                self.next += chain.len();
                Some(())
            }
        }
    }

    /// A range aggregation and everything around it up to an operator.
    fn leaf(
        &mut self,
        first: usize,
        chain: &[&MetricExpr],
        range: &RangeAggregation,
    ) -> Option<()> {
        let rule = rule(range);
        let windows = self.windows(&range.range);
        let cuts_windows = rule.is_some() && windows.len() > 1;
        match rule {
            Some(rule) if self.splits.shards > 1 || cuts_windows => {
                let at = cut(first, chain, range, &rule);
                self.partial_leaf(first + at, chain[at], rule, windows)
            }
            _ => self.whole_leaf(first, chain[0], &range.range),
        }
    }

    /// A leaf in pieces of time.
    fn whole_leaf(&mut self, node: usize, expr: &MetricExpr, range: &LogRange) -> Option<()> {
        let text = printed(expr)?;
        let mut pieces = Vec::new();
        for time in self.steps(range) {
            pieces.push(self.piece(&text, time, reads(time, range), None));
        }
        self.leaves.push(Leaf { node, join: Join::Keep, divisor: None, pieces });
        Some(())
    }

    /// A leaf in pieces of time and stream.
    fn partial_leaf(
        &mut self,
        node: usize,
        expr: &MetricExpr,
        rule: Rule,
        windows: Vec<(i64, i64)>,
    ) -> Option<()> {
        let Rule { op, join, divisor } = rule;
        let mut pieces = Vec::new();
        let parts: Vec<Option<Shard>> = match self.splits.shards {
            0 | 1 => vec![None],
            of => (0..of).map(|index| Some(Shard { index, of })).collect(),
        };
        let mut add = |planner: &mut Self, expr: &MetricExpr, times: &[QueryTime]| {
            let text = printed(expr)?;
            let range = innermost(expr)?.range.clone();
            for time in times {
                for part in &parts {
                    pieces.push(planner.piece(&text, *time, reads(*time, &range), *part));
                }
            }
            Some(())
        };
        if matches!(self.time, QueryTime::Instant(_)) {
            // A window by its end says the same at any later time, so its answer can be kept.
            for (start, end) in windows {
                let expr = rewritten(expr, &|range| RangeAggregation {
                    op,
                    range: LogRange { range_ns: end - start, offset_ns: 0, ..range.range.clone() },
                    ..range.clone()
                });
                add(self, &expr, &[QueryTime::Instant(Timestamp(end))])?;
            }
        } else {
            let expr = rewritten(expr, &|range| RangeAggregation { op, ..range.clone() });
            let range = innermost(&expr)?.range.clone();
            let times = self.steps(&range);
            add(self, &expr, &times)?;
        }
        self.leaves.push(Leaf { node, join, divisor, pieces });
        Some(())
    }

    /// The windows of an instant query's range, in order; one when it is not cut.
    fn windows(&self, range: &LogRange) -> Vec<(i64, i64)> {
        let QueryTime::Instant(at) = self.time else { return Vec::new() };
        let end = at.0.saturating_sub(range.offset_ns);
        let start = end.saturating_sub(range.range_ns);
        if range.range_ns <= self.splits.interval_ns || self.splits.interval_ns <= 0 {
            return vec![(start, end)];
        }
        let interval = time::interval(self.splits.interval_ns, range.range_ns, 0);
        time::windows(start, end, interval)
    }

    /// The times at which pieces are evaluated.
    fn steps(&self, range: &LogRange) -> Vec<QueryTime> {
        let QueryTime::Range { start, end, step_ns } = self.time else { return vec![self.time] };
        let span = end.0.saturating_sub(start.0);
        let interval = time::interval(self.splits.interval_ns, span, range.range_ns);
        let pieces = time::steps(start.0, end.0, step_ns, interval).into_iter();
        let piece = |(start, end)| QueryTime::Range {
            start: Timestamp(start),
            end: Timestamp(end),
            step_ns,
        };
        pieces.map(piece).collect()
    }

    fn piece(
        &mut self,
        text: &str,
        time: QueryTime,
        reads: TimeRange,
        shard: Option<Shard>,
    ) -> usize {
        let (start, end) = time.bounds();
        let next = self.pieces.len();
        let at = *self.known.entry((text.to_owned(), start.0, end.0, shard)).or_insert(next);
        if at == next {
            let (text, part) = (text.to_owned(), Some(QueryPart { shard }));
            let query = QueryRequest { text, time, part, ..self.query.clone() };
            self.pieces.push(Piece { query, reads });
        }
        at
    }
}

/// An expression and what is inside it, down to the first node that is not a function of one
/// expression.
fn chain(expr: &MetricExpr) -> Vec<&MetricExpr> {
    let mut chain = vec![expr];
    let mut node = expr;
    loop {
        node = match node {
            MetricExpr::Vector(aggregation) => &aggregation.inner,
            MetricExpr::LabelReplace(replace) => &replace.inner,
            _ => return chain,
        };
        chain.push(node);
    }
}

/// What joins the values that a range aggregation has over parts of its rows.
fn rule(range: &RangeAggregation) -> Option<Rule> {
    let seconds = Some(range.range.range_ns.max(0) as f64 / 1e9);
    let (op, join, divisor) = match range.op {
        RangeOp::Count => (RangeOp::Count, Join::Sum, None),
        // Partial counts are divided once, so that the last bit is that of the whole.
        RangeOp::Rate if range.range.unwrap.is_some() => (RangeOp::Sum, Join::Sum, seconds),
        RangeOp::Rate => (RangeOp::Count, Join::Sum, seconds),
        RangeOp::Bytes => (RangeOp::Bytes, Join::Sum, None),
        RangeOp::BytesRate => (RangeOp::Bytes, Join::Sum, seconds),
        RangeOp::Sum => (RangeOp::Sum, Join::Sum, None),
        RangeOp::Min => (RangeOp::Min, Join::Min, None),
        RangeOp::Max => (RangeOp::Max, Join::Max, None),
        RangeOp::RateCounter
        | RangeOp::Avg
        | RangeOp::Stdvar
        | RangeOp::Stddev
        | RangeOp::Quantile
        | RangeOp::First
        | RangeOp::Last
        | RangeOp::Absent => return None,
    };
    Some(Rule { op, join, divisor })
}

/// Which node of a chain pieces compute: the range aggregation, or what is right around it where
/// its partial values join by the same rule.
fn cut(first: usize, chain: &[&MetricExpr], range: &RangeAggregation, rule: &Rule) -> usize {
    let leaf = chain.len() - 1;
    let Some(MetricExpr::Vector(VectorAggregation { op, .. })) =
        leaf.checked_sub(1).map(|at| chain[at])
    else {
        return leaf;
    };
    let outermost = first == 0 && leaf == 1;
    let joins = match (op, rule.join) {
        // The engine sums such rows by the outer labels too, in the same order.
        (VectorOp::Sum, Join::Sum) => range.grouping.is_none(),
        // The order of groups is seen by what is around them, and differs.
        (VectorOp::Min, Join::Min) | (VectorOp::Max, Join::Max) => outermost,
        _ => false,
    };
    if joins { leaf - 1 } else { leaf }
}

/// The range aggregation at the end of a chain.
fn innermost(expr: &MetricExpr) -> Option<&RangeAggregation> {
    match chain(expr).pop() {
        Some(MetricExpr::Range(range)) => Some(range),
        _ => None,
    }
}

/// A chain with another range aggregation at its end.
fn rewritten(
    expr: &MetricExpr,
    with: &dyn Fn(&RangeAggregation) -> RangeAggregation,
) -> MetricExpr {
    match expr {
        MetricExpr::Range(range) => MetricExpr::Range(with(range)),
        MetricExpr::Vector(outer) => {
            let inner = Box::new(rewritten(&outer.inner, with));
            let (op, parameter, grouping) = (outer.op, outer.parameter, outer.grouping.clone());
            MetricExpr::Vector(VectorAggregation { op, parameter, inner, grouping })
        }
        other => other.clone(),
    }
}

/// An expression as text, if the text says the same.
fn printed(expr: &MetricExpr) -> Option<String> {
    let text = expr.to_string();
    let read = logql::parse(&text).ok()?;
    matches!(&read, logql::Expr::Metric(read) if read == expr).then_some(text)
}

/// The rows that decide the answers at some times.
fn reads(time: QueryTime, range: &LogRange) -> TimeRange {
    let (start, end) = time.bounds();
    let first = start.0.saturating_sub(range.offset_ns).saturating_sub(range.range_ns);
    let last = end.0.saturating_sub(range.offset_ns);
    TimeRange::new(Timestamp(first.saturating_add(1)), Timestamp(last.saturating_add(1)))
}
