//! Outcomes as messages.

use std::time::Duration;

use bytes::Bytes;
use logql::eval::CancelReason;
use model::answer::{
    Answer, QueryStats, ResultEntry, ResultStream, Sample, Series, Value, VectorSample,
};
use model::{ErrorKind, Timestamp};

use super::WireError;
use super::task::{flat, pairs};
use crate::task::{HttpResponse, TaskAnswer, TaskError, Timed, Version};

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct OutcomeMessage {
    #[prost(oneof = "Outcome", tags = "1, 2, 3, 4")]
    outcome: Option<Outcome>,
}

#[derive(Clone, PartialEq, prost::Oneof)]
enum Outcome {
    #[prost(message, tag = "1")]
    Answer(AnswerMessage),
    #[prost(message, tag = "2")]
    Versions(VersionsMessage),
    #[prost(message, tag = "3")]
    Http(HttpMessage),
    #[prost(message, tag = "4")]
    Error(ErrorMessage),
}

#[derive(Clone, PartialEq, prost::Message)]
pub(super) struct AnswerMessage {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(message, repeated, tag = "2")]
    streams: Vec<StreamMessage>,
    #[prost(message, repeated, tag = "3")]
    series: Vec<SeriesMessage>,
    /// In the order of [`counts`].
    #[prost(uint64, repeated, tag = "4")]
    stats: Vec<u64>,
    #[prost(string, repeated, tag = "5")]
    warnings: Vec<String>,
    #[prost(uint64, tag = "6")]
    waited_ns: u64,
    #[prost(uint64, tag = "7")]
    worked_ns: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct StreamMessage {
    /// Names and values in turn.
    #[prost(string, repeated, tag = "1")]
    labels: Vec<String>,
    #[prost(message, repeated, tag = "2")]
    entries: Vec<EntryMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct EntryMessage {
    #[prost(sint64, tag = "1")]
    at: i64,
    #[prost(bytes = "vec", tag = "2")]
    line: Vec<u8>,
    #[prost(string, repeated, tag = "3")]
    structured_metadata: Vec<String>,
    #[prost(string, repeated, tag = "4")]
    parsed: Vec<String>,
}

/// A series; a sample of a vector or a scalar is one with one sample.
#[derive(Clone, PartialEq, prost::Message)]
struct SeriesMessage {
    #[prost(string, repeated, tag = "1")]
    labels: Vec<String>,
    /// The first time, then the distances.
    #[prost(sint64, repeated, tag = "2")]
    times: Vec<i64>,
    #[prost(double, repeated, tag = "3")]
    values: Vec<f64>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct VersionsMessage {
    #[prost(message, repeated, tag = "1")]
    versions: Vec<VersionMessage>,
}

#[derive(Clone, PartialEq, prost::Message)]
struct VersionMessage {
    #[prost(fixed64, optional, tag = "1")]
    hash: Option<u64>,
    #[prost(uint64, tag = "2")]
    stored_bytes: u64,
}

#[derive(Clone, PartialEq, prost::Message)]
struct HttpMessage {
    #[prost(uint32, tag = "1")]
    status: u32,
    #[prost(string, repeated, tag = "2")]
    headers: Vec<String>,
    #[prost(bytes = "bytes", tag = "3")]
    body: Bytes,
}

#[derive(Clone, PartialEq, prost::Message)]
struct ErrorMessage {
    #[prost(uint32, tag = "1")]
    kind: u32,
    #[prost(string, tag = "2")]
    message: String,
    /// 0 when it was not stopped from outside.
    #[prost(uint32, tag = "3")]
    stopped: u32,
    #[prost(bool, tag = "4")]
    retryable: bool,
}

impl OutcomeMessage {
    pub(super) fn of(outcome: &Result<TaskAnswer, TaskError>) -> Self {
        let outcome = match outcome {
            Ok(TaskAnswer::Answer(timed)) => Outcome::Answer(AnswerMessage::of(timed)),
            Ok(TaskAnswer::Versions(versions)) => {
                let version = |version: &Version| VersionMessage {
                    hash: version.hash,
                    stored_bytes: version.stored_bytes,
                };
                let versions = versions.iter().map(version).collect();
                Outcome::Versions(VersionsMessage { versions })
            }
            Ok(TaskAnswer::Http(http)) => Outcome::Http(HttpMessage {
                status: u32::from(http.status),
                headers: flat(&http.headers),
                body: http.body.clone(),
            }),
            Err(error) => Outcome::Error(ErrorMessage {
                kind: error.kind.code().into(),
                message: error.message.clone(),
                stopped: error.stopped.map_or(0, |reason| reason as u32),
                retryable: error.retryable,
            }),
        };
        Self { outcome: Some(outcome) }
    }

    pub(super) fn read(self) -> Result<Result<TaskAnswer, TaskError>, WireError> {
        Ok(match self.outcome.ok_or_else(|| WireError::new("no outcome"))? {
            Outcome::Answer(answer) => Ok(TaskAnswer::Answer(answer.read()?)),
            Outcome::Versions(versions) => {
                let version = |version: VersionMessage| Version {
                    hash: version.hash,
                    stored_bytes: version.stored_bytes,
                };
                Ok(TaskAnswer::Versions(versions.versions.into_iter().map(version).collect()))
            }
            Outcome::Http(http) => Ok(TaskAnswer::Http(HttpResponse {
                status: u16::try_from(http.status).map_err(|_| WireError::new("a status"))?,
                headers: pairs(http.headers),
                body: http.body,
            })),
            Outcome::Error(error) => Err(TaskError {
                // One of a later version is a fault of ours.
                kind: ErrorKind::from_code(error.kind).unwrap_or(ErrorKind::Internal),
                message: error.message,
                stopped: match error.stopped {
                    1 => Some(CancelReason::Deadline),
                    2 => Some(CancelReason::ClientGone),
                    3 => Some(CancelReason::Shutdown),
                    _ => None,
                },
                retryable: error.retryable,
            }),
        })
    }
}

impl AnswerMessage {
    pub(super) fn of(timed: &Timed) -> Self {
        let Answer { value, stats, warnings } = &timed.answer;
        let nanos = |time: Duration| u64::try_from(time.as_nanos()).unwrap_or(u64::MAX);
        let mut message = Self {
            stats: counts(&mut stats.clone()).map(|count| *count).to_vec(),
            warnings: warnings.clone(),
            waited_ns: nanos(timed.waited),
            worked_ns: nanos(timed.worked),
            ..Self::default()
        };
        match value {
            Value::Streams(streams) => {
                message.kind = 1;
                message.streams = streams.iter().map(StreamMessage::of).collect();
            }
            Value::Vector(samples) => {
                message.kind = 2;
                let samples = samples.iter();
                message.series = samples
                    .map(|one| SeriesMessage::of(&one.labels, std::slice::from_ref(&one.sample)))
                    .collect();
            }
            Value::Matrix(series) => {
                message.kind = 3;
                let of = |series: &Series| SeriesMessage::of(&series.labels, &series.samples);
                message.series = series.iter().map(of).collect();
            }
            Value::Scalar(sample) => {
                message.kind = 4;
                message.series = vec![SeriesMessage::of(&[], std::slice::from_ref(sample))];
            }
        }
        message
    }

    pub(super) fn read(self) -> Result<Timed, WireError> {
        let mut series = self.series.into_iter();
        let value = match self.kind {
            1 => Value::Streams(self.streams.into_iter().map(StreamMessage::read).collect()),
            2 => {
                let samples: Result<Vec<VectorSample>, WireError> = series
                    .map(|series| {
                        let Series { labels, samples } = series.read()?;
                        Ok(VectorSample { labels, sample: only(&samples)? })
                    })
                    .collect();
                Value::Vector(samples?)
            }
            3 => Value::Matrix(series.map(SeriesMessage::read).collect::<Result<_, _>>()?),
            4 => {
                let scalar = series.next().ok_or_else(|| WireError::new("no scalar"))?.read()?;
                Value::Scalar(only(&scalar.samples)?)
            }
            other => return Err(WireError::new(format!("an answer of kind {other}"))),
        };
        let mut stats = QueryStats::default();
        for (count, value) in counts(&mut stats).into_iter().zip(self.stats) {
            *count = value;
        }
        Ok(Timed {
            answer: Answer { value, stats, warnings: self.warnings },
            waited: Duration::from_nanos(self.waited_ns),
            worked: Duration::from_nanos(self.worked_ns),
        })
    }
}

fn only(samples: &[Sample]) -> Result<Sample, WireError> {
    samples.first().copied().ok_or_else(|| WireError::new("a sample without value"))
}

/// The counts in the order in which they travel; new ones are added at the end.
fn counts(stats: &mut QueryStats) -> [&mut u64; 14] {
    [
        &mut stats.head_bytes,
        &mut stats.head_lines,
        &mut stats.decompressed_bytes,
        &mut stats.decompressed_lines,
        &mut stats.compressed_bytes,
        &mut stats.metadata_bytes,
        &mut stats.post_filter_lines,
        &mut stats.duplicates,
        &mut stats.blocks_selected,
        &mut stats.blocks_pruned,
        &mut stats.blocks_read,
        &mut stats.index_bytes,
        &mut stats.segments_selected,
        &mut stats.entries_returned,
    ]
}

impl StreamMessage {
    fn of(stream: &ResultStream) -> Self {
        let entry = |entry: &ResultEntry| EntryMessage {
            at: entry.timestamp.0,
            line: entry.line.clone(),
            structured_metadata: flat(&entry.structured_metadata),
            parsed: flat(&entry.parsed),
        };
        Self { labels: flat(&stream.labels), entries: stream.entries.iter().map(entry).collect() }
    }

    fn read(self) -> ResultStream {
        let entry = |entry: EntryMessage| ResultEntry {
            timestamp: Timestamp(entry.at),
            line: entry.line,
            structured_metadata: pairs(entry.structured_metadata),
            parsed: pairs(entry.parsed),
        };
        ResultStream {
            labels: pairs(self.labels),
            entries: self.entries.into_iter().map(entry).collect(),
        }
    }
}

impl SeriesMessage {
    fn of(labels: &[(String, String)], samples: &[Sample]) -> Self {
        let mut last = 0i64;
        let mut times = Vec::with_capacity(samples.len());
        for sample in samples {
            times.push(sample.timestamp.0.wrapping_sub(last));
            last = sample.timestamp.0;
        }
        let values = samples.iter().map(|sample| sample.value).collect();
        Self { labels: flat(labels), times, values }
    }

    fn read(self) -> Result<Series, WireError> {
        if self.times.len() != self.values.len() {
            return Err(WireError::new("a series with more times than values"));
        }
        let mut at = 0i64;
        let sample = |(distance, value): (&i64, &f64)| {
            at = at.wrapping_add(*distance);
            Sample { timestamp: Timestamp(at), value: *value }
        };
        let samples = self.times.iter().zip(&self.values).map(sample).collect();
        Ok(Series { labels: pairs(self.labels), samples })
    }
}
