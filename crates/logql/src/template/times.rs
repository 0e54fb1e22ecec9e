//! Functions on times, and the methods that times have.

use super::format::{month_name, weekday_name};
use super::functions::{Call, Outcome, Type};
use super::go_time::{self, Time, Zone};
use super::value::Value;

/// `now`
pub(super) fn now<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok(Value::Time(Time::from_timestamp(call.data.now())))
}

/// `__timestamp__`
pub(super) fn timestamp<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok(Value::Time(Time::from_timestamp(call.data.timestamp())))
}

/// `date layout v`: anything but a time or seconds counts as now.
pub(super) fn date<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let time = match &call.args[1] {
        Value::Time(time) => time.clone().in_zone(Zone::utc()),
        Value::Int(seconds) | Value::Int64(seconds) => Time::from_unix(*seconds, 0, Zone::utc()),
        _ => Time::from_timestamp(call.data.now()),
    };
    Ok(Value::text(time.format(&String::from_utf8_lossy(call.text(0)))))
}

/// `toDate layout s`: a time that does not parse is the zero time.
pub(super) fn to_date<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let (layout, text) = (call.lossy(0), call.lossy(1));
    Ok(Value::Time(go_time::parse(&layout, &text, &Zone::utc()).unwrap_or_else(Time::zero)))
}

/// `toDateInZone layout zone s`: unknown zones count as UTC.
pub(super) fn to_date_in_zone<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let (layout, zone, text) = (call.lossy(0), call.lossy(1), call.lossy(2));
    let zone = Zone::named(&zone).unwrap_or_else(Zone::utc);
    Ok(Value::Time(go_time::parse(&layout, &text, &zone).unwrap_or_else(Time::zero)))
}

/// `unixEpoch t`
pub(super) fn unix_epoch<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok(Value::text(call.time(0).unix().to_string()))
}

/// `unixEpochMillis t`
pub(super) fn unix_epoch_millis<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok(Value::text(call.time(0).unix_scaled(1_000).to_string()))
}

/// `unixEpochNanos t`
pub(super) fn unix_epoch_nanos<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    Ok(Value::text(call.time(0).unix_scaled(1_000_000_000).to_string()))
}

/// `unixToTime s`: the number of digits says the unit.
pub(super) fn unix_to_time<'a>(call: &Call<'_, 'a>) -> Outcome<'a> {
    let text = call.lossy(0);
    let fault = |reason: String| format!("unable to parse time '{text}': {reason}");
    let number = parse_decimal(&text).map_err(fault)?;
    let (seconds, nanos) = match text.len() {
        5 => (number.saturating_mul(86_400), 0),
        10 => (number, 0),
        13 => (number.div_euclid(1_000), number.rem_euclid(1_000) * 1_000_000),
        16 => (number.div_euclid(1_000_000), number.rem_euclid(1_000_000) * 1_000),
        19 => (number.div_euclid(1_000_000_000), number.rem_euclid(1_000_000_000)),
        _ => return Err(format!("unable to parse time '{text}': %!w(<nil>)")),
    };
    Ok(Value::Time(Time::from_unix(seconds, nanos as u32, Zone::utc())))
}

/// Reads a decimal integer with the faults of Go's `ParseInt`.
fn parse_decimal(text: &str) -> Result<i64, String> {
    let mut quoted = String::new();
    model::label::quote_into(text, &mut quoted);
    let fault = |reason| format!("strconv.ParseInt: parsing {quoted}: {reason}");
    let digits = text.strip_prefix(['+', '-']).unwrap_or(text);
    if digits.is_empty() || !digits.bytes().all(|byte| byte.is_ascii_digit()) {
        return Err(fault("invalid syntax"));
    }
    text.parse().map_err(|_| fault("value out of range"))
}

/// A method of a value: its parameters and what it does.
pub(super) struct Method {
    pub(super) params: &'static [Type],
    pub(super) call: for<'a> fn(&Value<'a>, &[Value<'a>]) -> Value<'a>,
}

/// Finds a method by the Go name.
pub(super) fn method(receiver: &Value<'_>, name: &str) -> Option<Method> {
    let plain = |call| Some(Method { params: &[], call });
    match receiver {
        Value::Time(_) => time_method(name),
        Value::Duration(_) => match name {
            "String" => plain(printed),
            "Seconds" => plain(|value, _| scaled(value, 1e9)),
            "Minutes" => plain(|value, _| scaled(value, 60e9)),
            "Hours" => plain(|value, _| scaled(value, 3600e9)),
            "Milliseconds" => plain(|value, _| divided(value, 1_000_000)),
            "Microseconds" => plain(|value, _| divided(value, 1_000)),
            "Nanoseconds" => plain(|value, _| divided(value, 1)),
            _ => None,
        },
        Value::Month(_) | Value::Weekday(_) if name == "String" => plain(printed),
        _ => None,
    }
}

fn printed<'a>(value: &Value<'a>, _: &[Value<'a>]) -> Value<'a> {
    match value {
        Value::Duration(nanos) => Value::text(model::units::format_go_duration(*nanos)),
        Value::Month(month) => Value::text(month_name(*month)),
        Value::Weekday(day) => Value::text(weekday_name(*day)),
        _ => Value::text(""),
    }
}

fn scaled<'a>(value: &Value<'a>, unit: f64) -> Value<'a> {
    Value::Float(value.as_int().unwrap_or(0) as f64 / unit)
}

fn divided<'a>(value: &Value<'a>, unit: i64) -> Value<'a> {
    Value::Int64(value.as_int().unwrap_or(0) / unit)
}

fn time_of<'v>(value: &'v Value<'_>) -> std::borrow::Cow<'v, Time> {
    match value {
        Value::Time(time) => std::borrow::Cow::Borrowed(time),
        _ => std::borrow::Cow::Owned(Time::zero()),
    }
}

fn time_method(name: &str) -> Option<Method> {
    let plain = |call| Some(Method { params: &[], call });
    let with = |params, call| Some(Method { params, call });
    match name {
        "Format" => with(&[Type::Text], |time, args| match &args[0] {
            Value::Text(layout) => {
                Value::text(time_of(time).format(&String::from_utf8_lossy(layout)))
            }
            _ => Value::Missing,
        }),
        "String" => plain(|time, _| Value::text(time_of(time).to_string())),
        "Unix" => plain(|time, _| Value::Int64(time_of(time).unix())),
        "UnixMilli" => plain(|time, _| Value::Int64(time_of(time).unix_scaled(1_000))),
        "UnixMicro" => plain(|time, _| Value::Int64(time_of(time).unix_scaled(1_000_000))),
        "UnixNano" => plain(|time, _| Value::Int64(time_of(time).unix_scaled(1_000_000_000))),
        "Year" => plain(|time, _| Value::Int(time_of(time).civil().year)),
        "Month" => plain(|time, _| Value::Month(time_of(time).civil().month as u8)),
        "Day" => plain(|time, _| Value::Int(i64::from(time_of(time).civil().day))),
        "Hour" => plain(|time, _| Value::Int(i64::from(time_of(time).civil().hour))),
        "Minute" => plain(|time, _| Value::Int(i64::from(time_of(time).civil().minute))),
        "Second" => plain(|time, _| Value::Int(i64::from(time_of(time).civil().second))),
        "Nanosecond" => plain(|time, _| Value::Int(i64::from(time_of(time).nanos()))),
        "YearDay" => plain(|time, _| Value::Int(i64::from(time_of(time).civil().year_day))),
        "Weekday" => plain(|time, _| Value::Weekday(time_of(time).civil().weekday as u8)),
        "UTC" | "Local" => {
            plain(|time, _| Value::Time(time_of(time).into_owned().in_zone(Zone::utc())))
        }
        "IsZero" => plain(|time, _| Value::Bool(time_of(time).is_zero())),
        "After" => with(&[Type::Time], |time, args| Value::Bool(time_of(time) > time_of(&args[0]))),
        "Before" => {
            with(&[Type::Time], |time, args| Value::Bool(time_of(time) < time_of(&args[0])))
        }
        "Equal" => {
            with(&[Type::Time], |time, args| Value::Bool(time_of(time) == time_of(&args[0])))
        }
        "Add" => with(&[Type::Int], |time, args| {
            Value::Time(time_of(time).plus(args[0].as_int().unwrap_or(0)))
        }),
        "Truncate" => with(&[Type::Int], |time, args| {
            Value::Time(time_of(time).truncated(args[0].as_int().unwrap_or(0)))
        }),
        "Sub" => with(&[Type::Time], |time, args| {
            Value::Duration(time_of(time).since(&time_of(&args[0])))
        }),
        _ => None,
    }
}
