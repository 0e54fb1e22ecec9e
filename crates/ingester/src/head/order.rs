//! Rows of a stream by time, and every entry once.
//!
//! Within a stream an entry is a time, a line, a level and pairs of metadata; what is pushed twice is
//! stored once. Rows of equal time keep the order in which they came.

use hashbrown::HashMap;

use crate::list::AppendList;
use crate::row::{Row, Slabs, slab_bytes};

/// From this many rows of equal time on they are compared by hash instead of pair by pair.
const HASHED_FROM: usize = 16;

/// What is known of the times of rows in arrival order.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Order {
    /// Each is later than the one before: there are no duplicates either.
    Ascending,
    /// None is earlier than the one before.
    Sorted,
    /// Nothing is known.
    Unsorted,
}

impl Order {
    /// What is known after a row of time `next` followed one of time `previous`, if any.
    pub(crate) fn after(self, previous: Option<i64>, next: i64) -> Self {
        match self {
            Self::Ascending if previous.is_none_or(|previous| next > previous) => self,
            Self::Ascending | Self::Sorted if previous <= Some(next) => Self::Sorted,
            _ => Self::Unsorted,
        }
    }
}

/// The rows by time, each entry once.
pub(crate) fn ordered(rows: &AppendList<Row>, order: Order, slabs: &Slabs) -> AppendList<Row> {
    match order {
        Order::Ascending => rows.clone(),
        Order::Sorted if !has_copies(rows, slabs) => rows.clone(),
        Order::Sorted | Order::Unsorted => {
            let mut sorted: Vec<Row> = rows.iter().copied().collect();
            sorted.sort_by_key(|row| row.timestamp);
            remove_copies(&mut sorted, slabs);
            sorted.into_iter().collect()
        }
    }
}

/// Whether sorted rows hold an entry twice.
fn has_copies(rows: &AppendList<Row>, slabs: &Slabs) -> bool {
    let mut group: Vec<Row> = Vec::new();
    for row in rows.iter() {
        if group.last().is_some_and(|last| last.timestamp != row.timestamp) {
            if group.len() > 1 && first_copies(&group, slabs).contains(&true) {
                return true;
            }
            group.clear();
        }
        group.push(*row);
    }
    group.len() > 1 && first_copies(&group, slabs).contains(&true)
}

/// Removes rows that repeat an earlier one of equal time.
fn remove_copies(rows: &mut Vec<Row>, slabs: &Slabs) {
    let mut kept = Vec::with_capacity(rows.len());
    for group in rows.chunk_by(|a, b| a.timestamp == b.timestamp) {
        if group.len() == 1 {
            kept.extend_from_slice(group);
            continue;
        }
        let copies = first_copies(group, slabs);
        kept.extend(group.iter().zip(copies).filter(|(_, is_copy)| !is_copy).map(|(row, _)| *row));
    }
    *rows = kept;
}

/// For each of the rows, which have equal time, whether it repeats one before it.
fn first_copies(group: &[Row], slabs: &Slabs) -> Vec<bool> {
    if group.len() >= HASHED_FROM {
        return first_copies_hashed(group, slabs);
    }
    let is_copy = |index: usize| {
        let row = group[index];
        let slab = slab_bytes(slabs, row.slab);
        group[..index].iter().any(|other| row.is_same(slab, *other, slab_bytes(slabs, other.slab)))
    };
    (0..group.len()).map(is_copy).collect()
}

fn first_copies_hashed(group: &[Row], slabs: &Slabs) -> Vec<bool> {
    let mut seen: HashMap<u128, Row> = HashMap::with_capacity(group.len());
    let is_copy = |row: &Row| {
        let slab = slab_bytes(slabs, row.slab);
        match seen.entry(row.identity(slab)) {
            // Two entries that share a hash by chance are both kept.
            hashbrown::hash_map::Entry::Occupied(other) => {
                row.is_same(slab, *other.get(), slab_bytes(slabs, other.get().slab))
            }
            hashbrown::hash_map::Entry::Vacant(vacant) => {
                vacant.insert(*row);
                false
            }
        }
    };
    group.iter().map(is_copy).collect()
}

#[cfg(test)]
mod tests {
    use api::append::{AppendBatch, BatchBuilder};
    use model::{Labels, TenantId, Timestamp};
    use proptest::prelude::*;

    use super::*;

    type Entry = (i64, String, Vec<(String, String)>);

    fn batch(entries: &[Entry]) -> AppendBatch {
        let mut builder = BatchBuilder::new(&TenantId::anonymous());
        let labels = Labels::new([("a", "b")]);
        builder.begin_stream(&labels);
        for (at, line, metadata) in entries {
            let pairs: Vec<_> = metadata.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            builder.push_row(Timestamp(*at), line.as_bytes(), None, &pairs).unwrap();
        }
        builder.finish()
    }

    fn check(entries: &[Entry]) -> Result<(), TestCaseError> {
        let batch = batch(entries);
        let slabs: Slabs = [batch.as_bytes().clone()].into_iter().collect();
        let rows: AppendList<Row> =
            batch.streams().flat_map(|part| part.rows().map(Row::new)).collect();
        let mut order = Order::Ascending;
        let mut previous = None;
        for row in rows.iter() {
            order = order.after(previous, row.timestamp);
            previous = Some(row.timestamp);
        }
        let mut expected: Vec<Entry> = Vec::new();
        let mut sorted = entries.to_vec();
        sorted.sort_by_key(|(at, _, _)| *at);
        for (at, line, mut metadata) in sorted {
            metadata.sort();
            let entry = (at, line, metadata);
            if !expected.contains(&entry) {
                expected.push(entry);
            }
        }
        let slab = batch.as_bytes();
        let read = |row: &Row| {
            let line = String::from_utf8(row.line(slab).to_vec()).unwrap();
            let pairs = row.metadata(slab).map(|(n, v)| (n.to_owned(), v.to_owned()));
            let mut metadata: Vec<_> = pairs.collect();
            metadata.sort();
            (row.timestamp, line, metadata)
        };
        let ordered = ordered(&rows, order, &slabs);
        let found: Vec<Entry> = ordered.iter().map(read).collect();
        prop_assert_eq!(found, expected);
        Ok(())
    }

    fn entry() -> impl Strategy<Value = Entry> {
        let pair = ("[a-b]", "[x-y]").prop_map(|(name, value)| (name, value));
        (0i64..5, "[p-r]{0,1}", prop::collection::vec(pair, 0..3))
    }

    proptest! {
        #[test]
        fn rows_are_sorted_and_single(entries in prop::collection::vec(entry(), 1..120)) {
            check(&entries)?;
        }

        #[test]
        fn sorted_rows_are_single_too(mut entries in prop::collection::vec(entry(), 1..120)) {
            entries.sort_by_key(|(at, _, _)| *at);
            check(&entries)?;
        }
    }

    #[test]
    fn the_order_is_found_out() {
        let of = |times: &[i64]| {
            let mut previous = None;
            times
                .iter()
                .fold(Order::Ascending, |order, next| order.after(previous.replace(*next), *next))
        };
        assert_eq!(of(&[1, 2, 9]), Order::Ascending);
        assert_eq!(of(&[1, 1, 2]), Order::Sorted);
        assert_eq!(of(&[1, 2, 1, 5]), Order::Unsorted);
        assert_eq!(of(&[i64::MIN]), Order::Ascending);
        assert_eq!(of(&[i64::MIN, i64::MIN]), Order::Sorted);
    }
}
