//! When a metric query is evaluated, and which spans of time its windows are made of.
//!
//! A step at time `t` with range `r` and offset `o` looks at the window `(t-o-r, t-o]`. The edges of
//! all windows cut time into *spans*; every sample lies in at most one span, and every window is a
//! row of whole spans. So samples are added to spans once, and windows are merged from spans.

use model::{TimeRange, Timestamp};

use super::Params;
use super::error::QueryError;

/// More steps than any caller asks for on purpose; bounds memory.
const STEPS_MAX: i64 = 1 << 20;

/// The times at which a metric query is evaluated.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Steps {
    start: i64,
    /// Distance between steps; 1 when there is only one.
    step: i64,
    count: usize,
    instant: bool,
}

impl Steps {
    /// The steps of a query: `start`, `start + step`, … up to and including `end`.
    ///
    /// # Errors
    ///
    /// [`QueryError::Unsupported`] when there are more than about a million.
    pub fn new(params: &Params) -> Result<Self, QueryError> {
        let (start, end) = (params.start.0, params.end.0);
        if params.step_ns <= 0 {
            return Ok(Self { start, step: 1, count: 1, instant: true });
        }
        let count = if end < start {
            0
        } else {
            (end.saturating_sub(start) / params.step_ns).saturating_add(1)
        };
        if count > STEPS_MAX {
            let text = format!("a query over {count} steps; the most is {STEPS_MAX}");
            return Err(QueryError::Unsupported(text));
        }
        Ok(Self { start, step: params.step_ns, count: count as usize, instant: false })
    }

    /// How many steps there are.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count
    }

    /// Whether the query asks for one instant rather than for a range.
    #[must_use]
    pub fn is_instant(&self) -> bool {
        self.instant
    }

    /// The time of a step, rounded down to milliseconds as answers carry it.
    #[must_use]
    pub fn time(&self, step: u32) -> Timestamp {
        let at = self.start.saturating_add(self.step.saturating_mul(i64::from(step)));
        Timestamp::from_millis(Timestamp(at).as_millis())
    }
}

/// The windows of one range aggregation and the spans they are made of.
///
/// Spans are numbered from 0 in time order, at most two for each window. A number may belong to no
/// span of time at all; it is then simply never used.
#[derive(Debug, Clone)]
pub struct Windows {
    /// Start of the first window (exclusive).
    first_start: i64,
    /// End of the first window (inclusive).
    first_end: i64,
    step: i64,
    count: i64,
    range: i64,
    layout: Layout,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Layout {
    /// Starts and ends of windows fall on one lattice: spans are one step long, a window is
    /// `steps` of them.
    Lattice { steps: i64 },
    /// Starts and ends alternate in any way.
    Ragged,
}

impl Windows {
    /// The windows of an aggregation over `range_ns`, shifted back by `offset_ns`.
    #[must_use]
    pub fn new(steps: &Steps, range_ns: i64, offset_ns: i64) -> Self {
        let range = range_ns.max(0);
        let first_end = steps.start.saturating_sub(offset_ns);
        let count = steps.count as i64;
        let lattice = count > 1 && range % steps.step == 0 && range / steps.step < count;
        let layout =
            if lattice { Layout::Lattice { steps: range / steps.step } } else { Layout::Ragged };
        let first_start = first_end.saturating_sub(range);
        Self { first_start, first_end, step: steps.step, count, range, layout }
    }

    /// The length of a window in seconds.
    #[must_use]
    pub fn range_seconds(&self) -> f64 {
        self.range as f64 / 1e9
    }

    /// How many windows there are: one per step.
    #[must_use]
    pub fn count(&self) -> usize {
        self.count as usize
    }

    /// Start (exclusive) and end (inclusive) of a window.
    #[must_use]
    pub fn bounds(&self, window: usize) -> (i64, i64) {
        let shift = self.step.saturating_mul(window as i64);
        (self.first_start.saturating_add(shift), self.first_end.saturating_add(shift))
    }

    /// The time that all windows together cover, gaps included.
    #[must_use]
    pub fn extent(&self) -> TimeRange {
        if self.count == 0 || self.range == 0 {
            return TimeRange::new(Timestamp(0), Timestamp(0));
        }
        let (_, last_end) = self.bounds(self.count() - 1);
        TimeRange::new(
            Timestamp(self.first_start.saturating_add(1)),
            Timestamp(last_end.saturating_add(1)),
        )
    }

    /// The span that holds an instant; `None` when no window does.
    #[must_use]
    pub fn span_of(&self, at: i64) -> Option<Span> {
        let opened = self.starts_before(at);
        let closed = self.ends_before(at);
        if opened <= closed {
            return None;
        }
        Some(match self.layout {
            Layout::Lattice { .. } => {
                let index = steps_up(at, self.first_start, self.step) - 1;
                let start = self.first_start + index * self.step;
                Span { index: index as u32, start, end: start + self.step }
            }
            Layout::Ragged => self.ragged_span(opened, closed),
        })
    }

    /// Whether no window has an edge between two instants: they lie in one span, or both in the
    /// same gap.
    #[must_use]
    pub fn is_uncut(&self, first: i64, last: i64) -> bool {
        self.starts_before(first) == self.starts_before(last)
            && self.ends_before(first) == self.ends_before(last)
    }

    /// The span after `opened` starts and `closed` ends of windows.
    fn ragged_span(&self, opened: i64, closed: i64) -> Span {
        let start_at = |k: i64| self.first_start.saturating_add(k.saturating_mul(self.step));
        let end_at = |k: i64| self.first_end.saturating_add(k.saturating_mul(self.step));
        let mut start = start_at(opened - 1);
        if closed > 0 {
            start = start.max(end_at(closed - 1));
        }
        let mut end = end_at(closed);
        if opened < self.count {
            end = end.min(start_at(opened));
        }
        Span { index: (opened + closed - 1) as u32, start, end }
    }

    /// The numbers of the spans that a window is made of, half open.
    #[must_use]
    pub fn spans_of(&self, window: usize) -> (u32, u32) {
        match self.layout {
            Layout::Lattice { steps } => (window as u32, window as u32 + steps as u32),
            Layout::Ragged => {
                let (start, end) = self.bounds(window);
                let first = self.starts_before(start.saturating_add(1))
                    + self.ends_before(start.saturating_add(1));
                let last = self.starts_before(end) + self.ends_before(end);
                (first as u32 - 1, last as u32)
            }
        }
    }

    /// How many windows start before an instant.
    fn starts_before(&self, at: i64) -> i64 {
        steps_up(at, self.first_start, self.step).clamp(0, self.count)
    }

    /// How many windows end before an instant.
    fn ends_before(&self, at: i64) -> i64 {
        steps_up(at, self.first_end, self.step).clamp(0, self.count)
    }
}

/// How many of `origin`, `origin + step`, … lie before `at`, if the row went on in both directions.
fn steps_up(at: i64, origin: i64, step: i64) -> i64 {
    let distance = at.saturating_sub(origin);
    distance.div_euclid(step) + i64::from(distance.rem_euclid(step) != 0)
}

/// A piece of time that every window covers wholly or not at all.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct Span {
    /// Its number.
    pub index: u32,
    /// Exclusive start.
    pub start: i64,
    /// Inclusive end.
    pub end: i64,
}

impl Span {
    /// Whether an instant lies inside.
    #[must_use]
    #[inline]
    pub fn contains(&self, at: i64) -> bool {
        self.start < at && at <= self.end
    }
}

/// Finds spans of instants that mostly lie near the last one.
#[derive(Debug)]
pub struct SpanCursor<'a> {
    windows: &'a Windows,
    last: Option<Span>,
}

impl<'a> SpanCursor<'a> {
    /// A cursor over the spans of these windows.
    #[must_use]
    pub fn new(windows: &'a Windows) -> Self {
        Self { windows, last: None }
    }

    /// The number of the span that holds an instant; `None` when no window does.
    #[inline]
    pub fn index_of(&mut self, at: i64) -> Option<u32> {
        if let Some(span) = self.last
            && span.contains(at)
        {
            return Some(span.index);
        }
        self.last = self.windows.span_of(at);
        self.last.map(|span| span.index)
    }

    /// Whether the span found last holds an instant.
    #[inline]
    pub fn holds(&self, at: i64) -> bool {
        self.last.is_some_and(|span| span.contains(at))
    }
}

#[cfg(test)]
mod tests {
    use model::Direction;
    use proptest::prelude::*;

    use super::*;

    fn params(start: i64, end: i64, step: i64) -> Params {
        Params {
            start: Timestamp(start),
            end: Timestamp(end),
            step_ns: step,
            interval_ns: 0,
            split_ns: 0,
            direction: Direction::Backward,
            limit: 100,
            categorize: false,
            threads: 1,
            shard: None,
        }
    }

    #[test]
    fn steps_run_from_start_to_end() {
        let steps = Steps::new(&params(10, 35, 10)).unwrap();
        assert_eq!((steps.count(), steps.is_instant()), (3, false));
        let instant = Steps::new(&params(10, 10, 0)).unwrap();
        assert_eq!((instant.count(), instant.is_instant()), (1, true));
        assert_eq!(Steps::new(&params(10, 9, 1)).unwrap().count(), 0);
        assert!(Steps::new(&params(0, i64::MAX, 1)).is_err());
        let millis = Steps::new(&params(1_234_567, 1_234_567, 0)).unwrap();
        assert_eq!(millis.time(0), Timestamp(1_000_000));
    }

    #[test]
    fn windows_are_open_at_their_start() {
        let steps = Steps::new(&params(100, 100, 0)).unwrap();
        let windows = Windows::new(&steps, 60, 0);
        assert_eq!(windows.extent(), TimeRange::new(Timestamp(41), Timestamp(101)));
        assert!(windows.span_of(40).is_none() && windows.span_of(101).is_none());
        assert_eq!(windows.span_of(41), windows.span_of(100));
        assert!(Windows::new(&steps, 0, 0).extent().is_empty());
        let forward = Windows::new(&steps, 60, -10);
        assert_eq!(forward.bounds(0), (50, 110));
    }

    proptest! {
        /// Spans are an exact refinement of windows: an instant's span belongs to exactly the
        /// windows that hold the instant, and all instants of a span agree.
        #[test]
        fn spans_refine_windows(
            start in -50i64..50, count in 1i64..20, step in 1i64..15,
            range in 0i64..80, offset in -20i64..20, at in -200i64..400,
        ) {
            let steps = Steps::new(&params(start, start + (count - 1) * step, step)).unwrap();
            let windows = Windows::new(&steps, range, offset);
            let holding: Vec<usize> = (0..windows.count())
                .filter(|window| {
                    let (start, end) = windows.bounds(*window);
                    start < at && at <= end
                })
                .collect();
            let span = windows.span_of(at);
            prop_assert_eq!(span.is_some(), !holding.is_empty());
            if let Some(span) = span {
                prop_assert!(span.contains(at));
                prop_assert!((span.index as usize) < 2 * windows.count());
                let made: Vec<usize> = (0..windows.count())
                    .filter(|window| {
                        let (first, end) = windows.spans_of(*window);
                        (first..end).contains(&span.index)
                    })
                    .collect();
                prop_assert_eq!(made, holding);
                for other in [span.start + 1, span.end] {
                    prop_assert_eq!(windows.span_of(other), Some(span));
                }
                prop_assert!(windows.is_uncut(span.start + 1, span.end));
                prop_assert!(!windows.is_uncut(span.start, span.end));
                prop_assert!(!windows.is_uncut(span.start + 1, span.end + 1));
                prop_assert_ne!(windows.span_of(span.end + 1), Some(span));
            }
        }
    }
}
