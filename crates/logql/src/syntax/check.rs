//! What the grammar allows and no engine runs.

use std::collections::HashSet;

use model::Pattern;

use super::ast::{Grouping, RangeAggregation, RangeOp, VectorOp};
use super::number::format_float;

/// Checks parameter, grouping and `unwrap` of a range aggregation.
pub(super) fn range_aggregation(aggregation: &RangeAggregation) -> Result<(), String> {
    let op = aggregation.op;
    let name = op.as_str();
    match (op, aggregation.parameter) {
        (RangeOp::Quantile, None) => {
            return Err(format!("parameter required for operation {name}"));
        }
        (RangeOp::Quantile, Some(_)) | (_, None) => {}
        (_, Some(parameter)) => {
            let parameter = format_float(parameter);
            return Err(format!("parameter {parameter} not supported for operation {name}"));
        }
    }
    if aggregation.grouping.is_some() && !allows_grouping(op) {
        return Err(format!("grouping not allowed for {name} aggregation"));
    }
    match (aggregation.range.unwrap.is_some(), op) {
        (true, RangeOp::Count | RangeOp::Bytes | RangeOp::BytesRate) => {
            Err(format!("invalid aggregation {name} with unwrap"))
        }
        (true, _)
        | (
            false,
            RangeOp::Count | RangeOp::Bytes | RangeOp::BytesRate | RangeOp::Rate | RangeOp::Absent,
        ) => Ok(()),
        (false, _) => Err(format!("invalid aggregation {name} without unwrap")),
    }
}

fn allows_grouping(op: RangeOp) -> bool {
    matches!(
        op,
        RangeOp::Avg
            | RangeOp::Min
            | RangeOp::Max
            | RangeOp::Stddev
            | RangeOp::Stdvar
            | RangeOp::Quantile
            | RangeOp::First
            | RangeOp::Last
    )
}

/// Reads the parameter of a vector aggregation.
pub(super) fn vector_parameter(
    op: VectorOp,
    parameter: Option<&str>,
) -> Result<Option<i64>, String> {
    let name = op.as_str();
    match (op, parameter) {
        (VectorOp::Topk | VectorOp::Bottomk | VectorOp::ApproxTopk, None) => {
            Err(format!("parameter required for operation {name}"))
        }
        (VectorOp::Topk | VectorOp::Bottomk | VectorOp::ApproxTopk, Some(text)) => {
            match text.parse::<i64>() {
                Err(_) => Err(format!("invalid parameter {name}({text},")),
                Ok(k) if k <= 0 => {
                    Err(format!("invalid parameter (must be greater than 0) {name}({text}"))
                }
                Ok(k) => Ok(Some(k)),
            }
        }
        (_, Some(text)) => Err(format!("unsupported parameter for operation {name}({text},")),
        (_, None) => Ok(None),
    }
}

/// Checks the grouping of a vector aggregation.
pub(super) fn vector_grouping(op: VectorOp, grouping: Option<&Grouping>) -> Result<(), String> {
    match op {
        _ if grouping.is_none() => Ok(()),
        VectorOp::Sort | VectorOp::SortDesc => {
            Err("sort and sort_desc doesn't allow grouping by ".to_owned())
        }
        VectorOp::ApproxTopk => {
            Err(format!("grouping not allowed for {} aggregation", op.as_str()))
        }
        _ => Ok(()),
    }
}

/// Checks the argument of `| regexp`.
pub(super) fn regexp(text: &str) -> Result<(), String> {
    let invalid = |why: &str| Err(format!("invalid regexp parser: {why}"));
    let pattern = match Pattern::search(text) {
        Ok(pattern) => pattern,
        Err(error) => return invalid(&error.to_string()),
    };
    let names = pattern.group_names();
    if names.is_empty() {
        return invalid("at least one named capture must be supplied");
    }
    for (at, name) in names.iter().enumerate() {
        if !model::label::is_label_name(name) {
            return invalid(&format!("invalid extracted label name '{name}'"));
        }
        if names[..at].contains(name) {
            return invalid(&format!("duplicate extracted label name '{name}'"));
        }
    }
    Ok(())
}

/// Checks the argument of `| pattern`.
pub(super) fn pattern(text: &str) -> Result<(), String> {
    let invalid = |why: &str| Err(format!("invalid pattern parser: {why}"));
    if text.is_empty() {
        return invalid(
            "parse error at line 1, col 1: syntax error: unexpected $end, expecting IDENTIFIER or \
             LITERAL",
        );
    }
    let captures = captures(text);
    let names: Vec<&str> =
        captures.iter().map(|capture| capture.name).filter(|name| *name != "_").collect();
    if names.is_empty() {
        return invalid("at least one capture is required");
    }
    if let Some(pair) = captures.windows(2).find(|pair| pair[0].end == pair[1].start) {
        let (first, second) = (pair[0].name, pair[1].name);
        return invalid(&format!(
            "found consecutive capture '<{first}><{second}>': invalid expression"
        ));
    }
    let mut seen = HashSet::new();
    match names.iter().find(|name| !seen.insert(**name)) {
        Some(name) => invalid(&format!("duplicate capture name ({name}): invalid expression")),
        None => Ok(()),
    }
}

/// `<name>` in a pattern.
struct Capture<'a> {
    name: &'a str,
    start: usize,
    end: usize,
}

fn captures(text: &str) -> Vec<Capture<'_>> {
    let mut captures = Vec::new();
    let mut from = 0;
    while let Some(found) = text[from..].find('<') {
        let start = from + found;
        from = start + 1;
        let Some(len) = text[from..].find(['<', '>']) else { break };
        let name = &text[from..from + len];
        if text[from + len..].starts_with('>') && model::label::is_label_name(name) {
            from += len + 1;
            captures.push(Capture { name, start, end: from });
        }
    }
    captures
}
