//! Reading times by layouts.

use super::layout::{Chunk, Chunks, Pad, Part};
use super::{Time, Zone, date_of, days_in_month, days_of};
use crate::template::format::{MONTHS, WEEKDAYS};

/// What a text said while it was read.
#[derive(Debug, Default)]
struct Reading {
    year: Option<i64>,
    month: Option<u32>,
    day: Option<u32>,
    year_day: Option<u32>,
    hour: u32,
    minute: u32,
    second: u32,
    nanos: u32,
    is_pm: Option<bool>,
    offset: Option<i32>,
    is_utc: bool,
    zone_name: Option<String>,
}

/// Reads a time by a layout; a text without a zone is in `zone`. `None`: it does not fit.
pub(crate) fn parse(layout: &str, text: &str, zone: &Zone) -> Option<Time> {
    let mut reading = Reading::default();
    let mut rest = text;
    let chunks: Vec<Chunk<'_>> = Chunks::new(layout).collect();
    for (at, chunk) in chunks.iter().enumerate() {
        match chunk {
            Chunk::Text(text) => rest = skip_text(rest, text)?,
            Chunk::Part(part) => {
                let next = chunks.get(at + 1);
                rest = read_part(part, rest, next, &mut reading)?;
            }
        }
    }
    rest.is_empty().then(|| reading.into_time(zone)).flatten()
}

/// Passes the text of a layout; runs of blanks match each other, however long.
fn skip_text<'t>(mut text: &'t str, mut expected: &str) -> Option<&'t str> {
    while let Some(c) = expected.chars().next() {
        if c == ' ' {
            if !text.is_empty() && !text.starts_with(' ') {
                return None;
            }
            expected = expected.trim_start_matches(' ');
            text = text.trim_start_matches(' ');
            continue;
        }
        text = text.strip_prefix(c)?;
        expected = &expected[c.len_utf8()..];
    }
    Some(text)
}

/// Reads a number of `width` digits, or of one digit less when it is not `fixed`.
fn digits(text: &str, width: usize, fixed: bool) -> Option<(u32, &str)> {
    let count = text.bytes().take(width).take_while(u8::is_ascii_digit).count();
    if count == 0 || (fixed && count < width) {
        return None;
    }
    Some((text[..count].parse().ok()?, &text[count..]))
}

/// Reads one of several names, in any case; answers its position.
fn name<'t>(text: &'t str, names: &[&str], length: Option<usize>) -> Option<(usize, &'t str)> {
    names.iter().enumerate().find_map(|(at, name)| {
        let name = &name[..length.unwrap_or(name.len())];
        let head = text.get(..name.len())?;
        head.eq_ignore_ascii_case(name).then(|| (at, &text[name.len()..]))
    })
}

fn read_part<'t>(
    part: &Part,
    text: &'t str,
    next: Option<&Chunk<'_>>,
    reading: &mut Reading,
) -> Option<&'t str> {
    match part {
        Part::LongYear => {
            let (year, rest) = digits(text, 4, true)?;
            reading.year = Some(i64::from(year));
            return Some(rest);
        }
        Part::ShortYear => {
            let (year, rest) = digits(text, 2, true)?;
            reading.year = Some(i64::from(year) + if year >= 69 { 1900 } else { 2000 });
            return Some(rest);
        }
        Part::LongMonth | Part::ShortMonth => {
            let length = (*part == Part::ShortMonth).then_some(3);
            let (at, rest) = name(text, &MONTHS, length)?;
            reading.month = Some(at as u32 + 1);
            return Some(rest);
        }
        Part::LongWeekday => return name(text, &WEEKDAYS, None).map(|(_, rest)| rest),
        Part::ShortWeekday => return name(text, &WEEKDAYS, Some(3)).map(|(_, rest)| rest),
        Part::Noon { upper } => {
            let (pm, am) = if *upper { ("PM", "AM") } else { ("pm", "am") };
            reading.is_pm = Some(text.starts_with(pm));
            return text.strip_prefix(pm).or(text.strip_prefix(am));
        }
        Part::ZoneName => return read_zone_name(text, reading),
        Part::Offset { z, colons, units } => {
            return read_offset(text, (*z, *colons, *units), reading);
        }
        Part::Fraction { digits, trims, .. } => {
            return read_fraction(text, (!trims).then_some(usize::from(*digits)), reading);
        }
        _ => {}
    }
    read_number(part, text, next, reading)
}

/// Reads a part that is a number of one to three digits.
fn read_number<'t>(
    part: &Part,
    text: &'t str,
    next: Option<&Chunk<'_>>,
    reading: &mut Reading,
) -> Option<&'t str> {
    let (value, rest) = match part {
        Part::Day { pad } => digits(blank_skipped(text, *pad), 2, *pad == Pad::Zero)?,
        Part::YearDay { pad } => {
            let text = blank_skipped(blank_skipped(text, *pad), *pad);
            digits(text, 3, *pad == Pad::Zero)?
        }
        Part::Month { padded }
        | Part::Hour12 { padded }
        | Part::Minute { padded }
        | Part::Second { padded } => digits(text, 2, *padded)?,
        _ => digits(text, 2, false)?,
    };
    let in_range = match part {
        Part::Hour24 => value < 24,
        Part::Hour12 { .. } => value <= 12,
        Part::Minute { .. } | Part::Second { .. } => value < 60,
        Part::Month { .. } => (1..=12).contains(&value),
        _ => true,
    };
    if !in_range {
        return None;
    }
    match part {
        Part::Day { .. } => reading.day = Some(value),
        Part::YearDay { .. } => reading.year_day = Some(value),
        Part::Month { .. } => reading.month = Some(value),
        Part::Hour24 | Part::Hour12 { .. } => reading.hour = value,
        Part::Minute { .. } => reading.minute = value,
        _ => {
            reading.second = value;
            // A fraction may follow seconds even when the layout has none.
            let expects_fraction = matches!(next, Some(Chunk::Part(Part::Fraction { .. })));
            if !expects_fraction && starts_fraction(rest) {
                return read_fraction(rest, None, reading);
            }
        }
    }
    Some(rest)
}

fn blank_skipped(text: &str, pad: Pad) -> &str {
    if pad == Pad::Blank { text.strip_prefix(' ').unwrap_or(text) } else { text }
}

fn starts_fraction(text: &str) -> bool {
    let bytes = text.as_bytes();
    matches!(bytes.first(), Some(b'.' | b',')) && bytes.get(1).is_some_and(u8::is_ascii_digit)
}

/// Reads a fraction of exactly `width` digits, or of any number of them, none included.
fn read_fraction<'t>(
    text: &'t str,
    width: Option<usize>,
    reading: &mut Reading,
) -> Option<&'t str> {
    if !starts_fraction(text) {
        return if width.is_some() { None } else { Some(text) };
    }
    let all = text[1..].bytes().take_while(u8::is_ascii_digit).count();
    let count = width.unwrap_or(all);
    if count > all {
        return None;
    }
    let kept = &text[1..=count.min(9)];
    reading.nanos = kept.parse::<u32>().ok()? * 10u32.pow(9 - kept.len() as u32);
    Some(&text[count + 1..])
}

fn read_offset<'t>(
    text: &'t str,
    (z, colons, units): (bool, bool, u8),
    reading: &mut Reading,
) -> Option<&'t str> {
    if z && let Some(rest) = text.strip_prefix('Z') {
        reading.is_utc = true;
        return Some(rest);
    }
    let is_negative = text.starts_with('-');
    let mut rest = text.strip_prefix(['+', '-'])?;
    let mut seconds = 0i32;
    for (at, scale) in [3600, 60, 1].into_iter().take(usize::from(units)).enumerate() {
        if colons && at > 0 {
            rest = rest.strip_prefix(':')?;
        }
        let (value, after) = digits(rest, 2, true)?;
        if value > if at == 0 { 24 } else { 60 } {
            return None;
        }
        seconds += value as i32 * scale;
        rest = after;
    }
    reading.offset = Some(if is_negative { -seconds } else { seconds });
    Some(rest)
}

/// Reads a zone's abbreviation: `UTC`, three to five capitals, `GMT+3` or `+03`.
fn read_zone_name<'t>(text: &'t str, reading: &mut Reading) -> Option<&'t str> {
    if let Some(rest) = text.strip_prefix("UTC") {
        reading.is_utc = true;
        return Some(rest);
    }
    let capitals = text.bytes().take(6).take_while(u8::is_ascii_uppercase).count();
    let signed = |from: usize| {
        let rest = &text[from..];
        let sign = usize::from(rest.starts_with(['+', '-']));
        let count = rest[sign..].bytes().take(2).take_while(u8::is_ascii_digit).count();
        if sign == 1 && count > 0 { from + 1 + count } else { from }
    };
    let length = match capitals {
        0 if signed(0) > 0 => signed(0),
        3 if text.starts_with("GMT") => signed(3),
        3 => 3,
        4 if text.as_bytes()[3] == b'T' || text.starts_with("WITA") => 4,
        5 if text.as_bytes()[4] == b'T' => 5,
        _ => return None,
    };
    reading.zone_name = Some(text[..length].to_owned());
    Some(&text[length..])
}

impl Reading {
    fn into_time(self, zone: &Zone) -> Option<Time> {
        let year = self.year.unwrap_or(0);
        let hour = match (self.is_pm, self.hour) {
            (Some(true), hour) if hour < 12 => hour + 12,
            (Some(false), 12) => 0,
            (_, hour) => hour,
        };
        let (month, day) = self.date(year)?;
        let days = days_of(year, month, day);
        let seconds = hour * 3600 + self.minute * 60 + self.second;
        let local = days * 86_400 + i64::from(seconds);
        if self.is_utc {
            return Some(Time::from_unix(local, self.nanos, Zone::utc()));
        }
        if let Some(offset) = self.offset {
            let unix = local - i64::from(offset);
            // The zone of the caller is kept when it has this offset.
            let (known, known_name) = zone.at(unix);
            let is_named =
                self.zone_name.is_none() || self.zone_name.as_deref() == Some(&*known_name);
            if known == offset && is_named {
                return Some(Time::from_unix(unix, self.nanos, zone.clone()));
            }
            let name = self.zone_name.unwrap_or_default().into();
            return Some(Time::from_unix(unix, self.nanos, Zone::Fixed(offset, name)));
        }
        if let Some(name) = self.zone_name {
            let unix = zone.unix_of(local);
            if *zone.at(unix).1 == *name {
                return Some(Time::from_unix(unix, self.nanos, zone.clone()));
            }
            // An abbreviation nobody knows has offset 0, except for `GMT+3`.
            let hours = name.strip_prefix("GMT").and_then(|hours| hours.parse::<i32>().ok());
            let offset = hours.unwrap_or(0) * 3600;
            let zone = Zone::Fixed(offset, name.into());
            return Some(Time::from_unix(local - i64::from(offset), self.nanos, zone));
        }
        Some(Time::from_unix(zone.unix_of(local), self.nanos, zone.clone()))
    }

    /// Month and day, checked.
    fn date(&self, year: i64) -> Option<(u32, u32)> {
        let Some(year_day) = self.year_day else {
            let (month, day) = (self.month.unwrap_or(1), self.day.unwrap_or(1));
            return (1..=days_in_month(year, month)).contains(&day).then_some((month, day));
        };
        let (of_year, month, day) = date_of(days_of(year, 1, 1) + i64::from(year_day) - 1);
        let agrees = self.month.is_none_or(|known| known == month)
            && self.day.is_none_or(|known| known == day);
        (year_day >= 1 && of_year == year && agrees).then_some((month, day))
    }
}
