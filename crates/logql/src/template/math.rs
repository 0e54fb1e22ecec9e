//! Functions on numbers, and the casts of their arguments.

use super::decimal::Decimal;
use super::functions::{Call, Outcome};
use super::value::Value;
use crate::pipeline::number::{parse_bytes, parse_duration, parse_float};
use crate::pipeline::unwrap::seconds;

/// Reads an integer with an optional base prefix (`0x`, `0o`, `0b`, a leading `0` for octal) and
/// `_` between digits, as Go does for base 0.
pub(super) fn parse_int(text: &[u8]) -> Result<i64, ()> {
    let (is_negative, body) = match text.first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let prefix = body.get(..2).map(<[u8]>::to_ascii_lowercase);
    let (radix, digits) = match prefix.as_deref() {
        Some(b"0x") => (16, &body[2..]),
        Some(b"0o") => (8, &body[2..]),
        Some(b"0b") => (2, &body[2..]),
        Some([b'0', _]) => (8, &body[1..]),
        _ => (10, body),
    };
    let has_prefix = digits.len() < body.len();
    let mut magnitude: u64 = 0;
    let mut after_digit = has_prefix;
    for byte in digits {
        if *byte == b'_' && after_digit {
            after_digit = false;
            continue;
        }
        let digit = (*byte as char).to_digit(radix).ok_or(())?;
        let next = magnitude.checked_mul(u64::from(radix)).ok_or(())?;
        magnitude = next.checked_add(u64::from(digit)).ok_or(())?;
        after_digit = true;
    }
    if digits.is_empty() || !after_digit {
        return Err(());
    }
    let signed = if is_negative { -i128::from(magnitude) } else { i128::from(magnitude) };
    i64::try_from(signed).map_err(|_| ())
}

/// A value as an integer; 0 when it is none.
pub(super) fn to_int(value: &Value<'_>) -> i64 {
    match value {
        Value::Bool(value) => i64::from(*value),
        Value::Float(value) => truncate(*value),
        Value::Text(text) => text_to_int(text),
        other => other.as_int().unwrap_or(0),
    }
}

/// A float without its fraction; out of range it is Go's smallest integer.
fn truncate(value: f64) -> i64 {
    let fits = (-9_223_372_036_854_775_808.0..9_223_372_036_854_775_808.0).contains(&value);
    if fits { value as i64 } else { i64::MIN }
}

fn text_to_int(text: &[u8]) -> i64 {
    let unsigned = text.strip_prefix(b"-").or(text.strip_prefix(b"+")).unwrap_or(text);
    let whole = unsigned.iter().take_while(|byte| byte.is_ascii_digit()).count();
    let fraction = &unsigned[whole..];
    let is_decimal =
        fraction.first() == Some(&b'.') && fraction[1..].iter().all(u8::is_ascii_digit);
    let text = if is_decimal { &text[..text.len() - fraction.len()] } else { text };
    parse_int(text).unwrap_or(0)
}

/// A value as a float; 0 when it is none.
pub(super) fn to_float(value: &Value<'_>) -> f64 {
    match value {
        Value::Bool(value) => f64::from(u8::from(*value)),
        Value::Float(value) => *value,
        Value::Text(text) => {
            std::str::from_utf8(text).ok().and_then(|text| parse_float(text).ok()).unwrap_or(0.0)
        }
        other => other.as_int().map_or(0.0, |value| value as f64),
    }
}

/// `int v`
pub(super) fn int<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok(Value::Int(to_int(&call.args[0])))
}

/// `float64 v`
pub(super) fn float64<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok(Value::Float(to_float(&call.args[0])))
}

fn fold<'a>(call: &Call<'_, 'a>, f: fn(i64, i64) -> i64) -> Outcome<'a> {
    let values = call.args.iter().map(to_int);
    Ok(Value::Int64(values.reduce(f).unwrap_or(0)))
}

fn fold_float<'a>(call: &Call<'_, 'a>, f: fn(f64, f64) -> f64) -> Outcome<'a> {
    Ok(Value::Float(call.args.iter().map(to_float).reduce(f).unwrap_or(0.0)))
}

/// `add a…`
pub(super) fn add<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    fold(call, i64::wrapping_add)
}

/// `sub a b`
pub(super) fn sub<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    fold(call, i64::wrapping_sub)
}

/// `mul a…`
pub(super) fn mul<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    fold(call, i64::wrapping_mul)
}

/// `max a…`
pub(super) fn max<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    fold(call, i64::max)
}

/// `min a…`
pub(super) fn min<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    fold(call, i64::min)
}

/// The two integers of a division.
fn division(call: &Call<'_, '_>) -> Result<(i64, i64), String> {
    match (to_int(&call.args[0]), to_int(&call.args[1])) {
        (_, 0) => Err("runtime error: integer divide by zero".into()),
        operands => Ok(operands),
    }
}

/// `div a b`
pub(super) fn div<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    division(call).map(|(a, b)| Value::Int64(a.wrapping_div(b)))
}

/// `mod a b`
pub(super) fn modulo<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    division(call).map(|(a, b)| Value::Int64(a.wrapping_rem(b)))
}

/// `maxf a…`
pub(super) fn maxf<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    fold_float(call, |a, b| if a.is_nan() || b.is_nan() { f64::NAN } else { a.max(b) })
}

/// `minf a…`
pub(super) fn minf<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    fold_float(call, |a, b| if a.is_nan() || b.is_nan() { f64::NAN } else { a.min(b) })
}

/// `ceil a`
pub(super) fn ceil<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok(Value::Float(to_float(&call.args[0]).ceil()))
}

/// `floor a`
pub(super) fn floor<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok(Value::Float(to_float(&call.args[0]).floor()))
}

/// `round v p [on]`: to `p` decimals, up from a fraction of `on`. Negative fractions are below it,
/// so negative numbers round down.
pub(super) fn round<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let value = to_float(&call.args[0]);
    let on = match call.args.get(2) {
        Some(Value::Float(on)) => *on,
        _ => 0.5,
    };
    let scale = 10f64.powi(i32::try_from(call.int(1)).unwrap_or(i32::MAX));
    let scaled = scale * value;
    let rounded = if scaled.fract() >= on { scaled.ceil() } else { scaled.floor() };
    Ok(Value::Float(rounded / scale))
}

/// Folds decimals, or floats when some operand is no finite number.
fn fold_decimal<'a>(
    call: &Call<'_, 'a>,
    exact: fn(Decimal, Decimal) -> Option<Decimal>,
    rough: fn(f64, f64) -> f64,
) -> Outcome<'a> {
    let floats: Vec<f64> = call.args.iter().map(to_float).collect();
    let decimals: Option<Vec<Decimal>> = floats.iter().map(|value| Decimal::of(*value)).collect();
    let folded = decimals.and_then(|decimals| {
        let mut decimals = decimals.into_iter();
        let first = decimals.next()?;
        decimals.try_fold(first, exact)
    });
    let value = match folded {
        Some(decimal) => decimal.to_float(),
        None => floats.into_iter().reduce(rough).unwrap_or(0.0),
    };
    Ok(Value::Float(value))
}

/// `addf a…`
pub(super) fn addf<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    fold_decimal(call, Decimal::add, |a, b| a + b)
}

/// `subf a b…`
pub(super) fn subf<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    fold_decimal(call, Decimal::subtract, |a, b| a - b)
}

/// `mulf a b…`
pub(super) fn mulf<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    fold_decimal(call, Decimal::multiply, |a, b| a * b)
}

/// `divf a b…`
pub(super) fn divf<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    if call.args[1..].iter().any(|value| to_float(value) == 0.0) {
        return Err("decimal division by 0".into());
    }
    fold_decimal(call, Decimal::divide, |a, b| a / b)
}

/// `bytes s`
pub(super) fn bytes<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let text = String::from_utf8_lossy(call.text(0));
    parse_bytes(&text).map(|bytes| Value::Float(bytes as f64))
}

/// `duration s` and `duration_seconds s`
pub(super) fn duration<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let text = String::from_utf8_lossy(call.text(0));
    parse_duration(&text).map(|nanos| Value::Float(seconds(nanos)))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn texts_become_integers() {
        let check = |text: &str, expected: i64| {
            assert_eq!(to_int(&Value::text(text)), expected, "{text}");
        };
        check("42", 42);
        check("abc", 0);
        check("3.99", 3);
        check("-7", -7);
        check("0x1F", 31);
        check("", 0);
        check("010", 8);
        check("1e3", 0);
        check("1_000", 1000);
        check("0b101", 5);
        check("08", 0);
        check(".5", 0);
        check("-3.", -3);
        assert_eq!(to_int(&Value::Float(-2.9)), -2);
        assert_eq!(to_int(&Value::Bool(true)), 1);
    }
}
