//! The stages between a stream selector and an answer.
//!
//! A [`Pipeline`] is compiled once per log expression and shared by all threads; what changes per
//! row lives in a [`Scratch`], one per thread. The engine first [`Pipeline::sweep`]s a batch, which
//! runs the leading line filters over the joined text, and then hands each row that is left to
//! [`Pipeline::process`].
//!
//! Loki's answers are the measure, oddities included. Each has its place:
//!
//! | quirk | what shows | where |
//! |---|---|---|
//! | Q1 | label expressions like `warn.*` match substrings | `regex_simplify` |
//! | Q2 | alternatives that always hold are thrown away | `line_filter`, `regex_simplify` |
//! | Q3 | `logfmt` with extracts and `by` leaves labels empty | `logfmt` |
//! | Q4 | line filters pass `decolorize` | `program` |
//! | Q5 | simple label filters run when a parser sets their label | `hints` |
//! | Q6 | unread `line_format`s vanish from metric queries | `program` |
//! | Q7 | `unpack` does nothing when no label matters | `hints` |
//! | Q8 | only plain fields of templates count as read | `hints`, `template` |
//! | Q9 | dropped labels stay taken and extracted | `labels` |
//! | Q10 | `by` never shows a label that was once deleted | `series` |
//! | Q16 | renaming a label to itself removes it | `label_format` |
//! | Q17 | `{{.__error__}}` alone is empty | `line_format` |
//! | Q18 | details without an error show only beside other changes | `labels` |
//!
//! Faults of single functions (`trunc` in bytes, `date` of a text) are told at the function.

mod column_codes;
mod column_memo;
mod column_plan;
mod column_sweep;
mod decolorize;
mod drop_keep;
mod extract;
mod hints;
mod hir;
mod ip;
mod json;
mod json_keys;
mod json_path;
mod json_scan;
mod keys;
mod label_filter;
mod label_format;
mod labels;
pub(crate) mod letter_case;
mod line_filter;
mod line_format;
mod literal;
mod logfmt;
mod logfmt_scan;
pub(crate) mod names;
pub(crate) mod number;
mod pattern;
mod program;
mod regex_simplify;
mod regexp;
mod required;
mod row;
mod scan;
mod series;
mod sweep;
mod unpack;
pub(crate) mod unwrap;

use std::ops::Range;

use model::answer::ResultLabels;
use model::{ErrorKind, Labels, Timestamp};

use crate::source::{Batch, Required, RequiredLabel, Want, WantLines, WantMetadata};
use crate::syntax::ast::{Stage, Unwrap};
use column_sweep::{ColumnSweep, Planning};
use hints::ExtractPlan;
use keys::Keys;
use labels::RowLabels;
use names::Names;
use program::{Program, Step, StepBuffers};
use required::ParsedSweep;
use row::{LineBuffers, Row};
use series::Reducer;
use sweep::Sweep;

pub use crate::template::template_functions;
pub use column_memo::{Memo, MemoPlace, Recalled};
pub use column_plan::ColumnRow;
pub use hints::{Hints, Reduction};
pub use json_keys::json_keys;
pub use number::parse_float;
pub use row::{Metadata, RowView};

/// How many names and keys a scratch remembers before it starts afresh.
const NAMES_MAX: usize = 50_000;

/// Why a pipeline was refused; the text is the one Loki answers with status 400.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct PipelineError(pub String);

impl PipelineError {
    /// What the caller does about it: the query is at fault.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }
}

/// The compiled stages of one log expression.
#[derive(Debug)]
pub struct Pipeline {
    names: Names,
    sweep: Sweep,
    parsed: Option<ParsedSweep>,
    program: Program,
    plan: ExtractPlan,
    reducer: Reducer,
    wants: Want,
    /// Whether the result needs the lengths of lines.
    measures_lines: bool,
    /// Whether rows with the same values have the same fate.
    is_memorable: bool,
    now: Timestamp,
}

/// What a thread needs to run a pipeline.
#[derive(Debug)]
pub struct Scratch {
    /// Copies of the pipeline's: expressions keep their search caches to one thread that way.
    sweep: Sweep,
    parsed: Option<ParsedSweep>,
    columns: ColumnSweep,
    program: Program,
    labels: RowLabels,
    keys: Keys,
    lines: LineBuffers,
    /// The line of a row whose line was taken apart, when some stage needs it.
    line: Vec<u8>,
    buffers: StepBuffers,
    /// How many names the query itself mentions.
    known_names: usize,
    /// How often names were forgotten; part of every key that holds names.
    generation: u32,
    bases: series::Bases,
}

/// A row that passed: its line and labels after the last stage.
#[derive(Debug)]
pub struct Outcome<'s> {
    view: RowView<'s>,
    labels: &'s RowLabels,
    lines: &'s LineBuffers,
    reducer: &'s Reducer,
    base: series::BaseNumber,
    value: f64,
}

/// The labels of a row by where they came from.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Categories {
    /// Labels of the stream that no stage touched.
    pub stream: ResultLabels,
    /// Structured metadata.
    pub structured_metadata: ResultLabels,
    /// Labels that stages made, with the error labels.
    pub parsed: ResultLabels,
}

impl Pipeline {
    /// Compiles the stages of a log expression and what follows them.
    ///
    /// # Errors
    ///
    /// [`PipelineError`] when a regular expression, pattern, path or template is refused.
    pub fn build(
        stages: &[Stage],
        unwrap: Option<&Unwrap>,
        hints: Hints,
    ) -> Result<Self, PipelineError> {
        let mut names = Names::new();
        let program = Program::compile(stages, unwrap, &hints, &mut names);
        let mut program = program.map_err(|(at, fault)| {
            PipelineError(match at.and_then(|at| stages.get(at)) {
                Some(stage) => format!("parse error : stage '{stage}' : {fault}"),
                None => format!("parse error : {fault}"),
            })
        })?;
        let reduction = program::final_reduction(&hints, unwrap);
        let mentions = program.mentions(&mut names);
        let plan = ExtractPlan::new(&hints, &reduction, mentions, &mut names);
        let leading = std::mem::take(&mut program.leading);
        let lines = program.wants_lines(&plan, !leading.is_empty(), hints.lines);
        let has_text = lines == WantLines::Text;
        let parsed = ParsedSweep::new(&program, &names, &leading).filter(|_| has_text);
        let sweep = Sweep::new(leading);
        let metadata = wanted_metadata(&program, &hints, &reduction, &mut names);
        let reducer = Reducer::new(&reduction, &mut names);
        let wants = Want { lines, metadata };
        let measures_lines = hints.lines == WantLines::Lengths;
        let is_memorable = {
            let unwrapped = unwrap.map(|unwrap| &*unwrap.label);
            hints.metric && column_memo::is_fit(&program, &reduction, unwrapped)
        };
        let now = hints.now;
        Ok(Self {
            names,
            sweep,
            parsed,
            program,
            plan,
            reducer,
            wants,
            measures_lines,
            is_memorable,
            now,
        })
    }

    /// Whether lines that were taken apart serve as well as lines. They do when most rows can be
    /// told apart, or parsed, without their lines.
    #[must_use]
    pub fn reads_columns(&self) -> bool {
        self.wants.lines == WantLines::Text
            && !self.measures_lines
            && self.sweep.tests().iter().all(column_sweep::can_test)
            && !self.program.steps.first().is_some_and(Step::reads_line)
    }

    /// Which columns the stages and the result need.
    #[must_use]
    pub fn wants(&self) -> Want {
        self.wants.clone()
    }

    /// Texts that the line of every surviving row must hold, as far as that can be proven.
    #[must_use]
    pub fn required(&self) -> Vec<Required> {
        self.sweep.required()
    }

    /// What the labels of every surviving row must be, as far as that can be proven.
    #[must_use]
    pub fn required_labels(&self) -> Vec<RequiredLabel> {
        required::labels(&self.program.steps, &self.names)
    }

    /// State for one thread.
    #[must_use]
    pub fn scratch(&self) -> Scratch {
        Scratch {
            sweep: self.sweep.clone(),
            parsed: self.parsed.clone(),
            columns: ColumnSweep::new(self.sweep.tests(), &self.program, &self.names),
            program: self.program.clone(),
            labels: RowLabels::new(self.names.clone()),
            keys: Keys::default(),
            lines: LineBuffers::default(),
            line: Vec::new(),
            buffers: StepBuffers::default(),
            known_names: self.names.len(),
            generation: 0,
            bases: series::Bases::default(),
        }
    }

    /// Pushes the rows of `rows` whose line passes the leading line filters, in order.
    ///
    /// When the pipeline has no such filter every row is pushed. The filters that ran here are not
    /// run again by [`Pipeline::process`]. Rows that it would drop for sure, because their line
    /// cannot hold the label that a later stage asks for, may be left out as well.
    pub fn sweep(
        &self,
        batch: &Batch,
        rows: Range<usize>,
        scratch: &mut Scratch,
        out: &mut Vec<u32>,
    ) {
        if let Some(lines) = &batch.columns {
            let Scratch { columns: own, program, keys, labels, sweep, line, .. } = scratch;
            let columns = &mut scratch.buffers.columns;
            columns.enter(lines, scratch.generation);
            let (steps, plan) = (&program.steps[..], &self.plan);
            let mut planning = Planning { steps, plan, labels, keys, columns };
            own.run(batch, rows, &mut planning, (sweep, line), out);
            return;
        }
        if let Some(parsed) = &scratch.parsed
            && parsed.is_fit(batch, &rows)
        {
            parsed.run(&batch.lines, rows, out);
        } else if self.sweep.is_empty() {
            out.extend(rows.map(|row| row as u32));
        } else {
            scratch.sweep.run(&batch.lines, rows, out);
        }
    }

    /// Whether one line passes the leading line filters: [`Pipeline::sweep`] for a single row.
    #[must_use]
    pub fn admits(&self, line: &[u8], scratch: &mut Scratch) -> bool {
        scratch.sweep.keeps(line)
    }

    /// Runs a row through the stages that [`Pipeline::sweep`] left; `None` when it is dropped, and
    /// also when there is nothing to unwrap.
    ///
    /// Call it for all rows of one stream in succession: what depends on the stream's labels is
    /// kept in the scratch while `base` stays the same.
    pub fn process<'s>(
        &'s self,
        base: &Labels,
        row: RowView<'s>,
        scratch: &'s mut Scratch,
    ) -> Option<Outcome<'s>> {
        scratch.forget();
        let Scratch { program, labels, keys, lines, line, buffers, bases, generation, .. } =
            scratch;
        let mut row = row;
        if let Some(at) = row.columns {
            buffers.columns.enter(at.lines, *generation);
            let names = (&mut *labels, &mut *keys);
            if buffers.columns.needs_line(at.shape, &program.steps, &self.plan, names) {
                line.clear();
                at.lines.append_line(at.row, row.timestamp.0, line);
                row = RowView { line, columns: None, ..row };
            }
        }
        labels.begin(base, row, &self.plan);
        lines.is_rewritten = false;
        let mut cursor = Row { labels, lines, view: row };
        let value = program.run(&mut cursor, &self.plan, (keys, buffers), self.now)?;
        let base = bases.number(cursor.labels, *generation);
        Some(Outcome { view: row, labels, lines, reducer: &self.reducer, base, value })
    }
}

impl Scratch {
    /// Forgets names when hostile lines have brought too many.
    fn forget(&mut self) {
        if self.labels.names.len() > self.known_names + NAMES_MAX || self.keys.len() > NAMES_MAX {
            self.labels.forget_names(self.known_names);
            self.keys.clear();
            self.generation = self.generation.wrapping_add(1);
        }
    }
}

/// The metadata that the stages and the series need.
fn wanted_metadata(
    program: &Program,
    hints: &Hints,
    reduction: &Reduction,
    names: &mut Names,
) -> WantMetadata {
    let groups: &[String] = match reduction {
        _ if !hints.metric => return WantMetadata::All,
        Reduction::All | Reduction::Without(_) => return WantMetadata::All,
        Reduction::Nothing => &[],
        Reduction::By(groups) => groups,
    };
    let Some(mut wanted) = program.also_reads() else { return WantMetadata::All };
    wanted.extend(program.mentions(names).names);
    wanted.extend(groups.iter().map(|name| names.intern(name)));
    // A taken name is found under the name with the suffix, and the other way round.
    let mut texts: Vec<String> = Vec::new();
    for name in wanted {
        let text = names.text(name);
        texts.extend(names::without_suffix(text).map(str::to_owned));
        texts.push(text.to_owned());
    }
    if !texts.is_empty() || program.has_steps() {
        // Errors that came with the row.
        texts.extend([names::ERROR, names::ERROR_DETAILS].map(|n| names.text(n).to_owned()));
    }
    texts.sort();
    texts.dedup();
    if texts.is_empty() { WantMetadata::None } else { WantMetadata::Names(texts) }
}

impl Outcome<'_> {
    /// Appends the line after the last stage.
    pub fn append_line(&self, out: &mut Vec<u8>) {
        match self.view.columns {
            Some(at) if !self.lines.is_rewritten => {
                at.lines.append_line(at.row, self.view.timestamp.0, out);
            }
            _ => out.extend_from_slice(self.line()),
        }
    }

    /// The line after the last stage; empty when it was taken apart: see [`Outcome::append_line`].
    #[must_use]
    pub fn line(&self) -> &[u8] {
        if self.lines.is_rewritten { &self.lines.current } else { self.view.line }
    }

    /// The unwrapped value; 0 when there is no unwrap or the row carries an error.
    #[must_use]
    pub fn value(&self) -> f64 {
        self.value
    }

    /// The error of the row (`__error__`), empty when there is none.
    #[must_use]
    pub fn error(&self) -> &str {
        // Errors that are no text exist only when a client pushed one as metadata.
        std::str::from_utf8(self.labels.error(self.view)).unwrap_or("error")
    }

    /// Writes a key of the series labels into `key` (cleared first).
    ///
    /// Rows of one scratch with equal keys have equal [`Outcome::series_labels`]; rows with equal
    /// labels may have different keys. So a map from key to series saves building label sets per
    /// row, and a second map from label sets to series joins the rest.
    pub fn series_key(&self, key: &mut Vec<u8>) {
        key.clear();
        self.reducer.write_key(self.labels, self.view, self.base, key);
    }

    /// The labels after the query's [`Reduction`], in name order; of a log query all labels.
    ///
    /// A row that carries an error keeps all labels, so that the error shows.
    #[must_use]
    pub fn series_labels(&self) -> ResultLabels {
        self.reducer.labels(self.labels, self.view)
    }

    /// All labels, by where they came from.
    #[must_use]
    pub fn categories(&self) -> Categories {
        series::categories(self.labels, self.view)
    }
}

#[cfg(test)]
mod tests;
