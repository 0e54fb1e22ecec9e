//! An append-only list whose clone is a snapshot.
//!
//! A query must see the rows of a head as they were at one instant, and appends must not wait for
//! it. The list is made of full parts that never change and one open part; a clone shares all of
//! them. Appending to a part that a snapshot still holds copies that one part first.

use std::sync::Arc;

/// Values in a full part.
const PART: usize = 512;

/// The list. Cloning costs two reference counts.
#[derive(Debug)]
pub(crate) struct AppendList<T> {
    full: Option<Arc<Vec<Arc<Vec<T>>>>>,
    open: Arc<Vec<T>>,
}

// Derived, these would ask for `T: Clone` and `T: Default`.
impl<T> Clone for AppendList<T> {
    fn clone(&self) -> Self {
        Self { full: self.full.clone(), open: Arc::clone(&self.open) }
    }
}

impl<T> Default for AppendList<T> {
    fn default() -> Self {
        Self { full: None, open: Arc::new(Vec::new()) }
    }
}

impl<T> AppendList<T> {
    pub(crate) fn len(&self) -> usize {
        self.full_parts().len() * PART + self.open.len()
    }

    pub(crate) fn get(&self, index: usize) -> Option<&T> {
        match self.full_parts().get(index / PART) {
            Some(part) => part.get(index % PART),
            None => self.open.get(index.checked_sub(self.full_parts().len() * PART)?),
        }
    }

    /// The values from `start` to `end`, exclusive, in slices.
    pub(crate) fn range(&self, start: usize, end: usize) -> impl Iterator<Item = &T> {
        let first = start / PART;
        self.parts().enumerate().skip(first).flat_map(move |(index, part)| {
            let begin = index * PART;
            let from = start.saturating_sub(begin).min(part.len());
            let to = end.saturating_sub(begin).min(part.len());
            part.get(from..to).unwrap_or_default()
        })
    }

    pub(crate) fn iter(&self) -> impl Iterator<Item = &T> {
        self.parts().flatten()
    }

    /// The index of the first value for which `is_before` is false, if those for which it is true
    /// come first.
    pub(crate) fn partition_point(&self, is_before: impl Fn(&T) -> bool) -> usize {
        let full = self.full_parts();
        let part = full.partition_point(|part| part.last().is_some_and(&is_before));
        let within = full.get(part).unwrap_or(&self.open);
        part * PART + within.partition_point(is_before)
    }

    fn parts(&self) -> impl Iterator<Item = &[T]> {
        self.full_parts().iter().chain([&self.open]).map(|part| part.as_slice())
    }

    fn full_parts(&self) -> &[Arc<Vec<T>>] {
        self.full.as_ref().map_or(&[], |full| full.as_slice())
    }
}

impl<T: Clone> AppendList<T> {
    pub(crate) fn push(&mut self, value: T) {
        self.extend([value]);
    }
}

impl<T: Clone> Extend<T> for AppendList<T> {
    fn extend<I: IntoIterator<Item = T>>(&mut self, values: I) {
        let mut values = values.into_iter();
        loop {
            let room = PART - self.open.len();
            let open = Arc::make_mut(&mut self.open);
            open.extend(values.by_ref().take(room));
            if open.len() < PART {
                return;
            }
            let full = std::mem::take(&mut self.open);
            Arc::make_mut(self.full.get_or_insert_default()).push(full);
        }
    }
}

impl<T: Clone> FromIterator<T> for AppendList<T> {
    fn from_iter<I: IntoIterator<Item = T>>(values: I) -> Self {
        let mut list = Self::default();
        list.extend(values);
        list
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    proptest! {
        #[test]
        fn snapshots_stand_still(
            steps in prop::collection::vec(0usize..1200, 1..8),
            cut in any::<prop::sample::Index>(),
        ) {
            let (mut list, mut model) = (AppendList::default(), Vec::new());
            let mut snapshots = Vec::new();
            for count in steps {
                list.extend(model.len()..model.len() + count);
                model.extend(model.len()..model.len() + count);
                snapshots.push((list.clone(), model.len()));
            }
            for (snapshot, length) in snapshots {
                prop_assert_eq!(snapshot.len(), length);
                prop_assert!(snapshot.iter().eq(&model[..length]));
                let at = cut.index(length + 1);
                prop_assert_eq!(snapshot.get(at), model[..length].get(at));
                prop_assert_eq!(snapshot.partition_point(|v| *v < at), at);
                let (start, end) = (at / 2, at);
                prop_assert!(snapshot.range(start, end).eq(&model[start..end]));
            }
        }
    }
}
