use super::*;

fn named(names: &[&str]) -> Vec<Named> {
    names.iter().zip(7..).map(|(name, bytes)| ((*name).to_owned(), bytes)).collect()
}

#[test]
fn what_is_told_is_understood() {
    let told = Told {
        asker: u64::MAX,
        generation: 3,
        holders: vec![("host:1".into(), 4), ("host:2".into(), u64::MAX)],
        stored: named(&["seg/a/x", "seg/b/y"]),
    };
    assert_eq!(decode_told(encode_told(&told)), Ok(told));
    assert_eq!(decode_named(Some(encode_named(&[]))), Ok(Vec::new()));
    assert_eq!(decode_named(None), Ok(Vec::new()));
    let torn = wire::Segments { names: "a\nb".to_owned(), bytes: vec![1, 2] };
    assert!(decode_named(Some(torn)).is_err());
}

#[test]
fn parts_lie_in_the_object_and_fit_into_a_message() {
    let check = |ranges: &[Range<u64>], bytes| check_ranges(ranges, bytes).is_ok();
    assert!(check(&[0..10, 5..5], 10));
    let one = |start, end| [Range { start, end }];
    assert!(!check(&one(0, 11), 10));
    assert!(!check(&one(9, 3), 10));
    assert!(!check(&one(0, 1 << 40), 1 << 41));
    assert!(!check(&vec![0..0; RANGES_MAX + 1], 10));
}

/// A gateway that answers what it was asked.
struct Echo;

impl IndexRole for Echo {
    fn segments(&self, ask: SegmentsAsk) -> BoxFuture<'_, Result<SegmentsAnswer, Error>> {
        let known = vec![(format!("{} {:?} {}", ask.tenant, ask.range, ask.list), 1)];
        let live = ask.told.map(|told| told.stored).unwrap_or_default();
        Box::pin(async move { Ok(SegmentsAnswer { live, known }) })
    }

    fn deletes(&self) -> BoxFuture<'_, Result<Vec<Delete>, Error>> {
        Box::pin(async move { Ok(Vec::new()) })
    }

    fn parts(&self, ask: PartsAsk) -> BoxFuture<'_, Result<Vec<Bytes>, Error>> {
        Box::pin(async move { Err(Error::new(ErrorKind::NotFound, ask.segment)) })
    }
}

#[tokio::test]
async fn the_service_asks_the_role() {
    use index_server::Index as _;
    let service = Service(Arc::new(Echo));
    let range = TimeRange::new(Timestamp(1), Timestamp(2));
    let told = Told { stored: named(&["x"]), ..Told::default() };
    let ask = wire::SegmentsAsk {
        tenant: "a".to_owned(),
        start_ns: 1,
        end_ns: 2,
        told: Some(encode_told(&told)),
        list: true,
    };
    let answer = service.segments(Request::new(ask.clone())).await.unwrap().into_inner();
    assert_eq!(decode_named(answer.live), Ok(told.stored));
    assert_eq!(decode_named(answer.known).unwrap()[0].0, format!("a {range:?} true"));
    let nameless = wire::SegmentsAsk { tenant: String::new(), ..ask };
    assert!(service.segments(Request::new(nameless)).await.is_err());
    let ask = wire::PartsAsk { segment: "s".to_owned(), object_bytes: 1, ranges: Vec::new() };
    let error = Error::from(service.parts(Request::new(ask)).await.unwrap_err());
    assert_eq!((error.kind, error.message.as_str()), (ErrorKind::NotFound, "s"));
}
