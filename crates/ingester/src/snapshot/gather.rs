//! Copying the rows of a piece out of the slabs, column by column.

use hashbrown::HashMap;
use logql::source::{Batch, StreamRun, Want, WantLines, WantMetadata};
use model::Level;
use model::columns::{Lines, TextColumn};
use model::level::LEVEL_NAME;

use super::plan::Planned;
use crate::row::{Row, slab_bytes};

/// Loads a piece with at least the wanted columns.
pub(super) fn gather(planned: &Planned, want: &Want) -> Batch {
    let rows = planned.rows as usize;
    let mut batch = Batch {
        runs: Vec::with_capacity(planned.parts.len()),
        timestamps: Vec::with_capacity(rows),
        ..Batch::default()
    };
    if matches!(want.lines, WantLines::Columns | WantLines::Text) {
        batch.lines = Lines::with_capacity(rows, planned.bytes as usize);
    }
    let mut metadata = MetadataColumns::new(&want.metadata, rows);
    for part in &planned.parts {
        let start = batch.timestamps.len();
        let list = part.run.rows(&planned.slabs);
        for row in list.range(part.rows.start, part.rows.end) {
            batch.timestamps.push(row.timestamp);
            match want.lines {
                WantLines::None => {}
                WantLines::Lengths => batch.lengths.push(row.line_len()),
                WantLines::Columns | WantLines::Text => {
                    batch.lines.push(row.line(slab_bytes(&planned.slabs, row.slab)));
                }
            }
            metadata.add(*row, planned);
        }
        batch.runs.push(StreamRun {
            labels: part.run.labels.clone(),
            fingerprint: part.run.fingerprint,
            rows: start..batch.timestamps.len(),
            copies: part.copies,
        });
    }
    batch.metadata = metadata.finish();
    batch
}

/// The columns of structured metadata, as far as they are wanted.
struct MetadataColumns<'a> {
    want: &'a WantMetadata,
    rows: usize,
    row: usize,
    columns: HashMap<&'a str, Column<'a>>,
    wants_level: bool,
}

/// One column in the making.
#[derive(Default)]
struct Column<'a> {
    codes: Vec<u32>,
    values: Vec<&'a str>,
    by_value: HashMap<&'a str, u32>,
}

impl<'a> MetadataColumns<'a> {
    fn new(want: &'a WantMetadata, rows: usize) -> Self {
        let wants_level = wants(want, LEVEL_NAME);
        Self { want, rows, row: 0, columns: HashMap::new(), wants_level }
    }

    fn add(&mut self, row: Row, planned: &'a Planned) {
        let index = self.row;
        self.row += 1;
        if *self.want == WantMetadata::None {
            return;
        }
        if self.wants_level
            && let Some(level) = row.level()
        {
            self.set(LEVEL_NAME, level_text(level), index);
        }
        if row.has_metadata() {
            let slab = slab_bytes(&planned.slabs, row.slab);
            for (name, value) in row.metadata(slab) {
                if wants(self.want, name) {
                    self.set(name, value, index);
                }
            }
        }
    }

    /// Of equal names in one row the last counts.
    fn set(&mut self, name: &'a str, value: &'a str, row: usize) {
        let column = self.columns.entry(name).or_default();
        if column.codes.is_empty() {
            column.codes.reserve_exact(self.rows);
        }
        column.codes.resize(row, 0);
        let values = &mut column.values;
        let code = *column.by_value.entry(value).or_insert_with(|| {
            values.push(value);
            values.len() as u32
        });
        column.codes.push(code);
    }

    fn finish(self) -> Vec<TextColumn> {
        let rows = self.row;
        let mut columns: Vec<(&str, Column<'_>)> = self.columns.into_iter().collect();
        columns.sort_unstable_by_key(|(name, _)| *name);
        let build = |(name, mut column): (&str, Column<'_>)| {
            column.codes.resize(rows, 0);
            TextColumn::from_parts(name, column.codes, column.values.into_iter().collect())
        };
        columns.into_iter().filter_map(build).collect()
    }
}

fn wants(want: &WantMetadata, name: &str) -> bool {
    match want {
        WantMetadata::None => false,
        WantMetadata::Names(names) => names.iter().any(|wanted| wanted == name),
        WantMetadata::All => true,
    }
}

fn level_text(level: Level) -> &'static str {
    level.as_str()
}
