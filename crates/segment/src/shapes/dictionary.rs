//! The distinct values of a column, when they are few.

/// Most distinct values: codes have one byte.
const DISTINCT_MAX: usize = 256;
/// Places of the hash table.
const PLACES: usize = 1024;

/// Finds distinct values; reused from column to column.
#[derive(Default)]
pub(super) struct Dictionary {
    /// Per place: 1 + code, 0 when free.
    places: Vec<u16>,
    used: Vec<u16>,
    text: Vec<u8>,
    entries: Vec<Entry>,
    counts: Vec<u32>,
    codes: Vec<u8>,
}

/// A distinct value.
#[derive(Debug, Clone, Copy)]
struct Entry {
    /// Its first eight bytes, or all of a shorter one and zeros.
    word: u64,
    start: u32,
    len: u32,
}

impl Dictionary {
    /// Takes the values of a column, each with its first eight bytes as a word; `false` when a
    /// dictionary would not be smaller than about `value_bits` for each.
    pub(super) fn fill<'a>(
        &mut self,
        values: impl ExactSizeIterator<Item = (&'a [u8], u64)>,
        value_bits: u32,
    ) -> bool {
        for place in self.used.drain(..) {
            self.places[usize::from(place)] = 0;
        }
        self.places.resize(PLACES, 0);
        self.text.clear();
        self.entries.clear();
        self.counts.clear();
        self.codes.clear();
        let rows = values.len();
        let most = DISTINCT_MAX.min(rows / 3);
        for (value, word) in values {
            let Some(code) = self.code_of(value, word, most) else { return false };
            self.counts[usize::from(code)] += 1;
            self.codes.push(code);
        }
        // About what the codes take when they are compressed: at least a bit each.
        let bits: u64 = self.counts.iter().map(|count| entropy_bits(*count, rows as u32)).sum();
        let bits = bits.max(rows as u64 / 3) + self.text.len() as u64 * 6 + 64;
        bits < rows as u64 * u64::from(value_bits)
    }

    fn code_of(&mut self, value: &[u8], word: u64, most: usize) -> Option<u8> {
        let mut place = hash_of(value, word) % PLACES;
        while let Some(code) = self.places[place].checked_sub(1) {
            let entry = &self.entries[usize::from(code)];
            let is_same = entry.word == word
                && entry.len as usize == value.len()
                && (value.len() <= 8 || self.value(entry) == value);
            if is_same {
                return Some(code as u8);
            }
            place = (place + 1) % PLACES;
        }
        let code = self.entries.len();
        if code >= most {
            return None;
        }
        let (start, len) = (self.text.len() as u32, value.len() as u32);
        self.entries.push(Entry { word, start, len });
        self.text.extend_from_slice(value);
        self.counts.push(0);
        self.places[place] = code as u16 + 1;
        self.used.push(place as u16);
        Some(code as u8)
    }

    fn value(&self, entry: &Entry) -> &[u8] {
        &self.text[entry.start as usize..(entry.start + entry.len) as usize]
    }

    pub(super) fn len(&self) -> usize {
        self.entries.len()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &[u8]> {
        self.entries.iter().map(|entry| self.value(entry))
    }

    pub(super) fn codes(&self) -> &[u8] {
        &self.codes
    }
}

/// About `count · log₂(rows / count)`, without floating point so that every machine agrees.
pub(super) fn entropy_bits(count: u32, rows: u32) -> u64 {
    // Sixteenths of log₂, linear between powers of two.
    let log = |value: u32| {
        let whole = value.ilog2();
        u64::from(whole) * 16 + (u64::from(value) << 4 >> whole) - 16
    };
    u64::from(count) * log(rows).saturating_sub(log(count.max(1))) / 16
}

/// The hash of a value that begins with this word.
fn hash_of(value: &[u8], word: u64) -> usize {
    const FACTOR: u64 = 0x9e37_79b9_7f4a_7c15;
    let mut hash = (word ^ value.len() as u64).wrapping_mul(FACTOR);
    if let Some((_, rest)) = value.split_first_chunk::<8>() {
        let mut add = |eight: &[u8; 8]| {
            hash = (hash.rotate_left(21) ^ u64::from_le_bytes(*eight)).wrapping_mul(FACTOR);
        };
        rest.as_chunks().0.iter().for_each(&mut add);
        // The last may have been added in part.
        value.last_chunk().into_iter().for_each(&mut add);
    }
    (hash >> 40) as usize
}
