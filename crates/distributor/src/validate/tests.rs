use std::borrow::Cow;
use std::time::Duration;

use super::*;

const NOW: Timestamp = Timestamp(1_755_900_000_250_000_000);

fn labels(limits: &Limits, pairs: &[(&str, &str)]) -> Result<(), (&'static str, String)> {
    let labels = Labels::new(pairs.iter().copied());
    check_labels(&labels, labels.canonical(), limits)
        .map_err(|refusal| (refusal.reason, refusal.message))
}

#[test]
fn labels_are_limited() {
    let limits = Limits {
        max_label_names: 2,
        max_label_name_bytes: 12,
        max_label_value_bytes: 3,
        ..Limits::default()
    };
    let refused = |pairs: &[(&str, &str)], reason: &str, message: &str| {
        let (actual_reason, actual) = labels(&limits, pairs).unwrap_err();
        assert_eq!((actual_reason, actual.as_str()), (reason, message));
    };
    assert!(labels(&limits, &[("a", "1"), ("b", "2"), ("service_name", "x")]).is_ok());
    refused(&[], "missing_labels", "error at least one label pair is required per stream");
    refused(
        &[("a", "1"), ("b", "2"), ("c", "3")],
        "max_label_names_per_series",
        "entry for stream '{a=\"1\", b=\"2\", c=\"3\"}' has 3 label names; limit 2",
    );
    refused(
        &[("a23456789_123", "1")],
        "label_name_too_long",
        "stream '{a23456789_123=\"1\"}' has label name too long: 'a23456789_123'",
    );
    refused(
        &[("a", "1234")],
        "label_value_too_long",
        "stream '{a=\"1234\"}' has label value too long: '1234'",
    );
}

#[test]
fn labels_are_enforced_for_all_and_by_policy() {
    let limits = Limits {
        enforced_labels: vec!["app".into()],
        policy_enforced_labels: vec![
            ("*".into(), vec!["env".into(), "app".into()]),
            ("p".into(), vec!["team".into()]),
        ],
        ..Limits::default()
    };
    let labels = Labels::new([("x", "y")]);
    let check = |policy: &str| check_enforced(&labels, "{x=\"y\"}", policy, "t", &limits);
    assert_eq!(
        check("p").unwrap_err().message,
        "missing required labels app,env,team for user t for stream {x=\"y\"} for policy p"
    );
    assert!(check("").unwrap_err().message.starts_with("missing required labels app,env for user"));
    assert!(check_enforced(&labels, "", "", "t", &Limits::default()).is_ok());
}

#[test]
fn ingestion_is_blocked_until_a_date() {
    let later = NOW.plus(Duration::from_secs(1));
    let limits =
        Limits { block_ingestion_policy_until: vec![("p".into(), later)], ..Limits::default() };
    assert!(check_blocked("", "t", &limits, NOW).is_ok());
    assert_eq!(
        check_blocked("p", "t", &limits, NOW).unwrap_err().reason,
        "blocked_ingestion_policy"
    );
    let limits = Limits { block_ingestion_until: Some(later), ..limits };
    let refusal = check_blocked("p", "t", &limits, NOW).unwrap_err();
    assert_eq!(refusal.reason, "blocked_ingestion");
    assert_eq!(
        refusal.message,
        "ingestion blocked for user t until '2025-08-22T22:00:01Z' with status code '260'"
    );
    assert!(check_blocked("p", "t", &limits, later).is_ok());
}

fn entry(timestamp: Timestamp, line: &'static [u8], metadata: usize) -> PushEntry<'static> {
    PushEntry {
        timestamp,
        line: Cow::Borrowed(line),
        metadata: (0..metadata).map(|i| (format!("n{i}").into(), "v".into())).collect(),
        shared: None,
    }
}

#[test]
fn entries_are_limited() {
    let limits = Limits {
        max_line_bytes: 3,
        max_structured_metadata_bytes: 9,
        max_structured_metadata_pairs: 2,
        ..Limits::default()
    };
    let checks = EntryChecks::new(&limits, NOW, false);
    let refused = |entry: &PushEntry<'_>, reason: &str, message: &str| {
        let refusal = checks.check(entry).unwrap_err();
        assert_eq!((refusal.reason(), refusal.message("{s}").as_str()), (reason, message));
    };
    assert!(checks.check(&entry(NOW, b"abc", 2)).is_ok());
    let old = NOW.minus(Duration::from_secs(8 * 86_400));
    refused(
        &entry(old, b"", 0),
        "greater_than_max_sample_age",
        "entry for stream '{s}' has timestamp too old: 2025-08-14T22:00:00Z, oldest acceptable timestamp is: 2025-08-15T22:00:00Z",
    );
    assert!(EntryChecks::new(&limits, NOW, true).check(&entry(old, b"", 0)).is_ok());
    refused(
        &entry(NOW.plus(Duration::from_secs(601)), b"", 0),
        "too_far_in_future",
        "entry for stream '{s}' has timestamp too new: 2025-08-22T22:10:01Z",
    );
    refused(
        &entry(NOW, b"abcd", 0),
        "line_too_long",
        "max entry size '3' bytes exceeded for stream '{s}' while adding an entry with length '4' bytes",
    );
    let prefix = |entry: &PushEntry<'_>, reason: &str, message: &str| {
        let refusal = checks.check(entry).unwrap_err();
        assert_eq!(refusal.reason(), reason);
        assert!(refusal.message("{s}").starts_with(message), "{}", refusal.message("{s}"));
    };
    prefix(
        &entry(NOW, b"", 4),
        "structured_metadata_too_large",
        "stream '{s}' has structured metadata too large: '12' bytes, limit: '9' bytes.",
    );
    prefix(
        &entry(NOW, b"", 3),
        "structured_metadata_too_many",
        "stream '{s}' has too many structured metadata labels: '3', limit: '2'.",
    );
    let mut bad_name = entry(NOW, b"", 1);
    bad_name.metadata[0].0 = "..".into();
    prefix(&bad_name, "invalid_structured_metadata", "stream '{s}' has a structured metadata name");
    let off = Limits { allow_structured_metadata: false, ..Limits::default() };
    let refusal = EntryChecks::new(&off, NOW, false).check(&entry(NOW, b"", 1)).unwrap_err();
    assert_eq!(refusal, EntryRefusal::MetadataDisallowed);
}
