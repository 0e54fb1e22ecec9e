//! Rows that several origins may hold, counted once.
//!
//! A row is the same as another when stream, time, line and structured metadata are equal. Only
//! rows in the spans for which a source says so are looked up, so queries over data that has one
//! copy pay nothing.

use std::sync::{Mutex, PoisonError};

use hashbrown::HashMap;
use hashbrown::hash_map::Entry;
use model::columns::TextColumn;
use xxhash_rust::xxh3::xxh3_128;

use super::control::Meter;
use super::error::QueryError;
use crate::source::{Batch, StreamRun};

/// Locks among which threads are spread.
const SHARDS: usize = 16;
/// What one remembered row costs in memory, roughly.
const ROW_BYTES: u64 = 48;

/// Identifies a row; two different rows have one key only with negligible probability.
pub type RowKey = u128;

/// Arrival order of a row: rank of its piece, and its place there.
pub type Arrival = (u64, u32);

/// The rows seen so far that may have copies, each with its earliest arrival.
#[derive(Debug)]
pub struct Copies<'a> {
    shards: Vec<Mutex<HashMap<RowKey, Arrival>>>,
    meter: Meter<'a>,
}

impl<'a> Copies<'a> {
    /// No rows seen.
    #[must_use]
    pub fn new(meter: Meter<'a>) -> Self {
        Self { shards: (0..SHARDS).map(|_| Mutex::default()).collect(), meter }
    }

    /// Remembers a row; answers whether it is the first of its copies.
    ///
    /// # Errors
    ///
    /// [`QueryError::MemoryLimit`].
    pub fn is_first(&self, key: RowKey, arrival: Arrival) -> Result<bool, QueryError> {
        let mut shard = self.shard(key).lock().unwrap_or_else(PoisonError::into_inner);
        match shard.entry(key) {
            Entry::Occupied(mut seen) => {
                let earliest = arrival.min(*seen.get());
                seen.insert(earliest);
                Ok(false)
            }
            Entry::Vacant(place) => {
                place.insert(arrival);
                self.meter.charge(ROW_BYTES)?;
                Ok(true)
            }
        }
    }

    /// When the earliest copy of a row arrived.
    #[must_use]
    pub fn arrival(&self, key: RowKey) -> Option<Arrival> {
        self.shard(key).lock().unwrap_or_else(PoisonError::into_inner).get(&key).copied()
    }

    fn shard(&self, key: RowKey) -> &Mutex<HashMap<RowKey, Arrival>> {
        &self.shards[key as usize % SHARDS]
    }
}

impl Drop for Copies<'_> {
    fn drop(&mut self) {
        for shard in &self.shards {
            let rows = shard.lock().unwrap_or_else(PoisonError::into_inner).len();
            self.meter.release(rows as u64 * ROW_BYTES);
        }
    }
}

/// The key of a row of a batch that holds all lines and all metadata.
#[must_use]
pub fn row_key(batch: &Batch, run: &StreamRun, row: usize) -> RowKey {
    let mut bytes = [0u8; 48];
    bytes[..8].copy_from_slice(&run.fingerprint.0.to_le_bytes());
    bytes[8..16].copy_from_slice(&batch.timestamps[row].to_le_bytes());
    bytes[16..32].copy_from_slice(&xxh3_128(batch.lines.row(row)).to_le_bytes());
    bytes[32..].copy_from_slice(&metadata_key(&batch.metadata, row).to_le_bytes());
    xxh3_128(&bytes)
}

/// A hash of a row's pairs that does not depend on the order of the columns.
fn metadata_key(columns: &[TextColumn], row: usize) -> u128 {
    let pairs = columns.iter().filter_map(|column| Some((column.name(), column.get(row)?)));
    pairs.fold(0, |key, (name, value)| {
        let mut bytes = [0u8; 32];
        bytes[..16].copy_from_slice(&xxh3_128(name.as_bytes()).to_le_bytes());
        bytes[16..].copy_from_slice(&xxh3_128(value.as_bytes()).to_le_bytes());
        key.wrapping_add(xxh3_128(&bytes))
    })
}

#[cfg(test)]
mod tests {
    use model::Labels;
    use model::columns::{Lines, Texts};

    use super::*;
    use crate::eval::control::Control;

    fn batch(line: &str, columns: &[(&str, &str)]) -> Batch {
        let labels = Labels::new([("app", "a")]);
        let mut lines = Lines::default();
        lines.push(line.as_bytes());
        let column = |(name, value): &(&str, &str)| {
            TextColumn::from_parts(name, vec![1], Texts::from_iter([value])).unwrap()
        };
        Batch {
            runs: vec![StreamRun {
                fingerprint: labels.fingerprint(),
                labels,
                rows: 0..1,
                copies: None,
            }],
            timestamps: vec![7],
            lines,
            metadata: columns.iter().map(column).collect(),
            ..Batch::default()
        }
    }

    #[test]
    fn keys_tell_rows_apart() {
        let key = |line, columns| {
            let batch = batch(line, columns);
            row_key(&batch, &batch.runs[0], 0)
        };
        assert_eq!(key("x", &[("a", "1"), ("b", "2")]), key("x", &[("b", "2"), ("a", "1")]));
        assert_ne!(key("x", &[("a", "1"), ("b", "2")]), key("x", &[("a", "2"), ("b", "1")]));
        assert_ne!(key("x", &[]), key("y", &[]));
        assert_ne!(key("x", &[]), key("x", &[("a", "")]));
    }

    #[test]
    fn the_earliest_arrival_is_remembered() {
        let control = Control::new();
        let copies = Copies::new(Meter::new(&control, 0));
        assert!(copies.is_first(5, (2, 0)).unwrap());
        assert!(!copies.is_first(5, (1, 9)).unwrap());
        assert!(!copies.is_first(5, (3, 0)).unwrap());
        assert_eq!(copies.arrival(5), Some((1, 9)));
        assert!(control.used_bytes() > 0);
        drop(copies);
        assert_eq!(control.used_bytes(), 0);
    }
}
