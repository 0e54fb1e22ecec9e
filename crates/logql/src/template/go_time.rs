//! Times with zones, printed and read by Go's example layouts (`2006-01-02T15:04:05Z07:00`).

use std::cmp::Ordering;
use std::fmt;
use std::rc::Rc;

use jiff::tz::TimeZone;
use model::Timestamp;

mod layout;
mod read;

use layout::{Chunk, Chunks, append_part};
pub(crate) use read::parse;

/// The layout in which times print by default.
const DEFAULT_LAYOUT: &str = "2006-01-02 15:04:05.999999999 -0700 MST";
const SECOND_NS: i128 = 1_000_000_000;
/// Seconds from year 1 to 1970.
const UNIX_FROM_YEAR_ONE: i64 = 62_135_596_800;

/// A zone: an offset with a name, or the rules of a place.
#[derive(Debug, Clone)]
pub(crate) enum Zone {
    /// Always the same offset from UTC, in seconds. An empty name prints as the offset.
    Fixed(i32, Rc<str>),
    /// The rules of a place.
    Place(TimeZone),
}

impl Zone {
    /// UTC.
    pub(crate) fn utc() -> Self {
        Self::Fixed(0, "UTC".into())
    }

    /// A zone of the time zone database; empty and `Local` are UTC.
    pub(crate) fn named(name: &str) -> Option<Self> {
        match name {
            "" | "UTC" | "Local" => Some(Self::utc()),
            name => TimeZone::get(name).ok().map(Self::Place),
        }
    }

    /// The offset from UTC at an instant, and its name.
    fn at(&self, unix: i64) -> (i32, Rc<str>) {
        match self {
            Self::Fixed(offset, name) => (*offset, name.clone()),
            Self::Place(zone) => match jiff::Timestamp::from_second(unix) {
                Ok(instant) => {
                    let info = zone.to_offset_info(instant);
                    (info.offset().seconds(), info.abbreviation().into())
                }
                Err(_) => (0, "UTC".into()),
            },
        }
    }

    /// The instant at which clocks of the zone show a local time. Of two, the one before the
    /// change; of none, the one that the offset before the change gives.
    fn unix_of(&self, local: i64) -> i64 {
        match self {
            Self::Fixed(offset, _) => local - i64::from(*offset),
            Self::Place(_) => {
                let unix = local - i64::from(self.at(local).0);
                let (before, after) = (self.at(unix - 86_400).0, self.at(unix).0);
                let by_before = local - i64::from(before);
                if self.at(by_before).0 == before { by_before } else { local - i64::from(after) }
            }
        }
    }
}

/// An instant with the zone it is shown in. Compares by instant.
#[derive(Debug, Clone)]
pub(crate) struct Time {
    unix: i64,
    nanos: u32,
    zone: Zone,
}

/// A time as a calendar shows it.
#[derive(Debug, Clone)]
pub(crate) struct Civil {
    pub(crate) year: i64,
    pub(crate) month: u32,
    pub(crate) day: u32,
    pub(crate) hour: u32,
    pub(crate) minute: u32,
    pub(crate) second: u32,
    pub(crate) year_day: u32,
    /// 0 is Sunday.
    pub(crate) weekday: u32,
    /// Seconds east of UTC.
    pub(crate) offset: i32,
    pub(crate) zone: Rc<str>,
}

impl PartialEq for Time {
    fn eq(&self, other: &Self) -> bool {
        self.cmp_instant(other) == Ordering::Equal
    }
}

impl PartialOrd for Time {
    fn partial_cmp(&self, other: &Self) -> Option<Ordering> {
        Some(self.cmp_instant(other))
    }
}

impl Time {
    /// An instant in UTC.
    pub(crate) fn from_timestamp(timestamp: Timestamp) -> Self {
        let nanos = timestamp.0.rem_euclid(model::time::SECOND_NS) as u32;
        Self::from_unix(timestamp.0.div_euclid(model::time::SECOND_NS), nanos, Zone::utc())
    }

    /// An instant from seconds and nanoseconds since 1970.
    pub(crate) fn from_unix(unix: i64, nanos: u32, zone: Zone) -> Self {
        Self { unix, nanos, zone }
    }

    /// Midnight of January 1 of the year 1, UTC.
    pub(crate) fn zero() -> Self {
        Self::from_unix(-UNIX_FROM_YEAR_ONE, 0, Zone::utc())
    }

    /// The same instant in another zone.
    pub(crate) fn in_zone(self, zone: Zone) -> Self {
        Self { zone, ..self }
    }

    fn cmp_instant(&self, other: &Self) -> Ordering {
        (self.unix, self.nanos).cmp(&(other.unix, other.nanos))
    }

    /// Whether this is [`Time::zero`].
    pub(crate) fn is_zero(&self) -> bool {
        *self == Self::zero()
    }

    /// Seconds since 1970.
    pub(crate) fn unix(&self) -> i64 {
        self.unix
    }

    /// Nanoseconds after the second.
    pub(crate) fn nanos(&self) -> u32 {
        self.nanos
    }

    /// `units` per second since 1970, wrapping as Go does.
    pub(crate) fn unix_scaled(&self, units: i64) -> i64 {
        let part = i64::from(self.nanos) / (1_000_000_000 / units);
        self.unix.wrapping_mul(units).wrapping_add(part)
    }

    /// Nanoseconds since another time, at the bounds of their type.
    pub(crate) fn since(&self, other: &Self) -> i64 {
        let difference = self.unix_nanos() - other.unix_nanos();
        i64::try_from(difference).unwrap_or(if difference < 0 { i64::MIN } else { i64::MAX })
    }

    /// The instant so many nanoseconds later.
    pub(crate) fn plus(&self, nanos: i64) -> Self {
        self.at_unix_nanos(self.unix_nanos() + i128::from(nanos))
    }

    /// The time rounded down to whole units of so many nanoseconds, counted from [`Time::zero`].
    /// Without a positive unit nothing is rounded.
    pub(crate) fn truncated(&self, unit: i64) -> Self {
        if unit <= 0 {
            return self.clone();
        }
        let since_zero = self.unix_nanos() - Self::zero().unix_nanos();
        self.at_unix_nanos(self.unix_nanos() - since_zero.rem_euclid(i128::from(unit)))
    }

    fn unix_nanos(&self) -> i128 {
        i128::from(self.unix) * SECOND_NS + i128::from(self.nanos)
    }

    /// An instant in the same zone; seconds beyond their type stay at its bounds.
    fn at_unix_nanos(&self, nanos: i128) -> Self {
        let seconds = nanos.div_euclid(SECOND_NS);
        let bound = if seconds < 0 { i64::MIN } else { i64::MAX };
        let unix = i64::try_from(seconds).unwrap_or(bound);
        Self { unix, nanos: nanos.rem_euclid(SECOND_NS) as u32, zone: self.zone.clone() }
    }

    /// The time as a calendar in its zone shows it.
    pub(crate) fn civil(&self) -> Civil {
        let (offset, zone) = self.zone.at(self.unix);
        let local = self.unix.saturating_add(i64::from(offset));
        let (days, seconds) = (local.div_euclid(86_400), local.rem_euclid(86_400) as u32);
        let (year, month, day) = date_of(days);
        Civil {
            year,
            month,
            day,
            hour: seconds / 3600,
            minute: seconds / 60 % 60,
            second: seconds % 60,
            year_day: (days - days_of(year, 1, 1)) as u32 + 1,
            weekday: (days + 4).rem_euclid(7) as u32,
            offset,
            zone,
        }
    }

    /// The time in a layout.
    pub(crate) fn format(&self, layout: &str) -> String {
        let civil = self.civil();
        let mut out = String::with_capacity(layout.len() + 8);
        for chunk in Chunks::new(layout) {
            match chunk {
                Chunk::Text(text) => out.push_str(text),
                Chunk::Part(part) => append_part(&part, &civil, self.nanos, &mut out),
            }
        }
        out
    }
}

impl fmt::Display for Time {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        f.write_str(&self.format(DEFAULT_LAYOUT))
    }
}

/// Year, month and day of a day counted from 1970.
fn date_of(days: i64) -> (i64, u32, u32) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let day_of_era = shifted.rem_euclid(146_097);
    let year_of_era =
        (day_of_era - day_of_era / 1460 + day_of_era / 36_524 - day_of_era / 146_096) / 365;
    let day_of_year = day_of_era - (365 * year_of_era + year_of_era / 4 - year_of_era / 100);
    let month_index = (5 * day_of_year + 2) / 153;
    let day = day_of_year - (153 * month_index + 2) / 5 + 1;
    let month = if month_index < 10 { month_index + 3 } else { month_index - 9 };
    (year_of_era + era * 400 + i64::from(month <= 2), month as u32, day as u32)
}

/// The day of a date, counted from 1970.
fn days_of(year: i64, month: u32, day: u32) -> i64 {
    let year = year - i64::from(month <= 2);
    let era = year.div_euclid(400);
    let year_of_era = year.rem_euclid(400);
    let month_index = (i64::from(month) + 9) % 12;
    let day_of_year = (153 * month_index + 2) / 5 + i64::from(day) - 1;
    let day_of_era = year_of_era * 365 + year_of_era / 4 - year_of_era / 100 + day_of_year;
    era * 146_097 + day_of_era - 719_468
}

fn days_in_month(year: i64, month: u32) -> u32 {
    match month {
        4 | 6 | 9 | 11 => 30,
        2 if year % 4 == 0 && (year % 100 != 0 || year % 400 == 0) => 29,
        2 => 28,
        _ => 31,
    }
}

#[cfg(test)]
mod tests;
