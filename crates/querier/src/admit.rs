//! What a tenant's limits say to a request, before anything is read.

use logql::eval::QueryError;
use logql::syntax::ast::Expr;
use model::units::{format_go_duration, format_prometheus_duration};
use model::{Matcher, TimeRange, Timestamp};

use crate::error::Error;
use crate::limits::{BlockedQuery, BlockedText, Limits, QueryKind};
use crate::source::tenants::TENANT_LABEL;
use logql::request::QueryRequest;

/// Refuses queries that a policy or a limit forbids.
pub(crate) fn check_query(
    expr: &Expr,
    request: &QueryRequest,
    limits: &Limits,
) -> Result<(), Error> {
    let kind = kind_of(expr);
    if limits.blocked_queries.iter().any(|blocked| blocks(blocked, request, kind)) {
        return Err(Error::refused("query blocked by policy"));
    }
    for selector in expr.selectors() {
        check_matchers(selector, limits)?;
    }
    let (asked, limit) = (request.limit, limits.max_entries);
    if expr.log_expr().is_some() && limit != 0 && asked > limit {
        return Err(QueryError::EntriesLimit { asked, limit }.into());
    }
    let (start, end) = request.time.bounds();
    check_length(start, end, limits)
}

/// Refuses selectors that limits forbid.
pub(crate) fn check_matchers(matchers: &[Matcher], limits: &Limits) -> Result<(), Error> {
    let max = limits.max_streams_matchers;
    if max != 0 && matchers.len() > max {
        return Err(Error::refused(format!(
            "max streams matchers per query exceeded, matchers-count > limit ({} > {max})",
            matchers.len()
        )));
    }
    let present: Vec<&str> =
        matchers.iter().map(Matcher::name).filter(|name| *name != TENANT_LABEL).collect();
    let required = limits.required_labels.iter().map(String::as_str);
    let missing: Vec<&str> = required.filter(|name| !present.contains(name)).collect();
    if !missing.is_empty() {
        return Err(Error::refused(format!(
            "stream selector is missing required matchers [{}], labels present in the query were \
             [{}]",
            missing.join(", "),
            present.join(", ")
        )));
    }
    if present.len() < limits.minimum_labels {
        return Err(Error::refused(format!(
            "stream selector has less label matchers than required: (present: [{}], \
             number_present: {}, required_number_label_matchers: {})",
            present.join(", "),
            present.len(),
            limits.minimum_labels
        )));
    }
    Ok(())
}

/// Refuses ranges that are too long.
pub(crate) fn check_length(start: Timestamp, end: Timestamp, limits: &Limits) -> Result<(), Error> {
    let limit = limits.max_query_length;
    let length = end.0.saturating_sub(start.0);
    if limit.is_zero() || i128::from(length) <= limit.as_nanos() as i128 {
        return Ok(());
    }
    Err(Error::refused(format!(
        "the query time range exceeds the limit (query length: {}, limit: {})",
        format_go_duration(length),
        format_prometheus_duration(limit)
    )))
}

/// Refuses queries that would read too much.
pub(crate) fn check_bytes(bytes: u64, limits: &Limits) -> Result<(), Error> {
    let limit = limits.max_query_bytes_read;
    if limit == 0 || bytes <= limit {
        return Ok(());
    }
    Err(Error::refused(format!(
        "the query would read too many bytes (query: {}, limit: {}); consider adding more specific \
         stream selectors or reduce the time range of the query",
        binary_bytes(bytes),
        binary_bytes(limit)
    )))
}

/// Moves the start of a range to what the tenant may see; `None` when nothing is left.
pub(crate) fn look_back(
    start: Timestamp,
    end: Timestamp,
    now: Timestamp,
    limits: &Limits,
) -> Option<Timestamp> {
    if limits.max_query_lookback.is_zero() {
        return Some(start);
    }
    let earliest = now.minus(limits.max_query_lookback);
    (end >= earliest).then(|| start.max(earliest))
}

/// The time that an expression reads, for evaluations between `start` and `end`.
pub(crate) fn read_range(expr: &Expr, start: Timestamp, end: Timestamp) -> TimeRange {
    let Expr::Metric(metric) = expr else { return TimeRange::new(start, end) };
    let mut range = TimeRange::new(Timestamp::MAX, Timestamp::MIN);
    for read in metric.ranges() {
        let first = start.0.saturating_sub(read.offset_ns).saturating_sub(read.range_ns);
        let last = end.0.saturating_sub(read.offset_ns).saturating_add(1);
        range.start = range.start.min(Timestamp(first));
        range.end = range.end.max(Timestamp(last));
    }
    range
}

/// Whether an expression reads nothing, such as `vector(1)+vector(1)`.
pub(crate) fn reads_nothing(expr: &Expr) -> bool {
    expr.selectors().is_empty()
}

fn kind_of(expr: &Expr) -> QueryKind {
    match expr.log_expr() {
        None => QueryKind::Metric,
        Some(log) if log.stages.is_empty() => QueryKind::Limited,
        Some(_) => QueryKind::Filter,
    }
}

fn blocks(blocked: &BlockedQuery, request: &QueryRequest, kind: QueryKind) -> bool {
    let text = request.text.trim();
    let texts = match &blocked.text {
        BlockedText::Any => true,
        BlockedText::Exact(exact) => exact.trim() == text,
        BlockedText::Regex(pattern) => pattern.is_match(text.as_bytes()),
        BlockedText::Hash(hash) => *hash == fnv1a(text.as_bytes()),
    };
    let kinds = blocked.kinds.is_empty() || blocked.kinds.contains(&kind);
    let mut tags = blocked.tags.iter();
    texts && kinds && tags.all(|(name, value)| request.tags.get(name) == Some(value))
}

/// 32-bit FNV-1a, which identifies queries in Loki's log lines and configuration.
fn fnv1a(bytes: &[u8]) -> u32 {
    bytes.iter().fold(0x811c_9dc5, |hash, byte| (hash ^ u32::from(*byte)).wrapping_mul(0x0100_0193))
}

/// A size with a binary unit: `1.5 GiB`, `10 MiB`, `512 B`.
fn binary_bytes(bytes: u64) -> String {
    let unit = (63 - bytes.max(1).leading_zeros()) / 10;
    let name = ["B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB"][unit as usize];
    let value = bytes as f64 / (1u64 << (10 * unit)) as f64;
    if unit == 0 || value >= 10.0 {
        format!("{value:.0} {name}")
    } else {
        format!("{value:.1} {name}")
    }
}

#[cfg(test)]
mod tests {
    use std::collections::BTreeMap;
    use std::time::Duration;

    use model::{Direction, MatchOp, Pattern};

    use super::*;
    use logql::request::QueryTime;

    fn request(text: &str) -> QueryRequest {
        QueryRequest {
            text: text.into(),
            time: QueryTime::Instant(Timestamp(0)),
            direction: Direction::Backward,
            limit: 100,
            interval_ns: 0,
            categorize: false,
            tags: BTreeMap::from([("source".into(), "grafana".into())]),
            part: None,
        }
    }

    fn matcher(name: &str) -> Matcher {
        Matcher::new(name, MatchOp::Equal, "x").unwrap()
    }

    #[test]
    fn lengths_are_told_in_the_words_clients_know() {
        let hours = |hours: i64| Timestamp(hours * 3600 * model::time::SECOND_NS);
        let limits = Limits::default();
        assert!(check_length(hours(0), hours(721), &limits).is_ok());
        let error = check_length(hours(0), hours(963), &limits).unwrap_err();
        assert_eq!(
            error.to_string(),
            "the query time range exceeds the limit (query length: 963h0m0s, limit: 30d1h)"
        );
    }

    #[test]
    fn matchers_are_counted_and_required() {
        let limits = Limits { max_streams_matchers: 1, ..Limits::default() };
        assert!(check_matchers(&[matcher("a")], &limits).is_ok());
        let error = check_matchers(&[matcher("a"), matcher("b")], &limits).unwrap_err();
        assert!(error.to_string().ends_with("matchers-count > limit (2 > 1)"));
        let limits = Limits {
            required_labels: vec!["app".into(), "env".into()],
            minimum_labels: 2,
            ..Limits::default()
        };
        let error = check_matchers(&[matcher("app")], &limits).unwrap_err();
        assert_eq!(
            error.to_string(),
            "stream selector is missing required matchers [env], labels present in the query were \
             [app]"
        );
        assert!(check_matchers(&[matcher("app"), matcher("env")], &limits).is_ok());
    }

    #[test]
    fn policies_block_by_text_kind_and_tags() {
        let query = request("  {app=\"x\"} ");
        let check = |text: BlockedText, kinds: &[QueryKind], tag: Option<(&str, &str)>| {
            let tags = tag.map(|(k, v)| (k.to_owned(), v.to_owned())).into_iter().collect();
            let blocked = BlockedQuery { text, kinds: kinds.to_vec(), tags };
            blocks(&blocked, &query, QueryKind::Limited)
        };
        assert!(check(BlockedText::Any, &[], None));
        assert!(check(BlockedText::Exact("{app=\"x\"}".into()), &[], None));
        assert!(!check(BlockedText::Exact("{app=\"y\"}".into()), &[], None));
        assert!(check(BlockedText::Regex(Pattern::search("app=.x").unwrap()), &[], None));
        assert!(check(BlockedText::Hash(fnv1a(b"{app=\"x\"}")), &[], None));
        assert!(!check(BlockedText::Any, &[QueryKind::Metric], None));
        assert!(check(BlockedText::Any, &[QueryKind::Limited], Some(("source", "grafana"))));
        assert!(!check(BlockedText::Any, &[], Some(("source", "logcli"))));
        assert_eq!(fnv1a(b"a"), 0xe40c_292c);
    }

    #[test]
    fn bytes_are_told_with_units() {
        assert_eq!(binary_bytes(0), "0 B");
        assert_eq!(binary_bytes(1536), "1.5 KiB");
        assert_eq!(binary_bytes(10 << 20), "10 MiB");
        assert_eq!(binary_bytes(u64::MAX), "16 EiB");
        let limits = Limits { max_query_bytes_read: 1 << 30, ..Limits::default() };
        assert!(check_bytes(1 << 30, &limits).is_ok());
        let error = check_bytes(2 << 30, &limits).unwrap_err().to_string();
        assert!(
            error.starts_with(
                "the query would read too many bytes (query: 2.0 GiB, limit: 1.0 GiB)"
            )
        );
    }

    #[test]
    fn a_look_back_moves_the_start() {
        let limits = Limits { max_query_lookback: Duration::from_nanos(10), ..Limits::default() };
        let back = |start, end| {
            look_back(Timestamp(start), Timestamp(end), Timestamp(100), &limits).map(|at| at.0)
        };
        assert_eq!(back(0, 95), Some(90));
        assert_eq!(back(93, 95), Some(93));
        assert_eq!(back(0, 89), None);
    }
}
