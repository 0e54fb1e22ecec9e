//! The types that a configuration key can have, and how each reads and prints its value.
//!
//! A value arrives as a YAML node or as the text of a flag; both become a JSON value first, so that
//! every type is read in one place. Numbers and booleans may be given as text, as flags always are.

use std::collections::BTreeMap;
use std::time::Duration;

use model::units::{
    format_config_bytes, format_prometheus_duration, parse_config_bytes, parse_config_duration,
};
use serde::Serialize;
use serde::de::DeserializeOwned;
use serde_json::Value;

/// A type of configuration value.
pub trait Setting: Sized {
    /// What the value looks like, for help texts: `duration`, `size`, `list`, …
    const SHAPE: &'static str;

    /// Reads a value.
    ///
    /// # Errors
    ///
    /// What is wrong and how to write it, to be shown behind the key's name.
    fn read(value: &Value) -> Result<Self, String>;

    /// The value as a configuration file would hold it.
    fn print(&self) -> Value;
}

/// A number of bytes, written like `256KB` (powers of 1024).
#[derive(Debug, Clone, Copy, PartialEq, Eq, PartialOrd, Ord, Default)]
pub struct ByteSize(pub u64);

/// A value with its own shape (a map or a list of maps), read by serde and refused as a whole when
/// one of its keys is unknown.
#[derive(Debug, Clone, PartialEq, Default)]
pub struct Structured<T>(pub T);

/// The text of a scalar, or why the node is none.
fn scalar(value: &Value, shape: &str) -> Result<String, String> {
    match value {
        Value::String(text) => Ok(text.trim().to_owned()),
        Value::Number(number) => Ok(number.to_string()),
        Value::Bool(flag) => Ok(flag.to_string()),
        Value::Null => Ok(String::new()),
        Value::Array(_) | Value::Object(_) => Err(format!("expected a {shape}, found {value}")),
    }
}

impl Setting for bool {
    const SHAPE: &'static str = "boolean";

    fn read(value: &Value) -> Result<Self, String> {
        match scalar(value, Self::SHAPE)?.to_ascii_lowercase().as_str() {
            "true" | "t" | "1" | "yes" | "on" => Ok(true),
            "false" | "f" | "0" | "no" | "off" => Ok(false),
            other => Err(format!("{other:?} is neither true nor false")),
        }
    }

    fn print(&self) -> Value {
        Value::Bool(*self)
    }
}

macro_rules! number_settings {
    ($($type:ty),*) => {$(
        impl Setting for $type {
            const SHAPE: &'static str = "number";

            fn read(value: &Value) -> Result<Self, String> {
                let text = scalar(value, Self::SHAPE)?;
                text.parse().map_err(|_| {
                    format!("{text:?} is not a number between {} and {}", Self::MIN, Self::MAX)
                })
            }

            fn print(&self) -> Value {
                Value::from(*self)
            }
        }
    )*};
}

number_settings!(u16, u32, u64, usize, i64);

impl Setting for f64 {
    const SHAPE: &'static str = "number";

    fn read(value: &Value) -> Result<Self, String> {
        let text = scalar(value, Self::SHAPE)?;
        match text.parse::<f64>() {
            Ok(number) if number.is_finite() => Ok(number),
            _ => Err(format!("{text:?} is not a number")),
        }
    }

    fn print(&self) -> Value {
        Value::from(*self)
    }
}

impl Setting for String {
    const SHAPE: &'static str = "text";

    fn read(value: &Value) -> Result<Self, String> {
        scalar(value, Self::SHAPE)
    }

    fn print(&self) -> Value {
        Value::String(self.clone())
    }
}

impl Setting for Duration {
    const SHAPE: &'static str = "duration";

    fn read(value: &Value) -> Result<Self, String> {
        let text = scalar(value, Self::SHAPE)?;
        // Loki writes "no limit" as 0 or as a negative duration in a few keys.
        if text.is_empty() || text == "0" || text.starts_with('-') {
            return Ok(Self::ZERO);
        }
        parse_config_duration(&text).map_err(|error| error.to_string())
    }

    fn print(&self) -> Value {
        Value::String(format_prometheus_duration(*self))
    }
}

impl Setting for ByteSize {
    const SHAPE: &'static str = "size";

    fn read(value: &Value) -> Result<Self, String> {
        let text = scalar(value, Self::SHAPE)?;
        if text.is_empty() {
            return Ok(Self(0));
        }
        parse_config_bytes(&text).map(Self).map_err(|error| error.to_string())
    }

    fn print(&self) -> Value {
        Value::String(format_config_bytes(self.0))
    }
}

impl Setting for Vec<String> {
    const SHAPE: &'static str = "list";

    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::Array(items) => items.iter().map(|item| scalar(item, "text")).collect(),
            Value::Null => Ok(Self::new()),
            other => Ok(scalar(other, Self::SHAPE)?
                .split(',')
                .map(str::trim)
                .filter(|part| !part.is_empty())
                .map(str::to_owned)
                .collect()),
        }
    }

    fn print(&self) -> Value {
        Value::Array(self.iter().cloned().map(Value::String).collect())
    }
}

impl Setting for BTreeMap<String, Vec<String>> {
    const SHAPE: &'static str = "map of lists";

    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::Null => Ok(Self::new()),
            Value::Object(map) => {
                map.iter().map(|(key, item)| Ok((key.clone(), Setting::read(item)?))).collect()
            }
            other => Err(format!("expected a map of lists, found {other}")),
        }
    }

    fn print(&self) -> Value {
        Value::Object(self.iter().map(|(key, list)| (key.clone(), list.print())).collect())
    }
}

impl<T: Serialize + DeserializeOwned + Default> Setting for Structured<T> {
    const SHAPE: &'static str = "block";

    fn read(value: &Value) -> Result<Self, String> {
        match value {
            Value::Null => Ok(Self(T::default())),
            // As a flag the block is given as YAML (JSON included).
            Value::String(text) if text.trim().is_empty() => Ok(Self(T::default())),
            Value::String(text) => {
                serde_saphyr::from_str(text).map(Self).map_err(|error| error.to_string())
            }
            other => {
                serde_json::from_value(other.clone()).map(Self).map_err(|error| error.to_string())
            }
        }
    }

    fn print(&self) -> Value {
        serde_json::to_value(&self.0).unwrap_or(Value::Null)
    }
}

#[cfg(test)]
mod tests {
    use serde_json::json;

    use super::*;

    #[test]
    fn scalars_read_from_yaml_and_from_text() {
        assert_eq!(bool::read(&json!("true")), Ok(true));
        assert_eq!(u16::read(&json!(3100)), Ok(3100));
        assert_eq!(u16::read(&json!("3100")), Ok(3100));
        assert!(u16::read(&json!(70_000)).is_err());
        assert_eq!(Duration::read(&json!("7d")), Ok(Duration::from_secs(604_800)));
        assert_eq!(Duration::read(&json!(0)), Ok(Duration::ZERO));
        assert_eq!(ByteSize::read(&json!("4MB")), Ok(ByteSize(4 << 20)));
        assert_eq!(ByteSize::read(&json!(17)), Ok(ByteSize(17)));
    }

    #[test]
    fn lists_read_from_yaml_and_from_text() {
        let expected = vec!["a".to_owned(), "b".to_owned()];
        assert_eq!(Vec::<String>::read(&json!(["a", "b"])), Ok(expected.clone()));
        assert_eq!(Vec::<String>::read(&json!("a, b")), Ok(expected));
        assert!(Vec::<String>::read(&json!({"a": 1})).is_err());
    }

    #[test]
    fn what_prints_reads_back() {
        let duration = Duration::from_millis(93_500);
        assert_eq!(Duration::read(&duration.print()), Ok(duration));
        let size = ByteSize(3 << 19);
        assert_eq!(ByteSize::read(&size.print()), Ok(size));
    }
}
