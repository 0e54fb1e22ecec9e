//! The JSON bodies of a push, in today's shape and in the legacy one.
//!
//! Loki reads them with two lenient libraries, and clients rely on it: the top key may be in any
//! case, unknown keys and everything after the first value are ignored, label values may be of any
//! kind, a line may be missing. What it refuses is refused here in its words, with the same excerpt
//! of the body where that is easy.
//!
//! Lines without escapes are borrowed from the body.

use model::{Labels, Timestamp};

use crate::json_reader::{JsonError, JsonReader, Kind, LoneSurrogates, RawString};
use crate::label_text;
use crate::push::{Push, PushEntry, PushError, PushLabels, PushStream};
use crate::utf8::lossy_cow;

mod legacy;
#[cfg(test)]
mod tests;

pub use legacy::decode_legacy;

const BAD_VALUE: &str =
    "Value looks like Number/Boolean/None, but can't find its end: ',' or '}' symbol";
const BAD_STRING: &str = "Value is string, but can't find closing '\"' symbol";
const BAD_OBJECT: &str = "Value looks like object, but can't find closing '}' symbol";
const BAD_ARRAY: &str = "Value is array, but can't find closing ']' symbol";
const OVERFLOW: &str = "Value is number, but overflowed while parsing";

/// The entry's time when none is given: the year 1, moved to the nearest that fits.
const NO_TIME: Timestamp = Timestamp::MIN;

/// Reads `{"streams":[{"stream":{…},"values":[["<ns>","line",{…}]]}]}`.
///
/// # Errors
///
/// [`PushError::Malformed`] when the body is not such a message, [`PushError::Labels`] when a label
/// name is not of the classic form.
pub fn decode(body: &[u8]) -> Result<Push<'_>, PushError> {
    streams(body, stream)
}

/// Why a stream was refused.
enum Refusal {
    /// The body is not JSON.
    Syntax(JsonError),
    /// A value is not what it must be; the words say it.
    Meaning(String),
    /// The labels cannot be.
    Labels(PushError),
}

impl From<JsonError> for Refusal {
    fn from(error: JsonError) -> Self {
        Self::Syntax(error)
    }
}

impl From<&str> for Refusal {
    fn from(words: &str) -> Self {
        Self::Meaning(words.to_owned())
    }
}

/// Reads the top object and its list, whatever a stream looks like.
fn streams<'a>(
    body: &'a [u8],
    read: impl Fn(&mut JsonReader<'a>) -> Result<PushStream<'a>, Refusal>,
) -> Result<Push<'a>, PushError> {
    let mut reader = JsonReader::new(body);
    let mut push = Push::default();
    match reader.peek() {
        Some(b'{') => {}
        Some(b'n') => {
            return reader.null().map(|()| push).map_err(|error| syntax(body, error));
        }
        found => {
            let at = (reader.at() + usize::from(found.is_some())).min(body.len());
            let found = char::from(found.unwrap_or(0));
            let what = format!("readObjectStart: expect {{ or n, but found {found}");
            return Err(PushError::Malformed(excerpt(body, at, &what)));
        }
    }
    let mut members = reader.object().map_err(|error| syntax(body, error))?;
    while let Some(key) = reader.key(&mut members).map_err(|error| syntax(body, error))? {
        if key.is_ignoring_case("streams") {
            push.streams = list(body, &mut reader, &read)?;
        } else {
            reader.skip().map_err(|error| syntax(body, error))?;
        }
    }
    Ok(push)
}

fn list<'a>(
    body: &'a [u8],
    reader: &mut JsonReader<'a>,
    read: &impl Fn(&mut JsonReader<'a>) -> Result<PushStream<'a>, Refusal>,
) -> Result<Vec<PushStream<'a>>, PushError> {
    const CONTEXT: &str = "loghttp.PushRequest.Streams: []loghttp.LogProtoStream: ";
    match reader.peek() {
        Some(b'[') => {}
        Some(b'n') => {
            return reader.null().map(|()| Vec::new()).map_err(|error| syntax(body, error));
        }
        found => {
            let found = char::from(found.unwrap_or(0));
            let what = format!("{CONTEXT}decode slice: expect [ or n, but found {found}");
            let at = (reader.at() + 1).min(body.len());
            return Err(PushError::Malformed(excerpt(body, at, &what)));
        }
    }
    let mut streams = Vec::new();
    let mut items = reader.array().map_err(|error| syntax(body, error))?;
    while reader.item(&mut items).map_err(|error| syntax(body, error))? {
        let start = reader.at();
        match read(reader) {
            Ok(stream) => streams.push(stream),
            Err(Refusal::Labels(error)) => return Err(error),
            Err(Refusal::Syntax(error)) => return Err(syntax(body, error)),
            Err(Refusal::Meaning(words)) => {
                // The excerpt is what surrounds the end of the stream.
                reader.seek(start);
                reader.skip().map_err(|error| syntax(body, error))?;
                let what = format!("{CONTEXT}unmarshalerDecoder: {words}");
                return Err(PushError::Malformed(excerpt(body, reader.at(), &what)));
            }
        }
    }
    Ok(streams)
}

fn syntax(body: &[u8], error: JsonError) -> PushError {
    PushError::Malformed(excerpt(body, error.at, &format!("expected {}", error.expected)))
}

/// Adds what surrounds an offset, as the library `json-iterator` does.
fn excerpt(body: &[u8], at: usize, what: &str) -> String {
    let around = |reach: usize| {
        let range = at.saturating_sub(reach)..(at + reach).min(body.len());
        String::from_utf8_lossy(&body[range]).into_owned()
    };
    let distance = at.min(10);
    format!(
        "{what}, error found in #{distance} byte of ...|{}|..., bigger context ...|{}|...",
        around(10),
        around(50)
    )
}

fn stream<'a>(reader: &mut JsonReader<'a>) -> Result<PushStream<'a>, Refusal> {
    if reader.kind()? != Kind::Object {
        return Err(BAD_OBJECT.into());
    }
    let mut labels = Labels::default();
    let mut entries = Vec::new();
    let mut members = reader.object()?;
    while let Some(key) = reader.key(&mut members)? {
        match key.raw {
            b"stream" => labels = label_set(reader)?,
            b"values" => entries = values(reader)?,
            _ => drop(reader.skip()?),
        }
    }
    Ok(PushStream { labels: PushLabels::Pairs(labels), entries })
}

fn label_set(reader: &mut JsonReader<'_>) -> Result<Labels, Refusal> {
    if reader.kind()? != Kind::Object {
        return Err(BAD_OBJECT.into());
    }
    let mut pairs = Vec::new();
    let mut members = reader.object()?;
    while let Some(key) = reader.key(&mut members)? {
        let name = text(key)?;
        let value = match reader.kind()? {
            Kind::String => text(reader.string()?)?,
            // A number, a word, even an object: its text is the label's value.
            _ => String::from_utf8_lossy(reader.skip()?).into_owned(),
        };
        pairs.push((name, value));
    }
    label_text::from_pairs(pairs).map_err(Refusal::Labels)
}

fn text(string: RawString<'_>) -> Result<String, Refusal> {
    let bytes = string.unescape(LoneSurrogates::Refuse).ok_or(BAD_VALUE)?;
    Ok(lossy_cow(bytes).into_owned())
}

fn values<'a>(reader: &mut JsonReader<'a>) -> Result<Vec<PushEntry<'a>>, Refusal> {
    match reader.kind()? {
        Kind::Array => {}
        Kind::Null => {
            reader.null()?;
            return Ok(Vec::new());
        }
        _ => return Err(BAD_ARRAY.into()),
    }
    let mut entries = Vec::new();
    let mut items = reader.array()?;
    while reader.item(&mut items)? {
        match reader.kind()? {
            Kind::Null => reader.null()?,
            Kind::Array => entries.push(entry(reader)?),
            _ => return Err(BAD_ARRAY.into()),
        }
    }
    Ok(entries)
}

/// Reads `["<ns>", "line", {metadata}]`; further elements are looked at only for their presence.
fn entry<'a>(reader: &mut JsonReader<'a>) -> Result<PushEntry<'a>, Refusal> {
    let mut entry = PushEntry {
        timestamp: NO_TIME,
        line: (&b""[..]).into(),
        metadata: Vec::new(),
        shared: None,
    };
    // A refused element leaves its place to the next one, and the last refusal is the answer.
    let mut refusal = None;
    let mut place = 0;
    let mut items = reader.array()?;
    while reader.item(&mut items)? {
        match element(reader, place, &mut entry)? {
            None => place += 1,
            Some(words) => refusal = Some(words),
        }
    }
    refusal.map_or(Ok(entry), |words| Err(words.into()))
}

/// Reads one element of an entry into its place; answers why it does not belong there.
fn element<'a>(
    reader: &mut JsonReader<'a>,
    place: usize,
    entry: &mut PushEntry<'a>,
) -> Result<Option<&'static str>, JsonError> {
    let kind = reader.kind()?;
    let expected = match place {
        0 | 1 => (Kind::String, BAD_STRING),
        2 => (Kind::Object, BAD_OBJECT),
        _ => return reader.skip().map(|_| None),
    };
    if kind != expected.0 {
        reader.skip()?;
        return Ok(Some(expected.1));
    }
    match place {
        0 => match nanoseconds(reader.string()?.raw) {
            Ok(nanos) => entry.timestamp = Timestamp(nanos),
            Err(words) => return Ok(Some(words)),
        },
        1 => match reader.string()?.unescape(LoneSurrogates::Refuse) {
            Some(line) => entry.line = line,
            None => return Ok(Some(BAD_VALUE)),
        },
        _ => return metadata(reader, LoneSurrogates::Refuse, entry),
    }
    Ok(None)
}

fn nanoseconds(digits: &[u8]) -> Result<i64, &'static str> {
    // Rust would take a plus sign, Loki does not.
    if digits.first() == Some(&b'+') {
        return Err(BAD_VALUE);
    }
    let text = str::from_utf8(digits).map_err(|_| BAD_VALUE)?;
    text.parse::<i64>().map_err(|error| match error.kind() {
        std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => OVERFLOW,
        _ => BAD_VALUE,
    })
}

/// Reads an object of strings; answers why it is not one.
fn metadata<'a>(
    reader: &mut JsonReader<'a>,
    surrogates: LoneSurrogates,
    entry: &mut PushEntry<'a>,
) -> Result<Option<&'static str>, JsonError> {
    let mut refusal = None;
    let mut members = reader.object()?;
    while let Some(key) = reader.key(&mut members)? {
        if reader.kind()? != Kind::String {
            reader.skip()?;
            refusal = refusal.or(Some(BAD_STRING));
            continue;
        }
        let value = reader.string()?.unescape(surrogates);
        match (key.unescape(surrogates), value) {
            (Some(name), Some(value)) => {
                entry.metadata.push((lossy_cow(name), lossy_cow(value)));
            }
            _ => refusal = refusal.or(Some(BAD_VALUE)),
        }
    }
    Ok(refusal)
}
