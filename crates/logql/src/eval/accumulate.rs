//! What a range aggregation keeps of the samples in one span of time.
//!
//! Accumulators take samples one by one and merge with others of the same series, so that rows can
//! be read in any order, on several threads, and windows can be put together from spans. Where the
//! order of samples matters the accumulator keeps what it needs to tell it.

use std::cmp::Ordering;

/// One number made from one row.
#[derive(Debug, Clone, Copy)]
pub struct RowSample {
    /// When, in nanoseconds.
    pub at: i64,
    /// The number.
    pub value: f64,
    /// Order among samples of equal time.
    pub tie: Tie,
}

/// Orders rows of equal time: by stream, then by arrival.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct Tie {
    /// The stream's fingerprint.
    pub stream: u64,
    /// The piece's rank.
    pub rank: u64,
    /// The row in the piece.
    pub row: u32,
}

/// Something that takes samples and merges. The default is empty.
pub trait Accumulator: Clone + Default + Send + Sync {
    /// Bytes that every sample adds beyond the value itself.
    const BYTES_PER_SAMPLE: usize = 0;

    /// Takes one sample.
    fn add(&mut self, sample: &RowSample);
    /// Takes what another one took, which lies at a later time or in the same span.
    fn merge(&mut self, other: &Self);
    /// Whether nothing was taken.
    fn is_empty(&self) -> bool;

    /// Takes rows that the source has counted. Only a [`Tally`] is ever given some.
    fn add_counted(&mut self, _rows: u64, _bytes: u64) {
        debug_assert!(false, "counted rows have no values");
    }
}

/// A whole number: rows, or bytes of lines. Every row must count at least nothing, so presence is
/// kept apart from the sum.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
pub struct Tally {
    /// How many rows.
    pub rows: u64,
    /// Their sum.
    pub sum: u64,
}

impl Accumulator for Tally {
    fn add(&mut self, sample: &RowSample) {
        self.rows += 1;
        self.sum += sample.value as u64;
    }

    fn merge(&mut self, other: &Self) {
        self.rows += other.rows;
        self.sum += other.sum;
    }

    fn is_empty(&self) -> bool {
        self.rows == 0
    }

    fn add_counted(&mut self, rows: u64, bytes: u64) {
        self.rows += rows;
        self.sum += bytes;
    }
}

/// A sum of numbers.
#[derive(Debug, Clone, Copy, Default)]
pub struct Sum {
    count: u64,
    /// The sum.
    pub sum: f64,
}

impl Accumulator for Sum {
    fn add(&mut self, sample: &RowSample) {
        self.count += 1;
        self.sum += sample.value;
    }

    fn merge(&mut self, other: &Self) {
        self.count += other.count;
        self.sum += other.sum;
    }

    fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// The smallest and the largest number; not a number only if all are not.
#[derive(Debug, Clone, Copy, Default)]
pub struct Extremes {
    count: u64,
    /// The smallest.
    pub min: f64,
    /// The largest.
    pub max: f64,
}

impl Extremes {
    fn take(&mut self, min: f64, max: f64) {
        if self.count == 0 || min < self.min || self.min.is_nan() {
            self.min = min;
        }
        if self.count == 0 || max > self.max || self.max.is_nan() {
            self.max = max;
        }
    }
}

impl Accumulator for Extremes {
    fn add(&mut self, sample: &RowSample) {
        self.take(sample.value, sample.value);
        self.count += 1;
    }

    fn merge(&mut self, other: &Self) {
        if other.count > 0 {
            self.take(other.min, other.max);
            self.count += other.count;
        }
    }

    fn is_empty(&self) -> bool {
        self.count == 0
    }
}

/// A running mean. Once it is infinite, finite numbers and infinities of its sign leave it.
#[derive(Debug, Clone, Copy, Default)]
pub struct Mean {
    /// How many numbers.
    pub count: f64,
    /// Their mean.
    pub mean: f64,
}

impl Mean {
    /// Takes `count` numbers whose mean is `mean`.
    pub fn take(&mut self, mean: f64, count: f64) {
        let total = self.count + count;
        if self.count == 0.0 {
            self.mean = mean;
        } else if !(self.mean.is_infinite() && (mean.is_finite() || mean == self.mean)) {
            self.mean = if mean.is_infinite() && self.mean.is_finite() {
                mean
            } else {
                self.mean * (self.count / total) + mean * (count / total)
            };
        }
        self.count = total;
    }
}

impl Accumulator for Mean {
    fn add(&mut self, sample: &RowSample) {
        self.take(sample.value, 1.0);
    }

    fn merge(&mut self, other: &Self) {
        if other.count > 0.0 {
            self.take(other.mean, other.count);
        }
    }

    fn is_empty(&self) -> bool {
        self.count == 0.0
    }
}

/// Mean and squared deviations, after Welford and Chan.
#[derive(Debug, Clone, Copy, Default)]
pub struct Spread {
    count: f64,
    mean: f64,
    squares: f64,
}

impl Spread {
    /// Takes one number.
    pub fn take(&mut self, value: f64) {
        self.count += 1.0;
        let delta = value - self.mean;
        self.mean += delta / self.count;
        self.squares += delta * (value - self.mean);
    }

    /// The population variance.
    #[must_use]
    pub fn variance(&self) -> f64 {
        self.squares / self.count
    }
}

impl Accumulator for Spread {
    fn add(&mut self, sample: &RowSample) {
        self.take(sample.value);
    }

    fn merge(&mut self, other: &Self) {
        if other.count == 0.0 {
            return;
        }
        if self.count == 0.0 {
            *self = *other;
            return;
        }
        let total = self.count + other.count;
        let delta = other.mean - self.mean;
        self.squares += other.squares + delta * delta * self.count * other.count / total;
        self.mean += delta * other.count / total;
        self.count = total;
    }

    fn is_empty(&self) -> bool {
        self.count == 0.0
    }
}

/// The earliest and the latest sample.
#[derive(Debug, Clone, Copy, Default)]
pub struct Ends(Option<(RowSample, RowSample)>);

impl Ends {
    /// The value of the earliest sample.
    #[must_use]
    pub fn first(&self) -> f64 {
        self.0.map_or(0.0, |(first, _)| first.value)
    }

    /// The value of the latest sample.
    #[must_use]
    pub fn last(&self) -> f64 {
        self.0.map_or(0.0, |(_, last)| last.value)
    }
}

impl Accumulator for Ends {
    fn add(&mut self, sample: &RowSample) {
        match &mut self.0 {
            None => self.0 = Some((*sample, *sample)),
            Some((first, last)) => {
                if by_time(sample, first).is_lt() {
                    *first = *sample;
                }
                if by_time(sample, last).is_gt() {
                    *last = *sample;
                }
            }
        }
    }

    fn merge(&mut self, other: &Self) {
        if let Some((first, last)) = &other.0 {
            self.add(first);
            self.add(last);
        }
    }

    fn is_empty(&self) -> bool {
        self.0.is_none()
    }
}

/// Every number, for quantiles.
#[derive(Debug, Clone, Default)]
pub struct Numbers(
    /// In any order.
    pub Vec<f64>,
);

impl Accumulator for Numbers {
    const BYTES_PER_SAMPLE: usize = size_of::<f64>();

    fn add(&mut self, sample: &RowSample) {
        self.0.push(sample.value);
    }

    fn merge(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

/// Every sample, for rates of counters.
#[derive(Debug, Clone, Default)]
pub struct Samples(
    /// In any order.
    pub Vec<RowSample>,
);

impl Samples {
    /// Puts the samples in order of time.
    pub fn sort(&mut self) {
        self.0.sort_by(by_time);
    }
}

impl Accumulator for Samples {
    const BYTES_PER_SAMPLE: usize = size_of::<RowSample>();

    fn add(&mut self, sample: &RowSample) {
        self.0.push(*sample);
    }

    fn merge(&mut self, other: &Self) {
        self.0.extend_from_slice(&other.0);
    }

    fn is_empty(&self) -> bool {
        self.0.is_empty()
    }
}

fn by_time(a: &RowSample, b: &RowSample) -> Ordering {
    a.at.cmp(&b.at).then_with(|| a.tie.cmp(&b.tie))
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    fn sample(at: i64, value: f64) -> RowSample {
        RowSample { at, value, tie: Tie::default() }
    }

    fn taken<A: Accumulator>(values: &[f64]) -> A {
        let mut accumulator = A::default();
        for (at, value) in values.iter().enumerate() {
            accumulator.add(&sample(at as i64, *value));
        }
        accumulator
    }

    #[test]
    fn means_stay_infinite() {
        let check = |values: &[f64], expected: f64| {
            let mean = taken::<Mean>(values).mean;
            assert!(mean == expected || mean.is_nan() && expected.is_nan(), "{values:?}: {mean}");
        };
        check(&[1.0, 2.0, 6.0], 3.0);
        check(&[f64::INFINITY, 1.0, f64::INFINITY], f64::INFINITY);
        check(&[1.0, f64::NEG_INFINITY, 7.0], f64::NEG_INFINITY);
        check(&[f64::INFINITY, f64::NEG_INFINITY], f64::NAN);
        check(&[1.0, f64::NAN, 2.0], f64::NAN);
        check(&[f64::MAX, f64::MAX], f64::MAX);
    }

    #[test]
    fn extremes_ignore_what_is_not_a_number() {
        let check = |values: &[f64], min: f64, max: f64| {
            let extremes = taken::<Extremes>(values);
            assert_eq!((extremes.min, extremes.max), (min, max), "{values:?}");
        };
        check(&[f64::NAN, 2.0, 1.0, f64::NAN], 1.0, 2.0);
        check(&[0.0], 0.0, 0.0);
        assert!(taken::<Extremes>(&[f64::NAN]).min.is_nan());
    }

    #[test]
    fn ends_tell_arrival_order() {
        let mut ends = Ends::default();
        for (row, value) in [(2, 5.0), (1, 6.0), (3, 7.0)] {
            ends.add(&RowSample { at: 9, value, tie: Tie { row, ..Tie::default() } });
        }
        assert_eq!((ends.first(), ends.last()), (6.0, 7.0));
    }

    proptest! {
        #[test]
        fn merging_equals_adding(
            values in prop::collection::vec(-1e6f64..1e6, 1..40), cut in 0usize..40,
        ) {
            let cut = cut.min(values.len());
            fn merged<A: Accumulator>(values: &[f64], cut: usize) -> A {
                let mut left: A = taken(&values[..cut]);
                let mut right = A::default();
                for (at, value) in values.iter().enumerate().skip(cut) {
                    right.add(&sample(at as i64, *value));
                }
                left.merge(&right);
                left
            }
            let near = |a: f64, b: f64| (a - b).abs() <= 1e-9 * (1.0 + a.abs().max(b.abs()));
            prop_assert!(near(merged::<Sum>(&values, cut).sum, taken::<Sum>(&values).sum));
            prop_assert!(near(merged::<Mean>(&values, cut).mean, taken::<Mean>(&values).mean));
            let (a, b) = (merged::<Spread>(&values, cut), taken::<Spread>(&values));
            prop_assert!((a.variance() - b.variance()).abs() <= 1e-6 * (1.0 + b.variance()));
            let (a, b) = (merged::<Extremes>(&values, cut), taken::<Extremes>(&values));
            prop_assert_eq!((a.min, a.max), (b.min, b.max));
            let (a, b) = (merged::<Ends>(&values, cut), taken::<Ends>(&values));
            prop_assert_eq!((a.first(), a.last()), (b.first(), b.last()));
            prop_assert_eq!(merged::<Numbers>(&values, cut).0, values);
        }
    }
}
