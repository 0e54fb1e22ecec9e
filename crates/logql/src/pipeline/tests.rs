//! Whole pipelines on single rows: the cases of the language reference, by stage.

use proptest::prelude::*;

use super::*;
use crate::source::WantLines;
use crate::syntax::ast::{Expr, MetricExpr, RangeAggregation};

/// A query, its row, and what comes of it.
struct Case<'c> {
    query: &'c str,
    stream: &'c [(&'c str, &'c str)],
    metadata: &'c [(&'c str, &'c str)],
    line: &'c str,
}

/// The stream of most cases.
const STREAM: &[(&str, &str)] = &[("app", "x")];

fn find(metric: &MetricExpr) -> &RangeAggregation {
    match metric {
        MetricExpr::Range(range) => range,
        MetricExpr::Vector(vector) => find(&vector.inner),
        other => panic!("no range in {other:?}"),
    }
}

/// What the engine hands down: the grouping of the range, or that of a `sum` around it.
fn reduction(metric: &MetricExpr) -> Reduction {
    let grouping = match metric {
        MetricExpr::Vector(vector) => match &vector.grouping {
            None => return Reduction::Nothing,
            grouping => grouping.clone(),
        },
        _ => find(metric).grouping.clone(),
    };
    match grouping {
        None => Reduction::All,
        Some(grouping) if grouping.without => Reduction::Without(grouping.labels),
        Some(grouping) => Reduction::By(grouping.labels),
    }
}

fn build(query: &str) -> Pipeline {
    let built = match crate::parse(query).unwrap_or_else(|error| panic!("{query}: {error}")) {
        Expr::Log(log) => Pipeline::build(&log.stages, None, Hints::log()),
        Expr::Metric(metric) => {
            let range = find(&metric);
            let lines = match range.op.as_str() {
                "bytes_over_time" | "bytes_rate" => WantLines::Lengths,
                _ => WantLines::None,
            };
            let hints = Hints::metric(reduction(&metric), lines);
            Pipeline::build(&range.range.query.stages, range.range.unwrap.as_ref(), hints)
        }
    };
    built.unwrap_or_else(|error| panic!("{query}: {error}"))
}

/// What a row became: its line, its series labels and its value.
type Outcome = (String, Vec<(String, String)>, f64);

/// Runs a case; `None` when the row was dropped.
fn run(case: &Case<'_>) -> Option<Outcome> {
    let pipeline = build(case.query);
    let mut scratch = pipeline.scratch();
    let base = Labels::new(case.stream.iter().copied());
    if !pipeline.admits(case.line.as_bytes(), &mut scratch) {
        return None;
    }
    let row = RowView {
        timestamp: Timestamp(1_795_006_584_133_009_196),
        line: case.line.as_bytes(),
        columns: None,
        metadata: Metadata::Pairs(case.metadata),
    };
    // Twice: nothing of a row may stay behind in the scratch.
    let mut keys = [Vec::new(), Vec::new()];
    let mut found = None;
    for key in &mut keys {
        let outcome = pipeline.process(&base, row, &mut scratch)?;
        outcome.series_key(key);
        let line = String::from_utf8_lossy(outcome.line()).into_owned();
        found = Some((line, outcome.series_labels(), outcome.value()));
    }
    assert_eq!(keys[0], keys[1], "{}", case.query);
    found
}

/// Prints labels as `a="1" b="2"`.
fn print(labels: &[(String, String)]) -> String {
    let pairs: Vec<String> =
        labels.iter().map(|(name, value)| format!("{name}={value:?}")).collect();
    pairs.join(" ")
}

/// Checks all labels of a row of the plain stream.
fn labels(line: &str, stages: &str, expected: &str) {
    with(STREAM, &[], line, stages, expected);
}

/// Checks all labels of a row.
fn with(
    stream: &[(&str, &str)],
    metadata: &[(&str, &str)],
    line: &str,
    stages: &str,
    expected: &str,
) {
    let query = format!("{{app=\"x\"}} {stages}");
    let case = Case { query: &query, stream, metadata, line };
    let found = run(&case).map(|(_, labels, _)| print(&labels));
    assert_eq!(found.as_deref(), Some(expected), "{stages} on {line:?}");
}

/// Checks whether a row is kept.
fn keeps(line: &str, stages: &str, expected: bool) {
    let query = format!("{{app=\"x\"}} {stages}");
    let case = Case { query: &query, stream: STREAM, metadata: &[], line };
    assert_eq!(run(&case).is_some(), expected, "{stages} on {line:?}");
}

/// Checks the line of a row.
fn line(line: &str, stages: &str, expected: &str) {
    let query = format!("{{app=\"x\"}} {stages}");
    let case = Case { query: &query, stream: STREAM, metadata: &[], line };
    assert_eq!(run(&case).map(|(line, _, _)| line).as_deref(), Some(expected), "{stages}");
}

/// Checks the series of a row in a metric query.
fn series(line: &str, query: &str, expected: &str) {
    let case = Case { query, stream: STREAM, metadata: &[], line };
    let found = run(&case).map(|(_, labels, value)| format!("{{{}}} {value}", print(&labels)));
    assert_eq!(found.as_deref(), Some(expected), "{query} on {line:?}");
}

#[test]
fn line_filters_keep_and_drop() {
    keeps("foo bar bar", r#"|> "<_> bar""#, false);
    keeps("xx foo yy", r#"|> "foo <_>""#, true);
    keeps("abc", r#"|= "" or "zzz""#, false);
    keeps("abc", r#"|~ "zzz|""#, false);
    keeps("abc", r#"!= """#, false);
    keeps("b", r#"!= "a" or "b""#, false);
    keeps("c", r#"!= "a" or "b""#, true);
    keeps("a\nc", r#"|~ "a.c""#, false);
    keeps("a\nc", r#"|~ "(?s)a.c""#, true);
    // Q4: the filter runs before the colours are gone.
    keeps("\u{1b}[31mfo\u{1b}[0mo", r#"| decolorize |= "foo""#, false);
    keeps("\u{1b}[31mfo\u{1b}[0mo", r#"| decolorize | app="x" |= "foo""#, true);
    keeps("src 192.168.0.1:80", r#"|= ip("192.168.0.1")"#, true);
    keeps("nope", r#"|= "yes" or ip("10.0.0.0/8") or "nop""#, true);
    keeps(r#"{"a":"b"}"#, r#"| json | line_format "{{.a}}" |= "b""#, true);
    keeps(r#"{"a":"b"}"#, r#"| json | line_format "{{.a}}" |= "a""#, false);
}

#[test]
fn label_filters_keep_and_drop() {
    keeps("lvl=prewarning", r#"| logfmt | lvl=~"warn.*""#, true);
    keeps("lvl=warning", r#"| logfmt | lvl=~"warn|error""#, false);
    keeps("lvl=prewarn", r#"| logfmt | lvl=~"warn|warning""#, true);
    keeps("", r#"| x=~"""#, true);
    keeps("", r#"| x!~"""#, false);
    keeps("", r#"| x!="a""#, true);
    keeps("", "| x!=5", false);
    labels(
        "d=abc",
        "| logfmt | d > 1s",
        r#"__error__="LabelFilterErr" __error_details__="time: invalid duration \"abc\"" app="x" d="abc""#,
    );
    labels(
        "d=2d",
        "| logfmt | d > 1h",
        r#"__error__="LabelFilterErr" __error_details__="time: unknown unit \"d\" in duration \"2d\"" app="x" d="2d""#,
    );
    keeps("s=1KB", "| logfmt | s = 1000B", true);
    keeps("s=\"3 kB\"", "| logfmt | s = 3kB", true);
    keeps("s=1024", "| logfmt | s = 1KiB", false);
    labels(
        "a=q b=y",
        r#"| logfmt | a > 1 or b = "x""#,
        r#"__error__="LabelFilterErr" __error_details__="strconv.ParseFloat: parsing \"q\": invalid syntax" a="q" app="x" b="y""#,
    );
    keeps("a=q b=y", r#"| logfmt | a > 1 and b = "x""#, false);
    keeps("oops", r#"| json | addr = ip("1.1.1.1")"#, true);
    keeps("oops", "| json | n > 5", false);
    keeps("oops", "| json | __error__ > 0", false);
    keeps("oops", r#"| json | __error_details__=~".+""#, false);
    keeps("oops", r#"| json | __error__="JSONParserErr""#, true);
    keeps("x=1 y=9 z=3", "| logfmt | x=1, y=2 or z=3", true);
    keeps("x=1 y=0 z=0", "| logfmt | x=1 or y=2, z=3", true);
    keeps("x=1 y=0 z=0", "| logfmt | (x=1 or y=2), z=3", false);
}

/// The details of an object that does not end.
const OBJECT: &str = "Value looks like object, but can't find closing '}' symbol";
/// The details of a line that ends after a value.
const ARRAY: &str = "Value is array, but can't find closing ']' symbol";

#[test]
fn json_becomes_labels() {
    let failed = |details: &str, rest: &str| {
        format!("__error__=\"JSONParserErr\" __error_details__={details:?} {rest}")
    };
    labels(r#"{"a":1"#, "| json", &failed(ARRAY, r#"a="1" app="x""#));
    labels(r#" {"a":1}"#, "| json", r#"a="1" app="x""#);
    labels(r#" {"a":1}"#, "| json a", r#"__error__="JSONParserErr" app="x""#);
    labels("", "| json", &failed(OBJECT, r#"app="x""#));
    labels("", "| json a", r#"app="x""#);
    let mixed = r#"{"a":null,"b":"","c":[1],"d":{"e":{}},"f":true}"#;
    labels(mixed, "| json", r#"app="x" b="" f="true""#);
    labels(mixed, "| json a,b,c,z", r#"a="" app="x" b="" c="[1]" z="""#);
    labels(r#"{"app":"y","app_extracted":"z"}"#, "| json", r#"app="x" app_extracted="y""#);
    labels(r#"{"app_extracted":"z","app":"y"}"#, "| json", r#"app="x" app_extracted="z""#);
    labels(
        r#"{"3a":1,"b":{"4c":2}," ":{"k":3},"é-x":4}"#,
        "| json",
        r#"_3a="1" __x="4" app="x" b_4c="2" k="3""#,
    );
    labels(r#"{"a":"\ud83d","b":"x\q"}"#, "| json", r#"a="" app="x" b="""#);
    labels(r#"{"a":"1",}{"b":2} junk"#, "| json", r#"a="1" app="x""#);
    with(
        &[("app", "x"), ("lvl", "s")],
        &[],
        r#"{"lvl":"j"}"#,
        "| drop lvl | json",
        r#"app="x" lvl_extracted="j""#,
    );
    labels(r#"{"lvl":"a"}"#, "| json | label_format l2=lvl | json", r#"app="x" l2="a""#);
    keeps(r#"{"f":"y"}"#, r#"| json | label_format f="x" | f="x""#, false);
    labels(r#"{"g":1}"#, r#"| json | label_format f="x" | f="x""#, r#"app="x" f="x" g="1""#);
    keeps(r#"{"f":"y"}"#, r#"| f="" | json"#, false);
    with(
        STREAM,
        &[("pod", "sm")],
        r#"{"pod":"p"}"#,
        "| json",
        r#"app="x" pod="sm" pod_extracted="p""#,
    );
    with(&[("a", "1")], &[("a", "2")], r#"{"a":"3"}"#, "", r#"a="1" a_extracted="2""#);
    with(&[("a", "1")], &[("a", "2")], r#"{"a":"3"}"#, "| json", r#"a="1" a_extracted="3""#);
    labels(r#"{"a":{"b":1 "c":2}}"#, "| json", &failed(OBJECT, r#"a_b="1" app="x""#));
    labels(r#"{"a":{"b":1}"#, "| json", &failed(ARRAY, r#"a_b="1" app="x""#));
    labels(r#"{"a":{"b":1"#, "| json", &failed(OBJECT, r#"app="x""#));
    labels(r#"{"a":x}"#, "| json", &failed("Unknown value type", r#"app="x""#));
    labels(r#"{"__error__":"mine"}"#, r#"| json | __error__="""#, r#"__error__="mine" app="x""#);
}

#[test]
fn json_can_be_formatted_and_parsed_again() {
    let nested = r#"{"lvl":"a","msg":"{\"lvl\":\"b\",\"n\":1}"}"#;
    let stages = r#"| json | line_format "{{.msg}}" | json"#;
    labels(nested, stages, r#"app="x" lvl="a" msg="{\"lvl\":\"b\",\"n\":1}" n="1""#);
    line(nested, stages, r#"{"lvl":"b","n":1}"#);
}

#[test]
fn other_parsers_set_labels() {
    let pairs = r#"a=1 b c= d="" e=x=y f="q\"r" g"#;
    labels(pairs, "| logfmt", r#"a="1" app="x" f="q\"r""#);
    labels(pairs, "| logfmt --keep-empty", r#"a="1" app="x" b="" c="" d="" f="q\"r" g="""#);
    labels(
        pairs,
        "| logfmt --strict",
        r#"__error__="LogfmtParserErr" __error_details__="logfmt syntax error at pos 18 : unexpected '='" a="1" app="x""#,
    );
    labels("a=1 a=2", "| logfmt", r#"a="1" app="x""#);
    labels("a=1 a=2", "| logfmt a", r#"a="2" app="x""#);
    with(&[("x", "s")], &[], "a=1", r#"| logfmt x="a""#, r#"x="s" x_extracted="1""#);
    with(&[("x", "s")], &[], "b=1", r#"| logfmt x="a""#, r#"x="s""#);
    labels(r#"a="1"b=2 c="z"#, "| logfmt", r#"a="1" app="x" b="2""#);
    labels("y", r#"| regexp "(?P<a>x)?(?P<b>y)""#, r#"a="" app="x" b="y""#);
    labels("foo", r#"| pattern "<a>:<b>""#, r#"a="foo" app="x""#);
    labels("y x=1,", r#"| pattern "x=<a>,""#, r#"app="x""#);
    labels(r#"{"a":"1","n":2,"_entry":"hi"}"#, "| unpack", r#"a="1" app="x""#);
    line(r#"{"a":"1","n":2,"_entry":"hi"}"#, "| unpack", "hi");
    labels(r#"{"a":"1","n":2}"#, "| unpack", r#"app="x""#);
    line(r#"{"a":"1","n":2}"#, "| unpack", r#"{"a":"1","n":2}"#);
    labels(
        "x",
        "| unpack",
        r#"__error__="JSONParserErr" __error_details__="expecting json object(6), but it is not" app="x""#,
    );
}

#[test]
fn formats_and_removals_work() {
    line("oops", r#"| json | line_format "{{.__error__}}""#, "");
    line("oops", r#"| json | line_format "[{{.__error__}}]""#, "[JSONParserErr]");
    line("l", r#"| line_format "{{ div 1 0 }}""#, "l");
    labels(
        "l",
        r#"| line_format "{{ div 1 0 }}""#,
        r#"__error__="TemplateFormatErr" __error_details__="template: line:1:3: executing \"line\" at <div 1 0>: error calling div: runtime error: integer divide by zero" app="x""#,
    );
    labels("a=1 b=2", "| logfmt | label_format a=b, b=a", r#"app="x" b="2""#);
    labels("a=1", "| logfmt | label_format a=a", r#"app="x""#);
    labels(
        "b=1",
        r#"| logfmt | label_format a="{{.b}}", c="{{.a}}""#,
        r#"a="1" app="x" b="1" c="""#,
    );
    labels("b=1", r#"| logfmt | label_format a=b, c="{{.a}}""#, r#"a="1" app="x" c="1""#);
    labels("oops", "| json | drop __error__", r#"app="x""#);
    let expected = format!("__error_details__={OBJECT:?} app=\"x\" p=\"1\"");
    with(STREAM, &[("p", "1")], "oops", "| json | drop __error__", &expected);
    with(&[("app", "x"), ("lvl", "info")], &[], "", r#"| keep lvl="warn""#, "");
    with(&[("app", "x"), ("lvl", "info")], &[], "", r#"| keep lvl=~"i.*""#, r#"lvl="info""#);
    labels("a=1 b=2", r#"| logfmt | drop a="1", b="1""#, r#"app="x" b="2""#);
    line("l", r#"| line_format "{{__line__}}!" | line_format "{{__line__}}?""#, "l!?");
    line("\u{1b}[31mred\u{1b}[0m", "| decolorize", "red");
    line(
        "x",
        r#"| label_format t="{{__timestamp__ | unixEpoch}}" | line_format "{{.t}}""#,
        "1795006584",
    );
}

#[test]
fn series_follow_the_hints() {
    series(
        "{\"a\":\"1\",oops",
        r#"sum by (a) (count_over_time({app="x"} | json [1m]))"#,
        r#"{a="1"} 0"#,
    );
    series("{bad", r#"sum(count_over_time({app="x"} | json [1m]))"#, "{} 0");
    let preserved = r#"sum by (__error__) (count_over_time({app="x"} | json [1m]))"#;
    series(
        "bad",
        preserved,
        &format!(
            "{{__error__=\"JSONParserErr\" __error_details__={OBJECT:?} __preserve_error__=\"true\" app=\"x\"}} 0"
        ),
    );
    series("{}", r#"sum by (f) (count_over_time({app="x"} | json f="x" [1m]))"#, r#"{f=""} 0"#);
    series("{}", r#"sum by (x) (count_over_time({app="x"} | json [1m]))"#, "{} 0");
    series(
        "a=1 b=2",
        r#"sum by (a, b) (count_over_time({app="x"} | logfmt a, b [1m]))"#,
        r#"{a="1" b=""} 0"#,
    );
    series("a=1", r#"sum by (l) (count_over_time({app="x"} | logfmt l="a" [1m]))"#, r#"{l=""} 0"#);
    series("v=3", r#"max_over_time({app="x"} | logfmt | unwrap v [1m])"#, r#"{app="x"} 3"#);
    series("v=3", r#"max_over_time({app="x"} | logfmt | unwrap v [1m]) by (v)"#, r#"{v="3"} 3"#);
    series(
        "v=1m30s",
        r#"sum_over_time({app="x"} | logfmt | unwrap duration(v) [1m])"#,
        r#"{app="x"} 90"#,
    );
    series(
        "v=1KiB",
        r#"sum_over_time({app="x"} | logfmt | unwrap bytes(v) [1m])"#,
        r#"{app="x"} 1024"#,
    );
    series(
        "m=hi",
        r#"sum by (a) (count_over_time({app="x"} | logfmt | line_format "{{.m}}" | label_format a="{{__line__}}" [1m]))"#,
        r#"{a="m=hi"} 0"#,
    );
    for line in ["v=", "z=2"] {
        let query = r#"sum_over_time({app="x"} | logfmt | unwrap v [1m])"#;
        assert!(run(&Case { query, stream: STREAM, metadata: &[], line }).is_none());
    }
    let query = r#"sum by (f) (count_over_time({app="x"} | drop f | label_format f="n" [1m]))"#;
    let stream = &[("app", "x"), ("f", "s")];
    let found = run(&Case { query, stream, metadata: &[], line: "" }).unwrap();
    assert_eq!(found.1, [], "a label that was once deleted never shows (Q10)");
}

#[test]
fn unpack_is_skipped_when_no_label_matters() {
    let packed = r#"{"a":"1","_entry":"hi"}"#;
    let query = r#"sum(bytes_over_time({app="x"} | unpack [1m]))"#;
    let case = Case { query, stream: STREAM, metadata: &[], line: packed };
    assert_eq!(run(&case).unwrap().0, packed);
    let case = Case { query: r#"bytes_over_time({app="x"} | unpack [1m])"#, ..case };
    let (line, labels, _) = run(&case).unwrap();
    assert_eq!((line.as_str(), print(&labels).as_str()), ("hi", r#"a="1" app="x""#));
}

#[test]
fn labels_have_categories() {
    let check = |query: &str, metadata: &[(&str, &str)], line: &str, expected: [&str; 3]| {
        let pipeline = build(query);
        let mut scratch = pipeline.scratch();
        let base = Labels::new([("app", "x")]);
        let row = RowView {
            timestamp: Timestamp(0),
            line: line.as_bytes(),
            columns: None,
            metadata: Metadata::Pairs(metadata),
        };
        let outcome = pipeline.process(&base, row, &mut scratch).unwrap();
        let Categories { stream, structured_metadata, parsed } = outcome.categories();
        assert_eq!([stream, structured_metadata, parsed].map(|l| print(&l)), expected, "{query}");
    };
    let json = r#"{"lvl":"a"}"#;
    check(r#"{app="x"} | json"#, &[("pod", "p")], json, [r#"app="x""#, r#"pod="p""#, r#"lvl="a""#]);
    check(r#"{app="x"} | label_format app="y""#, &[], "", ["", "", r#"app="y""#]);
    check(r#"{app="x"}"#, &[("app", "sm")], "", [r#"app="x""#, r#"app_extracted="sm""#, ""]);
    let error = format!("__error__=\"JSONParserErr\" __error_details__={OBJECT:?}");
    check(r#"{app="x"} | json"#, &[], "bad", [r#"app="x""#, "", &error]);
}

#[test]
fn queries_want_what_they_need() {
    use WantMetadata::{All, Names as Named, None as Nothing};
    let check = |query: &str, lines: WantLines, metadata: WantMetadata| {
        assert_eq!(build(query).wants(), Want { lines, metadata }, "{query}");
    };
    let named = |names: &[&str]| {
        let mut names: Vec<String> = names.iter().map(|name| (*name).to_owned()).collect();
        names.extend(["__error__".to_owned(), "__error_details__".to_owned()]);
        names.sort();
        Named(names)
    };
    check(r#"{app="x"}"#, WantLines::Text, All);
    check(r#"sum(count_over_time({app="x"}[1m]))"#, WantLines::None, Nothing);
    check(r#"sum(count_over_time({app="x"} | json [1m]))"#, WantLines::None, named(&[]));
    check(r#"sum(bytes_over_time({app="x"}[1m]))"#, WantLines::Lengths, Nothing);
    check(r#"sum(bytes_over_time({app="x"} | line_format "a" [1m]))"#, WantLines::Text, named(&[]));
    check(r#"sum(count_over_time({app="x"} |= "a" [1m]))"#, WantLines::Text, Nothing);
    check(r#"sum by (a) (count_over_time({app="x"}[1m]))"#, WantLines::None, named(&["a"]));
    check(
        r#"sum by (a) (count_over_time({app="x"} | json | b="1" [1m]))"#,
        WantLines::Text,
        named(&["a", "b"]),
    );
    check(r#"count_over_time({app="x"}[1m])"#, WantLines::None, All);
    check(
        r#"sum by (a) (count_over_time({app="x"} | b_extracted="1" [1m]))"#,
        WantLines::None,
        named(&["a", "b", "b_extracted"]),
    );
    check(
        r#"sum by (a) (count_over_time({app="x"} | label_format a="{{.c}}" [1m]))"#,
        WantLines::None,
        named(&["a", "c"]),
    );
    check(
        r#"sum by (a) (count_over_time({app="x"} | label_format a="{{__line__}}" [1m]))"#,
        WantLines::Text,
        named(&["a"]),
    );
}

#[test]
fn faulty_stages_are_refused() {
    let check = |stages: Vec<Stage>, expected: &str| {
        let error = Pipeline::build(&stages, None, Hints::log()).unwrap_err();
        assert_eq!(error.to_string(), expected);
    };
    check(
        vec![Stage::LineFormat { template: "{{ quote .a }}".into() }],
        "parse error : stage '| line_format \"{{ quote .a }}\"' : invalid line template: template: line:1: function \"quote\" not defined",
    );
    check(
        vec![Stage::Json {
            extracts: vec![crate::syntax::ast::Extract {
                label: "a".into(),
                expression: ".".into(),
            }],
        }],
        "parse error : stage '| json a=\".\"' : cannot parse expression [.]: syntax error: unexpected DOT, expecting LSB or FIELD",
    );
}

#[test]
fn keys_tell_series_apart() {
    let pipeline = build(r#"{app="x"} | logfmt"#);
    let mut scratch = pipeline.scratch();
    let bases = [Labels::new([("app", "x")]), Labels::new([("app", "y")])];
    let mut seen: Vec<(Vec<u8>, ResultLabels)> = Vec::new();
    for line in ["a=1", "a=1 b=2", "b=2 a=1", "a=12", "a=1 b=", "", "c=3", "a=1"] {
        for base in &bases {
            let row = RowView {
                timestamp: Timestamp(0),
                line: line.as_bytes(),
                columns: None,
                metadata: Metadata::Pairs(&[]),
            };
            let outcome = pipeline.process(base, row, &mut scratch).unwrap();
            let mut key = Vec::new();
            outcome.series_key(&mut key);
            let labels = outcome.series_labels();
            for (other_key, other_labels) in &seen {
                assert!(*other_key != key || *other_labels == labels, "{line}");
            }
            seen.push((key, labels));
        }
    }
}

#[test]
fn names_are_forgotten_when_there_are_too_many() {
    let pipeline = build(r#"{app="x"} | logfmt"#);
    let mut scratch = pipeline.scratch();
    let base = Labels::new([("app", "x"), ("env", "e")]);
    let metadata: &[(&str, &str)] = &[("pod", "p")];
    for turn in 0..60_000 {
        let line = format!("k{turn}=1 app=2");
        let row = RowView {
            timestamp: Timestamp(0),
            line: line.as_bytes(),
            columns: None,
            metadata: Metadata::Pairs(metadata),
        };
        let outcome = pipeline.process(&base, row, &mut scratch).unwrap();
        if turn % 10_000 == 9_999 || turn > 59_990 {
            let expected =
                format!("app=\"x\" app_extracted=\"2\" env=\"e\" k{turn}=\"1\" pod=\"p\"");
            assert_eq!(print(&outcome.series_labels()), expected);
        }
    }
    assert!(scratch.labels.names.len() < NAMES_MAX + 100);
}

/// A flat JSON object with simple keys.
fn flat_json() -> impl Strategy<Value = serde_json::Map<String, serde_json::Value>> {
    let value = prop_oneof![
        "\\PC{0,12}".prop_map(serde_json::Value::from),
        any::<i64>().prop_map(serde_json::Value::from),
        any::<bool>().prop_map(serde_json::Value::from),
        Just(serde_json::Value::Null),
    ];
    prop::collection::btree_map("[a-z]{1,6}", value, 0..8)
        .prop_map(|members| members.into_iter().collect())
}

proptest! {
    #[test]
    fn flat_json_reads_as_it_was_written(members in flat_json()) {
        let text = serde_json::to_string(&members).unwrap();
        let query = r#"{app="x"} | json"#;
        let case = Case { query, stream: &[("zzzzzzzz", "s")], metadata: &[], line: &text };
        let (_, labels, _) = run(&case).unwrap();
        let mut expected: Vec<(String, String)> = members
            .iter()
            .filter_map(|(name, value)| {
                let value = match value {
                    serde_json::Value::Null => return None,
                    serde_json::Value::String(text) => text.replace('\u{fffd}', " "),
                    other => other.to_string(),
                };
                Some((name.clone(), value))
            })
            .collect();
        expected.push(("zzzzzzzz".into(), "s".into()));
        expected.sort();
        prop_assert_eq!(labels, expected);
    }

    #[test]
    fn any_line_passes_any_stage(
        line in prop::collection::vec(prop_oneof![
            prop::sample::select(br#"{}[]"=:,\ abc01u"#.to_vec()), any::<u8>()], 0..60),
        stage in prop::sample::select(vec![
            "| json", "| json a, b=\"a[0].b\"", "| logfmt", "| logfmt --strict --keep-empty",
            "| logfmt a, c=\"b\"", "| unpack", "| pattern \"<a>=<b> <_>\"",
            "| regexp \"(?P<a>a+)|(?P<b>b)\"", "| decolorize", "| line_format \"{{.a}}{{__line__}}\"",
            "| json | a > 5", "| logfmt | a = ip(\"10.0.0.0/8\")", "| json | drop a | logfmt | keep b",
            "|~ \"(?i)ab\" or \"a=.\"", "|> \"<_>a<_>\"",
        ]),
    ) {
        let pipeline = build(&format!("{{app=\"x\"}} {stage}"));
        let mut scratch = pipeline.scratch();
        let base = Labels::new([("app", "x"), ("a", "s")]);
        let _ = pipeline.admits(&line, &mut scratch);
        let row = RowView { timestamp: Timestamp(0), line: &line, columns: None, metadata: Metadata::Pairs(&[]) };
        if let Some(outcome) = pipeline.process(&base, row, &mut scratch) {
            let labels = outcome.series_labels();
            prop_assert!(labels.windows(2).all(|pair| pair[0].0 < pair[1].0));
        }
    }
}
