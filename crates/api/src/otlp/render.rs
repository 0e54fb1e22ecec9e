//! Attribute values as text, as OpenTelemetry's Go library renders them.

use std::borrow::Cow;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::message::AnyValue;
use crate::query::json::{write_array, write_string};
use crate::utf8::{lossy, lossy_cow};

impl<'a> AnyValue<'a> {
    /// The value as a line: text as it is, bytes in base64, lists and maps as JSON.
    pub(super) fn into_line(self) -> Cow<'a, [u8]> {
        match self {
            Self::Text(text) => text,
            other => match other.into_text() {
                Cow::Borrowed(text) => Cow::Borrowed(text.as_bytes()),
                Cow::Owned(text) => Cow::Owned(text.into_bytes()),
            },
        }
    }

    /// The value as text; what is not UTF-8 becomes U+FFFD.
    pub(super) fn into_text(self) -> Cow<'a, str> {
        match self {
            Self::Empty => Cow::Borrowed(""),
            Self::Text(text) => lossy_cow(text),
            Self::Boolean(true) => Cow::Borrowed("true"),
            Self::Boolean(false) => Cow::Borrowed("false"),
            Self::Integer(number) => Cow::Owned(number.to_string()),
            Self::Double(number) => Cow::Owned(double(number)),
            Self::Bytes(bytes) => Cow::Owned(STANDARD.encode(bytes)),
            Self::List(_) | Self::Map(_) => {
                let mut out = Vec::new();
                write_json(&self, &mut out);
                lossy_cow(Cow::Owned(out))
            }
        }
    }
}

/// A number as ECMAScript prints it.
fn double(number: f64) -> String {
    let magnitude = number.abs();
    if !number.is_finite() {
        let sign = if number.is_nan() {
            "NaN"
        } else if number > 0.0 {
            "+Inf"
        } else {
            "-Inf"
        };
        return format!("json: unsupported value: {sign}");
    }
    if magnitude != 0.0 && !(1e-6..1e21).contains(&magnitude) {
        let text = format!("{number:e}");
        return if text.contains("e-") { text } else { text.replace('e', "e+") };
    }
    number.to_string()
}

fn write_json(value: &AnyValue<'_>, out: &mut Vec<u8>) {
    match value {
        AnyValue::Empty => out.extend_from_slice(b"null"),
        AnyValue::Text(text) => write_string(&lossy(text), out),
        AnyValue::Bytes(bytes) => write_string(&STANDARD.encode(bytes), out),
        // JSON has no such numbers.
        AnyValue::Double(number) if !number.is_finite() => out.extend_from_slice(b"null"),
        AnyValue::Boolean(_) | AnyValue::Integer(_) | AnyValue::Double(_) => {
            out.extend_from_slice(value.clone().into_text().as_bytes());
        }
        AnyValue::List(items) => write_array(items, out, write_json),
        AnyValue::Map(pairs) => {
            // Go prints maps by key; of equal keys the last one counts.
            let mut sorted: Vec<_> = pairs.iter().collect();
            sorted.reverse();
            sorted.sort_by(|a, b| a.0.cmp(&b.0));
            sorted.dedup_by(|later, first| later.0 == first.0);
            out.push(b'{');
            for (index, (name, value)) in sorted.into_iter().enumerate() {
                if index > 0 {
                    out.push(b',');
                }
                write_string(name, out);
                out.push(b':');
                write_json(value, out);
            }
            out.push(b'}');
        }
    }
}

/// Bytes as lower-case hexadecimal digits.
pub(super) fn hex(bytes: &[u8]) -> String {
    const DIGITS: &[u8; 16] = b"0123456789abcdef";
    let digit = |nibble: u8| char::from(DIGITS[usize::from(nibble)]);
    let mut text = String::with_capacity(2 * bytes.len());
    for byte in bytes {
        text.push(digit(byte >> 4));
        text.push(digit(byte & 15));
    }
    text
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn identifiers_as_text() {
        assert_eq!(hex(&[0, 0x1f, 0xff]), "001fff");
    }

    #[test]
    fn values_as_text() {
        let check = |value: AnyValue<'_>, expected: &str| {
            assert_eq!(value.clone().into_text(), expected);
            assert_eq!(value.into_line(), expected.as_bytes());
        };
        let text = |text: &'static str| AnyValue::Text(Cow::Borrowed(text.as_bytes()));
        check(AnyValue::Empty, "");
        check(text("x"), "x");
        check(AnyValue::Boolean(true), "true");
        check(AnyValue::Integer(-5), "-5");
        check(AnyValue::Double(1.5), "1.5");
        check(AnyValue::Double(3.0), "3");
        check(AnyValue::Double(1e21), "1e+21");
        check(AnyValue::Double(-2.5e-7), "-2.5e-7");
        check(AnyValue::Double(f64::INFINITY), "json: unsupported value: +Inf");
        check(AnyValue::Bytes(Cow::Borrowed(b"\x00\xff")), "AP8=");
        let map = AnyValue::Map(vec![
            ("b".into(), AnyValue::List(vec![AnyValue::Integer(1), AnyValue::Empty])),
            ("a".into(), text("old")),
            ("a".into(), text("q\"")),
        ]);
        check(map, r#"{"a":"q\"","b":[1,null]}"#);
    }
}
