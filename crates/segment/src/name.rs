//! The name of a segment: an object path that carries the facts a catalog needs.
//!
//! `seg/<tenant>/<yyyymmdd>/<class>/<L><first><last>-<rows>-<hash>.<footer>.seg`, where numbers are
//! base 36. Times are padded to 13 digits and shifted by 2⁶³, so names of one level sort by time.
//! The hash covers the rows and how they are encoded: equal names mean equal bytes.

use std::fmt;
use std::str::FromStr;

use model::time::civil_date;
use model::{TenantId, TimeRange, Timestamp};

use crate::error::{FormatError, Result};

/// Digits of a padded time.
const TIME_DIGITS: usize = 13;
/// Names longer than this are refused unread.
const NAME_BYTES_MAX: usize = 512;
/// The shift that makes every time a non-negative number.
const TIME_SHIFT: u64 = 1 << 63;

/// Identifies a segment and tells where its object is. Cloning is cheap; prints as the path.
#[derive(Clone, PartialEq, Eq, PartialOrd, Ord, Hash)]
pub struct SegmentName {
    tenant: TenantId,
    day: i32,
    class: u8,
    level: u8,
    first: Timestamp,
    last: Timestamp,
    rows: u64,
    hash: u128,
    footer_len: u64,
}

/// What the encoder knows when it names a segment.
pub(crate) struct NameFacts {
    pub(crate) tenant: TenantId,
    pub(crate) day: i32,
    pub(crate) class: u8,
    pub(crate) level: u8,
    pub(crate) first: Timestamp,
    pub(crate) last: Timestamp,
    pub(crate) rows: u64,
    pub(crate) hash: u128,
    pub(crate) footer_len: u64,
}

impl SegmentName {
    pub(crate) fn new(facts: NameFacts) -> Self {
        let NameFacts { tenant, day, class, level, first, last, rows, hash, footer_len } = facts;
        Self { tenant, day, class, level, first, last, rows, hash, footer_len }
    }

    /// Reads a path as [`fmt::Display`] prints it.
    ///
    /// # Errors
    ///
    /// [`FormatError::Name`] when the text differs in any way from what is printed; the object is
    /// not ours, leave it alone.
    pub fn parse(path: &str) -> Result<Self> {
        let refused = || FormatError::Name(path.chars().take(NAME_BYTES_MAX).collect());
        if path.len() > NAME_BYTES_MAX {
            return Err(refused());
        }
        let name = parse_parts(path).ok_or_else(refused)?;
        // One segment has one name: leading zeros and capitals are somebody else's.
        if name.to_string() == path { Ok(name) } else { Err(refused()) }
    }

    /// Whose rows.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// The UTC day of the path, counted from the epoch.
    #[must_use]
    pub fn day(&self) -> i32 {
        self.day
    }

    /// The retention class, 0 to 7.
    #[must_use]
    pub fn class(&self) -> u8 {
        self.class
    }

    /// How often the rows have been compacted; 0 for a flush.
    #[must_use]
    pub fn level(&self) -> u8 {
        self.level
    }

    /// Time of the earliest row.
    #[must_use]
    pub fn first(&self) -> Timestamp {
        self.first
    }

    /// Time of the latest row.
    #[must_use]
    pub fn last(&self) -> Timestamp {
        self.last
    }

    /// Whether some row may lie in the range.
    #[must_use]
    pub fn overlaps(&self, range: TimeRange) -> bool {
        range.overlaps(self.first, self.last)
    }

    /// How many rows the segment holds.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The hash of rows and encoding.
    #[must_use]
    pub fn hash(&self) -> u128 {
        self.hash
    }

    /// How many bytes at the end of the object [`crate::Footer::decode`] needs.
    #[must_use]
    pub fn footer_len(&self) -> u64 {
        self.footer_len
    }

    /// The path under which all segments of a tenant and day are listed; ends in `/`.
    #[must_use]
    pub fn day_prefix(tenant: &TenantId, day: i32) -> String {
        let (year, month, date) = civil_date(day);
        format!("seg/{tenant}/{year:04}{month:02}{date:02}/")
    }
}

impl fmt::Display for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(
            f,
            "{}{}/{}{}-{}-{}-{:032x}.{}.seg",
            Self::day_prefix(&self.tenant, self.day),
            self.class,
            base36(u64::from(self.level), 1),
            time_text(self.first),
            time_text(self.last),
            base36(self.rows, 1),
            self.hash,
            base36(self.footer_len, 1),
        )
    }
}

impl fmt::Debug for SegmentName {
    fn fmt(&self, f: &mut fmt::Formatter<'_>) -> fmt::Result {
        write!(f, "SegmentName({self})")
    }
}

impl FromStr for SegmentName {
    type Err = FormatError;

    fn from_str(path: &str) -> Result<Self> {
        Self::parse(path)
    }
}

fn time_text(at: Timestamp) -> String {
    base36((at.0 as u64) ^ TIME_SHIFT, TIME_DIGITS)
}

/// Base 36 with at least `width` digits.
fn base36(mut value: u64, width: usize) -> String {
    let mut digits = Vec::with_capacity(TIME_DIGITS);
    while value > 0 || digits.len() < width {
        let digit = (value % 36) as u8;
        digits.push(if digit < 10 { b'0' + digit } else { b'a' + digit - 10 });
        value /= 36;
    }
    digits.iter().rev().map(|digit| char::from(*digit)).collect()
}

fn parse_parts(path: &str) -> Option<SegmentName> {
    let mut parts = path.split('/');
    if parts.next()? != "seg" {
        return None;
    }
    let tenant = TenantId::new(parts.next()?).ok()?;
    let day = parse_date(parts.next()?)?;
    let class = parts.next()?.parse().ok().filter(|class| *class < 8)?;
    let (stem, footer) = parts.next()?.strip_suffix(".seg")?.split_once('.')?;
    if parts.next().is_some() {
        return None;
    }
    let mut fields = stem.split('-');
    let (level, first) = fields.next()?.split_at_checked(1)?;
    let name = SegmentName {
        tenant,
        day,
        class,
        level: u8::from_str_radix(level, 36).ok()?,
        first: parse_time(first)?,
        last: parse_time(fields.next()?)?,
        rows: u64::from_str_radix(fields.next()?, 36).ok()?,
        hash: u128::from_str_radix(fields.next()?, 16).ok()?,
        footer_len: u64::from_str_radix(footer, 36).ok()?,
    };
    fields.next().is_none().then_some(name)
}

fn parse_time(text: &str) -> Option<Timestamp> {
    u64::from_str_radix(text, 36).ok().map(|shifted| Timestamp((shifted ^ TIME_SHIFT) as i64))
}

/// The day number of a date `yyyymmdd`: the inverse of [`civil_date`] by bisection.
fn parse_date(text: &str) -> Option<i32> {
    let split = text.len().checked_sub(4)?;
    let (year, rest) = text.split_at_checked(split)?;
    let (month, date) = rest.split_at_checked(2)?;
    let wanted: (i32, u32, u32) = (year.parse().ok()?, month.parse().ok()?, date.parse().ok()?);
    // Days of an i64 count of nanoseconds lie well inside these bounds.
    let (mut low, mut high) = (-110_000, 110_000);
    while low < high {
        let middle = low + (high - low) / 2;
        if civil_date(middle) < wanted { low = middle + 1 } else { high = middle }
    }
    (civil_date(low) == wanted).then_some(low)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn name(first: i64, last: i64) -> SegmentName {
        SegmentName::new(NameFacts {
            tenant: TenantId::new("team-a.b").unwrap(),
            day: 20_000,
            class: 0,
            level: 1,
            first: Timestamp(first),
            last: Timestamp(last),
            rows: 12_345,
            hash: 0x0123_4567_89ab_cdef,
            footer_len: 77,
        })
    }

    #[test]
    fn names_round_trip() {
        for (first, last) in [(0, 1), (i64::MIN, i64::MAX), (-5, -4), (1 << 60, 1 << 61)] {
            let name = name(first, last);
            assert_eq!(SegmentName::parse(&name.to_string()), Ok(name));
        }
        assert_eq!(
            name(0, 1).to_string(),
            "seg/team-a.b/20241004/0/11y2p0ij32e8e8-1y2p0ij32e8e9-9ix-\
             00000000000000000123456789abcdef.25.seg"
        );
    }

    #[test]
    fn every_day_is_read_back() {
        for day in [-1, 0, 1, -100_000, 100_000] {
            let name = SegmentName { day, ..name(0, 1) };
            assert_eq!(SegmentName::parse(&name.to_string()), Ok(name));
        }
    }

    #[test]
    fn names_sort_by_time() {
        let mut names = [name(5, 6), name(-5, 6), name(4, 9)].map(|name| name.to_string());
        names.sort();
        let first = names.map(|text| SegmentName::parse(&text).unwrap().first().0);
        assert_eq!(first, [-5, 4, 5]);
    }

    #[test]
    fn other_texts_are_refused() {
        let good = name(0, 1).to_string();
        for bad in [
            "",
            "seg",
            "seg/fake/20241004/0/x.seg",
            &good.replace("seg/", "cat/"),
            &good.replace("20241004", "20240230"),
            &good.replace("-9ix-", "-09ix-"),
            &good.replace(".25.", ".+25."),
            &good.replace("/0/", "/9/"),
            &format!("{good}/x"),
            &good.to_uppercase(),
        ] {
            assert!(SegmentName::parse(bad).is_err(), "{bad}");
        }
    }
}
