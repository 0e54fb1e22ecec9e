//! The values a template computes with.

use std::borrow::Cow;
use std::rc::Rc;

use super::go_time::Time;

/// A value. The variants that print alike (`Int` and `Int64`) are distinct Go types, which shows
/// in errors.
#[derive(Debug, Clone)]
pub(super) enum Value<'a> {
    /// No value at all.
    Missing,
    /// An interface that holds nothing.
    Nil,
    Bool(bool),
    Int(i64),
    Int64(i64),
    /// A byte of a text.
    Byte(u8),
    Float(f64),
    /// An imaginary constant.
    Imaginary(f64),
    Text(Cow<'a, [u8]>),
    Time(Time),
    /// Nanoseconds.
    Duration(i64),
    /// 1 to 12.
    Month(u8),
    /// 0 (Sunday) to 6.
    Weekday(u8),
    /// The row's labels.
    Labels,
    /// A JSON array.
    List(Rc<[Value<'a>]>),
    /// A JSON object, by name.
    Map(Rc<[(Box<str>, Value<'a>)]>),
}

impl<'a> Value<'a> {
    /// A text value.
    pub(super) fn text(text: impl Into<Vec<u8>>) -> Self {
        Self::Text(Cow::Owned(text.into()))
    }

    /// The name of the value's Go type.
    pub(super) fn type_name(&self) -> &'static str {
        match self {
            Self::Missing | Self::Nil => "interface {}",
            Self::Bool(_) => "bool",
            Self::Int(_) => "int",
            Self::Int64(_) => "int64",
            Self::Byte(_) => "uint8",
            Self::Float(_) => "float64",
            Self::Imaginary(_) => "complex128",
            Self::Text(_) => "string",
            Self::Time(_) => "time.Time",
            Self::Duration(_) => "time.Duration",
            Self::Month(_) => "time.Month",
            Self::Weekday(_) => "time.Weekday",
            Self::Labels => "map[string]string",
            Self::List(_) => "[]interface {}",
            Self::Map(_) => "map[string]interface {}",
        }
    }

    /// Whether the value counts as true in conditions. `labels` is how many labels the row has.
    pub(super) fn is_true(&self, labels: usize) -> bool {
        match self {
            Self::Missing | Self::Nil => false,
            Self::Bool(value) => *value,
            Self::Int(value) | Self::Int64(value) | Self::Duration(value) => *value != 0,
            Self::Byte(value) | Self::Month(value) | Self::Weekday(value) => *value != 0,
            Self::Float(value) | Self::Imaginary(value) => *value != 0.0,
            Self::Text(text) => !text.is_empty(),
            // A struct is always true.
            Self::Time(_) => true,
            Self::Labels => labels > 0,
            Self::List(values) => !values.is_empty(),
            Self::Map(members) => !members.is_empty(),
        }
    }

    /// The member of a JSON object.
    pub(super) fn member(members: &[(Box<str>, Self)], name: &[u8]) -> Option<Self> {
        let at = members.binary_search_by(|(known, _)| known.as_bytes().cmp(name)).ok()?;
        Some(members[at].1.clone())
    }

    /// An integer of any type.
    pub(super) fn as_int(&self) -> Option<i64> {
        match self {
            Self::Int(value) | Self::Int64(value) | Self::Duration(value) => Some(*value),
            Self::Byte(value) | Self::Month(value) | Self::Weekday(value) => {
                Some(i64::from(*value))
            }
            _ => None,
        }
    }
}

impl From<bool> for Value<'_> {
    fn from(value: bool) -> Self {
        Self::Bool(value)
    }
}

impl From<f64> for Value<'_> {
    fn from(value: f64) -> Self {
        Self::Float(value)
    }
}
