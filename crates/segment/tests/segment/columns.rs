//! Lines as shapes and columns come back byte for byte.

use model::Labels;
use model::columns::Lines;
use proptest::prelude::*;
use segment::{
    EncodeSettings, EncodedSegment, Field, FieldKind, LineCodec, LineColumns, LineTest, RowMatch,
    verify,
};
use serde_json::Value;

use crate::program_lines::{programs, scrambled};
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
    for digits in [5, 32, 63, 127, 128, 129] {
        let ids =
            (0..30).map(|n| format!("id {}{n:02x}", "fe1".repeat(50)[..digits - 2].to_owned()));
        lines.extend(texts(ids));
    }
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

/// The columns of every block, with the times and lines of its rows.
fn columns_of(segment: &EncodedSegment, mut look: impl FnMut(&LineColumns, &[i64], &Lines)) {
    let part =
        |range: &std::ops::Range<u64>| &segment.bytes[range.start as usize..range.end as usize];
    for block in segment.footer.blocks() {
        let times = segment::decode_timestamps(block, part(&block.timestamps)).unwrap();
        let lengths = segment::decode_lengths(block, part(&block.lengths)).unwrap();
        let lines = segment::decode_lines(block, &times, &lengths, part(&block.lines)).unwrap();
        let Some(columns) = segment::decode_columns(block, part(&block.lines)).unwrap() else {
            continue;
        };
        assert!(lengths.is_empty());
        let lengths = segment::decode_line_lengths(block, part(&block.lines)).unwrap();
        assert!(lengths.iter().zip(lines.iter()).all(|(len, line)| *len as usize == line.len()));
        assert_eq!(columns.lines(&times).unwrap(), lines);
        look(&columns, &times, &lines);
    }
}

fn holds(line: &[u8], needle: &[u8], any_case: bool) -> bool {
    let (line, needle) = (line.to_vec(), needle.to_vec());
    let (line, needle) = if any_case {
        (line.to_ascii_lowercase(), needle.to_ascii_lowercase())
    } else {
        (line, needle)
    };
    needle.is_empty() || line.windows(needle.len()).any(|part| part == needle)
}

/// Checks a search against the lines; answers how many rows it left undecided.
fn check_test(columns: &LineColumns, lines: &Lines, needle: &[u8], any_case: bool) -> usize {
    let test =
        if any_case { LineTest::contains_any_case(needle) } else { LineTest::contains(needle) };
    let matches = columns.test(&test);
    assert_eq!(matches.len(), lines.len());
    for (row, known) in matches.iter().enumerate() {
        let line = lines.row(row);
        let expected = holds(line, needle, any_case);
        let text = String::from_utf8_lossy(line);
        match known {
            RowMatch::Yes => assert!(expected, "{needle:?} is not in {text}"),
            RowMatch::No => assert!(!expected, "{needle:?} is in {text}"),
            RowMatch::Maybe => {}
        }
    }
    matches.iter().filter(|known| **known == RowMatch::Maybe).count()
}

/// The scalars of a JSON object in order, with their paths.
fn scalars(value: &Value, path: &mut Vec<String>, found: &mut Vec<(Vec<String>, Value)>) {
    match value {
        Value::Object(members) => {
            for (key, member) in members {
                path.push(key.clone());
                scalars(member, path, found);
                path.pop();
            }
        }
        Value::Array(_) => {}
        scalar => found.push((path.clone(), scalar.clone())),
    }
}

/// Checks the fields of every row that has some; answers how many do as JSON and as logfmt.
fn check_fields(columns: &LineColumns, times: &[i64], lines: &Lines) -> (usize, usize) {
    let (json, logfmt) = (columns.json_fields(), columns.logfmt_fields());
    let (mut objects, mut pairs) = (0, 0);
    let rows = columns.row_shapes().iter().zip(columns.ranks().iter().copied()).zip(times);
    for (line, ((shape, rank), time)) in lines.iter().zip(rows) {
        let text = String::from_utf8_lossy(line).into_owned();
        let value = |field: &Field| {
            let mut out = Vec::new();
            columns.value(field, rank, *time, &mut out).unwrap();
            if let Some(constant) = columns.constant(field) {
                assert_eq!(constant, out);
            }
            if let Some(numbers) = columns.numbers(field) {
                assert_eq!(numbers[rank as usize].to_string().as_bytes(), out);
            }
            if let Some((values, codes)) = columns.dictionary(field) {
                assert_eq!(values[usize::from(codes[rank as usize])], out);
            }
            String::from_utf8_lossy(&out).into_owned()
        };
        if let Some(fields) = json.of(*shape) {
            objects += 1;
            let parsed: Value = serde_json::from_str(&text).expect("valid JSON");
            assert!(parsed.is_object());
            let mut expected = Vec::new();
            scalars(&parsed, &mut Vec::new(), &mut expected);
            if expected.len() != fields.len() {
                // The parser keeps one member of a name, and the columns all of them.
                assert!(expected.len() < fields.len(), "{text}");
                continue;
            }
            for (field, (path, expected)) in fields.iter().zip(expected) {
                let own: Vec<_> = columns
                    .path(field)
                    .map(|key| String::from_utf8_lossy(key).into_owned())
                    .collect();
                assert_eq!(own, path);
                let value = value(field);
                match (field.kind, expected) {
                    (FieldKind::Text, Value::String(expected)) => assert_eq!(value, expected),
                    (FieldKind::Number, Value::Number(expected)) => {
                        assert_eq!(value.parse::<f64>().unwrap(), expected.as_f64().unwrap());
                    }
                    (FieldKind::Bool, Value::Bool(expected)) => {
                        assert_eq!(value, expected.to_string());
                    }
                    (FieldKind::Null, Value::Null) => assert_eq!(value, "null"),
                    other => panic!("{other:?} in {text}"),
                }
            }
        }
        if let Some(fields) = logfmt.of(*shape) {
            pairs += 1;
            // Put together again with single spaces, the pairs are the line.
            let again: Vec<String> = fields
                .iter()
                .map(|field| {
                    let key = columns.path(field).next().unwrap();
                    let key = String::from_utf8_lossy(key).into_owned();
                    format!("{key}={}", value(field))
                })
                .collect();
            let parts: Vec<&str> = again.iter().flat_map(|pair| pair.split(' ')).collect();
            let text = text.replace('"', "");
            let own: Vec<&str> = text.split(' ').collect();
            let without_empty = |parts: Vec<&str>| -> Vec<String> {
                parts.into_iter().filter(|part| !part.is_empty()).map(str::to_owned).collect()
            };
            assert_eq!(without_empty(parts), without_empty(own), "{text}");
        }
    }
    (objects, pairs)
}

#[test]
fn fields_are_read_without_lines() {
    let lines = programs(7_000);
    let segment = check(&lines);
    let (mut objects, mut pairs) = (0, 0);
    columns_of(&segment, |columns, times, lines| {
        let found = check_fields(columns, times, lines);
        objects += found.0;
        pairs += found.1;
    });
    assert_eq!((objects, pairs), (1_000, 1_000));
}

#[test]
fn searches_are_mostly_decided_without_lines() {
    let lines = programs(7_000);
    let segment = check(&lines);
    let id = format!("{:016x}", scrambled(5));
    let needles: [(&str, usize); 10] = [
        ("nowhere", 0),
        ("INFO", 0),
        ("\"level\":\"warn\"", 1_000),
        ("error", 0),
        (&id, 0),
        (&id[3..13], 0),
        ("no rule", 0),
        ("gel-3\"", 1_000),
        ("done in 7.", 1_000),
        ("traceID", 0),
    ];
    for (needle, undecided) in needles {
        columns_of(&segment, |columns, _, lines| {
            let left = check_test(columns, lines, needle.as_bytes(), false);
            assert!(left <= undecided, "{needle}: {left}");
            check_test(columns, lines, needle.as_bytes(), true);
        });
    }
}

#[test]
fn searches_across_one_border_are_decided_by_the_column() {
    let lines = texts((0..3_000u64).map(|n| {
        let wide = scrambled(n).max(1_000_000_000_000_000_000);
        let name = ["alice", "bob", "carol", "Bobby"][n as usize % 4];
        format!(
            "Received blk_{wide} of 0x{:08x} by {name} as {:04}",
            scrambled(n + 7) as u32,
            n % 97
        )
    }));
    let segment = check(&lines);
    let line = |n: usize| String::from_utf8(lines[n].clone()).unwrap();
    let (first, second) = (line(5), line(6));
    let word = |line: &str, n: usize| line.split(' ').nth(n).unwrap().to_owned();
    let needles = [
        word(&first, 1),
        word(&first, 1)[..9].to_owned(),
        format!("{} of", &word(&second, 1)[10..]),
        format!("d {}", &word(&second, 1)[..7]),
        word(&first, 3)[..6].to_owned(),
        format!("{} by", &word(&first, 3)[7..]),
        "by bob".to_owned(),
        "ob as".to_owned(),
        "as 000".to_owned(),
        "as 9".to_owned(),
        "blk_0".to_owned(),
        "blk_99999999999999999999".to_owned(),
    ];
    columns_of(&segment, |columns, _, lines| {
        for needle in &needles {
            let left = check_test(columns, lines, needle.as_bytes(), false);
            assert_eq!(left, 0, "{needle}");
            check_test(columns, lines, needle.as_bytes(), true);
        }
    });
}

#[test]
fn some_lines_are_built_alone() {
    let segment = check(&programs(3_000));
    columns_of(&segment, |columns, times, lines| {
        let rows: Vec<u32> = (0..lines.len() as u32).filter(|row| row % 7 == 3).collect();
        let some = columns.some_lines(&rows, times).unwrap();
        assert_eq!(some.len(), rows.len());
        for (row, line) in rows.iter().zip(some.iter()) {
            assert_eq!(line, lines.row(*row as usize));
        }
    });
}

/// A JSON object or logfmt line, by its members: key, value, and whether in quotes.
fn any_pairs() -> impl Strategy<Value = (bool, Vec<(String, String, bool)>)> {
    let key = "[a-c]{1,2}";
    let value = prop_oneof![
        "[0-9]{1,4}",
        "-?(0|[1-9][0-9]{0,3})([.][0-9]{1,3})?",
        "[a-f0-9]{8}",
        "true|false|null",
        "[a-z =,é]{0,5}",
        "a=b",
        "[0-9]:[a-z]\\\\?"
    ];
    (any::<bool>(), prop::collection::vec((key, value, any::<bool>()), 1..5))
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(200))]

    #[test]
    fn any_fields_and_searches_are_right(
        shapes in prop::collection::vec(any_pairs(), 1..4),
        values in prop::collection::vec("[0-9]{1,4}|0|true|false|[a-f0-9]{8}|[a-z]{1,4}|1[.]50", 1..30),
        picks in prop::collection::vec(any::<(prop::sample::Index, u8)>(), 60..300),
        needles in prop::collection::vec(
            any::<(prop::sample::Index, prop::sample::Index, prop::sample::Index, bool)>(), 1..20),
        other in "[a-f0-9\":=., ]{1,4}",
    ) {
        let lines = texts(picks.iter().enumerate().map(|(n, (shape, replaced))| {
            let (is_json, members) = &shapes[shape.index(shapes.len())];
            let members: Vec<String> = members.iter().enumerate().map(|(at, (key, value, quoted))| {
                let value = if replaced >> at & 1 == 1 { &values[(n + at) % values.len()] } else { value };
                let quote = if *quoted { "\"" } else { "" };
                if *is_json { format!("\"{key}\":{quote}{value}{quote}") } else { format!("{key}={quote}{value}{quote}") }
            }).collect();
            if *is_json { format!("{{{}}}", members.join(",")) } else { members.join(" ") }
        }));
        let segment = check(&lines);
        columns_of(&segment, |columns, times, lines| {
            check_fields(columns, times, lines);
            check_test(columns, lines, other.as_bytes(), false);
            for (line, from, to, any_case) in &needles {
                let line = lines.row(line.index(lines.len()));
                let (from, to) = (from.index(line.len() + 1), to.index(line.len() + 1));
                let needle = line[from.min(to)..from.max(to)].to_vec();
                check_test(columns, lines, &needle, *any_case);
            }
        });
    }
}
