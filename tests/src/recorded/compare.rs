//! Whether an answer equals a recorded one: streams and series by their labels, entries in order
//! (those of one time in any), values within rounding, sizes within what estimates may differ.

use std::collections::BTreeMap;

use serde_json::Value;

use super::Case;

/// How far values may differ: by this part of them, or by this much next to zero.
#[derive(Clone, Copy)]
struct Tolerance {
    relative: f64,
    absolute: f64,
}

const ROUNDING: Tolerance = Tolerance { relative: 1e-9, absolute: 1e-12 };

/// What is said of a difference.
type Outcome = Result<(), String>;

/// How an answer differs from the recorded one; `None` when it does not.
pub(super) fn differs(case: &Case, status: u16, text: &str) -> Option<String> {
    let expected = &case.0["body"];
    if case.0["status"] != status {
        let expected = &case.0["status"];
        return Some(format!("status {expected} expected, got {status}: {}", short(text)));
    }
    // Of an error only the status counts.
    if expected.get("error_text").is_some() || case.0["cmp"]["status_only"] == true {
        return None;
    }
    // One mark for several bad bytes in a row counts as one for each.
    let mut text = text.replace("\\ufffd", "\u{fffd}");
    while text.contains("\u{fffd}\u{fffd}") {
        text = text.replace("\u{fffd}\u{fffd}", "\u{fffd}");
    }
    let got = if text.trim().is_empty() {
        serde_json::json!({"empty": true})
    } else if let Ok(mut body) = serde_json::from_str::<Value>(&text) {
        if let Some(data) = body.get_mut("data").and_then(Value::as_object_mut) {
            data.remove("stats");
        }
        body
    } else {
        serde_json::json!({ "text": text })
    };
    body(case, expected, &got).err()
}

fn body(case: &Case, expected: &Value, got: &Value) -> Outcome {
    let (path, options) = (case.path(), &case.0["cmp"]);
    let tolerance = |relative: f64, absolute: f64| Tolerance {
        relative: options["rel"].as_f64().unwrap_or(relative),
        absolute: options["abs"].as_f64().unwrap_or(absolute),
    };
    let is_labels = ["/label", "/labels", "/values"].iter().any(|end| path.ends_with(end))
        || path.rsplit('/').nth(1) == Some("label");
    if path.ends_with("/query") || path.ends_with("/query_range") || path.contains("/index/volume")
    {
        let tolerance = tolerance(ROUNDING.relative, ROUNDING.absolute);
        return query(expected, got, tolerance, options["ordered"] == true);
    }
    if is_labels && !path.contains("detected_field") {
        equal(&expected["status"], &got["status"], "status")?;
        return equal(&list(&expected["data"]), &list(&got["data"]), "data");
    }
    if path.ends_with("/series") {
        let sorted = |body: &Value| {
            let mut rows: Vec<String> = rows(&body["data"]).map(canonical).collect();
            rows.sort();
            Value::from(rows)
        };
        equal(&sorted(expected), &sorted(got), "series")?;
        return equal(&expected["status"], &got["status"], "status");
    }
    if path.ends_with("/index/stats") {
        equal(&expected["streams"], &got["streams"], "streams")?;
        let some = Tolerance { relative: 0.02, absolute: 1e-12 };
        within(&expected["entries"], &got["entries"], some, "entries")?;
        return within(&expected["bytes"], &got["bytes"], tolerance(0.1, 4096.0), "bytes");
    }
    if path.ends_with("/detected_fields") {
        named(&expected["fields"], &got["fields"])?;
        return equal(&expected["limit"], &got["limit"], "limit");
    }
    if path.ends_with("/detected_labels") {
        return named(&expected["detectedLabels"], &got["detectedLabels"]);
    }
    if path.contains("/detected_field/") {
        let sorted = |body: &Value| {
            let mut rows: Vec<String> = rows(&body["values"]).map(canonical).collect();
            rows.sort();
            Value::from(rows)
        };
        equal(&sorted(expected), &sorted(got), "values")?;
        return equal(&expected["limit"], &got["limit"], "limit");
    }
    equal(expected, got, "$")
}

fn query(expected: &Value, got: &Value, tolerance: Tolerance, is_ordered: bool) -> Outcome {
    equal(&expected["status"], &got["status"], "status")?;
    let (expected, got) = (&expected["data"], &got["data"]);
    equal(&expected["resultType"], &got["resultType"], "resultType")?;
    let flags = |data: &Value| {
        let mut flags: Vec<String> = rows(&data["encodingFlags"]).map(canonical).collect();
        flags.sort();
        Value::from(flags)
    };
    equal(&flags(expected), &flags(got), "encodingFlags")?;
    let (one, other) = (&expected["result"], &got["result"]);
    match expected["resultType"].as_str() {
        Some("streams") => streams(one, other),
        Some("matrix") => matrix(one, other, tolerance),
        Some("vector") => vector(one, other, tolerance, is_ordered),
        Some("scalar") => sample(one, other, tolerance, "scalar"),
        _ => equal(one, other, "result"),
    }
}

fn streams(expected: &Value, got: &Value) -> Outcome {
    let (expected, got) = (grouped(expected, "stream"), grouped(got, "stream"));
    same_keys(&expected, &got)?;
    for (labels, streams) in &expected {
        let entries = |streams: &[&Value]| {
            let values = streams.iter().flat_map(|stream| rows(&stream["values"]));
            in_order(values.cloned().collect())
        };
        let (one, other) = (entries(streams), entries(&got[labels]));
        if let Some((one, other)) = one.iter().zip(&other).find(|(one, other)| one != other) {
            return Err(format!("{labels}: {} expected, got {}", shown(one), shown(other)));
        }
        if one.len() != other.len() {
            return Err(format!("{labels}: {} entries expected, got {}", one.len(), other.len()));
        }
    }
    Ok(())
}

/// Entries with those of one time in an order of their own.
fn in_order(mut entries: Vec<Value>) -> Vec<Value> {
    for run in entries.chunk_by_mut(|one, other| one[0] == other[0]) {
        run.sort_by_key(canonical);
    }
    entries
}

fn matrix(expected: &Value, got: &Value, tolerance: Tolerance) -> Outcome {
    let (expected, got) = (grouped(expected, "metric"), grouped(got, "metric"));
    same_keys(&expected, &got)?;
    for (labels, series) in &expected {
        let others = &got[labels];
        if series.len() != others.len() {
            let counts = (series.len(), others.len());
            return Err(format!("{labels}: {} times expected, got {}", counts.0, counts.1));
        }
        let time = |sample: &Value| number(&sample[0]).unwrap_or(f64::NAN);
        let samples = |series: &[&Value]| {
            let samples = series.iter().flat_map(|one| rows(&one["values"]));
            let mut samples: Vec<Value> = samples.cloned().collect();
            let is_sorted = samples.is_sorted_by(|one, other| time(one) <= time(other));
            samples.sort_by(|one, other| time(one).total_cmp(&time(other)));
            (samples, is_sorted)
        };
        let ((one, _), (other, is_sorted)) = (samples(series), samples(others));
        if series.len() == 1 && !is_sorted {
            return Err(format!("{labels}: samples are not in the order of time"));
        }
        for (one, other) in one.iter().zip(&other) {
            sample(one, other, tolerance, labels)?;
        }
        if one.len() != other.len() {
            return Err(format!("{labels}: {} samples expected, got {}", one.len(), other.len()));
        }
    }
    Ok(())
}

fn vector(expected: &Value, got: &Value, tolerance: Tolerance, is_ordered: bool) -> Outcome {
    if is_ordered {
        let (expected, got): (Vec<_>, Vec<_>) = (rows(expected).collect(), rows(got).collect());
        if expected.len() != got.len() {
            return Err(format!("{} samples expected, got {}", expected.len(), got.len()));
        }
        for (one, other) in expected.iter().zip(&got) {
            sample(&one["value"], &other["value"], tolerance, "in order")?;
        }
    }
    let (expected, got) = (grouped(expected, "metric"), grouped(got, "metric"));
    same_keys(&expected, &got)?;
    for (labels, samples) in &expected {
        let others = &got[labels];
        if samples.len() != others.len() {
            let counts = (samples.len(), others.len());
            return Err(format!("{labels}: {} times expected, got {}", counts.0, counts.1));
        }
        let by_value = |samples: &[&Value]| {
            let mut values: Vec<Value> = samples.iter().map(|one| one["value"].clone()).collect();
            let key = |value: &Value| number(&value[1]).unwrap_or(f64::NAN);
            values.sort_by(|one, other| key(one).total_cmp(&key(other)));
            values
        };
        for (one, other) in by_value(samples).iter().zip(&by_value(others)) {
            sample(one, other, tolerance, labels)?;
        }
    }
    Ok(())
}

fn sample(expected: &Value, got: &Value, tolerance: Tolerance, what: &str) -> Outcome {
    let instant = Tolerance { relative: 0.0, absolute: 1e-4 };
    let is_close =
        is_close(&expected[0], &got[0], instant) && is_close(&expected[1], &got[1], tolerance);
    if is_close {
        return Ok(());
    }
    Err(format!("{what}: {} expected, got {}", shown(expected), shown(got)))
}

/// Objects with a `label`, in any order; cardinalities are estimates.
fn named(expected: &Value, got: &Value) -> Outcome {
    let by_label = |list: &Value| -> BTreeMap<String, Value> {
        rows(list).map(|row| (canonical(&row["label"]), row.clone())).collect()
    };
    let (expected, got) = (by_label(expected), by_label(got));
    same_keys(&expected, &got)?;
    for (label, one) in &expected {
        let estimate = Tolerance { relative: 0.05, absolute: 0.0 };
        within(&one["cardinality"], &got[label]["cardinality"], estimate, label)?;
        let rest = |row: &Value| {
            let mut row = row.clone();
            if let Some(row) = row.as_object_mut() {
                row.remove("cardinality");
                if let Some(parsers) = row.get_mut("parsers").and_then(Value::as_array_mut) {
                    parsers.sort_by_key(canonical);
                }
            }
            row
        };
        equal(&rest(one), &rest(&got[label]), label)?;
    }
    Ok(())
}

/// Streams or series by their labels.
fn grouped<'a>(result: &'a Value, what: &str) -> BTreeMap<String, Vec<&'a Value>> {
    let mut grouped: BTreeMap<String, Vec<&Value>> = BTreeMap::new();
    for row in rows(result) {
        let labels = if row[what].is_null() { "{}".to_owned() } else { canonical(&row[what]) };
        grouped.entry(labels).or_default().push(row);
    }
    grouped
}

fn same_keys<T>(expected: &BTreeMap<String, T>, got: &BTreeMap<String, T>) -> Outcome {
    let missing: Vec<&String> = expected.keys().filter(|key| !got.contains_key(*key)).collect();
    let more: Vec<&String> = got.keys().filter(|key| !expected.contains_key(*key)).collect();
    if missing.is_empty() && more.is_empty() {
        return Ok(());
    }
    let first = |keys: &[&String]| keys.first().map(|key| short(key)).unwrap_or_default();
    let (lacking, told) = (first(&missing), first(&more));
    Err(format!("{} missing ({lacking}), {} not expected ({told})", missing.len(), more.len()))
}

fn within(expected: &Value, got: &Value, tolerance: Tolerance, what: &str) -> Outcome {
    if is_close(expected, got, tolerance) || (expected.is_null() && got.is_null()) {
        return Ok(());
    }
    Err(format!("{what}: {expected} expected, got {got}"))
}

/// Equal, but for the rounding of numbers.
fn equal(expected: &Value, got: &Value, what: &str) -> Outcome {
    let is_equal = match (expected, got) {
        (Value::Object(one), Value::Object(other)) => {
            let (lacking, more) = (
                one.keys().find(|key| !other.contains_key(*key)),
                other.keys().find(|key| !one.contains_key(*key)),
            );
            if let Some(key) = lacking.or(more) {
                return Err(format!("{what}.{key} is on one side only"));
            }
            for (key, value) in one {
                equal(value, &other[key], &format!("{what}.{key}"))?;
            }
            true
        }
        (Value::Array(one), Value::Array(other)) if one.len() == other.len() => {
            for (at, (one, other)) in one.iter().zip(other).enumerate() {
                equal(one, other, &format!("{what}[{at}]"))?;
            }
            true
        }
        (Value::Number(_), Value::Number(_)) => is_close(expected, got, ROUNDING),
        _ => expected == got,
    };
    if is_equal {
        return Ok(());
    }
    Err(format!("{what}: {} expected, got {}", shown(expected), shown(got)))
}

fn is_close(expected: &Value, got: &Value, tolerance: Tolerance) -> bool {
    let (Some(one), Some(other)) = (number(expected), number(got)) else { return expected == got };
    if !one.is_finite() || !other.is_finite() {
        return one == other || (one.is_nan() && other.is_nan());
    }
    let allowed = (tolerance.relative * one.abs().max(other.abs())).max(tolerance.absolute);
    (one - other).abs() <= allowed
}

fn number(value: &Value) -> Option<f64> {
    match value {
        Value::Number(number) => number.as_f64(),
        Value::String(text) => text.parse().ok(),
        _ => None,
    }
}

fn rows(value: &Value) -> impl Iterator<Item = &Value> {
    value.as_array().into_iter().flatten()
}

/// No list is an empty one.
fn list(value: &Value) -> Value {
    if value.is_null() { Value::Array(Vec::new()) } else { value.clone() }
}

/// A text that equal values share, whatever the order of their keys.
fn canonical(value: &Value) -> String {
    match value {
        Value::Object(map) => {
            let sorted: BTreeMap<&String, String> =
                map.iter().map(|(key, value)| (key, canonical(value))).collect();
            format!("{sorted:?}")
        }
        Value::Array(list) => format!("{:?}", list.iter().map(canonical).collect::<Vec<_>>()),
        value => value.to_string(),
    }
}

fn shown(value: &Value) -> String {
    short(&value.to_string())
}

fn short(text: &str) -> String {
    text.chars().take(300).collect()
}
