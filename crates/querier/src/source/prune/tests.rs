use logql::source::{Required, RequiredLabel, Selection, Source};
use model::Level;
use proptest::prelude::*;

use crate::config::Unreadable;
use crate::source::tests::{block_on, read, source};
use crate::testing::{Rig, TestRow, row, segment_of_blocks, tenant, times};

/// The conditions of a query, as the engine derives them.
fn conditions(stages: &str, range: model::TimeRange) -> Selection {
    let query = format!("{{app=~\".+\"}} {stages}");
    let logql::syntax::ast::Expr::Log(query) = logql::parse(&query).unwrap() else {
        panic!("a log query")
    };
    let hints = logql::pipeline::Hints::log();
    let pipeline = logql::pipeline::Pipeline::build(&query.stages, None, hints).unwrap();
    Selection {
        required: pipeline.required(),
        required_labels: pipeline.required_labels(),
        ..Selection::all(&query.selector, range)
    }
}

fn holds(line: &str, text: &[u8]) -> bool {
    let (line, text) = (line.to_ascii_lowercase(), text.to_ascii_lowercase());
    line.as_bytes().windows(text.len()).any(|part| *part == *text)
}

/// Whether a row fulfils the conditions.
fn is_wanted(row: &TestRow, wanted: &Selection) -> bool {
    let lines = |required: &Required| required.any_of.iter().any(|text| holds(&row.line, text));
    let label = |required: &RequiredLabel| {
        let own = match &*required.name {
            "trace" => row.trace.as_deref(),
            "detected_level" => row.level.map(Level::as_str),
            _ => None,
        };
        row.labels.get(&required.name).is_some()
            || own.is_some_and(|own| required.values.iter().any(|value| **value == *own))
            || required.or_texts.iter().any(|text| holds(&row.line, text))
    };
    wanted.required.iter().all(lines) && wanted.required_labels.iter().all(label)
}

/// Reads with and without pruning; answers how many blocks were left of how many.
fn check(rig: &Rig, stages: &str) -> (usize, usize) {
    let wanted = conditions(stages, times(0, 1_000_000));
    let all = Selection::all(&wanted.matchers, wanted.range);
    let (pruning, plain) = (source(rig, Unreadable::Fail), source(rig, Unreadable::Fail));
    let rows = |rows: Vec<(TestRow, bool)>| {
        let rows = rows.into_iter().map(|(row, _)| row).filter(|row| is_wanted(row, &wanted));
        let mut rows: Vec<TestRow> = rows.collect();
        rows.sort();
        rows
    };
    assert_eq!(rows(read(&pruning, &wanted)), rows(read(&plain, &all)), "{stages}");
    let (left, total) = (pruning.pieces(&wanted).unwrap().len(), plain.pieces(&all).unwrap().len());
    assert_eq!(pruning.pruned().blocks as usize, 2 * (total - left));
    (left, total)
}

/// Five apps with words and identifiers of their own, a trace on some rows.
fn rows() -> Vec<TestRow> {
    let words = ["request served", "payment declined", "node evicted", "leader elected", "gc done"];
    (0..7000u64)
        .map(|n| {
            let app = n / 1400;
            let id = (n + 1).wrapping_mul(0x9e37_79b9_7f4a_7c15);
            let text = words[app as usize];
            let labels = match app {
                4 => "{app=\"4\", trace=\"given\"}".to_owned(),
                app => format!("{{app=\"{app}\"}}"),
            };
            let day = "2024-04-16T15:10:44";
            TestRow {
                trace: (app < 4 && n % 10 == 0).then(|| format!("{id:016x}")),
                level: Some([Level::Info, Level::Error][usize::from(app == 1)]),
                ..row(&labels, n as i64, &format!("{day}.{:09}Z {text} id={id:016x}", n * 617))
            }
        })
        .collect()
}

/// Uploads rows in blocks of 350.
fn upload(rig: &Rig, rows: &[TestRow], position: u64) {
    block_on(rig.store.upload(segment_of_blocks(&tenant(), rows, position, 350))).unwrap();
}

#[test]
fn blocks_without_wanted_rows_are_left_out() {
    let rig = block_on(Rig::new());
    let rows = rows();
    upload(&rig, &rows, 0);
    let id = |n: usize| rows[n].line[rows[n].line.len() - 16..].to_owned();
    let left = |stages: &str| check(&rig, stages).0;
    assert_eq!(left(""), 20);
    assert_eq!(left("|= \"declined\""), 4);
    assert_eq!(left("|~ \"(?i)SERVED|gc done\""), 8);
    assert_eq!(left("!= \"declined\""), 20);
    assert!(left(&format!("|= \"{}\"", id(3000))) <= 2);
    assert_eq!(left("|= \"zzzz-not-there\""), 0);
    assert_eq!(left("| detected_level=\"error\""), 4);
    assert_eq!(left("| detected_level=\"warn\""), 0);
    assert_eq!(left("| detected_level=\"warn\" or detected_level=\"error\""), 4);
    assert_eq!(left("| span=\"0123456789abcdef\""), 0, "no row has such a label");
    assert!(left(&format!("| logfmt | id=\"{}\"", id(3000))) <= 2);
    assert_eq!(left("| json | verb=\"declined\""), 4);
}

#[test]
fn a_label_of_streams_is_no_metadata() {
    let rig = block_on(Rig::new());
    let rows = rows();
    upload(&rig, &rows[..5600], 0);
    upload(&rig, &rows[5600..], 1);
    let trace = rows[2100].trace.clone().unwrap();
    // The four blocks of the stream that has the label stand in a segment of their own.
    let (left, total) = check(&rig, &format!("| trace=\"{trace}\""));
    assert_eq!(total, 20);
    assert!((5..=6).contains(&left), "{left}");
    assert_eq!(check(&rig, "| trace=\"given\"").0, 4 + 16, "too short to be indexed");
}

#[test]
fn a_damaged_index_rules_out_nothing() {
    let rig = block_on(Rig::new());
    let rows = rows();
    let encoded = segment_of_blocks(&tenant(), &rows, 0, 350);
    let wanted = [Box::from(&b"declined"[..])];
    let plan = segment::prune(&encoded.footer, &[segment::Required::AnyOf(&wanted)]);
    let mut bytes = encoded.bytes.to_vec();
    bytes[plan.ranges()[0].start as usize] ^= 1;
    block_on(rig.store.bucket().create(&encoded.name.to_string(), bytes.into())).unwrap();
    block_on(rig.store.refresh()).unwrap();
    assert_eq!(check(&rig, "|= \"declined\""), (20, 20));
}

fn any_row() -> impl Strategy<Value = TestRow> {
    let word =
        prop::sample::select(vec!["error", "Timeout", "größe", "user_id", "GET /api", "K8s"]);
    let id = "[0-9a-f]{10,16}";
    let trace = proptest::option::of("[0-9a-f]{4,16}");
    let level = proptest::option::of(prop::sample::select(Level::ALL.to_vec()));
    let line = (prop::collection::vec(word, 1..40), id);
    (0..4usize, 0..1000i64, line, trace, level).prop_map(
        |(stream, at, (words, id), trace, level)| {
            let labels = ["{app=\"x\"}", "{app=\"y\"}", "{app=\"z\", trace=\"t\"}", "{app=\"z\"}"];
            let line = format!("{} id={id}", words.join(" "));
            TestRow { trace, level, ..row(labels[stream], at, &line) }
        },
    )
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 48, ..ProptestConfig::default() })]

    /// Whatever is asked for, pruning loses no row.
    #[test]
    fn no_wanted_row_is_left_out(
        rows in prop::collection::vec(any_row(), 2..400),
        picks in prop::collection::vec(any::<(prop::sample::Index, prop::sample::Index, u8)>(), 8),
    ) {
        let rig = block_on(Rig::new());
        let (first, second) = rows.split_at(rows.len() / 2);
        upload(&rig, first, 0);
        block_on(rig.upload(second, 1));
        for (row, place, kind) in picks {
            let row = &rows[row.index(rows.len())];
            let chars: Vec<char> = row.line.chars().collect();
            let start = place.index(chars.len());
            let part: String = chars[start..].iter().take(3 + usize::from(kind) % 12).collect();
            let stages = match kind % 7 {
                0 => format!("|= `{part}`"),
                1 => format!("|~ `(?i){part}`"),
                2 => format!("|= `{part}` or `nothing`"),
                3 => format!("| trace=`{}`", row.trace.as_deref().unwrap_or("abcdef")),
                4 => format!("| detected_level=`{}`", row.level.unwrap_or(Level::Warn).as_str()),
                5 => format!("| logfmt | id=`{part}`"),
                _ => format!("| json | trace=`{}` or trace=`{part}`", part.to_uppercase()),
            };
            check(&rig, &stages);
        }
    }
}
