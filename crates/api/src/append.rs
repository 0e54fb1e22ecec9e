//! The message from a distributor to an ingester: rows of one tenant, grouped by stream.
//!
//! The encoded bytes travel over the wire, are the payload of a write-ahead log record, and stay in
//! memory as the slab of a head: rows are read in place through offsets, nothing is copied again.
//! Hence the layout is compact, carries its version, and can be walked in one pass. All integers of
//! fixed width are little endian; `varint` is LEB128 of at most ten bytes.
//!
//! | field | size | meaning |
//! |---|---|---|
//! | version | 1 | [`VERSION`] |
//! | tenant length, tenant | 1, n | name of the tenant |
//! | stream count | 4 | streams that follow, each with at least one row |
//! | **per stream:** | | |
//! | canonical length, text | varint, n | canonical label text, UTF-8 |
//! | fingerprint | 8 | hash of the label set |
//! | row count | 4 | at least 1 |
//! | rows length | 4 | bytes of the rows that follow |
//! | **per row:** | | |
//! | time | varint | zigzag of the difference to the row before (to 0 in the first row), wrapping |
//! | flags | 1 | low four bits: level code, 0 for none; `0x80`: metadata follows; others are 0 |
//! | line length | varint | bytes of the line |
//! | metadata, if flagged | | varint count (at least 1), then per pair two length-prefixed UTF-8 texts |
//! | line | n | any bytes |
//!
//! [`AppendBatch::decode`] checks all of this once, so reading rows cannot fail afterwards. It does
//! not check that a fingerprint belongs to its label text: whoever opens a new stream parses the
//! text anyway.

use std::ops::Range;
use std::sync::Arc;

use bytes::Bytes;
use model::{ErrorKind, Fingerprint, Labels, Level, TenantId, Timestamp};

use crate::room;
use crate::varint::{self, Reader};

#[cfg(test)]
mod tests;

/// The version that this program writes and reads.
pub const VERSION: u8 = 1;

/// Largest encoded batch: offsets are 32 bits wide, and one record must fit in memory comfortably.
pub const BATCH_BYTES_MAX: usize = 1 << 30;

/// From this size on a builder asks to be finished; see [`BatchBuilder::is_full`].
const FULL_BYTES: usize = BATCH_BYTES_MAX / 4;

const LEVEL_MASK: u8 = 0x0f;
const HAS_METADATA: u8 = 0x80;
/// Largest level code; codes are part of the format.
const LEVEL_CODE_MAX: u8 = Level::Fatal as u8;
/// Fingerprint, row count and rows length.
const STREAM_FIXED_BYTES: usize = 8 + 4 + 4;

/// Why bytes are not a batch. The bytes are damaged or of another program: do not retry.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
#[non_exhaustive]
pub enum BatchError {
    /// The batch is of a version that this program does not know.
    #[error("append batch has unknown version {0}")]
    Version(u8),
    /// The bytes do not follow the layout.
    #[error("append batch is damaged at byte {offset}: {what}")]
    Damaged {
        /// Where, in bytes from the start of the batch.
        offset: usize,
        /// What was expected there.
        what: &'static str,
    },
}

impl BatchError {
    /// What a caller does about it.
    #[must_use]
    pub fn kind(&self) -> ErrorKind {
        ErrorKind::Corrupt
    }
}

/// A row does not fit under [`BATCH_BYTES_MAX`] any more; nothing was written. Finish the batch and
/// begin another one; a row that does not fit into an empty batch must be refused.
#[derive(Debug, Clone, Copy, PartialEq, Eq, thiserror::Error)]
#[error("append batch is full")]
pub struct BatchFull;

/// Writes an [`AppendBatch`]: stream by stream, row by row.
#[derive(Debug)]
pub struct BatchBuilder {
    tenant: TenantId,
    buf: Vec<u8>,
    streams: Vec<StreamSpan>,
    /// Where the stream count stands.
    count_at: usize,
    last_timestamp: i64,
    rows: u64,
    line_bytes: u64,
}

impl BatchBuilder {
    /// An empty batch of a tenant.
    #[must_use]
    pub fn new(tenant: &TenantId) -> Self {
        Self::with_capacity(tenant, 256)
    }

    /// An empty batch with room for `bytes` encoded bytes.
    ///
    /// A close estimate saves copies; see [`BatchBuilder::estimate`].
    #[must_use]
    pub fn with_capacity(tenant: &TenantId, bytes: usize) -> Self {
        let name = tenant.as_str().as_bytes();
        let mut buf = room::take(bytes.min(BATCH_BYTES_MAX).max(name.len() + 6));
        buf.push(VERSION);
        // Tenant names are at most 150 bytes long.
        buf.push(name.len() as u8);
        buf.extend_from_slice(name);
        let count_at = buf.len();
        buf.extend_from_slice(&0u32.to_le_bytes());
        let tenant = tenant.clone();
        Self {
            tenant,
            buf,
            streams: Vec::new(),
            count_at,
            last_timestamp: 0,
            rows: 0,
            line_bytes: 0,
        }
    }

    /// About how many bytes a batch needs for so many streams, rows, and bytes of label texts,
    /// lines and metadata; nearly always enough.
    #[must_use]
    pub fn estimate(streams: usize, rows: usize, payload_bytes: usize) -> usize {
        256 + streams * (STREAM_FIXED_BYTES + 6) + rows * 11 + payload_bytes
    }

    /// Makes room for so many streams.
    #[must_use]
    pub fn for_streams(mut self, streams: usize) -> Self {
        self.streams.reserve_exact(streams);
        self
    }

    /// Begins a stream; the rows pushed next belong to it.
    pub fn begin_stream(&mut self, labels: &Labels) {
        self.begin_known_stream(labels.fingerprint(), labels);
    }

    /// Begins a stream whose fingerprint is known already.
    pub fn begin_known_stream(&mut self, fingerprint: Fingerprint, labels: &Labels) {
        self.begin_text(fingerprint, labels.canonical());
        if let Some(stream) = self.streams.last_mut() {
            stream.labels = Some(labels.clone());
        }
    }

    /// Begins a stream of which only the canonical text is at hand.
    pub fn begin_text(&mut self, fingerprint: Fingerprint, canonical: &str) {
        self.end_stream();
        let start = self.buf.len();
        varint::put(&mut self.buf, canonical.len() as u64);
        let canonical_start = self.buf.len();
        self.buf.extend_from_slice(canonical.as_bytes());
        let canonical_end = self.buf.len();
        self.buf.extend_from_slice(&fingerprint.0.to_le_bytes());
        self.buf.extend_from_slice(&[0; 8]);
        let rows_start = self.buf.len();
        self.streams.push(StreamSpan {
            start,
            canonical: canonical_start..canonical_end,
            fingerprint,
            labels: None,
            row_count: 0,
            rows: rows_start..rows_start,
        });
        self.last_timestamp = 0;
    }

    /// Appends a row to the stream begun last.
    ///
    /// # Errors
    ///
    /// [`BatchFull`] when the row does not fit; nothing was written.
    ///
    /// # Panics
    ///
    /// When no stream was begun.
    pub fn push_row(
        &mut self,
        timestamp: Timestamp,
        line: &[u8],
        level: Option<Level>,
        metadata: &[(&str, &str)],
    ) -> Result<(), BatchFull> {
        let metadata_bytes: usize =
            metadata.iter().map(|(name, value)| name.len() + value.len() + 20).sum();
        let room = BATCH_BYTES_MAX.saturating_sub(self.buf.len());
        if line.len().saturating_add(metadata_bytes).saturating_add(40) > room {
            return Err(BatchFull);
        }
        let stream = self.streams.last_mut().expect("a row is pushed after begin_stream");
        stream.row_count += 1;
        let delta = timestamp.0.wrapping_sub(self.last_timestamp);
        self.last_timestamp = timestamp.0;
        varint::put(&mut self.buf, varint::zigzag(delta));
        let level = level.map_or(0, Level::code);
        self.buf.push(level | if metadata.is_empty() { 0 } else { HAS_METADATA });
        varint::put(&mut self.buf, line.len() as u64);
        if !metadata.is_empty() {
            varint::put(&mut self.buf, metadata.len() as u64);
            for (name, value) in metadata {
                varint::put(&mut self.buf, name.len() as u64);
                self.buf.extend_from_slice(name.as_bytes());
                varint::put(&mut self.buf, value.len() as u64);
                self.buf.extend_from_slice(value.as_bytes());
            }
        }
        self.buf.extend_from_slice(line);
        self.rows += 1;
        self.line_bytes += line.len() as u64;
        Ok(())
    }

    /// Rows pushed so far.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// Line bytes pushed so far.
    #[must_use]
    pub fn line_bytes(&self) -> u64 {
        self.line_bytes
    }

    /// Encoded bytes so far.
    #[must_use]
    pub fn encoded_bytes(&self) -> usize {
        self.buf.len()
    }

    /// Whether the batch is large enough to be finished before the next stream or row.
    #[must_use]
    pub fn is_full(&self) -> bool {
        self.buf.len() >= FULL_BYTES
    }

    /// Finishes the batch. Streams without rows are left out.
    #[must_use]
    pub fn finish(mut self) -> AppendBatch {
        self.end_stream();
        let count = self.streams.len() as u32;
        self.buf[self.count_at..self.count_at + 4].copy_from_slice(&count.to_le_bytes());
        // The bytes may stay in memory for hours as a head's slab: give back a wasteful reserve.
        if self.buf.capacity() - self.buf.len() > self.buf.len() / 8 + 64 {
            self.buf.shrink_to_fit();
        }
        AppendBatch {
            tenant: self.tenant,
            bytes: room::freeze(self.buf),
            streams: Arc::new(self.streams),
            rows: self.rows,
            line_bytes: self.line_bytes,
        }
    }

    /// Writes the counts of the stream begun last, or takes it back when it has no row.
    fn end_stream(&mut self) {
        let Some(stream) = self.streams.last_mut() else { return };
        if stream.row_count == 0 {
            self.buf.truncate(stream.start);
            self.streams.pop();
            return;
        }
        stream.rows.end = self.buf.len();
        let length = (stream.rows.end - stream.rows.start) as u32;
        let at = stream.rows.start;
        self.buf[at - 8..at - 4].copy_from_slice(&stream.row_count.to_le_bytes());
        self.buf[at - 4..at].copy_from_slice(&length.to_le_bytes());
    }
}

/// Where one stream stands in the bytes.
#[derive(Debug, Clone, PartialEq, Eq)]
struct StreamSpan {
    start: usize,
    canonical: Range<usize>,
    fingerprint: Fingerprint,
    /// In the process that built the batch.
    labels: Option<Labels>,
    row_count: u32,
    rows: Range<usize>,
}

/// Rows of one tenant, grouped by stream, in their encoded form. Cloning is cheap.
#[derive(Debug, Clone)]
pub struct AppendBatch {
    tenant: TenantId,
    bytes: Bytes,
    streams: Arc<Vec<StreamSpan>>,
    rows: u64,
    line_bytes: u64,
}

impl AppendBatch {
    /// Takes encoded bytes and checks them whole; no row is copied.
    ///
    /// Allocates one small record per stream, which takes at least nineteen bytes of input.
    ///
    /// # Errors
    ///
    /// [`BatchError`] when the bytes do not follow the layout.
    pub fn decode(bytes: Bytes) -> Result<Self, BatchError> {
        if bytes.len() > BATCH_BYTES_MAX {
            return Err(BatchError::Damaged { offset: 0, what: "at most 1 GiB" });
        }
        let mut check = Check { reader: Reader::new(&bytes), rows: 0, line_bytes: 0 };
        let (tenant, streams) = check.batch()?;
        let (rows, line_bytes) = (check.rows, check.line_bytes);
        Ok(Self { tenant, bytes, streams: Arc::new(streams), rows, line_bytes })
    }

    /// The encoded bytes; what [`AppendBatch::decode`] takes.
    #[must_use]
    pub fn as_bytes(&self) -> &Bytes {
        &self.bytes
    }

    /// Whose rows these are.
    #[must_use]
    pub fn tenant(&self) -> &TenantId {
        &self.tenant
    }

    /// How many rows there are.
    #[must_use]
    pub fn rows(&self) -> u64 {
        self.rows
    }

    /// The bytes of all lines.
    #[must_use]
    pub fn line_bytes(&self) -> u64 {
        self.line_bytes
    }

    /// The batch of some of the streams, by their place; their bytes are copied as they are, and not
    /// at all when every stream is picked. `None` when none is.
    #[must_use]
    pub fn pick(&self, is_picked: impl Fn(usize) -> bool) -> Option<Self> {
        let picked: Vec<usize> =
            (0..self.streams.len()).filter(|index| is_picked(*index)).collect();
        if picked.is_empty() || picked.len() == self.streams.len() {
            return (!picked.is_empty()).then(|| self.clone());
        }
        Some(Self::gather(&self.tenant, picked.iter().map(|index| (self, *index))))
    }

    /// One batch of the streams of several of one tenant, in their order; their bytes are copied as
    /// they are. `None` when there is none, or when they belong to different tenants.
    #[must_use]
    pub fn join(batches: &[Self]) -> Option<Self> {
        let tenant = &batches.first()?.tenant;
        if batches.len() == 1 {
            return batches.first().cloned();
        }
        let is_one = batches.iter().all(|batch| batch.tenant == *tenant);
        let parts =
            || batches.iter().flat_map(|one| (0..one.streams.len()).map(move |index| (one, index)));
        is_one.then(|| Self::gather(tenant, parts()))
    }

    /// Copies streams, each the one at a place of a batch.
    fn gather<'a>(
        tenant: &TenantId,
        parts: impl Iterator<Item = (&'a Self, usize)> + Clone,
    ) -> Self {
        let bytes = parts.clone().map(|(batch, index)| {
            let span = &batch.streams[index];
            span.rows.end - span.start
        });
        let builder = BatchBuilder::with_capacity(tenant, bytes.sum::<usize>() + 256);
        let (mut buf, count_at) = (builder.buf, builder.count_at);
        let (mut streams, mut rows, mut line_bytes) = (Vec::new(), 0, 0);
        for (batch, index) in parts {
            let span = &batch.streams[index];
            let start = buf.len();
            buf.extend_from_slice(&batch.bytes[span.start..span.rows.end]);
            let moved = |range: &Range<usize>| {
                range.start - span.start + start..range.end - span.start + start
            };
            rows += u64::from(span.row_count);
            line_bytes += batch.part(span).rows().map(|row| u64::from(row.line_len)).sum::<u64>();
            streams.push(StreamSpan {
                start,
                canonical: moved(&span.canonical),
                rows: moved(&span.rows),
                ..span.clone()
            });
        }
        buf[count_at..count_at + 4].copy_from_slice(&(streams.len() as u32).to_le_bytes());
        let (tenant, streams) = (tenant.clone(), Arc::new(streams));
        Self { tenant, bytes: room::freeze(buf), streams, rows, line_bytes }
    }

    fn part<'a>(&'a self, span: &'a StreamSpan) -> StreamPart<'a> {
        let labels = span.labels.as_ref();
        StreamPart {
            canonical: labels.map_or_else(
                // It was checked when the batch was built or decoded.
                || str::from_utf8(&self.bytes[span.canonical.clone()]).unwrap_or_default(),
                Labels::canonical,
            ),
            labels,
            fingerprint: span.fingerprint,
            rows: span.row_count,
            bytes: &self.bytes,
            range: span.rows.clone(),
        }
    }

    /// The streams, in the order in which they were begun. A stream may stand in a batch twice.
    pub fn streams(&self) -> impl ExactSizeIterator<Item = StreamPart<'_>> {
        self.streams.iter().map(|span| self.part(span))
    }
}

/// The rows of one stream in a batch.
#[derive(Debug, Clone)]
pub struct StreamPart<'a> {
    /// The canonical label text: sorted by name, quoted as Go does.
    pub canonical: &'a str,
    /// What the text stands for, where the batch was built in this process.
    pub labels: Option<&'a Labels>,
    /// Hash of the label set.
    pub fingerprint: Fingerprint,
    /// How many rows follow; at least one.
    pub rows: u32,
    bytes: &'a [u8],
    range: Range<usize>,
}

impl<'a> StreamPart<'a> {
    /// The rows in the order in which they were pushed.
    #[must_use]
    pub fn rows(&self) -> Rows<'a> {
        let mut reader = Reader::new(&self.bytes[..self.range.end]);
        reader.seek(self.range.start);
        Rows { reader, left: self.rows, timestamp: 0 }
    }

    /// The batch's bytes, which the offsets of a [`RowRef`] count from.
    #[must_use]
    pub fn bytes(&self) -> &'a [u8] {
        self.bytes
    }
}

/// One row, by offsets into the batch's bytes.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub struct RowRef {
    /// When.
    pub timestamp: Timestamp,
    /// Where the line begins.
    pub line_start: u32,
    /// How many bytes it has.
    pub line_len: u32,
    /// Where the structured metadata begins, for [`metadata_at`]; 0 when there is none.
    pub metadata_start: u32,
    /// Code of the [`Level`]; 0 when there is none.
    pub level: u8,
}

impl RowRef {
    /// The line, given the bytes of its batch.
    #[must_use]
    pub fn line(self, bytes: &[u8]) -> &[u8] {
        let start = self.line_start as usize;
        bytes.get(start..start + self.line_len as usize).unwrap_or_default()
    }
}

/// Iterates over the rows of a [`StreamPart`].
#[derive(Debug, Clone)]
pub struct Rows<'a> {
    reader: Reader<'a>,
    left: u32,
    timestamp: i64,
}

impl Iterator for Rows<'_> {
    type Item = RowRef;

    fn next(&mut self) -> Option<RowRef> {
        self.left = self.left.checked_sub(1)?;
        let delta = varint::unzigzag(self.reader.varint()?);
        self.timestamp = self.timestamp.wrapping_add(delta);
        let flags = self.reader.byte()?;
        let line_len = self.reader.length()?;
        let mut metadata_start = 0;
        if flags & HAS_METADATA != 0 {
            metadata_start = self.reader.offset() as u32;
            for _ in 0..self.reader.varint()? {
                self.reader.prefixed()?;
                self.reader.prefixed()?;
            }
        }
        let line_start = self.reader.offset() as u32;
        self.reader.take(line_len)?;
        Some(RowRef {
            timestamp: Timestamp(self.timestamp),
            line_start,
            line_len: line_len as u32,
            metadata_start,
            level: flags & LEVEL_MASK,
        })
    }

    fn size_hint(&self) -> (usize, Option<usize>) {
        (self.left as usize, Some(self.left as usize))
    }
}

impl ExactSizeIterator for Rows<'_> {}

/// The structured metadata of a row, given the bytes of its batch and [`RowRef::metadata_start`].
///
/// An offset that is 0, or that no row of these bytes has, yields nothing or unrelated text; it
/// never panics.
#[must_use]
pub fn metadata_at(bytes: &[u8], metadata_start: u32) -> MetadataIter<'_> {
    let mut reader = Reader::new(bytes);
    reader.seek(metadata_start as usize);
    let left = if metadata_start == 0 { 0 } else { reader.varint().unwrap_or(0) };
    MetadataIter { reader, left }
}

/// Iterates over names and values of structured metadata, in the order in which they were pushed.
#[derive(Debug, Clone)]
pub struct MetadataIter<'a> {
    reader: Reader<'a>,
    left: u64,
}

impl<'a> Iterator for MetadataIter<'a> {
    type Item = (&'a str, &'a str);

    fn next(&mut self) -> Option<Self::Item> {
        self.left = self.left.checked_sub(1)?;
        let name = str::from_utf8(self.reader.prefixed()?).ok()?;
        let value = str::from_utf8(self.reader.prefixed()?).ok()?;
        Some((name, value))
    }
}

/// The one pass that checks a batch.
struct Check<'a> {
    reader: Reader<'a>,
    rows: u64,
    line_bytes: u64,
}

impl Check<'_> {
    fn batch(&mut self) -> Result<(TenantId, Vec<StreamSpan>), BatchError> {
        let version = self.reader.byte().ok_or_else(|| self.damaged("a version"))?;
        if version != VERSION {
            return Err(BatchError::Version(version));
        }
        let tenant = self.tenant().ok_or_else(|| self.damaged("a tenant"))?;
        let count = self.reader.u32().ok_or_else(|| self.damaged("a stream count"))?;
        // Every stream takes more than STREAM_FIXED_BYTES, which bounds the allocation.
        let most = self.reader.remaining() / STREAM_FIXED_BYTES;
        if count as usize > most {
            return Err(self.damaged("as many streams as announced"));
        }
        let mut streams = Vec::with_capacity(count as usize);
        for _ in 0..count {
            let span = self.stream().ok_or_else(|| self.damaged("a stream"))?;
            self.check_rows(&span)?;
            streams.push(span);
        }
        if self.reader.remaining() > 0 {
            return Err(self.damaged("the end"));
        }
        Ok((tenant, streams))
    }

    fn tenant(&mut self) -> Option<TenantId> {
        let length = self.reader.byte()?;
        let name = str::from_utf8(self.reader.take(usize::from(length))?).ok()?;
        TenantId::new(name).ok()
    }

    /// Reads a stream's head and leaves the reader at its rows.
    fn stream(&mut self) -> Option<StreamSpan> {
        let start = self.reader.offset();
        let canonical = self.reader.prefixed()?;
        str::from_utf8(canonical).ok()?;
        let canonical_end = self.reader.offset();
        let fingerprint = Fingerprint(self.reader.u64()?);
        let row_count = self.reader.u32()?;
        let length = self.reader.u32()? as usize;
        let rows_start = self.reader.offset();
        (row_count > 0 && length <= self.reader.remaining()).then(|| StreamSpan {
            start,
            canonical: canonical_end - canonical.len()..canonical_end,
            fingerprint,
            labels: None,
            row_count,
            rows: rows_start..rows_start + length,
        })
    }

    fn check_rows(&mut self, span: &StreamSpan) -> Result<(), BatchError> {
        for _ in 0..span.row_count {
            self.row().ok_or_else(|| self.damaged("a row"))?;
        }
        if self.reader.offset() != span.rows.end {
            return Err(self.damaged("the end of a stream's rows"));
        }
        self.rows += u64::from(span.row_count);
        Ok(())
    }

    fn row(&mut self) -> Option<()> {
        self.reader.varint()?;
        let flags = self.reader.byte()?;
        let level = flags & LEVEL_MASK;
        if flags & !(LEVEL_MASK | HAS_METADATA) != 0 || level > LEVEL_CODE_MAX {
            return None;
        }
        let line_len = self.reader.length()?;
        if flags & HAS_METADATA != 0 {
            let pairs = self.reader.varint()?;
            if pairs == 0 {
                return None;
            }
            for _ in 0..pairs {
                str::from_utf8(self.reader.prefixed()?).ok()?;
                str::from_utf8(self.reader.prefixed()?).ok()?;
            }
        }
        self.reader.take(line_len)?;
        self.line_bytes += line_len as u64;
        Some(())
    }

    fn damaged(&self, what: &'static str) -> BatchError {
        BatchError::Damaged { offset: self.reader.offset(), what }
    }
}

/// Entries that an ingester refused, for one reason.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Rejected {
    /// The reason as counted in metrics, for example `too_far_behind`.
    pub reason: &'static str,
    /// What a caller does about it: [`ErrorKind::Invalid`] or [`ErrorKind::LimitExceeded`].
    pub kind: ErrorKind,
    /// The whole text for the client.
    pub message: String,
    /// How many entries were refused.
    pub entries: u64,
    /// Their line and metadata bytes.
    pub bytes: u64,
}

/// What became of a batch. Rows that no [`Rejected`] counts are stored durably.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct AppendOutcome {
    /// What was refused.
    pub rejected: Vec<Rejected>,
    /// Rows that were already stored and hence not stored again.
    pub duplicates: u64,
}
