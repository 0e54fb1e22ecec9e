//! The protobuf body of a push: `logproto.PushRequest`.
//!
//! A hand-written walk that borrows lines, labels and metadata from the body. Unknown fields are
//! stepped over; truncated fields, integers longer than ten bytes and wrong wire types of known
//! fields are refused. The body is plain protobuf: the snappy block around it is taken off before
//! (see [`crate::body`]).
//!
//! | message | field | |
//! |---|---|---|
//! | `PushRequest` | 1 | streams |
//! | stream | 1 labels, 2 entries | 3, a hash, is ignored |
//! | entry | 1 timestamp, 2 line, 3 structured metadata | |
//! | timestamp | 1 seconds, 2 nanoseconds | |
//! | pair | 1 name, 2 value | |

use std::borrow::Cow;

use model::Timestamp;

use crate::protobuf::{Fields, WireError};
use crate::push::{Push, PushEntry, PushError, PushLabels, PushStream};
use crate::utf8::lossy;

#[cfg(test)]
mod tests;

/// Seconds of 0001-01-01T00:00:00Z.
const FIRST_SECOND: i64 = -62_135_596_800;
/// Seconds of 10000-01-01T00:00:00Z.
const END_SECOND: i64 = 253_402_300_800;

/// Reads a push request.
///
/// Times between the years 1 and 9999 that do not fit 64 bits of nanoseconds are moved to the
/// nearest that does.
///
/// # Errors
///
/// [`PushError::Malformed`] when the body is not such a message. An empty list of streams is not an
/// error here.
pub fn decode(body: &[u8]) -> Result<Push<'_>, PushError> {
    let mut fields = Fields::new(body);
    // Stepping over the fields twice costs less than moving what grows.
    let mut push = Push { streams: Vec::with_capacity(fields.count(1)) };
    while let Some((number, value)) = fields.next()? {
        if number == 1 {
            push.streams.push(stream(value.bytes()?)?);
        }
    }
    Ok(push)
}

fn stream(message: &[u8]) -> Result<PushStream<'_>, PushError> {
    let mut labels = "";
    let mut fields = Fields::new(message);
    let mut entries = Vec::with_capacity(fields.count(2));
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => labels = text(value.bytes()?)?,
            2 => entries.push(entry(value.bytes()?)?),
            _ => {}
        }
    }
    Ok(PushStream { labels: PushLabels::Text(labels), entries })
}

fn text(bytes: &[u8]) -> Result<&str, PushError> {
    str::from_utf8(bytes).map_err(|_| PushError::Labels("invalid UTF-8".into()))
}

fn entry(message: &[u8]) -> Result<PushEntry<'_>, PushError> {
    let mut time = (FIRST_SECOND, 0);
    let mut line: &[u8] = b"";
    let mut metadata = Vec::new();
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => time = seconds_and_nanos(value.bytes()?)?,
            2 => line = value.bytes()?,
            3 => metadata.push(pair(value.bytes()?)?),
            _ => {}
        }
    }
    let timestamp = timestamp(time.0, time.1)?;
    Ok(PushEntry { timestamp, line: Cow::Borrowed(line), metadata, shared: None })
}

fn seconds_and_nanos(message: &[u8]) -> Result<(i64, i64), WireError> {
    let (mut seconds, mut nanos) = (0, 0);
    let mut fields = Fields::new(message);
    while let Some((number, value)) = fields.next()? {
        match number {
            1 => seconds = value.varint()? as i64,
            // The field is an int32: its upper bits are those of the sign.
            2 => nanos = i64::from(value.varint()? as i32),
            _ => {}
        }
    }
    Ok((seconds, nanos))
}

fn timestamp(seconds: i64, nanos: i64) -> Result<Timestamp, PushError> {
    let refuse = |why: &str| {
        Err(PushError::Malformed(format!("timestamp: seconds:{seconds} nanos:{nanos} {why}")))
    };
    if seconds < FIRST_SECOND {
        return refuse("before 0001-01-01");
    }
    if seconds >= END_SECOND {
        return refuse("after 10000-01-01");
    }
    if !(0..1_000_000_000).contains(&nanos) {
        return refuse("nanos not in range [0, 1e9)");
    }
    Ok(Timestamp(Timestamp::from_seconds(seconds).0.saturating_add(nanos)))
}

fn pair(message: &[u8]) -> Result<(Cow<'_, str>, Cow<'_, str>), WireError> {
    let (mut name, mut value) = (Cow::Borrowed(""), Cow::Borrowed(""));
    let mut fields = Fields::new(message);
    while let Some((number, field)) = fields.next()? {
        match number {
            1 => name = lossy(field.bytes()?),
            2 => value = lossy(field.bytes()?),
            _ => {}
        }
    }
    Ok((name, value))
}
