use proptest::prelude::*;

use super::*;
use crate::varint;

const RECEIVED: Timestamp = Timestamp(77);

/// One text for a whole push: a line for every entry, labels and metadata first.
fn shown(push: Result<Push<'_>, PushError>) -> Result<Vec<String>, String> {
    let push = push.map_err(|error| error.to_string())?;
    let mut all = Vec::new();
    for stream in &push.streams {
        let PushLabels::Pairs(labels) = &stream.labels else { panic!("OTLP labels are pairs") };
        for entry in &stream.entries {
            let own = entry.metadata.iter().map(|(n, v)| format!("{n}={v}"));
            let shared = entry.shared.iter().flat_map(|shared| shared.iter());
            let shared = shared.map(|(n, v)| format!("{n}={v}"));
            let metadata: Vec<String> = own.chain(shared).collect();
            let line = String::from_utf8_lossy(&entry.line);
            all.push(format!("{labels} {} {} | {line}", entry.timestamp.0, metadata.join(",")));
        }
    }
    Ok(all)
}

fn check_json(config: &OtlpConfig, body: &str, expected: &[&str]) {
    let actual = shown(decode_json(body.as_bytes(), config, RECEIVED));
    let expected: Vec<String> = expected.iter().map(|text| (*text).to_owned()).collect();
    assert_eq!(actual, Ok(expected), "{body}");
}

const FULL: &str = r#"{"resourceLogs":[{"scopeLogs":[{"scope":{"name":"lib","version":"1.2","attributes":[{"key":"sc","value":{"boolValue":true}}],"droppedAttributesCount":2},
    "logRecords":[{"timeUnixNano":"1755900000000000000","observedTimeUnixNano":"1755900000000000001","severityNumber":"SEVERITY_NUMBER_WARN2","severityText":"warn","body":{"stringValue":"hi"},
      "attributes":[{"key":"http.code","value":{"intValue":"200"}},{"key":"m","value":{"kvlistValue":{"values":[{"key":"x.y","value":{"doubleValue":1.5}}]}}},{"key":"event_name","value":{"stringValue":"lost"}}],
      "droppedAttributesCount":1,"flags":1,"traceId":"0102030405060708090a0b0c0d0e0f10","spanId":"","eventName":"ev"}]}],
    "resource":{"attributes":[{"key":"service.name","value":{"stringValue":"shop"}},{"key":"host.name","value":{"stringValue":"h1"}}]}}]}"#;

#[test]
fn a_full_record() {
    check_json(
        &OtlpConfig::default(),
        FULL,
        &[
            "{service_name=\"shop\"} 1755900000000000000 http_code=200,m_x_y=1.5,observed_timestamp=1755900000000000001,severity_number=14,severity_text=warn,dropped_attributes_count=1,flags=1,trace_id=0102030405060708090a0b0c0d0e0f10,event_name=ev,host_name=h1,sc=true,scope_name=lib,scope_version=1.2,scope_dropped_attributes_count=2 | hi",
        ],
    );
}

#[test]
fn rules_decide_about_attributes() {
    let rule = |action, names: &[&str]| AttributeRule {
        action,
        select: AttributeSelect::Names(names.iter().map(|name| (*name).to_owned()).collect()),
    };
    let config = OtlpConfig {
        resource_attributes: vec![
            rule(AttributeAction::Drop, &["service.name"]),
            AttributeRule {
                action: AttributeAction::IndexLabel,
                select: AttributeSelect::Pattern(Pattern::anchored("host.*").unwrap()),
            },
        ],
        scope_attributes: vec![rule(AttributeAction::Drop, &["sc"])],
        log_attributes: vec![
            rule(AttributeAction::IndexLabel, &["http.code"]),
            rule(AttributeAction::Drop, &["m"]),
        ],
        severity_text_as_label: true,
        discover_service_name: vec![],
    };
    check_json(
        &config,
        FULL,
        &[
            "{host_name=\"h1\", http_code=\"200\", severity_text=\"warn\"} 1755900000000000000 observed_timestamp=1755900000000000001,severity_number=14,severity_text=warn,dropped_attributes_count=1,flags=1,trace_id=0102030405060708090a0b0c0d0e0f10,event_name=ev,scope_name=lib,scope_version=1.2,scope_dropped_attributes_count=2 | hi",
        ],
    );
}

#[test]
fn the_service_is_discovered() {
    let config =
        OtlpConfig { discover_service_name: vec!["k8s_job_name".into()], ..OtlpConfig::default() };
    let body = |attribute: &str| {
        format!(
            r#"{{"resourceLogs":[{{"resource":{{"attributes":[{{"key":"{attribute}","value":{{"stringValue":"x"}}}}]}},"scopeLogs":[{{"logRecords":[{{}}]}}]}}]}}"#
        )
    };
    check_json(
        &config,
        &body("k8s.job.name"),
        &["{k8s_job_name=\"x\", service_name=\"x\"} 77  | "],
    );
    check_json(&config, &body("host"), &["{service_name=\"unknown_service\"} 77 host=x | "]);
    check_json(&OtlpConfig::default(), &body("host"), &["{} 77 host=x | "]);
}

#[test]
fn refusals() {
    let check = |body: &str, expected: &str| {
        let actual = shown(decode_json(body.as_bytes(), &OtlpConfig::default(), RECEIVED));
        assert!(actual.clone().unwrap_err().contains(expected), "{body}: {actual:?}");
    };
    let record = |fields: &str| {
        format!(r#"{{"resourceLogs":[{{"scopeLogs":[{{"logRecords":[{{{fields}}}]}}]}}]}}"#)
    };
    check("{}", "at least one valid stream");
    check("[]", "invalid JSON at byte 0: expected an object");
    check(&record(r#""traceId":"01""#), "an identifier of the right length");
    check(&record(r#""timeUnixNano":"x""#), "a number in range");
    check(&record(r#""attributes":[{"key":"...","value":{}}]"#), "normalization for label name");
    let deep = format!("{}{}", r#"{"arrayValue":{"values":["#.repeat(70), "]}}".repeat(70));
    check(&record(&format!("\"body\":{deep}")), "nested deeper than 64");
}

/// Writes a length-delimited field.
fn field(number: u64, bytes: &[u8]) -> Vec<u8> {
    let mut out = Vec::new();
    varint::put(&mut out, number << 3 | 2);
    varint::put(&mut out, bytes.len() as u64);
    out.extend_from_slice(bytes);
    out
}

fn attribute(number: u64, key: &str, value: &str) -> Vec<u8> {
    let value = field(1, value.as_bytes());
    field(number, &[field(1, key.as_bytes()), field(2, &value)].concat())
}

#[test]
fn protobuf_and_json_read_alike() {
    let mut record = vec![9];
    record.extend_from_slice(&1_755_900_000_000_000_000u64.to_le_bytes());
    record.extend_from_slice(&[0x10, 17, 0x45, 1, 0, 0, 0]);
    record.extend(field(5, &field(1, b"body \xff")));
    record.extend(attribute(6, "a.b", "c"));
    record.extend(field(9, &[1; 16]));
    record.extend(field(10, &[2; 8]));
    let scope = [field(1, &field(1, b"lib")), field(2, &record)].concat();
    let resource = field(1, &attribute(1, "service.name", "shop"));
    let body = field(1, &[field(2, &scope), resource].concat());
    let actual = shown(decode_protobuf(&body, &OtlpConfig::default(), RECEIVED)).unwrap();
    assert_eq!(
        actual,
        [
            "{service_name=\"shop\"} 1755900000000000000 a_b=c,severity_number=17,flags=1,trace_id=01010101010101010101010101010101,span_id=0202020202020202,scope_name=lib | body \u{fffd}"
        ]
    );
    assert_eq!(decode_protobuf(b"", &OtlpConfig::default(), RECEIVED), Err(PushError::Empty));
}

proptest! {
    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..120), text in "\\{\"resourceLogs\":\\[\\{\"(scopeLogs|resource)\":[\\[\\]{}\",:0-9a-f\\\\ ]{0,40}") {
        let config = OtlpConfig::default();
        let _ = decode_protobuf(&bytes, &config, RECEIVED);
        let _ = decode_protobuf(&field(1, &field(2, &field(2, &bytes))), &config, RECEIVED);
        let _ = decode_json(&bytes, &config, RECEIVED);
        let _ = decode_json(text.as_bytes(), &config, RECEIVED);
    }

    #[test]
    fn records_come_back(records in prop::collection::vec((1u64..i64::MAX as u64, ".{0,20}", "[a-z]{1,5}", ".{0,9}"), 1..6)) {
        let json: Vec<serde_json::Value> = records.iter().map(|(time, line, name, value)| serde_json::json!({
            "timeUnixNano": time.to_string(),
            "body": {"stringValue": line},
            "attributes": [{"key": name, "value": {"stringValue": value}}],
        })).collect();
        let body = serde_json::json!({"resourceLogs": [{"scopeLogs": [{"logRecords": json}]}]}).to_string();
        let push = decode_json(body.as_bytes(), &OtlpConfig::default(), RECEIVED).unwrap();
        for (entry, (time, line, name, value)) in push.streams[0].entries.iter().zip(&records) {
            prop_assert_eq!(entry.timestamp.0 as u64, *time);
            prop_assert_eq!(&entry.line[..], line.as_bytes());
            prop_assert_eq!((&*entry.metadata[0].0, &*entry.metadata[0].1), (name.as_str(), value.as_str()));
        }
    }
}
