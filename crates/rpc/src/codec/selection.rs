//! What is asked: whose rows, which of them, and which columns.

use ::bytes::Bytes;
use logql::source::{Required, RequiredLabel, Selection, Shard, Want, WantLines, WantMetadata};
use model::{Direction, MatchOp, Matcher, TenantId, TimeRange};

use super::Decoded;
use super::bytes::{Reader, Writer, damaged};

/// Whose rows, of which streams and time.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Scope {
    /// Whose.
    pub tenant: TenantId,
    /// All must match a stream's labels.
    pub matchers: Vec<Matcher>,
    /// Rows must lie inside.
    pub range: TimeRange,
}

/// Encodes a [`Scope`].
#[must_use]
pub fn encode_scope(scope: &Scope) -> Bytes {
    let mut out = Writer::new(128);
    out.text(scope.tenant.as_str());
    matchers(&mut out, &scope.matchers);
    out.range(scope.range);
    out.finish()
}

/// Decodes a [`Scope`].
///
/// # Errors
///
/// When the bytes are none.
pub fn decode_scope(bytes: &[u8]) -> Decoded<Scope> {
    let mut reader = Reader::new(bytes)?;
    let tenant = TenantId::new(reader.text()?).map_err(|_| damaged("a tenant"))?;
    let matchers = read_matchers(&mut reader)?;
    let range = reader.range()?;
    reader.finish()?;
    Ok(Scope { tenant, matchers, range })
}

/// Encodes matchers and a range.
#[must_use]
pub fn encode_spot(asked: &[Matcher], range: TimeRange) -> Bytes {
    let mut out = Writer::new(64);
    matchers(&mut out, asked);
    out.range(range);
    out.finish()
}

/// Decodes matchers and a range.
///
/// # Errors
///
/// When the bytes are none.
pub fn decode_spot(bytes: &[u8]) -> Decoded<(Vec<Matcher>, TimeRange)> {
    let mut reader = Reader::new(bytes)?;
    let spot = (read_matchers(&mut reader)?, reader.range()?);
    reader.finish()?;
    Ok(spot)
}

/// Encodes a [`Selection`].
#[must_use]
pub fn encode_selection(selection: &Selection) -> Bytes {
    let mut out = Writer::new(128);
    matchers(&mut out, &selection.matchers);
    out.range(selection.range);
    out.flag(selection.direction == Direction::Backward);
    out.number(selection.required.len() as u64);
    for required in &selection.required {
        out.number(required.any_of.len() as u64);
        required.any_of.iter().for_each(|text| out.text(text));
        out.flag(required.ignores_case);
    }
    out.number(selection.required_labels.len() as u64);
    for label in &selection.required_labels {
        out.text(&*label.name);
        out.number(label.values.len() as u64);
        label.values.iter().for_each(|value| out.text(&**value));
        out.number(label.or_texts.len() as u64);
        label.or_texts.iter().for_each(|text| out.text(text));
    }
    out.flag(selection.shard.is_some());
    if let Some(shard) = selection.shard {
        out.number(u64::from(shard.index));
        out.number(u64::from(shard.of));
    }
    out.finish()
}

/// Decodes a [`Selection`].
///
/// # Errors
///
/// When the bytes are none.
pub fn decode_selection(bytes: &[u8]) -> Decoded<Selection> {
    let mut reader = Reader::new(bytes)?;
    let matchers = read_matchers(&mut reader)?;
    let range = reader.range()?;
    let direction = if reader.flag()? { Direction::Backward } else { Direction::Forward };
    let text = |reader: &mut Reader<'_>| reader.bytes().map(Box::from);
    let required = reader.list(2, |reader| {
        let any_of = reader.list(1, text)?;
        Ok(Required { any_of, ignores_case: reader.flag()? })
    })?;
    let required_labels = reader.list(3, |reader| {
        let name = reader.text()?.into();
        let values = reader.list(1, |reader| reader.text().map(Box::from))?;
        Ok(RequiredLabel { name, values, or_texts: reader.list(1, text)? })
    })?;
    let shard = reader.flag()?.then(|| read_shard(&mut reader)).transpose()?;
    reader.finish()?;
    Ok(Selection { matchers, range, direction, required, required_labels, shard })
}

fn read_shard(reader: &mut Reader<'_>) -> Decoded<Shard> {
    let mut number = || u32::try_from(reader.number()?).map_err(|_| damaged("a shard"));
    let shard = Shard { index: number()?, of: number()? };
    if shard.index < shard.of { Ok(shard) } else { Err(damaged("a shard")) }
}

/// Encodes which columns are wanted.
#[must_use]
pub fn encode_want(want: &Want) -> Bytes {
    let mut out = Writer::new(16);
    out.byte(match want.lines {
        WantLines::None => 0,
        WantLines::Lengths => 1,
        // Heads keep lines as text.
        WantLines::Columns | WantLines::Text => 2,
    });
    match &want.metadata {
        WantMetadata::None => out.byte(0),
        WantMetadata::All => out.byte(1),
        WantMetadata::Names(names) => {
            out.byte(2);
            out.number(names.len() as u64);
            names.iter().for_each(|name| out.text(name));
        }
    }
    out.finish()
}

/// Decodes which columns are wanted.
///
/// # Errors
///
/// When the bytes are none.
pub fn decode_want(bytes: &[u8]) -> Decoded<Want> {
    let mut reader = Reader::new(bytes)?;
    let lines = match reader.byte()? {
        0 => WantLines::None,
        1 => WantLines::Lengths,
        2 => WantLines::Text,
        _ => return Err(damaged("how much of lines")),
    };
    let metadata = match reader.byte()? {
        0 => WantMetadata::None,
        1 => WantMetadata::All,
        2 => WantMetadata::Names(reader.list(1, |reader| reader.text().map(str::to_owned))?),
        _ => return Err(damaged("which metadata")),
    };
    reader.finish()?;
    Ok(Want { lines, metadata })
}

fn matchers(out: &mut Writer, matchers: &[Matcher]) {
    out.number(matchers.len() as u64);
    for matcher in matchers {
        out.text(matcher.name());
        out.byte(match matcher.op() {
            MatchOp::Equal => 0,
            MatchOp::NotEqual => 1,
            MatchOp::Regex => 2,
            MatchOp::NotRegex => 3,
        });
        out.text(matcher.value());
    }
}

fn read_matchers(reader: &mut Reader<'_>) -> Decoded<Vec<Matcher>> {
    reader.list(3, |reader| {
        let name = reader.text()?;
        let op = match reader.byte()? {
            0 => MatchOp::Equal,
            1 => MatchOp::NotEqual,
            2 => MatchOp::Regex,
            3 => MatchOp::NotRegex,
            _ => return Err(damaged("an operator")),
        };
        Matcher::new(name, op, reader.text()?).map_err(|_| damaged("a regular expression"))
    })
}
