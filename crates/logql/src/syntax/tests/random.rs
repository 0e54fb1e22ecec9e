//! Printing and parsing random trees and random words.

use model::{MatchOp, Matcher};
use proptest::collection::vec;
use proptest::option;
use proptest::prelude::*;
use proptest::sample::select;

use super::ast::*;
use super::*;

const LINE_FILTER_OPS: [LineFilterOp; 6] = [
    LineFilterOp::Contains,
    LineFilterOp::NotContains,
    LineFilterOp::Regex,
    LineFilterOp::NotRegex,
    LineFilterOp::Pattern,
    LineFilterOp::NotPattern,
];
const COMPARE_OPS: [CompareOp; 6] = [
    CompareOp::Equal,
    CompareOp::NotEqual,
    CompareOp::Greater,
    CompareOp::GreaterOrEqual,
    CompareOp::Less,
    CompareOp::LessOrEqual,
];
const BINARY_OPS: [BinaryOp; 15] = [
    BinaryOp::Or,
    BinaryOp::And,
    BinaryOp::Unless,
    BinaryOp::Add,
    BinaryOp::Subtract,
    BinaryOp::Multiply,
    BinaryOp::Divide,
    BinaryOp::Modulo,
    BinaryOp::Power,
    BinaryOp::Equal,
    BinaryOp::NotEqual,
    BinaryOp::Greater,
    BinaryOp::GreaterOrEqual,
    BinaryOp::Less,
    BinaryOp::LessOrEqual,
];

/// Label names, many of which are functions elsewhere.
fn name() -> impl Strategy<Value = String> {
    select(vec!["app", "_x1", "rate", "sum", "ip", "bytes", "duration", "vector", "Z", "topk"])
        .prop_map(str::to_owned)
}

fn names() -> impl Strategy<Value = Vec<String>> {
    vec(name(), 0..3)
}

fn text() -> impl Strategy<Value = String> {
    prop_oneof!["[a-z{}|=\"`\\\\ \n\u{7f}é日😀\u{200b}]{0,8}", any::<String>()]
        .prop_filter("the language has no NUL", |text| !text.contains('\0'))
}

fn matcher() -> impl Strategy<Value = Matcher> {
    let op = select(vec![MatchOp::Equal, MatchOp::NotEqual, MatchOp::Regex, MatchOp::NotRegex]);
    (name(), op, "[a-z.*|\"\\n]{0,4}")
        .prop_filter_map("a regular expression", |(name, op, value)| {
            Matcher::new(name, op, value).ok()
        })
}

fn selector() -> impl Strategy<Value = Vec<Matcher>> {
    vec(matcher(), 1..4).prop_filter("something is required", |matchers| {
        !matchers.iter().all(Matcher::matches_empty)
    })
}

fn nanos() -> impl Strategy<Value = i64> {
    prop_oneof![
        any::<i64>(),
        select(vec![0, 1, -1, 1_500, 1_000_000_000, 5_400_000_000_000, -300_000_000_000]),
    ]
}

fn number() -> impl Strategy<Value = f64> {
    prop_oneof![
        any::<f64>().prop_filter("finite", |value| value.is_finite()),
        select(vec![0.0, -0.0, 1.0, -5.5, 1e21, 1e300, f64::MIN_POSITIVE]),
    ]
}

fn comparison() -> impl Strategy<Value = LabelFilter> {
    let op = || select(COMPARE_OPS.to_vec());
    let equality = select(vec![MatchOp::Equal, MatchOp::NotEqual]);
    prop_oneof![
        matcher().prop_map(|matcher| LabelFilter::Text {
            label: matcher.name().to_owned(),
            op: matcher.op(),
            value: matcher.value().to_owned(),
        }),
        (name(), op(), number()).prop_map(|(label, op, value)| LabelFilter::Number {
            label,
            op,
            value
        }),
        (name(), op(), nanos()).prop_map(|(label, op, nanos)| LabelFilter::Duration {
            label,
            op,
            nanos
        }),
        (name(), op(), 0..1u64 << 50).prop_map(|(label, op, bytes)| LabelFilter::Bytes {
            label,
            op,
            bytes
        }),
        (name(), equality, text()).prop_map(|(label, op, pattern)| LabelFilter::Ip {
            label,
            op,
            pattern
        }),
    ]
}

/// Groups whose parts are joined the other way, which every tree's canonical form is free to hold.
fn label_filter() -> impl Strategy<Value = LabelFilter> {
    comparison().prop_recursive(3, 12, 4, |inner| {
        (any::<bool>(), any::<bool>(), vec(inner, 2..5)).prop_map(|(is_and, left, parts)| {
            let logic = if is_and { Logic::And } else { Logic::Or };
            let nesting = if left { Nesting::Left } else { Nesting::Right };
            let mut flat = Vec::new();
            for part in parts {
                match part {
                    LabelFilter::Group(group) if group.logic == logic => flat.extend(group.parts),
                    part => flat.push(part),
                }
            }
            let nesting = if flat.len() == 2 { Nesting::Left } else { nesting };
            LabelFilter::Group(FilterGroup { logic, parts: flat, nesting })
        })
    })
}

fn extracts() -> impl Strategy<Value = Vec<Extract>> {
    let extract = (name(), text()).prop_map(|(label, expression)| Extract { label, expression });
    vec(extract, 0..3)
}

fn items() -> impl Strategy<Value = Vec<LabelItem>> {
    let item = prop_oneof![name().prop_map(LabelItem::Name), matcher().prop_map(LabelItem::Match)];
    vec(item, 1..3)
}

fn line_filter() -> impl Strategy<Value = Stage> {
    let arg = prop_oneof![text().prop_map(LineFilterArg::Text), text().prop_map(LineFilterArg::Ip)];
    (select(LINE_FILTER_OPS.to_vec()), vec(arg, 1..4))
        .prop_map(|(op, args)| Stage::LineFilter(LineFilter { op, args }))
}

fn stage() -> impl Strategy<Value = Stage> {
    let value = prop_oneof![
        name().prop_map(LabelFormatValue::Rename),
        text().prop_map(LabelFormatValue::Template)
    ];
    let format = (name(), value).prop_map(|(target, value)| LabelFormat { target, value });
    prop_oneof![
        line_filter(),
        extracts().prop_map(|extracts| Stage::Json { extracts }),
        (any::<bool>(), any::<bool>(), extracts()).prop_map(|(strict, keep_empty, extracts)| {
            Stage::Logfmt(Logfmt { strict, keep_empty, extracts })
        }),
        Just(Stage::Regexp { pattern: "(?P<a>\"\\w+)".to_owned() }),
        Just(Stage::Pattern { pattern: "<a> `<_>".to_owned() }),
        Just(Stage::Unpack),
        Just(Stage::Decolorize),
        text().prop_map(|template| Stage::LineFormat { template }),
        vec(format, 1..3).prop_map(|items| Stage::LabelFormat { items }),
        items().prop_map(|items| Stage::Drop { items }),
        items().prop_map(|items| Stage::Keep { items }),
        label_filter().prop_map(Stage::LabelFilter),
    ]
}

/// Whether the text of `second` would be read as part of `first`: `drop a != "b"`.
fn runs_together(first: &Stage, second: &Stage) -> bool {
    let (Stage::Drop { items } | Stage::Keep { items }, Stage::LineFilter(filter)) =
        (first, second)
    else {
        return false;
    };
    matches!(items.last(), Some(LabelItem::Name(_)))
        && matches!(filter.op, LineFilterOp::NotContains | LineFilterOp::NotRegex)
}

fn log_expr() -> impl Strategy<Value = LogExpr> {
    (selector(), vec(stage(), 0..4))
        .prop_filter("stages that print apart", |(_, stages)| {
            !stages.windows(2).any(|pair| runs_together(&pair[0], &pair[1]))
        })
        .prop_map(|(selector, stages)| LogExpr { selector, stages })
}

fn unwrap() -> impl Strategy<Value = Unwrap> {
    let conversion = select(vec![
        Conversion::Number,
        Conversion::Bytes,
        Conversion::Duration,
        Conversion::DurationSeconds,
    ]);
    (conversion, name(), vec(label_filter(), 0..3))
        .prop_map(|(conversion, label, filters)| Unwrap { conversion, label, filters })
}

fn grouping() -> impl Strategy<Value = Grouping> {
    (any::<bool>(), names()).prop_map(|(without, labels)| Grouping { without, labels })
}

fn range_aggregation() -> impl Strategy<Value = MetricExpr> {
    let range = (log_expr(), option::of(unwrap()), 0..1_000_000_000i64, nanos());
    let parameter = (0.0..2.0f64).boxed();
    (select(RangeOp::ALL.to_vec()), range, option::of(parameter), option::of(grouping()))
        .prop_map(|(op, (query, unwrap, millis, offset_ns), parameter, grouping)| {
            let range = LogRange { query, unwrap, range_ns: millis * 1_000_000, offset_ns };
            RangeAggregation { op, parameter, range, grouping }
        })
        .prop_filter_map("a sensible aggregation", |aggregation| {
            super::check::range_aggregation(&aggregation).ok()?;
            Some(MetricExpr::Range(aggregation))
        })
}

fn vector_aggregation(inner: MetricExpr, op: VectorOp, k: i64, grouping: Grouping) -> MetricExpr {
    let takes_k = matches!(op, VectorOp::Topk | VectorOp::Bottomk | VectorOp::ApproxTopk);
    let groups = !matches!(op, VectorOp::ApproxTopk | VectorOp::Sort | VectorOp::SortDesc)
        && (grouping.without || !grouping.labels.is_empty());
    MetricExpr::Vector(VectorAggregation {
        op,
        parameter: takes_k.then_some(k),
        inner: Box::new(inner),
        grouping: groups.then_some(grouping),
    })
}

fn matching() -> impl Strategy<Value = Matching> {
    let cardinality = prop_oneof![
        Just(Cardinality::OneToOne),
        names().prop_map(|include| Cardinality::ManyToOne { include }),
        names().prop_map(|include| Cardinality::OneToMany { include }),
    ];
    let labels = prop_oneof![
        names().prop_map(MatchingLabels::On),
        names().prop_map(MatchingLabels::Ignoring)
    ];
    option::of((labels, cardinality)).prop_map(|matching| {
        matching.map_or_else(Matching::default, |(labels, cardinality)| Matching {
            labels,
            cardinality,
        })
    })
}

fn metric_expr() -> impl Strategy<Value = MetricExpr> {
    let constant = number().prop_map(|value| MetricExpr::Constant(value.abs()));
    prop_oneof![4 => range_aggregation(), 1 => constant].prop_recursive(4, 16, 2, |inner| {
        let operand = prop_oneof![5 => inner.clone(), 1 => number().prop_map(MetricExpr::Literal)];
        let vector = (inner.clone(), select(VectorOp::ALL.to_vec()), 1..100i64, grouping());
        let binary =
            (select(BINARY_OPS.to_vec()), inner.clone(), operand, any::<bool>(), matching());
        prop_oneof![
            vector.prop_map(|(inner, op, k, grouping)| vector_aggregation(inner, op, k, grouping)),
            (inner, text(), text(), text()).prop_map(|(inner, target, replacement, source)| {
                let regex = "(.*)\\\\\"".to_owned();
                let inner = Box::new(inner);
                MetricExpr::LabelReplace(LabelReplace { inner, target, replacement, source, regex })
            }),
            binary.prop_filter_map(
                "no literal in a set operation",
                |(op, left, right, return_bool, matching)| {
                    if op.is_set() && matches!(right, MetricExpr::Literal(_)) {
                        return None;
                    }
                    let (left, right) = (Box::new(left), Box::new(right));
                    let operation = BinaryOperation { op, left, right, return_bool, matching };
                    Some(MetricExpr::Binary(operation))
                }
            ),
        ]
    })
}

fn assert_prints(expr: &Expr) {
    for text in [expr.to_string(), format_query(expr)] {
        match parse(&text) {
            Ok(again) => assert_eq!(&again, expr, "{text}"),
            Err(error) => panic!("{error}\n{text}"),
        }
    }
}

const WORDS: &[&str] = &[
    "{a=\"b\"}",
    "{a=\"b\"}",
    "{",
    "}",
    "(",
    ")",
    ")",
    ",",
    "|",
    "| json",
    "| a",
    "| x=1",
    "y>2s",
    "z<3KB",
    "and",
    "or",
    "=",
    "==",
    "!=",
    "\"t\"",
    "|=",
    "=~",
    "ip(\"::1\")",
    "[5m]",
    "[5m])",
    "rate(",
    "sum(",
    "sum by (a) (",
    "topk(2,",
    "count_over_time(",
    "| unwrap x",
    "offset 1h",
    "+",
    "-",
    "/",
    "^",
    ">",
    "bool",
    "on (a)",
    "group_left",
    "unless",
    "1",
    "2.5",
    "vector(1)",
    "by (a)",
    "| drop a",
    "| logfmt --strict",
    "label_replace(",
    "# c\n",
    "'",
    "\\",
    "é",
    "5m",
    "\u{0}",
];

/// Whether the text holds a constant that no query can spell.
fn is_spellable(expr: &Expr) -> bool {
    let text = expr.to_string();
    !text.contains("NaN") && !text.contains("Inf")
}

/// Queries to damage, some right and some wrong.
fn known_query() -> impl Strategy<Value = String> {
    let tables = [include_str!("parse_errors.tsv"), include_str!("format_query.tsv")];
    let queries: Vec<String> = tables
        .into_iter()
        .flat_map(str::lines)
        .filter_map(|line| Some(line.split_once('\t')?.0.to_owned()))
        .collect();
    select(queries)
}

fn config() -> ProptestConfig {
    ProptestConfig { cases: 400, failure_persistence: None, ..ProptestConfig::default() }
}

proptest! {
    #![proptest_config(config())]

    #[test]
    fn log_queries_print(log in log_expr()) {
        assert_prints(&Expr::Log(log));
    }

    #[test]
    fn metric_queries_print(metric in metric_expr()) {
        assert_prints(&Expr::Metric(metric));
    }

    #[test]
    fn conditions_print(
        words in vec(select(vec!["x=1", "(", ")", "and", "or", ",", "y!=\"a\""]), 1..14),
    ) {
        if let Ok(expr) = parse(&format!("{{a=\"b\"}} | {}", words.join(" "))) {
            assert_prints(&expr);
        }
    }

    #[test]
    fn any_words_parse_or_fail(words in vec(select(WORDS.to_vec()), 1..12)) {
        if let Some(expr) = parse(&words.join(" ")).ok().filter(is_spellable) {
            assert_prints(&expr);
        }
    }

    #[test]
    fn damaged_queries_parse_or_fail(
        query in known_query(),
        at in any::<prop::sample::Index>(),
        len in 0..6usize,
        with in prop_oneof![select(WORDS.to_vec()).prop_map(str::to_owned), "[ -~]{0,2}"],
    ) {
        let mut chars: Vec<char> = query.chars().collect();
        let start = at.index(chars.len() + 1);
        let end = (start + len).min(chars.len());
        chars.splice(start..end, with.chars());
        let damaged: String = chars.into_iter().collect();
        if let Some(expr) = parse(&damaged).ok().filter(is_spellable) {
            assert_prints(&expr);
        }
    }

    #[test]
    fn any_text_parses_or_fails(text in any::<String>()) {
        let _ = parse(&text);
    }
}
