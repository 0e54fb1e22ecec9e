//! Numbers, durations and sizes as Loki reads them from label values.

use model::label::quote_into;
use model::units::{parse_go_duration, parse_query_bytes};

/// Reads a number as Go's `strconv.ParseFloat` does: decimal or hexadecimal with a `p` exponent,
/// `inf`, `infinity` and `nan` in any case, and `_` between digits.
///
/// # Errors
///
/// Go's text, such as `strconv.ParseFloat: parsing "x": invalid syntax`.
pub fn parse_float(text: &str) -> Result<f64, String> {
    let error = |what: &str| {
        let mut message = String::from("strconv.ParseFloat: parsing ");
        quote_into(text, &mut message);
        message.push_str(": ");
        message.push_str(what);
        message
    };
    let invalid = || error("invalid syntax");
    let (negative, body) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    let magnitude = match body.as_bytes().first() {
        None => return Err(invalid()),
        Some(b'0') if matches!(body.as_bytes().get(1), Some(b'x' | b'X')) => {
            hexadecimal(&body[2..]).ok_or_else(invalid)?
        }
        Some(b'0'..=b'9' | b'.') => decimal(body).ok_or_else(invalid)?,
        Some(_) if body.eq_ignore_ascii_case("inf") || body.eq_ignore_ascii_case("infinity") => {
            return Ok(if negative { f64::NEG_INFINITY } else { f64::INFINITY });
        }
        // A sign before NaN is refused.
        Some(_) if body.eq_ignore_ascii_case("nan") && body.len() == text.len() => {
            return Ok(f64::NAN);
        }
        Some(_) => return Err(invalid()),
    };
    if magnitude.is_infinite() {
        return Err(error("value out of range"));
    }
    Ok(if negative { -magnitude } else { magnitude })
}

/// A decimal number without sign. Rust reads the same grammar, but also words.
fn decimal(body: &str) -> Option<f64> {
    if let Some(number) = short_decimal(body.as_bytes()) {
        return Some(number);
    }
    if !body.bytes().all(|b| matches!(b, b'0'..=b'9' | b'.' | b'e' | b'E' | b'+' | b'-' | b'_')) {
        return None;
    }
    if !body.contains('_') {
        return body.parse().ok();
    }
    let separates = |part: &[u8]| part[0].is_ascii_digit() && part[2].is_ascii_digit();
    let is_inside = !body.starts_with('_') && !body.ends_with('_');
    let all_separate = body.as_bytes().windows(3).all(|part| part[1] != b'_' || separates(part));
    if is_inside && all_separate { body.replace('_', "").parse().ok() } else { None }
}

/// A number of so few digits that both parts of the fraction it is are exact, and so its quotient is
/// the nearest there is.
fn short_decimal(body: &[u8]) -> Option<f64> {
    const POWERS: [f64; 16] =
        [1e0, 1e1, 1e2, 1e3, 1e4, 1e5, 1e6, 1e7, 1e8, 1e9, 1e10, 1e11, 1e12, 1e13, 1e14, 1e15];
    let (mut value, mut point) = (0u64, None);
    for (at, byte) in body.iter().enumerate() {
        match byte {
            b'0'..=b'9' => value = value * 10 + u64::from(byte - b'0'),
            b'.' if point.is_none() => point = Some(at),
            _ => return None,
        }
        if at >= POWERS.len() - 1 {
            return None;
        }
    }
    let digits = body.len() - usize::from(point.is_some());
    let behind = point.map_or(0, |at| body.len() - at - 1);
    (digits > 0).then(|| value as f64 / POWERS[behind])
}

/// The part of a hexadecimal number after `0x`.
fn hexadecimal(body: &str) -> Option<f64> {
    let (mantissa, exponent) = body.split_once(['p', 'P'])?;
    let exponent: i32 = match exponent.strip_prefix('+').unwrap_or(exponent) {
        digits if digits.trim_start_matches('-').bytes().all(|b| b.is_ascii_digit()) => {
            digits.parse().ok()?
        }
        _ => return None,
    };
    // Underscores may stand between digits and after the prefix.
    if mantissa.ends_with('_') || mantissa.contains("__") || mantissa.contains("_.") {
        return None;
    }
    let (mut value, mut scale, mut digits, mut fraction) = (0u128, 0i32, 0u32, false);
    for byte in mantissa.bytes() {
        match (byte, (byte as char).to_digit(16)) {
            (b'.', _) if !fraction => fraction = true,
            (b'_', _) => {}
            (_, Some(digit)) => {
                digits += 1;
                if value >> 120 == 0 {
                    value = value << 4 | u128::from(digit);
                    scale -= if fraction { 4 } else { 0 };
                } else {
                    // Beyond 120 bits a digit only keeps the rest from looking exact.
                    value |= u128::from(digit != 0);
                    scale += if fraction { 0 } else { 4 };
                }
            }
            _ => return None,
        }
    }
    (digits > 0)
        .then(|| value as f64 * 2f64.powi(exponent.saturating_add(scale).clamp(-4000, 4000)))
}

/// Reads a duration, in nanoseconds.
///
/// # Errors
///
/// Go's text, in which bytes beyond ASCII are escaped.
pub(crate) fn parse_duration(text: &str) -> Result<i64, String> {
    parse_go_duration(text).map_err(|error| {
        if text.bytes().all(|byte| (b' '..0x7f).contains(&byte) && byte != b'\'') {
            return error.0;
        }
        let mut quoted = String::from('"');
        for byte in text.bytes() {
            match byte {
                b'"' | b'\\' => quoted.extend(['\\', byte as char]),
                b' '..=b'~' => quoted.push(byte as char),
                _ => quoted.push_str(&format!("\\x{byte:02x}")),
            }
        }
        quoted.push('"');
        error.0.replace(&format!("{text:?}"), &quoted)
    })
}

/// Reads a size, in bytes.
///
/// # Errors
///
/// The text of the Go library that Loki uses.
pub(crate) fn parse_bytes(text: &str) -> Result<u64, String> {
    let is_number = |c: &char| c.is_numeric() || matches!(c, '.' | ',');
    let count = text.chars().take_while(is_number).count();
    if text.as_bytes()[..count.min(text.len())].is_ascii() {
        return parse_query_bytes(text).map_err(|error| error.0);
    }
    // The library counts characters and cuts bytes, so it reads a part of a foreign digit.
    let mut message = String::from("strconv.ParseFloat: parsing \"");
    for byte in text[..].bytes().take(count).filter(|byte| *byte != b',') {
        match byte {
            b' '..=b'~' => message.push(byte as char),
            _ => message.push_str(&format!("\\x{byte:02x}")),
        }
    }
    message.push_str("\": invalid syntax");
    Err(message)
}

/// The size that a size in a query means: the one it prints as. Loki passes queries on as text,
/// and prints sizes with two digits in powers of 1000, so `1KiB` means 1000 bytes.
pub(super) fn printed_bytes(bytes: u64) -> u64 {
    if bytes < 10 {
        return bytes;
    }
    let mut power = ((bytes as f64).ln() / 1000f64.ln()).floor();
    power = power.clamp(0.0, 6.0);
    let unit = 1000f64.powf(power);
    let value = (bytes as f64 / unit * 10.0 + 0.5).floor() / 10.0;
    let shown = if value < 10.0 { value } else { value.round_ties_even() };
    (shown * unit) as u64
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn numbers_as_go_reads_them() {
        let check = |text: &str, expected: f64| {
            assert_eq!(parse_float(text).unwrap().to_bits(), expected.to_bits(), "{text}");
        };
        check("1", 1.0);
        check("-0.5", -0.5);
        check("+5.", 5.0);
        check(".5", 0.5);
        check("1e3", 1000.0);
        check("0x1p3", 8.0);
        check("0x1.8p1", 3.0);
        check("0x_1p0", 1.0);
        check("010", 10.0);
        check("Inf", f64::INFINITY);
        check("-infinity", f64::NEG_INFINITY);
        check("nan", f64::NAN);
        check("1e-400", 0.0);
        check("1_000", 1000.0);
        for text in [
            "", "x", "0x10", "1__0", "1_", "1_.5", " 1", "1 ", "+nan", "e5", ".", "1e", "0b1",
            "--1",
        ] {
            let error = parse_float(text).unwrap_err();
            assert_eq!(error, format!("strconv.ParseFloat: parsing {text:?}: invalid syntax"));
        }
        let error = parse_float("1e400").unwrap_err();
        assert_eq!(error, "strconv.ParseFloat: parsing \"1e400\": value out of range");
    }

    #[test]
    fn short_numbers_are_the_nearest() {
        let mut text = String::new();
        let mut state = 1u64;
        for _ in 0..50_000 {
            state = state.wrapping_mul(0x5851_f42d_4c95_7f2d).wrapping_add(0x1405_7b7e_f767_814f);
            let (digits, point) = (state >> 60, state >> 56 & 15);
            text = format!("{:0width$}", state % 10u64.pow(digits as u32), width = digits as usize);
            text.insert(point.min(text.len() as u64) as usize, '.');
            let expected = text.parse::<f64>().ok();
            if let Some(number) = short_decimal(text.as_bytes()) {
                assert_eq!(Some(number.to_bits()), expected.map(f64::to_bits), "{text}");
            }
        }
        assert_eq!(short_decimal(b"."), None);
        assert_eq!(short_decimal(text.replace('.', "..").as_bytes()), None);
    }

    #[test]
    fn durations_are_quoted_as_in_go() {
        let fails = |text: &str, expected: &str| {
            assert_eq!(parse_duration(text).unwrap_err(), expected, "{text}");
        };
        fails("\u{663}", r#"time: invalid duration "\xd9\xa3""#);
        fails("2d", "time: unknown unit \"d\" in duration \"2d\"");
        fails("a\"b", r#"time: invalid duration "a\"b""#);
        assert_eq!(parse_duration("1m1s"), Ok(61_000_000_000));
    }

    #[test]
    fn sizes_are_read_as_in_go() {
        let fails = |text: &str, expected: &str| {
            assert_eq!(parse_bytes(text).unwrap_err(), expected, "{text}");
        };
        fails("\u{663}", r#"strconv.ParseFloat: parsing "\xd9": invalid syntax"#);
        fails("", r#"strconv.ParseFloat: parsing "": invalid syntax"#);
        fails("1e3", "unhandled size name: e3");
        assert_eq!(parse_bytes("3 kB"), Ok(3000));
    }

    #[test]
    fn sizes_mean_what_they_print_as() {
        for (bytes, expected) in
            [(5, 5), (1000, 1000), (1024, 1000), (1536, 1500), (15_400, 15_000), (999, 999)]
        {
            assert_eq!(printed_bytes(bytes), expected);
        }
        assert_eq!(printed_bytes(5 << 20), 5_200_000);
        assert_eq!(printed_bytes(2_000_000_000), 2_000_000_000);
    }
}
