//! Queries give the same answers whether they run on lines or on columns.
#![allow(clippy::unwrap_used, reason = "a test that fails says where")]

#[path = "columns/lines.rs"]
mod lines;
#[path = "columns/source.rs"]
mod source;

use logql::eval::{Control, Limits, Params, evaluate};
use model::answer::Value;
use model::{Direction, Timestamp};
use proptest::prelude::*;
use source::SegmentSource;

/// What stands between selector and range, with `%` for a label that some lines have.
const STAGES: &[&str] = &[
    "",
    "|= `1`",
    "|= `a` != `2`",
    "|~ `(?i)STATUS` |= ``",
    "|~ `(?i)kilo|msg`",
    "!~ `(?i)s.atus`",
    "|~ `%.*9`",
    "|= `%` or `ok` != `é`",
    "|> `<_>%<_>`",
    "| json",
    "| logfmt",
    "| logfmt --strict",
    "| logfmt --keep-empty",
    "| logfmt --strict --keep-empty",
    "| json | logfmt",
    "| logfmt | json",
    "| json | json",
    "| json | %=`5`",
    "| json | %!=`5` | level=`info`",
    "| json | %=~`5.*|o`",
    "| json | % > 5",
    "| json | % >= 500 or status=`ok`",
    "| json | % < 5ms and status != 7",
    "| json | % > 1KB | status = ``",
    "| json | %=`` | a_b=`x`",
    "| json | %_extracted=`5`",
    "| json | %=ip(`10.0.0.0/8`)",
    "| json | __error__=`` | %=`5`",
    "| json | __error__!=``",
    "| % > 5 | json | % > 7",
    "| logfmt | % > 5",
    "| logfmt | %=`` | level!=`info`",
    "| logfmt --keep-empty | %=``",
    "| logfmt | % >= 5ms",
    "| logfmt x=`%`, status | x!=``",
    "| json x=`%`, y=`a.b` | x!=``",
    "| json x=`a[0]`, status=`a`",
    "| logfmt %, level | %=`5`",
    "| logfmt %=`status`, d=`%`, app=`level` | d!=``",
    "| logfmt --strict %=`a_b`, %_extracted=`%` | % > 5",
    "| logfmt %=`level`, %=`dur`, x=`_3x`",
    "| logfmt % | logfmt",
    "| logfmt | logfmt %=`msg`",
    "| logfmt % | logfmt x=`%` | json y=`%`",
    "| json %, level",
    "| json %, level | %=`5` | level!=`info`",
    "| json %=`a.b`, x=`%`, y=`[\"x y\"]` | % != `` or x > 5",
    "| json %=`a.b`, %=`status`, app=`level`, %_extracted=`b`",
    "| json b=`a.b[0]`, %=`b.a`, z=`[0]` | z=``",
    "| json %=`status` | json",
    "| json | json %=`level`, msg | %=`ok`",
    "| json % | logfmt | %=`5`",
    "| json | label_format z=%",
    "| json | label_format z=`{{.%}}-{{__line__}}`",
    "| json | line_format `{{.%}}` | %=`5`",
    "| json | line_format `{{.%}} {{.level}}` |= `5` | logfmt",
    "| json | drop % | level=`info`",
    "| json | keep %, level",
    "| json | drop __error__",
    "| logfmt |= `5` | %=`5`",
    "|= `5` | json | % != `` | regexp `(?P<w>\\w+)`",
    "| json | pattern `<first> <_>` | first!=``",
    "| json | decolorize | %!=`1`",
    "| json | unpack",
];

/// Whole metric queries around stages: `@` is the selector with its stages.
const METRICS: &[&str] = &[
    "count_over_time(@ [7s])",
    "sum(count_over_time(@ [7s]))",
    "sum by (%) (count_over_time(@ [7s]))",
    "sum by (%, level, a_b) (rate(@ [7s]))",
    "sum without (%) (count_over_time(@ [7s]))",
    "sum by (%_extracted) (count_over_time(@ [7s]))",
    "bytes_over_time(@ [7s])",
    "sum by (%) (bytes_rate(@ [7s]))",
    "absent_over_time(@ [7s])",
    "sum_over_time(@ | unwrap % [7s])",
    "sum_over_time(@ | unwrap % | __error__=`` [7s]) by (level)",
    "max_over_time(@ | unwrap duration(%) | __error__=`` [7s]) by (status)",
    "quantile_over_time(0.9, @ | unwrap bytes(%) [7s]) by (__error__)",
    "first_over_time(@ | unwrap status [7s]) without (%)",
    "quantile_over_time(0.5, @ | unwrap % [7s]) by (%)",
    "quantile_over_time(0.5, @ | unwrap % [7s]) by (%_extracted, level)",
    "avg_over_time(@ | unwrap % | % > 3 [7s]) by (level)",
    "last_over_time(@ | unwrap dur | __error__=`` [7s]) by (a_b, %)",
    "sum_over_time(@ | unwrap duration_seconds(dur) [7s]) by (status)",
    "sum by (level) (sum_over_time(@ | unwrap %_extracted | __error__=`` [7s]))",
];

const NAMES: &[&str] = &["status", "a", "a_b", "msg", "level", "x_y", "dur", "size"];

/// An answer's value, or what went wrong.
fn answer(source: &SegmentSource, query: &str, direction: Direction) -> Result<Value, String> {
    let expr = logql::parse(query).map_err(|error| error.to_string())?;
    let params = Params {
        start: Timestamp(0),
        end: Timestamp(40_000_000_000),
        step_ns: 5_000_000_000,
        interval_ns: 0,
        split_ns: 0,
        direction,
        limit: 40,
        categorize: direction == Direction::Forward,
        threads: 1,
        shard: None,
    };
    let answer = evaluate(&expr, &params, source, &Control::new(), &Limits::default());
    answer.map(|answer| answer.value).map_err(|error| error.to_string())
}

fn check(source: &mut SegmentSource, query: &str) {
    for direction in [Direction::Forward, Direction::Backward] {
        source.uses_columns = false;
        let expected = answer(source, query, direction);
        source.uses_columns = true;
        let found = answer(source, query, direction);
        // Printed, because NaN is not equal to itself.
        assert_eq!(format!("{found:?}"), format!("{expected:?}"), "{query} {direction:?}");
    }
}

fn check_all(source: &mut SegmentSource, name: &str, stride: usize, from: usize) {
    for (at, stages) in STAGES.iter().enumerate() {
        let log = format!("{{app=~`.+`}} {stages}").replace('%', name);
        if (at + from).is_multiple_of(stride) {
            check(source, &log);
        }
        for (of, metric) in METRICS.iter().enumerate() {
            if (at * METRICS.len() + of + from).is_multiple_of(stride * 4) {
                check(source, &metric.replace('@', &log).replace('%', name));
            }
        }
    }
}

#[test]
fn every_pipeline_answers_the_same() {
    let mut on_columns = 0;
    for seed in 0..6 {
        let mut source = SegmentSource::new(&lines::batch(seed, 400));
        on_columns += source.column_blocks();
        check_all(&mut source, NAMES[seed as usize % NAMES.len()], 1, 0);
    }
    assert!(on_columns > 3, "only {on_columns} blocks are columns");
}

proptest! {
    #![proptest_config(ProptestConfig::with_cases(24))]

    #[test]
    fn any_lines_answer_the_same(seed: u64, name in prop::sample::select(NAMES), from in 0usize..64) {
        let mut source = SegmentSource::new(&lines::batch(seed, 200));
        check_all(&mut source, name, 5, from);
    }
}
