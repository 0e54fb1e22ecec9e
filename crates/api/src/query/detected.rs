//! Answers about what was found in the entries: labels, fields, patterns.

use model::Timestamp;

use super::json::{write_array, write_integer, write_string, write_unsigned};

/// Writes `detected_labels`: names with their number of distinct values; `{}` without any.
pub fn write_labels<'a>(labels: impl IntoIterator<Item = (&'a str, u64)>, out: &mut Vec<u8>) {
    let mut labels = labels.into_iter().peekable();
    if labels.peek().is_none() {
        out.extend_from_slice(b"{}");
        return;
    }
    out.extend_from_slice(b"{\"detectedLabels\":");
    write_array(labels, out, |(name, cardinality), out| {
        out.extend_from_slice(b"{\"label\":");
        write_string(name, out);
        out.extend_from_slice(b",\"cardinality\":");
        write_unsigned(cardinality, out);
        out.push(b'}');
    });
    out.push(b'}');
}

/// A field found in lines or structured metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct DetectedField<'a> {
    /// The label the field would become.
    pub label: &'a str,
    /// `int`, `float`, `boolean`, `duration`, `bytes` or `string`.
    pub kind: &'a str,
    /// About how many distinct values it has.
    pub cardinality: u64,
    /// The parsers that find it; empty for structured metadata.
    pub parsers: &'a [String],
    /// The keys that lead to it in a JSON line; empty when it is in none.
    pub json_path: &'a [String],
}

/// Writes `detected_fields`; `{}` without any.
pub fn write_fields<'a>(
    fields: impl IntoIterator<Item = DetectedField<'a>>,
    limit: u32,
    out: &mut Vec<u8>,
) {
    let mut fields = fields.into_iter().peekable();
    if fields.peek().is_none() {
        out.extend_from_slice(b"{}");
        return;
    }
    out.extend_from_slice(b"{\"fields\":");
    write_array(fields, out, |field, out| write_field(&field, out));
    write_limit(limit, out);
}

fn write_field(field: &DetectedField<'_>, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"label\":");
    write_string(field.label, out);
    out.extend_from_slice(b",\"type\":");
    write_string(field.kind, out);
    out.extend_from_slice(b",\"cardinality\":");
    write_unsigned(field.cardinality, out);
    out.extend_from_slice(b",\"parsers\":");
    if field.parsers.is_empty() {
        out.extend_from_slice(b"null");
    } else {
        write_array(field.parsers, out, |parser, out| write_string(parser, out));
    }
    if !field.json_path.is_empty() {
        out.extend_from_slice(b",\"jsonPath\":");
        write_array(field.json_path, out, |key, out| write_string(key, out));
    }
    out.push(b'}');
}

/// Writes the values of one detected field; `{}` without any.
pub fn write_field_values<'a>(
    values: impl IntoIterator<Item = &'a str>,
    limit: u32,
    out: &mut Vec<u8>,
) {
    let mut values = values.into_iter().peekable();
    if values.peek().is_none() {
        out.extend_from_slice(b"{}");
        return;
    }
    out.extend_from_slice(b"{\"values\":");
    write_array(values, out, write_string);
    write_limit(limit, out);
}

fn write_limit(limit: u32, out: &mut Vec<u8>) {
    out.extend_from_slice(b",\"limit\":");
    write_unsigned(u64::from(limit), out);
    out.push(b'}');
}

/// A shape of lines and how often it came up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct PatternSeries<'a> {
    /// The text, with `<_>` where lines differ.
    pub pattern: &'a str,
    /// The level of its lines; empty when they have none.
    pub level: &'a str,
    /// Counts by time, in whole seconds.
    pub samples: &'a [(Timestamp, u64)],
}

/// Writes `patterns`.
pub fn write_patterns<'a>(
    patterns: impl IntoIterator<Item = PatternSeries<'a>>,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"{\"status\":\"success\",\"data\":");
    write_array(patterns, out, |series, out| {
        out.extend_from_slice(b"{\"pattern\":");
        write_string(series.pattern, out);
        out.extend_from_slice(b",\"level\":");
        write_string(series.level, out);
        out.extend_from_slice(b",\"samples\":");
        write_array(series.samples, out, |(at, count), out| {
            out.push(b'[');
            write_integer(at.0.div_euclid(model::time::SECOND_NS), out);
            out.push(b',');
            write_unsigned(*count, out);
            out.push(b']');
        });
        out.push(b'}');
    });
    out.push(b'}');
}
