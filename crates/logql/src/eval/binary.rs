//! Binary operators between numbers and series.
//!
//! Labels decide once which series meet; values are then combined step by step. That the labels of
//! one side are unique is checked at every step, because only series present at a step count.

use std::sync::Arc;

use hashbrown::HashMap;
use model::answer::ResultLabels;

use super::error::QueryError;
use super::frame::{Frame, FrameSeries, Points, SeriesLabels, label};
use crate::syntax::ast::{BinaryOp, BinaryOperation, Cardinality, Matching, MatchingLabels};

/// A value of an inner expression.
#[derive(Debug, Clone)]
pub enum Operand {
    /// The same number at every step.
    Number(f64),
    /// Series.
    Frame(Frame),
}

/// Combines two operands.
///
/// # Errors
///
/// [`QueryError::Matching`] when series do not pair up as the operator wants.
pub fn combine(
    operation: &BinaryOperation,
    left: Operand,
    right: Operand,
    steps: usize,
) -> Result<Operand, QueryError> {
    let op = operation.op;
    let bool_result = operation.return_bool && op.is_comparison();
    Ok(match (left, right) {
        (Operand::Number(left), Operand::Number(right)) => Operand::Number(op.apply(left, right)),
        (Operand::Frame(frame), Operand::Number(right)) => {
            Operand::Frame(with_number(frame, |value| sample(op, value, right, value, bool_result)))
        }
        (Operand::Number(left), Operand::Frame(frame)) => {
            Operand::Frame(with_number(frame, |value| sample(op, left, value, value, bool_result)))
        }
        (Operand::Frame(left), Operand::Frame(right)) if op.is_set() => {
            Operand::Frame(set_operation(op, &left, &right, &operation.matching.labels, steps))
        }
        (Operand::Frame(left), Operand::Frame(right)) => {
            Operand::Frame(Pairing::new(operation, &left, &right, steps).run()?)
        }
    })
}

/// An operator on two samples. A comparison that filters passes `kept` on.
fn sample(op: BinaryOp, left: f64, right: f64, kept: f64, bool_result: bool) -> Option<f64> {
    match op.is_comparison() && !bool_result {
        true => op.holds(left, right).then_some(kept),
        false => Some(op.apply(left, right)),
    }
}

fn with_number(frame: Frame, mut f: impl FnMut(f64) -> Option<f64>) -> Frame {
    let apply = |series: FrameSeries| FrameSeries {
        points: series.points.map(&mut f),
        labels: series.labels,
    };
    without_empty(frame.series.into_iter().map(apply))
}

fn without_empty(series: impl Iterator<Item = FrameSeries>) -> Frame {
    Frame { series: series.filter(|series| !series.points.is_empty()).collect() }
}

/// What must be equal for two series to meet. Labels with an empty value do not count.
fn key(labels: &ResultLabels, matching: &MatchingLabels) -> Vec<u8> {
    let counts = |name: &str| match matching {
        MatchingLabels::All => true,
        MatchingLabels::On(names) => names.iter().any(|listed| listed == name),
        MatchingLabels::Ignoring(names) => !names.iter().any(|listed| listed == name),
    };
    let mut key = Vec::new();
    for (name, value) in labels.iter().filter(|(name, value)| !value.is_empty() && counts(name)) {
        for text in [name, value] {
            key.extend_from_slice(&(text.len() as u32).to_le_bytes());
            key.extend_from_slice(text.as_bytes());
        }
    }
    key
}

/// `and`, `or` and `unless`: series of one side at steps where the other side has, or has not,
/// something with their key.
fn set_operation(
    op: BinaryOp,
    left: &Frame,
    right: &Frame,
    matching: &MatchingLabels,
    steps: usize,
) -> Frame {
    let (known, asked) = if op == BinaryOp::Or { (left, right) } else { (right, left) };
    let mut present: HashMap<Vec<u8>, Vec<bool>> = HashMap::new();
    for series in &known.series {
        let at = present.entry(key(&series.labels, matching)).or_insert_with(|| vec![false; steps]);
        series.points.iter().for_each(|(step, _)| at[step as usize] = true);
    }
    let wanted = op == BinaryOp::And;
    let chosen = asked.series.iter().map(|series| {
        let points = match present.get(&key(&series.labels, matching)) {
            Some(at) => series.points.filter(|step| at[step as usize] == wanted),
            None if wanted => Points::default(),
            None => series.points.clone(),
        };
        FrameSeries { labels: Arc::clone(&series.labels), points }
    });
    if op == BinaryOp::Or {
        without_empty(left.series.iter().cloned().chain(chosen))
    } else {
        without_empty(chosen)
    }
}

const NOT_UNIQUE_RIGHT: &str = "found duplicate series on the right hand-side;many-to-many matching \
     not allowed: matching labels must be unique on one side";
const NOT_UNIQUE_LEFT: &str = "found duplicate series on the left hand-side;many-to-many matching \
     not allowed: matching labels must be unique on one side";
const MANY_TO_ONE: &str =
    "multiple matches for labels: many-to-one matching must be explicit (group_left/group_right)";
const NOT_UNIQUE_RESULT: &str =
    "multiple matches for labels: grouping labels must ensure unique matches";

/// Arithmetic and comparisons between two sides of series.
///
/// The *one* side may have one series per key and step; the *many* side gives the results their
/// labels, and their order.
struct Pairing<'a> {
    operation: &'a BinaryOperation,
    many: &'a Frame,
    one: &'a Frame,
    many_is_left: bool,
    steps: usize,
}

/// The results of one series of the many side with one of the one side.
struct Pair {
    labels: SeriesLabels,
    /// Every step at which both were present; `None` where a comparison filtered.
    results: Vec<(u32, Option<f64>)>,
}

impl<'a> Pairing<'a> {
    fn new(
        operation: &'a BinaryOperation,
        left: &'a Frame,
        right: &'a Frame,
        steps: usize,
    ) -> Self {
        let many_is_left = !matches!(operation.matching.cardinality, Cardinality::OneToMany { .. });
        let (many, one) = if many_is_left { (left, right) } else { (right, left) };
        Self { operation, many, one, many_is_left, steps }
    }

    fn run(&self) -> Result<Frame, QueryError> {
        let matching = &self.operation.matching;
        let mut ones: HashMap<Vec<u8>, Vec<usize>> = HashMap::new();
        for (index, series) in self.one.series.iter().enumerate() {
            ones.entry(key(&series.labels, &matching.labels)).or_default().push(index);
        }
        let mut tables: HashMap<&[u8], Table> = HashMap::new();
        for (key, members) in &ones {
            tables.insert(key, self.table(members)?);
        }
        let mut pairs = Vec::new();
        for series in &self.many.series {
            if let Some(table) = tables.get_mut(&*key(&series.labels, &matching.labels)) {
                self.pair(series, table, &mut pairs)?;
            }
        }
        self.check_results(&pairs)?;
        Ok(without_empty(pairs.into_iter().map(|pair| {
            let mut points = Points::with_capacity(pair.results.len());
            for (step, value) in pair.results {
                if let Some(value) = value {
                    points.push(step, value);
                }
            }
            FrameSeries { labels: pair.labels, points }
        })))
    }

    /// The only series of the one side at each step.
    fn table(&self, members: &[usize]) -> Result<Table, QueryError> {
        let mut table = Table { samples: vec![None; self.steps], used: Vec::new() };
        for index in members {
            for (step, value) in self.one.series[*index].points.iter() {
                if table.samples[step as usize].replace((*index, value)).is_some() {
                    let text = if self.many_is_left { NOT_UNIQUE_RIGHT } else { NOT_UNIQUE_LEFT };
                    return Err(QueryError::Matching(text));
                }
            }
        }
        if self.operation.matching.cardinality == Cardinality::OneToOne {
            table.used = vec![false; self.steps];
        }
        Ok(table)
    }

    fn pair(
        &self,
        series: &FrameSeries,
        table: &mut Table,
        pairs: &mut Vec<Pair>,
    ) -> Result<(), QueryError> {
        let op = self.operation.op;
        let bool_result = self.operation.return_bool && op.is_comparison();
        // Series of the one side that this series met, with their place in `pairs`.
        let mut met: Vec<(usize, usize)> = Vec::new();
        for (step, many_value) in series.points.iter() {
            let Some((one, one_value)) = table.samples[step as usize] else { continue };
            if let Some(used) = table.used.get_mut(step as usize)
                && std::mem::replace(used, true)
            {
                return Err(QueryError::Matching(MANY_TO_ONE));
            }
            let (left, right) =
                if self.many_is_left { (many_value, one_value) } else { (one_value, many_value) };
            let at = match met.iter().find(|(index, _)| *index == one) {
                Some((_, at)) => *at,
                None => {
                    let labels = self.labels(&series.labels, &self.one.series[one].labels);
                    pairs.push(Pair { labels: Arc::new(labels), results: Vec::new() });
                    met.push((one, pairs.len() - 1));
                    pairs.len() - 1
                }
            };
            pairs[at].results.push((step, sample(op, left, right, left, bool_result)));
        }
        Ok(())
    }

    /// The labels of a result: those of the many side, cut down to what was matched, or with the
    /// included labels of the one side.
    fn labels(&self, many: &ResultLabels, one: &ResultLabels) -> ResultLabels {
        let Matching { labels, cardinality } = &self.operation.matching;
        let mut result: ResultLabels =
            many.iter().filter(|(_, value)| !value.is_empty()).cloned().collect();
        match cardinality {
            Cardinality::OneToOne => result.retain(|(name, _)| match labels {
                MatchingLabels::All => true,
                MatchingLabels::On(names) => names.contains(name),
                MatchingLabels::Ignoring(names) => !names.contains(name),
            }),
            Cardinality::ManyToOne { include } | Cardinality::OneToMany { include } => {
                for name in include {
                    result.retain(|(known, _)| known != name);
                    if let Some(value) = label(one, name).filter(|value| !value.is_empty()) {
                        result.push((name.clone(), value.to_owned()));
                    }
                }
                result.sort();
            }
        }
        result
    }

    /// Fails when two results of a grouped match have the same labels at one step.
    fn check_results(&self, pairs: &[Pair]) -> Result<(), QueryError> {
        if self.operation.matching.cardinality == Cardinality::OneToOne {
            return Ok(());
        }
        let mut by_labels: HashMap<&ResultLabels, Vec<&Pair>> = HashMap::new();
        for pair in pairs {
            by_labels.entry(&pair.labels).or_default().push(pair);
        }
        for equal in by_labels.values().filter(|equal| equal.len() > 1) {
            let mut used = vec![false; self.steps];
            for (step, _) in equal.iter().flat_map(|pair| &pair.results) {
                if std::mem::replace(&mut used[*step as usize], true) {
                    return Err(QueryError::Matching(NOT_UNIQUE_RESULT));
                }
            }
        }
        Ok(())
    }
}

/// The one side of a key.
struct Table {
    /// At each step the series that is present, with its value.
    samples: Vec<Option<(usize, f64)>>,
    /// Steps that a series of the many side has matched; empty when several may.
    used: Vec<bool>,
}

#[cfg(test)]
mod tests;
