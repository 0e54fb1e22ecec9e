//! Rows that differ only in what nobody looks at have the same fate.
//!
//! What a metric pipeline makes of a row whose line was taken apart depends on its stream, its shape
//! and the values of the fields that stages and series look at. Where those have codes, the stages run
//! once per combination, and further rows are looked up. The unwrapped value is the one thing that may
//! differ all the same: it is read row by row, and rows where it does not convert go the usual way.

use std::sync::Arc;

use model::column_lines::{ColumnLines, FieldPart};

use super::column_codes::Combined;
use super::column_plan::{ColumnRow, make_clean};
use super::hints::Reduction;
use super::names::without_suffix;
use super::program::{Program, Step};
use super::{Pipeline, Scratch};
use crate::source::{Batch, StreamRun};

/// Most combinations of codes of a shape.
const COMBINATIONS_MAX: usize = 4096;

/// What is remembered of the rows of a batch.
#[derive(Debug)]
pub struct Memo<'b> {
    lines: &'b Arc<dyn ColumnLines>,
    /// By shape; `None` until a row of it came.
    shapes: Vec<Option<Way<'b>>>,
    /// The number of the current run.
    run: u32,
    value: Vec<u8>,
}

/// How the rows of a shape are treated.
#[derive(Debug)]
enum Way<'b> {
    /// Row by row.
    Usual,
    /// All are dropped.
    Dropped,
    Coded(Coded<'b>),
}

#[derive(Debug)]
struct Coded<'b> {
    codes: Combined<'b>,
    /// What the unwrapped value consists of, if there is one.
    value: Option<Vec<FieldPart>>,
    /// By combination, for the run of this number.
    known: Vec<Fate>,
    run: u32,
}

/// What becomes of rows.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Fate {
    Unknown,
    Usual,
    Dropped,
    Series(u32),
}

/// What is known of a row.
#[derive(Debug, Clone, Copy, PartialEq)]
pub enum Recalled {
    /// It must go through the stages; with a place, [`Memo::learn`] wants to know what they said.
    Usual(Option<MemoPlace>),
    /// It is dropped.
    Dropped,
    /// It belongs to a series, with this unwrapped value, or 0.
    Series(u32, f64),
}

/// Where something can be remembered.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct MemoPlace {
    shape: u32,
    combination: usize,
}

/// Whether rows with the same values in the fields that stages look at have the same fate, but for
/// the unwrapped value.
pub(super) fn is_fit(program: &Program, reduction: &Reduction, unwrapped: Option<&str>) -> bool {
    if let (Reduction::By(groups), Some(unwrapped)) = (reduction, unwrapped)
        && groups.iter().any(|group| group == unwrapped)
    {
        return false;
    }
    // A suffixed name may be that of something else that was renamed.
    if unwrapped.is_some_and(|name| without_suffix(name).is_some()) {
        return false;
    }
    let mut names = Vec::new();
    let mut parsers = 0;
    let mut filters_only = true;
    for step in &program.steps {
        match step {
            Step::Json | Step::JsonPaths(_) | Step::Logfmt(_) => parsers += 1,
            Step::Filter(filter) => filter.names(&mut names),
            Step::Drop(_) | Step::Keep(_) => filters_only = false,
            _ => return false,
        }
    }
    let Some(unwrap) = &program.unwrap else { return parsers > 0 };
    unwrap.filters().iter().for_each(|filter| filter.names(&mut names));
    // Nobody but the unwrap may look at the value, and it must be clear where it comes from.
    parsers == 1 && filters_only && !names.contains(&unwrap.name())
}

impl Pipeline {
    /// A memory for the rows of a batch, if that is of use: for pipelines of metric queries.
    #[must_use]
    pub fn memo<'b>(&self, batch: &'b Batch) -> Option<Memo<'b>> {
        let lines = batch.columns.as_ref()?;
        let is_fit = self.is_memorable && batch.metadata.is_empty();
        is_fit.then(|| Memo {
            lines,
            shapes: std::iter::repeat_with(|| None).take(lines.shapes()).collect(),
            run: 0,
            value: Vec::new(),
        })
    }

    /// Whether rows of a run may be looked up. Begins the run.
    pub fn begin_run(&self, memo: &mut Memo<'_>, run: &StreamRun) -> bool {
        memo.run += 1;
        // A label of the stream would stand in the value's place.
        let unwrap = self.program.unwrap.as_ref().map(|unwrap| self.names.text(unwrap.name()));
        unwrap.is_none_or(|name| run.labels.get(name).is_none())
    }

    /// What is known of a row of the current run.
    pub fn recall(
        &self,
        memo: &mut Memo<'_>,
        row: usize,
        timestamp: i64,
        scratch: &mut Scratch,
    ) -> Recalled {
        let Some(at) = ColumnRow::new(memo.lines, row) else { return Recalled::Usual(None) };
        let Some(way) = memo.shapes.get_mut(at.shape as usize) else {
            return Recalled::Usual(None);
        };
        let coded = match way.get_or_insert_with(|| self.way(at, scratch)) {
            Way::Usual => return Recalled::Usual(None),
            Way::Dropped => return Recalled::Dropped,
            Way::Coded(coded) => coded,
        };
        if coded.run != memo.run {
            coded.known.fill(Fate::Unknown);
            coded.run = memo.run;
        }
        let Some(combination) = coded.codes.get(at.rank) else { return Recalled::Usual(None) };
        let fate = coded.known[combination];
        match fate {
            Fate::Usual => return Recalled::Usual(None),
            Fate::Dropped => return Recalled::Dropped,
            Fate::Unknown | Fate::Series(_) => {}
        }
        let mut number = 0.0;
        if let (Some(parts), Some(unwrap)) = (&coded.value, &self.program.unwrap) {
            memo.value.clear();
            for part in parts {
                match part {
                    FieldPart::Same(text) => memo.value.extend_from_slice(text),
                    FieldPart::Column(column) => {
                        memo.lines.append_value(*column, at.rank, timestamp, &mut memo.value);
                    }
                }
            }
            make_clean(&mut memo.value, 0);
            match unwrap.value_of(&memo.value) {
                Some(value) => number = value,
                None => return Recalled::Usual(None),
            }
        }
        match fate {
            Fate::Series(series) => Recalled::Series(series, number),
            _ => Recalled::Usual(Some(MemoPlace { shape: at.shape, combination })),
        }
    }

    /// Decides how the rows of a shape are treated.
    fn way<'b>(&self, at: ColumnRow<'b>, scratch: &mut Scratch) -> Way<'b> {
        let Scratch { program, labels, keys, buffers, generation, .. } = scratch;
        let columns = &mut buffers.columns;
        columns.enter(at.lines, *generation);
        if columns.needs_line(at.shape, &program.steps, &self.plan, (labels, keys)) {
            return Way::Usual;
        }
        let of = |fields: Option<_>| fields.unwrap_or_default();
        let (json, logfmt) = (of(columns.json(at.shape)), of(columns.logfmt(at.shape)));
        let (paths, pairs) = (columns.paths(at.shape), columns.pairs(at.shape));
        let fields = || json.iter().chain(logfmt).chain(of(paths)).chain(of(pairs));
        let lines = at.lines.as_ref();
        let Some(unwrap) = program.unwrap.as_ref().map(super::unwrap::Unwrapper::name) else {
            return Coded::way(Combined::of(lines, fields(), COMBINATIONS_MAX), None);
        };
        // Which of several pairs a label gets is decided row by row.
        if pairs.is_some() {
            return Way::Usual;
        }
        // Of two fields with one name the first counts.
        let Some(value) = fields().find(|field| field.name == unwrap) else {
            // Paths that lead nowhere still make labels.
            return if paths.is_some() { Way::Usual } else { Way::Dropped };
        };
        let others = fields().filter(|field| field.name != unwrap);
        let codes = Combined::of(lines, others, COMBINATIONS_MAX);
        Coded::way(codes, Some(value.parts.clone()))
    }
}

impl<'b> Coded<'b> {
    fn way(codes: Option<Combined<'b>>, value: Option<Vec<FieldPart>>) -> Way<'b> {
        let Some(codes) = codes else { return Way::Usual };
        let known = vec![Fate::Unknown; codes.count()];
        Way::Coded(Self { codes, value, known, run: 0 })
    }
}

impl Memo<'_> {
    /// Remembers what became of a row: its series, or `None` when it was dropped. With `is_special`,
    /// rows like it go through the stages.
    pub fn learn(&mut self, place: MemoPlace, series: Option<u32>, is_special: bool) {
        let Some(Some(Way::Coded(coded))) = self.shapes.get_mut(place.shape as usize) else {
            return;
        };
        coded.known[place.combination] = match series {
            _ if is_special => Fate::Usual,
            Some(series) => Fate::Series(series),
            None => Fate::Dropped,
        };
    }
}
