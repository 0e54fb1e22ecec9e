//! The streams of a segment.
//!
//! Names and values are kept once each, as symbols; streams with the same label names share a
//! *schema*. A matcher is tried once per distinct value and not once per stream, so selecting
//! from tens of thousands of streams takes well below a millisecond.

pub(crate) mod codec;

use model::{Fingerprint, Labels, Matcher, TimeRange, Timestamp};

/// The streams of a segment, by ordinal, in sort order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct StreamTable {
    symbols: Symbols,
    /// Distinct lists of label names, as ascending symbols.
    schemas: Vec<Box<[u32]>>,
    streams: Vec<StreamRecord>,
    /// Values of all streams back to back, in the order of their schemas' names, as symbols.
    values: Vec<u32>,
}

/// What the table knows of one stream.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
struct StreamRecord {
    schema: u32,
    /// Where its values begin.
    values: u32,
    rows: u64,
    bytes: u64,
    first: i64,
    last: i64,
}

/// Distinct texts in ascending order.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
struct Symbols {
    text: String,
    ends: Vec<u32>,
}

impl Symbols {
    fn len(&self) -> usize {
        self.ends.len()
    }

    fn get(&self, symbol: u32) -> &str {
        let symbol = symbol as usize;
        let start = symbol.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        &self.text[start..self.ends[symbol] as usize]
    }

    fn find(&self, text: &str) -> Option<u32> {
        let (mut low, mut high) = (0, self.len() as u32);
        while low < high {
            let middle = low + (high - low) / 2;
            if self.get(middle) < text { low = middle + 1 } else { high = middle }
        }
        ((low as usize) < self.len() && self.get(low) == text).then_some(low)
    }
}

impl StreamTable {
    /// How many streams the segment holds.
    #[must_use]
    pub fn len(&self) -> usize {
        self.streams.len()
    }

    /// Whether the segment holds no stream.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.streams.is_empty()
    }

    /// The label names and values of a stream, by name.
    ///
    /// # Panics
    ///
    /// When `ordinal` is not below [`StreamTable::len`], as do all questions by ordinal.
    pub fn pairs(&self, ordinal: u32) -> impl ExactSizeIterator<Item = (&str, &str)> + Clone {
        let stream = &self.streams[ordinal as usize];
        let names = &self.schemas[stream.schema as usize];
        let values = &self.values[stream.values as usize..][..names.len()];
        names
            .iter()
            .zip(values)
            .map(|(name, value)| (self.symbols.get(*name), self.symbols.get(*value)))
    }

    /// The labels of a stream, built anew at each call: keep them, or ask
    /// [`StreamTable::fingerprint`] first.
    #[must_use]
    pub fn labels(&self, ordinal: u32) -> Labels {
        Labels::new(self.pairs(ordinal))
    }

    /// The value of one label of a stream; empty when the stream lacks it.
    #[must_use]
    pub fn value(&self, ordinal: u32, name: &str) -> &str {
        self.pairs(ordinal).find(|(own, _)| *own == name).map_or("", |(_, value)| value)
    }

    /// Whether one of some streams has a label of this name.
    #[must_use]
    pub fn any_has(&self, ordinals: &[u32], name: &str) -> bool {
        let Some(name) = self.symbols.find(name) else { return false };
        let with_name: Vec<bool> =
            self.schemas.iter().map(|names| names.binary_search(&name).is_ok()).collect();
        with_name.contains(&true)
            && ordinals
                .iter()
                .any(|ordinal| with_name[self.streams[*ordinal as usize].schema as usize])
    }

    /// The hash of a stream's labels, computed at each call.
    #[must_use]
    pub fn fingerprint(&self, ordinal: u32) -> Fingerprint {
        Fingerprint::of(self.pairs(ordinal))
    }

    /// How many rows a stream has.
    #[must_use]
    pub fn rows(&self, ordinal: u32) -> u64 {
        self.streams[ordinal as usize].rows
    }

    /// The line bytes of a stream.
    #[must_use]
    pub fn bytes(&self, ordinal: u32) -> u64 {
        self.streams[ordinal as usize].bytes
    }

    /// Time of a stream's earliest row.
    #[must_use]
    pub fn first(&self, ordinal: u32) -> Timestamp {
        Timestamp(self.streams[ordinal as usize].first)
    }

    /// Time of a stream's latest row.
    #[must_use]
    pub fn last(&self, ordinal: u32) -> Timestamp {
        Timestamp(self.streams[ordinal as usize].last)
    }

    /// The ordinals of the streams that all matchers accept, ascending.
    #[must_use]
    pub fn select(&self, matchers: &[Matcher]) -> Vec<u32> {
        let mut selected: Vec<u32> = (0..self.streams.len() as u32).collect();
        for matcher in matchers {
            self.retain_matching(matcher, &mut selected);
        }
        selected
    }

    /// Those of [`StreamTable::select`] that may have rows in the range.
    #[must_use]
    pub fn select_in(&self, matchers: &[Matcher], range: TimeRange) -> Vec<u32> {
        let mut selected = self.select(matchers);
        selected.retain(|ordinal| range.overlaps(self.first(*ordinal), self.last(*ordinal)));
        selected
    }

    fn retain_matching(&self, matcher: &Matcher, selected: &mut Vec<u32>) {
        let name = self.symbols.find(matcher.name());
        // Per schema: at which position the name stands.
        let positions: Vec<Option<usize>> = self
            .schemas
            .iter()
            .map(|names| name.and_then(|name| names.binary_search(&name).ok()))
            .collect();
        let matches_empty = matcher.matches_empty();
        // Per symbol: whether the matcher accepts it, once asked.
        let mut verdicts: Vec<Option<bool>> = vec![None; self.symbols.len()];
        selected.retain(|ordinal| {
            let stream = &self.streams[*ordinal as usize];
            let Some(position) = positions[stream.schema as usize] else { return matches_empty };
            let value = self.values[stream.values as usize + position];
            *verdicts[value as usize]
                .get_or_insert_with(|| matcher.matches(self.symbols.get(value)))
        });
    }

    /// About how much memory the table takes.
    pub(crate) fn memory_bytes(&self) -> usize {
        let schemas: usize = self.schemas.iter().map(|names| 16 + 4 * names.len()).sum();
        self.symbols.text.capacity()
            + 4 * self.symbols.ends.capacity()
            + schemas
            + size_of::<StreamRecord>() * self.streams.capacity()
            + 4 * self.values.capacity()
    }
}
