//! The JSON body of `/api/prom/push`.
//!
//! Keys are taken in any case. Labels are text, times are RFC 3339.

use std::borrow::Cow;

use model::Timestamp;

use super::{NO_TIME, Refusal, metadata, streams};
use crate::json_reader::{JsonReader, Kind, LoneSurrogates};
use crate::push::{Push, PushEntry, PushError, PushLabels, PushStream};
use crate::utf8::lossy_cow;
use crate::{label_text, rfc3339};

/// Reads `{"streams":[{"labels":"{…}","entries":[{"ts":"<RFC 3339>","line":"…"}]}]}`.
///
/// # Errors
///
/// [`PushError::Malformed`] when the body is not such a message, [`PushError::Labels`] when a label
/// text does not parse.
pub fn decode_legacy(body: &[u8]) -> Result<Push<'_>, PushError> {
    streams(body, stream)
}

fn stream<'a>(reader: &mut JsonReader<'a>) -> Result<PushStream<'a>, Refusal> {
    let mut labels = Cow::Borrowed("");
    let mut entries = Vec::new();
    if is_null(reader)? {
        return Ok(PushStream { labels: PushLabels::Text(""), entries });
    }
    let mut members = reader.object()?;
    while let Some(key) = reader.key(&mut members)? {
        if key.is_ignoring_case("labels") {
            if !is_null(reader)? {
                labels = lossy_cow(string(reader)?);
            }
        } else if key.is_ignoring_case("entries") {
            entries = list(reader)?;
        } else {
            reader.skip()?;
        }
    }
    let labels = match labels {
        Cow::Borrowed(text) => PushLabels::Text(text),
        Cow::Owned(text) => PushLabels::Pairs(label_text::parse(&text).map_err(Refusal::Labels)?),
    };
    Ok(PushStream { labels, entries })
}

fn list<'a>(reader: &mut JsonReader<'a>) -> Result<Vec<PushEntry<'a>>, Refusal> {
    let mut entries = Vec::new();
    if is_null(reader)? {
        return Ok(entries);
    }
    let mut items = reader.array()?;
    while reader.item(&mut items)? {
        entries.push(entry(reader)?);
    }
    Ok(entries)
}

fn entry<'a>(reader: &mut JsonReader<'a>) -> Result<PushEntry<'a>, Refusal> {
    let mut entry = PushEntry {
        timestamp: NO_TIME,
        line: (&b""[..]).into(),
        metadata: Vec::new(),
        shared: None,
    };
    if is_null(reader)? {
        return Ok(entry);
    }
    let mut members = reader.object()?;
    while let Some(key) = reader.key(&mut members)? {
        let (is_time, is_line) = (key.is_ignoring_case("ts"), key.is_ignoring_case("line"));
        let is_metadata = key.is_ignoring_case("structuredMetadata");
        if !(is_time || is_line || is_metadata) {
            reader.skip()?;
        } else if is_null(reader)? {
            // As if the key were not there.
        } else if is_time {
            entry.timestamp = time(reader)?;
        } else if is_line {
            entry.line = string(reader)?;
        } else if let Some(words) = metadata(reader, LoneSurrogates::Replace, &mut entry)? {
            return Err(words.into());
        }
    }
    Ok(entry)
}

fn time(reader: &mut JsonReader<'_>) -> Result<Timestamp, Refusal> {
    let text = String::from_utf8_lossy(reader.string()?.raw);
    rfc3339::parse(&text).ok_or_else(|| {
        let layout = "2006-01-02T15:04:05Z07:00";
        Refusal::Meaning(format!("parsing time {text:?} as {layout:?}: cannot parse {text:?}"))
    })
}

fn string<'a>(reader: &mut JsonReader<'a>) -> Result<Cow<'a, [u8]>, Refusal> {
    let string = reader.string()?;
    string
        .unescape(LoneSurrogates::Replace)
        .ok_or_else(|| Refusal::Syntax(reader.error("a valid escape")))
}

/// Steps over `null`, if it is there.
fn is_null(reader: &mut JsonReader<'_>) -> Result<bool, Refusal> {
    let is_null = reader.kind()? == Kind::Null;
    if is_null {
        reader.null()?;
    }
    Ok(is_null)
}
