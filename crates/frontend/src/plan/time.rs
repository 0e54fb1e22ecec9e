//! Cutting time.

use model::{TimeRange, Timestamp};

use super::PIECES_MAX;

/// The interval at whose multiples a span is cut: the one asked for, or as many of it as keep the
/// number of pieces in bounds and hold what is `longest`.
pub(super) fn interval(interval_ns: i64, span_ns: i64, longest: i64) -> i64 {
    if interval_ns <= 0 {
        return i64::MAX;
    }
    let wanted = longest.max(span_ns / PIECES_MAX + 1);
    let times = wanted.saturating_add(interval_ns - 1) / interval_ns;
    interval_ns.saturating_mul(times.max(1))
}

/// The first multiple of an interval after an instant.
pub(super) fn boundary_after(at: i64, interval_ns: i64) -> i64 {
    at.div_euclid(interval_ns).saturating_add(1).saturating_mul(interval_ns)
}

/// The steps `start, start + step, …` up to `end`, cut at multiples of an interval: first and last
/// step of each piece.
pub(super) fn steps(start: i64, end: i64, step: i64, interval_ns: i64) -> Vec<(i64, i64)> {
    let mut pieces = Vec::new();
    let mut first = start;
    while first <= end {
        let before = boundary_after(first, interval_ns).saturating_sub(1).min(end);
        let last = first + (before - first) / step * step;
        pieces.push((first, last));
        let Some(next) = last.checked_add(step) else { break };
        first = next;
    }
    pieces
}

/// A half-open range, cut at multiples of an interval.
pub(super) fn ranges(range: TimeRange, interval_ns: i64) -> Vec<TimeRange> {
    let mut pieces = Vec::new();
    let mut start = range.start.0;
    while start < range.end.0 {
        let end = boundary_after(start, interval_ns).min(range.end.0);
        pieces.push(TimeRange::new(Timestamp(start), Timestamp(end)));
        start = end;
    }
    pieces
}

/// A window `(start, end]`, cut so that pieces end at multiples of an interval.
pub(super) fn windows(start: i64, end: i64, interval_ns: i64) -> Vec<(i64, i64)> {
    let mut pieces = Vec::new();
    let mut from = start;
    while from < end {
        let to = boundary_after(from, interval_ns).min(end);
        pieces.push((from, to));
        from = to;
    }
    pieces
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn steps_are_cut_at_multiples() {
        assert_eq!(steps(7, 40, 5, 10), [(7, 7), (12, 17), (22, 27), (32, 37)]);
        assert_eq!(steps(10, 30, 5, 10), [(10, 15), (20, 25), (30, 30)]);
        assert_eq!(steps(-12, 3, 5, 10), [(-12, -12), (-7, -2), (3, 3)]);
        assert_eq!(steps(0, 100, 30, i64::MAX), [(0, 90)]);
        assert_eq!(steps(5, 4, 1, 10), []);
    }

    #[test]
    fn spans_are_cut_at_multiples() {
        let bounds = |range: TimeRange| (range.start.0, range.end.0);
        let cut = |start, end| -> Vec<(i64, i64)> {
            let range = TimeRange::new(Timestamp(start), Timestamp(end));
            ranges(range, 10).into_iter().map(bounds).collect()
        };
        assert_eq!(cut(3, 25), [(3, 10), (10, 20), (20, 25)]);
        assert_eq!(cut(10, 20), [(10, 20)]);
        assert_eq!(cut(20, 20), []);
        assert_eq!(windows(3, 25, 10), [(3, 10), (10, 20), (20, 25)]);
    }

    #[test]
    fn intervals_grow_with_what_is_asked() {
        assert_eq!(interval(10, 100, 0), 10);
        assert_eq!(interval(10, 100, 25), 30);
        assert_eq!(interval(10, 102_400, 0), 110);
        assert_eq!(interval(0, 100, 25), i64::MAX);
    }
}
