//! Line filters, and label filters on what a parser finds, over lines that were taken apart.
//!
//! A row is left out only when its shape and values prove that the pipeline would drop it. What
//! they do not prove is tested on the row's line, or left to the stages.

use std::ops::Range;
use std::sync::Arc;

use model::column_lines::{ColumnLines, FieldPart, RowMatch};

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

/// A filter on a label that the first parser finds.
#[derive(Debug)]
struct ParsedFilter {
    filter: Filter,
    name: NameId,
    text: Box<str>,
    is_json: bool,
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
    /// By row: what the line filters answer; empty when there are none.
    lines: Vec<RowMatch>,
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
    fn answer(&self, lines: &dyn ColumnLines) -> Vec<RowMatch> {
        let all = |asks: &[Self], known: fn(RowMatch, RowMatch) -> RowMatch| {
            let answers = asks.iter().map(|ask| ask.answer(lines));
            answers.reduce(|mut answer, other| {
                answer.iter_mut().zip(other).for_each(|(a, b)| *a = known(*a, b));
                answer
            })
        };
        match self {
            Self::Holds(text, ignores_case) => lines.find(text, *ignores_case),
            Self::Any(asks) => all(asks, either).unwrap_or_default(),
            Self::Needs(asks) => {
                let mut answer = all(asks, both).unwrap_or_default();
                let weak = answer.iter_mut().filter(|answer| **answer == RowMatch::Yes);
                weak.for_each(|answer| *answer = RowMatch::Maybe);
                answer
            }
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
        self.enter(lines);
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
        for row in rows {
            let known = self.lines.get(row).copied().map_or(unknown, |own| both(own, unknown));
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
    fn enter(&mut self, lines: &Arc<dyn ColumnLines>) {
        if self.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, lines)) {
            return;
        }
        self.of = Some(Arc::clone(lines));
        self.filters.iter_mut().for_each(|filter| filter.rows = None);
        let answers = self.questions.iter().map(|question| {
            let mut answer = question.ask.answer(lines.as_ref());
            if question.is_negative {
                answer.iter_mut().for_each(|answer| *answer = opposite(*answer));
            }
            answer
        });
        let answers = answers.reduce(|mut answer, other| {
            answer.iter_mut().zip(other).for_each(|(a, b)| *a = both(*a, b));
            answer
        });
        self.lines = answers.unwrap_or_default();
    }
}

/// The filters on labels that the first parser sets, up to the next stage of another kind.
fn parsed_filters(steps: &[Step], names: &Names) -> Vec<ParsedFilter> {
    let mut steps = steps.iter().skip_while(|step| matches!(step, Step::Filter(_)));
    let is_json = match steps.next() {
        Some(Step::Json) => true,
        Some(Step::Logfmt(_)) => false,
        _ => return Vec::new(),
    };
    let mut filters = Vec::new();
    for step in steps {
        let Step::Filter(filter) = step else { break };
        collect(filter, is_json, names, &mut filters);
    }
    filters
}

fn collect(filter: &Filter, is_json: bool, names: &Names, out: &mut Vec<ParsedFilter>) {
    match filter {
        Filter::All(parts) => parts.iter().for_each(|part| collect(part, is_json, names, out)),
        // Whether an address counts depends on errors.
        Filter::Any(_) | Filter::Ip { .. } => {}
        single => {
            let Some(name) = single.single_name() else { return };
            let text = names.text(name);
            // A suffixed name may be that of something else that was renamed.
            let is_own = !matches!(name, ERROR | ERROR_DETAILS | PRESERVE_ERROR);
            if is_own && without_suffix(text).is_none() {
                let (filter, text) = (single.clone(), text.into());
                out.push(ParsedFilter { filter, name, text, is_json, rows: None });
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
        known: &[RowMatch],
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
                    return Verdict::All(false);
                }
                let fields = if self.is_json { columns.json(shape) } else { columns.logfmt(shape) };
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
            Verdict::Values(_) if known.get(row) == Some(&RowMatch::No) => false,
            Verdict::Values(field) => passes(field, row, *rank),
        });
        self.rows = Some(passes.collect());
    }

    fn verdict<'a>(&self, lines: &'a dyn ColumnLines, fields: &'a [PlannedField]) -> Verdict<'a> {
        // Of two fields with one name the first counts.
        let Some(field) = fields.iter().find(|field| field.name == self.name) else {
            return Verdict::All(!self.filter.drops(None));
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
