//! Which rows of the language reference a query touches.

use std::collections::BTreeSet;

use logql::syntax::ast::{
    BinaryOperation, Cardinality, Conversion, Expr, FilterGroup, Grouping, LabelFilter,
    LabelFormatValue, LabelItem, LineFilter, LineFilterArg, LogExpr, LogRange, Logic,
    MatchingLabels, MetricExpr, RangeAggregation, Stage, VectorAggregation,
};
use model::MatchOp;

/// Keys of rows, such as `range rate` or `template upper`.
pub type Features = BTreeSet<String>;

/// What a query uses.
pub fn of(expr: &Expr) -> Features {
    let mut features = Features::new();
    match expr {
        Expr::Log(log) => log_expr(log, &mut features),
        Expr::Metric(metric) => metric.visit(&mut |inner| metric_expr(inner, &mut features)),
    }
    features
}

fn add(features: &mut Features, group: &str, name: &str) {
    features.insert(format!("{group} {name}"));
}

fn log_expr(log: &LogExpr, features: &mut Features) {
    for matcher in &log.selector {
        add(features, "selector", match_op(matcher.op()));
    }
    log.stages.iter().for_each(|one| stage(one, features));
}

fn match_op(op: MatchOp) -> &'static str {
    match op {
        MatchOp::Equal => "=",
        MatchOp::NotEqual => "!=",
        MatchOp::Regex => "=~",
        MatchOp::NotRegex => "!~",
    }
}

fn stage(stage: &Stage, features: &mut Features) {
    match stage {
        Stage::LineFilter(filter) => line_filter(filter, features),
        Stage::Json { extracts } if extracts.is_empty() => add(features, "parser", "json"),
        Stage::Json { .. } => add(features, "parser", "json a=\"path\""),
        Stage::Logfmt(logfmt) => {
            let form = if logfmt.extracts.is_empty() { "logfmt" } else { "logfmt a=\"key\"" };
            add(features, "parser", form);
            if logfmt.strict {
                add(features, "parser", "logfmt --strict");
            }
            if logfmt.keep_empty {
                add(features, "parser", "logfmt --keep-empty");
            }
        }
        Stage::Regexp { .. } => add(features, "parser", "regexp"),
        Stage::Pattern { .. } => add(features, "parser", "pattern"),
        Stage::Unpack => add(features, "parser", "unpack"),
        Stage::LineFormat { template: text } => {
            add(features, "format", "line_format");
            template(text, features);
        }
        Stage::LabelFormat { items } => {
            for item in items {
                match &item.value {
                    LabelFormatValue::Rename(_) => add(features, "format", "label_format a=b"),
                    LabelFormatValue::Template(text) => {
                        add(features, "format", "label_format a=\"template\"");
                        template(text, features);
                    }
                }
            }
        }
        Stage::Decolorize => add(features, "format", "decolorize"),
        Stage::Drop { items } => label_items("drop", items, features),
        Stage::Keep { items } => label_items("keep", items, features),
        Stage::LabelFilter(filter) => label_filter(filter, features),
    }
}

fn label_items(stage: &str, items: &[LabelItem], features: &mut Features) {
    for item in items {
        match item {
            LabelItem::Name(_) => add(features, "format", stage),
            LabelItem::Match(_) => add(features, "format", &format!("{stage} a=\"value\"")),
        }
    }
}

fn line_filter(filter: &LineFilter, features: &mut Features) {
    for arg in &filter.args {
        match arg {
            LineFilterArg::Text(_) => add(features, "line", filter.op.as_str()),
            LineFilterArg::Ip(_) => {
                add(features, "line", &format!("{} ip()", filter.op.as_str()));
            }
        }
    }
    if filter.args.len() > 1 {
        let sign = if filter.op.is_negative() { "negative" } else { "positive" };
        add(features, "line", &format!("or, {sign}"));
    }
}

fn label_filter(filter: &LabelFilter, features: &mut Features) {
    let (kind, op) = match filter {
        LabelFilter::Text { op, .. } => ("text", match_op(*op)),
        LabelFilter::Number { op, .. } => ("number", op.as_str()),
        LabelFilter::Duration { op, .. } => ("duration", op.as_str()),
        LabelFilter::Bytes { op, .. } => ("bytes", op.as_str()),
        LabelFilter::Ip { op, .. } => ("ip", match_op(*op)),
        LabelFilter::Group(FilterGroup { logic, parts, .. }) => {
            add(features, "filter", if *logic == Logic::And { "and" } else { "or" });
            parts.iter().for_each(|part| label_filter(part, features));
            return;
        }
    };
    add(features, "filter", &format!("{kind} {op}"));
}

fn metric_expr(expr: &MetricExpr, features: &mut Features) {
    match expr {
        MetricExpr::Range(aggregation) => range(aggregation, features),
        MetricExpr::Vector(aggregation) => vector(aggregation, features),
        MetricExpr::Binary(operation) => binary(operation, features),
        MetricExpr::LabelReplace(_) => add(features, "function", "label_replace"),
        MetricExpr::Literal(_) => add(features, "function", "number"),
        MetricExpr::Constant(_) => add(features, "function", "vector"),
    }
}

fn grouping(group: &str, grouping: Option<&Grouping>, features: &mut Features) {
    let form = match grouping {
        None => return,
        Some(Grouping { without: false, labels }) if labels.is_empty() => "by ()",
        Some(Grouping { without: true, labels }) if labels.is_empty() => "without ()",
        Some(Grouping { without: false, .. }) => "by (a)",
        Some(Grouping { without: true, .. }) => "without (a)",
    };
    add(features, group, form);
}

fn range(aggregation: &RangeAggregation, features: &mut Features) {
    let LogRange { query, unwrap, offset_ns, .. } = &aggregation.range;
    log_expr(query, features);
    let name = aggregation.op.as_str();
    let optional = matches!(name, "rate" | "absent_over_time");
    match unwrap {
        Some(_) if optional => add(features, "range", &format!("{name}, unwrapped")),
        _ => add(features, "range", name),
    }
    grouping("range", aggregation.grouping.as_ref(), features);
    match offset_ns.signum() {
        1 => add(features, "range", "offset 1h"),
        -1 => add(features, "range", "offset -1h"),
        _ => {}
    }
    let Some(unwrap) = unwrap else { return };
    let conversion = match unwrap.conversion {
        Conversion::Number => "a",
        Conversion::Bytes => "bytes(a)",
        Conversion::Duration => "duration(a)",
        Conversion::DurationSeconds => "duration_seconds(a)",
    };
    add(features, "unwrap", conversion);
    for filter in &unwrap.filters {
        add(features, "unwrap", "| filter");
        label_filter(filter, features);
    }
}

fn vector(aggregation: &VectorAggregation, features: &mut Features) {
    add(features, "vector", aggregation.op.as_str());
    grouping("vector", aggregation.grouping.as_ref(), features);
}

fn binary(operation: &BinaryOperation, features: &mut Features) {
    add(features, "binary", operation.op.as_str());
    if operation.return_bool {
        add(features, "binary", "bool");
    }
    let group = if operation.op.is_set() { "matching of sets" } else { "matching" };
    match &operation.matching.labels {
        MatchingLabels::All => {}
        MatchingLabels::On(_) => add(features, group, "on"),
        MatchingLabels::Ignoring(_) => add(features, group, "ignoring"),
    }
    match &operation.matching.cardinality {
        Cardinality::OneToOne => {}
        Cardinality::ManyToOne { include } if include.is_empty() => {
            add(features, group, "group_left");
        }
        Cardinality::OneToMany { include } if include.is_empty() => {
            add(features, group, "group_right");
        }
        Cardinality::ManyToOne { .. } => add(features, group, "group_left(a)"),
        Cardinality::OneToMany { .. } => add(features, group, "group_right(a)"),
    }
}

/// Words of a template's actions; words in texts and comments do not count.
fn template(text: &str, features: &mut Features) {
    let mut rest = text;
    while let Some(begin) = rest.find("{{") {
        rest = &rest[begin + 2..];
        if rest.trim_start_matches(['-', ' ']).starts_with("/*") {
            add(features, "action", "comment");
        }
        if rest.starts_with("- ") {
            add(features, "action", "trim");
        }
        rest = action(rest, features);
    }
}

/// Reads one action; answers what follows it.
fn action<'t>(text: &'t str, features: &mut Features) -> &'t str {
    let mut rest = text;
    while let Some(first) = rest.chars().next() {
        rest = match first {
            '}' if rest.starts_with("}}") => return &rest[2..],
            '/' if rest.starts_with("/*") => rest.split_once("*/").map_or("", |(_, after)| after),
            '"' => after_quote(&rest[1..]),
            '`' => rest[1..].split_once('`').map_or("", |(_, after)| after),
            '|' => {
                add(features, "action", "pipeline");
                &rest[1..]
            }
            '$' => {
                add(features, "action", "variable");
                rest[1..].trim_start_matches(is_word)
            }
            '.' => rest[1..].trim_start_matches(is_word),
            _ if is_word(first) => {
                let end = rest.find(|c| !is_word(c)).unwrap_or(rest.len());
                let word = &rest[..end];
                if logql::pipeline::template_functions().any(|name| name == word) {
                    add(features, "template", word);
                } else if !word.starts_with(|c: char| c.is_ascii_digit()) {
                    add(features, "action", word);
                }
                &rest[end..]
            }
            _ => &rest[first.len_utf8()..],
        };
    }
    rest
}

fn is_word(c: char) -> bool {
    c == '_' || c.is_alphanumeric()
}

fn after_quote(text: &str) -> &str {
    let mut escaped = false;
    for (at, c) in text.char_indices() {
        match c {
            '"' if !escaped => return &text[at + 1..],
            _ => escaped = c == '\\' && !escaped,
        }
    }
    ""
}
