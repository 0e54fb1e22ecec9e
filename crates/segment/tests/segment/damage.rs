//! Damaged bytes are noticed, or not read; never believed.

use model::{Labels, Level};
use proptest::prelude::*;
use segment::{EncodeSettings, Footer, LineCodec, verify};

use crate::rows::{InputRow, Streams, decode, encode, sorted};

/// A small segment that has every kind of part.
fn sample(line_codec: LineCodec) -> Vec<u8> {
    let settings = EncodeSettings { block_rows: 40, line_codec, ..EncodeSettings::default() };
    let streams: Streams = (0..4)
        .map(|n| {
            let rows = (0..30)
                .map(|k: i64| InputRow {
                    at: 1_700_000_000_000_000_000 + k * k * 1_000_000 + n,
                    line: format!("request {k} took {}ms\n", k * n).into_bytes(),
                    level: Level::from_code((k % 5) as u8),
                    metadata: match k % 3 {
                        0 => vec![("trace_id".to_owned(), format!("{:032x}", k * n))],
                        1 => vec![("user".to_owned(), format!("u{}", k % 4))],
                        _ => vec![],
                    },
                })
                .collect();
            (Labels::new([("app", "web"), ("pod", &*format!("web-{n}"))]), rows)
        })
        .collect();
    encode(&sorted(streams, &settings), &settings).unwrap().bytes.to_vec()
}

#[test]
fn every_flipped_bit_is_noticed() {
    for line_codec in [LineCodec::Zstd, LineCodec::Columns] {
        every_flipped_bit_of(sample(line_codec));
    }
}

fn every_flipped_bit_of(mut bytes: Vec<u8>) {
    let whole = decode(&bytes).unwrap();
    verify(&bytes).unwrap();
    for at in 0..bytes.len() {
        let bit = 1 << (at % 8);
        bytes[at] ^= bit;
        assert!(verify(&bytes).is_err(), "byte {at} of {}", bytes.len());
        // A reader that does not look at the damaged part is not disturbed by it.
        if let Ok(rows) = decode(&bytes) {
            assert!(rows == whole, "byte {at}");
        }
        bytes[at] ^= bit;
    }
}

#[test]
fn every_cut_is_noticed() {
    let bytes = sample(LineCodec::Columns);
    for len in 0..bytes.len() {
        assert!(verify(&bytes[..len]).is_err(), "the first {len}");
        assert!(verify(&bytes[bytes.len() - len..]).is_err(), "the last {len}");
    }
    let mut longer = bytes.clone();
    longer.push(0);
    assert!(verify(&longer).is_err());
}

#[test]
fn chunks_of_another_block_are_refused() {
    let bytes = sample(LineCodec::Zstd);
    let footer = Footer::decode(&bytes, bytes.len() as u64).unwrap();
    let [first, second] = &footer.blocks()[..2] else { panic!("two blocks") };
    let part = |range: &std::ops::Range<u64>| &bytes[range.start as usize..range.end as usize];
    assert!(segment::decode_timestamps(first, part(&second.timestamps)).is_err());
    assert!(segment::decode_timestamps(first, part(&first.lines)).is_err());
    let times = segment::decode_timestamps(first, part(&first.timestamps)).unwrap();
    let lengths = segment::decode_lengths(first, part(&first.lengths)).unwrap();
    assert!(segment::decode_lines(first, &times, &lengths[1..], part(&first.lines)).is_err());
    assert!(segment::decode_lines(first, &times, &lengths, part(&second.lines)).is_err());
}

proptest! {
    #[test]
    fn any_bytes_are_refused(bytes: Vec<u8>, file_len: u64) {
        prop_assert!(Footer::decode(&bytes, file_len).is_err());
        prop_assert!(verify(&bytes).is_err());
    }
}
