//! Times written as RFC 3339, read as strictly as Go's `time.RFC3339Nano` reads them.

use model::Timestamp;

/// Reads `2006-01-02T15:04:05.999999999Z` or the same with `+02:00`; digits beyond nanoseconds are
/// dropped. Times that do not fit 64 bits of nanoseconds are moved to the nearest that does.
#[must_use]
pub fn parse(text: &str) -> Option<Timestamp> {
    let bytes = text.as_bytes();
    let (date_time, rest) = bytes.split_at_checked(19)?;
    let (year, month, day) =
        (number(&date_time[..4])?, number(&date_time[5..7])?, number(&date_time[8..10])?);
    let (hour, minute, second) =
        (number(&date_time[11..13])?, number(&date_time[14..16])?, number(&date_time[17..19])?);
    let separators = [(4, b'-'), (7, b'-'), (10, b'T'), (13, b':'), (16, b':')];
    if separators.iter().any(|(at, separator)| date_time[*at] != *separator) {
        return None;
    }
    let valid_date = (1..=12).contains(&month) && day >= 1 && day <= days_in(year, month);
    if !valid_date || hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let (nanos, zone) = fraction(rest)?;
    let offset = offset_seconds(zone)?;
    let seconds = days_from_civil(year, month, day) * 86_400 + hour * 3600 + minute * 60 + second;
    Some(Timestamp(Timestamp::from_seconds(seconds - offset).0.saturating_add(nanos)))
}

fn number(digits: &[u8]) -> Option<i64> {
    digits.iter().try_fold(0, |value, digit| {
        digit.is_ascii_digit().then(|| value * 10 + i64::from(digit - b'0'))
    })
}

/// Splits off the fraction; answers it in nanoseconds.
fn fraction(rest: &[u8]) -> Option<(i64, &[u8])> {
    let Some((b'.' | b',', digits)) = rest.split_first() else { return Some((0, rest)) };
    let count = digits.iter().take_while(|b| b.is_ascii_digit()).count();
    if count == 0 {
        return None;
    }
    let (digits, zone) = digits.split_at(count);
    let kept = &digits[..count.min(9)];
    let scale = 10i64.pow(9 - kept.len() as u32);
    Some((number(kept)? * scale, zone))
}

fn offset_seconds(zone: &[u8]) -> Option<i64> {
    let sign = match zone {
        b"Z" => return Some(0),
        [b'+', ..] => 1,
        [b'-', ..] => -1,
        _ => return None,
    };
    if zone.len() != 6 || zone[3] != b':' {
        return None;
    }
    let (hours, minutes) = (number(&zone[1..3])?, number(&zone[4..6])?);
    (hours <= 24 && minutes < 60).then_some(sign * (hours * 3600 + minutes * 60))
}

fn days_in(year: i64, month: i64) -> i64 {
    match month {
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        4 | 6 | 9 | 11 => 30,
        _ => 31,
    }
}

/// Days since the Unix epoch in the proleptic Gregorian calendar.
///
/// Howard Hinnant's `days_from_civil` (<https://howardhinnant.github.io/date_algorithms.html>).
fn days_from_civil(year: i64, month: i64, day: i64) -> i64 {
    let year = if month <= 2 { year - 1 } else { year };
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let day_of_year = (153 * (month + if month > 2 { -3 } else { 9 }) + 2) / 5 + day - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn times_are_read_strictly() {
        let check = |text: &str, expected: Option<i64>| {
            assert_eq!(parse(text), expected.map(Timestamp), "{text}");
        };
        check("1970-01-01T00:00:00Z", Some(0));
        check("2025-08-22T22:00:00.25Z", Some(1_755_900_000_250_000_000));
        check("2025-08-23T00:00:00.0000000019+02:00", Some(1_755_900_000_000_000_001));
        check("2024-02-29T00:00:00Z", Some(1_709_164_800_000_000_000));
        check("0001-01-01T00:00:00Z", Some(i64::MIN));
        check("9999-12-31T23:59:59Z", Some(i64::MAX));
        for text in [
            "",
            "2026-11-18",
            "2026-11-18T10:00:00",
            "2026-11-18t10:00:00z",
            "2026-13-18T10:00:00Z",
            "2025-02-29T00:00:00Z",
            "2026-11-18 10:00:00Z",
            "2026-11-18T24:00:00Z",
            "2026-11-18T10:00:00.Z",
            "2026-11-18T10:00:00+2:00",
            "2026-11-18T10:00:00Zx",
        ] {
            check(text, None);
        }
    }

    proptest! {
        #[test]
        fn printed_times_come_back(nanos: i64) {
            prop_assert_eq!(parse(&Timestamp(nanos).to_string()), Some(Timestamp(nanos)));
        }

        #[test]
        fn any_text_is_survived(text in "\\PC{0,40}") {
            let _ = parse(&text);
        }
    }
}
