//! Packed bodies of every encoding stay below the limit.
#![no_main]

use api::body::{ContentEncoding, decompress};
use bytes::Bytes;

const LIMIT: u64 = 1 << 20;

libfuzzer_sys::fuzz_target!(|body: &[u8]| {
    let encodings = [
        ContentEncoding::SnappyBlock,
        ContentEncoding::Gzip,
        ContentEncoding::Deflate,
        ContentEncoding::Zstd,
        ContentEncoding::Lz4,
    ];
    for encoding in encodings {
        if let Ok(plain) = decompress(Bytes::copy_from_slice(body), encoding, LIMIT) {
            assert!(plain.len() as u64 <= LIMIT);
        }
    }
});
