//! Reads OTLP logs in protobuf.
//!
//! | message | fields |
//! |---|---|
//! | request | 1 resource logs |
//! | resource logs | 1 resource {1 attributes}, 2 scope logs |
//! | scope logs | 1 scope {1 name, 2 version, 3 attributes, 4 dropped}, 2 records |
//! | record | 1 time, 2 severity number, 3 severity text, 5 body, 6 attributes, 7 dropped, 8 flags, 9 trace, 10 span, 11 observed time, 12 event name |
//! | value | 1 text, 2 boolean, 3 integer, 4 double, 5 list, 6 map, 7 bytes |

use std::borrow::Cow;

use super::message::{
    AnyValue, Attributes, DEPTH_MAX, LogRecord, ResourceLogs, ScopeLogs, nested_too_deep,
};
use crate::protobuf::Fields;
use crate::push::PushError;
use crate::utf8::lossy;

/// Gives every resource of a request to `take`, in order.
pub(super) fn read<'a>(
    body: &'a [u8],
    mut take: impl FnMut(ResourceLogs<'a>) -> Result<(), PushError>,
) -> Result<(), PushError> {
    let mut fields = Fields::new(body);
    while let Some((number, value)) = fields.next()? {
        if number == 1 {
            take(resource_logs(value.bytes()?)?)?;
        }
    }
    Ok(())
}

fn resource_logs(message: &[u8]) -> Result<ResourceLogs<'_>, PushError> {
    let mut logs = ResourceLogs::default();
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => attributes_of_resource(value.bytes()?, &mut logs.attributes)?,
            2 => logs.scopes.push(scope_logs(value.bytes()?)?),
            _ => {}
        }
    }
    Ok(logs)
}

fn attributes_of_resource<'a>(
    message: &'a [u8],
    attributes: &mut Attributes<'a>,
) -> Result<(), PushError> {
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        if number == 1 {
            attributes.push(key_value(value.bytes()?, DEPTH_MAX)?);
        }
    }
    Ok(())
}

fn scope_logs(message: &[u8]) -> Result<ScopeLogs<'_>, PushError> {
    let mut logs = ScopeLogs::default();
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => scope(value.bytes()?, &mut logs)?,
            2 => logs.records.push(record(value.bytes()?)?),
            _ => {}
        }
    }
    Ok(logs)
}

fn scope<'a>(message: &'a [u8], logs: &mut ScopeLogs<'a>) -> Result<(), PushError> {
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => logs.name = lossy(value.bytes()?),
            2 => logs.version = lossy(value.bytes()?),
            3 => logs.attributes.push(key_value(value.bytes()?, DEPTH_MAX)?),
            4 => logs.dropped_attributes_count = value.varint()? as u32,
            _ => {}
        }
    }
    Ok(())
}

fn record(message: &[u8]) -> Result<LogRecord<'_>, PushError> {
    let mut record = LogRecord::default();
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => record.time = value.fixed64()?,
            2 => record.severity_number = value.varint()? as i32,
            3 => record.severity_text = lossy(value.bytes()?),
            5 => record.body = any_value(value.bytes()?, DEPTH_MAX)?,
            6 => record.attributes.push(key_value(value.bytes()?, DEPTH_MAX)?),
            7 => record.dropped_attributes_count = value.varint()? as u32,
            8 => record.flags = value.fixed32()?,
            9 => record.trace_id = id(value.bytes()?, "TraceID")?,
            10 => record.span_id = id(value.bytes()?, "SpanID")?,
            11 => record.observed_time = value.fixed64()?,
            12 => record.event_name = lossy(value.bytes()?),
            _ => {}
        }
    }
    Ok(record)
}

/// An identifier is absent or of its exact length.
fn id<const N: usize>(bytes: &[u8], name: &str) -> Result<[u8; N], PushError> {
    if bytes.is_empty() {
        return Ok([0; N]);
    }
    bytes.try_into().map_err(|_| PushError::Malformed(format!("invalid length for {name}")))
}

fn key_value(message: &[u8], depth: u32) -> Result<(Cow<'_, str>, AnyValue<'_>), PushError> {
    let mut pair = (Cow::Borrowed(""), AnyValue::Empty);
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => pair.0 = lossy(value.bytes()?),
            2 => pair.1 = any_value(value.bytes()?, depth)?,
            _ => {}
        }
    }
    Ok(pair)
}

fn any_value(message: &[u8], depth: u32) -> Result<AnyValue<'_>, PushError> {
    let Some(depth) = depth.checked_sub(1) else { return Err(nested_too_deep()) };
    let mut any = AnyValue::Empty;
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => any = AnyValue::Text(Cow::Borrowed(value.bytes()?)),
            2 => any = AnyValue::Boolean(value.varint()? != 0),
            3 => any = AnyValue::Integer(value.varint()? as i64),
            4 => any = AnyValue::Double(f64::from_bits(value.fixed64()?)),
            5 => any = AnyValue::List(members(value.bytes()?, |item| any_value(item, depth))?),
            6 => any = AnyValue::Map(members(value.bytes()?, |pair| key_value(pair, depth))?),
            7 => any = AnyValue::Bytes(Cow::Borrowed(value.bytes()?)),
            _ => {}
        }
    }
    Ok(any)
}

/// The members of a list or map, which are field 1 of either.
fn members<'a, T>(
    message: &'a [u8],
    read: impl Fn(&'a [u8]) -> Result<T, PushError>,
) -> Result<Vec<T>, PushError> {
    let mut all = Vec::new();
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        if number == 1 {
            all.push(read(value.bytes()?)?);
        }
    }
    Ok(all)
}
