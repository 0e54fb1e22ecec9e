//! Printing values as Go's `%v` does.

use std::fmt::Write as _;

use model::units::format_go_duration;

use super::Data;
use super::value::Value;

/// Names of the months.
pub(super) const MONTHS: [&str; 12] = [
    "January",
    "February",
    "March",
    "April",
    "May",
    "June",
    "July",
    "August",
    "September",
    "October",
    "November",
    "December",
];
/// Names of the days of the week.
pub(super) const WEEKDAYS: [&str; 7] =
    ["Sunday", "Monday", "Tuesday", "Wednesday", "Thursday", "Friday", "Saturday"];

/// Appends a value as an action prints it.
pub(super) fn print(value: &Value<'_>, data: &dyn Data, out: &mut Vec<u8>) {
    match value {
        Value::Missing => out.extend_from_slice(b"<no value>"),
        value => append(value, data, out),
    }
}

/// Appends a value as it looks inside another.
pub(super) fn append(value: &Value<'_>, data: &dyn Data, out: &mut Vec<u8>) {
    match value {
        Value::Missing | Value::Nil => out.extend_from_slice(b"<nil>"),
        Value::Bool(value) => out.extend_from_slice(if *value { b"true" } else { b"false" }),
        Value::Int(value) | Value::Int64(value) => append_display(value, out),
        Value::Byte(value) => append_display(value, out),
        Value::Float(value) => out.extend_from_slice(shortest(*value).as_bytes()),
        Value::Imaginary(value) => append_display(&format!("(0+{}i)", shortest(*value)), out),
        Value::Text(text) => out.extend_from_slice(text),
        Value::Time(time) => append_display(&time.to_string(), out),
        Value::Duration(nanos) => append_display(&format_go_duration(*nanos), out),
        Value::Month(month) => append_display(&month_name(*month), out),
        Value::Weekday(day) => append_display(&weekday_name(*day), out),
        Value::Labels => {
            out.extend_from_slice(b"map[");
            for (at, (name, value)) in data.labels().iter().enumerate() {
                out.extend_from_slice(if at > 0 { b" " } else { b"" });
                out.extend_from_slice(name.as_bytes());
                out.push(b':');
                out.extend_from_slice(value);
            }
            out.push(b']');
        }
        Value::List(values) => {
            out.push(b'[');
            for (at, value) in values.iter().enumerate() {
                out.extend_from_slice(if at > 0 { b" " } else { b"" });
                append(value, data, out);
            }
            out.push(b']');
        }
        Value::Map(members) => {
            out.extend_from_slice(b"map[");
            for (at, (name, value)) in members.iter().enumerate() {
                out.extend_from_slice(if at > 0 { b" " } else { b"" });
                out.extend_from_slice(name.as_bytes());
                out.push(b':');
                append(value, data, out);
            }
            out.push(b']');
        }
    }
}

/// The name of a month from 1 to 12.
pub(super) fn month_name(month: u8) -> String {
    let name = MONTHS.get(usize::from(month).wrapping_sub(1));
    name.map_or_else(|| format!("%!Month({month})"), |name| (*name).to_owned())
}

/// The name of a day from 0 to 6.
pub(super) fn weekday_name(day: u8) -> String {
    let name = WEEKDAYS.get(usize::from(day));
    name.map_or_else(|| format!("%!Weekday({day})"), |name| (*name).to_owned())
}

/// Appends anything that prints as text.
pub(super) fn append_display(value: &impl std::fmt::Display, out: &mut Vec<u8>) {
    let mut text = String::new();
    let _ = write!(text, "{value}");
    out.extend_from_slice(text.as_bytes());
}

/// A float with the fewest digits that read back as itself, scientific when its decimal exponent
/// is below -4 or above 5.
pub(super) fn shortest(value: f64) -> String {
    if let Some(word) = special(value) {
        return word.to_owned();
    }
    let scientific = scientific_digits(value);
    if scientific.1 < -4 || scientific.1 >= 6 {
        return with_exponent(&scientific.0, scientific.1, value.is_sign_negative(), 'e');
    }
    format!("{value}")
}

/// `NaN`, `+Inf` or `-Inf`.
pub(super) fn special(value: f64) -> Option<&'static str> {
    if value.is_nan() {
        return Some("NaN");
    }
    value.is_infinite().then_some(if value > 0.0 { "+Inf" } else { "-Inf" })
}

/// The shortest digits of a finite float, and its decimal exponent.
pub(super) fn scientific_digits(value: f64) -> (String, i32) {
    let text = format!("{:e}", value.abs());
    let (digits, exponent) = text.split_once('e').unwrap_or((&text, "0"));
    (digits.replace('.', ""), exponent.parse().unwrap_or(0))
}

/// Digits in scientific notation, with an exponent of at least two digits.
pub(super) fn with_exponent(digits: &str, exponent: i32, is_negative: bool, e: char) -> String {
    let sign = if is_negative { "-" } else { "" };
    let (first, rest) = digits.split_at(1.min(digits.len()));
    let point = if rest.is_empty() { "" } else { "." };
    let exponent_sign = if exponent < 0 { '-' } else { '+' };
    format!("{sign}{first}{point}{rest}{e}{exponent_sign}{:02}", exponent.unsigned_abs())
}
