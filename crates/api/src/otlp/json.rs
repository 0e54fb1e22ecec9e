//! Reads OTLP logs in JSON: protobuf's JSON mapping with hexadecimal trace and span identifiers.
//!
//! Keys are taken in camel case and in snake case, numbers as numbers and as strings.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::message::{
    AnyValue, Attributes, DEPTH_MAX, LogRecord, ResourceLogs, ScopeLogs, nested_too_deep,
};
use crate::json_reader::{JsonError, JsonReader, Kind, LoneSurrogates};
use crate::push::PushError;
use crate::utf8::lossy_cow;

impl From<JsonError> for PushError {
    fn from(error: JsonError) -> Self {
        Self::Malformed(format!("invalid JSON at byte {}: expected {}", error.at, error.expected))
    }
}

/// Gives every resource of a request to `take`, in order.
pub(super) fn read<'a>(
    body: &'a [u8],
    mut take: impl FnMut(ResourceLogs<'a>) -> Result<(), PushError>,
) -> Result<(), PushError> {
    let mut reader = JsonReader::new(body);
    object(&mut reader, |reader, key| match key {
        b"resourceLogs" | b"resource_logs" => {
            items(reader, |reader| take(resource_logs(reader)?)).map(drop)
        }
        _ => skip(reader),
    })
}

fn resource_logs<'a>(reader: &mut JsonReader<'a>) -> Result<ResourceLogs<'a>, PushError> {
    let mut logs = ResourceLogs::default();
    object(reader, |reader, key| {
        match key {
            b"resource" => object(reader, |reader, key| match key {
                b"attributes" => attributes(reader, DEPTH_MAX).map(|all| logs.attributes = all),
                _ => skip(reader),
            })?,
            b"scopeLogs" | b"scope_logs" => logs.scopes = items(reader, scope_logs)?,
            _ => skip(reader)?,
        }
        Ok(())
    })?;
    Ok(logs)
}

fn scope_logs<'a>(reader: &mut JsonReader<'a>) -> Result<ScopeLogs<'a>, PushError> {
    let mut logs = ScopeLogs::default();
    object(reader, |reader, key| {
        match key {
            b"scope" => object(reader, |reader, key| scope_field(reader, key, &mut logs))?,
            b"logRecords" | b"log_records" => logs.records = items(reader, record)?,
            _ => skip(reader)?,
        }
        Ok(())
    })?;
    Ok(logs)
}

fn scope_field<'a>(
    reader: &mut JsonReader<'a>,
    key: &[u8],
    logs: &mut ScopeLogs<'a>,
) -> Result<(), PushError> {
    match key {
        b"name" => logs.name = text(reader)?,
        b"version" => logs.version = text(reader)?,
        b"attributes" => logs.attributes = attributes(reader, DEPTH_MAX)?,
        b"droppedAttributesCount" | b"dropped_attributes_count" => {
            logs.dropped_attributes_count = number(reader)?;
        }
        _ => skip(reader)?,
    }
    Ok(())
}

fn record<'a>(reader: &mut JsonReader<'a>) -> Result<LogRecord<'a>, PushError> {
    let mut record = LogRecord::default();
    object(reader, |reader, key| {
        match key {
            b"timeUnixNano" | b"time_unix_nano" => record.time = number(reader)?,
            b"observedTimeUnixNano" | b"observed_time_unix_nano" => {
                record.observed_time = number(reader)?;
            }
            b"severityNumber" | b"severity_number" => record.severity_number = severity(reader)?,
            b"severityText" | b"severity_text" => record.severity_text = text(reader)?,
            b"body" => record.body = any_value(reader, DEPTH_MAX)?,
            b"attributes" => record.attributes = attributes(reader, DEPTH_MAX)?,
            b"droppedAttributesCount" | b"dropped_attributes_count" => {
                record.dropped_attributes_count = number(reader)?;
            }
            b"flags" => record.flags = number(reader)?,
            b"traceId" | b"trace_id" => record.trace_id = id(reader)?,
            b"spanId" | b"span_id" => record.span_id = id(reader)?,
            b"eventName" | b"event_name" => record.event_name = text(reader)?,
            _ => skip(reader)?,
        }
        Ok(())
    })?;
    Ok(record)
}

fn attributes<'a>(reader: &mut JsonReader<'a>, depth: u32) -> Result<Attributes<'a>, PushError> {
    items(reader, |reader| {
        let mut pair = (Cow::Borrowed(""), AnyValue::Empty);
        object(reader, |reader, key| {
            match key {
                b"key" => pair.0 = text(reader)?,
                b"value" => pair.1 = any_value(reader, depth)?,
                _ => skip(reader)?,
            }
            Ok(())
        })?;
        Ok(pair)
    })
}

fn any_value<'a>(reader: &mut JsonReader<'a>, depth: u32) -> Result<AnyValue<'a>, PushError> {
    let Some(depth) = depth.checked_sub(1) else { return Err(nested_too_deep()) };
    let mut any = AnyValue::Empty;
    object(reader, |reader, key| {
        match key {
            b"stringValue" | b"string_value" => any = AnyValue::Text(bytes(reader)?),
            b"boolValue" | b"bool_value" => any = AnyValue::Boolean(reader.boolean()?),
            b"intValue" | b"int_value" => any = AnyValue::Integer(number(reader)?),
            b"doubleValue" | b"double_value" => any = AnyValue::Double(number(reader)?),
            b"bytesValue" | b"bytes_value" => any = AnyValue::Bytes(base64_bytes(reader)?),
            b"arrayValue" | b"array_value" => {
                any = AnyValue::List(values_of(reader, |reader| {
                    items(reader, |reader| any_value(reader, depth))
                })?);
            }
            b"kvlistValue" | b"kvlist_value" => {
                any = AnyValue::Map(values_of(reader, |reader| attributes(reader, depth))?);
            }
            _ => skip(reader)?,
        }
        Ok(())
    })?;
    Ok(any)
}

/// Reads the member `values` of an object.
fn values_of<'a, T: Default>(
    reader: &mut JsonReader<'a>,
    read: impl Fn(&mut JsonReader<'a>) -> Result<T, PushError>,
) -> Result<T, PushError> {
    let mut values = T::default();
    object(reader, |reader, key| match key {
        b"values" => read(reader).map(|all| values = all),
        _ => skip(reader),
    })?;
    Ok(values)
}

/// Reads the members of an object; `null` has none.
fn object<'a>(
    reader: &mut JsonReader<'a>,
    mut member: impl FnMut(&mut JsonReader<'a>, &[u8]) -> Result<(), PushError>,
) -> Result<(), PushError> {
    if is_null(reader)? {
        return Ok(());
    }
    let mut members = reader.object()?;
    while let Some(key) = reader.key(&mut members)? {
        if !is_null(reader)? {
            member(reader, key.raw)?;
        }
    }
    Ok(())
}

/// Reads the items of an array; `null` has none.
fn items<'a, T>(
    reader: &mut JsonReader<'a>,
    mut read: impl FnMut(&mut JsonReader<'a>) -> Result<T, PushError>,
) -> Result<Vec<T>, PushError> {
    let mut all = Vec::new();
    if is_null(reader)? {
        return Ok(all);
    }
    let mut members = reader.array()?;
    while reader.item(&mut members)? {
        all.push(read(reader)?);
    }
    Ok(all)
}

fn is_null(reader: &mut JsonReader<'_>) -> Result<bool, PushError> {
    let is_null = reader.kind()? == Kind::Null;
    if is_null {
        reader.null()?;
    }
    Ok(is_null)
}

fn skip(reader: &mut JsonReader<'_>) -> Result<(), PushError> {
    reader.skip()?;
    Ok(())
}

fn bytes<'a>(reader: &mut JsonReader<'a>) -> Result<Cow<'a, [u8]>, PushError> {
    let string = reader.string()?;
    let bytes = string.unescape(LoneSurrogates::Replace);
    bytes.ok_or_else(|| reader.error("a valid escape").into())
}

fn text<'a>(reader: &mut JsonReader<'a>) -> Result<Cow<'a, str>, PushError> {
    bytes(reader).map(lossy_cow)
}

fn base64_bytes<'a>(reader: &mut JsonReader<'a>) -> Result<Cow<'a, [u8]>, PushError> {
    let decoded = STANDARD.decode(bytes(reader)?);
    decoded.map(Cow::Owned).map_err(|_| reader.error("base64").into())
}

/// Reads a number written as a number or as a string.
fn number<N: std::str::FromStr>(reader: &mut JsonReader<'_>) -> Result<N, PushError> {
    let digits = match reader.kind()? {
        Kind::String => text(reader)?,
        _ => Cow::Borrowed(reader.number()?),
    };
    digits.trim().parse().map_err(|_| reader.error("a number in range").into())
}

/// Reads a severity: its number, or its name such as `SEVERITY_NUMBER_WARN2`.
fn severity(reader: &mut JsonReader<'_>) -> Result<i32, PushError> {
    if reader.kind()? != Kind::String {
        return number(reader);
    }
    let name = text(reader)?;
    if let Ok(number) = name.parse() {
        return Ok(number);
    }
    let short = name.strip_prefix("SEVERITY_NUMBER_").unwrap_or_default();
    let base = short.trim_end_matches(|c: char| c.is_ascii_digit());
    let ranges = ["TRACE", "DEBUG", "INFO", "WARN", "ERROR", "FATAL"];
    let Some(range) = ranges.iter().position(|range| *range == base) else { return Ok(0) };
    let step: i32 = short[base.len()..].parse().unwrap_or(1);
    Ok(if (1..=4).contains(&step) { range as i32 * 4 + step } else { 0 })
}

/// Reads hexadecimal digits of an exact length, or an empty string.
fn id<const N: usize>(reader: &mut JsonReader<'_>) -> Result<[u8; N], PushError> {
    let digits = bytes(reader)?;
    let mut id = [0; N];
    if digits.is_empty() {
        return Ok(id);
    }
    if digits.len() != 2 * N {
        return Err(reader.error("an identifier of the right length").into());
    }
    for (byte, pair) in id.iter_mut().zip(digits.chunks_exact(2)) {
        let text = str::from_utf8(pair).unwrap_or_default();
        *byte = u8::from_str_radix(text, 16)
            .map_err(|_| PushError::from(reader.error("hexadecimal digits")))?;
    }
    Ok(id)
}
