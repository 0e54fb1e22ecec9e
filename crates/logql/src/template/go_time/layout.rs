//! Layouts: example times whose parts say what stands where.

use super::Civil;
use crate::template::format::{MONTHS, WEEKDAYS};

/// A part of a layout that stands for a part of the time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Part {
    LongMonth,
    ShortMonth,
    Month {
        padded: bool,
    },
    LongWeekday,
    ShortWeekday,
    Day {
        pad: Pad,
    },
    YearDay {
        pad: Pad,
    },
    Hour24,
    Hour12 {
        padded: bool,
    },
    Minute {
        padded: bool,
    },
    Second {
        padded: bool,
    },
    LongYear,
    ShortYear,
    /// `PM` or `pm`.
    Noon {
        upper: bool,
    },
    /// `MST`
    ZoneName,
    /// `-0700` and its kin: whether UTC is `Z`, whether colons separate, and how many of hours,
    /// minutes and seconds are there.
    Offset {
        z: bool,
        colons: bool,
        units: u8,
    },
    /// `.000` or `,999`: the separator, the digits, and whether zeros at the end are cut.
    Fraction {
        separator: u8,
        digits: u8,
        trims: bool,
    },
}

/// How a number is filled up.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) enum Pad {
    None,
    Zero,
    Blank,
}

/// A piece of a layout.
pub(super) enum Chunk<'l> {
    Text(&'l str),
    Part(Part),
}

/// Splits a layout into texts and parts.
pub(super) struct Chunks<'l> {
    rest: &'l str,
    pending: Option<Part>,
}

impl<'l> Chunks<'l> {
    /// Starts at the beginning of a layout.
    pub(super) fn new(layout: &'l str) -> Self {
        Self { rest: layout, pending: None }
    }
}

impl<'l> Iterator for Chunks<'l> {
    type Item = Chunk<'l>;

    fn next(&mut self) -> Option<Chunk<'l>> {
        if let Some(part) = self.pending.take() {
            return Some(Chunk::Part(part));
        }
        if self.rest.is_empty() {
            return None;
        }
        for (at, _) in self.rest.char_indices() {
            if let Some((part, length)) = part_at(&self.rest[at..]) {
                let text = &self.rest[..at];
                self.rest = &self.rest[at + length..];
                if text.is_empty() {
                    return Some(Chunk::Part(part));
                }
                self.pending = Some(part);
                return Some(Chunk::Text(text));
            }
        }
        Some(Chunk::Text(std::mem::take(&mut self.rest)))
    }
}

/// The parts with a fixed text, longest first where one begins another.
const PARTS: [(&str, Part); 34] = [
    ("January", Part::LongMonth),
    ("Jan", Part::ShortMonth),
    ("Monday", Part::LongWeekday),
    ("Mon", Part::ShortWeekday),
    ("MST", Part::ZoneName),
    ("002", Part::YearDay { pad: Pad::Zero }),
    ("01", Part::Month { padded: true }),
    ("02", Part::Day { pad: Pad::Zero }),
    ("03", Part::Hour12 { padded: true }),
    ("04", Part::Minute { padded: true }),
    ("05", Part::Second { padded: true }),
    ("06", Part::ShortYear),
    ("15", Part::Hour24),
    ("1", Part::Month { padded: false }),
    ("2006", Part::LongYear),
    ("2", Part::Day { pad: Pad::None }),
    ("__2", Part::YearDay { pad: Pad::Blank }),
    ("_2006", Part::LongYear),
    ("_2", Part::Day { pad: Pad::Blank }),
    ("3", Part::Hour12 { padded: false }),
    ("4", Part::Minute { padded: false }),
    ("5", Part::Second { padded: false }),
    ("PM", Part::Noon { upper: true }),
    ("pm", Part::Noon { upper: false }),
    ("-070000", Part::Offset { z: false, colons: false, units: 3 }),
    ("-07:00:00", Part::Offset { z: false, colons: true, units: 3 }),
    ("-0700", Part::Offset { z: false, colons: false, units: 2 }),
    ("-07:00", Part::Offset { z: false, colons: true, units: 2 }),
    ("-07", Part::Offset { z: false, colons: false, units: 1 }),
    ("Z070000", Part::Offset { z: true, colons: false, units: 3 }),
    ("Z07:00:00", Part::Offset { z: true, colons: true, units: 3 }),
    ("Z0700", Part::Offset { z: true, colons: false, units: 2 }),
    ("Z07:00", Part::Offset { z: true, colons: true, units: 2 }),
    ("Z07", Part::Offset { z: true, colons: false, units: 1 }),
];

/// The part at the start of `text`, and its length.
fn part_at(text: &str) -> Option<(Part, usize)> {
    if let Some(found) = fraction_at(text) {
        return Some(found);
    }
    for (name, part) in &PARTS {
        if !text.starts_with(name) {
            continue;
        }
        match part {
            // `Janet` is no month, and `_2006` is a blank and a year.
            Part::ShortMonth | Part::ShortWeekday
                if text[3..].starts_with(|c: char| c.is_ascii_lowercase()) =>
            {
                return None;
            }
            Part::LongYear if text.starts_with('_') => return None,
            _ => return Some((*part, name.len())),
        }
    }
    None
}

/// `.000` or `.999`, when no digit follows.
fn fraction_at(text: &str) -> Option<(Part, usize)> {
    let bytes = text.as_bytes();
    let separator = *bytes.first().filter(|byte| matches!(byte, b'.' | b','))?;
    let digit = *bytes.get(1).filter(|byte| matches!(byte, b'0' | b'9'))?;
    let digits = bytes[1..].iter().take_while(|byte| **byte == digit).count();
    if bytes.get(1 + digits).is_some_and(u8::is_ascii_digit) {
        return None;
    }
    let trims = digit == b'9';
    let shown = u8::try_from(digits).unwrap_or(u8::MAX);
    Some((Part::Fraction { separator, digits: shown, trims }, digits + 1))
}

/// Appends what a part shows.
pub(super) fn append_part(part: &Part, civil: &Civil, nanos: u32, out: &mut String) {
    let number = |out: &mut String, value: u32, pad: Pad, width: usize| match pad {
        Pad::None => out.push_str(&value.to_string()),
        Pad::Zero => out.push_str(&format!("{value:0width$}")),
        Pad::Blank => out.push_str(&format!("{value:width$}")),
    };
    let two = |padded: bool| if padded { Pad::Zero } else { Pad::None };
    let hour12 = match civil.hour % 12 {
        0 => 12,
        hour => hour,
    };
    match part {
        Part::LongMonth => out.push_str(MONTHS[civil.month as usize - 1]),
        Part::ShortMonth => out.push_str(&MONTHS[civil.month as usize - 1][..3]),
        Part::Month { padded } => number(out, civil.month, two(*padded), 2),
        Part::LongWeekday => out.push_str(WEEKDAYS[civil.weekday as usize]),
        Part::ShortWeekday => out.push_str(&WEEKDAYS[civil.weekday as usize][..3]),
        Part::Day { pad } => number(out, civil.day, *pad, 2),
        Part::YearDay { pad } => number(out, civil.year_day, *pad, 3),
        Part::Hour24 => number(out, civil.hour, Pad::Zero, 2),
        Part::Hour12 { padded } => number(out, hour12, two(*padded), 2),
        Part::Minute { padded } => number(out, civil.minute, two(*padded), 2),
        Part::Second { padded } => number(out, civil.second, two(*padded), 2),
        Part::LongYear if civil.year < 0 => out.push_str(&format!("-{:04}", -civil.year)),
        Part::LongYear => out.push_str(&format!("{:04}", civil.year)),
        Part::ShortYear => out.push_str(&format!("{:02}", civil.year.rem_euclid(100))),
        Part::Noon { upper } => out.push_str(match (civil.hour >= 12, upper) {
            (true, true) => "PM",
            (true, false) => "pm",
            (false, true) => "AM",
            (false, false) => "am",
        }),
        Part::ZoneName if !civil.zone.is_empty() => out.push_str(&civil.zone),
        Part::ZoneName => append_zone_offset(civil.offset, out),
        Part::Offset { z: true, .. } if civil.offset == 0 => out.push('Z'),
        Part::Offset { colons, units, .. } => {
            append_offset(civil.offset, *colons, *units, out);
        }
        Part::Fraction { separator, digits, trims } => {
            let width = usize::from(*digits);
            let all = format!("{nanos:09}{}", "0".repeat(width.saturating_sub(9)));
            let mut shown = &all[..width];
            if *trims {
                shown = shown.trim_end_matches('0');
            }
            if !shown.is_empty() {
                out.push(*separator as char);
                out.push_str(shown);
            }
        }
    }
}

fn append_offset(offset: i32, colons: bool, units: u8, out: &mut String) {
    let colon = if colons { ":" } else { "" };
    let seconds = offset.unsigned_abs();
    out.push(if offset < 0 { '-' } else { '+' });
    out.push_str(&format!("{:02}", seconds / 3600));
    if units >= 2 {
        out.push_str(&format!("{colon}{:02}", seconds / 60 % 60));
    }
    if units >= 3 {
        out.push_str(&format!("{colon}{:02}", seconds % 60));
    }
}

/// An offset without a name in the place of one: hours, and minutes when there are some.
fn append_zone_offset(offset: i32, out: &mut String) {
    let minutes = offset / 60;
    out.push(if minutes < 0 { '-' } else { '+' });
    out.push_str(&format!("{:02}{:02}", minutes.unsigned_abs() / 60, minutes.unsigned_abs() % 60));
}
