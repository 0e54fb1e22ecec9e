//! The compiled stages, in the order in which they run.

use model::Timestamp;

use super::column_plan::{self, ColumnPlan};
use super::decolorize::Decolorizer;
use super::drop_keep::{self, Item};
use super::extract::Flow;
use super::hints::{ExtractPlan, Hints, Mentions, Reduction};
use super::json::{self, JsonBuffers};
use super::json_path::JsonPaths;
use super::keys::Keys;
use super::label_filter::Filter;
use super::label_format::LabelFormatter;
use super::labels::Value;
use super::line_filter::LineTest;
use super::line_format::{self, Formatter};
use super::logfmt::Logfmt;
use super::names::{NameId, Names};
use super::pattern::PatternParser;
use super::regexp::RegexpParser;
use super::row::Row;
use super::unpack;
use super::unwrap::Unwrapper;
use crate::source::WantLines;
use crate::syntax::ast::{Stage, Unwrap};

/// One compiled stage.
#[derive(Debug, Clone)]
pub(super) enum Step {
    Line(LineTest),
    Json,
    JsonPaths(JsonPaths),
    Logfmt(Logfmt),
    Regexp(Box<RegexpParser>),
    Pattern(PatternParser),
    Unpack,
    LineFormat(Box<Formatter>),
    LabelFormat(LabelFormatter),
    Decolorize(Box<Decolorizer>),
    Drop(Vec<Item>),
    Keep(Vec<Item>),
    Filter(Filter),
}

/// Buffers that the steps share.
#[derive(Debug, Default)]
pub(super) struct StepBuffers {
    pub(super) json: JsonBuffers,
    pub(super) columns: ColumnPlan,
    pub(super) labels: Vec<(NameId, Value)>,
}

impl Step {
    /// Compiles a stage into steps.
    ///
    /// # Errors
    ///
    /// Why the stage is refused.
    fn compile(stage: &Stage, names: &mut Names) -> Result<Vec<Self>, String> {
        let step = match stage {
            Stage::LineFilter(filter) => {
                return Ok(LineTest::compile(filter)?.into_iter().map(Self::Line).collect());
            }
            Stage::Json { extracts } if extracts.is_empty() => Self::Json,
            Stage::Json { extracts } => Self::JsonPaths(JsonPaths::compile(extracts, names)?),
            Stage::Logfmt(logfmt) => Self::Logfmt(Logfmt::compile(logfmt, names)?),
            Stage::Regexp { pattern } => {
                Self::Regexp(Box::new(RegexpParser::compile(pattern, names)?))
            }
            Stage::Pattern { pattern } => Self::Pattern(PatternParser::compile(pattern, names)?),
            Stage::Unpack => Self::Unpack,
            Stage::LineFormat { template } => {
                let formatter = Formatter::compile("line", template, names)
                    .map_err(|fault| format!("invalid line template: {fault}"))?;
                Self::LineFormat(Box::new(formatter))
            }
            Stage::LabelFormat { items } => {
                Self::LabelFormat(LabelFormatter::compile(items, names)?)
            }
            Stage::Decolorize => Self::Decolorize(Box::new(Decolorizer::new())),
            Stage::Drop { items } => Self::Drop(Item::compile(items, names)),
            Stage::Keep { items } => Self::Keep(Item::compile(items, names)),
            Stage::LabelFilter(filter) => Self::Filter(Filter::compile(filter, names)?),
        };
        Ok(vec![step])
    }

    /// Whether a line filter may not be moved before this step.
    fn holds_line_filters(&self) -> bool {
        matches!(self, Self::Filter(_) | Self::LineFormat(_) | Self::Unpack | Self::Line(_))
    }

    /// Whether the step may change the line.
    fn changes_line(&self) -> bool {
        matches!(self, Self::LineFormat(_) | Self::Unpack | Self::Decolorize(_))
    }

    /// Whether the step parses the line into labels.
    fn is_parser(&self) -> bool {
        matches!(
            self,
            Self::Json
                | Self::JsonPaths(_)
                | Self::Logfmt(_)
                | Self::Regexp(_)
                | Self::Pattern(_)
                | Self::Unpack
        )
    }

    /// Whether the step looks at the line other than to parse it into labels by `json` or `logfmt`,
    /// or may change it.
    pub(super) fn reads_line(&self) -> bool {
        match self {
            Self::Json | Self::JsonPaths(_) | Self::Logfmt(_) => false,
            Self::Filter(_) | Self::Drop(_) | Self::Keep(_) => false,
            Self::LabelFormat(_) => {
                self.formatters().any(|formatter| formatter.template().calls("__line__"))
            }
            _ => true,
        }
    }

    /// Runs the step; answers whether the row stays.
    fn run(
        &mut self,
        row: &mut Row<'_, '_>,
        plan: &ExtractPlan,
        (keys, buffers): (&mut Keys, &mut StepBuffers),
        now: Timestamp,
    ) -> bool {
        let columns = row.view.columns.filter(|_| !row.lines.is_rewritten);
        let flow = match self {
            Self::Json
                if let Some(at) = columns
                    && let Some(fields) = buffers.columns.json(at.shape) =>
            {
                column_plan::run(row, plan, fields)
            }
            Self::Logfmt(logfmt)
                if let Some(at) = columns
                    && let Some(fields) = buffers.columns.logfmt(at.shape)
                    && !logfmt.has_extracts() =>
            {
                column_plan::run(row, plan, fields)
            }
            Self::Logfmt(logfmt)
                if let Some(at) = columns
                    && let Some(pairs) = buffers.columns.pairs(at.shape)
                    && logfmt.has_extracts() =>
            {
                logfmt.run_planned(row, plan, pairs)
            }
            Self::JsonPaths(paths)
                if let Some(at) = columns
                    && let Some(fields) = buffers.columns.paths(at.shape) =>
            {
                paths.run_planned(row, plan, fields)
            }
            Self::Line(test) => return test.keeps(row.line()),
            Self::Json => json::run(row, plan, keys, &mut buffers.json),
            Self::JsonPaths(paths) => paths.run(row, plan),
            Self::Logfmt(logfmt) => logfmt.run(row, plan, keys),
            Self::Regexp(regexp) => regexp.run(row, plan),
            Self::Pattern(pattern) => pattern.run(row, plan),
            Self::Unpack => unpack::run(row, plan, keys, &mut buffers.labels),
            Self::LineFormat(formatter) => {
                line_format::run(formatter, row, now);
                return true;
            }
            Self::LabelFormat(formatter) => {
                formatter.run(row, plan, now, &mut buffers.labels);
                return true;
            }
            Self::Decolorize(decolorizer) => {
                decolorizer.run(row);
                return true;
            }
            Self::Drop(items) => {
                drop_keep::drop_items(items, row);
                return true;
            }
            Self::Keep(items) => {
                drop_keep::keep_items(items, row);
                return true;
            }
            Self::Filter(filter) => return filter.keeps(row.labels, row.view),
        };
        flow != Flow::Drop
    }
}

/// The stages of a pipeline in running order.
#[derive(Debug, Clone)]
pub(super) struct Program {
    /// Line filters that run first, on the line as it came.
    pub(super) leading: Vec<LineTest>,
    /// What runs after them.
    pub(super) steps: Vec<Step>,
    pub(super) unwrap: Option<Unwrapper>,
}

impl Program {
    /// Compiles stages and what follows them.
    ///
    /// # Errors
    ///
    /// Why a stage is refused, with its position among the stages; `None` for the unwrap.
    pub(super) fn compile(
        stages: &[Stage],
        unwrap: Option<&Unwrap>,
        hints: &Hints,
        names: &mut Names,
    ) -> Result<Self, (Option<usize>, String)> {
        let mut steps = Vec::with_capacity(stages.len());
        for (at, stage) in stages.iter().enumerate() {
            let compiled = Step::compile(stage, names).map_err(|fault| (Some(at), fault))?;
            steps.extend(compiled);
        }
        if hints.metric && hints.lines == WantLines::None {
            remove_line_formats(&mut steps);
        }
        let unwrap = unwrap.map(|unwrap| Unwrapper::compile(unwrap, names)).transpose();
        let unwrap = unwrap.map_err(|fault| (None, fault))?;
        let (leading, steps) = hoist(steps);
        Ok(Self { leading, steps, unwrap })
    }

    /// Runs the steps on a row; `None` when it is dropped, else the unwrapped value.
    pub(super) fn run(
        &mut self,
        row: &mut Row<'_, '_>,
        plan: &ExtractPlan,
        (keys, buffers): (&mut Keys, &mut StepBuffers),
        now: Timestamp,
    ) -> Option<f64> {
        for step in &mut self.steps {
            if !step.run(row, plan, (&mut *keys, &mut *buffers), now) {
                return None;
            }
        }
        self.unwrap.as_ref().map_or(Some(0.0), |unwrap| unwrap.run(row))
    }

    /// The names and filters that decide what parsers extract.
    pub(super) fn mentions(&self, names: &mut Names) -> Mentions {
        let mut mentions = Mentions::default();
        for step in &self.steps {
            match step {
                Step::Filter(filter) => {
                    filter.names(&mut mentions.names);
                    if filter.single_name().is_some() {
                        mentions.simple_filters.push(filter.clone());
                    }
                }
                Step::LineFormat(formatter) => mention_fields(formatter, names, &mut mentions),
                Step::LabelFormat(label_formatter) => {
                    mentions.names.extend(label_formatter.sources());
                    for formatter in label_formatter.formatters() {
                        mention_fields(formatter, names, &mut mentions);
                    }
                }
                _ => {}
            }
        }
        if let Some(unwrap) = &self.unwrap {
            mentions.names.push(unwrap.name());
            unwrap.filters().iter().for_each(|filter| filter.names(&mut mentions.names));
        }
        mentions
    }

    /// How much of the lines the steps look at.
    pub(super) fn wants_lines(
        &self,
        plan: &ExtractPlan,
        is_filtered: bool,
        result: WantLines,
    ) -> WantLines {
        let reads_line = |step: &Step| match step {
            Step::Line(_) | Step::Regexp(_) => true,
            step if step.is_parser() => !plan.skips_all(),
            step => step.formatters().any(|formatter| formatter.template().calls("__line__")),
        };
        let changes_line = self.steps.iter().any(Step::changes_line);
        let needs_text = is_filtered
            || self.steps.iter().any(reads_line)
            || (changes_line && result != WantLines::None);
        if needs_text { WantLines::Text } else { result }
    }

    /// The labels that steps look at beside those of [`Program::mentions`]; `None` when they may
    /// look at any.
    pub(super) fn also_reads(&self) -> Option<Vec<NameId>> {
        let mut names = Vec::new();
        for step in &self.steps {
            if step.formatters().any(|formatter| formatter.template().sees_all_labels()) {
                return None;
            }
            match step {
                // A label that is dropped or kept matters only to those who look at it later,
                // unless its value decides.
                Step::Drop(items) | Step::Keep(items) => {
                    names.extend(items.iter().map(Item::name));
                }
                _ => {}
            }
        }
        Some(names)
    }

    /// Whether anything runs after the leading line filters.
    pub(super) fn has_steps(&self) -> bool {
        !self.steps.is_empty() || self.unwrap.is_some()
    }
}

impl Step {
    fn formatters(&self) -> Box<dyn Iterator<Item = &Formatter> + '_> {
        match self {
            Self::LineFormat(formatter) => Box::new(std::iter::once(&**formatter)),
            Self::LabelFormat(formatter) => Box::new(formatter.formatters()),
            _ => Box::new(std::iter::empty()),
        }
    }
}

fn mention_fields(formatter: &Formatter, names: &mut Names, mentions: &mut Mentions) {
    let fields = formatter.template().fields();
    mentions.names.extend(fields.into_iter().map(|field| names.intern(field)));
}

/// Removes formats of lines that nobody reads, although a template might have read `__line__` or
/// failed (Q6).
fn remove_line_formats(steps: &mut Vec<Step>) {
    let readers = |step: &Step| matches!(step, Step::Line(_)) || step.is_parser();
    let last_reader = steps.iter().rposition(readers);
    let mut at = 0;
    steps.retain(|step| {
        let is_read = last_reader.is_some_and(|reader| at < reader);
        at += 1;
        is_read || !matches!(step, Step::LineFormat(_))
    });
}

/// Moves line filters to the front as far as Loki does, and takes off those that run first.
///
/// Loki moves a filter before every stage but label filters, `line_format` and `unpack`; that it
/// passes `decolorize` is a fault that shows (Q4). Moving it before label filters as well changes
/// no answer as long as the line is untouched.
fn hoist(steps: Vec<Step>) -> (Vec<LineTest>, Vec<Step>) {
    let mut ordered: Vec<Step> = Vec::with_capacity(steps.len());
    for step in steps {
        if matches!(step, Step::Line(_)) {
            let at = ordered.iter().rposition(Step::holds_line_filters).map_or(0, |at| at + 1);
            ordered.insert(at, step);
        } else {
            ordered.push(step);
        }
    }
    let mut leading = Vec::new();
    let mut rest = Vec::with_capacity(ordered.len());
    let mut is_line_original = true;
    for step in ordered {
        is_line_original &= !step.changes_line();
        match step {
            Step::Line(test) if is_line_original => leading.push(test),
            step => rest.push(step),
        }
    }
    (leading, rest)
}

/// The grouping that the series of a query really have.
pub(super) fn final_reduction(hints: &Hints, unwrap: Option<&Unwrap>) -> Reduction {
    match (&hints.reduction, unwrap) {
        (Reduction::By(groups), _) if groups.is_empty() => Reduction::Nothing,
        // The unwrapped label is the sample's value and no longer part of its series.
        (Reduction::All, Some(unwrap)) => Reduction::Without(vec![unwrap.label.clone()]),
        (Reduction::Without(groups), Some(unwrap)) => {
            let mut groups = groups.clone();
            groups.push(unwrap.label.clone());
            Reduction::Without(groups)
        }
        (reduction, _) => reduction.clone(),
    }
}
