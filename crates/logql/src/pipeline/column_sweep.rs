//! Line filters, and label filters on what a parser finds, over lines that were taken apart.
//!
//! A row is left out only when its shape and values prove that the pipeline would drop it. What
//! they do not prove is tested on the row's line, or left to the stages.

use std::ops::Range;
use std::sync::Arc;

use model::column_lines::{ColumnLines, FieldPart, RowMatch, ShapeMatch};

use super::column_codes::Combined;
use super::column_plan::{ColumnPlan, PlannedField};
use super::hints::ExtractPlan;
use super::keys::Keys;
use super::label_filter::Filter;
use super::labels::RowLabels;
use super::line_filter::{LineTest, TextTest};
use super::names::{ERROR, ERROR_DETAILS, NameId, Names, PRESERVE_ERROR, without_suffix};
use super::program::{Program, Step};
use super::sweep::{self, Sweep};
use crate::source::{Batch, StreamRun};

/// Most combinations of a field's codes that are told apart.
const CODES_MAX: usize = 4096;

/// A line filter as a question to columns.
#[derive(Debug)]
struct Question {
    ask: Ask,
    is_negative: bool,
}

#[derive(Debug)]
enum Ask {
    /// Whether the line holds a text, in any case or exactly.
    Holds(Box<[u8]>, bool),
    /// Whether one of the answers is yes.
    Any(Vec<Ask>),
    /// Whether it can be: all of these must be, and the line itself says the rest.
    Needs(Vec<Ask>),
}

/// A parser whose labels filters are asked about.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Parser {
    Json,
    JsonPaths,
    Logfmt,
}

/// A filter on a label that the first parser finds.
#[derive(Debug)]
struct ParsedFilter {
    filter: Filter,
    name: NameId,
    text: Box<str>,
    parser: Parser,
    /// By row: whether it may pass; of the current batch, once asked.
    rows: Option<Vec<bool>>,
}

/// What the stages need to plan a shape.
pub(super) struct Planning<'a> {
    pub(super) steps: &'a [Step],
    pub(super) plan: &'a ExtractPlan,
    pub(super) labels: &'a mut RowLabels,
    pub(super) keys: &'a mut Keys,
    pub(super) columns: &'a mut ColumnPlan,
}

/// The sweep over batches whose lines were taken apart.
#[derive(Debug)]
pub(super) struct ColumnSweep {
    questions: Vec<Question>,
    filters: Vec<ParsedFilter>,
    /// The current batch's lines: kept, so that no others can stand in their place.
    of: Option<Arc<dyn ColumnLines>>,
    /// By shape: what the line filters answer; empty when there are none.
    lines: Vec<ShapeMatch>,
}

/// Whether columns can say something about a line filter.
pub(super) fn can_test(test: &LineTest) -> bool {
    ask(&test.test).is_some()
}

fn ask(test: &TextTest) -> Option<Ask> {
    Some(match test {
        TextTest::Contains(literal) => Ask::Holds(literal.as_bytes().into(), false),
        TextTest::ContainsFold(literal) => Ask::Holds(literal.as_str().as_bytes().into(), true),
        TextTest::Any(tests) => Ask::Any(tests.iter().map(ask).collect::<Option<_>>()?),
        TextTest::Regex(_) | TextTest::Shape(_) => {
            let mut required = Vec::new();
            sweep::require(test, &mut required);
            let needs = required.into_iter().map(|required| {
                let ignores_case = required.ignores_case;
                Ask::Any(required.any_of.into_iter().map(|t| Ask::Holds(t, ignores_case)).collect())
            });
            let needs: Vec<Ask> = needs.collect();
            if needs.is_empty() {
                return None;
            }
            Ask::Needs(needs)
        }
        _ => return None,
    })
}

impl Ask {
    fn answer(&self, lines: &dyn ColumnLines, wanted: &[bool]) -> Vec<ShapeMatch> {
        let all = |asks: &[Self], known: fn(RowMatch, RowMatch) -> RowMatch| {
            let answers = asks.iter().map(|ask| ask.answer(lines, wanted));
            answers.reduce(|answer, other| {
                answer.into_iter().zip(other).map(|(a, b)| join(a, b, known)).collect()
            })
        };
        match self {
            Self::Holds(text, ignores_case) => lines.find(text, *ignores_case, wanted),
            Self::Any(asks) => all(asks, either).unwrap_or_default(),
            Self::Needs(asks) => {
                let mut answer = all(asks, both).unwrap_or_default();
                answer.iter_mut().for_each(|answer| {
                    each(answer, |known| match known {
                        RowMatch::Yes => RowMatch::Maybe,
                        other => other,
                    });
                });
                answer
            }
        }
    }
}

/// Changes what is known.
fn each(known: &mut ShapeMatch, change: impl Fn(RowMatch) -> RowMatch) {
    match known {
        ShapeMatch::All(known) => *known = change(*known),
        ShapeMatch::Ranked(known) => known.iter_mut().for_each(|known| *known = change(*known)),
    }
}

/// Joins what is known of the same rows.
fn join(a: ShapeMatch, b: ShapeMatch, known: fn(RowMatch, RowMatch) -> RowMatch) -> ShapeMatch {
    match (a, b) {
        (ShapeMatch::All(a), ShapeMatch::All(b)) => ShapeMatch::All(known(a, b)),
        (ShapeMatch::All(one), mut many @ ShapeMatch::Ranked(_))
        | (mut many @ ShapeMatch::Ranked(_), ShapeMatch::All(one)) => {
            // Both ways of joining are symmetrical.
            each(&mut many, |own| known(own, one));
            many
        }
        (ShapeMatch::Ranked(mut a), ShapeMatch::Ranked(b)) => {
            a.iter_mut().zip(b).for_each(|(a, b)| *a = known(*a, b));
            ShapeMatch::Ranked(a)
        }
    }
}

fn either(a: RowMatch, b: RowMatch) -> RowMatch {
    match (a, b) {
        (RowMatch::Yes, _) | (_, RowMatch::Yes) => RowMatch::Yes,
        (RowMatch::No, RowMatch::No) => RowMatch::No,
        _ => RowMatch::Maybe,
    }
}

fn both(a: RowMatch, b: RowMatch) -> RowMatch {
    match (a, b) {
        (RowMatch::No, _) | (_, RowMatch::No) => RowMatch::No,
        (RowMatch::Yes, RowMatch::Yes) => RowMatch::Yes,
        _ => RowMatch::Maybe,
    }
}

fn opposite(a: RowMatch) -> RowMatch {
    match a {
        RowMatch::No => RowMatch::Yes,
        RowMatch::Yes => RowMatch::No,
        RowMatch::Maybe => RowMatch::Maybe,
    }
}

impl ColumnSweep {
    /// For line filters that run first, and the stages after them.
    pub(super) fn new(tests: &[LineTest], program: &Program, names: &Names) -> Self {
        let question = |test: &LineTest| {
            Some(Question { ask: ask(&test.test)?, is_negative: test.is_negative })
        };
        let questions = tests.iter().filter_map(question).collect();
        Self { questions, filters: parsed_filters(&program.steps, names), of: None, lines: vec![] }
    }

    /// Pushes the rows of `rows` that may pass, ascending; those that line filters drop are not
    /// among them.
    #[allow(clippy::too_many_arguments, reason = "a batch, its rows, what is known, and where to")]
    pub(super) fn run(
        &mut self,
        batch: &Batch,
        rows: Range<usize>,
        planning: &mut Planning<'_>,
        (sweep, line): (&Sweep, &mut Vec<u8>),
        out: &mut Vec<u32>,
    ) {
        let Some(lines) = &batch.columns else { return };
        self.enter(batch, lines);
        for filter in self.filters.iter_mut().filter(|f| f.is_fit(batch, &rows)) {
            filter.ask(batch, lines, &self.lines, planning);
        }
        let fit: Vec<&[bool]> = self
            .filters
            .iter()
            .filter(|filter| filter.is_fit(batch, &rows))
            .filter_map(|filter| filter.rows.as_deref())
            .collect();
        // A filter that cannot be asked leaves its rows open.
        let unknown = if self.questions.len() == sweep.tests().len() {
            RowMatch::Yes
        } else {
            RowMatch::Maybe
        };
        let (shapes, ranks) = (lines.row_shapes(), lines.ranks());
        for row in rows {
            let known = if self.lines.is_empty() {
                unknown
            } else {
                let (shape, rank) = (shapes.get(row).copied(), ranks.get(row).copied());
                let known = shape.and_then(|shape| self.lines.get(shape as usize));
                let known =
                    known.zip(rank).map_or(RowMatch::Maybe, |(known, rank)| known.get(rank));
                both(known, unknown)
            };
            if known == RowMatch::No || fit.iter().any(|filter| filter.get(row) == Some(&false)) {
                continue;
            }
            if known == RowMatch::Maybe {
                line.clear();
                lines.append_line(row, batch.timestamps[row], line);
                if !sweep.keeps(line) {
                    continue;
                }
            }
            out.push(row as u32);
        }
    }

    /// Asks the line filters' questions about a batch.
    fn enter(&mut self, batch: &Batch, lines: &Arc<dyn ColumnLines>) {
        if self.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, lines)) {
            return;
        }
        self.of = Some(Arc::clone(lines));
        self.filters.iter_mut().for_each(|filter| filter.rows = None);
        self.lines.clear();
        if self.questions.is_empty() {
            return;
        }
        let mut wanted = used_shapes(batch, lines.as_ref());
        for question in &self.questions {
            let mut answer = question.ask.answer(lines.as_ref(), &wanted);
            if question.is_negative {
                answer.iter_mut().for_each(|answer| each(answer, opposite));
            }
            // Shapes whose lines are all dropped need no more answers.
            for (wanted, answer) in wanted.iter_mut().zip(&answer) {
                *wanted &= *answer != ShapeMatch::All(RowMatch::No);
            }
            self.lines = if self.lines.is_empty() {
                answer
            } else {
                let known = std::mem::take(&mut self.lines).into_iter();
                known.zip(answer).map(|(a, b)| join(a, b, both)).collect()
            };
        }
    }
}

/// The filters on labels that the first parser sets, up to the next stage of another kind.
fn parsed_filters(steps: &[Step], names: &Names) -> Vec<ParsedFilter> {
    let mut steps = steps.iter().skip_while(|step| matches!(step, Step::Filter(_)));
    let parser = match steps.next() {
        Some(Step::Json) => Parser::Json,
        Some(Step::JsonPaths(_)) => Parser::JsonPaths,
        Some(Step::Logfmt(logfmt)) if !logfmt.has_extracts() => Parser::Logfmt,
        _ => return Vec::new(),
    };
    let mut filters = Vec::new();
    for step in steps {
        let Step::Filter(filter) = step else { break };
        collect(filter, parser, names, &mut filters);
    }
    filters
}

fn collect(filter: &Filter, parser: Parser, names: &Names, out: &mut Vec<ParsedFilter>) {
    match filter {
        Filter::All(parts) => parts.iter().for_each(|part| collect(part, parser, names, out)),
        // Whether an address counts depends on errors.
        Filter::Any(_) | Filter::Ip { .. } => {}
        single => {
            let Some(name) = single.single_name() else { return };
            let text = names.text(name);
            // A suffixed name may be that of something else that was renamed.
            let is_own = !matches!(name, ERROR | ERROR_DETAILS | PRESERVE_ERROR);
            if is_own && without_suffix(text).is_none() {
                let (filter, text) = (single.clone(), text.into());
                out.push(ParsedFilter { filter, name, text, parser, rows: None });
            }
        }
    }
}

/// What a filter says of the rows of a shape.
enum Verdict<'a> {
    All(bool),
    /// By combination of codes: what is known so far.
    Codes(Combined<'a>, Vec<Option<bool>>, &'a PlannedField),
    /// Each value must be looked at.
    Values(&'a PlannedField),
}

impl ParsedFilter {
    /// Whether the label of some rows can only be what the parser finds.
    fn is_fit(&self, batch: &Batch, rows: &Range<usize>) -> bool {
        let own = |run: &&StreamRun| run.rows.start < rows.end && rows.start < run.rows.end;
        !batch.metadata.iter().any(|column| column.name() == &*self.text)
            && !batch.runs.iter().filter(own).any(|run| run.labels.get(&self.text).is_some())
    }

    /// Finds the rows that may pass, among those that line filters do not drop.
    fn ask(
        &mut self,
        batch: &Batch,
        lines: &Arc<dyn ColumnLines>,
        known: &[ShapeMatch],
        planning: &mut Planning<'_>,
    ) {
        if self.rows.is_some() {
            return;
        }
        let Planning { steps, plan, labels, keys, columns } = planning;
        let is_used = used_shapes(batch, lines.as_ref());
        for (shape, _) in (0..).zip(&is_used).filter(|(_, is_used)| **is_used) {
            columns.needs_line(shape, steps, plan, (&mut **labels, &mut **keys));
        }
        let mut verdicts: Vec<Verdict<'_>> = (0..)
            .zip(&is_used)
            .map(|(shape, is_used)| {
                if !is_used {
                    return Verdict::All(true);
                }
                let fields = match self.parser {
                    Parser::Json => columns.json(shape),
                    Parser::JsonPaths => columns.paths(shape),
                    Parser::Logfmt => columns.logfmt(shape),
                };
                fields.map_or(Verdict::All(true), |fields| self.verdict(lines.as_ref(), fields))
            })
            .collect();
        let mut value = Vec::new();
        let rows = lines.row_shapes().iter().zip(lines.ranks()).enumerate();
        let mut passes = |field: &PlannedField, row: usize, rank: u32| {
            value.clear();
            let timestamp = batch.timestamps.get(row).copied().unwrap_or_default();
            field.append_value(lines.as_ref(), rank, timestamp, &mut value);
            !self.filter.drops(Some(&value))
        };
        let passes = rows.map(|(row, (shape, rank))| match &mut verdicts[*shape as usize] {
            Verdict::All(passes) => *passes,
            Verdict::Codes(codes, known, field) => match codes.get(*rank) {
                Some(code) => *known[code].get_or_insert_with(|| passes(field, row, *rank)),
                None => true,
            },
            Verdict::Values(_)
                if known.get(*shape as usize).is_some_and(|k| k.get(*rank) == RowMatch::No) =>
            {
                false
            }
            Verdict::Values(field) => passes(field, row, *rank),
        });
        self.rows = Some(passes.collect());
    }

    fn verdict<'a>(&self, lines: &'a dyn ColumnLines, fields: &'a [PlannedField]) -> Verdict<'a> {
        // Of two fields with one name the first counts.
        let Some(field) = fields.iter().find(|field| field.name == self.name) else {
            // Paths that lead nowhere still make labels: the stages know better.
            let is_open = self.parser == Parser::JsonPaths;
            return Verdict::All(is_open || !self.filter.drops(None));
        };
        match &field.parts[..] {
            [] => Verdict::All(!self.filter.drops(Some(b""))),
            [FieldPart::Same(_)] => {
                let mut value = Vec::new();
                field.append_value(lines, 0, 0, &mut value);
                Verdict::All(!self.filter.drops(Some(&value)))
            }
            _ => match Combined::of(lines, std::iter::once(field), CODES_MAX) {
                Some(codes) => {
                    let known = vec![None; codes.count()];
                    Verdict::Codes(codes, known, field)
                }
                None => Verdict::Values(field),
            },
        }
    }
}

/// By shape, whether a selected row of the batch has it.
fn used_shapes(batch: &Batch, lines: &dyn ColumnLines) -> Vec<bool> {
    let mut is_used = vec![false; lines.shapes()];
    for run in &batch.runs {
        for shape in lines.row_shapes().get(run.rows.clone()).unwrap_or_default() {
            if let Some(is_used) = is_used.get_mut(*shape as usize) {
                *is_used = true;
            }
        }
    }
    is_used
}
