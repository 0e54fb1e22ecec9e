//! Functions that encode and decode: base64, URLs, HTML, JavaScript, JSON.

use std::rc::Rc;

use base64::Engine as _;
use base64::engine::general_purpose::STANDARD;

use super::functions::{Call, Outcome};
use super::value::Value;

/// `b64enc s`
pub(super) fn base64_encode<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok(Value::text(STANDARD.encode(call.text(0))))
}

/// `b64dec s`: a fault comes back as the value, not as an error.
pub(super) fn base64_decode<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let mut text = call.text(0).to_vec();
    text.extend_from_slice(match text.len() % 4 {
        2 => b"==",
        3 => b"=",
        _ => b"",
    });
    Ok(Value::text(
        decode_base64(&text)
            .unwrap_or_else(|at| format!("illegal base64 data at input byte {at}").into_bytes()),
    ))
}

/// Decodes base64 and ignores line ends; answers where it went wrong.
fn decode_base64(text: &[u8]) -> Result<Vec<u8>, usize> {
    // Positions count the line ends that are skipped.
    let kept: Vec<(usize, u8)> =
        text.iter().copied().enumerate().filter(|(_, b)| !matches!(b, b'\r' | b'\n')).collect();
    let bytes: Vec<u8> = kept.iter().map(|(_, byte)| *byte).collect();
    if let Ok(decoded) = STANDARD.decode(&bytes) {
        return Ok(decoded);
    }
    let is_letter = |byte: u8| byte.is_ascii_alphanumeric() || matches!(byte, b'+' | b'/');
    let letters = bytes.iter().take_while(|byte| is_letter(**byte)).count();
    let place = |at: usize| kept.get(at).map_or(text.len(), |(at, _)| *at);
    if letters == bytes.len() {
        // The text ends inside a group of four, which begins at the place that is named.
        return Err(place(letters - letters % 4).min(text.len()));
    }
    if bytes[letters] != b'=' {
        return Err(place(letters));
    }
    let padding = match letters % 4 {
        2 => 2,
        3 => 1,
        _ => return Err(place(letters)),
    };
    match bytes[letters..].iter().take(padding).position(|byte| *byte != b'=') {
        Some(at) => Err(place(letters + at)),
        None if bytes.len() < letters + padding => Err(text.len()),
        None if bytes.len() > letters + padding => Err(place(letters + padding)),
        // Spare bits are not checked.
        None => Ok(decode_leniently(&bytes[..letters])),
    }
}

/// Decodes letters without padding, whatever the bits that are left over.
fn decode_leniently(letters: &[u8]) -> Vec<u8> {
    use base64::engine::{GeneralPurpose, GeneralPurposeConfig};
    let config = GeneralPurposeConfig::new()
        .with_decode_allow_trailing_bits(true)
        .with_decode_padding_mode(base64::engine::DecodePaddingMode::Indifferent);
    GeneralPurpose::new(&base64::alphabet::STANDARD, config).decode(letters).unwrap_or_default()
}

/// `urlencode s`: as in a query, with `+` for a blank.
pub(super) fn url_encode<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok(Value::text(query_escaped(call.text(0))))
}

/// A text as part of a URL's query.
pub(super) fn query_escaped(text: &[u8]) -> String {
    let mut out = String::with_capacity(text.len());
    for byte in text {
        match byte {
            b'A'..=b'Z' | b'a'..=b'z' | b'0'..=b'9' | b'-' | b'_' | b'.' | b'~' => {
                out.push(*byte as char);
            }
            b' ' => out.push('+'),
            _ => out.push_str(&format!("%{byte:02X}")),
        }
    }
    out
}

/// `urldecode s`
pub(super) fn url_decode<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let text = call.text(0);
    let mut out = Vec::with_capacity(text.len());
    let mut at = 0;
    while let Some(byte) = text.get(at) {
        match byte {
            b'%' => {
                let digits = text.get(at + 1..at + 3).and_then(|d| std::str::from_utf8(d).ok());
                let code = digits
                    .filter(|digits| digits.bytes().all(|byte| byte.is_ascii_hexdigit()))
                    .and_then(|digits| u8::from_str_radix(digits, 16).ok());
                let Some(code) = code else {
                    let shown = &text[at..text.len().min(at + 3)];
                    let mut message = String::from("invalid URL escape ");
                    model::label::quote_into(&String::from_utf8_lossy(shown), &mut message);
                    return Err(message);
                };
                out.push(code);
                at += 3;
                continue;
            }
            b'+' => out.push(b' '),
            byte => out.push(*byte),
        }
        at += 1;
    }
    Ok(Value::text(out))
}

/// A text escaped for HTML.
pub(super) fn html_escaped(text: &[u8]) -> Vec<u8> {
    let mut out = Vec::with_capacity(text.len());
    for byte in text {
        match byte {
            0 => out.extend_from_slice("\u{fffd}".as_bytes()),
            b'"' => out.extend_from_slice(b"&#34;"),
            b'\'' => out.extend_from_slice(b"&#39;"),
            b'&' => out.extend_from_slice(b"&amp;"),
            b'<' => out.extend_from_slice(b"&lt;"),
            b'>' => out.extend_from_slice(b"&gt;"),
            byte => out.push(*byte),
        }
    }
    out
}

/// A text escaped for a JavaScript string.
pub(super) fn js_escaped(text: &[u8]) -> Vec<u8> {
    let mut out = String::with_capacity(text.len());
    for c in String::from_utf8_lossy(text).chars() {
        match c {
            '\\' => out.push_str("\\\\"),
            '\'' => out.push_str("\\'"),
            '"' => out.push_str("\\\""),
            '<' => out.push_str("\\u003C"),
            '>' => out.push_str("\\u003E"),
            '&' => out.push_str("\\u0026"),
            '=' => out.push_str("\\u003D"),
            c if c < ' ' => out.push_str(&format!("\\u{:04X}", u32::from(c))),
            c if c.is_ascii() || c.is_alphanumeric() => out.push(c),
            c => {
                let mut quoted = String::new();
                model::label::quote_into(&c.to_string(), &mut quoted);
                if quoted.starts_with("\"\\") {
                    out.push_str(&format!("\\u{:04X}", u32::from(c)));
                } else {
                    out.push(c);
                }
            }
        }
    }
    out.into_bytes()
}

/// `fromJson s`: nil when it is no JSON.
pub(super) fn from_json<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let parsed: Result<serde_json::Value, _> =
        serde_json::from_str(&String::from_utf8_lossy(call.text(0)));
    Ok(parsed.map_or(Value::Nil, json_value))
}

fn json_value<'a>(value: serde_json::Value) -> Value<'a> {
    use serde_json::Value as Json;
    match value {
        Json::Null => Value::Nil,
        Json::Bool(value) => Value::Bool(value),
        Json::Number(number) => Value::Float(number.as_f64().unwrap_or(0.0)),
        Json::String(text) => Value::text(text),
        Json::Array(values) => Value::List(values.into_iter().map(json_value).collect()),
        Json::Object(members) => {
            let mut members: Vec<(Box<str>, Value<'a>)> = members
                .into_iter()
                .map(|(name, value)| (name.into_boxed_str(), json_value(value)))
                .collect();
            members.sort_by(|a, b| a.0.cmp(&b.0));
            Value::Map(Rc::from(members))
        }
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn base64_faults_are_placed() {
        let check = |text: &str, expected: Result<&str, usize>| {
            let decoded = decode_base64(text.as_bytes());
            assert_eq!(decoded.map(|d| String::from_utf8(d).unwrap()), expected.map(str::to_owned));
        };
        check("Y2Fyb2w=", Ok("carol"));
        check("", Ok(""));
        check("Y2Fy\nb2w=", Ok("carol"));
        check("\u{c0}x", Err(0));
        check("zero\u{200b}", Err(4));
        check("abcde", Err(4));
        check("ab=c", Err(3));
        check("Y2F", Err(0));
        check("Y2FyX===", Err(5));
    }
}
