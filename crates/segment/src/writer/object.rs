//! Putting the object together.

use xxhash_rust::xxh3::Xxh3;

use crate::block::index;
use crate::cells;
use crate::digest::{self, DigestBuilder};
use crate::encoding::cursor::{put_bytes, put_signed};
use crate::encoding::frame::{FrameEncoder, library_version};
use crate::error::{FormatError, Result};
use crate::facts::SegmentFacts;
use crate::footer::Footer;
use crate::footer::directory::{Directory, Section, SectionType};
use crate::footer::record::{FactsRecord, encode_coverage, encode_settings};
use crate::footer::tail::{self, Tail};
use crate::index::builder::IndexBuilder;
use crate::limits::{FOOTER_BYTES_MAX, LEVEL_MAX};
use crate::settings::EncodeSettings;

use super::SegmentWriter;
use super::regions::Regions;

/// Counts up whenever the writer makes other bytes of the same rows and settings.
const WRITE_VERSION: u8 = 5;
/// The zstd level of sections, which are small.
const SECTION_ZSTD_LEVEL: i32 = 3;

/// Begins a name's hash with everything but the rows that decides the object's bytes.
pub(super) fn hash_facts(facts: &SegmentFacts, settings: &EncodeSettings, hash: &mut Xxh3) {
    let mut bytes = vec![WRITE_VERSION];
    bytes.extend_from_slice(&library_version().to_le_bytes());
    encode_settings(settings, &mut bytes);
    put_bytes(&mut bytes, facts.tenant.as_str().as_bytes());
    put_signed(&mut bytes, i64::from(facts.day));
    bytes.push(facts.level);
    if let Some(coverage) = &facts.coverage {
        encode_coverage(coverage, &mut bytes);
    }
    hash.update(&(bytes.len() as u64).to_le_bytes());
    hash.update(&bytes);
}

/// An object whose last byte is made.
pub(super) struct Assembled {
    /// Bytes of the object that stand where it was spilled to.
    pub(super) spilled: u64,
    /// The bytes behind those: all of the object when it was built in memory.
    pub(super) rest: Vec<u8>,
    pub(super) footer: Footer,
    pub(super) regions: Regions,
}

/// Makes the object of a writer whose last block is closed.
pub(super) fn assemble(mut writer: SegmentWriter) -> Result<Assembled> {
    if writer.facts.level > LEVEL_MAX {
        return Err(FormatError::TooLarge("compaction level"));
    }
    let names = rank_names(&mut writer);
    let record = facts_record(&mut writer);
    let (spilled, mut object) = writer.regions.join(&writer.records, names.len())?;

    let mut encoder = FrameEncoder::new(SECTION_ZSTD_LEVEL)?;
    let mut sections = Vec::new();
    let index = writer.index.take().map(IndexBuilder::finish);
    if let Some((pages, _)) = &index {
        sections.push(Section::write_plain(SectionType::TokenIndex, pages, &mut object)?);
    }
    let mut payload = Vec::new();
    let (width, blocks) = writer.cells.finish();
    cells::encode(width, &blocks, &mut payload);
    sections.push(Section::write(SectionType::Cells, &payload, &mut encoder, &mut object)?);
    payload.clear();
    if let Some(digests) = writer.digests.take().map(DigestBuilder::finish) {
        digest::encode(&digests, &mut payload);
        sections.push(Section::write(SectionType::Digest, &payload, &mut encoder, &mut object)?);
        payload.clear();
    }
    writer.streams.encode(&mut payload);
    let open_at = object.len();
    sections.push(Section::write(SectionType::Streams, &payload, &mut encoder, &mut object)?);
    payload.clear();
    if let Some((_, directory)) = &index {
        directory.encode(&mut payload);
        let section = SectionType::IndexDirectory;
        sections.push(Section::write(section, &payload, &mut encoder, &mut object)?);
        payload.clear();
    }
    let names: Vec<&str> = names.iter().map(|name| &**name).collect();
    index::encode(&names, &writer.records, &mut payload);
    sections.push(Section::write(SectionType::Blocks, &payload, &mut encoder, &mut object)?);

    let sections = sections.into_iter().map(|section| section.behind(spilled)).collect();
    let mut footer = Vec::new();
    Directory::new(sections).encode(&mut footer);
    record.encode(&mut footer);
    if footer.len() > FOOTER_BYTES_MAX {
        return Err(FormatError::TooLarge("footer"));
    }
    object.extend_from_slice(&footer);
    let open_len = (object.len() + tail::TAIL_BYTES - open_at) as u64;
    Tail::new(open_len, &footer).encode(&mut object);
    // Reading it back checks the writer, and costs next to nothing.
    let footer = Footer::decode(&object[open_at..], spilled + object.len() as u64)?;
    Ok(Assembled { spilled, rest: object, footer, regions: writer.regions })
}

fn facts_record(writer: &mut SegmentWriter) -> FactsRecord {
    // The rows decide the digests; only their width is a choice. Names of segments without digests
    // are what they always were.
    if let Some(digests) = &writer.digests {
        writer.hash.update(b"digest");
        writer.hash.update(&digests.seconds().to_le_bytes());
    }
    for parent in &writer.parents {
        writer.hash.update(&parent.to_le_bytes());
    }
    let records = &writer.records;
    FactsRecord {
        facts: writer.facts.clone(),
        class: 0,
        first: model::Timestamp(records.iter().map(|block| block.first).min().unwrap_or(0)),
        last: model::Timestamp(records.iter().map(|block| block.last).max().unwrap_or(0)),
        rows: writer.rows,
        raw_bytes: writer.raw_bytes,
        streams: writer.streams.len() as u64,
        hash: writer.hash.digest128(),
        settings: writer.settings.clone(),
        parents: writer.parents.clone(),
    }
}

/// Numbers the metadata names by text instead of by appearance; answers them in order.
fn rank_names(writer: &mut SegmentWriter) -> Vec<Box<str>> {
    let mut names: Vec<(Box<str>, u32)> = writer.names.drain().collect();
    names.sort_unstable();
    let mut ranks = vec![0; names.len()];
    for (rank, (_, number)) in (0..).zip(&names) {
        ranks[*number as usize] = rank;
    }
    for (name, _) in writer.records.iter_mut().flat_map(|block| &mut block.metadata) {
        *name = ranks[*name as usize];
    }
    names.into_iter().map(|(name, _)| name).collect()
}
