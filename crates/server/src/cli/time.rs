//! The time range of a command.

use std::time::Duration;

use clap::Args;
use model::Timestamp;
use model::units::parse_config_duration;
use runtime::clock::{Clock, SystemClock};

use super::Failure;

/// From when to when.
#[derive(Debug, Clone, Args)]
#[command(next_help_heading = "Time")]
pub struct Range {
    /// How far back to look
    #[arg(long, default_value = "1h", value_parser = duration)]
    pub since: Duration,
    /// First time (RFC 3339, such as 2026-11-19T10:00:00Z); overrides --since
    #[arg(long, value_parser = instant)]
    pub from: Option<Timestamp>,
    /// Time to end before (RFC 3339); now otherwise
    #[arg(long, value_parser = instant)]
    pub to: Option<Timestamp>,
}

impl Range {
    /// First time, and the time to end before.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the range is empty.
    pub fn resolve(&self) -> Result<(Timestamp, Timestamp), Failure> {
        let end = self.to.unwrap_or_else(|| SystemClock.now());
        let start = self.from.unwrap_or_else(|| end.minus(self.since));
        if start >= end {
            return Err(Failure::Told(format!("nothing lies between {start} and {end}")));
        }
        Ok((start, end))
    }

    /// The range as parameters of a request.
    ///
    /// # Errors
    ///
    /// [`Failure`] when the range is empty.
    pub fn params(&self) -> Result<Vec<(&'static str, String)>, Failure> {
        let (start, end) = self.resolve()?;
        Ok(vec![("start", start.0.to_string()), ("end", end.0.to_string())])
    }
}

/// A duration as configuration writes it.
pub fn duration(text: &str) -> Result<Duration, String> {
    parse_config_duration(text).map_err(|error| error.to_string())
}

/// A time in RFC 3339.
pub fn instant(text: &str) -> Result<Timestamp, String> {
    let parsed: jiff::Timestamp =
        text.parse().map_err(|_| "write it like 2026-11-19T10:00:00Z".to_owned())?;
    i64::try_from(parsed.as_nanosecond())
        .map(Timestamp)
        .map_err(|_| "the time is too far away".to_owned())
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn ranges_end_before_their_end() {
        let range = Range {
            since: Duration::from_secs(60),
            from: None,
            to: Some(Timestamp::from_seconds(100)),
        };
        let (start, end) = range.resolve().unwrap();
        assert_eq!((start, end), (Timestamp::from_seconds(40), Timestamp::from_seconds(100)));
        let empty = Range { from: Some(end), ..range };
        assert!(empty.resolve().is_err());
    }

    #[test]
    fn times_are_rfc_3339() {
        assert_eq!(instant("1970-01-01T00:00:01.5Z"), Ok(Timestamp(1_500_000_000)));
        assert!(instant("yesterday").is_err());
    }
}
