//! What etcd's JSON gateway answers. Whole numbers of 64 bits arrive as strings.

use serde::{Deserialize, Deserializer};

/// A line longer than this is no answer to our questions.
const LINE_BYTES_MAX: usize = 16 << 20;

/// The answer to `kv/range`.
#[derive(Debug, Deserialize)]
pub(super) struct Range {
    pub(super) header: Header,
    #[serde(default)]
    pub(super) kvs: Vec<KeyValue>,
}

#[derive(Debug, Deserialize)]
pub(super) struct Header {
    #[serde(default, deserialize_with = "number")]
    pub(super) revision: i64,
}

/// Key and value, both in base64.
#[derive(Debug, Default, Deserialize)]
pub(super) struct KeyValue {
    #[serde(default)]
    pub(super) key: String,
    #[serde(default)]
    pub(super) value: String,
}

/// The answer to `auth/authenticate`.
#[derive(Debug, Deserialize)]
pub(super) struct Login {
    pub(super) token: String,
}

/// The answer to `lease/grant`.
#[derive(Debug, Deserialize)]
pub(super) struct Granted {
    #[serde(rename = "ID")]
    pub(super) id: String,
}

/// The answer to `lease/keepalive`.
#[derive(Debug, Deserialize)]
pub(super) struct Kept {
    #[serde(default)]
    result: KeptResult,
}

#[derive(Debug, Default, Deserialize)]
struct KeptResult {
    #[serde(default, rename = "TTL", deserialize_with = "number")]
    ttl: i64,
}

impl Kept {
    /// An expired lease is answered without a time to live.
    pub(super) fn is_alive(&self) -> bool {
        self.result.ttl > 0
    }
}

/// One change of a key.
#[derive(Debug)]
pub(super) struct Event {
    pub(super) is_delete: bool,
    pub(super) pair: KeyValue,
}

#[derive(Debug, Deserialize)]
struct WatchLine {
    #[serde(default)]
    result: WatchResult,
    error: Option<serde_json::Value>,
}

#[derive(Debug, Default, Deserialize)]
struct WatchResult {
    #[serde(default)]
    canceled: bool,
    #[serde(default)]
    cancel_reason: String,
    #[serde(default)]
    events: Vec<WatchEvent>,
}

#[derive(Debug, Deserialize)]
struct WatchEvent {
    /// Left out for a put, which is the first of the kinds.
    #[serde(default, rename = "type")]
    kind: String,
    kv: KeyValue,
}

/// The lines of a watch, of which each chunk may hold a part.
#[derive(Debug, Default)]
pub(super) struct Lines {
    rest: Vec<u8>,
}

impl Lines {
    /// The events of the lines that `chunk` completes.
    ///
    /// # Errors
    ///
    /// Says why the watch has ended: list again and watch anew.
    pub(super) fn events(&mut self, chunk: &[u8]) -> Result<Vec<Event>, String> {
        self.rest.extend(chunk);
        let mut events = Vec::new();
        let Some(end) = self.rest.iter().rposition(|byte| *byte == b'\n') else {
            return match self.rest.len() > LINE_BYTES_MAX {
                true => Err("a line of the watch is too long".to_owned()),
                false => Ok(events),
            };
        };
        let after = self.rest.split_off(end + 1);
        let lines = std::mem::replace(&mut self.rest, after);
        for line in lines.split(|byte| *byte == b'\n').filter(|line| !line.is_empty()) {
            let line: WatchLine =
                serde_json::from_slice(line).map_err(|error| format!("watch: {error}"))?;
            if let Some(error) = line.error {
                return Err(format!("watch: {error}"));
            }
            if line.result.canceled {
                return Err(format!("watch was cancelled: {}", line.result.cancel_reason));
            }
            events.extend(
                line.result
                    .events
                    .into_iter()
                    .map(|event| Event { is_delete: event.kind == "DELETE", pair: event.kv }),
            );
        }
        Ok(events)
    }
}

/// A number that is a string in the answers of a gateway, and a number in those of some proxies.
fn number<'de, D: Deserializer<'de>>(deserializer: D) -> Result<i64, D::Error> {
    #[derive(Deserialize)]
    #[serde(untagged)]
    enum Either {
        Text(String),
        Number(i64),
    }
    match Either::deserialize(deserializer)? {
        Either::Text(text) => text.parse().map_err(serde::de::Error::custom),
        Either::Number(number) => Ok(number),
    }
}
