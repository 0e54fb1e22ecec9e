use std::collections::BTreeMap;

use super::*;

/// A row without labels.
pub(super) struct NoLabels;

impl Data for NoLabels {
    fn label(&self, _: &str) -> Option<&[u8]> {
        None
    }
    fn labels(&self) -> Vec<(String, Vec<u8>)> {
        Vec::new()
    }
    fn line(&self) -> &[u8] {
        b""
    }
    fn timestamp(&self) -> Timestamp {
        Timestamp(0)
    }
    fn now(&self) -> Timestamp {
        Timestamp(0)
    }
}

struct Row(BTreeMap<String, Vec<u8>>);

impl Data for Row {
    fn label(&self, name: &str) -> Option<&[u8]> {
        self.0.get(name).map(Vec::as_slice)
    }
    fn labels(&self) -> Vec<(String, Vec<u8>)> {
        self.0.iter().map(|(name, value)| (name.clone(), value.clone())).collect()
    }
    fn line(&self) -> &[u8] {
        b"the line"
    }
    fn timestamp(&self) -> Timestamp {
        Timestamp(1_795_006_584_133_009_196)
    }
    fn now(&self) -> Timestamp {
        Timestamp(1_000_000_000)
    }
}

fn row() -> Row {
    let labels = [("user", "carol"), ("n", "7"), ("v", "héllo"), ("d", "1m30s"), ("empty", "")];
    Row(labels.iter().map(|(n, v)| ((*n).to_owned(), v.as_bytes().to_vec())).collect())
}

fn run(text: &str) -> Result<Vec<u8>, String> {
    let mut out = Vec::new();
    Template::parse("line", text)?.execute(&row(), &mut out)?;
    Ok(out)
}

fn check(text: &str, expected: &str) {
    let out = run(text).map(|out| String::from_utf8_lossy(&out).into_owned());
    assert_eq!(out.as_deref(), Ok(expected), "{text}");
}

fn fails(text: &str, expected: &str) {
    assert_eq!(run(text).unwrap_err(), expected, "{text}");
}

#[test]
fn labels_and_lines_print() {
    check("{{.user}} {{ .n }}", "carol 7");
    check("{{.nosuch}}|", "|");
    check("a {{- .user -}} b", "acarolb");
    check("{{/* note */}}x{{- /* note */ -}} y", "xy");
    check("{{ __line__ }}", "the line");
    check("{{ __timestamp__ }}", "2026-11-18 12:56:24.133009196 +0000 UTC");
    check(
        "{{ ((__timestamp__.Truncate 86400000000000).Add 5000000000).Format `15:04:05` }}",
        "00:00:05",
    );
    check("{{ __timestamp__.Weekday }} {{ __timestamp__.YearDay }}", "Wednesday 322");
    check("{{ __timestamp__.Format \"15:04\" }}", "12:56");
    check("{{ . }}", "map[d:1m30s empty: n:7 user:carol v:héllo]");
    check("{{ $ }}", "map[d:1m30s empty: n:7 user:carol v:héllo]");
    check("{{ $.user }}", "carol");
    check("{{ index . \"user\" }}{{ index . \"x\" }}", "carol");
    check("", "");
    check("{{ \"lit\" }}{{ `raw` }}{{ \"esc\\t\\x41\" }}", "litrawesc\tA");
}

#[test]
fn constants_print() {
    check("{{ 0x1F }} {{ 1e3 }} {{ 1_000 }} {{ 0b11 }} {{ 1i }}", "31 1000 1000 3 (0+1i)");
    check(
        "{{ 'a' }} {{ true }} {{ 3000000.0 }} {{ 123456.5 }} {{ 1234567.0 }}",
        "97 true 3e+06 123456.5 1.234567e+06",
    );
    check("{{ 010 }} {{ .5 }} {{ -3 }} {{ 1.0 }} {{ 0.00001 }}", "8 0.5 -3 1 1e-05");
}

#[test]
fn control_flow_works() {
    check("{{ if .nosuch }}yes{{ else }}no{{ end }}", "no");
    check("{{ if eq .user \"x\" }}a{{ else if .n }}b{{ else }}c{{ end }}", "b");
    check("{{ with .user }}{{ . }}{{ else }}none{{ end }}", "carol");
    check("{{ with $x := .user }}{{ $x }}{{ end }}", "carol");
    check("{{ with .nosuch }}a{{ else with .user }}{{ . }}{{ end }}", "carol");
    check("{{ $u := .user }}{{ $u }}-{{ $u | upper }}", "carol-CAROL");
    check("{{ $x := 1 }}{{ if true }}{{ $x = 2 }}{{ end }}{{ $x }}", "2");
    check("{{ $x := 1 }}{{ if true }}{{ $x := 2 }}{{ end }}{{ $x }}", "1");
    check("{{ range fromJson \"[]\" }}x{{ else }}empty{{ end }}", "empty");
    check(
        "{{ range $k, $v := . }}{{ $k }}={{ $v }} {{ end }}",
        "d=1m30s empty= n=7 user=carol v=héllo ",
    );
    check(
        "{{ range fromJson \"[1,2,3,4]\" }}{{ if eq . 3.0 }}{{ break }}{{ end }}{{ . }}{{ end }}",
        "12",
    );
    check(
        "{{ range fromJson \"[1,2,3]\" }}{{ if eq . 2.0 }}{{ continue }}{{ end }}{{ . }}{{ end }}",
        "13",
    );
    check(
        "{{ range $i, $v := fromJson \"[\\\"a\\\",\\\"b\\\"]\" }}{{ $i }}{{ $v }}{{ end }}",
        "0a1b",
    );
    check(
        "{{ range $k, $v := fromJson \"{\\\"b\\\":2,\\\"a\\\":1}\" }}{{ $k }}:{{ $v }} {{ end }}",
        "a:1 b:2 ",
    );
    check("{{ range 3 }}{{ . }}{{ end }}", "012");
    check("{{ define \"t\" }}<{{ . }}>{{ end }}{{ template \"t\" .user }}", "<carol>");
    check("{{ block \"b\" .n }}[{{ . }}]{{ end }}", "[7]");
    check("{{ and .user .nosuch }}|{{ or .nosuch .user }}|{{ not .user }}", "|carol|false");
}

#[test]
fn text_functions_work() {
    check("{{ \"MiXed\" | ToLower }}|{{ ToUpper \"ü\" }}|{{ ToUpper .nosuch }}", "mixed|Ü|");
    check(
        "{{ lower \"ÀÉ ẞ İ\" }} {{ upper \"straße é ı\" }} {{ title \"hello wORLD foo-bar it's\" }}",
        "àé ß i STRAßE É I Hello WORLD Foo-Bar It'S",
    );
    check(
        "{{ Trim \"  x \" \" \" }}|{{ TrimLeft \"xxa\" \"x\" }}|{{ TrimRight \"axx\" \"x\" }}|{{ TrimPrefix \"abc\" \"ab\" }}|{{ TrimSuffix \"abc\" \"bc\" }}|{{ TrimSpace \"  y \" }}",
        "x|a|a|c|a|y",
    );
    check("{{ Replace \"aaa\" \"a\" \"b\" 2 }}|{{ replace \"a\" \"b\" \"aaa\" }}", "bba|bbb");
    check(
        "{{ trim \" x \" }}|{{ trimAll \"$\" \"$5$\" }}|{{ trimPrefix \"a\" \"ab\" }}|{{ trimSuffix \"b\" \"ab\" }}",
        "x|5|b|a",
    );
    check(
        "{{ trunc 3 .user }} {{ trunc -3 .user }} {{ trunc 0 .user }}| {{ trunc 99 .user }}",
        "car rol | carol",
    );
    assert_eq!(run("{{ trunc 2 .v }}").unwrap(), b"h\xc3");
    check("{{ substr 1 3 .user }} {{ substr -1 2 .user }} {{ substr 2 -1 .user }}", "ar ca rol");
    check(
        "{{ alignLeft 2 .v }}|{{ alignLeft 7 .v }}|{{ alignRight 2 .v }}|{{ alignRight 7 .v }}|{{ alignLeft -1 .v }}",
        "hé|héllo  |lo|  héllo|héllo",
    );
}

#[test]
fn more_text_functions_work() {
    check(
        "{{ repeat 2 \"ab\" }}|{{ indent 2 \"a\\nb\" }}|{{ nindent 1 \"a\" }}",
        "abab|  a\n  b|\n a",
    );
    check(
        "{{ contains \"ar\" .user }} {{ hasPrefix \"c\" .user }} {{ hasSuffix \"c\" .user }}",
        "true true false",
    );
    check("{{ regexReplaceAll \"(a|e)\" .user \"[${1}]\" }}", "c[a]rol");
    check("{{ \"<$1>\" | regexReplaceAll \"/(\\\\w+)\" \"/x/y\" }}", "<x><y>");
    check(
        "{{ regexReplaceAll \"x*\" \"abc\" \"-\" }} {{ regexReplaceAllLiteral \"(a|e)\" .user \"$1\" }}",
        "-a-b-c- c$1rol",
    );
    check("{{ count \"l\" .v }} {{ count \"\" \"é\" }}", "2 2");
    check(
        "{{ default \"d\" .nosuch }} {{ default \"d\" .user }} {{ .user | default \"d\" }}",
        "d carol carol",
    );
    check("{{ slice .user 1 3 }} {{ len .v }} {{ index .user 0 }}", "ar 6 99");
    check(
        "{{ print 1 2 \"a\" \"b\" 3 }}|{{ println .user }}end",
        "1 2a b3|carol\nend".replace("a b", "ab").as_str(),
    );
    check(
        "{{ html \"<a&b>\" }} {{ js \"a'b\" }} {{ urlquery \"a b&c\" }}",
        "&lt;a&amp;b&gt; a\\'b a+b%26c",
    );
    check(
        "{{ .user | b64enc }} {{ .user | b64enc | b64dec }} {{ b64dec \"*\" }}",
        "Y2Fyb2w= carol illegal base64 data at input byte 0",
    );
    check("{{ urlencode \"a b/é\" }} {{ urldecode \"a+b%2F\" }}", "a+b%2F%C3%A9 a b/");
    check(
        "{{ fromJson \"x\" }} {{ index (fromJson \"{\\\"k\\\":[10,20]}\") \"k\" }} {{ (fromJson \"{\\\"a\\\":{\\\"b\\\":1}}\").a.b }}",
        "<no value> [10 20] 1",
    );
    check("{{ fromJson \"[null,{\\\"a\\\":null}]\" }}", "[<nil> map[a:<nil>]]");
}

#[test]
fn number_functions_work() {
    check(
        "{{ int \"42\" }} {{ int \"abc\" }} {{ int 3.99 }} {{ int \"3.99\" }} {{ int \"-7\" }} {{ int true }} {{ int \"0x1F\" }} {{ int \"\" }} {{ int \"010\" }} {{ int \"1e3\" }}",
        "42 0 3 3 -7 1 31 0 8 0",
    );
    check(
        "{{ float64 \"3.5\" }} {{ float64 \"abc\" }} {{ float64 \"1e3\" }} {{ float64 7 }} {{ float64 \"\" }} {{ float64 \"-0.5\" }} {{ float64 \"NaN\" }} {{ float64 \"Inf\" }} {{ float64 \"1e400\" }}",
        "3.5 0 1000 7 0 -0.5 NaN +Inf 0",
    );
    check(
        "{{ add \"3.9\" \"010\" }} {{ sub 5 2 }} {{ mul 2 3 4 }} {{ mod 7 3 }} {{ max 1 5 3 }} {{ min 4 2 }} {{ add }}",
        "11 3 24 1 5 2 0",
    );
    check(
        "{{ div 10 3 }} {{ div -7 2 }} {{ div 1 2 }} {{ div \"10\" \"2\" }} {{ div 7.9 2.9 }}",
        "3 -3 0 5 3",
    );
    check(
        "{{ addf 0.1 0.2 }} {{ subf 0.3 0.1 }} {{ mulf 1.1 1.1 }} {{ divf 10 3 }} {{ addf 1e308 1e308 }}",
        "0.3 0.2 1.21 3.3333333333333335 +Inf",
    );
    check(
        "{{ maxf 1.5 2.5 }} {{ minf 1.5 -2.5 }} {{ ceil 1.2 }} {{ floor -1.2 }} {{ ceil .user }}",
        "2.5 -2.5 2 -2 0",
    );
    check(
        "{{ round 123.5 0 0.4 }} {{ round 1.25 1 }} {{ round 2.675 2 }} {{ round 1234567.891 1 }} {{ round -2.5 0 }}",
        "124 1.3 2.68 1.2345679e+06 -3",
    );
    check(
        "{{ bytes \"5MB\" }} {{ bytes \"1.5KiB\" }} {{ duration .d }} {{ duration_seconds \"1ms\" }}",
        "5e+06 1536 90 0.001",
    );
    check(
        "{{ eq 1 1 }} {{ eq \"a\" \"b\" \"a\" }} {{ ne .user \"alice\" }} {{ lt 1 2 }} {{ le 2 2 }} {{ gt 1 2 }} {{ ge 2 3 }}",
        "true true true true true false false",
    );
}

#[test]
fn time_functions_work() {
    check("{{ toDate \"2006-01-02\" \"2026-11-18\" | unixEpoch }}", "1794960000");
    check("{{ toDate \"2006\" \"bad\" }}", "0001-01-01 00:00:00 +0000 UTC");
    check(
        "{{ __timestamp__ | unixEpochNanos }} {{ __timestamp__ | unixEpochMillis }}",
        "1795006584133009196 1795006584133",
    );
    check(
        "{{ __timestamp__ | date \"2006-01-02 15\" }} {{ date \"15:04:05\" 3661 }} {{ date \"05\" \"x\" }}",
        "2026-11-18 12 01:01:01 01",
    );
    check(
        "{{ unixToTime \"1795006584\" }} {{ unixToTime \"1795006584133\" }}",
        "2026-11-18 12:56:24 +0000 UTC 2026-11-18 12:56:24.133 +0000 UTC",
    );
    check("{{ now }}", "1970-01-01 00:00:01 +0000 UTC");
    check(
        "{{ __timestamp__.Month }} {{ __timestamp__.Unix }} {{ (__timestamp__.Sub __timestamp__).Seconds }}",
        "November 1795006584 0",
    );
}

/// A fault at run time, as Go words it.
fn at(place: &str, node: &str, message: &str) -> String {
    format!("template: line:{place}: executing \"line\" at <{node}>: {message}")
}

#[test]
fn faults_of_functions_are_worded_as_in_go() {
    fails(
        "{{ div 1 0 }}",
        &at("1:3", "div 1 0", "error calling div: runtime error: integer divide by zero"),
    );
    fails(
        "{{ .user | int | div 10 }}",
        &at("1:17", "div 10", "error calling div: runtime error: integer divide by zero"),
    );
    fails(
        "{{ substr 3 9 \"ab\" }}",
        &at(
            "1:3",
            "substr 3 9 \"ab\"",
            "error calling substr: runtime error: slice bounds out of range [3:2]",
        ),
    );
    fails(
        "{{ eq 1 1.0 }}",
        &at(
            "1:3",
            "eq 1 1.0",
            "error calling eq: incompatible types for comparison: int and float64",
        ),
    );
    fails(
        "{{ lt .user 3 }}",
        &at(
            "1:3",
            "lt .user 3",
            "error calling lt: incompatible types for comparison: string and int",
        ),
    );
    fails("{{ .user.name }}", &at("1:8", ".user.name", "can't evaluate field name in type string"));
    fails(
        "{{ count \"(\" .v }}",
        &at(
            "1:3",
            "count \"(\" .v",
            "error calling count: error parsing regexp: missing closing ): `(`",
        ),
    );
    fails(
        "{{ urldecode \"%zz\" }}",
        &at("1:3", "urldecode \"%zz\"", "error calling urldecode: invalid URL escape \"%zz\""),
    );
    fails(
        "{{ .n | float64 | mulf 100 | round 0 }}",
        &at("1:35", "0", "wrong type for value; expected int; got float64"),
    );
}

#[test]
fn faults_of_arguments_are_worded_as_in_go() {
    fails("{{ ToUpper }}", &at("1:3", "ToUpper", "wrong number of args for ToUpper: want 1 got 0"));
    fails("{{ upper 5 }}", &at("1:9", "5", "expected string; found 5"));
    fails("{{ trunc \"3\" .user }}", &at("1:9", "\"3\"", "expected integer; found \"3\""));
    fails(
        "{{ replace \"a\" .user }}",
        &at("1:3", "replace", "wrong number of args for replace: want 3 got 2"),
    );
    fails(
        "{{ .user | duration }}",
        &at("1:11", "duration", "error calling duration: time: invalid duration \"carol\""),
    );
    fails(
        "{{ .user | unixToTime }}",
        &at(
            "1:11",
            "unixToTime",
            "error calling unixToTime: unable to parse time 'carol': strconv.ParseInt: parsing \"carol\": invalid syntax",
        ),
    );
    fails(
        "a\nb {{ div 1 0 }}",
        &at("2:5", "div 1 0", "error calling div: runtime error: integer divide by zero"),
    );
    fails("{{ .user \"x\" }}", &at("1:3", ".user", "user is not a method but has arguments"));
    fails("{{ template \"x\" }}", &at("1:3", "{{template \"x\"}}", "template \"x\" not defined"));
    fails("{{ nil }}", &at("1:3", "nil", "nil is not a command"));
    fails("{{ range .user }}{{ end }}", &at("1:9", ".user", "range can't iterate over carol"));
    fails("{{ range 10000000 }}x{{ end }}", &at("1:9", "10000000", "template runs too long"));
}

#[test]
fn faults_in_the_text_are_worded_as_in_go() {
    let fault = |text: &str, expected: &str| {
        let error = Template::parse("line", text).unwrap_err();
        assert_eq!(error, format!("template: line:1: {expected}"), "{text}");
    };
    fault("{{ nosuch .a }}", "function \"nosuch\" not defined");
    fault("{{ break }}", "{{break}} outside {{range}}");
    fault("{{ .a ", "unclosed action");
    fault("{{ if .a }}", "unexpected EOF");
    fault("{{ end }}", "unexpected {{end}}");
    fault("{{ else }}", "unexpected {{else}}");
    fault("{{ }}", "missing value for command");
    fault("{{ if }}x{{ end }}", "missing value for if");
    fault("{{ $x }}", "undefined variable \"$x\"");
    fault("{{ .a | 5 }}", "non executable command in pipeline stage 2");
    fault("{{ (.a }}", "unclosed left paren");
    fault("{{ .a) }}", "unexpected right paren");
    fault("{{ \"a }}", "unterminated quoted string");
    fault("{{ .a, }}", "unexpected \",\" in operand");
    fault("{{ 1a }}", "bad number syntax: \"1a\"");
    fault("{{/* x }}", "unclosed comment");
    fault("{{ \"a\".b }}", "unexpected . after term \"\\\"a\\\"\"");
    fault("{{ template }}", "unexpected \"}}\" in template clause");
    fault("{{ .a-b }}", "bad character U+002D '-'");
}

#[test]
fn plain_templates_are_recognised() {
    let pieces = Template::parse("line", "a {{.b}}{{ .c }}").unwrap().pieces().unwrap();
    let expected = [Piece::Text("a ".into()), Piece::Label("b".into()), Piece::Label("c".into())];
    assert_eq!(pieces, expected);
    for text in ["{{.a.b}}", "{{.a | upper}}", "{{if .a}}{{end}}", "{{$x := .a}}"] {
        assert!(Template::parse("line", text).unwrap().pieces().is_none(), "{text}");
    }
}

#[test]
fn fields_and_calls_are_listed() {
    let template =
        Template::parse("line", "{{if .a}}{{printf \"%s\" .b.x}}{{end}}{{$.c}}{{__line__}}")
            .unwrap();
    assert_eq!(template.fields(), ["a", "b"]);
    assert!(template.calls("__line__") && !template.calls("now"));
    assert!(template.sees_all_labels());
    assert!(!Template::parse("line", "{{.a}}").unwrap().sees_all_labels());
}

proptest::proptest! {
    #[test]
    fn any_text_can_be_parsed_and_run(text in "(\\{\\{|\\}\\}|[-. $|()\"`a-f0-9:=]|if|end|range|index|printf|upper ){0,24}") {
        let _ = run(&text);
    }
}
