//! Answers of queries as JSON, written straight into bytes.
//!
//! The order of keys is part of the contract: clients parse the answer while it streams and need
//! `resultType` and `encodingFlags` before `result`. Bytes of lines that are not UTF-8 become U+FFFD
//! each. `<`, `>` and `&` are written as they are.

use model::answer::{Answer, ResultLabels, ResultStream, Sample, Series, Value, VectorSample};

pub mod detected;
pub mod json;
pub mod metadata;
pub mod stats;
pub mod tail;
#[cfg(test)]
mod tests;

use json::{write_array, write_string, write_text};
pub use stats::{Timing, write_stats};

/// How a client wants answers of streams, as it says in `X-Loki-Response-Encoding-Flags`.
#[derive(Debug, Clone, PartialEq, Eq, Default)]
pub struct EncodingFlags(Vec<String>);

impl EncodingFlags {
    /// Reads the header: a list separated by commas. Unknown flags change nothing, but the answer
    /// names them too.
    #[must_use]
    pub fn parse(header: &str) -> Self {
        let mut flags: Vec<String> = Vec::new();
        for flag in header.split(',').map(str::trim).filter(|flag| !flag.is_empty()) {
            if flags.iter().all(|known| known != flag) {
                flags.push(flag.to_owned());
            }
        }
        Self(flags)
    }

    /// Whether structured metadata and parsed labels stand beside each entry, by category, rather
    /// than merged into its stream's labels.
    #[must_use]
    pub fn categorize(&self) -> bool {
        self.0.iter().any(|flag| flag == "categorize-labels")
    }
}

/// Writes the answer of `query` and `query_range`.
pub fn write_answer(answer: &Answer, timing: &Timing, flags: &EncodingFlags, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"status\":\"success\",");
    let is_log = matches!(answer.value, Value::Streams(_));
    if is_log && !answer.warnings.is_empty() {
        write_warnings(&answer.warnings, out);
        out.push(b',');
    }
    out.extend_from_slice(b"\"data\":{\"resultType\":\"");
    out.extend_from_slice(result_type(&answer.value).as_bytes());
    out.extend_from_slice(b"\",");
    if is_log && !flags.0.is_empty() {
        write_encoding_flags(flags, out);
        out.push(b',');
    }
    out.extend_from_slice(b"\"result\":");
    write_value(&answer.value, flags.categorize(), out);
    out.extend_from_slice(b",\"stats\":");
    write_stats(&answer.stats, timing, out);
    out.push(b'}');
    if !is_log && !answer.warnings.is_empty() {
        out.push(b',');
        write_warnings(&answer.warnings, out);
    }
    out.push(b'}');
}

fn result_type(value: &Value) -> &'static str {
    match value {
        Value::Streams(_) => "streams",
        Value::Vector(_) => "vector",
        Value::Matrix(_) => "matrix",
        Value::Scalar(_) => "scalar",
    }
}

fn write_warnings(warnings: &[String], out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"warnings\":");
    write_array(warnings, out, |warning, out| write_string(warning, out));
}

fn write_encoding_flags(flags: &EncodingFlags, out: &mut Vec<u8>) {
    out.extend_from_slice(b"\"encodingFlags\":");
    write_array(&flags.0, out, |flag, out| write_string(flag, out));
}

fn write_value(value: &Value, categorize: bool, out: &mut Vec<u8>) {
    match value {
        Value::Streams(streams) => {
            write_array(streams, out, |stream, out| write_stream(stream, categorize, out));
        }
        Value::Vector(samples) => write_array(samples, out, write_vector_sample),
        Value::Matrix(series) => write_array(series, out, write_series),
        Value::Scalar(sample) => write_scalar(sample, out),
    }
}

fn write_stream(stream: &ResultStream, categorize: bool, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"stream\":");
    write_labels(&stream.labels, out);
    out.extend_from_slice(b",\"values\":");
    write_array(&stream.entries, out, |entry, out| {
        out.extend_from_slice(b"[\"");
        json::write_integer(entry.timestamp.0, out);
        out.extend_from_slice(b"\",");
        write_text(&entry.line, out);
        if categorize {
            out.push(b',');
            write_categories(&entry.structured_metadata, &entry.parsed, out);
        }
        out.push(b']');
    });
    out.push(b'}');
}

fn write_categories(metadata: &ResultLabels, parsed: &ResultLabels, out: &mut Vec<u8>) {
    out.push(b'{');
    if !metadata.is_empty() {
        out.extend_from_slice(b"\"structuredMetadata\":");
        write_labels(metadata, out);
    }
    if !parsed.is_empty() {
        if !metadata.is_empty() {
            out.push(b',');
        }
        out.extend_from_slice(b"\"parsed\":");
        write_labels(parsed, out);
    }
    out.push(b'}');
}

fn write_vector_sample(row: &VectorSample, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"metric\":");
    write_labels(&row.labels, out);
    out.extend_from_slice(b",\"value\":");
    write_sample(&row.sample, out);
    out.push(b'}');
}

fn write_series(series: &Series, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"metric\":");
    write_labels(&series.labels, out);
    out.extend_from_slice(b",\"values\":");
    write_array(&series.samples, out, write_sample);
    out.push(b'}');
}

fn write_sample(sample: &Sample, out: &mut Vec<u8>) {
    out.push(b'[');
    json::write_seconds(sample.timestamp, out);
    out.extend_from_slice(b",\"");
    json::write_float(sample.value, out);
    out.extend_from_slice(b"\"]");
}

/// A scalar's time is in milliseconds, unlike every other: so Loki answers, and clients that read
/// scalars have learnt it.
fn write_scalar(sample: &Sample, out: &mut Vec<u8>) {
    out.push(b'[');
    json::write_integer(sample.timestamp.as_millis(), out);
    out.extend_from_slice(b",\"");
    json::write_float(sample.value, out);
    out.extend_from_slice(b"\"]");
}

fn write_labels(labels: &ResultLabels, out: &mut Vec<u8>) {
    json::write_object(labels.iter().map(|(name, value)| (name.as_str(), value.as_str())), out);
}

/// Writes the answer of the legacy endpoint `/api/prom/query`, which knows streams only.
pub fn write_legacy_streams(
    streams: &[ResultStream],
    stats: &model::answer::QueryStats,
    timing: &Timing,
    out: &mut Vec<u8>,
) {
    out.extend_from_slice(b"{\"streams\":");
    write_array(streams, out, write_legacy_stream);
    out.extend_from_slice(b",\"stats\":");
    write_stats(stats, timing, out);
    out.push(b'}');
}

fn write_legacy_stream(stream: &ResultStream, out: &mut Vec<u8>) {
    out.extend_from_slice(b"{\"labels\":");
    write_string(&selector(&stream.labels), out);
    out.extend_from_slice(b",\"entries\":");
    write_array(&stream.entries, out, |entry, out| {
        out.extend_from_slice(b"{\"ts\":\"");
        out.extend_from_slice(entry.timestamp.to_string().as_bytes());
        out.extend_from_slice(b"\",\"line\":");
        write_text(&entry.line, out);
        out.push(b'}');
    });
    out.push(b'}');
}

/// The text `{a="b", c="d"}` of result labels; unlike canonical text it may hold empty values.
fn selector(labels: &ResultLabels) -> String {
    let mut text = String::from("{");
    for (index, (name, value)) in labels.iter().enumerate() {
        text.push_str(if index > 0 { ", " } else { "" });
        if model::label::is_label_name(name) {
            text.push_str(name);
        } else {
            model::label::quote_into(name, &mut text);
        }
        text.push('=');
        model::label::quote_into(value, &mut text);
    }
    text.push('}');
    text
}
