//! `| label = "x"`, `| label > 5`, `| a = 1 or b = 2`: keeping rows by their labels.
//!
//! A comparison with a number, duration or size whose label does not convert keeps the row and
//! marks it `LabelFilterErr`; one whose label is absent drops it, even for `!=`.

use model::MatchOp;

use super::ip::IpMatcher;
use super::labels::RowLabels;
use super::line_filter::TextTest;
use super::names::{ERROR, ERROR_DETAILS, NameId, Names};
use super::number;
use super::regex_simplify;
use super::row::RowView;
use crate::syntax::ast::{CompareOp, FilterGroup, LabelFilter, Logic};

/// The error of a row whose label did not convert.
const FILTER_ERROR: &str = "LabelFilterErr";

/// A compiled label filter.
#[derive(Debug, Clone)]
pub(super) enum Filter {
    /// A label's text.
    Text { name: NameId, test: TextTest, is_negative: bool },
    /// A label's number.
    Number { name: NameId, op: CompareOp, value: f64 },
    /// A label's duration, in nanoseconds.
    Duration { name: NameId, op: CompareOp, nanos: i64 },
    /// A label's size, in bytes.
    Bytes { name: NameId, op: CompareOp, bytes: u64 },
    /// An address in a label.
    Ip { name: NameId, matcher: IpMatcher, is_negative: bool },
    /// All must hold; all are evaluated.
    All(Vec<Filter>),
    /// One must hold; evaluation stops at the first that does.
    Any(Vec<Filter>),
}

impl Filter {
    /// Compiles a filter.
    ///
    /// # Errors
    ///
    /// The text of a refused regular expression or address pattern.
    pub(super) fn compile(filter: &LabelFilter, names: &mut Names) -> Result<Self, String> {
        Ok(match filter {
            LabelFilter::Text { label, op, value } => Self::Text {
                name: names.intern(label),
                test: match op {
                    MatchOp::Equal | MatchOp::NotEqual => TextTest::Equal(value.as_bytes().into()),
                    MatchOp::Regex | MatchOp::NotRegex => regex_simplify::label_test(value)?,
                },
                is_negative: matches!(op, MatchOp::NotEqual | MatchOp::NotRegex),
            },
            LabelFilter::Number { label, op, value } => {
                Self::Number { name: names.intern(label), op: *op, value: *value }
            }
            LabelFilter::Duration { label, op, nanos } => {
                Self::Duration { name: names.intern(label), op: *op, nanos: *nanos }
            }
            LabelFilter::Bytes { label, op, bytes } => {
                let bytes = number::printed_bytes(*bytes);
                Self::Bytes { name: names.intern(label), op: *op, bytes }
            }
            LabelFilter::Ip { label, op, pattern } => Self::Ip {
                name: names.intern(label),
                matcher: IpMatcher::parse(pattern)?,
                is_negative: matches!(op, MatchOp::NotEqual),
            },
            LabelFilter::Group(FilterGroup { logic, parts, .. }) => {
                let parts = parts.iter().map(|part| Self::compile(part, names));
                let parts = parts.collect::<Result<_, _>>()?;
                match logic {
                    Logic::And => Self::All(parts),
                    Logic::Or => Self::Any(parts),
                }
            }
        })
    }

    /// Whether the row stays. May mark the row with an error.
    pub(super) fn keeps(&self, labels: &mut RowLabels, view: RowView<'_>) -> bool {
        match self {
            Self::Text { name, test, is_negative } => {
                let value = match *name {
                    ERROR => labels.error(view),
                    // Details are never visible to filters.
                    ERROR_DETAILS => b"",
                    name => labels.get(view, name).unwrap_or_default(),
                };
                test.matches(value) != *is_negative
            }
            Self::Number { name, .. } | Self::Duration { name, .. } | Self::Bytes { name, .. } => {
                self.compare(labels, view, *name)
            }
            Self::Ip { name, matcher, is_negative } => {
                if labels.has_error() {
                    return true;
                }
                let value = labels.get(view, *name);
                value.is_some_and(|value| matcher.is_in(value) != *is_negative)
            }
            // Every part runs, because each may mark the row.
            Self::All(parts) => {
                let mut all = true;
                for part in parts {
                    all &= part.keeps(labels, view);
                }
                all
            }
            Self::Any(parts) => parts.iter().any(|part| part.keeps(labels, view)),
        }
    }

    /// Runs a comparison on a label's value: absent drops, failure keeps and marks.
    fn compare(&self, labels: &mut RowLabels, view: RowView<'_>, name: NameId) -> bool {
        if name == ERROR || name == ERROR_DETAILS {
            return false;
        }
        let Some(value) = labels.get(view, name) else { return false };
        match self.holds(value) {
            Ok(keeps) => keeps,
            Err(details) => {
                if !labels.has_error() {
                    labels.set_error(FILTER_ERROR, Some(&details));
                }
                true
            }
        }
    }

    /// Whether a comparison holds for a value, or why the value does not convert.
    fn holds(&self, value: &[u8]) -> Result<bool, String> {
        let text = String::from_utf8_lossy(value);
        Ok(match self {
            Self::Number { op, value, .. } => op.holds(number::parse_float(&text)?, *value),
            Self::Duration { op, nanos, .. } => op.holds(number::parse_duration(&text)?, *nanos),
            Self::Bytes { op, bytes, .. } => op.holds(number::parse_bytes(&text)?, *bytes),
            Self::Text { .. } | Self::Ip { .. } | Self::All(_) | Self::Any(_) => true,
        })
    }

    /// Whether a row is dropped for sure when the filter's one label has this value, or is absent.
    pub(super) fn drops(&self, value: Option<&[u8]>) -> bool {
        match (self, value) {
            (Self::Text { test, is_negative, .. }, value) => {
                test.matches(value.unwrap_or_default()) == *is_negative
            }
            (Self::Ip { .. } | Self::All(_) | Self::Any(_), _) => false,
            (_, None) => true,
            (comparison, Some(value)) => comparison.holds(value) == Ok(false),
        }
    }

    /// The label of a filter that looks at one only and is no combination.
    pub(super) fn single_name(&self) -> Option<NameId> {
        match self {
            Self::Text { name, .. }
            | Self::Number { name, .. }
            | Self::Duration { name, .. }
            | Self::Bytes { name, .. }
            | Self::Ip { name, .. } => Some(*name),
            Self::All(_) | Self::Any(_) => None,
        }
    }

    /// Every label the filter looks at.
    pub(super) fn names(&self, out: &mut Vec<NameId>) {
        match self {
            Self::All(parts) | Self::Any(parts) => parts.iter().for_each(|part| part.names(out)),
            single => out.extend(single.single_name()),
        }
    }
}
