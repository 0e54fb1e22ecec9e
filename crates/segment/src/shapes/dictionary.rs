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
    ends: Vec<u32>,
    counts: Vec<u32>,
    codes: Vec<u8>,
}

impl Dictionary {
    /// Takes the values of a column; `false` when a dictionary would not be smaller than about
    /// `value_bits` for each.
    pub(super) fn fill<'a>(
        &mut self,
        values: impl ExactSizeIterator<Item = &'a [u8]>,
        value_bits: u32,
    ) -> bool {
        for place in self.used.drain(..) {
            self.places[usize::from(place)] = 0;
        }
        self.places.resize(PLACES, 0);
        self.text.clear();
        self.ends.clear();
        self.counts.clear();
        self.codes.clear();
        let rows = values.len();
        let most = DISTINCT_MAX.min(rows / 3);
        for value in values {
            let Some(code) = self.code_of(value, most) else { return false };
            self.counts[usize::from(code)] += 1;
            self.codes.push(code);
        }
        // About what the codes take when they are compressed: at least a bit each.
        let bits: u64 = self.counts.iter().map(|count| entropy_bits(*count, rows as u32)).sum();
        let bits = bits.max(rows as u64 / 3) + self.text.len() as u64 * 6 + 64;
        bits < rows as u64 * u64::from(value_bits)
    }

    fn code_of(&mut self, value: &[u8], most: usize) -> Option<u8> {
        let mut place = hash_of(value) % PLACES;
        while let Some(code) = self.places[place].checked_sub(1) {
            if self.value(usize::from(code)) == value {
                return Some(code as u8);
            }
            place = (place + 1) % PLACES;
        }
        let code = self.ends.len();
        if code >= most {
            return None;
        }
        self.text.extend_from_slice(value);
        self.ends.push(self.text.len() as u32);
        self.counts.push(0);
        self.places[place] = code as u16 + 1;
        self.used.push(place as u16);
        Some(code as u8)
    }

    fn value(&self, code: usize) -> &[u8] {
        let start = code.checked_sub(1).map_or(0, |before| self.ends[before] as usize);
        &self.text[start..self.ends[code] as usize]
    }

    pub(super) fn len(&self) -> usize {
        self.ends.len()
    }

    pub(super) fn values(&self) -> impl Iterator<Item = &[u8]> {
        (0..self.len()).map(|code| self.value(code))
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

fn hash_of(value: &[u8]) -> usize {
    let mut hash = value.len() as u64;
    for eight in value.chunks(8) {
        let mut word = [0; 8];
        word[..eight.len()].copy_from_slice(eight);
        hash =
            (hash.rotate_left(21) ^ u64::from_le_bytes(word)).wrapping_mul(0x9e37_79b9_7f4a_7c15);
    }
    (hash >> 40) as usize
}
