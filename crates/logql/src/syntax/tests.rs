//! Facts recorded from an existing server, and properties of parsing and printing.

use super::ast::{Expr, LabelFilter, MetricExpr, Stage};
use super::*;

mod random;
mod recorded;

fn error(text: &str) -> String {
    parse(text).unwrap_err().to_string()
}

#[track_caller]
fn check(text: &str, printed: &str) {
    assert_eq!(parse(text).map(|expr| expr.to_string()), Ok(printed.to_owned()), "{text}");
}

/// What a query that is a constant comes to.
#[track_caller]
fn check_constant(text: &str, expected: f64) {
    match parse(text) {
        Ok(Expr::Metric(MetricExpr::Literal(value))) => {
            assert_eq!(value.to_bits(), expected.to_bits(), "{text} is {value}");
        }
        other => panic!("{text}: {other:?}"),
    }
}

#[test]
fn constants_fold() {
    check_constant("-2^2", 4.0);
    check_constant("2^3^2", 512.0);
    check_constant("1-1-1", -1.0);
    check_constant("-5%3", -2.0);
    check_constant("1 > bool 2", 0.0);
    check_constant("1 + 2 * 3 == 7", 1.0);
    check_constant("0x1p3 + 010 + 1_000", 1018.0);
    check_constant("1/0", f64::NAN);
    check_constant("5%0", f64::NAN);
}

#[test]
fn label_filters_combine_like_the_established_tables() {
    let filters = |text: &str, printed: &str| {
        check(&format!("{{a=\"b\"}} | {text}"), &format!("{{a=\"b\"}} | {printed}"));
    };
    filters("a=1, b=2 or c=3", "( a==1 , ( b==2 or c==3 ) )");
    filters("a=1 or b=2, c=3", "( a==1 or ( b==2 , c==3 ) )");
    filters("a=1 and b=2 or c=3", "( ( a==1 , b==2 ) or c==3 )");
    filters("a=1 or b=2 and c=3", "( a==1 or ( b==2 , c==3 ) )");
    filters("x=1 y=2, z=3 or w=4", "( x==1 , ( y==2 , ( z==3 or w==4 ) ) )");
    filters("(a=1 or b=2), c=3", "( ( a==1 or b==2 ) , c==3 )");
    filters("a=1 and b=2 and c=3", "( ( a==1 , b==2 ) , c==3 )");
    filters("a=1 and b=2, c=3", "( a==1 , ( b==2 , c==3 ) )");
    filters("a=1 and (b=2 and c=3) and d=4", "( ( a==1 , ( b==2 , c==3 ) ) , d==4 )");
}

#[test]
fn operators_bind_by_precedence() {
    check(
        "vector(1) or vector(2) and vector(3)",
        "(vector(1.000000) or (vector(2.000000) and vector(3.000000)))",
    );
    check("vector(1) + 2 * 3 > 4", "((vector(1.000000) + 6) > 4)");
    check("1 - vector(1) - 1", "((1 - vector(1.000000)) - 1)");
    check("2 ^ vector(1) ^ 2", "(2 ^ (vector(1.000000) ^ 2))");
    check(
        "vector(1) > bool on (a) group_left () (vector(2) * 2)",
        "(vector(1.000000) > bool on (a) group_left () (vector(2.000000) * 2))",
    );
}

#[test]
fn windows_stand_anywhere() {
    let query = "{a=\"b\"} |= \"c\"";
    let printed = "rate({a=\"b\"} |= \"c\"[5m] offset 1h0m0s)";
    check(&format!("rate({query} [5m] offset 1h)"), printed);
    check("rate({a=\"b\"}[5m] offset 1h |= \"c\")", printed);
    check(&format!("rate(({query})[5m] offset 1h)"), printed);
    check(&format!("rate((({query}[5m] offset 1h)))"), printed);
    let unwrapped = "sum_over_time({a=\"b\"} | unwrap bytes(c)[5m])";
    check("sum_over_time(({a=\"b\"})[5m] | unwrap bytes(c))", unwrapped);
    check("sum_over_time(({a=\"b\"} | unwrap bytes(c))[5m])", unwrapped);
    check("sum_over_time({a=\"b\"}[5m] | unwrap bytes(c))", unwrapped);
}

#[test]
fn units_follow_the_number() {
    check("{a=\"b\"} | c>5m", "{a=\"b\"} | c>5m0s");
    check("{a=\"b\"} | c>5M", "{a=\"b\"} | c>5.0MB");
    check("{a=\"b\"} | c>1KiB", "{a=\"b\"} | c>1024B");
    check("{a=\"b\"} | c>=1d12h or c<-5m", "{a=\"b\"} | ( c>=36h0m0s or c<-5m0s )");
    check("{a=\"b\"} | c=1PB or c=0KB", "{a=\"b\"} | ( c==1.0PB or c==0kB )");
}

#[test]
fn words_are_names_where_nothing_else_fits() {
    check(
        "{rate=\"a\", ip=\"b\"} | sum=1 | duration>5",
        "{rate=\"a\", ip=\"b\"} | sum==1 | duration>5",
    );
    check("SUM BY (sum) (Rate({a=\"b\"}[1m]))", "sum by (sum)(rate({a=\"b\"}[1m]))");
    check("{a=\"b\"} /* c */ |= \"d\" // e", "{a=\"b\"} |= \"d\"");
    assert!(parse("{json=\"a\"}").is_err());
}

#[test]
fn strings_unescape() {
    check(r#"{a="\x41\102\u0043\U00000044\n\"\\"}"#, r#"{a="ABCD\n\"\\"}"#);
    check("{a=`x\\n\r`}", "{a=\"x\\\\n\"}");
    check(r#"{a="\xc3\xa9\xff"}"#, "{a=\"é\u{fffd}\"}");
    assert_eq!(error(r#"{a="\400"}"#), "parse error at line 1, col 4: invalid syntax");
    assert_eq!(error(r#"{a="\d"}"#), "parse error at line 1, col 4: invalid char escape");
    assert_eq!(error("{a='xy'}"), "parse error at line 1, col 4: invalid char literal");
    assert_eq!(error("{a=\"x\ny\"}"), "parse error at line 1, col 4: literal not terminated");
}

#[test]
fn errors_of_meaning_wait_for_errors_of_syntax() {
    check_error(
        "topk(0, rate({}[1m])) )",
        "parse error at line 1, col 23: syntax error: unexpected )",
    );
    check_error(
        "topk(0, rate({}[1m]))",
        "parse error : invalid parameter (must be greater than 0) topk(0",
    );
    check_error(
        "rate(0.5, {a=\"b\"}[1m])",
        "parse error : parameter 0.5 not supported for operation rate",
    );
    check_error(
        "max_over_time({a=\"b\"}[1m])",
        "parse error : invalid aggregation max_over_time without unwrap",
    );
    check_error("topk(2.0, vector(1))", "parse error : invalid parameter topk(2.0,");
    check_error("topk(vector(1))", "parse error : parameter required for operation topk");
    check_error(
        "label_replace(vector(1), \"a\", \"b\", \"c\", \"(\")",
        "parse error : invalid regex in label_replace: error parsing regexp: missing closing ): `^(?:()$`",
    );
    check_error("{?=\"x\"}", "parse error at line 1, col 2: syntax error: unexpected IDENTIFIER");
}

#[track_caller]
fn check_error(text: &str, expected: &str) {
    assert_eq!(error(text), expected, "{text}");
}

#[test]
fn positions_count_lines_and_characters() {
    check_error("{a=\"日\"}\n  )", "parse error at line 2, col 3: syntax error: unexpected )");
    check_error("{a=\"b\"} |\n", "parse error at line 2, col 1: syntax error: unexpected $end");
    check_error(
        "rate({a=\"b\"}[5m",
        "parse error at line 0, col 13: missing closing ']' in duration",
    );
    check_error("rate({a=\"b\"}[])", "parse error at line 0, col 13: empty duration string");
}

#[test]
fn size_is_bounded() {
    let query = |len: usize| format!("{{a=\"{}\"}}", "x".repeat(len - 6));
    assert!(parse(&query(131_071)).is_ok());
    assert_eq!(error(&query(131_072)), "parse error : input size too long (131072 > 131072)");
}

/// Runs on a stack as small as those of worker threads.
fn on_small_stack(test: impl FnOnce() + Send) {
    std::thread::scope(|scope| {
        let thread = std::thread::Builder::new().stack_size(1 << 20);
        thread.spawn_scoped(scope, test).unwrap().join().unwrap();
    });
}

#[test]
fn depth_is_bounded() {
    on_small_stack(|| {
        let nested = |open: &str, core: &str, close: &str, levels: usize| {
            parse(&format!("{}{core}{}", open.repeat(levels), close.repeat(levels)))
        };
        assert!(nested("(", "1", ")", 200).is_ok());
        for levels in [300, 40_000] {
            assert!(nested("(", "1", ")", levels).is_err());
            assert!(nested("abs(", "1", ")", levels).is_err());
            assert!(nested("1^", "1", "", levels).is_err());
            assert!(nested("vector(1)+", "1", "", levels).is_err());
            assert!(nested("rate(", "{a=\"b\"}[5m]", ")", levels).is_err());
            assert!(
                parse(&format!(
                    "rate({}{{a=\"b\"}}[5m]{}",
                    "(".repeat(levels),
                    ")".repeat(levels + 1)
                ))
                .is_err()
            );
            assert!(
                parse(&format!("{{a=\"b\"}} | {}a=1{}", "(".repeat(levels), ")".repeat(levels)))
                    .is_err()
            );
        }
        let deep = nested("sum(", "vector(1)+vector(1)", ")", 200).unwrap();
        assert_eq!(parse(&deep.to_string()), Ok(deep));
    });
}

#[test]
fn chains_may_be_long() {
    on_small_stack(|| {
        let parts = |text: &str| match parse(text).unwrap() {
            Expr::Log(log) => match &log.stages[0] {
                Stage::LabelFilter(LabelFilter::Group(group)) => group.parts.len(),
                Stage::LineFilter(filter) => filter.args.len(),
                other => panic!("{other}"),
            },
            Expr::Metric(metric) => panic!("{metric}"),
        };
        for joint in [",", " ", " and ", " or "] {
            assert_eq!(
                parts(&format!("{{a=\"b\"}} | a=1{}", format!("{joint}b=1").repeat(9_999))),
                10_000
            );
        }
        assert_eq!(parts(&format!("{{a=\"b\"}} |= \"c\"{}", " or \"d\"".repeat(9_999))), 10_000);
        let stages = parse(&format!("{{a=\"b\"}}{}", "|=\"c\"".repeat(20_000))).unwrap();
        assert_eq!(stages.log_expr().unwrap().stages.len(), 20_000);
        assert!(parse(&format!("{{a=\"b\"}} | a=1{}", ",b=1 or c=1".repeat(5_000))).is_err());
    });
}

#[test]
fn selectors_alone() {
    assert_eq!(parse_selector("{a=\"b\", c!=\"d\"}").unwrap().len(), 2);
    let refused = |text| parse_selector(text).unwrap_err().to_string();
    assert_eq!(refused("{a=\"b\"} |= \"c\""), "only label matchers are supported");
    assert_eq!(refused("vector(1)"), "only label matchers are supported");
    assert!(refused("{}").starts_with("parse error : queries require at least one"));
}

#[test]
fn long_queries_are_broken_into_lines() {
    let selector = "{cluster=\"production\", namespace=\"checkout\", container=\"gateway\"}";
    let query = format!(
        "topk(5, sum(quantile_over_time(0.99, {selector} |= \"x\" | json | unwrap latency | \
         __error__=\"\" [5m] offset 1h) by (pod)) by (pod)) / vector(2) * \
         label_replace(rate({selector}[1m]), \"a\", \"$1\", \"b\", \"(.*)\")"
    );
    let expected = "  (
      topk(
        5,
        sum by (pod)(
          quantile_over_time(
            0.99,
            {cluster=\"production\", namespace=\"checkout\", container=\"gateway\"} |= \"x\" | json
              | unwrap latency
              | __error__=\"\" [5m] offset 1h0m0s
          ) by (pod)
        )
      )
    /
      vector(2.000000)
  )
*
  label_replace(
    rate({cluster=\"production\", namespace=\"checkout\", container=\"gateway\"}[1m]),
    \"a\",
    \"$1\",
    \"b\",
    \"(.*)\"
  )";
    let expr = parse(&query).unwrap();
    assert_eq!(format_query(&expr), expected);
    assert_eq!(parse(expected), Ok(expr));
}
