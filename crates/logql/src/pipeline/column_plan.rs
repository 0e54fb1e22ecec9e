//! Running on lines that were taken apart (see [`model::column_lines`]).
//!
//! What a stage does with a line depends on the line's shape but for the values. So it is decided
//! once per shape of a batch whether the stages can do without lines, and which fields `json` and
//! `logfmt` find, in the order in which they would. Values are fetched row by row, and only those
//! that somebody wants. Where the shape does not say everything, the row's line is put together and
//! goes the usual way.

use std::sync::Arc;

use model::column_lines::{ColumnLines, FieldKind, FieldPart, LineField};

use super::extract::{Extractor, Flow};
use super::hints::ExtractPlan;
use super::keys::{KeyCursor, Keys};
use super::labels::RowLabels;
use super::logfmt::Logfmt;
use super::names::NameId;
use super::program::Step;
use super::row::Row;
use super::scan::{append_clean, is_clean};

/// A row of a batch whose lines were taken apart.
#[derive(Debug, Clone, Copy)]
pub struct ColumnRow<'a> {
    /// The batch's lines.
    pub lines: &'a Arc<dyn ColumnLines>,
    /// The row.
    pub row: usize,
    /// Its shape.
    pub shape: u32,
    /// Its rank among the rows of that shape.
    pub rank: u32,
}

impl<'a> ColumnRow<'a> {
    /// A row of a batch; `None` when there is no such row.
    #[must_use]
    pub fn new(lines: &'a Arc<dyn ColumnLines>, row: usize) -> Option<Self> {
        let (shape, rank) = (*lines.row_shapes().get(row)?, *lines.ranks().get(row)?);
        Some(Self { lines, row, shape, rank })
    }
}

/// A field that a parser sets as a label.
#[derive(Debug)]
pub(super) struct PlannedField {
    /// The label, without regard to conflicts; for `logfmt` with keys, the key.
    pub(super) name: NameId,
    pub(super) parts: Vec<FieldPart>,
}

impl PlannedField {
    /// Appends the label's value in the row of a rank, given the row's time.
    #[inline]
    pub(super) fn append_value(
        &self,
        lines: &dyn ColumnLines,
        rank: u32,
        timestamp: i64,
        out: &mut Vec<u8>,
    ) {
        let start = out.len();
        self.append_raw(lines, rank, timestamp, out);
        make_clean(out, start);
    }

    /// The same as it stands in the line, text or not.
    #[inline]
    pub(super) fn append_raw(
        &self,
        lines: &dyn ColumnLines,
        rank: u32,
        timestamp: i64,
        out: &mut Vec<u8>,
    ) {
        for part in &self.parts {
            match part {
                FieldPart::Same(text) => out.extend_from_slice(text),
                FieldPart::Column(column) => lines.append_value(*column, rank, timestamp, out),
            }
        }
    }
}

/// Puts a blank for every byte from `start` on that is no text.
pub(super) fn make_clean(value: &mut Vec<u8>, start: usize) {
    if !is_clean(&value[start..]) {
        let raw = value.split_off(start);
        append_clean(&raw, value);
    }
}

/// What is decided about a shape.
#[derive(Debug, Default)]
struct ShapePlan {
    /// Whether some stage reads the line itself.
    needs_line: bool,
    /// What `json` finds, what `logfmt` does, and what `json` with paths does; `None` when the line
    /// must tell.
    json: Option<Vec<PlannedField>>,
    logfmt: Option<Vec<PlannedField>>,
    paths: Option<Vec<PlannedField>>,
    /// The pairs whose keys `logfmt` with keys asks for.
    pairs: Option<Vec<PlannedField>>,
}

/// What is known of the current batch whose lines were taken apart.
#[derive(Debug, Default)]
pub(super) struct ColumnPlan {
    /// The batch's lines: kept, so that no others can stand in their place.
    of: Option<Arc<dyn ColumnLines>>,
    /// The scratch's generation of names that the plans were made in.
    generation: u32,
    shapes: Vec<Option<ShapePlan>>,
}

impl ColumnPlan {
    /// Forgets what belongs to another batch or to names that were forgotten.
    pub(super) fn enter(&mut self, lines: &Arc<dyn ColumnLines>, generation: u32) {
        let is_known = self.of.as_ref().is_some_and(|of| Arc::ptr_eq(of, lines));
        if is_known && self.generation == generation {
            return;
        }
        self.shapes.clear();
        self.shapes.resize_with(lines.shapes(), || None);
        self.of = Some(Arc::clone(lines));
        self.generation = generation;
    }

    /// Whether the stages need the line of a row; plans its shape.
    pub(super) fn needs_line(
        &mut self,
        shape: u32,
        steps: &[Step],
        plan: &ExtractPlan,
        (labels, keys): (&mut RowLabels, &mut Keys),
    ) -> bool {
        let (Some(of), Some(place)) = (&self.of, self.shapes.get_mut(shape as usize)) else {
            return true;
        };
        let shape = place
            .get_or_insert_with(|| ShapePlan::new(of.as_ref(), shape, steps, plan, (labels, keys)));
        shape.needs_line
    }

    /// What `json` finds in the lines of a shape that does not need them.
    pub(super) fn json(&self, shape: u32) -> Option<&[PlannedField]> {
        self.shape(shape)?.json.as_deref()
    }

    /// What `logfmt` finds, likewise.
    pub(super) fn logfmt(&self, shape: u32) -> Option<&[PlannedField]> {
        self.shape(shape)?.logfmt.as_deref()
    }

    /// What `json` with paths finds, likewise: no label twice.
    pub(super) fn paths(&self, shape: u32) -> Option<&[PlannedField]> {
        self.shape(shape)?.paths.as_deref()
    }

    /// What `logfmt` with keys finds, likewise: all pairs with these keys.
    pub(super) fn pairs(&self, shape: u32) -> Option<&[PlannedField]> {
        self.shape(shape)?.pairs.as_deref()
    }

    fn shape(&self, shape: u32) -> Option<&ShapePlan> {
        self.shapes.get(shape as usize)?.as_ref().filter(|shape| !shape.needs_line)
    }
}

/// Runs `json` or `logfmt` on a row whose line was taken apart, given what the stage finds there.
pub(super) fn run(row: &mut Row<'_, '_>, plan: &ExtractPlan, fields: &[PlannedField]) -> Flow {
    let Some(at) = row.view.columns else { return Flow::Continue };
    match Extractor::open(row, plan) {
        Some((_, mut extractor)) => extractor.take(fields, at),
        None => Flow::Continue,
    }
}

impl ShapePlan {
    fn new(
        lines: &dyn ColumnLines,
        shape: u32,
        steps: &[Step],
        plan: &ExtractPlan,
        (labels, keys): (&mut RowLabels, &mut Keys),
    ) -> Self {
        let mut made = Self::default();
        for step in steps {
            let is_known = match step {
                Step::Json if made.json.is_none() => {
                    let fields = lines.json_fields(shape);
                    made.json = fields.map(|fields| json_fields(fields, plan, (labels, keys)));
                    made.json.is_some()
                }
                Step::Logfmt(logfmt) if logfmt.has_extracts() && made.pairs.is_none() => {
                    let wants = |name| logfmt.asks_for(name);
                    made.pairs = pairs((lines, shape), wants, plan, labels, keys);
                    made.pairs.is_some()
                }
                Step::Logfmt(logfmt) if !logfmt.has_extracts() && made.logfmt.is_none() => {
                    made.logfmt = logfmt_fields(logfmt, (lines, shape), plan, labels, keys);
                    made.logfmt.is_some()
                }
                Step::JsonPaths(paths) if made.paths.is_none() => {
                    let fields = lines.json_fields(shape);
                    made.paths = fields.and_then(|fields| paths.planned(&fields));
                    made.paths.is_some()
                }
                // Two stages may have been told different things.
                Step::Logfmt(_) | Step::JsonPaths(_) => false,
                step => !step.reads_line(),
            };
            if !is_known {
                return Self { needs_line: true, ..Self::default() };
            }
        }
        made
    }
}

/// The members that [`super::json`] would set, in its order.
fn json_fields(
    fields: Vec<LineField>,
    plan: &ExtractPlan,
    (labels, keys): (&mut RowLabels, &mut Keys),
) -> Vec<PlannedField> {
    let mut planned = Vec::new();
    let mut cursor = KeyCursor::START;
    for field in fields {
        let Some((last, outer)) = field.keys.split_last() else { continue };
        let mut prefix: Option<NameId> = None;
        let mut is_entered = true;
        for key in outer {
            let key = keys.resolve(&mut labels.names, plan, &mut cursor, (prefix, key));
            prefix = key.name;
            is_entered &= key.may_prefix;
        }
        if !is_entered || matches!(field.kind, FieldKind::Null | FieldKind::Container) {
            continue;
        }
        let key = keys.resolve(&mut labels.names, plan, &mut cursor, (prefix, last));
        // Nobody takes what is not welcome: a suffixed name is only if the plain one is.
        if let Some(name) = key.name.filter(|name| plan.welcomes(*name)) {
            planned.push(PlannedField { name, parts: field.parts });
        }
    }
    labels.grow();
    planned
}

/// The pairs that [`super::logfmt`] would set, in its order; `None` when it would complain.
fn logfmt_fields(
    stage: &Logfmt,
    (lines, shape): (&dyn ColumnLines, u32),
    plan: &ExtractPlan,
    labels: &mut RowLabels,
    keys: &mut Keys,
) -> Option<Vec<PlannedField>> {
    let planned = pairs((lines, shape), |name| plan.welcomes(name), plan, labels, keys)?;
    let is_set = |field: &PlannedField| !field.parts.is_empty() || stage.keeps_empty();
    Some(planned.into_iter().filter(is_set).collect())
}

/// The pairs whose keys are wanted, in order; `None` when the line must tell.
fn pairs(
    (lines, shape): (&dyn ColumnLines, u32),
    wants: impl Fn(NameId) -> bool,
    plan: &ExtractPlan,
    labels: &mut RowLabels,
    keys: &mut Keys,
) -> Option<Vec<PlannedField>> {
    let mut names = Vec::new();
    let mut cursor = KeyCursor::START;
    let mut are_clean = true;
    let fields = lines.logfmt_fields(shape, &mut |key| {
        are_clean &= is_clean(key);
        if !are_clean {
            return false;
        }
        let key = keys.resolve(&mut labels.names, plan, &mut cursor, (None, key));
        let name = key.name.filter(|name| wants(*name));
        names.extend(name);
        name.is_some()
    });
    labels.grow();
    let fields = fields.filter(|_| are_clean)?;
    let planned = names.into_iter().zip(fields);
    Some(planned.map(|(name, field)| PlannedField { name, parts: field.parts }).collect())
}
