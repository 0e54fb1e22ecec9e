//! Points in time written into lines, kept as distances from the row's own time.
//!
//! Two forms are known: `2024-04-16T15:10:43.833` (with `-`, `/` or `.` in the date, `T` or a space
//! behind it, `.` or `,` before up to nine digits of a fraction) and `15:10:43.833` alone.

/// How a time is written. Its four bytes stand in the shape, behind the mark of a time.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct TimeForm {
    /// Between the parts of the date; 0 when there is no date.
    date: u8,
    /// Between date and time of day; 0 when there is no date.
    middle: u8,
    /// Before the fraction; 0 when there is none.
    point: u8,
    /// Digits of the fraction.
    digits: u8,
}

/// Bytes of a form.
pub(super) const FORM_BYTES: usize = 4;
const DAY_SECONDS: i64 = 86_400;
const POWERS: [i64; 10] =
    [1, 10, 100, 1_000, 10_000, 100_000, 1_000_000, 10_000_000, 100_000_000, 1_000_000_000];
/// Years whose nanoseconds fit 64 bits.
const YEARS: std::ops::RangeInclusive<i64> = 1970..=2261;

impl TimeForm {
    pub(super) fn to_bytes(self) -> [u8; FORM_BYTES] {
        // Offset, so that no byte of a form can be the mark of a slot.
        [self.date, self.middle, self.point, self.digits].map(|byte| byte + 2)
    }

    pub(super) fn from_bytes(bytes: [u8; FORM_BYTES]) -> Option<Self> {
        let [date, middle, point, digits] = bytes.map(|byte| byte.wrapping_sub(2));
        let is_sound = matches!(
            (date, middle),
            (0, 0) | (b'-' | b'/' | b'.', b'T' | b' ' | b't' | b'_' | b'-')
        ) && matches!((point, digits), (0, 0) | (b'.' | b',', 1..=9));
        is_sound.then_some(Self { date, middle, point, digits })
    }

    /// What may stand between digits and colons; 0 for nothing.
    pub(super) fn signs(self) -> [u8; 3] {
        [self.date, self.middle, self.point]
    }

    /// How many bytes a time of this form has.
    pub(super) fn len(self) -> usize {
        let date = if self.date == 0 { 0 } else { 11 };
        let fraction = if self.point == 0 { 0 } else { 1 + usize::from(self.digits) };
        date + 8 + fraction
    }

    /// What a row's own time is in the units and the range of this form.
    fn own(self, timestamp: i64) -> i64 {
        let (own, _) = divided(timestamp, 9 - self.digits);
        if self.date == 0 { self.within_day(own) } else { own }
    }

    fn day(self) -> i64 {
        DAY_SECONDS * POWERS[usize::from(self.digits)]
    }

    /// A time in the units of this form without its days.
    fn within_day(self, value: i64) -> i64 {
        let (seconds, fraction) = divided(value, self.digits);
        seconds.rem_euclid(DAY_SECONDS) * POWERS[usize::from(self.digits)] + fraction
    }

    /// How far a time is from the row's own.
    pub(super) fn distance(self, value: i64, timestamp: i64) -> i64 {
        let distance = value.wrapping_sub(self.own(timestamp));
        if self.date == 0 {
            let day = self.day();
            self.within_day(distance + day / 2) - day / 2
        } else {
            distance
        }
    }

    /// Appends the time that is this far from the row's own; `None` when there is no such time.
    pub(super) fn write(self, distance: i64, timestamp: i64, out: &mut Vec<u8>) -> Option<()> {
        out.extend_from_slice(TimeText::new(self).at(distance, timestamp)?);
        Some(())
    }
}

/// How times of one form are written, one after the other: what two have in common is written once.
pub(super) struct TimeText {
    form: TimeForm,
    text: [u8; 11 + 8 + 10],
    /// The day and the second of the day that the text has, if it has any.
    days: Option<i64>,
    of_day: Option<i64>,
}

impl TimeText {
    pub(super) fn new(form: TimeForm) -> Self {
        Self { form, text: [b':'; 29], days: None, of_day: None }
    }

    /// The time that is this far from the row's own; `None` when there is no such time.
    pub(super) fn at(&mut self, distance: i64, timestamp: i64) -> Option<&[u8]> {
        let form = self.form;
        let value = form.own(timestamp).wrapping_add(distance);
        let (seconds, mut fraction) = divided(value, form.digits);
        let (days, of_day) = (seconds.div_euclid(DAY_SECONDS), seconds.rem_euclid(DAY_SECONDS));
        let mut at = 0;
        if form.date != 0 {
            if self.days != Some(days) {
                self.days = None;
                self.write_date(days)?;
                self.days = Some(days);
            }
            at = 11;
        }
        if self.of_day != Some(of_day) {
            self.of_day = Some(of_day);
            two_digits(of_day / 3600, &mut self.text[at..]);
            two_digits(of_day / 60 % 60, &mut self.text[at + 3..]);
            two_digits(of_day % 60, &mut self.text[at + 6..]);
        }
        at += 8;
        if form.point != 0 {
            self.text[at] = form.point;
            let end = at + 1 + usize::from(form.digits);
            for place in self.text[at + 1..end].iter_mut().rev() {
                *place = b'0' + (fraction % 10) as u8;
                fraction /= 10;
            }
            at = end;
        }
        Some(&self.text[..at])
    }

    fn write_date(&mut self, days: i64) -> Option<()> {
        let (year, month, of_month) = civil(days);
        if !YEARS.contains(&year) {
            return None;
        }
        let text = &mut self.text;
        two_digits(year / 100, &mut text[0..]);
        two_digits(year % 100, &mut text[2..]);
        text[4] = self.form.date;
        two_digits(month, &mut text[5..]);
        text[7] = self.form.date;
        two_digits(of_month, &mut text[8..]);
        text[10] = self.form.middle;
        Some(())
    }
}

/// Finds a time at the beginning of a text: its form and value.
pub(super) fn parse(text: &[u8]) -> Option<(TimeForm, i64)> {
    let (date, middle, days, rest) = match text {
        [_, _, b':', ..] => (0, 0, 0, text),
        [_, _, _, _, date @ (b'-' | b'/' | b'.'), _, _, second, _, _, middle, rest @ ..]
            if date == second && matches!(middle, b'T' | b' ' | b't' | b'_' | b'-') =>
        {
            let months = [b'0', b'0', b'0', b'0', *date, b'0', b'0', *date];
            let [century, _, of_century, _, _, month, ..] = pairs(text.first_chunk()?, months)?;
            let year = i64::from(century) * 100 + i64::from(of_century);
            let days = days_of(year, i64::from(month), number(&text[8..10])?)?;
            (*date, *middle, days, rest)
        }
        _ => return None,
    };
    let (clock, rest) = rest.split_first_chunk()?;
    let [hour, _, _, minute, _, _, second, _] = pairs(clock, *b"00:00:00")?.map(i64::from);
    if hour > 23 || minute > 59 || second > 59 {
        return None;
    }
    let seconds = days * DAY_SECONDS + hour * 3600 + minute * 60 + second;
    let mut form = TimeForm { date, middle, point: 0, digits: 0 };
    let mut value = seconds;
    match rest {
        // Neither a part of a hardware address nor of a longer number.
        [b':', _, _, b':', ..] | [b'0'..=b'9', ..] => return None,
        [point @ (b'.' | b','), fraction @ ..] => {
            let (mut digits, mut number) = (0, 0);
            for digit in fraction.iter().take(10).map_while(|byte| digit_of(*byte)) {
                digits += 1;
                number = number * 10 + i64::from(digit);
            }
            if digits > 9 {
                return None;
            }
            if digits > 0 {
                form = TimeForm { point: *point, digits: digits as u8, ..form };
                value = seconds * POWERS[digits] + number;
            }
        }
        _ => {}
    }
    Some((form, value))
}

/// At every place the number that its digit and the next make, in a text that has digits where the
/// pattern has zeros and is the pattern elsewhere.
fn pairs(text: &[u8; 8], pattern: [u8; 8]) -> Option<[u8; 8]> {
    // What must be added to a byte for its highest bit to be set when it is too large.
    let limits = u64::from_le_bytes(pattern.map(|byte| if byte == b'0' { 0x76 } else { 0x7f }));
    let digits = u64::from_le_bytes(*text) ^ u64::from_le_bytes(pattern);
    let too_large = digits.wrapping_add(limits) | digits;
    (too_large & 0x8080_8080_8080_8080 == 0).then(|| (digits * 10 + (digits >> 8)).to_le_bytes())
}

fn digit_of(byte: u8) -> Option<u8> {
    Some(byte.wrapping_sub(b'0')).filter(|digit| *digit < 10)
}

fn number(two: &[u8]) -> Option<i64> {
    match two {
        [a @ b'0'..=b'9', b @ b'0'..=b'9'] => Some(i64::from(a - b'0') * 10 + i64::from(b - b'0')),
        _ => None,
    }
}

fn two_digits(value: i64, out: &mut [u8]) {
    out[0] = b'0' + (value / 10 % 10) as u8;
    out[1] = b'0' + (value % 10) as u8;
}

/// A value divided by a power of ten, rounded down, and what is left. The usual powers are known to
/// the compiler, which divides by none of them.
fn divided(value: i64, digits: u8) -> (i64, i64) {
    fn by<const POWER: i64>(value: i64) -> (i64, i64) {
        (value.div_euclid(POWER), value.rem_euclid(POWER))
    }
    match digits {
        0 => (value, 0),
        3 => by::<1_000>(value),
        6 => by::<1_000_000>(value),
        9 => by::<1_000_000_000>(value),
        _ => {
            let power = POWERS[usize::from(digits)];
            (value.div_euclid(power), value.rem_euclid(power))
        }
    }
}

/// Days since the epoch, when there is such a date.
fn days_of(year: i64, month: i64, day: i64) -> Option<i64> {
    if !YEARS.contains(&year) || !(1..=12).contains(&month) || !(1..=31).contains(&day) {
        return None;
    }
    // Years that begin in March, so that the leap day is the last.
    let from_march = year - i64::from(month <= 2);
    let era = from_march / 400;
    let of_era = from_march % 400;
    let of_year = (153 * ((month + 9) % 12) + 2) / 5 + day - 1;
    let days = era * 146_097 + of_era * 365 + of_era / 4 - of_era / 100 + of_year - 719_468;
    (day <= 28 || civil(days) == (year, month, day)).then_some(days)
}

/// Year, month and day of month of a day since the epoch.
fn civil(days: i64) -> (i64, i64, i64) {
    let shifted = days + 719_468;
    let era = shifted.div_euclid(146_097);
    let of_era = shifted.rem_euclid(146_097);
    let years = (of_era - of_era / 1_460 + of_era / 36_524 - of_era / 146_096) / 365;
    let of_year = of_era - (365 * years + years / 4 - years / 100);
    let month = (5 * of_year + 2) / 153;
    let day = of_year - (153 * month + 2) / 5 + 1;
    let month = if month < 10 { month + 3 } else { month - 9 };
    (years + era * 400 + i64::from(month <= 2), month, day)
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn round_trip(text: &str, timestamp: i64) -> i64 {
        let (form, value) = parse(text.as_bytes()).unwrap();
        assert_eq!(TimeForm::from_bytes(form.to_bytes()), Some(form));
        let distance = form.distance(value, timestamp);
        let mut out = Vec::new();
        form.write(distance, timestamp, &mut out).unwrap();
        assert_eq!(out, &text.as_bytes()[..form.len()], "{text} at {timestamp}");
        distance
    }

    #[test]
    fn times_come_back() {
        assert_eq!(round_trip("1970-01-01T00:00:01Z", 1_500_000_000), 0);
        assert_eq!(round_trip("2024-02-29 23:59:59,123", 0), 1_709_251_199_123);
        assert_eq!(round_trip("23:59:59.5", 86_400_000_000_000), -5);
        round_trip("2261-12-31T23:59:59.999999999", i64::MIN);
        round_trip("00:00:00", i64::MAX);
        for none in [
            "2023-02-29 00:00:00",
            "24:00:00",
            "12:0:000",
            "12:00:0/",
            "12;00:00",
            "2024-01-1a 00:00:00",
            "12:60:00",
            "12:00:00:11:22",
            "1969-12-31T00:00:00",
        ] {
            assert_eq!(parse(none.as_bytes()), None, "{none}");
        }
    }

    proptest! {
        #[test]
        fn any_time_comes_back(
            timestamp: i64, date in "(20[0-9]{2}([-/.])(0[1-9]|1[0-2])-(0[1-9]|1[0-9]|2[0-8])[T _])?",
            of_day in "(0[0-9]|1[0-9]|2[0-3]):[0-5][0-9]:[0-5][0-9]([.,][0-9]{1,9})?",
        ) {
            let text = format!("{date}{of_day}");
            if parse(text.as_bytes()).is_some() {
                round_trip(&text, timestamp);
            }
        }
    }
}
