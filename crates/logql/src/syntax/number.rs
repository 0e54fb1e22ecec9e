//! Numbers as Go reads and prints them.

/// Reads a literal as Go's `strconv.ParseFloat` does.
///
/// Decimal and hexadecimal floats, underscores between digits; hexadecimal integers without a `p`
/// exponent are refused, as are values out of range.
///
/// # Errors
///
/// That function's message.
pub(super) fn parse_float(text: &str) -> Result<f64, String> {
    let refuse = |why: &str| Err(format!("strconv.ParseFloat: parsing {text:?}: {why}"));
    let digits: String = text.chars().filter(|c| *c != '_').collect();
    let read = match digits.strip_prefix("0x").or_else(|| digits.strip_prefix("0X")) {
        Some(hex) => parse_hex(hex),
        None => digits.parse().ok(),
    };
    match read {
        Some(value) if value.is_finite() => Ok(value),
        Some(_) => refuse("value out of range"),
        None => refuse("invalid syntax"),
    }
}

/// Reads `1.8p3`, the part of a hexadecimal float behind its prefix.
fn parse_hex(text: &str) -> Option<f64> {
    let (mantissa, exponent) = text.split_once(['p', 'P'])?;
    let (whole, fraction) = mantissa.split_once('.').unwrap_or((mantissa, ""));
    let exponent: i32 = exponent.parse().ok()?;
    let mut value = 0.0;
    for c in whole.chars().chain(fraction.chars()) {
        value = value * 16.0 + f64::from(c.to_digit(16)?);
    }
    let shift = exponent.saturating_sub(4 * i32::try_from(fraction.len()).ok()?);
    // In two steps, so that the result may be subnormal.
    Some(value * 2f64.powi(shift / 2) * 2f64.powi(shift - shift / 2))
}

/// Prints a number without an exponent, in the fewest digits that read back as the same number.
pub(super) fn format_float(value: f64) -> String {
    match value {
        v if v.is_nan() => "NaN".to_owned(),
        f64::INFINITY => "+Inf".to_owned(),
        f64::NEG_INFINITY => "-Inf".to_owned(),
        v => v.to_string(),
    }
}

/// Prints a number as Go's `%v` does: with an exponent from a million up and below 0.0001.
pub(super) fn format_general(value: f64) -> String {
    let scientific = format!("{value:e}");
    let Some((digits, exponent)) = scientific.split_once('e') else { return format_float(value) };
    let exponent: i32 = exponent.parse().unwrap_or(0);
    if value == 0.0 || (-4..6).contains(&exponent) {
        return format_float(value);
    }
    let sign = if exponent < 0 { '-' } else { '+' };
    format!("{digits}e{sign}{:02}", exponent.unsigned_abs())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn reads_what_go_reads() {
        let ok = |text, value: f64| assert_eq!(parse_float(text), Ok(value), "{text}");
        ok("1", 1.0);
        ok(".5", 0.5);
        ok("5.", 5.0);
        ok("1e3", 1000.0);
        ok("1_000.5", 1000.5);
        ok("010", 10.0);
        ok("0x1p3", 8.0);
        ok("0x1.8p1", 3.0);
        ok("0x1p-1074", f64::from_bits(1));
        let fails = |text, why| assert_eq!(parse_float(text).unwrap_err(), why);
        fails("0x10", "strconv.ParseFloat: parsing \"0x10\": invalid syntax");
        fails("0b1", "strconv.ParseFloat: parsing \"0b1\": invalid syntax");
        fails("1e400", "strconv.ParseFloat: parsing \"1e400\": value out of range");
    }

    #[test]
    fn prints_without_exponent() {
        assert_eq!(format_float(1e21), "1000000000000000000000");
        assert_eq!(format_float(-1.5), "-1.5");
        assert_eq!(format_float(f64::NAN), "NaN");
    }

    #[test]
    fn prints_in_general() {
        let check = |value, expected| assert_eq!(format_general(value), expected);
        check(0.0, "0");
        check(-4.0, "-4");
        check(123_456.5, "123456.5");
        check(1e6, "1e+06");
        check(-1_234_567.9, "-1.2345679e+06");
        check(0.0001, "0.0001");
        check(0.000_012, "1.2e-05");
        check(1e300, "1e+300");
        check(f64::NEG_INFINITY, "-Inf");
    }
}
