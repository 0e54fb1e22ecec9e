//! Checksums of chunks.
//!
//! A chunk ends with the low 32 bits of XXH3-64 over its bytes. The hash is seeded with where the
//! chunk belongs, so that an intact chunk in the wrong place is noticed too.

use xxhash_rust::xxh3::xxh3_64_with_seed;

use crate::error::{FormatError, Result};

/// Bytes that a checksum adds to a chunk.
pub(crate) const CHECKSUM_BYTES: usize = 4;

/// Which chunk of a block it is.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum ChunkKind<'a> {
    Timestamps,
    Lengths,
    Lines,
    Metadata(&'a str),
    /// A page of the token index; pages are numbered instead of blocks.
    Page,
}

impl ChunkKind<'_> {
    fn seed(self, block: u32) -> u64 {
        let block = u64::from(block);
        match self {
            Self::Timestamps => block | 1 << 32,
            Self::Lengths => block | 2 << 32,
            Self::Lines => block | 3 << 32,
            Self::Page => block | 5 << 32,
            Self::Metadata(name) => xxh3_64_with_seed(name.as_bytes(), block | 4 << 32),
        }
    }

    fn name(self) -> &'static str {
        match self {
            Self::Timestamps => "timestamps",
            Self::Lengths => "line lengths",
            Self::Lines => "lines",
            Self::Page => "token index page",
            Self::Metadata(_) => "structured metadata",
        }
    }
}

fn sum(kind: ChunkKind<'_>, block: u32, payload: &[u8]) -> [u8; CHECKSUM_BYTES] {
    (xxh3_64_with_seed(payload, kind.seed(block)) as u32).to_le_bytes()
}

/// Ends the chunk that begins at `start` of `out`.
pub(crate) fn seal(kind: ChunkKind<'_>, block: u32, out: &mut Vec<u8>, start: usize) {
    let sum = sum(kind, block, &out[start..]);
    out.extend_from_slice(&sum);
}

/// The payload of a chunk whose length the index knows.
pub(crate) fn open<'a>(
    kind: ChunkKind<'_>,
    block: u32,
    bytes: &'a [u8],
    expected_len: u64,
) -> Result<&'a [u8]> {
    if bytes.len() as u64 != expected_len {
        return Err(FormatError::Corrupt("a chunk has another length than the index says"));
    }
    let (payload, stored) =
        bytes.split_last_chunk().ok_or(FormatError::Corrupt("a chunk without checksum"))?;
    if *stored != sum(kind, block, payload) {
        return Err(FormatError::Checksum(kind.name()));
    }
    Ok(payload)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_chunk_opens_only_where_it_belongs() {
        let mut out = b"before".to_vec();
        out.extend_from_slice(b"payload");
        seal(ChunkKind::Metadata("a"), 3, &mut out, 6);
        let chunk = &out[6..];
        let open = |kind, block, bytes: &[u8]| open(kind, block, bytes, 11).map(<[u8]>::to_vec);
        assert_eq!(open(ChunkKind::Metadata("a"), 3, chunk), Ok(b"payload".to_vec()));
        let wrong = Err(FormatError::Checksum("structured metadata"));
        assert_eq!(open(ChunkKind::Metadata("b"), 3, chunk), wrong);
        assert_eq!(open(ChunkKind::Metadata("a"), 4, chunk), wrong);
        assert!(open(ChunkKind::Lines, 3, chunk).is_err());
        assert!(open(ChunkKind::Metadata("a"), 3, &chunk[1..]).is_err());
        for at in 0..chunk.len() {
            let mut damaged = chunk.to_vec();
            damaged[at] ^= 0x10;
            assert_eq!(open(ChunkKind::Metadata("a"), 3, &damaged), wrong, "byte {at}");
        }
    }
}
