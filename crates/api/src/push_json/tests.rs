use proptest::prelude::*;

use super::*;

/// One text for a whole push.
fn shown(push: Result<Push<'_>, PushError>) -> Result<String, String> {
    let push = push.map_err(|error| error.to_string())?;
    let mut out = String::new();
    for stream in &push.streams {
        let labels = match &stream.labels {
            PushLabels::Text(text) => text,
            PushLabels::Pairs(labels) => labels.canonical(),
        };
        out.push_str(labels);
        for entry in &stream.entries {
            let line = String::from_utf8_lossy(&entry.line);
            out.push_str(&format!(" {}:{line}", entry.timestamp.0));
            for (name, value) in &entry.metadata {
                out.push_str(&format!(",{name}={value}"));
            }
        }
        out.push('\n');
    }
    Ok(out)
}

fn check(body: &str, expected: Result<&str, &str>) {
    let expected = expected.map(str::to_owned).map_err(str::to_owned);
    assert_eq!(shown(decode(body.as_bytes())), expected, "{body}");
}

#[test]
fn bodies_in_todays_shape() {
    check(
        r#"{"streams":[{"stream":{"b":"2","a":"1"},"values":[["17","plain"],["18","x\ny",{"t":"4","u":"7"}]]}]}"#,
        Ok("{a=\"1\", b=\"2\"} 17:plain 18:x\ny,t=4,u=7\n"),
    );
    check(r#"{"other":{"a":[]},"STREAMS":[{"values":[],"more":2}]} trailing"#, Ok("{}\n"));
    check(r#"{"streams":[{}]}"#, Ok("{}\n"));
    check(r#"{"streams":null}"#, Ok(""));
    check("null", Ok(""));
    check(
        r#"{"streams":[{"stream":{"a":5,"b":null,"c":true},"values":null}]}"#,
        Ok("{a=\"5\", b=\"null\", c=\"true\"}\n"),
    );
    check(r#"{"streams":[{"values":[null,["7"],["-8","x",{},"more",5]]}]}"#, Ok("{} 7: -8:x\n"));
    check(r#"{"streams":[{"values":[[]]}]}"#, Ok("{} -9223372036854775808:\n"));
}

#[test]
fn refusals_carry_an_excerpt() {
    let stream = |words: &str, near: &str, around: &str| {
        format!(
            "loghttp.PushRequest.Streams: []loghttp.LogProtoStream: unmarshalerDecoder: {words}, error found in #10 byte of ...|{near}|..., bigger context ...|{around}|..."
        )
    };
    let check_stream = |body: &str, words: &str, near: &str, around: &str| {
        check(body, Err(&stream(words, near, around)));
    };
    check(
        "[]",
        Err(
            "readObjectStart: expect { or n, but found [, error found in #1 byte of ...|[]|..., bigger context ...|[]|...",
        ),
    );
    check(
        "\"x\"",
        Err(
            "readObjectStart: expect { or n, but found \", error found in #1 byte of ...|\"x\"|..., bigger context ...|\"x\"|...",
        ),
    );
    check(
        r#"{"streams":"x"}"#,
        Err(
            r#"loghttp.PushRequest.Streams: []loghttp.LogProtoStream: decode slice: expect [ or n, but found ", error found in #10 byte of ...|streams":"x"}|..., bigger context ...|{"streams":"x"}|..."#,
        ),
    );
    check_stream(
        r#"{"streams":[{"stream":{"job":"rej"},"values":[["1794996060000000000","x","y"]]}]}"#,
        BAD_OBJECT,
        r#""x","y"]]}]}"#,
        r#""rej"},"values":[["1794996060000000000","x","y"]]}]}"#,
    );
    check_stream(
        r#"{"streams":[{"stream":{"job":"rej"},"values":[["1794996060000000000","x",{"a":1}]]}]}"#,
        BAD_STRING,
        r#"{"a":1}]]}]}"#,
        r#""},"values":[["1794996060000000000","x",{"a":1}]]}]}"#,
    );
    check_stream(
        r#"{"streams":[{"stream":{"job":"rej"},"values":[[null,"x"]]}]}"#,
        BAD_VALUE,
        r#"ull,"x"]]}]}"#,
        r#"s":[{"stream":{"job":"rej"},"values":[[null,"x"]]}]}"#,
    );
    check_stream(
        r#"{"streams":[{"stream":"{job=\"rej\"}","values":[["1794996060000000000","x"]]}]}"#,
        BAD_OBJECT,
        r#"00","x"]]}]}"#,
        r#"=\"rej\"}","values":[["1794996060000000000","x"]]}]}"#,
    );
}

#[test]
fn what_else_is_refused() {
    let words = |body: &str, expected: &str| {
        let actual = shown(decode(body.as_bytes())).unwrap_err();
        assert!(actual.contains(expected), "{body}: {actual}");
    };
    let values =
        |values: &str| format!(r#"{{"streams":[{{"stream":{{"a":"b"}},"values":{values}}}]}}"#);
    words(&values(r#"[["1.5","x"]]"#), BAD_VALUE);
    words(&values(r#"[["+5","x"]]"#), BAD_VALUE);
    words(&values(r#"[["99999999999999999999"]]"#), OVERFLOW);
    words(&values(r#"[[5,"x"]]"#), BAD_VALUE);
    words(&values(r#"[["5",7]]"#), BAD_STRING);
    words(&values(r#"[["5","\ud800"]]"#), BAD_VALUE);
    words(&values(r#"{"5":"x"}"#), BAD_ARRAY);
    words(&values(r#"["5"]"#), BAD_ARRAY);
    words(&values(r#"[["5","x""#), "error found in");
    words("", "readObjectStart: expect { or n, but found \0");
    words(r#"{"streams":[null]}"#, BAD_OBJECT);
    check(
        r#"{"streams":[{"stream":{"ключ":"c"},"values":[]}]}"#,
        Err("couldn't parse labels: 1:2: parse error: unexpected character inside braces: 'к'"),
    );
}

#[test]
fn legacy_bodies() {
    let check = |body: &str, expected: Result<&str, &str>| {
        let actual = shown(decode_legacy(body.as_bytes()));
        match expected {
            Ok(text) => assert_eq!(actual.as_deref(), Ok(text), "{body}"),
            Err(words) => assert!(actual.as_ref().unwrap_err().contains(words), "{actual:?}"),
        }
    };
    check(
        r#"{"streams":[{"Labels":"{job=\"rej\"}","entries":[{"ts":"2026-11-18T10:00:00.000000001Z","LINE":"x","structuredMetadata":{"k":"v"},"more":[]}]}]}"#,
        Ok("{job=\"rej\"} 1794996000000000001:x,k=v\n"),
    );
    check(r#"{"streams":[{"labels":"{}","entries":null},null]}"#, Ok("{}\n\n"));
    check(
        r#"{"streams":[{"entries":[{"ts":null,"line":null},null]}]}"#,
        Ok(" -9223372036854775808: -9223372036854775808:\n"),
    );
    check(r#"{"streams":[{"entries":[{"ts":"yesterday"}]}]}"#, Err("parsing time \"yesterday\""));
    check(r#"{"streams":[{"entries":[{"ts":5}]}]}"#, Err("expected a string"));
    check(r#"{"streams":[{"labels":"{a=\"1}"}]}"#, Err("couldn't parse labels"));
}

proptest! {
    #[test]
    fn entries_come_back(entries in prop::collection::vec((any::<i64>(), ".{0,30}", prop::collection::vec((".{0,5}", ".{0,5}"), 0..3)), 0..6)) {
        let values: Vec<serde_json::Value> = entries
            .iter()
            .map(|(nanos, line, metadata)| {
                let metadata: serde_json::Map<String, serde_json::Value> =
                    metadata.iter().map(|(n, v)| (n.clone(), v.clone().into())).collect();
                serde_json::json!([nanos.to_string(), line, metadata])
            })
            .collect();
        let body = serde_json::json!({"streams": [{"stream": {"a": "b"}, "values": values}]}).to_string();
        let push = decode(body.as_bytes()).unwrap();
        prop_assert_eq!(push.streams[0].entries.len(), entries.len());
        for (entry, (nanos, line, _)) in push.streams[0].entries.iter().zip(&entries) {
            prop_assert_eq!(entry.timestamp.0, *nanos);
            prop_assert_eq!(&entry.line[..], line.as_bytes());
        }
    }

    #[test]
    fn arbitrary_bytes_never_panic(bytes in prop::collection::vec(any::<u8>(), 0..80), text in "\\{\"streams\":\\[\\{\"(stream|values|labels|entries)\":[\\[\\]{}\",:0-9a-f\\\\ ]{0,40}") {
        for body in [&bytes[..], text.as_bytes()] {
            let _ = decode(body);
            let _ = decode_legacy(body);
        }
    }
}
