//! Entries of a log query from the entries of its pieces.

use hashbrown::HashMap;
use logql::eval::print_labels;
use model::Direction;
use model::answer::{ResultEntry, ResultLabels, ResultStream};

/// The first `limit` entries of several answers, in the direction of the query.
///
/// Answers do not tell in which order entries of one time stand when they belong to different
/// streams, or to different parts of one. `None` when that matters: when the limit falls between
/// such entries, or when two answers hold entries of one time for the same result stream.
#[must_use]
pub fn merge_logs(
    parts: Vec<Vec<ResultStream>>,
    direction: Direction,
    limit: usize,
) -> Option<Vec<ResultStream>> {
    let mut by_labels: HashMap<ResultLabels, usize> = HashMap::new();
    let mut entries: Vec<Placed> = Vec::new();
    for (part, streams) in parts.into_iter().enumerate() {
        for stream in streams {
            let next = by_labels.len();
            let labels = *by_labels.entry(stream.labels).or_insert(next);
            let place = |entry| Placed { labels, part, entry };
            entries.extend(stream.entries.into_iter().map(place));
        }
    }
    // Stable: what one answer says about the order within a stream stands.
    match direction {
        Direction::Forward => entries.sort_by_key(|placed| placed.entry.timestamp),
        Direction::Backward => {
            entries.sort_by_key(|placed| std::cmp::Reverse(placed.entry.timestamp));
        }
    }
    if !is_certain(&entries, limit) {
        return None;
    }
    entries.truncate(limit);
    let mut streams: Vec<Vec<ResultEntry>> = Vec::new();
    streams.resize_with(by_labels.len(), Vec::new);
    for placed in entries {
        streams[placed.labels].push(placed.entry);
    }
    let mut named: Vec<(String, ResultStream)> = by_labels
        .into_iter()
        .filter_map(|(labels, at)| {
            let entries = std::mem::take(&mut streams[at]);
            let named = (print_labels(&labels), ResultStream { labels, entries });
            (!named.1.entries.is_empty()).then_some(named)
        })
        .collect();
    named.sort_by(|a, b| a.0.cmp(&b.0));
    Some(named.into_iter().map(|(_, stream)| stream).collect())
}

/// An entry and where it came from.
struct Placed {
    labels: usize,
    part: usize,
    entry: ResultEntry,
}

/// Whether the first entries, and their order within each stream, are known.
fn is_certain(entries: &[Placed], limit: usize) -> bool {
    let mut part_of: HashMap<usize, usize> = HashMap::new();
    let mut start = 0;
    while start < entries.len().min(limit) {
        let at = entries[start].entry.timestamp;
        let same = entries[start..].iter().take_while(|placed| placed.entry.timestamp == at);
        let end = start + same.count();
        let group = &entries[start..end];
        let first = &group[0];
        let is_one = |placed: &Placed| placed.labels == first.labels && placed.part == first.part;
        if end > limit && !group.iter().all(is_one) {
            return false;
        }
        part_of.clear();
        for placed in group.iter().filter(|_| group.len() > 1) {
            if *part_of.entry(placed.labels).or_insert(placed.part) != placed.part {
                return false;
            }
        }
        start = end;
    }
    true
}

#[cfg(test)]
mod tests {
    use model::Timestamp;

    use super::*;

    fn stream(name: &str, times: &[i64]) -> ResultStream {
        let entry = |at: &i64| ResultEntry {
            timestamp: Timestamp(*at),
            line: name.as_bytes().to_vec(),
            structured_metadata: Vec::new(),
            parsed: Vec::new(),
        };
        let labels = vec![("name".to_owned(), name.to_owned())];
        ResultStream { labels, entries: times.iter().map(entry).collect() }
    }

    #[test]
    fn the_nearest_entries_are_kept() {
        let parts = || vec![vec![stream("b", &[9, 7, 4])], vec![stream("a", &[8, 2])]];
        let merged = |limit| merge_logs(parts(), Direction::Backward, limit);
        assert_eq!(merged(3), Some(vec![stream("a", &[8]), stream("b", &[9, 7])]));
        assert_eq!(merged(9), Some(vec![stream("a", &[8, 2]), stream("b", &[9, 7, 4])]));
        assert_eq!(merged(1), Some(vec![stream("b", &[9])]));
    }

    #[test]
    fn what_answers_do_not_tell_is_not_guessed() {
        let both = |a: &[i64], b: &[i64], limit| {
            let apart = vec![vec![stream("a", a)], vec![stream("b", b)]];
            merge_logs(apart, Direction::Forward, limit).is_some()
        };
        assert!(both(&[1, 2], &[2, 3], 1));
        assert!(!both(&[1, 2], &[2, 3], 2), "either entry of time 2 may come first");
        assert!(both(&[1, 2], &[2, 3], 3));
        let halves = vec![vec![stream("a", &[1, 2])], vec![stream("a", &[2, 3])]];
        assert_eq!(merge_logs(halves, Direction::Forward, 9), None);
        let one = vec![vec![stream("a", &[1, 1, 1])]];
        let cut = merge_logs(one, Direction::Forward, 2);
        assert_eq!(cut, Some(vec![stream("a", &[1, 1])]));
    }
}
