use model::answer::{QueryStats, ResultEntry};
use model::{Labels, Timestamp};
use serde_json::Value as Json;

use super::detected::{DetectedField, PatternSeries};
use super::metadata::IndexStats;
use super::tail::DroppedEntry;
use super::*;

const CATEGORIZE: &str = "categorize-labels";

fn labels(pairs: &[(&str, &str)]) -> ResultLabels {
    pairs.iter().map(|(name, value)| ((*name).to_owned(), (*value).to_owned())).collect()
}

fn stream() -> ResultStream {
    let entry = |nanos, line: &str, metadata: &[_], parsed: &[_]| ResultEntry {
        timestamp: Timestamp(nanos),
        line: line.as_bytes().to_vec(),
        structured_metadata: labels(metadata),
        parsed: labels(parsed),
    };
    ResultStream {
        labels: labels(&[("app", "web")]),
        entries: vec![
            entry(
                1_755_900_000_000_000_002,
                "second",
                &[("trace_id", "4bf9")],
                &[("status", "200")],
            ),
            entry(1_755_900_000_000_000_001, "fir\"st", &[], &[]),
        ],
    }
}

fn sample(seconds: i64, value: f64) -> Sample {
    Sample { timestamp: Timestamp::from_seconds(seconds), value }
}

/// The answer without its statistics.
fn answer(value: Value, warnings: &[&str], flags: &str) -> String {
    let warnings = warnings.iter().map(|text| (*text).to_owned()).collect();
    let answer = Answer { value, stats: QueryStats::default(), warnings };
    let mut out = Vec::new();
    write_answer(&answer, &Timing::default(), &EncodingFlags::parse(flags), &mut out);
    let text = String::from_utf8(out).unwrap();
    let mut stats = Vec::new();
    write_stats(&QueryStats::default(), &Timing::default(), &mut stats);
    text.replace(&String::from_utf8(stats).unwrap(), "{}")
}

#[test]
fn streams_are_merged_or_categorised() {
    let check = |warnings: &[&str], flags: &str, expected: &str| {
        assert_eq!(answer(Value::Streams(vec![stream()]), warnings, flags), expected);
    };
    check(
        &[],
        "",
        r#"{"status":"success","data":{"resultType":"streams","result":[{"stream":{"app":"web"},"values":[["1755900000000000002","second"],["1755900000000000001","fir\"st"]]}],"stats":{}}}"#,
    );
    check(
        &["a", "b"],
        CATEGORIZE,
        r#"{"status":"success","warnings":["a","b"],"data":{"resultType":"streams","encodingFlags":["categorize-labels"],"result":[{"stream":{"app":"web"},"values":[["1755900000000000002","second",{"structuredMetadata":{"trace_id":"4bf9"},"parsed":{"status":"200"}}],["1755900000000000001","fir\"st",{}]]}],"stats":{}}}"#,
    );
}

#[test]
fn numbers_of_every_shape() {
    let check = |value, warnings: &[&str], expected: &str| {
        assert_eq!(answer(value, warnings, CATEGORIZE), expected);
    };
    check(
        Value::Vector(vec![VectorSample { labels: labels(&[("a", "")]), sample: sample(1, 12.5) }]),
        &["partial"],
        r#"{"status":"success","data":{"resultType":"vector","result":[{"metric":{"a":""},"value":[1,"12.5"]}],"stats":{}},"warnings":["partial"]}"#,
    );
    check(
        Value::Matrix(vec![Series {
            labels: labels(&[]),
            samples: vec![sample(1, 1.0), sample(2, f64::NAN)],
        }]),
        &[],
        r#"{"status":"success","data":{"resultType":"matrix","result":[{"metric":{},"values":[[1,"1"],[2,"NaN"]]}],"stats":{}}}"#,
    );
    check(
        Value::Scalar(sample(4_000_000_000, 2.0)),
        &[],
        r#"{"status":"success","data":{"resultType":"scalar","result":[4000000000000,"2"],"stats":{}}}"#,
    );
}

#[test]
fn statistics_add_up_and_have_every_block() {
    let stats = QueryStats {
        head_bytes: 1,
        head_lines: 2,
        decompressed_bytes: 10,
        decompressed_lines: 20,
        compressed_bytes: 5,
        ..QueryStats::default()
    };
    let timing = Timing { exec_seconds: 0.5, ..Timing::default() };
    let mut out = Vec::new();
    write_stats(&stats, &timing, &mut out);
    let json: Json = serde_json::from_slice(&out).unwrap();
    assert_eq!(json["summary"]["totalBytesProcessed"], 11);
    assert_eq!(json["summary"]["linesProcessedPerSecond"], 44);
    assert_eq!(json["querier"]["store"]["chunk"]["compressedBytes"], 5);
    assert_eq!(json["ingester"]["store"]["chunk"]["headChunkLines"], 2);
    assert_eq!(json["cache"]["taskResult"]["queryLengthServed"], 0);
    assert_eq!(json["index"]["usedBloomFilters"], false);
    let blocks: Vec<&String> = json.as_object().unwrap().keys().collect();
    assert_eq!(blocks, ["summary", "querier", "ingester", "cache", "index"]);
}

fn written(write: impl FnOnce(&mut Vec<u8>)) -> String {
    let mut out = Vec::new();
    write(&mut out);
    String::from_utf8(out).unwrap()
}

#[test]
fn legacy_answers_and_tails() {
    let mut one = stream();
    one.entries.truncate(1);
    let (stats, timing) = (QueryStats::default(), Timing::default());
    let legacy = written(|out| write_legacy_streams(&[one.clone()], &stats, &timing, out));
    assert!(legacy.starts_with(
        r#"{"streams":[{"labels":"{app=\"web\"}","entries":[{"ts":"2025-08-22T22:00:00.000000002Z","line":"second"}]}],"stats":{"summary":"#
    ));
    let dropped = [DroppedEntry { timestamp: Timestamp(1), labels: labels(&[("app", "web")]) }];
    let none: &[DroppedEntry] = &[];
    assert_eq!(
        written(|out| tail::write_frame(&[], &dropped, &EncodingFlags::parse(CATEGORIZE), out)),
        r#"{"streams":[],"dropped_entries":[{"timestamp":"1","labels":{"app":"web"}}],"encodingFlags":["categorize-labels"]}"#
    );
    assert_eq!(
        written(|out| tail::write_frame(&[], none, &EncodingFlags::default(), out)),
        r#"{"streams":[]}"#
    );
    assert_eq!(
        written(|out| tail::write_legacy_frame(&[], none, out)),
        r#"{"streams":[],"dropped_entries":null}"#
    );
}

#[test]
fn metadata_answers() {
    let names = |names: &[&'static str]| {
        written(|out| metadata::write_label_list(names.iter().copied(), out))
    };
    assert_eq!(names(&["a", "b"]), r#"{"status":"success","data":["a","b"]}"#);
    assert_eq!(names(&[]), r#"{"status":"success"}"#);
    let sets = [Labels::new([("b", "2"), ("a", "1")])];
    assert_eq!(
        written(|out| metadata::write_label_sets(&sets, out)),
        r#"{"status":"success","data":[{"a":"1","b":"2"}]}"#
    );
    let stats = IndexStats { streams: 3, chunks: 12, bytes: 52_000, entries: 900 };
    assert_eq!(
        written(|out| metadata::write_index_stats(&stats, out)),
        r#"{"streams":3,"chunks":12,"bytes":52000,"entries":900}"#
    );
}

#[test]
fn detected_answers() {
    assert_eq!(written(|out| detected::write_labels([], out)), "{}");
    assert_eq!(
        written(|out| detected::write_labels([("app", 4)], out)),
        r#"{"detectedLabels":[{"label":"app","cardinality":4}]}"#
    );
    let (parsers, path) = (["json".to_owned()], ["user".to_owned(), "id".to_owned()]);
    let field = DetectedField {
        label: "user_id",
        kind: "int",
        cardinality: 3,
        parsers: &parsers,
        json_path: &path,
    };
    let metadata =
        DetectedField { label: "t", kind: "string", parsers: &[], json_path: &[], ..field };
    assert_eq!(
        written(|out| detected::write_fields([field, metadata], 1000, out)),
        r#"{"fields":[{"label":"user_id","type":"int","cardinality":3,"parsers":["json"],"jsonPath":["user","id"]},{"label":"t","type":"string","cardinality":3,"parsers":null}],"limit":1000}"#
    );
    assert_eq!(
        written(|out| detected::write_field_values(["12ms"], 5, out)),
        r#"{"values":["12ms"],"limit":5}"#
    );
    let samples = [(Timestamp::from_seconds(1_755_900_000), 14)];
    let series = PatternSeries { pattern: "GET <_>", level: "info", samples: &samples };
    assert_eq!(
        written(|out| detected::write_patterns([series], out)),
        r#"{"status":"success","data":[{"pattern":"GET <_>","level":"info","samples":[[1755900000,14]]}]}"#
    );
}

#[test]
fn encoding_flags_are_a_list() {
    let flags = EncodingFlags::parse("x, categorize-labels,x,");
    assert!(flags.categorize());
    assert_eq!(flags.0, ["x", CATEGORIZE]);
    assert!(!EncodingFlags::parse("categorize").categorize());
    assert_eq!(EncodingFlags::parse(""), EncodingFlags::default());
    // A client sees every flag that it sent.
    let named = answer(Value::Streams(Vec::new()), &[], "nosuch");
    assert!(named.contains(r#""resultType":"streams","encodingFlags":["nosuch"],"result":[]"#));
}
