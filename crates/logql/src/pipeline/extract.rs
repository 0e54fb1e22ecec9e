//! The side of a parser that knows labels: it names, keeps or refuses what the parser finds.

use super::column_plan::{ColumnRow, PlannedField};
use super::hints::ExtractPlan;
use super::keys::{KeyCursor, KeyName, Keys};
use super::labels::{RowLabels, Value};
use super::names::{NameId, PRESERVE_ERROR};
use super::row::{Row, RowView};
use super::scan::{append_clean, is_clean};

/// Whether a parser goes on after it set a label.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Flow {
    /// More may be wanted.
    Continue,
    /// Everything wanted was found.
    Stop,
    /// A filter on the label failed: the row is dropped.
    Drop,
}

/// The names of JSON and logfmt faults (`__error__`).
pub(super) const JSON_ERROR: &str = "JSONParserErr";
/// See [`JSON_ERROR`].
pub(super) const LOGFMT_ERROR: &str = "LogfmtParserErr";

/// Receives what a parser finds in a line.
pub(super) struct Extractor<'e, 'r> {
    pub(super) labels: &'e mut RowLabels,
    pub(super) plan: &'e ExtractPlan,
    pub(super) view: RowView<'r>,
    /// Whether the line is the row's own, so that values may point into it.
    is_original: bool,
}

impl<'e, 'r> Extractor<'e, 'r> {
    /// Splits a row into the line to parse and the receiver of its labels. `None` when no label
    /// is wanted any more.
    pub(super) fn open(
        row: &'e mut Row<'_, 'r>,
        plan: &'e ExtractPlan,
    ) -> Option<(&'e [u8], Self)> {
        if plan.skips_all() || row.labels.has_all(plan) {
            return None;
        }
        Some(Self::open_always(row, plan))
    }

    /// As [`Extractor::open`], for stages that run whatever is wanted.
    pub(super) fn open_always(row: &'e mut Row<'_, 'r>, plan: &'e ExtractPlan) -> (&'e [u8], Self) {
        let is_original = !row.lines.is_rewritten;
        let line: &'e [u8] = if is_original { row.view.line } else { &row.lines.current };
        (line, Self { labels: &mut *row.labels, plan, view: row.view, is_original })
    }

    /// The name of a key in the line, without regard to conflicts.
    #[inline]
    pub(super) fn resolve(
        &mut self,
        keys: &mut Keys,
        cursor: &mut KeyCursor,
        (prefix, raw): (Option<NameId>, &[u8]),
    ) -> KeyName {
        let key = keys.resolve(&mut self.labels.names, self.plan, cursor, (prefix, raw));
        self.labels.grow();
        key
    }

    /// The final name for a label that may be set: suffixed when taken; `None` when it was already
    /// extracted or nobody wants it.
    #[inline]
    pub(super) fn accept(&mut self, name: NameId) -> Option<NameId> {
        let (is_taken, is_extracted) = self.labels.probe(name);
        if is_taken {
            let name = self.labels.suffixed(name);
            return (!self.labels.is_extracted(name) && self.plan.welcomes(name)).then_some(name);
        }
        (!is_extracted && self.plan.welcomes(name)).then_some(name)
    }

    /// The name, with the suffix when an earlier layer holds it.
    #[inline]
    pub(super) fn suffixed_if_taken(&mut self, name: NameId) -> NameId {
        if self.labels.is_taken(name) { self.labels.suffixed(name) } else { name }
    }

    /// A value that is part of the line.
    #[inline]
    pub(super) fn slice(&mut self, line: &[u8], start: usize, end: usize) -> Value {
        if self.is_original {
            Value::in_line(start, end)
        } else {
            self.labels.make(&line[start..end])
        }
    }

    /// A value that is part of the line, with blanks for what is no text.
    #[inline]
    pub(super) fn clean_slice(&mut self, line: &[u8], start: usize, end: usize) -> Value {
        let text = &line[start..end];
        if is_clean(text) {
            return self.slice(line, start, end);
        }
        let made: Result<Value, std::convert::Infallible> = self.labels.make_with(|out| {
            append_clean(text, out);
            Ok(())
        });
        made.unwrap_or(Value::EMPTY)
    }

    /// The value of a field in a row whose line was taken apart.
    #[inline]
    pub(super) fn field_value(&mut self, field: &PlannedField, at: ColumnRow<'_>) -> Value {
        let timestamp = self.view.timestamp.0;
        let made: Result<Value, std::convert::Infallible> = self.labels.make_with(|out| {
            field.append_value(at.lines.as_ref(), at.rank, timestamp, out);
            Ok(())
        });
        made.unwrap_or(Value::EMPTY)
    }

    /// The same, but empty when it is no text.
    pub(super) fn text_value(&mut self, field: &PlannedField, at: ColumnRow<'_>) -> Value {
        let timestamp = self.view.timestamp.0;
        let made: Result<Value, std::convert::Infallible> = self.labels.make_with(|out| {
            let start = out.len();
            field.append_raw(at.lines.as_ref(), at.rank, timestamp, out);
            if !is_clean(&out[start..]) {
                out.truncate(start);
            }
            Ok(())
        });
        made.unwrap_or(Value::EMPTY)
    }

    /// Sets the labels of fields one after the other, as a parser that finds them in the line.
    pub(super) fn take(&mut self, fields: &[PlannedField], at: ColumnRow<'_>) -> Flow {
        for field in fields {
            if let Some(name) = self.accept(field.name) {
                let value = self.field_value(field, at);
                let flow = self.set(name, value);
                if flow != Flow::Continue {
                    return flow;
                }
            }
        }
        Flow::Continue
    }

    /// Sets a label and says whether to go on.
    #[inline]
    pub(super) fn set(&mut self, name: NameId, value: Value) -> Flow {
        self.labels.set_parsed(self.plan, name, value);
        if let Some(filter) = self.plan.early_filter(name)
            && !filter.keeps(self.labels, self.view)
        {
            return Flow::Drop;
        }
        if self.labels.has_all(self.plan) { Flow::Stop } else { Flow::Continue }
    }

    /// Sets a label without running filters, as the parsers with expressions do.
    pub(super) fn set_quietly(&mut self, name: NameId, value: Value) {
        self.labels.set_parsed(self.plan, name, value);
    }

    /// Notes a fault of the line.
    pub(super) fn fail(&mut self, error: &str, details: Option<&str>) {
        // An error without details (the details of an older error stay) is what Loki does.
        self.labels.set_error(error, details);
        if self.plan.preserves_errors() {
            let value = self.labels.make(b"true");
            self.labels.set_parsed(self.plan, PRESERVE_ERROR, value);
        }
    }
}
