//! Which segments are merged next.
//!
//! Small to large: the flushes of a window are merged once it is closed, or as soon as too many
//! have piled up; what is still small when the day is over is merged once more. A segment of half
//! the wanted size is never touched again, so a row is written about three times in its life.

use std::collections::BTreeMap;
use std::sync::Arc;
use std::time::Duration;

use model::Timestamp;
use model::time::DAY_NS;
use store::StoredSegment;

use crate::config::Config;

/// Inputs of one merge.
const INPUTS_MAX: usize = 32;
/// Bytes of memory that the inputs of one merge may take, about; see [`open_bytes`].
const OPEN_BYTES_MAX: u64 = 96 << 20;
/// What a block takes that stands decoded: 4 MiB of lines, their times, lengths and metadata, and
/// what was fetched with it.
const BLOCK_BYTES: u64 = 8 << 20;
/// A stored byte is less than so many decoded ones.
const DECODED_PART: u64 = 16;
/// From so many inputs on a merge is worth its while even if it mostly rewrites the largest.
const INPUTS_WORTHWHILE: usize = 8;

/// Segments of one tenant and day that become one.
pub(crate) type Inputs = Vec<Arc<StoredSegment>>;

/// The merges that are due for the live segments of one tenant.
pub(crate) fn plan(
    segments: &[Arc<StoredSegment>],
    now: Timestamp,
    config: &Config,
) -> Vec<Inputs> {
    let mut days: BTreeMap<i32, Vec<Arc<StoredSegment>>> = BTreeMap::new();
    for segment in segments.iter().filter(|segment| segment.bytes < config.target_bytes / 2) {
        days.entry(segment.name.day()).or_default().push(Arc::clone(segment));
    }
    // The newest first: they are queried most.
    days.into_iter().rev().flat_map(|(day, small)| plan_day(day, small, now, config)).collect()
}

fn plan_day(day: i32, small: Inputs, now: Timestamp, config: &Config) -> Vec<Inputs> {
    let day_end = Timestamp((i64::from(day) + 1).saturating_mul(DAY_NS));
    if is_over(day_end, config.day_delay, now) {
        return cut(small, config);
    }
    let window_ns = i64::try_from(config.window.as_nanos()).unwrap_or(DAY_NS).clamp(1, DAY_NS);
    let mut windows: BTreeMap<i64, Inputs> = BTreeMap::new();
    for segment in small {
        let window = segment.name.first().0.div_euclid(window_ns);
        windows.entry(window).or_default().push(segment);
    }
    let mut merges = Vec::new();
    for (window, segments) in windows {
        let end = Timestamp((window + 1).saturating_mul(window_ns));
        if is_over(end, config.window_delay, now) {
            merges.extend(cut(segments, config));
            continue;
        }
        let mut levels: BTreeMap<u8, Inputs> = BTreeMap::new();
        for segment in segments {
            levels.entry(segment.name.level()).or_default().push(segment);
        }
        let piled = levels.into_values().filter(|level| level.len() > config.pile_max);
        merges.extend(piled.flat_map(|level| cut(level, config)));
    }
    merges
}

fn is_over(end: Timestamp, delay: Duration, now: Timestamp) -> bool {
    end.plus(delay) <= now
}

/// Cuts segments into merges of the wanted size, in order of time.
fn cut(mut segments: Inputs, config: &Config) -> Vec<Inputs> {
    segments.sort_by(|a, b| {
        let key = |segment: &StoredSegment| (segment.name.first(), segment.name.last());
        key(a).cmp(&key(b)).then_with(|| a.name.cmp(&b.name))
    });
    let mut merges: Vec<Inputs> = Vec::new();
    let (mut bytes, mut all_open) = (0, 0);
    for segment in segments {
        let open = open_bytes(&segment);
        let fits = merges.last().is_some_and(|inputs| {
            inputs.len() < INPUTS_MAX
                && bytes + segment.bytes <= config.target_bytes
                && all_open + open <= OPEN_BYTES_MAX
        });
        if !fits {
            merges.push(Vec::new());
            (bytes, all_open) = (0, 0);
        }
        bytes += segment.bytes;
        all_open += open;
        if let Some(inputs) = merges.last_mut() {
            inputs.push(segment);
        }
    }
    merges.retain(|inputs| is_worthwhile(inputs));
    merges
}

/// Memory that a segment takes as long as it is merged: its streams, and one block.
fn open_bytes(segment: &StoredSegment) -> u64 {
    segment.name.footer_len() + BLOCK_BYTES.min(segment.bytes.saturating_mul(DECODED_PART))
}

/// Whether a merge does more than write its largest input again.
fn is_worthwhile(inputs: &[Arc<StoredSegment>]) -> bool {
    let total: u64 = inputs.iter().map(|segment| segment.bytes).sum();
    let largest = inputs.iter().map(|segment| segment.bytes).max().unwrap_or(0);
    inputs.len() >= INPUTS_WORTHWHILE || (inputs.len() >= 2 && total >= largest + largest / 2)
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::testing::segment_name;

    const MINUTE: i64 = 60_000_000_000;
    const DAY: i64 = 20_000;

    /// Level, minute of the day, stored bytes.
    type Given = (u8, i64, u64);

    fn planned(given: &[Given], now_minute: i64) -> Vec<Vec<i64>> {
        let config = Config { target_bytes: 100, pile_max: 3, ..Config::default() };
        planned_by(&config, given, now_minute)
    }

    fn planned_by(config: &Config, given: &[Given], now_minute: i64) -> Vec<Vec<i64>> {
        let segments: Vec<Arc<StoredSegment>> = given
            .iter()
            .enumerate()
            .map(|(at, (level, minute, bytes))| {
                let first = DAY * DAY_NS + minute * MINUTE;
                let name = segment_name("t", *level, first, first + MINUTE, at as u128);
                Arc::new(StoredSegment { name, bytes: *bytes })
            })
            .collect();
        let now = Timestamp(DAY * DAY_NS + now_minute * MINUTE);
        let minute =
            |segment: &Arc<StoredSegment>| (segment.name.first().0 - DAY * DAY_NS) / MINUTE;
        plan(&segments, now, config)
            .iter()
            .map(|inputs| inputs.iter().map(minute).collect())
            .collect()
    }

    const NOTHING: [Vec<i64>; 0] = [];

    #[test]
    fn a_window_is_merged_when_it_is_closed() {
        let flushes = [(0, 10, 10), (0, 100, 10), (0, 190, 10)];
        assert_eq!(planned(&flushes, 180), NOTHING);
        assert_eq!(planned(&flushes, 194), NOTHING);
        assert_eq!(planned(&flushes, 195), [[10, 100]]);
    }

    #[test]
    fn flushes_that_pile_up_are_merged_at_once() {
        let flushes: Vec<Given> = (0..4).map(|at| (0, at, 10)).collect();
        assert_eq!(planned(&flushes[..3], 5), NOTHING);
        assert_eq!(planned(&flushes, 5), [[0, 1, 2, 3]]);
        let levels = [(0, 1, 9), (1, 2, 9), (0, 3, 9), (1, 4, 9), (0, 5, 9)];
        assert_eq!(planned(&levels, 5), NOTHING, "levels pile up apart");
    }

    #[test]
    fn the_day_is_merged_when_it_is_over() {
        let left = [(1, 0, 30), (1, 300, 30), (1, 600, 49), (1, 900, 50), (0, 1000, 5)];
        assert_eq!(planned(&left, 24 * 60 + 179), NOTHING);
        assert_eq!(planned(&left, 24 * 60 + 180), [[0, 300]]);
        let late = [(1, 0, 30), (0, 5, 1)];
        assert_eq!(planned(&late, 24 * 60 + 180), NOTHING, "not worth its while");
    }

    #[test]
    fn merges_are_bounded() {
        let flushes: Vec<Given> = (0..80).map(|at| (0, at, 1)).collect();
        let merges = planned(&flushes, 24 * 60 + 180);
        assert_eq!(merges.iter().map(Vec::len).collect::<Vec<_>>(), [32, 32, 16]);
        let flushes: Vec<Given> = (0..8).map(|at| (0, at, 40)).collect();
        let merges = planned(&flushes, 24 * 60 + 180);
        assert_eq!(merges.iter().map(Vec::len).collect::<Vec<_>>(), [2, 2, 2, 2]);
    }

    #[test]
    fn memory_bounds_the_inputs_that_are_open_at_once() {
        let flushes = |bytes| (0..64).map(move |at| (0, at, bytes)).collect::<Vec<Given>>();
        let inputs = |bytes| {
            let merges = planned_by(&Config::default(), &flushes(bytes), 24 * 60 + 180);
            merges.first().map(Vec::len)
        };
        assert_eq!(inputs(3 << 20), Some(11), "a block of each and their footers");
        assert_eq!(inputs(128 << 10), Some(32), "small ones are not as large as a block");
    }
}
