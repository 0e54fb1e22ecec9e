//! Whatever the lines are, shapes and columns give them back byte for byte, and what is known of them
//! without building them is true.
//!
//! The input is a list of lines; every line is repeated with its digits changed, so that there are
//! shapes with several rows.
#![no_main]

use model::{Labels, TenantId, Timestamp};
use segment::{EncodeSettings, IndexPolicy, LineTest, Row, RowMatch, SegmentFacts, SegmentWriter};

libfuzzer_sys::fuzz_target!(|bytes: &[u8]| {
    let Some((&[copies, needle_at, needle_len, at], text)) = bytes.split_first_chunk::<4>() else {
        return;
    };
    let lines = varied(text, usize::from(copies % 32) + 1);
    let start = i64::from(at) << 55;
    let facts = SegmentFacts { tenant: TenantId::anonymous(), day: 1, level: 0, coverage: None };
    let settings = EncodeSettings { index: IndexPolicy::Nothing, ..EncodeSettings::to_stay() };
    let mut writer = SegmentWriter::new(facts, settings);
    writer.add_stream(&Labels::new([("app", "fuzz")]));
    for (at, line) in (start..).zip(&lines) {
        writer.add_row(Row { timestamp: Timestamp(at), line, level: None, metadata: &[] });
    }
    let segment = writer.finish().expect("rows in order");
    let part =
        |range: &std::ops::Range<u64>| &segment.bytes[range.start as usize..range.end as usize];
    let mut expected = lines.iter();
    for block in segment.footer.blocks() {
        let times = segment::decode_timestamps(block, part(&block.timestamps)).expect("times");
        let lengths = segment::decode_lengths(block, part(&block.lengths)).expect("lengths");
        let chunk = part(&block.lines);
        let lines = segment::decode_lines(block, &times, &lengths, chunk).expect("lines");
        for line in lines.iter() {
            assert_eq!(Some(line), expected.next().map(Vec::as_slice));
        }
        let Some(columns) = segment::decode_columns(block, chunk).expect("columns") else {
            continue;
        };
        let from = usize::from(needle_at).min(lines.text().len());
        let to = (from + usize::from(needle_len % 16)).min(lines.text().len());
        let needle = &lines.text()[from..to];
        for (row, known) in columns.test(&LineTest::contains(needle)).into_iter().enumerate() {
            let line = lines.row(row);
            let holds = needle.is_empty() || line.windows(needle.len()).any(|part| part == needle);
            match known {
                RowMatch::Yes => assert!(holds),
                RowMatch::No => assert!(!holds),
                RowMatch::Maybe => {}
            }
        }
    }
    assert!(expected.next().is_none());
});

/// Every line of a text, so many times, each time with other digits.
fn varied(text: &[u8], copies: usize) -> Vec<Vec<u8>> {
    let mut lines = Vec::new();
    for copy in 0..copies {
        for line in text.split(|byte| *byte == b'\n') {
            let change = |(at, byte): (usize, &u8)| match byte {
                b'0'..=b'9' => b'0' + (byte - b'0' + (copy * (at % 7)) as u8) % 10,
                other => *other,
            };
            lines.push(line.iter().enumerate().map(change).collect());
        }
    }
    lines
}
