//! Functions on texts.

use std::borrow::Cow;

use model::Pattern;
use regex_automata::util::captures::Captures;

use super::functions::{Call, Outcome};
use super::value::Value;
use crate::pipeline::letter_case;

/// Longest text a function may make.
const TEXT_MAX: usize = 1 << 20;

/// The characters of a text; every byte that is none counts as one.
pub(super) fn runes(text: &[u8]) -> impl Iterator<Item = &[u8]> {
    let mut rest = text;
    std::iter::from_fn(move || {
        let first = *rest.first()?;
        let length = match first {
            0..=0x7f => 1,
            0xc2..=0xdf => 2,
            0xe0..=0xef => 3,
            0xf0..=0xf4 => 4,
            _ => 1,
        };
        let whole = rest.get(..length).filter(|rune| std::str::from_utf8(rune).is_ok());
        let rune = whole.unwrap_or(&rest[..1]);
        rest = &rest[rune.len()..];
        Some(rune)
    })
}

/// The character that a rune of [`runes`] is.
fn decode(rune: &[u8]) -> char {
    std::str::from_utf8(rune).ok().and_then(|rune| rune.chars().next()).unwrap_or('\u{fffd}')
}

/// Maps every character; bytes that are none become U+FFFD.
fn map(text: &[u8], mut f: impl FnMut(char) -> char) -> Value<'static> {
    let mut out = String::with_capacity(text.len());
    out.extend(runes(text).map(|rune| f(decode(rune))));
    Value::text(out)
}

/// `lower s`
pub(super) fn lower<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok(map(call.text(0), letter_case::lower))
}

/// `upper s`
pub(super) fn upper<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok(map(call.text(0), letter_case::upper))
}

/// `title s`: the first letter of every word.
pub(super) fn title<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let mut previous = ' ';
    Ok(map(call.text(0), |c| {
        let mapped = if is_separator(previous) { letter_case::title(c) } else { c };
        previous = c;
        mapped
    }))
}

fn is_separator(c: char) -> bool {
    if c.is_ascii() {
        return !(c.is_ascii_alphanumeric() || c == '_');
    }
    !c.is_alphanumeric() && c.is_whitespace()
}

/// `Replace s old new n`
pub(super) fn replace_counted<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    replaced(call.text(0), call.text(1), call.text(2), call.int(3))
}

/// `replace old new s`
pub(super) fn replace<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    replaced(call.text(2), call.text(0), call.text(1), -1)
}

fn replaced<'a>(text: &[u8], old: &[u8], new: &[u8], count: i64) -> Outcome<'a> {
    let mut left = usize::try_from(count).unwrap_or(usize::MAX);
    let mut out = Vec::with_capacity(text.len());
    if old.is_empty() {
        for rune in runes(text) {
            if left > 0 {
                out.extend_from_slice(new);
                left -= 1;
            }
            out.extend_from_slice(rune);
            bounded(out.len())?;
        }
        out.extend_from_slice(if left > 0 { new } else { b"" });
        return Ok(Value::text(out));
    }
    let finder = memchr::memmem::Finder::new(old);
    let mut rest = text;
    while left > 0
        && let Some(at) = finder.find(rest)
    {
        out.extend_from_slice(&rest[..at]);
        out.extend_from_slice(new);
        bounded(out.len())?;
        rest = &rest[at + old.len()..];
        left -= 1;
    }
    out.extend_from_slice(rest);
    Ok(Value::text(out))
}

fn bounded(length: usize) -> Result<(), String> {
    if length > TEXT_MAX { Err("result is too long".into()) } else { Ok(()) }
}

/// `Trim s cutset`
pub(super) fn trim_set<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok(trimmed(call, 0, 1, (true, true)))
}

/// `TrimLeft s cutset`
pub(super) fn trim_left<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok(trimmed(call, 0, 1, (true, false)))
}

/// `TrimRight s cutset`
pub(super) fn trim_right<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok(trimmed(call, 0, 1, (false, true)))
}

/// `trimAll cutset s`
pub(super) fn trim_all<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok(trimmed(call, 1, 0, (true, true)))
}

fn trimmed<'a>(
    call: &Call<'_, 'a>,
    text: usize,
    set: usize,
    (left, right): (bool, bool),
) -> Value<'a> {
    let set: Vec<char> = runes(call.text(set)).map(decode).collect();
    let text = call.text(text);
    let is_cut = |rune: &&[u8]| set.contains(&decode(rune));
    let mut kept: Vec<&[u8]> = runes(text).collect();
    if left {
        let cut = kept.iter().take_while(|rune| is_cut(rune)).count();
        kept.drain(..cut);
    }
    while right && kept.last().is_some_and(is_cut) {
        kept.pop();
    }
    Value::text(kept.concat())
}

/// `TrimSpace s` and `trim s`
pub(super) fn trim_space<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok(Value::text(crate::pipeline::names::trim_space(call.text(0))))
}

/// `TrimPrefix s p`
pub(super) fn trim_prefix_of<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let text = call.text(0);
    Ok(Value::text(text.strip_prefix(call.text(1)).unwrap_or(text)))
}

/// `TrimSuffix s p`
pub(super) fn trim_suffix_of<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let text = call.text(0);
    Ok(Value::text(text.strip_suffix(call.text(1)).unwrap_or(text)))
}

/// `trimPrefix p s`
pub(super) fn trim_prefix<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let text = call.text(1);
    Ok(Value::text(text.strip_prefix(call.text(0)).unwrap_or(text)))
}

/// `trimSuffix p s`
pub(super) fn trim_suffix<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let text = call.text(1);
    Ok(Value::text(text.strip_suffix(call.text(0)).unwrap_or(text)))
}

/// `trunc n s`: the first or, when negative, last bytes.
pub(super) fn trunc<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let (count, text) = (call.int(0), call.text(1));
    let length = usize::try_from(count.unsigned_abs()).unwrap_or(usize::MAX);
    if length >= text.len() {
        return Ok(Value::text(text));
    }
    Ok(Value::text(if count < 0 { &text[text.len() - length..] } else { &text[..length] }))
}

/// `substr a b s`: bytes from `a` to `b`.
pub(super) fn substr<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let (start, end, text) = (call.int(0), call.int(1), call.text(2));
    let length = text.len() as i64;
    let part = if start < 0 {
        (0, end)
    } else if end < 0 || end > length {
        (start, length)
    } else {
        (start, end)
    };
    let out_of_range =
        |bound: i64, of: i64| format!("runtime error: slice bounds out of range [{bound}:{of}]");
    if part.1 < 0 || part.1 > length {
        return Err(format!(
            "runtime error: slice bounds out of range [:{}]{}",
            part.1,
            if part.1 < 0 { String::new() } else { format!(" with length {length}") }
        ));
    }
    if part.0 > part.1 {
        return Err(out_of_range(part.0, part.1));
    }
    Ok(Value::text(&text[part.0 as usize..part.1 as usize]))
}

/// `alignLeft n s`
pub(super) fn align_left<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let Some((runes, missing)) = aligned(call)? else { return Ok(Value::text(call.text(1))) };
    let width = usize::try_from(call.int(0)).unwrap_or(0);
    let mut out = runes[..width.min(runes.len())].concat();
    out.extend(std::iter::repeat_n(b' ', missing));
    Ok(Value::text(out))
}

/// `alignRight n s`
pub(super) fn align_right<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let Some((runes, missing)) = aligned(call)? else { return Ok(Value::text(call.text(1))) };
    let width = usize::try_from(call.int(0)).unwrap_or(0);
    let mut out = vec![b' '; missing];
    out.extend(runes[runes.len().saturating_sub(width)..].concat());
    Ok(Value::text(out))
}

/// The characters of a text, and how many it lacks to a width.
type Aligned<'c> = (Vec<&'c [u8]>, usize);

/// The characters of a text and how many it lacks; `None` for a negative width.
fn aligned<'c>(call: &'c Call<'_, '_>) -> Result<Option<Aligned<'c>>, String> {
    let Ok(width) = usize::try_from(call.int(0)) else { return Ok(None) };
    bounded(width)?;
    let runes: Vec<&[u8]> = runes(call.text(1)).collect();
    let missing = width.saturating_sub(runes.len());
    Ok(Some((runes, missing)))
}

/// `repeat n s`
pub(super) fn repeat<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let text = call.text(1);
    let count = usize::try_from(call.int(0)).map_err(|_| "strings: negative Repeat count")?;
    bounded(count.saturating_mul(text.len()))?;
    Ok(Value::text(text.repeat(count)))
}

/// `indent n s`
pub(super) fn indent<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok(Value::text(indented(call)?))
}

/// `nindent n s`
pub(super) fn nindent<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let mut out = b"\n".to_vec();
    out.extend(indented(call)?);
    Ok(Value::text(out))
}

fn indented(call: &Call<'_, '_>) -> Result<Vec<u8>, String> {
    let count = usize::try_from(call.int(0)).map_err(|_| "strings: negative Repeat count")?;
    bounded(count)?;
    let pad = vec![b' '; count];
    let mut out = pad.clone();
    for (at, line) in call.text(1).split(|byte| *byte == b'\n').enumerate() {
        if at > 0 {
            out.push(b'\n');
            out.extend_from_slice(&pad);
        }
        out.extend_from_slice(line);
        bounded(out.len())?;
    }
    Ok(out)
}

/// `contains sub s`
pub(super) fn contains<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok(memchr::memmem::find(call.text(1), call.text(0)).is_some().into())
}

/// `hasPrefix p s`
pub(super) fn has_prefix<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok(call.text(1).starts_with(call.text(0)).into())
}

/// `hasSuffix p s`
pub(super) fn has_suffix<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok(call.text(1).ends_with(call.text(0)).into())
}

/// The regular expression of the first argument, compiled beforehand when it was literal.
fn pattern<'c>(call: &'c Call<'_, '_>) -> Result<Cow<'c, Pattern>, String> {
    let text = String::from_utf8_lossy(call.text(0));
    match call.pattern.filter(|pattern| pattern.as_str() == text) {
        Some(pattern) => Ok(Cow::Borrowed(pattern)),
        None => Pattern::search(&text).map(Cow::Owned).map_err(|error| error.to_string()),
    }
}

/// `count re s`
pub(super) fn count<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let pattern = pattern(call)?;
    let mut count = 0i64;
    each_match(&pattern, call.text(1), |_| {
        count += 1;
        Ok(())
    })?;
    Ok(Value::Int(count))
}

/// `regexReplaceAll re s repl`
pub(super) fn regex_replace<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let (pattern, text) = (pattern(call)?, call.text(1));
    let template = call.text(2);
    let mut out = Vec::with_capacity(text.len());
    let mut kept = 0;
    each_match(&pattern, text, |captures| {
        let Some(span) = captures.get_group(0) else { return Ok(()) };
        out.extend_from_slice(&text[kept..span.start]);
        expand(template, text, captures, &mut out);
        kept = span.end;
        bounded(out.len())
    })?;
    out.extend_from_slice(&text[kept..]);
    Ok(Value::text(out))
}

/// `regexReplaceAllLiteral re s repl`
pub(super) fn regex_replace_literal<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let (pattern, text) = (pattern(call)?, call.text(1));
    let mut out = Vec::with_capacity(text.len());
    let mut kept = 0;
    each_match(&pattern, text, |captures| {
        let Some(span) = captures.get_group(0) else { return Ok(()) };
        out.extend_from_slice(&text[kept..span.start]);
        out.extend_from_slice(call.text(2));
        kept = span.end;
        bounded(out.len())
    })?;
    out.extend_from_slice(&text[kept..]);
    Ok(Value::text(out))
}

/// Calls `f` with every match as Go counts them: none is empty right after another, and empty
/// ones do not split characters.
fn each_match(
    pattern: &Pattern,
    text: &[u8],
    mut f: impl FnMut(&Captures) -> Result<(), String>,
) -> Result<(), String> {
    let regex = pattern.regex();
    let mut captures = regex.create_captures();
    let (mut at, mut last_end) = (0, None);
    while at <= text.len() {
        let input = regex_automata::Input::new(text).span(at..text.len());
        regex.search_captures(&input, &mut captures);
        let Some(found) = captures.get_match() else { break };
        let is_adjacent_empty = found.is_empty() && last_end == Some(found.start());
        if !is_adjacent_empty {
            f(&captures)?;
        }
        let step = runes(&text[found.end()..]).next().map_or(1, <[u8]>::len);
        at = if found.is_empty() { found.end() + step } else { found.end() };
        last_end = Some(found.end());
    }
    Ok(())
}

/// Appends a replacement with `$1`, `$name` and `${name}` expanded.
pub(crate) fn expand(template: &[u8], text: &[u8], captures: &Captures, out: &mut Vec<u8>) {
    let mut rest = template;
    while let Some(at) = memchr::memchr(b'$', rest) {
        out.extend_from_slice(&rest[..at]);
        rest = &rest[at + 1..];
        if rest.first() == Some(&b'$') {
            out.push(b'$');
            rest = &rest[1..];
            continue;
        }
        let Some((name, length)) = reference(rest) else {
            out.push(b'$');
            continue;
        };
        rest = &rest[length..];
        let span = match name.parse::<usize>() {
            Ok(group) => captures.get_group(group),
            Err(_) => captures.get_group_by_name(name),
        };
        out.extend_from_slice(span.map_or(&b""[..], |span| &text[span.start..span.end]));
    }
    out.extend_from_slice(rest);
}

/// The name after a `$`, bare or in braces, and its length.
fn reference(text: &[u8]) -> Option<(&str, usize)> {
    let is_braced = text.first() == Some(&b'{');
    let body = &text[usize::from(is_braced)..];
    let valid = match std::str::from_utf8(body) {
        Ok(body) => body,
        Err(error) => std::str::from_utf8(&body[..error.valid_up_to()]).ok()?,
    };
    let end = valid.find(|c: char| c != '_' && !c.is_alphanumeric()).unwrap_or(valid.len());
    let name = &valid[..end];
    if name.is_empty() || (is_braced && body.get(end) != Some(&b'}')) {
        return None;
    }
    Some((name, end + if is_braced { 2 } else { 0 }))
}
