//! Tasks as messages.

use std::collections::BTreeMap;

use bytes::Bytes;
use logql::request::{QueryPart, QueryRequest, QueryTime};
use logql::source::Shard;
use model::{Direction, TenantId, TimeRange, Timestamp};

use super::WireError;
use crate::task::{HttpRequest, Task, Work};

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct TaskMessage {
    #[prost(string, repeated, tag = "1")]
    tenants: Vec<String>,
    #[prost(string, repeated, tag = "2")]
    actor: Vec<String>,
    #[prost(oneof = "WorkMessage", tags = "3, 4, 5")]
    work: Option<WorkMessage>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum WorkMessage {
    #[prost(message, tag = "3")]
    Query(QueryMessage),
    #[prost(message, tag = "4")]
    Versions(VersionsMessage),
    #[prost(message, tag = "5")]
    Http(HttpMessage),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(crate) struct QueryMessage {
    #[prost(string, tag = "1")]
    text: String,
    #[prost(sint64, tag = "2")]
    start: i64,
    #[prost(sint64, tag = "3")]
    end: i64,
    /// 0 for an instant.
    #[prost(sint64, tag = "4")]
    step_ns: i64,
    #[prost(bool, tag = "5")]
    forward: bool,
    #[prost(uint32, tag = "6")]
    limit: u32,
    #[prost(sint64, tag = "7")]
    interval_ns: i64,
    #[prost(bool, tag = "8")]
    categorize: bool,
    #[prost(btree_map = "string, string", tag = "9")]
    tags: BTreeMap<String, String>,
    #[prost(bool, tag = "10")]
    part: bool,
    #[prost(uint32, tag = "11")]
    shard_index: u32,
    /// 0 for all streams.
    #[prost(uint32, tag = "12")]
    shard_of: u32,
    #[prost(bool, tag = "13")]
    instant: bool,
}

#[derive(Clone, PartialEq, prost::Message)]
struct VersionsMessage {
    #[prost(message, optional, tag = "1")]
    query: Option<QueryMessage>,
    /// Starts and ends in turn.
    #[prost(sint64, repeated, tag = "2")]
    bounds: Vec<i64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HttpMessage {
    #[prost(string, tag = "1")]
    method: String,
    #[prost(string, tag = "2")]
    path_and_query: String,
    /// Names and values in turn.
    #[prost(string, repeated, tag = "3")]
    headers: Vec<String>,
    #[prost(bytes = "bytes", tag = "4")]
    body: Bytes,
}

impl TaskMessage {
    pub(super) fn of(task: &Task) -> Self {
        let work = match &task.work {
            Work::Query(query) => WorkMessage::Query(QueryMessage::of(query)),
            Work::Versions { query, ranges } => WorkMessage::Versions(VersionsMessage {
                query: Some(QueryMessage::of(query)),
                bounds: ranges.iter().flat_map(|range| [range.start.0, range.end.0]).collect(),
            }),
            Work::Http(http) => WorkMessage::Http(HttpMessage {
                method: http.method.clone(),
                path_and_query: http.path_and_query.clone(),
                headers: flat(&http.headers),
                body: http.body.clone(),
            }),
        };
        Self {
            tenants: task.tenants.iter().map(|tenant| tenant.as_str().to_owned()).collect(),
            actor: task.actor.clone(),
            work: Some(work),
        }
    }

    pub(super) fn read(self) -> Result<Task, WireError> {
        let tenants: Result<Vec<TenantId>, _> =
            self.tenants.iter().map(|name| TenantId::new(name)).collect();
        let tenants = tenants.map_err(|error| WireError::new(error.to_string()))?;
        if tenants.is_empty() {
            return Err(WireError::new("a task without tenant"));
        }
        let work = match self.work.ok_or_else(|| WireError::new("a task without work"))? {
            WorkMessage::Query(query) => Work::Query(query.read()?),
            WorkMessage::Versions(versions) => {
                let query = versions.query.ok_or_else(|| WireError::new("no query"))?.read()?;
                let ranges = versions.bounds.chunks_exact(2);
                let ranges =
                    ranges.map(|pair| TimeRange::new(Timestamp(pair[0]), Timestamp(pair[1])));
                Work::Versions { query, ranges: ranges.collect() }
            }
            WorkMessage::Http(http) => Work::Http(HttpRequest {
                method: http.method,
                path_and_query: http.path_and_query,
                headers: pairs(http.headers),
                body: http.body,
            }),
        };
        Ok(Task { tenants, actor: self.actor, work })
    }
}

impl QueryMessage {
    pub(crate) fn of(query: &QueryRequest) -> Self {
        let (start, end) = query.time.bounds();
        let (instant, step_ns) = match query.time {
            QueryTime::Instant(_) => (true, 0),
            QueryTime::Range { step_ns, .. } => (false, step_ns),
        };
        let shard = query.part.and_then(|part| part.shard);
        Self {
            text: query.text.clone(),
            start: start.0,
            end: end.0,
            step_ns,
            forward: query.direction == Direction::Forward,
            limit: query.limit,
            interval_ns: query.interval_ns,
            categorize: query.categorize,
            tags: query.tags.clone(),
            part: query.part.is_some(),
            shard_index: shard.map_or(0, |shard| shard.index),
            shard_of: shard.map_or(0, |shard| shard.of),
            instant,
        }
    }

    fn read(self) -> Result<QueryRequest, WireError> {
        let (start, end) = (Timestamp(self.start), Timestamp(self.end));
        let time = if self.instant {
            QueryTime::Instant(start)
        } else if self.step_ns > 0 {
            QueryTime::Range { start, end, step_ns: self.step_ns }
        } else {
            return Err(WireError::new("a range without step"));
        };
        let shard =
            (self.shard_of > 0).then_some(Shard { index: self.shard_index, of: self.shard_of });
        if shard.is_some_and(|shard| shard.index >= shard.of) {
            return Err(WireError::new("a shard that does not exist"));
        }
        let direction = if self.forward { Direction::Forward } else { Direction::Backward };
        Ok(QueryRequest {
            text: self.text,
            time,
            direction,
            limit: self.limit,
            interval_ns: self.interval_ns,
            categorize: self.categorize,
            tags: self.tags,
            part: self.part.then_some(QueryPart { shard }),
        })
    }
}

/// Pairs in turn.
pub(super) fn flat(pairs: &[(String, String)]) -> Vec<String> {
    pairs.iter().flat_map(|(name, value)| [name.clone(), value.clone()]).collect()
}

/// What [`flat`] flattened; an odd last text is dropped.
pub(super) fn pairs(flat: Vec<String>) -> Vec<(String, String)> {
    let mut pairs = Vec::with_capacity(flat.len() / 2);
    let mut texts = flat.into_iter();
    while let (Some(name), Some(value)) = (texts.next(), texts.next()) {
        pairs.push((name, value));
    }
    pairs
}
