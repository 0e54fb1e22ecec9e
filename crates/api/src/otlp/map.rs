//! From resources, scopes and records to streams and entries.

use std::borrow::Cow;

use model::{Labels, Timestamp};

use super::message::{AnyValue, Attributes, LogRecord, ResourceLogs, ScopeLogs};
use super::render::hex;
use super::{AttributeAction, OtlpConfig, Streams, action_for};
use crate::label_text;
use crate::metadata_name::normalise;
use crate::push::{PushEntry, PushError, SharedMetadata};

/// The attribute that names a resource's service.
const SERVICE_NAME_ATTRIBUTE: &str = "service.name";
/// The label it becomes.
const SERVICE_NAME_LABEL: &str = "service_name";
/// The value of that label when nothing names a service.
const UNKNOWN_SERVICE: &str = "unknown_service";
/// The attribute that gives way to a record's own event name.
const EVENT_NAME: &str = "event_name";
/// The name of a record's severity text, as metadata and as label.
const SEVERITY_TEXT: &str = "severity_text";

type Pairs<'a> = Vec<(Cow<'a, str>, Cow<'a, str>)>;

/// Sorts the records of a resource into streams.
pub(super) fn resource<'a>(
    logs: ResourceLogs<'a>,
    config: &OtlpConfig,
    received: Timestamp,
    streams: &mut Streams<'a>,
) -> Result<(), PushError> {
    let (labels, metadata) = resource_labels(logs.attributes, config)?;
    let resource = Resource { config, received, labels: label_set(&labels)?, pairs: labels };
    for scope in logs.scopes {
        let (records, shared) = scope_metadata(scope, config, &metadata)?;
        for record in records {
            let (stream, entry) = resource.entry(record, shared.clone(), streams)?;
            streams.push(stream, entry);
        }
    }
    Ok(())
}

/// Divides a resource's attributes into labels and metadata, and finds the service's name.
fn resource_labels<'a>(
    attributes: Attributes<'a>,
    config: &OtlpConfig,
) -> Result<(Pairs<'a>, Pairs<'a>), PushError> {
    let (mut labels, mut metadata) = (Pairs::new(), Pairs::new());
    let discover = &config.discover_service_name;
    let mut has_service_name = attributes
        .iter()
        .any(|(name, value)| name == SERVICE_NAME_ATTRIBUTE && !is_empty_text(value));
    for (name, value) in attributes {
        match action_for(&config.resource_attributes, &name) {
            AttributeAction::Drop => {}
            AttributeAction::StructuredMetadata => flatten(name, value, &mut metadata)?,
            AttributeAction::IndexLabel => {
                let before = labels.len();
                flatten(name, value, &mut labels)?;
                let found =
                    labels[before..].iter().find(|(name, _)| discover.iter().any(|d| d == name));
                if !has_service_name && let Some((_, service)) = found {
                    let service = service.clone();
                    labels.push((Cow::Borrowed(SERVICE_NAME_LABEL), service));
                    has_service_name = true;
                }
            }
        }
    }
    if !has_service_name && !discover.is_empty() {
        labels.push((Cow::Borrowed(SERVICE_NAME_LABEL), Cow::Borrowed(UNKNOWN_SERVICE)));
    }
    Ok((labels, metadata))
}

fn is_empty_text(value: &AnyValue<'_>) -> bool {
    match value {
        AnyValue::Empty => true,
        AnyValue::Text(bytes) | AnyValue::Bytes(bytes) => bytes.is_empty(),
        _ => false,
    }
}

/// Appends an attribute under its normalised name; maps become one pair for every leaf, with the
/// names on the way joined by underscores.
fn flatten<'a>(
    name: Cow<'a, str>,
    value: AnyValue<'a>,
    pairs: &mut Pairs<'a>,
) -> Result<(), PushError> {
    let normal = match name {
        Cow::Borrowed(name) => normalise(name),
        Cow::Owned(name) => normalise(&name).map(|normal| Cow::Owned(normal.into_owned())),
    };
    let Some(normal) = normal else {
        return Err(PushError::Malformed(
            "normalization for label name resulted in invalid name: it has neither letter nor digit"
                .to_owned(),
        ));
    };
    let AnyValue::Map(members) = value else {
        pairs.push((normal, value.into_text()));
        return Ok(());
    };
    for (key, value) in members {
        flatten(Cow::Owned(format!("{normal}_{key}")), value, pairs)?;
    }
    Ok(())
}

fn label_set(pairs: &[(Cow<'_, str>, Cow<'_, str>)]) -> Result<Labels, PushError> {
    label_text::from_pairs(pairs.iter().map(|(n, v)| (n.to_string(), v.to_string())).collect())
}

/// The metadata that all records of a scope carry behind their own: the resource's, then the
/// scope's.
fn scope_metadata<'a>(
    scope: ScopeLogs<'a>,
    config: &OtlpConfig,
    resource: &[(Cow<'_, str>, Cow<'_, str>)],
) -> Result<(Vec<LogRecord<'a>>, Option<SharedMetadata>), PushError> {
    let mut pairs = Pairs::new();
    for (name, value) in scope.attributes {
        // A rule that asks for a label is refused when the configuration is read.
        if action_for(&config.scope_attributes, &name) != AttributeAction::Drop {
            flatten(name, value, &mut pairs)?;
        }
    }
    put_text("scope_name", scope.name, &mut pairs);
    put_text("scope_version", scope.version, &mut pairs);
    put_number(
        "scope_dropped_attributes_count",
        i64::from(scope.dropped_attributes_count),
        &mut pairs,
    );
    let all = resource.iter().chain(&pairs);
    let shared: SharedMetadata = all.map(|(n, v)| ((**n).into(), (**v).into())).collect();
    Ok((scope.records, (!shared.is_empty()).then_some(shared)))
}

fn put_text<'a>(name: &'static str, value: Cow<'a, str>, pairs: &mut Pairs<'a>) {
    if !value.is_empty() {
        pairs.push((Cow::Borrowed(name), value));
    }
}

fn put_number(name: &'static str, number: i64, pairs: &mut Pairs<'_>) {
    if number != 0 {
        pairs.push((Cow::Borrowed(name), Cow::Owned(number.to_string())));
    }
}

/// What the records of a resource have in common.
struct Resource<'c, 'a> {
    config: &'c OtlpConfig,
    received: Timestamp,
    labels: Labels,
    pairs: Pairs<'a>,
}

impl Resource<'_, '_> {
    /// Turns a record into an entry; answers the index of its stream too.
    fn entry<'a>(
        &self,
        record: LogRecord<'a>,
        shared: Option<SharedMetadata>,
        streams: &mut Streams<'a>,
    ) -> Result<(usize, PushEntry<'a>), PushError> {
        let timestamp = self.time_of(&record);
        let mut labels = Pairs::new();
        let mut metadata = Pairs::with_capacity(record.attributes.len() + 4);
        for (name, value) in record.attributes {
            if name == EVENT_NAME && !record.event_name.is_empty() {
                continue;
            }
            match action_for(&self.config.log_attributes, &name) {
                AttributeAction::Drop => {}
                AttributeAction::StructuredMetadata => flatten(name, value, &mut metadata)?,
                AttributeAction::IndexLabel => flatten(name, value, &mut labels)?,
            }
        }
        if record.time != 0 {
            put_number("observed_timestamp", record.observed_time as i64, &mut metadata);
        }
        put_number("severity_number", i64::from(record.severity_number), &mut metadata);
        if self.config.severity_text_as_label && !record.severity_text.is_empty() {
            labels.push((Cow::Borrowed(SEVERITY_TEXT), record.severity_text.clone()));
        }
        put_text(SEVERITY_TEXT, record.severity_text, &mut metadata);
        let dropped = i64::from(record.dropped_attributes_count);
        put_number("dropped_attributes_count", dropped, &mut metadata);
        put_number("flags", i64::from(record.flags), &mut metadata);
        put_id("trace_id", &record.trace_id, &mut metadata);
        put_id("span_id", &record.span_id, &mut metadata);
        put_text(EVENT_NAME, record.event_name, &mut metadata);
        let line = record.body.into_line();
        let entry = PushEntry { timestamp, line, metadata, shared };
        Ok((self.stream_for(&labels, streams)?, entry))
    }

    fn stream_for(
        &self,
        own: &[(Cow<'_, str>, Cow<'_, str>)],
        streams: &mut Streams<'_>,
    ) -> Result<usize, PushError> {
        if own.is_empty() {
            return Ok(streams.index_of(&self.labels));
        }
        let all: Vec<_> = self.pairs.iter().chain(own).cloned().collect();
        Ok(streams.index_of(&label_set(&all)?))
    }

    fn time_of(&self, record: &LogRecord<'_>) -> Timestamp {
        let nanos = if record.time != 0 { record.time } else { record.observed_time };
        if nanos == 0 {
            return self.received;
        }
        Timestamp(i64::try_from(nanos).unwrap_or(i64::MAX))
    }
}

fn put_id(name: &'static str, id: &[u8], pairs: &mut Pairs<'_>) {
    if id.iter().any(|byte| *byte != 0) {
        pairs.push((Cow::Borrowed(name), Cow::Owned(hex(id))));
    }
}
