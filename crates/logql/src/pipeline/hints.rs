//! What the rest of the query tells the parsers (observable: language reference 5.1).
//!
//! A metric query that only counts by a few labels does not need the others, so parsers extract
//! the *required* names only and stop once they have them; a later fault of the line then goes
//! unnoticed. A query that needs no label at all skips its parsers. Both change answers, not only
//! cost, and are reproduced here. So is the early run of simple label filters: when a parser sets
//! a label that some simple filter looks at, the filter runs at once, wherever it stands.

use super::label_filter::Filter;
use super::names::{NameId, Names, without_suffix};
use crate::source::WantLines;
use model::Timestamp;

/// How the labels of rows become the labels of series (language reference 8.3).
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum Reduction {
    /// Every label counts: log queries, and metric queries without grouping.
    All,
    /// No label counts: `by ()`, a `sum` without grouping pushed down, `absent_over_time`.
    Nothing,
    /// Only the named labels count. An empty list is [`Reduction::Nothing`].
    By(Vec<String>),
    /// All but the named labels count.
    Without(Vec<String>),
}

/// What the query does with the rows.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Hints {
    /// Whether rows become samples.
    pub metric: bool,
    /// How their labels become those of series.
    pub reduction: Reduction,
    /// What the result needs of the lines: `Text` for log queries, `Lengths` for `bytes_*`.
    pub lines: WantLines,
    /// What the template function `now` answers.
    pub now: Timestamp,
}

impl Hints {
    /// The hints of a log query.
    #[must_use]
    pub fn log() -> Self {
        let now = Timestamp::default();
        Self { metric: false, reduction: Reduction::All, lines: WantLines::Text, now }
    }

    /// The hints of a metric query's range aggregation.
    #[must_use]
    pub fn metric(reduction: Reduction, lines: WantLines) -> Self {
        Self { metric: true, reduction, lines, now: Timestamp::default() }
    }

    /// The same hints with another answer to `now`. The engine has no clock: callers pass theirs,
    /// or the end of the query's range.
    #[must_use]
    pub fn at(self, now: Timestamp) -> Self {
        Self { now, ..self }
    }
}

/// What parsers extract.
#[derive(Debug, Default)]
pub(super) struct ExtractPlan {
    /// Parsers do nothing: no label matters.
    skips_all: bool,
    /// By name: whether it is required. Shorter than the table of names: others are not.
    required: Vec<bool>,
    required_names: Vec<Box<str>>,
    /// A parser's error also sets `__preserve_error__`.
    preserves_errors: bool,
    /// By name: 1 + the first simple filter on it, 0 for none.
    early: Vec<u32>,
    filters: Vec<Filter>,
}

/// What a plan is made from: the names the query mentions, and its simple filters.
#[derive(Debug, Default)]
pub(super) struct Mentions {
    /// Labels that filters, templates and renames read, and the unwrapped label.
    pub(super) names: Vec<NameId>,
    /// Label filters that look at one label only, in order.
    pub(super) simple_filters: Vec<Filter>,
}

impl ExtractPlan {
    /// The plan of a query. `reduction` is the final one, with the unwrapped label.
    pub(super) fn new(
        hints: &Hints,
        reduction: &Reduction,
        mentions: Mentions,
        names: &mut Names,
    ) -> Self {
        let mut required: Vec<NameId> = mentions.names;
        if let Reduction::By(groups) = reduction {
            required.extend(groups.iter().map(|name| names.intern(name)));
        }
        required.extend(stripped(&required, names));
        required.sort_unstable();
        required.dedup();
        let preserves_errors = required.contains(&super::names::ERROR);
        let with_filters = Self::default().with_filters(mentions.simple_filters);
        if !hints.metric {
            return with_filters;
        }
        match reduction {
            Reduction::Nothing if required.is_empty() => {
                Self { skips_all: true, ..Self::default() }
            }
            Reduction::Nothing => {
                with_filters.requiring(&required, names).preserving(preserves_errors)
            }
            Reduction::By(_) => {
                Self::default().requiring(&required, names).preserving(preserves_errors)
            }
            Reduction::All | Reduction::Without(_) => with_filters,
        }
    }

    fn with_filters(mut self, filters: Vec<Filter>) -> Self {
        for (at, filter) in filters.iter().enumerate() {
            let Some(name) = filter.single_name() else { continue };
            if self.early.len() <= name.index() {
                self.early.resize(name.index() + 1, 0);
            }
            if self.early[name.index()] == 0 {
                self.early[name.index()] = at as u32 + 1;
            }
        }
        Self { filters, ..self }
    }

    fn requiring(mut self, required: &[NameId], names: &Names) -> Self {
        for name in required {
            if self.required.len() <= name.index() {
                self.required.resize(name.index() + 1, false);
            }
            self.required[name.index()] = true;
            self.required_names.push(names.text(*name).into());
        }
        self
    }

    fn preserving(self, preserves_errors: bool) -> Self {
        Self { preserves_errors, ..self }
    }

    /// Whether parsers do nothing at all.
    pub(super) fn skips_all(&self) -> bool {
        self.skips_all
    }

    /// Whether a parser's error also sets `__preserve_error__`.
    pub(super) fn preserves_errors(&self) -> bool {
        self.preserves_errors
    }

    /// How many names are required; 0 means that all are welcome.
    #[inline]
    pub(super) fn required_count(&self) -> u32 {
        self.required_names.len() as u32
    }

    /// Whether a name is required.
    #[inline]
    pub(super) fn is_required(&self, name: NameId) -> bool {
        self.required.get(name.index()).copied().unwrap_or(false)
    }

    /// Whether a name is worth extracting.
    #[inline]
    pub(super) fn welcomes(&self, name: NameId) -> bool {
        self.required_names.is_empty() || self.is_required(name)
    }

    /// Whether a welcome name may begin with `prefix`.
    pub(super) fn may_prefix(&self, prefix: &str) -> bool {
        self.required_names.is_empty()
            || self.required_names.iter().any(|name| name.starts_with(prefix))
    }

    /// The filter to run as soon as a parser sets `name`.
    #[inline]
    pub(super) fn early_filter(&self, name: NameId) -> Option<&Filter> {
        let at = *self.early.get(name.index())?;
        self.filters.get(at.checked_sub(1)? as usize)
    }
}

/// The names without suffix of those that have one.
fn stripped(required: &[NameId], names: &mut Names) -> Vec<NameId> {
    let texts: Vec<String> = required
        .iter()
        .filter_map(|name| without_suffix(names.text(*name)).map(str::to_owned))
        .filter(|text| !text.is_empty())
        .collect();
    texts.iter().map(|text| names.intern(text)).collect()
}
