//! Segments that earlier builds wrote stay readable. Files in `tests/fixtures` never change: a new
//! version of the format adds files.

use std::collections::BTreeMap;
use std::path::PathBuf;

use model::{Labels, Timestamp};
use segment::{
    Coverage, EncodeSettings, Footer, FormatError, LineCodec, Required, SegmentFacts,
    decode_digests, prune, verify,
};

use crate::digest::made;
use crate::fixture_rows::{PARENTS, coverage, in_old_order, settings, streams};
use crate::program_lines::{programs, scrambled};
use crate::rows::{InputRow, Streams, decode, expected, facts};

const NAME: &str =
    "seg/fake/20241004/0/02aznw7xoj40s6-2aznyvg8qurr4-17u-58f050ef0212f559f56e65c5cc3fb999.tn.seg";

fn read(file: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/fixtures").join(file);
    std::fs::read(path).unwrap()
}

#[test]
fn version_1_is_readable() {
    let bytes = read("v1.seg");
    let report = verify(&bytes).unwrap();
    assert!(decode(&bytes).unwrap() == expected(&streams()), "rows differ");
    assert!(report.cells > 0 && report.postings > 0 && report.blocks > 3);
    let footer = Footer::decode(&bytes, bytes.len() as u64).unwrap();
    assert_eq!(footer.name().to_string(), NAME);
    assert_eq!(footer.settings(), &settings());
    assert_eq!(footer.parents(), PARENTS);
    let Coverage { ingester, last_position, .. } = coverage();
    let SegmentFacts { tenant, coverage: stored, .. } = footer.facts();
    assert_eq!((tenant, stored.as_ref()), (&facts().tenant, Some(&coverage())));
    assert_eq!((ingester.as_str(), last_position), ("ingester-1", 99));
    assert_eq!(footer.first(), Timestamp(1_699_999_999_999_999_990));
}

/// The rows of the fixture of version 1.1: lines that are kept as columns, and some that are not.
fn program_streams() -> Streams {
    let rows = |lines: Vec<Vec<u8>>| -> Vec<InputRow> {
        let at = |n: i64| 1_713_280_243_833_819_392 + n * 1_000_000_256;
        (0..).zip(&lines).map(|(n, line)| InputRow::new(at(n), line)).collect()
    };
    let mut odd = programs(40);
    odd.extend([b"\x00 1".to_vec(), b"two\nlines 1".to_vec(), vec![0xff; 9], Vec::new()]);
    let noise = (0..400).map(|n| format!("{:x}", scrambled(n)).into_bytes()).collect();
    let stream = |app: &str, lines| (Labels::new([("app", app)]), rows(lines));
    vec![stream("noise", noise), stream("odd", odd), stream("programs", programs(1_400))]
}

fn program_settings() -> EncodeSettings {
    EncodeSettings {
        block_bytes: 4 << 20,
        block_rows: 500,
        line_codec: LineCodec::Columns,
        ..in_old_order()
    }
}

#[test]
fn version_1_1_is_readable() {
    let bytes = read("v1-1.seg");
    verify(&bytes).unwrap();
    assert!(decode(&bytes).unwrap() == expected(&program_streams()), "rows differ");
    let footer = Footer::decode(&bytes, bytes.len() as u64).unwrap();
    assert_eq!(footer.settings(), &program_settings());
    let columns = |block: &segment::BlockMeta| block.codec == LineCodec::Columns;
    assert!(footer.blocks().iter().any(columns));
}

/// What replicas store has digests of its rows.
#[test]
fn version_1_1_with_digests_is_readable() {
    let bytes = read("v1-1-digests.seg");
    verify(&bytes).unwrap();
    assert!(decode(&bytes).unwrap() == expected(&streams()), "rows differ");
    let footer = Footer::decode(&bytes, bytes.len() as u64).unwrap();
    assert_eq!(footer.settings(), &settings());
    let range = footer.digests().unwrap();
    let digests = decode_digests(&footer, &bytes[range.start as usize..range.end as usize]);
    let digests = digests.unwrap();
    assert_eq!(digests.seconds, 5);
    for seconds in [5, 60] {
        let told: BTreeMap<_, _> = digests.widened(&footer, seconds).into_iter().collect();
        assert_eq!(told, made(&streams(), seconds));
    }
}

/// The rows of the fixture of version 1.2: those of 1.1, and a long number in every line.
fn number_streams() -> Streams {
    let row = |n: u64| {
        let line = format!("Receiving block blk_{:019} of {n}", scrambled(n) >> 1);
        InputRow::new(1_713_280_243_833_819_392 + n as i64, line.as_bytes())
    };
    let numbers = (Labels::new([("app", "numbers")]), (0..1_500).map(row).collect());
    let mut streams = program_streams();
    streams.insert(1, numbers);
    streams
}

#[test]
fn version_1_2_is_readable_and_searchable() {
    let bytes = read("v1-2.seg");
    verify(&bytes).unwrap();
    assert!(decode(&bytes).unwrap() == expected(&number_streams()), "rows differ");
    let needle = |n| format!("blk_{:019}", scrambled(n) >> 1).into_bytes();
    for n in [0, 700, 1_499] {
        assert_eq!(blocks_left(&bytes, Required::AnyOf(&[needle(n).into()])), 1, "number {n}");
    }
    assert_eq!(blocks_left(&bytes, Required::AnyOf(&[needle(1_500).into()])), 0);
}

fn blocks_left(bytes: &[u8], required: Required<'_>) -> usize {
    let footer = Footer::decode(bytes, bytes.len() as u64).unwrap();
    let plan = prune(&footer, &[required]);
    let ranges = plan.ranges();
    let pages: Vec<_> =
        ranges.iter().map(|range| &bytes[range.start as usize..range.end as usize]).collect();
    plan.blocks(&footer, &pages).unwrap().count()
}

#[test]
fn version_1_is_searchable() {
    let bytes = read("v1.seg");
    let left = |required: Required<'_>| blocks_left(&bytes, required);
    assert_eq!(left(Required::AnyOf(&[b"zzzz-not-there"[..].into()])), 0);
    assert_eq!(left(Required::AnyOf(&[b"checkout".as_slice().into()])), 4);
    assert_eq!(left(Required::Metadata("trace_id", "00000000000000000000000000000000")), 0);
}

#[test]
fn a_damaged_line_is_noticed_only_where_it_is_read() {
    let bytes = read("v1-damaged.seg");
    assert_eq!(verify(&bytes), Err(FormatError::Checksum("lines")));
    let footer = Footer::decode(&bytes, bytes.len() as u64).unwrap();
    let part = |range: &std::ops::Range<u64>| &bytes[range.start as usize..range.end as usize];
    for block in footer.blocks() {
        let times = segment::decode_timestamps(block, part(&block.timestamps)).unwrap();
        let lengths = segment::decode_lengths(block, part(&block.lengths)).unwrap();
        let lines = segment::decode_lines(block, &times, &lengths, part(&block.lines));
        assert_eq!(lines.is_err(), block.ordinal == 1, "block {}", block.ordinal);
    }
}
