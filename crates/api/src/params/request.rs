//! All parameters of a query at once, read and checked in Loki's order, so that of two mistakes
//! the same one is reported.

use std::time::Duration;

use model::units::parse_prometheus_duration;
use model::{Direction, TimeRange, Timestamp};

use super::{DEFAULT_LIMIT, ParamError, direction, interval, limit, step, timestamp};

/// How far back a request reaches that names no start.
const DEFAULT_SINCE: Duration = Duration::from_secs(3600);

/// The parameters of `query_range` and of everything shaped like it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct RangeParams {
    /// The query's text.
    pub query: String,
    /// From here, inclusive.
    pub start: Timestamp,
    /// To here: exclusive for log queries, inclusive for the steps of metric queries.
    pub end: Timestamp,
    /// Most entries to answer.
    pub limit: u32,
    /// Which entries to answer first.
    pub direction: Direction,
    /// Nanoseconds between two points.
    pub step_ns: i64,
    /// Nanoseconds that must lie between two entries; 0 keeps every entry.
    pub interval_ns: i64,
}

impl RangeParams {
    /// Reads the parameters; `get` answers the value of a name, empty when there is none.
    ///
    /// # Errors
    ///
    /// [`ParamError`] for the first that is wrong.
    pub fn parse<'a>(get: impl Fn(&str) -> &'a str, now: Timestamp) -> Result<Self, ParamError> {
        let query = get("query").to_owned();
        let TimeRange { start, end } = bounds(&get, now)?;
        check_order(start, end)?;
        let limit = limit(get("limit"), DEFAULT_LIMIT)?;
        let direction = direction(get("direction"))?;
        let step_ns = step(get("step"), start, end)?;
        let interval_ns = interval(get("interval"))?;
        Ok(Self { query, start, end, limit, direction, step_ns, interval_ns })
    }
}

/// The parameters of `query`.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct InstantParams {
    /// The query's text.
    pub query: String,
    /// The instant.
    pub time: Timestamp,
    /// Most entries to answer.
    pub limit: u32,
    /// Which entries to answer first.
    pub direction: Direction,
}

impl InstantParams {
    /// Reads the parameters; `get` answers the value of a name, empty when there is none.
    ///
    /// # Errors
    ///
    /// [`ParamError`] for the first that is wrong.
    pub fn parse<'a>(get: impl Fn(&str) -> &'a str, now: Timestamp) -> Result<Self, ParamError> {
        let limit = limit(get("limit"), DEFAULT_LIMIT)?;
        let time = timestamp(get("time"))?.unwrap_or(now);
        let direction = direction(get("direction"))?;
        Ok(Self { query: get("query").to_owned(), time, limit, direction })
    }
}

/// Reads `start`, `end` and `since`. The end defaults to now; the start to `since` (an hour) before
/// the end, or before now when the end lies in the future. The end may lie before the start.
///
/// # Errors
///
/// [`ParamError`] naming the parameter.
pub fn bounds<'a>(get: impl Fn(&str) -> &'a str, now: Timestamp) -> Result<TimeRange, ParamError> {
    let since = match get("since") {
        "" => DEFAULT_SINCE,
        text => {
            let nanos =
                parse_prometheus_duration(text).map_err(|error| ParamError::of("since", &error))?;
            Duration::from_nanos(nanos.unsigned_abs())
        }
    };
    let time = |name: &str| timestamp(get(name)).map_err(|error| ParamError::of(name, &error));
    let end = time("end")?.unwrap_or(now);
    let start = time("start")?.unwrap_or_else(|| end.min(now).minus(since));
    Ok(TimeRange { start, end })
}

fn check_order(start: Timestamp, end: Timestamp) -> Result<(), ParamError> {
    if end < start {
        return Err(ParamError::new("end timestamp must not be before or equal to start time"));
    }
    Ok(())
}
