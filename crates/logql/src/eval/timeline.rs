//! The accumulators of one series, span by span, and the windows made from them.
//!
//! Memory follows the spans that have samples: a timeline starts as a list, which is sorted and
//! merged whenever it has doubled, and becomes an array once most spans of a stretch are in use.

use super::accumulate::Accumulator;
use super::control::Account;
use super::error::QueryError;
use super::window::Windows;

/// Accumulators by span.
#[derive(Debug, Clone)]
pub struct Timeline<A>(Form<A>);

#[derive(Debug, Clone)]
enum Form<A> {
    /// Spans in any order, some more than once; merged when there are `merge_at`.
    List { entries: Vec<(u32, A)>, merge_at: usize },
    /// Every span from `first` on.
    Array { first: u32, entries: Vec<A> },
}

/// A list shorter than this is not merged.
const MERGE_AT_LEAST: usize = 32;
/// A list becomes an array when the array would be at most this many times longer.
const ARRAY_SLACK: usize = 4;

impl<A> Default for Timeline<A> {
    fn default() -> Self {
        Self(Form::List { entries: Vec::new(), merge_at: MERGE_AT_LEAST })
    }
}

impl<A: Accumulator> Timeline<A> {
    /// The accumulator of a span, made when there is none.
    ///
    /// # Errors
    ///
    /// What the account answers: the query is out of memory or was cancelled.
    #[inline]
    pub fn at(&mut self, span: u32, account: &mut Account<'_>) -> Result<&mut A, QueryError> {
        if self.has_at_hand(span) {
            return Ok(self.at_hand(span));
        }
        self.make(span, account)?;
        Ok(self.at_hand(span))
    }

    /// Whether [`Timeline::at_hand`] can answer for a span.
    #[inline]
    fn has_at_hand(&self, span: u32) -> bool {
        match &self.0 {
            Form::List { entries, .. } => entries.last().is_some_and(|last| last.0 == span),
            Form::Array { first, entries } => {
                span >= *first && ((span - first) as usize) < entries.len()
            }
        }
    }

    #[inline]
    fn at_hand(&mut self, span: u32) -> &mut A {
        match &mut self.0 {
            Form::List { entries, .. } => {
                let last = entries.len() - 1;
                &mut entries[last].1
            }
            Form::Array { first, entries } => &mut entries[(span - *first) as usize],
        }
    }

    #[cold]
    fn make(&mut self, span: u32, account: &mut Account<'_>) -> Result<(), QueryError> {
        if let Form::List { entries, merge_at } = &self.0
            && entries.len() >= *merge_at
        {
            self.merge_list(account)?;
        }
        match &mut self.0 {
            Form::List { entries, .. } => {
                account.charge(size_of::<(u32, A)>())?;
                entries.push((span, A::default()));
            }
            Form::Array { first, entries } => {
                let grown = reach(first, entries, span);
                account.charge(grown * size_of::<A>())?;
            }
        }
        Ok(())
    }

    /// Sorts and merges a list; makes it an array when that is about as small.
    fn merge_list(&mut self, account: &mut Account<'_>) -> Result<(), QueryError> {
        let Form::List { entries, merge_at } = &mut self.0 else { return Ok(()) };
        let before = entries.len();
        merge_entries(entries);
        account.release((before - entries.len()) * size_of::<(u32, A)>());
        *merge_at = MERGE_AT_LEAST.max(2 * entries.len());
        let (Some(first), Some(last)) = (entries.first(), entries.last()) else { return Ok(()) };
        let (first, width) = (first.0, (last.0 - first.0 + 1) as usize);
        if width <= ARRAY_SLACK * entries.len() {
            account.charge(width * size_of::<A>())?;
            account.release(entries.len() * size_of::<(u32, A)>());
            let mut array = vec![A::default(); width];
            for (span, accumulator) in entries.drain(..) {
                array[(span - first) as usize] = accumulator;
            }
            self.0 = Form::Array { first, entries: array };
        }
        Ok(())
    }

    /// Takes everything that another timeline of the series holds.
    ///
    /// # Errors
    ///
    /// As [`Timeline::at`].
    pub fn merge(&mut self, other: Self, account: &mut Account<'_>) -> Result<(), QueryError> {
        for (span, accumulator) in other.into_entries() {
            self.at(span, account)?.merge(&accumulator);
        }
        Ok(())
    }

    /// The spans that hold something, ascending, each once.
    #[must_use]
    pub fn into_entries(self) -> Vec<(u32, A)> {
        match self.0 {
            Form::List { mut entries, .. } => {
                merge_entries(&mut entries);
                entries
            }
            Form::Array { first, entries } => {
                (first..).zip(entries).filter(|(_, accumulator)| !accumulator.is_empty()).collect()
            }
        }
    }
}

/// Makes an array hold `span`; answers by how many entries it grew.
fn reach<A: Accumulator>(first: &mut u32, entries: &mut Vec<A>, span: u32) -> usize {
    let before = entries.len();
    if span < *first {
        // Grow downwards in large steps, because everything moves.
        let wanted = (*first - span) as usize;
        let added = wanted.max(before / 2).min(*first as usize);
        entries.splice(0..0, std::iter::repeat_n(A::default(), added));
        *first -= added as u32;
    } else {
        let needed = (span - *first) as usize + 1;
        entries.resize(needed.max(before), A::default());
    }
    entries.len() - before
}

fn merge_entries<A: Accumulator>(entries: &mut Vec<(u32, A)>) {
    if !entries.is_sorted_by(|a, b| a.0 < b.0) {
        entries.sort_by_key(|entry| entry.0);
        entries.dedup_by(|later, earlier| {
            let same = later.0 == earlier.0;
            if same {
                earlier.1.merge(&later.1);
            }
            same
        });
    }
}

/// Calls `emit` with the merged content of every window that is not empty, in order.
///
/// Every span is merged a constant number of times, whatever the windows' overlap: the older part
/// of a window is kept as suffixes that were merged once, the newer part as one running merge.
pub fn slide<A: Accumulator>(
    entries: &[(u32, A)],
    windows: &Windows,
    mut emit: impl FnMut(usize, &A),
) {
    let mut older: Vec<(u32, A)> = Vec::new();
    let mut newer = A::default();
    // Entries in `newer` are `entries[newer_start..next]`.
    let (mut newer_start, mut next) = (0, 0);
    for window in 0..windows.count() {
        let (first, end) = windows.spans_of(window);
        while let Some((span, accumulator)) = entries.get(next)
            && *span < end
        {
            newer.merge(accumulator);
            next += 1;
        }
        while older.last().is_some_and(|(span, _)| *span < first) {
            older.pop();
        }
        if older.is_empty() && entries[newer_start..next].first().is_some_and(|e| e.0 < first) {
            newer_start += entries[newer_start..next].partition_point(|entry| entry.0 < first);
            suffixes(&entries[newer_start..next], &mut older);
            newer_start = next;
            newer = A::default();
        }
        match older.last() {
            Some((_, suffix)) => {
                let mut whole = suffix.clone();
                whole.merge(&newer);
                emit(window, &whole);
            }
            None if !newer.is_empty() => emit(window, &newer),
            None => {}
        }
    }
}

/// Pushes the merge of each entry with all after it, last entry first.
fn suffixes<A: Accumulator>(entries: &[(u32, A)], out: &mut Vec<(u32, A)>) {
    for (span, accumulator) in entries.iter().rev() {
        let mut merged = accumulator.clone();
        if let Some((_, later)) = out.last() {
            merged.merge(later);
        }
        out.push((*span, merged));
    }
}

/// Calls `emit` with the merged content of every window that is not empty, merging each window
/// anew: for accumulators that keep all samples.
pub fn gather<A: Accumulator>(
    entries: &[(u32, A)],
    windows: &Windows,
    mut emit: impl FnMut(usize, &mut A),
) {
    let (mut start, mut end) = (0, 0);
    for window in 0..windows.count() {
        let (first, last) = windows.spans_of(window);
        start += entries[start..].partition_point(|entry| entry.0 < first);
        end = end.max(start);
        end += entries[end..].partition_point(|entry| entry.0 < last);
        let mut whole = A::default();
        for (_, accumulator) in &entries[start..end] {
            whole.merge(accumulator);
        }
        if !whole.is_empty() {
            emit(window, &mut whole);
        }
    }
}

#[cfg(test)]
mod tests {
    use model::{Direction, Timestamp};
    use proptest::prelude::*;

    use super::*;
    use crate::eval::Params;
    use crate::eval::accumulate::{Numbers, RowSample, Tally, Tie};
    use crate::eval::control::{Control, Meter};
    use crate::eval::window::Steps;

    fn sample(at: i64, value: f64) -> RowSample {
        RowSample { at, value, tie: Tie::default() }
    }

    proptest! {
        #[test]
        fn timelines_keep_every_sample(
            samples in prop::collection::vec((0u32..300, 1u64..5), 0..400),
            others in prop::collection::vec((0u32..300, 1u64..5), 0..60),
        ) {
            let control = Control::new();
            let mut account = Account::new(Meter::new(&control, 0));
            let mut expected = std::collections::BTreeMap::<u32, u64>::new();
            let mut timeline = Timeline::<Tally>::default();
            let mut other = Timeline::<Tally>::default();
            for (span, sum) in &samples {
                timeline.at(*span, &mut account).unwrap().add_counted(1, *sum);
                *expected.entry(*span).or_default() += sum;
            }
            for (span, sum) in &others {
                other.at(*span, &mut account).unwrap().add_counted(1, *sum);
                *expected.entry(*span).or_default() += sum;
            }
            timeline.merge(other, &mut account).unwrap();
            let found: Vec<(u32, u64)> =
                timeline.into_entries().into_iter().map(|(span, tally)| (span, tally.sum)).collect();
            prop_assert_eq!(found, expected.into_iter().collect::<Vec<_>>());
        }

        #[test]
        fn sliding_and_gathering_equal_counting(
            times in prop::collection::vec(-30i64..150, 0..60),
            count in 1i64..20, step in 1i64..12, range in 0i64..60,
        ) {
            let params = Params {
                start: Timestamp(0), end: Timestamp((count - 1) * step), step_ns: step,
                interval_ns: 0, split_ns: 0, direction: Direction::Forward, limit: 0, categorize: false,
                threads: 1,
                shard: None,
            };
            let windows = Windows::new(&Steps::new(&params).unwrap(), range, 0);
            let control = Control::new();
            let mut account = Account::new(Meter::new(&control, 0));
            let mut tallies = Timeline::<Tally>::default();
            let mut numbers = Timeline::<Numbers>::default();
            for at in &times {
                if let Some(span) = windows.span_of(*at) {
                    let sample = sample(*at, 1.0);
                    tallies.at(span.index, &mut account).unwrap().add(&sample);
                    numbers.at(span.index, &mut account).unwrap().add(&sample);
                }
            }
            let expected: Vec<(usize, u64)> = (0..windows.count())
                .map(|window| {
                    let (start, end) = windows.bounds(window);
                    (window, times.iter().filter(|at| start < **at && **at <= end).count() as u64)
                })
                .filter(|(_, rows)| *rows > 0)
                .collect();
            let mut slid = Vec::new();
            slide(&tallies.into_entries(), &windows, |window, tally| slid.push((window, tally.rows)));
            prop_assert_eq!(&slid, &expected);
            let mut gathered = Vec::new();
            gather(&numbers.into_entries(), &windows, |window, numbers| {
                gathered.push((window, numbers.0.len() as u64));
            });
            prop_assert_eq!(&gathered, &expected);
        }
    }
}
