//! Parameters of query requests, and the words in which they are refused.
//!
//! The texts are those of Go's `strconv` and of Loki, because clients show them and tests match on
//! them. A missing parameter and an empty one are the same. Nothing here knows the tenant's limits.

use model::label::quote_into;
use model::units::parse_prometheus_duration;
use model::{Direction, ErrorKind, Timestamp};

pub use crate::rfc3339::parse as parse_rfc3339;

mod request;
#[cfg(test)]
mod tests;

pub use request::{InstantParams, RangeParams, bounds};

/// Entries a log query answers when it does not say.
pub const DEFAULT_LIMIT: u32 = 100;
/// Fields that detected fields answer when the request does not say.
pub const DEFAULT_FIELD_LIMIT: u32 = 1000;
/// Most steps of a range.
pub const POINTS_MAX: i64 = 11_000;
/// Longest delay of a tail, in seconds.
pub const TAIL_DELAY_SECONDS_MAX: u32 = 5;

const SECOND_NS: f64 = 1e9;

/// A parameter was refused: HTTP 400 with this text.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[error("{0}")]
pub struct ParamError(pub String);

impl ParamError {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Invalid
    }

    fn new(text: impl Into<String>) -> Self {
        Self(text.into())
    }

    fn of(name: &str, error: &impl std::fmt::Display) -> Self {
        Self(format!("could not parse '{name}' parameter: {error}"))
    }
}

/// Reads a time: unix seconds with a fraction, whole seconds (up to ten characters), whole
/// nanoseconds, or RFC 3339. Fractions are rounded to milliseconds. Empty text is `None`.
///
/// # Errors
///
/// [`ParamError`] as Go's `strconv.ParseInt` words it.
pub fn timestamp(value: &str) -> Result<Option<Timestamp>, ParamError> {
    if value.is_empty() {
        return Ok(None);
    }
    if value.contains('.')
        && let Ok(seconds) = value.parse::<f64>()
    {
        let millis = (seconds.fract() * 1000.0).round() / 1000.0;
        let whole = Timestamp::from_seconds(seconds.trunc() as i64);
        return Ok(Some(Timestamp(whole.0.saturating_add((millis * SECOND_NS) as i64))));
    }
    match integer(value, "ParseInt") {
        Ok(seconds) if value.len() <= 10 => Ok(Some(Timestamp::from_seconds(seconds))),
        Ok(nanos) => Ok(Some(Timestamp(nanos))),
        Err(error) => parse_rfc3339(value).map(Some).ok_or(error),
    }
}

/// Reads a positive number of entries, lines or fields; empty text is the default.
///
/// # Errors
///
/// [`ParamError`] when it is not a number, not positive, or beyond 32 bits.
pub fn limit(value: &str, default: u32) -> Result<u32, ParamError> {
    if value.is_empty() {
        return Ok(default);
    }
    let number = integer(value, "Atoi")?;
    match u32::try_from(number) {
        Ok(limit) if limit > 0 => Ok(limit),
        _ => Err(ParamError::new("limit must be a positive value")),
    }
}

/// Reads the limit of volumes, where 0 stands for the default.
///
/// # Errors
///
/// As [`limit`].
pub fn volume_limit(value: &str) -> Result<u32, ParamError> {
    if !value.is_empty() && integer(value, "Atoi")? == 0 {
        return Ok(DEFAULT_LIMIT);
    }
    limit(value, DEFAULT_LIMIT)
}

/// Reads `forward` or `backward` in any case; empty text is backward.
///
/// # Errors
///
/// [`ParamError`] for any other text.
pub fn direction(value: &str) -> Result<Direction, ParamError> {
    match value.to_ascii_lowercase().as_str() {
        "" | "backward" => Ok(Direction::Backward),
        "forward" => Ok(Direction::Forward),
        _ => Err(ParamError(format!("invalid direction '{value}'"))),
    }
}

/// Reads a span as seconds with or without a fraction, or in Prometheus' notation; answers
/// nanoseconds.
///
/// # Errors
///
/// [`ParamError`] when it is neither, or beyond 64 bits of nanoseconds.
pub fn seconds_or_duration(value: &str) -> Result<i64, ParamError> {
    let mut quoted = String::new();
    quote_into(value, &mut quoted);
    if let Ok(seconds) = value.parse::<f64>() {
        let nanos = seconds * SECOND_NS;
        if nanos > i64::MAX as f64 || nanos < i64::MIN as f64 {
            return Err(ParamError(format!(
                "cannot parse {quoted} to a valid duration. It overflows int64"
            )));
        }
        // Not a number becomes the smallest span, which every caller refuses as negative.
        return Ok(if nanos.is_nan() { i64::MIN } else { nanos as i64 });
    }
    parse_prometheus_duration(value)
        .map_err(|_| ParamError(format!("cannot parse {quoted} to a valid duration")))
}

/// Reads the step of a range; empty text is a 250th of the range in whole seconds, at least one.
/// Answers nanoseconds, in whole milliseconds.
///
/// # Errors
///
/// [`ParamError`] when it does not parse, is not positive, or cuts the range into more than
/// [`POINTS_MAX`] steps.
pub fn step(value: &str, start: Timestamp, end: Timestamp) -> Result<i64, ParamError> {
    let span = end.0.saturating_sub(start.0);
    let step = if value.is_empty() {
        ((span as f64 / SECOND_NS / 250.0).floor().max(1.0) * SECOND_NS) as i64
    } else {
        seconds_or_duration(value)?
    };
    if step <= 0 {
        return Err(ParamError::new(
            "zero or negative query resolution step widths are not accepted. Try a positive integer",
        ));
    }
    if span / step > POINTS_MAX {
        return Err(ParamError::new(
            "exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter",
        ));
    }
    Ok((step / 1_000_000).max(1) * 1_000_000)
}

/// Reads the interval of a log query; empty text is 0, which keeps every entry. Answers
/// nanoseconds.
///
/// # Errors
///
/// [`ParamError`] when it does not parse or is negative.
pub fn interval(value: &str) -> Result<i64, ParamError> {
    let interval = if value.is_empty() { 0 } else { seconds_or_duration(value)? };
    if interval < 0 {
        return Err(ParamError::new("interval must be >= 0"));
    }
    Ok(interval)
}

/// Reads the delay of a tail in seconds; empty text is 0.
///
/// # Errors
///
/// [`ParamError`] when it is not a number or above [`TAIL_DELAY_SECONDS_MAX`].
pub fn tail_delay(value: &str) -> Result<u32, ParamError> {
    if value.is_empty() {
        return Ok(0);
    }
    // Negative delays wrap around in Loki, and are refused as too long.
    match u32::try_from(integer(value, "Atoi")?) {
        Ok(delay) if delay <= TAIL_DELAY_SECONDS_MAX => Ok(delay),
        _ => Err(ParamError(format!("delay_for can't be greater than {TAIL_DELAY_SECONDS_MAX}"))),
    }
}

/// How volumes are added up.
#[derive(Debug, Clone, Copy, PartialEq, Eq, Default)]
pub enum AggregateBy {
    /// One row for every combination of label values.
    #[default]
    Series,
    /// One row for every label name.
    Labels,
}

/// Reads `series` or `labels`; empty text is `series`.
///
/// # Errors
///
/// [`ParamError`] for any other text.
pub fn aggregate_by(value: &str) -> Result<AggregateBy, ParamError> {
    match value {
        "" | "series" => Ok(AggregateBy::Series),
        "labels" => Ok(AggregateBy::Labels),
        _ => Err(ParamError::new("invalid aggregation option")),
    }
}

/// Reads label names separated by commas; empty names are left out.
#[must_use]
pub fn target_labels(value: &str) -> Vec<String> {
    value.split(',').map(str::trim).filter(|name| !name.is_empty()).map(str::to_owned).collect()
}

/// Reads a whole number as Go's `strconv` function of that name does.
fn integer(value: &str, function: &str) -> Result<i64, ParamError> {
    let refuse = |why: &str| {
        let mut text = format!("strconv.{function}: parsing ");
        quote_into(value, &mut text);
        Err(ParamError(format!("{text}: {why}")))
    };
    match value.parse() {
        Ok(number) => Ok(number),
        Err(error) => match error.kind() {
            std::num::IntErrorKind::PosOverflow | std::num::IntErrorKind::NegOverflow => {
                refuse("value out of range")
            }
            _ => refuse("invalid syntax"),
        },
    }
}
