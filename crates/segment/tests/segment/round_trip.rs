//! What was written is read back, and counted right.

use std::collections::BTreeMap;

use model::{Labels, Level};
use proptest::prelude::*;
use segment::{EncodeSettings, EncodedSegment, Footer, FormatError, SegmentName, verify};

use crate::rows::{InputRow, Streams, decode, encode, encode_spilled, expected, sorted};

fn settings(block_bytes: u32, block_rows: u32) -> EncodeSettings {
    EncodeSettings { block_bytes, block_rows, ..EncodeSettings::default() }
}

fn check(streams: Streams, settings: &EncodeSettings) -> EncodedSegment {
    let streams = sorted(streams, settings);
    let encoded = encode(&streams, settings).unwrap();
    assert!(decode(&encoded.bytes).unwrap() == expected(&streams), "rows differ");
    let report = verify(&encoded.bytes).unwrap();
    assert_eq!(report.rows, streams.iter().map(|(_, rows)| rows.len() as u64).sum::<u64>());
    check_name(&encoded);
    check_cells(&encoded, &streams);
    assert_eq!(encode(&streams, settings).unwrap().bytes, encoded.bytes, "equal rows, equal bytes");
    let spilled = encode_spilled(&streams, settings);
    assert_eq!(spilled.bytes, encoded.bytes, "built elsewhere, equal bytes");
    assert_eq!((spilled.name, spilled.footer), (encoded.name.clone(), encoded.footer.clone()));
    encoded
}

/// The name says what the footer says, and how much of the end is needed to read it.
fn check_name(encoded: &EncodedSegment) {
    let EncodedSegment { name, bytes, footer } = encoded;
    assert_eq!(SegmentName::parse(&name.to_string()).as_ref(), Ok(name));
    assert_eq!(&footer.name(), name);
    let file_len = bytes.len() as u64;
    let needed = name.footer_len() as usize;
    assert_eq!(Footer::decode(&bytes[bytes.len() - needed..], file_len).as_ref(), Ok(footer));
    let short = Footer::decode(&bytes[bytes.len() - needed + 1..], file_len);
    assert_eq!(short, Err(FormatError::NeedMore { bytes: needed as u64 }));
}

/// Cells count every row once, in the run, level and span where it is.
fn check_cells(encoded: &EncodedSegment, streams: &Streams) {
    let footer = &encoded.footer;
    let range = footer.cells().unwrap();
    let bytes = &encoded.bytes[range.start as usize..range.end as usize];
    let cells = segment::decode_cells(footer, bytes).unwrap();
    let mut rows = streams.iter().flat_map(|(_, rows)| rows);
    for (index, block) in footer.blocks().iter().enumerate() {
        let mut left = BTreeMap::new();
        let mut others = false;
        for (run, (_, range)) in (0u32..).zip(block.run_rows()) {
            for row in rows.by_ref().take(range.len()) {
                let named = row.metadata.iter().rfind(|(name, _)| name == "detected_level");
                let level = match named {
                    Some((_, text)) => Level::from_name(text),
                    None => row.level,
                };
                others |= named.is_some() && level.is_none();
                let level = level.map_or(0, Level::code);
                left.entry((run, level)).or_insert_with(Vec::new).push((row.at, row.line.len()));
            }
        }
        assert_eq!(cells.block(index).is_none(), others, "only odd levels void a block");
        for cell in cells.block(index).into_iter().flatten() {
            let rows = left.get_mut(&(cell.run, cell.level)).unwrap();
            let (inside, outside): (Vec<_>, Vec<_>) = rows
                .drain(..)
                .partition(|(at, _)| (cell.start.0 <= *at && *at < cell.end.0) || *at == i64::MAX);
            *rows = outside;
            assert_eq!(cell.lines, inside.len() as u64);
            assert_eq!(cell.bytes, inside.iter().map(|(_, len)| *len as u64).sum::<u64>());
        }
        assert!(others || left.values().all(Vec::is_empty), "every row is counted");
    }
}

fn any_time() -> impl Strategy<Value = i64> {
    const DAY: i64 = 1_728_000_000_000_000_000;
    prop_oneof![
        4 => (0i64..90_000).prop_map(|n| DAY + n * 1_000_000_000),
        4 => (0i64..5_000_000_000).prop_map(|n| DAY + n),
        2 => -3i64..3,
        1 => any::<i64>(),
        1 => prop::sample::select(vec![i64::MIN, i64::MAX - 1]),
    ]
}

fn any_line() -> impl Strategy<Value = Vec<u8>> {
    prop_oneof![
        Just(Vec::new()),
        "[ -~]{0,40}".prop_map(String::into_bytes),
        "(GET|POST) /api/[a-z]{1,3} [0-9]{3}".prop_map(String::into_bytes),
        prop::collection::vec(prop::sample::select(vec![b'\n', b'\r', b'a', 0, 0xff, 0xc3]), 0..9),
        prop::collection::vec(any::<u8>(), 0..200),
    ]
}

fn any_metadata() -> impl Strategy<Value = Vec<(String, String)>> {
    let name = prop_oneof![
        3 => prop::sample::select(vec!["trace_id", "user", "pod", "z"]).prop_map(str::to_owned),
        1 => "[a-zé]{0,6}",
        1 => Just("detected_level".to_owned()),
    ];
    let value = prop_oneof!["[0-9a-f]{32}", "[0-9]{1,20}", "(info|error|INFO|)", ".{0,12}"];
    prop_oneof![3 => Just(Vec::new()), 2 => prop::collection::vec((name, value), 0..6)]
}

fn any_row() -> impl Strategy<Value = InputRow> {
    (any_time(), any_line(), prop::option::of(1u8..=8), any_metadata()).prop_map(
        |(at, line, level, metadata)| {
            let level = level.and_then(Level::from_code);
            InputRow { at, line, level, metadata }
        },
    )
}

fn any_streams() -> impl Strategy<Value = Streams> {
    let labels =
        prop::collection::btree_map("app|namespace|pod|[a-z]{1,3}", "[a-c]{1,2}|.{1,6}", 0..4)
            .prop_map(Labels::new::<String, String>);
    prop::collection::vec((labels, prop::collection::vec(any_row(), 0..40)), 1..12)
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_rows_come_back(
        streams in any_streams(),
        block_bytes in prop::sample::select(vec![1u32, 100, 1000, 1 << 20]),
        block_rows in prop::sample::select(vec![1u32, 7, 300, 1 << 16]),
    ) {
        let settings = settings(block_bytes, block_rows);
        // Of streams with equal labels one is left, which may be the one without rows.
        let streams = sorted(streams, &settings);
        prop_assume!(streams.iter().any(|(_, rows)| !rows.is_empty()));
        check(streams, &settings);
    }
}

fn labels(text: &str) -> Labels {
    Labels::parse(text).unwrap()
}

#[test]
fn a_huge_line_has_a_block_of_its_own() {
    let row = |at, len| InputRow::new(at, &vec![b'x'; len]);
    let rows = vec![row(1, 10), row(2, 3 << 20), row(3, 0), row(4, 10)];
    let encoded = check(vec![(labels("{a=\"b\"}"), rows)], &settings(1 << 20, 1 << 16));
    let sizes: Vec<_> = encoded.footer.blocks().iter().map(|block| block.rows).collect();
    assert_eq!(sizes, [1, 1, 2]);
}

#[test]
fn the_longest_line_fits_and_a_longer_one_is_refused() {
    let longest = segment::limits::LINE_BYTES_MAX;
    let streams = |len| vec![(labels("{a=\"b\"}"), vec![InputRow::new(0, &vec![b'x'; len])])];
    assert!(encode(&streams(longest + 1), &EncodeSettings::default()).is_err());
    let encoded = encode(&streams(longest), &EncodeSettings::default()).unwrap();
    assert_eq!(verify(&encoded.bytes).unwrap().raw_bytes, longest as u64);
}

#[test]
fn large_metadata_closes_blocks() {
    let rows = (0..40)
        .map(|at| InputRow {
            metadata: vec![("body".to_owned(), format!("{at}").repeat(500_000))],
            ..InputRow::new(at, b"")
        })
        .collect();
    let encoded = check(vec![(labels("{}"), rows)], &EncodeSettings::default());
    assert!(encoded.footer.blocks().len() >= 3);
}

#[test]
fn many_streams_share_a_block() {
    let streams = (0..3000)
        .map(|n| {
            let labels = labels(&format!("{{app=\"a{}\", pod=\"pod-{n}\"}}", n % 7));
            let rows =
                (0..5).map(|k| InputRow::new(n + k * 15_000_000_000, b"one of many")).collect();
            (labels, rows)
        })
        .collect();
    let encoded = check(streams, &EncodeSettings::default());
    assert_eq!(encoded.footer.blocks().len(), 1);
    assert_eq!(encoded.footer.blocks()[0].runs.len(), 3000);
    assert!(encoded.bytes.len() < 60_000, "{}", encoded.bytes.len());
}

#[test]
fn mistakes_are_answered_at_the_end() {
    let row = |at| InputRow::new(at, b"x");
    let [a, b] = [labels("{app=\"a\"}"), labels("{app=\"b\"}")];
    let fails = |streams: Streams| {
        let fault = encode(&streams, &EncodeSettings::default()).unwrap_err();
        assert!(matches!(fault, FormatError::Order(_)), "{fault}");
    };
    fails(vec![]);
    fails(vec![(a.clone(), vec![])]);
    fails(vec![(a.clone(), vec![row(2), row(1)])]);
    fails(vec![(b.clone(), vec![row(1)]), (a.clone(), vec![row(1)])]);
    fails(vec![(a.clone(), vec![row(1)]), (a, vec![row(1)])]);
}

#[test]
fn other_rows_facts_and_settings_make_other_names() {
    let streams = |line: &str| vec![(labels("{a=\"b\"}"), vec![InputRow::new(1, line.as_bytes())])];
    let default = EncodeSettings::default();
    let hash = |streams: &Streams, settings: &EncodeSettings| -> u128 {
        encode(streams, settings).unwrap().name.hash()
    };
    let base = hash(&streams("x"), &default);
    assert_ne!(base, hash(&streams("y"), &default));
    assert_ne!(base, hash(&streams("x"), &EncodeSettings { zstd_level: 3, ..default.clone() }));
    // The same texts and times, parted differently between two streams.
    let parted = |first: usize| -> Streams {
        let rows = |count| (0..count as i64).map(|at| InputRow::new(at, b"x")).collect();
        vec![(labels("{a=\"1\"}"), rows(first)), (labels("{a=\"2\"}"), rows(5 - first))]
    };
    assert_ne!(hash(&parted(3), &default), hash(&parted(2), &default));
}
