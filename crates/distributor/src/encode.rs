//! From accepted entries to batches: levels and fields are discovered, names normalised, rows
//! encoded.

use api::append::{AppendBatch, BatchBuilder, BatchFull};
use api::push::PushEntry;
use model::level::LEVEL_NAME;
use model::{Level, TenantId, Timestamp};

use crate::generic_fields;
use crate::level::{Found, LevelFields};
use crate::limits::Limits;
use crate::metadata::{self, Pairs};
use crate::streams::KnownStream;

/// Writes the rows of one push.
pub(crate) struct Encoder<'p> {
    tenant: &'p TenantId,
    limits: &'p Limits,
    level_fields: &'p LevelFields,
    builder: BatchBuilder,
    full: Vec<AppendBatch>,
}

impl<'p> Encoder<'p> {
    /// An encoder with room for so many streams and about so many encoded bytes.
    pub(crate) fn new(
        tenant: &'p TenantId,
        limits: &'p Limits,
        level_fields: &'p LevelFields,
        (streams, bytes): (usize, usize),
    ) -> Self {
        let builder = BatchBuilder::with_capacity(tenant, bytes).for_streams(streams);
        Self { tenant, limits, level_fields, builder, full: Vec::new() }
    }

    /// Writes the entries of a stream. An entry that alone is larger than a batch may be is left
    /// out and given to `refuse`.
    pub(crate) fn stream<'e>(
        &mut self,
        stream: &KnownStream,
        entries: &'e [PushEntry<'_>],
        mut refuse: impl FnMut(&'e PushEntry<'_>),
    ) {
        self.begin(stream);
        let mut before: Option<Written<'_>> = None;
        for entry in entries {
            if self.builder.is_full() {
                self.begin_batch(0);
                self.begin(stream);
            }
            let timestamp = match (&before, self.limits.increment_duplicate_timestamp) {
                (Some(before), true) => before.after(entry),
                _ => entry.timestamp,
            };
            match self.entry(stream, entry, timestamp) {
                Ok(()) => {
                    let line = &entry.line;
                    before = Some(Written { pushed: entry.timestamp, timestamp, line });
                }
                Err(BatchFull) => refuse(entry),
            }
        }
    }

    /// Finishes; answers the batches in order. Only huge pushes have more than one.
    pub(crate) fn finish(mut self) -> Vec<AppendBatch> {
        if self.builder.rows() > 0 {
            self.full.push(self.builder.finish());
        }
        self.full
    }

    fn begin(&mut self, stream: &KnownStream) {
        self.builder.begin_known_stream(stream.fingerprint, &stream.labels);
    }

    fn begin_batch(&mut self, bytes: usize) {
        let next = BatchBuilder::with_capacity(self.tenant, bytes);
        let full = std::mem::replace(&mut self.builder, next);
        if full.rows() > 0 {
            self.full.push(full.finish());
        }
    }

    fn entry(
        &mut self,
        stream: &KnownStream,
        entry: &PushEntry<'_>,
        timestamp: Timestamp,
    ) -> Result<(), BatchFull> {
        let mut pairs = metadata::normalised(entry);
        let level = self.discover(stream, entry, &mut pairs);
        if pairs.is_empty() {
            return self.row(stream, &Row { timestamp, line: &entry.line, level, pairs: &[] });
        }
        let pairs: Vec<(&str, &str)> = pairs.iter().map(|(n, v)| (&**n, &**v)).collect();
        self.row(stream, &Row { timestamp, line: &entry.line, level, pairs: &pairs })
    }

    /// Finds the entry's level, which goes into the row's flags when it is a known one and into the
    /// metadata otherwise; adds the tenant's generic fields to the metadata.
    fn discover(
        &self,
        stream: &KnownStream,
        entry: &PushEntry<'_>,
        pairs: &mut Pairs<'_>,
    ) -> Option<Level> {
        let sent = pairs.iter().position(|(name, _)| name == LEVEL_NAME);
        let sent = sent.map(|index| pairs.remove(index).1);
        let limits = self.limits;
        let found = match &sent {
            Some(value) if limits.discover_log_levels => Some(Found::of_value(value)),
            Some(value) => Some(match Level::from_name(value) {
                Some(level) => Found::Level(level),
                None => Found::Other((&**value).into()),
            }),
            None if !limits.discover_log_levels || !limits.allow_structured_metadata => None,
            None if stream.is_internal => None,
            None => Some(match (&stream.level, self.level_fields.of_metadata(pairs)) {
                (Some(of_labels), _) => of_labels.borrowed(),
                (None, Some(of_metadata)) => of_metadata,
                (None, None) => Found::Level(self.level_fields.of_line(&entry.line)),
            }),
        };
        let found = found.map(Found::into_owned);
        if !limits.discover_generic_fields.is_empty() && limits.allow_structured_metadata {
            let fields = &limits.discover_generic_fields;
            generic_fields::discover(fields, &stream.labels, &entry.line, pairs);
        }
        match found? {
            Found::Level(level) => Some(level),
            Found::Other(value) => {
                let place = pairs.partition_point(|(name, _)| **name < *LEVEL_NAME);
                pairs.insert(place, (LEVEL_NAME.into(), value));
                None
            }
        }
    }

    fn row(&mut self, stream: &KnownStream, row: &Row<'_>) -> Result<(), BatchFull> {
        if row.push(&mut self.builder).is_ok() {
            return Ok(());
        }
        self.begin_batch(row.line.len());
        self.begin(stream);
        row.push(&mut self.builder)
    }
}

/// A row as it is written.
struct Row<'e> {
    timestamp: Timestamp,
    line: &'e [u8],
    level: Option<Level>,
    pairs: &'e [(&'e str, &'e str)],
}

impl Row<'_> {
    fn push(&self, builder: &mut BatchBuilder) -> Result<(), BatchFull> {
        builder.push_row(self.timestamp, self.line, self.level, self.pairs)
    }
}

/// The entry written last, for `increment_duplicate_timestamp`.
struct Written<'e> {
    pushed: Timestamp,
    timestamp: Timestamp,
    line: &'e [u8],
}

impl Written<'_> {
    /// The time of the entry that follows: a nanosecond later when both were pushed with the same
    /// time and their lines differ.
    fn after(&self, entry: &PushEntry<'_>) -> Timestamp {
        if entry.timestamp == self.pushed && *entry.line != *self.line {
            Timestamp(self.timestamp.0.saturating_add(1))
        } else {
            entry.timestamp
        }
    }
}
