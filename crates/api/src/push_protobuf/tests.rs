use proptest::prelude::*;

use super::*;
use crate::varint;

/// Writes a length-delimited field.
fn field(number: u64, bytes: &[u8], out: &mut Vec<u8>) {
    varint::put(out, number << 3 | 2);
    varint::put(out, bytes.len() as u64);
    out.extend_from_slice(bytes);
}

fn integer(number: u64, value: u64, out: &mut Vec<u8>) {
    varint::put(out, number << 3);
    varint::put(out, value);
}

type TestEntry = (i64, u32, Vec<u8>, Vec<(String, String)>);

fn encode(streams: &[(String, Vec<TestEntry>)]) -> Vec<u8> {
    let mut body = Vec::new();
    for (labels, entries) in streams {
        let mut stream = Vec::new();
        field(1, labels.as_bytes(), &mut stream);
        for (seconds, nanos, line, metadata) in entries {
            let mut time = Vec::new();
            integer(1, *seconds as u64, &mut time);
            integer(2, u64::from(*nanos), &mut time);
            let mut entry = Vec::new();
            field(1, &time, &mut entry);
            field(2, line, &mut entry);
            for (name, value) in metadata {
                let mut pair = Vec::new();
                field(1, name.as_bytes(), &mut pair);
                field(2, value.as_bytes(), &mut pair);
                field(3, &pair, &mut entry);
            }
            integer(99, 7, &mut entry);
            field(2, &entry, &mut stream);
        }
        integer(3, u64::MAX, &mut stream);
        field(1, &stream, &mut body);
    }
    body
}

fn streams() -> impl Strategy<Value = Vec<(String, Vec<TestEntry>)>> {
    let line = prop::collection::vec(any::<u8>(), 0..40);
    let metadata = prop::collection::vec((".{0,5}", ".{0,9}"), 0..3);
    let entry = (-9_000_000_000i64..9_000_000_000, 0u32..1_000_000_000, line, metadata);
    prop::collection::vec((".{0,20}", prop::collection::vec(entry, 0..5)), 0..4)
}

proptest! {
    #[test]
    fn requests_come_back(streams in streams(), cut: prop::sample::Index) {
        let body = encode(&streams);
        let push = decode(&body).unwrap();
        prop_assert_eq!(push.streams.len(), streams.len());
        for (read, (labels, entries)) in push.streams.iter().zip(&streams) {
            prop_assert_eq!(&read.labels, &PushLabels::Text(labels));
            prop_assert_eq!(read.entries.len(), entries.len());
            for (entry, (seconds, nanos, line, metadata)) in read.entries.iter().zip(entries) {
                prop_assert_eq!(entry.timestamp.0, seconds * 1_000_000_000 + i64::from(*nanos));
                prop_assert_eq!(&entry.line[..], &line[..]);
                let pairs: Vec<(String, String)> =
                    entry.metadata.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect();
                prop_assert_eq!(&pairs, metadata);
            }
        }
        if !body.is_empty() {
            let _ = decode(&body[..cut.index(body.len())]);
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let _ = decode(&bytes);
    }
}

#[test]
fn times_are_checked_and_clamped() {
    let check = |seconds: i64, nanos: i64, expected: Option<i64>| {
        assert_eq!(timestamp(seconds, nanos).ok(), expected.map(Timestamp), "{seconds} {nanos}");
    };
    check(1, 5, Some(1_000_000_005));
    check(-1, 5, Some(-999_999_995));
    check(FIRST_SECOND, 0, Some(i64::MIN));
    check(END_SECOND - 1, 999_999_999, Some(i64::MAX));
    check(FIRST_SECOND - 1, 0, None);
    check(END_SECOND, 0, None);
    check(0, 1_000_000_000, None);
    check(0, -1, None);
}

#[test]
fn bad_text_is_refused_in_labels_and_replaced_in_metadata() {
    let mut stream = Vec::new();
    field(1, b"{a=\"\xff\"}", &mut stream);
    let mut body = Vec::new();
    field(1, &stream, &mut body);
    assert!(matches!(decode(&body), Err(PushError::Labels(_))));
    let mut message = Vec::new();
    field(2, b"v\xff", &mut message);
    assert_eq!(pair(&message).unwrap().1, "v\u{fffd}");
}
