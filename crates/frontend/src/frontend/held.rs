//! What the answers of one query's pieces may hold together.

use std::sync::atomic::{AtomicU64, Ordering};

use logql::eval::QueryError;
use model::answer::{ResultLabels, ResultStream, Value};

/// Counts the bytes of answers that are gathered, against the limit for one query.
pub(super) struct Held {
    bytes: AtomicU64,
    limit_bytes: u64,
}

impl Held {
    /// Nothing yet; a limit of zero is none.
    pub(super) fn new(limit_bytes: u64) -> Self {
        Self { bytes: AtomicU64::new(0), limit_bytes }
    }

    /// Counts one more answer.
    ///
    /// # Errors
    ///
    /// [`QueryError::MemoryLimit`] when that is too much.
    pub(super) fn add(&self, value: &Value) -> Result<(), QueryError> {
        self.add_bytes(bytes_of(value))
    }

    /// Counts the entries of one more answer.
    ///
    /// # Errors
    ///
    /// As [`Held::add`].
    pub(super) fn add_streams(&self, streams: &[ResultStream]) -> Result<(), QueryError> {
        self.add_bytes(bytes_of_streams(streams))
    }

    fn add_bytes(&self, own: usize) -> Result<(), QueryError> {
        let own = own as u64;
        let before = self.bytes.fetch_add(own, Ordering::Relaxed);
        if self.limit_bytes == 0 || before.saturating_add(own) <= self.limit_bytes {
            return Ok(());
        }
        Err(QueryError::MemoryLimit { limit_bytes: self.limit_bytes })
    }

    /// Whether an answer was refused.
    pub(super) fn is_over(&self) -> bool {
        self.limit_bytes != 0 && self.bytes.load(Ordering::Relaxed) > self.limit_bytes
    }
}

/// Bytes of memory that a value takes, about.
fn bytes_of(value: &Value) -> usize {
    match value {
        Value::Scalar(_) => 0,
        Value::Vector(samples) => samples.iter().map(|one| 64 + pairs(&one.labels)).sum(),
        Value::Matrix(series) => {
            series.iter().map(|one| 64 + pairs(&one.labels) + 16 * one.samples.len()).sum()
        }
        Value::Streams(streams) => bytes_of_streams(streams),
    }
}

fn bytes_of_streams(streams: &[ResultStream]) -> usize {
    let entries = streams.iter().flat_map(|stream| &stream.entries).map(|entry| {
        96 + entry.line.len() + pairs(&entry.structured_metadata) + pairs(&entry.parsed)
    });
    let labels = streams.iter().map(|stream| 64 + pairs(&stream.labels));
    entries.sum::<usize>() + labels.sum::<usize>()
}

fn pairs(labels: &ResultLabels) -> usize {
    labels.iter().map(|(name, value)| 48 + name.len() + value.len()).sum()
}
