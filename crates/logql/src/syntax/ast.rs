//! What a query says, as plain data.
//!
//! The tree mirrors the text closely enough that printing it gives the query back, and no closer:
//! parentheses, comments and blanks are gone, and operations on two literals are already folded.
//! Regular expressions, patterns, templates and paths are kept as text (checked by the parser,
//! compiled by whoever runs the pipeline); only stream matchers are compiled, because every
//! selection needs them.
//!
//! Depth is bounded by the parser, so code may recurse over a tree. Long chains of stages, line
//! filters and label filters are vectors and cost no depth.

use model::{MatchOp, Matcher};

/// A whole query.
#[derive(Debug, Clone, PartialEq)]
pub enum Expr {
    /// Answers with log lines.
    Log(LogExpr),
    /// Answers with samples.
    Metric(MetricExpr),
}

/// A stream selector and the stages that every selected entry passes, in order.
#[derive(Debug, Clone, PartialEq)]
pub struct LogExpr {
    /// All must match a stream's labels. At least one refuses the empty value.
    pub selector: Vec<Matcher>,
    /// The pipeline; empty when the query is a bare selector.
    pub stages: Vec<Stage>,
}

/// One step of a pipeline.
#[derive(Debug, Clone, PartialEq)]
pub enum Stage {
    /// `|= "a" or ip("b")`: keeps or drops by the line's content.
    LineFilter(LineFilter),
    /// `| json a="b.c"`; without extracts the whole object becomes labels.
    Json {
        /// Which values to take; empty means all.
        extracts: Vec<Extract>,
    },
    /// `| logfmt --strict --keep-empty a="b"`.
    Logfmt(Logfmt),
    /// `| regexp "…"`, with at least one named group.
    Regexp {
        /// The regular expression, searched anywhere in the line.
        pattern: String,
    },
    /// `| pattern "…"`.
    Pattern {
        /// The pattern's text.
        pattern: String,
    },
    /// `| unpack`.
    Unpack,
    /// `| line_format "…"`.
    LineFormat {
        /// The template's text.
        template: String,
    },
    /// `| label_format a=b, c="…"`.
    LabelFormat {
        /// The assignments, run left to right; targets are distinct.
        items: Vec<LabelFormat>,
    },
    /// `| decolorize`.
    Decolorize,
    /// `| drop a, b="c"`.
    Drop {
        /// What to remove.
        items: Vec<LabelItem>,
    },
    /// `| keep a, b="c"`.
    Keep {
        /// What to leave.
        items: Vec<LabelItem>,
    },
    /// `| a > 5 and b = "c"`.
    LabelFilter(LabelFilter),
}

/// One line filter with its alternatives.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct LineFilter {
    /// How every argument is compared.
    pub op: LineFilterOp,
    /// At least one. A positive operator needs any of them, a negative one none of them.
    pub args: Vec<LineFilterArg>,
}

/// How a line filter compares.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum LineFilterOp {
    /// `|=`
    Contains,
    /// `!=`
    NotContains,
    /// `|~`
    Regex,
    /// `!~`
    NotRegex,
    /// `|>`
    Pattern,
    /// `!>`
    NotPattern,
}

impl LineFilterOp {
    /// The operator's text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Contains => "|=",
            Self::NotContains => "!=",
            Self::Regex => "|~",
            Self::NotRegex => "!~",
            Self::Pattern => "|>",
            Self::NotPattern => "!>",
        }
    }

    /// Whether lines that match are dropped rather than kept.
    #[must_use]
    pub fn is_negative(self) -> bool {
        matches!(self, Self::NotContains | Self::NotRegex | Self::NotPattern)
    }
}

/// What a line filter looks for.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LineFilterArg {
    /// A substring, regular expression or pattern, as the operator says.
    Text(String),
    /// `ip("…")`: an address, a CIDR block or a range; only with `|=` and `!=`.
    Ip(String),
}

/// `label="expression"` of `json` and `logfmt`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Extract {
    /// The label to set.
    pub label: String,
    /// Where its value stands: a JSON path or a logfmt key.
    pub expression: String,
}

/// The `logfmt` stage.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Logfmt {
    /// `--strict`: stop at the first pair that does not parse.
    pub strict: bool,
    /// `--keep-empty`: keys without a value become empty labels.
    pub keep_empty: bool,
    /// Which values to take; empty means all.
    pub extracts: Vec<Extract>,
}

/// One assignment of `label_format`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct LabelFormat {
    /// The label to set.
    pub target: String,
    /// What it becomes.
    pub value: LabelFormatValue,
}

/// The right side of an assignment of `label_format`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub enum LabelFormatValue {
    /// The value of another label, which is removed.
    Rename(String),
    /// A template's text.
    Template(String),
}

/// One item of `drop` or `keep`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub enum LabelItem {
    /// The label, whatever its value.
    Name(String),
    /// The label if its value matches.
    Match(Matcher),
}

impl LabelItem {
    /// The label the item is about.
    #[must_use]
    pub fn name(&self) -> &str {
        match self {
            Self::Name(name) => name,
            Self::Match(matcher) => matcher.name(),
        }
    }
}

/// A condition on an entry's labels.
#[derive(Debug, Clone, PartialEq)]
pub enum LabelFilter {
    /// `label = "text"`, `label =~ "regex"`, …
    Text {
        /// The label.
        label: String,
        /// How it compares.
        op: MatchOp,
        /// A literal or a regular expression's text.
        value: String,
    },
    /// `label > 5`
    Number {
        /// The label.
        label: String,
        /// How it compares.
        op: CompareOp,
        /// The number on the right.
        value: f64,
    },
    /// `label > 1m30s`
    Duration {
        /// The label.
        label: String,
        /// How it compares.
        op: CompareOp,
        /// The duration on the right, in nanoseconds.
        nanos: i64,
    },
    /// `label > 5KB`
    Bytes {
        /// The label.
        label: String,
        /// How it compares.
        op: CompareOp,
        /// The size on the right, in bytes.
        bytes: u64,
    },
    /// `label = ip("10.0.0.0/8")`
    Ip {
        /// The label.
        label: String,
        /// [`MatchOp::Equal`] or [`MatchOp::NotEqual`].
        op: MatchOp,
        /// An address, a CIDR block or a range.
        pattern: String,
    },
    /// Several conditions joined by `and` or by `or`.
    Group(FilterGroup),
}

/// Conditions joined by one operator. Both operators are associative, so `parts` may be evaluated
/// left to right; `nesting` only says how they were parenthesised.
#[derive(Debug, Clone, PartialEq)]
pub struct FilterGroup {
    /// The operator between the parts.
    pub logic: Logic,
    /// At least two.
    pub parts: Vec<LabelFilter>,
    /// How the parts were joined; always [`Nesting::Left`] for two.
    pub nesting: Nesting,
}

/// How conditions are joined.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Logic {
    /// All must hold; every part is evaluated.
    And,
    /// One must hold; evaluation stops at the first that does.
    Or,
}

/// How a chain of more than two conditions was parenthesised; matters only for printing.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Nesting {
    /// `((a, b), c)`
    Left,
    /// `(a, (b, c))`
    Right,
}

/// How a label filter compares numbers.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum CompareOp {
    /// `=` or `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
}

impl CompareOp {
    /// The operator's text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
        }
    }

    /// Whether `left op right` holds.
    #[must_use]
    pub fn holds<T: PartialOrd>(self, left: T, right: T) -> bool {
        match self {
            Self::Equal => left == right,
            Self::NotEqual => left != right,
            Self::Greater => left > right,
            Self::GreaterOrEqual => left >= right,
            Self::Less => left < right,
            Self::LessOrEqual => left <= right,
        }
    }
}

/// A query that answers with samples.
#[derive(Debug, Clone, PartialEq)]
pub enum MetricExpr {
    /// `rate({…}[5m])`
    Range(RangeAggregation),
    /// `sum by (a) (…)`
    Vector(VectorAggregation),
    /// `a / b`
    Binary(BinaryOperation),
    /// `label_replace(…)`
    LabelReplace(LabelReplace),
    /// A bare number, which is a scalar.
    Literal(f64),
    /// `vector(5)`: one sample without labels at every step.
    Constant(f64),
}

/// A window over log entries that is reduced to one value per series and step.
#[derive(Debug, Clone, PartialEq)]
pub struct RangeAggregation {
    /// What is computed.
    pub op: RangeOp,
    /// The quantile of [`RangeOp::Quantile`]; `None` for every other operation.
    pub parameter: Option<f64>,
    /// Which entries, and how far back.
    pub range: LogRange,
    /// `by` or `without` after the call.
    pub grouping: Option<Grouping>,
}

/// The entries a range aggregation reads.
#[derive(Debug, Clone, PartialEq)]
pub struct LogRange {
    /// Selector and pipeline.
    pub query: LogExpr,
    /// The label that gives the samples' values; without it every entry counts 1 or its length.
    pub unwrap: Option<Unwrap>,
    /// Length of the window in nanoseconds; 0 is legal.
    pub range_ns: i64,
    /// How far the window is shifted into the past, in nanoseconds; negative shifts forward.
    pub offset_ns: i64,
}

/// `| unwrap duration(label) | filter …`
#[derive(Debug, Clone, PartialEq)]
pub struct Unwrap {
    /// How the value is read.
    pub conversion: Conversion,
    /// The label.
    pub label: String,
    /// Label filters that run after the conversion.
    pub filters: Vec<LabelFilter>,
}

/// How `unwrap` reads a label's value.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum Conversion {
    /// A plain number.
    Number,
    /// `bytes(…)`: a size, in bytes.
    Bytes,
    /// `duration(…)`: in seconds.
    Duration,
    /// `duration_seconds(…)`: the same as [`Conversion::Duration`].
    DurationSeconds,
}

impl Conversion {
    /// The function's name; empty for [`Conversion::Number`].
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Number => "",
            Self::Bytes => "bytes",
            Self::Duration => "duration",
            Self::DurationSeconds => "duration_seconds",
        }
    }
}

/// What a range aggregation computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum RangeOp {
    /// Number of entries.
    Count,
    /// Entries, or sum of unwrapped values, per second.
    Rate,
    /// Increase per second of an unwrapped counter.
    RateCounter,
    /// Sum of line lengths.
    Bytes,
    /// Sum of line lengths per second.
    BytesRate,
    /// Mean of the values.
    Avg,
    /// Sum of the values.
    Sum,
    /// Smallest value.
    Min,
    /// Largest value.
    Max,
    /// Population variance.
    Stdvar,
    /// Population standard deviation.
    Stddev,
    /// A quantile of the values.
    Quantile,
    /// Value of the earliest entry.
    First,
    /// Value of the latest entry.
    Last,
    /// 1 where no entry is.
    Absent,
}

impl RangeOp {
    /// Every operation.
    pub const ALL: [Self; 15] = [
        Self::Count,
        Self::Rate,
        Self::RateCounter,
        Self::Bytes,
        Self::BytesRate,
        Self::Avg,
        Self::Sum,
        Self::Min,
        Self::Max,
        Self::Stdvar,
        Self::Stddev,
        Self::Quantile,
        Self::First,
        Self::Last,
        Self::Absent,
    ];

    /// The function's name in queries.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Count => "count_over_time",
            Self::Rate => "rate",
            Self::RateCounter => "rate_counter",
            Self::Bytes => "bytes_over_time",
            Self::BytesRate => "bytes_rate",
            Self::Avg => "avg_over_time",
            Self::Sum => "sum_over_time",
            Self::Min => "min_over_time",
            Self::Max => "max_over_time",
            Self::Stdvar => "stdvar_over_time",
            Self::Stddev => "stddev_over_time",
            Self::Quantile => "quantile_over_time",
            Self::First => "first_over_time",
            Self::Last => "last_over_time",
            Self::Absent => "absent_over_time",
        }
    }
}

/// Samples of many series reduced to fewer, at each step on its own.
#[derive(Debug, Clone, PartialEq)]
pub struct VectorAggregation {
    /// What is computed.
    pub op: VectorOp,
    /// The k of `topk`, `bottomk` and `approx_topk` (at least 1); `None` for other operations.
    pub parameter: Option<i64>,
    /// The series.
    pub inner: Box<MetricExpr>,
    /// Which labels remain; without a grouping all samples form one group without labels.
    pub grouping: Option<Grouping>,
}

/// What a vector aggregation computes.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum VectorOp {
    /// Sum.
    Sum,
    /// Mean.
    Avg,
    /// Largest value.
    Max,
    /// Smallest value.
    Min,
    /// Number of samples.
    Count,
    /// Population standard deviation.
    Stddev,
    /// Population variance.
    Stdvar,
    /// The k smallest samples, with their labels.
    Bottomk,
    /// The k largest samples, with their labels.
    Topk,
    /// As `Topk`, from a sketch.
    ApproxTopk,
    /// All samples by ascending value.
    Sort,
    /// All samples by descending value.
    SortDesc,
}

impl VectorOp {
    /// Every operation.
    pub const ALL: [Self; 12] = [
        Self::Sum,
        Self::Avg,
        Self::Max,
        Self::Min,
        Self::Count,
        Self::Stddev,
        Self::Stdvar,
        Self::Bottomk,
        Self::Topk,
        Self::ApproxTopk,
        Self::Sort,
        Self::SortDesc,
    ];

    /// The function's name in queries.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Sum => "sum",
            Self::Avg => "avg",
            Self::Max => "max",
            Self::Min => "min",
            Self::Count => "count",
            Self::Stddev => "stddev",
            Self::Stdvar => "stdvar",
            Self::Bottomk => "bottomk",
            Self::Topk => "topk",
            Self::ApproxTopk => "approx_topk",
            Self::Sort => "sort",
            Self::SortDesc => "sort_desc",
        }
    }
}

/// `by (a, b)` or `without (a, b)`.
#[derive(Debug, Clone, PartialEq, Eq, Hash)]
pub struct Grouping {
    /// Whether the labels are removed (`without`) rather than kept (`by`).
    pub without: bool,
    /// The labels as written; may be empty.
    pub labels: Vec<String>,
}

/// Two operands and an operator.
#[derive(Debug, Clone, PartialEq)]
pub struct BinaryOperation {
    /// The operator.
    pub op: BinaryOp,
    /// The left operand. Not both operands are literals.
    pub left: Box<MetricExpr>,
    /// The right operand.
    pub right: Box<MetricExpr>,
    /// `bool`: a comparison answers 1 or 0 instead of filtering. Ignored by other operators.
    pub return_bool: bool,
    /// How samples of the two sides are paired.
    pub matching: Matching,
}

/// A binary operator.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Hash)]
pub enum BinaryOp {
    /// `or`
    Or,
    /// `and`
    And,
    /// `unless`
    Unless,
    /// `+`
    Add,
    /// `-`
    Subtract,
    /// `*`
    Multiply,
    /// `/`
    Divide,
    /// `%`
    Modulo,
    /// `^`
    Power,
    /// `==`
    Equal,
    /// `!=`
    NotEqual,
    /// `>`
    Greater,
    /// `>=`
    GreaterOrEqual,
    /// `<`
    Less,
    /// `<=`
    LessOrEqual,
}

impl BinaryOp {
    /// The operator's text.
    #[must_use]
    pub fn as_str(self) -> &'static str {
        match self {
            Self::Or => "or",
            Self::And => "and",
            Self::Unless => "unless",
            Self::Add => "+",
            Self::Subtract => "-",
            Self::Multiply => "*",
            Self::Divide => "/",
            Self::Modulo => "%",
            Self::Power => "^",
            Self::Equal => "==",
            Self::NotEqual => "!=",
            Self::Greater => ">",
            Self::GreaterOrEqual => ">=",
            Self::Less => "<",
            Self::LessOrEqual => "<=",
        }
    }

    /// Whether the operator works on sets of labels rather than on values.
    #[must_use]
    pub fn is_set(self) -> bool {
        matches!(self, Self::Or | Self::And | Self::Unless)
    }

    /// Whether the operator compares values.
    #[must_use]
    pub fn is_comparison(self) -> bool {
        matches!(
            self,
            Self::Equal
                | Self::NotEqual
                | Self::Greater
                | Self::GreaterOrEqual
                | Self::Less
                | Self::LessOrEqual
        )
    }
}

/// How samples of two operands are paired.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub struct Matching {
    /// Which labels must be equal.
    pub labels: MatchingLabels,
    /// How many samples of each side may share those labels.
    pub cardinality: Cardinality,
}

/// Which labels of paired samples must be equal.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum MatchingLabels {
    /// All of them.
    #[default]
    All,
    /// Only these.
    On(Vec<String>),
    /// All but these.
    Ignoring(Vec<String>),
}

/// How many samples of each side may share the labels that are compared.
#[derive(Debug, Clone, PartialEq, Eq, Hash, Default)]
pub enum Cardinality {
    /// One on each side.
    #[default]
    OneToOne,
    /// `group_left(include)`: many on the left.
    ManyToOne {
        /// Labels copied from the right side.
        include: Vec<String>,
    },
    /// `group_right(include)`: many on the right.
    OneToMany {
        /// Labels copied from the left side.
        include: Vec<String>,
    },
}

/// `label_replace(inner, "target", "replacement", "source", "regex")`
#[derive(Debug, Clone, PartialEq)]
pub struct LabelReplace {
    /// The series.
    pub inner: Box<MetricExpr>,
    /// The label to set.
    pub target: String,
    /// What it becomes; `$1` and `${name}` stand for groups of the expression.
    pub replacement: String,
    /// The label to match.
    pub source: String,
    /// The regular expression's text, which must match the whole value.
    pub regex: String,
}

impl Expr {
    /// The selectors of the query, in the order of the text.
    #[must_use]
    pub fn selectors(&self) -> Vec<&[Matcher]> {
        self.log_exprs().into_iter().map(|log| log.selector.as_slice()).collect()
    }

    /// The log query; `None` for a metric query.
    #[must_use]
    pub fn log_expr(&self) -> Option<&LogExpr> {
        match self {
            Self::Log(log) => Some(log),
            Self::Metric(_) => None,
        }
    }

    /// Every selector with its pipeline, in the order of the text.
    #[must_use]
    pub fn log_exprs(&self) -> Vec<&LogExpr> {
        match self {
            Self::Log(log) => vec![log],
            Self::Metric(metric) => metric.ranges().into_iter().map(|range| &range.query).collect(),
        }
    }
}

impl MetricExpr {
    /// Every range the expression reads, in the order of the text.
    #[must_use]
    pub fn ranges(&self) -> Vec<&LogRange> {
        let mut ranges = Vec::new();
        self.visit(&mut |expr| {
            if let Self::Range(aggregation) = expr {
                ranges.push(&aggregation.range);
            }
        });
        ranges
    }

    /// Calls `f` for this expression and every one inside it, outer before inner, left before
    /// right.
    pub fn visit<'a>(&'a self, f: &mut impl FnMut(&'a Self)) {
        f(self);
        match self {
            Self::Vector(aggregation) => aggregation.inner.visit(f),
            Self::LabelReplace(replace) => replace.inner.visit(f),
            Self::Binary(operation) => {
                operation.left.visit(f);
                operation.right.visit(f);
            }
            Self::Range(_) | Self::Literal(_) | Self::Constant(_) => {}
        }
    }
}

impl LabelFilter {
    /// Calls `f` for every comparison in the condition, left to right.
    pub fn visit_comparisons<'a>(&'a self, f: &mut impl FnMut(&'a Self)) {
        match self {
            Self::Group(group) => group.parts.iter().for_each(|part| part.visit_comparisons(f)),
            comparison => f(comparison),
        }
    }

    /// The label a single comparison looks at; `None` for a group.
    #[must_use]
    pub fn label(&self) -> Option<&str> {
        match self {
            Self::Text { label, .. }
            | Self::Number { label, .. }
            | Self::Duration { label, .. }
            | Self::Bytes { label, .. }
            | Self::Ip { label, .. } => Some(label),
            Self::Group(_) => None,
        }
    }
}
