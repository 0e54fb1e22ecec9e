//! From the keys in lines to label names, remembered.
//!
//! Lines of one stream carry the same keys in nearly the same order. Each key therefore remembers
//! which key followed it last time; most lookups are one comparison of bytes.

use std::hash::BuildHasher;

use hashbrown::{DefaultHashBuilder, HashTable};

use super::hints::ExtractPlan;
use super::names::{NameId, Names, append_sanitized};

/// What a key stands for below a certain prefix.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(super) struct KeyName {
    /// The label name, without regard to conflicts; `None` when the key is blank.
    pub(super) name: Option<NameId>,
    /// Whether some wanted name begins with this one, so that an object below it matters.
    pub(super) may_prefix: bool,
}

/// Keys seen so far.
#[derive(Debug, Default)]
pub(super) struct Keys {
    entries: Vec<Entry>,
    table: HashTable<u32>,
    hasher: DefaultHashBuilder,
    buffer: String,
}

#[derive(Debug)]
struct Entry {
    prefix: Option<NameId>,
    raw: Box<[u8]>,
    key: KeyName,
    /// The key that followed this one last time.
    next: u32,
}

/// Where in a line's sequence of keys the scanner stands.
#[derive(Debug, Clone, Copy)]
pub(super) struct KeyCursor(u32);

impl KeyCursor {
    /// Before the first key.
    pub(super) const START: Self = Self(0);
}

impl Keys {
    /// What `raw` stands for below `prefix`; moves the cursor to this key.
    #[inline]
    pub(super) fn resolve(
        &mut self,
        names: &mut Names,
        plan: &ExtractPlan,
        cursor: &mut KeyCursor,
        (prefix, raw): (Option<NameId>, &[u8]),
    ) -> KeyName {
        let previous = cursor.0 as usize;
        // Entry 0 stands for the start of a line.
        let guess = self.entries.get(previous).map_or(0, |entry| entry.next);
        if guess != 0
            && let Some(entry) = self.entries.get(guess as usize)
            && entry.prefix == prefix
            && *entry.raw == *raw
        {
            cursor.0 = guess;
            return entry.key;
        }
        let found = self.find_or_insert(names, plan, prefix, raw);
        self.entries[previous].next = found;
        cursor.0 = found;
        self.entries[found as usize].key
    }

    /// How many keys are remembered.
    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    /// Forgets all keys, because names were forgotten.
    pub(super) fn clear(&mut self) {
        self.entries.clear();
        self.table.clear();
    }

    fn find_or_insert(
        &mut self,
        names: &mut Names,
        plan: &ExtractPlan,
        prefix: Option<NameId>,
        raw: &[u8],
    ) -> u32 {
        if self.entries.is_empty() {
            let key = KeyName { name: None, may_prefix: false };
            self.entries.push(Entry { prefix: None, raw: Box::default(), key, next: 0 });
        }
        let hash = self.hasher.hash_one((prefix, raw));
        let entries = &self.entries;
        let same = |at: &u32| {
            let entry = &entries[*at as usize];
            entry.prefix == prefix && *entry.raw == *raw
        };
        if let Some(found) = self.table.find(hash, same) {
            return *found;
        }
        self.buffer.clear();
        if let Some(prefix) = prefix {
            self.buffer.push_str(names.text(prefix));
        }
        append_sanitized(raw, &mut self.buffer);
        let name = (!self.buffer.is_empty()).then(|| names.intern(&self.buffer));
        let key = KeyName { name, may_prefix: plan.may_prefix(&self.buffer) };
        let at = self.entries.len() as u32;
        self.entries.push(Entry { prefix, raw: raw.into(), key, next: 0 });
        let (entries, hasher) = (&self.entries, &self.hasher);
        self.table.insert_unique(hash, at, |at| {
            let entry = &entries[*at as usize];
            hasher.hash_one((entry.prefix, &*entry.raw))
        });
        at
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn keys_are_found_in_any_order() {
        let (mut keys, mut names) = (Keys::default(), Names::new());
        let plan = ExtractPlan::default();
        let mut line = |list: &[&str]| {
            let mut cursor = KeyCursor::START;
            list.iter()
                .map(|raw| {
                    let key = keys.resolve(&mut names, &plan, &mut cursor, (None, raw.as_bytes()));
                    key.name.map(|name| names.text(name).to_owned()).unwrap_or_default()
                })
                .collect::<Vec<_>>()
        };
        for list in [&["a", "b-", "c"][..], &["a", "c"], &["c", "b-", "a", " "], &["a", "b-", "c"]]
        {
            let expected: Vec<_> = list.iter().map(|key| key.trim().replace('-', "_")).collect();
            assert_eq!(line(list), expected);
        }
    }

    #[test]
    fn prefixes_make_different_names() {
        let (mut keys, mut names) = (Keys::default(), Names::new());
        let plan = ExtractPlan::default();
        let outer = names.intern("outer");
        let mut cursor = KeyCursor::START;
        let inner = keys.resolve(&mut names, &plan, &mut cursor, (Some(outer), b"3"));
        assert_eq!(names.text(inner.name.unwrap()), "outer_3");
        let plain = keys.resolve(&mut names, &plan, &mut cursor, (None, b"3"));
        assert_eq!(names.text(plain.name.unwrap()), "_3");
    }
}
