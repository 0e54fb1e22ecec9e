//! `| unpack`: undoes the packing of labels into the line (language reference 5.7).

use super::extract::{Extractor, Flow, JSON_ERROR};
use super::hints::ExtractPlan;
use super::json::unescaped;
use super::json_scan::{Fault, Found, Kind, Members, unescape};
use super::keys::{KeyCursor, Keys};
use super::labels::{RowLabels, Value};
use super::names::NameId;
use super::row::Row;
use super::scan::to_text;

/// The member that holds the original line.
const ENTRY: &[u8] = b"_entry";

/// Runs the stage on a row. `found` is scratch space.
pub(super) fn run(
    row: &mut Row<'_, '_>,
    plan: &ExtractPlan,
    keys: &mut Keys,
    found: &mut Vec<(NameId, Value)>,
) -> Flow {
    let mut next = std::mem::take(&mut row.lines.next);
    next.clear();
    let flow = unpack(row, plan, keys, (found, &mut next));
    row.lines.next = next;
    match flow {
        Some(flow) => {
            row.lines.swap();
            flow
        }
        None => Flow::Continue,
    }
}

/// Unpacks into `entry`; `None` when the line stays.
fn unpack(
    row: &mut Row<'_, '_>,
    plan: &ExtractPlan,
    keys: &mut Keys,
    (found, entry): (&mut Vec<(NameId, Value)>, &mut Vec<u8>),
) -> Option<Flow> {
    let (line, mut extractor) = Extractor::open(row, plan)?;
    match line.first() {
        None => return None,
        Some(b'{') => {}
        Some(_) => {
            extractor.fail(JSON_ERROR, Some("expecting json object(6), but it is not"));
            return None;
        }
    }
    found.clear();
    match read(line, &mut extractor, keys, (found, entry)) {
        Ok(true) => {}
        Ok(false) => return None,
        Err(fault) => {
            extractor.fail(JSON_ERROR, Some(&fault.to_string()));
            return None;
        }
    }
    for (name, value) in found.iter() {
        if extractor.set(*name, *value) == Flow::Drop {
            return Some(Flow::Drop);
        }
    }
    Some(Flow::Continue)
}

/// Reads the members; answers whether the entry was among them.
fn read(
    line: &[u8],
    extractor: &mut Extractor<'_, '_>,
    keys: &mut Keys,
    (found, entry): (&mut Vec<(NameId, Value)>, &mut Vec<u8>),
) -> Result<bool, Fault> {
    let mut members = Members::open(line)?;
    let mut cursor = KeyCursor::START;
    let mut is_packed = false;
    let mut key = Vec::new();
    while let Some((start, end, is_escaped)) = members.next_key()? {
        let mut raw = &line[start..end];
        if is_escaped {
            key.clear();
            unescape(raw, &mut key)?;
            raw = &key;
        }
        let value = members.value()?;
        if let Kind::Text { is_escaped, .. } = value.kind {
            if raw == ENTRY {
                is_packed = true;
                entry.clear();
                unescape(&line[value.start..value.end], entry)?;
            } else {
                let name = extractor.resolve(keys, &mut cursor, (None, raw)).name;
                let name =
                    name.and_then(|name| accept(name, raw, extractor.labels, extractor.plan));
                found.extend(name.map(|name| (name, text(line, value, is_escaped, extractor))));
            }
        }
        members.separator()?;
    }
    Ok(is_packed)
}

/// The final name of a member. Unlike elsewhere, conflicts are decided by the key as it stands in
/// the line, before it became a label name.
fn accept(name: NameId, raw: &[u8], labels: &mut RowLabels, plan: &ExtractPlan) -> Option<NameId> {
    let is_same = labels.names.text(name).as_bytes() == raw;
    let tested = if is_same { name } else { labels.intern(&to_text(raw)) };
    let is_taken = labels.is_taken(tested);
    let tested = if is_taken { labels.suffixed(tested) } else { tested };
    if labels.is_extracted(tested) || !plan.welcomes(tested) {
        return None;
    }
    Some(if is_taken { labels.suffixed(name) } else { name })
}

fn text(line: &[u8], found: Found, is_escaped: bool, extractor: &mut Extractor<'_, '_>) -> Value {
    if is_escaped {
        unescaped(&line[found.start..found.end], extractor)
    } else {
        extractor.clean_slice(line, found.start, found.end)
    }
}
