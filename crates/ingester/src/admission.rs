//! The door: which entries of a batch are accepted.
//!
//! A batch is first read without any lock ([`Draft`]); then, under the tenant's lock, each stream of
//! it is judged. Most streams pass by comparing a few numbers; only where something may be wrong
//! are rows looked at one by one. What is refused is told per stream and reason, in the words that
//! clients of Loki know.

use std::fmt::Write as _;
use std::ops::Range;
use std::time::Duration;

use api::append::{AppendBatch, BatchBuilder, Rejected};
use model::time::civil_date;
use model::units::format_config_bytes;
use model::{ErrorKind, TenantId, Timestamp};

use crate::config::{Limits, RateScope};
use crate::row::{LINE_BYTES_MAX, METADATA_BYTES_MAX, Row};
use crate::streams::{LastEntry, Stream, text_hash};

#[cfg(test)]
mod tests;

/// A batch, read once.
#[derive(Debug)]
pub(crate) struct Draft {
    pub(crate) rows: Vec<Row>,
    pub(crate) parts: Vec<DraftPart>,
}

/// The rows of one stream in a batch, and what must be known to judge them at a glance.
#[derive(Debug, Clone)]
pub(crate) struct DraftPart {
    /// Hash of the stream's canonical text.
    pub(crate) hash: u64,
    /// Which rows of the draft.
    pub(crate) rows: Range<usize>,
    /// Latest time.
    pub(crate) newest: i64,
    /// Earliest time.
    oldest: i64,
    /// The most that a row lies behind the latest of those before it.
    lag: i64,
    /// Bytes that count against limits.
    bytes: u64,
    /// Whether a row repeats the one before it, or cannot be stored at all.
    needs_a_look: bool,
}

impl Draft {
    pub(crate) fn read(batch: &AppendBatch) -> Self {
        let slab = batch.as_bytes();
        let mut rows: Vec<Row> = Vec::with_capacity(batch.rows() as usize);
        let mut parts = Vec::with_capacity(batch.streams().len());
        for stream in batch.streams() {
            let start = rows.len();
            let mut part = DraftPart {
                hash: text_hash(stream.canonical),
                rows: start..start,
                newest: i64::MIN,
                oldest: i64::MAX,
                lag: 0,
                bytes: 0,
                needs_a_look: false,
            };
            for row_ref in stream.rows() {
                let row = Row::new(row_ref);
                part.newest = part.newest.max(row.timestamp);
                part.oldest = part.oldest.min(row.timestamp);
                part.lag = part.lag.max(part.newest.saturating_sub(row.timestamp));
                part.bytes += row.counted_bytes(slab);
                let repeats = rows[start..].last().is_some_and(|previous| {
                    previous.timestamp == row.timestamp && row.is_same(slab, *previous, slab)
                });
                part.needs_a_look |= repeats || !row.fits_segments(slab);
                rows.push(row);
            }
            part.rows.end = rows.len();
            parts.push(part);
        }
        Self { rows, parts }
    }
}

/// What the door goes by.
#[derive(Debug, Clone, Copy)]
pub(crate) struct Rules<'a> {
    pub(crate) limits: &'a Limits,
    /// How far behind the newest entry of its stream an entry may be.
    pub(crate) window: Duration,
    /// Entries that a refusal names.
    pub(crate) named_max: usize,
    /// The monotonic clock.
    pub(crate) now: Duration,
}

/// The rows of one stream in a batch, and the batch's bytes.
#[derive(Debug, Clone, Copy)]
pub(crate) struct PartRows<'a> {
    pub(crate) rows: &'a [Row],
    pub(crate) slab: &'a [u8],
}

/// What became of a row.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub(crate) enum Verdict {
    /// It is stored.
    Accepted,
    /// The stream's last entry is the same.
    Duplicate,
    /// It is older than this.
    TooFarBehind { oldest: i64 },
    /// Entries must come in order, and it did not.
    OutOfOrder,
    /// The stream is over its rate.
    OverRate { bytes: u64 },
    /// The line or its metadata is larger than segments take.
    TooLong,
    /// There is no stream for it; why is told elsewhere.
    NoStream,
}

/// Judges the rows of one stream. `None` when all are accepted.
pub(crate) fn judge(
    stream: &Stream,
    part: &DraftPart,
    rows: PartRows<'_>,
    rules: &Rules<'_>,
) -> Option<Vec<Verdict>> {
    set_rate(stream, rules);
    let window = i64::try_from(rules.window.as_nanos()).unwrap_or(i64::MAX);
    let may_lag = if rules.limits.unordered_writes { window } else { 0 };
    if is_plain(stream, part, rows, may_lag) && stream.bucket.allow(rules.now, part.bytes as f64) {
        return None;
    }
    let mut verdicts = judge_each(stream, rows, rules, window);
    if rules.limits.per_stream_scope == RateScope::WholeStream {
        let bytes = accepted_bytes(&verdicts, rows);
        if bytes > 0 && !stream.bucket.allow(rules.now, bytes as f64) {
            for verdict in verdicts.iter_mut().filter(|verdict| **verdict == Verdict::Accepted) {
                *verdict = Verdict::OverRate { bytes };
            }
        }
    }
    verdicts.iter().any(|verdict| *verdict != Verdict::Accepted).then_some(verdicts)
}

fn set_rate(stream: &Stream, rules: &Rules<'_>) {
    let or_infinite = |limit: u64| if limit == 0 { f64::INFINITY } else { limit as f64 };
    let rate = or_infinite(rules.limits.per_stream_rate);
    stream.bucket.set_limits(rules.now, rate, or_infinite(rules.limits.per_stream_burst));
}

/// Whether nothing but the rate can stand in the way of any row.
fn is_plain(stream: &Stream, part: &DraftPart, rows: PartRows<'_>, may_lag: i64) -> bool {
    let is_late = stream.newest.is_some_and(|newest| part.oldest < newest.saturating_sub(may_lag));
    let first = rows.rows.first();
    let is_first_known = first.is_some_and(|row| is_last_entry(stream, *row, rows.slab));
    !part.needs_a_look && !is_late && part.lag <= may_lag && !is_first_known
}

fn is_last_entry(stream: &Stream, row: Row, slab: &[u8]) -> bool {
    stream
        .last
        .is_some_and(|last| last.timestamp == row.timestamp && last.identity == row.identity(slab))
}

fn judge_each(
    stream: &Stream,
    PartRows { rows, slab }: PartRows<'_>,
    rules: &Rules<'_>,
    window: i64,
) -> Vec<Verdict> {
    let mut newest = stream.newest;
    let mut previous: Option<Row> = None;
    let mut verdicts = Vec::with_capacity(rows.len());
    for row in rows {
        let is_known = match previous {
            None => is_last_entry(stream, *row, slab),
            Some(previous) => {
                previous.timestamp == row.timestamp && row.is_same(slab, previous, slab)
            }
        };
        let verdict = if is_known {
            Verdict::Duplicate
        } else if let Some(refusal) = refusal_for_time(row.timestamp, newest, rules, window) {
            refusal
        } else if !row.fits_segments(slab) {
            Verdict::TooLong
        } else {
            rate_of_entry(stream, *row, slab, rules)
        };
        if verdict == Verdict::Accepted {
            newest = newest.max(Some(row.timestamp));
            previous = Some(*row);
        }
        verdicts.push(verdict);
    }
    verdicts
}

fn refusal_for_time(
    timestamp: i64,
    newest: Option<i64>,
    rules: &Rules<'_>,
    window: i64,
) -> Option<Verdict> {
    let newest = newest?;
    if !rules.limits.unordered_writes {
        return (timestamp < newest).then_some(Verdict::OutOfOrder);
    }
    let oldest = newest.saturating_sub(window);
    (timestamp < oldest).then_some(Verdict::TooFarBehind { oldest })
}

fn rate_of_entry(stream: &Stream, row: Row, slab: &[u8], rules: &Rules<'_>) -> Verdict {
    if rules.limits.per_stream_scope == RateScope::WholeStream {
        return Verdict::Accepted;
    }
    let bytes = row.counted_bytes(slab);
    if stream.bucket.allow(rules.now, bytes as f64) {
        Verdict::Accepted
    } else {
        Verdict::OverRate { bytes }
    }
}

fn accepted_bytes(verdicts: &[Verdict], PartRows { rows, slab }: PartRows<'_>) -> u64 {
    let accepted = verdicts.iter().zip(rows).filter(|(v, _)| **v == Verdict::Accepted);
    accepted.map(|(_, row)| row.counted_bytes(slab)).sum()
}

/// The last accepted row, which the stream is known by afterwards.
pub(crate) fn last_entry(rows: &[Row], slab: &[u8]) -> Option<LastEntry> {
    let last = rows.last()?;
    Some(LastEntry { timestamp: last.timestamp, identity: last.identity(slab) })
}

/// A batch with the rows that were accepted; streams without any are left out.
pub(crate) fn accepted_batch(
    batch: &AppendBatch,
    draft: &Draft,
    verdicts: &[Option<Vec<Verdict>>],
) -> AppendBatch {
    let slab = batch.as_bytes();
    let mut builder = BatchBuilder::with_capacity(batch.tenant(), slab.len());
    for ((stream, part), verdicts) in batch.streams().zip(&draft.parts).zip(verdicts) {
        match stream.labels {
            Some(labels) => builder.begin_known_stream(stream.fingerprint, labels),
            None => builder.begin_text(stream.fingerprint, stream.canonical),
        }
        for (index, row) in draft.rows[part.rows.clone()].iter().enumerate() {
            if verdicts.as_ref().is_some_and(|verdicts| verdicts[index] != Verdict::Accepted) {
                continue;
            }
            let metadata: Vec<(&str, &str)> = row.metadata(slab).collect();
            let at = Timestamp(row.timestamp);
            builder
                .push_row(at, row.line(slab), row.level(), &metadata)
                .expect("a part of a batch fits into a batch");
        }
    }
    builder.finish()
}

/// A stream that could not be registered because the tenant has too many.
pub(crate) fn stream_limit(tenant: &TenantId, canonical: &str, part: &DraftPart) -> Rejected {
    Rejected {
        reason: "stream_limit",
        kind: ErrorKind::LimitExceeded,
        message: format!(
            "maximum active stream limit exceeded when trying to create stream {canonical}, reduce \
             the number of active streams (reduce labels or reduce label values), or contact your \
             Loki administrator to see if the limit can be increased, user: '{tenant}'"
        ),
        entries: part.rows.len() as u64,
        bytes: part.bytes,
    }
}

/// A stream whose label text does not parse.
pub(crate) fn invalid_labels(canonical: &str, part: &DraftPart, why: &str) -> Rejected {
    Rejected {
        reason: "invalid_labels",
        kind: ErrorKind::Invalid,
        message: format!("couldn't parse labels {canonical}: {why}"),
        entries: part.rows.len() as u64,
        bytes: part.bytes,
    }
}

/// What was refused of one stream, by reason; the reason of the last refused entry comes last.
pub(crate) fn refusals(
    tenant: &TenantId,
    stream: &Stream,
    PartRows { rows, slab }: PartRows<'_>,
    verdicts: &[Verdict],
    rules: &Rules<'_>,
) -> Vec<Rejected> {
    let refused: Vec<(&Row, Verdict)> =
        rows.iter().zip(verdicts.iter().copied()).filter(|(_, v)| v.reason().is_some()).collect();
    if refused.is_empty() {
        return Vec::new();
    }
    let mut message = String::new();
    for (row, verdict) in refused.iter().take(rules.named_max.max(1)) {
        let at = GoTime(row.timestamp);
        let why = verdict.explain(row.timestamp, stream.labels.canonical(), rules.limits);
        let _ = writeln!(message, "entry with timestamp {at} ignored, reason: '{why}',");
    }
    let (count, total, labels) = (refused.len(), rows.len(), stream.labels.canonical());
    let _ = write!(
        message,
        "user '{tenant}', total ignored: {count} out of {total} for stream: {labels}"
    );
    let mut rejected: Vec<Rejected> = Vec::new();
    for (row, verdict) in refused {
        let Some((reason, kind)) = verdict.reason() else { continue };
        let known = rejected.iter().position(|r| r.reason == reason);
        let mut one = match known {
            Some(index) => rejected.remove(index),
            None => Rejected { reason, kind, message: message.clone(), entries: 0, bytes: 0 },
        };
        one.entries += 1;
        one.bytes += row.counted_bytes(slab);
        rejected.push(one);
    }
    rejected
}

impl Verdict {
    /// The reason as counted in metrics, for refusals.
    fn reason(self) -> Option<(&'static str, ErrorKind)> {
        match self {
            Self::Accepted | Self::Duplicate | Self::NoStream => None,
            Self::TooFarBehind { .. } => Some(("too_far_behind", ErrorKind::Invalid)),
            Self::OutOfOrder => Some(("out_of_order", ErrorKind::Invalid)),
            Self::OverRate { .. } => Some(("per_stream_rate_limit", ErrorKind::LimitExceeded)),
            Self::TooLong => Some(("line_too_long", ErrorKind::Invalid)),
        }
    }

    fn explain(self, timestamp: i64, canonical: &str, limits: &Limits) -> String {
        match self {
            Self::Accepted | Self::Duplicate | Self::NoStream => String::new(),
            Self::TooFarBehind { oldest } => format!(
                "entry too far behind, entry timestamp is: {}, oldest acceptable timestamp is: {}",
                Rfc3339(timestamp),
                Rfc3339(oldest)
            ),
            Self::OutOfOrder => "entry out of order".to_owned(),
            Self::OverRate { bytes } => format!(
                "Per stream rate limit exceeded (limit: {}/sec) while attempting to ingest for \
                 stream '{canonical}' totaling {}, consider splitting a stream via additional \
                 labels or contact your Loki administrator to see if the limit can be increased",
                format_config_bytes(limits.per_stream_rate),
                format_config_bytes(bytes)
            ),
            Self::TooLong => format!(
                "line is longer than {LINE_BYTES_MAX} bytes, or its structured metadata larger than \
                 {METADATA_BYTES_MAX} bytes"
            ),
        }
    }
}

/// A time as Go prints it: `2026-11-16 10:00:00.5 +0000 UTC`.
struct GoTime(i64);

impl std::fmt::Display for GoTime {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let text = Timestamp(self.0).to_string();
        // RFC 3339 differs from Go's format in the `T` between and the `Z` behind.
        let (date, time) = text.split_once('T').unwrap_or((&text, ""));
        write!(f, "{date} {} +0000 UTC", time.trim_end_matches('Z'))
    }
}

/// A time in whole seconds, as RFC 3339 has it.
struct Rfc3339(i64);

impl std::fmt::Display for Rfc3339 {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        let seconds = self.0.div_euclid(1_000_000_000);
        let (year, month, day) = civil_date(Timestamp(self.0).day());
        let of_day = seconds.rem_euclid(86_400);
        let (hour, minute, second) = (of_day / 3600, of_day / 60 % 60, of_day % 60);
        write!(f, "{year:04}-{month:02}-{day:02}T{hour:02}:{minute:02}:{second:02}Z")
    }
}
