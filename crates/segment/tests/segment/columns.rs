//! Lines as shapes and columns come back byte for byte.

use model::Labels;
use proptest::prelude::*;
use segment::{EncodeSettings, EncodedSegment, LineCodec, verify};

use crate::rows::{InputRow, Streams, decode, encode, expected};

const START: i64 = 1_713_280_243_833_819_339;

fn settings() -> EncodeSettings {
    EncodeSettings { line_codec: LineCodec::Columns, ..EncodeSettings::default() }
}

/// Encodes lines a second apart, and checks that they come back.
fn check(lines: &[Vec<u8>]) -> EncodedSegment {
    let rows = (0..)
        .zip(lines)
        .map(|(at, line)| InputRow::new(START + at * 1_000_000_007, line))
        .collect();
    let streams: Streams = vec![(Labels::new([("app", "web")]), rows)];
    let segment = encode(&streams, &settings()).unwrap();
    assert!(decode(&segment.bytes).unwrap() == expected(&streams), "other lines came back");
    verify(&segment.bytes).unwrap();
    segment
}

fn texts(lines: impl IntoIterator<Item = String>) -> Vec<Vec<u8>> {
    lines.into_iter().map(String::into_bytes).collect()
}

fn scrambled(n: u64) -> u64 {
    (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15).rotate_left(29).wrapping_mul(0xbf58_476d_1ce4_e5b9)
}

/// Lines of several programs, one kind per hundred.
fn programs(count: u64) -> Vec<Vec<u8>> {
    texts((0..count).map(|n| {
        let id = scrambled(n);
        let (second, minute) = (n % 60, n / 60 % 60);
        match n / 100 % 7 {
            0 => format!(
                r#"{{"time":"2024-04-16T15:{minute:02}:{second:02}Z","level":"{}","id":"{id:016x}","status":{},"latency_s":{}.{:03}}}"#,
                ["info", "warn", "error"][n as usize % 3],
                200 + n % 5,
                id % 3,
                id % 1000,
            ),
            1 => format!(
                "ts=2024-04-16T15:{minute:02}:{second:02}.{:09}Z caller=http.go:{} level=debug traceID={id:032x} msg=\"POST /push ({}) {}ms\"",
                id % 1_000_000_000, id % 300, 200 + n % 9, id % 70
            ),
            2 => format!("081109 20{:04} {} INFO dfs.DataNode: block blk_{} of 10.251.{}.{}:50010",
                n % 10_000, id % 90, id as i64, id % 256, n % 256),
            3 => format!("I0507 12:{minute:02}:{second:02}.{:06}       1 node.go:{}] \"no rule\" pod=\"gel/gel-{}\"",
                id % 1_000_000, id % 500, n % 7),
            4 => format!("[{}] {:08X} 0x{:x} {:08x}-{:04x}-4{:03x}-8000-{:012x} done in {}.{}s", n, id >> 32,
                id % 4096, id >> 32, n & 0xffff, n & 0xfff, id >> 16, n % 9, id % 7),
            5 => "the same every time 42".to_owned(),
            _ => format!("{:019} {:04} {}", id >> 1, id % 10_000, id),
        }
    }))
}

#[test]
fn lines_of_programs_come_back_and_shrink() {
    let lines = programs(7_000);
    let columns = check(&lines);
    assert!(columns.footer.blocks().iter().all(|block| block.codec == LineCodec::Columns));
    let rows = (0..).zip(&lines).map(|(at, line)| InputRow::new(at, line)).collect();
    let plain = EncodeSettings { line_codec: LineCodec::Zstd, ..settings() };
    let plain = encode(&vec![(Labels::default(), rows)], &plain).unwrap();
    let lines_of = |segment: &EncodedSegment| -> u64 {
        segment.footer.blocks().iter().map(|block| block.lines.end - block.lines.start).sum()
    };
    assert!(lines_of(&columns) * 10 < lines_of(&plain) * 8);
}

#[test]
fn odd_lines_come_back() {
    let mut lines: Vec<Vec<u8>> = [
        "",
        " ",
        "0",
        "00",
        "a=",
        "=",
        "=\"",
        "a=\"b",
        "\"a\":",
        "0x",
        "x1y2",
        "12:34:56",
        "12:34:56.",
        "12:34:56.1234567890",
        "2024-02-30 00:00:00",
        "2024-02-29T23:59:59Z",
        "00:11:22:33:44:55",
        "1:2:3",
        "18446744073709551615",
        "99999999999999999999",
        "00000000-0000-0000-0000-000000000000",
        "a=b=c=d",
        "k=\u{e9}t\u{e9} 1",
        "two\nlines 1\n",
        "deadBEEF1",
        "DEADBEEF1",
        "-1 +1 1.5e3",
    ]
    .iter()
    .map(|line| line.as_bytes().to_vec())
    .collect();
    lines.extend([
        b"\x00".to_vec(),
        b"\x01 7".to_vec(),
        b"a\x01\x32\x02\x02\x02 7".to_vec(),
        vec![0xff; 3],
        b"7\xff7".to_vec(),
    ]);
    lines.push("7 ".repeat(1000).into_bytes());
    lines.push(vec![b'9'; 100_000]);
    lines.push(format!("k={}", "v".repeat(500)).into_bytes());
    for copies in [1, 2, 40] {
        let all: Vec<_> = std::iter::repeat_n(lines.clone(), copies).flatten().collect();
        check(&all);
    }
}

#[test]
fn times_far_from_the_row_come_back() {
    let times = [
        "1970-01-01T00:00:00Z",
        "2261-12-31 23:59:59,999",
        "2000/01/01 00:00:00.5",
        "23:59:59",
        "00:00:00.000000001",
    ];
    let lines = texts((0..500).map(|n| format!("{} {n}", times[n % 5])));
    for at in [i64::MIN, -1, 0, i64::MAX] {
        let rows = lines.iter().map(|line| InputRow::new(at, line)).collect();
        let streams: Streams = vec![(Labels::default(), rows)];
        let segment = encode(&streams, &settings()).unwrap();
        assert!(decode(&segment.bytes).unwrap() == expected(&streams), "at {at}");
    }
}

fn any_part() -> impl Strategy<Value = String> {
    prop_oneof![
        "[ =:\",.a-f]{0,4}",
        "[0-9]{1,20}",
        "[0-9a-f]{1,40}",
        "[0-9A-F]{4,8}",
        "(k|id)=(\"[a-z]{0,3}\"|[a-z/]{0,5})[ ,]",
        "\"[a-z]{1,3}\": ?(\"[a-z0-9 ]{0,6}\"|[0-9]{1,4}|true|null)",
        "20[0-9]{2}-[01][0-9]-[0-3][0-9][T ][0-2][0-9]:[0-5][0-9]:[0-6][0-9]([.,][0-9]{1,10})?",
        "[0-9a-f]{8}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{4}-[0-9a-f]{12}",
        ".{0,3}",
    ]
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(300))]

    #[test]
    fn any_lines_of_few_shapes_come_back(
        shapes in prop::collection::vec(prop::collection::vec(any_part(), 0..6), 1..5),
        parts in prop::collection::vec(any_part(), 1..40),
        picks in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 1..300),
    ) {
        // Each line is a shape of which some parts are replaced.
        let lines = picks.iter().enumerate().map(|(n, (shape, replaced))| {
            let shape = &shapes[shape.index(shapes.len())];
            shape.iter().enumerate().map(|(at, part)| {
                if replaced >> at & 1 == 1 { &parts[(n + at) % parts.len()] } else { part }.as_str()
            }).collect()
        });
        check(&texts(lines));
    }

    #[test]
    fn any_bytes_come_back(
        lines in prop::collection::vec(prop_oneof![
            prop::collection::vec(any::<u8>(), 0..60),
            prop::collection::vec(prop::sample::select(b"0019af=:\"\\ \n\x00\x01-.,xTZ".to_vec()), 0..40),
        ], 1..200),
    ) {
        check(&lines);
    }
}
