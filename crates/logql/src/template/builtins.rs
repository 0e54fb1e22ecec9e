//! The functions that every Go template has.

use std::cmp::Ordering;

use super::encoding::{html_escaped, js_escaped, query_escaped};
use super::format::append;
use super::functions::{Call, Outcome};
use super::printf::sprintf;
use super::value::Value;

/// The last argument; stands in for `and` and `or`, which the executor evaluates itself.
pub(super) fn last<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok(call.args.last().cloned().unwrap_or(Value::Missing))
}

fn is_true(call: &Call<'_, '_>, value: &Value<'_>) -> bool {
    let labels = if matches!(value, Value::Labels) { call.data.labels().len() } else { 0 };
    value.is_true(labels)
}

/// `not v`
pub(super) fn not<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok((!is_true(call, &call.args[0])).into())
}

/// `__line__`
pub(super) fn line<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok(Value::Text(call.data.line().into()))
}

/// `default d v…`: the first `v` unless it is empty.
pub(super) fn default<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let given = call.args.get(1).filter(|given| is_true(call, given));
    Ok(given.unwrap_or(&call.args[0]).clone())
}

/// What two values are compared as.
#[derive(PartialEq)]
enum Basic<'v> {
    Bool(bool),
    Int(i64),
    Uint(u64),
    Float(f64),
    Complex(f64),
    Text(&'v [u8]),
}

fn basic<'v>(value: &'v Value<'_>) -> Option<Basic<'v>> {
    Some(match value {
        Value::Bool(value) => Basic::Bool(*value),
        Value::Byte(value) => Basic::Uint(u64::from(*value)),
        Value::Float(value) => Basic::Float(*value),
        Value::Imaginary(value) => Basic::Complex(*value),
        Value::Text(text) => Basic::Text(text),
        other => Basic::Int(other.as_int()?),
    })
}

fn mismatch(a: &Value<'_>, b: &Value<'_>) -> String {
    format!("incompatible types for comparison: {} and {}", a.type_name(), b.type_name())
}

fn are_equal(a: &Value<'_>, b: &Value<'_>) -> Result<bool, String> {
    let is_nil = |value: &Value<'_>| matches!(value, Value::Missing | Value::Nil);
    match (basic(a), basic(b)) {
        (Some(Basic::Int(a)), Some(Basic::Uint(b)))
        | (Some(Basic::Uint(b)), Some(Basic::Int(a))) => Ok(u64::try_from(a).is_ok_and(|a| a == b)),
        (Some(x), Some(y)) if std::mem::discriminant(&x) == std::mem::discriminant(&y) => {
            Ok(x == y)
        }
        _ if is_nil(a) || is_nil(b) => Ok(is_nil(a) && is_nil(b)),
        (None, None) => match (a, b) {
            (Value::Time(a), Value::Time(b)) => Ok(a == b),
            _ => Err(format!("non-comparable type {}: {}", show(b), b.type_name())),
        },
        _ => Err(mismatch(a, b)),
    }
}

/// A container, roughly; only for an error.
fn show(value: &Value<'_>) -> &'static str {
    match value {
        Value::List(_) => "[]",
        _ => "map[]",
    }
}

/// `eq a b…`: whether `a` equals one of the others.
pub(super) fn eq<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let (first, others) = call.args.split_first().ok_or("missing argument for comparison")?;
    if others.is_empty() {
        return Err("missing argument for comparison".into());
    }
    for other in others {
        if are_equal(first, other)? {
            return Ok(true.into());
        }
    }
    Ok(false.into())
}

/// `ne a b`
pub(super) fn ne<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok((!are_equal(&call.args[0], &call.args[1])?).into())
}

/// The order of two values; `None` when they have none, as with NaN.
fn order(call: &Call<'_, '_>) -> Result<Option<Ordering>, String> {
    let (a, b) = (&call.args[0], &call.args[1]);
    let untyped = || String::from("invalid type for comparison");
    match (basic(a).ok_or_else(untyped)?, basic(b).ok_or_else(untyped)?) {
        (Basic::Int(a), Basic::Int(b)) => Ok(Some(a.cmp(&b))),
        (Basic::Uint(a), Basic::Uint(b)) => Ok(Some(a.cmp(&b))),
        (Basic::Int(a), Basic::Uint(b)) => Ok(Some(i128::from(a).cmp(&i128::from(b)))),
        (Basic::Uint(a), Basic::Int(b)) => Ok(Some(i128::from(a).cmp(&i128::from(b)))),
        (Basic::Float(a), Basic::Float(b)) => Ok(a.partial_cmp(&b)),
        (Basic::Text(a), Basic::Text(b)) => Ok(Some(a.cmp(b))),
        (Basic::Bool(_), Basic::Bool(_)) | (Basic::Complex(_), Basic::Complex(_)) => Err(untyped()),
        _ => Err(mismatch(a, b)),
    }
}

/// `lt a b`
pub(super) fn lt<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok((order(call)? == Some(Ordering::Less)).into())
}

/// `le a b`
pub(super) fn le<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok(matches!(order(call)?, Some(Ordering::Less | Ordering::Equal)).into())
}

/// `gt a b`: not at most, so it holds when there is no order.
pub(super) fn gt<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok((!matches!(order(call)?, Some(Ordering::Less | Ordering::Equal))).into())
}

/// `ge a b`: not less, so it holds when there is no order.
pub(super) fn ge<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok((order(call)? != Some(Ordering::Less)).into())
}

/// `len v`
pub(super) fn len<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let length = match &call.args[0] {
        Value::Text(text) => text.len(),
        Value::List(values) => values.len(),
        Value::Map(members) => members.len(),
        Value::Labels => call.data.labels().len(),
        Value::Missing | Value::Nil => return Err("len of nil pointer".into()),
        other => return Err(format!("len of type {}", other.type_name())),
    };
    Ok(Value::Int(length as i64))
}

/// An index into something of `length` elements.
fn position(index: &Value<'_>, length: usize) -> Result<usize, String> {
    let index = match index {
        Value::Missing | Value::Nil => return Err("cannot index slice/array with nil".into()),
        index => index
            .as_int()
            .ok_or_else(|| format!("cannot index slice/array with type {}", index.type_name()))?,
    };
    usize::try_from(index)
        .ok()
        .filter(|index| *index <= length)
        .ok_or_else(|| format!("index out of range: {index}"))
}

/// `index v k…`
pub(super) fn index<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let (first, keys) = call.args.split_first().ok_or("index of untyped nil")?;
    let mut item = first.clone();
    for key in keys {
        let as_key = |key: &Value<'_>| match key {
            Value::Text(text) => Ok(text.to_vec()),
            Value::Missing | Value::Nil => Err("value is nil; should be of type string".to_owned()),
            key => Err(format!("value has type {}; should be string", key.type_name())),
        };
        item = match &item {
            Value::Missing | Value::Nil => return Err("index of untyped nil".into()),
            Value::Text(text) => {
                let at = position(key, text.len())?;
                Value::Byte(*text.get(at).ok_or("reflect: string index out of range")?)
            }
            Value::List(values) => {
                let at = position(key, values.len())?;
                values.get(at).cloned().ok_or("reflect: slice index out of range")?
            }
            Value::Map(members) => Value::member(members, &as_key(key)?).unwrap_or(Value::Nil),
            Value::Labels => {
                let key = as_key(key)?;
                let name = std::str::from_utf8(&key).ok();
                let value = name.and_then(|name| call.data.label(name));
                Value::Text(value.unwrap_or_default().into())
            }
            other => return Err(format!("can't index item of type {}", other.type_name())),
        };
    }
    // An interface that holds nothing is printed as no value.
    Ok(if matches!(item, Value::Nil) { Value::Missing } else { item })
}

/// `slice v i j`
pub(super) fn slice<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let (item, bounds) = call.args.split_first().ok_or("slice of untyped nil")?;
    if bounds.len() > 3 {
        return Err(format!("too many slice indexes: {}", bounds.len()));
    }
    let length = match item {
        Value::Text(_) if bounds.len() == 3 => return Err("cannot 3-index slice a string".into()),
        Value::Text(text) => text.len(),
        Value::List(values) => values.len(),
        Value::Missing | Value::Nil => return Err("slice of untyped nil".into()),
        other => return Err(format!("can't slice item of type {}", other.type_name())),
    };
    let mut range = [0, length, length];
    for (bound, value) in range.iter_mut().zip(bounds) {
        *bound = position(value, length)?;
    }
    let [start, end, limit] = range;
    if start > end {
        return Err(format!("invalid slice index: {start} > {end}"));
    }
    if end > limit {
        return Err(format!("invalid slice index: {end} > {limit}"));
    }
    Ok(match item {
        Value::Text(text) => Value::text(&text[start..end]),
        Value::List(values) => Value::List(values[start..end].into()),
        _ => Value::Missing,
    })
}

/// `call f …`: no value is a function.
pub(super) fn call<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    match &call.args[0] {
        Value::Missing | Value::Nil => Err("call of nil".into()),
        // The executor knows what to call the value.
        other => Err(format!("non-function of type {}", other.type_name())),
    }
}

/// Prints values one after the other, with a blank between two that are no texts.
fn printed(call: &Call<'_, '_>) -> Vec<u8> {
    let mut out = Vec::new();
    let mut previous_is_text = true;
    for (at, arg) in call.args.iter().enumerate() {
        let is_text = matches!(arg, Value::Text(_));
        if at > 0 && !is_text && !previous_is_text {
            out.push(b' ');
        }
        append(arg, call.data, &mut out);
        previous_is_text = is_text;
    }
    out
}

/// `print v…`
pub(super) fn print<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok(Value::text(printed(call)))
}

/// `printf format v…`
pub(super) fn printf<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok(Value::text(sprintf(call.text(0), &call.args[1..], call.data)))
}

/// `println v…`
pub(super) fn println<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let mut out = Vec::new();
    for (at, arg) in call.args.iter().enumerate() {
        if at > 0 {
            out.push(b' ');
        }
        append(arg, call.data, &mut out);
    }
    out.push(b'\n');
    Ok(Value::text(out))
}

/// What the escaping functions escape: values without anything print as no value.
fn to_escape(call: &Call<'_, '_>) -> Vec<u8> {
    match call.args {
        [Value::Missing | Value::Nil] => b"<no value>".to_vec(),
        _ => printed(call),
    }
}

/// `html v…`
pub(super) fn html<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok(Value::text(html_escaped(&to_escape(call))))
}

/// `js v…`
pub(super) fn js<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok(Value::text(js_escaped(&to_escape(call))))
}

/// `urlquery v…`
pub(super) fn urlquery<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok(Value::text(query_escaped(&to_escape(call))))
}
