use proptest::prelude::*;

use super::*;

fn text<T>(result: Result<T, ParamError>) -> Result<T, String> {
    result.map_err(|error| error.0)
}

#[test]
fn times_in_every_notation() {
    let ok = |value: &str, nanos: i64| {
        assert_eq!(timestamp(value), Ok(Some(Timestamp(nanos))), "{value}");
    };
    assert_eq!(timestamp(""), Ok(None));
    ok("4000000000", 4_000_000_000_000_000_000);
    ok("1794996000000000000", 1_794_996_000_000_000_000);
    ok("12345678901", 12_345_678_901);
    ok("1794996000.25", 1_794_996_000_250_000_000);
    ok("1794996000.0006", 1_794_996_000_001_000_000);
    ok("-1", -1_000_000_000);
    ok("2026-11-18T10:00:00Z", 1_794_996_000_000_000_000);
    let fails = |value: &str, message: &str| {
        assert_eq!(text(timestamp(value)), Err(message.to_owned()), "{value}");
    };
    fails("abc", "strconv.ParseInt: parsing \"abc\": invalid syntax");
    fails("NaN.", "strconv.ParseInt: parsing \"NaN.\": invalid syntax");
    fails(" 1794996000", "strconv.ParseInt: parsing \" 1794996000\": invalid syntax");
    fails(
        "99999999999999999999",
        "strconv.ParseInt: parsing \"99999999999999999999\": value out of range",
    );
}

#[test]
fn limits_and_directions() {
    assert_eq!(limit("", 7), Ok(7));
    assert_eq!(limit("+5", 7), Ok(5));
    for value in ["0", "-1", "4294967296"] {
        assert_eq!(text(limit(value, 1)), Err("limit must be a positive value".to_owned()));
    }
    assert_eq!(
        text(limit(" 5", 1)),
        Err("strconv.Atoi: parsing \" 5\": invalid syntax".to_owned())
    );
    assert_eq!(volume_limit("0"), Ok(100));
    assert!(volume_limit("-1").is_err());
    assert_eq!(direction("FORWARD"), Ok(Direction::Forward));
    assert_eq!(text(direction("0")), Err("invalid direction '0'".to_owned()));
    assert_eq!(tail_delay("5"), Ok(5));
    assert_eq!(text(tail_delay("6")), Err("delay_for can't be greater than 5".to_owned()));
}

#[test]
fn steps_and_intervals() {
    let hour = Timestamp::from_seconds(3600);
    let check = |value: &str, expected: Result<i64, &str>| {
        let actual = text(step(value, Timestamp(0), hour));
        assert_eq!(actual, expected.map_err(str::to_owned), "{value}");
    };
    check("", Ok(14_000_000_000));
    check("0.5", Ok(500_000_000));
    check("1m30s", Ok(90_000_000_000));
    check("60 s", Err("cannot parse \"60 s\" to a valid duration"));
    check("1.5s", Err("cannot parse \"1.5s\" to a valid duration"));
    let negative =
        "zero or negative query resolution step widths are not accepted. Try a positive integer";
    check("0", Err(negative));
    check("NaN", Err(negative));
    check("1e300", Err("cannot parse \"1e300\" to a valid duration. It overflows int64"));
    let fine = "exceeded maximum resolution of 11,000 points per time series. Try increasing the value of the step parameter";
    check("0.1", Err(fine));
    assert_eq!(interval(""), Ok(0));
    assert_eq!(text(interval("-5")), Err("interval must be >= 0".to_owned()));
    assert_eq!(text(interval("-5m")), Err("cannot parse \"-5m\" to a valid duration".to_owned()));
}

fn range(pairs: &[(&str, &'static str)], now: Timestamp) -> Result<RangeParams, String> {
    let get =
        |name: &str| pairs.iter().find(|(key, _)| *key == name).map_or("", |(_, value)| value);
    text(RangeParams::parse(get, now))
}

#[test]
fn ranges_default_to_the_last_hour() {
    let now = Timestamp::from_seconds(10_000);
    let params = range(&[("query", "{a=\"b\"}")], now).unwrap();
    assert_eq!((params.start, params.end), (Timestamp::from_seconds(6_400), now));
    assert_eq!((params.limit, params.step_ns), (100, 14_000_000_000));
    let params = range(&[("end", "20000"), ("since", "10m")], now).unwrap();
    assert_eq!(params.start, Timestamp::from_seconds(9_400));
    let fails = |pairs: &[(&str, &'static str)], message: &str| {
        assert_eq!(range(pairs, now), Err(message.to_owned()));
    };
    fails(
        &[("start", "abc"), ("limit", "x")],
        "could not parse 'start' parameter: strconv.ParseInt: parsing \"abc\": invalid syntax",
    );
    fails(
        &[("since", "abc")],
        "could not parse 'since' parameter: not a valid duration string: \"abc\"",
    );
    fails(
        &[("start", "20"), ("end", "10")],
        "end timestamp must not be before or equal to start time",
    );
    assert!(range(&[("start", "20"), ("end", "20")], now).is_ok());
}

proptest! {
    #[test]
    fn any_text_is_survived(value in "\\PC{0,24}", number in "[-+0-9.e]{1,24}") {
        for value in [value, number] {
            let _ = timestamp(&value);
            let _ = limit(&value, 1);
            let _ = step(&value, Timestamp::MIN, Timestamp::MAX);
            let _ = interval(&value);
        }
    }
}
