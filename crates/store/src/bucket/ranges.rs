//! Fewer and larger reads: byte ranges that stand close together are read as one.

use std::ops::Range;

use bytes::Bytes;

/// Ranges to read, and where each wanted range lies inside them.
#[derive(Debug, PartialEq, Eq)]
pub(crate) struct ReadPlan {
    /// What to read: ascending, without overlap.
    pub(crate) reads: Vec<Range<u64>>,
    /// For each wanted range, in the order asked: index of the read.
    places: Vec<usize>,
}

impl ReadPlan {
    /// Joins ranges that are at most `gap` bytes apart. Empty ranges need no read.
    pub(crate) fn new(wanted: &[Range<u64>], gap: u64) -> Self {
        let mut order: Vec<usize> =
            (0..wanted.len()).filter(|index| !wanted[*index].is_empty()).collect();
        order.sort_unstable_by_key(|index| wanted[*index].start);
        let mut reads: Vec<Range<u64>> = Vec::new();
        let mut places = vec![usize::MAX; wanted.len()];
        for index in order {
            let range = &wanted[index];
            match reads.last_mut() {
                Some(last) if range.start <= last.end.saturating_add(gap) => {
                    last.end = last.end.max(range.end);
                }
                _ => reads.push(range.clone()),
            }
            places[index] = reads.len() - 1;
        }
        Self { reads, places }
    }

    /// Cuts the wanted ranges out of what was read, without copying.
    ///
    /// `read` holds one buffer for each of [`ReadPlan::reads`], each of the full length.
    pub(crate) fn cut(&self, wanted: &[Range<u64>], read: &[Bytes]) -> Vec<Bytes> {
        wanted
            .iter()
            .zip(&self.places)
            .map(|(range, place)| {
                let Some(whole) = self.reads.get(*place) else { return Bytes::new() };
                let from = (range.start - whole.start) as usize;
                let to = (range.end - whole.start) as usize;
                read[*place].slice(from..to)
            })
            .collect()
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    #[test]
    fn close_ranges_become_one_read() {
        let check = |wanted: &[Range<u64>], expected: &[(u64, u64)]| {
            let reads = ReadPlan::new(wanted, 10).reads;
            let reads: Vec<(u64, u64)> = reads.iter().map(|r| (r.start, r.end)).collect();
            assert_eq!(reads, expected);
        };
        check(&[0..5, 15..20], &[(0, 20)]);
        check(&[16..20, 0..5], &[(0, 5), (16, 20)]);
        check(&[0..50, 10..20, 60..61], &[(0, 61)]);
        check(&[7..7, 8..8], &[]);
    }

    proptest! {
        #[test]
        fn cuts_are_the_wanted_bytes(
            wanted in proptest::collection::vec((0u64..500, 0u64..100), 0..20),
            gap in 0u64..50,
        ) {
            let object: Vec<u8> = (0..600u32).map(|i| (i % 251) as u8).collect();
            let wanted: Vec<Range<u64>> =
                wanted.into_iter().map(|(start, len)| start..start + len).collect();
            let plan = ReadPlan::new(&wanted, gap);
            let slice = |r: &Range<u64>| &object[r.start as usize..r.end as usize];
            let read: Vec<Bytes> =
                plan.reads.iter().map(|r| Bytes::copy_from_slice(slice(r))).collect();
            for pair in plan.reads.windows(2) {
                prop_assert!(pair[0].end + gap < pair[1].start);
            }
            for (range, bytes) in wanted.iter().zip(plan.cut(&wanted, &read)) {
                prop_assert_eq!(slice(range), &bytes[..]);
            }
        }
    }
}
