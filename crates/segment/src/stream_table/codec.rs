//! The section STREAMS: symbols, schemas, streams.

use hashbrown::HashMap;
use model::Labels;

use crate::encoding::cursor::{Cursor, put_bytes, put_signed, put_varint};
use crate::error::{FormatError, Result};
use crate::limits::{STREAMS_MAX, SYMBOL_BYTES_MAX};

use super::{StreamRecord, StreamTable, Symbols};

/// Gathers the streams of a segment while it is written.
#[derive(Default)]
pub(crate) struct StreamTableBuilder {
    /// Names and values by text, numbered by appearance.
    symbols: HashMap<Box<str>, u32>,
    symbol_bytes: usize,
    schemas: HashMap<Box<[u32]>, u32>,
    streams: Vec<StreamCount>,
    /// Values by appearance number, back to back.
    values: Vec<u32>,
}

/// A stream and what has been counted of it.
#[derive(Debug, Clone, Copy)]
pub(crate) struct StreamCount {
    schema: u32,
    pub(crate) rows: u64,
    pub(crate) bytes: u64,
    pub(crate) first: i64,
    pub(crate) last: i64,
}

impl StreamTableBuilder {
    pub(crate) fn len(&self) -> usize {
        self.streams.len()
    }

    /// Whether the limits of a segment are exceeded.
    pub(crate) fn is_too_large(&self) -> bool {
        self.symbol_bytes > SYMBOL_BYTES_MAX || self.streams.len() > STREAMS_MAX
    }

    /// Adds a stream whose first row has time `first`.
    pub(crate) fn add(&mut self, labels: &Labels, first: i64) {
        let mut names = Vec::with_capacity(labels.len());
        for (name, value) in labels.iter() {
            names.push(self.symbol(name));
            let value = self.symbol(value);
            self.values.push(value);
        }
        let next = self.schemas.len() as u32;
        let schema = *self.schemas.entry(names.into()).or_insert(next);
        self.streams.push(StreamCount { schema, rows: 0, bytes: 0, first, last: first });
    }

    /// The stream that was added last.
    pub(crate) fn current(&mut self) -> Option<&mut StreamCount> {
        self.streams.last_mut()
    }

    fn symbol(&mut self, text: &str) -> u32 {
        if let Some(symbol) = self.symbols.get(text) {
            return *symbol;
        }
        let symbol = self.symbols.len() as u32;
        self.symbol_bytes += text.len();
        self.symbols.insert(text.into(), symbol);
        symbol
    }

    /// Appends the section.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        let mut texts: Vec<(&str, u32)> =
            self.symbols.iter().map(|(text, number)| (&**text, *number)).collect();
        texts.sort_unstable();
        encode_symbols(&texts, out);
        // From numbers by appearance to ranks by text.
        let mut ranks = vec![0u32; texts.len()];
        for (rank, (_, number)) in (0..).zip(&texts) {
            ranks[*number as usize] = rank;
        }
        let mut schemas: Vec<(&[u32], u32)> =
            self.schemas.iter().map(|(names, schema)| (&**names, *schema)).collect();
        schemas.sort_unstable_by_key(|(_, schema)| *schema);
        put_varint(out, schemas.len() as u64);
        for (names, _) in &schemas {
            put_varint(out, names.len() as u64);
            names.iter().for_each(|name| put_varint(out, u64::from(ranks[*name as usize])));
        }
        self.encode_streams(&schemas, &ranks, out);
    }

    fn encode_streams(&self, schemas: &[(&[u32], u32)], ranks: &[u32], out: &mut Vec<u8>) {
        put_varint(out, self.streams.len() as u64);
        // Values as distances from the stream before with the same schema: neighbours are alike.
        let mut before: Vec<Vec<u32>> =
            schemas.iter().map(|(names, _)| vec![0; names.len()]).collect();
        let mut values = self.values.iter().map(|value| ranks[*value as usize]);
        for stream in &self.streams {
            put_varint(out, u64::from(stream.schema));
            for before in &mut before[stream.schema as usize] {
                let value = values.next().unwrap_or_default();
                put_signed(out, i64::from(value) - i64::from(*before));
                *before = value;
            }
        }
        self.streams.iter().for_each(|stream| put_varint(out, stream.rows));
        self.streams.iter().for_each(|stream| put_varint(out, stream.bytes));
        let mut first = 0i64;
        for stream in &self.streams {
            put_signed(out, stream.first.wrapping_sub(first));
            first = stream.first;
        }
        for stream in &self.streams {
            put_varint(out, stream.last.wrapping_sub(stream.first) as u64);
        }
    }
}

/// Appends ascending texts, each as what it adds to the one before.
fn encode_symbols(texts: &[(&str, u32)], out: &mut Vec<u8>) {
    put_varint(out, texts.len() as u64);
    let mut before = "";
    for (text, _) in texts {
        let mut shared = before.bytes().zip(text.bytes()).take_while(|(a, b)| a == b).count();
        while !text.is_char_boundary(shared) {
            shared -= 1;
        }
        put_varint(out, shared as u64);
        put_bytes(out, &text.as_bytes()[shared..]);
        before = text;
    }
}

/// Reads the section.
pub(crate) fn decode(bytes: &[u8]) -> Result<StreamTable> {
    let mut cursor = Cursor::new(bytes, "stream table");
    let symbols = decode_symbols(&mut cursor)?;
    let schemas = decode_schemas(&mut cursor, &symbols)?;
    let mut table = StreamTable { symbols, schemas, ..Default::default() };
    decode_streams(&mut cursor, &mut table)?;
    cursor.finish()?;
    Ok(table)
}

fn decode_symbols(cursor: &mut Cursor<'_>) -> Result<Symbols> {
    let count = cursor.count(2)?;
    let mut symbols = Symbols { text: String::new(), ends: Vec::with_capacity(count) };
    let mut start = 0;
    for index in 0..count {
        let shared = usize::try_from(cursor.varint()?).map_err(|_| cursor.corrupt())?;
        let added = cursor.text()?;
        let end = symbols.text.len();
        if end.saturating_add(shared).saturating_add(added.len()) > SYMBOL_BYTES_MAX {
            return Err(cursor.corrupt());
        }
        let is_prefix = shared <= end - start && symbols.text.is_char_boundary(start + shared);
        if !is_prefix {
            return Err(cursor.corrupt());
        }
        symbols.text.extend_from_within(start..start + shared);
        symbols.text.push_str(added);
        if index > 0 && symbols.text[start..end] >= symbols.text[end..] {
            return Err(cursor.corrupt());
        }
        start = end;
        symbols.ends.push(symbols.text.len() as u32);
    }
    Ok(symbols)
}

fn decode_schemas(cursor: &mut Cursor<'_>, symbols: &Symbols) -> Result<Vec<Box<[u32]>>> {
    let count = cursor.count(1)?;
    let mut schemas = Vec::with_capacity(count);
    for _ in 0..count {
        let len = cursor.count(1)?;
        let mut names: Vec<u32> = Vec::with_capacity(len);
        for _ in 0..len {
            let name = cursor.varint_u32()?;
            let ascends = names.last().is_none_or(|before| *before < name);
            if !ascends || name as usize >= symbols.len() {
                return Err(cursor.corrupt());
            }
            names.push(name);
        }
        schemas.push(names.into());
    }
    Ok(schemas)
}

fn decode_streams(cursor: &mut Cursor<'_>, table: &mut StreamTable) -> Result<()> {
    // Schema, rows, bytes, first and last take at least a byte each.
    let count = cursor.count(5)?;
    if count > STREAMS_MAX {
        return Err(cursor.corrupt());
    }
    let mut before: Vec<Vec<u32>> =
        table.schemas.iter().map(|names| vec![0; names.len()]).collect();
    table.streams.reserve_exact(count);
    for _ in 0..count {
        let schema = cursor.varint_u32()?;
        let values = u32::try_from(table.values.len()).map_err(|_| cursor.corrupt())?;
        let before = before.get_mut(schema as usize).ok_or_else(|| cursor.corrupt())?;
        for before in before {
            let value = i64::from(*before).wrapping_add(cursor.signed()?);
            let value = u32::try_from(value).map_err(|_| cursor.corrupt())?;
            if value as usize >= table.symbols.len() {
                return Err(cursor.corrupt());
            }
            table.values.push(value);
            *before = value;
        }
        let record = StreamRecord { schema, values, rows: 0, bytes: 0, first: 0, last: 0 };
        table.streams.push(record);
    }
    for stream in &mut table.streams {
        stream.rows = cursor.varint()?;
    }
    for stream in &mut table.streams {
        stream.bytes = cursor.varint()?;
    }
    let mut first = 0i64;
    for stream in &mut table.streams {
        first = first.wrapping_add(cursor.signed()?);
        stream.first = first;
    }
    for stream in &mut table.streams {
        let last = stream.first.checked_add_unsigned(cursor.varint()?);
        stream.last = last.ok_or(FormatError::Corrupt("stream table"))?;
    }
    Ok(())
}

#[cfg(test)]
mod tests {
    use model::{MatchOp, Matcher};
    use proptest::prelude::*;

    use super::*;

    fn build(texts: &[&str]) -> (Vec<u8>, Vec<Labels>) {
        let mut builder = StreamTableBuilder::default();
        let labels: Vec<Labels> = texts.iter().map(|text| Labels::parse(text).unwrap()).collect();
        for (index, labels) in (0..).zip(&labels) {
            builder.add(labels, 10 - index);
            let current = builder.current().unwrap();
            current.rows = index as u64 + 1;
            current.bytes = 100 * index as u64;
            current.last = i64::MAX;
        }
        let mut out = Vec::new();
        builder.encode(&mut out);
        (out, labels)
    }

    const TEXTS: [&str; 5] = [
        "{}",
        r#"{app="web", pod="web-1"}"#,
        r#"{app="web", pod="web-2"}"#,
        r#"{app="grün", pod="grüß", zone="web"}"#,
        r#"{app="db", pod="db-1"}"#,
    ];

    #[test]
    fn streams_round_trip() {
        let (out, labels) = build(&TEXTS);
        let table = decode(&out).unwrap();
        assert_eq!(table.len(), labels.len());
        for (ordinal, labels) in (0..).zip(&labels) {
            assert_eq!(table.labels(ordinal), *labels);
            assert_eq!(table.fingerprint(ordinal), labels.fingerprint());
            assert_eq!(table.rows(ordinal), u64::from(ordinal) + 1);
            assert_eq!(table.bytes(ordinal), 100 * u64::from(ordinal));
            assert_eq!(table.first(ordinal).0, 10 - i64::from(ordinal));
            assert_eq!(table.last(ordinal).0, i64::MAX);
        }
        assert_eq!((table.value(3, "zone"), table.value(1, "zone")), ("web", ""));
    }

    #[test]
    fn selecting_is_matching_each_stream() {
        let (out, labels) = build(&TEXTS);
        let table = decode(&out).unwrap();
        let matcher = |name, op, value| Matcher::new(name, op, value).unwrap();
        let lists = [
            vec![],
            vec![matcher("app", MatchOp::Equal, "web")],
            vec![matcher("app", MatchOp::NotEqual, "web")],
            vec![matcher("zone", MatchOp::Equal, "")],
            vec![matcher("nowhere", MatchOp::Regex, ".+")],
            vec![matcher("pod", MatchOp::Regex, ".*-1"), matcher("app", MatchOp::NotRegex, "d.")],
        ];
        for matchers in lists {
            let expected: Vec<u32> = (0..)
                .zip(&labels)
                .filter(|(_, labels)| model::matcher::all_match(&matchers, labels))
                .map(|(ordinal, _)| ordinal)
                .collect();
            assert_eq!(table.select(&matchers), expected, "{matchers:?}");
        }
    }

    #[test]
    fn damage_is_an_error_or_another_table_but_never_a_panic() {
        let (mut out, _) = build(&TEXTS);
        for cut in 0..out.len() {
            assert!(decode(&out[..cut]).is_err());
        }
        for at in 0..out.len() {
            for flip in [1, 3, 0x40, 0x80] {
                out[at] ^= flip;
                if let Ok(table) = decode(&out) {
                    (0..table.len() as u32).for_each(|ordinal| drop(table.labels(ordinal)));
                }
                out[at] ^= flip;
            }
        }
    }

    proptest! {
        #[test]
        fn any_label_sets_round_trip(
            sets in prop::collection::vec(prop::collection::btree_map("[a-c]{1,2}|.{1,4}", ".{1,6}", 0..4), 0..20)
        ) {
            let mut builder = StreamTableBuilder::default();
            let labels: Vec<Labels> = sets
                .iter()
                .map(|set| Labels::new(set.iter().map(|(n, v)| (n.as_str(), v.as_str()))))
                .collect();
            labels.iter().for_each(|labels| builder.add(labels, 0));
            let mut out = Vec::new();
            builder.encode(&mut out);
            let table = decode(&out).unwrap();
            for (ordinal, labels) in (0..).zip(&labels) {
                prop_assert_eq!(&table.labels(ordinal), labels);
            }
        }
    }
}
