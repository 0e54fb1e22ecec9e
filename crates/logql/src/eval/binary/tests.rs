use super::*;
use crate::syntax::ast::MetricExpr;

fn labels(text: &str) -> SeriesLabels {
    let pairs = text.split(',').filter_map(|pair| pair.split_once('='));
    Arc::new(pairs.map(|(name, value)| (name.to_owned(), value.to_owned())).collect())
}

/// Series written as `labels: value@step value@step`, one per line.
fn frame(text: &str) -> Operand {
    let series = text.lines().map(str::trim).filter(|line| !line.is_empty()).map(|line| {
        let (names, values) = line.split_once(':').unwrap();
        let mut points = Points::default();
        for sample in values.split_whitespace() {
            let (value, step) = sample.split_once('@').unwrap();
            points.push(step.parse().unwrap(), value.parse().unwrap());
        }
        FrameSeries { labels: labels(names), points }
    });
    Operand::Frame(Frame { series: series.collect() })
}

fn print(operand: Operand) -> String {
    let Operand::Frame(frame) = operand else { panic!("expected series") };
    let line = |series: &FrameSeries| {
        let names: Vec<String> = series.labels.iter().map(|(n, v)| format!("{n}={v}")).collect();
        let values: Vec<String> =
            series.points.iter().map(|(step, value)| format!("{value}@{step}")).collect();
        format!("{}: {}", names.join(","), values.join(" "))
    };
    frame.series.iter().map(line).collect::<Vec<_>>().join("\n")
}

fn operation(op: BinaryOp, matching: Matching) -> BinaryOperation {
    let literal = || Box::new(MetricExpr::Literal(0.0));
    BinaryOperation { op, left: literal(), right: literal(), return_bool: false, matching }
}

fn on(names: &[&str], cardinality: Cardinality) -> Matching {
    let labels = MatchingLabels::On(names.iter().map(|name| (*name).to_owned()).collect());
    Matching { labels, cardinality }
}

fn check(operation: &BinaryOperation, left: Operand, right: Operand, expected: &str) {
    let found = match combine(operation, left, right, 4) {
        Ok(operand) => print(operand),
        Err(error) => error.to_string(),
    };
    let expected: Vec<&str> = expected.lines().map(str::trim).filter(|l| !l.is_empty()).collect();
    assert_eq!(found, expected.join("\n"), "{operation:?}");
}

#[test]
fn numbers_follow_go_and_loki() {
    let same = |a: f64, b: f64| a == b || (a.is_nan() && b.is_nan());
    let check = |op: BinaryOp, left: f64, right: f64, expected: f64| {
        assert!(same(op.apply(left, right), expected), "{left} {op:?} {right}");
    };
    check(BinaryOp::Divide, 1.0, 0.0, f64::NAN);
    check(BinaryOp::Divide, 1.0, -0.0, f64::NAN);
    check(BinaryOp::Modulo, -5.0, 3.0, -2.0);
    check(BinaryOp::Modulo, 5.0, 0.0, f64::NAN);
    check(BinaryOp::Power, 2.0, 0.5, 2f64.sqrt());
    check(BinaryOp::Equal, f64::NAN, f64::NAN, 0.0);
    check(BinaryOp::NotEqual, f64::NAN, f64::NAN, 1.0);
}

#[test]
fn comparisons_with_a_number_keep_the_series_value() {
    let mut greater = operation(BinaryOp::Greater, Matching::default());
    let series = || frame("a=1: 7@0 5@1");
    check(&greater, series(), Operand::Number(5.0), "a=1: 7@0");
    check(&greater, Operand::Number(6.0), series(), "a=1: 5@1");
    greater.return_bool = true;
    check(&greater, series(), Operand::Number(5.0), "a=1: 1@0 0@1");
}

#[test]
fn series_pair_by_all_labels() {
    let divide = operation(BinaryOp::Divide, Matching::default());
    let left = frame("a=1: 6@0 8@1\na=2: 1@0\na=3,b=: 9@2");
    let right = frame("a=1: 2@0 0@1 4@2\na=3: 3@2");
    check(&divide, left, right, "a=1: 3@0 NaN@1\na=3: 3@2");
}

#[test]
fn one_to_one_results_keep_only_matched_labels() {
    let add = operation(BinaryOp::Add, on(&["a"], Cardinality::OneToOne));
    check(&add, frame("a=1,b=x: 1@0"), frame("a=1,c=y: 2@0"), "a=1: 3@0");
    let mut ignoring = add.clone();
    ignoring.matching.labels = MatchingLabels::Ignoring(vec!["b".into(), "c".into()]);
    check(&ignoring, frame("a=1,b=x: 1@0"), frame("a=1,c=y: 2@0"), "a=1: 3@0");
}

#[test]
fn uniqueness_is_checked_step_by_step() {
    let add = operation(BinaryOp::Add, on(&["a"], Cardinality::OneToOne));
    let apart = || frame("a=1,b=x: 1@0\na=1,b=y: 1@1");
    check(&add, apart(), frame("a=1: 2@0 2@1"), "a=1: 3@0\na=1: 3@1");
    let together = || frame("a=1,b=x: 1@0\na=1,b=y: 1@0");
    check(&add, together(), frame("a=1: 2@0"), MANY_TO_ONE);
    check(&add, together(), frame("a=1: 2@1"), "");
    check(&add, frame("a=1: 2@0"), together(), NOT_UNIQUE_RIGHT);
    let right = Cardinality::OneToMany { include: vec![] };
    check(
        &operation(BinaryOp::Add, on(&["a"], right)),
        together(),
        frame("a=1: 2@0"),
        NOT_UNIQUE_LEFT,
    );
}

#[test]
fn grouped_matches_keep_the_labels_of_the_many() {
    let left = Cardinality::ManyToOne { include: vec!["c".into(), "b".into()] };
    let minus = operation(BinaryOp::Subtract, on(&["a"], left));
    let many = || frame("a=1,x=p: 5@0\na=1,b=z,x=q: 7@0");
    check(&minus, many(), frame("a=1,c=y: 2@0"), "a=1,c=y,x=p: 3@0\na=1,c=y,x=q: 5@0");
    let right = Cardinality::OneToMany { include: vec![] };
    let minus = operation(BinaryOp::Subtract, on(&["a"], right));
    check(&minus, frame("a=1: 2@0"), many(), "a=1,x=p: -3@0\na=1,b=z,x=q: -5@0");
    let include = Cardinality::ManyToOne { include: vec!["x".into()] };
    let clash = operation(BinaryOp::Subtract, on(&["a"], include));
    check(&clash, frame("a=1,x=p: 5@0\na=1,x=q: 7@0"), frame("a=1,x=r: 2@0"), NOT_UNIQUE_RESULT);
}

#[test]
fn comparisons_between_series_filter_or_answer_bool() {
    let mut less = operation(BinaryOp::Less, Matching::default());
    let (left, right) = (|| frame("a=1: 1@0 9@1"), || frame("a=1: 5@0 5@1"));
    check(&less, left(), right(), "a=1: 1@0");
    less.return_bool = true;
    check(&less, left(), right(), "a=1: 1@0 0@1");
}

#[test]
fn set_operators_work_step_by_step() {
    let left = || frame("a=1: 1@0 1@1\na=2: 2@0");
    let right = || frame("a=1: 5@1 5@2\na=3: 3@0");
    let set = |op| operation(op, Matching::default());
    check(&set(BinaryOp::And), left(), right(), "a=1: 1@1");
    check(&set(BinaryOp::Unless), left(), right(), "a=1: 1@0\na=2: 2@0");
    check(&set(BinaryOp::Or), left(), right(), "a=1: 1@0 1@1\na=2: 2@0\na=1: 5@2\na=3: 3@0");
    let on_nothing = operation(BinaryOp::Unless, on(&[], Cardinality::OneToOne));
    check(&on_nothing, left(), right(), "");
}
