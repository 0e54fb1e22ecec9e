use super::*;

fn sample() -> Time {
    // 2026-11-18 12:56:24.133009196 UTC, a Wednesday.
    Time::from_timestamp(Timestamp(1_795_006_584_133_009_196))
}

#[test]
fn times_print_by_layouts() {
    let check = |layout: &str, expected: &str| assert_eq!(sample().format(layout), expected);
    check(DEFAULT_LAYOUT, "2026-11-18 12:56:24.133009196 +0000 UTC");
    check("2006-01-02T15:04:05Z07:00", "2026-11-18T12:56:24Z");
    check("Mon Jan _2 15:04:05 MST 2006", "Wed Nov 18 12:56:24 UTC 2026");
    check("Monday, 02-Jan-06 3:04PM", "Wednesday, 18-Nov-26 12:56PM");
    check("January 2, 2006 03:04pm", "November 18, 2026 12:56pm");
    check("15.000 .999 ,000000", "12.133 .133 ,133009");
    check("002 __2", "322 322");
    check("-07 -0700 -07:00:00 Z0700", "+00 +0000 +00:00:00 Z");
    check("plain text", "plain text");
    check("Janet 1 2 3 4 5 06", "Janet 11 18 12 56 24 26");
    check("20060102", "20261118");
    check("_2006", "_2026");
}

#[test]
fn times_are_read_by_layouts() {
    let check = |layout: &str, text: &str, expected: &str| {
        let time = parse(layout, text, &Zone::utc());
        assert_eq!(time.map(|time| time.to_string()).as_deref(), Some(expected), "{text}");
    };
    check("2006-01-02", "2026-11-18", "2026-11-18 00:00:00 +0000 UTC");
    check(
        "2006-01-02T15:04:05Z07:00",
        "2026-11-18T10:00:00+02:00",
        "2026-11-18 10:00:00 +0200 +0200",
    );
    check("2006-01-02T15:04:05Z07:00", "2026-11-18T10:00:00Z", "2026-11-18 10:00:00 +0000 UTC");
    check(
        "2006-01-02T15:04:05.000Z",
        "2026-11-18T12:24:55.161Z",
        "2026-11-18 12:24:55.161 +0000 UTC",
    );
    check("15:04:05", "10:11:12.5", "0000-01-01 10:11:12.5 +0000 UTC");
    check("Jan _2 15:04:05 2006", "Nov  8 01:02:03 2026", "2026-11-08 01:02:03 +0000 UTC");
    check("3:04PM", "12:05AM", "0000-01-01 00:05:00 +0000 UTC");
    check("3:04PM", "1:05PM", "0000-01-01 13:05:00 +0000 UTC");
    check("02/01/06", "31/12/70", "1970-12-31 00:00:00 +0000 UTC");
    check("2006 002", "2024 060", "2024-02-29 00:00:00 +0000 UTC");
    check("2006-01-02 MST", "2026-11-18 CET", "2026-11-18 00:00:00 +0000 CET");
    for (layout, text) in [
        ("2006", "bad"),
        ("2006-01-02", "2026-02-30"),
        ("2006-01-02", "2026-13-01"),
        ("2006-01-02", "2026-11-18x"),
        ("15:04", "25:00"),
        ("2006-01-02", ""),
        ("05.000", "12.5"),
    ] {
        assert!(parse(layout, text, &Zone::utc()).is_none(), "{layout} {text}");
    }
}

#[test]
fn zones_have_rules() {
    let Some(paris) = Zone::named("Europe/Paris") else { return };
    let time = parse("2006-01-02 15:04", "2026-07-01 10:00", &paris).unwrap();
    assert_eq!(time.to_string(), "2026-07-01 10:00:00 +0200 CEST");
    let time = parse("2006-01-02 15:04", "2026-12-01 10:00", &paris).unwrap();
    assert_eq!(time.to_string(), "2026-12-01 10:00:00 +0100 CET");
    assert!(Zone::named("No/Where").is_none());
}

#[test]
fn the_zero_time_is_year_one() {
    assert_eq!(Time::zero().to_string(), "0001-01-01 00:00:00 +0000 UTC");
    assert!(Time::zero().is_zero() && !sample().is_zero());
    assert_eq!(sample().unix_scaled(1_000), 1_795_006_584_133);
}

proptest::proptest! {
    #[test]
    fn any_layout_and_text_can_be_read(layout in "\\PC{0,30}", text in "\\PC{0,30}") {
        let _ = parse(&layout, &text, &Zone::utc());
        sample().format(&layout);
    }

    #[test]
    fn dates_and_days_agree(days in -800_000i64..800_000) {
        let (year, month, day) = date_of(days);
        proptest::prop_assert_eq!(days_of(year, month, day), days);
    }
}
