//! Digests: they add up, they are checked, and segments without them are as they were.

use std::collections::BTreeMap;

use model::{Labels, Level, Timestamp};
use proptest::prelude::*;
use segment::{
    DIGEST_SECONDS, Digest, EncodeSettings, EncodedSegment, Row, RowHasher, SegmentDigests,
    decode_digests, digest_cell, verify,
};

use crate::rows::{InputRow, Streams, decode, encode, encode_with_digests, expected, sorted};

fn digests(encoded: &EncodedSegment) -> SegmentDigests {
    let range = encoded.footer.digests().unwrap();
    let bytes = &encoded.bytes[range.start as usize..range.end as usize];
    decode_digests(&encoded.footer, bytes).unwrap()
}

/// The digests as they are told, by stream and cell.
fn told(encoded: &EncodedSegment, seconds: u32) -> BTreeMap<(u64, i64), Digest> {
    digests(encoded).widened(&encoded.footer, seconds).into_iter().collect()
}

/// The digests as rows make them.
pub fn made(streams: &Streams, seconds: u32) -> BTreeMap<(u64, i64), Digest> {
    let mut made: BTreeMap<_, Digest> = BTreeMap::new();
    for (labels, rows) in streams {
        let hasher = RowHasher::new(labels);
        for row in rows {
            let metadata: Vec<_> =
                row.metadata.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            let timestamp = Timestamp(row.at);
            let row = Row { timestamp, line: &row.line, level: row.level, metadata: &metadata };
            let cell = (hasher.stream(), digest_cell(timestamp, seconds));
            made.entry(cell).or_default().add_row(hasher.hash(&row));
        }
    }
    made
}

fn any_streams() -> impl Strategy<Value = Streams> {
    let metadata = prop::collection::vec(("[a-c]|detected_level", "[x-z]{0,2}|info"), 0..4);
    let at = prop_oneof![-2_000_000_000_000i64..2_000_000_000_000, any::<i64>()];
    let row = (at, "[a-z]{0,9}", prop::option::of(1u8..=8), metadata).prop_map(
        |(at, line, level, metadata)| InputRow {
            at,
            line: line.into_bytes(),
            level: level.and_then(Level::from_code),
            metadata,
        },
    );
    let labels = "[a-f]{1,2}".prop_map(|app| Labels::new([("app", app.as_str())]));
    prop::collection::vec((labels, prop::collection::vec(row, 1..30)), 1..6)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(100))]

    #[test]
    fn digests_are_those_of_the_rows(
        streams in any_streams(),
        width in prop::sample::select(DIGEST_SECONDS.to_vec()),
        block_rows in prop::sample::select(vec![1u32, 7, 1 << 16]),
    ) {
        let settings = EncodeSettings { block_rows, ..EncodeSettings::default() };
        let streams = sorted(streams, &settings);
        let encoded = encode_with_digests(&streams, &settings, width).unwrap();
        verify(&encoded.bytes).unwrap();
        prop_assert!(decode(&encoded.bytes).unwrap() == expected(&streams));
        for seconds in DIGEST_SECONDS.into_iter().filter(|seconds| *seconds >= width) {
            prop_assert_eq!(told(&encoded, seconds), made(&streams, seconds));
        }
        let plain = encode(&streams, &settings).unwrap();
        prop_assert!(plain.footer.digests().is_none());
        prop_assert_ne!(plain.name.hash(), encoded.name.hash());
    }
}

#[test]
fn every_flipped_bit_of_digests_is_noticed() {
    let rows = (0..50).map(|n| InputRow::new(n * 700_000_000, b"line")).collect();
    let streams = vec![(Labels::new([("app", "web")]), rows)];
    let encoded = encode_with_digests(&streams, &EncodeSettings::default(), 1).unwrap();
    let range = encoded.footer.digests().unwrap();
    let mut bytes = encoded.bytes[range.start as usize..range.end as usize].to_vec();
    for at in 0..bytes.len() {
        bytes[at] ^= 1 << (at % 8);
        assert!(decode_digests(&encoded.footer, &bytes).is_err());
        bytes[at] ^= 1 << (at % 8);
    }
    assert!(decode_digests(&encoded.footer, &bytes).is_ok());
}
