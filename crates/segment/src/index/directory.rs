//! The section INDEX DIRECTORY: what is indexed how, and where each page of postings begins.

use std::ops::Range;

use crate::encoding::cursor::{Cursor, put_varint};
use crate::error::Result;

use super::pages::{PAGE_BYTES_MIN, PAGE_POSTINGS, Page};
use super::{Family, family_bits};

/// The families of a segment's index; a family that is missing prunes nothing.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub(crate) struct IndexDirectory {
    families: [Option<FamilyDirectory>; Family::COUNT],
}

/// One family of keys.
#[derive(Debug, Clone, PartialEq, Eq)]
pub(crate) struct FamilyDirectory {
    /// How many bits keys have; longer ones lose their lowest.
    pub(crate) key_bits: u32,
    /// Blocks that have keys and no postings, ascending.
    pub(crate) unlisted: Vec<u32>,
    /// The pages, by their first posting.
    pub(crate) pages: Vec<Page>,
    /// Number of the first page, counted through all families.
    pub(crate) first_page: u32,
}

impl FamilyDirectory {
    fn postings(&self) -> u64 {
        self.pages.iter().map(|page| u64::from(page.count)).sum()
    }

    /// The pages that may hold postings in a range, as indices.
    pub(crate) fn pages_with(&self, from: u64, to: u64) -> Range<usize> {
        let behind = self.pages.partition_point(|page| page.first < to);
        let first = self.pages.partition_point(|page| page.first <= from).saturating_sub(1);
        first.min(behind)..behind
    }
}

impl IndexDirectory {
    pub(crate) fn new(families: [Option<FamilyDirectory>; Family::COUNT]) -> Self {
        Self { families }
    }

    pub(crate) fn family(&self, family: Family) -> Option<&FamilyDirectory> {
        self.families[family as usize].as_ref()
    }

    /// Every page of every family, by number.
    pub(crate) fn pages(&self) -> impl Iterator<Item = (u32, &Page)> {
        let families = self.families.iter().flatten();
        families.flat_map(|family| (family.first_page..).zip(&family.pages))
    }

    pub(crate) fn memory_bytes(&self) -> usize {
        let families = self.families.iter().flatten();
        families.map(|family| size_of_val(&*family.pages) + size_of_val(&*family.unlisted)).sum()
    }

    /// Appends the section.
    pub(crate) fn encode(&self, out: &mut Vec<u8>) {
        for family in Family::ALL {
            let Some(directory) = self.family(family) else { continue };
            out.push(family as u8);
            out.push(directory.key_bits as u8);
            put_varint(out, directory.unlisted.len() as u64);
            let mut next = 0;
            for block in &directory.unlisted {
                put_varint(out, u64::from(block - next));
                next = block + 1;
            }
            put_varint(out, directory.postings());
            let mut first = 0;
            for page in &directory.pages {
                put_varint(out, page.first - first);
                put_varint(out, u64::from(page.len));
                first = page.first;
            }
        }
    }

    /// Reads the section of a segment with `blocks` blocks whose pages take `pages_len` bytes.
    pub(crate) fn decode(bytes: &[u8], blocks: usize, pages_len: u64) -> Result<Self> {
        let mut cursor = Cursor::new(bytes, "index directory");
        let mut families = [const { None }; Family::COUNT];
        let (mut next_family, mut next_page, mut offset) = (0, 0, 0u64);
        while cursor.remaining() > 0 {
            let code = cursor.u8()?;
            let family = Family::ALL.into_iter().find(|family| *family as u8 == code);
            let family = family.filter(|_| code >= next_family);
            let family = family.ok_or_else(|| cursor.corrupt())?;
            next_family = code + 1;
            let mut directory = decode_family(&mut cursor, family, blocks)?;
            directory.first_page = next_page;
            next_page += directory.pages.len() as u32;
            for page in &mut directory.pages {
                page.offset = offset;
                offset += u64::from(page.len);
            }
            families[family as usize] = Some(directory);
        }
        if offset != pages_len {
            return Err(cursor.corrupt());
        }
        Ok(Self { families })
    }
}

fn decode_family(
    cursor: &mut Cursor<'_>,
    family: Family,
    blocks: usize,
) -> Result<FamilyDirectory> {
    let key_bits = u32::from(cursor.u8()?);
    if key_bits > family_bits(family) {
        return Err(cursor.corrupt());
    }
    let mut unlisted = Vec::new();
    let mut next = 0u64;
    for _ in 0..cursor.count(1)? {
        let block = next + u64::from(cursor.varint_u32()?);
        if block >= blocks as u64 {
            return Err(cursor.corrupt());
        }
        unlisted.push(block as u32);
        next = block + 1;
    }
    let mut left = cursor.varint()?;
    let count = left.div_ceil(PAGE_POSTINGS as u64);
    if count > cursor.remaining() as u64 / 2 {
        return Err(cursor.corrupt());
    }
    let mut pages = Vec::with_capacity(count as usize);
    let mut first = 0u64;
    for index in 0..count {
        let step = cursor.varint()?;
        let len = cursor.varint_u32()?;
        let next = first.checked_add(step).filter(|_| index == 0 || step > 0);
        first = next.ok_or_else(|| cursor.corrupt())?;
        if (len as usize) < PAGE_BYTES_MIN {
            return Err(cursor.corrupt());
        }
        let postings = left.min(PAGE_POSTINGS as u64);
        left -= postings;
        pages.push(Page { first, offset: 0, len, count: postings as u16 });
    }
    Ok(FamilyDirectory { key_bits, unlisted, pages, first_page: 0 })
}

#[cfg(test)]
mod tests {
    use super::*;

    fn family(first_page: u32, firsts: &[u64]) -> FamilyDirectory {
        let offsets = (u64::from(first_page) * 100..).step_by(100);
        let page = |(first, offset): (&u64, u64)| Page {
            first: *first,
            offset,
            len: 100,
            count: PAGE_POSTINGS as u16,
        };
        let mut pages: Vec<Page> = firsts.iter().zip(offsets).map(page).collect();
        pages.last_mut().unwrap().count = 5;
        FamilyDirectory { key_bits: 15, unlisted: vec![0, 3, 4], pages, first_page }
    }

    #[test]
    fn directories_round_trip() {
        let directory = IndexDirectory::new([
            Some(family(0, &[7, 300, 900])),
            None,
            Some(family(3, &[0])),
            Some(family(4, &[9, 20])),
        ]);
        let mut out = Vec::new();
        directory.encode(&mut out);
        assert_eq!(IndexDirectory::decode(&out, 5, 600), Ok(directory.clone()));
        assert!(IndexDirectory::decode(&out, 4, 600).is_err(), "an unlisted block too many");
        assert!(IndexDirectory::decode(&out, 5, 601).is_err());
        let places = directory.pages().map(|(number, page)| (number, page.range().start));
        assert_eq!(
            places.collect::<Vec<_>>(),
            [(0, 0), (1, 100), (2, 200), (3, 300), (4, 400), (5, 500)]
        );
        for at in 0..out.len() {
            let _ = IndexDirectory::decode(&out[..at], 5, 600);
            out[at] ^= 0x85;
            let _ = IndexDirectory::decode(&out, 5, 600);
            out[at] ^= 0x85;
        }
    }

    #[test]
    fn pages_are_found_by_range() {
        let family = family(0, &[10, 300, 900]);
        let find = |from, to| family.pages_with(from, to);
        assert_eq!(find(0, 10), 0..0);
        assert_eq!(find(0, 11), 0..1);
        assert_eq!(find(10, 20), 0..1);
        assert_eq!(find(299, 301), 0..2);
        assert_eq!(find(300, 301), 1..2);
        assert_eq!(find(901, 5000), 2..3);
    }
}
