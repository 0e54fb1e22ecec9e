//! Pruning: from what rows must hold to the blocks that may hold it.

use std::collections::BTreeMap;
use std::ops::Range;

use model::level::LEVEL_NAME;
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{FormatError, Result};
use crate::footer::Footer;

use super::Family;
use super::directory::{FamilyDirectory, IndexDirectory};
use super::keys::{VALUE_BYTES_MIN, grams_of, identifier_keys_of, name_hash, value_key};
use super::numbers::number_keys_of;
use super::{family_bits, pages};

/// Grams of a text that are looked up: those with the rarest letters.
const GRAMS_MAX: usize = 6;
/// Number keys and identifier keys of a text that are looked up. Each leaves one block in 32 in
/// error.
const IDENTIFIERS_MAX: usize = 4;
/// Grams that are looked up beside so many identifier keys.
const GRAMS_BESIDE_IDENTIFIERS: usize = 2;
/// Alternatives above which a condition is not looked up at all.
const ALTERNATIVES_MAX: usize = 64;

/// A condition that every wanted row fulfils.
#[derive(Debug, Clone, Copy)]
pub enum Required<'a> {
    /// The line holds at least one of these texts, as they are or but for the case of ASCII
    /// letters. An empty list rules out nothing.
    AnyOf(&'a [Box<[u8]>]),
    /// The structured metadata has this name with this value.
    Metadata(&'a str, &'a str),
}

/// Decides which pages of the token index tell where wanted rows can be.
///
/// Read all [`PrunePlan::ranges`] and ask [`PrunePlan::blocks`], or let
/// [`PrunePlan::blocks_among`] read as it goes.
#[must_use]
pub fn prune(footer: &Footer, required: &[Required<'_>]) -> PrunePlan {
    let mut plan = PrunePlan { conditions: Vec::new(), pages: BTreeMap::new() };
    let Some((directory, section)) = footer.token_index() else { return plan };
    let blocks = footer.blocks().len() as u64;
    for required in required {
        plan.conditions.extend(condition(directory, required, blocks));
    }
    for lookup in plan.conditions.iter().flatten().flatten() {
        let Some(family) = directory.family(lookup.family) else { continue };
        for number in lookup.pages.clone() {
            let page = family.pages[(number - family.first_page) as usize];
            let range = section.start + page.range().start..section.start + page.range().end;
            plan.pages.insert(number, (page, range));
        }
    }
    plan
}

/// Which parts of a segment to read, and how to decide by them.
#[derive(Debug, Clone)]
pub struct PrunePlan {
    /// All conditions must hold, by one of their alternatives, which is a list of keys that a
    /// block must have, those first that tell most.
    conditions: Vec<Vec<Vec<Lookup>>>,
    /// The pages that may be read, by number.
    pages: BTreeMap<u32, (pages::Page, Range<u64>)>,
}

/// A key whose posting is needed.
#[derive(Debug, Clone)]
struct Lookup {
    family: Family,
    /// Its postings lie in this range.
    postings: (u64, u64),
    /// And on these pages, by number.
    pages: Range<u32>,
}

impl PrunePlan {
    /// The parts of the object to read, ascending; none when nothing can be ruled out.
    #[must_use]
    pub fn ranges(&self) -> Vec<Range<u64>> {
        self.pages.values().map(|(_, range)| range.clone()).collect()
    }

    /// Whether reading cannot rule out any block.
    #[must_use]
    pub fn is_useless(&self) -> bool {
        self.conditions.is_empty()
    }

    /// The blocks that may hold wanted rows, given the bytes of [`PrunePlan::ranges`] and the footer
    /// the plan was made with. Every other block holds none.
    ///
    /// # Errors
    ///
    /// [`FormatError`] when the bytes are not those pages; read all blocks, and report the segment.
    pub fn blocks<B: AsRef<[u8]>>(&self, footer: &Footer, bytes: &[B]) -> Result<BlockSet> {
        if bytes.len() != self.pages.len() {
            return Err(FormatError::Corrupt("other pages than were asked for"));
        }
        let starts = self.pages.values().map(|(_, range)| range.start);
        let bytes: BTreeMap<u64, &[u8]> = starts.zip(bytes.iter().map(AsRef::as_ref)).collect();
        let all = BlockSet::all(footer.blocks().len());
        self.blocks_among(footer, &all, |ranges| -> Result<Vec<&[u8]>> {
            let bytes = ranges.iter().filter_map(|range| bytes.get(&range.start).copied());
            Ok(bytes.collect())
        })
    }

    /// Those of some blocks that may hold wanted rows: the others of them hold none. Asks `read` for
    /// the pages of one key after the other, for each page of a key once, and for none any more as
    /// soon as no block is left: it answers with the bytes of each range.
    ///
    /// # Errors
    ///
    /// What `read` says, and [`FormatError`] when the bytes are not those pages; read all blocks, and
    /// report the segment.
    pub fn blocks_among<B: AsRef<[u8]>, E: From<FormatError>>(
        &self,
        footer: &Footer,
        candidates: &BlockSet,
        mut read: impl FnMut(&[Range<u64>]) -> std::result::Result<Vec<B>, E>,
    ) -> std::result::Result<BlockSet, E> {
        let mut wanted = candidates.clone();
        let Some((directory, _)) = footer.token_index() else { return Ok(wanted) };
        // Alternatives share most of their keys.
        let mut known = Known::new();
        for alternatives in &self.conditions {
            let mut any = BlockSet::empty(wanted.len);
            for lookups in alternatives {
                let mut passing = wanted.clone();
                for lookup in lookups {
                    if passing.is_empty() {
                        break;
                    }
                    let key = (lookup.family as u8, lookup.postings.0);
                    if let Some(found) = known.get(&key) {
                        passing.intersect(found);
                        continue;
                    }
                    let bytes = read(&self.ranges_of(lookup))?;
                    let found = self.with_key(directory, lookup, &bytes, wanted.len)?;
                    passing.intersect(&found);
                    known.insert(key, found);
                }
                any.unite(&passing);
            }
            wanted.intersect(&any);
        }
        Ok(wanted)
    }

    fn ranges_of(&self, lookup: &Lookup) -> Vec<Range<u64>> {
        self.pages.range(lookup.pages.clone()).map(|(_, (_, range))| range.clone()).collect()
    }

    /// The blocks of all `blocks` that may have a key, whose pages are given.
    fn with_key<B: AsRef<[u8]>>(
        &self,
        directory: &IndexDirectory,
        lookup: &Lookup,
        bytes: &[B],
        blocks: usize,
    ) -> Result<BlockSet> {
        let mut found = BlockSet::empty(blocks);
        let family = directory.family(lookup.family);
        for block in family.map_or(&[][..], |family| &family.unlisted) {
            found.insert(*block);
        }
        if bytes.len() != lookup.pages.len() {
            return Err(FormatError::Corrupt("other pages than were asked for"));
        }
        for ((number, (page, _)), bytes) in self.pages.range(lookup.pages.clone()).zip(bytes) {
            pages::scan(page, *number, bytes.as_ref(), lookup.postings, |posting| {
                found.insert((posting % blocks as u64) as u32);
            })?;
        }
        Ok(found)
    }
}

/// The blocks that may have a key, by family and first possible posting.
type Known = BTreeMap<(u8, u64), BlockSet>;

/// The alternatives of a condition as lists of keys; `None` when it cannot rule out anything.
fn condition(
    directory: &IndexDirectory,
    required: &Required<'_>,
    blocks: u64,
) -> Option<Vec<Vec<Lookup>>> {
    match required {
        Required::AnyOf(texts) => {
            if texts.is_empty() || texts.len() > ALTERNATIVES_MAX {
                return None;
            }
            let keys = texts.iter().map(|text| text_lookups(directory, text, blocks));
            keys.map(|keys| (!keys.is_empty()).then_some(keys)).collect()
        }
        Required::Metadata(name, value) => {
            // Short values have no keys, and levels have sets of their own.
            if value.len() < VALUE_BYTES_MIN || *name == LEVEL_NAME {
                return None;
            }
            let key = value_key(name_hash(name), xxh3_64(value.as_bytes()));
            Some(vec![vec![lookup(directory, Family::Values, key, blocks)?]])
        }
    }
}

/// The keys to look up for a text: what tells most first.
fn text_lookups(directory: &IndexDirectory, text: &[u8], blocks: u64) -> Vec<Lookup> {
    let found = |family, key: &u32| lookup(directory, family, *key, blocks);
    let mut lookups: Vec<Lookup> = number_keys_of(text)
        .iter()
        .filter_map(|key| found(Family::Numbers, key))
        .chain(identifier_keys_of(text).iter().filter_map(|key| found(Family::Identifiers, key)))
        .take(IDENTIFIERS_MAX)
        .collect();
    let grams_max =
        if lookups.len() < IDENTIFIERS_MAX - 1 { GRAMS_MAX } else { GRAMS_BESIDE_IDENTIFIERS };
    let mut grams = grams_of(text);
    grams.sort_by_cached_key(|gram| commonness(*gram));
    lookups.extend(grams.iter().take(grams_max).filter_map(|key| found(Family::Grams, key)));
    lookups
}

/// Where a key's posting is, if its family is indexed.
fn lookup(directory: &IndexDirectory, family: Family, key: u32, blocks: u64) -> Option<Lookup> {
    let indexed: &FamilyDirectory = directory.family(family)?;
    let key = u64::from(key >> (family_bits(family).checked_sub(indexed.key_bits)?));
    let postings = (key * blocks, (key + 1) * blocks);
    let pages = indexed.pages_with(postings.0, postings.1);
    let number = |index: usize| indexed.first_page + index as u32;
    Some(Lookup { family, postings, pages: number(pages.start)..number(pages.end) })
}

/// How common a gram is by its symbols, in per mille of letters of plain English; digits occur
/// everywhere.
fn commonness(gram: u32) -> u32 {
    const LETTERS: [u32; 26] = [
        82, 15, 28, 43, 127, 22, 20, 61, 70, 2, 8, 40, 24, 67, 75, 19, 1, 60, 63, 91, 28, 10, 24,
        2, 20, 1,
    ];
    [gram >> 10, gram >> 5, gram]
        .map(|symbol| LETTERS.get((symbol & 31).wrapping_sub(1) as usize).copied().unwrap_or(150))
        .iter()
        .sum()
}

/// A set of the blocks of one segment.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct BlockSet {
    words: Vec<u64>,
    len: usize,
}

impl BlockSet {
    /// None of so many blocks.
    #[must_use]
    pub fn empty(len: usize) -> Self {
        Self { words: vec![0; len.div_ceil(64)], len }
    }

    /// All of so many blocks.
    #[must_use]
    pub fn all(len: usize) -> Self {
        let mut set = Self::empty(len);
        (0..len as u32).for_each(|block| set.insert(block));
        set
    }

    /// Adds a block, by ordinal, if the segment has it.
    pub fn insert(&mut self, block: u32) {
        let block = block as usize;
        if block < self.len {
            self.words[block / 64] |= 1 << (block % 64);
        }
    }

    /// Keeps what is in the other set, too.
    pub fn intersect(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word &= other);
    }

    /// Adds what is in the other set.
    pub fn unite(&mut self, other: &Self) {
        self.words.iter_mut().zip(&other.words).for_each(|(word, other)| *word |= other);
    }

    /// Whether a block, by ordinal, may hold wanted rows.
    #[must_use]
    pub fn contains(&self, block: u32) -> bool {
        let block = block as usize;
        block < self.len && self.words[block / 64] >> (block % 64) & 1 == 1
    }

    /// How many blocks may hold wanted rows.
    #[must_use]
    pub fn count(&self) -> usize {
        self.words.iter().map(|word| word.count_ones() as usize).sum()
    }

    /// Whether no block holds wanted rows.
    #[must_use]
    pub fn is_empty(&self) -> bool {
        self.words.iter().all(|word| *word == 0)
    }

    /// The blocks that may hold wanted rows, ascending.
    pub fn iter(&self) -> impl Iterator<Item = u32> {
        (0..self.len as u32).filter(|block| self.contains(*block))
    }
}
