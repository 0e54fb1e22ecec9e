//! A map that forgets what nobody asked for in a while.

use std::borrow::Borrow;
use std::hash::Hash;

use hashbrown::HashMap;

/// A bounded map of two generations. What is found in the old one moves to the young one; when the
/// young one is full, it becomes the old one, and the old one is dropped.
#[derive(Debug)]
pub(crate) struct Generations<K, V> {
    /// Most entries of one generation.
    capacity: usize,
    young: HashMap<K, V>,
    old: HashMap<K, V>,
}

impl<K: Hash + Eq, V: Clone> Generations<K, V> {
    /// An empty map of at most `entries` entries.
    pub(crate) fn new(entries: usize) -> Self {
        Self { capacity: (entries / 2).max(1), young: HashMap::new(), old: HashMap::new() }
    }

    /// The value of a key.
    pub(crate) fn get<Q: Hash + Eq + ?Sized>(&mut self, key: &Q) -> Option<V>
    where
        K: Borrow<Q>,
    {
        if let Some(value) = self.young.get(key) {
            return Some(value.clone());
        }
        let (key, value) = self.old.remove_entry(key)?;
        self.insert(key, value.clone());
        Some(value)
    }

    /// Sets the value of a key.
    pub(crate) fn insert(&mut self, key: K, value: V) {
        if self.young.len() >= self.capacity {
            self.old = std::mem::take(&mut self.young);
        }
        self.young.insert(key, value);
    }

    /// How many entries there are.
    pub(crate) fn len(&self) -> usize {
        self.young.len() + self.old.len()
    }

    /// Forgets everything.
    pub(crate) fn clear(&mut self) {
        self.young.clear();
        self.old.clear();
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_asked_for_stays() {
        let mut map = Generations::new(4);
        map.insert("hot".to_owned(), 0);
        for number in 1..100 {
            assert_eq!(map.get("hot"), Some(0), "{number}");
            map.insert(number.to_string(), number);
            assert!(map.young.len() + map.old.len() <= 4);
        }
        assert_eq!(map.get("99"), Some(99));
        assert_eq!(map.get("1"), None);
        map.clear();
        assert_eq!(map.get("hot"), None);
    }
}
