//! Trees as text over several lines, for people.
//!
//! What fits into a line of a hundred characters stays on one line, as `print` writes it. Anything
//! longer is broken open: stages one per line under their selector, arguments one per line and two
//! blanks deeper than their call, operators on a line of their own.

use super::ast::{Expr, LogExpr, LogRange, MetricExpr};
use super::print::{Operator, Quoted, Selector, Window, number};

/// Lines longer than this are broken, in bytes.
const LINE_MAX: usize = 100;

/// The query in its canonical layout; the text parses into an equal query.
#[must_use]
pub fn format_query(expr: &Expr) -> String {
    let mut out = String::new();
    match expr {
        Expr::Log(log) => write_log(log, 0, &mut out),
        Expr::Metric(metric) => write_metric(metric, 0, &mut out),
    }
    out
}

fn line(level: usize, text: &str, out: &mut String) {
    for _ in 0..level {
        out.push_str("  ");
    }
    out.push_str(text);
}

fn write_log(log: &LogExpr, level: usize, out: &mut String) {
    let whole = log.to_string();
    if whole.len() <= LINE_MAX {
        return line(level, &whole, out);
    }
    line(level, &Selector(&log.selector).to_string(), out);
    for stage in &log.stages {
        out.push('\n');
        line(level + 1, &stage.to_string(), out);
    }
}

fn write_metric(metric: &MetricExpr, level: usize, out: &mut String) {
    let whole = metric.to_string();
    if whole.len() <= LINE_MAX {
        return line(level, &whole, out);
    }
    match metric {
        MetricExpr::Range(aggregation) => {
            line(level, aggregation.op.as_str(), out);
            out.push_str("(\n");
            if let Some(parameter) = aggregation.parameter {
                line(level + 1, &number(parameter), out);
                out.push_str(",\n");
            }
            write_range(&aggregation.range, level + 1, out);
            close(level, out);
            if let Some(grouping) = &aggregation.grouping {
                out.push_str(&grouping.to_string());
            }
        }
        MetricExpr::Vector(aggregation) => {
            line(level, aggregation.op.as_str(), out);
            if let Some(grouping) = &aggregation.grouping {
                out.push_str(&grouping.to_string());
            }
            out.push_str("(\n");
            if let Some(parameter) = aggregation.parameter {
                line(level + 1, &parameter.to_string(), out);
                out.push_str(",\n");
            }
            write_metric(&aggregation.inner, level + 1, out);
            close(level, out);
        }
        MetricExpr::Binary(operation) => {
            write_operand(&operation.left, level + 1, out);
            out.push('\n');
            line(level, &Operator(operation).to_string(), out);
            out.push('\n');
            write_operand(&operation.right, level + 1, out);
        }
        MetricExpr::LabelReplace(replace) => {
            line(level, "label_replace(\n", out);
            write_metric(&replace.inner, level + 1, out);
            for text in [&replace.target, &replace.replacement, &replace.source, &replace.regex] {
                out.push_str(",\n");
                line(level + 1, &Quoted(text).to_string(), out);
            }
            close(level, out);
        }
        MetricExpr::Literal(_) | MetricExpr::Constant(_) => line(level, &whole, out),
    }
}

/// An operand; an operation that has to be broken keeps its parentheses.
fn write_operand(operand: &MetricExpr, level: usize, out: &mut String) {
    let is_broken = operand.to_string().len() > LINE_MAX;
    if !(is_broken && matches!(operand, MetricExpr::Binary(_))) {
        return write_metric(operand, level, out);
    }
    line(level, "(\n", out);
    write_metric(operand, level + 1, out);
    close(level, out);
}

fn write_range(range: &LogRange, level: usize, out: &mut String) {
    write_log(&range.query, level, out);
    if let Some(unwrap) = &range.unwrap {
        out.push('\n');
        line(level + 1, &unwrap.to_string(), out);
        for filter in &unwrap.filters {
            out.push('\n');
            line(level + 1, &format!("| {filter}"), out);
        }
    }
    out.push_str(&format!(" {}", Window(range)));
}

fn close(level: usize, out: &mut String) {
    out.push('\n');
    line(level, ")", out);
}
