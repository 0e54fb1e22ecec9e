use proptest::prelude::*;

use super::*;
use crate::limits::LEVEL_FIELDS;

fn fields(depth: u32) -> LevelFields {
    LevelFields::new(&LEVEL_FIELDS.map(str::to_owned), depth)
}

#[test]
fn lines_of_every_kind() {
    let check = |line: &str, expected: &str| {
        assert_eq!(fields(2).of_line(line.as_bytes()).as_str(), expected, "{line}");
    };
    check("level=info msg=a", "info");
    check("level=WARN msg=b", "warn");
    check("lvl=err msg=c", "error");
    check("severity=critical x=1", "critical");
    check(r#"{"level":"error","m":1}"#, "error");
    check(r#"{"severity":"Warning"}"#, "warn");
    check(r#"{"lvl":"DBG"}"#, "debug");
    check(r#"{"a":{"level":"info"}}"#, "info");
    check(r#"{"a":{"b":{"c":{"level":"info"}}}}"#, "info");
    check("plain ERROR happened", "error");
    check("warning: disk", "warn");
    check("INFO start", "info");
    check("debug stuff", "debug");
    check("trace path", "trace");
    check("FATAL crash", "fatal");
    check("nothing to see", "unknown");
    check("level=9 x", "unknown");
    check("level=\"Information\" y", "info");
    check(r#"{"level":30}"#, "unknown");
    check("[ERROR] brackets", "error");
    check("errors=0 ok", "unknown");
    check("the informational text", "unknown");
    check("panic: oh no", "unknown");
    check("LEVEL=error up", "error");
    check("Level=error mixed", "error");
    check(r#"{"LEVEL":"Fatal"}"#, "fatal");
    check(r#"{"log.level":"warn"}"#, "warn");
    check("critical failure", "critical");
    check("level=notice z", "unknown");
    check("", "unknown");
    check("level=info then error later", "info");
    check("E1118 10:00:00.1 klog", "unknown");
    check("<3>syslog", "unknown");
    check("status=500", "unknown");
    check(r#"{"msg":"error inside json"}"#, "error");
    check(r#"{"message":"x","severity_text":"ERROR"}"#, "error");
    check(r#"{"level":"unknownlevel"}"#, "unknown");
    check("loglevel=error", "error");
    check("some warn in the mid", "warn");
    check("not informative", "unknown");
    check("err: short", "error");
}

#[test]
fn json_is_walked_in_order_and_to_a_depth() {
    let check = |depth: u32, line: &str, expected: Option<&str>| {
        let found = json::find(line.as_bytes(), &fields(depth));
        assert_eq!(found.map(|value| str::from_utf8(value).unwrap()), expected, "{line}");
    };
    check(
        2,
        r#" { "a" : [ {"level":"x"} ] , "b" : {"c":1, "lvl" : "in"} , "level":"out" }"#,
        Some("in"),
    );
    check(1, r#"{"b":{"lvl":"in"},"level":"out"}"#, Some("out"));
    check(2, r#"{"b":{"c":{"lvl":"deep"}}}"#, None);
    check(0, r#"{"b":{"c":{"d":{},"e":{"lvl":"deep"}}}}"#, Some("deep"));
    check(2, r#"{"a":{},"b":{"c":{}},"d":{"e":2},"level":"x"}"#, Some("x"));
    check(2, r#"{"a\"level":"no","m":"\\\"","level":"a\"b"}"#, Some("a\\\"b"));
    check(2, r#"{"level":1,"Level":"second"}"#, Some("second"));
    check(2, r#"{"a":"unterminated}"#, None);
    check(2, r#"{"a" 1,"level":"x"}"#, None);
    check(2, r#"{"a":{"b":1,"level":"x"}"#, Some("x"));
    check(2, r#"{}{"level":"x"}"#, None);
    check(2, "{}", None);
}

#[test]
fn logfmt_takes_the_best_key_in_any_case() {
    let check = |line: &str, expected: Option<&str>| {
        let found = logfmt::find(line.as_bytes(), &fields(2));
        assert_eq!(found.map(|value| str::from_utf8(value).unwrap()), expected, "{line}");
    };
    check("lvl=a LEVEL=b level=c", Some("b"));
    check("severity=a lvl=b", Some("a"));
    check("msg=\"level=x \\\" y\" bare level=z", Some("z"));
    check("a=b=c level=x", None);
    check("a \"quoted\" level=x", None);
    check("=x level=y", None);
    check("level= x=1", Some(""));
    check("level=\"open", None);
    check("x=1", None);
}

#[test]
fn words_need_boundaries() {
    let check = |line: &str, expected: Option<Level>| {
        assert_eq!(keyword::find(line.as_bytes()), expected, "{line}");
        let far = format!("{}{line}", "some text in front, a bit longer than a chunk ".repeat(2));
        assert_eq!(keyword::find(far.as_bytes()), expected, "{far}");
    };
    check("error", Some(Level::Error));
    check("(error)", Some(Level::Error));
    check("x|warn|", Some(Level::Warn));
    check("terror error", Some(Level::Error));
    check("errors and err", Some(Level::Error));
    check("warnings", None);
    check("a.error", None);
    check("error.", None);
    check("info, then error", Some(Level::Info));
    check("criticality", None);
    check("inf", None);
}

#[test]
fn labels_and_metadata_come_first() {
    let labels = Labels::new([("lvl", "DBG"), ("severity", "notice")]);
    assert_eq!(fields(2).of_labels(&labels), Some(Found::Other("notice".into())));
    assert_eq!(fields(2).of_labels(&Labels::new([("a", "b")])), None);
    let metadata = |pairs: &[(&'static str, &'static str)]| {
        let pairs: Vec<_> =
            pairs.iter().map(|(n, v)| (Cow::Borrowed(*n), Cow::Borrowed(*v))).collect();
        fields(2).of_metadata(&pairs).map(Found::into_owned)
    };
    assert_eq!(metadata(&[("lvl", "dbg")]), Some(Found::Level(Level::Debug)));
    assert_eq!(metadata(&[("level", "mine")]), Some(Found::Other("mine".into())));
    assert_eq!(
        metadata(&[("severity_number", "9"), ("level", "fatal")]),
        Some(Found::Level(Level::Fatal))
    );
    for (number, level) in [
        ("0", Level::Unknown),
        ("4", Level::Trace),
        ("5", Level::Debug),
        ("9", Level::Info),
        ("13", Level::Warn),
        ("20", Level::Error),
        ("24", Level::Fatal),
        ("25", Level::Unknown),
        ("x", Level::Info),
    ] {
        assert_eq!(metadata(&[("severity_number", number)]), Some(Found::Level(level)), "{number}");
    }
    assert_eq!(metadata(&[("other", "x")]), None);
    assert_eq!(Found::of_value("unknown"), Found::Level(Level::Unknown));
}

/// What the sweep must find, written the slow way.
fn first_word(line: &str) -> Option<&'static str> {
    let words = ["trace", "debug", "fatal", "critical", "error", "err", "warning", "warn", "info"];
    let lower = line.to_ascii_lowercase();
    let bytes = lower.as_bytes();
    (0..bytes.len()).find_map(|start| {
        words.into_iter().find(|word| {
            let end = start + word.len();
            let left = start == 0 || b" \t\n[({\"'=|".contains(&bytes[start - 1]);
            let right = end >= bytes.len() || b" \t\n[](){}:,!\"'=|".contains(&bytes[end]);
            lower.get(start..end) == Some(*word) && left && right
        })
    })
}

proptest! {
    #[test]
    fn the_sweep_finds_what_a_slow_search_finds(
        parts in prop::collection::vec("(trace|DEBUG|fatal|critical|Error|err|warning|warn|INFO|[a-z ]{1,12}|[ :=\\[\\]\"'.,!]|é)", 0..12)
    ) {
        let line = parts.concat();
        let expected = first_word(&line).and_then(|word| word_level(word.as_bytes()));
        prop_assert_eq!(keyword::find(line.as_bytes()), expected, "{}", line);
    }

    #[test]
    fn arbitrary_lines_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), text in "\\{[{}\\[\\]\":,a-z\\\\ ]{0,40}\\}", logfmt in "[a-z=\" \\\\]{0,40}") {
        for depth in [0, 2] {
            let _ = fields(depth).of_line(&bytes);
            let _ = fields(depth).of_line(text.as_bytes());
            let _ = fields(depth).of_line(logfmt.as_bytes());
        }
    }

    #[test]
    fn json_values_are_found(before in "\\PC{0,20}", value in "[a-z]{1,8}") {
        let line = serde_json::json!({"before": before, "in": {"x": [1, "{"], "level": value}}).to_string();
        let found = json::find(line.as_bytes(), &fields(2));
        prop_assert_eq!(found, Some(value.as_bytes()));
    }
}
