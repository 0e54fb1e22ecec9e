//! Gathering the keys of every block, and turning them into postings.

use crate::column::metadata_builder::ColumnBuilder;
use crate::shapes::Masks;

use super::directory::{FamilyDirectory, IndexDirectory};
use super::keys::{
    self, GRAM_BITS, GramSet, IDENTIFIER_BITS, VALUE_BYTES_MIN, is_gram, mark_grams,
};
use super::numbers::{NUMBER_BITS, for_each_number, for_each_number_key};
use super::pages::{self, PAGE_POSTINGS};
use super::{Family, family_bits};

/// A family of a block may take this part of the block's bytes, or else it is not listed.
const BUDGET_PART: usize = 4;
/// Postings that are sorted at a time.
const SORTED_TOGETHER: u64 = 1 << 15;
/// Bits of the number of buckets that they are sorted into.
const BUCKET_BITS: u32 = 14;

/// Bits of a key beyond those that number the keys of a block: each halves the blocks that are
/// found in error.
fn spare_bits(family: Family) -> u32 {
    match family {
        // Grams are kept whole: there are few of them.
        Family::Grams => GRAM_BITS,
        // A needle long enough to have one of these keys mostly has several: an identifier of 16
        // digits has three to four.
        Family::Identifiers => 4,
        // Identifier keys are asked for beside them.
        Family::Numbers => 3,
        // A value has one key alone, and a block that is read in error costs half a millisecond.
        Family::Values => 12,
    }
}

/// About how many bits a posting takes.
fn posting_bits(family: Family) -> usize {
    match family {
        Family::Grams => 5,
        Family::Identifiers | Family::Numbers => 7,
        Family::Values => 14,
    }
}

/// Finds the distinct keys of texts.
pub(crate) struct KeyCollector {
    /// One byte for every gram.
    grams: Box<GramSet>,
    identifiers: KeySet,
    numbers: KeySet,
    hashes: keys::Hashes,
}

impl KeyCollector {
    pub(crate) fn new() -> Self {
        Self {
            grams: Box::new([0; _]),
            identifiers: KeySet::new(),
            numbers: KeySet::new(),
            hashes: keys::Hashes::default(),
        }
    }

    /// The grams of a text, ascending.
    pub(crate) fn grams(&mut self, text: &[u8]) -> Vec<u32> {
        mark_grams(text, &mut self.grams);
        let grams = &mut self.grams[..1 << GRAM_BITS];
        let seen = grams.iter().zip(0..).filter(|(seen, gram)| **seen != 0 && is_gram(*gram));
        let keys = seen.map(|(_, gram)| gram).collect();
        grams.fill(0);
        keys
    }

    /// The identifier keys and the number keys of a text, ascending. Masks of the text save looking
    /// at it again.
    pub(crate) fn identifiers_and_numbers(
        &mut self,
        text: &[u8],
        masks: Option<&Masks>,
    ) -> (Vec<u32>, Vec<u32>) {
        let Self { identifiers, numbers, hashes, .. } = self;
        // What is long enough for a number key is an identifier, too.
        let collect = |identifier: &[u8]| {
            keys::for_each_minimiser(identifier, hashes, |key| identifiers.insert(key));
            for_each_number(identifier, |number| {
                for_each_number_key(number, |key| numbers.insert(key));
            });
        };
        match masks {
            Some(masks) => keys::for_each_identifier_among(text, masks, collect),
            None => keys::for_each_identifier(text, collect),
        }
        (identifiers.take(), numbers.take())
    }
}

/// A set of identifier or number keys: one bit for each that is possible.
struct KeySet {
    bits: Box<[u64; 1 << (IDENTIFIER_BITS - 6)]>,
    is_empty: bool,
}

impl KeySet {
    fn new() -> Self {
        const { assert!(NUMBER_BITS == IDENTIFIER_BITS) };
        Self { bits: Box::new([0; 1 << (IDENTIFIER_BITS - 6)]), is_empty: true }
    }

    fn insert(&mut self, key: u32) {
        self.bits[key as usize / 64 % self.bits.len()] |= 1 << (key % 64);
        self.is_empty = false;
    }

    /// All keys, ascending; none is left.
    fn take(&mut self) -> Vec<u32> {
        let mut keys = Vec::new();
        if std::mem::replace(&mut self.is_empty, true) {
            return keys;
        }
        for (first, words) in (0..).step_by(8).zip(self.bits.as_chunks_mut::<8>().0) {
            // Most are empty.
            if words.iter().fold(0, |all, word| all | word) == 0 {
                continue;
            }
            for (index, word) in (first..).zip(words) {
                let mut word = std::mem::take(word);
                while word != 0 {
                    keys.push(index * 64 + word.trailing_zeros());
                    word &= word - 1;
                }
            }
        }
        keys
    }
}

/// Gathers the keys of a segment, block by block.
pub(crate) struct IndexBuilder {
    collector: KeyCollector,
    /// Per family and block: distinct keys, ascending; `None` when they are not listed.
    blocks: [Vec<Option<Box<[u32]>>>; Family::COUNT],
}

impl IndexBuilder {
    pub(crate) fn new() -> Self {
        Self { collector: KeyCollector::new(), blocks: [const { Vec::new() }; Family::COUNT] }
    }

    /// Adds the next block: its lines with separators and their masks, if there are any, its metadata,
    /// and what both take on disk.
    pub(crate) fn add_block(
        &mut self,
        (text, masks): (&[u8], Option<&Masks>),
        columns: &[&ColumnBuilder],
        encoded: usize,
    ) {
        let Self { collector, blocks } = self;
        let grams = collector.grams(text);
        let (identifiers, numbers) = collector.identifiers_and_numbers(text, masks);
        let keys = [grams, identifiers, value_keys(columns), numbers];
        for (family, keys) in Family::ALL.into_iter().zip(keys) {
            let bytes = keys.len() * posting_bits(family) / 8;
            // They stay until the segment ends, without the room they grew into.
            let listed = (bytes <= encoded / BUDGET_PART).then(|| keys.into_boxed_slice());
            blocks[family as usize].push(listed);
        }
    }

    /// The pages of all families, and their directory.
    pub(crate) fn finish(self) -> (Vec<u8>, IndexDirectory) {
        let mut out = Vec::new();
        let mut next_page = 0;
        let families = Family::ALL.map(|family| {
            let blocks = &self.blocks[family as usize];
            let directory = encode_family(family, blocks, next_page, &mut out);
            next_page += directory.pages.len() as u32;
            Some(directory)
        });
        (out, IndexDirectory::new(families))
    }
}

/// The keys of all values of a block's metadata that are long enough to be worth it.
fn value_keys(columns: &[&ColumnBuilder]) -> Vec<u32> {
    let mut keys = Vec::new();
    for column in columns {
        let name = keys::name_hash(column.name());
        let values =
            column.values_with_hashes().filter(|(value, _)| value.len() >= VALUE_BYTES_MIN);
        keys.extend(values.map(|(_, hash)| keys::value_key(name, hash)));
    }
    keys.sort_unstable();
    keys.dedup();
    keys
}

fn encode_family(
    family: Family,
    blocks: &[Option<Box<[u32]>>],
    first_page: u32,
    out: &mut Vec<u8>,
) -> FamilyDirectory {
    let total: usize = blocks.iter().flatten().map(|keys| keys.len()).sum();
    let typical = match family {
        // Few blocks have most of the keys, and those are the blocks that are asked about.
        Family::Numbers | Family::Values => {
            let squares: usize = blocks.iter().flatten().map(|keys| keys.len() * keys.len()).sum();
            squares / total.max(1)
        }
        _ => total / blocks.iter().flatten().count().max(1),
    };
    let all_bits = family_bits(family);
    let key_bits = (usize::BITS - typical.leading_zeros() + spare_bits(family)).min(all_bits);
    let unlisted = (0..).zip(blocks).filter(|(_, keys)| keys.is_none()).map(|(block, _)| block);
    let mut directory =
        FamilyDirectory { key_bits, unlisted: unlisted.collect(), pages: Vec::new(), first_page };
    let mut merge = Merge::new(blocks, all_bits - key_bits);
    // Equal parts of the key space: hashed keys fill them evenly, and grams are few.
    let parts = (total as u64 / SORTED_TOGETHER + 1).min(1 << key_bits);
    let mut postings = Vec::new();
    for part in 1..=parts {
        merge.take_below((part << key_bits) / parts, &mut postings);
        let whole_pages = postings.len() / PAGE_POSTINGS * PAGE_POSTINGS;
        let ready = if part == parts { postings.len() } else { whole_pages };
        for page in postings[..ready].chunks(PAGE_POSTINGS) {
            let number = first_page + directory.pages.len() as u32;
            directory.pages.push(pages::encode(page, number, out));
        }
        postings.drain(..ready);
    }
    directory
}

/// Puts the keys of all blocks in one order, a part of the key space at a time.
struct Merge<'a> {
    blocks: &'a [Option<Box<[u32]>>],
    /// Per block: how many keys have been taken.
    next: Vec<usize>,
    /// Bits that keys lose.
    cut: u32,
    /// The keys below this have been taken.
    from: u64,
    /// Keys of the part and their blocks, block by block.
    taken: Vec<(u32, u32)>,
    /// Per bucket of neighbouring keys: where its next posting goes.
    places: Vec<u32>,
}

impl<'a> Merge<'a> {
    fn new(blocks: &'a [Option<Box<[u32]>>], cut: u32) -> Self {
        let next = vec![0; blocks.len()];
        Self { blocks, next, cut, from: 0, taken: Vec::new(), places: Vec::new() }
    }

    /// Appends the postings of the keys below `end` that have not been taken, ascending.
    fn take_below(&mut self, end: u64, postings: &mut Vec<u64>) {
        // A bucket has one key where the part is small enough, and then its blocks ascend already.
        let bits = u64::BITS - (end - self.from).leading_zeros();
        let shift = bits.saturating_sub(BUCKET_BITS);
        self.take_keys(end, shift);
        let Self { blocks, from, taken, places, .. } = self;
        let start = postings.len();
        postings.resize(start + taken.len(), 0);
        let sorted = &mut postings[start..];
        for (key, block) in taken.iter() {
            let place = &mut places[((u64::from(*key) - *from) >> shift) as usize];
            sorted[*place as usize] = u64::from(*key) * blocks.len() as u64 + u64::from(*block);
            *place += 1;
        }
        if shift > 0 {
            // Now every place is where its bucket ends.
            let mut start = 0;
            for end in places.iter() {
                sorted[start as usize..*end as usize].sort_unstable();
                start = *end;
            }
        }
        self.from = end;
    }

    /// Takes the keys below `end`, and finds the place of each bucket of `1 << shift` keys.
    fn take_keys(&mut self, end: u64, shift: u32) {
        let Self { blocks, next, cut, from, taken, places } = self;
        taken.clear();
        places.clear();
        places.resize(((end - *from) >> shift) as usize + 1, 0);
        for ((block, keys), next) in (0..).zip(*blocks).zip(next) {
            let rest = &keys.as_deref().unwrap_or_default()[*next..];
            let mut last = None;
            for key in rest {
                let short = key >> *cut;
                if u64::from(short) >= end {
                    break;
                }
                *next += 1;
                if last != Some(short) {
                    last = Some(short);
                    taken.push((short, block));
                    places[((u64::from(short) - *from) >> shift) as usize] += 1;
                }
            }
        }
        let mut sum = 0;
        for place in places {
            sum += std::mem::replace(place, sum);
        }
    }
}
