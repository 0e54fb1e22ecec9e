//! Trees as text, on one line.
//!
//! The layout is the one existing clients know (`sum by (a)(rate({b="c"} |= "d"[5m]))`), and the
//! text parses into an equal tree. The only numbers without such a text are the infinities and NaN
//! that constants may fold to.

use std::fmt::{self, Display, Formatter};
use std::time::Duration;

use model::label::quote_into;
use model::{Matcher, units};

use super::ast::{
    BinaryOperation, Cardinality, Expr, Extract, FilterGroup, Grouping, LabelFilter, LabelFormat,
    LabelFormatValue, LabelItem, LabelReplace, LineFilter, LineFilterArg, LogExpr, LogRange,
    Logfmt, Logic, MatchingLabels, MetricExpr, Nesting, RangeAggregation, Stage, Unwrap,
    VectorAggregation,
};
use super::number::{format_float, format_general};

/// A string in quotes.
pub(super) struct Quoted<'a>(pub(super) &'a str);

impl Display for Quoted<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let mut out = String::with_capacity(self.0.len() + 2);
        quote_into(self.0, &mut out);
        f.write_str(&out)
    }
}

/// Items with a separator between them.
struct Joined<'a, T>(&'a [T], &'static str);

impl<T: Display> Display for Joined<'_, T> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        for (index, item) in self.0.iter().enumerate() {
            if index > 0 {
                f.write_str(self.1)?;
            }
            item.fmt(f)?;
        }
        Ok(())
    }
}

/// `{a="b", c="d"}`
pub(super) struct Selector<'a>(pub(super) &'a [Matcher]);

impl Display for Selector<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{{{}}}", Joined(self.0, ", "))
    }
}

impl Display for Expr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Log(log) => log.fmt(f),
            Self::Metric(metric) => metric.fmt(f),
        }
    }
}

impl Display for LogExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        Selector(&self.selector).fmt(f)?;
        self.stages.iter().try_for_each(|stage| write!(f, " {stage}"))
    }
}

impl Display for Stage {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::LineFilter(filter) => filter.fmt(f),
            Self::Json { extracts } => {
                f.write_str("| json")?;
                write_extracts(f, extracts)
            }
            Self::Logfmt(logfmt) => logfmt.fmt(f),
            Self::Regexp { pattern } => write!(f, "| regexp {}", Quoted(pattern)),
            Self::Pattern { pattern } => write!(f, "| pattern {}", Quoted(pattern)),
            Self::Unpack => f.write_str("| unpack"),
            Self::LineFormat { template } => write!(f, "| line_format {}", Quoted(template)),
            Self::LabelFormat { items } => write!(f, "| label_format {}", Joined(items, ",")),
            Self::Decolorize => f.write_str("| decolorize"),
            Self::Drop { items } => write!(f, "| drop {}", Joined(items, ",")),
            Self::Keep { items } => write!(f, "| keep {}", Joined(items, ",")),
            Self::LabelFilter(filter) => write!(f, "| {filter}"),
        }
    }
}

impl Display for LineFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{} {}", self.op.as_str(), Joined(&self.args, " or "))
    }
}

impl Display for LineFilterArg {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text(text) => Quoted(text).fmt(f),
            Self::Ip(pattern) => write!(f, "ip({})", Quoted(pattern)),
        }
    }
}

impl Display for Logfmt {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str("| logfmt")?;
        if self.strict {
            f.write_str(" --strict")?;
        }
        if self.keep_empty {
            f.write_str(" --keep-empty")?;
        }
        write_extracts(f, &self.extracts)
    }
}

fn write_extracts(f: &mut Formatter<'_>, extracts: &[Extract]) -> fmt::Result {
    if extracts.is_empty() { Ok(()) } else { write!(f, " {}", Joined(extracts, ",")) }
}

impl Display for Extract {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}={}", self.label, Quoted(&self.expression))
    }
}

impl Display for LabelFormat {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match &self.value {
            LabelFormatValue::Rename(source) => write!(f, "{}={source}", self.target),
            LabelFormatValue::Template(text) => write!(f, "{}={}", self.target, Quoted(text)),
        }
    }
}

impl Display for LabelItem {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Name(name) => f.write_str(name),
            Self::Match(matcher) => matcher.fmt(f),
        }
    }
}

impl Display for LabelFilter {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Text { label, op, value } => {
                write!(f, "{label}{}{}", op.as_str(), Quoted(value))
            }
            Self::Number { label, op, value } => {
                write!(f, "{label}{}{}", op.as_str(), number(*value))
            }
            Self::Duration { label, op, nanos } => {
                write!(f, "{label}{}{}", op.as_str(), units::format_go_duration(*nanos))
            }
            Self::Bytes { label, op, bytes } => {
                write!(f, "{label}{}{}", op.as_str(), size(*bytes))
            }
            Self::Ip { label, op, pattern } => {
                write!(f, "{label}{}ip({})", op.as_str(), Quoted(pattern))
            }
            Self::Group(group) => group.fmt(f),
        }
    }
}

impl Display for FilterGroup {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let joint = match self.logic {
            Logic::And => ",",
            Logic::Or => "or",
        };
        let Some((last, before)) = self.parts.split_last() else { return Ok(()) };
        let inner = before.len().saturating_sub(1);
        match self.nesting {
            Nesting::Left => {
                f.write_str("( ")?;
                (0..inner).try_for_each(|_| f.write_str("( "))?;
                for (index, part) in before.iter().enumerate() {
                    let close = if index == 0 { "" } else { " )" };
                    write!(f, "{part}{close} {joint} ")?;
                }
                write!(f, "{last} )")
            }
            Nesting::Right => {
                before.iter().try_for_each(|part| write!(f, "( {part} {joint} "))?;
                write!(f, "{last} )")?;
                (0..inner).try_for_each(|_| f.write_str(" )"))
            }
        }
    }
}

impl Display for MetricExpr {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self {
            Self::Range(aggregation) => aggregation.fmt(f),
            Self::Vector(aggregation) => aggregation.fmt(f),
            Self::Binary(operation) => {
                write!(f, "({} {} {})", operation.left, Operator(operation), operation.right)
            }
            Self::LabelReplace(replace) => replace.fmt(f),
            Self::Literal(value) if *value == 0.0 => f.write_str(&number(*value)),
            Self::Literal(value) => f.write_str(&format_general(*value)),
            Self::Constant(value) => write!(f, "vector({})", constant(*value)),
        }
    }
}

/// The operator of a binary operation with everything that modifies it.
pub(super) struct Operator<'a>(pub(super) &'a BinaryOperation);

impl Display for Operator<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let operation = self.0;
        f.write_str(operation.op.as_str())?;
        if operation.return_bool {
            f.write_str(" bool")?;
        }
        match &operation.matching.labels {
            MatchingLabels::All => return Ok(()),
            MatchingLabels::On(labels) => write!(f, " on ({}) ", Joined(labels, ","))?,
            MatchingLabels::Ignoring(labels) => write!(f, " ignoring ({}) ", Joined(labels, ","))?,
        }
        let (word, include) = match &operation.matching.cardinality {
            Cardinality::OneToOne => return Ok(()),
            Cardinality::ManyToOne { include } => ("group_left", include),
            Cardinality::OneToMany { include } => ("group_right", include),
        };
        f.write_str(word)?;
        // A parenthesis that follows would be read as the list of included labels.
        if include.is_empty() && !matches!(*operation.right, MetricExpr::Binary(_)) {
            return Ok(());
        }
        write!(f, " ({})", Joined(include, ","))
    }
}

impl Display for RangeAggregation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "{}(", self.op.as_str())?;
        if let Some(parameter) = self.parameter {
            write!(f, "{},", number(parameter))?;
        }
        write!(f, "{})", self.range)?;
        self.grouping.as_ref().map_or(Ok(()), |grouping| grouping.fmt(f))
    }
}

impl Display for LogRange {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        self.query.fmt(f)?;
        if let Some(unwrap) = &self.unwrap {
            write!(f, " {unwrap}")?;
            unwrap.filters.iter().try_for_each(|filter| write!(f, " | {filter}"))?;
        }
        Window(self).fmt(f)
    }
}

/// `[5m] offset 1h0m0s`
pub(super) struct Window<'a>(pub(super) &'a LogRange);

impl Display for Window<'_> {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let nanos = u64::try_from(self.0.range_ns).unwrap_or(0);
        // What is shorter than a millisecond has no place in the usual way to write a range.
        let range = match nanos % 1_000_000 {
            0 => units::format_prometheus_duration(Duration::from_nanos(nanos)),
            _ => units::format_go_duration(self.0.range_ns),
        };
        write!(f, "[{range}]")?;
        match self.0.offset_ns {
            0 => Ok(()),
            offset => write!(f, " offset {}", units::format_go_duration(offset)),
        }
    }
}

/// The stage itself; its filters are printed by whoever prints the range.
impl Display for Unwrap {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        match self.conversion.as_str() {
            "" => write!(f, "| unwrap {}", self.label),
            conversion => write!(f, "| unwrap {conversion}({})", self.label),
        }
    }
}

impl Display for Grouping {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        let word = if self.without { "without" } else { "by" };
        write!(f, " {word} ({})", Joined(&self.labels, ","))
    }
}

impl Display for VectorAggregation {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        f.write_str(self.op.as_str())?;
        if let Some(grouping) = &self.grouping {
            grouping.fmt(f)?;
        }
        f.write_str("(")?;
        if let Some(parameter) = self.parameter {
            write!(f, "{parameter},")?;
        }
        write!(f, "{})", self.inner)
    }
}

impl Display for LabelReplace {
    fn fmt(&self, f: &mut Formatter<'_>) -> fmt::Result {
        write!(f, "label_replace({}", self.inner)?;
        for text in [&self.target, &self.replacement, &self.source, &self.regex] {
            write!(f, ",{}", Quoted(text))?;
        }
        f.write_str(")")
    }
}

pub(super) fn number(value: f64) -> String {
    if value == 0.0 && value.is_sign_negative() {
        // `-0` would be read as a duration.
        return "-0.0".to_owned();
    }
    format_float(value)
}

fn constant(value: f64) -> String {
    let six_places = format!("{value:.6}");
    if six_places.parse() == Ok(value) { six_places } else { format_float(value) }
}

/// A size in decimal units, rounded to what the established printing shows if that loses nothing.
fn size(bytes: u64) -> String {
    if bytes == 0 {
        // `0B` begins a binary number.
        return "0kB".to_owned();
    }
    let mut value = bytes as f64;
    let mut units = ["B", "kB", "MB", "GB", "TB", "PB"].into_iter();
    let mut unit = units.next().unwrap_or("B");
    while value >= 1000.0 {
        let Some(next) = units.next() else { break };
        (value, unit) = (value / 1000.0, next);
    }
    let places = usize::from(unit != "B" && value < 10.0);
    let short = format!("{value:.places$}{unit}");
    if units::parse_query_bytes(&short) == Ok(bytes) { short } else { format!("{bytes}B") }
}
