use std::io::Write;

use proptest::prelude::*;

use super::*;

const ALL: [ContentEncoding; 6] = [
    ContentEncoding::Identity,
    ContentEncoding::SnappyBlock,
    ContentEncoding::Gzip,
    ContentEncoding::Deflate,
    ContentEncoding::Zstd,
    ContentEncoding::Lz4,
];

fn compress(plain: &[u8], encoding: ContentEncoding) -> Vec<u8> {
    let level = flate2::Compression::fast();
    match encoding {
        ContentEncoding::Identity => plain.to_vec(),
        ContentEncoding::SnappyBlock => snap::raw::Encoder::new().compress_vec(plain).unwrap(),
        ContentEncoding::Gzip => {
            let mut encoder = flate2::write::GzEncoder::new(Vec::new(), level);
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        ContentEncoding::Deflate => {
            let mut encoder = flate2::write::DeflateEncoder::new(Vec::new(), level);
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
        ContentEncoding::Zstd => zstd::stream::encode_all(plain, 1).unwrap(),
        ContentEncoding::Lz4 => {
            let mut encoder = lz4_flex::frame::FrameEncoder::new(Vec::new());
            encoder.write_all(plain).unwrap();
            encoder.finish().unwrap()
        }
    }
}

proptest! {
    #[test]
    fn bodies_come_back(plain in prop::collection::vec(any::<u8>(), 0..5000)) {
        for encoding in ALL {
            let packed = Bytes::from(compress(&plain, encoding));
            let unpacked = decompress(packed, encoding, 5000).unwrap();
            prop_assert_eq!(&unpacked[..], &plain[..], "{:?}", encoding);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..100)) {
        for encoding in ALL {
            let _ = decompress(bytes.clone().into(), encoding, 1 << 20);
        }
    }
}

#[test]
fn bombs_stop_at_the_limit() {
    let plain = vec![b'a'; 1 << 20];
    for encoding in ALL {
        let packed = Bytes::from(compress(&plain, encoding));
        let error = decompress(packed.clone(), encoding, (1 << 20) - 1).unwrap_err();
        assert!(error.is_too_large(), "{encoding:?}: {error}");
        assert!(decompress(packed, encoding, 1 << 20).is_ok());
    }
    let announces_4_gib = Bytes::from_static(&[0xff, 0xff, 0xff, 0xff, 0x0f, 0]);
    let error = decompress(announces_4_gib, ContentEncoding::SnappyBlock, u64::MAX).unwrap_err();
    assert_eq!(error.to_string(), "snappy: corrupt input");
}

#[test]
fn refusals_are_worded() {
    let check = |result: Result<ContentEncoding, BodyError>, expected: &str| {
        assert_eq!(result.unwrap_err().to_string(), expected);
    };
    check(ContentEncoding::of_push("zstd"), "Content-Encoding \"zstd\" not supported");
    check(
        ContentEncoding::of_otlp("br"),
        "unsupported content encoding br: only gzip, lz4 and zstd are supported",
    );
    let empty = decompress(Bytes::new(), ContentEncoding::SnappyBlock, 10).unwrap_err();
    assert_eq!(empty.to_string(), "snappy: corrupt input");
    let too_large = decompress(Bytes::from_static(b"abc"), ContentEncoding::Identity, 2);
    assert_eq!(
        too_large.unwrap_err().to_string(),
        "decompressed message size too large than max (3 vs 2)"
    );
}
