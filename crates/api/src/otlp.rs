//! OTLP logs: `ExportLogsServiceRequest` in protobuf and JSON, turned into a push.
//!
//! Resource attributes named by the tenant's rules become labels, all others structured metadata;
//! a record's body becomes the line. The two formats are read into the same borrowed tree, one
//! resource at a time, and [`map`] turns that into streams. Names are normalised on the way
//! ([`crate::metadata_name`]).

use std::collections::HashMap;

use model::{Labels, Pattern, Timestamp};

use crate::push::{Push, PushEntry, PushError, PushLabels, PushStream};

mod json;
mod map;
mod message;
mod protobuf;
mod render;
mod status;
#[cfg(test)]
mod tests;

pub use status::encode_status;

/// What becomes of attributes, for one tenant.
#[derive(Debug, Clone, PartialEq)]
pub struct OtlpConfig {
    /// Rules for resource attributes; the first that matches wins.
    pub resource_attributes: Vec<AttributeRule>,
    /// Rules for scope attributes; they cannot become labels.
    pub scope_attributes: Vec<AttributeRule>,
    /// Rules for attributes of records.
    pub log_attributes: Vec<AttributeRule>,
    /// Whether the severity text becomes a label too.
    pub severity_text_as_label: bool,
    /// Labels whose value becomes `service_name` when the resource names no service; empty
    /// switches it off.
    pub discover_service_name: Vec<String>,
}

/// One rule: an action, and for which attributes.
#[derive(Debug, Clone, PartialEq)]
pub struct AttributeRule {
    /// What becomes of them.
    pub action: AttributeAction,
    /// Which attributes, by their names before normalisation.
    pub select: AttributeSelect,
}

/// What becomes of an attribute that a rule matches. Attributes without a rule become metadata.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum AttributeAction {
    /// A label of the stream.
    IndexLabel,
    /// Structured metadata.
    StructuredMetadata,
    /// Nothing.
    Drop,
}

/// Which attributes a rule is about.
#[derive(Debug, Clone)]
pub enum AttributeSelect {
    /// Those with one of these names.
    Names(Vec<String>),
    /// Those whose whole name matches; built with [`Pattern::anchored`].
    Pattern(Pattern),
}

/// Patterns are equal when they were built from the same text.
impl PartialEq for AttributeSelect {
    fn eq(&self, other: &Self) -> bool {
        match (self, other) {
            (Self::Names(a), Self::Names(b)) => a == b,
            (Self::Pattern(a), Self::Pattern(b)) => format!("{a:?}") == format!("{b:?}"),
            _ => false,
        }
    }
}

/// The resource attributes that become labels unless a tenant says otherwise.
pub const INDEX_ATTRIBUTES: [&str; 18] = [
    "service.name",
    "service.namespace",
    "service.instance.id",
    "deployment.environment",
    "deployment.environment.name",
    "cloud.region",
    "cloud.availability_zone",
    "k8s.cluster.name",
    "k8s.namespace.name",
    "k8s.pod.name",
    "k8s.container.name",
    "container.name",
    "k8s.replicaset.name",
    "k8s.deployment.name",
    "k8s.statefulset.name",
    "k8s.daemonset.name",
    "k8s.cronjob.name",
    "k8s.job.name",
];

impl Default for OtlpConfig {
    fn default() -> Self {
        Self {
            resource_attributes: vec![AttributeRule {
                action: AttributeAction::IndexLabel,
                select: AttributeSelect::Names(INDEX_ATTRIBUTES.map(str::to_owned).to_vec()),
            }],
            scope_attributes: Vec::new(),
            log_attributes: Vec::new(),
            severity_text_as_label: false,
            discover_service_name: Vec::new(),
        }
    }
}

impl AttributeRule {
    fn matches(&self, name: &str) -> bool {
        match &self.select {
            AttributeSelect::Names(names) => names.iter().any(|candidate| candidate == name),
            AttributeSelect::Pattern(pattern) => pattern.is_match(name.as_bytes()),
        }
    }
}

fn action_for(rules: &[AttributeRule], name: &str) -> AttributeAction {
    let rule = rules.iter().find(|rule| rule.matches(name));
    rule.map_or(AttributeAction::StructuredMetadata, |rule| rule.action)
}

/// Reads the protobuf form. `received` is the time of records that carry none.
///
/// # Errors
///
/// [`PushError::Malformed`] when the body is not such a message or an attribute's name holds
/// neither letter nor digit; [`PushError::Empty`] when there is no record.
pub fn decode_protobuf<'a>(
    body: &'a [u8],
    config: &OtlpConfig,
    received: Timestamp,
) -> Result<Push<'a>, PushError> {
    let mut streams = Streams::default();
    protobuf::read(body, |resource| map::resource(resource, config, received, &mut streams))?;
    streams.finish()
}

/// Reads the JSON form. `received` is the time of records that carry none.
///
/// # Errors
///
/// As [`decode_protobuf`].
pub fn decode_json<'a>(
    body: &'a [u8],
    config: &OtlpConfig,
    received: Timestamp,
) -> Result<Push<'a>, PushError> {
    let mut streams = Streams::default();
    json::read(body, |resource| map::resource(resource, config, received, &mut streams))?;
    streams.finish()
}

/// The streams of a push while its records are sorted into them.
#[derive(Default)]
struct Streams<'a> {
    by_labels: HashMap<Labels, usize>,
    streams: Vec<PushStream<'a>>,
    records: u64,
}

impl<'a> Streams<'a> {
    fn index_of(&mut self, labels: &Labels) -> usize {
        if let Some(index) = self.by_labels.get(labels) {
            return *index;
        }
        let index = self.streams.len();
        self.by_labels.insert(labels.clone(), index);
        let labels = PushLabels::Pairs(labels.clone());
        self.streams.push(PushStream { labels, entries: Vec::new() });
        index
    }

    fn push(&mut self, stream: usize, entry: PushEntry<'a>) {
        self.records += 1;
        self.streams[stream].entries.push(entry);
    }

    fn finish(self) -> Result<Push<'a>, PushError> {
        if self.records == 0 { Err(PushError::Empty) } else { Ok(Push { streams: self.streams }) }
    }
}
