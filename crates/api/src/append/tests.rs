use proptest::prelude::*;

use super::*;

type Metadata = Vec<(String, String)>;
type TestRow = (i64, Vec<u8>, Option<Level>, Metadata);
type TestStream = (Labels, Vec<TestRow>);

fn encode(tenant: &TenantId, streams: &[TestStream]) -> AppendBatch {
    let mut builder = BatchBuilder::new(tenant);
    for (labels, rows) in streams {
        builder.begin_stream(labels);
        for (timestamp, line, level, metadata) in rows {
            let pairs: Vec<(&str, &str)> =
                metadata.iter().map(|(n, v)| (n.as_str(), v.as_str())).collect();
            builder.push_row(Timestamp(*timestamp), line, *level, &pairs).unwrap();
        }
    }
    builder.finish()
}

fn read(batch: &AppendBatch) -> Vec<TestStream> {
    let bytes = batch.as_bytes();
    let read_row = |row: RowRef| {
        let metadata = metadata_at(bytes, row.metadata_start)
            .map(|(name, value)| (name.to_owned(), value.to_owned()))
            .collect();
        (row.timestamp.0, row.line(bytes).to_vec(), Level::from_code(row.level), metadata)
    };
    batch
        .streams()
        .map(|part| {
            let labels = Labels::parse(part.canonical).unwrap();
            assert_eq!(labels.fingerprint(), part.fingerprint);
            assert_eq!(part.rows().len(), part.rows as usize);
            (labels, part.rows().map(read_row).collect())
        })
        .collect()
}

fn row() -> impl Strategy<Value = TestRow> {
    let level = prop::option::of(prop::sample::select(Level::ALL.to_vec()));
    let metadata = prop::collection::vec((".{0,8}", ".{0,200}"), 0..4);
    (any::<i64>(), prop::collection::vec(any::<u8>(), 0..300), level, metadata)
}

fn streams() -> impl Strategy<Value = Vec<TestStream>> {
    let labels = prop::collection::vec(("[a-c]{1,2}", ".{0,9}"), 0..4).prop_map(Labels::new);
    prop::collection::vec((labels, prop::collection::vec(row(), 0..5)), 0..4)
}

proptest! {
    #[test]
    fn rows_come_back(streams in streams()) {
        let tenant = TenantId::new("team-a").unwrap();
        let batch = encode(&tenant, &streams);
        let expected: Vec<TestStream> =
            streams.into_iter().filter(|(_, rows)| !rows.is_empty()).collect();
        prop_assert_eq!(&read(&batch), &expected);
        let decoded = AppendBatch::decode(batch.as_bytes().clone()).unwrap();
        prop_assert_eq!(read(&decoded), expected);
        prop_assert_eq!(decoded.tenant(), &tenant);
        prop_assert_eq!(decoded.rows(), batch.rows());
        prop_assert_eq!(decoded.line_bytes(), batch.line_bytes());
        let places = |batch: &AppendBatch| {
            let places = batch.streams.iter().map(|span| StreamSpan { labels: None, ..span.clone() });
            places.collect::<Vec<_>>()
        };
        prop_assert_eq!(places(&decoded), places(&batch));
        prop_assert!(decoded.streams().all(|part| part.labels.is_none()));
        prop_assert!(batch.streams().all(|part| part.labels.unwrap().canonical() == part.canonical));
    }

    #[test]
    fn damaged_bytes_never_panic(streams in streams(), at: prop::sample::Index, byte: u8, cut: prop::sample::Index) {
        let batch = encode(&TenantId::anonymous(), &streams);
        let mut bytes = batch.as_bytes().to_vec();
        let (at, cut) = (at.index(bytes.len()), cut.index(bytes.len()));
        bytes[at] = byte;
        if let Ok(batch) = AppendBatch::decode(bytes.clone().into()) {
            let rows: usize = batch.streams().map(|part| part.rows().count()).sum();
            prop_assert_eq!(rows as u64, batch.rows());
        }
        let _ = metadata_at(&bytes, at as u32).count();
        prop_assert!(AppendBatch::decode(batch.as_bytes().slice(..cut)).is_err());
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..200)) {
        let mut with_version = vec![VERSION, 1, b'a'];
        with_version.extend_from_slice(&bytes);
        let _ = AppendBatch::decode(bytes.into());
        let _ = AppendBatch::decode(with_version.into());
    }
}

#[test]
fn the_layout_is_the_documented_one() {
    let mut builder = BatchBuilder::new(&TenantId::new("t").unwrap());
    builder.begin_stream(&Labels::new([("empty", "x")]));
    let labels = Labels::new([("a", "b")]);
    builder.begin_stream(&labels);
    builder.push_row(Timestamp(3), b"hi", Some(Level::Info), &[("k", "v")]).unwrap();
    builder.push_row(Timestamp(2), b"", None, &[]).unwrap();
    let batch = builder.finish();
    let mut expected = vec![1, 1, b't', 1, 0, 0, 0, 7];
    expected.extend_from_slice(b"{a=\"b\"}");
    expected.extend_from_slice(&labels.fingerprint().0.to_le_bytes());
    expected.extend_from_slice(&[2, 0, 0, 0, 13, 0, 0, 0]);
    expected.extend_from_slice(&[6, 0x84, 2, 1, 1, b'k', 1, b'v', b'h', b'i']);
    expected.extend_from_slice(&[1, 0, 0]);
    assert_eq!(batch.as_bytes(), &expected);
    assert_eq!((batch.rows(), batch.line_bytes()), (2, 2));
}

#[test]
fn other_versions_and_empty_batches() {
    assert_eq!(AppendBatch::decode(Bytes::from_static(&[9])).unwrap_err(), BatchError::Version(9));
    let empty = BatchBuilder::new(&TenantId::anonymous()).finish();
    assert_eq!(AppendBatch::decode(empty.as_bytes().clone()).unwrap().rows(), 0);
}

#[test]
fn picked_streams_are_a_batch_of_their_own() {
    let mut builder = BatchBuilder::new(&TenantId::new("team").unwrap());
    for stream in ["a", "b", "c", "d"] {
        let labels = Labels::new([("n", stream)]);
        builder.begin_stream(&labels);
        for at in 0..3 {
            builder.push_row(Timestamp(at), stream.as_bytes(), None, &[("k", stream)]).unwrap();
        }
    }
    let whole = builder.finish();
    let shown = |batch: &AppendBatch| -> Vec<(String, u64, Vec<Vec<u8>>)> {
        let rows = |part: &StreamPart<'_>| {
            part.rows().map(|row| row.line(part.bytes()).to_vec()).collect()
        };
        let parts = batch.streams();
        parts.map(|part| (part.canonical.to_owned(), part.fingerprint.0, rows(&part))).collect()
    };
    let all = shown(&whole);
    for mask in 0..16usize {
        let is_picked = |index: usize| mask >> index & 1 == 1;
        let expected: Vec<_> =
            (0..4).filter(|index| is_picked(*index)).map(|index| all[index].clone()).collect();
        let Some(picked) = whole.pick(is_picked) else {
            assert_eq!(mask, 0);
            continue;
        };
        let again = AppendBatch::decode(picked.as_bytes().clone()).unwrap();
        assert_eq!(shown(&picked), expected);
        assert_eq!(shown(&again), expected);
        assert_eq!((picked.rows(), picked.line_bytes()), (again.rows(), again.line_bytes()));
    }
    let halves = [whole.pick(|index| index < 2).unwrap(), whole.pick(|index| index > 1).unwrap()];
    let joined = AppendBatch::join(&halves).unwrap();
    assert_eq!(joined.as_bytes(), whole.as_bytes());
    assert_eq!(shown(&joined), all);
    assert!(AppendBatch::join(&[]).is_none());
    assert_eq!(whole.pick(|_| true).unwrap().as_bytes().as_ptr(), whole.as_bytes().as_ptr());
}
