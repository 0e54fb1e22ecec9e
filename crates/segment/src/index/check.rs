//! Checking a token index against the rows it speaks of.

use model::columns::TextColumn;
use model::level::LEVEL_NAME;
use xxhash_rust::xxh3::xxh3_64;

use crate::error::{FormatError, Result};

use super::builder::KeyCollector;
use super::directory::IndexDirectory;
use super::keys::{VALUE_BYTES_MIN, name_hash, value_key};
use super::{Family, family_bits, pages};

/// All postings of an index, to be compared block by block.
pub(crate) struct IndexCheck<'a> {
    directory: &'a IndexDirectory,
    /// Per family: every posting, ascending.
    postings: [Vec<u64>; Family::COUNT],
    blocks: u64,
    collector: KeyCollector,
}

impl<'a> IndexCheck<'a> {
    /// Reads every page.
    pub(crate) fn read(directory: &'a IndexDirectory, bytes: &[u8], blocks: usize) -> Result<Self> {
        let mut postings = [const { Vec::new() }; Family::COUNT];
        for (number, page) in directory.pages() {
            let bytes = bytes.get(page.range().start as usize..page.range().end as usize);
            let bytes = bytes.ok_or(FormatError::Corrupt("a page outside its section"))?;
            let family = family_of(directory, number);
            let found: &mut Vec<u64> = &mut postings[family as usize];
            let before = found.last().copied();
            if before.is_some_and(|before| before >= page.first) {
                return Err(FormatError::Corrupt("pages out of order"));
            }
            pages::scan(page, number, bytes, (0, u64::MAX), |posting| found.push(posting))?;
        }
        let blocks = blocks as u64;
        for family in Family::ALL {
            let bits = directory.family(family).map_or(0, |family| family.key_bits);
            let last = postings[family as usize].last();
            if last.is_some_and(|last| *last >= blocks << bits) {
                return Err(FormatError::Corrupt("a posting of no key"));
            }
        }
        Ok(Self { directory, postings, blocks, collector: KeyCollector::new() })
    }

    pub(crate) fn postings(&self) -> u64 {
        self.postings.iter().map(|postings| postings.len() as u64).sum()
    }

    /// Checks that every key of a block's rows is listed: no search can miss a row of the block.
    pub(crate) fn check_block(
        &mut self,
        block: u32,
        text: &[u8],
        columns: &[TextColumn],
    ) -> Result<()> {
        let values = columns.iter().filter(|column| column.name() != LEVEL_NAME);
        let values = values.flat_map(|column| {
            let name = name_hash(column.name());
            let long = column.values().iter().filter(|value| value.len() >= VALUE_BYTES_MIN);
            long.map(move |value| value_key(name, xxh3_64(value.as_bytes())))
        });
        let values = values.collect();
        let grams = self.collector.grams(text);
        let (identifiers, numbers) = self.collector.identifiers_and_numbers(text, None);
        let keys = [grams, identifiers, values, numbers];
        for (family, keys) in Family::ALL.into_iter().zip(keys) {
            self.check_keys(family, block, &keys)?;
        }
        Ok(())
    }

    fn check_keys(&self, family: Family, block: u32, keys: &[u32]) -> Result<()> {
        let Some(directory) = self.directory.family(family) else { return Ok(()) };
        if directory.unlisted.binary_search(&block).is_ok() {
            return Ok(());
        }
        let cut = family_bits(family) - directory.key_bits;
        let postings = &self.postings[family as usize];
        let is_listed = |key: &u32| {
            let posting = u64::from(key >> cut) * self.blocks + u64::from(block);
            postings.binary_search(&posting).is_ok()
        };
        if keys.iter().all(is_listed) {
            Ok(())
        } else {
            Err(FormatError::Corrupt("the token index misses a key of a row"))
        }
    }
}

/// The family whose page has a number.
fn family_of(directory: &IndexDirectory, number: u32) -> Family {
    Family::ALL
        .into_iter()
        .rfind(|family| {
            directory
                .family(*family)
                .is_some_and(|family| family.first_page <= number && !family.pages.is_empty())
        })
        .unwrap_or(Family::Grams)
}
