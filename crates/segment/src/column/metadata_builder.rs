//! Gathering structured metadata, row by row, until a block is closed.

use hashbrown::{HashMap, HashTable};
use model::level::LEVEL_NAME;
use xxhash_rust::xxh3::xxh3_64;

use crate::encoding::frame::FrameEncoder;
use crate::error::Result;

use super::metadata;
use super::values::TextList;

/// Columns that are kept from block to block for the sake of their buffers.
const COLUMNS_KEPT: usize = 256;

/// The columns of the block being built.
#[derive(Default)]
pub(crate) struct MetadataBuilder {
    columns: Vec<ColumnBuilder>,
    by_name: HashMap<Box<str>, usize>,
    /// Per position in a row: the column that was last used there. Rows tend to look alike.
    expected: Vec<usize>,
    text_bytes: usize,
}

impl MetadataBuilder {
    /// Adds the pairs of a row; rows ascend. Of equal names the last counts.
    pub(crate) fn add_row(&mut self, row: u32, pairs: &[(&str, &str)]) {
        for (position, (name, value)) in pairs.iter().enumerate() {
            // The level has a column of its own.
            if *name == LEVEL_NAME {
                continue;
            }
            let column = self.column(position, name);
            self.text_bytes += self.columns[column].add(row, value);
        }
    }

    fn column(&mut self, position: usize, name: &str) -> usize {
        if let Some(&expected) = self.expected.get(position)
            && self.columns.get(expected).is_some_and(|column| *column.name == *name)
        {
            return expected;
        }
        let column = match self.by_name.get(name) {
            Some(column) => *column,
            None => {
                self.columns.push(ColumnBuilder::new(name));
                self.by_name.insert(name.into(), self.columns.len() - 1);
                self.columns.len() - 1
            }
        };
        if self.expected.len() <= position {
            self.expected.resize(position + 1, usize::MAX);
        }
        self.expected[position] = column;
        column
    }

    /// Bytes of all distinct values so far.
    pub(crate) fn text_bytes(&self) -> usize {
        self.text_bytes
    }

    /// The columns that have rows, by name.
    pub(crate) fn filled(&self) -> Vec<&ColumnBuilder> {
        let mut filled: Vec<_> =
            self.columns.iter().filter(|column| !column.rows.is_empty()).collect();
        filled.sort_unstable_by(|a, b| a.name.cmp(&b.name));
        filled
    }

    /// Forgets all rows.
    pub(crate) fn clear(&mut self) {
        if self.columns.len() > COLUMNS_KEPT {
            *self = Self::default();
        }
        self.columns.iter_mut().for_each(ColumnBuilder::clear);
        self.text_bytes = 0;
    }
}

/// One column of the block being built.
#[derive(Default)]
pub(crate) struct ColumnBuilder {
    name: Box<str>,
    /// The rows that have a value, ascending.
    rows: Vec<u32>,
    /// For each of those rows: its value.
    codes: Vec<u32>,
    /// The distinct values in order of appearance, with their hashes.
    values: TextList,
    hashes: Vec<u64>,
    by_hash: HashTable<u32>,
    /// Whether the last row's value appeared with it.
    last_is_new: bool,
}

impl ColumnBuilder {
    pub(crate) fn new(name: &str) -> Self {
        Self { name: name.into(), ..Default::default() }
    }

    pub(crate) fn name(&self) -> &str {
        &self.name
    }

    /// The distinct values with their hashes (XXH3-64).
    pub(crate) fn values_with_hashes(&self) -> impl Iterator<Item = (&[u8], u64)> {
        self.hashes.iter().enumerate().map(|(index, hash)| (self.values.get(index), *hash))
    }

    /// Adds a value and answers how many bytes of text that took.
    pub(crate) fn add(&mut self, row: u32, value: &str) -> usize {
        if self.rows.last() == Some(&row) {
            self.take_back();
        }
        self.rows.push(row);
        self.last_is_new = false;
        // The same value as in the row before is the commonest case.
        if let Some(&code) = self.codes.last()
            && self.values.get(code as usize) == value.as_bytes()
        {
            self.codes.push(code);
            return 0;
        }
        let hash = xxh3_64(value.as_bytes());
        let is_value = |code: &u32| {
            self.hashes[*code as usize] == hash
                && self.values.get(*code as usize) == value.as_bytes()
        };
        if let Some(&code) = self.by_hash.find(hash, is_value) {
            self.codes.push(code);
            return 0;
        }
        let code = self.values.len() as u32;
        self.values.push(value);
        self.hashes.push(hash);
        let hashes = &self.hashes;
        self.by_hash.insert_unique(hash, code, |code| hashes[*code as usize]);
        self.codes.push(code);
        self.last_is_new = true;
        value.len()
    }

    /// Removes the last row, because its pair is given again.
    fn take_back(&mut self) {
        self.rows.pop();
        let code = self.codes.pop();
        if let (true, Some(code)) = (self.last_is_new, code) {
            let hash = self.hashes.pop().unwrap_or_default();
            if let Ok(entry) = self.by_hash.find_entry(hash, |other| *other == code) {
                entry.remove();
            }
            self.values.pop();
        }
        self.last_is_new = false;
    }

    /// Appends the payload of the column.
    pub(crate) fn encode(
        &self,
        block_rows: usize,
        encoder: &mut FrameEncoder,
        out: &mut Vec<u8>,
    ) -> Result<()> {
        metadata::encode((&self.rows, block_rows), &self.codes, &self.values, encoder, out)
    }

    fn clear(&mut self) {
        self.rows.clear();
        self.codes.clear();
        self.values.clear();
        self.hashes.clear();
        self.by_hash.clear();
        self.last_is_new = false;
    }
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;

    use super::*;

    type Rows = Vec<Vec<(&'static str, String)>>;

    fn check(builder: &mut MetadataBuilder, rows: &Rows) {
        for (row, pairs) in (0..).zip(rows) {
            let pairs: Vec<_> = pairs.iter().map(|(name, value)| (*name, value.as_str())).collect();
            builder.add_row(row, &pairs);
        }
        let mut encoder = FrameEncoder::new(1).unwrap();
        let mut found = vec![Vec::new(); rows.len()];
        for column in builder.filled() {
            let mut out = Vec::new();
            column.encode(rows.len(), &mut encoder, &mut out).unwrap();
            let decoded = metadata::decode(&out, column.name(), rows.len()).unwrap();
            let mut values: Vec<&str> = decoded.values().iter().collect();
            values.sort();
            values.dedup();
            assert_eq!(values.len(), decoded.values().len(), "values are distinct");
            for (row, found) in found.iter_mut().enumerate() {
                found.extend(
                    decoded.get(row).map(|value| (column.name().to_owned(), value.to_owned())),
                );
            }
        }
        for (row, pairs) in rows.iter().enumerate() {
            let last: std::collections::BTreeMap<_, _> = pairs.iter().cloned().collect();
            let last: Vec<_> = last.into_iter().map(|(n, v)| (n.to_owned(), v)).collect();
            assert_eq!(found[row], last, "row {row}");
        }
        builder.clear();
        assert!(builder.filled().is_empty() && builder.text_bytes() == 0);
    }

    #[test]
    fn the_last_of_equal_names_counts() {
        let row = |pairs: &[(&'static str, &str)]| -> Vec<(&'static str, String)> {
            pairs.iter().map(|(name, value)| (*name, (*value).to_owned())).collect()
        };
        let rows = vec![
            row(&[("a", "1"), ("b", "2"), ("a", "3"), ("a", "1"), ("a", "4")]),
            row(&[]),
            row(&[("b", "1"), ("a", "3")]),
        ];
        check(&mut MetadataBuilder::default(), &rows);
    }

    proptest! {
        #[test]
        fn columns_round_trip(
            blocks in prop::collection::vec(
                prop::collection::vec(
                    prop::collection::vec((prop::sample::select(vec!["a", "b", "c", "trace_id"]), "[a-c]{0,2}|[0-9a-f]{32}|[0-9]{1,3}"), 0..4),
                    1..60,
                ),
                1..3,
            )
        ) {
            let mut builder = MetadataBuilder::default();
            for rows in &blocks {
                check(&mut builder, rows);
            }
        }

        #[test]
        fn sparse_columns_round_trip(at in prop::collection::btree_set(0usize..5000, 1..40)) {
            let mut rows: Rows = vec![Vec::new(); 5000];
            for row in at {
                rows[row].push(("a", row.to_string()));
            }
            check(&mut MetadataBuilder::default(), &rows);
        }

        #[test]
        fn any_bytes_are_refused_or_read(bytes: Vec<u8>, kind in 0u8..2, rows in 1usize..2000) {
            let mut payload = vec![kind];
            payload.extend(bytes);
            let _ = metadata::decode(&payload, "name", rows);
        }
    }
}
