//! Grammars of durations and byte sizes.
//!
//! Four notations reach a log store and none may be taken for another: Go durations (`1h30m`,
//! `1.5s`), Prometheus durations (`7d`, `1w2d`), sizes in configuration (`MB` is 2^20) and sizes in
//! queries (`MB` is 10^6, `MiB` is 2^20).

use std::time::Duration;

/// Why a number with a unit was refused. The text is the one Go programs print.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct UnitError(pub String);

/// Parses Go's `time.ParseDuration` notation; answers signed nanoseconds.
///
/// # Errors
///
/// The messages of Go's parser, such as `time: missing unit in duration "5"`.
pub fn parse_go_duration(text: &str) -> Result<i64, UnitError> {
    let invalid = || UnitError(format!("time: invalid duration {text:?}"));
    let (negative, mut rest) = match text.as_bytes().first() {
        Some(b'-') => (true, &text[1..]),
        Some(b'+') => (false, &text[1..]),
        _ => (false, text),
    };
    if rest == "0" {
        return Ok(0);
    }
    if rest.is_empty() {
        return Err(invalid());
    }
    let mut total: u128 = 0;
    while !rest.is_empty() {
        let whole_len = rest.bytes().take_while(u8::is_ascii_digit).count();
        let whole = &rest[..whole_len];
        rest = &rest[whole_len..];
        let mut fraction = "";
        if let Some(after) = rest.strip_prefix('.') {
            let len = after.bytes().take_while(u8::is_ascii_digit).count();
            fraction = &after[..len];
            rest = &after[len..];
        }
        if whole.is_empty() && fraction.is_empty() {
            return Err(invalid());
        }
        let whole: u128 =
            if whole.is_empty() { 0 } else { whole.parse().map_err(|_| invalid())? };
        // Go reads the digits into 63 bits before it looks at the unit.
        if whole > 1 << 63 {
            return Err(invalid());
        }
        let unit_len = rest.find(|c: char| c == '.' || c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = &rest[..unit_len];
        rest = &rest[unit_len..];
        if unit.is_empty() {
            return Err(UnitError(format!("time: missing unit in duration {text:?}")));
        }
        let scale = go_unit(unit).ok_or_else(|| {
            UnitError(format!("time: unknown unit {unit:?} in duration {text:?}"))
        })?;
        total = whole
            .checked_mul(scale)
            .and_then(|part| total.checked_add(part))
            .ok_or_else(invalid)?;
        total += fraction_of(fraction, scale);
    }
    // i64::MIN has no positive twin, hence the separate bound for negative durations.
    let limit = i64::MAX as u128 + u128::from(negative);
    if total > limit {
        return Err(invalid());
    }
    let signed = if negative { -(total as i128) } else { total as i128 };
    i64::try_from(signed).map_err(|_| invalid())
}

fn go_unit(unit: &str) -> Option<u128> {
    Some(match unit {
        "ns" => 1,
        "us" | "µs" | "μs" => 1_000,
        "ms" => 1_000_000,
        "s" => 1_000_000_000,
        "m" => 60_000_000_000,
        "h" => 3_600_000_000_000,
        _ => return None,
    })
}

fn fraction_of(digits: &str, scale: u128) -> u128 {
    let mut part = 0u128;
    let mut unit = scale;
    // Nineteen digits are beyond a nanosecond of any unit.
    for digit in digits.bytes().take(19) {
        part = part * 10 + u128::from(digit - b'0');
        unit *= 10;
    }
    if digits.is_empty() { 0 } else { part * scale / (unit / scale).max(1) }
}

/// Parses Prometheus' notation: descending `y w d h m s ms`, each once, or `0`; answers
/// nanoseconds.
///
/// # Errors
///
/// The messages of Prometheus' parser, such as `unknown unit "minutes" in duration "5minutes"`.
pub fn parse_prometheus_duration(text: &str) -> Result<i64, UnitError> {
    const UNITS: [(&str, i64); 7] = [
        ("y", 365 * 86_400_000),
        ("w", 7 * 86_400_000),
        ("d", 86_400_000),
        ("h", 3_600_000),
        ("m", 60_000),
        ("s", 1_000),
        ("ms", 1),
    ];
    match text {
        "0" => return Ok(0),
        "" => return Err(UnitError("empty duration string".into())),
        _ => {}
    }
    let malformed = || UnitError(format!("not a valid duration string: {text:?}"));
    let overflow = || UnitError("duration out of range".into());
    let mut rest = text;
    let mut next_unit = 0;
    let mut millis: i64 = 0;
    while !rest.is_empty() {
        let digits = rest.bytes().take_while(u8::is_ascii_digit).count();
        if digits == 0 {
            return Err(malformed());
        }
        let number: i64 = rest[..digits].parse().map_err(|_| overflow())?;
        rest = &rest[digits..];
        let unit_len = rest.find(|c: char| c.is_ascii_digit()).unwrap_or(rest.len());
        let unit = &rest[..unit_len];
        rest = &rest[unit_len..];
        let Some(position) = UNITS.iter().position(|(name, _)| *name == unit) else {
            if unit.is_empty() {
                return Err(malformed());
            }
            return Err(UnitError(format!("unknown unit {unit:?} in duration {text:?}")));
        };
        if position < next_unit {
            return Err(malformed());
        }
        next_unit = position + 1;
        millis = number
            .checked_mul(UNITS[position].1)
            .and_then(|part| millis.checked_add(part))
            .ok_or_else(overflow)?;
    }
    millis.checked_mul(1_000_000).ok_or_else(overflow)
}

/// Parses a duration of a configuration file: Go's notation, or Prometheus' with days and weeks.
///
/// # Errors
///
/// [`UnitError`] naming the text, when it is neither.
pub fn parse_config_duration(text: &str) -> Result<Duration, UnitError> {
    let nanos = parse_go_duration(text).or_else(|go| {
        parse_prometheus_duration(text)
            .map_err(|_| UnitError(format!("{go}; write it like 30s, 1h30m or 7d")))
    })?;
    u64::try_from(nanos)
        .map(Duration::from_nanos)
        .map_err(|_| UnitError(format!("duration {text:?} is negative")))
}

/// Prints a duration in Prometheus' notation (`1d2h`, `1m30s`, `0s`), rounded down to milliseconds.
#[must_use]
pub fn format_prometheus_duration(duration: Duration) -> String {
    let mut millis = duration.as_millis();
    if millis == 0 {
        return "0s".to_owned();
    }
    let mut out = String::new();
    // Years and weeks are printed only when nothing smaller is left, as Prometheus does.
    for (unit, size, exact) in [
        ("y", 31_536_000_000u128, true),
        ("w", 604_800_000, true),
        ("d", 86_400_000, false),
        ("h", 3_600_000, false),
        ("m", 60_000, false),
        ("s", 1_000, false),
        ("ms", 1, false),
    ] {
        let count = millis / size;
        if count > 0 && (!exact || millis.is_multiple_of(size)) {
            out.push_str(&format!("{count}{unit}"));
            millis -= count * size;
        }
    }
    out
}

/// Prints a duration as Go's `Duration.String` does (`1h0m0s`, `1.5s`, `250ms`).
#[must_use]
pub fn format_go_duration(nanos: i64) -> String {
    let sign = if nanos < 0 { "-" } else { "" };
    let n = nanos.unsigned_abs();
    let decimal = |whole: u64, fraction: u64, width: usize| {
        if fraction == 0 {
            return whole.to_string();
        }
        let digits = format!("{fraction:0width$}");
        format!("{whole}.{}", digits.trim_end_matches('0'))
    };
    match n {
        0 => "0s".to_owned(),
        1..1_000 => format!("{sign}{n}ns"),
        1_000..1_000_000 => format!("{sign}{}µs", decimal(n / 1_000, n % 1_000, 3)),
        1_000_000..1_000_000_000 => {
            format!("{sign}{}ms", decimal(n / 1_000_000, n % 1_000_000, 6))
        }
        _ => {
            let total = n / 1_000_000_000;
            let seconds = decimal(total % 60, n % 1_000_000_000, 9);
            match (total / 3600, total / 60 % 60) {
                (0, 0) => format!("{sign}{seconds}s"),
                (0, minutes) => format!("{sign}{minutes}m{seconds}s"),
                (hours, minutes) => format!("{sign}{hours}h{minutes}m{seconds}s"),
            }
        }
    }
}

/// Parses a size of a configuration file: a number with an optional `B`, `KB`, `MB`, … (powers of
/// 1024, upper or lower case); answers bytes.
///
/// # Errors
///
/// [`UnitError`] naming the text.
pub fn parse_config_bytes(text: &str) -> Result<u64, UnitError> {
    let invalid =
        || UnitError(format!("invalid size {text:?}; write it like 256KB, 4MB or 1048576"));
    let trimmed = text.trim();
    let digits = trimmed.find(|c: char| !(c.is_ascii_digit() || c == '.')).unwrap_or(trimmed.len());
    let number: f64 = trimmed[..digits].parse().map_err(|_| invalid())?;
    let shift = match trimmed[digits..].trim().to_ascii_uppercase().as_str() {
        "" | "B" => 0,
        "K" | "KB" | "KIB" => 10,
        "M" | "MB" | "MIB" => 20,
        "G" | "GB" | "GIB" => 30,
        "T" | "TB" | "TIB" => 40,
        "P" | "PB" | "PIB" => 50,
        "E" | "EB" | "EIB" => 60,
        _ => return Err(invalid()),
    };
    let bytes = number * (1u64 << shift) as f64;
    if bytes.is_finite() && bytes < u64::MAX as f64 { Ok(bytes as u64) } else { Err(invalid()) }
}

/// Prints a size of a configuration file, with the largest unit that divides it (`256KB`).
#[must_use]
pub fn format_config_bytes(bytes: u64) -> String {
    let units = [("EB", 60), ("PB", 50), ("TB", 40), ("GB", 30), ("MB", 20), ("KB", 10)];
    for (unit, shift) in units {
        if bytes > 0 && bytes.trailing_zeros() >= shift {
            return format!("{}{unit}", bytes >> shift);
        }
    }
    format!("{bytes}B")
}

/// Parses a size of a query: `1.5KB` is 1500, `1KiB` is 1024; answers bytes.
///
/// The notation of the Go library `dustin/go-humanize`.
///
/// # Errors
///
/// That library's messages, such as `unhandled size name: xx`.
pub fn parse_query_bytes(text: &str) -> Result<u64, UnitError> {
    let end =
        text.find(|c: char| !(c.is_ascii_digit() || c == '.' || c == ',')).unwrap_or(text.len());
    let digits = text[..end].replace(',', "");
    let number: f64 = digits.parse().map_err(|_| {
        UnitError(format!("strconv.ParseFloat: parsing {digits:?}: invalid syntax"))
    })?;
    let unit = text[end..].trim().to_lowercase();
    let scale =
        query_byte_unit(&unit).ok_or_else(|| UnitError(format!("unhandled size name: {unit}")))?;
    let bytes = number * scale;
    if bytes >= u64::MAX as f64 {
        return Err(UnitError(format!("too large: {text}")));
    }
    Ok(bytes as u64)
}

fn query_byte_unit(unit: &str) -> Option<f64> {
    let (power, base) = match unit {
        "" | "b" => return Some(1.0),
        "k" | "kb" => (1, 1000.0),
        "m" | "mb" => (2, 1000.0),
        "g" | "gb" => (3, 1000.0),
        "t" | "tb" => (4, 1000.0),
        "p" | "pb" => (5, 1000.0),
        "e" | "eb" => (6, 1000.0),
        "ki" | "kib" => (1, 1024.0),
        "mi" | "mib" => (2, 1024.0),
        "gi" | "gib" => (3, 1024.0),
        "ti" | "tib" => (4, 1024.0),
        "pi" | "pib" => (5, 1024.0),
        "ei" | "eib" => (6, 1024.0),
        _ => return None,
    };
    Some(f64::powi(base, power))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn go_durations() {
        let ok = |text, nanos| assert_eq!(parse_go_duration(text), Ok(nanos), "{text}");
        ok("0", 0);
        ok("1h30m", 5_400_000_000_000);
        ok("1.5s", 1_500_000_000);
        ok("-5m", -300_000_000_000);
        ok("1h15m30.918s", 4_530_918_000_000);
        ok(".5ms", 500_000);
        ok("100µs", 100_000);
        let fails = |text: &str, message: &str| {
            assert_eq!(parse_go_duration(text).unwrap_err().0, message);
        };
        fails("x", "time: invalid duration \"x\"");
        fails("5", "time: missing unit in duration \"5\"");
        fails("123456789012345678901", "time: invalid duration \"123456789012345678901\"");
        fails("1d", "time: unknown unit \"d\" in duration \"1d\"");
        fails("", "time: invalid duration \"\"");
    }

    #[test]
    fn prometheus_durations() {
        assert_eq!(parse_prometheus_duration("1w2d"), Ok(9 * 86_400_000_000_000));
        assert_eq!(parse_prometheus_duration("500ms"), Ok(500_000_000));
        for text in ["", "1.5h", "1m1h", "5minutes", "-5m", "5 m", "1h1h"] {
            assert!(parse_prometheus_duration(text).is_err(), "{text}");
        }
    }

    #[test]
    fn durations_print() {
        assert_eq!(format_prometheus_duration(Duration::from_secs(2_595_600)), "30d1h");
        assert_eq!(format_prometheus_duration(Duration::from_secs(604_800)), "1w");
        assert_eq!(format_prometheus_duration(Duration::from_millis(90_500)), "1m30s500ms");
        assert_eq!(format_go_duration(3_600_000_000_000), "1h0m0s");
        assert_eq!(format_go_duration(1_500_000_000), "1.5s");
        assert_eq!(format_go_duration(250_000_000), "250ms");
    }

    #[test]
    fn sizes() {
        assert_eq!(parse_config_bytes("256KB"), Ok(256 << 10));
        assert_eq!(parse_config_bytes("1.5MB"), Ok(3 << 19));
        assert_eq!(parse_config_bytes("17"), Ok(17));
        assert!(parse_config_bytes("x").is_err());
        assert_eq!(format_config_bytes(256 << 10), "256KB");
        assert_eq!(parse_query_bytes("3 kB"), Ok(3000));
        assert_eq!(parse_query_bytes("1KiB"), Ok(1024));
        assert_eq!(parse_query_bytes("5xx").unwrap_err().0, "unhandled size name: xx");
    }
}
