//! Tokens that follow from an instance's number and give every instance the same share.
//!
//! Each zone owns every eighth place of the circle, so that zones never dispute a token. Within a
//! zone the first instance cuts the circle into equal ranges. Each later one takes its share token
//! by token, always a slice of the largest range of the instance that owns most at that moment.
//! Nothing is drawn and nothing has to be kept in a file: a number always gives the same tokens,
//! and those of earlier instances never move.

use std::cmp::Reverse;
use std::collections::BinaryHeap;
use std::sync::Arc;

use crate::Error;

/// How many tokens an instance has when they are spread.
pub const SPREAD_TOKENS: usize = 512;

/// How many zones can share the circle.
pub const ZONES_MAX: usize = 8;

/// Instances beyond this number would be computed for too long, and own too little.
const NUMBER_MAX: usize = 4096;

/// The circle.
const CIRCLE: u64 = 1 << 32;

/// A zone's places are this far apart.
const STEP: u64 = ZONES_MAX as u64;

/// The tokens of the instance `id` (its name ends in its number, as in `ingester-zone-a-12`) in
/// `zone`, one of `zones`; ascending.
///
/// # Errors
///
/// [`Error::Spread`] when the name has no number, the zone is not listed, or there are too many.
pub fn spread_tokens(id: &str, zone: &str, zones: &[Arc<str>]) -> Result<Vec<u32>, Error> {
    let refused = |reason| Error::Spread { id: id.to_owned(), zone: zone.to_owned(), reason };
    let mut zones: Vec<&str> = zones.iter().map(|name| &**name).collect();
    zones.sort_unstable();
    zones.dedup();
    if zones.len() > ZONES_MAX {
        return Err(refused("more than 8 zones"));
    }
    let Ok(zone_index) = zones.binary_search(&zone) else {
        return Err(refused("the zone is not among the listed ones"));
    };
    let digits = id.len() - id.trim_end_matches(|c: char| c.is_ascii_digit()).len();
    let Ok(number) = id[id.len() - digits..].parse::<usize>() else {
        return Err(refused("the name does not end in a number"));
    };
    if number > NUMBER_MAX {
        return Err(refused("the number is greater than 4096"));
    }
    let places = spread(number);
    // Places are multiples of the step, so adding the zone's index stays below the next one.
    let mut tokens: Vec<u32> = places
        .into_iter()
        .filter_map(|place| u32::try_from(place + zone_index as u64).ok())
        .collect();
    tokens.sort_unstable();
    Ok(tokens)
}

/// A range of the circle, ordered by its length: it ends before the token that owns it.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Range {
    length: u64,
    token: Reverse<u64>,
}

/// An instance, ordered by how much it owns; of equals the first comes first.
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord)]
struct Owner {
    owned: u64,
    number: Reverse<usize>,
}

/// The places of instance `number` in zone 0.
fn spread(number: usize) -> Vec<u64> {
    let width = CIRCLE / SPREAD_TOKENS as u64;
    let first: Vec<u64> = (0..SPREAD_TOKENS as u64).map(|place| place * width).collect();
    if number == 0 {
        return first;
    }
    let ranges = first.iter().map(|&token| Range { length: width, token: Reverse(token) });
    let mut ranges: Vec<BinaryHeap<Range>> = vec![ranges.collect()];
    let mut owners = BinaryHeap::from([Owner { owned: CIRCLE, number: Reverse(0) }]);
    let mut places = Vec::new();
    for newcomer in 1..=number {
        places = join(newcomer, &mut ranges, &mut owners);
    }
    places
}

/// Gives `newcomer` its tokens and takes their ranges from the others.
fn join(
    newcomer: usize,
    ranges: &mut Vec<BinaryHeap<Range>>,
    owners: &mut BinaryHeap<Owner>,
) -> Vec<u64> {
    let share = CIRCLE / (newcomer as u64 + 1);
    let (mut owned, mut taken) = (0, BinaryHeap::new());
    let mut exhausted = Vec::new();
    while taken.len() < SPREAD_TOKENS {
        let rest = (SPREAD_TOKENS - taken.len()) as u64;
        let slice = share.saturating_sub(owned) / rest / STEP * STEP;
        let Some(Owner { owned: others, number }) = owners.pop() else { break };
        let Some(mut largest) = ranges[number.0].peek_mut() else { continue };
        if slice == 0 || largest.length <= slice {
            // Not even its largest range has room for a slice.
            drop(largest);
            exhausted.push(Owner { owned: others, number });
            continue;
        }
        // The range ends at its token; the slice is cut from its beginning.
        let begin = (largest.token.0 + CIRCLE - largest.length) % CIRCLE;
        let token = (begin + slice) % CIRCLE;
        largest.length -= slice;
        drop(largest);
        taken.push(Range { length: slice, token: Reverse(token) });
        owned += slice;
        owners.push(Owner { owned: others - slice, number });
    }
    owners.extend(exhausted);
    owners.push(Owner { owned, number: Reverse(newcomer) });
    let places = taken.iter().map(|range| range.token.0).collect();
    ranges.push(taken);
    places
}

#[cfg(test)]
mod tests {
    use std::collections::{BTreeMap, HashSet};

    use super::*;

    fn zones(names: &[&str]) -> Vec<Arc<str>> {
        names.iter().map(|name| Arc::from(*name)).collect()
    }

    /// The share of each of `count` instances, as the least and the greatest part of the circle.
    fn shares(count: usize) -> (f64, f64) {
        let zones = zones(&["a"]);
        let mut tokens = BTreeMap::new();
        for number in 0..count {
            let own = spread_tokens(&format!("ingester-{number}"), "a", &zones).unwrap();
            assert_eq!(own.len(), SPREAD_TOKENS);
            for token in own {
                assert_eq!(tokens.insert(token, number), None, "a token is disputed");
            }
        }
        let mut owned = vec![0u64; count];
        let mut previous = u64::from(*tokens.keys().next_back().unwrap());
        for (&token, &number) in &tokens {
            owned[number] += (u64::from(token) + CIRCLE - previous) % CIRCLE;
            previous = u64::from(token);
        }
        let part = |owned: Option<&u64>| *owned.unwrap() as f64 / CIRCLE as f64 * count as f64;
        (part(owned.iter().min()), part(owned.iter().max()))
    }

    #[test]
    fn everybody_owns_the_same() {
        for count in [1, 2, 3, 7, 40] {
            let (least, most) = shares(count);
            assert!(least > 0.98 && most < 1.02, "{count}: {least} {most}");
        }
    }

    #[test]
    fn zones_never_dispute_a_token() {
        let zones = zones(&["c", "a", "b"]);
        let mut all = HashSet::new();
        for (index, zone) in ["a", "b", "c"].into_iter().enumerate() {
            for number in 0..4 {
                for token in spread_tokens(&format!("i-{zone}-{number}"), zone, &zones).unwrap() {
                    assert_eq!(token as usize % ZONES_MAX, index);
                    assert!(all.insert(token));
                }
            }
        }
    }

    #[test]
    fn what_is_missing_is_said() {
        let few = zones(&["a"]);
        let nine: Vec<Arc<str>> = (0..9).map(|zone| Arc::from(zone.to_string())).collect();
        for (id, zone, zones, reason) in [
            ("ingester", "a", &few, "does not end in a number"),
            ("ingester-1", "b", &few, "not among"),
            ("ingester-1", "1", &nine, "more than 8"),
            ("ingester-99999", "a", &few, "4096"),
        ] {
            let error = spread_tokens(id, zone, zones).unwrap_err().to_string();
            assert!(error.contains(reason), "{error}");
        }
    }
}
