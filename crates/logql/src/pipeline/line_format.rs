//! `| line_format "…"`: a template makes the new line (language reference 6.1).

use model::Timestamp;

use super::labels::{RowLabels, Value};
use super::names::{ERROR, ERROR_DETAILS, NameId, Names};
use super::row::{Row, RowView};
use crate::template::{Data, Piece, Template};

/// The error of a row whose template failed.
pub(super) const FORMAT_ERROR: &str = "TemplateFormatErr";

/// A compiled template with its shortcuts.
#[derive(Debug, Clone)]
pub(super) struct Formatter {
    template: Template,
    shortcut: Option<Shortcut>,
}

/// A template that needs no executing.
#[derive(Debug, Clone)]
enum Shortcut {
    /// Nothing but one label. It is read past the map of labels, so `{{.__error__}}` is empty
    /// (Q17).
    Label(NameId),
    /// Texts and labels.
    Pieces(Vec<Compiled>),
}

#[derive(Debug, Clone)]
enum Compiled {
    Text(Box<str>),
    Label(NameId),
}

impl Formatter {
    /// Compiles a template; `name` is how errors call it.
    ///
    /// # Errors
    ///
    /// Go's text of the fault.
    pub(super) fn compile(
        name: &'static str,
        text: &str,
        names: &mut Names,
    ) -> Result<Self, String> {
        let template = Template::parse(name, text)?;
        let pieces = template.pieces().map(|pieces| {
            let compiled = pieces.into_iter().map(|piece| match piece {
                Piece::Text(text) => Compiled::Text(text),
                Piece::Label(label) => Compiled::Label(names.intern(&label)),
            });
            compiled.collect::<Vec<_>>()
        });
        let shortcut = pieces.map(|pieces| match pieces.as_slice() {
            [Compiled::Label(name)] => Shortcut::Label(*name),
            _ => Shortcut::Pieces(pieces),
        });
        Ok(Self { template, shortcut })
    }

    /// The template.
    pub(super) fn template(&self) -> &Template {
        &self.template
    }

    /// Appends what the template makes of a row. With a `snapshot` the labels are those.
    ///
    /// # Errors
    ///
    /// Go's text of the fault.
    pub(super) fn write(
        &self,
        row: &Row<'_, '_>,
        now: Timestamp,
        snapshot: Option<&[(NameId, Value)]>,
        out: &mut Vec<u8>,
    ) -> Result<(), String> {
        let data = RowData { labels: row.labels, view: row.view, line: row.line(), now, snapshot };
        match &self.shortcut {
            Some(Shortcut::Label(name)) if snapshot.is_none() => {
                out.extend_from_slice(row.get(*name).unwrap_or_default());
            }
            Some(Shortcut::Label(name)) => {
                out.extend_from_slice(data.value(*name).unwrap_or_default());
            }
            Some(Shortcut::Pieces(pieces)) => {
                for piece in pieces {
                    out.extend_from_slice(match piece {
                        Compiled::Text(text) => text.as_bytes(),
                        Compiled::Label(name) => data.value(*name).unwrap_or_default(),
                    });
                }
            }
            None => return self.template.execute(&data, out),
        }
        Ok(())
    }
}

/// What templates see of a row.
struct RowData<'d> {
    labels: &'d RowLabels,
    view: RowView<'d>,
    line: &'d [u8],
    now: Timestamp,
    snapshot: Option<&'d [(NameId, Value)]>,
}

impl RowData<'_> {
    fn value(&self, name: NameId) -> Option<&[u8]> {
        if let Some(snapshot) = self.snapshot {
            let found = snapshot.iter().find(|(known, _)| *known == name);
            return found.map(|(_, value)| self.labels.bytes(self.view, *value));
        }
        let special = match name {
            ERROR => self.labels.error(self.view),
            ERROR_DETAILS if !self.labels.is_base() => self.labels.error_details(self.view),
            _ => b"",
        };
        if special.is_empty() { self.labels.get(self.view, name) } else { Some(special) }
    }
}

impl Data for RowData<'_> {
    fn label(&self, name: &str) -> Option<&[u8]> {
        self.value(self.labels.names.find(name)?)
    }

    fn labels(&self) -> Vec<(String, Vec<u8>)> {
        let text = |(name, value): (NameId, Value)| {
            let name = self.labels.names.text(name).to_owned();
            (name, self.labels.bytes(self.view, value).to_vec())
        };
        let mut labels: Vec<(String, Vec<u8>)> = match self.snapshot {
            Some(snapshot) => snapshot.iter().copied().map(text).collect(),
            None => self.labels.effective().map(text).collect(),
        };
        labels.sort();
        labels
    }

    fn line(&self) -> &[u8] {
        self.line
    }

    fn timestamp(&self) -> Timestamp {
        self.view.timestamp
    }

    fn now(&self) -> Timestamp {
        self.now
    }
}

/// Runs the stage on a row. A template that fails leaves the line and marks the row.
pub(super) fn run(formatter: &Formatter, row: &mut Row<'_, '_>, now: Timestamp) {
    let mut next = std::mem::take(&mut row.lines.next);
    next.clear();
    let result = formatter.write(row, now, None, &mut next);
    row.lines.next = next;
    match result {
        Ok(()) => row.lines.swap(),
        Err(fault) => row.labels.set_error(FORMAT_ERROR, Some(&fault)),
    }
}
