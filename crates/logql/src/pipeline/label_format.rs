//! `| label_format a=b, c="{{.d}}"`: renames labels and sets them from templates (language
//! reference 6.1).
//!
//! Items run left to right. A rename moves: `x=x` therefore removes `x`, and a swap in one stage
//! loses a label (Q16). Templates of one stage all see the labels as they stood before the first
//! of them.

use model::Timestamp;

use super::hints::ExtractPlan;
use super::labels::Value;
use super::line_format::{FORMAT_ERROR, Formatter};
use super::names::{NameId, Names};
use super::row::Row;
use crate::syntax::ast::{LabelFormat, LabelFormatValue};

/// A compiled item.
#[derive(Debug, Clone)]
pub(super) struct Item {
    target: NameId,
    source: Source,
}

#[derive(Debug, Clone)]
enum Source {
    Label(NameId),
    Template(Box<Formatter>),
}

/// The compiled stage.
#[derive(Debug, Clone)]
pub(super) struct LabelFormatter {
    items: Vec<Item>,
    /// Whether a template follows another one, so that the labels must be remembered.
    needs_snapshot: bool,
}

impl LabelFormatter {
    /// Compiles the stage.
    ///
    /// # Errors
    ///
    /// The text of a refused target or template.
    pub(super) fn compile(items: &[LabelFormat], names: &mut Names) -> Result<Self, String> {
        let mut compiled: Vec<Item> = Vec::with_capacity(items.len());
        for item in items {
            if item.target == "__error__" {
                return Err("__error__ cannot be formatted".into());
            }
            let target = names.intern(&item.target);
            if compiled.iter().any(|known| known.target == target) {
                let name = &item.target;
                return Err(format!(
                    "multiple label name '{name}' not allowed in a single format operation"
                ));
            }
            let source = match &item.value {
                LabelFormatValue::Rename(source) => Source::Label(names.intern(source)),
                LabelFormatValue::Template(text) => {
                    let formatter = Formatter::compile("label", text, names).map_err(|fault| {
                        format!("invalid template for label '{}': {fault}", item.target)
                    })?;
                    Source::Template(Box::new(formatter))
                }
            };
            compiled.push(Item { target, source });
        }
        let is_template = |item: &&Item| matches!(item.source, Source::Template(_));
        let needs_snapshot = compiled.iter().filter(is_template).count() > 1;
        Ok(Self { items: compiled, needs_snapshot })
    }

    /// The templates of the stage.
    pub(super) fn formatters(&self) -> impl Iterator<Item = &Formatter> {
        self.items.iter().filter_map(|item| match &item.source {
            Source::Template(formatter) => Some(&**formatter),
            Source::Label(_) => None,
        })
    }

    /// The labels that are renamed.
    pub(super) fn sources(&self) -> impl Iterator<Item = NameId> {
        self.items.iter().filter_map(|item| match item.source {
            Source::Label(source) => Some(source),
            Source::Template(_) => None,
        })
    }

    /// Runs the stage on a row. `snapshot` is scratch space.
    pub(super) fn run(
        &self,
        row: &mut Row<'_, '_>,
        plan: &ExtractPlan,
        now: Timestamp,
        snapshot: &mut Vec<(NameId, Value)>,
    ) {
        snapshot.clear();
        for item in &self.items {
            match &item.source {
                Source::Label(source) => rename(row, plan, *source, item.target),
                Source::Template(formatter) => {
                    if self.needs_snapshot && snapshot.is_empty() {
                        snapshot.extend(row.labels.effective());
                    }
                    let labels = self.needs_snapshot.then_some(snapshot.as_slice());
                    self.set(row, plan, (item.target, formatter), (now, labels));
                }
            }
        }
    }

    fn set(
        &self,
        row: &mut Row<'_, '_>,
        plan: &ExtractPlan,
        (target, formatter): (NameId, &Formatter),
        (now, labels): (Timestamp, Option<&[(NameId, Value)]>),
    ) {
        let mut next = std::mem::take(&mut row.lines.next);
        next.clear();
        let result = formatter.write(row, now, labels, &mut next);
        match result {
            Ok(()) => {
                let value = row.labels.make(&next);
                row.labels.set_parsed(plan, target, value);
            }
            Err(fault) => row.labels.set_error(FORMAT_ERROR, Some(&fault)),
        }
        row.lines.next = next;
    }
}

fn rename(row: &mut Row<'_, '_>, plan: &ExtractPlan, source: NameId, target: NameId) {
    if let Some(value) = row.labels.find(source) {
        row.labels.set_parsed(plan, target, value);
        row.labels.delete(source);
    }
}
