//! `| json`: every scalar of the line's object becomes a label (language reference 5.2).
//!
//! Nested names are joined by `_`. Nulls and arrays vanish; a fault keeps the labels set before.

use super::extract::{Extractor, Flow, JSON_ERROR};
use super::hints::ExtractPlan;
use super::json_scan::{Fault, Found, Kind, Members, unescape};
use super::keys::{KeyCursor, Keys};
use super::labels::Value;
use super::names::NameId;
use super::row::Row;
use super::scan::{append_clean, is_clean};

/// Buffers for reading JSON.
#[derive(Debug, Default)]
pub(super) struct JsonBuffers {
    /// A key whose escapes were resolved.
    key: Vec<u8>,
    /// The name prefixes of the objects around the current one.
    outer: Vec<Option<NameId>>,
}

/// Runs the stage on a row.
pub(super) fn run(
    row: &mut Row<'_, '_>,
    plan: &ExtractPlan,
    keys: &mut Keys,
    buffers: &mut JsonBuffers,
) -> Flow {
    let Some((line, mut extractor)) = Extractor::open(row, plan) else { return Flow::Continue };
    match walk(line, &mut extractor, keys, buffers) {
        Ok(flow) => flow,
        Err(fault) => {
            extractor.fail(JSON_ERROR, Some(&fault.to_string()));
            Flow::Continue
        }
    }
}

fn walk(
    line: &[u8],
    extractor: &mut Extractor<'_, '_>,
    keys: &mut Keys,
    buffers: &mut JsonBuffers,
) -> Result<Flow, Fault> {
    let mut members = Members::open(line)?;
    let mut cursor = KeyCursor::START;
    let mut prefix: Option<NameId> = None;
    buffers.outer.clear();
    loop {
        let Some((start, end, is_escaped)) = members.next_key()? else {
            let Some(outer) = buffers.outer.pop() else { return Ok(Flow::Continue) };
            prefix = outer;
            members.separator()?;
            continue;
        };
        let raw = if is_escaped {
            buffers.key.clear();
            unescape(&line[start..end], &mut buffers.key)?;
            &buffers.key
        } else {
            &line[start..end]
        };
        let key = extractor.resolve(keys, &mut cursor, (prefix, raw));
        let value = members.value()?;
        match (value.kind, key.name) {
            (Kind::Object, name) if key.may_prefix => {
                buffers.outer.push(prefix);
                prefix = name;
                members.enter(value)?;
                continue;
            }
            (Kind::Object, _) => members.skip(value)?,
            (Kind::Null | Kind::Array, _) | (_, None) => {}
            (_, Some(name)) => {
                if let Some(name) = extractor.accept(name) {
                    let value = label_value(line, value, extractor);
                    let flow = extractor.set(name, value);
                    if flow != Flow::Continue {
                        return Ok(flow);
                    }
                }
            }
        }
        members.separator()?;
    }
}

/// The label value of a scalar: a string's meaning, or the text as it stands.
#[inline]
pub(super) fn label_value(line: &[u8], found: Found, extractor: &mut Extractor<'_, '_>) -> Value {
    match found.kind {
        Kind::Text { is_escaped: true, .. } => unescaped(&line[found.start..found.end], extractor),
        Kind::Text { is_ascii: true, .. } => extractor.slice(line, found.start, found.end),
        Kind::Text { .. } | Kind::Number => extractor.clean_slice(line, found.start, found.end),
        _ => extractor.slice(line, found.start, found.end),
    }
}

/// The meaning of a string's text; empty when an escape is bad.
pub(super) fn unescaped(text: &[u8], extractor: &mut Extractor<'_, '_>) -> Value {
    let result = extractor.labels.make_with(|out| {
        let start = out.len();
        unescape(text, out)?;
        if !is_clean(&out[start..]) {
            let raw = out.split_off(start);
            append_clean(&raw, out);
        }
        Ok::<(), Fault>(())
    });
    result.unwrap_or_else(|_| extractor.labels.make(b""))
}
