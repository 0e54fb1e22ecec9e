//! The messages of OTLP logs, borrowed from the body, whatever its format.

use std::borrow::Cow;

use crate::push::PushError;

/// Deepest nesting of a value.
pub(super) const DEPTH_MAX: u32 = 64;

/// A value of an attribute or body.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) enum AnyValue<'a> {
    #[default]
    Empty,
    /// Text; expected to be UTF-8, not checked.
    Text(Cow<'a, [u8]>),
    Boolean(bool),
    Integer(i64),
    Double(f64),
    Bytes(Cow<'a, [u8]>),
    List(Vec<AnyValue<'a>>),
    Map(Attributes<'a>),
}

/// Names and values in the order in which they were sent.
pub(super) type Attributes<'a> = Vec<(Cow<'a, str>, AnyValue<'a>)>;

/// The records of one resource.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct ResourceLogs<'a> {
    pub(super) attributes: Attributes<'a>,
    pub(super) scopes: Vec<ScopeLogs<'a>>,
}

/// The records of one scope.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct ScopeLogs<'a> {
    pub(super) name: Cow<'a, str>,
    pub(super) version: Cow<'a, str>,
    pub(super) attributes: Attributes<'a>,
    pub(super) dropped_attributes_count: u32,
    pub(super) records: Vec<LogRecord<'a>>,
}

/// One record.
#[derive(Debug, Clone, PartialEq, Default)]
pub(super) struct LogRecord<'a> {
    /// Nanoseconds; 0 when there is none.
    pub(super) time: u64,
    /// Nanoseconds; 0 when there is none.
    pub(super) observed_time: u64,
    pub(super) severity_number: i32,
    pub(super) severity_text: Cow<'a, str>,
    pub(super) body: AnyValue<'a>,
    pub(super) attributes: Attributes<'a>,
    pub(super) dropped_attributes_count: u32,
    pub(super) flags: u32,
    pub(super) trace_id: [u8; 16],
    pub(super) span_id: [u8; 8],
    pub(super) event_name: Cow<'a, str>,
}

pub(super) fn nested_too_deep() -> PushError {
    PushError::Malformed(format!("attribute value nested deeper than {DEPTH_MAX} levels"))
}
